package txn_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/txn"
)

// workers are where commits may have a gate.
func (c *cluster) workers() []txn.Node {
	return []txn.Node{{GroupID: 1, Address: c.address(1)}, {GroupID: 2, Address: c.address(2)}}
}

// waitAtGate tells whether somebody waits at a gate.
func (c *cluster) waitAtGate() bool {
	c.Helper()
	return strings.Trim(c.everywhere("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'trunkline.commit_gate'::regclass"), "0|") != ""
}

// A reader that comes after the decision waits until all nodes have committed, however many they are.
func TestReaderWaitsForCommit(t *testing.T) {
	c := newCluster(t)
	for x, groups := range [][]int32{{1, 2}, {2, 1}, {0, 1, 2}, {0, 2}} {
		for _, point := range c.pointsOf(groups...) {
			if !strings.Contains(point, "before commit prepared") {
				continue
			}
			x := 10*(x+1) + len(c.passed())
			seen := make(chan string, 1)
			c.at(point, func() error {
				go func() {
					i, err := c.manager.AtOneInstant(t.Context(), c.workers(), time.Hour)
					if err != nil {
						seen <- err.Error()
						return
					}
					i.Leave()
					seen <- ""
				}()
				c.until("the reader waits", c.waitAtGate)
				return nil
			})
			if _, err := c.attempt(x, groups...); err != nil {
				t.Fatal(err)
			}
			if failure := <-seen; failure != "" {
				t.Fatal(failure)
			}
			c.at("", nil)
			for _, g := range groups {
				tx := c.session()
				run(t, tx, g, "DELETE FROM t")
				tx.Close()
			}
		}
	}
}

// A commit that comes while a reader has the gates waits before its decision, whatever the session's lock_timeout; readers do not wait
// for each other.
func TestCommitWaitsForReader(t *testing.T) {
	c := newCluster(t)
	first, err := c.manager.AtOneInstant(t.Context(), c.workers(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.manager.AtOneInstant(t.Context(), c.workers(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	tx := c.session()
	tx.Begin("BEGIN")
	run(t, tx, 1, "SET LOCAL lock_timeout = 1")
	tx.Replay("SET LOCAL lock_timeout = 1", 1)
	insert(t, tx, 1, 1)
	insert(t, tx, 2, 1)
	go func() {
		_, err := tx.Commit(t.Context())
		done <- err
	}()
	c.until("the commit waits", c.waitAtGate)
	if got := c.rows(); got != "||" {
		t.Error("decided although a reader has the gates:", got)
	}
	first.Leave()
	second.Leave()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := c.rows(); got != "|1|1" {
		t.Error(got)
	}
}

// What a gateway leaves behind that dies after its decision keeps readers waiting until recovery.
func TestReaderWaitsForRecovery(t *testing.T) {
	c := newCluster(t)
	c.at("before commit prepared 1", func() error { return errCrash })
	if _, err := c.attempt(1, 1, 2); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	seen := make(chan error, 1)
	go func() {
		i, err := c.manager.AtOneInstant(t.Context(), c.workers(), time.Hour)
		if err == nil {
			i.Leave()
		}
		seen <- err
	}()
	c.until("the reader waits", c.waitAtGate)
	c.settle()
	if err := <-seen; err != nil {
		t.Fatal(err)
	}
	if got := c.rows(); got != "|1|1" {
		t.Error(got)
	}
}
