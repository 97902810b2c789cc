package sql

import pg "github.com/pganalyze/pg_query_go/v6"

// CopyStmt is COPY.
type CopyStmt = pg.CopyStmt

// CopyNode makes a Node of a COPY.
func CopyNode(c *CopyStmt) *Node { return &Node{Node: &pg.Node_CopyStmt{CopyStmt: c}} }

// Parenthesised gives what stands between the first parenthesis of a text and the one that closes it, and where that starts; "" if
// there is none. The text must be one that Parse accepts.
func Parenthesised(text string) (inner string, at int) {
	start, depth := -1, 0
	for i := 0; i >= 0 && i < len(text); {
		switch c := text[i]; {
		case c == '(':
			if depth++; start < 0 {
				start = i + 1
			}
			i++
		case c == ')':
			if depth--; depth == 0 && start >= 0 {
				return text[start:i], start
			}
			i++
		default:
			i = skipToken(text, i)
		}
	}
	return "", 0
}

// skipToken gives the end of what starts at i, as far as that matters for what lies in quotes and comments; -1 if it has none.
func skipToken(text string, i int) int {
	next := byte(0)
	if i+1 < len(text) {
		next = text[i+1]
	}
	switch c := text[i]; {
	case c == '\'':
		return scanPlainString(text, i+1)
	case c == '"':
		return scanQuotedIdentifier(text, i+1)
	case c == '-' && next == '-':
		return lineEnd(text, i)
	case c == '/' && next == '*':
		return commentEnd(text, i)
	case c == '$':
		if end := dollarStringEnd(text, i); end >= 0 && (next < '0' || next > '9') {
			return end
		}
	case c|0x20 == 'e' && next == '\'':
		return scanEscapeString(text, i+2)
	case scanClass[c] == classIdent:
		for i < len(text) && scanFold[text[i]] != 0 {
			i++
		}
		return i
	}
	return i + 1
}
