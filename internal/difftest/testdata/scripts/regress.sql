-- Cases that PostgreSQL's own regression tests brought to light with every table distributed.
CREATE TABLE p (k int, v text) PARTITION BY LIST (k);
CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1, 2);
CREATE TABLE p2 PARTITION OF p FOR VALUES IN (3, 4);
CREATE TABLE o (k int PRIMARY KEY, a int, b int);
CREATE TABLE uniq (k int UNIQUE DEFERRABLE, v text);
CREATE TABLE n (k int, v text);
CREATE TABLE lsn (at pg_lsn);
-- @gateway
SELECT create_distributed_table('p', 'k');
-- @gateway
SELECT create_distributed_table('o', 'k');
-- @gateway
SELECT create_distributed_table('n', 'k');
-- @gateway
SELECT create_distributed_table('lsn', 'at');
INSERT INTO p VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd');
INSERT INTO o SELECT i, i % 7, i % 3 FROM generate_series(1, 60) AS i;

-- the partition that a row is in
SELECT tableoid::regclass, * FROM p;
-- @ordered
SELECT tableoid::regclass AS part, k, k % 2 FROM p ORDER BY part, k;
SELECT tableoid::regclass, count(*) FROM p GROUP BY 1;
SELECT v FROM p WHERE tableoid = 'p2'::regclass;
SELECT tableoid::regclass, v FROM p WHERE k = 3;

-- sorted subqueries around which nothing else sorts
-- @ordered
SELECT * FROM (SELECT k, b FROM o ORDER BY a, k) AS x LIMIT 5;
-- @ordered
SELECT * FROM (SELECT k, b FROM o ORDER BY a DESC, k) AS x;
-- @ordered
SELECT x.k + 1 FROM (SELECT k FROM o ORDER BY k DESC) AS x WHERE x.k > 50;
-- @ordered
WITH x AS (SELECT k FROM o ORDER BY b, k) SELECT * FROM x OFFSET 3 LIMIT 4;
SELECT array_agg(k) FROM (SELECT k FROM o WHERE a = 3 ORDER BY k) AS x;
SELECT b, string_agg(k::text, ',') FROM (SELECT b, k FROM o ORDER BY k DESC) AS x GROUP BY b;
SELECT count(*), sum(b) FROM (SELECT * FROM o ORDER BY a) AS x;
CREATE VIEW sorted AS SELECT k, a FROM o ORDER BY a, k DESC;
-- @ordered
SELECT * FROM sorted;

-- where in the client's text an error is
INSERT INTO n VALUES (1, 'x');
INSERT INTO n VALUES ('y', 'x');
INSERT INTO n (k, v) VALUES (1, 'z'), ('€', 'x');
SELECT v FROM n WHERE k = 1;
SELECT v FROM n WHERE k = 'one';
SELECT '€' AS e, v FROM n WHERE v = 'x' AND k IN (1, 'two');
UPDATE n SET k = 'three' WHERE v = '';
INSERT INTO lsn VALUES ('0/1'), ('G/0');
SELECT * FROM lsn WHERE at = 'none';
SELECT E'\u00' FROM n;
SELECT 1; SELECT v FROM n WHERE k = 'four';

-- COPY of a statement that returns nothing
COPY (DELETE FROM n) TO STDOUT;
SELECT count(*) FROM n;

-- procedures that use distributed tables
CREATE PROCEDURE fill(int) LANGUAGE sql AS $$ INSERT INTO l VALUES ($1) $$;
CREATE TABLE l (k int);
CREATE PROCEDURE fill(int) LANGUAGE sql AS $$ INSERT INTO l VALUES ($1) $$;
CALL fill(3);
SELECT * FROM l;

-- a block that begins within a string of statements
SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE, NOT DEFERRABLE;
SELECT 1; BEGIN; INSERT INTO n VALUES (5, 'five');
COMMIT;
SELECT 1; BEGIN; SAVEPOINT sp; INSERT INTO n VALUES (6, 'six'); ROLLBACK TO SAVEPOINT sp; COMMIT;
SELECT * FROM n;

-- cursors and savepoints
BEGIN;
DECLARE before CURSOR FOR SELECT k FROM o ORDER BY k;
FETCH 2 FROM before;
SAVEPOINT one;
DECLARE within CURSOR FOR SELECT k FROM o ORDER BY k;
FETCH 2 FROM within;
FETCH 2 FROM before;
ROLLBACK TO SAVEPOINT one;
FETCH 2 FROM before;
SAVEPOINT two;
FETCH 2 FROM within;
ROLLBACK TO SAVEPOINT two;
DECLARE failing CURSOR FOR SELECT 1 / (k - 3) FROM o ORDER BY k;
SAVEPOINT three;
FETCH 5 FROM failing;
ROLLBACK TO SAVEPOINT three;
FETCH 1 FROM failing;
ROLLBACK TO SAVEPOINT nowhere;
COMMIT;

-- a role within another session user
CREATE ROLE regress_one;
CREATE ROLE regress_two;
GRANT regress_two TO regress_one;
GRANT SELECT ON n TO regress_two;
SET SESSION AUTHORIZATION regress_one;
SELECT count(*) FROM n;
SET ROLE regress_two;
SET application_name = 'another';
SELECT session_user, current_user, current_setting('role');
SELECT count(*) FROM n;
BEGIN;
SET ROLE NONE;
SELECT session_user, current_user;
ROLLBACK;
SELECT session_user, current_user;
SELECT count(*) FROM n;
RESET SESSION AUTHORIZATION;
SELECT session_user = current_user, current_setting('role');
INSERT INTO n VALUES (7, 'seven');
REVOKE SELECT ON n FROM regress_two;
-- NATURAL JOIN reads no more columns than are common and asked for
CREATE TABLE guarded (k int, a int, secret text);
-- @gateway
SELECT create_distributed_table('guarded', 'a', colocate_with => 'none');
INSERT INTO guarded SELECT i, i % 5, 'secret' FROM generate_series(1, 9) AS i;
GRANT SELECT (k, a) ON guarded TO regress_one;
GRANT SELECT ON o TO regress_one;
SET ROLE regress_one;
SELECT k FROM o NATURAL JOIN guarded;
SELECT k, b FROM o NATURAL LEFT JOIN guarded WHERE k < 12;
SELECT * FROM o NATURAL JOIN guarded;
RESET ROLE;
DROP TABLE guarded;
REVOKE SELECT ON o FROM regress_one;
DROP ROLE regress_one, regress_two;

-- a prepared statement whose result changes
CREATE TEMP TABLE grows AS SELECT 1 AS a;
PREPARE all_of_it AS SELECT * FROM grows;
EXECUTE all_of_it;
ALTER TABLE grows ADD COLUMN b int;
EXECUTE all_of_it;
SELECT * FROM grows;

-- cursors that only scan forward, and a cursor after an error
BEGIN;
DECLARE ahead NO SCROLL CURSOR FOR SELECT k FROM o ORDER BY k;
FETCH RELATIVE 0 FROM ahead;
FETCH 2 FROM ahead;
MOVE RELATIVE 0 FROM ahead;
SAVEPOINT four;
FETCH ABSOLUTE 2 FROM ahead;
ROLLBACK TO SAVEPOINT four;
FETCH 1 FROM ahead;
ROLLBACK;
BEGIN;
DECLARE ahead NO SCROLL CURSOR FOR SELECT k FROM o ORDER BY k;
FETCH ABSOLUTE 4 FROM ahead;
FETCH RELATIVE 0 FROM ahead;
ROLLBACK;

-- pg_cursors
BEGIN;
DECLARE one CURSOR FOR SELECT * FROM o;
DECLARE two SCROLL CURSOR FOR SELECT a, count(*) FROM o GROUP BY a;
DECLARE three NO SCROLL CURSOR WITH HOLD FOR SELECT * FROM o ORDER BY k;
DECLARE four BINARY CURSOR FOR SELECT 1;
DECLARE five CURSOR FOR SELECT * FROM o WHERE a = 1 FOR UPDATE;
DECLARE six CURSOR FOR SELECT count(*) FROM o;
SELECT name, statement, is_holdable, is_binary, is_scrollable, creation_time <= clock_timestamp() AS made FROM pg_cursors WHERE name <> '' ORDER BY name;
CLOSE one;
SELECT count(*) FROM pg_cursors JOIN o ON o.k = length(name) WHERE name <> '';
COMMIT;
SELECT name, statement, is_holdable FROM pg_cursors WHERE name <> '';
CLOSE ALL;

-- temporary tables behind others in search_path
CREATE TEMPORARY TABLE n (k int, v text);
SELECT count(*) FROM n;
SET search_path = public, pg_temp;
SELECT count(*) FROM n;
SET search_path = pg_temp, public;
SELECT count(*) FROM n;
BEGIN;
SET LOCAL search_path = public, pg_temp;
SELECT count(*) FROM n;
ROLLBACK;
SELECT count(*) FROM n;
RESET search_path;
DROP TABLE n;

-- whole rows where nodes have no such type
CREATE FUNCTION sum_of(o) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1.a + $1.b; END';
SELECT k, sum_of(o) FROM o WHERE k < 4;
SELECT a, sum(sum_of(o)) FROM o GROUP BY a;
SELECT k FROM o WHERE sum_of(o) > 6 AND k < 30;
SELECT k FROM o WHERE o IN (SELECT o FROM o WHERE a = 1 AND k < 20);
SELECT k, f FROM o, sum_of(o) AS f WHERE k < 4;
DROP FUNCTION sum_of(o);

-- records: rows of subqueries and ROW(…) as values, in what the coordinator finishes
SELECT json_agg(x ORDER BY x.a) FROM (SELECT a, count(*) AS n FROM o GROUP BY a) AS x;
SELECT json_agg(x ORDER BY x.k) FROM (SELECT k AS record, a AS k FROM o WHERE k < 4) AS x;
SELECT array_agg(x ORDER BY x.k) FROM (SELECT k, b FROM o WHERE k < 5) AS x;
SELECT count(DISTINCT x), max(x::text) FROM (SELECT a, b FROM o) AS x;
SELECT o.k, x FROM o LEFT JOIN (SELECT k, v FROM p WHERE k > 2) AS x ON x.k = o.k WHERE o.k < 6;
SELECT o.k, x IS NULL, x IS DISTINCT FROM NULL, count(x) OVER () FROM o LEFT JOIN (SELECT k, v FROM p WHERE k > 2) AS x ON x.k = o.k WHERE o.k < 6;
SELECT o.k, x IS NULL, to_json(x), rank() OVER (ORDER BY o.k) FROM o LEFT JOIN (SELECT k, NULL::int AS z FROM p) AS x ON x.k = o.k WHERE o.k < 6;
-- @ordered
SELECT r, k FROM (SELECT ROW(a, b) AS r, k FROM o WHERE k < 9) AS x ORDER BY r, k;
SELECT json_agg(x.r ORDER BY x.k) FROM (SELECT ROW(a, b) AS r, k FROM o WHERE k < 5) AS x;
SELECT a, json_agg(x ORDER BY k), (SELECT json_agg(y ORDER BY y.k) FROM (SELECT k, v FROM p WHERE p.k = x.a) AS y) FROM (SELECT k, a FROM o WHERE k < 9) AS x GROUP BY a;
WITH w AS (SELECT a, count(*) AS c FROM o GROUP BY a) SELECT json_agg(w ORDER BY a), (SELECT json_agg(w ORDER BY a) FROM w WHERE a < 2) FROM w;
SELECT a, to_jsonb(array_agg(x ORDER BY x.k)) FROM (SELECT k, a FROM o WHERE k < 20) AS x GROUP BY a;
SELECT o.k, x FROM o LEFT JOIN (SELECT k, ROW(v, k) AS r FROM p) AS x ON x.k = o.k WHERE o.k < 7 ORDER BY x.r, o.k;

-- temporary views over distributed tables
CREATE TEMPORARY VIEW fleeting AS SELECT a, count(*) AS n FROM o GROUP BY a;
SELECT * FROM fleeting;
SELECT a FROM pg_temp.fleeting WHERE n > 8;
-- @ordered
SELECT o.k, fleeting.n FROM fleeting JOIN o USING (a) WHERE o.k < 5 ORDER BY k;
PREPARE of_view AS SELECT * FROM fleeting WHERE a < $1;
EXECUTE of_view(2);
CREATE OR REPLACE TEMPORARY VIEW fleeting AS SELECT a, count(*) FILTER (WHERE b = 1) AS n FROM o GROUP BY a;
EXECUTE of_view(2);
DEALLOCATE of_view;
BEGIN;
DROP VIEW fleeting;
CREATE TEMPORARY VIEW fleeting AS SELECT max(k) FROM o;
SELECT * FROM fleeting;
ROLLBACK;
SELECT sum(n) FROM fleeting;
CREATE TEMPORARY TABLE chosen (k int);
INSERT INTO chosen VALUES (1), (4), (9);
CREATE VIEW with_temporary AS SELECT o.*, (SELECT count(*) FROM chosen) AS c FROM o WHERE k IN (SELECT k FROM chosen);
SELECT * FROM with_temporary;
SELECT x.a FROM with_temporary AS x (key, a) JOIN fleeting USING (a);
COPY (SELECT * FROM with_temporary ORDER BY k) TO STDOUT;
CREATE TEMPORARY VIEW writable AS SELECT k, a FROM o WHERE k < 10;
UPDATE writable SET a = a + 1 WHERE k = 3 RETURNING *;
UPDATE o SET a = a - 1 WHERE k = 3;
DISCARD TEMPORARY;
SELECT * FROM fleeting;
