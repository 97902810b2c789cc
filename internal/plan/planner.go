package plan

import (
	"slices"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// planner holds the state of planning one statement.
type planner struct {
	stmt     sql.Statement
	literals []sql.Literal
	catalog  *catalog.Snapshot
	settings Settings

	plan          Plan
	intermediates []intermediate                // parallel to plan.Subplans
	sequences     []string                      // named by PieceSequence slots on their way through the deparser
	ownFilters    map[*rel][]*sql.Node          // the conditions that concern a FROM item alone
	settling      map[*rel][]settledCondition   // those of them that its rows need not meet again once it has been run first
	owners        map[*rel]*block               // the block of each FROM item
	estimated     []uint32                      // the tables whose size was asked for
	changing      *sql.Node                     // the FROM item whose rows the statement changes: it stays where it is
	chose         bool                          // by estimates, between plans that are all right
	buckets       []uint32                      // types by whose hash rows are spread over nodes: see Ship
	inlined       int                           // how many calls of functions have been replaced by their bodies
	types         map[catalog.Name]uint32       // namedType's answers
	readsTime     bool                          // readTimeOnce has run
	modifiers     []int                         // literals whose values are part of the plan although it has slots for them
	whole         *sql.Node                     // the statement as its tables were marked, before anything moved
	nested        bool                          // planning a data-modifying WITH query
	moved         bool                          // a part of the statement runs before the rest
	onRef         func(b *block, ref *sql.Node) // told of each column reference that is bound, while set
	rewritten     bool                          // the tree is no longer what the text says: it must be deparsed
}

// intermediate is what is known of an intermediate result's columns.
type intermediate struct {
	columns    []string
	types      []uint32
	collations []string

	ship        *Ship // where its rows go, nil for every node that asks
	rows, bytes float64
	distinct    []float64 // by column, an estimate
}

func newPlanner(stmt sql.Statement, literals []sql.Literal, snapshot *catalog.Snapshot, settings Settings) *planner {
	return &planner{stmt: stmt, literals: literals, catalog: snapshot, settings: settings}
}

// finish gives the plan, with the literals whose values it depends on.
func (p *planner) finish(root Operator, rung Rung) *Plan {
	p.plan.Root = root
	if p.plan.Rung < rung {
		p.plan.Rung = rung
	}
	var templates []Template
	verbatim := false
	for i := range p.plan.Subplans {
		templates = append(templates, p.plan.Subplans[i].templates()...)
	}
	switch r := root.(type) {
	case *Coordinator:
		templates, verbatim = append(templates, r.SQL), r.SQL == nil
	case *Gather:
		templates = append(templates, r.templates()...)
	case *InsertValues:
		templates = append(templates, r.Head, r.Tail)
		for _, row := range r.Rows {
			templates = append(templates, row.SQL, row.Key.template())
		}
	case *InsertRows:
		templates = append(templates, r.SQL)
	case *ReferenceWrite:
		templates = append(templates, r.SQL)
	case *ClusterCall:
		templates = append(templates, r.Args, r.SQL)
	case *Utility:
		verbatim = true
	}
	if p.chose {
		p.plan.Estimated = p.estimated
	}
	p.plan.FixedLiterals = p.modifiers
	if !verbatim {
		p.plan.FixedLiterals = p.fixed(templates)
		for _, index := range p.modifiers {
			if !slices.Contains(p.plan.FixedLiterals, index) {
				p.plan.FixedLiterals = append(p.plan.FixedLiterals, index)
			}
		}
	}
	return &p.plan
}

func (g *Gather) templates() []Template {
	all := []Template{g.SQL}
	for _, v := range g.Pruning.Keys {
		all = append(all, v.template())
	}
	for _, b := range append(slices.Clip(g.Pruning.Low), g.Pruning.High...) {
		all = append(all, b.Value.template())
	}
	for _, v := range []*Value{g.Limit, g.Offset} {
		if v != nil {
			all = append(all, v.template())
		}
	}
	return all
}

// template gives the slots that a value fills from the statement's literals.
func (v Value) template() Template {
	if v.Kind == ValueLiteral {
		return Template{{Kind: PieceLiteral, Index: v.Index}}
	}
	return v.SQL
}

// selectStatement plans a SELECT.
func (p *planner) selectStatement() (*Plan, error) {
	p.plan.ReturnsRows = true
	sel := p.stmt.Tree.GetSelectStmt()
	p.plan.Sticky = p.leavesState(sel)
	kind, err := p.prepareTree(p.stmt.Tree)
	if err != nil {
		return nil, err
	}
	sel = p.stmt.Tree.GetSelectStmt()
	if kind == readsCoordinator {
		if into := intoClause(sel); into != nil {
			p.plan.ReturnsRows = false
			p.plan.Writes = true
			p.plan.Sticky = p.plan.Sticky || into.Rel.GetRelpersistence() == "t"
		}
		return p.onCoordinator(p.stmt.Tree)
	}
	if into := intoClause(sel); into != nil {
		p.plan.ReturnsRows, p.plan.Writes = false, true
		p.plan.Sticky = p.plan.Sticky || into.Rel.GetRelpersistence() == "t"
		return p.storeQuery(sel, p.stmt.Tree)
	}
	g, err := p.query(sel, true)
	if err != nil {
		return nil, err
	}
	p.plan.Writes = p.plan.Writes || len(sel.LockingClause) > 0
	if g.Coordinator {
		rung := RungRecursive
		if !p.moved {
			rung = RungPushdown
		}
		return p.finish(&Coordinator{SQL: g.SQL}, rung), nil
	}
	return p.finish(g, p.rungOf(g)), nil
}

func (p *planner) rungOf(g *Gather) Rung {
	switch {
	case p.moved:
		return RungBroadcast
	case len(g.Pruning.Keys) == 1 && !g.Pruning.All:
		return RungRouter
	}
	return RungPushdown
}

// onCoordinator runs a statement there: as the client wrote it if nothing in it was renamed.
func (p *planner) onCoordinator(tree *sql.Node) (*Plan, error) {
	if !p.rewritten {
		return p.finish(&Coordinator{}, RungCoordinator), nil
	}
	t, err := p.template(tree)
	if err != nil {
		return nil, err
	}
	return p.finish(&Coordinator{SQL: t}, RungCoordinator), nil
}

func intoClause(sel *sql.SelectStmt) *sql.IntoClause {
	for sel.Op != sql.SetopNone {
		sel = sel.Larg
	}
	return sel.IntoClause
}

// storeQuery plans a statement (CREATE TABLE AS, SELECT INTO) that keeps a distributed query's rows in a new local table.
func (p *planner) storeQuery(query *sql.SelectStmt, whole *sql.Node) (*Plan, error) {
	for left := query; ; left = left.Larg {
		if left.Op == sql.SetopNone {
			into := left.IntoClause
			left.IntoClause = nil
			targets, err := p.typedOutputs(query)
			if err != nil {
				return nil, err
			}
			index, err := p.subplan(query, "the rows to be stored")
			if err != nil {
				return nil, err
			}
			stored := sql.Select(targets, []*sql.Node{readIntermediate(index, &sql.Alias{Aliasname: "rows"})}, nil)
			if create := whole.GetCreateTableAsStmt(); create != nil {
				create.Query = sql.SelectNode(stored)
			} else {
				stored.IntoClause = into
				whole = sql.SelectNode(stored)
			}
			t, err := p.template(whole)
			if err != nil {
				return nil, err
			}
			return p.finish(&Coordinator{SQL: t}, RungRecursive), nil
		}
	}
}

// typedOutputs reads a query's columns from its intermediate result, named rows, with the lengths and precisions that they are
// declared with: an intermediate result keeps types only.
func (p *planner) typedOutputs(query *sql.SelectStmt) ([]*sql.Node, error) {
	b, err := p.bindSelect(sql.Clone(query), nil)
	if err != nil {
		return nil, err
	}
	var targets []*sql.Node
	names := map[string]bool{}
	for _, o := range b.outputs {
		column := sql.Column("rows", o.name)
		if c := declaredColumn(b, o); c != nil && c.TypMod >= 0 && c.SQLType != "" {
			column = castTo(column, c.SQLType)
		}
		targets = append(targets, sql.Target(o.name, column))
		if names[o.name] {
			b.complex = true
		}
		names[o.name] = true
	}
	if b.complex || len(targets) == 0 {
		return []*sql.Node{sql.Target("", sql.Star(""))}, nil
	}
	return targets, nil
}

// declaredColumn finds the table's column that an output is, through subqueries, nil if it is none.
func declaredColumn(b *block, o output) *catalog.Column {
	for b.sel.Op == sql.SetopNone && o.col != nil && o.col.col >= 0 {
		r := o.col.rel
		switch {
		case r.table != nil && o.col.col < len(r.table.Columns):
			return &r.table.Columns[o.col.col]
		case r.kind == relSubquery && o.col.col < len(r.block.outputs):
			b, o = r.block, r.block.outputs[o.col.col]
		default:
			return nil
		}
	}
	return nil
}

// leavesState tells whether a statement may leave something in its server session that later statements need: then the session
// keeps the connection.
func (p *planner) leavesState(tree proto.Message) bool {
	found := false
	sql.Walk(tree, func(m proto.Message) bool {
		n, ok := m.(*sql.Node)
		if !ok || n.GetFuncCall() == nil {
			return !found
		}
		names := sql.Strings(n.GetFuncCall().Funcname)
		name := names[len(names)-1]
		for _, f := range p.overloads(names) {
			switch {
			case f.Schema == "pg_catalog":
				found = found || statefulBuiltin[name]
			case f.Schema != "trunkline" && f.Schema != "trunkline_call" && f.Language != "c" && f.Language != "internal":
				found = found || f.Volatility == 'v'
			}
		}
		return !found
	})
	return found
}

// statefulBuiltin are pg_catalog's functions that leave session state: currval, session locks, settings, large object handles.
var statefulBuiltin = map[string]bool{"nextval": true, "setval": true, "currval": true, "lastval": true, "set_config": true, "setseed": true,
	"pg_advisory_lock": true, "pg_advisory_lock_shared": true, "pg_try_advisory_lock": true, "pg_try_advisory_lock_shared": true,
	"pg_advisory_unlock": true, "pg_advisory_unlock_all": true, "pg_advisory_unlock_shared": true, "pg_listening_channels": true,
	"lo_open": true, "pg_backend_pid": true, "random": false, "dblink_connect": true}
