-- What every node has, the coordinator too. Runs each time a node is bootstrapped.

CREATE SCHEMA IF NOT EXISTS trunkline;
CREATE SCHEMA IF NOT EXISTS trunkline_internal; -- what the gateway itself calls
GRANT USAGE ON SCHEMA trunkline, trunkline_internal TO PUBLIC;

-- The decisions of distributed transactions that this node decided. A row says that the transaction was committed, or, as a
-- tombstone, that it must not be any more. Users write their own decision in their own transaction.
CREATE TABLE IF NOT EXISTS trunkline.commit_record (
  gid text PRIMARY KEY,
  committed bool NOT NULL DEFAULT true,
  decided_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT, INSERT ON trunkline.commit_record TO PUBLIC;

-- The hash of a value by its type's default hash operator class: PostgreSQL lets some types' own hash functions (bytea's, date's)
-- not be called from SQL.
CREATE OR REPLACE FUNCTION trunkline_internal.hash_value(anyelement) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT pg_catalog.hash_record(ROW($1)) $$;
