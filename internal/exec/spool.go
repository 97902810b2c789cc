package exec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"

	"github.com/trunkline/trunkline/internal/sql"
)

const (
	spoolMemory = 4 << 20 // beyond this a spool continues in a file
	spoolStride = 64      // every so many rows a spool remembers where the row begins
)

// Spool keeps rows, as whole DataRow messages, for later: in memory while they are few, then in a temporary file.
// It is not safe for concurrent use.
type Spool struct {
	max    int64 // bytes; 0 for no bound
	keep   int   // bytes kept in memory
	memory []byte
	file   *os.File
	filed  int64 // bytes in file; memory holds what follows them
	rows   int64
	starts []int64 // offset of every spoolStride-th row

	window      []byte // what Row read last from the file
	windowStart int64
}

// errTooLarge says that an intermediate result has more bytes than the session allows.
var errTooLarge = &sql.Error{
	Code:    "54000",
	Message: "the intermediate result size exceeds citus.max_intermediate_result_size",
	Detail:  "Trunkline restricts the size of intermediate results of complex subqueries and CTEs to avoid accidentally pulling large result sets into one place.",
	Hint:    "To run the current query, set citus.max_intermediate_result_size to a higher value or -1 to disable.",
}

// NewSpool makes an empty spool. When its rows exceed max bytes, Add fails with 54000; 0 means no bound.
func NewSpool(max int64) *Spool { return &Spool{max: max, keep: spoolMemory} }

// Len is the number of rows kept.
func (s *Spool) Len() int64 { return s.rows }

// Size is the number of bytes kept.
func (s *Spool) Size() int64 { return s.filed + int64(len(s.memory)) }

// Add keeps a copy of a DataRow message.
func (s *Spool) Add(raw []byte) error {
	if s.max > 0 && s.Size()+int64(len(raw)) > s.max {
		return errTooLarge
	}
	if s.rows%spoolStride == 0 {
		s.starts = append(s.starts, s.Size())
	}
	s.memory = append(s.memory, raw...)
	s.rows++
	if len(s.memory) > s.keep {
		return s.spill()
	}
	return nil
}

func (s *Spool) spill() error {
	if s.file == nil {
		file, err := os.CreateTemp("", "trunkline-rows-*")
		if err != nil {
			return sql.Errorf("58030", "could not create a temporary file: %v", err)
		}
		// Unlinked at once, so that nothing is left behind however the process ends.
		if err := os.Remove(file.Name()); err != nil {
			file.Close()
			return sql.Errorf("58030", "could not unlink a temporary file: %v", err)
		}
		s.file = file
	}
	n, err := s.file.WriteAt(s.memory, s.filed)
	if err != nil {
		return sql.Errorf("53100", "could not write to a temporary file: %v", err)
	}
	s.filed += int64(n)
	s.memory = s.memory[:0]
	return nil
}

// Each calls f with every row in order. The slice is valid during the call only.
func (s *Spool) Each(f func(raw []byte) error) error { return s.Range(0, s.rows, f) }

// Range is Each for the rows from from up to but not including to.
func (s *Spool) Range(from, to int64, f func(raw []byte) error) error {
	for i := from / spoolStride * spoolStride; i < to; {
		chunk, err := s.chunk(i)
		if err != nil {
			return err
		}
		for len(chunk) > 0 && i < to {
			n := rowLength(chunk)
			if i >= from {
				if err := f(chunk[:n]); err != nil {
					return err
				}
			}
			chunk = chunk[n:]
			i++
		}
	}
	return nil
}

// Row gives row i, counted from 0. The slice is valid until the next call.
func (s *Spool) Row(i int64) ([]byte, error) {
	chunk, err := s.chunk(i / spoolStride * spoolStride)
	if err != nil {
		return nil, err
	}
	for skip := i % spoolStride; skip > 0; skip-- {
		chunk = chunk[rowLength(chunk):]
	}
	return chunk[:rowLength(chunk)], nil
}

// chunk gives the rows from row i, a multiple of spoolStride, up to the next one.
func (s *Spool) chunk(i int64) ([]byte, error) {
	start, end := s.starts[i/spoolStride], s.Size()
	if next := i/spoolStride + 1; next < int64(len(s.starts)) {
		end = s.starts[next]
	}
	if start >= s.filed {
		return s.memory[start-s.filed : end-s.filed], nil
	}
	if s.window != nil && s.windowStart == start && int64(len(s.window)) == end-start {
		return s.window, nil
	}
	if int64(cap(s.window)) < end-start {
		s.window = make([]byte, end-start)
	}
	s.window, s.windowStart = s.window[:end-start], start
	onDisk := min(end, s.filed) - start
	if _, err := s.file.ReadAt(s.window[:onDisk], start); err != nil && !errors.Is(err, io.EOF) {
		s.window = nil
		return nil, sql.Errorf("58030", "could not read from a temporary file: %v", err)
	}
	if end > s.filed {
		copy(s.window[onDisk:], s.memory[:end-s.filed])
	}
	return s.window, nil
}

// Close gives up the rows.
func (s *Spool) Close() {
	if s.file != nil {
		s.file.Close()
	}
	*s = Spool{max: s.max, keep: s.keep}
}

// rowLength is the length of the whole message that b begins with.
func rowLength(b []byte) int64 { return 1 + int64(binary.BigEndian.Uint32(b[1:])) }

// splitRow gives the values of a DataRow message; nil is NULL. The values alias raw.
func splitRow(raw []byte, into [][]byte) ([][]byte, error) {
	if len(raw) < 7 {
		return nil, errShortRow
	}
	n := int(binary.BigEndian.Uint16(raw[5:]))
	into = into[:0]
	rest := raw[7:]
	for range n {
		if len(rest) < 4 {
			return nil, errShortRow
		}
		length := int32(binary.BigEndian.Uint32(rest))
		rest = rest[4:]
		if length < 0 {
			into = append(into, nil)
			continue
		}
		if int(length) > len(rest) {
			return nil, errShortRow
		}
		into = append(into, rest[:length:length])
		rest = rest[length:]
	}
	return into, nil
}

var errShortRow = errors.New("a DataRow message is shorter than it says")

// AppendRow writes a DataRow message of the given values; nil is NULL.
func AppendRow(dst []byte, values ...[]byte) []byte { return appendRow(dst, values) }

// appendRow writes a DataRow message.
func appendRow(dst []byte, values [][]byte) []byte {
	start := len(dst)
	dst = append(dst, 'D', 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(values)))
	for _, v := range values {
		if v == nil {
			dst = append(dst, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(v)))
		dst = append(dst, v...)
	}
	binary.BigEndian.PutUint32(dst[start+1:], uint32(len(dst)-start-1))
	return dst
}

// cutRow removes the last n values of a DataRow message, in place.
func cutRow(raw []byte, n int) ([]byte, error) {
	if n == 0 {
		return raw, nil
	}
	if len(raw) < 7 {
		return nil, errShortRow
	}
	keep := int(binary.BigEndian.Uint16(raw[5:])) - n
	if keep < 0 {
		return nil, errShortRow
	}
	end := 7
	for range keep {
		if len(raw) < end+4 {
			return nil, errShortRow
		}
		length := int32(binary.BigEndian.Uint32(raw[end:]))
		end += 4 + max(int(length), 0)
	}
	if end > len(raw) {
		return nil, errShortRow
	}
	binary.BigEndian.PutUint16(raw[5:], uint16(keep))
	binary.BigEndian.PutUint32(raw[1:], uint32(end-1))
	return raw[:end], nil
}

// CutRow takes the last n values off a row. What is left aliases raw, which is changed.
func CutRow(raw []byte, n int) (row []byte, values [][]byte, err error) {
	all, err := splitRow(raw, nil)
	if err != nil {
		return nil, nil, err
	}
	if len(all) < n {
		return nil, nil, errShortRow
	}
	for _, v := range all[len(all)-n:] {
		values = append(values, bytes.Clone(v))
	}
	row, err = cutRow(raw, n)
	return row, values, err
}
