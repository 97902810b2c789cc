package plan

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// TestGolden plans the statements of testdata/*_cases and compares the plans, or the refusals, with those kept there.
func TestGolden(t *testing.T) {
	snapshot := testSnapshot(t)
	datadriven.Walk(t, "testdata/cases", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			settings := Settings{SearchPath: []string{"public"}}
			if d.Cmd == "sized" {
				settings.Statistics = testStatistics(snapshot)
			}
			return planText(snapshot, d.Input, settings)
		})
	})
}

// testStatistics says that d, e and x are large, and s is small.
func testStatistics(snapshot *catalog.Snapshot) *catalog.Statistics {
	s := &catalog.Statistics{Tables: map[uint32]*catalog.TableStatistics{}}
	for name, rows := range map[string]float64{"d": 2_000_000, "e": 5_000_000, "x": 1_000_000, "s": 500, "r": 20} {
		table := snapshot.Relations[catalog.Name{Schema: "public", Name: name}]
		t := &catalog.TableStatistics{Rows: rows, Columns: map[string]catalog.ColumnStatistics{}}
		for i, c := range table.Columns {
			t.Columns[c.Name] = catalog.ColumnStatistics{Width: 8, Distinct: rows / float64(1+10*i)}
		}
		s.Tables[table.OID] = t
	}
	return s
}

func planText(snapshot *catalog.Snapshot, text string, settings Settings) string {
	stmts, err := sql.Parse(text)
	if err != nil {
		return "parse error: " + err.Error() + "\n"
	}
	var scanned sql.Scanned
	sql.Scan(text, &scanned)
	p, err := Make(stmts[0], scanned.Literals, snapshot, settings)
	if err != nil {
		e := err.(*sql.Error)
		return "refused: " + e.Code + " " + e.Message + " (" + e.Detail + ")\n"
	}
	return p.String()
}

// testSnapshot is a catalog with the tables that the golden plans speak of: d and e are co-located, x is not, r is a reference
// table, l is local, s has a serial column, view_d reads d.
func testSnapshot(t testing.TB) *catalog.Snapshot {
	t.Helper()
	s := &catalog.Snapshot{Relations: map[catalog.Name]*catalog.Relation{}, Types: map[uint32]*catalog.Type{}, ByOID: map[uint32]*catalog.Relation{},
		Functions: map[string][]*catalog.Function{}, Colocations: map[int32]*catalog.Colocation{}, Operators: map[string]bool{}}
	for _, f := range lines(t, "testdata/functions.tsv") {
		s.Functions[f[0]] = append(s.Functions[f[0]], &catalog.Function{Schema: "pg_catalog", Name: f[0], Kind: f[1][0], Volatility: f[2][0],
			Result: uint32(atoi(f[3])), ReturnsSet: f[4] == "t", Language: "internal"})
	}
	for _, f := range lines(t, "testdata/types.tsv") {
		s.Types[uint32(atoi(f[0]))] = &catalog.Type{OID: uint32(atoi(f[0])), Schema: "pg_catalog", Name: f[1], Kind: f[2][0], Category: f[3][0]}
	}
	for _, hashed := range []uint32{int4OID, int8OID, textOID, uuidOID, dateOID, timestamptzOID, numericOID} {
		s.Types[hashed].HashFunction, s.Types[hashed].SQL = "hash"+s.Types[hashed].Name, s.Types[hashed].Name
	}
	oid := uint32(20000)
	add := func(kind catalog.Kind, colocation int32, key int, name, columns string) *catalog.Relation {
		r := &catalog.Relation{OID: oid, Schema: "public", Name: name, RelKind: 'r', Kind: kind, ColocationID: colocation, DistColumn: key}
		oid++
		for i, c := range strings.Fields(columns) {
			column, typ, _ := strings.Cut(c, ":")
			col := catalog.Column{Name: column, AttNum: int16(i + 1), TypMod: -1}
			for o, known := range s.Types {
				if known.Name == typ {
					col.TypeOID = o
				}
			}
			r.Columns = append(r.Columns, col)
		}
		s.Relations[catalog.Name{Schema: "public", Name: name}] = r
		s.ByOID[r.OID] = r
		return r
	}
	add(catalog.Distributed, 1, 0, "d", "k:int4 v:int4 t:text n:numeric ts:timestamptz f:float8")
	add(catalog.Distributed, 1, 0, "e", "k:int4 v:int4")
	add(catalog.Distributed, 2, 0, "x", "k:text v:int4")
	add(catalog.Reference, 3, -1, "r", "id:int4 name:text")
	add(catalog.Local, 0, -1, "l", "id:int4 v:int4")
	add(catalog.Distributed, 1, 0, "s", "k:int4 id:int4 note:text").Columns[1].Sequence = &catalog.Name{Schema: "public", Name: "s_id_seq"}
	view := add(catalog.Local, 0, -1, "view_d", "k:int4 total:int8")
	view.RelKind, view.Definition = 'v', "SELECT d.k, sum(d.v) AS total FROM public.d GROUP BY d.k"
	for id := int32(1); id <= 2; id++ {
		s.Colocations[id] = &catalog.Colocation{ID: id, ShardCount: 4, TypeOID: map[int32]uint32{1: int4OID, 2: textOID}[id]}
		for i := range int32(4) {
			s.Colocations[id].Groups = append(s.Colocations[id].Groups, catalog.ShardGroup{ID: int64(id*10 + i), GroupID: 1 + i%2})
		}
	}
	return s
}

func lines(t testing.TB, path string) [][]string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		all = append(all, strings.Split(line, "\t"))
	}
	return all
}

// BenchmarkRouterByShards plans router queries over few and over many shards: what it takes must not depend on their number.
func BenchmarkRouterByShards(b *testing.B) {
	for _, shards := range []int{32, 4096} {
		snapshot := testSnapshot(&testing.T{})
		c := snapshot.Colocations[1]
		c.ShardCount, c.Groups = shards, nil
		for i := range shards {
			c.Groups = append(c.Groups, catalog.ShardGroup{ID: int64(100 + i), GroupID: int32(1 + i%2)})
		}
		b.Run(strconv.Itoa(shards), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				planText(snapshot, "SELECT * FROM d JOIN e USING (k) WHERE k = 5", Settings{SearchPath: []string{"public"}})
			}
		})
	}
}

// BenchmarkPlan measures planning cold (parse and plan) by statement.
func BenchmarkPlan(b *testing.B) {
	snapshot := testSnapshot(&testing.T{})
	for name, text := range map[string]string{
		"router":    "SELECT * FROM d WHERE k = 5",
		"aggregate": "SELECT t, count(*), avg(v) FROM d WHERE v > 3 GROUP BY t ORDER BY 2 DESC LIMIT 10",
		"move5":     "SELECT r.name, count(*), sum(d.n) FROM x, d, e, s, r WHERE x.v = d.v AND d.k = e.k AND e.v = s.id AND s.k = r.id AND d.ts > '2026-01-01' GROUP BY r.name",
		"join5":     "SELECT count(*) FROM d JOIN e USING (k) JOIN s ON s.k = e.k JOIN r ON r.id = d.v JOIN d d2 ON d2.k = d.k WHERE d.v > 7",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; i < b.N; i++ {
				if out := planText(snapshot, text, Settings{SearchPath: []string{"public"}}); strings.HasPrefix(out, "refused") {
					b.Fatal(out, strconv.Itoa(i))
				}
			}
		})
	}
}
