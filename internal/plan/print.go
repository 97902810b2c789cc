package plan

import (
	"fmt"
	"strconv"
	"strings"
)

// String shows a plan as the golden tests keep it: one operator per line, templates with their slots in braces.
func (p *Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n", p.Rung, p.flags())
	for _, why := range p.Why {
		fmt.Fprintf(&b, "not %s\n", why)
	}
	for i := range p.Subplans {
		g := &p.Subplans[i]
		to := ""
		if g.Ship != nil {
			to = fmt.Sprintf(", each to the hash of column %d in %d", g.Ship.Column, g.Ship.Colocation)
		}
		fmt.Fprintf(&b, "rows %d (%s)%s = %s\n", i, g.Reason, to, p.gather(g))
	}
	b.WriteString(p.operator())
	b.WriteByte('\n')
	return b.String()
}

func (p *Plan) flags() string {
	var flags []string
	for _, f := range []struct {
		on   bool
		name string
	}{{p.Writes, "writes"}, {p.Sticky, "sticky"}, {len(p.Facts) > 0, "facts " + strings.Join(p.Facts, " ")}} {
		if f.on {
			flags = append(flags, f.name)
		}
	}
	if len(p.FixedLiterals) > 0 {
		flags = append(flags, fmt.Sprintf("fixed %v", p.FixedLiterals))
	}
	if len(flags) == 0 {
		return ""
	}
	return " [" + strings.Join(flags, ", ") + "]"
}

func (p *Plan) operator() string {
	switch r := p.Root.(type) {
	case *Coordinator:
		if r.SQL == nil {
			return "coordinator: as written"
		}
		return "coordinator: " + p.Text(r.SQL)
	case *Gather:
		return p.gather(r)
	case *InsertValues:
		var rows []string
		for _, row := range r.Rows {
			rows = append(rows, p.value(row.Key)+" -> "+p.Text(row.SQL))
		}
		return "insert: " + p.Text(r.Head) + strings.Join(rows, " | ") + p.Text(r.Tail)
	case *InsertRows:
		return fmt.Sprintf("insert rows %d by column %d: %s", r.From, r.KeyColumn, p.Text(r.SQL))
	case *ReferenceWrite:
		text := "every node: " + p.Text(r.SQL)
		if r.CopyRows {
			text += "\n  copies: " + p.Text(r.Rows)
		}
		if r.Returning != nil {
			text += "\n  returning: " + p.Text(r.Returning)
		}
		return text
	case *ClusterCall:
		return fmt.Sprintf("call %s with %s\n  then %s", strings.Join(r.Calls, ", "), p.Text(r.Args), p.Text(r.SQL))
	case *Utility:
		return fmt.Sprintf("utility %d", r.Kind)
	}
	return fmt.Sprintf("%T", p.Root)
}

// valueRange says which values of the distribution column count, where few may.
func (p *Plan) valueRange(pruning *Pruning) string {
	var ends []string
	for i, bounds := range [][]Bound{pruning.Low, pruning.High} {
		for _, b := range bounds {
			operator := []string{">=", "<="}[i]
			if b.Open {
				operator = operator[:1]
			}
			ends = append(ends, operator+" "+p.value(b.Value))
		}
	}
	if len(ends) == 0 {
		return ""
	}
	return " of values " + strings.Join(ends, ", ")
}

func (p *Plan) gather(g *Gather) string {
	if g.Coordinator {
		return "coordinator: " + p.Text(g.SQL)
	}
	var b strings.Builder
	switch {
	case g.Pruning.All:
		b.WriteString("all shards" + p.valueRange(&g.Pruning))
	case g.Pruning.Any:
		b.WriteString("any shard")
	default:
		var keys []string
		for _, v := range g.Pruning.Keys {
			keys = append(keys, p.value(v))
		}
		b.WriteString("shards of " + strings.Join(keys, ", "))
	}
	if g.Fuse != FuseNone {
		b.WriteString(", fuse " + g.Fuse.String())
	}
	for _, k := range g.Merge {
		fmt.Fprintf(&b, ", merge %d", k.Column)
		if k.Descending {
			b.WriteString(" desc")
		}
		if k.NullsFirst {
			b.WriteString(" nulls first")
		}
	}
	if g.Limit != nil {
		b.WriteString(", limit " + p.value(*g.Limit))
	}
	if g.Offset != nil {
		b.WriteString(", offset " + p.value(*g.Offset))
	}
	return b.String() + ": " + p.Text(g.SQL)
}

func (p *Plan) value(v Value) string {
	sign := ""
	if v.Negative {
		sign = "-"
	}
	switch v.Kind {
	case ValueLiteral:
		return sign + "{literal " + strconv.Itoa(v.Index) + "}"
	case ValueParam:
		return "$" + strconv.Itoa(v.Index)
	case ValueParamArray:
		return "each of $" + strconv.Itoa(v.Index)
	case ValueSQL:
		return "(" + p.Text(v.SQL) + ")"
	case ValueConst:
		return v.Text
	case ValueSequence:
		return "{next of " + v.Sequence + "}"
	case ValueMissing:
		return "NULL"
	case ValueNone:
		return "no value"
	}
	return "NULL"
}

// Text shows a template with its slots in braces.
func (p *Plan) Text(t Template) string {
	var b strings.Builder
	for _, piece := range t {
		switch piece.Kind {
		case PieceText:
			b.WriteString(piece.Text)
		case PieceTable:
			b.WriteString("{" + p.Tables[piece.Index].Name + "}")
		case PieceLiteral:
			fmt.Fprintf(&b, "{literal %d}", piece.Index)
		case PieceIntermediate:
			fmt.Fprintf(&b, "{rows %d}", piece.Index)
		case PieceType:
			fmt.Fprintf(&b, "{type of rows %d column %d}", piece.Index, piece.Column)
		case PieceSequence:
			b.WriteString("{next of " + piece.Text + "}")
		case PieceResultType:
			fmt.Fprintf(&b, "{type of result column %d}", piece.Column)
		}
	}
	return b.String()
}
