package txn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

// Commit ends the block and makes its changes last on all nodes, or on none. The tag is COMMIT, or ROLLBACK if the block had
// failed. After an error nothing was committed, except after SQLSTATE 08007, which says that the outcome is unknown.
//
// The named fault points are "before", "sent" and "after", then the message, then the group it goes to: "sent prepare 2" lies
// between sending PREPARE TRANSACTION to group 2 and reading its answer. Messages: "commit" (one writer, or none), "check" (of deferred constraints), "prepare",
// "decide" (the record and COMMIT on the decider), "commit prepared", "rollback", "rollback prepared".
func (t *Tx) Commit(ctx context.Context) (tag string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.begin == "" {
		return "COMMIT", nil
	}
	defer t.end()
	if t.status() == 'E' {
		return "ROLLBACK", t.rollback(ctx)
	}
	err = t.quiesce(ctx)
	var s sides
	if err == nil {
		s, err = t.sides(ctx)
	}
	if err != nil {
		t.rollback(ctx)
		return "", err
	}
	if len(s.writers) > 1 {
		return "COMMIT", t.commitTwoPhase(ctx, s)
	}
	return t.commitPlain(ctx, s)
}

// Rollback ends the block and undoes its changes on all nodes.
func (t *Tx) Rollback(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.begin == "" {
		return nil
	}
	defer t.end()
	return t.rollback(ctx)
}

// rollback rolls back wherever a block is open. A node that cannot be told rolls back by itself when its connection ends, so only
// a fault point's error is returned.
func (t *Tx) rollback(ctx context.Context) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer stop()
	var open []*participant
	for _, p := range t.participants {
		t.drain(ctx, p)
		if p.conn.Err() == nil && (p.conn.TxStatus() != 'I' || p.conn.Buffered()) {
			open = append(open, p)
		}
	}
	_, err := t.exchange(ctx, "rollback", open, "ROLLBACK")
	return err
}

// rollbackTimeout is how long a rollback may take before its connections are given up: rolling back is quick.
const rollbackTimeout = 30 * time.Second

// drain ends a statement that was left running and reads the rest of its answer.
func (t *Tx) drain(ctx context.Context, p *participant) {
	switch {
	case p.conn.Idle() || p.conn.Err() != nil:
		return
	case p.conn.Pending() == 0:
		p.conn.Sync()
	default:
		// Under a context that has ended the node is asked to cancel for as long as it takes: a request may come before the statement.
		ended, stop := context.WithCancel(ctx)
		stop()
		ctx = ended
	}
	for p.conn.Pending() > 0 && p.conn.Err() == nil {
		p.conn.Collect(ctx)
	}
}

// quiesce reads what is left of the answers to earlier statements, whose failure fails the commit.
func (t *Tx) quiesce(ctx context.Context) (failure error) {
	for _, p := range t.participants {
		if p.conn.Pending() == 0 && !p.conn.Idle() && !p.conn.Buffered() {
			p.conn.Sync()
		}
		for p.conn.Pending() > 0 && p.conn.Err() == nil {
			if _, err := p.conn.Collect(ctx); err != nil {
				failure = err
			}
		}
	}
	return failure
}

// commitTwoPhase commits where several have written.
func (t *Tx) commitTwoPhase(ctx context.Context, s sides) error {
	decider, others := chooseDecider(s.writers)
	gid := t.manager.newGID(decider.group)
	defer t.manager.forgetGID(gid)

	if err := t.checkConstraints(ctx, s); err != nil {
		return err
	}
	// Readers commit along with the preparation, while their failure still can make the whole transaction fail.
	answers, crash := t.prepare(ctx, gid, others, s.readers)
	if crash != nil {
		return crash
	}
	for _, a := range answers {
		if a.err != nil || a.tag == "ROLLBACK" {
			if crash := t.undo(ctx, gid, decider, others, answers); crash != nil {
				return crash
			}
			if a.err == nil {
				return &sql.Error{Code: "40000", Message: "transaction was rolled back by a node"}
			}
			return a.err
		}
	}
	committed, err := t.decide(ctx, gid, decider)
	var crashed *crashError
	if errors.As(err, &crashed) || isUnknown(err) {
		return err
	}
	if !committed {
		if crash := t.undo(ctx, gid, nil, others, answers); crash != nil {
			return crash
		}
		return err
	}
	if crash := t.finish(ctx, gid, decider, others); crash != nil {
		return crash
	}
	return t.commitLate(ctx, s.late)
}

// checkConstraints has all writers make their deferred checks while nobody else waits for this commit. The block is rolled back if one fails.
func (t *Tx) checkConstraints(ctx context.Context, s sides) error {
	if deferrable := t.manager.config.Deferrable; deferrable == nil || !deferrable() {
		return nil
	}
	answers, crash := t.exchange(ctx, "check", s.writers, "SET CONSTRAINTS ALL IMMEDIATE")
	if crash != nil {
		return crash
	}
	for _, a := range answers {
		if a.err != nil {
			t.rollback(ctx)
			return a.err
		}
	}
	return nil
}

// chooseDecider takes the coordinator if it has written, because session state (temporary tables, notifications) may keep its
// transaction from being prepared, and otherwise the node that was written to last.
func chooseDecider(writers []*participant) (decider *participant, others []*participant) {
	at := len(writers) - 1
	for i, p := range writers {
		if p.group == coordinator {
			at = i
		}
	}
	others = append(append(others, writers[:at]...), writers[at+1:]...)
	return writers[at], others
}

// prepare prepares the transaction on others and commits readers at the same time. The answers are in that order.
func (t *Tx) prepare(ctx context.Context, gid string, others, readers []*participant) ([]answer, error) {
	text := "PREPARE TRANSACTION '" + gid + "'"
	open, gate := splitGated(others)
	if err := t.send("prepare", open, text); err != nil {
		return nil, err
	}
	if err := t.send("prepare", gate, gated+text); err != nil {
		return nil, err
	}
	if err := t.send("commit", readers, "COMMIT"); err != nil {
		return nil, err
	}
	prepared, err := t.collect(ctx, "prepare", others)
	if err != nil {
		return nil, err
	}
	committed, err := t.collect(ctx, "commit", readers)
	return append(prepared, committed...), err
}

// decisive is what makes a decision: the record, in the decider's own transaction, and its commit. The commit is flushed even if the
// session has turned synchronous_commit off: a decision lost in a crash after others have acted on it would leave half a
// transaction.
const decisive = "INSERT INTO trunkline.commit_record (gid) VALUES ('%s');" +
	" SELECT pg_catalog.set_config('synchronous_commit', 'on', true) WHERE pg_catalog.current_setting('synchronous_commit') = 'off'; COMMIT"

// decide makes the decision to commit. If the decider's answer is lost it is asked again until the outcome is certain, or the
// error is 08007.
func (t *Tx) decide(ctx context.Context, gid string, decider *participant) (committed bool, err error) {
	answers, crash := t.exchange(ctx, "decide", []*participant{decider}, fmt.Sprintf(decisive, gid))
	if crash != nil {
		return false, crash
	}
	a := answers[0]
	switch {
	case a.lost:
		return t.askAgain(ctx, gid, decider)
	case a.err != nil:
		// The record may have failed inside the still open block, or the commit itself, which ended it.
		if decider.conn.TxStatus() != 'I' {
			if _, crash := t.exchange(ctx, "rollback", []*participant{decider}, "ROLLBACK"); crash != nil {
				return false, crash
			}
		}
		return false, excluded(a.err)
	case a.tag != "COMMIT":
		return false, &sql.Error{Code: "40000", Message: "transaction was rolled back by a node"}
	}
	return true, nil
}

// askAgain finds out what became of a decision whose answer was lost.
func (t *Tx) askAgain(ctx context.Context, gid string, decider *participant) (bool, error) {
	address := decider.conn.Address()
	decided, err := t.learn(ctx, gid, address)
	if err == nil && decided != committed {
		err = lostBefore(address, "committed")
	}
	return err == nil, err
}

func lostBefore(address backend.Address, what string) error {
	return &sql.Error{
		Code: "08006", Message: fmt.Sprintf("connection to node %s was lost before the transaction was %s", address, what),
		Detail: "The transaction was rolled back on all nodes.",
	}
}

// learn asks a decider what it has decided, until it is certain or the error is 08007.
func (t *Tx) learn(ctx context.Context, gid string, decider backend.Address) (decided decision, err error) {
	err = t.persist(ctx, gid, decider, func(ctx context.Context) error {
		decided, err = t.manager.outcome(ctx, decider, t.identity.Database, gid)
		return err
	})
	return decided, err
}

// persist repeats an exchange with a decider that was lost until it succeeds, or fails for another reason than the connection's. The
// error is 08007 if the decider does not come back in time.
func (t *Tx) persist(ctx context.Context, gid string, decider backend.Address, exchange func(context.Context) error) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), t.manager.config.AskFor)
	defer stop()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := exchange(ctx)
		var refused *pgconn.PgError
		var crashed *crashError
		if err == nil || errors.As(err, &crashed) || errors.As(err, &refused) && refused.Code == "42704" {
			return err
		}
		t.manager.config.Log.Warn("cannot learn the outcome of a transaction", "gid", gid, "error", err)
		select {
		case <-ctx.Done():
			return unknownOutcome(fmt.Sprintf("Node %s was lost before it answered the commit of transaction %s.", decider, gid),
				"Once the node is back, the transaction will be committed or rolled back on all nodes by itself.")
		case <-time.After(wait):
		}
	}
}

// finish carries a decision to commit out, the node with the gate last. What fails here is left to recovery; the transaction is
// committed all the same.
func (t *Tx) finish(ctx context.Context, gid string, decider *participant, others []*participant) error {
	open, gate := splitGated(others)
	complete, crash := t.finishOn(ctx, gid, open)
	if crash != nil {
		return crash
	}
	last, crash := t.finishOn(ctx, gid, gate)
	if crash != nil {
		return crash
	}
	if complete && last {
		t.manager.recordDone(recordHome{decider.conn.Address(), t.identity.Database}, gid)
	}
	return nil
}

// finishOn commits prepared transactions and tells whether all are through.
func (t *Tx) finishOn(ctx context.Context, gid string, others []*participant) (complete bool, crash error) {
	answers, crash := t.exchange(context.WithoutCancel(ctx), "commit prepared", others, "COMMIT PREPARED '"+gid+"'")
	if crash != nil {
		return false, crash
	}
	complete = true
	for i, a := range answers {
		if a.err == nil || isUndefinedObject(a.err) { // somebody's recovery was quicker
			continue
		}
		complete = false
		t.manager.recoverSoon()
		t.warn(fmt.Sprintf("node %s has not yet committed its part of the transaction", others[i].conn.Address()),
			fmt.Sprintf("The transaction is committed. Its prepared part %s will be committed there by recovery. (%s)", gid, a.err))
	}
	return complete, nil
}

// undo rolls back after a failed preparation or a decision against; decider is nil if it has ended its block already.
func (t *Tx) undo(ctx context.Context, gid string, decider *participant, others []*participant, answers []answer) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer stop()
	var prepared []*participant
	for i, p := range others {
		if answers[i].err == nil && answers[i].tag != "ROLLBACK" {
			prepared = append(prepared, p)
		} else if answers[i].lost {
			t.manager.recoverSoon()
		}
	}
	if decider != nil {
		if _, crash := t.exchange(ctx, "rollback", []*participant{decider}, "ROLLBACK"); crash != nil {
			return crash
		}
	}
	results, crash := t.exchange(ctx, "rollback prepared", prepared, "ROLLBACK PREPARED '"+gid+"'")
	for i, a := range results {
		if a.err != nil {
			t.manager.recoverSoon()
			t.manager.config.Log.Warn("left to recovery: cannot roll back a prepared transaction", "gid", gid, "group", prepared[i].group, "error", a.err)
		}
	}
	return crash
}

func (t *Tx) warn(message, detail string) {
	t.manager.config.Log.Warn(message, "detail", detail)
	if t.onNotice != nil {
		t.onNotice(&sql.Error{Code: "01000", Message: message, Detail: detail})
	}
}

// answer is what a participant answered to one message of a commit.
type answer struct {
	tag  string // of its last statement
	err  error
	lost bool // the connection broke, so whether the node acted is unknown
}

// crashError is a fault point's error.
type crashError struct{ error }

func (c *crashError) Unwrap() error { return c.error }

// fault passes a named point. When the hook fails there, all connections are cut as if the gateway had died.
func (t *Tx) fault(when, message string, p *participant) error {
	hook := t.manager.config.Faults
	if hook == nil {
		return nil
	}
	err := hook(fmt.Sprintf("%s %s %d", when, message, p.group))
	if err == nil {
		return nil
	}
	for _, p := range t.participants {
		p.conn.Abandon()
	}
	return &crashError{err}
}

// exchange sends a message to each participant and reads every answer. The error is a fault point's.
func (t *Tx) exchange(ctx context.Context, message string, to []*participant, text string) ([]answer, error) {
	if err := t.send(message, to, text); err != nil {
		return nil, err
	}
	return t.collect(ctx, message, to)
}

func (t *Tx) send(message string, to []*participant, text string) error {
	for _, p := range to {
		if err := t.fault("before", message, p); err != nil {
			return err
		}
		p.conn.SendQuery(text)
		p.conn.Flush() // an error comes again when the answer is read
	}
	for _, p := range to {
		if err := t.fault("sent", message, p); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tx) collect(ctx context.Context, message string, from []*participant) ([]answer, error) {
	answers := make([]answer, len(from))
	for i, p := range from {
		results, err := p.conn.Collect(ctx)
		answers[i] = answer{err: err, lost: p.conn.Err() != nil}
		if err == nil && len(results) > 0 {
			answers[i].tag = results[len(results)-1].Tag
		}
		if err := t.fault("after", message, p); err != nil {
			return nil, err
		}
	}
	return answers, nil
}

func unknownOutcome(detail, hint string) error {
	return &sql.Error{Code: "08007", Message: "the outcome of the transaction is unknown", Detail: detail, Hint: hint}
}

func isUnknown(err error) bool {
	var e *sql.Error
	return errors.As(err, &e) && e.Code == "08007"
}

// excluded names the reason if a decision failed because a tombstone was there first.
func excluded(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) && e.Code == "23505" && e.SchemaName == "trunkline" && e.TableName == "commit_record" {
		return &sql.Error{
			Code: "40001", Message: "transaction was rolled back by transaction recovery",
			Detail: "Its commit took so long that another gateway took it for abandoned.", Hint: "The transaction might succeed if retried.",
		}
	}
	return err
}

// recordHome is where a commit record is kept.
type recordHome struct {
	address  backend.Address
	database string
}
