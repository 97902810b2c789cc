// Package plan decides how a statement runs over the cluster. Make is a pure function of a syntax tree, a catalog snapshot and
// settings; its result, a Plan, is data: printable, cacheable and shared between sessions, so what differs per execution (the
// statement's constants, its parameters, intermediate results) is a slot in a Template, filled in by package exec.
//
// It imports sql and catalog only. Read Plan first, then Make.
package plan

import (
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// Rung is the step of the ladder (docs/design.md) on which a statement runs.
type Rung byte

const (
	RungCoordinator Rung = iota // no distributed table involved
	RungRouter                  // one shard group
	RungPushdown                // the same query over every shard group, then at most a combine query
	RungBroadcast               // intermediate results were shipped to the shards
	RungRepartition             // rows were moved to where rows with equal values are
	RungRecursive               // intermediate results were combined on the coordinator
	RungUtility                 // not planned: transaction control, DDL, settings, cluster functions
)

func (r Rung) String() string {
	return [...]string{"coordinator", "router", "pushdown", "broadcast", "repartition", "recursive", "utility"}[r]
}

// Plan is how one statement runs. Subplans run first, in order; each one's rows become the intermediate result of its index.
// Then Root runs and its rows go to the client.
type Plan struct {
	Rung     Rung
	Why      []string // why each earlier rung did not hold, for EXPLAIN
	Subplans []Gather
	Root     Operator

	Writes        bool // the statement changes data
	ReturnsRows   bool
	Checks        int        // this many trailing columns of the result are not the client's: they serve to raise errors only (views' check options)
	ViewOwners    []string   // of views over tables with row-level security, whose policies hold for the owner: nobody else may run the plan
	Sticky        bool       // it may leave session state on the coordinator's connection (temporary tables, prepared statements, currval, …): the connection must stay with the session
	Sequences     bool       // it uses sequences by itself (nextval, setval, currval, reading one): what the gateway has drawn ahead is given back first
	AsksDrawn     bool       // it asks for the session's last values of sequences (currval, lastval)
	Facts         []string   // the views and functions of schema trunkline it reads that need facts from other nodes first (citus_table_size, …)
	FixedLiterals []int      // literals of the text that shaped this plan: another text may share the plan only if these are equal
	Estimated     []uint32   // the tables whose estimated sizes decided between right plans, by OID
	Tables        []TableRef // the distributed and reference tables touched; Template pieces name them by index
}

// TableRef is one reference to a distributed or reference table in a plan.
type TableRef struct {
	Schema, Name string // as the user knows it
	ColocationID int32  // 0 for reference tables
	Reference    bool
	Write        bool
}

// Operator is the last step of a plan.
type Operator interface{ operator() }

// Coordinator runs one statement on the coordinator. A nil SQL means the client's own text (or its own Parse/Bind), unchanged.
type Coordinator struct {
	SQL     Template
	Returns bool // its rows are those of a RETURNING list: the client is told of the write that it belongs to
}

// Gather runs a statement over shard groups and returns all rows: concatenated, or merged when Merge is set.
// With a Pruning that pins exactly one shard group it is a router query: its task's rows pass through untouched.
type Gather struct {
	SQL         Template
	Pruning     Pruning
	Fuse        Fuse
	Merge       []MergeKey // each task's rows arrive sorted by these
	Limit       *Value     // at most this many rows go on, after Offset; nil for all
	Offset      *Value
	Hidden      int             // this many trailing columns serve Merge only and are cut off
	Coordinator bool            // a subplan that runs once on the coordinator instead of on shards
	Writes      bool            // an UPDATE or DELETE or INSERT … SELECT per shard: affected row counts are added up
	Insert      *InsertRows     // of a subplan: it is an INSERT of an earlier one's rows, whose RETURNING rows it gives; SQL is the same statement
	Reference   *ReferenceWrite // of a subplan: it writes a reference table, and gives the rows of its RETURNING; SQL is the same statement
	Ship        *Ship           // of a subplan: where each of its rows goes; nil for all of them to whoever reads them
	Columns     []string        // of a subplan: its columns' names
	Collations  []string        // of a subplan: its columns' collations as SQL, "" for a type's own; nil if all are
	Reason      string          // of a subplan: why it exists, for EXPLAIN
}

// InsertValues routes each row of an INSERT … VALUES to its shard. Rows of one shard group travel as one statement:
// Head, then the rows joined by ", ", then Tail.
type InsertValues struct {
	Head, Tail Template
	Rows       []InsertRow
	Colocation int32
}

// InsertRow is one row of VALUES.
type InsertRow struct {
	Key Value
	SQL Template // "(…)", with Sequence slots where the row leaves a serial or identity column to its sequence
}

// InsertRows routes the rows of an intermediate result (Subplans' last) to shards by a column of it:
// INSERT … SELECT. SQL reads the routed part of the rows through the Intermediate slot of index From.
type InsertRows struct {
	Moves      bool // the rows were deleted elsewhere by an UPDATE of the distribution column: the client is told of an UPDATE
	SQL        Template
	From       int
	KeyColumn  int // column of the intermediate result that holds the distribution value, or NoKey
	Colocation int32
}

// ReferenceWrite runs one statement on every node that has the reference table. The coordinator's answer goes to the client.
type ReferenceWrite struct {
	SQL       Template
	ByContent bool // SQL finds rows on each node by their text, which must be whole: the session's settings must not shorten it
	// CopyRows: the statement is an INSERT whose rows depend on where it runs (volatile expressions, sequences). It runs on the
	// coordinator only, with RETURNING of all columns added; the rows it returns are then inserted on the other nodes by Rows,
	// through Intermediate slot Slot: the one after those of the plan's subplans, or its own as a subplan.
	CopyRows  bool
	Slot      int
	Rows      Template
	Returning Template // the client's own RETURNING list evaluated over the rows on the coordinator, nil if it has none
}

// Empty returns no rows (or changes none), with the columns that Describe says.
type Empty struct{}

// ClusterCall is a SELECT that calls functions which the gateway itself carries out (create_distributed_table, …).
// Args runs on the coordinator and returns, per row, a jsonb of each call's resolved arguments in the columns call_0, call_1, …
// Then SQL runs on the coordinator with each call's results in the Intermediate slot of its index.
type ClusterCall struct {
	Calls []string // the functions' names, as package cluster knows them
	Names []string // as the client wrote them: the column of a result that is a single value
	Args  Template
	SQL   Template // makes the client's rows; empty for a CALL
}

// Utility is a statement that session or cluster carries out by its own rules (transaction control, SET, DDL, COPY, …).
type Utility struct {
	Kind UtilityKind
}

func (*Coordinator) operator()    {}
func (*Gather) operator()         {}
func (*InsertValues) operator()   {}
func (*InsertRows) operator()     {}
func (*ReferenceWrite) operator() {}
func (*Empty) operator()          {}
func (*ClusterCall) operator()    {}
func (*Utility) operator()        {}

// UtilityKind says whose rules a utility statement follows.
type UtilityKind byte

const (
	UtilityTransaction UtilityKind = iota // BEGIN, COMMIT, SAVEPOINT, PREPARE TRANSACTION, …: session
	UtilitySet                            // SET, RESET, DISCARD: session
	UtilityDDL                            // anything that must happen on other nodes as well: cluster
	UtilityCopy                           // COPY that touches a distributed or reference table: exec
	UtilityExplain                        // EXPLAIN of a distributed statement: exec
	UtilityPrepare                        // SQL-level PREPARE, EXECUTE, DEALLOCATE: session
	UtilityCurrentOf                      // UPDATE and DELETE … WHERE CURRENT OF a cursor: session
	UtilityCursor                         // DECLARE, FETCH, MOVE, CLOSE over a distributed query: session
	UtilityMaterialize                    // CREATE and REFRESH MATERIALIZED VIEW of a distributed query: session
)

// Fuse says how the tasks of one node may become one statement.
type Fuse byte

const (
	FuseNone  Fuse = iota // one statement per shard group
	FuseArms              // the shards' statements, each in parentheses, joined by UNION ALL
	FuseTable             // one statement over (SELECT * FROM shard UNION ALL …) in place of the table
)

func (f Fuse) String() string { return [...]string{"none", "arms", "table"}[f] }

// Pruning says which shard groups a Gather runs on.
type Pruning struct {
	Colocation int32
	All        bool    // no condition: every shard group
	Any        bool    // any one shard group will do (no distributed table's rows can match, or none is read)
	Keys       []Value // otherwise: the shard groups of these values of the distribution column
	Low, High  []Bound // with All: only values of the distribution column, an integer, between all of these count, if they are few
}

// NoKey stands for the column of the distribution value where the target has none, and one shard.
const NoKey = -1

// ValueKind is where a value comes from.
type ValueKind byte

const (
	ValueLiteral    ValueKind = iota // a literal of the statement's text, by index
	ValueParam                       // $n, by 1-based number
	ValueParamArray                  // every element of the array $n: key = ANY ($n)
	ValueSQL                         // an expression to be evaluated on the coordinator
	ValueConst                       // Text itself
	ValueNull                        // NULL, which no value equals
	ValueMissing                     // that of the rows whose distribution column IS NULL
	ValueSequence                    // drawn from Sequence
	ValueNone                        // none is needed: the table has no distribution column, and one shard
)

// Value is a value known only when the statement runs. Type is the column type it is to be read as (for routing: the
// distribution column's).
type Value struct {
	Kind     ValueKind
	Index    int
	Text     string
	SQL      Template
	Type     uint32
	Sequence string
	Negative bool // a minus sign stands before the literal
}

// MergeKey is one hidden column (Column counts those only) by which sorted streams are merged. exec asks for hidden columns in binary format. Type is one
// of those that Go compares exactly as PostgreSQL does: int2, int4, int8, oid, bool, float4, float8, date, timestamp, timestamptz, uuid.
type MergeKey struct {
	Column     int
	Type       uint32
	Descending bool
	NullsFirst bool
}

// Template is SQL text with slots.
type Template []Piece

// PieceKind is what a piece of a Template is.
type PieceKind byte

const (
	PieceText         PieceKind = iota // Text, as it is
	PieceTable                         // table Tables[Index], of the shard group at hand (quoted schema.name), or, under FuseTable, the node's shards of it
	PieceLiteral                       // literal Index of the statement's text, as the client wrote it
	PieceIntermediate                  // the rows of intermediate result Index as a parenthesised SELECT with its columns' names; an alias follows in the text
	PieceType                          // the type of column Column of intermediate result Index
	PieceSequence                      // the next value of the sequence named by Text, drawn anew for each piece
	PieceResultType                    // the type of column Column of the statement's own result, as the coordinator describes it
)

// Piece is a part of a Template.
type Piece struct {
	Kind   PieceKind
	Text   string
	Index  int
	Column int
}

// Settings are the session settings that planning depends on.
type Settings struct {
	SearchPath      []string            // schemas in order, "$user" resolved, pg_temp left out
	Statistics      *catalog.Statistics // estimates of the tables' sizes; nil for none
	Repartition     bool                // whatever can be moved by its hash is, however small
	Managed         bool                // new tables are recorded in the metadata
	TempTables      map[string]bool     // the session's temporary tables and views, which hide others of their name
	TempViews       map[string]*catalog.Relation
	ExplainAllTasks bool
}

// Make plans one statement. literals are the constants that sql.Scan found in its text. Errors are *sql.Error.
func Make(stmt sql.Statement, literals []sql.Literal, snapshot *catalog.Snapshot, settings Settings) (p *Plan, err error) {
	defer func() {
		// A shape of tree that the planner did not foresee must not end the gateway.
		if failure := recover(); failure != nil {
			p, err = nil, sql.Errorf("XX000", "internal error while planning: %v", failure)
		}
	}()
	return newPlanner(stmt, literals, snapshot, settings).statement()
}
