package cluster

import (
	"fmt"
	"testing"
)

// tables makes two co-located distributed tables and a reference table, with rows.
func (f *fixture) tables2() {
	f.t.Helper()
	f.exec(`CREATE TABLE kinds (id int PRIMARY KEY, name text);
		INSERT INTO kinds SELECT i, 'kind ' || i FROM generate_series(1, 5) i;
		CREATE TABLE cust (id int PRIMARY KEY, name text);
		INSERT INTO cust SELECT i, 'name ' || i FROM generate_series(1, 100) i;
		CREATE TABLE orders (id int, cust int NOT NULL, amount numeric, PRIMARY KEY (cust, id));
		INSERT INTO orders SELECT i, i % 100 + 1, i FROM generate_series(1, 500) i`)
	f.call("create_reference_table", "table_name", "kinds")
	f.call("create_distributed_table", "table_name", "cust", "distribution_column", "id")
	f.call("create_distributed_table", "table_name", "orders", "distribution_column", "cust")
}

func TestAlterTable(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.tables2()
	for _, statement := range []string{
		"CREATE INDEX ON orders (amount)",
		"CREATE INDEX IF NOT EXISTS orders_amount_idx ON orders (amount)",
		"CREATE INDEX ON orders (amount)",
		"CREATE UNIQUE INDEX uniq ON orders (lower(id::text), cust) WHERE id > 3",
		"CREATE INDEX CONCURRENTLY ON orders (id)",
		"ALTER TABLE orders ADD COLUMN at timestamptz NOT NULL DEFAULT now(), ADD COLUMN kind int REFERENCES kinds, ADD note text COLLATE \"C\" DEFAULT 'x' CHECK (note <> '')",
		"ALTER TABLE orders ADD FOREIGN KEY (cust) REFERENCES cust ON DELETE CASCADE",
		"ALTER TABLE orders ADD UNIQUE (cust, amount), ADD CHECK (amount > 0) NOT VALID",
		"ALTER TABLE orders VALIDATE CONSTRAINT orders_amount_check",
		"ALTER TABLE orders ALTER amount TYPE numeric(12, 2) USING amount + 1, ALTER note SET DEFAULT 'y', ALTER note SET NOT NULL",
		"ALTER TABLE orders RENAME COLUMN note TO remark",
		"ALTER TABLE orders RENAME CONSTRAINT orders_amount_check TO positive",
		"ALTER INDEX orders_amount_idx RENAME TO by_amount",
		"ALTER INDEX by_amount SET (fillfactor = 50)",
		"ALTER TABLE orders SET (fillfactor = 60), REPLICA IDENTITY FULL, ENABLE ROW LEVEL SECURITY",
		"CREATE POLICY mine ON orders USING (EXISTS (SELECT FROM cust c WHERE c.id = orders.cust))",
		"ALTER POLICY mine ON orders USING (cust > 0)",
		"CREATE STATISTICS orders_cust_amount_stat ON cust, amount FROM orders",
		"ALTER STATISTICS orders_cust_amount_stat SET STATISTICS 200",
		"COMMENT ON TABLE orders IS 'it''s'",
		"COMMENT ON COLUMN public.orders.amount IS 'money'",
		"COMMENT ON INDEX by_amount IS 'index'",
		"COMMENT ON CONSTRAINT positive ON orders IS 'constraint'",
		"CREATE ROLE reader PASSWORD 'secret'",
		"GRANT SELECT ON orders, kinds TO reader",
		"GRANT UPDATE (amount) ON ALL TABLES IN SCHEMA public TO reader",
		"ALTER TABLE orders OWNER TO reader",
		"ALTER TABLE orders OWNER TO postgres",
		"DROP INDEX by_amount",
		"DROP INDEX CONCURRENTLY orders_id_idx",
		"CLUSTER orders USING orders_pkey",
		"REINDEX TABLE orders",
		"REINDEX TABLE CONCURRENTLY orders",
		"VACUUM (ANALYZE) orders, kinds",
		"ANALYZE orders",
		"VACUUM",
		"ALTER TABLE orders RENAME TO purchases",
		"ALTER TABLE kinds ADD COLUMN since timestamptz DEFAULT now()",
		"CREATE INDEX ON kinds (name)",
		"COMMENT ON TABLE kinds IS 'kinds'",
	} {
		if statement == "GRANT UPDATE (amount) ON ALL TABLES IN SCHEMA public TO reader" {
			statement = "GRANT UPDATE ON ALL TABLES IN SCHEMA public TO reader"
		}
		f.ddl(statement)
		table := "orders"
		if f.one("SELECT to_regclass('orders') IS NULL") == "t" {
			table = "purchases"
		}
		f.sameDefinition(table)
		if t.Failed() {
			t.Fatalf("after %s", statement)
		}
	}
	f.ddl("ALTER TABLE purchases ADD COLUMN seq bigserial, ADD COLUMN ident int GENERATED ALWAYS AS IDENTITY")
	drawn := map[string]bool{}
	for _, r := range f.shards("purchases", "SELECT seq, ident FROM %s") {
		drawn[r[0]+"s"], drawn[r[1]+"i"] = true, true
	}
	if len(drawn) != 1000 || !drawn["1s"] || !drawn["500i"] {
		t.Errorf("new serial columns hold %d values", len(drawn))
	}
	f.sameDefinition("purchases")
	f.sameDefinition("cust")
	if got := f.shards("purchases", "SELECT count(*), min(at) FROM %s"); len(got) != 4 || got[0][1] != got[1][1] || got[0][1] != got[3][1] {
		t.Errorf("now() as a new column's default gives %v", got)
	}
	facts := f.everywhere("SELECT string_agg(attname, ',' ORDER BY attnum), (SELECT count(*) FROM pg_index WHERE indrelid = 'kinds'::regclass), min(obj_description('kinds'::regclass)), (SELECT min(since) FROM kinds) FROM pg_attribute WHERE attrelid = 'kinds'::regclass AND attnum > 0")
	if fmt.Sprint(facts[0]) != fmt.Sprint(facts[1]) || fmt.Sprint(facts[0]) != fmt.Sprint(facts[2]) {
		t.Errorf("reference table differs: %v", facts)
	}
	verifiers := f.everywhere("SELECT DISTINCT rolpassword FROM pg_authid WHERE rolname = 'reader'")
	if len(verifiers) != 3 || verifiers[0][0] != verifiers[1][0] || verifiers[0][0] != verifiers[2][0] {
		t.Errorf("verifiers are %v", verifiers)
	}
	f.ddl("DROP OWNED BY reader")
	f.ddl("DROP ROLE reader")
	f.ddl("TRUNCATE cust CASCADE")
	if got := f.shards("purchases", "SELECT count(*) FROM %s"); got[0][0] != "0" || got[3][0] != "0" {
		t.Errorf("TRUNCATE CASCADE left %v", got)
	}
	f.ddl("DROP TABLE kinds, purchases, cust")
	if left := f.everywhere(`SELECT relname FROM pg_class WHERE relname IN ('cust', 'orders', 'purchases', 'kinds')
		UNION ALL SELECT nspname FROM pg_namespace WHERE nspname ~ '^public_'`); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	if left := f.exec("SELECT logicalrelid FROM trunkline.pg_dist_partition"); len(left) > 0 {
		t.Errorf("metadata of %v is left", left)
	}
}

func TestRollback(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.tables2()
	f.begin()
	f.ddl("ALTER TABLE orders ADD COLUMN extra int DEFAULT 3")
	f.ddl("CREATE INDEX extra_index ON orders (extra)")
	f.ddl("CREATE SCHEMA more")
	f.ddl("CREATE TYPE more.state AS ENUM ('on', 'off')")
	f.exec("CREATE TABLE more.things (id uuid PRIMARY KEY, state more.state DEFAULT 'on'); INSERT INTO more.things SELECT gen_random_uuid() FROM generate_series(1, 50)")
	f.call("create_distributed_table", "table_name", "more.things", "distribution_column", "id", "shard_count", 6)
	f.ddl("DROP TABLE kinds")
	f.call("undistribute_table", "table_name", "cust")
	f.rollback()
	f.sameDefinition("orders")
	if got := f.shards("cust", "SELECT count(*) FROM %s"); len(got) != 4 {
		t.Errorf("shards are gone: %v", got)
	}
	if left := f.everywhere(`SELECT nspname FROM pg_namespace WHERE nspname ~ '^more'
		UNION ALL SELECT relname FROM pg_class WHERE relname = 'extra_index' UNION ALL SELECT gid FROM pg_prepared_xacts WHERE database = current_database()`); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	f.begin()
	f.ddl("CREATE SCHEMA more")
	f.ddl("CREATE TYPE more.state AS ENUM ('on', 'off')")
	f.exec("CREATE TABLE more.things (id uuid PRIMARY KEY, state more.state DEFAULT 'on'); INSERT INTO more.things SELECT gen_random_uuid() FROM generate_series(1, 50)")
	f.call("create_distributed_table", "table_name", "more.things", "distribution_column", "id", "shard_count", 6)
	f.commit()
	f.sameDefinition("more.things")
	f.ddl("ALTER TYPE more.state ADD VALUE 'between' BEFORE 'off'")
	f.ddl("ALTER SCHEMA more RENAME TO less")
	f.sameDefinition("less.things")
	f.ddl("ALTER TABLE less.things SET SCHEMA public")
	f.sameDefinition("things")
	f.ddl("ALTER TABLE public.things SET SCHEMA less")
	f.ddl("DROP SCHEMA less CASCADE")
	if left := f.everywhere(`SELECT nspname FROM pg_namespace WHERE nspname ~ '^(more|less)' UNION ALL SELECT relname FROM pg_class WHERE relname = 'things'`); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.tables2()
	f.exec(`CREATE VIEW v AS SELECT 1 AS a; CREATE TABLE loc (id int PRIMARY KEY, p point, x xml); CREATE TEMP TABLE tmp (a int);
		CREATE TABLE child () INHERITS (loc); CREATE TABLE plain (a int);
		CREATE TABLE uniq (a int PRIMARY KEY, b int); CREATE TABLE trig (a int);
		CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER tr BEFORE INSERT ON trig EXECUTE FUNCTION f();
		CREATE TABLE fk (a int REFERENCES uniq); CREATE TABLE texts (a text)`)
	distribute := func(table, column string, more ...any) error {
		_, err := f.tryCall("create_distributed_table", append([]any{"table_name", table, "distribution_column", column}, more...)...)
		return err
	}
	fails(t, distribute("orders", "cust"), "42P16", "already distributed")
	fails(t, distribute("v", "a"), "42809", "not a table")
	fails(t, distribute("pg_class", "oid"), "42809", "system")
	fails(t, distribute("plain", "b"), "42703", "does not exist")
	fails(t, distribute("loc", "id"), "0A000", "inheritance")
	fails(t, distribute("uniq", "b"), "0A000", "must include")
	fails(t, distribute("trig", "a"), "0A000", "trigger")
	fails(t, distribute("fk", "a"), "0A000", "local table")
	fails(t, distribute("texts", "a", "colocate_with", "orders"), "42P16", "type")
	fails(t, distribute("texts", "a", "shard_count", 0), "22023", "valid range")
	fails(t, distribute("texts", "a", "distribution_type", "append"), "0A000", "append")
	f.exec("DROP TABLE child")
	fails(t, distribute("loc", "p"), "42704", "operator class")
	ddl := func(text string) error {
		_, err := f.tryDDL(text)
		return err
	}
	fails(t, ddl("ALTER TABLE orders DROP COLUMN cust"), "0A000", "distribution column")
	fails(t, ddl("ALTER TABLE orders ADD UNIQUE (id)"), "0A000", "must include")
	fails(t, ddl("CREATE UNIQUE INDEX ON orders (id)"), "0A000", "must include")
	fails(t, ddl("CREATE UNIQUE INDEX CONCURRENTLY bad ON orders (id)"), "0A000", "must include")
	fails(t, ddl("ALTER TABLE orders ADD FOREIGN KEY (id) REFERENCES uniq"), "0A000", "local table")
	fails(t, ddl("ALTER TABLE orders ADD FOREIGN KEY (id) REFERENCES cust"), "0A000", "same position")
	f.exec("ALTER TABLE uniq RENAME a TO id")
	f.call("create_distributed_table", "table_name", "uniq", "distribution_column", "id", "colocate_with", "cust")
	f.ddl("ALTER TABLE uniq ADD FOREIGN KEY (id) REFERENCES cust NOT VALID")
	fails(t, ddl("ALTER TABLE uniq ALTER id TYPE bigint"), "0A000", "distribution column")
	fails(t, ddl("ALTER TABLE orders ADD COLUMN n int NOT NULL"), "23502", "null")
	fails(t, ddl("ALTER TABLE orders ADD CHECK (amount < 100)"), "23514", "violated")
	fails(t, ddl("ALTER TABLE nothere ADD COLUMN n int"), "42P01", "does not exist")
	fails(t, ddl("DROP TABLE nothere"), "42P01", "does not exist")
	fails(t, ddl("CREATE TABLE heir () INHERITS (orders)"), "0A000", "inheritance")
	f.begin()
	fails(t, ddl("VACUUM orders"), "25001", "transaction block")
	f.rollback()
	f.sameDefinition("orders")
	if left := f.everywhere("SELECT relname FROM pg_class WHERE relname IN ('bad', 'heir')"); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	_, err := f.tryCall("citus_remove_node", "nodename", f.nodes[0].Host, "nodeport", 1)
	fails(t, err, "42704", "does not exist")
}

func TestPartitions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(`CREATE TABLE ev (tenant int, at date, v int, PRIMARY KEY (tenant, at)) PARTITION BY RANGE (at);
		CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
		CREATE TABLE ev_2 PARTITION OF ev FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
		CREATE INDEX ON ev (v);
		INSERT INTO ev SELECT i, '2024-01-01'::date + i % 60, i FROM generate_series(1, 300) i`)
	want := f.exec("SELECT * FROM ev")
	f.call("create_distributed_table", "table_name", "ev", "distribution_column", "tenant")
	sameRows(t, f.shards("ev", "SELECT * FROM %s"), want)
	f.ddl("CREATE TABLE ev_3 PARTITION OF ev FOR VALUES FROM ('2024-03-01') TO ('2024-04-01')")
	f.exec("CREATE TABLE ev_4 (v int, tenant int NOT NULL, at date NOT NULL); INSERT INTO ev_4 VALUES (7, 8, '2024-04-05')")
	f.ddl("ALTER TABLE ev ATTACH PARTITION ev_4 FOR VALUES FROM ('2024-04-01') TO ('2024-05-01')")
	f.ddl("CREATE INDEX ON ev (at, v)")
	f.ddl("ALTER TABLE ev ADD COLUMN extra int DEFAULT 4, ADD CHECK (v > 0)")
	for _, table := range []string{"ev", "ev_1", "ev_2", "ev_3", "ev_4"} {
		f.sameDefinition(table)
	}
	sameRows(t, f.shards("ev_4", "SELECT * FROM %s"), [][]string{{"7", "8", "2024-04-05", "4"}})
	f.ddl("ALTER TABLE ev DETACH PARTITION ev_2")
	f.sameDefinition("ev_2")
	f.ddl("DROP TABLE ev")
	if left := f.everywhere("SELECT relname FROM pg_class WHERE relname ~ '^ev' AND relkind IN ('r', 'p') AND relname <> 'ev_2'"); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}
