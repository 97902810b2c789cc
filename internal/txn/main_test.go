package txn_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/txn"
)

var shared pgtest.Shared

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// cluster is a database on each of several nodes, with a table t(x int) on each.
type cluster struct {
	*testing.T            // the subtest at hand
	whole      *testing.T // the test
	nodes      *pgtest.Nodes
	database   string
	pools      *backend.Pools
	manager    *txn.Manager
	identity   backend.Identity
	deferrable bool // commits make deferred checks first

	mu     sync.Mutex
	faults func(point string) error
	points []string // that were passed
}

// newCluster makes a database of the test's own on a shared cluster of two workers.
func newCluster(t *testing.T) *cluster { return onNodes(t, shared.Cluster(t, 2)) }

func onNodes(t *testing.T, nodes *pgtest.Nodes) *cluster {
	t.Helper()
	c := &cluster{T: t, whole: t, nodes: nodes, database: nodes.Database(t)}
	_, identity, _, err := backend.ParseDSN(nodes.Coordinator.DSN(c.database))
	if err != nil {
		t.Fatal(err)
	}
	c.identity = identity
	c.pools = backend.NewPools(backend.PoolOptions{})
	t.Cleanup(c.pools.Close)
	c.manager = txn.NewManager(txn.Config{
		Pools: c.pools, Admin: identity, MinAge: time.Millisecond, AskFor: 2 * time.Minute,
		Deferrable: func() bool { return c.deferrable },
		Faults: func(point string) error {
			c.mu.Lock()
			c.points = append(c.points, point)
			f := c.faults
			c.mu.Unlock()
			if f != nil {
				return f(point)
			}
			return nil
		},
	})
	t.Cleanup(c.manager.Close)
	for i := range nodes.All() {
		conn, err := c.pools.Acquire(t.Context(), c.address(i), identity)
		if err != nil {
			t.Fatal(err)
		}
		bootstrap := catalog.BootstrapNode
		if i == 0 {
			bootstrap = catalog.Bootstrap
		}
		if err := bootstrap(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "CREATE TABLE t (x int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)"); err != nil {
			t.Fatal(err)
		}
		c.pools.Release(conn)
	}
	return c
}

func (c *cluster) address(group int) backend.Address {
	return backend.Address{Host: "127.0.0.1", Port: c.nodes.All()[group].Port}
}

func (c *cluster) locate(group int32) (backend.Address, error) { return c.address(int(group)), nil }

func (c *cluster) session() *txn.Tx {
	tx := c.manager.New(c.identity, c.locate)
	c.Cleanup(tx.Close)
	return tx
}

func (c *cluster) recoverAll() (txn.Recovery, error) {
	var nodes []txn.Node
	for i := range c.nodes.All() {
		nodes = append(nodes, txn.Node{GroupID: int32(i), Address: c.address(i)})
	}
	return c.manager.Recover(c.Context(), nodes)
}

// at makes the fault hook do something at one point.
func (c *cluster) at(point string, do func() error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.points = nil
	c.faults = func(p string) error {
		if p == point {
			return do()
		}
		return nil
	}
}

func (c *cluster) passed() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.points)
}

// rows gives what table t holds on each node: "1|1 2|".
func (c *cluster) rows() string {
	c.Helper()
	return c.everywhere("SELECT coalesce(string_agg(x::text, ' ' ORDER BY x), '') FROM t")
}

// everywhere runs a query of one value on each node, over connections of its own.
func (c *cluster) everywhere(query string) string {
	c.Helper()
	var values []string
	for _, s := range c.nodes.All() {
		values = append(values, pgtest.Rows(c, s.DSN(c.database), query)[0][0])
	}
	return strings.Join(values, "|")
}

// clean checks that nothing of a transaction is left: no prepared transaction, and no record once recovery has been.
func (c *cluster) clean() {
	c.Helper()
	if got := c.everywhere("SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"); strings.Trim(got, "0|") != "" {
		c.Errorf("prepared transactions are left: %s", got)
	}
}

func run(t testing.TB, tx *txn.Tx, group int32, text string) {
	t.Helper()
	if err := try(t.Context(), tx, group, text); err != nil {
		t.Fatalf("%s on %d: %v", text, group, err)
	}
}

func try(ctx context.Context, tx *txn.Tx, group int32, text string) error {
	conn, release, err := tx.Borrow(ctx, group)
	if err != nil {
		return err
	}
	defer release()
	if strings.HasPrefix(text, "INSERT") {
		tx.MarkWrite(group)
	}
	_, err = conn.Exec(ctx, text)
	return err
}

func one(t testing.TB, tx *txn.Tx, group int32, text string) string {
	t.Helper()
	conn, release, err := tx.Borrow(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	results, err := conn.Exec(t.Context(), text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return string(results[len(results)-1].Rows[0][0])
}

func insert(t testing.TB, tx *txn.Tx, group int32, x int) {
	t.Helper()
	run(t, tx, group, fmt.Sprintf("INSERT INTO t VALUES (%d)", x))
}

func commit(t testing.TB, tx *txn.Tx) {
	t.Helper()
	if tag, err := tx.Commit(t.Context()); err != nil || tag != "COMMIT" {
		t.Fatal(tag, err)
	}
}

func code(err error) string {
	var own *sql.Error
	var node *pgconn.PgError
	switch {
	case errors.As(err, &own):
		return own.Code
	case errors.As(err, &node):
		return node.Code
	}
	return ""
}

func wantCode(t testing.TB, err error, want string) {
	t.Helper()
	if code(err) != want {
		t.Fatalf("error %v has code %q, want %q", err, code(err), want)
	}
}
