package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"
)

// LoadOptions say how Load goes about it.
type LoadOptions struct {
	Streams int  // COPY commands at a time
	Replace bool // drop a DineHub that is loaded first
	Any     bool // one that is loaded will do, of whatever scale
	// Report, if set, is told how far loading is. It is called from several
	// goroutines.
	Report func(done, total int64)
}

// OtherScaleError says that the database holds DineHub at another scale.
type OtherScaleError struct{ Loaded, Asked float64 }

func (e *OtherScaleError) Error() string {
	return fmt.Sprintf("DineHub is loaded at scale %s, not %s: repeat with --replace to load it anew, or with --scale %s to use it as it is",
		formatScale(e.Loaded), formatScale(e.Asked), formatScale(e.Loaded))
}

// tables in the order in which they can be dropped.
var tables = []string{"order_items", "orders", "users", "restaurants", "cuisine_types", "settings"}

// Load makes DineHub's tables over the gateway at dsn and fills them. If they
// are there already, complete and of a scale that will do, it leaves them so.
// It returns the scale that the tables have now, and whether it loaded them.
// A load that was interrupted is begun anew.
func Load(ctx context.Context, dsn string, d *Dataset, opt LoadOptions) (scale float64, loaded bool, err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return 0, false, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	state, err := findState(ctx, conn)
	if err != nil {
		return 0, false, err
	}
	if state.complete && !opt.Replace {
		if state.scale != d.Scale && !opt.Any {
			return state.scale, false, &OtherScaleError{Loaded: state.scale, Asked: d.Scale}
		}
		return state.scale, false, nil
	}
	if state.exists {
		if err := run(ctx, conn, "DROP TABLE IF EXISTS "+strings.Join(tables, ", ")); err != nil {
			return 0, false, err
		}
	}
	if err := makeTables(ctx, conn, d.Scale); err != nil {
		return 0, false, err
	}
	if err := d.fill(ctx, dsn, opt); err != nil {
		return 0, false, err
	}
	return d.Scale, true, run(ctx, conn, finish...)
}

// state is what a database holds of DineHub.
type state struct {
	exists, complete bool
	scale            float64
}

// findState reads the row that Load leaves in the table settings. Tables that
// have DineHub's names and no such row are somebody else's.
func findState(ctx context.Context, conn *pgx.Conn) (s state, err error) {
	rows, err := conn.Query(ctx, "SELECT relname::text FROM pg_catalog.pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY ($1::text[]) ORDER BY 1", tables)
	if err != nil {
		return s, err
	}
	present, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(present) == 0 {
		return s, err
	}
	foreign := fmt.Errorf("the database has tables of its own that are called as the demo's (%s): use another database", strings.Join(present, ", "))
	var mine bool
	err = conn.QueryRow(ctx, `SELECT count(*) = 2 FROM pg_catalog.pg_attribute
		WHERE attrelid = to_regclass('public.settings') AND attname IN ('key', 'value') AND NOT attisdropped`).Scan(&mine)
	if err != nil {
		return s, err
	}
	if !mine {
		return s, foreign
	}
	var loaded string
	err = conn.QueryRow(ctx, "SELECT value FROM public.settings WHERE key = 'demo'").Scan(&loaded)
	if errors.Is(err, pgx.ErrNoRows) {
		return s, foreign
	} else if err != nil {
		return s, err
	}
	how, scale, _ := strings.Cut(loaded, " ")
	s = state{exists: true, complete: how == "loaded"}
	s.scale, err = strconv.ParseFloat(scale, 64)
	return s, err
}

func formatScale(s float64) string { return strconv.FormatFloat(s, 'g', -1, 64) }

// makeTables makes the tables, empty, and spreads them. The first thing made
// is the mark by which an interrupted load is recognised.
func makeTables(ctx context.Context, conn *pgx.Conn, scale float64) error {
	begin := []string{
		`CREATE TABLE settings (key text PRIMARY KEY, value text NOT NULL)`,
		`INSERT INTO settings VALUES ('demo', 'loading ` + formatScale(scale) + `')`,
	}
	return run(ctx, conn, append(begin, schema...)...)
}

var schema = []string{
	`CREATE TABLE cuisine_types (
		cuisine_id int PRIMARY KEY,
		name text NOT NULL UNIQUE,
		origin text NOT NULL)`,
	`CREATE TABLE restaurants (
		restaurant_id bigint PRIMARY KEY,
		name text NOT NULL,
		cuisine_id int NOT NULL,
		city text NOT NULL,
		region text NOT NULL,
		rating numeric(2,1) NOT NULL,
		opened date NOT NULL,
		featured boolean NOT NULL DEFAULT false)`,
	`CREATE TABLE users (
		user_id bigint PRIMARY KEY,
		name text NOT NULL,
		email text NOT NULL,
		city text NOT NULL,
		joined date NOT NULL)`,
	`CREATE TABLE orders (
		restaurant_id bigint,
		order_id bigint,
		user_id bigint NOT NULL,
		status text NOT NULL,
		placed_at timestamptz NOT NULL,
		total numeric(10,2) NOT NULL,
		PRIMARY KEY (restaurant_id, order_id))`,
	`CREATE TABLE order_items (
		restaurant_id bigint,
		order_id bigint,
		line smallint,
		dish text NOT NULL,
		quantity int NOT NULL CHECK (quantity > 0),
		price numeric(8,2) NOT NULL,
		PRIMARY KEY (restaurant_id, order_id, line))`,
	`SELECT create_reference_table('cuisine_types')`,
	`SELECT create_distributed_table('restaurants', 'restaurant_id')`,
	`SELECT create_distributed_table('orders', 'restaurant_id', colocate_with => 'restaurants')`,
	`SELECT create_distributed_table('order_items', 'restaurant_id', colocate_with => 'restaurants')`,
	`SELECT create_distributed_table('users', 'user_id', colocate_with => 'none')`,
}

// finish adds what is quicker to add to full tables, tells the servers'
// planners what is in them, and leaves the mark.
var finish = []string{
	`ALTER TABLE restaurants ADD FOREIGN KEY (cuisine_id) REFERENCES cuisine_types`,
	`ALTER TABLE orders ADD FOREIGN KEY (restaurant_id) REFERENCES restaurants`,
	`ALTER TABLE order_items ADD FOREIGN KEY (restaurant_id, order_id) REFERENCES orders`,
	`ANALYZE cuisine_types, restaurants, users, orders, order_items`,
	`INSERT INTO settings VALUES ('currency', 'EUR'), ('service_fee', '0.05')`,
	`UPDATE settings SET value = replace(value, 'loading', 'loaded') WHERE key = 'demo'`,
}

func run(ctx context.Context, conn *pgx.Conn, statements ...string) error {
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			line, _, _ := strings.Cut(s, "\n")
			return fmt.Errorf("%s: %w", strings.TrimSpace(line), err)
		}
	}
	return nil
}

// part is a run of ids whose rows travel in one COPY.
type part struct {
	table       string
	columns     string
	first, last int64
	append      func(b []byte, id int64) ([]byte, int64)
}

// rowsPerPart bounds one COPY, so that several streams find work and a
// transaction stays of a moderate size.
const rowsPerPart = 100_000

func (d *Dataset) parts() []part {
	parts := []part{{
		table: "cuisine_types", columns: "cuisine_id, name, origin", first: 1, last: int64(len(cuisines)),
		append: func(b []byte, id int64) ([]byte, int64) {
			c := cuisines[id-1]
			return fmt.Appendf(b, "%d\t%s\t%s\n", id, c.name, c.origin), 1
		},
	}}
	split := func(p part, ids int64, rows func(id int64) int64) {
		p.first = 1
		var n int64
		for id := int64(1); id <= ids; id++ {
			if n += rows(id); n >= rowsPerPart || id == ids {
				p.last = id
				parts = append(parts, p)
				p.first, n = id+1, 0
			}
		}
	}
	one := func(int64) int64 { return 1 }
	ordersOf := func(restaurant int64) int64 { return d.firstOrder[restaurant] - d.firstOrder[restaurant-1] }
	split(part{table: "restaurants", columns: "restaurant_id, name, cuisine_id, city, region, rating, opened, featured", append: d.appendRestaurants}, d.Restaurants, one)
	split(part{table: "users", columns: "user_id, name, email, city, joined", append: d.appendUsers}, d.Users, one)
	split(part{table: "orders", columns: "restaurant_id, order_id, user_id, status, placed_at, total", append: d.appendOrders}, d.Restaurants, ordersOf)
	split(part{table: "order_items", columns: "restaurant_id, order_id, line, dish, quantity, price", append: d.appendItems}, d.Restaurants, ordersOf)
	return parts
}

// fill copies all rows in, several streams at a time.
func (d *Dataset) fill(ctx context.Context, dsn string, opt LoadOptions) error {
	total := int64(len(cuisines)) + d.Restaurants + d.Users + d.Orders + d.items()
	var done atomic.Int64
	report := func(rows int64) {
		if n := done.Add(rows); opt.Report != nil {
			opt.Report(n, total)
		}
	}
	parts := d.parts()
	work := make(chan part, len(parts))
	for _, p := range parts {
		work <- p
	}
	close(work)
	g, ctx := errgroup.WithContext(ctx)
	for range max(1, opt.Streams) {
		g.Go(func() error {
			conn, err := pgconn.Connect(ctx, dsn)
			if err != nil {
				return err
			}
			defer conn.Close(context.WithoutCancel(ctx))
			for p := range work {
				rows := &rowReader{part: p, next: p.first, report: report}
				if _, err := conn.CopyFrom(ctx, rows, "COPY "+p.table+" ("+p.columns+") FROM STDIN"); err != nil {
					return fmt.Errorf("loading %s: %w", p.table, err)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// rowReader makes the rows of a part as they are read.
type rowReader struct {
	part
	next   int64
	buf    []byte // rows not read yet
	unsent int    // where in buf they begin
	report func(rows int64)
}

func (r *rowReader) Read(p []byte) (int, error) {
	if r.unsent == len(r.buf) {
		if r.next > r.last {
			return 0, io.EOF
		}
		r.buf, r.unsent = r.buf[:0], 0
		var rows int64
		for r.next <= r.last && len(r.buf) < 32<<10 {
			var n int64
			r.buf, n = r.append(r.buf, r.next)
			rows += n
			r.next++
		}
		r.report(rows)
	}
	n := copy(p, r.buf[r.unsent:])
	r.unsent += n
	return n, nil
}
