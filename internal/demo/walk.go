package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// step is one stop of the walk.
type step struct {
	title string
	// queries run one after the other in one session. Each one whose plan is
	// worth seeing is explained first.
	queries []string
}

// walk is written for any scale, so it names small ids only.
var walk = []step{
	{"One restaurant: the shard that has it answers, the others hear nothing of it", []string{
		`SELECT restaurant_id, name, city, rating
  FROM restaurants
 WHERE restaurant_id = 42`}},
	{"Its best sold dishes: rows of one restaurant lie together, so the join stays on one server", []string{
		`SELECT i.dish, sum(i.quantity) AS sold, sum(i.quantity * i.price) AS revenue
  FROM orders o
  JOIN order_items i USING (restaurant_id, order_id)
 WHERE o.restaurant_id = 42 AND o.status = 'delivered'
 GROUP BY i.dish
 ORDER BY revenue DESC, i.dish
 LIMIT 5`}},
	{"All orders by month: every shard adds up its own part, the parts are added up once more", []string{
		`SELECT to_char(placed_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month,
       count(*) AS orders, round(avg(total), 2) AS average, max(total) AS largest
  FROM orders
 GROUP BY 1
 ORDER BY 1
 LIMIT 6`}},
	{"The best cuisines: restaurants and orders join shard by shard, with the reference table that every server has", []string{
		`SELECT c.name AS cuisine, count(*) AS orders, sum(o.total) AS revenue
  FROM restaurants r
  JOIN orders o USING (restaurant_id)
  JOIN cuisine_types c USING (cuisine_id)
 WHERE o.status <> 'cancelled'
 GROUP BY c.name
 ORDER BY revenue DESC
 LIMIT 5`}},
	{"The busiest restaurants: each shard finds its own best, the streams are merged", []string{
		`SELECT r.restaurant_id, r.name, r.city, count(*) AS orders
  FROM restaurants r
  JOIN orders o USING (restaurant_id)
 GROUP BY r.restaurant_id, r.name, r.city
 ORDER BY orders DESC, r.restaurant_id
 LIMIT 5`}},
	{"A transaction over several servers: all of it happens, or nothing", []string{
		`BEGIN`,
		`UPDATE restaurants SET featured = false WHERE featured`,
		`UPDATE restaurants SET featured = true WHERE restaurant_id IN (1, 2, 3, 5, 8)`,
		`COMMIT`,
		`SELECT count(*) AS featured FROM restaurants WHERE featured`}},
}

// Walk runs a few queries over the loaded tables and prints each one, its
// plan in two lines, its rows and its time.
func Walk(ctx context.Context, dsn string, w io.Writer) (err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	for i, s := range walk {
		fmt.Fprintf(w, "%d. %s\n\n", i+1, s.title)
		for _, q := range s.queries {
			if err := show(ctx, conn.PgConn(), w, q); err != nil {
				return fmt.Errorf("%s: %w", strings.Join(strings.Fields(q), " "), err)
			}
		}
	}
	return nil
}

func show(ctx context.Context, conn *pgconn.PgConn, w io.Writer, query string) error {
	fmt.Fprintf(w, "%s;\n", query)
	if verb, _, _ := strings.Cut(query, " "); verb == "SELECT" || verb == "UPDATE" {
		lines, err := planOf(ctx, conn, query)
		if err != nil {
			return err
		}
		for _, l := range lines {
			fmt.Fprintf(w, "  | %s\n", l)
		}
	}
	began := time.Now()
	results, err := conn.Exec(ctx, query).ReadAll()
	took := time.Since(began)
	if err != nil {
		return err
	}
	for _, r := range results {
		if len(r.FieldDescriptions) > 0 {
			printTable(w, r)
		} else {
			fmt.Fprintf(w, "  %s\n", r.CommandTag)
		}
	}
	fmt.Fprintf(w, "  %.1f ms\n\n", float64(took.Microseconds())/1000)
	return nil
}

// planOf sums up a distributed plan in two lines: on which rung of the ladder
// the statement runs, and what is asked of whom.
func planOf(ctx context.Context, conn *pgconn.PgConn, query string) ([]string, error) {
	results, err := conn.Exec(ctx, "EXPLAIN (COSTS OFF) "+query).ReadAll()
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, r := range results {
		for _, row := range r.Rows {
			lines = append(lines, strings.TrimSpace(string(row[0])))
		}
	}
	return summary(lines), nil
}

// summary picks the facts of the first set of tasks from EXPLAIN's lines.
func summary(lines []string) []string {
	if len(lines) == 0 {
		return nil
	}
	facts := make(map[string]string)
	for _, l := range lines[1:] {
		if l == "->  Combine" {
			facts["Combine"] = "one query over their rows"
		}
		name, value, ok := strings.Cut(l, ": ")
		if _, seen := facts[name]; ok && !seen {
			facts[name] = value
		}
	}
	var parts []string
	for _, name := range []string{"Task Count", "Shard Groups", "Combine"} {
		if v := facts[name]; v != "" {
			parts = append(parts, name+": "+v)
		}
	}
	if facts["Task Count"] == "1" && facts["Node"] != "" {
		parts = append(parts, "Node: "+facts["Node"])
	}
	return []string{lines[0], strings.Join(parts, ", ")}
}
