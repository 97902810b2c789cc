-- Local tables beside reference and distributed ones: in the metadata, and tied to them by foreign keys.

CREATE TABLE kinds (id int PRIMARY KEY, name text UNIQUE);
CREATE TABLE notes (id int PRIMARY KEY, kind int REFERENCES kinds ON DELETE CASCADE, body text);
CREATE TABLE remarks (id int PRIMARY KEY, note int REFERENCES notes ON DELETE SET NULL);
CREATE TABLE owners (id int PRIMARY KEY, name text);
CREATE TABLE plain (id int PRIMARY KEY);
INSERT INTO kinds VALUES (1, 'one'), (2, 'two'), (3, 'three');
INSERT INTO notes VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 2, 'c');
INSERT INTO remarks VALUES (1, 1), (2, 2);
INSERT INTO owners SELECT i, 'o' || i FROM generate_series(1, 5) AS i;
-- @gateway
SELECT create_reference_table('kinds');
-- Local to reference: what is connected is recorded.
-- @gateway
SELECT 1 / (array_agg(table_name::text ORDER BY table_name::text) = '{notes,remarks}')::int FROM citus_tables WHERE citus_table_type = 'local';
-- @gateway
SELECT 1 / (count(*) = 2 AND bool_and(shard_size > 0))::int FROM citus_shards WHERE citus_table_type = 'local';
INSERT INTO notes VALUES (4, 9, 'd');
INSERT INTO notes VALUES (5, 3, 'e');
DELETE FROM kinds WHERE id = 3;
SELECT * FROM notes;
UPDATE kinds SET id = 7 WHERE id = 1;
DELETE FROM kinds WHERE id = 2;
SELECT * FROM remarks;
SELECT * FROM kinds k LEFT JOIN notes n ON n.kind = k.id;
ALTER TABLE remarks DROP CONSTRAINT remarks_note_fkey;
-- @gateway
SELECT 1 / (array_agg(table_name::text) = '{notes}')::int FROM citus_tables WHERE citus_table_type = 'local';
CREATE TABLE more (id int PRIMARY KEY, kind int, note int REFERENCES notes, FOREIGN KEY (kind) REFERENCES kinds);
-- @gateway
SELECT 1 / (array_agg(table_name::text ORDER BY table_name::text) = '{more,notes}')::int FROM citus_tables WHERE citus_table_type = 'local';
DROP TABLE more;
ALTER TABLE plain ADD COLUMN kind int REFERENCES kinds;
-- @gateway
SELECT 1 / (array_agg(table_name::text ORDER BY table_name::text) = '{notes,plain}' AND bool_and(p.autoconverted))::int FROM citus_tables JOIN pg_dist_partition p ON p.logicalrelid = table_name WHERE citus_table_type = 'local';
ALTER TABLE plain DROP COLUMN kind;

-- Reference to local: the coordinator has the rows of both.
ALTER TABLE kinds ADD COLUMN owner int CONSTRAINT owned REFERENCES owners;
INSERT INTO kinds VALUES (4, 'four', 77);
INSERT INTO kinds VALUES (4, 'four', 4);
UPDATE kinds SET owner = 1 WHERE id = 1;
UPDATE kinds SET owner = 99 WHERE id = 1;
DELETE FROM owners WHERE id = 4;
DELETE FROM owners WHERE id = 5;
UPDATE owners SET id = 44 WHERE id = 4;
BEGIN;
INSERT INTO owners VALUES (8, 'o8');
INSERT INTO kinds VALUES (8, 'eight', 8);
DELETE FROM owners WHERE id = 8;
ROLLBACK;
COMMENT ON CONSTRAINT owned ON kinds IS 'x';
ALTER TABLE kinds RENAME CONSTRAINT owned TO has_owner;
ALTER TABLE kinds ALTER CONSTRAINT has_owner DEFERRABLE INITIALLY DEFERRED;
BEGIN;
INSERT INTO kinds VALUES (9, 'nine', 9);
INSERT INTO owners VALUES (9, 'o9');
COMMIT;
BEGIN;
INSERT INTO kinds VALUES (10, 'ten', 10);
COMMIT;
SELECT * FROM kinds;
-- @gateway
SELECT 1 / bool_and(success AND result = '3')::int FROM run_command_on_all_nodes('SELECT count(*) FROM kinds');
ALTER TABLE kinds DROP CONSTRAINT has_owner;
ALTER TABLE kinds ADD CONSTRAINT has_owner FOREIGN KEY (owner) REFERENCES owners NOT VALID;
ALTER TABLE kinds VALIDATE CONSTRAINT has_owner, ADD COLUMN extra int DEFAULT 3;
-- @refused
ALTER TABLE kinds ADD FOREIGN KEY (owner) REFERENCES owners ON DELETE CASCADE;
-- @refused
ALTER TABLE kinds ADD FOREIGN KEY (owner) REFERENCES owners ON UPDATE SET NULL;
-- @refused
SELECT create_distributed_table('owners', 'id');
TRUNCATE owners;
BEGIN;
TRUNCATE owners CASCADE;
SELECT count(*) FROM kinds;
-- @gateway
SELECT 1 / bool_and(success AND result = '0')::int FROM run_command_on_all_nodes('SELECT count(*) FROM kinds');
ROLLBACK;
-- @gateway
SELECT create_reference_table('owners');
-- @gateway
SELECT 1 / bool_and(success AND result = '1')::int FROM run_command_on_all_nodes('SELECT count(*) FROM pg_constraint WHERE conname = ''has_owner''');
INSERT INTO kinds VALUES (11, 'eleven', 77);
DROP TABLE owners;
DROP TABLE owners CASCADE;
INSERT INTO kinds VALUES (11, 'eleven', 77);
SELECT * FROM kinds;

-- A local table that references a distributed one waits to be distributed too.
CREATE TABLE parents (id int PRIMARY KEY, v int);
CREATE TABLE children (id int, parent int REFERENCES parents, v int, PRIMARY KEY (id));
INSERT INTO parents SELECT i, i FROM generate_series(1, 5) AS i;
INSERT INTO children VALUES (1, 1, 1);
-- @gateway
SELECT create_distributed_table('parents', 'id');
-- @refused
INSERT INTO children VALUES (2, 2, 2);
-- @refused
UPDATE children SET parent = 3;
-- @refused
COPY children FROM STDIN;
-- @refused
WITH x AS (INSERT INTO children VALUES (2, 2, 2) RETURNING *) SELECT * FROM x;
UPDATE children SET v = 3;
SELECT * FROM children;
ALTER TABLE children DROP CONSTRAINT children_pkey;
-- @gateway
SELECT create_distributed_table('children', 'parent');
INSERT INTO children VALUES (2, 2, 2);
INSERT INTO children VALUES (3, 33, 2);
DELETE FROM parents WHERE id = 2;
SELECT * FROM children;

-- By the user's wish.
-- @gateway
SELECT citus_add_local_table_to_metadata('plain');
-- @gateway
SELECT citus_add_local_table_to_metadata('plain');
-- @gateway
SELECT 1 / (array_agg(table_name::text ORDER BY table_name::text) = '{notes,plain}')::int FROM citus_tables WHERE citus_table_type = 'local';
INSERT INTO plain VALUES (1), (2);
ALTER TABLE plain ADD COLUMN v int DEFAULT 4;
ALTER TABLE plain RENAME TO simple;
SELECT * FROM simple;
-- @gateway
SELECT remove_local_tables_from_metadata();
-- @gateway
SELECT 1 / (array_agg(table_name::text ORDER BY table_name::text) = '{notes}')::int FROM citus_tables WHERE citus_table_type = 'local';
SET citus.use_citus_managed_tables TO on;
CREATE TABLE managed (id int, day int) PARTITION BY RANGE (day);
CREATE TABLE managed_1 PARTITION OF managed FOR VALUES FROM (1) TO (10);
CREATE TEMP TABLE passing (id int);
RESET citus.use_citus_managed_tables;
CREATE TABLE unmanaged (id int);
CREATE TABLE managed_2 PARTITION OF managed FOR VALUES FROM (10) TO (20);
INSERT INTO managed VALUES (1, 1), (2, 12);
-- @gateway
SELECT 1 / (array_agg(table_name::text ORDER BY table_name::text) = '{managed,managed_1,managed_2,notes}')::int FROM citus_tables WHERE citus_table_type = 'local';
-- @gateway
SELECT create_distributed_table('managed', 'id');
INSERT INTO managed VALUES (3, 13);
SELECT tableoid::regclass, * FROM managed;
-- @gateway
SELECT undistribute_table('managed');
-- @gateway
SELECT 1 / (array_agg(table_name::text ORDER BY table_name::text) = '{notes}')::int FROM citus_tables WHERE citus_table_type = 'local';
-- @gateway
SELECT citus_add_local_table_to_metadata('simple');
-- @gateway
SELECT undistribute_table('simple');
DROP TABLE notes;
-- @gateway
SELECT 1 / (count(*) = 0)::int FROM pg_dist_partition WHERE repmodel <> 't' AND colocationid = 0;
