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
	p.plan.ReturnsRows = len(insert.ReturningList) > p.plan.Checks
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
	if i.distributed() && len(insert.ReturningList) > 0 {
		if b, err := p.bindReturning(insert.Relation, nil); err == nil && p.returnsOnCoordinator(b) {
			return p.returnApart(insert.Relation, nil)
		}
	}
	if err := i.runLinksFirst(); err != nil {
		return nil, err
	}
	if i.distributed() {
		if i.conflictCalls = i.coordinatorCalls(); len(i.conflictCalls) > 0 {
			if err := i.drawForConflicts(); err != nil {
				return nil, err
			}
		}
	}
	if i.distributed() && !p.nested && len(i.drawn) == 0 && i.simpleRows() {
		return i.values()
	}
	return i.query()
}

// insertion is an INSERT into a distributed table, or into another from a query over distributed tables.
type insertion struct {
	p       *planner
	stmt    *sql.InsertStmt
	table   *catalog.Relation // nil for a temporary table, which the catalog does not know
	columns []int             // of the table, in the order of the source's columns
	filled  []int             // columns that are added to the source: their sequence or default must be drawn here
	rows    [][]*sql.Node     // of VALUES

	conflictCalls []*sql.Node       // what only the coordinator can evaluate of ON CONFLICT
	drawn         []*sql.Node       // the same, as columns that are added to the source
	drawnReads    []*sql.SelectStmt // what takes their places in ON CONFLICT
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
	if onConflict := i.stmt.OnConflictClause; onConflict != nil && i.distributed() && !singleShard(i.table) {
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
		if len(target.Indirection) > 0 && i.distributed() && n == i.table.DistColumn {
			return errParts(target.Name)
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
		if b.unknownWidth {
			return sql.Unsupported("the fields of a composite value cannot be inserted with .* here", "", "Name the fields one by one.")
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
	if i.stmt.Override.String() == "OVERRIDING_USER_VALUE" && i.distributed() {
		i.leaveOutIdentities(given)
	}
	for n, c := range i.table.Columns {
		if given[n] || c.Generated {
			continue
		}
		if c.Sequence != nil || n == i.table.DistColumn && i.table.Kind == catalog.Distributed {
			i.filled = append(i.filled, n)
		}
	}
	i.stmt.Override = 1 // OVERRIDING_NOT_SET: shards have no identity columns
	return i.refuseOwnDrawn()
}

// leaveOutIdentities takes the values that are given for identity columns out of the rows: OVERRIDING USER VALUE means that their
// sequences fill them all the same.
func (i *insertion) leaveOutIdentities(given map[int]bool) {
	var kept []int // positions
	for at, n := range i.columns {
		if c := i.table.Columns[n]; c.Identity == 0 || c.Sequence == nil {
			kept = append(kept, at)
		} else {
			delete(given, n)
		}
	}
	if len(kept) == len(i.columns) {
		return
	}
	i.p.rewritten = true
	i.stmt.Cols = nil
	columns := i.columns
	i.columns = nil
	for _, at := range kept {
		i.columns = append(i.columns, columns[at])
		i.stmt.Cols = append(i.stmt.Cols, sql.Target(i.table.Columns[columns[at]].Name, nil))
	}
	for r, row := range i.rows {
		var values []*sql.Node
		for _, at := range kept {
			if at < len(row) {
				values = append(values, row[at])
			}
		}
		i.rows[r] = values
	}
	if i.rows == nil {
		alias := &sql.Alias{Aliasname: "source"}
		var targets []*sql.Node
		for at := range columns {
			alias.Colnames = append(alias.Colnames, sql.StringNodes("c"+itoa(at+1))...)
		}
		for _, at := range kept {
			targets = append(targets, sql.Target("", sql.Column("source", "c"+itoa(at+1))))
		}
		i.stmt.SelectStmt = sql.SelectNode(sql.Select(targets, []*sql.Node{sql.Subquery(i.stmt.SelectStmt.GetSelectStmt(), alias, false)}, nil))
	}
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

// key gives what decides on the shard of a row: its distribution value.
func (i *insertion) key(row []*sql.Node) (Value, bool) {
	if singleShard(i.table) {
		return Value{Kind: ValueNone}, true
	}
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
