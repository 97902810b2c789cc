package plan

import (
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

func setsColumn(update *sql.UpdateStmt, column string) bool {
	for _, item := range update.TargetList {
		if item.GetResTarget().GetName() == column {
			return true
		}
	}
	return false
}

// dropUnchangedKey leaves out an assignment of the distribution column that changes nothing: to itself, or to the constant that
// WHERE ties it to, as clients write that save whole rows.
func (p *planner) dropUnchangedKey(update *sql.UpdateStmt, table *catalog.Relation) {
	if len(update.TargetList) < 2 || update.WithClause != nil {
		return
	}
	b, err := p.bindSelect(sql.Select(nil, append([]*sql.Node{sql.TableNode(update.Relation)}, update.FromClause...), update.WhereClause), nil)
	if err != nil {
		return
	}
	key := columnID{b.rels[0], table.DistColumn}
	c := p.classesOf(b, b.where, nil)
	for i, item := range update.TargetList {
		target := item.GetResTarget()
		if target.Name != table.Columns[table.DistColumn].Name || len(target.Indirection) > 0 {
			continue
		}
		id, isColumn := b.column(target.Val)
		unchanged := isColumn && id == key
		if v, ok := p.constant(target.Val, key.typ()); ok && !isColumn {
			for _, tied := range c.values[c.root(key)] {
				unchanged = unchanged || p.sameConstant(v, tied)
			}
		}
		if unchanged {
			update.TargetList = append(update.TargetList[:i:i], update.TargetList[i+1:]...)
			p.rewritten = true
			return
		}
	}
}

// sameConstant tells whether two values are equal whatever is bound to the statement. What that takes of its literals becomes part
// of the plan.
func (p *planner) sameConstant(a, b Value) bool {
	if a.Kind == ValueParam && b.Kind == ValueParam {
		return a.Index == b.Index
	}
	if a.Kind != ValueLiteral || b.Kind != ValueLiteral || a.Negative != b.Negative {
		return false
	}
	la, lb := p.literals[a.Index], p.literals[b.Index]
	if p.stmt.Text[la.Start:la.End] != p.stmt.Text[lb.Start:lb.End] {
		return false
	}
	p.modifiers = append(p.modifiers, a.Index, b.Index)
	return true
}

// moveRows plans an UPDATE of the distribution column: the rows are deleted where they are, returning what they are to become, and
// inserted where they now belong, in one transaction.
func (p *planner) moveRows(update *sql.UpdateStmt, table *catalog.Relation) (*Plan, error) {
	key := table.Columns[table.DistColumn].Name
	refuse := func(why string) (*Plan, error) {
		return nil, sql.Unsupported("modifying the distribution column is not supported here",
			"Column "+sql.QuoteIdentifier(key)+" decides which shard of "+sql.QuoteIdentifier(table.Name)+" holds a row, and "+why+".",
			"Delete the row and insert it with its new value, in one transaction.")
	}
	if table.Referenced {
		return refuse("foreign keys point at the table")
	}
	if table.HasTriggers {
		return refuse("the table has triggers")
	}
	name := update.Relation.Relname
	if update.Relation.Alias != nil {
		name = update.Relation.Alias.Aliasname
	}
	set := map[string]*sql.Node{}
	for _, item := range update.TargetList {
		target := item.GetResTarget()
		switch {
		case len(target.Indirection) > 0:
			return refuse("the statement assigns parts of columns")
		case target.Val.GetMultiAssignRef() != nil:
			from := target.Val.GetMultiAssignRef()
			row := from.Source.GetRowExpr().GetArgs()
			if len(row) != int(from.Ncolumns) {
				return refuse("the statement assigns several columns from one subquery")
			}
			set[target.Name] = row[from.Colno-1]
			continue
		}
		set[target.Name] = target.Val
	}
	var returning, targets, columns []*sql.Node
	alias := &sql.Alias{Aliasname: "rows"}
	keyAt := 0
	for n, c := range table.Columns {
		if c.Generated {
			continue
		}
		value := sql.Column(name, c.Name)
		if e := set[c.Name]; e != nil {
			if value = e; e.GetSetToDefault() != nil {
				value = p.defaultExpr(c)
			}
		}
		if n == table.DistColumn {
			keyAt = len(returning)
		}
		column := "c" + itoa(len(returning)+1)
		returning = append(returning, sql.Target(column, p.columnCast(value, c)))
		alias.Colnames = append(alias.Colnames, sql.StringNodes(column)...)
		columns = append(columns, sql.Target(c.Name, nil))
		targets = append(targets, sql.Target("", sql.Column("rows", column)))
	}
	if len(update.FromClause) > 0 && len(update.ReturningList) > 0 {
		return refuse("RETURNING may read other tables")
	}
	own := sql.Select(append([]*sql.Node{}, update.ReturningList...), []*sql.Node{sql.TableNode(sql.Clone(update.Relation))}, nil)
	if b, err := p.bindSelect(own, nil); err != nil || b.complex || len(b.sublinks) > 0 {
		return refuse("RETURNING reads other tables")
	}
	p.stmt.Tree = sql.DeleteNode(update.Relation, update.FromClause, update.WhereClause, returning, update.WithClause)
	p.rewritten = true
	plan, err := p.changeShards(table, p.stmt.Tree.GetDeleteStmt().Relation)
	if err != nil {
		return nil, err
	}
	taken, ok := plan.Root.(*Gather)
	if !ok {
		return refuse("its rows cannot be taken from their shards first")
	}
	taken.Reason = "rows that move to other shards"
	index := p.addSubplan(*taken, intermediate{columns: sql.Strings(alias.Colnames), types: make([]uint32, len(returning)), collations: make([]string, len(returning))})
	read := sql.Table("", intermediateName(index), "rows")
	read.GetRangeVar().Alias = alias
	target := sql.Clone(update.Relation)
	target.Alias = &sql.Alias{Aliasname: name}
	insert := &sql.InsertStmt{Relation: target, Cols: columns, ReturningList: update.ReturningList, Override: 1,
		SelectStmt: sql.SelectNode(sql.Select(targets, []*sql.Node{read}, nil))}
	t, err := p.template(&sql.Node{Node: sql.InsertNode(insert)})
	if err != nil {
		return nil, err
	}
	return p.finish(&InsertRows{SQL: t, From: index, KeyColumn: keyAt, Colocation: table.ColocationID, Moves: true}, RungRecursive), nil
}
