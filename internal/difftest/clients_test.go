package difftest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"
)

// diary is what a client library saw. The same calls must give the same diary on both sides.
type diary struct{ lines []string }

func (d *diary) note(what string, values ...any) {
	line := what
	for _, v := range values {
		var pg *pgconn.PgError
		var pqErr *pq.Error
		switch e, _ := v.(error); {
		case errors.As(e, &pg):
			v = pg.Code + " " + pg.Message
		case errors.As(e, &pqErr):
			v = string(pqErr.Code) + " " + pqErr.Message
		}
		line += fmt.Sprintf(" | %v", v)
	}
	d.lines = append(d.lines, line)
}

// compareDiaries runs the same calls on both sides.
func compareDiaries(t *testing.T, pair *Pair, calls func(ctx context.Context, dsn string, d *diary) error) {
	t.Helper()
	var diaries [2]diary
	for i, dsn := range []string{pair.Gateway, pair.Plain} {
		if err := calls(t.Context(), dsn, &diaries[i]); err != nil {
			t.Fatalf("%s: %v\n%s", [...]string{"gateway", "plain"}[i], err, strings.Join(diaries[i].lines, "\n"))
		}
	}
	if !slices.Equal(diaries[0].lines, diaries[1].lines) {
		t.Errorf("gateway:\n%s\nplain:\n%s", strings.Join(diaries[0].lines, "\n"), strings.Join(diaries[1].lines, "\n"))
	}
}

const clientSchema = `
CREATE TABLE accounts (tenant bigint, id bigint, name text, balance numeric(12,2), active bool, born date, seen timestamptz, tags text[], doc jsonb, raw bytea, ratio float8, PRIMARY KEY (tenant, id));
CREATE TABLE events (tenant bigint NOT NULL, n serial, what text);
CREATE TABLE kinds (id int PRIMARY KEY, name text)`

var clientDistribution = []string{
	"SELECT create_distributed_table('accounts', 'tenant')",
	"SELECT create_distributed_table('events', 'tenant', colocate_with => 'accounts')",
	"SELECT create_reference_table('kinds')",
}

func clientPair(t *testing.T) *Pair {
	pair := NewPair(t, &shared, 2, 4)
	s := pair.Connect(t)
	s.Must(t, clientSchema)
	s.Distribute(t, clientDistribution...)
	return pair
}

func TestPgx(t *testing.T) {
	pair := clientPair(t)
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		t.Run(mode.String(), func(t *testing.T) {
			compareDiaries(t, pair, func(ctx context.Context, dsn string, d *diary) error { return usePgx(ctx, dsn, mode, d) })
		})
	}
}

func usePgx(ctx context.Context, dsn string, mode pgx.QueryExecMode, d *diary) error {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return err
	}
	config.DefaultQueryExecMode = mode
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	exec := func(sql string, args ...any) {
		tag, err := conn.Exec(ctx, sql, args...)
		d.note(sql, tag, err)
	}
	exec("DELETE FROM accounts")
	exec("DELETE FROM events")
	born := time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)
	seen := time.Date(2024, 2, 29, 12, 30, 0, 123456000, time.UTC)
	for i := range 12 {
		exec("INSERT INTO accounts VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)", int64(i%5), int64(i), fmt.Sprintf("n%d", i), float64(i)*1.25, i%2 == 0, born, seen,
			[]string{"a", "b c", `q"`}, map[string]any{"i": i}, []byte{0, 1, byte(i)}, float64(i)/3)
	}
	exec("INSERT INTO accounts (tenant, id) VALUES ($1, $2)", int64(1), int64(1))
	exec("INSERT INTO accounts (tenant, id) VALUES ($1, $2)", nil, int64(1))
	query := func(sql string, args ...any) {
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			d.note(sql, err)
			return
		}
		for rows.Next() {
			values, err := rows.Values()
			d.note("row", values, err)
		}
		d.note(sql, rows.CommandTag(), rows.Err())
	}
	for range 3 { // prepared by then
		query("SELECT * FROM accounts WHERE tenant = $1 ORDER BY id", int64(2))
		query("SELECT tenant, count(*), sum(balance), max(seen), avg(ratio) > 0 FROM accounts WHERE id > $1 GROUP BY tenant ORDER BY tenant", int64(3))
		query("SELECT name FROM accounts WHERE tenant = ANY ($1) ORDER BY id", []int64{1, 3, 77})
		query("SELECT name, $2::text FROM accounts WHERE tenant IN ($1, $3) AND name <> $2 ORDER BY id LIMIT $4", int64(1), "n1", int64(4), 3)
		query("SELECT a.name, b.name FROM accounts a JOIN accounts b ON a.id = b.id + $1 ORDER BY a.id", int64(1))
		exec("UPDATE accounts SET balance = balance + $2, tags = array_append(tags, $3) WHERE tenant = $1", int64(3), 0.5, "x")
		exec("UPDATE accounts SET name = name || $1 WHERE id % 3 = $2", "!", 1)
		query("DELETE FROM accounts WHERE id = $1 RETURNING tenant, name", int64(11))
		query("SELECT nothing FROM accounts")
		query("SELECT 1/$1::int", 0)
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "UPDATE accounts SET active = NOT active WHERE tenant = $1", int64(1))
	d.note("in a transaction", err)
	nested, err := tx.Begin(ctx)
	if err != nil {
		return err
	}
	_, err = nested.Exec(ctx, "INSERT INTO accounts (tenant, id) VALUES (1, 1)")
	d.note("nested", err, nested.Rollback(ctx))
	d.note("commit", tx.Commit(ctx))
	batch := &pgx.Batch{}
	for i := range 6 {
		batch.Queue("INSERT INTO kinds VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET name = excluded.name", i, fmt.Sprint("k", i))
		batch.Queue("SELECT count(*) FROM accounts WHERE tenant = $1", int64(i))
		batch.Queue("INSERT INTO events (tenant, what) VALUES ($1, $2)", int64(i), "batch")
	}
	batch.Queue("SELECT a.name, k.name FROM accounts a JOIN kinds k ON k.id = a.id ORDER BY a.id")
	results := conn.SendBatch(ctx, batch)
	for range batch.Len() {
		rows, err := results.Query()
		if err != nil {
			d.note("batch", err)
			continue
		}
		for rows.Next() {
			values, err := rows.Values()
			d.note("batch row", values, err)
		}
		d.note("batch", rows.CommandTag(), rows.Err())
	}
	d.note("batch", results.Close())
	failing := &pgx.Batch{}
	failing.Queue("INSERT INTO events (tenant, what) VALUES (1, 'lost')")
	failing.Queue("SELECT 1/0")
	failing.Queue("INSERT INTO events (tenant, what) VALUES (2, 'lost')")
	d.note("failing batch", conn.SendBatch(ctx, failing).Close())
	var copied [][]any
	for i := range 500 {
		copied = append(copied, []any{int64(i % 11), int64(1000 + i), fmt.Sprint("c", i), nil, true, born, seen, []string{}, nil, []byte{}, 0.5})
	}
	n, err := conn.CopyFrom(ctx, pgx.Identifier{"accounts"}, []string{"tenant", "id", "name", "balance", "active", "born", "seen", "tags", "doc", "raw", "ratio"}, pgx.CopyFromRows(copied))
	d.note("copied", n, err)
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"accounts"}, []string{"tenant", "id"}, pgx.CopyFromRows([][]any{{int64(1), int64(2000)}, {int64(2), int64(2000)}, {int64(1), int64(2000)}}))
	d.note("copied twice", err)
	query("SELECT tenant, count(*), count(DISTINCT name) FROM accounts GROUP BY tenant ORDER BY tenant")
	query("SELECT tenant, what, count(*) FROM events GROUP BY 1, 2 ORDER BY 1, 2")
	return nil
}

func TestLibPQ(t *testing.T) {
	compareDiaries(t, clientPair(t), func(ctx context.Context, dsn string, d *diary) error {
		db, err := sql.Open("postgres", dsn)
		if err != nil {
			return err
		}
		defer db.Close()
		db.SetMaxOpenConns(3)
		insert, err := db.PrepareContext(ctx, "INSERT INTO accounts (tenant, id, name, seen, tags) VALUES ($1, $2, $3, $4, $5) RETURNING name")
		if err != nil {
			return err
		}
		for i := range 10 {
			var name sql.NullString
			err := insert.QueryRowContext(ctx, i%3, i, sql.NullString{String: fmt.Sprint("n", i), Valid: i > 2}, time.Unix(int64(i), 0).UTC(), pq.Array([]string{"x", "y z"})).Scan(&name)
			d.note("insert", name, err)
		}
		_, err = insert.ExecContext(ctx, 0, 0, "again", nil, nil)
		d.note("insert", err)
		rows, err := db.QueryContext(ctx, "SELECT tenant, count(*), string_agg(name, ',' ORDER BY id), min(seen) FROM accounts WHERE id >= $1 GROUP BY tenant ORDER BY tenant", 1)
		if err != nil {
			return err
		}
		defer rows.Close()
		types, err := rows.ColumnTypes()
		for _, c := range types {
			d.note("column", c.Name(), c.DatabaseTypeName(), err)
		}
		for rows.Next() {
			var tenant, n int
			var names sql.NullString
			var seen time.Time
			err := rows.Scan(&tenant, &n, &names, &seen)
			d.note("row", tenant, n, names, seen.UTC(), err)
		}
		d.note("rows", rows.Err())
		tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
		if err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = 1")
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		d.note("update", n, err)
		_, err = tx.ExecContext(ctx, "INSERT INTO accounts (tenant, id) VALUES (0, 0)")
		d.note("conflict", err)
		_, err = tx.ExecContext(ctx, "SELECT 1")
		d.note("aborted", err, tx.Rollback())
		tx, err = db.Begin()
		if err != nil {
			return err
		}
		stmt, err := tx.Prepare("COPY events (tenant, what) FROM STDIN")
		if err != nil {
			return err
		}
		for i := range 50 {
			if _, err := stmt.Exec(i, fmt.Sprint("copied ", i)); err != nil {
				return err
			}
		}
		_, err = stmt.Exec()
		d.note("copy", err, stmt.Close(), tx.Commit())
		var count, balanced int
		err = db.QueryRow("SELECT count(*), (SELECT count(balance) FROM accounts) FROM events").Scan(&count, &balanced)
		d.note("count", count, balanced, err)
		_, err = db.ExecContext(ctx, "SELECT 1; DELETE FROM events; SELECT 2")
		d.note("several", err)
		return nil
	})
}
