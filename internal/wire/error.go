package wire

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/sql"
)

// Severities of errors and notices.
const (
	SeverityError   = "ERROR"
	SeverityFatal   = "FATAL"
	SeverityWarning = "WARNING"
	SeverityNotice  = "NOTICE"
	SeverityDebug1  = "DEBUG" // as PostgreSQL sends all five of its levels
)

// SendError buffers an ErrorResponse. A node's *pgconn.PgError keeps all its fields; an error that is neither that nor an
// *sql.Error is an internal error, XX000. An empty severity means the error's own, or ERROR.
func (c *Conn) SendError(err error, severity string) error {
	return c.Send(errorResponse(err, severity))
}

// SendNotice buffers a NoticeResponse.
func (c *Conn) SendNotice(err error, severity string) error {
	return c.Send((*pgproto3.NoticeResponse)(errorResponse(err, severity)))
}

func errorResponse(err error, severity string) *pgproto3.ErrorResponse {
	var node *pgconn.PgError
	var own *sql.Error
	var response pgproto3.ErrorResponse
	switch {
	case errors.As(err, &own):
		response = pgproto3.ErrorResponse{Code: own.Code, Message: own.Message, Detail: own.Detail, Hint: own.Hint, Position: int32(own.Position)}
	case errors.As(err, &node):
		response = pgproto3.ErrorResponse{
			Severity: node.Severity, Code: node.Code, Message: node.Message, Detail: node.Detail, Hint: node.Hint,
			Position: max(node.Position, 0), InternalPosition: node.InternalPosition, InternalQuery: node.InternalQuery, Where: node.Where,
			SchemaName: node.SchemaName, TableName: node.TableName, ColumnName: node.ColumnName, DataTypeName: node.DataTypeName,
			ConstraintName: node.ConstraintName, File: node.File, Line: node.Line, Routine: node.Routine,
		}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		response = pgproto3.ErrorResponse{Code: "57014", Message: "canceling statement due to user request"}
	default:
		response = pgproto3.ErrorResponse{Code: "XX000", Message: err.Error()}
	}
	switch {
	case severity != "":
		response.Severity = severity
	case response.Severity == "":
		response.Severity = SeverityError
	}
	response.SeverityUnlocalized = response.Severity
	if !validCode(response.Code) {
		response.Code = "XX000"
	}
	return &response
}

// validCode tells whether a SQLSTATE has the five characters that clients rely on.
func validCode(code string) bool {
	if len(code) != 5 {
		return false
	}
	for _, c := range code {
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z') {
			return false
		}
	}
	return true
}

func fatalf(code, format string, args ...any) error { return sql.Errorf(code, format, args...) }
