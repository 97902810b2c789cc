package sql

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	pg "github.com/pganalyze/pg_query_go/v6"
)

func TestScan(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text   string
		key    string // \x01 int, \x02 bigint, \x03 numeric, \x04 string, \x05 bits
		values []string
	}{
		{"SELECT abalance FROM pgbench_accounts WHERE aid = 42;", "select abalance from pgbench_accounts where aid = \x01", []string{"42"}},
		{"select -1-2", "select - \x01 - \x01", []string{"1", "2"}},
		{"SELECT a@-1, a*-1, a@>-1", "select a @- \x01 , a * - \x01 , a @>- \x01", []string{"1", "1", "1"}},
		{"select 1 -- one\n/* a /* b */ c */+2", "select \x01 + \x01", []string{"1", "2"}},
		{"select a/*b*/*c", "select a * c", nil},
		{"select /*+ SeqScan(t) */ 1", "select /*+ SeqScan(t) */ \x01", []string{"1"}},
		{"select 2147483647, 2147483648, 9223372036854775808", "select \x01 , \x02 , \x03", []string{"2147483647", "2147483648", "9223372036854775808"}},
		{"select 0x1F, 0o17, 0b101, 1_000, 1_0.5_0e1_0, 007", "select \x01 , \x01 , \x01 , \x01 , \x03 , \x01", []string{"31", "15", "5", "1000", "10.50e10", "7"}},
		{"x[1..2]", "x [ \x01 .. \x01 ]", []string{"1", "2"}},
		{"select .5, 1., 1.e3", "select \x03 , \x03 , \x03", []string{".5", "1.", "1.e3"}},
		{"select 'it''s', 'a'\n\n 'b', e'\\x41\\n\\'\\u00e9\\ud83d\\ude00\\101', U&'d\\0061t\\+000061', $$x$y$$, $a$b$$c$a$",
			"select \x04 , \x04 , \x04 , \x04 , \x04 , \x04", []string{"it's", "ab", "A\n'é😀A", "data", "x$y", "b$$c"}},
		{"select B'01', x'1aF', n'x', n 'x'", "select \x05 , \x05 , n' \x04 , n \x04", []string{"01", "000110101111", "x", "x"}},
		{`select "A""b".C, été$1`, `select "A""b" . c , été$1`, nil},
		{"select $1::int, $12 :: text", "select $1 :: int , $12 :: text", nil},
		{";; select 1;; ;select 2 ; ", "select \x01 ; select \x01", []string{"1", "2"}},
		{"call f(a := 1, b => 2)", "call f ( a := \x01 , b => \x01 )", []string{"1", "2"}},
		{"select a<=b, a<>b, a!=b, a>=-b, a->>'k', a ?| b, a!=-1", "select a <= b , a <> b , a != b , a >= - b , a ->> \x04 , a ?| b , a !=- \x01", []string{"k", "1"}},
		{"  ", "", nil},
	}
	var s Scanned
	for _, test := range tests {
		if !Scan(test.text, &s) {
			t.Errorf("%q: refused", test.text)
			continue
		}
		if string(s.Key) != test.key {
			t.Errorf("%q: key %q, want %q", test.text, s.Key, test.key)
		}
		if len(s.Literals) != len(test.values) {
			t.Errorf("%q: %d literals, want %d", test.text, len(s.Literals), len(test.values))
			continue
		}
		for i, literal := range s.Literals {
			if value := LiteralText(test.text, literal); value != test.values[i] {
				t.Errorf("%q: value %q, want %q", test.text, value, test.values[i])
			}
		}
	}
}

func TestScanFindsParams(t *testing.T) {
	t.Parallel()
	text := `select $1, '$2', "$3", x$4, /* $5 */ $12::int, $$$6$$, $1`
	var s Scanned
	for range 2 { // the second time with the buffers of the first
		if !Scan(text, &s) {
			t.Fatal("refused")
		}
		var found []string
		for _, p := range s.Parameters {
			found = append(found, text[p.Start:p.End]+"="+strconv.Itoa(p.Number))
		}
		if got := strings.Join(found, " "); got != "$1=1 $12=12 $1=1" || s.Params != 12 {
			t.Fatal(got, s.Params)
		}
	}
}

func TestScanRefuses(t *testing.T) {
	t.Parallel()
	var s Scanned
	for _, text := range []string{"'", "select 'a", `"`, `""`, "/* /* */", "$$", "$a$ $b$", "1a", "1e", "1e+", "0x", "0xg", "1_", "1__0", "0b12", "$1a",
		"$99999999999", `E'\u12'`, `E'\ud83d'`, `E'\ud83dx'`, `E'\0'`, `E'\xff'`, `E'\`, `U&'\00'`, `U&'a' UESCAPE '!'`, `U&"a" uescape '!'`, "B'2'", "X'g'",
		"select {", `\`, "a\x00", "a\x01"} {
		if Scan(text, &s) {
			t.Errorf("%q: accepted with key %q", text, s.Key)
		}
	}
}

func TestScanCounts(t *testing.T) {
	t.Parallel()
	var s Scanned
	for text, want := range map[string]int{"": 0, " ; -- x\n": 0, "a": 1, "a;": 1, "a;b": 2, ";a;;b;": 2, "create rule r as on insert to t do (a; b)": 1, "';';\";\"": 2} {
		if !Scan(text, &s) || s.Statements != want {
			t.Errorf("%q: %d statements, want %d", text, s.Statements, want)
		}
	}
	if Scan(`select $3, $1, '\'`, &s); s.Params != 3 || !s.NeedsStandardStrings {
		t.Errorf("%+v", s)
	}
}

// expectedScan builds what Scan should give from the tokens of PostgreSQL's own scanner.
func expectedScan(text string) (key string, literals []Literal, ok bool) {
	result, err := pg.Scan(text)
	if err != nil {
		return "", nil, false
	}
	var tokens []string
	separator := false
	depth := 0
	lower := func(s string) string {
		b := []byte(s)
		for i, c := range b {
			if c >= 'A' && c <= 'Z' {
				b[i] = c + 'a' - 'A'
			}
		}
		return string(b)
	}
	for _, token := range result.Tokens {
		own := text[token.Start:token.End]
		literal := func(kind LiteralKind) {
			literals = append(literals, Literal{int(token.Start), int(token.End), kind})
			own = string(rune(1 + kind))
		}
		switch token.Token {
		case pg.Token_SQL_COMMENT:
			continue
		case pg.Token_C_COMMENT:
			if !strings.HasPrefix(own, "/*+") {
				continue
			}
		case pg.Token_ASCII_59:
			if depth <= 0 {
				depth = 0
				separator = true
				continue
			}
		case pg.Token_ICONST:
			literal(LiteralInteger)
		case pg.Token_FCONST:
			kind := LiteralNumeric
			if v, err := strconv.ParseInt(strings.ReplaceAll(own, "_", ""), 10, 64); err == nil && v >= 0 {
				kind = LiteralBigint
			} else if len(own) > 1 && own[0] == '0' && strings.ContainsAny(own[1:2], "xXoObB") {
				if _, err := strconv.ParseInt(own, 0, 64); err == nil {
					kind = LiteralBigint
				}
			}
			literal(kind)
		case pg.Token_SCONST, pg.Token_USCONST:
			literal(LiteralString)
		case pg.Token_BCONST, pg.Token_XCONST:
			literal(LiteralBits)
		case pg.Token_UIDENT:
		case pg.Token_PARAM:
			own = "$" + strconv.Itoa(atoi(own[1:]))
		case pg.Token_IDENT:
			if own[0] != '"' {
				own = lower(own)
			}
		case pg.Token_NCHAR:
			if len(own) == 1 {
				own = "n'"
			} else {
				own = lower(own)
			}
		case pg.Token_ASCII_40:
			depth++
		case pg.Token_ASCII_41:
			depth--
		default:
			own = lower(own)
		}
		if separator && len(tokens) > 0 {
			tokens = append(tokens, ";")
		}
		separator = false
		tokens = append(tokens, own)
	}
	return strings.Join(tokens, " "), literals, true
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// checkScan compares Scan with PostgreSQL's scanner.
func checkScan(t *testing.T, s *Scanned, text string) {
	t.Helper()
	if strings.IndexByte(text, 0) >= 0 || !utf8.ValidString(text) {
		return
	}
	got := Scan(text, s)
	if !got {
		return
	}
	for _, literal := range s.Literals {
		// The parser's scanner is patched to return comments, and so takes none between the parts of a string. PostgreSQL does.
		if strings.Contains(text[literal.Start:literal.End], "--") {
			return
		}
	}
	key, literals, ok := expectedScan(text)
	if !ok {
		t.Errorf("%q: accepted, but PostgreSQL refuses it", text)
		return
	}
	if string(s.Key) != key {
		t.Errorf("%q:\n key %q\nwant %q", text, s.Key, key)
		return
	}
	if len(literals) != len(s.Literals) {
		t.Errorf("%q: literals %v, want %v", text, s.Literals, literals)
		return
	}
	for i, literal := range s.Literals {
		if literal != literals[i] {
			t.Errorf("%q: literal %v, want %v", text, literal, literals[i])
			continue
		}
		checkValue(t, text, literal)
	}
}

// checkValue compares a constant's value with the one that PostgreSQL's parser puts in its syntax tree.
func checkValue(t *testing.T, text string, literal Literal) {
	t.Helper()
	own := text[literal.Start:literal.End]
	tree, err := pg.Parse("select " + own)
	if err != nil {
		t.Errorf("%q: accepted, but %q is refused: %v", text, own, err)
		return
	}
	constant := tree.Stmts[0].Stmt.GetSelectStmt().TargetList[0].GetResTarget().Val.GetAConst()
	value := LiteralText(text, literal)
	switch literal.Kind {
	case LiteralString:
		if want := constant.GetSval().Sval; value != want {
			t.Errorf("%q: value %q, want %q", own, value, want)
		}
	case LiteralInteger:
		if want := strconv.Itoa(int(constant.GetIval().Ival)); value != want {
			t.Errorf("%q: value %q, want %q", own, value, want)
		}
	}
}

// scanPieces are parts of statements of which random ones are put together.
var scanPieces = []string{"select", " ", "\n", "\t", "-- c", "/* c */", "/*", "*/", "--", "'", "''", "'a'", "E'", `\`, `\n`, `\x4`, `\101`, `\u00e9`, `\U0001F600`,
	`\ud83d\ude00`, "U&'", `\0061`, `\+01F600`, "U&\"", `"`, `"a""b"`, "B'01", "x'1f", "N'", "n", "e", "$$", "$a$", "$1", "$", "1", "0", "12_3", "0x1f", "0b1", "0o7", "2147483647",
	"2147483648", "9223372036854775807", "9223372036854775808", ".", "..", "1.5", "1e10", "e", "E+5", "_", "a", "Zé", "::", ":=", ":", "=>", ";", "(", ")", "[", "]", ",",
	"+", "-", "*", "/", "<", ">", "=", "~", "!", "@", "#", "^", "&", "|", "`", "?", "%", "'\n'", "' -- x\n '", "uescape"}

func TestScanAgainstPostgres(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var s Scanned
	accepted := 0
	const rounds = 40000
	for range rounds {
		var b strings.Builder
		for range 1 + random.IntN(8) {
			b.WriteString(scanPieces[random.IntN(len(scanPieces))])
		}
		checkScan(t, &s, b.String())
		if Scan(b.String(), &s) {
			accepted++
		} else if _, err := pg.Scan(b.String()); err == nil && !strings.Contains(strings.ToLower(b.String()), "uescape") && !strings.ContainsAny(b.String(), "$'\\") {
			t.Errorf("%q: refused", b.String())
		}
		if t.Failed() {
			return
		}
	}
	if accepted < rounds/10 {
		t.Errorf("only %d of %d texts accepted", accepted, rounds)
	}
}

func FuzzScan(f *testing.F) {
	for _, piece := range scanPieces {
		f.Add(piece)
	}
	f.Add("SELECT abalance FROM pgbench_accounts WHERE aid = 42 AND b = E'\\n' -- x")
	var s Scanned
	f.Fuzz(func(t *testing.T, text string) { checkScan(t, &s, text) })
}

func BenchmarkScan(b *testing.B) {
	for name, text := range map[string]string{
		"select": "SELECT abalance FROM pgbench_accounts WHERE aid = 4242;",
		"insert": "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (12, 1, 4242, -31, CURRENT_TIMESTAMP);",
		"string": "UPDATE orders SET note = 'a string constant of some length', price = 12.50 WHERE restaurant_id = 99 AND id = '7d444840-9dc0-11d1-b245-5ffdce74fad2'",
	} {
		b.Run(name, func(b *testing.B) {
			var s Scanned
			b.ReportAllocs()
			for b.Loop() {
				if !Scan(text, &s) {
					b.Fatal("refused")
				}
			}
		})
	}
}
