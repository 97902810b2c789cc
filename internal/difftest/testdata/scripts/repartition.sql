-- Joins whose rows are moved by the hash of the join key: one side, or both; with NULL keys, duplicates, and keys of other types.

CREATE TABLE a (id int PRIMARY KEY, v int, w bigint, t text, c varchar(9), n numeric);
CREATE TABLE b (id int PRIMARY KEY, v int, t text, u uuid, d date);
CREATE TABLE x (id text PRIMARY KEY, a bigint, v smallint, u uuid, d date);
CREATE TABLE r (id int PRIMARY KEY, name text);
CREATE TABLE l (id int, v int);

-- @gateway
SELECT create_distributed_table('a', 'id');
-- @gateway
SELECT create_distributed_table('b', 'id', colocate_with => 'a');
-- @gateway
SELECT create_distributed_table('x', 'id', colocate_with => 'none', shard_count => 3);
-- @gateway
SELECT create_reference_table('r');

INSERT INTO a SELECT g, nullif(g % 7, 0), g % 11, 'n' || g % 5, 'n' || g % 4, g / 2.0 FROM generate_series(1, 60) AS g;
INSERT INTO b SELECT g, nullif(g % 9, 0), 'n' || g % 6, lpad(g::text, 32, '0')::uuid, date '2026-01-01' + g % 20 FROM generate_series(1, 40) AS g;
INSERT INTO x SELECT 'n' || g, nullif(g % 50, 3), g % 6, lpad((g % 30)::text, 32, '0')::uuid, date '2026-01-01' + g % 15 FROM generate_series(1, 45) AS g;
INSERT INTO r SELECT g, 'n' || g FROM generate_series(1, 6) AS g;
INSERT INTO l SELECT g, g % 4 FROM generate_series(1, 8) AS g;

SET citus.enable_single_hash_repartition_joins = on;

-- one side, every kind of join, both ways round

SELECT a.id, b.id FROM a JOIN b ON a.id = b.v ORDER BY 1, 2;
SELECT a.id, b.id FROM a LEFT JOIN b ON a.id = b.v ORDER BY 1, 2;
SELECT a.id, b.id FROM a RIGHT JOIN b ON a.id = b.v ORDER BY 1, 2;
SELECT a.id, b.id FROM a FULL JOIN b ON a.id = b.v ORDER BY 1, 2;
SELECT a.id, b.id FROM b LEFT JOIN a ON a.id = b.v ORDER BY 1, 2;
SELECT a.id, b.id FROM b FULL JOIN a ON a.id = b.v AND a.v > 2 ORDER BY 1, 2;
SELECT id, b.v FROM a JOIN b USING (id) JOIN x ON x.a = b.v ORDER BY 1, 2, x.id;
SELECT * FROM a JOIN x ON x.id = a.t ORDER BY a.id, x.id;
SELECT * FROM a LEFT JOIN x ON x.id = a.t AND x.v > 2 ORDER BY a.id, x.id;
SELECT * FROM x LEFT JOIN a ON x.id = a.c ORDER BY a.id, x.id;
SELECT * FROM x LEFT JOIN a ON x.a = a.id WHERE a.id IS NULL ORDER BY x.id;
SELECT count(*), sum(a.w), min(x.id) FROM x FULL JOIN a ON x.a = a.id;
SELECT a.v, count(*) FROM a JOIN b ON b.v = a.id GROUP BY a.v ORDER BY 1;
SELECT b.v, count(*), count(a.id) FROM b LEFT JOIN a ON b.v = a.id GROUP BY b.v ORDER BY 1;
SELECT a.id, count(b.id) FROM a LEFT JOIN b ON b.v = a.id GROUP BY a.id ORDER BY 1;
SELECT a.id, r.name FROM a JOIN b ON b.v = a.id LEFT JOIN r ON r.id = b.v ORDER BY 1, 2, b.id;
SELECT a.id FROM a LEFT JOIN b ON b.v = a.id AND a.id = 5 ORDER BY 1;
SELECT a.id, b.id FROM a LEFT JOIN b ON b.v = a.id WHERE a.id = 5 ORDER BY 1, 2;
SELECT a.id, b.id FROM a LEFT JOIN b ON b.v = a.id WHERE b.v IN (2, 5) ORDER BY 1, 2;
SELECT a.id, b.id FROM b LEFT JOIN a ON b.v = a.id AND b.v = 5 ORDER BY 1, 2;
SELECT a.id, b.v FROM a JOIN b ON a.id = b.v JOIN b b2 ON b2.id = b.v ORDER BY 1, 2, b2.id, b.id;

-- both sides

SELECT a.id, b.id FROM a JOIN b ON a.v = b.v ORDER BY 1, 2;
SELECT a.id, b.id FROM a LEFT JOIN b ON a.v = b.v AND b.id > 20 ORDER BY 1, 2;
SELECT a.id, b.id FROM a RIGHT JOIN b ON a.v = b.v ORDER BY 1, 2;
SELECT a.id, b.id FROM a FULL JOIN b ON a.v = b.v ORDER BY 1, 2;
SELECT a.id, x.id FROM a FULL JOIN x ON a.w = x.v ORDER BY 1, 2;
SELECT b.id, x.id FROM b FULL JOIN x USING (u) ORDER BY 1, 2;
SELECT b.id, x.id FROM b FULL JOIN x ON b.d = x.d AND b.id > 5 ORDER BY 1, 2;
SELECT d, count(*), count(b.id), count(x.id) FROM b FULL JOIN x USING (d) GROUP BY d ORDER BY 1;
SELECT a.id, b.id FROM a FULL JOIN b ON a.t = b.t ORDER BY 1, 2;
SELECT a.id, b.id FROM a FULL JOIN b ON a.c = b.t WHERE a.v = 3 OR b.v = 4 ORDER BY 1, 2;
SELECT a.v, count(*) FROM a FULL JOIN b ON a.v = b.v FULL JOIN x ON x.v = b.v GROUP BY a.v ORDER BY 1;
SELECT a.id, b.id FROM a FULL JOIN b ON a.v = b.v AND a.id < b.id ORDER BY 1, 2 LIMIT 7 OFFSET 2;

-- semi- and anti-joins

SELECT id FROM a WHERE EXISTS (SELECT * FROM b WHERE b.v = a.id) ORDER BY 1;
SELECT id FROM a WHERE NOT EXISTS (SELECT * FROM b WHERE b.v = a.id) ORDER BY 1;
SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.v = a.id AND b.id > a.w) ORDER BY 1;
SELECT id FROM a WHERE id IN (SELECT v FROM b) ORDER BY 1;
SELECT id FROM a WHERE id NOT IN (SELECT v FROM b) ORDER BY 1;
SELECT id FROM a WHERE id NOT IN (SELECT v FROM b WHERE v IS NOT NULL) ORDER BY 1;
SELECT id FROM a WHERE (id IN (SELECT v FROM b)) IS NULL ORDER BY 1;
SELECT id, (SELECT count(*) FROM b WHERE b.v = a.id), (SELECT max(b.t) FROM b WHERE b.v = a.id AND b.id <> a.w) FROM a ORDER BY 1;
SELECT id FROM a WHERE w > (SELECT avg(b.id) / 4 FROM b WHERE b.v = a.id) ORDER BY 1;
SELECT id FROM b WHERE EXISTS (SELECT FROM x WHERE x.a = b.id AND x.v = 1) AND NOT EXISTS (SELECT x.* FROM x WHERE x.a = b.id AND x.d > b.d) ORDER BY 1;
SELECT a.id, s.id FROM a, LATERAL (SELECT b.id FROM b WHERE b.v = a.id ORDER BY b.id LIMIT 1) s ORDER BY 1;

-- with what is reduced by rows that every node has, and in blocks

SELECT a.id, b.id, r.name FROM a, b, r WHERE a.v = b.v AND b.v = r.id AND r.name <> 'n3' ORDER BY 1, 2;
SELECT a.id, l.v FROM a JOIN b ON a.id = b.v JOIN l ON l.id = b.v ORDER BY 1, 2, b.id;
WITH q AS (SELECT v, count(*) AS n FROM b GROUP BY v) SELECT a.id, q.n FROM a LEFT JOIN q ON q.v = a.id ORDER BY 1;
SELECT a.id FROM a JOIN b ON a.id = b.v WHERE b.t IN (SELECT t FROM a WHERE v = 3) ORDER BY 1;
SELECT count(*) FROM (SELECT a.id FROM a LEFT JOIN b ON a.id = b.v WHERE b.id IS NULL) s;
SELECT a.id FROM a JOIN b ON a.id = b.v UNION SELECT x.a FROM x JOIN a ON a.id = x.a ORDER BY 1;
BEGIN;
UPDATE b SET v = 59 WHERE id = 40;
SELECT a.id, b.id FROM a LEFT JOIN b ON a.id = b.v ORDER BY 1, 2;
SELECT a.id, b.id FROM a FULL JOIN b ON a.v = b.v ORDER BY 1, 2;
UPDATE a SET w = b.id FROM b WHERE b.v = a.id AND b.id = 40;
DELETE FROM b USING a WHERE a.v = b.v AND a.id = 59;
COMMIT;
SELECT * FROM a ORDER BY id;
SELECT * FROM b ORDER BY id;
SELECT a.id, b.id FROM a LEFT JOIN b ON a.id = b.v FOR UPDATE OF a;
RESET citus.enable_single_hash_repartition_joins;
SELECT a.id, b.id FROM a LEFT JOIN b ON a.id = b.v ORDER BY 1, 2;

-- collations stay with rows that are many enough for a table of their own

CREATE TABLE words (id int PRIMARY KEY, w text COLLATE "en-x-icu", filler text);
-- @gateway
SELECT create_distributed_table('words', 'id');
INSERT INTO words SELECT g, chr(CASE WHEN g % 2 = 0 THEN 65 ELSE 97 END + g % 26) || g, repeat('x', 100) FROM generate_series(1, 1500) AS g;
SELECT a.id, count(*) FROM a CROSS JOIN (SELECT * FROM words ORDER BY id LIMIT 900) AS s WHERE s.w < upper(a.t) AND a.id < 9 GROUP BY a.id ORDER BY 1;
SELECT DISTINCT pg_collation_for(s.w) FROM a CROSS JOIN (SELECT * FROM words ORDER BY id LIMIT 900) AS s WHERE length(s.filler) > a.id;
SELECT s.w FROM a JOIN (SELECT * FROM words ORDER BY id LIMIT 900) AS s ON s.id % 70 = a.v AND a.w > 8 ORDER BY s.w, a.id LIMIT 30;

-- RETURNING asks for rows that match the new values, not the old ones

BEGIN;
UPDATE r SET id = id + 6 WHERE name > 'n3' RETURNING id, (SELECT count(*) FROM a WHERE a.w = r.id), (SELECT min(x.id) FROM x WHERE x.a = r.id);
UPDATE r SET name = 'n' || id WHERE id > 8 RETURNING id, (SELECT count(*) FROM a JOIN b ON a.id = b.v WHERE a.t = r.name);
ROLLBACK;

-- only the keys that are asked for move: found first, few or many of them, in a block too

SELECT a.id FROM a WHERE a.v = 3 AND NOT EXISTS (SELECT * FROM b WHERE b.v = a.id) ORDER BY 1;
SELECT a.id, a.w < (SELECT sum(b.id) FROM b WHERE b.v = a.id) FROM a WHERE a.t = 'n2' AND a.id < 30 ORDER BY 1;
SELECT a.id FROM a WHERE a.w > (SELECT count(*) FROM b WHERE b.v = a.id) AND a.id IN (SELECT id FROM b WHERE d > '2026-01-05') ORDER BY 1;
SELECT a.id FROM a WHERE a.w > 3 AND a.id IN (SELECT v FROM b) ORDER BY 1;
SELECT a.id FROM a LEFT JOIN r ON r.id = a.v WHERE r.id IS NULL AND a.w = 5 AND EXISTS (SELECT * FROM x WHERE x.a = a.id) ORDER BY 1;
SELECT r.id, a.id FROM r LEFT JOIN a ON a.v = r.id AND a.w = 5 AND EXISTS (SELECT * FROM x WHERE x.a = a.id) ORDER BY 1, 2;
SELECT r.id, a.id FROM r LEFT JOIN a ON a.v = r.id AND EXISTS (SELECT * FROM x WHERE x.a = a.id) WHERE a.w IS NULL ORDER BY 1, 2;
SELECT count(*) FROM words WHERE id % 3 > 0 AND NOT EXISTS (SELECT * FROM b WHERE b.v = words.id);
SELECT count(*) FROM words AS o WHERE id % 3 > 0 AND filler > (SELECT max(i.w) FROM words AS i WHERE length(i.filler) + i.id = o.id + 100 AND i.id % 2 = 0);
SELECT count(*) FROM words AS o WHERE id % 3 > 0 AND EXISTS (SELECT * FROM x WHERE x.a = o.id AND x.v > 1);
CREATE TABLE logs (id bigint PRIMARY KEY, word bigint, size int);
-- @gateway
SELECT create_distributed_table('logs', 'id', colocate_with => 'none', shard_count => 5);
INSERT INTO logs SELECT g, g % 1700, g % 13 FROM generate_series(1, 5000) AS g;
SELECT count(*), sum(id) FROM words WHERE id % 2 > 0 AND NOT EXISTS (SELECT * FROM logs WHERE logs.word = words.id AND size > 9);
SELECT count(*), sum(id) FROM words WHERE id % 2 > 0 AND id > (SELECT sum(size) FROM logs WHERE logs.word = words.id);
BEGIN;
SELECT count(*), sum(id) FROM words WHERE id % 2 > 0 AND id > (SELECT sum(size) FROM logs WHERE logs.word = words.id);
ROLLBACK;
WITH RECURSIVE q(c, n) AS (SELECT a.v, 0 FROM a WHERE a.id < 3 UNION SELECT b.v, n + 1 FROM q JOIN b ON b.id = q.c WHERE n < 2) SELECT a.id FROM a WHERE a.w > 3 AND a.t <> 'n1' ORDER BY 1;
