-- Queries that the generator found to be answered wrongly, over its kind of tables.

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE d1 (id int NOT NULL, k int NOT NULL, b text, f boolean, s text COLLATE "en-x-icu", e mood, PRIMARY KEY (k, id));
CREATE TABLE d2 (id int NOT NULL, k int NOT NULL, b text, f boolean, s text COLLATE "en-x-icu", e mood);
CREATE TABLE x1 (id int NOT NULL, b text NOT NULL, k int, s text COLLATE "en-x-icu");
CREATE TABLE r1 (id int PRIMARY KEY, b text);
CREATE TABLE l1 (id int, k int, s text COLLATE "en-x-icu");
CREATE TABLE p1 (id int, k int NOT NULL, a int) PARTITION BY RANGE (a);
CREATE TABLE p1a PARTITION OF p1 FOR VALUES FROM (0) TO (3);
CREATE TABLE "p1 B" PARTITION OF p1 DEFAULT;

-- @gateway
SELECT create_distributed_table('d1', 'k', shard_count => 6);
-- @gateway
SELECT create_distributed_table('d2', 'k', colocate_with => 'd1');
-- @gateway
SELECT create_distributed_table('p1', 'k', colocate_with => 'd1');
-- @gateway
SELECT create_distributed_table('x1', 'b', shard_count => 4);
-- @gateway
SELECT create_reference_table('r1');

INSERT INTO d1 SELECT g, g % 9, chr(97 + g % 3), g % 4 = 0, (ARRAY['a', 'B', 'ab', 'ä', '0', 'zz', NULL])[1 + g % 7], (ARRAY['sad', 'ok', 'happy'])[1 + g % 3]::mood FROM generate_series(1, 26) AS g;
INSERT INTO d2 SELECT g, g % 5, chr(98 + g % 3), g % 3 = 0, (ARRAY['a', 'B', 'ab', 'ä', '0', 'zz', NULL])[1 + g % 7], 'ok' FROM generate_series(1, 12) AS g;
INSERT INTO x1 SELECT g, chr(97 + g % 5), g % 6, (ARRAY['a', 'B', 'ab', 'ä', 'zz'])[1 + g % 5] FROM generate_series(1, 15) AS g;
INSERT INTO r1 SELECT g, chr(97 + g) FROM generate_series(1, 6) AS g;
INSERT INTO l1 SELECT g, g % 4, (ARRAY['B', 'a'])[1 + g % 2] FROM generate_series(1, 5) AS g;
INSERT INTO p1 SELECT g, g % 7, g % 5 FROM generate_series(1, 14) AS g;

-- collations of columns in intermediate results

SELECT array_agg(DISTINCT t2.s)::text FROM d1 AS t1 JOIN d1 AS t2 USING (b);
-- @ordered
SELECT t1.k, t2.s, t2.id FROM l1 AS t1 CROSS JOIN d1 AS t2 ORDER BY 1, 2, 3;
SELECT rank() OVER (ORDER BY t1.s), t1.s FROM d1 AS t1 JOIN d1 AS t2 USING (b) WHERE t1.f;
SELECT max(t1.s) OVER (ORDER BY t1.s), t1.id FROM l1 AS t1 JOIN d1 AS t2 ON t1.k = t2.k;
SELECT t1.k, (SELECT string_agg(t6.s, ',' ORDER BY t6.s) FROM d1 AS t5 CROSS JOIN x1 AS t6 WHERE t5.id < 4) FROM d1 AS t1;
-- @ordered
(SELECT min(k) AS c1, string_agg(b, ',' ORDER BY b) AS c2 FROM d1 GROUP BY k) UNION (SELECT id, substr(s, 1, 2) FROM d1) ORDER BY 1, 2;
-- @ordered
(SELECT 0 AS c1, array_agg((id, s) ORDER BY id, s)::text AS c2 FROM d1 GROUP BY f) UNION ALL (SELECT k, b FROM d2) ORDER BY 1, 2;
-- @ordered
SELECT CASE WHEN s > 'a' THEN b ELSE 'B' END AS c, count(*) FROM d1 GROUP BY 1 ORDER BY 1;
-- @ordered
SELECT s COLLATE "C" AS c, count(*) FROM d1 GROUP BY 1 ORDER BY 1;
-- @ordered
SELECT q.c FROM (SELECT DISTINCT s COLLATE "C" AS c FROM d1) AS q CROSS JOIN l1 ORDER BY c;
SELECT (d1).s, max((d1).s), min(lower(d1.s) || d1.b) FROM d1 GROUP BY 1;

-- the side of LEFT JOIN ... USING that may be missing does not hold the distribution value

SELECT s2.k, count(*) FROM (SELECT k, id AS i1 FROM d1) AS s1 NATURAL LEFT JOIN (SELECT k, id AS i2 FROM d2) AS s2 GROUP BY s2.k;
SELECT DISTINCT t1.k FROM d2 AS t1 RIGHT JOIN d1 AS t2 USING (k);
SELECT count(*) OVER (PARTITION BY t1.k) FROM d2 AS t1 RIGHT JOIN d1 AS t2 USING (k);
SELECT id FROM d1 WHERE k NOT IN (SELECT t1.k FROM d2 AS t1 RIGHT JOIN d1 AS t2 USING (k) WHERE t1.k IS NOT NULL);

-- subqueries in LIMIT and OFFSET of set operations

-- @ordered
(SELECT 0 AS c1, f AS c2 FROM d1) UNION (SELECT k, f FROM d2) ORDER BY 1, 2 LIMIT (SELECT count(*) / 4 FROM d1);
(SELECT f FROM d1) UNION ALL (SELECT f FROM d2) ORDER BY 1 LIMIT (SELECT id FROM d1);
SELECT count(*) FROM ((SELECT k FROM d1) UNION ALL (SELECT k FROM d2) OFFSET (SELECT max(k) FROM d1)) AS q;

-- tableoid of what was read before the rest, of partitions, and of rows that are missing

SELECT p1.tableoid::regclass, count(*) FROM p1 GROUP BY 1;
SELECT d1.id, x1.tableoid::regclass, p1.tableoid::regclass FROM d1 LEFT JOIN x1 ON x1.id = d1.id LEFT JOIN p1 ON p1.id = x1.k WHERE d1.id < 9;
SELECT (SELECT count(*) FROM x1 AS t3 JOIN d2 AS t4 ON t3.id = t4.id AND t3.tableoid::regclass::text > t4.b) FROM d1 WHERE random() < 2;
SELECT v.a, r1.id FROM unnest(ARRAY[1, 2, 9]) AS v (a) LEFT JOIN r1 ON v.a = r1.id AND r1.tableoid::regclass::text <> 'x1' CROSS JOIN d2 WHERE d2.k = 1;

-- names of output columns in ORDER BY of a subquery, where an enclosing query has a column of that name

SELECT s6.m FROM (SELECT max(t1.b) AS m FROM d1 AS t1 JOIN d1 AS t2 USING (k) JOIN (SELECT count(*) AS c1 FROM d2) AS s4 ON t1.k < s4.c1 HAVING every(t1.f) IN (SELECT false AS c1 FROM d2 WHERE k = -1 ORDER BY c1)) AS s6;
SELECT max(k) = ANY (SELECT x1.k + d1.k FROM x1), k FROM d1 GROUP BY k;

-- aliases of subqueries below subqueries that enclosing queries have too

SELECT k, (SELECT (SELECT count(*) FROM d1 WHERE d1.id = q.a) FROM (SELECT d1.k AS a) AS q) FROM d1 GROUP BY k;
SELECT b, (SELECT (SELECT max(d2.id) FROM d2 WHERE d2.b = q.d1) FROM (SELECT d1.b AS d1) AS q) FROM d1 GROUP BY b;
SELECT f, (SELECT count(*) FROM x1 WHERE x1.k = (SELECT min(d1.k) FROM d2 AS d1 WHERE d1.f = x1.id > 3)) FROM d1 GROUP BY f;
SELECT (SELECT (SELECT count(*) FROM x1 WHERE x1.k = q.m) FROM (SELECT max(d1.k) AS m) AS q) FROM d1;

-- tasks of one statement do not wait for each other's locks of a reference table

SELECT t2.k, t1.b FROM r1 AS t1 JOIN d1 AS t2 ON t1.id % 3 = t2.k % 3 FOR UPDATE NOWAIT;

-- grouping by subqueries

SELECT (SELECT count(*) FROM d2 WHERE d2.k = d1.k), count(*) FROM d1 GROUP BY (SELECT count(*) FROM d2 WHERE d2.k = d1.k);

-- subqueries that are evaluated for each group, where grouping sets turn columns into NULLs

SELECT (SELECT count(*)::int FROM d1 AS t2 WHERE t2.k = t1.k) FROM d1 AS t1 WHERE t1.k IS NULL GROUP BY ROLLUP (t1.k, t1.k);
SELECT (SELECT count(*)::int FROM d1 AS t2 WHERE t2.k = t1.k) FROM d1 AS t1 GROUP BY ROLLUP (t1.k, t1.b);
SELECT k IN (SELECT k FROM d2), count(*) FROM d1 GROUP BY CUBE (k);
SELECT (SELECT count(*) FROM d2 WHERE d2.k = d1.k), rank() OVER (ORDER BY d1.k) FROM d1 GROUP BY d1.k;
SELECT (SELECT count(*) FROM d2 WHERE d2.k = d1.k) AS n, max(b) FROM d1 GROUP BY ROLLUP ((SELECT count(*) FROM d2 WHERE d2.k = d1.k));
-- @ordered
SELECT k, sum(id) FROM d1 GROUP BY GROUPING SETS ((k), (k), ()) HAVING EXISTS (SELECT FROM d2 WHERE d2.k = d1.k) ORDER BY (SELECT max(id) FROM d2 WHERE d2.k = d1.k), 1;

-- a condition of an inner join on what an outer join below it may lack

SELECT t1.id AS c1, t1.b AS c2 FROM d1 AS t1 LEFT JOIN d1 AS t2 ON t1.n = t2.n JOIN d1 AS t3 ON t1.k = t3.k AND (t2.n IS NULL);
SELECT t1.id, t2.id FROM (d1 AS t2 RIGHT JOIN d2 AS t1 ON t1.n = t2.n) JOIN d1 AS t3 ON t1.k = t3.k AND t2.id IS NULL;

-- subqueries that call their tables as plans call rows

SELECT max(k) OVER (), (SELECT t.b FROM r1 AS t WHERE t.id = d1.k) FROM d1;
SELECT k, count(*), (SELECT t.b FROM r1 t WHERE t.id = d1.k) FROM d1 GROUP BY ROLLUP (k);
SELECT e, (SELECT count(*) FROM l1 AS t CROSS JOIN r1 AS t1 WHERE t.s > d1.e::text) FROM d1 GROUP BY e;
SELECT f, (SELECT count(*) FROM (SELECT id AS c1 FROM r1) AS t WHERE t.c1 > count(d1.k)) FROM d1 GROUP BY f;
