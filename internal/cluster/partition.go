package cluster

import (
	"context"
	"fmt"

	"github.com/trunkline/trunkline/internal/cluster/ddl"
	"github.com/trunkline/trunkline/internal/sql"
)

// createTable carries out CREATE TABLE of a partition of a distributed table. The partition is distributed as its parent is.
func (p *propagation) createTable(ctx context.Context, n *sql.CreateStmt) error {
	var parent *target
	for _, inherited := range n.InhRelations {
		t, err := p.resolveVar(ctx, inherited.GetRangeVar())
		if err != nil {
			return err
		}
		if t != nil && t.spread {
			if n.Partbound == nil {
				return refusal("inheritance", t)
			}
			parent = t
		}
	}
	var existed *target
	var err error
	if parent != nil && n.IfNotExists {
		if existed, err = p.resolveVar(ctx, n.Relation); err != nil {
			return err
		}
	}
	if err := p.own(ctx); err != nil {
		return err
	}
	if parent == nil || existed != nil {
		return nil
	}
	child, err := p.resolveVar(ctx, n.Relation)
	if err != nil {
		return err
	}
	return p.distributePartition(ctx, parent, child.oid)
}

// distributePartition makes shards of a table that is, on the coordinator, already a partition of a distributed table, and makes
// them partitions of the parent's shards.
func (p *propagation) distributePartition(ctx context.Context, parent *target, child uint32) error {
	conn, err := p.coordinator(ctx)
	if err != nil {
		return err
	}
	above, err := describe(ctx, conn, parent.oid)
	if err != nil {
		return err
	}
	tree, err := describeTree(ctx, conn, child)
	if err != nil {
		return err
	}
	for _, d := range tree {
		if err := mayDistribute(d, false); err != nil {
			return err
		}
	}
	ownTriggers(tree) // attaching clones the others
	bound := tree[0].PartitionBound
	// While its shards are made it stands alone; they are attached once they have their own indexes, which PostgreSQL then takes
	// for the parent's.
	tree[0].Parent = 0
	for i := range tree[0].Indexes {
		tree[0].Indexes[i].Parent = ""
	}
	key := above.columnNumber(parent.table.column)
	_, hash, err := p.distributionColumn(tree[0], key.Name)
	if err != nil {
		return err
	}
	if err := p.distribute(ctx, tree, tree[0].column(key.Name), hash, parent.table.colocation); err != nil {
		return err
	}
	if err := p.attachShards(ctx, above, tree[0], bound); err != nil {
		return err
	}
	return p.guardPartition(ctx, &target{oid: child}, parent)
}

func (p *propagation) attachShards(ctx context.Context, parent, child *definition, bound string) error {
	table := p.spread[parent.OID]
	text := "ALTER TABLE " + ddl.MarkedName(parent.Schema, parent.Name) + " ATTACH PARTITION " + ddl.MarkedName(child.Schema, child.Name) + " " + bound
	return p.out(ctx, table, ddl.Script([]string{text}))
}

// alterPartitions carries out ATTACH PARTITION and DETACH PARTITION of tables; done tells whether the statement was one.
func (p *propagation) alterPartitions(ctx context.Context, tree *sql.Node, n *sql.AlterTableStmt, parent *target) (done bool, err error) {
	if len(n.Cmds) != 1 || parent == nil || parent.owner != 0 {
		return false, nil
	}
	cmd := n.Cmds[0].GetAlterTableCmd()
	command := cmd.GetDef().GetPartitionCmd()
	if command == nil || cmd.Subtype != sql.AlterAttachPartition && cmd.Subtype != sql.AlterDetachPartition && cmd.Subtype != sql.AlterDetachFinalize {
		return false, nil
	}
	child, err := p.resolveVar(ctx, command.Name)
	if err != nil {
		return true, err
	}
	switch {
	case !parent.spread && (child == nil || !child.spread):
		return true, p.own(ctx)
	case !parent.spread:
		return true, sql.Unsupported(fmt.Sprintf("cannot attach distributed table %q to local table %q", child.name, parent.name), "", "Distribute the partitioned table first.")
	case child == nil:
		return true, p.own(ctx)
	case cmd.Subtype == sql.AlterDetachFinalize || command.Concurrent:
		return true, sql.Unsupported("DETACH PARTITION CONCURRENTLY is not supported for distributed tables", "", "Use DETACH PARTITION.")
	case cmd.Subtype == sql.AlterAttachPartition && !child.spread:
		if err := p.own(ctx); err != nil {
			return true, err
		}
		return true, p.distributePartition(ctx, parent, child.oid)
	case cmd.Subtype == sql.AlterAttachPartition && (child.table.reference || child.table.colocation != parent.table.colocation):
		return true, sql.Unsupported(fmt.Sprintf("cannot attach table %q, which is not co-located with table %q", child.name, parent.name), "", "")
	}
	if err := p.own(ctx); err != nil {
		return true, err
	}
	if cmd.Subtype == sql.AlterAttachPartition {
		conn, err := p.coordinator(ctx)
		if err != nil {
			return true, err
		}
		below, err := describe(ctx, conn, child.oid)
		if err != nil {
			return true, err
		}
		if own, key := below.columnNumber(child.table.column), parent.table.column; own == nil || own.Name != p.columnName(ctx, parent.oid, key) {
			return true, sql.Unsupported(fmt.Sprintf("cannot attach table %q, which is distributed by another column than table %q", child.name, parent.name), "", "")
		}
	}
	parent.requalify(n.Relation)
	child.requalify(command.Name)
	if err := p.outTree(ctx, parent.table, tree); err != nil || cmd.Subtype != sql.AlterAttachPartition {
		return true, err
	}
	return true, p.guardPartition(ctx, child, parent)
}

func (p *propagation) columnName(ctx context.Context, oid uint32, number int) string {
	rows, err := p.query(ctx, fmt.Sprintf("SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = %d AND attnum = %d", oid, number))
	if err != nil || len(rows) == 0 {
		return ""
	}
	return rows[0].text(0)
}
