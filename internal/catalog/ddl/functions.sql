-- Functions under Citus' names that the metadata alone can answer. Runs whenever its text has changed.

-- One of the gateway's own settings, as the session has it.
CREATE OR REPLACE FUNCTION trunkline_internal.own_setting(name text, standard text) RETURNS text LANGUAGE sql STABLE AS
$$ SELECT coalesce(nullif(pg_catalog.current_setting('citus.' || name, true), ''), nullif(pg_catalog.current_setting('canopy.' || name, true), ''), standard) $$;

CREATE OR REPLACE FUNCTION trunkline.citus_version() RETURNS text LANGUAGE sql STABLE AS
$$ SELECT 'Trunkline 0.1 (compatible with Citus 13.0) on ' || pg_catalog.version() $$;

CREATE OR REPLACE FUNCTION trunkline.citus_is_coordinator() RETURNS bool LANGUAGE sql STABLE AS $$ SELECT true $$;

CREATE OR REPLACE FUNCTION trunkline.citus_coordinator_nodeid() RETURNS int LANGUAGE sql STABLE AS
$$ SELECT coalesce((SELECT nodeid FROM trunkline.pg_dist_node WHERE groupid = 0 AND noderole = 'primary'), -1) $$;

CREATE OR REPLACE FUNCTION trunkline.citus_get_active_worker_nodes(OUT node_name text, OUT node_port bigint) RETURNS SETOF record LANGUAGE sql STABLE AS
$$ SELECT nodename, nodeport FROM trunkline.pg_dist_node WHERE isactive AND noderole = 'primary' AND groupid <> 0 ORDER BY nodeid $$;

CREATE OR REPLACE FUNCTION trunkline.master_get_active_worker_nodes(OUT node_name text, OUT node_port bigint) RETURNS SETOF record LANGUAGE sql STABLE AS
$$ SELECT * FROM trunkline.citus_get_active_worker_nodes() $$;

CREATE OR REPLACE FUNCTION trunkline.citus_nodename_for_nodeid(nodeid int) RETURNS text LANGUAGE sql STABLE AS
$$ SELECT n.nodename FROM trunkline.pg_dist_node n WHERE n.nodeid = $1 $$;

CREATE OR REPLACE FUNCTION trunkline.citus_nodeport_for_nodeid(nodeid int) RETURNS int LANGUAGE sql STABLE AS
$$ SELECT n.nodeport FROM trunkline.pg_dist_node n WHERE n.nodeid = $1 $$;

CREATE OR REPLACE FUNCTION trunkline.citus_calculate_gpid(nodeid int, pid int) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT $1::bigint * 10000000000 + $2 $$;

CREATE OR REPLACE FUNCTION trunkline.citus_pid_for_gpid(gpid bigint) RETURNS int LANGUAGE sql IMMUTABLE AS
$$ SELECT (gpid % 10000000000)::int $$;

CREATE OR REPLACE FUNCTION trunkline.citus_nodeid_for_gpid(gpid bigint) RETURNS int LANGUAGE sql IMMUTABLE AS
$$ SELECT (gpid / 10000000000)::int $$;

-- The cluster's clock: milliseconds since 1970, and a counter for what happens within one. There is one for all nodes, so it never goes
-- back, whichever gateway is asked: sequence trunkline_internal.clock keeps both as one number.
CREATE SEQUENCE IF NOT EXISTS trunkline_internal.clock;
CREATE OR REPLACE FUNCTION trunkline.citus_get_node_clock() RETURNS trunkline.cluster_clock LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  tick bigint;
BEGIN
  PERFORM pg_advisory_lock(hashtextextended('trunkline clock', 0));
  tick := setval('trunkline_internal.clock', greatest(nextval('trunkline_internal.clock'), (extract(epoch FROM clock_timestamp()) * 1000)::bigint << 22));
  PERFORM pg_advisory_unlock(hashtextextended('trunkline clock', 0));
  RETURN ROW(tick >> 22, (tick & 4194303)::int)::trunkline.cluster_clock;
END $$;

-- A transaction's clock is later than those of all transactions that had one before.
CREATE OR REPLACE FUNCTION trunkline.citus_get_transaction_clock() RETURNS trunkline.cluster_clock LANGUAGE sql VOLATILE AS
$$ SELECT trunkline.citus_get_node_clock() $$;

CREATE OR REPLACE FUNCTION trunkline.citus_is_clock_after(clock_one trunkline.cluster_clock, clock_two trunkline.cluster_clock) RETURNS bool LANGUAGE sql IMMUTABLE AS
$$ SELECT (clock_one.logical, clock_one.counter) > (clock_two.logical, clock_two.counter) $$;

-- partkey is written as Citus writes it: a Var, which names the column by number and so survives a rename.
CREATE OR REPLACE FUNCTION trunkline.column_name_to_column(table_name regclass, column_name text) RETURNS text LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE col pg_attribute;
BEGIN
  SELECT * INTO col FROM pg_attribute a WHERE a.attrelid = $1 AND a.attname = $2 AND NOT a.attisdropped;
  IF NOT FOUND THEN
    RAISE undefined_column USING MESSAGE = format('column "%s" of relation "%s" does not exist', $2, (SELECT relname FROM pg_class WHERE oid = $1));
  END IF;
  RETURN format('{VAR :varno 1 :varattno %s :vartype %s :vartypmod %s :varcollid %s :varlevelsup 0 :varnosyn 1 :varattnosyn %s :location -1}',
    col.attnum, col.atttypid, col.atttypmod, col.attcollation, col.attnum);
END $$;

CREATE OR REPLACE FUNCTION trunkline.column_to_column_name(table_name regclass, column_var_text text) RETURNS text LANGUAGE sql STABLE STRICT AS
$$ SELECT attname::text FROM pg_catalog.pg_attribute WHERE attrelid = $1 AND attnum = pg_catalog.substring($2, ':varattno (-?[0-9]+)')::int2 AND NOT attisdropped $$;

CREATE OR REPLACE FUNCTION trunkline.distributed_tables_colocated(table1 regclass, table2 regclass) RETURNS bool LANGUAGE sql STABLE STRICT AS
$$ SELECT coalesce((SELECT a.colocationid = b.colocationid AND a.colocationid <> 0
     FROM trunkline.pg_dist_partition a, trunkline.pg_dist_partition b WHERE a.logicalrelid = $1 AND b.logicalrelid = $2), false) $$;

-- The schema of the shards that belong to a schema's tables in a shard group: catalog.ShardSchema, in SQL.
CREATE OR REPLACE FUNCTION trunkline_internal.shard_schema(schema text, shardgroupid bigint) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  suffix text := '_' || shardgroupid;
  bytes bytea := convert_to(schema, 'UTF8');
  hash bigint := 2166136261; -- FNV-1a
  digits text := '';
BEGIN
  IF length(bytes) + length(suffix) <= 63 THEN
    RETURN schema || suffix;
  END IF;
  FOR i IN 0 .. length(bytes) - 1 LOOP
    hash := ((hash # get_byte(bytes, i)) * 16777619::numeric % 4294967296)::bigint;
  END LOOP;
  WHILE hash > 0 LOOP
    digits := substr('0123456789abcdefghijklmnopqrstuvwxyz', (hash % 36)::int + 1, 1) || digits;
    hash := hash / 36;
  END LOOP;
  suffix := '_' || coalesce(nullif(digits, ''), '0') || suffix;
  -- cut between characters, never inside one
  FOR keep IN REVERSE 63 - length(suffix) .. 1 LOOP
    IF get_byte(bytes, keep) & 192 <> 128 THEN
      RETURN convert_from(substr(bytes, 1, keep), 'UTF8') || suffix;
    END IF;
  END LOOP;
END $$;

-- The schemas of shards that are on this node, and those of shards that are coming or have gone (package move). Clients never see them.
CREATE OR REPLACE FUNCTION trunkline_internal.shard_namespaces() RETURNS oid[] LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS
$$ SELECT array(
     SELECT n.oid FROM (SELECT oid, nspname, substring(nspname FROM '_([0-9]{1,18})$')::bigint AS shardgroupid FROM pg_namespace OFFSET 0) n
     JOIN trunkline.shard_group g USING (shardgroupid)
     WHERE length(n.nspname) > 50 OR EXISTS (SELECT FROM pg_namespace p WHERE p.nspname || '_' || g.shardgroupid = n.nspname)
     UNION ALL SELECT oid FROM pg_namespace WHERE nspname ~ '^trunkline_(coming|gone)_[0-9]+_[0-9]+_[0-9]+$') $$;

CREATE OR REPLACE FUNCTION trunkline_internal.shard_group_of(table_name regclass, shard_id bigint) RETURNS bigint LANGUAGE sql STABLE STRICT AS
$$ SELECT g.shardgroupid FROM trunkline.pg_dist_shard s
   JOIN trunkline.pg_dist_partition p USING (logicalrelid)
   JOIN trunkline.shard_group g ON g.colocationid = p.colocationid AND (s.shardminvalue IS NULL OR g.shardminvalue = s.shardminvalue::int)
   WHERE s.logicalrelid = $1 AND s.shardid = $2 $$;

CREATE OR REPLACE FUNCTION trunkline.shard_name(object_name regclass, shard_id bigint) RETURNS text LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  schema name;
  name name;
BEGIN
  SELECT nspname, relname INTO schema, name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1;
  IF NOT FOUND THEN
    RAISE undefined_table USING MESSAGE = 'object_name does not reference a valid relation';
  END IF;
  IF EXISTS (SELECT FROM trunkline.pg_dist_partition p WHERE p.logicalrelid = $1 AND (p.repmodel = 't' OR p.colocationid = 0)) THEN
    RETURN format('%I.%I', schema, name);
  END IF;
  RETURN format('%I.%I', trunkline_internal.shard_schema(schema, trunkline_internal.shard_group_of($1, $2)), name);
END $$;

-- hash_record of a row of one column is the hash of that column by its type's default hash operator class: PostgreSQL lets some
-- types' own hash functions (bytea's, date's) not be called from SQL.
CREATE OR REPLACE FUNCTION trunkline_internal.shard_for_value(table_name regclass, distribution_value anyelement) RETURNS bigint LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  table_row trunkline.pg_dist_partition;
  key pg_attribute;
  hash int;
BEGIN
  SELECT * INTO table_row FROM trunkline.pg_dist_partition p WHERE p.logicalrelid = $1;
  IF NOT FOUND THEN
    RAISE invalid_table_definition USING MESSAGE = format('relation %s is not distributed', $1);
  END IF;
  IF table_row.partmethod = 'n' THEN
    RETURN (SELECT shardid FROM trunkline.pg_dist_shard s WHERE s.logicalrelid = $1);
  END IF;
  SELECT * INTO key FROM pg_attribute WHERE attrelid = $1 AND attname = trunkline.column_to_column_name($1, table_row.partkey);
  EXECUTE format('SELECT hash_record(ROW($1::%s %s))', format_type(key.atttypid, NULL),
    (SELECT format('COLLATE %I.%I', n.nspname, c.collname) FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace WHERE c.oid = key.attcollation))
    INTO hash USING distribution_value;
  RETURN (SELECT shardid FROM trunkline.pg_dist_shard s WHERE s.logicalrelid = $1 AND hash BETWEEN s.shardminvalue::int AND s.shardmaxvalue::int);
END $$;

-- Citus declares the value as "any", which only C functions can take: these two overloads accept the same calls.
CREATE OR REPLACE FUNCTION trunkline.get_shard_id_for_distribution_column(table_name regclass, distribution_value anyelement) RETURNS bigint LANGUAGE sql STABLE AS
$$ SELECT trunkline_internal.shard_for_value(table_name, distribution_value) $$;

CREATE OR REPLACE FUNCTION trunkline.get_shard_id_for_distribution_column(table_name regclass, distribution_value text DEFAULT NULL) RETURNS bigint LANGUAGE sql STABLE AS
$$ SELECT trunkline_internal.shard_for_value(table_name, distribution_value) $$;

CREATE OR REPLACE FUNCTION trunkline.citus_shard_cost_1(shardid bigint) RETURNS real LANGUAGE sql IMMUTABLE AS $$ SELECT 1.0::real $$;
CREATE OR REPLACE FUNCTION trunkline.citus_node_capacity_1(nodeid int) RETURNS real LANGUAGE sql IMMUTABLE AS $$ SELECT 1.0::real $$;
CREATE OR REPLACE FUNCTION trunkline.citus_shard_allowed_on_node_true(shardid bigint, nodeid int) RETURNS bool LANGUAGE sql IMMUTABLE AS $$ SELECT true $$;

CREATE OR REPLACE FUNCTION trunkline.citus_add_rebalance_strategy(name name, shard_cost_function regproc, node_capacity_function regproc,
  shard_allowed_on_node_function regproc, default_threshold real, minimum_threshold real DEFAULT 0, improvement_threshold real DEFAULT 0) RETURNS void LANGUAGE sql AS
$$ INSERT INTO trunkline.pg_dist_rebalance_strategy VALUES ($1, false, $2, $3, $4, $5, $6, $7) $$;

CREATE OR REPLACE FUNCTION trunkline.citus_set_default_rebalance_strategy(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  LOCK TABLE trunkline.pg_dist_rebalance_strategy IN SHARE ROW EXCLUSIVE MODE;
  IF NOT EXISTS (SELECT FROM trunkline.pg_dist_rebalance_strategy s WHERE s.name = $1) THEN
    RAISE EXCEPTION 'strategy with specified name does not exist' USING ERRCODE = 'undefined_object';
  END IF;
  UPDATE trunkline.pg_dist_rebalance_strategy s SET default_strategy = false WHERE s.default_strategy AND s.name <> $1;
  UPDATE trunkline.pg_dist_rebalance_strategy s SET default_strategy = true WHERE s.name = $1;
END $$;

CREATE OR REPLACE FUNCTION trunkline.citus_job_list() RETURNS TABLE (job_id bigint, state trunkline.citus_job_status, job_type name, description text, started_at timestamptz, finished_at timestamptz) LANGUAGE sql STABLE AS
$$ SELECT job_id, state, job_type, description, started_at, finished_at FROM trunkline.pg_dist_background_job ORDER BY job_id $$;

CREATE OR REPLACE FUNCTION trunkline.citus_job_status(job_id bigint, raw bool DEFAULT false) RETURNS TABLE (job_id bigint, state trunkline.citus_job_status, job_type name, description text, started_at timestamptz, finished_at timestamptz, details jsonb) LANGUAGE sql STABLE AS
$$ SELECT j.job_id, j.state, j.job_type, j.description, j.started_at, j.finished_at,
     jsonb_build_object('task_state_counts', (SELECT coalesce(jsonb_object_agg(c.status, c.n), '{}')
         FROM (SELECT t.status, count(*) AS n FROM trunkline.pg_dist_background_task t WHERE t.job_id = j.job_id GROUP BY 1) c),
       'tasks', (SELECT coalesce(jsonb_agg(jsonb_build_object('task_id', t.task_id, 'state', t.status, 'command', t.command, 'retried', coalesce(t.retry_count, 0), 'message', t.message) ORDER BY t.task_id), '[]')
         FROM trunkline.pg_dist_background_task t WHERE t.job_id = j.job_id AND ($2 OR t.status NOT IN ('done', 'blocked', 'runnable'))))
   FROM trunkline.pg_dist_background_job j WHERE j.job_id = $1 $$;

CREATE OR REPLACE FUNCTION trunkline.citus_rebalance_status(raw bool DEFAULT false) RETURNS TABLE (job_id bigint, state trunkline.citus_job_status, job_type name, description text, started_at timestamptz, finished_at timestamptz, details jsonb) LANGUAGE sql STABLE AS
$$ SELECT s.* FROM (SELECT max(job_id) AS job_id FROM trunkline.pg_dist_background_job WHERE job_type = 'rebalance') last, trunkline.citus_job_status(last.job_id, $1) s $$;

INSERT INTO trunkline.pg_dist_rebalance_strategy VALUES
  ('by_shard_count', false, 'trunkline.citus_shard_cost_1', 'trunkline.citus_node_capacity_1', 'trunkline.citus_shard_allowed_on_node_true', 0, 0, 0)
  ON CONFLICT DO NOTHING;
