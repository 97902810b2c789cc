package backend

import (
	"container/list"
	"hash/maphash"
	"slices"
	"strconv"
)

// maxStatements bounds the prepared statements that one connection keeps.
const maxStatements = 256

// statements is the least-recently-used set of statements prepared on a connection.
type statements struct {
	byKey     map[string]*list.Element
	used      *list.List // of *prepared, most recently used first
	tentative []*prepared
	evicted   []string // names to close before the next round
	number    int

	seed   maphash.Seed
	recent []uint64 // hashes of texts that Recurs was asked about, a ring
	oldest int
}

type prepared struct{ key, name string }

// Prepared gives the name under which the statement with this key is prepared here. If it is not known yet, the caller must send
// a Parse of that name in the same unit; should the unit fail, the connection forgets the statement by itself.
func (c *Conn) Prepared(key []byte) (name string, known bool) {
	s := &c.statements
	if e := s.byKey[string(key)]; e != nil {
		s.used.MoveToFront(e)
		return e.Value.(*prepared).name, true
	}
	if s.byKey == nil {
		s.byKey, s.used = map[string]*list.Element{}, list.New()
	}
	if s.used.Len() >= maxStatements {
		c.Unprepare(s.used.Back().Value.(*prepared).key)
	}
	s.number++
	p := &prepared{key: string(key), name: "trunkline_" + strconv.Itoa(s.number)}
	s.byKey[p.key] = s.used.PushFront(p)
	s.tentative = append(s.tentative, p)
	return p.name, false
}

// Unprepare forgets a statement, and closes it on the node before the next round.
func (c *Conn) Unprepare(key string) {
	s := &c.statements
	if e := s.byKey[key]; e != nil {
		s.evicted = append(s.evicted, s.used.Remove(e).(*prepared).name)
		delete(s.byKey, key)
	}
}

// PrepareAnew forgets all statements and closes them on the node before the next round, since one of them has turned out not to fit
// its tables any more.
func (c *Conn) PrepareAnew() {
	s := &c.statements
	for s.used != nil && s.used.Len() > 0 {
		c.Unprepare(s.used.Back().Value.(*prepared).key)
	}
}

// maxRecent is how many texts Recurs remembers.
const maxRecent = 64

// Recurs tells whether it was asked about the same text not long ago, so that preparing the statement on this connection will pay.
func (c *Conn) Recurs(text []byte) bool {
	s := &c.statements
	if s.recent == nil {
		s.seed, s.recent = maphash.MakeSeed(), make([]uint64, 0, maxRecent)
	}
	h := maphash.Bytes(s.seed, text)
	if slices.Contains(s.recent, h) {
		return true
	}
	if len(s.recent) < maxRecent {
		s.recent = append(s.recent, h)
	} else {
		s.recent[s.oldest] = h
		s.oldest = (s.oldest + 1) % maxRecent
	}
	return false
}

// UnprepareAll forgets all statements without closing them: the node has dropped them by itself (DISCARD ALL, DEALLOCATE ALL).
func (c *Conn) UnprepareAll() {
	c.statements = statements{number: c.statements.number}
}

// forgetTentative forgets the statements prepared since nothing was under way: whether their Parse came before the error is
// unknown.
func (c *Conn) forgetTentative() {
	for _, p := range c.statements.tentative {
		if e := c.statements.byKey[p.key]; e != nil && e.Value == p {
			c.Unprepare(p.key)
		}
	}
	c.statements.settle()
}

// settle is called when all that was sent has been answered: what was prepared is there to stay.
func (s *statements) settle() { s.tentative = s.tentative[:0] }
