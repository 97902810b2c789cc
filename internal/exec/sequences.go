package exec

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// Sequences are values that a gateway has drawn from the coordinator's sequences before its sessions needed them, so that most
// INSERTs find theirs without a round trip. A sequence's first draws take what they need and no more; while draws follow each other
// closely, each takes twice as many as the one before. What is left is given back when it has lain idle, or when a statement is about
// to look at sequences itself: where nobody else has drawn meanwhile, nothing shows. Values are what nextval() returned, so no two
// are equal, whatever the sequence's options. It is shared by all sessions of a gateway.
type Sequences struct {
	mu     sync.Mutex
	blocks map[sequenceKey]*block
	held   int // blocks that hold values
}

// sequenceKey is a sequence as a user may draw from it, for as long as no definition changes.
type sequenceKey struct {
	name     string
	identity string
	role     string
	version  int64
}

// block is what was drawn ahead from one sequence.
type block struct {
	values []string // not yet handed out
	used   string   // the last one handed out
	last   string   // the last one drawn
	size   int      // of the last draw
	turn   chan struct{}
	drawn  time.Time
	taken  time.Time
	quiet  time.Time // until then, no values are drawn ahead
}

const (
	largestBlock = 64
	closely      = 250 * time.Millisecond // draws that follow each other within it let the block grow
	idleBlock    = time.Second            // after which values are given back
)

// NewSequences makes an empty Sequences.
func NewSequences() *Sequences { return &Sequences{blocks: map[sequenceKey]*block{}} }

// take gives n values. Those that are missing, and perhaps more, come from draw, which one session at a time calls for a sequence
// while others wait for what it brings.
func (s *Sequences) take(ctx context.Context, key sequenceKey, n int, draw func(n int) ([]string, error)) ([]string, error) {
	s.mu.Lock()
	b := s.blocks[key]
	if b == nil {
		b = &block{turn: make(chan struct{}, 1)}
		s.blocks[key] = b
	}
	b.taken = time.Now()
	if len(b.values) >= n {
		defer s.mu.Unlock()
		return s.handOut(b, n), nil
	}
	s.mu.Unlock()
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	values := s.handOut(b, n)
	if len(values) == n {
		s.mu.Unlock()
		return values, nil
	}
	now := time.Now()
	if now.Before(b.quiet) || now.Sub(b.drawn) > closely {
		b.size = 1
	} else {
		b.size = min(2*b.size, largestBlock)
	}
	b.drawn = now
	missing := n - len(values)
	wanted := missing + b.size - 1
	s.mu.Unlock()
	drawn, err := draw(wanted)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blocks[key] = b // it may have been forgotten meanwhile
	if b.values = drawn; len(drawn) > 0 {
		s.held++
		b.last = drawn[len(drawn)-1]
	}
	return append(values, s.handOut(b, missing)...), nil
}

func (s *Sequences) handOut(b *block, n int) []string {
	n = min(n, len(b.values))
	if n == 0 {
		return nil
	}
	values := b.values[:n:n]
	b.values, b.used = b.values[n:], values[n-1]
	if len(b.values) == 0 {
		s.held--
	}
	return values
}

// unused takes out the blocks that were last taken from before a moment, and forgets those that are empty.
func (s *Sequences) unused(before time.Time, quiet time.Duration) map[sequenceKey]block {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[sequenceKey]block{}
	for key, b := range s.blocks {
		switch {
		case b.taken.After(before):
			continue
		case len(b.values) > 0:
			out[key] = *b
			b.values = nil
			s.held--
		case b.quiet.Before(before):
			delete(s.blocks, key)
		}
		if quiet > 0 {
			b.quiet = time.Now().Add(quiet)
		}
	}
	return out
}

// Settle gives all values back that nobody has used, because a statement is about to use sequences itself. connect lends a connection
// to the coordinator as the gateway's own user. What cannot be given back is left out: sequences may have gaps.
func (s *Sequences) Settle(ctx context.Context, connect func(context.Context) (*backend.Conn, func(), error)) {
	s.mu.Lock()
	held := s.held
	s.mu.Unlock()
	if held > 0 {
		s.giveBack(ctx, s.unused(time.Now(), idleBlock), connect)
	}
}

// Run gives back what lies idle, until ctx ends; then everything.
func (s *Sequences) Run(ctx context.Context, connect func(context.Context) (*backend.Conn, func(), error)) {
	tick := time.NewTicker(idleBlock)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.giveBack(ctx, s.unused(time.Now().Add(-idleBlock), 0), connect)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), idleBlock)
			defer cancel()
			s.giveBack(last, s.unused(time.Now(), 0), connect)
			return
		}
	}
}

func (s *Sequences) giveBack(ctx context.Context, blocks map[sequenceKey]block, connect func(context.Context) (*backend.Conn, func(), error)) {
	if len(blocks) == 0 {
		return
	}
	conn, release, err := connect(ctx)
	if err != nil {
		return
	}
	defer release()
	for key, b := range blocks {
		text := "SELECT trunkline_internal.give_back(" + sql.QuoteLiteral(key.name) + ", " + b.last + ", " + b.used + ", " + strconv.Itoa(len(b.values)) + ")"
		if _, err := conn.Exec(ctx, text); err != nil && conn.Err() != nil {
			return
		}
	}
}

// Drawn are the values that a session has had from a gateway's Sequences: what currval() and lastval() must know of.
type Drawn struct {
	Values map[string]string `json:"values"` // by the sequence's qualified name
	Last   string            `json:"last"`   // the sequence last drawn from
}

// Setting is what trunkline_internal.currval and lastval read, "" for nothing.
func (d *Drawn) Setting() string {
	if len(d.Values) == 0 {
		return ""
	}
	text, _ := json.Marshal(d)
	return string(text)
}

// nextvals draws n values from a sequence of the coordinator. A session with a connection of its own there draws on that, which knows
// currval and lastval from then on; for others Env.Drawn does, and no connection may remember what it has drawn for whom.
func (x *execution) nextvals(ctx context.Context, name string, n int) ([]string, error) {
	tx := x.env.Tx
	if tx.Pinned() != nil {
		return x.nextvalsThere(ctx, name, n, "")
	}
	var values []string
	var err error
	if tx.Joined(catalog.CoordinatorGroup) {
		// The block may have changed the sequence, and only it can see that.
		values, err = x.nextvalsThere(ctx, name, n, forgetDrawn)
	} else {
		values, err = x.nextvalsAhead(ctx, name, n)
	}
	if err != nil {
		return nil, err
	}
	if x.env.Drawn.Values == nil {
		x.env.Drawn.Values = map[string]string{}
	}
	x.env.Drawn.Values[name], x.env.Drawn.Last = values[n-1], name
	return values, nil
}

const forgetDrawn = "; DISCARD SEQUENCES"

func (x *execution) nextvalsAhead(ctx context.Context, name string, n int) ([]string, error) {
	tx := x.env.Tx
	role, _ := tx.Settings().Get("role")
	key := sequenceKey{name: name, identity: tx.Identity().User + "\x00" + tx.Identity().Database, role: role, version: x.snapshot.Version}
	return x.env.Sequences.take(ctx, key, n, func(n int) ([]string, error) {
		c, release, err := tx.Outside(ctx, catalog.CoordinatorGroup)
		if err != nil {
			return nil, err
		}
		defer release()
		return callNextval(ctx, c, name, n, forgetDrawn)
	})
}

// nextvalsThere draws values in the session's own block or on its own connection.
func (x *execution) nextvalsThere(ctx context.Context, name string, n int, then string) ([]string, error) {
	x.env.Settle(ctx)
	c, release, err := x.env.Tx.Borrow(ctx, catalog.CoordinatorGroup)
	if err != nil {
		return nil, err
	}
	defer release()
	return callNextval(ctx, c, name, n, then)
}

func callNextval(ctx context.Context, c *backend.Conn, name string, n int, then string) ([]string, error) {
	text := "SELECT pg_catalog.nextval(" + sql.QuoteLiteral(name) + ")"
	if n > 1 {
		text += " FROM pg_catalog.generate_series(1, " + strconv.Itoa(n) + ")"
	}
	results, err := c.Exec(ctx, text+then)
	if err != nil {
		if stateOf(err) == "25006" {
			return nil, sql.Errorf("25006", "cannot execute INSERT in a read-only transaction")
		}
		return nil, err
	}
	if len(results) == 0 || len(results[0].Rows) != n {
		return nil, sql.Errorf("XX000", "drawing %d values from sequence %s failed", n, name)
	}
	values := make([]string, n)
	for i, row := range results[0].Rows {
		values[i] = string(row[0])
	}
	return values, nil
}
