-- Everything that makes up one table, as JSON. $TABLE is its oid. search_path must be pg_catalog alone, so that every other name
-- comes out qualified.
SELECT json_build_object(
  'oid', c.oid::bigint,
  'schema', n.nspname,
  'name', c.relname,
  'kind', c.relkind,
  'persistence', c.relpersistence,
  'owner', pg_get_userbyid(c.relowner),
  'access_method', CASE WHEN am.amname <> current_setting('default_table_access_method') THEN am.amname END,
  'tablespace', ts.spcname,
  'options', (SELECT array_to_json(c.reloptions || ARRAY(SELECT 'toast.' || o FROM unnest(toast.reloptions) o))),
  'row_security', c.relrowsecurity,
  'force_row_security', c.relforcerowsecurity,
  'replica_identity', c.relreplident,
  'partition_key', CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END,
  'partition_bound', CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END,
  'parent', CASE WHEN c.relispartition THEN (SELECT inhparent::bigint FROM pg_inherits WHERE inhrelid = c.oid) END,
  'inherits', NOT c.relispartition AND EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid),
  'inherited', c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid),
  'of_type', c.reloftype <> 0,
  'comment', obj_description(c.oid, 'pg_class'),
  'partitions', (SELECT json_agg(i.inhrelid::bigint ORDER BY i.inhrelid) FROM pg_inherits i WHERE c.relkind = 'p' AND i.inhparent = c.oid),
  'grants', (SELECT json_agg(json_build_object('grantee', CASE WHEN a.grantee = 0 THEN NULL ELSE pg_get_userbyid(a.grantee) END,
                                               'privilege', a.privilege_type, 'grantable', a.is_grantable))
             FROM aclexplode(c.relacl) a),
  'columns', (SELECT json_agg(json_build_object(
      'name', a.attname,
      'number', a.attnum,
      'type', format_type(a.atttypid, a.atttypmod),
      'type_oid', a.atttypid::bigint,
      'collation_oid', a.attcollation::bigint,
      'collation', CASE WHEN a.attcollation <> t.typcollation THEN
          (SELECT quote_ident(cn.nspname) || '.' || quote_ident(co.collname)
           FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation) END,
      'not_null', a.attnotnull,
      'identity', a.attidentity,
      'generated', a.attgenerated,
      'default', pg_get_expr(d.adbin, d.adrelid),
      'from_sequence', EXISTS (SELECT FROM pg_depend dep JOIN pg_class s ON s.oid = dep.refobjid AND s.relkind = 'S'
                               WHERE dep.classid = 'pg_attrdef'::regclass AND dep.objid = d.oid AND dep.refclassid = 'pg_class'::regclass),
      'storage', CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage END,
      'compression', a.attcompression,
      'statistics', CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END,
      'options', array_to_json(a.attoptions),
      'comment', col_description(c.oid, a.attnum),
      'grants', (SELECT json_agg(json_build_object('grantee', CASE WHEN x.grantee = 0 THEN NULL ELSE pg_get_userbyid(x.grantee) END,
                                                   'privilege', x.privilege_type, 'grantable', x.is_grantable))
                 FROM aclexplode(a.attacl) x)
    ) ORDER BY a.attnum)
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  'constraints', (SELECT json_agg(json_build_object(
      'oid', k.oid::bigint,
      'name', k.conname,
      'type', k.contype,
      'definition', pg_get_constraintdef(k.oid),
      'columns', array_to_json(k.conkey),
      'inherited', k.conparentid <> 0,
      'local', k.conislocal,
      'valid', k.convalidated,
      'index', k.conindid::bigint,
      'references', k.confrelid::bigint,
      'referenced_columns', array_to_json(k.confkey),
      'on_update', k.confupdtype,
      'on_delete', k.confdeltype,
      'comment', obj_description(k.oid, 'pg_constraint')
    ) ORDER BY array_position('{p,u,x,c,f}'::"char"[], k.contype), k.oid)
    FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x', 'c', 'f')),
  'indexes', (SELECT json_agg(json_build_object(
      'oid', i.indexrelid::bigint,
      'name', ic.relname,
      'definition', pg_get_indexdef(i.indexrelid),
      'constraint', (SELECT k.conname FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x') LIMIT 1),
      'unique', i.indisunique,
      'exclusion', i.indisexclusion,
      'keys', (SELECT json_agg(i.indkey[s]::int) FROM generate_series(0, i.indnkeyatts - 1) s),
      'equality', (SELECT json_agg((EXISTS (SELECT FROM pg_amop o JOIN pg_operator op ON op.oid = o.amopopr
                                            WHERE o.amopopr = k.conexclop[s + 1] AND op.oprname = '='))) 
                   FROM pg_constraint k, generate_series(0, i.indnkeyatts - 1) s
                   WHERE k.conindid = i.indexrelid AND k.conrelid = c.oid AND k.contype = 'x'),
      'valid', i.indisvalid,
      'clustered', i.indisclustered,
      'replica_identity', i.indisreplident,
      'parent', (SELECT pi.relname FROM pg_inherits h JOIN pg_class pi ON pi.oid = h.inhparent WHERE h.inhrelid = i.indexrelid),
      'options', array_to_json(ic.reloptions),
      'statistics', (SELECT json_agg(json_build_object('number', a.attnum, 'target', a.attstattarget))
                     FROM pg_attribute a WHERE a.attrelid = i.indexrelid AND a.attstattarget >= 0),
      'comment', obj_description(i.indexrelid, 'pg_class')
    ) ORDER BY i.indexrelid)
    FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid WHERE i.indrelid = c.oid),
  'statistics', (SELECT json_agg(json_build_object(
      'schema', sn.nspname,
      'name', s.stxname,
      'definition', pg_get_statisticsobjdef(s.oid),
      'target', CASE WHEN s.stxstattarget >= 0 THEN s.stxstattarget END,
      'owner', pg_get_userbyid(s.stxowner),
      'comment', obj_description(s.oid, 'pg_statistic_ext')
    ) ORDER BY s.oid)
    FROM pg_statistic_ext s JOIN pg_namespace sn ON sn.oid = s.stxnamespace WHERE s.stxrelid = c.oid),
  'policies', (SELECT json_agg(json_build_object(
      'name', p.polname,
      'permissive', p.polpermissive,
      'command', p.polcmd,
      'roles', (SELECT array_to_json(ARRAY(SELECT CASE WHEN r = 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(r)) END FROM unnest(p.polroles) r))),
      'using', pg_get_expr(p.polqual, p.polrelid),
      'check', pg_get_expr(p.polwithcheck, p.polrelid),
      'comment', obj_description(p.oid, 'pg_policy')
    ) ORDER BY p.oid)
    FROM pg_policy p WHERE p.polrelid = c.oid),
  'triggers', (SELECT json_agg(json_build_object(
      'oid', t.oid::bigint,
      'parent', t.tgparentid::bigint,
      'name', t.tgname,
      'definition', pg_get_triggerdef(t.oid),
      'row', t.tgtype & 1 <> 0,
      'before', t.tgtype & 2 <> 0,
      'transition', coalesce(t.tgoldtable, t.tgnewtable) IS NOT NULL,
      'from', t.tgconstrrelid::bigint,
      'enabled', t.tgenabled,
      'comment', obj_description(t.oid, 'pg_trigger')
    ) ORDER BY t.tgname)
    FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal),
  'rules', (SELECT json_agg(r.rulename ORDER BY r.rulename) FROM pg_rewrite r WHERE r.ev_class = c.oid),
  'publications', (SELECT json_agg(p.pubname) FROM pg_publication_rel pr JOIN pg_publication p ON p.oid = pr.prpubid WHERE pr.prrelid = c.oid)
)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_am am ON am.oid = c.relam
LEFT JOIN pg_tablespace ts ON ts.oid = c.reltablespace
LEFT JOIN pg_class toast ON toast.oid = c.reltoastrelid
WHERE c.oid = $TABLE
