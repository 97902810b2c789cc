package session_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/trunkline/trunkline/internal/localpg"
	"github.com/trunkline/trunkline/internal/pgtest"
)

// TestExportSnapshot takes one session's snapshot of all nodes over into another session.
func TestExportSnapshot(t *testing.T) {
	g := start(t)
	a, b := g.connect(), g.connect()
	g.distributed(a, 20)
	g.exec(a, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	var id string
	if err := a.QueryRow(t.Context(), "SELECT pg_catalog.pg_export_snapshot()", pgx.QueryExecModeSimpleProtocol).Scan(&id); err != nil {
		t.Fatal(err)
	}
	g.exec(b, "UPDATE t SET v = 'later'")
	g.exec(b, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	g.exec(b, "SET TRANSACTION SNAPSHOT '"+id+"'")
	g.want(b, "SELECT count(*) FROM t WHERE v = 'later'", "0")
	g.exec(b, "COMMIT")
	g.want(b, "SELECT count(*) FROM t WHERE v = 'later'", "20")
	g.exec(b, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	g.fails(b, "SET TRANSACTION SNAPSHOT '00000003-0000001B-1'", "22023")
	g.exec(b, "ROLLBACK")
}

// TestDump lets pg_dump run side by side, and looks for what is not the user's in the dump.
func TestDump(t *testing.T) {
	g := start(t)
	g.distributed(g.connect(), 20)
	bin, err := localpg.Find(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "dump")
	if out, err := exec.Command(bin.Path("pg_dump"), "-Fd", "-j2", "-f", dir, g.dsn).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command(bin.Path("pg_restore"), "-f", "-", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range []string{"trunkline", "citus"} {
		if strings.Contains(string(out), name) {
			t.Errorf("the dump holds %q", name)
		}
	}
	if !strings.Contains(string(out), "COPY public.t ") {
		t.Errorf("the dump has no rows:\n%s", out)
	}
}

func TestPreparedStatementsInSQL(t *testing.T) {
	g := start(t)
	c := g.connect()
	g.distributed(c, 20)
	g.exec(c, "PREPARE q(unknown) AS SELECT k, v FROM t WHERE k = $1")
	g.want(c, "SELECT name, from_sql FROM pg_prepared_statements WHERE name = 'q'", "q|t")
	g.exec(c, "CREATE TABLE kept AS EXECUTE q(3)")
	g.want(c, "SELECT k FROM kept", "3")
	g.fails(c, "LOCK TABLE t", "25P01")
}

func TestCursorErrors(t *testing.T) {
	g := start(t)
	c := g.connect()
	g.distributed(c, 20)
	g.exec(c, "BEGIN")
	g.exec(c, "DECLARE c CURSOR FOR SELECT 10 / (k - 15) FROM t ORDER BY k")
	g.fails(c, "FETCH ALL FROM c", "22012")
	g.exec(c, "ROLLBACK")
	g.exec(c, "SET default_transaction_read_only = on")
	g.fails(c, "UPDATE t SET v = 'x'", "25006")
}

// TestDropDatabase drops and renames databases to which the gateway has idle connections.
func TestDropDatabase(t *testing.T) {
	g := start(t)
	c := g.connect()
	g.fails(c, "CREATE DATABASE passing", "0A000")
	if err := pgtest.Exec(t.Context(), shared.Cluster(t, 2).Coordinator.DSN("postgres"), "CREATE DATABASE passing"); err != nil {
		t.Fatal(err)
	}
	use := func(name string) {
		t.Helper()
		config := c.Config().Copy()
		config.Database = name
		other, err := pgx.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		g.want(other, "SELECT 1", "1")
		other.Close(t.Context())
	}
	use("passing")
	g.exec(c, "ALTER DATABASE passing RENAME TO passed", pgx.QueryExecModeSimpleProtocol)
	use("passed")
	g.exec(c, "DROP DATABASE passed", pgx.QueryExecModeSimpleProtocol)
}
