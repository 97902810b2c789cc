package backend

import (
	"context"
	"slices"
	"sync"
)

// scope is the connections that wait under one context. context.AfterFunc would do the same, but a session that takes another
// connection for each statement pays for its bookkeeping every time: some 5 % of what the gateway spends on a small statement.
type scope struct {
	ctx context.Context

	mu    sync.Mutex
	ended bool
	conns []*Conn
}

type scopeKey struct{}

// Watched gives a context that ends with parent and under which connections wait at little cost. It is for contexts under which many
// statements run; parent must end some time.
func Watched(parent context.Context) context.Context {
	s := &scope{}
	s.ctx = context.WithValue(parent, scopeKey{}, s)
	context.AfterFunc(parent, s.end)
	return s.ctx
}

// end cancels what runs.
func (s *scope) end() {
	s.mu.Lock()
	conns := s.conns
	s.ended, s.conns = true, nil
	s.mu.Unlock()
	for _, c := range conns {
		go c.onCancel()
	}
}

// add has c cancelled when the context ends, at once if it has.
func (s *scope) add(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		go c.onCancel()
		return
	}
	s.conns = append(s.conns, c)
}

// remove takes c out and tells whether it has not been cancelled.
func (s *scope) remove(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.Index(s.conns, c)
	if at < 0 {
		return false
	}
	s.conns = slices.Delete(s.conns, at, at+1)
	return true
}

// Place is a server process of a node.
type Place struct {
	Address Address
	PID     uint32
}

// Held gives the server processes that work, or have worked, under a context made by Watched and have not been given back since.
func Held(ctx context.Context) (places []Place) {
	s, ok := ctx.Value(scopeKey{}).(*scope)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		places = append(places, Place{c.address, c.pid})
	}
	return places
}
