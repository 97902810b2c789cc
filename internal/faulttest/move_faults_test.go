package faulttest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/session"
)

// hooked is a gateway in this process that lets a test act at each step of a move.
func (l *lab) hooked() (dsn string, at func(func(step string))) {
	l.Helper()
	var hook atomic.Pointer[func(string)]
	dsn = gateway(l, l.coordinator(), l.database, func(config *session.Config) {
		config.MoveFaults = func(step string) error {
			if act := hook.Load(); act != nil {
				(*act)(step)
			}
			return nil
		}
	})
	return dsn, func(act func(string)) { hook.Store(&act) }
}

// cut ends all connections to a node's database, those of WAL senders too.
func (l *lab) cut(n *node) {
	if err := pgtest.Exec(l.Context(), n.server.DSN(l.database), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"); err != nil {
		l.Errorf("cutting connections: %v", err)
	}
}

// TestMoveLosesNodes kills the source or the target, or cuts all connections to both, at the steps of a move, under clients that write
// through two gateways. The move is completed or undone each time, by whichever gateway sees to it, and no acknowledged row is lost.
func TestMoveLosesNodes(t *testing.T) {
	l := newLab(t, 2)
	mover, at := l.hooked()
	other := startChild(t, l.coordinator())
	c := l.connect(other.clientDSN(l.database))
	defer c.Close(context.Background())
	l.exec(c, fmt.Sprintf("SELECT citus_set_coordinator_host('127.0.0.1', %d)", l.nodes[0].server.Port))
	for _, n := range l.nodes[1:] {
		l.exec(c, fmt.Sprintf("SELECT citus_add_node('127.0.0.1', %d)", n.server.Port))
	}
	books := l.keepBooks(c, func(who int) string { return []string{mover, other.clientDSN(l.database)}[who%2] }, func(w *ledger) { w.outages = true })
	shard := l.one(c, "SELECT min(shardid)::text FROM pg_dist_shard WHERE logicalrelid = 'entries'::regclass")
	place := func() int {
		var group int
		fmt.Sscan(l.one(c, "SELECT groupid::text FROM pg_dist_placement WHERE shardid = "+shard), &group)
		return group
	}
	move := func() error {
		admin := l.connect(mover)
		defer admin.Close(context.Background())
		source := place()
		_, err := admin.Exec(t.Context(), fmt.Sprintf("SELECT citus_move_shard_placement(%s, '127.0.0.1', %d, '127.0.0.1', %d)", shard, l.nodes[source].server.Port, l.nodes[3-source].server.Port))
		return err
	}
	var steps []string
	at(func(step string) {
		if !slices.Contains(steps, step) {
			steps = append(steps, step)
		}
	})
	if err := move(); err != nil {
		t.Fatal(err)
	}
	faults := map[string]func(source, target *node){
		"connections": func(source, target *node) { l.cut(source); l.cut(target) },
		"source":      func(source, _ *node) { source.kill() },
		"target":      func(_, target *node) { target.kill() },
	}
	deadly := []string{"tables made", "table copied", "caught up", "writes locked", "before commit", "committed"}
	for _, step := range steps {
		for _, what := range []string{"connections", "source", "target"} {
			if what != "connections" && !slices.Contains(deadly, step) {
				continue
			}
			source := place()
			struck := false
			at(func(now string) {
				if now == step && !struck {
					struck = true
					faults[what](l.nodes[source], l.nodes[3-source])
				}
			})
			err := move()
			at(func(string) {})
			if !struck {
				t.Fatalf("the move did not come to %q: %v", step, err)
			}
			if what != "connections" {
				if err := l.nodes[map[string]int{"source": source, "target": 3 - source}[what]].restart(); err != nil {
					t.Fatal(err)
				}
			}
			l.noOrphans(c)
			if err == nil && place() == source {
				t.Errorf("%s lost at %q: the move is said to be done, but is not", what, step)
			}
			if done := step == "committed" || step == "before clearing"; done && place() == source {
				t.Errorf("%s lost at %q: the move was committed, but the shard group is where it was", what, step)
			}
			if t.Failed() {
				t.Fatalf("%s lost at %q (%v)", what, step, err)
			}
		}
	}
	books.end()
	l.settled(patience)
	books.check(c)
	l.same("SELECT string_agg(k::text, ' ' ORDER BY id) FROM kinds k")
}

// TestDefinitionsDuringMove changes the definitions of tables whose shard group is being moved. Each change waits, or is there afterwards
// wherever the shards are; clients of other tables and of these go on.
func TestDefinitionsDuringMove(t *testing.T) {
	l := sharedLab(t)
	mover, at := l.hooked()
	other := gateway(t, l.coordinator(), l.database)
	l.form(mover)
	c := l.connect(other)
	defer c.Close(context.Background())
	changes := []string{
		"ALTER TABLE added ADD COLUMN extra int DEFAULT 7",
		"CREATE INDEX indexed_n ON indexed (n)",
		"CREATE INDEX CONCURRENTLY beside_n ON beside (n)",
		"TRUNCATE emptied",
		"DROP TABLE dropped",
		"VACUUM (ANALYZE) vacuumed",
		"SELECT create_distributed_table('later', 'id', colocate_with => 'added')",
		"ALTER TABLE renamed RENAME TO called",
		"REINDEX TABLE CONCURRENTLY again",
	}
	for _, table := range []string{"added", "indexed", "beside", "emptied", "dropped", "vacuumed", "renamed", "again", "later"} {
		l.exec(c, "CREATE TABLE "+table+" (id int PRIMARY KEY, n int)")
		if table != "later" {
			l.exec(c, "SELECT create_distributed_table('"+table+"', 'id', colocate_with => '"+map[bool]string{true: "none", false: "added"}[table == "added"]+"')")
		}
		l.exec(c, "INSERT INTO "+table+" SELECT g, g FROM generate_series(1, 100) g")
	}
	for _, mode := range []string{"auto", "block_writes"} {
		t.Run(mode, func(t *testing.T) {
			l := &lab{TB: t, database: l.database, nodes: l.nodes}
			shard := l.one(c, "SELECT min(shardid)::text FROM pg_dist_shard WHERE logicalrelid = 'added'::regclass")
			var from, to string
			if err := c.QueryRow(t.Context(), `SELECT n.nodeid::text, (SELECT min(m.nodeid)::text FROM pg_dist_node m WHERE m.groupid <> n.groupid)
				FROM pg_dist_placement p JOIN pg_dist_node n USING (groupid) WHERE p.shardid = $1`, pgx.QueryExecModeSimpleProtocol, shard).Scan(&from, &to); err != nil {
				t.Fatal(err)
			}
			there, goOn := make(chan struct{}), make(chan struct{})
			at(func(step string) {
				if step == "before switching" {
					close(there)
					<-goOn
				}
			})
			defer at(func(string) {})
			moved := make(chan error, 1)
			admin := l.connect(mover)
			defer admin.Close(context.Background())
			go func() {
				_, err := admin.Exec(context.Background(), fmt.Sprintf("SELECT citus_move_shard_placement(%s, %s, %s, shard_transfer_mode => '%s')", shard, from, to, mode))
				moved <- err
			}()
			select {
			case <-there:
			case err := <-moved:
				t.Fatalf("the move ended early: %v", err)
			}
			answers := make(chan error, len(changes))
			for i, change := range changes {
				client := l.connect([]string{mover, other}[i%2])
				defer client.Close(context.Background())
				go func() {
					_, err := client.Exec(context.Background(), change)
					if err != nil {
						err = fmt.Errorf("%s: %s", change, explain(err))
					}
					answers <- err
				}()
			}
			eventually(t, patience, "all changes wait, or are made", func() bool {
				var waiting int
				fmt.Sscan(pgtest.Rows(t, l.coordinator(), `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
					AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)[0][0], &waiting)
				return waiting+len(answers) >= len(changes)
			})
			if mode == "auto" {
				l.exec(c, "INSERT INTO vacuumed SELECT g, g FROM generate_series(101, 200) g")
			}
			if got := l.one(c, "SELECT count(*)::text FROM indexed"); got != "100" {
				t.Errorf("%s rows while changes wait", got)
			}
			close(goOn)
			if err := <-moved; err != nil {
				t.Errorf("the move: %s", explain(err))
			}
			for range changes {
				if err := <-answers; err != nil {
					t.Error(err)
				}
			}
			for _, check := range []struct{ query, want string }{
				{"SELECT count(*) || ' ' || sum(extra) FROM added", "100 700"},
				{"SELECT count(*)::text FROM emptied", "0"},
				{"SELECT count(*)::text FROM later", "100"},
				{"SELECT count(*)::text FROM called", "100"},
				{"SELECT count(*) || ' ' || sum(n) FROM indexed", "100 5050"},
				{"SELECT (to_regclass('dropped') IS NULL)::text", "true"},
				{"SELECT count(*)::text FROM vacuumed", map[string]string{"auto": "200", "block_writes": "100"}[mode]},
			} {
				if got := l.one(c, check.query); got != check.want {
					t.Errorf("%s: %s, want %s", check.query, got, check.want)
				}
			}
			// As many indexes as shards, wherever those are, and none that is invalid.
			indexes := 0
			for _, n := range l.everywhere(`SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
				WHERE c.relname IN ('indexed_n', 'beside_n') AND n.nspname LIKE 'public\_%' AND i.indisvalid`) {
				var some int
				fmt.Sscan(n, &some)
				indexes += some
			}
			if indexes != 16 {
				t.Errorf("%d indexes on 16 shards", indexes)
			}
			l.noOrphans(c)
			l.exec(c, `ALTER TABLE added DROP COLUMN extra; DROP INDEX indexed_n; DROP INDEX beside_n; INSERT INTO emptied SELECT g, g FROM generate_series(1, 100) g;
				CREATE TABLE dropped (id int PRIMARY KEY, n int); SELECT create_distributed_table('dropped', 'id', colocate_with => 'added');
				DELETE FROM vacuumed WHERE id > 100; SELECT undistribute_table('later'); ALTER TABLE called RENAME TO renamed`)
		})
	}
	l.settled(patience)
}

// TestLongTransactionDelaysMove has a transaction hold the shard group's tables: the move says whom it waits for, keeps out of everybody's
// way, and goes on when the transaction ends.
func TestLongTransactionDelaysMove(t *testing.T) {
	l := sharedLab(t)
	gate := gateway(t, l.coordinator(), l.database)
	l.form(gate)
	c, long := l.connect(gate), l.connect(gate)
	defer c.Close(context.Background())
	defer long.Close(context.Background())
	l.exec(c, "CREATE TABLE held (id int PRIMARY KEY, n int); SELECT create_distributed_table('held', 'id', shard_count => 1, colocate_with => 'none'); INSERT INTO held SELECT g, g FROM generate_series(1, 100) g")
	var shard, from, to string
	if err := c.QueryRow(t.Context(), `SELECT s.shardid::text, n.nodeid::text, (SELECT min(m.nodeid)::text FROM pg_dist_node m WHERE m.groupid <> n.groupid)
		FROM pg_dist_shard s JOIN pg_dist_placement p USING (shardid) JOIN pg_dist_node n USING (groupid) WHERE s.logicalrelid = 'held'::regclass`, pgx.QueryExecModeSimpleProtocol).Scan(&shard, &from, &to); err != nil {
		t.Fatal(err)
	}
	config, err := pgx.ParseConfig(gate)
	if err != nil {
		t.Fatal(err)
	}
	notices := make(chan string, 100)
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notices <- n.Message }
	admin, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	l.exec(long, "BEGIN")
	l.one(long, "SELECT count(*)::text FROM held")
	moved := make(chan error, 1)
	go func() {
		_, err := admin.Exec(context.Background(), fmt.Sprintf("SELECT citus_move_shard_placement(%s, %s, %s)", shard, from, to))
		moved <- err
	}()
	select {
	case told := <-notices:
		if !strings.Contains(told, "waiting for a transaction that uses the shard group's tables") || !strings.Contains(told, "idle in transaction") {
			t.Errorf("notice: %s", told)
		}
	case err := <-moved:
		t.Fatalf("the move did not wait: %v", err)
	case <-time.After(patience):
		t.Fatal("no notice tells why the move waits")
	}
	eventually(t, patience, "the move's progress says what it waits for", func() bool {
		return strings.Contains(l.one(c, "SELECT coalesce(min(waiting_for), '') FROM trunkline.shard_move"), "idle in transaction")
	})
	for i := range 20 { // each of which would wait for good behind a lock that the move waits for
		l.exec(c, "UPDATE held SET n = n + 1 WHERE id = $1", i+1)
		l.one(c, "SELECT sum(n)::text FROM held")
	}
	l.exec(long, "UPDATE held SET n = n + 1 WHERE id = 50") // the transaction itself goes on, too
	l.exec(long, "COMMIT")
	if err := <-moved; err != nil {
		t.Fatal(explain(err))
	}
	if got := l.one(c, "SELECT count(*) || ' ' || sum(n) FROM held"); got != "100 5071" {
		t.Errorf("rows and sum: %s", got)
	}
	l.noOrphans(c)
	l.settled(patience)
}

// TestSleeperAnswers40001 freezes a gateway through whole moves and shows the two cases in which its clients are told to try again: what
// they have seen cannot be taken back.
func TestSleeperAnswers40001(t *testing.T) {
	l := sharedLab(t)
	live := gateway(t, l.coordinator(), l.database)
	l.form(live)
	sleeper := startChild(t, l.coordinator())
	admin := l.connect(live)
	defer admin.Close(context.Background())
	l.exec(admin, "CREATE TABLE wide (id int PRIMARY KEY, filler text); SELECT create_distributed_table('wide', 'id', colocate_with => 'none'); INSERT INTO wide SELECT g, repeat('x', 500) FROM generate_series(1, 40000) g")
	// moved moves the shard group of a key to a node while the sleeper sleeps, and keeps it from reading the catalog once it has woken.
	moved := func(key, to int) (letRead func()) {
		t.Helper()
		sleeper.signal(syscall.SIGSTOP)
		l.exec(admin, fmt.Sprintf(`SELECT citus_move_shard_placement(p.shardid, n.nodeid, m.nodeid) FROM pg_dist_placement p JOIN pg_dist_node n USING (groupid), pg_dist_node m
			WHERE p.shardid = get_shard_id_for_distribution_column('wide', %d) AND m.groupid = %d`, key, to))
		lock, err := pgx.Connect(t.Context(), l.coordinator())
		if err != nil {
			t.Fatal(err)
		}
		l.exec(lock, "BEGIN; LOCK TABLE trunkline.catalog_version IN ACCESS EXCLUSIVE MODE")
		sleeper.signal(syscall.SIGCONT)
		return func() { lock.Close(context.Background()) }
	}
	keys := func(group int) (a, b int) { // in two shard groups of a node
		t.Helper()
		a = l.keyOn(admin, "wide", group)
		fmt.Sscan(l.one(admin, fmt.Sprintf(`SELECT k::text FROM generate_series(1, 1000) k WHERE get_shard_id_for_distribution_column('wide', k) <> get_shard_id_for_distribution_column('wide', %d)
			AND (SELECT groupid FROM pg_dist_placement WHERE shardid = get_shard_id_for_distribution_column('wide', k)) = %d LIMIT 1`, a, group)), &b)
		return a, b
	}

	// A block that has used the node, so that what it did there cannot be undone for the sake of the shard group that is gone.
	c := l.connect(sleeper.clientDSN(l.database))
	defer c.Close(context.Background())
	a, b := keys(1)
	l.exec(c, "BEGIN")
	l.exec(c, "SELECT filler FROM wide WHERE id = $1", a) // one that had written would keep the move from beginning
	letRead := moved(b, 2)
	failed := make(chan error, 1)
	go func() {
		_, err := c.Exec(context.Background(), "UPDATE wide SET filler = 'y' WHERE id = $1", b)
		failed <- err
	}()
	eventually(t, patience, "the block's statement fails on the node", func() bool {
		return l.everywhere("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction (aborted)'")[1] == "1"
	})
	letRead()
	if err := <-failed; sqlState(err) != "40001" {
		t.Errorf("in a block: %v", err)
	}
	l.exec(c, "ROLLBACK")
	l.exec(c, "BEGIN; SELECT filler FROM wide WHERE id = "+fmt.Sprint(a)+"; UPDATE wide SET filler = 'y' WHERE id = "+fmt.Sprint(b)+"; COMMIT") // so the client tries again

	// A result of several nodes, of which the client has rows already when the last one turns out to have lost a shard group. One that is
	// read at one instant is held back until all nodes have begun.
	l.exec(c, "SET trunkline.read_at_one_instant = off")
	l.one(c, "SELECT count(*)::text FROM (SELECT * FROM wide) w")
	letRead = moved(l.keyOn(admin, "wide", 2), 0)
	reading, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	rows, err := c.Query(reading, "SELECT * FROM wide", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	for rows.Next() {
		if got++; got == 1 {
			letRead()
		}
	}
	letRead()
	if err := rows.Err(); sqlState(err) != "40001" || got == 0 {
		t.Errorf("a result gives %d rows and ends with %v", got, err)
	}
	l.settled(patience)
	l.noOrphans(admin)
}
