package wire

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/sql"
)

// serve accepts connections until the test ends. A client that is let in gets ReadyForQuery; what Accept made of each goes to the
// channel.
func serve(t testing.TB, config *Config) (address string, accepted chan *Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	accepted = make(chan *Conn, 10)
	go func() {
		for {
			socket, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				c, err := Accept(context.Background(), socket, config)
				if err == nil {
					c.SendParameterStatus("server_version", "15.0")
					c.Send(&pgproto3.BackendKeyData{ProcessID: 7, SecretKey: []byte{1, 2, 3, 4}})
					c.SendReadyForQuery('I')
					c.Flush()
				}
				accepted <- c
			}()
		}
	}()
	return listener.Addr().String(), accepted
}

func dsn(address, rest string) string {
	host, port, _ := net.SplitHostPort(address)
	return fmt.Sprintf("host=%s port=%s sslmode=disable connect_timeout=20 %s", host, port, rest)
}

// makeVerifier makes what PostgreSQL would store for a password.
func makeVerifier(password string) string {
	salt := []byte("0123456789abcdef")
	salted, _ := pbkdf2.Key(sha256.New, password, salt, 4096, 32)
	stored := sha256.Sum256(hmacSHA256(salted, "Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return "SCRAM-SHA-256$4096:" + encode(salt) + "$" + encode(stored[:]) + ":" + encode(hmacSHA256(salted, "Server Key"))
}

func TestTrust(t *testing.T) {
	address, accepted := serve(t, &Config{})
	client, err := pgconn.Connect(t.Context(), dsn(address, `user=u dbname=d application_name=app options='-c work_mem=1MB --enable-sort=o\\ ff -cgeqo=on'`))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	s := (<-accepted).Startup
	if s.User != "u" || s.Database != "d" || s.Encrypted || s.ClientKey != nil {
		t.Fatalf("%+v", s)
	}
	for name, want := range map[string]string{"application_name": "app", "work_mem": "1MB", "enable_sort": "o ff", "geqo": "on"} {
		if s.Settings[name] != want {
			t.Errorf("%s is %q, want %q", name, s.Settings[name], want)
		}
	}
	if client.ParameterStatus("server_version") != "15.0" || client.PID() != 7 {
		t.Fatal(client.ParameterStatus("server_version"), client.PID())
	}
}

func TestPassword(t *testing.T) {
	config := &Config{Verifier: func(_ context.Context, user, database string) (string, error) {
		switch user {
		case "known":
			return makeVerifier("secret"), nil
		case "odd":
			return "md5aabbccddeeff00112233445566778899", nil
		case "broken":
			return "", fatalf("08001", "could not connect to node")
		}
		return "", nil
	}}
	address, accepted := serve(t, config)
	for _, test := range []struct{ user, password, code string }{
		{"known", "secret", ""}, {"known", "wrong", "28P01"}, {"known", "", "28P01"}, {"unknown", "secret", "28P01"}, {"odd", "secret", "28P01"}, {"broken", "secret", "08001"},
	} {
		t.Run(test.user+" "+test.password, func(t *testing.T) {
			client, err := pgconn.Connect(t.Context(), dsn(address, "user="+test.user+" password='"+test.password+"'"))
			c := <-accepted
			if test.code != "" {
				var refused *pgconn.PgError
				if test.password != "" && (!errors.As(err, &refused) || refused.Code != test.code || refused.Severity != "FATAL") || err == nil || c != nil {
					t.Fatal(err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close(t.Context())
			v, _ := readVerifier(makeVerifier("secret"))
			stored := sha256.Sum256(c.Startup.ClientKey)
			if !slices.Equal(stored[:], v.storedKey) || !slices.Equal(c.Startup.ServerKey, v.serverKey) {
				t.Fatal("the keys recovered from the login are not the user's")
			}
		})
	}
}

// An outsider must not be able to tell a user without a verifier by its salt changing.
func TestMockVerifierIsSteady(t *testing.T) {
	config := &Config{}
	a, b := mockVerifier(config.mockSecret(), "u"), mockVerifier(config.mockSecret(), "u")
	if !slices.Equal(a.salt, b.salt) || slices.Equal(a.salt, mockVerifier(config.mockSecret(), "v").salt) || len(a.salt) != 16 {
		t.Fatal("mock salts")
	}
}

// makeCertificate makes a certificate for 127.0.0.1 and the configuration that shows it.
func makeCertificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	certificate, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}}
}

// encryptedDSN is for connections by TLS.
func encryptedDSN(address, rest string) string {
	host, port, _ := net.SplitHostPort(address)
	return fmt.Sprintf("host=%s port=%s sslmode=require connect_timeout=60 user=u password=secret %s", host, port, rest)
}

func TestTLS(t *testing.T) {
	config := &Config{
		TLS:        makeCertificate(t),
		RequireTLS: true,
		Verifier:   func(context.Context, string, string) (string, error) { return makeVerifier("secret"), nil },
	}
	address, accepted := serve(t, config)
	for _, binding := range []string{"disable", "prefer", "require"} {
		client, err := pgconn.Connect(t.Context(), encryptedDSN(address, "channel_binding="+binding))
		if err != nil {
			t.Fatal(binding, err)
		}
		defer client.Close(t.Context())
		if c := <-accepted; !c.Startup.Encrypted || c.Startup.ClientKey == nil {
			t.Fatalf("%s: %+v", binding, c.Startup)
		}
	}
	var refused *pgconn.PgError
	if _, err := pgconn.Connect(t.Context(), dsn(address, "user=u password=secret")); !errors.As(err, &refused) || refused.Code != "28000" {
		t.Fatal(err)
	}
}

// TLS at once is for those who say by ALPN that they mean PostgreSQL.
func TestDirectTLS(t *testing.T) {
	address, accepted := serve(t, &Config{TLS: makeCertificate(t), RequireTLS: true})
	client, err := pgconn.Connect(t.Context(), encryptedDSN(address, "sslnegotiation=direct"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	if c := <-accepted; !c.Startup.Encrypted || c.Gone() {
		t.Fatal(c.Startup.Encrypted, c.Gone())
	}
	other, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err == nil {
		defer other.Close()
		if _, err = other.Read(make([]byte, 1)); err == nil {
			t.Error("a client without ALPN is served")
		}
	}
	if _, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}); err == nil {
		t.Error("a client of HTTP is served")
	}
}

// TestChannelBinding has a login passed on by somebody in between, who shows the client a certificate of their own.
func TestChannelBinding(t *testing.T) {
	address, _ := serve(t, &Config{
		TLS:      makeCertificate(t),
		Verifier: func(context.Context, string, string) (string, error) { return makeVerifier("secret"), nil },
	})
	between, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { between.Close() })
	other := makeCertificate(t)
	request := packet(codeSSL, "")
	go func() {
		for {
			client, err := between.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", address)
			if err != nil {
				t.Error(err)
				return
			}
			server.Write(request)
			io.ReadFull(client, make([]byte, len(request)))
			io.ReadFull(server, make([]byte, 1))
			client.Write([]byte{'S'})
			inner, outer := tls.Client(server, &tls.Config{InsecureSkipVerify: true}), tls.Server(client, other)
			go func() { io.Copy(inner, outer); inner.Close() }()
			go func() { io.Copy(outer, inner); outer.Close() }()
		}
	}()
	var refused *pgconn.PgError
	if _, err := pgconn.Connect(t.Context(), encryptedDSN(between.Addr().String(), "channel_binding=require")); !errors.As(err, &refused) || refused.Code != "28000" {
		t.Fatal(err)
	}
	client, err := pgconn.Connect(t.Context(), encryptedDSN(between.Addr().String(), "channel_binding=disable"))
	if err != nil {
		t.Fatal(err)
	}
	client.Close(t.Context())
}

func TestChannelBindingFlags(t *testing.T) {
	for _, test := range []struct {
		flag, mechanism, code string
		offered               bool
	}{
		{"n", scramSHA256, "", true}, {"y", scramSHA256, "", false}, {"p=" + bindingType, scramSHA256Plus, "", true},
		{"y", scramSHA256, "28000", true}, {"n", scramSHA256Plus, "08P01", true}, {"p=" + bindingType, scramSHA256, "08P01", true}, {"p=tls-unique", scramSHA256Plus, "08P01", true},
	} {
		e, err := readClientFirst(test.flag + ",,n=u,r=nonce")
		if err != nil {
			t.Fatal(err)
		}
		var offered []byte
		if test.offered {
			offered = []byte("binding")
		}
		code := ""
		if own := (*sql.Error)(nil); errors.As(e.bind(test.mechanism, offered), &own) {
			code = own.Code
		}
		if code != test.code {
			t.Errorf("%+v: %q", test, code)
		}
	}
}

// dialRaw sends bytes and gives all that is answered up to the end of the connection.
func dialRaw(t *testing.T, address string, b []byte) []byte {
	t.Helper()
	socket, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	socket.SetDeadline(time.Now().Add(20 * time.Second))
	socket.Write(b)
	answer, err := io.ReadAll(socket)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatal("the connection was not closed")
	}
	return answer
}

func packet(code uint32, rest string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(rest)))
	return append(binary.BigEndian.AppendUint32(b, code), rest...)
}

func TestStartupRefusals(t *testing.T) {
	address, _ := serve(t, &Config{LoginTimeout: 100 * time.Millisecond})
	for _, test := range []struct {
		name string
		sent []byte
		want string // SQLSTATE, "" for a close without a word
	}{
		{"nothing", nil, ""},
		{"half a header", []byte{0, 0, 0}, ""},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), ""},
		{"too short", []byte{0, 0, 0, 4, 0, 0, 0, 0}, ""},
		{"protocol 2", packet(2<<16, "user\x00u\x00\x00"), "0A000"},
		{"no user", packet(3<<16, "database\x00u\x00\x00"), "28000"},
		{"no terminator", packet(3<<16, "user\x00u\x00"), "08P01"},
		{"after the terminator", packet(3<<16, "user\x00u\x00\x00x"), "08P01"},
		{"replication", packet(3<<16, "user\x00u\x00replication\x00database\x00\x00"), "0A000"},
		{"options", packet(3<<16, "user\x00u\x00options\x00-x\x00\x00"), "42601"},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := dialRaw(t, address, test.sent)
			if test.want == "" {
				if len(answer) > 0 {
					t.Fatalf("%q", answer)
				}
				return
			}
			if len(answer) < 5 || answer[0] != 'E' {
				t.Fatalf("%q", answer)
			}
			var e pgproto3.ErrorResponse
			if err := e.Decode(answer[5:]); err != nil || e.Code != test.want || e.Severity != "FATAL" {
				t.Fatalf("%+v %v", e, err)
			}
		})
	}
}

func TestNegotiation(t *testing.T) {
	address, _ := serve(t, &Config{})
	socket, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	socket.Write(packet(codeGSSENC, ""))
	socket.Write(packet(codeSSL, ""))
	var no [2]byte
	if _, err := io.ReadFull(socket, no[:]); err != nil || string(no[:]) != "NN" {
		t.Fatal(no, err)
	}
	socket.Write(packet(3<<16|2, "user\x00u\x00_pq_.extra\x001\x00\x00"))
	frontend := pgproto3.NewFrontend(socket, nil)
	m, err := frontend.Receive()
	negotiate, ok := m.(*pgproto3.NegotiateProtocolVersion)
	if err != nil || !ok || !slices.Equal(negotiate.UnrecognizedOptions, []string{"_pq_.extra"}) {
		t.Fatal(m, err)
	}
	if m, err := frontend.Receive(); err != nil {
		t.Fatal(m, err)
	} else if _, ok := m.(*pgproto3.AuthenticationOk); !ok {
		t.Fatalf("%T", m)
	}
}

func TestCancelRequest(t *testing.T) {
	type request struct {
		pid    uint32
		secret string
	}
	got := make(chan request, 1)
	address, _ := serve(t, &Config{Cancel: func(pid uint32, secret []byte) { got <- request{pid, string(secret)} }})
	b, _ := (&pgproto3.CancelRequest{ProcessID: 9, SecretKey: []byte("abcd")}).Encode(nil)
	if answer := dialRaw(t, address, b); len(answer) > 0 {
		t.Fatalf("%q", answer)
	}
	if r := <-got; r != (request{9, "abcd"}) {
		t.Fatal(r)
	}
}
