-- Moves of shard groups under way (package move). A row is one operation, for as long as anything of it is unfinished.

CREATE TABLE IF NOT EXISTS trunkline.shard_move (
  operation_id bigint PRIMARY KEY,
  operation_type text NOT NULL,             -- move, split
  shardgroupid bigint NOT NULL,
  colocationid int NOT NULL,
  source_group int NOT NULL,
  target_groups int[] NOT NULL,
  shard_transfer_mode citus.shard_transfer_mode NOT NULL,
  step text NOT NULL,                       -- waiting, preparing, copying, indexing, catching up, switching, cleaning up
  waiting_for text,                         -- why the step does not come to its end, NULL while nothing is in the way
  rows_total bigint NOT NULL DEFAULT 0,     -- as the source's statistics have them
  rows_copied bigint NOT NULL DEFAULT 0,
  bytes_total bigint NOT NULL DEFAULT 0,    -- of the tables without their indexes, on disk
  bytes_copied bigint NOT NULL DEFAULT 0,   -- of COPY's text
  changes_applied bigint NOT NULL DEFAULT 0,
  source_lsn pg_lsn,                        -- how far the source has written
  target_lsn pg_lsn,                        -- how far the target has followed
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT ON trunkline.shard_move TO PUBLIC;

-- Waits until no move of a colocation group's shard groups is in the way of a change of its tables, and keeps new ones from beginning
-- until the end of the transaction. A move that is still waiting for such changes to end (step "waiting") does not count: it reads the
-- definitions afterwards.
CREATE OR REPLACE FUNCTION trunkline_internal.await_moves(colocation int) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  moving bigint;
BEGIN
  FOR moving IN SELECT m.shardgroupid FROM trunkline.shard_move m WHERE m.colocationid = colocation ORDER BY 1 LOOP
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('trunkline shard group', moving));
  END LOOP;
  PERFORM pg_advisory_xact_lock_shared(hashtextextended('trunkline colocation group', colocation));
  FOR moving IN SELECT m.shardgroupid FROM trunkline.shard_move m WHERE m.colocationid = colocation AND m.step NOT IN ('waiting', 'cleaning up') ORDER BY 1 LOOP
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('trunkline shard group', moving));
  END LOOP;
END $$;

-- Records that a shard group has become several, with new ranges that tile its own. A table whose shard had the shard group's id has
-- shards with the new ones' ids again.
CREATE OR REPLACE FUNCTION trunkline_internal.split_shard_group(shard_group bigint, ids bigint[], lows int[], highs int[], target_groups int[]) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  old trunkline.shard_group;
  shard record;
  part record;
BEGIN
  DELETE FROM trunkline.shard_group g WHERE g.shardgroupid = $1 RETURNING * INTO STRICT old;
  INSERT INTO trunkline.shard_group (shardgroupid, colocationid, shardminvalue, shardmaxvalue, groupid)
    SELECT u.id, old.colocationid, u.low, u.high, u.target FROM unnest(ids, lows, highs, target_groups) u(id, low, high, target);
  UPDATE trunkline.pg_dist_colocation SET shardcount = shardcount - 1 + cardinality(ids) WHERE colocationid = old.colocationid;
  FOR shard IN SELECT s.logicalrelid, s.shardid, s.shardstorage FROM trunkline.pg_dist_shard s JOIN trunkline.pg_dist_partition p USING (logicalrelid)
      WHERE p.colocationid = old.colocationid AND s.shardminvalue::int = old.shardminvalue ORDER BY s.shardid LOOP
    DELETE FROM trunkline.pg_dist_placement WHERE shardid = shard.shardid;
    DELETE FROM trunkline.pg_dist_shard WHERE shardid = shard.shardid;
    FOR part IN SELECT CASE WHEN shard.shardid = $1 THEN u.id ELSE nextval('trunkline.pg_dist_shardid_seq') END AS id, u.low, u.high, u.target
        FROM unnest(ids, lows, highs, target_groups) u(id, low, high, target) ORDER BY u.low LOOP
      INSERT INTO trunkline.pg_dist_shard (logicalrelid, shardid, shardstorage, shardminvalue, shardmaxvalue) VALUES (shard.logicalrelid, part.id, shard.shardstorage, part.low, part.high);
      INSERT INTO trunkline.pg_dist_placement (shardid, groupid) VALUES (part.id, part.target);
    END LOOP;
  END LOOP;
END $$;
