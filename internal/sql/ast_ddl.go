package sql

import pg "github.com/pganalyze/pg_query_go/v6"

// Node types of data definition statements.
type (
	AlterTableStmt  = pg.AlterTableStmt
	AlterTableCmd   = pg.AlterTableCmd
	ColumnDef       = pg.ColumnDef
	Constraint      = pg.Constraint
	CreateStmt      = pg.CreateStmt
	IndexStmt       = pg.IndexStmt
	IndexElem       = pg.IndexElem
	DropStmt        = pg.DropStmt
	TruncateStmt    = pg.TruncateStmt
	RenameStmt      = pg.RenameStmt
	CommentStmt     = pg.CommentStmt
	GrantStmt       = pg.GrantStmt
	ObjectWithArgs  = pg.ObjectWithArgs
	DefElem         = pg.DefElem
	RoleSpec        = pg.RoleSpec
	PartitionCmd    = pg.PartitionCmd
	VacuumRelation  = pg.VacuumRelation
	CreateStatsStmt = pg.CreateStatsStmt
	CreateTrigStmt  = pg.CreateTrigStmt
	VacuumStmt      = pg.VacuumStmt

	RefreshMatViewStmt = pg.RefreshMatViewStmt

	ObjectType     = pg.ObjectType
	AlterTableType = pg.AlterTableType
	ConstrType     = pg.ConstrType
	DropBehavior   = pg.DropBehavior
)

// What a Node may hold, for type switches over Node.Node: data definition statements.
type (
	NodeAlterTable        = pg.Node_AlterTableStmt
	NodeCreateTable       = pg.Node_CreateStmt
	NodeCreateTableAs     = pg.Node_CreateTableAsStmt
	NodeIndex             = pg.Node_IndexStmt
	NodeDrop              = pg.Node_DropStmt
	NodeTruncate          = pg.Node_TruncateStmt
	NodeRename            = pg.Node_RenameStmt
	NodeComment           = pg.Node_CommentStmt
	NodeSecLabel          = pg.Node_SecLabelStmt
	NodeGrant             = pg.Node_GrantStmt
	NodeGrantRole         = pg.Node_GrantRoleStmt
	NodeAlterDefaults     = pg.Node_AlterDefaultPrivilegesStmt
	NodeCreateSchema      = pg.Node_CreateSchemaStmt
	NodeAlterOwner        = pg.Node_AlterOwnerStmt
	NodeAlterObjectSchema = pg.Node_AlterObjectSchemaStmt
	NodeAlterDepends      = pg.Node_AlterObjectDependsStmt
	NodeCompositeType     = pg.Node_CompositeTypeStmt
	NodeCreateEnum        = pg.Node_CreateEnumStmt
	NodeCreateRange       = pg.Node_CreateRangeStmt
	NodeAlterEnum         = pg.Node_AlterEnumStmt
	NodeAlterType         = pg.Node_AlterTypeStmt
	NodeDefine            = pg.Node_DefineStmt
	NodeCreateDomain      = pg.Node_CreateDomainStmt
	NodeAlterDomain       = pg.Node_AlterDomainStmt
	NodeCreateFunction    = pg.Node_CreateFunctionStmt
	NodeAlterFunction     = pg.Node_AlterFunctionStmt
	NodeCreateExtension   = pg.Node_CreateExtensionStmt
	NodeAlterExtension    = pg.Node_AlterExtensionStmt
	NodeAlterExtContents  = pg.Node_AlterExtensionContentsStmt
	NodeAlterCollation    = pg.Node_AlterCollationStmt
	NodeCreateRole        = pg.Node_CreateRoleStmt
	NodeAlterRole         = pg.Node_AlterRoleStmt
	NodeAlterRoleSet      = pg.Node_AlterRoleSetStmt
	NodeDropRole          = pg.Node_DropRoleStmt
	NodeDropOwned         = pg.Node_DropOwnedStmt
	NodeReassignOwned     = pg.Node_ReassignOwnedStmt
	NodeCreatePolicy      = pg.Node_CreatePolicyStmt
	NodeAlterPolicy       = pg.Node_AlterPolicyStmt
	NodeCreateTrigger     = pg.Node_CreateTrigStmt
	NodeRule              = pg.Node_RuleStmt
	NodeCreateStats       = pg.Node_CreateStatsStmt
	NodeAlterStats        = pg.Node_AlterStatsStmt
	NodeVacuum            = pg.Node_VacuumStmt
	NodeCluster           = pg.Node_ClusterStmt
	NodeReindex           = pg.Node_ReindexStmt
	NodeLock              = pg.Node_LockStmt
	NodeCreateCast        = pg.Node_CreateCastStmt
	NodeCreateConversion  = pg.Node_CreateConversionStmt
	NodeCreateTransform   = pg.Node_CreateTransformStmt
	NodeCreateOpClass     = pg.Node_CreateOpClassStmt
	NodeCreateOpFamily    = pg.Node_CreateOpFamilyStmt
	NodeAlterOpFamily     = pg.Node_AlterOpFamilyStmt
	NodeAlterOperator     = pg.Node_AlterOperatorStmt
	NodeCreateLanguage    = pg.Node_CreatePlangStmt
	NodeCreateWrapper     = pg.Node_CreateFdwStmt
	NodeAlterWrapper      = pg.Node_AlterFdwStmt
	NodeCreateServer      = pg.Node_CreateForeignServerStmt
	NodeAlterServer       = pg.Node_AlterForeignServerStmt
	NodeCreateUserMapping = pg.Node_CreateUserMappingStmt
	NodeAlterUserMapping  = pg.Node_AlterUserMappingStmt
	NodeDropUserMapping   = pg.Node_DropUserMappingStmt
	NodeAlterDatabaseSet  = pg.Node_AlterDatabaseSetStmt
	NodeCreateMethod      = pg.Node_CreateAmStmt
	NodeAlterTSDictionary = pg.Node_AlterTsdictionaryStmt
	NodeAlterTSConfig     = pg.Node_AlterTsconfigurationStmt
	NodeCreatePublication = pg.Node_CreatePublicationStmt
	NodeAlterPublication  = pg.Node_AlterPublicationStmt
	NodeRangeVar          = pg.Node_RangeVar
	NodeList              = pg.Node_List
	NodeString            = pg.Node_String_
	NodeConstraint        = pg.Node_Constraint
	NodeDefElem           = pg.Node_DefElem
	NodeColumnDef         = pg.Node_ColumnDef
	NodeAlterTableCmd     = pg.Node_AlterTableCmd
	NodeTableLike         = pg.Node_TableLikeClause
	NodeVacuumRelation    = pg.Node_VacuumRelation
)

// Kinds of objects in data definition statements (parsenodes.h, ObjectType).
const (
	ObjectAccessMethod  = pg.ObjectType_OBJECT_ACCESS_METHOD
	ObjectAggregate     = pg.ObjectType_OBJECT_AGGREGATE
	ObjectAttribute     = pg.ObjectType_OBJECT_ATTRIBUTE
	ObjectCast          = pg.ObjectType_OBJECT_CAST
	ObjectCollation     = pg.ObjectType_OBJECT_COLLATION
	ObjectColumn        = pg.ObjectType_OBJECT_COLUMN
	ObjectConversion    = pg.ObjectType_OBJECT_CONVERSION
	ObjectDatabase      = pg.ObjectType_OBJECT_DATABASE
	ObjectDomain        = pg.ObjectType_OBJECT_DOMAIN
	ObjectDomConstraint = pg.ObjectType_OBJECT_DOMCONSTRAINT
	ObjectExtension     = pg.ObjectType_OBJECT_EXTENSION
	ObjectForeignTable  = pg.ObjectType_OBJECT_FOREIGN_TABLE
	ObjectWrapper       = pg.ObjectType_OBJECT_FDW
	ObjectServer        = pg.ObjectType_OBJECT_FOREIGN_SERVER
	ObjectTransform     = pg.ObjectType_OBJECT_TRANSFORM
	ObjectFunction      = pg.ObjectType_OBJECT_FUNCTION
	ObjectIndex         = pg.ObjectType_OBJECT_INDEX
	ObjectLanguage      = pg.ObjectType_OBJECT_LANGUAGE
	ObjectLargeObject   = pg.ObjectType_OBJECT_LARGEOBJECT
	ObjectMatView       = pg.ObjectType_OBJECT_MATVIEW
	ObjectOpClass       = pg.ObjectType_OBJECT_OPCLASS
	ObjectOperator      = pg.ObjectType_OBJECT_OPERATOR
	ObjectOpFamily      = pg.ObjectType_OBJECT_OPFAMILY
	ObjectPolicy        = pg.ObjectType_OBJECT_POLICY
	ObjectProcedure     = pg.ObjectType_OBJECT_PROCEDURE
	ObjectPublication   = pg.ObjectType_OBJECT_PUBLICATION
	ObjectRole          = pg.ObjectType_OBJECT_ROLE
	ObjectRoutine       = pg.ObjectType_OBJECT_ROUTINE
	ObjectRule          = pg.ObjectType_OBJECT_RULE
	ObjectSchema        = pg.ObjectType_OBJECT_SCHEMA
	ObjectSequence      = pg.ObjectType_OBJECT_SEQUENCE
	ObjectStatistics    = pg.ObjectType_OBJECT_STATISTIC_EXT
	ObjectTabConstraint = pg.ObjectType_OBJECT_TABCONSTRAINT
	ObjectTable         = pg.ObjectType_OBJECT_TABLE
	ObjectTrigger       = pg.ObjectType_OBJECT_TRIGGER
	ObjectTSConfig      = pg.ObjectType_OBJECT_TSCONFIGURATION
	ObjectTSDictionary  = pg.ObjectType_OBJECT_TSDICTIONARY
	ObjectTSParser      = pg.ObjectType_OBJECT_TSPARSER
	ObjectTSTemplate    = pg.ObjectType_OBJECT_TSTEMPLATE
	ObjectType_         = pg.ObjectType_OBJECT_TYPE
	ObjectView          = pg.ObjectType_OBJECT_VIEW
)

// Subcommands of ALTER TABLE that need rules of their own when they reach shards (parsenodes.h, AlterTableType).
const (
	AlterAddColumn          = pg.AlterTableType_AT_AddColumn
	AlterColumnDefault      = pg.AlterTableType_AT_ColumnDefault
	AlterDropColumn         = pg.AlterTableType_AT_DropColumn
	AlterColumnType         = pg.AlterTableType_AT_AlterColumnType
	AlterAddConstraint      = pg.AlterTableType_AT_AddConstraint
	AlterAddInherit         = pg.AlterTableType_AT_AddInherit
	AlterDropInherit        = pg.AlterTableType_AT_DropInherit
	AlterAddOf              = pg.AlterTableType_AT_AddOf
	AlterDropOf             = pg.AlterTableType_AT_DropOf
	AlterAttachPartition    = pg.AlterTableType_AT_AttachPartition
	AlterDetachPartition    = pg.AlterTableType_AT_DetachPartition
	AlterDetachFinalize     = pg.AlterTableType_AT_DetachPartitionFinalize
	AlterAddIdentity        = pg.AlterTableType_AT_AddIdentity
	AlterSetIdentity        = pg.AlterTableType_AT_SetIdentity
	AlterDropIdentity       = pg.AlterTableType_AT_DropIdentity
	AlterSetTableSpace      = pg.AlterTableType_AT_SetTableSpace
	AlterSetAccessMethod    = pg.AlterTableType_AT_SetAccessMethod
	AlterGenericOptions     = pg.AlterTableType_AT_GenericOptions
	AlterSetLogged          = pg.AlterTableType_AT_SetLogged
	AlterSetUnlogged        = pg.AlterTableType_AT_SetUnLogged
	AlterDropConstraint     = pg.AlterTableType_AT_DropConstraint
	AlterValidateConstraint = pg.AlterTableType_AT_ValidateConstraint
	AlterConstraint         = pg.AlterTableType_AT_AlterConstraint
	AlterEnableTrig         = pg.AlterTableType_AT_EnableTrig
	AlterEnableAlwaysTrig   = pg.AlterTableType_AT_EnableAlwaysTrig
	AlterEnableReplicaTrig  = pg.AlterTableType_AT_EnableReplicaTrig
	AlterDisableTrig        = pg.AlterTableType_AT_DisableTrig
	AlterEnableRule         = pg.AlterTableType_AT_EnableRule
	AlterEnableAlwaysRule   = pg.AlterTableType_AT_EnableAlwaysRule
	AlterEnableReplicaRule  = pg.AlterTableType_AT_EnableReplicaRule
	AlterDisableRule        = pg.AlterTableType_AT_DisableRule
)

// Kinds of constraints in a column or table definition (parsenodes.h, ConstrType).
const (
	ConstraintNull            = pg.ConstrType_CONSTR_NULL
	ConstraintNotNull         = pg.ConstrType_CONSTR_NOTNULL
	ConstraintDefault         = pg.ConstrType_CONSTR_DEFAULT
	ConstraintIdentity        = pg.ConstrType_CONSTR_IDENTITY
	ConstraintGenerated       = pg.ConstrType_CONSTR_GENERATED
	ConstraintCheck           = pg.ConstrType_CONSTR_CHECK
	ConstraintPrimary         = pg.ConstrType_CONSTR_PRIMARY
	ConstraintUnique          = pg.ConstrType_CONSTR_UNIQUE
	ConstraintExclusion       = pg.ConstrType_CONSTR_EXCLUSION
	ConstraintForeign         = pg.ConstrType_CONSTR_FOREIGN
	ConstraintAttrDeferrable  = pg.ConstrType_CONSTR_ATTR_DEFERRABLE
	ConstraintAttrNotDeferred = pg.ConstrType_CONSTR_ATTR_NOT_DEFERRABLE
	ConstraintAttrDeferred    = pg.ConstrType_CONSTR_ATTR_DEFERRED
	ConstraintAttrImmediate   = pg.ConstrType_CONSTR_ATTR_IMMEDIATE
)

// DropCascade is CASCADE in DROP, TRUNCATE and ALTER TABLE … DROP.
const DropCascade = pg.DropBehavior_DROP_CASCADE

// DropRestrict is RESTRICT, or nothing said.
const DropRestrict = pg.DropBehavior_DROP_RESTRICT

// Which objects a GRANT names (parsenodes.h, GrantTargetType).
const (
	GrantObjects     = pg.GrantTargetType_ACL_TARGET_OBJECT
	GrantAllInSchema = pg.GrantTargetType_ACL_TARGET_ALL_IN_SCHEMA
	GrantDefaults    = pg.GrantTargetType_ACL_TARGET_DEFAULTS
	ReindexIndex     = pg.ReindexObjectType_REINDEX_OBJECT_INDEX
	ReindexTable     = pg.ReindexObjectType_REINDEX_OBJECT_TABLE
	ReindexSchema    = pg.ReindexObjectType_REINDEX_OBJECT_SCHEMA
	ReindexSystem    = pg.ReindexObjectType_REINDEX_OBJECT_SYSTEM
	ReindexDatabase  = pg.ReindexObjectType_REINDEX_OBJECT_DATABASE
)

// StringNode is a String node.
func StringNode(s string) *Node { return pg.MakeStrNode(s) }
