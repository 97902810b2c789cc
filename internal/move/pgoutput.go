package move

import (
	"encoding/binary"
	"errors"
)

// relation is a table as the stream describes it.
type relation struct {
	schema, name string
	full         bool // rows identify themselves by all their columns
	columns      []streamColumn
	statements   map[string]string // prepared statements by their shape, for applier
}

type streamColumn struct {
	name string
	key  bool // part of the replica identity
}

// value is one column's value.
type value struct {
	kind byte // 'n' NULL, 't' text, 'u' unchanged and not sent: a value that is stored out of line
	text []byte
}

var errMalformed = errors.New("the source sent a malformed replication message")

// decoder reads the messages of pgoutput, protocol version 1 (PostgreSQL manual, section 55.9).
type decoder struct {
	relations map[uint32]*relation
	marks     string // the prefix of the operation's own messages
}

// decode reads one message; ok is false for those that say nothing about rows.
func (d *decoder) decode(message []byte) (e event, ok bool, err error) {
	if len(message) == 0 {
		return e, false, errMalformed
	}
	r := &reader{b: message[1:]}
	switch message[0] {
	case 'R':
		d.relation(r)
	case 'I':
		e.kind, e.rel = inserted, d.relations[r.uint32()]
		if r.byte() != 'N' {
			r.bad = true
		}
		e.new, ok = r.tuple(), true
	case 'U':
		e.kind, e.rel = updated, d.relations[r.uint32()]
		kind := r.byte()
		if kind == 'K' || kind == 'O' {
			e.old = r.tuple()
			kind = r.byte()
		}
		if kind != 'N' {
			r.bad = true
		}
		e.new, ok = r.tuple(), true
	case 'D':
		e.kind, e.rel = deleted, d.relations[r.uint32()]
		r.byte()
		e.old, ok = r.tuple(), true
	case 'C':
		r.byte()
		r.uint64()
		e.kind, e.lsn, ok = committed, r.uint64(), true
	case 'M':
		r.byte()
		e.lsn = r.uint64()
		prefix := r.string()
		e.kind, e.mark, ok = marked, string(r.bytes(int(r.uint32()))), prefix == d.marks
	}
	if r.bad || ok && e.kind <= deleted && (e.rel == nil || e.new != nil && len(e.new) != len(e.rel.columns)) {
		return e, false, errMalformed
	}
	return e, ok, nil
}

// relation reads the description of a table, which comes before its first change and after each change of its definition.
func (d *decoder) relation(r *reader) {
	id := r.uint32()
	rel := &relation{schema: r.string(), name: r.string(), statements: map[string]string{}}
	rel.full = r.byte() == 'f'
	for n := int(r.uint16()); n > 0 && !r.bad; n-- {
		key := r.byte()&1 != 0
		rel.columns = append(rel.columns, streamColumn{name: r.string(), key: key})
		r.uint32() // type
		r.uint32() // and its modifier
	}
	d.relations[id] = rel
}

// reader takes a message apart. Once it meets the end too early it is bad.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) bytes(n int) []byte {
	if n < 0 || len(r.b) < n {
		r.bad, r.b = true, nil
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) string() string {
	for i, c := range r.b {
		if c == 0 {
			s := string(r.b[:i])
			r.b = r.b[i+1:]
			return s
		}
	}
	r.bad = true
	return ""
}

// tuple reads a row. The values are copies.
func (r *reader) tuple() []value {
	n := int(r.uint16())
	if r.bad {
		return nil
	}
	own := &reader{b: append([]byte(nil), r.b...)}
	values := make([]value, 0, n)
	for range n {
		v := value{kind: own.byte()}
		if v.kind == 't' {
			v.text = own.bytes(int(own.uint32()))
		}
		values = append(values, v)
	}
	r.b, r.bad = r.b[len(r.b)-len(own.b):], own.bad
	return values
}
