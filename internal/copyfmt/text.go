package copyfmt

import (
	"bytes"
)

// textSplitter cuts up data in text format.
type textSplitter struct{ lineSplitter }

// Next implements Splitter.
func (s *textSplitter) Next(row *Row) (bool, error) {
	for {
		ok, err := s.next(row)
		if !ok {
			return false, err
		}
		if s.skipHeader {
			s.skipHeader = false
			if s.options.Header == HeaderMatch {
				if err := s.checkHeader(s.split(row.Data[:row.Content])); err != nil {
					return false, &LineError{err, row.Data[:row.Content]}
				}
			}
			continue
		}
		switch {
		case len(s.options.Wanted) == 0:
		case row.special:
			s.pick(row)
		default:
			s.splitPlain(row)
		}
		row.Fields = s.fields
		return true, nil
	}
}

// next finds the end of the row at hand. A backslash takes the byte after it along, whatever that is.
func (s *textSplitter) next(row *Row) (bool, error) {
	if s.ended {
		s.start = len(s.data)
		return false, nil
	}
	for {
		end := len(s.data)
		newline := bytes.IndexByte(s.data[s.pos:], '\n')
		if newline >= 0 {
			end = s.pos + newline
		}
		escape := bytes.IndexByte(s.data[s.pos:end], '\\')
		if escape >= 0 {
			end = s.pos + escape
		}
		if cr := bytes.IndexByte(s.data[s.pos:end], '\r'); cr >= 0 {
			end = s.pos + cr
			size, err := s.carriageReturn(end)
			if err != nil {
				s.line++
				return false, err
			}
			if size == 0 {
				s.pos = end
				return s.more()
			}
			s.line++
			s.take(row, end, end+size)
			return true, nil
		}
		switch {
		case escape >= 0:
			s.special = true
			done, err := s.backslash(row, end)
			if err != nil || done == escapeRow {
				return done == escapeRow, err
			}
			if done == escapeMore {
				return s.more()
			}
		case newline >= 0:
			s.line++
			if err := s.newline(); err != nil {
				return false, err
			}
			s.take(row, end, end+1)
			return true, nil
		case !s.finished:
			s.pos = end
			return s.more()
		case s.start < end:
			s.line++
			s.takeLast(row, end)
			return true, nil
		default:
			return false, nil
		}
	}
}

// escapeResult is what became of a backslash.
type escapeResult byte

const (
	escapeSkipped escapeResult = iota // it was stepped over
	escapeMore                        // what it means depends on data still to come
	escapeRow                         // it ended the data, after a last row
)

// backslash looks at the backslash at i.
func (s *textSplitter) backslash(row *Row, i int) (escapeResult, error) {
	s.pos = i
	if i+1 >= len(s.data) {
		if !s.finished {
			return escapeMore, nil
		}
		// A backslash that ends the data stands for nothing.
		s.data = s.data[:i]
		return escapeSkipped, nil
	}
	if s.data[i+1] != '.' {
		s.pos = i + 2
		return escapeSkipped, nil
	}
	// \. and a line end: the end-of-copy marker. Data may stand before it in its line.
	after := i + 2
	if s.end == endCRNL {
		if after >= len(s.data) && !s.finished {
			return escapeMore, nil
		}
		switch {
		case after < len(s.data) && s.data[after] == '\n':
			return s.markerError("end-of-copy marker does not match previous newline style")
		case after >= len(s.data) || s.data[after] != '\r':
			return s.markerError("end-of-copy marker corrupt")
		}
		after++
	}
	if after >= len(s.data) && !s.finished {
		return escapeMore, nil
	}
	if after >= len(s.data) || s.data[after] != '\r' && s.data[after] != '\n' {
		return s.markerError("end-of-copy marker corrupt")
	}
	if c := s.data[after]; s.end == endNL && c != '\n' || s.end == endCRNL && c != '\n' || s.end == endCR && c != '\r' {
		return s.markerError("end-of-copy marker does not match previous newline style")
	}
	s.ended = true
	s.data = s.data[:i]
	if s.start == i {
		s.finished = true
		s.pos = i
		return escapeSkipped, nil // the caller finds the data ended
	}
	s.line++
	s.takeLast(row, i)
	return escapeRow, nil
}

func (s *textSplitter) markerError(message string) (escapeResult, error) {
	s.line++
	return 0, formatError("%s", message)
}

// pick gives the wanted fields of a row with backslashes.
func (s *textSplitter) pick(row *Row) {
	content := row.Data[:row.Content]
	s.scratch = s.scratch[:0]
	if cap(s.scratch) < len(content) {
		s.scratch = make([]byte, 0, len(content))
	}
	at, column := 0, 0
	for i, want := range s.options.Wanted {
		for ; column < want && at <= len(content); column++ {
			at = s.fieldEnd(content, at) + 1
		}
		if at > len(content) {
			s.fields[i] = Field{Missing: true}
			continue
		}
		raw := content[at:s.fieldEnd(content, at)]
		s.fields[i] = s.unquoted(i, raw)
		if s.fields[i].Value != nil && bytes.IndexByte(raw, '\\') >= 0 {
			start := len(s.scratch)
			s.scratch = unescape(s.scratch, raw)
			s.fields[i].Value = s.scratch[start:]
		}
	}
}

// fieldEnd gives the index of the delimiter that ends the field at at.
func (s *textSplitter) fieldEnd(content []byte, at int) int {
	for at < len(content) && content[at] != s.options.Delimiter {
		if content[at] == '\\' {
			at++
		}
		at++
	}
	return min(at, len(content))
}

// split gives all fields of a header line.
func (s *textSplitter) split(content []byte) []Field {
	var fields []Field
	for at := 0; at <= len(content); {
		end := s.fieldEnd(content, at)
		raw := content[at:end]
		fields = append(fields, Field{Value: unescape(nil, raw), Null: s.isNull(raw)})
		at = end + 1
	}
	return fields
}

// unescape decodes a field.
func unescape(dst, raw []byte) []byte {
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '\\' {
			dst = append(dst, c)
			continue
		}
		i++
		if i == len(raw) {
			break
		}
		switch c = raw[i]; c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'v':
			c = '\v'
		case '0', '1', '2', '3', '4', '5', '6', '7':
			value, end := 0, i
			for ; end < len(raw) && end < i+3 && raw[end] >= '0' && raw[end] <= '7'; end++ {
				value = value<<3 | int(raw[end]-'0')
			}
			c, i = byte(value), end-1
		case 'x':
			value, end := 0, i+1
			for ; end < len(raw) && end < i+3; end++ {
				digit, ok := hexDigit(raw[end])
				if !ok {
					break
				}
				value = value<<4 | digit
			}
			if end > i+1 {
				c, i = byte(value), end-1
			}
		}
		dst = append(dst, c)
	}
	return dst
}

func hexDigit(c byte) (int, bool) {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0'), true
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10, true
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10, true
	}
	return 0, false
}

// Append implements Splitter. Digits need no escape; but a marker is recognised by its raw text, so where one looks like a number
// the first digit is written as an escape, which no marker can match.
func (s *textSplitter) Append(dst []byte, row *Row, extra []Value) []byte {
	dst = append(dst, row.Data[:row.Content]...)
	for _, v := range extra {
		if row.Content > 0 || len(s.options.Columns) > 0 {
			dst = append(dst, s.options.Delimiter)
		}
		if v.encoded != nil {
			dst = append(dst, v.encoded...)
			continue
		}
		start := len(dst)
		dst = appendDecimal(dst, v.Integer)
		if s.bounds.numeric {
			rest := append([]byte(nil), dst[start+1:]...)
			dst = append(appendOctal(dst[:start], dst[start]), rest...)
		}
	}
	return append(dst, row.Data[row.Content:]...)
}

func appendOctal(dst []byte, c byte) []byte { return append(dst, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7) }

// Encode implements Splitter.
func (s *textSplitter) Encode(text []byte) Value {
	if text == nil {
		return Value{encoded: append([]byte{}, s.options.Null...)}
	}
	encoded := make([]byte, 0, len(text))
	for i, c := range text {
		// The first byte is always escaped, so that no marker matches; but not a part of a character.
		if i == 0 && c < 0x80 || c < ' ' || c == '\\' || c == s.options.Delimiter {
			encoded = appendOctal(encoded, c)
			continue
		}
		encoded = append(encoded, c)
	}
	return Value{encoded: encoded}
}
