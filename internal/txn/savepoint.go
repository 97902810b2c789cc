package txn

import (
	"context"
	"strconv"

	"github.com/trunkline/trunkline/internal/sql"
)

// Savepoint sets a savepoint. Nodes learn of it with their next statement.
func (t *Tx) Savepoint(ctx context.Context, name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.mustBeInBlock("SAVEPOINT"); err != nil {
		return err
	}
	if t.status() == 'E' {
		return errAborted
	}
	t.note(entry{savepoint: true, text: name})
	return nil
}

// Release releases a savepoint and those set after it. Nodes learn of it with their next statement.
func (t *Tx) Release(ctx context.Context, name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.mustBeInBlock("RELEASE SAVEPOINT"); err != nil {
		return err
	}
	if t.status() == 'E' {
		return errAborted
	}
	at := t.savepoint(name)
	if at < 0 {
		t.failed = true
		return noSavepoint(name)
	}
	kept := t.log[:at]
	for _, e := range t.log[at:] {
		if !e.savepoint {
			kept = append(kept, e)
		}
	}
	t.log = kept
	return nil
}

// RollbackTo undoes everything since a savepoint on every node, and makes a failed block usable again.
func (t *Tx) RollbackTo(ctx context.Context, name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.mustBeInBlock("ROLLBACK TO SAVEPOINT"); err != nil {
		return err
	}
	at := t.savepoint(name)
	if at < 0 {
		t.failed = true
		return noSavepoint(name)
	}
	id := t.log[at].id
	t.log = t.log[:at+1]

	var behind []*participant
	kept := t.participants[:0]
	for _, p := range t.participants {
		if p.lost() && !p.begun {
			// Its BEGIN failed, so nothing ever ran there.
			t.manager.withdraw(t, p.conn)
			if p.conn != t.pinned {
				t.manager.config.Pools.Release(p.conn)
			}
			continue
		}
		kept = append(kept, p)
		for i, open := range p.open {
			if open == id {
				p.open = p.open[:i+1]
				p.guarded = false // it was set later
				behind = append(behind, p)
				break
			}
		}
	}
	t.participants = kept
	t.failed = true // until every node has followed
	for _, p := range behind {
		t.drain(ctx, p)
		p.conn.SendQuery("ROLLBACK TO SAVEPOINT " + savepointName(id))
		p.conn.Flush()
	}
	var failure error
	for _, p := range behind {
		if _, err := p.conn.Collect(ctx); err != nil && failure == nil {
			failure = err
		}
	}
	if failure != nil {
		return failure
	}
	t.failed = false
	if t.status() == 'E' {
		t.failed = true
		return sql.Errorf("08006", "a node was lost that took part in the transaction, which can only be rolled back as a whole")
	}
	return nil
}

// Replay notes a statement that holds for the rest of the block, or until it is rolled back to an earlier savepoint: SET LOCAL, SET
// TRANSACTION, SET CONSTRAINTS. Every node is told with its next statement, save those that have run it already.
func (t *Tx) Replay(text string, done ...int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.begin == "" {
		return
	}
	t.note(entry{text: text})
	for _, group := range done {
		if p := t.participant(group); p != nil {
			p.last = t.entries
		}
	}
}

func (t *Tx) note(e entry) {
	t.entries++
	e.id = t.entries
	t.log = append(t.log, e)
}

// catchUp puts what a node has not been told yet before the caller's next message. Savepoints have names of our own on the nodes,
// so that one name used twice cannot be confused there.
func (t *Tx) catchUp(p *participant) {
	for i, id := range p.open {
		if !t.isOpen(id) {
			p.conn.Prefix("RELEASE SAVEPOINT " + savepointName(id))
			p.open = p.open[:i]
			break
		}
	}
	for _, e := range t.log {
		if e.id <= p.last {
			continue
		}
		if e.savepoint {
			p.conn.Prefix("SAVEPOINT " + savepointName(e.id))
			p.open = append(p.open, e.id)
		} else {
			p.conn.Prefix(e.text)
		}
	}
	p.last = t.entries
}

func (t *Tx) isOpen(id int) bool {
	for _, e := range t.log {
		if e.id == id {
			return true
		}
	}
	return false
}

// savepoint finds the last savepoint of a name in the log, -1 if there is none.
func (t *Tx) savepoint(name string) int {
	for i := len(t.log) - 1; i >= 0; i-- {
		if t.log[i].savepoint && t.log[i].text == name {
			return i
		}
	}
	return -1
}

func savepointName(id int) string { return "trunkline_" + strconv.Itoa(id) }

func noSavepoint(name string) error {
	return sql.Errorf("3B001", "savepoint \"%s\" does not exist", name)
}

func (t *Tx) mustBeInBlock(what string) error {
	if t.begin == "" || t.implicit {
		return sql.Errorf("25P01", "%s can only be used in transaction blocks", what)
	}
	return nil
}
