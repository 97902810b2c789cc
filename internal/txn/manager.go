// Package txn runs transactions over several nodes. A Tx is one client session's set of node connections: it begins on a node
// when a statement first needs it, keeps savepoints in step, and commits on all nodes or on none, by two-phase commit with one of
// the participants as the decider. A Manager is what the sessions of a gateway share, and finishes transactions that another
// gateway, or this one before it died, left half-way.
//
// The decision to commit is a row in trunkline.commit_record that the decider's own transaction inserts: that transaction's commit
// makes both its changes and the decision durable, so a commit costs no more flushes than participants. Whoever finds a prepared
// transaction with no such row inserts a tombstone of the same key, which waits for a commit still on its way and excludes a later
// one, and then rolls back.
//
// It imports backend and sql only. Read Tx first, then commit.go.
package txn

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trunkline/trunkline/internal/backend"
)

// Config is what a Manager works with.
type Config struct {
	Pools *backend.Pools
	Admin backend.Identity // may read pg_prepared_xacts, finish anyone's prepared transaction and delete from trunkline.commit_record
	// AdminPools are the connections for recovery and the search for deadlocks, which must not have to wait for those that clients
	// hold; Pools unless set.
	AdminPools *backend.Pools
	// GatePools are the connections for AtOneInstant, which must not have to wait for any others; AdminPools unless set.
	GatePools *backend.Pools
	Log       *slog.Logger

	// MinAge is how old a prepared transaction must be before recovery touches it; 10 s unless set. A commit leaves transactions
	// prepared for a few round trips. Recovery before that is safe, because its tombstone makes the live commit fail cleanly,
	// but it would fail a commit for nothing; 10 s is far beyond a healthy commit and short for someone waiting on its locks.
	MinAge time.Duration

	// AskFor is how long a commit whose decider's answer was lost tries to reach the decider again; 10 s unless set.
	AskFor time.Duration

	// DeadlockTimeout is how long a block waits before a deadlock over several nodes is looked for; 1 s unless set.
	DeadlockTimeout time.Duration

	// Deferrable tells whether there may be constraints that are checked only at commit. Such a check can wait for other transactions; all
	// are then made before a commit keeps anybody waiting. Nil for no.
	Deferrable func() bool

	// Faults, if set, is called at each named point of a commit (see Tx.Commit) for tests. An error makes the commit stop there as
	// if the gateway had died: no message more is sent, and its connections are cut.
	Faults func(point string) error
}

// Manager is the transaction manager of one gateway.
type Manager struct {
	config  Config
	gateway string
	number  atomic.Uint64

	waits   waits
	hurry   chan struct{} // wakes recovery
	mu      sync.Mutex
	live    map[string]bool // gids of commits under way here
	records map[recordHome][]string
	flushed chan struct{} // wakes the deletion of records
	gates   chan struct{} // a place for each statement that is at the gates
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// NewManager makes a manager with a gateway id of its own. Close ends it.
func NewManager(config Config) *Manager {
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.MinAge <= 0 {
		config.MinAge = 10 * time.Second
	}
	if config.AskFor <= 0 {
		config.AskFor = 10 * time.Second
	}
	if config.DeadlockTimeout <= 0 {
		config.DeadlockTimeout = time.Second
	}
	if config.AdminPools == nil {
		config.AdminPools = config.Pools
	}
	if config.GatePools == nil {
		config.GatePools = config.AdminPools
	}
	var id [8]byte
	rand.Read(id[:])
	ctx, stop := context.WithCancel(context.Background())
	m := &Manager{
		config: config, gateway: hex.EncodeToString(id[:]), live: map[string]bool{},
		records: map[recordHome][]string{}, flushed: make(chan struct{}, 1), gates: make(chan struct{}, GateReaders), hurry: make(chan struct{}, 1), stop: stop,
	}
	m.done.Go(func() { m.deleteRecords(ctx) })
	return m
}

// Close ends the manager's background work.
func (m *Manager) Close() {
	m.stop()
	m.done.Wait()
}

// New makes a session's transaction state. address tells where the primary of a group is.
func (m *Manager) New(identity backend.Identity, address func(groupID int32) (backend.Address, error)) *Tx {
	return &Tx{manager: m, identity: identity, address: address}
}

// gidPrefix begins the id of every prepared transaction of ours, whichever gateway made it.
const gidPrefix = "trunkline_"

// newGID makes the id of a distributed transaction; it names the group that decides on it.
func (m *Manager) newGID(decider int32) string {
	gid := fmt.Sprintf("%s%s_%d_%d", gidPrefix, m.gateway, m.number.Add(1), decider)
	m.keepGID(gid)
	return gid
}

// keepGID makes this gateway's recovery leave a transaction alone until forgetGID.
func (m *Manager) keepGID(gid string) {
	m.mu.Lock()
	m.live[gid] = true
	m.mu.Unlock()
}

func (m *Manager) forgetGID(gid string) {
	m.mu.Lock()
	delete(m.live, gid)
	m.mu.Unlock()
}

func (m *Manager) isLive(gid string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.live[gid]
}

// parseGID gives the deciding group of a transaction of ours.
func parseGID(gid string) (decider int32, ok bool) {
	parts := strings.Split(strings.TrimPrefix(gid, gidPrefix), "_")
	if !strings.HasPrefix(gid, gidPrefix) || len(parts) != 3 {
		return 0, false
	}
	n, err := strconv.ParseInt(parts[2], 10, 32)
	return int32(n), err == nil
}
