package exec

import (
	"context"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
)

// insertRows sends the rows of the last subplan to their shards, or to every node of a reference table.
func (x *execution) insertRows(ctx context.Context, op *plan.InsertRows, out RowWriter) (string, error) {
	all := x.results[op.From]
	if op.Reference {
		return x.everywhere(ctx, op.SQL, all.Rows.Len(), out)
	}
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
		return "INSERT 0 0", err
	}
	f := x.rootFormats(nil)
	f.reuse = false
	defer func() { x.results[op.From] = all }()
	statement := func(at int) ([]byte, error) {
		x.results[op.From] = parts[at]
		text, err := x.render(x.env.text[:0], op.SQL, place{groups: c.Groups[at : at+1], node: c.Groups[at].GroupID})
		if err != nil {
			return nil, err
		}
		parts[at].inline = nil
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
	var total tagSum
	err = x.env.Tx.RunAtomically(ctx, func() error {
		lanes, err := x.sendEach(ctx, c, order, statement, f)
		if err != nil {
			return err
		}
		defer func() { x.closeLanes(ctx, lanes, err != nil) }()
		for _, l := range lanes {
			for range l.tasks {
				var tag string
				if tag, err = x.receive(ctx, l.conn, f, out.Row); err != nil {
					return err
				}
				total.add(tag)
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return total.String(), nil
}

// partition splits rows by the shard group of a column's value. order lists the groups that got any.
func (x *execution) partition(ctx context.Context, c *catalog.Colocation, all *Intermediate, column int) (parts map[int]*Intermediate, order []int, err error) {
	parts = map[int]*Intermediate{}
	add := func(at int, raw []byte) error {
		part := parts[at]
		if part == nil {
			part = &Intermediate{Names: all.Names, OIDs: all.OIDs, Types: all.Types, Rows: NewSpool(0)}
			parts[at] = part
			order = append(order, at)
		}
		return part.Rows.Add(raw)
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
			return x.nullKey()
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
