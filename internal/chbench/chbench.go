// Package chbench makes the tables, rows and queries of CH-benCHmark, which asks the 22 questions of TPC-H over the tables of TPC-C
// (Cole et al., "The mixed workload CH-benCHmark", DBTest 2011), for tests. The rows are few, and the same in every run.
//
// It imports nothing of Trunkline. Read Schema, Rows and Queries.
package chbench

import (
	_ "embed"
	"strconv"
	"strings"
)

//go:embed schema.sql
var schema string

//go:embed distribute.sql
var distribute string

//go:embed rows.sql
var rows string

//go:embed queries.sql
var queries string

// Schema gives the statements that make the tables, with their primary keys.
func Schema() []string { return statements(schema) }

// Distribute gives the statements that distribute the tables: those of TPC-C by warehouse, items and what TPC-H adds on every node.
func Distribute() []string { return statements(distribute) }

// Rows gives the statements that fill the tables for a number of warehouses.
func Rows(warehouses int) []string {
	return statements(strings.ReplaceAll(rows, "{warehouses}", strconv.Itoa(warehouses)))
}

// Queries gives the 22 queries in order, without semicolons.
func Queries() []string {
	var all []string
	for _, part := range strings.Split(queries, "-- query ")[1:] {
		_, text, _ := strings.Cut(part, "\n")
		all = append(all, strings.TrimSuffix(strings.TrimSpace(text), ";"))
	}
	return all
}

func statements(text string) []string {
	var all []string
	for _, s := range strings.Split(text, ";\n") {
		if s = strings.TrimSpace(s); s != "" {
			all = append(all, s)
		}
	}
	return all
}
