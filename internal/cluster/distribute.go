package cluster

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/cluster/ddl"
	"github.com/trunkline/trunkline/internal/sql"
)

type distributeArgs struct {
	Table        uint32  `json:"table_name"`
	Column       *string `json:"distribution_column"`
	Method       *string `json:"distribution_type"`
	ColocateWith *string `json:"colocate_with"`
	ShardCount   *int    `json:"shard_count"`
}

const maxShardCount = 64000 // Citus' limit

// createDistributedTable makes a table a distributed one: shards on the nodes, its rows in them, the shell empty.
func createDistributedTable(o *operation, ctx context.Context, args distributeArgs) (*string, error) {
	if args.Method != nil && *args.Method != "hash" {
		return nil, sql.Unsupported(fmt.Sprintf("distribution by %s is not supported", *args.Method), "", "Tables are distributed by hash.")
	}
	if err := o.mustBeTopTable(ctx, args.Table, "distribute"); err != nil {
		return nil, err
	}
	conn, err := o.coordinator(ctx)
	if err != nil {
		return nil, err
	}
	tree, err := describeTree(ctx, conn, args.Table)
	if err != nil {
		return nil, err
	}
	key, hash, err := o.keyOf(tree[0], args.Column)
	if err != nil {
		return nil, err
	}
	for _, d := range tree {
		if err := mayDistribute(d, false); err != nil {
			return nil, err
		}
		if err := o.checkColumnTypes(ctx, d); err != nil {
			return nil, err
		}
	}
	colocation, err := o.chooseColocation(ctx, args, key)
	if err != nil {
		return nil, err
	}
	if err := o.distribute(ctx, tree, key, hash, colocation); err != nil {
		return nil, err
	}
	return void(), nil
}

// keyOf finds the distribution column that a call names; none is asked for by NULL, and makes a table of one shard.
func (o *operation) keyOf(d *definition, name *string) (*column, string, error) {
	if name == nil {
		return noColumn, "", nil
	}
	return o.distributionColumn(d, *name)
}

// noColumn stands for the distribution column of tables that have none.
var noColumn = &column{}

// in finds a distribution column in the definition of a table or partition, by its name.
func (c *column) in(d *definition) *column {
	if c == noColumn {
		return c
	}
	return d.column(c.Name)
}

// distribute spreads a table, with its partitions, over the shard groups of a colocation group.
func (o *operation) distribute(ctx context.Context, tree []*definition, key *column, hash string, colocation int) error {
	tables, err := o.tables(ctx)
	if err != nil {
		return err
	}
	for _, d := range tree {
		own := key.in(d)
		tables[d.OID] = spread{oid: d.OID, schema: d.Schema, name: d.Name, colocation: colocation, column: own.Number}
	}
	for _, d := range tree {
		self := tables[d.OID]
		if err := checkUnique(d, self.column); err != nil {
			return err
		}
		if err := checkForeignKeys(d, self, tables, o.names(ctx)); err != nil {
			return err
		}
		if err := o.checkReferenceTables(ctx, d); err != nil {
			return err
		}
		if err := o.addTable(ctx, d.OID, key.Name, colocation); err != nil {
			return err
		}
	}
	shards, err := o.shardGroups(ctx, colocation)
	if err != nil {
		return err
	}
	if err := o.ensureShardSchemas(ctx, schemasOf(tree), shards); err != nil {
		return err
	}
	g := newGenerator(tree, true)
	for oid, t := range tables {
		g.distributed[oid] = !t.reference
	}
	var create []string
	for _, d := range tree {
		create = append(create, g.create(d)...)
	}
	if err := o.onShards(ctx, shards, ddl.Script(create)); err != nil {
		return err
	}
	for _, d := range tree {
		if d.Kind != "p" {
			if err := o.moveToShards(ctx, d, key.in(d), hash, shards); err != nil {
				return err
			}
		}
	}
	script, err := o.finishing(ctx, g, tree)
	if err != nil {
		return err
	}
	if err := functionMissing(o.onShards(ctx, shards, script)); err != nil {
		return err
	}
	if err := o.checkTriggerFunctions(ctx); err != nil {
		return err
	}
	if err := o.guardShards(ctx, tree, key.Name, colocation); err != nil {
		return err
	}
	return o.thenNote(ctx, o.emptyShells(ctx, tree[0].OID))
}

// finishing is what tables need once their rows are in: indexes, constraints, comments, triggers, rights.
func (o *operation) finishing(ctx context.Context, g *generator, tree []*definition) (ddl.Template, error) {
	conn, err := o.coordinator(ctx)
	if err != nil {
		return ddl.Template{}, err
	}
	maker, err := makerOf(ctx, conn)
	if err != nil {
		return ddl.Template{}, err
	}
	var statements []string
	for _, d := range tree {
		made, err := g.finish(d)
		if err != nil {
			return ddl.Template{}, err
		}
		statements = append(statements, made...)
	}
	for _, d := range tree {
		made, err := g.foreignKeys(d)
		if err != nil {
			return ddl.Template{}, err
		}
		statements = append(statements, made...)
	}
	for _, d := range tree {
		made, err := g.triggers(d)
		if err != nil {
			return ddl.Template{}, err
		}
		statements = append(statements, made...)
	}
	for _, d := range tree {
		statements = append(statements, g.rights(d, maker)...)
	}
	return ddl.Script(statements), nil
}

// mustBeTopTable locks a table and makes sure that it is not spread yet and is not a partition.
func (o *operation) mustBeTopTable(ctx context.Context, oid uint32, verb string) error {
	_, name, err := o.lockTable(ctx, oid, verb)
	if err != nil {
		return err
	}
	rows, err := o.query(ctx, fmt.Sprintf(`SELECT EXISTS (SELECT FROM trunkline.pg_dist_partition WHERE logicalrelid = %d AND (repmodel = 't' OR colocationid <> 0)), c.relispartition
		FROM pg_catalog.pg_class c WHERE c.oid = %d`, oid, oid))
	if err != nil {
		return err
	}
	if rows[0].bool(0) {
		return sql.Errorf("42P16", "table %q is already distributed", name)
	}
	if rows[0].bool(1) {
		return sql.Unsupported(fmt.Sprintf("cannot %s partition %q by itself", verb, name), "", "Call the function for the partitioned table.")
	}
	return nil
}

// distributionColumn finds the column and the expression that hashes it, with $ for the column.
func (o *operation) distributionColumn(d *definition, name string) (*column, string, error) {
	c := d.column(name)
	if c == nil {
		return nil, "", sql.Errorf("42703", "column %q of relation %q does not exist", name, d.Name)
	}
	if c.Generated != "" {
		return nil, "", sql.Unsupported(fmt.Sprintf("cannot distribute table %q by generated column %q", d.Name, name),
			"Generated columns are computed on the shards, after a row has been routed.", "")
	}
	t := o.snap.Types[c.TypeOID]
	for t != nil && t.HashFunction == "" && t.Kind == 'd' {
		t = o.snap.Types[t.Base]
	}
	if t == nil || t.HashFunction == "" {
		return nil, "", &sql.Error{Code: "42704", Message: fmt.Sprintf("data type %s has no default operator class for access method \"hash\"", c.Type),
			Detail: "A distribution column's type must have a default hash operator class.",
			Hint:   fmt.Sprintf("Choose another column than %q.", name)}
	}
	return c, t.HashFunction, nil
}

// checkColumnTypes refuses what the snapshot cannot tell: row types of tables, which other nodes do not have, and distribution
// columns are checked for collations by the caller's query.
func (o *operation) checkColumnTypes(ctx context.Context, d *definition) error {
	rows, err := o.query(ctx, fmt.Sprintf(`SELECT a.attname FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
			LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
			JOIN pg_catalog.pg_class c ON c.oid = coalesce(e.typrelid, t.typrelid)
		WHERE a.attrelid = %d AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind <> 'c'`, d.OID))
	if err != nil {
		return err
	}
	if len(rows) > 0 {
		return sql.Unsupported(fmt.Sprintf("cannot distribute table %q", d.Name),
			fmt.Sprintf("Column %q has the row type of a table, which other nodes do not have.", rows[0].text(0)), "Use a composite type made with CREATE TYPE.")
	}
	return o.ensureTypes(ctx, d)
}

// chooseColocation finds or makes the colocation group that a call asks for.
func (o *operation) chooseColocation(ctx context.Context, args distributeArgs, key *column) (int, error) {
	if err := o.lockColocations(ctx); err != nil {
		return 0, err
	}
	if err := o.checkCollation(ctx, key); err != nil {
		return 0, err
	}
	with := "default"
	if args.ColocateWith != nil {
		with = *args.ColocateWith
	}
	if args.ShardCount != nil && key == noColumn && *args.ShardCount != 1 {
		return 0, &sql.Error{Code: "22023", Message: "a table without a distribution column has one shard", Hint: "Leave shard_count out, or name a distribution column."}
	}
	if args.ShardCount != nil && (*args.ShardCount < 1 || *args.ShardCount > maxShardCount) {
		return 0, sql.Errorf("22023", "%d is outside the valid range for parameter \"shard_count\" (1 .. %d)", *args.ShardCount, maxShardCount)
	}
	switch strings.ToLower(with) {
	case "default", "none":
		count, err := o.shardCount(ctx, args.ShardCount)
		if err != nil {
			return 0, err
		}
		if key == noColumn {
			count = 1
		}
		if strings.EqualFold(with, "default") {
			if id, err := o.findColocation(ctx, count, key); id != 0 || err != nil {
				return id, err
			}
		}
		return o.createColocation(ctx, count, key)
	}
	if args.ShardCount != nil {
		return 0, &sql.Error{Code: "22023", Message: "cannot use colocate_with with a table and shard_count at the same time"}
	}
	return o.colocationOf(ctx, with, key)
}

// colocationOf gives the colocation group of a distributed table, which a column must suit.
func (o *operation) colocationOf(ctx context.Context, table string, key *column) (int, error) {
	rows, err := o.query(ctx, fmt.Sprintf(`SELECT c.relname, p.colocationid, p.partmethod, g.distributioncolumntype, pg_catalog.format_type(g.distributioncolumntype, NULL), g.distributioncolumncollation,
			p.repmodel = 't' OR p.colocationid = 0, EXISTS (SELECT FROM trunkline.pg_dist_schema s WHERE s.colocationid = p.colocationid)
		FROM pg_catalog.pg_class c LEFT JOIN trunkline.pg_dist_partition p ON p.logicalrelid = c.oid LEFT JOIN trunkline.pg_dist_colocation g USING (colocationid)
		WHERE c.oid = %s::regclass`, sql.QuoteLiteral(table)))
	if err != nil {
		return 0, err
	}
	r := rows[0]
	switch {
	case r.null(1):
		return 0, sql.Errorf("42P16", "relation %q is not distributed", r.text(0))
	case r.bool(6):
		return 0, &sql.Error{Code: "42P16", Message: fmt.Sprintf("cannot colocate with %q", r.text(0)), Detail: "It is a reference table or a local one."}
	case r.bool(7):
		return 0, sql.Unsupported(fmt.Sprintf("cannot colocate with %q, which is in a distributed schema", r.text(0)), "", "Create the table in that schema.")
	case r.text(2) != "h" && key != noColumn:
		return 0, &sql.Error{Code: "42P16", Message: fmt.Sprintf("cannot colocate with %q", r.text(0)), Detail: "It has no distribution column."}
	case r.text(2) == "h" && key == noColumn:
		return 0, &sql.Error{Code: "42P16", Message: fmt.Sprintf("cannot colocate with %q", r.text(0)), Detail: "It has a distribution column."}
	case uint32(r.int(3)) != key.TypeOID:
		return 0, &sql.Error{Code: "42P16", Message: fmt.Sprintf("cannot colocate with %q", r.text(0)),
			Detail: fmt.Sprintf("Its distribution column has type %s, column %q has type %s.", r.text(4), key.Name, key.Type)}
	case uint32(r.int(5)) != key.CollationOID:
		return 0, &sql.Error{Code: "42P16", Message: fmt.Sprintf("cannot colocate with %q", r.text(0)), Detail: "The distribution columns have different collations."}
	}
	return r.int(1), nil
}

// checkCollation refuses collations under which different bytes can be equal: the hash of a value would then depend on the node.
func (o *operation) checkCollation(ctx context.Context, key *column) error {
	if key.CollationOID == 0 {
		return nil
	}
	rows, err := o.query(ctx, fmt.Sprintf("SELECT collisdeterministic FROM pg_catalog.pg_collation WHERE oid = %d", key.CollationOID))
	if err != nil || len(rows) == 0 || rows[0].bool(0) {
		return err
	}
	return sql.Unsupported("distribution columns with a nondeterministic collation are not supported",
		fmt.Sprintf("Column %q has such a collation.", key.Name), "")
}

// shardCount is how many shards a new colocation group gets.
func (o *operation) shardCount(ctx context.Context, asked *int) (int, error) {
	if asked != nil {
		return *asked, nil
	}
	rows, err := o.query(ctx, "SELECT pg_catalog.current_setting('citus.shard_count', true)")
	if err != nil {
		return 0, err
	}
	if n, err := strconv.Atoi(rows[0].text(0)); err == nil && n >= 1 && n <= maxShardCount {
		return n, nil
	}
	return o.config.ShardCount, nil
}

func schemasOf(tree []*definition) []string {
	var schemas []string
	for _, d := range tree {
		schemas = append(schemas, d.Schema)
		for _, s := range d.Statistics {
			schemas = append(schemas, s.Schema)
		}
	}
	slices.Sort(schemas)
	return slices.Compact(schemas)
}

// ensureShardSchemas makes the shard schemas of some schemas in some shard groups, with the rights that the schemas themselves give.
func (o *operation) ensureShardSchemas(ctx context.Context, schemas []string, shards []shardGroup) error {
	nodes, held := perNode(shards)
	return o.onNodes(ctx, nodes, func(ctx context.Context, group int32, conn *backend.Conn) error {
		var text strings.Builder
		for _, s := range held[group] {
			for _, schema := range schemas {
				fmt.Fprintf(&text, "SELECT trunkline_internal.ensure_shard_schema(%s, %s);\n", sql.QuoteLiteral(schema), sql.QuoteLiteral(catalog.ShardSchema(schema, s.id)))
			}
		}
		return run(ctx, conn, text.String())
	})
}

// dropShardSchemas drops those shard schemas of some schemas in which nothing is left.
func (o *operation) dropShardSchemas(ctx context.Context, schemas []string, shards []shardGroup) error {
	nodes, held := perNode(shards)
	return o.onNodes(ctx, nodes, func(ctx context.Context, group int32, conn *backend.Conn) error {
		var text strings.Builder
		for _, s := range held[group] {
			for _, schema := range schemas {
				fmt.Fprintf(&text, "SELECT trunkline_internal.drop_shard_schema(%s);\n", sql.QuoteLiteral(catalog.ShardSchema(schema, s.id)))
			}
		}
		return run(ctx, conn, text.String())
	})
}

// createReferenceTable puts a copy of a table on every node. The coordinator's own copy is the table itself.
func createReferenceTable(o *operation, ctx context.Context, args struct {
	Table uint32 `json:"table_name"`
}) (*string, error) {
	if err := o.mustBeTopTable(ctx, args.Table, "replicate"); err != nil {
		return nil, err
	}
	conn, err := o.coordinator(ctx)
	if err != nil {
		return nil, err
	}
	tree, err := describeTree(ctx, conn, args.Table)
	if err != nil {
		return nil, err
	}
	return void(), o.replicate(ctx, tree)
}

// replicate puts copies of a table, with its partitions, on all other nodes.
func (o *operation) replicate(ctx context.Context, tree []*definition) error {
	tables, err := o.tables(ctx)
	if err != nil {
		return err
	}
	rows, err := o.query(ctx, "SELECT trunkline_internal.reference_colocation()")
	if err != nil {
		return err
	}
	for _, d := range tree {
		tables[d.OID] = spread{oid: d.OID, schema: d.Schema, name: d.Name, reference: true}
	}
	for _, d := range tree {
		if err := mayDistribute(d, true); err != nil {
			return err
		}
		if err := o.checkColumnTypes(ctx, d); err != nil {
			return err
		}
		if err := checkForeignKeys(d, tables[d.OID], tables, o.names(ctx)); err != nil {
			return err
		}
		if err := o.addTable(ctx, d.OID, "", rows[0].int(0)); err != nil {
			return err
		}
	}
	groups, err := o.others(ctx)
	if err != nil {
		return err
	}
	if err := o.copyReferenceTable(ctx, tree, groups); err != nil {
		return err
	}
	if err := o.addKeysToCopies(ctx, tree, tables, groups); err != nil {
		return err
	}
	return o.thenNote(ctx, o.checkTriggerFunctions(ctx))
}

// copyReferenceTable makes copies of a reference table and its partitions, with their rows, on other nodes.
func (o *operation) copyReferenceTable(ctx context.Context, tree []*definition, groups []int32) error {
	groups = slices.DeleteFunc(slices.Clone(groups), func(g int32) bool { return g == catalog.CoordinatorGroup })
	if len(groups) == 0 {
		return nil
	}
	tables, err := o.tables(ctx)
	if err != nil {
		return err
	}
	for _, d := range tree {
		d.dropLocalKeys(tables)
	}
	g := newGenerator(tree, false)
	var create []string
	for _, d := range tree {
		create = append(create, g.create(d)...)
	}
	if err := o.runEverywhere(ctx, groups, ddl.Script(create).For(0)); err != nil {
		return err
	}
	for _, d := range tree {
		if d.Kind != "p" {
			if err := o.copyRows(ctx, d, groups); err != nil {
				return err
			}
		}
	}
	script, err := o.finishing(ctx, g, tree)
	if err != nil {
		return err
	}
	return o.runEverywhere(ctx, groups, script.For(0))
}
