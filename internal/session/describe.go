package session

import (
	"strconv"
	"strings"

	"github.com/trunkline/trunkline/internal/exec"
)

// rowDescription makes the RowDescription message of a planned statement's result, nil if it returns no rows.
func (e *entry) rowDescription(formats []int16) []byte {
	if e.prepared == nil {
		return nil
	}
	if !exec.AnyBinary(formats) {
		return e.prepared.Row
	}
	return exec.RowDescription(e.prepared.Fields, formats)
}

// rowDescription is that of the statement, or of the prepared statement or cursor of the session's own that it names.
func (s *session) rowDescription(e *entry, formats []int16) []byte {
	if fields, ok := s.heldFields(e); ok {
		return exec.RowDescription(fields, formats)
	}
	return e.rowDescription(formats)
}

// retag gives a command tag another row count.
func retag(tag string, rows int64) string {
	at := strings.LastIndexByte(tag, ' ')
	if at < 0 {
		return tag
	}
	if _, err := strconv.ParseInt(tag[at+1:], 10, 64); err != nil {
		return tag
	}
	return tag[:at+1] + strconv.FormatInt(rows, 10)
}
