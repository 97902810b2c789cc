package faulttest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// newJob schedules a job of commands that may all run at once, some on the same nodes.
func (l *lab) newJob(c *pgx.Conn, executors, perNode int, commands []string, nodes string) string {
	l.Helper()
	l.exec(c, fmt.Sprintf("SET citus.max_background_task_executors = %d", executors))
	l.exec(c, fmt.Sprintf("SET citus.max_background_task_executors_per_node = %d", perNode))
	quoted := make([]string, len(commands))
	for i, text := range commands {
		quoted[i] = "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	return l.one(c, fmt.Sprintf("SELECT trunkline_internal.create_job('test', 'a test', ARRAY[%s], array_fill(0, ARRAY[%d]), '%s')",
		strings.Join(quoted, ", "), len(commands), nodes))
}

// TestJobsOfTwoGateways kills a gateway in the middle of its tasks, which another one then takes up. Each is carried out once.
func TestJobsOfTwoGateways(t *testing.T) {
	l := newLab(t, 1)
	first := startChild(t, l.coordinator())
	l.form(first.clientDSN(l.database))
	c := l.connect(first.clientDSN(l.database))
	defer c.Close(context.Background())
	l.exec(c, "CREATE TABLE ran (n int)")
	holder := l.connect(l.coordinator())
	defer holder.Close(context.Background())
	l.exec(holder, "SELECT pg_advisory_lock(7)")

	const tasks = 6
	var commands []string
	for i := range tasks {
		commands = append(commands, fmt.Sprintf("SELECT pg_advisory_xact_lock_shared(7); INSERT INTO ran VALUES (%d)", i))
	}
	job := l.newJob(c, tasks, tasks, commands, "[[],[],[],[],[],[]]")
	running := func(retries int) func() bool {
		return func() bool {
			return l.one(holder, "SELECT count(*)::text FROM trunkline.pg_dist_background_task WHERE status = 'running' AND coalesce(retry_count, 0) = "+fmt.Sprint(retries)) == fmt.Sprint(tasks)
		}
	}
	eventually(t, patience, "all tasks run", running(0))
	second := startChild(t, l.coordinator())
	first.kill()
	eventually(t, patience, "the gateway that is left runs all tasks", running(1))
	eventually(t, patience, "the dead gateway's commands end", func() bool {
		return l.one(holder, "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == fmt.Sprint(tasks)
	})
	l.exec(holder, "SELECT pg_advisory_unlock(7)")
	c = l.connect(second.clientDSN(l.database))
	defer c.Close(context.Background())
	l.exec(c, "SELECT citus_job_wait("+job+", 'finished')")
	if got := l.one(c, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM ran"); got != "0 1 2 3 4 5" {
		t.Errorf("carried out were %s", got)
	}
	l.settled(patience)
}

// TestJobLimits keeps a node from being in two tasks at once, tries again what may succeed later, and gives up on the rest.
func TestJobLimits(t *testing.T) {
	l := newLab(t, 1)
	first, second := startChild(t, l.coordinator()), startChild(t, l.coordinator())
	l.form(first.clientDSN(l.database))
	c := l.connect(second.clientDSN(l.database))
	defer c.Close(context.Background())
	l.exec(c, "CREATE TABLE busy (node int PRIMARY KEY); CREATE TABLE went (n int)")
	// A task finds another one on its node by the key.
	command := func(n, node int) string {
		return fmt.Sprintf("INSERT INTO busy VALUES (%d); SELECT pg_sleep(0.05); DELETE FROM busy WHERE node = %d; INSERT INTO went VALUES (%d)", node, node, n)
	}
	var commands []string
	var nodes []string
	for n := range 12 {
		commands = append(commands, strings.ReplaceAll(command(n, n%3), "; ", "; COMMIT; "))
		nodes = append(nodes, fmt.Sprintf("[%d]", n%3))
	}
	job := l.newJob(c, 4, 1, commands, "["+strings.Join(nodes, ",")+"]")
	l.exec(c, "SELECT citus_job_wait("+job+", 'finished')")
	if got := l.one(c, "SELECT count(*)::text || ' ' || count(DISTINCT n)::text FROM went"); got != "12 12" {
		t.Errorf("tasks and different ones: %s", got)
	}
	if got := l.one(c, "SELECT coalesce(sum(retry_count), 0)::text FROM pg_dist_background_task WHERE job_id = "+job); got != "0" {
		t.Errorf("%s tries failed: two tasks were on one node at once", got)
	}

	l.exec(c, "CREATE SEQUENCE tries")
	job = l.newJob(c, 4, 1, []string{
		"DO $$ BEGIN IF nextval('tries') < 2 THEN RAISE lock_not_available; END IF; END $$",
		"SELECT 1/0",
	}, "[[],[]]")
	if _, err := c.Exec(t.Context(), "SELECT citus_job_wait("+job+", 'finished')"); sqlState(err) != "55000" {
		t.Errorf("waiting for the wrong state: %v", err)
	}
	if got := l.one(c, "SELECT string_agg(status || ' ' || coalesce(retry_count, 0), ', ' ORDER BY task_id) FROM pg_dist_background_task WHERE job_id = "+job); got != "done 1, error 0" {
		t.Errorf("tasks: %s", got)
	}
	if got := l.one(c, "SELECT state || ' ' || (details->'task_state_counts')::text FROM citus_job_status("+job+")"); got != `failed {"done": 1, "error": 1}` {
		t.Errorf("job: %s", got)
	}
}

// TestJobCancel cancels a job of which a task runs through the other gateway.
func TestJobCancel(t *testing.T) {
	l := newLab(t, 0)
	first := startChild(t, l.coordinator())
	l.form(first.clientDSN(l.database))
	second := startChild(t, l.coordinator())
	c := l.connect(second.clientDSN(l.database))
	defer c.Close(context.Background())
	job := l.newJob(c, 1, 1, []string{"SELECT pg_sleep(1000)", "SELECT 1"}, "[[],[]]")
	eventually(t, patience, "the first task runs", func() bool {
		return l.one(c, "SELECT string_agg(status::text, ' ' ORDER BY task_id) FROM pg_dist_background_task") == "running runnable"
	})
	l.exec(c, "SELECT citus_job_cancel("+job+")")
	l.exec(c, "SELECT citus_job_wait("+job+", 'cancelled')")
	if got := l.one(c, "SELECT string_agg(status::text, ' ' ORDER BY task_id) FROM pg_dist_background_task"); got != "cancelled cancelled" {
		t.Errorf("tasks are %s", got)
	}
	eventually(t, patience, "nothing sleeps", func() bool {
		return l.one(c, "SELECT count(*)::text FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1000)' AND state = 'active'") == "0"
	})
	if _, err := c.Exec(t.Context(), "SELECT citus_job_wait(999)"); sqlState(err) != "42704" {
		t.Errorf("waiting for no job: %v", err)
	}
	if _, err := c.Exec(t.Context(), "SELECT citus_task_wait(2, 'done')"); sqlState(err) != "55000" {
		t.Errorf("waiting for a cancelled task: %v", err)
	}
	l.exec(c, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	if _, err := c.Exec(t.Context(), "SELECT citus_job_wait("+job+")"); sqlState(err) != "25001" {
		t.Errorf("waiting with an old snapshot: %v", err)
	}
	l.exec(c, "ROLLBACK")
	l.exec(c, "CREATE ROLE somebody LOGIN; SET ROLE somebody")
	for _, text := range []string{"SELECT citus_job_cancel(1)", "SELECT citus_rebalance_start()", "SELECT citus_rebalance_stop()"} {
		if _, err := c.Exec(t.Context(), text); sqlState(err) != "42501" {
			t.Errorf("%s by an ordinary user: %v", text, err)
		}
	}
}
