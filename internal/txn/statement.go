package txn

import "context"

// guardName is the savepoint before a statement that may have to be run again.
const guardName = "trunkline_statement"

// BeginStatement says that a new statement of the block begins. If it is guarded, each node that the block has used before sets a
// savepoint ahead of what the statement sends there, so that UndoStatement can take the statement back.
func (t *Tx) BeginStatement(guarded bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.statement++
	t.guarding = guarded && t.begin != ""
}

// guard sets the savepoint, once per statement. A node that has joined with the statement needs none: all it has done can go.
func (t *Tx) guard(p *participant) {
	if t.guarding && p.joined != t.statement && p.used != t.statement {
		p.conn.Prefix("SAVEPOINT " + guardName)
		p.guarded = true
	}
	p.used = t.statement
}

// releaseGuard releases the savepoint of an earlier statement.
func (t *Tx) releaseGuard(p *participant) {
	if p.guarded && p.used != t.statement {
		p.conn.Prefix("RELEASE SAVEPOINT " + guardName)
		p.guarded = false
	}
}

// UndoStatement takes back what the current statement has done, on all nodes that it used, and tells whether that was possible. If it
// was, the block is as it was before the statement, which may be run again; if not, the block has failed.
func (t *Tx) UndoStatement(ctx context.Context) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := make([]*participant, 0, len(t.participants))
	undone := t.begin != ""
	for _, p := range t.participants {
		fresh := p.joined == t.statement
		if p.used != t.statement {
			kept = append(kept, p)
			continue
		}
		t.drain(ctx, p)
		switch {
		case fresh:
			if p.conn.Err() == nil && p.conn.TxStatus() != 'I' {
				p.conn.Exec(ctx, "ROLLBACK")
			}
			t.manager.withdraw(t, p.conn)
			if p.conn != t.pinned {
				t.manager.config.Pools.Release(p.conn)
			}
			continue
		case p.guarded:
			if _, err := p.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT "+guardName); err != nil {
				undone = false
			}
		case p.wrote == t.statement || p.conn.TxStatus() == 'E' || p.conn.Err() != nil:
			undone = false
		}
		kept = append(kept, p)
	}
	t.participants = kept
	t.failed = !undone
	return undone && t.status() != 'E'
}
