package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/internal/demo"
)

// kind is what a statement does.
type kind byte

const (
	read kind = iota
	write
)

// sample is one statement that a client ran.
type sample struct {
	kind  kind
	began time.Time
	took  time.Duration
}

// clients are clients at work.
type clients struct {
	stop    context.CancelFunc
	working sync.WaitGroup
	once    sync.Once

	mu      sync.Mutex
	results results
}

// results are all that clients saw.
type results struct {
	samples    []sample
	statements int
	failed     int
	err        error // the first
}

// startClients lets clients order and read until end.
func startClients(ctx context.Context, dsn string, n int, data *demo.Dataset) *clients {
	c := &clients{}
	ctx, c.stop = context.WithCancel(ctx)
	for i := range n {
		c.working.Go(func() {
			samples, failed, err := work(ctx, dsn, i, data)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.results.samples = append(c.results.samples, samples...)
			c.results.statements += len(samples)
			c.results.failed += failed
			if c.results.err == nil {
				c.results.err = err
			}
		})
	}
	return c
}

// end stops the clients and gives what they saw.
func (c *clients) end() *results {
	c.once.Do(func() {
		c.stop()
		c.working.Wait()
	})
	return &c.results
}

// work is one client: two reads, then an order.
func work(ctx context.Context, dsn string, who int, data *demo.Dataset) (samples []sample, failed int, err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	random := rand.New(rand.NewPCG(uint64(who), 1))
	for n := int64(1); ctx.Err() == nil; n++ {
		restaurant := 1 + random.Int64N(data.Restaurants)
		s := sample{kind: read, began: time.Now()}
		if n%3 == 0 {
			s.kind = write
			_, err = conn.Exec(context.WithoutCancel(ctx), "INSERT INTO orders VALUES ($1, $2, $3, 'placed', now(), 20)", restaurant, (int64(who)+1)<<40+n, 1+random.Int64N(data.Users))
		} else {
			var count int
			err = conn.QueryRow(context.WithoutCancel(ctx), "SELECT count(*) FROM orders WHERE restaurant_id = $1", restaurant).Scan(&count)
		}
		s.took = time.Since(s.began)
		if err != nil {
			failed++
			if conn.IsClosed() {
				return samples, failed, err
			}
			continue
		}
		samples = append(samples, s)
	}
	return samples, failed, nil
}

// longest is the longest statement of a kind that was under way between two moments.
func (r *results) longest(k kind, from, to time.Time) time.Duration {
	most := time.Duration(0)
	for _, s := range r.samples {
		if s.kind == k && s.began.Before(to) && s.began.Add(s.took).After(from) {
			most = max(most, s.took)
		}
	}
	return most
}
