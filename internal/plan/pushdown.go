package plan

import (
	"slices"

	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// pushdown plans a block whose FROM and WHERE clauses can run on every shard group. What else it asks for either stays within
// shards too, and the tasks' rows only have to be put together, or is finished by a second query over the tasks' rows. It returns
// a blocker when something must be run first.
func (p *planner) pushdown(b *block, top bool) (*Gather, *blocker, error) {
	if b.sel.Op != sql.SetopNone {
		return p.pushdownSet(b, top)
	}
	deferred := p.deferConditions(b)
	from := p.fromSpread(b, nil)
	if from.blocked != nil {
		return nil, from.blocked, nil
	}
	if blocked := p.sublinksBlocked(b, from, nil); blocked != nil {
		return nil, blocked, nil
	}
	if !from.hashed {
		return nil, &blocker{reason: "distributed tables only in a subquery"}, nil
	}
	pruning := p.pruning(b, from)
	plain := p.withoutOrder(b)
	if s, _ := p.blockSpread(plain, nil); s.blocked == nil && len(deferred) == 0 {
		g, err := p.gather(b, pruning, top)
		return g, nil, err
	}
	if len(b.sel.DistinctClause) > 0 && b.sel.DistinctClause[0].GetNode() == nil && len(deferred) == 0 {
		plain.sel.DistinctClause = nil
		if s, _ := p.blockSpread(plain, nil); s.blocked == nil {
			return p.distinct(b, pruning)
		}
	}
	if blocked := p.groupedLinkBlocked(b); blocked != nil {
		return nil, blocked, nil
	}
	if len(deferred) > 0 {
		return p.finishRaw(b, pruning, deferred)
	}
	if p.anyNeedsCoordinator(b) || len(windows(b)) > 0 && !p.plainAggregate(b) && len(b.sel.GroupClause) == 0 {
		return p.finishRaw(b, pruning, nil)
	}
	if p.plainAggregate(b) || len(b.sel.GroupClause) > 0 {
		if g, ok, err := p.aggregate(b, pruning); ok || err != nil {
			return g, nil, err
		}
		return p.finishRaw(b, pruning, nil)
	}
	if len(b.sel.DistinctClause) > 0 && b.sel.DistinctClause[0].GetNode() == nil {
		return p.distinct(b, pruning)
	}
	return p.finishRaw(b, pruning, nil)
}

// groupedLinkBlocked looks for a subquery over distributed rows that is evaluated for each group of b, outside of aggregates. The
// groups are made on the coordinator, where grouping sets turn columns into NULLs, so no task can evaluate it for its rows.
//
//	SELECT (SELECT count(*) FROM e WHERE e.k = d.k) FROM d GROUP BY ROLLUP (d.k)
func (p *planner) groupedLinkBlocked(b *block) *blocker {
	if len(b.sel.GroupClause) == 0 {
		return nil
	}
	groups := p.groupExprs(b, b.sel.GroupClause)
	var blocked *blocker
	for _, list := range [][]*sql.Node{b.sel.TargetList, {b.sel.HavingClause}, b.sel.SortClause, b.sel.WindowClause, b.sel.DistinctClause} {
		for _, e := range list {
			sql.Walk(e, func(m proto.Message) bool {
				n, ok := m.(*sql.Node)
				switch {
				case !ok || blocked != nil:
					return blocked == nil
				case p.aggregateCall(n) != nil || slices.ContainsFunc(groups, func(g *sql.Node) bool { return p.sameExpr(b, g, n) }):
					return false
				case n.GetSubLink() != nil:
					blocked = p.perGroupBlocked(b, n)
				}
				return blocked == nil
			})
		}
	}
	return blocked
}

func (p *planner) perGroupBlocked(b *block, n *sql.Node) *blocker {
	for _, link := range b.sublinks {
		switch {
		case link.wrapper != n || !p.blockHashed(link.block):
		case len(link.block.outer) == 0:
			return &blocker{reason: "a subquery over all shards, evaluated for groups", link: link}
		default:
			return p.firstInside(link)
		}
	}
	return nil
}

// groupExprs lists the expressions that a GROUP BY clause groups by, those of grouping sets included.
func (p *planner) groupExprs(b *block, items []*sql.Node) []*sql.Node {
	var all []*sql.Node
	for _, item := range items {
		switch {
		case item.GetGroupingSet() != nil:
			all = append(all, p.groupExprs(b, item.GetGroupingSet().Content)...)
		case item.GetRowExpr() != nil:
			all = append(all, p.groupExprs(b, item.GetRowExpr().Args)...)
		default:
			if e := p.resolveGroupItem(b, item); e != nil {
				all = append(all, e)
			}
		}
	}
	return all
}

// deferConditions takes the conditions that must be evaluated on the coordinator out of b's WHERE clause.
func (p *planner) deferConditions(b *block) []*sql.Node {
	var now, later []*sql.Node
	for _, q := range b.where {
		if p.exprNeedsCoordinator(q) {
			later = append(later, q)
		} else {
			now = append(now, q)
		}
	}
	if len(later) > 0 {
		b.where = now
	}
	return later
}

// withoutOrder is a block less its ORDER BY, LIMIT, OFFSET and row locks, which are applied to the rows of all shards together.
func (p *planner) withoutOrder(b *block) *block {
	plain := *b
	s := b.sel
	plain.sel = &sql.SelectStmt{TargetList: s.TargetList, FromClause: s.FromClause, WhereClause: s.WhereClause, GroupClause: s.GroupClause,
		HavingClause: s.HavingClause, WindowClause: s.WindowClause, ValuesLists: s.ValuesLists, DistinctClause: s.DistinctClause,
		Op: s.Op, All: s.All, Larg: s.Larg, Rarg: s.Rarg, LimitOption: sql.LimitDefault}
	return &plain
}

func (p *planner) usesSystemColumns(b *block) bool {
	found := false
	for _, e := range ownExprs(b) {
		if e == nil {
			continue
		}
		sql.Walk(e, func(m proto.Message) bool {
			if n, ok := m.(*sql.Node); ok && n.GetColumnRef() != nil {
				names := sql.Strings(n.GetColumnRef().Fields)
				found = found || systemColumns[names[len(names)-1]]
			}
			return !found
		})
	}
	return found
}

// pushdownSet plans a set operation: over each shard group if its arms match row for row there, else over its arms' rows.
func (p *planner) pushdownSet(b *block, top bool) (*Gather, *blocker, error) {
	if blocked := p.sublinksBlocked(b, spread{}, nil); blocked != nil {
		return nil, blocked, nil
	}
	plain := p.withoutOrder(b)
	if s, _ := p.blockSpread(plain, nil); s.blocked == nil && s.hashed {
		g, err := p.gather(b, Pruning{Colocation: s.colocation, All: true}, top)
		return g, nil, err
	}
	if top {
		p.why("pushdown", "a set operation that must compare rows of all shards")
	}
	for _, arm := range []struct {
		block *block
		at    **sql.SelectStmt
	}{{b.left, &b.sel.Larg}, {b.right, &b.sel.Rarg}} {
		if !p.blockHashed(arm.block) {
			continue
		}
		p.moved = true
		index, err := p.subplan(*arm.at, "an arm of a set operation")
		if err != nil {
			return nil, nil, err
		}
		*arm.at = sql.Select([]*sql.Node{sql.Target("", sql.Star(""))}, []*sql.Node{readIntermediate(index, nil)}, nil)
	}
	t, err := p.template(sql.SelectNode(b.sel))
	return &Gather{SQL: t, Coordinator: true}, nil, err
}

// SortColumn names the hidden column of a task's rows that holds a merge key.
func SortColumn(i int) string { return "?sort " + itoa(i) + "?" }

// sortItem is one item of ORDER BY, with the expression it means.
type sortItem struct {
	by   *sql.SortBy
	expr *sql.Node
}

func (p *planner) sortItems(b *block) []sortItem {
	var items []sortItem
	for _, n := range b.sel.SortClause {
		items = append(items, sortItem{n.GetSortBy(), p.resolveSortItem(b, n.GetSortBy().Node)})
	}
	return items
}

// gather plans a block whose shards' rows only have to be put together, in order and up to a limit.
func (p *planner) gather(b *block, pruning Pruning, top bool) (*Gather, error) {
	sel := sql.Clone(b.sel)
	g := &Gather{Pruning: pruning, Fuse: p.fuse(b)}
	if len(sel.SortClause) > 0 && (sel.LimitOption == sql.LimitWithTies || !p.mergeable(b)) {
		return p.sortLater(b, pruning)
	}
	if b.sel.Op != sql.SetopNone && len(sel.SortClause) > 0 {
		return p.sortLater(b, pruning)
	}
	for i, item := range p.sortItems(b) {
		sel.TargetList = append(sel.TargetList, sql.Target(SortColumn(i), sql.Clone(item.expr)))
		descending := item.by.SortbyDir == sql.SortDesc
		g.Merge = append(g.Merge, MergeKey{Column: i, Type: p.baseType(p.exprType(b, item.expr)), Descending: descending,
			NullsFirst: item.by.SortbyNulls == sql.NullsFirst || item.by.SortbyNulls == sql.NullsDefault && descending})
		g.Hidden++
	}
	var err error
	if g.Limit, err = p.rowCount(sel.LimitCount); err != nil {
		return nil, err
	}
	if g.Offset, err = p.rowCount(sel.LimitOffset); err != nil {
		return nil, err
	}
	pushLimit(sel)
	g.SQL, err = p.template(sql.SelectNode(sel))
	return g, err
}

// pushLimit makes each task return no more rows than could be needed: as many as LIMIT and OFFSET count together.
func pushLimit(sel *sql.SelectStmt) {
	if sel.LimitOffset == nil || isNull(sel.LimitOffset) {
		sel.LimitOffset = nil
		return
	}
	if sel.LimitCount != nil && !isNull(sel.LimitCount) {
		count, offset := sql.Cast(sel.LimitCount, "pg_catalog", "int8"), sql.Cast(sel.LimitOffset, "pg_catalog", "int8")
		sel.LimitCount = sql.Operator(count, "+", sql.Coalesce(offset, sql.Integer(0)))
	}
	sel.LimitOffset = nil
}

func isNull(e *sql.Node) bool { return e.GetAConst() != nil && e.GetAConst().Isnull }

// rowCount makes a value of a LIMIT or OFFSET expression.
func (p *planner) rowCount(e *sql.Node) (*Value, error) {
	switch {
	case e == nil || isNull(e):
		return nil, nil
	case e.GetParamRef() != nil:
		return &Value{Kind: ValueParam, Index: int(e.GetParamRef().Number), Type: int8OID}, nil
	case e.GetAConst() != nil:
		if index, negative, ok := p.literalAt(e.GetAConst().Location); ok {
			return &Value{Kind: ValueLiteral, Index: index, Negative: negative, Type: int8OID}, nil
		}
	}
	t, err := p.template(e)
	return &Value{Kind: ValueSQL, SQL: t, Type: int8OID}, err
}

// mergeable tells whether Go can merge streams sorted as a block's ORDER BY says.
func (p *planner) mergeable(b *block) bool {
	for _, item := range p.sortItems(b) {
		if item.by.SortbyDir == sql.SortUsing || !mergeable[p.baseType(p.exprType(b, item.expr))] {
			return false
		}
	}
	return true
}

// sortLater plans a block whose rows must be sorted by PostgreSQL again after the tasks' rows are put together: by keys that Go
// does not compare, or WITH TIES.
func (p *planner) sortLater(b *block, pruning Pruning) (*Gather, error) {
	sel := sql.Clone(b.sel)
	if sel.Op != sql.SetopNone {
		// ORDER BY of a set operation names output columns.
		inner := sql.Clone(sel)
		inner.SortClause, inner.LimitCount, inner.LimitOffset, inner.LimitOption = nil, nil, nil, sql.LimitDefault
		index, err := p.task(b, inner, Gather{Pruning: pruning, Fuse: FuseArms}, "rows to be sorted")
		if err != nil {
			return nil, err
		}
		outer := sql.Select([]*sql.Node{sql.Target("", sql.Star(""))}, []*sql.Node{readIntermediate(index, nil)}, nil)
		outer.SortClause, outer.LimitCount, outer.LimitOffset, outer.LimitOption = sel.SortClause, sel.LimitCount, sel.LimitOffset, sel.LimitOption
		t, err := p.template(sql.SelectNode(outer))
		return &Gather{SQL: t, Coordinator: true}, err
	}
	if b.showsRecords() && len(sel.DistinctClause) == 0 && len(sel.GroupClause) == 0 && !p.plainAggregate(b) && len(windows(b)) == 0 {
		g, _, err := p.finishRaw(b, pruning, nil)
		return g, err
	}
	worker := sql.Clone(sel)
	result := intermediate{}
	var targets, outer []*sql.Node
	for i, o := range b.outputs {
		name := "c" + itoa(i+1)
		targets = append(targets, sql.Target(name, sql.Clone(o.expr)))
		outer = append(outer, sql.Target(o.name, sql.Column("t", name)))
		result.columns = append(result.columns, name)
		result.types = append(result.types, o.typ)
		result.collations = append(result.collations, p.collation(b, o))
	}
	final := sql.Select(outer, nil, nil)
	for i, item := range p.sortItems(b) {
		by := sql.Clone(item.by)
		expr := item.expr
		var collate *sql.Node
		if c := expr.GetCollateClause(); c != nil {
			collate, expr = item.expr, c.Arg
		}
		name := "s" + itoa(i+1)
		targets = append(targets, sql.Target(name, sql.Clone(expr)))
		result.columns = append(result.columns, name)
		result.types = append(result.types, p.exprType(b, expr))
		result.collations = append(result.collations, p.collation(b, output{expr: expr, typ: p.exprType(b, expr)}))
		by.Node = sql.Column("t", name)
		if collate != nil {
			again := sql.Clone(collate)
			again.GetCollateClause().Arg = by.Node
			by.Node = again
		}
		final.SortClause = append(final.SortClause, &sql.Node{Node: sql.SortByNode(by)})
	}
	final.LimitCount, final.LimitOffset, final.LimitOption = sel.LimitCount, sel.LimitOffset, sel.LimitOption
	worker.TargetList = targets
	if len(sel.DistinctClause) > 0 && sel.DistinctClause[0].GetNode() == nil {
		worker.DistinctClause = sel.DistinctClause
	}
	if worker.LimitCount != nil {
		pushLimit(worker)
	} else {
		worker.LimitOffset = nil
		if len(worker.DistinctClause) == 0 || worker.DistinctClause[0].GetNode() == nil {
			worker.SortClause = nil
		}
	}
	renumber(worker.SortClause, b)
	renumber(worker.DistinctClause, b)
	fuse := p.fuse(b)
	t, err := p.template(sql.SelectNode(worker))
	if err != nil {
		return nil, err
	}
	index := p.addSubplan(Gather{SQL: t, Pruning: pruning, Fuse: fuse, Columns: result.columns, Reason: "rows to be sorted"}, result)
	final.FromClause = []*sql.Node{readIntermediate(index, &sql.Alias{Aliasname: "t"})}
	t, err = p.template(sql.SelectNode(final))
	return &Gather{SQL: t, Coordinator: true}, err
}

// renumber puts numbers in place of names of output columns in ORDER BY or DISTINCT ON, where names are others.
func renumber(sort []*sql.Node, b *block) {
	for _, n := range sort {
		if by := n.GetSortBy(); by != nil {
			n = by.Node
		}
		ref := n.GetColumnRef()
		if ref == nil || len(ref.Fields) != 1 {
			continue
		}
		for i, o := range b.outputs {
			if o.name == sql.Strings(ref.Fields)[0] {
				n.Node = sql.Integer(i + 1).Node
				break
			}
		}
	}
}

// addSubplan adds a planned part that is to run first.
func (p *planner) addSubplan(g Gather, result intermediate) int {
	if slices.ContainsFunc(result.collations, func(c string) bool { return c != "" }) {
		g.Collations = result.collations
	}
	p.plan.Subplans = append(p.plan.Subplans, g)
	p.intermediates = append(p.intermediates, result)
	return len(p.intermediates) - 1
}

// task adds a query over b's shard groups as a part that is to run first, with b's own columns.
func (p *planner) task(b *block, sel *sql.SelectStmt, g Gather, reason string) (int, error) {
	var result intermediate
	for _, o := range b.outputs {
		result.columns = append(result.columns, o.name)
		result.types = append(result.types, o.typ)
		result.collations = append(result.collations, p.collation(b, o))
	}
	var err error
	g.Reason, g.Columns = reason, result.columns
	g.SQL, err = p.template(sql.SelectNode(sel))
	return p.addSubplan(g, result), err
}

// fuse chooses how the shards of one node may be read by one statement. With one distributed table in the whole query, the table
// can be replaced by the union of its shards; with more, a union of the shards' own queries keeps their joins small.
func (p *planner) fuse(b *block) Fuse {
	if len(b.sel.LockingClause) > 0 || p.usesSystemColumns(b) {
		return FuseNone
	}
	count, plain, rows, spread := 0, true, false, false
	var visit func(b *block)
	visit = func(b *block) {
		if b == nil {
			return
		}
		visit(b.left)
		visit(b.right)
		for _, r := range b.rels {
			switch r.kind {
			case relIntermediate:
				spread = spread || p.repartitioned(r) >= 0
			case relDistributed:
				count++
				rows = rows || r.wholeRow
				// The union has no row type and no system columns of its own, no samples, and no children to leave out; and it reads all columns.
				plain = plain && r.node.GetRangeVar() != nil && r.node.GetRangeVar().Inh && !r.wholeRow && !r.table.RowSecurity && !r.table.ColumnGrants &&
					len(r.system) == 0
			case relSubquery:
				visit(r.block)
			}
		}
		for _, link := range b.sublinks {
			visit(link.block)
		}
		// A primary key lets GROUP BY leave other columns out; a union has none.
		plain = plain && (len(b.sel.GroupClause) == 0 || p.groupsAll(b))
	}
	visit(b)
	switch {
	case (count == 1 || spread) && plain:
		return FuseTable
	case rows, len(b.sel.DistinctClause) > 0 && len(b.sel.SortClause) > 0:
		return FuseNone // rows of different shards are of different row types, which UNION does not unite
	}
	return FuseArms
}

// groupsAll tells whether every column outside aggregates is itself grouped by.
func (p *planner) groupsAll(b *block) bool {
	var groups []*sql.Node
	for _, g := range b.sel.GroupClause {
		groups = append(groups, p.resolveGroupItem(b, g))
	}
	all := true
	for _, list := range [][]*sql.Node{b.sel.TargetList, b.sel.SortClause, {b.sel.HavingClause}} {
		for _, e := range list {
			sql.Walk(e, func(m proto.Message) bool {
				n, ok := m.(*sql.Node)
				if !ok || !all {
					return all
				}
				for _, g := range groups {
					if g != nil && p.sameExpr(b, g, n) {
						return false
					}
				}
				if p.aggregateCall(n) != nil {
					return false
				}
				if n.GetColumnRef() != nil {
					if n == b.outputNamed(n) {
						all = false
					}
				}
				return all
			})
		}
	}
	return all
}

// distinct plans SELECT DISTINCT without the distribution column: each task's rows are made distinct, then all of them.
func (p *planner) distinct(b *block, pruning Pruning) (*Gather, *blocker, error) {
	worker, final := sql.Clone(b.sel), sql.Clone(b.sel)
	worker.SortClause, worker.LimitCount, worker.LimitOffset, worker.TargetList = nil, nil, nil, nil
	c := p.combine(b)
	final.TargetList = nil
	for _, o := range b.outputs {
		final.TargetList = append(final.TargetList, sql.Target(o.name, c.distinctArgument(o.expr)))
	}
	result := c.result
	for i, e := range c.columns {
		worker.TargetList = append(worker.TargetList, sql.Target(result.columns[i], e))
	}
	for i, item := range p.sortItems(b) {
		for j, o := range b.outputs {
			if p.sameExpr(b, item.expr, o.expr) {
				final.SortClause[i].GetSortBy().Node = sql.Integer(j + 1)
			}
		}
	}
	t, err := p.template(sql.SelectNode(worker))
	if err != nil {
		return nil, nil, err
	}
	index := p.addSubplan(Gather{SQL: t, Pruning: pruning, Fuse: p.fuse(b), Columns: result.columns, Reason: "distinct rows of each task"}, result)
	final.FromClause = []*sql.Node{readIntermediate(index, &sql.Alias{Aliasname: c.alias})}
	final.WhereClause, final.WindowClause, final.WithClause = nil, nil, nil
	final.GroupClause, final.HavingClause = nil, nil
	t, err = p.template(sql.SelectNode(final))
	return &Gather{SQL: t, Coordinator: true}, nil, err
}

// sameExpr tells whether two expressions of a block mean the same: they are written alike once each column is written with its
// table's name. If different literals of the text had to be equal for that, their values become part of the plan.
func (p *planner) sameExpr(b *block, x, y *sql.Node) bool {
	if !sql.SameKind(x, y) {
		return false
	}
	if !sql.Equal(x, y) {
		x, y := p.unmarked(b.qualified(x)), p.unmarked(b.qualified(y))
		if !sql.Equal(x, y) {
			return false
		}
	}
	if in, other := p.literalsIn(x), p.literalsIn(y); !slices.Equal(in, other) {
		p.modifiers = append(append(p.modifiers, in...), other...)
	}
	return true
}

// literalsIn lists the literals of the text that stand in an expression.
func (p *planner) literalsIn(e *sql.Node) []int {
	var found []int
	sql.Walk(e, func(m proto.Message) bool {
		if n, ok := m.(*sql.Node); ok && n.GetAConst() != nil {
			if index, _, ok := p.literalAt(n.GetAConst().Location); ok {
				found = append(found, index)
			}
		}
		return true
	})
	return found
}

// unmarked writes the tables that an expression's subqueries read with their own names only, in place of which reference each is.
func (p *planner) unmarked(e *sql.Node) *sql.Node {
	sql.Walk(e, func(m proto.Message) bool {
		if v, ok := rangeVar(m); ok && v.Catalogname != "" {
			table := p.plan.Tables[markIndex(v)]
			v.Catalogname, v.Schemaname, v.Relname = "", table.Schema, table.Name
		}
		return true
	})
	return e
}

// qualified writes the columns of an expression with their tables' names.
func (b *block) qualified(e *sql.Node) *sql.Node {
	e = sql.Clone(e)
	sql.Walk(e, func(m proto.Message) bool {
		if n, ok := m.(*sql.Node); ok && n.GetColumnRef() != nil {
			if id, ok := b.column(n); ok && id.rel.alias != "" {
				n.Node = sql.Column(id.rel.alias, id.rel.columns[id.col]).Node
			}
			return false
		}
		return true
	})
	return e
}
