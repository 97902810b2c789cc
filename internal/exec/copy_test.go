package exec_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
)

func TestCopyFrom(t *testing.T) {
	t.Parallel()
	f := newCopyFixture(t)
	tests := []struct{ table, text, data string }{
		{"plain", "COPY plain FROM STDIN", "1\ta\t1.5\t2024-01-01\n2\t\\N\t\\N\t\\N\n-3\tx\\ty\\n\\\\\t1e2\tepoch\n 42 \t\t0\tinfinity\n"},
		{"plain", "copy public.plain (t, k) from stdin with (format csv, header, null 'NULL')", "a,b\n\"x,\"\"\ny\",10\nNULL,11\n\"NULL\",\"12\"\n"},
		{"plain", "copy plain (k, t) from stdin (format csv, header match, quote '|', escape '!')", "k,t\n20,|a!|!!\nb|\n"},
		{"plain", "copy plain (k, t) from stdin (delimiter ';', null '') where plain.k > 30 and public.plain.t <> 'q'", "30;a\n31;b\n32;q\n33;\n34;z\r"},
		{"plain", "copy plain (t, k) from stdin", "crlf\t40\r\nmore\t41\r\n\\.\r\n"},
		{"plain", "copy plain (t, k) from stdin", ""},
		{"plain", "copy plain (k) from stdin", "50\n51"},
		{"nullable", "copy nullable from stdin", "a\t9223372036854775807\nb\t-5\n"},
		{"nullable", "copy nullable from stdin", "a\t1\nb\t\\N\n\\N\t\\N\n"},
		{"nullable", "copy nullable (t) from stdin csv", "a\nb\n"},
		{"moods", "copy moods from stdin", "\\N\t1\nsad\t2\n"},
		{"words", "copy words from stdin", "é😀\t\\u\n\t\n\\x41\tb\n\\101b\tc\nplain word\t\\N\n"},
		{"words", "copy words (v, k) from stdin (format csv, force_null (v), force_not_null (k))", "\"\",\n1,\"1\"\n"},
		{"moods", "copy moods from stdin", strings.Repeat("sad\t1\nok\t2\nhappy\t\\N\n", 1500)},
		{"serials", "copy serials (k) from stdin", strings.Join(strings.Split(strings.Repeat("7", 3000), ""), "\n") + "\n"},
		{"serials", "copy serials (s, k) from stdin (format csv, null '5')", "1,2\n3,4\n"},
		{"serials", "copy serials from stdin", "100\t2\t3\t4\n"},
		{"byid", "copy byid (v) from stdin", "a\nb\nc\n"},
		{"byid", "copy byid (v) from stdin (null '5')", "a\nb\nc\n"},
		{"Odd \"name\"", `copy "Odd ""name""" from stdin`, "abc\t1\nxyz  \t2\na     \t3\n"},
		{"Odd \"name\"", `copy "Odd ""name""" ("The Key") from stdin csv`, "q\n\"w\"\n"},
		{"made", "copy made (k) from stdin", "1\n2\n3\n4\n5\n"},
		{"made", "copy made (k) from stdin csv", "1\n2\n3\n4\n5\n"},
		{"made", "copy made (k) from stdin binary", ""},
		{"parts", "copy parts from stdin", "1\t2023-05-05\n2\t2024-05-05\n3\t2025-01-01\n"},
		{"parts", "copy parts_new (d, k) from stdin csv", "2024-05-05,7\n"},
		{"simpleref", "copy simpleref (id) from stdin", "1\n2\n3\n"},
		{"simpleref", "copy simpleref (name, id) from stdin csv header", "name,id\na,4\n\"b\nc\",5\n"},
		{"ref", "copy ref (id, name) from stdin where id > 2", "1\ta\n2\tb\n3\tc\n4\td\n"},
		{"ref", "copy ref (name, id) from stdin (format csv, header match)", "name,id\nx,9\n"},
	}
	columns := map[string]string{"ref": "id, name, s", "made": "k, who, d, nothing"}
	for _, test := range tests {
		for _, chunk := range []int{0, 3} {
			f.empty(test.table)
			if strings.HasSuffix(test.text, "binary") {
				test.data = "PGCOPY\n\xff\r\n\x00" + strings.Repeat("\x00", 8) + strings.Repeat("\x00\x01\x00\x00\x00\x04\x00\x00\x00\x07", 3) + "\xff\xff"
			}
			f.both(test.text, test.data, chunk)
			if test.table == "made" {
				if times, _ := f.rows("made", "at"); len(times) == 0 || len(slices.Compact(times)) > 1 {
					t.Errorf("now() gave several values: %v", times)
				}
			}
			if c := columns[test.table]; c != "" {
				f.compare(test.table, c)
			} else {
				f.compare(test.table, `"`+strings.ReplaceAll(test.table, `"`, `""`)+`".*`)
			}
		}
	}
}

func TestCopyFromErrors(t *testing.T) {
	t.Parallel()
	f := newCopyFixture(t)
	many := func(bad string, at int) string {
		var b strings.Builder
		for i := range 20000 {
			if i == at {
				b.WriteString(bad)
				continue
			}
			fmt.Fprintf(&b, "%d\tsome text\t%d\t2024-01-01\n", i, i)
		}
		return b.String()
	}
	tests := []struct{ table, text, data string }{
		{"plain", "copy plain from stdin", many("7\tx\tbad\t2024-01-01\n", 15000)},
		{"plain", "copy plain from stdin", many("7\tx\t1\n", 12345)},
		{"plain", "copy plain from stdin", many("7\tx\t1\t2024-01-01\textra\n", 3)},
		{"plain", "copy plain from stdin", many("\\N\tx\t1\t2024-01-01\n", 19999)},
		{"plain", "copy plain (t) from stdin", "a\nb\n"},
		{"plain", "copy plain from stdin", many("x1\tx\t1\t2024-01-01\n", 500)},
		{"plain", "copy plain from stdin", many("7\tx\t1\t2024-01-01\r\n", 501)},
		{"plain", "copy plain (k, t) from stdin csv header", "k,t\n1,\"a\nb\"\n2,\"c\nd\nx\",f\n"},
		{"plain", "copy plain (k, t) from stdin csv", "1,\"a\nb\"\n2,\"c\n"},
		{"plain", "copy plain (k, n) from stdin (format csv, header match)", "k,x\n1,1\n"},
		{"plain", "copy plain (k, nothing) from stdin", "1\t2\n"},
		{"plain", "copy plain (k, k) from stdin", "1\t2\n"},
		{"plain", "copy plain from stdin (format csv, delimiter 'xx')", "1\n"},
		{"plain", "copy plain from stdin (nonsense)", "1\n"},
		{"plain", "copy plain from stdin (format binary)", "rubbish\n"},
		{"plain", "copy plain (k) from stdin where nothing > 1", "1\n"},
		{"words", "copy words from stdin", "a\tb\nc\td\na\te\n"},
		{"moods", "copy moods from stdin", "sad\t1\nangry\t2\n"},
		{"Odd \"name\"", `copy "Odd ""name""" from stdin`, "abc\t1\ntoolong\t2\n"},
		{"Odd \"name\"", `copy "Odd ""name""" from stdin`, "abc\t1\nabd\t-2\n"},
		{"simpleref", "copy simpleref (id) from stdin", "1\n2\n1\n"},
		{"simpleref", "copy simpleref (id) from stdin", "1\nx\n"},
		{"ref", "copy ref (id) from stdin", "1\nx\n"},
		{"serials", "copy serials (id, k) from stdin", "1\t2\nx\t3\n"},
		{"serials", "copy serials (twice) from stdin", "1\n"},
		{"parts", "copy parts_new from stdin", "1\t2024-01-01\n2\t2023-12-31\n"},
	}
	for _, test := range tests {
		f.both(test.text, test.data, 4096)
		if distributed, _ := f.rows(test.table, "1"); len(distributed) > 0 {
			t.Errorf("%s of %.100q left %d rows behind", test.text, test.data, len(distributed))
		}
	}

	_, err := f.run("copy plain (k) from stdin", &fakeClient{data: []byte("1\n2\n"), fail: "no more"})
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != "57014" || e.Message != "COPY from stdin failed: no more" || e.Where != "COPY plain, line 3" {
		t.Errorf("%+v", err)
	}
	for _, text := range []string{"copy plain from '/tmp/x'", "copy plain to program 'cat'"} {
		var own *sql.Error
		if _, err := f.run(text, &fakeClient{}); !errors.As(err, &own) || own.Code != "0A000" || own.Hint == "" {
			t.Errorf("%s: %v", text, err)
		}
	}
	if distributed, _ := f.rows("plain", "1"); len(distributed) > 0 {
		t.Error("plain has rows")
	}
}

// TestCopyRandom loads random data in every format, and reads it back in every format.
func TestCopyRandom(t *testing.T) {
	t.Parallel()
	f := newCopyFixture(t)
	random := rand.New(rand.NewPCG(5, 6))
	pieces := []string{"a", "Zé", "😀", "'", "\"", "\\", ",", "\t", "\n", "\r", ";", "\\N", "\\.", " ", "null", "x", "\v", "0"}
	var insert strings.Builder
	insert.WriteString("INSERT INTO words VALUES ")
	seen := map[string]bool{}
	for len(seen) < 3000 {
		var key, value strings.Builder
		for range random.IntN(6) {
			key.WriteString(pieces[random.IntN(len(pieces))])
			value.WriteString(pieces[random.IntN(len(pieces))])
		}
		if seen[key.String()] {
			continue
		}
		if len(seen) > 0 {
			insert.WriteString(", ")
		}
		seen[key.String()] = true
		v := sql.QuoteLiteral(value.String())
		if random.IntN(5) == 0 {
			v = "NULL"
		}
		insert.WriteString("(" + sql.QuoteLiteral(key.String()) + ", " + v + ")")
	}
	source := strings.Replace(insert.String(), "words", "source", 1)
	if err := pgtest.Exec(t.Context(), f.plain, "CREATE TABLE source (LIKE words); "+source); err != nil {
		t.Fatal(err)
	}
	for _, options := range []string{"", " (format csv)", " (format csv, header, force_quote *)", " (format csv, quote '''', escape '\\', delimiter ';', null 'null')",
		" (delimiter '|', null 'xyzzy')", " (format binary)", " (format csv, force_quote (k), null '')", " (format text, header true)"} {
		_, data, err := f.onPlain("COPY source (v, k) TO STDOUT"+options, nil)
		if err != nil {
			t.Fatal(err)
		}
		load := " (v, k) FROM STDIN" + strings.NewReplacer(", force_quote *", "", ", force_quote (k)", "").Replace(options)
		f.empty("words")
		for _, chunk := range []int{1 + random.IntN(20), 8192} {
			f.empty("words")
			f.both("COPY words"+load, data, chunk)
			f.compare("words", "words.*")
		}
		// And out again.
		out := &fakeClient{}
		tag, err := f.run("COPY words TO STDOUT"+options, out)
		if err != nil || tag != "COPY 3000" {
			t.Fatalf("COPY words TO STDOUT%s: %s %v", options, tag, err)
		}
		if err := pgtest.Exec(t.Context(), f.plain, "DROP TABLE IF EXISTS back; CREATE TABLE back (LIKE words)"); err != nil {
			t.Fatal(err)
		}
		back := strings.Replace(strings.Replace(load, "(v, k)", "", 1), "header true", "header match", 1)
		if _, _, err := f.onPlain("COPY back"+back, []byte(out.received(t))); err != nil {
			t.Errorf("reading back%s: %v", options, err)
		}
		if rows := pgtest.Rows(t, f.plain, "(TABLE words EXCEPT ALL TABLE back) UNION ALL (TABLE back EXCEPT ALL TABLE words)"); len(rows) > 0 {
			t.Errorf("COPY TO STDOUT%s differs in %d rows: %q", options, len(rows), rows[0])
		}
	}
}

func TestCopyTo(t *testing.T) {
	t.Parallel()
	f := newCopyFixture(t)
	f.both("copy plain from stdin", "1\ta\t1.5\t2024-01-01\n2\t\\N\t\\N\t\\N\n", 0)
	f.both("copy simpleref (id) from stdin", "1\n2\n", 0)
	for _, text := range []string{"COPY plain TO STDOUT", "COPY plain (t, k) TO STDOUT (FORMAT csv, HEADER)", "COPY plain TO STDOUT (FORMAT binary)", "COPY simpleref TO STDOUT",
		"COPY moods TO STDOUT", "COPY moods TO STDOUT (FORMAT binary)", "COPY moods TO STDOUT CSV HEADER", "COPY plain (nothing) TO STDOUT", "COPY parts TO STDOUT", "COPY parts_old TO STDOUT", "COPY plain TO STDOUT (FORMAT csv, QUOTE 'xx')",
		"COPY (SELECT 1 AS a, 'x' AS b) TO STDOUT (FORMAT csv, HEADER)", "COPY (SELECT k, t FROM plain WHERE k < 2) TO STDOUT",
		"COPY (SELECT k, upper(t) AS \"Up\" FROM plain WHERE n > 1 OR t IS NULL -- a comment\n) TO STDOUT (FORMAT csv, HEADER)",
		"COPY (SELECT * FROM plain) TO STDOUT (FORMAT binary)", "COPY (SELECT t FROM plain WHERE k = 1) TO STDOUT",
		"COPY (SELECT k, t FROM plain ORDER BY k DESC LIMIT 1) TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE *)",
		"COPY (SELECT count(*), max(t) AS m FROM plain) TO STDOUT CSV HEADER", "COPY (SELECT p.k, r.name FROM plain p JOIN simpleref r ON r.id = p.k) TO STDOUT",
		"COPY (SELECT nothing FROM plain) TO STDOUT", "COPY (SELECT k / (k - 1) FROM plain) TO STDOUT", "COPY (SELECT count(*) FROM plain) TO STDOUT (FORMAT binary)",
		"COPY (DELETE FROM plain WHERE k = 2 RETURNING k, t) TO STDOUT CSV", "COPY (UPDATE plain SET t = 'new' RETURNING t, k) TO STDOUT"} {
		client := &fakeClient{}
		tag, err := f.run(text, client)
		wantTag, want, wantErr := f.onPlain(text, nil)
		if describe(err) != describe(wantErr) {
			t.Errorf("%s: %s, want %s", text, describe(err), describe(wantErr))
			continue
		}
		if err != nil {
			continue
		}
		if got := client.received(t); tag != wantTag || !sameLines(got, want) {
			t.Errorf("%s: %s %q, want %s %q", text, tag, got, wantTag, want)
		}
	}
}

// sameLines compares texts but for the order of lines after the first; binary data by its length and its ends.
func sameLines(a, b string) bool {
	if strings.HasPrefix(a, "PGCOPY") {
		return len(a) == len(b) && a[:19] == b[:19] && a[len(a)-2:] == b[len(b)-2:]
	}
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y) && (!strings.Contains(b, ",") || a[:strings.IndexByte(a, '\n')] == b[:strings.IndexByte(b, '\n')])
}

// TestCopyInBlock checks that COPY belongs to the transaction around it.
func TestCopyInBlock(t *testing.T) {
	t.Parallel()
	f := newCopyFixture(t)
	var data strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&data, "%d\tx\n", i)
	}
	for _, commit := range []bool{false, true} {
		f.tx.Begin("BEGIN")
		if tag, err := f.run("COPY plain (k, t) FROM STDIN", &fakeClient{data: []byte(data.String())}); err != nil || tag != "COPY 1000" {
			t.Fatalf("%s %v", tag, err)
		}
		out := &fakeClient{}
		if tag, err := f.run("COPY plain (k, t) TO STDOUT", out); err != nil || tag != "COPY 1000" || !sameLines(out.received(t), data.String()) {
			t.Errorf("in the transaction: %s %v", tag, err)
		}
		want := 0
		if commit {
			want = 1000
			if tag, err := f.tx.Commit(t.Context()); err != nil || tag != "COMMIT" {
				t.Fatalf("%s %v", tag, err)
			}
		} else if err := f.tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		if rows, _ := f.rows("plain", "k"); len(rows) != want {
			t.Errorf("%d rows, want %d", len(rows), want)
		}
	}
	f.tx.Begin("BEGIN")
	if _, err := f.run("COPY plain (k, t) FROM STDIN", &fakeClient{data: []byte("x\ty\n")}); err == nil || f.tx.Status() != 'E' {
		t.Errorf("status %c after %v", f.tx.Status(), err)
	}
	f.tx.Rollback(t.Context())
}

func TestCopyEncoding(t *testing.T) {
	t.Parallel()
	f := newCopyFixture(t)
	check := func(what, text, data string, want ...string) {
		t.Helper()
		f.empty("words")
		tag, err := f.run(text, &fakeClient{data: []byte(data)})
		if err != nil || tag != fmt.Sprint("COPY ", len(want)) {
			t.Errorf("%s: %s %s", what, tag, describe(err))
		}
		if rows, _ := f.rows("words", "k"); !slices.Equal(rows, want) {
			t.Errorf("%s: %q, want %q", what, rows, want)
		}
	}
	check("option", "COPY words (k) FROM STDIN (ENCODING 'latin1')", "plain\n", "plain")
	f.tx.SetSettings(backend.NewSettings(map[string]string{"client_encoding": "latin1"}))
	check("text", "COPY words (k) FROM STDIN", "\xe9t\xe9\nplain\n\xfc\n", "plain", "été", "ü")
	header, trailer := "PGCOPY\n\xff\r\n\x00"+strings.Repeat("\x00", 8), "\xff\xff"
	check("binary", "COPY words (k) FROM STDIN (FORMAT binary)", header+"\x00\x01\x00\x00\x00\x01\xe9"+trailer, "é")
	check("option utf8", "COPY words (k) FROM STDIN (ENCODING 'utf8')", "été\n", "été")
	out := &fakeClient{}
	if tag, err := f.run("COPY words (k) TO STDOUT", out); err != nil || tag != "COPY 1" || out.received(t) != "\xe9t\xe9\n" {
		t.Errorf("out: %s %v %q", tag, err, out.out.Bytes())
	}
	f.tx.SetSettings(backend.NewSettings(map[string]string{"client_encoding": "sjis"}))
	var own *sql.Error
	if _, err := f.run("COPY words (k) FROM STDIN", &fakeClient{data: []byte("x\n")}); !errors.As(err, &own) || own.Code != "0A000" {
		t.Errorf("sjis: %v", err)
	}
}

// TestCopyLarge moves rows that are larger than every buffer, and lets the client go away in the middle.
func TestCopyLarge(t *testing.T) {
	t.Parallel()
	f := newCopyFixture(t)
	var data strings.Builder
	for i := range 12 {
		fmt.Fprintf(&data, "%d\t%s\n", i, strings.Repeat(string(rune('a'+i)), 1+i*500_000))
	}
	for i := range 5000 {
		fmt.Fprintf(&data, "%d\tsmall\n", 100+i)
	}
	client := &fakeClient{data: []byte(data.String()), chunk: 8192}
	if tag, err := f.run("COPY plain (k, t) FROM STDIN", client); err != nil || tag != "COPY 5012" {
		t.Fatalf("%s %v", tag, err)
	}
	out := &fakeClient{}
	if tag, err := f.run("COPY plain (k, t) TO STDOUT", out); err != nil || tag != "COPY 5012" || !sameLines(out.received(t), data.String()) {
		t.Errorf("%s %v", tag, err)
	}
	for _, after := range []int{0, 1, 100, 1 << 20, 8 << 20} {
		for _, block := range []bool{false, true} {
			if block {
				f.tx.Begin("BEGIN")
			}
			gone := errors.New("the client is gone")
			if _, err := f.runWith("COPY plain (k, t) TO STDOUT", &goneClient{after: after, err: gone}); !errors.Is(err, gone) {
				t.Errorf("%v", err)
			}
			f.tx.Rollback(t.Context())
		}
	}
	if tag, err := f.run("COPY plain (k) TO STDOUT", &fakeClient{}); err != nil || tag != "COPY 5012" {
		t.Errorf("%s %v", tag, err)
	}
}

// TestCopyCancel ends the context in the middle of the data.
func TestCopyCancel(t *testing.T) {
	t.Parallel()
	f := newCopyFixture(t)
	for _, after := range []int{0, 1, 50} {
		ctx, cancel := context.WithCancel(t.Context())
		client := &cancellingClient{fakeClient{data: bytes.Repeat([]byte("1\n"), 1<<20), chunk: 8192}, after, cancel}
		statements, err := sql.Parse("COPY plain (k) FROM STDIN")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = exec.Copy(ctx, f.env(), statements[0], plan.Settings{SearchPath: []string{"public"}}, client)
		var e *pgconn.PgError
		if !errors.As(err, &e) || e.Code != "57014" || time.Since(start) > 8*time.Second {
			t.Errorf("after %d: %v in %v", after, err, time.Since(start))
		}
		if rows, _ := f.rows("plain", "k"); len(rows) > 0 || f.tx.InBlock() {
			t.Errorf("%d rows are left", len(rows))
		}
	}
}

type cancellingClient struct {
	fakeClient
	after  int
	cancel func()
}

func (c *cancellingClient) CopyData(ctx context.Context) ([]byte, error) {
	if c.after--; c.after < 0 {
		c.cancel()
	}
	return c.fakeClient.CopyData(ctx)
}

// goneClient takes some bytes and then fails.
type goneClient struct {
	fakeClient
	after int
	err   error
}

func (c *goneClient) Write(p []byte) (int, error) {
	if c.after -= len(p); c.after < 0 {
		return 0, c.err
	}
	return len(p), nil
}

// BenchmarkCopyFrom loads rows into a distributed table and, for comparison, into a table of one PostgreSQL.
func BenchmarkCopyFrom(b *testing.B) {
	f := newCopyFixture(b)
	const rows = 200_000
	for format, row := range map[string]string{
		"text": "%d\tsome text of a usual length\t%d.25\t2024-02-29 12:34:56+00\n",
		"csv":  "%d,\"some text of a usual length\",%d.25,2024-02-29 12:34:56+00\n",
	} {
		var data bytes.Buffer
		for i := range rows {
			fmt.Fprintf(&data, row, i*7, i)
		}
		text := "COPY plain FROM STDIN (FORMAT " + format + ")"
		b.Run(format+"/direct", func(b *testing.B) {
			b.SetBytes(int64(data.Len()))
			for b.Loop() {
				if _, _, err := f.onPlain(text, data.Bytes()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
		b.Run(format+"/distributed", func(b *testing.B) {
			b.SetBytes(int64(data.Len()))
			for b.Loop() {
				if tag, err := f.run(text, &fakeClient{data: data.Bytes(), chunk: 8192}); err != nil || tag != fmt.Sprint("COPY ", rows) {
					b.Fatal(tag, err)
				}
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
