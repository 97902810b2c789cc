package sql

import "testing"

func TestParenthesised(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"COPY (SELECT 1) TO STDOUT": "SELECT 1",
		"copy /* ( */ (select ')', e'\\')', $a$)$a$, \")\" -- )\n, f((1))) to stdout (format csv)": "select ')', e'\\')', $a$)$a$, \")\" -- )\n, f((1))",
		"copy t to stdout": "",
		"copy (select (":   "",
	} {
		if got, at := Parenthesised(text); got != want || text[at:at+len(got)] != got {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
