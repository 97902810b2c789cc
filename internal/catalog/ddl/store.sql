-- What the gateway calls to change the metadata as part of a user's own transaction. Each function checks that the user who has
-- logged in may do what it records, since it writes tables that the user cannot.

CREATE OR REPLACE FUNCTION trunkline_internal.check_owner(table_name oid) RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE relation pg_class;
BEGIN
  SELECT * INTO relation FROM pg_class WHERE oid = $1;
  IF FOUND AND NOT pg_has_role(session_user, relation.relowner, 'MEMBER') THEN
    RAISE insufficient_privilege USING MESSAGE = format('must be owner of table %s', relation.relname);
  END IF;
END $$;

-- A new colocation group, its hash space cut evenly; groups[i] is the node group that holds the i-th shard group.
CREATE OR REPLACE FUNCTION trunkline_internal.create_colocation(groups int[], column_type oid, column_collation oid) RETURNS int LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  id int;
  n bigint := cardinality(groups);
  width bigint := 4294967296 / greatest(n, 1);
BEGIN
  INSERT INTO trunkline.pg_dist_colocation (shardcount, replicationfactor, distributioncolumntype, distributioncolumncollation)
    VALUES (n, 1, column_type, column_collation) RETURNING colocationid INTO id;
  INSERT INTO trunkline.shard_group (colocationid, shardminvalue, shardmaxvalue, groupid)
    SELECT id, (-2147483648 + (i - 1) * width)::int, CASE WHEN i = n THEN 2147483647 ELSE (-2147483649 + i * width)::int END, groups[i]
    FROM generate_series(1, n) i ORDER BY i;
  RETURN id;
END $$;

-- The colocation group of all reference tables, which has no shard groups.
CREATE OR REPLACE FUNCTION trunkline_internal.reference_colocation() RETURNS int LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE id int;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('trunkline reference colocation', 0));
  SELECT colocationid INTO id FROM trunkline.pg_dist_colocation WHERE replicationfactor = -1;
  IF NOT FOUND THEN
    INSERT INTO trunkline.pg_dist_colocation (shardcount, replicationfactor, distributioncolumntype, distributioncolumncollation)
      VALUES (1, -1, 0, 0) RETURNING colocationid INTO id;
  END IF;
  RETURN id;
END $$;

-- Records a table of a colocation group with its shards and placements. A NULL column makes a reference table (in the reference
-- colocation group) or a single-shard table. The first table of a group gets the shard groups' ids as its shards' ids.
-- A shell has no rows of its own. Whoever writes to one, because it planned while the table was still local or because it is no
-- gateway, is told so; actions of foreign keys find nothing there and do no harm.
-- Nor does a gateway that has a COPY of no rows checked, or moves a table's rows, which it announces by trunkline.checking.
CREATE OR REPLACE FUNCTION trunkline_internal.refuse_shell() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF pg_trigger_depth() = 1 AND current_setting('trunkline.checking', true) IS DISTINCT FROM 'on' THEN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', CONSTRAINT = 'trunkline_shell',
      MESSAGE = format('table "%s" is distributed', TG_TABLE_NAME), HINT = 'Connect through a gateway to write to it.';
  END IF;
  RETURN NULL;
END $$;

-- The node groups, besides the coordinator's, that have the copies of reference tables, as the gateway and the trigger below write them.
CREATE OR REPLACE FUNCTION trunkline_internal.copy_groups() RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS
$$ SELECT 'groups' || coalesce((SELECT string_agg(' ' || groupid, '' ORDER BY groupid) FROM trunkline.pg_dist_node WHERE isactive AND noderole = 'primary' AND groupid <> 0), '') $$;

-- The coordinator's copy of a reference table is written together with all others. A gateway that knows this announces by
-- trunkline.reference which others it will write. One that does not know, or knows of other nodes, would leave a copy out. What the
-- right answer is stands in the trigger's definition, which is the newest whatever snapshot the transaction has.
CREATE OR REPLACE FUNCTION trunkline_internal.refuse_copy() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF pg_trigger_depth() = 1 AND current_setting('trunkline.reference', true) IS DISTINCT FROM TG_ARGV[0] THEN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', CONSTRAINT = 'trunkline_shell',
      MESSAGE = format('table "%s" is a reference table', TG_TABLE_NAME), HINT = 'Connect through a gateway to write to it.';
  END IF;
  RETURN NULL;
END $$;

-- Reads of a shell are not refused: whatever PostgreSQL evaluates when a table is read (policies, extended statistics) shows in \d and
-- in dumps, and a shell is to look as the user made the table. Instead, a gateway asks for the catalog's version after it has read local
-- tables (session/confirm.go).

-- Blocks on several nodes that wait, as gateways tell one another to find deadlocks (txn/deadlock.go). What is lost in a crash is
-- written again.
CREATE UNLOGGED TABLE IF NOT EXISTS trunkline_internal.waiting_block (
  gateway text NOT NULL,
  number bigint NOT NULL,
  began bigint NOT NULL,
  groupid int NOT NULL,
  pid int NOT NULL,
  published_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What gateways ask of one another, and answer (session/presence.go).
CREATE UNLOGGED TABLE IF NOT EXISTS trunkline_internal.gateway_request (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  request jsonb NOT NULL,
  asked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNLOGGED TABLE IF NOT EXISTS trunkline_internal.gateway_answer (
  request bigint REFERENCES trunkline_internal.gateway_request ON DELETE CASCADE,
  gateway int,
  answer jsonb NOT NULL,
  PRIMARY KEY (request, gateway)
);

-- The transactions that clients have prepared, by the clients' own ids: the id of their branches on the nodes, and which groups these are
-- of (txn/prepared.go).
CREATE TABLE IF NOT EXISTS trunkline_internal.prepared_transaction (
  gid text PRIMARY KEY,
  branch text NOT NULL UNIQUE,
  owner oid NOT NULL,
  prepared timestamptz NOT NULL DEFAULT clock_timestamp(),
  groups int[] NOT NULL
);
GRANT SELECT ON trunkline_internal.prepared_transaction TO PUBLIC;

-- Who a statement is run by, inside a function that runs as its owner.
CREATE OR REPLACE FUNCTION trunkline_internal.caller() RETURNS oid LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS
$$ SELECT oid FROM pg_roles WHERE rolname = coalesce(nullif(current_setting('role'), 'none'), session_user) $$;

-- Makes branches that have been prepared the caller's prepared transaction.
CREATE OR REPLACE FUNCTION trunkline_internal.hold_transaction(gid text, branch text, groups int[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF current_setting('max_prepared_transactions') = '0' THEN
    RAISE object_not_in_prerequisite_state USING MESSAGE = 'prepared transactions are disabled', HINT = 'Set max_prepared_transactions to a nonzero value.';
  END IF;
  INSERT INTO trunkline_internal.prepared_transaction AS t SELECT $1, $2, trunkline_internal.caller(), clock_timestamp(), $3
    WHERE NOT EXISTS (SELECT FROM pg_prepared_xacts p WHERE p.gid = $1) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN
    RAISE duplicate_object USING MESSAGE = format('transaction identifier "%s" is already in use', gid);
  END IF;
  INSERT INTO trunkline.commit_record (gid, committed) VALUES (branch, NULL);
END $$;

-- Decides on a prepared transaction of the caller's.
CREATE OR REPLACE FUNCTION trunkline_internal.end_transaction(gid text, branch text, commits bool) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found_owner oid;
BEGIN
  BEGIN
    SELECT owner INTO found_owner FROM trunkline_internal.prepared_transaction t WHERE t.gid = $1 AND t.branch = $2 FOR UPDATE NOWAIT;
  EXCEPTION WHEN lock_not_available THEN
    RAISE object_not_in_prerequisite_state USING MESSAGE = format('prepared transaction with identifier "%s" is busy', gid);
  END;
  IF found_owner IS NULL THEN
    RAISE undefined_object USING MESSAGE = format('prepared transaction with identifier "%s" does not exist', gid);
  END IF;
  IF found_owner <> trunkline_internal.caller() AND NOT (SELECT rolsuper FROM pg_roles WHERE oid = trunkline_internal.caller()) THEN
    RAISE insufficient_privilege USING MESSAGE = 'permission denied to finish prepared transaction',
      HINT = 'Must be superuser or the user that prepared the transaction.';
  END IF;
  DELETE FROM trunkline_internal.prepared_transaction t WHERE t.gid = $1;
  UPDATE trunkline.commit_record r SET committed = commits, decided_at = clock_timestamp() WHERE r.gid = $2;
END $$;

-- The guard is marked internal, so that \d and pg_dump show the table as the user made it.
CREATE OR REPLACE FUNCTION trunkline_internal.guard(table_name oid, refuse text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM trunkline_internal.check_owner(table_name);
  EXECUTE format('CREATE TRIGGER trunkline_shell BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH STATEMENT EXECUTE FUNCTION trunkline_internal.%I(%L)',
    table_name::regclass, refuse, trunkline_internal.copy_groups());
  PERFORM set_config('allow_system_table_mods', 'on', true);
  UPDATE pg_trigger SET tgisinternal = true WHERE tgrelid = table_name AND tgname = 'trunkline_shell';
  PERFORM set_config('allow_system_table_mods', 'off', true);
END $$;

-- Has all reference tables' copies on the coordinator ask for the nodes that there are now. Their tables must be locked.
CREATE OR REPLACE FUNCTION trunkline_internal.guard_copies() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE copy oid;
BEGIN
  FOR copy IN SELECT logicalrelid FROM trunkline.pg_dist_partition WHERE repmodel = 't' LOOP
    PERFORM trunkline_internal.open_shell(copy);
    PERFORM trunkline_internal.guard(copy, 'refuse_copy');
  END LOOP;
END $$;

CREATE OR REPLACE FUNCTION trunkline_internal.open_shell(table_name oid) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM trunkline_internal.check_owner(table_name);
  IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = table_name AND tgname = 'trunkline_shell') THEN
    EXECUTE format('DROP TRIGGER trunkline_shell ON %s', table_name::regclass);
  END IF;
END $$;

CREATE OR REPLACE FUNCTION trunkline_internal.add_table(table_name oid, column_name text, colocation int) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  reference bool;
  first bool;
BEGIN
  PERFORM trunkline_internal.check_owner(table_name);
  SELECT replicationfactor = -1 INTO STRICT reference FROM trunkline.pg_dist_colocation WHERE colocationid = colocation FOR KEY SHARE;
  IF EXISTS (SELECT FROM trunkline.pg_dist_partition WHERE logicalrelid = table_name AND repmodel <> 't' AND colocationid = 0) THEN
    PERFORM trunkline_internal.forget_local_table(table_name);
  END IF;
  INSERT INTO trunkline.pg_dist_partition (logicalrelid, partmethod, partkey, colocationid, repmodel)
    VALUES (table_name, CASE WHEN column_name IS NULL THEN 'n' ELSE 'h' END,
            trunkline.column_name_to_column(table_name, column_name), colocation, CASE WHEN reference THEN 't' ELSE 's' END);
  IF reference THEN
    WITH shard AS (
      INSERT INTO trunkline.pg_dist_shard (logicalrelid) VALUES (table_name) RETURNING shardid
    ) INSERT INTO trunkline.pg_dist_placement (shardid, groupid)
      SELECT shardid, groupid FROM shard, trunkline.pg_dist_node WHERE noderole = 'primary' AND isactive ORDER BY groupid;
    PERFORM trunkline_internal.guard(table_name, 'refuse_copy');
    RETURN;
  END IF;
  PERFORM trunkline_internal.guard(table_name, 'refuse_shell');
  PERFORM set_config('trunkline.checking', 'on', true); -- the rest of this transaction moves the rows, and knows
  first := NOT EXISTS (SELECT FROM trunkline.pg_dist_shard s JOIN trunkline.shard_group g ON g.shardgroupid = s.shardid WHERE g.colocationid = colocation);
  WITH shard AS (
    INSERT INTO trunkline.pg_dist_shard (logicalrelid, shardid, shardminvalue, shardmaxvalue)
      SELECT table_name, CASE WHEN first THEN g.shardgroupid ELSE nextval('trunkline.pg_dist_shardid_seq') END,
             CASE WHEN column_name IS NOT NULL THEN g.shardminvalue END, CASE WHEN column_name IS NOT NULL THEN g.shardmaxvalue END
      FROM (SELECT * FROM trunkline.shard_group WHERE colocationid = colocation ORDER BY shardminvalue OFFSET 0) g
      RETURNING shardid, shardminvalue
  ) INSERT INTO trunkline.pg_dist_placement (shardid, groupid)
    SELECT s.shardid, g.groupid FROM shard s JOIN trunkline.shard_group g
      ON g.colocationid = colocation AND (s.shardminvalue IS NULL OR g.shardminvalue = s.shardminvalue::int) ORDER BY s.shardid;
END $$;

-- Forgets a table. When it was its colocation group's last (and the group is not a schema's), the group goes too. Says whether it did.
CREATE OR REPLACE FUNCTION trunkline_internal.remove_table(table_name oid) RETURNS bool LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  colocation int;
BEGIN
  PERFORM trunkline_internal.check_owner(table_name);
  PERFORM trunkline_internal.open_shell(table_name);
  DELETE FROM trunkline.pg_dist_placement WHERE shardid IN (SELECT shardid FROM trunkline.pg_dist_shard WHERE logicalrelid = table_name);
  DELETE FROM trunkline.pg_dist_shard WHERE logicalrelid = table_name;
  DELETE FROM trunkline.pg_dist_partition WHERE logicalrelid = table_name RETURNING colocationid INTO colocation;
  IF colocation IS NULL OR colocation = 0 THEN
    RETURN false;
  END IF;
  PERFORM FROM trunkline.pg_dist_colocation WHERE colocationid = colocation FOR UPDATE;
  IF EXISTS (SELECT FROM trunkline.pg_dist_partition WHERE colocationid = colocation)
     OR EXISTS (SELECT FROM trunkline.pg_dist_schema WHERE colocationid = colocation) THEN
    RETURN false;
  END IF;
  DELETE FROM trunkline.pg_dist_colocation WHERE colocationid = colocation;
  RETURN true;
END $$;

-- Whether a table is one of the coordinator's own: neither distributed nor a reference table, nor a shard.
CREATE OR REPLACE FUNCTION trunkline_internal.is_local_table(table_name oid) RETURNS bool LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS
$$ SELECT EXISTS (SELECT FROM pg_class c WHERE c.oid = $1 AND c.relkind IN ('r', 'p') AND c.relnamespace <> ALL ((SELECT trunkline_internal.shard_namespaces())::oid[]))
     AND NOT EXISTS (SELECT FROM trunkline.pg_dist_partition p WHERE p.logicalrelid = $1 AND (p.repmodel = 't' OR p.colocationid <> 0)) $$;

-- The local tables that foreign keys connect with reference tables, directly or by way of other local tables.
CREATE OR REPLACE FUNCTION trunkline_internal.local_tables_by_reference_tables() RETURNS SETOF oid LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH RECURSIVE key AS MATERIALIZED (
    SELECT conrelid AS one, confrelid AS other FROM pg_constraint WHERE contype = 'f' UNION SELECT confrelid, conrelid FROM pg_constraint WHERE contype = 'f'
  ), connected(oid) AS (
    SELECT k.other FROM key k JOIN trunkline.pg_dist_partition p ON p.logicalrelid = k.one AND p.repmodel = 't' WHERE trunkline_internal.is_local_table(k.other)
    UNION SELECT k.other FROM connected c JOIN key k ON k.one = c.oid WHERE trunkline_internal.is_local_table(k.other)
  ) SELECT oid FROM connected
$$;

-- Records a local table in the metadata: one shard, which is the table itself. An automatic record goes when it is not needed any more.
CREATE OR REPLACE FUNCTION trunkline_internal.record_local_table(table_name oid, automatic bool) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO trunkline.pg_dist_partition AS p (logicalrelid, partmethod, repmodel, autoconverted) VALUES (table_name, 'n', 's', automatic)
    ON CONFLICT (logicalrelid) DO UPDATE SET autoconverted = false WHERE p.autoconverted AND NOT automatic;
  IF NOT EXISTS (SELECT FROM trunkline.pg_dist_shard WHERE logicalrelid = table_name) THEN
    WITH shard AS (
      INSERT INTO trunkline.pg_dist_shard (logicalrelid) VALUES (table_name) RETURNING shardid
    ) INSERT INTO trunkline.pg_dist_placement (shardid, groupid) SELECT shardid, 0 FROM shard;
  END IF;
END $$;

CREATE OR REPLACE FUNCTION trunkline_internal.add_local_table(table_name oid) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM trunkline_internal.check_owner(table_name);
  PERFORM trunkline_internal.record_local_table(table_name, false);
END $$;

-- Brings the records of local tables in line with the tables and foreign keys there are: recorded are those that a user wishes and those that
-- foreign keys connect with reference tables, with their partitions. Foreign keys decide, not whoever calls it.
CREATE OR REPLACE FUNCTION trunkline_internal.note_local_tables() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  wanted oid[];
  changed oid;
BEGIN
  WITH cause AS (
    SELECT oid FROM trunkline_internal.local_tables_by_reference_tables() oid
    UNION SELECT p.logicalrelid FROM trunkline.pg_dist_partition p JOIN pg_class c ON c.oid = p.logicalrelid WHERE p.repmodel <> 't' AND p.colocationid = 0 AND NOT p.autoconverted
  ) SELECT array(SELECT oid FROM cause UNION SELECT t.relid FROM cause, pg_partition_tree(cause.oid) t) INTO wanted;
  FOR changed IN SELECT p.logicalrelid FROM trunkline.pg_dist_partition p WHERE p.repmodel <> 't' AND p.colocationid = 0 AND p.logicalrelid <> ALL (wanted) LOOP
    PERFORM trunkline_internal.forget_local_table(changed);
  END LOOP;
  FOR changed IN SELECT unnest(wanted) EXCEPT SELECT logicalrelid FROM trunkline.pg_dist_partition LOOP
    PERFORM trunkline_internal.record_local_table(changed, true);
  END LOOP;
END $$;

-- Takes back the wish that a local table be recorded. Says whether it was.
CREATE OR REPLACE FUNCTION trunkline_internal.release_local_table(table_name oid) RETURNS bool LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE recorded bool;
BEGIN
  PERFORM trunkline_internal.check_owner(table_name);
  UPDATE trunkline.pg_dist_partition SET autoconverted = true WHERE logicalrelid IN (SELECT $1 UNION SELECT t.relid FROM pg_partition_tree($1) t) AND repmodel <> 't' AND colocationid = 0;
  recorded := FOUND;
  PERFORM trunkline_internal.note_local_tables();
  RETURN recorded;
END $$;

CREATE OR REPLACE FUNCTION trunkline_internal.forget_local_table(table_name oid) RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  DELETE FROM trunkline.pg_dist_placement WHERE shardid IN (SELECT shardid FROM trunkline.pg_dist_shard WHERE logicalrelid = table_name);
  DELETE FROM trunkline.pg_dist_shard WHERE logicalrelid = table_name;
  DELETE FROM trunkline.pg_dist_partition WHERE logicalrelid = table_name AND repmodel <> 't' AND colocationid = 0;
$$;

-- Forgets the local tables of the caller's that nothing but the caller's wish has in the metadata.
CREATE OR REPLACE FUNCTION trunkline_internal.remove_local_tables() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  connected oid[] := array(SELECT trunkline_internal.local_tables_by_reference_tables());
  wished oid;
BEGIN
  FOR wished IN SELECT p.logicalrelid FROM trunkline.pg_dist_partition p JOIN pg_class c ON c.oid = p.logicalrelid WHERE p.repmodel <> 't' AND p.colocationid = 0
      AND NOT EXISTS (SELECT FROM pg_partition_ancestors(p.logicalrelid) a(relid) WHERE a.relid = ANY (connected)) AND p.logicalrelid <> ALL (connected) LOOP
    PERFORM trunkline_internal.check_owner(wished);
    PERFORM trunkline_internal.forget_local_table(wished);
  END LOOP;
END $$;

-- Records how a function of the caller's is distributed; argument is the place of its distribution argument from 0 on, NULL for none.
CREATE OR REPLACE FUNCTION trunkline_internal.add_distributed_function(function_name oid, argument int, colocation int, force bool) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_proc WHERE oid = function_name AND pg_has_role(session_user, proowner, 'MEMBER')) THEN
    RAISE insufficient_privilege USING MESSAGE = format('must be owner of function %s', function_name::regprocedure);
  END IF;
  DELETE FROM trunkline_internal.distributed_function d WHERE d.function = function_name OR NOT EXISTS (SELECT FROM pg_proc p WHERE p.oid = d.function);
  INSERT INTO trunkline_internal.distributed_function VALUES (function_name, argument, colocation, force);
END $$;

-- Fills a materialized view with the rows of pg_temp.trunkline_materialized, which the gateway has made by the view's own query, and drops
-- that table. For the time of the REFRESH the view's rule reads the table; nobody else ever sees it so, since this is one transaction.
CREATE OR REPLACE FUNCTION trunkline_internal.refill(view oid, side_by_side bool) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  own pg_node_tree;
  rows bigint;
BEGIN
  PERFORM trunkline_internal.check_owner(view);
  PERFORM pg_advisory_xact_lock(hashtextextended('trunkline materialized view', view::bigint));
  SELECT count(*) INTO rows FROM pg_temp.trunkline_materialized;
  CREATE TEMPORARY VIEW trunkline_source AS SELECT * FROM pg_temp.trunkline_materialized;
  PERFORM set_config('allow_system_table_mods', 'on', true);
  SELECT ev_action INTO own FROM pg_rewrite WHERE ev_class = view AND rulename = '_RETURN';
  UPDATE pg_rewrite SET ev_action = (SELECT ev_action FROM pg_rewrite WHERE ev_class = to_regclass('pg_temp.trunkline_source') AND rulename = '_RETURN')
    WHERE ev_class = view AND rulename = '_RETURN';
  UPDATE pg_class SET relname = relname WHERE oid = view; -- has sessions read the rule anew
  EXECUTE format('REFRESH MATERIALIZED VIEW %s %s', CASE WHEN side_by_side THEN 'CONCURRENTLY' END, view::regclass);
  UPDATE pg_rewrite SET ev_action = own WHERE ev_class = view AND rulename = '_RETURN';
  UPDATE pg_class SET relname = relname WHERE oid = view;
  PERFORM set_config('allow_system_table_mods', 'off', true);
  DROP TABLE pg_temp.trunkline_materialized CASCADE;
  RETURN rows;
END $$;

-- Makes a schema a tenant's, with a colocation group of its own.
CREATE OR REPLACE FUNCTION trunkline_internal.add_tenant_schema(schema oid, colocation int) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM trunkline_internal.check_schema_owner(schema);
  INSERT INTO trunkline.pg_dist_schema VALUES (schema, colocation);
END $$;

-- Makes a tenant's schema, none of whose tables is distributed any more, an ordinary one.
CREATE OR REPLACE FUNCTION trunkline_internal.remove_tenant_schema(schema oid) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE colocation int;
BEGIN
  PERFORM trunkline_internal.check_schema_owner(schema);
  DELETE FROM trunkline.pg_dist_schema WHERE schemaid = schema RETURNING colocationid INTO colocation;
  DELETE FROM trunkline.pg_dist_colocation WHERE colocationid = colocation;
END $$;

CREATE OR REPLACE FUNCTION trunkline_internal.check_schema_owner(schema oid) RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_namespace WHERE oid = schema AND pg_has_role(session_user, nspowner, 'MEMBER')) THEN
    RAISE insufficient_privilege USING MESSAGE = format('must be owner of schema %s', schema::regnamespace);
  END IF;
END $$;

-- Forgets tenants' schemas that are dropped, once their tables are forgotten.
CREATE OR REPLACE FUNCTION trunkline_internal.forget_tenant_schemas() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  WITH gone AS (DELETE FROM trunkline.pg_dist_schema s WHERE NOT EXISTS (SELECT FROM pg_namespace n WHERE n.oid = s.schemaid) RETURNING colocationid)
  DELETE FROM trunkline.pg_dist_colocation c USING gone WHERE c.colocationid = gone.colocationid;
$$;

-- Moves a table to another colocation group of the same shape: its shards take that group's ranges, in order.
CREATE OR REPLACE FUNCTION trunkline_internal.set_colocation(table_name oid, colocation int) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  column_name text;
BEGIN
  SELECT trunkline.column_to_column_name(table_name, partkey) INTO column_name FROM trunkline.pg_dist_partition WHERE logicalrelid = table_name;
  PERFORM trunkline_internal.remove_table(table_name);
  PERFORM trunkline_internal.add_table(table_name, column_name, colocation);
END $$;

-- Records that a shard group now lives in another node group.
CREATE OR REPLACE FUNCTION trunkline_internal.move_shard_group(shard_group bigint, target_group int) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  moved trunkline.shard_group;
BEGIN
  UPDATE trunkline.shard_group SET groupid = target_group WHERE shardgroupid = $1 RETURNING * INTO STRICT moved;
  UPDATE trunkline.pg_dist_placement SET groupid = target_group WHERE shardid IN (
    SELECT s.shardid FROM trunkline.pg_dist_shard s JOIN trunkline.pg_dist_partition p USING (logicalrelid)
    WHERE p.colocationid = moved.colocationid AND (s.shardminvalue IS NULL OR s.shardminvalue::int = moved.shardminvalue));
END $$;

-- Records a node. group_id -1 means a group of its own.
CREATE OR REPLACE FUNCTION trunkline_internal.add_node(host text, port int, group_id int, role text, cluster name, active bool) RETURNS int LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  id int;
BEGIN
  INSERT INTO trunkline.pg_dist_node (groupid, nodename, nodeport, noderole, nodecluster, isactive, hasmetadata, metadatasynced, shouldhaveshards)
    VALUES (CASE WHEN group_id < 0 THEN nextval('trunkline.pg_dist_groupid_seq') ELSE group_id END, host, port,
            role::trunkline.noderole, cluster, active, active, active, group_id <> 0) RETURNING nodeid INTO id;
  RETURN id;
END $$;

-- Takes the last values that were drawn from a sequence back, a number of them that follow used: unless it has moved beyond drawn
-- meanwhile, or others have drawn in between. Tells whether it has. Nobody can draw while it looks; who has drawn in a transaction
-- that is still open is not waited for.
CREATE OR REPLACE FUNCTION trunkline_internal.give_back(sequence_name text, drawn bigint, used bigint, number int) RETURNS bool LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $$
DECLARE
  sequence regclass := to_regclass(sequence_name);
  untouched bool := false;
BEGIN
  IF sequence IS NULL THEN
    RETURN false;
  END IF;
  EXECUTE format('ALTER SEQUENCE %s OWNER TO %I', sequence, (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = sequence)); -- for its lock
  EXECUTE format('SELECT is_called AND last_value = %s FROM %s', drawn, sequence) INTO untouched;
  untouched := untouched AND drawn - used = number * (SELECT seqincrement FROM pg_sequence WHERE seqrelid = sequence);
  IF untouched THEN
    PERFORM setval(sequence, used);
  END IF;
  RETURN untouched;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
  RETURN false;
END $$;

-- currval() and lastval() for a session of a gateway, which draws values for INSERT itself: before the session had a connection of its
-- own to draw on. trunkline.drawn tells of them.
CREATE OR REPLACE FUNCTION trunkline_internal.currval(sequence regclass) RETURNS bigint LANGUAGE plpgsql STRICT AS $$
DECLARE drawn bigint;
BEGIN
  RETURN pg_catalog.currval(sequence);
EXCEPTION WHEN object_not_in_prerequisite_state THEN
  SELECT v.value INTO drawn FROM pg_catalog.jsonb_each_text(nullif(pg_catalog.current_setting('trunkline.drawn', true), '')::pg_catalog.jsonb -> 'values') v
    WHERE pg_catalog.to_regclass(v.key) = sequence;
  IF drawn IS NULL THEN
    RAISE;
  END IF;
  RETURN drawn;
END $$;

CREATE OR REPLACE FUNCTION trunkline_internal.lastval() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE drawn pg_catalog.jsonb;
BEGIN
  RETURN pg_catalog.lastval();
EXCEPTION WHEN object_not_in_prerequisite_state THEN
  drawn := nullif(pg_catalog.current_setting('trunkline.drawn', true), '');
  IF drawn IS NULL THEN
    RAISE;
  END IF;
  RETURN (drawn -> 'values' ->> (drawn ->> 'last'))::bigint;
END $$;
