package difftest

import (
	"fmt"
	"regexp"
	"strings"
)

// SelectCase makes a query over the generator's tables, sometimes followed by the same query with other constants, for which
// the gateway may use the first one's plan.
func SelectCase(c *Choices) []Statement {
	g := &generator{Choices: c, budget: 2 + c.N(5)}
	g.params = c.Chance(25)
	var text string
	if c.Chance(3) {
		text = g.locking()
	} else {
		text = g.query(nil, g.outputTypes(), 1+c.N(3))
	}
	if strings.Contains(text, "min(") || strings.Contains(text, "max(") {
		// PostgreSQL 15 answers SELECT min(x) FROM t ORDER BY 1 FETCH FIRST ROW WITH TIES with an error where an index can find it
		text = strings.ReplaceAll(text, " WITH TIES", " ONLY")
	}
	st := Statement{SQL: text, Rules: Rules{Ordered: endsOrdered(text), CodeOnly: true, Loose: true}}
	if g.params {
		st.How = pick(c, []Protocol{Extended, Binary, Named})
		for _, v := range g.values {
			st.Params = append(st.Params, []byte(v))
		}
		return []Statement{st}
	}
	if c.Chance(3) {
		return prepared(st)
	}
	st.How = pick(c, []Protocol{Simple, Simple, Simple, Extended, Binary, Named})
	if !c.Chance(30) {
		return []Statement{st}
	}
	again := st
	again.SQL = otherConstants(st.SQL, 1+c.N(3))
	return []Statement{st, again}
}

// prepared wraps a query as a statement prepared by SQL and run often enough that PostgreSQL may turn to a generic plan.
func prepared(query Statement) []Statement {
	with := func(sql string) Statement {
		st := query
		st.SQL = sql
		return st
	}
	steps := []Statement{with("DEALLOCATE ALL"), with("PREPARE q AS " + query.SQL)}
	for range 6 {
		steps = append(steps, with("EXECUTE q"))
	}
	return append(steps, with("DEALLOCATE q"))
}

// locking makes a query that locks the rows it gives. It takes no views: which outer joins stay outer ones is PostgreSQL's
// planner's to say, which refuses to lock the side that may be missing.
func (g *generator) locking() string {
	s := &scope{}
	from := g.table(s)
	if g.Chance(40) {
		right := &scope{}
		next := g.table(right)
		from += " JOIN " + next + " ON " + g.joinCondition(s, right, "JOIN")
		s.atoms = append(s.atoms, right.atoms...)
	}
	alias := strings.Fields(from[strings.Index(from, " AS ")+4:])[0]
	where := ""
	if g.Chance(60) {
		where = g.where(s, 1, false)
	}
	strength := pick(g.Choices, []string{"UPDATE", "SHARE", "NO KEY UPDATE", "KEY SHARE"}) + pick(g.Choices, []string{"", " OF " + alias}) +
		pick(g.Choices, []string{"", " NOWAIT", " SKIP LOCKED"})
	return fmt.Sprintf("SELECT %s AS c1, %s AS c2 FROM %s%s%s FOR %s", g.leaf(s, typeInt), g.leaf(s, typeText), from, where,
		pick(g.Choices, []string{"", " ORDER BY 1, 2", " ORDER BY 1, 2 LIMIT 5"}), strength)
}

// endsOrdered tells whether a query's last clause is ORDER BY over all its columns.
func endsOrdered(sql string) bool {
	at := strings.LastIndex(sql, " ORDER BY ")
	return at >= 0 && !strings.ContainsAny(sql[at:], ")(") && !strings.Contains(sql[at:], " FOR ")
}

var constantPattern = regexp.MustCompile(`(= |IN \(|, |LIMIT |OFFSET )(-?\d+|'(?:a|b|B|ab|zz)')([ ,)]|$)`)

// otherConstants puts other values in place of some constants, leaving the statement's shape as it is.
func otherConstants(sql string, shift int) string {
	at := strings.LastIndex(sql, " ORDER BY ")
	if at < 0 || !endsOrdered(sql) {
		at = len(sql)
	}
	texts := []string{"'a'", "'b'", "'B'", "'ab'", "'zz'"}
	changed := constantPattern.ReplaceAllStringFunc(sql[:at], func(m string) string {
		parts := constantPattern.FindStringSubmatch(m)
		value := parts[2]
		if parts[1] == "LIMIT " && parts[3] == ")" {
			return m // LIMIT 1 may be what makes a subquery a value
		}
		if value[0] == '\'' {
			for i, t := range texts {
				if t == value {
					value = texts[(i+shift)%len(texts)]
					break
				}
			}
		} else if parts[1] != ", " {
			n := 0
			fmt.Sscan(value, &n)
			value = fmt.Sprint((max(n, 0) + shift) % 9)
		}
		return parts[1] + value + parts[3]
	})
	return changed + sql[at:]
}
