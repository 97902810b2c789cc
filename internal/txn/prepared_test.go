package txn_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/txn"
)

// prepareAs inserts x on each group in one transaction and prepares it for a client.
func (c *cluster) prepareAs(gid string, x int, groups ...int32) error {
	c.Helper()
	tx := c.session()
	tx.Begin("BEGIN")
	for _, g := range groups {
		insert(c.T, tx, g, x)
	}
	tag, err := tx.PrepareAs(c.Context(), gid)
	if err == nil && tag != "PREPARE TRANSACTION" {
		c.Fatal(tag)
	}
	return err
}

// isPrepared tells whether a client's transaction is prepared as far as clients can see.
func (c *cluster) isPrepared(gid string) bool {
	c.Helper()
	rows := pgtest.Rows(c, c.nodes.Coordinator.DSN(c.database), "SELECT FROM trunkline_internal.prepared_transaction WHERE gid = "+sql.QuoteLiteral(gid))
	return len(rows) == 1
}

// branches counts the prepared transactions on all nodes.
func (c *cluster) branches() int {
	c.Helper()
	n := 0
	for _, text := range strings.Split(c.everywhere("SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"), "|") {
		var on int
		fmt.Sscan(text, &on)
		n += on
	}
	return n
}

func TestPreparedTransaction(t *testing.T) {
	c := newCluster(t)
	for x, groups := range [][]int32{{}, {0}, {1}, {1, 2}, {2, 0, 1}} {
		for _, commit := range []bool{true, false} {
			gid := fmt.Sprintf("%s's %d", c.database, x)
			if err := c.prepareAs(gid, x, groups...); err != nil {
				t.Fatal(err)
			}
			wantCode(t, c.prepareAs(gid, 100+x, 1), "42710")
			if n := c.branches(); n != len(groups) || c.has(x) != 0 || !c.isPrepared(gid) {
				t.Fatalf("%d of %d branches, %d rows", n, len(groups), c.has(x))
			}
			if done, err := c.recoverAll(); err != nil || done != (txn.Recovery{}) {
				t.Fatal("recovery touched it: ", done, err)
			}
			if err := c.session().FinishPrepared(t.Context(), gid, commit); err != nil {
				t.Fatal(err)
			}
			want := 0
			if commit {
				want = len(groups)
			}
			if c.branches() != 0 || c.has(x) != want || c.isPrepared(gid) {
				t.Fatalf("on %d of %d nodes", c.has(x), want)
			}
			wantCode(t, c.session().FinishPrepared(t.Context(), gid, commit), "42704")
			if commit {
				for _, g := range groups {
					if err := pgtest.Exec(t.Context(), c.nodes.All()[g].DSN(c.database), "DELETE FROM t"); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	c.manager.FlushRecords(t.Context())
	c.settle()
	if got := c.everywhere("SELECT count(*) FROM trunkline.commit_record"); got != "0|0|0" {
		t.Errorf("records are left: %s", got)
	}
}

// A transaction of someone else's is not one's own to finish; a superuser may.
func TestPreparedTransactionOfAnother(t *testing.T) {
	c := newCluster(t)
	const role = "preparing_user"
	for _, s := range c.nodes.All() {
		if err := pgtest.Exec(t.Context(), s.DSN(c.database), "DROP ROLE IF EXISTS "+role+"; CREATE ROLE "+role+" LOGIN"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { pgtest.Exec(context.Background(), s.DSN(c.database), "DROP ROLE "+role) })
	}
	gid := c.database
	if err := c.prepareAs(gid, 1, 1, 2); err != nil {
		t.Fatal(err)
	}
	other := c.session()
	wantCode(t, tryAs(c, role, gid), "42501")
	if err := other.FinishPrepared(t.Context(), gid, true); err != nil {
		t.Fatal(err)
	}
}

func tryAs(c *cluster, role, gid string) error {
	identity := c.identity
	identity.User, identity.Password = role, ""
	tx := c.manager.New(identity, c.locate)
	c.Cleanup(tx.Close)
	return tx.FinishPrepared(c.Context(), gid, true)
}

// The gateway dies at each point of a client's PREPARE TRANSACTION, COMMIT PREPARED and ROLLBACK PREPARED.
func TestGatewayDiesAroundPreparedTransaction(t *testing.T) {
	c := newCluster(t)
	finish := func(commit bool) func(gid string, x int) error {
		return func(gid string, x int) error {
			if err := c.prepareAs(gid, x, 1, 2); err != nil {
				return err
			}
			return c.session().FinishPrepared(t.Context(), gid, commit)
		}
	}
	steps := []struct {
		name string
		run  func(gid string, x int) error
	}{{"commit", finish(true)}, {"rollback", finish(false)}}
	for s, step := range steps {
		c.at("", nil)
		if err := step.run(c.database+step.name, -1-s); err != nil {
			t.Fatal(err)
		}
		points := c.passed()
		if len(points) != 18 {
			t.Fatal(points)
		}
		for i, point := range points {
			t.Run(step.name+", "+point, func(t *testing.T) {
				c.T = t
				x := 100*(s+1) + i
				gid := fmt.Sprintf("%s %d", c.database, x)
				c.at(point, func() error { return errCrash })
				if err := step.run(gid, x); !errors.Is(err, errCrash) {
					t.Fatal(err)
				}
				c.at("", nil)
				c.afterFault(gid, x, "")
			})
		}
		c.T = t
	}
}

// afterFault recovers, finishes what a fault has left prepared, and checks that the transaction is whole or not there. told is the
// SQLSTATE of the client's last answer, "-" if that was a success.
func (c *cluster) afterFault(gid string, x int, told string) {
	c.Helper()
	c.until("recovery is through", func() bool {
		done, err := c.recoverAll()
		n := c.branches()
		return err == nil && done.Left == 0 && (n == 0 || n == 2 && c.isPrepared(gid))
	})
	n := c.has(x)
	if c.isPrepared(gid) {
		if n != 0 {
			c.Fatalf("prepared, and already on %d nodes", n)
		}
		if err := c.session().FinishPrepared(c.Context(), gid, true); err != nil {
			c.Fatal(err)
		}
		if n = c.has(x); n != 2 {
			c.Fatalf("committed on %d of 2 nodes", n)
		}
	}
	if n == 1 {
		c.Fatal("committed on one node only")
	}
	c.settle()
	if told == "-" && n == 0 {
		c.Fatal("a commit that was acknowledged is lost")
	}
	if err := c.prepareAs(gid, -x, 1, 2); err != nil { // neither the id nor locks are left
		c.Fatal(err)
	}
	if err := c.session().FinishPrepared(c.Context(), gid, false); err != nil {
		c.Fatal(err)
	}
}

func (c *cluster) until(what string, holds func() bool) {
	c.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.Fatalf("it does not come about: %s", what)
		}
	}
}

// Each server dies at each point of a client's two-phase commit: the two that hold branches, and the coordinator, which decides.
func TestNodeDiesAroundPreparedTransaction(t *testing.T) {
	if testing.Short() {
		t.Skip("restarts servers many times")
	}
	c := onNodes(t, pgtest.Cluster(t, 2, pgtest.Setting("synchronous_commit", "on")))
	run := func(gid string, x int) error {
		if err := c.prepareAs(gid, x, 1, 2); err != nil {
			return err
		}
		return c.session().FinishPrepared(t.Context(), gid, true)
	}
	c.at("", nil)
	if err := run(c.database, -1); err != nil {
		t.Fatal(err)
	}
	for i, point := range c.passed() {
		for victim := int32(0); victim <= 2; victim++ {
			if victim > 0 && strings.HasSuffix(point, fmt.Sprint(3-victim)) {
				continue // the two are alike
			}
			t.Run(fmt.Sprintf("%d dies %s", victim, point), func(t *testing.T) {
				c.T = t
				x := 10*i + int(victim) + 2
				gid := fmt.Sprintf("%s %d", c.database, x)
				var restarted sync.WaitGroup
				c.at(point, func() error {
					c.nodes.All()[victim].Crash()
					restarted.Go(func() { c.restart(victim) })
					return nil
				})
				told := code(run(gid, x))
				if told == "" {
					told = "-"
				}
				restarted.Wait()
				c.at("", nil)
				c.afterFault(gid, x, told)
			})
		}
	}
	c.T = t
}
