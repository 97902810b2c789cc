// Package cluster carries out what concerns more than one node at once: the functions that clients call under Citus' names
// (create_distributed_table, citus_add_node, run_command_on_workers, …) and data definition statements on distributed and
// reference tables and on objects that all nodes have.
//
// Everything runs in the calling session's own transaction, over its own connections: the statement takes effect on all nodes or
// on none, and ROLLBACK undoes it. The coordinator always goes first: its locks on the tables' shells serialise two sessions that
// change the same table, and PostgreSQL there reports the user's mistakes in the user's own words.
//
// It imports txn, backend, catalog and sql. Read Cluster first, then distribute.go and propagate.go.
package cluster

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/txn"
)

// Config is what a Cluster works with.
type Config struct {
	Pools       *backend.Pools
	Manager     *txn.Manager
	Admin       backend.Identity // a superuser on all nodes, as whom shard groups are moved
	Coordinator backend.Address

	// ShardCount is how many shards a new colocation group has when neither the call nor citus.shard_count says; 32 unless set.
	ShardCount int

	Log *slog.Logger

	MoveFaults func(step string) error // move.Env.Faults, for tests
}

// Cluster carries out cluster operations for all sessions of a gateway. It has no state of its own.
type Cluster struct {
	config Config
}

// New makes a Cluster.
func New(config Config) *Cluster {
	if config.ShardCount <= 0 {
		config.ShardCount = 32
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	return &Cluster{config: config}
}

// CallResult is what a called function returns: a single value in one row for most, a table for some. A nil value is NULL.
type CallResult struct {
	Columns []string
	Rows    [][]*string

	// Changed says that the call changed the catalog, so that the session must load its snapshot anew before its next statement.
	Changed bool
}

// operation is one call or statement under way.
type operation struct {
	*Cluster
	tx    *txn.Tx
	snap  *catalog.Snapshot
	still map[int]bool // the colocation groups whose shard groups stay where they are until the transaction ends

	// holder, for a statement that runs in no transaction, is one on the coordinator that lasts as long, for awaitMoves.
	holder *holder
}

// call carries out one function. The arguments are its own, by name.
type call func(o *operation, ctx context.Context, args json.RawMessage) (CallResult, error)

// Call carries out a function that the gateway performs, with the arguments that its twin in schema trunkline_call returned.
func (c *Cluster) Call(ctx context.Context, tx *txn.Tx, snap *catalog.Snapshot, name string, args json.RawMessage) (CallResult, error) {
	name = strings.ToLower(name)
	f := calls[name]
	if f == nil {
		f = calls["citus_"+strings.TrimPrefix(name, "master_")]
	}
	if f == nil {
		return CallResult{}, sql.Unsupported("function "+name+"() is not supported yet", "", "")
	}
	o := &operation{Cluster: c, tx: tx, snap: snap}
	return f(o, ctx, args)
}

// calls are the functions by their names; master_x stands for citus_x where it is not listed.
var calls = map[string]call{
	"create_distributed_table":                     transactional(createDistributedTable),
	"create_distributed_table_concurrently":        transactional(createDistributedTable), // which blocks writes to the table meanwhile
	"create_reference_table":                       transactional(createReferenceTable),
	"alter_distributed_table":                      transactional(alterDistributedTable),
	"update_distributed_table_colocation":          transactional(updateColocation),
	"undistribute_table":                           transactional(undistributeTable),
	"truncate_local_data_after_distributing_table": transactional(truncateLocalData),
	"citus_add_local_table_to_metadata":            transactional(addLocalTable),
	"remove_local_tables_from_metadata":            transactional(removeLocalTables),
	"create_time_partitions":                       transactional(createTimePartitions),
	"drop_old_time_partitions":                     transactional(dropOldTimePartitions),
	"alter_old_partitions_set_access_method":       transactional(alterOldPartitions),
	"alter_table_set_access_method":                transactional(alterTableAccessMethod),
	"alter_columnar_table_set":                     transactional(alterColumnar),
	"alter_columnar_table_reset":                   transactional(alterColumnar),
	"create_distributed_function":                  transactional(createDistributedFunction),
	"citus_schema_distribute":                      transactional(distributeSchema),
	"citus_schema_move":                            moveSchema,
	"citus_schema_undistribute":                    transactional(undistributeSchema),
	"citus_add_node":                               transactional(addNode),
	"citus_add_inactive_node":                      transactional(addInactiveNode),
	"citus_activate_node":                          transactional(activateNode),
	"citus_add_secondary_node":                     transactional(addSecondaryNode),
	"citus_disable_node":                           transactional(disableNode),
	"citus_remove_node":                            transactional(removeNode),
	"citus_set_node_property":                      transactional(setNodeProperty),
	"citus_set_coordinator_host":                   transactional(setCoordinatorHost),
	"citus_update_node":                            transactional(updateNode),
	"citus_check_connection_to_node":               checkConnection,
	"citus_check_cluster_node_health":              checkHealth,
	"replicate_reference_tables":                   transactional(replicateReferenceTables),
	"citus_drain_node":                             drainNode,
	"get_rebalance_progress":                       rebalanceProgress,
	"get_rebalance_table_shards_plan":              rebalancePlan,
	"rebalance_table_shards":                       rebalanceTableShards,
	"citus_rebalance_start":                        transactional(rebalanceStart),
	"citus_rebalance_stop":                         transactional(rebalanceStop),
	"citus_rebalance_wait":                         waiting(rebalanceWait),
	"citus_job_cancel":                             transactional(jobCancel),
	"citus_job_wait":                               waiting(jobWait),
	"citus_task_wait":                              waiting(taskWait),
	"start_metadata_sync_to_node":                  nothingToDo,
	"start_metadata_sync_to_all_nodes":             nothingToDoTrue,
	"stop_metadata_sync_to_node":                   nothingToDo,
	"run_command_on_workers":                       runOnWorkers,
	"run_command_on_all_nodes":                     runOnAllNodes,
	"run_command_on_coordinator":                   runOnCoordinator,
	"run_command_on_shards":                        runOnShards,
	"run_command_on_placements":                    runOnPlacements,
	"run_command_on_colocated_placements":          runOnColocatedPlacements,
	"recover_prepared_transactions":                recoverPrepared,
	"citus_move_shard_placement":                   moveShardPlacement,
	"citus_cleanup_orphaned_resources":             cleanUpOrphans,
	"citus_copy_shard_placement":                   copyShardPlacement,
	"citus_split_shard_by_split_points":            splitShard,
	"isolate_tenant_to_new_shard":                  isolateTenant,
}

// change is the work of a function that changes the cluster; it gives the function's own value, nil for NULL.
type change[A any] func(o *operation, ctx context.Context, args A) (*string, error)

// transactional makes a call of a change: arguments decoded, all nodes or none, one value returned.
func transactional[A any](f change[A]) call {
	return func(o *operation, ctx context.Context, raw json.RawMessage) (CallResult, error) {
		var args A
		if err := json.Unmarshal(raw, &args); err != nil {
			return CallResult{}, sql.Errorf("22023", "cannot read the arguments: %v", err)
		}
		var value *string
		err := o.tx.RunAtomically(ctx, func() (err error) {
			value, err = f(o, ctx, args)
			return err
		})
		if err != nil {
			return CallResult{}, err
		}
		return CallResult{Columns: []string{"value"}, Rows: [][]*string{{value}}, Changed: true}, nil
	}
}

// void is what a function that returns void gives.
func void() *string { return new(string) }

// nothingToDo accepts calls that have a meaning in Citus but none here: every gateway reads the one catalog.
func nothingToDo(*operation, context.Context, json.RawMessage) (CallResult, error) {
	return CallResult{Columns: []string{"value"}, Rows: [][]*string{{void()}}}, nil
}

func nothingToDoTrue(*operation, context.Context, json.RawMessage) (CallResult, error) {
	yes := "t"
	return CallResult{Columns: []string{"value"}, Rows: [][]*string{{&yes}}}, nil
}
