package session_test

import (
	"context"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/session"
)

var shared pgtest.Shared

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// gateway is a running gateway over a coordinator and two workers.
type gateway struct {
	t    *testing.T
	dsn  string
	port int
	stop func() // ends the gateway
}

// start serves a database of its own on the shared servers.
func start(t *testing.T, change ...func(*session.Config)) *gateway {
	t.Helper()
	nodes := shared.Cluster(t, 2)
	database := nodes.Database(t)
	config := session.Config{Coordinator: nodes.Coordinator.DSN(database), Trust: true, ShardCount: 4}
	for _, f := range change {
		f(&config)
	}
	server, err := session.NewServer(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("serving: %v", err)
			}
		case <-time.After(5 * time.Minute):
			t.Error("the gateway does not stop")
		}
	})
	port := listener.Addr().(*net.TCPAddr).Port
	g := &gateway{t: t, stop: stop, port: port, dsn: "host=127.0.0.1 port=" + strconv.Itoa(port) + " user=postgres sslmode=disable dbname=" + database}
	if !config.Trust {
		if err := pgtest.Exec(t.Context(), nodes.Coordinator.DSN(database), "ALTER ROLE postgres PASSWORD 'secret'"); err != nil {
			t.Fatal(err)
		}
		g.dsn += " password=secret"
	}
	c := g.connect()
	g.exec(c, "SELECT citus_set_coordinator_host('127.0.0.1', "+strconv.Itoa(nodes.Coordinator.Port)+")")
	for _, w := range nodes.Workers {
		g.exec(c, "SELECT citus_add_node('127.0.0.1', "+strconv.Itoa(w.Port)+")")
	}
	return g
}

func (g *gateway) connect() *pgx.Conn {
	g.t.Helper()
	c, err := pgx.Connect(g.t.Context(), g.dsn)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func (g *gateway) exec(c *pgx.Conn, text string, args ...any) {
	g.t.Helper()
	if _, err := c.Exec(g.t.Context(), text, args...); err != nil {
		g.t.Fatalf("%s: %v", text, err)
	}
}
