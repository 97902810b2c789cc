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
	switch {
	case m.fold != nil:
		return p.runFold(c.block, m, reason)
	case m.ship == nil:
		return p.runRelFirst(m.rel, reason)
	}
	return p.repartitionRel(c.block, m, reason)
}

// repartitionRel runs a table's rows first and sends each to the place of its hash.
func (p *planner) repartitionRel(b *block, m movement, reason string) error {
	m.rel.used[m.column]++
	query := p.tableQuery(b, m.rel)
	p.settle(m.rel)
	if m.keys != nil {
		index, err := p.subplan(m.keys, "the keys that rows to be moved may have")
		if err != nil {
			return err
		}
		among := sql.Select([]*sql.Node{sql.Target("", sql.Star(""))}, []*sql.Node{readIntermediate(index, nil)}, nil)
		query.WhereClause = sql.And(append(conjuncts(query.WhereClause), sql.In(sql.Column(m.rel.alias, m.rel.columns[m.column]), among))...)
	}
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
	if err := p.hashed(index, column, m.ship); err != nil {
		return err
	}
	m.rel.node.Node = readIntermediate(index, &sql.Alias{Aliasname: m.rel.alias}).Node
	return nil
}

// hashed makes a subplan's rows go each to the place of the hash of a column, if they come from shards as they are.
func (p *planner) hashed(index, column int, ship *Ship) error {
	g := &p.plan.Subplans[index]
	if column < 0 || g.Coordinator || g.Hidden > 0 || g.Limit != nil || g.Offset != nil {
		return nil
	}
	hash, err := p.catalog.HashExpression(p.hashKey(ship.Colocation), "rows."+sql.QuoteIdentifier(p.intermediates[index].columns[column]))
	if err != nil {
		return err
	}
	head := "SELECT "
	if ship.Distinct && p.comparable(p.intermediates[index]) {
		head = "SELECT DISTINCT "
	}
	g.SQL = append(append(Template{{Text: head + "rows.*, " + hash + " FROM ("}}, g.SQL...), Piece{Text: ") rows"})
	g.Hidden = 1
	g.Ship = &Ship{Column: column, Colocation: ship.Colocation, Index: ship.Index}
	p.intermediates[index].ship = g.Ship
	p.plan.Rung = max(p.plan.Rung, RungRepartition)
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
func (p *planner) reason(b *block, u *unit, m movement) string {
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
	if m.keys != nil {
		rows *= m.part
	}
	return p.movementText(strings.Join(names, ", "), rows, u.bytes, p.nodes(u.spread.colocation), m)
}

// movementText says what moves and how.
func (p *planner) movementText(what string, rows, bytes, nodes float64, m movement) string {
	size := fmt.Sprintf("of %s: about %s rows, %s", what, approximately(rows), bytesText(bytes))
	if m.ship == nil {
		return fmt.Sprintf("broadcast %s to each of %.0f nodes", size, nodes)
	}
	by := ""
	if m.fold != nil {
		id := m.fold.columns[m.column]
		by = id.rel.columns[id.col]
	} else {
		by = m.rel.columns[m.column]
	}
	if m.ship.Colocation < 0 {
		by += ", as the other side will be"
	}
	return fmt.Sprintf("repartition %s by %s; broadcast would move %s", size, by, bytesText(bytes*nodes))
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
