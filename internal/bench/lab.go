package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/trunkline/trunkline/internal/localpg"
)

// settings are those of all servers alike. They are durable, as in production; what only makes figures unsteady is off.
var settings = map[string]string{
	"wal_level":                 "logical",
	"shared_buffers":            "256MB",
	"max_wal_size":              "4GB",
	"checkpoint_timeout":        "1h",
	"autovacuum":                "off",
	"jit":                       "off",
	"max_connections":           "200",
	"max_prepared_transactions": "200",
	"max_locks_per_transaction": "256",
	"log_min_messages":          "error",
}

// database holds the tables, on the plain server and in the cluster.
const database = localpg.Superuser

// lab is all that runs while measuring.
type lab struct {
	options
	dir      string
	binaries localpg.Binaries
	owner    localpg.Owner

	plain       *localpg.Server
	nodes       []*localpg.Server // the coordinator first
	bouncer     *child            // nil where PgBouncer is not installed
	gate        *child
	bouncerText string
}

// child is a program under measurement that listens on a port.
type child struct {
	port int
	cmd  *exec.Cmd
	done chan struct{}
	log  bytes.Buffer
}

func start(ctx context.Context, o options) (_ *lab, err error) {
	l := &lab{options: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if l.binaries, err = localpg.Find(ctx, os.Getenv("TRUNKLINE_PG_BIN")); err != nil {
		return nil, err
	}
	if l.owner, err = localpg.ChooseOwner("/nonexistent"); err != nil {
		return nil, err
	}
	base := os.TempDir()
	if l.owner.Reaches(filepath.Join(base, "x")) != nil || len(base) > 40 {
		base = "/tmp"
	}
	if l.dir, err = os.MkdirTemp(base, "tlbench"); err != nil {
		return nil, err
	}
	if err := l.owner.MakeDir(l.dir); err != nil {
		return nil, err
	}
	template := filepath.Join(l.dir, "template")
	if err := localpg.Init(ctx, l.binaries, l.owner, template, localpg.InitOptions{NoSync: true}); err != nil {
		return nil, err
	}
	servers := make([]*localpg.Server, 4)
	g, gctx := errgroup.WithContext(ctx)
	for i, name := range []string{"plain", "coordinator", "worker-1", "worker-2"} {
		g.Go(func() (err error) {
			servers[i], err = l.server(gctx, template, name)
			return err
		})
	}
	err = g.Wait()
	for i, s := range servers {
		switch {
		case s == nil:
		case i == 0:
			l.plain = s
		default:
			l.nodes = append(l.nodes, s)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := l.startBouncer(ctx); err != nil {
		return nil, err
	}
	if l.gate, err = l.startGateway(ctx); err != nil {
		return nil, err
	}
	return l, l.prepare(ctx)
}

func (l *lab) server(ctx context.Context, template, name string) (*localpg.Server, error) {
	data := filepath.Join(l.dir, name)
	if err := localpg.CopyDir(ctx, l.owner, template, data); err != nil {
		return nil, err
	}
	for {
		ports, err := localpg.FreePorts(1)
		if err != nil {
			return nil, err
		}
		s, err := localpg.Start(ctx, localpg.Config{
			Name: name, Binaries: l.binaries, Owner: l.owner, DataDir: data, SocketDir: l.dir, Port: ports[0],
			LogFile: data + ".log", Settings: settings,
		})
		var taken *localpg.PortTakenError
		if !errors.As(err, &taken) {
			return s, err
		}
	}
}

// startGateway starts a gateway over the cluster.
func (l *lab) startGateway(ctx context.Context) (*child, error) {
	return startChild(ctx, func(port int) (*exec.Cmd, error) {
		return exec.Command(l.gateway, "gateway", "--coordinator", l.nodes[0].DSN(database), "--auth", "trust",
			"--listen", "127.0.0.1:"+strconv.Itoa(port), "--max-connections", "2000"), nil
	})
}

// startBouncer starts PgBouncer before the plain server, pooling by transaction. It asks no passwords (auth_type any) and logs in as
// the user that the database's line names.
func (l *lab) startBouncer(ctx context.Context) error {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/pgbouncer"); err != nil {
			say("PgBouncer is not installed: measuring without it (scripts/install-pgbouncer.sh installs it)")
			return nil
		}
	}
	version, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(version), "\n")
	l.bouncerText = first
	l.bouncer, err = startChild(ctx, func(port int) (*exec.Cmd, error) {
		config := fmt.Sprintf(`[databases]
%s = user=%s host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 200
default_pool_size = 50
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
`, database, localpg.Superuser, l.plain.Port, port)
		file := filepath.Join(l.dir, "pgbouncer.ini")
		if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
			return nil, err
		}
		cmd := exec.Command(program, file)
		if l.owner.Switch { // it refuses to run as root
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(l.owner.UID), Gid: uint32(l.owner.GID)}}
		}
		cmd.Dir = "/"
		return cmd, nil
	})
	return err
}

func (l *lab) bouncerVersion() string {
	if l.bouncer == nil {
		return "no PgBouncer"
	}
	return l.bouncerText
}

// startChild starts a program on a free port and waits until it accepts connections.
func startChild(ctx context.Context, command func(port int) (*exec.Cmd, error)) (*child, error) {
	ports, err := localpg.FreePorts(1)
	if err != nil {
		return nil, err
	}
	c := &child{port: ports[0], done: make(chan struct{})}
	if c.cmd, err = command(c.port); err != nil {
		return nil, err
	}
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		c.cmd.Wait()
		close(c.done)
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := execute(ctx, c.port, "SELECT 1"); err == nil {
			return c, nil
		}
		select {
		case <-ctx.Done():
			c.stop()
			return nil, ctx.Err()
		case <-c.done:
			return nil, fmt.Errorf("%s ended: %s", c.cmd.Path, strings.TrimSpace(c.log.String()))
		case <-tick.C:
		}
	}
}

func (c *child) stop() {
	if c == nil {
		return
	}
	c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(10 * time.Second):
		c.cmd.Process.Kill()
		<-c.done
	}
}

// close stops and removes everything.
func (l *lab) close() error {
	l.gate.stop()
	l.bouncer.stop()
	var wg sync.WaitGroup
	for _, s := range l.servers() {
		wg.Go(s.Crash) // the data go anyway
	}
	wg.Wait()
	if l.dir == "" {
		return nil
	}
	return os.RemoveAll(l.dir)
}

// tables are pgbench's, without rows, each with its distribution column in the cluster.
var tables = []struct{ create, name, key string }{
	{"CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88))", "pgbench_branches", "bid"},
	{"CREATE TABLE pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84))", "pgbench_tellers", "tid"},
	{"CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84))", "pgbench_accounts", "aid"},
	{"CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22))", "pgbench_history", "aid"},
}

// prepare makes pgbench's tables on both sides and fills all but the large one.
func (l *lab) prepare(ctx context.Context) error {
	cluster := []string{fmt.Sprintf("SELECT citus_set_coordinator_host('127.0.0.1', %d)", l.nodes[0].Port)}
	for _, worker := range l.nodes[1:] {
		cluster = append(cluster, fmt.Sprintf("SELECT citus_add_node('127.0.0.1', %d)", worker.Port))
	}
	if err := execute(ctx, l.gate.port, cluster...); err != nil {
		return err
	}
	for _, side := range l.sides() {
		for _, t := range tables {
			statements := []string{t.create}
			if side == l.gate.port {
				statements = append(statements, fmt.Sprintf("SELECT create_distributed_table('%s', '%s')", t.name, t.key))
			}
			if err := execute(ctx, side, statements...); err != nil {
				return err
			}
		}
		var branches, tellers bytes.Buffer
		for i := 1; i <= l.scale; i++ {
			fmt.Fprintf(&branches, "%d\t0\t\\N\n", i)
		}
		for i := 1; i <= 10*l.scale; i++ {
			fmt.Fprintf(&tellers, "%d\t%d\t0\t\\N\n", i, (i-1)/10+1)
		}
		for name, rows := range map[string]*bytes.Buffer{"pgbench_branches": &branches, "pgbench_tellers": &tellers} {
			if _, err := copyInto(ctx, side, name, rows.Bytes()); err != nil {
				return err
			}
		}
	}
	return nil
}

// servers are all PostgreSQL servers.
func (l *lab) servers() []*localpg.Server {
	servers := slices.Clone(l.nodes)
	if l.plain != nil {
		servers = append(servers, l.plain)
	}
	return servers
}

// sides are the ports of the plain server and of the gateway.
func (l *lab) sides() []int { return []int{l.plain.Port, l.gate.port} }

// settle brings the tables of both sides into the same state: vacuumed, analysed, and on disk.
func (l *lab) settle(ctx context.Context) error {
	for _, s := range l.servers() {
		if err := execute(ctx, s.Port, "VACUUM ANALYZE", "CHECKPOINT"); err != nil {
			return err
		}
	}
	return nil
}

// connect connects to a port of this machine.
func connect(ctx context.Context, port int) (*pgconn.PgConn, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return pgconn.Connect(ctx, localpg.DSN(port, database))
}

// execute runs statements one after the other.
func execute(ctx context.Context, port int, statements ...string) error {
	conn, err := connect(ctx, port)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s).ReadAll(); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}
