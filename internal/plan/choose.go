package plan

import (
	"slices"
	"strings"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// conflict is a join whose two sides lie on shards in ways that do not match: rows of one side must move, or of both.
type conflict struct {
	block       *block
	kind        sql.JoinType // of an outer join the left side is the one that is kept
	left, right *fromNode
	quals       []*sql.Node // what holds for every row that is joined
	using       [][2]columnID
}

// Ship says where the rows of a subplan go: each to the shard group, or the bucket, of the hash of one column. A subplan without
// it goes to whoever reads it as a whole.
type Ship struct {
	Column     int   // whose hash decides; the hash itself is the subplan's hidden last column
	Colocation int32 // by whose ranges; negative for buckets, one per node
	Index      bool  // rows are looked up by the column, one at a time
	Distinct   bool  // equal rows need to go only once
}

// movement is what the planner decided to move, and how.
type movement struct {
	rel    *rel
	fold   *fold // in place of rel: column is one of its columns
	ship   *Ship
	column int             // of rel, that ship goes by
	keys   *sql.SelectStmt // run before, it gives the only values that the column can have; nil for any
	part   float64         // what keys leaves of the rows
	reason string
}

// repartitionCost is how many bytes might be broadcast in the time that it takes to set up a repartition.
const repartitionCost = 256 << 10

// stays is the cost of moving what cannot move: more than anything.
const stays = 1e18

// unit is a part of an inner-joined FROM list that keeps together: a FROM item, or a tree of outer joins.
type unit struct {
	node    *fromNode
	spread  spread
	bytes   float64
	cluster int // units of one cluster are joined with each other on their distribution columns
}

// choose decides what moves so that a join can run shard by shard.
func (p *planner) choose(c *conflict) movement {
	p.chose = true
	if c.kind == sql.JoinInner {
		if m, ok := p.chooseInner(c); ok {
			return m
		}
		return movement{rel: p.smaller(c)}
	}
	return p.chooseOuter(c)
}

// nodes is the number of nodes that hold shards, to each of which a broadcast goes.
func (p *planner) nodes(colocation int32) float64 {
	c := p.catalog.Colocations[colocation]
	if c == nil {
		return max(1, float64(len(p.catalog.ActivePrimaries())))
	}
	var seen []int32
	for _, g := range c.Groups {
		if !slices.Contains(seen, g.GroupID) {
			seen = append(seen, g.GroupID)
		}
	}
	return max(1, float64(len(seen)))
}

// broadcastCost is what it costs to send rows to every node.
func (p *planner) broadcastCost(bytes float64, colocation int32) float64 {
	if p.settings.Repartition {
		return stays / 2
	}
	return bytes * p.nodes(colocation)
}

// chooseInner looks at the whole list of FROM items that are inner-joined: the cluster that costs least to move everything else to
// stays, and of what moves the smallest goes first, since its rows may narrow the others down.
func (p *planner) chooseInner(c *conflict) (movement, bool) {
	b := c.block
	roots := island(b, c)
	quals, using := slices.Clone(c.quals), slices.Clone(c.using)
	var units []*unit
	for _, n := range roots {
		flatten(n, func(leaf *fromNode) { units = append(units, &unit{node: leaf}) }, &quals, &using)
	}
	known := p.classesOf(b, quals, using)
	hashed := units[:0]
	for _, u := range units {
		u.spread = p.treeSpread(b, u.node, quals, using, nil)
		if !u.spread.hashed || u.spread.blocked != nil {
			continue
		}
		u.bytes = p.treeBytes(b, u.node)
		hashed = append(hashed, u)
	}
	units = hashed
	if len(units) < 2 {
		return movement{}, false
	}
	for i, u := range units {
		u.cluster = i
		for _, earlier := range units[:i] {
			if p.keysMeet(known, earlier.spread, u.spread) {
				joined := u.cluster
				for _, other := range units[:i+1] {
					if other.cluster == joined {
						other.cluster = earlier.cluster
					}
				}
			}
		}
	}
	tied := map[int]bool{}
	for _, u := range units {
		for k := range u.spread.keys {
			for _, id := range known.members(k) {
				if !b.owns(id.rel) {
					tied[u.cluster] = true
				}
			}
		}
	}
	joined := p.foldingOf(b, roots, known)
	folds := map[int]*fold{}
	for i, u := range units {
		if u.cluster == i {
			folds[i] = joined.of(units, i)
		}
	}
	best, bestCost := -1, 0.0
	for i, anchor := range units {
		if anchor.cluster != i || len(tied) > 0 && !tied[i] {
			continue
		}
		cost := 0.0
		for j, u := range units {
			price := 0.0
			switch {
			case u.cluster == anchor.cluster || folds[u.cluster] != nil && u.cluster != j:
			case folds[u.cluster] != nil:
				_, price = p.priceFold(b, folds[j], u, units, i, known)
			default:
				_, price = p.price(b, u, units, i, known)
			}
			cost += price
		}
		if best < 0 || cost < bestCost {
			best, bestCost = i, cost
		}
	}
	var moving *unit
	least := 0.0
	for _, u := range units {
		bytes := u.bytes
		if f := folds[u.cluster]; f != nil {
			bytes = f.bytes
		}
		if u.cluster != best && (moving == nil || bytes < least) {
			moving, least = u, bytes
		}
	}
	if best < 0 || moving == nil {
		return movement{}, false
	}
	if f := folds[moving.cluster]; f != nil {
		m, _ := p.priceFold(b, f, moving, units, best, known)
		var names []string
		for _, r := range f.rels {
			names = append(names, r.alias)
		}
		m.reason = p.movementText("joined "+strings.Join(names, ", "), f.rows, f.bytes, p.nodes(moving.spread.colocation), m)
		return m, true
	}
	m, _ := p.price(b, moving, units, best, known)
	m.reason = p.reason(b, moving, m)
	if m.rel == nil {
		m.rel = p.pick(moving.node)
	}
	return m, true
}

// priceFold is price for the joined rows of a cluster.
func (p *planner) priceFold(b *block, f *fold, u *unit, units []*unit, cluster int, known *classes) (movement, float64) {
	broadcast := p.broadcastCost(f.bytes, u.spread.colocation)
	if f.bytes+repartitionCost >= broadcast {
		return movement{fold: f}, broadcast
	}
	for _, anchor := range units {
		if anchor.cluster != cluster {
			continue
		}
		for i, id := range f.columns {
			for k := range anchor.spread.keys {
				if known.same(id, k) && p.hashable(b, id, p.spreadType(anchor.spread.colocation)) {
					return movement{fold: f, ship: &Ship{Colocation: anchor.spread.colocation}, column: i}, f.bytes + repartitionCost
				}
			}
		}
	}
	return movement{fold: f}, broadcast
}

// price finds the cheaper way to bring a unit's rows to those of a cluster, and its cost in bytes.
func (p *planner) price(b *block, u *unit, units []*unit, cluster int, known *classes) (movement, float64) {
	broadcast := p.broadcastCost(u.bytes, u.spread.colocation)
	if p.alreadyMoved(u.node) || p.holdsTarget(u.node) {
		return movement{}, stays
	}
	for _, anchor := range units {
		if anchor.cluster != cluster {
			continue
		}
		if m, ok := p.repartition(b, u.node, anchor.spread, known); ok && u.bytes+repartitionCost < broadcast {
			return m, u.bytes + repartitionCost
		}
	}
	return movement{}, broadcast
}

// repartition moves a FROM item's rows to where the rows of another spread are, by a column that equals its distribution column.
func (p *planner) repartition(b *block, n *fromNode, to spread, known *classes) (movement, bool) {
	r := n.rel
	if r == nil || !p.movable(r) {
		return movement{}, false
	}
	for i := range r.columns {
		id := columnID{r, i}
		for k := range to.keys {
			if known.same(id, k) && p.hashable(b, id, p.spreadType(to.colocation)) {
				return movement{rel: r, ship: &Ship{Colocation: to.colocation}, column: i}, true
			}
		}
	}
	return movement{}, false
}

// movable tells whether a FROM item's rows can be sent each to its own place: what it selects are plain rows of shards.
func (p *planner) movable(r *rel) bool {
	return r.kind == relDistributed && r.node.GetRangeVar() != nil && !r.wholeRow && r.node != p.changing
}

// alreadyMoved tells whether a tree holds rows that were repartitioned.
func (p *planner) alreadyMoved(n *fromNode) bool {
	if n.rel == nil {
		return p.alreadyMoved(n.left) || p.alreadyMoved(n.right)
	}
	return p.repartitioned(n.rel) >= 0
}

// holdsTarget tells whether a tree holds the rows that the statement changes.
func (p *planner) holdsTarget(n *fromNode) bool {
	if n.rel == nil {
		return p.holdsTarget(n.left) || p.holdsTarget(n.right)
	}
	return p.changing != nil && n.rel.node == p.changing
}

// repartitioned gives the index of the intermediate result that a FROM item reads, if that is repartitioned, else -1.
func (p *planner) repartitioned(r *rel) int {
	if r.kind != relIntermediate {
		return -1
	}
	index, ok := intermediateIndex(r.node.GetRangeVar().GetRelname())
	if !ok || p.intermediates[index].ship == nil {
		return -1
	}
	return index
}

// hashable tells whether a column's values can be hashed on the nodes like those of a type, equal ones alike.
func (p *planner) hashable(b *block, id columnID, typ uint32) bool {
	if t := p.catalog.Types[p.hashType(p.baseType(typ))]; t == nil || t.HashFunction == "" || !p.sameHash(id.typ(), typ) {
		return false
	}
	if name := p.collation(b, output{col: &id, typ: id.typ()}); name != "" {
		for _, c := range p.catalog.Collations {
			if c.SQL == name {
				return c.Deterministic
			}
		}
		return false
	}
	return true
}

// spreadType is the type by whose hash rows are spread.
func (p *planner) spreadType(colocation int32) uint32 {
	if colocation < 0 {
		return p.buckets[-colocation-1]
	}
	if c := p.catalog.Colocations[colocation]; c != nil && (c.Collation == 0 || p.catalog.Collations[c.Collation] == nil || p.catalog.Collations[c.Collation].Deterministic) {
		return c.TypeOID
	}
	return 0
}

// hashKey is how the values of a spread's column are hashed: integers of any width as the widest, so that none is out of range.
func (p *planner) hashKey(colocation int32) catalog.Key {
	typ := p.baseType(p.spreadType(colocation))
	name := ""
	switch {
	case integers[typ]:
		typ, name = int8OID, "bigint"
	case texts[typ]:
		typ, name = textOID, "text"
	case p.catalog.Types[typ] != nil:
		name = p.catalog.Types[typ].SQL
	}
	return catalog.Key{TypeOID: typ, TypMod: -1, SQLType: name}
}

// chooseOuter decides what moves for an outer join: the side that may be missing, to every node or to where the other's rows are;
// the side that is kept, to where the other's are; or both. A side that is kept must not be at more than one place.
func (p *planner) chooseOuter(c *conflict) movement {
	b := c.block
	known := p.classesOf(b, c.quals, c.using)
	left := p.treeSpread(b, c.left, c.quals, c.using, nil)
	right := p.treeSpread(b, c.right, c.quals, c.using, nil)
	l := &unit{node: c.left, spread: left, bytes: p.treeBytes(b, c.left)}
	r := &unit{node: c.right, spread: right, bytes: p.treeBytes(b, c.right), cluster: 1}
	best, bestCost := movement{rel: p.pick(c.right)}, p.broadcastCost(r.bytes, right.colocation)
	if c.kind == sql.JoinFull || p.alreadyMoved(c.right) {
		bestCost = stays
	}
	consider := func(m movement, ok bool, cost float64) {
		if ok && cost < bestCost {
			best, bestCost = m, cost
		}
	}
	if left.hashed && right.hashed {
		m, ok := p.repartition(b, c.right, left, known)
		consider(m, ok, r.bytes+repartitionCost)
		m, ok = p.repartition(b, c.left, right, known)
		consider(m, ok, l.bytes+repartitionCost)
		m, ok = p.both(b, c.left, c.right, known)
		consider(m, ok, l.bytes+r.bytes+2*repartitionCost)
	}
	moving := r
	if best.rel != nil && c.left.contains(best.rel) {
		moving = l
	}
	best.reason = p.reason(b, moving, best)
	return best
}

// both moves the rows of two FROM items to new places, buckets by the hash of columns that are equal. It moves the first; the second
// is then moved to where that is.
func (p *planner) both(b *block, left, right *fromNode, known *classes) (movement, bool) {
	l, r := left.rel, right.rel
	if l == nil || r == nil || !p.movable(l) || !p.movable(r) {
		return movement{}, false
	}
	for i := range l.columns {
		for j := range r.columns {
			if !known.same(columnID{l, i}, columnID{r, j}) {
				continue
			}
			typ := p.baseType(l.types[i])
			if p.hashable(b, columnID{l, i}, typ) && p.hashable(b, columnID{r, j}, typ) {
				p.buckets = append(p.buckets, typ)
				return movement{rel: l, ship: &Ship{Colocation: -int32(len(p.buckets))}, column: i}, true
			}
		}
	}
	return movement{}, false
}

// hashType is the type as which values of a type are hashed.
func (p *planner) hashType(typ uint32) uint32 {
	switch {
	case integers[typ]:
		return int8OID
	case texts[typ]:
		return textOID
	}
	return typ
}

// keysMeet tells whether two spreads are joined on their distribution columns.
func (p *planner) keysMeet(known *classes, a, b spread) bool {
	if a.colocation != b.colocation {
		return false
	}
	for x := range a.keys {
		for y := range b.keys {
			if known.same(x, y) {
				return true
			}
		}
	}
	return false
}

// treeBytes estimates the bytes that moving a FROM tree would move.
func (p *planner) treeBytes(b *block, n *fromNode) float64 {
	if n.rel == nil {
		return p.treeBytes(b, n.left) + p.treeBytes(b, n.right)
	}
	bytes := p.relBytes(b, n.rel)
	if n.rel.kind == relDistributed {
		_, factor := p.reductions(b, n.rel)
		bytes *= factor
	}
	return bytes
}

// island gives the FROM trees that are inner-joined with both sides of a conflict.
func island(b *block, c *conflict) []*fromNode {
	holds := func(n *fromNode) bool {
		found := false
		flatten(n, func(*fromNode) {}, nil, nil, func(inner *fromNode) { found = found || inner == c.left || inner == c.right })
		return found
	}
	for _, n := range b.from {
		if holds(n) {
			return b.from
		}
	}
	var inside func(n *fromNode) *fromNode
	inside = func(n *fromNode) *fromNode {
		if n.rel != nil {
			return nil
		}
		for _, side := range []*fromNode{n.left, n.right} {
			if n.join.Jointype != sql.JoinInner && holds(side) {
				return side
			}
			if found := inside(side); found != nil {
				return found
			}
		}
		return nil
	}
	for _, n := range b.from {
		if found := inside(n); found != nil {
			return []*fromNode{found}
		}
	}
	return []*fromNode{c.left, c.right}
}

// flatten visits the leaves of a tree of inner joins: FROM items and outer joins. It adds the joins' conditions to quals and using,
// and tells seen, if given, of every node.
func flatten(n *fromNode, leaf func(*fromNode), quals *[]*sql.Node, using *[][2]columnID, seen ...func(*fromNode)) {
	for _, f := range seen {
		f(n)
	}
	if n.rel != nil || n.join.Jointype != sql.JoinInner {
		leaf(n)
		return
	}
	if quals != nil {
		*quals, *using = append(*quals, n.quals...), append(*using, n.using...)
	}
	flatten(n.left, leaf, quals, using, seen...)
	flatten(n.right, leaf, quals, using, seen...)
}
