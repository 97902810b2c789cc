package difftest

import (
	"fmt"
	"slices"
	"strings"
)

// ChangeCase makes a batch of writes with transactions around some of them, and at its end reads whole tables.
func ChangeCase(c *Choices) []Statement {
	w := &writer{Choices: c}
	for len(w.steps) == 0 || len(w.steps) < 12 && c.Chance(85) {
		w.step()
	}
	if w.open {
		w.add(pick(c, []string{"COMMIT", "COMMIT", "COMMIT", "ROLLBACK"}))
	}
	for _, t := range tables {
		w.add("SELECT * FROM " + t.name)
	}
	return w.steps
}

// writer makes a batch's statements.
type writer struct {
	*Choices
	steps      []Statement
	open       bool // a transaction block
	savepoints []string
	ids        int
}

func (w *writer) add(sql string) {
	w.steps = append(w.steps, Statement{SQL: sql, Rules: Rules{CodeOnly: true, Loose: true}})
}

func (w *writer) step() {
	if w.Chance(20) {
		w.control()
		return
	}
	g := &generator{Choices: w.Choices, budget: 3, params: w.Chance(20)}
	t := &tables[w.N(len(tables))]
	var text string
	switch w.N(24) {
	case 20:
		text = w.merge(g, t)
	case 21, 22:
		text = w.modifyingWith(g, t)
	case 23:
		text = w.moveThrough(g, t)
	case 0, 1, 2, 3:
		text = w.insertValues(g, t)
	case 4, 5, 6:
		text = w.insertSelect(g, t)
	case 7, 8, 9, 10, 11, 12:
		text = w.update(g, t)
	case 13, 14, 15, 16:
		text = w.delete(g, t)
	case 17:
		text = g.query(nil, g.outputTypes(), 1)
	case 18:
		text = w.update(g, t)
		if w.Chance(20) {
			text = "TRUNCATE " + t.name
		}
	default:
		text = w.delete(g, t)
		if w.Chance(20) {
			text = w.merge(g, t)
		} else if w.Chance(20) {
			text = w.modifyingWith(g, t)
		}
	}
	st := Statement{SQL: text, Rules: Rules{CodeOnly: true, Loose: true}}
	if g.params {
		st.How = Extended
		for _, v := range g.values {
			st.Params = append(st.Params, []byte(v))
		}
	} else {
		st.How = pick(w.Choices, []Protocol{Simple, Simple, Extended, Binary})
	}
	w.steps = append(w.steps, st)
}

// control makes a statement of transaction control.
func (w *writer) control() {
	if !w.open {
		w.open, w.savepoints = true, nil
		w.add("BEGIN")
		return
	}
	switch w.N(6) {
	case 0:
		w.open = false
		w.add("COMMIT")
	case 1:
		w.open = false
		w.add("ROLLBACK")
	case 2, 3:
		name := fmt.Sprintf("s%d", len(w.savepoints)+1)
		w.savepoints = append(w.savepoints, name)
		w.add("SAVEPOINT " + name)
	default:
		if len(w.savepoints) == 0 {
			return
		}
		n := w.N(len(w.savepoints))
		if w.Chance(30) {
			w.add("RELEASE SAVEPOINT " + w.savepoints[n])
			w.savepoints = w.savepoints[:n]
		} else {
			w.add("ROLLBACK TO SAVEPOINT " + w.savepoints[n])
			w.savepoints = w.savepoints[:n+1]
		}
	}
}

// id is a number that no row has, or one that some row has.
func (w *writer) id() string {
	if w.Chance(25) {
		return fmt.Sprint(1 + w.N(12))
	}
	w.ids++
	return fmt.Sprint(100 + w.ids)
}

// chosen gives id, the key if any, and some other columns.
func (w *writer) chosen(t *table) []column {
	var list []column
	for _, c := range columns {
		if c.name == "id" || t.isSet(c.name) && !w.Chance(3) || w.Chance(35) {
			list = append(list, c)
		}
	}
	return list
}

func columnNames(list []column) string {
	names := make([]string, len(list))
	for i, c := range list {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}

func (w *writer) insertValues(g *generator, t *table) string {
	list := w.chosen(t)
	var rows []string
	for len(rows) == 0 || len(rows) < 6 && w.Chance(50) {
		values := make([]string, len(list))
		for i, c := range list {
			switch {
			case c.name == "id", t.name == "d3" && c.name == "k":
				values[i] = w.id()
			case !t.isSet(c.name) && w.Chance(8):
				values[i] = "DEFAULT"
			case !t.isSet(c.name) && w.Chance(6):
				values[i] = "NULL"
			case w.Chance(12):
				values[i] = g.expr(&scope{}, c.typ, 1)
			default:
				values[i] = g.constant(c.typ)
			}
		}
		rows = append(rows, "("+strings.Join(values, ", ")+")")
	}
	name := w.target(t)
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES %s%s%s", name, columnNames(list), strings.Join(rows, ", "), w.onConflict(g, t, name), w.returning(g, t, name))
}

// insertSelect takes the rows of a query with ids of their own.
func (w *writer) insertSelect(g *generator, t *table) string {
	list := w.chosen(t)
	s := &scope{}
	from := g.base(s)
	alias := from[strings.LastIndex(from, " ")+1:]
	values := make([]string, len(list))
	w.ids++
	for i, c := range list {
		switch {
		case c.name == "id" || t.name == "d3" && c.name == "k":
			values[i] = fmt.Sprintf("%s.id + %d", alias, pick(w.Choices, []int{100 * w.ids, 0, 100 * w.ids}))
		case t.isSet(c.name) && c.typ == typeInt && w.Chance(70):
			values[i] = fmt.Sprintf("coalesce(%s.%s, 3)", alias, pick(w.Choices, []string{c.name, "k", "a", "id"}))
		case t.isSet(c.name) && c.typ == typeText:
			values[i] = fmt.Sprintf("coalesce(%s.b, 'n')", alias)
		default:
			values[i] = g.expr(s, c.typ, 1)
		}
	}
	where := ""
	if w.Chance(60) {
		where = g.where(s, 1, false)
	}
	name := w.target(t)
	return fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s%s%s%s", name, columnNames(list), strings.Join(values, ", "), from, where, w.onConflict(g, t, name), w.returning(g, t, name))
}

// target is the table itself, or a view over it that can be written to.
func (w *writer) target(t *table) string {
	for _, v := range views {
		if v.query == "SELECT * FROM "+t.name && w.Chance(25) {
			return v.name
		}
	}
	return t.name
}

// moveThrough takes rows out of one table and puts what becomes of them into another, in one statement.
func (w *writer) moveThrough(g *generator, t *table) string {
	to := &tables[w.N(len(tables))]
	if to.name == t.name {
		return w.delete(g, t)
	}
	w.ids++
	list := []column{{"id", typeInt}, {"k", typeInt}, {"a", typeInt}, {"b", typeText}, {"n", typeNum}, {"t", typeTime}}
	id := fmt.Sprintf("m.id + %d", 100*w.ids)
	values := []string{id, "coalesce(m.k, 1)", "coalesce(m.a, 2)", "coalesce(m.b, 'x')", "coalesce(m.n, 1.00)", "coalesce(m.t, '2020-01-01 00:00:00+00')"}
	if to.name == "d3" {
		values[1] = id
	}
	condition := g.condition(&scope{atoms: tableAtoms(t.name)}, 1)
	return fmt.Sprintf("WITH m AS (DELETE FROM %s WHERE %s RETURNING *) INSERT INTO %s (%s) SELECT %s FROM m%s", t.name, condition, to.name, columnNames(list),
		strings.Join(values, ", "), pick(w.Choices, []string{"", " RETURNING id, k, b", " ON CONFLICT DO NOTHING"}))
}

func (w *writer) onConflict(g *generator, t *table, name string) string {
	if len(t.unique) == 0 || !w.Chance(35) {
		return ""
	}
	if w.Chance(40) {
		return pick(w.Choices, []string{" ON CONFLICT DO NOTHING", fmt.Sprintf(" ON CONFLICT (%s) DO NOTHING", strings.Join(t.unique, ", "))})
	}
	s := &scope{atoms: tableAtoms(name)}
	s.atoms = append(s.atoms, tableAtoms("excluded")...)
	budget := g.budget
	g.budget = 0
	defer func() { g.budget = budget }()
	text := fmt.Sprintf(" ON CONFLICT (%s) DO UPDATE SET %s", strings.Join(t.unique, ", "), w.assignments(g, s, t))
	if w.Chance(30) {
		text += " WHERE " + g.condition(s, 1)
	}
	return text
}

func tableAtoms(alias string) []atom {
	var atoms []atom
	for _, c := range columns {
		atoms = append(atoms, atom{alias + "." + c.name, c.typ, true})
	}
	return atoms
}

// assignments make SET lists. Unique columns stay, since the order of rows would matter; distribution columns mostly.
func (w *writer) assignments(g *generator, s *scope, t *table) string {
	var free []column
	for _, c := range columns {
		if c.name != "id" && !slices.Contains(t.unique, c.name) && (c.name != t.key || w.Chance(10)) {
			free = append(free, c)
		}
	}
	var sets []string
	used := map[string]bool{}
	for len(sets) == 0 || len(sets) < 3 && w.Chance(40) {
		c := pick(w.Choices, free)
		if used[c.name] {
			break
		}
		used[c.name] = true
		value := g.expr(s, c.typ, 2)
		switch {
		case w.Chance(5):
			value = "DEFAULT"
		case c.typ == typeInt && w.Chance(6):
			value = pick(w.Choices, []string{"nextval('drawn')::int * 0 + 4", "twice(id)", "(random() * 0)::int + 3"})
		}
		sets = append(sets, c.name+" = "+value)
	}
	return strings.Join(sets, ", ")
}

func (w *writer) returning(g *generator, t *table, alias string) string {
	switch w.N(4) {
	case 0, 1:
		return ""
	case 2:
		return " RETURNING *"
	}
	s := &scope{atoms: tableAtoms(alias)}
	return fmt.Sprintf(" RETURNING %s.id, %s AS c2, %s AS c3", alias, g.expr(s, typeInt, 1), g.expr(s, typeText, 1))
}

// uniqueJoin joins a table that has one row at most for each row of the changed one.
func (w *writer) uniqueJoin(g *generator, s *scope, alias string) (from, condition string) {
	g.budget--
	other := g.name("t")
	switch w.N(5) {
	case 0:
		from, condition = "d3 AS "+other, fmt.Sprintf("%s.k = %s.k", other, alias)
	case 1:
		from, condition = "r1 AS "+other, fmt.Sprintf("%s.id = %s.%s", other, alias, pick(w.Choices, []string{"a", "k", "id"}))
	case 2:
		from, condition = "l1 AS "+other, fmt.Sprintf("%s.id = %s.a", other, alias)
	case 3:
		from, condition = fmt.Sprintf("(SELECT k, count(*)::int AS id, max(a) AS a, min(b) AS b, bool_or(f) AS f, sum(n) AS n, max(t) AS t, sum(x) AS x, max(r) AS r, NULL::jsonb AS j, max(e) AS e, NULL::pair AS c, NULL::int4range AS g, max(s) AS s, max(z) AS z FROM %s GROUP BY k) AS %s",
			tables[w.N(len(tables))].name, other), fmt.Sprintf("%s.k = %s.%s", other, alias, pick(w.Choices, []string{"k", "a"}))
	default:
		from, condition = "d3 AS "+other, fmt.Sprintf("%s.k = %s.%s", other, alias, pick(w.Choices, []string{"a", "id"}))
	}
	s.atoms = append(s.atoms, tableAtoms(other)...)
	return from, condition
}

func (w *writer) update(g *generator, t *table) string {
	alias := g.name("t")
	s := &scope{atoms: tableAtoms(alias)}
	from, where := "", ""
	if w.Chance(25) {
		table, condition := w.uniqueJoin(g, s, alias)
		from, where = " FROM "+table, " WHERE "+condition
	}
	sets := w.assignments(g, s, t)
	where = w.conditions(g, s, where)
	return fmt.Sprintf("UPDATE %s AS %s SET %s%s%s%s", w.target(t), alias, sets, from, where, w.returning(g, t, alias))
}

func (w *writer) conditions(g *generator, s *scope, where string) string {
	if where == "" {
		if w.Chance(85) {
			return g.where(s, 2, false)
		}
		return ""
	}
	if w.Chance(60) {
		where += " AND " + g.condition(s, 1)
	}
	return where
}

func (w *writer) delete(g *generator, t *table) string {
	alias := g.name("t")
	s := &scope{atoms: tableAtoms(alias)}
	using, where := "", ""
	if w.Chance(25) {
		table, condition := w.uniqueJoin(g, s, alias)
		using, where = " USING "+table, " WHERE "+condition
	}
	where = w.conditions(g, s, where)
	return fmt.Sprintf("DELETE FROM %s AS %s%s%s%s", w.target(t), alias, using, where, w.returning(g, t, alias))
}

func (w *writer) modifyingWith(g *generator, t *table) string {
	var change string
	switch w.N(3) {
	case 0:
		change = w.delete(g, t)
	case 1:
		change = w.update(g, t)
	default:
		change = w.insertValues(g, t)
	}
	if at := strings.LastIndex(change, " RETURNING"); at >= 0 {
		change = change[:at]
	}
	return fmt.Sprintf("WITH m AS (%s RETURNING *) SELECT count(*), min(k), max(b) FROM m", change)
}

func (w *writer) merge(g *generator, t *table) string {
	from := fmt.Sprintf("(SELECT id, k, a, b FROM %s WHERE id < 5) AS s", tables[w.N(len(tables))].name)
	key := pick(w.Choices, []string{"id", "k"})
	if t.key != "" {
		key = t.key
	}
	matched := pick(w.Choices, []string{"DELETE", "DO NOTHING", "UPDATE SET f = true", "UPDATE SET n = 1"})
	if w.Chance(30) {
		matched = pick(w.Choices, []string{"DO NOTHING", "UPDATE SET f = NOT t.f", "DELETE"}) + " WHEN MATCHED AND t.b < s.b THEN " + matched
	}
	values := map[string]string{"k": "s.k", "a": "coalesce(s.a, 1)", "b": "coalesce(s.b, 'm')"}
	if t.key == "a" || t.key == "b" {
		values[t.key] = "s." + t.key // as it is compared
	}
	return fmt.Sprintf("MERGE INTO %s AS t USING %s ON t.%s = s.%s AND t.id = s.id WHEN MATCHED AND t.id %% 2 = 0 THEN %s WHEN NOT MATCHED THEN INSERT (id, k, a, b) VALUES (s.id + 500, %s, %s, %s)",
		t.name, from, key, key, matched, values["k"], values["a"], values["b"])
}
