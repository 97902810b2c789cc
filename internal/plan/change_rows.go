package plan

import (
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// changeByRow plans an UPDATE or DELETE that holds what only the coordinator may evaluate, or what the copies of a reference table
// would each evaluate for themselves: its rows are found and locked first, together with the values that they are to get, and then
// each is changed where it lies. A row of a shard is known by its ctid, one of a reference table by its primary key, or else by all that
// it holds.
func (p *planner) changeByRow(table *catalog.Relation, q *changeQuery, why string) (*Plan, error) {
	refuse := func(reason string) (*Plan, error) {
		return nil, sql.Unsupported("the statement cannot be distributed", "It needs "+why+", and "+reason+".", "Compute the values first.")
	}
	target := q.relation.GetRangeVar()
	name := target.Relname
	if target.Alias != nil {
		name = target.Alias.Aliasname
	}
	identity := []string{"ctid"}
	byContent := table.Kind == catalog.Reference && len(table.PrimaryKey) == 0
	switch {
	case table.Kind == catalog.Reference && !byContent:
		identity = nil
		for _, n := range table.PrimaryKey {
			identity = append(identity, table.Columns[n].Name)
		}
	case table.RelKind == 'p' || table.Inherited:
		return refuse("table " + sql.QuoteIdentifier(table.Name) + " has partitions")
	}
	b, err := p.bindReturning(target, q.sel.FromClause[1:])
	switch {
	case err != nil:
		return nil, err
	case len(b.sublinks) > 0 && table.Kind == catalog.Distributed && !p.nested:
		return p.returnApart(target, q.sel.FromClause[1:])
	case b.complex || b.unknownWidth || len(b.sublinks) > 0 || p.anyNeedsCoordinator(b):
		return refuse("RETURNING asks for more than columns of the tables")
	}
	find := sql.Select(nil, q.sel.FromClause, q.sel.WhereClause)
	add := func(e *sql.Node) *sql.Node {
		column := "new " + itoa(len(find.TargetList)+1)
		find.TargetList = append(find.TargetList, sql.Target(column, e))
		return sql.Column("new rows", column)
	}
	var same []*sql.Node
	if byContent {
		content, err := parsed("SELECT " + contentOf(table, name))
		if err != nil {
			return nil, err
		}
		same = []*sql.Node{
			sql.Operator(sql.Column("kept rows", contentColumn), "=", add(content.TargetList[0].GetResTarget().Val)),
			sql.Operator(sql.Column("kept rows", numberColumn), "=", sql.Column("new rows", numberColumn)),
			sql.Operator(sql.Column(name, "ctid"), "=", sql.Column("kept rows", placeColumn)),
		}
	}
	for _, column := range identity {
		found := add(sql.Column(name, column))
		if !byContent {
			same = append(same, sql.Operator(sql.Column(name, column), "=", found))
		}
	}
	keyAt := NoKey
	if table.Kind == catalog.Distributed && !singleShard(table) {
		keyAt = len(find.TargetList)
		add(sql.Column(name, table.Columns[table.DistColumn].Name))
	}
	if q.update != nil {
		for _, item := range q.update.TargetList {
			t := item.GetResTarget()
			c := table.Columns[columnNamed(table, t.Name)]
			e := t.Val
			if from := e.GetMultiAssignRef(); from != nil {
				row := from.Source.GetRowExpr().GetArgs()
				if len(row) != int(from.Ncolumns) {
					return refuse("it assigns several columns from one subquery")
				}
				e = row[from.Colno-1]
			}
			switch {
			case e.GetSetToDefault() != nil && (c.Sequence != nil || c.Volatile):
				e = p.defaultExpr(c)
			case e.GetSetToDefault() != nil:
				continue
			}
			if len(t.Indirection) == 0 {
				e = p.columnCast(e, c)
			}
			t.Val = add(e)
		}
	}
	list, ok := found(b, target, add)
	if !ok {
		return refuse("RETURNING asks for whole rows of other tables")
	}
	*returningListOf(p.stmt.Tree) = list
	find.LockingClause = []*sql.Node{sql.ForUpdate(name)}
	index, err := p.subplan(find, "the rows to be changed, with "+why)
	if err != nil {
		return nil, err
	}
	from := []*sql.Node{sql.Table("", intermediateName(index), "new rows")}
	if byContent {
		rows, err := numberedRows(index, "new rows", "new 1", "new 2")
		if err != nil {
			return nil, err
		}
		copies, err := copiesOf(table, target, "kept rows")
		if err != nil {
			return nil, err
		}
		from = []*sql.Node{rows, copies}
	}
	if q.update != nil {
		q.update.FromClause, q.update.WhereClause = from, sql.And(same...)
	} else {
		q.delete.UsingClause, q.delete.WhereClause = from, sql.And(same...)
	}
	p.rewritten = true
	t, err := p.template(p.stmt.Tree)
	if err != nil {
		return nil, err
	}
	if table.Kind == catalog.Reference {
		return p.finish(&ReferenceWrite{SQL: t, ByContent: byContent}, RungRecursive), nil
	}
	return p.finish(&InsertRows{SQL: t, From: index, KeyColumn: keyAt, Colocation: table.ColocationID}, RungRecursive), nil
}

// columnNamed gives the index of a column; PostgreSQL has checked that there is one, or will say that there is none.
func columnNamed(table *catalog.Relation, name string) int {
	for i, c := range table.Columns {
		if c.Name == name {
			return i
		}
	}
	return 0
}

// found writes a RETURNING list out, bound as b's outputs, with what it says of other tables than the target taken from the rows that
// were found: add makes a column of those and gives its name. ok is false where a whole row of another table is asked for.
func found(b *block, target *sql.RangeVar, add func(*sql.Node) *sql.Node) (list []*sql.Node, ok bool) {
	whole := false
	for _, o := range b.outputs {
		item := sql.Target(o.name, sql.Clone(o.expr))
		sql.Walk(item, func(m proto.Message) bool {
			n, ok := m.(*sql.Node)
			if !ok || n.GetColumnRef() == nil {
				return true
			}
			names := sql.Strings(n.GetColumnRef().Fields)
			id, _, ok := b.lookup(names)
			switch r, _ := b.lookupRel(names[len(names)-1]); {
			case ok && id.rel.node.GetRangeVar() != target:
				n.Node = add(sql.Clone(n)).Node
			case !ok && (r == nil || r.node.GetRangeVar() != target):
				whole = true
			}
			return false
		})
		list = append(list, item)
	}
	return list, !whole
}
