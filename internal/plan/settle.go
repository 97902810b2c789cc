package plan

import (
	"slices"

	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// settledCondition is a condition on a FROM item alone, with the clause (WHERE or ON) that it is a conjunct of.
type settledCondition struct {
	condition, clause *sql.Node
}

// needs tells whether a column is used for more than conditions that are checked before the item's rows move.
func (r *rel) needs(column int) bool {
	return r.whole || r.used[column] > r.settled[column]
}

// noteSettled notes that a condition need not be checked again once r's rows, reduced by it, have been put in r's place, so that the
// columns that only it names need not move. One that ties a column to a constant stays where the column is used otherwise: what
// equals that column then has a known value, too.
func (p *planner) noteSettled(b *block, r *rel, condition, clause *sql.Node) {
	if left, right, ok := equality(condition); ok {
		for _, side := range []*sql.Node{left, right} {
			if id, ok := b.column(side); ok && id.col >= 0 && r.used[id.col] > 1 {
				return
			}
		}
	}
	p.settling[r] = append(p.settling[r], settledCondition{condition, clause})
	sql.Walk(condition, func(m proto.Message) bool {
		if n, ok := m.(*sql.Node); ok {
			if id, ok := b.column(n); ok {
				r.settled[id.col]++
			}
		}
		return true
	})
}

// settle takes the conditions that r's rows meet out of the statement.
func (p *planner) settle(r *rel) {
	var clauses []*sql.Node
	met := map[*sql.Node]bool{}
	for _, s := range p.settling[r] {
		met[s.condition] = true
		if !slices.Contains(clauses, s.clause) {
			clauses = append(clauses, s.clause)
		}
	}
	for _, clause := range clauses {
		dropConjuncts(clause, met)
		if sel := p.blockOf(r).sel; sel.WhereClause == clause && met[clause] {
			sel.WhereClause = nil
		}
	}
}

// dropConjuncts takes conjuncts out of a clause. Where nothing is left the clause becomes true, and one of those taken out.
func dropConjuncts(clause *sql.Node, drop map[*sql.Node]bool) {
	if and := clause.GetBoolExpr(); and != nil && and.Boolop == sql.BoolAnd && !drop[clause] {
		for _, arg := range and.Args {
			dropConjuncts(arg, drop)
		}
		and.Args = slices.DeleteFunc(and.Args, func(arg *sql.Node) bool { return drop[arg] })
		switch len(and.Args) {
		case 0:
			drop[clause] = true
		case 1:
			clause.Node = and.Args[0].Node
		}
	}
	if drop[clause] {
		clause.Node = sql.Boolean(true).Node
	}
}
