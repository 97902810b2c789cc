// Package catalog holds what a gateway knows of the cluster: nodes, tables, shards, placements, types and functions, as an
// immutable Snapshot with a version; and loads, watches and creates the metadata tables (pg_dist_*) that it comes from.
//
// It imports sql and backend only. Read Snapshot first.
package catalog

import (
	"hash/fnv"
	"sort"
	"strconv"
	"unicode/utf8"
)

// Snapshot is all that planning needs to know, at one moment. It is never changed once made, so it may be shared freely.
type Snapshot struct {
	Version     int64  // grows with every change of the metadata or of a table's definition; negative, and unlike any other, if it holds changes that are not committed
	Fingerprint uint64 // equal for contents that plans may share, wherever the shards are: it differs even where a definition was changed behind the gateways' back
	Placement   uint64 // equal where all shard groups are in the same places
	Moves       int64  // grows with every change of Placement or Moving
	Nodes       []Node
	Colocations map[int32]*Colocation
	Relations   map[Name]*Relation
	ByOID       map[uint32]*Relation
	Types       map[uint32]*Type
	Functions   map[string][]*Function // by unqualified name, every overload
	Collations  map[uint32]*Collation
	Unchecked   map[uint32][]UncheckedKey // by the OID of the local table
	Tenants     map[string]bool           // schemas whose tables all have one shard, in a colocation group of the schema's own
	Moving      bool                      // shard groups are being moved: statements in blocks prepare to be run again; no part of Fingerprint or Placement
	Deferrable  bool                      // there are constraints that may be checked only when a transaction is committed
	Operators   map[string]bool           // user-defined operators' names: those cannot be assumed to mean what pg_catalog's mean

	contents uint64 // a digest of all but the shard groups
}

// SameAs tells whether two snapshots send statements with the same plans to the same places.
func (s *Snapshot) SameAs(other *Snapshot) bool {
	return s.Fingerprint == other.Fingerprint && s.Placement == other.Placement
}

// Name is a schema-qualified name.
type Name struct{ Schema, Name string }

// Node is a row of pg_dist_node.
type Node struct {
	ID, GroupID      int32
	Host             string
	Port             int
	Active           bool
	Secondary        bool
	ShouldHaveShards bool
}

// CoordinatorGroup is the group id of the coordinator.
const CoordinatorGroup int32 = 0

// Colocation is a colocation group: tables whose shards with equal ranges live on the same node.
type Colocation struct {
	ID         int32
	ShardCount int
	TypeOID    uint32       // of the distribution column; 0 for reference and single-shard tables
	Collation  uint32       // of the distribution column; 0 where the type has none
	TypMod     int32        // of the distribution columns: -1 none, MixedTypMod if the tables' differ
	SQLType    string       // their type with that modifier, as SQL
	Groups     []ShardGroup // ascending by Min; they tile the int32 space
}

// MixedTypMod stands where tables have different type modifiers.
const MixedTypMod int32 = -2

// ShardGroup is what moves, splits and locks as one: the shards of one colocation group with one hash range.
type ShardGroup struct {
	ID       int64 // names the shard schemas: <schema>_<ID>
	Min, Max int32 // inclusive hash range
	GroupID  int32 // of the node that holds it
}

// GroupFor gives the index in Groups of the shard group whose range holds hash.
func (c *Colocation) GroupFor(hash int32) int {
	return sort.Search(len(c.Groups), func(i int) bool { return c.Groups[i].Max >= hash })
}

// Kind says how a table's rows are spread.
type Kind byte

const (
	Local       Kind = iota // an ordinary relation of the coordinator
	Distributed             // split over shards by the hash of its distribution column
	Reference               // one copy on every node
)

// Relation is a table, view, sequence, or other relation of the coordinator.
type Relation struct {
	OID          uint32
	Schema, Name string
	RelKind      byte // pg_class.relkind: 'r' table, 'p' partitioned table, 'v' view, 'm' materialised view, 'S' sequence, 'f' foreign, 'c' composite
	Kind         Kind
	Owner        string
	Columns      []Column // in attnum order, dropped ones left out
	DistColumn   int      // index into Columns, -1 unless distributed
	ColocationID int32
	ShardIDs     []int64 // the table's own shard ids, parallel to its colocation's Groups; of a local table one if it is in the metadata
	PrimaryKey   []int   // indexes into Columns
	Definition   string  // of a view: pg_get_viewdef
	CheckOption  string  // of a view: "local", "cascaded" or ""
	HasRules     bool    // user rules
	HasTriggers  bool    // user triggers
	Referenced   bool    // a foreign key points at it
	TriggersRead bool    // one of them runs a function that ReadsTables
	RowSecurity  bool
	ColumnGrants bool   // some columns have grants of their own: not everyone who may read one of them may read all
	Inherited    bool   // has children by inheritance or partitioning
	Parent       uint32 // of a partition
	ToastOrTemp  bool
}

// Recorded tells whether a local table is in the metadata.
func (r *Relation) Recorded() bool { return r.Kind == Local && len(r.ShardIDs) > 0 }

// UncheckedKey is a foreign key of a local table to a distributed one, which PostgreSQL cannot check: the rows are elsewhere.
type UncheckedKey struct {
	Name       string
	References string   // the distributed table
	Columns    []string // of the local table
}

// Column is a live column of a relation.
type Column struct {
	Name      string
	AttNum    int16
	TypeOID   uint32
	TypMod    int32
	Collation uint32
	NotNull   bool
	SQLType   string // its type with its modifier, as format_type writes it: usable anywhere
	Default   string // its default expression as SQL, "" if none
	Sequence  *Name  // the sequence that fills it (serial or identity), nil if none
	Identity  byte   // 'a' always, 'd' by default, 0
	Generated bool   // GENERATED ALWAYS AS (…) STORED
	Volatile  bool   // the default calls a volatile function other than nextval
}

// Type is a row of pg_type, with what routing needs.
type Type struct {
	OID          uint32
	Schema, Name string
	SQL          string // as format_type writes it, always usable in a cast whatever the search_path
	Kind         byte   // pg_type.typtype: 'b' base, 'c' composite, 'd' domain, 'e' enum, 'p' pseudo, 'r' range, 'm' multirange
	Category     byte   // pg_type.typcategory
	Base         uint32 // of a domain
	BaseTypMod   int32  // of a domain: the type modifier it gives its base type, -1 if none
	BaseSQL      string // of a domain: its base type with that modifier
	Element      uint32 // of an array
	Array        uint32 // the array type over this type
	HashFunction string // the int4-returning hash function of its default hash operator class, "" if it has none; qualified, and callable on every node
}

// Collatable tells whether values of a type have a collation: strings have, and arrays of them.
func (s *Snapshot) Collatable(oid uint32) bool {
	t := s.Types[oid]
	for t != nil && t.Kind == 'd' {
		t = s.Types[t.Base]
	}
	return t != nil && (t.Category == 'S' || t.Category == 'A' && s.Collatable(t.Element))
}

// Function is one overload of a function.
type Function struct {
	OID          uint32
	Schema, Name string
	Kind         byte // pg_proc.prokind: 'f' function, 'p' procedure, 'a' aggregate, 'w' window
	Volatility   byte // 'i', 's', 'v'
	ReturnsSet   bool
	Args         []uint32
	Result       uint32
	Language     string
	ReadsTables  bool // its body names a distributed or reference table (see loader), so it must not run unseen on the coordinator
	AggKind      byte // of an aggregate: 'n' normal, 'o' ordered-set, 'h' hypothetical-set
	Strict       bool
	Defaults     int  // how many trailing arguments have defaults
	Variadic     bool // the last argument is VARIADIC
	Body         *FunctionBody
}

// FunctionBody is what a function in SQL does, of those that anybody may run and that run as their caller with the caller's settings;
// nil for others.
type FunctionBody struct {
	SQL    string   `json:"-"`     // prosrc, or as pg_get_function_sqlbody writes it
	Names  []string `json:"names"` // of all arguments, those of RETURNS TABLE included; nil if none has a name
	Modes  []string `json:"modes"` // pg_proc.proargmodes; nil if all are IN
	Types  []string `json:"types"` // as SQL, parallel to Names
	Result string   `json:"result"`
}

// Collation is a row of pg_collation that the database's encoding can use.
type Collation struct {
	Schema, Name  string
	SQL           string // qualified and quoted
	Deterministic bool   // equal strings are equal bytes
}

// Resolve finds the relation that a possibly unqualified name means under a search path, nil if there is none.
func (s *Snapshot) Resolve(searchPath []string, schema, name string) *Relation {
	if schema != "" {
		return s.Relations[Name{schema, name}]
	}
	if r := s.Relations[Name{"pg_catalog", name}]; r != nil {
		return r
	}
	for _, path := range searchPath {
		if r := s.Relations[Name{path, name}]; r != nil {
			return r
		}
	}
	return nil
}

// MayCreateInTenant tells whether what is made in a schema, or without one under a search path, may be in a tenant's schema.
func (s *Snapshot) MayCreateInTenant(searchPath []string, schema string) bool {
	if schema != "" || len(s.Tenants) == 0 {
		return s.Tenants[schema]
	}
	for _, path := range searchPath {
		if s.Tenants[path] {
			return true
		}
	}
	return false
}

// ShardSchema is the name of the schema that holds the shards of a user schema's tables in a shard group.
func ShardSchema(schema string, shardGroup int64) string {
	suffix := "_" + strconv.FormatInt(shardGroup, 10)
	const maxIdentifier = 63 // NAMEDATALEN - 1
	if len(schema)+len(suffix) > maxIdentifier {
		h := fnv.New32a()
		h.Write([]byte(schema))
		suffix = "_" + strconv.FormatUint(uint64(h.Sum32()), 36) + suffix
		cut := maxIdentifier - len(suffix)
		for !utf8.RuneStart(schema[cut]) { // never inside a character
			cut--
		}
		schema = schema[:cut]
	}
	return schema + suffix
}

// ActivePrimaries gives the primaries of the active groups, the coordinator first.
func (s *Snapshot) ActivePrimaries() []Node {
	var nodes []Node
	for _, n := range s.Nodes {
		if n.Active && !n.Secondary {
			nodes = append(nodes, n)
		}
	}
	sort.Slice(nodes, func(i, j int) bool { return nodes[i].GroupID < nodes[j].GroupID })
	return nodes
}

// Primary gives the active primary of a group.
func (s *Snapshot) Primary(groupID int32) (Node, bool) {
	for _, n := range s.Nodes {
		if n.GroupID == groupID && n.Active && !n.Secondary {
			return n, true
		}
	}
	return Node{}, false
}
