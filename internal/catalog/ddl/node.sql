-- What every node has, the coordinator too. Runs each time a node is bootstrapped.

CREATE SCHEMA IF NOT EXISTS trunkline;
CREATE SCHEMA IF NOT EXISTS trunkline_internal; -- what the gateway itself calls
GRANT USAGE ON SCHEMA trunkline, trunkline_internal TO PUBLIC;

-- The decisions of distributed transactions that this node decided. A row says that the transaction was committed, or, as a
-- tombstone, that it must not be any more; NULL, that a client has prepared it and has yet to decide. Users write their own decision
-- in their own transaction.
CREATE TABLE IF NOT EXISTS trunkline.commit_record (
  gid text PRIMARY KEY,
  committed bool DEFAULT true,
  decided_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'trunkline.commit_record'::regclass AND attname = 'committed' AND attnotnull) THEN
    ALTER TABLE trunkline.commit_record ALTER COLUMN committed DROP NOT NULL;
  END IF;
END $$;
GRANT SELECT, INSERT ON trunkline.commit_record TO PUBLIC;

-- What commits over several nodes and reads at one instant lock, so that neither comes amid the other. It never has a row.
CREATE TABLE IF NOT EXISTS trunkline.commit_gate (CHECK (false));
GRANT INSERT ON trunkline.commit_gate TO PUBLIC;

-- The hash of a value by its type's default hash operator class: PostgreSQL lets some types' own hash functions (bytea's, date's)
-- not be called from SQL.
CREATE OR REPLACE FUNCTION trunkline_internal.hash_value(anyelement) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT pg_catalog.hash_record(ROW($1)) $$;

-- Makes a shard schema of a user's schema, with that one's owner and rights, for anybody who may create tables in the schema itself
-- (which alone would not let them create a schema).
CREATE OR REPLACE FUNCTION trunkline_internal.ensure_shard_schema(schema text, shard_schema text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  base pg_namespace;
  item record;
BEGIN
  IF EXISTS (SELECT FROM pg_namespace WHERE nspname = shard_schema) THEN
    RETURN;
  END IF;
  SELECT * INTO base FROM pg_namespace WHERE nspname = schema;
  IF NOT FOUND THEN
    RAISE invalid_schema_name USING MESSAGE = format('schema "%s" does not exist', schema);
  END IF;
  IF NOT has_schema_privilege(session_user, base.oid, 'CREATE') OR shard_schema !~ '_[0-9]+$' OR left(shard_schema, 20) <> left(schema || '_' || substring(shard_schema, '[0-9]+$'), 20) THEN
    RAISE insufficient_privilege USING MESSAGE = format('permission denied for schema %s', schema);
  END IF;
  EXECUTE format('CREATE SCHEMA %I', shard_schema);
  EXECUTE format('ALTER SCHEMA %I OWNER TO %I', shard_schema, pg_get_userbyid(base.nspowner));
  IF base.nspacl IS NOT NULL THEN
    EXECUTE format('REVOKE ALL ON SCHEMA %I FROM %I', shard_schema, pg_get_userbyid(base.nspowner));
  END IF;
  FOR item IN SELECT * FROM aclexplode(base.nspacl) LOOP
    EXECUTE format('GRANT %s ON SCHEMA %I TO %s%s', item.privilege_type, shard_schema,
      CASE item.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(item.grantee)) END, CASE WHEN item.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
  END LOOP;
END $$;

-- Makes a shard refuse rows that belong to another one: a trigger may have given them another value of the distribution column than
-- they were routed by. For anybody who may create triggers on the table.
CREATE OR REPLACE FUNCTION trunkline_internal.refuse_row(table_name text) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = pg_catalog.format('a trigger of distributed table "%s" changed the distribution column of a row', table_name),
    DETAIL = 'The row belongs to another shard now.', HINT = 'Give the distribution column its final value in the statement.';
END $$;

CREATE OR REPLACE FUNCTION trunkline_internal.guard_shard(shard regclass, distribution_column text, hash_function text, lowest int, highest int) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  hash text[] := parse_ident(hash_function);
BEGIN
  IF NOT has_table_privilege(session_user, shard, 'TRIGGER') THEN
    RAISE insufficient_privilege USING MESSAGE = format('permission denied for table %s', (SELECT relname FROM pg_class WHERE oid = shard));
  END IF;
  IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = shard AND conname = 'trunkline_shard') THEN
    EXECUTE format('ALTER TABLE ONLY %s ADD CONSTRAINT trunkline_shard CHECK (coalesce(%I.%I(%I), 0) BETWEEN %s AND %s OR trunkline_internal.refuse_row(%L)) NOT VALID',
      shard, hash[1], hash[2], distribution_column, lowest, highest, (SELECT relname FROM pg_class WHERE oid = shard));
  END IF;
END $$;

-- Raises PostgreSQL's error for a row that a view's check option does not allow. values are the row's, as they are printed. It is
-- IMMUTABLE so that it is called on the node that has the row.
CREATE OR REPLACE FUNCTION trunkline_internal.refuse_view_row(view_name text, VARIADIC "values" text[]) RETURNS bool LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE with_check_option_violation USING MESSAGE = format('new row violates check option for view "%s"', view_name),
    DETAIL = format('Failing row contains (%s).', (SELECT string_agg(CASE WHEN octet_length(v) > 64 THEN left(v, 64) || '...' ELSE v END, ', ' ORDER BY n) FROM unnest("values") WITH ORDINALITY AS _(v, n)));
END $$;

-- Where the newest version of a row lies that a cursor has found at a ctid, as WHERE CURRENT OF follows it.
CREATE OR REPLACE FUNCTION trunkline_internal.latest_tid(table_oid oid, found tid) RETURNS tid LANGUAGE sql STABLE AS
$$ SELECT pg_catalog.currtid2(pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), $2)
   FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1 $$;

-- Drops a shard schema in which nothing is left, for anybody who may create tables in it.
CREATE OR REPLACE FUNCTION trunkline_internal.drop_shard_schema(shard_schema text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF shard_schema ~ '_[0-9]+$' AND EXISTS (SELECT FROM pg_namespace WHERE nspname = shard_schema AND has_schema_privilege(session_user, oid, 'CREATE')) THEN
    EXECUTE format('DROP SCHEMA %I RESTRICT', shard_schema);
  END IF;
EXCEPTION WHEN dependent_objects_still_exist THEN
  NULL;
END $$;

-- A setting's assignment, SET name TO value, of an entry as in pg_db_role_setting.setconfig.
CREATE OR REPLACE FUNCTION trunkline_internal.setting_clause(entry text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('SET %s TO %s', (SELECT string_agg(quote_ident(part), '.') FROM unnest(string_to_array(split_part(entry, '=', 1), '.')) part),
    CASE WHEN split_part(entry, '=', 1) IN ('search_path', 'temp_tablespaces', 'session_preload_libraries', 'local_preload_libraries', 'shared_preload_libraries', 'unix_socket_directories')
         THEN coalesce(nullif(substring(entry, '^[^=]*=(.*)$'), ''), quote_literal('')) ELSE quote_literal(substring(entry, '^[^=]*=(.*)$')) END)
$$;
