package sql

import "fmt"

// Error is an error for the client, with PostgreSQL's fields (protocol section 55.8). Message is in PostgreSQL's style: lower
// case, no full stop; Detail and Hint are sentences.
type Error struct {
	Code     string // SQLSTATE
	Message  string
	Detail   string
	Hint     string
	Position int // 1-based character position in the statement, 0 when unknown
}

func (e *Error) Error() string { return e.Message }

// Unsupported is an 0A000 error.
func Unsupported(message, detail, hint string) *Error {
	return &Error{Code: "0A000", Message: message, Detail: detail, Hint: hint}
}

// Errorf is an error with a SQLSTATE and a formatted message.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
