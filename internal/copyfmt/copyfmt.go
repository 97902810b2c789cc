// Package copyfmt reads the data formats of COPY (text, CSV and binary; PostgreSQL manual, COPY, "File Formats") as far as a
// router needs to: where each row ends, and what the value of some of its columns is. Rows are never taken apart further, nor
// rewritten, except that values may be appended to them.
//
// It imports sql only. Read Splitter first.
package copyfmt

import (
	"encoding/binary"
	"strconv"

	"github.com/trunkline/trunkline/internal/sql"
)

// Format is a data format of COPY.
type Format byte

const (
	Text Format = iota
	CSV
	Binary
)

// Header says what the first line of the data is.
type Header byte

const (
	HeaderNone  Header = iota
	HeaderSkip         // not looked at
	HeaderMatch        // must hold the columns' names
)

// Options describe the data of one COPY FROM.
type Options struct {
	Format    Format
	Delimiter byte
	Null      string
	Default   *string // the marker of a column's default, nil if there is none
	Quote     byte    // CSV only
	Escape    byte    // CSV only
	Header    Header
	Columns   []string // the names of the columns in the data, for checks and error messages

	// Wanted are the columns whose values Row.Fields shall give, as ascending indexes into Columns.
	Wanted []int
	// ForceNull and ForceNotNull tell, parallel to Wanted, of which columns a quoted null marker is NULL and an unquoted one is
	// not. Nil means none.
	ForceNull, ForceNotNull []bool

	// NoMarkerInCSV says that a line of \. does not end CSV data (PostgreSQL 18 and later).
	NoMarkerInCSV bool
}

// SetDefaults fills in what depends on the format and was not given.
func (o *Options) SetDefaults(nullGiven bool) {
	if o.Delimiter == 0 {
		o.Delimiter = '\t'
		if o.Format == CSV {
			o.Delimiter = ','
		}
	}
	if !nullGiven && o.Format == Text {
		o.Null = `\N`
	}
	if o.Quote == 0 {
		o.Quote = '"'
	}
	if o.Escape == 0 {
		o.Escape = o.Quote
	}
}

// Field is the value of one column of a row: decoded in the text formats, as the client's binary representation otherwise.
type Field struct {
	Value   []byte // valid as long as the row is
	Null    bool
	Default bool // the column's default is asked for
	Missing bool // the row ends before this column
}

// Row is one row of the data.
type Row struct {
	// Data is the row as it came, its line end included. It is valid until the next Feed.
	Data []byte
	// Content is how much of Data precedes the line end; len(Data) in binary format.
	Content int
	// Line is the number that PostgreSQL reports for an error in this row: of its last line in text formats, of the row in binary.
	Line int64
	// Lines is how many lines, so counted, the row takes; LinesAlone is how many it would take as the first row of its data,
	// while PostgreSQL does not yet know how lines end and so misses newlines in quotes.
	Lines, LinesAlone int64
	// Fields are the wanted columns' values, valid until the next call of Next.
	Fields []Field

	special bool // holds backslashes (text) or quotes (CSV)
}

// Splitter cuts the data of a COPY FROM into rows. The data may arrive in chunks of any size: Feed it one, call Next until it
// gives false, and so on; then Finish, and call Next again until it gives false.
type Splitter interface {
	// Feed adds data. The chunk must stay unchanged until Next has given false; what is left of it then is copied.
	Feed(chunk []byte)
	// Finish says that there is no more data.
	Finish()
	// Next gives the next row, false if there is none before more data comes. Errors are *sql.Error, within a *LineError if they
	// are found in a line that had been read.
	Next(row *Row) (bool, error)
	// Line is the number of the line (or row) last looked at, for errors.
	Line() int64
	// Append adds to dst a row with further columns at its end.
	Append(dst []byte, row *Row, extra []Value) []byte
	// Encode makes a value to append of a text, or in binary format of the value's binary form; nil is NULL.
	Encode(text []byte) Value
	// Header is what must stand before the rows in each stream that they are cut into, Trailer what must stand after them.
	Header() []byte
	Trailer() []byte
}

// Value is a value of a column to be appended: either one that Encode has made, or else an integer of a type of Width (2, 4 or 8)
// bytes.
type Value struct {
	Integer int64
	Width   int
	encoded []byte
}

// New makes the splitter for a format.
func New(o Options) Splitter {
	fields := make([]Field, len(o.Wanted))
	if o.Format == Binary {
		return &binarySplitter{options: o, fields: fields, spans: make([]span, len(o.Wanted))}
	}
	lines := lineSplitter{options: o, fields: fields, skipHeader: o.Header != HeaderNone}
	lines.bounds.of(&o)
	if o.Format == CSV {
		return &csvSplitter{lineSplitter: lines}
	}
	return &textSplitter{lineSplitter: lines}
}

// chunks is what has been fed and not yet been given out as rows.
type chunks struct {
	data     []byte // unconsumed from start on; either the chunk last fed or carry
	carry    []byte
	carrying bool // data is carry
	start    int  // of the row at hand
	pos      int  // how far that row has been looked at
	finished bool
}

// Feed implements Splitter.
func (c *chunks) Feed(chunk []byte) {
	if c.start == len(c.data) {
		c.data, c.carrying = chunk, false
		c.pos -= c.start
		c.start = 0
		return
	}
	switch {
	case !c.carrying:
		c.carry = append(c.carry[:0], c.data[c.start:]...)
	case c.start > 0:
		c.carry = c.carry[:copy(c.carry, c.carry[c.start:])]
	}
	c.pos -= c.start
	c.start = 0
	c.carry = append(c.carry, chunk...)
	c.data, c.carrying = c.carry, true
}

// keep copies what is left of the chunk last fed, since that is about to change.
func (c *chunks) keep() {
	if !c.carrying && c.start < len(c.data) {
		c.Feed(nil)
	}
}

// Finish implements Splitter.
func (c *chunks) Finish() { c.finished = true }

// LineError is an error in the fields of a line, of which PostgreSQL shows the line.
type LineError struct {
	Err  error
	Line []byte
}

func (e *LineError) Error() string { return e.Err.Error() }
func (e *LineError) Unwrap() error { return e.Err }

func formatError(format string, args ...any) *sql.Error {
	return sql.Errorf("22P04", format, args...)
}

func appendDecimal(dst []byte, value int64) []byte { return strconv.AppendInt(dst, value, 10) }

func appendBinaryInteger(dst []byte, v Value) []byte {
	if v.encoded != nil {
		return append(dst, v.encoded...)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(v.Width))
	switch v.Width {
	case 2:
		return binary.BigEndian.AppendUint16(dst, uint16(v.Integer))
	case 4:
		return binary.BigEndian.AppendUint32(dst, uint32(v.Integer))
	}
	return binary.BigEndian.AppendUint64(dst, uint64(v.Integer))
}
