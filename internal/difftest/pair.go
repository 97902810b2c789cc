// Package difftest proves answers right: it runs the same SQL through a gateway over a small cluster and on one plain PostgreSQL,
// and compares everything that a client sees: columns, rows, command tags and errors.
//
// It holds no tests' subjects of its own: helpers are here, the statements are in the tests and in testdata. It imports session
// and pgtest. Read Pair first, then Compare, then the generator (Schema, Query, Change).
package difftest

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/session"
)

// Pair is a database behind a gateway and one of the same name in a plain PostgreSQL, both empty at first.
type Pair struct {
	Gateway string // connection strings
	Plain   string
	Host    string // of the gateway
	Port    int
	Name    string // of both databases
}

// NewPair makes a cluster's database and a plain one, and serves the former until the test ends. The servers are the package's
// shared ones.
func NewPair(t testing.TB, shared *pgtest.Shared, workers, shardCount int) *Pair {
	t.Helper()
	nodes, plain := shared.Cluster(t, workers), shared.Server(t)
	name := nodes.Database(t)
	if err := pgtest.Exec(t.Context(), plain.DSN("postgres"), "CREATE DATABASE "+name+" STRATEGY = file_copy"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := pgtest.Exec(ctx, plain.DSN("postgres"), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Logf("dropping the plain database: %v", err)
		}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	server, err := session.NewServer(ctx, session.Config{
		Coordinator: nodes.Coordinator.DSN(name), Trust: true, ShardCount: shardCount, PoolSize: 20,
	})
	if err != nil {
		cancel()
		t.Fatalf("starting the gateway: %v", err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("the gateway ended with an error: %v", err)
		}
	})
	port := listener.Addr().(*net.TCPAddr).Port
	p := &Pair{
		Gateway: fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=%s sslmode=disable", port, name),
		Plain:   plain.DSN(name), Host: "127.0.0.1", Port: port, Name: name,
	}
	setup := []string{fmt.Sprintf("SELECT citus_set_coordinator_host('127.0.0.1', %d)", nodes.Coordinator.Port)}
	for _, w := range nodes.Workers {
		setup = append(setup, fmt.Sprintf("SELECT citus_add_node('127.0.0.1', %d)", w.Port))
	}
	for _, s := range setup {
		if err := pgtest.Exec(t.Context(), p.Gateway, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return p
}

// Session is a connection to each side of a Pair. What is done on one is done on the other.
type Session struct {
	pair           *Pair
	gateway, plain *pgconn.PgConn
}

// Connect opens a session that is closed when the test ends.
func (p *Pair) Connect(t testing.TB) *Session {
	t.Helper()
	s := &Session{pair: p}
	if err := s.Reconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Reconnect gives the session new connections, for when a statement broke one.
func (s *Session) Reconnect(ctx context.Context) (err error) {
	s.Close()
	if s.gateway, err = pgconn.Connect(ctx, s.pair.Gateway); err != nil {
		return fmt.Errorf("connecting to the gateway: %w", err)
	}
	s.plain, err = pgconn.Connect(ctx, s.pair.Plain)
	return err
}

// Close ends both connections.
func (s *Session) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, c := range []*pgconn.PgConn{s.gateway, s.plain} {
		if c != nil {
			_ = c.Close(ctx)
		}
	}
}

// Do runs SQL on both sides by the simple protocol and gives both answers.
func (s *Session) Do(ctx context.Context, sql string) (gateway, plain Answer) {
	return s.Run(ctx, Simple, sql, nil)
}

// Run runs SQL on both sides in the same way.
func (s *Session) Run(ctx context.Context, how Protocol, sql string, params [][]byte) (gateway, plain Answer) {
	done := make(chan Answer, 1)
	go func() { done <- ask(ctx, s.plain, how, sql, params) }()
	gateway = ask(ctx, s.gateway, how, sql, params)
	return gateway, <-done
}

// Must runs SQL on both sides where both must succeed, such as a schema's definition.
func (s *Session) Must(t testing.TB, sql string) {
	t.Helper()
	gateway, plain := s.Do(t.Context(), sql)
	if gateway.Err != nil {
		t.Fatalf("the gateway says to\n%s\n%v", sql, gateway.Err)
	}
	if plain.Err != nil {
		t.Fatalf("plain PostgreSQL says to\n%s\n%v", sql, plain.Err)
	}
}

// Distribute runs statements on the gateway only: what turns tables into distributed ones.
func (s *Session) Distribute(t testing.TB, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if a := ask(t.Context(), s.gateway, Simple, sql, nil); a.Err != nil {
			t.Fatalf("the gateway says to\n%s\n%v", sql, a.Err)
		}
	}
}
