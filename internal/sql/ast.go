// Package sql is the only importer of PostgreSQL's parser. It parses, walks, splices and deparses statements, and finds the
// constants in a statement's text so that statements that differ in constants only share one plan.
//
// The syntax tree is the parser's own (protobuf) tree; the aliases below let other packages name its types without importing
// the parser. Read Statement first.
package sql

import pg "github.com/pganalyze/pg_query_go/v6"

// Node types used by the planner and by DDL propagation. Their fields are those of PostgreSQL's parsenodes.h.
type (
	Node             = pg.Node
	RawStmt          = pg.RawStmt
	SelectStmt       = pg.SelectStmt
	InsertStmt       = pg.InsertStmt
	UpdateStmt       = pg.UpdateStmt
	DeleteStmt       = pg.DeleteStmt
	MergeStmt        = pg.MergeStmt
	RangeVar         = pg.RangeVar
	RangeSubselect   = pg.RangeSubselect
	RangeFunction    = pg.RangeFunction
	JoinExpr         = pg.JoinExpr
	Alias            = pg.Alias
	ColumnRef        = pg.ColumnRef
	ParamRef         = pg.ParamRef
	AConst           = pg.A_Const
	AExpr            = pg.A_Expr
	BoolExpr         = pg.BoolExpr
	NullTest         = pg.NullTest
	FuncCall         = pg.FuncCall
	WindowDef        = pg.WindowDef
	SortBy           = pg.SortBy
	SubLink          = pg.SubLink
	ResTarget        = pg.ResTarget
	TypeCast         = pg.TypeCast
	TypeName         = pg.TypeName
	CommonTableExpr  = pg.CommonTableExpr
	WithClause       = pg.WithClause
	OnConflictClause = pg.OnConflictClause
	GroupingSet      = pg.GroupingSet
	GroupingFunc     = pg.GroupingFunc
	LockingClause    = pg.LockingClause
	CaseExpr         = pg.CaseExpr
	CoalesceExpr     = pg.CoalesceExpr
	List             = pg.List
	String           = pg.String
)
