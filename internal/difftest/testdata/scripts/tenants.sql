-- Schema-based sharding: a schema's tables are one tenant's, each with a single shard on one node.

CREATE SCHEMA acme CREATE TABLE users (id serial PRIMARY KEY, name text UNIQUE) CREATE TABLE posts (id int PRIMARY KEY, author int REFERENCES users, reply int REFERENCES posts);
CREATE TABLE kinds (id int PRIMARY KEY, name text);
CREATE TABLE d (k int PRIMARY KEY, v int);
INSERT INTO acme.users (name) SELECT 'u' || i FROM generate_series(1, 5) AS i;
INSERT INTO acme.posts SELECT i, i % 5 + 1, nullif(i / 2, 0) FROM generate_series(1, 12) AS i;
INSERT INTO kinds VALUES (1, 'one'), (2, 'two');
-- @gateway
SELECT create_reference_table('kinds');
-- @gateway
SELECT create_distributed_table('d', 'k');
INSERT INTO d SELECT i, i FROM generate_series(1, 10) AS i;
-- @gateway
SELECT citus_schema_distribute('acme');
SELECT u.name, count(p.*) FROM acme.users u LEFT JOIN acme.posts p ON p.author = u.id GROUP BY 1;
INSERT INTO acme.users (name) VALUES ('new') RETURNING *;
INSERT INTO acme.users (name) VALUES ('new');
INSERT INTO acme.posts VALUES (100, 77);
SELECT count(*) FROM acme.posts JOIN d ON d.k = acme.posts.id;

SET citus.enable_schema_based_sharding TO on;
CREATE SCHEMA globex;
CREATE SCHEMA IF NOT EXISTS globex;
CREATE SCHEMA initech CREATE TABLE users (id int PRIMARY KEY, kind int REFERENCES kinds) CREATE VIEW known AS SELECT id FROM users WHERE kind IS NOT NULL;
SET citus.enable_schema_based_sharding TO off;
CREATE SCHEMA plain;
CREATE TABLE globex.users (id int PRIMARY KEY, name text);
SET search_path = globex, public;
CREATE TABLE posts (id int PRIMARY KEY, author int REFERENCES users, kind int REFERENCES kinds);
CREATE TABLE IF NOT EXISTS posts (id int);
INSERT INTO users SELECT i, 'g' || i FROM generate_series(1, 9) AS i;
INSERT INTO posts SELECT i, i % 9 + 1, i % 2 + 1 FROM generate_series(1, 30) AS i;
SELECT k.name, count(*), min(u.name) FROM posts p JOIN users u ON u.id = p.author JOIN kinds k ON k.id = p.kind GROUP BY 1;
CREATE TABLE busy AS SELECT author, count(*) AS n FROM posts GROUP BY 1;
BEGIN; SELECT author, n INTO idle FROM busy WHERE n < 4; COMMIT;
SELECT * FROM busy JOIN users ON users.id = busy.author;
SELECT * FROM idle;
CREATE TABLE parts (id int, day date) PARTITION BY RANGE (day);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO parts SELECT i, '2024-01-01'::date + i FROM generate_series(1, 20) AS i;
SELECT count(*) FROM parts JOIN users USING (id);
CREATE INDEX ON posts (author);
ALTER TABLE posts ADD COLUMN body text DEFAULT 'x';
BEGIN;
CREATE TABLE gone (id int);
INSERT INTO gone VALUES (1);
SELECT * FROM gone;
ROLLBACK;
SELECT * FROM gone;
RESET search_path;
-- @gateway
SELECT 1 / (count(*) = 3 AND count(DISTINCT colocation_id) = 3)::int FROM citus_schemas;
-- @gateway
SELECT 1 / (count(*) = 6)::int FROM citus_tables WHERE citus_table_type = 'schema' AND table_name::text LIKE 'globex.%' AND shard_count = 1;
INSERT INTO initech.users VALUES (1, 1), (2, NULL);
INSERT INTO initech.users VALUES (3, 3);
SELECT * FROM initech.known;
SELECT a.name, g.name FROM acme.users a JOIN globex.users g USING (id);
UPDATE acme.users SET name = g.name FROM globex.users g WHERE g.id = acme.users.id;
SELECT * FROM acme.users;

-- tables that come and go
CREATE TABLE wanders (id int PRIMARY KEY, v int);
INSERT INTO wanders SELECT i, i FROM generate_series(1, 5) AS i;
ALTER TABLE wanders SET SCHEMA globex;
SELECT count(*) FROM globex.wanders JOIN globex.users USING (id);
ALTER TABLE globex.wanders SET SCHEMA initech;
SELECT * FROM initech.wanders;
ALTER TABLE initech.wanders SET SCHEMA plain;
INSERT INTO plain.wanders VALUES (6, 6);
SELECT * FROM plain.wanders;
ALTER SCHEMA globex RENAME TO hooli;
SELECT count(*) FROM hooli.posts;
-- @gateway
SELECT citus_schema_move('hooli', n.nodeid, 'block_writes') FROM pg_dist_node n WHERE n.groupid <> 0 AND NOT EXISTS (SELECT FROM pg_dist_schema s JOIN pg_dist_partition p USING (colocationid) JOIN pg_dist_shard USING (logicalrelid) JOIN pg_dist_placement l USING (shardid) WHERE s.schemaid = 'hooli'::regnamespace AND l.groupid = n.groupid);
SELECT count(*), sum(author) FROM hooli.posts;
CREATE TABLE hooli.after (id int REFERENCES hooli.users);
INSERT INTO hooli.after VALUES (1), (2);
-- @refused
SELECT create_distributed_table('plain.wanders', NULL, colocate_with => 'hooli.users');
-- @refused
SELECT undistribute_table('hooli.users');
CREATE TABLE own (id int PRIMARY KEY);
-- @refused
CREATE TABLE hooli.child (id int REFERENCES own);

-- @gateway
SELECT citus_schema_undistribute('acme');
SELECT count(*) FROM acme.users JOIN acme.posts ON author = users.id;
INSERT INTO acme.users (name) VALUES ('local') RETURNING *;
DROP SCHEMA hooli CASCADE;
DROP SCHEMA initech CASCADE;
-- @gateway
SELECT 1 / (count(*) = 0)::int FROM pg_dist_schema;
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('hooli', 'initech');
