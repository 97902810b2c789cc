package sql

import (
	"errors"
	"strings"
	"testing"
)

// TestDeepStatements parses, and writes again as text, what is nested deeply, in every way in which a text can be: the process must survive, and say so.
func TestDeepStatements(t *testing.T) {
	for name, make := range map[string]func(n int) string{
		"operators":   func(n int) string { return "SELECT 1" + strings.Repeat("+1", n) },
		"casts":       func(n int) string { return "SELECT 1" + strings.Repeat("::int", n) },
		"collations":  func(n int) string { return "SELECT a" + strings.Repeat(` COLLATE "C"`, n) },
		"subscripts":  func(n int) string { return "SELECT (a)" + strings.Repeat("[1]", n) },
		"fields":      func(n int) string { return "SELECT (a)" + strings.Repeat(".b", n) },
		"tests":       func(n int) string { return "SELECT a" + strings.Repeat(" ISNULL", n) },
		"zones":       func(n int) string { return "SELECT a" + strings.Repeat(" AT TIME ZONE b", n) },
		"unions":      func(n int) string { return "SELECT 1" + strings.Repeat(" UNION SELECT 1", n) },
		"joins":       func(n int) string { return "SELECT 1 FROM a" + strings.Repeat(" JOIN a ON b", n) },
		"parentheses": func(n int) string { return "SELECT " + strings.Repeat("(", n) + "1" + strings.Repeat(")", n) },
		"subqueries":  func(n int) string { return "SELECT " + strings.Repeat("(SELECT ", n) + "1" + strings.Repeat(")", n) },
		"negations":   func(n int) string { return "SELECT " + strings.Repeat("NOT ", n) + "a" },
		"calls":       func(n int) string { return "SELECT " + strings.Repeat("f(", n) + "1" + strings.Repeat(")", n) },
		"commas in constants": func(n int) string {
			return "SELECT 1" + strings.Repeat("||','||$$,$$||E'\\','", n)
		},
		"commas in names": func(n int) string { return `SELECT "a,"` + strings.Repeat(`+","`, n) },
		"no end":          func(n int) string { return "SELECT '" + strings.Repeat("1+1", n) },
		"parentheses and operators": func(n int) string {
			return "SELECT " + strings.Repeat("(", 900) + "1" + strings.Repeat(strings.Repeat("+1", n/900+1)+")", 900)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{100, 1_200, 4_900, 300_000} {
				statements, err := Parse(make(n))
				if err == nil {
					_, err = Deparse(statements[0].Tree)
				}
				var own *Error
				if err != nil && !errors.As(err, &own) {
					t.Errorf("%d: %v", n, err)
				}
				if n == 100 && err != nil && name != "no end" {
					t.Errorf("%d: %v", n, err)
				}
			}
		})
	}
}

// TestLongStatements parses what is long and not deep.
func TestLongStatements(t *testing.T) {
	for name, text := range map[string]string{
		"rows":         "INSERT INTO t VALUES (1, 'a' || 'b')" + strings.Repeat(", (2 + 3, 'c' || 'd')", 50_000),
		"alternatives": "SELECT * FROM t WHERE a = 1" + strings.Repeat(" OR a = 2 AND b = 3", 30_000),
		"members":      "SELECT * FROM t WHERE a IN (1" + strings.Repeat(", 2 - 1", 60_000) + ")",
		"cases":        "SELECT CASE WHEN a = 0 THEN 1" + strings.Repeat(" WHEN a = 1 THEN b + 1", 30_000) + " END",
		"statements":   strings.Repeat("SELECT 1 + 1; ", 12_000),
		"a constant":   "SELECT '" + strings.Repeat("(1+", 1_000_000) + "'",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse(text); err != nil {
				t.Error(err)
			}
		})
	}
}
