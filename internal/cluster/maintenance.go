package cluster

import (
	"context"
	"fmt"
	"strings"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/cluster/ddl"
	"github.com/trunkline/trunkline/internal/sql"
	"golang.org/x/sync/errgroup"
)

// maintenance carries out what cannot run in a transaction block: VACUUM, the CONCURRENTLY forms, REINDEX of what is partitioned
// and of a schema or database, CLUSTER of everything. handled is false if the statement is another. Inside a block PostgreSQL's own refusal is the answer.
func (p *propagation) maintenance(ctx context.Context) (handled bool, tag string, err error) {
	tree := sql.Clone(p.stmt.Tree)
	var work func(ctx context.Context) error
	switch n := tree.GetNode().(type) {
	case *sql.NodeVacuum:
		if n.VacuumStmt.IsVacuumcmd {
			work = func(ctx context.Context) error { return p.vacuum(ctx, tree, n.VacuumStmt) }
		} else if !p.tx.InBlock() {
			work = func(ctx context.Context) error { return p.vacuum(ctx, tree, n.VacuumStmt) }
		}
	case *sql.NodeIndex:
		if n.IndexStmt.Concurrent {
			work = func(ctx context.Context) error { return p.createIndexConcurrently(ctx, n.IndexStmt) }
		}
	case *sql.NodeDrop:
		if n.DropStmt.Concurrent {
			work = func(ctx context.Context) error { return p.dropIndexConcurrently(ctx, tree, n.DropStmt) }
		}
	case *sql.NodeReindex:
		concurrent := false
		for _, option := range n.ReindexStmt.Params {
			concurrent = concurrent || option.GetDefElem().GetDefname() == "concurrently"
		}
		if !concurrent && n.ReindexStmt.Relation != nil {
			if concurrent, err = p.partitioned(ctx, n.ReindexStmt.Relation); err != nil {
				return true, "", err
			}
		}
		if concurrent || n.ReindexStmt.Relation == nil {
			work = func(ctx context.Context) error {
				return p.reindex(ctx, tree, n.ReindexStmt.Kind, n.ReindexStmt.Name, n.ReindexStmt.Relation)
			}
		}
	case *sql.NodeCluster:
		if n.ClusterStmt.Relation == nil {
			work = func(ctx context.Context) error { return p.alone(ctx, p.stmt.Text) }
		}
	}
	if work == nil {
		return false, "", nil
	}
	if p.tx.InBlock() {
		// Its first step on the coordinator fails, with PostgreSQL's words; nothing else has happened then.
		err := p.tx.RunAtomically(ctx, func() error { return p.own(ctx) })
		return true, p.tag, err
	}
	if err := p.begin(ctx); err != nil {
		return true, "", err
	}
	p.holder = &holder{}
	defer p.holder.close()
	if err := work(ctx); err != nil {
		return true, "", err
	}
	return true, p.tag, nil
}

// partitioned tells whether a name means a partitioned table or index, whose parts PostgreSQL reindexes each on its own.
func (p *propagation) partitioned(ctx context.Context, v *sql.RangeVar) (bool, error) {
	rows, err := p.look(ctx, "SELECT relkind IN ('p', 'I') FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass("+sql.QuoteLiteral(writtenName(v.Schemaname, v.Relname))+")")
	return len(rows) > 0 && rows[0].bool(0), err
}

// begin reads which tables are spread, in a transaction of its own.
func (p *propagation) begin(ctx context.Context) error {
	return p.tx.RunAtomically(ctx, func() (err error) {
		p.spread, err = p.tables(ctx)
		return err
	})
}

// single runs one statement on a node in no transaction.
func (p *propagation) single(ctx context.Context, group int32, text string) (tag string, err error) {
	conn, release, err := p.tx.Borrow(ctx, group)
	if err != nil {
		return "", err
	}
	defer release()
	results, err := conn.Exec(ctx, text)
	if err != nil {
		return "", err
	}
	if len(results) > 0 {
		tag = results[len(results)-1].Tag
	}
	return tag, nil
}

// ownAlone runs the user's own text on the coordinator in no transaction.
func (p *propagation) ownAlone(ctx context.Context) (err error) {
	p.tag, err = p.single(ctx, catalog.CoordinatorGroup, p.stmt.Text)
	return err
}

// alone runs the user's own text on all nodes in no transaction.
func (p *propagation) alone(ctx context.Context, text string) error {
	if err := p.ownAlone(ctx); err != nil {
		return err
	}
	nodes, err := p.knownNodes(ctx)
	if err != nil {
		return err
	}
	var g errgroup.Group
	for _, n := range nodes {
		if n.group != catalog.CoordinatorGroup {
			g.Go(func() error {
				_, err := p.single(ctx, n.group, text)
				return err
			})
		}
	}
	return g.Wait()
}

// outAlone runs a script for each shard or copy of a table, each in no transaction, nodes side by side.
func (p *propagation) outAlone(ctx context.Context, table spread, script ddl.Template) error {
	texts := map[int32][]string{}
	err := p.tx.RunAtomically(ctx, func() error {
		if table.reference {
			groups, err := p.others(ctx)
			for _, group := range groups {
				texts[group] = []string{script.For(0)}
			}
			return err
		}
		shards, err := p.shardGroups(ctx, table.colocation)
		for _, s := range shards {
			texts[s.group] = append(texts[s.group], script.For(s.id))
		}
		return err
	})
	if err != nil {
		return err
	}
	var g errgroup.Group
	for group, list := range texts {
		g.Go(func() error {
			for _, text := range list {
				if _, err := p.single(ctx, group, text); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// resolveAlone is resolve in a transaction of its own.
func (p *propagation) resolveAlone(ctx context.Context, schema, name string) (t *target, err error) {
	err = p.tx.RunAtomically(ctx, func() error {
		t, err = p.resolve(ctx, schema, name)
		return err
	})
	return t, err
}

// vacuum carries out VACUUM, and ANALYZE outside a block.
func (p *propagation) vacuum(ctx context.Context, tree *sql.Node, n *sql.VacuumStmt) error {
	if len(n.Rels) == 0 {
		return p.alone(ctx, p.stmt.Text)
	}
	type work struct {
		t   *target
		rel *sql.Node
	}
	var found []work
	for _, rel := range n.Rels {
		v := rel.GetVacuumRelation().GetRelation()
		t, err := p.resolveAlone(ctx, v.GetSchemaname(), v.GetRelname())
		if err != nil {
			return err
		}
		if t != nil && t.spread {
			t.requalify(v)
			found = append(found, work{t, rel})
		}
	}
	if err := p.ownAlone(ctx); err != nil {
		return err
	}
	for _, w := range found {
		n.Rels = []*sql.Node{w.rel}
		script, err := ddl.Deparse(tree)
		if err != nil {
			return err
		}
		if err := p.outAlone(ctx, w.t.table, script); err != nil {
			return err
		}
	}
	return nil
}

// analyze carries out ANALYZE inside a block.
func (p *propagation) analyze(ctx context.Context, tree *sql.Node, n *sql.VacuumStmt) error {
	if len(n.Rels) == 0 {
		if err := p.own(ctx); err != nil {
			return err
		}
		return p.verbatim(ctx, p.stmt.Text, nil)
	}
	var found []*target
	var rels []*sql.Node
	for _, rel := range n.Rels {
		v := rel.GetVacuumRelation().GetRelation()
		t, err := p.resolveVar(ctx, v)
		if err != nil {
			return err
		}
		if t != nil && t.spread {
			t.requalify(v)
			found, rels = append(found, t), append(rels, rel)
		}
	}
	if err := p.own(ctx); err != nil {
		return err
	}
	for i, t := range found {
		n.Rels = []*sql.Node{rels[i]}
		if err := p.outTree(ctx, t.table, tree); err != nil {
			return err
		}
	}
	return nil
}

// createIndexConcurrently builds an index without blocking writes, shard by shard. If it fails anywhere it is removed everywhere.
func (p *propagation) createIndexConcurrently(ctx context.Context, n *sql.IndexStmt) error {
	t, err := p.resolveAlone(ctx, n.Relation.GetSchemaname(), n.Relation.GetRelname())
	if err != nil {
		return err
	}
	if t == nil || !t.spread {
		return p.ownAlone(ctx)
	}
	var before, after []*definition
	see := func(into *[]*definition) error {
		return p.tx.RunAtomically(ctx, func() error {
			conn, err := p.coordinator(ctx)
			if err != nil {
				return err
			}
			*into, err = describeTree(ctx, conn, t.oid)
			return err
		})
	}
	if err := see(&before); err != nil {
		return err
	}
	if err := p.ownAlone(ctx); err != nil {
		return err
	}
	if err := see(&after); err != nil {
		return err
	}
	var made []string
	for _, i := range after[0].Indexes {
		known := false
		for _, old := range before[0].Indexes {
			known = known || old.OID == i.OID
		}
		if !known {
			made = append(made, i.Name)
		}
	}
	if len(made) == 0 {
		return nil
	}
	var statements []string
	err = p.tx.RunAtomically(ctx, func() error {
		statements, err = p.newIndexes(ctx, t, before, after)
		return err
	})
	for i := 0; err == nil && i < len(statements); i++ {
		text := strings.Replace(statements[i], "INDEX ", "INDEX CONCURRENTLY ", 1)
		err = p.outAlone(ctx, t.table, ddl.NewTemplate(text))
	}
	if err != nil {
		for _, name := range made {
			ctx := context.WithoutCancel(ctx)
			shard := ddl.NewTemplate("DROP INDEX IF EXISTS " + newGenerator(after, !t.table.reference).name(after[0], t.schema, name))
			if undo := p.outAlone(ctx, t.table, shard); undo != nil {
				p.config.Log.Warn("index left behind by a failed CREATE INDEX CONCURRENTLY", "index", name, "error", undo)
			}
			if _, undo := p.single(ctx, catalog.CoordinatorGroup, "DROP INDEX IF EXISTS "+qualify(t.schema, name)); undo != nil {
				p.config.Log.Warn("index left behind by a failed CREATE INDEX CONCURRENTLY", "index", name, "error", undo)
			}
		}
		return err
	}
	return p.tx.RunAtomically(ctx, func() error { return p.definitionsChanged(ctx) })
}

func (p *propagation) dropIndexConcurrently(ctx context.Context, tree *sql.Node, n *sql.DropStmt) error {
	schema, name := ddl.Qualified(n.Objects[0])
	t, err := p.resolveAlone(ctx, schema, name)
	if err != nil {
		return err
	}
	if err := p.ownAlone(ctx); err != nil {
		return err
	}
	if t == nil || !t.spread || t.owner == 0 {
		return nil
	}
	n.Objects = []*sql.Node{listOf(schemaFor(t.table, t.schema), t.name)}
	n.MissingOk = true
	script, err := ddl.Deparse(tree)
	if err != nil {
		return err
	}
	if err := p.outAlone(ctx, t.table, script); err != nil {
		return err
	}
	return p.tx.RunAtomically(ctx, func() error { return p.definitionsChanged(ctx) })
}

// reindex carries out those forms of REINDEX that cannot run in a transaction block.
func (p *propagation) reindex(ctx context.Context, tree *sql.Node, kind any, name string, v *sql.RangeVar) error {
	if v != nil {
		t, err := p.resolveAlone(ctx, v.Schemaname, v.Relname)
		if err != nil {
			return err
		}
		if err := p.ownAlone(ctx); err != nil || t == nil || !t.spread {
			return err
		}
		t.requalify(v)
		script, err := ddl.Deparse(tree)
		if err != nil {
			return err
		}
		return p.outAlone(ctx, t.table, script)
	}
	if kind != sql.ReindexSchema {
		return p.alone(ctx, p.stmt.Text)
	}
	if err := p.alone(ctx, p.stmt.Text); err != nil {
		return err
	}
	tree.GetReindexStmt().Name = ddl.Mark(name)
	script, err := ddl.Deparse(tree)
	if err != nil {
		return err
	}
	for _, colocation := range p.colocationsIn(name) {
		if err := p.outAlone(ctx, spread{colocation: colocation}, script); err != nil {
			return fmt.Errorf("reindexing the shards of schema %s: %w", name, err)
		}
	}
	return nil
}
