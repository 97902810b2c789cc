package plan

import (
	"slices"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// What is supposed where statistics are silent, as PostgreSQL does for its part (selfuncs.h).
const (
	unknownRows      = 100_000 // of a distributed table
	unknownLocalRows = 1_000   // of a reference or local table, or a function
	unknownWidth     = 16      // bytes of a value
	unknownDistinct  = 200     // different values of a column
	rowOverhead      = 8       // bytes of a row beside its values, on its way

	selectRange    = 1.0 / 3 // part of the rows that meet a comparison by <
	selectBetween  = 1.0 / 9
	selectPattern  = 1.0 / 15
	selectSubquery = 1.0 / 2
	selectUnknown  = 1.0 / 3
)

// tableRows estimates the rows of a table.
func (p *planner) tableRows(t *catalog.Relation) float64 {
	if !slices.Contains(p.estimated, t.OID) {
		p.estimated = append(p.estimated, t.OID)
	}
	if rows, ok := p.settings.Statistics.Rows(t.OID); ok {
		return max(rows, 1)
	}
	if t.Kind == catalog.Distributed {
		return unknownRows
	}
	return unknownLocalRows
}

// relRows estimates the rows of a FROM item that meet the conditions on it alone.
func (p *planner) relRows(b *block, r *rel) float64 {
	rows := float64(unknownLocalRows)
	switch {
	case r.table != nil:
		rows = p.tableRows(r.table)
	case r.kind == relSubquery:
		rows = p.blockRows(r.block)
	case r.kind == relIntermediate:
		if index, ok := intermediateIndex(r.node.GetRangeVar().GetRelname()); ok {
			rows = p.intermediates[index].rows
		}
	}
	for _, q := range p.ownFilters[r] {
		rows *= p.selectivity(b, q)
	}
	return max(rows, 1)
}

// relBytes estimates the bytes of a FROM item's rows with the columns that the statement uses.
func (p *planner) relBytes(b *block, r *rel) float64 {
	width := float64(rowOverhead)
	for i := range r.columns {
		if r.needs(i) {
			width += p.columnWidth(columnID{r, i})
		}
	}
	return p.relRows(b, r) * width
}

func (p *planner) columnWidth(id columnID) float64 {
	if t := id.rel.table; t != nil && id.col >= 0 && id.col < len(t.Columns) {
		if c, ok := p.settings.Statistics.Column(t.OID, t.Columns[id.col].Name); ok {
			return c.Width
		}
	}
	return unknownWidth
}

// distinctValues estimates how many different values a column has.
func (p *planner) distinctValues(id columnID) float64 {
	r := id.rel
	switch {
	case id.col < 0:
	case r.table != nil && id.col < len(r.table.Columns):
		rows := p.tableRows(r.table)
		if c, ok := p.settings.Statistics.Column(r.table.OID, r.table.Columns[id.col].Name); ok {
			return min(max(c.Distinct, 1), rows)
		}
		if id.col == r.table.DistColumn || len(r.table.PrimaryKey) == 1 && r.table.PrimaryKey[0] == id.col {
			return rows
		}
		return max(rows/10, min(rows, unknownDistinct))
	case r.kind == relSubquery && id.col < len(r.block.outputs) && r.block.sel.Op == sql.SetopNone:
		if o := r.block.outputs[id.col]; o.col != nil {
			return min(p.distinctValues(*o.col), p.relRows(r.block, r))
		}
		return p.blockRows(r.block)
	case r.kind == relIntermediate:
		if index, ok := intermediateIndex(r.node.GetRangeVar().GetRelname()); ok {
			if known := p.intermediates[index].distinct; id.col < len(known) {
				return known[id.col]
			}
			return max(p.intermediates[index].rows, 1)
		}
	}
	return unknownDistinct
}

// selectivity estimates which part of the rows meets a condition.
func (p *planner) selectivity(b *block, q *sql.Node) float64 {
	if x := q.GetBoolExpr(); x != nil {
		s := 1.0
		for _, arg := range x.Args {
			if x.Boolop == sql.BoolAnd {
				s *= p.selectivity(b, arg)
			} else {
				s *= 1 - p.selectivity(b, arg)
			}
		}
		if x.Boolop == sql.BoolOr {
			return 1 - s
		}
		return s
	}
	if t := q.GetNullTest(); t != nil {
		if id, ok := b.column(t.Arg); ok && id.rel.table != nil {
			if c, ok := p.settings.Statistics.Column(id.rel.table.OID, id.rel.table.Columns[id.col].Name); ok {
				if t.Nulltesttype == sql.IsNull {
					return c.Nulls
				}
				return 1 - c.Nulls
			}
		}
		return selectUnknown
	}
	if q.GetSubLink() != nil {
		return p.subquerySelectivity(b, q)
	}
	x := q.GetAExpr()
	if x == nil || len(x.Name) == 0 {
		return selectUnknown
	}
	operator := sql.Strings(x.Name)[len(x.Name)-1]
	equal := 1.0 / unknownDistinct
	for _, side := range []*sql.Node{x.Lexpr, x.Rexpr} {
		if id, ok := b.column(side); ok {
			equal = 1 / p.distinctValues(id)
			break
		}
	}
	switch x.Kind {
	case sql.ExprIn:
		s := min(1, equal*float64(len(x.Rexpr.GetList().GetItems())))
		if operator == "<>" {
			return 1 - s
		}
		return s
	case sql.ExprLike, sql.ExprILike, sql.ExprSimilar:
		if operator[0] == '!' {
			return 1 - selectPattern
		}
		return selectPattern
	case sql.ExprBetween:
		return selectBetween
	case sql.ExprOp, sql.ExprOpAny:
		switch operator {
		case "=":
			return equal
		case "<>":
			return 1 - equal
		case "<", "<=", ">", ">=":
			return selectRange
		}
	}
	return selectUnknown
}

// subquerySelectivity estimates which part of the rows meets a condition that is a subquery's answer.
func (p *planner) subquerySelectivity(b *block, q *sql.Node) float64 {
	for _, link := range b.sublinks {
		if link.wrapper != q || link.node.SubLinkType != sql.SublinkAny || len(link.node.OperName) > 0 && sql.Strings(link.node.OperName)[0] != "=" {
			continue
		}
		if id, ok := b.column(link.test); ok {
			return min(selectSubquery, p.blockRows(link.block)/p.distinctValues(id))
		}
	}
	return selectSubquery
}

// blockRows estimates the rows of a query.
func (p *planner) blockRows(b *block) float64 {
	if b == nil {
		return unknownLocalRows
	}
	if b.sel.Op != sql.SetopNone {
		return p.blockRows(b.left) + p.blockRows(b.right)
	}
	rows := 1.0
	for _, r := range b.rels {
		rows *= p.relRows(b, r)
	}
	for _, q := range p.joinConditions(b) {
		left, right, ok := equality(q)
		if !ok {
			continue
		}
		l, okL := b.column(left)
		r, okR := b.column(right)
		if okL && okR && l.rel != r.rel && b.owns(l.rel) && b.owns(r.rel) {
			rows /= max(p.distinctValues(l), p.distinctValues(r))
		}
	}
	for _, n := range b.from {
		for _, pair := range p.allUsing([]*fromNode{n}) {
			rows /= max(p.distinctValues(pair[0]), p.distinctValues(pair[1]))
		}
	}
	for _, link := range b.sublinks {
		if slices.ContainsFunc(b.where, func(q *sql.Node) bool { return q == link.wrapper }) {
			rows *= selectSubquery
		}
	}
	sel := b.sel
	switch {
	case len(sel.GroupClause) > 0:
		groups := 1.0
		for _, item := range sel.GroupClause {
			if id, ok := b.column(p.resolveGroupItem(b, item)); ok {
				groups *= p.distinctValues(id)
			} else {
				groups *= unknownDistinct
			}
		}
		rows = min(rows, groups)
		if sel.HavingClause != nil {
			rows *= selectUnknown
		}
	case p.plainAggregate(b):
		rows = 1
	}
	if sel.LimitCount != nil {
		rows = min(rows, unknownLocalRows)
	}
	return max(rows, 1)
}

// joinConditions lists the conjuncts of a block's WHERE clause and of its joins.
func (p *planner) joinConditions(b *block) []*sql.Node {
	all := slices.Clone(b.where)
	var visit func(n *fromNode)
	visit = func(n *fromNode) {
		if n.rel == nil {
			all = append(all, n.quals...)
			visit(n.left)
			visit(n.right)
		}
	}
	for _, n := range b.from {
		visit(n)
	}
	return all
}

// distinctLeft estimates how many different values a column has in the rows of a block: no more than what it is joined with.
func (p *planner) distinctLeft(b *block, id columnID) float64 {
	least := p.distinctValues(id)
	if !b.owns(id.rel) {
		return least
	}
	for _, other := range p.classesOf(b, p.filtering(b, id.rel), nil).members(id) {
		if b.owns(other.rel) {
			_, factor := p.reductions(b, other.rel)
			least = min(least, p.distinctValues(other), p.relRows(b, other.rel)*factor)
		}
	}
	return least
}

// estimate notes what is estimated of a query's rows with its intermediate result.
func (p *planner) estimate(b *block, result *intermediate) {
	result.rows = p.blockRows(b)
	for _, o := range b.outputs {
		distinct, width := result.rows, float64(unknownWidth)
		if o.col != nil {
			distinct, width = min(distinct, p.distinctLeft(b, *o.col)), p.columnWidth(*o.col)
		}
		result.distinct = append(result.distinct, max(distinct, 1))
		result.bytes += result.rows * width
	}
	result.bytes += result.rows * rowOverhead
}
