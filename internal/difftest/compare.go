package difftest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Rules say how strictly answers are compared.
type Rules struct {
	Ordered  bool // rows must come in the same order
	Floats   bool // float columns in text may differ in the last digits: sums of floats depend on the order of addition
	CodeOnly bool // of errors, only the SQLSTATE must be the same
	Loose    bool // type modifiers may differ (planning can find narrower ones than the statement has by itself), and which of several violated constraints is reported
}

// Verdict is the outcome of a comparison.
type Verdict byte

const (
	Same      Verdict = iota
	Refused           // the gateway says 0A000 where PostgreSQL answers
	Different         // anything else
)

// Compare tells whether two answers are the same, and if not, how they differ.
func Compare(gateway, plain Answer, rules Rules) (Verdict, string) {
	if g, p := gateway.Code(), plain.Code(); g != p && !(rules.Loose && bothViolations(g, p)) {
		if g == "0A000" {
			return Refused, gateway.Err.Error()
		}
		return Different, fmt.Sprintf("error %q against %q", orNone(gateway.Err), orNone(plain.Err))
	}
	if !rules.CodeOnly && gateway.Err != nil {
		if text := compareErrors(gateway.Err, plain.Err); text != "" {
			return Different, text
		}
	}
	gResults, pResults := gateway.complete(), plain.complete()
	if len(gResults) != len(pResults) {
		return Different, fmt.Sprintf("%d results against %d", len(gResults), len(pResults))
	}
	for i, g := range gResults {
		if text := compareResults(g, pResults[i], rules); text != "" {
			if len(gResults) > 1 {
				text = fmt.Sprintf("result %d: %s", i+1, text)
			}
			return Different, text
		}
	}
	return Same, ""
}

// bothViolations tells whether two errors are violated constraints: of several, PostgreSQL reports the one that it happens to meet
// first.
func bothViolations(g, p string) bool {
	return strings.HasPrefix(g, "23") && strings.HasPrefix(p, "23")
}

func orNone(err error) string {
	if err == nil {
		return "none"
	}
	return err.Error()
}

func compareErrors(gateway, plain error) string {
	var g, p *pgconn.PgError
	if !errors.As(gateway, &g) || !errors.As(plain, &p) {
		return ""
	}
	for _, field := range []struct{ name, gateway, plain string }{
		{"message", g.Message, p.Message}, {"detail", g.Detail, p.Detail}, {"constraint", g.ConstraintName, p.ConstraintName},
		{"table", g.TableName, p.TableName}, {"schema", g.SchemaName, p.SchemaName}, {"column", g.ColumnName, p.ColumnName},
		{"position", strconv.Itoa(int(g.Position)), strconv.Itoa(int(p.Position))},
	} {
		if field.gateway != field.plain {
			return fmt.Sprintf("error %s's %s is %q against %q", p.Code, field.name, field.gateway, field.plain)
		}
	}
	return ""
}

// complete gives the results before an error: where one strikes, one side may have begun to send rows when the other has not.
func (a Answer) complete() []Result {
	if a.Err != nil && len(a.Results) > 0 && a.Results[len(a.Results)-1].Tag == "" {
		return a.Results[:len(a.Results)-1]
	}
	return a.Results
}

func compareResults(g, p Result, rules Rules) string {
	if !slices.EqualFunc(g.Columns, p.Columns, func(a, b Column) bool {
		return a.Name == b.Name && a.Type == b.Type && (rules.Loose || a.Modifier == b.Modifier)
	}) {
		return fmt.Sprintf("columns %v against %v", g.Columns, p.Columns)
	}
	if g.Tag != p.Tag {
		return fmt.Sprintf("command tag %q against %q", g.Tag, p.Tag)
	}
	if len(g.Rows) != len(p.Rows) {
		return fmt.Sprintf("%d rows against %d", len(g.Rows), len(p.Rows))
	}
	gRows, pRows := g.Rows, p.Rows
	if !rules.Ordered {
		gRows, pRows = sorted(gRows), sorted(pRows)
	}
	for i := range gRows {
		for j := range gRows[i] {
			if !sameValue(gRows[i][j], pRows[i][j], g.Columns[j].Type, rules.Floats) {
				return fmt.Sprintf("row %d, column %s: %s against %s", i+1, g.Columns[j].Name, rowText(gRows[i][j:j+1]), rowText(pRows[i][j:j+1]))
			}
		}
	}
	return ""
}

func sorted(rows [][]string) [][]string {
	rows = slices.Clone(rows)
	slices.SortFunc(rows, slices.Compare[[]string])
	return rows
}

// Types whose values may differ, in the last digits or by database.
const (
	float4OID   = 700
	float8OID   = 701
	regclassOID = 2205
	regtypeOID  = 2206
)

func sameValue(a, b string, typ uint32, tolerant bool) bool {
	if a == b {
		return true
	}
	if (typ == firstUserOID || typ == regclassOID || typ == regtypeOID) && len(a) == len(b) && strings.ContainsRune(a, 0) {
		return true // in binary format, values of users' types hold OIDs, which differ between databases
	}
	if !tolerant || typ != float4OID && typ != float8OID || a == Null || b == Null {
		return false
	}
	x, errX := strconv.ParseFloat(strings.TrimSpace(a), 64)
	y, errY := strconv.ParseFloat(strings.TrimSpace(b), 64)
	if errX != nil || errY != nil {
		return false
	}
	return math.Abs(x-y) <= 1e-9*math.Max(1, math.Max(math.Abs(x), math.Abs(y)))
}
