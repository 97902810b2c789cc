package catalog

import (
	"context"
	"os"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/pgtest"
)

var shared pgtest.Shared

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// connect opens a connection to a database that is made for the test.
func connect(t testing.TB) *backend.Conn {
	t.Helper()
	return connectTo(t, pgtest.Database(t, shared.Server(t)))
}

func connectTo(t testing.TB, dsn string) *backend.Conn {
	t.Helper()
	address, identity, options, err := backend.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := backend.Connect(t.Context(), address, identity, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// coordinator opens a connection to a database that has been made a coordinator, with one worker in its metadata.
func coordinator(t testing.TB) *backend.Conn {
	t.Helper()
	conn := connect(t)
	if err := Bootstrap(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	exec(t, conn, `SELECT trunkline_internal.add_node('localhost', 5432, 0, 'primary', 'default', true);
		SELECT trunkline_internal.add_node('localhost', 5433, -1, 'primary', 'default', true)`)
	return conn
}

// exec runs SQL and gives the last statement's rows as text, NULL as "NULL".
func exec(t testing.TB, conn *backend.Conn, text string) [][]string {
	t.Helper()
	results, err := conn.Exec(context.WithoutCancel(t.Context()), text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if len(results) == 0 {
		return nil
	}
	var rows [][]string
	for _, row := range results[len(results)-1].Rows {
		texts := make([]string, len(row))
		for i, v := range row {
			texts[i] = "NULL"
			if v != nil {
				texts[i] = string(v)
			}
		}
		rows = append(rows, texts)
	}
	return rows
}

// one gives the only value of the only row.
func one(t testing.TB, conn *backend.Conn, text string) string {
	t.Helper()
	rows := exec(t, conn, text)
	if len(rows) != 1 || len(rows[0]) != 1 {
		t.Fatalf("%s: %v is not one value", text, rows)
	}
	return rows[0][0]
}

func TestBootstrap(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t, shared.Server(t))
	conn := connectTo(t, dsn)
	if err := BootstrapNode(t.Context(), conn); err != nil { // the coordinator may have been a node before
		t.Fatal(err)
	}
	var group errgroup.Group
	for range 4 { // gateways that start together
		conn := connectTo(t, dsn)
		group.Go(func() error { return Bootstrap(t.Context(), conn) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	version := "SELECT version || ' ' || digest FROM trunkline.schema_version"
	changes := "SELECT sum(changes) FROM trunkline.catalog_version"
	want, before := one(t, conn, version), one(t, conn, changes)
	exec(t, conn, "CREATE VIEW v AS SELECT * FROM trunkline.citus_tables; DROP FUNCTION trunkline.citus_version(); UPDATE trunkline.schema_version SET digest = 'an older text'")
	for range 2 { // changed texts replace those that are there, under the views that use them; unchanged ones do nothing
		if err := Bootstrap(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
	}
	if got := one(t, conn, version); got != want {
		t.Errorf("version is %s, not %s", got, want)
	}
	exec(t, conn, "SELECT trunkline.citus_version()")
	if got := one(t, conn, changes); got <= before {
		t.Errorf("the catalog's version is %s, it was %s", got, before)
	}
	for deadline := time.Now().Add(10 * time.Second); ; { // those that a transaction of another test may still see are left for later
		rows := one(t, conn, "SELECT count(*) FROM trunkline.catalog_version")
		if rows == "1" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s rows of changes are left", rows)
		}
		if err := Bootstrap(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, conn, "UPDATE trunkline.schema_version SET version = 1000, digest = 'a newer text'")
	if err := Bootstrap(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	if got := one(t, conn, "SELECT digest FROM trunkline.schema_version"); got != "a newer text" {
		t.Error("a newer schema was replaced")
	}
}

func TestBootstrapNode(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	for range 2 {
		if err := BootstrapNode(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
	}
	if got := one(t, conn, "INSERT INTO trunkline.commit_record (gid) VALUES ('g') RETURNING committed"); got != "t" {
		t.Errorf("committed is %s", got)
	}
}
