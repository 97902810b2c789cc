-- The metadata tables, with Citus' columns and types, and what Trunkline adds to them. Runs once, as schema version 1.

CREATE SCHEMA trunkline_call;     -- twins of the functions that the gateway carries out
CREATE SCHEMA IF NOT EXISTS citus;

GRANT USAGE ON SCHEMA trunkline_call, citus TO PUBLIC;

CREATE TYPE citus.distribution_type AS ENUM ('hash', 'range', 'append');
CREATE TYPE citus.shard_transfer_mode AS ENUM ('auto', 'force_logical', 'block_writes');
CREATE TYPE trunkline.noderole AS ENUM ('primary', 'secondary', 'unavailable');
CREATE TYPE trunkline.citus_job_status AS ENUM ('scheduled', 'running', 'finished', 'cancelling', 'cancelled', 'failing', 'failed');
CREATE TYPE trunkline.citus_task_status AS ENUM ('blocked', 'runnable', 'running', 'done', 'cancelling', 'error', 'unscheduled', 'cancelled');
CREATE TYPE trunkline.cluster_clock AS (logical bigint, counter int);

CREATE SEQUENCE trunkline.pg_dist_shardid_seq MINVALUE 102008 NO CYCLE;
CREATE SEQUENCE trunkline.pg_dist_placement_placementid_seq NO CYCLE;
CREATE SEQUENCE trunkline.pg_dist_node_nodeid_seq MAXVALUE 2147483647 NO CYCLE;
CREATE SEQUENCE trunkline.pg_dist_groupid_seq MAXVALUE 2147483647 NO CYCLE;
CREATE SEQUENCE trunkline.pg_dist_colocationid_seq MAXVALUE 2147483647 NO CYCLE;
CREATE SEQUENCE trunkline.pg_dist_background_job_job_id_seq NO CYCLE;
CREATE SEQUENCE trunkline.pg_dist_background_task_task_id_seq NO CYCLE;
CREATE SEQUENCE trunkline.pg_dist_operationid_seq NO CYCLE;
CREATE SEQUENCE trunkline.pg_dist_cleanup_recordid_seq NO CYCLE;

CREATE TABLE trunkline.pg_dist_node (
  nodeid int PRIMARY KEY DEFAULT nextval('trunkline.pg_dist_node_nodeid_seq'),
  groupid int NOT NULL DEFAULT nextval('trunkline.pg_dist_groupid_seq'),
  nodename text NOT NULL,
  nodeport int NOT NULL DEFAULT 5432,
  noderack text NOT NULL DEFAULT 'default',
  hasmetadata bool NOT NULL DEFAULT false,
  isactive bool NOT NULL DEFAULT true,
  noderole trunkline.noderole NOT NULL DEFAULT 'primary',
  nodecluster name NOT NULL DEFAULT 'default',
  metadatasynced bool NOT NULL DEFAULT false,
  shouldhaveshards bool NOT NULL DEFAULT true,
  UNIQUE (nodename, nodeport),
  CONSTRAINT primaries_are_only_allowed_in_the_default_cluster CHECK (noderole <> 'primary' OR nodecluster = 'default')
);
CREATE UNIQUE INDEX pg_dist_node_one_primary ON trunkline.pg_dist_node (groupid) WHERE noderole = 'primary';

CREATE TABLE trunkline.pg_dist_colocation (
  colocationid int PRIMARY KEY DEFAULT nextval('trunkline.pg_dist_colocationid_seq'),
  shardcount int NOT NULL,
  replicationfactor int NOT NULL,
  distributioncolumntype oid NOT NULL,
  distributioncolumncollation oid NOT NULL
);

-- The ranges of a colocation group tile the int32 space; groupid is the node group that holds the shard group.
CREATE TABLE trunkline.shard_group (
  shardgroupid bigint PRIMARY KEY DEFAULT nextval('trunkline.pg_dist_shardid_seq'),
  colocationid int NOT NULL REFERENCES trunkline.pg_dist_colocation ON DELETE CASCADE,
  shardminvalue int NOT NULL,
  shardmaxvalue int NOT NULL,
  groupid int NOT NULL,
  UNIQUE (colocationid, shardminvalue),
  CHECK (shardminvalue <= shardmaxvalue)
);

CREATE TABLE trunkline.pg_dist_partition (
  logicalrelid regclass PRIMARY KEY,
  partmethod "char" NOT NULL,
  partkey text,
  colocationid int NOT NULL DEFAULT 0,
  repmodel "char" NOT NULL DEFAULT 's',
  autoconverted bool NOT NULL DEFAULT false
);
CREATE INDEX pg_dist_partition_logical_relid_index ON trunkline.pg_dist_partition (colocationid);

CREATE TABLE trunkline.pg_dist_shard (
  logicalrelid regclass NOT NULL,
  shardid bigint PRIMARY KEY DEFAULT nextval('trunkline.pg_dist_shardid_seq'),
  shardstorage "char" NOT NULL DEFAULT 't',
  shardminvalue text,
  shardmaxvalue text
);
CREATE INDEX pg_dist_shard_logical_relid_index ON trunkline.pg_dist_shard (logicalrelid);

CREATE TABLE trunkline.pg_dist_placement (
  placementid bigint PRIMARY KEY DEFAULT nextval('trunkline.pg_dist_placement_placementid_seq'),
  shardid bigint NOT NULL,
  shardstate int NOT NULL DEFAULT 1,
  shardlength bigint NOT NULL DEFAULT 0,
  groupid int NOT NULL,
  UNIQUE (shardid, groupid)
);
CREATE INDEX pg_dist_placement_groupid_index ON trunkline.pg_dist_placement (groupid);

CREATE TABLE trunkline.pg_dist_object (
  classid oid NOT NULL,
  objid oid NOT NULL,
  objsubid int NOT NULL,
  type text,
  object_names text[],
  object_args text[],
  distribution_argument_index int,
  colocationid int,
  force_delegation bool,
  PRIMARY KEY (classid, objid, objsubid)
);

CREATE TABLE trunkline.pg_dist_schema (
  schemaid oid PRIMARY KEY,
  colocationid int NOT NULL UNIQUE
);

CREATE TABLE trunkline.pg_dist_transaction (
  groupid int NOT NULL,
  gid text NOT NULL,
  UNIQUE (groupid, gid)
);

CREATE TABLE trunkline.pg_dist_authinfo (
  nodeid int NOT NULL,
  rolename name NOT NULL,
  authinfo text NOT NULL,
  PRIMARY KEY (rolename, nodeid)
);

CREATE TABLE trunkline.pg_dist_poolinfo (
  nodeid int PRIMARY KEY REFERENCES trunkline.pg_dist_node ON DELETE CASCADE,
  poolinfo text NOT NULL
);

CREATE TABLE trunkline.pg_dist_rebalance_strategy (
  name name PRIMARY KEY,
  default_strategy bool NOT NULL DEFAULT false,
  shard_cost_function regproc NOT NULL,
  node_capacity_function regproc NOT NULL,
  shard_allowed_on_node_function regproc NOT NULL,
  default_threshold real NOT NULL,
  minimum_threshold real NOT NULL DEFAULT 0,
  improvement_threshold real NOT NULL DEFAULT 0,
  CHECK (default_threshold >= minimum_threshold)
);
CREATE UNIQUE INDEX pg_dist_rebalance_strategy_one_default ON trunkline.pg_dist_rebalance_strategy (default_strategy) WHERE default_strategy;

CREATE TABLE trunkline.pg_dist_background_job (
  job_id bigint PRIMARY KEY DEFAULT nextval('trunkline.pg_dist_background_job_job_id_seq'),
  state trunkline.citus_job_status NOT NULL DEFAULT 'scheduled',
  job_type name NOT NULL,
  description text NOT NULL,
  started_at timestamptz,
  finished_at timestamptz,
  CHECK (started_at <= finished_at)
);

CREATE TABLE trunkline.pg_dist_background_task (
  job_id bigint NOT NULL REFERENCES trunkline.pg_dist_background_job,
  task_id bigint PRIMARY KEY DEFAULT nextval('trunkline.pg_dist_background_task_task_id_seq'),
  owner regrole NOT NULL DEFAULT CURRENT_USER::regrole,
  pid int,
  status trunkline.citus_task_status NOT NULL DEFAULT 'runnable',
  command text NOT NULL,
  retry_count int,
  not_before timestamptz,
  message text NOT NULL DEFAULT '',
  nodes_involved int[],
  UNIQUE (job_id, task_id)
);
CREATE INDEX pg_dist_background_task_status_task_id_index ON trunkline.pg_dist_background_task (status, task_id);

CREATE TABLE trunkline.pg_dist_background_task_depend (
  job_id bigint NOT NULL REFERENCES trunkline.pg_dist_background_job ON DELETE CASCADE,
  task_id bigint NOT NULL,
  depends_on bigint NOT NULL,
  PRIMARY KEY (job_id, task_id, depends_on),
  FOREIGN KEY (job_id, task_id) REFERENCES trunkline.pg_dist_background_task (job_id, task_id) ON DELETE CASCADE,
  FOREIGN KEY (job_id, depends_on) REFERENCES trunkline.pg_dist_background_task (job_id, task_id) ON DELETE CASCADE
);
CREATE INDEX pg_dist_background_task_depend_depends_on ON trunkline.pg_dist_background_task_depend (job_id, depends_on);

CREATE TABLE trunkline.pg_dist_cleanup (
  record_id bigint PRIMARY KEY DEFAULT nextval('trunkline.pg_dist_cleanup_recordid_seq'),
  operation_id bigint NOT NULL,
  object_type int NOT NULL,
  object_name text NOT NULL,
  node_group_id int NOT NULL,
  policy_type int NOT NULL
);

CREATE TABLE trunkline.pg_dist_local_group (groupid int PRIMARY KEY);
INSERT INTO trunkline.pg_dist_local_group VALUES (0);

CREATE TABLE trunkline.pg_dist_node_metadata (metadata jsonb NOT NULL);
INSERT INTO trunkline.pg_dist_node_metadata VALUES (jsonb_build_object('server_id', gen_random_uuid()));

GRANT SELECT ON ALL TABLES IN SCHEMA trunkline TO PUBLIC;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA trunkline TO PUBLIC;
REVOKE ALL ON trunkline.pg_dist_authinfo FROM PUBLIC;

-- Each transaction that changes the metadata, or a definition, adds a row of its own: so that no two of them ever wait for one
-- another here, and the version, the sum of changes, grows exactly when such a transaction becomes visible.
CREATE TABLE trunkline.catalog_version (
  xid xid8 PRIMARY KEY,
  changes bigint NOT NULL
);
INSERT INTO trunkline.catalog_version VALUES ('0', 1);
GRANT SELECT ON trunkline.catalog_version TO PUBLIC;

-- Any user's DDL changes the version, hence SECURITY DEFINER.
CREATE FUNCTION trunkline_internal.bump_catalog_version() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO trunkline.catalog_version AS v VALUES (pg_current_xact_id(), 1)
    ON CONFLICT (xid) DO UPDATE SET changes = v.changes + 1;
  PERFORM pg_notify('trunkline_catalog', '');
END $$;

CREATE FUNCTION trunkline_internal.metadata_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM trunkline_internal.bump_catalog_version();
  RETURN NULL;
END $$;

DO $$
DECLARE metadata text;
BEGIN
  FOREACH metadata IN ARRAY ARRAY['pg_dist_node', 'pg_dist_colocation', 'shard_group', 'pg_dist_partition', 'pg_dist_shard',
      'pg_dist_placement', 'pg_dist_object', 'pg_dist_schema'] LOOP
    EXECUTE format('CREATE TRIGGER metadata_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON trunkline.%I
      FOR EACH STATEMENT EXECUTE FUNCTION trunkline_internal.metadata_changed()', metadata);
  END LOOP;
END $$;
