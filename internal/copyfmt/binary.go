package copyfmt

import (
	"bytes"
	"encoding/binary"
)

// signature begins binary data; then come flags and the length of an extension area.
const signature = "PGCOPY\n\xff\r\n\x00"

const binaryHeaderSize = len(signature) + 8

// span is where a wanted field lies within a row; size -1 means NULL.
type span struct{ start, size int }

// binarySplitter cuts up data in binary format.
type binarySplitter struct {
	chunks
	options    Options
	fields     []Field
	spans      []span
	headerDone bool
	ended      bool // the trailer was met
	line       int64
	left       int // fields of the row at hand still to be looked at; 0 between rows
	wanted     int // how many spans are known
}

// Line implements Splitter.
func (s *binarySplitter) Line() int64 { return s.line }

// Header implements Splitter.
func (s *binarySplitter) Header() []byte {
	return append([]byte(signature), make([]byte, 8)...)
}

// Trailer implements Splitter.
func (s *binarySplitter) Trailer() []byte { return []byte{0xff, 0xff} }

// Next implements Splitter.
func (s *binarySplitter) Next(row *Row) (bool, error) {
	if !s.headerDone {
		if ok, err := s.header(); !ok {
			return false, err
		}
	}
	if s.ended {
		if s.start < len(s.data) {
			return false, formatError("received copy data after EOF marker")
		}
		return false, nil
	}
	if s.left == 0 {
		if s.start == len(s.data) && s.finished {
			return false, nil // PostgreSQL, too, takes the end of the data for the trailer
		}
		if len(s.data)-s.start < 2 {
			return s.more()
		}
		s.line++
		count := int(int16(binary.BigEndian.Uint16(s.data[s.start:])))
		if count == -1 {
			s.ended = true
			s.start += 2
			s.line--
			return s.Next(row)
		}
		if count != len(s.options.Columns) {
			return false, formatError("row field count is %d, expected %d", count, len(s.options.Columns))
		}
		s.pos = s.start + 2
		s.left = count
		s.wanted = 0
	}
	for s.left > 0 {
		if len(s.data)-s.pos < 4 {
			s.pos = min(s.pos, len(s.data))
			return s.more()
		}
		size := int(int32(binary.BigEndian.Uint32(s.data[s.pos:])))
		if size < -1 {
			return false, formatError("invalid field size")
		}
		if len(s.data)-s.pos-4 < max(size, 0) {
			return s.more()
		}
		if s.wanted < len(s.spans) && s.options.Wanted[s.wanted] == len(s.options.Columns)-s.left {
			s.spans[s.wanted] = span{s.pos + 4 - s.start, size}
			s.wanted++
		}
		s.pos += 4 + max(size, 0)
		s.left--
	}
	row.Data = s.data[s.start:s.pos]
	row.Content = len(row.Data)
	row.Line, row.Lines, row.LinesAlone = s.line, 1, 1
	for i, at := range s.spans {
		s.fields[i] = Field{Null: at.size < 0}
		if at.size >= 0 {
			s.fields[i].Value = row.Data[at.start : at.start+at.size]
		}
	}
	row.Fields = s.fields
	s.start = s.pos
	return true, nil
}

func (s *binarySplitter) more() (bool, error) {
	if s.finished {
		return false, formatError("unexpected EOF in COPY data")
	}
	s.keep()
	return false, nil
}

// header consumes the file header.
func (s *binarySplitter) header() (bool, error) {
	data := s.data[s.start:]
	known := min(len(data), len(signature))
	if !bytes.Equal(data[:known], []byte(signature)[:known]) || known < len(signature) && s.finished {
		return false, formatError("COPY file signature not recognized")
	}
	if len(data) < binaryHeaderSize {
		if s.finished {
			return false, formatError("invalid COPY file header (missing flags)")
		}
		s.keep()
		return false, nil
	}
	flags := binary.BigEndian.Uint32(data[len(signature):])
	if flags&(1<<16) != 0 {
		return false, formatError("invalid COPY file header (WITH OIDS)")
	}
	if flags>>17 != 0 {
		return false, formatError("unrecognized critical flags in COPY file header")
	}
	extension := int(int32(binary.BigEndian.Uint32(data[len(signature)+4:])))
	if extension < 0 {
		return false, formatError("invalid COPY file header (missing length)")
	}
	if len(data) < binaryHeaderSize+extension {
		if s.finished {
			return false, formatError("invalid COPY file header (wrong length)")
		}
		s.keep()
		return false, nil
	}
	s.start += binaryHeaderSize + extension
	s.pos = s.start
	s.headerDone = true
	return true, nil
}

// Append implements Splitter.
func (s *binarySplitter) Append(dst []byte, row *Row, extra []Value) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(s.options.Columns)+len(extra)))
	dst = append(dst, row.Data[2:]...)
	for _, v := range extra {
		dst = appendBinaryInteger(dst, v)
	}
	return dst
}

// Encode implements Splitter.
func (s *binarySplitter) Encode(form []byte) Value {
	if form == nil {
		return Value{encoded: []byte{0xff, 0xff, 0xff, 0xff}}
	}
	return Value{encoded: append(binary.BigEndian.AppendUint32(nil, uint32(len(form))), form...)}
}
