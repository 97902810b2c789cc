-- Statements that bring schemas, extensions and the database's grants about. Each row is a statement. search_path must be pg_catalog
-- alone.
SELECT text FROM (
  SELECT 1 AS step, n.oid, format('CREATE SCHEMA IF NOT EXISTS %I', n.nspname) AS text FROM pg_namespace n
  WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'trunkline', 'trunkline_internal', 'trunkline_call', 'citus')
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
    AND n.oid <> ALL ((SELECT trunkline_internal.shard_namespaces())::oid[])
UNION ALL
  SELECT 2 + part, n.oid, statement FROM pg_namespace n, LATERAL (
    SELECT 0 AS part, format('ALTER SCHEMA %I OWNER TO %I', n.nspname, pg_get_userbyid(n.nspowner)) AS statement
    UNION ALL SELECT 1, format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', n.nspname) WHERE n.nspacl IS NOT NULL
    UNION ALL SELECT 2, format('GRANT %s ON SCHEMA %I TO %s%s', a.privilege_type, n.nspname,
        CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
      FROM aclexplode(n.nspacl) a) s
  WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'trunkline', 'trunkline_internal', 'trunkline_call', 'citus')
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
    AND n.oid <> ALL ((SELECT trunkline_internal.shard_namespaces())::oid[])
UNION ALL
  SELECT 5, e.oid, format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA %I VERSION %L CASCADE', e.extname, n.nspname, e.extversion)
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.oid >= 16384
UNION ALL
  SELECT 6, a.grantee, format('GRANT %s ON DATABASE %I TO %s', a.privilege_type, d.datname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
  FROM pg_database d, aclexplode(d.datacl) a WHERE d.datname = current_database()
) made
ORDER BY step, oid
