package move

import (
	"slices"

	"github.com/trunkline/trunkline/internal/cluster/ddl"
)

// Shape is everything that makes up the tables of a colocation group: how to make their shards anew, with marked schema names for
// the shards' schemas.
type Shape struct {
	Tables  []Table  // parents before their partitions, referenced tables first where possible
	Schemas []string // of the tables and of what belongs to them

	Create   ddl.Template // bare tables, ready to be filled
	Finish   ddl.Template // what they need once they are filled: indexes, constraints, foreign keys among them, rights
	Late     ddl.Template // what must not be there before the switch: triggers, and foreign keys to reference tables, not validated yet
	Validate ddl.Template // validates those

	KeyHash string // the hash of the distribution column of any of the tables, as SQL over $KEY
	// Guarded are the tables whose shards refuse rows that belong to other shards (trunkline_internal.guard_shard).
	Guarded []Table

	// References tells whether one of the tables has a foreign key to a reference table.
	References bool
}

// Table is one table of a Shape.
type Table struct {
	OID          uint32 // of the shell
	Schema, Name string
	Partitioned  bool // it has no rows of its own
	Unlogged     bool
	Key          string   // its distribution column, not quoted; "" for a single-shard table
	Hash         string   // the function that hashes it, as SQL
	Columns      []Column // those that rows carry: generated ones are left out
}

// Column is a column of a Table.
type Column struct {
	Name string
	Type string // as SQL
}

// schema gives a schema's place among the Shape's.
func (s *Shape) schema(name string) int { return slices.Index(s.Schemas, name) }

// filled are the tables that have rows of their own.
func (s *Shape) filled() []*Table {
	var tables []*Table
	for i := range s.Tables {
		if !s.Tables[i].Partitioned {
			tables = append(tables, &s.Tables[i])
		}
	}
	return tables
}

// same tells whether two shapes of one colocation group make the same tables.
func (s *Shape) same(other *Shape) bool {
	everything := func(s *Shape) []string {
		whole := func(schema string) string { return schema }
		return append([]string{s.Create.In(whole), s.Finish.In(whole), s.Late.In(whole)}, s.Schemas...)
	}
	return slices.Equal(everything(s), everything(other))
}
