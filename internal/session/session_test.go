package session_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// rows gives a query's rows by the simple protocol, values of a row joined by |, rows by a space.
func (g *gateway) rows(c *pgx.Conn, text string) string {
	g.t.Helper()
	results, err := c.PgConn().Exec(g.t.Context(), text).ReadAll()
	if err != nil {
		g.t.Fatalf("%s: %v", text, err)
	}
	var rows []string
	for _, r := range results {
		for _, row := range r.Rows {
			var values []string
			for _, v := range row {
				if v == nil {
					values = append(values, "NULL")
				} else {
					values = append(values, string(v))
				}
			}
			rows = append(rows, strings.Join(values, "|"))
		}
	}
	return strings.Join(rows, " ")
}

func (g *gateway) want(c *pgx.Conn, text, want string) {
	g.t.Helper()
	if got := g.rows(c, text); got != want {
		g.t.Errorf("%s\n  gives %s\n  not   %s", text, got, want)
	}
}

// fails makes sure that a statement fails with a SQLSTATE.
func (g *gateway) fails(c *pgx.Conn, text, code string) *pgconn.PgError {
	g.t.Helper()
	_, err := c.PgConn().Exec(g.t.Context(), text).ReadAll()
	var failure *pgconn.PgError
	if !errors.As(err, &failure) || failure.Code != code {
		g.t.Errorf("%s: %v, not %s", text, err, code)
		return &pgconn.PgError{}
	}
	return failure
}

// distributed makes table t (k, v, n) with rows k = 1 … n.
func (g *gateway) distributed(c *pgx.Conn, n int) {
	g.t.Helper()
	g.exec(c, "CREATE TABLE t (k int PRIMARY KEY, v text, n int)")
	g.exec(c, "SELECT create_distributed_table('t', 'k')")
	g.exec(c, fmt.Sprintf("INSERT INTO t SELECT i, 'v' || i, i %% 3 FROM generate_series(1, %d) i", n))
}

func TestSimpleProtocol(t *testing.T) {
	g := start(t)
	c := g.connect()
	g.distributed(c, 20)
	g.want(c, "", "")
	g.want(c, "SELECT 1; SELECT k FROM t WHERE k = 3; SELECT 'x'", "1 3 x")
	g.want(c, "SELECT k FROM t ORDER BY k DESC LIMIT 3 OFFSET 1", "19 18 17")
	g.want(c, "SELECT n, count(*), min(v) FROM t GROUP BY n ORDER BY n", "0|6|v12 1|7|v1 2|7|v11")

	// A string of several statements is one transaction.
	g.fails(c, "INSERT INTO t VALUES (101, 'a', 0), (102, 'b', 0); SELECT 1/0", "22012")
	g.want(c, "SELECT count(*) FROM t", "20")
	// … unless it says otherwise.
	g.fails(c, "INSERT INTO t VALUES (101, 'a', 0); COMMIT; INSERT INTO t VALUES (102, 'b', 0); SELECT 1/0", "22012")
	g.want(c, "SELECT count(*) FROM t", "21")
	g.want(c, "BEGIN; DELETE FROM t WHERE k = 101; SELECT count(*) FROM t", "20")
	g.want(c, "ROLLBACK; SELECT count(*) FROM t", "21")

	if e := g.fails(c, "SELECT 1; SELECT nosuch FROM t", "42703"); e.Position != 18 {
		t.Errorf("position %d", e.Position)
	}
	if e := g.fails(c, "SELECT FROM FROM", "42601"); e.Position == 0 {
		t.Error("no position")
	}
	g.fails(c, "SELECT $1::int", "42P02")
}

func TestConstraintErrorsNameTheUsersTable(t *testing.T) {
	g := start(t)
	c := g.connect()
	g.distributed(c, 3)
	e := g.fails(c, "INSERT INTO t VALUES (1, 'x', 0)", "23505")
	if e.SchemaName != "public" || e.TableName != "t" || e.ConstraintName != "t_pkey" {
		t.Errorf("%+v", e)
	}
	g.fails(c, "INSERT INTO t VALUES (NULL, 'x', 0)", "23502")
	g.fails(c, "INSERT INTO t VALUES (99999999999, 'x', 0)", "22003")
}

func TestTransactions(t *testing.T) {
	g := start(t)
	c := g.connect()
	g.distributed(c, 20)
	g.exec(c, "BEGIN")
	g.exec(c, "INSERT INTO t VALUES (100, 'a', 1)")
	g.exec(c, "SAVEPOINT a")
	g.exec(c, "UPDATE t SET v = 'changed'")
	g.want(c, "SELECT count(*) FROM t WHERE v = 'changed'", "21")
	g.fails(c, "INSERT INTO t VALUES (100, 'a', 1)", "23505")
	g.fails(c, "SELECT 1", "25P02")
	g.exec(c, "ROLLBACK TO a")
	g.want(c, "SELECT count(*) FROM t WHERE v = 'changed'", "0")
	g.exec(c, "COMMIT")
	g.want(c, "SELECT v FROM t WHERE k = 100", "a")

	g.exec(c, "BEGIN")
	g.fails(c, "SELECT 1/0", "22012")
	if tag, err := c.Exec(t.Context(), "COMMIT"); err != nil || tag.String() != "ROLLBACK" {
		t.Errorf("COMMIT of a failed block: %s, %v", tag, err)
	}
	g.exec(c, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
	g.fails(c, "INSERT INTO t VALUES (200, 'a', 1)", "25006")
	g.exec(c, "ROLLBACK")
	g.exec(c, "BEGIN")
	g.exec(c, "INSERT INTO t VALUES (201, 'a', 1)")
	g.exec(c, "COMMIT AND CHAIN")
	g.exec(c, "INSERT INTO t VALUES (202, 'a', 1)")
	g.exec(c, "ROLLBACK")
	g.want(c, "SELECT k FROM t WHERE k > 200", "201")
	g.fails(c, "SAVEPOINT x", "25P01")
}

func TestSettings(t *testing.T) {
	g := start(t)
	c := g.connect()
	g.distributed(c, 5)
	g.exec(c, "SET TimeZone = 'Asia/Tokyo'")
	g.want(c, "SELECT DISTINCT current_setting('TimeZone') FROM t", "Asia/Tokyo")
	g.exec(c, "BEGIN")
	g.exec(c, "SET TimeZone = 'Europe/Paris'")
	g.want(c, "SELECT DISTINCT current_setting('TimeZone') FROM t", "Europe/Paris")
	g.exec(c, "ROLLBACK")
	g.want(c, "SELECT DISTINCT current_setting('TimeZone') FROM t", "Asia/Tokyo")
	g.exec(c, "BEGIN")
	g.exec(c, "SET LOCAL TimeZone = 'Europe/Rome'")
	g.want(c, "SELECT DISTINCT current_setting('TimeZone') FROM t", "Europe/Rome")
	g.exec(c, "COMMIT")
	g.want(c, "SHOW TimeZone", "Asia/Tokyo")
	g.exec(c, "RESET ALL")
	g.want(c, "SELECT DISTINCT current_setting('TimeZone') FROM t", "UTC")

	g.exec(c, "CREATE SCHEMA other")
	g.exec(c, "CREATE TABLE other.t (k int)")
	g.exec(c, "SET search_path = other, public")
	g.want(c, "SELECT count(*) FROM t", "0")
	g.exec(c, "SET search_path = public")
	g.want(c, "SELECT count(*) FROM t", "5")
	g.exec(c, "SELECT set_config('search_path', 'other', false)")
	g.want(c, "SELECT count(*) FROM t", "0")
	g.exec(c, "DISCARD ALL")
	g.want(c, "SELECT count(*) FROM t", "5")
	g.fails(c, "SET nosuch = 1", "42704")
	g.want(c, "SHOW citus.shard_count", "32")
	g.exec(c, "SET citus.shard_count = 8")
	g.want(c, "SHOW citus.shard_count", "8")
	g.exec(c, "SET canopy.shard_count TO 6")
	g.want(c, "SHOW citus.shard_count", "6")
	g.fails(c, "SET citus.shard_count = 0", "22023")
	g.fails(c, "SET citus.shard_replication_factor = 2", "0A000")
	g.exec(c, "SET citus.enable_repartition_joins = on")
}

func TestTemporaryTables(t *testing.T) {
	g := start(t)
	c, d := g.connect(), g.connect()
	g.distributed(c, 5)
	g.exec(c, "CREATE TEMP TABLE mine (k int)")
	g.exec(c, "INSERT INTO mine VALUES (2), (3)")
	g.want(c, "SELECT count(*) FROM mine", "2")
	g.want(c, "SELECT t.v FROM t JOIN mine USING (k) ORDER BY 1", "v2 v3")
	g.fails(d, "SELECT * FROM mine", "42P01")
	g.exec(c, "CREATE TEMP TABLE t (x int)")
	g.want(c, "SELECT count(*) FROM t", "0")
	g.want(d, "SELECT count(*) FROM t", "5")
	g.exec(c, "DROP TABLE pg_temp.t")
	g.want(c, "SELECT count(*) FROM t", "5")
	g.exec(c, "BEGIN")
	g.exec(c, "CREATE TEMP TABLE t (x int) ON COMMIT DROP")
	g.want(c, "SELECT count(*) FROM t", "0")
	g.exec(c, "COMMIT")
	g.want(c, "SELECT count(*) FROM t", "5")
}

func TestPreparedStatementsAndCursorsInSQL(t *testing.T) {
	g := start(t)
	c := g.connect()
	g.distributed(c, 10)
	g.exec(c, "PREPARE p (int, text) AS SELECT k, v || $2 FROM t WHERE k = $1")
	g.want(c, "EXECUTE p (1 + 1, '!')", "2|v2!")
	g.fails(c, "EXECUTE p (1)", "42601")
	g.exec(c, "DEALLOCATE p")
	g.fails(c, "EXECUTE p (1, '')", "26000")
	g.fails(c, "DECLARE c CURSOR FOR SELECT k FROM t", "25P01")
	g.exec(c, "BEGIN")
	g.exec(c, "DECLARE c SCROLL CURSOR FOR SELECT k FROM t ORDER BY k")
	for _, step := range [][2]string{
		{"FETCH 2 FROM c", "1 2"}, {"FETCH BACKWARD 5 FROM c", "1"}, {"FETCH c", "1"}, {"FETCH ABSOLUTE -1 FROM c", "10"},
		{"FETCH c", ""}, {"FETCH PRIOR FROM c", "10"}, {"FETCH RELATIVE -3 FROM c", "7"}, {"FETCH FORWARD ALL FROM c", "8 9 10"},
		{"FETCH BACKWARD ALL FROM c", "10 9 8 7 6 5 4 3 2 1"}, {"FETCH ABSOLUTE 4 FROM c", "4"}, {"FETCH RELATIVE 0 FROM c", "4"},
	} {
		g.want(c, step[0], step[1])
	}
	g.exec(c, "CLOSE c")
	g.fails(c, "FETCH c", "34000")
	g.exec(c, "ROLLBACK")
	g.exec(c, "DECLARE h CURSOR WITH HOLD FOR SELECT k FROM t ORDER BY k")
	g.want(c, "FETCH 2 FROM h", "1 2")
	g.exec(c, "CLOSE h")
}

func TestExtendedProtocol(t *testing.T) {
	g := start(t)
	c := g.connect()
	g.distributed(c, 10)
	ctx := t.Context()
	for range 2 {
		var v string
		if err := c.QueryRow(ctx, "SELECT v FROM t WHERE k = $1", 7).Scan(&v); err != nil || v != "v7" {
			t.Fatalf("%q, %v", v, err)
		}
		var n int64
		if err := c.QueryRow(ctx, "SELECT sum(k) FROM t WHERE k = ANY ($1) AND n < $2", []int32{1, 2, 3, 4}, 2).Scan(&n); err != nil || n != 1+3+4 {
			t.Fatalf("%d, %v", n, err)
		}
	}
	rows, err := c.Query(ctx, "SELECT k, v FROM t ORDER BY k LIMIT $1", 3)
	if err != nil {
		t.Fatal(err)
	}
	var ks []int32
	for rows.Next() {
		var k int32
		var v string
		if err := rows.Scan(&k, &v); err != nil {
			t.Fatal(err)
		}
		ks = append(ks, k)
	}
	if err := rows.Err(); err != nil || fmt.Sprint(ks) != "[1 2 3]" {
		t.Fatalf("%v, %v", ks, err)
	}

	// A pipeline is one transaction.
	batch := &pgx.Batch{}
	batch.Queue("INSERT INTO t VALUES ($1, 'x', 0)", 50)
	batch.Queue("INSERT INTO t VALUES ($1, 'x', 0)", 51)
	batch.Queue("INSERT INTO t VALUES ($1, 'x', 0)", 50)
	if err := c.SendBatch(ctx, batch).Close(); err == nil {
		t.Fatal("a duplicate key was taken")
	}
	g.want(c, "SELECT count(*) FROM t", "10")

	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		var n int64
		if err := c.QueryRow(ctx, "SELECT count(*) FROM t WHERE k > $1 AND k <= 10", mode, int32(4)).Scan(&n); err != nil || n != 6 {
			t.Errorf("mode %v: %d, %v", mode, n, err)
		}
		if _, err := c.Exec(ctx, "INSERT INTO t VALUES ($1, $2, $3)", mode, int32(1000+int(mode)), "m", int32(5)); err != nil {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
	g.want(c, "SELECT count(*) FROM t WHERE n = 5", "5")
	n, err := c.CopyFrom(ctx, pgx.Identifier{"t"}, []string{"k", "v", "n"}, pgx.CopyFromRows([][]any{{2001, "a", 9}, {2002, "b", 9}}))
	if err != nil || n != 2 {
		t.Errorf("%d, %v", n, err)
	}
	g.want(c, "SELECT v FROM t WHERE n = 9 ORDER BY 1", "a b")
}

func TestDefinitionsChange(t *testing.T) {
	g := start(t)
	c, d := g.connect(), g.connect()
	g.distributed(c, 3)
	count := func(c *pgx.Conn) int {
		rows, err := c.Query(t.Context(), "SELECT * FROM t WHERE k = $1", 2)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		if !rows.Next() {
			t.Fatal(rows.Err())
		}
		return len(rows.FieldDescriptions())
	}
	if count(c) != 3 || count(d) != 3 {
		t.Error("columns")
	}
	g.exec(c, "ALTER TABLE t ADD COLUMN more int")
	// PostgreSQL, too, refuses a prepared statement once; pgx then prepares it anew.
	for _, c := range []*pgx.Conn{c, d} {
		_, err := c.Exec(t.Context(), "SELECT * FROM t WHERE k = $1", 2)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Message != "cached plan must not change result type" || refused.Routine != "RevalidateCachedQuery" {
			t.Errorf("%+v", err)
		}
		if n := count(c); n != 4 {
			t.Errorf("%d columns", n)
		}
	}
	g.exec(c, "DROP TABLE t")
	g.fails(c, "SELECT * FROM t", "42P01")
	g.exec(c, "CREATE TABLE t (k bigint, x date)")
	g.want(d, "SELECT count(*) FROM t", "0")
	g.exec(c, "SELECT create_distributed_table('t', 'k')")
	g.exec(d, "INSERT INTO t VALUES (1, '2020-01-01'), (2, NULL)")
	g.want(c, "SELECT count(x) FROM t", "1")
	g.exec(c, "BEGIN")
	g.exec(c, "CREATE TABLE u (k bigint)")
	g.exec(c, "SELECT create_distributed_table('u', 'k')")
	g.exec(c, "INSERT INTO u SELECT k FROM t")
	g.want(c, "SELECT count(*) FROM u JOIN t USING (k)", "2")
	g.exec(c, "ROLLBACK")
	g.fails(c, "SELECT * FROM u", "42P01")
}

// TestPortals speaks the protocol itself.
func TestPortals(t *testing.T) {
	g := start(t)
	c := g.connect()
	g.distributed(c, 10)
	f := c.PgConn().Frontend()
	answer := func() string {
		t.Helper()
		if err := f.Flush(); err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for {
			m, err := f.Receive()
			if err != nil {
				t.Fatal(err)
			}
			switch m := m.(type) {
			case *pgproto3.DataRow:
				kinds = append(kinds, string(m.Values[0]))
			case *pgproto3.CommandComplete:
				kinds = append(kinds, string(m.CommandTag))
			case *pgproto3.ErrorResponse:
				kinds = append(kinds, m.Code)
			case *pgproto3.ReadyForQuery:
				return strings.Join(append(kinds, string(m.TxStatus)), " ")
			default:
				kinds = append(kinds, strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3."))
			}
		}
	}
	f.SendParse(&pgproto3.Parse{Query: "SELECT k FROM t ORDER BY k LIMIT 5"})
	f.SendBind(&pgproto3.Bind{DestinationPortal: "p"})
	f.SendExecute(&pgproto3.Execute{Portal: "p", MaxRows: 2})
	f.SendExecute(&pgproto3.Execute{Portal: "p", MaxRows: 2})
	f.SendExecute(&pgproto3.Execute{Portal: "p", MaxRows: 2})
	f.SendSync(&pgproto3.Sync{})
	if got := answer(); got != "ParseComplete BindComplete 1 2 PortalSuspended 3 4 PortalSuspended 5 SELECT 1 I" {
		t.Error(got)
	}
	f.SendExecute(&pgproto3.Execute{Portal: "p"})
	f.SendParse(&pgproto3.Parse{Query: "SELECT 1"})
	f.SendSync(&pgproto3.Sync{})
	if got := answer(); got != "34000 I" {
		t.Error(got)
	}
	f.SendParse(&pgproto3.Parse{Name: "s", Query: "SELECT v FROM t WHERE k = $1"})
	f.SendDescribe(&pgproto3.Describe{ObjectType: 'S', Name: "s"})
	f.SendBind(&pgproto3.Bind{PreparedStatement: "s", Parameters: [][]byte{[]byte("3")}})
	f.SendDescribe(&pgproto3.Describe{ObjectType: 'P'})
	f.SendExecute(&pgproto3.Execute{})
	f.SendClose(&pgproto3.Close{ObjectType: 'S', Name: "s"})
	f.SendSync(&pgproto3.Sync{})
	if got := answer(); got != "ParseComplete ParameterDescription RowDescription BindComplete RowDescription v3 SELECT 1 CloseComplete I" {
		t.Error(got)
	}
	f.SendParse(&pgproto3.Parse{Query: ""})
	f.SendBind(&pgproto3.Bind{})
	f.SendDescribe(&pgproto3.Describe{ObjectType: 'P'})
	f.SendExecute(&pgproto3.Execute{})
	f.SendSync(&pgproto3.Sync{})
	if got := answer(); got != "ParseComplete BindComplete NoData EmptyQueryResponse I" {
		t.Error(got)
	}
	f.SendParse(&pgproto3.Parse{Query: "BEGIN"})
	f.SendBind(&pgproto3.Bind{})
	f.SendExecute(&pgproto3.Execute{})
	f.SendParse(&pgproto3.Parse{Query: "SELECT 1/0"})
	f.SendBind(&pgproto3.Bind{})
	f.SendExecute(&pgproto3.Execute{})
	f.SendSync(&pgproto3.Sync{})
	if got := answer(); got != "ParseComplete BindComplete BEGIN ParseComplete 22012 E" {
		t.Error(got)
	}
	f.SendQuery(&pgproto3.Query{String: "ROLLBACK"})
	if got := answer(); got != "ROLLBACK I" {
		t.Error(got)
	}
}

// cancelled runs a statement and sends cancel requests until it ends, which must be by one of them.
func (g *gateway) cancelled(c *pgx.Conn, text string) {
	g.t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := c.PgConn().Exec(context.Background(), text).ReadAll()
		done <- err
	}()
	for {
		if err := c.PgConn().CancelRequest(g.t.Context()); err != nil {
			g.t.Fatal(err)
		}
		select {
		case err := <-done:
			var failure *pgconn.PgError
			if !errors.As(err, &failure) || failure.Code != "57014" {
				g.t.Fatalf("%s: %v", text, err)
			}
		case <-time.After(100 * time.Millisecond):
			continue
		}
		break
	}
}

func TestCancel(t *testing.T) {
	g := start(t)
	c := g.connect()
	g.distributed(c, 10)
	for _, text := range []string{"SELECT pg_sleep(60)", "SELECT count(pg_sleep(60)) FROM t", "SELECT pg_sleep(60) FROM t WHERE k = 1"} {
		g.cancelled(c, text)
		g.want(c, "SELECT count(*) FROM t", "10")
	}
}

func TestNotificationsReachIdleClients(t *testing.T) {
	g := start(t)
	c, d := g.connect(), g.connect()
	g.exec(c, "LISTEN news")
	notified := make(chan error, 1)
	go func() {
		_, err := d.Exec(t.Context(), "NOTIFY news, 'hello'")
		notified <- err
	}()
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	n, err := c.WaitForNotification(ctx)
	if err != nil || n.Payload != "hello" {
		t.Fatalf("%v, %v", n, err)
	}
	if err := <-notified; err != nil {
		t.Fatal(err)
	}

	// A client whose statement was cancelled goes on listening.
	g.distributed(d, 3)
	for _, text := range []string{"SELECT pg_sleep(60)", "SELECT count(pg_sleep(60)) FROM t"} {
		g.cancelled(c, text)
		g.exec(d, "NOTIFY news, 'again'")
		if n, err := c.WaitForNotification(ctx); err != nil || n.Payload != "again" {
			t.Fatalf("after cancelling %s: %v, %v", text, n, err)
		}
	}
}

func TestExplain(t *testing.T) {
	g := start(t)
	c := g.connect()
	g.distributed(c, 10)
	for _, text := range []string{
		"EXPLAIN SELECT * FROM t WHERE k = 1", "EXPLAIN ANALYZE SELECT count(*) FROM t", "EXPLAIN (VERBOSE, COSTS OFF) SELECT * FROM t ORDER BY k",
		"EXPLAIN INSERT INTO t VALUES (77, 'x', 1)", "EXPLAIN ANALYZE UPDATE t SET v = v", "EXPLAIN (FORMAT XML) SELECT n, avg(k) FROM t GROUP BY n",
	} {
		if got := g.rows(c, text); !strings.Contains(got, "Trunkline") || strings.Contains(got, "public_1") {
			t.Errorf("%s:\n%s", text, got)
		}
	}
	g.want(c, "SELECT count(*) FROM t", "10")
	var document []map[string]any
	if err := c.QueryRow(t.Context(), "EXPLAIN (ANALYZE, FORMAT JSON) SELECT n, count(*) FROM t GROUP BY n").Scan(&document); err != nil {
		t.Fatal(err)
	}
}

func TestReferenceTables(t *testing.T) {
	g := start(t)
	c := g.connect()
	g.distributed(c, 10)
	g.exec(c, "CREATE TABLE r (n int PRIMARY KEY, name text, at timestamptz DEFAULT clock_timestamp())")
	g.exec(c, "SELECT create_reference_table('r')")
	g.want(c, "INSERT INTO r VALUES (0, 'zero'), (1, 'one'), (2, 'two') RETURNING n", "0 1 2")
	g.want(c, "SELECT name, count(*) FROM t JOIN r USING (n) GROUP BY name ORDER BY name", "one|4 two|3 zero|3")
	g.exec(c, "BEGIN")
	g.exec(c, "DELETE FROM r WHERE n = 2")
	g.want(c, "SELECT count(*) FROM t JOIN r USING (n)", "7")
	g.exec(c, "ROLLBACK")
	g.want(c, "SELECT count(*) FROM t JOIN r USING (n)", "10")
}
