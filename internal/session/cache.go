package session

import (
	"sync/atomic"

	"github.com/maypok86/otter/v2"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
)

// entry is a statement that has been planned: what the plan cache keeps, and what a prepared statement is. It is shared between
// sessions and, but for statistics, never changed once made.
type entry struct {
	text     string
	stmt     sql.Statement
	literals []sql.Literal
	plan     *plan.Plan
	prepared *exec.Prepared // nil until the coordinator has described it, which simple pass-through does not need
	verb     string
	kind     statementKind

	readsLocal bool // it reads tables that might be distributed before it runs

	fingerprint uint64                             // of the catalog snapshot that it was planned for
	statistics  atomic.Pointer[catalog.Statistics] // by which its plan was chosen, or others that would have led to the same
	fixed       []string                           // the literals that shaped the plan, in the order of plan.FixedLiterals
}

// passThrough tells whether the client's own text runs on the coordinator as it is.
func (e *entry) passThrough() bool {
	c, ok := e.plan.Root.(*plan.Coordinator)
	return ok && c.SQL == nil && len(e.plan.Subplans) == 0
}

// fits tells whether the plan is right for a text with the same key.
func (e *entry) fits(text string, literals []sql.Literal) bool {
	for i, index := range e.plan.FixedLiterals {
		if index >= len(literals) || text[literals[index].Start:literals[index].End] != e.fixed[i] {
			return false
		}
	}
	return true
}

func fixedLiterals(p *plan.Plan, text string, literals []sql.Literal) []string {
	if len(p.FixedLiterals) == 0 {
		return nil
	}
	fixed := make([]string, len(p.FixedLiterals))
	for i, index := range p.FixedLiterals {
		if index < len(literals) {
			fixed[i] = text[literals[index].Start:literals[index].End]
		}
	}
	return fixed
}

// planCache keeps planned statements for all sessions, by normalised text and all else that planning depends on. Several entries
// may share a key where literals shape plans.
type planCache struct {
	cache *otter.Cache[string, []*entry]
}

const entriesPerKey = 8

func newPlanCache(size int) (*planCache, error) {
	cache, err := otter.New(&otter.Options[string, []*entry]{MaximumSize: size})
	if err != nil {
		return nil, err
	}
	return &planCache{cache}, nil
}

// find gives the entry for a text, nil if there is none for this snapshot.
func (c *planCache) find(key, text string, literals []sql.Literal, fingerprint uint64) *entry {
	entries, ok := c.cache.GetIfPresent(key)
	if !ok {
		return nil
	}
	for _, e := range entries {
		if e.fingerprint == fingerprint && e.fits(text, literals) {
			return e
		}
	}
	return nil
}

// add keeps an entry in place of those for older snapshots.
func (c *planCache) add(key string, e *entry) {
	old, _ := c.cache.GetIfPresent(key)
	entries := []*entry{e}
	for _, o := range old {
		if o.fingerprint == e.fingerprint && !equal(o.fixed, e.fixed) && len(entries) < entriesPerKey {
			entries = append(entries, o)
		}
	}
	c.cache.Set(key, entries)
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
