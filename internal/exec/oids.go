package exec

import (
	"context"
	"encoding/binary"
	"strconv"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/catalog"
)

// oids says where the binary form of a type holds OIDs of types that users made, which each node numbers for itself: that of an array
// names its elements' type, that of a composite value its fields' types (array_send and record_send of PostgreSQL). nil stands for a
// type that holds none.
type oids struct {
	element uint32  // of an array: its elements' type on the coordinator
	fields  []field // of a composite type
	inner   *oids   // of an array's elements
}

type field struct {
	typ   uint32
	inner *oids
}

func oidsOf(s *catalog.Snapshot, oid uint32) *oids {
	t := s.Types[oid]
	for t != nil && t.Kind == 'd' {
		t = s.Types[t.Base]
	}
	switch {
	case t == nil:
		return nil
	case t.Category == 'A' && t.Element != 0:
		if inner := oidsOf(s, t.Element); inner != nil || t.Element >= firstUserOID {
			return &oids{element: t.Element, inner: inner}
		}
	case t.Kind == 'c':
		r := s.Relations[catalog.Name{Schema: t.Schema, Name: t.Name}]
		if r == nil {
			return nil
		}
		o, own := &oids{}, false
		for _, c := range r.Columns {
			f := field{c.TypeOID, oidsOf(s, c.TypeOID)}
			own = own || f.inner != nil || f.typ >= firstUserOID
			o.fields = append(o.fields, f)
		}
		if own {
			return o
		}
	}
	return nil
}

// resultOIDs gives the oids of a result's columns, nil if none has any.
func resultOIDs(s *catalog.Snapshot, fields []pgproto3.FieldDescription) []*oids {
	var all []*oids
	for i, f := range fields {
		if o := oidsOf(s, f.DataTypeOID); o != nil {
			if all == nil {
				all = make([]*oids, len(fields))
			}
			all[i] = o
		}
	}
	return all
}

// put writes the coordinator's OIDs into a value, whichever node made it. A value of another shape is left alone.
func (o *oids) put(value []byte) {
	switch {
	case o == nil || len(value) < 4:
	case o.fields != nil:
		if int(binary.BigEndian.Uint32(value)) != len(o.fields) {
			return
		}
		rest := value[4:]
		for _, f := range o.fields {
			if len(rest) < 8 {
				return
			}
			binary.BigEndian.PutUint32(rest, f.typ)
			var inner []byte
			if inner, rest = element(rest[4:]); inner != nil {
				f.inner.put(inner)
			}
		}
	case len(value) >= 12:
		binary.BigEndian.PutUint32(value[8:], o.element)
		dimensions := int(binary.BigEndian.Uint32(value))
		if o.inner == nil || dimensions < 0 || len(value) < 12+8*dimensions {
			return
		}
		for rest := value[12+8*dimensions:]; len(rest) >= 4; {
			var inner []byte
			if inner, rest = element(rest); inner != nil {
				o.inner.put(inner)
			}
		}
	}
}

// element takes a value behind its length off the front of b; nil for NULL.
func element(b []byte) (value, rest []byte) {
	size := int32(binary.BigEndian.Uint32(b))
	if b = b[4:]; size < 0 || int(size) > len(b) {
		return nil, b
	}
	return b[:size], b[size:]
}

// oidWriter is a RowWriter that puts the coordinator's OIDs into the columns that are in binary format.
type oidWriter struct {
	out     RowWriter
	columns []*oids
	formats []int16
	values  [][]byte
}

func (w *oidWriter) Row(raw []byte) error {
	var err error
	if w.values, err = splitRow(raw, w.values); err != nil {
		return err
	}
	for i, v := range w.values {
		if i < len(w.columns) && formatOf(w.formats, i) == 1 {
			w.columns[i].put(v)
		}
	}
	return w.out.Row(raw)
}

// withOIDs gives out, or what must stand before it.
func (x *execution) withOIDs(out RowWriter) RowWriter {
	if x.prepared.oids == nil || allText(x.bind.ResultFormats) {
		return out
	}
	return &oidWriter{out: out, columns: x.prepared.oids, formats: x.bind.ResultFormats}
}

// portableParams turns binary parameters that hold the coordinator's OIDs into text, which every node reads: the coordinator does.
func (x *execution) portableParams(ctx context.Context) error {
	if allText(x.bind.ParamFormats) {
		return nil
	}
	var text []byte
	var numbers []int
	for i, v := range x.bind.Params {
		if i >= len(x.prepared.Params) || v == nil || formatOf(x.bind.ParamFormats, i) == 0 || oidsOf(x.snapshot, x.prepared.Params[i]) == nil {
			continue
		}
		if numbers == nil {
			text = append(text, "SELECT "...)
		} else {
			text = append(text, ", "...)
		}
		text = append(append(text, '$'), strconv.Itoa(i+1)...)
		text = append(text, "::text"...)
		numbers = append(numbers, i)
	}
	if numbers == nil {
		return nil
	}
	rows, err := x.ask(ctx, text)
	if err != nil {
		return err
	}
	params, formats := make([][]byte, len(x.bind.Params)), make([]int16, len(x.bind.Params))
	for i, v := range x.bind.Params {
		params[i], formats[i] = v, formatOf(x.bind.ParamFormats, i)
	}
	for column, i := range numbers {
		params[i], formats[i] = rows[0][column], 0
	}
	x.bind.Params, x.bind.ParamFormats = params, formats
	return nil
}
