package plan

import (
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// finishRaw plans a block of which only FROM and WHERE can run over shards: the tasks return the columns that the rest of the
// block uses, and the rest runs on the coordinator over their rows. It is right for every aggregate, window and function.
func (p *planner) finishRaw(b *block, pruning Pruning, deferred []*sql.Node) (*Gather, *blocker, error) {
	c := &combiner{p: p, b: b, raw: true}
	final := sql.Clone(b.sel)
	c.expandOutputs(final)
	final.WhereClause = nil
	for _, q := range deferred {
		final.WhereClause = sql.And(append(conjuncts(final.WhereClause), sql.Clone(q))...)
	}
	lists := append([]*sql.Node{final.WhereClause, final.HavingClause}, final.TargetList...)
	lists = append(lists, final.WindowClause...)
	for _, e := range lists {
		if e != nil {
			c.replaceRaw(e, false)
		}
	}
	renumber(final.DistinctClause, b)
	renumber(final.SortClause, b)
	for _, list := range [][]*sql.Node{final.GroupClause, final.DistinctClause, final.SortClause} {
		for _, e := range list {
			c.replaceRaw(e, true)
		}
	}
	if c.failed {
		return nil, nil, sql.Unsupported("the query cannot be distributed", "A subquery in it depends on rows of several shards.",
			"Keep the subquery's rows in a temporary table first.")
	}
	worker := sql.Select(nil, b.sel.FromClause, sql.And(b.where...))
	for i, e := range c.columns {
		worker.TargetList = append(worker.TargetList, sql.Target(c.result.columns[i], e))
	}
	if len(c.columns) == 0 {
		worker.TargetList = []*sql.Node{sql.Target("one", sql.Integer(1))}
		c.result = intermediate{columns: []string{"one"}, types: []uint32{int4OID}, collations: []uint32{0}}
	}
	g, err := c.finish(worker, final, pruning, "rows for the coordinator")
	return g, nil, err
}

// replaceRaw puts the tasks' columns in place of b's columns in an expression of the final query. In a list that may name output
// columns, those stay.
func (c *combiner) replaceRaw(e *sql.Node, outputNames bool) {
	sql.Walk(e, func(m proto.Message) bool {
		n, ok := m.(*sql.Node)
		if !ok || c.failed {
			return !c.failed
		}
		switch {
		case n == e && outputNames && n.GetSortBy() != nil:
			ref := n.GetSortBy().Node
			return c.b.outputNamed(ref) == ref
		case n.GetSubLink() != nil:
			c.replaceRawLink(n)
			return false
		case n.GetColumnRef() != nil:
			names := sql.Strings(n.GetColumnRef().Fields)
			if outputNames && n == e && c.b.outputNamed(n) != n {
				if _, input := c.b.lookupHere(names); !input {
					return false
				}
			}
			if names[len(names)-1] == "tableoid" {
				c.tableOID(n, names)
				return false
			}
			if names[len(names)-1] == "*" {
				// rel.* inside an expression is the row as one value
				if len(names) != 2 {
					c.failed = true
					return false
				}
				if r, _ := c.b.lookupRel(names[0]); r != nil {
					r.wholeRow = true
				}
				n.Node = c.column(sql.Column(names[0])).Node
				return false
			}
			n.Node = c.column(n).Node
			return false
		}
		return true
	})
}

// tableOID puts the user's table in place of tableoid.
func (c *combiner) tableOID(n *sql.Node, names []string) {
	id, _, ok := c.b.lookup(names)
	if !ok || id.rel.table == nil {
		c.failed = true
		return
	}
	name := sql.QuoteIdentifier(id.rel.table.Schema) + "." + sql.QuoteIdentifier(id.rel.table.Name)
	n.Node = sql.Cast(sql.Cast(sql.Text(name), "pg_catalog", "regclass"), "pg_catalog", "oid").Node
}

func (c *combiner) replaceRawLink(n *sql.Node) {
	link := n.GetSubLink()
	for _, known := range c.b.sublinks {
		if !sql.Equal(known.node.Subselect, link.Subselect) {
			continue
		}
		switch {
		case c.p.blockHashed(known.block):
			n.Node = c.column(n).Node // tied to the rows' shard: the tasks compute it
		case len(known.block.outer) == 0:
			if link.Testexpr != nil {
				c.replaceRaw(link.Testexpr, false)
			}
		default:
			c.replaceOuter(link, known.block)
		}
		return
	}
	c.failed = true
}
