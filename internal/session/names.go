package session

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/catalog"
)

// userNames puts the user's schema in place of a shard's in an error of a node that names its table. Errors of the tables that a
// statement names have been put right when it ran; this is for others: of a foreign key's other side, of what COMMIT checks.
func userNames(err error, snapshot *catalog.Snapshot) error {
	var node *pgconn.PgError
	if snapshot == nil || !errors.As(err, &node) || node.SchemaName == "" || node.TableName == "" ||
		snapshot.Relations[catalog.Name{Schema: node.SchemaName, Name: node.TableName}] != nil {
		return err
	}
	for name, table := range snapshot.Relations {
		colocation := snapshot.Colocations[table.ColocationID]
		if name.Name != node.TableName || table.Kind != catalog.Distributed || colocation == nil {
			continue
		}
		for _, group := range colocation.Groups {
			if catalog.ShardSchema(name.Schema, group.ID) != node.SchemaName {
				continue
			}
			renamed := *node
			for _, field := range []*string{&renamed.Message, &renamed.Detail, &renamed.Hint, &renamed.Where, &renamed.InternalQuery, &renamed.SchemaName} {
				*field = strings.ReplaceAll(*field, node.SchemaName, name.Schema)
			}
			return &renamed
		}
	}
	return err
}
