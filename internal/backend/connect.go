package backend

import (
	"context"
	"crypto/md5"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/sql"
)

// Connect opens a connection to a node and logs in. A node that cannot be reached is *sql.Error 08001; one that refuses the
// login answers with its own *pgconn.PgError.
func Connect(ctx context.Context, address Address, identity Identity, options Options) (*Conn, error) {
	timeout := options.ConnectTimeout
	if timeout <= 0 {
		timeout = defaultConnectTimeout
	}
	ctx, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	socket, err := dial(ctx, address, options)
	if err != nil {
		return nil, connectError(address, err)
	}
	c := &Conn{
		address: address, identity: identity, options: options, net: socket,
		probe: newProbe(socket), parameters: map[string]string{}, created: time.Now(), txStatus: 'I',
	}
	c.onCancel = func() { c.watch.cancel(c) }
	interrupt := context.AfterFunc(ctx, func() { socket.SetDeadline(time.Unix(1, 0)) })
	err = c.logIn()
	if !interrupt() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		c.Abandon()
		var refused *pgconn.PgError
		var own *sql.Error
		switch {
		case errors.As(err, &refused):
			return nil, refused
		case errors.As(err, &own) && own.Code != "08006":
			return nil, own
		case context.Cause(ctx) != nil:
			err = context.Cause(ctx)
		}
		return nil, connectError(address, err)
	}
	return c, nil
}

// dial opens the socket and agrees on encryption.
func dial(ctx context.Context, address Address, options Options) (net.Conn, error) {
	var dialer net.Dialer
	network, target := address.network()
	socket, err := dialer.DialContext(ctx, network, target)
	if err != nil || options.TLS == nil || network == "unix" {
		return socket, err
	}
	deadline, _ := ctx.Deadline()
	socket.SetDeadline(deadline)
	encrypted, err := startTLS(ctx, socket, address, options)
	if err != nil {
		socket.Close()
		return nil, err
	}
	socket.SetDeadline(time.Time{})
	return encrypted, nil
}

func startTLS(ctx context.Context, socket net.Conn, address Address, options Options) (net.Conn, error) {
	request, _ := (&pgproto3.SSLRequest{}).Encode(nil)
	if _, err := socket.Write(request); err != nil {
		return nil, err
	}
	// One byte only: reading more would take in what a man in the middle sent ahead of the encryption.
	var answer [1]byte
	if _, err := io.ReadFull(socket, answer[:]); err != nil {
		return nil, err
	}
	if answer[0] != 'S' {
		if options.TLSOptional {
			return socket, nil
		}
		return nil, errors.New("the node does not speak TLS, which is required")
	}
	config := options.TLS.Clone()
	if config.ServerName == "" || !config.InsecureSkipVerify {
		config.ServerName = address.Host
	}
	encrypted := tls.Client(socket, config)
	return encrypted, encrypted.HandshakeContext(ctx)
}

// logIn sends the startup message and answers the node's questions until it is ready for queries.
func (c *Conn) logIn() error {
	parameters := map[string]string{"user": c.identity.User, "client_encoding": "UTF8"}
	if c.identity.Database != "" {
		parameters["database"] = c.identity.Database
	}
	if c.options.ApplicationName != "" {
		parameters["application_name"] = c.options.ApplicationName
	}
	maps.Copy(parameters, c.options.Parameters)
	startup := pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: parameters}
	var err error
	if c.out, err = startup.Encode(c.out); err != nil {
		return err
	}
	var exchange scramClient
	for {
		m, err := c.Receive(context.Background())
		if err != nil {
			return err
		}
		switch m.Type {
		case 'E':
			return decodeError(m)
		case 'R':
			if err := c.authenticate(m.Body(), &exchange); err != nil {
				return err
			}
		case 'K':
			var key pgproto3.BackendKeyData
			if err := key.Decode(m.Body()); err != nil {
				return err
			}
			c.pid, c.secret = key.ProcessID, key.SecretKey
		case 'Z':
			return nil
		}
	}
}

// Authentication request codes (PostgreSQL manual, section 55.7).
const (
	authOK                = 0
	authCleartextPassword = 3
	authMD5Password       = 5
	authSASL              = 10
	authSASLContinue      = 11
	authSASLFinal         = 12
)

func (c *Conn) authenticate(body []byte, exchange *scramClient) error {
	if len(body) < 4 {
		return errors.New("the node sent a malformed authentication request")
	}
	kind, data := binary.BigEndian.Uint32(body), body[4:]
	switch kind {
	case authOK:
		return nil
	case authCleartextPassword, authMD5Password:
		if c.identity.Password == "" {
			return c.noCredential("a password that can be sent to the node")
		}
		password := c.identity.Password
		if kind == authMD5Password {
			password = md5Password(c.identity.User, password, data)
		}
		c.Send(&pgproto3.PasswordMessage{Password: password})
	case authSASL:
		if c.identity.Password == "" && c.identity.ClientKey == nil {
			return c.noCredential("a password or SCRAM key")
		}
		var request pgproto3.AuthenticationSASL
		if err := request.Decode(body); err != nil {
			return err
		}
		first, err := exchange.begin(request.AuthMechanisms)
		if err != nil {
			return err
		}
		c.Send(&pgproto3.SASLInitialResponse{AuthMechanism: scramSHA256, Data: first})
	case authSASLContinue:
		final, err := exchange.answer(string(data), c.identity)
		if err != nil {
			return err
		}
		c.Send(&pgproto3.SASLResponse{Data: final})
	case authSASLFinal:
		return exchange.verify(string(data))
	default:
		return fmt.Errorf("the node asks for authentication method %d, which is not supported", kind)
	}
	return nil
}

func (c *Conn) noCredential(what string) error {
	return &sql.Error{
		Code:    "28000",
		Message: fmt.Sprintf("node %s asks for %s of role \"%s\", which the gateway does not have", c.address, what, c.identity.User),
		Hint:    "Let the gateway's clients log in with SCRAM-SHA-256, or let the node trust the gateway in pg_hba.conf.",
	}
}

func md5Password(user, password string, salt []byte) string {
	inner := md5.Sum([]byte(password + user))
	outer := md5.Sum(append([]byte(hex.EncodeToString(inner[:])), salt...))
	return "md5" + hex.EncodeToString(outer[:])
}

// Cancel asks the node, over a connection of its own, to cancel what this connection runs. It returns once the node has passed
// the request on. It may be called from any goroutine.
func (c *Conn) Cancel(ctx context.Context) error {
	socket, err := dial(ctx, c.address, c.options)
	if err != nil {
		return connectError(c.address, err)
	}
	defer socket.Close()
	stop := context.AfterFunc(ctx, func() { socket.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	request, err := (&pgproto3.CancelRequest{ProcessID: c.pid, SecretKey: c.secret}).Encode(nil)
	if err != nil {
		return err
	}
	if _, err := socket.Write(request); err != nil {
		return lostError(c.address, err)
	}
	if _, err := socket.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		return lostError(c.address, err)
	}
	return nil
}
