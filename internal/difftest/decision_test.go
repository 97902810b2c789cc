package difftest

import (
	"bytes"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trunkline/trunkline/internal/chbench"
	"github.com/trunkline/trunkline/internal/tpch"
)

// TestDecisionSupportQueries asks the 22 queries of TPC-H and the 22 of CH-benCHmark, with tables distributed the natural way.
func TestDecisionSupportQueries(t *testing.T) {
	t.Run("TPC-H", func(t *testing.T) {
		const scale = 0.005
		s := NewPair(t, &shared, 2, 6).Connect(t)
		for _, sql := range tpch.Schema() {
			s.Must(t, sql)
		}
		s.Distribute(t, tpch.Distribute()...)
		for _, table := range tpch.Tables {
			for _, conn := range []*pgconn.PgConn{s.gateway, s.plain} {
				var rows bytes.Buffer
				if err := tpch.Write(&rows, table, scale); err != nil {
					t.Fatal(err)
				}
				if _, err := conn.CopyFrom(t.Context(), &rows, "COPY "+table+" FROM STDIN"); err != nil {
					t.Fatalf("filling %s: %v", table, err)
				}
			}
		}
		for _, sql := range tpch.Indexes() {
			s.Must(t, sql)
		}
		s.Must(t, "ANALYZE")
		for _, q := range tpch.Queries(scale) {
			s.checkDecision(t, q.Number, q.SQL, false)
		}
	})
	t.Run("CH-benCHmark", func(t *testing.T) {
		s := NewPair(t, &shared, 2, 6).Connect(t)
		for _, sql := range chbench.Schema() {
			s.Must(t, sql)
		}
		s.Distribute(t, chbench.Distribute()...)
		for _, sql := range chbench.Rows(4) {
			s.Must(t, sql)
		}
		s.Must(t, "ANALYZE")
		for i, sql := range chbench.Queries() {
			s.checkDecision(t, i+1, sql, true)
		}
	})
}

// checkDecision compares the answers to a query. TPC-H leaves the order of some rows open.
func (s *Session) checkDecision(t *testing.T, number int, sql string, ordered bool) {
	t.Helper()
	for _, how := range []Protocol{Simple, Named} {
		gateway, plain := s.Run(t.Context(), how, sql, nil)
		if plain.Err != nil {
			t.Fatalf("query %d: %v", number, plain.Err)
		}
		if verdict, text := Compare(gateway, plain, Rules{Ordered: ordered, Loose: true}); verdict != Same {
			t.Errorf("query %d (%s): %s\n--- gateway\n%s--- plain\n%s", number, how, text, gateway, plain)
		}
		if how == Simple && len(plain.Results[0].Rows) == 0 {
			t.Logf("query %d finds no rows", number)
		}
	}
}
