package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/cluster/ddl"
	"github.com/trunkline/trunkline/internal/sql"
)

// everywhere carries out a statement about objects that all nodes have: schemas, types, functions, roles, … It runs verbatim, in
// the session's search_path. What depends on something that only the coordinator has (a function over a local table's row type)
// cannot exist on other nodes, nor be changed there: it is the coordinator's own, and no shard can need it.
func (p *propagation) everywhere(ctx context.Context, tree *sql.Node) error {
	text := p.stmt.Text
	if names := databasesOf(tree); len(names) > 0 {
		rows, err := p.query(ctx, "SELECT pg_catalog.current_database()")
		if err != nil {
			return err
		}
		if !slices.Contains(names, rows[0].text(0)) {
			return p.own(ctx) // other databases of the coordinator's server are its own
		}
	}
	switch n := tree.GetNode().(type) {
	case *sql.NodeCreateSchema:
		if n.CreateSchemaStmt.Schemaname == "" && n.CreateSchemaStmt.Authrole == nil {
			return p.own(ctx)
		}
		existed, err := p.schemaExists(ctx, n.CreateSchemaStmt.Schemaname)
		if err != nil {
			return err
		}
		if err := p.own(ctx); err != nil {
			return err
		}
		// The schema's tables are the coordinator's; the schema itself may be there already.
		n.CreateSchemaStmt.SchemaElts, n.CreateSchemaStmt.IfNotExists = nil, true
		if err := p.elsewhere(ctx, tree, nil); err != nil {
			return err
		}
		return p.newTenant(ctx, n.CreateSchemaStmt.Schemaname, existed)
	case *sql.NodeCreateExtension:
		if err := p.own(ctx); err != nil {
			return err
		}
		n.CreateExtensionStmt.IfNotExists = true
		return p.elsewhere(ctx, tree, nil)
	case *sql.NodeCreateRole:
		return p.withVerifier(ctx, tree, n.CreateRoleStmt.Options)
	case *sql.NodeAlterRole:
		return p.withVerifier(ctx, tree, n.AlterRoleStmt.Options)
	case *sql.NodeDropOwned, *sql.NodeReassignOwned:
		if err := p.own(ctx); err != nil {
			return err
		}
		if err := p.verbatim(ctx, text, nil); err != nil {
			return err
		}
		return p.thenNote(ctx, p.forgetDropped(ctx))
	case *sql.NodeDropRole, *sql.NodeGrantRole, *sql.NodeAlterRoleSet, *sql.NodeAlterDefaults:
		if err := p.own(ctx); err != nil {
			return err
		}
		return p.verbatim(ctx, text, nil)
	}
	if err := p.own(ctx); err != nil {
		return err
	}
	if tree.GetCreateFunctionStmt() != nil {
		if err := p.checkTriggerFunctions(ctx); err != nil {
			return err
		}
	}
	return p.verbatim(ctx, text, missing)
}

// databasesOf gives the databases that a statement is about.
func databasesOf(tree *sql.Node) []string {
	switch n := tree.GetNode().(type) {
	case *sql.NodeAlterDatabaseSet:
		return []string{n.AlterDatabaseSetStmt.Dbname}
	case *sql.NodeAlterOwner:
		if n.AlterOwnerStmt.ObjectType == sql.ObjectDatabase {
			return ddl.Names(n.AlterOwnerStmt.Object)
		}
	case *sql.NodeComment:
		if n.CommentStmt.Objtype == sql.ObjectDatabase {
			return ddl.Names(n.CommentStmt.Object)
		}
	case *sql.NodeGrant:
		if n.GrantStmt.Objtype == sql.ObjectDatabase {
			return sql.Strings(n.GrantStmt.Objects)
		}
	}
	return nil
}

// missing are the SQLSTATEs that say that something a statement needs does not exist: undefined_object, undefined_table,
// undefined_function, undefined_column, invalid_schema_name, invalid_catalog_name.
var missing = []string{"42704", "42P01", "42883", "42703", "3F000", "3D000"}

// elsewhere runs a tree on all nodes but the coordinator.
func (p *propagation) elsewhere(ctx context.Context, tree *sql.Node, tolerated []string) error {
	text, err := sql.Deparse(tree)
	if err != nil {
		return fmt.Errorf("writing the statement for other nodes: %w", err)
	}
	return p.verbatim(ctx, text, tolerated)
}

// verbatim runs a text on all nodes but the coordinator. Errors of the tolerated SQLSTATEs leave a node as it was.
func (p *propagation) verbatim(ctx context.Context, text string, tolerated []string) error {
	groups, err := p.others(ctx)
	if err != nil {
		return err
	}
	const mark = "trunkline_statement"
	err = p.onNodes(ctx, groups, func(ctx context.Context, _ int32, conn *backend.Conn) error {
		if len(tolerated) == 0 {
			return run(ctx, conn, text)
		}
		if err := run(ctx, conn, "SAVEPOINT "+mark); err != nil {
			return err
		}
		err := run(ctx, conn, text)
		var refused *pgconn.PgError
		switch {
		case err == nil:
			return run(ctx, conn, "RELEASE SAVEPOINT "+mark)
		case errors.As(err, &refused) && slices.Contains(tolerated, refused.Code):
			_, err = conn.Exec(ctx, "ROLLBACK TO SAVEPOINT "+mark+"; RELEASE SAVEPOINT "+mark)
		}
		return err
	})
	if err != nil {
		return err
	}
	return p.definitionsChanged(ctx)
}

// inShardSchemas runs a tree once per shard group for each of the schemas that has shard schemas. rename puts the marked schema
// into the tree.
func (p *propagation) inShardSchemas(ctx context.Context, schema string, tree *sql.Node) error {
	text, err := sql.Deparse(tree)
	if err != nil {
		return fmt.Errorf("writing the statement for shard schemas: %w", err)
	}
	script := ddl.Script([]string{text})
	for _, colocation := range p.colocationsIn(schema) {
		shards, err := p.shardGroups(ctx, colocation)
		if err != nil {
			return err
		}
		if err := p.onShards(ctx, shards, script); err != nil {
			return err
		}
	}
	return nil
}

// colocationsIn lists the colocation groups of the distributed tables in a schema.
func (p *propagation) colocationsIn(schema string) []int {
	var colocations []int
	for _, t := range p.spread {
		if t.schema == schema && !t.reference {
			colocations = append(colocations, t.colocation)
		}
	}
	slices.Sort(colocations)
	return slices.Compact(colocations)
}

// rename carries out ALTER … RENAME of anything.
func (p *propagation) rename(ctx context.Context, tree *sql.Node, n *sql.RenameStmt) error {
	switch n.RenameType {
	case sql.ObjectSchema:
		if err := p.everywhere(ctx, tree); err != nil {
			return err
		}
		old := n.Subname
		n.Subname, n.Newname = ddl.Mark(old), ddl.Mark(n.Newname)
		return p.inShardSchemas(ctx, old, tree)
	case sql.ObjectStatistics:
		return p.statisticsObject(ctx, tree, n.Object)
	case sql.ObjectRule:
		return p.own(ctx)
	case sql.ObjectAttribute:
		return p.everywhere(ctx, tree)
	}
	if n.Relation == nil {
		return p.everywhere(ctx, tree)
	}
	t, err := p.resolveVar(ctx, n.Relation)
	if err != nil {
		return err
	}
	alone := t == nil || !t.spread
	if n.RenameType == sql.ObjectTabConstraint && !alone {
		if alone, err = p.isLocalKey(ctx, t, n.Subname); err != nil {
			return err
		}
	}
	if err := p.own(ctx); err != nil || alone {
		return err
	}
	t.requalify(n.Relation)
	return p.outTree(ctx, t.table, tree)
}

// setSchema carries out ALTER … SET SCHEMA of anything.
func (p *propagation) setSchema(ctx context.Context, tree *sql.Node, node *sql.NodeAlterObjectSchema) error {
	n := node.AlterObjectSchemaStmt
	if n.ObjectType == sql.ObjectStatistics {
		return p.moveStatistics(ctx, tree, node)
	}
	if n.Relation == nil {
		return p.everywhere(ctx, tree)
	}
	t, err := p.resolveVar(ctx, n.Relation)
	if err != nil {
		return err
	}
	if t != nil {
		if done, err := p.changeSchemaOfTenant(ctx, t, n.Newschema); done || err != nil {
			return err
		}
	}
	if err := p.own(ctx); err != nil {
		return err
	}
	if t == nil || !t.spread {
		return nil
	}
	t.requalify(n.Relation)
	if t.table.reference {
		return p.outTree(ctx, t.table, tree)
	}
	shards, err := p.shardGroups(ctx, t.table.colocation)
	if err != nil {
		return err
	}
	if err := p.ensureShardSchemas(ctx, []string{n.Newschema}, shards); err != nil {
		return err
	}
	n.Newschema = ddl.Mark(n.Newschema)
	if err := p.outTree(ctx, t.table, tree); err != nil {
		return err
	}
	left, err := p.tables(ctx)
	if err != nil {
		return err
	}
	for _, other := range left {
		if other.schema == t.schema && other.colocation == t.table.colocation && !other.reference {
			return nil
		}
	}
	return p.dropShardSchemas(ctx, []string{t.schema}, shards)
}

// changeOwner carries out ALTER … OWNER TO of what is not a table.
func (p *propagation) changeOwner(ctx context.Context, tree *sql.Node, node *sql.NodeAlterOwner) error {
	n := node.AlterOwnerStmt
	switch n.ObjectType {
	case sql.ObjectStatistics:
		return p.statisticsObject(ctx, tree, n.Object)
	case sql.ObjectSchema:
		if err := p.everywhere(ctx, tree); err != nil {
			return err
		}
		schema := n.Object.GetString_().GetSval()
		n.Object = sql.StringNode(ddl.Mark(schema))
		return p.inShardSchemas(ctx, schema, tree)
	}
	return p.everywhere(ctx, tree)
}

// statisticsObject carries out a statement that names an extended statistics object by a list in the tree.
func (p *propagation) statisticsObject(ctx context.Context, tree *sql.Node, object *sql.Node) error {
	return p.named(ctx, tree, &object.GetList().Items)
}

// label carries out COMMENT ON and SECURITY LABEL ON anything; object is the name in the tree.
func (p *propagation) label(ctx context.Context, tree *sql.Node, kind sql.ObjectType, object **sql.Node) error {
	names := ddl.Names(*object)
	owned := 0 // parts of the name after the relation's
	switch kind {
	case sql.ObjectTable, sql.ObjectIndex:
	case sql.ObjectColumn, sql.ObjectTabConstraint, sql.ObjectPolicy, sql.ObjectTrigger, sql.ObjectRule:
		owned = 1
	case sql.ObjectStatistics:
		return p.statisticsObject(ctx, tree, *object)
	default:
		return p.everywhere(ctx, tree)
	}
	if len(names) <= owned {
		return p.own(ctx)
	}
	relation := names[:len(names)-owned]
	schema, name := split(relation)
	t, err := p.resolve(ctx, schema, name)
	if err != nil {
		return err
	}
	if t != nil && t.kind == "c" {
		return p.everywhere(ctx, tree)
	}
	alone := t == nil || !t.spread || kind == sql.ObjectRule
	if kind == sql.ObjectTabConstraint && !alone {
		if alone, err = p.isLocalKey(ctx, t, names[len(names)-1]); err != nil {
			return err
		}
	}
	if err := p.own(ctx); err != nil || alone {
		return err
	}
	*object = listOf(append([]string{schemaFor(t.table, t.schema), t.name}, names[len(relation):]...)...)
	return p.outTree(ctx, t.table, tree)
}

// grant carries out GRANT and REVOKE on anything.
func (p *propagation) grant(ctx context.Context, tree *sql.Node, n *sql.GrantStmt) error {
	switch {
	case n.Objtype == sql.ObjectTable && n.Targtype == sql.GrantAllInSchema:
		schemas := sql.Strings(n.Objects)
		if err := p.own(ctx); err != nil {
			return err
		}
		n.Targtype = sql.GrantObjects
		for _, t := range sortedTables(p.spread) {
			if slices.Contains(schemas, t.schema) {
				n.Objects = []*sql.Node{sql.Table(schemaFor(t, t.schema), t.name, "")}
				if err := p.outTree(ctx, t, tree); err != nil {
					return err
				}
			}
		}
		return nil
	case n.Objtype == sql.ObjectTable:
		var found []*target
		for _, object := range n.Objects {
			t, err := p.resolveVar(ctx, object.GetRangeVar())
			if err != nil {
				return err
			}
			if t != nil && t.spread {
				found = append(found, t)
			}
		}
		if err := p.own(ctx); err != nil {
			return err
		}
		for _, t := range found {
			n.Objects = []*sql.Node{sql.Table(schemaFor(t.table, t.schema), t.name, "")}
			if err := p.outTree(ctx, t.table, tree); err != nil {
				return err
			}
		}
		return nil
	case n.Objtype == sql.ObjectSchema:
		if err := p.everywhere(ctx, tree); err != nil {
			return err
		}
		for _, schema := range sql.Strings(n.Objects) {
			n.Objects = sql.StringNodes(ddl.Mark(schema))
			if err := p.inShardSchemas(ctx, schema, tree); err != nil {
				return err
			}
		}
		return nil
	}
	return p.everywhere(ctx, tree)
}

func sortedTables(tables map[uint32]spread) []spread {
	var all []spread
	for _, t := range tables {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b spread) int { return int(int64(a.oid) - int64(b.oid)) })
	return all
}
