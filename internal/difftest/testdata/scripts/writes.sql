-- Writes of every shape, each followed by a look at the rows.

CREATE TABLE d (k int PRIMARY KEY, v int, t text, arr int[], j jsonb);
CREATE TABLE e (k int, n int, v int, UNIQUE (k, n));
CREATE TABLE x (id int PRIMARY KEY, v int, w text);
CREATE TABLE r (id int PRIMARY KEY, v int, name text UNIQUE);
CREATE TABLE l (id int PRIMARY KEY, v int);
CREATE TYPE comp AS (a int, b text);
CREATE TABLE c (k int, p comp, q comp[], m int[][]);

-- @gateway
SELECT create_distributed_table('d', 'k');
-- @gateway
SELECT create_distributed_table('e', 'k', colocate_with => 'd');
-- @gateway
SELECT create_distributed_table('x', 'id', colocate_with => 'none', shard_count => 3);
-- @gateway
SELECT create_reference_table('r');
-- @gateway
SELECT create_distributed_table('c', 'k');

INSERT INTO d SELECT g, g % 5, 't' || g, array[g, g + 1], jsonb_build_object('g', g) FROM generate_series(1, 20) AS g;
INSERT INTO e SELECT g % 10, g, g % 3 FROM generate_series(1, 30) AS g;
INSERT INTO x SELECT g, g % 4, 'w' || g FROM generate_series(1, 15) AS g;
INSERT INTO r SELECT g, g * 10, 'n' || g FROM generate_series(1, 5) AS g;
INSERT INTO l SELECT g, g * 100 FROM generate_series(1, 5) AS g;

-- INSERT … VALUES

INSERT INTO d VALUES (101, (SELECT max(v) FROM e), (SELECT name FROM r WHERE id = 1)), (102, (SELECT count(*) FROM x WHERE v = 1), NULL) RETURNING *;
INSERT INTO d (k, t) VALUES (103, 'a'), (104, DEFAULT), (105, upper('b')) RETURNING k, t, k + 1 AS next, v IS NULL;
INSERT INTO d (t, k) VALUES ('swapped', 106);
INSERT INTO d (k, k) VALUES (1, 2);
INSERT INTO d (k, nothing) VALUES (1, 2);
INSERT INTO d (k) VALUES (1, 2);
INSERT INTO d (k, v) VALUES (107);
INSERT INTO d VALUES (108, 'x');
INSERT INTO d (k, v) VALUES (109, 1), (110, 'y');
SELECT count(*) FROM d WHERE k > 106;
INSERT INTO d AS dd (k, v) VALUES (111, 5) ON CONFLICT (k) DO UPDATE SET v = dd.v + excluded.v RETURNING dd.k, dd.v;
INSERT INTO d AS dd (k, v) VALUES (111, 5), (112, 6) ON CONFLICT (k) DO UPDATE SET v = dd.v + excluded.v RETURNING dd.k, dd.v;
INSERT INTO d (k, v) VALUES (111, 1), (111, 2) ON CONFLICT (k) DO UPDATE SET v = excluded.v;
INSERT INTO d (k, v) VALUES (113, 1), (113, 2) ON CONFLICT DO NOTHING RETURNING k, v;
INSERT INTO d (k, v) VALUES (111, 0) ON CONFLICT (k) DO UPDATE SET v = d.v + 1 WHERE d.v > 1000 RETURNING *;
INSERT INTO d (k, v) VALUES (111, 0) ON CONFLICT (k) DO UPDATE SET (v, t) = (SELECT max(v), 'sub' FROM r) RETURNING v, t;
INSERT INTO d (k, v) VALUES (111, 0) ON CONFLICT (k) DO UPDATE SET v = (SELECT max(v) FROM x) + excluded.v RETURNING v;
INSERT INTO d (k, v) VALUES (111, 0) ON CONFLICT (v) DO NOTHING;
INSERT INTO d (k, v) VALUES (111, 0) ON CONFLICT ON CONSTRAINT d_pkey DO UPDATE SET v = DEFAULT RETURNING v;
INSERT INTO d (k, v) VALUES (111, 0) ON CONFLICT (k) DO UPDATE SET k = excluded.k, v = 3 RETURNING k, v;
INSERT INTO e (k, n, v) VALUES (1, 1, 5), (1, 99, 5) ON CONFLICT (k, n) DO UPDATE SET v = e.v + 100 RETURNING *;
INSERT INTO r VALUES (6, 60, 'n6'), (7, 70, 'n7') RETURNING *;
INSERT INTO r VALUES (6, 61, 'again') ON CONFLICT (id) DO UPDATE SET v = excluded.v RETURNING *;
INSERT INTO r VALUES (8, 80, 'n1') ON CONFLICT (name) DO NOTHING;
INSERT INTO r VALUES (8, 80, 'n1');
INSERT INTO r (id, v) VALUES (9, (SELECT sum(v) FROM d));
INSERT INTO r (id, v) VALUES (10, (random() * 0)::int + 5) RETURNING id, v;
INSERT INTO l (id, v) VALUES (9, (SELECT sum(v) FROM d WHERE k < 10)) RETURNING *;
INSERT INTO l (id, v) VALUES (1, 0) ON CONFLICT (id) DO UPDATE SET v = (SELECT max(k) FROM d) RETURNING *;
SELECT * FROM r;

-- INSERT … SELECT

INSERT INTO d (k, v) SELECT k + 200, n FROM e WHERE n <= 5 RETURNING k, v;
INSERT INTO d (k, v) SELECT v + 300, count(*) FROM d GROUP BY v HAVING v IS NOT NULL RETURNING k, v;
INSERT INTO d (k, v) SELECT DISTINCT k + 400, 1 FROM e;
INSERT INTO d (k, v) SELECT k, v FROM d WHERE k < 3;
INSERT INTO d (k, v) SELECT k, v + 50 FROM d WHERE k < 3 ON CONFLICT (k) DO UPDATE SET v = excluded.v RETURNING k, v;
INSERT INTO e SELECT k, 1000 + k, v FROM d WHERE k < 10;
INSERT INTO e (k, n) SELECT d.k, x.id + 2000 FROM d JOIN x ON x.v = d.v WHERE d.k < 5;
INSERT INTO e (n, k) SELECT 3000, id FROM r;
INSERT INTO e (k, n) SELECT id, 4000 FROM l;
INSERT INTO e (k, n) SELECT 1, 5000 + g FROM generate_series(1, 3) AS g;
INSERT INTO e (k, n) VALUES (1, 6000), (2, 6001);
INSERT INTO e SELECT * FROM e WHERE false;
INSERT INTO e (k, n, v) SELECT k, 7000 + row_number() OVER (ORDER BY k), rank() OVER (ORDER BY v) FROM d WHERE k BETWEEN 5 AND 9;
INSERT INTO e (k, n, v) SELECT * FROM (SELECT k, 8000 + v, v FROM d ORDER BY k LIMIT 3) z;
INSERT INTO e (k, n, v) WITH q AS (SELECT k, v FROM d WHERE k < 3) SELECT k, 9000, v FROM q;
WITH q AS (SELECT k, v FROM d WHERE k < 3) INSERT INTO e (k, n, v) SELECT k, 9001, v FROM q RETURNING *;
INSERT INTO e (k, n) SELECT k, 10000 FROM d WHERE k < 3 UNION ALL SELECT id, 10001 FROM x WHERE id < 3;
INSERT INTO x SELECT k + 500, v, t FROM d WHERE k < 5;
INSERT INTO x (id, w) SELECT k + 600, k FROM d WHERE k < 3;
INSERT INTO x (id, v) SELECT k + 700, t FROM d WHERE k < 3;
INSERT INTO r SELECT k + 100, v, 'from d ' || k FROM d WHERE k < 4 RETURNING id;
INSERT INTO r SELECT id + 1000, v FROM r WHERE id < 3 RETURNING id, v;
INSERT INTO r SELECT id + 2000, v FROM l RETURNING id;
INSERT INTO l SELECT k + 5000, v FROM d WHERE k < 4 RETURNING id;
INSERT INTO l SELECT id + 6000, v FROM r WHERE id < 4;
TABLE e;
TABLE x;
TABLE r;
TABLE l;

-- UPDATE

UPDATE d SET v = v + 1 WHERE k = 1 RETURNING *;
UPDATE d SET v = v + 1, t = t || v WHERE k = 1 RETURNING v, t;
UPDATE d SET (v, t) = (v * 2, 'row') WHERE k = 2 RETURNING v, t;
UPDATE d SET (v, t) = ROW(7, 'row2') WHERE k IN (2, 3) RETURNING k, v, t;
UPDATE d SET (v, t) = (SELECT r.v, r.name FROM r WHERE r.id = d.k) WHERE k < 8 RETURNING k, v, t;
UPDATE d SET v = (SELECT max(n) FROM e WHERE e.k = d.k) WHERE k < 5 RETURNING k, v;
UPDATE d SET v = (SELECT max(x.id) FROM x WHERE x.v = d.k) WHERE k < 5 RETURNING k, v;
UPDATE d SET v = (SELECT count(*) FROM d) WHERE k = 5 RETURNING v;
UPDATE d SET arr[1] = 99, arr[5] = 1, j['g'] = '"x"', j['n'] = '{"a": 1}' WHERE k = 6 RETURNING arr, j;
UPDATE d SET v = NULL WHERE k % 2 = 0 AND k < 10;
UPDATE d SET v = coalesce(v, 0) + 1;
UPDATE d SET v = v + 1 WHERE EXISTS (SELECT 1 FROM e WHERE e.k = d.k AND e.v = 2);
UPDATE d SET v = v + 1 WHERE EXISTS (SELECT 1 FROM x WHERE x.v = d.k AND x.id > 3);
UPDATE d SET v = v + 1 WHERE v IN (SELECT v FROM x) AND k < 30;
UPDATE d SET v = v + 1 WHERE k IN (SELECT id FROM r) RETURNING k, v;
UPDATE d SET v = v + 1 WHERE k = (SELECT min(k) FROM d) RETURNING k;
UPDATE d SET v = e.n FROM e WHERE e.k = d.k AND e.n = 9001 RETURNING d.k, d.v, e.n;
UPDATE d SET v = x.v FROM x WHERE x.id = d.v RETURNING d.k, d.v, x.w;
UPDATE d SET v = r.v FROM r WHERE r.id = d.k RETURNING d.*, r.name;
UPDATE d SET v = l.v FROM l WHERE l.id = d.k RETURNING d.k, l.*;
UPDATE d AS a SET v = b.v + 1 FROM d AS b WHERE b.k = a.k + 1 AND a.k < 5 RETURNING a.k, a.v, b.v;
UPDATE d SET v = s.c FROM (SELECT k, count(*) AS c FROM e GROUP BY k) s WHERE s.k = d.k RETURNING d.k, d.v;
UPDATE d SET v = s.c FROM (SELECT v AS g, count(*) AS c FROM x GROUP BY v) s WHERE s.g = d.k RETURNING d.k, d.v;
WITH q AS (SELECT k FROM d ORDER BY k LIMIT 2) UPDATE d SET v = -1 FROM q WHERE q.k = d.k RETURNING d.k;
WITH q AS (SELECT 3 AS k) UPDATE d SET v = -2 WHERE k IN (SELECT k FROM q) RETURNING k;
UPDATE d SET t = now()::date::text <> '' WHERE k = 4 RETURNING t;
UPDATE d SET v = (random() * 0)::int WHERE k < 4 RETURNING v;
UPDATE d SET k = k + 10000 WHERE k IN (11, 12) RETURNING k, v;
UPDATE d SET k = k + 1 WHERE k = 10011;
UPDATE d SET k = 2 WHERE k = 13;
UPDATE d SET k = -k WHERE k BETWEEN 14 AND 16 RETURNING *;
UPDATE d SET k = k WHERE k = 17 RETURNING k;
-- @code
UPDATE d SET k = NULL WHERE k = 17;
UPDATE d SET nothing = 1;
UPDATE d SET v = 'x' WHERE k = 1;
UPDATE d SET v = 1, v = 2;
UPDATE r SET v = v + 1 RETURNING *;
UPDATE r SET v = (SELECT count(*) FROM d WHERE d.k = r.id) WHERE id < 4 RETURNING *;
UPDATE r SET v = d.v FROM d WHERE d.k = r.id RETURNING r.id, r.v, d.t;
UPDATE r SET name = 'n1' WHERE id = 2;
UPDATE r SET v = l.v FROM l WHERE l.id = r.id;
UPDATE l SET v = d.v FROM d WHERE d.k = l.id RETURNING l.*;
UPDATE l SET v = (SELECT sum(v) FROM d) WHERE id = 1 RETURNING *;
TABLE d;
TABLE r;
TABLE l;

-- parts of columns

INSERT INTO c (k, p.a, p.b) VALUES (1, 5, 'x');
INSERT INTO c (k, m[1][1]) VALUES (2, 7);
INSERT INTO c VALUES (3, ROW(1, 'y'), ARRAY[ROW(2, 'z')::comp], '{{1,2},{3,4}}');
UPDATE c SET p.a = (p).a + 1 WHERE k = 1 RETURNING p;
UPDATE c SET q[1].b = 'new', m[2:2] = '{{9,9}}' WHERE k = 3 RETURNING *;
SELECT (p).*, q[1].a, m[1][2] FROM c;
TABLE c;

-- DELETE

DELETE FROM e WHERE k = 1 AND n > 5000 RETURNING *;
DELETE FROM e WHERE n IN (SELECT n FROM e ORDER BY n DESC LIMIT 2) RETURNING n;
DELETE FROM e USING d WHERE d.k = e.k AND d.v = 1 AND e.n > 20;
DELETE FROM e USING x WHERE x.id = e.n RETURNING e.k, x.w;
DELETE FROM e USING r, l WHERE r.id = e.k AND l.id = r.id AND e.n < 10 RETURNING e.n, r.name, l.v;
DELETE FROM e WHERE NOT EXISTS (SELECT 1 FROM d WHERE d.k = e.k);
DELETE FROM x WHERE id > (SELECT avg(id) FROM x) RETURNING id;
DELETE FROM x a USING x b WHERE a.v = b.v AND a.id < b.id RETURNING a.id, b.id IS NOT NULL;
DELETE FROM r WHERE id IN (SELECT v FROM d) RETURNING *;
DELETE FROM l USING d WHERE d.k = l.id AND d.v > 0 RETURNING l.id;
WITH q AS (SELECT min(k) AS k FROM e) DELETE FROM e USING q WHERE e.k = q.k RETURNING e.*;
DELETE FROM d WHERE k = 5 RETURNING d;
DELETE FROM d WHERE k = 5;
DELETE FROM d WHERE false;
DELETE FROM x;
TABLE d;
TABLE e;
TABLE r;

-- MERGE and WITH

MERGE INTO d USING e ON d.k = e.k AND e.n = 7 WHEN MATCHED THEN UPDATE SET v = 777;
MERGE INTO d USING (VALUES (1, 1), (900, 9)) AS s(k, v) ON d.k = s.k WHEN MATCHED THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT (k, v) VALUES (s.k, s.v);
MERGE INTO d USING (SELECT id, v FROM r) AS s ON d.k = s.id WHEN MATCHED AND s.v > 20 THEN DELETE WHEN MATCHED THEN UPDATE SET t = 'merged' WHEN NOT MATCHED THEN INSERT (k, v) VALUES (s.id, s.v);
MERGE INTO r USING d ON r.id = d.k WHEN MATCHED THEN UPDATE SET v = d.v WHEN NOT MATCHED AND d.k > 400 THEN INSERT VALUES (d.k, d.v, 'm' || d.k);
MERGE INTO l USING d ON l.id = d.k WHEN MATCHED THEN DELETE WHEN NOT MATCHED AND d.k < 20 THEN INSERT VALUES (d.k, 1);
TABLE d;
TABLE r;
TABLE l;
WITH moved AS (DELETE FROM d WHERE k > 300 RETURNING k, v) INSERT INTO e (k, n, v) SELECT k, -k, v FROM moved RETURNING *;
WITH ins AS (INSERT INTO d (k, v) VALUES (2001, 1), (2002, 2) RETURNING k) SELECT count(*) FROM ins;
WITH up AS (UPDATE d SET v = 0 WHERE k > 2000 RETURNING k, v) SELECT * FROM up ORDER BY k;
WITH a AS (INSERT INTO r VALUES (50, 5, 'fifty') RETURNING id), b AS (INSERT INTO l SELECT id, 1 FROM a RETURNING id) SELECT * FROM a, b;
WITH a AS (UPDATE r SET v = v + 1 WHERE id = 50 RETURNING v) UPDATE d SET v = a.v FROM a WHERE d.k = 2001 RETURNING d.v;
TABLE d;
TABLE e;
TABLE r;
CREATE VIEW vd AS SELECT k, v, t FROM d WHERE v < 1000;
UPDATE vd SET t = 'view' WHERE k = 2001;
INSERT INTO vd (k, v) VALUES (3000, 3);
DELETE FROM vd WHERE k = 3000 RETURNING *;
SELECT * FROM vd WHERE k > 2000;
