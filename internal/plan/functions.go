package plan

import (
	"slices"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// perRow are pg_catalog's volatile functions that may be evaluated on any node, once per row.
var perRow = map[string]bool{"random": true, "random_normal": true, "gen_random_uuid": true, "uuidv4": true, "uuidv7": true,
	"clock_timestamp": true, "timeofday": true}

// coordinatorStable are pg_catalog's functions that are not volatile but look at the server they run on.
var coordinatorStable = map[string]bool{
	"pg_relation_size": true, "pg_table_size": true, "pg_total_relation_size": true, "pg_indexes_size": true, "pg_database_size": true,
	"to_regclass": true, "to_regtype": true, "to_regproc": true, "to_regnamespace": true, "to_regrole": true,
	"pg_get_viewdef": true, "pg_get_indexdef": true, "pg_get_constraintdef": true, "pg_get_expr": true, "pg_get_serial_sequence": true,
	"pg_get_functiondef": true, "pg_get_userbyid": true, "format_type": true, "obj_description": true, "col_description": true,
	"has_table_privilege": true, "has_column_privilege": true, "has_schema_privilege": true, "has_database_privilege": true,
	"has_function_privilege": true, "has_sequence_privilege": true, "pg_has_role": true, "pg_table_is_visible": true,
	"pg_backend_pid": true, "txid_current": true, "pg_current_xact_id": true, "txid_current_if_assigned": true, "pg_postmaster_start_time": true,
	"inet_server_addr": true, "inet_server_port": true, "inet_client_addr": true, "inet_client_port": true, "version": true,
	"current_database": true, "current_catalog": true, "current_schema": true, "current_schemas": true, "pg_is_in_recovery": true, "pg_typeof": true,
	"pg_my_temp_schema": true, "row_security_active": true, "pg_current_wal_lsn": true, "query_to_xml": true, "table_to_xml": true, "pg_column_size": false,
}

// statementTime are the functions whose value is one instant for the whole statement.
var statementTime = map[string]bool{"now": true, "transaction_timestamp": true, "statement_timestamp": true}

// overloads finds the functions that a call may mean.
func (p *planner) overloads(names []string) []*catalog.Function {
	all := p.catalog.Functions[names[len(names)-1]]
	if len(names) == 1 {
		return all
	}
	var found []*catalog.Function
	for _, f := range all {
		if f.Schema == names[len(names)-2] {
			found = append(found, f)
		}
	}
	return found
}

// latestTID is the function of schema trunkline_internal that finds the newest version of a row on its node.
const latestTID = "latest_tid"

// callNeedsCoordinator tells whether a function call must be evaluated on the coordinator, once, where PostgreSQL would.
func (p *planner) callNeedsCoordinator(call *sql.FuncCall) bool {
	names := sql.Strings(call.Funcname)
	name := names[len(names)-1]
	for _, f := range p.overloads(names) {
		switch {
		case f.Schema == "trunkline_internal" && name == latestTID:
		case f.ReadsTables:
			return true
		case f.Schema == "pg_catalog":
			if f.Volatility == 'v' && !perRow[name] || coordinatorStable[name] {
				return true
			}
		case f.Schema == "trunkline":
			return true
		case f.Volatility != 'i' && f.Kind != 'a' && f.Language != "c" && f.Language != "internal":
			// It may read local tables, which other nodes do not have.
			return true
		case p.isRowType(f.Result) || slices.ContainsFunc(f.Args, p.isRowType):
			return true
		}
	}
	return false
}

// exprNeedsCoordinator looks for calls and casts that must be evaluated on the coordinator. Subqueries are not entered: they are
// blocks of their own.
func (p *planner) exprNeedsCoordinator(e proto.Message) bool {
	found := false
	sql.Walk(e, func(m proto.Message) bool {
		n, ok := m.(*sql.Node)
		if found || !ok {
			return !found
		}
		switch {
		case n.GetSubLink() != nil:
			found = n.GetSubLink().Testexpr != nil && p.exprNeedsCoordinator(n.GetSubLink().Testexpr) || p.readsRows(n.GetSubLink().Subselect)
			return false
		case n.GetFuncCall() != nil:
			found = p.callNeedsCoordinator(n.GetFuncCall())
			if names := sql.Strings(n.GetFuncCall().Funcname); names[len(names)-1] == latestTID {
				return false // a tableoid in it is the shard's, on its node
			}
		case n.GetTypeCast() != nil:
			found = oidAlias(n.GetTypeCast().TypeName) || p.rowType(n.GetTypeCast().TypeName)
		case n.GetColumnRef() != nil:
			names := sql.Strings(n.GetColumnRef().Fields)
			found = names[len(names)-1] == "tableoid"
		}
		return !found
	})
	return found
}

// readsRows tells whether a subquery reads an intermediate result that holds whole rows of tables.
func (p *planner) readsRows(query *sql.Node) bool {
	found := false
	sql.Walk(query, func(m proto.Message) bool {
		if v, ok := rangeVar(m); ok && v.Schemaname == "" {
			if index, ok := intermediateIndex(v.Relname); ok {
				found = found || slices.ContainsFunc(p.intermediates[index].types, p.isRowType)
			}
		}
		return !found
	})
	return found
}

// rowType tells whether a type is the row type of a table.
func (p *planner) rowType(t *sql.TypeName) bool { return p.isRowType(p.namedType(t)) }

// isRowType tells whether a type is the row type of a table, which other nodes do not have under that name.
func (p *planner) isRowType(oid uint32) bool {
	known := p.catalog.Types[oid]
	if known == nil || known.Kind != 'c' {
		return false
	}
	r := p.catalog.Relations[catalog.Name{Schema: known.Schema, Name: known.Name}]
	return r != nil && r.RelKind != 'c'
}

// oidAlias tells whether a type's values are OIDs of objects, which differ from node to node.
func oidAlias(t *sql.TypeName) bool {
	names := sql.Strings(t.GetNames())
	if len(names) == 0 {
		return false
	}
	switch names[len(names)-1] {
	case "regclass", "regtype", "regproc", "regprocedure", "regnamespace", "regrole", "regoper", "regoperator", "regconfig", "regdictionary", "regcollation":
		return true
	}
	return false
}

// volatileBelow tells whether any call below e is volatile.
func (p *planner) volatileBelow(e proto.Message) bool {
	found := false
	sql.Walk(e, func(m proto.Message) bool {
		if n, ok := m.(*sql.Node); ok && n.GetFuncCall() != nil {
			for _, f := range p.overloads(sql.Strings(n.GetFuncCall().Funcname)) {
				found = found || f.Volatility == 'v'
			}
		}
		return !found
	})
	return found
}

// dependsOnRows tells whether e refers to any column or subquery.
func (p *planner) dependsOnRows(e proto.Message) bool {
	found := false
	sql.Walk(e, func(m proto.Message) bool {
		if n, ok := m.(*sql.Node); ok && (n.GetColumnRef() != nil || n.GetSubLink() != nil) {
			found = true
		}
		return !found
	})
	return found
}

// aggregateCall gives the call when e is an aggregate (not a window function).
func (p *planner) aggregateCall(e *sql.Node) *sql.FuncCall {
	call := e.GetFuncCall()
	if call == nil || call.Over != nil {
		return nil
	}
	if call.AggStar || call.AggWithinGroup || call.AggDistinct || len(call.AggOrder) > 0 || call.AggFilter != nil {
		return call
	}
	for _, f := range p.overloads(sql.Strings(call.Funcname)) {
		if f.Kind == 'a' {
			return call
		}
	}
	return nil
}

// hasAggregate looks for an aggregate of e's own level.
func (p *planner) hasAggregate(e proto.Message) bool {
	found := false
	sql.Walk(e, func(m proto.Message) bool {
		n, ok := m.(*sql.Node)
		if !ok || found {
			return !found
		}
		if n.GetSubLink() != nil {
			found = n.GetSubLink().Testexpr != nil && p.hasAggregate(n.GetSubLink().Testexpr)
			return false
		}
		found = p.aggregateCall(n) != nil || n.GetGroupingFunc() != nil || isJSONAggregate(n)
		return !found
	})
	return found
}

func isJSONAggregate(n *sql.Node) bool {
	return n.GetJsonObjectAgg() != nil || n.GetJsonArrayAgg() != nil
}

// aggregatesOuter tells whether a block has an aggregate whose arguments are all columns of enclosing blocks.
func (p *planner) aggregatesOuter(b *block) bool {
	if len(b.outer) == 0 {
		return false
	}
	found := false
	for _, e := range ownExprs(b) {
		if e == nil {
			continue
		}
		sql.Walk(e, func(m proto.Message) bool {
			n, ok := m.(*sql.Node)
			if !ok || found {
				return !found
			}
			call := p.aggregateCall(n)
			if call == nil {
				return true
			}
			inner, outer := false, false
			sql.Walk(sql.CallNode(call), func(m proto.Message) bool {
				if n, ok := m.(*sql.Node); ok && n.GetSubLink() != nil {
					for _, link := range b.sublinks {
						if link.node != n.GetSubLink() {
							continue
						}
						for _, id := range link.block.outer {
							inner, outer = inner || b.owns(id.rel), outer || !b.owns(id.rel)
						}
					}
					return false
				}
				if n, ok := m.(*sql.Node); ok && n.GetColumnRef() != nil {
					_, level, ok := b.lookup(sql.Strings(n.GetColumnRef().Fields))
					inner, outer = inner || !ok || level == 0, outer || ok && level > 0
				}
				return true
			})
			found = outer && !inner
			return false
		})
	}
	return found
}

// plainAggregate tells whether a block aggregates, with or without GROUP BY.
func (p *planner) plainAggregate(b *block) bool {
	if b.sel.Op != sql.SetopNone {
		return false
	}
	for _, list := range [][]*sql.Node{b.sel.TargetList, b.sel.SortClause, {b.sel.HavingClause}} {
		for _, e := range list {
			if e != nil && p.hasAggregate(e) {
				return true
			}
		}
	}
	return b.sel.HavingClause != nil
}

// windows gives all window definitions that a block's expressions use.
func windows(b *block) []*sql.WindowDef {
	var defs []*sql.WindowDef
	for _, list := range [][]*sql.Node{b.sel.TargetList, b.sel.SortClause} {
		for _, e := range list {
			sql.Walk(e, func(m proto.Message) bool {
				n, ok := m.(*sql.Node)
				if !ok {
					return true
				}
				if call := n.GetFuncCall(); call != nil && call.Over != nil {
					defs = append(defs, call.Over)
				}
				return n.GetSubLink() == nil
			})
		}
	}
	return defs
}

// windowsByKey tells whether every window's partitions lie within one shard each.
func (p *planner) windowsByKey(b *block, isKey func(*sql.Node) bool) bool {
	for _, def := range windows(b) {
		partition := def.PartitionClause
		for name := firstOf(def.Name, def.Refname); name != "" && len(partition) == 0; {
			next := ""
			for _, item := range b.sel.WindowClause {
				if w := item.GetWindowDef(); w.GetName() == name {
					partition, next = w.PartitionClause, w.Refname
				}
			}
			name = next
		}
		byKey := false
		for _, e := range partition {
			byKey = byKey || isKey(e)
		}
		if !byKey {
			return false
		}
	}
	return true
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// relHashed tells whether a FROM item reads distributed rows anywhere in it.
func (p *planner) relHashed(r *rel) bool {
	switch r.kind {
	case relDistributed:
		return true
	case relIntermediate:
		return p.repartitioned(r) >= 0
	case relSubquery:
		return p.blockHashed(r.block)
	case relRecursive:
		return r.block != nil && p.blockHashed(r.block)
	}
	return false
}

// blockHashed tells whether a block or anything below it reads distributed rows.
func (p *planner) blockHashed(b *block) bool {
	if b == nil {
		return false
	}
	if b.sel.Op != sql.SetopNone && (p.blockHashed(b.left) || p.blockHashed(b.right)) {
		return true
	}
	for _, r := range b.rels {
		if r.kind != relRecursive && p.relHashed(r) {
			return true
		}
	}
	for _, c := range b.withs {
		if p.blockHashed(c.block) {
			return true
		}
	}
	for _, link := range b.sublinks {
		if p.blockHashed(link.block) {
			return true
		}
	}
	return false
}

// blockNeedsCoordinator tells whether a block or anything below it reads local tables or calls functions of the coordinator.
func (p *planner) blockNeedsCoordinator(b *block) bool {
	if b == nil {
		return false
	}
	if b.sel.Op != sql.SetopNone && (p.blockNeedsCoordinator(b.left) || p.blockNeedsCoordinator(b.right)) {
		return true
	}
	for _, r := range b.rels {
		switch r.kind {
		case relLocal:
			return true
		case relRecursive:
			if p.blockNeedsCoordinator(r.block) {
				return true
			}
		case relFunction:
			if p.functionNeedsCoordinator(r) {
				return true
			}
		case relSubquery:
			if p.blockNeedsCoordinator(r.block) {
				return true
			}
		}
	}
	for _, link := range b.sublinks {
		if p.blockNeedsCoordinator(link.block) {
			return true
		}
	}
	for _, c := range b.withs {
		if p.blockNeedsCoordinator(c.block) {
			return true
		}
	}
	// Volatile expressions of a block that every node would run for itself would give other rows on each.
	return p.anyNeedsCoordinator(b) || !p.blockHashed(b) && len(b.outer) == 0 && p.ownVolatile(b)
}

func (p *planner) functionNeedsCoordinator(r *rel) bool {
	if p.exprNeedsCoordinator(r.node) {
		return true
	}
	return p.volatileBelow(r.node)
}

// ownExprs are the expressions of a block's own level.
func ownExprs(b *block) []*sql.Node {
	s := b.sel
	exprs := append([]*sql.Node{s.WhereClause, s.HavingClause, s.LimitCount, s.LimitOffset}, s.TargetList...)
	exprs = append(exprs, s.GroupClause...)
	exprs = append(exprs, s.SortClause...)
	exprs = append(exprs, s.DistinctClause...)
	exprs = append(exprs, s.WindowClause...)
	exprs = append(exprs, s.ValuesLists...)
	return exprs
}

func (p *planner) anyNeedsCoordinator(b *block) bool {
	for _, e := range ownExprs(b) {
		if e != nil && p.exprNeedsCoordinator(e) {
			return true
		}
	}
	for _, n := range b.from {
		if p.joinNeedsCoordinator(n) {
			return true
		}
	}
	return false
}

// joinNeedsCoordinator tells whether a join's condition, or one below it, must be evaluated on the coordinator.
func (p *planner) joinNeedsCoordinator(n *fromNode) bool {
	if n.rel != nil {
		return false
	}
	for _, q := range n.quals {
		if p.exprNeedsCoordinator(q) {
			return true
		}
	}
	return p.joinNeedsCoordinator(n.left) || p.joinNeedsCoordinator(n.right)
}

func (p *planner) ownVolatile(b *block) bool {
	for _, e := range ownExprs(b) {
		if e != nil && p.volatileBelow(e) {
			return true
		}
	}
	return false
}

// resolveGroupItem gives the expression that a GROUP BY item means: an output column's by number or, where no input column has
// the name, by name.
func (p *planner) resolveGroupItem(b *block, e *sql.Node) *sql.Node {
	if i, ok := position(e); ok && i < len(b.outputs) {
		return b.outputs[i].expr
	}
	if ref := e.GetColumnRef(); ref != nil && len(ref.Fields) == 1 {
		if _, ok := b.lookupHere(sql.Strings(ref.Fields)); !ok {
			return b.outputNamed(e)
		}
	}
	return e
}

// resolveSortItem gives the expression that an ORDER BY or DISTINCT ON item means: output columns' names come first here.
func (p *planner) resolveSortItem(b *block, e *sql.Node) *sql.Node {
	if i, ok := position(e); ok && i < len(b.outputs) {
		return b.outputs[i].expr
	}
	return b.outputNamed(e)
}

func (b *block) outputNamed(e *sql.Node) *sql.Node {
	if ref := e.GetColumnRef(); ref != nil && len(ref.Fields) == 1 {
		name := sql.Strings(ref.Fields)[0]
		for _, o := range b.outputs {
			if o.name == name && o.expr != nil {
				return o.expr
			}
		}
	}
	return e
}

// position reads a plain integer constant as a 0-based output column number.
func position(e *sql.Node) (int, bool) {
	if c := e.GetAConst(); c != nil && c.GetIval() != nil && !c.Isnull {
		return int(c.GetIval().Ival) - 1, c.GetIval().Ival > 0
	}
	return 0, false
}
