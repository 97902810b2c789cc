package difftest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Protocol is the way in which a statement is sent.
type Protocol byte

const (
	Simple   Protocol = iota // a Query message; several statements are possible
	Extended                 // Parse, Bind, Describe, Execute; text format
	Binary                   // the same with results in binary format
	Named                    // as a prepared statement with a name, executed twice
)

func (p Protocol) String() string { return [...]string{"simple", "extended", "binary", "named"}[p] }

// Answer is all that a client sees of a statement, or of several sent together.
type Answer struct {
	Results []Result
	Err     error
}

// Result is what one statement gives.
type Result struct {
	Columns []Column
	Rows    [][]string // as text, or bytes in binary format; NULL is Null
	Tag     string
}

// Column is a result's column as it is described.
type Column struct {
	Name     string
	Type     uint32
	Modifier int32
}

// Null stands for NULL in rows. No type's text form is this.
const Null = "\x00NULL"

// firstUserOID is the first OID that objects made by users can have; those differ between databases.
const firstUserOID = 16384

func ask(ctx context.Context, conn *pgconn.PgConn, how Protocol, sql string, params [][]byte) Answer {
	var a Answer
	if how == Simple {
		m := conn.Exec(ctx, sql)
		for m.NextResult() {
			a.Results = append(a.Results, read(m.ResultReader(), &a.Err))
		}
		if err := m.Close(); err != nil {
			a.Err = err
		}
		return a
	}
	if how == Named {
		const name = "prepared"
		if _, a.Err = conn.Prepare(ctx, name, sql, nil); a.Err != nil {
			return a
		}
		for range 2 {
			if a.Err == nil {
				a.Results = append(a.Results, read(conn.ExecPrepared(ctx, name, params, nil, nil), &a.Err))
			}
		}
		if err := conn.Deallocate(ctx, name); err != nil && a.Err == nil {
			a.Err = err
		}
		return a
	}
	var formats []int16
	if how == Binary {
		formats = []int16{1}
	}
	r := conn.ExecParams(ctx, sql, params, nil, nil, formats)
	a.Results = []Result{read(r, &a.Err)}
	return a
}

func read(r *pgconn.ResultReader, failure *error) Result {
	var result Result
	for r.NextRow() {
		row := make([]string, len(r.Values()))
		for i, v := range r.Values() {
			row[i] = Null
			if v != nil {
				row[i] = string(v)
			}
		}
		result.Rows = append(result.Rows, row)
	}
	for _, f := range r.FieldDescriptions() {
		c := Column{Name: f.Name, Type: f.DataTypeOID, Modifier: f.TypeModifier}
		if c.Type >= firstUserOID {
			c.Type = firstUserOID
		}
		result.Columns = append(result.Columns, c)
	}
	tag, err := r.Close()
	result.Tag = tag.String()
	if err != nil {
		*failure = err
	}
	return result
}

// Code is the SQLSTATE of an answer's error, "" for success, and "broken" where the connection was lost.
func (a Answer) Code() string {
	var pg *pgconn.PgError
	switch {
	case a.Err == nil:
		return ""
	case errors.As(a.Err, &pg):
		return pg.Code
	}
	return "broken"
}

// String writes an answer for people.
func (a Answer) String() string {
	var b strings.Builder
	for _, r := range a.Results {
		if len(r.Columns) > 0 {
			for i, c := range r.Columns {
				if i > 0 {
					b.WriteString(" | ")
				}
				fmt.Fprintf(&b, "%s:%d", c.Name, c.Type)
				if c.Modifier != -1 {
					fmt.Fprintf(&b, "(%d)", c.Modifier)
				}
			}
			b.WriteByte('\n')
		}
		for i, row := range r.Rows {
			if i == 20 {
				fmt.Fprintf(&b, "… %d rows in all\n", len(r.Rows))
				break
			}
			text := rowText(row)
			if len(text) > 600 {
				text = strings.ToValidUTF8(text[:600], "") + " …"
			}
			b.WriteString(text + "\n")
		}
		b.WriteString(r.Tag + "\n")
	}
	if a.Err != nil {
		var pg *pgconn.PgError
		if errors.As(a.Err, &pg) {
			fmt.Fprintf(&b, "%s %s: %s\n", pg.Severity, pg.Code, pg.Message)
			if pg.Detail != "" {
				fmt.Fprintf(&b, "DETAIL: %s\n", pg.Detail)
			}
		} else {
			fmt.Fprintf(&b, "%v\n", a.Err)
		}
	}
	return b.String()
}

func rowText(row []string) string {
	shown := make([]string, len(row))
	for i, v := range row {
		shown[i] = v
		if v == Null {
			shown[i] = "NULL"
		}
		for _, c := range []byte(v) {
			if c < ' ' && v != Null {
				shown[i] = fmt.Sprintf("%q", v)
				break
			}
		}
	}
	return strings.Join(shown, " | ")
}
