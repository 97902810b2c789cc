package exec

import (
	"context"
	"math"
	"slices"
	"strconv"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/plan"
)

// Up to how many values of a range are looked up, per shard group and in all. More would be found in almost all shard groups anyway.
const (
	rangePerGroup = 8
	rangeInAll    = 1024
)

// pruneRange gives the shard groups of the integers in a range, all if these are many or cannot be told.
func (x *execution) pruneRange(ctx context.Context, p *plan.Pruning, c *catalog.Colocation) ([]catalog.ShardGroup, error) {
	column := baseType(x.snapshot, c.TypeOID)
	if len(p.Low) == 0 || len(c.Groups) == 1 || !isInteger(column) {
		return c.Groups, nil
	}
	low, high := int64(math.MinInt64), int64(math.MaxInt64)
	for i, b := range append(slices.Clip(p.Low), p.High...) {
		n, null, known, err := x.bound(ctx, &b.Value)
		switch {
		case err != nil:
			return nil, err
		case !known:
			return c.Groups, nil
		case null:
			return x.anyGroup(c), nil
		}
		if i < len(p.Low) {
			if b.Open && n == math.MaxInt64 {
				return x.anyGroup(c), nil
			}
			if b.Open {
				n++
			}
			low = max(low, n)
			continue
		}
		if b.Open && n == math.MinInt64 {
			return x.anyGroup(c), nil
		}
		if b.Open {
			n--
		}
		high = min(high, n)
	}
	if low > high {
		return x.anyGroup(c), nil
	}
	if count := uint64(high) - uint64(low); count >= uint64(min(rangePerGroup*len(c.Groups), rangeInAll)) {
		return c.Groups, nil
	}
	return x.groupsOf(ctx, c, low, high)
}

// groupsOf gives the shard groups of the integers from low to high.
func (x *execution) groupsOf(ctx context.Context, c *catalog.Colocation, low, high int64) ([]catalog.ShardGroup, error) {
	column, key := baseType(x.snapshot, c.TypeOID), x.key(c, false)
	picked := make([]bool, len(c.Groups))
	for n := low; ; n++ {
		if fitsInteger(n, column) {
			hashes, err := x.hashOne(ctx, key, strconv.FormatInt(n, 10))
			if err != nil {
				return nil, err
			}
			for _, h := range hashes {
				picked[c.GroupFor(h)] = true
			}
		}
		if n == high {
			break
		}
	}
	var groups []catalog.ShardGroup
	for i, ok := range picked {
		if ok {
			groups = append(groups, c.Groups[i])
		}
	}
	if len(groups) == 0 {
		return x.anyGroup(c), nil
	}
	return groups, nil
}

// bound evaluates one end of a range. It is known only if it is an integer: others are compared as such, not rounded to one.
func (x *execution) bound(ctx context.Context, v *plan.Value) (n int64, null, known bool, err error) {
	parse := func(text string) (int64, bool, bool, error) {
		n, err := strconv.ParseInt(text, 10, 64)
		return n, false, err == nil, nil
	}
	switch v.Kind {
	case plan.ValueNull:
		return 0, true, true, nil
	case plan.ValueLiteral:
		return parse(x.literal(v))
	case plan.ValueConst:
		return parse(v.Text)
	case plan.ValueParam:
		if v.Index > len(x.bind.Params) {
			return 0, false, false, nil // the nodes say so
		}
		value := x.bind.Params[v.Index-1]
		if !isInteger(baseType(x.snapshot, x.paramType(v.Index))) {
			return 0, false, false, nil
		}
		if value == nil {
			return 0, true, true, nil
		}
		n, ok := integerOf(value, formatOf(x.bind.ParamFormats, v.Index-1), baseType(x.snapshot, x.paramType(v.Index)))
		return n, false, ok, nil
	case plan.ValueSQL:
		text, err := x.render(nil, v.SQL, place{})
		if err != nil {
			return 0, false, false, err
		}
		n, null, err := x.integerSQL(ctx, text)
		return n, null, err == nil, err
	}
	return 0, false, false, nil
}
