package session

import (
	"context"

	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/sql"
)

// storedInto gives the table that CREATE TABLE AS or SELECT INTO makes, nil for another statement.
func storedInto(n *sql.Node) *sql.RangeVar {
	if create := n.GetCreateTableAsStmt(); create != nil {
		return create.Into.GetRel()
	}
	sel := n.GetSelectStmt()
	for sel != nil && sel.Larg != nil {
		sel = sel.Larg
	}
	return sel.GetIntoClause().GetRel()
}

// storesForTenant tells whether a statement may put a new table of a query's rows into a tenant's schema.
func (s *session) storesForTenant(ctx context.Context, e *entry) (bool, error) {
	if e.kind != kindDefinition {
		return false, nil
	}
	into := storedInto(e.stmt.Tree)
	if into == nil || into.Relpersistence == "t" {
		return false, nil
	}
	snapshot, err := s.snapshot(ctx)
	return err == nil && snapshot.MayCreateInTenant(s.settings.searchPath(), into.Schemaname), err
}

// storeForTenant runs such a statement, and distributes the table at once.
func (s *session) storeForTenant(ctx context.Context, e *entry, bind *exec.Bind, out exec.RowWriter) (tag string, err error) {
	snapshot, err := s.snapshot(ctx)
	if err != nil {
		return "", err
	}
	err = s.atomically(ctx, func() error {
		if tag, err = s.attempt(ctx, e, bind, out); err != nil {
			return err
		}
		return s.server.cluster.AdoptTables(ctx, s.tx, snapshot)
	})
	return tag, err
}
