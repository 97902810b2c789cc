package catalog

import (
	"context"
	"os"
	"testing"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/localpg"
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

var _ = localpg.Server{}

func TestBootstrap(t *testing.T) {
	t.Parallel()
	conn := connect(t)
	for range 2 { // it is idempotent
		if err := Bootstrap(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
	}
}
