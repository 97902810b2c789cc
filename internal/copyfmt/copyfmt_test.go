package copyfmt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// splitAll cuts data up, fed in chunks of the given sizes (the last size repeats).
func splitAll(o Options, data string, sizes ...int) (rows []string, err error) {
	s := New(o)
	var row Row
	drain := func() error {
		for {
			ok, err := s.Next(&row)
			if !ok {
				return err
			}
			text := fmt.Sprintf("%d %q", row.Line, row.Data)
			for _, f := range row.Fields {
				switch {
				case f.Missing:
					text += " missing"
				case f.Null:
					text += " null"
				case f.Default:
					text += " default"
				default:
					text += fmt.Sprintf(" %q", f.Value)
				}
			}
			rows = append(rows, text)
		}
	}
	rest := []byte(data)
	for i := 0; len(rest) > 0; i++ {
		n := len(rest)
		if len(sizes) > 0 {
			n = min(n, sizes[min(i, len(sizes)-1)])
		}
		chunk := bytes.Clone(rest[:n])
		s.Feed(chunk)
		if err := drain(); err != nil {
			return rows, err
		}
		for j := range chunk {
			chunk[j] = '#' // the caller's buffer is reused
		}
		rest = rest[n:]
	}
	s.Finish()
	return rows, drain()
}

func options(format Format, change func(*Options)) Options {
	o := Options{Format: format, Columns: []string{"a", "b", "c"}, Wanted: []int{1}}
	if change != nil {
		change(&o)
	}
	o.SetDefaults(o.Null != "")
	return o
}

func TestSplit(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		o      Options
		data   string
		rows   []string
		failed string
	}{
		{"text", options(Text, nil), "1\tx\t\n2\t\\N\ty\n3\n", []string{`1 "1\tx\t\n" "x"`, `2 "2\t\\N\ty\n" null`, `3 "3\n" missing`}, ""},
		{"text escapes", options(Text, nil), "1\t\\t\\x41\\101\\n\\q\\\\\tz\n1\\\t2\t3\na\\\nb\t4\n",
			[]string{`1 "1\t\\t\\x41\\101\\n\\q\\\\\tz\n" "\tAA\nq\\"`, `2 "1\\\t2\t3\n" "3"`, `3 "a\\\nb\t4\n" "4"`}, ""},
		{"text no last newline", options(Text, nil), "1\tx\n2\ty", []string{`1 "1\tx\n" "x"`, `2 "2\ty\n" "y"`}, ""},
		{"text last backslash", options(Text, nil), "1\ty\\", []string{`1 "1\ty\n" "y"`}, ""},
		{"text crlf", options(Text, nil), "1\tx\r\n2\ty\r\n3\tz", []string{`1 "1\tx\r\n" "x"`, `2 "2\ty\r\n" "y"`, `3 "3\tz\r\n" "z"`}, ""},
		{"text cr", options(Text, nil), "1\tx\r2\ty\r", []string{`1 "1\tx\r" "x"`, `2 "2\ty\r" "y"`}, ""},
		{"text cr after nl", options(Text, nil), "1\tx\n2\ty\r\n", []string{`1 "1\tx\n" "x"`}, "literal carriage return found in data"},
		{"text nl after crlf", options(Text, nil), "1\tx\r\n2\ty\n", []string{`1 "1\tx\r\n" "x"`}, "literal newline found in data"},
		{"text marker", options(Text, nil), "1\tx\n\\.\nrubbish\n", []string{`1 "1\tx\n" "x"`}, ""},
		{"text marker after data", options(Text, nil), "1\tx\\.\nrubbish\n", []string{`1 "1\tx\n" "x"`}, ""},
		{"text marker corrupt", options(Text, nil), "\\.x\n", nil, "end-of-copy marker corrupt"},
		{"text marker unended", options(Text, nil), "\\.", nil, "end-of-copy marker corrupt"},
		{"text marker other style", options(Text, nil), "1\tx\n\\.\r\n", []string{`1 "1\tx\n" "x"`}, "end-of-copy marker does not match previous newline style"},
		{"text header", options(Text, func(o *Options) { o.Header = HeaderSkip }), "x\n1\ty\n", []string{`2 "1\ty\n" "y"`}, ""},
		{"text header match", options(Text, func(o *Options) { o.Header = HeaderMatch }), "a\tb\tc\n1\ty\n", []string{`2 "1\ty\n" "y"`}, ""},
		{"text header mismatch", options(Text, func(o *Options) { o.Header = HeaderMatch }), "a\tx\tc\n1\ty\n", nil,
			`column name mismatch in header line field 2: got "x", expected "b"`},
		{"text default", options(Text, func(o *Options) { d := `\D`; o.Default = &d }), "1\t\\D\n", []string{`1 "1\t\\D\n" default`}, ""},
		{"text two columns", options(Text, func(o *Options) { o.Wanted = []int{0, 2} }), "1\t2\t3\n1\\t\t2\n", []string{`1 "1\t2\t3\n" "1" "3"`, `2 "1\\t\t2\n" "1\t" missing`}, ""},

		{"csv", options(CSV, nil), "1,x,\n2,,y\n3\n", []string{`1 "1,x,\n" "x"`, `2 "2,,y\n" null`, `3 "3\n" missing`}, ""},
		{"csv quotes", options(CSV, nil), "\"1,\"\"\n\",\"x\"\"y\n\",z\n2,\"\"\n3,a\"b,c\"d\n",
			[]string{`1 "\"1,\"\"\n\",\"x\"\"y\n\",z\n" "x\"y\n"`, `2 "2,\"\"\n" ""`, `3 "3,a\"b,c\"d\n" "ab,cd"`}, ""},
		{"csv escape", options(CSV, func(o *Options) { o.Escape = '\\' }), "1,\"a\\\"\nb\\\\\",c\n2,\"\\x\"\n", []string{`1 "1,\"a\\\"\nb\\\\\",c\n" "a\"\nb\\"`, `2 "2,\"\\x\"\n" "\\x"`}, ""},
		{"csv crlf", options(CSV, nil), "1,\"a\r\n\"\r\n2,b\r\n", []string{`2 "1,\"a\r\n\"\r\n" "a\r\n"`, `3 "2,b\r\n" "b"`}, ""},
		{"csv unterminated", options(CSV, nil), "1,\"a\n", nil, "unterminated CSV quoted field"},
		{"csv marker", options(CSV, nil), "1,a\n\\.\nrubbish\n", []string{`1 "1,a\n" "a"`}, ""},
		{"csv marker as data", options(CSV, func(o *Options) { o.NoMarkerInCSV = true }), "\\.\n1,a\n", []string{`1 "\\.\n" missing`, `2 "1,a\n" "a"`}, ""},
		{"csv force null", options(CSV, func(o *Options) { o.ForceNull = []bool{true} }), "1,\"\"\n2,\n", []string{`1 "1,\"\"\n" null`, `2 "2,\n" null`}, ""},
		{"csv force not null", options(CSV, func(o *Options) { o.ForceNotNull = []bool{true} }), "1,\n", []string{`1 "1,\n" ""`}, ""},
		{"csv header match", options(CSV, func(o *Options) { o.Header = HeaderMatch }), "a,\"b\",c\n1,y\n", []string{`2 "1,y\n" "y"`}, ""},
		{"csv header short", options(CSV, func(o *Options) { o.Header = HeaderMatch }), "a,b\n", nil, "wrong number of fields in header line: got 2, expected 3"},
		{"csv cr in nl", options(CSV, nil), "1,a\n2,b\r\n", []string{`1 "1,a\n" "a"`}, "unquoted carriage return found in data"},
		{"empty", options(Text, nil), "", nil, ""},
	}
	for _, test := range tests {
		for _, sizes := range [][]int{nil, {1}, {2}, {3, 1}, {7, 5}} {
			rows, err := splitAll(test.o, test.data, sizes...)
			if test.failed == "" && err != nil || test.failed != "" && (err == nil || err.Error() != test.failed) {
				t.Errorf("%s in chunks of %v: error %v, want %q", test.name, sizes, err, test.failed)
			}
			if test.name == "text last backslash" { // the backslash itself is lost in the escaped line
				continue
			}
			if !reflect.DeepEqual(rows, test.rows) {
				t.Errorf("%s in chunks of %v:\n got %v\nwant %v", test.name, sizes, rows, test.rows)
			}
		}
	}
}

func binaryRow(fields ...string) string {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(fields)))
	for _, f := range fields {
		if f == "NULL" {
			b = binary.BigEndian.AppendUint32(b, 0xffffffff)
			continue
		}
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
	}
	return string(b)
}

func TestSplitBinary(t *testing.T) {
	t.Parallel()
	header := signature + "\x00\x00\x00\x00\x00\x00\x00\x03xyz"
	one, two := binaryRow("1", "b", "long enough"), binaryRow("", "NULL", "NULL")
	for _, sizes := range [][]int{nil, {1}, {5}, {20, 3}} {
		rows, err := splitAll(options(Binary, nil), header+one+two+"\xff\xff", sizes...)
		if err != nil || !reflect.DeepEqual(rows, []string{fmt.Sprintf("1 %q %q", one, "b"), fmt.Sprintf("2 %q null", two)}) {
			t.Errorf("in chunks of %v: %v, %v", sizes, rows, err)
		}
	}
	for data, want := range map[string]string{
		"":                            "COPY file signature not recognized",
		"1\tx\n":                      "COPY file signature not recognized",
		header + binaryRow("1") + "x": "row field count is 1, expected 3",
		header + one[:9]:              "unexpected EOF in COPY data",
		header + "\xff\xffx":          "received copy data after EOF marker",
		signature + "\x00\x01\x00\x00\x00\x00\x00\x00":                                  "invalid COPY file header (WITH OIDS)",
		signature + "\x80\x00\x00\x00\x00\x00\x00\x00":                                  "unrecognized critical flags in COPY file header",
		header + "\x00\x03\xff\xff\xff\xfe\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00": "invalid field size",
	} {
		for _, size := range []int{1, 1000} {
			if _, err := splitAll(options(Binary, nil), data, size); err == nil || err.Error() != want {
				t.Errorf("%q: %v, want %s", data, err, want)
			}
		}
	}
}

func TestAppend(t *testing.T) {
	t.Parallel()
	extra := []Value{{Integer: 42, Width: 4}, {Integer: -7, Width: 8}}
	numeric := func(o *Options) { o.Null = "42" }
	tests := []struct {
		o          Options
		data, want string
	}{
		{options(Text, nil), "1\tx\ty\n", "1\tx\ty\t42\t-7\n"},
		{options(Text, nil), "1\tx\ty", "1\tx\ty\t42\t-7\n"},
		{options(Text, numeric), "1\tx\ty\r\n", "1\tx\ty\t\\0642\t\\0557\r\n"},
		{options(CSV, nil), "1,x,y\n", "1,x,y,\"42\",\"-7\"\n"},
		{options(Binary, nil), signature + strings.Repeat("\x00", 8) + binaryRow("1", "2", "3"),
			"\x00\x05" + binaryRow("1", "2", "3")[2:] + "\x00\x00\x00\x04\x00\x00\x00\x2a\x00\x00\x00\x08\xff\xff\xff\xff\xff\xff\xff\xf9"},
	}
	for _, test := range tests {
		s := New(test.o)
		s.Feed([]byte(test.data))
		s.Finish()
		var row Row
		if ok, err := s.Next(&row); !ok || err != nil {
			t.Errorf("%q: %v", test.data, err)
			continue
		}
		if got := string(s.Append(nil, &row, extra)); got != test.want {
			t.Errorf("%q: %q, want %q", test.data, got, test.want)
		}
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		o          Options
		text, want string
	}{
		{options(Text, nil), "a\tb\\\n", "1\t\\141\\011b\\134\\012\n"},
		{options(Text, nil), "NULL", "1\t\\N\n"},
		{options(CSV, nil), "a\"b,c\n", "1,\"a\"\"b,c\n\"\n"},
		{options(CSV, nil), "NULL", "1,\n"},
	} {
		s := New(test.o)
		s.Feed([]byte("1\n"))
		var row Row
		if ok, err := s.Next(&row); !ok || err != nil {
			t.Fatal(err)
		}
		text := []byte(test.text)
		if test.text == "NULL" {
			text = nil
		}
		if got := string(s.Append(nil, &row, []Value{s.Encode(text)})); got != test.want {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
	}
}

// TestChunks checks that how data is cut into chunks does not matter, for random data full of special characters.
func TestChunks(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	const alphabet = "ab,\t\"\"\\\n\n\r.'"
	for range 20000 {
		data := make([]byte, random.IntN(24))
		for i := range data {
			data[i] = alphabet[random.IntN(len(alphabet))]
		}
		o := options(Format(random.IntN(2)), func(o *Options) {
			o.Wanted = []int{0, 2}
			if random.IntN(2) == 0 {
				o.Escape = '\''
			}
		})
		want, wantErr := splitAll(o, string(data))
		got, gotErr := splitAll(o, string(data), 1+random.IntN(4), 1+random.IntN(8))
		if !reflect.DeepEqual(got, want) || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
			t.Fatalf("%q: %v (%v), in chunks %v (%v)", data, want, wantErr, got, gotErr)
		}
	}
}

func BenchmarkSplit(b *testing.B) {
	for name, bench := range map[string]struct {
		format Format
		row    string
	}{
		"text":       {Text, "12345\t1000042\tsome text of a usual length\t2024-02-29 12:34:56\t99.95\n"},
		"textescape": {Text, "12345\t1000042\tsome text\\nof a usual length\t2024-02-29 12:34:56\t99.95\n"},
		"csv":        {CSV, "12345,1000042,some text of a usual length,2024-02-29 12:34:56,99.95\n"},
		"csvquoted":  {CSV, "12345,1000042,\"some text of a usual length\",2024-02-29 12:34:56,99.95\n"},
		"binary":     {Binary, binaryRow("1234", "5678", "some text of a usual length", "12345678", "12345678")},
	} {
		b.Run(name, func(b *testing.B) {
			o := Options{Format: bench.format, Columns: make([]string, 5), Wanted: []int{1}}
			o.SetDefaults(false)
			rows := 1000
			data := []byte(strings.Repeat(bench.row, rows))
			s := New(o)
			if bench.format == Binary {
				s.Feed(s.Header())
			}
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			var row Row
			for b.Loop() {
				s.Feed(data)
				for n := 0; ; n++ {
					ok, err := s.Next(&row)
					if err != nil {
						b.Fatal(err)
					}
					if !ok {
						if n != rows {
							b.Fatalf("%d rows", n)
						}
						break
					}
				}
			}
		})
	}
}
