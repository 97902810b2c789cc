package plan

import (
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/chbench"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/tpch"
)

// TestBenchmarkPlans keeps the plans of TPC-H's and CH-benCHmark's queries in testdata/benchmarks, over tables distributed the natural way.
func TestBenchmarkPlans(t *testing.T) {
	var decision []string
	for _, q := range tpch.Queries(0.1) {
		decision = append(decision, q.SQL)
	}
	for _, b := range []struct {
		file                        string
		schema, distribute, queries []string
		rows                        map[string]float64
	}{
		{"tpch", tpch.Schema(), tpch.Distribute(), decision, map[string]float64{"region": 5, "nation": 25, "supplier": 1e4, "part": 2e5, "partsupp": 8e5,
			"customer": 1.5e5, "orders": 1.5e6, "lineitem": 6e6}},
		{"chbench", chbench.Schema(), chbench.Distribute(), chbench.Queries(), map[string]float64{"warehouse": 100, "district": 1e3, "customer": 3e6,
			"history": 3e6, "new_order": 9e5, "orders": 3e6, "order_line": 3e7, "item": 1e5, "stock": 1e7, "region": 5, "nation": 26, "supplier": 1e4}},
	} {
		snapshot := benchmarkSnapshot(t, b.schema, b.distribute)
		settings := Settings{SearchPath: []string{"public"}, Statistics: benchmarkStatistics(snapshot, b.rows)}
		datadriven.RunTest(t, "testdata/benchmarks/"+b.file, func(t *testing.T, d *datadriven.TestData) string {
			number, err := strconv.Atoi(d.Input)
			if err != nil || number < 1 || number > len(b.queries) {
				d.Fatalf(t, "no query %s", d.Input)
			}
			return planText(snapshot, b.queries[number-1], settings)
		})
	}
}

// benchmarkStatistics says how many rows tables have, and supposes that columns after the key repeat themselves.
func benchmarkStatistics(snapshot *catalog.Snapshot, rows map[string]float64) *catalog.Statistics {
	s := &catalog.Statistics{Tables: map[uint32]*catalog.TableStatistics{}}
	for name, n := range rows {
		table := snapshot.Relations[catalog.Name{Schema: "public", Name: name}]
		t := &catalog.TableStatistics{Rows: n, Columns: map[string]catalog.ColumnStatistics{}}
		for i, c := range table.Columns {
			t.Columns[c.Name] = catalog.ColumnStatistics{Width: 8, Distinct: n / float64(1+10*i)}
		}
		s.Tables[table.OID] = t
	}
	return s
}

// benchmarkSnapshot is a catalog of the tables of a schema, distributed by statements of the forms that the benchmarks use.
func benchmarkSnapshot(t testing.TB, schema, distribute []string) *catalog.Snapshot {
	t.Helper()
	s := testSnapshot(t)
	s.Relations = map[catalog.Name]*catalog.Relation{}
	for i, text := range schema {
		stmts, err := sql.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		create := stmts[0].Tree.GetCreateStmt()
		r := &catalog.Relation{OID: uint32(30000 + i), Schema: "public", Name: create.Relation.Relname, RelKind: 'r', DistColumn: -1}
		var key []string
		for _, element := range create.TableElts {
			if c := element.GetConstraint(); c != nil {
				key = sql.Strings(c.Keys)
				continue
			}
			column := element.GetColumnDef()
			names := sql.Strings(column.TypeName.Names)
			c := catalog.Column{Name: column.Colname, AttNum: int16(len(r.Columns) + 1), TypMod: -1}
			for oid, known := range s.Types {
				if known.Schema == "pg_catalog" && known.Name == names[len(names)-1] {
					c.TypeOID = oid
				}
			}
			if c.TypeOID == 0 {
				t.Fatalf("%s.%s is of unknown type %s", r.Name, c.Name, names)
			}
			if len(column.Constraints) > 0 && strings.Contains(text, c.Name+" int PRIMARY KEY") {
				key = []string{c.Name}
			}
			r.Columns = append(r.Columns, c)
		}
		for _, name := range key {
			for j, c := range r.Columns {
				if c.Name == name {
					r.PrimaryKey = append(r.PrimaryKey, j)
				}
			}
		}
		s.Relations[catalog.Name{Schema: "public", Name: r.Name}] = r
	}
	for i, text := range distribute {
		words := strings.Split(text, "'") // the arguments are the odd ones
		r := s.Relations[catalog.Name{Schema: "public", Name: words[1]}]
		if strings.Contains(text, "create_reference_table") {
			r.Kind = catalog.Reference
			continue
		}
		r.Kind, r.ColocationID = catalog.Distributed, int32(100+i)
		if len(words) > 5 {
			r.ColocationID = s.Relations[catalog.Name{Schema: "public", Name: words[5]}].ColocationID
		}
		s.Colocations[r.ColocationID] = &catalog.Colocation{ID: r.ColocationID, ShardCount: 8}
		for j, c := range r.Columns {
			if c.Name == words[3] {
				r.DistColumn = j
			}
		}
	}
	return s
}

// BenchmarkJoinOfFiveTables measures parsing and planning of a join that was not seen before.
func BenchmarkJoinOfFiveTables(b *testing.B) {
	snapshot := benchmarkSnapshot(b, tpch.Schema(), tpch.Distribute())
	const text = `SELECT n_name, count(*), sum(l_quantity) FROM customer, orders, lineitem, supplier, nation WHERE c_custkey = o_custkey
		AND l_orderkey = o_orderkey AND l_suppkey = s_suppkey AND s_nationkey = n_nationkey AND o_orderdate > '1994-01-01' GROUP BY n_name`
	b.ReportAllocs()
	for b.Loop() {
		statements, err := sql.Parse(text)
		if err != nil {
			b.Fatal(err)
		}
		var scanned sql.Scanned
		sql.Scan(text, &scanned)
		if _, err := Make(statements[0], scanned.Literals, snapshot, Settings{SearchPath: []string{"public"}}); err != nil {
			b.Fatal(err)
		}
	}
}
