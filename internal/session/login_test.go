package session_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/session"
)

// refused makes sure that a connection is refused with a SQLSTATE.
func (g *gateway) refused(dsn, code string) {
	g.t.Helper()
	c, err := pgx.Connect(g.t.Context(), dsn)
	if err == nil {
		c.Close(context.Background())
	}
	var failure *pgconn.PgError
	if !errors.As(err, &failure) || failure.Code != code {
		g.t.Errorf("%s: %v, not %s", dsn, err, code)
	}
}

func TestLogin(t *testing.T) {
	g := start(t, func(c *session.Config) { c.Trust = false })
	g.want(g.connect(), "SELECT current_user", "postgres")
	g.refused(strings.Replace(g.dsn, "secret", "wrong", 1), "28P01")
	g.refused(strings.Replace(g.dsn, "user=postgres", "user=nobody", 1), "28P01")
	g.refused(g.dsn[:strings.Index(g.dsn, "dbname=")]+"dbname=nosuch password=secret", "3D000")
	g.refused(g.dsn+" options='-c nosuch=1'", "42704")
}

func TestTooManyClients(t *testing.T) {
	g := start(t, func(c *session.Config) { c.MaxConnections = 2 })
	c := g.connect()
	g.refused(g.dsn, "53300")
	c.Close(t.Context())
}

func TestShutdownTellsClients(t *testing.T) {
	g := start(t)
	c, busy := g.connect(), g.connect()
	done := make(chan error, 1)
	go func() {
		_, err := busy.Exec(context.Background(), "SELECT pg_sleep(60)")
		done <- err
	}()
	for g.rows(c, "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'") == "0" {
	}
	g.stop()
	var failure *pgconn.PgError
	if err := <-done; !errors.As(err, &failure) || failure.Code != "57P01" {
		t.Errorf("a busy client is told %v", err)
	}
	m, err := c.PgConn().ReceiveMessage(context.Background())
	if !errors.As(err, &failure) || failure.Code != "57P01" {
		t.Errorf("an idle client is told %v, %v", m, err)
	}
}
