package backend

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/xdg-go/stringprep"
)

const scramSHA256 = "SCRAM-SHA-256"

// scramClient is the client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), with either a password or the client key.
type scramClient struct {
	nonce     string
	firstBare string
	expected  []byte // the server's signature, nil if it cannot be checked
}

const scramHeader = "n,," // no channel binding

func (s *scramClient) begin(mechanisms []string) ([]byte, error) {
	if !slices.Contains(mechanisms, scramSHA256) {
		return nil, errors.New("the node offers no SASL mechanism other than " + strings.Join(mechanisms, ", "))
	}
	var raw [18]byte
	rand.Read(raw[:])
	s.nonce = base64.StdEncoding.EncodeToString(raw[:])
	s.firstBare = "n=,r=" + s.nonce
	return []byte(scramHeader + s.firstBare), nil
}

func (s *scramClient) answer(serverFirst string, identity Identity) ([]byte, error) {
	var nonce string
	var salt []byte
	var iterations int
	var err error
	for _, attribute := range strings.Split(serverFirst, ",") {
		name, value, _ := strings.Cut(attribute, "=")
		switch name {
		case "r":
			nonce = value
		case "s":
			salt, err = base64.StdEncoding.DecodeString(value)
		case "i":
			iterations, err = strconv.Atoi(value)
		}
		if err != nil {
			return nil, errors.New("the node sent a malformed SCRAM message")
		}
	}
	if !strings.HasPrefix(nonce, s.nonce) || len(nonce) == len(s.nonce) || salt == nil || iterations < 1 {
		return nil, errors.New("the node sent a malformed SCRAM message")
	}
	clientKey, serverKey := identity.ClientKey, identity.ServerKey
	if clientKey == nil {
		clientKey, serverKey, err = scramKeys(identity.Password, salt, iterations)
		if err != nil {
			return nil, err
		}
	}
	withoutProof := "c=" + base64.StdEncoding.EncodeToString([]byte(scramHeader)) + ",r=" + nonce
	message := []byte(s.firstBare + "," + serverFirst + "," + withoutProof)
	storedKey := sha256.Sum256(clientKey)
	proof := hmacSHA256(storedKey[:], message)
	for i := range proof {
		proof[i] ^= clientKey[i]
	}
	if serverKey != nil {
		s.expected = hmacSHA256(serverKey, message)
	}
	return []byte(withoutProof + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

// verify checks that the node too knows the user's verifier.
func (s *scramClient) verify(serverFinal string) error {
	signature, ok := strings.CutPrefix(serverFinal, "v=")
	got, err := base64.StdEncoding.DecodeString(signature)
	if !ok || err != nil || s.expected != nil && !hmac.Equal(got, s.expected) {
		return errors.New("the node failed to prove that it knows the user's verifier")
	}
	return nil
}

func scramKeys(password string, salt []byte, iterations int) (clientKey, serverKey []byte, err error) {
	if prepared, err := stringprep.SASLprep.Prepare(password); err == nil {
		password = prepared // PostgreSQL too takes a password that cannot be normalised as it is
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return nil, nil, err
	}
	return hmacSHA256(salted, []byte("Client Key")), hmacSHA256(salted, []byte("Server Key")), nil
}

func hmacSHA256(key, message []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(message)
	return mac.Sum(nil)
}
