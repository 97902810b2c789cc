package session_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// sleeping are statements that no time limit of less than ten minutes lets come to an end, by what runs them.
var sleeping = []struct{ name, text string }{
	{"coordinator", "SELECT pg_sleep(600)"},
	{"one shard", "SELECT pg_sleep(600) FROM t WHERE k = 1"},
	{"all shards", "SELECT count(pg_sleep(600)) FROM t"},
	{"second of a string", "SELECT 1; SELECT pg_sleep(600) FROM t"},
	{"write", "UPDATE t SET n = n + 1 WHERE pg_sleep(600) IS NOT NULL"},
	{"COPY TO", "COPY (SELECT k, pg_sleep(600) FROM t) TO STDOUT"},
	{"EXECUTE", "EXECUTE sleeper"},
	{"locked row", "UPDATE t SET n = 0 WHERE k = 20"},
	{"locked rows, then a step", "INSERT INTO u SELECT k, v, n FROM t WHERE k > (SELECT min(n) FROM u) FOR UPDATE"},
}

func TestStatementTimeout(t *testing.T) {
	t.Parallel()
	g := start(t)
	c, other := g.connect(), g.connect()
	g.distributed(c, 20)
	g.exec(c, "CREATE TABLE u (k int, v text, n int); SELECT create_distributed_table('u', 'k', colocate_with => 'none'); INSERT INTO u VALUES (1, 'a', 1)", pgx.QueryExecModeSimpleProtocol)
	g.exec(c, "PREPARE sleeper AS SELECT pg_sleep(600) FROM t")
	g.exec(other, "BEGIN")
	g.exec(other, "SELECT k FROM t WHERE k = 20 FOR UPDATE")
	for _, s := range sleeping {
		g.exec(c, "SET statement_timeout = '300ms'")
		timedOut(t, s.name, simply(t, c, s.text))
		g.unlimited(c)
		g.want(c, "SELECT count(*) FROM t", "20")
		g.exec(c, "BEGIN")
		g.exec(c, "SET LOCAL statement_timeout = '300ms'")
		timedOut(t, s.name+" in a block", simply(t, c, s.text))
		g.exec(c, "ROLLBACK")
		g.want(c, "SHOW statement_timeout", "0")
	}
	g.exec(c, "SET statement_timeout = '300ms'")
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec} {
		_, err := c.Exec(t.Context(), "SELECT pg_sleep($1) FROM t", mode, 600.0)
		timedOut(t, mode.String(), err)
	}
	_, err := c.PgConn().CopyFrom(t.Context(), endless{}, "COPY u FROM STDIN")
	timedOut(t, "COPY FROM", err)
	g.unlimited(c)
	g.want(c, "SELECT count(*) FROM u", "1")
}

// endless are rows without end.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return copy(b, "1\ta\t1\n"), nil }

// The clock is one for all steps of a statement, of which each by itself would be in time.
func TestStatementTimeoutOfSteps(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.connect()
	g.distributed(c, 20)
	step := "(SELECT max(k) FROM t WHERE k = %d AND pg_sleep(1.5) IS NOT NULL)"
	text := "SELECT " + fmt.Sprintf(step, 1) + " + " + fmt.Sprintf(step, 2) + " + " + fmt.Sprintf(step, 3) + " + count(*) FROM t"
	if plan := g.rows(c, "EXPLAIN "+text); strings.Count(plan, "Subplan") < 4 {
		t.Fatalf("not a statement of several steps: %s", plan)
	}
	g.exec(c, "SET statement_timeout = '2s'")
	timedOut(t, "three steps of 1.5 s", simply(t, c, text))
}

// New sessions have what is stored for their role and database, although the gateway's connections are older.
func TestStoredSettings(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.connect()
	g.distributed(c, 20)
	role := "limited_" + g.rows(c, "SELECT current_database()")
	g.exec(c, "CREATE ROLE "+role+" LOGIN")
	t.Cleanup(func() {
		c.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role, pgx.QueryExecModeSimpleProtocol)
	})
	g.exec(c, "GRANT SELECT ON t TO "+role)
	config := c.Config().Copy()
	config.User = role
	limited := func() *pgx.Conn {
		conn, err := pgx.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(context.Background()) })
		return conn
	}
	g.want(limited(), "SELECT count(*) FROM t", "20")
	g.exec(c, "ALTER ROLE "+role+" SET statement_timeout = '10min'")
	g.exec(c, "ALTER ROLE "+role+" SET log_statement = 'all'") // which is not the role's to set
	user := limited()
	g.want(user, "SHOW statement_timeout", "10min")
	g.exec(user, "SET statement_timeout = '5min'")
	g.exec(user, "RESET statement_timeout")
	g.want(user, "SHOW statement_timeout", "10min")
	g.want(user, "SELECT DISTINCT current_setting('statement_timeout') FROM t WHERE k < 10", "10min")
	g.exec(c, "ALTER ROLE "+role+" SET statement_timeout = '3s'")
	g.exec(c, "ALTER ROLE "+role+" IN DATABASE "+g.rows(c, "SELECT current_database()")+" SET work_mem = '5MB'")
	user = limited()
	timedOut(t, "a role's limit", simply(t, user, "SELECT pg_sleep(600) FROM t"))
	g.unlimited(user)
	g.want(user, "SHOW work_mem", "5MB")
	g.exec(c, "ALTER ROLE "+role+" SET statement_timeout = 0")
	g.exec(c, "ALTER ROLE "+role+" SET idle_session_timeout = '200ms'")
	ended(t, limited(), "57P05")
}

func TestLockTimeout(t *testing.T) {
	t.Parallel()
	g := start(t)
	c, other := g.connect(), g.connect()
	g.distributed(c, 20)
	g.exec(other, "BEGIN")
	g.exec(other, "SELECT k FROM t WHERE k IN (7, 8, 9, 10, 11) FOR UPDATE")
	for _, text := range []string{
		"UPDATE t SET n = 0 WHERE k = 7", "UPDATE t SET n = 0", "DELETE FROM t WHERE n IN (SELECT max(n) FROM t)",
		"SELECT k FROM t WHERE k < 10 FOR UPDATE", "ALTER TABLE t ADD COLUMN x int", "SELECT undistribute_table('t')",
	} {
		g.exec(c, "SET lock_timeout = '200ms'")
		g.fails(c, text, "55P03")
		g.exec(c, "BEGIN; SET LOCAL lock_timeout = '300ms'", pgx.QueryExecModeSimpleProtocol)
		g.fails(c, text, "55P03")
		g.exec(c, "ROLLBACK")
	}
	g.want(c, "SHOW lock_timeout", "200ms")
}

func TestIdleTimeouts(t *testing.T) {
	t.Parallel()
	g := start(t)
	c, other := g.connect(), g.connect()
	g.distributed(c, 20)

	g.exec(c, "SET idle_in_transaction_session_timeout = '200ms'")
	g.want(c, "SHOW idle_in_transaction_session_timeout", "200ms")
	g.exec(c, "BEGIN; UPDATE t SET n = 100", pgx.QueryExecModeSimpleProtocol)
	ended(t, c, "25P03")
	g.exec(other, "UPDATE t SET n = 1") // whose locks are gone
	g.want(other, "SELECT count(*) FROM t WHERE n = 1", "20")

	c = g.connect()
	g.exec(c, "SET idle_session_timeout = '1h'")
	g.fails(c, "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '200ms'; SELECT 1/0", "22012")
	ended(t, c, "25P03")

	c = g.connect()
	g.exec(c, "SET idle_session_timeout = '200ms'")
	ended(t, c, "57P05")

	// A node is not idle because the session is at work on another.
	c = g.connect()
	g.exec(c, "SET idle_in_transaction_session_timeout = '1h'")
	g.exec(c, "SET idle_session_timeout = '1h'")
	g.exec(c, "BEGIN")
	g.exec(c, "SET LOCAL idle_in_transaction_session_timeout = '30min'")
	g.want(c, "SHOW idle_in_transaction_session_timeout", "30min")
	for _, from := range []string{"", " FROM t"} {
		g.want(c, "SELECT DISTINCT current_setting('idle_in_transaction_session_timeout'), current_setting('idle_session_timeout')"+from, "0|0")
	}
	g.exec(c, "COMMIT")
	g.want(c, "SHOW idle_in_transaction_session_timeout", "1h")
	g.exec(c, "RESET idle_in_transaction_session_timeout")
	g.want(c, "SHOW idle_in_transaction_session_timeout", "0")
}

// ended waits for the session's end, for a reason.
func ended(t *testing.T, c *pgx.Conn, code string) {
	t.Helper()
	_, err := c.PgConn().ReceiveMessage(t.Context())
	var failure *pgconn.PgError
	if !errors.As(err, &failure) || failure.Code != code || failure.Severity != "FATAL" {
		t.Errorf("the session ended with %v, not %s", err, code)
	}
}

// unlimited turns the limit off, which may itself take too long.
func (g *gateway) unlimited(c *pgx.Conn) {
	g.t.Helper()
	for {
		err := simply(g.t, c, "SET statement_timeout = 0")
		if err == nil {
			return
		}
		timedOut(g.t, "turning the limit off", err)
		if g.t.Failed() {
			g.t.FailNow()
		}
	}
}

// simply runs a text by the simple protocol.
func simply(t *testing.T, c *pgx.Conn, text string) error {
	_, err := c.PgConn().Exec(t.Context(), text).ReadAll()
	return err
}

func timedOut(t *testing.T, what string, err error) {
	t.Helper()
	var failure *pgconn.PgError
	if !errors.As(err, &failure) || failure.Code != "57014" || failure.Message != "canceling statement due to statement timeout" {
		t.Errorf("%s: %v, not a statement timeout", what, err)
	}
}
