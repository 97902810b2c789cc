package sql

import "testing"

func TestStandardStrings(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`SELECT 'a'`, `SELECT 'a'`},
		{`SELECT 'a\tb', 'c'`, `SELECT E'a\tb', 'c'`},
		{`SELECT 'it\'s', 2`, `SELECT E'it\'s', 2`},
		{`SELECT 'it''s \\'`, `SELECT E'it''s \\'`},
		{`SELECT E'a\tb', e'\n'`, `SELECT E'a\tb', e'\n'`},
		{`SELECT "a\b", $$c\d$$, $x$'\'$x$`, `SELECT "a\b", $$c\d$$, $x$'\'$x$`},
		{"SELECT 1 -- it's \\\n, 'a\\b'", "SELECT 1 -- it's \\\n, E'a\\b'"},
		{`SELECT /* '\ /* */ */ 'a\b'`, `SELECT /* '\ /* */ */ E'a\b'`},
		{`SELECT name'\x'`, `SELECT name E'\x'`},
	} {
		if got := StandardStrings(c.in); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.in, got, c.want)
		}
	}
}
