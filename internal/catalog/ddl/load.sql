-- What Load asks the coordinator. Before each statement stands the name of the loader's function that reads its rows.
-- It runs with search_path = pg_catalog, so that names are printed with their schemas.

-- :version
SELECT (SELECT coalesce(sum(changes), 0) FROM trunkline.catalog_version), (SELECT coalesce(sum(moves), 0) FROM trunkline.catalog_version),
       (SELECT -(xid::text::bigint * 65536 + changes) FROM trunkline.catalog_version WHERE xid = pg_current_xact_id_if_assigned())

-- :moving
-- until the end: what a switch has decided may not have been carried out on all nodes yet
SELECT FROM trunkline.shard_move LIMIT 1

-- :deferrable
SELECT true FROM pg_constraint WHERE condeferrable LIMIT 1

-- :nodes
SELECT nodeid, groupid, nodename, nodeport, isactive, noderole <> 'primary', shouldhaveshards FROM trunkline.pg_dist_node ORDER BY nodeid

-- :colocations
SELECT colocationid, shardcount, distributioncolumntype, distributioncolumncollation FROM trunkline.pg_dist_colocation

-- :shardGroups
SELECT colocationid, shardgroupid, shardminvalue, shardmaxvalue, groupid FROM trunkline.shard_group ORDER BY colocationid, shardminvalue

-- :partitions
SELECT p.logicalrelid::oid, p.partmethod, p.repmodel, p.colocationid, substring(p.partkey, ':varattno ([0-9]+)'),
       (SELECT string_agg(s.shardid::text, ' ' ORDER BY s.shardminvalue::int) FROM trunkline.pg_dist_shard s WHERE s.logicalrelid = p.logicalrelid)
FROM trunkline.pg_dist_partition p

-- :namespaces
SELECT oid, nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp_|toast_temp_)' AND oid <> ALL ((SELECT trunkline_internal.shard_namespaces())::oid[])

-- :tenants
SELECT n.nspname FROM trunkline.pg_dist_schema s JOIN pg_namespace n ON n.oid = s.schemaid ORDER BY 1

-- :relations
SELECT c.oid, c.relnamespace, c.relname, c.relkind, pg_get_userbyid(c.relowner), c.relrowsecurity, c.relhassubclass,
       CASE WHEN c.relhastriggers THEN (SELECT string_agg(t.tgfoid::oid::text, ' ') FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) END,
       CASE WHEN c.relispartition THEN (SELECT i.inhparent FROM pg_inherits i WHERE i.inhrelid = c.oid) END,
       CASE WHEN c.relkind = 'p' OR c.relkind = 'r' AND c.relhasindex THEN (SELECT i.indkey FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) END,
       CASE WHEN c.relkind IN ('v', 'm') AND c.oid >= 16384 THEN pg_get_viewdef(c.oid) END,
       c.relhastriggers AND EXISTS (SELECT FROM pg_constraint f WHERE f.confrelid = c.oid AND f.contype = 'f'),
       CASE WHEN c.relkind = 'v' THEN substring(array_to_string(c.reloptions, ','), 'check_option=(\w+)') END,
       c.relhasrules AND c.oid >= 16384 AND EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = c.oid AND w.rulename <> '_RETURN'),
       EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL AND c.oid >= 16384)
FROM pg_class c
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c') AND c.relpersistence <> 't'
  AND c.relnamespace <> ALL ((SELECT trunkline_internal.shard_namespaces())::oid[])

-- :columns
SELECT a.attrelid, a.attname, a.attnum, a.atttypid, a.atttypmod, a.attcollation, a.attnotnull, a.attidentity, a.attgenerated,
       format_type(a.atttypid, a.atttypmod), d.expression,
       d.expression IS NOT NULL AND d.sequence IS NULL AND EXISTS (
         SELECT FROM regexp_matches(d.tree, ':(?:funcid|opfuncid) ([0-9]+)', 'g') f JOIN pg_proc p ON p.oid = f[1]::oid WHERE p.provolatile = 'v'),
       coalesce(s.relnamespace, i.relnamespace), coalesce(s.relname, i.relname)
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND c.relpersistence <> 't' AND c.oid >= 16384
LEFT JOIN LATERAL (
  SELECT e.expression, e.tree,
         CASE WHEN e.expression ~ '^nextval\(''([^'']|'''')+''::regclass\)$' THEN
           (SELECT refobjid FROM pg_depend WHERE classid = 'pg_attrdef'::regclass AND objid = e.oid AND refclassid = 'pg_class'::regclass AND deptype = 'n' AND refobjsubid = 0 LIMIT 1) END AS sequence
  FROM (SELECT x.oid, pg_get_expr(x.adbin, x.adrelid) AS expression, x.adbin::text AS tree FROM pg_attrdef x WHERE a.atthasdef AND x.adrelid = a.attrelid AND x.adnum = a.attnum OFFSET 0) e
) d ON true
LEFT JOIN pg_class s ON s.oid = d.sequence AND s.relkind = 'S'
LEFT JOIN LATERAL (
  SELECT q.relnamespace, q.relname FROM pg_depend p JOIN pg_class q ON q.oid = p.objid AND q.relkind = 'S'
  WHERE a.attidentity <> '' AND p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass AND p.refobjid = a.attrelid AND p.refobjsubid = a.attnum AND p.deptype = 'i'
) i ON true
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relnamespace <> ALL ((SELECT trunkline_internal.shard_namespaces())::oid[])
ORDER BY a.attrelid, a.attnum

-- :uncheckedKeys
SELECT k.conrelid, k.conname, s.relname, a.attname
FROM pg_constraint k JOIN trunkline.pg_dist_partition p ON p.logicalrelid = k.confrelid AND p.repmodel <> 't' AND p.colocationid <> 0
JOIN pg_class s ON s.oid = k.confrelid JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
WHERE k.contype = 'f' AND NOT EXISTS (SELECT FROM trunkline.pg_dist_partition q WHERE q.logicalrelid = k.conrelid AND (q.repmodel = 't' OR q.colocationid <> 0))
ORDER BY 1, 2, 3

-- :types
SELECT t.oid, t.typnamespace, t.typname, format_type(t.oid, -1), t.typtype, t.typcategory, t.typbasetype, t.typelem, t.typarray,
       t.typtypmod, CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END
FROM pg_type t
WHERE (t.typtype <> 'p' OR t.oid < 16384) AND t.typnamespace <> ALL ((SELECT trunkline_internal.shard_namespaces())::oid[])

-- :hashFunctions
-- some can be called from SQL only by way of a function of our own
SELECT o.opcintype,
       CASE WHEN p.proargtypes[0] = o.opcintype OR EXISTS (SELECT FROM pg_cast WHERE castsource = o.opcintype AND casttarget = p.proargtypes[0] AND castmethod = 'b' AND castcontext = 'i')
            THEN format('%I.%I', n.nspname, p.proname) ELSE 'trunkline_internal.hash_value' END
FROM pg_opclass o
JOIN pg_amproc f ON f.amprocfamily = o.opcfamily AND f.amproclefttype = o.opcintype AND f.amprocrighttype = o.opcintype AND f.amprocnum = 1
JOIN pg_proc p ON p.oid = f.amproc
JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE o.opcmethod = 405 AND o.opcdefault

-- :binaryCasts
SELECT castsource, casttarget FROM pg_cast WHERE castmethod = 'b' AND castcontext = 'i' ORDER BY 1, 2

-- :collations
SELECT c.oid, n.nspname, c.collname, format('%I.%I', n.nspname, c.collname), c.collisdeterministic
FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
WHERE c.collencoding IN (-1, (SELECT encoding FROM pg_database WHERE datname = current_database()))

-- :operators
SELECT DISTINCT oprname FROM pg_operator WHERE oid >= 16384

-- :functions
SELECT p.oid, p.pronamespace, p.proname, p.prokind, p.provolatile, p.proretset, p.proisstrict, p.proargtypes, p.prorettype,
       p.pronargdefaults, p.provariadic <> 0, l.lanname, a.aggkind,
       CASE WHEN p.oid >= 16384 AND l.lanname NOT IN ('c', 'internal') AND p.prokind IN ('f', 'p', 'w')
                 AND p.pronamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname IN ('trunkline', 'trunkline_call', 'trunkline_internal'))
            THEN coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) END,
       -- what calling it means, for functions that a query can hold in place of their calls
       CASE WHEN p.oid >= 16384 AND l.lanname = 'sql' AND p.prokind = 'f' AND NOT p.prosecdef AND p.proconfig IS NULL AND p.provariadic = 0
                 AND (p.proacl IS NULL OR has_function_privilege('public', p.oid, 'EXECUTE'))
            THEN json_build_object('names', p.proargnames, 'modes', p.proargmodes::text[], 'result', format_type(p.prorettype, NULL),
                   'types', (SELECT json_agg(format_type(t, NULL) ORDER BY n) FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) WITH ORDINALITY AS a (t, n))) END
FROM pg_proc p
JOIN pg_language l ON l.oid = p.prolang
LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
