-- When functions are evaluated, and by what rows are sorted.

CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE SEQUENCE seq;
CREATE TABLE d (k int PRIMARY KEY, v int, t text, c text COLLATE "C", i text COLLATE "en-x-icu", n text COLLATE ci, f float8, ts timestamptz DEFAULT now());
CREATE TABLE x (b text NOT NULL, v int, n text COLLATE ci);
CREATE TABLE r (id int PRIMARY KEY, n text COLLATE ci);

-- @gateway
SELECT create_distributed_table('d', 'k', shard_count => 6);
-- @gateway
SELECT create_distributed_table('x', 'b', shard_count => 3);
-- @gateway
SELECT create_reference_table('r');

INSERT INTO d SELECT g, nullif(g % 6, 2), w, w, w, w, CASE g % 5 WHEN 0 THEN 'NaN' WHEN 1 THEN '-Infinity' WHEN 2 THEN NULL ELSE g / 4.0 END
  FROM generate_series(1, 36) AS g, LATERAL (SELECT (ARRAY['a', 'A', 'b', 'B', 'ä', 'Ä', 'ab', 'AB', '_', NULL, 'z', '10', '9'])[1 + g % 13]) AS s (w);
INSERT INTO x SELECT chr(97 + g % 4), g % 6, (ARRAY['a', 'A', 'Ab', 'B', NULL])[1 + g % 5] FROM generate_series(1, 20) AS g;
INSERT INTO r VALUES (1, 'A'), (2, 'b'), (3, 'AB'), (4, 'Z');

-- one instant for the whole statement

SELECT count(DISTINCT now()), count(DISTINCT statement_timestamp()), count(DISTINCT CURRENT_TIMESTAMP), count(DISTINCT CURRENT_DATE) FROM d;
SELECT count(DISTINCT q.t) FROM (SELECT now() AS t FROM d UNION ALL SELECT now() FROM x UNION ALL SELECT now() FROM r) AS q;
SELECT bool_and(q.t = now()), count(*) FROM d JOIN (SELECT v, now() AS t FROM x) AS q ON q.v = d.v;
SELECT count(*) FROM d WHERE now() = (SELECT now()) AND statement_timestamp() <= clock_timestamp();
SELECT count(DISTINCT transaction_timestamp()) = 1 AND bool_and(ts <= now()) FROM d;
BEGIN;
SELECT count(*) FROM d WHERE now() = transaction_timestamp();
SELECT count(DISTINCT a.t) FROM (SELECT now() AS t FROM d UNION ALL SELECT now()) AS a;
COMMIT;

-- once for each row

SELECT count(*), max(n) - min(n) + 1, min(n) FROM (SELECT nextval('seq') AS n FROM d) AS q;
SELECT count(DISTINCT n) FROM (SELECT nextval('seq') AS n FROM d JOIN x ON x.v = d.v) AS q;
SELECT nextval('seq');
SELECT currval('seq') FROM d WHERE k = 3;
SELECT count(*), count(DISTINCT r) FROM (SELECT random() AS r FROM d) AS q;
SELECT count(DISTINCT r) FROM (SELECT (SELECT random()) AS r FROM d) AS q;
SELECT count(DISTINCT r) = count(*) FROM (SELECT d.k, random() AS r FROM d JOIN x ON x.v = d.v) AS q;
SELECT count(DISTINCT gen_random_uuid()) FROM d;
WITH q AS (SELECT random() AS r FROM d) SELECT count(*) FROM q AS a JOIN q AS b ON a.r = b.r;
WITH q AS (SELECT nextval('seq') AS n) SELECT count(*), count(DISTINCT q.n) FROM q, d;
SELECT nextval('seq');
SELECT count(*) FROM d WHERE nextval('seq') > 0;
SELECT nextval('seq');

-- sorting: collations (of strings that a collation takes for equal, PostgreSQL shows any), NULLS, USING, expressions, ties

-- @ordered
SELECT t, k FROM d ORDER BY t, k;
-- @ordered
SELECT c, k FROM d ORDER BY c DESC, k;
-- @ordered
SELECT i, k FROM d ORDER BY i NULLS FIRST, k;
-- @ordered
SELECT n, k FROM d ORDER BY n, k;
-- @ordered
SELECT k FROM d ORDER BY n COLLATE "C" DESC NULLS LAST, k;
-- @ordered
SELECT k FROM d ORDER BY t COLLATE "en-x-icu", k LIMIT 9 OFFSET 3;
-- @ordered
SELECT k FROM d ORDER BY f USING >, k;
-- @ordered
SELECT k, f FROM d ORDER BY f DESC NULLS LAST, k DESC;
-- @ordered
SELECT k FROM d ORDER BY v USING < NULLS FIRST, k;
-- @ordered
SELECT k FROM d ORDER BY i USING ~>~, k;
-- @ordered
SELECT k FROM d ORDER BY k % 5, abs(k - 18), k;
-- @ordered
SELECT t FROM d WHERE k < 20 ORDER BY length(t) DESC NULLS FIRST, k;
-- @ordered
SELECT v, lower(max(n) COLLATE "C"), count(*) FROM d GROUP BY v ORDER BY max(n), v;
-- @ordered
SELECT lower(n COLLATE "en-x-icu"), count(*) FROM d WHERE n > 'A' GROUP BY n HAVING count(*) > 2 ORDER BY n FETCH FIRST 2 ROWS WITH TIES;
-- @ordered
SELECT d.i, x.v FROM d JOIN x ON d.v = x.v ORDER BY d.i DESC, x.v, d.k LIMIT 12;
-- @ordered
SELECT DISTINCT i FROM d ORDER BY i;
-- @ordered
SELECT i AS s FROM d UNION SELECT b FROM x ORDER BY s;
SELECT count(DISTINCT n), count(DISTINCT t) FROM d;
SELECT lower(n COLLATE "C"), count(*) FROM d GROUP BY 1;
SELECT d.k, r.id FROM d JOIN r ON d.n = r.n;
SELECT x.b, r.id FROM x LEFT JOIN r ON x.n = r.n;
SELECT d.k, x.b FROM d JOIN x ON d.n = x.n AND d.v = x.v;
SELECT k FROM d WHERE n = 'ab';
SELECT k FROM d WHERE n IN (SELECT n FROM x);
SELECT k FROM d WHERE n IN ('A', 'Z');
SELECT k FROM d WHERE c < i ORDER BY k;
SELECT c < t, i || t FROM d WHERE k = 3;
SELECT max(c), min(c), max(i), min(i), lower(max(n) COLLATE "C") FROM d;
SELECT string_agg(i, ',' ORDER BY i, k), array_agg(c ORDER BY c DESC, k) FROM d;
