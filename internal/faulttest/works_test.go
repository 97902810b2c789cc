package faulttest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// deed is something that a worker did over several nodes.
type deed struct {
	kind    int
	id      int64
	outcome outcome
}

// kinds of deeds.
const (
	insertSelect = iota
	copyIn
	updateAll
	updateReference
	addColumn
	makeTable
	deedKinds
)

const batch = 20 // rows of an insertSelect or copyIn

// TestWorks has statements that change several nodes at once, each a transaction of its own, run while servers and gateways are
// killed. Each happens everywhere or nowhere.
func TestWorks(t *testing.T) {
	kills, seed := 5, uint64(11)
	if text := os.Getenv("TRUNKLINE_FAULT_KILLS"); text != "" {
		kills, _ = strconv.Atoi(text)
	}
	if text := os.Getenv("TRUNKLINE_FAULT_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	l := newLab(t, 2)
	gateways := []*child{startChild(t, l.coordinator()), startChild(t, l.coordinator())}
	l.form(gateways[0].clientDSN(l.database))
	admin := l.connect(gateways[0].clientDSN(l.database))
	for _, text := range []string{
		"CREATE TABLE batch (k bigint, deed bigint)", "SELECT create_distributed_table('batch', 'k')",
		"CREATE TABLE lane (k int, lane int, n bigint)", "SELECT create_distributed_table('lane', 'k')",
		"INSERT INTO lane SELECT g, g % 6, 0 FROM generate_series(1, 600) g",
		"CREATE TABLE ref (lane int PRIMARY KEY, n bigint)", "SELECT create_reference_table('ref')",
		"INSERT INTO ref SELECT g, 0 FROM generate_series(0, 5) g",
		"CREATE TABLE wide (k int PRIMARY KEY)", "SELECT create_distributed_table('wide', 'k')",
	} {
		l.exec(admin, text)
	}
	admin.Close(t.Context())

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var ids, done atomic.Int64
	deeds := make([][]deed, 6)
	var running sync.WaitGroup
	for i := range deeds {
		w := worker{t: t, dsn: gateways[i%2].clientDSN(l.database), lane: i, ids: &ids, done: &done, random: rand.New(rand.NewPCG(seed, uint64(i)))}
		running.Go(func() { deeds[i] = w.work(ctx) })
	}
	torment(t, l, gateways, kills, rand.New(rand.NewPCG(seed, 77)), &done)
	stop()
	running.Wait()

	fresh := l.connect(gateways[1].clientDSN(l.database))
	defer fresh.Close(context.Background())
	eventually(t, 30*time.Second, "recovery goes through", func() bool {
		_, err := one(t.Context(), fresh, "SELECT recover_prepared_transactions()")
		return err == nil
	})
	l.settled(20 * time.Second)
	inspect(l, fresh, deeds)
}

type worker struct {
	t         *testing.T
	dsn       string
	lane      int
	ids, done *atomic.Int64
	random    *rand.Rand
}

func (w *worker) work(ctx context.Context) (deeds []deed) {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			conn.Close(context.WithoutCancel(ctx))
		}
	}()
	for ctx.Err() == nil {
		if conn == nil || conn.IsClosed() {
			var err error
			if conn, err = connect(ctx, w.dsn); err != nil {
				conn = nil
				time.Sleep(20 * time.Millisecond)
				continue
			}
		}
		d := deed{kind: w.random.IntN(deedKinds), id: w.ids.Add(1)}
		if d.kind >= addColumn && w.random.IntN(4) > 0 {
			continue // definitions are slow to change
		}
		attempt, end := context.WithTimeout(context.WithoutCancel(ctx), 60*time.Second)
		err := w.do(attempt, conn, &d)
		if attempt.Err() != nil {
			w.t.Errorf("deed %d of kind %d hangs", d.id, d.kind)
		}
		end()
		deeds = append(deeds, d)
		if d.outcome == confirmed {
			w.done.Add(1)
		}
		if err != nil && !conn.IsClosed() {
			switch state := sqlState(err); {
			case state == "40P01", state == "40001", state == "40000", state[:min(2, len(state))] == "08", state == "57P01", state == "57P02", state == "57P03":
			default:
				w.t.Errorf("deed %d of kind %d: %s", d.id, d.kind, explain(err))
			}
			if _, err := conn.Exec(context.WithoutCancel(ctx), "ROLLBACK"); err != nil {
				conn.Close(context.WithoutCancel(ctx))
			}
		}
	}
	return deeds
}

func (w *worker) do(ctx context.Context, c *pgx.Conn, d *deed) (err error) {
	explicit := false
	switch d.kind {
	case insertSelect:
		_, err = c.Exec(ctx, fmt.Sprintf("INSERT INTO batch SELECT %d + g, %d FROM generate_series(1, %d) g", d.id*100, d.id, batch))
	case copyIn:
		var rows strings.Builder
		for i := range batch {
			fmt.Fprintf(&rows, "%d\t%d\n", d.id*100+int64(i), d.id)
		}
		_, err = c.PgConn().CopyFrom(ctx, strings.NewReader(rows.String()), "COPY batch FROM STDIN")
	case updateAll:
		_, err = c.Exec(ctx, "UPDATE lane SET n = n + 1 WHERE lane = $1", w.lane)
	case updateReference:
		_, err = c.Exec(ctx, "UPDATE ref SET n = n + 1 WHERE lane = $1", w.lane)
	case addColumn:
		_, err = c.Exec(ctx, fmt.Sprintf("ALTER TABLE wide ADD COLUMN c%d int", d.id))
	case makeTable:
		explicit = true
		for _, text := range []string{
			"BEGIN", fmt.Sprintf("CREATE TABLE made%d (k int PRIMARY KEY)", d.id), fmt.Sprintf("SELECT create_distributed_table('made%d', 'k')", d.id),
			fmt.Sprintf("INSERT INTO made%d SELECT generate_series(1, 10)", d.id),
		} {
			if _, err = c.Exec(ctx, text); err != nil {
				return err // and rolled back
			}
		}
		_, err = c.Exec(ctx, "COMMIT")
	}
	d.outcome = outcomeOf(err)
	if !explicit && strings.HasPrefix(sqlState(err), "08") {
		d.outcome = unknown
	}
	return err
}

// inspect compares what the workers know with what is there.
func inspect(l *lab, c *pgx.Conn, deeds [][]deed) {
	l.Helper()
	pairs := func(query string) map[string]string {
		l.Helper()
		rows, err := c.Query(l.Context(), query, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			l.Fatal(err)
		}
		found := map[string]string{}
		var key, value string
		if _, err := pgx.ForEachRow(rows, []any{&key, &value}, func() error { found[key] = value; return nil }); err != nil {
			l.Fatal(err)
		}
		return found
	}
	batches := pairs("SELECT deed::text, count(*)::text FROM batch GROUP BY deed")
	lanes := pairs("SELECT lane::text, min(n) || ' ' || max(n) FROM lane GROUP BY lane")
	refs := pairs("SELECT lane::text, n::text FROM ref")
	l.same("SELECT string_agg(r::text, ',' ORDER BY lane) FROM ref r")
	columns := pairs("SELECT attname::text, '' FROM pg_attribute WHERE attrelid = 'wide'::regclass AND attnum > 0 AND NOT attisdropped")
	tables := pairs("SELECT relname::text, '' FROM pg_class WHERE relkind = 'r' AND relname LIKE 'made%' AND relnamespace = 'public'::regnamespace")
	for i, different := range l.everywhere("SELECT count(DISTINCT (SELECT string_agg(attname, ',' ORDER BY attname) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped)) || ' ' || count(*) FROM pg_class c WHERE relname = 'wide' AND relkind = 'r'") {
		if !strings.HasPrefix(different, "1 ") {
			l.Errorf("the shards of a table on node %d have different columns: %s", i, different)
		}
	}
	shards := map[string]int{}
	for _, names := range l.everywhere("SELECT coalesce(string_agg(relname, ','), '') FROM pg_class WHERE relkind = 'r' AND relname LIKE 'made%' AND relnamespace <> 'public'::regnamespace") {
		for _, name := range strings.Split(names, ",") {
			if name != "" {
				shards[name]++
			}
		}
	}
	counts := map[outcome]int{}
	for lane, list := range deeds {
		sure, maybe := [deedKinds]int{}, [deedKinds]int{}
		for _, d := range list {
			counts[d.outcome]++
			switch d.outcome {
			case confirmed:
				sure[d.kind]++
			case unknown:
				maybe[d.kind]++
			}
			there := false
			switch d.kind {
			case insertSelect, copyIn:
				got := batches[strconv.FormatInt(d.id, 10)]
				if there = got == strconv.Itoa(batch); !there && got != "" {
					l.Errorf("deed %d: %s of %d rows are there", d.id, got, batch)
				}
			case addColumn:
				_, there = columns["c"+strconv.FormatInt(d.id, 10)]
			case makeTable:
				name := "made" + strconv.FormatInt(d.id, 10)
				_, there = tables[name]
				if n := shards[name]; there && n != 8 || !there && n != 0 {
					l.Errorf("table %s (there: %v) has %d shards", name, there, n)
				}
				if there {
					if got := l.one(c, "SELECT count(*) FROM "+name); got != "10" {
						l.Errorf("table %s has %s rows", name, got)
					}
				}
			default:
				continue
			}
			if d.outcome == confirmed && !there || d.outcome == refused && there {
				l.Errorf("deed %d of kind %d: outcome %d, there: %v", d.id, d.kind, d.outcome, there)
			}
		}
		key := strconv.Itoa(lane)
		var low, high, ref int
		fmt.Sscan(lanes[key], &low, &high)
		fmt.Sscan(refs[key], &ref)
		if low != high || low < sure[updateAll] || low > sure[updateAll]+maybe[updateAll] {
			l.Errorf("lane %d was updated %s times, %d for sure and %d perhaps", lane, lanes[key], sure[updateAll], maybe[updateAll])
		}
		if ref < sure[updateReference] || ref > sure[updateReference]+maybe[updateReference] {
			l.Errorf("reference row %d was updated %d times, %d for sure and %d perhaps", lane, ref, sure[updateReference], maybe[updateReference])
		}
	}
	l.Logf("%d deeds confirmed, %d refused, %d unknown", counts[confirmed], counts[refused], counts[unknown])
}
