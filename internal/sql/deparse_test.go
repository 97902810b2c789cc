package sql

import (
	"strings"
	"testing"
)

// forms are kinds of expressions; @ is an operand's place.
var forms = []string{
	"@ + @", "- @", "@ = @", "@ <> @", "@ < @", "@ || @", "@ ~~ @", "@ -> @", "~ @", "@ OPERATOR(pg_catalog.+) @",
	"@ AND @", "@ OR @", "NOT @",
	"@ IS NULL", "@ IS NOT NULL", "@ IS TRUE", "@ IS NOT FALSE", "@ IS UNKNOWN", "@ IS DISTINCT FROM @", "@ IS NOT DISTINCT FROM @",
	"@ BETWEEN @ AND @", "@ NOT BETWEEN @ AND @", "@ BETWEEN SYMMETRIC @ AND @", "@ NOT BETWEEN SYMMETRIC @ AND @",
	"@ LIKE @", "@ NOT LIKE @ ESCAPE @", "@ ILIKE @", "@ SIMILAR TO @", "@ IN (@, @)", "@ NOT IN (@)", "@ = ANY (@)", "@ <> ALL (@)",
	"@ IN (SELECT @)", "@ NOT IN (SELECT @)", "@ < ANY (SELECT @)", "EXISTS (SELECT @)", "(SELECT @)", "ARRAY(SELECT @)", "ARRAY[@, @]",
	"(@)[1]", "(@)[@:@]", "(@).f", "@::int", "@::varchar(3)", "CAST(@ AS int)", "@ COLLATE \"C\"", "@ AT TIME ZONE @",
	"CASE WHEN @ THEN @ ELSE @ END", "CASE @ WHEN @ THEN @ END", "COALESCE(@, @)", "NULLIF(@, @)", "GREATEST(@, @)", "f(@)", "s.f(@, x => @)",
	"count(*)", "count(DISTINCT @)", "string_agg(@, @ ORDER BY @ DESC)", "sum(@) FILTER (WHERE @)", "mode() WITHIN GROUP (ORDER BY @)",
	"sum(@) OVER (PARTITION BY @ ORDER BY @ ROWS BETWEEN @ PRECEDING AND CURRENT ROW)", "ROW(@, @)", "(@, @) = (@, @)", "(@, @) IN (SELECT @, @)",
	"extract(year FROM @)", "substring(@ FROM @ FOR @)", "position(@ IN @)", "trim(both @ from @)", "overlay(@ placing @ from @)",
	"1", "-1", "1.5", "'x'", "E'a\\\\b'", "NULL", "true", "$1", "a", "t.a", "t.*", "interval '1 day'", "date '2020-01-01'", "B'01'", "X'1F'",
	"interval '1' year", "(a).b.c", "a[1]", "current_date", "current_timestamp", "localtime(2)", "current_user", "@ IS DOCUMENT", "xmlelement(name x, @)",
	"@ IS JSON", "@ IS NORMALIZED", "json_object(@ : @)", "grouping(a, b)", "@ OVERLAPS @", "@ ^ @", "@ <-> @", "@ !~ @", "@ IS OF (int)",
}

// TestDeparseNested puts every kind of expression into every place of every other and proves that deparsing keeps its meaning.
func TestDeparseNested(t *testing.T) {
	t.Parallel()
	fill := func(form string, place int, inner string) string {
		var b strings.Builder
		n := 0
		for _, c := range form {
			switch {
			case c != '@':
				b.WriteRune(c)
				continue
			case n == place:
				b.WriteString("(" + inner + ")")
			default:
				b.WriteString("o")
			}
			n++
		}
		return b.String()
	}
	for _, outer := range forms {
		for place := range strings.Count(outer, "@") {
			for _, form := range forms {
				inner := strings.ReplaceAll(form, "@", "i")
				text := "SELECT " + fill(outer, place, inner) + " FROM t"
				first, err := Parse(text)
				if err != nil {
					continue
				}
				again, err := Deparse(first[0].Tree)
				if err != nil {
					t.Errorf("%s: %v", text, err)
					continue
				}
				second, err := Parse(again)
				if err == nil {
					if Equal(first[0].Tree, second[0].Tree) {
						continue
					}
				}
				t.Errorf("%s\nbecomes\n%s\n%v", text, again, err)
			}
		}
	}
}

// TestDeparseStatements proves the same of whole statements.
func TestDeparseStatements(t *testing.T) {
	t.Parallel()
	for _, text := range strings.Split(strings.TrimSpace(statements), "\n") {
		first, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		again, err := Deparse(first[0].Tree)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		second, err := Parse(again)
		if err != nil || !Equal(first[0].Tree, second[0].Tree) {
			t.Errorf("%s\nbecomes\n%s\n%v", text, again, err)
		}
	}
}

const statements = `
SELECT
SELECT ALL a FROM t
SELECT DISTINCT a, b FROM t
SELECT DISTINCT ON (a, b + 1) c FROM t ORDER BY a, b + 1 DESC NULLS LAST
SELECT a AS "Ä b", "select", "A"."B" FROM "S"."A" AS "A"
SELECT * FROM ONLY t, u AS v (x, y), LATERAL (SELECT 1) AS w (z)
SELECT * FROM (SELECT 1) AS s, (VALUES (1, 'a'), (2, NULL)) AS v (a, b)
SELECT * FROM t TABLESAMPLE bernoulli (10) REPEATABLE (3)
SELECT * FROM generate_series(1, 3) WITH ORDINALITY AS g (a, b)
SELECT * FROM ROWS FROM (f(1), g(2) AS (a int, b text)) WITH ORDINALITY
SELECT * FROM f(1) AS x (a int, b text COLLATE "C")
SELECT * FROM a JOIN b ON a.x = b.x LEFT JOIN c USING (x, y) AS j RIGHT JOIN d ON true FULL JOIN e ON e.a = d.a CROSS JOIN g NATURAL JOIN h
SELECT * FROM a JOIN (b LEFT JOIN c ON b.x = c.x) ON a.x = b.x
SELECT * FROM (a JOIN b USING (x)) AS j JOIN c USING (x)
SELECT * FROM a, b LEFT JOIN c ON b.x = c.x
SELECT * FROM (a CROSS JOIN b) LEFT JOIN (c CROSS JOIN d) ON a.x = d.x
SELECT * FROM a NATURAL LEFT JOIN b NATURAL FULL JOIN c
SELECT a FROM t WHERE a = 1 GROUP BY a, (b, c), (), ROLLUP (d, (e, f)), CUBE (g), GROUPING SETS ((h), (), ROLLUP (i)) HAVING count(*) > 1
SELECT a FROM t GROUP BY DISTINCT ROLLUP (a), CUBE (a)
SELECT sum(a) OVER w, sum(a) OVER (w ROWS 2 PRECEDING EXCLUDE TIES), sum(a) OVER (w RANGE BETWEEN interval '1 day' PRECEDING AND UNBOUNDED FOLLOWING) FROM t WINDOW w AS (PARTITION BY a ORDER BY b DESC), v AS (w)
SELECT sum(a) OVER (GROUPS BETWEEN CURRENT ROW AND 3 FOLLOWING EXCLUDE CURRENT ROW), count(*) OVER () FROM t
SELECT a FROM t ORDER BY a USING >, b COLLATE "C" ASC NULLS FIRST, 3 LIMIT 10 OFFSET 5
SELECT a FROM t LIMIT ALL
SELECT a FROM t OFFSET 3 LIMIT (SELECT 1 + 2)
SELECT a FROM t ORDER BY a FETCH FIRST 3 ROWS WITH TIES
SELECT a FROM t ORDER BY a FETCH FIRST (1 + 2) ROWS WITH TIES
SELECT a FROM t FETCH FIRST ROW ONLY
SELECT a FROM t FOR UPDATE OF t NOWAIT FOR SHARE SKIP LOCKED
SELECT a FROM t FOR NO KEY UPDATE FOR KEY SHARE OF u
SELECT 1 UNION SELECT 2 UNION ALL SELECT 3
SELECT 1 UNION (SELECT 2 UNION ALL SELECT 3)
SELECT 1 UNION ALL SELECT 2 INTERSECT SELECT 3 EXCEPT ALL SELECT 4
(SELECT 1 UNION ALL SELECT 2) INTERSECT (SELECT 3 EXCEPT SELECT 4)
SELECT 1 EXCEPT (SELECT 2 EXCEPT SELECT 3)
(SELECT 1 ORDER BY 1 LIMIT 1) UNION ALL (SELECT 2 ORDER BY 1 LIMIT 1) ORDER BY 1 LIMIT 2
(SELECT 1 LIMIT 1) UNION SELECT 2
SELECT 1 UNION (SELECT 2 FOR UPDATE)
(WITH a AS (SELECT 1) SELECT * FROM a) UNION ALL (WITH a AS (SELECT 2) SELECT * FROM a)
WITH a AS (SELECT 1), b (x, y) AS MATERIALIZED (SELECT 2, 3), c AS NOT MATERIALIZED (VALUES (1)) SELECT * FROM a, b, c
WITH a AS (SELECT 1) (SELECT 1 UNION SELECT 2) ORDER BY 1
WITH RECURSIVE a (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a WHERE n < 3) SEARCH DEPTH FIRST BY n SET o CYCLE n SET c TO true DEFAULT false USING p SELECT * FROM a
WITH d AS (DELETE FROM t RETURNING *), i AS (INSERT INTO t SELECT 1 RETURNING a), u AS (UPDATE t SET a = 1 RETURNING b) SELECT * FROM d, i, u
VALUES (1, 'a'), (2, DEFAULT) ORDER BY 1 LIMIT 1
TABLE t
SELECT a INTO TEMP x FROM t
SELECT (SELECT 1 UNION SELECT 2), ARRAY(SELECT 1 ORDER BY 1), EXISTS (VALUES (1)), a IN (VALUES (1), (2))
SELECT f(VARIADIC a), f(a => 1, b := 2), f(DISTINCT a), "F"(1), pg_catalog.sum(a), f(ALL a)
SELECT ((t).f).g[1:2].h, (f(1)).*, (SELECT 1).a, (ROW(1, 2)).f1, t.a[1][2], (ARRAY[1])[1], $1.a, ($1)[2]
SELECT ARRAY[[1, 2], [3, 4]], '{1}'::int[][], a::varchar(3)[], a::numeric(10, 2), a::timestamp(3) with time zone, a::bit varying(3), a::char, a::"char", a::"MyType"
SELECT interval '1 day', interval(3) '1 second', interval '1' day to second, date 'x', time with time zone '01:00', 'x'::pg_catalog.text, int '3', bit '101'
SELECT a -> 'b' ->> 'c' #> '{d}', a @> b, a ?| b, -a, - -a, + a, !! a, a ^ b ^ c, a - (b - c), a - b - c, (a = b) = c, a % b * c, a << 1 | 2
SELECT - (1), -1 + 2, 2 - -1, (-1) ^ 2, -1::int, (-1)::int, '-1'::int, -(a + b), -9223372036854775808, 1e10, .5, 1., 0x1F, 1_000
SELECT NOT a AND b OR c, NOT (a AND b), (a OR b) AND c, a OR b AND c, NOT NOT a, (NOT a) = b, NOT a = b
SELECT a IS NULL AND b, (a AND b) IS NULL, a IS NULL IS NULL, (a = b) IS TRUE, a = (b IS TRUE), a || (b IS NULL)
SELECT CASE a WHEN 1 THEN 2 END, CASE WHEN a THEN b WHEN c THEN d ELSE e END, CASE WHEN a THEN CASE WHEN b THEN c END END
SELECT coalesce(a, 1), nullif(a, b), greatest(a, b), least(a), xmlconcat(a, b), xmlforest(a, b AS c), xmlparse(document a), xmlserialize(content a AS text), xmlelement(name x, xmlattributes(a AS b), c)
SELECT current_date, current_time(2), current_timestamp, localtimestamp(3), current_role, session_user, user, current_catalog, current_schema
SELECT extract(epoch FROM a), position('a' IN b), substring(a FROM 1 FOR 2), substring(a FROM 'x'), substring(a SIMILAR 'x' ESCAPE 'y'), trim(a), trim(leading 'x' FROM a), overlay(a PLACING b FROM 1 FOR 2), normalize(a, nfc), collation for (a), a AT TIME ZONE 'UTC', a AT LOCAL, (a, b) OVERLAPS (c, d)
SELECT json_object('a' : 1, 'b' : 2 ABSENT ON NULL), json_array(1, 2 NULL ON NULL), json_objectagg(a : b), json_arrayagg(a ORDER BY b RETURNING jsonb), a IS JSON OBJECT WITH UNIQUE KEYS, json_array(SELECT 1)
SELECT string_agg(DISTINCT a, ',' ORDER BY a) FILTER (WHERE a > 'b'), percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY a), count(*) FILTER (WHERE b) OVER (PARTITION BY c), grouping(a, b)
SELECT 'it''s', E'a\\b\n', U&'\0041', $$dollar$$, $x$a$$b$x$, '', B'101', X'1F', N'x'
SELECT a LIKE 'x' ESCAPE '!', a NOT ILIKE b, a SIMILAR TO 'x' ESCAPE '!', a NOT SIMILAR TO b, a ~ b, a BETWEEN SYMMETRIC b AND c, a NOT BETWEEN b AND c
SELECT (a, b) < (c, d), ROW(a) = ROW(b), (a, b) IN ((1, 2), (3, 4)), ROW() IS NULL, (a, b) IS DISTINCT FROM (c, d), ROW(t.*) , (a, b) = ANY (SELECT 1, 2), a = SOME (b)
SELECT a OPERATOR(pg_catalog.=) b, OPERATOR(pg_catalog.-) a, a OPERATOR(s.@@) ANY (b), a COLLATE "de_DE" < b, a COLLATE pg_catalog."C" || b
INSERT INTO t DEFAULT VALUES
INSERT INTO t AS x (a, b.c, d[1]) VALUES (1, DEFAULT, '{}') RETURNING *
INSERT INTO t (a) OVERRIDING SYSTEM VALUE SELECT 1 ON CONFLICT DO NOTHING
INSERT INTO t SELECT 1 ON CONFLICT (a, lower(b) COLLATE "C" text_ops) WHERE c DO UPDATE SET a = excluded.a + 1, (b, c) = (SELECT 1, 2) WHERE t.a > 1 RETURNING a AS x, t.*
INSERT INTO t VALUES (1) ON CONFLICT ON CONSTRAINT t_pkey DO UPDATE SET a = DEFAULT
WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a
INSERT INTO t (WITH a AS (SELECT 1) SELECT * FROM a)
INSERT INTO t (a) (SELECT 1 UNION ALL SELECT 2) ORDER BY 1
UPDATE ONLY t AS x SET a = 1, b.c = DEFAULT, d[1] = 2, (e, f) = (1, DEFAULT), (g, h) = (SELECT 1, 2), (i) = ROW(1) FROM u, v WHERE x.a = u.a RETURNING x.*
UPDATE t SET a = a + 1 WHERE CURRENT OF c
WITH a AS (SELECT 1) UPDATE t SET a = (SELECT * FROM a)
DELETE FROM t AS x USING u JOIN v ON u.a = v.a WHERE x.a = u.a RETURNING *
WITH a AS (SELECT 1) DELETE FROM t WHERE a IN (TABLE a)
MERGE INTO t AS x USING (SELECT 1 AS a) AS s ON x.a = s.a WHEN MATCHED AND x.b > 1 THEN UPDATE SET b = s.a, c = DEFAULT WHEN MATCHED THEN DELETE WHEN NOT MATCHED AND s.a > 1 THEN INSERT (a, b) VALUES (s.a, DEFAULT) WHEN NOT MATCHED THEN DO NOTHING
MERGE INTO ONLY t USING u ON true WHEN NOT MATCHED THEN INSERT DEFAULT VALUES WHEN MATCHED THEN DO NOTHING
CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1 AS a WITH NO DATA
CREATE TABLE IF NOT EXISTS s.t (a, b) WITH (fillfactor = 70) TABLESPACE x AS VALUES (1, 2)
CREATE VIEW v (a) AS SELECT (b OR c) IS NULL FROM t WITH CHECK OPTION
CREATE TABLE t (a int DEFAULT (1 + 2), b bool DEFAULT ((1 = 2) IS TRUE), c text COLLATE "C" NOT NULL, d int GENERATED ALWAYS AS (a * 2) STORED, e int GENERATED BY DEFAULT AS IDENTITY (START 5), CHECK ((a > 1 OR b) IS TRUE), UNIQUE (a, c), EXCLUDE USING gist (a WITH =) WHERE (b))
CREATE INDEX ON t USING btree (((a + b)) DESC NULLS LAST, lower(c) COLLATE "C" text_pattern_ops) INCLUDE (d) WHERE (a OR b) IS NULL
ALTER TABLE t ALTER a TYPE int USING (a::int + 1), ADD CHECK (a IN (1, 2)), ALTER b SET DEFAULT ((1 = 2) IS NULL), ADD COLUMN IF NOT EXISTS e text DEFAULT 'x'
PREPARE p (int, text) AS SELECT $1, $2
EXECUTE p (1 + 2, 'x')
DECLARE c INSENSITIVE SCROLL CURSOR WITH HOLD FOR SELECT 1
EXPLAIN (ANALYZE, FORMAT json) SELECT 1
COPY (SELECT a FROM t) TO STDOUT WITH (FORMAT csv, HEADER, DELIMITER ';')
COPY t (a, b) FROM STDIN WITH (FORMAT text, NULL 'x') WHERE (a OR b) IS NULL
`

func TestOperandsGoWhereTheirNamesAre(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text     string
		operands []string
		want     string // "" for an error
	}{
		{`a = "{{operand 1}}" AND "{{operand 0}}" = b`, []string{"(x)", "(y)"}, `a = (y) AND (x) = b`},
		{`a`, nil, `a`},
		{`"{{operand x}}" = "{{operand 0}}" + "{{operand 7}}"`, []string{"(x)"}, `"{{operand x}}" = (x) + "{{operand 7}}"`},
		{`"{{operand 0}}" = "{{operand 0}}"`, []string{"(x)"}, ""},
		{`"{{operand 0}}"`, []string{"(x)", "(y)"}, ""},
	} {
		got, err := putIn(c.text, c.operands)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: %q, %v", c.text, got, err)
		}
	}
}
