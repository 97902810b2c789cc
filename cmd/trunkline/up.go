package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/trunkline/trunkline/internal/localpg"
)

// defaultDir is the directory of the local cluster, unless told otherwise.
const defaultDir = ".trunkline"

// upOptions are the flags of up.
type upOptions struct {
	dir            string
	port           int
	workers        int
	workersChosen  bool
	shardCount     int
	pgBin          string
	maxConnections int
	detach         bool
	readyFD        int
}

func upCommand() *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a sharded PostgreSQL on this machine",
		Long: `Start a coordinator, workers and a gateway on this machine.

The servers are real PostgreSQL servers, with their data below the directory.
Run again with the same directory, the cluster goes on with its data. It runs
until Ctrl-C (or SIGTERM), or with --detach until trunkline down.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.workersChosen = cmd.Flags().Changed("workers")
			if err := o.check(); err != nil {
				return usageError{err}
			}
			switch {
			case o.readyFD > 0:
				return upForParent(cmd.Context(), o, os.NewFile(uintptr(o.readyFD), "ready"))
			case o.detach:
				return upDetached(cmd.Context(), o, cmd.OutOrStdout())
			}
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			return up(cmd.Context(), o, log, func(c *localCluster, port int) {
				fmt.Fprintf(cmd.OutOrStdout(), "%sPress Ctrl-C to stop it; the data stay in %s.\n", welcome(c, port), c.path)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.dir, "dir", defaultDir, "directory of the cluster: its servers' data and logs")
	f.IntVar(&o.port, "port", 7432, "port of 127.0.0.1 for clients; 0 takes a free one")
	f.IntVar(&o.workers, "workers", 2, "number of servers that hold shards; 0 puts the shards on the coordinator. More than the cluster has adds servers")
	f.IntVar(&o.shardCount, "shard-count", 32, "shards of a new distributed table, unless the table says otherwise")
	f.StringVar(&o.pgBin, "pg-bin", "", "directory of the programs postgres and initdb (default: the newest found)")
	f.IntVar(&o.maxConnections, "max-connections", 200, "most clients at a time")
	f.BoolVar(&o.detach, "detach", false, "return once the gateway accepts queries, and leave the cluster running")
	f.IntVar(&o.readyFD, "ready-fd", 0, "")
	if err := f.MarkHidden("ready-fd"); err != nil {
		panic(err) // the flag was defined just above
	}
	return cmd
}

func (o upOptions) check() error {
	switch {
	case o.dir == "":
		return errors.New("--dir is empty: name a directory")
	case o.port < 0 || o.port > 65535:
		return fmt.Errorf("--port %d is not a port: choose one from 1 to 65535, or 0 for a free one", o.port)
	case o.workers < 0 || o.workers > 100:
		return fmt.Errorf("--workers %d is out of range: choose 0 to 100", o.workers)
	case o.shardCount < 1 || o.shardCount > 64000:
		return fmt.Errorf("--shard-count %d is out of range: choose 1 to 64000", o.shardCount)
	case o.maxConnections < 1 || o.maxConnections > 10000:
		return fmt.Errorf("--max-connections %d is out of range: choose 1 to 10000", o.maxConnections)
	}
	return nil
}

// welcome says how to connect.
func welcome(c *localCluster, port int) string {
	shards := fmt.Sprintf("%d workers", len(c.Servers)-1)
	switch len(c.Servers) {
	case 1:
		shards = "shards on the coordinator"
	case 2:
		shards = "1 worker"
	}
	return fmt.Sprintf("Trunkline is up: PostgreSQL %s, %s.\nConnect with: psql postgresql://%s@%s/%s\n",
		c.binaries.Full, shards, localpg.Superuser, address(port), localpg.Superuser)
}

// up runs a local cluster until ctx ends, and calls ready once it accepts
// queries. Whatever happens, no server is left running.
func up(ctx context.Context, o upOptions, log *slog.Logger, ready func(c *localCluster, port int)) (err error) {
	d, err := openDirectory(o.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.plan(o.workers, o.workersChosen); err != nil {
		return err
	}
	binaries, err := localpg.Find(ctx, o.pgBin)
	if err != nil {
		return err
	}
	owner, err := localpg.ChooseOwner(filepath.Join(d.path, coordinatorName))
	if err != nil {
		return err
	}
	listener, err := listenLocal(o.port)
	if err != nil {
		return err
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	if err := d.announce(running{PID: os.Getpid(), Port: port}); err != nil {
		return err
	}

	c := &localCluster{directory: d, binaries: binaries, owner: owner, maxConnections: o.maxConnections, log: log}
	if err := c.start(ctx); err != nil {
		return startError(ctx, err)
	}
	// Everything below runs under a context of its own, which also ends when a
	// part of the cluster fails; the servers are the last to stop.
	life, cancel := context.WithCancelCause(ctx)
	defer func() {
		cancel(nil)
		err = errors.Join(err, c.stop())
	}()
	if err := c.tellPorts(ctx); err != nil {
		return err
	}
	c.supervise(life, func(err error) { cancel(err) })
	err = c.serve(life, o, listener, func() error {
		if err := c.register(life, localpg.DSN(port, localpg.Superuser)); err != nil {
			return err
		}
		if err := d.announce(running{PID: os.Getpid(), Port: port, Ready: true}); err != nil {
			return err
		}
		ready(c, port)
		return nil
	})
	if ctx.Err() == nil && life.Err() != nil {
		return context.Cause(life)
	}
	return err
}

// listenLocal takes the clients' port before anything is started.
func listenLocal(port int) (net.Listener, error) {
	l, err := net.Listen("tcp4", address(port))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %d is in use by another program: stop that one, or choose another port with --port", port)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("port %d is only for root: choose one above 1023 with --port", port)
	}
	return l, err
}

// logTo opens the log of a cluster that runs in the background.
func logTo(dir string) (*os.File, error) {
	path := filepath.Join(dir, gatewayLogName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot write %s: %w: become the directory's owner, or choose another one with --dir", path, cause(err))
	}
	return f, nil
}

// upForParent is up in the process that upDetached starts: it reports over a
// pipe, once, how the start went.
func upForParent(ctx context.Context, o upOptions, report *os.File) error {
	syscall.CloseOnExec(int(report.Fd()))
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	var reported bool
	say := func(status, text string) {
		if reported {
			return
		}
		reported = true
		if _, err := io.WriteString(report, status+text); err != nil {
			log.Warn("the command that started this cluster is gone", "error", err)
		}
		if err := report.Close(); err != nil {
			log.Warn("closing the pipe to the command that started this cluster", "error", err)
		}
	}
	err := up(ctx, o, log, func(c *localCluster, port int) { say(reportReady, welcome(c, port)) })
	if err != nil {
		say(reportFailed, oneLine(err))
	}
	return err
}
