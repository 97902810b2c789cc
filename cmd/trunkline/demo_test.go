package main

import (
	"strings"
	"testing"
)

func TestDemo(t *testing.T) {
	t.Parallel()
	dir := clusterDir(t)
	must(t, "up", "--dir", dir, "--port", "0", "--detach", "--shard-count", "4")
	out := must(t, "demo", "--dir", dir, "--scale", "0.01")
	for _, want := range []string{
		"loading: 25381 of 25381 rows", "Loaded DineHub: 100 restaurants, 1000 users, 10000 orders",
		"| Trunkline Router", "Task Count: 1", "| Trunkline Pushdown", "Old Town Saffron", "COMMIT", " ms\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the demo says nothing of %q:\n%s", want, out)
		}
	}
	counts := ask(t, dir, `SELECT (SELECT count(*) FROM restaurants), (SELECT count(*) FROM users), (SELECT count(*) FROM orders),
		(SELECT count(*) FROM order_items), (SELECT count(*) FROM cuisine_types), (SELECT count(*) FROM settings)`)
	if counts != "100|1000|10000|14257|24|3" {
		t.Errorf("the tables have %s rows", counts)
	}
	if got := ask(t, dir, "SELECT sum(total) = (SELECT sum(quantity * price) FROM order_items) FROM orders"); got != "t" {
		t.Error("orders and their items do not add up")
	}

	for _, scale := range [][]string{nil, {"--scale", "0.01"}} {
		if out := must(t, append([]string{"demo", "--dir", dir}, scale...)...); !strings.Contains(out, "is loaded already, at scale 0.01") {
			t.Errorf("the second demo says:\n%s", out)
		}
	}
	refused(t, []string{"demo", "--dir", dir, "--scale", "0.02"}, "loaded at scale 0.01, not 0.02", "--replace")

	// One that was interrupted is loaded anew.
	ask(t, dir, "UPDATE settings SET value = 'loading 0.01' WHERE key = 'demo'", "DELETE FROM order_items WHERE restaurant_id < 50")
	if out := must(t, "demo", "--dir", dir, "--scale", "0.01", "--no-walk"); !strings.Contains(out, "Loaded DineHub") {
		t.Errorf("after an interruption the demo says:\n%s", out)
	}
	if got := ask(t, dir, "SELECT count(*) FROM order_items"); got != "14257" {
		t.Errorf("%s order items", got)
	}

	// Tables of the same names that are not the demo's stay untouched.
	ask(t, dir, "DELETE FROM settings")
	refused(t, []string{"demo", "--dir", dir}, "has tables of its own", "orders")
	must(t, "down", "--dir", dir)
	refused(t, []string{"demo", "--dir", dir}, "is not running", "trunkline up")
	refused(t, []string{"demo", "--dsn", "host=127.0.0.1 port=1 user=postgres connect_timeout=5"}, "refused")
}
