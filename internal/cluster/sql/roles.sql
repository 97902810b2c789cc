-- Statements that bring roles, memberships, role settings, schemas and extensions about. Each row is a statement. $PASSWORDS is the
-- relation to read verifiers from: pg_authid for those who may, pg_roles otherwise. search_path must be pg_catalog alone.
SELECT text FROM (
  SELECT 1 AS step, r.oid, format('CREATE ROLE %I', r.rolname) AS text FROM pg_roles r WHERE r.rolname !~ '^pg_'
UNION ALL
  SELECT 2, r.oid, format('ALTER ROLE %I %s %s %s %s %s %s %s CONNECTION LIMIT %s', r.rolname,
      CASE WHEN r.rolsuper THEN 'SUPERUSER' ELSE 'NOSUPERUSER' END, CASE WHEN r.rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END,
      CASE WHEN r.rolcreaterole THEN 'CREATEROLE' ELSE 'NOCREATEROLE' END, CASE WHEN r.rolcreatedb THEN 'CREATEDB' ELSE 'NOCREATEDB' END,
      CASE WHEN r.rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END, CASE WHEN r.rolreplication THEN 'REPLICATION' ELSE 'NOREPLICATION' END,
      CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END, r.rolconnlimit) ||
    CASE WHEN r.rolpassword IS NOT NULL AND r.rolpassword <> '********' THEN format(' PASSWORD %L', r.rolpassword) ELSE '' END ||
    CASE WHEN r.rolvaliduntil IS NOT NULL THEN format(' VALID UNTIL %L', r.rolvaliduntil) ELSE '' END
  FROM $PASSWORDS r WHERE r.rolname !~ '^pg_' AND r.rolname <> current_user
UNION ALL
  SELECT 2, r.oid, format('ALTER ROLE %I PASSWORD %L', r.rolname, r.rolpassword)
  FROM $PASSWORDS r WHERE r.rolname = current_user AND r.rolpassword IS NOT NULL AND r.rolpassword <> '********'
UNION ALL
  SELECT 3, m.member, format('GRANT %I TO %I%s', pg_get_userbyid(m.roleid), pg_get_userbyid(m.member), CASE WHEN m.admin_option THEN ' WITH ADMIN OPTION' ELSE '' END)
  FROM pg_auth_members m WHERE m.member >= 16384
UNION ALL
  SELECT 4, s.setrole, format('ALTER ROLE %I SET %s TO %s', pg_get_userbyid(s.setrole),
      (SELECT string_agg(quote_ident(part), '.') FROM unnest(string_to_array(split_part(c, '=', 1), '.')) part),
      CASE WHEN split_part(c, '=', 1) IN ('search_path', 'temp_tablespaces', 'session_preload_libraries', 'local_preload_libraries')
           THEN substring(c, '^[^=]*=(.*)$') ELSE quote_literal(substring(c, '^[^=]*=(.*)$')) END)
  FROM pg_db_role_setting s, unnest(s.setconfig) c WHERE s.setdatabase = 0 AND s.setrole <> 0
UNION ALL
  SELECT 5, n.oid, format('CREATE SCHEMA IF NOT EXISTS %I', n.nspname) FROM pg_namespace n
  WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'trunkline', 'trunkline_internal', 'trunkline_call', 'citus')
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
    AND NOT EXISTS (SELECT FROM trunkline.shard_group g, pg_namespace b
                    WHERE n.nspname ~ '_[0-9]+$' AND substring(n.nspname, '_([0-9]+)$') = g.shardgroupid::text
                      AND n.nspname = trunkline_internal.shard_schema(b.nspname::text, g.shardgroupid))
UNION ALL
  SELECT 6 + part, n.oid, statement FROM pg_namespace n, LATERAL (
    SELECT 0 AS part, format('ALTER SCHEMA %I OWNER TO %I', n.nspname, pg_get_userbyid(n.nspowner)) AS statement
    UNION ALL SELECT 1, format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', n.nspname) WHERE n.nspacl IS NOT NULL
    UNION ALL SELECT 2, format('GRANT %s ON SCHEMA %I TO %s%s', a.privilege_type, n.nspname,
        CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
      FROM aclexplode(n.nspacl) a) s
  WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'trunkline', 'trunkline_internal', 'trunkline_call', 'citus')
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
    AND NOT EXISTS (SELECT FROM trunkline.shard_group g, pg_namespace b
                    WHERE n.nspname ~ '_[0-9]+$' AND substring(n.nspname, '_([0-9]+)$') = g.shardgroupid::text
                      AND n.nspname = trunkline_internal.shard_schema(b.nspname::text, g.shardgroupid))
UNION ALL
  SELECT 9, e.oid, format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA %I VERSION %L CASCADE', e.extname, n.nspname, e.extversion)
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.oid >= 16384
UNION ALL
  SELECT 10, a.grantee, format('GRANT %s ON DATABASE %I TO %s', a.privilege_type, d.datname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
  FROM pg_database d, aclexplode(d.datacl) a WHERE d.datname = current_database()
) made
ORDER BY step, oid
