package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/cluster/ddl"
	"github.com/trunkline/trunkline/internal/sql"
)

// alterTable carries out ALTER TABLE and ALTER INDEX.
func (p *propagation) alterTable(ctx context.Context, tree *sql.Node, n *sql.AlterTableStmt) error {
	if n.Objtype == sql.ObjectType_ {
		return p.everywhere(ctx, tree)
	}
	t, err := p.resolveVar(ctx, n.Relation)
	if err != nil {
		return err
	}
	if done, err := p.alterPartitions(ctx, tree, n, t); done || err != nil {
		return err
	}
	if t == nil || !t.spread {
		for _, cmd := range n.Cmds {
			if err := p.refuseSpreadParent(ctx, cmd.GetAlterTableCmd()); err != nil {
				return err
			}
		}
		return p.own(ctx)
	}
	if t.owner != 0 { // an index
		if err := p.own(ctx); err != nil {
			return err
		}
		t.requalify(n.Relation)
		for _, cmd := range n.Cmds {
			if partition := cmd.GetAlterTableCmd().GetDef().GetPartitionCmd(); partition != nil {
				child, err := p.resolveVar(ctx, partition.Name)
				if err != nil {
					return err
				}
				child.requalify(partition.Name)
			}
		}
		return p.outTree(ctx, t.table, tree)
	}
	before, err := p.before(ctx, t)
	if err != nil {
		return err
	}
	for _, cmd := range n.Cmds {
		if err := mayAlter(before[0], t.table, cmd.GetAlterTableCmd()); err != nil {
			return err
		}
	}
	if altersKey(before[0], t.table, n) {
		return p.alterKeyType(ctx, t, before[0])
	}
	if err := p.own(ctx); err != nil {
		return err
	}
	after, err := p.after(ctx, t)
	if err != nil {
		return err
	}
	if err := p.validate(ctx, after); err != nil {
		return err
	}
	if err := p.guardShells(ctx, after); err != nil {
		return err
	}
	if t.table.reference {
		var local []string
		for _, d := range slices.Concat(before, after) {
			local = append(local, d.dropLocalKeys(p.spread)...)
		}
		n.Cmds = withoutConstraints(n.Cmds, local)
	}
	work, err := p.alterStatements(ctx, tree, n, t, before, after)
	if err != nil {
		return err
	}
	if err := p.out(ctx, t.table, ddl.Script(work.first)); err != nil {
		return err
	}
	if t.table.reference && len(work.drawn) > 0 {
		if err := p.copyColumns(ctx, after, work.drawn); err != nil {
			return err
		}
	} else {
		for _, c := range work.drawn {
			if err := p.drawValues(ctx, t, after[0], c); err != nil {
				return err
			}
		}
	}
	if err := p.out(ctx, t.table, ddl.Script(work.then)); err != nil {
		return err
	}
	return p.definitionsChanged(ctx)
}

// alteration is what ALTER TABLE means for a shard.
type alteration struct {
	first []string
	drawn []column // new columns whose values in existing rows differ by row and are not the shard's to choose; they come between first and then
	then  []string
}

// refuseSpreadParent refuses to tie a local table to a distributed or reference one by inheritance.
func (p *propagation) refuseSpreadParent(ctx context.Context, cmd *sql.AlterTableCmd) error {
	if cmd.GetSubtype() != sql.AlterAddInherit {
		return nil
	}
	t, err := p.resolveVar(ctx, cmd.GetDef().GetRangeVar())
	if err != nil || t == nil || !t.spread {
		return err
	}
	return errInheritance(t)
}

// mayAlter refuses what shards cannot follow.
func mayAlter(d *definition, table spread, cmd *sql.AlterTableCmd) error {
	distribution := d.columnNumber(table.column)
	isKey := distribution != nil && cmd.Name == distribution.Name
	switch cmd.Subtype {
	case sql.AlterDropColumn:
		if isKey {
			return sql.Unsupported(fmt.Sprintf("cannot drop distribution column %q of table %q", cmd.Name, d.Name), "",
				"Undistribute the table with undistribute_table(), or distribute it by another column, first.")
		}
	case sql.AlterAddInherit, sql.AlterDropInherit, sql.AlterAddOf, sql.AlterDropOf:
		return sql.Unsupported("inheritance and typed tables are not supported for distributed and reference tables",
			fmt.Sprintf("Table %q is one.", d.Name), "Use a partitioned table, or undistribute the table first.")
	}
	return nil
}

// validate makes sure that tables, as they have become, can still be distributed or reference tables.
func (p *propagation) validate(ctx context.Context, tree []*definition) error {
	for _, d := range tree {
		self, ok := p.spread[d.OID]
		if !ok {
			continue
		}
		if !self.reference {
			if err := checkUnique(d, self.column); err != nil {
				return err
			}
		}
		if err := checkForeignKeys(d, self, p.spread, p.names(ctx)); err != nil {
			return err
		}
		if err := p.checkColumnTypes(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// alterStatements writes what ALTER TABLE means for a shard: first the subcommands that need no more than another table name,
// and new columns; then the constraints that are there now and were not before.
func (p *propagation) alterStatements(ctx context.Context, tree *sql.Node, n *sql.AlterTableStmt, t *target, before, after []*definition) (alteration, error) {
	g := newGenerator(after, !t.table.reference)
	for oid, s := range p.spread {
		g.distributed[oid] = !s.reference
	}
	var work alteration
	var kept []*sql.Node
	dropped := map[string]bool{}
	for _, node := range n.Cmds {
		cmd := node.GetAlterTableCmd()
		switch cmd.Subtype {
		case sql.AlterAddColumn:
			name := cmd.GetDef().GetColumnDef().GetColname()
			if before[0].column(name) != nil && !dropsColumn(n, name) {
				continue // IF NOT EXISTS
			}
			add, err := p.addColumn(ctx, t, after, name, &work)
			if err != nil {
				return work, err
			}
			kept = append(kept, add...)
			continue
		case sql.AlterColumnDefault:
			c := after[0].column(cmd.Name)
			if c != nil && c.Generated == "" && (c.FromSequence || c.Default == "") {
				cmd.Def = nil
			}
		case sql.AlterAddConstraint:
			if k := cmd.GetDef().GetConstraint(); k.GetIndexname() != "" {
				nameConstraint(k, before[0], after[0])
				dropped[k.Conname] = false
				break
			}
			continue // from the catalogs
		case sql.AlterDropConstraint:
			dropped[cmd.Name] = true
		case sql.AlterAddIdentity, sql.AlterSetIdentity, sql.AlterDropIdentity, sql.AlterEnableRule, sql.AlterEnableAlwaysRule,
			sql.AlterEnableReplicaRule, sql.AlterDisableRule:
			continue // shards have none
		}
		kept = append(kept, node)
	}
	if len(kept) > 0 {
		n.Cmds = kept
		t.requalify(n.Relation)
		text, err := sql.Deparse(tree)
		if err != nil {
			return work, fmt.Errorf("writing the statement for the shards: %w", err)
		}
		work.first = append(work.first, text)
	}
	was := map[uint32]*definition{}
	for _, d := range before {
		was[d.OID] = d
	}
	added, err := g.newConstraints(after, was, dropped)
	work.then = append(work.then, added...)
	return work, err
}

// nameConstraint gives an unnamed constraint made from an index the name it has got.
func nameConstraint(k *sql.Constraint, before, after *definition) {
	if k.Conname != "" {
		return
	}
	for _, now := range after.Constraints {
		if !slices.ContainsFunc(before.Constraints, func(c constraint) bool { return c.Name == now.Name }) && now.Type != "f" && now.Type != "c" {
			k.Conname = now.Name
		}
	}
}

func dropsColumn(n *sql.AlterTableStmt, name string) bool {
	return slices.ContainsFunc(n.Cmds, func(node *sql.Node) bool {
		cmd := node.GetAlterTableCmd()
		return cmd.GetSubtype() == sql.AlterDropColumn && cmd.GetName() == name
	})
}

// newConstraints adds the constraints that tables have now and did not have before. Constraints are told by name, because some
// changes (of a column's type) make PostgreSQL build a constraint anew. dropped says of which names the statement dropped the old
// constraint (true), and which it made from an index that shards have (false).
func (g *generator) newConstraints(after []*definition, was map[uint32]*definition, dropped map[string]bool) ([]string, error) {
	var statements, foreign []string
	for _, d := range after {
		old := was[d.OID]
		if old == nil {
			continue
		}
		fresh := map[string]bool{}
		for _, k := range d.Constraints {
			fromIndex, named := dropped[k.Name]
			there := slices.ContainsFunc(old.Constraints, func(c constraint) bool { return c.Name == k.Name })
			if there && !(named && fromIndex) || named && !fromIndex {
				continue
			}
			switch k.Type {
			case "f":
				if !k.Inherited {
					made, err := g.foreignKey(d, k)
					if err != nil {
						return nil, err
					}
					foreign = append(foreign, made...)
				}
			case "c":
				if k.Local || g.byOID[d.Parent] == nil {
					statements = append(statements, fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s %s", g.table(d), sql.QuoteIdentifier(k.Name), k.Definition))
				}
			default:
				fresh[k.Name] = true
				statements = append(statements, fmt.Sprintf("ALTER TABLE ONLY %s ADD CONSTRAINT %s %s", g.table(d), sql.QuoteIdentifier(k.Name), k.Definition))
			}
		}
		for _, i := range d.Indexes {
			if fresh[i.Constraint] {
				made, err := g.index(d, i)
				if err != nil {
					return nil, err
				}
				statements = append(statements, made...)
			}
		}
	}
	return append(statements, foreign...), nil
}

// addColumn writes a new column for the shards. Existing rows get the value that PostgreSQL gave those of the shell when it added
// the column: the default evaluated once, so that now() is the same on all nodes. What must follow goes into work.
func (p *propagation) addColumn(ctx context.Context, t *target, after []*definition, name string, work *alteration) ([]*sql.Node, error) {
	d := after[0]
	c := *d.column(name)
	g := newGenerator(after, !t.table.reference)
	alter := "ALTER TABLE " + g.table(d) + " ALTER COLUMN " + sql.QuoteIdentifier(name)
	missing, err := p.missingValue(ctx, after, name)
	if err != nil {
		return nil, err
	}
	drawn := c.FromSequence || c.Identity != ""
	// A default that PostgreSQL has evaluated row by row would come out otherwise in each copy of a reference table.
	copied := t.table.reference && !drawn && c.Default != "" && c.Generated == "" && missing == nil
	if drawn || copied {
		if c.NotNull {
			c.NotNull = false
			work.then = append(work.then, alter+" SET NOT NULL")
		}
		work.drawn = append(work.drawn, c)
	}
	if copied {
		work.then = append(work.then, alter+" SET DEFAULT "+c.Default)
		c.Default = ""
	}
	if missing != nil && c.Generated == "" {
		if c.Default == "" || c.FromSequence {
			work.then = append(work.then, alter+" DROP DEFAULT")
		} else {
			work.then = append(work.then, alter+" SET DEFAULT "+c.Default)
		}
		c.Default, c.FromSequence = sql.QuoteLiteral(*missing)+"::"+c.Type, false
	}
	work.then = append(work.then, g.columnSettings(d, c)...)
	parsed, err := sql.Parse("ALTER TABLE t ADD COLUMN " + columnText(c))
	if err != nil {
		return nil, err
	}
	return parsed[0].Tree.GetAlterTableStmt().GetCmds(), nil
}

// drawValues gives each existing row of a table's shards its value of a new column that a sequence fills, as ADD COLUMN does on
// one PostgreSQL. The values come from the coordinator, where the sequence is.
func (p *propagation) drawValues(ctx context.Context, t *target, d *definition, c column) error {
	value := c.Default
	if c.Identity != "" {
		value = fmt.Sprintf("pg_catalog.nextval(pg_catalog.pg_get_serial_sequence(%s, %s)::regclass)", sql.QuoteLiteral(d.qualified()), sql.QuoteLiteral(c.Name))
	}
	shards, err := p.shardGroups(ctx, t.table.colocation)
	if err != nil {
		return err
	}
	conn, err := p.coordinator(ctx)
	if err != nil {
		return err
	}
	tree, err := describeTree(ctx, conn, d.OID)
	if err != nil {
		return err
	}
	for _, leaf := range tree {
		if leaf.Kind == "p" {
			continue
		}
		for _, s := range shards {
			conn, err := p.tx.Conn(ctx, s.group)
			if err != nil {
				return err
			}
			shard := qualify(catalog.ShardSchema(leaf.Schema, s.id), leaf.Name)
			rows, err := query(ctx, conn, "SELECT count(*) FROM "+shard)
			if err != nil {
				return err
			}
			if rows[0].int(0) == 0 {
				continue
			}
			drawn, err := p.query(ctx, fmt.Sprintf("SELECT pg_catalog.array_agg(%s) FROM pg_catalog.generate_series(1, %d)", value, rows[0].int(0)))
			if err != nil {
				return err
			}
			update := fmt.Sprintf(`UPDATE %s t SET %s = v.value FROM (SELECT ctid AS place, row_number() OVER () AS n FROM %s) r,
				ROWS FROM (pg_catalog.unnest(%s::%s[])) WITH ORDINALITY v (value, n) WHERE v.n = r.n AND t.ctid = r.place`,
				shard, sql.QuoteIdentifier(c.Name), shard, sql.QuoteLiteral(drawn[0].text(0)), c.Type)
			off, on := silencing(shard, leaf.Triggers) // ADD COLUMN fires none
			if err := run(ctx, conn, strings.Join(append(append(off, update), on...), ";\n")); err != nil {
				return p.inUsersNames(err)
			}
		}
	}
	return nil
}

// missingValue gives the value that rows from before a column was added have in it, nil for NULL or if rows were rewritten.
func (p *propagation) missingValue(ctx context.Context, after []*definition, name string) (*string, error) {
	for _, d := range after {
		c := d.column(name)
		if c == nil || d.Kind == "p" {
			continue
		}
		rows, err := p.query(ctx, fmt.Sprintf("SELECT (attmissingval::text::text[])[1] FROM pg_catalog.pg_attribute WHERE attrelid = %d AND attname = %s AND atthasmissing",
			d.OID, sql.QuoteLiteral(name)))
		if err != nil {
			return nil, err
		}
		if len(rows) > 0 && !rows[0].null(0) {
			value := rows[0].text(0)
			return &value, nil
		}
	}
	return nil, nil
}
