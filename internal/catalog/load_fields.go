package catalog

import (
	"fmt"
	"strconv"
)

// fields reads the values of a text row from left to right. The first value that cannot be read sets err.
type fields struct {
	row    [][]byte
	err    error
	intern map[string]string // names repeat a lot: one copy of each is kept
}

func (f *fields) next() []byte {
	if len(f.row) == 0 {
		if f.err == nil {
			f.err = fmt.Errorf("a row has too few columns")
		}
		return nil
	}
	v := f.row[0]
	f.row = f.row[1:]
	return v
}

// null tells whether the next value is NULL, without taking it.
func (f *fields) null() bool { return len(f.row) > 0 && f.row[0] == nil }

func (f *fields) skip() { f.next() }

// view is the next value as text that is valid only until the row is dropped.
func (f *fields) view() string { return string(f.next()) }

// text gives "" for NULL.
func (f *fields) text() string {
	v := f.next()
	if s, ok := f.intern[string(v)]; ok {
		return s
	}
	s := string(v)
	if len(s) <= 64 {
		f.intern[s] = s
	}
	return s
}

// byte gives the first byte of a "char", 0 for an empty one or NULL.
func (f *fields) byte() byte {
	if v := f.next(); len(v) > 0 {
		return v[0]
	}
	return 0
}

func (f *fields) bool() bool { return f.byte() == 't' }

func (f *fields) int64() int64 {
	v, err := strconv.ParseInt(string(f.next()), 10, 64)
	if err != nil && f.err == nil {
		f.err = err
	}
	return v
}

func (f *fields) int32() int32 { return int32(f.int64()) }

// oid gives 0 for NULL.
func (f *fields) oid() uint32 {
	if f.null() {
		f.skip()
		return 0
	}
	return uint32(f.int64())
}
