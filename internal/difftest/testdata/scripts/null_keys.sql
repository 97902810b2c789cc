-- Rows without a distribution value: they lie together, in the shard of hash 0, and equal nothing.

CREATE TABLE d (k int, v int, t text DEFAULT 'd');
CREATE TABLE e (k int, v int);
CREATE TABLE n (k int NOT NULL, v int);
CREATE TABLE s (name text, v int, id serial);
CREATE TABLE l (k int, v int);
CREATE TABLE f (k int PRIMARY KEY, v int);
CREATE TABLE p (k int, v int, day date) PARTITION BY RANGE (day);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE p2 PARTITION OF p DEFAULT;
INSERT INTO d VALUES (1, 1), (NULL, 100), (NULL, NULL), (2, 2);
-- @gateway
SELECT create_distributed_table('d', 'k');
-- @gateway
SELECT create_distributed_table('e', 'k');
-- @gateway
SELECT create_distributed_table('n', 'k');
-- @gateway
SELECT create_distributed_table('s', 'name', shard_count => 3);
-- @gateway
SELECT create_distributed_table('f', 'k');
-- @gateway
SELECT create_distributed_table('p', 'k');
SELECT * FROM d;
-- @gateway
SELECT 1 / (shardid = (SELECT shardid FROM pg_dist_shard WHERE logicalrelid = 'd'::regclass AND 0 BETWEEN shardminvalue::int AND shardmaxvalue::int))::int FROM get_shard_id_for_distribution_column('d', NULL::int) AS shardid;

-- INSERT

INSERT INTO d VALUES (NULL, 3), (3, 3), (NULL, 4) RETURNING *;
INSERT INTO d (v) VALUES (5);
INSERT INTO d DEFAULT VALUES RETURNING k, v, t;
-- @params 6
INSERT INTO d VALUES (NULL, $1);
INSERT INTO d VALUES (nullif(1, 1), 7), (coalesce(NULL, 9), 8);
INSERT INTO d SELECT NULL, g FROM generate_series(10, 12) AS g;
INSERT INTO d SELECT nullif(g, 2), g FROM generate_series(1, 3) AS g RETURNING k IS NULL, v;
INSERT INTO e SELECT k, v FROM d WHERE k IS NULL OR k < 3;
INSERT INTO e SELECT v, k FROM d WHERE v > 10;
INSERT INTO l SELECT * FROM e;
INSERT INTO s (name, v) VALUES (NULL, 1), ('a', 2), (NULL, 3);
INSERT INTO s (v) SELECT v FROM e;
INSERT INTO p VALUES (NULL, 1, '2020-05-05'), (NULL, 2, NULL), (4, 4, '2020-06-06');
SELECT * FROM d;
SELECT * FROM e;
SELECT name, v, id > 0 FROM s;

-- what forbids it

INSERT INTO n VALUES (1, 1), (2, 2);
INSERT INTO n VALUES (NULL, 1);
INSERT INTO n VALUES (3, 3), (NULL, 1);
INSERT INTO n (v) VALUES (1);
INSERT INTO n SELECT k, v FROM d;
INSERT INTO f VALUES (NULL, 1);
UPDATE n SET k = NULL WHERE v = 1;
SELECT * FROM n;

-- reading

SELECT * FROM d WHERE k IS NULL;
SELECT count(*) FROM d WHERE k IS NOT NULL;
SELECT * FROM d WHERE k = NULL;
SELECT * FROM d WHERE k IS NULL AND v > 3;
SELECT * FROM d WHERE k IS NULL OR k = 1;
SELECT * FROM d WHERE k IS NOT DISTINCT FROM NULL;
SELECT k, count(*), sum(v) FROM d GROUP BY k;
SELECT k, count(*) FROM d GROUP BY k HAVING count(*) > 1;
SELECT DISTINCT k FROM d;
SELECT DISTINCT ON (k) k, v FROM d ORDER BY k, v;
SELECT count(DISTINCT k), count(k), count(*), count(DISTINCT (k, v)) FROM d;
SELECT k, v, rank() OVER (PARTITION BY k ORDER BY v), count(*) OVER (PARTITION BY k) FROM d;
-- @ordered
SELECT k, v FROM d ORDER BY k, v;
-- @ordered
SELECT k, v FROM d ORDER BY k NULLS FIRST, v LIMIT 4;
-- @ordered
SELECT k, v FROM d ORDER BY k DESC, v DESC LIMIT 4;
SELECT * FROM d JOIN e USING (k);
SELECT d.v, e.v FROM d LEFT JOIN e ON d.k = e.k;
SELECT d.v, e.v FROM d RIGHT JOIN e ON d.k = e.k;
SELECT d.k, d.v, e.k, e.v FROM d FULL JOIN e ON d.k = e.k;
SELECT k, d.v, e.v FROM d FULL JOIN e USING (k);
SELECT k, count(*) FROM d FULL JOIN e USING (k) GROUP BY k;
SELECT DISTINCT k FROM d FULL JOIN e USING (k);
SELECT k, count(*) FROM d LEFT JOIN e USING (k) GROUP BY k;
SELECT e.k, count(*) FROM d LEFT JOIN e ON d.k = e.k GROUP BY e.k;
SELECT d.v FROM d LEFT JOIN e ON d.k = e.k WHERE e.k IS NULL;
SELECT d.v FROM d LEFT JOIN e ON d.k = e.k WHERE d.k = 1 AND e.k IS NULL;
SELECT d.v FROM d LEFT JOIN e ON d.k = e.k WHERE d.k IS NULL;
SELECT d.v, e.v FROM d JOIN e ON d.k = e.k WHERE d.k IS NULL;
SELECT d.v, e.v FROM d, e WHERE d.k IS NULL AND e.k IS NULL AND d.v = e.v;
SELECT d.v, e.v FROM d JOIN e ON d.k IS NOT DISTINCT FROM e.k;
SELECT d.v, n.v FROM d LEFT JOIN n ON d.k = n.k;
SELECT d.v, s.name FROM d LEFT JOIN s ON d.v = s.v;
SELECT d.k, s.name FROM d FULL JOIN s ON d.k::text = s.name;
SELECT s.name, e.v FROM s FULL JOIN e ON s.v = e.k;
SELECT v FROM d WHERE k IN (SELECT k FROM e);
SELECT v FROM d WHERE k NOT IN (SELECT k FROM e);
SELECT v FROM d WHERE k NOT IN (SELECT k FROM e WHERE k IS NOT NULL);
SELECT v FROM d WHERE k NOT IN (SELECT k FROM n WHERE v > 1);
SELECT v FROM d WHERE k NOT IN (SELECT k FROM n WHERE v > 100);
SELECT v FROM n WHERE k NOT IN (SELECT k FROM d);
SELECT v FROM n WHERE k NOT IN (SELECT k FROM d WHERE k > 1);
SELECT v FROM n WHERE (k IN (SELECT k FROM d WHERE k IS NULL OR k > 1)) IS NULL;
SELECT v, k IN (SELECT k FROM e) FROM d;
SELECT v, k IN (SELECT k FROM n WHERE v < 0) FROM d;
SELECT v, k IN (SELECT k FROM n) FROM d;
SELECT v FROM d WHERE EXISTS (SELECT FROM e WHERE e.k = d.k);
SELECT v FROM d WHERE NOT EXISTS (SELECT FROM e WHERE e.k = d.k);
SELECT v, (SELECT count(*) FROM e WHERE e.k = d.k) FROM d;
SELECT v, (SELECT count(*) FROM e WHERE e.k IS NOT DISTINCT FROM d.k) FROM d;
SELECT k FROM d UNION SELECT k FROM e;
SELECT k FROM d UNION ALL SELECT k FROM e;
SELECT k FROM d INTERSECT SELECT k FROM e;
SELECT k FROM d EXCEPT SELECT k FROM e;
SELECT k FROM d EXCEPT SELECT k FROM e WHERE k IS NOT NULL;
SELECT count(*) FROM (SELECT k FROM d UNION SELECT k FROM e) AS q;
SELECT * FROM d WHERE (k, v) IN (SELECT k, v FROM e);
SELECT k, v FROM d WHERE (k, v) NOT IN (SELECT k, v FROM n);
WITH w AS (SELECT k, count(*) AS n FROM d GROUP BY k) SELECT d.v, w.n FROM d LEFT JOIN w ON w.k = d.k;
SELECT l.v, d.v FROM l LEFT JOIN d ON l.k = d.k;
SELECT tableoid::regclass, k FROM p WHERE k IS NULL;
SELECT name, count(*) FROM s GROUP BY name;
SELECT a.v, b.v FROM s AS a JOIN s AS b ON a.name = b.name;
SELECT k, v FROM d WHERE k IS NULL AND v = 3 FOR UPDATE;

-- UPDATE, DELETE, MERGE

UPDATE d SET v = v + 1000 WHERE k IS NULL AND v < 5 RETURNING v;
UPDATE d SET k = NULL WHERE k = 3 RETURNING k, v;
UPDATE d SET k = v WHERE k IS NULL AND v > 1000 RETURNING k, v;
UPDATE d SET k = NULL, t = 'both' WHERE k > 1000 AND v < 1004;
UPDATE p SET k = 9 WHERE k IS NULL AND v = 1 RETURNING *;
UPDATE p SET k = NULL WHERE k = 4;
UPDATE s SET name = NULL WHERE name = 'a';
UPDATE d SET t = e.v::text FROM e WHERE d.k = e.k;
UPDATE d SET t = 'missing' FROM e WHERE d.k IS NULL AND e.k IS NULL AND d.v = e.v;
DELETE FROM d USING e WHERE d.k IS NULL AND e.k IS NULL AND e.v = d.v AND d.v = 10 RETURNING d.v;
DELETE FROM e WHERE k IS NULL AND v = 11;
MERGE INTO d USING e ON d.k = e.k WHEN MATCHED THEN UPDATE SET t = 'merged' WHEN NOT MATCHED THEN INSERT (k, v, t) VALUES (e.k, e.v, 'new');
MERGE INTO d USING (SELECT v AS k, v FROM l WHERE v IS NULL) AS x ON d.k = x.k WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (k, v, t) VALUES (x.k, x.v, 'from l');
INSERT INTO f VALUES (1, 1) ON CONFLICT (k) DO UPDATE SET v = 2;
SELECT * FROM d;
SELECT * FROM e;
SELECT * FROM p;
SELECT name, v FROM s;

-- unique indexes let NULLs pass, unless they are told not to

CREATE UNIQUE INDEX ON e (k, v);
INSERT INTO e VALUES (NULL, 12) ON CONFLICT (k, v) DO NOTHING;
INSERT INTO e VALUES (NULL, 12), (50, 50) ON CONFLICT DO NOTHING RETURNING k;
CREATE TABLE u (k int, v int, UNIQUE NULLS NOT DISTINCT (k));
-- @gateway
SELECT create_distributed_table('u', 'k');
INSERT INTO u VALUES (NULL, 1), (1, 1);
INSERT INTO u VALUES (NULL, 2);
INSERT INTO u VALUES (NULL, 3), (2, 2) ON CONFLICT (k) DO UPDATE SET v = excluded.v RETURNING *;
SELECT * FROM u;

-- foreign keys do not look at NULLs

CREATE TABLE parent (k int PRIMARY KEY);
CREATE TABLE child (k int REFERENCES parent ON DELETE CASCADE, v int);
-- @gateway
SELECT create_distributed_table('parent', 'k');
-- @gateway
SELECT create_distributed_table('child', 'k');
INSERT INTO parent VALUES (1), (2);
INSERT INTO child VALUES (1, 1), (NULL, 2), (2, 3);
DELETE FROM parent WHERE k = 1;
SELECT * FROM child;

-- triggers on the shards

CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.v := NEW.v + 1; RETURN NEW; END $$;
CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON child FOR EACH ROW EXECUTE FUNCTION stamp();
INSERT INTO child VALUES (NULL, 10), (2, 20) RETURNING *;
UPDATE child SET v = 30 WHERE k IS NULL;
SELECT * FROM child;

-- definitions take such rows along

ALTER TABLE d ALTER COLUMN k TYPE bigint;
SELECT k, v FROM d WHERE k IS NULL;
-- @gateway
SELECT alter_distributed_table('e', distribution_column => 'v');
SELECT * FROM e;
-- @gateway
SELECT alter_distributed_table('e', distribution_column => 'k');
SELECT * FROM e WHERE k IS NULL;
ALTER TABLE d ALTER COLUMN k SET NOT NULL;
DELETE FROM e WHERE k IS NULL;
ALTER TABLE e ALTER COLUMN k SET NOT NULL;
INSERT INTO e VALUES (NULL, 1);
-- @gateway
SELECT undistribute_table('d');
SELECT * FROM d;
