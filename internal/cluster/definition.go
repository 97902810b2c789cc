package cluster

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

// definition is everything that makes up one table, as the coordinator's catalogs have it. Names inside SQL texts are qualified.
type definition struct {
	OID              uint32
	Schema, Name     string
	Kind             string
	Persistence      string
	Owner            string
	AccessMethod     string `json:"access_method"`
	Tablespace       string
	Options          []string
	RowSecurity      bool   `json:"row_security"`
	ForceRowSecurity bool   `json:"force_row_security"`
	ReplicaIdentity  string `json:"replica_identity"`
	PartitionKey     string `json:"partition_key"`
	PartitionBound   string `json:"partition_bound"`
	Parent           uint32
	Inherits         bool // it has a parent by inheritance
	Inherited        bool // it has children by inheritance
	OfType           bool `json:"of_type"`
	Comment          string
	Partitions       []uint32
	Grants           []grant
	Columns          []column
	Constraints      []constraint
	Indexes          []index
	Statistics       []statistics
	Policies         []policy
	Triggers         []trigger
	Rules            []string
	Publications     []string
}

// grant is one privilege of one role; the empty grantee is PUBLIC.
type grant struct {
	Grantee, Privilege string
	Grantable          bool
}

type column struct {
	Name         string
	Number       int
	Type         string
	TypeOID      uint32 `json:"type_oid"`
	CollationOID uint32 `json:"collation_oid"`
	Collation    string // "" for the type's own
	NotNull      bool   `json:"not_null"`
	Identity     string
	Generated    string
	Default      string
	FromSequence bool `json:"from_sequence"` // the default draws from a sequence
	Storage      string
	Compression  string
	Statistics   *int
	Options      []string
	Comment      string
	Grants       []grant
}

type constraint struct {
	OID               uint32
	Name, Type        string
	Definition        string
	Columns           []int
	Inherited         bool // from the partitioned table above
	Local             bool
	Valid             bool
	Index             uint32
	References        uint32
	ReferencedColumns []int  `json:"referenced_columns"`
	OnUpdate          string `json:"on_update"`
	OnDelete          string `json:"on_delete"`
	Comment           string
}

type index struct {
	OID             uint32
	Name            string
	Definition      string
	Constraint      string // the constraint it serves, "" if none
	Unique          bool
	Exclusion       bool
	Keys            []int  // column numbers, 0 for an expression
	Equality        []bool // of an exclusion constraint: the operator is "="
	Valid           bool
	Clustered       bool
	ReplicaIdentity bool   `json:"replica_identity"`
	Parent          string // the index of the partitioned table above that it is a partition of
	Options         []string
	Statistics      []struct{ Number, Target int }
	Comment         string
}

type statistics struct {
	Schema, Name, Definition string
	Target                   *int
	Owner, Comment           string
}

type policy struct {
	Name       string
	Permissive bool
	Command    string
	Roles      []string // quoted already
	Using      string
	Check      string
	Comment    string
}

//go:embed sql/describe_table.sql
var describeTable string

// describe reads a table's definition on the coordinator, as its transaction sees it.
func describe(ctx context.Context, conn *backend.Conn, oid uint32) (*definition, error) {
	rows, err := queryUnqualified(ctx, conn, strings.ReplaceAll(describeTable, "$TABLE", fmt.Sprint(oid)))
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, sql.Errorf("42P01", "relation with OID %d does not exist", oid)
	}
	d := new(definition)
	if err := json.Unmarshal(rows[0][0], d); err != nil {
		return nil, fmt.Errorf("reading the definition of table %d: %w", oid, err)
	}
	return d, nil
}

// describeTree reads the definitions of a table and of all partitions below it, parents first.
func describeTree(ctx context.Context, conn *backend.Conn, oid uint32) ([]*definition, error) {
	d, err := describe(ctx, conn, oid)
	if err != nil {
		return nil, err
	}
	tree := []*definition{d}
	for _, child := range d.Partitions {
		below, err := describeTree(ctx, conn, child)
		if err != nil {
			return nil, err
		}
		tree = append(tree, below...)
	}
	return tree, nil
}

func (d *definition) column(name string) *column {
	for i := range d.Columns {
		if d.Columns[i].Name == name {
			return &d.Columns[i]
		}
	}
	return nil
}

func (d *definition) columnNumber(number int) *column {
	for i := range d.Columns {
		if d.Columns[i].Number == number {
			return &d.Columns[i]
		}
	}
	return nil
}

// stored gives the quoted names of the columns whose values rows carry: all but the generated ones.
func (d *definition) stored() []string {
	var names []string
	for _, c := range d.Columns {
		if c.Generated == "" {
			names = append(names, sql.QuoteIdentifier(c.Name))
		}
	}
	return names
}

// qualified is the table's own name as SQL.
func (d *definition) qualified() string { return qualify(d.Schema, d.Name) }

func qualify(schema, name string) string {
	return sql.QuoteIdentifier(schema) + "." + sql.QuoteIdentifier(name)
}
