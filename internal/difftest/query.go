package difftest

import (
	"fmt"
	"strings"
)

// item is something that FROM can name: a common table expression so far.
type item struct {
	name string
	cols []column
}

// base chooses a table, and offers its columns to s under an alias.
func (g *generator) base(s *scope) string {
	g.budget--
	if len(g.ctes) > 0 && g.Chance(40) {
		c := pick(g.Choices, g.ctes)
		alias := g.name("t")
		offer(s, alias, c.cols)
		return c.name + " AS " + alias
	}
	if g.Chance(6) {
		v := pick(g.Choices, views)
		alias := g.name("t")
		offer(s, alias, v.columns)
		return v.name + " AS " + alias
	}
	return g.table(s)
}

// table chooses a table, and offers its columns to s.
func (g *generator) table(s *scope) string {
	t := tables[g.N(len(tables))]
	alias := g.name("t")
	for _, c := range columns {
		s.atoms = append(s.atoms, atom{alias + "." + c.name, c.typ, true})
	}
	s.identity = append(s.identity, alias+".id")
	if g.Chance(4) {
		s.atoms = append(s.atoms, pick(g.Choices, []atom{
			{"(" + alias + ")::text", typeText, false}, {"to_jsonb(" + alias + ")", typeJSON, false}, {"(" + alias + ").k", typeInt, false},
			{"(" + alias + ".*)", typeRow, false}, {alias + ".tableoid::regclass::text", typeText, true}, {alias, typeRow, false},
		}))
	}
	if g.Chance(2) {
		return t.name + " AS " + alias + " TABLESAMPLE " + pick(g.Choices, []string{"BERNOULLI (100)", "SYSTEM (100)", "BERNOULLI (100) REPEATABLE (3)", "SYSTEM (0)"})
	}
	return t.name + " AS " + alias
}

// rowSource makes a FROM item that is no table: values, or functions that return sets, perhaps of columns before them.
func (g *generator) rowSource(left, s *scope) string {
	alias := g.name("v")
	arrays, documents := left.of(typeArray), left.of(typeJSON)
	switch n := g.N(8); {
	case n == 6 && g.budget > 0:
		g.budget--
		offer(s, alias, []column{{"a", typeInt}, {"b", typeText}})
		tag := g.constant(typeText) + "::text"
		if texts := left.of(typeText); len(texts) > 0 {
			tag = pick(g.Choices, texts)
		}
		return fmt.Sprintf("picked(%s) AS %s", tag, alias)
	case n == 0:
		offer(s, alias, []column{{"a", typeInt}, {"b", typeText}})
		return fmt.Sprintf("(VALUES (%s, %s), (%s, %s)) AS %s(a, b)", g.constant(typeInt)+"::int", g.constant(typeText)+"::text", g.constant(typeInt), g.constant(typeText), alias)
	case n == 1:
		offer(s, alias, []column{{"a", typeInt}})
		return fmt.Sprintf("generate_series(1, %d) AS %s(a)", 1+g.N(4), alias)
	case n == 2:
		offer(s, alias, []column{{"a", typeInt}, {"b", typeText}})
		return fmt.Sprintf("ROWS FROM (generate_series(1, 3), unnest(array['a', 'b'])) AS %s(a, b)", alias)
	case n == 3:
		offer(s, alias, []column{{"a", typeInt}, {"o::int", typeInt}})
		return fmt.Sprintf("unnest(array[3, 2, NULL]) WITH ORDINALITY AS %s(a, o)", alias)
	case n == 4 && len(arrays) > 0:
		offer(s, alias, []column{{"a", typeInt}, {"o::int", typeInt}})
		return fmt.Sprintf("unnest(%s) WITH ORDINALITY AS %s(a, o)", pick(g.Choices, arrays), alias)
	case n == 5 && len(documents) > 0:
		offer(s, alias, []column{{"x", typeJSON}, {"o::int", typeInt}})
		return fmt.Sprintf("jsonb_path_query(%s, '$.*') WITH ORDINALITY AS %s(x, o)", pick(g.Choices, documents), alias)
	}
	offer(s, alias, []column{{"a", typeInt}})
	return fmt.Sprintf("unnest(array[1, 2, 2, NULL]) AS %s(a)", alias)
}

// natural makes a natural join of two tables by their distribution columns, or by others.
func (g *generator) natural(s *scope) string {
	g.budget -= 2
	one, other, joined := g.name("s"), g.name("s"), g.name("s")
	key := pick(g.Choices, []string{"k", "k", "a", "b"})
	typ := typeInt
	if key == "b" {
		typ = typeText
	}
	kind := pick(g.Choices, []string{"NATURAL JOIN", "NATURAL LEFT JOIN", "NATURAL RIGHT JOIN", "NATURAL FULL JOIN"})
	text := fmt.Sprintf("(SELECT %s, id AS i1, n AS n1 FROM %s) AS %s %s (SELECT %s, id AS i2, e AS e2 FROM %s) AS %s",
		key, tables[g.N(len(tables))].name, one, kind, key, tables[g.N(len(tables))].name, other)
	all := []column{{key, typ}, {"i1", typeInt}, {"n1", typeNum}, {"i2", typeInt}, {"e2", typeEnum}}
	if g.Chance(40) {
		offer(s, joined, all)
		return fmt.Sprintf("(%s) AS %s", text, joined)
	}
	offer(s, one, all[:3])
	offer(s, other, []column{all[0], all[3], all[4]})
	return text
}

// offer adds the columns of a derived table to s.
func offer(s *scope, alias string, cols []column) {
	for _, c := range cols {
		s.atoms = append(s.atoms, atom{alias + "." + c.name, c.typ, true})
		s.identity = append(s.identity, alias+"."+c.name)
	}
}

// source makes one FROM item.
func (g *generator) source(s *scope, depth int) string {
	if depth <= 0 || g.budget <= 0 {
		return g.base(s)
	}
	switch g.N(11) {
	case 10: // all columns of a table
		inner := &scope{}
		from := g.base(inner)
		table, alias, _ := strings.Cut(from, " AS ")
		if strings.HasPrefix(table, "q") || strings.HasPrefix(table, "w") || strings.Contains(alias, " ") {
			break
		}
		where := ""
		if g.Chance(40) {
			where = g.where(inner, 1, false)
		}
		name := g.name("s")
		offer(s, name, columns)
		return fmt.Sprintf("(SELECT %s FROM %s%s) AS %s", pick(g.Choices, []string{"*", alias + ".*"}), from, where, name)
	case 7, 8:
		types := g.outputTypes()
		sub := g.query(nil, types, depth-1)
		alias := g.name("s")
		offer(s, alias, outputs(types))
		return fmt.Sprintf("(%s) AS %s", sub, alias)
	case 9:
		return g.rowSource(&scope{}, s)
	}
	return g.base(s)
}

// from makes a FROM clause of up to depth+1 items, and offers their columns to s.
func (g *generator) from(s *scope, depth int) string {
	if depth > 0 && g.budget > 1 && g.Chance(3) {
		return g.natural(s)
	}
	text := g.source(s, depth)
	for n := 0; n < 2 && g.budget > 0 && g.Chance([]int{35, 45, 55}[max(0, min(depth, 2))]-15*n); n++ {
		left := *s
		right := &scope{outer: s.outer}
		if g.Chance(8) {
			// LATERAL: a subquery over the items before it
			alias := g.name("s")
			inner := &scope{outer: &left}
			from := g.from(inner, 0)
			where := g.where(inner, 1, true)
			own := &scope{atoms: inner.atoms}
			var list, order string
			if g.Chance(50) {
				list = g.aggregateCall(own, typeInt, 1) + " AS c1, " + g.aggregateCall(own, typeText, 1) + " AS c2"
			} else {
				list = g.leaf(own, typeInt) + " AS c1, " + g.leaf(own, typeText) + " AS c2"
				order = " ORDER BY " + strings.Join(append([]string{"1", "2"}, inner.identity...), ", ") + " LIMIT 2"
			}
			offer(s, alias, []column{{"c1", typeInt}, {"c2", typeText}})
			lateral := fmt.Sprintf("LATERAL (SELECT %s FROM %s%s%s) AS %s", list, from, where, order, alias)
			if g.Chance(50) {
				text = fmt.Sprintf("%s LEFT JOIN %s ON true", text, lateral)
			} else {
				text = fmt.Sprintf("%s CROSS JOIN %s", text, lateral)
			}
			continue
		}
		if g.Chance(4) {
			text += " CROSS JOIN " + g.rowSource(&left, right)
			s.atoms = append(s.atoms, right.atoms...)
			s.identity = append(s.identity, right.identity...)
			continue
		}
		next := g.source(right, depth-1)
		kind := pick(g.Choices, []string{"JOIN", "JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", ","})
		on := ""
		if kind != "CROSS JOIN" && kind != "," {
			on = " ON " + g.joinCondition(&left, right, kind)
			if n == 0 && g.Chance(15) && len(left.atoms) >= len(columns) && len(right.atoms) >= len(columns) {
				on = " USING (" + pick(g.Choices, []string{"k", "k", "a", "b", "k, id"}) + ")"
				if strings.HasPrefix(on, " USING (k") && g.Chance(20) {
					alias := g.name("u")
					on += " AS " + alias
					s.atoms = append(s.atoms, atom{alias + ".k", typeInt, true})
				}
			}
		}
		s.atoms = append(s.atoms, right.atoms...)
		s.identity = append(s.identity, right.identity...)
		if kind == "," {
			return text + ", " + next // JOIN binds more tightly: what follows could not refer to what came before
		}
		text = fmt.Sprintf("%s %s %s%s", text, kind, next, on)
	}
	return text
}

// joinCondition ties two sides together.
func (g *generator) joinCondition(left, right *scope, kind string) string {
	t := pick(g.Choices, []valueType{typeInt, typeInt, typeInt, typeInt, typeText, typeNum, typeTime})
	l, r := left.of(t), right.of(t)
	if len(l) == 0 || len(r) == 0 {
		t = typeInt
		l, r = left.of(t), right.of(t)
	}
	cond := "true"
	if len(l) > 0 && len(r) > 0 {
		cond = fmt.Sprintf("%s = %s", g.keyOf(l), g.keyOf(r))
		if t == typeInt && g.Chance(8) {
			cond = pick(g.Choices, []string{"%s + 1 = %s", "%s = %s - 1", "abs(%s) = %s", "%s %% 3 = %s %% 3"})
			cond = fmt.Sprintf(cond, g.keyOf(l), g.keyOf(r))
		}
		if kind != "FULL JOIN" && g.Chance(7) {
			cond = fmt.Sprintf("%s %s %s", g.keyOf(l), pick(g.Choices, comparisons), g.keyOf(r))
		}
	}
	for g.Chance(25) {
		both := &scope{atoms: append(append([]atom{}, left.atoms...), right.atoms...), outer: left.outer}
		budget := g.budget
		if !g.Chance(25) {
			g.budget = 0 // no subqueries
		}
		cond += " AND " + g.condition(both, 1)
		if g.budget == 0 {
			g.budget = budget
		}
	}
	return cond
}

// outputs names the columns of a query of those types.
func outputs(types []valueType) []column {
	cols := make([]column, len(types))
	for i, t := range types {
		cols[i] = column{fmt.Sprintf("c%d", i+1), t}
	}
	return cols
}

func (g *generator) outputTypes() []valueType {
	types := []valueType{typeInt}
	for len(types) < 4 && g.Chance(55) {
		types = append(types, pick(g.Choices, []valueType{typeInt, typeText, typeNum, typeBool, typeTime, typeFloat, typeArray, typeJSON, typeEnum, typePair, typeRange}))
	}
	return types
}

// query makes a query with those output columns, called c1, c2, …; enclosing queries' columns are in outer, nil for none.
func (g *generator) query(outer *scope, types []valueType, depth int) string {
	if depth > 0 && g.budget > 1 && g.Chance(12) {
		op := pick(g.Choices, []string{"UNION ALL", "UNION", "INTERSECT", "EXCEPT", "EXCEPT ALL", "INTERSECT ALL"})
		left := g.selectQuery(outer, types, depth-1, false)
		right := g.selectQuery(outer, types, depth-1, false)
		return fmt.Sprintf("(%s) %s (%s)%s", left, op, right, g.orderLimit(types, false))
	}
	return g.selectQuery(outer, types, depth, true)
}

// orderLimit orders by all output columns, so that what LIMIT keeps is defined.
func (g *generator) orderLimit(types []valueType, always bool) string {
	if !always && !g.Chance(30) {
		return ""
	}
	order := make([]string, len(types))
	names := g.Chance(30)
	for i := range types {
		order[i] = fmt.Sprint(i + 1)
		if names {
			order[i] = "c" + order[i]
		}
		if g.Chance(30) {
			order[i] += pick(g.Choices, []string{" DESC", " NULLS FIRST", " DESC NULLS LAST", " ASC"})
		}
	}
	if len(order) > 1 && g.Chance(25) {
		order[0], order[1] = order[1], order[0]
	}
	text := " ORDER BY " + strings.Join(order, ", ")
	switch g.N(8) {
	case 6:
		if g.budget > 0 && g.Chance(30) {
			g.budget--
			bound := fmt.Sprintf("(SELECT %s FROM %s)", pick(g.Choices, []string{"count(*) / 4", "min(id)", "NULLIF(count(*), count(*))"}), tables[g.N(len(tables))].name)
			text += pick(g.Choices, []string{" LIMIT ", " OFFSET ", " LIMIT 5 OFFSET "}) + bound
		}
	case 1, 2:
		text += fmt.Sprintf(" LIMIT %d", g.N(8))
	case 3:
		text += fmt.Sprintf(" LIMIT %d OFFSET %d", 1+g.N(8), g.N(4))
	case 4:
		text += fmt.Sprintf(" OFFSET %d", g.N(5))
	case 5:
		text += fmt.Sprintf(" FETCH FIRST %d ROWS %s", 1+g.N(5), pick(g.Choices, []string{"ONLY", "WITH TIES"}))
	}
	return text
}

func (g *generator) selectQuery(outer *scope, types []valueType, depth int, tail bool) string {
	with := ""
	known := len(g.ctes)
	defer func() { g.ctes = g.ctes[:known] }()
	if depth > 0 && g.budget > 1 && g.Chance(10) {
		with = g.with(depth)
	}
	s := &scope{outer: outer}
	from := ""
	if g.Chance(3) {
		from = ""
	} else {
		from = " FROM " + g.from(s, depth)
	}
	where := ""
	if g.Chance(60) {
		where = g.where(s, depth, outer != nil)
	}
	if g.Chance(32) {
		return with + g.grouped(s, from, where, types, depth, tail)
	}
	window := g.Chance(12)
	outerWindow := g.window
	g.window = ""
	defer func() { g.window = outerWindow }()
	list := make([]string, len(types))
	for i, t := range types {
		if window && g.Chance(60) {
			list[i] = g.windowCall(s, t)
		} else if t == typeInt && i == len(types)-1 && !window && g.Chance(3) {
			list[i] = pick(g.Choices, []string{"generate_series(1, 2)", "unnest(array[1, NULL, 1])"})
		} else {
			list[i] = g.expr(s, t, depth)
		}
		list[i] += fmt.Sprintf("%s AS c%d", g.castFor(t, list[i]), i+1)
	}
	order := ""
	distinct := ""
	switch {
	case g.Chance(12):
		distinct = "DISTINCT "
	case tail && g.Chance(5):
		// DISTINCT ON needs a total order to be defined
		distinct = "DISTINCT ON (c1) "
		text := fmt.Sprintf("SELECT %s%s%s%s%s", strings.TrimSuffix(distinct, " "), " "+strings.Join(list, ", "), from, where, g.window)
		names := make([]string, len(types))
		for i := range types {
			names[i] = fmt.Sprint(i + 1)
		}
		return with + text + " ORDER BY " + strings.Join(names, ", ")
	}
	named := g.window
	if tail {
		order = g.orderLimit(types, false)
	}
	return fmt.Sprintf("%sSELECT %s%s%s%s%s%s", with, distinct, strings.Join(list, ", "), from, where, named, order)
}

// castFor makes sure that a constant at the top has its type: set operations and subqueries would leave it unknown.
func (g *generator) castFor(t valueType, e string) string {
	if t == typeText && strings.HasPrefix(e, "'") {
		return "::text"
	}
	return ""
}

// with makes one or two common table expressions that from may name.
func (g *generator) with(depth int) string {
	if g.Chance(12) {
		return g.recursive()
	}
	var parts []string
	for len(parts) == 0 || len(parts) < 2 && g.budget > 2 && g.Chance(40) {
		types := g.outputTypes()
		name := g.name("q")
		kind := pick(g.Choices, []string{"", "", "", "MATERIALIZED ", "NOT MATERIALIZED "})
		parts = append(parts, fmt.Sprintf("%s AS %s(%s)", name, kind, g.query(nil, types, depth-1)))
		g.ctes = append(g.ctes, item{name, outputs(types)})
	}
	return "WITH " + strings.Join(parts, ", ") + " "
}

// recursive makes a recursive common table expression that ends after a few rounds.
func (g *generator) recursive() string {
	name := g.name("q")
	first, next := tables[g.N(len(tables))].name, tables[g.N(len(tables))].name
	g.budget -= 2
	union := pick(g.Choices, []string{"UNION", "UNION", "UNION ALL"})
	join := pick(g.Choices, []string{"t.k = q.c1", "t.a = q.c1", "t.id = q.c1"})
	g.ctes = append(g.ctes, item{name, []column{{"c1", typeInt}, {"c2", typeInt}}})
	return fmt.Sprintf("WITH RECURSIVE %s(c1, c2) AS (SELECT s.%s, 0 FROM %s AS s WHERE s.id < %d %s SELECT t.%s, q.c2 + 1 FROM %s AS q JOIN %s AS t ON %s WHERE q.c2 < 2) ",
		name, pick(g.Choices, []string{"k", "a", "id"}), first, 2+g.N(6), union, pick(g.Choices, []string{"a", "k", "id"}), name, next, join)
}

// grouped makes an aggregating query.
func (g *generator) grouped(s *scope, from, where string, types []valueType, depth int, tail bool) string {
	var keys []string
	grouped := &scope{outer: s.outer}
	for len(keys) < 3 && g.Chance(60) {
		t := pick(g.Choices, []valueType{typeInt, typeInt, typeText, typeBool, typeNum, typeTime, typeArray, typeJSON, typeEnum, typePair, typeRange})
		var key string
		plain := true
		if own := s.of(t); len(own) == 0 || g.Chance(15) {
			budget := g.budget
			g.budget = 0
			key, plain = g.expr(&scope{atoms: s.atoms}, t, 1), false
			g.budget = budget
			if !strings.ContainsAny(key, "(") || len(own) == 0 {
				continue
			}
		} else if t == typeInt {
			key = g.keyOf(own)
		} else {
			key = pick(g.Choices, own)
		}
		if strings.Contains(key, "$") {
			continue
		}
		keys = append(keys, key)
		grouped.atoms = append(grouped.atoms, atom{key, t, plain})
	}
	group := ""
	sets := false
	if len(keys) > 0 {
		group = " GROUP BY " + strings.Join(keys, ", ")
		if g.Chance(12) {
			sets = true
			switch g.N(3) {
			case 0:
				group = " GROUP BY ROLLUP (" + strings.Join(keys, ", ") + ")"
			case 1:
				group = " GROUP BY CUBE (" + strings.Join(keys, ", ") + ")"
			case 2:
				group = " GROUP BY GROUPING SETS ((" + strings.Join(keys, ", ") + "), (" + keys[0] + "), ())"
			}
		}
	}
	inner := &scope{atoms: s.atoms, identity: s.identity}
	grouped.aggregate = func(t valueType, depth int) string { return g.aggregateCall(inner, t, depth) }
	list := make([]string, len(types))
	for i, t := range types {
		if sets && t == typeInt && g.Chance(30) {
			list[i] = fmt.Sprintf("grouping(%s)", strings.Join(keys, ", "))
		} else if t == typeInt && len(keys) > 0 && !sets && g.Chance(8) {
			// a window over the groups
			list[i] = fmt.Sprintf("%s OVER (%sORDER BY %s)::int", pick(g.Choices, []string{"rank()", "sum(count(*))", "row_number()", "lag(max(" + g.leaf(inner, typeInt) + "))"}),
				pick(g.Choices, []string{"", "PARTITION BY " + keys[0] + " "}), strings.Join(keys, ", "))
		} else if g.Chance(60) {
			list[i] = g.leafOrAggregate(grouped, t)
		} else {
			list[i] = g.expr(grouped, t, min(depth, 2))
		}
		list[i] += fmt.Sprintf("%s AS c%d", g.castFor(t, list[i]), i+1)
	}
	if len(keys) > 0 && !sets && g.Chance(15) { // group by an output column
		for i, t := range types {
			if t == grouped.atoms[0].typ {
				list[i] = fmt.Sprintf("%s AS c%d", keys[0], i+1)
				group = " GROUP BY " + strings.Join(append([]string{fmt.Sprint(i + 1)}, keys[1:]...), ", ")
				break
			}
		}
	}
	having := ""
	if g.Chance(25) {
		having = " HAVING " + g.condition(grouped, 1)
	}
	order := ""
	if tail {
		order = g.orderLimit(types, false)
	}
	distinct := ""
	if g.Chance(6) {
		distinct = "DISTINCT "
	}
	return fmt.Sprintf("SELECT %s%s%s%s%s%s%s", distinct, strings.Join(list, ", "), from, where, group, having, order)
}

func (g *generator) leafOrAggregate(s *scope, t valueType) string {
	if own := s.of(t); len(own) > 0 && g.Chance(50) {
		return pick(g.Choices, own)
	}
	return s.aggregate(t, 1)
}
