package session_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/session"
)

// another starts one more gateway over the same cluster and gives a client of it.
func (g *gateway) another(c *pgx.Conn) *pgx.Conn {
	g.t.Helper()
	port := g.rows(c, "SELECT nodeport FROM pg_dist_node WHERE groupid = 0")
	dsn := "host=127.0.0.1 port=" + port + " user=postgres sslmode=disable dbname=" + c.Config().Database
	server, err := session.NewServer(g.t.Context(), session.Config{Coordinator: dsn, Trust: true, ShardCount: 4})
	if err != nil {
		g.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, listener) }()
	g.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			g.t.Errorf("serving: %v", err)
		}
	})
	config := c.Config().Copy()
	config.Port = uint16(listener.Addr().(*net.TCPAddr).Port)
	other, err := pgx.ConnectConfig(g.t.Context(), config)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { other.Close(context.Background()) })
	return other
}

func (g *gateway) until(what string, holds func() bool) {
	g.t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatalf("it does not come about: %s", what)
		}
	}
}

func TestProcessIDs(t *testing.T) {
	g := start(t)
	c := g.connect()
	g.distributed(c, 20)
	pid := strconv.Itoa(int(c.PgConn().PID()))
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec} {
		for range 2 {
			var got int
			if err := c.QueryRow(t.Context(), "SELECT pg_backend_pid()", mode).Scan(&got); err != nil || strconv.Itoa(got) != pid {
				t.Fatalf("pg_backend_pid() is %d, not %s: %v", got, pid, err)
			}
		}
	}
	g.want(c, "SELECT pg_backend_pid() AS x, k FROM t WHERE k = 3", pid+"|3")
	g.want(c, "SELECT state, datname = current_database() FROM pg_stat_activity WHERE pid = pg_backend_pid()", "active|t")
	g.want(c, "SELECT citus_pid_for_gpid(citus_backend_gpid()) = pg_backend_pid(), citus_nodeid_for_gpid(citus_backend_gpid()) = citus_coordinator_nodeid()", "t|t")
	g.want(c, "SELECT citus_calculate_gpid(citus_coordinator_nodeid(), pg_backend_pid()) = citus_backend_gpid()", "t")

	// A notification of one's own comes from one's own process id.
	g.exec(c, "LISTEN x")
	g.exec(c, "NOTIFY x")
	n, err := c.WaitForNotification(t.Context())
	if err != nil || n.PID != c.PgConn().PID() {
		t.Errorf("a notification of process %v: %v", n, err)
	}
}

// What a client runs is ended through whichever gateway, by either of its process ids.
func TestSignals(t *testing.T) {
	g := start(t)
	c := g.connect()
	other := g.another(c)
	if c.PgConn().PID() == other.PgConn().PID() {
		t.Fatal("clients of two gateways have one process id")
	}
	for _, killer := range []*pgx.Conn{g.connect(), other} {
		for _, id := range []string{"%d", "citus_calculate_gpid(citus_coordinator_nodeid(), %d)"} {
			id = fmt.Sprintf(id, c.PgConn().PID())
			failed := make(chan error, 1)
			go func() {
				_, err := c.Exec(t.Context(), "SELECT pg_sleep(60)", pgx.QueryExecModeSimpleProtocol)
				failed <- err
			}()
			g.until("the client's statement runs", func() bool {
				return g.rows(killer, fmt.Sprintf("SELECT state || query FROM citus_stat_activity WHERE NOT is_worker_query AND pid = %d", c.PgConn().PID())) == "activeSELECT pg_sleep(60)"
			})
			g.want(killer, "SELECT pg_cancel_backend("+id+")", "t")
			if state := sqlState(<-failed); state != "57014" {
				t.Fatalf("cancelled by %s: %s", id, state)
			}
		}
		victim := g.connect()
		g.want(victim, "SELECT 1", "1")
		g.want(killer, fmt.Sprintf("SELECT pg_terminate_backend(%d, 10000)", victim.PgConn().PID()), "t")
		if _, err := victim.Exec(t.Context(), "SELECT 1", pgx.QueryExecModeSimpleProtocol); sqlState(err) != "57P01" {
			t.Errorf("terminated: %v", err)
		}
		g.want(killer, fmt.Sprintf("SELECT count(*) FROM citus_stat_activity WHERE pid = %d", victim.PgConn().PID()), "0")
		g.want(killer, "SELECT pg_cancel_backend(2147483647)", "f")
		g.want(killer, "SELECT pg_cancel_backend('2147483647'), pg_cancel_backend(NULL), pg_terminate_backend(NULL, 1)", "f|NULL|NULL")
		g.want(killer, "SELECT pg_cancel_backend(n), n FROM (VALUES (2147483647)) AS v(n)", "f|2147483647")
		if _, err := killer.Exec(t.Context(), "SELECT pg_cancel_backend($1)", 2147483647); err != nil {
			t.Error(err)
		}
		g.want(killer, fmt.Sprintf("SELECT pg_terminate_backend(pid) FROM citus_dist_stat_activity WHERE pid = %d", victim.PgConn().PID()), "")
	}
	_, err := c.Exec(t.Context(), "SELECT pg_terminate_backend(pg_backend_pid())", pgx.QueryExecModeSimpleProtocol)
	if err == nil { // it is over once its statement is
		_, err = c.Exec(t.Context(), "SELECT 1", pgx.QueryExecModeSimpleProtocol)
	}
	if sqlState(err) != "57P01" {
		t.Errorf("terminating oneself: %v", err)
	}
}

// Users end what is their own only.
func TestSignalRights(t *testing.T) {
	g := start(t)
	c := g.connect()
	g.exec(c, "DROP ROLE IF EXISTS signalling_user")
	g.exec(c, "CREATE ROLE signalling_user LOGIN")
	defer g.exec(c, "DROP ROLE signalling_user")
	config := c.Config().Copy()
	config.User = "signalling_user"
	user, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close(context.Background())
	g.fails(user, fmt.Sprintf("SELECT pg_terminate_backend(%d)", c.PgConn().PID()), "42501")
	g.want(c, "SELECT 'alive'", "alive")
	g.want(user, fmt.Sprintf("SELECT query FROM citus_stat_activity WHERE pid = %d", c.PgConn().PID()), "<insufficient privilege>")
	g.want(c, fmt.Sprintf("SELECT pg_terminate_backend(%d, 10000)", user.PgConn().PID()), "t")
}

// Who waits for whom, over nodes and gateways.
func TestLockViews(t *testing.T) {
	g := start(t)
	c := g.connect()
	g.distributed(c, 20)
	waiter := g.another(c)
	g.exec(c, "BEGIN")
	g.exec(c, "UPDATE t SET n = 9 WHERE k = 7")
	done := make(chan error, 1)
	go func() {
		_, err := waiter.Exec(t.Context(), "UPDATE t SET n = 8 WHERE k = 7", pgx.QueryExecModeSimpleProtocol)
		done <- err
	}()
	watcher := g.connect()
	query := "SELECT waiting_gpid % 10000000000, blocking_gpid % 10000000000, blocked_statement, current_statement_in_blocking_process FROM citus_lock_waits"
	want := fmt.Sprintf("%d|%d|UPDATE t SET n = 8 WHERE k = 7|UPDATE t SET n = 9 WHERE k = 7", waiter.PgConn().PID(), c.PgConn().PID())
	g.until("the wait is shown: "+want, func() bool { return g.rows(watcher, query) == want })
	g.want(watcher, fmt.Sprintf("SELECT count(*) > 0 FROM citus_locks WHERE global_pid %% 10000000000 = %d AND relation_name LIKE '%%t' AND granted AND mode = 'RowExclusiveLock'", c.PgConn().PID()), "t")
	g.want(watcher, "SELECT count(*) > 0 FROM citus_stat_activity a JOIN citus_lock_waits w ON a.global_pid = w.waiting_gpid WHERE a.is_worker_query", "t")
	g.want(watcher, "SELECT count(*) FROM citus_dist_stat_activity WHERE is_worker_query", "0")
	g.exec(c, "COMMIT")
	if err := <-done; err != nil {
		t.Error(err)
	}
	g.want(watcher, "SELECT check_distributed_deadlocks()", "f")
	g.want(watcher, "SELECT citus_is_clock_after(b, a) FROM (SELECT citus_get_node_clock() a) x, LATERAL (SELECT citus_get_transaction_clock() b WHERE a IS NOT NULL) y", "t")
	if got := pgtest.Rows(t, "host=127.0.0.1 user=postgres sslmode=disable port="+g.rows(watcher, "SELECT nodeport FROM pg_dist_node WHERE groupid = 0")+" dbname="+c.Config().Database,
		"SELECT count(*) FROM trunkline_internal.gateway_request"); got[0][0] != "0" {
		t.Errorf("%s requests are left", got[0][0])
	}
}

func sqlState(err error) string {
	var failure *pgconn.PgError
	if errors.As(err, &failure) {
		return failure.Code
	}
	return ""
}

// The gateway's rounds go by what the database says, unless they are turned off there.
func TestCyclesOfDatabase(t *testing.T) {
	g := start(t)
	c := g.connect()
	g.distributed(c, 20)
	name := c.Config().Database
	g.exec(c, "ALTER DATABASE "+name+" SET citus.recover_2pc_interval = '-1'")
	g.exec(c, "ALTER DATABASE "+name+" SET citus.distributed_deadlock_detection_factor = '-1'")
	quiet := g.another(c)
	g.want(quiet, "SELECT count(*) FROM t", "20")
	g.want(quiet, "SELECT check_distributed_deadlocks()", "f")
	g.exec(c, "ALTER DATABASE "+name+" SET citus.recover_2pc_interval = '30s'")
	g.exec(c, "ALTER DATABASE "+name+" SET citus.distributed_deadlock_detection_factor = '1.5'")
	g.want(g.another(c), "SELECT count(*) FROM t", "20")
}
