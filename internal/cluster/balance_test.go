package cluster

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// planned calls get_rebalance_table_shards_plan and gives its rows.
func (f *fixture) planned(args ...any) [][]string {
	f.t.Helper()
	f.reload()
	return f.call("get_rebalance_table_shards_plan", append([]any{"max_shard_moves", 1000000, "drain_only", false}, args...)...)
}

// perTarget counts the moves by their targets' ports.
func perTarget(moves [][]string) map[string]int {
	count := map[string]int{}
	for _, m := range moves {
		count[m[6]]++
	}
	return count
}

// gather puts all shards of a table on the first worker, in the catalog only: enough for planning.
func (f *fixture) gather(tables ...string) {
	f.t.Helper()
	for _, t := range tables {
		f.exec("SELECT trunkline_internal.move_shard_group(shardgroupid, (SELECT min(groupid) FROM trunkline.pg_dist_node WHERE groupid > 0)) FROM trunkline.shard_group WHERE colocationid = (SELECT colocationid FROM trunkline.pg_dist_partition WHERE logicalrelid = '" + t + "'::regclass)")
	}
	f.reload()
}

func TestPlanOfRebalance(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec("CREATE TABLE a (k int PRIMARY KEY, v text); CREATE TABLE b (k int PRIMARY KEY, v text); CREATE TABLE other (k text, n int)")
	f.call("create_distributed_table", "table_name", "a", "distribution_column", "k", "shard_count", 8, "colocate_with", "none")
	f.call("create_distributed_table", "table_name", "b", "distribution_column", "k", "colocate_with", "a")
	f.call("create_distributed_table", "table_name", "other", "distribution_column", "k", "shard_count", 6, "colocate_with", "none")
	f.exec("CREATE TABLE ref (id int)")
	f.call("create_reference_table", "table_name", "ref")
	if moves := f.planned(); len(moves) != 0 {
		t.Errorf("a balanced cluster is to be changed: %v", moves)
	}
	f.gather("a", "other")

	moves := f.planned()
	target := strconv.Itoa(f.servers[2].Port)
	// Of the eight groups of a and b four go, with two shards each, and three of the six of the other table.
	if got := perTarget(moves); len(moves) != 11 || got[target] != 11 {
		t.Errorf("moves %v", moves)
	}
	var tables []string
	for _, m := range moves {
		tables = append(tables, m[0])
	}
	slices.Sort(tables)
	if got := strings.Join(tables, " "); got != "a a a a b b b b other other other" {
		t.Errorf("tables %s", got)
	}
	for i, m := range moves {
		if m[0] == "a" && moves[i+1][0] != "b" {
			t.Errorf("row %d: the shard of b does not follow that of a", i)
		}
	}

	if moves := f.planned("relation", f.oid("other")); len(moves) != 3 || moves[0][0] != "other" {
		t.Errorf("of one table: %v", moves)
	}
	if moves := f.planned("max_shard_moves", 2); len(moves) > 4 {
		t.Errorf("two moves: %v", moves)
	}
	shards := f.exec("SELECT shardid FROM trunkline.pg_dist_shard WHERE logicalrelid = 'other'::regclass ORDER BY 1")
	var excluded []int
	for _, s := range shards {
		n, err := strconv.Atoi(s[0])
		if err != nil {
			t.Fatal(err)
		}
		excluded = append(excluded, n)
	}
	if moves := f.planned("excluded_shard_list", excluded); len(moves) != 8 {
		t.Errorf("without the other table: %v", moves)
	}
	if moves := f.planned("drain_only", true); len(moves) != 0 {
		t.Errorf("no node is to be drained: %v", moves)
	}
	f.call("citus_set_node_property", "nodename", "127.0.0.1", "nodeport", f.servers[1].Port, "property", "shouldhaveshards", "value", false)
	if moves := f.planned("drain_only", true); len(moves) != 22 {
		t.Errorf("%d shards leave a node that is drained, of 22", len(moves))
	}
	f.call("citus_set_node_property", "nodename", "127.0.0.1", "nodeport", f.servers[2].Port, "property", "shouldhaveshards", "value", false)
	_, err := f.tryCall("get_rebalance_table_shards_plan", "drain_only", true)
	fails(t, err, "55000", "no other node may have it")
	_, err = f.tryCall("get_rebalance_table_shards_plan", "relation", f.oid("ref"))
	fails(t, err, "42809", "reference table")
	_, err = f.tryCall("get_rebalance_table_shards_plan", "rebalance_strategy", "nonsense")
	fails(t, err, "42704", "nonsense")
	_, err = f.tryCall("get_rebalance_table_shards_plan", "threshold", -1)
	fails(t, err, "22023", "negative")
}

// TestStrategies plans by the number of shards, and by functions of the user's own.
func TestStrategies(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec("CREATE TABLE a (k int PRIMARY KEY, v text); INSERT INTO a SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, 8000) i")
	f.call("create_distributed_table", "table_name", "a", "distribution_column", "k", "shard_count", 8, "colocate_with", "none")
	f.gather("a")

	if moves := f.planned("rebalance_strategy", "by_shard_count"); len(moves) != 4 {
		t.Errorf("by number: %v", moves)
	}
	f.exec(`CREATE FUNCTION heavy(shardid bigint) RETURNS real LANGUAGE sql AS $$ SELECT CASE WHEN shardid = (SELECT min(s.shardid) FROM trunkline.pg_dist_shard s) THEN 7 ELSE 1 END::real $$;
		CREATE FUNCTION strong(nodeid int) RETURNS real LANGUAGE sql AS $$ SELECT CASE WHEN nodeid = (SELECT max(n.nodeid) FROM trunkline.pg_dist_node n) THEN 3 ELSE 1 END::real $$;
		CREATE FUNCTION picky(shardid bigint, nodeid int) RETURNS bool LANGUAGE sql AS $$ SELECT shardid % 2 = 0 OR nodeid < (SELECT max(n.nodeid) FROM trunkline.pg_dist_node n) $$;
		SELECT trunkline.citus_add_rebalance_strategy('by_heavy', 'heavy', 'trunkline.citus_node_capacity_1', 'trunkline.citus_shard_allowed_on_node_true', 0);
		SELECT trunkline.citus_add_rebalance_strategy('by_strength', 'trunkline.citus_shard_cost_1', 'strong', 'trunkline.citus_shard_allowed_on_node_true', 0);
		SELECT trunkline.citus_add_rebalance_strategy('by_taste', 'trunkline.citus_shard_cost_1', 'trunkline.citus_node_capacity_1', 'picky', 0)`)
	if moves := f.planned("rebalance_strategy", "by_heavy"); len(moves) != 1 || moves[0][1] != f.one("SELECT min(shardid) FROM trunkline.pg_dist_shard") {
		t.Errorf("the heavy shard is as much as all others: %v", moves)
	}
	if moves := f.planned("rebalance_strategy", "by_strength"); len(moves) != 6 {
		t.Errorf("the strong node gets three quarters: %v", moves)
	}
	moves := f.planned("rebalance_strategy", "by_taste")
	for _, m := range moves {
		if n, err := strconv.Atoi(m[1]); err != nil || n%2 != 0 {
			t.Errorf("shard %s moves to a node that may not have it", m[1])
		}
	}
	if len(moves) != 4 {
		t.Errorf("of the four that may move: %v", moves)
	}
	f.exec("SELECT trunkline.citus_set_default_rebalance_strategy('by_heavy')")
	if moves := f.planned(); len(moves) != 1 {
		t.Errorf("by the default strategy: %v", moves)
	}
	f.exec("CREATE OR REPLACE FUNCTION heavy(shardid bigint) RETURNS real LANGUAGE sql AS $$ SELECT NULL::real $$")
	_, err := f.tryCall("get_rebalance_table_shards_plan")
	fails(t, err, "22023", "heavy")
	f.exec("DROP FUNCTION heavy(bigint)")
	_, err = f.tryCall("get_rebalance_table_shards_plan")
	fails(t, err, "42883", "by_heavy")
}

// By size is what the function that SQL users call says, too.
func TestCostBySize(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec("CREATE TABLE a (k int PRIMARY KEY, v text); CREATE TABLE b (k int, v text); INSERT INTO a SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, 4000) i; INSERT INTO b SELECT 1, repeat(md5(i::text), 50) FROM generate_series(1, 5000) i")
	f.call("create_distributed_table", "table_name", "a", "distribution_column", "k", "shard_count", 6, "colocate_with", "none")
	f.call("create_distributed_table", "table_name", "b", "distribution_column", "k", "colocate_with", "a")
	o := &operation{Cluster: f.Cluster, tx: f.tx, snap: f.snap}
	sizes, err := f.CollectShardSizes(f.ctx(), f.tx, f.snap)
	if err != nil {
		t.Fatal(err)
	}
	f.begin()
	defer f.rollback()
	units, err := o.candidates(f.ctx(), nil)
	if err != nil {
		t.Fatal(err)
	}
	f.exec(`SET citus.rebalancer_by_disk_size_base_cost = '100kB'`)
	if _, err := o.query(f.ctx(), "SELECT pg_catalog.set_config('trunkline.shard_sizes', '', true)"); err != nil {
		t.Fatal(err)
	}
	ours, err := o.costs(f.ctx(), &strategy{bySize: true}, units, totalSizes(sizes))
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for i, z := range sizes {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf("[%d,%d,%d,%d,%d]", z.ShardID, z.GroupID, z.Relation, z.Table, z.Total)
	}
	if _, err := o.query(f.ctx(), "SELECT pg_catalog.set_config('trunkline.shard_sizes', '["+text+"]', true)"); err != nil {
		t.Fatal(err)
	}
	theirs, err := o.costs(f.ctx(), &strategy{cost: "trunkline.citus_shard_cost_by_disk_size"}, units, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(ours) != 6 || slices.Max(ours) < 2*slices.Min(ours) {
		t.Errorf("costs %v", ours)
	}
	for i := range ours {
		if diff := ours[i]/theirs[i] - 1; diff > 1e-6 || diff < -1e-6 { // theirs are of type real
			t.Errorf("shard group %d costs %v, by the SQL function %v", i, ours[i], theirs[i])
		}
	}
}
