// Package pgtest gives tests real PostgreSQL servers: private directories,
// free ports, settings that are quick rather than durable, and everything
// stopped and removed at the end.
//
//	func TestX(t *testing.T) { s := pgtest.Server(t); … s.DSN("postgres") … }
//
// starts a server for one test. Starting one takes a quarter of a second or
// so, so a package with many tests shares them (see Shared):
//
//	var shared pgtest.Shared
//	func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }
//	func TestX(t *testing.T) { dsn := pgtest.Database(t, shared.Server(t)) … }
//	func TestY(t *testing.T) { c := shared.Cluster(t, 2); db := c.Database(t) … }
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/localpg"
)

// startTimeout bounds the start of one server on a busy machine.
const startTimeout = 2 * time.Minute

// settings are for tests: nothing waits for the disk, and a server is small.
// With fsync off and synchronous_commit on, what was committed survives
// localpg's Crash, which ends processes but not the machine.
var settings = map[string]string{
	"fsync":                           "off",
	"full_page_writes":                "off",
	"shared_buffers":                  "16MB",
	"max_wal_size":                    "256MB",
	"autovacuum":                      "off",
	"jit":                             "off",
	"timezone":                        "UTC",
	"wal_level":                       "logical",
	"max_connections":                 "80",
	"max_prepared_transactions":       "80",
	"max_locks_per_transaction":       "512",
	"max_wal_senders":                 "10",
	"max_replication_slots":           "10",
	"max_worker_processes":            "10",
	"max_logical_replication_workers": "4",
	"wal_receiver_status_interval":    "1s",
	"log_min_messages":                "warning",
	"log_line_prefix":                 "%m [%p] ",
}

// Option changes a server that is about to start.
type Option func(*options)

type options struct {
	settings map[string]string
	hba      []string
}

// Setting sets one of the server's settings.
func Setting(name, value string) Option {
	return func(o *options) { o.settings[name] = value }
}

// HBA replaces the lines of the server's pg_hba.conf for TCP connections, for
// tests of authentication. Unix sockets stay trusted.
func HBA(lines ...string) Option {
	return func(o *options) { o.hba = lines }
}

// Server starts a server for one test, with the superuser and database
// postgres. It is stopped and removed when the test ends.
func Server(t testing.TB, opts ...Option) *localpg.Server {
	t.Helper()
	s, remove, err := start(t.Context(), "server", opts...)
	if err != nil {
		t.Fatalf("starting a PostgreSQL server: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the server on port %d:\n%s", s.Port, tail(s.LogFile))
		}
		remove()
	})
	return s
}

// start makes and starts a server. The function that it returns stops and
// removes it.
func start(ctx context.Context, name string, opts ...Option) (*localpg.Server, func(), error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	bin, err := localpg.Find(ctx, os.Getenv("TRUNKLINE_PG_BIN"))
	if err != nil {
		return nil, nil, err
	}
	dir, owner, err := tempDir()
	if err != nil {
		return nil, nil, err
	}
	fail := func(err error) (*localpg.Server, func(), error) {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	tmpl, err := template(ctx, bin, owner)
	if err != nil {
		return fail(err)
	}
	data := filepath.Join(dir, "data")
	if err := localpg.CopyDir(ctx, owner, tmpl, data); err != nil {
		return fail(err)
	}
	o := options{settings: maps.Clone(settings)}
	for _, opt := range opts {
		opt(&o)
	}
	if o.hba != nil {
		if err := writeHBA(data, o.hba); err != nil {
			return fail(err)
		}
	}
	c := localpg.Config{
		Name: name, Binaries: bin, Owner: owner, DataDir: data, SocketDir: dir,
		LogFile: filepath.Join(dir, "log"), Settings: o.settings,
	}
	s, err := startOnFreePort(ctx, c)
	if err != nil {
		return fail(err)
	}
	remove := func() {
		s.Crash() // the data goes anyway
		_ = os.RemoveAll(dir)
	}
	return s, remove, nil
}

// startOnFreePort tries again when somebody takes the free port first.
func startOnFreePort(ctx context.Context, c localpg.Config) (*localpg.Server, error) {
	for {
		ports, err := localpg.FreePorts(1)
		if err != nil {
			return nil, err
		}
		c.Port = ports[0]
		s, err := localpg.Start(ctx, c)
		var taken *localpg.PortTakenError
		if errors.As(err, &taken) {
			continue
		}
		return s, err
	}
}

func writeHBA(data string, lines []string) error {
	text := "local all all trust\n"
	for _, l := range lines {
		text += l + "\n"
	}
	return os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(text), 0o600)
}

// tempDir makes a private directory with a short name (Unix sockets live in
// it) that the servers' user can reach.
func tempDir() (string, localpg.Owner, error) {
	owner, err := localpg.ChooseOwner("/nonexistent")
	if err != nil {
		return "", owner, err
	}
	var tried error
	for _, base := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
		if err := owner.Reaches(filepath.Join(base, "x")); err != nil {
			tried = errors.Join(tried, err)
			continue
		}
		dir, err := os.MkdirTemp(base, "tlpg")
		if err != nil {
			tried = errors.Join(tried, err)
			continue
		}
		if !localpg.SocketDirFits(dir) {
			tried = errors.Join(tried, fmt.Errorf("%s is too long", dir), os.Remove(dir))
			continue
		}
		return dir, owner, owner.MakeDir(dir)
	}
	return "", owner, tried
}

// template returns a data directory to copy. It is made once per machine,
// user and version of PostgreSQL, since initdb takes a second and more, and
// stays in the temporary directory, from where test binaries share it.
func template(ctx context.Context, bin localpg.Binaries, owner localpg.Owner) (string, error) {
	made, err := templateOnce(bin, owner)
	if err != nil || localpg.Initialized(made) {
		return made, err
	}
	dir, owner, err := tempDir()
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	fresh := filepath.Join(dir, "data")
	opt := localpg.InitOptions{NoSync: true, Extra: []string{"--wal-segsize=4"}}
	if err := localpg.Init(ctx, bin, owner, fresh, opt); err != nil {
		return "", err
	}
	// Renaming is atomic; whoever comes second finds the directory there, full,
	// and that one is as good.
	if err := os.Rename(fresh, made); err != nil && !localpg.Initialized(made) {
		return "", err
	}
	return made, nil
}

// templateOnce names the template's place and makes sure that nobody else can
// have put something there.
func templateOnce(bin localpg.Binaries, owner localpg.Owner) (string, error) {
	base, probe, err := tempDir()
	if err != nil {
		return "", err
	}
	_ = os.Remove(base)
	dir := filepath.Join(filepath.Dir(base), fmt.Sprintf("trunkline-pgtest-%d", os.Geteuid()))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	if err := privateToUs(dir); err != nil {
		return "", err
	}
	return filepath.Join(dir, fmt.Sprintf("%s-as-%s", bin.Full, probe.Name)), nil
}

func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const most = 8 << 10
	if len(b) > most {
		b = b[len(b)-most:]
	}
	return string(b)
}

// Shared keeps servers and clusters that the tests of one package share. They
// start when first asked for. Its zero value is ready.
type Shared struct {
	mu       sync.Mutex
	server   *localpg.Server
	clusters map[int]*Nodes
	removes  []func()
}

// Run runs the package's tests, then stops and removes what they shared, and
// returns the exit code. TestMain calls it.
func (s *Shared) Run(m *testing.M) int {
	defer s.close()
	return m.Run()
}

func (s *Shared) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var wg sync.WaitGroup
	for _, remove := range s.removes {
		wg.Go(remove)
	}
	wg.Wait()
	s.removes = nil
}

// Server returns the package's server. Tests that write use a database of
// their own: see Database.
func (s *Shared) Server(t testing.TB) *localpg.Server {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		server, remove, err := start(context.Background(), "server")
		if err != nil {
			t.Fatalf("starting a PostgreSQL server: %v", err)
		}
		s.server, s.removes = server, append(s.removes, remove)
	}
	return s.server
}

// Cluster returns the package's cluster with that many workers. Tests use a
// database of their own in it: see Nodes.Database.
func (s *Shared) Cluster(t testing.TB, workers int) *Nodes {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clusters == nil {
		s.clusters = make(map[int]*Nodes)
	}
	if s.clusters[workers] == nil {
		n, remove, err := startNodes(context.Background(), workers)
		if err != nil {
			t.Fatalf("starting a cluster of PostgreSQL servers: %v", err)
		}
		s.clusters[workers], s.removes = n, append(s.removes, remove)
	}
	return s.clusters[workers]
}
