package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/trunkline/trunkline/internal/move"
	"github.com/trunkline/trunkline/internal/sql"
)

// splitShard cuts a shard's whole shard group at points of the hash space, each the last value of a part, and puts each part on a node.
func splitShard(o *operation, ctx context.Context, raw json.RawMessage) (CallResult, error) {
	var args struct {
		Shard  *int64   `json:"shard_id"`
		Points []string `json:"split_points"`
		Nodes  []int    `json:"node_ids"`
		Mode   *string  `json:"shard_transfer_mode"`
	}
	if err := json.Unmarshal(raw, &args); err != nil {
		return CallResult{}, sql.Errorf("22023", "cannot read the arguments: %v", err)
	}
	if args.Shard == nil || args.Mode == nil || args.Points == nil || args.Nodes == nil {
		return CallResult{}, sql.Errorf("22004", "arguments of citus_split_shard_by_split_points() cannot be null")
	}
	if err := o.notInBlock("splitting a shard"); err != nil {
		return CallResult{}, err
	}
	var request move.Request
	err := o.tx.RunAtomically(ctx, func() error {
		group, err := o.shardGroupOf(ctx, *args.Shard)
		if err != nil {
			return err
		}
		whole, err := o.splittable(ctx, group)
		if err != nil {
			return err
		}
		points, err := splitPoints(args.Points, whole)
		if err != nil {
			return err
		}
		if len(args.Nodes) != len(points)+1 {
			return sql.Errorf("22023", "%d split points make %d shards, but %d node ids are given", len(points), len(points)+1, len(args.Nodes))
		}
		request = move.Request{ShardGroup: group, Source: whole.group, Mode: move.Mode(*args.Mode), Parts: partsOf(whole, points)}
		for i, id := range args.Nodes {
			if request.Parts[i].Group, err = o.groupOf(ctx, &id, nil, nil, "target"); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = o.Move(ctx, o.moveEnv(), request)
	}
	if err != nil {
		return CallResult{}, err
	}
	return CallResult{Columns: []string{"value"}, Rows: [][]*string{{void()}}, Changed: true}, nil
}

// splittable reads a shard group, which must have a range to be split.
func (o *operation) splittable(ctx context.Context, id int64) (shardGroup, error) {
	rows, err := o.query(ctx, fmt.Sprintf(`SELECT shardminvalue, shardmaxvalue, groupid, EXISTS (SELECT FROM trunkline.pg_dist_partition p WHERE p.colocationid = g.colocationid AND p.partmethod <> 'h')
		FROM trunkline.shard_group g WHERE shardgroupid = %d`, id))
	if err != nil {
		return shardGroup{}, err
	}
	if len(rows) == 0 {
		return shardGroup{}, sql.Errorf("42704", "shard group %d does not exist", id)
	}
	r := rows[0]
	if r.bool(3) {
		return shardGroup{}, &sql.Error{Code: "0A000", Message: "cannot split the shard of a table without a distribution column"}
	}
	return shardGroup{id: id, min: int32(r.int(0)), max: int32(r.int(1)), group: int32(r.int(2))}, nil
}

// splitPoints reads the points at which a shard group is split: ascending, within its range, its last value not among them.
func splitPoints(texts []string, whole shardGroup) ([]int32, error) {
	if len(texts) == 0 {
		return nil, sql.Errorf("22023", "no shard split points have been specified")
	}
	var points []int32
	for _, text := range texts {
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
		if err != nil {
			return nil, sql.Errorf("22023", "invalid shard split point %q", text)
		}
		point := int32(n)
		if point < whole.min || point >= whole.max {
			return nil, &sql.Error{Code: "22023", Message: fmt.Sprintf("split point %d is outside the shard's range", point),
				Detail: fmt.Sprintf("The shard's hash values go from %d to %d; a split point is the last value of a new shard.", whole.min, whole.max)}
		}
		if len(points) > 0 && point <= points[len(points)-1] {
			return nil, sql.Errorf("22023", "shard split points must ascend, and %d follows %d", point, points[len(points)-1])
		}
		points = append(points, point)
	}
	return points, nil
}

// partsOf gives the ranges between points, all on the shard group's own node.
func partsOf(whole shardGroup, points []int32) []move.Part {
	var parts []move.Part
	first := whole.min
	for _, point := range points {
		parts = append(parts, move.Part{Group: whole.group, Min: first, Max: point})
		first = point + 1
	}
	return append(parts, move.Part{Group: whole.group, Min: first, Max: whole.max})
}

// isolateTenant gives one value of a distribution column a shard group of its own, and returns the table's shard in it.
func isolateTenant(o *operation, ctx context.Context, raw json.RawMessage) (CallResult, error) {
	var args struct {
		Table   uint32  `json:"table_name"`
		Tenant  *string `json:"tenant_id"`
		Cascade *string `json:"cascade_option"`
		Mode    *string `json:"shard_transfer_mode"`
	}
	if err := json.Unmarshal(raw, &args); err != nil {
		return CallResult{}, sql.Errorf("22023", "cannot read the arguments: %v", err)
	}
	if args.Tenant == nil || args.Mode == nil {
		return CallResult{}, sql.Errorf("22004", "tenant_id and shard_transfer_mode cannot be null")
	}
	if err := o.notInBlock("isolating a tenant"); err != nil {
		return CallResult{}, err
	}
	var request move.Request
	var hash int32
	err := o.tx.RunAtomically(ctx, func() (err error) {
		cascade := args.Cascade != nil && strings.EqualFold(*args.Cascade, "cascade")
		request, hash, err = o.isolation(ctx, args.Table, *args.Tenant, cascade)
		request.Mode = move.Mode(*args.Mode)
		return err
	})
	if err == nil {
		err = o.Move(ctx, o.moveEnv(), request)
	}
	if err != nil {
		return CallResult{}, err
	}
	var shard string
	err = o.tx.RunAtomically(ctx, func() error {
		rows, err := o.query(ctx, fmt.Sprintf("SELECT shardid FROM trunkline.pg_dist_shard WHERE logicalrelid = %d AND shardminvalue = '%d'", args.Table, hash))
		if err == nil && len(rows) == 0 {
			err = sql.Errorf("42704", "the new shard was split or dropped meanwhile")
		}
		if err == nil {
			shard = rows[0].text(0)
		}
		return err
	})
	if err != nil {
		return CallResult{}, err
	}
	return CallResult{Columns: []string{"value"}, Rows: [][]*string{{&shard}}, Changed: true}, nil
}

// isolation is the request that isolates a value, and the value's hash.
func (o *operation) isolation(ctx context.Context, table uint32, tenant string, cascade bool) (request move.Request, hash int32, err error) {
	tables, err := o.tables(ctx)
	if err != nil {
		return request, 0, err
	}
	self, ok := tables[table]
	if !ok || self.reference || self.column == 0 {
		return request, 0, &sql.Error{Code: "42809", Message: fmt.Sprintf("cannot isolate tenant because relation %d has no distribution column", table)}
	}
	for _, other := range tables {
		if other.oid != table && other.colocation == self.colocation && !other.reference && !cascade {
			return request, 0, &sql.Error{Code: "0A000", Message: fmt.Sprintf("cannot isolate tenant because %q has colocated tables", self.name),
				Hint: "Use CASCADE option to isolate tenants for the colocated tables too: isolate_tenant_to_new_shard(…, 'CASCADE')."}
		}
	}
	conn, err := o.coordinator(ctx)
	if err != nil {
		return request, 0, err
	}
	d, err := describe(ctx, conn, table)
	if err != nil {
		return request, 0, err
	}
	key := d.columnNumber(self.column)
	_, function, err := o.distributionColumn(d, key.Name)
	if err != nil {
		return request, 0, err
	}
	rows, err := o.query(ctx, fmt.Sprintf(`SELECT h.h, s.shardid FROM (SELECT %s(%s::%s) AS h) h JOIN trunkline.pg_dist_shard s
		ON s.logicalrelid = %d AND h.h BETWEEN s.shardminvalue::int AND s.shardmaxvalue::int`, function, sql.QuoteLiteral(tenant), key.Type, table))
	if err != nil {
		return request, 0, err
	}
	if len(rows) == 0 {
		return request, 0, sql.Errorf("22004", "tenant_id cannot be null")
	}
	hash = int32(rows[0].int(0))
	group, err := o.shardGroupOf(ctx, int64(rows[0].int(1)))
	if err != nil {
		return request, 0, err
	}
	whole, err := o.splittable(ctx, group)
	if err != nil {
		return request, 0, err
	}
	if whole.min == whole.max {
		return request, 0, sql.Errorf("55000", "table %s has already been isolated for the given value", self.name)
	}
	var points []int32
	if hash > whole.min {
		points = append(points, hash-1)
	}
	if hash < whole.max {
		points = append(points, hash)
	}
	return move.Request{ShardGroup: group, Source: whole.group, Parts: partsOf(whole, points)}, hash, nil
}

// copyShardPlacement refuses what Citus refuses for tables whose nodes, not shards, are replicated.
func copyShardPlacement(o *operation, ctx context.Context, raw json.RawMessage) (CallResult, error) {
	var args moveArgs
	if err := json.Unmarshal(raw, &args); err != nil {
		return CallResult{}, sql.Errorf("22023", "cannot read the arguments: %v", err)
	}
	if args.Shard == nil {
		return CallResult{}, sql.Errorf("22004", "shard_id cannot be null")
	}
	return CallResult{}, &sql.Error{Code: "0A000", Message: fmt.Sprintf("shard %d cannot be copied: each shard is on one node only", *args.Shard),
		Detail: "Copies for the case that a node fails are made by PostgreSQL's streaming replication of the whole node.",
		Hint:   "Use citus_move_shard_placement() to move the shard, or add a standby of its node."}
}
