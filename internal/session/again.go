package session

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// maxTries is how often a statement is run again because tables are not where the snapshot says. Each time means that something was
// moved or distributed in the moment between a refresh and the statement; or that a node has not carried out yet what was decided, which
// is waited for: for six seconds in all.
const (
	maxTries  = 15
	firstWait = time.Millisecond // doubled each time
	lastWait  = time.Second
)

// beginStatement prepares to take a statement of an open block back: always on nodes that it makes join the block, and on the others
// while the catalog says that shard groups are being moved.
func (s *session) beginStatement() {
	if s.tx.InBlock() {
		s.tx.BeginStatement(s.env.Snapshot != nil && s.env.Snapshot.Moving)
	}
}

// mayTryAgain takes back what a statement did before it met a shard that is gone, and brings the snapshot up to date. Shards do not go
// away under a block that has used them, so what has moved is new to the block. A write to the shell of a distributed table in a block is not
// tried again: the block may have read the table while it was local. A reference table has the same rows on the coordinator as ever.
func (s *session) mayTryAgain(ctx context.Context, err error, tries int) bool {
	if tries == maxTries {
		return false
	}
	used, inBlock := s.env.Snapshot, s.tx.InBlock()
	if inBlock && (exec.IsShell(err) && !exec.IsReferenceShell(err) || s.catalog.own != nil || !s.tx.UndoStatement(ctx)) {
		return false
	}
	now, failure := s.newerThan(ctx, used)
	switch {
	case failure != nil && inBlock:
		return false
	case failure != nil:
		s.definitionsChanged() // which reads the catalog once more, and gives the error
	case used != nil && now.SameAs(used):
		if exec.IsShell(err) { // which the coordinator has refused by what is known here: a function of the user's writes to it
			return false
		}
		select {
		case <-time.After(min(firstWait<<tries, lastWait)):
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// misled tells whether an error outside of a block says that something does not exist, and the catalog has changed since the snapshot that the
// statement was planned by: through another gateway, whose notice has not come yet.
func (s *session) misled(ctx context.Context, used *catalog.Snapshot, err error) bool {
	if err == nil || s.tx.InBlock() || s.catalog.foreign || used == nil {
		return false
	}
	var theirs *pgconn.PgError
	var ours *sql.Error
	switch {
	case errors.As(err, &theirs) && slices.Contains(undefined, theirs.Code):
	case errors.As(err, &ours) && slices.Contains(undefined, ours.Code):
	default:
		return false
	}
	now, failure := s.newerThan(ctx, used)
	return failure == nil && now.Fingerprint != used.Fingerprint
}

// undefined are the SQLSTATEs undefined_column, undefined_table, undefined_function and undefined_object.
var undefined = []string{"42703", "42P01", "42883", "42704"}

// newerThan gives a snapshot that is not the one that has misled a statement: of many that waited for one shard group only the first
// reads the catalog.
func (s *session) newerThan(ctx context.Context, used *catalog.Snapshot) (*catalog.Snapshot, error) {
	if now := s.server.watcher.Current(); now != used {
		return now, nil
	}
	return s.server.watcher.RefreshPlaces(ctx)
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
		if !s.mayTryAgain(ctx, err, tries) {
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
