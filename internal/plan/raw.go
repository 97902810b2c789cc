package plan

import (
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// finishRaw plans a block of which only FROM and WHERE can run over shards: the tasks return the columns that the rest of the
// block uses, and the rest runs on the coordinator over their rows. It is right for every aggregate, window and function.
func (p *planner) finishRaw(b *block, pruning Pruning, deferred []*sql.Node) (*Gather, *blocker, error) {
	c := p.combine(b)
	c.raw = true
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
	worker.LockingClause = b.sel.LockingClause
	for i, e := range c.columns {
		worker.TargetList = append(worker.TargetList, sql.Target(c.result.columns[i], e))
	}
	if len(c.columns) == 0 {
		worker.TargetList = []*sql.Node{sql.Target("one", sql.Integer(1))}
		c.result = intermediate{columns: []string{"one"}, types: []uint32{int4OID}, collations: []string{""}}
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
			if id, _, ok := c.b.lookup(names); ok && id.col < 0 && id.rel.table != nil && names[len(names)-1] == "tableoid" {
				c.tableOID(n, id)
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
				n.Node = c.value(sql.Column(names[0])).Node
				return false
			}
			n.Node = c.value(n).Node
			return false
		}
		return true
	})
}

// tableOID puts the OID of the user's table, or of its partition, in place of tableoid: the tasks tell the name, which is the same
// on all nodes.
func (c *combiner) tableOID(n *sql.Node, id columnID) {
	suffix := ""
	if id.rel.kind == relDistributed {
		suffix = "_[0-9]+$" // of the shards' schemas
	}
	name, err := sql.Parse("SELECT (SELECT pg_catalog.format('%I.%I', pg_catalog.regexp_replace(trunkline_schema.nspname::text, " + sql.QuoteLiteral(suffix) +
		", ''), trunkline_class.relname) FROM pg_catalog.pg_class trunkline_class JOIN pg_catalog.pg_namespace trunkline_schema" +
		" ON trunkline_schema.oid = trunkline_class.relnamespace WHERE trunkline_class.oid = tableoid)")
	if err != nil {
		c.failed = true
		return
	}
	query := name[0].Tree
	clearLocations(query)
	value := query.GetSelectStmt().TargetList[0].GetResTarget().Val
	value.GetSubLink().Subselect.GetSelectStmt().WhereClause.GetAExpr().Rexpr = sql.Column(id.rel.alias, "tableoid")
	n.Node = sql.Cast(sql.Cast(c.column(value), "pg_catalog", "regclass"), "pg_catalog", "oid").Node
}

func (c *combiner) replaceRawLink(n *sql.Node) {
	link := n.GetSubLink()
	for _, known := range c.b.sublinks {
		if !sql.Equal(known.node.Subselect, link.Subselect) {
			continue
		}
		if c.p.blockHashed(known.block) {
			n.Node = c.column(n).Node // tied to the rows' shard: the tasks compute it
			return
		}
		if link.Testexpr != nil {
			c.replaceRaw(link.Testexpr, false)
		}
		c.replaceOuter(link.Subselect)
		return
	}
	c.failed = true
}
