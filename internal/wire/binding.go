package wire

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
)

// bindingType is the one way to bind that PostgreSQL knows: by the hash of the server's certificate.
const bindingType = "tls-server-end-point"

// channelBinding gives what ties a login to the TLS connection that it comes by, so that nobody in between who has another certificate
// can pass it on (RFC 5929, section 4). It is nil where none can be offered: which of several certificates a client was shown is not known
// here, and not every signature has a hash.
func channelBinding(config *tls.Config) []byte {
	if len(config.Certificates) != 1 || len(config.Certificates[0].Certificate) == 0 || config.GetCertificate != nil || config.GetConfigForClient != nil {
		return nil
	}
	raw := config.Certificates[0].Certificate[0]
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil
	}
	var hash crypto.Hash
	switch certificate.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.ECDSAWithSHA256:
		hash = crypto.SHA256
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		hash = crypto.SHA512
	default:
		return nil
	}
	h := hash.New()
	h.Write(raw)
	return h.Sum(nil)
}
