package plan

import (
	"slices"

	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// fold is several FROM items of one list of inner joins that are joined where they are, before the joined rows move: co-located
// tables, and reference tables and rows of earlier steps that are joined with these.
//
//	SELECT … FROM d, e, r, x WHERE d.k = e.k AND d.v = r.id AND e.v = x.k
//	rows 0 = all shards: SELECT … FROM d, e, r WHERE d.k = e.k AND d.v = r.id      -- each to the hash of e.v
type fold struct {
	rels        []*rel
	conditions  []*sql.Node           // those of the block that concern the items alone
	met         map[*sql.Node]bool    // of the block's conditions, those that need not be checked again
	columns     []columnID            // what the block uses of them beside
	twins       map[columnID]columnID // columns for which one of these can stand
	rows, bytes float64               // an estimate of what moves
}

// How much larger the joined rows may be than what would move otherwise: joining them early saves steps and reading tables again, and
// PostgreSQL knows better what it joins.
const (
	foldGrowth = 1.25
	foldTwice  = 2
)

// folding finds out what of a block can be folded.
type folding struct {
	p      *planner
	b      *block
	leaves []*fromNode
	quals  []*sql.Node
	known  *classes
	joins  map[*sql.Node][]*rel // the items of each condition on several that has nothing else in it
}

// foldingOf looks at a list of inner-joined FROM items, nil where none of it can be folded: it must be the whole FROM clause of a query,
// without what ties columns to where they stand. known is what is equal in it.
func (p *planner) foldingOf(b *block, roots []*fromNode, known *classes) *folding {
	if p.changing != nil || p.nested || b.complex || len(b.merged) > 0 || len(b.sel.LockingClause) > 0 || len(roots) != len(b.from) || roots[0] != b.from[0] {
		return nil
	}
	f := &folding{p: p, b: b, quals: slices.Clone(b.where), known: known, joins: map[*sql.Node][]*rel{}}
	plain := true
	for _, n := range roots {
		flatten(n, func(leaf *fromNode) { f.leaves = append(f.leaves, leaf) }, &f.quals, &[][2]columnID{}, func(n *fromNode) {
			plain = plain && (n.rel != nil || n.join.Alias == nil)
		})
	}
	if !plain {
		return nil
	}
	for _, q := range f.quals {
		if rels := f.joined(q); len(rels) > 1 {
			f.joins[q] = rels
		}
	}
	return f
}

// joined lists the items that a condition names, nil if it has anything in it that must stay where it is.
func (f *folding) joined(q *sql.Node) []*rel {
	var rels []*rel
	fine := true
	sql.Walk(q, func(m proto.Message) bool {
		n, ok := m.(*sql.Node)
		switch {
		case !ok || !fine:
		case n.GetSubLink() != nil:
			fine = false
		case n.GetColumnRef() != nil:
			id, ok := f.b.column(n)
			if fine = ok && id.col >= 0 && f.b.owns(id.rel); fine && !slices.Contains(rels, id.rel) {
				rels = append(rels, id.rel)
			}
		}
		return fine
	})
	if !fine || f.p.volatileBelow(q) || f.p.exprNeedsCoordinator(q) {
		return nil
	}
	return rels
}

// foldable tells whether an item can be part of a fold: a table or rows of an earlier step, of which only named columns are used.
func (f *folding) foldable(r *rel) bool {
	switch {
	case r == nil || r.whole || r.wholeRow || r.hidden || len(r.system) > 0 || r.columns == nil || r.node.GetRangeVar() == nil:
		return false
	case r.kind == relDistributed:
		return !singleShard(r.table)
	case r.kind == relIntermediate:
		return f.p.repartitioned(r) < 0
	}
	return r.kind == relReference
}

// of makes the fold of a cluster's items with what is joined with them, nil if they cannot be folded or that would not pay.
func (f *folding) of(units []*unit, cluster int) *fold {
	if f == nil {
		return nil
	}
	var rels []*rel
	apart := 0.0
	for _, u := range units {
		if u.cluster != cluster {
			continue
		}
		if !f.foldable(u.node.rel) {
			return nil
		}
		rels = append(rels, u.node.rel)
		apart += u.bytes
	}
	best := f.join(rels)
	if len(rels) > 1 && best.bytes > apart*foldTwice {
		return nil
	}
	for {
		var next *fold
		for _, leaf := range f.leaves {
			r := leaf.rel
			if !f.foldable(r) || r.kind == relDistributed || slices.Contains(best.rels, r) || !f.connects(best.rels, r) {
				continue
			}
			if with := f.join(append(slices.Clone(best.rels), r)); next == nil || with.bytes < next.bytes {
				next = with
			}
		}
		if next == nil || next.bytes > max(best.bytes*foldGrowth, repartitionCost/4) {
			break
		}
		best = next
	}
	if len(best.rels) < 2 {
		return nil
	}
	return best
}

// connects tells whether an item is joined by equality with one of others.
func (f *folding) connects(rels []*rel, r *rel) bool {
	for q, of := range f.joins {
		if _, _, ok := equality(q); ok && len(of) == 2 && slices.Contains(of, r) && (slices.Contains(rels, of[0]) || slices.Contains(rels, of[1])) {
			return true
		}
	}
	return false
}

// join estimates the join of some items.
func (f *folding) join(rels []*rel) *fold {
	p, b := f.p, f.b
	all := &fold{rels: rels, rows: 1, met: map[*sql.Node]bool{}, twins: map[columnID]columnID{}}
	used := map[columnID]int{}
	for _, r := range rels {
		all.rows *= p.relRows(b, r)
		if r.kind == relDistributed {
			_, factor := p.reduce(b, r, rels, 1)
			all.rows *= factor
		}
		all.conditions = append(all.conditions, p.ownFilters[r]...)
		for _, s := range p.settling[r] {
			all.met[s.condition] = true
		}
		for i := range r.columns {
			used[columnID{r, i}] = r.used[i] - r.settled[i]
		}
	}
	for _, q := range f.quals {
		of := f.joins[q]
		if of == nil || slices.ContainsFunc(of, func(r *rel) bool { return !slices.Contains(rels, r) }) {
			continue
		}
		all.conditions, all.met[q] = append(all.conditions, q), true
		all.rows *= p.joinSelectivity(b, q)
		sql.Walk(q, func(m proto.Message) bool {
			if n, ok := m.(*sql.Node); ok {
				if id, ok := b.column(n); ok {
					used[id]--
				}
			}
			return true
		})
	}
	equal := f.addImplied(all)
	all.rows = max(all.rows, 1)
	all.bytes = all.rows * rowOverhead
	for _, r := range rels {
		for i := range r.columns {
			id := columnID{r, i}
			if used[id] <= 0 {
				continue
			}
			if twin := slices.IndexFunc(all.columns, func(other columnID) bool { return f.identical(equal, id, other) }); twin >= 0 {
				all.twins[id] = all.columns[twin]
				continue
			}
			all.columns = append(all.columns, id)
			all.bytes += all.rows * p.columnWidth(id)
		}
	}
	return all
}

// addImplied adds that distribution columns are equal where that follows only from conditions on other items.
//
//	d.k = x.v AND e.k = x.v    -- so d.k = e.k
//
// It gives what is equal in the joined rows.
func (f *folding) addImplied(all *fold) *classes {
	direct := f.p.classesOf(f.b, all.conditions, nil)
	for i, r := range all.rels {
		for _, s := range all.rels[:i] {
			if r.kind != relDistributed || s.kind != relDistributed {
				continue
			}
			a, b := columnID{r, r.table.DistColumn}, columnID{s, s.table.DistColumn}
			if direct.same(a, b) || !f.known.same(a, b) {
				continue
			}
			equal := sql.Operator(sql.Column(r.alias, r.columns[a.col]), "=", sql.Column(s.alias, s.columns[b.col]))
			all.conditions = append(all.conditions, equal)
			all.rows *= f.p.joinSelectivity(f.b, equal)
			direct.join(a, b)
		}
	}
	return direct
}

// identical tells whether one column can stand for another that is equal: their values are of a type whose equal values are the same.
func (f *folding) identical(equal *classes, a, b columnID) bool {
	typ := f.p.baseType(a.typ())
	return a.typ() == b.typ() && equal.same(a, b) && mergeable[typ] && typ != float4OID && typ != float8OID
}

// joinSelectivity estimates which part of the pairs of two items' rows meets a condition on both.
func (p *planner) joinSelectivity(b *block, q *sql.Node) float64 {
	if left, right, ok := equality(q); ok {
		l, okL := b.column(left)
		r, okR := b.column(right)
		if okL && okR {
			return 1 / max(p.distinctValues(l), p.distinctValues(r))
		}
	}
	return p.selectivity(b, q)
}

// runFold runs the items of a fold first, as one query, and reads its rows in their place.
func (p *planner) runFold(b *block, m movement, reason string) error {
	names := m.fold.names()
	query := p.foldQuery(b, m.fold, names)
	index, err := p.subplan(query, reason)
	if err != nil {
		return err
	}
	if m.ship != nil {
		if err := p.hashed(index, m.column, m.ship); err != nil {
			return err
		}
	}
	alias := "joined rows " + itoa(index)
	p.renameColumns(b, alias, names)
	read := readIntermediate(index, &sql.Alias{Aliasname: alias})
	f := p.foldingOf(b, b.from, nil)
	var from []*sql.Node
	for _, leaf := range f.leaves {
		switch {
		case leaf.rel == nil:
			from = append(from, leaf.item)
		case !slices.Contains(m.fold.rels, leaf.rel):
			from = append(from, leaf.rel.node)
		case read != nil:
			from, read = append(from, read), nil
		}
	}
	b.sel.FromClause = from
	b.sel.WhereClause = sql.And(slices.DeleteFunc(f.quals, func(q *sql.Node) bool { return m.fold.met[q] })...)
	return nil
}

// names gives each column that moves a name of its own.
func (f *fold) names() map[columnID]string {
	names := map[columnID]string{}
	taken := map[string]bool{}
	for _, id := range f.columns {
		name := id.rel.columns[id.col]
		for n := 2; taken[name]; n++ {
			name = id.rel.columns[id.col] + " " + itoa(n)
		}
		names[id], taken[name] = name, true
	}
	for id, twin := range f.twins {
		names[id] = names[twin]
	}
	return names
}

// foldQuery makes the query of a fold's rows.
func (p *planner) foldQuery(b *block, f *fold, names map[columnID]string) *sql.SelectStmt {
	var targets, items []*sql.Node
	for _, id := range f.columns {
		targets = append(targets, sql.Target(names[id], sql.Column(id.rel.alias, id.rel.columns[id.col])))
	}
	if len(targets) == 0 {
		targets = []*sql.Node{sql.Target("one", sql.Integer(1))} // only the number of rows counts
	}
	conditions := clones(f.conditions)
	for _, r := range f.rels {
		items = append(items, sql.Clone(r.node))
		if r.kind == relDistributed {
			more, _ := p.reduce(b, r, f.rels, 1)
			conditions = append(conditions, more...)
		}
	}
	return sql.Select(targets, items, sql.And(conditions...))
}

// renameColumns makes all references to some columns of b refer to an item that has them under other names. What the results of queries
// are called stays as it was.
func (p *planner) renameColumns(b *block, alias string, names map[columnID]string) {
	type reference struct {
		node *sql.Node
		name string
	}
	var found []reference
	titles := map[*sql.ResTarget]string{}
	b.eachColumn(func(at *block, ref *sql.Node) {
		id, ok := at.column(ref)
		if !ok || names[id] == "" {
			return
		}
		found = append(found, reference{ref, names[id]})
		for _, item := range at.sel.TargetList {
			if target := item.GetResTarget(); target.GetName() == "" && target.GetVal() != nil {
				titles[target] = figureName(target.Val)
			}
		}
	})
	for _, r := range found {
		r.node.GetColumnRef().Fields = sql.StringNodes(alias, r.name)
	}
	for target, title := range titles {
		if figureName(target.Val) != title {
			target.Name = title
		}
	}
}
