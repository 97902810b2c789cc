-- Statements that bring schemas, extensions and the database's grants about. Each row is a statement. search_path must be pg_catalog
-- alone.
WITH own AS (
  SELECT n.*, s.name FROM pg_namespace n JOIN trunkline_internal.own_schema s USING (oid)
  WHERE NOT EXISTS (SELECT FROM trunkline_internal.extension_member e WHERE e.classid = 'pg_namespace'::regclass AND e.objid = n.oid)
)
SELECT text FROM (
  SELECT 1 AS step, oid, 'CREATE SCHEMA IF NOT EXISTS ' || name AS text FROM own
UNION ALL
  SELECT 2, oid, format('ALTER SCHEMA %s OWNER TO %I', name, pg_get_userbyid(nspowner)) FROM own
UNION ALL
  SELECT 3, oid, statement FROM own, unnest(trunkline_internal.acl_statements('SCHEMA ' || name, nspowner, nspacl)) statement
UNION ALL
  SELECT 4, oid, format('COMMENT ON SCHEMA %s IS %L', name, obj_description(oid, 'pg_namespace')) FROM own WHERE obj_description(oid, 'pg_namespace') IS NOT NULL
UNION ALL
  SELECT 5, e.oid, format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA %I VERSION %L CASCADE', e.extname, n.nspname, e.extversion)
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.oid >= 16384
UNION ALL
  SELECT 6, a.grantee, format('GRANT %s ON DATABASE %I TO %s%s', a.privilege_type, d.datname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
    CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
  FROM pg_database d, aclexplode(d.datacl) a WHERE d.datname = current_database()
) made
ORDER BY step, oid
