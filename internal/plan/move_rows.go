package plan

import (
	"fmt"
	"strings"

	"github.com/trunkline/trunkline/internal/sql"
)

// move moves rows of one side of a join to those of the other.
func (p *planner) move(c *conflict, reason string) error {
	m := p.choose(c)
	if m.reason != "" {
		reason += "; " + m.reason
	}
	if m.ship == nil {
		return p.runRelFirst(m.rel, reason)
	}
	return p.repartitionRel(c.block, m, reason)
}

// repartitionRel runs a table's rows first and sends each to the place of its hash.
func (p *planner) repartitionRel(b *block, m movement, reason string) error {
	query := p.tableQuery(b, m.rel)
	m.rel.used[m.column] = true
	column := -1
	for i, target := range query.TargetList {
		if target.GetResTarget().GetName() == m.rel.columns[m.column] {
			column = i
		}
	}
	index, err := p.subplan(query, reason)
	if err != nil {
		return err
	}
	g := &p.plan.Subplans[index]
	if column >= 0 && !g.Coordinator && g.Hidden == 0 && g.Limit == nil && g.Offset == nil {
		hash, err := p.catalog.HashExpression(p.hashKey(m.ship.Colocation), "rows."+sql.QuoteIdentifier(p.intermediates[index].columns[column]))
		if err != nil {
			return err
		}
		head := "SELECT "
		if m.ship.Distinct && p.comparable(p.intermediates[index]) {
			head = "SELECT DISTINCT "
		}
		g.SQL = append(append(Template{{Text: head + "rows.*, " + hash + " FROM ("}}, g.SQL...), Piece{Text: ") rows"})
		g.Hidden = 1
		g.Ship = &Ship{Column: column, Colocation: m.ship.Colocation, Index: m.ship.Index}
		p.intermediates[index].ship = g.Ship
		p.plan.Rung = max(p.plan.Rung, RungRepartition)
	}
	m.rel.node.Node = readIntermediate(index, &sql.Alias{Aliasname: m.rel.alias}).Node
	return nil
}

// comparable tells whether equal values of an intermediate result's columns are the same in every way: 1.0 and 1.00 are equal, but
// written differently.
func (p *planner) comparable(result intermediate) bool {
	for i, typ := range result.types {
		typ = p.baseType(typ)
		switch {
		case texts[typ]:
			if result.collations[i] != "" {
				return false
			}
		case !mergeable[typ] || typ == float4OID || typ == float8OID:
			return false
		}
	}
	return true
}

// broadcastInstead gives a repartitioned intermediate result to whoever reads it as a whole, for when the join that it was moved for
// cannot run over shards after all.
func (p *planner) broadcastInstead(index int) {
	g := &p.plan.Subplans[index]
	g.SQL = g.SQL[1 : len(g.SQL)-1]
	g.Ship, g.Hidden = nil, 0
	p.intermediates[index].ship = nil
}

// reason says what a movement was chosen for.
func (p *planner) reason(b *block, u *unit, m movement, cost float64) string {
	var names []string
	rows := 0.0
	var visit func(n *fromNode)
	visit = func(n *fromNode) {
		if n.rel == nil {
			visit(n.left)
			visit(n.right)
			return
		}
		names = append(names, n.rel.alias)
		_, factor := p.reductions(b, n.rel)
		rows += p.relRows(b, n.rel) * factor
	}
	visit(u.node)
	nodes := p.nodes(u.spread.colocation)
	size := fmt.Sprintf("of %s: about %s rows, %s", strings.Join(names, ", "), approximately(rows), bytesText(u.bytes))
	if m.ship == nil {
		return fmt.Sprintf("broadcast %s to each of %.0f nodes", size, nodes)
	}
	by := m.rel.columns[m.column]
	if m.ship.Colocation < 0 {
		by += ", as the other side will be"
	}
	return fmt.Sprintf("repartition %s by %s; broadcast would move %s", size, by, bytesText(u.bytes*nodes))
}

// approximately writes a number that is only estimated with two digits that count.
func approximately(n float64) string {
	scale := 1.0
	for n/scale >= 100 {
		scale *= 10
	}
	return fmt.Sprintf("%.0f", float64(int64(n/scale+0.5))*scale)
}

func bytesText(n float64) string {
	for _, unit := range []string{"bytes", "kB", "MB", "GB"} {
		if n < 10_000 {
			return approximately(n) + " " + unit
		}
		n /= 1024
	}
	return approximately(n) + " TB"
}
