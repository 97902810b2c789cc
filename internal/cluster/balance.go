package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/rebalance"
	"github.com/trunkline/trunkline/internal/sql"
)

// balanceArgs are the arguments of the functions that rebalance.
type balanceArgs struct {
	Relation     *uint32  `json:"relation"`
	Threshold    *float64 `json:"threshold"`
	MaxMoves     *int     `json:"max_shard_moves"`
	Excluded     []int64  `json:"excluded_shard_list"`
	DrainOnly    bool     `json:"drain_only"`
	Strategy     *string  `json:"rebalance_strategy"`
	Improvement  *float64 `json:"improvement_threshold"`
	TransferMode string   `json:"shard_transfer_mode"`

	from int // of the only node that is to be changed, its id; 0 for all
}

// candidate is a shard group that may move.
type candidate struct {
	colocation int
	group      int32   // of the node that holds it
	shards     []shard // one of each table; never empty
}

// shard is one table's shard.
type shard struct {
	id    int64
	table string // as the session would write it
}

// plannedMove is one move of a plan.
type plannedMove struct {
	candidate
	from, to node
	sizes    map[int64]int64 // by shard
}

// planBalance decides on moves. It runs in the open transaction; sizes are the shards' sizes.
func (o *operation) planBalance(ctx context.Context, args balanceArgs, sizes []catalog.ShardSize) ([]plannedMove, error) {
	if err := o.exec(ctx, catalog.SetSizes(sizes, true)); err != nil { // for the user's own cost functions
		return nil, err
	}
	s, err := o.strategy(ctx, args.Strategy)
	if err != nil {
		return nil, err
	}
	problem := rebalance.Problem{DrainOnly: args.DrainOnly, MaxMoves: -1}
	if args.MaxMoves != nil {
		problem.MaxMoves = max(0, *args.MaxMoves)
	}
	if problem.Threshold, problem.Improvement, err = o.thresholds(ctx, s, args.Threshold, args.Improvement); err != nil {
		return nil, err
	}
	nodes, err := o.primaries(ctx)
	if err != nil {
		return nil, err
	}
	nodes = slices.DeleteFunc(nodes, func(n node) bool { return n.address.Host == "" }) // a coordinator that is no node yet
	capacities, err := o.capacities(ctx, s, nodes)
	if err != nil {
		return nil, err
	}
	at := map[int32]int{}
	for i, n := range nodes {
		at[n.group] = i
		problem.Nodes = append(problem.Nodes, rebalance.Node{Capacity: capacities[i], Drain: !n.shards})
	}
	units, err := o.candidates(ctx, args.Relation)
	if err != nil {
		return nil, err
	}
	units = slices.DeleteFunc(units, func(c candidate) bool { _, ok := at[c.group]; return !ok || c.excluded(args.Excluded) })
	bySize := totalSizes(sizes)
	costs, err := o.costs(ctx, s, units, bySize)
	if err != nil {
		return nil, err
	}
	for i, c := range units {
		n := at[c.group]
		problem.Units = append(problem.Units, rebalance.Unit{Set: c.colocation, Cost: costs[i], Node: n, Fixed: args.from != 0 && nodes[n].id != args.from})
	}
	forbidden, err := o.forbidden(ctx, s, units, nodes)
	if err != nil {
		return nil, err
	}
	if forbidden != nil {
		problem.Allowed = func(unit, node int) bool { return !forbidden[[2]int{unit, node}] }
	}
	moves, err := rebalance.Plan(problem)
	var homeless *rebalance.HomelessError
	if errors.As(err, &homeless) {
		c := units[homeless.Unit]
		return nil, &sql.Error{Code: "55000", Message: fmt.Sprintf("shard %d of table %s must leave node %s, and no other node may have it", c.shards[0].id, c.shards[0].table, nodes[at[c.group]].address),
			Hint: "Add a node, or let one have shards: SELECT citus_set_node_property(host, port, 'shouldhaveshards', true)."}
	}
	if err != nil {
		return nil, err
	}
	planned := make([]plannedMove, len(moves))
	for i, m := range moves {
		planned[i] = plannedMove{candidate: units[m.Unit], from: nodes[m.From], to: nodes[m.To], sizes: bySize}
	}
	return planned, nil
}

func (c candidate) excluded(ids []int64) bool {
	return slices.ContainsFunc(c.shards, func(s shard) bool { return slices.Contains(ids, s.id) })
}

// candidates lists the shard groups, of one table's colocation group or of all, that have tables.
func (o *operation) candidates(ctx context.Context, relation *uint32) ([]candidate, error) {
	which := ""
	if relation != nil {
		rows, err := o.query(ctx, fmt.Sprintf("SELECT p.repmodel = 't', c.relname FROM trunkline.pg_dist_partition p JOIN pg_catalog.pg_class c ON c.oid = p.logicalrelid WHERE p.logicalrelid = %d", *relation))
		if err != nil {
			return nil, err
		}
		if len(rows) == 0 {
			return nil, sql.Errorf("42P16", "relation is not distributed")
		}
		if rows[0].bool(0) {
			return nil, &sql.Error{Code: "42809", Message: fmt.Sprintf("table %q is a reference table", rows[0].text(1)), Detail: "Every node has a copy of it: there is nothing to balance."}
		}
		which = fmt.Sprintf("WHERE g.colocationid = (SELECT colocationid FROM trunkline.pg_dist_partition WHERE logicalrelid = %d)", *relation)
	}
	rows, err := o.query(ctx, `SELECT g.shardgroupid, g.colocationid, g.groupid, s.shardid, s.logicalrelid::text FROM trunkline.shard_group g
		JOIN trunkline.pg_dist_partition p USING (colocationid)
		JOIN trunkline.pg_dist_shard s ON s.logicalrelid = p.logicalrelid AND (s.shardminvalue IS NULL OR s.shardminvalue::int = g.shardminvalue) `+which+`
		ORDER BY g.shardgroupid, s.shardid`)
	if err != nil {
		return nil, err
	}
	var units []candidate
	last := -1
	for _, r := range rows {
		if id := r.int(0); id != last {
			last = id
			units = append(units, candidate{colocation: r.int(1), group: int32(r.int(2))})
		}
		u := &units[len(units)-1]
		u.shards = append(u.shards, shard{id: int64(r.int(3)), table: r.text(4)})
	}
	return units, nil
}

// plan plans in a transaction of its own, or in the open block.
func (o *operation) plan(ctx context.Context, args balanceArgs) (moves []plannedMove, err error) {
	sizes, err := o.CollectShardSizes(ctx, o.tx, o.snap)
	if err != nil {
		return nil, err
	}
	err = o.tx.RunAtomically(ctx, func() error {
		moves, err = o.planBalance(ctx, args, sizes)
		return err
	})
	return moves, err
}

// rebalancePlan tells which shards a rebalance would move, table by table.
func rebalancePlan(o *operation, ctx context.Context, raw json.RawMessage) (CallResult, error) {
	args, err := balanceArgsOf(raw)
	if err != nil {
		return CallResult{}, err
	}
	moves, err := o.plan(ctx, args)
	if err != nil {
		return CallResult{}, err
	}
	result := CallResult{Columns: []string{"table_name", "shardid", "shard_size", "sourcename", "sourceport", "targetname", "targetport"}}
	for _, m := range moves {
		for _, s := range m.shards {
			result.Rows = append(result.Rows, []*string{&s.table, number64(s.id), number64(m.sizes[s.id]),
				&m.from.address.Host, number(m.from.address.Port), &m.to.address.Host, number(m.to.address.Port)})
		}
	}
	return result, nil
}

func balanceArgsOf(raw json.RawMessage) (balanceArgs, error) {
	var args balanceArgs
	if err := json.Unmarshal(raw, &args); err != nil {
		return args, sql.Errorf("22023", "cannot read the arguments: %v", err)
	}
	if args.TransferMode == "" {
		args.TransferMode = "auto"
	}
	return args, nil
}

func number64(n int64) *string {
	s := strconv.FormatInt(n, 10)
	return &s
}

// say gives the client a notice or a warning, as the coordinator's PostgreSQL would.
func (o *operation) say(ctx context.Context, level, message, detail, hint string) error {
	_, err := o.look(ctx, fmt.Sprintf("SELECT trunkline_internal.say(%s, %s, %s, %s)", sql.QuoteLiteral(level), sql.QuoteLiteral(message), sql.QuoteLiteral(detail), sql.QuoteLiteral(hint)))
	return err
}
