package plan

import (
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

func errModifyingWith(name, why string) error {
	return sql.Unsupported("this data-modifying WITH query is not supported on distributed tables",
		"WITH query "+sql.QuoteIdentifier(name)+" "+why+".", "Run it as a statement of its own, in a transaction.")
}

// modifyingWith tells whether a query has a WITH query that changes data.
func modifyingWith(tree proto.Message) bool {
	found := false
	sql.Walk(tree, func(m proto.Message) bool {
		if n, ok := m.(*sql.Node); ok && n.GetCommonTableExpr() != nil {
			found = found || n.GetCommonTableExpr().Ctequery.GetSelectStmt() == nil
		}
		return !found
	})
	return found
}

// replicatedWith tells whether a WITH query changes a reference table, and so must run on all nodes.
func (p *planner) replicatedWith(tree *sql.Node) bool {
	found := false
	sql.Walk(tree, func(m proto.Message) bool {
		if n, ok := m.(*sql.Node); ok && n.GetCommonTableExpr() != nil {
			if target := writtenTable(n.GetCommonTableExpr().Ctequery); target != nil {
				table := p.target(target)
				found = found || table != nil && table.Kind == catalog.Reference
			}
		}
		return !found
	})
	return found
}

// runWriteFirst plans a data-modifying WITH query as a part that runs before the rest of its statement; what it returns becomes an
// intermediate result. In PostgreSQL the rest sees the tables as they were before: so it must not read the one that changes.
func (p *planner) runWriteFirst(sel *sql.SelectStmt, def *sql.CommonTableExpr, env map[string]*withQuery) (*withQuery, error) {
	name := def.Ctename
	target := writtenTable(def.Ctequery)
	if target == nil || p.whole == nil || p.nested {
		return nil, errModifyingWith(name, "changes data in a way that the planner does not take apart")
	}
	if p.usedBeside(def, target) {
		return nil, errModifyingWith(name, "changes a table that the statement reads or changes elsewhere too")
	}
	uses := references(withoutWith(sel), name)
	for _, other := range sel.WithClause.GetCtes() {
		uses += references(other, name)
	}
	returning := returningList(def.Ctequery)
	b, err := p.bindSelect(sql.Select(clones(returning), []*sql.Node{sql.TableNode(sql.Clone(target))}, nil), nil)
	if err != nil {
		return nil, err
	}
	if b.complex || len(returning) == 0 && uses > 0 {
		return nil, errModifyingWith(name, "returns more than columns of the table that it changes")
	}
	var result intermediate
	for _, o := range b.outputs {
		result.columns = append(result.columns, o.name)
		result.types = append(result.types, o.typ)
		result.collations = append(result.collations, p.collation(b, o))
	}
	// The WITH queries that it reads are put in their places first.
	around := sql.Select([]*sql.Node{def.Ctequery}, nil, nil)
	if err := p.eliminateBelow(around, env); err != nil {
		return nil, err
	}
	g, err := p.writeFirst(def)
	if err != nil {
		return nil, err
	}
	g.Reason, g.Columns = "data-modifying WITH query "+name, result.columns
	return &withQuery{columns: def.Aliascolnames, intermediate: p.addSubplan(g, result)}, nil
}

// writeFirst plans the write itself.
func (p *planner) writeFirst(def *sql.CommonTableExpr) (Gather, error) {
	nested := *p
	nested.stmt.Tree, nested.rewritten, nested.nested = def.Ctequery, true, true
	plan, err := nested.writeStatement()
	if err != nil {
		return Gather{}, err
	}
	p.plan, p.intermediates, p.sequences = nested.plan, nested.intermediates, nested.sequences
	p.plan.Root, p.plan.Writes = nil, true
	p.moved, p.rewritten = true, true
	switch root := plan.Root.(type) {
	case *Gather:
		return *root, nil
	case *InsertRows:
		return Gather{SQL: root.SQL, Insert: root, Pruning: Pruning{Any: true}}, nil
	case *Coordinator:
		return Gather{SQL: root.SQL, Coordinator: true, Writes: true}, nil
	case *ReferenceWrite:
		return Gather{SQL: root.SQL, Reference: root, Pruning: Pruning{Any: true}}, nil
	}
	return Gather{}, errModifyingWith(def.Ctename, "changes data in a way that the planner does not take apart")
}

func clones(list []*sql.Node) []*sql.Node {
	copies := make([]*sql.Node, len(list))
	for i, n := range list {
		copies[i] = sql.Clone(n)
	}
	return copies
}

// usedBeside tells whether the statement refers to a relation outside of a data-modifying WITH query. What the WITH query itself reads
// of it, it reads as it was before.
func (p *planner) usedBeside(def *sql.CommonTableExpr, target *sql.RangeVar) bool {
	used := false
	table := p.resolve(target)
	sql.Walk(p.whole, func(m proto.Message) bool {
		if n, ok := m.(*sql.Node); ok {
			if c := n.GetCommonTableExpr(); c != nil && c.Ctename == def.Ctename && writtenTable(c.Ctequery) != nil {
				return false
			}
		}
		if v, ok := rangeVar(m); ok && v.Relname == target.Relname && p.resolve(v) == table {
			used = true
		}
		return !used
	})
	return used
}

// writtenTable gives what an INSERT, UPDATE or DELETE changes, nil for other statements.
func writtenTable(tree *sql.Node) *sql.RangeVar {
	switch {
	case tree.GetInsertStmt() != nil:
		return tree.GetInsertStmt().Relation
	case tree.GetUpdateStmt() != nil:
		return tree.GetUpdateStmt().Relation
	case tree.GetDeleteStmt() != nil:
		return tree.GetDeleteStmt().Relation
	}
	return nil
}

func returningList(tree *sql.Node) []*sql.Node {
	switch {
	case tree.GetInsertStmt() != nil:
		return tree.GetInsertStmt().ReturningList
	case tree.GetUpdateStmt() != nil:
		return tree.GetUpdateStmt().ReturningList
	}
	return tree.GetDeleteStmt().GetReturningList()
}
