-- Functions and views that need to know sizes on other nodes. The gateway asks the nodes first and leaves the answers in the
-- setting trunkline.shard_sizes: a JSON array of [shardid, groupid, pg_relation_size, pg_table_size, pg_total_relation_size].
-- Where it has not (they were reached through something the gateway cannot see into) sizes are NULL: unknown.

CREATE OR REPLACE FUNCTION trunkline_internal.shard_sizes() RETURNS TABLE (shardid bigint, groupid int, relation_size bigint, table_size bigint, total_size bigint) LANGUAGE sql STABLE ROWS 1000 AS
$$ SELECT (e->>0)::bigint, (e->>1)::int, (e->>2)::bigint, (e->>3)::bigint, (e->>4)::bigint
   FROM pg_catalog.jsonb_array_elements(nullif(pg_catalog.current_setting('trunkline.shard_sizes', true), '')::jsonb) e $$;

CREATE OR REPLACE FUNCTION trunkline_internal.check_distributed(rel regclass) RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM trunkline.pg_dist_partition p WHERE p.logicalrelid = $1) THEN
    RAISE invalid_table_definition USING MESSAGE = format('cannot calculate the size because relation %s is not distributed', $1);
  END IF;
END $$;

CREATE OR REPLACE FUNCTION trunkline.citus_relation_size(logicalrelid regclass) RETURNS bigint LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM trunkline.pg_dist_partition p WHERE p.logicalrelid = $1) THEN
    RETURN pg_catalog.pg_relation_size($1);
  END IF;
  RETURN (SELECT pg_catalog.sum(z.relation_size) FROM trunkline.pg_dist_shard s JOIN trunkline_internal.shard_sizes() z USING (shardid) WHERE s.logicalrelid = $1);
END $$;

CREATE OR REPLACE FUNCTION trunkline.citus_table_size(logicalrelid regclass) RETURNS bigint LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM trunkline.pg_dist_partition p WHERE p.logicalrelid = $1) THEN
    RETURN pg_catalog.pg_table_size($1);
  END IF;
  RETURN (SELECT pg_catalog.sum(z.table_size) FROM trunkline.pg_dist_shard s JOIN trunkline_internal.shard_sizes() z USING (shardid) WHERE s.logicalrelid = $1);
END $$;

CREATE OR REPLACE FUNCTION trunkline.citus_total_relation_size(logicalrelid regclass, fail_on_error bool DEFAULT true) RETURNS bigint LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM trunkline.pg_dist_partition p WHERE p.logicalrelid = $1) THEN
    RETURN pg_catalog.pg_total_relation_size($1);
  END IF;
  RETURN (SELECT pg_catalog.sum(z.total_size) FROM trunkline.pg_dist_shard s JOIN trunkline_internal.shard_sizes() z USING (shardid) WHERE s.logicalrelid = $1);
END $$;

CREATE OR REPLACE FUNCTION trunkline_internal.base_cost() RETURNS bigint LANGUAGE sql STABLE AS
$$ SELECT pg_catalog.pg_size_bytes(trunkline_internal.own_setting('rebalancer_by_disk_size_base_cost', '100MB')) $$;

-- What a shard group weighs: the bytes of all its shards, and as much again as an empty one costs to have.
CREATE OR REPLACE FUNCTION trunkline.citus_shard_cost_by_disk_size(shardid bigint) RETURNS real LANGUAGE sql STABLE STRICT AS
$$ SELECT (coalesce(pg_catalog.sum(z.total_size), 0) + trunkline_internal.base_cost())::real
   FROM trunkline.pg_dist_shard own JOIN trunkline.pg_dist_partition p USING (logicalrelid)
   JOIN trunkline.pg_dist_partition q ON q.colocationid = p.colocationid
   JOIN trunkline.pg_dist_shard s ON s.logicalrelid = q.logicalrelid AND s.shardminvalue IS NOT DISTINCT FROM own.shardminvalue
   JOIN trunkline_internal.shard_sizes() z ON z.shardid = s.shardid
   WHERE own.shardid = $1 $$;

CREATE OR REPLACE FUNCTION trunkline_internal.table_type(logicalrelid regclass) RETURNS text LANGUAGE sql STABLE AS
$$ SELECT CASE WHEN p.partmethod <> 'n' THEN 'distributed'
               WHEN p.repmodel = 't' THEN 'reference'
               WHEN p.colocationid = 0 THEN 'local'
               WHEN EXISTS (SELECT FROM trunkline.pg_dist_schema s WHERE s.colocationid = p.colocationid) THEN 'schema'
               ELSE 'distributed' END
   FROM trunkline.pg_dist_partition p WHERE p.logicalrelid = $1 $$;

CREATE OR REPLACE VIEW trunkline.citus_tables AS
WITH sizes AS MATERIALIZED (
  SELECT s.logicalrelid, pg_catalog.sum(z.total_size) AS total FROM trunkline.pg_dist_shard s JOIN trunkline_internal.shard_sizes() z USING (shardid) GROUP BY 1
), counts AS (
  SELECT logicalrelid, pg_catalog.count(*) AS shards FROM trunkline.pg_dist_shard GROUP BY 1
)
SELECT p.logicalrelid AS table_name,
       trunkline_internal.table_type(p.logicalrelid) AS citus_table_type,
       coalesce(trunkline.column_to_column_name(p.logicalrelid, p.partkey), '<none>') AS distribution_column,
       p.colocationid AS colocation_id,
       pg_catalog.pg_size_pretty(z.total) AS table_size,
       coalesce(n.shards, 1) AS shard_count,
       pg_catalog.pg_get_userbyid(c.relowner) AS table_owner,
       a.amname AS access_method
FROM trunkline.pg_dist_partition p
JOIN pg_catalog.pg_class c ON c.oid = p.logicalrelid
LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam
LEFT JOIN sizes z ON z.logicalrelid = p.logicalrelid
LEFT JOIN counts n ON n.logicalrelid = p.logicalrelid
ORDER BY p.logicalrelid::text;

CREATE OR REPLACE VIEW trunkline.citus_shards AS
WITH sizes AS MATERIALIZED (SELECT * FROM trunkline_internal.shard_sizes())
SELECT s.logicalrelid AS table_name,
       s.shardid,
       trunkline.shard_name(s.logicalrelid, s.shardid) AS shard_name,
       trunkline_internal.table_type(s.logicalrelid) AS citus_table_type,
       p.colocationid AS colocation_id,
       n.nodename,
       n.nodeport,
       z.total_size AS shard_size
FROM trunkline.pg_dist_shard s
JOIN trunkline.pg_dist_partition p ON p.logicalrelid = s.logicalrelid
JOIN trunkline.pg_dist_placement l ON l.shardid = s.shardid AND l.shardstate = 1
JOIN trunkline.pg_dist_node n ON n.groupid = l.groupid AND n.noderole = 'primary'
LEFT JOIN sizes z ON z.shardid = s.shardid AND z.groupid = l.groupid
ORDER BY s.logicalrelid::text, s.shardid, n.nodename, n.nodeport;

CREATE OR REPLACE VIEW trunkline.citus_schemas AS
WITH sizes AS MATERIALIZED (
  SELECT p.colocationid, pg_catalog.sum(z.total_size) AS total
  FROM trunkline.pg_dist_partition p JOIN trunkline.pg_dist_shard s USING (logicalrelid) JOIN trunkline_internal.shard_sizes() z USING (shardid) GROUP BY 1
)
SELECT d.schemaid::regnamespace AS schema_name,
       d.colocationid AS colocation_id,
       pg_catalog.pg_size_pretty(coalesce(z.total, 0)) AS schema_size,
       pg_catalog.pg_get_userbyid(n.nspowner) AS schema_owner
FROM trunkline.pg_dist_schema d
JOIN pg_catalog.pg_namespace n ON n.oid = d.schemaid
LEFT JOIN sizes z ON z.colocationid = d.colocationid
ORDER BY n.nspname;

INSERT INTO trunkline.pg_dist_rebalance_strategy VALUES
  ('by_disk_size', true, 'trunkline.citus_shard_cost_by_disk_size', 'trunkline.citus_node_capacity_1', 'trunkline.citus_shard_allowed_on_node_true', 0.1, 0.01, 0.5)
  ON CONFLICT DO NOTHING;

-- Who does what on all nodes. The gateway asks all gateways for their clients and all nodes for their processes first, and leaves the
-- answers in the setting trunkline.activity (session/activity.go).

CREATE OR REPLACE FUNCTION trunkline_internal.activity(part text) RETURNS SETOF jsonb LANGUAGE sql STABLE ROWS 100 AS
$$ SELECT pg_catalog.jsonb_array_elements(nullif(pg_catalog.current_setting('trunkline.activity', true), '')::jsonb->part) $$;

-- Which client each server process works for. Processes that wait in a gateway's pool work for none.
CREATE OR REPLACE VIEW trunkline_internal.held_process AS
SELECT (h->>0)::int AS nodeid, (h->>1)::int AS pid, (h->>2)::bigint AS global_pid FROM trunkline_internal.activity('held') h;

CREATE OR REPLACE VIEW trunkline.citus_stat_activity AS
SELECT (s->>'global_pid')::bigint AS global_pid, (s->>'nodeid')::int AS nodeid, false AS is_worker_query, a.*
FROM trunkline_internal.activity('sessions') s
LEFT JOIN pg_catalog.pg_database d ON d.datname = s->>'datname'
LEFT JOIN pg_catalog.pg_roles r ON r.rolname = s->>'usename',
LATERAL pg_catalog.jsonb_populate_record(NULL::pg_catalog.pg_stat_activity, s || pg_catalog.jsonb_build_object('datid', d.oid, 'usesysid', r.oid)) a
UNION ALL
SELECT CASE WHEN h.pid IS NULL THEN trunkline.citus_calculate_gpid((n->>'nodeid')::int, a.pid) ELSE h.global_pid END, (n->>'nodeid')::int, h.pid IS NOT NULL, a.*
FROM trunkline_internal.activity('nodes') n
CROSS JOIN LATERAL pg_catalog.jsonb_populate_recordset(NULL::pg_catalog.pg_stat_activity, n->'activity') a
LEFT JOIN trunkline_internal.held_process h ON h.nodeid = (n->>'nodeid')::int AND h.pid = a.pid;

CREATE OR REPLACE VIEW trunkline.citus_dist_stat_activity AS SELECT * FROM trunkline.citus_stat_activity WHERE NOT is_worker_query;

CREATE OR REPLACE VIEW trunkline.citus_locks AS
SELECT CASE WHEN h.pid IS NULL THEN trunkline.citus_calculate_gpid((n->>'nodeid')::int, l.pid) ELSE h.global_pid END AS global_pid,
       (n->>'nodeid')::int AS nodeid, e->>'relation_name' AS relation_name, l.*
FROM trunkline_internal.activity('nodes') n
CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(n->'locks') e
CROSS JOIN LATERAL pg_catalog.jsonb_populate_record(NULL::pg_catalog.pg_locks, e) l
LEFT JOIN trunkline_internal.held_process h ON h.nodeid = (n->>'nodeid')::int AND h.pid = l.pid;

CREATE OR REPLACE VIEW trunkline.citus_lock_waits AS
WITH activity AS MATERIALIZED (SELECT * FROM trunkline.citus_stat_activity),
process AS (SELECT nodeid, pid, global_pid FROM activity UNION SELECT nodeid, pid, global_pid FROM trunkline_internal.held_process)
SELECT DISTINCT w.global_pid AS waiting_gpid, b.global_pid AS blocking_gpid,
       (SELECT query FROM activity a WHERE a.global_pid = w.global_pid ORDER BY is_worker_query LIMIT 1) AS blocked_statement,
       (SELECT query FROM activity a WHERE a.global_pid = b.global_pid ORDER BY is_worker_query LIMIT 1) AS current_statement_in_blocking_process,
       trunkline.citus_nodeid_for_gpid(w.global_pid) AS waiting_nodeid, trunkline.citus_nodeid_for_gpid(b.global_pid) AS blocking_nodeid
FROM trunkline_internal.activity('nodes') n
CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(n->'waits') e
JOIN process w ON w.nodeid = (n->>'nodeid')::int AND w.pid = (e->>0)::int AND w.global_pid IS NOT NULL
JOIN process b ON b.nodeid = (n->>'nodeid')::int AND b.pid = (e->>1)::int AND b.global_pid IS NOT NULL;
