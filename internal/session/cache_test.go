package session

import (
	"testing"

	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
)

// BenchmarkCachedPlan finds the plan of a 5-table join in the cache: all that planning is for a statement that has been seen before.
func BenchmarkCachedPlan(b *testing.B) {
	const text = "SELECT count(*) FROM d JOIN e USING (k) JOIN s ON s.k = e.k JOIN r ON r.id = d.v JOIN d d2 ON d2.k = d.k WHERE d.v > 7 AND e.v = 'one'"
	cache, err := newPlanCache(100)
	if err != nil {
		b.Fatal(err)
	}
	var scanned sql.Scanned
	sql.Scan(text, &scanned)
	cache.add(string(scanned.Key), &entry{plan: &plan.Plan{}})
	b.ReportAllocs()
	for b.Loop() {
		sql.Scan(text, &scanned)
		if cache.find(unsafeString(scanned.Key), text, scanned.Literals, 0) == nil {
			b.Fatal("the plan is not in the cache")
		}
	}
}
