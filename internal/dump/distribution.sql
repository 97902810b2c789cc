-- The calls that distribute tables anew as they are distributed now, in the order in which they can be made.
WITH spread AS (
  SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name, p.repmodel = 't' AS reference, p.colocationid,
         trunkline.column_to_column_name(p.logicalrelid, p.partkey) AS key,
         (SELECT pg_catalog.count(*) FROM trunkline.shard_group g WHERE g.colocationid = p.colocationid) AS shards
  FROM trunkline.pg_dist_partition p JOIN pg_catalog.pg_class c ON c.oid = p.logicalrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE NOT c.relispartition AND (p.repmodel = 't' OR p.colocationid <> 0)
    AND NOT EXISTS (SELECT FROM trunkline.pg_dist_schema s WHERE s.colocationid = p.colocationid)
), led AS (
  SELECT *, pg_catalog.first_value(name) OVER (PARTITION BY colocationid ORDER BY oid) AS leader FROM spread
)
SELECT call FROM (
  SELECT 1 AS step, 0 AS colocationid, oid, pg_catalog.format('SELECT create_reference_table(%L);', name) AS call FROM led WHERE reference
  UNION ALL
  SELECT 2, 0, n.oid, pg_catalog.format('SELECT citus_schema_distribute(%L);', pg_catalog.quote_ident(n.nspname))
  FROM trunkline.pg_dist_schema s JOIN pg_catalog.pg_namespace n ON n.oid = s.schemaid
  UNION ALL
  SELECT 3, colocationid, oid, pg_catalog.format('SELECT create_distributed_table(%L, %L, colocate_with => %L%s);', name, key,
           CASE WHEN name = leader THEN 'none' ELSE leader END, CASE WHEN name = leader AND key IS NOT NULL THEN ', shard_count => ' || shards ELSE '' END)
  FROM led WHERE NOT reference
) calls
ORDER BY step, colocationid, oid
