package main

import (
	"strings"
	"testing"
	"time"
)

// TestGrow begins with one server and ends with three.
func TestGrow(t *testing.T) {
	t.Parallel()
	dir := clusterDir(t)
	must(t, "up", "--dir", dir, "--port", "0", "--detach", "--workers", "0", "--shard-count", "6")
	rows := ask(t, dir, "CREATE TABLE t (a int PRIMARY KEY, b text)", "SELECT create_distributed_table('t', 'a')",
		"INSERT INTO t SELECT i, 'x' FROM generate_series(1, 1000) i", "SELECT count(*), sum(a) FROM t")
	if out := must(t, "rebalance", "--dir", dir); !strings.Contains(out, "nothing to move") {
		t.Errorf("with one server, rebalance says %q", out)
	}
	must(t, "down", "--dir", dir)
	must(t, "up", "--dir", dir, "--port", "0", "--detach", "--workers", "2")
	if out := must(t, "rebalance", "--dir", dir, "--plan"); strings.Count(out, "shard ") != 4 || !strings.Contains(out, " of t (") {
		t.Errorf("the plan is\n%s", out)
	}
	out := must(t, "rebalance", "--dir", dir, "--parallel", "2")
	for _, want := range []string{"4 of 4 moves made", "Made 4 moves in "} {
		if !strings.Contains(out, want) {
			t.Errorf("rebalance says nothing of %q:\n%s", want, out)
		}
	}
	if got := ask(t, dir, "SELECT count(*), sum(a) FROM t"); got != rows {
		t.Errorf("the rows are %s, they were %s", got, rows)
	}
	if got := ask(t, dir, "SELECT string_agg(n::text, ' ') FROM (SELECT count(*) n FROM citus_shards GROUP BY nodeport) _"); got != "2 2 2" {
		t.Errorf("shards on the servers: %s", got)
	}
	refused(t, []string{"rebalance", "--dir", dir, "--strategy", "nonsense"}, "could not find rebalance strategy with name nonsense")
	refused(t, []string{"rebalance", "--dir", dir, "--parallel", "0"}, "--parallel 0 is out of range")
	must(t, "down", "--dir", dir)
}

func TestEstimate(t *testing.T) {
	t.Parallel()
	now := time.Now()
	copying := moveState{step: "copying", bytes: 25, size: 100, began: now.Add(-10 * time.Second)}
	copying.estimate(moveState{}, now)
	if copying.left != 30*time.Second {
		t.Errorf("a quarter copied in 10 s leaves %s", copying.left)
	}
	following := moveState{step: "catching up", lag: 50}
	following.estimate(moveState{step: "catching up", lagSeen: 150, lagSeenAt: now.Add(-2 * time.Second)}, now)
	if following.left != time.Second {
		t.Errorf("100 of 150 caught up in 2 s leaves %s", following.left)
	}
	falling := moveState{step: "catching up", lag: 50}
	falling.estimate(moveState{step: "catching up", lagSeen: 40, lagSeenAt: now.Add(-time.Second)}, now)
	if falling.left >= 0 {
		t.Errorf("a lag that grows leaves %s", falling.left)
	}
}
