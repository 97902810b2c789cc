package backend_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/wire"
)

// TestTLS connects to our own server side, which needs no certificate files in a data directory.
func TestTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	raw, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	trusting, strange := &tls.Config{RootCAs: roots}, &tls.Config{RootCAs: x509.NewCertPool()}
	server := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}}

	cancelled := make(chan uint32, 1)
	serve := func(config *tls.Config) backend.Address {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		go func() {
			for {
				socket, err := listener.Accept()
				if err != nil {
					return
				}
				go func() {
					c, err := wire.Accept(context.Background(), socket, &wire.Config{TLS: config, Cancel: func(pid uint32, _ []byte) { cancelled <- pid }})
					if err != nil {
						return
					}
					status := "plain"
					if c.Startup.Encrypted {
						status = "encrypted"
					}
					c.SendParameterStatus("connection", status)
					c.Send(&pgproto3.BackendKeyData{ProcessID: 42, SecretKey: []byte("abcd")})
					c.SendReadyForQuery('I')
					c.Flush()
				}()
			}
		}()
		return backend.Address{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port}
	}
	encrypting, plain := serve(server), serve(nil)
	for _, test := range []struct {
		name    string
		address backend.Address
		options backend.Options
		code    string
		want    string
	}{
		{"verified", encrypting, backend.Options{TLS: trusting}, "", "encrypted"},
		{"unknown certificate", encrypting, backend.Options{TLS: strange}, "08001", ""},
		{"unverified", encrypting, backend.Options{TLS: &tls.Config{InsecureSkipVerify: true}}, "", "encrypted"},
		{"required of a node without", plain, backend.Options{TLS: trusting}, "08001", ""},
		{"preferred of a node without", plain, backend.Options{TLS: trusting, TLSOptional: true}, "", "plain"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := backend.Connect(t.Context(), test.address, backend.Identity{User: "u"}, test.options)
			if test.code != "" {
				wantCode(t, err, test.code)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := c.Parameter("connection"); got != test.want {
				t.Fatal(got)
			}
			if err := c.Cancel(soon(t)); err != nil {
				t.Fatal(err)
			}
			if pid := <-cancelled; pid != 42 {
				t.Fatal(pid)
			}
		})
	}
	for dsn, want := range map[string][2]bool{
		"host=h sslmode=disable": {false, false}, "host=h sslmode=prefer": {true, true}, "host=h sslmode=require": {true, false}, "host=h sslmode=verify-full": {true, false},
	} {
		_, _, options, err := backend.ParseDSN(dsn)
		if got := [2]bool{options.TLS != nil, options.TLSOptional}; err != nil || got != want {
			t.Errorf("%s: TLS %v, optional %v; %v", dsn, got[0], got[1], err)
		}
	}
}
