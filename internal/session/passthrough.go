package session

import (
	"context"
	"io"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/wire"
)

// passThrough has the coordinator run the client's text as it is, by the simple protocol, and passes its answer on as it is.
func (s *session) passThrough(ctx context.Context, e *entry, text string) error {
	conn, release, err := s.coordinatorFor(ctx, e)
	if err != nil {
		return err
	}
	defer release()
	mark := s.client.Mark()
	conn.SendQuery(text)
	confirm := s.toConfirm(e)
	if !confirm {
		if err := s.relay(ctx, conn); err != nil {
			return err
		}
		return s.after(ctx, e, text)
	}
	s.ask(conn)
	tag, err := s.relayHolding(ctx, conn, true)
	if err != nil {
		if conn.Err() == nil && s.client.Err() == nil {
			conn.Collect(ctx) // which means nothing after an error
		}
		return err
	}
	if err := s.confirm(ctx, conn, e, text, func() bool { return s.client.Rewind(mark) }); err != nil {
		return err
	}
	if err := s.client.SendCommandComplete(tag); err != nil {
		return err
	}
	return s.after(ctx, e, text)
}

// needsDatabaseAlone gives the database to which nobody may be connected for a statement to run.
func needsDatabaseAlone(stmt sql.Statement) string {
	switch n := stmt.Tree; {
	case n.GetDropdbStmt() != nil:
		return n.GetDropdbStmt().Dbname
	case n.GetRenameStmt().GetRenameType().String() == "OBJECT_DATABASE":
		return n.GetRenameStmt().Subname
	case n.GetCreatedbStmt() != nil:
		for _, option := range n.GetCreatedbStmt().Options {
			if d := option.GetDefElem(); d.GetDefname() == "template" {
				return d.GetArg().GetString_().GetSval()
			}
		}
	}
	return ""
}

// coordinatorFor lends the connection on which a statement is to pass through: the session's own if it leaves state behind.
func (s *session) coordinatorFor(ctx context.Context, e *entry) (*backend.Conn, func(), error) {
	if database := needsDatabaseAlone(e.stmt); database != "" {
		s.server.pools.CloseIdleTo(database)
	}
	s.settleBefore(ctx, e)
	if len(e.plan.Facts) > 0 {
		if err := s.facts(ctx, e.plan.Facts); err != nil {
			return nil, nil, err
		}
	}
	if e.plan.Writes && s.toConfirm(e) {
		s.beginImplicit() // so that what was written can be undone
	}
	if e.plan.Sticky || e.kind == kindListen {
		if _, err := s.tx.Pin(ctx); err != nil {
			return nil, nil, err
		}
	}
	conn, release, err := s.tx.Borrow(ctx, catalog.CoordinatorGroup)
	if err == nil && s.tx.InBlock() && (e.plan.Writes || e.kind >= kindNeutral || e.kind == kindCopy) {
		s.tx.MarkWrite(catalog.CoordinatorGroup)
	}
	return conn, release, err
}

// relay passes the answer of the coordinator on, up to ReadyForQuery, which is left out. It carries a COPY both ways.
func (s *session) relay(ctx context.Context, conn *backend.Conn) error {
	_, err := s.relayHolding(ctx, conn, false)
	return err
}

// relayHolding is relay that can hold the command tag back.
func (s *session) relayHolding(ctx context.Context, conn *backend.Conn, hold bool) (tag string, err error) {
	var failure, copying error
	for {
		copyIn := false
		err := conn.Relay(ctx, s.client, func(m backend.Message) backend.Verdict {
			switch m.Type {
			case 'Z':
				return backend.Drop
			case 'C':
				if hold {
					tag = string(m.Body()[:max(len(m.Body())-1, 0)])
					return backend.Drop
				}
			case 'E':
				failure = backend.DecodeError(m)
				return backend.Drop
			case 'G':
				copyIn = true
				s.client.Write(m.Raw)
				return backend.Stop
			}
			return backend.Forward
		})
		if err != nil {
			return "", err
		}
		if !copyIn {
			break
		}
		if copying = s.copyIn(ctx, conn); copying != nil {
			return "", copying
		}
	}
	return tag, failure
}

// copyIn sends the client's COPY data on to a node, which has asked for it.
func (s *session) copyIn(ctx context.Context, conn *backend.Conn) error {
	if err := s.client.Flush(); err != nil {
		return err
	}
	for {
		m, err := s.client.Receive()
		if err != nil {
			conn.Abandon()
			return err
		}
		switch m.Type {
		case 'd', 'c', 'f':
			conn.SendRaw(m.Raw)
			if err := conn.Flush(); err != nil {
				return err
			}
			if m.Type != 'd' {
				return nil
			}
		case 'H', 'S':
		default:
			conn.SendRaw([]byte{'f', 0, 0, 0, 5, 0})
			return sql.Errorf("08P01", "unexpected message type 0x%02X during COPY from stdin", m.Type)
		}
	}
}

// after is what a statement that ran on the coordinator means for the session.
func (s *session) after(ctx context.Context, e *entry, text string) error {
	switch {
	case e.kind == kindDefinition:
		s.definitionsChanged()
		s.catalog.tempsStale = s.catalog.tempsStale || s.tx.Pinned() != nil
	case e.plan.Sticky:
		s.catalog.tempsStale = true
	}
	if e.kind == kindListen {
		s.noteListen(e)
	}
	if e.kind == kindQuery && strings.Contains(strings.ToLower(e.text), "set_config") {
		return s.setConfigCalled(ctx, text)
	}
	return nil
}

// copyClient is the client's side of a COPY that exec carries out.
type copyClient struct{ session *session }

func (c copyClient) Write(b []byte) (int, error) { return c.session.client.Write(b) }

// CopyInResponse asks the client for its data.
func (c copyClient) CopyInResponse(raw []byte) error {
	if _, err := c.session.client.Write(raw); err != nil {
		return err
	}
	return c.session.client.Flush()
}

// CopyData gives the content of the client's next CopyData message.
func (c copyClient) CopyData(ctx context.Context) ([]byte, error) {
	for {
		m, err := c.session.client.Receive()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF // the client is gone; the end of its data is another matter
		}
		if err != nil {
			return nil, err
		}
		switch m.Type {
		case 'd':
			return m.Body(), nil
		case 'c':
			return nil, io.EOF
		case 'f':
			message, _ := cstring(m.Body())
			return nil, &exec.CopyFailed{Message: message}
		case 'H', 'S':
		default:
			return nil, sql.Errorf("08P01", "unexpected message type 0x%02X during COPY from stdin", m.Type)
		}
	}
}

// functionCall passes a FunctionCall message through to the coordinator.
func (s *session) functionCall(ctx context.Context, m wire.Message) error {
	run := func() error {
		if s.tx.Status() == 'E' {
			return errAborted
		}
		conn, release, err := s.tx.Borrow(ctx, catalog.CoordinatorGroup)
		if err != nil {
			return err
		}
		defer release()
		conn.SendRaw(m.Raw)
		return s.relay(ctx, conn)
	}
	s.beginClock()
	err := run()
	s.endClock()
	if err != nil {
		if s.gone(err) {
			return err
		}
		s.report(err)
	}
	return s.ready(ctx)
}
