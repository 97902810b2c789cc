package plan

import (
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
		return &blocker{reason: "a subquery over all shards", link: link}
	}
	blocked := p.alignedBlock(link.block, inner)
	if blocked != nil && p.alignedSemijoin(b, link, s, inner) {
		return nil
	}
	if blocked == nil || blocked.rel != nil || blocked.link != nil {
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
	if !ok || !outKeys[0] {
		return false
	}
	c := p.sureClasses(b)
	for k, sure := range s.keys {
		if sure && c.same(k, id) {
			return true
		}
	}
	return false
}
