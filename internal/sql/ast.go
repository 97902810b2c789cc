// Package sql is the only importer of PostgreSQL's parser. It parses, walks, splices and deparses statements, and finds the
// constants in a statement's text so that statements that differ in constants only share one plan.
//
// The syntax tree is the parser's own (protobuf) tree; the aliases below let other packages name its types without importing
// the parser. Read Statement first.
package sql

import pg "github.com/pganalyze/pg_query_go/v6"

// Node types used by the planner and by DDL propagation. Their fields are those of PostgreSQL's parsenodes.h.
type (
	Node              = pg.Node
	SelectStmt        = pg.SelectStmt
	InsertStmt        = pg.InsertStmt
	UpdateStmt        = pg.UpdateStmt
	DeleteStmt        = pg.DeleteStmt
	MergeStmt         = pg.MergeStmt
	CreateTableAsStmt = pg.CreateTableAsStmt
	RangeVar          = pg.RangeVar
	RangeSubselect    = pg.RangeSubselect
	RangeFunction     = pg.RangeFunction
	RangeTableSample  = pg.RangeTableSample
	JoinExpr          = pg.JoinExpr
	Alias             = pg.Alias
	ColumnRef         = pg.ColumnRef
	ParamRef          = pg.ParamRef
	AConst            = pg.A_Const
	AExpr             = pg.A_Expr
	BoolExpr          = pg.BoolExpr
	FuncCall          = pg.FuncCall
	SQLValueFunction  = pg.SQLValueFunction
	WindowDef         = pg.WindowDef
	SortBy            = pg.SortBy
	SubLink           = pg.SubLink
	ResTarget         = pg.ResTarget
	TypeCast          = pg.TypeCast
	TypeName          = pg.TypeName
	CommonTableExpr   = pg.CommonTableExpr
	WithClause        = pg.WithClause
	OnConflictClause  = pg.OnConflictClause
	IntoClause        = pg.IntoClause
	LockingClause     = pg.LockingClause
	CaseExpr          = pg.CaseExpr
	CurrentOfExpr     = pg.CurrentOfExpr
	LimitOption       = pg.LimitOption
	JoinType          = pg.JoinType
)

// Enumerators of the parser, under short names.
const (
	JoinInner = pg.JoinType_JOIN_INNER
	JoinLeft  = pg.JoinType_JOIN_LEFT
	JoinFull  = pg.JoinType_JOIN_FULL
	JoinRight = pg.JoinType_JOIN_RIGHT

	SetopNone      = pg.SetOperation_SETOP_NONE
	SetopUnion     = pg.SetOperation_SETOP_UNION
	SetopIntersect = pg.SetOperation_SETOP_INTERSECT
	SetopExcept    = pg.SetOperation_SETOP_EXCEPT

	SublinkExists = pg.SubLinkType_EXISTS_SUBLINK
	SublinkAll    = pg.SubLinkType_ALL_SUBLINK
	SublinkAny    = pg.SubLinkType_ANY_SUBLINK
	SublinkExpr   = pg.SubLinkType_EXPR_SUBLINK
	SublinkArray  = pg.SubLinkType_ARRAY_SUBLINK
	SublinkMulti  = pg.SubLinkType_MULTIEXPR_SUBLINK

	ExprOp    = pg.A_Expr_Kind_AEXPR_OP
	ExprOpAny = pg.A_Expr_Kind_AEXPR_OP_ANY
	ExprIn    = pg.A_Expr_Kind_AEXPR_IN

	ExprLike    = pg.A_Expr_Kind_AEXPR_LIKE
	ExprILike   = pg.A_Expr_Kind_AEXPR_ILIKE
	ExprSimilar = pg.A_Expr_Kind_AEXPR_SIMILAR
	ExprBetween = pg.A_Expr_Kind_AEXPR_BETWEEN

	IsNull    = pg.NullTestType_IS_NULL
	IsNotNull = pg.NullTestType_IS_NOT_NULL

	BoolAnd = pg.BoolExprType_AND_EXPR
	BoolOr  = pg.BoolExprType_OR_EXPR
	BoolNot = pg.BoolExprType_NOT_EXPR

	LimitCount    = pg.LimitOption_LIMIT_OPTION_COUNT
	LimitDefault  = pg.LimitOption_LIMIT_OPTION_DEFAULT
	LimitWithTies = pg.LimitOption_LIMIT_OPTION_WITH_TIES

	SortAsc      = pg.SortByDir_SORTBY_ASC
	SortDesc     = pg.SortByDir_SORTBY_DESC
	SortUsing    = pg.SortByDir_SORTBY_USING
	SortDefault  = pg.SortByDir_SORTBY_DEFAULT
	NullsFirst   = pg.SortByNulls_SORTBY_NULLS_FIRST
	NullsLast    = pg.SortByNulls_SORTBY_NULLS_LAST
	NullsDefault = pg.SortByNulls_SORTBY_NULLS_DEFAULT

	MaterializeAlways = pg.CTEMaterialize_CTEMaterializeAlways
	MaterializeNever  = pg.CTEMaterialize_CTEMaterializeNever

	CurrentDate     = pg.SQLValueFunctionOp_SVFOP_CURRENT_DATE
	LocaltimestampN = pg.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP_N

	ObjectMatview = pg.ObjectType_OBJECT_MATVIEW

	MergeNotMatchedBySource = pg.MergeMatchKind_MERGE_WHEN_NOT_MATCHED_BY_SOURCE

	CommandUpdate = pg.CmdType_CMD_UPDATE
	CommandInsert = pg.CmdType_CMD_INSERT

	OnConflictUpdate = pg.OnConflictAction_ONCONFLICT_UPDATE
)

// LockStrength writes the kind of a row lock.
func LockStrength(clause *LockingClause) string {
	switch clause.Strength {
	case pg.LockClauseStrength_LCS_FORKEYSHARE:
		return "FOR KEY SHARE"
	case pg.LockClauseStrength_LCS_FORSHARE:
		return "FOR SHARE"
	case pg.LockClauseStrength_LCS_FORNOKEYUPDATE:
		return "FOR NO KEY UPDATE"
	}
	return "FOR UPDATE"
}
