package difftest

import (
	"fmt"
	"strings"
)

// aggregateCall makes an aggregate of a type whose value does not depend on the order of rows.
func (g *generator) aggregateCall(s *scope, t valueType, depth int) string {
	budget := g.budget
	g.budget = 0 // no subqueries in arguments
	defer func() { g.budget = budget }()
	plain := &scope{atoms: s.atoms}
	e := func(t valueType) string {
		if g.Chance(20) {
			return g.expr(plain, t, depth)
		}
		return g.leaf(plain, t)
	}
	any := func() valueType { return valueType(g.N(int(typeCount))) }
	filter := ""
	if g.Chance(12) {
		filter = " FILTER (WHERE " + g.condition(plain, 1) + ")"
	}
	distinct := ""
	if g.Chance(20) {
		distinct = "DISTINCT "
	}
	switch t {
	case typeEnum:
		v := e(typeEnum)
		return pick(g.Choices, []string{"min(" + v + ")", "max(" + v + ")", "mode() WITHIN GROUP (ORDER BY " + v + ")", "percentile_disc(0.5) WITHIN GROUP (ORDER BY " + v + ")"}) + filter
	case typePair:
		v := e(typePair)
		return fmt.Sprintf("(array_agg(%s%s ORDER BY %s)%s)[1]", distinct, v, v, filter)
	case typeRange:
		return fmt.Sprintf("range_intersect_agg(%s)%s", e(typeRange), filter)
	case typeInt:
		switch g.N(15) {
		case 12:
			// hypothetical-set
			return fmt.Sprintf("%s(%s) WITHIN GROUP (ORDER BY %s)%s::int", pick(g.Choices, []string{"rank", "dense_rank"}), constantOf(typeInt, g.N(9)), e(typeInt), filter)
		case 13:
			return fmt.Sprintf("count(DISTINCT %s)%s::int", e(pick(g.Choices, []valueType{typeEnum, typePair, typeRange, typeJSON})), filter)
		case 14:
			if rows := plain.of(typeRow); len(rows) > 0 {
				return fmt.Sprintf("count(%s%s)%s::int", distinct, pick(g.Choices, rows), filter)
			}
			return "count(*)" + filter + "::int"
		case 0, 1:
			return "count(*)" + filter + "::int"
		case 2:
			return fmt.Sprintf("count(%s%s)%s::int", distinct, e(any()), filter)
		case 3, 4:
			return fmt.Sprintf("sum(%s%s)%s::int", distinct, e(typeInt), filter)
		case 5, 6:
			return fmt.Sprintf("%s(%s%s)%s", pick(g.Choices, []string{"min", "max"}), distinct, e(typeInt), filter)
		case 7:
			return fmt.Sprintf("%s(%s)%s", pick(g.Choices, []string{"bit_and", "bit_or", "bit_xor"}), e(typeInt), filter)
		case 8:
			return fmt.Sprintf("percentile_disc(0.5) WITHIN GROUP (ORDER BY %s)%s", e(typeInt), filter)
		case 9:
			return fmt.Sprintf("mode() WITHIN GROUP (ORDER BY %s)%s", e(typeInt), filter)
		case 10:
			return fmt.Sprintf("count(DISTINCT (%s, %s))%s::int", e(typeInt), e(pick(g.Choices, []valueType{typeInt, typeBool, typeNum, typeTime})), filter)
		}
		return fmt.Sprintf("regr_count(%s, %s)%s::int", e(typeFloat), e(typeFloat), filter)
	case typeText:
		switch g.N(7) {
		case 4:
			v := e(pick(g.Choices, []valueType{typeEnum, typePair, typeRange}))
			return fmt.Sprintf("array_agg(%s%s ORDER BY %s)%s::text", distinct, v, v, filter)
		case 5:
			return fmt.Sprintf("range_agg(%s)%s::text", e(typeRange), filter)
		case 6:
			first, second := e(typeInt), e(typeText)
			return fmt.Sprintf("array_agg((%s, %s) ORDER BY %s, %s)%s::text", first, second, first, second, filter)
		case 0, 1:
			return fmt.Sprintf("%s(%s%s)%s", pick(g.Choices, []string{"min", "max"}), distinct, e(typeText), filter)
		case 2:
			v := e(typeText)
			return fmt.Sprintf("string_agg(%s%s, ',' ORDER BY %s)%s", distinct, v, v, filter)
		}
		return fmt.Sprintf("array_agg(%s%s)%s::text", "DISTINCT ", e(typeText), filter)
	case typeBool:
		return fmt.Sprintf("%s(%s)%s", pick(g.Choices, []string{"bool_and", "bool_or", "every"}), e(typeBool), filter)
	case typeNum:
		switch g.N(8) {
		case 0, 1:
			return fmt.Sprintf("sum(%s%s)%s", distinct, e(typeNum), filter)
		case 2:
			return fmt.Sprintf("round(avg(%s%s)%s, 2)", distinct, e(pick(g.Choices, []valueType{typeInt, typeNum})), filter)
		case 3:
			return fmt.Sprintf("round(%s(%s)%s, 2)", pick(g.Choices, []string{"stddev", "variance", "stddev_pop", "var_samp"}), e(pick(g.Choices, []valueType{typeInt, typeNum})), filter)
		case 4:
			return fmt.Sprintf("round((percentile_cont(0.25) WITHIN GROUP (ORDER BY %s)%s)::numeric, 2)", e(typeInt), filter)
		}
		return fmt.Sprintf("%s(%s)%s", pick(g.Choices, []string{"min", "max"}), e(typeNum), filter)
	case typeTime:
		return fmt.Sprintf("%s(%s%s)%s", pick(g.Choices, []string{"min", "max"}), distinct, e(typeTime), filter)
	case typeFloat:
		return fmt.Sprintf("%s(%s)%s", pick(g.Choices, []string{"sum", "min", "max"}), e(typeFloat), filter)
	case typeArray:
		v := e(typeInt)
		return fmt.Sprintf("array_agg(%s%s ORDER BY %s%s)%s", distinct, v, v, pick(g.Choices, []string{"", " DESC"}), filter)
	}
	switch g.N(3) {
	case 0:
		v := e(pick(g.Choices, []valueType{typeInt, typeText, typeBool, typeArray}))
		return fmt.Sprintf("jsonb_agg(%s%s ORDER BY %s)%s", distinct, v, v, filter)
	case 1:
		key, v := e(typeInt), e(typeInt)
		return fmt.Sprintf("jsonb_object_agg(coalesce(%s, 0), %s ORDER BY %s, %s)%s", key, v, key, v, filter)
	}
	v := e(typeInt)
	return fmt.Sprintf("json_agg(%s ORDER BY %s)%s::jsonb", v, v, filter)
}

// windowCall makes a window function of a type.
func (g *generator) windowCall(s *scope, t valueType) string {
	own := &scope{atoms: s.atoms}
	partition := ""
	if g.Chance(60) {
		pt := pick(g.Choices, []valueType{typeInt, typeInt, typeText, typeBool})
		if cols := own.of(pt); len(cols) > 0 {
			partition = "PARTITION BY " + g.keyOf(cols)
		}
	}
	total := "ORDER BY " + strings.Join(append([]string{g.leaf(own, typeInt) + "+0"}, s.identity...), ", ")
	if len(s.identity) == 0 {
		total = "ORDER BY 1"
	}
	peers := "ORDER BY " + g.leaf(own, pick(g.Choices, []valueType{typeInt, typeText, typeTime, typeNum})) + pick(g.Choices, []string{"", " DESC", " NULLS FIRST"})
	v := g.leaf(own, t)
	over := func(order, frame string) string {
		return "OVER (" + strings.TrimSpace(partition+" "+order+" "+frame) + ")"
	}
	if t == typeInt {
		switch g.N(6) {
		case 0:
			return "row_number() " + over(total, "") + "::int"
		case 1:
			return pick(g.Choices, []string{"rank", "dense_rank"}) + "() " + over(peers, "") + "::int"
		case 2:
			return "count(*) " + over("", "") + "::int"
		case 3:
			return fmt.Sprintf("sum(%s) %s::int", v, over(peers, ""))
		case 4:
			return "ntile(3) " + over(total, "")
		}
	}
	switch g.N(6) {
	case 4:
		frame := pick(g.Choices, []string{"ROWS BETWEEN 2 PRECEDING AND CURRENT ROW", "GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING", "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"}) +
			pick(g.Choices, []string{"", " EXCLUDE CURRENT ROW", " EXCLUDE GROUP", " EXCLUDE TIES"})
		return fmt.Sprintf("first_value(%s) %s", v, over(total, frame))
	case 5:
		if t == typeInt && g.window == "" {
			g.window = " WINDOW w AS (" + strings.TrimSpace(partition+" "+total) + ")"
		}
		if t == typeInt {
			return fmt.Sprintf("%s(%s) OVER %s", pick(g.Choices, []string{"lag", "first_value"}), v, pick(g.Choices, []string{"w", "(w ROWS UNBOUNDED PRECEDING)"}))
		}
	case 0:
		return fmt.Sprintf("%s(%s) %s", pick(g.Choices, []string{"lag", "lead"}), v, over(total, ""))
	case 1:
		return fmt.Sprintf("%s(%s) %s", pick(g.Choices, []string{"first_value", "last_value"}), v, over(total, "ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING"))
	case 2:
		if t != typeBool && t != typeArray && t != typeJSON && t != typePair && t != typeRange {
			return fmt.Sprintf("max(%s) %s", v, over(peers, ""))
		}
	case 3:
		if t == typeNum || t == typeFloat {
			return fmt.Sprintf("sum(%s) %s", v, over(total, "ROWS UNBOUNDED PRECEDING"))
		}
	}
	return fmt.Sprintf("nth_value(%s, 2) %s", v, over(total, "RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"))
}
