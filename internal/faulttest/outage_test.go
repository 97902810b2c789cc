package faulttest

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestOutages: what still works while a node is away, what fails and how soon, and that all is well when it is back.
func TestOutages(t *testing.T) {
	l := newLab(t, 2)
	dsn := gateway(t, l.coordinator(), l.database)
	l.form(dsn)
	c := l.connect(dsn)
	defer func() { c.Close(context.Background()) }()
	l.exec(c, "CREATE TABLE d (k int PRIMARY KEY, v int)")
	l.exec(c, "SELECT create_distributed_table('d', 'k')")
	l.exec(c, "INSERT INTO d SELECT g, 0 FROM generate_series(1, 1000) g")
	keys := []int{l.keyOn(c, "d", 0), l.keyOn(c, "d", 1), l.keyOn(c, "d", 2)}
	read := func(ctx context.Context, group int) error {
		var v int
		return c.QueryRow(ctx, "SELECT v FROM d WHERE k = $1", keys[group]).Scan(&v)
	}
	write := func(ctx context.Context, group int) error {
		_, err := c.Exec(ctx, "UPDATE d SET v = v + 1 WHERE k = $1", keys[group])
		return err
	}
	for group := range keys {
		for range 3 {
			if err := read(t.Context(), group); err != nil {
				t.Fatal(err)
			}
			if err := write(t.Context(), group); err != nil {
				t.Fatal(err)
			}
		}
	}
	quickly := func(what string, states []string, f func(context.Context) error) {
		t.Helper()
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
		defer stop()
		started := time.Now()
		err := f(ctx)
		state := sqlState(err)
		if err == nil {
			state = "00000"
		}
		for _, want := range states {
			if state == want && time.Since(started) < 3*time.Second {
				return
			}
		}
		t.Errorf("%s: %v (%s) after %s, want %v", what, err, state, time.Since(started), states)
	}
	on := func(f func(context.Context, int) error, group int) func(context.Context) error {
		return func(ctx context.Context) error { return f(ctx, group) }
	}
	fine, lost := []string{"00000"}, []string{"08006", "08001", "57P03", "57P01", "57P02"}
	all := func(ctx context.Context) error {
		_, err := one(ctx, c, "SELECT count(*) FROM d")
		return err
	}

	l.nodes[1].kill()
	for range 2 {
		quickly("reading from the dead worker", lost, on(read, 1))
		quickly("writing to the dead worker", lost, on(write, 1))
		quickly("reading from all", lost, all)
		quickly("reading from the living worker", fine, on(read, 2))
		quickly("writing to the living worker", fine, on(write, 2))
		quickly("reading from the coordinator", fine, on(read, 0))
	}
	if err := l.nodes[1].restart(); err != nil {
		t.Fatal(err)
	}
	quickly("reading from the worker when it is back", fine, on(read, 1))
	quickly("writing to the worker when it is back", fine, on(write, 1))
	quickly("reading from all again", fine, all)

	// A worker that hangs: its statements wait, and can be cancelled; nobody else is held up.
	thaw := l.nodes[1].freeze()
	hanging := l.connect(dsn)
	stuck := make(chan error, 1)
	go func() {
		_, err := hanging.Exec(t.Context(), "SELECT v FROM d WHERE k = $1", pgx.QueryExecModeSimpleProtocol, keys[1])
		stuck <- err
	}()
	time.Sleep(100 * time.Millisecond)
	quickly("reading from the other worker", fine, on(read, 2))
	quickly("writing to the other worker", fine, on(write, 2))
	select {
	case err := <-stuck:
		t.Errorf("a frozen worker answered: %v", err)
	default:
	}
	hanging.PgConn().CancelRequest(t.Context())
	select {
	case err := <-stuck:
		if sqlState(err) != "57014" {
			t.Errorf("a statement on a frozen worker, cancelled: %v", err)
		}
	case <-time.After(15 * time.Second):
		t.Error("a statement on a frozen worker cannot be cancelled")
	}
	thaw()
	quickly("reading from the worker that woke", fine, on(read, 1))
	hanging.Close(t.Context())

	// Without the coordinator, statements on one shard whose plans are known go on.
	l.nodes[0].kill()
	for range 2 {
		quickly("reading from a worker without the coordinator", fine, on(read, 2))
		quickly("writing to a worker without the coordinator", fine, on(write, 1))
		quickly("planning without the coordinator", lost, func(ctx context.Context) error {
			_, err := one(ctx, c, "SELECT max(v) + 17 FROM d")
			return err
		})
		quickly("reading from the coordinator that is down", lost, on(read, 0))
	}
	if err := l.nodes[0].restart(); err != nil {
		t.Fatal(err)
	}
	quickly("reading from the coordinator when it is back", fine, on(read, 0))
	quickly("reading from all when it is back", fine, all)
	eventually(t, 10*time.Second, "definitions can be changed again", func() bool {
		_, err := c.Exec(t.Context(), "CREATE TABLE IF NOT EXISTS after (k int)")
		return err == nil
	})
	l.settled(10 * time.Second)
}
