package difftest

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
)

// TestOIDsInBinaryValues reads and writes values that hold OIDs of users' types: those of the coordinator, whichever node has the rows.
// A local table with the same rows shows what they are.
func TestOIDsInBinaryValues(t *testing.T) {
	s := NewPair(t, &shared, 2, 4).Connect(t)
	run := func(how Protocol, sql string, params ...[]byte) Answer {
		t.Helper()
		formats := make([]int16, len(params))
		for i := range formats {
			formats[i] = 1
		}
		a := Answer{}
		if how == Simple {
			a = ask(t.Context(), s.gateway, Simple, sql, nil)
		} else {
			a.Results = []Result{read(s.gateway.ExecParams(t.Context(), sql, params, nil, formats, []int16{1}), &a.Err)}
		}
		if a.Err != nil {
			t.Fatalf("%s: %v", sql, a.Err)
		}
		return a
	}
	for _, sql := range []string{
		"CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')",
		"CREATE DOMAIN word AS text CHECK (VALUE <> '')",
		"CREATE TYPE pair AS (m mood, w word)",
		"CREATE TYPE nest AS (p pair, ps pair[], n int)",
		"CREATE TABLE local (k int PRIMARY KEY, ms mood[], ps pair[], p pair, n nest, ws word[])",
		"CREATE TABLE spread (LIKE local INCLUDING ALL)",
		"SELECT create_distributed_table('spread', 'k')",
		`INSERT INTO local VALUES (1, '{sad,happy}', '{"(ok,a)","(,b)"}', '(sad,x)', '("(ok,y)","{""(sad,z)"",NULL}",7)', '{u,v}'),
			(2, '{}', '{NULL}', NULL, '(,,)', NULL), (3, '{{ok,sad},{NULL,ok}}', '{}', '(,)', '("(,)",{},)', '{w}')`,
		"INSERT INTO spread SELECT * FROM local",
	} {
		run(Simple, sql)
	}
	rows := func(from string) [][]string {
		t.Helper()
		return run(Binary, from).Results[0].Rows
	}
	for _, query := range []string{
		"SELECT * FROM %s ORDER BY k", "SELECT * FROM %s WHERE k = 3", "SELECT k, ms || ms, array_agg(p) FROM %s GROUP BY k, ms ORDER BY k", "SELECT array_agg(p ORDER BY k) FROM %s",
	} {
		local, spread := rows(fmt.Sprintf(query, "local")), rows(fmt.Sprintf(query, "spread"))
		if !slices.EqualFunc(local, spread, slices.Equal[[]string]) {
			t.Errorf("%s:\n%q against\n%q", query, spread, local)
		}
	}
	for _, row := range rows("SELECT * FROM local ORDER BY k") {
		params := make([][]byte, len(row))
		for i, v := range row {
			if v != Null {
				params[i] = []byte(v)
			}
		}
		found := run(Binary, "SELECT k FROM spread WHERE ms IS NOT DISTINCT FROM $1 AND ps IS NOT DISTINCT FROM $2 AND p IS NOT DISTINCT FROM $3::pair AND n IS NOT DISTINCT FROM $4::nest AND ws IS NOT DISTINCT FROM $5", params[1:]...)
		if got := found.Results[0].Rows; len(got) != 1 || got[0][0] != row[0] {
			t.Errorf("row %q found as %q", row, got)
		}
		run(Binary, "DELETE FROM spread WHERE k = $1", params[0])
		run(Binary, "INSERT INTO spread VALUES ($1, $2, $3, $4, $5, $6)", params...)
	}
	if got, want := rows("SELECT * FROM spread ORDER BY k"), rows("SELECT * FROM local ORDER BY k"); !slices.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("written through parameters:\n%q against\n%q", got, want)
	}
}

// TestDeclaredTypes gives parameters the types that users made, from which PostgreSQL chooses operators and functions.
func TestDeclaredTypes(t *testing.T) {
	s := NewPair(t, &shared, 2, 4).Connect(t)
	for _, text := range []string{
		"CREATE TYPE mood AS ENUM ('sad', 'ok')",
		`CREATE TYPE "Odd Pair" AS (m mood, n int)`,
		"CREATE TABLE local (k int PRIMARY KEY, m mood, p \"Odd Pair\")",
		"CREATE TABLE spread (LIKE local INCLUDING ALL)",
		"SELECT create_distributed_table('spread', 'k')",
		"INSERT INTO local VALUES (1, 'sad', '(sad,1)'), (2, 'ok', '(ok,2)'), (3, NULL, NULL)",
		"INSERT INTO spread SELECT * FROM local",
	} {
		if a := ask(t.Context(), s.gateway, Simple, text, nil); a.Err != nil {
			t.Fatalf("%s: %v", text, a.Err)
		}
	}
	oid := func(name string) uint32 {
		a := ask(t.Context(), s.gateway, Simple, "SELECT '"+name+"'::regtype::oid", nil)
		if a.Err != nil {
			t.Fatal(a.Err)
		}
		n, err := strconv.ParseUint(a.Results[0].Rows[0][0], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(n)
	}
	pair, moods := oid(`"Odd Pair"`), oid("mood[]")
	for _, test := range []struct {
		query string
		typ   uint32
		value string
	}{
		{"SELECT k FROM %s WHERE p = $1", pair, "(ok,2)"},
		{"SELECT k FROM %s WHERE k = 2 AND p = $1", pair, "(ok,2)"},
		{"SELECT k, ($1).n, to_jsonb($1)::text, '$1' FROM %s ORDER BY k", pair, "(ok,2)"},
		{"SELECT k, u FROM %s, unnest($1) u WHERE m = u ORDER BY k", moods, "{ok,sad,ok}"},
		{"SELECT k, ($1)[1], $1[2], pg_typeof($1)::text FROM %s WHERE k = 1", moods, "{ok,sad}"},
		{"UPDATE %s SET m = ($1)[1], p = ROW(($1)[2], 7) WHERE k = 3 RETURNING *", moods, "{ok,sad}"},
	} {
		var answers [2]Answer
		for i, table := range []string{"local", "spread"} {
			a := &answers[i]
			a.Results = []Result{read(s.gateway.ExecParams(t.Context(), fmt.Sprintf(test.query, table), [][]byte{[]byte(test.value)}, []uint32{test.typ}, nil, nil), &a.Err)}
		}
		if answers[0].Err != nil || answers[1].Err != nil || !slices.EqualFunc(answers[0].Results[0].Rows, answers[1].Results[0].Rows, slices.Equal[[]string]) {
			t.Errorf("%s: %v, against %v of a local table", test.query, answers[1], answers[0])
		}
	}
}
