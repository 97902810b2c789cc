package pgtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/trunkline/trunkline/internal/localpg"
)

// Nodes are the bare servers of a cluster: running, empty, unknown to each
// other. Making them a cluster is the business of the packages under test.
type Nodes struct {
	Coordinator *localpg.Server
	Workers     []*localpg.Server
}

// All returns every server, the coordinator first.
func (n *Nodes) All() []*localpg.Server {
	return append([]*localpg.Server{n.Coordinator}, n.Workers...)
}

// Cluster starts a coordinator and workers for one test.
func Cluster(t testing.TB, workers int, opts ...Option) *Nodes {
	t.Helper()
	n, remove, err := startNodes(t.Context(), workers, opts...)
	if err != nil {
		t.Fatalf("starting a cluster of PostgreSQL servers: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, s := range n.All() {
				t.Logf("log of the %s on port %d:\n%s", s.Name, s.Port, tail(s.LogFile))
			}
		}
		remove()
	})
	return n
}

func startNodes(ctx context.Context, workers int, opts ...Option) (*Nodes, func(), error) {
	servers := make([]*localpg.Server, workers+1)
	removes := make([]func(), workers+1)
	g, ctx := errgroup.WithContext(ctx)
	for i := range servers {
		g.Go(func() (err error) {
			name := "coordinator"
			if i > 0 {
				name = fmt.Sprintf("worker %d", i)
			}
			servers[i], removes[i], err = start(ctx, name, opts...)
			return err
		})
	}
	err := g.Wait()
	remove := func() {
		for _, r := range removes {
			if r != nil {
				r()
			}
		}
	}
	if err != nil {
		remove()
		return nil, nil, err
	}
	return &Nodes{Coordinator: servers[0], Workers: servers[1:]}, remove, nil
}

// databases numbers the databases of a test binary, so that names differ.
var databases atomic.Int64

// Database makes a database of the same name on every node for one test, and
// returns the name. It is dropped when the test ends.
func (n *Nodes) Database(t testing.TB) string {
	t.Helper()
	name := databaseName(t)
	for _, s := range n.All() {
		makeDatabase(t, s, name)
	}
	return name
}

// Database makes a database on s for one test and returns its connection
// string. It is dropped when the test ends.
func Database(t testing.TB, s *localpg.Server) string {
	t.Helper()
	name := databaseName(t)
	makeDatabase(t, s, name)
	return s.DSN(name)
}

// databaseName is short and says which test made it.
func databaseName(t testing.TB) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '_'
	}, strings.TrimPrefix(t.Name(), "Test"))
	if len(clean) > 40 {
		clean = clean[:40]
	}
	return fmt.Sprintf("t%d_%s", databases.Add(1), clean)
}

func makeDatabase(t testing.TB, s *localpg.Server, name string) {
	t.Helper()
	if err := Exec(t.Context(), s.DSN("postgres"), "CREATE DATABASE "+name+" STRATEGY = file_copy"); err != nil {
		t.Fatalf("making a database on the %s: %v", s.Name, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		select {
		case <-s.Exited():
			return
		default:
		}
		// A prepared transaction that a test left behind keeps the database from
		// being dropped; the server goes with it in the end.
		if err := Exec(ctx, s.DSN("postgres"), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Logf("dropping a database on the %s: %v", s.Name, err)
		}
	})
}

// Exec runs SQL over a connection of its own; several statements may be
// separated by semicolons.
func Exec(ctx context.Context, dsn, sql string) (err error) {
	conn, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	_, err = conn.Exec(ctx, sql).ReadAll()
	return err
}

// Rows runs one query over a connection of its own and returns its rows as
// text, NULL as "NULL".
func Rows(t testing.TB, dsn, sql string) [][]string {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	results, err := conn.Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var rows [][]string
	for _, r := range results {
		for _, row := range r.Rows {
			texts := make([]string, len(row))
			for i, v := range row {
				texts[i] = "NULL"
				if v != nil {
					texts[i] = string(v)
				}
			}
			rows = append(rows, texts)
		}
	}
	return rows
}
