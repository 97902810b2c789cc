package session

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/txn"
)

// instantSetting says what reads several nodes at one instant: nothing ("off"); each step of a statement ("statement"); and also, in a
// block that keeps its snapshot, all statements together ("transaction"), for which all nodes have to join each such block.
const instantSetting = "trunkline.read_at_one_instant"

// checkInstantSetting makes sure that a value for the setting is one of its three.
func checkInstantSetting(name, value string) error {
	if name != instantSetting || slices.Contains([]string{"off", "statement", "transaction"}, value) {
		return nil
	}
	return &sql.Error{
		Code: "22023", Message: "invalid value for parameter \"" + name + "\": \"" + value + "\"",
		Hint: "Available values: off, statement, transaction.",
	}
}

// deriveInstant takes from the settings how the session reads.
func (t *settings) deriveInstant() {
	value, ok := t.value(instantSetting)
	t.session.env.AtOneInstant = nil
	if (!ok || value != "off") && !t.session.catalog.foreign {
		t.session.env.AtOneInstant = t.session.atOneInstant
	}
	t.fixes = value == "transaction"
}

// firstHold is for how long a statement that is run for the first time keeps commits waiting at most; each time it is run again, twice as
// long, up to lastHold. It is far more than nodes need to take their snapshots, and short for a commit whose tables a node waits for.
const (
	firstHold = 200 * time.Millisecond
	lastHold  = 20 * time.Second
)

// atOneInstant takes the gates of commits over several nodes. The coordinator decides wherever it has written, so no commit has its gate
// there.
func (s *session) atOneInstant(ctx context.Context) (*txn.Instant, error) {
	nodes := s.server.nodes()
	hold := lastHold
	if s.repeats {
		hold = min(firstHold<<s.lost, lastHold)
	}
	return s.server.manager.AtOneInstant(ctx, nodes[1:], hold)
}

// mayReadAgain takes back a statement that has lost its instant: it has only read.
func (s *session) mayReadAgain(ctx context.Context, err error) bool {
	if !errors.Is(err, txn.ErrInstantLost) || s.lost == maxTries || s.tx.InBlock() && !s.tx.UndoStatement(ctx) {
		return false
	}
	s.lost++
	return true
}

// takesSnapshot tells whether a statement of this kind may be the first of a block to see data.
func takesSnapshot(kind statementKind) bool {
	switch kind {
	case kindQuery, kindCopy, kindDeclare, kindExecute, kindExplain, kindDefinition:
		return true
	}
	return false
}

// fixInstant has all nodes join a block that keeps its snapshot, and take their snapshots at one instant, if that has not been done.
func (s *session) fixInstant(ctx context.Context) error {
	if s.env.AtOneInstant == nil || !s.tx.InBlock() || s.fixed || s.tx.Status() == 'E' || !s.tx.KeepsSnapshot() {
		return nil
	}
	s.fixed = true
	snapshot, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	groups := append([]int32{catalog.CoordinatorGroup}, nodeGroups(snapshot)...)
	if len(groups) == 1 {
		return nil
	}
	instant, err := s.server.manager.AtOneInstant(ctx, s.server.nodes()[1:], time.Minute) // to join needs no locks on tables
	if err != nil {
		return err
	}
	for _, group := range groups {
		conn, err := s.tx.Conn(ctx, group)
		if err == nil {
			conn.SendQuery("SELECT")
			err = conn.Flush()
		}
		if err != nil {
			instant.Leave()
			return err
		}
	}
	var failure error
	for _, group := range groups {
		conn, err := s.tx.Conn(ctx, group)
		if err == nil {
			_, err = conn.Collect(ctx)
		}
		if err != nil && failure == nil {
			failure = err
		}
	}
	if !instant.Leave() && failure == nil {
		failure = txn.ErrInstantLost
	}
	return failure
}
