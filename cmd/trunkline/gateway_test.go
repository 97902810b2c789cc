package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trunkline/trunkline/internal/localpg"
	"github.com/trunkline/trunkline/internal/pgtest"
)

// TestGatewayWithPasswordsAndTLS serves servers that ask for passwords, as
// production does: clients log in to the gateway, and the gateway as them to
// the servers.
func TestGatewayWithPasswordsAndTLS(t *testing.T) {
	t.Parallel()
	nodes := pgtest.Cluster(t, 1, pgtest.HBA("host all all 127.0.0.1/32 scram-sha-256"))
	sameRoles(t, nodes)
	cert, key := certificate(t)
	cmd := command(t, "gateway", "--listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key,
		"--coordinator", nodes.Coordinator.DSN("postgres")+" password=secret")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	port := listeningPort(t, stderr)
	dsn := func(user, password, database, ssl string) string {
		return fmt.Sprintf("host=127.0.0.1 port=%s user=%s password=%s dbname=%s sslmode=%s", port, user, password, database, ssl)
	}

	for _, c := range []struct{ user, password, database, code string }{
		{"app", "wrong", "postgres", "28P01"},
		{"nobody", "secret", "postgres", "28P01"},
		{"app", "apple", "nonsense", "3D000"},
	} {
		err := query(t.Context(), dsn(c.user, c.password, c.database, "require"), func(*pgx.Conn) error { return nil })
		var failure *pgconn.PgError
		if !errors.As(err, &failure) || failure.Code != c.code {
			t.Errorf("user %s, database %s: error is %v, want %s", c.user, c.database, err, c.code)
		}
	}
	err = query(t.Context(), dsn("postgres", "secret", "postgres", "disable"), func(conn *pgx.Conn) error {
		for _, s := range []string{
			fmt.Sprintf("SELECT citus_set_coordinator_host('127.0.0.1', %d)", nodes.Coordinator.Port),
			fmt.Sprintf("SELECT citus_add_node('127.0.0.1', %d)", nodes.Workers[0].Port),
			"CREATE TABLE t (a int PRIMARY KEY, b text)",
			"SELECT create_distributed_table('t', 'a')",
			"GRANT SELECT, INSERT ON t TO app",
		} {
			if _, err := conn.Exec(t.Context(), s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = query(t.Context(), dsn("app", "apple", "postgres", "require"), func(conn *pgx.Conn) error {
		if _, err := conn.Exec(t.Context(), "INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z')"); err != nil {
			return err
		}
		var n int
		var user string
		if err := conn.QueryRow(t.Context(), "SELECT count(*), current_user FROM t").Scan(&n, &user); err != nil {
			return err
		}
		if n != 3 || user != "app" {
			t.Errorf("%s sees %d rows", user, n)
		}
		var failure *pgconn.PgError
		if _, err := conn.Exec(t.Context(), "DELETE FROM t"); !errors.As(err, &failure) || failure.Code != "42501" {
			t.Errorf("a DELETE without the right to it: error is %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, stderr); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// sameRoles gives the servers the same roles with the same verifiers, as
// docs/operations.md tells people to.
func sameRoles(t *testing.T, nodes *pgtest.Nodes) {
	t.Helper()
	socket := func(s *localpg.Server) string {
		return fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres", s.SocketDir, s.Port)
	}
	const roles = "ALTER ROLE postgres PASSWORD 'secret'; CREATE ROLE app LOGIN PASSWORD 'apple'"
	if err := pgtest.Exec(t.Context(), socket(nodes.Coordinator), roles); err != nil {
		t.Fatal(err)
	}
	copied := pgtest.Rows(t, socket(nodes.Coordinator),
		"SELECT format('ALTER ROLE %I PASSWORD %L', rolname, rolpassword) FROM pg_authid WHERE rolname IN ('postgres', 'app')")
	for _, w := range nodes.Workers {
		if err := pgtest.Exec(t.Context(), socket(w), "CREATE ROLE app LOGIN; "+copied[0][0]+"; "+copied[1][0]); err != nil {
			t.Fatal(err)
		}
	}
}

// listeningPort reads the gateway's log until it says where it listens.
func listeningPort(t *testing.T, log io.Reader) string {
	t.Helper()
	says := regexp.MustCompile(`accepting connections.* address=127\.0\.0\.1:(\d+)`)
	var all string
	for lines := bufio.NewReader(log); ; {
		line, err := lines.ReadString('\n')
		all += line
		if m := says.FindStringSubmatch(line); m != nil {
			return m[1]
		}
		if err != nil {
			t.Fatalf("the gateway did not start: %s", all)
		}
	}
}

// certificate makes a certificate for this test and returns its files.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certBytes, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyBytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", certBytes), write("key.pem", "PRIVATE KEY", keyBytes)
}
