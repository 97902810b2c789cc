package cluster

import (
	"context"
	"fmt"
	"slices"

	"github.com/trunkline/trunkline/internal/sql"
)

// lockTable takes the lock under which a table is distributed or undistributed, and finds out whether it may be. verb says what
// is to be done: "distribute". What the user may not or cannot do is an error.
func (o *operation) lockTable(ctx context.Context, oid uint32, verb string) (schema, name string, err error) {
	if err := o.awaitMovesOf(ctx, oid); err != nil {
		return "", "", err
	}
	rows, err := o.query(ctx, fmt.Sprintf(`SELECT n.nspname, c.relname, c.relkind, c.relpersistence,
			pg_catalog.pg_has_role(c.relowner, 'USAGE'), n.nspname IN ('pg_catalog', 'information_schema', 'trunkline', 'trunkline_internal', 'trunkline_call', 'citus') OR n.nspname LIKE 'pg\_toast%%'
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %d`, oid))
	if err != nil {
		return "", "", err
	}
	if len(rows) == 0 {
		return "", "", sql.Errorf("42P01", "relation with OID %d does not exist", oid)
	}
	r := rows[0]
	schema, name = r.text(0), r.text(1)
	switch kind := r.text(2); {
	case kind != "r" && kind != "p":
		kinds := map[string]string{"v": "views", "m": "materialized views", "S": "sequences", "f": "foreign tables", "i": "indexes", "I": "indexes", "c": "composite types"}
		return "", "", &sql.Error{Code: "42809", Message: fmt.Sprintf("%q is not a table", name), Detail: fmt.Sprintf("This operation is not supported for %s.", kinds[kind])}
	case r.bool(5):
		return "", "", &sql.Error{Code: "42809", Message: fmt.Sprintf("cannot %s system table %q", verb, name)}
	case !r.bool(4):
		return "", "", sql.Errorf("42501", "must be owner of table %s", name)
	case r.text(3) == "t":
		return "", "", sql.Unsupported(fmt.Sprintf("cannot %s temporary table %q", verb, name), "A temporary table belongs to one session on the coordinator.", "")
	}
	if err := o.exec(ctx, "LOCK TABLE "+qualify(schema, name)+" IN ACCESS EXCLUSIVE MODE"); err != nil {
		return "", "", err
	}
	return schema, name, nil
}

// mayDistribute refuses tables whose shards could not do what the table does.
func mayDistribute(d *definition, reference bool) error {
	what := "distributed table"
	if reference {
		what = "reference table"
	}
	refuse := func(detail, hint string) error {
		return sql.Unsupported(fmt.Sprintf("cannot make %q a %s", d.Name, what), detail, hint)
	}
	switch {
	case d.Inherits || d.Inherited:
		return refuse("It takes part in table inheritance.", "Use a partitioned table.")
	case d.OfType:
		return refuse("It is a typed table.", "Make it one of its own with ALTER TABLE … NOT OF.")
	case reference && len(d.Triggers) > 0:
		return refuse(fmt.Sprintf("It has the trigger %q.", d.Triggers[0].Name), "Drop the trigger, and do its work in the application or in constraints.")
	case len(d.Rules) > 0:
		return refuse(fmt.Sprintf("It has the rule %q.", d.Rules[0]), "Drop the rule.")
	case len(d.Publications) > 0:
		return refuse(fmt.Sprintf("It is part of the publication %q, which would see no more changes.", d.Publications[0]), "Take the table out of the publication.")
	}
	for _, t := range d.Triggers {
		if err := mayFireOnShards(d, t); err != nil {
			return err
		}
	}
	for _, i := range d.Indexes {
		if !i.Valid && d.Kind != "p" {
			return refuse(fmt.Sprintf("Its index %q is invalid.", i.Name), "Drop or reindex the index.")
		}
	}
	return nil
}

// checkUnique refuses uniqueness that shards cannot guarantee: an index or exclusion constraint without the distribution column.
func checkUnique(d *definition, distributionColumn int) error {
	if distributionColumn == 0 {
		return nil // one shard sees all rows
	}
	for _, i := range d.Indexes {
		if !i.Unique && !i.Exclusion {
			continue
		}
		covered := false
		for at, key := range i.Keys {
			if key == distributionColumn && (!i.Exclusion || at < len(i.Equality) && i.Equality[at]) {
				covered = true
			}
		}
		if covered {
			continue
		}
		kind := "unique index"
		if i.Constraint != "" {
			kind = "constraint"
		}
		name := "the distribution column"
		if c := d.columnNumber(distributionColumn); c != nil {
			name = fmt.Sprintf("the distribution column %q", c.Name)
		}
		return sql.Unsupported(fmt.Sprintf("cannot create %s %q on distributed table %q", kind, i.Name, d.Name),
			fmt.Sprintf("Each shard can see its own rows only, so that UNIQUE, PRIMARY KEY and EXCLUDE must include %s (with an equality operator).", name),
			fmt.Sprintf("Add %s to it.", name))
	}
	return nil
}

// checkForeignKeys refuses foreign keys that could not be checked on one node. self is the table as it is, or is going to be,
// spread; tables holds all others (and may hold it).
func checkForeignKeys(d *definition, self spread, tables map[uint32]spread, names func(uint32) string) error {
	for _, k := range d.Constraints {
		if k.Type != "f" || k.Inherited {
			continue
		}
		if err := checkForeignKey(d, k, self, tables, names); err != nil {
			return err
		}
	}
	return nil
}

func checkForeignKey(d *definition, k constraint, self spread, tables map[uint32]spread, names func(uint32) string) error {
	refuse := func(detail, hint string) error {
		return sql.Unsupported(fmt.Sprintf("cannot create foreign key constraint %q of table %q", k.Name, d.Name), detail, hint)
	}
	target, known := tables[k.References]
	if k.References == d.OID {
		target, known = self, true
	}
	switch {
	case !known && self.reference:
		if k.OnDelete == "a" || k.OnDelete == "r" {
			if k.OnUpdate == "a" || k.OnUpdate == "r" {
				return nil // the coordinator, which has the rows of both, checks it
			}
		}
		return refuse(fmt.Sprintf("It references local table %q, whose changes would reach the copy on the coordinator only.", names(k.References)),
			"Use NO ACTION or RESTRICT, or make the referenced table a reference table.")
	case !known:
		return refuse(fmt.Sprintf("It references table %q, which is a local table of the coordinator.", names(k.References)),
			"Distribute the referenced table with co-location first, or make it a reference table with create_reference_table().")
	case self.reference && !target.reference:
		return refuse(fmt.Sprintf("Reference table %q cannot reference distributed table %q.", d.Name, names(k.References)), "")
	case self.reference:
		return nil
	}
	holdsKey := slices.Contains(k.Columns, self.column)
	if holdsKey {
		changes := k.OnDelete == "n" || k.OnDelete == "d" || k.OnUpdate == "n" || k.OnUpdate == "d" || k.OnUpdate == "c" && target.reference
		if changes {
			return refuse("SET NULL, SET DEFAULT and, from a reference table, ON UPDATE CASCADE cannot change the distribution column.",
				"Use NO ACTION or RESTRICT, or leave the distribution column out of the key.")
		}
	}
	if target.reference {
		return nil
	}
	if target.colocation != self.colocation {
		return refuse(fmt.Sprintf("Distributed table %q is not co-located with it.", names(k.References)),
			"Distribute the tables with colocate_with, or make the referenced table a reference table.")
	}
	if self.column == 0 {
		return nil
	}
	for i, c := range k.Columns {
		if c == self.column && i < len(k.ReferencedColumns) && k.ReferencedColumns[i] == target.column {
			return nil
		}
	}
	return refuse("The distribution columns of both tables must stand in the key at the same position.",
		"Add the distribution column to the foreign key and to the key it references.")
}

// names gives a function that tells tables' names for messages.
func (o *operation) names(ctx context.Context) func(uint32) string {
	return func(oid uint32) string {
		rows, err := o.query(ctx, fmt.Sprintf("SELECT %d::oid::regclass::text", oid))
		if err != nil || len(rows) == 0 {
			return fmt.Sprint(oid)
		}
		return rows[0].text(0)
	}
}
