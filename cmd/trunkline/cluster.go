package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/trunkline/trunkline/internal/localpg"
)

// stopTimeout is how long servers may take to shut down cleanly.
const stopTimeout = time.Minute

// localCluster is the servers of a directory, running. The gateway in front
// of them is not its business.
type localCluster struct {
	*directory
	binaries       localpg.Binaries
	owner          localpg.Owner
	socketDir      string
	ownSocketDir   bool // socketDir is a temporary directory of this run
	maxConnections int
	log            *slog.Logger

	mu      sync.Mutex // guards what follows, which restarts change
	servers []*localpg.Server
	wg      sync.WaitGroup // one for each supervised server
}

// coordinatorName is the directory and the name of the first server; the
// others are workerName(1), workerName(2), …
const coordinatorName = "coordinator"

func workerName(n int) string { return "worker-" + strconv.Itoa(n) }

// plan adds servers to the cluster file until there are that many workers;
// nothing is made yet. A negative number leaves the workers as they are, or
// makes a new cluster with the default.
func (d *directory) plan(workers int, chosen bool) error {
	if len(d.Servers) == 0 {
		d.Servers = []serverFile{{Name: coordinatorName}}
	} else if have := len(d.Servers) - 1; !chosen {
		workers = have
	} else if workers < have {
		return fmt.Errorf("the cluster in %s has %d workers, and --workers only adds: take servers away with SELECT citus_remove_node(host, port), or leave --workers out", d.path, have)
	}
	for n := len(d.Servers); n <= workers; n++ {
		d.Servers = append(d.Servers, serverFile{Name: workerName(n)})
	}
	return nil
}

// start starts all servers, making those that do not exist yet. On failure
// nothing is left running.
func (c *localCluster) start(ctx context.Context) (err error) {
	if err := c.owner.Reaches(filepath.Join(c.path, coordinatorName)); err != nil {
		return err
	}
	if err := c.makeSocketDir(); err != nil {
		return err
	}
	// From here on the directory is known as a cluster's, so that an
	// interrupted start can go on later.
	if err := c.save(); err != nil {
		return err
	}
	c.servers = make([]*localpg.Server, len(c.Servers))
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop())
		}
	}()
	g, gctx := errgroup.WithContext(ctx)
	for i := range c.Servers {
		g.Go(func() (err error) {
			c.servers[i], err = c.startServer(gctx, &c.Servers[i])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := c.identify(ctx); err != nil {
		return err
	}
	return c.save()
}

// makeSocketDir makes the private directory of the Unix sockets, elsewhere if
// the cluster's own has too long a name.
func (c *localCluster) makeSocketDir() (err error) {
	c.socketDir = filepath.Join(c.path, "sockets")
	if localpg.SocketDirFits(c.socketDir) {
		return c.owner.MakeDir(c.socketDir)
	}
	if c.socketDir, err = os.MkdirTemp("/tmp", "trunkline"); err != nil {
		return err
	}
	c.ownSocketDir = true
	return c.owner.MakeDir(c.socketDir)
}

// startServer makes a server's data if need be and starts it, on its port of
// last time if that is still free.
func (c *localCluster) startServer(ctx context.Context, f *serverFile) (*localpg.Server, error) {
	data := filepath.Join(c.path, f.Name)
	if err := c.makeData(ctx, f, data); err != nil {
		return nil, err
	}
	// One that an earlier run left behind when it was killed.
	if err := localpg.StopDir(ctx, data); err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		if f.Port == 0 || try > 0 || !localpg.PortFree(f.Port) {
			ports, err := localpg.FreePorts(1)
			if err != nil {
				return nil, err
			}
			f.Port = ports[0]
		}
		s, err := localpg.Start(ctx, localpg.Config{
			Name: f.Name, Binaries: c.binaries, Owner: c.owner, DataDir: data, SocketDir: c.socketDir, Port: f.Port,
			LogFile: filepath.Join(c.path, f.Name+".log"), Settings: c.settings(),
		})
		var taken *localpg.PortTakenError
		if errors.As(err, &taken) && try < 10 {
			continue
		}
		return s, err
	}
}

// makeData makes a server's data directory under another name first, so that
// one under the right name is whole.
func (c *localCluster) makeData(ctx context.Context, f *serverFile, data string) error {
	if localpg.Initialized(data) {
		return nil
	}
	if f.System != "" {
		return fmt.Errorf("the data of the %s are gone from %s: restore them, or start anew in another directory with --dir", f.Name, data)
	}
	if _, err := os.Lstat(data); err == nil {
		return fmt.Errorf("%s is in the way and is not PostgreSQL's data: remove it, or choose another directory with --dir", data)
	}
	unfinished := data + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	if err := localpg.Init(ctx, c.binaries, c.owner, unfinished, localpg.InitOptions{}); err != nil {
		return err
	}
	return os.Rename(unfinished, data)
}

// settings are what the servers need to be nodes. Every client of the gateway
// may come to hold a connection to every node.
func (c *localCluster) settings() map[string]string {
	const spare = 30 // for maintenance, replication and people
	connections := strconv.Itoa(c.maxConnections + spare)
	return map[string]string{
		"wal_level":                       "logical",
		"max_connections":                 connections,
		"max_prepared_transactions":       connections,
		"max_wal_senders":                 "20",
		"max_replication_slots":           "20",
		"max_worker_processes":            "24",
		"max_logical_replication_workers": "12",
		"max_locks_per_transaction":       "256",
		"log_line_prefix":                 "%m [%p] %u@%d ",
	}
}

// identify makes sure that every server has the data that it is meant to
// have, and remembers those of new ones.
func (c *localCluster) identify(ctx context.Context) error {
	for i, s := range c.servers {
		var system string
		err := query(ctx, s.DSN(localpg.Superuser), func(conn *pgx.Conn) error {
			return conn.QueryRow(ctx, "SELECT system_identifier::text FROM pg_control_system()").Scan(&system)
		})
		if err != nil {
			return fmt.Errorf("asking the %s who it is: %w", s.Name, err)
		}
		switch f := &c.Servers[i]; f.System {
		case "":
			f.System = system
		case system:
		default:
			return fmt.Errorf("the data in %s are another server's than the %s of this cluster (%s, not %s): restore the right ones, or choose another directory with --dir", s.DataDir, f.Name, system, f.System)
		}
	}
	return nil
}

// tellPorts corrects the ports in the catalog of servers that had to take
// another one than last time, before a gateway reads it.
func (c *localCluster) tellPorts(ctx context.Context) error {
	err := query(ctx, c.servers[0].DSN(localpg.Superuser), func(conn *pgx.Conn) error {
		for _, f := range c.Servers {
			if f.Registered == 0 || f.Registered == f.Port {
				continue
			}
			// The new ports are free ones, so none of them is another node's.
			_, err := conn.Exec(ctx, "UPDATE trunkline.pg_dist_node SET nodeport = $1 WHERE nodename = $2 AND nodeport = $3", f.Port, nodeHost, f.Registered)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("correcting the servers' ports in the catalog: %w", err)
	}
	for i, f := range c.Servers {
		if f.Registered != 0 {
			c.Servers[i].Registered = f.Port
		}
	}
	return c.save()
}

// nodeHost is the name under which local servers are nodes.
const nodeHost = "127.0.0.1"

// register makes nodes of the servers that are none yet, through the gateway
// at dsn.
func (c *localCluster) register(ctx context.Context, dsn string) error {
	return query(ctx, dsn, func(conn *pgx.Conn) error {
		var one int
		if err := conn.QueryRow(ctx, "SELECT 1").Scan(&one); err != nil {
			return err
		}
		for i := range c.Servers {
			f := &c.Servers[i]
			if f.Node {
				continue
			}
			f.Registered = f.Port
			if err := c.save(); err != nil {
				return err
			}
			var statements []string
			if i > 0 {
				statements = []string{fmt.Sprintf("SELECT citus_add_node('%s', %d)", nodeHost, f.Port)}
			} else {
				statements = []string{fmt.Sprintf("SELECT citus_set_coordinator_host('%s', %d)", nodeHost, f.Port)}
				if len(c.Servers) == 1 {
					statements = append(statements, fmt.Sprintf("SELECT citus_set_node_property('%s', %d, 'shouldhaveshards', true)", nodeHost, f.Port))
				}
			}
			for _, s := range statements {
				if _, err := conn.Exec(ctx, s); err != nil {
					return fmt.Errorf("registering the %s: %w", f.Name, err)
				}
			}
			f.Node = true
			if err := c.save(); err != nil {
				return err
			}
		}
		return nil
	})
}

// supervise starts again any server that ends by itself, until ctx ends. If
// that fails, it calls fail.
func (c *localCluster) supervise(ctx context.Context, fail func(error)) {
	for i := range c.servers {
		c.wg.Go(func() {
			for {
				c.mu.Lock()
				s := c.servers[i]
				c.mu.Unlock()
				select {
				case <-ctx.Done():
					return
				case <-s.Exited():
				}
				c.log.Error("a server ended by itself and is started again", "server", s.Name, "log", s.LogFile)
				again, err := restart(ctx, s.Config)
				if err != nil {
					if ctx.Err() == nil {
						fail(fmt.Errorf("a server ended by itself and cannot be started again: %w", err))
					}
					return
				}
				c.mu.Lock()
				c.servers[i] = again
				c.mu.Unlock()
			}
		})
	}
}

// restart starts a server again. It tries a few times, since the processes
// that the old server left behind need a moment to see that it is gone, and
// the data belong to them until then.
func restart(ctx context.Context, c localpg.Config) (*localpg.Server, error) {
	const tries = 6
	wait := 50 * time.Millisecond
	for try := 1; ; try++ {
		s, err := localpg.Start(ctx, c)
		if err == nil || try == tries {
			return s, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
			wait *= 3
		}
	}
}

// stop shuts down all servers, cleanly, and waits for them. The context that
// supervise got must have ended.
func (c *localCluster) stop() error {
	c.wg.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	c.mu.Lock()
	servers := slices.DeleteFunc(slices.Clone(c.servers), func(s *localpg.Server) bool { return s == nil })
	c.mu.Unlock()
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() { errs[i] = s.Stop(ctx) })
	}
	wg.Wait()
	if c.ownSocketDir {
		errs = append(errs, os.RemoveAll(c.socketDir))
	}
	return errors.Join(errs...)
}

// query runs f with a connection of its own.
func query(ctx context.Context, dsn string, f func(*pgx.Conn) error) (err error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.RuntimeParams["application_name"] = "trunkline"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	return f(conn)
}

// address says where a client finds the gateway on port.
func address(port int) string {
	return strings.Join([]string{nodeHost, strconv.Itoa(port)}, ":")
}
