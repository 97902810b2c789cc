-- RETURNING and ON CONFLICT that shards cannot evaluate by themselves.

CREATE TABLE d (k int PRIMARY KEY, v int, t text);
CREATE TABLE e (k int, v int, t text);
CREATE TABLE x (name text, v int);
CREATE TABLE s (k int PRIMARY KEY, id serial, v int);
CREATE TABLE p (k int, v int) PARTITION BY RANGE (v);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (5);
CREATE TABLE p2 PARTITION OF p DEFAULT;
CREATE TABLE r (id int PRIMARY KEY, v int);
CREATE TABLE l (id int PRIMARY KEY, v int);
CREATE SEQUENCE q;
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN n * 2; END $$;
CREATE FUNCTION local(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT v FROM l WHERE id = n); END $$;
-- @gateway
SELECT create_distributed_table('d', 'k');
-- @gateway
SELECT create_distributed_table('e', 'k');
-- @gateway
SELECT create_distributed_table('x', 'name', shard_count => 3);
-- @gateway
SELECT create_distributed_table('s', 'k');
-- @gateway
SELECT create_distributed_table('p', 'k');
-- @gateway
SELECT create_reference_table('r');
INSERT INTO d SELECT g, g, 'd' || g FROM generate_series(1, 9) AS g;
INSERT INTO e SELECT g % 5, g, 'e' FROM generate_series(1, 12) AS g;
INSERT INTO x SELECT 'x' || g, g % 4 FROM generate_series(1, 9) AS g;
INSERT INTO r SELECT g, g * 3 FROM generate_series(1, 5) AS g;
INSERT INTO l SELECT g, g * 10 FROM generate_series(1, 5) AS g;
INSERT INTO p SELECT g, g FROM generate_series(1, 9) AS g;

-- correlated subqueries

INSERT INTO d VALUES (10, 1, 'ten') RETURNING k, (SELECT count(*) FROM e WHERE e.k = d.k);
INSERT INTO d VALUES (11, 1, 'a'), (12, 2, 'b') RETURNING k, (SELECT max(x.name) FROM x WHERE x.v = d.v), (SELECT sum(e.v) FROM e WHERE e.k = d.k - 10);
INSERT INTO d VALUES (13, 1, 'a'), (14, 2, 'b') RETURNING k, (SELECT count(*) FROM d AS o WHERE o.k < d.k), EXISTS (SELECT FROM d AS o WHERE o.k = d.k);
INSERT INTO d SELECT k + 20, v, t FROM e WHERE v < 4 RETURNING k, (SELECT r.v FROM r WHERE r.id = d.v), (SELECT l.v FROM l WHERE l.id = d.v);
INSERT INTO d SELECT k + 30, v, t FROM d WHERE k < 4 RETURNING d.*, (SELECT count(*) FROM e JOIN x ON e.v = x.v WHERE e.k > d.v), d.v IN (SELECT v FROM x);
INSERT INTO d VALUES (1, 100, 'a'), (2, 200, 'b'), (40, 3, 'c') ON CONFLICT (k) DO UPDATE SET v = (SELECT count(*) FROM e WHERE e.k = excluded.k) RETURNING *;
INSERT INTO d VALUES (1, 100, 'a'), (2, 200, 'b'), (41, 3, 'c') ON CONFLICT (k) DO UPDATE SET v = (SELECT max(x.v) FROM x WHERE x.v < excluded.v), t = (SELECT min(e.t) FROM e WHERE e.v > d.k) RETURNING *;
INSERT INTO d VALUES (1, 1, 'a'), (2, 2, 'b') ON CONFLICT (k) DO UPDATE SET t = excluded.t WHERE EXISTS (SELECT FROM x WHERE x.v = excluded.v AND x.name > 'x4') RETURNING *;
INSERT INTO d VALUES (3, 7, 'a'), (4, 2, 'b') ON CONFLICT (k) DO UPDATE SET (v, t) = (SELECT l.v, excluded.t FROM l WHERE l.id = d.k) RETURNING *;
INSERT INTO d AS target SELECT k, v, t FROM d WHERE k < 4 ON CONFLICT (k) DO UPDATE SET v = (SELECT sum(d.v) FROM d WHERE d.k < target.k) RETURNING target.k, target.v;
-- @params 5 | 6
INSERT INTO d VALUES ($1, 1, 'p') ON CONFLICT (k) DO UPDATE SET v = (SELECT max(e.v) FROM e WHERE e.v > excluded.v AND e.v < $2) RETURNING v, (SELECT count(*) FROM x WHERE x.v < d.k);
INSERT INTO r VALUES (1, 1), (20, 2) ON CONFLICT (id) DO UPDATE SET v = (SELECT count(*) FROM e WHERE e.k = r.id) RETURNING id, v, (SELECT count(*) FROM d WHERE d.k < r.id);
INSERT INTO l VALUES (1, 1), (20, 2) ON CONFLICT (id) DO UPDATE SET v = (SELECT count(*) FROM e WHERE e.k = l.id) RETURNING id, v, (SELECT count(*) FROM d WHERE d.k < l.id);
INSERT INTO p VALUES (20, 1), (21, 20) RETURNING k, (SELECT count(*) FROM p AS o WHERE o.v < p.v);
INSERT INTO s (k, v) VALUES (1, 1), (2, 2) RETURNING k, id > 0, (SELECT count(*) FROM d WHERE d.v > s.v);
SELECT * FROM d;
SELECT * FROM r;
SELECT * FROM l;

-- functions of the coordinator

INSERT INTO d VALUES (1, 1), (2, 2), (50, 3) ON CONFLICT (k) DO UPDATE SET v = nextval('q')::int * 0 + 4;
INSERT INTO d VALUES (1, 1) ON CONFLICT (k) DO UPDATE SET v = d.v + nextval('q') * 0 + excluded.v WHERE d.v < 100 + nextval('q') RETURNING *;
INSERT INTO d SELECT k, v, t FROM e WHERE k = 2 AND v = 2 ON CONFLICT (k) DO UPDATE SET t = 'd'::regclass::text || nextval('q')::bigint * 0, v = excluded.v + 70 RETURNING *;
INSERT INTO s (k, v) VALUES (1, 1), (2, 2), (3, 3) ON CONFLICT (k) DO UPDATE SET v = s.v + nextval('q') * 0 + 10 RETURNING k, v;
INSERT INTO d VALUES (1, 1), (1, 2) ON CONFLICT (k) DO UPDATE SET v = nextval('q');
INSERT INTO d VALUES (1, 1) ON CONFLICT (k) DO UPDATE SET v = twice(d.v) RETURNING v;
-- @refused
INSERT INTO d VALUES (1, 1) ON CONFLICT (k) DO UPDATE SET v = setval('q', d.v);
INSERT INTO d VALUES (60, 1), (61, 2) RETURNING k, nextval('q') > 0, local(v);
INSERT INTO d VALUES (62, 1) RETURNING tableoid::regclass, *;
INSERT INTO d VALUES (63, 1) RETURNING nextval('q') > 0;
INSERT INTO d SELECT k + 70, v FROM e RETURNING twice(k), (SELECT local(d.v) + count(*) FROM x WHERE x.v = d.v), d;
DELETE FROM d WHERE k > 70;
INSERT INTO d SELECT k + 70, v FROM e WHERE v < 5 RETURNING twice(k), (SELECT local(d.v) + count(*) FROM x WHERE x.v = d.v), d;
UPDATE d SET v = v + 1 RETURNING tableoid::regclass, k, v;
UPDATE d SET v = v + 1 RETURNING k, local(1), local(k), nextval('q') > 0;
UPDATE d SET v = nextval('q') * 0 + k WHERE k < 9 RETURNING k, nextval('q') > 0, (SELECT count(*) FROM e WHERE e.v = d.v);
UPDATE d SET v = nextval('q') * 0 + e.v FROM e WHERE e.k = d.k AND e.v < 5 RETURNING d.k, e.v, e.t || d.v;
UPDATE d SET v = nextval('q') * 0 + e.v FROM e WHERE e.k = d.k AND e.v < 5 RETURNING *;
UPDATE r SET v = nextval('q') * 0 + l.v FROM l WHERE l.id = r.id RETURNING r, l.v + r.id, l.v;
-- @refused
UPDATE r SET v = nextval('q') * 0 + l.v FROM l WHERE l.id = r.id RETURNING r.v, l;
UPDATE d AS n SET t = 'z' WHERE k = 3 RETURNING n, local(n.k), (SELECT max(x.v) FROM x WHERE x.v < n.k);
UPDATE d SET v = 5 WHERE false RETURNING nextval('q');
UPDATE d SET k = 80 WHERE k = 9 RETURNING k, twice(k), tableoid::regclass;
WITH w AS (SELECT id FROM l WHERE id < 4) UPDATE d SET v = twice(d.k) FROM w WHERE w.id = d.k RETURNING *, (SELECT count(*) FROM w), local(w.id);
WITH w AS (SELECT id FROM l WHERE id < 4) INSERT INTO d SELECT id + 200 FROM w RETURNING k, twice(k), (SELECT max(w.id) FROM w);
DELETE FROM d USING l WHERE l.id = d.k AND d.v < twice(l.v) AND d.k < 3 RETURNING *;
DELETE FROM d WHERE k > 60 RETURNING nextval('q') > 0;
DELETE FROM d WHERE k > 60 RETURNING nextval('q') > 0;
DELETE FROM p WHERE v = 3 RETURNING k, twice(v);
UPDATE d SET v = 1 WHERE k = 4 RETURNING currval('q') > 0, v;
-- @params 4
UPDATE d SET v = 2 WHERE k = $1 RETURNING twice($1 + v);
BEGIN;
INSERT INTO d VALUES (90, 1), (91, 2) RETURNING k, local(v);
SAVEPOINT one;
DELETE FROM d RETURNING k, twice(k);
ROLLBACK TO one;
COMMIT;
SELECT * FROM d;
SELECT k, v FROM s;
SELECT * FROM r;

-- data-modifying WITH queries that read the table they change

WITH m AS (UPDATE d SET t = 'm' WHERE v IN (SELECT max(v) FROM d WHERE k < 40) RETURNING *) SELECT count(*), min(k) FROM m;
WITH m AS (DELETE FROM d WHERE EXISTS (SELECT FROM d AS o WHERE o.v = d.v AND o.k < d.k) RETURNING k, v) SELECT * FROM m JOIN x ON x.v = m.v;
WITH m AS (INSERT INTO d SELECT k + 300, v FROM d WHERE k < 8 ON CONFLICT DO NOTHING RETURNING k) INSERT INTO l SELECT k, k FROM m RETURNING id;
WITH m AS (UPDATE r SET v = v + (SELECT count(*) FROM r) WHERE id < 3 RETURNING id, v) SELECT m.v, e.t FROM m LEFT JOIN e ON e.v = m.id;
-- @refused
WITH m AS (DELETE FROM d RETURNING k) SELECT count(*) FROM d;
SELECT * FROM d;
SELECT * FROM r;
SELECT * FROM l;
