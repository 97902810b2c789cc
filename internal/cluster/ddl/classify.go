// Package ddl knows the shapes of data definition statements: which of them concern more than the coordinator, which objects
// they name, and how one is rewritten for shards. Everything here is a pure function of a syntax tree and a catalog snapshot.
//
// It imports sql and catalog only. Read Classify first.
package ddl

import (
	"slices"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// Classify tells whether a utility statement must be carried out by cluster.DDL rather than by the coordinator alone: it names
// a distributed or reference table, or a local one that is in the metadata, or makes or changes an object that other nodes have as well
// (a schema, type, function, role, …). temp holds the session's temporary tables. Names that the snapshot does not know, such as those of indexes, count
// as concerning other nodes while there is any distributed or reference table: cluster.DDL looks them up and does no harm to
// local ones.
func Classify(stmt *sql.Node, snap *catalog.Snapshot, searchPath []string, temp map[string]bool) bool {
	c := scope{snap: snap, path: searchPath, temp: temp}
	for _, r := range snap.Relations {
		if r.Kind != catalog.Local || r.Recorded() {
			c.spread = true
			break
		}
	}
	c.others = len(snap.ActivePrimaries()) > 1
	if !c.spread && !c.others && len(snap.Tenants) == 0 && stmt.GetCreateSchemaStmt() == nil {
		return false
	}
	return c.classify(stmt)
}

// scope is what a statement's names are resolved against.
type scope struct {
	snap   *catalog.Snapshot
	path   []string
	temp   map[string]bool
	spread bool // there are tables in the metadata
	others bool // there are nodes other than the coordinator
}

func (c *scope) classify(stmt *sql.Node) bool {
	switch n := stmt.GetNode().(type) {
	case *sql.NodeCreateTable:
		return c.createTable(n.CreateStmt)
	case *sql.NodeAlterTable:
		return c.alterTable(n.AlterTableStmt)
	case *sql.NodeIndex:
		return c.relation(n.IndexStmt.Relation)
	case *sql.NodeDrop:
		return c.drop(n.DropStmt)
	case *sql.NodeTruncate:
		return c.anyRelation(n.TruncateStmt.Relations)
	case *sql.NodeLock:
		return c.anyRelation(n.LockStmt.Relations)
	case *sql.NodeRename:
		if n.RenameStmt.RenameType == sql.ObjectDatabase {
			return false // never the one that all nodes have, which is open
		}
		return c.object(n.RenameStmt.RenameType, n.RenameStmt.Relation, n.RenameStmt.Object)
	case *sql.NodeAlterObjectSchema:
		return c.snap.Tenants[n.AlterObjectSchemaStmt.Newschema] || c.object(n.AlterObjectSchemaStmt.ObjectType, n.AlterObjectSchemaStmt.Relation, n.AlterObjectSchemaStmt.Object)
	case *sql.NodeAlterOwner:
		return c.object(n.AlterOwnerStmt.ObjectType, n.AlterOwnerStmt.Relation, n.AlterOwnerStmt.Object)
	case *sql.NodeAlterDepends:
		return c.object(n.AlterObjectDependsStmt.ObjectType, n.AlterObjectDependsStmt.Relation, n.AlterObjectDependsStmt.Object)
	case *sql.NodeComment:
		return c.object(n.CommentStmt.Objtype, nil, n.CommentStmt.Object)
	case *sql.NodeSecLabel:
		return c.object(n.SecLabelStmt.Objtype, nil, n.SecLabelStmt.Object)
	case *sql.NodeGrant:
		return c.grant(n.GrantStmt)
	case *sql.NodeCreatePolicy:
		return c.relation(n.CreatePolicyStmt.Table)
	case *sql.NodeAlterPolicy:
		return c.relation(n.AlterPolicyStmt.Table)
	case *sql.NodeCreateTrigger:
		return c.relation(n.CreateTrigStmt.Relation)
	case *sql.NodeRule:
		return c.relation(n.RuleStmt.Relation)
	case *sql.NodeCreateStats:
		return c.anyRelation(n.CreateStatsStmt.Relations)
	case *sql.NodeAlterStats:
		return c.spread
	case *sql.NodeVacuum:
		if len(n.VacuumStmt.Rels) == 0 {
			return true
		}
		for _, rel := range n.VacuumStmt.Rels {
			if c.relation(rel.GetVacuumRelation().GetRelation()) {
				return true
			}
		}
		return false
	case *sql.NodeCluster:
		return n.ClusterStmt.Relation == nil && c.spread || c.relation(n.ClusterStmt.Relation)
	case *sql.NodeReindex:
		return n.ReindexStmt.Relation == nil && c.spread || c.relation(n.ReindexStmt.Relation)
	case *sql.NodeCreatePublication:
		return c.publication(n.CreatePublicationStmt.Pubobjects)
	case *sql.NodeAlterPublication:
		return c.publication(n.AlterPublicationStmt.Pubobjects)
	case *sql.NodeDefine:
		return !temporary(n.DefineStmt.Defnames)
	case *sql.NodeCreateFunction:
		return !temporary(n.CreateFunctionStmt.Funcname)
	case *sql.NodeCompositeType:
		return n.CompositeTypeStmt.Typevar.GetSchemaname() != "pg_temp"
	case *sql.NodeCreateEnum:
		return !temporary(n.CreateEnumStmt.TypeName)
	case *sql.NodeCreateRange:
		return !temporary(n.CreateRangeStmt.TypeName)
	case *sql.NodeCreateDomain:
		return !temporary(n.CreateDomainStmt.Domainname)
	case *sql.NodeCreateSchema, *sql.NodeGrantRole, *sql.NodeAlterDefaults, *sql.NodeAlterEnum, *sql.NodeAlterType,
		*sql.NodeAlterDomain, *sql.NodeAlterFunction, *sql.NodeCreateExtension,
		*sql.NodeAlterExtension, *sql.NodeAlterExtContents, *sql.NodeAlterCollation, *sql.NodeCreateRole, *sql.NodeAlterRole,
		*sql.NodeAlterRoleSet, *sql.NodeDropRole, *sql.NodeDropOwned, *sql.NodeReassignOwned, *sql.NodeCreateCast,
		*sql.NodeCreateConversion, *sql.NodeCreateTransform, *sql.NodeCreateOpClass, *sql.NodeCreateOpFamily,
		*sql.NodeAlterOpFamily, *sql.NodeAlterOperator, *sql.NodeCreateLanguage, *sql.NodeCreateMethod, *sql.NodeAlterTSDictionary, *sql.NodeAlterTSConfig,
		*sql.NodeCreateWrapper, *sql.NodeAlterWrapper, *sql.NodeCreateServer, *sql.NodeAlterServer, *sql.NodeCreateUserMapping, *sql.NodeAlterUserMapping,
		*sql.NodeDropUserMapping, *sql.NodeAlterDatabaseSet:
		return true
	}
	return false
}

// MakesTable tells whether a statement makes a table that is not a temporary one.
func MakesTable(stmt *sql.Node) bool {
	n := stmt.GetCreateStmt()
	return n != nil && n.Relation.GetRelpersistence() != "t" && n.Relation.GetSchemaname() != "pg_temp"
}

// createTable: an ordinary new table is the coordinator's own; a partition or heir of a spread table is not.
func (c *scope) createTable(n *sql.CreateStmt) bool {
	if n.Relation.GetRelpersistence() == "t" || n.Relation.GetSchemaname() == "pg_temp" {
		return false
	}
	return c.anyRelation(n.InhRelations) || c.tenant(n.Relation) || slices.ContainsFunc(n.TableElts, c.referencesRecorded)
}

// referencesRecorded tells whether a column or constraint is, or has, a foreign key to a reference table or to a local table that is in the
// metadata: which brings the new table there too.
func (c *scope) referencesRecorded(n *sql.Node) bool {
	if k := n.GetConstraint(); k != nil {
		if v := k.Pktable; v != nil && !(v.Schemaname == "" && c.temp[v.Relname]) {
			r := c.snap.Resolve(c.path, v.Schemaname, v.Relname)
			return r != nil && (r.Kind == catalog.Reference || r.Recorded())
		}
		return false
	}
	return slices.ContainsFunc(n.GetColumnDef().GetConstraints(), c.referencesRecorded)
}

// tenant tells whether a new table may belong to a tenant's schema.
func (c *scope) tenant(v *sql.RangeVar) bool {
	return v.GetRelpersistence() != "t" && c.snap.MayCreateInTenant(c.path, v.GetSchemaname())
}

func (c *scope) alterTable(n *sql.AlterTableStmt) bool {
	switch n.Objtype {
	case sql.ObjectType_:
		return n.Relation.GetSchemaname() != "pg_temp"
	case sql.ObjectView, sql.ObjectMatView, sql.ObjectSequence, sql.ObjectForeignTable:
		return false
	}
	if c.relation(n.Relation) {
		return true
	}
	for _, cmd := range n.Cmds {
		// A local table may take a spread one as its partition or parent, which has to be looked at (and is refused).
		if def := cmd.GetAlterTableCmd().GetDef(); def.GetPartitionCmd() != nil && c.relation(def.GetPartitionCmd().Name) ||
			def.GetRangeVar() != nil && c.relation(def.GetRangeVar()) || c.referencesRecorded(def) {
			return true
		}
	}
	return false
}

func (c *scope) drop(n *sql.DropStmt) bool {
	switch n.RemoveType {
	case sql.ObjectTable, sql.ObjectIndex, sql.ObjectStatistics:
		for _, object := range n.Objects {
			if schema, name := Qualified(object); c.named(schema, name) {
				return true
			}
		}
		return false
	case sql.ObjectPolicy, sql.ObjectTrigger, sql.ObjectRule:
		for _, object := range n.Objects {
			if schema, name := ownerTable(object); c.named(schema, name) {
				return true
			}
		}
		return false
	}
	return everywhere(n.RemoveType)
}

// object classifies ALTER … RENAME, SET SCHEMA, OWNER and COMMENT ON, which name an object of any kind.
func (c *scope) object(kind sql.ObjectType, relation *sql.RangeVar, object *sql.Node) bool {
	switch kind {
	case sql.ObjectView, sql.ObjectMatView, sql.ObjectSequence, sql.ObjectForeignTable:
		return false
	case sql.ObjectTable, sql.ObjectIndex:
		if relation != nil {
			return c.relation(relation)
		}
		return c.named(Qualified(object))
	case sql.ObjectColumn, sql.ObjectTabConstraint, sql.ObjectPolicy, sql.ObjectTrigger, sql.ObjectRule:
		if relation != nil {
			return c.relation(relation)
		}
		schema, name := ownerTable(object)
		if r := c.snap.Resolve(c.path, schema, name); r != nil && r.RelKind == 'c' {
			return true // an attribute of a type
		}
		return c.named(schema, name)
	case sql.ObjectStatistics:
		return c.spread
	}
	return everywhere(kind)
}

func (c *scope) grant(n *sql.GrantStmt) bool {
	switch n.Objtype {
	case sql.ObjectSequence, sql.ObjectLargeObject:
		return false
	case sql.ObjectTable:
		if n.Targtype == sql.GrantAllInSchema {
			return c.spread
		}
		return c.anyRelation(n.Objects)
	}
	return everywhere(n.Objtype)
}

func (c *scope) publication(objects []*sql.Node) bool {
	for _, object := range objects {
		if table := object.GetPublicationObjSpec().GetPubtable(); table != nil && c.relation(table.Relation) {
			return true
		}
	}
	return false
}

func (c *scope) anyRelation(list []*sql.Node) bool {
	for _, node := range list {
		if c.relation(node.GetRangeVar()) {
			return true
		}
	}
	return false
}

func (c *scope) relation(v *sql.RangeVar) bool {
	return v != nil && c.named(v.Schemaname, v.Relname)
}

// named tells whether a relation is in the metadata, or for all the snapshot knows may belong to one that is.
func (c *scope) named(schema, name string) bool {
	if schema == "pg_temp" || schema == "" && c.temp[name] {
		return false
	}
	if r := c.snap.Resolve(c.path, schema, name); r != nil {
		return r.Kind != catalog.Local || r.Recorded()
	}
	return c.spread
}

// everywhere tells whether objects of a kind exist on all nodes. All serve the cluster in a database of the same name.
func everywhere(kind sql.ObjectType) bool {
	switch kind {
	case sql.ObjectAccessMethod, sql.ObjectAggregate, sql.ObjectAttribute, sql.ObjectCast, sql.ObjectCollation, sql.ObjectConversion, sql.ObjectDatabase, sql.ObjectDomain,
		sql.ObjectDomConstraint, sql.ObjectExtension, sql.ObjectFunction, sql.ObjectLanguage, sql.ObjectOpClass,
		sql.ObjectOperator, sql.ObjectOpFamily, sql.ObjectProcedure, sql.ObjectRole, sql.ObjectRoutine, sql.ObjectSchema,
		sql.ObjectTSConfig, sql.ObjectTSDictionary, sql.ObjectTSParser, sql.ObjectTSTemplate, sql.ObjectTransform, sql.ObjectType_, sql.ObjectServer, sql.ObjectWrapper:
		return true
	}
	return false
}

// Qualified gives the schema ("" if unsaid) and name of a name written as a list of strings or as one string.
func Qualified(object *sql.Node) (schema, name string) {
	return lastTwo(Names(object))
}

// ownerTable gives the table in a name of a thing that belongs to a table: [schema.]table.thing.
func ownerTable(object *sql.Node) (schema, name string) {
	names := Names(object)
	if len(names) == 0 {
		return "", ""
	}
	return lastTwo(names[:len(names)-1])
}

func lastTwo(names []string) (schema, name string) {
	switch len(names) {
	case 0:
		return "", ""
	case 1:
		return "", names[0]
	}
	return names[len(names)-2], names[len(names)-1]
}

// Names gives the parts of a dotted name.
func Names(object *sql.Node) []string {
	if s := object.GetString_(); s != nil {
		return []string{s.Sval}
	}
	var names []string
	for _, item := range object.GetList().GetItems() {
		if s := item.GetString_(); s != nil {
			names = append(names, s.Sval)
		}
	}
	return names
}

func temporary(names []*sql.Node) bool {
	return len(names) > 1 && names[0].GetString_().GetSval() == "pg_temp"
}
