package cluster

import (
	"context"
	"sync"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/txn"
)

// CollectShardSizes asks all nodes how big their shards are, for catalog.SetSizes.
func (c *Cluster) CollectShardSizes(ctx context.Context, tx *txn.Tx, snap *catalog.Snapshot) ([]catalog.ShardSize, error) {
	groups := []int32{catalog.CoordinatorGroup}
	for _, n := range snap.ActivePrimaries() {
		if n.GroupID != catalog.CoordinatorGroup {
			groups = append(groups, n.GroupID)
		}
	}
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		sizes   []catalog.ShardSize
		failure error
	)
	for _, group := range groups {
		text := snap.SizesQuery(group)
		if text == "" {
			continue
		}
		wg.Go(func() {
			found, err := sizesOn(ctx, tx, group, text)
			mu.Lock()
			defer mu.Unlock()
			sizes = append(sizes, found...)
			if failure == nil {
				failure = err
			}
		})
	}
	wg.Wait()
	return sizes, failure
}

func sizesOn(ctx context.Context, tx *txn.Tx, group int32, text string) ([]catalog.ShardSize, error) {
	conn, release, err := tx.Borrow(ctx, group)
	if err != nil {
		return nil, err
	}
	defer release()
	results, err := conn.Exec(ctx, text)
	if err != nil {
		return nil, err
	}
	return catalog.ReadSizes(group, results[0])
}
