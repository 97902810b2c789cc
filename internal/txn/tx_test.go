package txn_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/backend"
)

func TestOneNode(t *testing.T) {
	c := newCluster(t)
	tx := c.session()
	tx.Begin("BEGIN ISOLATION LEVEL REPEATABLE READ")
	if tx.Status() != 'T' || len(tx.Participants()) != 0 {
		t.Fatal("a node joined before it was needed")
	}
	insert(t, tx, 1, 1)
	if got := one(t, tx, 1, "SHOW transaction_isolation"); got != "repeatable read" {
		t.Fatal(got)
	}
	if got := c.rows(); got != "||" {
		t.Fatal(got)
	}
	commit(t, tx)
	if got := c.rows(); got != "|1|" || tx.Status() != 'I' {
		t.Fatal(got)
	}
	if points := strings.Join(c.passed(), ","); points != "before commit 1,sent commit 1,after commit 1" {
		t.Fatal(points)
	}
	tx.Begin("BEGIN")
	insert(t, tx, 1, 2)
	if err := tx.Rollback(t.Context()); err != nil || tx.InBlock() {
		t.Fatal(err)
	}
	if got := c.rows(); got != "|1|" {
		t.Fatal(got)
	}
}

func TestSeveralNodes(t *testing.T) {
	c := newCluster(t)
	tx := c.session()
	tx.Begin("BEGIN")
	for group := range int32(3) {
		insert(t, tx, group, 1)
	}
	commit(t, tx)
	if got := c.rows(); got != "1|1|1" {
		t.Fatal(got)
	}
	c.clean()
	if got := c.everywhere("SELECT count(*) FROM trunkline.commit_record"); got != "1|0|0" {
		t.Fatalf("the coordinator did not decide: %s", got)
	}
	c.manager.FlushRecords(t.Context())
	if got := c.everywhere("SELECT count(*) FROM trunkline.commit_record"); got != "0|0|0" {
		t.Fatalf("the record is left: %s", got)
	}
	tx.Begin("BEGIN")
	insert(t, tx, 1, 2)
	insert(t, tx, 2, 2)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.rows(); got != "1|1|1" {
		t.Fatal(got)
	}
}

// A node that only read takes no part in two-phase commit; one that wrote unseen, by a function, does.
func TestReadersAndSecretWriters(t *testing.T) {
	c := newCluster(t)
	tx := c.session()
	tx.Begin("BEGIN")
	insert(t, tx, 1, 1)
	one(t, tx, 2, "SELECT count(*) FROM t")
	commit(t, tx)
	if points := strings.Join(c.passed(), ","); strings.Contains(points, "prepare") {
		t.Fatal(points)
	}
	tx.Begin("BEGIN")
	insert(t, tx, 1, 2)
	one(t, tx, 2, "WITH w AS (INSERT INTO t VALUES (2) RETURNING x) SELECT x FROM w")
	commit(t, tx)
	if points := strings.Join(c.passed(), ","); !strings.Contains(points, "prepare") {
		t.Fatal(points)
	}
	if got := c.rows(); got != "|1 2|2" {
		t.Fatal(got)
	}
	c.clean()
}

// A notification is sent only if the writers' changes came to be.
func TestNotificationWaitsForTheDecision(t *testing.T) {
	c := newCluster(t)
	insert(t, c.session(), 1, 1)
	listener := c.session()
	var got int
	listener.OnAsync(func(_ int32, m backend.Message) {
		if m.Type == 'A' {
			got++
		}
	})
	if _, err := listener.Pin(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, listener, 0, "LISTEN ch")
	for want, groups := range [][]int32{{1}, {1, 2}, {2}} {
		tx := c.session()
		tx.Begin("BEGIN")
		run(t, tx, 0, "NOTIFY ch")
		for _, g := range groups {
			insert(t, tx, g, 1) // breaks the deferred constraint of node 1
		}
		_, err := tx.Commit(t.Context())
		if want = want / 2; (err == nil) != (want == 1) {
			t.Fatal(err)
		}
		run(t, listener, 0, "SELECT 1")
		if got != want {
			t.Fatalf("%d notifications, want %d", got, want)
		}
	}
}

// A block left in the middle of the extended protocol ends cleanly all the same.
func TestUnsyncedMessages(t *testing.T) {
	c := newCluster(t)
	for _, text := range []string{"INSERT INTO t VALUES (1)", "SELECT 1/0"} {
		tx := c.session()
		tx.Begin("BEGIN")
		conn, err := tx.Conn(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		tx.MarkWrite(1)
		conn.Send(&pgproto3.Parse{Query: text})
		conn.Send(&pgproto3.Bind{})
		conn.Send(&pgproto3.Execute{})
		if err := conn.Flush(); err != nil {
			t.Fatal(err)
		}
		if tx.Status() != 'T' {
			t.Fatalf("status %c", tx.Status())
		}
		if _, err := tx.Commit(t.Context()); (err == nil) != (text[0] == 'I') {
			t.Fatal(err)
		}
		if got := c.rows(); got != "|1|" {
			t.Fatal(got)
		}
	}
}

func TestSavepoints(t *testing.T) {
	c := newCluster(t)
	tx := c.session()
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, tx.Savepoint(ctx, "a"), "25P01")
	tx.Begin("BEGIN")
	insert(t, tx, 1, 1)
	check(tx.Savepoint(ctx, "a"))
	insert(t, tx, 1, 2)
	check(tx.Savepoint(ctx, "a")) // hides the first
	insert(t, tx, 2, 3)           // joins with both open
	insert(t, tx, 1, 3)
	check(tx.RollbackTo(ctx, "a"))
	insert(t, tx, 2, 4)
	check(tx.Release(ctx, "a"))
	insert(t, tx, 1, 5)
	check(tx.RollbackTo(ctx, "a")) // the first
	insert(t, tx, 1, 6)
	check(tx.Savepoint(ctx, "b"))
	if err := try(ctx, tx, 2, "SELECT 1/0"); code(err) != "22012" || tx.Status() != 'E' {
		t.Fatal(err)
	}
	wantCode(t, try(ctx, tx, 1, "SELECT 1"), "25P02")
	wantCode(t, tx.Savepoint(ctx, "c"), "25P02")
	check(tx.RollbackTo(ctx, "b"))
	insert(t, tx, 2, 7)
	wantCode(t, tx.Release(ctx, "c"), "3B001")
	if tx.Status() != 'E' {
		t.Fatal("an unknown savepoint does not fail the block")
	}
	check(tx.RollbackTo(ctx, "b"))
	insert(t, tx, 2, 8)
	commit(t, tx)
	if got := c.rows(); got != "|1 6|8" {
		t.Fatal(got)
	}
}

func TestManySavepointsLeaveNothingOpen(t *testing.T) {
	c := newCluster(t)
	tx := c.session()
	tx.Begin("BEGIN")
	for i := range 50 {
		if err := tx.Savepoint(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
		insert(t, tx, 1, i)
		if err := tx.Release(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
	}
	commit(t, tx)
	if got := c.everywhere("SELECT count(*) FROM t"); got != "0|50|0" {
		t.Fatal(got)
	}
}

func TestReplay(t *testing.T) {
	c := newCluster(t)
	tx := c.session()
	tx.Begin("BEGIN")
	run(t, tx, 1, "SET LOCAL work_mem = '7MB'")
	tx.Replay("SET LOCAL work_mem = '7MB'", 1)
	if err := tx.Savepoint(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	tx.Replay("SET LOCAL work_mem = '8MB'")
	for group := range int32(3) {
		if got := one(t, tx, group, "SHOW work_mem"); got != "8MB" {
			t.Fatal(group, got)
		}
	}
	if err := tx.RollbackTo(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	for group := range int32(3) {
		if got := one(t, tx, group, "SHOW work_mem"); got != "7MB" {
			t.Fatal(group, got)
		}
	}
	commit(t, tx)
}

func TestSettingsFollowTheSession(t *testing.T) {
	c := newCluster(t)
	tx := c.session()
	tx.SetSettings(backend.NewSettings(map[string]string{"work_mem": "3MB"}))
	if got := one(t, tx, 1, "SHOW work_mem"); got != "3MB" {
		t.Fatal(got)
	}
	tx.Begin("BEGIN")
	insert(t, tx, 1, 1)
	tx.SetSettings(tx.Settings().With("work_mem", "5MB"))
	if got := one(t, tx, 1, "SHOW work_mem") + one(t, tx, 2, "SHOW work_mem"); got != "5MB5MB" {
		t.Fatal(got)
	}
	tx.Rollback(t.Context())
	if got := one(t, tx, 2, "SHOW work_mem"); got != "5MB" {
		t.Fatal(got)
	}
	other := c.session()
	if got := one(t, other, 1, "SHOW work_mem"); got == "5MB" || got == "3MB" {
		t.Fatalf("another session sees %s", got)
	}
}

func TestPin(t *testing.T) {
	c := newCluster(t)
	tx := c.session()
	conn, err := tx.Pin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run(t, tx, 0, "CREATE TEMP TABLE mine (x int)")
	tx.Begin("BEGIN")
	run(t, tx, 0, "INSERT INTO mine VALUES (1)")
	insert(t, tx, 1, 1)
	commit(t, tx) // the coordinator decides, as a transaction with temporary tables cannot be prepared
	if again, err := tx.Pin(t.Context()); err != nil || again != conn || one(t, tx, 0, "SELECT count(*) FROM mine") != "1" {
		t.Fatal("the session's state is gone", err)
	}
	tx.Close()
	if got := one(t, c.session(), 0, "SELECT to_regclass('mine') IS NULL"); got != "t" {
		t.Fatal("another session sees the temporary table")
	}
}

func TestRunAtomically(t *testing.T) {
	c := newCluster(t)
	tx := c.session()
	both := func(x int, failure error) error {
		return tx.RunAtomically(t.Context(), func() error {
			insert(t, tx, 1, x)
			insert(t, tx, 2, x)
			return failure
		})
	}
	if err := both(1, nil); err != nil || tx.InBlock() {
		t.Fatal(err)
	}
	if err := both(2, errors.New("no")); err == nil || tx.InBlock() {
		t.Fatal("the failure was lost")
	}
	tx.Begin("BEGIN")
	if err := both(3, errors.New("no")); err == nil || tx.Status() != 'E' {
		t.Fatal("the block did not fail")
	}
	if tag, err := tx.Commit(t.Context()); tag != "ROLLBACK" || err != nil {
		t.Fatal(tag, err)
	}
	if got := c.rows(); got != "|1|1" {
		t.Fatal(got)
	}
}

func TestImplicitBlockBecomesExplicit(t *testing.T) {
	c := newCluster(t)
	tx := c.session()
	tx.BeginImplicit()
	if !tx.Implicit() {
		t.Fatal("not implicit")
	}
	one(t, tx, 1, "SELECT 1")
	tx.Begin("BEGIN READ ONLY")
	if tx.Implicit() || one(t, tx, 1, "SHOW transaction_read_only") != "on" || one(t, tx, 2, "SHOW transaction_read_only") != "on" {
		t.Fatal("the block's options were lost")
	}
	commit(t, tx)
}

// An interrupted statement, whose answer nobody has read to its end, does not keep a block from being rolled back. Should the node take
// so long over the cancel request that its connection is given up, the statement ends by itself before settle loses patience.
func TestRollbackOfRunningStatement(t *testing.T) {
	c := newCluster(t)
	tx := c.session()
	tx.Begin("BEGIN")
	insert(t, tx, 1, 1)
	conn, err := tx.Conn(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	conn.SendQuery("SELECT pg_sleep(60)")
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.settle()
	if got := c.rows(); got != "||" {
		t.Fatal(got)
	}
}
