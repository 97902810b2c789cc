package cluster

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

type redistributeArgs struct {
	Table        uint32  `json:"table_name"`
	Column       *string `json:"distribution_column"`
	ShardCount   *int    `json:"shard_count"`
	ColocateWith *string `json:"colocate_with"`
	Cascade      *bool   `json:"cascade_to_colocated"`
}

// alterDistributedTable gives a distributed table, and with cascade_to_colocated those co-located with it, another distribution
// column, shard count or colocation group. The rows come back to the coordinator and go out again.
func alterDistributedTable(o *operation, ctx context.Context, args redistributeArgs) (*string, error) {
	_, name, err := o.lockTable(ctx, args.Table, "alter")
	if err != nil {
		return nil, err
	}
	if err := o.inTenantSchema(ctx, args.Table, "redistribute"); err != nil {
		return nil, err
	}
	if args.Column == nil && args.ShardCount == nil && args.ColocateWith == nil {
		return nil, &sql.Error{Code: "22023", Message: "you have to specify at least one of the distribution_column, shard_count or colocate_with parameters"}
	}
	cascade := args.Cascade != nil && *args.Cascade
	if cascade && args.Column != nil {
		return nil, &sql.Error{Code: "22023", Message: "distribution_column changes can't be cascaded to colocated tables"}
	}
	tables, err := o.tables(ctx)
	if err != nil {
		return nil, err
	}
	self, ok := tables[args.Table]
	if !ok || self.reference {
		return nil, &sql.Error{Code: "42P16", Message: fmt.Sprintf("relation %q is not a distributed table", name)}
	}
	shards, err := o.shardGroups(ctx, self.colocation)
	if err != nil {
		return nil, err
	}
	count := len(shards)
	if args.ShardCount != nil {
		if count = *args.ShardCount; count == len(shards) && args.Column == nil && args.ColocateWith == nil {
			return nil, &sql.Error{Code: "22023", Message: fmt.Sprintf("shard count of table %q is already %d", name, count)}
		}
	}
	affected, err := o.redistributed(ctx, self, tables, cascade)
	if err != nil {
		return nil, err
	}
	conn, err := o.coordinator(ctx)
	if err != nil {
		return nil, err
	}
	keys := map[uint32]*string{} // nil for a table without a distribution column
	for _, oid := range affected {
		d, err := describe(ctx, conn, oid)
		if err != nil {
			return nil, err
		}
		if key := d.columnNumber(tables[oid].column); key != nil {
			keys[oid] = &key.Name
		}
		if d.Parent != 0 {
			return nil, sql.Unsupported(fmt.Sprintf("cannot alter partition %q by itself", d.Name), "", "Call the function for the partitioned table.")
		}
	}
	if args.Column != nil {
		keys[args.Table] = args.Column
	}
	if err := o.bringBack(ctx, affected, tables); err != nil {
		return nil, err
	}
	with := "none" // a new shard count without a table to go with: a group of its own
	if args.ColocateWith != nil {
		with = *args.ColocateWith
	} else if !cascade {
		with = "default"
	}
	for i, oid := range affected {
		next := distributeArgs{Table: oid, Column: keys[oid], ColocateWith: &with}
		if i == 0 || cascade && with == "default" {
			next.ShardCount = &count
			if args.ColocateWith != nil && !slices.Contains([]string{"default", "none"}, strings.ToLower(with)) {
				next.ShardCount = nil
			}
		}
		if _, err := createDistributedTable(o, ctx, next); err != nil {
			return nil, err
		}
		if i == 0 && cascade && args.ColocateWith == nil {
			rows, err := o.query(ctx, fmt.Sprintf("SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %d", oid))
			if err != nil {
				return nil, err
			}
			with = rows[0].text(0)
		}
	}
	return void(), nil
}

// redistributed lists the tables that must be distributed anew with one, referenced ones first.
func (o *operation) redistributed(ctx context.Context, self spread, tables map[uint32]spread, cascade bool) ([]uint32, error) {
	edges, err := o.foreignKeyEdges(ctx)
	if err != nil {
		return nil, err
	}
	family, err := o.foreignKeyFamily(ctx, self.oid, tables)
	if err != nil {
		return nil, err
	}
	if !cascade {
		for _, e := range edges {
			other, ok := tables[e.to]
			if e.to == self.oid {
				other, ok = tables[e.from]
			}
			if ok && (e.from == self.oid || e.to == self.oid) && other.oid != self.oid && !other.reference {
				return nil, sql.Unsupported(fmt.Sprintf("cannot alter table %q alone", self.name),
					fmt.Sprintf("A foreign key connects it with co-located table %q.", other.name), "Use cascade_to_colocated => true.")
			}
		}
		return []uint32{self.oid}, nil
	}
	rows, err := o.query(ctx, fmt.Sprintf(`SELECT p.logicalrelid::oid::bigint FROM trunkline.pg_dist_partition p JOIN pg_catalog.pg_class c ON c.oid = p.logicalrelid
		WHERE p.colocationid = %d AND NOT c.relispartition ORDER BY 1`, self.colocation))
	if err != nil {
		return nil, err
	}
	var ordered []uint32
	for _, oid := range family {
		if t := tables[oid]; !t.reference && t.colocation == self.colocation {
			ordered = append(ordered, oid)
		}
	}
	for _, r := range rows {
		oid := uint32(r.int(0))
		if slices.Contains(ordered, oid) {
			continue
		}
		// Its own foreign keys may order it among others of the group.
		more, err := o.foreignKeyFamily(ctx, oid, tables)
		if err != nil {
			return nil, err
		}
		for _, other := range more {
			if t := tables[other]; !t.reference && t.colocation == self.colocation && !slices.Contains(ordered, other) {
				ordered = append(ordered, other)
			}
		}
	}
	return ordered, nil
}

// bringBack makes distributed tables local ones.
func (o *operation) bringBack(ctx context.Context, oids []uint32, tables map[uint32]spread) error {
	conn, err := o.coordinator(ctx)
	if err != nil {
		return err
	}
	var all []spread
	for _, oid := range oids {
		if _, _, err := o.lockTable(ctx, oid, "undistribute"); err != nil {
			return err
		}
		tree, err := describeTree(ctx, conn, oid)
		if err != nil {
			return err
		}
		for _, d := range tree {
			t := tables[d.OID]
			all = append(all, t)
			if t.reference || d.Kind == "p" {
				continue
			}
			shards, err := o.shardGroups(ctx, t.colocation)
			if err != nil {
				return err
			}
			if err := o.withoutTriggers(ctx, d, func() error { return o.gather(ctx, d, shards) }); err != nil {
				return err
			}
		}
	}
	return o.thenNote(ctx, o.forget(ctx, all, tables))
}

// updateColocation puts a distributed table into another colocation group without moving its rows: that of a table whose shards
// are on the same nodes, or a new one. Shard schemas are named after shard groups, so its shards change their schemas.
func updateColocation(o *operation, ctx context.Context, args struct {
	Table        uint32  `json:"table_name"`
	ColocateWith *string `json:"colocate_with"`
}) (*string, error) {
	_, name, err := o.lockTable(ctx, args.Table, "alter")
	if err != nil {
		return nil, err
	}
	if err := o.inTenantSchema(ctx, args.Table, "redistribute"); err != nil {
		return nil, err
	}
	if args.ColocateWith == nil {
		return nil, sql.Errorf("22004", "colocate_with cannot be null")
	}
	tables, err := o.tables(ctx)
	if err != nil {
		return nil, err
	}
	self, ok := tables[args.Table]
	if !ok || self.reference {
		return nil, &sql.Error{Code: "42P16", Message: fmt.Sprintf("relation %q is not a distributed table", name)}
	}
	if _, err := o.redistributed(ctx, self, tables, false); err != nil {
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
	if err := o.lockColocations(ctx); err != nil {
		return nil, err
	}
	from, err := o.shardGroups(ctx, self.colocation)
	if err != nil {
		return nil, err
	}
	key := noColumn
	if self.column != 0 {
		key = tree[0].columnNumber(self.column)
	}
	var target int
	if strings.EqualFold(*args.ColocateWith, "none") {
		target, err = o.createColocationOn(ctx, from, key)
	} else {
		target, err = o.colocationOf(ctx, *args.ColocateWith, key)
	}
	if err != nil || target == self.colocation {
		return void(), err
	}
	to, err := o.shardGroups(ctx, target)
	if err != nil {
		return nil, err
	}
	same := func(a, b shardGroup) bool { return a.min == b.min && a.max == b.max && a.group == b.group }
	if !slices.EqualFunc(from, to, same) {
		return nil, &sql.Error{Code: "55000", Message: fmt.Sprintf("cannot colocate tables %s and %s", name, *args.ColocateWith),
			Detail: "Their shards have different ranges or are on different nodes."}
	}
	schemas := schemasOf(tree)
	if err := o.ensureShardSchemas(ctx, schemas, to); err != nil {
		return nil, err
	}
	nodes, _ := perNode(from)
	err = o.onNodes(ctx, nodes, func(ctx context.Context, group int32, conn *backend.Conn) error {
		var text strings.Builder
		for i, s := range from {
			if s.group != group {
				continue
			}
			for _, d := range tree {
				fmt.Fprintf(&text, "ALTER TABLE %s SET SCHEMA %s;\n", qualify(catalog.ShardSchema(d.Schema, s.id), d.Name), sql.QuoteIdentifier(catalog.ShardSchema(d.Schema, to[i].id)))
				for _, stats := range d.Statistics {
					fmt.Fprintf(&text, "ALTER STATISTICS %s SET SCHEMA %s;\n", qualify(catalog.ShardSchema(stats.Schema, s.id), stats.Name), sql.QuoteIdentifier(catalog.ShardSchema(stats.Schema, to[i].id)))
				}
			}
		}
		return run(ctx, conn, text.String())
	})
	if err != nil {
		return nil, err
	}
	for _, d := range tree {
		if err := o.exec(ctx, fmt.Sprintf("SELECT trunkline_internal.set_colocation(%d, %d)", d.OID, target)); err != nil {
			return nil, err
		}
	}
	return void(), o.dropShardSchemas(ctx, schemas, from)
}

// createColocationOn makes a colocation group whose shard groups are on the nodes of those given.
func (o *operation) createColocationOn(ctx context.Context, shards []shardGroup, c *column) (int, error) {
	groups := make([]string, len(shards))
	for i, s := range shards {
		groups[i] = strconv.Itoa(int(s.group))
	}
	rows, err := o.query(ctx, fmt.Sprintf("SELECT trunkline_internal.create_colocation('{%s}', %d, %d)", strings.Join(groups, ","), c.TypeOID, c.CollationOID))
	if err != nil {
		return 0, err
	}
	return rows[0].int(0), nil
}
