package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"

	"github.com/trunkline/trunkline/internal/localpg"
	"github.com/trunkline/trunkline/internal/session"
)

// gatewayConfig is how to serve, whoever asks for it.
type gatewayConfig struct {
	Coordinator    string
	Listener       net.Listener
	TLS            *tls.Config
	Auth           string
	MaxConnections int
	PoolSize       int
	ShardCount     int
	Log            *slog.Logger
}

// serve serves the gateway of a local cluster. Its clients are trusted as its
// servers trust them: all of them listen on loopback only.
func (c *localCluster) serve(ctx context.Context, o upOptions, l net.Listener, ready func() error) error {
	return serveGateway(ctx, gatewayConfig{
		Coordinator: c.servers[0].DSN(localpg.Superuser), Listener: l, Auth: authTrust,
		MaxConnections: o.maxConnections, PoolSize: o.maxConnections, ShardCount: o.shardCount, Log: c.log,
	}, ready)
}

// serveGateway serves until ctx ends. Once clients are accepted it calls
// ready; if that fails, it ends with that error.
func serveGateway(ctx context.Context, g gatewayConfig, ready func() error) error {
	server, err := session.NewServer(ctx, session.Config{
		Coordinator: g.Coordinator, Trust: g.Auth == authTrust, TLS: g.TLS, MaxConnections: g.MaxConnections,
		PoolSize: g.PoolSize, ShardCount: g.ShardCount, Log: g.Log,
	})
	if err != nil {
		return startError(ctx, fmt.Errorf("starting the gateway over the coordinator: %w", err))
	}
	serving, cancel := context.WithCancelCause(ctx)
	served := make(chan error, 1)
	go func() {
		err := server.Serve(serving, g.Listener)
		cancel(err)
		served <- err
	}()
	if err := ready(); err != nil {
		cancel(err)
		<-served
		return startError(ctx, err)
	}
	return <-served
}

// startError is an error of a start; one that an interruption brought about
// says only that.
func startError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errInterrupted
	}
	return err
}
