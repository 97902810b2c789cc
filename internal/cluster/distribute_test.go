package cluster

import (
	"strings"
	"testing"
)

func TestDistributeFilledTables(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(`CREATE SCHEMA s; CREATE TYPE s.mood AS ENUM ('sad', 'ok');
		CREATE FUNCTION s.twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
		CREATE TABLE kinds (id int PRIMARY KEY, name text);
		INSERT INTO kinds SELECT i, 'kind ' || i FROM generate_series(1, 5) i;
		CREATE TABLE s."Cust" (id int PRIMARY KEY, m s.mood[] DEFAULT '{ok}', note text COLLATE "C");
		CREATE TABLE s.orders (id bigserial, cust int NOT NULL, kind int REFERENCES kinds, amount numeric(10,2) DEFAULT 1.5 CHECK (amount > 0),
			twice int GENERATED ALWAYS AS (cust * 2) STORED, t int DEFAULT s.twice(4), at timestamptz DEFAULT now(), gone int,
			PRIMARY KEY (cust, id), FOREIGN KEY (cust) REFERENCES s."Cust" (id) ON DELETE CASCADE) WITH (fillfactor = 70);
		ALTER TABLE s.orders DROP COLUMN gone;
		CREATE INDEX by_amount ON s.orders (amount DESC, lower(twice::text)) INCLUDE (at) WHERE amount > 2;
		CREATE STATISTICS s.corr ON cust, kind FROM s.orders;
		COMMENT ON TABLE s.orders IS 'all ''orders''';
		COMMENT ON COLUMN s.orders.amount IS 'in euros';
		INSERT INTO s."Cust" SELECT i, ARRAY['sad', 'ok']::s.mood[], E'tab\tback\\slash\nline' FROM generate_series(1, 100) i;
		INSERT INTO s.orders (cust, kind, amount) SELECT i % 100 + 1, i % 5 + 1, i FROM generate_series(1, 1000) i`)
	before := f.exec("SELECT * FROM s.orders ORDER BY id")
	customers := f.exec(`SELECT * FROM s."Cust" ORDER BY id`)
	f.call("create_reference_table", "table_name", "kinds")
	// Types and functions made before the nodes were there are on them; these were made afterwards, past the cluster.
	for _, command := range []string{"CREATE SCHEMA s", "CREATE TYPE s.mood AS ENUM ('sad', 'ok')",
		"CREATE FUNCTION s.twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2'"} {
		for _, r := range f.call("run_command_on_workers", "command", command) {
			if r[2] != "t" {
				t.Fatalf("%v", r)
			}
		}
	}
	f.call("create_distributed_table", "table_name", `s."Cust"`, "distribution_column", "id")
	if got := f.one(`SELECT count(*) FROM s."Cust"`); got != "100" {
		t.Errorf("the shell that a local table references has %s rows, want 100", got)
	}
	f.call("create_distributed_table", "table_name", "s.orders", "distribution_column", "cust", "colocate_with", `s."Cust"`)
	if got := f.exec(`SELECT (SELECT count(*) FROM s."Cust"), (SELECT count(*) FROM s.orders)`); got[0][0] != "0" || got[0][1] != "0" {
		t.Errorf("shells hold %v rows", got)
	}
	if got := f.call("run_command_on_shards", "table_name", "s.orders", "command", "SELECT count(*) FROM %s"); len(got) != 4 {
		t.Errorf("run_command_on_shards gives %v", got)
	}
	sameRows(t, f.shards("s.orders", "SELECT * FROM %s"), before)
	sameRows(t, f.shards("s.Cust", "SELECT * FROM %s"), customers)
	for _, r := range f.everywhere("SELECT count(*) FROM kinds") {
		if r[0] != "5" {
			t.Errorf("a copy of the reference table has %s rows", r[0])
		}
	}
	f.sameDefinition("s.orders")
	f.sameDefinition("s.Cust")
	for _, query := range []string{`SELECT trunkline.get_shard_id_for_distribution_column('s.orders', 5)`} {
		f.exec(query)
	}
	f.call("undistribute_table", "table_name", "s.orders", "cascade_via_foreign_keys", true)
	sameRows(t, f.exec("SELECT * FROM s.orders"), before)
	sameRows(t, f.exec(`SELECT * FROM s."Cust"`), customers)
	if left := f.everywhere(`SELECT nspname FROM pg_namespace WHERE nspname ~ '_[0-9]+$' AND nspname !~ '^pg_'`); len(left) > 0 {
		t.Errorf("shard schemas are left: %v", left)
	}
	if left := f.exec("SELECT * FROM trunkline.pg_dist_shard"); len(left) > 0 {
		t.Errorf("metadata is left: %v", left)
	}
}

// sameRows compares two sets of rows without regard to their order.
func sameRows(t testing.TB, got, want [][]string) {
	t.Helper()
	count := map[string]int{}
	for _, r := range want {
		count[strings.Join(r, "|")]++
	}
	for _, r := range got {
		count[strings.Join(r, "|")]--
	}
	shown := 0
	for r, n := range count {
		if n != 0 && shown < 5 {
			shown++
			t.Errorf("row %s is there %d times too few", r, n)
		}
	}
}

// catalogFacts is what must be the same for a shell and its shards, with the schema's name made neutral.
const catalogFacts = `
SELECT 'column', a.attnum_::text || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' ' || a.attgenerated::text || coalesce(col_description(a.attrelid, a.attnum), '') || a.attcollation
FROM (SELECT *, row_number() OVER (ORDER BY attnum) AS attnum_ FROM pg_attribute WHERE attrelid = '%s'::regclass AND attnum > 0 AND NOT attisdropped) a
UNION ALL SELECT 'default', a.attname || ' ' || pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
WHERE d.adrelid = '%s'::regclass AND pg_get_expr(d.adbin, d.adrelid) !~ 'nextval'
UNION ALL SELECT 'constraint', conname || ' ' || regexp_replace(pg_get_constraintdef(oid), 'REFERENCES \S*\.', 'REFERENCES ') || convalidated FROM pg_constraint WHERE conrelid = '%s'::regclass AND contype <> 't' AND conname <> 'trunkline_shard'
UNION ALL SELECT 'index', regexp_replace(pg_get_indexdef(indexrelid), '( ON (ONLY )?\S*?)_\d+\.', '\1.') || indisreplident || indisclustered FROM pg_index WHERE indrelid = '%s'::regclass
UNION ALL SELECT 'statistics', stxname || stxkind::text FROM pg_statistic_ext WHERE stxrelid = '%s'::regclass AND stxnamespace::regnamespace::text <> 'trunkline_internal'
UNION ALL SELECT 'policy', polname || polcmd::text || regexp_replace(coalesce(pg_get_expr(polqual, polrelid), ''), 'public_\d+\.', '') FROM pg_policy WHERE polrelid = '%s'::regclass
UNION ALL SELECT 'trigger', regexp_replace(pg_get_triggerdef(oid), ' ON \S*\.', ' ON ') || tgenabled::text || coalesce(obj_description(oid, 'pg_trigger'), '') || (tgparentid <> 0) FROM pg_trigger WHERE tgrelid = '%s'::regclass AND NOT tgisinternal
UNION ALL SELECT 'class', relname || relpersistence::text || relrowsecurity || relforcerowsecurity || relreplident::text || coalesce(reloptions::text, '') || pg_get_userbyid(relowner) || coalesce(relacl::text, '') || coalesce(obj_description(oid, 'pg_class'), '')
FROM pg_class WHERE oid = '%s'::regclass`

// sameDefinition compares the shell's catalog facts with those of each of its shards.
func (f *fixture) sameDefinition(table string) {
	f.t.Helper()
	schema, name, ok := strings.Cut(table, ".")
	if !ok {
		schema, name = "public", table
	}
	want := f.on(0, strings.ReplaceAll(catalogFacts, "%s", qualify(schema, name)))
	got := f.shards(table, catalogFacts)
	shards := len(f.shards(table, "SELECT 1"))
	count := map[string]int{}
	for _, r := range want {
		count[strings.Join(r, ": ")] += shards
	}
	for _, r := range got {
		count[strings.Join(r, ": ")]--
	}
	for fact, n := range count {
		if n != 0 {
			f.t.Errorf("%s: %d shards differ in %s", table, n, fact)
		}
	}
}
