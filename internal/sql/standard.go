package sql

import "strings"

// StandardStrings rewrites a text that is meant for standard_conforming_strings = off, so that it means the same when that is on: a
// plain string constant with backslashes becomes an escape string (E'…'). Everything else stays.
func StandardStrings(text string) string {
	if strings.IndexByte(text, '\\') < 0 {
		return text
	}
	var out strings.Builder
	done := 0
	for i := 0; i < len(text); {
		end := i + 1
		switch c := text[i]; {
		case c == '\'':
			end = escapedEnd(text, i)
			if strings.IndexByte(text[i:end], '\\') >= 0 && !prefixed(text, i) {
				out.WriteString(text[done:i])
				if i > 0 && scanFold[text[i-1]] != 0 {
					out.WriteByte(' ') // type'constant'
				}
				out.WriteByte('E')
				done = i
			}
		case c == '"':
			end = i + 1 + closing(text[i+1:], `"`)
		case c == '-' && strings.HasPrefix(text[i:], "--"):
			end = lineEnd(text, i)
		case c == '/' && strings.HasPrefix(text[i:], "/*"):
			if end = commentEnd(text, i); end < 0 {
				end = len(text)
			}
		case c == '$':
			if tag := dollarTag(text[i:]); tag != "" && (i == 0 || scanFold[text[i-1]] == 0) {
				end = i + len(tag) + closing(text[i+len(tag):], tag)
			}
		}
		i = end
	}
	return out.String() + text[done:]
}

// escapedEnd gives the end of a string constant in which a backslash escapes the next character.
func escapedEnd(text string, start int) int {
	for i := start + 1; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++
		case text[i] == '\'' && i+1 < len(text) && text[i+1] == '\'':
			i++
		case text[i] == '\'':
			return i + 1
		}
	}
	return len(text)
}

// prefixed tells whether a quote belongs to a constant of another kind: E'…', B'…', X'…', N'…' or U&'…'.
func prefixed(text string, quote int) bool {
	if quote == 0 {
		return false
	}
	c := text[quote-1]
	if c == '&' {
		return true
	}
	return strings.IndexByte("eEbBxXnN", c) >= 0 && (quote == 1 || scanFold[text[quote-2]] == 0)
}

// closing gives the offset behind the next mark, or the end.
func closing(text, mark string) int {
	if i := strings.Index(text, mark); i >= 0 {
		return i + len(mark)
	}
	return len(text)
}

// dollarTag gives the opening tag of a dollar-quoted constant, "" if there is none.
func dollarTag(text string) string {
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '$':
			return text[:i+1]
		case scanFold[c] == 0 || i == 1 && c >= '0' && c <= '9':
			return ""
		}
	}
	return ""
}
