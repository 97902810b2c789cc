package plan

import (
	"strings"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/cluster/ddl"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// statement plans any statement.
func (p *planner) statement() (*Plan, error) {
	tree := p.stmt.Tree
	if len(p.literals) > 0 {
		p.modifiers = p.modifierLiterals(tree)
	}
	p.noteSequences(tree)
	if err := p.refuseUnchecked(tree); err != nil {
		return nil, err
	}
	if !p.concerns(tree) {
		return p.passThrough(tree)
	}
	p.stmt.Tree = sql.Clone(tree) // planning marks and moves nodes; the caller's tree is its own
	tree = p.stmt.Tree
	if kind := tree; kind.GetSelectStmt() != nil || kind.GetMergeStmt() != nil || kind.GetCreateTableAsStmt() != nil || writtenTable(kind) != nil {
		p.askDrawn(tree)
	}
	if err := p.throughViews(tree); err != nil {
		return nil, err
	}
	if calls := p.gatewayCalls(tree); len(calls) > 0 {
		return p.clusterCall(calls)
	}
	switch {
	case tree.GetSelectStmt() != nil:
		return p.selectStatement()
	case tree.GetMergeStmt() != nil:
		return p.mergeStatement()
	case tree.GetCreateTableAsStmt() != nil:
		return p.createTableAs()
	case writtenTable(tree) != nil:
		return p.writeStatement()
	}
	return p.passThrough(tree)
}

// writeStatement plans INSERT, UPDATE and DELETE.
func (p *planner) writeStatement() (*Plan, error) {
	if p.stmt.Tree.GetInsertStmt() != nil {
		return p.insertStatement()
	}
	return p.changeStatement()
}

// concerns tells whether a statement names anything that is more than the coordinator's own. It is cheap, and errs towards yes.
func (p *planner) concerns(tree *sql.Node) bool {
	found := false
	sql.Walk(tree, func(m proto.Message) bool {
		if found {
			return false
		}
		if v, ok := rangeVar(m); ok {
			if r := p.resolve(v); r == nil {
				_, found = catalog.Surface().Relations[v.Relname]
			} else {
				found = r.Kind != catalog.Local || r.RelKind == 'v' && r.Schema != "pg_catalog" && r.Schema != "information_schema" || r.Schema == "trunkline"
			}
			return !found
		}
		if n, ok := m.(*sql.Node); ok && n.GetFuncCall() != nil {
			names := sql.Strings(n.GetFuncCall().Funcname)
			if _, ours := catalog.Surface().Functions[names[len(names)-1]]; ours {
				found = true
			}
			found = found || p.asksDrawn(names)
			for _, f := range p.catalog.Functions[names[len(names)-1]] {
				found = found || f.ReadsTables
			}
		}
		return !found
	})
	return found
}

// passThrough plans a statement of which the coordinator, the session or the cluster takes care as a whole.
func (p *planner) passThrough(tree *sql.Node) (*Plan, error) {
	utility := func(kind UtilityKind) (*Plan, error) {
		return p.finish(&Utility{Kind: kind}, RungUtility), nil
	}
	switch {
	case tree.GetSelectStmt() != nil:
		p.plan.ReturnsRows = intoClause(tree.GetSelectStmt()) == nil
		p.plan.Writes = !p.plan.ReturnsRows || p.leavesState(tree)
		p.plan.Sticky = p.leavesState(tree)
		if into := intoClause(tree.GetSelectStmt()); into != nil && into.Rel.GetRelpersistence() == "t" {
			p.plan.Sticky = true
		}
	case tree.GetInsertStmt() != nil, tree.GetUpdateStmt() != nil, tree.GetDeleteStmt() != nil, tree.GetMergeStmt() != nil:
		p.plan.Writes = true
		p.plan.Sticky = p.leavesState(tree) || p.fillsFromSequence(tree)
		p.plan.ReturnsRows = len(tree.GetInsertStmt().GetReturningList())+len(tree.GetUpdateStmt().GetReturningList())+
			len(tree.GetDeleteStmt().GetReturningList())+len(tree.GetMergeStmt().GetReturningList()) > 0
	case tree.GetTransactionStmt() != nil:
		return utility(UtilityTransaction)
	case tree.GetVariableSetStmt() != nil, tree.GetDiscardStmt() != nil, tree.GetConstraintsSetStmt() != nil:
		return utility(UtilitySet)
	case tree.GetVariableShowStmt() != nil:
		p.plan.ReturnsRows = true
	case tree.GetPrepareStmt() != nil, tree.GetExecuteStmt() != nil, tree.GetDeallocateStmt() != nil:
		return utility(UtilityPrepare)
	case tree.GetFetchStmt() != nil, tree.GetClosePortalStmt() != nil:
		return utility(UtilityCursor)
	case tree.GetDeclareCursorStmt() != nil:
		if kind, err := p.trial(tree.GetDeclareCursorStmt().Query); err != nil || kind {
			return utility(UtilityCursor)
		}
		p.plan.Sticky = tree.GetDeclareCursorStmt().Options&cursorOptHold != 0
	case tree.GetExplainStmt() != nil:
		p.plan.ReturnsRows = true
		if kind, err := p.trial(tree.GetExplainStmt().Query); err != nil || kind {
			return utility(UtilityExplain)
		}
	case tree.GetCopyStmt() != nil:
		copyStmt := tree.GetCopyStmt()
		if copyStmt.Relation != nil {
			if r := p.resolve(copyStmt.Relation); r != nil && r.Kind != catalog.Local {
				return utility(UtilityCopy)
			}
		} else if kind, err := p.trial(copyStmt.Query); err != nil || kind {
			return utility(UtilityCopy)
		}
		p.plan.Writes = copyStmt.IsFrom
	case tree.GetCreateTableAsStmt() != nil:
		p.plan.Writes = true
		p.plan.Sticky = tree.GetCreateTableAsStmt().Into.GetRel().GetRelpersistence() == "t"
	case tree.GetDoStmt() != nil:
		p.plan.Writes, p.plan.Sticky = true, true
		return p.doBlock(tree)
	case tree.GetCallStmt() != nil:
		if name := p.gatewayProcedure(tree); name != "" {
			return p.procedureCall(name)
		}
		p.plan.Writes, p.plan.Sticky, p.plan.ReturnsRows = true, true, true
		if name := p.callsReader(tree); name != "" {
			return nil, sql.Unsupported("procedure "+name+" uses distributed tables", "Procedures run on the coordinator, where distributed tables have no rows.",
				"Run the procedure's statements from the client.")
		}
	case tree.GetListenStmt() != nil, tree.GetUnlistenStmt() != nil, tree.GetLoadStmt() != nil:
		p.plan.Sticky = true
	case tree.GetCreatedbStmt() != nil:
		return nil, sql.Unsupported("CREATE DATABASE is not supported", "A gateway serves one database, which all nodes have.",
			"Create the database on every server, and start a gateway for it.")
	case tree.GetRefreshMatViewStmt() != nil:
		if reads, err := p.refreshesFromShards(tree.GetRefreshMatViewStmt()); reads || err != nil {
			if err != nil {
				return nil, err
			}
			return utility(UtilityMaterialize)
		}
		p.plan.Writes = true
	default:
		if ddl.Classify(tree, p.catalog, p.settings.SearchPath, p.settings.TempTables) || p.settings.Managed && ddl.MakesTable(tree) {
			return utility(UtilityDDL)
		}
		p.plan.Writes = true
		p.plan.Sticky = makesTemporary(tree)
	}
	return p.finish(&Coordinator{}, RungCoordinator), nil
}

const cursorOptHold = 0x0020 // CURSOR_OPT_HOLD of parsenodes.h

// trial tells whether a statement inside another (EXPLAIN, COPY, DECLARE) is more than the coordinator's own.
func (p *planner) trial(tree *sql.Node) (bool, error) {
	if tree == nil || !p.concerns(tree) {
		return false, nil
	}
	inner := newPlanner(sql.Statement{Text: p.stmt.Text, Tree: tree}, nil, p.catalog, p.settings)
	plan, err := inner.statement()
	if err != nil {
		return true, err
	}
	c, ok := plan.Root.(*Coordinator)
	return !ok || c.SQL != nil || len(plan.Facts) > 0, nil
}

// fillsFromSequence tells whether an INSERT may call nextval, after which the session may ask for currval.
func (p *planner) fillsFromSequence(tree *sql.Node) bool {
	insert := tree.GetInsertStmt()
	if insert == nil {
		return false
	}
	table := p.resolve(insert.Relation)
	if table == nil {
		return true
	}
	for _, c := range table.Columns {
		if c.Sequence != nil {
			return true
		}
	}
	return false
}

// makesTemporary tells whether a statement makes a temporary object, which lives in the session.
func makesTemporary(tree *sql.Node) bool {
	found := false
	sql.Walk(tree, func(m proto.Message) bool {
		if v, ok := rangeVar(m); ok {
			found = found || v.Relpersistence == "t" || v.Schemaname == "pg_temp"
		}
		return !found
	})
	return found
}

// doBlock plans DO. Its code runs on the coordinator, so it must not name distributed tables there.
func (p *planner) doBlock(tree *sql.Node) (*Plan, error) {
	body := ""
	for _, arg := range tree.GetDoStmt().Args {
		if e := arg.GetDefElem(); e.GetDefname() == "as" {
			body = strings.ToLower(e.GetArg().GetString_().GetSval())
		}
	}
	for name, r := range p.catalog.Relations {
		if r.Kind != catalog.Local && namesWord(body, strings.ToLower(name.Name)) {
			return nil, sql.Unsupported("DO blocks cannot use distributed tables",
				"The block names table "+sql.QuoteIdentifier(name.Name)+", and it would run on the coordinator, where distributed tables have no rows.",
				"Run the block's statements from the client.")
		}
	}
	return p.finish(&Coordinator{}, RungCoordinator), nil
}

// namesWord tells whether text has word as a whole word.
func namesWord(text, word string) bool {
	for at := 0; ; {
		i := strings.Index(text[at:], word)
		if i < 0 {
			return false
		}
		i += at
		end := i + len(word)
		if (i == 0 || !identifierByte(text[i-1])) && (end == len(text) || !identifierByte(text[end])) {
			return true
		}
		at = i + 1
	}
}

// createTableAs plans CREATE TABLE … AS over distributed tables: a local table of the query's rows.
func (p *planner) createTableAs() (*Plan, error) {
	create := p.stmt.Tree.GetCreateTableAsStmt()
	kind, err := p.prepareTree(p.stmt.Tree)
	if err != nil {
		return nil, err
	}
	p.plan.Writes = true
	p.plan.Sticky = create.Into.GetRel().GetRelpersistence() == "t"
	query := create.Query.GetSelectStmt()
	if kind == readsCoordinator || query == nil {
		return p.onCoordinator(p.stmt.Tree)
	}
	if create.Objtype == sql.ObjectMatview {
		p.plan.Sticky = false
		return p.finish(&Utility{Kind: UtilityMaterialize}, RungUtility), nil
	}
	return p.storeQuery(query, p.stmt.Tree)
}

// refreshesFromShards tells whether the query of a materialized view that is to be filled reads more than the coordinator has.
func (p *planner) refreshesFromShards(n *sql.RefreshMatViewStmt) (bool, error) {
	view := p.resolve(n.Relation)
	if view == nil || view.RelKind != 'm' || n.SkipData {
		return false, nil
	}
	query, err := sql.Parse(view.Definition)
	if err != nil {
		return false, err
	}
	return p.trial(query[0].Tree)
}

// gatewayCalls finds the calls of functions that the gateway itself carries out.
func (p *planner) gatewayCalls(tree *sql.Node) []*sql.Node {
	var calls []*sql.Node
	sql.Walk(tree, func(m proto.Message) bool {
		n, ok := m.(*sql.Node)
		if !ok || n.GetFuncCall() == nil {
			return true
		}
		names := sql.Strings(n.GetFuncCall().Funcname)
		f, ours := catalog.Surface().Functions[names[len(names)-1]]
		if ours && f.Class == catalog.GatewayPerformed && !f.Procedure && p.meansOurs(names) {
			calls = append(calls, n)
		}
		return true
	})
	if p.areServersToo(tree, calls) {
		return nil
	}
	return calls
}

// isServersToo tells whether a function of schema trunkline stands in for one of PostgreSQL's own: pg_cancel_backend.
func isServersToo(name string) bool { return strings.HasPrefix(name, "pg_") }

// areServersToo tells whether all calls are of such functions and stand where only PostgreSQL's own can be called: per row, beside other
// columns.
func (p *planner) areServersToo(tree *sql.Node, calls []*sql.Node) bool {
	perRow := false
	for _, call := range calls {
		if !isServersToo(callName(call)) {
			return false
		}
		perRow = perRow || p.dependsOnRows(call)
	}
	sel := tree.GetSelectStmt()
	return len(calls) > 0 && (sel == nil || perRow && !p.callsAreTargets(sel, calls))
}

// meansOurs tells whether a function's name means the one of schema trunkline.
func (p *planner) meansOurs(names []string) bool {
	if len(names) > 1 {
		return names[0] == "trunkline" || names[0] == "pg_catalog" && p.onlyOurs(names[1])
	}
	return p.onlyOurs(names[0])
}

func (p *planner) onlyOurs(name string) bool {
	for _, f := range p.catalog.Functions[name] {
		if f.Schema != "trunkline" && f.Schema != "trunkline_call" && !(f.Schema == "pg_catalog" && isServersToo(name)) {
			return false
		}
	}
	return true
}

// clusterCall plans a SELECT that calls functions of the gateway. Calls whose arguments do not depend on rows are evaluated
// first and their results put in their place; calls in the target list of a query over rows are made once per row.
func (p *planner) clusterCall(calls []*sql.Node) (*Plan, error) {
	sel := p.stmt.Tree.GetSelectStmt()
	if sel == nil {
		return nil, sql.Unsupported("this function can only be called by SELECT", "", "Call it as SELECT function(…).")
	}
	p.plan.ReturnsRows, p.plan.Writes = true, true
	if _, err := p.prepareTree(p.stmt.Tree); err != nil {
		return nil, err
	}
	plan := &ClusterCall{}
	args := sql.Select(nil, nil, nil)
	perRow := false
	for i, call := range calls {
		names := sql.Strings(call.GetFuncCall().Funcname)
		name := names[len(names)-1]
		plan.Calls = append(plan.Calls, catalog.Surface().Functions[name].Canonical)
		plan.Names = append(plan.Names, name)
		twin := sql.Clone(call)
		twin.GetFuncCall().Funcname = sql.StringNodes("trunkline_call", name)
		args.TargetList = append(args.TargetList, sql.Target("call_"+itoa(i), twin))
		perRow = perRow || p.dependsOnRows(call)
	}
	if perRow {
		if !p.callsAreTargets(sel, calls) {
			return nil, sql.Unsupported("this function cannot be called here with arguments that depend on rows", "",
				"Call it in the target list of a plain SELECT.")
		}
		args.FromClause, args.WhereClause, args.SortClause = sel.FromClause, sel.WhereClause, sel.SortClause
		args.LimitCount, args.LimitOffset, args.LimitOption = sel.LimitCount, sel.LimitOffset, sel.LimitOption
	}
	t, err := p.template(sql.SelectNode(args))
	if err != nil {
		return nil, err
	}
	plan.Args = t
	if perRow {
		sel = p.zipCalls(sel, calls)
		p.stmt.Tree = sql.SelectNode(sel)
	} else {
		for i, call := range calls {
			p.putCallResult(sel, call, i)
		}
	}
	if plan.SQL, err = p.template(p.stmt.Tree); err != nil {
		return nil, err
	}
	return p.finish(plan, RungUtility), nil
}

// gatewayProcedure gives the name of the procedure that a CALL names, if the gateway itself carries it out.
func (p *planner) gatewayProcedure(tree *sql.Node) string {
	names := sql.Strings(tree.GetCallStmt().GetFunccall().GetFuncname())
	name := names[len(names)-1]
	f, ours := catalog.Surface().Functions[name]
	if ours && f.Class == catalog.GatewayPerformed && f.Procedure && p.meansOurs(names) {
		return name
	}
	return ""
}

// procedureCall plans a CALL of one of the gateway's procedures.
func (p *planner) procedureCall(name string) (*Plan, error) {
	twin := sql.Clone(p.stmt.Tree).GetCallStmt().Funccall
	twin.Funcname = sql.StringNodes("trunkline_call", name)
	args := sql.Select(nil, nil, nil)
	args.TargetList = append(args.TargetList, sql.Target("call_0", sql.CallNode(twin)))
	t, err := p.template(sql.SelectNode(args))
	if err != nil {
		return nil, err
	}
	p.plan.Writes = true
	return p.finish(&ClusterCall{Calls: []string{catalog.Surface().Functions[name].Canonical}, Names: []string{name}, Args: t}, RungUtility), nil
}

func callIndex(calls []*sql.Node, e *sql.Node) int {
	for i, call := range calls {
		if call == e {
			return i
		}
	}
	return -1
}

func (p *planner) callsAreTargets(sel *sql.SelectStmt, calls []*sql.Node) bool {
	targets := 0
	for _, item := range sel.TargetList {
		if callIndex(calls, item.GetResTarget().Val) >= 0 {
			targets++
		}
	}
	return targets == len(calls) && len(sel.TargetList) == len(calls) && len(sel.GroupClause) == 0 && sel.HavingClause == nil && len(sel.DistinctClause) == 0 && sel.Op == sql.SetopNone
}

// zipCalls reads the results of calls that were made once per row, row by row.
func (p *planner) zipCalls(sel *sql.SelectStmt, calls []*sql.Node) *sql.SelectStmt {
	rows := sql.Select(nil, nil, nil)
	for i, item := range sel.TargetList {
		index := callIndex(calls, item.GetResTarget().Val)
		name := callName(calls[index])
		numbered := sql.Select([]*sql.Node{sql.Target("", sql.Star("")), sql.Target("?row?", sql.RowNumber())},
			[]*sql.Node{sql.Table("", intermediateName(index), "results")}, nil)
		alias := "call_" + itoa(i)
		rows.FromClause = append(rows.FromClause, sql.Subquery(numbered, &sql.Alias{Aliasname: alias}, false))
		target := firstOf(item.GetResTarget().Name, name)
		rows.TargetList = append(rows.TargetList, sql.Target(target, castResult(sql.Column(alias, name), name)))
		if i > 0 {
			same := sql.Operator(sql.Column("call_0", "?row?"), "=", sql.Column(alias, "?row?"))
			rows.WhereClause = sql.And(append(conjuncts(rows.WhereClause), same)...)
		}
	}
	return rows
}

func callName(call *sql.Node) string {
	names := sql.Strings(call.GetFuncCall().Funcname)
	return names[len(names)-1]
}

// resultColumns gives the declared result columns of a function of the gateway: names and types. A function with one unnamed
// result has a column of its own name.
func resultColumns(name string) (names, types []string) {
	result := catalog.Surface().Functions[name].Result
	list, isTable := strings.CutPrefix(result, "table(")
	if !isTable {
		return []string{name}, []string{strings.TrimPrefix(result, "SETOF ")}
	}
	for _, column := range strings.Split(strings.TrimSuffix(list, ")"), ", ") {
		n, t, _ := strings.Cut(column, " ")
		names, types = append(names, n), append(types, t)
	}
	return names, types
}

// castResult casts a result, which comes as text, to the declared type of a function's column.
func castResult(e *sql.Node, name string) *sql.Node {
	_, types := resultColumns(name)
	return castTo(e, types[0])
}

func castTo(e *sql.Node, typ string) *sql.Node {
	if typ == "void" {
		e = sql.Text("") // text has no cast to void, but void's input function takes anything
	}
	stmts, err := sql.Parse("SELECT NULL::" + typ)
	if err != nil {
		return e
	}
	cast := stmts[0].Tree.GetSelectStmt().TargetList[0].GetResTarget().Val
	clearLocations(cast)
	cast.GetTypeCast().Arg = e
	return cast
}

// putCallResult puts the reading of a call's results in its place: a FROM item for a function in FROM, a scalar subquery elsewhere.
func (p *planner) putCallResult(sel *sql.SelectStmt, call *sql.Node, index int) {
	name := callName(call)
	names, types := resultColumns(name)
	var targets []*sql.Node
	for i, column := range names {
		targets = append(targets, sql.Target(column, castTo(sql.Column("results", column), types[i])))
	}
	read := sql.Select(targets, []*sql.Node{sql.Table("", intermediateName(index), "results")}, nil)
	for _, item := range sel.FromClause {
		f := item.GetRangeFunction()
		if f == nil || len(f.Functions) != 1 || len(f.Functions[0].GetList().GetItems()) == 0 || f.Functions[0].GetList().Items[0] != call {
			continue
		}
		alias := f.Alias
		if alias == nil {
			alias = &sql.Alias{Aliasname: name}
		}
		if len(alias.Colnames) == 0 && len(names) == 1 {
			alias.Colnames = sql.StringNodes(alias.Aliasname)
		}
		item.Node = sql.Subquery(read, alias, false).Node
		return
	}
	for _, item := range sel.TargetList {
		if item.GetResTarget().Val == call && item.GetResTarget().Name == "" {
			item.GetResTarget().Name = name
		}
	}
	if len(names) > 1 {
		// Each row as one value, of the function's row type as far as its text goes.
		read.TargetList = []*sql.Node{sql.Target(name, sql.Row(targets))}
		sel.FromClause = append(sel.FromClause, sql.Subquery(read, &sql.Alias{Aliasname: name}, false))
		call.Node = sql.Column(name, name).Node
		return
	}
	call.Node = sql.ScalarSubquery(read).Node
}
