package cluster

import (
	"context"
	"fmt"
	"slices"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/cluster/ddl"
	"github.com/trunkline/trunkline/internal/sql"
)

// drop carries out DROP of anything.
func (p *propagation) drop(ctx context.Context, tree *sql.Node, n *sql.DropStmt) error {
	switch n.RemoveType {
	case sql.ObjectTable:
		return p.dropTables(ctx, n)
	case sql.ObjectIndex:
		return p.dropIndexes(ctx, tree, n)
	case sql.ObjectPolicy, sql.ObjectTrigger, sql.ObjectRule:
		return p.dropFromTable(ctx, tree, n)
	case sql.ObjectStatistics:
		return p.dropStatistics(ctx, tree, n)
	}
	if err := p.everywhere(ctx, tree); err != nil {
		return err
	}
	return p.forgetDropped(ctx)
}

// forgetDropped removes the shards and the metadata of tables that are gone from the coordinator, and makes sure that no other
// distributed table has lost its distribution column.
func (p *propagation) forgetDropped(ctx context.Context) error {
	now, err := p.tables(ctx)
	if err != nil {
		return err
	}
	var gone []spread
	for oid, t := range p.spread {
		if current, ok := now[oid]; ok && current.gone {
			gone = append(gone, t)
		}
	}
	if len(gone) > 0 {
		slices.SortFunc(gone, func(a, b spread) int { return int(int64(a.oid) - int64(b.oid)) })
		if err := p.forget(ctx, gone, p.spread); err != nil {
			return err
		}
	}
	if err := p.exec(ctx, "SELECT trunkline_internal.forget_tenant_schemas()"); err != nil {
		return err
	}
	rows, err := p.query(ctx, `SELECT p.logicalrelid::text FROM trunkline.pg_dist_partition p JOIN pg_catalog.pg_attribute a
		ON a.attrelid = p.logicalrelid AND a.attnum = pg_catalog.substring(p.partkey, ':varattno (-?[0-9]+)')::int WHERE a.attisdropped`)
	if err != nil {
		return err
	}
	if len(rows) > 0 {
		return sql.Unsupported(fmt.Sprintf("cannot drop the distribution column of table %s", rows[0].text(0)),
			"The statement would drop what the column depends on, with CASCADE.", "Undistribute the table first.")
	}
	return p.definitionsChanged(ctx)
}

// dropTables carries out DROP TABLE.
func (p *propagation) dropTables(ctx context.Context, n *sql.DropStmt) error {
	var here []string // shards on the coordinator
	for _, object := range n.Objects {
		schema, name := ddl.Qualified(object)
		t, err := p.resolve(ctx, schema, name)
		if err != nil {
			return err
		}
		if t == nil || !t.spread || t.table.reference || t.owner != 0 {
			continue
		}
		shards, err := p.shardGroups(ctx, t.table.colocation)
		if err != nil {
			return err
		}
		for _, s := range shards {
			if s.group == catalog.CoordinatorGroup {
				here = append(here, qualify(catalog.ShardSchema(t.schema, s.id), t.name))
			}
		}
	}
	if len(here) > 0 && len(n.Objects) > 1 {
		// The shards that the coordinator itself holds go first: their foreign keys must not stand in the way of the other tables.
		list := ""
		for i, name := range here {
			if i > 0 {
				list += ", "
			}
			list += name
		}
		conn, err := p.coordinator(ctx)
		if err != nil {
			return err
		}
		if err := run(ctx, conn, "DROP TABLE IF EXISTS "+list+" CASCADE"); err != nil {
			return err
		}
	}
	if err := p.own(ctx); err != nil {
		return err
	}
	return p.forgetDropped(ctx)
}

// dropIndexes carries out DROP INDEX (not CONCURRENTLY).
func (p *propagation) dropIndexes(ctx context.Context, tree *sql.Node, n *sql.DropStmt) error {
	var found []*target
	for _, object := range n.Objects {
		schema, name := ddl.Qualified(object)
		t, err := p.resolve(ctx, schema, name)
		if err != nil {
			return err
		}
		if t != nil && t.spread && t.owner != 0 {
			found = append(found, t)
		}
	}
	if err := p.own(ctx); err != nil {
		return err
	}
	for _, t := range found {
		n.Objects = []*sql.Node{listOf(schemaFor(t.table, t.schema), t.name)}
		if err := p.outTree(ctx, t.table, tree); err != nil {
			return err
		}
	}
	return nil
}

// dropFromTable carries out DROP POLICY, DROP TRIGGER and DROP RULE.
func (p *propagation) dropFromTable(ctx context.Context, tree *sql.Node, n *sql.DropStmt) error {
	names := ddl.Names(n.Objects[0])
	schema, table := split(names[:len(names)-1])
	t, err := p.resolve(ctx, schema, table)
	if err != nil {
		return err
	}
	if err := p.own(ctx); err != nil {
		return err
	}
	if t == nil || !t.spread || n.RemoveType == sql.ObjectRule {
		return nil
	}
	n.Objects = []*sql.Node{listOf(schemaFor(t.table, t.schema), t.name, names[len(names)-1])}
	return p.outTree(ctx, t.table, tree)
}

func (p *propagation) dropStatistics(ctx context.Context, tree *sql.Node, n *sql.DropStmt) error {
	type found struct {
		schema, name string
		table        spread
	}
	var all []found
	for _, object := range n.Objects {
		schema, name := ddl.Qualified(object)
		in, table, err := p.statisticsTable(ctx, schema, name)
		if err != nil {
			return err
		}
		if in != "" {
			all = append(all, found{in, name, table})
		}
	}
	if err := p.own(ctx); err != nil {
		return err
	}
	for _, s := range all {
		n.Objects = []*sql.Node{listOf(schemaFor(s.table, s.schema), s.name)}
		if err := p.outTree(ctx, s.table, tree); err != nil {
			return err
		}
	}
	return nil
}

func listOf(names ...string) *sql.Node {
	return sql.ListNode(sql.StringNodes(names...))
}

// truncate carries out TRUNCATE: one statement per node over everything there, so that foreign keys between the tables are no
// obstacle. On the coordinator the shards that it holds join the user's own list.
func (p *propagation) truncate(ctx context.Context, tree *sql.Node, n *sql.TruncateStmt) error {
	named := n.Relations
	if n.Behavior == sql.DropCascade {
		var err error
		if named, err = p.cascaded(ctx, slices.Clone(named)); err != nil {
			return err
		}
	}
	perNode, err := p.expand(ctx, named)
	if err != nil {
		return err
	}
	text := p.stmt.Text
	if here := perNode[catalog.CoordinatorGroup]; len(here) > 0 {
		delete(perNode, catalog.CoordinatorGroup)
		users := n.Relations
		n.Relations = append(slices.Clone(users), here...)
		if text, err = sql.Deparse(tree); err != nil {
			return err
		}
	}
	if err := p.ownText(ctx, text); err != nil {
		return err
	}
	n.RestartSeqs = false
	return p.eachNode(ctx, perNode, func(list []*sql.Node) (string, error) {
		n.Relations = list
		return sql.Deparse(tree)
	})
}
