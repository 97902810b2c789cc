package move

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

// stream reads the changes of the source's tables from a temporary replication slot, which goes when its connection ends
// (PostgreSQL manual, sections 55.4 and 55.9).
type stream struct {
	conn     *backend.Conn
	snapshot string // exported when the slot was made: the changes are those since
	applied  atomic.Uint64
	progress *progress

	events chan event
	failed error // why events was closed
	end    context.CancelFunc
}

// event is a piece of the stream.
type event struct {
	kind eventKind
	rel  *relation
	old  []value // of an update or delete: the key, or with replica identity full the whole row; nil if it has not changed
	new  []value
	mark string // of a mark: its text
	lsn  uint64
}

type eventKind byte

const (
	inserted eventKind = iota
	updated
	deleted
	committed
	marked
)

// streamParameters make values' text lossless, as logical replication itself does, and take time limits away.
var streamParameters = map[string]string{
	"replication": "database",
	"options": "-c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=3 -c bytea_output=hex -c timezone=UTC -c statement_timeout=0 " +
		"-c idle_in_transaction_session_timeout=0 -c idle_session_timeout=0",
}

// openStream makes the slot. It exists from the moment on at which every transaction that was then writing has ended.
func openStream(ctx context.Context, o *operation, source *backend.Conn) (*stream, error) {
	conn, err := o.connect(ctx, o.nodes[o.Source], streamParameters)
	if err != nil {
		return nil, err
	}
	stop := o.explain(ctx, source, `SELECT 'transaction of process ' || pid || ' on the source, which began ' || pg_catalog.date_trunc('second', xact_start)
		FROM pg_catalog.pg_stat_activity WHERE backend_xid IS NOT NULL AND xact_start < pg_catalog.clock_timestamp() - interval '1 second' ORDER BY xact_start LIMIT 1`)
	defer stop()
	rows, err := query(ctx, conn, "CREATE_REPLICATION_SLOT %s TEMPORARY LOGICAL pgoutput (SNAPSHOT 'export')", o.publication())
	if err != nil {
		return nil, err
	}
	return &stream{conn: conn, snapshot: string(rows[0][2]), progress: o.progress, events: make(chan event, 1024)}, nil
}

// start has the source send, and reads in the background.
func (s *stream) start(ctx context.Context, publication string) error {
	s.conn.SendQuery("START_REPLICATION SLOT " + publication + " LOGICAL 0/0 (proto_version '1', publication_names " + sql.QuoteLiteral(publication) + ", messages 'true')")
	m, err := s.conn.Receive(ctx)
	if err != nil {
		return err
	}
	if m.Type == 'E' {
		return backend.DecodeError(m)
	}
	var reading context.Context
	reading, s.end = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		s.failed = s.read(reading, publication)
		close(s.events)
	}()
	return nil
}

// read reads until the connection or ctx ends. Marks of other operations come too, from all that have the same source.
func (s *stream) read(ctx context.Context, marks string) error {
	decoder := decoder{relations: map[uint32]*relation{}, marks: marks}
	for {
		m, err := s.conn.Receive(ctx)
		if err != nil {
			return err
		}
		switch m.Type {
		case 'E':
			return backend.DecodeError(m)
		case 'd':
		default:
			continue
		}
		body := m.Body()
		if len(body) == 0 {
			return errMalformed
		}
		switch body[0] {
		case 'k': // keepalive: the end of the WAL, the time, and whether an answer is wanted
			if len(body) < 18 {
				return errMalformed
			}
			s.progress.sourceLSN.Store(binary.BigEndian.Uint64(body[1:]))
			if body[17] != 0 {
				if err := s.answer(); err != nil {
					return err
				}
			}
		case 'w': // WAL data: its start, the end of the WAL, the time, then the message
			if len(body) < 26 {
				return errMalformed
			}
			s.progress.sourceLSN.Store(binary.BigEndian.Uint64(body[9:]))
			e, ok, err := decoder.decode(body[25:])
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			select {
			case s.events <- e:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

// epoch is where PostgreSQL's time begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// answer tells the source how far the changes have been applied, so that it need not keep more.
func (s *stream) answer() error {
	status := []byte{'r'}
	for range 3 { // written, flushed, applied
		status = binary.BigEndian.AppendUint64(status, s.applied.Load())
	}
	status = binary.BigEndian.AppendUint64(status, uint64(time.Since(epoch).Microseconds()))
	s.conn.Send(&pgproto3.CopyData{Data: append(status, 0)})
	return s.conn.Flush()
}

// close ends the stream, and the slot with it.
func (s *stream) close() {
	if s.end != nil {
		s.end()
		for range s.events { // until the reader has ended
		}
		s.end = nil
	}
	s.conn.Close()
}

// mark writes a text into the source's WAL, which comes back as an event of the operation once all that was committed before has come. The
// WAL is flushed with it.
func (o *operation) mark(ctx context.Context, source *backend.Conn, text string) error {
	return run(ctx, source, fmt.Sprintf("SELECT pg_catalog.pg_logical_emit_message(true, %s, %s)", sql.QuoteLiteral(o.publication()), sql.QuoteLiteral(text)))
}
