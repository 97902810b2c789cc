package plan

import (
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// query plans an INSERT whose rows come from a query (or from VALUES that must be evaluated on the coordinator): within shards
// where the rows already lie on their target's shards, else by collecting the rows first.
func (i *insertion) query() (*Plan, error) {
	p := i.p
	source := i.stmt.SelectStmt.GetSelectStmt()
	if i.rows != nil {
		source = i.rowsAsQuery()
	} else if i.distributed() && len(i.filled) == 0 && len(i.drawn) == 0 {
		if plan, ok, err := i.withinShards(source); ok || err != nil {
			return plan, err
		}
	}
	if i.table != nil {
		source = i.withDrawn(i.withFilled(source))
	}
	p.rewritten = true
	if p.blockReads(source) {
		if err := p.readTimeOnce(source); err != nil {
			return nil, err
		}
	}
	index, err := p.subplan(source, "rows to be inserted")
	if err != nil {
		return nil, err
	}
	all := append(append([]int{}, i.columns...), i.filled...)
	alias := &sql.Alias{Aliasname: "rows"}
	var targets []*sql.Node
	read := sql.Table("", intermediateName(index), "rows")
	if i.table == nil {
		targets = []*sql.Node{sql.Target("", sql.Star("rows"))}
	} else {
		given := i.stmt.Cols
		i.stmt.Cols = nil
		for at, n := range all {
			column := i.table.Columns[n]
			name := "c" + itoa(at+1)
			alias.Colnames = append(alias.Colnames, sql.StringNodes(name)...)
			expr := sql.Column("rows", name)
			if i.isPart(given, at) {
				i.stmt.Cols = append(i.stmt.Cols, given[at])
				targets = append(targets, sql.Target("", expr))
				continue
			}
			i.stmt.Cols = append(i.stmt.Cols, sql.Target(column.Name, nil))
			targets = append(targets, sql.Target("", p.columnCast(expr, column)))
		}
		for n := range i.drawn {
			alias.Colnames = append(alias.Colnames, sql.StringNodes("new "+itoa(n+1))...)
		}
		read.GetRangeVar().Alias = alias
		i.readDrawn(index, alias)
	}
	i.stmt.SelectStmt = sql.SelectNode(sql.Select(targets, []*sql.Node{read}, nil))
	t, err := p.template(p.stmt.Tree)
	if err != nil {
		return nil, err
	}
	if i.table == nil || i.table.Kind == catalog.Local {
		return p.finish(&Coordinator{SQL: t}, RungRecursive), nil
	}
	if i.table.Kind == catalog.Reference {
		return p.insertReference(i.stmt, i.table)
	}
	plan := &InsertRows{SQL: t, From: index, Colocation: i.table.ColocationID}
	if singleShard(i.table) {
		plan.KeyColumn = NoKey
	}
	for at, n := range all {
		if n == i.table.DistColumn {
			plan.KeyColumn = at
		}
	}
	return p.finish(plan, RungRecursive), nil
}

// isPart tells whether a column of the source is for a field or an element of the table's column only.
func (i *insertion) isPart(given []*sql.Node, at int) bool {
	return at < len(given) && len(given[at].GetResTarget().Indirection) > 0
}

// rowsAsQuery turns VALUES into a query that evaluates each value once, as its column's type.
func (i *insertion) rowsAsQuery() *sql.SelectStmt {
	values := sql.Select(nil, nil, nil)
	for _, row := range i.rows {
		var items []*sql.Node
		for at, e := range row {
			var column *catalog.Column
			if i.table != nil && at < len(i.columns) && !i.isPart(i.stmt.Cols, at) {
				column = &i.table.Columns[i.columns[at]]
			}
			e = sql.Clone(e)
			if column != nil {
				if e.GetSetToDefault() != nil {
					e = i.p.defaultExpr(*column)
				}
				e = i.p.columnCast(e, *column)
			}
			items = append(items, e)
		}
		if len(i.rows) == 1 {
			// One row of VALUES is a SELECT, in which functions may return sets.
			for n, e := range items {
				values.TargetList = append(values.TargetList, sql.Target("column"+itoa(n+1), e))
			}
			return values
		}
		values.ValuesLists = append(values.ValuesLists, sql.ListNode(items))
	}
	if len(i.columns) == 0 && i.table != nil { // DEFAULT VALUES
		return sql.Select(nil, nil, nil)
	}
	return values
}

// defaultExpr is a column's default as an expression for the coordinator. What it draws from a sequence there, the session must know.
func (p *planner) defaultExpr(c catalog.Column) *sql.Node {
	if c.Sequence != nil {
		p.plan.Sticky = true
		return sql.Call([]string{"pg_catalog", "nextval"}, sql.Cast(sql.Text(sequenceName(c)), "pg_catalog", "regclass"))
	}
	if c.Default != "" {
		if stmts, err := sql.Parse("SELECT " + c.Default); err == nil && len(stmts) == 1 {
			clearLocations(stmts[0].Tree)
			return stmts[0].Tree.GetSelectStmt().TargetList[0].GetResTarget().Val
		}
	}
	return sql.Null()
}

// withFilled adds the columns that must be drawn here (sequences, a default of the distribution column) to the source's rows.
func (i *insertion) withFilled(source *sql.SelectStmt) *sql.SelectStmt {
	if len(i.filled) == 0 {
		return source
	}
	var targets []*sql.Node
	var from []*sql.Node
	if len(source.TargetList) > 0 || len(source.ValuesLists) > 0 || source.Op != sql.SetopNone {
		targets = append(targets, sql.Target("", sql.Star("source")))
		alias := &sql.Alias{Aliasname: "source"} // with names of its columns, which need not have different ones
		for at := range i.columns {
			alias.Colnames = append(alias.Colnames, sql.StringNodes("c"+itoa(at+1))...)
		}
		from = []*sql.Node{sql.Subquery(source, alias, false)}
	}
	for _, n := range i.filled {
		column := i.table.Columns[n]
		targets = append(targets, sql.Target(column.Name, i.p.defaultExpr(column)))
	}
	return sql.Select(targets, from, nil)
}

// withinShards plans INSERT … SELECT shard by shard, if each row's target shard is where the row comes from.
func (i *insertion) withinShards(source *sql.SelectStmt) (*Plan, bool, error) {
	p := i.p
	keyAt := -1
	for at, n := range i.columns {
		if n == i.table.DistColumn {
			keyAt = at
		}
	}
	if singleShard(i.table) {
		return i.withinOneShard(source)
	}
	if keyAt < 0 || hasWith(source) || len(source.LockingClause) > 0 {
		return nil, false, nil
	}
	b, err := p.bindSelect(source, nil)
	if err != nil {
		return nil, false, err
	}
	if b.complex || !p.blockHashed(b) {
		return nil, false, nil
	}
	s, keys := p.blockSpread(b, nil)
	if sure, ok := keys[keyAt]; s.blocked != nil || !s.hashed || !ok || !sure || s.colocation != i.table.ColocationID ||
		!p.sameHash(b.outputs[keyAt].typ, i.table.Columns[i.table.DistColumn].TypeOID) {
		return nil, false, nil
	}
	t, err := p.template(p.stmt.Tree)
	if err != nil {
		return nil, false, err
	}
	g := &Gather{SQL: t, Pruning: p.pruning(b, s), Writes: true}
	return p.finish(g, p.rungOf(g)), true, nil
}

// withinOneShard plans INSERT … SELECT into a table of one shard whose source reads tables of the same shard group only.
func (i *insertion) withinOneShard(source *sql.SelectStmt) (*Plan, bool, error) {
	p := i.p
	b, err := p.bindSelect(source, nil)
	if err != nil {
		return nil, false, err
	}
	value, colocation, ok := p.pinned(b)
	if !ok || colocation != i.table.ColocationID {
		return nil, false, nil
	}
	t, err := p.template(p.stmt.Tree)
	if err != nil {
		return nil, false, err
	}
	return p.finish(&Gather{SQL: t, Pruning: Pruning{Colocation: colocation, Keys: []Value{value}}, Writes: true}, RungRouter), true, nil
}

// lengthOne are the types whose bare names in SQL mean a length of one; the assignment casts to them well enough.
var lengthOne = map[uint32]bool{bpcharOID: true, bitOID: true, charOID: true}

// columnCast casts an expression to a column's type. Lengths of strings are left to the assignment, which complains where a cast
// would cut off; precisions are applied, as the assignment would.
func (p *planner) columnCast(e *sql.Node, c catalog.Column) *sql.Node {
	t := p.catalog.Types[c.TypeOID]
	if t == nil || lengthOne[c.TypeOID] {
		return e
	}
	cast := sql.Cast(e, t.Schema, t.Name)
	for _, m := range typeModifiers(c) {
		cast.GetTypeCast().TypeName.Typmods = append(cast.GetTypeCast().TypeName.Typmods, sql.Integer(m))
	}
	return cast
}

// typeModifiers decodes the precision of a number or time column from pg_attribute.atttypmod.
func typeModifiers(c catalog.Column) []int {
	if c.TypMod < 0 {
		return nil
	}
	switch c.TypeOID {
	case numericOID:
		mod := int(c.TypMod) - 4
		scale := mod & 0x7ff
		return []int{mod >> 16 & 0xffff, (scale ^ 1024) - 1024}
	case timestampOID, timestamptzOID, timeOID:
		return []int{int(c.TypMod)}
	}
	return nil
}

// blockReads tells whether a query reads distributed tables.
func (p *planner) blockReads(sel *sql.SelectStmt) bool {
	b, err := p.bindSelect(sql.Clone(sel), nil)
	return err == nil && p.blockHashed(b)
}
