package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// moving makes two tables whose join moves rows, and a session in which all that can be repartitioned is.
func moving(t *testing.T) (*gateway, *pgx.Conn) {
	t.Helper()
	g := start(t)
	c := g.connect()
	for _, text := range []string{
		"CREATE TABLE a (id int PRIMARY KEY, v int)", "CREATE TABLE b (id int PRIMARY KEY, v int, filler text)",
		"SELECT create_distributed_table('a', 'id')", "SELECT create_distributed_table('b', 'id')",
		"INSERT INTO a SELECT g, g % 100 FROM generate_series(1, 1000) AS g",
		"INSERT INTO b SELECT g, g % 900, repeat('x', 100) FROM generate_series(1, 3000) AS g",
		"SET citus.enable_single_hash_repartition_joins = on",
	} {
		g.exec(c, text)
	}
	return g, c
}

// temporaryTables counts the statement's temporary tables on all workers.
func (g *gateway) temporaryTables() int {
	g.t.Helper()
	config, err := pgx.ParseConfig(g.dsn)
	if err != nil {
		g.t.Fatal(err)
	}
	total := 0
	for _, w := range shared.Cluster(g.t, 2).Workers {
		conn, err := pgx.Connect(g.t.Context(), w.DSN(config.Database))
		if err != nil {
			g.t.Fatal(err)
		}
		var n int
		err = conn.QueryRow(g.t.Context(), "SELECT count(*) FROM pg_class WHERE relname LIKE 'trunkline_result%'").Scan(&n)
		conn.Close(context.Background())
		if err != nil {
			g.t.Fatal(err)
		}
		total += n
	}
	return total
}

// untilTables waits for the number of temporary tables to be as wanted.
func (g *gateway) untilTables(wanted func(tables int) bool) {
	g.t.Helper()
	ctx, stop := context.WithTimeout(g.t.Context(), time.Minute)
	defer stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !wanted(g.temporaryTables()) {
		select {
		case <-ctx.Done():
			g.t.Fatalf("%d temporary tables after a minute", g.temporaryTables())
		case <-tick.C:
		}
	}
}

func none(tables int) bool { return tables == 0 }
func some(tables int) bool { return tables > 0 }

// slow repartitions b, then waits for longer than any test.
const slow = "SELECT a.id, pg_sleep(600) FROM a LEFT JOIN b ON a.id = b.v"

func TestMovedRowsAreBounded(t *testing.T) {
	t.Parallel()
	g, c := moving(t)
	for _, text := range []string{
		"SELECT a.id, b.filler FROM a LEFT JOIN b ON a.id = b.v",                                  // repartitioned
		"SELECT a.id FROM a WHERE id NOT IN (SELECT length(filler) + v FROM b WHERE filler > '')", // kept
	} {
		g.exec(c, "SET citus.max_intermediate_result_size = 10")
		_, err := c.Exec(t.Context(), text)
		var failure *pgconn.PgError
		if !errors.As(err, &failure) || failure.Code != "54000" || failure.Hint == "" {
			t.Errorf("%s: %v", text, err)
		}
		g.untilTables(none)
		g.exec(c, "SET citus.max_intermediate_result_size = -1")
		g.exec(c, text)
	}
	g.untilTables(none)
}

func TestMovedRowsAreCleanedUpAfterCancelling(t *testing.T) {
	t.Parallel()
	g, c := moving(t)
	done := make(chan error, 1)
	go func() {
		_, err := c.Exec(t.Context(), slow)
		done <- err
	}()
	g.untilTables(some)
	if err := c.PgConn().CancelRequest(t.Context()); err != nil {
		t.Fatal(err)
	}
	var failure *pgconn.PgError
	if err := <-done; !errors.As(err, &failure) || failure.Code != "57014" {
		t.Fatalf("the cancelled statement ended with %v", err)
	}
	g.untilTables(none)
	var n int
	if err := c.QueryRow(t.Context(), "SELECT count(*) FROM a LEFT JOIN b ON a.id = b.v").Scan(&n); err != nil || n != 3098 {
		t.Fatalf("%d rows, %v", n, err)
	}
}

func TestMovedRowsAreCleanedUpAfterDisconnecting(t *testing.T) {
	t.Parallel()
	g, c := moving(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = c.Exec(t.Context(), slow)
	}()
	g.untilTables(some)
	c.PgConn().Conn().Close()
	<-done
	g.untilTables(none)
}

func TestMovedRowsAreCleanedUpAfterErrors(t *testing.T) {
	t.Parallel()
	g, c := moving(t)
	_, err := c.Exec(t.Context(), "SELECT a.id, 1 / (a.v - a.v) FROM a LEFT JOIN b ON a.id = b.v")
	var failure *pgconn.PgError
	if !errors.As(err, &failure) || failure.Code != "22012" {
		t.Fatal(err)
	}
	g.untilTables(none)
	g.exec(c, "SELECT a.id FROM a LEFT JOIN b ON a.id = b.v")
}

// explained is a part of an explanation in JSON.
type explained struct {
	Title  string `json:"Node Type"`
	Reason string
	Rows   string
	Remote json.RawMessage `json:"Remote Plan"`
	Plans  []explained
}

func TestExplainAnalyzeOfSeveralSteps(t *testing.T) {
	t.Parallel()
	g, c := moving(t)
	for _, test := range []struct{ text, reason, rows string }{
		{"SELECT a.id FROM a LEFT JOIN b ON a.id = b.v", "repartition of b", "3000"},
		{"SELECT v, count(*) FROM a GROUP BY v", "partial aggregates", ""},
		{"WITH gone AS (DELETE FROM a WHERE v = 7 RETURNING id) SELECT count(*) FROM gone", "WITH query", "10"},
		{"UPDATE a SET v = b.v FROM b WHERE b.v = a.id AND b.id < 500", "repartition of b", "499"},
	} {
		for _, options := range []string{"ANALYZE", "ANALYZE, VERBOSE, BUFFERS, SETTINGS, COSTS OFF"} {
			g.exec(c, "BEGIN")
			var text string
			if err := c.QueryRow(t.Context(), "EXPLAIN ("+options+", FORMAT JSON) "+test.text).Scan(&text); err != nil {
				t.Fatalf("%s: %v", test.text, err)
			}
			g.exec(c, "ROLLBACK")
			var whole []struct{ Plan explained }
			if err := json.Unmarshal([]byte(text), &whole); err != nil || len(whole) != 1 || len(whole[0].Plan.Plans) < 2 {
				t.Fatalf("%s: %v in %s", test.text, err, text)
			}
			first := whole[0].Plan.Plans[0]
			if !strings.Contains(first.Reason, test.reason) || len(first.Plans) == 0 || len(first.Plans[0].Remote) == 0 {
				t.Errorf("%s: the first step is %+v", test.text, first)
			}
			if test.rows != "" && first.Rows != test.rows {
				t.Errorf("%s: %s rows, want %s", test.text, first.Rows, test.rows)
			}
		}
	}
	var n int
	if err := c.QueryRow(t.Context(), "SELECT count(*) FROM a WHERE v = 7").Scan(&n); err != nil || n != 10 {
		t.Errorf("%d rows are left: %v", n, err)
	}
}
