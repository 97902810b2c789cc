package exec

import (
	"context"
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
)

// prune gives the shard groups on which a Gather runs, in the order of their ranges. The answer is never empty unless the
// colocation group does not exist: a statement none of whose rows can match still runs somewhere, so that PostgreSQL makes the result.
func (x *execution) prune(ctx context.Context, p *plan.Pruning) ([]catalog.ShardGroup, error) {
	c := x.colocation(p.Colocation)
	if c == nil || len(c.Groups) == 0 {
		if p.Any || p.All && p.Colocation == 0 {
			return nil, nil
		}
		return nil, sql.Errorf("XX000", "colocation group %d does not exist", p.Colocation)
	}
	if p.All {
		return x.pruneRange(ctx, p, c)
	}
	if p.Any {
		return x.anyGroup(c), nil
	}
	var picked []int
	for i := range p.Keys {
		if p.Keys[i].Kind == plan.ValueNone {
			return c.Groups, nil
		}
		if x.unreachable(c, &p.Keys[i]) {
			continue
		}
		hashes, err := x.hashes(ctx, x.key(c, false), &p.Keys[i])
		if err != nil {
			return nil, err
		}
		for _, h := range hashes {
			if at := c.GroupFor(h); !slices.Contains(picked, at) {
				picked = append(picked, at)
			}
		}
	}
	switch len(picked) {
	case 0:
		return x.anyGroup(c), nil
	case 1:
		return c.Groups[picked[0] : picked[0]+1], nil
	}
	slices.Sort(picked)
	groups := make([]catalog.ShardGroup, len(picked))
	for i, at := range picked {
		groups[i] = c.Groups[at]
	}
	return groups, nil
}

// unreachable tells whether a constant is an integer beyond the column's type: PostgreSQL compares the two as wider integers, and no
// value of the column is equal.
func (x *execution) unreachable(c *catalog.Colocation, v *plan.Value) bool {
	column := baseType(x.snapshot, c.TypeOID)
	if v.Kind != plan.ValueLiteral || !isInteger(column) || x.bind.Literals[v.Index].Kind == sql.LiteralString {
		return false
	}
	n, err := strconv.ParseInt(x.literal(v), 10, 64)
	return err == nil && !fitsInteger(n, column)
}

// anyGroup picks a shard group on a node that the transaction has joined already, if there is one.
func (x *execution) anyGroup(c *catalog.Colocation) []catalog.ShardGroup {
	if x.env.Tx.InBlock() {
		joined := x.env.Tx.Participants()
		for i := range c.Groups {
			if slices.Contains(joined, c.Groups[i].GroupID) {
				return c.Groups[i : i+1]
			}
		}
	}
	return c.Groups[:1]
}

// hashes gives the hashes of the values that v stands for; none if it cannot equal any value of the column, like NULL.
func (x *execution) hashes(ctx context.Context, key catalog.Key, v *plan.Value) ([]int32, error) {
	switch v.Kind {
	case plan.ValueNull:
		return nil, nil
	case plan.ValueMissing:
		return []int32{catalog.NullHash}, nil
	case plan.ValueLiteral:
		return x.hashOne(ctx, key, x.literal(v))
	case plan.ValueConst:
		return x.hashOne(ctx, key, v.Text)
	case plan.ValueParam:
		return x.hashParam(ctx, key, v)
	case plan.ValueParamArray:
		return x.hashArray(ctx, key, v)
	case plan.ValueSQL:
		return x.hashSQL(ctx, key, v.SQL)
	}
	return nil, sql.Errorf("XX000", "a value of kind %d cannot route a statement", v.Kind)
}

// literal is the value of a constant of the text, its sign included.
func (x *execution) literal(v *plan.Value) string {
	text := sql.LiteralText(x.bind.Text, x.bind.Literals[v.Index])
	if v.Negative {
		return "-" + text
	}
	return text
}

func (x *execution) hashOne(ctx context.Context, key catalog.Key, text string) ([]int32, error) {
	if h, ok := x.hashText(key, text); ok {
		return []int32{h}, nil
	}
	return x.env.Hashes.ask(ctx, x, key, []string{text})
}

// hashParam routes by $n. Its type may differ from the column's where PostgreSQL compares the two (int8 with an int4 column): then
// it is the value that counts.
func (x *execution) hashParam(ctx context.Context, key catalog.Key, v *plan.Value) ([]int32, error) {
	if v.Index < 1 || v.Index > len(x.bind.Params) {
		return nil, sql.Errorf("08P01", "bind message supplies %d parameters, but the statement requires %d", len(x.bind.Params), v.Index)
	}
	value := x.bind.Params[v.Index-1]
	if value == nil {
		return nil, nil
	}
	format := formatOf(x.bind.ParamFormats, v.Index-1)
	oid, column := baseType(x.snapshot, x.paramType(v.Index)), baseType(x.snapshot, key.TypeOID)
	if n, ok := integerOf(value, format, oid); ok && isInteger(column) {
		if !fitsInteger(n, column) {
			return nil, nil
		}
		return x.hashOne(ctx, key, strconv.FormatInt(n, 10))
	}
	if sameHash(oid, column) {
		if format == 0 {
			return x.hashOne(ctx, key, string(value))
		}
		if h, ok := x.hashBinary(key, oid, value); ok {
			return []int32{h}, nil
		}
	}
	return x.hashSQL(ctx, key, plan.Template{{Kind: plan.PieceText, Text: "$" + strconv.Itoa(v.Index)}})
}

func (x *execution) paramType(number int) uint32 {
	if number <= len(x.prepared.Params) {
		return x.prepared.Params[number-1]
	}
	return 0
}

// sameHash tells whether a value of type from has, as it stands, the hash of the equal value of type to.
func sameHash(from, to uint32) bool {
	if from == to {
		return true
	}
	text := func(oid uint32) bool { return oid == 25 || oid == 1043 }
	return text(from) && text(to)
}

func isInteger(oid uint32) bool { return oid == 20 || oid == 21 || oid == 23 }

func fitsInteger(n int64, oid uint32) bool {
	switch oid {
	case 21:
		return n == int64(int16(n))
	case 23:
		return n == int64(int32(n))
	}
	return true
}

// integerOf reads a parameter of an integer type.
func integerOf(value []byte, format int16, oid uint32) (int64, bool) {
	if !isInteger(oid) {
		return 0, false
	}
	if format == 0 {
		n, err := strconv.ParseInt(string(value), 10, 64)
		return n, err == nil
	}
	switch len(value) {
	case 2:
		return int64(int16(binary.BigEndian.Uint16(value))), true
	case 4:
		return int64(int32(binary.BigEndian.Uint32(value))), true
	case 8:
		return int64(binary.BigEndian.Uint64(value)), true
	}
	return 0, false
}

// hashArray routes by every element of $n.
func (x *execution) hashArray(ctx context.Context, key catalog.Key, v *plan.Value) ([]int32, error) {
	if v.Index < 1 || v.Index > len(x.bind.Params) {
		return nil, sql.Errorf("08P01", "bind message supplies %d parameters, but the statement requires %d", len(x.bind.Params), v.Index)
	}
	value := x.bind.Params[v.Index-1]
	if value == nil {
		return nil, nil
	}
	format := formatOf(x.bind.ParamFormats, v.Index-1)
	var elements [][]byte
	var err error
	var oid uint32
	if t := x.snapshot.Types[x.paramType(v.Index)]; t != nil {
		oid = t.Element
	}
	if format == 0 {
		elements, err = splitArrayText(value)
	} else {
		elements, oid, err = splitArrayBinary(value)
	}
	if err != nil || oid == 0 {
		return x.hashSQL(ctx, key, plan.Template{{Kind: plan.PieceText, Text: "pg_catalog.unnest($" + strconv.Itoa(v.Index) + ")"}})
	}
	column := baseType(x.snapshot, key.TypeOID)
	var hashes []int32
	for _, e := range elements {
		if e == nil {
			continue
		}
		if n, ok := integerOf(e, format, oid); ok && isInteger(column) {
			if !fitsInteger(n, column) {
				continue
			}
			if h, ok := x.hashText(key, strconv.FormatInt(n, 10)); ok {
				hashes = append(hashes, h)
				continue
			}
		} else if sameHash(oid, column) && format == 0 {
			if h, ok := x.hashText(key, string(e)); ok {
				hashes = append(hashes, h)
				continue
			}
		} else if sameHash(oid, column) {
			if h, ok := x.hashBinary(key, oid, e); ok {
				hashes = append(hashes, h)
				continue
			}
		}
		return x.hashSQL(ctx, key, plan.Template{{Kind: plan.PieceText, Text: "pg_catalog.unnest($" + strconv.Itoa(v.Index) + ")"}})
	}
	return hashes, nil
}

// hashSQL has the coordinator evaluate an expression, or a set-returning one, and hash what it gives. A value that the column's
// type cannot hold equals no row.
func (x *execution) hashSQL(ctx context.Context, key catalog.Key, expression plan.Template) ([]int32, error) {
	hash, err := x.snapshot.HashExpression(key, "v")
	if err != nil {
		return nil, err
	}
	text := []byte("SELECT (" + hash + ")::text FROM (SELECT ")
	if text, err = x.render(text, expression, place{}); err != nil {
		return nil, err
	}
	text = append(text, ") AS _(v) WHERE v IS NOT NULL"...)
	rows, err := x.ask(ctx, text)
	if err != nil {
		if code := stateOf(err); (code == "22003" || code == "22001") && !x.env.Tx.InBlock() {
			return nil, nil
		}
		return nil, err
	}
	var hashes []int32
	for _, row := range rows {
		n, err := strconv.ParseInt(string(row[0]), 10, 32)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, int32(n))
	}
	return hashes, nil
}

// ask runs a query on the coordinator with the client's parameters and gives its rows in text format.
func (x *execution) ask(ctx context.Context, text []byte) ([][][]byte, error) {
	c, release, err := x.env.Tx.Borrow(ctx, catalog.CoordinatorGroup)
	if err != nil {
		return nil, err
	}
	defer release()
	f := &form{columns: -1, exact: true}
	x.send(c, text, f)
	var rows [][][]byte
	_, err = x.receive(ctx, c, f, func(raw []byte) error {
		row, err := splitRow(append([]byte(nil), raw...), nil)
		rows = append(rows, row)
		return err
	})
	return rows, err
}
