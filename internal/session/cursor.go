package session

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/sql"
)

// cursor is an SQL cursor over a distributed query. Its rows are all fetched when it is declared, which fixes what it sees.
type cursor struct {
	rows     *exec.Spool
	fields   []pgproto3.FieldDescription
	binary   bool
	forward  bool // NO SCROLL
	scrolls  bool // pg_cursors says so
	hold     bool
	fresh    bool    // declared in the open block
	portal   *portal // the portal of the extended protocol that this is a view of
	formats  []int16 // of a portal's columns
	position int64   // 0 before the first row, n at row n, Len()+1 after the last
	depth    int     // how many savepoints of the block were set when it was declared

	statement string // the DECLARE
	made      time.Time

	found   *found // where the rows lie, of a cursor over one distributed table
	failure error  // what ended the query before its end; it is raised when a FETCH comes to it
	failed  bool   // a FETCH has failed: no other is possible
}

func (c *cursor) close() { c.rows.Close() }

// runs tells whether a session keeps something to fetch from under a name: a cursor, or a portal of the extended protocol.
func (s *session) runs(name string) bool {
	if s.cursors[name] != nil {
		return true
	}
	p := s.portals[name]
	return name != "" && p != nil && p.prepared.entry != nil && s.rowDescription(p.prepared.entry, nil) != nil
}

// cursorNamed gives the cursor of a name. SQL may fetch from portals of the extended protocol as well.
func (s *session) cursorNamed(ctx context.Context, name string) (*cursor, error) {
	if c := s.cursors[name]; c != nil {
		return c, nil
	}
	p := s.portals[name]
	if !p.started {
		p.started = true
		p.kept = exec.NewSpool(0)
		if err := s.runPortal(ctx, p, spoolSink{p.kept}); err != nil {
			return nil, err
		}
	}
	if p.kept == nil {
		p.kept = exec.NewSpool(0) // all its rows have been sent
	}
	c := &cursor{rows: p.kept, fields: s.portalFields(p), forward: true, portal: p, formats: p.resultFormats}
	c.binary = exec.AnyBinary(p.resultFormats)
	c.position = p.next
	return c, nil
}

// portalFields describes the rows of a portal.
func (s *session) portalFields(p *portal) []pgproto3.FieldDescription {
	if fields, ok := s.heldFields(p.prepared.entry); ok {
		return fields
	}
	return p.prepared.entry.prepared.Fields
}

// Bits of DeclareCursorStmt.Options (parsenodes.h).
const (
	cursorBinary   = 0x0001
	cursorScroll   = 0x0002
	cursorNoScroll = 0x0004
	cursorHold     = 0x0020
)

// cursorSQL runs DECLARE, FETCH, MOVE and CLOSE of cursors that the session keeps.
func (s *session) cursorSQL(ctx context.Context, e *entry, bind *exec.Bind, out exec.RowWriter) (string, error) {
	switch e.kind {
	case kindDeclare:
		return "DECLARE CURSOR", s.declare(ctx, e, bind)
	case kindFetch:
		return s.fetch(ctx, e.stmt, bind, out)
	}
	name := e.stmt.Tree.GetClosePortalStmt().Portalname
	if name == "" {
		s.closeCursors()
		if s.tx.InBlock() || s.tx.Pinned() != nil {
			conn, release, err := s.tx.Borrow(ctx, catalog.CoordinatorGroup)
			if err != nil {
				return "", err
			}
			defer release()
			if _, err := conn.Exec(ctx, "CLOSE ALL"); err != nil {
				return "", err
			}
		}
		return "CLOSE CURSOR ALL", nil
	}
	if c := s.cursors[name]; c != nil {
		c.close()
		delete(s.cursors, name)
	} else if p := s.portals[name]; p != nil {
		p.close()
		delete(s.portals, name)
	}
	return "CLOSE CURSOR", nil
}

func (s *session) declare(ctx context.Context, e *entry, bound *exec.Bind) error {
	n := e.stmt.Tree.GetDeclareCursorStmt()
	hold := n.Options&cursorHold != 0
	if !s.tx.InBlock() && !hold {
		return sql.Errorf("25P01", "DECLARE CURSOR can only be used in transaction blocks")
	}
	if s.cursors[n.Portalname] != nil || s.portals[n.Portalname] != nil {
		return sql.Errorf("42P03", "cursor \"%s\" already exists", n.Portalname)
	}
	text, err := sql.Deparse(n.Query)
	if err != nil {
		return err
	}
	var declared []uint32
	if e.prepared != nil {
		declared = e.prepared.Params
	}
	p, where, err := s.planCursor(ctx, n.Query, text, declared)
	if err != nil {
		return err
	}
	text = p.text
	if p.entry == nil || p.entry.prepared == nil {
		return errEmpty
	}
	c := &cursor{
		rows: exec.NewSpool(0), fields: p.entry.prepared.Fields, hold: hold, found: where, fresh: s.tx.InBlock(),
		binary: n.Options&cursorBinary != 0, forward: n.Options&cursorNoScroll != 0, depth: len(s.settings.marks),
		statement: e.text, made: time.Now(),
		scrolls: n.Options&cursorScroll != 0 || n.Options&cursorNoScroll == 0 && readsBackward(n.Query.GetSelectStmt(), s.env.Snapshot),
	}
	if where != nil {
		c.fields = c.fields[:len(c.fields)-foundColumns]
	}
	bind := &exec.Bind{Text: text, Literals: p.literals, Params: bound.Params, ParamFormats: bound.ParamFormats}
	if c.binary {
		bind.ResultFormats = []int16{1}
		if where != nil {
			bind.ResultFormats = slices.Repeat([]int16{1}, len(p.entry.prepared.Fields))
			clear(bind.ResultFormats[len(c.fields):])
		}
	}
	if err := s.fill(ctx, c, p.entry, bind); err != nil {
		c.close()
		return err
	}
	if s.cursors == nil {
		s.cursors = map[string]*cursor{}
	}
	s.cursors[n.Portalname] = c
	return nil
}

// readsBackward tells whether PostgreSQL would most likely run a query by a plan that gives its rows backwards as well, which makes a
// cursor scrollable of itself: one that ends with a sort, or scans one table.
func readsBackward(sel *sql.SelectStmt, snapshot *catalog.Snapshot) bool {
	if sel == nil || len(sel.LockingClause) > 0 {
		return false
	}
	return len(sel.SortClause) > 0 || sel.Op == sql.SetopNone && len(sel.FromClause) == 1 && sel.FromClause[0].GetJoinExpr() == nil &&
		sel.HavingClause == nil && len(sel.DistinctClause)+len(sel.GroupClause)+len(sel.WindowClause) == 0 && !aggregates(sel.TargetList, snapshot)
}

// fill runs a cursor's query. In a block an error of its rows is kept, for the FETCH that comes to it: PostgreSQL computes no row
// before that.
func (s *session) fill(ctx context.Context, c *cursor, e *entry, bind *exec.Bind) error {
	const mark = "trunkline_cursor"
	guarded := s.tx.InBlock() && !s.tx.Implicit()
	if guarded {
		if err := s.tx.Savepoint(ctx, mark); err != nil {
			return err
		}
	}
	var sink exec.RowWriter = spoolSink{c.rows}
	if c.found != nil {
		sink = foundSink{c.rows, c.found}
	}
	_, err := s.dispatch(ctx, e, bind, sink)
	if !guarded {
		return err
	}
	if err != nil {
		var raised *pgconn.PgError
		if !errors.As(err, &raised) || s.context.Err() != nil || s.gone(err) {
			return err
		}
		c.failure = err
		if err := s.tx.RollbackTo(ctx, mark); err != nil {
			return err
		}
	}
	return s.tx.Release(ctx, mark)
}

// fetch runs FETCH and MOVE (PostgreSQL manual, FETCH).
func (s *session) fetch(ctx context.Context, stmt sql.Statement, bind *exec.Bind, out exec.RowWriter) (string, error) {
	n := stmt.Tree.GetFetchStmt()
	c, err := s.cursorNamed(ctx, n.Portalname)
	if err != nil {
		return "", err
	}
	if c.failed {
		return "", sql.Errorf("55000", "portal \"%s\" cannot be run", n.Portalname)
	}
	first, count, step, err := c.move(n.Direction.String(), n.HowMany, n.Ismove)
	if err == nil && c.position > c.rows.Len() {
		err = c.failure
	}
	if err != nil {
		c.failed = true
		return "", err
	}
	if c.portal != nil {
		c.portal.next = min(c.position, c.rows.Len())
	}
	verb := "FETCH "
	if n.Ismove {
		return "MOVE " + strconv.FormatInt(count, 10), nil
	}
	if c.binary && s.simple {
		formats := []int16{1}
		if c.portal != nil {
			formats = c.formats
		}
		s.rows.reset(exec.RowDescription(c.fields, formats))
	}
	if !c.binary && exec.AnyBinary(bind.ResultFormats) {
		rows := exec.NewSpool(0)
		defer rows.Close()
		for i := range count {
			raw, err := c.rows.Row(first + i*step - 1)
			if err != nil {
				return "", err
			}
			if err := rows.Add(raw); err != nil {
				return "", err
			}
		}
		return verb + strconv.FormatInt(count, 10), exec.Recode(ctx, &s.env, c.fields, rows, bind.ResultFormats, out)
	}
	for i := range count {
		raw, err := c.rows.Row(first + i*step - 1)
		if err != nil {
			return "", err
		}
		if err := out.Row(raw); err != nil {
			return "", err
		}
	}
	return verb + strconv.FormatInt(count, 10), nil
}

// move changes the cursor's position and gives the rows passed: count of them from first on, each step further. Where PostgreSQL has
// to go back for them, a cursor that only scans forward fails: to the row that it stands on, unless it need not be shown, and to any
// that is counted from the end.
func (c *cursor) move(direction string, howMany int64, unseen bool) (first, count, step int64, err error) {
	end := c.rows.Len() + 1
	relative := func(n int64) (int64, int64, int64, error) { // the row n rows further, and that alone
		to := c.position
		switch {
		case n > 0 && n > end-to:
			to = end
		case n < 0 && -n > to:
			to = 0
		default:
			to += n
		}
		if c.forward && (n < 0 || n == 0 && !unseen && to > 0 && to < end) {
			return 0, 0, 0, errForwardOnly()
		}
		c.position = to
		if to < 1 || to >= end {
			return 0, 0, 1, nil
		}
		return to, 1, 1, nil
	}
	switch direction {
	case "FETCH_BACKWARD":
		if howMany == math.MinInt64 {
			howMany = -math.MaxInt64
		}
		howMany = -howMany
		fallthrough
	case "FETCH_FORWARD":
		switch {
		case howMany == 0:
			return relative(0)
		case howMany > 0:
			count = min(howMany, max(end-1-c.position, 0))
			first = c.position + 1
			c.position = min(end, first+count-1)
			if count < howMany {
				c.position = end
			}
			return first, count, 1, nil
		}
		if c.forward {
			return 0, 0, 0, errForwardOnly()
		}
		count = min(-howMany, max(c.position-1, 0))
		first = c.position - 1
		c.position -= count
		if count < -howMany {
			c.position = 0
		}
		return first, count, -1, nil
	case "FETCH_ABSOLUTE":
		if c.forward && (howMany < 0 || howMany > 0 && howMany <= c.position) {
			return 0, 0, 0, errForwardOnly()
		}
		target := howMany
		if target < 0 {
			target = max(end+target, 0)
		}
		return relative(target - c.position)
	case "FETCH_RELATIVE":
		return relative(howMany)
	}
	return 0, 0, 0, sql.Errorf("42601", "unknown direction of FETCH")
}

func errForwardOnly() error {
	return &sql.Error{Code: "55000", Message: "cursor can only scan forward", Hint: "Declare it with SCROLL option to enable backward scan."}
}

// closeCursorsBeyond closes the cursors and portals made since a savepoint was set, the block's n-th, to which it was rolled back.
func (s *session) closeCursorsBeyond(n int) {
	for name, c := range s.cursors {
		if c.depth > n {
			c.close()
			delete(s.cursors, name)
		}
	}
	for name, p := range s.portals {
		if p.depth > n {
			p.close()
			delete(s.portals, name)
		}
	}
}

func (s *session) closeCursors() {
	for name, c := range s.cursors {
		c.close()
		delete(s.cursors, name)
	}
}

// endCursors closes what does not outlive the block: cursors without hold, and all of its own if it was rolled back.
func (s *session) endCursors(committed bool) {
	for name, c := range s.cursors {
		if !c.hold || c.fresh && !committed {
			c.close()
			delete(s.cursors, name)
		}
		c.fresh, c.depth = false, 0
	}
}

// declaresHeld tells whether the open block has declared a cursor WITH HOLD.
func (s *session) declaresHeld() bool {
	for _, c := range s.cursors {
		if c.hold && c.fresh {
			return true
		}
	}
	return false
}
