package exec

import (
	"context"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
)

// insertValues sends each row of an INSERT … VALUES to its shard, the rows of one shard group as one statement.
func (x *execution) insertValues(ctx context.Context, op *plan.InsertValues, out RowWriter) (string, error) {
	c := x.snapshot.Colocations[op.Colocation]
	if c == nil {
		return "", sql.Errorf("XX000", "colocation group %d does not exist", op.Colocation)
	}
	if err := x.draw(ctx, op); err != nil {
		return "", err
	}
	var order []int // indexes into c.Groups in the order of their first rows
	rows := map[int][]int{}
	rendered := make([][]byte, len(op.Rows))
	for i := range op.Rows {
		// A key that a sequence fills is the value that the row's rendering takes next.
		at, err := x.routeRow(ctx, c, &op.Rows[i].Key)
		if err != nil {
			return "", err
		}
		if rows[at] == nil {
			order = append(order, at)
		}
		rows[at] = append(rows[at], i)
		if rendered[i], err = x.render(nil, op.Rows[i].SQL, place{}); err != nil {
			return "", err
		}
	}
	f := x.rootFormats(nil)
	f.reuse = f.reuse && len(op.Rows) == 1 && recurs(op.Rows[0].SQL) && recurs(op.Head) && recurs(op.Tail)
	statement := func(at int) ([]byte, error) {
		where := place{groups: c.Groups[at : at+1], node: c.Groups[at].GroupID}
		text, err := x.render(x.env.text[:0], op.Head, where)
		if err != nil {
			return nil, err
		}
		for n, i := range rows[at] {
			if n > 0 {
				text = append(text, ", "...)
			}
			text = append(text, rendered[i]...)
		}
		if text, err = x.render(text, op.Tail, where); err != nil {
			return nil, err
		}
		x.env.text = text[:0]
		return text, nil
	}
	if len(order) == 1 {
		text, err := statement(order[0])
		if err != nil {
			return "", err
		}
		return x.one(ctx, c.Groups[order[0]].GroupID, text, f, true, out)
	}

	returned := map[int]*Spool{}
	defer func() {
		for _, spool := range returned {
			spool.Close()
		}
	}()
	var total tagSum
	err := x.env.Tx.RunAtomically(ctx, func() error {
		lanes, err := x.sendEach(ctx, c, order, statement, f)
		if err != nil {
			return err
		}
		defer func() { x.closeLanes(ctx, lanes, err != nil) }()
		for _, l := range lanes {
			for _, t := range l.tasks {
				at := c.GroupFor(t.at.groups[0].Min)
				returned[at] = NewSpool(0)
				var tag string
				if tag, err = x.receive(ctx, l.conn, f, returned[at].Add); err != nil {
					return err
				}
				total.add(tag)
			}
		}
		err = x.returnInOrder(op, order, rows, returned, out)
		return err
	})
	if err != nil {
		return "", err
	}
	return total.String(), nil
}

// sendEach sends one statement per shard group, all nodes at once. It must run inside a block.
func (x *execution) sendEach(ctx context.Context, c *catalog.Colocation, order []int, statement func(at int) ([]byte, error), f *form) ([]*lane, error) {
	var lanes []*lane
	byNode := map[int32]*lane{}
	for _, at := range order {
		node := c.Groups[at].GroupID
		l := byNode[node]
		if l == nil {
			l = &lane{}
			var err error
			if l.conn, l.release, err = x.env.Tx.Borrow(ctx, node); err != nil {
				x.closeLanes(ctx, lanes, true)
				return nil, err
			}
			byNode[node] = l
			lanes = append(lanes, l)
			x.env.Tx.MarkWrite(node)
		}
		text, err := statement(at)
		if err != nil {
			x.closeLanes(ctx, lanes, true)
			return nil, err
		}
		l.tasks = append(l.tasks, task{node, place{groups: c.Groups[at : at+1], node: node}})
		x.send(l.conn, text, f)
	}
	for _, l := range lanes {
		if err := l.conn.Flush(); err != nil {
			x.closeLanes(ctx, lanes, true)
			return nil, err
		}
	}
	return lanes, nil
}

// returnInOrder passes on what RETURNING gave, in the order of VALUES where each row gave one.
func (x *execution) returnInOrder(op *plan.InsertValues, order []int, rows map[int][]int, returned map[int]*Spool, out RowWriter) error {
	oneEach := true
	home := make([]int, len(op.Rows)) // of each row of VALUES: its shard group
	for at, own := range rows {
		if returned[at].Len() != int64(len(own)) {
			oneEach = false
		}
		for _, i := range own {
			home[i] = at
		}
	}
	if !oneEach {
		for _, at := range order {
			if err := returned[at].Each(out.Row); err != nil {
				return err
			}
		}
		return nil
	}
	next := map[int]int64{}
	for _, at := range home {
		raw, err := returned[at].Row(next[at])
		if err != nil {
			return err
		}
		next[at]++
		if err := out.Row(raw); err != nil {
			return err
		}
	}
	return nil
}

// routeRow gives the index of the shard group of a row's distribution value.
func (x *execution) routeRow(ctx context.Context, c *catalog.Colocation, key *plan.Value) (int, error) {
	if key.Kind == plan.ValueNone {
		return 0, nil
	}
	if key.Kind == plan.ValueSequence {
		drawn := x.sequences[key.Sequence]
		if len(drawn) == 0 {
			return 0, sql.Errorf("XX000", "no value was drawn from sequence %s", key.Sequence)
		}
		hashes, err := x.hashOne(ctx, x.key(c, true), drawn[0])
		if err != nil {
			return 0, err
		}
		return c.GroupFor(hashes[0]), nil
	}
	if x.isNull(key) {
		return c.GroupFor(catalog.NullHash), nil
	}
	hashes, err := x.hashes(ctx, x.key(c, true), key)
	if err != nil {
		return 0, err
	}
	if len(hashes) == 0 { // NULL, or the value does not fit the column: whichever shard gets it says so
		return c.GroupFor(catalog.NullHash), nil
	}
	return c.GroupFor(hashes[0]), nil
}

func (x *execution) isNull(v *plan.Value) bool {
	switch v.Kind {
	case plan.ValueNull:
		return true
	case plan.ValueParam:
		return v.Index >= 1 && v.Index <= len(x.bind.Params) && x.bind.Params[v.Index-1] == nil
	}
	return false
}

// draw takes as many values from sequences as a statement's rows have slots for them.
func (x *execution) draw(ctx context.Context, op *plan.InsertValues) error {
	counts := map[string]int{}
	var names []string
	count := func(name string) {
		if counts[name] == 0 {
			names = append(names, name)
		}
		counts[name]++
	}
	for i := range op.Rows {
		for _, p := range op.Rows[i].SQL {
			if p.Kind == plan.PieceSequence {
				count(p.Text)
			}
		}
	}
	for _, name := range names {
		values, err := x.nextvals(ctx, name, counts[name])
		if err != nil {
			return err
		}
		if x.sequences == nil {
			x.sequences = map[string][]string{}
		}
		x.sequences[name] = values
	}
	return nil
}
