package cluster

import (
	"context"
	"fmt"
	"slices"

	"github.com/trunkline/trunkline/internal/cluster/ddl"
	"github.com/trunkline/trunkline/internal/sql"
)

// A local table is in the metadata when the user wishes so, and as long as foreign keys connect it with a reference table. That changes
// nothing about where its rows are.

// addLocalTable records a local table, with its partitions and, with cascade, those that foreign keys connect with it.
func addLocalTable(o *operation, ctx context.Context, args struct {
	Table   uint32 `json:"table_name"`
	Cascade *bool  `json:"cascade_via_foreign_keys"`
}) (*string, error) {
	if err := o.mustBeTopTable(ctx, args.Table, "record"); err != nil {
		return nil, err
	}
	family, err := o.localFamily(ctx, args.Table)
	if err != nil {
		return nil, err
	}
	if len(family) > 1 && (args.Cascade == nil || !*args.Cascade) {
		return nil, &sql.Error{Code: "42P16", Message: fmt.Sprintf("cannot add table %s to the metadata alone", o.names(ctx)(args.Table)),
			Detail: fmt.Sprintf("A foreign key connects it with table %s.", o.names(ctx)(family[1])), Hint: "Use cascade_via_foreign_keys => true."}
	}
	for _, oid := range family {
		if err := o.exec(ctx, fmt.Sprintf("SELECT trunkline_internal.add_local_table(%d)", oid)); err != nil {
			return nil, err
		}
	}
	return void(), o.thenNote(ctx, nil)
}

// localFamily lists the local tables that foreign keys connect with one, itself first.
func (o *operation) localFamily(ctx context.Context, oid uint32) ([]uint32, error) {
	edges, err := o.foreignKeyEdges(ctx)
	if err != nil {
		return nil, err
	}
	tables, err := o.tables(ctx)
	if err != nil {
		return nil, err
	}
	family := []uint32{oid}
	for i := 0; i < len(family); i++ {
		for _, e := range edges {
			for _, pair := range [][2]uint32{{e.from, e.to}, {e.to, e.from}} {
				if _, spread := tables[pair[1]]; !spread && pair[0] == family[i] && !slices.Contains(family, pair[1]) {
					family = append(family, pair[1])
				}
			}
		}
	}
	return family, nil
}

// removeLocalTables forgets the local tables that no foreign key connects with a reference table.
func removeLocalTables(o *operation, ctx context.Context, _ struct{}) (*string, error) {
	return void(), o.exec(ctx, "SELECT trunkline_internal.remove_local_tables()")
}

// thenNote brings the records of local tables in line with the foreign keys there are, after what may have changed them.
func (o *operation) thenNote(ctx context.Context, err error) error {
	if err != nil {
		return err
	}
	return o.exec(ctx, "SELECT trunkline_internal.note_local_tables()")
}

// manage records a new table if the session asks for that by citus.use_citus_managed_tables.
func (p *propagation) manage(ctx context.Context, v *sql.RangeVar) error {
	rows, err := p.query(ctx, "SELECT nullif(pg_catalog.current_setting('citus.use_citus_managed_tables', true), '')::bool")
	if err != nil || !rows[0].bool(0) {
		return err
	}
	t, err := p.resolveVar(ctx, v)
	if err != nil || t == nil {
		return err
	}
	return p.exec(ctx, fmt.Sprintf("SELECT trunkline_internal.add_local_table(%[1]d) WHERE trunkline_internal.is_local_table(%[1]d)", t.oid))
}

// checkReferenceTables refuses to distribute a table that a reference table references.
func (o *operation) checkReferenceTables(ctx context.Context, d *definition) error {
	rows, err := o.query(ctx, fmt.Sprintf(`SELECT k.conname, c.relname FROM pg_catalog.pg_constraint k JOIN trunkline.pg_dist_partition p ON p.logicalrelid = k.conrelid AND p.repmodel = 't'
			JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
		WHERE k.contype = 'f' AND k.confrelid = %d ORDER BY 1 LIMIT 1`, d.OID))
	if err != nil || len(rows) == 0 {
		return err
	}
	return sql.Unsupported(fmt.Sprintf("cannot make %q a distributed table", d.Name),
		fmt.Sprintf("Foreign key constraint %q of reference table %q references it.", rows[0].text(0), rows[0].text(1)), "Drop the foreign key, or make the table a reference table.")
}

// dropLocalKeys takes the foreign keys to local tables out of a reference table's definition, which its copies do not have, and gives
// their names.
func (d *definition) dropLocalKeys(tables map[uint32]spread) []string {
	var names []string
	d.Constraints = slices.DeleteFunc(d.Constraints, func(k constraint) bool {
		_, spread := tables[k.References]
		local := k.Type == "f" && !spread
		if local {
			names = append(names, k.Name)
		}
		return local
	})
	return names
}

// isLocalKey tells whether a constraint of a reference table is a foreign key to a local table.
func (p *propagation) isLocalKey(ctx context.Context, t *target, name string) (bool, error) {
	if t == nil || !t.spread || !t.table.reference {
		return false, nil
	}
	rows, err := p.query(ctx, fmt.Sprintf(`SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint
		WHERE contype = 'f' AND conrelid = %d AND conname = %s AND trunkline_internal.is_local_table(confrelid))`, t.oid, sql.QuoteLiteral(name)))
	return err == nil && rows[0].bool(0), err
}

// withoutConstraints leaves those subcommands of ALTER TABLE out that drop, validate or alter one of the constraints.
func withoutConstraints(cmds []*sql.Node, names []string) []*sql.Node {
	return slices.DeleteFunc(cmds, func(node *sql.Node) bool {
		switch cmd := node.GetAlterTableCmd(); cmd.GetSubtype() {
		case sql.AlterDropConstraint, sql.AlterValidateConstraint:
			return slices.Contains(names, cmd.Name)
		case sql.AlterConstraint:
			return slices.Contains(names, cmd.GetDef().GetConstraint().GetConname())
		}
		return false
	})
}

// cascaded adds to what a TRUNCATE … CASCADE names the distributed and reference tables that the cascade reaches by way of local tables,
// as PostgreSQL on the coordinator alone cannot follow it there.
func (p *propagation) cascaded(ctx context.Context, relations []*sql.Node) ([]*sql.Node, error) {
	edges, err := p.foreignKeyEdges(ctx)
	if err != nil {
		return nil, err
	}
	var reached []uint32
	for _, node := range relations {
		t, err := p.resolveVar(ctx, node.GetRangeVar())
		if err != nil {
			return nil, err
		}
		if t != nil {
			reached = append(reached, t.oid)
		}
	}
	named := len(reached)
	for i := 0; i < len(reached); i++ {
		for _, e := range edges {
			if e.to == reached[i] && !slices.Contains(reached, e.from) {
				reached = append(reached, e.from)
			}
		}
	}
	for _, oid := range reached[named:] {
		if t, ok := p.spread[oid]; ok && !t.gone {
			relations = append(relations, sql.Table(t.schema, t.name, ""))
		}
	}
	return relations, nil
}

// addKeysToCopies gives the copies of reference tables their foreign keys to a table that has just become a reference table.
func (o *operation) addKeysToCopies(ctx context.Context, tree []*definition, tables map[uint32]spread, groups []int32) error {
	conn, err := o.coordinator(ctx)
	if err != nil {
		return err
	}
	var statements []string
	for _, t := range sortedTables(tables) {
		if !t.reference || t.gone || slices.ContainsFunc(tree, func(d *definition) bool { return d.OID == t.oid }) {
			continue
		}
		d, err := describe(ctx, conn, t.oid)
		if err != nil {
			return err
		}
		g := newGenerator([]*definition{d}, false)
		for _, k := range d.Constraints {
			if k.Type != "f" || k.Inherited || !slices.ContainsFunc(tree, func(d *definition) bool { return d.OID == k.References }) {
				continue
			}
			made, err := g.foreignKey(d, k)
			if err != nil {
				return err
			}
			statements = append(statements, made...)
		}
	}
	return o.runEverywhere(ctx, groups, ddl.Script(statements).For(0))
}
