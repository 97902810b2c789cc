package catalog

import (
	"fmt"
	"strings"
	"testing"
)

func TestStore(t *testing.T) {
	t.Parallel()
	conn := coordinator(t)
	exec(t, conn, `CREATE TABLE a (k int); CREATE TABLE b (k int); CREATE TABLE r (k int); CREATE TABLE single (k int);
		SELECT trunkline_internal.create_colocation('{1,0,1,0,1}', 'int'::regtype, 0);
		SELECT trunkline_internal.add_table('a'::regclass, 'k', 1); SELECT trunkline_internal.add_table('b'::regclass, 'k', 1);
		SELECT trunkline_internal.add_table('r'::regclass, NULL, trunkline_internal.reference_colocation());
		SELECT trunkline_internal.add_table('single'::regclass, NULL, trunkline_internal.create_colocation('{1}', 0, 0))`)
	for query, want := range map[string]string{
		`SELECT string_agg(concat_ws(' ', shardid, shardminvalue, shardmaxvalue), ', ' ORDER BY shardid) FROM trunkline.pg_dist_shard WHERE logicalrelid = 'a'::regclass`:                                       "102008 -2147483648 -1288490190, 102009 -1288490189 -429496731, 102010 -429496730 429496728, 102011 429496729 1288490187, 102012 1288490188 2147483647",
		`SELECT string_agg(concat_ws(' ', s.shardid, l.groupid), ', ' ORDER BY s.shardid) FROM trunkline.pg_dist_shard s JOIN trunkline.pg_dist_placement l USING (shardid) WHERE logicalrelid = 'b'::regclass`: "102013 1, 102014 0, 102015 1, 102016 0, 102017 1",
		`SELECT string_agg(concat_ws(' ', s.shardid, l.groupid), ', ' ORDER BY l.groupid) FROM trunkline.pg_dist_shard s JOIN trunkline.pg_dist_placement l USING (shardid) WHERE logicalrelid = 'r'::regclass`: "102018 0, 102018 1",
		`SELECT string_agg(concat_ws(' ', partmethod, repmodel, colocationid), ', ' ORDER BY logicalrelid::text) FROM trunkline.pg_dist_partition`:                                                              "h s 1, h s 1, n t 2, n s 3",
		`SELECT trunkline.column_to_column_name(logicalrelid, partkey) FROM trunkline.pg_dist_partition WHERE logicalrelid = 'a'::regclass`:                                                                     "k",
		`SELECT count(*) FROM trunkline.pg_dist_shard_placement`:  "13",
		`SELECT trunkline.distributed_tables_colocated('a', 'b')`: "t",
		`SELECT trunkline.distributed_tables_colocated('a', 'r')`: "f",
		`SELECT trunkline.shard_name('a', 102010)`:                "public_102010.a",
		`SELECT trunkline.shard_name('b', 102013)`:                "public_102008.b",
		`SELECT trunkline.shard_name('r', 102018)`:                "public.r",
		`SELECT trunkline.get_shard_id_for_distribution_column('a', 1) = trunkline.get_shard_id_for_distribution_column('a', '1')`:                                                                   "t",
		`SELECT shardminvalue::int <= hashint4(7) AND hashint4(7) <= shardmaxvalue::int FROM trunkline.pg_dist_shard WHERE shardid = trunkline.get_shard_id_for_distribution_column('b', 7::bigint)`: "t",
		`SELECT trunkline.get_shard_id_for_distribution_column('r')`:                                                                          "102018",
		`SELECT string_agg(citus_table_type || ' ' || distribution_column || ' ' || shard_count, ', ') FROM trunkline.citus_tables`:           "distributed k 5, distributed k 5, reference <none> 1, distributed <none> 1",
		`SELECT trunkline.citus_coordinator_nodeid()`:                                                                                         "1",
		`SELECT trunkline.citus_get_active_worker_nodes()`:                                                                                    "(localhost,5433)",
		`SELECT trunkline.citus_nodeport_for_nodeid(2)`:                                                                                       "5433",
		`SELECT trunkline.citus_pid_for_gpid(g) || ' ' || trunkline.citus_nodeid_for_gpid(g) FROM trunkline.citus_calculate_gpid(3, 12345) g`: "12345 3",
		`SELECT trunkline.citus_table_size('a') IS NULL`:                                                                                      "t",
		`SET trunkline.shard_sizes = '[[102008,1,10,20,30],[102009,0,1,2,3],[102018,0,5,5,5],[102018,1,5,5,5]]'; SELECT trunkline.citus_table_size('a') || ' ' || trunkline.citus_relation_size('r') || ' ' || trunkline.citus_total_relation_size('a')`: "22 10 33",
		`SELECT table_size FROM trunkline.citus_tables WHERE table_name = 'r'::regclass`:                                        "10 bytes",
		`SELECT shard_size FROM trunkline.citus_shards WHERE shardid = 102008`:                                                  "30",
		`CREATE TABLE loc (a int); INSERT INTO loc VALUES (1); SELECT trunkline.citus_table_size('loc') = pg_table_size('loc')`: "t",
	} {
		if strings.HasPrefix(query, "SELECT table_size") || strings.HasPrefix(query, "SELECT shard_size") {
			exec(t, conn, `SET trunkline.shard_sizes = '[[102008,1,10,20,30],[102009,0,1,2,3],[102018,0,5,5,5],[102018,1,5,5,5]]'`)
		}
		if got := one(t, conn, query); got != want {
			t.Errorf("%s: %s, not %s", query, got, want)
		}
		exec(t, conn, "RESET trunkline.shard_sizes")
	}
	exec(t, conn, "SELECT trunkline_internal.move_shard_group(102009, 1)")
	if got := one(t, conn, `SELECT string_agg(groupid::text, ' ' ORDER BY shardid) FROM trunkline.pg_dist_placement WHERE shardid IN (102009, 102014)`); got != "1 1" {
		t.Errorf("placements after a move: %s", got)
	}
	for _, want := range []string{"f", "t"} {
		table := map[string]string{"f": "a", "t": "b"}[want]
		if got := one(t, conn, "SELECT trunkline_internal.remove_table('"+table+"'::regclass)"); got != want {
			t.Errorf("removing %s: %s", table, got)
		}
	}
	if got := one(t, conn, "SELECT count(*) FROM trunkline.shard_group WHERE colocationid = 1"); got != "0" {
		t.Errorf("%s shard groups are left", got)
	}
}

// TestOrdinaryUser checks that a user without privileges reads the metadata, distributes a table of its own, and no other's.
func TestOrdinaryUser(t *testing.T) {
	t.Parallel()
	conn := coordinator(t)
	role := one(t, conn, "SELECT 'u_' || current_database()")
	exec(t, conn, "CREATE ROLE "+role+"; GRANT CREATE ON SCHEMA public TO "+role+"; CREATE TABLE theirs (a int); SET SESSION AUTHORIZATION "+role)
	defer exec(t, conn, "RESET SESSION AUTHORIZATION; DROP OWNED BY "+role+"; DROP ROLE "+role)
	exec(t, conn, `CREATE TABLE mine (a int); SELECT trunkline_internal.add_table('mine'::regclass, 'a', trunkline_internal.create_colocation('{1,1}', 'int'::regtype, 0));
		SELECT * FROM trunkline.citus_tables; SELECT * FROM trunkline.citus_shards; INSERT INTO trunkline.commit_record (gid) VALUES ('x')`)
	if _, err := Load(t.Context(), conn); err != nil {
		t.Error(err)
	}
	for _, forbidden := range []string{
		"SELECT trunkline_internal.add_table('theirs'::regclass, 'a', 1)",
		"DELETE FROM trunkline.pg_dist_partition",
		"SELECT * FROM trunkline.pg_dist_authinfo",
		"DELETE FROM trunkline.commit_record",
		"SELECT trunkline_internal.move_shard_group(102008, 0)",
	} {
		if _, err := conn.Exec(t.Context(), forbidden); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s: %v", forbidden, err)
		}
	}
}

func TestShardSchema(t *testing.T) {
	t.Parallel()
	conn := coordinator(t)
	for _, schema := range []string{"public", "My Shop", strings.Repeat("a", 56), strings.Repeat("a", 57), strings.Repeat("x", 63), strings.Repeat("é", 31), "a" + strings.Repeat("é", 31), strings.Repeat("日", 21)} {
		for _, id := range []int64{102008, 1, 999999999999} {
			got := ShardSchema(schema, id)
			want := one(t, conn, fmt.Sprintf("SELECT trunkline_internal.shard_schema('%s', %d)", schema, id))
			if got != want {
				t.Errorf("%q, %d: %q in Go, %q in SQL", schema, id, got, want)
			}
			if len(got) > 63 {
				t.Errorf("%q is too long", got)
			}
		}
	}
}

func TestTimePartitions(t *testing.T) {
	t.Parallel()
	conn := coordinator(t)
	exec(t, conn, `SET TimeZone = 'UTC';
		CREATE TABLE days (d date) PARTITION BY RANGE (d);
		CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM ('2024-01-03') TO ('2024-01-05');
		CREATE TABLE days_rest PARTITION OF days DEFAULT;
		CREATE TABLE stamps (t timestamptz) PARTITION BY RANGE (t);
		CREATE TABLE two (a int, d date) PARTITION BY RANGE (a, d)`)
	for query, want := range map[string]string{
		`SELECT string_agg(r::text, ' ') FROM trunkline.get_missing_time_partition_ranges('days', '2 days', '2024-01-08', '2024-01-02') r`:                      "(days_p2024_01_01,2024-01-01,2024-01-03) (days_p2024_01_05,2024-01-05,2024-01-07) (days_p2024_01_07,2024-01-07,2024-01-09)",
		`SELECT string_agg(r::text, ' ') FROM trunkline.get_missing_time_partition_ranges('stamps', '1 month', '2024-03-01', '2024-01-15') r`:                   `(stamps_p2024_01,"2024-01-01 00:00:00+00","2024-02-01 00:00:00+00") (stamps_p2024_02,"2024-02-01 00:00:00+00","2024-03-01 00:00:00+00")`,
		`SELECT string_agg(partition_name, ' ') FROM trunkline.get_missing_time_partition_ranges('stamps', '1 hour', '2024-03-01 02:00', '2024-03-01 00:10') r`: "stamps_p2024_03_01_0000 stamps_p2024_03_01_0100",
		`SELECT string_agg(partition_name, ' ') FROM trunkline.get_missing_time_partition_ranges('stamps', '1 week', '2024-01-09', '2024-01-01') r`:             "stamps_p2024w01 stamps_p2024w02",
		`SELECT string_agg(partition_name, ' ') FROM trunkline.get_missing_time_partition_ranges('stamps', '3 months', '2024-05-01', '2024-01-01') r`:           "stamps_p2024q1 stamps_p2024q2",
		`SELECT trunkline.time_partition_range('days_1')`:    "(2024-01-03,2024-01-05)",
		`SELECT trunkline.time_partition_range('days_rest')`: "(,)",
		`SELECT string_agg(concat_ws(' ', parent_table, partition_column, partition, from_value, to_value, access_method), ', ') FROM trunkline.time_partitions`: "days d days_1 2024-01-03 2024-01-05 heap, days d days_rest heap",
	} {
		if got := one(t, conn, query); got != want {
			t.Errorf("%s: %s, not %s", query, got, want)
		}
	}
	for query, state := range map[string]string{
		`SELECT trunkline.time_partition_range('days')`:                                                    "42809",
		`SELECT trunkline.get_missing_time_partition_ranges('two', '1 day', '2024-01-01', '2023-01-01')`:   "42809",
		`SELECT trunkline.get_missing_time_partition_ranges('days', '1 hour', '2024-01-01', '2023-01-01')`: "22023",
		`SELECT trunkline.get_missing_time_partition_ranges('days', '0', '2024-01-01', '2023-01-01')`:      "22023",
		`SELECT trunkline.get_missing_time_partition_ranges('days', '3 days', '2024-01-20', '2024-01-01')`: "42P17",
		`SELECT trunkline.column_name_to_column('days', 'x')`:                                              "42703",
		`SELECT trunkline.get_shard_id_for_distribution_column('days', 1)`:                                 "42P16",
		`SELECT trunkline.citus_set_default_rebalance_strategy('x')`:                                       "42704",
	} {
		if _, err := conn.Exec(t.Context(), query); err == nil || !strings.Contains(err.Error(), state) {
			t.Errorf("%s: %v, not %s", query, err, state)
		}
	}
}
