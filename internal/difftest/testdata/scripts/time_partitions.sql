-- Helpers for tables partitioned by time.

SET TimeZone = 'UTC';
CREATE TABLE events (device int, at timestamptz, v int, PRIMARY KEY (device, at)) PARTITION BY RANGE (at);
CREATE TABLE days (day date, v int UNIQUE, CHECK (v <> 5), UNIQUE (day, v)) PARTITION BY RANGE (day);
DROP TABLE days;
CREATE TABLE days (day date, v int) PARTITION BY RANGE (day);
CREATE TABLE lists (day date) PARTITION BY LIST (day);
CREATE INDEX ON events (v);
-- @gateway
SELECT create_distributed_table('events', 'device');
-- @gateway
SELECT 1 / create_time_partitions('events', '1 month', '2024-04-01', '2024-01-15')::int;
-- @plain
CREATE TABLE events_p2024_01 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2024-02-01'); CREATE TABLE events_p2024_02 PARTITION OF events FOR VALUES FROM ('2024-02-01') TO ('2024-03-01'); CREATE TABLE events_p2024_03 PARTITION OF events FOR VALUES FROM ('2024-03-01') TO ('2024-04-01');
-- @gateway
SELECT 1 / (NOT create_time_partitions('events', '1 month', '2024-04-01', '2024-01-15'))::int;
INSERT INTO events SELECT i % 7, '2024-01-01'::timestamptz + i * interval '1 day', i FROM generate_series(0, 90) AS i;
INSERT INTO events VALUES (1, '2025-01-01', 1);
SELECT tableoid::regclass, count(*), min(at), max(at) FROM events GROUP BY 1;
SELECT inhrelid::regclass::text, pg_get_expr(relpartbound, inhrelid) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = 'events'::regclass;
-- @gateway
SELECT 1 / (string_agg(partition || ' ' || from_value || ' ' || access_method, ', ' ORDER BY from_value) = 'events_p2024_01 2024-01-01 00:00:00+00 heap, events_p2024_02 2024-02-01 00:00:00+00 heap, events_p2024_03 2024-03-01 00:00:00+00 heap')::int FROM time_partitions;
-- @gateway
CALL drop_old_time_partitions('events', '2024-03-01');
-- @plain
DROP TABLE events_p2024_01, events_p2024_02;
SELECT count(*), min(at) FROM events;
SELECT * FROM events_p2024_01;

-- In a block, undone; on a local table, and with rows.
BEGIN;
-- @gateway
SELECT create_time_partitions('days', '1 week', '2024-01-20', '2024-01-01');
-- @plain
CREATE TABLE days_p2024w01 PARTITION OF days FOR VALUES FROM ('2024-01-01') TO ('2024-01-08');
INSERT INTO days VALUES ('2024-01-01', 1);
ROLLBACK;
INSERT INTO days VALUES ('2024-01-01', 1);
-- @gateway
SELECT create_reference_table('days');
-- @gateway
SELECT create_time_partitions('days', '2 days', '2024-01-05', '2024-01-01');
-- @plain
CREATE TABLE days_p2024_01_01 PARTITION OF days FOR VALUES FROM ('2024-01-01') TO ('2024-01-03'); CREATE TABLE days_p2024_01_03 PARTITION OF days FOR VALUES FROM ('2024-01-03') TO ('2024-01-05');
INSERT INTO days VALUES ('2024-01-01', 1), ('2024-01-04', 2);
SELECT tableoid::regclass, * FROM days;

-- Another access method for what is old. Heap under another name will do.
CREATE ACCESS METHOD trunkline_old TYPE TABLE HANDLER heap_tableam_handler;
-- @gateway
SELECT create_time_partitions('events', '1 month', '2024-06-01', '2024-04-01');
-- @plain
CREATE TABLE events_p2024_04 PARTITION OF events FOR VALUES FROM ('2024-04-01') TO ('2024-05-01'); CREATE TABLE events_p2024_05 PARTITION OF events FOR VALUES FROM ('2024-05-01') TO ('2024-06-01');
-- @gateway
CALL alter_old_partitions_set_access_method('events', '2024-05-01', 'trunkline_old');
-- @plain
ALTER TABLE events_p2024_03 SET ACCESS METHOD trunkline_old; ALTER TABLE events_p2024_04 SET ACCESS METHOD trunkline_old;
SELECT relname, amname FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE relname LIKE 'events\_p2024\___' AND relkind = 'r' AND relnamespace = 'public'::regnamespace;
SELECT count(*), sum(v) FROM events;
