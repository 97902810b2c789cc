package plan

import (
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// target gives the relation that a write changes, and marks it.
func (p *planner) target(v *sql.RangeVar) *catalog.Relation {
	table := p.resolve(v)
	if table == nil || table.Kind == catalog.Local {
		return nil
	}
	return table
}

// writeTarget marks the tables of a write statement and finds what it changes. The target is nil when it is a local table.
func (p *planner) writeTarget(v *sql.RangeVar) (*catalog.Relation, reads, error) {
	p.plan.Writes = true
	p.plan.Sticky = p.leavesState(p.stmt.Tree)
	table := p.target(v)
	kind, err := p.prepareTree(p.stmt.Tree)
	if table != nil && err == nil {
		p.plan.Tables[markIndex(v)].Write = true
	}
	return table, kind, err
}

func markIndex(v *sql.RangeVar) int {
	var fields string
	if len(v.Catalogname) > len("{{table }}") {
		fields = v.Catalogname[len("{{table ") : len(v.Catalogname)-2]
	}
	return atoi(fields)
}

// changeStatement plans UPDATE and DELETE. Both are seen as a query: their target joined with FROM or USING, under WHERE.
func (p *planner) changeStatement() (*Plan, error) {
	update, del := p.stmt.Tree.GetUpdateStmt(), p.stmt.Tree.GetDeleteStmt()
	var relation *sql.RangeVar
	if update != nil {
		relation = update.Relation
		p.plan.ReturnsRows = len(update.ReturningList) > p.plan.Checks
	} else {
		relation = del.Relation
		p.plan.ReturnsRows = len(del.ReturningList) > 0
	}
	if currentOf(p.stmt.Tree) != nil && !p.nested {
		if table := p.target(relation); table != nil {
			p.plan.Writes = true
			return p.finish(&Utility{Kind: UtilityCurrentOf}, RungUtility), nil
		}
	}
	table, kind, err := p.writeTarget(relation)
	if err != nil {
		return nil, err
	}
	switch {
	case table == nil && kind == readsCoordinator:
		return p.onCoordinator(p.stmt.Tree)
	case table == nil:
		return p.changeWith(nil, relation)
	case table.Kind == catalog.Reference:
		return p.changeWith(table, relation)
	}
	q := changeQueryOf(p.stmt.Tree, relation)
	if b, err := p.bindReturning(relation, q.sel.FromClause[1:]); err == nil && p.returnsOnCoordinator(b) {
		if err := q.withoutWith(p); err != nil {
			return nil, err
		}
		return p.returnApart(relation, q.sel.FromClause[1:])
	}
	if update != nil {
		if !singleShard(table) {
			p.dropUnchangedKey(update, table)
			if setsColumn(update, table.Columns[table.DistColumn].Name) {
				return p.moveRows(update, table)
			}
		}
		if drawsDefault(update, table) {
			if err := q.withoutWith(p); err != nil {
				return nil, err
			}
			return p.changeByRow(table, q, "the next values of a sequence")
		}
	}
	return p.changeShards(table, relation)
}

// currentOf gives the WHERE CURRENT OF of an UPDATE or DELETE, nil if it has none.
func currentOf(tree *sql.Node) *sql.CurrentOfExpr {
	if update := tree.GetUpdateStmt(); update != nil {
		return update.WhereClause.GetCurrentOfExpr()
	}
	return tree.GetDeleteStmt().GetWhereClause().GetCurrentOfExpr()
}

// drawsDefault tells whether an UPDATE sets a column to a default that differs from row to row.
func drawsDefault(update *sql.UpdateStmt, table *catalog.Relation) bool {
	for _, item := range update.TargetList {
		for _, c := range table.Columns {
			if t := item.GetResTarget(); c.Name == t.Name && t.Val.GetSetToDefault() != nil && (c.Sequence != nil || c.Volatile && table.Kind == catalog.Reference) {
				return true
			}
		}
	}
	return false
}

// changeQuery is the query whose rows an UPDATE or DELETE changes. It shares the statement's nodes, so that running parts of it
// first changes the statement.
type changeQuery struct {
	sel      *sql.SelectStmt
	update   *sql.UpdateStmt
	delete   *sql.DeleteStmt
	relation *sql.Node
}

func changeQueryOf(tree *sql.Node, relation *sql.RangeVar) *changeQuery {
	q := &changeQuery{update: tree.GetUpdateStmt(), delete: tree.GetDeleteStmt()}
	q.relation = &sql.Node{Node: sql.RangeVarNode(relation)}
	q.sel = sql.Select(nil, []*sql.Node{q.relation}, nil)
	if q.update != nil {
		q.sel.FromClause = append(q.sel.FromClause, q.update.FromClause...)
		q.sel.WhereClause, q.sel.WithClause = q.update.WhereClause, q.update.WithClause
		q.sel.TargetList = append(append(q.sel.TargetList, q.update.TargetList...), q.update.ReturningList...)
	} else {
		q.sel.FromClause = append(q.sel.FromClause, q.delete.UsingClause...)
		q.sel.WhereClause, q.sel.WithClause = q.delete.WhereClause, q.delete.WithClause
		q.sel.TargetList = append(q.sel.TargetList, q.delete.ReturningList...)
	}
	return q
}

// withoutWith takes the statement's WITH clause out.
func (q *changeQuery) withoutWith(p *planner) error {
	if !hasWith(q.sel) {
		return nil
	}
	if recursiveWith(q.sel) {
		return sql.Unsupported("a recursive WITH query in a write to distributed tables is not supported", "",
			"Keep the recursive query's rows in a temporary table first.")
	}
	p.rewritten = true
	if err := p.eliminateWith(q.sel, nil); err != nil {
		return err
	}
	if q.update != nil {
		q.update.WithClause = nil
	} else {
		q.delete.WithClause = nil
	}
	return nil
}

// changeShards plans an UPDATE or DELETE of a distributed table: on one shard group, or on each.
func (p *planner) changeShards(table *catalog.Relation, relation *sql.RangeVar) (*Plan, error) {
	q := changeQueryOf(p.stmt.Tree, relation)
	p.changing = q.relation
	for step := 0; step < maxSteps; step++ {
		if step == 0 && modifyingWith(q.sel) {
			if err := q.withoutWith(p); err != nil {
				return nil, err
			}
		}
		b, err := p.bindSelect(q.sel, nil)
		if err != nil {
			return nil, err
		}
		if step == 0 {
			if value, colocation, ok := p.pinned(b); ok {
				g := &Gather{Pruning: Pruning{Colocation: colocation, Keys: []Value{value}}, Writes: true}
				marks, spliced := p.tableMarks(p.stmt.Tree)
				if spliced && !p.rewritten {
					g.SQL = p.splice(marks)
				} else if g.SQL, err = p.template(p.stmt.Tree); err != nil {
					return nil, err
				}
				return p.finish(g, RungRouter), nil
			}
			p.why("router", "the statement is not tied to one value of the distribution column")
			if hasWith(q.sel) {
				if err := q.withoutWith(p); err != nil {
					return nil, err
				}
				continue
			}
		}
		p.rewritten = true
		if p.timeBelow(p.stmt.Tree) {
			if err := p.readTimeOnce(p.stmt.Tree); err != nil {
				return nil, err
			}
			continue
		}
		p.countFilters(b)
		blocked := p.changeBlocked(b)
		if blocked == nil {
			s := p.fromSpread(b, nil)
			g := &Gather{Pruning: p.pruning(b, s), Writes: true}
			if g.SQL, err = p.template(p.stmt.Tree); err != nil {
				return nil, err
			}
			return p.finish(g, p.rungOf(g)), nil
		}
		if blocked.rel != nil && blocked.rel.node == q.relation {
			// The target stays where it is: what it is joined with comes to it.
			if blocked = p.otherSide(b, q.relation, blocked); blocked == nil {
				return nil, sql.Unsupported("the statement cannot be distributed", "Table "+sql.QuoteIdentifier(table.Name)+" is joined in a way that spans shards.", "")
			}
		}
		p.why("pushdown", blocked.reason)
		if !blocked.inside() {
			return p.changeByRow(table, q, blocked.reason)
		}
		if err := p.runFirst(b, blocked); err != nil {
			return nil, err
		}
	}
	return nil, sql.Unsupported("the statement has too many parts", "", "")
}

// changeBlocked tells why an UPDATE or DELETE cannot run shard by shard.
func (p *planner) changeBlocked(b *block) *blocker {
	s := p.fromSpread(b, nil)
	if s.blocked != nil {
		return s.blocked
	}
	if blocked := p.sublinksBlocked(b, s, nil); blocked != nil {
		return blocked
	}
	if p.anyNeedsCoordinator(b) {
		return &blocker{reason: "a function that must run on the coordinator"}
	}
	return nil
}

// otherSide chooses what to run first when the target itself is what blocks.
func (p *planner) otherSide(b *block, target *sql.Node, blocked *blocker) *blocker {
	for i := len(b.rels) - 1; i >= 0; i-- {
		r := b.rels[i]
		if r.node != target && (p.relHashed(r) || r.kind == relLocal) {
			return &blocker{reason: blocked.reason, rel: r}
		}
	}
	return nil
}

// changeWith plans an UPDATE or DELETE of a reference or local table that reads other tables: what is distributed or local to the
// coordinator runs first.
func (p *planner) changeWith(table *catalog.Relation, relation *sql.RangeVar) (*Plan, error) {
	q := changeQueryOf(p.stmt.Tree, relation)
	p.changing = q.relation
	if err := q.withoutWith(p); err != nil {
		return nil, err
	}
	if table != nil {
		if err := p.readTimeOnce(p.stmt.Tree); err != nil {
			return nil, err
		}
	}
	for step := 0; step < maxSteps; step++ {
		b, err := p.bindSelect(q.sel, nil)
		if err != nil {
			return nil, err
		}
		p.countFilters(b)
		blocked := p.replicatedBlocked(b, q.relation, table == nil)
		if blocked == nil {
			break
		}
		p.rewritten = true
		if err := p.runFirst(b, blocked); err != nil {
			return nil, err
		}
	}
	if table == nil {
		t, err := p.template(p.stmt.Tree)
		if err != nil {
			return nil, err
		}
		return p.finish(&Coordinator{SQL: t}, RungRecursive), nil
	}
	if p.volatileBelow(p.stmt.Tree) || q.update != nil && drawsDefault(q.update, table) {
		return p.changeByRow(table, q, "values that each node would compute for itself")
	}
	p.rewritten = true
	t, err := p.template(p.stmt.Tree)
	if err != nil {
		return nil, err
	}
	return p.finish(&ReferenceWrite{SQL: t}, RungPushdown), nil
}

// replicatedBlocked finds a FROM item or subquery that a statement over local or reference tables cannot read where it runs.
func (p *planner) replicatedBlocked(b *block, target *sql.Node, localToo bool) *blocker {
	for _, r := range b.rels {
		if r.node == target {
			continue
		}
		if p.relHashed(r) || !localToo && (r.kind == relLocal || r.kind == relSubquery && p.blockNeedsCoordinator(r.block)) {
			return &blocker{reason: "rows that the target's nodes do not have", rel: r}
		}
	}
	return p.linkBlocked(b, localToo)
}

// linkBlocked finds a subquery of an expression that a statement over local or reference tables cannot evaluate where it runs.
func (p *planner) linkBlocked(b *block, localToo bool) *blocker {
	for _, link := range b.sublinks {
		if !p.blockHashed(link.block) && (localToo || !p.blockNeedsCoordinator(link.block)) {
			continue
		}
		if len(link.block.outer) == 0 {
			return &blocker{reason: "rows that the target's nodes do not have", link: link}
		}
		return p.firstInside(link)
	}
	return nil
}
