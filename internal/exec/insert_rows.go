package exec

import (
	"context"
	"strings"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
)

// insertRows sends the rows of the last subplan to their shards.
func (x *execution) insertRows(ctx context.Context, op *plan.InsertRows, f *form, out RowWriter) (string, error) {
	all := x.results[op.From]
	c := x.snapshot.Colocations[op.Colocation]
	if c == nil {
		return "", sql.Errorf("XX000", "colocation group %d does not exist", op.Colocation)
	}
	parts, order, err := x.partition(ctx, c, all, op.KeyColumn)
	defer func() {
		for _, part := range parts {
			part.Rows.Close()
		}
	}()
	if err != nil || len(order) == 0 {
		return x.prepared.emptyTag, err
	}
	batches := batchesOf(c, parts, order, op.SQL)
	f.reuse = false
	defer func() { x.results[op.From] = all }()
	render := func(b batch) ([]byte, error) {
		part := *parts[b.at]
		part.from, part.to = b.from, b.to
		x.results[op.From] = &part
		return x.render(x.env.text[:0], op.SQL, place{groups: c.Groups[b.at : b.at+1], node: b.node})
	}
	if len(batches) == 1 {
		text, err := render(batches[0])
		if err != nil {
			return "", err
		}
		return x.one(ctx, batches[0].node, text, f, true, out)
	}
	var total tagSum
	err = x.env.Tx.RunAtomically(ctx, func() error { return x.runBatches(ctx, batches, render, f, out, &total) })
	if err != nil {
		return "", err
	}
	return total.String(), nil
}

// batch is some rows for one shard group.
type batch struct {
	node     int32
	at       int // index of the shard group
	from, to int64
}

// batchBytes is about how many bytes of rows one statement carries.
const batchBytes = 2 << 20

// batchesOf cuts the rows for each shard group into batches, so that memory stays bounded. With ON CONFLICT they stay together: a row
// that comes up twice in one statement is an error there. So they do where RETURNING reads the shards: it sees them as they were before.
func batchesOf(c *catalog.Colocation, parts map[int]*Intermediate, order []int, t plan.Template) []batch {
	whole, tables := false, 0
	for _, p := range t {
		if p.Kind == plan.PieceTable {
			tables++
		}
		whole = whole || p.Kind == plan.PieceText && strings.Contains(strings.ToUpper(p.Text), "ON CONFLICT")
	}
	whole = whole || tables > 1
	var batches []batch
	for _, at := range order {
		rows := parts[at].Rows
		step := rows.Len()
		if !whole && rows.Size() > batchBytes {
			step = max(1, rows.Len()*batchBytes/rows.Size())
		}
		for from := int64(0); from < rows.Len(); from += step {
			batches = append(batches, batch{c.Groups[at].GroupID, at, from, min(from+step, rows.Len())})
		}
	}
	return batches
}

// runBatches inserts batches, one at a time on each node and all nodes at once. It must run inside a block.
func (x *execution) runBatches(ctx context.Context, batches []batch, render func(batch) ([]byte, error), f *form, out RowWriter, total *tagSum) (err error) {
	queues := map[int32][]batch{}
	var lanes []*lane
	defer func() { x.closeLanes(ctx, lanes, err != nil) }()
	for _, b := range batches {
		if queues[b.node] == nil {
			l := &lane{tasks: []task{{node: b.node}}}
			if l.conn, l.release, err = x.env.Tx.Borrow(ctx, b.node); err != nil {
				return err
			}
			lanes = append(lanes, l)
			x.env.Tx.MarkWrite(b.node)
		}
		queues[b.node] = append(queues[b.node], b)
	}
	for left := len(batches); left > 0; {
		var sent []*lane
		for _, l := range lanes {
			node := l.tasks[0].node
			if len(queues[node]) == 0 {
				continue
			}
			text, err := render(queues[node][0])
			if err != nil {
				return err
			}
			queues[node] = queues[node][1:]
			x.send(l.conn, text, f)
			if err := l.conn.Flush(); err != nil {
				return err
			}
			sent = append(sent, l)
		}
		for _, l := range sent {
			tag, err := x.receive(ctx, l.conn, f, out.Row)
			if err != nil {
				return err
			}
			total.add(tag)
			left--
		}
	}
	return nil
}

// partition splits rows by the shard group of a column's value. order lists the groups that got any.
func (x *execution) partition(ctx context.Context, c *catalog.Colocation, all *Intermediate, column int) (parts map[int]*Intermediate, order []int, err error) {
	parts = map[int]*Intermediate{}
	add := func(at int, raw []byte) error {
		part := parts[at]
		if part == nil {
			part = &Intermediate{Names: all.Names, OIDs: all.OIDs, Types: all.Types, Rows: NewSpool(0)}
			part.Rows.keep = max(spoolMemory/len(c.Groups), 64<<10) // there may be as many spools as shard groups
			parts[at] = part
			order = append(order, at)
		}
		return part.Rows.Add(raw)
	}
	if column == plan.NoKey {
		err = all.Rows.Each(func(raw []byte) error { return add(0, raw) })
		return parts, order, err
	}
	key := x.key(c, true)
	from, to := baseType(x.snapshot, all.OIDs[column]), baseType(x.snapshot, key.TypeOID)
	inGo := sameHash(from, to) || isInteger(from) && isInteger(to)
	// Values that Go cannot hash wait for PostgreSQL's answer, many at a time.
	const batch = 5000
	var waiting []string
	var rows [][]byte
	settle := func() error {
		if len(waiting) == 0 {
			return nil
		}
		hashes, err := x.env.Hashes.ask(ctx, x, key, waiting)
		if err != nil {
			return err
		}
		for i, raw := range rows {
			if err := add(c.GroupFor(hashes[i]), raw); err != nil {
				return err
			}
		}
		waiting, rows = waiting[:0], rows[:0]
		return nil
	}
	var values [][]byte
	err = all.Rows.Each(func(raw []byte) error {
		var err error
		if values, err = splitRow(raw, values); err != nil {
			return err
		}
		if column >= len(values) {
			return sql.Errorf("XX000", "plan routes by column %d of %d", column, len(values))
		}
		if values[column] == nil {
			return add(c.GroupFor(catalog.NullHash), raw)
		}
		text := string(values[column])
		if inGo {
			if hash, ok := x.hashText(key, text); ok {
				return add(c.GroupFor(hash), raw)
			}
		}
		waiting = append(waiting, text)
		rows = append(rows, append([]byte(nil), raw...))
		if len(waiting) == batch {
			return settle()
		}
		return nil
	})
	if err == nil {
		err = settle()
	}
	return parts, order, err
}
