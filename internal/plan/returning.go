package plan

import (
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// returnsOnCoordinator tells whether only the coordinator can evaluate a RETURNING list, which is bound as b's outputs: it calls
// functions of its own, or asks for the table's OID.
func (p *planner) returnsOnCoordinator(b *block) bool {
	if p.anyNeedsCoordinator(b) {
		return true
	}
	for _, link := range b.sublinks {
		if len(link.block.outer) > 0 && p.callsCoordinator(link.block) {
			return true
		}
	}
	return false
}

// callsCoordinator tells whether an expression of a block or of one below it must be evaluated on the coordinator.
func (p *planner) callsCoordinator(b *block) bool {
	if b.sel.Op != sql.SetopNone {
		return p.callsCoordinator(b.left) || p.callsCoordinator(b.right)
	}
	if p.anyNeedsCoordinator(b) {
		return true
	}
	for _, r := range b.rels {
		if r.kind == relSubquery && r.block != nil && p.callsCoordinator(r.block) {
			return true
		}
	}
	for _, link := range b.sublinks {
		if p.callsCoordinator(link.block) {
			return true
		}
	}
	return false
}

// bindReturning binds a write's RETURNING list over its target and what else it reads.
func (p *planner) bindReturning(relation *sql.RangeVar, from []*sql.Node) (*block, error) {
	list := *returningListOf(p.stmt.Tree)
	return p.bindSelect(sql.Select(list, append([]*sql.Node{sql.TableNode(relation)}, from...), nil), nil)
}

// returnApart plans a write to a distributed table whose RETURNING list the coordinator evaluates. The subqueries in it run before
// the write, since they see what was there before; then the write, which returns the columns that the list names.
//
//	DELETE FROM d WHERE k = 1 RETURNING nextval('q'), v
//	rows 0 = shards of 1: DELETE FROM {d} d WHERE k = 1 RETURNING v AS c1
//	coordinator: SELECT nextval('q'), t.c1 FROM {rows 0} t
func (p *planner) returnApart(relation *sql.RangeVar, from []*sql.Node) (*Plan, error) {
	refuse := func(why string) (*Plan, error) {
		return nil, sql.Unsupported("this RETURNING list is not supported on distributed tables", why, "Run its subqueries and functions in a statement of their own.")
	}
	if p.nested || p.plan.Checks > 0 {
		return refuse("It needs the coordinator, and the write is part of another statement, or through a view with a check option.")
	}
	b, err := p.bindReturning(relation, from)
	for step := 0; err == nil && step < maxSteps; step++ {
		link := p.hashedLink(b)
		if link == nil {
			break
		}
		if len(link.block.outer) == 0 {
			err = p.runLinkFirst(link, "a subquery of RETURNING")
		} else if r := p.deepHashed(link.block); r != nil {
			p.countFilters(b)
			err = p.runRelFirst(r, "rows for a subquery of RETURNING")
		} else {
			return refuse("A subquery in it depends on the rows in a way that the planner cannot place.")
		}
		if err == nil {
			b, err = p.bindReturning(relation, from)
		}
	}
	if err != nil {
		return nil, err
	}
	if b.complex || b.unknownWidth {
		return refuse("It returns more than the planner can take apart.")
	}
	final := sql.Select(nil, nil, nil)
	c := p.combine(b)
	c.raw = true
	c.expandOutputs(final)
	if !p.nameTables(b, final.TargetList) {
		return refuse("It asks for tableoid, and the table has partitions.")
	}
	for _, e := range final.TargetList {
		c.replaceRaw(e, false)
	}
	if c.failed {
		return refuse("A subquery in it depends on rows of several shards.")
	}
	var returning []*sql.Node
	for i, e := range c.columns {
		returning = append(returning, sql.Target(c.result.columns[i], e))
	}
	if len(returning) == 0 {
		returning = []*sql.Node{sql.Target("one", sql.Integer(1))}
		c.result = intermediate{columns: []string{"one"}, types: []uint32{int4OID}, collations: []string{""}}
	}
	*returningListOf(p.stmt.Tree) = returning
	p.rewritten = true
	whole := p.plan
	g, err := p.writeFirst(&sql.CommonTableExpr{Ctename: relation.Relname, Ctequery: p.stmt.Tree})
	if err != nil {
		return nil, err
	}
	p.plan.Sticky, p.plan.Sequences, p.plan.AsksDrawn = p.plan.Sticky || whole.Sticky, p.plan.Sequences || whole.Sequences, p.plan.AsksDrawn || whole.AsksDrawn
	g.Reason, g.Columns = "what the write returns", c.result.columns
	index := p.addSubplan(g, c.result)
	final.FromClause = []*sql.Node{readIntermediate(index, &sql.Alias{Aliasname: c.alias})}
	t, err := p.template(sql.SelectNode(final))
	if err != nil {
		return nil, err
	}
	return p.finish(&Coordinator{SQL: t, Returns: true}, RungRecursive), nil
}

// hashedLink finds a subquery of a RETURNING list that reads distributed rows.
func (p *planner) hashedLink(b *block) *sublink {
	for _, link := range b.sublinks {
		if p.blockHashed(link.block) {
			return link
		}
	}
	return nil
}

// nameTables puts the OIDs of tables that have no partitions in place of tableoid, wherever a list's own level names it. It tells
// whether it could.
func (p *planner) nameTables(b *block, list []*sql.Node) bool {
	named := true
	for _, e := range list {
		sql.Walk(e, func(m proto.Message) bool {
			n, ok := m.(*sql.Node)
			if !ok || !named {
				return named
			}
			if n.GetSubLink() != nil {
				return false
			}
			names := sql.Strings(n.GetColumnRef().GetFields())
			if len(names) == 0 || names[len(names)-1] != "tableoid" {
				return true
			}
			id, _, ok := b.lookup(names)
			if named = ok && id.rel.table != nil && id.rel.table.RelKind != 'p'; named {
				name := sql.QuoteIdentifier(id.rel.table.Schema) + "." + sql.QuoteIdentifier(id.rel.table.Name)
				n.Node = sql.Cast(sql.Cast(sql.Text(name), "pg_catalog", "regclass"), "pg_catalog", "oid").Node
			}
			return false
		})
	}
	return named
}
