package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/sql"
)

// FuzzStartup lets a client say anything at all before its session. Whatever it says, it is let in or the connection ends, and a
// client that must log in is never let in by chance.
func FuzzStartup(f *testing.F) {
	startup := packet(3<<16, "user\x00u\x00database\x00d\x00options\x00-c a=b\x00\x00")
	sasl := encode(f, &pgproto3.SASLInitialResponse{AuthMechanism: scramSHA256, Data: []byte("n,,n=,r=abc")}, &pgproto3.SASLResponse{Data: []byte("c=biws,r=abc,p=AAAA")})
	for _, seed := range [][]byte{
		nil, startup, packet(codeSSL, ""), append(packet(codeSSL, ""), startup...), append(packet(codeGSSENC, ""), startup...),
		packet(codeCancel, "12345678"), packet(3<<16|9999, "user\x00u\x00_pq_.x\x00y\x00\x00"), packet(2<<16, ""), []byte("GET / HTTP/1.1\r\n\r\n"),
		append(bytes.Clone(startup), sasl...),
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, sent []byte, password bool) {
		config := &Config{}
		if password {
			verifier := makeVerifierOnce()
			config.Verifier = func(context.Context, string, string) (string, error) { return verifier, nil }
		}
		s := &script{Reader: bytes.NewReader(sent)}
		c, err := Accept(t.Context(), s, config)
		if err == nil && (password || c.Startup.User == "") {
			t.Fatalf("let in: %+v", c.Startup)
		}
	})
}

// makeVerifierOnce is a verifier that no login can match.
func makeVerifierOnce() string {
	return "SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
}

// FuzzMessages lets a client send anything in its session. What is framed is exactly what was sent, up to the first fault.
func FuzzMessages(f *testing.F) {
	f.Add(encode(f, &pgproto3.Query{String: "SELECT 1"}))
	f.Add(encode(f, &pgproto3.Parse{Name: "a", Query: "b", ParameterOIDs: []uint32{1}}, &pgproto3.Bind{Parameters: [][]byte{nil, {1}}},
		&pgproto3.Describe{ObjectType: 'S'}, &pgproto3.Execute{}, &pgproto3.Close{ObjectType: 'P'}, &pgproto3.Flush{}, &pgproto3.Sync{}))
	f.Add(encode(f, &pgproto3.CopyData{Data: []byte("x")}, &pgproto3.CopyDone{}, &pgproto3.CopyFail{Message: "m"}, &pgproto3.Terminate{}))
	f.Add([]byte("Q\x00\x00\x00\x03"))
	f.Add([]byte("Q\x3f\xff\xff\xff"))
	f.Add([]byte("\x16\x03\x01"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		c := newConn(&script{Reader: bytes.NewReader(sent)})
		at := 0
		for {
			m, err := c.Receive()
			if err != nil {
				var own *sql.Error
				if err != io.EOF && err != io.ErrUnexpectedEOF && !errors.As(err, &own) {
					t.Fatal(err)
				}
				return
			}
			if !bytes.HasPrefix(sent[at:], m.Raw) || m.Raw[0] != m.Type || len(m.Raw) < 5 {
				t.Fatalf("message %q at %d", m.Raw, at)
			}
			at += len(m.Raw)
		}
	})
}
