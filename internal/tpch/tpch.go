// Package tpch makes the tables, rows and queries of the decision support benchmark TPC-H, for tests and benchmarks. Rows follow the
// domains and relations of the specification (www.tpc.org/tpch, clauses 1.4, 4.2.2 and 4.2.3), at any scale from 0.001 up, and are the
// same in every run; their texts and random numbers are this package's own, so results are to be compared with PostgreSQL's over
// the same rows, not with the specification's published answers.
//
// It imports nothing of Trunkline. Read Tables, Write and Queries.
package tpch

import (
	_ "embed"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

//go:embed schema.sql
var schema string

//go:embed indexes.sql
var indexes string

//go:embed distribute.sql
var distribute string

//go:embed queries.sql
var queries string

// Tables are the names of all tables, in an order in which they can be filled.
var Tables = []string{"region", "nation", "supplier", "part", "partsupp", "customer", "orders", "lineitem"}

// Schema gives the statements that make the tables, with their primary keys.
func Schema() []string { return statements(schema) }

// Indexes gives the statements that make the indexes on foreign keys which the specification allows (clause 1.5.4).
func Indexes() []string { return statements(indexes) }

// Distribute gives the statements that distribute the tables the natural way: each by its key, orders with their lines, parts with
// their suppliers' offers, regions and nations on every node.
func Distribute() []string { return statements(distribute) }

// Query is one of the 22 queries of the specification (clause 2.4), with its validation parameters.
type Query struct {
	Number int
	SQL    string // without a semicolon
}

// Queries gives all queries in order. scale is that of the rows: query 11 depends on it.
func Queries(scale float64) []Query {
	var all []Query
	for part := range strings.SplitSeq(queries, "-- query ") {
		number, text, found := strings.Cut(part, "\n")
		if !found || number == "" {
			continue
		}
		n, err := strconv.Atoi(number)
		if err != nil {
			continue // what stands above the first
		}
		text = strings.ReplaceAll(text, "{fraction}", fmt.Sprintf("%.10f", 0.0001/scale))
		all = append(all, Query{Number: n, SQL: strings.TrimSuffix(strings.TrimSpace(text), ";")})
	}
	return all
}

var statementEnd = regexp.MustCompile(`;\s*(\n|$)`)

func statements(text string) []string {
	var all []string
	for _, s := range statementEnd.Split(text, -1) {
		if s = strings.TrimSpace(s); s != "" {
			all = append(all, s)
		}
	}
	return all
}
