package cluster

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/trunkline/trunkline/internal/sql"
	"github.com/xdg-go/stringprep"
)

// withVerifier carries out CREATE ROLE and ALTER ROLE. A password in clear text is replaced by one SCRAM verifier before it leaves
// the gateway: all nodes must hold the same one, since the gateway logs in to each with the key that the client's login revealed.
func (p *propagation) withVerifier(ctx context.Context, tree *sql.Node, options []*sql.Node) error {
	changed := false
	for _, option := range options {
		e := option.GetDefElem()
		if e == nil || e.Defname != "password" && e.Defname != "encryptedPassword" {
			continue
		}
		password := e.GetArg().GetString_()
		if password == nil || password.Sval == "" || isVerifier(password.Sval) {
			continue
		}
		rows, err := p.query(ctx, "SELECT pg_catalog.current_setting('password_encryption')")
		if err != nil {
			return err
		}
		if rows[0].text(0) != "scram-sha-256" {
			continue // md5 has no salt but the name, so that all nodes come to the same
		}
		made, err := scramVerifier(password.Sval)
		if err != nil {
			return err
		}
		e.Arg = sql.StringNode(made)
		changed = true
	}
	text := p.stmt.Text
	if changed {
		var err error
		if text, err = sql.Deparse(tree); err != nil {
			return fmt.Errorf("writing the statement with a verifier: %w", err)
		}
	}
	if err := p.ownText(ctx, text); err != nil {
		return err
	}
	return p.verbatim(ctx, text, nil)
}

// isVerifier tells whether PostgreSQL would take a password as one that is encrypted already.
func isVerifier(s string) bool {
	return strings.HasPrefix(s, "SCRAM-SHA-256$") || strings.HasPrefix(s, "md5") && len(s) == 35
}

// scramVerifier makes what PostgreSQL stores for a password: SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey (RFC 5803).
func scramVerifier(password string) (string, error) {
	if prepared, err := stringprep.SASLprep.Prepare(password); err == nil {
		password = prepared // PostgreSQL takes a password that cannot be prepared as it is
	}
	const iterations = 4096
	salt := make([]byte, 16)
	rand.Read(salt)
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", err
	}
	key := func(name string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(name))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(key("Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, encode(salt), encode(stored[:]), encode(key("Server Key"))), nil
}
