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
	running atomic.Bool // a statement is running on the node, on behalf of ctx
	asking  atomic.Bool // the canceller has begun
	expired atomic.Bool // the canceller is through; it has made reads end at once
	gaveUp  atomic.Bool // because the node did not end the statement
	asked   atomic.Bool // a cancel request was sent in this context

	ctx     context.Context
	scope   *scope         // of ctx, if it has one
	release func() bool    // if it has none
	fired   sync.WaitGroup // counts the canceller of ctx, from start until it has ended or has been prevented
}

const (
	cancelGrace = 10 * time.Second // a node that does not end a cancelled statement by then is given up
	cancelAgain = 500 * time.Millisecond
)

// start makes ctx the context whose end cancels. A statement sent under a new context is watched from its first read on, so that
// the end of an older context, even at that very moment, cannot cancel it.
func (w *watch) start(ctx context.Context, c *Conn) {
	if w.ctx != ctx && w.ctx != nil && w.ctx.Err() != nil && w.running.Load() && !w.expired.Load() {
		// The canceller of another context is at work on what runs. It ends when that has been read to its end, so to wait for it
		// here would be to wait for oneself.
		return
	}
	if w.ctx != ctx || w.expired.Load() {
		w.stop(c)
		w.ctx = ctx
		if ctx.Done() != nil {
			w.fired.Add(1)
			if s, ok := ctx.Value(scopeKey{}).(*scope); ok && s.ctx == ctx {
				w.scope = s
				s.add(c)
			} else {
				w.release = context.AfterFunc(ctx, c.onCancel)
			}
		}
	}
	w.running.Store(len(c.units) > 0)
}

// stop waits for cancel requests on their way, which could otherwise hit a later statement.
func (w *watch) stop(c *Conn) {
	w.ctx = nil
	var prevented bool
	switch {
	case w.scope != nil:
		prevented = w.scope.remove(c)
	case w.release != nil:
		prevented = w.release()
	default:
		return
	}
	if prevented {
		w.fired.Done()
	} else {
		w.fired.Wait()
		if w.expired.Swap(false) {
			c.net.SetDeadline(time.Time{})
		}
		w.asking.Store(false)
	}
	w.scope, w.release = nil, nil
}

// cancel runs when the context has ended: it asks the node to cancel the running statement, again if the request came before the
// statement did, and ends reads and writes if that does not help or if nothing was running.
func (w *watch) cancel(c *Conn) {
	defer w.fired.Done()
	w.asking.Store(true)
	ctx, stop := context.WithTimeout(context.Background(), cancelGrace)
	defer stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var asked time.Time
	for w.running.Load() && !w.gaveUp.Load() {
		if time.Since(asked) >= cancelAgain {
			asked = time.Now()
			w.asked.Store(true)
			w.gaveUp.Store(c.Cancel(ctx) != nil)
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			w.gaveUp.Store(true)
		}
	}
	w.expired.Store(true)
	c.net.SetReadDeadline(time.Unix(1, 0))
	if w.gaveUp.Load() {
		c.net.SetWriteDeadline(time.Unix(1, 0))
	}
}

// restoreDeadline undoes a read deadline that was set for another purpose.
func (w *watch) restoreDeadline(conn net.Conn) {
	conn.SetReadDeadline(time.Time{}) // first, so that an expiry in between is not lost
	if w.expired.Load() {
		conn.SetReadDeadline(time.Unix(1, 0))
	}
}
