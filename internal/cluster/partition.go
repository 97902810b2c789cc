package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
				return errInheritance(t)
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
	if parent == nil {
		if err := p.adoptTables(ctx); err != nil {
			return err
		}
		return p.manage(ctx, n.Relation)
	}
	if existed != nil {
		return nil
	}
	child, err := p.resolveVar(ctx, n.Relation)
	if err != nil {
		return err
	}
	return p.distributePartition(ctx, parent, child.oid)
}

// distributePartition makes shards (or copies) of a table that is, on the coordinator, already a partition of a distributed (or
// reference) table, and makes them partitions of the parent's.
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
	ownTriggers(tree) // attaching clones the others
	bound := tree[0].PartitionBound
	// While its shards are made it stands alone; they are attached once they have their own indexes, which PostgreSQL then takes
	// for the parent's.
	tree[0].Parent = 0
	for i := range tree[0].Indexes {
		tree[0].Indexes[i].Parent = ""
	}
	if parent.table.reference {
		if err := p.replicate(ctx, tree); err != nil {
			return err
		}
		return p.attachShards(ctx, above, tree[0], bound)
	}
	for _, d := range tree {
		if err := mayDistribute(d, false); err != nil {
			return err
		}
	}
	var name *string
	if key := above.columnNumber(parent.table.column); key != nil {
		name = &key.Name
	}
	key, hash, err := p.keyOf(tree[0], name)
	if err != nil {
		return err
	}
	if err := p.distribute(ctx, tree, key, hash, parent.table.colocation); err != nil {
		return err
	}
	if err := p.attachShards(ctx, above, tree[0], bound); err != nil {
		return err
	}
	return p.guardPartition(ctx, &target{oid: child}, parent)
}

func (p *propagation) attachShards(ctx context.Context, parent, child *definition, bound string) error {
	table := p.spread[parent.OID]
	g := newGenerator([]*definition{parent, child}, !table.reference)
	text := "ALTER TABLE " + g.table(parent) + " ATTACH PARTITION " + g.table(child) + " " + bound
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
	case cmd.Subtype == sql.AlterDetachFinalize, command.Concurrent && p.inBlock:
		return true, p.own(ctx) // PostgreSQL refuses it: no detaching is ever left unfinished here
	case command.Concurrent:
		return true, p.detachConcurrently(ctx, tree, n, parent, child)
	case cmd.Subtype == sql.AlterAttachPartition && !child.spread:
		if err := p.own(ctx); err != nil {
			return true, err
		}
		return true, p.distributePartition(ctx, parent, child.oid)
	case cmd.Subtype == sql.AlterAttachPartition && child.table.colocation != parent.table.colocation:
		return true, sql.Unsupported(fmt.Sprintf("cannot attach table %q, which is not co-located with table %q", child.name, parent.name), "", "")
	}
	if err := p.own(ctx); err != nil {
		return true, err
	}
	if cmd.Subtype == sql.AlterAttachPartition && !parent.table.reference {
		conn, err := p.coordinator(ctx)
		if err != nil {
			return true, err
		}
		below, err := describe(ctx, conn, child.oid)
		if err != nil {
			return true, err
		}
		own, key := below.columnNumber(child.table.column), parent.table.column
		if key != 0 && (own == nil || own.Name != p.columnName(ctx, parent.oid, key)) {
			return true, sql.Unsupported(fmt.Sprintf("cannot attach table %q, which is distributed by another column than table %q", child.name, parent.name), "", "")
		}
	}
	parent.requalify(n.Relation)
	child.requalify(command.Name)
	if err := p.outTree(ctx, parent.table, tree); err != nil || cmd.Subtype != sql.AlterAttachPartition || parent.table.reference {
		return true, err
	}
	return true, p.guardPartition(ctx, child, parent)
}

// detachConcurrently carries out DETACH PARTITION … CONCURRENTLY. Its two transactions cannot be kept together over several nodes,
// so it is done in one: what is left in the end is the same, a table with its partition's bounds as a constraint.
func (p *propagation) detachConcurrently(ctx context.Context, tree *sql.Node, n *sql.AlterTableStmt, parent, child *target) error {
	before, err := p.before(ctx, child)
	if err != nil {
		return err
	}
	rows, err := p.query(ctx, fmt.Sprintf("SELECT pg_catalog.pg_get_partition_constraintdef(%d)", child.oid))
	if err != nil {
		return err
	}
	bounds := rows[0].text(0)
	command := n.Cmds[0].GetAlterTableCmd().GetDef().GetPartitionCmd()
	command.Concurrent = false
	text, err := sql.Deparse(tree)
	if err != nil {
		return err
	}
	if err := p.ownText(ctx, text); err != nil {
		return err
	}
	// The bounds of a hash partition name the parent by its OID, and mean nothing without it.
	bounded := bounds == "" || strings.Contains(bounds, "satisfies_hash_partition") || slices.ContainsFunc(before[0].Constraints, func(k constraint) bool {
		return k.Type == "c" && strings.TrimPrefix(k.Definition, "CHECK ") == "("+bounds+")"
	})
	if !bounded {
		if err := p.exec(ctx, "ALTER TABLE "+before[0].qualified()+" ADD CHECK ("+bounds+")"); err != nil {
			return err
		}
	}
	parent.requalify(n.Relation)
	child.requalify(command.Name)
	if err := p.outTree(ctx, parent.table, tree); err != nil {
		return err
	}
	after, err := p.after(ctx, child)
	if err != nil {
		return err
	}
	g := newGenerator(after[:1], !child.table.reference)
	added, err := g.newConstraints(after[:1], map[uint32]*definition{child.oid: before[0]}, nil)
	if err != nil {
		return err
	}
	return p.out(ctx, child.table, ddl.Script(added))
}

func (p *propagation) columnName(ctx context.Context, oid uint32, number int) string {
	rows, err := p.query(ctx, fmt.Sprintf("SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = %d AND attnum = %d", oid, number))
	if err != nil || len(rows) == 0 {
		return ""
	}
	return rows[0].text(0)
}
