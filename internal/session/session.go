package session

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/txn"
	"github.com/trunkline/trunkline/internal/wire"
)

// session is one client. All of it belongs to the client's goroutine, except what mu guards.
type session struct {
	server *Server
	client *wire.Conn
	pid    uint32
	secret [4]byte
	tx     *txn.Tx
	env    exec.Env

	settings settings
	catalog  catalogView
	reported map[string]string // the ParameterStatus values that the client knows
	changed  map[string]string // those that it is to be told before it is told that the session is ready

	statements map[string]*prepared
	portals    map[string]*portal
	unnamed    *prepared
	cursors    map[string]*cursor
	executions uint64        // counts the Execute messages that ran a portal
	skipping   bool          // after an error in the extended protocol, until Sync
	ahead      *wire.Message // received already, to be handled next
	simple     bool          // the client's message at hand is a Query
	idle       bool          // the client was told that the session is ready, and has sent nothing since
	limits     limits
	repeats    bool // the statement at hand is run again should it lose its instant
	lost       int  // how often it has
	fixed      bool // the open block has taken its snapshots, see fixInstant
	listens    bool // LISTEN was run
	prompt     bool // notices go to the client at once: a function of the gateway's runs, for long perhaps

	scanned sql.Scanned
	key     []byte
	rows    rowSink

	rounds atomic.Uint64 // counts the beginnings and ends of messages' handling: odd while one is being handled
	seen   uint64        // rounds when watchClients last looked, which alone uses it

	over    chan struct{} // closed when the session has ended
	started time.Time
	status  atomic.Uint32 // of the transaction, as the client was last told

	mu          sync.Mutex
	query       string // the client's last statement, or its beginning
	queryStart  time.Time
	application string
	ending      *sql.Error      // why the session is to end; nil while it is not
	context     context.Context // of the statements that run now; a cancel request ends it
	stop        context.CancelCauseFunc
}

var errDeadlock = &sql.Error{
	Code: "40P01", Message: "deadlock detected",
	Detail: "The transaction and others wait for each other on several nodes.", Hint: "The transaction might succeed if retried.",
}

var errCancelled = &sql.Error{Code: "57014", Message: "canceling statement due to user request"}

// welcome logs in to the coordinator as the client and tells the client what a server tells.
func (s *session) welcome(ctx context.Context) error {
	startup := &s.client.Startup
	identity := backend.Identity{User: startup.User, Database: startup.Database, ClientKey: startup.ClientKey, ServerKey: startup.ServerKey}
	if identity.User == s.server.admin.User && identity.ClientKey == nil {
		identity.Password = s.server.admin.Password
	}
	s.tx = s.server.manager.New(identity, s.server.address)
	s.tx.OnAsync(s.async)
	s.tx.OnNotice(func(e *sql.Error) { s.client.SendNotice(e, wire.SeverityWarning) })
	s.tx.OnDeadlock(func() { s.interrupt(errDeadlock) })
	s.statements, s.portals = map[string]*prepared{}, map[string]*portal{}
	s.rows.session = s
	s.catalog.foreign = identity.Database != s.server.admin.Database
	s.env = exec.Env{Tx: s.tx, Hashes: s.server.hashes, Holders: s.server.holders, Sequences: s.server.sequences, Settle: s.server.settle, Call: s.call, Facts: s.facts}
	s.renew(ctx)
	if err := s.settings.start(s, startup.Settings); err != nil {
		return err
	}
	conn, release, err := s.tx.Borrow(s.context, catalog.CoordinatorGroup)
	if err != nil {
		return err
	}
	defer release()
	s.reported = map[string]string{}
	for name, value := range conn.Parameters() {
		s.reported[name] = value
		s.client.SendParameterStatus(name, value)
	}
	s.settings.derive()
	s.status.Store('I')
	s.client.Send(&pgproto3.BackendKeyData{ProcessID: s.pid, SecretKey: s.secret[:]})
	s.client.SendReadyForQuery('I')
	s.idle = true
	return s.client.Flush()
}

// renew makes the context of the statements to come.
func (s *session) renew(parent context.Context) {
	s.mu.Lock()
	s.context, s.stop = context.WithCancelCause(parent)
	s.context = backend.Watched(s.context)
	s.mu.Unlock()
}

// cancel ends the statement that runs now. It may be called from any goroutine.
func (s *session) cancel() { s.interrupt(errCancelled) }

// interrupt ends the statement that runs now with an error.
func (s *session) interrupt(err error) {
	s.mu.Lock()
	stop := s.stop
	s.mu.Unlock()
	if stop != nil {
		stop(err)
	}
}

// terminate ends the session as an administrator does. It may be called from any goroutine.
func (s *session) terminate() { s.endWith(errShutdown) }

// endWith ends the session and has its client told why. It may be called from any goroutine.
func (s *session) endWith(reason *sql.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending == nil {
		s.ending = reason
	}
	s.client.SetReadDeadline(time.Unix(1, 0))
	if s.stop != nil {
		s.stop(reason)
	}
}

func (s *session) terminating() bool { return s.reason() != nil }

// reason gives why the session is to end, nil if it is not.
func (s *session) reason() *sql.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending
}

// run serves the client until it leaves.
func (s *session) run(ctx context.Context) {
	defer func() {
		s.client.Flush()
	}()
	for {
		m, err := s.receive()
		if err != nil {
			s.farewell(err)
			return
		}
		if m.Type == 'X' {
			return
		}
		if s.context.Err() != nil && ctx.Err() == nil {
			// A cancel request that came while nothing ran, or has done its work; or the clock struck between two messages of one statement.
			struck := s.endClock()
			s.renew(ctx)
			if struck != nil {
				s.extended(struck)
			}
		}
		s.idle = false
		s.rounds.Add(1)
		err = s.handle(s.context, m)
		s.rounds.Add(1)
		if err != nil {
			s.farewell(err)
			return
		}
		if p := s.tx.Pinned(); p != nil && p.Err() != nil && !s.tx.InBlock() {
			s.farewell(errStateLost)
			return
		}
	}
}

// errStateLost ends a session that had state on the coordinator: to go on without its temporary tables, prepared statements and
// advisory locks could be wrong.
var errStateLost = &sql.Error{Code: "57P02", Message: "terminating connection because the session's connection to the coordinator was lost"}

// receive gives the client's next message. Answers are flushed before it waits.
func (s *session) receive() (wire.Message, error) {
	if m := s.ahead; m != nil {
		s.ahead = nil
		return *m, nil
	}
	if s.client.Buffered() == 0 {
		if err := s.client.Flush(); err != nil {
			return wire.Message{}, err
		}
		defer s.idleClock()()
		if s.listening() {
			if err := s.awaitClient(); err != nil {
				return wire.Message{}, err
			}
		}
	}
	return s.client.Receive()
}

// farewell tells the client why its session ends, if it can still be told.
func (s *session) farewell(err error) {
	var own *sql.Error
	switch reason := s.reason(); {
	case reason != nil:
		s.client.SendError(reason, wire.SeverityFatal)
	case errors.As(err, &own):
		s.client.SendError(own, wire.SeverityFatal)
	case err == io.EOF:
	default:
		s.server.log.Debug("a client was lost", "client", s.client.RemoteAddr().String(), "error", err)
	}
}

// handle carries out one message. An error ends the session; errors of statements have been sent to the client instead.
func (s *session) handle(ctx context.Context, m wire.Message) error {
	if s.skipping && m.Type != 'S' {
		return nil
	}
	switch m.Type {
	case 'Q':
		text, err := cstring(m.Body())
		if err != nil {
			return err
		}
		s.simple = true
		err = s.simpleQuery(ctx, text)
		s.simple = false
		return err
	case 'P':
		s.beginClock()
		return s.extended(s.parse(ctx, m.Body()))
	case 'B':
		s.beginClock()
		return s.extended(s.bind(ctx, m.Body()))
	case 'D':
		s.beginClock()
		return s.extended(s.describe(ctx, m.Body()))
	case 'E':
		s.beginClock()
		err := s.execute(ctx, m.Body())
		s.endClock()
		return s.extended(err)
	case 'C':
		return s.extended(s.closeMessage(m.Body()))
	case 'S':
		s.endClock()
		return s.sync(ctx)
	case 'H':
		return s.client.Flush()
	case 'F':
		return s.functionCall(ctx, m)
	case 'd', 'c', 'f':
		return nil // left over from a COPY that failed
	}
	return sql.Errorf("08P01", "invalid frontend message type %d", m.Type)
}

// cstring is the text of a message that is one null-terminated string. It is a copy: the message's buffer is used again.
func cstring(body []byte) (string, error) {
	if len(body) == 0 || body[len(body)-1] != 0 {
		return "", sql.Errorf("08P01", "invalid string in message")
	}
	return string(body[:len(body)-1]), nil
}

// ready ends a round: everything is over that does not outlive it, and the client may go on. Before that, what the session has
// changed of the definitions is made known to the gateway's other sessions: a client that was told of a distributed table may
// fill it over another connection at once, and its rows must not land in the empty shell.
func (s *session) ready(ctx context.Context) error {
	if s.catalog.stale && !s.tx.InBlock() {
		if _, err := s.snapshot(ctx); err != nil {
			s.server.log.Warn("reading the catalog after a change of definitions", "error", err)
		}
	}
	s.reportParameters()
	status := s.tx.Status()
	s.status.Store(uint32(status))
	s.idle = true
	return s.client.SendReadyForQuery(status)
}

// report tells the client of a statement's error, and makes the open block a failed one.
func (s *session) report(err error) {
	if exec.IsStale(err) {
		err = s.outdated(err)
	}
	s.tx.Fail()
	switch cause := context.Cause(s.context); cause {
	case errCancelled, errDeadlock, errStatementTimeout:
		var own *sql.Error
		if !errors.As(err, &own) || own.Code != "08007" { // that the outcome is unknown must be said
			err = cause // whatever was interrupted, say connecting to a node
		}
	}
	s.client.SendError(userNames(err, s.server.watcher.Current()), "")
}

// outdated gives the error of a statement that was planned for tables as they are no more and could not be planned again, because a
// block was open or rows were out: the client may try the whole again. If the tables are as they were when it was planned, the
// statement itself is at fault (a function of the user's reads a shell).
func (s *session) outdated(err error) error {
	if table := exec.WrittenByFunction(err); table != "" {
		return sql.Unsupported("functions and procedures cannot write to distributed tables",
			"The function would run on the coordinator, where "+table+" has no rows.", "Run the function's statements from the client.")
	}
	used := s.env.Snapshot
	s.definitionsChanged()
	now, failure := s.server.watcher.Refresh(s.context)
	if failure != nil || used == nil || now.SameAs(used) {
		return err
	}
	return concurrentChange(err.Error())
}

// async passes on what nodes send by themselves.
func (s *session) async(group int32, m backend.Message) {
	switch m.Type {
	case 'N':
		s.client.Write(m.Raw)
		if s.prompt {
			s.client.Flush()
		}
	case 'A':
		if group == catalog.CoordinatorGroup {
			s.notified(m)
		}
	case 'S':
		var status pgproto3.ParameterStatus
		if group == catalog.CoordinatorGroup && status.Decode(m.Body()) == nil {
			s.noteParameter(status.Name, status.Value)
		}
	}
}

// notified passes a notification on. One that the session has sent itself comes from the process id that it knows as its own.
func (s *session) notified(m backend.Message) {
	if own := s.tx.Pinned(); own != nil && binary.BigEndian.Uint32(m.Body()) == own.PID() {
		binary.BigEndian.PutUint32(m.Body(), s.pid)
	}
	s.client.Write(m.Raw)
}

// noteParameter takes down a setting that the client is to be told of. Like a server, a session tells so at the end of a round, and
// then only of what differs from what the client knows.
func (s *session) noteParameter(name, value string) {
	if s.reported == nil {
		return // welcome tells of all
	}
	if s.changed == nil {
		s.changed = map[string]string{}
	}
	s.changed[name] = value
}

// reportParameters tells the client of the settings that have changed, in the order of their names.
func (s *session) reportParameters() {
	if len(s.changed) == 0 {
		return
	}
	names := slices.SortedFunc(maps.Keys(s.changed), func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	for _, name := range names {
		if value := s.changed[name]; s.reported[name] != value {
			s.reported[name] = value
			s.client.SendParameterStatus(name, value)
		}
	}
	clear(s.changed)
}

func (s *session) close() {
	for _, p := range s.portals {
		p.close()
	}
	for _, c := range s.cursors {
		c.close()
	}
	if s.tx != nil {
		s.tx.Close()
	}
	if s.stop != nil {
		s.stop(nil)
	}
}
