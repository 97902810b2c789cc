package txn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

// Node is a node to recover.
type Node struct {
	GroupID int32
	Address backend.Address
}

// Recovery counts what a recovery did with the prepared transactions that it found.
type Recovery struct {
	Committed  int
	RolledBack int
	Left       int // too young, under way here, or undecided because a node could not be reached
}

// Recover finishes the prepared transactions of ours on all nodes: those whose decider holds a record of the decision are
// committed, the others are rolled back once a tombstone excludes that decision. It does no harm however many gateways do it at
// once. Prepared transactions of anyone else are left alone. Nodes that cannot be reached are reported as a joined error; the
// others are recovered all the same.
func (m *Manager) Recover(ctx context.Context, nodes []Node) (Recovery, error) {
	started := time.Now()
	var done Recovery
	var failures []error
	addresses := map[int32]backend.Address{}
	for _, n := range nodes {
		addresses[n.GroupID] = n.Address
	}
	nodes = slices.Clone(nodes) // the one with a commit's gate last, as in Tx.finish
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(b.GroupID, a.GroupID) })
	outcomes := map[string]decision{}
	kept := map[string]bool{} // gids that must keep their record
	complete := true
	for _, n := range nodes {
		found, err := m.prepared(ctx, n)
		if err != nil {
			failures = append(failures, fmt.Errorf("node %s: %w", n.Address, err))
			complete = false
			continue
		}
		for _, p := range found {
			decider, ok := parseGID(p.gid)
			if !ok {
				continue // not ours after all
			}
			kept[p.gid] = true
			home, known := addresses[decider]
			if !known || p.age < m.config.MinAge || m.isLive(p.gid) {
				done.Left++
				continue
			}
			decided, asked := outcomes[p.gid]
			if !asked {
				if decided, err = m.outcome(ctx, home, m.config.Admin.Database, p.gid); err != nil {
					failures = append(failures, fmt.Errorf("node %s: %w", home, err))
					done.Left++
					continue
				}
				outcomes[p.gid] = decided
			}
			if decided == held {
				continue // until its client finishes it
			}
			if err := m.end(ctx, n, p.gid, decided == committed); err != nil {
				failures = append(failures, fmt.Errorf("node %s: %w", n.Address, err))
				done.Left++
				continue
			}
			if decided == committed {
				done.Committed++
			} else {
				done.RolledBack++
			}
		}
	}
	if complete {
		for _, n := range nodes {
			if err := m.dropRecords(ctx, n, kept, time.Since(started)); err != nil {
				failures = append(failures, fmt.Errorf("node %s: %w", n.Address, err))
			}
		}
	}
	return done, errors.Join(failures...)
}

// Run recovers now and then again after each interval, sooner while something is left to recover, until ctx ends. An interval that
// is not positive pauses it.
func (m *Manager) Run(ctx context.Context, nodes func() []Node, interval func() time.Duration) {
	for {
		pause := interval()
		if pause > 0 {
			done, err := m.Recover(ctx, nodes())
			if err != nil && ctx.Err() == nil {
				m.config.Log.Warn("transaction recovery is incomplete", "error", err)
			}
			if done.Committed+done.RolledBack > 0 {
				m.config.Log.Info("recovered prepared transactions", "committed", done.Committed, "rolledback", done.RolledBack, "left", done.Left)
			}
			if err != nil || done.Left > 0 {
				pause = min(pause, m.config.MinAge)
			}
		} else {
			pause = time.Minute
		}
		wait := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-m.hurry:
			wait.Reset(min(pause, m.config.MinAge)) // what was left just now is still too young
			select {
			case <-ctx.Done():
			case <-wait.C:
			}
		case <-wait.C:
		}
		wait.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// recoverSoon has Run recover before its next interval, since a transaction was left prepared on a node: its locks are in others' way.
func (m *Manager) recoverSoon() {
	select {
	case m.hurry <- struct{}{}:
	default:
	}
}

type preparedTransaction struct {
	gid string
	age time.Duration
}

// prepared lists the prepared transactions on a node that look like ours.
func (m *Manager) prepared(ctx context.Context, n Node) ([]preparedTransaction, error) {
	results, err := m.run(ctx, n.Address, m.config.Admin.Database, `SELECT gid, (extract(epoch FROM clock_timestamp() - prepared) * 1000000)::bigint
		FROM pg_catalog.pg_prepared_xacts WHERE database = current_database() AND starts_with(gid, '`+gidPrefix+`')`)
	if err != nil {
		return nil, err
	}
	var found []preparedTransaction
	for _, row := range results[0].Rows {
		us, err := strconv.ParseInt(string(row[1]), 10, 64)
		if err != nil {
			return nil, err
		}
		found = append(found, preparedTransaction{string(row[0]), time.Duration(us) * time.Microsecond})
	}
	sort.Slice(found, func(i, j int) bool { return found[i].gid < found[j].gid })
	return found, nil
}

// decision is what the record of a transaction says.
type decision byte

const (
	rolledBack decision = iota
	committed
	held // prepared by a client, which has yet to decide
)

// outcome asks the decider what was decided on a transaction, and decides against it if nothing was. The insertion waits for a
// commit of the same transaction that is on its way.
func (m *Manager) outcome(ctx context.Context, decider backend.Address, database, gid string) (decision, error) {
	results, err := m.run(ctx, decider, database, "INSERT INTO trunkline.commit_record (gid, committed) VALUES ("+sql.QuoteLiteral(gid)+
		", false) ON CONFLICT (gid) DO NOTHING; SELECT committed FROM trunkline.commit_record WHERE gid = "+sql.QuoteLiteral(gid))
	if err != nil {
		return rolledBack, err
	}
	if len(results) != 2 || len(results[1].Rows) != 1 {
		return rolledBack, fmt.Errorf("the record of transaction %s has vanished", gid)
	}
	switch string(results[1].Rows[0][0]) {
	case "t":
		return committed, nil
	case "":
		return held, nil
	}
	return rolledBack, nil
}

// end finishes one prepared transaction. That somebody else has done so already is no error.
func (m *Manager) end(ctx context.Context, n Node, gid string, committed bool) error {
	text := "ROLLBACK PREPARED "
	if committed {
		text = "COMMIT PREPARED "
	}
	_, err := m.run(ctx, n.Address, m.config.Admin.Database, text+sql.QuoteLiteral(gid))
	if err != nil && !isUndefinedObject(err) {
		return err
	}
	return nil
}

// run runs statements on a node as the administrator.
func (m *Manager) run(ctx context.Context, address backend.Address, database, text string) ([]backend.Result, error) {
	admin := m.config.Admin
	admin.Database = database
	conn, err := m.config.AdminPools.Acquire(ctx, address, admin)
	if err != nil {
		return nil, err
	}
	defer m.config.AdminPools.Release(conn)
	return conn.Exec(ctx, text)
}
