package faulttest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// moveAll moves every shard group of a table to the next node, one after the other, and gives how many it moved.
func (l *lab) moveAll(c *pgx.Conn, table, mode string) int {
	l.Helper()
	rows, err := c.Query(l.Context(), `SELECT l.shardid, n.nodeid, (SELECT m.nodeid FROM pg_dist_node m WHERE m.noderole = 'primary' ORDER BY m.groupid <= n.groupid, m.groupid LIMIT 1)
		FROM pg_dist_shard s JOIN pg_dist_placement l USING (shardid) JOIN pg_dist_node n ON n.groupid = l.groupid WHERE s.logicalrelid = $1::regclass ORDER BY 1`,
		pgx.QueryExecModeSimpleProtocol, table)
	if err != nil {
		l.Fatal(err)
	}
	type step struct {
		shard    int64
		from, to int
	}
	steps, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (s step, err error) {
		err = r.Scan(&s.shard, &s.from, &s.to)
		return s, err
	})
	if err != nil {
		l.Fatal(err)
	}
	for _, s := range steps {
		l.exec(c, fmt.Sprintf("SELECT citus_move_shard_placement(%d, %d, %d, shard_transfer_mode := '%s')", s.shard, s.from, s.to, mode))
		if l.Failed() {
			break
		}
	}
	return len(steps)
}

// noMoves waits until moves have left nothing behind on any node: a temporary slot goes as soon as its process sees that its client has.
func (l *lab) noMoves() {
	l.Helper()
	const left = `SELECT coalesce(string_agg(what, '; '), '') FROM (SELECT 'publication ' || pubname AS what FROM pg_publication
		UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots WHERE database = current_database()
		UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname ~ '^trunkline_(coming|gone)') _`
	eventually(l, patience, "moves have left nothing behind", func() bool { return strings.Join(l.everywhere(left), "") == "" })
	if l.Failed() {
		l.Logf("left behind by node: %q", l.everywhere(left))
	}
}

// TestMovingUnderTraffic moves all shard groups around while clients of two gateways write and read in many ways. None may fail.
func TestMovingUnderTraffic(t *testing.T) {
	l := sharedLab(t)
	gateways := []string{gateway(t, l.coordinator(), l.database), gateway(t, l.coordinator(), l.database)}
	l.form(gateways[0])
	admin := l.connect(gateways[0])
	defer admin.Close(context.Background())
	l.exec(admin, "DROP TABLE IF EXISTS nomads")
	l.exec(admin, "CREATE TABLE nomads (id bigint PRIMARY KEY, who int, n int DEFAULT 0)")
	l.exec(admin, "SELECT create_distributed_table('nomads', 'id', colocate_with := 'none')")
	l.exec(admin, "INSERT INTO nomads SELECT g, 0 FROM generate_series(1, 5000) g")

	visit := l.visit(gateways, "nomads")
	moved := l.moveAll(admin, "nomads", "auto")
	if !t.Failed() {
		moved += l.moveAll(admin, "nomads", "block_writes")
	}
	visit.end()
	visit.check(admin, 5000)
	for _, v := range visit.visitors {
		if len(v.tries) > 0 {
			t.Errorf("visitor %d met errors %v", v.who, v.tries)
		}
		t.Logf("visitor %d: %d rows, waited %s at most, while %d shard groups moved", v.who, v.rows, v.longest, moved)
	}
	l.settled(patience)
	l.noMoves()
}

// TestFrozenGatewayMeetsMovedShards lets a gateway sleep while all shard groups move. What it does right after it wakes must be right.
func TestFrozenGatewayMeetsMovedShards(t *testing.T) {
	l := sharedLab(t)
	live := gateway(t, l.coordinator(), l.database)
	l.form(live)
	frozen := startChild(t, l.coordinator())
	admin := l.connect(live)
	defer admin.Close(context.Background())
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec} {
		l.exec(admin, "DROP TABLE IF EXISTS f")
		l.exec(admin, "CREATE TABLE f (id int PRIMARY KEY, v int)")
		l.exec(admin, "SELECT create_distributed_table('f', 'id', colocate_with := 'none')")
		l.exec(admin, "INSERT INTO f SELECT x, x FROM generate_series(1, 100) x")
		statements := []struct {
			text, want string
			args       []any
		}{
			{"SELECT count(*) FROM f", "100", nil},
			{"SELECT v FROM f WHERE id = $1", "7", []any{7}},
			{"SELECT v FROM f WHERE id = $1 FOR UPDATE", "8", []any{8}},
			{"UPDATE f SET v = v + 1000 WHERE id = $1 RETURNING v", "1009", []any{9}},
			{"WITH u AS (UPDATE f SET v = v + 1 WHERE id <= 100 AND id > 98 RETURNING v) SELECT count(*) FROM u", "2", nil},
			{"INSERT INTO f VALUES ($1, 5) ON CONFLICT (id) DO UPDATE SET v = 5 RETURNING v", "5", []any{10}},
			{"DELETE FROM f WHERE id = $1 RETURNING v", "11", []any{11}},
			{"SELECT max(id) FROM f WHERE v >= 0", "100", nil},
		}
		first := l.connect(frozen.clientDSN(l.database))
		l.exec(first, "SELECT count(*) FROM f") // whatever the gateway has not heard of yet, it knows after that
		first.Close(t.Context())
		var conns []*pgx.Conn
		for i := range 2 * len(statements) {
			c := l.connect(frozen.clientDSN(l.database))
			defer c.Close(context.Background())
			conns = append(conns, c)
			s := statements[i%len(statements)]
			for range 3 { // so that plans and prepared statements are there
				l.exec(c, "BEGIN")
				if _, err := ask(t.Context(), c, mode, s.text, s.args...); err != nil {
					t.Fatalf("%s: %v", s.text, err)
				}
				l.exec(c, "ROLLBACK")
			}
			if i >= len(statements) {
				l.exec(c, "BEGIN")
			}
		}
		frozen.signal(syscall.SIGSTOP)
		l.moveAll(admin, "f", "auto")
		var asked sync.WaitGroup
		// Those in blocks are rolled back: what they read and return is what counts.
		for i, c := range conns {
			s := statements[i%len(statements)]
			if i < len(statements) && s.text[0] == 'D' || i < len(statements) && s.text[0] == 'I' {
				continue
			}
			asked.Go(func() {
				ctx, stop := context.WithTimeout(t.Context(), patience)
				defer stop()
				got, err := ask(ctx, c, mode, s.text, s.args...)
				if i >= len(statements) {
					c.Exec(ctx, "ROLLBACK")
				}
				// Others write the same rows meanwhile.
				if err != nil || got != s.want && s.text[0] != 'U' && s.text[0] != 'I' {
					t.Errorf("%s (block: %t): %v, %v; want %s", s.text, i >= len(statements), got, explain(orNil(err)), s.want)
				}
			})
		}
		time.Sleep(100 * time.Millisecond) // for the questions to reach the sleeper's sockets
		frozen.signal(syscall.SIGCONT)
		asked.Wait()
		if got := l.one(admin, "SELECT count(*) || ' ' || sum(v) FROM f"); got != "100 6052" {
			t.Errorf("rows and sum afterwards: %s", got)
		}
		for _, c := range conns {
			c.Close(t.Context())
		}
	}
	l.settled(patience)
	l.noMoves()
}

func orNil(err error) error {
	if err == nil {
		return context.Canceled
	}
	return err
}

// TestCallCleanUp calls the procedure that clears orphans away through a gateway.
func TestCallCleanUp(t *testing.T) {
	l := sharedLab(t)
	c := l.connect(gateway(t, l.coordinator(), l.database))
	defer c.Close(context.Background())
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec} {
		tag, err := c.Exec(t.Context(), "CALL citus_cleanup_orphaned_resources()", mode)
		if err != nil || tag.String() != "CALL" {
			t.Errorf("%v: %v, %v", mode, tag, err)
		}
	}
}
