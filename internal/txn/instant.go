package txn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

// Between the decision of a commit over several nodes and its last COMMIT PREPARED, a reader of several nodes could see it on some only.
// So each such commit keeps a gate from before its decision until it is through: a lock on trunkline.commit_gate, in a mode that
// commits share, which one of its prepared transactions holds, so that it outlives the gateway. Whoever wants to read several nodes at one instant
// keeps the gates of all nodes for the moment in which the nodes take their snapshots, in a mode that readers share and commits do not.
//
// A commit has but one gate, at the first of the nodes where it is prepared, and lets go of it last; it waits for no other while it has it.
// Readers take gates in the order of their nodes: each waits not only for commits that have a gate but also behind those that wait
// for one, and so for the readers that these wait for. So neither commits nor readers are ever in a deadlock at gates.

// gated is sent ahead of PREPARE TRANSACTION to the node whose gate a commit keeps. Readers keep gates for a moment only, so nobody's
// lock_timeout is meant.
const gated = "SET LOCAL lock_timeout = 0; LOCK TABLE trunkline.commit_gate IN ROW EXCLUSIVE MODE; "

const (
	// GateReaders is how many statements of a gateway may be at the gates at a time: each needs a connection to every node.
	GateReaders = 16
	// gateWait is how long a reader waits at a gate. A commit keeps it for a few round trips, unless its gateway has died: then recovery
	// opens it.
	gateWait = time.Minute
)

// ErrInstantLost says that nodes took so long over their snapshots that the gates had to be opened before.
var ErrInstantLost = &sql.Error{
	Code: "40001", Message: "could not read all nodes at one instant",
	Detail: "A node took too long to begin.", Hint: "The statement might succeed if retried.",
}

// splitGated gives the participants that are prepared in the order in which they commit: the one whose gate is kept is last.
func splitGated(others []*participant) (open []*participant, gate []*participant) {
	at := 0
	for i, p := range others {
		if p.group < others[at].group {
			at = i
		}
	}
	open = append(append(open, others[:at]...), others[at+1:]...)
	return open, others[at : at+1]
}

// Instant is a hold of all nodes' gates.
type Instant struct {
	manager *Manager
	conns   []*backend.Conn
	timer   *time.Timer
	over    atomic.Bool
	release chan struct{}
}

// AtOneInstant takes the gates of nodes. Snapshots that nodes take before Leave see each commit over several nodes everywhere or nowhere.
// The gates are opened after hold whatever happens: a node that is to take its snapshot may be waiting for a lock on a table, which a
// transaction has that itself waits at a gate to commit.
// A node that cannot be reached is left out: who wants to read it will find out. The error is 40001 if a gate stays shut.
func (m *Manager) AtOneInstant(ctx context.Context, nodes []Node, hold time.Duration) (*Instant, error) {
	select {
	case m.gates <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	hurry := time.AfterFunc(time.Second, m.recoverSoon)
	defer hurry.Stop()
	i := &Instant{manager: m, release: make(chan struct{})}
	err := i.take(ctx, nodes)
	i.timer = time.AfterFunc(hold, func() { i.over.Store(true); close(i.release) })
	m.done.Go(i.letGo)
	if err != nil {
		i.Leave()
		return nil, err
	}
	return i, nil
}

// take takes the gates of nodes, in their order.
func (i *Instant) take(ctx context.Context, nodes []Node) error {
	nodes = slices.Clone(nodes)
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.GroupID, b.GroupID) })
	text := fmt.Sprintf("BEGIN; SET LOCAL lock_timeout = %d; LOCK TABLE trunkline.commit_gate IN SHARE MODE", gateWait.Milliseconds())
	for _, node := range nodes {
		conn, err := i.manager.config.GatePools.Acquire(ctx, node.Address, i.manager.config.Admin)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			continue
		}
		i.conns = append(i.conns, conn)
		if _, err := conn.Exec(ctx, text); err != nil {
			return gateError(err)
		}
	}
	return nil
}

func gateError(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "55P03" {
		return &sql.Error{
			Code: "40001", Message: "could not read all nodes at one instant",
			Detail: "A transaction that is being committed on several nodes has not come to its end.",
			Hint:   "The statement might succeed if retried.",
		}
	}
	return err
}

// Leave opens the gates, when all nodes have taken their snapshots, and tells whether they were shut all the time.
func (i *Instant) Leave() bool {
	if i.timer.Stop() {
		close(i.release)
	}
	return !i.over.Load()
}

// letGo opens the gates once they are not needed any more.
func (i *Instant) letGo() {
	<-i.release
	ctx, stop := context.WithTimeout(context.Background(), rollbackTimeout)
	defer stop()
	for _, c := range i.conns {
		c.SendQuery("COMMIT")
		c.Flush()
	}
	for _, c := range i.conns {
		c.Collect(ctx) // a connection that fails here is closed by its pool, which opens the gate as well
		i.manager.config.GatePools.Release(c)
	}
	<-i.manager.gates
}
