package backend

import (
	"context"
	"sync"
	"time"
)

// pool holds the connections of one user to one database on one node.
type pool struct {
	owner *Pools
	key   poolKey

	mu      sync.Mutex
	idle    []*Conn // most recently used last
	open    int     // idle ones, those in use and those being opened
	waiting []chan *Conn
	closed  bool
	opened  int64
	reused  int64
}

func newPool(owner *Pools, key poolKey) *pool { return &pool{owner: owner, key: key} }

func (p *pool) acquire(ctx context.Context, identity Identity) (*Conn, error) {
	p.mu.Lock()
	for len(p.idle) > 0 {
		c := p.idle[len(p.idle)-1]
		p.idle[len(p.idle)-1] = nil
		p.idle = p.idle[:len(p.idle)-1]
		if c.probe.idle() {
			p.reused++
			p.mu.Unlock()
			return c, nil
		}
		p.open--
		c.Abandon()
	}
	if p.open < p.owner.options.MaxConns {
		p.open++
		p.mu.Unlock()
		return p.connect(ctx, identity)
	}
	turn := make(chan *Conn, 1)
	p.waiting = append(p.waiting, turn)
	p.mu.Unlock()
	return p.wait(ctx, identity, turn)
}

// wait waits for its turn: a connection, or nil for the right to open one.
func (p *pool) wait(ctx context.Context, identity Identity, turn chan *Conn) (*Conn, error) {
	timer := time.NewTimer(p.owner.options.MaxWait)
	defer timer.Stop()
	var err error
	select {
	case c := <-turn:
		return p.take(ctx, identity, c)
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timer.C:
		err = tooMany(p.key, p.owner.options.MaxConns)
	}
	p.mu.Lock()
	for i, other := range p.waiting {
		if other == turn {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			p.mu.Unlock()
			return nil, err
		}
	}
	p.mu.Unlock()
	// The turn came at the same moment: pass it on.
	if c := <-turn; c != nil {
		p.put(c)
	} else {
		p.leave()
	}
	return nil, err
}

func (p *pool) take(ctx context.Context, identity Identity, c *Conn) (*Conn, error) {
	if c != nil && c.probe.idle() {
		return c, nil
	}
	if c != nil {
		c.Abandon()
	}
	return p.connect(ctx, identity)
}

// connect opens a connection in a place that is already counted.
func (p *pool) connect(ctx context.Context, identity Identity) (*Conn, error) {
	c, err := Connect(ctx, p.key.address, identity, p.owner.options.Options)
	if err != nil {
		p.leave()
		return nil, err
	}
	c.pool = p
	p.mu.Lock()
	p.opened++
	p.mu.Unlock()
	return c, nil
}

// leave gives up a counted place.
func (p *pool) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 {
		turn := p.waiting[0]
		p.waiting = p.waiting[1:]
		turn <- nil
		return
	}
	p.open--
}

func (p *pool) put(c *Conn) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.discard(c)
		return
	}
	defer p.mu.Unlock()
	if len(p.waiting) > 0 {
		turn := p.waiting[0]
		p.waiting = p.waiting[1:]
		p.reused++
		turn <- c
		return
	}
	c.idleFrom = time.Now()
	p.idle = append(p.idle, c)
}

func (p *pool) discard(c *Conn) {
	c.Close()
	p.leave()
}

// closeIdle closes the connections that have been idle for longer than age.
func (p *pool) closeIdle(age time.Duration) {
	p.mu.Lock()
	n := 0
	for n < len(p.idle) && time.Since(p.idle[n].idleFrom) >= age {
		n++
	}
	old := append([]*Conn(nil), p.idle[:n]...)
	p.idle = append(p.idle[:0], p.idle[n:]...)
	p.mu.Unlock()
	for _, c := range old {
		p.discard(c)
	}
}

func (p *pool) shut() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.closeIdle(0)
}

func (p *pool) stats() PoolStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return PoolStats{
		Address: p.key.address, User: p.key.user, Database: p.key.database,
		Idle: len(p.idle), InUse: p.open - len(p.idle), Waiting: len(p.waiting), Opened: p.opened, Reused: p.reused,
	}
}
