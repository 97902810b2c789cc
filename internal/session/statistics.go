package session

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trunkline/trunkline/internal/catalog"
)

// statistics keeps what the nodes estimate of the tables' rows, for the planner. It is read when a plan depends on it, not before:
// afresh when such a plan is made, in the background when one is used.
type statistics struct {
	server  *Server
	current atomic.Pointer[catalog.Statistics]
	read    atomic.Int64 // when, in nanoseconds since 1970; 0 for never

	mu      sync.Mutex
	reading chan struct{} // closed when the reading under way has ended; nil when there is none
}

const (
	// freshStatistics is how old statistics may be for making a plan, usedStatistics for using one.
	freshStatistics = 10 * time.Second
	usedStatistics  = time.Minute
	// statisticsPatience is how long making a plan waits for them: a plan made without is right as well.
	statisticsPatience = 500 * time.Millisecond
)

func (k *statistics) age() time.Duration { return time.Duration(time.Now().UnixNano() - k.read.Load()) }

// forPlanning gives statistics that are fresh, or the best there are.
func (k *statistics) forPlanning(ctx context.Context) *catalog.Statistics {
	if k.age() > freshStatistics {
		patience := time.NewTimer(statisticsPatience)
		defer patience.Stop()
		select {
		case <-k.refresh():
		case <-patience.C:
		case <-ctx.Done():
		}
	}
	return k.current.Load()
}

// forUse gives the statistics at hand, and has old ones read again.
func (k *statistics) forUse() *catalog.Statistics {
	if k.age() > usedStatistics {
		k.refresh()
	}
	return k.current.Load()
}

// refresh has the statistics read, unless that is under way; the channel is closed when it is done.
func (k *statistics) refresh() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.reading != nil {
		return k.reading
	}
	done := make(chan struct{})
	k.reading = done
	k.server.background.Go(func() {
		k.collect(k.server.running)
		k.read.Store(time.Now().UnixNano())
		k.mu.Lock()
		k.reading = nil
		k.mu.Unlock()
		close(done)
	})
	return done
}

// collect asks all nodes at once. What cannot be had from one node leaves the statistics as they are.
func (k *statistics) collect(ctx context.Context) {
	snapshot := k.server.watcher.Current()
	reader := snapshot.NewStatisticsReader()
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		failure error
	)
	for _, node := range k.server.nodes() {
		text := snapshot.StatisticsQuery(node.GroupID)
		if text == "" {
			continue
		}
		wg.Go(func() {
			conn, err := k.server.adminPools.Acquire(ctx, node.Address, k.server.admin)
			if err == nil {
				defer k.server.adminPools.Release(conn)
				results, failed := conn.Exec(ctx, text)
				mu.Lock()
				defer mu.Unlock()
				if err = failed; err == nil {
					err = reader.Read(results[0])
				}
				if failure == nil {
					failure = err
				}
				return
			}
			mu.Lock()
			defer mu.Unlock()
			failure = err
		})
	}
	wg.Wait()
	if failure != nil {
		k.server.log.Log(ctx, slog.LevelInfo, "statistics of tables cannot be read", "error", failure)
		return
	}
	k.current.Store(reader.Statistics())
}

// outgrown tells whether the sizes of tables that an entry's plan was chosen by have changed by far since.
func (s *session) outgrown(e *entry) bool {
	if len(e.plan.Estimated) == 0 || s.catalog.foreign {
		return false
	}
	now := s.server.statistics.forUse()
	seen := e.statistics.Load()
	if seen == now {
		return false
	}
	if catalog.Differs(seen, now, e.plan.Estimated) {
		return true
	}
	e.statistics.Store(now)
	return false
}
