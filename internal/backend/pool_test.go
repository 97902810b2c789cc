package backend_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/pgtest"
)

// newPools makes pools over a database of the test's own.
func newPools(t testing.TB, options backend.PoolOptions) (*backend.Pools, func(ctx context.Context) (*backend.Conn, error)) {
	t.Helper()
	address, identity, _ := target(t, pgtest.Database(t, shared.Server(t)))
	pools := backend.NewPools(options)
	t.Cleanup(pools.Close)
	return pools, func(ctx context.Context) (*backend.Conn, error) { return pools.Acquire(ctx, address, identity) }
}

func must(t testing.TB, acquire func(context.Context) (*backend.Conn, error)) *backend.Conn {
	t.Helper()
	c, err := acquire(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPoolReuses(t *testing.T) {
	pools, acquire := newPools(t, backend.PoolOptions{})
	c := must(t, acquire)
	pools.Release(c)
	if must(t, acquire) != c {
		t.Fatal("an idle connection was not reused")
	}
	pools.Release(c)

	// Killed while idle: noticed before use.
	killer := connect(t)
	run(t, killer, fmt.Sprintf("SELECT pg_terminate_backend(%d, 10000)", c.PID()))
	fresh := must(t, acquire)
	if one(t, fresh, "SELECT 1") != "1" {
		t.Fatal("unusable")
	}

	// In a transaction: not reused.
	run(t, fresh, "BEGIN")
	pools.Release(fresh)
	next := must(t, acquire)
	if next == fresh || next.TxStatus() != 'I' {
		t.Fatal("a connection in a transaction was reused")
	}
	pools.Release(next)
	if s := pools.Stats(); len(s) != 1 || s[0].InUse != 0 || s[0].Idle != 1 || s[0].Opened != 3 {
		t.Fatalf("%+v", s)
	}
}

func TestPoolResetsDirtyConnections(t *testing.T) {
	pools, acquire := newPools(t, backend.PoolOptions{MaxConns: 1})
	c := must(t, acquire)
	run(t, c, "CREATE TEMP TABLE mine(x int)")
	c.MarkDirty()
	pools.Release(c)
	again := must(t, acquire)
	defer pools.Release(again)
	if again != c || one(t, again, "SELECT to_regclass('mine') IS NULL") != "t" {
		t.Fatal("session state survived")
	}
}

func TestPoolIsBounded(t *testing.T) {
	pools, acquire := newPools(t, backend.PoolOptions{MaxConns: 2, MaxWait: 20 * time.Millisecond})
	a, b := must(t, acquire), must(t, acquire)
	_, err := acquire(t.Context())
	wantCode(t, err, "53300")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err = acquire(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	pools.Release(a)
	b.Abandon()
	pools.Release(b)
	a, b = must(t, acquire), must(t, acquire)
	pools.Release(a)
	pools.Release(b)
}

func TestPoolUnderLoad(t *testing.T) {
	pools, acquire := newPools(t, backend.PoolOptions{MaxConns: 3})
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			for i := range 30 {
				c, err := acquire(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if results, err := c.Exec(t.Context(), "SELECT 1"); err != nil || len(results) != 1 {
					t.Error(err)
				}
				if i%10 == 9 {
					c.Abandon()
				}
				pools.Release(c)
			}
		})
	}
	group.Wait()
	s := pools.Stats()[0]
	if s.InUse != 0 || s.Waiting != 0 || s.Idle > 3 {
		t.Fatalf("%+v", s)
	}
	if got := one(t, must(t, acquire), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"); got > "3" {
		t.Fatalf("%s connections", got)
	}
}

func TestPoolClosesIdleConnections(t *testing.T) {
	pools, acquire := newPools(t, backend.PoolOptions{})
	c := must(t, acquire)
	address := c.Address()
	pools.Release(c)
	pools.CloseIdle(address)
	if s := pools.Stats()[0]; s.Idle != 0 || s.InUse != 0 {
		t.Fatalf("%+v", s)
	}
	pools.Close()
	_, err := acquire(t.Context())
	wantCode(t, err, "57P01")
}

func BenchmarkAcquireRelease(b *testing.B) {
	pools, acquire := newPools(b, backend.PoolOptions{})
	b.ReportAllocs()
	for b.Loop() {
		c, err := acquire(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		pools.Release(c)
	}
}
