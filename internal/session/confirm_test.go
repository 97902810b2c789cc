package session_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// A definition that waited for a table's lock while the table was distributed through another gateway must not change its shell alone.
func TestDefinitionMeetsNewShell(t *testing.T) {
	g := start(t)
	c := g.connect()
	late := g.another(c)
	watcher := g.connect()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec} {
		for _, text := range []string{
			"TRUNCATE fresh", "ALTER TABLE fresh ADD COLUMN more int", "CREATE INDEX fresh_v ON fresh (v)", "DROP TABLE fresh",
			"ALTER TABLE fresh RENAME COLUMN v TO w", "ALTER TABLE fresh RENAME TO stale",
		} {
			g.exec(c, "CREATE TABLE fresh (k int PRIMARY KEY, v int)")
			g.exec(c, "INSERT INTO fresh SELECT i, i FROM generate_series(1, 10) i")
			g.want(late, "SELECT count(*) FROM fresh", "10")
			g.exec(c, "BEGIN")
			g.exec(c, "SELECT create_distributed_table('fresh', 'k')")
			failed := make(chan error, 1)
			go func() {
				_, err := late.Exec(t.Context(), text, mode)
				failed <- err
			}()
			g.until("the definition waits", func() bool { return g.rows(watcher, "SELECT count(*) FROM citus_lock_waits") != "0" })
			g.exec(c, "COMMIT")
			if state := sqlState(<-failed); state != "40001" {
				t.Errorf("%s (%s): %q", text, mode, state)
			}
			g.want(c, "SELECT count(*), sum(v) FROM fresh", "10|55")
			g.want(late, "SELECT count(*), sum(v) FROM fresh", "10|55")
			if _, err := late.Exec(t.Context(), text, mode); err != nil {
				t.Errorf("%s once more: %v", text, err)
			}
			g.exec(c, "DROP TABLE IF EXISTS fresh, stale")
		}
	}
	g.exec(late, "CREATE TABLE plain (k int)")
	g.exec(late, "CREATE INDEX ON plain (k)")
	g.exec(late, "ALTER TABLE plain ADD COLUMN v int")
	g.exec(late, "TRUNCATE plain")
	g.exec(late, "DROP TABLE plain")
}
