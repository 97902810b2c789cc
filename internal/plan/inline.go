package plan

import (
	"slices"
	"strings"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// maxInlined bounds how many calls of one statement are replaced: functions that call themselves would go on for ever.
const maxInlined = 100

// inlineCalls puts the bodies of functions in SQL that read distributed tables in place of their calls, where that gives what the
// call would. A call in an expression becomes a scalar subquery, one in FROM a LATERAL subquery. The arguments become columns of a
// FROM item that is named as the function and encloses the body, so that SQL's own rules of scope say what a name in the body means:
// a column first, then an argument. Calls that are left are refused: see callsReader.
func (p *planner) inlineCalls(tree proto.Message) (reads, error) {
	kind := readsCoordinator
	var failed error
	grouped := groupsByExpressions(tree)
	sql.Walk(tree, func(m proto.Message) bool {
		n, ok := m.(*sql.Node)
		if !ok || failed != nil {
			return failed == nil
		}
		if target := n.GetResTarget(); target != nil && target.Name == "" && target.Val.GetColumnRef() == nil && p.callsReader(target.Val) != "" {
			target.Name = figureName(target.Val) // what the column would be called
		}
		var replaced *sql.Node
		var k reads
		switch {
		case n.GetRangeFunction() != nil:
			replaced, k, failed = p.inlineFrom(n.GetRangeFunction())
		case n.GetFuncCall() != nil && !(grouped && slices.ContainsFunc(n.GetFuncCall().Args, p.computed)):
			replaced, k, failed = p.inlineCall(n.GetFuncCall())
		}
		if replaced != nil && failed == nil {
			n.Node = replaced.Node
			kind, p.rewritten = max(kind, k), true
			if p.inlined++; p.inlined > maxInlined {
				failed = sql.Errorf("54001", "functions that read distributed tables call each other too often")
			}
		}
		return failed == nil
	})
	return kind, failed
}

// groupsByExpressions tells whether a query groups by more than columns. Within a subquery PostgreSQL knows grouped columns again, but
// not grouped expressions, so a call of one cannot become a subquery.
func groupsByExpressions(tree proto.Message) bool {
	found := false
	sql.Walk(tree, func(m proto.Message) bool {
		var sel *sql.SelectStmt
		switch m := m.(type) {
		case *sql.Node:
			sel = m.GetSelectStmt()
		case *sql.SelectStmt:
			sel = m
		}
		for _, item := range sel.GetGroupClause() {
			found = found || item.GetColumnRef() == nil
		}
		return !found
	})
	return found
}

// computed tells whether an expression computes something of columns.
func (p *planner) computed(e *sql.Node) bool { return e.GetColumnRef() == nil && p.dependsOnRows(e) }

// inlineCall makes the expression that a call in an expression stands for, nil if there is none.
func (p *planner) inlineCall(call *sql.FuncCall) (*sql.Node, reads, error) {
	f := p.inlinable(call)
	if f == nil || f.ReturnsSet {
		return nil, 0, nil
	}
	if t := p.catalog.Types[f.Result]; t == nil || t.Kind == 'c' || t.Kind == 'p' {
		return nil, 0, nil
	}
	body, width, kind, err := p.body(f)
	if body == nil || err != nil || width != 1 {
		return nil, 0, err
	}
	if !p.oneRow(body) {
		if body.LimitCount != nil || body.LimitOffset != nil {
			rows := sql.Subquery(body, &sql.Alias{Aliasname: f.Name}, false)
			body = sql.Select([]*sql.Node{sql.Target("", sql.Star(""))}, []*sql.Node{rows}, nil)
		}
		body.LimitCount, body.LimitOption = sql.Integer(1), sql.LimitCount
	}
	if len(f.Args) > 0 {
		body = sql.Select([]*sql.Node{sql.Target("", sql.ScalarSubquery(body))}, []*sql.Node{p.arguments(f, call)}, strict(f))
	}
	return castTo(sql.ScalarSubquery(body), f.Body.Result), kind, nil
}

// inlineFrom makes the FROM item that a function in FROM stands for, nil if there is none.
func (p *planner) inlineFrom(from *sql.RangeFunction) (*sql.Node, reads, error) {
	if len(from.Functions) != 1 || from.Ordinality || from.IsRowsfrom || len(from.Coldeflist) > 0 {
		return nil, 0, nil
	}
	items := from.Functions[0].GetList().GetItems()
	if len(items) == 0 || items[0].GetFuncCall() == nil {
		return nil, 0, nil
	}
	call := items[0].GetFuncCall()
	f := p.inlinable(call)
	if f == nil {
		return nil, 0, nil
	}
	alias := from.Alias
	if alias == nil {
		alias = &sql.Alias{Aliasname: f.Name}
	}
	if !f.ReturnsSet {
		value, kind, err := p.inlineCall(call)
		if value == nil || err != nil {
			return nil, 0, err
		}
		return sql.Subquery(sql.Select([]*sql.Node{sql.Target(alias.Aliasname, value)}, nil, nil), alias, true), kind, nil
	}
	names, types := p.resultOf(f, alias.Aliasname)
	body, width, kind, err := p.body(f)
	if body == nil || err != nil || width != len(names) {
		return nil, 0, err
	}
	const rows = "trunkline_rows"
	inner := &sql.Alias{Aliasname: rows}
	var targets []*sql.Node
	for i, name := range names {
		column := "c" + itoa(i+1)
		inner.Colnames = append(inner.Colnames, sql.StringNodes(column)...)
		targets = append(targets, sql.Target(name, castTo(sql.Column(rows, column), types[i])))
	}
	items = []*sql.Node{sql.Subquery(body, inner, len(f.Args) > 0)}
	if len(f.Args) > 0 {
		items = append([]*sql.Node{p.arguments(f, call)}, items...)
	}
	return sql.Subquery(sql.Select(targets, items, strict(f)), alias, true), kind, nil
}

// inlinable finds the function that a call means if its body can stand in its place: nothing in it or in its arguments is volatile,
// since a subquery may be evaluated once where a call is evaluated for each row.
func (p *planner) inlinable(call *sql.FuncCall) *catalog.Function {
	if call.AggStar || call.AggDistinct || call.AggWithinGroup || call.FuncVariadic || call.Over != nil || call.AggFilter != nil || len(call.AggOrder) > 0 {
		return nil
	}
	var found *catalog.Function
	for _, f := range p.overloads(sql.Strings(call.Funcname)) {
		if len(f.Args) < len(call.Args) && !f.Variadic || len(f.Args)-f.Defaults > len(call.Args) {
			continue
		}
		if found != nil {
			return nil // which one is meant depends on types
		}
		found = f
	}
	if found == nil || !found.ReadsTables || found.Body == nil || len(found.Args) != len(call.Args) {
		return nil
	}
	for i, arg := range call.Args {
		if t := p.catalog.Types[found.Args[i]]; t == nil || t.Kind == 'p' || arg.GetNamedArgExpr() != nil || p.volatileBelow(arg) || len(windows(&block{sel: sql.Select([]*sql.Node{arg}, nil, nil)})) > 0 {
			return nil
		}
	}
	return found
}

// body gives a function's only query, with its tables marked and its arguments as columns of an item named as the function, and the
// number of its columns. It gives nil if the function is something else.
func (p *planner) body(f *catalog.Function) (body *sql.SelectStmt, width int, kind reads, err error) {
	text := strings.TrimSpace(f.Body.SQL)
	if rest, ok := strings.CutPrefix(text, "BEGIN ATOMIC"); ok {
		text = strings.TrimSuffix(strings.TrimSpace(rest), "END")
	} else if rest, ok := strings.CutPrefix(text, "RETURN "); ok {
		text = "SELECT " + rest
	}
	stmts, err := sql.Parse(text)
	if err != nil || len(stmts) != 1 || stmts[0].Tree.GetSelectStmt() == nil {
		return nil, 0, 0, nil
	}
	tree := stmts[0].Tree
	clearLocations(tree)
	body = tree.GetSelectStmt()
	if modifyingWith(body) || len(body.LockingClause) > 0 || intoClause(body) != nil || p.volatileBody(tree, f) {
		return nil, 0, 0, nil
	}
	withs := withNames(tree)
	sql.Walk(tree, func(m proto.Message) bool {
		n, ok := m.(*sql.Node)
		if !ok {
			return true
		}
		if v := n.GetRangeVar(); v != nil && v.Schemaname == "" && !withs[v.Relname] {
			if table := p.resolve(v); table != nil {
				v.Schemaname = table.Schema // so that no WITH query of the caller is taken for it
			}
		}
		if param := n.GetParamRef(); param != nil {
			n.Node = sql.Column(f.Name, argumentName(f, int(param.Number)-1)).Node
		}
		return true
	})
	if kind, err = p.prepareBelow(tree, withs, map[uint32]bool{}); err != nil {
		return nil, 0, 0, err
	}
	scope := &block{sel: sql.Select(nil, nil, nil), merged: map[string][]columnID{}, fullMerged: map[string]bool{}}
	arguments := &rel{kind: relSubquery, alias: f.Name, block: &block{sel: sql.Select(nil, nil, nil)}}
	for i := range f.Args {
		arguments.columns = append(arguments.columns, argumentName(f, i))
		arguments.types = append(arguments.types, f.Args[i])
	}
	p.leaf(scope, arguments)
	b, err := p.bindSelect(sql.Clone(body), scope)
	if err != nil || b.unknownWidth {
		return nil, 0, 0, err
	}
	return body, len(b.outputs), kind, nil
}

// volatileBody tells whether a body calls volatile functions, other than those that are to be inlined into it themselves.
func (p *planner) volatileBody(tree *sql.Node, f *catalog.Function) bool {
	found := false
	sql.Walk(tree, func(m proto.Message) bool {
		if n, ok := m.(*sql.Node); ok && n.GetFuncCall() != nil {
			if inner := p.inlinable(n.GetFuncCall()); inner == nil || inner == f {
				call := sql.Clone(n.GetFuncCall())
				call.Args = nil
				found = found || p.volatileBelow(sql.CallNode(call))
			}
		}
		return !found
	})
	return found
}

// oneRow tells whether a query surely gives one row at most.
func (p *planner) oneRow(sel *sql.SelectStmt) bool {
	b := &block{sel: sel}
	return sel.Op == sql.SetopNone && len(sel.GroupClause) == 0 && p.plainAggregate(b) ||
		sel.Op == sql.SetopNone && len(sel.FromClause) == 0 && len(sel.ValuesLists) == 0
}

func argumentName(f *catalog.Function, i int) string {
	if i < len(f.Body.Names) && f.Body.Names[i] != "" {
		return f.Body.Names[i]
	}
	return "$" + itoa(i+1)
}

// arguments makes the FROM item that holds a call's arguments.
func (p *planner) arguments(f *catalog.Function, call *sql.FuncCall) *sql.Node {
	var targets []*sql.Node
	for i, arg := range call.Args {
		targets = append(targets, sql.Target(argumentName(f, i), castTo(arg, f.Body.Types[i])))
	}
	return sql.Subquery(sql.Select(targets, nil, nil), &sql.Alias{Aliasname: f.Name}, false)
}

// strict makes the condition under which a STRICT function is evaluated at all.
func strict(f *catalog.Function) *sql.Node {
	if !f.Strict || len(f.Args) == 0 {
		return nil
	}
	var columns []*sql.Node
	for i := range f.Args {
		columns = append(columns, sql.Column(f.Name, argumentName(f, i)))
	}
	return sql.Operator(sql.Call([]string{"pg_catalog", "num_nulls"}, columns...), "=", sql.Integer(0))
}

// resultOf names the columns of a set that a function returns, and gives their types as SQL.
func (p *planner) resultOf(f *catalog.Function, alias string) (names, types []string) {
	for i, mode := range f.Body.Modes {
		if mode != "i" {
			names, types = append(names, f.Body.Names[i]), append(types, f.Body.Types[i])
			if mode != "t" {
				return nil, nil
			}
		}
	}
	if len(names) > 0 {
		return names, types
	}
	t := p.catalog.Types[f.Result]
	switch {
	case t == nil || t.Kind == 'p':
		return nil, nil
	case t.Kind != 'c':
		return []string{alias}, []string{f.Body.Result}
	}
	r := p.catalog.Relations[catalog.Name{Schema: t.Schema, Name: t.Name}]
	if r == nil || slices.ContainsFunc(r.Columns, func(c catalog.Column) bool { return c.SQLType == "" }) {
		return nil, nil
	}
	for _, c := range r.Columns {
		names, types = append(names, c.Name), append(types, c.SQLType)
	}
	return names, types
}
