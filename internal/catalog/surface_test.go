package catalog

import (
	"fmt"
	"sort"
	"strings"
	"testing"
)

// TestSurface checks that every name that is offered exists, and that everything of schema trunkline that should be offered is.
func TestSurface(t *testing.T) {
	t.Parallel()
	conn := coordinator(t)
	names := Surface()
	var got, want []string
	for name, f := range names.Functions {
		got = append(got, fmt.Sprintf("%s %t %t", name, f.Procedure, f.Class == GatewayPerformed))
		if _, ok := names.Functions[f.Canonical]; !ok {
			t.Errorf("%s is a name for %s, which does not exist", name, f.Canonical)
		}
	}
	for _, row := range exec(t, conn, `SELECT DISTINCT proname || CASE WHEN prokind = 'p' THEN ' true' ELSE ' false' END ||
			CASE WHEN EXISTS (SELECT FROM pg_proc t WHERE t.proname = p.proname AND t.pronamespace = 'trunkline_call'::regnamespace) THEN ' true' ELSE ' false' END
		FROM pg_proc p WHERE pronamespace = 'trunkline'::regnamespace`) {
		want = append(want, row[0])
	}
	sort.Strings(got)
	sort.Strings(want)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("functions:\n%s\n\nin the catalog:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, relation := range []string{"pg_dist_partition", "pg_dist_node", "citus_tables", "citus_shards", "citus_schemas", "time_partitions", "pg_dist_shard_placement"} {
		if _, ok := names.Relations[relation]; !ok {
			t.Errorf("relation %s is missing", relation)
		}
	}
	for relation, class := range names.Relations {
		exec(t, conn, "SELECT * FROM trunkline."+relation)
		if needs := class == NeedsFacts; needs != (strings.HasPrefix(relation, "citus_")) {
			t.Errorf("relation %s: class is %v", relation, class)
		}
	}
	for typ, schema := range names.Types {
		exec(t, conn, fmt.Sprintf("SELECT NULL::%s.%s", schema, typ))
	}
}

func TestTwins(t *testing.T) {
	t.Parallel()
	conn := coordinator(t)
	exec(t, conn, `CREATE TABLE t (a int); CREATE TABLE "T" (a int)`)
	oid := one(t, conn, `SELECT '"T"'::regclass::oid`)
	for call, want := range map[string]string{
		`create_distributed_table('"T"', 'a')`:                                            `{"table_name": ` + oid + `, "shard_count": null, "colocate_with": "default", "distribution_type": "hash", "distribution_column": "a"}`,
		`create_distributed_table('"T"', 'a', shard_count => 4, colocate_with => 'none')`: `{"table_name": ` + oid + `, "shard_count": 4, "colocate_with": "none", "distribution_type": "hash", "distribution_column": "a"}`,
		`citus_add_node('h', 1)`:                                                          `{"groupid": -1, "nodename": "h", "nodeport": 1, "noderole": "primary", "nodecluster": "default"}`,
		`citus_move_shard_placement(1, 2, 3)`:                                             `{"shard_id": 1, "source_node_id": 2, "target_node_id": 3, "shard_transfer_mode": "auto"}`,
		`isolate_tenant_to_new_shard('"T"', 5, 'CASCADE')`:                                `{"tenant_id": "5", "table_name": ` + oid + `, "cascade_option": "CASCADE", "shard_transfer_mode": "auto"}`,
		`isolate_tenant_to_new_shard('"T"', 'x')`:                                         `{"tenant_id": "x", "table_name": ` + oid + `, "cascade_option": "", "shard_transfer_mode": "auto"}`,
		`citus_split_shard_by_split_points(9, ARRAY['0'], ARRAY[1,2])`:                    `{"node_ids": [1, 2], "shard_id": 9, "split_points": ["0"], "shard_transfer_mode": "auto"}`,
		`run_command_on_workers($$SELECT 'x'$$)`:                                          `{"command": "SELECT 'x'", "parallel": true}`,
	} {
		if got := one(t, conn, "SELECT trunkline_call."+call); got != want {
			t.Errorf("%s:\n%s, not\n%s", call, got, want)
		}
		_, err := conn.Exec(t.Context(), "SELECT * FROM trunkline."+call)
		if err == nil || !strings.Contains(err.Error(), "is carried out by the Trunkline gateway") {
			t.Errorf("%s: %v", call, err)
		}
	}
}
