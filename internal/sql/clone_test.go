package sql

import (
	"testing"

	"google.golang.org/protobuf/proto"
)

func TestClonesAreEqualAndShareNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"WITH q AS (SELECT 1) SELECT a.b, count(*) FILTER (WHERE c > $1) OVER w, ARRAY[1, NULL, -2.5], 'x'::text, (r).f[1:2] FROM q JOIN a USING (k) WHERE NOT EXISTS (SELECT FROM z) WINDOW w AS (PARTITION BY d) LIMIT 3",
		"INSERT INTO t (a) VALUES (DEFAULT), (true) ON CONFLICT (a) DO UPDATE SET a = excluded.a RETURNING *",
		"CREATE TABLE t (a int PRIMARY KEY DEFAULT 1, b text COLLATE \"C\") PARTITION BY HASH (a)",
		"ALTER TABLE t ADD COLUMN c numeric(10, 2), ALTER COLUMN b SET NOT NULL",
	} {
		stmts, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		tree := stmts[0].Tree
		before := proto.Clone(tree)
		twin := Clone(tree)
		if !proto.Equal(tree, twin) {
			t.Errorf("%s: the copy differs", text)
		}
		Walk(twin, func(m proto.Message) bool {
			if n, ok := m.(*Node); ok && n.GetAConst() != nil {
				n.GetAConst().Location = 9999
			}
			if s, ok := m.(*SelectStmt); ok {
				s.TargetList = append(s.TargetList[:0], Null())
			}
			if a, ok := m.(*Alias); ok {
				a.Aliasname = "changed"
			}
			return true
		})
		if !proto.Equal(tree, before) {
			t.Errorf("%s: changing the copy changed the tree", text)
		}
	}
	if Clone[*Node](nil) != nil {
		t.Error("a copy of nothing is something")
	}
}

func BenchmarkClone(b *testing.B) {
	stmts, err := Parse("SELECT a, count(*), sum(b) FROM t, u, v WHERE t.k = u.k AND u.k = v.k AND d > '1994-01-01' GROUP BY a ORDER BY 2 LIMIT 10")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		Clone(stmts[0].Tree)
	}
}
