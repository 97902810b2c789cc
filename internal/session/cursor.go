package session

import (
	"context"
	"math"
	"strconv"

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
	hold     bool
	position int64 // 0 before the first row, n at row n, Len()+1 after the last
}

func (c *cursor) close() { c.rows.Close() }

// Bits of DeclareCursorStmt.Options (parsenodes.h).
const (
	cursorBinary   = 0x0001
	cursorNoScroll = 0x0004
	cursorHold     = 0x0020
)

// cursorSQL runs DECLARE, FETCH, MOVE and CLOSE of cursors that the session keeps.
func (s *session) cursorSQL(ctx context.Context, e *entry, bind *exec.Bind, out exec.RowWriter) (string, error) {
	switch e.kind {
	case kindDeclare:
		return "DECLARE CURSOR", s.declare(ctx, e.stmt)
	case kindFetch:
		return s.fetch(ctx, e.stmt, bind, out)
	}
	name := e.stmt.Tree.GetClosePortalStmt().Portalname
	if name == "" {
		s.closeCursors(true)
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
	s.cursors[name].close()
	delete(s.cursors, name)
	return "CLOSE CURSOR", nil
}

func (s *session) declare(ctx context.Context, stmt sql.Statement) error {
	n := stmt.Tree.GetDeclareCursorStmt()
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
	p := &prepared{text: text}
	if err := s.plan(ctx, p); err != nil {
		return err
	}
	if p.entry == nil || p.entry.prepared == nil {
		return errEmpty
	}
	c := &cursor{
		rows: exec.NewSpool(0), fields: p.entry.prepared.Fields, hold: hold,
		binary: n.Options&cursorBinary != 0, forward: n.Options&cursorNoScroll != 0,
	}
	bind := &exec.Bind{Text: text, Literals: p.literals}
	if c.binary {
		bind.ResultFormats = []int16{1}
	}
	if _, err := s.dispatch(ctx, p.entry, bind, spoolSink{c.rows}); err != nil {
		c.close()
		return err
	}
	if s.cursors == nil {
		s.cursors = map[string]*cursor{}
	}
	s.cursors[n.Portalname] = c
	return nil
}

// fetch runs FETCH and MOVE (PostgreSQL manual, FETCH).
func (s *session) fetch(ctx context.Context, stmt sql.Statement, bind *exec.Bind, out exec.RowWriter) (string, error) {
	n := stmt.Tree.GetFetchStmt()
	c := s.cursors[n.Portalname]
	first, count, step, err := c.move(n.Direction.String(), n.HowMany)
	if err != nil {
		return "", err
	}
	verb := "FETCH "
	if n.Ismove {
		return "MOVE " + strconv.FormatInt(count, 10), nil
	}
	if c.binary && s.simple {
		s.rows.reset(exec.RowDescription(c.fields, []int16{1}))
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

// move changes the cursor's position and gives the rows passed: count of them from first on, each step further.
func (c *cursor) move(direction string, howMany int64) (first, count, step int64, err error) {
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
		if n < 0 && c.forward {
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

// closeCursors closes the cursors that end with a transaction, or all.
func (s *session) closeCursors(all bool) {
	for name, c := range s.cursors {
		if all || !c.hold {
			c.close()
			delete(s.cursors, name)
		}
	}
}
