package plan

import (
	"strings"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// insertStatement plans INSERT.
func (p *planner) insertStatement() (*Plan, error) {
	insert := p.stmt.Tree.GetInsertStmt()
	p.plan.ReturnsRows = len(insert.ReturningList) > 0
	table, kind, err := p.writeTarget(insert.Relation)
	if err != nil {
		return nil, err
	}
	if table == nil && kind == readsCoordinator {
		return p.onCoordinator(p.stmt.Tree)
	}
	i := &insertion{p: p, stmt: insert, table: table}
	if table == nil {
		i.table = p.resolve(insert.Relation)
	} else if table.Kind == catalog.Reference && kind == readsCoordinator && !p.readsLocal(insert) {
		if err := i.runLinksFirst(); err != nil {
			return nil, err
		}
		return p.insertReference(insert, table)
	}
	if err := i.prepare(); err != nil {
		return nil, err
	}
	if err := i.runLinksFirst(); err != nil {
		return nil, err
	}
	if i.distributed() && !p.nested && i.simpleRows() {
		return i.values()
	}
	return i.query()
}

// readsLocal tells whether an INSERT's source needs the coordinator: it reads local tables or calls functions of its own.
func (p *planner) readsLocal(insert *sql.InsertStmt) bool {
	query := insert.SelectStmt.GetSelectStmt()
	if query == nil {
		return false
	}
	b, err := p.bindSelect(query, nil)
	return err != nil || p.blockNeedsCoordinator(b)
}

// insertion is an INSERT into a distributed table, or into another from a query over distributed tables.
type insertion struct {
	p       *planner
	stmt    *sql.InsertStmt
	table   *catalog.Relation // nil for a temporary table, which the catalog does not know
	columns []int             // of the table, in the order of the source's columns
	filled  []int             // columns that are added to the source: their sequence or default must be drawn here
	rows    [][]*sql.Node     // of VALUES
	parts   bool              // some columns are given by their fields or elements
}

func errParts(column string) error {
	return sql.Unsupported("inserting into parts of a column is not supported here on distributed tables",
		"Column "+sql.QuoteIdentifier(column)+" is given by its fields or elements.", "Give the whole value of the column.")
}

func (i *insertion) distributed() bool { return i.table != nil && i.table.Kind == catalog.Distributed }

func (i *insertion) prepare() error {
	if i.stmt.WithClause != nil {
		if err := i.withoutWith(); err != nil {
			return err
		}
	}
	if i.table == nil {
		return nil
	}
	if onConflict := i.stmt.OnConflictClause; onConflict != nil && i.distributed() {
		key := i.table.Columns[i.table.DistColumn].Name
		for _, t := range onConflict.TargetList {
			if target := t.GetResTarget(); target.GetName() == key && !isExcluded(target.Val, key) {
				return sql.Unsupported("modifying the distribution column is not supported",
					"Column "+sql.QuoteIdentifier(key)+" decides which shard of "+sql.QuoteIdentifier(i.table.Name)+" holds a row.", "")
			}
		}
	}
	byName := map[string]int{}
	for n, c := range i.table.Columns {
		byName[c.Name] = n
	}
	for _, item := range i.stmt.Cols {
		target := item.GetResTarget()
		n, ok := byName[target.Name]
		if !ok {
			return sql.Errorf("42703", "column %q of relation %q does not exist", target.Name, i.table.Name)
		}
		if len(target.Indirection) > 0 && i.table.Kind == catalog.Local {
			i.table = nil // its columns take the source's as they are
			return nil
		}
		if len(target.Indirection) > 0 {
			i.parts = true
			if i.distributed() && n == i.table.DistColumn {
				return errParts(target.Name)
			}
		}
		i.columns = append(i.columns, n)
	}
	query := i.stmt.SelectStmt.GetSelectStmt()
	width := 0
	switch {
	case query == nil: // DEFAULT VALUES
		i.rows = [][]*sql.Node{nil}
	case len(query.ValuesLists) > 0:
		for _, list := range query.ValuesLists {
			i.rows = append(i.rows, list.GetList().GetItems())
		}
		width = len(i.rows[0])
	default:
		b, err := i.p.bindSelect(sql.Clone(query), nil)
		if err != nil {
			return err
		}
		width = len(b.outputs)
	}
	if len(i.stmt.Cols) == 0 {
		for n := 0; n < width && n < len(i.table.Columns); n++ {
			i.columns = append(i.columns, n)
		}
	}
	given := map[int]bool{}
	for _, n := range i.columns {
		given[n] = true
	}
	if i.table.Kind == catalog.Local {
		return nil
	}
	overriding := i.stmt.Override.String() == "OVERRIDING_USER_VALUE"
	for n, c := range i.table.Columns {
		if c.Sequence != nil && overriding && given[n] && c.Identity != 0 {
			return sql.Unsupported("OVERRIDING USER VALUE is not supported on distributed tables", "", "Leave the identity column out of the INSERT.")
		}
		if given[n] || c.Generated {
			continue
		}
		if c.Sequence != nil || n == i.table.DistColumn && i.table.Kind == catalog.Distributed {
			i.filled = append(i.filled, n)
		}
	}
	i.stmt.Override = 1 // OVERRIDING_NOT_SET: shards have no identity columns
	return nil
}

// isExcluded tells whether an expression is excluded.column. Every unique key has the distribution column, so where two rows meet
// theirs are equal.
func isExcluded(e *sql.Node, column string) bool {
	names := sql.Strings(e.GetColumnRef().GetFields())
	return len(names) == 2 && names[0] == "excluded" && names[1] == column
}

// withoutWith puts the WITH queries of the INSERT itself in their places: its source, ON CONFLICT and RETURNING.
func (i *insertion) withoutWith() error {
	all := sql.Select(i.stmt.ReturningList, nil, nil)
	if i.stmt.SelectStmt.GetSelectStmt() != nil {
		all.FromClause = []*sql.Node{sql.Subquery(i.stmt.SelectStmt.GetSelectStmt(), &sql.Alias{Aliasname: "source"}, false)}
	}
	if c := i.stmt.OnConflictClause; c != nil {
		all.TargetList = append(append([]*sql.Node{}, all.TargetList...), c.TargetList...)
		all.WhereClause = c.WhereClause
	}
	all.WithClause, i.stmt.WithClause = i.stmt.WithClause, nil
	i.p.rewritten = true
	return i.p.eliminateWith(all, nil)
}

// simpleRows tells whether the rows are VALUES that each shard can evaluate for itself once, with a key that can be known without
// evaluating the row.
func (i *insertion) simpleRows() bool {
	if i.rows == nil {
		return false
	}
	for _, row := range i.rows {
		if len(row) != len(i.columns) {
			return false
		}
		for _, e := range row {
			if e.GetAConst() != nil || e.GetParamRef() != nil || e.GetSetToDefault() != nil {
				continue
			}
			if i.p.hasSubquery(e) || i.p.exprNeedsCoordinator(e) || i.p.returnsSet(e) {
				return false
			}
		}
		if _, ok := i.key(row); !ok {
			return false
		}
	}
	return true
}

func (p *planner) hasSubquery(e *sql.Node) bool {
	found := false
	sql.Walk(e, func(m proto.Message) bool {
		if n, ok := m.(*sql.Node); ok && n.GetSubLink() != nil {
			found = true
		}
		return !found
	})
	return found
}

// returnsSet tells whether an expression calls a set-returning function.
func (p *planner) returnsSet(e *sql.Node) bool {
	found := false
	sql.Walk(e, func(m proto.Message) bool {
		if n, ok := m.(*sql.Node); ok && n.GetFuncCall() != nil {
			for _, f := range p.overloads(sql.Strings(n.GetFuncCall().Funcname)) {
				found = found || f.ReturnsSet
			}
		}
		return !found
	})
	return found
}

// key gives the distribution value of a row.
func (i *insertion) key(row []*sql.Node) (Value, bool) {
	column := i.table.Columns[i.table.DistColumn]
	for at, n := range i.columns {
		if n != i.table.DistColumn {
			continue
		}
		if row[at].GetSetToDefault() != nil {
			return i.defaultKey(column)
		}
		v, ok := i.p.constant(row[at], column.TypeOID)
		if ok && len(typeModifiers(column)) > 0 {
			// The column rounds the value on its way in, so it is the rounded value that decides.
			t, err := i.p.template(i.p.columnCast(sql.Clone(row[at]), column))
			return Value{Kind: ValueSQL, SQL: t, Type: column.TypeOID}, err == nil
		}
		return v, ok
	}
	return i.defaultKey(column)
}

func (i *insertion) defaultKey(column catalog.Column) (Value, bool) {
	switch {
	case column.Sequence != nil:
		return Value{Kind: ValueSequence, Sequence: sequenceName(column), Type: column.TypeOID}, true
	case column.Default == "":
		return Value{Kind: ValueNull, Type: column.TypeOID}, true
	}
	return Value{}, false
}

func sequenceName(c catalog.Column) string {
	return sql.QuoteIdentifier(c.Sequence.Schema) + "." + sql.QuoteIdentifier(c.Sequence.Name)
}

// values plans INSERT … VALUES row by row.
func (i *insertion) values() (*Plan, error) {
	p := i.p
	plan := &InsertValues{Colocation: i.table.ColocationID}
	var filled []int
	for _, n := range i.filled {
		if i.table.Columns[n].Sequence != nil {
			filled = append(filled, n)
		}
	}
	names := make([]*sql.Node, 0, len(i.columns)+len(filled))
	if len(i.stmt.Cols) > 0 {
		names = append(names, i.stmt.Cols...)
	} else {
		for _, n := range i.columns {
			names = append(names, sql.Target(i.table.Columns[n].Name, nil))
		}
	}
	for _, n := range filled {
		names = append(names, sql.Target(i.table.Columns[n].Name, nil))
	}
	for _, row := range i.rows {
		key, _ := i.key(row)
		t := Template{{Kind: PieceText, Text: "("}}
		comma := ""
		for at, e := range row {
			t = append(t, Piece{Kind: PieceText, Text: comma})
			comma = ", "
			column := i.table.Columns[i.columns[at]]
			if e.GetSetToDefault() != nil && column.Sequence != nil {
				t = append(t, Piece{Kind: PieceSequence, Text: sequenceName(column)})
				continue
			}
			piece, err := i.expr(e)
			if err != nil {
				return nil, err
			}
			t = append(t, piece...)
		}
		for _, n := range filled {
			t = append(t, Piece{Kind: PieceText, Text: comma}, Piece{Kind: PieceSequence, Text: sequenceName(i.table.Columns[n])})
			comma = ", "
		}
		plan.Rows = append(plan.Rows, InsertRow{Key: key, SQL: append(t, Piece{Kind: PieceText, Text: ")"})})
	}
	shape := sql.Clone(i.stmt)
	shape.Cols = names
	const rows = "{{values}}"
	shape.SelectStmt = sql.ValuesNode([]*sql.Node{sql.Text(rows)})
	if len(names) == 0 {
		return i.query()
	}
	whole, err := p.template(&sql.Node{Node: sql.InsertNode(shape)})
	if err != nil {
		return nil, err
	}
	for at, piece := range whole {
		if before, after, ok := strings.Cut(piece.Text, "('"+rows+"')"); ok && piece.Kind == PieceText {
			plan.Head = append(append(Template{}, whole[:at]...), Piece{Kind: PieceText, Text: before})
			plan.Tail = append(Template{{Kind: PieceText, Text: after}}, whole[at+1:]...)
		}
	}
	rung := RungRouter
	if len(plan.Rows) > 1 {
		rung = RungPushdown
	}
	return p.finish(plan, rung), nil
}

// expr writes one value of a row; constants need no deparsing.
func (i *insertion) expr(e *sql.Node) (Template, error) {
	if c := e.GetAConst(); c != nil && !c.Isnull {
		if index, negative, ok := i.p.literalAt(c.Location); ok {
			t := Template{{Kind: PieceLiteral, Index: index}}
			if negative {
				t = append(Template{{Kind: PieceText, Text: "-"}}, t...)
			}
			return t, nil
		}
	}
	return i.p.template(e)
}

// query plans an INSERT whose rows come from a query (or from VALUES that must be evaluated on the coordinator): within shards
// where the rows already lie on their target's shards, else by collecting the rows first.
func (i *insertion) query() (*Plan, error) {
	p := i.p
	source := i.stmt.SelectStmt.GetSelectStmt()
	if i.rows != nil {
		source = i.rowsAsQuery()
	} else if i.distributed() && len(i.filled) == 0 {
		if plan, ok, err := i.withinShards(source); ok || err != nil {
			return plan, err
		}
	}
	if i.table != nil {
		source = i.withFilled(source)
		if i.parts && i.table.Kind != catalog.Local {
			return nil, errParts(i.stmt.Cols[0].GetResTarget().Name)
		}
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
		i.stmt.Cols = nil
		for at, n := range all {
			column := i.table.Columns[n]
			name := "c" + itoa(at+1)
			alias.Colnames = append(alias.Colnames, sql.StringNodes(name)...)
			i.stmt.Cols = append(i.stmt.Cols, sql.Target(column.Name, nil))
			expr := sql.Column("rows", name)
			targets = append(targets, sql.Target("", p.columnCast(expr, column)))
		}
		read.GetRangeVar().Alias = alias
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
	for at, n := range all {
		if n == i.table.DistColumn {
			plan.KeyColumn = at
		}
	}
	return p.finish(plan, RungRecursive), nil
}

// rowsAsQuery turns VALUES into a query that evaluates each value once, as its column's type.
func (i *insertion) rowsAsQuery() *sql.SelectStmt {
	values := sql.Select(nil, nil, nil)
	for _, row := range i.rows {
		var items []*sql.Node
		for at, e := range row {
			var column *catalog.Column
			if i.table != nil && at < len(i.columns) {
				column = &i.table.Columns[i.columns[at]]
			}
			e = sql.Clone(e)
			if column != nil {
				if e.GetSetToDefault() != nil {
					e = defaultExpr(*column)
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

// defaultExpr is a column's default as an expression for the coordinator.
func defaultExpr(c catalog.Column) *sql.Node {
	if c.Sequence != nil {
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
		from = []*sql.Node{sql.Subquery(source, &sql.Alias{Aliasname: "source"}, false)}
	}
	for _, n := range i.filled {
		column := i.table.Columns[n]
		targets = append(targets, sql.Target(column.Name, defaultExpr(column)))
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

// runLinksFirst runs the subqueries of ON CONFLICT and RETURNING first.
func (i *insertion) runLinksFirst() error {
	lists := append([]*sql.Node{}, i.stmt.ReturningList...)
	if c := i.stmt.OnConflictClause; c != nil {
		lists = append(append(lists, c.TargetList...), c.WhereClause)
	}
	var failed error
	for _, e := range lists {
		if e == nil {
			continue
		}
		sql.Walk(e, func(m proto.Message) bool {
			n, ok := m.(*sql.Node)
			if !ok || n.GetSubLink() == nil || failed != nil {
				return failed == nil
			}
			link := n.GetSubLink()
			sub := link.Subselect.GetSelectStmt()
			if row, err := i.p.bindSelect(sql.Select(nil, []*sql.Node{sql.TableNode(sql.Clone(i.stmt.Relation))}, nil), nil); err == nil {
				if b, err := i.p.bindSelect(sub, row); err == nil && !b.complex && !i.p.blockHashed(b) && !i.p.blockNeedsCoordinator(b) {
					return false // every node can evaluate it for its own rows
				}
			}
			b, err := i.p.bindSelect(sub, nil)
			switch {
			case err != nil:
				failed = err
			case !i.p.blockHashed(b) && (i.table == nil || i.table.Kind == catalog.Local):
				// The coordinator evaluates it.
			case b.complex:
				failed = sql.Unsupported("correlated subqueries in RETURNING or ON CONFLICT are not supported on distributed tables", "",
					"Run the subquery first.")
			default:
				i.p.rewritten = true
				failed = i.p.runLinkFirst(&sublink{node: link, wrapper: n, block: b}, "a subquery of ON CONFLICT or RETURNING")
			}
			return false
		})
	}
	return failed
}

// insertReference plans an INSERT into a reference table whose source every node can evaluate, or whose rows the coordinator
// evaluates for all.
func (p *planner) insertReference(insert *sql.InsertStmt, table *catalog.Relation) (*Plan, error) {
	p.rewritten = true
	if !p.differsByNode(insert, table) {
		t, err := p.template(p.stmt.Tree)
		if err != nil {
			return nil, err
		}
		return p.finish(&ReferenceWrite{SQL: t}, RungPushdown), nil
	}
	w := &ReferenceWrite{CopyRows: true}
	returning := insert.ReturningList
	insert.ReturningList = []*sql.Node{sql.Target("", sql.Star(""))}
	var err error
	if w.SQL, err = p.template(p.stmt.Tree); err != nil {
		return nil, err
	}
	index := len(p.plan.Subplans)
	rows := sql.Clone(insert)
	rows.ReturningList, rows.Cols, rows.WithClause = nil, nil, nil
	rows.Override = 1
	var targets []*sql.Node
	for _, c := range table.Columns {
		if c.Generated {
			continue
		}
		rows.Cols = append(rows.Cols, sql.Target(c.Name, nil))
		targets = append(targets, sql.Target("", sql.Column("rows", c.Name)))
	}
	rows.SelectStmt = sql.SelectNode(sql.Select(targets, []*sql.Node{sql.Table("", intermediateName(index), "rows")}, nil))
	if rows.OnConflictClause != nil {
		if err := p.copyConflict(rows, table); err != nil {
			return nil, err
		}
	}
	if w.Rows, err = p.template(&sql.Node{Node: sql.InsertNode(rows)}); err != nil {
		return nil, err
	}
	if len(returning) > 0 {
		name := insert.Relation.Relname
		if insert.Relation.Alias != nil {
			name = insert.Relation.Alias.Aliasname
		}
		list := sql.Select(returning, []*sql.Node{sql.Table("", intermediateName(index), name)}, nil)
		if w.Returning, err = p.template(sql.SelectNode(list)); err != nil {
			return nil, err
		}
	}
	return p.finish(w, RungPushdown), nil
}

// copyConflict makes the copies of rows that the coordinator stored replace those of the same primary key.
func (p *planner) copyConflict(rows *sql.InsertStmt, table *catalog.Relation) error {
	if len(table.PrimaryKey) == 0 {
		return sql.Unsupported("ON CONFLICT with volatile values needs a primary key on reference tables",
			"Reference table "+sql.QuoteIdentifier(table.Name)+" has none, so its copies cannot be matched.", "Add a primary key.")
	}
	var key []string
	for _, n := range table.PrimaryKey {
		key = append(key, table.Columns[n].Name)
	}
	rows.OnConflictClause = sql.OnConflictReplace(key, columnNames(table))
	return nil
}

func columnNames(table *catalog.Relation) []string {
	var names []string
	for _, c := range table.Columns {
		if !c.Generated {
			names = append(names, c.Name)
		}
	}
	return names
}

// differsByNode tells whether an INSERT would store other values on each node: volatile or time-dependent expressions, sequences,
// or columns left to such defaults.
func (p *planner) differsByNode(insert *sql.InsertStmt, table *catalog.Relation) bool {
	if p.volatileBelow(insert) || p.timeBelow(insert) {
		return true
	}
	given := map[string]bool{}
	for _, item := range insert.Cols {
		given[item.GetResTarget().GetName()] = true
	}
	hasDefault := false
	sql.Walk(insert, func(m proto.Message) bool {
		if n, ok := m.(*sql.Node); ok && n.GetSetToDefault() != nil {
			hasDefault = true
		}
		return !hasDefault
	})
	for _, c := range table.Columns {
		if given[c.Name] && !hasDefault {
			continue
		}
		if c.Sequence != nil || c.Volatile || strings.ContainsAny(c.Default, "(") || strings.Contains(c.Default, "CURRENT_") || strings.Contains(c.Default, "LOCAL") {
			return true
		}
	}
	return false
}

// columnCast casts an expression to a column's type. Lengths of strings are left to the assignment, which complains where a cast
// would cut off; precisions are applied, as the assignment would.
func (p *planner) columnCast(e *sql.Node, c catalog.Column) *sql.Node {
	t := p.catalog.Types[c.TypeOID]
	if t == nil {
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
