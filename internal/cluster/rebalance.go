package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/trunkline/trunkline/internal/sql"
)

// rebalanceJob is the type of the background jobs that move shards.
const rebalanceJob = "rebalance"

// rebalanceStart plans a rebalance and schedules its moves as a background job, whose id it gives; NULL if there is nothing to do.
func rebalanceStart(o *operation, ctx context.Context, args balanceArgs) (*string, error) {
	job, err := o.schedule(ctx, args, "Rebalance all colocation groups")
	if err != nil || job == 0 {
		return nil, err
	}
	return number64(job), nil
}

// schedule plans, and makes a job of the moves; 0 if there are none. It runs in the open transaction.
func (o *operation) schedule(ctx context.Context, args balanceArgs, description string) (int64, error) {
	if err := o.mustBeSuperuser(ctx); err != nil {
		return 0, err
	}
	if err := o.mustBeOnlyRebalance(ctx); err != nil {
		return 0, err
	}
	sizes, err := o.CollectShardSizes(ctx, o.tx, o.snap)
	if err != nil {
		return 0, err
	}
	moves, err := o.planBalance(ctx, args, sizes)
	if err != nil {
		return 0, err
	}
	if len(moves) == 0 {
		return 0, o.say(ctx, "notice", "No moves available for rebalancing", "", "")
	}
	tasks, err := o.moveTasks(ctx, args, moves)
	if err != nil {
		return 0, err
	}
	job, err := o.createJob(ctx, rebalanceJob, description, tasks)
	if err != nil {
		return 0, err
	}
	return job, o.say(ctx, "notice", fmt.Sprintf("Scheduled %d moves as job %d", len(moves), job),
		"Rebalance scheduled as background job", "To monitor progress, run: SELECT * FROM citus_rebalance_status();")
}

// mustBeOnlyRebalance makes sure that no other rebalance is under way, nor begins before the transaction ends.
func (o *operation) mustBeOnlyRebalance(ctx context.Context) error {
	if err := o.exec(ctx, "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('trunkline rebalance', 0))"); err != nil {
		return err
	}
	running, err := o.runningRebalance(ctx)
	if err != nil || running == 0 {
		return err
	}
	return &sql.Error{Code: "55000", Message: fmt.Sprintf("A rebalance is already running as job %d", running),
		Detail: "A rebalance was already scheduled as background job", Hint: "To monitor progress, run: SELECT * FROM citus_rebalance_status();"}
}

// runningRebalance gives the job of the rebalance under way, 0 if there is none.
func (o *operation) runningRebalance(ctx context.Context) (int64, error) {
	rows, err := o.look(ctx, "SELECT job_id FROM trunkline.pg_dist_background_job WHERE job_type = '"+rebalanceJob+"' AND state NOT IN ('finished', 'failed', 'cancelled') ORDER BY job_id LIMIT 1")
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return int64(rows[0].int(0)), nil
}

// moveTasks makes a task of each move, after one that brings reference tables where they are missing.
func (o *operation) moveTasks(ctx context.Context, args balanceArgs, moves []plannedMove) ([]jobTask, error) {
	rows, err := o.query(ctx, `SELECT EXISTS (SELECT FROM trunkline.pg_dist_partition p JOIN trunkline.pg_dist_shard s USING (logicalrelid),
			trunkline.pg_dist_node n WHERE p.repmodel = 't' AND n.isactive AND n.noderole = 'primary'
			AND NOT EXISTS (SELECT FROM trunkline.pg_dist_placement l WHERE l.shardid = s.shardid AND l.groupid = n.groupid))`)
	if err != nil {
		return nil, err
	}
	var tasks []jobTask
	first := 0
	mode := sql.QuoteLiteral(args.TransferMode)
	if rows[0].bool(0) {
		tasks, first = append(tasks, jobTask{command: "SELECT trunkline.replicate_reference_tables(" + mode + ")"}), 1
	}
	for _, m := range moves {
		tasks = append(tasks, jobTask{
			command: fmt.Sprintf("SELECT trunkline.citus_move_shard_placement(%d,%d,%d,%s)", m.shards[0].id, m.from.id, m.to.id, mode),
			after:   first, nodes: []int{m.from.id, m.to.id},
		})
	}
	return tasks, nil
}

func rebalanceStop(o *operation, ctx context.Context, _ struct{}) (*string, error) {
	if err := o.mustBeSuperuser(ctx); err != nil {
		return nil, err
	}
	job, err := o.runningRebalance(ctx)
	if err != nil {
		return nil, err
	}
	if job == 0 {
		return void(), o.say(ctx, "warning", "no ongoing rebalance that can be stopped", "", "")
	}
	return void(), o.exec(ctx, fmt.Sprintf("SELECT trunkline_internal.cancel_job(%d)", job))
}

func rebalanceWait(o *operation, ctx context.Context, _ struct{}) (*string, error) {
	job, err := o.runningRebalance(ctx)
	if err != nil {
		return nil, err
	}
	if job == 0 {
		return void(), o.say(ctx, "warning", "no ongoing rebalance that can be waited on", "", "")
	}
	_, err = o.await(ctx, "job", job, nil)
	return void(), err
}

// rebalanceTableShards rebalances and waits for it. The moves are a job all the same, so that they go on side by side, and are taken
// up by another gateway if this one dies.
func rebalanceTableShards(o *operation, ctx context.Context, raw json.RawMessage) (CallResult, error) {
	args, err := balanceArgsOf(raw)
	if err != nil {
		return CallResult{}, err
	}
	return o.rebalanceNow(ctx, "rebalance_table_shards", args, "Rebalance, in the foreground", nothingFirst)
}

// drainNode marks a node as one that is to hold no shards, and waits until all of its own have gone elsewhere.
func drainNode(o *operation, ctx context.Context, raw json.RawMessage) (CallResult, error) {
	args, err := balanceArgsOf(raw)
	if err != nil {
		return CallResult{}, err
	}
	var which nodeArgs
	if err := json.Unmarshal(raw, &which); err != nil {
		return CallResult{}, sql.Errorf("22023", "cannot read the arguments: %v", err)
	}
	args.DrainOnly = true
	return o.rebalanceNow(ctx, "citus_drain_node", args, "Drain a node", func(args *balanceArgs) error {
		a, found, err := o.mustBeRegistered(ctx, which)
		if err != nil {
			return err
		}
		if found.role != "primary" || !found.active {
			return sql.Errorf("55000", "node %s is no active primary", a)
		}
		args.from = found.id
		return o.exec(ctx, "UPDATE trunkline.pg_dist_node SET shouldhaveshards = false WHERE nodeid = "+strconv.Itoa(found.id))
	})
}

func nothingFirst(*balanceArgs) error { return nil }

// rebalanceNow schedules a job of moves, in one transaction with what comes first, and waits until it is over. A cancel request
// cancels the job.
func (o *operation) rebalanceNow(ctx context.Context, function string, args balanceArgs, description string, first func(*balanceArgs) error) (CallResult, error) {
	if o.tx.InBlock() {
		return CallResult{}, sql.Errorf("25001", "%s() cannot run inside a transaction block", function)
	}
	var job int64
	err := o.tx.RunAtomically(ctx, func() (err error) {
		if err = first(&args); err == nil {
			job, err = o.schedule(ctx, args, description)
		}
		return err
	})
	if err != nil {
		return CallResult{}, err
	}
	if job != 0 {
		if err := o.finished(ctx, job); err != nil {
			return CallResult{}, err
		}
	}
	return CallResult{Columns: []string{"value"}, Rows: [][]*string{{void()}}, Changed: true}, nil
}

// finished waits for a job and gives an error unless all of it was done.
func (o *operation) finished(ctx context.Context, job int64) error {
	state, err := o.await(ctx, "job", job, nil)
	if err != nil {
		if ctx.Err() != nil {
			if _, undo := o.look(context.WithoutCancel(ctx), fmt.Sprintf("SELECT trunkline_internal.cancel_job(%d)", job)); undo != nil {
				o.config.Log.Warn("a job whose caller is gone goes on", "job", job, "error", undo)
			}
		}
		return err
	}
	if state == "finished" {
		return nil
	}
	rows, err := o.look(ctx, fmt.Sprintf("SELECT count(*) FILTER (WHERE status <> 'done'), coalesce((array_agg(message ORDER BY task_id) FILTER (WHERE status = 'error'))[1], '') FROM trunkline.pg_dist_background_task WHERE job_id = %d", job))
	if err != nil {
		return err
	}
	return &sql.Error{Code: "55000", Message: fmt.Sprintf("rebalance job %d %s: %d moves were not made", job, state, rows[0].int(0)), Detail: rows[0].text(1),
		Hint: fmt.Sprintf("For more, run: SELECT * FROM citus_job_status(%d, true);", job)}
}
