package wire

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/sql"
)

const (
	scramSHA256     = "SCRAM-SHA-256"
	scramSHA256Plus = "SCRAM-SHA-256-PLUS" // with channel binding
)

// verifier is a user's SCRAM-SHA-256 verifier (RFC 5803), from which one can check a login but not make one.
type verifier struct {
	iterations           int
	salt                 []byte
	storedKey, serverKey []byte
}

// readVerifier reads "SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey".
func readVerifier(s string) (*verifier, bool) {
	rest, ok := strings.CutPrefix(s, scramSHA256+"$")
	if !ok {
		return nil, false
	}
	head, keys, ok1 := strings.Cut(rest, "$")
	iterations, salt, ok2 := strings.Cut(head, ":")
	stored, server, ok3 := strings.Cut(keys, ":")
	if !ok1 || !ok2 || !ok3 {
		return nil, false
	}
	var v verifier
	var errs [4]error
	v.iterations, errs[0] = strconv.Atoi(iterations)
	v.salt, errs[1] = base64.StdEncoding.DecodeString(salt)
	v.storedKey, errs[2] = base64.StdEncoding.DecodeString(stored)
	v.serverKey, errs[3] = base64.StdEncoding.DecodeString(server)
	for _, err := range errs {
		if err != nil {
			return nil, false
		}
	}
	return &v, v.iterations > 0 && len(v.salt) > 0 && len(v.storedKey) == sha256.Size && len(v.serverKey) == sha256.Size
}

// mockVerifier stands in for users without a verifier, so that a login to them looks like any other up to its failure. Its salt is
// always the same for one user of one gateway.
func mockVerifier(secret []byte, user string) *verifier {
	return &verifier{
		iterations: 4096,
		salt:       hmacSHA256(secret, "salt "+user)[:16],
		storedKey:  hmacSHA256(secret, "stored "+user),
		serverKey:  hmacSHA256(secret, "server "+user),
	}
}

// authenticate runs the server's side of SCRAM-SHA-256 (RFC 5802; PostgreSQL manual, section 55.3) and keeps the keys it recovers.
// With a binding the client may choose SCRAM-SHA-256-PLUS.
func (c *Conn) authenticate(ctx context.Context, config *Config, binding []byte) error {
	user := c.Startup.User
	text, err := config.Verifier(ctx, user, c.Startup.Database)
	if err != nil {
		return err
	}
	v, known := readVerifier(text)
	if !known {
		v = mockVerifier(config.mockSecret(), user)
	}
	mechanisms := []string{scramSHA256}
	if binding != nil {
		mechanisms = []string{scramSHA256Plus, scramSHA256}
	}
	c.Send(&pgproto3.AuthenticationSASL{AuthMechanisms: mechanisms})
	body, err := c.receiveAuth()
	if err != nil {
		return err
	}
	var initial pgproto3.SASLInitialResponse
	if err := initial.Decode(body); err != nil {
		return malformedSCRAM("The initial response cannot be read.")
	}
	if !slices.Contains(mechanisms, initial.AuthMechanism) {
		return sql.Errorf("08P01", "client selected an invalid SASL authentication mechanism")
	}
	exchange, err := readClientFirst(string(initial.Data))
	if err == nil {
		err = exchange.bind(initial.AuthMechanism, binding)
	}
	if err != nil {
		return err
	}
	c.Send(&pgproto3.AuthenticationSASLContinue{Data: []byte(exchange.serverFirst(v))})
	if body, err = c.receiveAuth(); err != nil {
		return err
	}
	clientKey, signature, ok, err := exchange.finish(string(body), v)
	if err != nil {
		return err
	}
	if !ok || !known {
		return sql.Errorf("28P01", "password authentication failed for user \"%s\"", user)
	}
	c.Startup.ClientKey, c.Startup.ServerKey = clientKey, v.serverKey
	return c.Send(&pgproto3.AuthenticationSASLFinal{Data: []byte("v=" + base64.StdEncoding.EncodeToString(signature))})
}

// maxAuthMessage bounds what a client who has not yet shown who it is can make the gateway hold.
const maxAuthMessage = 64 << 10

// receiveAuth gives the body of the client's next authentication message.
func (c *Conn) receiveAuth() ([]byte, error) {
	if err := c.Flush(); err != nil {
		return nil, err
	}
	c.max = maxAuthMessage
	m, err := c.Receive()
	c.max = largeMessage
	if err != nil {
		return nil, err
	}
	if m.Type != 'p' {
		return nil, sql.Errorf("08P01", "expected SASL response, got message type %d", m.Type)
	}
	return m.Body(), nil
}

// exchange is a SCRAM exchange under way.
type exchange struct {
	header    string // the client's gs2 header
	binding   []byte // what the client must show beside it, nil for nothing
	firstBare string
	nonce     string // the client's, then both
	challenge string // server-first-message
}

// readClientFirst reads client-first-message: "n,,n=user,r=nonce". The user name in it is ignored, as PostgreSQL does: the one in
// the startup message counts.
func readClientFirst(s string) (*exchange, error) {
	parts := strings.SplitN(s, ",", 3)
	if len(parts) != 3 {
		return nil, malformedSCRAM("The first message has no header.")
	}
	if parts[0] != "n" && parts[0] != "y" && !strings.HasPrefix(parts[0], "p=") {
		return nil, malformedSCRAM("The channel-binding flag is unknown.")
	}
	if parts[1] != "" {
		return nil, &sql.Error{Code: "0A000", Message: "client uses authorization identity, but it is not supported"}
	}
	e := &exchange{header: parts[0] + ",,", firstBare: parts[2]}
	fields := strings.Split(parts[2], ",")
	if strings.HasPrefix(fields[0], "m=") {
		return nil, &sql.Error{Code: "0A000", Message: "client requires an unsupported SCRAM extension"}
	}
	if len(fields) < 2 || !strings.HasPrefix(fields[0], "n=") || !strings.HasPrefix(fields[1], "r=") {
		return nil, malformedSCRAM("The first message lacks a user name or a nonce.")
	}
	e.nonce = fields[1][2:]
	if e.nonce == "" || !printable(e.nonce) {
		return nil, malformedSCRAM("The nonce contains non-printable characters or is empty.")
	}
	return e, nil
}

// bind holds the client's channel-binding flag against the mechanism that it selected and against what was offered: nil if nothing was.
func (e *exchange) bind(mechanism string, offered []byte) error {
	flag := strings.TrimSuffix(e.header, ",,")
	kind, binds := strings.CutPrefix(flag, "p=")
	switch {
	case mechanism == scramSHA256Plus && !binds:
		return malformedSCRAM("The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data.")
	case mechanism == scramSHA256 && binds:
		return malformedSCRAM("The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel binding data.")
	case flag == "y" && offered != nil: // somebody in between has taken the offer away
		return &sql.Error{Code: "28000", Message: "SCRAM channel binding negotiation error",
			Detail: "The client supports SCRAM channel binding but thinks the server does not.  However, this server does support channel binding."}
	case binds && kind != bindingType:
		return sql.Errorf("08P01", "unsupported SCRAM channel-binding type \"%s\"", kind)
	case binds:
		e.binding = offered
	}
	return nil
}

func (e *exchange) serverFirst(v *verifier) string {
	var raw [18]byte
	rand.Read(raw[:])
	e.nonce += base64.StdEncoding.EncodeToString(raw[:])
	e.challenge = "r=" + e.nonce + ",s=" + base64.StdEncoding.EncodeToString(v.salt) + ",i=" + strconv.Itoa(v.iterations)
	return e.challenge
}

// finish reads client-final-message, "c=…,r=…,p=…", and checks its proof. The proof is ClientKey XOR ClientSignature, so one who
// holds the verifier learns ClientKey from it.
func (e *exchange) finish(s string, v *verifier) (clientKey, serverSignature []byte, ok bool, err error) {
	at := strings.LastIndex(s, ",p=")
	if at < 0 {
		return nil, nil, false, malformedSCRAM("The final message has no proof.")
	}
	withoutProof := s[:at]
	proof, err := base64.StdEncoding.DecodeString(s[at+3:])
	if err != nil || len(proof) != sha256.Size {
		return nil, nil, false, malformedSCRAM("The proof in the final message is malformed.")
	}
	fields := strings.Split(withoutProof, ",")
	if fields[0] != "c="+base64.StdEncoding.EncodeToString(append([]byte(e.header), e.binding...)) {
		if e.binding != nil {
			return nil, nil, false, sql.Errorf("28000", "SCRAM channel binding check failed")
		}
		return nil, nil, false, sql.Errorf("28000", "unexpected SCRAM channel-binding attribute in client-final-message")
	}
	if len(fields) < 2 || fields[1] != "r="+e.nonce {
		return nil, nil, false, malformedSCRAM("The nonce does not match.")
	}
	message := e.firstBare + "," + e.challenge + "," + withoutProof
	signature := hmacSHA256(v.storedKey, message)
	clientKey = make([]byte, sha256.Size)
	for i := range clientKey {
		clientKey[i] = proof[i] ^ signature[i]
	}
	stored := sha256.Sum256(clientKey)
	return clientKey, hmacSHA256(v.serverKey, message), hmac.Equal(stored[:], v.storedKey), nil
}

func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

func malformedSCRAM(detail string) error {
	return &sql.Error{Code: "08P01", Message: "malformed SCRAM message", Detail: detail}
}

func hmacSHA256(key []byte, message string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(message))
	return mac.Sum(nil)
}
