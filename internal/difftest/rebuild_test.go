package difftest

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/internal/dump"
	"github.com/trunkline/trunkline/internal/pgtest"
)

// distributed has a table of each kind, with foreign keys among them.
const distributed = `
CREATE TYPE kind AS ENUM ('small', 'large');
CREATE TABLE countries (code text PRIMARY KEY, name text);
CREATE TABLE customers (id int PRIMARY KEY, country text REFERENCES countries, kind kind);
CREATE TABLE orders (customer int REFERENCES customers, id serial, at timestamptz DEFAULT now(), PRIMARY KEY (customer, id));
CREATE TABLE events (day date, tenant text, n int) PARTITION BY RANGE (day);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE "Odd ' One" (id int PRIMARY KEY);
CREATE TABLE plain (id int);
CREATE SCHEMA tenant;
CREATE TABLE tenant.users (id int PRIMARY KEY, boss int REFERENCES tenant.users);
CREATE MATERIALIZED VIEW per_country AS SELECT country, count(*) FROM customers GROUP BY 1;
SELECT create_reference_table('countries');
SELECT create_distributed_table('customers', 'id', shard_count => 3);
SELECT create_distributed_table('orders', 'customer', colocate_with => 'customers');
SELECT create_distributed_table('events', 'tenant');
SELECT create_distributed_table('"Odd '' One"', NULL);
SELECT citus_schema_distribute('tenant');
INSERT INTO countries SELECT 'c' || i, 'country ' || i FROM generate_series(1, 4) AS i;
INSERT INTO customers SELECT i, 'c' || i % 4 + 1, CASE i % 2 WHEN 0 THEN 'small'::kind ELSE 'large' END FROM generate_series(1, 30) AS i;
INSERT INTO orders (customer) SELECT i % 30 + 1 FROM generate_series(1, 100) AS i;
INSERT INTO events SELECT '2024-03-01'::date + i, 't' || i % 5, i FROM generate_series(1, 40) AS i;
INSERT INTO "Odd ' One" SELECT i FROM generate_series(1, 5) AS i;
INSERT INTO plain VALUES (1);
INSERT INTO tenant.users SELECT i, nullif(i - 1, 0) FROM generate_series(1, 6) AS i;
REFRESH MATERIALIZED VIEW per_country;
`

// TestRebuild makes a second cluster from a dump of one and what dump.Distribution says.
func TestRebuild(t *testing.T) {
	first, second := NewPair(t, &shared, 2, 5), NewPair(t, &shared, 2, 4)
	must := func(text string) {
		t.Helper()
		if out := script(t, second.Gateway, text); strings.Contains(out, "ERROR") {
			t.Errorf("rebuilding:\n%s", out)
		}
	}
	if out := script(t, first.Gateway, distributed); strings.Contains(out, "ERROR") {
		t.Fatalf("making the first cluster:\n%s", out)
	}
	calls := func(p *Pair) []string {
		conn, err := pgx.Connect(t.Context(), p.Gateway)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		all, err := dump.Distribution(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	wanted := calls(first)
	must(program(t, first.Gateway, "pg_dump", "--section=pre-data"))
	must(strings.Join(wanted, "\n"))
	must(program(t, first.Gateway, "pg_dump", "--section=data"))
	must(program(t, first.Gateway, "pg_dump", "--section=post-data"))
	if got := calls(second); len(wanted) != 6 || !slices.Equal(got, wanted) {
		t.Errorf("tables are distributed by\n%s\nnot by\n%s", strings.Join(got, "\n"), strings.Join(wanted, "\n"))
	}
	for _, table := range []string{"countries", "customers", "orders", "events", `"Odd ' One"`, "plain", "tenant.users", "per_country"} {
		read := "SELECT t::text FROM " + table + " t ORDER BY 1"
		if got, want := pgtest.Rows(t, second.Gateway, read), pgtest.Rows(t, first.Gateway, read); len(want) == 0 || !slices.EqualFunc(got, want, slices.Equal[[]string]) {
			t.Errorf("%s was rebuilt as\n%v\nnot\n%v", table, got, want)
		}
	}
	if out := dumpNoise.ReplaceAllString(program(t, second.Gateway, "pg_dump", "--schema-only"), ""); out != dumpNoise.ReplaceAllString(program(t, first.Gateway, "pg_dump", "--schema-only"), "") {
		t.Errorf("the schema was rebuilt as\n%s", out)
	}
}
