package cluster

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/txn"
)

// CollectShardSizes asks all nodes how big their shards are, in the form in which the coordinator's functions and views read it
// from the setting trunkline.shard_sizes: a JSON array of [shardid, groupid, pg_relation_size, pg_table_size,
// pg_total_relation_size].
func (c *Cluster) CollectShardSizes(ctx context.Context, tx *txn.Tx, snap *catalog.Snapshot) (string, error) {
	asked := map[int32][]string{} // per group: rows of VALUES
	ask := func(group int32, shard int64, schema, name string) {
		asked[group] = append(asked[group], fmt.Sprintf("(%d,%s,%s)", shard, sql.QuoteLiteral(schema), sql.QuoteLiteral(name)))
	}
	for _, r := range snap.ByOID {
		switch r.Kind {
		case catalog.Distributed:
			colocation := snap.Colocations[r.ColocationID]
			if colocation == nil {
				continue
			}
			for i, g := range colocation.Groups {
				if i < len(r.ShardIDs) {
					ask(g.GroupID, r.ShardIDs[i], catalog.ShardSchema(r.Schema, g.ID), r.Name)
				}
			}
		case catalog.Reference:
			if len(r.ShardIDs) == 0 {
				continue
			}
			ask(catalog.CoordinatorGroup, r.ShardIDs[0], r.Schema, r.Name)
			for _, n := range snap.ActivePrimaries() {
				if n.GroupID != catalog.CoordinatorGroup {
					ask(n.GroupID, r.ShardIDs[0], r.Schema, r.Name)
				}
			}
		}
	}
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		sizes   []string
		failure error
	)
	for group, values := range asked {
		wg.Go(func() {
			found, err := sizesOn(ctx, tx, group, values)
			mu.Lock()
			defer mu.Unlock()
			sizes = append(sizes, found...)
			if failure == nil {
				failure = err
			}
		})
	}
	wg.Wait()
	if failure != nil {
		return "", failure
	}
	return "[" + strings.Join(sizes, ",") + "]", nil
}

func sizesOn(ctx context.Context, tx *txn.Tx, group int32, values []string) ([]string, error) {
	conn, release, err := tx.Borrow(ctx, group)
	if err != nil {
		return nil, err
	}
	defer release()
	rows, err := query(ctx, conn, `SELECT v.shard, pg_catalog.pg_relation_size(c.oid), pg_catalog.pg_table_size(c.oid), pg_catalog.pg_total_relation_size(c.oid)
		FROM (VALUES `+strings.Join(values, ",")+`) v (shard, schema, name)
			JOIN pg_catalog.pg_namespace n ON n.nspname = v.schema JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = v.name`)
	if err != nil {
		return nil, err
	}
	sizes := make([]string, len(rows))
	for i, r := range rows {
		sizes[i] = fmt.Sprintf("[%s,%d,%s,%s,%s]", r.text(0), group, r.text(1), r.text(2), r.text(3))
	}
	return sizes, nil
}
