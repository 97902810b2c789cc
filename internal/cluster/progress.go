package cluster

import (
	"context"
	"encoding/json"
)

// rebalanceProgress tells how far the moves are that are under way: one row for each table's shard, as Citus does. progress is 1 while a
// move is under way and 2 once only what the source held is to be cleared away; the sizes are those of the whole move.
func rebalanceProgress(o *operation, ctx context.Context, _ json.RawMessage) (CallResult, error) {
	rows, err := o.look(ctx, `SELECT m.operation_id, s.logicalrelid::regclass::text, s.shardid, m.bytes_total, f.nodename, f.nodeport, t.nodename, t.nodeport,
			CASE m.step WHEN 'cleaning up' THEN 2 ELSE 1 END, m.bytes_total, m.bytes_copied, m.operation_type, m.source_lsn, m.target_lsn,
			m.step || coalesce(': waiting for ' || m.waiting_for, '')
		FROM trunkline.shard_move m JOIN trunkline.shard_group g USING (shardgroupid)
			JOIN trunkline.pg_dist_partition p ON p.colocationid = g.colocationid
			JOIN trunkline.pg_dist_shard s ON s.logicalrelid = p.logicalrelid AND (s.shardminvalue IS NULL OR s.shardminvalue::int = g.shardminvalue)
			LEFT JOIN trunkline.pg_dist_node f ON f.groupid = m.source_group AND f.noderole = 'primary'
			LEFT JOIN trunkline.pg_dist_node t ON t.groupid = m.target_groups[1] AND t.noderole = 'primary'
		ORDER BY m.operation_id, s.shardid`)
	if err != nil {
		return CallResult{}, err
	}
	result := CallResult{Columns: []string{"sessionid", "table_name", "shardid", "shard_size", "sourcename", "sourceport", "targetname", "targetport", "progress",
		"source_shard_size", "target_shard_size", "operation_type", "source_lsn", "target_lsn", "status"}}
	for _, r := range rows {
		values := make([]*string, len(r))
		for i := range r {
			if !r.null(i) {
				text := r.text(i)
				values[i] = &text
			}
		}
		result.Rows = append(result.Rows, values)
	}
	return result, nil
}
