package session

import (
	"strconv"
	"strings"
	"time"

	"github.com/trunkline/trunkline/internal/sql"
)

// Time limits of statements and of idleness are the gateway's business: a node sees only its part of a statement, and may be idle
// while the session is at work elsewhere. lock_timeout is the nodes' business, where locks are.

// idleLimits are the limits that hold for the session as a whole. Nodes have them off, lest they end a session's connection that is idle
// while others work.
var idleLimits = []string{"idle_in_transaction_session_timeout", "idle_session_timeout"}

const statementLimit = "statement_timeout"

var (
	errStatementTimeout = &sql.Error{Code: "57014", Message: "canceling statement due to statement timeout"}
	errIdleInBlock      = &sql.Error{Code: "25P03", Message: "terminating connection due to idle-in-transaction timeout"}
	errIdle             = &sql.Error{Code: "57P05", Message: "terminating connection due to idle-session timeout"}
)

// limits are a session's time limits, 0 for none.
type limits struct {
	statement   time.Duration
	idleInBlock time.Duration
	idle        time.Duration
	clock       *time.Timer // of the statement that runs; nil while none does or it has no limit
}

// deriveLimits takes the limits from the settings.
func (t *settings) deriveLimits() {
	l := &t.session.limits
	l.statement = t.limit(statementLimit)
	l.idleInBlock = t.limit(idleLimits[0])
	l.idle = t.limit(idleLimits[1])
}

// limit gives a time limit as the next statement will find it.
func (t *settings) limit(name string) time.Duration {
	text, ok := t.value(name)
	if !ok {
		text = t.defaultLimits[name]
	}
	return milliseconds(text)
}

// milliseconds reads a time as SHOW prints it: a whole number of one unit, of milliseconds if it has none.
func milliseconds(text string) time.Duration {
	units := map[string]time.Duration{"": time.Millisecond, "ms": time.Millisecond, "s": time.Second, "min": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	digits := strings.TrimRight(text, "adhimns")
	n, err := strconv.ParseInt(digits, 10, 64)
	unit, known := units[text[len(digits):]]
	if err != nil || !known || n < 0 {
		return 0
	}
	return time.Duration(n) * unit
}

// isIdleLimit tells whether a setting is one that nodes must not have.
func isIdleLimit(name string) bool { return name == idleLimits[0] || name == idleLimits[1] }

// beginClock starts the clock of a statement that begins now, unless it is running: in the extended protocol it has been since the
// first of the statement's messages.
func (s *session) beginClock() {
	if s.limits.statement <= 0 || s.limits.clock != nil {
		return
	}
	s.mu.Lock()
	stop := s.stop // of this statement's context, so that a clock that strikes late cannot end another's
	s.mu.Unlock()
	s.limits.clock = time.AfterFunc(s.limits.statement, func() { stop(errStatementTimeout) })
}

// endClock stops the clock of the statement that has ended. The error says that it had struck.
func (s *session) endClock() error {
	clock := s.limits.clock
	s.limits.clock = nil
	if clock != nil && !clock.Stop() {
		return errStatementTimeout
	}
	return nil
}

// idleClock bounds the wait for a client that was told that the session is ready. The function stops it.
func (s *session) idleClock() (stop func()) {
	limit, reason := s.limits.idle, errIdle
	if s.tx.InBlock() {
		limit, reason = s.limits.idleInBlock, errIdleInBlock
	}
	if !s.idle || limit <= 0 {
		return func() {}
	}
	clock := time.AfterFunc(limit, func() { s.endWith(reason) })
	return func() { clock.Stop() }
}
