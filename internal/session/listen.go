package session

import (
	"context"
	"errors"
	"time"

	"github.com/trunkline/trunkline/internal/backend"
)

// listenPoll is how often a session that listens for notifications looks for them while its client is idle.
const listenPoll = 100 * time.Millisecond

// noteListen keeps track of LISTEN and UNLISTEN.
func (s *session) noteListen(e *entry) {
	if e.stmt.Tree.GetListenStmt() != nil {
		s.listens = true
	} else if e.stmt.Tree.GetUnlistenStmt().GetConditionname() == "" {
		s.listens = false
	}
}

// listening tells whether notifications may arrive while the client is idle.
func (s *session) listening() bool {
	return s.listens && s.tx.Pinned() != nil && !s.tx.InBlock()
}

// awaitClient waits until the client sends something, and passes notifications on meanwhile.
func (s *session) awaitClient() error {
	conn := s.tx.Pinned()
	for {
		s.client.SetReadDeadline(time.Now().Add(listenPoll))
		err := s.client.Peek()
		if s.terminating() {
			s.client.SetReadDeadline(time.Unix(1, 0))
			return errShutdown
		}
		s.client.SetReadDeadline(time.Time{})
		var timeout interface{ Timeout() bool }
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &timeout) || !timeout.Timeout():
			return err
		}
		if err := s.pollNotifications(conn); err != nil {
			return err
		}
	}
}

// pollNotifications passes on what has arrived at the session's own connection. A cancel request, which ends the session's context until
// the client's next message, does not concern it.
func (s *session) pollNotifications(conn *backend.Conn) error {
	for conn.Readable() {
		ctx, stop := context.WithTimeout(context.WithoutCancel(s.context), time.Second)
		err := conn.Wait(ctx)
		stop()
		if conn.Err() != nil {
			return err
		}
		if err != nil {
			break // the rest of a message has yet to come
		}
	}
	return s.client.Flush()
}
