package copyfmt

import (
	"bytes"
	"strings"

	"github.com/trunkline/trunkline/internal/sql"
)

// lineEnd is how lines end. The first line decides for all.
type lineEnd byte

const (
	endUnknown lineEnd = iota
	endNL
	endCR
	endCRNL
)

// lineSplitter is what text and CSV have in common.
type lineSplitter struct {
	chunks
	options    Options
	fields     []Field
	end        lineEnd
	line       int64
	before     int64 // the line number at the end of the row before
	ended      bool  // the end-of-copy marker was met; what follows is ignored
	skipHeader bool
	special    bool   // the row at hand holds backslashes (text) or quotes (CSV)
	scratch    []byte // decoded values
	bounds     nullBounds
}

// Line implements Splitter.
func (s *lineSplitter) Line() int64 { return s.line }

// Header implements Splitter: the text formats need none.
func (s *lineSplitter) Header() []byte { return nil }

// Trailer implements Splitter.
func (s *lineSplitter) Trailer() []byte { return nil }

// nullBounds says whether an integer might be taken for the null or default marker.
type nullBounds struct{ numeric bool }

func (b *nullBounds) of(o *Options) {
	looks := func(s string) bool { return s != "" && strings.Trim(s, "-0123456789") == "" }
	b.numeric = looks(o.Null) || o.Default != nil && looks(*o.Default)
}

// take gives out data[start:contentEnd] as a row, rowEnd being the end of its line end.
func (s *lineSplitter) take(row *Row, contentEnd, rowEnd int) {
	row.Data = s.data[s.start:rowEnd]
	row.Content = contentEnd - s.start
	s.count(row)
	row.special = s.special
	s.start, s.pos = rowEnd, rowEnd
	s.special = false
}

// count numbers a row.
func (s *lineSplitter) count(row *Row) {
	row.Line, row.Lines, s.before = s.line, s.line-s.before, s.line
	row.LinesAlone = row.Lines
	if s.end == endNL {
		row.LinesAlone = 1
	}
}

// takeLast gives out a last row that has no line end, with one.
func (s *lineSplitter) takeLast(row *Row, contentEnd int) {
	content := s.data[s.start:contentEnd]
	data := append(make([]byte, 0, len(content)+2), content...)
	switch s.end {
	case endCR:
		data = append(data, '\r')
	case endCRNL:
		data = append(data, "\r\n"...)
	default:
		data = append(data, '\n')
	}
	row.Data, row.Content, row.special = data, len(content), s.special
	s.count(row)
	s.start, s.pos = len(s.data), len(s.data)
	s.special = false
}

// more says that the row at hand needs more data.
func (s *lineSplitter) more() (bool, error) {
	s.keep()
	return false, nil
}

// carriageReturn judges a line end that begins with the carriage return at i. It gives the line end's length; 0 if that depends
// on data still to come.
func (s *lineSplitter) carriageReturn(i int) (int, error) {
	if s.end == endUnknown || s.end == endCRNL {
		if i+1 >= len(s.data) && !s.finished {
			return 0, nil
		}
		if i+1 < len(s.data) && s.data[i+1] == '\n' {
			s.end = endCRNL
			return 2, nil
		}
		if s.end == endCRNL {
			return 0, s.carriageReturnError()
		}
		s.end = endCR
		return 1, nil
	}
	if s.end == endNL {
		return 0, s.carriageReturnError()
	}
	return 1, nil
}

// newline judges a line end that is a newline.
func (s *lineSplitter) newline() error {
	if s.end == endCR || s.end == endCRNL {
		if s.options.Format == CSV {
			return &sql.Error{Code: "22P04", Message: "unquoted newline found in data", Hint: "Use quoted CSV field to represent newline."}
		}
		return &sql.Error{Code: "22P04", Message: "literal newline found in data", Hint: `Use "\n" to represent newline.`}
	}
	s.end = endNL
	return nil
}

func (s *lineSplitter) carriageReturnError() error {
	if s.options.Format == CSV {
		return &sql.Error{Code: "22P04", Message: "unquoted carriage return found in data", Hint: "Use quoted CSV field to represent carriage return."}
	}
	return &sql.Error{Code: "22P04", Message: "literal carriage return found in data", Hint: `Use "\r" to represent carriage return.`}
}

// splitPlain gives the wanted fields of a row without anything to decode.
func (s *lineSplitter) splitPlain(row *Row) {
	content := row.Data[:row.Content]
	at, column := 0, 0
	for i, want := range s.options.Wanted {
		for column < want && at <= len(content) {
			next := bytes.IndexByte(content[at:], s.options.Delimiter)
			if next < 0 {
				at = len(content) + 1
				break
			}
			at += next + 1
			column++
		}
		if at > len(content) {
			s.fields[i] = Field{Missing: true}
			continue
		}
		end := bytes.IndexByte(content[at:], s.options.Delimiter)
		if end < 0 {
			end = len(content) - at
		}
		s.fields[i] = s.unquoted(i, content[at:at+end])
	}
}

// unquoted judges the raw text of a field that has no quotes.
func (s *lineSplitter) unquoted(i int, raw []byte) Field {
	switch {
	case string(raw) == s.options.Null && !(i < len(s.options.ForceNotNull) && s.options.ForceNotNull[i]):
		return Field{Null: true}
	case s.options.Default != nil && string(raw) == *s.options.Default:
		return Field{Default: true}
	}
	return Field{Value: raw}
}

// checkHeader compares a header line's fields with the columns' names.
func (s *lineSplitter) checkHeader(fields []Field) error {
	expected := s.options.Columns
	if len(fields) != len(expected) {
		return formatError("wrong number of fields in header line: got %d, expected %d", len(fields), len(expected))
	}
	for i, f := range fields {
		switch {
		case f.Null:
			return formatError("column name mismatch in header line field %d: got null value (\"%s\"), expected \"%s\"", i+1, s.options.Null, expected[i])
		case string(f.Value) != expected[i]:
			return formatError("column name mismatch in header line field %d: got \"%s\", expected \"%s\"", i+1, f.Value, expected[i])
		}
	}
	return nil
}

// isNull tells whether a field of a header line is the null marker.
func (s *lineSplitter) isNull(raw []byte) bool { return string(raw) == s.options.Null }
