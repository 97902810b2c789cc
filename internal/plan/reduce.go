package plan

import (
	"slices"

	"github.com/trunkline/trunkline/internal/sql"
)

// reductions finds semi-joins that a table's rows can be reduced by before they move: a row counts only if its columns equal those of
// rows that every node has anyway, or that lie in the same shard. factor estimates which part of the rows is left.
//
//	SELECT … FROM x, r WHERE x.v = r.id AND r.name = 'a'    -- of x only: x.v IN (SELECT r.id FROM r WHERE r.name = 'a')
func (p *planner) reductions(b *block, r *rel) (conditions []*sql.Node, factor float64) {
	return p.reduce(b, r, []*rel{r}, 1)
}

// maxReductions bounds how many semi-joins are added for one table, and how deep they nest.
const maxReductions = 3

// reduce is reductions but for those by some FROM items, at a depth of nesting.
func (p *planner) reduce(b *block, r *rel, but []*rel, depth int) (conditions []*sql.Node, factor float64) {
	factor = 1
	if depth > maxReductions {
		return nil, factor
	}
	known := p.classesOf(b, p.filtering(b, r), nil)
	for i, name := range r.columns {
		id := columnID{r, i}
		for _, other := range b.equals(known, id) {
			if slices.Contains(but, other.rel) || len(conditions) >= maxReductions {
				continue
			}
			from, part := p.reducer(b, id, other, but, depth)
			if from == nil {
				continue
			}
			conditions = append(conditions, sql.In(sql.Column(r.alias, name), from))
			factor *= part
		}
	}
	return conditions, factor
}

// equals lists the columns of a block and of those that enclose it which are known to equal a column, always in the same order.
func (b *block) equals(known *classes, id columnID) []columnID {
	if known.alone(id) {
		return nil
	}
	var found []columnID
	for at := b; at != nil; at = at.parent {
		for _, r := range at.rels {
			for i := range r.columns {
				if other := (columnID{r, i}); other != id && !known.alone(other) && known.same(id, other) {
					found = append(found, other)
				}
			}
		}
	}
	return found
}

// reducer makes the query over other's FROM item whose rows a column must be among, nil if that would not leave rows out.
func (p *planner) reducer(b *block, id, other columnID, but []*rel, depth int) (query *sql.SelectStmt, factor float64) {
	s := other.rel
	owner := b.ownerOf(s)
	if owner == nil || owner != b && (p.nested || p.stmt.Tree.GetSelectStmt() == nil) {
		return nil, 1 // what a statement writes is enclosed by values that no node has yet: RETURNING sees the new row
	}
	target := sql.Target("", sql.Column(s.alias, s.columns[other.col]))
	switch s.kind {
	case relIntermediate:
		if p.repartitioned(s) >= 0 {
			return nil, 1
		}
		left := p.distinctValues(other) / p.distinctValues(id)
		if left > 1.0/2 {
			return nil, 1
		}
		return sql.Select([]*sql.Node{target}, []*sql.Node{sql.Clone(s.node)}, nil), left
	case relReference:
		if s.node.GetRangeVar() == nil {
			return nil, 1 // a sample is another one each time
		}
	case relDistributed:
		inShard := id.rel.kind == relDistributed && id.rel.table.ColocationID == s.table.ColocationID &&
			id.col == id.rel.table.DistColumn && other.col == s.table.DistColumn
		if !inShard || s.node.GetRangeVar() == nil || s.hidden {
			return nil, 1
		}
	default:
		return nil, 1
	}
	conditions := slices.Clone(p.ownFilters[s])
	for i, c := range conditions {
		conditions[i] = sql.Clone(c)
	}
	factor = 1
	for _, c := range conditions {
		factor *= p.selectivity(owner, c)
	}
	nested, part := p.reduce(owner, s, append(slices.Clone(but), s), depth+1)
	conditions, factor = append(conditions, nested...), factor*part
	if len(conditions) == 0 {
		return nil, 1
	}
	return sql.Select([]*sql.Node{target}, []*sql.Node{sql.Clone(s.node)}, sql.And(conditions...)), factor
}

// ownerOf finds the block, b or one that encloses it, whose FROM item r is.
func (b *block) ownerOf(r *rel) *block {
	for at := b; at != nil; at = at.parent {
		if at.owns(r) {
			return at
		}
	}
	return nil
}

// filtering lists the conditions that every row of a FROM item which counts must meet: those of WHERE, and of the joins on that side
// of which it is where rows without a match are dropped.
func (p *planner) filtering(b *block, r *rel) []*sql.Node {
	all := slices.Clone(b.where)
	var visit func(n *fromNode)
	visit = func(n *fromNode) {
		if n.rel != nil {
			return
		}
		switch kind := n.join.Jointype; {
		case kind == sql.JoinInner && n.contains(r), kind == sql.JoinLeft && n.right.contains(r), kind == sql.JoinRight && n.left.contains(r):
			all = append(all, n.quals...)
		}
		visit(n.left)
		visit(n.right)
	}
	for _, n := range b.from {
		visit(n)
	}
	return all
}
