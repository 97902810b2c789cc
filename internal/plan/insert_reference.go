package plan

import (
	"strings"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// readsLocal tells whether an INSERT's source needs the coordinator: it reads local tables or calls functions of its own.
func (p *planner) readsLocal(insert *sql.InsertStmt) bool {
	query := insert.SelectStmt.GetSelectStmt()
	if query == nil {
		return false
	}
	b, err := p.bindSelect(query, nil)
	return err != nil || p.blockNeedsCoordinator(b)
}

// insertReference plans an INSERT into a reference table whose source every node can evaluate, or whose rows the coordinator
// evaluates for all.
func (p *planner) insertReference(insert *sql.InsertStmt, table *catalog.Relation) (*Plan, error) {
	p.rewritten = true
	if !p.differsByNode(insert, table) {
		t, err := p.template(p.stmt.Tree)
		if err != nil {
			return nil, err
		}
		return p.finish(&ReferenceWrite{SQL: t}, RungPushdown), nil
	}
	w := &ReferenceWrite{CopyRows: true}
	p.plan.Sticky = p.plan.Sticky || p.fillsFromSequence(p.stmt.Tree)
	returning := insert.ReturningList
	insert.ReturningList = []*sql.Node{sql.Target("", sql.Star(""))}
	var err error
	if w.SQL, err = p.template(p.stmt.Tree); err != nil {
		return nil, err
	}
	index := len(p.plan.Subplans)
	w.Slot = index
	rows := sql.Clone(insert)
	rows.ReturningList, rows.Cols, rows.WithClause = nil, nil, nil
	rows.Override = 1
	var targets []*sql.Node
	for _, c := range table.Columns {
		if c.Generated {
			continue
		}
		rows.Cols = append(rows.Cols, sql.Target(c.Name, nil))
		targets = append(targets, sql.Target("", sql.Column("rows", c.Name)))
	}
	rows.SelectStmt = sql.SelectNode(sql.Select(targets, []*sql.Node{sql.Table("", intermediateName(index), "rows")}, nil))
	if rows.OnConflictClause != nil {
		if err := p.copyConflict(rows, table); err != nil {
			return nil, err
		}
	}
	if w.Rows, err = p.template(&sql.Node{Node: sql.InsertNode(rows)}); err != nil {
		return nil, err
	}
	if len(returning) > 0 {
		name := insert.Relation.Relname
		if insert.Relation.Alias != nil {
			name = insert.Relation.Alias.Aliasname
		}
		list := sql.Select(returning, []*sql.Node{sql.Table("", intermediateName(index), name)}, nil)
		if w.Returning, err = p.template(sql.SelectNode(list)); err != nil {
			return nil, err
		}
	}
	return p.finish(w, RungPushdown), nil
}

// copyConflict makes the copies of rows that the coordinator stored replace those of the same primary key.
func (p *planner) copyConflict(rows *sql.InsertStmt, table *catalog.Relation) error {
	if len(table.PrimaryKey) == 0 {
		return sql.Unsupported("ON CONFLICT with volatile values needs a primary key on reference tables",
			"Reference table "+sql.QuoteIdentifier(table.Name)+" has none, so its copies cannot be matched.", "Add a primary key.")
	}
	var key []string
	for _, n := range table.PrimaryKey {
		key = append(key, table.Columns[n].Name)
	}
	rows.OnConflictClause = sql.OnConflictReplace(key, columnNames(table))
	return nil
}

func columnNames(table *catalog.Relation) []string {
	var names []string
	for _, c := range table.Columns {
		if !c.Generated {
			names = append(names, c.Name)
		}
	}
	return names
}

// differsByNode tells whether an INSERT would store other values on each node: volatile or time-dependent expressions, sequences,
// or columns left to such defaults.
func (p *planner) differsByNode(insert *sql.InsertStmt, table *catalog.Relation) bool {
	if p.volatileBelow(insert) || p.timeBelow(insert) {
		return true
	}
	given := map[string]bool{}
	for _, item := range insert.Cols {
		given[item.GetResTarget().GetName()] = true
	}
	defaults := hasDefault(insert)
	for _, c := range table.Columns {
		if given[c.Name] && !defaults {
			continue
		}
		if c.Sequence != nil || c.Volatile || strings.ContainsAny(c.Default, "(") || strings.Contains(c.Default, "CURRENT_") || strings.Contains(c.Default, "LOCAL") {
			return true
		}
	}
	return false
}

// hasDefault tells whether a statement says DEFAULT anywhere.
func hasDefault(tree proto.Message) bool {
	found := false
	sql.Walk(tree, func(m proto.Message) bool {
		if n, ok := m.(*sql.Node); ok && n.GetSetToDefault() != nil {
			found = true
		}
		return !found
	})
	return found
}
