package session

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/wire"
)

// prepared is a statement that the client has given a name by a Parse message.
type prepared struct {
	entry    *entry // nil for an empty statement
	text     string
	literals []sql.Literal
	declared []uint32
	named    bool
	planKey  string // what planning depended on besides text and catalog
	temps    int    // catalogView.tempsLost when it was planned

	source     string // the client's text if rewrite has changed it, which happens anew before each use
	definition string // the PREPARE that made it, if one did
	made       time.Time
}

// portal is a bound statement, with the rows that the client has not fetched yet.
type portal struct {
	prepared      *prepared
	params        [][]byte
	paramFormats  []int16
	resultFormats []int16

	mark    wire.Mark // where its BindComplete stands
	depth   int       // how many savepoints of the block were set then
	already uint64    // how many statements the session had executed when it was bound
	made    time.Time

	started bool
	kept    *exec.Spool // its rows, if they were not all asked for at once
	next    int64
	tag     string
}

func (p *portal) close() {
	if p.kept != nil {
		p.kept.Close()
		p.kept = nil
	}
}

// extended sees to the error of a message of the extended protocol: the client is told, and what it sent up to its next Sync is
// skipped.
func (s *session) extended(err error) error {
	if err == nil {
		return nil
	}
	if s.gone(err) {
		return err
	}
	s.report(err)
	s.skipping = true
	return nil
}

var errMessage = sql.Errorf("08P01", "insufficient data left in message")

// reader takes a message apart. After a failure all it gives is zero.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) string() string {
	end := bytes.IndexByte(r.b, 0)
	if end < 0 {
		r.failed = true
		return ""
	}
	s := string(r.b[:end])
	r.b = r.b[end+1:]
	return s
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || len(r.b) < n {
		r.failed, r.b = true, nil
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) int16() int {
	if b := r.bytes(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.bytes(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) formats() []int16 {
	n := r.int16()
	if n == 0 || 2*n > len(r.b) {
		r.failed = r.failed || n > 0
		return nil
	}
	formats := make([]int16, n)
	for i := range formats {
		formats[i] = int16(r.int16())
		r.failed = r.failed || formats[i] != 0 && formats[i] != 1
	}
	return formats
}

func (r *reader) end() error {
	if r.failed {
		return errMessage
	}
	return nil
}

// parse carries out a Parse message.
func (s *session) parse(ctx context.Context, body []byte) error {
	r := reader{b: body}
	name, text := r.string(), r.string()
	var declared []uint32
	for range r.int16() {
		declared = append(declared, uint32(r.int32()))
		if r.failed {
			break
		}
	}
	if err := r.end(); err != nil {
		return err
	}
	if name != "" && s.statements[name] != nil {
		return sql.Errorf("42P05", "prepared statement \"%s\" already exists", name)
	}
	if name == "" {
		s.unnamed = nil
	}
	text = s.standard(text)
	p := &prepared{text: text, declared: declared, named: name != ""}
	if err := s.plan(ctx, p); err != nil {
		return err
	}
	if name == "" {
		s.unnamed = p
	} else {
		s.statements[name] = p
	}
	_, err := s.client.Write([]byte{'1', 0, 0, 0, 4})
	return err
}

// plan finds the plan of a client's statement, for the catalog and settings as they are now.
func (s *session) plan(ctx context.Context, p *prepared) error {
	if p.made.IsZero() {
		p.made = time.Now()
	}
	if mayNeedRewrite(p.text) {
		changed, err := s.rewrite(ctx, p.text)
		if err != nil {
			return err
		}
		if changed != p.text {
			p.source, p.text = p.text, changed
		}
	}
	scanned := !s.settings.odd && sql.Scan(p.text, &s.scanned)
	if scanned && s.scanned.Statements == 0 {
		p.entry = nil
		return nil
	}
	if s.tx.Status() == 'E' {
		if err := s.allowedInFailedBlock(p.text); err != nil {
			return err
		}
	}
	e, err := s.find(ctx, p.text, scanned && s.scanned.Statements == 1, p.declared, true)
	if err == errEmpty {
		p.entry = nil
		return nil
	}
	if err != nil {
		return err
	}
	p.entry, p.literals = e, e.literals
	if scanned {
		p.literals = append([]sql.Literal(nil), s.scanned.Literals...)
	}
	p.planKey, p.temps = string(s.settings.planKey), s.catalog.tempsLost
	return nil
}

// fresh makes sure that a statement's plan is still right.
func (s *session) fresh(ctx context.Context, p *prepared) error {
	if p.entry == nil {
		return nil
	}
	if s.tx.Status() == 'E' {
		if p.entry.kind == kindTransaction && endsBlock(p.entry.stmt) {
			return nil
		}
		return errAborted
	}
	snapshot, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	s.env.Snapshot = snapshot
	if p.source != "" {
		p.text = p.source
	} else if p.entry.fingerprint == snapshot.Fingerprint && p.planKey == unsafeString(s.settings.planKey) && !s.catalog.tempsStale && p.temps == s.catalog.tempsLost && !s.outgrown(p.entry) {
		return nil
	}
	if p.entry.kind == kindTransaction || p.entry.kind == kindSet {
		return nil
	}
	old := p.entry
	if err := s.plan(ctx, p); err != nil {
		return err
	}
	if p.named && old.prepared != nil && p.entry != nil && p.entry.prepared != nil && !exec.SameTypes(old.prepared.Fields, p.entry.prepared.Fields) {
		p.entry = old // so that it goes on failing until the client prepares it anew
		return resultChanged()
	}
	return nil
}

// resultChanged is PostgreSQL's error, with the routine that raises it: by that JDBC's driver and ActiveRecord know that they may prepare
// the statement anew.
func resultChanged() error {
	return &pgconn.PgError{
		Severity: "ERROR", Code: "0A000", Message: "cached plan must not change result type", File: "plancache.c", Routine: "RevalidateCachedQuery",
	}
}

func (s *session) statement(name string) (*prepared, error) {
	p := s.unnamed
	if name != "" {
		p = s.statements[name]
	}
	if p == nil && name == "" {
		return nil, sql.Errorf("26000", "unnamed prepared statement does not exist")
	}
	if p == nil {
		return nil, sql.Errorf("26000", "prepared statement \"%s\" does not exist", name)
	}
	return p, nil
}

// bind carries out a Bind message.
func (s *session) bind(ctx context.Context, body []byte) error {
	r := reader{b: append([]byte(nil), body...)}
	portalName, name := r.string(), r.string()
	p := &portal{paramFormats: r.formats(), made: time.Now()}
	n := r.int16()
	for range n {
		length := r.int32()
		if length == -1 {
			p.params = append(p.params, nil)
			continue
		}
		p.params = append(p.params, r.bytes(int(length)))
		if r.failed {
			break
		}
	}
	p.resultFormats = r.formats()
	if err := r.end(); err != nil {
		return err
	}
	var err error
	if p.prepared, err = s.statement(name); err != nil {
		return err
	}
	if portalName != "" && s.portals[portalName] != nil {
		return sql.Errorf("42P03", "cursor \"%s\" already exists", portalName)
	}
	if err := s.fresh(ctx, p.prepared); err != nil {
		return err
	}
	if err := p.check(name); err != nil {
		return err
	}
	if old := s.portals[portalName]; old != nil {
		old.close()
	}
	s.portals[portalName] = p
	p.mark, p.already, p.depth = s.client.Mark(), s.executions, len(s.settings.marks)
	_, err = s.client.Write([]byte{'2', 0, 0, 0, 4})
	return err
}

// check compares what was bound with what the statement needs.
func (p *portal) check(name string) error {
	want := 0
	if e := p.prepared.entry; e != nil && e.prepared != nil {
		want = len(e.prepared.Params)
		if n := len(p.resultFormats); n > 1 && n != len(e.prepared.Fields) {
			return sql.Errorf("08P01", "bind message has %d result formats but query has %d columns", n, len(e.prepared.Fields))
		}
	}
	if n := len(p.paramFormats); n > 1 && n != len(p.params) {
		return sql.Errorf("08P01", "bind message has %d parameter formats but %d parameters", n, len(p.params))
	}
	if len(p.params) != want {
		return sql.Errorf("08P01", "bind message supplies %d parameters, but prepared statement \"%s\" requires %d", len(p.params), name, want)
	}
	return nil
}

// describe carries out a Describe message.
func (s *session) describe(ctx context.Context, body []byte) error {
	r := reader{b: body}
	kind, name := r.byte(), r.string()
	if err := r.end(); err != nil {
		return err
	}
	switch kind {
	case 'S':
		p, err := s.statement(name)
		if err != nil {
			return err
		}
		if err := s.fresh(ctx, p); err != nil {
			return err
		}
		description := &pgproto3.ParameterDescription{}
		if p.entry != nil && p.entry.prepared != nil {
			description.ParameterOIDs = p.entry.prepared.Params
		}
		if err := s.client.Send(description); err != nil {
			return err
		}
		return s.describeRows(p.entry, nil)
	case 'P':
		p := s.portals[name]
		if p == nil {
			return s.describeSQLCursor(ctx, name)
		}
		return s.describeRows(p.prepared.entry, p.resultFormats)
	}
	return sql.Errorf("08P01", "invalid DESCRIBE message subtype %d", kind)
}

// describeSQLCursor describes the rows of a cursor that SQL declared: to the protocol it is a portal.
func (s *session) describeSQLCursor(ctx context.Context, name string) error {
	if c := s.cursors[name]; c != nil {
		var formats []int16
		if c.binary {
			formats = []int16{1}
		}
		_, err := s.client.Write(exec.RowDescription(c.fields, formats))
		return err
	}
	if name == "" || !s.tx.InBlock() && s.tx.Pinned() == nil {
		return noPortal(name)
	}
	conn, release, err := s.tx.Borrow(ctx, catalog.CoordinatorGroup)
	if err != nil {
		return err
	}
	defer release()
	conn.Send(&pgproto3.Describe{ObjectType: 'P', Name: name})
	conn.Send(&pgproto3.Sync{})
	return s.relay(ctx, conn)
}

func noPortal(name string) error {
	return sql.Errorf("34000", "portal \"%s\" does not exist", name)
}

func (s *session) describeRows(e *entry, formats []int16) error {
	var description []byte
	if e != nil {
		description = s.rowDescription(e, formats)
	}
	if description == nil {
		description = []byte{'n', 0, 0, 0, 4}
	}
	_, err := s.client.Write(description)
	return err
}

// execute carries out an Execute message.
func (s *session) execute(ctx context.Context, body []byte) error {
	r := reader{b: body}
	name, limit := r.string(), r.int32()
	if err := r.end(); err != nil {
		return err
	}
	p := s.portals[name]
	if p == nil {
		return noPortal(name)
	}
	s.note(p.prepared.text)
	e := p.prepared.entry
	if e == nil {
		return s.client.Send(&pgproto3.EmptyQueryResponse{})
	}
	if s.tx.Status() == 'E' && !(e.kind == kindTransaction && endsBlock(e.stmt)) {
		return errAborted
	}
	if p.started && p.kept == nil {
		if e.plan.ReturnsRows {
			return s.client.SendCommandComplete("SELECT 0")
		}
		return sql.Errorf("55000", "portal \"%s\" cannot be run", name)
	}
	if !s.tx.InBlock() && e.kind != kindTransaction && e.kind != kindCopy {
		// What comes next tells whether this statement is a transaction of its own.
		next, err := s.receive()
		if err != nil {
			return err
		}
		s.ahead = &next
		if next.Type != 'S' {
			s.beginImplicit()
		}
	}
	s.executions++
	if !p.started {
		p.started = true
		if limit <= 0 || s.rowDescription(e, nil) == nil {
			return s.runPortal(ctx, p, &s.rows)
		}
		p.kept = exec.NewSpool(0)
		if err := s.runPortal(ctx, p, spoolSink{p.kept}); err != nil {
			return err
		}
	}
	return s.fetchPortal(p, int64(limit))
}

// spoolSink keeps rows.
type spoolSink struct{ spool *exec.Spool }

func (k spoolSink) Row(raw []byte) error { return k.spool.Add(raw) }

// runPortal runs a portal's statement. Its command tag goes to the client unless its rows are kept.
func (s *session) runPortal(ctx context.Context, p *portal, out exec.RowWriter) error {
	e := p.prepared.entry
	s.rows.reset(nil)
	if e.kind == kindCopy && e.passThrough() {
		return s.passThrough(ctx, e, p.prepared.text)
	}
	bind := &exec.Bind{
		Text: p.prepared.text, Literals: p.prepared.literals, Params: p.params, ParamFormats: p.paramFormats,
		ResultFormats: p.resultFormats, Extended: true, Reuse: p.prepared.named || len(p.params) > 0,
	}
	tag, err := s.dispatch(ctx, e, bind, out)
	if err != nil {
		s.unbind(p, err)
		return s.located(ctx, e, bind, err)
	}
	if p.kept != nil {
		p.tag = tag
		return nil
	}
	return s.rows.complete(tag)
}

// unbind takes back what the client was to be told of a portal before it was executed, its BindComplete first of all, if the nodes
// could not bind it: PostgreSQL finds what is wrong with parameters when they are bound. What has been sent already stays said.
func (s *session) unbind(p *portal, err error) {
	var binding *exec.BindError
	if errors.As(err, &binding) && p.already+1 == s.executions && !s.rows.wrote {
		s.client.Rewind(p.mark)
	}
}

// fetchPortal sends the next rows of a portal.
func (s *session) fetchPortal(p *portal, limit int64) error {
	end := p.kept.Len()
	if limit > 0 && p.next+limit < end {
		end = p.next + limit
	}
	sent := end - p.next
	for ; p.next < end; p.next++ {
		raw, err := p.kept.Row(p.next)
		if err != nil {
			return err
		}
		if _, err := s.client.Write(raw); err != nil {
			return err
		}
	}
	if limit > 0 && sent == limit {
		_, err := s.client.Write([]byte{'s', 0, 0, 0, 4})
		return err
	}
	return s.client.SendCommandComplete(retag(p.tag, sent))
}

// closeMessage carries out a Close message.
func (s *session) closeMessage(body []byte) error {
	r := reader{b: body}
	kind, name := r.byte(), r.string()
	if err := r.end(); err != nil {
		return err
	}
	switch kind {
	case 'S':
		if name == "" {
			s.unnamed = nil
		} else {
			delete(s.statements, name)
		}
	case 'P':
		if p := s.portals[name]; p != nil {
			p.close()
			delete(s.portals, name)
		}
	default:
		return sql.Errorf("08P01", "invalid CLOSE message subtype %d", kind)
	}
	_, err := s.client.Write([]byte{'3', 0, 0, 0, 4})
	return err
}

// sync carries out a Sync message: it ends what the messages since the last one began.
func (s *session) sync(ctx context.Context) error {
	s.skipping = false
	if err := s.endImplicit(ctx); err != nil {
		if s.gone(err) {
			return err
		}
		s.client.SendError(err, "")
	}
	if !s.tx.InBlock() {
		s.closePortals()
	}
	return s.ready(ctx)
}

// closePortals ends all portals, as the end of a transaction does.
func (s *session) closePortals() {
	for _, p := range s.portals {
		p.close()
	}
	clear(s.portals)
}
