package session

import (
	"context"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// found is where the rows of a cursor over one distributed table lie, for WHERE CURRENT OF: for each row its ctid in its shard, and
// the value of the distribution column, which says which shard that is.
type found struct {
	table uint32 // OID
	key   catalog.Column
	locks bool // FOR UPDATE or its kin
	rows  [][foundColumns][]byte
}

// foundColumns is how many columns a cursor's query is given for that.
const foundColumns = 2

// foundSink keeps a cursor's rows, and where they lie.
type foundSink struct {
	rows  *exec.Spool
	found *found
}

func (s foundSink) Row(raw []byte) error {
	row, values, err := exec.CutRow(raw, foundColumns)
	if err != nil {
		return err
	}
	s.found.rows = append(s.found.rows, [foundColumns][]byte(values))
	return s.rows.Add(row)
}

// planCursor plans a cursor's query: if it reads one distributed table and nothing else, with columns that tell where its rows lie.
func (s *session) planCursor(ctx context.Context, query *sql.Node, text string, declared []uint32) (*prepared, *found, error) {
	p := &prepared{text: text, declared: declared}
	if extended, where := s.withPlace(ctx, query); where != nil {
		p.text = extended
		if err := s.plan(ctx, p); err == nil && p.entry != nil && p.entry.prepared != nil && len(p.entry.prepared.Fields) >= foundColumns {
			return p, where, nil
		}
		p = &prepared{text: text, declared: declared}
	}
	return p, nil, s.plan(ctx, p)
}

func (s *session) withPlace(ctx context.Context, query *sql.Node) (string, *found) {
	sel := query.GetSelectStmt()
	if sel == nil || len(sel.FromClause) != 1 || sel.Op != sql.SetopNone || sel.WithClause != nil || sel.HavingClause != nil ||
		len(sel.DistinctClause)+len(sel.GroupClause)+len(sel.WindowClause) > 0 {
		return "", nil
	}
	v := sel.FromClause[0].GetRangeVar()
	if v == nil || v.Schemaname == "" && s.catalog.temps[v.Relname] {
		return "", nil
	}
	snapshot, err := s.snapshot(ctx)
	if err != nil {
		return "", nil
	}
	table := snapshot.Resolve(s.settings.searchPath(), v.Schemaname, v.Relname)
	if table == nil || table.Kind != catalog.Distributed || table.DistColumn < 0 || table.RelKind != 'r' || table.Inherited {
		return "", nil
	}
	if aggregates(sel.TargetList, snapshot) {
		return "", nil
	}
	name := v.Relname
	if v.Alias != nil {
		name = v.Alias.Aliasname
	}
	key := table.Columns[table.DistColumn]
	place := sql.Clone(query)
	sel = place.GetSelectStmt()
	sel.TargetList = append(sel.TargetList, sql.Target("trunkline ctid", sql.Column(name, "ctid")),
		sql.Target("trunkline key", sql.Cast(sql.Column(name, key.Name), "pg_catalog", "text")))
	text, err := sql.Deparse(place)
	if err != nil {
		return "", nil
	}
	return text, &found{table: table.OID, key: key, locks: len(sel.LockingClause) > 0}
}

// changeCurrent runs UPDATE or DELETE … WHERE CURRENT OF: on the row on which the cursor stands, wherever it has moved since.
func (s *session) changeCurrent(ctx context.Context, e *entry, bind *exec.Bind, out exec.RowWriter) (string, error) {
	tree := sql.Clone(e.stmt.Tree)
	target, where := tree.GetUpdateStmt().GetRelation(), &sql.Node{}
	if update := tree.GetUpdateStmt(); update != nil {
		where = update.WhereClause
	} else {
		target, where = tree.GetDeleteStmt().Relation, tree.GetDeleteStmt().WhereClause
	}
	name := where.GetCurrentOfExpr().CursorName
	snapshot, err := s.snapshot(ctx)
	if err != nil {
		return "", err
	}
	table := snapshot.Resolve(s.settings.searchPath(), target.Schemaname, target.Relname)
	if table != nil && (table.Kind == catalog.Reference || table.RelKind == 'p') {
		return "", sql.Unsupported("WHERE CURRENT OF is not supported on reference and partitioned tables", "", "Name the row by its key.")
	}
	c := s.cursors[name]
	if c == nil {
		return "", s.noSuchCursor(ctx, name, target.Relname)
	}
	if c.found != nil && c.found.locks && table != nil && table.OID != c.found.table {
		return "", sql.Errorf("24000", "cursor \"%s\" does not have a FOR UPDATE/SHARE reference to table \"%s\"", name, target.Relname)
	}
	if c.found == nil || table == nil || table.OID != c.found.table {
		return "", errNotUpdatable(name, target.Relname)
	}
	if c.position < 1 || c.position > int64(len(c.found.rows)) {
		return "", sql.Errorf("24000", "cursor \"%s\" is not positioned on a row", name)
	}
	row := c.found.rows[c.position-1]
	alias := target.Relname
	if target.Alias != nil {
		alias = target.Alias.Aliasname
	}
	q := sql.QuoteIdentifier
	condition := q(alias) + "." + q(c.found.key.Name) + " = " + sql.QuoteLiteral(string(row[1])) + "::" + c.found.key.SQLType + " AND " + q(alias) +
		".ctid = trunkline_internal.latest_tid(" + q(alias) + ".tableoid, " + sql.QuoteLiteral(string(row[0])) + ")"
	parsed, err := sql.Parse("SELECT WHERE " + condition)
	if err != nil {
		return "", err
	}
	where.Node = parsed[0].Tree.GetSelectStmt().WhereClause.Node
	text, err := sql.Deparse(tree)
	if err != nil {
		return "", err
	}
	p := &prepared{text: text, declared: e.prepared.Params}
	if err := s.plan(ctx, p); err != nil {
		return "", err
	}
	own := *bind
	own.Text, own.Literals, own.Reuse = text, p.literals, false
	return s.dispatch(ctx, p.entry, &own, out)
}

func errNotUpdatable(cursor, table string) error {
	return sql.Errorf("24000", "cursor \"%s\" is not a simply updatable scan of table \"%s\"", cursor, table)
}

// noSuchCursor tells what is wrong with a cursor that the session does not keep.
func (s *session) noSuchCursor(ctx context.Context, name, table string) error {
	if s.tx.Pinned() != nil || s.tx.Joined(catalog.CoordinatorGroup) {
		conn, release, err := s.tx.Borrow(ctx, catalog.CoordinatorGroup)
		if err != nil {
			return err
		}
		defer release()
		results, err := conn.Exec(ctx, "SELECT FROM pg_catalog.pg_cursors WHERE name = "+sql.QuoteLiteral(name))
		if err != nil {
			return err
		}
		if len(results[0].Rows) > 0 {
			return errNotUpdatable(name, table)
		}
	}
	return sql.Errorf("34000", "cursor \"%s\" does not exist", name)
}

// aggregates tells whether expressions call what may be an aggregate or a window function.
func aggregates(list []*sql.Node, snapshot *catalog.Snapshot) bool {
	found := false
	for _, e := range list {
		sql.Walk(e, func(m proto.Message) bool {
			if n, ok := m.(*sql.Node); ok && n.GetFuncCall() != nil {
				names := sql.Strings(n.GetFuncCall().Funcname)
				for _, f := range snapshot.Functions[names[len(names)-1]] {
					found = found || f.Kind == 'a' || f.Kind == 'w'
				}
			}
			return !found
		})
	}
	return found
}
