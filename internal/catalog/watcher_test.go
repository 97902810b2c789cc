package catalog

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/pgtest"
)

func TestWatcher(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t)
	address, identity, options, err := backend.ParseDSN(server.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	connect := func(ctx context.Context) (*backend.Conn, error) {
		return backend.Connect(ctx, address, identity, options)
	}
	conn, err := connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := Bootstrap(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	w, err := Watch(t.Context(), connect, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	await := func(nodes int) {
		t.Helper()
		deadline := time.After(20 * time.Second)
		for {
			changed := w.Changed()
			if len(w.Current().Nodes) == nodes {
				return
			}
			select {
			case <-changed:
			case <-deadline:
				t.Fatalf("the watcher does not see %d nodes", nodes)
			}
		}
	}
	exec(t, conn, "SELECT trunkline_internal.add_node('a', 1, -1, 'primary', 'default', true)")
	await(1)
	first := w.Current()
	if again, err := w.Refresh(t.Context()); err != nil || again != first {
		t.Errorf("a refresh without a change gave another snapshot (%v)", err)
	}
	exec(t, conn, "SELECT trunkline_internal.add_node('b', 1, -1, 'primary', 'default', true)")
	if s, err := w.Refresh(t.Context()); err != nil || len(s.Nodes) != 2 || s.Version <= first.Version {
		t.Errorf("a refresh missed a committed change (%v)", err)
	}
	// Whoever loses the listening connection learns of what happened meanwhile.
	exec(t, conn, `SELECT trunkline_internal.add_node('c', 1, -1, 'primary', 'default', true);
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`)
	await(3)
	exec(t, conn, "SELECT trunkline_internal.add_node('d', 1, -1, 'primary', 'default', true)")
	await(4)
}
