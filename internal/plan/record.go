package plan

import "github.com/trunkline/trunkline/internal/sql"

// value gives the final query's expression for a column of the tasks' rows. A record goes by its parts, for as one value no other node
// could read it; the final query puts them together again, under their names, where there was a record at all.
//
//	SELECT json_agg(x) FROM (SELECT d.k, count(*) FROM d GROUP BY d.k) x
//	coordinator: SELECT json_agg((SELECT "record" FROM (SELECT t.c1 AS k, t.c2 AS count) "record" WHERE t.c3)) FROM {rows 0} t
func (c *combiner) value(e *sql.Node) *sql.Node {
	parts := c.b.recordParts(e)
	if parts == nil {
		return c.column(e)
	}
	name := "record"
	for i, part := range parts {
		target := part.GetResTarget()
		target.Val = c.value(target.Val)
		if target.Name == name {
			name = "record" + itoa(i+1) // or the column would be meant, not the row
		}
	}
	row := []*sql.Node{sql.Subquery(sql.Select(parts, nil, nil), &sql.Alias{Aliasname: name}, false)}
	exists := c.column(sql.IsDistinct(sql.Clone(e), sql.Null()))
	return sql.ScalarSubquery(sql.Select([]*sql.Node{sql.Target("", sql.Column(name))}, row, exists))
}

// recordParts gives the parts of an expression of type record, with their names: of a subquery's row, or of a column that a subquery
// makes by ROW(…). It is nil for other expressions, and where parts cannot be told by their names.
func (b *block) recordParts(e *sql.Node) []*sql.Node {
	names := sql.Strings(e.GetColumnRef().GetFields())
	if len(names) == 0 || names[len(names)-1] == "*" {
		return nil
	}
	if id, ok := b.column(e); ok {
		return id.rowParts(e)
	}
	if _, _, column := b.lookup(names); column || len(names) > 1 {
		return nil
	}
	r, _ := b.lookupRel(names[0])
	if r == nil || r.kind != relSubquery && r.kind != relIntermediate || len(r.columns) == 0 || r.hidden {
		return nil
	}
	var parts []*sql.Node
	seen := map[string]bool{}
	for _, name := range r.columns {
		if seen[name] {
			return nil
		}
		seen[name] = true
		parts = append(parts, sql.Target(name, sql.Column(r.alias, name)))
	}
	return parts
}

// rowParts gives the parts of a subquery's column that is ROW(…).
func (id columnID) rowParts(e *sql.Node) []*sql.Node {
	if id.rel.kind != relSubquery || id.rel.block == nil || id.col >= len(id.rel.block.outputs) {
		return nil
	}
	var parts []*sql.Node
	for i := range id.rel.block.outputs[id.col].expr.GetRowExpr().GetArgs() {
		name := "f" + itoa(i+1)
		parts = append(parts, sql.Target(name, sql.Field(sql.Clone(e), name)))
	}
	return parts
}

// showsRecords tells whether a block's result holds records.
func (b *block) showsRecords() bool {
	for _, o := range b.outputs {
		if o.expr.GetRowExpr() != nil || b.recordParts(o.expr) != nil {
			return true
		}
	}
	return false
}
