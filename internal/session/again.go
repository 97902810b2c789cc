package session

import (
	"context"
	"slices"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// maxTries is how often a statement is run again because tables are not where the snapshot says. Each time means that something was
// moved or distributed in the moment between a refresh and the statement.
const maxTries = 10

// beginStatement prepares to take a statement of an open block back: always on nodes that it makes join the block, and on the others
// while the catalog says that shard groups are being moved.
func (s *session) beginStatement() {
	if s.tx.InBlock() {
		s.tx.BeginStatement(s.env.Snapshot != nil && s.env.Snapshot.Moving)
	}
}

// mayTryAgain takes back what a statement did before it met a shard that is gone, and brings the snapshot up to date. Shards do not go
// away under a block that has used them, so what has moved is new to the block. A write to a shell in a block is not tried again:
// the block may have read the table while it was local.
func (s *session) mayTryAgain(ctx context.Context, err error) bool {
	if s.tx.InBlock() {
		if exec.IsShell(err) || s.catalog.own != nil || !s.tx.UndoStatement(ctx) {
			return false
		}
		used := s.env.Snapshot
		now, failure := s.server.watcher.Refresh(ctx)
		return failure == nil && (used == nil || now.Fingerprint != used.Fingerprint)
	}
	s.definitionsChanged()
	return true
}

// copy runs a COPY. While shard groups are being moved, those of its tables are first made to stay: rows come from the client, or go
// to it, but once.
func (s *session) copy(ctx context.Context, e *entry) (string, error) {
	for tries := 0; s.env.Snapshot.Moving; tries++ {
		tables := s.distributedIn(e.stmt.Tree)
		if len(tables) == 0 {
			break
		}
		s.beginImplicit()
		s.beginStatement()
		err := exec.HoldShards(ctx, &s.env, tables, e.stmt.Tree.GetCopyStmt().IsFrom)
		if err == nil {
			break
		}
		if !exec.IsStale(err) {
			if s.tx.UndoStatement(ctx) { // rights to some columns only: the COPY itself will say what is wrong, if anything is
				break
			}
			return "", err
		}
		if tries == maxTries || !s.mayTryAgain(ctx, err) {
			return "", err
		}
		if s.env.Snapshot, err = s.snapshot(ctx); err != nil {
			return "", err
		}
	}
	return exec.Copy(ctx, &s.env, e.stmt, s.planSettings(), copyClient{s})
}

// distributedIn gives the distributed tables that a statement names.
func (s *session) distributedIn(tree *sql.Node) []*catalog.Relation {
	var tables []*catalog.Relation
	sql.Walk(tree, func(m proto.Message) bool {
		v, ok := m.(*sql.RangeVar)
		if n, wrapped := m.(*sql.Node); wrapped && n.GetRangeVar() != nil {
			v, ok = n.GetRangeVar(), true
		}
		if ok {
			r := s.env.Snapshot.Resolve(s.settings.searchPath(), v.Schemaname, v.Relname)
			if r != nil && r.Kind == catalog.Distributed && !slices.Contains(tables, r) {
				tables = append(tables, r)
			}
		}
		return true
	})
	return tables
}
