package sql

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	pgparser "github.com/pganalyze/pg_query_go/v6/parser"
)

// Statement is one SQL statement: its own text and its syntax tree. Locations in the tree are byte offsets into Text.
type Statement struct {
	Text string
	Tree *Node
}

// Parse parses a string of one or more statements separated by semicolons. Empty statements are left out. The error, if any,
// is an *Error. A string of several statements is cut up first, so that each Statement has a text and locations of its own.
func Parse(text string) ([]Statement, error) {
	if tooDeep(text) {
		return nil, errTooDeep
	}
	result, err := pg.Parse(text)
	if err != nil {
		return nil, syntaxError(err)
	}
	if len(result.Stmts) == 1 {
		raw := result.Stmts[0]
		return []Statement{{Text: text, Tree: raw.Stmt}}, nil
	}
	statements := make([]Statement, 0, len(result.Stmts))
	for _, raw := range result.Stmts {
		end := len(text)
		if raw.StmtLen > 0 {
			end = int(raw.StmtLocation + raw.StmtLen)
		}
		own := text[raw.StmtLocation:end]
		again, err := pg.Parse(own)
		if err != nil {
			return nil, syntaxError(err)
		}
		statements = append(statements, Statement{Text: own, Tree: again.Stmts[0].Stmt})
	}
	return statements, nil
}

func syntaxError(err error) error {
	if pe, ok := err.(*pgparser.Error); ok {
		return &Error{Code: "42601", Message: pe.Message, Position: pe.Cursorpos}
	}
	if strings.Contains(err.Error(), "recursion") { // of protobuf, in which the library gives its trees
		return errTooDeep
	}
	return &Error{Code: "42601", Message: err.Error()}
}

// QuoteIdentifier writes name as a SQL identifier, in double quotes unless it plainly needs none.
func QuoteIdentifier(name string) string {
	plain := name != "" && !isReserved(name)
	for i := 0; plain && i < len(name); i++ {
		c := name[i]
		plain = c == '_' || c >= 'a' && c <= 'z' || i > 0 && (c >= '0' && c <= '9')
	}
	if plain {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// QuoteLiteral writes s as a SQL string constant that means the same whatever standard_conforming_strings says.
func QuoteLiteral(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

// isReserved tells whether the scanner knows name as a keyword of any kind other than unreserved, so that quoting is needed.
func isReserved(name string) bool {
	result, err := pg.Scan(name)
	if err != nil || len(result.Tokens) != 1 {
		return true
	}
	kind := result.Tokens[0].KeywordKind
	return kind != pg.KeywordKind_NO_KEYWORD && kind != pg.KeywordKind_UNRESERVED_KEYWORD
}
