// Package backend holds connections to PostgreSQL nodes and the pools that share them between client sessions.
//
// A Conn moves raw protocol messages: what a client sent goes to the node, what the node answers goes to the client, undecoded.
// One goroutine writes to and reads from a connection at a time; there is no reader goroutine behind it, because a hand-off
// between goroutines costs more than planning a router statement does.
//
// It imports sql only. Read Conn first, then Pools.
package backend

import (
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/sql"
)

// Address is where a node listens. A Host that begins with a slash is the directory of a unix socket.
type Address struct {
	Host string
	Port int
}

func (a Address) String() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

func (a Address) network() (network, address string) {
	if strings.HasPrefix(a.Host, "/") {
		return "unix", a.Host + "/.s.PGSQL." + strconv.Itoa(a.Port)
	}
	return "tcp", a.String()
}

// Identity is how to log in to nodes as the client's user. With neither Password nor ClientKey only nodes that trust the gateway
// let it in. ClientKey is the SCRAM-SHA-256 client key recovered from the client's own login (RFC 5802, section 3); it proves the
// user to every node whose verifier has the same salt and iteration count, which nodes of one cluster have.
type Identity struct {
	User, Database string
	Password       string
	ClientKey      []byte
	ServerKey      []byte // when known, the node's own signature is checked against it
}

// Options are what all connections of a gateway have in common.
type Options struct {
	TLS             *tls.Config // nil: connections are not encrypted
	TLSOptional     bool        // a node that speaks no TLS may be used without it (sslmode=prefer)
	ConnectTimeout  time.Duration
	ApplicationName string            // until the session's own is applied
	Parameters      map[string]string // further parameters of the startup message
}

const defaultConnectTimeout = 10 * time.Second

// ParseDSN reads a connection string in either of libpq's forms (PostgreSQL manual, section 34.1.1), with libpq's environment
// variables and password file for what it leaves out.
func ParseDSN(dsn string) (Address, Identity, Options, error) {
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return Address{}, Identity{}, Options{}, fmt.Errorf("cannot read connection string: %w", err)
	}
	options := Options{TLS: config.TLSConfig, ConnectTimeout: config.ConnectTimeout}
	for _, fallback := range config.Fallbacks {
		if fallback.Host != config.Host || fallback.Port != config.Port {
			continue
		}
		if options.TLS == nil {
			options.TLS = fallback.TLSConfig
		}
		options.TLSOptional = options.TLSOptional || fallback.TLSConfig == nil || config.TLSConfig == nil
	}
	options.ApplicationName = config.RuntimeParams["application_name"]
	address := Address{Host: config.Host, Port: int(config.Port)}
	return address, Identity{User: config.User, Database: config.Database, Password: config.Password}, options, nil
}

func connectError(a Address, err error) error {
	return &sql.Error{Code: "08001", Message: fmt.Sprintf("could not connect to node %s", a), Detail: sentence(err.Error())}
}

func lostError(a Address, err error) error {
	return &sql.Error{Code: "08006", Message: fmt.Sprintf("connection to node %s was lost", a), Detail: sentence(err.Error())}
}

// sentence makes an error text fit for DETAIL.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".") + "."
}
