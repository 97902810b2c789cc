package catalog

import (
	"context"
	"fmt"
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
	// Where shard groups are is read by itself; a definition that was changed without notice is found when nothing else explains a refresh.
	exec(t, conn, `CREATE TABLE public.placed (a int); SELECT trunkline_internal.add_table('public.placed'::regclass, 'a', trunkline_internal.create_colocation('{1,1,2}', 'int'::regtype, 0))`)
	placed, err := w.Refresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	groups := func(s *Snapshot) []ShardGroup {
		return s.Colocations[s.Relations[Name{"public", "placed"}].ColocationID].Groups
	}
	move := func(to int32) *Snapshot {
		t.Helper()
		id := groups(placed)[0].ID
		exec(t, conn, fmt.Sprintf("SELECT trunkline_internal.move_shard_group(%d, %d)", id, to))
		s, err := w.RefreshPlaces(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := groups(s); len(got) != 3 || got[0].ID != id || got[0].GroupID != to {
			t.Errorf("after a move to %d the shard groups are %v", to, got)
		}
		whole, err := Load(t.Context(), conn)
		if err != nil || !whole.SameAs(s) || whole.Version != s.Version {
			t.Errorf("reading places alone gives another snapshot than reading all (%v)", err)
		}
		return s
	}
	there := move(2)
	if there.Fingerprint != placed.Fingerprint || there.SameAs(placed) {
		t.Error("a move was taken for more, or for less, than a move")
	}
	if groups(placed)[0].GroupID != 1 {
		t.Error("a snapshot in use was changed")
	}
	exec(t, conn, "UPDATE trunkline.shard_group SET groupid = 1")
	if gathered := move(1); gathered.Fingerprint == placed.Fingerprint {
		t.Error("plans do not hear that a table is on one node only")
	}
	for i, refresh := range []func(context.Context) (*Snapshot, error){w.RefreshPlaces, w.Refresh} {
		if i > 0 {
			exec(t, conn, "UPDATE trunkline.shard_group SET groupid = 2") // which alone does not explain a refresh that is to be of all
		}
		exec(t, conn, fmt.Sprintf("ALTER TABLE public.placed ADD COLUMN b%d int", i))
		if s, err := refresh(t.Context()); err != nil || len(s.Relations[Name{"public", "placed"}].Columns) != 2+i {
			t.Errorf("a refresh missed a change that nobody was told of (%v)", err)
		}
	}
	// Whoever loses the listening connection learns of what happened meanwhile.
	exec(t, conn, `SELECT trunkline_internal.add_node('c', 1, -1, 'primary', 'default', true);
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`)
	await(3)
	exec(t, conn, "SELECT trunkline_internal.add_node('d', 1, -1, 'primary', 'default', true)")
	await(4)
}
