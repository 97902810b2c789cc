// Package faulttest breaks things on purpose while clients work: it kills servers and gateways, freezes them, sends them garbage,
// and checks that nothing that was acknowledged is lost, nothing is doubled, and nothing stays behind. It holds tests only.
package faulttest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/localpg"
	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/session"
)

// The test binary is also the gateway that tests kill: with this variable set it serves, and does nothing else.
const (
	childDSN  = "TRUNKLINE_FAULTTEST_GATEWAY"
	childPort = "TRUNKLINE_FAULTTEST_PORT"
)

var shared pgtest.Shared

func TestMain(m *testing.M) {
	if dsn := os.Getenv(childDSN); dsn != "" {
		if err := beGateway(dsn, os.Getenv(childPort)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(shared.Run(m))
}

// quick makes recovery and the search for deadlocks as quick as tests need them.
func quick(config session.Config) session.Config {
	config.RecoverInterval = time.Second
	config.RecoverAge = 2 * time.Second
	config.DeadlockTimeout = time.Second
	config.JobPoll = 200 * time.Millisecond
	return config
}

// beGateway serves until its standard input ends, so that it never outlives the test.
func beGateway(dsn, port string) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	server, err := session.NewServer(ctx, quick(session.Config{Coordinator: dsn, Trust: true, ShardCount: 8, Log: log}))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return server.Serve(ctx, listener)
}

// child is a gateway in a process of its own.
type child struct {
	t    testing.TB
	dsn  string // of the coordinator's database
	port int
	log  *os.File

	mu      sync.Mutex
	command *exec.Cmd
	stdin   io.Closer
}

// startChild starts a gateway process on a port of its own.
func startChild(t testing.TB, dsn string) *child {
	t.Helper()
	ports, err := localpg.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "gateway.log"))
	if err != nil {
		t.Fatal(err)
	}
	g := &child{t: t, dsn: dsn, port: ports[0], log: log}
	t.Cleanup(func() {
		g.kill()
		log.Close()
		if t.Failed() {
			if b, err := os.ReadFile(log.Name()); err == nil {
				t.Logf("log of the gateway on port %d:\n%s", g.port, b[max(0, len(b)-6000):])
			}
		}
	})
	if err := g.start(); err != nil {
		t.Fatal(err)
	}
	return g
}

// start starts the process and waits until it serves.
func (g *child) start() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), childDSN+"="+g.dsn, childPort+"="+strconv.Itoa(g.port))
	command.Stderr = g.log
	stdin, err := command.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != "ready\n" {
		stdin.Close()
		command.Wait()
		return fmt.Errorf("the gateway did not start: %q %w", line, err)
	}
	g.command, g.stdin = command, stdin
	return nil
}

// kill ends the process with SIGKILL.
func (g *child) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.command != nil {
		g.command.Process.Kill()
		g.stdin.Close()
		g.command.Wait()
		g.command = nil
	}
}

func (g *child) signal(s syscall.Signal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.command != nil {
		g.command.Process.Signal(s)
	}
}

func (g *child) clientDSN(database string) string { return gatewayDSN(g.port, database) }

func gatewayDSN(port int, database string) string {
	return "host=127.0.0.1 port=" + strconv.Itoa(port) + " user=postgres sslmode=disable connect_timeout=10 dbname=" + database
}

// node is a server that can be ended and started again in its place.
type node struct {
	t      testing.TB
	mu     sync.Mutex
	server *localpg.Server
}

// kill ends the server and all its processes with SIGKILL, as a machine's failure would. What it wrote survives: the operating
// system does not die with it.
func (n *node) kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	pid := n.server.PID()
	syscall.Kill(pid, syscall.SIGSTOP) // so that it starts no process more
	backends := children(pid)
	syscall.Kill(pid, syscall.SIGKILL)
	for _, b := range backends {
		syscall.Kill(b, syscall.SIGKILL)
	}
	<-n.server.Exited()
}

// crash ends the server at once by its own means.
func (n *node) crash() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.server.Crash()
}

// killBackend ends one of the server's processes with SIGKILL, upon which the server ends all others and recovers by itself.
func (n *node) killBackend(choose func(int) int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var backends []int
	for _, pid := range children(n.server.PID()) {
		if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(string(text), "127.0.0.1(") {
			backends = append(backends, pid)
		}
	}
	if len(backends) > 0 {
		syscall.Kill(backends[choose(len(backends))], syscall.SIGKILL)
	}
}

// freeze stops the server and all its processes from running until the function that it returns is called.
func (n *node) freeze() (thaw func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	pid := n.server.PID()
	syscall.Kill(pid, syscall.SIGSTOP)
	frozen := append(children(pid), pid)
	for _, p := range frozen {
		syscall.Kill(p, syscall.SIGSTOP)
	}
	return func() {
		for _, p := range frozen {
			syscall.Kill(p, syscall.SIGCONT)
		}
	}
}

// restart starts the server again in its place.
func (n *node) restart() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var err error
	for range 50 {
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		var server *localpg.Server
		server, err = localpg.Start(ctx, n.server.Config)
		stop()
		if err == nil {
			n.server = server
			n.t.Cleanup(server.Crash)
			return nil
		}
		time.Sleep(50 * time.Millisecond) // the shared memory of a killed server is in use until its last process has ended
	}
	return err
}

// children lists the child processes of a process.
func children(pid int) (pids []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		b, _ := os.ReadFile(list)
		for _, word := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(word); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}

// lab is a cluster of a coordinator, which holds shards too, and workers, all of which can be broken.
type lab struct {
	testing.TB
	database string
	nodes    []*node // the coordinator first
}

// newLab starts servers of the test's own, with a database that is a cluster: it needs a gateway once, in this process.
func newLab(t testing.TB, workers int) *lab {
	t.Helper()
	servers := pgtest.Cluster(t, workers, pgtest.Setting("max_connections", "200"), pgtest.Setting("max_prepared_transactions", "200"),
		pgtest.Setting("restart_after_crash", "on"), pgtest.Setting("deadlock_timeout", "1s"))
	l := &lab{TB: t, database: "bank"}
	for _, s := range servers.All() {
		if err := pgtest.Exec(t.Context(), s.DSN("postgres"), "CREATE DATABASE bank STRATEGY = file_copy"); err != nil {
			t.Fatal(err)
		}
		l.nodes = append(l.nodes, &node{t: t, server: s})
	}
	return l
}

func (l *lab) coordinator() string { return l.nodes[0].server.DSN(l.database) }

// form makes the servers a cluster through a gateway.
func (l *lab) form(dsn string) {
	l.Helper()
	c := l.connect(dsn)
	defer c.Close(context.Background())
	l.exec(c, fmt.Sprintf("SELECT citus_set_coordinator_host('127.0.0.1', %d)", l.nodes[0].server.Port))
	l.exec(c, fmt.Sprintf("SELECT citus_set_node_property('127.0.0.1', %d, 'shouldhaveshards', true)", l.nodes[0].server.Port))
	for _, n := range l.nodes[1:] {
		l.exec(c, fmt.Sprintf("SELECT citus_add_node('127.0.0.1', %d)", n.server.Port))
	}
}

func (l *lab) connect(dsn string) *pgx.Conn {
	l.Helper()
	c, err := connect(l.Context(), dsn)
	if err != nil {
		l.Fatal(err)
	}
	return c
}

// connect connects a client.
func connect(ctx context.Context, dsn string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, config)
}

func (l *lab) exec(c *pgx.Conn, text string, args ...any) {
	l.Helper()
	if _, err := c.Exec(l.Context(), text, args...); err != nil {
		l.Fatalf("%s: %v", text, err)
	}
}

// one gives a query's only value as text.
func (l *lab) one(c *pgx.Conn, text string, args ...any) string {
	l.Helper()
	value, err := one(l.Context(), c, text, args...)
	if err != nil {
		l.Fatalf("%s: %v", text, err)
	}
	return value
}

func one(ctx context.Context, c *pgx.Conn, text string, args ...any) (string, error) {
	var value string
	err := c.QueryRow(ctx, text, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...).Scan(&value)
	return value, err
}

// patience is how long anything may take that must happen, on a machine that has hardly any time for it. Only what is stuck takes longer.
const patience = 2 * time.Minute

// sqlState is an error's SQLSTATE, "" for an error of the connection itself.
func sqlState(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// outcome is what a client knows of a transaction that it tried.
type outcome byte

const (
	refused   outcome = iota // certainly not carried out
	confirmed                // certainly carried out
	unknown
)

// outcomeOf judges the error of a COMMIT, or of a statement that is a transaction of its own.
func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return confirmed
	case sqlState(err) == "" || sqlState(err) == "08007" || sqlState(err) == "57P01":
		return unknown
	}
	return refused
}

// settled waits until nothing of a transaction is left on any node, and fails if that does not come.
func (l *lab) settled(within time.Duration) {
	l.Helper()
	const left = `SELECT coalesce(string_agg(what, '; '), '') FROM (
		SELECT 'prepared ' || gid AS what FROM pg_prepared_xacts
		UNION ALL SELECT 'lock ' || l.mode || ' ' || l.relation::regclass FROM pg_locks l JOIN pg_database d ON d.oid = l.database
			WHERE d.datname = current_database() AND l.pid IS DISTINCT FROM pg_backend_pid() AND l.relation >= 16384
		UNION ALL SELECT 'backend ' || pid || ' ' || state || ' ' || left(query, 60) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in%') AS _`
	deadline := time.Now().Add(within)
	for {
		var all []string
		for _, n := range l.nodes {
			if text := pgtest.Rows(l, n.server.DSN(l.database), left)[0][0]; text != "" {
				all = append(all, n.server.Name+": "+text)
			}
		}
		if len(all) == 0 {
			return
		}
		if time.Now().After(deadline) {
			l.Errorf("left behind after %s:\n%s", within, strings.Join(all, "\n"))
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// everywhere runs a query of one value on each node and gives the values.
func (l *lab) everywhere(query string) []string {
	l.Helper()
	var values []string
	for _, n := range l.nodes {
		values = append(values, pgtest.Rows(l, n.server.DSN(l.database), query)[0][0])
	}
	return values
}

// same checks that a query of one value gives the same on each node.
func (l *lab) same(query string) {
	l.Helper()
	values := l.everywhere(query)
	for _, v := range values {
		if v != values[0] {
			l.Errorf("nodes differ in %s: %q", query, values)
			return
		}
	}
}

// eventually waits until something holds.
func eventually(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("not so after %s: %s", within, what)
			return
		}
	}
}
