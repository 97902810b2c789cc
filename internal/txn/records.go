package txn

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/trunkline/trunkline/internal/sql"
)

// maxRecords is how many records may wait before their deletion begins at once.
const maxRecords = 1000

// recordDone says that all participants have committed, so that the decider's record has served its purpose.
func (m *Manager) recordDone(home recordHome, gid string) {
	m.mu.Lock()
	m.records[home] = append(m.records[home], gid)
	many := len(m.records[home]) >= maxRecords
	m.mu.Unlock()
	if many {
		select {
		case m.flushed <- struct{}{}:
		default:
		}
	}
}

// deleteRecords deletes records in batches, so that a commit does not pay for it. What is left when the gateway dies, recovery
// deletes.
func (m *Manager) deleteRecords(ctx context.Context) {
	ticker := time.NewTicker(5 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-m.flushed:
		}
		m.FlushRecords(ctx)
	}
}

// FlushRecords deletes the records of finished transactions now.
func (m *Manager) FlushRecords(ctx context.Context) {
	m.mu.Lock()
	batches := m.records
	m.records = map[recordHome][]string{}
	m.mu.Unlock()
	for home, gids := range batches {
		for i, gid := range gids {
			gids[i] = sql.QuoteLiteral(gid)
		}
		_, err := m.run(ctx, home.address, home.database, "DELETE FROM trunkline.commit_record WHERE gid IN ("+strings.Join(gids, ", ")+")")
		if err != nil {
			m.config.Log.Warn("left to recovery: cannot delete commit records", "node", home.address.String(), "error", err)
		}
	}
}

// dropRecords deletes the records on a node whose transactions are over. kept are the transactions that were prepared somewhere
// when every node was looked at, which began so long ago. A record of a commit may go once its transaction is prepared nowhere,
// which kept shows for those decided before the looking began. A tombstone must stay while the commit it excludes could come,
// that is while a transaction of this node is older than it; to see that, the administrator must be allowed to see everyone's. What a
// client has prepared waits for the client, for however long.
func (m *Manager) dropRecords(ctx context.Context, n Node, kept map[string]bool, ago time.Duration) error {
	text := fmt.Sprintf(`DELETE FROM trunkline.commit_record WHERE decided_at < clock_timestamp() - interval '%d milliseconds'
		AND committed IS NOT NULL AND (committed OR pg_catalog.pg_has_role('pg_read_all_stats', 'member')
			AND decided_at < (SELECT min(xact_start) FROM pg_catalog.pg_stat_activity))`, (m.config.MinAge+ago).Milliseconds()+1)
	if len(kept) > 0 {
		var gids []string
		for gid := range kept {
			gids = append(gids, sql.QuoteLiteral(gid))
		}
		text += " AND gid NOT IN (" + strings.Join(gids, ", ") + ")"
	}
	_, err := m.run(ctx, n.Address, m.config.Admin.Database, text)
	return err
}
