package plan

import (
	"slices"
	"strings"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// relKind is what an item of a FROM clause is.
type relKind byte

const (
	relDistributed  relKind = iota // a distributed table
	relReference                   // a reference table
	relLocal                       // any other relation of the coordinator
	relSubquery                    // a subquery, with its own block
	relIntermediate                // an intermediate result
	relFunction                    // a function, or several (ROWS FROM)
	relRecursive                   // a WITH query that could not be inlined, within its own statement
)

// rel is one item of a FROM clause, join trees taken apart.
type rel struct {
	kind     relKind
	alias    string
	schema   string            // by which its columns may be qualified, "" when aliased
	table    *catalog.Relation // of a table
	columns  []string          // nil when not known (functions)
	types    []uint32          // parallel to columns; 0 when not known
	block    *block            // of a subquery
	lateral  bool              // it refers to its neighbours
	node     *sql.Node         // the FROM item itself
	whole    bool              // all of its columns are needed (a star, a whole-row reference, a natural join)
	used     map[int]int       // how often expressions name each column
	settled  map[int]int       // how many of these times in conditions that need not be checked again once the item has been run first
	system   map[string]bool   // the system columns that any expression names
	owner    *block            // whose FROM clause it stands in
	wholeRow bool              // an expression uses a whole row of it as one value
	hidden   bool              // inside an aliased join: only the join's own name can reach it
}

// columnID names a column of a rel.
type columnID struct {
	rel *rel
	col int
}

// fromNode is a FROM item or a join of two.
type fromNode struct {
	rel         *rel // leaf, or nil
	join        *sql.JoinExpr
	item        *sql.Node // that holds join
	left, right *fromNode
	quals       []*sql.Node   // the conjuncts of ON
	using       [][2]columnID // columns made equal by USING or NATURAL
}

// sublink is a subquery inside an expression.
type sublink struct {
	node    *sql.SubLink
	wrapper *sql.Node // the *Node that holds it, to be replaced
	block   *block
	test    *sql.Node // left side of IN/ANY/ALL
}

// block is one SELECT (or the query part of a write) with its FROM items bound to what they mean.
type block struct {
	parent       *block
	sel          *sql.SelectStmt
	from         []*fromNode
	rels         []*rel
	where        []*sql.Node // conjuncts
	sublinks     []*sublink
	left         *block // of a set operation
	right        *block
	ctes         map[string]*cte
	withs        []*cte                // those of this level
	merged       map[string][]columnID // columns merged by USING/NATURAL, by name; a FULL join's cannot be traced to one side
	fullMerged   map[string]bool
	outputs      []output
	outer        []columnID // columns of enclosing blocks that this block or one below it refers to
	unknownWidth bool       // it returns the fields of a composite value, which the planner does not count
	complex      bool       // something in it could not be bound: treated as reaching anything
}

// cte is a WITH query that stays one: it reads no distributed rows, or is recursive.
type cte struct {
	name      string
	columns   []string
	types     []uint32
	block     *block
	recursive bool
}

// conjuncts takes an AND apart.
func conjuncts(e *sql.Node) []*sql.Node {
	if e == nil {
		return nil
	}
	if b := e.GetBoolExpr(); b != nil && b.Boolop == sql.BoolAnd {
		var all []*sql.Node
		for _, arg := range b.Args {
			all = append(all, conjuncts(arg)...)
		}
		return all
	}
	return []*sql.Node{e}
}

// bindSelect binds a SELECT and everything below it.
func (p *planner) bindSelect(sel *sql.SelectStmt, parent *block) (*block, error) {
	b := &block{parent: parent, sel: sel, merged: map[string][]columnID{}, fullMerged: map[string]bool{}}
	if sel.WithClause != nil {
		if err := p.bindWith(b, sel.WithClause); err != nil {
			return nil, err
		}
	}
	if sel.Op != sql.SetopNone {
		return b, p.bindSetOperation(b)
	}
	for _, item := range sel.FromClause {
		node, err := p.bindFrom(b, item)
		if err != nil {
			return nil, err
		}
		b.from = append(b.from, node)
	}
	b.where = conjuncts(sel.WhereClause)
	for _, values := range sel.ValuesLists {
		if err := p.bindExpr(b, values); err != nil {
			return nil, err
		}
	}
	exprs := append([]*sql.Node{}, sel.TargetList...)
	exprs = append(exprs, sel.WhereClause, sel.HavingClause, sel.LimitCount, sel.LimitOffset)
	exprs = append(exprs, sel.WindowClause...)
	for i, list := range [][]*sql.Node{sel.GroupClause, sel.DistinctClause, sel.SortClause} {
		for _, item := range list {
			if !b.namesOutput(item, i == 0) {
				exprs = append(exprs, item)
			}
		}
	}
	for _, e := range exprs {
		if err := p.bindExpr(b, e); err != nil {
			return nil, err
		}
	}
	p.bindOutputs(b)
	return b, nil
}

func (p *planner) bindSetOperation(b *block) error {
	var err error
	// The arms see this level's WITH queries and the enclosing query's columns, but no FROM items of this level: it has none.
	if b.left, err = p.bindSelect(b.sel.Larg, b); err != nil {
		return err
	}
	if b.right, err = p.bindSelect(b.sel.Rarg, b); err != nil {
		return err
	}
	b.adoptOuter(b.left)
	b.adoptOuter(b.right)
	for _, e := range []*sql.Node{b.sel.LimitCount, b.sel.LimitOffset} {
		if err := p.bindExpr(b, e); err != nil {
			return err
		}
	}
	b.outputs = make([]output, len(b.left.outputs))
	for i, o := range b.left.outputs {
		b.outputs[i] = output{name: o.name}
		if i < len(b.right.outputs) && b.right.outputs[i].typ == o.typ {
			b.outputs[i].typ = o.typ
		}
	}
	return nil
}

// bindFrom binds one FROM item of b.
func (p *planner) bindFrom(b *block, item *sql.Node) (*fromNode, error) {
	switch {
	case item.GetRangeVar() != nil:
		r, err := p.bindRangeVar(b, item)
		if err != nil {
			return nil, err
		}
		return p.leaf(b, r), nil
	case item.GetRangeSubselect() != nil:
		s := item.GetRangeSubselect()
		r := &rel{kind: relSubquery, node: item, lateral: s.Lateral}
		// Only a LATERAL subquery sees its neighbours; any sees the enclosing queries.
		parent := b.parentView(s.Lateral)
		sub, err := p.bindSelect(s.Subquery.GetSelectStmt(), parent)
		if err != nil {
			return nil, err
		}
		r.block = sub
		b.complex = b.complex || p.aggregatesOuter(sub)
		for _, o := range sub.outputs {
			r.columns = append(r.columns, o.name)
			r.types = append(r.types, o.typ)
		}
		r.rename(s.Alias)
		if !s.Lateral {
			b.adoptOuter(sub)
		} else {
			r.lateral = len(sub.outer) > 0
			b.adoptOuter(sub)
		}
		return p.leaf(b, r), nil
	case item.GetRangeFunction() != nil:
		f := item.GetRangeFunction()
		r := &rel{kind: relFunction, node: item, lateral: true}
		for _, fn := range f.Functions {
			if err := p.bindExpr(b, fn); err != nil {
				return nil, err
			}
		}
		if f.Alias != nil {
			r.alias = f.Alias.Aliasname
			for _, name := range sql.Strings(f.Alias.Colnames) {
				r.columns = append(r.columns, name)
				r.types = append(r.types, 0)
			}
		} else {
			r.alias = functionName(f)
		}
		if len(r.columns) == 0 && !f.Ordinality && !f.IsRowsfrom && len(f.Coldeflist) == 0 && p.scalarFunction(f) {
			r.columns, r.types = []string{r.alias}, []uint32{0}
		}
		return p.leaf(b, r), nil
	case item.GetJoinExpr() != nil:
		return p.bindJoin(b, item)
	case item.GetRangeTableSample() != nil:
		sample := item.GetRangeTableSample()
		node, err := p.bindFrom(b, sample.Relation)
		if err != nil {
			return nil, err
		}
		node.rel.node = item
		return node, nil
	}
	// XMLTABLE, JSON_TABLE: PostgreSQL evaluates them wherever they stand.
	r := &rel{kind: relFunction, node: item, lateral: true}
	sql.Walk(item, func(m proto.Message) bool {
		if a, ok := m.(*sql.Alias); ok && r.alias == "" {
			r.alias = a.Aliasname
		}
		return true
	})
	return p.leaf(b, r), p.bindExpr(b, item)
}

// functionName is what a FROM function without an alias goes by: the name of the first function.
func functionName(f *sql.RangeFunction) string {
	if len(f.Functions) > 0 {
		if items := f.Functions[0].GetList().GetItems(); len(items) > 0 {
			return figureName(items[0])
		}
	}
	return ""
}

// scalarFunction tells whether a FROM function surely gives one column, named after its alias.
func (p *planner) scalarFunction(f *sql.RangeFunction) bool {
	if len(f.Functions) != 1 {
		return false
	}
	items := f.Functions[0].GetList().GetItems()
	if len(items) == 0 || items[0].GetFuncCall() == nil {
		return false
	}
	names := sql.Strings(items[0].GetFuncCall().Funcname)
	for _, fn := range p.catalog.Functions[names[len(names)-1]] {
		t := p.catalog.Types[fn.Result]
		if t == nil || t.Kind == 'c' || t.Kind == 'p' && !strings.HasPrefix(t.Name, "any") {
			return false
		}
	}
	return true
}

// parentView is what a subquery in FROM sees: for LATERAL this block itself, else only what encloses it.
func (b *block) parentView(lateral bool) *block {
	if lateral {
		return b
	}
	return &block{parent: b.parent, ctes: b.ctes, merged: map[string][]columnID{}, sel: b.sel}
}

func (b *block) adoptOuter(sub *block) {
	for _, id := range sub.outer {
		if !b.owns(id.rel) {
			b.outer = append(b.outer, id)
		}
	}
	b.complex = b.complex || sub.complex
}

func (b *block) owns(r *rel) bool {
	for _, own := range b.rels {
		if own == r {
			return true
		}
	}
	return false
}

func (p *planner) leaf(b *block, r *rel) *fromNode {
	r.used, r.settled, r.system, r.owner = map[int]int{}, map[int]int{}, map[string]bool{}, b
	b.rels = append(b.rels, r)
	return &fromNode{rel: r}
}

// rename applies an alias and its column names.
func (r *rel) rename(alias *sql.Alias) {
	if alias == nil {
		return
	}
	r.alias, r.schema = alias.Aliasname, ""
	for i, name := range sql.Strings(alias.Colnames) {
		if i < len(r.columns) {
			r.columns[i] = name
			r.whole = true // names go by position, so no column may be left out
		}
	}
}

func (p *planner) bindRangeVar(b *block, item *sql.Node) (*rel, error) {
	v := item.GetRangeVar()
	r := &rel{node: item, alias: v.Relname}
	if v.Schemaname == "" {
		if index, ok := intermediateIndex(v.Relname); ok {
			r.kind = relIntermediate
			r.columns = append(r.columns, p.intermediates[index].columns...)
			r.types = append(r.types, p.intermediates[index].types...)
			r.rename(v.Alias)
			return r, nil
		}
		if c := b.findCTE(v.Relname); c != nil {
			r.kind = relSubquery
			if c.recursive {
				r.kind = relRecursive
			}
			r.block = c.block
			r.columns = append(r.columns, c.columns...)
			r.types = append(r.types, c.types...)
			r.rename(v.Alias)
			return r, nil
		}
	}
	table := p.resolve(v)
	r.kind = relLocal
	r.schema = v.Schemaname
	if table == nil {
		r.rename(v.Alias)
		return r, nil
	}
	r.table = table
	r.schema = table.Schema
	switch table.Kind {
	case catalog.Distributed:
		r.kind = relDistributed
	case catalog.Reference:
		r.kind = relReference
	}
	for _, c := range table.Columns {
		r.columns = append(r.columns, c.Name)
		r.types = append(r.types, c.TypeOID)
	}
	r.rename(v.Alias)
	return r, nil
}

// resolve finds the relation that a name in the statement means. Temporary tables come first, as in PostgreSQL; the names of
// schema trunkline come last.
func (p *planner) resolve(v *sql.RangeVar) *catalog.Relation {
	if v.Schemaname == catalog.TemporarySchema || v.Schemaname == "" && p.settings.TempTables[v.Relname] {
		return p.settings.TempViews[v.Relname]
	}
	return p.catalog.Resolve(p.settings.SearchPath, v.Schemaname, v.Relname)
}

func (b *block) findCTE(name string) *cte {
	for ; b != nil; b = b.parent {
		if c := b.ctes[name]; c != nil {
			return c
		}
	}
	return nil
}

func (p *planner) bindJoin(b *block, item *sql.Node) (*fromNode, error) {
	j := item.GetJoinExpr()
	first := len(b.rels)
	left, err := p.bindFrom(b, j.Larg)
	if err != nil {
		return nil, err
	}
	middle := len(b.rels)
	right, err := p.bindFrom(b, j.Rarg)
	if err != nil {
		return nil, err
	}
	n := &fromNode{join: j, item: item, left: left, right: right, quals: conjuncts(j.Quals)}
	leftRels, rightRels := b.rels[first:middle], b.rels[middle:]
	names := sql.Strings(j.UsingClause)
	if j.IsNatural {
		names = commonColumns(leftRels, rightRels)
		if slices.ContainsFunc(b.rels[first:], func(r *rel) bool { return r.columns == nil }) {
			for _, r := range b.rels[first:] {
				r.whole = true // which of their columns are common is not known
			}
		}
	}
	for _, name := range names {
		l, okL := findColumn(leftRels, name, b.merged)
		r, okR := findColumn(rightRels, name, b.merged)
		if !okL || !okR {
			b.complex = true
			continue
		}
		n.using = append(n.using, [2]columnID{l, r})
		l.rel.used[l.col]++
		r.rel.used[r.col]++
		switch {
		case j.Jointype == sql.JoinFull:
			b.fullMerged[name] = true
			b.merged[name] = []columnID{l, r}
		case j.Jointype == sql.JoinRight:
			b.merged[name] = []columnID{r, l}
		default:
			b.merged[name] = []columnID{l, r}
		}
	}
	if j.Alias != nil {
		// The join's own name hides those of its members. Its columns are reached through unqualified names or the alias; the
		// planner does not trace the latter, so nothing may be left out of its members.
		for _, r := range b.rels[first:] {
			r.hidden, r.whole = true, true
		}
	}
	if err := p.bindExpr(b, j.Quals); err != nil {
		return nil, err
	}
	return n, nil
}

// bindExpr binds the subqueries in an expression and notes which columns it uses.
func (p *planner) bindExpr(b *block, e *sql.Node) error {
	if e == nil {
		return nil
	}
	var failed error
	sql.Walk(e, func(m proto.Message) bool {
		if failed != nil {
			return false
		}
		n, ok := m.(*sql.Node)
		if !ok {
			return true
		}
		if link := n.GetSubLink(); link != nil {
			if failed = p.bindExpr(b, link.Testexpr); failed != nil {
				return false
			}
			simplifyExists(link)
			sub, err := p.bindSelect(link.Subselect.GetSelectStmt(), b)
			if err != nil {
				failed = err
				return false
			}
			b.adoptOuter(sub)
			// An aggregate over nothing but columns of an enclosing query belongs to that query, wherever it stands.
			b.complex = b.complex || p.aggregatesOuter(sub)
			b.sublinks = append(b.sublinks, &sublink{node: link, wrapper: n, block: sub, test: link.Testexpr})
			return false
		}
		if ref := n.GetColumnRef(); ref != nil {
			b.use(ref)
			if p.onRef != nil {
				p.onRef(b, n)
			}
		}
		return true
	})
	return failed
}

// simplifyExists leaves out what EXISTS selects, where that is nothing but columns: it does not matter.
func simplifyExists(link *sql.SubLink) {
	sel := link.Subselect.GetSelectStmt()
	if link.SubLinkType != sql.SublinkExists || sel.Op != sql.SetopNone || len(sel.GroupClause) > 0 || sel.HavingClause != nil ||
		len(sel.DistinctClause) > 0 || len(sel.SortClause) > 0 || len(sel.ValuesLists) > 0 {
		return
	}
	for _, target := range sel.TargetList {
		if target.GetResTarget().GetVal().GetColumnRef() == nil {
			return
		}
	}
	if len(sel.TargetList) > 0 {
		sel.TargetList = []*sql.Node{sql.Target("", sql.Null())}
	}
}
