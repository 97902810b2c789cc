-- Statements that bring roles, their memberships and their settings about. Each row is a statement. $PASSWORDS is the relation to read
-- verifiers from: pg_authid for those who may, pg_roles otherwise. search_path must be pg_catalog alone.
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
  SELECT 4, s.setrole, format('ALTER ROLE %I ', pg_get_userbyid(s.setrole)) || trunkline_internal.setting_clause(c)
  FROM pg_db_role_setting s, unnest(s.setconfig) c WHERE s.setdatabase = 0 AND s.setrole <> 0
UNION ALL
  SELECT 5, r.oid, format('COMMENT ON ROLE %I IS %L', r.rolname, shobj_description(r.oid, 'pg_authid')) FROM pg_roles r
  WHERE r.rolname !~ '^pg_' AND shobj_description(r.oid, 'pg_authid') IS NOT NULL
) made
ORDER BY step, oid
