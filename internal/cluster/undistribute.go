package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/trunkline/trunkline/internal/cluster/ddl"
	"github.com/trunkline/trunkline/internal/sql"
)

// undistributeTable makes a distributed or reference table a local one again; its rows come back to the coordinator.
func undistributeTable(o *operation, ctx context.Context, args struct {
	Table   uint32 `json:"table_name"`
	Cascade *bool  `json:"cascade_via_foreign_keys"`
}) (*string, error) {
	_, name, err := o.lockTable(ctx, args.Table, "undistribute")
	if err != nil {
		return nil, err
	}
	if err := o.inTenantSchema(ctx, args.Table, "undistribute"); err != nil {
		return nil, err
	}
	tables, err := o.tables(ctx)
	if err != nil {
		return nil, err
	}
	if _, ok := tables[args.Table]; !ok {
		rows, err := o.query(ctx, fmt.Sprintf("SELECT trunkline_internal.release_local_table(%d)", args.Table))
		if err != nil || rows[0].bool(0) {
			return void(), err
		}
		return nil, &sql.Error{Code: "42P16", Message: fmt.Sprintf("cannot undistribute table %q", name), Detail: "The table is not distributed."}
	}
	roots, err := o.foreignKeyFamily(ctx, args.Table, tables)
	if err != nil {
		return nil, err
	}
	if len(roots) > 1 && (args.Cascade == nil || !*args.Cascade) {
		return nil, sql.Unsupported(fmt.Sprintf("cannot undistribute table %q", name), "It has a foreign key to or from a distributed or reference table.",
			"Use cascade_via_foreign_keys => true to undistribute all tables that foreign keys connect.")
	}
	rows, err := o.query(ctx, fmt.Sprintf("SELECT relispartition FROM pg_catalog.pg_class WHERE oid = %d", args.Table))
	if err != nil {
		return nil, err
	}
	if rows[0].bool(0) {
		return nil, sql.Unsupported(fmt.Sprintf("cannot undistribute partition %q by itself", name), "", "Call the function for the partitioned table.")
	}
	if err := o.bringBack(ctx, roots, tables); err != nil {
		return nil, err
	}
	return void(), nil
}

// foreignKeyFamily gives the spread tables that foreign keys connect with a table, itself included, referenced ones first. Of
// partitioned tables only the top one is listed.
func (o *operation) foreignKeyFamily(ctx context.Context, oid uint32, tables map[uint32]spread) ([]uint32, error) {
	edges, err := o.foreignKeyEdges(ctx)
	if err != nil {
		return nil, err
	}
	family := []uint32{oid}
	for i := 0; i < len(family); i++ {
		for _, e := range edges {
			for _, pair := range [][2]uint32{{e.from, e.to}, {e.to, e.from}} {
				if _, ok := tables[pair[1]]; ok && pair[0] == family[i] && !slices.Contains(family, pair[1]) {
					family = append(family, pair[1])
				}
			}
		}
	}
	var ordered []uint32
	for len(ordered) < len(family) {
		before := len(ordered)
		for _, candidate := range family {
			blocked := slices.Contains(ordered, candidate)
			for _, e := range edges {
				if e.from == candidate && e.to != candidate && slices.Contains(family, e.to) && !slices.Contains(ordered, e.to) {
					blocked = true
				}
			}
			if !blocked {
				ordered = append(ordered, candidate)
			}
		}
		if len(ordered) == before { // a cycle: any order is as good
			for _, candidate := range family {
				if !slices.Contains(ordered, candidate) {
					ordered = append(ordered, candidate)
				}
			}
		}
	}
	return ordered, nil
}

// edge is a foreign key between two tables, or the partitioned tables that they are part of.
type edge struct{ from, to uint32 }

func (o *operation) foreignKeyEdges(ctx context.Context) ([]edge, error) {
	rows, err := o.query(ctx, `SELECT DISTINCT
			coalesce((SELECT a.relid::oid FROM pg_catalog.pg_partition_ancestors(k.conrelid) WITH ORDINALITY a(relid, n) ORDER BY n DESC LIMIT 1), k.conrelid)::bigint,
			coalesce((SELECT a.relid::oid FROM pg_catalog.pg_partition_ancestors(k.confrelid) WITH ORDINALITY a(relid, n) ORDER BY n DESC LIMIT 1), k.confrelid)::bigint
		FROM pg_catalog.pg_constraint k WHERE k.contype = 'f'`)
	if err != nil {
		return nil, err
	}
	edges := make([]edge, len(rows))
	for i, r := range rows {
		edges[i] = edge{uint32(r.int(0)), uint32(r.int(1))}
	}
	return edges, nil
}

// emptyShells empties the shells of a table and of the distributed tables that foreign keys connect it with. The shell of a table
// that a local table references keeps its rows for the time being, as PostgreSQL would not let them go: they are hidden, and go
// when that local table is distributed too.
func (o *operation) emptyShells(ctx context.Context, oid uint32) error {
	tables, err := o.tables(ctx)
	if err != nil {
		return err
	}
	for id, t := range tables {
		if t.reference {
			delete(tables, id)
		}
	}
	family, err := o.foreignKeyFamily(ctx, oid, tables)
	if err != nil {
		return err
	}
	edges, err := o.foreignKeyEdges(ctx)
	if err != nil {
		return err
	}
	for {
		before := len(family)
		family = slices.DeleteFunc(family, func(candidate uint32) bool {
			return slices.ContainsFunc(edges, func(e edge) bool { return e.to == candidate && !slices.Contains(family, e.from) })
		})
		if len(family) == before {
			break
		}
	}
	if len(family) == 0 {
		return nil
	}
	var names, filled []string
	for _, id := range family {
		name := qualify(tables[id].schema, tables[id].name)
		names = append(names, name)
		filled = append(filled, "EXISTS (SELECT FROM "+name+")")
	}
	rows, err := o.query(ctx, "SELECT "+strings.Join(filled, " OR "))
	if err != nil || !rows[0].bool(0) {
		return err
	}
	return o.exec(ctx, "TRUNCATE "+strings.Join(names, ", "))
}

// truncateLocalData empties a distributed table's shell, when rows were left there because of a foreign key.
func truncateLocalData(o *operation, ctx context.Context, args struct {
	Table uint32 `json:"table_name"`
}) (*string, error) {
	schema, name, err := o.lockTable(ctx, args.Table, "truncate")
	if err != nil {
		return nil, err
	}
	tables, err := o.tables(ctx)
	if err != nil {
		return nil, err
	}
	t, ok := tables[args.Table]
	if !ok {
		return nil, &sql.Error{Code: "42P16", Message: "supplied parameter is not a distributed relation",
			Detail: fmt.Sprintf("Table %q is a local table.", name)}
	}
	if t.reference {
		return void(), nil // the coordinator's copy is as real as the others
	}
	if err := o.emptyShells(ctx, args.Table); err != nil {
		return nil, err
	}
	rows, err := o.query(ctx, "SELECT EXISTS (SELECT FROM "+qualify(schema, name)+")")
	if err != nil {
		return nil, err
	}
	if rows[0].bool(0) {
		return nil, &sql.Error{Code: "0A000", Message: fmt.Sprintf("cannot truncate the local data of table %q, which a local table references in a foreign key constraint", name),
			Hint: "Distribute the referencing table first."}
	}
	return void(), nil
}

// forget drops the shards, or the copies, of some tables on all nodes and removes the tables from the metadata. tables holds all
// spread tables, with those that are forgotten.
func (o *operation) forget(ctx context.Context, forgotten []spread, tables map[uint32]spread) error {
	if len(forgotten) == 0 {
		return nil
	}
	left := map[uint32]spread{}
	for oid, t := range tables {
		left[oid] = t
	}
	for _, t := range forgotten {
		delete(left, t.oid)
	}
	var references []string
	byColocation := map[int][]spread{}
	for _, t := range forgotten {
		if t.reference {
			references = append(references, qualify(t.schema, t.name))
		} else {
			byColocation[t.colocation] = append(byColocation[t.colocation], t)
		}
	}
	colocations := make([]int, 0, len(byColocation))
	for c := range byColocation {
		colocations = append(colocations, c)
	}
	slices.Sort(colocations)
	for _, c := range colocations {
		shards, err := o.shardGroups(ctx, c)
		if err != nil {
			return err
		}
		script, emptied := dropScript(byColocation[c], c, left)
		if err := o.onShards(ctx, shards, script); err != nil {
			return err
		}
		if err := o.dropShardSchemas(ctx, emptied, shards); err != nil {
			return err
		}
	}
	if len(references) > 0 {
		groups, err := o.others(ctx)
		if err != nil {
			return err
		}
		if err := o.runEverywhere(ctx, groups, "DROP TABLE IF EXISTS "+strings.Join(references, ", ")+" CASCADE"); err != nil {
			return err
		}
	}
	for _, t := range forgotten {
		if err := o.removeTable(ctx, t.oid); err != nil {
			return err
		}
	}
	return nil
}

// dropScript drops the shards of some tables of one colocation group, and tells from which schemas the last one goes.
func dropScript(dropped []spread, colocation int, left map[uint32]spread) (script ddl.Template, emptied []string) {
	var names []string
	for _, t := range dropped {
		names = append(names, ddl.MarkedName(t.schema, t.name))
		used := slices.Contains(emptied, t.schema)
		for _, other := range left {
			used = used || other.colocation == colocation && other.schema == t.schema && !other.reference
		}
		if !used {
			emptied = append(emptied, t.schema)
		}
	}
	return ddl.Script([]string{"DROP TABLE IF EXISTS " + strings.Join(names, ", ") + " CASCADE"}), emptied
}
