-- What other sharded PostgreSQLs refuse or get wrong in queries, by the numbers of a list that the project keeps: d and e are
-- co-located on k, x is distributed otherwise, r is a reference table and l a local one. Every answer is plain PostgreSQL's.

CREATE TABLE d (k int NOT NULL, v int, t text, PRIMARY KEY (k));
CREATE TABLE e (k int NOT NULL, v int);
CREATE TABLE x (k text NOT NULL, v int);
CREATE TABLE r (id int PRIMARY KEY, v int, name text);
CREATE TABLE l (id int, v int, note text);

-- @gateway
SELECT create_distributed_table('d', 'k', shard_count => 6);
-- @gateway
SELECT create_distributed_table('e', 'k', colocate_with => 'd');
-- @gateway
SELECT create_distributed_table('x', 'k', shard_count => 4);
-- @gateway
SELECT create_reference_table('r');

INSERT INTO d SELECT g, nullif(g % 7, 3), chr(97 + g % 5) FROM generate_series(1, 40) g;
INSERT INTO e SELECT g % 25, g % 9 FROM generate_series(1, 60) g;
INSERT INTO x SELECT 'x' || g % 11, nullif(g % 8, 5) FROM generate_series(1, 30) g;
INSERT INTO r SELECT g, nullif(g % 5, 2), 'r' || g FROM generate_series(1, 12) g;
INSERT INTO l SELECT g % 10, g % 4, 'l' || g FROM generate_series(1, 14) g;

-- 1: GROUPING SETS, ROLLUP, CUBE and grouping() over several shards

SELECT v, t, count(*), grouping(v, t) FROM d GROUP BY ROLLUP (v, t);
SELECT v, t, sum(k), grouping(v), grouping(t) FROM d GROUP BY CUBE (v, t);
SELECT k % 3 AS m, t, max(v), avg(k) FROM d GROUP BY GROUPING SETS ((k % 3), (t), (k % 3, t), ());
SELECT k, v, count(*) FROM e GROUP BY GROUPING SETS ((k, v), (k), ()) HAVING count(*) > 1;
SELECT d.t, x.v, count(DISTINCT d.k), array_agg(d.k ORDER BY d.k) FROM d JOIN x ON d.v = x.v GROUP BY CUBE (d.t, x.v);
-- @ordered
SELECT grouping(t) AS g, t, count(*) FROM d GROUP BY ROLLUP (t) ORDER BY g, t;
SELECT v, grouping(v), count(*) FROM d GROUP BY ROLLUP (v), ROLLUP (t);

-- 2: WITH RECURSIVE

WITH RECURSIVE c AS (SELECT k, v, 1 AS n FROM d WHERE k < 4 UNION ALL SELECT d.k, d.v, c.n + 1 FROM c JOIN d ON d.k = c.k + 5 WHERE c.n < 5) SELECT * FROM c;
WITH RECURSIVE c (k) AS (SELECT 1 UNION SELECT e.v FROM e JOIN c ON e.k = c.k) SELECT k FROM c;
WITH RECURSIVE tree AS (SELECT id, v, ARRAY[id] AS path FROM r WHERE v IS NULL UNION ALL SELECT d.k, d.v, path || d.k FROM tree JOIN d ON d.v = tree.id % 7 AND d.k < 20 WHERE cardinality(path) < 3) SELECT * FROM tree;
SELECT d.k, (WITH RECURSIVE c AS (SELECT d.k AS n UNION ALL SELECT n / 2 FROM c WHERE n > 1) SELECT count(*) FROM c) FROM d;
WITH RECURSIVE c AS (SELECT k FROM d WHERE k = 1 UNION ALL SELECT k + 1 FROM c WHERE k < 5) SEARCH DEPTH FIRST BY k SET s SELECT c.k, x.v FROM c LEFT JOIN x ON x.v = c.k;

-- 3: row locks over several shards

BEGIN;
SELECT k, v FROM d WHERE v = 1 FOR UPDATE;
SELECT d.k, e.v FROM d JOIN e USING (k) WHERE d.v = 2 FOR UPDATE OF d;
SELECT d.k, x.v FROM d JOIN x ON d.v = x.v FOR SHARE;
-- @ordered
SELECT k FROM d ORDER BY v DESC NULLS LAST, k LIMIT 3 FOR NO KEY UPDATE SKIP LOCKED;
SELECT k FROM d WHERE k IN (SELECT v FROM x) FOR KEY SHARE NOWAIT;
SELECT * FROM (SELECT k, v FROM d WHERE t = 'a') AS q WHERE v > 2 FOR UPDATE;
WITH q AS (SELECT v, count(*) AS n FROM d GROUP BY v) SELECT d.k, q.n FROM d JOIN q USING (v) FOR UPDATE;
COMMIT;

-- 4: subqueries in LIMIT and OFFSET

-- @ordered
SELECT k FROM d ORDER BY k LIMIT (SELECT count(*) / 10 FROM d);
-- @ordered
SELECT k FROM d ORDER BY k DESC OFFSET (SELECT max(k) - 3 FROM d);
-- @ordered
SELECT k, v FROM d ORDER BY v, k LIMIT (SELECT max(id) FROM r WHERE id < 5) OFFSET (SELECT min(v) + 2 FROM x);
-- @ordered
SELECT v FROM d UNION SELECT v FROM x ORDER BY 1 LIMIT (SELECT count(*) / 20 FROM d);
-- @ordered
(SELECT k FROM d) UNION ALL (SELECT k FROM e) ORDER BY 1 DESC LIMIT (SELECT v FROM d WHERE k = 4) OFFSET (SELECT 1);
SELECT count(*) FROM (SELECT k FROM d LIMIT (SELECT v FROM x WHERE k = 'x4' AND v IS NOT NULL ORDER BY v LIMIT 1)) AS q;
SELECT k FROM d LIMIT (SELECT v FROM d);
-- @ordered
SELECT k, count(*) FROM e GROUP BY k ORDER BY 2 DESC, 1 FETCH FIRST (SELECT 2) ROWS WITH TIES;

-- 5: outer joins of tables that are not co-located

SELECT d.k, d.v, x.k FROM d LEFT JOIN x ON d.v = x.v;
SELECT d.k, x.k, x.v FROM d RIGHT JOIN x ON d.v = x.v AND d.k < 20;
SELECT d.k, d.v, x.k, x.v FROM d FULL JOIN x ON d.v = x.v;
SELECT count(*), count(d.k), count(x.k) FROM d FULL JOIN x ON d.v = x.v;
SELECT d.k, e.v, x.k FROM d LEFT JOIN e USING (k) LEFT JOIN x ON x.v = e.v WHERE d.k < 12;
SELECT d.k, q.n FROM d LEFT JOIN (SELECT v, count(*) AS n FROM x GROUP BY v) AS q ON q.v = d.v;

-- 6: cross joins and joins by inequality

SELECT count(*) FROM d CROSS JOIN e;
SELECT count(*), sum(d.k) FROM d, e WHERE d.k < 5 AND e.v = 3;
SELECT d.k, x.v FROM d JOIN x ON d.v < x.v WHERE d.k < 15;
SELECT d.k, x.v FROM d LEFT JOIN x ON d.k BETWEEN x.v AND x.v + 1;
SELECT a.k, b.k FROM d AS a JOIN d AS b ON a.k < b.k AND a.v = b.v WHERE a.k < 10;

-- 7: joins on expressions

SELECT d.k, x.k FROM d JOIN x ON d.v + 1 = x.v;
SELECT d.k, e.k FROM d JOIN e ON d.k + 1 = e.k;
SELECT d.t, x.k FROM d JOIN x ON 'x' || d.v = x.k;
SELECT d.k, x.v FROM d LEFT JOIN x ON abs(d.v - 3) = x.v;
SELECT d.k, r.name FROM d JOIN r ON d.k % 12 = r.id;

-- 8: joins of tables that are not co-located, without a setting

SELECT d.k, x.k FROM d JOIN x ON d.v = x.v;
SELECT d.t, count(*) FROM d JOIN x ON d.v = x.v JOIN e ON e.v = x.v GROUP BY d.t;
SELECT count(*) FROM d JOIN x USING (v) JOIN r ON r.v = x.v JOIN l ON l.v = r.v;
SELECT DISTINCT d.t, x.v FROM d NATURAL JOIN (SELECT v FROM x) AS x;

-- 9: correlation off the distribution column

SELECT k FROM d WHERE EXISTS (SELECT 1 FROM x WHERE x.v = d.v);
SELECT k FROM d WHERE NOT EXISTS (SELECT 1 FROM e WHERE e.v = d.v AND e.k > d.k);
SELECT k FROM d WHERE v IN (SELECT x.v FROM x WHERE x.k > d.t);
SELECT k FROM d WHERE v NOT IN (SELECT x.v FROM x WHERE x.v <> d.k);
SELECT k FROM d WHERE v > ALL (SELECT e.v FROM e WHERE e.k % 7 = d.v);
SELECT k FROM d WHERE k = (SELECT max(e.k) FROM e WHERE e.v = d.v);
SELECT k FROM d WHERE (v, t) = ANY (SELECT x.v, d.t FROM x);
SELECT id FROM r WHERE EXISTS (SELECT 1 FROM d WHERE d.v = r.v AND EXISTS (SELECT 1 FROM x WHERE x.v = d.v + r.v));

-- 10: reference and local tables that rows of a distributed one exclude

SELECT * FROM r WHERE NOT EXISTS (SELECT 1 FROM d WHERE d.k = r.id + 35);
SELECT * FROM r WHERE r.v NOT IN (SELECT v FROM d WHERE v IS NOT NULL);
SELECT * FROM l WHERE id NOT IN (SELECT v FROM x);
SELECT * FROM l WHERE NOT EXISTS (SELECT 1 FROM d WHERE d.v = l.id AND d.t = 'a');
SELECT r.id FROM r LEFT JOIN d ON d.v = r.id WHERE d.k IS NULL;

-- 11: correlated subqueries in HAVING and in the target list

SELECT d.k, (SELECT count(*) FROM x WHERE x.v = d.v) FROM d;
SELECT d.k, (SELECT e.v FROM e WHERE e.v < d.k ORDER BY e.v DESC, e.k LIMIT 1), ARRAY(SELECT x.v FROM x WHERE x.v > d.v ORDER BY x.v) FROM d WHERE d.k < 20;
SELECT v, count(*) FROM d GROUP BY v HAVING count(*) > (SELECT count(*) FROM x WHERE x.v = d.v);
SELECT v, count(*) FROM d GROUP BY v HAVING EXISTS (SELECT 1 FROM e WHERE e.v = d.v AND e.k = 3);
SELECT v, (SELECT max(x.k) FROM x WHERE x.v = d.v) FROM d GROUP BY v;
SELECT t, sum((SELECT count(*) FROM x WHERE x.v = d.v)) FROM d GROUP BY t;
SELECT k, (SELECT sum(d2.v) FROM d AS d2 WHERE d2.k <= d.k) AS running FROM d;
SELECT v, max(k) FROM d GROUP BY v HAVING max(k) = ANY (SELECT e.k + d.v FROM e);

-- 12: LATERAL

SELECT r.id, q.k FROM r, LATERAL (SELECT * FROM d WHERE d.v = r.id ORDER BY k LIMIT 2) AS q;
SELECT r.id, q.k, q.t FROM r LEFT JOIN LATERAL (SELECT * FROM d WHERE d.v = r.v ORDER BY k DESC LIMIT 1) AS q ON true;
SELECT d.k, q.n FROM d CROSS JOIN LATERAL (SELECT count(*) AS n FROM x WHERE x.v = d.v) AS q;
SELECT d.k, q.v FROM d LEFT JOIN LATERAL (SELECT x.v FROM x WHERE x.v > d.v ORDER BY x.v, x.k LIMIT 1) AS q ON q.v > 3;
SELECT d.k, g FROM d, LATERAL generate_series(1, d.v) AS g WHERE d.k < 9;
SELECT l.id, q.s FROM l, LATERAL (SELECT sum(e.k) AS s FROM e WHERE e.v = l.id) AS q;
SELECT d.k, q.m FROM d, LATERAL (SELECT max(e.v) AS m FROM e WHERE e.k = d.k) AS q;

-- 13: full joins with local tables

SELECT d.k, l.id, l.note FROM d FULL JOIN l ON d.k = l.id;
SELECT l.note, x.k FROM l FULL JOIN x ON l.v = x.v;
SELECT r.name, d.k FROM r FULL JOIN d ON d.v = r.id;
SELECT count(*) FROM l LEFT JOIN d ON d.v = l.v RIGHT JOIN r ON r.id = l.id;

-- 14: aggregates of rows

SELECT array_agg((k, v) ORDER BY k) FROM d;
SELECT t, array_agg((k, v) ORDER BY k) FROM d GROUP BY t;
SELECT count(DISTINCT (v, t)) FROM d;
SELECT count(DISTINCT d.*) FROM d;
SELECT count(DISTINCT d), count(DISTINCT x), count(d), count(x.*) FROM d FULL JOIN x ON d.v = x.v;
SELECT v, count(DISTINCT e.*), array_agg(DISTINCT e) FROM e GROUP BY v;
SELECT d, (d).t, to_jsonb(d) FROM d WHERE d.v = 1;
SELECT array_agg(d ORDER BY d) FROM d WHERE k < 5;
SELECT DISTINCT (v, t) FROM d;
SELECT row_to_json(q) FROM (SELECT v, count(*) FROM d GROUP BY v) AS q;
SELECT min(row(v, t)::text), max(array[k, v]) FROM d;

-- 15 and 16: see functions.sql

-- 17: TABLESAMPLE over several shards

SELECT count(*) FROM d TABLESAMPLE BERNOULLI (100);
SELECT count(*), sum(k) FROM d TABLESAMPLE SYSTEM (100) REPEATABLE (7);
SELECT d.k, x.v FROM d TABLESAMPLE BERNOULLI (100) JOIN x TABLESAMPLE SYSTEM (100) ON d.v = x.v;
SELECT count(*) FROM d TABLESAMPLE BERNOULLI (0);
SELECT count(*) FROM d TABLESAMPLE BERNOULLI (101);
SELECT count(*) BETWEEN 1 AND 39 FROM d TABLESAMPLE BERNOULLI (50) REPEATABLE (2);

-- 39 to 41, where they read

-- @gateway
EXPLAIN (ANALYZE, TIMING off, SUMMARY off) SELECT d.k, x.k FROM d JOIN x ON d.v = x.v;
-- @gateway
EXPLAIN (ANALYZE, VERBOSE, BUFFERS, FORMAT JSON) SELECT v, count(*) FROM d WHERE v IN (SELECT v FROM x) GROUP BY v;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT sum(v), count(*) FROM e;
INSERT INTO r SELECT max(k) + 100, 1, 'from d' FROM d;
SELECT * FROM r WHERE id > 100;
ROLLBACK;

-- shapes that were once answered wrongly or refused

WITH c AS (SELECT k, sum(v) AS s FROM e GROUP BY CUBE (k)) SELECT c.k, c.s, (SELECT count(*) FROM x CROSS JOIN r WHERE x.v = c.k) FROM c;
WITH c AS (SELECT d.k, (SELECT sum(x.v) FROM x CROSS JOIN e WHERE x.v = d.k) AS s, count(*) AS n FROM d GROUP BY CUBE (d.k)) SELECT * FROM c;
SELECT d.k, (SELECT count(*) FROM x CROSS JOIN r WHERE x.v = d.k) FROM d GROUP BY CUBE (d.k);
SELECT d.tableoid::regclass, count(*) FROM d JOIN x ON d.v = x.v GROUP BY 1;
SELECT x.tableoid::regclass, r.tableoid::regclass, d.k FROM d LEFT JOIN x ON x.v = d.v LEFT JOIN r ON r.id = x.v WHERE d.k < 9;
SELECT (SELECT sum(x.v) FROM x JOIN d AS d2 ON d2.v = x.v AND x.tableoid::regclass::text < d2.t) FROM d WHERE random() < 2;
