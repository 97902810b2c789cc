package cluster

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// strategy is a row of pg_dist_rebalance_strategy: by what shards and nodes are weighed.
type strategy struct {
	name                    string
	cost, capacity, allowed string // functions, qualified and quoted; capacity and allowed are "" for those that say 1 and true
	bySize                  bool   // cost is our own function, which is not called for each shard
	threshold, improvement  float64
	minimum                 float64
}

// strategy finds a strategy by name, or the default one.
func (o *operation) strategy(ctx context.Context, name *string) (*strategy, error) {
	which := "s.default_strategy"
	if name != nil {
		which = "s.name = " + sql.QuoteLiteral(*name)
	}
	function := func(column string) string {
		return "(SELECT pg_catalog.format('%I.%I', n.nspname, p.proname) FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = s." + column + ")"
	}
	rows, err := o.query(ctx, `SELECT s.name, `+function("shard_cost_function")+`, `+function("node_capacity_function")+`, `+function("shard_allowed_on_node_function")+`,
		s.default_threshold, s.minimum_threshold, s.improvement_threshold FROM trunkline.pg_dist_rebalance_strategy s WHERE `+which)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		if name == nil {
			return nil, &sql.Error{Code: "42704", Message: "there is no default rebalance strategy", Hint: "Choose one with citus_set_default_rebalance_strategy()."}
		}
		return nil, sql.Errorf("42704", "could not find rebalance strategy with name %s", *name)
	}
	r := rows[0]
	s := &strategy{name: r.text(0), cost: r.text(1), capacity: r.text(2), allowed: r.text(3)}
	for i, column := range []string{"shard_cost_function", "node_capacity_function", "shard_allowed_on_node_function"} {
		if r.null(1 + i) {
			return nil, &sql.Error{Code: "42883", Message: fmt.Sprintf("the %s of rebalance strategy %s does not exist", column, s.name),
				Detail: "It was dropped after the strategy was added.", Hint: "Remove the strategy from pg_dist_rebalance_strategy and add it anew."}
		}
	}
	s.threshold, s.minimum, s.improvement = r.float(4), r.float(5), r.float(6)
	s.bySize = s.cost == "trunkline.citus_shard_cost_by_disk_size"
	if s.capacity == "trunkline.citus_node_capacity_1" {
		s.capacity = ""
	}
	if s.allowed == "trunkline.citus_shard_allowed_on_node_true" {
		s.allowed = ""
	}
	return s, nil
}

// thresholds gives the threshold and the improvement threshold to go by, of what the caller asks for.
func (o *operation) thresholds(ctx context.Context, s *strategy, threshold, improvement *float64) (float64, float64, error) {
	t, i := s.threshold, s.improvement
	if threshold != nil {
		t = *threshold
	}
	if improvement != nil {
		i = *improvement
	}
	if t < 0 || i < 0 {
		return 0, 0, sql.Errorf("22023", "thresholds cannot be negative")
	}
	if t < s.minimum {
		err := o.say(ctx, "warning", "the given threshold is lower than the minimum threshold allowed by the rebalance strategy, using the minimum allowed threshold instead",
			fmt.Sprintf("Using threshold of %.2f", s.minimum), "")
		return s.minimum, i, err
	}
	return t, i, nil
}

// costs weighs shard groups, each by one of its shards.
func (o *operation) costs(ctx context.Context, s *strategy, units []candidate, sizes map[int64]int64) ([]float64, error) {
	costs := make([]float64, len(units))
	if len(units) == 0 {
		return costs, nil
	}
	if s.bySize {
		rows, err := o.query(ctx, "SELECT trunkline_internal.base_cost()")
		if err != nil {
			return nil, err
		}
		for i, u := range units {
			costs[i] = float64(rows[0].int(0))
			for _, shard := range u.shards {
				costs[i] += float64(sizes[shard.id])
			}
		}
		return costs, nil
	}
	rows, err := o.query(ctx, fmt.Sprintf("SELECT %s(id)::float8 FROM pg_catalog.unnest(%s) WITH ORDINALITY AS s(id, n) ORDER BY n", s.cost, representatives(units)))
	if err != nil {
		return nil, err
	}
	for i, r := range rows {
		if costs[i] = r.float(0); r.null(0) || costs[i] < 0 {
			return nil, sql.Errorf("22023", "the cost of shard %d is not a positive number: %s() gave %q", units[i].shards[0].id, s.cost, r.text(0))
		}
	}
	return costs, nil
}

// representatives writes an array of one shard of each group.
func representatives(units []candidate) string {
	ids := make([]string, len(units))
	for i, u := range units {
		ids[i] = strconv.FormatInt(u.shards[0].id, 10)
	}
	return "'{" + strings.Join(ids, ",") + "}'::bigint[]"
}

// capacities gives what nodes can carry in relation to one another.
func (o *operation) capacities(ctx context.Context, s *strategy, nodes []node) ([]float64, error) {
	capacities := make([]float64, len(nodes))
	for i, n := range nodes {
		capacities[i] = 1
		if s.capacity == "" {
			continue
		}
		rows, err := o.query(ctx, fmt.Sprintf("SELECT %s(%d)::float8", s.capacity, n.id))
		if err != nil {
			return nil, err
		}
		if capacities[i] = rows[0].float(0); rows[0].null(0) || capacities[i] < 0 {
			return nil, sql.Errorf("22023", "the capacity of node %s is not a positive number: %s() gave %q", n.address, s.capacity, rows[0].text(0))
		}
	}
	return capacities, nil
}

// forbidden tells which units may not be on which nodes: [unit, node]. Nil forbids nothing.
func (o *operation) forbidden(ctx context.Context, s *strategy, units []candidate, nodes []node) (map[[2]int]bool, error) {
	if s.allowed == "" || len(units) == 0 {
		return nil, nil
	}
	forbidden := map[[2]int]bool{}
	for i, n := range nodes {
		rows, err := o.query(ctx, fmt.Sprintf("SELECT n - 1 FROM pg_catalog.unnest(%s) WITH ORDINALITY AS s(id, n) WHERE %s(id, %d) IS NOT TRUE", representatives(units), s.allowed, n.id))
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			forbidden[[2]int{r.int(0), i}] = true
		}
	}
	return forbidden, nil
}

// totalSizes adds up, by shard, what CollectShardSizes found.
func totalSizes(sizes []catalog.ShardSize) map[int64]int64 {
	totals := make(map[int64]int64, len(sizes))
	for _, z := range sizes {
		totals[z.ShardID] += z.Total
	}
	return totals
}
