package backend

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// watch turns the end of a context into a cancel request, without a goroutine while nothing happens. It stays with one context
// over many reads, so a statement costs it nothing.
type watch struct {
	running atomic.Bool // a statement is running on the node
	expired atomic.Bool // reads and writes are to end at once
	asked   atomic.Bool // a cancel request was sent in this context

	ctx     context.Context
	release func() bool
	fired   sync.WaitGroup // the canceller of ctx, from start until it has ended or has been prevented
}

const (
	cancelGrace = 10 * time.Second // a node that does not end a cancelled statement by then is given up
	cancelAgain = 500 * time.Millisecond
)

// start makes ctx the context whose end cancels.
func (w *watch) start(ctx context.Context, c *Conn) {
	if w.ctx == ctx {
		return
	}
	w.stop(c)
	w.ctx = ctx
	if ctx.Done() != nil {
		w.fired.Add(1)
		w.release = context.AfterFunc(ctx, c.onCancel)
	}
}

// stop waits for cancel requests on their way, which could otherwise hit a later statement.
func (w *watch) stop(c *Conn) {
	w.ctx = nil
	if w.release == nil {
		return
	}
	if w.release() {
		w.fired.Done()
	} else {
		w.fired.Wait()
		if w.expired.Swap(false) {
			c.net.SetDeadline(time.Time{})
		}
	}
	w.release = nil
}

// cancel runs when the context has ended: it asks the node to cancel the running statement, again if the request came before the
// statement did, and ends reads and writes if that does not help or if nothing was running.
func (w *watch) cancel(c *Conn) {
	defer w.fired.Done()
	ctx, stop := context.WithTimeout(context.Background(), cancelGrace)
	defer stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var asked time.Time
	for w.running.Load() && ctx.Err() == nil {
		if time.Since(asked) >= cancelAgain {
			asked = time.Now()
			w.asked.Store(true)
			if c.Cancel(ctx) != nil {
				break
			}
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	w.expired.Store(true)
	c.net.SetDeadline(time.Unix(1, 0))
}

// restoreDeadline undoes a read deadline that was set for another purpose.
func (w *watch) restoreDeadline(conn net.Conn) {
	conn.SetReadDeadline(time.Time{})
	if w.expired.Load() {
		conn.SetReadDeadline(time.Unix(1, 0))
	}
}
