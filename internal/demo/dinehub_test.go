package demo

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"testing"
)

// TestSameRowsForTheSameScale pins the generator's output: people compare
// runs of the demo over time and between machines.
func TestSameRowsForTheSameScale(t *testing.T) {
	t.Parallel()
	d, err := New(0.001)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	rows := make(map[string]int64)
	for _, p := range d.parts() {
		r := &rowReader{part: p, next: p.first, report: func(n int64) { rows[p.table] += n }}
		if _, err := io.Copy(h, r); err != nil {
			t.Fatal(err)
		}
	}
	if rows["restaurants"] != 10 || rows["orders"] != 1000 || rows["users"] != 100 || rows["order_items"] != d.items() {
		t.Errorf("row counts are %v", rows)
	}
	const want = "52497c7aa4921e42"
	if got := hex.EncodeToString(h.Sum(nil)[:8]); got != want {
		t.Errorf("the rows have changed: their hash is %s, was %s", got, want)
	}
}

func TestOrdersAddUpAtEveryScale(t *testing.T) {
	t.Parallel()
	for _, scale := range []float64{0.0001, 0.013, 1, 3.7} {
		d, err := New(scale)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.firstOrder[d.Restaurants]; got != d.Orders {
			t.Errorf("scale %v: %d orders, want %d", scale, got, d.Orders)
		}
		next := make(map[string]int64)
		for _, p := range d.parts() {
			if p.first != next[p.table]+1 {
				t.Errorf("scale %v: a part of %s begins at %d after %d", scale, p.table, p.first, next[p.table])
			}
			next[p.table] = p.last
		}
		if next["orders"] != d.Restaurants || next["users"] != d.Users {
			t.Errorf("scale %v: parts end at %v", scale, next)
		}
	}
}

func TestScaleOutOfRange(t *testing.T) {
	t.Parallel()
	for _, scale := range []float64{0, -1, 1e9} {
		if _, err := New(scale); err == nil || !strings.Contains(err.Error(), "scale") {
			t.Errorf("scale %v: error %v", scale, err)
		}
	}
}

func BenchmarkOrders(b *testing.B) {
	d, err := New(1)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var buf []byte
	var rows int64
	for i := 0; b.Loop(); i++ {
		var n int64
		buf, n = d.appendItems(buf[:0], int64(i)%d.Restaurants+1)
		rows += n
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}
