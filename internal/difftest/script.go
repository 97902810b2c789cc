package difftest

import (
	"fmt"
	"os"
	"strings"
)

// Statement is one statement of a script, with how it is to be sent and compared.
type Statement struct {
	Line    int
	Gateway bool // for the gateway only: it makes tables distributed
	Plain   bool // for plain PostgreSQL only: what the functions called above it stand for
	Refused bool // for the gateway only, which is to refuse it with 0A000 and a HINT
	SQL     string
	How     Protocol
	Params  [][]byte
	Rules   Rules
}

// Protocols are the ways in which a script's statement is worth sending: a query that has none prescribed, in all.
func (s *Statement) Protocols() []Protocol {
	word, _, _ := strings.Cut(strings.TrimLeft(s.SQL, "( "), " ")
	switch {
	case s.How != Simple || s.Params != nil || s.Gateway:
		return []Protocol{s.How}
	case s.Rules.Floats:
		return []Protocol{Simple, Extended}
	case word == "SELECT" || word == "VALUES" || word == "TABLE" || word == "WITH":
		return []Protocol{Simple, Extended, Binary}
	}
	return []Protocol{Simple}
}

// ReadScript reads a file of statements. A statement ends with a semicolon at the end of a line, so that several may stand on one
// line and are then sent together. Lines "-- @…" say how the statement below them is sent and compared; see testdata/debian.sql.
func ReadScript(path string) ([]Statement, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []Statement
	next := Statement{}
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimRight(line, " \r")
		if directive, ok := strings.CutPrefix(line, "-- @"); ok && next.SQL == "" {
			word, rest, _ := strings.Cut(directive, " ")
			switch word {
			case "ordered":
				next.Rules.Ordered = true
			case "code":
				next.Rules.CodeOnly = true
			case "floats":
				next.Rules.Floats = true
			case "binary":
				next.How = Binary
			case "gateway":
				next.Gateway = true
			case "plain":
				next.Plain = true
			case "refused":
				next.Refused = true
			case "params":
				next.How = Extended
				for _, v := range strings.Split(rest, " | ") {
					next.Params = append(next.Params, []byte(v))
				}
			default:
				return nil, fmt.Errorf("%s:%d: unknown directive %q", path, i+1, word)
			}
			continue
		}
		if next.SQL == "" {
			if line == "" || strings.HasPrefix(line, "--") {
				continue
			}
			next.Line = i + 1
		} else {
			next.SQL += "\n"
		}
		next.SQL += line
		if strings.HasSuffix(line, ";") {
			next.SQL = strings.TrimSuffix(next.SQL, ";")
			all = append(all, next)
			next = Statement{}
		}
	}
	if next.SQL != "" {
		return nil, fmt.Errorf("%s:%d: a statement does not end", path, next.Line)
	}
	return all, nil
}
