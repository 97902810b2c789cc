package demo

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// printTable prints the rows of a result as psql would: columns as wide as
// they need to be, numbers to the right.
func printTable(w io.Writer, r *pgconn.Result) {
	widths := make([]int, len(r.FieldDescriptions))
	heads := make([][]byte, len(widths))
	for i, f := range r.FieldDescriptions {
		heads[i] = []byte(f.Name)
		widths[i] = utf8.RuneCountInString(f.Name)
	}
	for _, row := range r.Rows {
		for i, v := range row {
			widths[i] = max(widths[i], utf8.RuneCount(v))
		}
	}
	line := func(row [][]byte) {
		var b strings.Builder
		for i, v := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCount(v))
			if i > 0 {
				b.WriteString(" |")
			}
			if isNumber(r.FieldDescriptions[i].DataTypeOID) {
				b.WriteString(" " + pad + string(v))
			} else {
				b.WriteString(" " + string(v) + pad)
			}
		}
		fmt.Fprintln(w, " ", strings.TrimRight(b.String(), " "))
	}
	line(heads)
	rules := make([]string, len(widths))
	for i, n := range widths {
		rules[i] = strings.Repeat("-", n+2)
	}
	fmt.Fprintln(w, " ", strings.Join(rules, "+"))
	for _, row := range r.Rows {
		line(row)
	}
	rows := "rows"
	if len(r.Rows) == 1 {
		rows = "row"
	}
	fmt.Fprintf(w, "  (%d %s)\n", len(r.Rows), rows)
}

func isNumber(oid uint32) bool {
	switch oid {
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID, pgtype.OIDOID:
		return true
	}
	return false
}
