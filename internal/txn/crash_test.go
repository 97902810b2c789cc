package txn_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/localpg"
	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/txn"
)

var errCrash = errors.New("crashed here")

// settle recovers until no transaction is prepared or under way on any node.
func (c *cluster) settle() {
	c.Helper()
	const busy = `SELECT (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database())
		+ (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL)`
	deadline := time.Now().Add(5 * time.Minute)
	for {
		_, err := c.recoverAll()
		left := c.everywhere(busy)
		if err == nil && strings.Trim(left, "0|") == "" {
			return
		}
		if time.Now().After(deadline) {
			c.Fatalf("recovery does not come to an end: %s busy, error %v", left, err)
		}
	}
}

// attempt inserts x on each group in one transaction. The order makes the last the decider, unless the coordinator is among them.
func (c *cluster) attempt(x int, groups ...int32) (notices []*sql.Error, err error) {
	c.Helper()
	tx := c.session()
	tx.OnNotice(func(e *sql.Error) { notices = append(notices, e) })
	tx.Begin("BEGIN")
	for _, g := range groups {
		insert(c.T, tx, g, x)
	}
	_, err = tx.Commit(c.Context())
	return notices, err
}

// has tells on how many nodes x is.
func (c *cluster) has(x int) int {
	c.Helper()
	return strings.Count(c.everywhere(fmt.Sprintf("SELECT count(*) FROM t WHERE x = %d", x)), "1")
}

// pointsOf lists the fault points of a healthy commit.
func (c *cluster) pointsOf(groups ...int32) []string {
	c.Helper()
	c.at("", nil)
	if _, err := c.attempt(-len(groups), groups...); err != nil {
		c.Fatal(err)
	}
	return c.passed()
}

func TestGatewayDiesAtEveryPoint(t *testing.T) {
	c := newCluster(t)
	for _, groups := range [][]int32{{1, 2}, {0, 1, 2}} {
		c.deferrable = len(groups) == 3
		points := c.pointsOf(groups...)
		if len(points) < 9 {
			t.Fatal(points)
		}
		base := 1000 * len(groups)
		for i, point := range points {
			t.Run(fmt.Sprintf("%d groups, %s", len(groups), point), func(t *testing.T) {
				c.T = t
				x := base + i
				c.at(point, func() error { return errCrash })
				if _, err := c.attempt(x, groups...); !errors.Is(err, errCrash) {
					t.Fatal(err)
				}
				c.at("", nil)
				c.settle()
				n := c.has(x)
				if n != 0 && n != len(groups) {
					t.Fatalf("committed on %d of %d nodes", n, len(groups))
				}
				decided := strings.HasPrefix(point, "after decide") || strings.Contains(point, "commit prepared")
				undecided := strings.Contains(point, "prepare ") || strings.Contains(point, "check ") || strings.HasPrefix(point, "before decide")
				if decided && n == 0 || undecided && n != 0 {
					t.Fatalf("committed on %d nodes", n)
				}
				// Whatever was left is free of locks.
				if _, err := c.attempt(-x, groups...); err != nil {
					t.Fatal(err)
				}
			})
		}
		c.T = t
	}
}

func TestNodeDiesAtEveryPoint(t *testing.T) {
	if testing.Short() {
		t.Skip("restarts servers many times")
	}
	c := onNodes(t, pgtest.Cluster(t, 2, pgtest.Setting("synchronous_commit", "off")))
	for i, point := range c.pointsOf(1, 2) {
		for victim := int32(1); victim <= 2; victim++ {
			t.Run(fmt.Sprintf("%d dies %s", victim, point), func(t *testing.T) {
				c.T = t
				x := 10*i + int(victim)
				var restarted sync.WaitGroup
				c.at(point, func() error {
					c.nodes.Workers[victim-1].Crash()
					restarted.Go(func() { c.restart(victim) })
					return nil
				})
				_, err := c.attempt(x, 1, 2)
				restarted.Wait()
				c.at("", nil)
				c.settle()
				n := c.has(x)
				switch {
				case n == 1:
					t.Fatal("committed on one node only")
				case err == nil && n == 0:
					t.Fatal("a commit that was acknowledged is lost")
				case err != nil && n != 0 && code(err) != "08007":
					t.Fatalf("committed, but the client was told %v", err)
				}
			})
		}
	}
	c.T = t
}

func (c *cluster) restart(group int32) {
	place := &c.nodes.Coordinator
	if group > 0 {
		place = &c.nodes.Workers[group-1]
	}
	s, err := localpg.Start(context.WithoutCancel(c.Context()), (*place).Config)
	if err != nil {
		c.Error(err)
		return
	}
	*place = s
	c.whole.Cleanup(s.Crash)
}

// A participant that dies after the decision: the client gets its commit, with a warning, and recovery finishes it.
func TestParticipantDownAtCommitPrepared(t *testing.T) {
	c := newCluster(t)
	killed := false
	c.at("before commit prepared 1", func() error {
		killed = true
		return pgtest.Exec(t.Context(), c.nodes.Workers[0].DSN(c.database),
			"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	})
	notices, err := c.attempt(1, 1, 2)
	if err != nil || !killed || len(notices) != 1 || notices[0].Code != "01000" {
		t.Fatal(notices, err)
	}
	if got := c.rows(); got != "||1" {
		t.Fatal(got)
	}
	done, err := c.recoverAll()
	if err != nil || done.Committed != 1 {
		t.Fatal(done, err)
	}
	if got := c.rows(); got != "|1|1" {
		t.Fatal(got)
	}
	if _, err := c.recoverAll(); err != nil {
		t.Fatal(err)
	}
	if got := c.everywhere("SELECT count(*) FROM trunkline.commit_record"); got != "0|0|0" {
		t.Fatalf("records are left: %s", got)
	}
}

// A decider that does not come back: the client is told that the outcome is unknown, and it is decided later.
func TestDeciderStaysAway(t *testing.T) {
	c := onNodes(t, pgtest.Cluster(t, 2, pgtest.Setting("synchronous_commit", "on")))
	c.manager.Close()
	c.manager = txn.NewManager(txn.Config{Pools: c.pools, Admin: c.identity, MinAge: time.Millisecond, AskFor: 50 * time.Millisecond,
		Faults: func(point string) error {
			if point == "before decide 2" {
				c.nodes.Workers[1].Crash()
			}
			return nil
		}})
	t.Cleanup(c.manager.Close)
	_, err := c.attempt(1, 1, 2)
	wantCode(t, err, "08007")
	if done, err := c.recoverAll(); err == nil || done.Left != 1 {
		t.Fatal("undecidable, but: ", done, err)
	}
	c.restart(2)
	c.settle()
	if n := c.has(1); n != 0 {
		t.Fatalf("committed on %d nodes", n)
	}
}

// Constraint violations found only at commit, on either side of the decision.
func TestCommitFailsOnANode(t *testing.T) {
	c := newCluster(t)
	insert(t, c.session(), 1, 1)
	insert(t, c.session(), 2, 2)
	for _, c.deferrable = range []bool{false, true} {
		for x := 1; x <= 2; x++ {
			_, err := c.attempt(x, 1, 2)
			wantCode(t, err, "23505")
			if n := c.has(x); n != 1 {
				t.Fatal(n)
			}
			c.clean()
		}
	}
}

// Recovery by another gateway in the middle of a commit makes it fail, on all nodes.
func TestRecoveryOvertakesCommit(t *testing.T) {
	c := newCluster(t)
	other := txn.NewManager(txn.Config{Pools: c.pools, Admin: c.identity, MinAge: time.Nanosecond})
	t.Cleanup(other.Close)
	nodes := []txn.Node{{GroupID: 0, Address: c.address(0)}, {GroupID: 1, Address: c.address(1)}, {GroupID: 2, Address: c.address(2)}}
	c.at("after prepare 1", func() error {
		done, err := other.Recover(t.Context(), nodes)
		if done.RolledBack != 1 {
			t.Error(done, err)
		}
		return nil
	})
	_, err := c.attempt(1, 1, 2)
	wantCode(t, err, "40001")
	c.at("before commit prepared 1", func() error {
		done, err := other.Recover(t.Context(), nodes)
		if done.Committed != 1 {
			t.Error(done, err)
		}
		return nil
	})
	if notices, err := c.attempt(2, 1, 2); err != nil || len(notices) > 0 {
		t.Fatal(notices, err)
	}
	c.at("after prepare 1", func() error { // its own manager knows that it is alive
		if done, err := c.recoverAll(); err != nil || done.Left != 1 {
			t.Error(done, err)
		}
		return nil
	})
	if _, err := c.attempt(3, 1, 2); err != nil {
		t.Fatal(err)
	}
	if got := c.rows(); got != "|2 3|2 3" {
		t.Fatal(got)
	}
	c.clean()
}

func TestRecoveryLeavesOthersAlone(t *testing.T) {
	c := newCluster(t)
	dsn := c.nodes.Workers[0].DSN(c.database)
	gids := []string{"somebody's", "trunkline_", "trunkline_x_1_2_3", "trunkline_x_1_y", "trunkline_x_1_77", "trunkline-x_1_0"}
	for i, gid := range gids {
		text := fmt.Sprintf("BEGIN; INSERT INTO t VALUES (%d); PREPARE TRANSACTION %s", i, sql.QuoteLiteral(gid))
		if err := pgtest.Exec(t.Context(), dsn, text); err != nil {
			t.Fatal(err)
		}
	}
	done, err := c.recoverAll()
	if err != nil || done.Committed+done.RolledBack != 0 || done.Left != 1 {
		t.Fatal(done, err)
	}
	for _, gid := range gids {
		if err := pgtest.Exec(t.Context(), dsn, "ROLLBACK PREPARED "+sql.QuoteLiteral(gid)); err != nil {
			t.Fatal(err)
		}
	}
}

// The decider's answer is lost with the connection. Asked again, it says what became of the transaction.
func TestDeciderIsAskedAgain(t *testing.T) {
	c := newCluster(t)
	for x, test := range []struct {
		point string
		code  string
		rows  string
	}{
		{"before decide 2", "08006", "||"},
		{"sent decide 2", "", "|1|1"},
	} {
		tx := c.session()
		tx.Begin("BEGIN")
		insert(t, tx, 1, x)
		insert(t, tx, 2, x)
		decider, err := tx.Conn(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		c.at(test.point, func() error {
			for test.code == "" && !strings.HasSuffix(c.everywhere("SELECT count(*) FROM trunkline.commit_record WHERE committed"), "1") {
				if t.Context().Err() != nil {
					break
				}
			}
			decider.Abandon()
			return nil
		})
		if _, err := tx.Commit(t.Context()); code(err) != test.code {
			t.Fatal(err)
		}
		if got := c.rows(); got != test.rows {
			t.Fatal(got)
		}
		c.clean()
	}
}

// A bank under fire: whatever dies, no money is made or lost.
func TestBank(t *testing.T) {
	if testing.Short() {
		t.Skip("runs for a while")
	}
	c := onNodes(t, pgtest.Cluster(t, 2, pgtest.Setting("synchronous_commit", "on")))
	const accounts, start = 10, 1000
	for i, s := range c.nodes.All() {
		text := fmt.Sprintf("CREATE TABLE account (id int PRIMARY KEY, money int); INSERT INTO account SELECT i, %d FROM generate_series(1, %d) i", start, accounts*min(i, 1))
		if err := pgtest.Exec(t.Context(), s.DSN(c.database), text); err != nil {
			t.Fatal(err)
		}
	}
	var passed atomic.Int64
	c.mu.Lock()
	c.faults = func(string) error {
		if passed.Add(1)%53 == 0 {
			return errCrash
		}
		return nil
	}
	c.mu.Unlock()
	ctx, stop := context.WithCancel(t.Context())
	var tellers, others sync.WaitGroup
	others.Go(func() {
		pace := time.NewTicker(50 * time.Millisecond)
		defer pace.Stop()
		for ctx.Err() == nil {
			c.recoverAll()
			<-pace.C
		}
	})
	var transferred atomic.Int64
	for teller := range 4 {
		tellers.Go(func() {
			for i := range 40 {
				from, to := int32(1+i%2), int32(2-i%2)
				tx := c.session()
				tx.Begin("BEGIN")
				failed := false
				for _, step := range []struct {
					group int32
					sign  string
				}{{from, "-"}, {to, "+"}} {
					text := fmt.Sprintf("UPDATE account SET money = money %s %d WHERE id = %d", step.sign, i+1, 1+(teller*7+i)%accounts)
					tx.MarkWrite(step.group)
					failed = failed || try(ctx, tx, step.group, "SET LOCAL lock_timeout = '1s'") != nil || try(ctx, tx, step.group, text) != nil
				}
				if tag, err := tx.Commit(ctx); err == nil && tag == "COMMIT" && !failed {
					transferred.Add(1)
				}
				tx.Close()
			}
		})
	}
	tellers.Wait()
	stop()
	others.Wait()
	c.at("", nil)
	c.settle()
	var sum int
	for _, text := range strings.Split(c.everywhere("SELECT coalesce(sum(money), 0) FROM account"), "|") {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	if sum != 2*accounts*start || transferred.Load() == 0 {
		t.Fatalf("%d of %d left after %d transfers", sum, 2*accounts*start, transferred.Load())
	}
}
