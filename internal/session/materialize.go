package session

import (
	"context"
	"fmt"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/sql"
)

// materialize creates a materialized view of a query over distributed tables, or fills one. The view itself is the coordinator's
// and has the user's own query. Its rows are first put into a temporary table, from which PostgreSQL then fills the view, all in one
// transaction: see trunkline_internal.refill.
func (s *session) materialize(ctx context.Context, e *entry, out exec.RowWriter) (tag string, err error) {
	err = s.atomically(ctx, func() error {
		if create := e.stmt.Tree.GetCreateTableAsStmt(); create != nil {
			tag, err = s.createMaterialized(ctx, e.stmt, out)
		} else {
			tag, err = "REFRESH MATERIALIZED VIEW", s.refresh(ctx, e.stmt.Tree.GetRefreshMatViewStmt(), out)
		}
		return err
	})
	return tag, err
}

// atomically runs several statements as one, in the client's block or one of their own, that change definitions.
func (s *session) atomically(ctx context.Context, f func() error) error {
	err := s.tx.RunAtomically(ctx, f)
	if !s.tx.InBlock() {
		s.blockEnded()
	}
	s.definitionsChanged()
	return err
}

// rowsToMaterialize is the temporary table that holds a materialized view's new rows.
const rowsToMaterialize = "pg_temp.trunkline_materialized"

func (s *session) createMaterialized(ctx context.Context, stmt sql.Statement, out exec.RowWriter) (string, error) {
	tree := sql.Clone(stmt.Tree)
	create := tree.GetCreateTableAsStmt()
	empty := create.Into.SkipData
	create.Into.SkipData = true
	text, err := sql.Deparse(tree)
	if err != nil {
		return "", err
	}
	conn, err := s.tx.Conn(ctx, catalog.CoordinatorGroup)
	if err != nil {
		return "", err
	}
	s.tx.MarkWrite(catalog.CoordinatorGroup)
	before, err := s.materializedView(ctx, conn, create.Into.Rel)
	if err != nil {
		return "", err
	}
	results, err := conn.Exec(ctx, text)
	if err != nil {
		return "", err
	}
	if empty || before.oid != "" { // it was there already, which IF NOT EXISTS allows
		return results[0].Tag, nil
	}
	made, err := s.materializedView(ctx, conn, create.Into.Rel)
	if err != nil {
		return "", err
	}
	rows, err := s.refill(ctx, conn, made, false, out)
	return "SELECT " + rows, err
}

func (s *session) refresh(ctx context.Context, n *sql.RefreshMatViewStmt, out exec.RowWriter) error {
	conn, err := s.tx.Conn(ctx, catalog.CoordinatorGroup)
	if err != nil {
		return err
	}
	view, err := s.materializedView(ctx, conn, n.Relation)
	if err != nil {
		return err
	}
	if !view.owned {
		return &sql.Error{Code: "0A000", Message: "cannot refresh a materialized view of distributed tables as another role than its owner",
			Detail: fmt.Sprintf("Role %q owns materialized view %q.", view.owner, n.Relation.Relname), Hint: "Use SET ROLE first."}
	}
	_, err = s.refill(ctx, conn, view, n.Concurrent, out)
	return err
}

// materializedView is what a name means to the session; an empty oid says that there is none.
type materializedView struct {
	oid, query, owner string
	owned             bool // by the role whose rights the session has
}

func (s *session) materializedView(ctx context.Context, conn *backend.Conn, v *sql.RangeVar) (materializedView, error) {
	name := sql.QuoteIdentifier(v.Relname)
	if v.Schemaname != "" {
		name = sql.QuoteIdentifier(v.Schemaname) + "." + name
	}
	results, err := conn.Exec(ctx, `SELECT c.oid, pg_catalog.pg_get_viewdef(c.oid), r.rolname, r.rolname = current_user
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_roles r ON r.oid = c.relowner WHERE c.relkind = 'm' AND c.oid = pg_catalog.to_regclass(`+sql.QuoteLiteral(name)+")")
	if err != nil || len(results[0].Rows) == 0 {
		return materializedView{}, err
	}
	row := results[0].Rows[0]
	return materializedView{oid: string(row[0]), query: string(row[1]), owner: string(row[2]), owned: string(row[3]) == "t"}, nil
}

// refill runs a view's query and fills the view with its rows. It gives their number.
func (s *session) refill(ctx context.Context, conn *backend.Conn, view materializedView, concurrently bool, out exec.RowWriter) (string, error) {
	text := "CREATE TEMPORARY TABLE " + rowsToMaterialize + " AS " + view.query
	s.definitionsChanged() // the view itself may be new
	e, err := s.find(ctx, text, false, nil, true)
	if err != nil {
		return "", err
	}
	if _, err := s.attempt(ctx, e, &exec.Bind{Text: text, Literals: e.literals, Once: true}, out); err != nil {
		return "", err
	}
	s.catalog.tempsStale = true
	results, err := conn.Exec(ctx, fmt.Sprintf("SELECT trunkline_internal.refill(%s, %t)", view.oid, concurrently))
	if err != nil {
		return "", err
	}
	return string(results[0].Rows[0][0]), nil
}
