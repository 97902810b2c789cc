package faulttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// visitor is a client that works on a table whose distribution others change. It knows which of its rows must be there.
type visitor struct {
	t     testing.TB
	conn  *pgx.Conn
	mode  pgx.QueryExecMode
	who   int
	table string
	rows  int // of its own, acknowledged
	next  int
	tries map[string]int // errors by SQLSTATE
	steps atomic.Int64   // a write and a read each

	longest time.Duration // that it waited for a write or a read
}

// write adds rows in one of several ways and reports how many were acknowledged.
func (v *visitor) write(ctx context.Context) error {
	v.next++
	k := v.who*1_000_000 + v.next*10
	insert := "INSERT INTO " + v.table + " (id, who) VALUES ($1, $2)"
	switch v.next % 6 {
	case 0:
		_, err := v.conn.Exec(ctx, insert, v.mode, k, v.who)
		return v.added(1, err)
	case 1: // several rows, which go to several shards
		_, err := v.conn.Exec(ctx, fmt.Sprintf("INSERT INTO %s (id, who) SELECT g, %d FROM generate_series(%d, %d) g", v.table, v.who, k, k+4), v.mode)
		return v.added(5, err)
	case 2:
		return v.block(ctx, func() error {
			if _, err := v.conn.Exec(ctx, insert, v.mode, k, v.who); err != nil {
				return err
			}
			_, err := v.conn.Exec(ctx, insert, v.mode, k+1, v.who)
			return err
		}, 2)
	case 3:
		_, err := v.conn.PgConn().CopyFrom(ctx, strings.NewReader(fmt.Sprintf("%d\t%d\n%d\t%d\n", k, v.who, k+1, v.who)), "COPY "+v.table+" (id, who) FROM STDIN")
		return v.added(2, err)
	case 4:
		tag, err := v.conn.Exec(ctx, "UPDATE "+v.table+" SET n = n + 1 WHERE who = $1", v.mode, v.who)
		if err == nil && int(tag.RowsAffected()) != v.rows {
			v.t.Errorf("visitor %d updated %d rows of %d", v.who, tag.RowsAffected(), v.rows)
		}
		return err
	default:
		batch := &pgx.Batch{}
		batch.Queue(insert, k, v.who)
		batch.Queue(insert, k+1, v.who)
		return v.added(2, v.conn.SendBatch(ctx, batch).Close())
	}
}

func (v *visitor) added(n int, err error) error {
	if err == nil {
		v.rows += n
	}
	return err
}

func (v *visitor) block(ctx context.Context, do func() error, rows int) error {
	if _, err := v.conn.Exec(ctx, "BEGIN"); err != nil {
		return err
	}
	if err := do(); err != nil {
		if _, end := v.conn.Exec(ctx, "ROLLBACK"); end != nil {
			return errors.Join(err, end)
		}
		return err
	}
	_, err := v.conn.Exec(ctx, "COMMIT")
	return v.added(rows, err)
}

// read looks for its own rows in one of several ways.
func (v *visitor) read(ctx context.Context) error {
	var got int
	var err error
	switch v.next % 4 {
	case 0:
		err = v.conn.QueryRow(ctx, "SELECT count(*) FROM "+v.table+" WHERE who = $1", v.mode, v.who).Scan(&got)
	case 1:
		var out counter
		_, err = v.conn.PgConn().CopyTo(ctx, &out, fmt.Sprintf("COPY (SELECT id FROM %s WHERE who = %d) TO STDOUT", v.table, v.who))
		got = out.lines
	case 2:
		out := counter{suffix: fmt.Sprintf("\t%d", v.who)}
		_, err = v.conn.PgConn().CopyTo(ctx, &out, "COPY "+v.table+" (id, who) TO STDOUT")
		got = out.lines
	default:
		err = v.block(ctx, func() error {
			return v.conn.QueryRow(ctx, "SELECT count(*) FROM "+v.table+" WHERE who = $1", v.mode, v.who).Scan(&got)
		}, 0)
	}
	if err == nil && got != v.rows {
		v.t.Errorf("visitor %d reads %d rows of its %d (way %d)", v.who, got, v.rows, v.next%4)
	}
	return err
}

// counter counts lines, or those with a suffix.
type counter struct {
	suffix string
	rest   string
	lines  int
}

func (c *counter) Write(b []byte) (int, error) {
	lines := strings.Split(c.rest+string(b), "\n")
	c.rest = lines[len(lines)-1]
	for _, line := range lines[:len(lines)-1] {
		if strings.HasSuffix(line, c.suffix) {
			c.lines++
		}
	}
	return len(b), nil
}

// work writes and reads until ctx ends. Only errors that say "try again" are allowed.
func (v *visitor) work(ctx context.Context) {
	v.tries = map[string]int{}
	for ctx.Err() == nil && !v.t.Failed() {
		for what, f := range map[string]func(context.Context) error{"writing": v.write, "reading": v.read} {
			step, done := context.WithTimeout(context.WithoutCancel(ctx), patience)
			began := time.Now()
			err := f(step)
			done()
			v.longest = max(v.longest, time.Since(began))
			if err != nil {
				v.tries[sqlState(err)]++
				v.t.Logf("visitor %d, %s (way %d): %s", v.who, what, v.next%12, explain(err))
				if state := sqlState(err); state != "40001" && state != "40P01" {
					v.t.Errorf("visitor %d, %s (way %d): %s", v.who, what, v.next, explain(err))
				}
			}
		}
		v.steps.Add(1)
	}
}

// visit is traffic on a table: six visitors, of two gateways and in three ways of asking.
type visit struct {
	l        *lab
	table    string
	visitors []*visitor
	end      func() // and waits until all have left
}

// visit starts traffic.
func (l *lab) visit(gateways []string, table string) *visit {
	l.Helper()
	ctx, stop := context.WithCancel(l.Context())
	var working sync.WaitGroup
	all := &visit{l: l, table: table}
	all.end = func() {
		stop()
		working.Wait()
	}
	for i := range 6 {
		v := &visitor{t: l.TB, conn: l.connect(gateways[i%2]), who: i + 1, table: table,
			mode: []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec, pgx.QueryExecModeCacheStatement}[i/2]}
		all.visitors = append(all.visitors, v)
		l.Cleanup(func() { v.conn.Close(context.Background()) })
	}
	for _, v := range all.visitors {
		working.Go(func() { v.work(ctx) })
	}
	l.Cleanup(all.end)
	return all
}

// lookAround waits until each visitor has written and read as the table is now.
func (all *visit) lookAround() {
	all.l.Helper()
	for _, v := range all.visitors {
		seen := v.steps.Load()
		eventually(all.l, patience, fmt.Sprintf("visitor %d goes on", v.who), func() bool { return v.steps.Load() > seen+1 || all.l.Failed() })
	}
}

// check looks, once the visitors have left, whether the table has the rows that they were told they had written, besides those that it
// had before them.
func (all *visit) check(c *pgx.Conn, before int) {
	all.l.Helper()
	total := before
	for _, v := range all.visitors {
		total += v.rows
	}
	if got := all.l.one(c, "SELECT count(*) || ' ' || count(DISTINCT id) FROM "+all.table); got != fmt.Sprintf("%d %[1]d", total) {
		all.l.Errorf("there are %s rows and different ones, want %d", got, total)
	}
}

// TestDistributingUnderTraffic changes how a table is distributed while clients of two gateways write to it and read from it.
func TestDistributingUnderTraffic(t *testing.T) {
	l := sharedLab(t)
	gateways := []string{gateway(t, l.coordinator(), l.database), gateway(t, l.coordinator(), l.database)}
	l.form(gateways[0])
	admin := l.connect(gateways[0])
	defer admin.Close(context.Background())
	l.exec(admin, "CREATE TABLE moving (id bigint PRIMARY KEY, who int, n int DEFAULT 0)")
	l.exec(admin, "INSERT INTO moving SELECT g, 0 FROM generate_series(1, 5000) g")

	visit := l.visit(gateways, "moving")
	for range 3 {
		for _, change := range []string{
			"SELECT create_distributed_table('moving', 'id')", "ALTER TABLE moving ADD COLUMN extra text DEFAULT 'x'", "CREATE INDEX moving_n ON moving (n)",
			"SELECT alter_distributed_table('moving', shard_count := 4)", "SELECT undistribute_table('moving')",
			"ALTER TABLE moving DROP COLUMN extra", "DROP INDEX moving_n",
		} {
			t.Logf("%s", change)
			// The change itself may be the victim of a deadlock.
			eventually(t, patience, change, func() bool {
				_, err := admin.Exec(t.Context(), change)
				if err != nil {
					t.Logf("… %v", err)
				}
				if state := sqlState(err); err != nil && state != "40001" && state != "40P01" {
					t.Errorf("%s: %v", change, err)
					return true
				}
				return err == nil
			})
			visit.lookAround()
			if t.Failed() {
				return
			}
		}
	}
	visit.end()
	visit.check(admin, 5000)
	for _, v := range visit.visitors {
		t.Logf("visitor %d: %d rows, errors %v, waited %s at most", v.who, v.rows, v.tries, v.longest)
	}
	l.settled(patience)
}

// TestFrozenGateway lets a gateway sleep while tables change under it. What it does right after it wakes must be right.
func TestFrozenGateway(t *testing.T) {
	l := sharedLab(t)
	live := gateway(t, l.coordinator(), l.database)
	l.form(live)
	frozen := startChild(t, l.coordinator())
	admin := l.connect(live)
	defer admin.Close(context.Background())
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec} {
		l.exec(admin, "DROP TABLE IF EXISTS f, g, h, r")
		l.exec(admin, "CREATE TABLE f (id int PRIMARY KEY, v int)")
		l.exec(admin, "CREATE TABLE g (id int PRIMARY KEY, v int)")
		l.exec(admin, "CREATE TABLE h (id int PRIMARY KEY, v int)")
		l.exec(admin, "CREATE TABLE r (id int PRIMARY KEY, v int)")
		l.exec(admin, "SELECT create_distributed_table('g', 'id')")
		l.exec(admin, "SELECT create_distributed_table('h', 'id')")
		for _, table := range []string{"f", "g", "h", "r"} {
			l.exec(admin, "INSERT INTO "+table+" SELECT x, x FROM generate_series(1, 100) x")
		}
		const each = 14
		var conns []*pgx.Conn
		for range each {
			c := l.connect(frozen.clientDSN(l.database))
			defer c.Close(context.Background())
			conns = append(conns, c)
			for _, table := range []string{"f", "g", "h", "r"} { // so that plans and prepared statements are there
				for range 3 {
					l.exec(c, "SELECT count(*) FROM "+table, mode)
					l.exec(c, "SELECT v FROM "+table+" WHERE id = $1", mode, 7)
					l.exec(c, "UPDATE "+table+" SET v = v WHERE id = $1", mode, 7)
					l.exec(c, "INSERT INTO "+table+" VALUES ($1, 0) ON CONFLICT DO NOTHING", mode, 7)
				}
			}
		}
		block := conns[each-1]
		l.exec(block, "BEGIN")
		frozen.signal(syscall.SIGSTOP)
		l.exec(admin, "SELECT create_distributed_table('f', 'id')")
		l.exec(admin, "SELECT undistribute_table('g')")
		l.exec(admin, "SELECT create_reference_table('r')")
		l.exec(admin, "DROP TABLE h")
		l.exec(admin, "CREATE TABLE h (id int PRIMARY KEY, v int)")
		l.exec(admin, "SELECT create_distributed_table('h', 'id')")
		l.exec(admin, "INSERT INTO h SELECT x, x FROM generate_series(1, 50) x")

		// The questions are there when it wakes, so they compete with the news.
		want := map[string]string{"f": "100", "g": "100", "h": "50", "r": "100"}
		var asked sync.WaitGroup
		for i, c := range conns[:each-1] {
			asked.Go(func() {
				ctx, stop := context.WithTimeout(t.Context(), patience)
				defer stop()
				table := []string{"f", "g", "h", "r"}[i%4]
				switch i / 4 {
				case 0:
					if got, err := ask(ctx, c, mode, "SELECT count(*) FROM "+table); err != nil || got != want[table] {
						t.Errorf("count of %s: %v, %v", table, got, err)
					}
				case 1:
					if got, err := ask(ctx, c, mode, "SELECT v FROM "+table+" WHERE id = $1", 7); err != nil || got != "7" {
						t.Errorf("row of %s: %v, %v", table, got, err)
					}
				case 2:
					tag, err := c.Exec(ctx, "UPDATE "+table+" SET v = v + 1000 WHERE id = $1", mode, 8)
					if err != nil || tag.RowsAffected() != 1 {
						t.Errorf("update of %s: %v, %v", table, tag, err)
					}
				case 3:
					var out counter
					_, err := c.PgConn().CopyTo(ctx, &out, "COPY f TO STDOUT")
					if err == nil && out.lines != 100 || err != nil && sqlState(err) != "40001" {
						t.Errorf("COPY gives %d rows, %v", out.lines, err)
					}
				}
			})
		}
		asked.Go(func() {
			ctx, stop := context.WithTimeout(t.Context(), patience)
			defer stop()
			if got, err := ask(ctx, block, mode, "SELECT count(*) FROM f"); err == nil && got != "100" || err != nil && sqlState(err) != "40001" {
				t.Errorf("count of f in a block: %v, %v", got, err)
			}
			block.Exec(ctx, "ROLLBACK")
		})
		time.Sleep(100 * time.Millisecond) // for the questions to reach the sleeper's sockets
		frozen.signal(syscall.SIGCONT)
		asked.Wait()
		for table := range want {
			if got := l.one(admin, "SELECT v FROM "+table+" WHERE id = 8"); got != "1008" {
				t.Errorf("%s was updated to %s", table, got)
			}
		}
		l.same("SELECT string_agg(r::text, ',' ORDER BY id) FROM r")
		for _, c := range conns {
			c.Close(t.Context())
		}
	}
	l.settled(patience)
}

func ask(ctx context.Context, c *pgx.Conn, mode pgx.QueryExecMode, text string, args ...any) (string, error) {
	var got any
	err := c.QueryRow(ctx, text, append([]any{mode}, args...)...).Scan(&got)
	return fmt.Sprint(got), err
}

// explain gives an error with its details.
func explain(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return fmt.Sprintf("%s (%s; %s)", e.Error(), e.Detail, e.Where)
	}
	return err.Error()
}
