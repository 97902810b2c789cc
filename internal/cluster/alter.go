package cluster

import (
	"context"
	"fmt"
	"slices"

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
	conn, err := p.coordinator(ctx)
	if err != nil {
		return err
	}
	before, err := describeTree(ctx, conn, t.oid)
	if err != nil {
		return err
	}
	for _, cmd := range n.Cmds {
		if err := mayAlter(before[0], t.table, cmd.GetAlterTableCmd()); err != nil {
			return err
		}
	}
	if err := p.own(ctx); err != nil {
		return err
	}
	after, err := describeTree(ctx, conn, t.oid)
	if err != nil {
		return err
	}
	if err := p.validate(ctx, after); err != nil {
		return err
	}
	statements, err := p.alterStatements(ctx, tree, n, t, before, after)
	if err != nil {
		return err
	}
	if err := p.out(ctx, t.table, ddl.Script(statements)); err != nil {
		return err
	}
	return p.definitionsChanged(ctx)
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
	return refusal("inheritance", t)
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
	case sql.AlterColumnType:
		if isKey {
			return sql.Unsupported(fmt.Sprintf("cannot alter the type of distribution column %q of table %q", cmd.Name, d.Name), "",
				"Undistribute the table with undistribute_table(), alter it, and distribute it again.")
		}
	case sql.AlterAddInherit, sql.AlterDropInherit, sql.AlterAddOf, sql.AlterDropOf:
		return sql.Unsupported("inheritance and typed tables are not supported for distributed and reference tables",
			fmt.Sprintf("Table %q is one.", d.Name), "")
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
func (p *propagation) alterStatements(ctx context.Context, tree *sql.Node, n *sql.AlterTableStmt, t *target, before, after []*definition) ([]string, error) {
	g := newGenerator(after, !t.table.reference)
	for oid, s := range p.spread {
		g.distributed[oid] = !s.reference
	}
	var later []string
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
			add, then, err := p.addColumn(ctx, t, after, name)
			if err != nil {
				return nil, err
			}
			kept = append(kept, add...)
			later = append(later, then...)
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
		case sql.AlterEnableTrig, sql.AlterEnableAlwaysTrig, sql.AlterEnableReplicaTrig, sql.AlterDisableTrig:
			continue
		}
		kept = append(kept, node)
	}
	var statements []string
	if len(kept) > 0 {
		n.Cmds = kept
		t.requalify(n.Relation)
		text, err := sql.Deparse(tree)
		if err != nil {
			return nil, fmt.Errorf("writing the statement for the shards: %w", err)
		}
		statements = append(statements, text)
	}
	statements = append(statements, later...)
	was := map[uint32]*definition{}
	for _, d := range before {
		was[d.OID] = d
	}
	added, err := g.newConstraints(after, was, dropped)
	return append(statements, added...), err
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
// the column: the default evaluated once, so that now() is the same on all nodes.
func (p *propagation) addColumn(ctx context.Context, t *target, after []*definition, name string) (commands []*sql.Node, later []string, err error) {
	d := after[0]
	c := *d.column(name)
	if c.FromSequence || c.Identity != "" {
		if err := p.mustBeEmpty(ctx, t, name); err != nil {
			return nil, nil, err
		}
	}
	missing, err := p.missingValue(ctx, after, name)
	if err != nil {
		return nil, nil, err
	}
	g := newGenerator(after, !t.table.reference)
	if missing != nil && c.Generated == "" {
		alter := "ALTER TABLE " + g.table(d) + " ALTER COLUMN " + sql.QuoteIdentifier(name)
		if c.Default == "" || c.FromSequence {
			later = append(later, alter+" DROP DEFAULT")
		} else {
			later = append(later, alter+" SET DEFAULT "+c.Default)
		}
		c.Default, c.FromSequence = sql.QuoteLiteral(*missing)+"::"+c.Type, false
	}
	later = append(later, g.columnSettings(d, c)...)
	parsed, err := sql.Parse("ALTER TABLE t ADD COLUMN " + columnText(c))
	if err != nil {
		return nil, nil, err
	}
	return parsed[0].Tree.GetAlterTableStmt().GetCmds(), later, nil
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

// mustBeEmpty refuses to add a column that a sequence fills to a table that has rows: each would need its own value.
func (p *propagation) mustBeEmpty(ctx context.Context, t *target, name string) error {
	if t.table.reference {
		return sql.Unsupported(fmt.Sprintf("cannot add column %q, which a sequence fills, to reference table %q", name, t.name), "",
			"Add the column without the default, fill it, and then set the default.")
	}
	shards, err := p.shardGroups(ctx, t.table.colocation)
	if err != nil {
		return err
	}
	for _, s := range shards {
		conn, err := p.tx.Conn(ctx, s.group)
		if err != nil {
			return err
		}
		rows, err := query(ctx, conn, "SELECT EXISTS (SELECT FROM "+ddl.NewTemplate(ddl.MarkedName(t.schema, t.name)).For(s.id)+")")
		if err != nil {
			return err
		}
		if rows[0].bool(0) {
			return sql.Unsupported(fmt.Sprintf("cannot add column %q, which a sequence fills, to distributed table %q, which has rows", name, t.name), "",
				"Add the column without the default, fill it, and then set the default.")
		}
	}
	return nil
}
