// Package dump writes down how tables are distributed, which pg_dump does not know: together with the schema and the rows of a
// dump that makes a cluster anew.
//
// It works over any client connection to a gateway and imports nothing of Trunkline.
package dump

import (
	"context"
	_ "embed"

	"github.com/jackc/pgx/v5"
)

//go:embed distribution.sql
var distribution string

// Distribution gives the statements that distribute the tables of a cluster as they are now distributed in the one that conn is
// connected to: reference tables, schemas of tenants, then distributed tables, co-located as they are. Shards come out even: where
// some were split, or moved, that is not told.
func Distribution(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, distribution)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
