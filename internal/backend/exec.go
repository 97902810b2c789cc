package backend

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// Result is the outcome of one statement. Values are in text format, nil for NULL.
type Result struct {
	Fields []pgproto3.FieldDescription
	Rows   [][][]byte
	Tag    string
}

// Exec runs one or more statements separated by semicolons by the simple protocol. A statement that fails gives a
// *pgconn.PgError, and the connection stays usable; the results before it are returned too.
func (c *Conn) Exec(ctx context.Context, text string) ([]Result, error) {
	c.SendQuery(text)
	return c.Collect(ctx)
}

// Query runs one statement with parameters in text format, nil for NULL, by the extended protocol.
func (c *Conn) Query(ctx context.Context, text string, parameters ...[]byte) (Result, error) {
	c.Send(&pgproto3.Parse{Query: text})
	c.Send(&pgproto3.Bind{Parameters: parameters})
	c.Send(&pgproto3.Describe{ObjectType: 'P'})
	c.Send(&pgproto3.Execute{})
	c.addSync()
	results, err := c.Collect(ctx)
	if len(results) == 0 {
		return Result{}, err
	}
	return results[0], err
}

func (c *Conn) addSync() {
	c.out, _ = (&pgproto3.Sync{}).Encode(c.out)
	c.addUnit('S')
}

// Collect receives everything up to the next ReadyForQuery, as Exec does.
func (c *Conn) Collect(ctx context.Context) ([]Result, error) {
	var results []Result
	var current Result
	var failure error
	for {
		m, err := c.Receive(ctx)
		if err != nil {
			return results, err
		}
		switch m.Type {
		case 'T':
			var description pgproto3.RowDescription
			if err := description.Decode(m.Body()); err != nil {
				return results, c.fail(err)
			}
			current.Fields = make([]pgproto3.FieldDescription, len(description.Fields))
			for i, field := range description.Fields {
				field.Name = append([]byte(nil), field.Name...)
				current.Fields[i] = field
			}
		case 'D':
			row, err := decodeRow(m.Body())
			if err != nil {
				return results, c.fail(err)
			}
			current.Rows = append(current.Rows, row)
		case 'C':
			current.Tag = string(m.Body()[:max(len(m.Body())-1, 0)])
			results = append(results, current)
			current = Result{}
		case 'I':
			results = append(results, Result{})
		case 'G':
			c.Send(&pgproto3.CopyFail{Message: "COPY FROM STDIN cannot be used here"})
		case 'E':
			current = Result{}
			if err := decodeError(m); failure == nil {
				failure = err
			}
		case 'Z':
			return results, failure
		}
	}
}

// finishUnit receives up to the next ReadyForQuery and gives the error that came before it.
func (c *Conn) finishUnit(ctx context.Context) error {
	_, err := c.Collect(ctx)
	return err
}

// decodeRow copies a DataRow's values into memory of their own.
func decodeRow(body []byte) ([][]byte, error) {
	var row pgproto3.DataRow
	own := append([]byte(nil), body...)
	if err := row.Decode(own); err != nil {
		return nil, err
	}
	return append([][]byte(nil), row.Values...), nil
}

// decodeError gives an ErrorResponse as a *pgconn.PgError.
func decodeError(m Message) error {
	var response pgproto3.ErrorResponse
	if err := response.Decode(m.Body()); err != nil {
		return errors.New("the node sent a malformed error")
	}
	return pgconn.ErrorResponseToPgError(&response)
}

// DecodeError gives an ErrorResponse or NoticeResponse as a *pgconn.PgError.
func DecodeError(m Message) *pgconn.PgError {
	if e, ok := decodeError(m).(*pgconn.PgError); ok {
		return e
	}
	return &pgconn.PgError{Severity: "ERROR", Code: "08P01", Message: "the node sent a malformed error"}
}

// Wait waits for the next asynchronous message while nothing runs on the connection, and hands it to OnAsync. Unlike Receive it
// leaves the connection usable when ctx ends.
func (c *Conn) Wait(ctx context.Context) error {
	m, err := c.next(ctx)
	if err != nil {
		return err
	}
	if !c.handle(m) {
		if m.Type == 'E' {
			return c.fail(decodeError(m))
		}
		return c.fail(errors.New("the node sent an answer to no question"))
	}
	return nil
}
