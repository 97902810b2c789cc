package cluster

import "testing"

func TestAlterDistributedTable(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.tables2()
	f.ddl("ALTER TABLE orders ADD FOREIGN KEY (cust) REFERENCES cust")
	orders := f.shards("orders", "SELECT * FROM %s")
	_, err := f.tryCall("alter_distributed_table", "table_name", "orders", "shard_count", 6)
	fails(t, err, "0A000", "cascade_to_colocated")
	f.call("alter_distributed_table", "table_name", "orders", "shard_count", 6, "cascade_to_colocated", true)
	if got := f.shards("cust", "SELECT 1"); len(got) != 6 {
		t.Errorf("cust has %d shards", len(got))
	}
	sameRows(t, f.shards("orders", "SELECT * FROM %s"), orders)
	f.sameDefinition("orders")
	f.ddl("ALTER TABLE orders DROP CONSTRAINT orders_cust_fkey, DROP CONSTRAINT orders_pkey")
	f.call("alter_distributed_table", "table_name", "orders", "distribution_column", "id")
	sameRows(t, f.shards("orders", "SELECT * FROM %s"), orders)
	f.call("alter_distributed_table", "table_name", "orders", "distribution_column", "cust", "colocate_with", "none")
	_, err = f.tryCall("create_distributed_table", "table_name", "orders", "distribution_column", "id")
	fails(t, err, "42P16", "already distributed")
	f.call("update_distributed_table_colocation", "table_name", "orders", "colocate_with", "cust")
	sameRows(t, f.shards("orders", "SELECT * FROM %s"), orders)
	f.ddl("ALTER TABLE orders ADD FOREIGN KEY (cust) REFERENCES cust")
	f.ddl("ALTER TABLE orders DROP CONSTRAINT orders_cust_fkey")
	f.call("update_distributed_table_colocation", "table_name", "orders", "colocate_with", "none")
	sameRows(t, f.shards("orders", "SELECT * FROM %s"), orders)
	f.sameDefinition("orders")
	if a, b := f.snap.ByOID[f.oid("orders")], f.snap.ByOID[f.oid("cust")]; a.ColocationID == b.ColocationID {
		t.Error("the tables are still co-located")
	}
	f.ddl("DROP TABLE orders")
	f.ddl("DROP TABLE cust")
	if left := f.everywhere(`SELECT nspname FROM pg_namespace WHERE nspname ~ '^public_'`); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}
