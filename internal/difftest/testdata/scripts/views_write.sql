-- Writes through views over distributed and reference tables.

CREATE TABLE d (k int, v int, t text DEFAULT 'none', w int, PRIMARY KEY (k));
CREATE TABLE e (k int, v int);
CREATE TABLE x (v int, name text);
CREATE TABLE r (id int PRIMARY KEY, name text, n int DEFAULT 5);
-- @gateway
SELECT create_distributed_table('d', 'k');
-- @gateway
SELECT create_distributed_table('e', 'k', colocate_with => 'd');
-- @gateway
SELECT create_distributed_table('x', 'v', colocate_with => 'none', shard_count => 3);
-- @gateway
SELECT create_reference_table('r');
INSERT INTO d SELECT g, g % 5, 't' || g, g * 10 FROM generate_series(1, 12) AS g;
INSERT INTO e SELECT g, g FROM generate_series(1, 6) AS g;
INSERT INTO x SELECT g, 'x' || g FROM generate_series(2, 6) AS g;
INSERT INTO r SELECT g, 'r' || g FROM generate_series(1, 4) AS g;

CREATE VIEW same AS SELECT * FROM d WHERE v < 4;
CREATE VIEW renamed AS SELECT t AS label, k AS key, v + 1 AS more, v AS val FROM d AS dd WHERE dd.v > 0;
CREATE VIEW nested AS SELECT key, val, label AS lab FROM renamed WHERE key < 10;
CREATE VIEW checked AS SELECT k, v, t FROM d WHERE v < 4 WITH CHECK OPTION;
CREATE VIEW locally AS SELECT k AS kk, v AS vv FROM checked WHERE k < 100 WITH LOCAL CHECK OPTION;
CREATE VIEW cascading AS SELECT k AS kk, v AS vv FROM same WHERE k < 100 WITH CASCADED CHECK OPTION;
CREATE VIEW sub AS SELECT k, v FROM d WHERE EXISTS (SELECT 1 FROM e WHERE e.k = d.k AND e.v < 4);
CREATE VIEW other AS SELECT k, v FROM d WHERE v IN (SELECT v FROM x WHERE name > 'x2');
CREATE VIEW grouped AS SELECT v, count(*) AS n FROM d GROUP BY v;
CREATE VIEW joined AS SELECT d.k, e.v FROM d JOIN e USING (k);
CREATE VIEW vr AS SELECT id, name FROM r WHERE id < 50 WITH CHECK OPTION;

INSERT INTO same (k, v) VALUES (20, 1), (21, 9) RETURNING *;
INSERT INTO same VALUES (22, 2, 'all', 5) RETURNING k, t, w;
INSERT INTO same SELECT k + 100, v FROM same WHERE k < 3 RETURNING k, v;
UPDATE same SET v = v + 1 WHERE k = 20 RETURNING *;
UPDATE same SET t = 'many' WHERE w > 50;
UPDATE same AS s SET t = s.t || s.v WHERE s.k < 4 RETURNING s.k, s.t;
UPDATE same SET v = 0 FROM e WHERE e.k = same.k AND e.v > 4 RETURNING same.k, e.v;
UPDATE same SET v = 1 FROM x WHERE x.v = same.v RETURNING same.k, x.name;
UPDATE same SET t = (SELECT name FROM x WHERE x.v = same.k) WHERE k < 4 RETURNING *;
DELETE FROM same WHERE k = 22 RETURNING *;
DELETE FROM same USING e WHERE e.k = same.k AND e.v = 6 RETURNING *;
SELECT * FROM d;

INSERT INTO renamed (key, val) VALUES (30, 3) RETURNING *;
INSERT INTO renamed (key, val, label) VALUES (30, 7, 'new') ON CONFLICT (key) DO UPDATE SET val = excluded.val + renamed.val, label = excluded.label RETURNING *;
INSERT INTO renamed (key, val) VALUES (30, 7) ON CONFLICT (key) DO NOTHING;
INSERT INTO renamed AS n (key, val) VALUES (30, 1) ON CONFLICT (key) DO UPDATE SET val = n.more WHERE n.val > excluded.val RETURNING n.val, n.more;
INSERT INTO renamed (key, more) VALUES (31, 3);
INSERT INTO renamed VALUES ('l', 32) RETURNING key;
UPDATE renamed SET val = more, label = label || '!' WHERE key = 1 RETURNING label, key, more, val;
UPDATE renamed SET val = 9 WHERE val = 1 AND more = 2 RETURNING key;
UPDATE renamed SET more = 3;
UPDATE renamed SET (val, label) = (SELECT e.v, 'from e' FROM e WHERE e.k = renamed.key) WHERE key IN (2, 3) RETURNING renamed.*, key + 1 AS next;
UPDATE renamed SET key = 33 WHERE key = 30 RETURNING *;
DELETE FROM renamed WHERE more > 9 RETURNING key;
UPDATE nested SET val = val + 1, lab = 'nest' WHERE key = 2 RETURNING *;
INSERT INTO nested VALUES (40, 4, 'forty');
UPDATE nested SET lab = 'never' WHERE key = 40 RETURNING *;
DELETE FROM nested WHERE lab = 'nest' RETURNING val;
SELECT * FROM d;

INSERT INTO checked VALUES (50, 1, 'ok') RETURNING *;
INSERT INTO checked VALUES (51, 4, 'no');
INSERT INTO checked VALUES (52, 1, 'ok'), (53, 5, 'no');
INSERT INTO checked (k) VALUES (54);
INSERT INTO checked VALUES (54, 1);
UPDATE checked SET v = 9 WHERE k = 50;
UPDATE checked SET v = 9;
UPDATE checked SET v = v + 0 WHERE k > 10 RETURNING k, v;
UPDATE checked SET t = 'fine' WHERE k = 50;
INSERT INTO checked VALUES (50, 8) ON CONFLICT (k) DO UPDATE SET v = excluded.v;
INSERT INTO checked VALUES (50, 8) ON CONFLICT (k) DO UPDATE SET v = 2 RETURNING v;
INSERT INTO checked SELECT k + 200, v FROM d WHERE k < 5;
INSERT INTO checked SELECT k + 200, 1 FROM d WHERE k < 5 RETURNING k;
INSERT INTO checked SELECT v + 300, v FROM x WHERE v < 3 RETURNING *;
-- @params 60 | 7
INSERT INTO checked (k, v) VALUES ($1, $2);
-- @params 60 | 1
INSERT INTO checked (k, v) VALUES ($1, $2) RETURNING k;
-- @params 60 | 2
UPDATE checked SET v = $2 WHERE k = $1 RETURNING v, t;
INSERT INTO locally VALUES (120, 1);
INSERT INTO locally VALUES (70, 9);
INSERT INTO locally VALUES (70, 3) RETURNING *;
INSERT INTO cascading VALUES (71, 9);
INSERT INTO cascading VALUES (171, 1);
INSERT INTO cascading VALUES (71, 1) RETURNING *;
UPDATE cascading SET kk = 199 WHERE kk = 71;
UPDATE cascading SET kk = 72 WHERE kk = 71 RETURNING *;
SELECT * FROM d;

UPDATE sub SET v = 100 RETURNING *;
DELETE FROM sub WHERE v = 100 AND k = 1;
UPDATE other SET v = v + 1000 RETURNING k;
UPDATE grouped SET n = 1;
DELETE FROM joined;
INSERT INTO joined VALUES (1, 1);
SELECT * FROM d;

INSERT INTO vr VALUES (10, 'ten') RETURNING *;
INSERT INTO vr VALUES (60, 'sixty');
UPDATE vr SET name = upper(name) WHERE id < 3 RETURNING *;
UPDATE vr SET id = 70 WHERE id = 10;
DELETE FROM vr WHERE id = 3;
SELECT * FROM r;
WITH gone AS (DELETE FROM same WHERE k = 4 RETURNING k, v) SELECT * FROM gone;
WITH q AS (SELECT max(k) AS m FROM e) UPDATE renamed SET val = q.m FROM q WHERE key = 5 RETURNING key, val, m;
BEGIN;
UPDATE same SET v = 0;
SELECT count(*) FROM d WHERE v = 0;
ROLLBACK;
SELECT * FROM d;
