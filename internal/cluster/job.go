package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/trunkline/trunkline/internal/sql"
)

// jobTask is one command of a background job.
type jobTask struct {
	command string
	after   int   // the number of the task, from 1, that must be done first; 0 for none
	nodes   []int // ids of the nodes that it keeps busy
}

// createJob schedules a job. Gateways see it once the transaction is committed.
func (o *operation) createJob(ctx context.Context, kind, description string, tasks []jobTask) (int64, error) {
	commands, after, nodes := make([]string, len(tasks)), make([]string, len(tasks)), make([][]int, len(tasks))
	for i, t := range tasks {
		commands[i], after[i], nodes[i] = sql.QuoteLiteral(t.command), fmt.Sprint(t.after), append([]int{}, t.nodes...)
	}
	list, err := json.Marshal(nodes)
	if err != nil {
		return 0, err
	}
	rows, err := o.query(ctx, fmt.Sprintf("SELECT trunkline_internal.create_job(%s, %s, ARRAY[%s]::text[], ARRAY[%s]::int[], %s)",
		sql.QuoteLiteral(kind), sql.QuoteLiteral(description), strings.Join(commands, ", "), strings.Join(after, ", "), sql.QuoteLiteral(string(list))))
	if err != nil {
		return 0, err
	}
	return int64(rows[0].int(0)), nil
}

// terminal tells whether nothing more happens to a job or task in this state.
func terminal(state string) bool {
	switch state {
	case "finished", "failed", "cancelled", "done", "error", "unscheduled":
		return true
	}
	return false
}

// await waits until a job or task is over, or in the desired state if there is one, and gives the state that it is in.
func (o *operation) await(ctx context.Context, what string, id int64, desired *string) (string, error) {
	state := fmt.Sprintf("SELECT state FROM trunkline.pg_dist_background_job WHERE job_id = %d", id)
	if what == "task" {
		state = fmt.Sprintf("SELECT status FROM trunkline.pg_dist_background_task WHERE task_id = %d", id)
	}
	if o.tx.InBlock() {
		rows, err := o.look(ctx, "SHOW transaction_isolation")
		if err != nil {
			return "", err
		}
		if level := rows[0].text(0); level != "read committed" && level != "read uncommitted" {
			return "", &sql.Error{Code: "25001", Message: "cannot wait for a background " + what + " in a transaction of isolation level " + level,
				Detail: "Such a transaction does not see what others do."}
		}
	}
	const most = 500 * time.Millisecond
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, most) {
		rows, err := o.look(ctx, state)
		if err != nil {
			return "", err
		}
		if len(rows) == 0 {
			return "", sql.Errorf("42704", "no %s found with %sid %d", what, what, id)
		}
		now := rows[0].text(0)
		if desired != nil && now == *desired || desired == nil && terminal(now) {
			return now, nil
		}
		if desired != nil && terminal(now) {
			return "", sql.Errorf("55000", "%s reached terminal state \"%s\" instead of desired state \"%s\"", what, now, *desired)
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

func jobWait(o *operation, ctx context.Context, args struct {
	Job     *int64  `json:"jobid"`
	Desired *string `json:"desired_status"`
}) (*string, error) {
	if args.Job == nil {
		return nil, sql.Errorf("22004", "jobid cannot be null")
	}
	_, err := o.await(ctx, "job", *args.Job, args.Desired)
	return void(), err
}

func taskWait(o *operation, ctx context.Context, args struct {
	Task    *int64  `json:"taskid"`
	Desired *string `json:"desired_status"`
}) (*string, error) {
	if args.Task == nil {
		return nil, sql.Errorf("22004", "taskid cannot be null")
	}
	_, err := o.await(ctx, "task", *args.Task, args.Desired)
	return void(), err
}

func jobCancel(o *operation, ctx context.Context, args struct {
	Job *int64 `json:"jobid"`
}) (*string, error) {
	if args.Job == nil {
		return nil, sql.Errorf("22004", "jobid cannot be null")
	}
	if err := o.mustBeSuperuser(ctx); err != nil {
		return nil, err
	}
	return void(), o.exec(ctx, fmt.Sprintf("SELECT trunkline_internal.cancel_job(%d)", *args.Job))
}

// waiting makes a call of a function that only waits: it changes nothing, and opens no transaction.
func waiting[A any](f change[A]) call {
	return func(o *operation, ctx context.Context, raw json.RawMessage) (CallResult, error) {
		var args A
		if err := json.Unmarshal(raw, &args); err != nil {
			return CallResult{}, sql.Errorf("22023", "cannot read the arguments: %v", err)
		}
		value, err := f(o, ctx, args)
		if err != nil {
			return CallResult{}, err
		}
		return CallResult{Columns: []string{"value"}, Rows: [][]*string{{value}}, Changed: true}, nil
	}
}
