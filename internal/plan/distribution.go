package plan

import (
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// spread says where the rows of a FROM tree or a block are.
type spread struct {
	hashed     bool              // split over shards; else the same rows can be had on every node
	colocation int32             // of the shards
	keys       map[columnID]bool // columns that hold the distribution value; true where it cannot be NULL
	single     bool              // all rows are in one shard: of tables without a distribution column
	blocked    *blocker          // set when evaluating it on every shard and putting the results together would be wrong
}

// blocker is why something cannot run shard by shard, and what to run first so that it can.
type blocker struct {
	reason string
	rel    *rel      // run this FROM item first
	link   *sublink  // or this subquery of an expression
	join   *conflict // or move rows of one of these sides
	moving *movement // or this one's
}

// inside tells whether it is known which part is to be run first or moved, rather than the whole query that is blocked.
func (b *blocker) inside() bool {
	return b.rel != nil || b.link != nil || b.join != nil || b.moving != nil
}

// classes are sets of columns (and constants) known to be equal.
type classes struct {
	parent map[columnID]columnID
	values map[columnID][]Value // by root: constants that a column is equal to
}

func newClasses() *classes {
	return &classes{parent: map[columnID]columnID{}, values: map[columnID][]Value{}}
}

func (c *classes) root(id columnID) columnID {
	for {
		up, ok := c.parent[id]
		if !ok || up == id {
			return id
		}
		id = up
	}
}

func (c *classes) join(a, b columnID) {
	ra, rb := c.root(a), c.root(b)
	if ra == rb {
		return
	}
	c.parent[ra], c.parent[rb] = rb, rb
	c.values[rb] = append(c.values[rb], c.values[ra]...)
}

func (c *classes) same(a, b columnID) bool { return c.root(a) == c.root(b) }

// alone tells whether nothing is known to equal a column.
func (c *classes) alone(id columnID) bool {
	_, joined := c.parent[id]
	return !joined
}

func (c *classes) members(of columnID) []columnID {
	root := c.root(of)
	ids := []columnID{root}
	for id := range c.parent {
		if id != root && c.root(id) == root {
			ids = append(ids, id)
		}
	}
	return ids
}

// classesOf collects what a list of conjuncts makes equal.
func (p *planner) classesOf(b *block, quals []*sql.Node, using [][2]columnID) *classes {
	c := newClasses()
	for _, pair := range using {
		if p.sameHash(pair[0].typ(), pair[1].typ()) {
			c.join(pair[0], pair[1])
		}
	}
	for at := b; at != nil; at = at.parent {
		p.passedOn(c, at)
	}
	for _, q := range quals {
		left, right, ok := equality(q)
		if !ok {
			continue
		}
		l, okL := b.column(left)
		r, okR := b.column(right)
		switch {
		case okL && okR && p.sameHash(l.typ(), r.typ()):
			c.join(l, r)
		case okL && !okR:
			if v, ok := p.constant(right, l.typ()); ok {
				c.values[c.root(l)] = append(c.values[c.root(l)], v)
			}
		case okR && !okL:
			if v, ok := p.constant(left, r.typ()); ok {
				c.values[c.root(r)] = append(c.values[c.root(r)], v)
			}
		}
	}
	return c
}

// passedOn notes the columns that subqueries without a FROM clause of their own pass on from enclosing queries.
func (p *planner) passedOn(c *classes, b *block) {
	for _, r := range b.rels {
		if r.kind != relSubquery || r.block.sel == nil || r.block.sel.Op != sql.SetopNone || len(r.block.from) > 0 {
			continue
		}
		for i, o := range r.block.outputs {
			e := o.expr
			if cast := e.GetTypeCast(); cast != nil && p.namedType(cast.TypeName) == o.typ && len(cast.TypeName.Typmods) == 0 {
				e = cast.Arg
			}
			if id, ok := r.block.column(e); ok && id.typ() == o.typ && !r.block.owns(id.rel) {
				c.join(columnID{r, i}, id)
			}
		}
	}
}

func (id columnID) typ() uint32 {
	if id.col < 0 || id.col >= len(id.rel.types) {
		return 0
	}
	return id.rel.types[id.col]
}

// sameHash tells whether equal values of two types have equal hashes, so that equality of columns carries over to shards.
func (p *planner) sameHash(a, b uint32) bool {
	a, b = p.baseType(a), p.baseType(b)
	return a != 0 && (a == b || integers[a] && integers[b] || texts[a] && texts[b])
}

var (
	integers = map[uint32]bool{int2OID: true, int4OID: true, int8OID: true}
	texts    = map[uint32]bool{textOID: true, varcharOID: true}
)

// equality takes "a = b" apart.
func equality(e *sql.Node) (left, right *sql.Node, ok bool) {
	x := e.GetAExpr()
	if x == nil || x.Kind != sql.ExprOp || x.Lexpr == nil || x.Rexpr == nil {
		return nil, nil, false
	}
	names := sql.Strings(x.Name)
	if names[len(names)-1] != "=" || len(names) > 1 && names[0] != "pg_catalog" {
		return nil, nil, false
	}
	return x.Lexpr, x.Rexpr, true
}

// fromSpread finds where the rows of a block's whole FROM clause are. Its WHERE conditions help to see which tables are joined
// on their distribution columns: a row that does not meet them is dropped whatever it was joined with.
func (p *planner) fromSpread(b *block, outer *alignment) spread {
	quals := b.where
	if len(b.from) == 0 {
		return spread{}
	}
	s := p.treeSpread(b, b.from[0], quals, nil, outer)
	for i, next := range b.from[1:] {
		right := p.treeSpread(b, next, quals, nil, outer.with(s))
		s = p.joinSpread(b, sql.JoinInner, s, right, quals, p.allUsing(b.from[:i+2]), b.from[i], next)
	}
	return s
}

func (p *planner) allUsing(nodes []*fromNode) [][2]columnID {
	var pairs [][2]columnID
	for _, n := range nodes {
		if n.rel == nil {
			// A FULL join's USING columns may be NULL on either side, but where both are there they are equal.
			pairs = append(pairs, n.using...)
			pairs = append(pairs, p.allUsing([]*fromNode{n.left, n.right})...)
		}
	}
	return pairs
}

// sureClasses are the columns that are equal in every row of a block, or NULL together. What an outer join's USING makes equal is
// not: one of the two may be missing.
func (p *planner) sureClasses(b *block) *classes {
	var pairs [][2]columnID
	var visit func(n *fromNode)
	visit = func(n *fromNode) {
		if n.rel != nil {
			return
		}
		if n.join.Jointype == sql.JoinInner {
			pairs = append(pairs, n.using...)
		}
		visit(n.left)
		visit(n.right)
	}
	for _, n := range b.from {
		visit(n)
	}
	return p.classesOf(b, b.where, pairs)
}

func (p *planner) treeSpread(b *block, n *fromNode, quals []*sql.Node, using [][2]columnID, outer *alignment) spread {
	if n.rel != nil {
		return p.relSpread(b, n.rel, outer)
	}
	if p.joinNeedsCoordinator(n) {
		return spread{blocked: &blocker{reason: "a join condition that must be evaluated on the coordinator", rel: p.pickHashed(n)}}
	}
	both := append(append([]*sql.Node{}, quals...), n.quals...)
	bothUsing := append(append([][2]columnID{}, using...), n.using...)
	leftQuals, rightQuals := quals, quals
	leftUsing, rightUsing := using, using
	switch n.join.Jointype {
	case sql.JoinInner:
		leftQuals, rightQuals, leftUsing, rightUsing = both, both, bothUsing, bothUsing
	case sql.JoinLeft:
		rightQuals, rightUsing = both, bothUsing
	case sql.JoinRight:
		leftQuals, leftUsing = both, bothUsing
	}
	left := p.treeSpread(b, n.left, leftQuals, leftUsing, outer)
	right := p.treeSpread(b, n.right, rightQuals, rightUsing, outer.with(left))
	inner := append(bothUsing, p.allUsing([]*fromNode{n.left, n.right})...)
	return p.joinSpread(b, n.join.Jointype, left, right, both, inner, n.left, n.right)
}

// joinSpread joins two spreads.
func (p *planner) joinSpread(b *block, kind sql.JoinType, left, right spread, quals []*sql.Node, using [][2]columnID, l, r *fromNode) spread {
	if left.blocked != nil {
		return left
	}
	if right.blocked != nil {
		return right
	}
	if kind == sql.JoinRight {
		left, right, l, r = right, left, r, l
		kind = sql.JoinLeft
	}
	switch {
	case !left.hashed && !right.hashed:
		return spread{}
	case left.hashed && !right.hashed:
		if kind == sql.JoinFull {
			return spread{blocked: &blocker{reason: "a full join with rows that every node has", rel: p.pick(l)}}
		}
		return left
	case !left.hashed && right.hashed:
		if kind != sql.JoinInner {
			return spread{blocked: &blocker{reason: "an outer join keeps rows that every node has", rel: p.pick(r)}}
		}
		return right
	}
	moving := &conflict{block: b, kind: kind, left: l, right: r, quals: quals, using: using}
	if left.colocation != right.colocation {
		return spread{blocked: &blocker{reason: "a join of tables that are not co-located", join: moving}}
	}
	c := p.classesOf(b, quals, using)
	joined := false
	for lk := range left.keys {
		for rk := range right.keys {
			joined = joined || c.same(lk, rk)
		}
	}
	joined = joined || left.single
	if !joined {
		return spread{blocked: &blocker{reason: "a join that is not on the distribution columns", join: moving}}
	}
	keys := map[columnID]bool{}
	for k, sure := range left.keys {
		keys[k] = sure && kind != sql.JoinFull
	}
	for k, sure := range right.keys {
		keys[k] = sure && kind == sql.JoinInner
	}
	return spread{hashed: true, colocation: left.colocation, keys: keys, single: left.single}
}

// singleShard tells whether a distributed table has no distribution column. All tables of its colocation group are like it.
func singleShard(table *catalog.Relation) bool {
	return table.Kind == catalog.Distributed && table.DistColumn < 0
}

// pick chooses a hashed item of a FROM tree to be run first.
func (p *planner) pick(n *fromNode) *rel {
	if n.rel != nil {
		return n.rel
	}
	for _, side := range []*fromNode{n.right, n.left} {
		if p.treeHasHashed(side) {
			return p.pick(side)
		}
	}
	return p.pick(n.left)
}

// pickHashed is pick where there is a hashed item, else nil.
func (p *planner) pickHashed(n *fromNode) *rel {
	if !p.treeHasHashed(n) {
		return nil
	}
	return p.pick(n)
}

func (p *planner) treeHasHashed(n *fromNode) bool {
	if n.rel != nil {
		return p.relHashed(n.rel)
	}
	return p.treeHasHashed(n.left) || p.treeHasHashed(n.right)
}

// smaller chooses which side of an inner join that cannot run shard by shard is run first and shipped to the other: the one with
// fewer bytes, the later one if equal.
func (p *planner) smaller(c *conflict) *rel {
	if p.treeBytes(c.block, c.left) < p.treeBytes(c.block, c.right) {
		return p.pick(c.left)
	}
	return p.pick(c.right)
}

// relSpread finds where one FROM item's rows are.
func (p *planner) relSpread(b *block, r *rel, outer *alignment) spread {
	switch r.kind {
	case relDistributed:
		if singleShard(r.table) {
			return spread{hashed: true, colocation: r.table.ColocationID, single: true}
		}
		key := columnID{r, r.table.DistColumn}
		return spread{hashed: true, colocation: r.table.ColocationID, keys: map[columnID]bool{key: true}}
	case relReference:
		return spread{}
	case relIntermediate:
		if index := p.repartitioned(r); index >= 0 {
			ship := p.intermediates[index].ship
			return spread{hashed: true, colocation: ship.Colocation, keys: map[columnID]bool{{r, ship.Column}: false}}
		}
		return spread{}
	case relLocal:
		return spread{blocked: &blocker{reason: "a local table joined with distributed ones", rel: r}}
	case relRecursive:
		if !p.relHashed(r) && !p.blockNeedsCoordinator(r.block) {
			return spread{}
		}
		return spread{blocked: &blocker{reason: "a recursive query over distributed tables", rel: r}}
	case relFunction:
		if p.functionNeedsCoordinator(r) {
			return spread{blocked: &blocker{reason: "a function in FROM that must run once", rel: r}}
		}
		return spread{}
	}
	// A LATERAL subquery that depends on its neighbours runs once per row of theirs: it may do anything that stays in their shard.
	if len(r.block.outer) > 0 {
		if blocked := p.alignedBlock(r.block, outer); blocked != nil {
			return spread{blocked: blocked}
		}
		return spread{}
	}
	if !p.blockHashed(r.block) {
		if p.blockNeedsCoordinator(r.block) {
			return spread{blocked: &blocker{reason: "a subquery over local tables joined with distributed ones", rel: r}}
		}
		return spread{}
	}
	if p.orderShows(b, r) {
		return spread{blocked: &blocker{reason: "the order of a subquery's rows", rel: r}}
	}
	s, outKeys := p.blockSpread(r.block, nil)
	switch {
	case s.blocked != nil && s.blocked.inside():
		return s
	case s.blocked != nil:
		return spread{blocked: &blocker{reason: s.blocked.reason, rel: r}}
	}
	s.keys = map[columnID]bool{}
	for col, sure := range outKeys {
		s.keys[columnID{r, col}] = sure
	}
	return s
}

// orderShows tells whether the order in which a subquery sorts its rows shows in what the block around it makes of them. SQL does not
// promise that, but PostgreSQL keeps the order where nothing forces it to change it, and clients rely on it: views that end with an
// ORDER BY, a LIMIT around a sorted query, array_agg over one.
func (p *planner) orderShows(b *block, r *rel) bool {
	sel := b.sel
	if len(r.block.sel.SortClause) == 0 || len(b.rels) > 1 || len(sel.SortClause) > 0 || len(sel.DistinctClause) > 0 {
		return false
	}
	if len(sel.GroupClause) == 0 && !p.plainAggregate(b) {
		return true
	}
	return p.collectsInOrder(sel.TargetList) || p.collectsInOrder([]*sql.Node{sel.HavingClause})
}

// collectsInOrder tells whether expressions hold an aggregate whose result depends on the order of its input.
func (p *planner) collectsInOrder(list []*sql.Node) bool {
	found := false
	for _, e := range list {
		sql.Walk(e, func(m proto.Message) bool {
			n, ok := m.(*sql.Node)
			if !ok || n.GetSubLink() != nil {
				return !ok
			}
			if call := n.GetFuncCall(); call != nil && len(call.AggOrder) == 0 && len(call.Funcname) > 0 {
				names := sql.Strings(call.Funcname)
				switch names[len(names)-1] {
				case "array_agg", "string_agg", "json_agg", "jsonb_agg", "json_object_agg", "jsonb_object_agg", "xmlagg":
					found = true
				}
			}
			return !found
		})
	}
	return found
}

// blockSpread tells whether a block, run on every shard group, gives just its rows when the results are put together. outKeys are
// the output columns that hold the distribution value.
func (p *planner) blockSpread(b *block, outer *alignment) (s spread, outKeys map[int]bool) {
	if b.sel.Op != sql.SetopNone {
		return p.setSpread(b, outer)
	}
	s = p.fromSpread(b, outer)
	if s.blocked != nil || !s.hashed {
		if s.blocked == nil {
			s.blocked = p.sublinksBlocked(b, s, outer)
		}
		return s, nil
	}
	if s.blocked = p.sublinksBlocked(b, s, outer); s.blocked != nil {
		return s, nil
	}
	sel := b.sel
	whole := func(reason string) (spread, map[int]bool) {
		s.blocked = &blocker{reason: reason}
		return s, nil
	}
	c := p.sureClasses(b)
	isKey := func(e *sql.Node) bool { return p.isSureKey(b, s, c, e) }
	if s.single && b.parent != nil && len(sel.LockingClause) == 0 {
		if p.anyNeedsCoordinator(b) {
			return whole("a function that must run on the coordinator")
		}
		return s, map[int]bool{}
	}
	if len(sel.GroupClause) > 0 || sel.HavingClause != nil || p.plainAggregate(b) {
		if !p.groupsByKey(b, isKey) {
			return whole("an aggregation that does not group by the distribution column")
		}
	}
	if !p.windowsByKey(b, isKey) {
		return whole("a window function that does not partition by the distribution column")
	}
	if len(sel.DistinctClause) > 0 && !p.distinctByKey(b, isKey) {
		return whole("DISTINCT without the distribution column")
	}
	if sel.LimitCount != nil || sel.LimitOffset != nil {
		return whole("LIMIT or OFFSET over all shards")
	}
	if len(sel.LockingClause) > 0 && b.parent != nil {
		return whole("a row lock in a subquery")
	}
	if p.anyNeedsCoordinator(b) {
		return whole("a function that must run on the coordinator")
	}
	outKeys = map[int]bool{}
	for i, o := range b.outputs {
		if o.col == nil {
			if o.expr != nil && len(sel.GroupClause) == 0 && p.fullMergedKey(b, s, o.expr) {
				outKeys[i] = true
			}
			continue
		}
		for k, sure := range s.keys {
			if c.same(k, *o.col) {
				outKeys[i] = outKeys[i] || sure
			}
		}
	}
	return s, outKeys
}

// isSureKey tells whether an expression is a distribution column that no outer join made NULL. Rows that are equal in it, or that have a NULL
// there, are in one shard.
func (p *planner) isSureKey(b *block, s spread, c *classes, e *sql.Node) bool {
	if id, ok := b.column(e); ok {
		for k, sure := range s.keys {
			if sure && c.same(k, id) {
				return true
			}
		}
	}
	return p.fullMergedKey(b, s, e)
}

// fullMergedKey tells whether e is the column that a FULL JOIN … USING made of two distribution columns: rows in which it
// is NULL lie in one shard.
func (p *planner) fullMergedKey(b *block, s spread, e *sql.Node) bool {
	ref := e.GetColumnRef()
	if ref == nil || len(ref.Fields) != 1 {
		return false
	}
	name := sql.Strings(ref.Fields)[0]
	if !b.fullMerged[name] {
		return false
	}
	for _, id := range b.merged[name] {
		if _, ok := s.keys[id]; !ok {
			return false
		}
	}
	return true
}

// setSpread is blockSpread for UNION, INTERSECT and EXCEPT.
func (p *planner) setSpread(b *block, outer *alignment) (spread, map[int]bool) {
	if blocked := p.sublinksBlocked(b, spread{}, outer); blocked != nil {
		return spread{blocked: blocked}, nil
	}
	left, leftKeys := p.blockSpread(b.left, outer)
	right, rightKeys := p.blockSpread(b.right, outer)
	for _, s := range []spread{left, right} {
		if s.blocked != nil {
			return s, nil
		}
	}
	sel := b.sel
	switch {
	case !left.hashed && !right.hashed:
		return spread{}, nil
	case left.hashed != right.hashed || left.colocation != right.colocation:
		return spread{blocked: &blocker{reason: "a set operation between distributed and other rows"}}, nil
	case sel.LimitCount != nil || sel.LimitOffset != nil:
		return spread{blocked: &blocker{reason: "LIMIT or OFFSET over all shards"}}, nil
	}
	keys := map[int]bool{}
	anySure := false
	for col, sure := range leftKeys {
		if other, ok := rightKeys[col]; ok && b.left.outputs[col].typ == b.right.outputs[col].typ {
			keys[col] = sure && other
			anySure = anySure || sure && other
		}
	}
	if !(sel.Op == sql.SetopUnion && sel.All) && !anySure && !left.single {
		return spread{blocked: &blocker{reason: "a set operation that must compare rows of all shards"}}, nil
	}
	return spread{hashed: true, colocation: left.colocation, keys: map[columnID]bool{}, single: left.single}, keys
}

// groupsByKey tells whether every group lies within one shard.
func (p *planner) groupsByKey(b *block, isKey func(*sql.Node) bool) bool {
	for _, g := range b.sel.GroupClause {
		if g.GetGroupingSet() != nil {
			return false
		}
	}
	for _, g := range b.sel.GroupClause {
		if isKey(p.resolveGroupItem(b, g)) {
			return true
		}
	}
	return false
}

func (p *planner) distinctByKey(b *block, isKey func(*sql.Node) bool) bool {
	if on := b.sel.DistinctClause; on[0].GetNode() != nil { // DISTINCT ON (…)
		for _, e := range on {
			if isKey(p.resolveSortItem(b, e)) {
				return true
			}
		}
		return false
	}
	for _, o := range b.outputs {
		if o.expr != nil && isKey(o.expr) || o.col != nil && o.expr != nil && isKey(o.expr) {
			return true
		}
	}
	return false
}
