package cluster

import (
	"context"
	"fmt"
	"strconv"

	"github.com/trunkline/trunkline/internal/sql"
)

// altersKey tells whether an ALTER TABLE changes the type of a distributed table's distribution column.
func altersKey(d *definition, table spread, n *sql.AlterTableStmt) bool {
	key := d.columnNumber(table.column)
	for _, node := range n.Cmds {
		if cmd := node.GetAlterTableCmd(); key != nil && cmd.GetSubtype() == sql.AlterColumnType && cmd.GetName() == key.Name {
			return true
		}
	}
	return false
}

// alterKeyType carries out an ALTER TABLE that changes the type of the distribution column, among others. Values of another type,
// or of another length, may belong to other shards: the rows come back to the coordinator, are altered there, and go out again.
func (p *propagation) alterKeyType(ctx context.Context, t *target, before *definition) error {
	if before.Parent != 0 {
		return p.own(ctx) // PostgreSQL refuses it: an inherited column
	}
	edges, err := p.foreignKeyEdges(ctx)
	if err != nil {
		return err
	}
	for _, e := range edges {
		other, ok := p.spread[e.to]
		if e.to == t.oid {
			other, ok = p.spread[e.from]
		}
		if ok && (e.from == t.oid || e.to == t.oid) && other.oid != t.oid && !other.reference {
			return sql.Unsupported(fmt.Sprintf("cannot alter the type of distribution column %q of table %q", before.columnNumber(t.table.column).Name, t.name),
				fmt.Sprintf("A foreign key connects it with co-located table %q.", other.name), "Drop the foreign key, alter both tables, and add it again.")
		}
	}
	shards, err := p.shardGroups(ctx, t.table.colocation)
	if err != nil {
		return err
	}
	key := before.columnNumber(t.table.column)
	if err := p.bringBack(ctx, []uint32{t.oid}, p.spread); err != nil {
		return err
	}
	if err := p.own(ctx); err != nil {
		return err
	}
	after, err := p.after(ctx, t)
	if err != nil {
		return err
	}
	count := len(shards)
	next := distributeArgs{Table: t.oid, Column: &key.Name, ShardCount: &count}
	if now := after[0].column(key.Name); now != nil && now.TypeOID == key.TypeOID && now.CollationOID == key.CollationOID {
		rows, err := p.query(ctx, "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM trunkline.pg_dist_partition d JOIN pg_catalog.pg_class c ON c.oid = d.logicalrelid "+
			"JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE d.colocationid = "+strconv.Itoa(t.table.colocation)+" ORDER BY c.oid LIMIT 1")
		if err != nil {
			return err
		}
		if len(rows) > 0 { // it stays with those it was co-located with
			companion := rows[0].text(0)
			next.ColocateWith, next.ShardCount = &companion, nil
		}
	}
	_, err = createDistributedTable(p.operation, ctx, next)
	return err
}
