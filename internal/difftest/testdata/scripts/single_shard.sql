-- Tables without a distribution column: one shard each, co-located with one another by default.

CREATE TABLE a (id int PRIMARY KEY, v int UNIQUE, s serial, t text DEFAULT 'none');
CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a ON DELETE SET NULL, at timestamptz DEFAULT '2024-01-01');
CREATE TABLE apart (id int PRIMARY KEY, v int);
CREATE TABLE d (k int PRIMARY KEY, v int);
CREATE TABLE r (id int PRIMARY KEY, v int);
INSERT INTO a (id, v) SELECT i, i * 10 FROM generate_series(1, 20) AS i;
INSERT INTO b SELECT i, i FROM generate_series(1, 10) AS i;

-- @gateway
SELECT create_distributed_table('a', NULL);
-- @gateway
SELECT create_distributed_table('b', NULL, colocate_with => 'a');
-- @gateway
SELECT create_distributed_table('apart', NULL, colocate_with => 'none');
-- @gateway
SELECT create_distributed_table('d', 'k');
-- @gateway
SELECT create_reference_table('r');
INSERT INTO d SELECT i, i % 4 FROM generate_series(1, 12) AS i;
INSERT INTO r SELECT i, i FROM generate_series(1, 5) AS i;
INSERT INTO apart SELECT i, i % 3 FROM generate_series(1, 9) AS i;

SELECT * FROM a;
SELECT * FROM a JOIN b ON b.a = a.id WHERE b.id < 4;
SELECT count(*), sum(v), array_agg(id ORDER BY id) FROM a WHERE v BETWEEN 30 AND 90;
SELECT a.id, apart.v FROM a LEFT JOIN apart ON apart.id = a.id;
SELECT d.k, a.v FROM d FULL JOIN a ON a.id = d.k;
SELECT d.k, x.n FROM d JOIN LATERAL (SELECT count(*) AS n FROM a WHERE a.id > d.k) x ON true;
SELECT a.id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.a = a.id) AND NOT EXISTS (SELECT 1 FROM apart WHERE apart.id = a.id);
SELECT a.id FROM a WHERE v = (SELECT max(v) FROM a AS other WHERE other.v < (SELECT max(v) FROM a));
SELECT d.v, (SELECT count(*) FROM a JOIN b ON b.a = a.id WHERE a.id <= d.v) FROM d GROUP BY d.v;
SELECT r.id, a.v FROM r LEFT JOIN a ON a.id = r.id;
SELECT id FROM a INTERSECT SELECT id FROM b INTERSECT SELECT k FROM d;
WITH RECURSIVE up(id) AS (SELECT 1 UNION ALL SELECT a.id FROM a JOIN up ON a.id = up.id + 1 WHERE a.id < 7) SELECT sum(id) FROM up;
-- @ordered
SELECT id, rank() OVER (ORDER BY v DESC) FROM a ORDER BY id LIMIT 5 OFFSET 2;
SELECT * FROM a WHERE id = 3 FOR UPDATE;

INSERT INTO a (id, v) VALUES (100, 1000), (101, 1010) RETURNING *;
INSERT INTO a (id, v) VALUES (100, 5);
INSERT INTO a (id, v) VALUES (102, 1000);
INSERT INTO a (id, v) VALUES (100, 1) ON CONFLICT (id) DO UPDATE SET v = excluded.v, id = 200 RETURNING *;
INSERT INTO a (id, v) SELECT id + 300, v + 3000 FROM a WHERE id < 3 RETURNING id, v, s;
INSERT INTO b SELECT id + 300, id FROM a WHERE id < 3 RETURNING *;
INSERT INTO b SELECT k + 400, k FROM d WHERE k < 3 RETURNING *;
INSERT INTO d SELECT id + 1000, v FROM a WHERE id > 15;
INSERT INTO a DEFAULT VALUES;
INSERT INTO b VALUES (500, 999);
UPDATE a SET id = id + 1000 WHERE id = 200 RETURNING *;
UPDATE a SET t = b.id::text FROM b WHERE b.a = a.id AND a.id < 4 RETURNING a.id, t;
UPDATE a SET t = 'from d' FROM d WHERE d.k = a.id AND d.k IN (5, 6) RETURNING a.id;
UPDATE a SET t = upper(t), v = v + 100000 * (SELECT count(*) FROM d);
DELETE FROM a WHERE id = 4;
SELECT count(*) FROM b WHERE a IS NULL;
DELETE FROM a USING apart WHERE apart.id = a.id AND apart.v = 2 RETURNING a.id;
MERGE INTO apart USING d ON d.k = apart.id WHEN MATCHED THEN UPDATE SET v = 100 WHEN NOT MATCHED THEN INSERT VALUES (d.k, d.v);
MERGE INTO b USING a ON b.a = a.id AND a.v > 100 WHEN MATCHED THEN DELETE WHEN NOT MATCHED AND a.id > 300 THEN INSERT VALUES (a.id + 5000, a.id);
SELECT * FROM apart;
SELECT * FROM b;
WITH gone AS (DELETE FROM apart WHERE id > 10 RETURNING *) INSERT INTO r SELECT id + 100, v FROM gone;
SELECT * FROM r;
BEGIN;
TRUNCATE a CASCADE;
SELECT count(*) FROM b;
ROLLBACK;
SELECT count(*) FROM b;

CREATE UNIQUE INDEX ON a (lower(t), id);
ALTER TABLE a ADD COLUMN w int GENERATED ALWAYS AS (v * 2) STORED, ADD UNIQUE (w);
ALTER TABLE b ADD CHECK (id <> 77), ALTER COLUMN a SET DEFAULT 1;
INSERT INTO b (id) VALUES (77);
INSERT INTO b (id) VALUES (78) RETURNING *;
ALTER TABLE apart ADD COLUMN n bigserial;
SELECT count(DISTINCT n) FROM apart;
ALTER TABLE a RENAME v TO amount;
SELECT sum(amount), sum(w) FROM a;
CREATE TABLE p (k int, day date) PARTITION BY RANGE (day);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
-- @gateway
SELECT create_distributed_table('p', NULL, colocate_with => 'a');
CREATE TABLE p_2 PARTITION OF p FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
INSERT INTO p SELECT i, '2024-01-01'::date + i FROM generate_series(1, 40) AS i;
SELECT count(*) FROM p_2;
SELECT count(*) FROM p JOIN a ON a.id = p.k;
-- @gateway
SELECT alter_distributed_table('apart', distribution_column => 'id');
SELECT count(*), sum(v) FROM apart;
SELECT * FROM apart WHERE id = 3;
-- @gateway
SELECT undistribute_table('a', cascade_via_foreign_keys => true);
SELECT count(*), sum(amount) FROM a JOIN b ON b.a = a.id;
DROP TABLE a, b, p;
