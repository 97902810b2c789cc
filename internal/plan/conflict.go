package plan

import (
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// runLinksFirst runs first what the nodes that insert cannot evaluate of the subqueries of ON CONFLICT and RETURNING: a whole subquery,
// or the tables of one that depends on the row at hand.
func (i *insertion) runLinksFirst() error {
	if err := i.placeLinks(func() *sql.SelectStmt {
		return sql.Select(i.stmt.ReturningList, []*sql.Node{sql.TableNode(i.stmt.Relation)}, nil)
	}); err != nil {
		return err
	}
	if i.stmt.OnConflictClause == nil {
		return nil
	}
	return i.placeLinks(i.conflictQuery)
}

// conflictQuery is ON CONFLICT as a query, of rows that are there with rows that were to be inserted: every unique key has the
// distribution column, so the two have equal values of it.
func (i *insertion) conflictQuery() *sql.SelectStmt {
	excluded := sql.Clone(i.stmt.Relation)
	excluded.Alias = &sql.Alias{Aliasname: "excluded"}
	conflict := i.stmt.OnConflictClause
	var conditions []*sql.Node
	if i.distributed() && !singleShard(i.table) {
		name := i.stmt.Relation.Relname
		if i.stmt.Relation.Alias != nil {
			name = i.stmt.Relation.Alias.Aliasname
		}
		key := i.table.Columns[i.table.DistColumn].Name
		conditions = append(conditions, sql.Operator(sql.Column(name, key), "=", sql.Column("excluded", key)))
	}
	if conflict.WhereClause != nil {
		conditions = append(conditions, conflict.WhereClause)
	}
	return sql.Select(conflict.TargetList, []*sql.Node{sql.TableNode(i.stmt.Relation), sql.TableNode(excluded)}, sql.And(conditions...))
}

// placeLinks runs parts of a query's subqueries first until the nodes that insert can evaluate them.
func (i *insertion) placeLinks(query func() *sql.SelectStmt) error {
	p := i.p
	local := i.table == nil || i.table.Kind == catalog.Local
	for step := 0; step < maxSteps; step++ {
		b, err := p.bindSelect(query(), nil)
		if err != nil {
			return err
		}
		if len(b.sublinks) == 0 {
			return nil
		}
		p.countFilters(b)
		p.changing = b.rels[0].node
		var blocked *blocker
		if i.distributed() {
			blocked = p.broadcastOnly(p.sublinksBlocked(b, p.fromSpread(b, nil), nil))
		} else {
			blocked = p.linkBlocked(b, local)
		}
		switch {
		case blocked == nil:
			return nil
		case blocked.rel == nil && blocked.link == nil:
			return sql.Unsupported("this subquery in RETURNING or ON CONFLICT is not supported on distributed tables",
				"It is "+blocked.reason+".", "Run the subquery first.")
		}
		p.rewritten = true
		if err := p.runFirst(b, blocked); err != nil {
			return err
		}
	}
	return sql.Unsupported("the statement has too many parts", "", "")
}

// broadcastOnly has rows go to every node that could go each to its own place: an INSERT's tasks are given no others.
func (p *planner) broadcastOnly(blocked *blocker) *blocker {
	switch {
	case blocked == nil:
		return nil
	case blocked.moving != nil:
		return &blocker{reason: blocked.reason, rel: blocked.moving.rel}
	case blocked.join != nil:
		return &blocker{reason: blocked.reason, rel: p.smaller(blocked.join)}
	}
	return blocked
}

// coordinatorCalls finds what only the coordinator can evaluate in ON CONFLICT DO UPDATE: calls of PostgreSQL's own functions, and whatever
// is made of OIDs of objects. Functions that users wrote run beside the row, for that row only, as in PostgreSQL.
func (i *insertion) coordinatorCalls() []*sql.Node {
	conflict := i.stmt.OnConflictClause
	if conflict == nil {
		return nil
	}
	var found []*sql.Node
	for _, e := range append(append([]*sql.Node{}, conflict.TargetList...), conflict.WhereClause) {
		if e == nil {
			continue
		}
		sql.Walk(e, func(m proto.Message) bool {
			n, ok := m.(*sql.Node)
			switch {
			case !ok || n.GetResTarget() != nil || n.GetMultiAssignRef() != nil || n.GetRowExpr() != nil:
				return true
			case n.GetSubLink() != nil:
				return false
			}
			call, cast := n.GetFuncCall(), n.GetTypeCast()
			if call != nil && i.p.builtin(call) && i.p.callNeedsCoordinator(call) || cast != nil && oidAlias(cast.TypeName) || castsToOID(n) && onlyExcluded(n) {
				found = append(found, n)
				return false
			}
			return true
		})
	}
	return found
}

// castsToOID tells whether an expression holds a cast to the OID of an object.
func castsToOID(e *sql.Node) bool {
	found := false
	sql.Walk(e, func(m proto.Message) bool {
		n, ok := m.(*sql.Node)
		found = found || ok && n.GetTypeCast() != nil && oidAlias(n.GetTypeCast().TypeName)
		return !found
	})
	return found
}

// onlyExcluded tells whether an expression names no other columns than those of the row that was to be inserted.
func onlyExcluded(e *sql.Node) bool {
	only := true
	sql.Walk(e, func(m proto.Message) bool {
		n, ok := m.(*sql.Node)
		if ok && n.GetSubLink() != nil {
			only = false
		}
		if ok && n.GetColumnRef() != nil {
			names := sql.Strings(n.GetColumnRef().Fields)
			only = only && len(names) == 2 && names[0] == "excluded"
		}
		return only
	})
	return only
}

func (p *planner) builtin(call *sql.FuncCall) bool {
	for _, f := range p.overloads(sql.Strings(call.Funcname)) {
		if f.Schema != "pg_catalog" && f.Schema != "trunkline" {
			return false
		}
	}
	return true
}

// drawForConflicts makes columns of the source's rows of what only the coordinator can evaluate in ON CONFLICT DO UPDATE, to be found
// there by the key of the conflict. What is drawn for rows that meet none is lost, like values of any sequence that are not used.
//
//	INSERT INTO d (k) VALUES (1) ON CONFLICT (k) DO UPDATE SET v = nextval('q')
//	rows 0 = coordinator: SELECT 1, nextval('q')
//	insert rows 0: … DO UPDATE SET v = (SELECT "new 1" FROM {rows 0} drawn WHERE drawn.c1 IS NOT DISTINCT FROM excluded.k LIMIT 1)
func (i *insertion) drawForConflicts() error {
	refuse := func(why string) error {
		return sql.Unsupported("this ON CONFLICT is not supported on distributed tables", "It needs functions of the coordinator, and "+why+".",
			"Compute the values first.")
	}
	position := map[string]string{} // of the source's columns, by the table's
	for at, n := range append(append([]int{}, i.columns...), i.filled...) {
		position[i.table.Columns[n].Name] = "c" + itoa(at+1)
	}
	var same []*sql.Node
	for _, item := range i.stmt.OnConflictClause.Infer.GetIndexElems() {
		name := item.GetIndexElem().GetName()
		if position[name] == "" {
			return refuse("its key is not given by columns of the rows")
		}
		same = append(same, sql.NotDistinct(sql.Column("drawn", position[name]), sql.Column("excluded", name)))
	}
	if len(same) == 0 {
		return refuse("it does not name the columns of its key")
	}
	for _, n := range i.conflictCalls {
		value, known := sql.Clone(n), onlyExcluded(n)
		sql.Walk(value, func(m proto.Message) bool {
			e, ok := m.(*sql.Node)
			if !ok || e.GetColumnRef() == nil {
				return true
			}
			names := sql.Strings(e.GetColumnRef().Fields)
			if known = known && position[names[len(names)-1]] != ""; known {
				e.Node = sql.Column("source", position[names[1]]).Node
			}
			return false
		})
		if !known {
			return refuse("they depend on the row that is there")
		}
		i.drawn = append(i.drawn, value)
		read := sql.Select([]*sql.Node{sql.Target("", sql.Column("drawn", "new "+itoa(len(i.drawn))))}, nil, sql.And(same...))
		read.LimitCount, read.LimitOption = sql.Integer(1), sql.LimitCount
		i.drawnReads = append(i.drawnReads, read)
		n.Node = sql.ScalarSubquery(read).Node
	}
	return nil
}

// withDrawn adds the columns that ON CONFLICT looks up to the source's rows.
func (i *insertion) withDrawn(source *sql.SelectStmt) *sql.SelectStmt {
	if len(i.drawn) == 0 {
		return source
	}
	alias := &sql.Alias{Aliasname: "source"}
	for at := range len(i.columns) + len(i.filled) {
		alias.Colnames = append(alias.Colnames, sql.StringNodes("c"+itoa(at+1))...)
	}
	targets := []*sql.Node{sql.Target("", sql.Star("source"))}
	for n, e := range i.drawn {
		targets = append(targets, sql.Target("new "+itoa(n+1), e))
	}
	return sql.Select(targets, []*sql.Node{sql.Subquery(source, alias, false)}, nil)
}

// readDrawn has ON CONFLICT look the drawn values up in an intermediate result, whose columns have the given names.
func (i *insertion) readDrawn(index int, alias *sql.Alias) {
	for _, read := range i.drawnReads {
		rows := sql.Table("", intermediateName(index), "drawn")
		rows.GetRangeVar().Alias = sql.Clone(alias)
		rows.GetRangeVar().Alias.Aliasname = "drawn"
		read.FromClause = []*sql.Node{rows}
	}
}
