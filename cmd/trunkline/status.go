package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/trunkline/trunkline/internal/localpg"
)

func statusCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how the sharded PostgreSQL that trunkline up started is doing",
		Long:  "Say how the cluster of a directory is doing. The exit code is 0 if it runs and answers, and 1 otherwise.",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, lock, err := findRunning(dir)
			if errors.Is(err, errNotRunning) {
				return fmt.Errorf("the cluster in %s is not running: start it with trunkline up%s", dir, dirArgument(dir))
			}
			if err != nil {
				return err
			}
			if err := lock.Close(); err != nil {
				return err
			}
			if !r.Ready {
				return fmt.Errorf("the cluster in %s is just starting (process %d)", dir, r.PID)
			}
			return printStatus(cmd.Context(), cmd.OutOrStdout(), dir, r)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", defaultDir, "directory of the cluster")
	return cmd
}

// statusTimeout is how long the gateway may take to answer.
const statusTimeout = 10 * time.Second

// printStatus asks the gateway what it knows and the directory what is there.
func printStatus(ctx context.Context, w io.Writer, dir string, r running) error {
	path, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	d := &directory{path: path}
	if err := d.load(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	nodes, err := askNodes(ctx, localpg.DSN(r.Port, localpg.Superuser))
	if err != nil {
		return fmt.Errorf("the gateway on port %d (process %d) does not answer: %w", r.Port, r.PID, err)
	}
	fmt.Fprintf(w, "The cluster in %s runs: process %d, gateway on %s.\n\n", dir, r.PID, address(r.Port))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SERVER\tPORT\tPROCESS\tNODE\tSHARDS")
	for _, f := range d.Servers {
		process := "not running"
		if pid := localpg.Running(filepath.Join(path, f.Name)); pid != 0 {
			process = fmt.Sprint(pid)
		}
		node, shards := "not a node", "-"
		if n, ok := nodes[f.Port]; ok {
			node, shards = fmt.Sprint(n.id), fmt.Sprint(n.shards)
			if !n.active {
				node += " (disabled)"
			}
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\n", f.Name, f.Port, process, node, shards)
	}
	return t.Flush()
}

type nodeStatus struct {
	id, shards int
	active     bool
}

// askNodes reads the nodes from the catalog, by port.
func askNodes(ctx context.Context, dsn string) (map[int]nodeStatus, error) {
	nodes := make(map[int]nodeStatus)
	err := query(ctx, dsn, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT nodeport, nodeid, isactive, (SELECT count(*) FROM pg_dist_placement p WHERE p.groupid = n.groupid)
			FROM pg_dist_node n WHERE nodename = '`+nodeHost+`'`)
		if err != nil {
			return err
		}
		var port int
		var n nodeStatus
		_, err = pgx.ForEachRow(rows, []any{&port, &n.id, &n.active, &n.shards}, func() error {
			nodes[port] = n
			return nil
		})
		return err
	})
	return nodes, err
}
