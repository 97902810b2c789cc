package plan

import (
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// output is a column of a block's result.
type output struct {
	name string
	typ  uint32
	col  *columnID // when it is just a column
	expr *sql.Node
}

// namesOutput tells whether an item of GROUP BY, DISTINCT ON or ORDER BY is the name of an output column, whose expression is bound
// where it stands. Output columns come before input columns of that name, and in GROUP BY after those of the query itself.
func (b *block) namesOutput(item *sql.Node, group bool) bool {
	if by := item.GetSortBy(); by != nil {
		item = by.Node
	}
	names := sql.Strings(item.GetColumnRef().GetFields())
	if len(names) != 1 || names[0] == "*" {
		return false
	}
	if _, here := b.lookupHere(names); here && group {
		return false
	}
	for _, target := range b.sel.TargetList {
		if t := target.GetResTarget(); t.GetName() == names[0] || t.GetName() == "" && t.GetVal() != nil && figureName(t.GetVal()) == names[0] {
			return true
		}
	}
	if _, _, ok := b.lookup(names); ok {
		return false
	}
	r, _ := b.lookupRel(names[0])
	return r == nil
}

// eachColumn visits the column references of a block and of all below it, each with the block in whose scope it stands. Names of
// output columns are left out.
func (b *block) eachColumn(visit func(at *block, ref *sql.Node)) {
	if b == nil {
		return
	}
	b.left.eachColumn(visit)
	b.right.eachColumn(visit)
	for _, c := range b.withs {
		c.block.eachColumn(visit)
	}
	for _, r := range b.rels {
		if r.kind == relSubquery && !b.isWith(r.block) {
			r.block.eachColumn(visit)
		}
	}
	for _, link := range b.sublinks {
		link.block.eachColumn(visit)
	}
	names := map[*sql.Node]bool{}
	for i, list := range [][]*sql.Node{b.sel.GroupClause, b.sel.DistinctClause, b.sel.SortClause} {
		for _, item := range list {
			names[item] = b.namesOutput(item, i == 0)
		}
	}
	sql.Walk(b.sel, func(m proto.Message) bool {
		switch m := m.(type) {
		case *sql.SelectStmt:
			return m == b.sel
		case *sql.WithClause:
			return false
		case *sql.Node:
			if names[m] || m.GetSelectStmt() != nil {
				return false
			}
			if m.GetColumnRef() != nil {
				visit(b, m)
				return false
			}
		}
		return true
	})
}

func commonColumns(left, right []*rel) []string {
	var names []string
	seen := map[string]bool{}
	for _, l := range left {
		for _, name := range l.columns {
			if _, ok := findColumn(right, name, nil); ok && !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return names
}

func findColumn(rels []*rel, name string, merged map[string][]columnID) (columnID, bool) {
	if ids := merged[name]; len(ids) > 0 {
		for _, r := range rels {
			if r == ids[0].rel {
				return ids[0], true
			}
		}
	}
	for _, r := range rels {
		for i, c := range r.columns {
			if c == name {
				return columnID{r, i}, true
			}
		}
	}
	return columnID{}, false
}

// use notes that an expression of b names a column.
func (b *block) use(ref *sql.ColumnRef) {
	names := sql.Strings(ref.Fields)
	if names[len(names)-1] == "*" {
		for _, r := range b.rels {
			if len(names) == 1 || r.alias == names[len(names)-2] {
				r.whole = true
			}
		}
		if len(names) > 1 {
			for outer := b.parent; outer != nil; outer = outer.parent {
				for _, r := range outer.rels {
					if r.alias == names[len(names)-2] {
						r.whole = true
						b.outer = append(b.outer, columnID{r, -1})
					}
				}
			}
		}
		return
	}
	id, level, ok := b.lookup(names)
	if !ok {
		if r, level := b.lookupRel(names[len(names)-1]); r != nil { // a whole-row reference
			r.whole, r.wholeRow = true, true
			if level > 0 {
				b.outer = append(b.outer, columnID{r, -1})
			}
			return
		}
		b.complex = true
		return
	}
	if id.col < 0 && systemColumns[names[len(names)-1]] {
		id.rel.system[names[len(names)-1]] = true
	}
	if id.col >= 0 {
		id.rel.used[id.col]++
		if level == 0 {
			for _, twin := range b.merged[names[len(names)-1]] {
				twin.rel.used[twin.col]++
			}
		}
	}
	if level > 0 {
		b.outer = append(b.outer, id)
	}
}

// lookup resolves a column reference from the inside out. level counts the blocks that it reaches over. A column number of -1
// means a column that the rel has but the planner does not know (a system column, a function's output).
func (b *block) lookup(names []string) (id columnID, level int, ok bool) {
	for at := b; at != nil; at = at.parent {
		if id, ok := at.lookupHere(names); ok {
			return id, level, true
		}
		level++
	}
	return columnID{}, 0, false
}

func (b *block) lookupHere(names []string) (columnID, bool) {
	column := names[len(names)-1]
	if len(names) == 1 {
		if ids := b.merged[column]; len(ids) > 0 {
			return ids[0], true
		}
		var unknown *rel
		for _, r := range b.rels {
			for i, c := range r.columns {
				if c == column {
					return columnID{r, i}, true
				}
			}
			if r.columns == nil && (r.kind == relFunction || r.kind == relLocal) {
				unknown = r
			}
		}
		if unknown == nil && systemColumns[column] && len(b.rels) == 1 && b.rels[0].table != nil {
			unknown = b.rels[0]
		}
		if unknown != nil {
			return columnID{unknown, -1}, true
		}
		return columnID{}, false
	}
	for _, r := range b.rels {
		if r.hidden || r.alias != names[len(names)-2] || len(names) > 2 && r.schema != names[len(names)-3] {
			continue
		}
		for i, c := range r.columns {
			if c == column {
				return columnID{r, i}, true
			}
		}
		if r.columns == nil || systemColumns[column] {
			return columnID{r, -1}, true
		}
	}
	// a composite column's field, (table.column).field without parentheses is not SQL; table.column.field is not either
	return columnID{}, false
}

var systemColumns = map[string]bool{"ctid": true, "xmin": true, "xmax": true, "cmin": true, "cmax": true, "tableoid": true}

func (b *block) lookupRel(name string) (*rel, int) {
	level := 0
	for at := b; at != nil; at = at.parent {
		for _, r := range at.rels {
			if r.alias == name {
				return r, level
			}
		}
		level++
	}
	return nil, 0
}

// column resolves an expression that is just a column of this block or an enclosing one.
func (b *block) column(e *sql.Node) (columnID, bool) {
	ref := e.GetColumnRef()
	if ref == nil {
		return columnID{}, false
	}
	names := sql.Strings(ref.Fields)
	if names[len(names)-1] == "*" {
		return columnID{}, false
	}
	id, level, ok := b.lookup(names)
	if !ok || id.col < 0 || level == 0 && len(names) == 1 && b.fullMerged[names[0]] {
		return columnID{}, false
	}
	return id, true
}

// bindOutputs names the columns of a block's result.
func (p *planner) bindOutputs(b *block) {
	sel := b.sel
	if len(sel.ValuesLists) > 0 {
		for i := range sel.ValuesLists[0].GetList().GetItems() {
			var column []*sql.Node
			for _, row := range sel.ValuesLists {
				if items := row.GetList().GetItems(); i < len(items) {
					column = append(column, items[i])
				}
			}
			b.outputs = append(b.outputs, output{name: "column" + itoa(i+1), typ: p.commonType(b, column)})
		}
		return
	}
	for _, item := range sel.TargetList {
		target := item.GetResTarget()
		if target == nil {
			continue
		}
		if rels, ok := b.star(target.Val); ok {
			b.outputs = append(b.outputs, b.expand(rels, len(target.Val.GetColumnRef().GetFields()) == 1)...)
			continue
		}
		o := output{name: target.Name, expr: target.Val, typ: p.exprType(b, target.Val)}
		if o.name == "" {
			o.name = figureName(target.Val)
		}
		if id, ok := b.column(target.Val); ok {
			o.col = &id
		}
		b.outputs = append(b.outputs, o)
	}
}

// star tells which rels a "*" or "rel.*" stands for.
func (b *block) star(e *sql.Node) ([]*rel, bool) {
	if row := e.GetAIndirection(); row != nil && len(row.Indirection) == 1 && row.Indirection[0].GetAStar() != nil {
		names := sql.Strings(row.Arg.GetColumnRef().GetFields())
		if len(names) == 1 {
			if _, column := b.lookupHere(names); !column {
				if r, _ := b.lookupRel(names[0]); r != nil {
					return []*rel{r}, true
				}
			}
		}
		b.complex, b.unknownWidth = true, true
		return nil, false
	}
	ref := e.GetColumnRef()
	if ref == nil {
		return nil, false
	}
	names := sql.Strings(ref.Fields)
	if names[len(names)-1] != "*" {
		return nil, false
	}
	if len(names) == 1 {
		return b.rels, true
	}
	if r, _ := b.lookupRel(names[len(names)-2]); r != nil {
		return []*rel{r}, true
	}
	return nil, true
}

// expand writes a star's columns out, in PostgreSQL's order: columns merged by USING or NATURAL first, once.
func (b *block) expand(rels []*rel, bare bool) []output {
	var outputs []output
	skip := map[columnID]bool{}
	if bare {
		for _, n := range b.from {
			for _, name := range n.mergedNames() {
				ids := b.merged[name]
				if len(ids) == 0 || skip[ids[0]] {
					continue
				}
				id := ids[0]
				o := output{name: name, typ: id.rel.types[id.col], expr: sql.Column(name)}
				if !b.fullMerged[name] {
					o.col = &id
				}
				outputs = append(outputs, o)
				for _, r := range b.rels {
					for i, c := range r.columns {
						if c == name && n.contains(r) {
							skip[columnID{r, i}] = true
						}
					}
				}
			}
		}
	}
	for _, r := range rels {
		if r.columns == nil {
			b.complex = true
		}
		for i, name := range r.columns {
			id := columnID{r, i}
			if skip[id] {
				continue
			}
			outputs = append(outputs, output{name: name, typ: r.types[i], col: &id, expr: sql.Column(r.alias, name)})
		}
	}
	return outputs
}

func (n *fromNode) mergedNames() []string {
	if n.rel != nil {
		return nil
	}
	var names []string
	for _, pair := range n.using {
		names = append(names, pair[0].rel.columns[pair[0].col])
	}
	names = append(names, n.left.mergedNames()...)
	return append(names, n.right.mergedNames()...)
}

func (n *fromNode) contains(r *rel) bool {
	if n.rel != nil {
		return n.rel == r
	}
	return n.left.contains(r) || n.right.contains(r)
}
