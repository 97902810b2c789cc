package plan

import (
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// combiner builds the two queries of a block that is finished on the coordinator: the task's query, whose output columns it
// collects, and the final query, in whose expressions the task's columns stand in place of what the tasks computed.
type combiner struct {
	p       *planner
	b       *block
	columns []*sql.Node // the task's output expressions
	result  intermediate
	alias   string // of the tasks' rows in the final query
	groups  int    // the first so many columns are what the tasks group by
	grouped int    // the first so many of those are what the block itself groups by; the others serve DISTINCT aggregates
	raw     bool   // the tasks return rows, not groups
	failed  bool   // the block cannot be split this way
}

// combine begins the two queries of a block.
func (p *planner) combine(b *block) *combiner { return &combiner{p: p, b: b, alias: b.rowsAlias()} }

// rowsAlias is a name for the rows of a block's tasks that no subquery in its expressions gives to something of its own.
func (b *block) rowsAlias() string {
	name := "t"
	for i := 1; b.aliasBelow(name); i++ {
		name = "t" + itoa(i)
	}
	return name
}

// aliasBelow tells whether a FROM item of a subquery in b's expressions goes by a name.
func (b *block) aliasBelow(name string) bool {
	found := false
	for _, link := range b.sublinks {
		sql.Walk(link.node.Subselect, func(m proto.Message) bool {
			v, table := rangeVar(m)
			a, alias := m.(*sql.Alias)
			found = found || table && v.Relname == name || alias && a.Aliasname == name
			return !found
		})
	}
	return found
}

// column gives the final query's name for an expression that the tasks compute.
func (c *combiner) column(e *sql.Node) *sql.Node {
	for i, known := range c.columns {
		if c.same(known, e) {
			return sql.Column(c.alias, c.result.columns[i])
		}
	}
	name := "c" + itoa(len(c.columns)+1)
	c.columns = append(c.columns, sql.Clone(e))
	c.result.columns = append(c.result.columns, name)
	c.result.types = append(c.result.types, c.p.exprType(c.b, e))
	c.result.collations = append(c.result.collations, c.p.collation(c.b, output{expr: e, typ: c.p.exprType(c.b, e)}))
	return sql.Column(c.alias, name)
}

// index is the number of the column that an expression of the final query names.
func (c *combiner) index(column *sql.Node) int {
	name := sql.Strings(column.GetColumnRef().Fields)[1]
	for i, known := range c.result.columns {
		if known == name {
			return i
		}
	}
	return -1
}

// aggregate plans a block whose groups span shards: each task aggregates its own rows into partial results, and the final query
// aggregates those. ok is false when an aggregate has no partial form that is proven to give PostgreSQL's own result.
func (p *planner) aggregate(b *block, pruning Pruning) (g *Gather, ok bool, err error) {
	c := p.combine(b)
	final := sql.Clone(b.sel)
	var sets bool
	for _, item := range b.sel.GroupClause {
		sets = c.group(item) || sets
	}
	c.groups, c.grouped = len(c.columns), len(c.columns)
	calls := c.collect()
	if c.failed {
		return nil, false, nil
	}
	// DISTINCT aggregates: the tasks group by the argument as well, which changes no other partial result's sum.
	for _, call := range calls {
		if call.AggDistinct && !c.distinctArguments(call) {
			return nil, false, nil
		}
	}
	c.groups = len(c.columns)
	var extra []*sql.Node
	replace := func(list []*sql.Node) {
		for _, e := range list {
			c.replace(e, &extra)
		}
	}
	c.expandOutputs(final)
	final.WhereClause = nil
	renumber(final.SortClause, b) // names of output columns come first there, and what they name may be a plain number
	renumber(final.DistinctClause, b)
	replace(final.TargetList)
	replace(final.SortClause)
	replace(final.WindowClause)
	for _, item := range final.GroupClause {
		p.writeOutPositions(b, item)
	}
	replace(final.GroupClause)
	for _, item := range final.DistinctClause {
		if item.GetNode() != nil && !isPosition(item) {
			item.Node = sql.Clone(p.resolveSortItem(b, item)).Node
			replace([]*sql.Node{item})
		}
	}
	if final.HavingClause != nil {
		c.replace(final.HavingClause, &extra)
	}
	if c.failed || len(extra) > 0 && sets {
		return nil, false, nil
	}
	worker := sql.Select(nil, b.sel.FromClause, sql.And(b.where...))
	for i, e := range c.columns {
		worker.TargetList = append(worker.TargetList, sql.Target(c.result.columns[i], e))
		if c.groups > i || c.contains(extra, e) {
			worker.GroupClause = append(worker.GroupClause, sql.Integer(i+1))
		}
	}
	for _, e := range extra {
		final.GroupClause = append(final.GroupClause, c.column(e))
	}
	if len(worker.TargetList) == 0 {
		worker.TargetList = []*sql.Node{sql.Target("one", sql.Integer(1))}
		c.result = intermediate{columns: []string{"one"}, types: []uint32{int4OID}, collations: []string{""}}
	}
	g, err = c.finish(worker, final, pruning, "partial aggregates of each task")
	return g, true, err
}

// writeOutPositions puts output columns' expressions in place of their numbers in an item of GROUP BY.
func (p *planner) writeOutPositions(b *block, item *sql.Node) {
	if i, ok := position(item); ok && i < len(b.outputs) {
		item.Node = sql.Clone(b.outputs[i].expr).Node
		return
	}
	for _, inner := range append(item.GetGroupingSet().GetContent(), item.GetRowExpr().GetArgs()...) {
		p.writeOutPositions(b, inner)
	}
}

func (c *combiner) contains(list []*sql.Node, e *sql.Node) bool {
	for _, x := range list {
		if c.same(x, e) {
			return true
		}
	}
	return false
}

// group makes columns of what a GROUP BY item groups by, and tells whether it holds grouping sets.
func (c *combiner) group(item *sql.Node) (sets bool) {
	if set := item.GetGroupingSet(); set != nil {
		for _, inner := range set.Content {
			c.group(inner)
		}
		return true
	}
	if row := item.GetRowExpr(); row != nil {
		for _, inner := range row.Args {
			c.group(inner)
		}
		return false
	}
	e := c.p.resolveGroupItem(c.b, item)
	if e == nil || c.p.hasAggregate(e) {
		c.failed = true
		return false
	}
	c.column(e)
	return false
}

// collect finds the block's own aggregates.
func (c *combiner) collect() []*sql.FuncCall {
	var calls []*sql.FuncCall
	lists := append([]*sql.Node{c.b.sel.HavingClause}, c.b.sel.TargetList...)
	lists = append(lists, c.b.sel.SortClause...)
	lists = append(lists, c.b.sel.WindowClause...)
	var collect func(e *sql.Node)
	collect = func(e *sql.Node) {
		sql.Walk(e, func(m proto.Message) bool {
			n, ok := m.(*sql.Node)
			if !ok {
				return true
			}
			if isJSONAggregate(n) {
				c.failed = true
			}
			if call := c.p.aggregateCall(n); call != nil {
				calls = append(calls, call)
				return false
			}
			if link := n.GetSubLink(); link != nil {
				if link.Testexpr != nil {
					collect(link.Testexpr)
				}
				return false
			}
			return true
		})
	}
	for _, e := range lists {
		if e != nil {
			collect(e)
		}
	}
	return calls
}

func (c *combiner) distinctArguments(call *sql.FuncCall) bool {
	if len(call.AggOrder) > 0 || call.AggFilter != nil || call.AggWithinGroup || len(call.Args) == 0 {
		return false
	}
	for i, arg := range call.Args {
		if i > 0 && c.p.dependsOnRows(arg) || c.wholeRow(arg) {
			return false
		}
	}
	c.distinctArgument(call.Args[0])
	return true
}

// wholeRow tells whether an expression uses a table's row as one value: PostgreSQL does not take it for grouped by.
func (c *combiner) wholeRow(e *sql.Node) bool {
	found := false
	sql.Walk(e, func(m proto.Message) bool {
		if n, ok := m.(*sql.Node); ok && n.GetColumnRef() != nil {
			names := sql.Strings(n.GetColumnRef().Fields)
			_, _, column := c.b.lookup(names)
			found = found || names[len(names)-1] == "*" || !column
		}
		return !found
	})
	return found
}

// distinctArgument makes columns of a DISTINCT aggregate's argument, and gives it as the final query sees it. A row goes by its
// parts: rows as such have no type that another node could read.
func (c *combiner) distinctArgument(arg *sql.Node) *sql.Node {
	row := arg.GetRowExpr()
	if row == nil {
		return c.column(arg)
	}
	final := sql.Clone(arg)
	for i, part := range row.Args {
		final.GetRowExpr().Args[i] = c.column(part)
	}
	return final
}

// expandOutputs writes stars out in the final query's target list, so that each can be replaced by its column.
func (c *combiner) expandOutputs(final *sql.SelectStmt) {
	final.TargetList = nil
	for _, o := range c.b.outputs {
		final.TargetList = append(final.TargetList, sql.Target(o.name, sql.Clone(o.expr)))
	}
}

// replace puts the tasks' columns into an expression of the final query, from the outside in.
func (c *combiner) replace(e *sql.Node, extra *[]*sql.Node) {
	sql.Walk(e, func(m proto.Message) bool {
		n, ok := m.(*sql.Node)
		if !ok || c.failed {
			return !c.failed
		}
		if by := n.GetSortBy(); by != nil && n == e {
			if isPosition(by.Node) {
				return false
			}
			by.Node = sql.Clone(c.p.resolveSortItem(c.b, by.Node))
			return true
		}
		if n.GetTypeName() != nil {
			return false
		}
		if isExpr := n.GetResTarget() == nil && n.GetWindowDef() == nil && n.GetList() == nil && n.GetGroupingSet() == nil; isExpr {
			for i := 0; i < len(c.columns); i++ {
				if (i < c.grouped || c.contains(*extra, c.columns[i])) && c.same(c.columns[i], n) {
					n.Node = sql.Column(c.alias, c.result.columns[i]).Node
					return false
				}
			}
		}
		if call := c.p.aggregateCall(n); call != nil {
			final := c.partial(call)
			if final == nil {
				c.failed = true
				return false
			}
			n.Node = final.Node
			return false
		}
		if link := n.GetSubLink(); link != nil {
			return c.replaceLink(link)
		}
		if ref := n.GetColumnRef(); ref != nil {
			if grouped := c.groupedAs(n); grouped != nil {
				n.Node = grouped.Node
				return false
			}
			if _, _, ok := c.b.lookup(sql.Strings(ref.Fields)); !ok {
				// perhaps the name of an output column in GROUP BY or ORDER BY
				if named := c.b.outputNamed(n); named != n && !sql.Equal(named, n) {
					n.Node = sql.Clone(named).Node
					c.replace(n, extra)
					return false
				}
				c.failed = true
				return false
			}
			if !c.dependent(n) {
				c.failed = true
				return false
			}
			*extra = append(*extra, sql.Clone(n))
			n.Node = c.column(n).Node
			return false
		}
		return true
	})
}

// same tells whether two expressions of the block mean the same, with or without the names of tables before columns.
func (c *combiner) same(x, y *sql.Node) bool { return c.p.sameExpr(c.b, x, y) }

// dependent tells whether a column is determined by what is grouped by: the primary key of its table is.
func (c *combiner) dependent(n *sql.Node) bool {
	id, ok := c.b.column(n)
	if !ok || id.rel.table == nil || len(id.rel.table.PrimaryKey) == 0 {
		return false
	}
	for _, key := range id.rel.table.PrimaryKey {
		grouped := false
		for i := 0; i < c.grouped; i++ {
			if other, ok := c.b.column(c.columns[i]); ok && other == (columnID{id.rel, key}) {
				grouped = true
			}
		}
		if !grouped {
			return false
		}
	}
	return true
}

// groupedAs finds the column for a grouped column that is written in another way (with or without its table's name).
func (c *combiner) groupedAs(n *sql.Node) *sql.Node {
	id, ok := c.b.column(n)
	if !ok {
		return nil
	}
	for i := 0; i < c.grouped; i++ {
		if other, ok := c.b.column(c.columns[i]); ok && other == id {
			return sql.Column(c.alias, c.result.columns[i])
		}
	}
	return nil
}

// replaceLink treats a subquery within an expression of the final query. It reads no distributed rows any more, so it can run on
// the coordinator, with references to the enclosing rows replaced.
func (c *combiner) replaceLink(link *sql.SubLink) bool {
	for _, known := range c.b.sublinks {
		if !sql.Equal(known.node.Subselect, link.Subselect) {
			continue
		}
		if c.p.blockHashed(known.block) {
			c.failed = true
			return false
		}
		if len(known.block.outer) == 0 {
			if link.Testexpr == nil {
				return false
			}
			var extra []*sql.Node
			c.replace(link.Testexpr, &extra)
			c.failed = c.failed || len(extra) > 0
			return false
		}
		// references from the subquery to grouped columns
		var extra []*sql.Node
		c.replace(link.Testexpr, &extra)
		c.failed = c.failed || len(extra) > 0
		c.replaceOuter(link.Subselect)
		return false
	}
	c.failed = true
	return false
}

// replaceOuter replaces the references of a correlated subquery to b's columns by the tasks' columns.
func (c *combiner) replaceOuter(query *sql.Node) {
	inner, err := c.p.bindSelect(query.GetSelectStmt(), c.b)
	if err != nil {
		c.failed = true
		return
	}
	inner.eachColumn(func(at *block, n *sql.Node) {
		names := sql.Strings(n.GetColumnRef().Fields)
		id, _, column := at.lookup(names)
		if !column || names[len(names)-1] == "*" {
			r, _ := at.lookupRel(names[max(0, len(names)-2)])
			whole := r != nil && c.b.owns(r)
			if whole && c.raw && len(names) == 1 {
				n.Node = c.value(n).Node
			} else {
				c.failed = c.failed || whole
			}
			return
		}
		if !c.b.owns(id.rel) {
			return
		}
		grouped := c.groupedAs(n)
		if grouped == nil && c.raw {
			grouped = c.column(n)
		}
		if grouped == nil {
			c.failed = true
			return
		}
		n.Node = grouped.Node
	})
}

// partial splits an aggregate: it adds the task's partial aggregates to the columns and gives the expression that makes the
// result of them, nil if there is no way that gives exactly what one PostgreSQL would.
func (c *combiner) partial(call *sql.FuncCall) *sql.Node {
	names := sql.Strings(call.Funcname)
	name := names[len(names)-1]
	for _, f := range c.p.overloads(names) {
		if f.Schema != "pg_catalog" {
			return nil
		}
	}
	if call.AggWithinGroup || len(call.AggOrder) > 0 || call.FuncVariadic {
		return nil
	}
	if call.AggDistinct {
		switch name {
		case "min", "max", "bool_and", "bool_or", "every", "bit_and", "bit_or":
		default:
			final := sql.Clone(call)
			final.Args[0] = c.distinctArgument(call.Args[0])
			return sql.CallNode(final)
		}
	}
	arg := uint32(0)
	if len(call.Args) == 1 {
		arg = c.p.baseType(c.p.exprType(c.b, call.Args[0]))
	}
	over := func(fn string, argument *sql.Node) *sql.Node { // fn over the task's results
		return sql.Call([]string{"pg_catalog", fn}, argument)
	}
	task := func(fn string, argument *sql.Node) *sql.Node { // fn computed by the task, with the aggregate's own FILTER
		own := sql.Clone(call)
		own.Funcname, own.AggDistinct = sql.StringNodes("pg_catalog", fn), false
		if argument != nil {
			own.Args = []*sql.Node{argument}
		}
		return c.column(sql.CallNode(own))
	}
	switch name {
	case "count":
		return sql.Cast(sql.Coalesce(over("sum", task("count", nil)), sql.Integer(0)), "pg_catalog", "int8")
	case "min", "max", "bool_and", "bool_or", "every", "bit_and", "bit_or", "bit_xor":
		return over(name, task(name, nil))
	case "sum":
		partial := task("sum", nil)
		cast := sql.Cast(over("sum", partial), typeName(len(c.p.intermediates), c.index(partial)))
		return cast
	case "avg":
		switch {
		case arg == numericOID || integers[arg]:
			sum, count := task("sum", nil), task("count", nil)
			return sql.Operator(sql.Cast(over("sum", sum), "pg_catalog", "numeric"), "/", sql.NullIf(over("sum", count), sql.Integer(0)))
		case arg == float8OID || arg == float4OID:
			wide := sql.Cast(sql.Clone(call.Args[0]), "pg_catalog", "float8")
			sum, count := task("sum", wide), task("count", nil)
			return sql.Operator(over("sum", sum), "/", sql.Cast(sql.NullIf(over("sum", count), sql.Integer(0)), "pg_catalog", "float8"))
		}
	}
	return nil
}

// finish makes the Gather of a block in two queries.
func (c *combiner) finish(worker, final *sql.SelectStmt, pruning Pruning, reason string) (*Gather, error) {
	t, err := c.p.template(sql.SelectNode(worker))
	if err != nil {
		return nil, err
	}
	// What the tasks group by is written out in full, so no primary key is needed to make sense of their columns.
	shape := *c.b
	shape.sel = sql.Select(worker.TargetList, worker.FromClause, worker.WhereClause)
	fuse := c.p.fuse(&shape)
	index := c.p.addSubplan(Gather{SQL: t, Pruning: pruning, Fuse: fuse, Columns: c.result.columns, Reason: reason}, c.result)
	final.FromClause = []*sql.Node{readIntermediate(index, &sql.Alias{Aliasname: c.alias})}
	final.WithClause, final.LockingClause = nil, nil
	t, err = c.p.template(sql.SelectNode(final))
	return &Gather{SQL: t, Coordinator: true}, err
}
