package plan

import (
	"slices"
	"strings"

	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// sequenceFunctions are pg_catalog's functions that use sequences.
var sequenceFunctions = map[string]bool{"nextval": true, "setval": true, "currval": true, "lastval": true, "pg_sequence_last_value": true}

// noteSequences notes whether a statement uses sequences by itself.
func (p *planner) noteSequences(tree *sql.Node) {
	sql.Walk(tree, func(m proto.Message) bool {
		if v, ok := rangeVar(m); ok {
			r := p.resolve(v)
			p.plan.Sequences = p.plan.Sequences || r != nil && r.RelKind == 'S' || v.Relname == "pg_sequences"
		}
		if n, ok := m.(*sql.Node); ok && n.GetFuncCall() != nil {
			names := sql.Strings(n.GetFuncCall().Funcname)
			p.plan.Sequences = p.plan.Sequences || sequenceFunctions[names[len(names)-1]]
		}
		return true
	})
}

// asksDrawn tells whether a function's name means pg_catalog's currval or lastval.
func (p *planner) asksDrawn(names []string) bool {
	name := names[len(names)-1]
	if name != "currval" && name != "lastval" {
		return false
	}
	if len(names) > 1 {
		return names[len(names)-2] == "pg_catalog"
	}
	for _, f := range p.catalog.Functions[name] {
		if f.Schema != "pg_catalog" && f.Schema != "trunkline_internal" {
			return false // it may be the user's own
		}
	}
	return true
}

// askDrawn puts our own functions in the place of currval and lastval: they know of values that the gateway has drawn as well. A
// statement that draws nothing itself asks once, on the coordinator, whatever it does with the answer.
func (p *planner) askDrawn(tree *sql.Node) {
	draws := p.mayDraw(tree)
	sql.Walk(tree, func(m proto.Message) bool {
		if n, ok := m.(*sql.Node); ok && n.GetFuncCall() != nil {
			if names := sql.Strings(n.GetFuncCall().Funcname); p.asksDrawn(names) {
				n.GetFuncCall().Funcname = sql.StringNodes("trunkline_internal", names[len(names)-1])
				if !draws && !p.dependsOnRows(n) {
					n.Node = sql.ScalarSubquery(sql.Select([]*sql.Node{sql.Target("", sql.Clone(n))}, nil, nil)).Node
				}
				p.rewritten, p.plan.Sticky, p.plan.AsksDrawn = true, true, true
			}
		}
		return true
	})
}

// mayDraw tells whether a statement may draw from sequences itself, so that what currval and lastval say changes while it runs.
func (p *planner) mayDraw(tree *sql.Node) bool {
	found := p.fillsFromSequence(tree)
	sql.Walk(tree, func(m proto.Message) bool {
		if n, ok := m.(*sql.Node); ok && n.GetFuncCall() != nil {
			if names := sql.Strings(n.GetFuncCall().Funcname); !p.asksDrawn(names) {
				for _, f := range p.overloads(names) {
					found = found || f.Volatility == 'v' && !perRow[f.Name]
				}
			}
		}
		return !found
	})
	return found
}

// refuseOwnDrawn refuses an INSERT that asks for the last value of a sequence which fills a column of the same rows: PostgreSQL
// draws and asks column by column.
func (i *insertion) refuseOwnDrawn() error {
	if !i.p.plan.AsksDrawn {
		return nil
	}
	for n, c := range i.table.Columns {
		if c.Sequence == nil || !slices.Contains(i.filled, n) && !hasDefault(i.stmt) {
			continue
		}
		asks := false
		sql.Walk(i.stmt, func(m proto.Message) bool {
			if n, ok := m.(*sql.Node); ok && n.GetFuncCall() != nil {
				names := sql.Strings(n.GetFuncCall().Funcname)
				if len(names) == 2 && names[0] == "trunkline_internal" {
					of := ""
					if args := n.GetFuncCall().Args; len(args) == 1 {
						of = args[0].GetAConst().GetSval().GetSval()
					}
					asks = asks || of == "" || strings.Contains(of, c.Sequence.Name)
				}
			}
			return !asks
		})
		if asks {
			return sql.Unsupported("an INSERT into a distributed table cannot ask for the last value of a sequence that it draws from",
				"Column "+sql.QuoteIdentifier(c.Name)+" takes its value from sequence "+sql.QuoteIdentifier(c.Sequence.Name)+".", "Draw the value with nextval() first.")
		}
	}
	return nil
}
