package catalog

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

// ShardSize is how large one placement of a shard is, in bytes: pg_relation_size, pg_table_size and pg_total_relation_size.
type ShardSize struct {
	ShardID                int64
	GroupID                int32
	Relation, Table, Total int64
}

// SizesQuery writes the query that asks the node of a group for the sizes of all shards it holds, "" if it holds none. Its rows
// are read by ReadSizes.
func (s *Snapshot) SizesQuery(groupID int32) string {
	var ids, names []string
	add := func(id int64, schema string, r *Relation) {
		name := sql.QuoteIdentifier(schema) + "." + sql.QuoteIdentifier(r.Name)
		ids = append(ids, strconv.FormatInt(id, 10))
		names = append(names, sql.QuoteLiteral(name))
	}
	for _, r := range s.ByOID {
		switch r.Kind {
		case Local:
			for _, id := range r.ShardIDs {
				if groupID == CoordinatorGroup {
					add(id, r.Schema, r)
				}
			}
		case Reference:
			for _, id := range r.ShardIDs {
				add(id, r.Schema, r)
			}
		case Distributed:
			c := s.Colocations[r.ColocationID]
			if c == nil || len(c.Groups) != len(r.ShardIDs) {
				continue
			}
			for i, g := range c.Groups {
				if g.GroupID == groupID {
					add(r.ShardIDs[i], ShardSchema(r.Schema, g.ID), r)
				}
			}
		}
	}
	if len(ids) == 0 {
		return ""
	}
	return "SELECT v.id, pg_catalog.pg_relation_size(c), pg_catalog.pg_table_size(c), pg_catalog.pg_total_relation_size(c)" +
		" FROM ROWS FROM (pg_catalog.unnest(ARRAY[" + strings.Join(ids, ",") + "]::bigint[]), pg_catalog.unnest(ARRAY[" + strings.Join(names, ",") +
		"]::text[])) AS v(id, name), LATERAL pg_catalog.to_regclass(v.name) c WHERE c IS NOT NULL"
}

// ReadSizes reads a node's answer to SizesQuery.
func ReadSizes(groupID int32, result backend.Result) ([]ShardSize, error) {
	sizes := make([]ShardSize, 0, len(result.Rows))
	for _, row := range result.Rows {
		f := fields{row: row}
		if len(row) != 4 || row[1] == nil || row[2] == nil || row[3] == nil {
			continue // the shard has just been dropped
		}
		sizes = append(sizes, ShardSize{ShardID: f.int64(), GroupID: groupID, Relation: f.int64(), Table: f.int64(), Total: f.int64()})
		if f.err != nil {
			return nil, fmt.Errorf("cannot read the sizes of shards: %w", f.err)
		}
	}
	return sizes, nil
}

// SetSizes writes the statement that tells the coordinator the sizes for the rest of the transaction, or of the session if local
// is false. What NeedsFacts in Surface reads them.
func SetSizes(sizes []ShardSize, local bool) string {
	rows := make([][5]int64, len(sizes))
	for i, z := range sizes {
		rows[i] = [5]int64{z.ShardID, int64(z.GroupID), z.Relation, z.Table, z.Total}
	}
	text, _ := json.Marshal(rows) // of integers: it cannot fail
	return fmt.Sprintf("SELECT pg_catalog.set_config('trunkline.shard_sizes', '%s', %t)", text, local)
}
