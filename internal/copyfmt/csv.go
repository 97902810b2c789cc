package copyfmt

import "bytes"

// csvSplitter cuts up data in CSV format. For the end of a row PostgreSQL takes every quote for a switch between inside and
// outside, wherever in a field it stands; so does this.
type csvSplitter struct {
	lineSplitter
	inQuote bool
	all     []Field // split's answer
	escaped bool    // inside quotes, the last byte was an escape that takes the next along
}

// Next implements Splitter.
func (s *csvSplitter) Next(row *Row) (bool, error) {
	for {
		ok, err := s.next(row)
		if !ok {
			return false, err
		}
		if s.skipHeader {
			s.skipHeader = false
			if s.options.Header == HeaderMatch {
				fields, err := s.split(row.Data[:row.Content], -1)
				if err == nil {
					err = s.checkHeader(fields)
				}
				if err != nil {
					return false, &LineError{err, row.Data[:row.Content]}
				}
			}
			continue
		}
		switch {
		case len(s.options.Wanted) == 0:
		case row.special:
			if err := s.pick(row); err != nil {
				return false, &LineError{err, row.Data[:row.Content]}
			}
		default:
			s.splitPlain(row)
		}
		row.Fields = s.fields
		return true, nil
	}
}

// next finds the end of the row at hand.
func (s *csvSplitter) next(row *Row) (bool, error) {
	if s.ended {
		s.start = len(s.data)
		return false, nil
	}
	for {
		rest := s.data[s.pos:]
		newline := bytes.IndexByte(rest, '\n')
		segment := rest
		if newline >= 0 {
			segment = rest[:newline]
		}
		cr := bytes.IndexByte(segment, '\r')
		if cr >= 0 {
			segment = segment[:cr]
		}
		s.quotes(segment)
		s.pos += len(segment)
		switch {
		case cr >= 0:
			if s.inQuote {
				if s.end == endCR || s.end == endCRNL || s.end == endUnknown {
					s.line++
				}
				s.escaped = false
				s.pos++
				continue
			}
			size, err := s.carriageReturn(s.pos)
			if err != nil {
				s.line++
				return false, err
			}
			if size == 0 {
				return s.more()
			}
			s.line++
			if s.marker(s.pos) {
				continue
			}
			s.take(row, s.pos, s.pos+size)
			return true, nil
		case newline >= 0:
			if s.inQuote {
				if s.end == endNL {
					s.line++
				}
				s.escaped = false
				s.pos++
				continue
			}
			s.line++
			if err := s.newline(); err != nil {
				return false, err
			}
			if s.marker(s.pos) {
				continue
			}
			s.take(row, s.pos, s.pos+1)
			return true, nil
		case !s.finished:
			return s.more()
		case s.inQuote:
			s.line++
			return false, &LineError{formatError("unterminated CSV quoted field"), s.data[s.start:]}
		case s.start < len(s.data):
			s.line++
			s.takeLast(row, len(s.data))
			return true, nil
		default:
			return false, nil
		}
	}
}

// marker ends the data if the line that ends before i is the end-of-copy marker.
func (s *csvSplitter) marker(i int) bool {
	if s.options.NoMarkerInCSV || i-s.start != 2 || string(s.data[s.start:i]) != `\.` {
		return false
	}
	s.ended, s.finished = true, true
	s.data = s.data[:s.start]
	s.pos = s.start
	s.line--
	return true
}

// quotes brings the state up to date with a part of a row that holds no line end.
func (s *csvSplitter) quotes(segment []byte) {
	quote, escape := s.options.Quote, s.options.Escape
	if bytes.IndexByte(segment, quote) < 0 && (escape == quote || !s.inQuote) {
		return
	}
	s.special = true
	if escape == quote {
		if bytes.Count(segment, []byte{quote})&1 != 0 {
			s.inQuote = !s.inQuote
		}
		return
	}
	for _, c := range segment {
		if s.inQuote && c == escape {
			s.escaped = !s.escaped
		}
		if c == quote && !s.escaped {
			s.inQuote = !s.inQuote
		}
		if c != escape {
			s.escaped = false
		}
	}
}

// pick gives the wanted fields of a row with quotes.
func (s *csvSplitter) pick(row *Row) error {
	last := s.options.Wanted[len(s.options.Wanted)-1]
	all, err := s.split(row.Data[:row.Content], last)
	if err != nil {
		return err
	}
	for i, want := range s.options.Wanted {
		if want >= len(all) {
			s.fields[i] = Field{Missing: true}
			continue
		}
		f := all[want]
		quoted := f.Missing // by split's convention
		f.Missing = false
		switch {
		case !quoted:
			f = s.unquoted(i, f.Value)
		case i < len(s.options.ForceNull) && s.options.ForceNull[i] && string(f.Value) == s.options.Null:
			f = Field{Null: true}
		}
		s.fields[i] = f
	}
	return nil
}

// split decodes the fields of a row up to the one of index last, or all if that is negative. Missing tells of each whether it
// had quotes; Null is set for unquoted null markers.
func (s *csvSplitter) split(content []byte, last int) ([]Field, error) {
	if cap(s.scratch) < len(content) {
		s.scratch = make([]byte, 0, len(content))
	}
	value := s.scratch[:0]
	fields := s.all[:0]
	o := &s.options
	for i := 0; last < 0 || len(fields) <= last; i++ {
		start, quoted := len(value), false
		for i < len(content) && content[i] != o.Delimiter {
			if content[i] != o.Quote {
				value = append(value, content[i])
				i++
				continue
			}
			quoted = true
			closed := false
			for i++; i < len(content); i++ {
				c := content[i]
				if c == o.Escape && i+1 < len(content) && (content[i+1] == o.Escape || content[i+1] == o.Quote) {
					i++
					value = append(value, content[i])
					continue
				}
				if c == o.Quote {
					closed = true
					i++
					break
				}
				value = append(value, c)
			}
			if !closed {
				return nil, formatError("unterminated CSV quoted field")
			}
		}
		f := value[start:len(value):len(value)]
		fields = append(fields, Field{Value: f, Missing: quoted, Null: !quoted && s.isNull(f)})
		if i >= len(content) {
			break
		}
	}
	s.scratch, s.all = value[:0], fields
	return fields, nil
}

// Append implements Splitter. The values are quoted, so that they are never taken for a delimiter or a marker.
func (s *csvSplitter) Append(dst []byte, row *Row, extra []Value) []byte {
	dst = append(dst, row.Data[:row.Content]...)
	for _, v := range extra {
		if row.Content > 0 || len(s.options.Columns) > 0 {
			dst = append(dst, s.options.Delimiter)
		}
		if v.encoded != nil {
			dst = append(dst, v.encoded...)
			continue
		}
		dst = append(dst, s.options.Quote)
		dst = appendDecimal(dst, v.Integer)
		dst = append(dst, s.options.Quote)
	}
	return append(dst, row.Data[row.Content:]...)
}

// Encode implements Splitter.
func (s *csvSplitter) Encode(text []byte) Value {
	if text == nil {
		return Value{encoded: append([]byte{}, s.options.Null...)}
	}
	encoded := []byte{s.options.Quote}
	for _, c := range text {
		if c == s.options.Quote || c == s.options.Escape {
			encoded = append(encoded, s.options.Escape)
		}
		encoded = append(encoded, c)
	}
	return Value{encoded: append(encoded, s.options.Quote)}
}
