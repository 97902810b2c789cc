package difftest

import (
	"fmt"
	"strings"
)

// atom is an expression that a scope offers as it is.
type atom struct {
	sql   string
	typ   valueType
	plain bool // a column: subqueries may refer to it
}

// scope is what expressions at one place may refer to.
type scope struct {
	atoms     []atom
	identity  []string // expressions that tell all rows apart, as far as they differ in what the scope offers
	outer     *scope
	aggregate func(t valueType, depth int) string // in a grouped query: makes an aggregate
}

// inner is a scope below s: its columns are s's and its own.
func (s *scope) nested() *scope { return &scope{outer: s} }

func (s *scope) of(t valueType) []string {
	var found []string
	for _, a := range s.atoms {
		if a.typ == t {
			found = append(found, a.sql)
		}
	}
	return found
}

// outerOf are the columns of enclosing queries.
func (s *scope) outerOf(t valueType) []string {
	var found []string
	for o := s.outer; o != nil; o = o.outer {
		for _, a := range o.atoms {
			if a.typ == t && a.plain {
				found = append(found, a.sql)
			}
		}
	}
	return found
}

// generator makes one case's statements.
type generator struct {
	*Choices
	names  int  // aliases given so far
	budget int  // how many more tables may be named
	params bool // constants may be parameters
	values []string
	ctes   []item
	window string // the WINDOW clause of the query being made
}

// name gives an alias that the query does not have yet, now and then one that plans use for themselves.
func (g *generator) name(prefix string) string {
	g.names++
	if prefix == "t" {
		switch g.names {
		case 3:
			return "t"
		case 5:
			return "rows0"
		}
	}
	return fmt.Sprintf("%s%d", prefix, g.names)
}

// constant makes a constant of a type, or a parameter.
func (g *generator) constant(t valueType) string {
	n := g.N(len(constants[t]))
	v := constantOf(t, n)
	if g.Chance(4) {
		return "NULL::" + t.sqlName()
	}
	if g.params && g.Chance(60) {
		text := strings.Trim(strings.SplitN(constants[t][n], "::", 2)[0], "()")
		text = strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(text, "'"), "'"), "''", "'")
		g.values = append(g.values, text)
		return fmt.Sprintf("$%d::%s", len(g.values), t.sqlName())
	}
	if t == typeText && !g.Chance(40) {
		v += "::text"
	}
	return v
}

// leaf makes an expression without parts.
func (g *generator) leaf(s *scope, t valueType) string {
	own := s.of(t)
	if s.aggregate != nil && g.Chance(50) {
		return s.aggregate(t, 1)
	}
	if outer := s.outerOf(t); len(outer) > 0 && (len(own) == 0 || g.Chance(15)) {
		return pick(g.Choices, outer)
	}
	if len(own) > 0 && !g.Chance(15) {
		return pick(g.Choices, own)
	}
	if s.aggregate != nil && g.Chance(70) {
		return s.aggregate(t, 1)
	}
	return g.constant(t)
}

// expr makes an expression of a type.
func (g *generator) expr(s *scope, t valueType, depth int) string {
	if depth <= 0 || !g.Chance(50) {
		return g.leaf(s, t)
	}
	e := func(t valueType) string { return g.expr(s, t, depth-1) }
	switch g.N(8) {
	case 4:
		if t == typeInt && g.budget > 0 && g.Chance(20) {
			g.budget--
			return fmt.Sprintf("counted(%s)", g.leaf(&scope{atoms: s.atoms, outer: s.outer}, typeInt))
		}
	case 0:
		return fmt.Sprintf("coalesce(%s, %s)", e(t), e(t))
	case 1:
		return fmt.Sprintf("CASE WHEN %s THEN %s ELSE %s END", e(typeBool), e(t), e(t))
	case 2:
		if t != typeBool && t != typeJSON && t != typeArray && t != typePair {
			return fmt.Sprintf("%s(%s, %s)", pick(g.Choices, []string{"greatest", "least", "nullif"}), e(t), e(t))
		}
	case 3:
		if g.budget > 0 {
			return g.scalarSubquery(s, t, depth-1)
		}
	}
	switch t {
	case typeEnum, typePair, typeRange:
		return g.ownTypeExpr(t, e)
	case typeInt:
		return g.intExpr(e)
	case typeText:
		switch g.N(9) {
		case 0:
			return fmt.Sprintf("(%s || %s)", e(typeText), e(typeText))
		case 1:
			return fmt.Sprintf("%s(%s)", pick(g.Choices, []string{"upper", "lower", "reverse", "btrim"}), e(typeText))
		case 2:
			return fmt.Sprintf("(%s)::text", e(typeInt))
		case 3:
			return fmt.Sprintf("substr(%s, 1, 2)", e(typeText))
		case 4:
			return fmt.Sprintf("to_char(%s AT TIME ZONE 'UTC', 'YYYY-MM')", e(typeTime))
		case 5:
			return fmt.Sprintf("(%s ->> 'a')", e(typeJSON))
		case 6:
			return fmt.Sprintf("(%s)::text", e(pick(g.Choices, []valueType{typeNum, typeBool, typeTime, typeArray, typeJSON, typeEnum, typePair, typeRange})))
		case 7:
			return fmt.Sprintf("(%s).q", e(typePair))
		}
		return fmt.Sprintf("concat(%s, '-', %s)", e(typeText), e(typeInt))
	case typeBool:
		return g.condition(s, depth)
	case typeNum:
		switch g.N(4) {
		case 0:
			return fmt.Sprintf("(%s %s %s)", e(typeNum), pick(g.Choices, []string{"+", "-"}), e(typeNum))
		case 1:
			return fmt.Sprintf("round(%s * %s, 2)", e(typeNum), e(typeNum))
		case 2:
			return fmt.Sprintf("(%s)::numeric(12,2)", e(typeInt))
		}
		return fmt.Sprintf("round(%s / nullif(%s, 0), 2)", e(typeNum), e(typeNum))
	case typeTime:
		switch g.N(3) {
		case 0:
			return fmt.Sprintf("date_trunc('month', %s)", e(typeTime))
		case 1:
			return fmt.Sprintf("(%s + interval '1 day' * (%s %% 10))", e(typeTime), e(typeInt))
		}
		return fmt.Sprintf("(%s - interval '1 hour')", e(typeTime))
	case typeFloat:
		switch g.N(3) {
		case 0:
			return fmt.Sprintf("(%s + %s)", e(typeFloat), e(typeFloat))
		case 1:
			return fmt.Sprintf("(%s %% 100)::float8", e(typeInt))
		}
		return fmt.Sprintf("floor(%s)", e(typeFloat))
	case typeArray:
		switch g.N(3) {
		case 0:
			return fmt.Sprintf("array[%s, %s]", e(typeInt), e(typeInt))
		case 1:
			return fmt.Sprintf("array_append(%s, %s)", e(typeArray), e(typeInt))
		}
		return fmt.Sprintf("(%s || %s)", e(typeArray), e(typeArray))
	}
	switch g.N(3) {
	case 0:
		return fmt.Sprintf("jsonb_build_object('p', %s)", e(pick(g.Choices, []valueType{typeInt, typeText, typeBool, typeArray})))
	case 1:
		return fmt.Sprintf("(%s -> 'a')", e(typeJSON))
	}
	return fmt.Sprintf("to_jsonb(%s)", e(typeText))
}

// ownTypeExpr makes an expression of an enum, a composite or a range type.
func (g *generator) ownTypeExpr(t valueType, e func(valueType) string) string {
	switch t {
	case typeEnum:
		return fmt.Sprintf("CASE WHEN %s THEN %s END", e(typeBool), e(typeEnum))
	case typePair:
		return fmt.Sprintf("ROW(%s, %s)::pair", e(typeInt), e(typeText))
	}
	if g.Chance(50) {
		return fmt.Sprintf("(%s * %s)", e(typeRange), e(typeRange))
	}
	return fmt.Sprintf("int4range(%s %% 5, 5 + abs(%s %% 9))", e(typeInt), e(typeInt))
}

func (g *generator) intExpr(e func(valueType) string) string {
	switch g.N(11) {
	case 0:
		return fmt.Sprintf("(%s %s %s)", e(typeInt), pick(g.Choices, []string{"+", "-"}), e(typeInt))
	case 1:
		return fmt.Sprintf("((%s %% 1000) * (%s %% 1000))", e(typeInt), e(typeInt))
	case 2:
		return fmt.Sprintf("(%s %% nullif(%s, 0))", e(typeInt), e(typeInt))
	case 3:
		return fmt.Sprintf("length(%s)", e(typeText))
	case 4:
		return fmt.Sprintf("coalesce(cardinality(%s), 0)", e(typeArray))
	case 5:
		return fmt.Sprintf("extract(year FROM %s AT TIME ZONE 'UTC')::int", e(typeTime))
	case 6:
		return fmt.Sprintf("(%s)::int", e(typeBool))
	case 7:
		return fmt.Sprintf("(%s).p", e(typePair))
	case 8:
		return fmt.Sprintf("%s(%s)", pick(g.Choices, []string{"lower", "upper"}), e(typeRange))
	case 9:
		return fmt.Sprintf("(%s)::small", e(typeInt))
	}
	return fmt.Sprintf("(%s)[1]", e(typeArray))
}

var comparisons = []string{"=", "<>", "<", "<=", ">", ">="}

// condition makes a boolean expression with parts.
func (g *generator) condition(s *scope, depth int) string {
	e := func(t valueType) string { return g.expr(s, t, depth-1) }
	t := pick(g.Choices, []valueType{typeInt, typeInt, typeInt, typeText, typeText, typeNum, typeTime, typeBool, typeFloat, typeArray, typeJSON, typeEnum, typePair, typeRange})
	switch g.N(19) {
	case 17:
		return pick(g.Choices, []func() string{
			func() string { return fmt.Sprintf("(%s @> %s)", e(typeRange), e(typeInt)) },
			func() string { return fmt.Sprintf("(%s && %s)", e(typeRange), e(typeRange)) },
			func() string { return fmt.Sprintf("(%s @> %s)", e(typeJSON), e(typeJSON)) },
			func() string { return fmt.Sprintf("(%s && %s)", e(typeArray), e(typeArray)) },
			func() string { return fmt.Sprintf("(%s = ANY (array[%s, %s]))", e(typeEnum), e(typeEnum), e(typeEnum)) },
		})()
	case 16:
		return pick(g.Choices, []string{"(random() < 2)", "(now() > '2000-01-01')", "(random() < 0)", "(clock_timestamp() >= now())", fmt.Sprintf("(%s < now())", g.leaf(s, typeTime)),
			fmt.Sprintf("(%s = current_date - current_date)", g.leaf(s, typeInt)), fmt.Sprintf("(%s IN (SELECT 3 UNION ALL SELECT 4))", g.leaf(s, typeInt))})
	case 0, 1, 2:
		return fmt.Sprintf("(%s %s %s)", e(t), pick(g.Choices, comparisons), e(t))
	case 3:
		return fmt.Sprintf("(%s = %s)", g.leaf(s, t), g.constant(t))
	case 4:
		return fmt.Sprintf("(%s IS %sNULL)", e(t), pick(g.Choices, []string{"", "NOT "}))
	case 5:
		return fmt.Sprintf("(%s AND %s)", e(typeBool), e(typeBool))
	case 6:
		return fmt.Sprintf("(%s OR %s)", e(typeBool), e(typeBool))
	case 7:
		return fmt.Sprintf("(NOT %s)", e(typeBool))
	case 8:
		n := 1 + g.N(4)
		list := make([]string, n)
		for i := range list {
			list[i] = g.constant(t)
		}
		return fmt.Sprintf("(%s %sIN (%s))", g.leaf(s, t), pick(g.Choices, []string{"", "NOT "}), strings.Join(list, ", "))
	case 9:
		return fmt.Sprintf("(%s IS %sDISTINCT FROM %s)", e(t), pick(g.Choices, []string{"", "NOT "}), e(t))
	case 18:
		if rows := s.of(typeRow); len(rows) > 0 {
			row := pick(g.Choices, rows)
			return pick(g.Choices, []string{"(" + row + " IS NULL)", "(" + row + " IS NOT NULL)", "(" + row + " = " + pick(g.Choices, rows) + ")"})
		}
	case 10:
		return fmt.Sprintf("(%s BETWEEN %s AND %s)", e(t), e(t), e(t))
	case 11:
		return fmt.Sprintf("(%s %s %s)", e(typeText), pick(g.Choices, []string{"LIKE", "NOT LIKE", "ILIKE", "~"}), pick(g.Choices, []string{"'a%'", "'%b%'", "'_'", "'%'"}))
	case 12:
		return fmt.Sprintf("(%s = ANY (%s))", e(typeInt), e(typeArray))
	case 13:
		if g.budget > 0 {
			return g.existsSubquery(s, depth-1)
		}
	case 14:
		if g.budget > 0 {
			return g.inSubquery(s, t, depth-1)
		}
	case 15:
		return fmt.Sprintf("((%s, %s) = (%s, %s))", e(typeInt), e(t), e(typeInt), e(t))
	}
	return fmt.Sprintf("(%s %s %s)", g.leaf(s, t), pick(g.Choices, comparisons), g.leaf(s, t))
}

func (g *generator) existsSubquery(s *scope, depth int) string {
	not := pick(g.Choices, []string{"", "NOT "})
	inner := s.nested()
	from := g.from(inner, 1)
	where := g.where(inner, depth, true)
	limit := ""
	if g.Chance(10) {
		limit = " LIMIT 1"
	}
	return fmt.Sprintf("(%sEXISTS (SELECT 1 FROM %s%s%s))", not, from, where, limit)
}

func (g *generator) inSubquery(s *scope, t valueType, depth int) string {
	left := g.leaf(s, t)
	var sub string
	if g.Chance(25) {
		sub = g.query(nil, []valueType{t}, depth)
	} else {
		inner := s.nested()
		from := g.from(inner, 1)
		where := ""
		if g.Chance(60) {
			where = g.where(inner, depth, g.Chance(40))
		}
		sub = fmt.Sprintf("SELECT %s FROM %s%s", g.leaf(&scope{atoms: inner.atoms}, t), from, where)
	}
	switch g.N(5) {
	case 0, 1:
		return fmt.Sprintf("(%s IN (%s))", left, sub)
	case 2, 3:
		return fmt.Sprintf("(%s NOT IN (%s))", left, sub)
	}
	return fmt.Sprintf("(%s %s %s (%s))", left, pick(g.Choices, comparisons), pick(g.Choices, []string{"ANY", "ALL"}), sub)
}

// scalarSubquery makes a subquery of one row at most.
func (g *generator) scalarSubquery(s *scope, t valueType, depth int) string {
	inner := s.nested()
	from := g.from(inner, 1)
	where := ""
	if g.Chance(70) {
		where = g.where(inner, depth, g.Chance(60))
	}
	own := &scope{atoms: inner.atoms}
	if g.Chance(20) {
		v := g.leaf(own, t)
		return fmt.Sprintf("(SELECT %s FROM %s%s ORDER BY %s LIMIT 1)", v, from, where, strings.Join(append([]string{v}, inner.identity...), ", "))
	}
	return fmt.Sprintf("(SELECT %s FROM %s%s)", g.aggregateCall(own, t, 1), from, where)
}

// where makes a WHERE clause. A correlated one ties the query to the enclosing one.
func (g *generator) where(s *scope, depth int, correlated bool) string {
	var terms []string
	if correlated {
		t := pick(g.Choices, []valueType{typeInt, typeInt, typeInt, typeText, typeNum})
		if own, outer := s.of(t), s.outerOf(t); len(own) > 0 && len(outer) > 0 {
			op := "="
			if g.Chance(15) {
				op = pick(g.Choices, comparisons)
			}
			terms = append(terms, fmt.Sprintf("%s %s %s", g.keyOf(own), op, g.keyOf(outer)))
		}
	}
	for len(terms) == 0 || len(terms) < 4 && g.Chance(35) {
		if keys := s.of(typeInt); len(keys) > 0 && g.Chance(20) {
			terms = append(terms, fmt.Sprintf("%s = %s", g.keyOf(keys), g.constant(typeInt)))
			continue
		}
		terms = append(terms, g.condition(s, depth))
	}
	return " WHERE " + strings.Join(terms, " AND ")
}

// keyOf prefers distribution columns.
func (g *generator) keyOf(from []string) string {
	var keys []string
	for _, f := range from {
		if strings.HasSuffix(f, ".k") {
			keys = append(keys, f)
		}
	}
	if len(keys) > 0 && !g.Chance(35) {
		return pick(g.Choices, keys)
	}
	return pick(g.Choices, from)
}
