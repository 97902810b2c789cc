package plan

import (
	"maps"
	"slices"

	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// maxSteps bounds how many parts of one query are run first. Each step takes a FROM item or subquery away, so a query cannot
// need more than it has.
const maxSteps = 1000

// query plans a SELECT whose tables are marked, as one Gather. What cannot run shard by shard is run first, part by part, until
// the rest can, or reads no distributed table any more and goes to the coordinator.
func (p *planner) query(sel *sql.SelectStmt, top bool) (*Gather, error) {
	tryRouter := true // again once names for parts of the query are out of the way
	named := true     // WITH queries have not been put in place yet
	for step := 0; step < maxSteps; step++ {
		b, err := p.bindSelect(sel, nil)
		if err != nil {
			return nil, err
		}
		if step == 0 && modifyingWith(sel) {
			if err := p.eliminateWith(sel, nil); err != nil {
				return nil, err
			}
			p.rewritten = true
			continue
		}
		if !p.blockHashed(b) {
			t, err := p.template(sql.SelectNode(sel))
			return &Gather{SQL: t, Coordinator: true}, err
		}
		if tryRouter {
			tryRouter = false
			if g, ok, err := p.router(b, top); ok || err != nil {
				return g, err
			}
			if top {
				p.why("router", "the statement is not tied to one value of the distribution column")
				if p.timeBelow(sel) {
					if err := p.readTimeOnce(sel); err != nil {
						return nil, err
					}
					tryRouter = true
					continue
				}
			}
			if named && hasWith(sel) && !recursiveWith(sel) {
				named = false
				if err := p.eliminateWith(sel, nil); err != nil {
					return nil, err
				}
				p.rewritten, tryRouter = true, true
				continue
			}
		}
		p.rewritten = true
		p.countFilters(b)
		if b.complex || recursiveWith(sel) {
			if err := p.runAllFirst(b); err != nil {
				return nil, err
			}
			continue
		}
		g, blocked, err := p.pushdown(b, top)
		if err != nil || g != nil {
			return g, err
		}
		if top {
			p.why("pushdown", blocked.reason)
		}
		if err := p.runFirst(b, blocked); err != nil {
			return nil, err
		}
	}
	return nil, sql.Unsupported("the query has too many parts", "", "Split the query, keeping parts of it in temporary tables.")
}

// blockOf is the block whose FROM item r is, nil if that is not known.
func (p *planner) blockOf(r *rel) *block { return p.owners[r] }

func (p *planner) why(rung, reason string) {
	text := rung + ": " + reason
	for _, known := range p.plan.Why {
		if known == text {
			return
		}
	}
	p.plan.Why = append(p.plan.Why, text)
}

func hasWith(sel *sql.SelectStmt) bool {
	found := false
	sql.Walk(sel, func(m proto.Message) bool {
		found = found || withClause(m) != nil
		return !found
	})
	return found
}

func recursiveWith(sel *sql.SelectStmt) bool {
	return sel.WithClause != nil && sel.WithClause.Recursive && isRecursive(sel.WithClause)
}

func isRecursive(with *sql.WithClause) bool {
	for _, c := range with.Ctes {
		if references(c.GetCommonTableExpr().Ctequery, c.GetCommonTableExpr().Ctename) > 0 {
			return true
		}
	}
	return false
}

// router plans a query that one shard group can answer.
func (p *planner) router(b *block, top bool) (*Gather, bool, error) {
	value, colocation, ok := p.pinned(b)
	if !ok {
		return nil, false, nil
	}
	g := &Gather{Pruning: Pruning{Colocation: colocation, Keys: []Value{value}}}
	if top && !p.rewritten && len(p.plan.Subplans) == 0 {
		if marks, ok := p.tableMarks(p.stmt.Tree); ok {
			g.SQL = p.splice(marks)
			return g, true, nil
		}
	}
	var err error
	g.SQL, err = p.template(sql.SelectNode(b.sel))
	return g, true, err
}

// subplan plans a query to be run first, and gives the index of its intermediate result.
func (p *planner) subplan(sel *sql.SelectStmt, reason string) (int, error) {
	b, err := p.bindSelect(sql.Clone(sel), nil)
	if err != nil {
		return 0, err
	}
	var result intermediate
	for _, o := range b.outputs {
		result.columns = append(result.columns, o.name)
		result.types = append(result.types, o.typ)
		result.collations = append(result.collations, p.collation(b, o))
	}
	filters, owners, settling := p.ownFilters, p.owners, p.settling
	p.countFilters(b)
	p.estimate(b, &result)
	g, err := p.query(sel, false)
	if err != nil {
		return 0, err
	}
	p.ownFilters, p.owners, p.settling = filters, owners, settling
	g.Reason = reason
	if !b.complex {
		g.Columns = result.columns
	}
	return p.addSubplan(*g, result), nil
}

// readIntermediate makes the FROM item that reads an intermediate result.
func readIntermediate(index int, alias *sql.Alias) *sql.Node {
	table := sql.Table("", intermediateName(index), "rows"+itoa(index))
	if alias != nil {
		table.GetRangeVar().Alias = sql.Clone(alias)
	}
	return table
}

// runFirst runs what blocks b first, and puts its rows in its place.
func (p *planner) runFirst(b *block, blocked *blocker) error {
	p.moved = true
	switch {
	case blocked.link != nil:
		return p.runLinkFirst(blocked.link, blocked.reason)
	case blocked.join != nil:
		return p.move(blocked.join, blocked.reason)
	case blocked.moving != nil:
		return p.repartitionRel(p.owners[blocked.moving.rel], *blocked.moving, blocked.reason+"; "+blocked.moving.reason)
	case blocked.rel != nil && blocked.rel.kind == relFunction && p.dependsOnRows(blocked.rel.node):
		return p.runAllFirst(b)
	case blocked.rel != nil:
		return p.runRelFirst(blocked.rel, blocked.reason)
	}
	return p.runAllFirst(b)
}

// runLinkFirst runs an uncorrelated subquery of an expression first.
func (p *planner) runLinkFirst(link *sublink, reason string) error {
	sel := link.node.Subselect.GetSelectStmt()
	if link.node.SubLinkType == sql.SublinkExists && sel.LimitCount == nil && sel.LimitOffset == nil {
		sel.LimitCount, sel.LimitOption = sql.Integer(1), sql.LimitCount
	}
	index, err := p.subplan(sel, reason)
	if err != nil {
		return err
	}
	read := sql.Select([]*sql.Node{sql.Target("", sql.Star(""))}, []*sql.Node{readIntermediate(index, nil)}, nil)
	link.node.Subselect = sql.SelectNode(read)
	return nil
}

// runRelFirst runs a FROM item first.
func (p *planner) runRelFirst(r *rel, reason string) error {
	if r.kind == relSubquery && len(r.block.outer) > 0 {
		if inner := p.deepHashed(r.block); inner != nil {
			return p.runRelFirst(inner, reason)
		}
		return sql.Unsupported("a LATERAL subquery cannot be distributed", "It depends on rows of distributed tables in a way that the planner cannot place.", "")
	}
	switch r.kind {
	case relSubquery:
		s := r.node.GetRangeSubselect()
		if err := lockInside(r, s.Subquery.GetSelectStmt()); err != nil {
			return err
		}
		index, err := p.subplan(s.Subquery.GetSelectStmt(), reason)
		if err != nil {
			return err
		}
		alias := s.Alias
		if alias == nil {
			alias = &sql.Alias{Aliasname: "rows" + itoa(index)}
		}
		r.node.Node = readIntermediate(index, alias).Node
		return nil
	case relIntermediate:
		if index := p.repartitioned(r); index >= 0 {
			p.broadcastInstead(index)
			return nil
		}
		return sql.Unsupported("an intermediate result cannot be planned here", "", "")
	case relRecursive:
		return sql.Unsupported("a recursive query over distributed tables cannot be planned here", "", "Keep the rows in a temporary table first.")
	case relFunction:
		whole := sql.Select([]*sql.Node{sql.Target("", sql.Star(""))}, []*sql.Node{sql.Clone(r.node)}, nil)
		return p.replaceRel(r, whole, reason)
	}
	query := p.tableQuery(p.blockOf(r), r)
	p.settle(r)
	return p.replaceRel(r, query, reason)
}

// replaceRel runs a query first and reads its rows in place of a FROM item of the same columns.
func (p *planner) replaceRel(r *rel, query *sql.SelectStmt, reason string) error {
	index, err := p.subplan(query, reason)
	if err != nil {
		return err
	}
	alias := &sql.Alias{Aliasname: r.alias}
	r.node.Node = readIntermediate(index, alias).Node
	return nil
}

// tableQuery reads from a table the columns that the statement uses, with the conditions that concern it alone and, if b is given, those
// that follow from what it is joined with there.
func (p *planner) tableQuery(b *block, r *rel) *sql.SelectStmt {
	item := sql.Clone(r.node)
	var targets []*sql.Node
	for i, name := range r.columns {
		if r.needs(i) {
			targets = append(targets, sql.Target(name, sql.Column(r.alias, name)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.system)) {
		targets = append(targets, sql.Target(name, sql.Column(r.alias, name)))
	}
	if len(targets) == 0 {
		if r.columns != nil {
			// Only the number of rows counts.
			targets = []*sql.Node{sql.Target("one", sql.Integer(1))}
		} else {
			targets = []*sql.Node{sql.Target("", sql.Star(""))}
		}
	}
	var conditions []*sql.Node
	for _, q := range p.ownFilters[r] {
		conditions = append(conditions, sql.Clone(q))
	}
	if b != nil && r.kind == relDistributed {
		more, _ := p.reductions(b, r)
		conditions = append(conditions, more...)
	}
	query := sql.Select(targets, []*sql.Node{item}, sql.And(conditions...))
	query.LockingClause = locksOf(r)
	return query
}

// runAllFirst runs every distributed table of a query first, so that the rest can run on the coordinator whatever it is.
func (p *planner) runAllFirst(b *block) error {
	p.moved = true
	count := 0
	var all func(b *block) error
	all = func(b *block) error {
		if b == nil {
			return nil
		}
		for _, next := range []*block{b.left, b.right} {
			if err := all(next); err != nil {
				return err
			}
		}
		for _, c := range b.withs {
			if err := all(c.block); err != nil {
				return err
			}
		}
		for _, r := range b.rels {
			switch {
			case r.kind == relDistributed:
				r.whole = r.whole || b.complex
				clear(r.settled) // the conditions stay where they are
				count++
				if err := p.replaceRel(r, p.tableQuery(nil, r), "rows for the coordinator"); err != nil {
					return err
				}
			case p.repartitioned(r) >= 0:
				count++
				p.broadcastInstead(p.repartitioned(r))
			case r.kind == relSubquery && !b.isWith(r.block):
				if err := all(r.block); err != nil {
					return err
				}
			}
		}
		for _, link := range b.sublinks {
			if err := all(link.block); err != nil {
				return err
			}
		}
		return nil
	}
	if err := all(b); err != nil {
		return err
	}
	if count == 0 {
		return sql.Unsupported("the query cannot be distributed", "The planner found nothing that it could run first.", "")
	}
	return nil
}

func (b *block) isWith(other *block) bool {
	for at := b; at != nil; at = at.parent {
		for _, c := range at.ctes {
			if c.block == other {
				return true
			}
		}
	}
	return false
}

// countFilters finds the conditions that concern one FROM item alone: they go along when it is run first. For the side of an outer
// join that may be missing those are the join's conditions, for any other the block's WHERE conditions.
func (p *planner) countFilters(b *block) {
	p.ownFilters, p.owners, p.settling = map[*rel][]*sql.Node{}, map[*rel]*block{}, map[*rel][]settledCondition{}
	var visit func(b *block)
	visit = func(b *block) {
		if b == nil {
			return
		}
		visit(b.left)
		visit(b.right)
		nullable := map[*rel]bool{}
		for _, n := range b.from {
			p.treeFilters(b, n, false, nullable)
		}
		for _, q := range b.where {
			if r := p.onlyRel(b, q); r != nil && !nullable[r] {
				p.addFilter(b, r, q, b.sel.WhereClause)
			} else if r == nil {
				p.alternativeFilters(b, q, nullable)
			}
		}
		for _, r := range b.rels {
			p.owners[r] = b
			if r.kind == relSubquery {
				visit(r.block)
			}
		}
		for _, link := range b.sublinks {
			visit(link.block)
		}
		for _, c := range b.withs {
			visit(c.block)
		}
	}
	visit(b)
}

// addFilter notes a condition on r alone, a conjunct of a clause of b.
func (p *planner) addFilter(b *block, r *rel, q, clause *sql.Node) {
	p.ownFilters[r] = append(p.ownFilters[r], q)
	p.noteSettled(b, r, q, clause)
}

// alternativeFilters finds what an OR of conditions on several FROM items says of each alone: if every alternative has conditions on
// it, those of one of them hold.
//
//	d.v = 1 AND x.v = 2 OR d.v = 3 AND x.v = 4    -- of x: v = 2 OR v = 4
func (p *planner) alternativeFilters(b *block, q *sql.Node, nullable map[*rel]bool) {
	x := q.GetBoolExpr()
	if x == nil || x.Boolop != sql.BoolOr {
		return
	}
	found := map[*rel][]*sql.Node{}
	for i, arm := range x.Args {
		own := map[*rel][]*sql.Node{}
		for _, c := range conjuncts(arm) {
			if r := p.onlyRel(b, c); r != nil && !nullable[r] {
				own[r] = append(own[r], c)
			}
		}
		for r, conditions := range own {
			if len(found[r]) == i {
				found[r] = append(found[r], sql.And(conditions...))
			}
		}
	}
	for _, r := range b.rels {
		if len(found[r]) == len(x.Args) {
			p.ownFilters[r] = append(p.ownFilters[r], sql.Or(found[r]...))
		}
	}
}

func (p *planner) treeFilters(b *block, n *fromNode, missing bool, nullable map[*rel]bool) {
	if n.rel != nil {
		nullable[n.rel] = missing
		return
	}
	kind := n.join.Jointype
	p.treeFilters(b, n.left, missing || kind == sql.JoinRight || kind == sql.JoinFull, nullable)
	p.treeFilters(b, n.right, missing || kind == sql.JoinLeft || kind == sql.JoinFull, nullable)
	for _, q := range n.quals {
		r := p.onlyRel(b, q)
		if r == nil {
			continue
		}
		inLeft := n.left.contains(r)
		if kind == sql.JoinInner && !missing && !nullable[r] || kind == sql.JoinLeft && !inLeft && n.right.rel == r || kind == sql.JoinRight && inLeft && n.left.rel == r {
			p.addFilter(b, r, q, n.join.Quals)
		}
	}
}

// onlyRel gives the table that a condition concerns alone, nil if there is another or evaluating it early could matter.
func (p *planner) onlyRel(b *block, q *sql.Node) *rel {
	var only *rel
	fine := true
	sql.Walk(q, func(m proto.Message) bool {
		n, ok := m.(*sql.Node)
		if !ok || !fine {
			return fine
		}
		switch {
		case n.GetSubLink() != nil:
			fine = false
		case n.GetColumnRef() != nil:
			id, ok := b.column(n)
			if !ok || only != nil && only != id.rel || !b.owns(id.rel) {
				fine = false
				return false
			}
			only = id.rel
		}
		return fine
	})
	if !fine || only == nil || only.table == nil || p.volatileBelow(q) || p.exprNeedsCoordinator(q) && only.kind != relLocal {
		return nil
	}
	return only
}
