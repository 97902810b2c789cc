package plan

import (
	"errors"
	"slices"
	"strings"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// throughViews puts the tables below automatically updatable views in the views' places as targets of a statement's writes, as
// PostgreSQL's rewriter does (manual, CREATE VIEW, "Updatable Views"). Views over local tables stay: the coordinator's own rewriter
// takes care of them.
func (p *planner) throughViews(tree *sql.Node) error {
	var failed error
	sql.Walk(tree, func(m proto.Message) bool {
		n, ok := m.(*sql.Node)
		if !ok || failed != nil {
			return failed == nil
		}
		if target := writtenTable(n); target != nil {
			failed = p.throughViewsOf(n, target, n == tree)
		}
		return failed == nil
	})
	return failed
}

func (p *planner) throughViewsOf(write *sql.Node, target *sql.RangeVar, outermost bool) error {
	cascaded := false
	var checked []string // the views whose conditions, at the end of RETURNING, new rows must meet
	for step := 0; step < maxSteps; step++ {
		view := p.resolve(target)
		if view == nil || view.RelKind != 'v' || !p.readsSharded(view) {
			if len(checked) > 0 {
				p.checkRows(write, target, view, checked)
			}
			return nil
		}
		t := &viewWrite{p: p, view: view, target: target, write: write}
		if err := t.checkUpdatable(); err != nil {
			return err
		}
		if err := t.replace(); err != nil {
			return err
		}
		p.rewritten = true
		cascaded = cascaded || view.CheckOption == "cascaded"
		if list := returningListOf(write); t.qual != nil && (cascaded || view.CheckOption == "local") && write.GetDeleteStmt() == nil {
			if !outermost {
				return errViewWrite(view, "has a check option, and a WITH query writes through it", "Write in a statement of its own.")
			}
			*list = append(*list, sql.Target("", sql.Clone(t.qual)))
			checked = append(checked, view.Name)
		}
	}
	return sql.Unsupported("the view is nested too deeply", "", "")
}

// checkRows makes the conditions at the end of RETURNING raise PostgreSQL's error for rows that views' check options do not allow.
// Their columns are not the client's: see Plan.Checks.
func (p *planner) checkRows(write *sql.Node, target *sql.RangeVar, table *catalog.Relation, views []string) {
	var values []string
	for _, c := range table.Columns {
		name := sql.QuoteIdentifier(target.Alias.Aliasname) + "." + sql.QuoteIdentifier(c.Name)
		values = append(values, "CASE pg_catalog.num_nulls("+name+") WHEN 1 THEN 'null' ELSE pg_catalog.format('%s', "+name+") END")
	}
	list := *returningListOf(write)
	for i, item := range list[len(list)-len(views):] {
		text := "SELECT CASE WHEN true THEN true ELSE trunkline_internal.refuse_view_row(" + sql.QuoteLiteral(views[i]) +
			", VARIADIC ARRAY[" + strings.Join(values, ", ") + "]) END"
		if stmts, err := sql.Parse(text); err == nil {
			clearLocations(stmts[0].Tree)
			check := stmts[0].Tree.GetSelectStmt().TargetList[0].GetResTarget().Val
			check.GetCaseExpr().Args[0].GetCaseWhen().Expr = item.GetResTarget().Val
			item.GetResTarget().Val = check
		}
	}
	p.plan.Checks = len(views)
}

func returningListOf(write *sql.Node) *[]*sql.Node {
	switch {
	case write.GetInsertStmt() != nil:
		return &write.GetInsertStmt().ReturningList
	case write.GetUpdateStmt() != nil:
		return &write.GetUpdateStmt().ReturningList
	}
	return &write.GetDeleteStmt().ReturningList
}

// readsSharded tells whether a view reads distributed or reference tables, however deep.
func (p *planner) readsSharded(view *catalog.Relation) bool {
	n := sql.Table(view.Schema, view.Name, "")
	trial := newPlanner(p.stmt, nil, p.catalog, p.settings)
	kind, err := trial.prepareTable(n, n.GetRangeVar(), map[uint32]bool{})
	if err != nil {
		return true
	}
	if kind == readsShards || len(trial.plan.Tables) > 0 {
		return true
	}
	// prepareTable expands only what reads distributed tables; reference tables count too.
	stmts, err := sql.Parse(view.Definition)
	if err != nil || len(stmts) != 1 {
		return false
	}
	found := false
	sql.Walk(stmts[0].Tree, func(m proto.Message) bool {
		if v, ok := rangeVar(m); ok {
			if r := p.resolve(v); r != nil && r.OID != view.OID {
				found = found || r.Kind != catalog.Local || r.RelKind == 'v' && r.Schema != "pg_catalog" && p.readsSharded(r)
			}
		}
		return !found
	})
	return found
}

// viewWrite is one step of taking a view out of a write: the view, and what it selects from what.
type viewWrite struct {
	p      *planner
	view   *catalog.Relation
	target *sql.RangeVar // the write's, which names the view
	write  *sql.Node

	base  *sql.RangeVar // what the view selects from
	alias string        // by which the statement will name it
	exprs []*sql.Node   // the view's columns, over alias
	names []string      // of the base's columns that they are, "" for others
	qual  *sql.Node     // the view's WHERE, over alias
}

func errViewWrite(view *catalog.Relation, why, hint string) error {
	return sql.Unsupported("writing through this view over distributed or reference tables is not supported",
		"View "+sql.QuoteIdentifier(view.Name)+" "+why+".", hint)
}

// checkUpdatable reads the view's definition. What PostgreSQL would not update either, it says itself (see session.refusal).
func (t *viewWrite) checkUpdatable() error {
	const hint = "Write to the table itself."
	if t.view.HasTriggers || t.view.HasRules {
		return errViewWrite(t.view, "has triggers or rules, which would run on the coordinator, where distributed tables have no rows", hint)
	}
	stmts, err := sql.Parse(t.view.Definition)
	if err != nil || len(stmts) != 1 || stmts[0].Tree.GetSelectStmt() == nil {
		return errViewWrite(t.view, "has a definition that cannot be read", hint)
	}
	clearLocations(stmts[0].Tree)
	sel := stmts[0].Tree.GetSelectStmt()
	if sel.Op != sql.SetopNone || len(sel.FromClause) != 1 || sel.FromClause[0].GetRangeVar() == nil || len(sel.TargetList) != len(t.view.Columns) ||
		sel.WithClause != nil || len(sel.DistinctClause)+len(sel.GroupClause)+len(sel.WindowClause) > 0 || sel.HavingClause != nil ||
		sel.LimitCount != nil || sel.LimitOffset != nil {
		return errViewWrite(t.view, "is not automatically updatable", hint)
	}
	t.base = sel.FromClause[0].GetRangeVar()
	t.alias = t.target.Relname
	if t.target.Alias != nil {
		t.alias = t.target.Alias.Aliasname
	}
	b, err := t.p.bindRefs(sel, func(b *block, n *sql.Node) {
		names := sql.Strings(n.GetColumnRef().Fields)
		if id, _, ok := b.lookup(names); ok && id.rel.node == sel.FromClause[0] {
			n.Node = sql.Column(t.alias, names[len(names)-1]).Node
		}
	})
	if err != nil {
		return err
	}
	if b.complex {
		return errViewWrite(t.view, "has a definition that the planner does not take apart", hint)
	}
	for i, item := range sel.TargetList {
		e := item.GetResTarget().Val
		t.exprs = append(t.exprs, e)
		name := ""
		if names := sql.Strings(e.GetColumnRef().GetFields()); len(names) == 2 && names[0] == t.alias && !systemColumns[names[1]] {
			name = names[1]
		}
		if t.view.Columns[i].Default != "" {
			return errViewWrite(t.view, "has a default of its own for column "+sql.QuoteIdentifier(t.view.Columns[i].Name), hint)
		}
		t.names = append(t.names, name)
	}
	t.qual = sel.WhereClause
	return nil
}

// bindRefs binds a query and calls visit with every column reference in it and the block that it stands in. Then it makes the
// changes of the nodes that visit asked for.
func (p *planner) bindRefs(sel *sql.SelectStmt, visit func(b *block, ref *sql.Node)) (*block, error) {
	type seen struct {
		b *block
		n *sql.Node
	}
	var all []seen
	p.onRef = func(b *block, ref *sql.Node) { all = append(all, seen{b, ref}) }
	b, err := p.bindSelect(sel, nil)
	p.onRef = nil
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		visit(s.b, s.n)
	}
	return b, nil
}

// replace puts the view's base in its place: as the target, in all references to its columns, and its WHERE beside the statement's own.
func (t *viewWrite) replace() error {
	insert, update, del := t.write.GetInsertStmt(), t.write.GetUpdateStmt(), t.write.GetDeleteStmt()
	var err error
	switch {
	case insert != nil:
		err = t.replaceInsert(insert)
	case update != nil:
		if err = t.references(changeQueryOf(t.write, t.target).sel, nil); err == nil {
			err = t.rename(update.TargetList)
		}
		update.WhereClause = sql.And(append(conjuncts(update.WhereClause), conjuncts(sql.Clone(t.qual))...)...)
	default:
		err = t.references(changeQueryOf(t.write, t.target).sel, nil)
		del.WhereClause = sql.And(append(conjuncts(del.WhereClause), conjuncts(sql.Clone(t.qual))...)...)
	}
	t.target.Schemaname, t.target.Relname, t.target.Inh = t.base.Schemaname, t.base.Relname, t.base.Inh
	t.target.Alias, t.target.Location = &sql.Alias{Aliasname: t.alias}, -1
	return err
}

func (t *viewWrite) replaceInsert(insert *sql.InsertStmt) error {
	if len(insert.Cols) == 0 && insert.SelectStmt != nil {
		width, err := t.width(insert.SelectStmt.GetSelectStmt())
		if err != nil {
			return err
		}
		for _, c := range t.view.Columns[:min(width, len(t.view.Columns))] {
			insert.Cols = append(insert.Cols, sql.Target(c.Name, nil))
		}
	}
	all := sql.Select(insert.ReturningList, []*sql.Node{sql.TableNode(t.target)}, nil)
	var excluded *sql.Node
	if c := insert.OnConflictClause; c != nil {
		excluded = sql.TableNode(sql.Clone(t.target))
		excluded.GetRangeVar().Alias = &sql.Alias{Aliasname: "excluded"}
		all.FromClause = append(all.FromClause, excluded)
		all.TargetList = append(append(append([]*sql.Node{}, all.TargetList...), c.TargetList...), c.GetInfer().GetIndexElems()...)
		all.WhereClause = sql.And(append(conjuncts(c.WhereClause), conjuncts(c.GetInfer().GetWhereClause())...)...)
	}
	if err := t.references(all, excluded); err != nil {
		return err
	}
	if c := insert.OnConflictClause; c != nil {
		if err := t.rename(c.TargetList); err != nil {
			return err
		}
		for _, item := range c.GetInfer().GetIndexElems() {
			if e := item.GetIndexElem(); e.Name != "" {
				name, err := t.baseName(e.Name)
				if err != nil {
					return err
				}
				e.Name = name
			}
		}
	}
	return t.rename(insert.Cols)
}

// width counts the columns of an INSERT's source.
func (t *viewWrite) width(source *sql.SelectStmt) (int, error) {
	if len(source.ValuesLists) > 0 {
		return len(source.ValuesLists[0].GetList().GetItems()), nil
	}
	b, err := t.p.bindSelect(sql.Clone(source), nil)
	if err != nil {
		return 0, err
	}
	if b.unknownWidth {
		return 0, errViewWrite(t.view, "is given the fields of a composite value with .*", "Name the fields one by one.")
	}
	return len(b.outputs), nil
}

// rename gives the targets of assignments the base's names.
func (t *viewWrite) rename(targets []*sql.Node) error {
	for _, item := range targets {
		name, err := t.baseName(item.GetResTarget().Name)
		if err != nil {
			return err
		}
		item.GetResTarget().Name = name
	}
	return nil
}

func (t *viewWrite) baseName(column string) (string, error) {
	for i, c := range t.view.Columns {
		if c.Name == column && t.names[i] != "" {
			return t.names[i], nil
		}
	}
	return "", errViewWrite(t.view, "has no updatable column "+sql.QuoteIdentifier(column), "")
}

// references puts the view's expressions in the place of references to its columns, in a query that has the write's parts: of those
// to the target, and of those to excluded, which has the same columns.
func (t *viewWrite) references(sel *sql.SelectStmt, excluded *sql.Node) error {
	list := returningListOf(t.write)
	target := sel.FromClause[0]
	var failed error
	replaced := map[*sql.Node]string{}
	b, err := t.p.bindRefs(sel, func(b *block, n *sql.Node) {
		names := sql.Strings(n.GetColumnRef().Fields)
		if names[len(names)-1] == "*" {
			if t.reachesByStar(b, names, target) && !inTargets(*list, n) {
				failed = errViewWrite(t.view, "is used as a whole row", "Name its columns.")
			}
			return
		}
		id, _, ok := b.lookup(names)
		if !ok {
			if r, _ := b.lookupRel(names[len(names)-1]); r != nil && r.node == target {
				failed = errViewWrite(t.view, "is used as a whole row", "Name its columns.")
			}
			return
		}
		if id.col < 0 || id.rel.node != target && (excluded == nil || id.rel.node != excluded) {
			return
		}
		replaced[n] = names[len(names)-1]
		e := sql.Clone(t.exprs[id.col])
		if id.rel.node != target {
			if t.names[id.col] == "" {
				failed = errViewWrite(t.view, "has no updatable column "+sql.QuoteIdentifier(t.view.Columns[id.col].Name), "")
				return
			}
			e = sql.Column("excluded", t.names[id.col])
		}
		n.Node = e.Node
	})
	if err != nil || failed != nil {
		return errors.Join(err, failed)
	}
	return t.expandStars(b, list, target, replaced)
}

// reachesByStar tells whether a star in a block stands for the target's columns, among others.
func (t *viewWrite) reachesByStar(b *block, names []string, target *sql.Node) bool {
	if len(names) == 1 {
		return slices.ContainsFunc(b.rels, func(r *rel) bool { return r.node == target })
	}
	r, _ := b.lookupRel(names[len(names)-2])
	return r != nil && r.node == target
}

func inTargets(list []*sql.Node, e *sql.Node) bool {
	return slices.ContainsFunc(list, func(item *sql.Node) bool { return item.GetResTarget().GetVal() == e })
}

// expandStars writes out the stars of RETURNING, and gives replaced columns there the names that they had.
func (t *viewWrite) expandStars(b *block, list *[]*sql.Node, target *sql.Node, replaced map[*sql.Node]string) error {
	var items []*sql.Node
	for _, item := range *list {
		val := item.GetResTarget().Val
		if name, ok := replaced[val]; ok && item.GetResTarget().Name == "" {
			item.GetResTarget().Name = name
		}
		names := sql.Strings(val.GetColumnRef().GetFields())
		if len(names) == 0 || names[len(names)-1] != "*" || !t.reachesByStar(b, names, target) {
			items = append(items, item)
			continue
		}
		for i, c := range t.view.Columns {
			items = append(items, sql.Target(c.Name, sql.Clone(t.exprs[i])))
		}
		if len(names) > 1 {
			continue
		}
		if len(b.merged) > 0 {
			return errViewWrite(t.view, "is joined with tables whose columns USING merges, and RETURNING * returns them", "Name the columns.")
		}
		for _, r := range b.rels {
			if r.node != target && r.alias != "excluded" {
				items = append(items, sql.Target("", sql.Star(r.alias)))
			}
		}
	}
	*list = items
	return nil
}
