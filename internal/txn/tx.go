package txn

import (
	"cmp"
	"context"
	"strings"
	"sync"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

// coordinator is the group id of the coordinator.
const coordinator int32 = 0

// Tx is one client session's transaction state and its connections to nodes. Outside a transaction block it lends pooled
// connections; inside one it has exactly one connection per node it touched. It belongs to one session and is used by one
// goroutine at a time, except that Conn, Borrow and MarkWrite may be called by the tasks of one statement side by side.
type Tx struct {
	manager    *Manager
	identity   backend.Identity
	address    func(groupID int32) (backend.Address, error)
	located    map[int32]backend.Address // what Locate told
	onAsync    func(groupID int32, m backend.Message)
	onNotice   func(*sql.Error)
	onDeadlock func()

	mu            sync.Mutex
	settings      *backend.Settings
	pinned        *backend.Conn // the session's own connection to the coordinator
	begin         string        // the text that begins the block on each node; "" outside a block
	implicit      bool
	implicitBegin string // begin of an implicit block; "" for a plain BEGIN
	failed        bool   // the gateway itself refused a statement of the block
	participants  []*participant
	writes        []int32 // groups that were written to
	log           []entry // what a node that joins must be told after BEGIN
	entries       int     // id of the last entry
	statement     int     // number of the block's current statement, see BeginStatement
	guarding      bool    // nodes set a savepoint before it
}

// participant is a node that has joined the transaction block.
type participant struct {
	group int32
	conn  *backend.Conn
	begun bool  // it has been seen inside the block
	last  int   // id of the last entry it has been told
	open  []int // ids of the savepoints that are open on it

	joined  int  // the statement with which it joined
	used    int  // the last statement that used it
	wrote   int  // the last statement that wrote to it
	guarded bool // the savepoint before the statement it was last used by is open
}

// entry is a savepoint, or a statement that holds for the rest of the block (SET LOCAL, SET TRANSACTION, SET CONSTRAINTS).
type entry struct {
	id        int
	savepoint bool
	text      string // a savepoint's name, or the statement
}

// OnAsync sets who is given the notices, notifications and parameter changes that nodes send.
func (t *Tx) OnAsync(f func(groupID int32, m backend.Message)) { t.onAsync = f }

// OnNotice sets who is given the transaction manager's own warnings.
func (t *Tx) OnNotice(f func(*sql.Error)) { t.onNotice = f }

// OnDeadlock sets who ends the running statement, with SQLSTATE 40P01, when the block is chosen to end a deadlock. It is called from
// another goroutine.
func (t *Tx) OnDeadlock(f func()) { t.onDeadlock = f }

// SetSettings sets the session settings that every connection handed out from now on will have.
func (t *Tx) SetSettings(s *backend.Settings) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settings = s
}

// Settings are the session settings as last set.
func (t *Tx) Settings() *backend.Settings {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.settings
}

// Identity is as whom this session logs in to nodes.
func (t *Tx) Identity() backend.Identity { return t.identity }

// InBlock tells whether a transaction block is open, explicit or implicit.
func (t *Tx) InBlock() bool { return t.begin != "" }

// Implicit tells whether the open block is one that the client did not ask for.
func (t *Tx) Implicit() bool { return t.begin != "" && t.implicit }

// Status is the transaction status as ReadyForQuery carries it: 'I' outside a block, 'T' inside, 'E' inside a failed one.
func (t *Tx) Status() byte {
	if t.begin == "" {
		return 'I'
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status()
}

func (t *Tx) status() byte {
	if t.failed {
		return 'E'
	}
	for _, p := range t.participants {
		if p.conn.TxStatus() == 'E' || p.conn.Err() != nil || p.lost() {
			return 'E'
		}
	}
	return 'T'
}

// lost tells whether the node is not in the block although everything sent to it has been answered.
func (p *participant) lost() bool {
	return p.conn.Err() == nil && p.conn.Idle() && p.conn.TxStatus() == 'I'
}

// Fail marks the open block as failed, for an error that no node reported.
func (t *Tx) Fail() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = t.begin != ""
}

// Begin opens an explicit transaction block, or makes an implicit one explicit. text is the statement that opens it on each node,
// with its options: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY". Nothing is sent until a statement needs a node.
func (t *Tx) Begin(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.begin == "" {
		t.begin = text
	} else if t.implicit && !strings.EqualFold(text, "BEGIN") {
		t.note(entry{text: setTransaction(text)})
	}
	t.implicit = false
}

// SetImplicitBegin gives the BEGIN of the blocks that the client does not ask for: with the session's defaults, which a node may learn
// of only after its BEGIN.
func (t *Tx) SetImplicitBegin(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.implicitBegin = text
}

// BeginImplicit opens a block that the client did not ask for.
func (t *Tx) BeginImplicit() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.begin == "" {
		t.begin, t.implicit = cmp.Or(t.implicitBegin, "BEGIN"), true
	}
}

// characteristics are the statements of the open block that changed what kind of transaction it is.
func (t *Tx) characteristics() (texts []string) {
	for _, e := range t.log {
		if text := strings.ToUpper(e.text); !e.savepoint && strings.Contains(text, "TRANSACTION") && !strings.Contains(text, "SNAPSHOT") {
			texts = append(texts, e.text)
		}
	}
	return texts
}

// KeepsSnapshot tells whether the open block goes on seeing what was committed when it began.
func (t *Tx) KeepsSnapshot() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, text := range append(t.characteristics(), t.begin) {
		if text = strings.ToUpper(text); strings.Contains(text, "REPEATABLE") || strings.Contains(text, "SERIALIZABLE") {
			return true
		}
	}
	return false
}

// Successor gives a function that begins another block of the same kind as the open one, once that has ended: COMMIT AND CHAIN.
func (t *Tx) Successor() func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	begin, texts := t.begin, t.characteristics()
	return func() {
		t.Begin(begin)
		for _, text := range texts {
			t.Replay(text)
		}
	}
}

// setTransaction turns BEGIN with options into a SET TRANSACTION with the same.
func setTransaction(begin string) string {
	words := strings.Fields(begin)
	for len(words) > 0 {
		switch strings.ToUpper(words[0]) {
		case "BEGIN", "START", "TRANSACTION", "WORK":
			words = words[1:]
			continue
		}
		break
	}
	if len(words) == 0 {
		return "SET CONSTRAINTS ALL DEFERRED" // never reached with text that has options
	}
	return "SET TRANSACTION " + strings.Join(words, " ")
}

var errAborted = &sql.Error{Code: "25P02", Message: "current transaction is aborted, commands ignored until end of transaction block"}

// Conn gives the transaction's connection to a node, which joins the block if it has not yet: BEGIN, settings and savepoints
// travel ahead of the caller's first message. Settings that changed since are brought along too.
func (t *Tx) Conn(ctx context.Context, groupID int32) (*backend.Conn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.begin == "" {
		return nil, sql.Errorf("25P01", "there is no transaction in progress")
	}
	if t.status() == 'E' {
		return nil, errAborted
	}
	p := t.participant(groupID)
	if p == nil {
		conn, err := t.acquire(ctx, groupID)
		if err != nil {
			t.failed = true
			return nil, err
		}
		p = &participant{group: groupID, conn: conn, joined: t.statement}
		t.participants = append(t.participants, p)
		t.manager.enlist(t, groupID, conn)
		if err := conn.ApplyBeforeBegin(ctx, t.settings); err != nil {
			return nil, err
		}
		conn.Prefix(t.begin)
	}
	p.begun = p.begun || p.conn.TxStatus() == 'T'
	if err := p.conn.Apply(ctx, t.settings, true); err != nil {
		return nil, err
	}
	t.releaseGuard(p)
	t.catchUp(p)
	t.guard(p)
	return p.conn, nil
}

// Borrow lends a connection to a node for one task: a pooled one outside a block, which the returned function gives back; inside
// one, the same as Conn. The session's own connection to the coordinator, once there is one, serves all tasks there.
func (t *Tx) Borrow(ctx context.Context, groupID int32) (*backend.Conn, func(), error) {
	if t.begin != "" {
		conn, err := t.Conn(ctx, groupID)
		return conn, nothing, err
	}
	conn, err := t.acquire(ctx, groupID)
	if err != nil {
		return nil, nil, err
	}
	release := nothing
	if conn != t.pinned {
		release = func() { t.manager.config.Pools.Release(conn) }
	}
	if err := conn.Apply(ctx, t.Settings(), false); err != nil {
		release()
		return nil, nil, err
	}
	return conn, release, nil
}

// Outside lends a pooled connection to a node that is no part of the open block. The session must have no connection of its own there.
func (t *Tx) Outside(ctx context.Context, groupID int32) (*backend.Conn, func(), error) {
	conn, err := t.acquire(ctx, groupID)
	if err != nil {
		return nil, nil, err
	}
	release := func() { t.manager.config.Pools.Release(conn) }
	if err := conn.Apply(ctx, t.Settings(), false); err != nil {
		release()
		return nil, nil, err
	}
	return conn, release, nil
}

func nothing() {}

// acquire takes a connection from the pool, or the session's own.
func (t *Tx) acquire(ctx context.Context, groupID int32) (*backend.Conn, error) {
	if groupID == coordinator && t.pinned != nil {
		return t.pinned, t.pinned.Err()
	}
	address, err := t.address(groupID)
	if err != nil {
		return nil, err
	}
	conn, err := t.manager.config.Pools.Acquire(ctx, address, t.identity)
	if err != nil {
		return nil, err
	}
	if t.onAsync != nil {
		conn.OnAsync = func(m backend.Message) { t.onAsync(groupID, m) }
	}
	return conn, nil
}

// Pin makes the session keep one connection to the coordinator until Unpin or Close, because session state will live on it
// (temporary tables, LISTEN, SQL-level prepared statements, advisory locks, currval, …). Inside a block it is the block's own.
func (t *Tx) Pin(ctx context.Context) (*backend.Conn, error) {
	if t.pinned == nil {
		if t.begin != "" {
			conn, err := t.Conn(ctx, coordinator)
			if err != nil {
				return nil, err
			}
			t.pinned = conn
		} else {
			conn, err := t.acquire(ctx, coordinator)
			if err != nil {
				return nil, err
			}
			t.pinned = conn
		}
		t.pinned.MarkDirty()
		if _, err := t.pinned.Exec(ctx, "DISCARD SEQUENCES"); err != nil { // what others drew on it is not this session's
			return nil, err
		}
	}
	if t.begin != "" {
		return t.Conn(ctx, coordinator)
	}
	return t.pinned, t.pinned.Apply(ctx, t.Settings(), false)
}

// Pinned is the session's own connection to the coordinator, nil if it has none.
func (t *Tx) Pinned() *backend.Conn { return t.pinned }

// Unpin gives the session's own connection up, after DISCARD ALL. Inside a block it does nothing.
func (t *Tx) Unpin() {
	if t.pinned != nil && t.begin == "" {
		t.manager.config.Pools.Release(t.pinned)
		t.pinned = nil
	}
}

// Close ends the session: an open block is rolled back, the session's state is discarded.
func (t *Tx) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end()
	if t.pinned != nil {
		t.manager.config.Pools.Release(t.pinned)
		t.pinned = nil
	}
}

// MarkWrite says that the block has written to a node, or is about to.
func (t *Tx) MarkWrite(groupID int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.participant(groupID); p != nil {
		p.wrote = t.statement
	}
	if t.begin != "" && !t.wrote(groupID) {
		t.writes = append(t.writes, groupID)
	}
}

func (t *Tx) wrote(groupID int32) bool {
	for _, g := range t.writes {
		if g == groupID {
			return true
		}
	}
	return false
}

// Participants are the groups whose nodes have joined the open block.
func (t *Tx) Participants() []int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	groups := make([]int32, len(t.participants))
	for i, p := range t.participants {
		groups[i] = p.group
	}
	return groups
}

// Joined tells whether a node has joined the open block.
func (t *Tx) Joined(groupID int32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.participant(groupID) != nil
}

func (t *Tx) participant(groupID int32) *participant {
	for _, p := range t.participants {
		if p.group == groupID {
			return p
		}
	}
	return nil
}

// end forgets the block and gives its connections back. The pools close those that are not idle.
func (t *Tx) end() {
	if len(t.participants) > 0 {
		t.manager.withdraw(t, nil)
	}
	for _, p := range t.participants {
		if p.conn != t.pinned {
			t.manager.config.Pools.Release(p.conn)
		}
	}
	t.begin, t.implicit, t.failed = "", false, false
	t.participants, t.writes, t.log = nil, nil, nil
}

// RunAtomically runs a statement that touches several nodes so that it happens on all or on none: inside the open block, which
// fails if fn does, or in a block of its own.
func (t *Tx) RunAtomically(ctx context.Context, fn func() error) error {
	if t.begin != "" {
		err := fn()
		if err != nil {
			t.Fail()
		}
		return err
	}
	t.BeginImplicit()
	if err := fn(); err != nil {
		t.Rollback(ctx)
		return err
	}
	_, err := t.Commit(ctx)
	return err
}
