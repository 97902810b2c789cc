package plan

import (
	"fmt"
	"strings"
	"testing"
)

// TestPlanningDeepNestingIsNotExponential would not end if each level of nesting doubled the work.
func TestPlanningDeepNestingIsNotExponential(t *testing.T) {
	snapshot := testSnapshot(t)
	for _, inner := range []string{"SELECT k, v FROM d WHERE v = 1", "SELECT k, v FROM d WHERE k = 1", "SELECT d.k, e.v FROM d JOIN e USING (k)"} {
		text := inner
		for i := range 80 {
			text = fmt.Sprintf("SELECT k, v FROM (%s) AS q%d WHERE v > %d", text, i, i)
		}
		for _, outer := range []string{text, text + " AND k = 5", text + " AND v IN (SELECT v FROM d WHERE k = 5)"} {
			if out := planText(snapshot, outer, Settings{SearchPath: []string{"public"}}); strings.HasPrefix(out, "refused") {
				t.Errorf("%.60s …: %s", outer, out)
			}
		}
	}
}
