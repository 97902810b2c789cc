package plan

import "github.com/trunkline/trunkline/internal/sql"

// pinned finds the one value of the distribution column to which a whole query is tied, so that one shard group can answer it.
// Every distributed table at every level must be tied to the same value.
func (p *planner) pinned(b *block) (Value, int32, bool) {
	f := &pinFinder{p: p, tried: map[*block]trial{}}
	f.block(b, nil)
	if f.failed || len(f.values) == 0 {
		return Value{}, 0, false
	}
	for i := range f.values {
		if !sameValue(f.values[i], f.values[0]) || f.colocations[i] != f.colocations[0] {
			return Value{}, 0, false
		}
	}
	return f.values[0], f.colocations[0], true
}

func sameValue(a, b Value) bool {
	return a.Kind == b.Kind && a.Index == b.Index && a.Text == b.Text && a.Negative == b.Negative && a.Type == b.Type && a.Kind != ValueSQL
}

type pinFinder struct {
	p           *planner
	tried       map[*block]trial // shared by all finders of a query
	values      []Value
	colocations []int32
	failed      bool
}

// trial is what came of looking at a block by itself, when so many columns of enclosing blocks were tied. That only grows while a query
// is looked at, so as many are the same ones. Without this, each level of nesting would double the work.
type trial struct {
	known   int
	finder  *pinFinder
	outputs map[int]Value
}

// pins are the columns known to have one value.
type pins struct {
	values map[columnID]Value
	up     *pins
}

// count is the number of columns that are tied.
func (s *pins) count() int {
	n := 0
	for ; s != nil; s = s.up {
		n += len(s.values)
	}
	return n
}

func (s *pins) of(id columnID) (Value, bool) {
	for ; s != nil; s = s.up {
		if v, ok := s.values[id]; ok {
			return v, true
		}
	}
	return Value{}, false
}

// block ties the tables of a block, given what enclosing blocks tie. It gives the values to which its output columns are tied.
func (f *pinFinder) block(b *block, up *pins) (outputs map[int]Value) {
	if f.failed {
		return nil
	}
	if b.complex {
		f.failed = true
		return nil
	}
	for _, c := range b.withs {
		f.failed = f.failed || f.p.blockNeedsCoordinator(c.block)
		f.failed = f.failed || f.p.blockHashed(c.block) && !f.inside(c.block, up)
	}
	if b.sel.Op != sql.SetopNone {
		f.block(b.left, up)
		f.block(b.right, up)
		for _, link := range b.sublinks {
			f.failed = f.failed || (f.p.blockHashed(link.block) || f.p.blockNeedsCoordinator(link.block)) && !f.inside(link.block, up)
		}
		return nil
	}
	own := f.spreadPins(b, up)
	for _, r := range b.rels {
		f.rel(b, r, own)
	}
	for _, link := range b.sublinks {
		if !f.p.blockHashed(link.block) && !f.p.blockNeedsCoordinator(link.block) {
			continue
		}
		if f.inside(link.block, own) {
			continue
		}
		// key IN (SELECT key …), with the key tied to one value
		if id, ok := b.column(link.test); ok && link.node.SubLinkType == sql.SublinkAny {
			if v, ok := own.of(id); ok && f.tiesOutput(link.block, 0, v) {
				continue
			}
		}
		f.failed = true
	}
	f.failed = f.failed || f.p.anyNeedsCoordinator(b)
	outputs = map[int]Value{}
	for i, o := range b.outputs {
		if o.col != nil {
			if v, ok := own.of(*o.col); ok {
				outputs[i] = v
			}
		}
	}
	return outputs
}

// inside tells whether a block ties all of its tables by itself, and if so notes their values.
func (f *pinFinder) inside(b *block, up *pins) bool {
	try, _ := f.try(b, up)
	if try.failed {
		return false
	}
	f.values = append(f.values, try.values...)
	f.colocations = append(f.colocations, try.colocations...)
	return true
}

// try looks at a block by itself, unless that was done and cannot come out otherwise now.
func (f *pinFinder) try(b *block, up *pins) (finder *pinFinder, outputs map[int]Value) {
	known := up.count()
	if t, ok := f.tried[b]; ok && (t.known == known || !t.finder.failed) {
		return t.finder, t.outputs
	}
	t := trial{known: known, finder: &pinFinder{p: f.p, tried: f.tried}}
	t.outputs = t.finder.block(b, up)
	f.tried[b] = t
	return t.finder, t.outputs
}

// tiesOutput ties a subquery whose rows matter only where an output column, its distribution column, has a value.
func (f *pinFinder) tiesOutput(b *block, column int, v Value) bool {
	s, keys := f.p.blockSpread(b, nil)
	if _, isKey := keys[column]; s.blocked != nil || !s.hashed || !isKey {
		return false
	}
	f.values = append(f.values, v)
	f.colocations = append(f.colocations, s.colocation)
	return true
}

func (f *pinFinder) rel(b *block, r *rel, own *pins) {
	switch r.kind {
	case relDistributed:
		v, ok := own.of(columnID{r, r.table.DistColumn})
		if singleShard(r.table) {
			v, ok = Value{Kind: ValueNone}, true
		}
		if !ok {
			f.failed = true
			return
		}
		f.values = append(f.values, v)
		f.colocations = append(f.colocations, r.table.ColocationID)
	case relIntermediate:
		index := f.p.repartitioned(r)
		if index < 0 {
			return
		}
		ship := f.p.intermediates[index].ship
		v, ok := own.of(columnID{r, ship.Column})
		if !ok || ship.Colocation < 0 {
			f.failed = true
			return
		}
		f.values = append(f.values, v)
		f.colocations = append(f.colocations, ship.Colocation)
	case relLocal:
		f.failed = true
	case relFunction:
		f.failed = f.failed || f.p.exprNeedsCoordinator(r.node)
	case relSubquery:
		if !f.p.blockHashed(r.block) {
			f.failed = f.failed || f.p.blockNeedsCoordinator(r.block)
			return
		}
		if f.inside(r.block, own) {
			return
		}
		for col := range r.columns {
			if v, ok := own.of(columnID{r, col}); ok && f.tiesOutput(r.block, col, v) {
				return
			}
		}
		f.failed = true
	}
}

// link is one conjunct's word on columns.
type tie struct {
	left, right columnID // right.rel is nil when the left is tied to value
	value       Value
	onlyRight   bool // known only for rows of the right: the left side of an outer join is kept whatever the condition says
	onlyLeft    bool
}

// spreadPins follows equalities from constants through a block's conditions. A condition of WHERE or of an inner join holds for
// every row that counts; one of an outer join only says which rows of the side that may be missing can be matched.
func (f *pinFinder) spreadPins(b *block, up *pins) *pins {
	own := &pins{values: map[columnID]Value{}, up: up}
	ties := f.ties(b, b.where, nil, nil)
	for _, n := range b.from {
		ties = append(ties, f.treeTies(b, n)...)
	}
	for _, r := range b.rels {
		if r.kind == relSubquery && f.p.blockHashed(r.block) {
			try, outputs := f.try(r.block, own)
			for col, v := range outputs {
				if !try.failed {
					own.values[columnID{r, col}] = v
				}
			}
		}
	}
	for changed := true; changed; {
		changed = false
		set := func(id columnID, v Value) {
			if _, known := own.of(id); !known {
				own.values[id], changed = v, true
			}
		}
		for _, t := range ties {
			if t.right.rel == nil {
				if !t.onlyRight {
					set(t.left, t.value)
				}
				continue
			}
			if v, ok := own.of(t.left); ok && !t.onlyLeft {
				set(t.right, v)
			}
			if v, ok := own.of(t.right); ok && !t.onlyRight {
				set(t.left, v)
			}
		}
	}
	return own
}

func (f *pinFinder) treeTies(b *block, n *fromNode) []tie {
	if n.rel != nil {
		return nil
	}
	ties := append(f.treeTies(b, n.left), f.treeTies(b, n.right)...)
	switch n.join.Jointype {
	case sql.JoinInner:
		return append(ties, f.ties(b, n.quals, n.using, nil)...)
	case sql.JoinLeft:
		return append(ties, f.ties(b, n.quals, n.using, n.right)...)
	case sql.JoinRight:
		return append(ties, f.ties(b, n.quals, n.using, n.left)...)
	}
	return ties
}

// ties reads conjuncts. With a nullable side given, they hold for that side's rows only.
func (f *pinFinder) ties(b *block, quals []*sql.Node, using [][2]columnID, nullable *fromNode) []tie {
	var ties []tie
	add := func(t tie) {
		if nullable != nil {
			leftIn := nullable.contains(t.left.rel)
			if t.right.rel == nil {
				if !leftIn {
					return
				}
			} else {
				rightIn := nullable.contains(t.right.rel)
				switch {
				case leftIn && rightIn:
				case rightIn:
					t.onlyRight = true
				case leftIn:
					t.onlyLeft = true
				default:
					return
				}
			}
		}
		ties = append(ties, t)
	}
	for _, pair := range using {
		if f.p.sameHash(pair[0].typ(), pair[1].typ()) {
			add(tie{left: pair[0], right: pair[1]})
		}
	}
	for _, q := range quals {
		if id, ok := f.p.missingKey(b, q); ok {
			add(tie{left: id, value: Value{Kind: ValueMissing, Type: id.typ()}})
			continue
		}
		l, r, ok := equality(q)
		if !ok {
			continue
		}
		left, okL := b.column(l)
		right, okR := b.column(r)
		switch {
		case okL && okR && f.p.sameHash(left.typ(), right.typ()):
			add(tie{left: left, right: right})
		case okL && !okR:
			if v, ok := f.p.constant(r, left.typ()); ok {
				add(tie{left: left, value: v})
			}
		case okR && !okL:
			if v, ok := f.p.constant(l, right.typ()); ok {
				add(tie{left: right, value: v})
			}
		}
	}
	return ties
}

// missingKey tells whether a condition is that a table's own distribution column IS NULL, and not that an outer join found no row.
func (p *planner) missingKey(b *block, q *sql.Node) (columnID, bool) {
	test := q.GetNullTest()
	if test == nil || test.Nulltesttype != sql.IsNull {
		return columnID{}, false
	}
	id, ok := b.column(test.Arg)
	if !ok || !b.owns(id.rel) || id.rel.kind != relDistributed || id.col != id.rel.table.DistColumn {
		return columnID{}, false
	}
	for _, n := range b.from {
		if n.mayLack(id.rel) {
			return columnID{}, false
		}
	}
	return id, true
}

// mayLack tells whether an outer join may give rows in which a FROM item's columns are all NULL.
func (n *fromNode) mayLack(r *rel) bool {
	if n.rel != nil {
		return false
	}
	kind, inLeft := n.join.Jointype, n.left.contains(r)
	if kind == sql.JoinFull || inLeft && kind == sql.JoinRight || !inLeft && n.right.contains(r) && kind == sql.JoinLeft {
		return true
	}
	return n.left.mayLack(r) || n.right.mayLack(r)
}

// keyValues finds the only values of a distribution column that a condition lets through: equalities, IN lists, = ANY, and ORs of
// those.
func (p *planner) keyValues(e *sql.Node, isKey func(*sql.Node) (uint32, bool)) ([]Value, bool) {
	if left, right, ok := equality(e); ok {
		for _, pair := range [][2]*sql.Node{{left, right}, {right, left}} {
			if typ, ok := isKey(pair[0]); ok {
				if v, ok := p.constant(pair[1], typ); ok {
					return []Value{v}, true
				}
			}
		}
		return nil, false
	}
	if x := e.GetAExpr(); x != nil {
		typ, ok := isKey(x.Lexpr)
		if !ok || sql.Strings(x.Name)[0] != "=" {
			return nil, false
		}
		switch {
		case x.Kind == sql.ExprIn:
			return p.constants(x.Rexpr.GetList().GetItems(), typ)
		case x.Kind == sql.ExprOpAny && x.Rexpr.GetAArrayExpr() != nil:
			return p.constants(x.Rexpr.GetAArrayExpr().Elements, typ)
		case x.Kind == sql.ExprOpAny:
			param := x.Rexpr
			if cast := param.GetTypeCast(); cast != nil {
				param = cast.Arg
			}
			if param.GetParamRef() != nil {
				v, _ := p.constant(param, typ)
				v.Kind = ValueParamArray
				return []Value{v}, true
			}
		}
		return nil, false
	}
	if x := e.GetBoolExpr(); x != nil {
		switch x.Boolop {
		case sql.BoolOr:
			var all []Value
			for _, arg := range x.Args {
				values, ok := p.keyValues(arg, isKey)
				if !ok {
					return nil, false
				}
				all = append(all, values...)
			}
			return all, true
		case sql.BoolAnd:
			var best []Value
			found := false
			for _, arg := range x.Args {
				if values, ok := p.keyValues(arg, isKey); ok && (!found || len(values) < len(best)) {
					best, found = values, true
				}
			}
			return best, found
		}
	}
	return nil, false
}

func (p *planner) constants(items []*sql.Node, typ uint32) ([]Value, bool) {
	var values []Value
	for _, item := range items {
		v, ok := p.constant(item, typ)
		if !ok {
			return nil, false
		}
		values = append(values, v)
	}
	return values, len(values) > 0
}

// pruning finds which shard groups a block over distributed tables must visit, by the conditions on its distribution columns.
func (p *planner) pruning(b *block, s spread) Pruning {
	result := Pruning{Colocation: s.colocation, All: true}
	if b.sel.Op != sql.SetopNone || s.colocation < 0 {
		return result
	}
	c := p.classesOf(b, b.where, p.allUsing(b.from))
	isKey := func(e *sql.Node) (uint32, bool) {
		id, ok := b.column(e)
		if !ok {
			return 0, false
		}
		for k := range s.keys {
			if c.same(k, id) {
				return id.typ(), true
			}
		}
		return 0, false
	}
	for _, q := range b.where {
		if id, ok := p.missingKey(b, q); ok && s.keys[id] {
			result.All, result.Keys = false, []Value{{Kind: ValueMissing, Type: id.typ()}}
			break
		}
		if values, ok := p.keyValues(q, isKey); ok && (result.All || len(values) < len(result.Keys)) {
			result.All, result.Keys = false, values
		}
		low, high := p.bounds(q, isKey)
		result.Low, result.High = append(result.Low, low...), append(result.High, high...)
	}
	if !result.All || len(result.Low) == 0 || len(result.High) == 0 {
		result.Low, result.High = nil, nil
	}
	return result
}
