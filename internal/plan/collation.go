package plan

import (
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// defaultCollation is the OID of collation "default".
const defaultCollation = 100

// collation gives, as SQL, the collation that an output column's order and equality follow where that is not its type's own, else
// "". It follows the rules of PostgreSQL's manual, "Collation Support": an explicit COLLATE counts first, then what columns are
// declared with. Package exec leaves the answer aside where the column's type turns out to have no collations.
func (p *planner) collation(b *block, o output) string {
	if b.sel.Op != sql.SetopNone {
		for i := range b.outputs {
			if b.outputs[i].name != o.name || i >= len(b.left.outputs) || i >= len(b.right.outputs) {
				continue
			}
			return firstOf(p.collation(b.left, b.left.outputs[i]), p.collation(b.right, b.right.outputs[i]))
		}
		return ""
	}
	if o.col != nil {
		return p.columnCollation(*o.col)
	}
	c, _ := p.exprCollation(b, o.expr)
	return c
}

func (p *planner) columnCollation(id columnID) string {
	switch {
	case id.col < 0:
	case id.rel.table != nil && id.col < len(id.rel.table.Columns):
		if oid := id.rel.table.Columns[id.col].Collation; oid != defaultCollation && p.catalog.Collations[oid] != nil {
			return p.catalog.Collations[oid].SQL
		}
	case id.rel.kind == relSubquery && id.col < len(id.rel.block.outputs):
		return p.collation(id.rel.block, id.rel.block.outputs[id.col])
	case id.rel.kind == relIntermediate:
		if index, ok := intermediateIndex(id.rel.node.GetRangeVar().GetRelname()); ok && id.col < len(p.intermediates[index].collations) {
			return p.intermediates[index].collations[id.col]
		}
	}
	return ""
}

// exprCollation derives the collation of an expression, and tells whether a COLLATE clause says so.
func (p *planner) exprCollation(b *block, e *sql.Node) (collation string, explicit bool) {
	switch {
	case e == nil, e.GetRowExpr() != nil, e.GetBoolExpr() != nil, e.GetNullTest() != nil:
		return "", false
	case e.GetCollateClause() != nil:
		return quotedName(sql.Strings(e.GetCollateClause().Collname)), true
	case e.GetColumnRef() != nil:
		names := sql.Strings(e.GetColumnRef().Fields)
		if id, _, ok := b.lookup(names); ok {
			return p.columnCollation(id), false
		}
		return "", false
	}
	if t := p.exprType(b, e); t != 0 && !p.catalog.Collatable(t) {
		return "", false
	}
	parts := e
	switch {
	case e.GetSubLink() != nil:
		for _, link := range b.sublinks {
			if link.node == e.GetSubLink() && len(link.block.outputs) > 0 {
				return p.collation(link.block, link.block.outputs[0]), false
			}
		}
		return "", false
	case e.GetAIndirection() != nil:
		return p.fieldCollation(b, e.GetAIndirection().Arg, sql.Strings(e.GetAIndirection().Indirection))
	case e.GetCaseExpr() != nil:
		results := []*sql.Node{e.GetCaseExpr().Defresult}
		for _, when := range e.GetCaseExpr().Args {
			results = append(results, when.GetCaseWhen().GetResult())
		}
		parts = sql.ListNode(results)
	case e.GetFuncCall() != nil:
		parts = sql.ListNode(e.GetFuncCall().Args)
		if e.GetFuncCall().AggWithinGroup {
			parts = sql.ListNode(append(append([]*sql.Node{}, e.GetFuncCall().Args...), e.GetFuncCall().AggOrder...))
		}
	}
	sql.Walk(parts, func(m proto.Message) bool {
		n, ok := m.(*sql.Node)
		if !ok || n == parts || explicit {
			return !explicit
		}
		if c, sure := p.exprCollation(b, n); c != "" && (collation == "" || sure) {
			collation, explicit = c, sure
		}
		return false
	})
	return collation, explicit
}

// fieldCollation is the collation of a field of a table's whole row.
func (p *planner) fieldCollation(b *block, row *sql.Node, fields []string) (string, bool) {
	names := sql.Strings(row.GetColumnRef().GetFields())
	if len(names) == 0 {
		return p.exprCollation(b, row)
	}
	if r, _ := b.lookupRel(names[0]); r != nil && len(fields) == 1 {
		for i, name := range r.columns {
			if name == fields[0] {
				return p.columnCollation(columnID{r, i}), false
			}
		}
	}
	return p.exprCollation(b, row)
}

func quotedName(names []string) string {
	quoted := ""
	for i, name := range names {
		if i > 0 {
			quoted += "."
		}
		quoted += sql.QuoteIdentifier(name)
	}
	return quoted
}
