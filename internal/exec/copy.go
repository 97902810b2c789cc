package exec

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
)

// CopyClient is the client's side of a COPY. What is written to it are protocol messages (CopyOutResponse, CopyData, CopyDone),
// one Write not always being a whole one.
type CopyClient interface {
	io.Writer
	// CopyInResponse passes a CopyInResponse message on to the client, so that it starts to send.
	CopyInResponse(raw []byte) error
	// CopyData gives the content of the client's next CopyData message, valid until the next call. The error is io.EOF after
	// CopyDone, and a *CopyFailed after CopyFail.
	CopyData(ctx context.Context) ([]byte, error)
}

// CopyFailed says that the client gave up sending data.
type CopyFailed struct{ Message string }

func (e *CopyFailed) Error() string { return "COPY from stdin failed: " + e.Message }

// Copy runs a COPY that touches a distributed or reference table, and gives its command tag. After an error the client may still
// be sending data, which the session must read and ignore, as PostgreSQL does.
func Copy(ctx context.Context, env *Env, stmt sql.Statement, settings plan.Settings, client CopyClient) (tag string, err error) {
	c := stmt.Tree.GetCopyStmt()
	if c == nil {
		return "", sql.Errorf("XX000", "not a COPY statement")
	}
	if c.Query != nil {
		return copyQuery(ctx, env, stmt, settings, client)
	}
	schema := c.Relation.Schemaname
	var table *catalog.Relation
	if schema != "" || !settings.TempTables[c.Relation.Relname] {
		table = env.Snapshot.Resolve(settings.SearchPath, schema, c.Relation.Relname)
	}
	if table == nil || table.Kind == catalog.Local {
		return copyThrough(ctx, env, stmt.Text, c.IsFrom, client)
	}
	if c.Filename != "" || c.IsProgram {
		return "", copyFileError(table, c)
	}
	if !c.IsFrom {
		if table.Kind == catalog.Reference {
			return copyThrough(ctx, env, stmt.Text, false, client)
		}
		return copyTable(ctx, env, stmt, table, client)
	}
	in, err := newCopyIn(env, stmt, table, client)
	if err != nil {
		return "", err
	}
	err = env.Tx.RunAtomically(ctx, func() error { return in.run(ctx) })
	if err != nil {
		return "", err
	}
	return "COPY " + string(appendInt(nil, in.count)), nil
}

func copyFileError(table *catalog.Relation, c *sql.CopyStmt) error {
	what := "a file"
	if c.IsProgram {
		what = "a program"
	}
	direction, stream := "to", "TO STDOUT"
	if c.IsFrom {
		direction, stream = "from", "FROM STDIN"
	}
	return sql.Unsupported("cannot COPY "+direction+" "+what+" of the server with a table that is spread over several servers",
		"Table \""+table.Name+"\" is on several servers, whose files are not the same.",
		"Use COPY "+stream+"; psql's \\copy command does, with files of the client.")
}

// copyThrough runs a COPY on the coordinator alone.
func copyThrough(ctx context.Context, env *Env, text string, from bool, client CopyClient) (string, error) {
	conn, release, err := env.Tx.Borrow(ctx, catalog.CoordinatorGroup)
	if err != nil {
		return "", err
	}
	defer release()
	if from {
		env.Tx.MarkWrite(catalog.CoordinatorGroup)
	}
	return copyOn(ctx, conn, text, client)
}

// copyOn runs a COPY on one connection.
func copyOn(ctx context.Context, conn *backend.Conn, text string, client CopyClient) (string, error) {
	conn.SendQuery(text)
	var tag string
	var failure error
	for {
		m, err := conn.Receive(ctx)
		if err != nil {
			return "", err
		}
		switch m.Type {
		case 'G':
			if err := client.CopyInResponse(m.Raw); err != nil {
				conn.Abandon()
				return "", err
			}
			if err := copyForward(ctx, conn, client); err != nil {
				return "", err
			}
		case 'H', 'd', 'c':
			if failure == nil {
				_, failure = client.Write(m.Raw)
			}
		case 'C':
			tag = internTag(m.Body())
		case 'E':
			failure = backend.DecodeError(m)
		case 'Z':
			return tag, failure
		}
	}
}

// copyForward sends the client's data on. If the client fails, so does the COPY on the node.
func copyForward(ctx context.Context, conn *backend.Conn, client CopyClient) error {
	var frame []byte
	for {
		data, err := client.CopyData(ctx)
		switch failed, ok := err.(*CopyFailed); {
		case err == io.EOF:
			conn.SendRaw([]byte{'c', 0, 0, 0, 4})
			return conn.Flush()
		case ok:
			conn.SendRaw(appendCopyFail(nil, failed.Message))
			return conn.Flush()
		case err != nil:
			conn.Abandon()
			return err
		}
		frame = appendCopyData(frame[:0], data)
		conn.SendRaw(frame)
		if err := conn.Flush(); err != nil {
			return err
		}
	}
}

func appendCopyData(dst, data []byte) []byte {
	n := len(data) + 4
	dst = append(dst, 'd', byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	return append(dst, data...)
}

func appendCopyFail(dst []byte, message string) []byte {
	n := len(message) + 5
	dst = append(dst, 'f', byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	dst = append(dst, message...)
	return append(dst, 0)
}

var copyDone = []byte{'c', 0, 0, 0, 4}

// copyExecution makes the execution that node errors are read and templates rendered with.
func copyExecution(env *Env, table *catalog.Relation) *execution {
	p := &plan.Plan{Tables: []plan.TableRef{{Schema: table.Schema, Name: table.Name, ColocationID: table.ColocationID, Reference: table.Kind == catalog.Reference}}}
	bind := &Bind{}
	return &execution{env: env, prepared: &Prepared{Plan: p}, renderer: renderer{plan: p, bind: bind, snapshot: env.Snapshot}}
}

// copyColumns gives the columns of a COPY's data: those listed, or all but generated ones.
func copyColumns(table *catalog.Relation, c *sql.CopyStmt) ([]int, error) {
	var columns []int
	if len(c.Attlist) == 0 {
		for i := range table.Columns {
			if !table.Columns[i].Generated {
				columns = append(columns, i)
			}
		}
		return columns, nil
	}
	for _, node := range c.Attlist {
		name := node.GetString_().GetSval()
		i := slices.IndexFunc(table.Columns, func(c catalog.Column) bool { return c.Name == name })
		if i < 0 { // the coordinator, asked first, knows better
			return nil, &StaleError{Err: missingColumn(table, name)}
		}
		columns = append(columns, i)
	}
	return columns, nil
}

// copyText writes a COPY of one shard or table. columns are names.
func copyText(relation string, columns []string, tail string) string {
	var b strings.Builder
	b.WriteString("COPY ")
	b.WriteString(relation)
	if len(columns) > 0 {
		b.WriteString(" (")
		for i, name := range columns {
			if i > 0 {
				b.WriteString(", ")
			}
			b.Write(appendIdentifier(nil, name))
		}
		b.WriteByte(')')
	}
	b.WriteString(tail)
	return b.String()
}
