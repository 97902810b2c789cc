-- Data definition of every kind beside distributed and reference tables, and what it means for their rows.

CREATE TABLE d (k int PRIMARY KEY, v int, t text);
CREATE TABLE e (k int, n int, t text, PRIMARY KEY (k, n));
CREATE TABLE r (id int PRIMARY KEY, v int);
-- @gateway
SELECT create_distributed_table('d', 'k');
-- @gateway
SELECT create_distributed_table('e', 'k', colocate_with => 'd');
-- @gateway
SELECT create_reference_table('r');
INSERT INTO d SELECT i, i % 7, 't' || i % 5 FROM generate_series(1, 40) AS i;
INSERT INTO e SELECT i % 10, i, 'e' || i FROM generate_series(1, 30) AS i;
INSERT INTO r SELECT i, i * 10 FROM generate_series(1, 5) AS i;

-- domains
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
ALTER TABLE d ADD COLUMN p positive DEFAULT 1;
ALTER DOMAIN positive ADD CONSTRAINT small CHECK (VALUE < 1000);
INSERT INTO d (k, p) VALUES (100, 1000);
ALTER DOMAIN positive ADD CONSTRAINT tiny CHECK (VALUE < 100) NOT VALID;
ALTER DOMAIN positive VALIDATE CONSTRAINT tiny;
ALTER DOMAIN positive RENAME CONSTRAINT tiny TO tinier;
ALTER DOMAIN positive DROP CONSTRAINT tinier;
ALTER DOMAIN positive DROP CONSTRAINT IF EXISTS tinier;
INSERT INTO d (k, p) VALUES (100, 500);
ALTER DOMAIN positive SET DEFAULT 7;
ALTER DOMAIN positive SET NOT NULL;
INSERT INTO d (k, p) VALUES (101, NULL);
ALTER DOMAIN positive DROP NOT NULL;
ALTER DOMAIN positive RENAME TO counted;
INSERT INTO d (k, p) VALUES (101, -1);
DROP DOMAIN counted;

-- enums
CREATE TYPE mood AS ENUM ('sad', 'happy');
ALTER TABLE d ADD COLUMN m mood;
ALTER TYPE mood ADD VALUE 'ok' BEFORE 'happy';
ALTER TYPE mood ADD VALUE IF NOT EXISTS 'ok';
ALTER TYPE mood RENAME VALUE 'sad' TO 'unhappy';
UPDATE d SET m = (ARRAY['unhappy', 'ok', 'happy']::mood[])[k % 3 + 1];
SELECT m, count(*) FROM d GROUP BY m;
-- @ordered
SELECT DISTINCT m FROM d ORDER BY m;
ALTER TYPE mood RENAME TO feeling;
SELECT count(*) FROM d WHERE m > 'unhappy'::feeling;
CREATE SCHEMA types;
ALTER TYPE feeling SET SCHEMA types;
SELECT count(*) FROM d WHERE m = 'ok';
DROP TYPE types.feeling;

-- composites
CREATE TYPE pair AS (a int, b text);
ALTER TABLE d ADD COLUMN c pair;
UPDATE d SET c = ROW(v, t);
ALTER TYPE pair ADD ATTRIBUTE z int CASCADE;
ALTER TYPE pair RENAME ATTRIBUTE b TO bb CASCADE;
SELECT (c).a, (c).bb, (c).z FROM d WHERE k = 3;
ALTER TYPE pair OWNER TO CURRENT_USER;
ALTER TABLE d DROP COLUMN c;
ALTER TYPE pair ALTER ATTRIBUTE a TYPE bigint, DROP ATTRIBUTE z;
DROP TYPE pair;

-- functions, procedures, aggregates, operators, casts
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
SELECT sum(twice(v)) FROM d;
CREATE OR REPLACE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2 + 0';
ALTER FUNCTION twice(int) RENAME TO doubled;
ALTER FUNCTION doubled(int) SET SCHEMA types;
ALTER FUNCTION types.doubled(int) STRICT COST 5;
SELECT sum(types.doubled(v)) FROM d;
CREATE INDEX ON d (types.doubled(v));
DROP FUNCTION types.doubled(int);
DROP FUNCTION types.doubled(int) CASCADE;
CREATE AGGREGATE product(int) (SFUNC = int4mul, STYPE = int, INITCOND = '1');
SELECT n, product(k) FROM e GROUP BY n HAVING n < 5;
ALTER AGGREGATE product(int) RENAME TO prod;
SELECT prod(id) FROM r;
DROP AGGREGATE prod(int);
CREATE OPERATOR ### (FUNCTION = int4pl, LEFTARG = int, RIGHTARG = int, COMMUTATOR = ###);
SELECT sum(k ### v) FROM d;
ALTER OPERATOR ### (int, int) SET (RESTRICT = NONE);
DROP OPERATOR ### (int, int);
CREATE TYPE wrapped AS (v int);
CREATE FUNCTION wrap(int) RETURNS wrapped LANGUAGE sql IMMUTABLE AS 'SELECT ROW($1)::wrapped';
CREATE CAST (int AS wrapped) WITH FUNCTION wrap(int);
SELECT (v::wrapped).v FROM d WHERE k = 5;
DROP CAST (int AS wrapped);
CREATE OPERATOR CLASS own_ops FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int, int);
CREATE INDEX own_index ON d (v own_ops);
ALTER OPERATOR CLASS own_ops USING btree RENAME TO my_ops;
DROP OPERATOR CLASS my_ops USING btree;
DROP OPERATOR CLASS my_ops USING btree CASCADE;
DROP OPERATOR FAMILY own_ops USING btree;
CREATE COLLATION german (provider = icu, locale = 'de-DE');
ALTER TABLE d ADD COLUMN name text COLLATE german DEFAULT 'ä';
-- @ordered
SELECT DISTINCT name FROM d ORDER BY name;
ALTER COLLATION german RENAME TO deutsch;
DROP COLLATION deutsch;
DROP COLLATION deutsch CASCADE;
SELECT * FROM d WHERE k = 1;

-- text search
CREATE TEXT SEARCH DICTIONARY plain_dict (TEMPLATE = simple);
CREATE TEXT SEARCH CONFIGURATION plain_conf (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION plain_conf ALTER MAPPING FOR asciiword WITH plain_dict;
SELECT count(*) FROM d WHERE to_tsvector('plain_conf', t) @@ to_tsquery('plain_conf', 't1');
CREATE INDEX d_search ON d USING gin (to_tsvector('plain_conf', t));
ALTER TEXT SEARCH CONFIGURATION plain_conf RENAME TO conf;
COMMENT ON TEXT SEARCH CONFIGURATION conf IS 'words';
SELECT count(*) FROM d WHERE to_tsvector('conf', t) @@ to_tsquery('conf', 't1');
DROP TEXT SEARCH CONFIGURATION conf;
DROP TEXT SEARCH CONFIGURATION conf CASCADE;
DROP TEXT SEARCH DICTIONARY plain_dict;

-- extensions
CREATE SCHEMA ext;
CREATE EXTENSION hstore SCHEMA ext;
ALTER TABLE d ADD COLUMN h ext.hstore DEFAULT 'a=>1';
SELECT DISTINCT h OPERATOR(ext.->) 'a' FROM d;
ALTER EXTENSION hstore SET SCHEMA types;
SELECT DISTINCT h OPERATOR(types.->) 'a' FROM d;
ALTER EXTENSION hstore UPDATE;
DROP EXTENSION hstore;
DROP EXTENSION hstore CASCADE;
CREATE EXTENSION earthdistance;
CREATE EXTENSION earthdistance CASCADE;
CREATE EXTENSION IF NOT EXISTS cube;
DROP EXTENSION earthdistance, cube;

-- views and materialised views over distributed tables
CREATE VIEW dv AS SELECT k, v FROM d WHERE v > 2;
SELECT count(*) FROM dv;
ALTER VIEW dv RENAME TO dw;
ALTER VIEW dw RENAME COLUMN v TO value;
CREATE OR REPLACE VIEW dw AS SELECT k, v AS value, t FROM d WHERE v > 2;
SELECT count(t) FROM dw;
ALTER TABLE d ALTER COLUMN v TYPE bigint;
DROP VIEW dw;
CREATE MATERIALIZED VIEW mv AS SELECT v, count(*) AS n, min(t) AS first FROM d GROUP BY v;
SELECT * FROM mv;
CREATE UNIQUE INDEX ON mv (v);
INSERT INTO d (k, v) VALUES (200, 3), (201, 99);
SELECT * FROM mv;
REFRESH MATERIALIZED VIEW mv;
SELECT * FROM mv;
DELETE FROM d WHERE k >= 200;
REFRESH MATERIALIZED VIEW CONCURRENTLY mv;
SELECT * FROM mv;
SELECT pg_get_viewdef('mv');
SELECT d.k, mv.n FROM d JOIN mv USING (v) WHERE d.k < 5;
CREATE MATERIALIZED VIEW mv2 AS SELECT mv.*, r.id FROM mv JOIN r ON r.id = mv.v WITH NO DATA;
SELECT * FROM mv2;
REFRESH MATERIALIZED VIEW mv2;
SELECT * FROM mv2;
CREATE MATERIALIZED VIEW mv3 (a, b) AS SELECT k, t FROM e WHERE n = 3 WITH NO DATA;
SELECT * FROM mv3;
REFRESH MATERIALIZED VIEW mv3;
REFRESH MATERIALIZED VIEW CONCURRENTLY mv3;
SELECT * FROM mv3;
CREATE MATERIALIZED VIEW IF NOT EXISTS mv3 AS SELECT k FROM d;
CREATE MATERIALIZED VIEW mv3 AS SELECT k FROM d;
REFRESH MATERIALIZED VIEW mv3 WITH NO DATA;
SELECT * FROM mv3;
BEGIN;
INSERT INTO d (k, v) VALUES (300, 77);
REFRESH MATERIALIZED VIEW mv;
SELECT * FROM mv WHERE v = 77;
ROLLBACK;
SELECT * FROM mv WHERE v = 77;
REFRESH MATERIALIZED VIEW nothing;
ALTER MATERIALIZED VIEW mv RENAME TO mw;
DROP MATERIALIZED VIEW mw;
DROP MATERIALIZED VIEW mw CASCADE;

-- policies
CREATE ROLE defs_reader;
GRANT SELECT, INSERT ON d, r TO defs_reader;
ALTER TABLE d ENABLE ROW LEVEL SECURITY;
CREATE POLICY low ON d FOR SELECT TO defs_reader USING (v < 3);
CREATE POLICY own ON d FOR INSERT TO defs_reader WITH CHECK (v = 1);
SET ROLE defs_reader;
SELECT count(*), max(v) FROM d;
INSERT INTO d (k, v) VALUES (400, 1);
INSERT INTO d (k, v) VALUES (401, 2);
RESET ROLE;
ALTER POLICY low ON d RENAME TO lower;
ALTER POLICY lower ON d USING (v < 2);
SET ROLE defs_reader;
SELECT count(*), max(v) FROM d;
RESET ROLE;
DROP POLICY lower ON d;
DROP POLICY own ON d;
ALTER TABLE d DISABLE ROW LEVEL SECURITY;

-- roles, default privileges, settings
ALTER DEFAULT PRIVILEGES IN SCHEMA types GRANT SELECT ON TABLES TO defs_reader;
GRANT USAGE ON SCHEMA types TO defs_reader;
CREATE TABLE types.granted (k int, v int);
-- @gateway
SELECT create_distributed_table('types.granted', 'k');
INSERT INTO types.granted VALUES (1, 2), (2, 3);
SET ROLE defs_reader;
SELECT sum(v) FROM types.granted;
DELETE FROM types.granted;
RESET ROLE;
ALTER ROLE defs_reader SET work_mem = '5MB';
ALTER ROLE defs_reader IN DATABASE postgres SET work_mem = '6MB';
ALTER ROLE defs_reader RESET ALL;
ALTER ROLE defs_reader PASSWORD 'secret' CONNECTION LIMIT 5 VALID UNTIL '2040-01-01';
CREATE ROLE defs_group ROLE defs_reader;
GRANT defs_reader TO defs_group;
REVOKE defs_reader FROM defs_group;
ALTER TABLE d OWNER TO defs_group;
GRANT ALL ON SCHEMA public TO defs_group;
REASSIGN OWNED BY defs_group TO CURRENT_USER;
ALTER ROLE defs_group RENAME TO defs_crowd;
DROP OWNED BY defs_reader, defs_crowd;
DROP ROLE defs_crowd, defs_reader;
DROP ROLE defs_reader;
-- @refused
CREATE DATABASE definitions_other TEMPLATE nothing;
ALTER DATABASE definitions_other SET work_mem = '1MB';
DROP DATABASE definitions_other;

-- rules, inheritance, publications, security labels, foreign servers
CREATE TABLE heir () INHERITS (l);
CREATE TABLE l (k int, v int);
CREATE TABLE heir (w int) INHERITS (l);
INSERT INTO heir VALUES (1, 2, 3);
SELECT * FROM l;
ALTER TABLE heir NO INHERIT l;
-- @refused
CREATE TABLE heir2 () INHERITS (d);
-- @refused
ALTER TABLE heir INHERIT d;
-- @refused
CREATE RULE nothing AS ON DELETE TO d DO INSTEAD NOTHING;
SECURITY LABEL ON TABLE d IS 'x';
CREATE PUBLICATION pub FOR TABLE l;
ALTER PUBLICATION pub ADD TABLE heir;
ALTER PUBLICATION pub RENAME TO published;
DROP PUBLICATION published;
CREATE PUBLICATION everything FOR ALL TABLES;
DROP PUBLICATION everything;
CREATE EXTENSION file_fdw;
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE lines (line text) SERVER files OPTIONS (filename '/dev/null');
SELECT * FROM lines JOIN d ON d.t = lines.line;
DROP SERVER files CASCADE;
DROP EXTENSION file_fdw;
CREATE EVENT TRIGGER nothing ON ddl_command_start EXECUTE FUNCTION nothing();

-- renames and drops
ALTER TABLE e RENAME COLUMN t TO text;
ALTER INDEX e_pkey RENAME TO e_key;
ALTER TABLE e RENAME CONSTRAINT e_key TO e_primary;
ALTER TABLE e RENAME TO f;
INSERT INTO f VALUES (1, 1, 'x');
INSERT INTO f VALUES (1, 1, 'y');
ALTER TABLE f SET SCHEMA types;
SELECT count(*) FROM types.f JOIN d USING (k);
CREATE INDEX CONCURRENTLY by_text ON types.f (text);
-- @code
CREATE UNIQUE INDEX CONCURRENTLY failing ON types.f (k);
-- what is left of it on one PostgreSQL, and nothing here
DROP INDEX IF EXISTS types.failing;
SELECT count(*) FROM pg_class WHERE relname = 'failing';
DROP INDEX CONCURRENTLY types.by_text;
CREATE INDEX one ON types.f (text);
CREATE INDEX two ON d (v);
DROP INDEX types.one, two;
REINDEX SCHEMA types;
REINDEX (VERBOSE) INDEX types.e_primary;
REINDEX TABLE r;
REINDEX TABLE CONCURRENTLY r;
REINDEX DATABASE nothing;
ALTER SCHEMA types RENAME TO kinds;
SELECT count(*) FROM kinds.f;
ALTER TABLE d ADD COLUMN w int, ADD CONSTRAINT known FOREIGN KEY (v) REFERENCES r (id) NOT VALID;
DROP TABLE r;
DROP TABLE r CASCADE;
INSERT INTO d (k, v) VALUES (900, 12345);
DROP SCHEMA kinds;
DROP SCHEMA kinds CASCADE;
SELECT count(*) FROM d;
DROP TABLE d, nothing;
DROP TABLE IF EXISTS d, nothing;
