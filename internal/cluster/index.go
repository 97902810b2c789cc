package cluster

import (
	"context"
	"slices"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/cluster/ddl"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// createIndex carries out CREATE INDEX (not CONCURRENTLY).
func (p *propagation) createIndex(ctx context.Context, n *sql.IndexStmt) error {
	t, err := p.resolveVar(ctx, n.Relation)
	if err != nil {
		return err
	}
	if t == nil || !t.spread {
		return p.own(ctx)
	}
	before, err := p.before(ctx, t)
	if err != nil {
		return err
	}
	if err := p.own(ctx); err != nil {
		return err
	}
	after, err := p.after(ctx, t)
	if err != nil {
		return err
	}
	statements, err := p.newIndexes(ctx, t, before, after)
	if err != nil || len(statements) == 0 {
		return err
	}
	if err := p.out(ctx, t.table, ddl.Script(statements)); err != nil {
		return err
	}
	return p.definitionsChanged(ctx)
}

// newIndexes writes the indexes that a table and its partitions have now and did not have before.
func (p *propagation) newIndexes(ctx context.Context, t *target, before, after []*definition) ([]string, error) {
	if err := p.validate(ctx, after); err != nil {
		return nil, err
	}
	there := map[uint32]bool{}
	for _, d := range before {
		for _, i := range d.Indexes {
			there[i.OID] = true
		}
	}
	g := newGenerator(after, !t.table.reference)
	var statements []string
	for _, d := range after {
		for _, i := range d.Indexes {
			if there[i.OID] {
				continue
			}
			made, err := g.index(d, i)
			if err != nil {
				return nil, err
			}
			statements = append(statements, made...)
		}
	}
	return statements, nil
}

// createStatistics carries out CREATE STATISTICS.
func (p *propagation) createStatistics(ctx context.Context, n *sql.CreateStatsStmt) error {
	if len(n.Relations) != 1 {
		return p.own(ctx)
	}
	t, err := p.resolveVar(ctx, n.Relations[0].GetRangeVar())
	if err != nil {
		return err
	}
	if t == nil || !t.spread {
		return p.own(ctx)
	}
	before, err := p.before(ctx, t)
	if err != nil {
		return err
	}
	if err := p.own(ctx); err != nil {
		return err
	}
	after, err := p.after(ctx, t)
	if err != nil {
		return err
	}
	g := newGenerator(after, !t.table.reference)
	for _, s := range after[0].Statistics {
		known := func(old statistics) bool { return old.Schema == s.Schema && old.Name == s.Name }
		if slices.ContainsFunc(before[0].Statistics, known) {
			continue
		}
		statements, err := g.statistics(after[0], s)
		if err != nil {
			return err
		}
		if !t.table.reference {
			shards, err := p.shardGroups(ctx, t.table.colocation)
			if err != nil {
				return err
			}
			if err := p.ensureShardSchemas(ctx, []string{s.Schema}, shards); err != nil {
				return err
			}
		}
		if err := p.out(ctx, t.table, ddl.Script(statements)); err != nil {
			return err
		}
	}
	return p.definitionsChanged(ctx)
}

// policyOn carries out CREATE POLICY and ALTER POLICY, whose expressions may read other tables.
func (p *propagation) policyOn(ctx context.Context, tree *sql.Node, v *sql.RangeVar) error {
	t, err := p.resolveVar(ctx, v)
	if err != nil {
		return err
	}
	if t == nil || !t.spread {
		return p.own(ctx)
	}
	var vars []*sql.RangeVar
	sql.Walk(tree, func(m proto.Message) bool {
		if node, ok := m.(*sql.Node); ok {
			if v := node.GetRangeVar(); v != nil {
				vars = append(vars, v)
			}
		}
		return true
	})
	for _, other := range vars {
		o, err := p.resolveVar(ctx, other)
		switch {
		case err != nil:
			return err
		case o == nil: // a WITH query, or PostgreSQL will complain
		case o.spread && (o.table.reference || o.table.colocation == t.table.colocation && !t.table.reference):
			o.requalify(other)
		default:
			return sql.Unsupported("policies that read tables which are not on every node are not supported",
				"Table \""+o.name+"\" is neither a reference table nor co-located with the policy's table.", "")
		}
	}
	if err := p.own(ctx); err != nil {
		return err
	}
	t.requalify(v)
	return p.outTree(ctx, t.table, tree)
}

// named carries out a statement on an extended statistics object, named by a list of strings in the tree.
func (p *propagation) named(ctx context.Context, tree *sql.Node, names *[]*sql.Node) error {
	schema, name := split(sql.Strings(*names))
	found, table, err := p.statisticsTable(ctx, schema, name)
	if err != nil {
		return err
	}
	if err := p.own(ctx); err != nil {
		return err
	}
	if found == "" {
		return nil
	}
	*names = sql.StringNodes(schemaFor(table, found), name)
	return p.outTree(ctx, table, tree)
}

// moveStatistics carries out ALTER STATISTICS … SET SCHEMA.
func (p *propagation) moveStatistics(ctx context.Context, tree *sql.Node, node *sql.NodeAlterObjectSchema) error {
	n := node.AlterObjectSchemaStmt
	schema, name := split(ddl.Names(n.Object))
	found, table, err := p.statisticsTable(ctx, schema, name)
	if err != nil {
		return err
	}
	if err := p.own(ctx); err != nil || found == "" {
		return err
	}
	n.Object = listOf(schemaFor(table, found), name)
	if table.reference {
		return p.outTree(ctx, table, tree)
	}
	shards, err := p.shardGroups(ctx, table.colocation)
	if err != nil {
		return err
	}
	if err := p.ensureShardSchemas(ctx, []string{n.Newschema}, shards); err != nil {
		return err
	}
	n.Newschema = ddl.Mark(n.Newschema)
	if err := p.outTree(ctx, table, tree); err != nil {
		return err
	}
	return p.dropShardSchemas(ctx, []string{found}, shards)
}

// statisticsTable finds an extended statistics object: its schema ("" if there is none that matters) and its table.
func (p *propagation) statisticsTable(ctx context.Context, schema, name string) (string, spread, error) {
	where := "n.nspname = ANY (pg_catalog.current_schemas(false)) ORDER BY pg_catalog.array_position(pg_catalog.current_schemas(false), n.nspname) LIMIT 1"
	if schema != "" {
		where = "n.nspname = " + sql.QuoteLiteral(schema)
	}
	rows, err := p.query(ctx, "SELECT n.nspname, s.stxrelid::bigint FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace WHERE s.stxname = "+
		sql.QuoteLiteral(name)+" AND "+where)
	if err != nil || len(rows) == 0 {
		return "", spread{}, err
	}
	table, ok := p.spread[uint32(rows[0].int(1))]
	if !ok {
		return "", spread{}, nil
	}
	return rows[0].text(0), table, nil
}

// eachNode runs, on every node that has something of what a statement names, the statement that write makes of the list.
func (p *propagation) eachNode(ctx context.Context, perNode map[int32][]*sql.Node, write func(list []*sql.Node) (string, error)) error {
	texts := map[int32]string{}
	var groups []int32
	for group, list := range perNode {
		text, err := write(list)
		if err != nil {
			return err
		}
		texts[group] = text
		groups = append(groups, group)
	}
	slices.Sort(groups)
	return p.onNodes(ctx, groups, func(ctx context.Context, group int32, conn *backend.Conn) error {
		return run(ctx, conn, texts[group])
	})
}
