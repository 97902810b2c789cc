package move

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// applier carries the stream's changes out on the parts' tables, many to a transaction, in a goroutine of its own.
type applier struct {
	o     *operation
	conns []*backend.Conn // one per part

	names   int           // prepared statements so far
	pending int           // changes that no Sync has followed yet
	marks   chan string   // those that have come, with everything before them applied
	failed  chan struct{} // closed when err is set
	err     error
}

// maxPending bounds the changes of one transaction on the parts, but never cuts one of the source's in two.
const maxPending = 1000

// follow starts the stream, and returns once the parts are hardly behind the source.
func (o *operation) follow(ctx context.Context) error {
	if err := o.enter(ctx, stepCatchUp); err != nil {
		return err
	}
	a := &applier{o: o, marks: make(chan string, 16), failed: make(chan struct{})}
	for _, p := range o.Parts {
		conn, err := o.to(ctx, p.Group)
		if err != nil {
			return err
		}
		// As PostgreSQL's own apply workers: no triggers, no checks of foreign keys, which the source has made. Operators of users'
		// types are where the database's search_path finds them. The switch's PREPARE flushes all that has been applied.
		if err := run(ctx, conn, "SET session_replication_role = replica; RESET search_path; SET synchronous_commit = off"); err != nil {
			return err
		}
		a.conns = append(a.conns, conn)
	}
	if err := o.stream.start(ctx, o.publication()); err != nil {
		return err
	}
	o.applier = a
	go a.run(ctx)
	source, err := o.hand(ctx, o.Source)
	if err != nil {
		return err
	}
	if err := o.catchUp(ctx, source); err != nil {
		return err
	}
	return o.fault("caught up")
}

// catchUp waits until a mark comes through so soon that the parts are hardly behind the source; or as soon as one can come through here.
func (o *operation) catchUp(ctx context.Context, source *backend.Conn) error {
	for within := closeBehind; ; within += closeBehind / 10 {
		o.marks++
		sent := time.Now()
		if err := o.applier.roundTrip(ctx, source, fmt.Sprintf("mark %d", o.marks), 0); err != nil {
			return err
		}
		if time.Since(sent) <= within {
			return nil
		}
	}
}

// closeBehind is how long a mark may take to come through for the parts to be hardly behind the source.
const closeBehind = 50 * time.Millisecond

// errBehind says that a mark did not come through in time.
var errBehind = fmt.Errorf("the target is behind the source")

// roundTrip sends a mark and waits until everything before it has been applied; for no longer than patience, unless that is 0.
func (a *applier) roundTrip(ctx context.Context, source *backend.Conn, text string, patience time.Duration) error {
	if err := a.o.mark(ctx, source, text); err != nil {
		return err
	}
	if patience > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, patience, errBehind)
		defer stop()
	}
	for {
		select {
		case came := <-a.marks:
			if came == text {
				return nil
			}
		case <-a.failed:
			return fmt.Errorf("applying changes: %w", a.err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (a *applier) run(ctx context.Context) {
	if err := a.apply(ctx); err != nil {
		a.err = err
		close(a.failed)
	}
}

// apply applies the stream's events until it ends.
func (a *applier) apply(ctx context.Context) error {
	for e := range a.o.stream.events {
		switch e.kind {
		case marked:
			if err := a.sync(ctx); err != nil {
				return err
			}
			select {
			case a.marks <- e.mark:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		case committed:
			if len(a.o.stream.events) == 0 || a.pending >= maxPending {
				if err := a.sync(ctx); err != nil {
					return err
				}
				a.o.stream.applied.Store(e.lsn)
				a.o.progress.targetLSN.Store(e.lsn)
			}
		default:
			if err := a.change(e); err != nil {
				return err
			}
		}
	}
	return a.o.stream.failed
}

// change sends one change to the parts.
func (a *applier) change(e event) error {
	shape, parameters := shapeOf(e)
	name, known := e.rel.statements[shape]
	if !known {
		a.names++
		name = "change_" + strconv.Itoa(a.names)
		e.rel.statements[shape] = name
	}
	for i, conn := range a.conns {
		if !known {
			text, err := a.statement(i, e)
			if err != nil {
				return err
			}
			conn.Send(&pgproto3.Parse{Name: name, Query: text})
		}
		conn.Send(&pgproto3.Bind{PreparedStatement: name, Parameters: parameters})
		conn.Send(&pgproto3.Execute{})
	}
	if a.pending++; a.pending%100 == 0 {
		for _, conn := range a.conns {
			if err := conn.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// shapeOf names the statement that carries a change out, and gives its parameters: the new row's values that were sent, then those
// that find the old row.
func shapeOf(e event) (shape string, parameters [][]byte) {
	var b strings.Builder
	b.WriteByte("iud"[e.kind])
	for _, v := range e.new {
		if v.kind == 'u' {
			b.WriteByte('-')
			continue
		}
		b.WriteByte('+')
		parameters = append(parameters, v.parameter())
	}
	if e.kind != inserted {
		for i, v := range e.found() {
			if e.rel.full || e.rel.columns[i].key {
				parameters = append(parameters, v.parameter())
			}
		}
	}
	return b.String(), parameters
}

func (v value) parameter() []byte {
	if v.kind == 't' {
		if v.text == nil {
			return []byte{}
		}
		return v.text
	}
	return nil
}

// found is the row that a change finds its row by: the new one has the same key if the old one was not sent.
func (e event) found() []value {
	if e.old != nil {
		return e.old
	}
	return e.new
}

// statement writes the statement that carries changes of an event's shape out on a part.
func (a *applier) statement(part int, e event) (string, error) {
	t := a.o.tableOf(e.rel)
	if t == nil {
		return "", fmt.Errorf("the stream has changes of a table %q that is not to be followed", e.rel.name)
	}
	table := a.o.partTable(part, t)
	var columns, values, sets []string
	number := 0
	for i, v := range e.new {
		if v.kind == 'u' {
			continue
		}
		number++
		name := sql.QuoteIdentifier(e.rel.columns[i].name)
		columns = append(columns, name)
		values = append(values, "$"+strconv.Itoa(number))
		sets = append(sets, name+" = $"+strconv.Itoa(number))
	}
	if e.kind == inserted {
		return a.insertion(part, t, e.rel, table, columns, values)
	}
	var conditions []string
	for _, c := range e.rel.columns {
		name := sql.QuoteIdentifier(c.name)
		switch {
		case e.rel.full:
			number++
			conditions = append(conditions, fmt.Sprintf("%s::pg_catalog.text IS NOT DISTINCT FROM $%d::pg_catalog.text", name, number))
		case c.key:
			number++
			conditions = append(conditions, fmt.Sprintf("%s = $%d", name, number))
		}
	}
	where := strings.Join(conditions, " AND ")
	if e.rel.full { // several rows may be the same
		where = "ctid = (SELECT ctid FROM ONLY " + table + " WHERE " + where + " LIMIT 1)"
	}
	if e.kind == deleted {
		return "DELETE FROM ONLY " + table + " WHERE " + where, nil
	}
	if len(sets) == 0 { // all that was sent is unchanged
		return "UPDATE ONLY " + table + " SET " + columnItself(e.rel) + " WHERE " + where, nil
	}
	return "UPDATE ONLY " + table + " SET " + strings.Join(sets, ", ") + " WHERE " + where, nil
}

func columnItself(rel *relation) string {
	name := sql.QuoteIdentifier(rel.columns[0].name)
	return name + " = " + name
}

// insertion writes an INSERT, which for a part of several happens only if the row is that part's.
func (a *applier) insertion(part int, t *Table, rel *relation, table string, columns, values []string) (string, error) {
	if len(columns) == 0 {
		return "INSERT INTO " + table + " DEFAULT VALUES", nil
	}
	into := "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") "
	if !a.o.split() {
		return into + "VALUES (" + strings.Join(values, ", ") + ")", nil
	}
	key := ""
	for i, c := range rel.columns {
		kind := t.column(c.name)
		if kind == nil {
			return "", fmt.Errorf("table %q has no column %q", t.Name, c.name)
		}
		values[i] += "::" + kind.Type
		if c.name == t.Key {
			key = values[i]
		}
	}
	return into + "SELECT " + strings.Join(values, ", ") + " WHERE " + a.o.belongs(part, t, key), nil
}

func (t *Table) column(name string) *Column {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return &t.Columns[i]
		}
	}
	return nil
}

// tableOf finds the table whose shard on the source the stream speaks of.
func (o *operation) tableOf(rel *relation) *Table {
	for i := range o.shape.Tables {
		if t := &o.shape.Tables[i]; t.Name == rel.name && catalog.ShardSchema(t.Schema, o.ShardGroup) == rel.schema {
			return t
		}
	}
	return nil
}

// sync commits what is pending, and makes sure that each change found its row.
func (a *applier) sync(ctx context.Context) error {
	if a.pending == 0 {
		return nil
	}
	for _, conn := range a.conns {
		conn.Sync()
		if err := conn.Flush(); err != nil {
			return err
		}
	}
	var changed int64
	for _, conn := range a.conns {
		n, err := affected(ctx, conn)
		if err != nil {
			return err
		}
		changed += n
	}
	if changed != int64(a.pending) {
		return fmt.Errorf("%d changes of the source affected %d rows of the target", a.pending, changed)
	}
	a.o.progress.changes.Add(changed)
	a.pending = 0
	return nil
}

// affected reads answers up to the next ReadyForQuery and adds up the rows that they speak of.
func affected(ctx context.Context, conn *backend.Conn) (int64, error) {
	var total int64
	var failure error
	for {
		m, err := conn.Receive(ctx)
		if err != nil {
			return 0, err
		}
		switch m.Type {
		case 'C':
			tag := strings.TrimSuffix(string(m.Body()), "\x00")
			total += number([]byte(tag[strings.LastIndexByte(tag, ' ')+1:]))
		case 'E':
			if failure == nil {
				failure = backend.DecodeError(m)
			}
		case 'Z':
			return total, failure
		}
	}
}
