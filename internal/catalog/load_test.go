package catalog

import (
	"testing"
)

func TestLoad(t *testing.T) {
	t.Parallel()
	conn := coordinator(t)
	exec(t, conn, `
		CREATE SCHEMA "My Shop";
		CREATE TYPE mood AS ENUM ('sad', 'happy');
		CREATE DOMAIN price AS numeric(10,2) CHECK (VALUE > 0);
		CREATE DOMAIN dear AS price CHECK (VALUE > 100);
		CREATE TABLE orders (id bigserial, customer_id int NOT NULL, "Note" text COLLATE "C" DEFAULT 'none', made timestamptz DEFAULT now(),
			token uuid DEFAULT gen_random_uuid(), tag text DEFAULT 'x' || nextval('orders_id_seq'), n int GENERATED ALWAYS AS IDENTITY,
			twice int GENERATED ALWAYS AS (customer_id * 2) STORED, m mood, d dear, gone int, PRIMARY KEY (customer_id, id));
		ALTER TABLE orders DROP COLUMN gone;
		CREATE TABLE "My Shop".colours (id int PRIMARY KEY, name varchar(10));
		CREATE TABLE settings (k text, v text);
		CREATE VIEW order_count AS SELECT count(*) FROM orders;
		CREATE VIEW setting_count AS SELECT count(*) FROM settings;
		CREATE FUNCTION reads() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM Orders';
		CREATE FUNCTION reads_view() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT * FROM order_count); END';
		CREATE FUNCTION reads_through() RETURNS bigint LANGUAGE sql AS 'SELECT reads_view()';
		CREATE FUNCTION reads_atomic() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM "My Shop".colours; END;
		CREATE FUNCTION dynamic(t text) RETURNS bigint LANGUAGE plpgsql AS 'DECLARE n bigint; BEGIN EXECUTE ''SELECT count(*) FROM '' || t INTO n; RETURN n; END';
		CREATE FUNCTION harmless(a int, b int DEFAULT 1, VARIADIC c int[] DEFAULT '{}') RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + (SELECT count(*) FROM settings)::int';
		CREATE FUNCTION on_setting() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM reads(); RETURN NEW; END';
		CREATE TRIGGER t AFTER INSERT ON settings FOR EACH ROW EXECUTE FUNCTION on_setting();
		CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
		SELECT trunkline_internal.add_table('orders'::regclass, 'customer_id', trunkline_internal.create_colocation('{1,0,1,0}', 'int'::regtype, 0));
		SELECT trunkline_internal.add_table('"My Shop".colours'::regclass, NULL, trunkline_internal.reference_colocation());
		CREATE SCHEMA public_102009; CREATE TABLE public_102009.orders (id int);
		CREATE TABLE parted (id int, day date) PARTITION BY RANGE (day);
		CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
	`)
	s, err := Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	orders := s.Relations[Name{"public", "orders"}]
	if orders == nil || orders.Kind != Distributed || orders.DistColumn != 1 || orders.RelKind != 'r' || orders.Owner != "postgres" ||
		len(orders.Columns) != 10 || len(orders.ShardIDs) != 4 || orders.ShardIDs[0] != 102008 {
		t.Fatalf("orders: %+v", orders)
	}
	if pk := orders.PrimaryKey; len(pk) != 2 || pk[0] != 1 || pk[1] != 0 {
		t.Errorf("primary key: %v", pk)
	}
	c := s.Colocations[orders.ColocationID]
	if c.ShardCount != 4 || c.TypeOID != OIDInt4 || len(c.Groups) != 4 || c.Groups[0] != (ShardGroup{102008, -1 << 31, -1<<30 - 1, 1}) || c.Groups[3].Max != 1<<31-1 {
		t.Errorf("colocation: %+v", c)
	}
	column := map[string]Column{}
	for _, c := range orders.Columns {
		column[c.Name] = c
	}
	if seq := column["id"].Sequence; seq == nil || *seq != (Name{"public", "orders_id_seq"}) || column["id"].Volatile {
		t.Errorf("id: %+v", column["id"])
	}
	if seq := column["n"].Sequence; seq == nil || *seq != (Name{"public", "orders_n_seq"}) || column["n"].Identity != 'a' {
		t.Errorf("n: %+v", column["n"])
	}
	if c := column["tag"]; c.Sequence != nil || !c.Volatile {
		t.Errorf("tag: %+v", c)
	}
	if !column["token"].Volatile || column["made"].Volatile || column["made"].Default != "now()" || !column["twice"].Generated || !column["customer_id"].NotNull {
		t.Errorf("columns: %+v", column)
	}
	if colours := s.Relations[Name{"My Shop", "colours"}]; colours.Kind != Reference || len(colours.ShardIDs) != 1 || colours.DistColumn != -1 {
		t.Errorf("colours: %+v", colours)
	}
	if s.Relations[Name{"public_102009", "orders"}] != nil {
		t.Error("a shard is in the snapshot")
	}
	if p := s.Relations[Name{"public", "parted_1"}]; p.Parent != s.Relations[Name{"public", "parted"}].OID || !s.ByOID[p.Parent].Inherited {
		t.Errorf("parted_1: %+v", p)
	}
	if v := s.Relations[Name{"public", "order_count"}]; v.Definition == "" || v.Columns[0].Name != "count" {
		t.Errorf("order_count: %+v", v)
	}
	for name, want := range map[string]bool{"reads": true, "reads_view": true, "reads_through": true, "reads_atomic": true, "dynamic": true,
		"harmless": false, "on_setting": true, "query_to_xml": true, "lower": false} {
		if f := s.Functions[name]; len(f) == 0 || f[0].ReadsTables != want {
			t.Errorf("%s: ReadsTables is not %v", name, want)
		}
	}
	if f := s.Functions["harmless"][0]; f.Volatility != 'i' || len(f.Args) != 3 || f.Defaults != 2 || !f.Variadic || f.Result != OIDInt4 {
		t.Errorf("harmless: %+v", f)
	}
	if !s.Relations[Name{"public", "settings"}].TriggersRead {
		t.Error("settings: TriggersRead is not set")
	}
	if !s.Operators["==="] || s.Operators["="] {
		t.Error("operators are wrong")
	}
	if r := s.Resolve([]string{"public"}, "", "pg_class"); r == nil || r.Schema != "pg_catalog" {
		t.Error("pg_class is missing")
	}
	if s.Relations[Name{"information_schema", "tables"}] == nil || s.Relations[Name{"trunkline", "pg_dist_node"}] == nil {
		t.Error("system relations are missing")
	}
	if len(s.Nodes) != 2 || s.Nodes[0].GroupID != CoordinatorGroup || s.Nodes[1].GroupID != 1 || s.Nodes[0].ShouldHaveShards || !s.Nodes[1].ShouldHaveShards {
		t.Errorf("nodes: %+v", s.Nodes)
	}
	for oid, want := range map[uint32]string{OIDInt4: "pg_catalog.hashint4", OIDVarchar: "pg_catalog.hashtext", OIDBpchar: "pg_catalog.hashbpchar",
		column["m"].TypeOID: "pg_catalog.hashenum", column["d"].TypeOID: "pg_catalog.hash_numeric", 1007: "pg_catalog.hash_array", 3904: "pg_catalog.hash_range",
		114: "", 3802: "pg_catalog.jsonb_hash", 142: "", 2205: "pg_catalog.hashoid",
		OIDDate: "trunkline_internal.hash_value", OIDBytea: "trunkline_internal.hash_value"} {
		if got := s.Types[oid].HashFunction; got != want {
			t.Errorf("hash function of %s: %q, not %q", s.Types[oid].SQL, got, want)
		}
	}
	if s.Types[OIDBpchar].SQL != "bpchar" || s.Types[column["m"].TypeOID].SQL != "public.mood" {
		t.Error("type names are wrong")
	}
}

func TestLoadInTransaction(t *testing.T) {
	t.Parallel()
	conn := coordinator(t)
	load := func() *Snapshot {
		t.Helper()
		s, err := Load(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := load()
	exec(t, conn, `SET search_path = trunkline; BEGIN; SET LOCAL search_path = pg_catalog, public; CREATE TABLE public.t (a int)`)
	exec(t, conn, `SELECT trunkline_internal.add_table('t'::regclass, 'a', trunkline_internal.create_colocation('{1,1}', 'int'::regtype, 0))`)
	inside := load()
	if inside.Version >= 0 || inside.Relations[Name{"public", "t"}].Kind != Distributed {
		t.Errorf("version inside is %d, table is %+v", inside.Version, inside.Relations[Name{"public", "t"}])
	}
	if path := one(t, conn, "SHOW search_path"); path != "pg_catalog, public" {
		t.Errorf("search_path became %q", path)
	}
	exec(t, conn, "SELECT trunkline_internal.bump_catalog_version()")
	if again := load(); again.Version >= inside.Version {
		t.Errorf("version went from %d to %d", inside.Version, again.Version)
	}
	exec(t, conn, "COMMIT")
	if path := one(t, conn, "SHOW search_path"); path != "trunkline" {
		t.Errorf("search_path became %q", path)
	}
	if after := load(); after.Version <= before.Version {
		t.Errorf("version went from %d to %d", before.Version, after.Version)
	}
}

func BenchmarkLoad(b *testing.B) {
	conn := coordinator(b)
	exec(b, conn, `DO $$ BEGIN FOR i IN 1 .. 2000 LOOP EXECUTE format('CREATE TABLE t%s (id bigserial PRIMARY KEY, a int, b text, c timestamptz DEFAULT now(), d numeric)', i); END LOOP; END $$`)
	for b.Loop() {
		if _, err := Load(b.Context(), conn); err != nil {
			b.Fatal(err)
		}
	}
}
