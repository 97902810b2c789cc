// Package jobs runs background jobs: the tasks in pg_dist_background_task, each one SQL command, which the gateways of a cluster
// share. What a task's states are and when they change is written in SQL (catalog/ddl/jobs.sql), in the coordinator's transactions; a
// Runner only asks for tasks, has their commands run, and says how they went.
//
// A task is held by an advisory lock of the Runner's connection. When that connection ends, for whatever reason, others may take the
// task up again, so the Runner then stops what it was doing, as fast as it can. A command must bear that: it may be run again after
// it was stopped anywhere, and while what it began is still being undone.
//
// It imports backend and sql. Read Runner first.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

// Config is what a Runner works with.
type Config struct {
	// Connect opens a connection to the coordinator as a superuser; the Runner keeps two.
	Connect func(context.Context) (*backend.Conn, error)

	// Execute runs a command as a user, outside a transaction block, and gives what is to be noted of it. The command is to end soon
	// when ctx does.
	Execute func(ctx context.Context, user, command string) (string, error)

	// Poll is how often tasks are looked for that nobody announced: those of gateways that died, and those to be tried again;
	// 5 s unless set.
	Poll time.Duration

	Log *slog.Logger
}

// Runner is one gateway's part in running jobs.
type Runner struct {
	config Config

	running  map[int64]*task
	finished chan *task
}

// task is one command that runs here.
type task struct {
	id      int64
	stop    context.CancelFunc
	message string
	err     error
}

// New makes a Runner.
func New(config Config) *Runner {
	if config.Poll <= 0 {
		config.Poll = 5 * time.Second
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	return &Runner{config: config, running: map[int64]*task{}, finished: make(chan *task)}
}

// Run runs tasks until ctx ends, and then stops those under way and returns. They stay unfinished, for other gateways.
func (r *Runner) Run(ctx context.Context) {
	announced := make(chan struct{}, 1)
	var listening sync.WaitGroup
	listening.Go(func() { r.listen(ctx, announced) })
	defer listening.Wait()
	const lastPause = 5 * time.Second
	pause := 50 * time.Millisecond
	for ctx.Err() == nil {
		err := r.serve(ctx, announced)
		r.abandon()
		if ctx.Err() != nil {
			return
		}
		r.config.Log.Warn("background tasks cannot be run, trying again", "error", err, "after", pause)
		select {
		case <-time.After(pause):
			pause = min(2*pause, lastPause)
		case <-ctx.Done():
		}
	}
}

// listen says when somebody has changed a job.
func (r *Runner) listen(ctx context.Context, announced chan<- struct{}) {
	for ctx.Err() == nil {
		conn, err := r.config.Connect(ctx)
		if err == nil {
			conn.OnAsync = func(m backend.Message) {
				if m.Type == 'A' {
					select {
					case announced <- struct{}{}:
					default:
					}
				}
			}
			if _, err = conn.Exec(ctx, "LISTEN trunkline_jobs"); err == nil {
				for err == nil {
					err = conn.Wait(ctx)
				}
			}
			conn.Close()
		}
		select {
		case <-time.After(r.config.Poll):
		case <-ctx.Done():
		}
	}
}

// serve runs tasks over one connection until that fails.
func (r *Runner) serve(ctx context.Context, announced <-chan struct{}) error {
	conn, err := r.config.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	poll := time.NewTicker(r.config.Poll)
	defer poll.Stop()
	for {
		if err := r.stopCancelled(ctx, conn); err != nil {
			return err
		}
		if err := r.claim(ctx, conn); err != nil {
			return err
		}
		select {
		case t := <-r.finished:
			delete(r.running, t.id)
			if err := r.record(ctx, conn, t); err != nil {
				return err
			}
		case <-announced:
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// claim takes all tasks that may be run now.
func (r *Runner) claim(ctx context.Context, conn *backend.Conn) error {
	for {
		results, err := conn.Exec(ctx, "SELECT * FROM trunkline_internal.claim_task()")
		if err != nil {
			return err
		}
		if len(results[0].Rows) == 0 {
			return nil
		}
		row := results[0].Rows[0]
		id, err := strconv.ParseInt(string(row[0]), 10, 64)
		if err != nil {
			return fmt.Errorf("cannot read a task's id: %w", err)
		}
		r.begin(ctx, id, string(row[1]), string(row[2]))
	}
}

func (r *Runner) begin(ctx context.Context, id int64, user, command string) {
	r.config.Log.Info("background task begins", "task", id, "command", command)
	ctx, stop := context.WithCancel(ctx)
	t := &task{id: id, stop: stop}
	r.running[id] = t
	go func() {
		t.message, t.err = r.config.Execute(ctx, user, command)
		r.finished <- t
	}()
}

// stopCancelled stops the tasks that somebody wants cancelled, and those that are not held any more.
func (r *Runner) stopCancelled(ctx context.Context, conn *backend.Conn) error {
	if len(r.running) == 0 {
		return nil
	}
	results, err := conn.Exec(ctx, "SELECT task_id FROM trunkline.pg_dist_background_task WHERE status = 'running' AND pid = pg_catalog.pg_backend_pid()")
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, row := range results[0].Rows {
		wanted[string(row[0])] = true
	}
	for id, t := range r.running {
		if !wanted[strconv.FormatInt(id, 10)] {
			t.stop()
		}
	}
	return nil
}

// record says how a task went.
func (r *Runner) record(ctx context.Context, conn *backend.Conn, t *task) error {
	t.stop()
	outcome := "done"
	if t.err != nil {
		outcome, t.message = "error", messageOf(t.err)
		r.config.Log.Warn("background task failed", "task", t.id, "error", t.err)
	}
	_, err := conn.Exec(ctx, fmt.Sprintf("SELECT trunkline_internal.finish_task(%d, '%s', %s, %t)", t.id, outcome, sql.QuoteLiteral(t.message), t.err != nil && worthRetrying(t.err)))
	return err
}

// abandon stops all tasks, which the lost connection held, and waits for them.
func (r *Runner) abandon() {
	for _, t := range r.running {
		t.stop()
	}
	for len(r.running) > 0 {
		delete(r.running, (<-r.finished).id)
	}
}

// messageOf writes an error as pg_dist_background_task.message shows it.
func messageOf(err error) string {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return "ERROR: " + err.Error()
	}
	text := "ERROR: " + e.Message
	if e.Detail != "" {
		text += "\nDETAIL: " + e.Detail
	}
	if e.Hint != "" {
		text += "\nHINT: " + e.Hint
	}
	return text
}

// worthRetrying tells whether a command that failed so may succeed later: not if it is wrong in itself, or not allowed.
func worthRetrying(err error) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) || len(e.Code) != 5 {
		return true
	}
	switch e.Code[:2] {
	case "0A", "22", "23", "26", "28", "2B", "34", "3D", "3F", "42", "44", "XX":
		return false
	}
	return true
}
