package session

import (
	"context"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
)

// catalogView is how a session sees the catalog: through the gateway's snapshot, or through its own transaction once that has
// changed definitions.
type catalogView struct {
	foreign bool // the session's database is not the one whose tables the gateway distributes
	stale   bool // this session may have changed definitions since the snapshot was read
	own     *catalog.Snapshot

	temps      map[string]bool // the session's temporary tables that its search_path finds
	tempViews  map[string]*catalog.Relation
	tempsStale bool
	tempsLost  int // counts the times that one was found to be gone or to be another: what was planned with it is planned anew
}

// emptySnapshot serves sessions in other databases, where nothing is distributed.
var emptySnapshot = &catalog.Snapshot{}

// snapshot gives the catalog as this session sees it now.
func (s *session) snapshot(ctx context.Context) (*catalog.Snapshot, error) {
	v := &s.catalog
	if v.foreign {
		return emptySnapshot, nil
	}
	if !v.stale {
		if v.own != nil {
			return v.own, nil
		}
		return s.server.watcher.Current(), nil
	}
	if s.tx.Status() == 'E' {
		return s.server.watcher.Current(), nil // a failed block is only left, whatever it has defined
	}
	if s.tx.InBlock() {
		conn, err := s.tx.Conn(ctx, catalog.CoordinatorGroup)
		if err != nil {
			return nil, err
		}
		if v.own, err = catalog.Load(ctx, conn); err != nil {
			return nil, err
		}
		v.stale = false
		return v.own, nil
	}
	snapshot, err := s.server.watcher.Refresh(ctx)
	if err != nil {
		return nil, err
	}
	v.stale = false
	return snapshot, nil
}

// definitionsChanged notes that a statement may have changed definitions.
func (s *session) definitionsChanged() { s.catalog.stale = true }

// definitionsUndone notes that a rollback to a savepoint may have undone changes of definitions.
func (s *session) definitionsUndone() {
	if s.catalog.own != nil {
		s.catalog.stale = true
	}
	s.catalog.tempsStale = s.catalog.tempsStale || s.tx.Pinned() != nil
}

// blockEnded forgets what only the transaction block saw.
func (s *session) blockEnded() {
	v := &s.catalog
	if v.own != nil {
		v.own, v.stale = nil, true
	}
	if len(v.temps) > 0 || s.tx.Pinned() != nil {
		v.tempsStale = true
	}
}

// temporary gives the names of the session's temporary tables that an unqualified name means: search_path may put pg_temp behind
// other schemas.
func (s *session) temporary(ctx context.Context) (map[string]bool, error) {
	v := &s.catalog
	if !v.tempsStale {
		return v.temps, nil
	}
	defer v.noteLost(v.temps, v.tempViews)
	if s.tx.Pinned() == nil {
		v.temps, v.tempViews, v.tempsStale = nil, nil, false
		return nil, nil
	}
	conn, release, err := s.tx.Borrow(ctx, catalog.CoordinatorGroup)
	if err != nil {
		return nil, err
	}
	defer release()
	results, err := conn.Exec(ctx, "SELECT relname, relkind = 'v', pg_catalog.pg_table_is_visible(oid) FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema()")
	if err != nil {
		return nil, err
	}
	v.temps, v.tempViews = nil, nil
	hasViews := false
	for _, row := range results[0].Rows {
		hasViews = hasViews || string(row[1]) == "t"
		if string(row[2]) != "t" {
			continue
		}
		if v.temps == nil {
			v.temps = map[string]bool{}
		}
		v.temps[string(row[0])] = true
	}
	if hasViews {
		if v.tempViews, err = catalog.TemporaryViews(ctx, conn); err != nil {
			return nil, err
		}
	}
	v.tempsStale = false
	return v.temps, nil
}

// noteLost compares the temporary tables and views that there were with those that there are now.
func (v *catalogView) noteLost(temps map[string]bool, views map[string]*catalog.Relation) {
	lost := false
	for name := range temps {
		lost = lost || !v.temps[name]
	}
	for name, view := range views {
		lost = lost || !reflect.DeepEqual(view, v.tempViews[name])
	}
	if lost {
		v.tempsLost++
	}
}

// find gives the plan of one statement, from the cache or newly made. The literals of text are in s.scanned where scanned is true.
// declared are the parameter types that the client gave. If describe is true, the entry knows its parameter and result types.
func (s *session) find(ctx context.Context, text string, scanned bool, declared []uint32, describe bool) (*entry, error) {
	if s.catalog.tempsStale {
		if _, err := s.temporary(ctx); err != nil {
			return nil, err
		}
	}
	snapshot, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	s.env.Snapshot = snapshot
	cacheable := scanned && len(s.catalog.temps)+len(s.catalog.tempViews) == 0 && !s.settings.odd && !s.catalog.foreign
	if cacheable {
		s.key = append(s.key[:0], s.settings.planKey...)
		for _, oid := range declared {
			s.key = binary.BigEndian.AppendUint32(s.key, oid)
		}
		s.key = append(s.key, 0)
		s.key = append(s.key, s.scanned.Key...)
		if e := s.server.plans.find(unsafeString(s.key), text, s.scanned.Literals, snapshot.Fingerprint); e != nil && (e.prepared != nil || !describe) && !s.outgrown(e) {
			return e, nil
		}
	}
	statements, err := sql.Parse(text)
	if err != nil {
		return nil, s.syntaxError(ctx, text, err)
	}
	if len(statements) != 1 {
		if len(statements) == 0 {
			return nil, errEmpty
		}
		return nil, sql.Errorf("42601", "cannot insert multiple commands into a prepared statement")
	}
	e, err := s.make(ctx, statements[0], snapshot, scanned, cacheable, declared, describe)
	if s.misled(ctx, snapshot, err) {
		return s.find(ctx, text, scanned, declared, describe)
	}
	return e, err
}

// errEmpty says that a text holds no statement.
var errEmpty = sql.Errorf("42601", "the statement is empty")

// make plans a statement. s.key is its cache key if it is to be cached.
func (s *session) make(ctx context.Context, stmt sql.Statement, snapshot *catalog.Snapshot, scanned, cacheable bool, declared []uint32, describe bool) (*entry, error) {
	var literals []sql.Literal
	if scanned {
		literals = append(literals, s.scanned.Literals...)
	}
	all, local := localTables(stmt, snapshot, s.settings.searchPath()) // before planning, which changes the tree
	settings := s.planSettings()
	p, err := plan.Make(stmt, literals, snapshot, settings)
	if err == nil && len(p.Estimated) > 0 && !s.catalog.foreign {
		// Planning changes the tree, so a plan by newer statistics begins with the text.
		if now := s.server.statistics.forPlanning(ctx); now != settings.Statistics && catalog.Differs(settings.Statistics, now, p.Estimated) {
			again, failed := sql.Parse(stmt.Text)
			if failed != nil {
				return nil, failed
			}
			settings.Statistics = now
			stmt.Tree = again[0].Tree
			p, err = plan.Make(stmt, literals, snapshot, settings)
		}
	}
	if err != nil {
		return nil, s.refusal(ctx, stmt, declared, err)
	}
	e := &entry{
		text: stmt.Text, stmt: stmt, literals: literals, plan: p, verb: exec.Verb(stmt), kind: kindOf(stmt),
		fingerprint: snapshot.Fingerprint, fixed: fixedLiterals(p, stmt.Text, literals),
	}
	e.statistics.Store(settings.Statistics)
	e.readsLocal = readsLocal(stmt, p, all, local) || e.passThrough() && len(s.catalog.temps) == 0 && changesLocal(stmt, local)
	if _, utility := p.Root.(*plan.Utility); utility && !s.held(e) && (e.kind == kindFetch || e.kind == kindClose) {
		e.plan = &plan.Plan{Root: &plan.Coordinator{}, ReturnsRows: true}
	}
	if s.held(e) { // a prepared statement or cursor of the session's own
		if e.kind == kindDeclare && describe {
			return e, s.describeCursor(ctx, e, declared)
		}
		return e, nil
	}
	if _, utility := p.Root.(*plan.Utility); (describe || !e.passThrough()) && (!utility || e.kind == kindExplain || e.kind == kindQuery) {
		var key string
		if cacheable {
			key = string(s.key)
		}
		if err := s.prepare(ctx, e, snapshot, declared); err != nil {
			return nil, err
		}
		s.key = append(s.key[:0], key...)
	}
	if cacheable && s.catalog.own == nil && (e.kind == kindQuery || len(literals) == 0 && !e.kind.perSession()) {
		s.server.plans.add(string(s.key), e)
	}
	return e, nil
}

// describeCursor finds the parameters of a cursor's query.
func (s *session) describeCursor(ctx context.Context, e *entry, declared []uint32) error {
	text, err := sql.Deparse(e.stmt.Tree.GetDeclareCursorStmt().Query)
	if err != nil {
		return err
	}
	p := &prepared{text: text, declared: declared}
	if err := s.plan(ctx, p); err != nil {
		return err
	}
	if p.entry != nil && p.entry.prepared != nil {
		e.prepared = &exec.Prepared{Plan: e.plan, Params: p.entry.prepared.Params}
	}
	return nil
}

// refusal gives PostgreSQL's own error for a statement that the planner refused, if the statement is wrong in its eyes too.
func (s *session) refusal(ctx context.Context, stmt sql.Statement, declared []uint32, refused error) error {
	if kindOf(stmt) != kindQuery {
		return refused
	}
	conn, release, err := s.borrowCoordinator(ctx)
	if err != nil {
		return refused
	}
	defer release()
	if _, _, err := exec.Describe(ctx, conn, stmt.Text, declared); err != nil && conn.Err() == nil {
		return err
	}
	return refused
}

// syntaxError gives PostgreSQL's own error for a text that cannot be parsed, which has what the parser's library leaves out:
// SQLSTATEs other than 42601, details and hints.
func (s *session) syntaxError(ctx context.Context, text string, found error) error {
	if s.env.ForeignEncoding && !utf8.ValidString(text) {
		return sql.Unsupported("statements with characters beyond ASCII must be in UTF-8",
			"The session's client_encoding is another, in which only values and results are converted.",
			"SET client_encoding TO UTF8, or give the values as parameters.")
	}
	conn, release, err := s.borrowCoordinator(ctx)
	if err != nil {
		return found
	}
	defer release()
	var own *pgconn.PgError
	_, _, err = exec.Describe(ctx, conn, text, nil)
	if !errors.As(err, &own) || own.Routine == "exec_parse_message" {
		return found
	}
	switch {
	case own.Position > 0, own.Code == "22021", own.Code == "54001": // of the text, not of the session
		return own
	}
	return found
}

// prepare has the coordinator describe a statement: in the open block if that has reached the coordinator, since it may have changed
// definitions there, else outside of it.
func (s *session) prepare(ctx context.Context, e *entry, snapshot *catalog.Snapshot, declared []uint32) error {
	conn, release, err := s.borrowCoordinator(ctx)
	if err != nil {
		return err
	}
	defer release()
	if namesSurface(e.plan) {
		// The client may name what lives in schema trunkline without the schema, which its search_path does not hold.
		path, ok := s.settings.value("search_path")
		if !ok {
			path = s.settings.defaultPath
		}
		if err := conn.Apply(ctx, s.settings.current.With("search_path", path+", trunkline, citus"), s.tx.InBlock()); err != nil {
			return err
		}
		defer func() {
			if conn.Err() == nil && conn.TxStatus() != 'E' {
				conn.Apply(ctx, s.settings.current, s.tx.InBlock())
			}
		}()
	}
	bind := &exec.Bind{Text: e.text, Literals: e.literals}
	e.prepared, err = exec.Prepare(ctx, conn, snapshot, e.plan, bind, declared, e.verb)
	return err
}

// borrowCoordinator lends a connection to the coordinator for a question that changes nothing.
func (s *session) borrowCoordinator(ctx context.Context) (*backend.Conn, func(), error) {
	if s.tx.InBlock() && s.tx.Pinned() == nil {
		joined := false
		for _, group := range s.tx.Participants() {
			joined = joined || group == catalog.CoordinatorGroup
		}
		if !joined {
			conn, err := s.server.pools.Acquire(ctx, s.server.coordinator, s.tx.Identity())
			if err != nil {
				return nil, nil, err
			}
			if err := conn.Apply(ctx, s.settings.current, false); err != nil {
				s.server.pools.Release(conn)
				return nil, nil, err
			}
			return conn, func() { s.server.pools.Release(conn) }, nil
		}
	}
	return s.tx.Borrow(ctx, catalog.CoordinatorGroup)
}

// planKeyOf writes what planning depends on besides text and catalog.
func planKeyOf(database string, path []string, switches ...bool) string {
	key := database + "\x00" + strings.Join(path, "\x01") + "\x00"
	for i, on := range switches {
		if on {
			key += string(rune(1 + i))
		}
	}
	return key
}

// namesSurface tells whether a plan reads or calls what lives in schema trunkline.
func namesSurface(p *plan.Plan) bool {
	var templates []plan.Template
	for i := range p.Subplans {
		templates = append(templates, p.Subplans[i].SQL)
	}
	switch op := p.Root.(type) {
	case *plan.ClusterCall:
		return true
	case *plan.Coordinator:
		templates = append(templates, op.SQL)
	case *plan.Gather:
		templates = append(templates, op.SQL)
	}
	for _, t := range templates {
		for _, piece := range t {
			if piece.Kind == plan.PieceText && strings.Contains(piece.Text, "trunkline.") {
				return true
			}
		}
	}
	return false
}
