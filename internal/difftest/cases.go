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
	text := g.query(nil, g.outputTypes(), 1+c.N(3))
	if strings.Contains(text, "min(") || strings.Contains(text, "max(") {
		// PostgreSQL 15 answers SELECT min(x) FROM t ORDER BY 1 FETCH FIRST ROW WITH TIES with an error where an index can find it
		text = strings.ReplaceAll(text, " WITH TIES", " ONLY")
	}
	st := Statement{SQL: text, Rules: Rules{Ordered: endsOrdered(text), CodeOnly: true, Loose: true}}
	if g.params {
		st.How = pick(c, []Protocol{Extended, Binary})
		for _, v := range g.values {
			st.Params = append(st.Params, []byte(v))
		}
		return []Statement{st}
	}
	st.How = pick(c, []Protocol{Simple, Simple, Simple, Extended, Binary})
	if !c.Chance(30) {
		return []Statement{st}
	}
	again := st
	again.SQL = otherConstants(st.SQL, 1+c.N(3))
	return []Statement{st, again}
}

// endsOrdered tells whether a query's last clause is ORDER BY over all its columns.
func endsOrdered(sql string) bool {
	at := strings.LastIndex(sql, " ORDER BY ")
	return at >= 0 && !strings.Contains(sql[at:], ")")
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
