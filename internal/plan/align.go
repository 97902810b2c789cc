package plan

import (
	"cmp"
	"slices"

	"github.com/trunkline/trunkline/internal/sql"
)

// alignment is what a correlated subquery may rely on: the distribution columns of the rows it is evaluated for.
type alignment struct {
	colocation int32
	keys       []columnID
	up         *alignment
}

func (a *alignment) with(s spread) *alignment {
	if !s.hashed {
		return a
	}
	next := &alignment{colocation: s.colocation, up: a}
	for k := range s.keys {
		next.keys = append(next.keys, k)
	}
	return next
}

func (a *alignment) has(id columnID, colocation int32) bool {
	for ; a != nil; a = a.up {
		if a.colocation != colocation {
			continue
		}
		for _, k := range a.keys {
			if k == id {
				return true
			}
		}
	}
	return false
}

// inGroup tells whether enclosing rows are in shards of a colocation group.
func (a *alignment) inGroup(colocation int32) bool {
	for ; a != nil; a = a.up {
		if a.colocation == colocation {
			return true
		}
	}
	return false
}

// alignedBlock tells whether a block that is evaluated once for each row of enclosing rows reads only their shard group: each
// distributed table in it is tied to their distribution column. It returns nil when it does.
func (p *planner) alignedBlock(b *block, outer *alignment) *blocker {
	if b.sel.Op != sql.SetopNone {
		if blocked := p.alignedBlock(b.left, outer); blocked != nil {
			return blocked
		}
		if blocked := p.alignedBlock(b.right, outer); blocked != nil {
			return blocked
		}
		return p.sublinksBlocked(b, spread{}, outer)
	}
	if !p.blockHashed(b) && !p.blockNeedsCoordinator(b) {
		return nil
	}
	s := p.fromSpread(b, outer)
	if s.blocked != nil {
		return s.blocked
	}
	if s.hashed {
		c := p.classesOf(b, b.where, p.allUsing(b.from))
		tied := s.single && outer.inGroup(s.colocation)
		for k := range s.keys {
			for _, id := range c.members(k) {
				tied = tied || !b.owns(id.rel) && outer.has(id, s.colocation)
			}
		}
		if !tied {
			if m, ok := p.approach(b, c, outer); ok {
				return &blocker{reason: "a correlated subquery that is not tied to the distribution column", moving: &m}
			}
			return &blocker{reason: "a correlated subquery that is not tied to the distribution column", rel: p.firstHashed(b)}
		}
	}
	if p.anyNeedsCoordinator(b) {
		return &blocker{reason: "a function that must run on the coordinator"}
	}
	return p.sublinksBlocked(b, s, outer)
}

func (p *planner) firstHashed(b *block) *rel {
	for i := len(b.rels) - 1; i >= 0; i-- {
		if p.relHashed(b.rels[i]) {
			return b.rels[i]
		}
	}
	return nil
}

// sublinksBlocked looks for a subquery in b's expressions that cannot be evaluated beside the rows of s.
func (p *planner) sublinksBlocked(b *block, s spread, outer *alignment) *blocker {
	for _, link := range b.sublinks {
		if blocked := p.sublinkBlocked(b, link, s, outer); blocked != nil {
			return blocked
		}
	}
	return nil
}

func (p *planner) sublinkBlocked(b *block, link *sublink, s spread, outer *alignment) *blocker {
	if !p.blockHashed(link.block) && !p.blockNeedsCoordinator(link.block) {
		return nil
	}
	inner := outer.with(s)
	if link.block.complex {
		return p.firstInside(link)
	}
	if s.single && len(link.block.outer) == 0 {
		if sub, _ := p.blockSpread(link.block, inner); sub.blocked == nil && sub.single && sub.colocation == s.colocation {
			return nil
		}
	}
	if len(link.block.outer) == 0 {
		if s.hashed && p.alignedSemijoin(b, link, s, inner) {
			return nil
		}
		if m, ok := p.approachSemijoin(b, link, s); ok {
			return &blocker{reason: "a subquery over all shards", moving: &m}
		}
		return &blocker{reason: "a subquery over all shards", link: link}
	}
	blocked := p.alignedBlock(link.block, inner)
	if blocked != nil && p.alignedSemijoin(b, link, s, inner) {
		return nil
	}
	if blocked == nil || blocked.inside() {
		return blocked
	}
	return p.firstInside(link)
}

// firstInside chooses what to run first of a correlated subquery that cannot run beside its enclosing rows.
func (p *planner) firstInside(link *sublink) *blocker {
	if r := p.deepHashed(link.block); r != nil {
		return &blocker{reason: "a correlated subquery that is not tied to the distribution column", rel: r}
	}
	return &blocker{reason: "a correlated subquery that the planner cannot place"}
}

// deepHashed finds a FROM item below b that must be run first: one that does not itself depend on enclosing rows.
func (p *planner) deepHashed(b *block) *rel {
	if b.sel.Op != sql.SetopNone {
		if r := p.deepHashed(b.left); r != nil {
			return r
		}
		if r := p.deepHashed(b.right); r != nil {
			return r
		}
	}
	for _, r := range b.rels {
		if r.kind == relSubquery && len(r.block.outer) > 0 {
			if inner := p.deepHashed(r.block); inner != nil {
				return inner
			}
			continue
		}
		if p.relHashed(r) || r.kind == relLocal || r.kind == relSubquery && p.blockNeedsCoordinator(r.block) {
			return r
		}
	}
	for _, link := range b.sublinks {
		if r := p.deepHashed(link.block); r != nil {
			return r
		}
	}
	return nil
}

// alignedSemijoin tells whether "key IN (SELECT key …)" compares distribution columns of co-located rows, so that each shard can
// answer for itself, NULLs and NOT IN included.
func (p *planner) alignedSemijoin(b *block, link *sublink, s spread, outer *alignment) bool {
	if link.node.SubLinkType != sql.SublinkAny || len(link.node.OperName) > 0 && sql.Strings(link.node.OperName)[0] != "=" {
		return false
	}
	if len(link.block.outer) > 0 {
		return false
	}
	inner, outKeys := p.blockSpread(link.block, outer)
	if inner.blocked != nil || !inner.hashed || inner.colocation != s.colocation {
		return false
	}
	tests := []*sql.Node{link.test}
	if row := link.test.GetRowExpr(); row != nil {
		if len(row.Args) != 1 {
			return false // NOT IN over several columns can meet a NULL in another shard
		}
		tests = row.Args
	}
	id, ok := b.column(tests[0])
	sure, isKey := outKeys[0]
	required := b.requires(link)
	if !ok || !isKey || !required && !(sure && p.neverNull(link.block, link.block.outputs[0].col)) {
		return false
	}
	c := p.sureClasses(b)
	for k, sure := range s.keys {
		if sure && c.same(k, id) && (required || p.neverNull(b, &k)) {
			return true
		}
	}
	return false
}

// neverNull tells whether a column that no outer join made NULL holds no NULL: its table, or a condition, forbids it.
func (p *planner) neverNull(b *block, id *columnID) bool {
	if id == nil || b.sel.Op != sql.SetopNone {
		return false
	}
	for _, q := range b.where {
		if test := q.GetNullTest(); test != nil && test.Nulltesttype == sql.IsNotNull {
			if tested, ok := b.column(test.Arg); ok && tested == *id {
				return true
			}
		}
	}
	switch r := id.rel; {
	case r.table != nil:
		return id.col < len(r.table.Columns) && r.table.Columns[id.col].NotNull
	case r.kind == relSubquery && id.col < len(r.block.outputs):
		return p.neverNull(r.block, r.block.outputs[id.col].col)
	}
	return false
}

// requires tells whether only rows count for which a subquery's test is true: then it does not matter whether others make it false
// or unknown.
func (b *block) requires(link *sublink) bool { return slices.Contains(b.where, link.wrapper) }

// approach finds how the only distributed table of a correlated subquery can be brought to the rows for which it is evaluated: by the
// column that equals their distribution column.
func (p *planner) approach(b *block, known *classes, outer *alignment) (movement, bool) {
	r := p.onlyHashed(b)
	if r == nil {
		return movement{}, false
	}
	for a := outer; a != nil; a = a.up {
		for i := range r.columns {
			id := columnID{r, i}
			var keys []columnID
			for _, key := range a.keys {
				if known.same(id, key) && p.hashable(b, id, p.spreadType(a.colocation)) {
					keys = append(keys, key)
				}
			}
			if len(keys) > 0 {
				return p.approaching(b, r, i, &Ship{Colocation: a.colocation, Index: p.plainAggregate(b), Distinct: p.onlyExistence(b)}, keys)
			}
		}
	}
	return movement{}, false
}

// approachSemijoin is approach for "key IN (SELECT …)".
func (p *planner) approachSemijoin(b *block, link *sublink, s spread) (movement, bool) {
	r := p.onlyHashed(link.block)
	id, ok := b.column(link.test)
	if r == nil || !ok || !s.hashed || link.node.SubLinkType != sql.SublinkAny || !b.requires(link) || !p.onlyExistence(link.block) ||
		len(link.node.OperName) > 0 && sql.Strings(link.node.OperName)[0] != "=" || len(link.block.outputs) != 1 {
		return movement{}, false
	}
	out := link.block.outputs[0].col
	c := p.classesOf(b, b.where, p.allUsing(b.from))
	if out == nil || out.rel != r || !p.sameHash(id.typ(), out.typ()) || !p.hashable(link.block, *out, p.spreadType(s.colocation)) {
		return movement{}, false
	}
	var keys []columnID
	for key, sure := range s.keys {
		if sure && c.same(key, id) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return movement{}, false
	}
	return p.approaching(link.block, r, out.col, &Ship{Colocation: s.colocation, Distinct: true}, keys)
}

// approaching is the movement of a table's rows to where keys of enclosing rows are, unless they are so few that every node may as well
// have them.
func (p *planner) approaching(b *block, r *rel, column int, ship *Ship, keys []columnID) (movement, bool) {
	p.chose = true
	_, factor := p.reductions(b, r)
	u := &unit{node: &fromNode{rel: r}, spread: spread{colocation: r.table.ColocationID}, bytes: p.relBytes(b, r) * factor}
	if u.bytes < repartitionCost/4 && !p.settings.Repartition {
		return movement{}, false
	}
	m := movement{rel: r, ship: ship, column: column}
	slices.SortFunc(keys, func(a, b columnID) int {
		return cmp.Or(cmp.Compare(a.rel.alias, b.rel.alias), cmp.Compare(a.col, b.col))
	})
	p.narrow(&m, b, keys, u.bytes)
	u.bytes *= m.part
	m.reason = p.reason(b, u, m)
	return m, true
}

// onlyHashed gives the one distributed table that a block and all below it read, if it can be repartitioned.
func (p *planner) onlyHashed(b *block) *rel {
	if b.sel.Op != sql.SetopNone || b.complex {
		return nil
	}
	var only *rel
	for _, r := range b.rels {
		if !p.relHashed(r) {
			continue
		}
		if only != nil || !p.movable(r) {
			return nil
		}
		only = r
	}
	for _, link := range b.sublinks {
		if p.blockHashed(link.block) {
			return nil
		}
	}
	return only
}

// onlyExistence tells whether it does not matter how often a subquery returns a row: that of EXISTS or IN.
func (p *planner) onlyExistence(b *block) bool {
	if b.parent == nil || len(b.sel.GroupClause) > 0 || b.sel.LimitCount != nil || b.sel.LimitOffset != nil || p.plainAggregate(b) || len(windows(b)) > 0 {
		return false
	}
	for _, link := range b.parent.sublinks {
		if link.block == b {
			return link.node.SubLinkType == sql.SublinkExists || link.node.SubLinkType == sql.SublinkAny
		}
	}
	return false
}
