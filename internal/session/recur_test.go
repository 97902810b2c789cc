package session_test

import "testing"

// TestRecurringStatements runs statements often enough that nodes prepare them, and changes their tables in between.
func TestRecurringStatements(t *testing.T) {
	g := start(t)
	c, other := g.connect(), g.connect()
	g.distributed(c, 4)
	const rows, count = "SELECT * FROM t ORDER BY k DESC LIMIT 2", "SELECT count(*), max(k) FROM t"
	for range 4 {
		g.want(c, rows, "4|v4|1 3|v3|0")
		g.want(c, count, "4|4")
	}
	g.exec(other, "ALTER TABLE t ADD COLUMN extra int DEFAULT 7")
	for range 4 {
		g.want(c, rows, "4|v4|1|7 3|v3|0|7")
		g.want(c, count, "4|4")
	}
	// Behind the gateway's back, so that what is prepared does not fit any more although the catalog has not changed.
	g.rows(other, "SELECT run_command_on_shards('t', 'ALTER TABLE %s ALTER COLUMN extra TYPE bigint')")
	for range 4 {
		g.want(c, rows, "4|v4|1|7 3|v3|0|7")
		g.want(c, count, "4|4")
	}
	g.exec(other, "INSERT INTO t (k, v, n) VALUES (5, 'v5', 2)")
	g.want(c, rows, "5|v5|2|7 4|v4|1|7")
	g.want(c, count, "5|5")
}
