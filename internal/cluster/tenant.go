package cluster

import (
	"context"
	"fmt"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/txn"
)

// A tenant schema is one whose tables all have a single shard, in a colocation group of the schema's own. pg_dist_schema lists them.

type schemaArgs struct {
	Schema uint32 `json:"schemaname"`
}

// tenantSchema is a schema as the transaction sees it. colocation is that of a tenant schema, 0 for any other.
type tenantSchema struct {
	name       string
	colocation int
}

// lockSchema makes changes of what a schema is follow one another, and finds it. verb says what is to be done: "distribute".
func (o *operation) lockSchema(ctx context.Context, oid uint32, verb string) (tenantSchema, error) {
	if err := o.exec(ctx, fmt.Sprintf("SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('trunkline schema', %d))", oid)); err != nil {
		return tenantSchema{}, err
	}
	rows, err := o.query(ctx, fmt.Sprintf(`SELECT n.nspname, coalesce(s.colocationid, 0), pg_catalog.pg_has_role(n.nspowner, 'USAGE'),
			n.nspname ~ '^pg_' OR n.nspname IN ('information_schema', 'trunkline', 'trunkline_internal', 'trunkline_call', 'citus'), n.nspname = 'public'
		FROM pg_catalog.pg_namespace n LEFT JOIN trunkline.pg_dist_schema s ON s.schemaid = n.oid WHERE n.oid = %d`, oid))
	if err != nil {
		return tenantSchema{}, err
	}
	if len(rows) == 0 {
		return tenantSchema{}, sql.Errorf("3F000", "schema with OID %d does not exist", oid)
	}
	r := rows[0]
	s := tenantSchema{name: r.text(0), colocation: r.int(1)}
	switch {
	case r.bool(3):
		return s, sql.Errorf("42809", "cannot %s system schema %q", verb, s.name)
	case r.bool(4):
		return s, &sql.Error{Code: "42809", Message: fmt.Sprintf("cannot %s schema %q", verb, s.name), Detail: "All users share it.", Hint: "Give the tenant a schema of its own."}
	case !r.bool(2):
		return s, sql.Errorf("42501", "must be owner of schema %s", s.name)
	}
	return s, nil
}

// distributeSchema makes a schema a tenant's: its tables become single-shard tables that are co-located with one another.
func distributeSchema(o *operation, ctx context.Context, args schemaArgs) (*string, error) {
	schema, err := o.lockSchema(ctx, args.Schema, "distribute")
	if err != nil {
		return nil, err
	}
	if schema.colocation != 0 {
		return nil, &sql.Error{Code: "42P16", Message: fmt.Sprintf("schema %q is already distributed", schema.name)}
	}
	rows, err := o.query(ctx, fmt.Sprintf(`SELECT c.relname FROM trunkline.pg_dist_partition p JOIN pg_catalog.pg_class c ON c.oid = p.logicalrelid
		WHERE c.relnamespace = %d AND (p.repmodel = 't' OR p.colocationid <> 0) ORDER BY 1 LIMIT 1`, args.Schema))
	if err != nil {
		return nil, err
	}
	if len(rows) > 0 {
		return nil, sql.Unsupported(fmt.Sprintf("schema %q already has distributed tables", schema.name), fmt.Sprintf("Table %q is one.", rows[0].text(0)),
			"Undistribute them with undistribute_table() first.")
	}
	if err := o.makeTenant(ctx, args.Schema); err != nil {
		return nil, err
	}
	return void(), o.adoptTables(ctx)
}

// makeTenant gives a schema a colocation group of its own.
func (o *operation) makeTenant(ctx context.Context, oid uint32) error {
	if err := o.lockColocations(ctx); err != nil {
		return err
	}
	colocation, err := o.createColocation(ctx, 1, noColumn)
	if err != nil {
		return err
	}
	return o.exec(ctx, fmt.Sprintf("SELECT trunkline_internal.add_tenant_schema(%d, %d)", oid, colocation))
}

// adoptTables distributes those tables of tenant schemas that are still local: new ones, or moved there.
func (o *operation) adoptTables(ctx context.Context) error {
	rows, err := o.query(ctx, `SELECT s.colocationid, c.oid::bigint FROM trunkline.pg_dist_schema s JOIN pg_catalog.pg_class c ON c.relnamespace = s.schemaid
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
		  AND NOT EXISTS (SELECT FROM trunkline.pg_dist_partition p WHERE p.logicalrelid = c.oid AND (p.repmodel = 't' OR p.colocationid <> 0)) ORDER BY 1, 2`)
	if err != nil || len(rows) == 0 {
		return err
	}
	conn, err := o.coordinator(ctx)
	if err != nil {
		return err
	}
	trees := map[int][]*definition{}
	var colocations []int
	var roots []uint32
	for _, r := range rows {
		oid := uint32(r.int(1))
		if err := o.mustBeTopTable(ctx, oid, "distribute"); err != nil {
			return err
		}
		tree, err := describeTree(ctx, conn, oid)
		if err != nil {
			return err
		}
		for _, d := range tree {
			if err := mayDistribute(d, false); err != nil {
				return err
			}
			if err := o.checkColumnTypes(ctx, d); err != nil {
				return err
			}
		}
		colocation := r.int(0)
		if trees[colocation] == nil {
			colocations = append(colocations, colocation)
		}
		trees[colocation] = append(trees[colocation], tree...)
		roots = append(roots, oid)
	}
	for _, colocation := range colocations {
		if err := o.distribute(ctx, trees[colocation], noColumn, "", colocation); err != nil {
			return err
		}
	}
	for _, oid := range roots {
		if err := o.emptyShells(ctx, oid); err != nil {
			return err
		}
	}
	return nil
}

// undistributeSchema makes a tenant schema an ordinary one: its tables become local.
func undistributeSchema(o *operation, ctx context.Context, args schemaArgs) (*string, error) {
	schema, err := o.lockSchema(ctx, args.Schema, "undistribute")
	if err != nil {
		return nil, err
	}
	if schema.colocation == 0 {
		return nil, &sql.Error{Code: "42P16", Message: fmt.Sprintf("schema %q is not distributed", schema.name)}
	}
	tables, err := o.tables(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := o.query(ctx, fmt.Sprintf(`SELECT p.logicalrelid::oid::bigint FROM trunkline.pg_dist_partition p JOIN pg_catalog.pg_class c ON c.oid = p.logicalrelid
		WHERE p.colocationid = %d AND NOT c.relispartition ORDER BY 1`, schema.colocation))
	if err != nil {
		return nil, err
	}
	var roots []uint32
	seen := map[uint32]bool{}
	for _, r := range rows {
		family, err := o.foreignKeyFamily(ctx, uint32(r.int(0)), tables)
		if err != nil {
			return nil, err
		}
		for _, oid := range family { // referenced ones first
			if tables[oid].colocation == schema.colocation && !seen[oid] {
				seen[oid] = true
				roots = append(roots, oid)
			}
		}
	}
	if err := o.bringBack(ctx, roots, tables); err != nil {
		return nil, err
	}
	return void(), o.exec(ctx, fmt.Sprintf("SELECT trunkline_internal.remove_tenant_schema(%d)", args.Schema))
}

// inTenantSchema refuses what would set a table of a tenant schema apart from the others.
func (o *operation) inTenantSchema(ctx context.Context, oid uint32, verb string) error {
	rows, err := o.query(ctx, fmt.Sprintf(`SELECT c.relname, s.schemaid::regnamespace::text FROM pg_catalog.pg_class c JOIN trunkline.pg_dist_schema s ON s.schemaid = c.relnamespace
		WHERE c.oid = %d`, oid))
	if err != nil || len(rows) == 0 {
		return err
	}
	return sql.Unsupported(fmt.Sprintf("cannot %s table %q of distributed schema %s", verb, rows[0].text(0), rows[0].text(1)),
		"All tables of a distributed schema have one shard, on the same node.", "Move the table to another schema with ALTER TABLE … SET SCHEMA, or undistribute the schema with citus_schema_undistribute().")
}

// newTenant makes a schema that a CREATE SCHEMA has just made a tenant's if the session asks for that by
// citus.enable_schema_based_sharding.
func (p *propagation) newTenant(ctx context.Context, name string, existed bool) error {
	if existed || name == "" {
		return nil
	}
	rows, err := p.query(ctx, fmt.Sprintf(`SELECT n.oid::bigint FROM pg_catalog.pg_namespace n WHERE n.nspname = %s
		AND nullif(pg_catalog.current_setting('citus.enable_schema_based_sharding', true), '')::bool`, sql.QuoteLiteral(name)))
	if err != nil || len(rows) == 0 {
		return err
	}
	if err := p.makeTenant(ctx, uint32(rows[0].int(0))); err != nil {
		return err
	}
	return p.adoptTables(ctx)
}

func (p *propagation) schemaExists(ctx context.Context, name string) (bool, error) {
	rows, err := p.query(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = "+sql.QuoteLiteral(name)+")")
	return err == nil && rows[0].bool(0), err
}

// changeSchemaOfTenant carries out ALTER TABLE … SET SCHEMA out of a tenant schema or into one: a table that leaves becomes local,
// one that comes gets its shard beside the others. done tells whether the statement was one.
func (p *propagation) changeSchemaOfTenant(ctx context.Context, t *target, schema string) (done bool, err error) {
	rows, err := p.query(ctx, fmt.Sprintf("SELECT n.nspname FROM trunkline.pg_dist_schema s JOIN pg_catalog.pg_namespace n ON n.oid = s.schemaid WHERE n.nspname IN (%s, %s)",
		sql.QuoteLiteral(schema), sql.QuoteLiteral(t.schema)))
	if err != nil || len(rows) == 0 || t.schema == schema || t.owner != 0 || t.kind != "r" && t.kind != "p" {
		return false, err
	}
	if t.spread {
		if p.isPartition(ctx, t.oid) {
			return true, sql.Unsupported(fmt.Sprintf("cannot move partition %q into or out of a distributed schema by itself", t.name), "", "Move the partitioned table.")
		}
		family, err := p.foreignKeyFamily(ctx, t.oid, p.spread)
		if err != nil {
			return true, err
		}
		for _, oid := range family {
			if other := p.spread[oid]; oid != t.oid && !other.reference {
				return true, sql.Unsupported(fmt.Sprintf("cannot move table %q into or out of a distributed schema", t.name),
					fmt.Sprintf("A foreign key connects it with table %q.", other.name), "Drop the foreign key first.")
			}
		}
		if err := p.bringBack(ctx, []uint32{t.oid}, p.spread); err != nil {
			return true, err
		}
	}
	if err := p.own(ctx); err != nil {
		return true, err
	}
	if err := p.adoptTables(ctx); err != nil {
		return true, err
	}
	return true, p.definitionsChanged(ctx)
}

func (p *propagation) isPartition(ctx context.Context, oid uint32) bool {
	rows, err := p.query(ctx, fmt.Sprintf("SELECT relispartition FROM pg_catalog.pg_class WHERE oid = %d", oid))
	return err == nil && len(rows) > 0 && rows[0].bool(0)
}

// AdoptTables distributes what a statement that is not data definition on all nodes has put into tenant schemas: CREATE TABLE AS,
// SELECT INTO. The catalog has changed afterwards.
func (c *Cluster) AdoptTables(ctx context.Context, tx *txn.Tx, snap *catalog.Snapshot) error {
	return tx.RunAtomically(ctx, func() error {
		return (&operation{Cluster: c, tx: tx, snap: snap}).adoptTables(ctx)
	})
}
