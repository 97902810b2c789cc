package plan

import (
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// mergeStatement plans MERGE. Into a distributed table each source row goes to the shard that its join condition names: by an
// equality of the target's distribution column and a source column. If the source's rows lie there already, each shard merges its
// own; else they are collected and sent there.
func (p *planner) mergeStatement() (*Plan, error) {
	merge := p.stmt.Tree.GetMergeStmt()
	p.plan.ReturnsRows = len(merge.ReturningList) > 0
	table, kind, err := p.writeTarget(merge.Relation)
	if err != nil {
		return nil, err
	}
	if table == nil && kind == readsCoordinator {
		return p.onCoordinator(p.stmt.Tree)
	}
	p.rewritten = true
	if err := p.mergeWith(merge); err != nil {
		return nil, err
	}
	if err := p.readTimeOnce(p.stmt.Tree); err != nil {
		return nil, err
	}
	if table != nil && table.Kind == catalog.Distributed {
		return p.mergeShards(merge, table)
	}
	if err := p.mergeActionsFirst(merge, table == nil); err != nil {
		return nil, err
	}
	if _, err := p.mergeSourceFirst(merge); err != nil {
		return nil, err
	}
	t, err := p.template(p.stmt.Tree)
	if err != nil {
		return nil, err
	}
	if table == nil {
		return p.finish(&Coordinator{SQL: t}, RungRecursive), nil
	}
	if p.volatileBelow(p.stmt.Tree) || p.mergeFillsSequence(merge, table) {
		return nil, errMerge("Each node would compute values of its own for its copy of " + sql.QuoteIdentifier(table.Name) + ".")
	}
	return p.finish(&ReferenceWrite{SQL: t}, RungRecursive), nil
}

func errMerge(why string) error {
	return sql.Unsupported("this MERGE is not supported on distributed and reference tables", why,
		"Use INSERT … ON CONFLICT, or UPDATE and INSERT in one transaction.")
}

// mergeWith puts the WITH queries of a MERGE in their places.
func (p *planner) mergeWith(merge *sql.MergeStmt) error {
	if merge.WithClause == nil {
		return nil
	}
	all := sql.Select(append([]*sql.Node{}, merge.ReturningList...), []*sql.Node{merge.SourceRelation}, merge.JoinCondition)
	all.TargetList = append(all.TargetList, merge.MergeWhenClauses...)
	all.WithClause, merge.WithClause = merge.WithClause, nil
	return p.eliminateWith(all, nil)
}

// mergeActionsFirst runs uncorrelated subqueries of a MERGE's actions and conditions first, where its nodes could not.
func (p *planner) mergeActionsFirst(merge *sql.MergeStmt, local bool) error {
	var failed error
	lists := append(append([]*sql.Node{}, merge.MergeWhenClauses...), merge.JoinCondition)
	for _, e := range append(lists, merge.ReturningList...) {
		sql.Walk(e, func(m proto.Message) bool {
			n, ok := m.(*sql.Node)
			if !ok || n.GetSubLink() == nil || failed != nil {
				return failed == nil
			}
			b, err := p.bindSelect(n.GetSubLink().Subselect.GetSelectStmt(), nil)
			switch {
			case err != nil:
				failed = err
			case !p.blockHashed(b) && (local || !b.complex && !p.blockNeedsCoordinator(b)):
			case b.complex:
				failed = errMerge("A subquery in it depends on the rows that are merged.")
			default:
				failed = p.runLinkFirst(&sublink{node: n.GetSubLink(), wrapper: n, block: b}, "a subquery of MERGE")
			}
			return false
		})
	}
	return failed
}

// mergeSourceFirst runs the source first and reads its rows in its place.
func (p *planner) mergeSourceFirst(merge *sql.MergeStmt) (index int, err error) {
	source := sql.Clone(merge.SourceRelation)
	b, err := p.bindSelect(sql.Select(nil, []*sql.Node{source}, nil), nil)
	if err != nil {
		return 0, err
	}
	if len(b.rels) != 1 {
		return 0, errMerge("Its source is a join.")
	}
	query := sql.Select([]*sql.Node{sql.Target("", sql.Star(""))}, []*sql.Node{source}, nil)
	if index, err = p.subplan(query, "rows to be merged"); err != nil {
		return 0, err
	}
	merge.SourceRelation.Node = readIntermediate(index, &sql.Alias{Aliasname: b.rels[0].alias}).Node
	return index, nil
}

// mergeShards plans a MERGE into a distributed table.
func (p *planner) mergeShards(merge *sql.MergeStmt, table *catalog.Relation) (*Plan, error) {
	if err := p.mergeActionsFirst(merge, false); err != nil {
		return nil, err
	}
	target := sql.TableNode(merge.Relation)
	b, err := p.bindSelect(sql.Select(nil, []*sql.Node{target, merge.SourceRelation}, merge.JoinCondition), nil)
	if err != nil {
		return nil, err
	}
	if len(b.rels) != 2 || b.complex {
		return nil, errMerge("Its source is a join.")
	}
	if singleShard(table) {
		return p.mergeOneShard(merge, table, b)
	}
	key := columnID{b.rels[0], table.DistColumn}
	c := p.classesOf(b, b.where, nil)
	source := -1
	for col := range b.rels[1].columns {
		if c.same(key, columnID{b.rels[1], col}) {
			source = col
			break
		}
	}
	if source < 0 {
		return nil, errMerge("Its ON condition does not compare distribution column " + sql.QuoteIdentifier(table.Columns[table.DistColumn].Name) + " with a column of the source.")
	}
	if err := p.mergeKeepsKey(merge, table, b, c, key); err != nil {
		return nil, err
	}
	if p.exprNeedsCoordinator(p.stmt.Tree) {
		return nil, errMerge("It calls a function that must run on the coordinator.")
	}
	if s := p.fromSpread(b, nil); s.blocked == nil && p.relHashed(b.rels[1]) {
		t, err := p.template(p.stmt.Tree)
		return p.finish(&Gather{SQL: t, Pruning: Pruning{Colocation: table.ColocationID, All: true}, Writes: true}, RungPushdown), err
	}
	index, err := p.mergeSourceFirst(merge)
	if err != nil {
		return nil, err
	}
	t, err := p.template(p.stmt.Tree)
	if err != nil {
		return nil, err
	}
	p.moved = true
	return p.finish(&InsertRows{SQL: t, From: index, KeyColumn: source, Colocation: table.ColocationID}, RungRecursive), nil
}

// mergeOneShard plans a MERGE into a table of one shard: all rows of the source go there.
func (p *planner) mergeOneShard(merge *sql.MergeStmt, table *catalog.Relation, b *block) (*Plan, error) {
	if p.exprNeedsCoordinator(p.stmt.Tree) {
		return nil, errMerge("It calls a function that must run on the coordinator.")
	}
	if p.mergeFillsSequence(merge, table) {
		return nil, errMerge("It leaves a serial or identity column to its sequence.")
	}
	if s := p.fromSpread(b, nil); s.blocked != nil {
		if _, err := p.mergeSourceFirst(merge); err != nil {
			return nil, err
		}
	}
	t, err := p.template(p.stmt.Tree)
	pruning := Pruning{Colocation: table.ColocationID, Keys: []Value{{Kind: ValueNone}}}
	return p.finish(&Gather{SQL: t, Pruning: pruning, Writes: true}, RungRouter), err
}

// mergeKeepsKey sees to it that no action puts a row where it does not belong: updates leave the distribution column alone, and
// inserts give it the value by which the source row came to its shard.
func (p *planner) mergeKeepsKey(merge *sql.MergeStmt, table *catalog.Relation, b *block, c *classes, key columnID) error {
	name := table.Columns[table.DistColumn].Name
	for _, item := range merge.MergeWhenClauses {
		when := item.GetMergeWhenClause()
		switch {
		case when.MatchKind == sql.MergeNotMatchedBySource:
			return errMerge("WHEN NOT MATCHED BY SOURCE needs all of the source's rows on every shard.")
		case when.CommandType == sql.CommandUpdate:
			for _, t := range when.TargetList {
				if t.GetResTarget().GetName() == name {
					return errMerge("It updates distribution column " + sql.QuoteIdentifier(name) + ".")
				}
			}
		case when.CommandType == sql.CommandInsert:
			if p.mergeFillsSequence(merge, table) {
				return errMerge("It leaves a serial or identity column to its sequence.")
			}
			at := -1
			for i, t := range when.TargetList {
				if t.GetResTarget().GetName() == name {
					at = i
				}
			}
			if len(when.TargetList) == 0 {
				at = table.DistColumn
			}
			if at < 0 || at >= len(when.Values) {
				return errMerge("It inserts rows without distribution column " + sql.QuoteIdentifier(name) + ".")
			}
			if id, ok := b.column(when.Values[at]); !ok || !c.same(id, key) {
				return errMerge("It inserts another value of distribution column " + sql.QuoteIdentifier(name) + " than the ON condition compares.")
			}
		}
	}
	return nil
}

// mergeFillsSequence tells whether an INSERT action leaves a column to a sequence.
func (p *planner) mergeFillsSequence(merge *sql.MergeStmt, table *catalog.Relation) bool {
	for _, item := range merge.MergeWhenClauses {
		when := item.GetMergeWhenClause()
		if when.CommandType != sql.CommandInsert {
			continue
		}
		given := map[string]bool{}
		for i, t := range when.TargetList {
			given[t.GetResTarget().GetName()] = i < len(when.Values) && when.Values[i].GetSetToDefault() == nil
		}
		for i, c := range table.Columns {
			inOrder := len(when.TargetList) == 0 && i < len(when.Values) && when.Values[i].GetSetToDefault() == nil
			if c.Sequence != nil && !given[c.Name] && !inOrder {
				return true
			}
		}
	}
	return false
}
