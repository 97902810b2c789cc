package wire

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Config says whom Accept lets in, and how.
type Config struct {
	TLS        *tls.Config // nil: requests for encryption are declined
	RequireTLS bool        // clients that do not encrypt are refused

	// Verifier gives the SCRAM-SHA-256 verifier of a user as pg_authid.rolpassword holds it, "" for a user who does not exist or
	// may not log in by password. A nil Verifier trusts everyone.
	Verifier func(ctx context.Context, user, database string) (string, error)

	// Cancel is called for a cancel request. The client is told nothing, by the protocol.
	Cancel func(processID uint32, secret []byte)

	LoginTimeout time.Duration // for everything before the session; 60 s unless set

	once   sync.Once
	secret [32]byte // seeds the verifiers of users who have none
}

func (c *Config) mockSecret() []byte {
	c.once.Do(func() { rand.Read(c.secret[:]) })
	return c.secret[:]
}

// Startup is what a client said of itself when it connected, and what its login showed.
type Startup struct {
	User, Database string
	Settings       map[string]string // session settings asked for: the other parameters, and those inside "options"; names in lower case
	Encrypted      bool

	// ClientKey and ServerKey are the user's SCRAM-SHA-256 keys, recovered from the login, with which the gateway can in turn log
	// in to nodes as the user. Nil if the user was trusted.
	ClientKey, ServerKey []byte
}

// ErrNoSession is returned by Accept for a connection that did not ask for a session (a cancel request), or was closed first.
var ErrNoSession = errors.New("the connection asked for no session")

const defaultLoginTimeout = 60 * time.Second

// Accept welcomes a client: encryption, startup, authentication. It returns a Conn to which AuthenticationOk has been buffered;
// parameters, key and ReadyForQuery are the session's to send. A client that is refused has been told why, as FATAL, and its
// connection is closed, as after every error; one whose first bytes are no startup packet is told nothing, as by PostgreSQL.
func Accept(ctx context.Context, socket net.Conn, config *Config) (*Conn, error) {
	timeout := config.LoginTimeout
	if timeout <= 0 {
		timeout = defaultLoginTimeout
	}
	socket.SetDeadline(time.Now().Add(timeout))
	interrupt := context.AfterFunc(ctx, func() { socket.SetDeadline(time.Unix(1, 0)) })
	defer interrupt()

	w := welcome{config: config, socket: socket}
	c, err := w.run(ctx)
	if err != nil {
		w.socket.Close()
		return nil, err
	}
	if !interrupt() {
		c.Close()
		return nil, context.Cause(ctx)
	}
	return c, c.net.SetDeadline(time.Time{})
}

// welcome is a connection on its way to a session.
type welcome struct {
	config    *Config
	socket    net.Conn
	encrypted bool
	binding   []byte // see channelBinding; nil for none
}

func (w *welcome) run(ctx context.Context) (*Conn, error) {
	packet, err := w.startup()
	if err != nil {
		return nil, err
	}
	c := newConn(w.socket)
	startup, unknown, err := readStartup(packet)
	if err == nil && w.config.RequireTLS && !w.encrypted {
		err = fatalf("28000", "connection requires encryption")
	}
	if err == nil {
		startup.Encrypted = w.encrypted
		c.Startup = *startup
		if minor := binary.BigEndian.Uint32(packet) & 0xffff; minor > 0 || len(unknown) > 0 {
			c.Send(&pgproto3.NegotiateProtocolVersion{NewestMinorProtocol: pgproto3.ProtocolVersion30, UnrecognizedOptions: unknown})
		}
		if w.config.Verifier != nil {
			err = c.authenticate(ctx, w.config, w.binding)
		}
	}
	if err != nil {
		if !isNetwork(err) {
			c.SendError(err, SeverityFatal)
			c.Flush()
		}
		return nil, err
	}
	c.Send(&pgproto3.AuthenticationOk{})
	return c, nil
}

// isNetwork tells whether an error says that the client can no longer be spoken to.
func isNetwork(err error) bool {
	var e net.Error
	return errors.As(err, &e) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// Request codes that stand in place of a protocol version (PostgreSQL manual, section 55.7).
const (
	codeCancel = 80877102
	codeSSL    = 80877103
	codeGSSENC = 80877104
)

// maxStartup is PostgreSQL's MAX_STARTUP_PACKET_LENGTH.
const maxStartup = 10_000

// startup reads packets up to one that asks for a session, and gives its content from the protocol version on. Nothing is read
// beyond a packet's end, so nothing sent in the clear can slip into an encrypted connection.
func (w *welcome) startup() ([]byte, error) {
	var askedSSL, askedGSS bool
	for {
		var header [8]byte
		if _, err := io.ReadFull(w.socket, header[:]); err != nil {
			if err == io.EOF {
				return nil, ErrNoSession // a port check
			}
			return nil, err
		}
		if header[0] == tlsHandshake && w.config.TLS != nil && !askedSSL && !w.encrypted {
			if err := w.encryptDirectly(header[:]); err != nil {
				return nil, err
			}
			continue
		}
		length, code := binary.BigEndian.Uint32(header[:]), binary.BigEndian.Uint32(header[4:])
		if length < 8 || length > maxStartup {
			return nil, fatalf("08P01", "invalid length of startup packet")
		}
		packet := make([]byte, length-4)
		copy(packet, header[4:])
		if _, err := io.ReadFull(w.socket, packet[4:]); err != nil {
			return nil, err
		}
		switch {
		case code == codeCancel:
			var request pgproto3.CancelRequest
			if request.Decode(packet) == nil && w.config.Cancel != nil {
				w.config.Cancel(request.ProcessID, request.SecretKey)
			}
			return nil, ErrNoSession
		case code == codeSSL && length == 8 && !askedSSL && !w.encrypted:
			askedSSL = true
			if err := w.encrypt(); err != nil {
				return nil, err
			}
		case code == codeGSSENC && length == 8 && !askedGSS && !w.encrypted:
			askedGSS = true
			if _, err := w.socket.Write([]byte{'N'}); err != nil {
				return nil, err
			}
		default:
			return packet, nil
		}
	}
}

// encrypt answers a request for TLS.
func (w *welcome) encrypt() error {
	answer := byte('N')
	if w.config.TLS != nil {
		answer = 'S'
	}
	if _, err := w.socket.Write([]byte{answer}); err != nil || answer == 'N' {
		return err
	}
	_, err := w.handshake(w.socket)
	return err
}

// tlsHandshake is the first byte of a client that begins with TLS without asking (sslnegotiation=direct of PostgreSQL 17): the type
// of a TLS record. No startup packet is long enough to begin so.
const tlsHandshake = 0x16

// protocolName is what such a client must ask for by ALPN, lest another protocol's client be taken for PostgreSQL's.
const protocolName = "postgresql"

// encryptDirectly begins TLS with a client whose first bytes have been read.
func (w *welcome) encryptDirectly(read []byte) error {
	encrypted, err := w.handshake(&rereadConn{w.socket, read})
	if err == nil && encrypted.ConnectionState().NegotiatedProtocol != protocolName {
		err = errors.New("received direct SSL connection request without ALPN protocol negotiation extension")
	}
	return err
}

func (w *welcome) handshake(socket net.Conn) (*tls.Conn, error) {
	config := w.config.TLS.Clone()
	config.NextProtos = []string{protocolName}
	encrypted := tls.Server(socket, config)
	if err := encrypted.Handshake(); err != nil {
		return nil, err
	}
	w.socket, w.encrypted, w.binding = encrypted, true, channelBinding(w.config.TLS)
	return encrypted, nil
}

// rereadConn is a connection whose first bytes are read once more.
type rereadConn struct {
	net.Conn
	again []byte
}

func (c *rereadConn) NetConn() net.Conn { return c.Conn }

func (c *rereadConn) Read(b []byte) (int, error) {
	if len(c.again) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.again)
	c.again = c.again[n:]
	return n, nil
}

// readStartup reads a startup packet. unknown are the protocol options that the client asks for and that are not known here.
func readStartup(packet []byte) (startup *Startup, unknown []string, err error) {
	version := binary.BigEndian.Uint32(packet)
	if version>>16 != 3 {
		return nil, nil, fatalf("0A000", "unsupported frontend protocol %d.%d: server supports 3.0 to 3.0", version>>16, version&0xffff)
	}
	parameters, err := readParameters(packet[4:])
	if err != nil {
		return nil, nil, err
	}
	startup = &Startup{Settings: map[string]string{}}
	var options string
	for _, p := range parameters {
		switch name := strings.ToLower(p.name); {
		case p.name == "user":
			startup.User = p.value
		case p.name == "database":
			startup.Database = p.value
		case p.name == "options":
			options = p.value
		case p.name == "replication":
			if on := strings.ToLower(p.value); on != "false" && on != "off" && on != "no" && on != "0" {
				return nil, nil, fatalf("0A000", "replication connections to the gateway are not supported")
			}
		case strings.HasPrefix(p.name, "_pq_."):
			unknown = append(unknown, p.name)
		default:
			startup.Settings[name] = p.value
		}
	}
	if startup.User == "" {
		return nil, nil, fatalf("28000", "no PostgreSQL user name specified in startup packet")
	}
	if startup.Database == "" {
		startup.Database = startup.User
	}
	return startup, unknown, readOptions(options, startup.Settings)
}

type parameter struct{ name, value string }

// readParameters reads pairs of null-terminated strings up to an empty name, which must be the last byte.
func readParameters(b []byte) ([]parameter, error) {
	malformed := fatalf("08P01", "invalid startup packet layout: expected terminator as last byte")
	var parameters []parameter
	next := func() (string, bool) {
		end := strings.IndexByte(string(b), 0)
		if end < 0 {
			return "", false
		}
		s := string(b[:end])
		b = b[end+1:]
		return s, true
	}
	for {
		name, ok := next()
		if !ok {
			return nil, malformed
		}
		if name == "" {
			if len(b) > 0 {
				return nil, malformed
			}
			return parameters, nil
		}
		value, ok := next()
		if !ok {
			return nil, malformed
		}
		parameters = append(parameters, parameter{name, value})
	}
}

// readOptions reads the settings in a startup packet's "options": -c name=value or --name=value, separated by spaces, with
// backslashes before spaces that belong to a value.
func readOptions(options string, settings map[string]string) error {
	words := splitOptions(options)
	for i := 0; i < len(words); i++ {
		var setting string
		switch {
		case words[i] == "-c":
			if i++; i == len(words) {
				return fatalf("42601", "-c requires a value")
			}
			setting = words[i]
		case strings.HasPrefix(words[i], "-c"):
			setting = words[i][2:]
		case strings.HasPrefix(words[i], "--"):
			setting = words[i][2:]
		default:
			return fatalf("42601", "invalid command-line argument for server process: %s", words[i])
		}
		name, value, ok := strings.Cut(setting, "=")
		if !ok {
			return fatalf("42601", "-c %s requires a value", setting)
		}
		settings[strings.ToLower(strings.ReplaceAll(name, "-", "_"))] = value
	}
	return nil
}

func splitOptions(options string) []string {
	var words []string
	var word []byte
	inWord := false
	for i := 0; i < len(options); i++ {
		switch c := options[i]; {
		case c == '\\' && i+1 < len(options):
			i++
			word, inWord = append(word, options[i]), true
		case c == ' ' || c >= '\t' && c <= '\r':
			if inWord {
				words, word, inWord = append(words, string(word)), nil, false
			}
		default:
			word, inWord = append(word, c), true
		}
	}
	if inWord {
		words = append(words, string(word))
	}
	return words
}
