-- Functions in SQL that read distributed tables: their bodies are planned in place of their calls (15 and 16 of the list in
-- beyond_select.sql).

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

-- 15: functions that read distributed tables, called over distributed rows

CREATE FUNCTION orders_of(key int) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM e WHERE e.k = key';
CREATE FUNCTION same_v(int) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM d WHERE d.v = $1';
CREATE FUNCTION first_t(v int) RETURNS text LANGUAGE sql AS 'SELECT t FROM d WHERE d.v = first_t.v ORDER BY k';
CREATE FUNCTION strict_sum(a int, b int) RETURNS numeric LANGUAGE sql STRICT STABLE AS 'SELECT sum(v) FROM e WHERE k BETWEEN a AND b';
CREATE FUNCTION loose_sum(a int, b int) RETURNS numeric LANGUAGE sql STABLE AS 'SELECT sum(v) FROM e WHERE k >= coalesce(a, 0) AND k <= coalesce(b, 9)';
CREATE FUNCTION d_at(k int) RETURNS int LANGUAGE sql STABLE BEGIN ATOMIC SELECT d.v FROM d WHERE d.k = d_at.k; END;
CREATE FUNCTION d_max() RETURNS int LANGUAGE sql STABLE RETURN (SELECT max(k) FROM d);
CREATE FUNCTION twice(n int) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 2 * orders_of(n) + (SELECT count(*) FROM x WHERE x.v = n)';
CREATE FUNCTION nothing(n int) RETURNS int LANGUAGE sql STABLE AS 'SELECT v FROM d WHERE k = -n';

SELECT k, orders_of(k) FROM d;
SELECT k, v, same_v(v) FROM d;
SELECT k, first_t(v) FROM d WHERE k < 20;
SELECT orders_of(5), same_v(1), first_t(2), d_at(7), d_max();
SELECT orders_of FROM (SELECT orders_of(k) FROM d) AS q WHERE orders_of > 2;
SELECT k FROM d WHERE orders_of(k) > 2;
SELECT k FROM d WHERE same_v(v) = orders_of(k) + 3;
-- @ordered
SELECT k, orders_of(k) FROM d ORDER BY orders_of(k) DESC, k LIMIT 7;
SELECT orders_of(k), count(*) FROM d GROUP BY orders_of(k);
SELECT v, same_v(v), count(*) FROM d GROUP BY v HAVING same_v(v) > 5;
SELECT t, sum(orders_of(k)), max(same_v(v)) FROM d GROUP BY t;
SELECT same_v(max(v)) FROM d;
SELECT id, orders_of(id), d_at(id) FROM l;
SELECT id, orders_of(id), d_at(id) FROM r;
SELECT k, strict_sum(k, v), loose_sum(k, v) FROM d;
SELECT strict_sum(NULL, 3), loose_sum(NULL, 3), strict_sum(1, 9);
SELECT k, twice(v) FROM d WHERE k < 15;
SELECT k, nothing(k), nothing(k) IS NULL FROM d WHERE k < 5;
SELECT x.k, x.v, d_at(x.v) FROM x;
SELECT k, d_at(k), d_at(v), d_at(d_at(v)) FROM d WHERE k < 12;
SELECT d_at(k + 1), orders_of(least(k, 3)) FROM d WHERE k < 12;
SELECT d.k, e.v FROM d JOIN e ON e.v = d_at(d.k) WHERE d.k < 9;
SELECT CASE WHEN v > 3 THEN orders_of(k) ELSE same_v(v) END FROM d;
SELECT d_max(), k FROM d WHERE k = d_max();
SELECT d_max() FROM l WHERE id < 3;
WITH e AS (SELECT 1 AS k, 1 AS v) SELECT orders_of(5), count(*) FROM e;
SELECT public.orders_of(k) FROM d WHERE k < 5;
-- @params 7
SELECT orders_of($1), d_at($1::int), k FROM d WHERE k = $1;
CREATE VIEW seen AS SELECT k, orders_of(k) AS n FROM d;
SELECT n, count(*) FROM seen GROUP BY n;

-- 16: functions with arguments that return sets of a distributed table

CREATE FUNCTION by_v(int) RETURNS SETOF d LANGUAGE sql STABLE AS 'SELECT * FROM d WHERE v = $1';
CREATE FUNCTION keys_of(tag text) RETURNS SETOF int LANGUAGE sql AS 'SELECT k FROM d WHERE t = tag';
CREATE FUNCTION joined(low int, high int DEFAULT 9) RETURNS TABLE (k int, total bigint, name text) LANGUAGE sql STABLE
  AS 'SELECT d.k, sum(e.v), max(d.t) FROM d JOIN e USING (k) WHERE d.k BETWEEN low AND high GROUP BY d.k';
CREATE FUNCTION strict_set(int) RETURNS SETOF int LANGUAGE sql STRICT STABLE AS 'SELECT k FROM d WHERE v = coalesce($1, 1)';
CREATE FUNCTION everything() RETURNS TABLE (k int, v int) LANGUAGE sql STABLE BEGIN ATOMIC SELECT e.k, e.v FROM e UNION ALL SELECT d.k, d.v FROM d; END;

SELECT * FROM by_v(2);
SELECT b.t, b.k FROM by_v(4) AS b WHERE b.k > 10;
SELECT count(*), max(k) FROM by_v(1);
SELECT * FROM keys_of('a');
SELECT * FROM keys_of('b') AS q;
SELECT q.n FROM keys_of('c') AS q (n) WHERE n > 20;
SELECT * FROM joined(3, 12);
SELECT j.name, sum(j.total) FROM joined(1, 30) AS j GROUP BY j.name;
SELECT * FROM strict_set(NULL);
SELECT * FROM strict_set(5);
SELECT v, count(*) FROM everything() GROUP BY v;
SELECT r.id, b.k FROM r, by_v(r.v) AS b WHERE r.id < 5;
SELECT r.id, b.k FROM r LEFT JOIN LATERAL by_v(r.id) AS b ON b.k > 20;
SELECT d.k, j.total FROM d JOIN joined(1, 20) AS j USING (k);
SELECT d.k, q FROM d, keys_of(d.t) AS q WHERE d.k < 4;
SELECT * FROM d_at(7);
SELECT * FROM orders_of(5) AS n;
SELECT k FROM d WHERE k IN (SELECT * FROM keys_of('a'));
SELECT array(SELECT q FROM keys_of('d') AS q ORDER BY q);
-- @params 3 | 12
SELECT * FROM joined($1, $2);
PREPARE q (int) AS SELECT * FROM by_v($1);
EXECUTE q (1);
EXECUTE q (2);
CREATE OR REPLACE FUNCTION by_v(int) RETURNS SETOF d LANGUAGE sql STABLE AS 'SELECT * FROM d WHERE v = $1 + 1';
EXECUTE q (1);
SELECT * FROM by_v(1);
INSERT INTO l SELECT k, v, t FROM by_v(3);
SELECT * FROM l WHERE note NOT LIKE 'l%';
DROP FUNCTION by_v;
SELECT * FROM by_v(1);

-- a function of a row, called as if it were a column of it: not run on the coordinator, where its table has no rows

CREATE FUNCTION items(d) RETURNS bigint LANGUAGE plpgsql STABLE AS 'BEGIN RETURN (SELECT count(*) FROM e WHERE e.k = $1.k); END';
-- @refused
SELECT d.k, d.items FROM d;
-- @refused
SELECT k, (d).items FROM d;
DROP FUNCTION items(d);
