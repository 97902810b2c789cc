package sql

import (
	"math"
	"strconv"
	"strings"
)

// LiteralKind is what type PostgreSQL gives a constant before any coercion.
type LiteralKind byte

const (
	LiteralInteger LiteralKind = iota // fits int4
	LiteralBigint                     // fits int8 only
	LiteralNumeric                    // any other number
	LiteralString                     // of type unknown, however it is quoted
	LiteralBits                       // B'…' or X'…'
)

// Literal is one constant in a statement's text: text[Start:End], quotes and prefix included, sign excluded.
// (So -2147483648 is a LiteralBigint after a minus, although PostgreSQL makes an int4 of the two together.)
type Literal struct {
	Start, End int
	Kind       LiteralKind
}

// Parameter is one $Number in a statement's text: text[Start:End].
type Parameter struct{ Start, End, Number int }

// Scanned is what Scan finds in a text. It is meant to be reused: Scan keeps its buffers, so scanning costs no allocation once
// they have grown.
type Scanned struct {
	// Key is the text in a normal form, for use as a cache key: its tokens with one space between any two, comments dropped
	// (but for hints, /*+ … */), identifiers and keywords outside quotes in lower case, semicolons at the ends dropped, and
	// each constant replaced by one byte that stands for its kind (1 + LiteralKind, bytes no token contains). Two texts with
	// equal keys differ in nothing but the values of their constants. It is valid until the next Scan.
	Key      []byte
	Literals []Literal
	// Statements counts the non-empty statements that semicolons outside parentheses separate. The body of a SQL-standard
	// function (BEGIN ATOMIC … END) counts as several.
	Statements int
	// Params is the highest n of any parameter $n, Parameters where each stands.
	Params     int
	Parameters []Parameter
	// NeedsStandardStrings tells that the text means this only while standard_conforming_strings is on: a plain string
	// constant holds a backslash, or there is a U& constant. If the setting is off, what was scanned must not be used.
	NeedsStandardStrings bool

	separator bool // a semicolon was met since the last token
	depth     int  // of parentheses
}

// Classes of bytes that may start a token.
const (
	classOther byte = iota // nothing starts with it: a syntax error
	classSpace
	classIdent
	classDigit
	classOp     // may be part of an operator of several characters
	classSelf   // a token by itself
	classQuote  // '
	classDouble // "
	classDollar
	classDot
	classColon
	classSemicolon
)

// scanClass gives each byte's class, and scanFold the lower-case form of bytes that may continue an identifier, 0 for others.
// Like PostgreSQL, every byte above 127 is a letter; case folding is left to ASCII, as it is in multi-byte encodings.
var scanClass, scanFold = func() (class, fold [256]byte) {
	for _, c := range " \t\n\r\f\v" {
		class[c] = classSpace
	}
	for c := range 256 {
		switch {
		case c >= 'a' && c <= 'z', c == '_', c >= 128:
			class[c], fold[c] = classIdent, byte(c)
		case c >= 'A' && c <= 'Z':
			class[c], fold[c] = classIdent, byte(c)+'a'-'A'
		case c >= '0' && c <= '9':
			class[c], fold[c] = classDigit, byte(c)
		}
	}
	fold['$'] = '$'
	for _, c := range "~!@#^&|`?+-*/%<>=" {
		class[c] = classOp
	}
	for _, c := range ",()[]" {
		class[c] = classSelf
	}
	class['\''], class['"'], class['$'], class['.'] = classQuote, classDouble, classDollar, classDot
	class[':'], class[';'] = classColon, classSemicolon
	return class, fold
}()

// Scan splits text into tokens by PostgreSQL's lexical rules (manual chapter 4.1; those of version 17, with
// standard_conforming_strings on) and fills s. It gives false where the text is better left to Parse: lexical errors, UESCAPE,
// and escapes that make no valid UTF-8. text must be in an encoding in which no byte of a multi-byte character is ASCII.
func Scan(text string, s *Scanned) bool {
	s.Key, s.Literals, s.Parameters = s.Key[:0], s.Literals[:0], s.Parameters[:0]
	s.Statements, s.Params, s.depth = 0, 0, 0
	s.NeedsStandardStrings, s.separator = false, false
	unicode := false // a U& constant or identifier was met
	i, n := 0, len(text)
	for i < n {
		c := text[i]
		switch scanClass[c] {
		case classSpace:
			i++
		case classIdent:
			// Most identifiers are not a prefix of a quote.
			if i+1 < n && (text[i+1] == '\'' || text[i+1] == '&') {
				end, ok := s.prefixed(text, i)
				if !ok {
					return false
				}
				if end > 0 {
					unicode = unicode || c|0x20 == 'u'
					i = end
					continue
				}
			}
			s.gap()
			start := i
			key := s.Key
			for i < n {
				l := scanFold[text[i]]
				if l == 0 {
					break
				}
				key = append(key, l)
				i++
			}
			s.Key = key
			if unicode && i-start == len("uescape") && strings.EqualFold(text[start:i], "uescape") {
				return false
			}
		case classDigit:
			end, kind, ok := scanNumber(text, i)
			if !ok {
				return false
			}
			s.literal(i, end, kind)
			i = end
		case classDot:
			if i+1 < n && text[i+1] >= '0' && text[i+1] <= '9' {
				end, kind, ok := scanNumber(text, i)
				if !ok {
					return false
				}
				s.literal(i, end, kind)
				i = end
				continue
			}
			i = s.token(text, i, pairEnd(text, i, '.'))
		case classColon:
			end := pairEnd(text, i, ':')
			if end == i+1 {
				end = pairEnd(text, i, '=')
			}
			i = s.token(text, i, end)
		case classQuote:
			end := scanPlainString(text, i+1)
			if end < 0 {
				return false
			}
			if strings.IndexByte(text[i:end], '\\') >= 0 {
				s.NeedsStandardStrings = true
			}
			s.literal(i, end, LiteralString)
			i = end
		case classDouble:
			end := scanQuotedIdentifier(text, i+1)
			if end < 0 {
				return false
			}
			i = s.token(text, i, end)
		case classDollar:
			end, ok := s.dollar(text, i)
			if !ok {
				return false
			}
			i = end
		case classSelf:
			switch c {
			case '(':
				s.depth++
			case ')':
				s.depth--
			}
			i = s.token(text, i, i+1)
		case classSemicolon:
			if s.depth > 0 {
				i = s.token(text, i, i+1)
				continue
			}
			s.depth = 0
			s.separator = true
			i++
		case classOp:
			if i+1 < n {
				if c == '-' && text[i+1] == '-' {
					i = lineEnd(text, i)
					continue
				}
				if c == '/' && text[i+1] == '*' {
					end := commentEnd(text, i)
					if end < 0 {
						return false
					}
					if text[i+2] == '+' {
						s.token(text, i, end)
					}
					i = end
					continue
				}
			}
			end := scanOperator(text, i)
			if end < 0 {
				return false
			}
			i = s.token(text, i, end)
		default:
			return false
		}
	}
	return true
}

// gap puts what must stand in Key before the next token.
func (s *Scanned) gap() {
	switch {
	case len(s.Key) == 0:
		s.Statements = 1
		s.separator = false
		return
	case s.separator:
		s.separator = false
		s.Statements++
		s.Key = append(s.Key, " ;"...)
	}
	s.Key = append(s.Key, ' ')
}

// token puts text[start:end] in Key and gives end.
func (s *Scanned) token(text string, start, end int) int {
	s.gap()
	s.Key = append(s.Key, text[start:end]...)
	return end
}

func (s *Scanned) literal(start, end int, kind LiteralKind) {
	s.gap()
	s.Key = append(s.Key, 1+byte(kind))
	s.Literals = append(s.Literals, Literal{start, end, kind})
}

// prefixed scans a string constant or identifier that starts with a letter before its quote. It gives 0 if there is none at i.
func (s *Scanned) prefixed(text string, i int) (end int, ok bool) {
	c := text[i] | 0x20
	if text[i+1] == '&' {
		if c != 'u' || i+2 >= len(text) {
			return 0, true
		}
		switch text[i+2] {
		case '\'':
			if end = scanPlainString(text, i+3); end < 0 {
				return 0, false
			}
			if _, ok := decodeUnicodeString(joinParts(text[i+2:end], false)); !ok {
				return 0, false
			}
			s.literal(i, end, LiteralString)
		case '"':
			if end = scanQuotedIdentifier(text, i+3); end < 0 {
				return 0, false
			}
			s.token(text, i, end)
		default:
			return 0, true
		}
		s.NeedsStandardStrings = true
		return end, true
	}
	switch c {
	case 'e':
		if end = scanEscapeString(text, i+2); end < 0 {
			return 0, false
		}
		if strings.IndexByte(text[i:end], '\\') >= 0 {
			if _, ok := decodeEscapeString(text[i+1 : end]); !ok {
				return 0, false
			}
		}
		s.literal(i, end, LiteralString)
	case 'b', 'x':
		if end = scanBits(text, i+2); end < 0 {
			return 0, false
		}
		if !validBits(text[i:end]) {
			return 0, false
		}
		s.literal(i, end, LiteralBits)
	case 'n':
		// N'…' is the keyword NCHAR and a plain string; the quote in the key tells it from an identifier n.
		if end = scanPlainString(text, i+2); end < 0 {
			return 0, false
		}
		if strings.IndexByte(text[i:end], '\\') >= 0 {
			s.NeedsStandardStrings = true
		}
		s.gap()
		s.Key = append(s.Key, "n'"...)
		s.literal(i+1, end, LiteralString)
	default:
		return 0, true
	}
	return end, true
}

// dollar scans a parameter or a dollar-quoted string.
func (s *Scanned) dollar(text string, i int) (end int, ok bool) {
	j := i + 1
	if j < len(text) && text[j] >= '0' && text[j] <= '9' {
		for j < len(text) && text[j] >= '0' && text[j] <= '9' {
			j++
		}
		if j < len(text) && scanClass[text[j]] == classIdent {
			return 0, false
		}
		number, err := strconv.ParseInt(text[i+1:j], 10, 32)
		if err != nil {
			return 0, false
		}
		s.Params = max(s.Params, int(number))
		s.Parameters = append(s.Parameters, Parameter{i, j, int(number)})
		s.gap()
		s.Key = append(s.Key, '$')
		s.Key = strconv.AppendInt(s.Key, number, 10)
		return j, true
	}
	end = dollarStringEnd(text, i)
	if end < 0 {
		return 0, false
	}
	s.literal(i, end, LiteralString)
	return end, true
}

// pairEnd is the end of the token at i, which is two bytes long if the next byte is second.
func pairEnd(text string, i int, second byte) int {
	if i+1 < len(text) && text[i+1] == second {
		return i + 2
	}
	return i + 1
}

// lineEnd gives the index of the newline that ends a comment started before i.
func lineEnd(text string, i int) int {
	for i < len(text) && text[i] != '\n' && text[i] != '\r' {
		i++
	}
	return i
}

// commentEnd gives the end of the comment that starts at i, which may hold others; -1 if it has none.
func commentEnd(text string, i int) int {
	depth := 0
	for i+1 < len(text) {
		switch {
		case text[i] == '/' && text[i+1] == '*':
			depth++
			i += 2
		case text[i] == '*' && text[i+1] == '/':
			depth--
			i += 2
			if depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return -1
}

// scanOperator gives the end of the operator that starts at i, which no comment does. A comment's start ends it; and an
// operator of several characters ends in + or - only if it also holds a character that no SQL-standard operator has.
func scanOperator(text string, i int) int {
	const maxOperator = 63 // NAMEDATALEN - 1
	end := i + 1
	for end < len(text) && scanClass[text[end]] == classOp {
		if c := text[end]; end+1 < len(text) && (c == '-' && text[end+1] == '-' || c == '/' && text[end+1] == '*') {
			break
		}
		end++
	}
	if last := text[end-1]; end-i > 1 && (last == '+' || last == '-') && !strings.ContainsAny(text[i:end-1], "~!@#^&|`?%") {
		for end-i > 1 && (text[end-1] == '+' || text[end-1] == '-') {
			end--
		}
	}
	if end-i > maxOperator {
		return -1
	}
	return end
}

// scanNumber scans the number at i, which starts with a digit or with a dot and a digit. No letter may follow it; nor a dollar
// sign if a letter or underscore in the number might start an identifier that goes on with that.
func scanNumber(text string, i int) (end int, kind LiteralKind, ok bool) {
	end, kind, ok = numberEnd(text, i)
	if !ok || end == len(text) {
		return end, kind, ok
	}
	switch scanClass[text[end]] {
	case classIdent:
		return 0, 0, false
	case classDollar:
		for _, c := range []byte(text[i:end]) {
			if scanClass[c] == classIdent {
				return 0, 0, false
			}
		}
	}
	return end, kind, true
}

func numberEnd(text string, i int) (end int, kind LiteralKind, ok bool) {
	j, n := i, len(text)
	if text[i] == '0' && i+1 < n {
		base := 0
		switch text[i+1] | 0x20 {
		case 'x':
			base = 16
		case 'o':
			base = 8
		case 'b':
			base = 2
		}
		if base > 0 {
			j = scanDigits(text, i+2, base, true)
			if j == i+2 || j < n && scanClass[text[j]] == classDigit {
				return 0, 0, false
			}
			value, err := parseInteger(text[i:j])
			return j, integerKind(value, err), true
		}
	}
	kind = LiteralInteger
	if text[j] != '.' {
		j = scanDigits(text, j, 10, false)
	}
	digits := j
	// In 1..10 the first dot belongs to the dots.
	if j < n && text[j] == '.' && (j+1 >= n || text[j+1] != '.') {
		kind = LiteralNumeric
		j++
		if j < n && text[j] >= '0' && text[j] <= '9' {
			j = scanDigits(text, j, 10, false)
		}
	}
	if j < n && text[j]|0x20 == 'e' {
		k := j + 1
		if k < n && (text[k] == '+' || text[k] == '-') {
			k++
		}
		if k >= n || text[k] < '0' || text[k] > '9' {
			return 0, 0, false
		}
		kind = LiteralNumeric
		j = scanDigits(text, k, 10, false)
	}
	if kind == LiteralInteger {
		if digits-i < 10 {
			return j, kind, true
		}
		value, err := parseInteger(text[i:digits])
		kind = integerKind(value, err)
	}
	return j, kind, true
}

// scanDigits gives the end of the digits at i, between which single underscores may stand, and before them too if leading.
func scanDigits(text string, i, base int, leading bool) int {
	for i < len(text) {
		j := i
		if text[j] == '_' && leading {
			j++
		}
		if j >= len(text) || digitValue(text[j]) >= base {
			break
		}
		i = j + 1
		leading = true
	}
	return i
}

func digitValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return math.MaxInt
}

func integerKind(value int64, err error) LiteralKind {
	switch {
	case err != nil:
		return LiteralNumeric
	case value > math.MaxInt32:
		return LiteralBigint
	}
	return LiteralInteger
}

// parseInteger reads a non-negative integer constant in any of PostgreSQL's notations.
func parseInteger(text string) (int64, error) {
	base := 10
	if len(text) > 1 && text[0] == '0' {
		switch text[1] | 0x20 {
		case 'x':
			base, text = 16, text[2:]
		case 'o':
			base, text = 8, text[2:]
		case 'b':
			base, text = 2, text[2:]
		}
	}
	var value int64
	for i := 0; i < len(text); i++ {
		if text[i] == '_' {
			continue
		}
		digit := int64(digitValue(text[i]))
		if value > (math.MaxInt64-digit)/int64(base) {
			return 0, strconv.ErrRange
		}
		value = value*int64(base) + digit
	}
	return value, nil
}
