package txn

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

// A client's own PREPARE TRANSACTION prepares a branch of the block on every node that takes part in it, all under one id of ours. Then
// the coordinator is told in one transaction (trunkline_internal.hold_transaction): it keeps the client's id with the branches' id
// and groups, and a commit record that says neither yes nor no. That transaction's commit is what makes the client's transaction
// prepared. Branches without such a record are rolled back by recovery like any others; with it, they wait for the client.
//
// COMMIT PREPARED and ROLLBACK PREPARED turn the record into yes or no (trunkline_internal.end_transaction) and then carry it out on the
// nodes. From then on it is a decision like any other, which recovery carries out where nobody else does.

// PrepareAs ends the block by preparing it on all its nodes under the client's id, or by rolling it back. The tag is PREPARE
// TRANSACTION, or ROLLBACK if the block had failed. After an error nothing is prepared, except after SQLSTATE 08007, which says
// that the outcome is unknown.
//
// The fault points are those of Commit; the messages are "prepare" and "hold", which goes to the coordinator.
func (t *Tx) PrepareAs(ctx context.Context, gid string) (tag string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.end()
	if t.status() == 'E' {
		return "ROLLBACK", t.rollback(ctx)
	}
	if err := t.quiesce(ctx); err != nil {
		t.rollback(ctx)
		return "", err
	}
	if len(gid) >= maxGID {
		t.rollback(ctx)
		return "", sql.Errorf("22023", "transaction identifier \"%s\" is too long", gid)
	}
	if t.inForeignDatabase() {
		return t.prepareForeign(ctx, gid)
	}
	branch := t.manager.newGID(coordinator)
	defer t.manager.forgetGID(branch)
	answers, crash := t.exchange(ctx, "prepare", t.participants, "PREPARE TRANSACTION '"+branch+"'")
	if crash != nil {
		return "", crash
	}
	for _, a := range answers {
		if a.err != nil || a.tag == "ROLLBACK" {
			if crash := t.undo(ctx, branch, nil, t.participants, answers); crash != nil {
				return "", crash
			}
			if a.err == nil {
				return "ROLLBACK", nil
			}
			return "", a.err
		}
	}
	err = t.hold(ctx, gid, branch)
	var crashed *crashError
	if err == nil || errors.As(err, &crashed) || isUnknown(err) {
		return "PREPARE TRANSACTION", err
	}
	if crash := t.undo(ctx, branch, nil, t.participants, answers); crash != nil {
		return "", crash
	}
	return "", err
}

// maxGID is PostgreSQL's GIDSIZE: ids of so many bytes are too long.
const maxGID = 200

// inForeignDatabase tells whether the session's database is one in which nothing is distributed. There, transactions are the
// coordinator's alone.
func (t *Tx) inForeignDatabase() bool { return t.identity.Database != t.manager.config.Admin.Database }

func (t *Tx) prepareForeign(ctx context.Context, gid string) (string, error) {
	conn, release, err := t.onCoordinator(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	if len(t.participants) == 0 {
		conn.SendQuery(t.begin)
		if _, err := conn.Collect(ctx); err != nil {
			return "", err
		}
	}
	results, err := conn.Exec(ctx, "PREPARE TRANSACTION "+sql.QuoteLiteral(gid))
	if err != nil {
		return "", err
	}
	return results[0].Tag, nil
}

// onCoordinator lends a connection to the coordinator as the session's user: the block's own, if the coordinator has taken part in it.
func (t *Tx) onCoordinator(ctx context.Context) (*backend.Conn, func(), error) {
	if p := t.participant(coordinator); p != nil {
		return p.conn, nothing, nil
	}
	conn, err := t.acquire(ctx, coordinator)
	if err != nil {
		return nil, nil, err
	}
	release := nothing
	if conn != t.pinned {
		release = func() { t.manager.config.Pools.Release(conn) }
	}
	if err := conn.Apply(ctx, t.settings, false); err != nil {
		release()
		return nil, nil, err
	}
	return conn, release, nil
}

// durably is a call of a function as a transaction of its own that is flushed and may write, whatever the session has set.
func durably(call string) string {
	return "BEGIN READ WRITE; SELECT pg_catalog.set_config('synchronous_commit', 'on', true) WHERE pg_catalog.current_setting('synchronous_commit') = 'off';" +
		" SELECT " + call + "; COMMIT"
}

// tell runs a call on the coordinator as a durable transaction. lost says that its outcome is unknown.
func (t *Tx) tell(ctx context.Context, message, call string) (lost bool, err error) {
	conn, release, err := t.onCoordinator(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	to := []*participant{{group: coordinator, conn: conn}}
	answers, crash := t.exchange(ctx, message, to, durably(call))
	if crash != nil {
		conn.Abandon()
		return false, crash
	}
	if a := answers[0]; a.err != nil {
		if !a.lost && conn.TxStatus() != 'I' {
			conn.Exec(context.WithoutCancel(ctx), "ROLLBACK")
		}
		return a.lost, excluded(a.err)
	}
	return false, nil
}

// hold makes the prepared branches the client's prepared transaction.
func (t *Tx) hold(ctx context.Context, gid, branch string) error {
	groups := make([]string, len(t.participants))
	for i, p := range t.participants {
		groups[i] = strconv.Itoa(int(p.group))
	}
	lost, err := t.tell(ctx, "hold", fmt.Sprintf("trunkline_internal.hold_transaction(%s, '%s', '{%s}')", sql.QuoteLiteral(gid), branch, strings.Join(groups, ",")))
	if !lost {
		return err
	}
	address, err := t.address(coordinator)
	if err != nil {
		return err
	}
	decided, err := t.learn(ctx, branch, address)
	if err == nil && decided == rolledBack {
		return lostBefore(address, "prepared")
	}
	return err
}

// FinishPrepared carries out COMMIT PREPARED or ROLLBACK PREPARED outside a block. What cannot be done on a node at once is left to
// recovery, with a warning. The error is PostgreSQL's own for ids that are not the client's to finish, or 08007.
//
// The messages at whose fault points it stops are "end", which goes to the coordinator, and "commit prepared" or "rollback prepared".
func (t *Tx) FinishPrepared(ctx context.Context, gid string, commit bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	branch, groups, err := t.findPrepared(ctx, gid)
	if err != nil {
		return err
	}
	statement, message := "ROLLBACK PREPARED ", "rollback prepared"
	if commit {
		statement, message = "COMMIT PREPARED ", "commit prepared"
	}
	if branch == "" {
		return t.finishForeign(ctx, gid, statement)
	}
	t.manager.keepGID(branch)
	defer t.manager.forgetGID(branch)
	call := fmt.Sprintf("trunkline_internal.end_transaction(%s, '%s', %t)", sql.QuoteLiteral(gid), branch, commit)
	lost, err := t.tell(ctx, "end", call)
	if lost {
		err = t.tellAgain(ctx, call, branch, commit)
	}
	if err != nil {
		return err
	}
	return t.carryOut(context.WithoutCancel(ctx), branch, groups, message, statement)
}

// findPrepared finds a client's prepared transaction. branch is "" if there is none of that id.
func (t *Tx) findPrepared(ctx context.Context, gid string) (branch string, groups []int32, err error) {
	if t.inForeignDatabase() {
		return "", nil, nil
	}
	conn, release, err := t.onCoordinator(ctx)
	if err != nil {
		return "", nil, err
	}
	defer release()
	results, err := conn.Exec(ctx, "SELECT branch, g FROM trunkline_internal.prepared_transaction LEFT JOIN LATERAL pg_catalog.unnest(groups) g ON true WHERE gid = "+sql.QuoteLiteral(gid))
	if err != nil {
		return "", nil, err
	}
	for _, row := range results[0].Rows {
		branch = string(row[0])
		if row[1] != nil {
			n, err := strconv.ParseInt(string(row[1]), 10, 32)
			if err != nil {
				return "", nil, err
			}
			groups = append(groups, int32(n))
		}
	}
	return branch, groups, nil
}

// finishForeign finishes what is the coordinator's own: a transaction that was prepared there directly, or in another database.
// Branches of ours are not the client's to finish.
func (t *Tx) finishForeign(ctx context.Context, gid, statement string) error {
	if _, ours := parseGID(gid); ours {
		return sql.Errorf("42704", "prepared transaction with identifier \"%s\" does not exist", gid)
	}
	conn, release, err := t.onCoordinator(ctx)
	if err != nil {
		return err
	}
	defer release()
	_, err = conn.Exec(ctx, statement+sql.QuoteLiteral(gid))
	return err
}

// tellAgain repeats a decision whose answer was lost, until it is certain what was decided.
func (t *Tx) tellAgain(ctx context.Context, call, branch string, commit bool) error {
	address, err := t.address(coordinator)
	if err != nil {
		return err
	}
	return t.persist(ctx, branch, address, func(ctx context.Context) error {
		_, err := t.tell(ctx, "end", call)
		if err == nil || !isUndefinedObject(err) {
			return err
		}
		// The first attempt went through, or someone else's.
		decided, failure := t.manager.outcome(ctx, address, t.identity.Database, branch)
		if failure == nil && (decided == committed) != commit {
			failure = err
		}
		return failure
	})
}

// carryOut finishes the branches of a client's transaction that has been decided on.
func (t *Tx) carryOut(ctx context.Context, branch string, groups []int32, message, statement string) error {
	var reached []*participant
	complete := true
	left := func(node string, err error) {
		complete = false
		t.manager.recoverSoon()
		t.warn(fmt.Sprintf("node %s has not yet finished its part of the prepared transaction", node),
			fmt.Sprintf("The decision stands. The prepared part %s will be finished there by recovery. (%s)", branch, err))
	}
	for _, group := range groups {
		conn, err := t.acquire(ctx, group)
		if err == nil {
			if err = conn.Apply(ctx, t.settings, false); err == nil {
				reached = append(reached, &participant{group: group, conn: conn})
			}
			if conn != t.pinned {
				defer t.manager.config.Pools.Release(conn)
			}
		}
		if err != nil {
			left("of group "+strconv.Itoa(int(group)), err)
		}
	}
	answers, crash := t.exchange(ctx, message, reached, statement+"'"+branch+"'")
	if crash != nil {
		for _, p := range reached {
			p.conn.Abandon()
		}
		return crash
	}
	for i, a := range answers {
		if a.err != nil && !isUndefinedObject(a.err) {
			left(reached[i].conn.Address().String(), a.err)
		}
	}
	if address, err := t.address(coordinator); err == nil && complete {
		t.manager.recordDone(recordHome{address, t.identity.Database}, branch)
	}
	return nil
}

// isUndefinedObject tells whether a node says that a prepared transaction does not exist.
func isUndefinedObject(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.Code == "42704"
}
