package tpch

import (
	"bytes"
	"strings"
	"testing"
)

func TestRowsAreTheSameEachTimeAndAsManyAsTheScaleSays(t *testing.T) {
	t.Parallel()
	want := map[string]int{"region": 5, "nation": 25, "supplier": 100, "part": 2000, "partsupp": 8000, "customer": 1500, "orders": 15000}
	for _, table := range Tables {
		var first, second bytes.Buffer
		for _, out := range []*bytes.Buffer{&first, &second} {
			if err := Write(out, table, 0.01); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("%s: two runs differ", table)
		}
		rows := bytes.Count(first.Bytes(), []byte("\n"))
		if n, known := want[table]; known && rows != n {
			t.Errorf("%s: %d rows, want %d", table, rows, n)
		}
	}
	if err := Write(&bytes.Buffer{}, "no_such_table", 1); err == nil {
		t.Error("an unknown table was accepted")
	}
}

func TestEveryLineBelongsToAnOrderAndAnOfferedPart(t *testing.T) {
	t.Parallel()
	keys := func(table string, columns ...int) (all [][]string) {
		var out bytes.Buffer
		if err := Write(&out, table, 0.002); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			fields := strings.Split(line, "\t")
			var key []string
			for _, c := range columns {
				key = append(key, fields[c])
			}
			all = append(all, key)
		}
		return all
	}
	orders, offers := map[string]bool{}, map[string]bool{}
	for _, k := range keys("orders", 0) {
		orders[k[0]] = true
	}
	for _, k := range keys("partsupp", 0, 1) {
		offers[k[0]+" "+k[1]] = true
	}
	for _, k := range keys("lineitem", 0, 1, 2) {
		if !orders[k[0]] || !offers[k[1]+" "+k[2]] {
			t.Fatalf("line of order %s, part %s, supplier %s belongs to none", k[0], k[1], k[2])
		}
	}
}

func TestQueriesAreComplete(t *testing.T) {
	t.Parallel()
	all := Queries(0.1)
	if len(all) != 22 {
		t.Fatalf("%d queries", len(all))
	}
	for i, q := range all {
		if q.Number != i+1 || strings.ContainsAny(q.SQL, "{;") {
			t.Errorf("query %d: %s", q.Number, q.SQL)
		}
	}
	if len(Schema()) != len(Tables) || len(Distribute()) != len(Tables) || len(Indexes()) != 3 {
		t.Errorf("%d tables, %d distributed, %d indexes", len(Schema()), len(Distribute()), len(Indexes()))
	}
}
