package session

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// simpleQuery carries out a Query message: one statement or several.
func (s *session) simpleQuery(ctx context.Context, text string) error {
	s.unnamed = nil
	s.note(text)
	text = s.standard(text)
	scanned := !s.settings.odd && sql.Scan(text, &s.scanned)
	var err error
	switch {
	case scanned && s.scanned.Statements == 0:
		err = s.client.Send(&pgproto3.EmptyQueryResponse{})
	case scanned && s.scanned.Statements == 1:
		err = s.simpleOne(ctx, text, true, 0)
	default:
		err = s.simpleMany(ctx, text)
	}
	s.endClock()
	if err != nil {
		if s.gone(err) {
			return err
		}
		s.report(err)
	}
	if !s.tx.InBlock() || s.tx.Implicit() {
		if err := s.endImplicit(ctx); err != nil {
			if s.gone(err) {
				return err
			}
			s.report(err)
		}
		s.closePortals()
	}
	return s.ready(ctx)
}

// standard gives a client's text as it reads with standard_conforming_strings on, which the parser and the scanner go by.
func (s *session) standard(text string) string {
	if s.settings.odd {
		return sql.StandardStrings(text)
	}
	return text
}

// gone tells whether an error is of the client's own connection, or the session's end.
func (s *session) gone(err error) bool {
	return s.terminating() || s.client.Err() != nil
}

// simpleMany carries out a string of several statements, which is one transaction unless it says otherwise itself. After an error
// the rest of the string is ignored.
func (s *session) simpleMany(ctx context.Context, text string) error {
	statements, err := sql.Parse(text)
	if err != nil {
		return s.syntaxError(ctx, text, err)
	}
	if len(statements) == 0 {
		return s.client.Send(&pgproto3.EmptyQueryResponse{})
	}
	offset := 0
	for _, stmt := range statements {
		if len(statements) > 1 {
			at := strings.Index(text[offset:], stmt.Text)
			offset += max(at, 0)
			if !s.tx.InBlock() && kindOf(stmt) != kindTransaction {
				s.beginImplicit()
			}
		}
		own := stmt.Text
		lead := len(own) - len(strings.TrimLeft(own, " \t\r\n\f"))
		own = own[lead:]
		scanned := !s.settings.odd && sql.Scan(own, &s.scanned) && s.scanned.Statements == 1
		if err := s.simpleOne(ctx, own, scanned, offset+lead); err != nil {
			return positioned(err, text, offset+lead)
		}
		if err := s.endClock(); err != nil {
			return err // the context of the statements to come has ended
		}
		offset += len(stmt.Text)
	}
	return nil
}

// positioned moves an error's position from a statement to the string that it stands in.
func positioned(err error, text string, offset int) error {
	if offset == 0 {
		return err
	}
	shift := len([]rune(text[:offset]))
	return exec.ShiftPosition(err, shift)
}

// simpleOne carries out one statement of a Query message.
func (s *session) simpleOne(ctx context.Context, text string, scanned bool, offset int) error {
	s.beginClock()
	if s.tx.Status() == 'E' {
		if err := s.allowedInFailedBlock(text); err != nil {
			return err
		}
	}
	if mayNeedRewrite(text) {
		changed, err := s.rewrite(ctx, text)
		if err != nil {
			return err
		}
		if changed != text {
			text, scanned = changed, false
		}
	}
	e, err := s.find(ctx, text, scanned, nil, false)
	if err != nil {
		return err
	}
	if e.prepared != nil && len(e.prepared.Params) > 0 && e.kind == kindQuery {
		return noParameter(text)
	}
	if e.passThrough() && !s.held(e) {
		if s.settings.fixes && takesSnapshot(e.kind) {
			if err := s.fixInstant(ctx); err != nil {
				return err
			}
		}
		err := s.passThrough(ctx, e, text)
		if !exec.IsStale(err) || s.tx.InBlock() || exec.IsShell(err) && e.kind == kindCopy { // whose rows the client has sent already
			return err
		}
		// The table was local when the statement was planned. Nothing has happened yet: once more with a new snapshot.
		s.definitionsChanged()
		scanned = scanned && sql.Scan(text, &s.scanned)
		if e, err = s.find(ctx, text, scanned, nil, false); err != nil {
			return err
		}
		if e.passThrough() {
			return s.passThrough(ctx, e, text)
		}
	}
	bind := &exec.Bind{Text: text, Literals: s.literalsOf(e, text, scanned)}
	s.rows.reset(s.rowDescription(e, nil))
	tag, err := s.dispatch(ctx, e, bind, &s.rows)
	if err != nil {
		return s.located(ctx, e, bind, err)
	}
	return s.rows.complete(tag)
}

// noParameter is the error of a statement that uses parameters where there are none.
func noParameter(text string) error {
	statements, err := sql.Parse(text)
	if err != nil {
		return err
	}
	var first *sql.ParamRef
	sql.Walk(statements[0].Tree, func(m proto.Message) bool {
		if p, ok := m.(*sql.ParamRef); ok && (first == nil || p.Location < first.Location) {
			first = p
		}
		if n, ok := m.(*sql.Node); ok && n.GetParamRef() != nil && (first == nil || n.GetParamRef().Location < first.Location) {
			first = n.GetParamRef()
		}
		return true
	})
	failure := sql.Errorf("42P02", "there is no parameter $1")
	if first != nil {
		failure = sql.Errorf("42P02", "there is no parameter $%d", first.Number)
		failure.Position = utf8.RuneCountInString(text[:first.Location]) + 1
	}
	return failure
}

// located gives an error of a distributed statement the position that it has in the client's text.
func (s *session) located(ctx context.Context, e *entry, bind *exec.Bind, err error) error {
	var node *pgconn.PgError
	if !errors.As(err, &node) || node.Position != exec.Elsewhere || e.kind != kindQuery || ctx.Err() != nil || s.gone(err) {
		return err
	}
	conn, release, failure := s.borrowCoordinator(ctx)
	if failure != nil {
		return err
	}
	defer release()
	return exec.AnalysisError(ctx, conn, bind.Text, e.prepared.Params, err)
}

// literalsOf gives the constants of a text that has just been scanned.
func (s *session) literalsOf(e *entry, text string, scanned bool) []sql.Literal {
	if scanned {
		return s.scanned.Literals
	}
	return e.literals
}

// allowedInFailedBlock refuses all but what ends a failed block.
func (s *session) allowedInFailedBlock(text string) error {
	statements, err := sql.Parse(text)
	if err != nil {
		return err
	}
	if len(statements) == 1 && !endsBlock(statements[0]) {
		return errAborted
	}
	return nil
}

// rowSink passes a result on to the client: its description, in the simple protocol, then its rows.
type rowSink struct {
	session     *session
	description []byte // not yet sent; nil if there is none to send
	wrote       bool
}

func (r *rowSink) reset(description []byte) {
	r.description, r.wrote = description, false
}

// Write passes on rows, whole or in pieces.
func (r *rowSink) Write(b []byte) (int, error) {
	if r.description != nil {
		if err := r.begin(); err != nil {
			return 0, err
		}
	}
	r.wrote = true
	return r.session.client.Write(b)
}

// Row passes on one row.
func (r *rowSink) Row(raw []byte) error {
	_, err := r.Write(raw)
	return err
}

func (r *rowSink) begin() error {
	_, err := r.session.client.Write(r.description)
	r.description = nil
	r.wrote = true
	return err
}

// complete ends the result.
func (r *rowSink) complete(tag string) error {
	if r.description != nil {
		if err := r.begin(); err != nil {
			return err
		}
	}
	return r.session.client.SendCommandComplete(tag)
}
