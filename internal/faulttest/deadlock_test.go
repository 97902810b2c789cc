package faulttest

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/session"
)

// gateway serves a coordinator's database in this process until the test ends, and gives its connection string.
func gateway(t testing.TB, dsn, database string, change ...func(*session.Config)) string {
	t.Helper()
	_, dsn = inProcess(t, dsn, database, change...)
	return dsn
}

func inProcess(t testing.TB, dsn, database string, change ...func(*session.Config)) (*session.Server, string) {
	t.Helper()
	config := quick(session.Config{Coordinator: dsn, Trust: true, ShardCount: 8})
	for _, f := range change {
		f(&config)
	}
	server, err := session.NewServer(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("serving: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the gateway does not stop")
		}
	})
	return server, gatewayDSN(listener.Addr().(*net.TCPAddr).Port, database)
}

// sharedLab is a database of the test's own on servers that the package's tests share, which must not be broken.
func sharedLab(t testing.TB) *lab {
	t.Helper()
	servers := shared.Cluster(t, 2)
	l := &lab{TB: t, database: servers.Database(t)}
	for _, s := range servers.All() {
		l.nodes = append(l.nodes, &node{t: t, server: s})
	}
	return l
}

// keyOn gives a key of a table whose row lives on a node group, from 1 up, other than those in not.
func (l *lab) keyOn(c *pgx.Conn, table string, group int) (key int) {
	l.Helper()
	text := `SELECT k FROM generate_series(1, 1000) k WHERE (SELECT groupid FROM pg_dist_placement WHERE shardid = get_shard_id_for_distribution_column('` + table + `', k)) = $1 LIMIT 1`
	if err := c.QueryRow(l.Context(), text, group).Scan(&key); err != nil {
		l.Fatal(err)
	}
	return key
}

func TestDistributedDeadlock(t *testing.T) {
	l := sharedLab(t)
	one, two := gateway(t, l.coordinator(), l.database), gateway(t, l.coordinator(), l.database)
	l.form(one)
	admin := l.connect(one)
	defer admin.Close(context.Background())
	l.exec(admin, "CREATE TABLE acct (id int PRIMARY KEY, n int)")
	l.exec(admin, "SELECT create_distributed_table('acct', 'id')")
	l.exec(admin, "INSERT INTO acct SELECT g, 0 FROM generate_series(1, 1000) g")
	a, b := l.keyOn(admin, "acct", 1), l.keyOn(admin, "acct", 2)
	c := l.keyOn(admin, "acct", 0)

	for _, test := range []struct {
		name string
		dsns []string
		keys []int
		mode pgx.QueryExecMode
	}{
		{"one gateway", []string{one, one}, []int{a, b}, pgx.QueryExecModeSimpleProtocol},
		{"two gateways", []string{one, two}, []int{a, b}, pgx.QueryExecModeCacheStatement},
		{"three transactions over three nodes", []string{two, one, two}, []int{a, b, c}, pgx.QueryExecModeExec},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := *l
			l.TB = t
			n := len(test.dsns)
			conns := make([]*pgx.Conn, n)
			for i, dsn := range test.dsns {
				conns[i] = l.connect(dsn)
				defer conns[i].Close(context.Background())
				l.exec(conns[i], "BEGIN")
				l.exec(conns[i], "UPDATE acct SET n = n + 1 WHERE id = $1", test.mode, test.keys[i])
			}
			type end struct {
				who  int
				err  error
				time time.Duration
			}
			ends := make(chan end, n)
			started := time.Now()
			for i, c := range conns {
				go func() {
					_, err := c.Exec(t.Context(), "UPDATE acct SET n = n + 1 WHERE id = $1", test.mode, test.keys[(i+1)%n])
					took := time.Since(started)
					if err == nil {
						_, err = c.Exec(t.Context(), "COMMIT")
					} else {
						c.Exec(t.Context(), "ROLLBACK")
					}
					ends <- end{i, err, took}
				}()
			}
			victims := 0
			for range n {
				e := <-ends
				if e.err != nil {
					victims++
					if sqlState(e.err) != "40P01" {
						t.Errorf("client %d: %v", e.who, e.err)
					}
					if e.who != n-1 {
						t.Errorf("client %d was ended, not the youngest", e.who)
					}
				}
				if e.time > 4*time.Second { // 2 × deadlock_timeout, and room for a busy machine
					t.Errorf("client %d waited for %s", e.who, e.time)
				}
			}
			if victims != 1 {
				t.Errorf("%d clients were ended to end the deadlock", victims)
			}
			l.settled(5 * time.Second)
		})
	}
	if got := l.one(admin, "SELECT sum(n) FROM acct"); got != "8" {
		t.Errorf("%s updates are there, not those of the four transactions that committed", got)
	}
	const published = "SELECT count(*) FROM trunkline_internal.waiting_block"
	eventually(t, 5*time.Second, "what waiting blocks published is removed", func() bool {
		return pgtest.Rows(t, l.coordinator(), published)[0][0] == "0"
	})
}

// Statements over several nodes outside of a block take part in deadlocks too: as one transaction they hold locks on one node while they
// wait on another.
func TestDeadlockWithStatement(t *testing.T) {
	l := sharedLab(t)
	one := gateway(t, l.coordinator(), l.database)
	l.form(one)
	block, single := l.connect(one), l.connect(one)
	defer block.Close(context.Background())
	defer single.Close(context.Background())
	l.exec(block, "CREATE TABLE acct (id int PRIMARY KEY, n int)")
	l.exec(block, "SELECT create_distributed_table('acct', 'id')")
	l.exec(block, "INSERT INTO acct SELECT g, 0 FROM generate_series(1, 1000) g")
	a, b := l.keyOn(block, "acct", 1), l.keyOn(block, "acct", 2)
	for _, text := range []string{
		fmt.Sprintf("UPDATE acct SET n = n + 1 WHERE id IN (%d, %d)", a, b),
		fmt.Sprintf("SELECT * FROM acct WHERE id IN (%d, %d) FOR UPDATE", a, b),
	} {
		l.exec(block, "BEGIN")
		l.exec(block, "UPDATE acct SET n = n + 1 WHERE id = $1", a)
		ended := make(chan error, 1)
		go func() {
			_, err := single.Exec(t.Context(), text, pgx.QueryExecModeSimpleProtocol)
			ended <- err
		}()
		const waits = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.datname = current_database() JOIN pg_stat_activity s USING (pid) WHERE s.datid = d.oid AND NOT granted"
		eventually(t, 10*time.Second, "the statement waits", func() bool {
			return pgtest.Rows(t, l.nodes[1].server.DSN(l.database), waits)[0][0] != "0"
		})
		if _, err := block.Exec(t.Context(), "UPDATE acct SET n = n + 1 WHERE id = $1", b); err != nil {
			t.Errorf("the older transaction was ended: %v", err)
		}
		l.exec(block, "COMMIT")
		if err := <-ended; err != nil && sqlState(err) != "40P01" {
			t.Errorf("%s: %v", text, err)
		}
	}
	l.settled(5 * time.Second)
}
