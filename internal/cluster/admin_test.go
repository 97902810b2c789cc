package cluster

import (
	"strings"
	"testing"

	"github.com/trunkline/trunkline/internal/backend"
)

// TestOneServer begins with the coordinator alone and grows.
func TestOneServer(t *testing.T) {
	t.Parallel()
	f := newFixtureOf(t, 0)
	f.exec("CREATE TYPE mood AS ENUM ('a', 'b'); CREATE DOMAIN posint AS int CHECK (VALUE > 0); CREATE TABLE early (id posint PRIMARY KEY, m mood DEFAULT 'b'); INSERT INTO early VALUES (1), (2)")
	f.tables2()
	f.call("create_reference_table", "table_name", "early")
	f.sameDefinition("orders")
	sameRows(t, f.shards("cust", "SELECT count(*) > 0 FROM %s"), [][]string{{"t"}, {"t"}, {"t"}, {"t"}})
	for _, statement := range []string{
		"ALTER TABLE orders ADD COLUMN kind int REFERENCES kinds ON DELETE CASCADE, ADD CONSTRAINT to_cust FOREIGN KEY (cust) REFERENCES cust",
		"CREATE INDEX ON orders (amount)",
		"CREATE INDEX CONCURRENTLY ON orders (id)",
		"GRANT SELECT ON orders TO PUBLIC",
		"VACUUM ANALYZE orders",
	} {
		f.ddl(statement)
		f.sameDefinition("orders")
	}
	for _, server := range f.servers[1:] {
		f.addServer(server)
	}
	for i := range f.servers {
		if got := f.on(i, "SELECT count(*), min(m) FROM early"); got[0][0] != "2" || got[0][1] != "b" {
			t.Errorf("server %d has %v", i, got)
		}
	}
	f.exec("CREATE TABLE late (id posint, m mood); INSERT INTO late SELECT i, 'a' FROM generate_series(1, 200) i")
	want := f.exec("SELECT * FROM late")
	f.call("create_distributed_table", "table_name", "late", "distribution_column", "id", "colocate_with", "none", "shard_count", 7)
	sameRows(t, f.shards("late", "SELECT * FROM %s"), want)
	if got := f.one("SELECT count(DISTINCT groupid) FROM trunkline.shard_group WHERE colocationid = (SELECT colocationid FROM trunkline.pg_dist_partition WHERE logicalrelid = 'late'::regclass)"); got != "3" {
		t.Errorf("late is on %s nodes", got)
	}
	worker := f.snap.Nodes[len(f.snap.Nodes)-1]
	_, err := f.tryCall("citus_remove_node", "nodename", worker.Host, "nodeport", worker.Port)
	fails(t, err, "55000", "holds shards")
	f.ddl("TRUNCATE kinds, orders, cust")
	for _, r := range f.shards("orders", "SELECT count(*) FROM %s") {
		if r[0] != "0" {
			t.Errorf("TRUNCATE left %v", r)
		}
	}
	f.call("undistribute_table", "table_name", "late")
	sameRows(t, f.exec("SELECT * FROM late"), want)
	f.call("citus_remove_node", "nodename", worker.Host, "nodeport", worker.Port)
	if got := f.on(len(f.servers)-1, "SELECT count(*) FROM pg_class WHERE relname = 'early'"); got[0][0] != "0" {
		t.Error("a removed node keeps a reference table's copy")
	}
	f.call("citus_add_node", "nodename", worker.Host, "nodeport", worker.Port)
	f.ddl("DROP TABLE kinds, orders, cust, early")
	if left := f.everywhere(`SELECT relname FROM pg_class WHERE relname IN ('cust', 'orders', 'kinds', 'early') UNION ALL SELECT nspname FROM pg_namespace WHERE nspname ~ '^public_'`); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}

// TestOrdinaryUser does as an ordinary user what needs no more rights than on one PostgreSQL.
func TestOrdinaryUser(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	role := "user_" + f.db
	f.ddl("CREATE ROLE " + role + " LOGIN")
	f.ddl("CREATE SCHEMA own AUTHORIZATION " + role)
	t.Cleanup(func() {
		f.as(f.super)
		f.ddl("DROP OWNED BY " + role + " CASCADE")
		f.ddl("DROP ROLE " + role)
	})
	f.exec("CREATE TABLE notmine (a int)")
	f.as(backend.Identity{User: role, Database: f.db})
	f.exec("CREATE TABLE own.t (a int PRIMARY KEY, b text); INSERT INTO own.t SELECT i, i FROM generate_series(1, 50) i; CREATE TABLE own.r (id int PRIMARY KEY)")
	_, err := f.tryCall("create_distributed_table", "table_name", "notmine", "distribution_column", "a")
	fails(t, err, "42501", "must be owner")
	f.call("create_distributed_table", "table_name", "own.t", "distribution_column", "a")
	f.call("create_reference_table", "table_name", "own.r")
	for _, statement := range []string{"ALTER TABLE own.t ADD COLUMN c int REFERENCES own.r", "CREATE INDEX ON own.t (b)", "CREATE TYPE own.e AS ENUM ('x')", "ALTER TABLE own.t ADD COLUMN e own.e"} {
		f.ddl(statement)
		f.sameDefinition("own.t")
	}
	if owners := f.shards("own.t", "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE oid = '%s'::regclass"); owners[0][0] != role {
		t.Errorf("owners are %v", owners)
	}
	_, err = f.tryCall("citus_add_node", "nodename", "localhost", "nodeport", 1)
	fails(t, err, "42501", "permission denied")
	f.call("undistribute_table", "table_name", "own.t", "cascade_via_foreign_keys", true)
	f.call("create_reference_table", "table_name", "own.r")
	f.call("create_distributed_table", "table_name", "own.t", "distribution_column", "a")
	f.ddl("DROP TABLE own.t, own.r")
	if left := f.everywhere(`SELECT relname FROM pg_class WHERE relname IN ('t', 'r') AND relkind = 'r' UNION ALL SELECT nspname FROM pg_namespace WHERE nspname ~ '^own_'`); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}

func TestRunCommand(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.tables2()
	got := f.call("run_command_on_workers", "command", "SELECT 7", "parallel", true)
	if len(got) != 2 || got[0][2] != "t" || got[1][3] != "7" {
		t.Errorf("workers say %v", got)
	}
	got = f.call("run_command_on_all_nodes", "command", "VACUUM")
	if len(got) != 3 || got[0][1] != "t" || got[0][2] != "VACUUM" {
		t.Errorf("all nodes say %v", got)
	}
	got = f.call("run_command_on_workers", "command", "SELECT 1/0")
	if got[0][2] != "f" || !strings.Contains(got[0][3], "division by zero") {
		t.Errorf("an error gives %v", got)
	}
	f.begin()
	f.call("run_command_on_placements", "table_name", "orders", "command", "DELETE FROM %s")
	f.call("run_command_on_workers", "command", "SELECT 1/0")
	if got = f.call("run_command_on_shards", "table_name", "orders", "command", "SELECT count(*) FROM %s"); got[0][2] != "0" {
		t.Errorf("in the block: %v", got)
	}
	f.rollback()
	if got = f.call("run_command_on_shards", "table_name", "orders", "command", "SELECT count(*) > 0 FROM %s"); len(got) != 4 || got[0][2] != "t" {
		t.Errorf("after rollback: %v", got)
	}
	if got = f.call("run_command_on_colocated_placements", "table_name1", "orders", "table_name2", "cust", "command",
		"SELECT count(*) > 0 FROM %s o JOIN %s c ON o.cust = c.id"); len(got) != 4 || got[3][5] != "t" {
		t.Errorf("co-located: %v", got)
	}
	if got = f.call("run_command_on_coordinator", "command", "SELECT count(*) FROM orders"); got[0][2] != "0" {
		t.Errorf("coordinator: %v", got)
	}
	sizes, err := f.CollectShardSizes(t.Context(), f.tx, f.snap)
	if err != nil || len(sizes) != 4+4+3 {
		t.Errorf("sizes are %v, %v", sizes, err)
	}
	f.call("recover_prepared_transactions")
	f.call("citus_check_cluster_node_health")
}
