package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"
)

// gatewayOptions are the flags of gateway.
type gatewayOptions struct {
	coordinator    string
	listen         string
	auth           string
	tlsCert        string
	tlsKey         string
	maxConnections int
	poolSize       int
	shardCount     int
	logFormat      string
	logLevel       string
}

func gatewayCommand() *cobra.Command {
	var o gatewayOptions
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Serve an existing set of PostgreSQL servers",
		Long: `Serve the cluster whose metadata are on the coordinator. Any number of gateways
can serve one cluster. The first one makes the catalog (schema trunkline) in the
coordinator's database; nodes are then added with SELECT citus_add_node(host, port).

Every flag can also be given as an environment variable (--tls-cert as
TRUNKLINE_TLS_CERT) or in the file that --config names (tls-cert = "…").`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := o.logger(cmd)
			if err != nil {
				return usageError{err}
			}
			security, err := o.security()
			if err != nil {
				return usageError{err}
			}
			l, err := net.Listen("tcp", o.listen)
			if err != nil {
				return fmt.Errorf("cannot listen on %s: %w: choose another address with --listen", o.listen, err)
			}
			defer l.Close()
			return serveGateway(cmd.Context(), gatewayConfig{
				Coordinator: o.coordinator, Listener: l, TLS: security, Auth: o.auth,
				MaxConnections: o.maxConnections, PoolSize: o.poolSize, ShardCount: o.shardCount, Log: log,
			}, func() error {
				log.Info("accepting connections", "address", l.Addr().String())
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.coordinator, "coordinator", "", "connection string of the coordinator's database; its user must be a superuser")
	f.StringVar(&o.listen, "listen", "127.0.0.1:7432", "address for clients")
	f.StringVar(&o.auth, "auth", authSCRAM, "how clients prove who they are: "+authSCRAM+", or "+authTrust+" (nobody is asked; loopback addresses only)")
	f.StringVar(&o.tlsCert, "tls-cert", "", "file of the certificate chain that clients see (PEM)")
	f.StringVar(&o.tlsKey, "tls-key", "", "file of the certificate's key (PEM)")
	f.IntVar(&o.maxConnections, "max-connections", 1000, "most clients at a time")
	f.IntVar(&o.poolSize, "pool-size", 50, "most connections to one node for one user and database")
	f.IntVar(&o.shardCount, "shard-count", 32, "shards of a new distributed table, unless the table says otherwise")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// Ways in which clients prove who they are.
const (
	authSCRAM = "scram-sha-256"
	authTrust = "trust"
)

func (o gatewayOptions) logger(cmd *cobra.Command) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level %s is none: choose debug, info, warn or error", o.logLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	switch o.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), options)), nil
	}
	return nil, fmt.Errorf("--log-format %s is none: choose text or json", o.logFormat)
}

// security checks what decides who may get in, and reads the certificate.
func (o gatewayOptions) security() (*tls.Config, error) {
	switch {
	case o.coordinator == "":
		return nil, errors.New("--coordinator is missing: give the connection string of the coordinator, such as --coordinator 'host=db1 user=postgres dbname=app'")
	case !isDSN(o.coordinator):
		return nil, errors.New("--coordinator is not a connection string: write it as 'host=db1 user=postgres dbname=app' or as postgresql://postgres@db1/app")
	case o.auth != authSCRAM && o.auth != authTrust:
		return nil, fmt.Errorf("--auth %s is none: choose %s or %s", o.auth, authSCRAM, authTrust)
	case o.auth == authTrust && !isLoopback(o.listen):
		return nil, fmt.Errorf("--auth %s would let anybody in from outside on %s: listen on 127.0.0.1, or use --auth %s", authTrust, o.listen, authSCRAM)
	case o.maxConnections < 1 || o.poolSize < 1 || o.shardCount < 1:
		return nil, errors.New("--max-connections, --pool-size and --shard-count must be at least 1")
	case (o.tlsCert == "") != (o.tlsKey == ""):
		return nil, errors.New("--tls-cert and --tls-key belong together: give both or none")
	case o.tlsCert == "":
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(o.tlsCert, o.tlsKey)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate %s and its key: %w", o.tlsCert, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

func isDSN(text string) bool {
	_, err := pgconn.ParseConfig(text)
	return err == nil
}

// isLoopback reports whether only this machine can reach an address.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
