package plan

import (
	"slices"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// reads says what a statement's tables ask for.
type reads byte

const (
	readsCoordinator reads = iota // the coordinator alone can answer: local tables, and its copies of reference tables
	readsShards                   // there are distributed tables
)

// prepareTree resolves the names of a statement once, before planning: views over distributed tables are expanded, names of
// schema trunkline are qualified, and each reference to a distributed or reference table gets a marker (in its catalog name)
// with its index in Plan.Tables, which it keeps wherever planning moves it.
func (p *planner) prepareTree(tree *sql.Node) (reads, error) {
	if p.nested {
		if p.readsShardsBelow(tree) {
			return readsShards, nil
		}
		return readsCoordinator, nil
	}
	names := withNames(tree)
	kind, err := p.prepareBelow(tree, names, map[uint32]bool{})
	if err != nil {
		return kind, err
	}
	inlined, err := p.inlineCalls(tree)
	if err != nil {
		return kind, err
	}
	kind = max(kind, inlined)
	if name := p.callsReader(tree); name != "" {
		return kind, errReader(name)
	}
	if p.replicatedWith(tree) {
		kind = readsShards
	}
	if modifyingWith(tree) {
		p.whole = sql.Clone(tree)
	}
	return kind, nil
}

func errReader(function string) error {
	return sql.Unsupported("function "+function+" reads distributed tables",
		"Functions run on the coordinator, where distributed tables have no rows.",
		"Run the function's statements from the client, or inline them into the query.")
}

// readsShardsBelow tells whether a tree whose tables are marked names a distributed one.
func (p *planner) readsShardsBelow(tree proto.Message) bool {
	found := false
	sql.Walk(tree, func(m proto.Message) bool {
		if v, ok := rangeVar(m); ok && v.Catalogname != "" && !p.plan.Tables[markIndex(v)].Reference {
			found = true
		}
		return !found
	})
	return found
}

// withNames are the names that WITH clauses define anywhere in a statement. References to them by an unqualified name are
// sorted out by scope in markTable.
func withNames(tree proto.Message) map[string]bool {
	names := map[string]bool{}
	sql.Walk(tree, func(m proto.Message) bool {
		if n, ok := m.(*sql.Node); ok && n.GetCommonTableExpr() != nil {
			names[n.GetCommonTableExpr().Ctename] = true
		}
		return true
	})
	return names
}

func (p *planner) prepareBelow(tree proto.Message, hidden map[string]bool, expanding map[uint32]bool) (reads, error) {
	kind := readsCoordinator
	var failed error
	var visit func(m proto.Message, scope map[string]bool)
	visit = func(root proto.Message, scope map[string]bool) {
		sql.Walk(root, func(m proto.Message) bool {
			if failed != nil {
				return false
			}
			if with := withClause(m); with != nil && m != root {
				// The names of a WITH clause are known in its statement and, unless it is recursive, in its later queries only.
				inner := map[string]bool{}
				for name := range scope {
					inner[name] = true
				}
				if with.Recursive {
					for _, c := range with.Ctes {
						inner[c.GetCommonTableExpr().Ctename] = true
					}
				}
				for _, c := range with.Ctes {
					visit(c.GetCommonTableExpr().Ctequery, inner)
					next := map[string]bool{c.GetCommonTableExpr().Ctename: true}
					for name := range inner {
						next[name] = true
					}
					inner = next
				}
				p.withoutWithClause(m, func(rest proto.Message) { visit(rest, inner) })
				return false
			}
			n, isNode := m.(*sql.Node)
			if isNode && n.GetLockingClause() != nil {
				return false // FOR UPDATE OF names FROM items, not tables
			}
			v, isTable := rangeVar(m)
			switch {
			case isTable && !(v.Schemaname == "" && scope[v.Relname]):
				var k reads
				if k, failed = p.prepareTable(n, v, expanding); k > kind {
					kind = k
				}
			case isNode && n.GetFuncCall() != nil:
				p.qualifyCall(n.GetFuncCall())
			}
			return true
		})
	}
	root := &sql.Node{}
	if n, ok := tree.(*sql.Node); ok {
		root = n
	}
	if len(hidden) == 0 {
		visit(tree, nil)
	} else {
		wrapper := sql.Target("", root) // so that the statement's own WITH clause is met below the root
		visit(wrapper, nil)
	}
	return kind, failed
}

// withClause gives the WITH clause of a statement node.
func withClause(m proto.Message) *sql.WithClause {
	switch m := m.(type) {
	case *sql.Node:
		switch {
		case m.GetSelectStmt() != nil:
			return m.GetSelectStmt().WithClause
		case m.GetInsertStmt() != nil:
			return m.GetInsertStmt().WithClause
		case m.GetUpdateStmt() != nil:
			return m.GetUpdateStmt().WithClause
		case m.GetDeleteStmt() != nil:
			return m.GetDeleteStmt().WithClause
		case m.GetMergeStmt() != nil:
			return m.GetMergeStmt().WithClause
		}
	case *sql.SelectStmt:
		return m.WithClause
	}
	return nil
}

// withoutWithClause calls visit with a statement while its WITH clause is taken off.
func (p *planner) withoutWithClause(m proto.Message, visit func(proto.Message)) {
	take := func(at **sql.WithClause, stmt proto.Message) {
		saved := *at
		*at = nil
		visit(stmt)
		*at = saved
	}
	switch m := m.(type) {
	case *sql.Node:
		switch {
		case m.GetSelectStmt() != nil:
			take(&m.GetSelectStmt().WithClause, m)
		case m.GetInsertStmt() != nil:
			take(&m.GetInsertStmt().WithClause, m)
		case m.GetUpdateStmt() != nil:
			take(&m.GetUpdateStmt().WithClause, m)
		case m.GetDeleteStmt() != nil:
			take(&m.GetDeleteStmt().WithClause, m)
		case m.GetMergeStmt() != nil:
			take(&m.GetMergeStmt().WithClause, m)
		}
	case *sql.SelectStmt:
		take(&m.WithClause, m)
	}
}

// prepareTable marks one reference to a relation, or expands it if it is a view over distributed tables. n is nil where the
// grammar has no room for a subquery (the target of a write).
func (p *planner) prepareTable(n *sql.Node, v *sql.RangeVar, expanding map[uint32]bool) (reads, error) {
	if v.Catalogname != "" {
		return readsCoordinator, nil
	}
	table := p.resolve(v)
	if table == nil {
		if class, ok := catalog.Surface().Relations[v.Relname]; ok && (v.Schemaname == "" && !p.settings.TempTables[v.Relname] || v.Schemaname == "pg_catalog") {
			v.Schemaname = "trunkline"
			p.rewritten = true
			p.fact(v.Relname, class)
			if v.Alias == nil {
				v.Alias = &sql.Alias{Aliasname: v.Relname}
			}
		}
		return readsCoordinator, nil
	}
	if table.Schema == "trunkline" {
		p.fact(table.Name, catalog.Surface().Relations[table.Name])
	}
	switch {
	case table.Kind == catalog.Distributed || table.Kind == catalog.Reference:
		v.Catalogname = tableName(len(p.plan.Tables))
		ref := TableRef{Schema: table.Schema, Name: table.Name, ColocationID: table.ColocationID, Reference: table.Kind == catalog.Reference}
		p.plan.Tables = append(p.plan.Tables, ref)
		if ref.Reference {
			ref.ColocationID = 0
			return readsCoordinator, nil
		}
		return readsShards, nil
	case table.RelKind == 'v' && table.Definition != "" && n != nil:
		return p.expandView(n, v, table, expanding)
	}
	return readsCoordinator, nil
}

// fact notes that a function or view of schema trunkline needs facts of other nodes.
func (p *planner) fact(name string, class catalog.FunctionClass) {
	if class != catalog.NeedsFacts {
		return
	}
	for _, known := range p.plan.Facts {
		if known == name {
			return
		}
	}
	p.plan.Facts = append(p.plan.Facts, name)
}

// qualifyCall qualifies a call of a function of schema trunkline.
func (p *planner) qualifyCall(call *sql.FuncCall) {
	names := sql.Strings(call.Funcname)
	name := names[len(names)-1]
	f, ok := catalog.Surface().Functions[name]
	if !ok || isServersToo(name) || len(names) == 2 && names[0] != "pg_catalog" && names[0] != "trunkline" {
		return
	}
	if len(names) == 1 {
		for _, own := range p.catalog.Functions[name] {
			if own.Schema != "trunkline" && own.Schema != "trunkline_call" {
				return // the user's or PostgreSQL's own function of that name
			}
		}
	}
	if len(names) == 1 || names[0] == "pg_catalog" {
		call.Funcname = sql.StringNodes("trunkline", name)
		p.rewritten = true
	}
	p.fact(name, f.Class)
}

// expandView puts a view's query in its place if it reads distributed tables, however deep. PostgreSQL itself expands others.
func (p *planner) expandView(n *sql.Node, v *sql.RangeVar, view *catalog.Relation, expanding map[uint32]bool) (reads, error) {
	if expanding[view.OID] {
		return readsCoordinator, nil
	}
	stmts, err := sql.Parse(view.Definition)
	if err != nil || len(stmts) != 1 {
		return readsCoordinator, nil
	}
	tables, intermediate := len(p.plan.Tables), p.rewritten
	inner := map[uint32]bool{view.OID: true}
	for oid := range expanding {
		inner[oid] = true
	}
	query := stmts[0].Tree
	clearLocations(query)
	kind, err := p.prepareBelow(query, withNames(query), inner)
	if err != nil {
		return kind, err
	}
	inlined, err := p.inlineCalls(query)
	if err != nil {
		return kind, err
	}
	kind = max(kind, inlined)
	if name := p.callsReader(query); name != "" {
		return kind, errReader(name)
	}
	if kind == readsCoordinator {
		p.plan.Tables, p.rewritten = p.plan.Tables[:tables], intermediate
		return kind, nil
	}
	for _, t := range p.plan.Tables[tables:] {
		if r := p.catalog.Relations[catalog.Name{Schema: t.Schema, Name: t.Name}]; r != nil && r.RowSecurity {
			p.plan.ViewOwners = append(p.plan.ViewOwners, view.Owner)
		}
	}
	alias := &sql.Alias{Aliasname: v.Relname}
	if v.Alias != nil {
		alias = v.Alias
	}
	for _, c := range view.Columns[min(len(alias.Colnames), len(view.Columns)):] {
		alias.Colnames = append(alias.Colnames, sql.StringNodes(c.Name)...)
	}
	n.Node = sql.Subquery(query.GetSelectStmt(), alias, false).Node
	p.rewritten = true
	return kind, nil
}

// clearLocations forgets where a tree's nodes stood: they were not in the client's text.
func clearLocations(tree proto.Message) {
	sql.Walk(tree, func(m proto.Message) bool {
		switch m := m.(type) {
		case *sql.Node:
			switch {
			case m.GetAConst() != nil:
				m.GetAConst().Location = -1
			case m.GetColumnRef() != nil:
				m.GetColumnRef().Location = -1
			case m.GetRangeVar() != nil:
				m.GetRangeVar().Location = -1
			}
		case *sql.RangeVar:
			m.Location = -1
		}
		return true
	})
}

// callsReader gives the name of a called function whose body reads distributed tables.
func (p *planner) callsReader(tree proto.Message) string {
	name := ""
	sql.Walk(tree, func(m proto.Message) bool {
		var call *sql.FuncCall
		switch m := m.(type) {
		case *sql.Node:
			if field := fieldName(m); field != "" && p.readerOfRows(field) {
				name = field
			}
			call = m.GetFuncCall()
		case *sql.FuncCall: // of CALL
			call = m
		}
		if call == nil {
			return name == ""
		}
		for _, f := range p.overloads(sql.Strings(call.Funcname)) {
			if f.ReadsTables {
				name = f.Name
			}
		}
		return name == ""
	})
	return name
}

// fieldName gives the last part of "row.name" or "(row).name", "" for anything else.
func fieldName(n *sql.Node) string {
	fields := n.GetColumnRef().GetFields()
	if len(fields) == 1 {
		return ""
	}
	fields = append(fields[:len(fields):len(fields)], n.GetAIndirection().GetIndirection()...)
	if len(fields) == 0 {
		return ""
	}
	return fields[len(fields)-1].GetString_().GetSval()
}

// readerOfRows tells whether a name may call a function of a table's row, written like one of its columns, that reads distributed tables.
func (p *planner) readerOfRows(name string) bool {
	for _, f := range p.catalog.Functions[name] {
		if !f.ReadsTables || len(f.Args) != 1 || !p.isRowType(f.Args[0]) {
			continue
		}
		row := p.catalog.Types[f.Args[0]]
		columns := p.catalog.Relations[catalog.Name{Schema: row.Schema, Name: row.Name}].Columns
		if !slices.ContainsFunc(columns, func(c catalog.Column) bool { return c.Name == name }) {
			return true
		}
	}
	return false
}
