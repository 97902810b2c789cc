package cluster

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/txn"
)

// DDL carries out a data definition statement.
func (c *Cluster) DDL(ctx context.Context, tx *txn.Tx, snap *catalog.Snapshot, searchPath []string, stmt sql.Statement) (tag string, err error) {
	return "", errors.New("not yet")
}

// codeOf gives an error's SQLSTATE, "" if it has none.
func codeOf(err error) string {
	var ours *sql.Error
	var theirs *pgconn.PgError
	switch {
	case errors.As(err, &ours):
		return ours.Code
	case errors.As(err, &theirs):
		return theirs.Code
	}
	return ""
}
