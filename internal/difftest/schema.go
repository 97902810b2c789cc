package difftest

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// valueType is a type of the generator's columns and expressions.
type valueType byte

const (
	typeInt valueType = iota
	typeText
	typeBool
	typeNum // always of scale 2, so that equal values look equal
	typeTime
	typeFloat // multiples of 0.25, so that sums do not depend on the order of addition
	typeArray
	typeJSON
	typeEnum
	typePair              // a composite type
	typeRange             // of int
	typeCount             // the number of types
	typeRow   = typeCount // a whole row of a table: nothing but what a scope offers
)

// sqlName is how a type is written in a cast.
func (t valueType) sqlName() string {
	return [...]string{"int", "text", "boolean", "numeric(12,2)", "timestamptz", "float8", "int[]", "jsonb", "mood", "pair", "int4range"}[t]
}

// column is a column of all the generator's tables: they have the same ones and differ in how they are spread.
type column struct {
	name string
	typ  valueType
}

// declaration is how a table declares the column: some are of a domain over their type, or have a collation of their own.
func (c column) declaration() string {
	switch c.name {
	case "id":
		return "id int NOT NULL"
	case "a":
		return "a int DEFAULT 7"
	case "b":
		return "b text DEFAULT 'dflt'"
	case "s":
		return `s text COLLATE "en-x-icu"`
	case "z":
		return "z small"
	}
	return c.name + " " + c.typ.sqlName()
}

// types are what the tables need first.
const types = "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); CREATE TYPE pair AS (p int, q text); CREATE DOMAIN small AS int CHECK (VALUE < 1000000)"

var columns = []column{{"id", typeInt}, {"k", typeInt}, {"a", typeInt}, {"b", typeText}, {"f", typeBool}, {"n", typeNum}, {"t", typeTime},
	{"x", typeFloat}, {"r", typeArray}, {"j", typeJSON}, {"e", typeEnum}, {"c", typePair}, {"g", typeRange}, {"s", typeText}, {"z", typeInt}}

// table is one of the generator's tables.
type table struct {
	name       string
	key        string   // distribution column, "" for others
	notNull    []string // columns
	unique     []string // primary key
	partitions string   // by a
	distribute string   // what makes it what it is
	rows       int
}

// tables are co-located ones, others that are not, reference tables and a local one. In each, id is unique.
var tables = []table{
	{name: "d1", key: "k", unique: []string{"k", "id"}, rows: 26, distribute: "SELECT create_distributed_table('d1', 'k', shard_count => 6)"},
	{name: "d2", key: "k", rows: 22, distribute: "SELECT create_distributed_table('d2', 'k', colocate_with => 'd1')"},
	{name: "d3", key: "k", unique: []string{"k"}, rows: 9, distribute: "SELECT create_distributed_table('d3', 'k', colocate_with => 'd1')"},
	{name: "x1", key: "b", rows: 20, distribute: "SELECT create_distributed_table('x1', 'b', shard_count => 4)"},
	{name: "x2", key: "a", rows: 18, distribute: "SELECT create_distributed_table('x2', 'a', shard_count => 5, colocate_with => 'none')"},
	{name: "x3", key: "n", notNull: []string{"n"}, rows: 12, distribute: "SELECT create_distributed_table('x3', 'n', shard_count => 3)"},
	{name: "x4", key: "t", rows: 14, distribute: "SELECT create_distributed_table('x4', 't', shard_count => 3)"},
	{name: "p1", key: "k", rows: 16, partitions: "p1a PARTITION OF p1 FOR VALUES FROM (0) TO (3); CREATE TABLE p1b PARTITION OF p1 DEFAULT",
		distribute: "SELECT create_distributed_table('p1', 'k', colocate_with => 'd1')"},
	{name: "r1", unique: []string{"id"}, rows: 8, distribute: "SELECT create_reference_table('r1')"},
	{name: "r2", rows: 12, distribute: "SELECT create_reference_table('r2')"},
	{name: "l1", unique: []string{"id"}, rows: 10},
}

// views over them.
var views = []struct {
	name, query string
	columns     []column
}{
	{"w1", "SELECT * FROM d1", columns},
	{"w2", "SELECT k, count(*)::int AS n1, sum(n) AS s1, max(b) AS m1 FROM d2 GROUP BY k", []column{{"k", typeInt}, {"n1", typeInt}, {"s1", typeNum}, {"m1", typeText}}},
	{"w3", "SELECT d1.k, d1.id, x1.b, r1.n FROM d1 LEFT JOIN x1 ON x1.id = d1.a LEFT JOIN r1 ON r1.id = d1.id", []column{{"k", typeInt}, {"id", typeInt}, {"b", typeText}, {"n", typeNum}}},
	{"w4", "SELECT b, count(*)::int AS a FROM x2 GROUP BY b UNION ALL SELECT b, id FROM r2 WHERE f", []column{{"b", typeText}, {"a", typeInt}}},
	{"w5", "SELECT l1.k, l1.b, w2.n1 AS a FROM l1 LEFT JOIN w2 USING (k)", []column{{"k", typeInt}, {"b", typeText}, {"a", typeInt}}},
}

// functions read tables: one gives a value, the other rows.
const functions = "CREATE FUNCTION counted(key int) RETURNS int LANGUAGE sql STABLE AS 'SELECT count(*)::int FROM d2 WHERE d2.k = key'; " +
	"CREATE FUNCTION picked(tag text) RETURNS TABLE (a int, b text) LANGUAGE sql STABLE AS 'SELECT id, x1.b FROM x1 WHERE x1.b >= tag'"

func (t *table) create() string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (", t.name)
	for i, c := range columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(c.declaration())
	}
	if len(t.unique) > 0 {
		fmt.Fprintf(&b, ", PRIMARY KEY (%s)", strings.Join(t.unique, ", "))
	}
	b.WriteByte(')')
	if t.partitions != "" {
		b.WriteString(" PARTITION BY RANGE (a); CREATE TABLE " + t.partitions)
	}
	for _, c := range t.notNull {
		fmt.Fprintf(&b, "; ALTER TABLE %s ALTER %s SET NOT NULL", t.name, c)
	}
	return b.String()
}

// isSet tells whether a column cannot be NULL.
func (t *table) isSet(name string) bool {
	for _, c := range append(append([]string{"id"}, t.notNull...), t.unique...) {
		if c == name {
			return true
		}
	}
	return false
}

// fill makes the INSERT of a table's first rows: few distinct values, some far more frequent than others, NULLs and duplicates.
func (t *table) fill(seed uint64) string {
	rng := rand.New(rand.NewPCG(seed, uint64(t.name[0])<<8|uint64(t.name[1])))
	var rows []string
	for i := range t.rows {
		var values []string
		for _, c := range columns {
			v := ""
			switch {
			case c.name == "id":
				v = fmt.Sprint(i + 1)
			case c.name == "k" && t.name == "d3":
				v = fmt.Sprint(i + 1)
			case !t.isSet(c.name) && rng.IntN(6) == 0:
				v = "NULL"
			default:
				n := rng.IntN(12)
				if rng.IntN(3) == 0 {
					n = 1
				}
				v = constantOf(c.typ, n)
			}
			values = append(values, v)
		}
		rows = append(rows, "("+strings.Join(values, ", ")+")")
	}
	return "INSERT INTO " + t.name + " VALUES " + strings.Join(rows, ",\n")
}

// constants are the values that tables and statements share, so that conditions meet rows.
var constants = [typeCount][]string{
	typeInt:   {"0", "1", "2", "3", "4", "5", "6", "7", "8", "-1", "12", "100"},
	typeText:  {"''", "'a'", "'b'", "'B'", "'ab'", "'it''s'", "'zz'", "'a b'", "'ä'", "'0'", "'%'", "'x_y'"},
	typeBool:  {"true", "false"},
	typeNum:   {"0.00", "1.50", "2.25", "-1.50", "10.00", "3.00", "0.25", "7.75", "100.00", "4.00", "-0.50", "1.00"},
	typeTime:  {"'2020-01-01 00:00:00+00'", "'2021-06-15 12:30:00+00'", "'2022-02-28 23:59:59+00'", "'2020-01-01 01:00:00+00'", "'2019-12-31 00:00:00+00'", "'2024-02-29 00:00:00+00'"},
	typeFloat: {"0.25", "1.5", "-2.75", "4", "100.5", "0.75", "2.5", "3"},
	typeArray: {"'{}'", "'{1}'", "'{1,2}'", "'{2,1,NULL}'", "'{5,6,7}'", "'{NULL}'"},
	typeJSON:  {`'{"a": 1}'`, `'{"a": 2, "b": "x"}'`, `'[1, 2]'`, `'null'`, `'"s"'`, `'{}'`, `'{"a": null}'`, `'7'`},
	typeEnum:  {"'sad'", "'ok'", "'happy'"},
	typePair:  {"'(1,a)'", "'(2,b)'", "'(1,)'", "'(,)'", `'(7,"x y")'`},
	typeRange: {"'[1,5)'", "'[3,9)'", "'empty'", "'(,4)'", "'[7,)'", "'[1,2)'"},
}

func constantOf(t valueType, n int) string {
	v := constants[t][n%len(constants[t])]
	switch t {
	case typeTime, typeArray, typeJSON, typeEnum, typePair, typeRange:
		v += "::" + t.sqlName()
	case typeNum:
		v = "(" + v + ")"
	}
	return v
}
