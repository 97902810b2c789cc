package backend_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/pgtest"
)

var shared pgtest.Shared

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// target parses a connection string, which must be good.
func target(t testing.TB, dsn string) (backend.Address, backend.Identity, backend.Options) {
	t.Helper()
	address, identity, options, err := backend.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return address, identity, options
}

// connect opens a connection to a database of its own.
func connect(t testing.TB) *backend.Conn {
	t.Helper()
	address, identity, options := target(t, pgtest.Database(t, shared.Server(t)))
	c, err := backend.Connect(t.Context(), address, identity, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// one runs a statement that returns one value.
func one(t testing.TB, c *backend.Conn, text string) string {
	t.Helper()
	results, err := c.Exec(t.Context(), text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	last := results[len(results)-1]
	if len(last.Rows) != 1 || len(last.Rows[0]) != 1 {
		t.Fatalf("%s: not one value but %d rows", text, len(last.Rows))
	}
	return string(last.Rows[0][0])
}

func run(t testing.TB, c *backend.Conn, text string) {
	t.Helper()
	if _, err := c.Exec(t.Context(), text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// soon is a context for what must happen within a test's patience.
func soon(t testing.TB) context.Context {
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(stop)
	return ctx
}
