package cluster

import (
	"context"
	"fmt"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/cluster/ddl"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/txn"
)

// DDL carries out a data definition (or maintenance) statement that ddl.Classify says concerns more than the coordinator, and
// gives its command tag. The catalog has changed afterwards: the session must load its snapshot anew.
//
// The user's own text runs on the coordinator first. Once PostgreSQL has accepted it there, what it made, changed or dropped is
// done in every shard schema, or on every node, too: new indexes and constraints from their definitions in the coordinator's
// catalogs (so that names PostgreSQL chose are the same everywhere), other changes from the statement's tree with its names
// replaced.
func (c *Cluster) DDL(ctx context.Context, tx *txn.Tx, snap *catalog.Snapshot, searchPath []string, stmt sql.Statement) (tag string, err error) {
	p := &propagation{operation: &operation{Cluster: c, tx: tx, snap: snap}, stmt: stmt, inBlock: tx.InBlock()}
	if handled, tag, err := p.maintenance(ctx); handled {
		return tag, err
	}
	err = tx.RunAtomically(ctx, func() error {
		if p.spread, err = p.tables(ctx); err != nil {
			return err
		}
		return p.carryOut(ctx)
	})
	if err != nil {
		return "", err
	}
	return p.tag, nil
}

// propagation is one data definition statement under way.
type propagation struct {
	*operation
	stmt    sql.Statement
	inBlock bool              // the client's block was open before the statement
	spread  map[uint32]spread // the distributed and reference tables before the statement
	tag     string
}

func (p *propagation) carryOut(ctx context.Context) error {
	tree := sql.Clone(p.stmt.Tree)
	switch n := tree.GetNode().(type) {
	case *sql.NodeCreateTable:
		return p.thenNote(ctx, p.createTable(ctx, n.CreateStmt))
	case *sql.NodeAlterTable:
		return p.thenNote(ctx, p.alterTable(ctx, tree, n.AlterTableStmt))
	case *sql.NodeIndex:
		return p.createIndex(ctx, n.IndexStmt)
	case *sql.NodeCreateStats:
		return p.createStatistics(ctx, n.CreateStatsStmt)
	case *sql.NodeDrop:
		return p.thenNote(ctx, p.drop(ctx, tree, n.DropStmt))
	case *sql.NodeTruncate:
		return p.truncate(ctx, tree, n.TruncateStmt)
	case *sql.NodeLock:
		return p.onAll(ctx, tree, &n.LockStmt.Relations)
	case *sql.NodeRename:
		return p.rename(ctx, tree, n.RenameStmt)
	case *sql.NodeAlterObjectSchema:
		return p.setSchema(ctx, tree, n)
	case *sql.NodeAlterOwner:
		return p.changeOwner(ctx, tree, n)
	case *sql.NodeComment:
		return p.label(ctx, tree, n.CommentStmt.Objtype, &n.CommentStmt.Object)
	case *sql.NodeGrant:
		return p.grant(ctx, tree, n.GrantStmt)
	case *sql.NodeCreatePolicy:
		return p.policyOn(ctx, tree, n.CreatePolicyStmt.Table)
	case *sql.NodeAlterPolicy:
		return p.policyOn(ctx, tree, n.AlterPolicyStmt.Table)
	case *sql.NodeAlterStats:
		return p.named(ctx, tree, &n.AlterStatsStmt.Defnames)
	case *sql.NodeCluster:
		return p.onRelation(ctx, tree, n.ClusterStmt.Relation)
	case *sql.NodeReindex:
		return p.onRelation(ctx, tree, n.ReindexStmt.Relation)
	case *sql.NodeVacuum:
		return p.analyze(ctx, tree, n.VacuumStmt)
	case *sql.NodeCreateTrigger:
		return p.createTrigger(ctx, n.CreateTrigStmt)
	case *sql.NodeRule:
		return p.rule(ctx, n.RuleStmt.Relation)
	case *sql.NodeSecLabel:
		return p.label(ctx, tree, n.SecLabelStmt.Objtype, &n.SecLabelStmt.Object)
	case *sql.NodeAlterDepends:
		return p.own(ctx)
	case *sql.NodeCreatePublication:
		return p.publication(ctx, n.CreatePublicationStmt.Pubobjects)
	case *sql.NodeAlterPublication:
		return p.publication(ctx, n.AlterPublicationStmt.Pubobjects)
	}
	return p.everywhere(ctx, tree)
}

// own runs the user's own text on the coordinator.
func (p *propagation) own(ctx context.Context) error { return p.ownText(ctx, p.stmt.Text) }

func (p *propagation) ownText(ctx context.Context, text string) error {
	conn, err := p.coordinator(ctx)
	if err != nil {
		return err
	}
	results, err := conn.Exec(ctx, text)
	if err != nil {
		return err
	}
	if len(results) > 0 {
		p.tag = results[len(results)-1].Tag
	}
	return nil
}

// target is a relation that a statement names.
type target struct {
	oid          uint32
	schema, name string
	kind         string // pg_class.relkind
	owner        uint32 // of an index: the table it belongs to
	table        spread // the distributed or reference table that it is or belongs to
	spread       bool   // it is or belongs to one
}

// resolve finds what a name means to the session, nil if there is nothing of that name.
func (p *propagation) resolve(ctx context.Context, schema, name string) (*target, error) {
	rows, err := p.query(ctx, `SELECT c.oid::bigint, n.nspname, c.relname, c.relkind, coalesce(i.indrelid, 0)::bigint
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
		WHERE c.oid = pg_catalog.to_regclass(`+sql.QuoteLiteral(writtenName(schema, name))+`)`)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	r := rows[0]
	t := &target{oid: uint32(r.int(0)), schema: r.text(1), name: r.text(2), kind: r.text(3), owner: uint32(r.int(4))}
	table := t.oid
	if t.owner != 0 {
		table = t.owner
	}
	if t.table, t.spread = p.spread[table]; t.spread && !t.table.reference {
		// Now, before the statement locks the shell, which would keep everybody from planning.
		return t, p.awaitMoves(ctx, t.table.colocation)
	}
	return t, nil
}

// writtenName is a name as SQL, qualified if it has a schema.
func writtenName(schema, name string) string {
	if schema == "" {
		return sql.QuoteIdentifier(name)
	}
	return qualify(schema, name)
}

func (p *propagation) resolveVar(ctx context.Context, v *sql.RangeVar) (*target, error) {
	if v == nil {
		return nil, nil
	}
	return p.resolve(ctx, v.Schemaname, v.Relname)
}

// before locks a table against other sessions' definition statements that compare its definition before and after, and reads it.
// The lock is one of our own because CREATE INDEX does not exclude another one.
func (p *propagation) before(ctx context.Context, t *target) ([]*definition, error) {
	err := p.exec(ctx, fmt.Sprintf("SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('trunkline definition', %d))", t.oid))
	if err != nil {
		return nil, err
	}
	return p.after(ctx, t)
}

// after reads a table's definition, with its partitions'.
func (p *propagation) after(ctx context.Context, t *target) ([]*definition, error) {
	conn, err := p.coordinator(ctx)
	if err != nil {
		return nil, err
	}
	return describeTree(ctx, conn, t.oid)
}

// schemaFor is what to write for a schema in which something of a table's lives: its shard schema, or itself on every node.
func schemaFor(table spread, schema string) string {
	if table.reference {
		return schema
	}
	return ddl.Mark(schema)
}

// requalify makes a name in a statement's tree mean the target's shard.
func (t *target) requalify(v *sql.RangeVar) {
	v.Catalogname = ""
	v.Schemaname = schemaFor(t.table, t.schema)
}

// out runs a script for a table: once per shard group of a distributed one, once on every other node for a reference table.
func (p *propagation) out(ctx context.Context, table spread, script ddl.Template) error {
	if table.reference {
		groups, err := p.others(ctx)
		if err != nil {
			return err
		}
		return p.runEverywhere(ctx, groups, script.For(0))
	}
	shards, err := p.shardGroups(ctx, table.colocation)
	if err != nil {
		return err
	}
	return p.onShards(ctx, shards, script)
}

// outTree runs a rewritten tree for a table.
func (p *propagation) outTree(ctx context.Context, table spread, tree *sql.Node) error {
	text, err := sql.Deparse(tree)
	if err != nil {
		return fmt.Errorf("writing the statement for the shards: %w", err)
	}
	if err := p.out(ctx, table, ddl.Script([]string{text})); err != nil {
		return err
	}
	return p.definitionsChanged(ctx)
}

// onRelation carries out a statement that concerns one relation, named by v in the tree, and nothing else that differs on shards.
func (p *propagation) onRelation(ctx context.Context, tree *sql.Node, v *sql.RangeVar) error {
	t, err := p.resolveVar(ctx, v)
	if err != nil {
		return err
	}
	if err := p.own(ctx); err != nil {
		return err
	}
	if t == nil || !t.spread {
		return nil
	}
	t.requalify(v)
	return p.outTree(ctx, t.table, tree)
}

// onAll carries out a statement over a list of relations, one statement per node that names all shards there: LOCK, TRUNCATE.
func (p *propagation) onAll(ctx context.Context, tree *sql.Node, relations *[]*sql.Node) error {
	perNode, err := p.expand(ctx, *relations)
	if err != nil {
		return err
	}
	if err := p.own(ctx); err != nil {
		return err
	}
	return p.eachNode(ctx, perNode, func(list []*sql.Node) (string, error) {
		*relations = list
		return sql.Deparse(tree)
	})
}

// expand gives, per node, the shards of the distributed tables in a list and the copies of reference tables. The coordinator's
// own copies are left out: the user's own text is about them.
func (p *propagation) expand(ctx context.Context, relations []*sql.Node) (map[int32][]*sql.Node, error) {
	perNode := map[int32][]*sql.Node{}
	for _, node := range relations {
		v := node.GetRangeVar()
		t, err := p.resolveVar(ctx, v)
		if err != nil {
			return nil, err
		}
		if t == nil || !t.spread {
			continue
		}
		add := func(group int32, schema string) {
			own := sql.Clone(node)
			own.GetRangeVar().Catalogname, own.GetRangeVar().Schemaname = "", schema
			perNode[group] = append(perNode[group], own)
		}
		if t.table.reference {
			groups, err := p.others(ctx)
			if err != nil {
				return nil, err
			}
			for _, group := range groups {
				add(group, t.schema)
			}
			continue
		}
		shards, err := p.shardGroups(ctx, t.table.colocation)
		if err != nil {
			return nil, err
		}
		for _, s := range shards {
			add(s.group, catalog.ShardSchema(t.schema, s.id))
		}
	}
	return perNode, nil
}

// rule refuses rules on distributed and reference tables; on others the statement is the coordinator's.
func (p *propagation) rule(ctx context.Context, v *sql.RangeVar) error {
	t, err := p.resolveVar(ctx, v)
	if err != nil {
		return err
	}
	if t != nil && t.spread {
		return refusal("rules", t, "Use a trigger, or a view with rules over the table.")
	}
	return p.own(ctx)
}

// refusal says that a kind of thing cannot be on the target.
func refusal(what string, t *target, hint string) error {
	kind := "distributed"
	if t.table.reference {
		kind = "reference"
	}
	return sql.Unsupported(fmt.Sprintf("%s on %s tables are not supported", what, kind), fmt.Sprintf("Table %q is a %s table.", t.name, kind), hint)
}

// errInheritance refuses to tie a distributed or reference table to another by inheritance.
func errInheritance(t *target) error {
	return sql.Unsupported("table inheritance is not supported for distributed and reference tables", fmt.Sprintf("Table %q is one.", t.name),
		"Use a partitioned table, or undistribute the table first.")
}

func (p *propagation) publication(ctx context.Context, objects []*sql.Node) error {
	for _, object := range objects {
		t, err := p.resolveVar(ctx, object.GetPublicationObjSpec().GetPubtable().GetRelation())
		if err != nil {
			return err
		}
		if t != nil && t.spread && !t.table.reference {
			return refusal("publications", t, "Its changes happen on the nodes, to shards: publish those, node by node.")
		}
	}
	return p.own(ctx)
}

func split(names []string) (schema, name string) {
	switch len(names) {
	case 0:
		return "", ""
	case 1:
		return "", names[0]
	}
	return names[len(names)-2], names[len(names)-1]
}
