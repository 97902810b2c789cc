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
       pg_catalog.pg_size_pretty(CASE WHEN p.partmethod = 'n' AND p.repmodel <> 't' AND p.colocationid = 0 THEN pg_catalog.pg_total_relation_size(p.logicalrelid)::numeric
                                      ELSE z.total END) AS table_size,
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
