-- Writes that Citus 13 refuses, by their numbers in a list of such statements, 18 to 28. d and e are co-located, x is distributed
-- otherwise, r is a reference table, l a local one. Each block is rolled back.

CREATE TYPE comp AS (a int, b text);
CREATE TABLE d (k int, v int, t timestamptz DEFAULT '2020-01-01', p comp, PRIMARY KEY (k));
CREATE TABLE e (k int, v int);
CREATE TABLE x (k int, v int, w text);
CREATE TABLE r (id int PRIMARY KEY, v int, s serial);
CREATE TABLE l (id int PRIMARY KEY, v int);
-- @gateway
SELECT create_distributed_table('d', 'k');
-- @gateway
SELECT create_distributed_table('e', 'k', colocate_with => 'd');
-- @gateway
SELECT create_distributed_table('x', 'k', colocate_with => 'none', shard_count => 3);
-- @gateway
SELECT create_reference_table('r');
INSERT INTO d SELECT g, g % 5 FROM generate_series(1, 20) AS g;
INSERT INTO e SELECT g, g * 3 FROM generate_series(1, 15) AS g;
INSERT INTO x SELECT g, g % 7, 'w' || g FROM generate_series(1, 25) AS g;
INSERT INTO r SELECT g, g * 10 FROM generate_series(1, 6) AS g;
INSERT INTO l SELECT g, g * 100 FROM generate_series(1, 6) AS g;

-- 18: subqueries in VALUES
BEGIN;
INSERT INTO d VALUES (101, (SELECT max(v) FROM e)) RETURNING k, v;
INSERT INTO d (k, v) VALUES (102, (SELECT v FROM x WHERE k = 5)), ((SELECT max(id) + 200 FROM r), (SELECT count(*) FROM d)) RETURNING k, v;
INSERT INTO r (id, v) VALUES (50, (SELECT sum(v) FROM x)) RETURNING id, v;
INSERT INTO l VALUES (50, (SELECT min(v) FROM e)) RETURNING *;
ROLLBACK;

-- 19: volatile and stable expressions
BEGIN;
UPDATE d SET v = random();
SELECT count(*) FROM d WHERE v NOT IN (0, 1);
UPDATE d SET v = 7 WHERE t < now() AND k < 4 RETURNING k, v;
UPDATE d SET v = v + (random() * 0)::int, t = clock_timestamp() WHERE k IN (1, 2, 9) RETURNING k, t > '2020-01-01';
UPDATE d SET t = now() WHERE k > 15;
SELECT count(DISTINCT t) FROM d WHERE k > 15;
DELETE FROM d WHERE random() < 0;
ROLLBACK;

-- 20: ON CONFLICT DO UPDATE with volatile values and subqueries
BEGIN;
INSERT INTO d (k, v) VALUES (1, 5) ON CONFLICT (k) DO UPDATE SET v = excluded.v + (random() * 0)::int RETURNING k, v;
INSERT INTO d (k, v) VALUES (2, 5), (3, 6) ON CONFLICT (k) DO UPDATE SET v = (SELECT max(v) FROM e) + d.v RETURNING k, v;
INSERT INTO d (k, v) SELECT k, v FROM x WHERE k < 6 ON CONFLICT (k) DO UPDATE SET v = (SELECT max(v) FROM r) WHERE d.k <> 4 RETURNING k, v;
INSERT INTO r (id, v) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET v = (SELECT count(*) FROM d) RETURNING v;
ROLLBACK;

-- 21: RETURNING
BEGIN;
UPDATE d SET v = 1 WHERE k < 3 RETURNING k, now() = transaction_timestamp();
UPDATE d SET v = 1 RETURNING now() IS NULL;
DELETE FROM d WHERE k = 3 RETURNING *, (SELECT max(v) FROM x) AS most, current_date IS NULL;
INSERT INTO d (k) VALUES (300) RETURNING k, now() IS NOT NULL, (SELECT count(*) FROM r);
ROLLBACK;

-- 22: joins that are not on the distribution column
BEGIN;
UPDATE r SET v = e.v FROM e WHERE e.k = r.id RETURNING r.id, r.v;
UPDATE d SET v = x.v FROM x WHERE x.w = 'w' || d.k AND d.k > 10 RETURNING d.k, d.v;
UPDATE d SET v = (SELECT x.v FROM x WHERE x.w = 'w' || d.k) WHERE k < 5 RETURNING k, v;
UPDATE d SET v = l.v FROM l WHERE l.id = d.k RETURNING d.k, d.v;
UPDATE l SET v = d.v FROM d WHERE d.k = l.id + 1 RETURNING l.*;
DELETE FROM d USING x WHERE x.v = d.v AND x.w = 'w3' RETURNING d.k;
DELETE FROM r USING d WHERE d.k = r.id AND d.k > 4 RETURNING r.id;
ROLLBACK;

-- 23: WHERE CURRENT OF
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM d WHERE k > 17 ORDER BY k FOR UPDATE;
MOVE 2 FROM c;
UPDATE d SET v = 99 WHERE CURRENT OF c RETURNING k, v;
FETCH c;
DELETE FROM d WHERE CURRENT OF c RETURNING k;
SELECT k, v FROM d WHERE k > 17;
ROLLBACK;

-- 24: updatable views
CREATE VIEW low AS SELECT k AS key, v AS val FROM d WHERE v < 3 WITH CHECK OPTION;
BEGIN;
UPDATE low SET val = val + 1 WHERE val < 2 RETURNING *;
INSERT INTO low VALUES (400, 1) RETURNING *;
DELETE FROM low USING e WHERE e.k = low.key AND e.v > 30 RETURNING low.key;
UPDATE low SET val = 9 WHERE key = 5;
ROLLBACK;

-- 25: MERGE
BEGIN;
MERGE INTO r USING d ON r.id = d.k WHEN MATCHED THEN UPDATE SET v = d.v + (SELECT max(v) FROM e) WHEN NOT MATCHED AND d.k < 9 THEN INSERT (id, v, s) VALUES (d.k, d.v, 0);
SELECT id, v FROM r;
MERGE INTO d USING l ON d.k = l.id WHEN MATCHED AND l.v > 300 THEN DELETE WHEN MATCHED THEN UPDATE SET v = (SELECT count(*) FROM r) WHEN NOT MATCHED THEN INSERT (k, v) VALUES (l.id, l.v);
MERGE INTO l USING x ON l.id = x.k WHEN NOT MATCHED AND x.k < 10 THEN INSERT VALUES (x.k, x.v) WHEN MATCHED THEN DELETE;
SELECT k, v FROM d;
SELECT * FROM l;
ROLLBACK;

-- 26: fields as targets
BEGIN;
INSERT INTO d (k, p.a) VALUES (500, 1), (501, 2) RETURNING k, p;
INSERT INTO d (k, p.a, p.b) SELECT k + 600, v, w FROM x WHERE k < 3 RETURNING k, p;
UPDATE d SET p.b = 'b' WHERE k IN (500, 1) RETURNING k, p;
ROLLBACK;

-- 27: another distribution value
BEGIN;
UPDATE d SET k = k + 1000;
SELECT k, v FROM d;
UPDATE d SET k = 5, v = 50 WHERE k = 1005 RETURNING k, v;
UPDATE d SET k = e.v + 5000 FROM e WHERE e.k = d.k - 1000 AND e.k < 4;
SELECT k FROM d;
UPDATE d SET k = 1006 WHERE k = 1007;
ROLLBACK;

SELECT k, v, p FROM d;
SELECT id, v FROM r;
