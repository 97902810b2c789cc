-- Where shard groups are, and whether they are being moved, changes often and changes no plan: gateways can read it by itself. So
-- transactions that change nothing else are counted apart.
ALTER TABLE trunkline.catalog_version ADD COLUMN moves bigint NOT NULL DEFAULT 0;

CREATE FUNCTION trunkline_internal.bump_placement_version() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO trunkline.catalog_version AS v VALUES (pg_current_xact_id(), 0, 1)
    ON CONFLICT (xid) DO UPDATE SET moves = v.moves + 1;
  PERFORM pg_notify('trunkline_catalog', '');
END $$;

CREATE OR REPLACE FUNCTION trunkline_internal.metadata_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND TG_TABLE_NAME IN ('shard_group', 'pg_dist_placement') THEN -- only ever of groupid
    PERFORM trunkline_internal.bump_placement_version();
  ELSE
    PERFORM trunkline_internal.bump_catalog_version();
  END IF;
  RETURN NULL;
END $$;
