-- What every node has besides schemas and tables, as statements that make it anew: classid and objid name the object, statement makes it, and
-- follow (owner, rights, comments; NULLs are left out) makes it what it is.

-- The schemas of users' objects, their names quoted.
CREATE OR REPLACE VIEW trunkline_internal.own_schema AS
SELECT n.oid, pg_catalog.quote_ident(n.nspname) AS name FROM pg_catalog.pg_namespace n
WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'trunkline', 'trunkline_internal', 'trunkline_call', 'citus')
  AND n.oid <> ALL ((SELECT trunkline_internal.shard_namespaces())::oid[]);

-- What extensions make.
CREATE OR REPLACE VIEW trunkline_internal.extension_member AS SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e';

-- The statements that bring about exactly the given privileges on an object; none for the default.
CREATE OR REPLACE FUNCTION trunkline_internal.acl_statements(object text, owner oid, acl aclitem[]) RETURNS text[] LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN acl IS NULL THEN '{}' ELSE
    ARRAY[format('REVOKE ALL ON %s FROM PUBLIC, %I', object, pg_get_userbyid(owner))] ||
    ARRAY(SELECT format('GRANT %s ON %s TO %s%s', a.privilege_type, object, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
            CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) FROM aclexplode(acl) a) END
$$;

-- A foreign object's options as a clause.
CREATE OR REPLACE FUNCTION trunkline_internal.option_list(options text[]) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(' OPTIONS (' || (SELECT string_agg(format('%I %L', option_name, option_value), ', ') FROM pg_options_to_table(options)) || ')', '')
$$;

-- An operator's name and argument types.
CREATE OR REPLACE FUNCTION trunkline_internal.operator_name(operator oid) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('%I.%s (%s, %s)', n.nspname, o.oprname, CASE o.oprleft WHEN 0 THEN 'NONE' ELSE format_type(o.oprleft, NULL) END, format_type(o.oprright, NULL))
  FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE o.oid = operator
$$;

-- The operators and functions that belong to an operator class, or to an operator family alone.
CREATE OR REPLACE FUNCTION trunkline_internal.family_members(class regclass, owner oid) RETURNS text[] LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT array(
    SELECT format('OPERATOR %s %s', a.amopstrategy, trunkline_internal.operator_name(a.amopopr)) ||
      coalesce((SELECT format(' FOR ORDER BY %I.%I', n.nspname, f.opfname) FROM pg_opfamily f JOIN pg_namespace n ON n.oid = f.opfnamespace WHERE f.oid = a.amopsortfamily), '')
    FROM pg_depend d JOIN pg_amop a ON a.oid = d.objid WHERE d.classid = 'pg_amop'::regclass AND d.refclassid = class AND d.refobjid = owner ORDER BY a.amopstrategy, a.oid) ||
    array(
    SELECT format('FUNCTION %s (%s, %s) %s', a.amprocnum, format_type(a.amproclefttype, NULL), format_type(a.amprocrighttype, NULL), a.amproc::regprocedure)
    FROM pg_depend d JOIN pg_amproc a ON a.oid = d.objid WHERE d.classid = 'pg_amproc'::regclass AND d.refclassid = class AND d.refobjid = owner ORDER BY a.amprocnum, a.oid)
$$;

-- Collations and types.
CREATE OR REPLACE FUNCTION trunkline_internal.type_objects() RETURNS TABLE (classid oid, objid oid, statement text, follow text[]) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'pg_collation'::regclass::oid, c.oid,
    format('CREATE COLLATION %s.%I (PROVIDER = %s, DETERMINISTIC = %s, %s)', own.name, c.collname,
      CASE c.collprovider WHEN 'i' THEN 'icu' ELSE 'libc' END, CASE WHEN c.collisdeterministic THEN 'true' ELSE 'false' END,
      CASE WHEN to_jsonb(c) ->> 'colliculocale' IS NOT NULL THEN format('LOCALE = %L', to_jsonb(c) ->> 'colliculocale')
           WHEN to_jsonb(c) ->> 'colllocale' IS NOT NULL THEN format('LOCALE = %L', to_jsonb(c) ->> 'colllocale')
           ELSE format('LC_COLLATE = %L, LC_CTYPE = %L', c.collcollate, c.collctype) END),
    ARRAY[format('ALTER COLLATION %s.%I OWNER TO %I', own.name, c.collname, pg_get_userbyid(c.collowner)),
          'COMMENT ON COLLATION ' || own.name || '.' || quote_ident(c.collname) || ' IS ' || quote_literal(obj_description(c.oid, 'pg_collation'))]
  FROM pg_collation c JOIN trunkline_internal.own_schema own ON own.oid = c.collnamespace
  WHERE NOT EXISTS (SELECT FROM trunkline_internal.extension_member e WHERE e.classid = 'pg_collation'::regclass AND e.objid = c.oid)
UNION ALL
  SELECT 'pg_type'::regclass::oid, t.oid,
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
          'COMMENT ON TYPE ' || own.name || '.' || quote_ident(t.typname) || ' IS ' || quote_literal(obj_description(t.oid, 'pg_type'))]
    || trunkline_internal.acl_statements('TYPE ' || own.name || '.' || quote_ident(t.typname), t.typowner, t.typacl)
    || ARRAY(SELECT format('COMMENT ON COLUMN %s.%I.%I IS %L', own.name, t.typname, a.attname, col_description(a.attrelid, a.attnum))
             FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND col_description(a.attrelid, a.attnum) IS NOT NULL)
    || ARRAY(SELECT format('ALTER DOMAIN %s.%I ADD CONSTRAINT %I %s', own.name, t.typname, k.conname, pg_get_constraintdef(k.oid))
             FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c' AND NOT k.convalidated)
    || ARRAY(SELECT format('COMMENT ON CONSTRAINT %I ON DOMAIN %s.%I IS %L', k.conname, own.name, t.typname, obj_description(k.oid, 'pg_constraint'))
             FROM pg_constraint k WHERE k.contypid = t.oid AND obj_description(k.oid, 'pg_constraint') IS NOT NULL)
  FROM pg_type t JOIN trunkline_internal.own_schema own ON own.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid LEFT JOIN pg_type bt ON bt.oid = t.typbasetype
  WHERE (t.typtype IN ('e', 'd', 'r') OR t.typtype = 'c' AND c.relkind = 'c')
    AND NOT EXISTS (SELECT FROM trunkline_internal.extension_member e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid)
$$;

-- Functions, procedures, aggregates, languages and what names them.
CREATE OR REPLACE FUNCTION trunkline_internal.routine_objects() RETURNS TABLE (classid oid, objid oid, statement text, follow text[]) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'pg_proc'::regclass::oid, p.oid,
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
          'COMMENT ON ROUTINE ' || p.oid::regprocedure || ' IS ' || quote_literal(obj_description(p.oid, 'pg_proc'))]
    || trunkline_internal.acl_statements('ROUTINE ' || p.oid::regprocedure, p.proowner, p.proacl)
  FROM pg_proc p JOIN trunkline_internal.own_schema own ON own.oid = p.pronamespace
  WHERE NOT EXISTS (SELECT FROM trunkline_internal.extension_member e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid)
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')
    AND p.prorettype <> 'pg_catalog.event_trigger'::regtype
UNION ALL
  SELECT 'pg_language'::regclass::oid, l.oid, format('CREATE %sLANGUAGE %I HANDLER %s', CASE WHEN l.lanpltrusted THEN 'TRUSTED ' ELSE '' END, l.lanname, l.lanplcallfoid::regproc) ||
      CASE WHEN l.laninline <> 0 THEN ' INLINE ' || l.laninline::regproc ELSE '' END || CASE WHEN l.lanvalidator <> 0 THEN ' VALIDATOR ' || l.lanvalidator::regproc ELSE '' END,
    ARRAY[format('ALTER LANGUAGE %I OWNER TO %I', l.lanname, pg_get_userbyid(l.lanowner)),
          format('COMMENT ON LANGUAGE %I IS ', l.lanname) || quote_literal(obj_description(l.oid, 'pg_language'))]
    || trunkline_internal.acl_statements('LANGUAGE ' || quote_ident(l.lanname), l.lanowner, l.lanacl)
  FROM pg_language l WHERE l.oid >= 16384 AND l.lanispl AND NOT EXISTS (SELECT FROM trunkline_internal.extension_member e WHERE e.classid = 'pg_language'::regclass AND e.objid = l.oid)
UNION ALL
  SELECT 'pg_transform'::regclass::oid, t.oid, format('CREATE TRANSFORM FOR %s LANGUAGE %I (%s)', format_type(t.trftype, NULL), l.lanname,
      concat_ws(', ', 'FROM SQL WITH FUNCTION ' || nullif(t.trffromsql, 0)::oid::regprocedure, 'TO SQL WITH FUNCTION ' || nullif(t.trftosql, 0)::oid::regprocedure)),
    ARRAY[format('COMMENT ON TRANSFORM FOR %s LANGUAGE %I IS ', format_type(t.trftype, NULL), l.lanname) || quote_literal(obj_description(t.oid, 'pg_transform'))]
  FROM pg_transform t JOIN pg_language l ON l.oid = t.trflang WHERE NOT EXISTS (SELECT FROM trunkline_internal.extension_member e WHERE e.classid = 'pg_transform'::regclass AND e.objid = t.oid)
UNION ALL
  SELECT 'pg_conversion'::regclass::oid, c.oid, format('CREATE %sCONVERSION %s.%I FOR %L TO %L FROM %s', CASE WHEN c.condefault THEN 'DEFAULT ' ELSE '' END, own.name, c.conname,
      pg_encoding_to_char(c.conforencoding), pg_encoding_to_char(c.contoencoding), c.conproc),
    ARRAY[format('ALTER CONVERSION %s.%I OWNER TO %I', own.name, c.conname, pg_get_userbyid(c.conowner)),
          format('COMMENT ON CONVERSION %s.%I IS ', own.name, c.conname) || quote_literal(obj_description(c.oid, 'pg_conversion'))]
  FROM pg_conversion c JOIN trunkline_internal.own_schema own ON own.oid = c.connamespace
  WHERE NOT EXISTS (SELECT FROM trunkline_internal.extension_member e WHERE e.classid = 'pg_conversion'::regclass AND e.objid = c.oid)
UNION ALL
  SELECT 'pg_am'::regclass::oid, a.oid, format('CREATE ACCESS METHOD %I TYPE %s HANDLER %s', a.amname, CASE a.amtype WHEN 't' THEN 'TABLE' ELSE 'INDEX' END, a.amhandler),
    ARRAY['COMMENT ON ACCESS METHOD ' || quote_ident(a.amname) || ' IS ' || quote_literal(obj_description(a.oid, 'pg_am'))]
  FROM pg_am a
  WHERE a.oid >= 16384 AND NOT EXISTS (SELECT FROM trunkline_internal.extension_member e WHERE e.classid = 'pg_am'::regclass AND e.objid = a.oid)
$$;

-- Operators, their classes and families, and casts.
CREATE OR REPLACE FUNCTION trunkline_internal.operator_objects() RETURNS TABLE (classid oid, objid oid, statement text, follow text[]) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'pg_operator'::regclass::oid, o.oid,
    format('CREATE OPERATOR %s.%s (FUNCTION = %s', own.name, o.oprname, o.oprcode::regproc) ||
      CASE WHEN o.oprleft <> 0 THEN ', LEFTARG = ' || format_type(o.oprleft, NULL) ELSE '' END ||
      CASE WHEN o.oprright <> 0 THEN ', RIGHTARG = ' || format_type(o.oprright, NULL) ELSE '' END ||
      CASE WHEN o.oprcom <> 0 THEN (SELECT format(', COMMUTATOR = OPERATOR(%I.%s)', cn.nspname, co.oprname) FROM pg_operator co JOIN pg_namespace cn ON cn.oid = co.oprnamespace WHERE co.oid = o.oprcom) ELSE '' END ||
      CASE WHEN o.oprnegate <> 0 THEN (SELECT format(', NEGATOR = OPERATOR(%I.%s)', cn.nspname, co.oprname) FROM pg_operator co JOIN pg_namespace cn ON cn.oid = co.oprnamespace WHERE co.oid = o.oprnegate) ELSE '' END ||
      CASE WHEN o.oprrest <> 0 THEN ', RESTRICT = ' || o.oprrest::regproc ELSE '' END ||
      CASE WHEN o.oprjoin <> 0 THEN ', JOIN = ' || o.oprjoin::regproc ELSE '' END ||
      CASE WHEN o.oprcanhash THEN ', HASHES' ELSE '' END || CASE WHEN o.oprcanmerge THEN ', MERGES' ELSE '' END || ')',
    ARRAY['ALTER OPERATOR ' || trunkline_internal.operator_name(o.oid) || ' OWNER TO ' || quote_ident(pg_get_userbyid(o.oprowner)),
          'COMMENT ON OPERATOR ' || trunkline_internal.operator_name(o.oid) || ' IS ' || quote_literal(obj_description(o.oid, 'pg_operator'))]
  FROM pg_operator o JOIN trunkline_internal.own_schema own ON own.oid = o.oprnamespace
  WHERE o.oprcode <> 0 AND NOT EXISTS (SELECT FROM trunkline_internal.extension_member e WHERE e.classid = 'pg_operator'::regclass AND e.objid = o.oid)
UNION ALL
  SELECT 'pg_opfamily'::regclass::oid, f.oid, format('CREATE OPERATOR FAMILY %s.%I USING %I', own.name, f.opfname, am.amname),
    ARRAY[format('ALTER OPERATOR FAMILY %s.%I USING %I OWNER TO %I', own.name, f.opfname, am.amname, pg_get_userbyid(f.opfowner)),
          format('COMMENT ON OPERATOR FAMILY %s.%I USING %I IS ', own.name, f.opfname, am.amname) || quote_literal(obj_description(f.oid, 'pg_opfamily'))]
  FROM pg_opfamily f JOIN trunkline_internal.own_schema own ON own.oid = f.opfnamespace JOIN pg_am am ON am.oid = f.opfmethod
  WHERE NOT EXISTS (SELECT FROM trunkline_internal.extension_member e WHERE e.classid = 'pg_opfamily'::regclass AND e.objid = f.oid)
UNION ALL
  SELECT 'pg_opclass'::regclass::oid, c.oid,
    format('CREATE OPERATOR CLASS %s.%I %sFOR TYPE %s USING %I FAMILY %I.%I AS %s', own.name, c.opcname, CASE WHEN c.opcdefault THEN 'DEFAULT ' ELSE '' END,
      format_type(c.opcintype, NULL), am.amname, fn.nspname, f.opfname,
      array_to_string(trunkline_internal.family_members('pg_opclass', c.oid) || CASE WHEN c.opckeytype <> 0 THEN ARRAY['STORAGE ' || format_type(c.opckeytype, NULL)] END
        || CASE WHEN trunkline_internal.family_members('pg_opclass', c.oid) = '{}' AND c.opckeytype = 0 THEN ARRAY['STORAGE ' || format_type(c.opcintype, NULL)] END, ', ')),
    ARRAY[format('ALTER OPERATOR CLASS %s.%I USING %I OWNER TO %I', own.name, c.opcname, am.amname, pg_get_userbyid(c.opcowner)),
          format('COMMENT ON OPERATOR CLASS %s.%I USING %I IS ', own.name, c.opcname, am.amname) || quote_literal(obj_description(c.oid, 'pg_opclass'))]
  FROM pg_opclass c JOIN trunkline_internal.own_schema own ON own.oid = c.opcnamespace JOIN pg_am am ON am.oid = c.opcmethod
    JOIN pg_opfamily f ON f.oid = c.opcfamily JOIN pg_namespace fn ON fn.oid = f.opfnamespace
  WHERE NOT EXISTS (SELECT FROM trunkline_internal.extension_member e WHERE e.classid = 'pg_opclass'::regclass AND e.objid = c.oid)
UNION ALL
  SELECT 'pg_opfamily'::regclass::oid, f.oid, format('ALTER OPERATOR FAMILY %I.%I USING %I ADD %s', n.nspname, f.opfname, am.amname, array_to_string(m.members, ', ')), '{}'
  FROM pg_opfamily f JOIN pg_namespace n ON n.oid = f.opfnamespace JOIN pg_am am ON am.oid = f.opfmethod, trunkline_internal.family_members('pg_opfamily', f.oid) AS m(members)
  WHERE f.oid >= 16384 AND m.members <> '{}' AND NOT EXISTS (SELECT FROM trunkline_internal.extension_member e WHERE e.classid = 'pg_opfamily'::regclass AND e.objid = f.oid)
UNION ALL
  SELECT 'pg_cast'::regclass::oid, c.oid,
    format('CREATE CAST (%s AS %s) %s%s', format_type(c.castsource, NULL), format_type(c.casttarget, NULL),
      CASE c.castmethod WHEN 'f' THEN 'WITH FUNCTION ' || c.castfunc::regprocedure WHEN 'i' THEN 'WITH INOUT' ELSE 'WITHOUT FUNCTION' END,
      CASE c.castcontext WHEN 'a' THEN ' AS ASSIGNMENT' WHEN 'i' THEN ' AS IMPLICIT' ELSE '' END),
    ARRAY[format('COMMENT ON CAST (%s AS %s) IS ', format_type(c.castsource, NULL), format_type(c.casttarget, NULL)) || quote_literal(obj_description(c.oid, 'pg_cast'))]
  FROM pg_cast c
  WHERE c.oid >= 16384 AND NOT EXISTS (SELECT FROM trunkline_internal.extension_member e WHERE e.classid = 'pg_cast'::regclass AND e.objid = c.oid)
$$;

-- Text search.
CREATE OR REPLACE FUNCTION trunkline_internal.text_search_objects() RETURNS TABLE (classid oid, objid oid, statement text, follow text[]) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'pg_ts_parser'::regclass::oid, p.oid, format('CREATE TEXT SEARCH PARSER %s.%I (START = %s, GETTOKEN = %s, END = %s, LEXTYPES = %s%s)', own.name, p.prsname, p.prsstart, p.prstoken, p.prsend, p.prslextype,
      CASE WHEN p.prsheadline::oid <> 0 THEN ', HEADLINE = ' || p.prsheadline ELSE '' END),
    ARRAY[format('COMMENT ON TEXT SEARCH PARSER %s.%I IS ', own.name, p.prsname) || quote_literal(obj_description(p.oid, 'pg_ts_parser'))]
  FROM pg_ts_parser p JOIN trunkline_internal.own_schema own ON own.oid = p.prsnamespace
  WHERE NOT EXISTS (SELECT FROM trunkline_internal.extension_member e WHERE e.classid = 'pg_ts_parser'::regclass AND e.objid = p.oid)
UNION ALL
  SELECT 'pg_ts_template'::regclass::oid, t.oid, format('CREATE TEXT SEARCH TEMPLATE %s.%I (%sLEXIZE = %s)', own.name, t.tmplname,
      CASE WHEN t.tmplinit::oid <> 0 THEN 'INIT = ' || t.tmplinit || ', ' ELSE '' END, t.tmpllexize),
    ARRAY[format('COMMENT ON TEXT SEARCH TEMPLATE %s.%I IS ', own.name, t.tmplname) || quote_literal(obj_description(t.oid, 'pg_ts_template'))]
  FROM pg_ts_template t JOIN trunkline_internal.own_schema own ON own.oid = t.tmplnamespace
  WHERE NOT EXISTS (SELECT FROM trunkline_internal.extension_member e WHERE e.classid = 'pg_ts_template'::regclass AND e.objid = t.oid)
UNION ALL
  SELECT 'pg_ts_dict'::regclass::oid, d.oid, (SELECT format('CREATE TEXT SEARCH DICTIONARY %s.%I (TEMPLATE = %I.%I%s)', own.name, d.dictname, n.nspname, t.tmplname, coalesce(', ' || d.dictinitoption, ''))
      FROM pg_ts_template t JOIN pg_namespace n ON n.oid = t.tmplnamespace WHERE t.oid = d.dicttemplate),
    ARRAY[format('ALTER TEXT SEARCH DICTIONARY %s.%I OWNER TO %I', own.name, d.dictname, pg_get_userbyid(d.dictowner)),
          format('COMMENT ON TEXT SEARCH DICTIONARY %s.%I IS ', own.name, d.dictname) || quote_literal(obj_description(d.oid, 'pg_ts_dict'))]
  FROM pg_ts_dict d JOIN trunkline_internal.own_schema own ON own.oid = d.dictnamespace
  WHERE NOT EXISTS (SELECT FROM trunkline_internal.extension_member e WHERE e.classid = 'pg_ts_dict'::regclass AND e.objid = d.oid)
UNION ALL
  SELECT 'pg_ts_config'::regclass::oid, c.oid, (SELECT format('CREATE TEXT SEARCH CONFIGURATION %s.%I (PARSER = %I.%I)', own.name, c.cfgname, n.nspname, p.prsname)
      FROM pg_ts_parser p JOIN pg_namespace n ON n.oid = p.prsnamespace WHERE p.oid = c.cfgparser),
    ARRAY[format('ALTER TEXT SEARCH CONFIGURATION %s.%I OWNER TO %I', own.name, c.cfgname, pg_get_userbyid(c.cfgowner)),
          format('COMMENT ON TEXT SEARCH CONFIGURATION %s.%I IS ', own.name, c.cfgname) || quote_literal(obj_description(c.oid, 'pg_ts_config'))]
    || ARRAY(SELECT format('ALTER TEXT SEARCH CONFIGURATION %s.%I ADD MAPPING FOR %I WITH %s', own.name, c.cfgname, k.alias, string_agg(m.mapdict::regdictionary::text, ', ' ORDER BY m.mapseqno))
             FROM pg_ts_config_map m JOIN ts_token_type(c.cfgparser) k ON k.tokid = m.maptokentype WHERE m.mapcfg = c.oid GROUP BY k.tokid, k.alias ORDER BY k.tokid)
  FROM pg_ts_config c JOIN trunkline_internal.own_schema own ON own.oid = c.cfgnamespace
  WHERE NOT EXISTS (SELECT FROM trunkline_internal.extension_member e WHERE e.classid = 'pg_ts_config'::regclass AND e.objid = c.oid)
$$;

-- Foreign data wrappers, servers and user mappings.
CREATE OR REPLACE FUNCTION trunkline_internal.foreign_objects() RETURNS TABLE (classid oid, objid oid, statement text, follow text[]) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'pg_foreign_data_wrapper'::regclass::oid, w.oid, format('CREATE FOREIGN DATA WRAPPER %I%s%s%s', w.fdwname,
      CASE WHEN w.fdwhandler <> 0 THEN ' HANDLER ' || w.fdwhandler::regproc ELSE '' END, CASE WHEN w.fdwvalidator <> 0 THEN ' VALIDATOR ' || w.fdwvalidator::regproc ELSE '' END,
      trunkline_internal.option_list(w.fdwoptions)),
    ARRAY[format('ALTER FOREIGN DATA WRAPPER %I OWNER TO %I', w.fdwname, pg_get_userbyid(w.fdwowner)),
          format('COMMENT ON FOREIGN DATA WRAPPER %I IS ', w.fdwname) || quote_literal(obj_description(w.oid, 'pg_foreign_data_wrapper'))]
    || trunkline_internal.acl_statements('FOREIGN DATA WRAPPER ' || quote_ident(w.fdwname), w.fdwowner, w.fdwacl)
  FROM pg_foreign_data_wrapper w WHERE NOT EXISTS (SELECT FROM trunkline_internal.extension_member e WHERE e.classid = 'pg_foreign_data_wrapper'::regclass AND e.objid = w.oid)
UNION ALL
  SELECT 'pg_foreign_server'::regclass::oid, s.oid, format('CREATE SERVER %I%s%s FOREIGN DATA WRAPPER %I%s', s.srvname, ' TYPE ' || quote_literal(s.srvtype), ' VERSION ' || quote_literal(s.srvversion),
      w.fdwname, trunkline_internal.option_list(s.srvoptions)),
    ARRAY[format('ALTER SERVER %I OWNER TO %I', s.srvname, pg_get_userbyid(s.srvowner)),
          format('COMMENT ON SERVER %I IS ', s.srvname) || quote_literal(obj_description(s.oid, 'pg_foreign_server'))]
    || trunkline_internal.acl_statements('FOREIGN SERVER ' || quote_ident(s.srvname), s.srvowner, s.srvacl)
  FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw WHERE NOT EXISTS (SELECT FROM trunkline_internal.extension_member e WHERE e.classid = 'pg_foreign_server'::regclass AND e.objid = s.oid)
UNION ALL
  SELECT 'pg_user_mapping'::regclass::oid, m.umid, format('CREATE USER MAPPING FOR %s SERVER %I%s', CASE m.umuser WHEN 0 THEN 'PUBLIC' ELSE quote_ident(m.usename) END, m.srvname,
      trunkline_internal.option_list(m.umoptions)), '{}'
  FROM pg_user_mappings m
$$;

CREATE OR REPLACE FUNCTION trunkline_internal.node_objects() RETURNS TABLE (classid oid, objid oid, statement text, follow text[]) LANGUAGE sql STABLE AS $$
  SELECT * FROM trunkline_internal.type_objects() UNION ALL SELECT * FROM trunkline_internal.routine_objects() UNION ALL SELECT * FROM trunkline_internal.operator_objects()
  UNION ALL SELECT * FROM trunkline_internal.text_search_objects() UNION ALL SELECT * FROM trunkline_internal.foreign_objects()
$$;

-- What must come after all objects: the database's settings, and the privileges that new objects are to have.
CREATE OR REPLACE FUNCTION trunkline_internal.node_settings() RETURNS SETOF text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('ALTER %s %s', CASE s.setrole WHEN 0 THEN format('DATABASE %I', d.datname) ELSE format('ROLE %I IN DATABASE %I', pg_get_userbyid(s.setrole), d.datname) END,
    trunkline_internal.setting_clause(entry))
  FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) entry WHERE d.datname = current_database()
UNION ALL
  SELECT format('COMMENT ON DATABASE %I IS %L', d.datname, shobj_description(d.oid, 'pg_database')) FROM pg_database d
  WHERE d.datname = current_database() AND shobj_description(d.oid, 'pg_database') IS NOT NULL
UNION ALL
  SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s %s', pg_get_userbyid(a.defaclrole), ' IN SCHEMA ' || own.name, change)
  FROM pg_default_acl a LEFT JOIN trunkline_internal.own_schema own ON own.oid = a.defaclnamespace,
    LATERAL (SELECT CASE a.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'ROUTINES' WHEN 'T' THEN 'TYPES' ELSE 'SCHEMAS' END AS kind) k,
    LATERAL (SELECT 0 AS step, format('REVOKE ALL ON %s FROM PUBLIC, %I', kind, pg_get_userbyid(a.defaclrole)) AS change WHERE a.defaclnamespace = 0
             UNION ALL SELECT 1, format('GRANT %s ON %s TO %s%s', x.privilege_type, kind, CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END,
               CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) FROM aclexplode(a.defaclacl) x ORDER BY 1) c
$$;

-- The objects that all nodes have, and the tables that are in the metadata, as Citus lists them.
CREATE OR REPLACE VIEW trunkline.pg_dist_object AS
WITH object AS (
  SELECT classid, objid FROM trunkline_internal.node_objects()
  UNION SELECT 'pg_catalog.pg_namespace'::regclass::oid, oid FROM trunkline_internal.own_schema
  UNION SELECT 'pg_catalog.pg_extension'::regclass::oid, oid FROM pg_catalog.pg_extension WHERE oid >= 16384
  UNION SELECT 'pg_catalog.pg_authid'::regclass::oid, oid FROM pg_catalog.pg_roles WHERE rolname !~ '^pg_'
  UNION SELECT 'pg_catalog.pg_database'::regclass::oid, oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
  UNION SELECT 'pg_catalog.pg_class'::regclass::oid, logicalrelid::oid FROM trunkline.pg_dist_partition
)
SELECT o.classid, o.objid, 0 AS objsubid, NULL::text AS type, NULL::text[] AS object_names, NULL::text[] AS object_args,
       f.distribution_argument_index, f.colocationid, f.force_delegation
FROM object o LEFT JOIN trunkline_internal.distributed_function f ON o.classid = 'pg_catalog.pg_proc'::regclass AND f.function = o.objid;
