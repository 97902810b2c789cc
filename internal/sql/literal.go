package sql

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// LiteralText is the value of a constant that Scan found, in the form in which PostgreSQL's types read it: strings without
// quotes and escapes, numbers without underscores and integers in base 10 (unless they are beyond int8), bits as zeros and ones.
func LiteralText(text string, literal Literal) string {
	text = text[literal.Start:literal.End]
	switch literal.Kind {
	case LiteralString:
		return stringValue(text)
	case LiteralBits:
		return bitsValue(text)
	}
	if strings.IndexByte(text, '_') < 0 && (len(text) < 2 || text[0] != '0') {
		return text
	}
	if literal.Kind != LiteralNumeric {
		if value, err := parseInteger(text); err == nil {
			return strconv.FormatInt(value, 10)
		}
	}
	return strings.ReplaceAll(text, "_", "")
}

func stringValue(text string) string {
	switch text[0] {
	case '$':
		tag := strings.IndexByte(text[1:], '$') + 2
		return text[tag : len(text)-tag]
	case 'e', 'E':
		value, _ := decodeEscapeString(text[1:])
		return value
	case 'u', 'U':
		value, _ := decodeUnicodeString(joinParts(text[2:], false))
		return value
	}
	return joinParts(text, false)
}

// bitsValue writes the bits of B'…' or X'…' as zeros and ones.
func bitsValue(text string) string {
	digits := joinParts(text[1:], true)
	if text[0]|0x20 == 'b' {
		return digits
	}
	bits := make([]byte, 0, 4*len(digits))
	for i := range len(digits) {
		value := digitValue(digits[i])
		for shift := 3; shift >= 0; shift-- {
			bits = append(bits, '0'+byte(value>>shift&1))
		}
	}
	return string(bits)
}

// validBits tells whether B'…' or X'…' holds nothing but digits of its base.
func validBits(text string) bool {
	base := 16
	if text[0]|0x20 == 'b' {
		base = 2
	}
	inside := false
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\'':
			inside = !inside
		case inside && digitValue(text[i]) >= base:
			return false
		}
	}
	return true
}

// scanPlainString gives the end of a string constant without escapes whose first quote stands before i, -1 if it has none.
func scanPlainString(text string, i int) int {
	for {
		quote := strings.IndexByte(text[i:], '\'')
		if quote < 0 {
			return -1
		}
		i += quote + 1
		if i < len(text) && text[i] == '\'' {
			i++
			continue
		}
		next := continuation(text, i)
		if next < 0 {
			return i
		}
		i = next
	}
}

// scanEscapeString is scanPlainString for E'…'.
func scanEscapeString(text string, i int) int {
	for i < len(text) {
		switch text[i] {
		case '\\':
			i += 2
		case '\'':
			i++
			if i < len(text) && text[i] == '\'' {
				i++
				continue
			}
			next := continuation(text, i)
			if next < 0 {
				return i
			}
			i = next
		default:
			i++
		}
	}
	return -1
}

// scanBits is scanPlainString for B'…' and X'…', in which two quotes do not stand for one.
func scanBits(text string, i int) int {
	for {
		quote := strings.IndexByte(text[i:], '\'')
		if quote < 0 {
			return -1
		}
		i += quote + 1
		next := continuation(text, i)
		if next < 0 {
			return i
		}
		i = next
	}
}

// continuation tells where a string constant that was closed before i goes on: after the quote that follows white space with a
// newline in it. -1 if it does not.
func continuation(text string, i int) int {
	newline := false
	for i < len(text) {
		switch c := text[i]; {
		case c == '\n' || c == '\r':
			newline = true
			i++
		case scanClass[c] == classSpace:
			i++
		case c == '-' && i+1 < len(text) && text[i+1] == '-':
			i = lineEnd(text, i)
			if i == len(text) {
				return -1
			}
		case c == '\'' && newline:
			return i + 1
		default:
			return -1
		}
	}
	return -1
}

// scanQuotedIdentifier gives the end of an identifier whose first quote stands before i, -1 if it has none or is empty.
func scanQuotedIdentifier(text string, i int) int {
	start := i
	for {
		quote := strings.IndexByte(text[i:], '"')
		if quote < 0 {
			return -1
		}
		i += quote + 1
		if i < len(text) && text[i] == '"' {
			i++
			continue
		}
		if i == start+1 {
			return -1
		}
		return i
	}
}

// dollarStringEnd gives the end of the dollar-quoted string at i, -1 if there is none.
func dollarStringEnd(text string, i int) int {
	j := i + 1
	for j < len(text) && (scanClass[text[j]] == classIdent || j > i+1 && scanClass[text[j]] == classDigit) {
		j++
	}
	if j == len(text) || text[j] != '$' {
		return -1
	}
	tag := text[i : j+1]
	end := strings.Index(text[j+1:], tag)
	if end < 0 {
		return -1
	}
	return j + 1 + end + len(tag)
}

// joinParts gives what stands between the quotes of a string constant (from its first quote on) and of its continuations.
func joinParts(text string, bits bool) string {
	if len(text) > 1 && strings.IndexByte(text[1:len(text)-1], '\'') < 0 {
		return text[1 : len(text)-1]
	}
	value := make([]byte, 0, len(text))
	for i := 1; i < len(text); i++ {
		if text[i] != '\'' {
			value = append(value, text[i])
			continue
		}
		if !bits && i+1 < len(text) && text[i+1] == '\'' {
			value = append(value, '\'')
			i++
			continue
		}
		next := continuation(text, i+1)
		if next < 0 {
			break
		}
		i = next - 1
	}
	return string(value)
}

// decodeEscapeString gives the value of E'…' from its quote on, false if it has an escape that PostgreSQL refuses or that makes
// no valid UTF-8.
func decodeEscapeString(text string) (string, bool) {
	if strings.IndexByte(text, '\\') < 0 {
		return joinParts(text, false), true
	}
	value := make([]byte, 0, len(text))
	high := rune(0) // the first half of a surrogate pair
	bytes := false  // an escape made a byte that must fit its neighbours
	for i := 1; i < len(text); {
		c := text[i]
		if high != 0 && (c != '\\' || text[i+1]|0x20 != 'u') {
			return "", false
		}
		switch c {
		case '\\':
			c = text[i+1]
			i += 2
			switch c {
			case 'b':
				value = append(value, '\b')
			case 'f':
				value = append(value, '\f')
			case 'n':
				value = append(value, '\n')
			case 'r':
				value = append(value, '\r')
			case 't':
				value = append(value, '\t')
			case 'v':
				value = append(value, '\v')
			case 'u', 'U':
				digits := 4
				if c == 'U' {
					digits = 8
				}
				code, ok := hexDigits(text, i, digits)
				if !ok {
					return "", false
				}
				i += digits
				if value, high, ok = appendCode(value, high, code); !ok {
					return "", false
				}
			case '0', '1', '2', '3', '4', '5', '6', '7':
				code := 0
				for end := i + 2; i-1 < end && digitValue(text[i-1]) < 8; i++ {
					code = code*8 + digitValue(text[i-1])
				}
				i--
				if byte(code) == 0 {
					return "", false
				}
				value = append(value, byte(code))
				bytes = true
			case 'x':
				code, end := 0, i
				for end < i+2 && digitValue(text[end]) < 16 {
					code = code*16 + digitValue(text[end])
					end++
				}
				if end == i {
					value = append(value, 'x')
					continue
				}
				i = end
				if code == 0 {
					return "", false
				}
				value = append(value, byte(code))
				bytes = true
			default:
				value = append(value, c)
			}
		case '\'':
			if i+1 < len(text) && text[i+1] == '\'' {
				value = append(value, '\'')
				i += 2
				continue
			}
			next := continuation(text, i+1)
			if next < 0 {
				return string(value), !bytes || utf8.Valid(value)
			}
			i = next
		default:
			value = append(value, c)
			i++
		}
	}
	return "", false
}

// decodeUnicodeString resolves the escapes of U&'…'.
func decodeUnicodeString(text string) (string, bool) {
	if strings.IndexByte(text, '\\') < 0 {
		return text, true
	}
	value := make([]byte, 0, len(text))
	high := rune(0)
	for i := 0; i < len(text); {
		if text[i] != '\\' {
			if high != 0 {
				return "", false
			}
			value = append(value, text[i])
			i++
			continue
		}
		i++
		if i < len(text) && text[i] == '\\' {
			if high != 0 {
				return "", false
			}
			value = append(value, '\\')
			i++
			continue
		}
		digits := 4
		if i < len(text) && text[i] == '+' {
			digits = 6
			i++
		}
		code, ok := hexDigits(text, i, digits)
		if !ok {
			return "", false
		}
		i += digits
		if value, high, ok = appendCode(value, high, code); !ok {
			return "", false
		}
	}
	return string(value), high == 0
}

func hexDigits(text string, i, count int) (rune, bool) {
	if i+count > len(text) {
		return 0, false
	}
	code := 0
	for _, c := range []byte(text[i : i+count]) {
		digit := digitValue(c)
		if digit >= 16 {
			return 0, false
		}
		code = code<<4 | digit
	}
	if code > utf8.MaxRune {
		return 0, false
	}
	return rune(code), true
}

// appendCode appends a code point, or keeps it as high if it is the first half of a surrogate pair.
func appendCode(value []byte, high, code rune) ([]byte, rune, bool) {
	switch {
	case code == 0:
		return nil, 0, false
	case high != 0:
		code = utf16.DecodeRune(high, code)
		return utf8.AppendRune(value, code), 0, code != utf8.RuneError
	case code >= 0xD800 && code < 0xDC00:
		return value, code, true
	case code >= 0xDC00 && code < 0xE000:
		return nil, 0, false
	}
	return utf8.AppendRune(value, code), 0, true
}
