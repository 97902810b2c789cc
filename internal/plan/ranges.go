package plan

import "github.com/trunkline/trunkline/internal/sql"

// Bound is one end of a range that the values of an integer distribution column are in.
type Bound struct {
	Value Value
	Open  bool // the value itself is not in the range
}

// bounds finds what a condition says of how low and how high an integer distribution column can be.
func (p *planner) bounds(e *sql.Node, isKey func(*sql.Node) (uint32, bool)) (low, high []Bound) {
	x := e.GetAExpr()
	if x == nil || len(x.Name) == 0 {
		return nil, nil
	}
	bound := func(side *sql.Node, typ uint32, open bool) []Bound {
		if v, ok := p.constant(side, typ); ok && integers[p.baseType(typ)] {
			return []Bound{{v, open}}
		}
		return nil
	}
	if x.Kind == sql.ExprBetween {
		ends := x.Rexpr.GetList().GetItems()
		if typ, ok := isKey(x.Lexpr); ok && len(ends) == 2 {
			low, high = bound(ends[0], typ, false), bound(ends[1], typ, false)
		}
		return low, high
	}
	names := sql.Strings(x.Name)
	operator := names[len(names)-1]
	if x.Kind != sql.ExprOp || len(names) > 1 && names[0] != "pg_catalog" {
		return nil, nil
	}
	key, value := x.Lexpr, x.Rexpr
	typ, ok := isKey(key)
	if !ok {
		if typ, ok = isKey(value); !ok {
			return nil, nil
		}
		value, operator = key, turned[operator]
	}
	switch operator {
	case ">", ">=":
		low = bound(value, typ, operator == ">")
	case "<", "<=":
		high = bound(value, typ, operator == "<")
	}
	return low, high
}

// turned are the comparisons that mean the same with their sides exchanged.
var turned = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<="}
