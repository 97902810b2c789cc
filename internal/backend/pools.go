package backend

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/trunkline/trunkline/internal/sql"
)

// PoolOptions bound the pools of a gateway. Zero values mean the defaults given here.
type PoolOptions struct {
	Options
	MaxConns    int           // per node, user and database: 100
	MaxWait     time.Duration // for a free connection, then 53300: 30 s
	MaxIdleTime time.Duration // a connection unused for so long is closed: 10 min (citus.max_cached_connection_lifetime)
}

// Pools holds idle connections, per node, user and database, for all sessions of a gateway.
type Pools struct {
	options PoolOptions
	mu      sync.RWMutex
	pools   map[poolKey]*pool
	closed  bool
	stop    chan struct{}
}

type poolKey struct {
	address        Address
	user, database string
}

// NewPools makes an empty set of pools. Close ends it.
func NewPools(options PoolOptions) *Pools {
	if options.MaxConns <= 0 {
		options.MaxConns = 100
	}
	if options.MaxWait <= 0 {
		options.MaxWait = 30 * time.Second
	}
	if options.MaxIdleTime <= 0 {
		options.MaxIdleTime = 10 * time.Minute
	}
	p := &Pools{options: options, pools: map[poolKey]*pool{}, stop: make(chan struct{})}
	go p.sweep()
	return p
}

// Acquire gives a connection for the caller's use alone until Release: an idle one that is still alive, else a new one, else the
// next one that becomes free. It has whatever settings its last user applied; Apply brings the caller's.
func (p *Pools) Acquire(ctx context.Context, address Address, identity Identity) (*Conn, error) {
	key := poolKey{address, identity.User, identity.Database}
	p.mu.RLock()
	pool, closed := p.pools[key], p.closed
	p.mu.RUnlock()
	if pool == nil && !closed {
		p.mu.Lock()
		if pool = p.pools[key]; pool == nil && !p.closed {
			pool = newPool(p, key)
			p.pools[key] = pool
		}
		p.mu.Unlock()
	}
	if pool == nil || closed {
		return nil, sql.Errorf("57P01", "the gateway is shutting down")
	}
	return pool.acquire(ctx, identity)
}

// Connect opens a connection that belongs to no pool, with further parameters in its startup message. Its user closes it.
func (p *Pools) Connect(ctx context.Context, address Address, identity Identity, parameters map[string]string) (*Conn, error) {
	options := p.options.Options
	options.Parameters = parameters
	return Connect(ctx, address, identity, options)
}

// Release takes a connection back. It is closed instead if it is broken, is in a transaction, or still has answers to come; one
// with session state on it is first reset in the background.
func (p *Pools) Release(c *Conn) {
	c.OnAsync = nil
	c.watch.stop(c)
	pool := c.pool
	if pool == nil {
		c.Close()
		return
	}
	clean := c.broken == nil && c.txStatus == 'I' && c.Idle() && c.r+c.consumed == c.w && !c.watch.asked.Load()
	switch {
	case !clean:
		pool.discard(c)
	case c.dirty:
		go func() {
			ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
			defer stop()
			if c.Reset(ctx) != nil {
				pool.discard(c)
				return
			}
			c.watch.stop(c)
			pool.put(c)
		}()
	default:
		pool.put(c)
	}
}

// Reset removes all session state from the connection, as DISCARD ALL does.
func (c *Conn) Reset(ctx context.Context) error {
	if _, err := c.Exec(ctx, "DISCARD ALL"); err != nil {
		return err
	}
	c.UnprepareAll()
	c.settings = settingsState{}
	c.dirty = false
	return nil
}

// CloseIdle closes the idle connections to a node, for when it has been removed.
func (p *Pools) CloseIdle(address Address) {
	p.each(func(pool *pool) {
		if pool.key.address == address {
			pool.closeIdle(0)
		}
	})
}

// CloseIdleTo closes the idle connections to a database, so that it can be dropped or renamed.
func (p *Pools) CloseIdleTo(database string) {
	p.each(func(pool *pool) {
		if pool.key.database == database {
			pool.closeIdle(0)
		}
	})
}

// Close closes all idle connections. Those in use are closed when they are released.
func (p *Pools) Close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.stop)
	}
	p.mu.Unlock()
	p.each(func(pool *pool) { pool.shut() })
}

func (p *Pools) each(f func(*pool)) {
	p.mu.RLock()
	pools := make([]*pool, 0, len(p.pools))
	for _, pool := range p.pools {
		pools = append(pools, pool)
	}
	p.mu.RUnlock()
	for _, pool := range pools {
		f(pool)
	}
}

// sweep closes connections that nobody has used for long.
func (p *Pools) sweep() {
	ticker := time.NewTicker(max(p.options.MaxIdleTime/10, time.Second))
	defer ticker.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-ticker.C:
			p.each(func(pool *pool) { pool.closeIdle(p.options.MaxIdleTime) })
		}
	}
}

// Idle gives the server processes of the connections that nobody uses.
func (p *Pools) Idle() (places []Place) {
	p.each(func(pool *pool) {
		pool.mu.Lock()
		defer pool.mu.Unlock()
		for _, c := range pool.idle {
			places = append(places, Place{c.address, c.pid})
		}
	})
	return places
}

// PoolStats is the state of one pool.
type PoolStats struct {
	Address        Address
	User, Database string
	Idle, InUse    int
	Waiting        int
	Opened, Reused int64 // since the start
}

// Stats gives the state of every pool.
func (p *Pools) Stats() []PoolStats {
	var stats []PoolStats
	p.each(func(pool *pool) { stats = append(stats, pool.stats()) })
	return stats
}

func tooMany(key poolKey, limit int) error {
	return &sql.Error{
		Code:    "53300",
		Message: fmt.Sprintf("too many connections to node %s", key.address),
		Detail:  fmt.Sprintf("All %d connections of role \"%s\" to database \"%s\" on the node are in use.", limit, key.user, key.database),
		Hint:    "Raise the gateway's limit of connections per node, or shorten transactions.",
	}
}
