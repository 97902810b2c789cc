package backend_test

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"testing"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/pgtest"
)

func TestLogin(t *testing.T) {
	server := pgtest.Server(t, pgtest.HBA(
		"host all postgres all trust", "host all scram all scram-sha-256", "host all md5user all md5", "host all plain all password", "host all nobody all reject"))
	for _, text := range []string{
		"SET password_encryption = 'scram-sha-256'", "CREATE ROLE scram LOGIN PASSWORD 'pä ss'", "CREATE ROLE plain LOGIN PASSWORD 'secret'", "CREATE ROLE nobody LOGIN",
		"SET password_encryption = 'md5'; CREATE ROLE md5user LOGIN PASSWORD 'secret'",
	} {
		if err := pgtest.Exec(t.Context(), server.DSN("postgres"), text); err != nil {
			t.Fatal(err)
		}
	}
	verifier := pgtest.Rows(t, server.DSN("postgres"), "SELECT rolpassword FROM pg_authid WHERE rolname = 'scram'")[0][0]
	clientKey, serverKey := keysOf(t, verifier, "pä ss")
	address, identity, options := target(t, server.DSN("postgres"))
	for _, test := range []struct {
		name     string
		identity backend.Identity
		code     string
	}{
		{"trust", identity, ""},
		{"scram password", backend.Identity{User: "scram", Password: "pä ss"}, ""},
		{"scram wrong password", backend.Identity{User: "scram", Password: "wrong"}, "28P01"},
		{"scram key", backend.Identity{User: "scram", ClientKey: clientKey, ServerKey: serverKey}, ""},
		{"scram key without server key", backend.Identity{User: "scram", ClientKey: clientKey}, ""},
		{"scram impostor", backend.Identity{User: "scram", ClientKey: clientKey, ServerKey: make([]byte, 32)}, "08001"},
		{"scram wrong key", backend.Identity{User: "scram", ClientKey: make([]byte, 32)}, "28P01"},
		{"scram nothing", backend.Identity{User: "scram"}, "28000"},
		{"md5", backend.Identity{User: "md5user", Password: "secret"}, ""},
		{"md5 with key", backend.Identity{User: "md5user", ClientKey: clientKey}, "28000"},
		{"cleartext", backend.Identity{User: "plain", Password: "secret"}, ""},
		{"rejected", backend.Identity{User: "nobody"}, "28000"},
		{"unknown database", backend.Identity{User: "postgres", Database: "nowhere"}, "3D000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			id := test.identity
			if id.Database == "" {
				id.Database = "postgres"
			}
			c, err := backend.Connect(t.Context(), address, id, options)
			if test.code != "" {
				wantCode(t, err, test.code)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := one(t, c, "SELECT current_user"); got != id.User {
				t.Fatal(got)
			}
		})
	}
}

// keysOf derives the SCRAM keys of a password under a verifier's salt and iteration count.
func keysOf(t *testing.T, verifier, password string) (clientKey, serverKey []byte) {
	t.Helper()
	head := strings.Split(strings.Split(verifier, "$")[1], ":")
	iterations, err := strconv.Atoi(head[0])
	if err != nil {
		t.Fatal(err)
	}
	salt, err := base64.StdEncoding.DecodeString(head[1])
	if err != nil {
		t.Fatal(err)
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, 32)
	if err != nil {
		t.Fatal(err)
	}
	sum := func(label string) []byte {
		mac := hmac.New(sha256.New, salted)
		mac.Write([]byte(label))
		return mac.Sum(nil)
	}
	return sum("Client Key"), sum("Server Key")
}
