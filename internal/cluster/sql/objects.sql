-- Statements that make anew what every node has besides tables: collations, types, functions, operators, casts. Each row is the
-- object's oid, its statement and what follows it (owner, rights, comment). search_path must be pg_catalog alone.
WITH own AS (
  SELECT n.oid, quote_ident(n.nspname) AS name FROM pg_namespace n
  WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'trunkline', 'trunkline_internal', 'trunkline_call', 'citus')
    AND n.oid <> ALL ((SELECT trunkline_internal.shard_namespaces())::oid[])
), extension AS (
  SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
)
SELECT oid, text, array_to_json(array_remove(follow, NULL)) FROM (
  SELECT c.oid::bigint AS oid,
    format('CREATE COLLATION %s.%I (PROVIDER = %s, DETERMINISTIC = %s, %s)', own.name, c.collname,
      CASE c.collprovider WHEN 'i' THEN 'icu' ELSE 'libc' END, c.collisdeterministic,
      CASE WHEN to_jsonb(c) ->> 'colliculocale' IS NOT NULL THEN format('LOCALE = %L', to_jsonb(c) ->> 'colliculocale')
           WHEN to_jsonb(c) ->> 'colllocale' IS NOT NULL THEN format('LOCALE = %L', to_jsonb(c) ->> 'colllocale')
           ELSE format('LC_COLLATE = %L, LC_CTYPE = %L', c.collcollate, c.collctype) END) AS text,
    ARRAY[format('ALTER COLLATION %s.%I OWNER TO %I', own.name, c.collname, pg_get_userbyid(c.collowner)),
          'COMMENT ON COLLATION ' || own.name || '.' || quote_ident(c.collname) || ' IS ' || quote_literal(obj_description(c.oid, 'pg_collation'))] AS follow
  FROM pg_collation c JOIN own ON own.oid = c.collnamespace
  WHERE NOT EXISTS (SELECT FROM extension e WHERE e.classid = 'pg_collation'::regclass AND e.objid = c.oid)
UNION ALL
  SELECT t.oid::bigint,
    CASE t.typtype
    WHEN 'e' THEN format('CREATE TYPE %s.%I AS ENUM (%s)', own.name, t.typname,
      (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid))
    WHEN 'c' THEN format('CREATE TYPE %s.%I AS (%s)', own.name, t.typname,
      (SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)) ||
                CASE WHEN a.attcollation <> at.typcollation THEN (SELECT format(' COLLATE %I.%I', cn.nspname, co.collname)
                     FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation) ELSE '' END, ', ' ORDER BY a.attnum)
       FROM pg_attribute a JOIN pg_type at ON at.oid = a.atttypid WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped))
    WHEN 'd' THEN format('CREATE DOMAIN %s.%I AS %s', own.name, t.typname, format_type(t.typbasetype, t.typtypmod)) ||
      CASE WHEN t.typcollation <> bt.typcollation THEN (SELECT format(' COLLATE %I.%I', cn.nspname, co.collname)
           FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = t.typcollation) ELSE '' END ||
      CASE WHEN t.typdefault IS NOT NULL THEN ' DEFAULT ' || coalesce(pg_get_expr(t.typdefaultbin, 0), quote_literal(t.typdefault)) ELSE '' END ||
      CASE WHEN t.typnotnull THEN ' NOT NULL' ELSE '' END ||
      coalesce((SELECT string_agg(format(' CONSTRAINT %I %s', k.conname, pg_get_constraintdef(k.oid)), '' ORDER BY k.oid)
                FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c' AND k.convalidated), '')
    WHEN 'r' THEN (SELECT format('CREATE TYPE %s.%I AS RANGE (SUBTYPE = %s, SUBTYPE_OPCLASS = %I.%I', own.name, t.typname,
        format_type(r.rngsubtype, NULL), opn.nspname, op.opcname) ||
      CASE WHEN r.rngcollation <> 0 THEN (SELECT format(', COLLATION = %I.%I', cn.nspname, co.collname)
           FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = r.rngcollation) ELSE '' END ||
      CASE WHEN r.rngsubdiff <> 0 THEN ', SUBTYPE_DIFF = ' || r.rngsubdiff::regproc ELSE '' END ||
      format(', MULTIRANGE_TYPE_NAME = %I.%I)', mn.nspname, m.typname)
      FROM pg_range r JOIN pg_opclass op ON op.oid = r.rngsubopc JOIN pg_namespace opn ON opn.oid = op.opcnamespace
        JOIN pg_type m ON m.oid = r.rngmultitypid JOIN pg_namespace mn ON mn.oid = m.typnamespace WHERE r.rngtypid = t.oid)
    END,
    ARRAY[format('ALTER %s %s.%I OWNER TO %I', CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, own.name, t.typname, pg_get_userbyid(t.typowner)),
          CASE WHEN t.typacl IS NOT NULL THEN format('REVOKE ALL ON TYPE %s.%I FROM PUBLIC', own.name, t.typname) END]
    || ARRAY(SELECT format('GRANT USAGE ON TYPE %s.%I TO %s', own.name, t.typname,
                           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END) FROM aclexplode(t.typacl) a)
    || ARRAY['COMMENT ON TYPE ' || own.name || '.' || quote_ident(t.typname) || ' IS ' || quote_literal(obj_description(t.oid, 'pg_type'))]
  FROM pg_type t JOIN own ON own.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid LEFT JOIN pg_type bt ON bt.oid = t.typbasetype
  WHERE (t.typtype IN ('e', 'd', 'r') OR t.typtype = 'c' AND c.relkind = 'c')
    AND NOT EXISTS (SELECT FROM extension e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid)
UNION ALL
  SELECT p.oid::bigint,
    CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) ELSE
      (SELECT format('CREATE OR REPLACE AGGREGATE %s.%I (%s) (SFUNC = %s, STYPE = %s', own.name, p.proname,
          CASE WHEN p.pronargs = 0 THEN '*' ELSE pg_get_function_arguments(p.oid) END, a.aggtransfn::regproc, format_type(a.aggtranstype, NULL)) ||
        CASE WHEN a.aggtransspace <> 0 THEN format(', SSPACE = %s', a.aggtransspace) ELSE '' END ||
        CASE WHEN a.aggfinalfn <> 0 THEN format(', FINALFUNC = %s', a.aggfinalfn::regproc) ELSE '' END ||
        CASE WHEN a.aggfinalextra THEN ', FINALFUNC_EXTRA' ELSE '' END ||
        CASE WHEN a.aggcombinefn <> 0 THEN format(', COMBINEFUNC = %s', a.aggcombinefn::regproc) ELSE '' END ||
        CASE WHEN a.aggserialfn <> 0 THEN format(', SERIALFUNC = %s, DESERIALFUNC = %s', a.aggserialfn::regproc, a.aggdeserialfn::regproc) ELSE '' END ||
        CASE WHEN a.agginitval IS NOT NULL THEN format(', INITCOND = %L', a.agginitval) ELSE '' END ||
        CASE WHEN a.aggmtransfn <> 0 THEN format(', MSFUNC = %s, MINVFUNC = %s, MSTYPE = %s', a.aggmtransfn::regproc, a.aggminvtransfn::regproc, format_type(a.aggmtranstype, NULL)) ||
             CASE WHEN a.aggmfinalfn <> 0 THEN format(', MFINALFUNC = %s', a.aggmfinalfn::regproc) ELSE '' END ||
             CASE WHEN a.aggminitval IS NOT NULL THEN format(', MINITCOND = %L', a.aggminitval) ELSE '' END ELSE '' END ||
        CASE WHEN a.aggkind = 'h' THEN ', HYPOTHETICAL' ELSE '' END ||
        format(', PARALLEL = %s)', CASE p.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END)
       FROM pg_aggregate a WHERE a.aggfnoid = p.oid) END,
    ARRAY[format('ALTER ROUTINE %s OWNER TO %I', p.oid::regprocedure, pg_get_userbyid(p.proowner)),
          CASE WHEN p.proacl IS NOT NULL THEN format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', p.oid::regprocedure) END]
    || ARRAY(SELECT format('GRANT EXECUTE ON ROUTINE %s TO %s', p.oid::regprocedure,
                           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END) FROM aclexplode(p.proacl) a)
    || ARRAY['COMMENT ON ROUTINE ' || p.oid::regprocedure || ' IS ' || quote_literal(obj_description(p.oid, 'pg_proc'))]
  FROM pg_proc p JOIN own ON own.oid = p.pronamespace
  WHERE NOT EXISTS (SELECT FROM extension e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid)
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')
    AND p.prorettype <> 'pg_catalog.event_trigger'::regtype
UNION ALL
  SELECT o.oid::bigint,
    format('CREATE OPERATOR %s.%s (FUNCTION = %s', own.name, o.oprname, o.oprcode::regproc) ||
      CASE WHEN o.oprleft <> 0 THEN ', LEFTARG = ' || format_type(o.oprleft, NULL) ELSE '' END ||
      CASE WHEN o.oprright <> 0 THEN ', RIGHTARG = ' || format_type(o.oprright, NULL) ELSE '' END ||
      CASE WHEN o.oprcom <> 0 THEN (SELECT format(', COMMUTATOR = OPERATOR(%I.%s)', cn.nspname, co.oprname) FROM pg_operator co JOIN pg_namespace cn ON cn.oid = co.oprnamespace WHERE co.oid = o.oprcom) ELSE '' END ||
      CASE WHEN o.oprnegate <> 0 THEN (SELECT format(', NEGATOR = OPERATOR(%I.%s)', cn.nspname, co.oprname) FROM pg_operator co JOIN pg_namespace cn ON cn.oid = co.oprnamespace WHERE co.oid = o.oprnegate) ELSE '' END ||
      CASE WHEN o.oprrest <> 0 THEN ', RESTRICT = ' || o.oprrest::regproc ELSE '' END ||
      CASE WHEN o.oprjoin <> 0 THEN ', JOIN = ' || o.oprjoin::regproc ELSE '' END ||
      CASE WHEN o.oprcanhash THEN ', HASHES' ELSE '' END || CASE WHEN o.oprcanmerge THEN ', MERGES' ELSE '' END || ')',
    ARRAY[]::text[]
  FROM pg_operator o JOIN own ON own.oid = o.oprnamespace
  WHERE o.oprcode <> 0 AND NOT EXISTS (SELECT FROM extension e WHERE e.classid = 'pg_operator'::regclass AND e.objid = o.oid)
UNION ALL
  SELECT c.oid::bigint,
    format('CREATE CAST (%s AS %s) %s%s', format_type(c.castsource, NULL), format_type(c.casttarget, NULL),
      CASE c.castmethod WHEN 'f' THEN 'WITH FUNCTION ' || c.castfunc::regprocedure WHEN 'i' THEN 'WITH INOUT' ELSE 'WITHOUT FUNCTION' END,
      CASE c.castcontext WHEN 'a' THEN ' AS ASSIGNMENT' WHEN 'i' THEN ' AS IMPLICIT' ELSE '' END),
    ARRAY[]::text[]
  FROM pg_cast c
  WHERE c.oid >= 16384 AND NOT EXISTS (SELECT FROM extension e WHERE e.classid = 'pg_cast'::regclass AND e.objid = c.oid)
UNION ALL
  SELECT a.oid::bigint, format('CREATE ACCESS METHOD %I TYPE %s HANDLER %s', a.amname, CASE a.amtype WHEN 't' THEN 'TABLE' ELSE 'INDEX' END, a.amhandler),
    ARRAY['COMMENT ON ACCESS METHOD ' || quote_ident(a.amname) || ' IS ' || quote_literal(obj_description(a.oid, 'pg_am'))]
  FROM pg_am a
  WHERE a.oid >= 16384 AND NOT EXISTS (SELECT FROM extension e WHERE e.classid = 'pg_am'::regclass AND e.objid = a.oid)
) made
ORDER BY oid
