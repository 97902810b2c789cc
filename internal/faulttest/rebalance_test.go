package faulttest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ledger is a client that writes rows of its own and remembers those that were acknowledged.
type ledger struct {
	t       testing.TB
	who     int
	gateway func() string // the connection string to use now
	written atomic.Int64  // rows that are certainly there
	updates atomic.Int64  // additions to its counters that are certainly done
	unsure  atomic.Int64  // statements that may have been carried out or not: their connection was lost
	outages bool          // nodes are lost on the way, so that statements may be refused
}

// work writes until ctx ends. A connection that is lost, with its gateway, is made anew.
func (w *ledger) work(ctx context.Context) {
	var c *pgx.Conn
	for i := 0; ctx.Err() == nil; i++ {
		if c == nil {
			var err error
			if c, err = connect(ctx, w.gateway()); err != nil {
				c = nil
				continue
			}
		}
		id := w.who*1_000_000 + i
		var err error
		var count *atomic.Int64
		switch i % 3 {
		case 0:
			count = &w.written
			_, err = c.Exec(context.Background(), "INSERT INTO entries VALUES ($1, $2)", id, w.who)
		case 1:
			count = &w.updates
			var tag pgconn.CommandTag
			tag, err = c.Exec(context.Background(), "UPDATE counters SET n = n + 1 WHERE id = $1", w.who)
			if err == nil && tag.RowsAffected() != 1 {
				w.t.Errorf("client %d: its counter was not found: %s", w.who, tag)
			}
		case 2: // in one transaction over two shards and a reference table
			count = &w.written
			_, err = c.Exec(context.Background(), "BEGIN")
			if err == nil {
				_, err = c.Exec(context.Background(), "INSERT INTO entries VALUES ($1, $2)", id, w.who)
			}
			if err == nil {
				_, err = c.Exec(context.Background(), "UPDATE kinds SET n = n + 1 WHERE id = $1", w.who)
			}
			if err == nil {
				_, err = c.Exec(context.Background(), "COMMIT")
			}
		}
		switch {
		case err == nil:
			count.Add(1)
		case outcomeOf(err) == unknown:
			w.unsure.Add(1)
			c.Close(context.Background())
			c = nil
		case w.outages && slices.Contains([]string{"08", "57"}, sqlState(err)[:2]):
			w.unsure.Add(1) // the node may have committed before its connection was lost
			c.Close(context.Background())
			c = nil
		default:
			w.t.Errorf("client %d: %s", w.who, explain(err))
			c.Exec(context.Background(), "ROLLBACK")
		}
	}
	if c != nil {
		c.Close(context.Background())
	}
}

// books are ledgers that work side by side.
type books struct {
	l       *lab
	ledgers []*ledger
	end     func() // and waits for all to end
}

// firstEntries is how many rows the entries have that nobody changes.
const firstEntries = 20000

// keepBooks makes the tables of ledgers and has four of them work, each through a gateway of its own choice.
func (l *lab) keepBooks(c *pgx.Conn, gateway func(who int) string, change ...func(*ledger)) *books {
	l.Helper()
	const clients = 4
	l.exec(c, "CREATE TABLE entries (id int PRIMARY KEY, who int); CREATE TABLE counters (id int PRIMARY KEY, n int); CREATE TABLE kinds (id int PRIMARY KEY, n int)")
	l.exec(c, "SELECT create_distributed_table('entries', 'id'); SELECT create_distributed_table('counters', 'id', colocate_with => 'none'); SELECT create_reference_table('kinds')")
	l.exec(c, fmt.Sprintf("INSERT INTO counters SELECT g, 0 FROM generate_series(0, %d) g; INSERT INTO kinds SELECT g, 0 FROM generate_series(0, %d) g", clients-1, clients-1))
	l.exec(c, fmt.Sprintf("INSERT INTO entries SELECT g, -1 FROM generate_series(-%d, -1) g", firstEntries))
	ctx, stop := context.WithCancel(l.Context())
	var working sync.WaitGroup
	b := &books{l: l, end: func() {
		stop()
		working.Wait()
	}}
	for who := range clients {
		w := &ledger{t: l.TB, who: who, gateway: func() string { return gateway(who) }}
		for _, f := range change {
			f(w)
		}
		b.ledgers = append(b.ledgers, w)
		working.Go(func() { w.work(ctx) })
	}
	l.Cleanup(b.end)
	return b
}

// check looks for everything that was acknowledged.
func (b *books) check(c *pgx.Conn) {
	b.l.Helper()
	for _, w := range b.ledgers {
		var rows, n int64
		fmt.Sscan(b.l.one(c, "SELECT count(*)::text FROM entries WHERE who = $1", w.who), &rows)
		fmt.Sscan(b.l.one(c, "SELECT n::text FROM counters WHERE id = $1", w.who), &n)
		if lost := w.written.Load() - rows; lost > 0 || -lost > w.unsure.Load() {
			b.l.Errorf("client %d: %d rows, %d were acknowledged and %d statements are unsure", w.who, rows, w.written.Load(), w.unsure.Load())
		}
		if lost := w.updates.Load() - n; lost > 0 || -lost > w.unsure.Load() {
			b.l.Errorf("client %d: counter %d, %d additions were acknowledged and %d statements are unsure", w.who, n, w.updates.Load(), w.unsure.Load())
		}
		b.l.Logf("client %d: %d rows and %d updates were acknowledged, %d statements unsure", w.who, w.written.Load(), w.updates.Load(), w.unsure.Load())
	}
	if got := b.l.one(c, "SELECT count(*)::text FROM entries WHERE who = -1"); got != fmt.Sprint(firstEntries) {
		b.l.Errorf("%s of the first %d rows", got, firstEntries)
	}
}

// noOrphans waits until gateways have cleared away all that moves have made, on all nodes.
func (l *lab) noOrphans(c *pgx.Conn) {
	l.Helper()
	eventually(l, patience, "no orphan is recorded", func() bool {
		return l.one(c, "SELECT (SELECT count(*) FROM trunkline.shard_move) || ' ' || (SELECT count(*) FROM pg_dist_cleanup)") == "0 0"
	})
	l.noMoves()
}

// TestRebalanceUnderLoad adds nodes, rebalances and drains while clients write through two gateways, of which one is killed on the way.
func TestRebalanceUnderLoad(t *testing.T) {
	l := newLab(t, 3)
	gateways := []*child{startChild(t, l.coordinator()), startChild(t, l.coordinator())}
	c := l.connect(gateways[1].clientDSN(l.database))
	defer c.Close(context.Background())
	port := func(n int) int { return l.nodes[n].server.Port }
	l.exec(c, fmt.Sprintf("SELECT citus_set_coordinator_host('127.0.0.1', %d)", port(0)))
	l.exec(c, fmt.Sprintf("SELECT citus_add_node('127.0.0.1', %d)", port(1)))
	books := l.keepBooks(c, func(who int) string { return gateways[who%2].clientDSN(l.database) })
	places := func() string {
		return l.one(c, "SELECT string_agg(groupid || ':' || n, ' ' ORDER BY groupid) FROM (SELECT groupid, count(*) n FROM trunkline.shard_group GROUP BY 1) _")
	}
	done := func() int {
		var n int
		fmt.Sscan(l.one(c, "SELECT count(*)::text FROM pg_dist_background_task WHERE status = 'done'"), &n)
		return n
	}

	// From one worker to three; the gateway with a share of the moves dies on the way and comes back.
	l.exec(c, fmt.Sprintf("SELECT citus_add_node('127.0.0.1', %d)", port(2)))
	l.exec(c, fmt.Sprintf("SELECT citus_add_node('127.0.0.1', %d)", port(3)))
	l.exec(c, "SET citus.max_background_task_executors_per_node = 2")
	job := l.one(c, "SELECT citus_rebalance_start()::text")
	if _, err := c.Exec(t.Context(), "SELECT citus_rebalance_start()"); sqlState(err) != "55000" {
		t.Errorf("a second rebalance: %v", err)
	}
	eventually(t, patience, "a move is made", func() bool { return done() > 0 })
	gateways[0].kill()
	if err := gateways[0].start(); err != nil {
		t.Fatal(err)
	}
	l.exec(c, "SELECT citus_job_wait("+job+", 'finished')")
	if got := places(); got != "1:6 2:5 3:5" && got != "1:5 2:6 3:5" && got != "1:5 2:5 3:6" {
		t.Errorf("shard groups on nodes: %s", got)
	}
	if got := l.one(c, "SELECT count(*)::text FROM get_rebalance_table_shards_plan()"); got != "0" {
		t.Errorf("%s moves more after a rebalance", got)
	}

	// Stopped in the middle, a rebalance leaves every shard group somewhere, and the next one goes on.
	l.exec(c, fmt.Sprintf("SELECT citus_set_node_property('127.0.0.1', %d, 'shouldhaveshards', false)", port(1)))
	before := done()
	job = l.one(c, "SELECT citus_rebalance_start(drain_only => true)::text")
	eventually(t, patience, "another move is made", func() bool { return done() > before })
	l.exec(c, "SELECT citus_rebalance_stop()")
	l.exec(c, "SELECT citus_job_wait("+job+")")
	l.exec(c, fmt.Sprintf("SELECT citus_drain_node('127.0.0.1', %d)", port(1)))
	if got := places(); got != "2:8 3:8" {
		t.Errorf("shard groups on nodes after draining one: %s", got)
	}
	l.exec(c, fmt.Sprintf("SELECT citus_remove_node('127.0.0.1', %d)", port(1)))
	books.end()
	l.settled(patience)
	books.check(c)
	l.noOrphans(c)
}
