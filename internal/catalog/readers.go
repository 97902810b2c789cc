package catalog

import "strings"

// runsText are functions of PostgreSQL and its contrib modules, written in C, that run a query given as text, or read a table
// given by name.
var runsText = map[string]bool{
	"query_to_xml": true, "query_to_xmlschema": true, "query_to_xml_and_xmlschema": true, "cursor_to_xml": true, "cursor_to_xmlschema": true,
	"table_to_xml": true, "table_to_xmlschema": true, "table_to_xml_and_xmlschema": true, "schema_to_xml": true, "schema_to_xmlschema": true,
	"schema_to_xml_and_xmlschema": true, "database_to_xml": true, "database_to_xmlschema": true, "database_to_xml_and_xmlschema": true,
	"ts_stat": true, "crosstab": true, "crosstab2": true, "crosstab3": true, "crosstab4": true, "connectby": true, "xpath_table": true,
}

// markReaders sets ReadsTables of every function that may read or write a distributed or reference table: one whose body has the
// name of such a table, or of a view or function that does, as a word; or that runs SQL made at run time. It errs on the side of
// too many, since a function that reads the coordinator's empty shell gives a wrong answer.
func (l *loader) markReaders() {
	tables := map[string]bool{}  // names of tables and views with rows elsewhere
	callees := map[string]bool{} // names of functions that read them
	for _, r := range l.snapshot.ByOID {
		if r.Kind != Local {
			tables[strings.ToLower(r.Name)] = true
		}
	}
	if len(tables) == 0 {
		return
	}
	ts := l.snapshot.Functions["ts_rewrite"]
	for _, f := range ts {
		f.ReadsTables = f.Language == "internal" && len(f.Args) == 2
	}
	for name := range runsText {
		for _, f := range l.snapshot.Functions[name] {
			f.ReadsTables = true
		}
		callees[name] = true
	}
	words := map[*Function][]string{}
	for f, body := range l.bodies {
		words[f] = identifiers(body)
		if runsOwnText(f.Language, words[f]) {
			f.ReadsTables = true
			callees[strings.ToLower(f.Name)] = true
		}
	}
	views := map[*Relation][]string{}
	for _, r := range l.snapshot.ByOID {
		if r.Definition != "" && r.Kind == Local && r.Schema != "trunkline" {
			views[r] = identifiers(r.Definition)
		}
	}
	mentions := func(words []string) bool {
		for _, w := range words {
			if tables[w] || callees[w] {
				return true
			}
		}
		return false
	}
	for again := true; again; {
		again = false
		for f, w := range words {
			if !f.ReadsTables && mentions(w) {
				f.ReadsTables, again = true, true
				callees[strings.ToLower(f.Name)] = true
			}
		}
		for v, w := range views {
			if name := strings.ToLower(v.Name); !tables[name] && mentions(w) {
				tables[name], again = true, true
			}
		}
	}
	readers := map[uint32]bool{}
	for f := range words {
		readers[f.OID] = f.ReadsTables
	}
	for r, functions := range l.triggers {
		for _, oid := range functions {
			r.TriggersRead = r.TriggersRead || readers[oid]
		}
	}
}

// runsOwnText tells whether a function body of these words makes SQL at run time.
func runsOwnText(language string, words []string) bool {
	for _, w := range words {
		switch {
		case language == "plpgsql" && w == "execute",
			strings.HasPrefix(w, "spi_"), // PL/Perl, PL/Tcl
			w == "plpy":                  // PL/Python
			return true
		}
	}
	return false
}

// identifiers gives the words of a piece of SQL, or of any language, once each, in lower case; what stands between double quotes
// is one word.
func identifiers(text string) []string {
	seen := map[string]bool{}
	var words []string
	add := func(w string) {
		if w = strings.ToLower(w); w != "" && !seen[w] {
			seen[w] = true
			words = append(words, w)
		}
	}
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			if end := strings.IndexByte(text[i+1:], '"'); end >= 0 && end <= 63 {
				// not skipped: in a language other than SQL the words inside may count by themselves
				add(text[i+1 : i+1+end])
			}
		case isWord(text[i]):
			start := i
			for i+1 < len(text) && isWord(text[i+1]) {
				i++
			}
			add(text[start : i+1])
		}
	}
	return words
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
