package exec

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
)

// copyQuery runs COPY (query) TO STDOUT.
func copyQuery(ctx context.Context, env *Env, stmt sql.Statement, settings plan.Settings, client CopyClient) (string, error) {
	c := stmt.Tree.GetCopyStmt()
	if c.Filename != "" || c.IsProgram {
		return "", sql.Unsupported("cannot COPY the result of a distributed query to a file or program of the server", "",
			"Use COPY TO STDOUT; psql's \\copy command does, with files of the client.")
	}
	text, at := sql.Parenthesised(stmt.Text)
	parsed, err := sql.Parse(text)
	if err != nil || len(parsed) != 1 {
		return "", sql.Errorf("XX000", "cannot find the query of COPY")
	}
	bind := &Bind{Text: text}
	var scanned sql.Scanned
	if sql.Scan(text, &scanned) {
		bind.Literals = scanned.Literals
	}
	p, err := plan.Make(parsed[0], bind.Literals, env.Snapshot, settings)
	if err != nil {
		if e, ok := err.(*sql.Error); ok && e.Position > 0 {
			moved := *e
			moved.Position += utf8.RuneCountInString(stmt.Text[:at])
			err = &moved
		}
		return "", err
	}
	if p.Writes && !p.ReturnsRows {
		return "", sql.Errorf("0A000", "COPY query must have a RETURNING clause")
	}
	prepared, err := prepareCopy(ctx, env, p, bind, parsed[0])
	if err != nil {
		return "", moveError(err, utf8.RuneCountInString(stmt.Text[:at]))
	}
	bind.Fields = prepared.Fields
	x := &execution{env: env, prepared: prepared, renderer: renderer{plan: p, bind: bind, snapshot: env.Snapshot}}
	defer x.close(ctx)
	out := &copyOut{execution: x, client: client, options: readCopyOptions(c)}
	var tag string
	run := func() (err error) {
		tag, err = out.query(ctx)
		return err
	}
	if p.Writes {
		err = env.Tx.RunAtomically(ctx, run)
	} else {
		err = run()
	}
	return tag, err
}

// moveError adds to the position of an error in a part of a statement the number of characters that stand before that part.
func moveError(err error, characters int) error {
	if e, ok := err.(*pgconn.PgError); ok && e.Position > 0 {
		moved := *e
		moved.Position += int32(characters)
		return &moved
	}
	return err
}

func prepareCopy(ctx context.Context, env *Env, p *plan.Plan, bind *Bind, stmt sql.Statement) (*Prepared, error) {
	conn, release, err := env.Tx.Borrow(ctx, catalog.CoordinatorGroup)
	if err != nil {
		return nil, err
	}
	defer release()
	return Prepare(ctx, conn, env.Snapshot, p, bind, nil, Verb(stmt))
}

// query runs the plan: as one COPY per task where the tasks' rows need nothing done to them, else by handing the finished result
// to the coordinator to be written in the format that the client wants.
func (out *copyOut) query(ctx context.Context) (string, error) {
	if len(out.plan.Facts) > 0 {
		if err := out.env.Facts(ctx, out.plan.Facts); err != nil {
			return "", err
		}
	}
	if g, ok := out.plan.Root.(*plan.Gather); ok && copiesApart(g) {
		if err := out.subplans(ctx); err != nil {
			return "", err
		}
		groups, err := out.prune(ctx, &g.Pruning)
		if err != nil {
			return "", err
		}
		var tasks []copyTask
		for _, t := range splitTasks(g, groups) {
			query, err := out.renderTask(nil, g, &t)
			if err != nil {
				return "", err
			}
			tasks = append(tasks, copyTask{t.node, out.copyOf(string(query), out.options.shared)})
		}
		empty, err := out.result(nil).appendSQL(nil, place{})
		if err != nil {
			return "", err
		}
		return out.run(ctx, out.copyOf("SELECT * FROM "+string(empty)+" _", out.options.all), tasks)
	}
	if root, ok := out.plan.Root.(*plan.Coordinator); ok {
		if err := out.subplans(ctx); err != nil {
			return "", err
		}
		query := []byte(out.bind.Text)
		if root.SQL != nil {
			var err error
			if query, err = out.render(nil, root.SQL, place{}); err != nil {
				return "", err
			}
		}
		return copyThrough(ctx, out.env, out.copyOf(string(query), out.options.all), false, out.client)
	}
	rows := NewSpool(0)
	defer rows.Close()
	if len(out.plan.Subplans) > 0 {
		if err := out.subplans(ctx); err != nil {
			return "", err
		}
	}
	if _, err := out.root(ctx, spoolWriter{rows}); err != nil {
		return "", err
	}
	return out.finished(ctx, rows)
}

// copiesApart tells whether the result of a Gather is nothing but its tasks' rows.
func copiesApart(g *plan.Gather) bool {
	return !g.Coordinator && !g.Writes && len(g.Merge) == 0 && g.Limit == nil && g.Offset == nil && g.Hidden == 0
}

// copyOf writes the COPY of a query. The line break ends a comment that the query may end in.
func (out *copyOut) copyOf(query, options string) string {
	return "COPY (" + strings.TrimRight(query, "; \n\t") + "\n) TO STDOUT" + options
}

// result describes the query's result as an intermediate one.
func (out *copyOut) result(rows *Spool) *Intermediate {
	im := &Intermediate{Rows: rows}
	for _, f := range out.bind.Fields {
		im.Names = append(im.Names, string(f.Name))
		im.OIDs = append(im.OIDs, f.DataTypeOID)
		im.Types = append(im.Types, typeSQL(out.snapshot, f.DataTypeOID))
	}
	return im
}

// finished has the coordinator write rows in the format that the client wants.
func (out *copyOut) finished(ctx context.Context, rows *Spool) (string, error) {
	im := out.result(rows)
	if len(im.Names) == 0 || rows.Size() <= inlineLimit || out.env.Tx.InBlock() {
		query, err := im.appendSQL([]byte("SELECT * FROM "), place{})
		if err != nil {
			return "", err
		}
		return copyThrough(ctx, out.env, out.copyOf(string(query)+" _", out.options.all), false, out.client)
	}
	x := &execution{env: out.env}
	defer x.closeHomes(ctx)
	if err := x.copyEverywhere(ctx, im, 0, []int32{catalog.CoordinatorGroup}); err != nil {
		return "", err
	}
	query, err := im.appendSQL([]byte("SELECT * FROM "), place{node: catalog.CoordinatorGroup})
	if err != nil {
		return "", err
	}
	return copyOn(ctx, x.homes[catalog.CoordinatorGroup].conn, out.copyOf(string(query)+" _", out.options.all), out.client)
}

// spoolWriter keeps a result's rows.
type spoolWriter struct{ rows *Spool }

// Row implements RowWriter.
func (w spoolWriter) Row(raw []byte) error { return w.rows.Add(raw) }
