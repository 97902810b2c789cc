package exec

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// allPresent waits until all lanes have begun to answer, before any row goes to the client: a shard that has moved away shows then,
// while the statement can still be run again.
func (x *execution) allPresent(ctx context.Context, lanes []*lane) error {
	for _, l := range lanes {
		m, err := l.conn.Peek(ctx)
		if err != nil {
			return err
		}
		if m.Type != 'E' {
			continue
		}
		m, err = l.conn.Receive(ctx)
		if err != nil {
			return err
		}
		return x.taskError(l.conn, m)
	}
	return nil
}

// HoldShards keeps tables' shards where they are until the open block ends, by locks that do not conflict with reads and writes: for
// a COPY, whose rows come or go but once. It gives a StaleError if a shard is gone already.
func HoldShards(ctx context.Context, env *Env, tables []*catalog.Relation, writes bool) error {
	mode := "ACCESS SHARE"
	if writes {
		mode = "ROW EXCLUSIVE"
	}
	for _, table := range tables {
		c := env.Snapshot.Colocations[table.ColocationID]
		if c == nil {
			return fmt.Errorf("colocation group %d does not exist", table.ColocationID)
		}
		shards := map[int32][]string{}
		var nodes []int32
		for _, g := range c.Groups {
			if shards[g.GroupID] == nil {
				nodes = append(nodes, g.GroupID)
			}
			shards[g.GroupID] = append(shards[g.GroupID], sql.QuoteIdentifier(catalog.ShardSchema(table.Schema, g.ID))+"."+sql.QuoteIdentifier(table.Name))
		}
		slices.Sort(nodes)
		for _, node := range nodes {
			conn, err := env.Tx.Conn(ctx, node)
			if err != nil {
				return err
			}
			if err := copyExecution(env, table).lock(ctx, conn, shards[node], mode); err != nil {
				return err
			}
		}
	}
	return nil
}

// lock locks some shards on a node.
func (x *execution) lock(ctx context.Context, conn *backend.Conn, shards []string, mode string) error {
	conn.SendQuery("LOCK TABLE " + strings.Join(shards, ", ") + " IN " + mode + " MODE")
	return x.outcome(ctx, conn)
}
