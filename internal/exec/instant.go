package exec

import (
	"context"

	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/txn"
)

// enterInstant begins to read several nodes at one instant, nil if the statement need not or cannot: a block that keeps its snapshots has
// them already, and of several statements on one node each has a snapshot of its own.
func (x *execution) enterInstant(ctx context.Context, g *plan.Gather, tasks []task, f *form) (*txn.Instant, error) {
	if x.env.AtOneInstant == nil || g.Writes || x.plan.Writes || x.env.Tx.InBlock() && x.env.Tx.KeepsSnapshot() {
		return nil, nil
	}
	for i := range tasks {
		if i > 0 && tasks[i].node == tasks[i-1].node {
			return nil, nil
		}
	}
	if len(tasks) < 2 {
		return nil, nil
	}
	f.early = true
	return x.env.AtOneInstant(ctx)
}

// allBound waits until all nodes have taken their snapshots, before any row goes to the client. If that took too long the error is
// txn.ErrInstantLost, and the statement is to be run again.
func (x *execution) allBound(ctx context.Context, lanes []*lane, instant *txn.Instant) error {
	for _, l := range lanes {
		if err := x.awaitBind(ctx, l); err != nil {
			instant.Leave()
			return err
		}
	}
	if !instant.Leave() {
		return txn.ErrInstantLost
	}
	return nil
}

// awaitBind waits until a lane's statement has been bound.
func (x *execution) awaitBind(ctx context.Context, l *lane) error {
	for {
		m, err := l.conn.Peek(ctx)
		if err != nil {
			return err
		}
		switch m.Type {
		case '1':
			if _, err := l.conn.Receive(ctx); err != nil {
				return err
			}
		case 'E':
			if m, err = l.conn.Receive(ctx); err != nil {
				return err
			}
			return x.bindError(false, x.taskError(l.conn, m))
		default:
			return nil
		}
	}
}
