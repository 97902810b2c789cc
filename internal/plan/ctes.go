package plan

import (
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// bindWith binds the WITH queries of a block. A reference to one is bound as a subquery, which is all that finding a router
// query's shard needs; every other plan is made after eliminateWith.
func (p *planner) bindWith(b *block, with *sql.WithClause) error {
	b.ctes = map[string]*cte{}
	for _, item := range with.Ctes {
		def := item.GetCommonTableExpr()
		query := def.Ctequery.GetSelectStmt()
		if query == nil {
			b.complex = true // it is run first: see eliminateWith
			continue
		}
		c := &cte{name: def.Ctename, columns: sql.Strings(def.Aliascolnames)}
		if with.Recursive && references(def.Ctequery, def.Ctename) > 0 {
			c.recursive = true
			c.columns = p.recursiveColumns(query, c.columns)
			c.types = make([]uint32, len(c.columns))
			b.ctes[c.name] = c
		}
		view := &block{parent: b.parent, ctes: b.ctes, merged: map[string][]columnID{}, sel: b.sel}
		sub, err := p.bindSelect(query, view)
		if err != nil {
			return err
		}
		b.adoptOuter(sub)
		c.block = sub
		b.withs = append(b.withs, c)
		if !c.recursive {
			for i, o := range sub.outputs {
				if i >= len(c.columns) {
					c.columns = append(c.columns, o.name)
				}
				c.types = append(c.types, o.typ)
			}
			b.ctes[c.name] = c
		}
	}
	return nil
}

// recursiveColumns names the columns of a recursive WITH query: those of its non-recursive term.
func (p *planner) recursiveColumns(query *sql.SelectStmt, given []string) []string {
	for query.Op != sql.SetopNone {
		query = query.Larg
	}
	names := given
	for i, item := range query.TargetList {
		if i < len(given) {
			continue
		}
		name := item.GetResTarget().GetName()
		if name == "" {
			name = figureName(item.GetResTarget().GetVal())
		}
		names = append(names, name)
	}
	return names
}

// references counts the FROM items below n that name an unqualified relation.
func references(n proto.Message, name string) int {
	count := 0
	sql.Walk(n, func(m proto.Message) bool {
		if v, ok := rangeVar(m); ok && v.Schemaname == "" && v.Relname == name {
			count++
		}
		return true
	})
	return count
}

func rangeVar(m proto.Message) (*sql.RangeVar, bool) {
	switch m := m.(type) {
	case *sql.Node:
		return m.GetRangeVar(), m.GetRangeVar() != nil
	case *sql.RangeVar:
		return m, true
	}
	return nil, false
}

// withQuery is what becomes of a WITH query's references.
type withQuery struct {
	query        *sql.SelectStmt
	columns      []*sql.Node
	intermediate int // index of its intermediate result, -1 when it is put in place of its references
}

// eliminateWith takes all WITH clauses out of a query: a WITH query that is used once, or that depends on an enclosing query, is
// put in place of its references; any other runs first and becomes an intermediate result, as PostgreSQL would do.
func (p *planner) eliminateWith(sel *sql.SelectStmt, env map[string]*withQuery) error {
	inner := map[string]*withQuery{}
	for name, q := range env {
		inner[name] = q
	}
	if with := sel.WithClause; with != nil {
		var kept []*sql.Node // recursive queries that depend on an enclosing query stay where they are
		for i, item := range with.Ctes {
			def := item.GetCommonTableExpr()
			query := def.Ctequery.GetSelectStmt()
			if query == nil {
				q, err := p.runWriteFirst(sel, def, inner)
				if err != nil {
					return err
				}
				inner[def.Ctename] = q
				continue
			}
			uses := references(withoutWith(sel), def.Ctename)
			for _, later := range with.Ctes[i+1:] {
				uses += references(later, def.Ctename)
			}
			recursive := with.Recursive && references(def.Ctequery, def.Ctename) > 0
			if uses == 0 {
				continue // PostgreSQL does not run it either
			}
			q := &withQuery{query: query, columns: def.Aliascolnames, intermediate: -1}
			if recursive {
				delete(inner, def.Ctename)
				if err := p.eliminateBelow(query, inner); err != nil {
					return err
				}
				if p.readsOuter(with, item) {
					kept = append(kept, item)
					continue
				}
				whole := sql.Select([]*sql.Node{sql.Target("", sql.Star(""))}, []*sql.Node{sql.Table("", def.Ctename, "")}, nil)
				whole.WithClause = &sql.WithClause{Recursive: true, Ctes: []*sql.Node{item}}
				index, err := p.subplan(whole, "recursive WITH query "+def.Ctename)
				if err != nil {
					return err
				}
				p.moved = true
				q.intermediate, q.columns = index, nil
			} else {
				if err := p.eliminateWith(query, inner); err != nil {
					return err
				}
				block, err := p.bindSelect(query, nil)
				if err != nil {
					return err
				}
				mustRunOnce := uses > 1 || def.Ctematerialized == sql.MaterializeAlways || p.volatileBelow(def.Ctequery) ||
					len(sel.LockingClause) > 0 // which lock no rows of WITH queries
				if mustRunOnce && !block.complex && len(block.outer) == 0 {
					index, err := p.subplan(query, "WITH query "+def.Ctename)
					if err != nil {
						return err
					}
					p.moved = true
					q.intermediate = index
				}
			}
			inner[def.Ctename] = q
		}
		sel.WithClause = nil
		if len(kept) > 0 {
			sel.WithClause = &sql.WithClause{Recursive: true, Ctes: kept}
		}
	}
	return p.eliminateBelow(sel, inner)
}

// readsOuter tells whether a recursive WITH query refers to an enclosing query, so that it cannot run first.
func (p *planner) readsOuter(with *sql.WithClause, item *sql.Node) bool {
	alone := sql.Select(nil, nil, nil)
	alone.WithClause = &sql.WithClause{Recursive: with.Recursive, Ctes: []*sql.Node{item}}
	b, err := p.bindSelect(alone, nil)
	return err == nil && b.complex
}

// withoutWith is a query less its own WITH clause.
func withoutWith(sel *sql.SelectStmt) *sql.SelectStmt {
	if sel.WithClause == nil {
		return sel
	}
	c := sql.Clone(sel)
	c.WithClause = nil
	return c
}

// eliminateBelow replaces the references to WITH queries below a query whose own WITH clause is gone or stays.
func (p *planner) eliminateBelow(sel *sql.SelectStmt, env map[string]*withQuery) error {
	var failed error
	sql.Walk(sel, func(m proto.Message) bool {
		if failed != nil {
			return false
		}
		if nested, ok := m.(*sql.SelectStmt); ok && nested != sel && nested.WithClause != nil {
			failed = p.eliminateWith(nested, env)
			return false
		}
		n, ok := m.(*sql.Node)
		if !ok {
			return true
		}
		if nested := n.GetSelectStmt(); nested != nil && nested != sel && nested.WithClause != nil {
			failed = p.eliminateWith(nested, env)
			return false
		}
		if v := n.GetRangeVar(); v != nil && v.Schemaname == "" && env[v.Relname] != nil {
			env[v.Relname].put(n, v)
			return false
		}
		return true
	})
	return failed
}

// put replaces one reference to the WITH query.
func (q *withQuery) put(n *sql.Node, v *sql.RangeVar) {
	alias := &sql.Alias{Aliasname: v.Relname}
	if v.Alias != nil {
		alias = sql.Clone(v.Alias)
	}
	if len(alias.Colnames) < len(q.columns) {
		alias.Colnames = append(alias.Colnames, q.columns[len(alias.Colnames):]...)
	}
	if q.intermediate >= 0 {
		table := sql.Table("", intermediateName(q.intermediate), "")
		table.GetRangeVar().Alias = alias
		n.Node = table.Node
		return
	}
	n.Node = sql.Subquery(sql.Clone(q.query), alias, false).Node
}
