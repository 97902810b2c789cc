// Command rebalancing shows what clients notice of a rebalance: it starts a cluster of two workers, loads DineHub, lets clients order and
// read, adds two workers, rebalances, and prints the longest pause that any client saw, the balance before and after, and draws the
// throughput over time with the moves marked. `make demo-rebalance` runs it.
//
// Everything is removed at the end, but for the plot. Read run first.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/internal/demo"
	"github.com/trunkline/trunkline/internal/localpg"
)

type options struct {
	program string
	scale   float64
	clients int
	plot    string
	steady  time.Duration // how long clients work before and after the rebalance
}

func main() {
	var o options
	flag.StringVar(&o.program, "trunkline", "bin/trunkline", "the program")
	flag.Float64Var(&o.scale, "scale", 0.2, "scale of DineHub: 1 is 1,000,000 orders")
	flag.IntVar(&o.clients, "clients", 8, "clients that order and read")
	flag.StringVar(&o.plot, "plot", "rebalance.svg", "where the plot goes")
	flag.DurationVar(&o.steady, "steady", 8*time.Second, "how long clients work before and after the rebalance")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "rebalancing:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	c, err := start(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	data, err := demo.New(o.scale)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Loading DineHub: %d restaurants, %d orders …\n", data.Restaurants, data.Orders)
	if _, _, err := demo.Load(ctx, c.dsn, data, demo.LoadOptions{Streams: 4}); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, c.dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))

	clients := startClients(ctx, c.dsn, o.clients, data)
	defer clients.end()
	if err := sleep(ctx, o.steady); err != nil {
		return err
	}
	for i := range 2 {
		port, err := c.addServer(ctx, i)
		if err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, "SELECT citus_add_node('127.0.0.1', $1)", port); err != nil {
			return err
		}
	}
	before, err := balance(ctx, conn)
	if err != nil {
		return err
	}
	began := time.Now()
	moves, err := rebalance(ctx, conn)
	if err != nil {
		return err
	}
	took := time.Since(began)
	after, err := balance(ctx, conn)
	if err != nil {
		return err
	}
	if err := sleep(ctx, o.steady); err != nil {
		return err
	}
	results := clients.end()
	if results.err != nil {
		return results.err
	}

	fmt.Fprintf(out, "%d moves in %.1f s while %d clients ran %d statements; failed: %d.\n", len(moves), took.Seconds(), o.clients, results.statements, results.failed)
	fmt.Fprintf(out, "Longest pause of any client while shards moved: %d ms to write, %d ms to read; before that: %d ms and %d ms.\n",
		results.longest(write, began, began.Add(took)).Milliseconds(), results.longest(read, began, began.Add(took)).Milliseconds(),
		results.longest(write, time.Time{}, began).Milliseconds(), results.longest(read, time.Time{}, began).Milliseconds())
	fmt.Fprintf(out, "Shard groups by node: %s before, %s after.\n", before, after)
	if err := os.WriteFile(o.plot, draw(results, began, took, moves), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(out, "The plot is in %s.\n", o.plot)
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// balance tells how many shard groups each node has.
func balance(ctx context.Context, conn *pgx.Conn) (text string, err error) {
	err = conn.QueryRow(ctx, `SELECT string_agg(n::text, ' · ' ORDER BY groupid) FROM (
		SELECT n.groupid, (SELECT count(*) FROM trunkline.shard_group g WHERE g.groupid = n.groupid) AS n FROM pg_dist_node n WHERE n.shouldhaveshards) _`).Scan(&text)
	return text, err
}

// moved is when a move was under way.
type moved struct{ began, ended time.Time }

// rebalance runs a rebalance and gives its moves.
func rebalance(ctx context.Context, conn *pgx.Conn) ([]moved, error) {
	var job *int64
	if err := conn.QueryRow(ctx, "SELECT citus_rebalance_start()").Scan(&job); err != nil {
		return nil, err
	}
	if job == nil {
		return nil, errors.New("there was nothing to move")
	}
	seen := map[int64]*moved{}
	var order []int64
	for {
		rows, err := conn.Query(ctx, "SELECT operation_id FROM trunkline.shard_move")
		if err != nil {
			return nil, err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return nil, err
		}
		now := time.Now()
		for _, id := range ids {
			if seen[id] == nil {
				seen[id] = &moved{began: now}
				order = append(order, id)
			}
			seen[id].ended = now
		}
		var state string
		if err := conn.QueryRow(ctx, "SELECT state::text FROM pg_dist_background_job WHERE job_id = $1", *job).Scan(&state); err != nil {
			return nil, err
		}
		switch state {
		case "finished":
			var moves []moved
			for _, id := range order {
				moves = append(moves, *seen[id])
			}
			return moves, nil
		case "failed", "cancelled":
			return nil, fmt.Errorf("the rebalance %s", state)
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// cluster is a cluster that `trunkline up` runs, and servers added to it.
type cluster struct {
	options
	dir      string
	dsn      string
	binaries localpg.Binaries
	owner    localpg.Owner
	added    []*localpg.Server
}

func start(ctx context.Context, o options) (_ *cluster, err error) {
	c := &cluster{options: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop())
		}
	}()
	if c.binaries, err = localpg.Find(ctx, os.Getenv("TRUNKLINE_PG_BIN")); err != nil {
		return nil, err
	}
	if c.owner, err = localpg.ChooseOwner("/nonexistent"); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp("/tmp", "tldemo"); err != nil {
		return nil, err
	}
	if err := c.owner.MakeDir(c.dir); err != nil {
		return nil, err
	}
	ports, err := localpg.FreePorts(1)
	if err != nil {
		return nil, err
	}
	c.dsn = localpg.DSN(ports[0], localpg.Superuser)
	return c, c.trunkline(ctx, "up", "--workers", "2", "--detach", "--port", fmt.Sprint(ports[0]))
}

// trunkline runs the program on the cluster's directory.
func (c *cluster) trunkline(ctx context.Context, command string, args ...string) error {
	text, err := exec.CommandContext(ctx, c.program, append([]string{command, "--dir", filepath.Join(c.dir, "cluster")}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("trunkline %s: %w: %s", command, err, text)
	}
	return nil
}

// addServer starts one more server and gives its port.
func (c *cluster) addServer(ctx context.Context, n int) (int, error) {
	data := filepath.Join(c.dir, fmt.Sprintf("added-%d", n))
	if err := localpg.Init(ctx, c.binaries, c.owner, data, localpg.InitOptions{NoSync: true}); err != nil {
		return 0, err
	}
	ports, err := localpg.FreePorts(1)
	if err != nil {
		return 0, err
	}
	s, err := localpg.Start(ctx, localpg.Config{
		Name: filepath.Base(data), Binaries: c.binaries, Owner: c.owner, DataDir: data, SocketDir: c.dir, Port: ports[0], LogFile: data + ".log",
		Settings: map[string]string{"wal_level": "logical", "max_connections": "200", "max_prepared_transactions": "200", "max_locks_per_transaction": "256"},
	})
	if err != nil {
		return 0, err
	}
	c.added = append(c.added, s)
	return s.Port, nil
}

// stop stops and removes everything.
func (c *cluster) stop() error {
	var err error
	if c.dsn != "" {
		err = c.trunkline(context.Background(), "down")
	}
	for _, s := range c.added {
		s.Crash() // the data go anyway
	}
	if c.dir != "" {
		err = errors.Join(err, os.RemoveAll(c.dir))
	}
	return err
}
