package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// rebalanceOptions are the flags of rebalance.
type rebalanceOptions struct {
	dir, dsn  string
	strategy  string
	mode      string
	drainOnly bool
	parallel  int
	plan      bool
}

func rebalanceCommand() *cobra.Command {
	var o rebalanceOptions
	cmd := &cobra.Command{
		Use:   "rebalance",
		Short: "Move shards until every node carries its share, and watch",
		Long: `Move shards until every node carries its share, while clients go on reading
and writing, and show how far each move is.

If a rebalance is under way already, that one is shown. It runs in the
gateways: interrupting this command does not stop it.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.parallel < 1 || o.parallel > 100 {
				return usageError{fmt.Errorf("--parallel %d is out of range: choose 1 to 100", o.parallel)}
			}
			if o.dsn == "" {
				var err error
				if o.dsn, err = runningDSN(o.dir); err != nil {
					return err
				}
			}
			return query(cmd.Context(), o.dsn, func(conn *pgx.Conn) error { return rebalance(cmd.Context(), conn, o, cmd.OutOrStdout()) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.dir, "dir", defaultDir, "directory of the running cluster")
	f.StringVar(&o.dsn, "dsn", "", "connection string of a gateway, instead of --dir")
	f.StringVar(&o.strategy, "strategy", "", "what shards and nodes are weighed by (default: the cluster's default strategy)")
	f.StringVar(&o.mode, "mode", "auto", "how rows are moved: auto, force_logical or block_writes")
	f.BoolVar(&o.drainOnly, "drain-only", false, "only move shards away from nodes that are not to have any")
	f.IntVar(&o.parallel, "parallel", 1, "moves at a time that one node takes part in")
	f.BoolVar(&o.plan, "plan", false, "only show what would move")
	return cmd
}

// rebalance starts a rebalance, or finds the one that runs, and shows it until it is over.
func rebalance(ctx context.Context, conn *pgx.Conn, o rebalanceOptions, out io.Writer) error {
	var strategy *string
	if o.strategy != "" {
		strategy = &o.strategy
	}
	if o.plan {
		return showPlan(ctx, conn, strategy, o.drainOnly, out)
	}
	if _, err := conn.Exec(ctx, fmt.Sprintf("SET citus.max_background_task_executors_per_node = %d; SET citus.max_background_task_executors = %d", o.parallel, max(4, 2*o.parallel)), pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	var job *int64
	err := conn.QueryRow(ctx, "SELECT citus_rebalance_start($1, $2, $3::text::citus.shard_transfer_mode)", strategy, o.drainOnly, o.mode).Scan(&job)
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && refused.Code == "55000":
		running := conn.QueryRow(ctx, "SELECT max(job_id) FROM citus_rebalance_status() WHERE state NOT IN ('finished', 'failed', 'cancelled')").Scan(&job)
		if running != nil || job == nil {
			return err
		}
		fmt.Fprintf(out, "A rebalance is under way already, as job %d.\n", *job)
	case err != nil:
		return err
	case job == nil:
		fmt.Fprintln(out, "Every node carries its share: there is nothing to move.")
		return nil
	}
	return watchRebalance(ctx, conn, *job, out)
}

// showPlan prints what a rebalance would move.
func showPlan(ctx context.Context, conn *pgx.Conn, strategy *string, drainOnly bool, out io.Writer) error {
	rows, err := conn.Query(ctx, `SELECT table_name::text, shardid, pg_size_pretty(shard_size), sourcename || ':' || sourceport, targetname || ':' || targetport
		FROM get_rebalance_table_shards_plan(rebalance_strategy => $1, drain_only => $2)`, strategy, drainOnly)
	if err != nil {
		return err
	}
	var table, size, from, to string
	var shard int64
	tag, err := pgx.ForEachRow(rows, []any{&table, &shard, &size, &from, &to}, func() error {
		fmt.Fprintf(out, "shard %d of %s (%s) from %s to %s\n", shard, table, size, from, to)
		return nil
	})
	if err == nil && tag.RowsAffected() == 0 {
		fmt.Fprintln(out, "Every node carries its share: there is nothing to move.")
	}
	return err
}

// movesView shows how far the moves are.
type movesView interface {
	// update is given the number of moves that are made, of all, and those under way.
	update(done, all int, moves []moveState)
	// finish ends the view.
	finish(whole bool)
}

// pollMoves is how often moves are looked at.
const pollMoves = 250 * time.Millisecond

// watchRebalance shows a job of moves until it is over.
func watchRebalance(ctx context.Context, conn *pgx.Conn, job int64, out io.Writer) error {
	view := newMovesView(out)
	seen := map[int64]moveState{}
	began := time.Now()
	for {
		state, done, all, err := jobState(ctx, conn, job)
		if err == nil {
			var moves []moveState
			if moves, err = movesUnderWay(ctx, conn, seen); err == nil {
				view.update(done, all, moves)
			}
		}
		if err != nil {
			view.finish(false)
			if ctx.Err() != nil {
				return fmt.Errorf("interrupted: the rebalance goes on in the background, as job %d; stop it with SELECT citus_rebalance_stop()", job)
			}
			return err
		}
		switch state {
		case "finished":
			view.finish(true)
			fmt.Fprintf(out, "Made %d moves in %s.\n", done, time.Since(began).Round(100*time.Millisecond))
			return nil
		case "failed", "cancelled":
			view.finish(false)
			return jobError(ctx, conn, job, state)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pollMoves):
		}
	}
}

// jobState gives a job's state and how many of its moves are made.
func jobState(ctx context.Context, conn *pgx.Conn, job int64) (state string, done, all int, err error) {
	err = conn.QueryRow(ctx, `SELECT j.state::text, count(*) FILTER (WHERE t.status = 'done'), count(*)
		FROM pg_dist_background_job j JOIN pg_dist_background_task t USING (job_id)
		WHERE j.job_id = $1 AND cardinality(t.nodes_involved) > 0 GROUP BY j.job_id`, job).Scan(&state, &done, &all)
	return state, done, all, err
}

// jobError says why a job was not finished.
func jobError(ctx context.Context, conn *pgx.Conn, job int64, state string) error {
	rows, err := conn.Query(ctx, "SELECT command || ': ' || message FROM pg_dist_background_task WHERE job_id = $1 AND status = 'error' ORDER BY task_id", job)
	if err != nil {
		return err
	}
	messages, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	failure := fmt.Errorf("the rebalance %s, job %d", map[string]string{"failed": "failed", "cancelled": "was cancelled"}[state], job)
	for _, m := range messages {
		failure = errors.Join(failure, errors.New(m))
	}
	return failure
}

// isTerminal tells whether out is a terminal that can show bars.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	return err == nil && width > 0 // one without a size cannot show a bar
}
