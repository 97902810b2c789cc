package catalog

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trunkline/trunkline/internal/backend"
)

// Watcher keeps a gateway's Snapshot up to date: whoever changes the metadata or a definition, through whichever gateway, notifies
// the channel trunkline_catalog when its transaction commits. While the coordinator cannot be reached the last snapshot stays in
// use: a statement that it misleads is told so by the node it goes to (design D12).
type Watcher struct {
	connect func(context.Context) (*backend.Conn, error)
	log     *slog.Logger
	current atomic.Pointer[Snapshot]

	mu      sync.Mutex
	loading *load // the one that has not begun to read yet, which may still be joined
	turn    chan struct{}
	loader  *backend.Conn // used by whoever holds turn
	last    *Snapshot     // the last that was read, likewise
	wake    chan struct{} // closed when current changes

	following context.Context // until Close
	stop      context.CancelFunc
	done      chan struct{}
}

// load is one reading of the catalog, shared by all who asked before it began.
type load struct {
	done     chan struct{}
	doubt    doubt // the greatest that one of them has
	snapshot *Snapshot
	err      error
}

// Watch bootstraps nothing: it reads the catalog, then follows its changes until Close. connect opens a connection to the
// coordinator as a user that may read the catalog; the Watcher keeps two.
func Watch(ctx context.Context, connect func(context.Context) (*backend.Conn, error), log *slog.Logger) (*Watcher, error) {
	w := &Watcher{connect: connect, log: log, turn: make(chan struct{}, 1), wake: make(chan struct{}), done: make(chan struct{})}
	w.following, w.stop = context.WithCancel(context.WithoutCancel(ctx))
	listener, err := w.listen(ctx)
	if err != nil {
		w.stop()
		return nil, err
	}
	if _, err := w.Refresh(ctx); err != nil {
		w.stop()
		listener.Close()
		return nil, err
	}
	go w.follow(w.following, listener)
	return w, nil
}

// Current is the newest snapshot known. It never waits.
func (w *Watcher) Current() *Snapshot { return w.current.Load() }

// Close stops following and closes the connections.
func (w *Watcher) Close() {
	w.stop()
	<-w.done
	w.turn <- struct{}{}
	if w.loader != nil {
		w.loader.Close()
		w.loader = nil
	}
	<-w.turn
}

// Refresh reads the catalog and gives a snapshot that holds everything that was committed before the call: definitions too that were
// changed behind the gateways' back, as those of local tables are.
func (w *Watcher) Refresh(ctx context.Context) (*Snapshot, error) { return w.refresh(ctx, ofAll) }

// RefreshPlaces is Refresh for whoever has not found a shard where it ought to be. If shard groups have moved, that explains it, and
// definitions that were changed behind the gateways' back may be missed.
func (w *Watcher) RefreshPlaces(ctx context.Context) (*Snapshot, error) {
	return w.refresh(ctx, ofPlaces)
}

func (w *Watcher) refresh(ctx context.Context, d doubt) (*Snapshot, error) {
	w.mu.Lock()
	mine := w.loading
	first := mine == nil
	if first {
		mine = &load{done: make(chan struct{})}
		w.loading = mine
	}
	mine.doubt = max(mine.doubt, d)
	w.mu.Unlock()
	if first {
		go w.read(mine)
	}
	select {
	case <-mine.done:
		return mine.snapshot, mine.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// read reads the catalog for all who have joined mine. It goes on when they give up, and ends with the Watcher: a context that
// ended earlier would cancel what the next reading asks over the same connection.
func (w *Watcher) read(mine *load) {
	w.turn <- struct{}{}
	w.mu.Lock()
	w.loading = nil // from here on what is committed may be missed: whoever comes next needs another reading
	w.mu.Unlock()
	mine.snapshot, mine.err = w.readOnce(w.following, mine.doubt)
	if mine.err == nil {
		mine.snapshot = w.publish(mine.snapshot)
	}
	<-w.turn
	close(mine.done)
}

// readOnce reads over the kept connection, and over a new one if that one has been lost.
func (w *Watcher) readOnce(ctx context.Context, d doubt) (*Snapshot, error) {
	kept := w.loader != nil
	for {
		if w.loader == nil {
			conn, err := w.connect(ctx)
			if err != nil {
				return nil, err
			}
			w.loader = conn
		}
		snapshot, err := loadSince(ctx, w.loader, w.last, d)
		if err == nil {
			w.last = snapshot
			return snapshot, nil
		}
		lost := w.loader.Err() != nil
		w.loader.Close()
		w.loader = nil
		if !kept || !lost || ctx.Err() != nil {
			return nil, err
		}
		kept = false
	}
}

// publish makes a snapshot the current one, and gives the one that is. Only the holder of turn calls it.
func (w *Watcher) publish(s *Snapshot) *Snapshot {
	if old := w.current.Load(); old != nil && old.SameAs(s) && old.Moving == s.Moving {
		return old // so that whoever holds plans made for it need not look closer
	}
	w.current.Store(s)
	w.mu.Lock()
	close(w.wake)
	w.wake = make(chan struct{})
	w.mu.Unlock()
	return s
}

// Changed gives a channel that is closed when Current next changes.
func (w *Watcher) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wake
}

func (w *Watcher) listen(ctx context.Context) (*backend.Conn, error) {
	conn, err := w.connect(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, "LISTEN trunkline_catalog"); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// follow waits for notifications and refreshes. A connection that is lost is made anew; what was missed meanwhile is read then.
func (w *Watcher) follow(ctx context.Context, listener *backend.Conn) {
	defer close(w.done)
	defer func() {
		if listener != nil {
			listener.Close()
		}
	}()
	backoff := firstBackoff
	for ctx.Err() == nil {
		err := w.followOnce(ctx, &listener)
		if err == nil {
			backoff = firstBackoff
			continue
		}
		if ctx.Err() != nil {
			return
		}
		w.log.Warn("the catalog cannot be watched, trying again", "error", err, "after", backoff)
		if listener != nil {
			listener.Close()
			listener = nil
		}
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// followOnce waits for one notification, or makes a new connection, and refreshes.
func (w *Watcher) followOnce(ctx context.Context, listener **backend.Conn) error {
	if *listener == nil {
		conn, err := w.listen(ctx)
		if err != nil {
			return err
		}
		*listener = conn
		w.log.Info("the catalog is watched again")
	} else {
		notified := false
		(*listener).OnAsync = func(m backend.Message) { notified = notified || m.Type == 'A' }
		for !notified {
			if err := (*listener).Wait(ctx); err != nil {
				return err
			}
		}
	}
	if _, err := w.refresh(ctx, none); err != nil {
		if errors.Is(err, context.Canceled) {
			return ctx.Err()
		}
		return err
	}
	return nil
}
