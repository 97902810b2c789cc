package cluster

import (
	"context"
	"fmt"
	"slices"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/cluster/ddl"
	"github.com/trunkline/trunkline/internal/move"
	"github.com/trunkline/trunkline/internal/sql"
)

// shapeOf describes how to make the tables of a colocation group anew, as a transaction on the coordinator sees them.
func (o *operation) shapeOf(ctx context.Context, conn *backend.Conn, colocation int) (*move.Shape, error) {
	rows, err := query(ctx, conn, fmt.Sprintf(`SELECT p.logicalrelid::oid::bigint, coalesce(pg_catalog.substring(p.partkey, ':varattno (-?[0-9]+)')::int, 0)
		FROM trunkline.pg_dist_partition p JOIN pg_catalog.pg_class c ON c.oid = p.logicalrelid
		WHERE p.colocationid = %d AND NOT c.relispartition ORDER BY 1`, colocation))
	if err != nil {
		return nil, err
	}
	var all []*definition
	keys := map[uint32]string{}
	for _, r := range rows {
		tree, err := describeTree(ctx, conn, uint32(r.int(0)))
		if err != nil {
			return nil, err
		}
		if key := tree[0].columnNumber(r.int(1)); key != nil {
			for _, d := range tree {
				keys[d.OID] = key.Name
			}
		}
		all = append(all, tree...)
	}
	maker, err := makerOf(ctx, conn)
	if err != nil {
		return nil, err
	}
	s := &shapeWriter{g: newGenerator(all, true), maker: maker}
	shape, err := s.write(all)
	if err != nil {
		return nil, err
	}
	for _, d := range all {
		t := move.Table{OID: d.OID, Schema: d.Schema, Name: d.Name, Partitioned: d.Kind == "p", Unlogged: d.Persistence == "u", Key: keys[d.OID]}
		for _, c := range d.Columns {
			if c.Generated == "" {
				t.Columns = append(t.Columns, move.Column{Name: c.Name, Type: c.Type})
			}
		}
		if t.Key != "" {
			if _, t.Hash, err = o.distributionColumn(d, t.Key); err != nil {
				return nil, err
			}
		}
		shape.Tables = append(shape.Tables, t)
		if !t.Partitioned && slices.ContainsFunc(d.Triggers, func(t trigger) bool { return t.Row && t.Before }) {
			shape.Guarded = append(shape.Guarded, t)
		}
	}
	return shape, nil
}

// shapeWriter writes a shape's scripts.
type shapeWriter struct {
	g     *generator
	maker maker
}

func (s *shapeWriter) write(all []*definition) (*move.Shape, error) {
	shape := &move.Shape{Schemas: schemasOf(all)}
	var create, finish, late, validate []string
	for _, d := range all {
		create = append(create, s.g.create(d)...)
	}
	for _, d := range all {
		made, err := s.g.finish(d)
		if err != nil {
			return nil, err
		}
		finish = append(finish, made...)
	}
	for _, d := range all {
		own, foreign, err := s.foreignKeys(d)
		if err != nil {
			return nil, err
		}
		finish = append(finish, own...)
		for _, k := range foreign {
			shape.References = true
			late = append(late, k.add...)
			validate = append(validate, k.validate...)
		}
	}
	for _, d := range all {
		triggers, err := s.g.triggers(d)
		if err != nil {
			return nil, err
		}
		late = append(late, triggers...)
		finish = append(finish, s.g.rights(d, s.maker)...)
	}
	shape.Create, shape.Finish, shape.Late, shape.Validate = ddl.Script(create), ddl.Script(finish), ddl.Script(late), ddl.Script(validate)
	return shape, nil
}

// lateKey is a foreign key to a reference table: added without a look at the rows there are, if possible, which is had later.
type lateKey struct{ add, validate []string }

// foreignKeys writes a table's foreign keys to co-located tables, and those to reference tables.
func (s *shapeWriter) foreignKeys(d *definition) (own []string, foreign []lateKey, err error) {
	for _, k := range d.Constraints {
		if k.Type != "f" || k.Inherited {
			continue
		}
		made, err := s.g.foreignKey(d, k)
		if err != nil {
			return nil, nil, err
		}
		if s.g.distributed[k.References] {
			own = append(own, made...)
			continue
		}
		late := lateKey{add: made}
		if k.Valid && d.Kind != "p" { // PostgreSQL has partitioned tables' foreign keys valid only
			made[0] += " NOT VALID"
			late.validate = []string{"ALTER TABLE " + s.g.table(d) + " VALIDATE CONSTRAINT " + sql.QuoteIdentifier(k.Name)}
		}
		foreign = append(foreign, late)
	}
	return own, foreign, nil
}

// awaitMoves waits until no move is in the way of a change of a colocation group's tables, and keeps new ones from beginning.
func (o *operation) awaitMoves(ctx context.Context, colocation int) error {
	if o.still[colocation] {
		return nil
	}
	text := fmt.Sprintf("SELECT trunkline_internal.await_moves(%d)", colocation)
	var err error
	if o.holder != nil {
		err = o.holder.exec(ctx, o.config, text)
	} else {
		err = o.exec(ctx, text)
	}
	if err != nil {
		return err
	}
	if o.still == nil {
		o.still = map[int]bool{}
	}
	o.still[colocation] = true
	return nil
}

// holder is an open transaction beside the session's own. It holds advisory locks only.
type holder struct{ conn *backend.Conn }

func (h *holder) exec(ctx context.Context, config Config, text string) (err error) {
	if h.conn == nil {
		if h.conn, err = config.Pools.Connect(ctx, config.Coordinator, config.Admin, nil); err != nil {
			return err
		}
		text = "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; " + text
	}
	_, err = h.conn.Exec(ctx, text)
	return err
}

func (h *holder) close() {
	if h.conn != nil {
		h.conn.Close()
	}
}

// awaitMovesOf is awaitMoves for the colocation group of a table, if it has one.
func (o *operation) awaitMovesOf(ctx context.Context, oid uint32) error {
	rows, err := o.query(ctx, fmt.Sprintf("SELECT colocationid FROM trunkline.pg_dist_partition WHERE logicalrelid = %d AND repmodel <> 't'", oid))
	if err != nil || len(rows) == 0 {
		return err
	}
	return o.awaitMoves(ctx, rows[0].int(0))
}
