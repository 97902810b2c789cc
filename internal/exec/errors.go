package exec

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// taskError is nodeError for what send has sent on c.
func (x *execution) taskError(c *backend.Conn, m backend.Message) error {
	if e := backend.DecodeError(m); e.Code == "0A000" && e.Routine == "RevalidateCachedQuery" {
		// A statement that was prepared without the client's knowing does not fit its tables any more.
		c.PrepareAnew()
		return &StaleError{Err: e}
	}
	return x.nodeError(m)
}

// outcome reads a node's answer to its end, for what returns no rows.
func (x *execution) outcome(ctx context.Context, conn *backend.Conn) error {
	var failure error
	for {
		m, err := conn.Receive(ctx)
		if err != nil {
			return err
		}
		switch m.Type {
		case 'E':
			failure = x.nodeError(m)
		case 'Z':
			return failure
		}
	}
}

// nodeError gives a node's ErrorResponse with the user's names in place of shards'.
func (x *execution) nodeError(m backend.Message) error {
	e := backend.DecodeError(m)
	// The text that ran is not the client's, so positions in it would mislead.
	if e.Position > 0 {
		e.Position = Elsewhere
	}
	for i := range x.plan.Tables {
		t := &x.plan.Tables[i]
		colocation := x.snapshot.Colocations[t.ColocationID]
		if t.Reference || colocation == nil {
			continue
		}
		for j := range colocation.Groups {
			shard := catalog.ShardSchema(t.Schema, colocation.Groups[j].ID)
			for _, field := range []*string{&e.Message, &e.Detail, &e.Hint, &e.Where, &e.InternalQuery, &e.SchemaName} {
				if strings.Contains(*field, shard) {
					vanished := e.Code == "42P01" || e.Code == "3F000"
					*field = strings.ReplaceAll(*field, shard, t.Schema)
					if vanished && field == &e.Message {
						return &StaleError{Err: e}
					}
				}
			}
		}
	}
	return e
}

// Elsewhere is the position of an error in a statement's text that is not the client's. PostgreSQL gives positions to what it finds
// when it analyses a statement, so that it can be asked for the position in the client's own text (see AnalysisError).
const Elsewhere = -1

// elsewhere marks an error that was found in a value taken out of the client's statement, where it has a position.
func elsewhere(err error) error {
	var node *pgconn.PgError
	if errors.As(err, &node) {
		node.Position = Elsewhere
	}
	return err
}

// AnalysisError gives the error that the coordinator, on c, finds in a statement before running it, in place of one that a node
// found in the text that it was sent: the same error, with the position in the client's text and what depends on it.
func AnalysisError(ctx context.Context, c *backend.Conn, text string, params []uint32, err error) error {
	var node, own *pgconn.PgError
	if !errors.As(err, &node) || node.Position != Elsewhere || c.TxStatus() == 'E' {
		return err
	}
	_, _, failure := Describe(ctx, c, text, params)
	if errors.As(failure, &own) && own.Code == node.Code && own.Message == node.Message {
		return own
	}
	return err
}

// BindError is an error that a node found before it had bound the parameters of a client's statement of the extended protocol: one of
// them cannot be read, or a constant expression cannot be computed.
type BindError struct{ Err error }

func (e *BindError) Error() string { return e.Err.Error() }
func (e *BindError) Unwrap() error { return e.Err }

// bindError marks an error as a BindError if it came before a task was bound.
func (x *execution) bindError(bound bool, err error) error {
	if bound || !x.bind.Extended {
		return err
	}
	return &BindError{err}
}

// StaleError says that a node does not have a shard that the catalog snapshot places there, or that the shard is not what it was:
// the snapshot is out of date, and the statement did nothing on that node.
type StaleError struct{ Err *pgconn.PgError }

func (e *StaleError) Error() string { return e.Err.Error() }
func (e *StaleError) Unwrap() error { return e.Err }

// IsStale tells whether err comes from a snapshot that is out of date: a shard that is gone, or a table that was local and has
// been distributed since.
func IsStale(err error) bool {
	if err == nil {
		return false
	}
	var stale *StaleError
	return errors.As(err, &stale) || IsShell(err)
}

// IsShell tells whether err is a shell's refusal of a write that was planned while the table was local
// (trunkline_internal.refuse_shell).
func IsShell(err error) bool {
	var node *pgconn.PgError
	return errors.As(err, &node) && node.ConstraintName == "trunkline_shell"
}

// IsReferenceShell tells whether err is that of a reference table's shell, whose writer did not know all nodes that have copies.
func IsReferenceShell(err error) bool {
	var node *pgconn.PgError
	return IsShell(err) && errors.As(err, &node) && strings.HasSuffix(node.Message, " is a reference table")
}

// WrittenByFunction gives the table, as in table "orders", if err is a shell's refusal of a write by a function or procedure, else "".
func WrittenByFunction(err error) string {
	var node *pgconn.PgError
	if !IsShell(err) || !errors.As(err, &node) || !strings.Contains(node.Where, "\n") { // the first line is refuse_shell itself
		return ""
	}
	table, _, _ := strings.Cut(node.Message, " is ")
	return table
}

// ShiftPosition moves the position in an error by n characters, for a statement that stands inside a longer text.
func ShiftPosition(err error, n int) error {
	var node *pgconn.PgError
	if errors.As(err, &node) && node.Position > 0 {
		moved := *node
		moved.Position += int32(n)
		return &moved
	}
	var own *sql.Error
	if errors.As(err, &own) && own.Position > 0 {
		moved := *own
		moved.Position += n
		return &moved
	}
	return err
}
