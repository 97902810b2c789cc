package plan

import (
	"slices"

	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// fewKeys is up to which part of a column's values it pays to find first which ones are asked for.
const fewKeys = 1.0 / 2

// narrow reduces what is to move for a subquery to the keys that the rows around it have, if conditions on these leave so few that it
// pays to find them first. keys are columns of rows around the subquery, each of which the moving column must equal; bytes is what would
// move otherwise.
//
//	SELECT … FROM d WHERE d.v = 5 AND EXISTS (SELECT FROM x WHERE x.v = d.k)    -- of x only: x.v IN (SELECT DISTINCT d.k FROM d WHERE d.v = 5)
func (p *planner) narrow(m *movement, inside *block, keys []columnID, bytes float64) {
	m.part = 1
	for _, key := range keys {
		if query, left := p.enclosingKeys(inside.ownerOf(key.rel), inside, key, bytes, p.distinctValues(columnID{m.rel, m.column})); query != nil && (m.keys == nil || left < m.part) {
			m.keys, m.part = query, left
		}
	}
}

// enclosingKeys makes the query of the values that a column of b's rows can have, nil if that would not pay. bytes would move
// otherwise, with so many distinct values; part estimates which part of that is left.
func (p *planner) enclosingKeys(b *block, inside *block, key columnID, bytes, distinct float64) (query *sql.SelectStmt, part float64) {
	r := key.rel
	if b == nil || b.hasWith() || r.kind != relDistributed || r.node.GetRangeVar() == nil || r.hidden || p.nested || p.stmt.Tree.GetSelectStmt() == nil || !b.joinsInner(r) {
		return nil, 1
	}
	conditions := p.ownFilters[r]
	for _, q := range b.where {
		if p.filtersBySubquery(b, inside, r, q) {
			conditions = append(slices.Clip(conditions), q)
		}
	}
	if len(conditions) == 0 {
		return nil, 1
	}
	rows := p.tableRows(r.table)
	for _, q := range conditions {
		rows *= p.selectivity(b, q)
	}
	keys := min(max(rows, 1), p.distinctValues(key))
	part = min(1, keys/distinct)
	cost := keys*(p.columnWidth(key)+rowOverhead)*p.nodes(r.table.ColocationID) + repartitionCost/4
	if !p.settings.Repartition && (part > fewKeys || bytes*(1-part) < cost) {
		return nil, 1
	}
	query = sql.Select([]*sql.Node{sql.Target(r.columns[key.col], sql.Column(r.alias, r.columns[key.col]))}, []*sql.Node{sql.Clone(r.node)}, sql.And(clones(conditions)...))
	query.DistinctClause = []*sql.Node{{}}
	return query, part
}

// hasWith tells whether WITH queries are in scope that stay what they are.
func (b *block) hasWith() bool {
	for at := b; at != nil; at = at.parent {
		if len(at.ctes) > 0 {
			return true
		}
	}
	return false
}

// joinsInner tells whether a FROM item is joined with the others of its block so that only rows count which meet WHERE.
func (b *block) joinsInner(r *rel) bool {
	found := false
	for _, n := range b.from {
		flatten(n, func(leaf *fromNode) { found = found || leaf.rel == r }, nil, nil)
	}
	return found
}

// filtersBySubquery tells whether a condition compares columns of r alone with subqueries that do not depend on any row, none of which
// is the block inside or has it in it.
func (p *planner) filtersBySubquery(b, inside *block, r *rel, q *sql.Node) bool {
	own, links := true, 0
	sql.Walk(q, func(m proto.Message) bool {
		n, ok := m.(*sql.Node)
		if !ok || !own {
			return own
		}
		if n.GetSubLink() != nil {
			links++
			at := slices.IndexFunc(b.sublinks, func(l *sublink) bool { return l.wrapper == n })
			own = at >= 0 && len(b.sublinks[at].block.outer) == 0 && !b.sublinks[at].block.encloses(inside)
			if own && b.sublinks[at].test != nil {
				own = p.namesOnly(b, r, b.sublinks[at].test)
			}
			return false
		}
		if n.GetColumnRef() != nil {
			own = p.namesOnly(b, r, n)
		}
		return own
	})
	return own && links > 0 && !p.volatileBelow(q) && !p.exprNeedsCoordinator(q)
}

// namesOnly tells whether an expression without subqueries names no columns but known ones of r.
func (p *planner) namesOnly(b *block, r *rel, e *sql.Node) bool {
	only := true
	sql.Walk(e, func(m proto.Message) bool {
		n, ok := m.(*sql.Node)
		switch {
		case !ok:
		case n.GetSubLink() != nil:
			only = false
		case n.GetColumnRef() != nil:
			id, known := b.column(n)
			only = only && known && id.rel == r && id.col >= 0
		}
		return only
	})
	return only
}

// encloses tells whether a block is another one or has it inside.
func (b *block) encloses(other *block) bool {
	for ; other != nil; other = other.parent {
		if other == b {
			return true
		}
	}
	return false
}
