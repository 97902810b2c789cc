-- Values of all types through every way in which rows travel: routed, merged, aggregated, intermediate, inserted from a query.

CREATE TYPE pair AS (x int, y text);
CREATE TYPE colour AS ENUM ('red', 'green', 'blue');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE v (
  k int PRIMARY KEY, i2 smallint, i8 bigint, n numeric, n2 numeric(10,2), f4 real, f8 double precision, b boolean, t text, vc varchar(10), ch char(4), qc "char", nm name,
  by bytea, d date, tm time, tmz timetz, ts timestamp, tsz timestamptz, iv interval, u uuid, j json, jb jsonb, ip inet, ci cidr, mac macaddr, bt bit(4), vb varbit,
  pt point, bx box, ia int[], ta text[], aa int[][], r int4range, mr datemultirange, tsr tstzrange, p pair, pa pair[], e colour, ea colour[], dm positive, tv tsvector, tq tsquery, x xml, m money, o oid, jp jsonpath);
CREATE TABLE w (LIKE v);

-- @gateway
SELECT create_distributed_table('v', 'k');
-- @gateway
SELECT create_distributed_table('w', 'k', colocate_with => 'none', shard_count => 3);

INSERT INTO v VALUES
(1, -32768, 9223372036854775807, 12345678901234567890.0123456789, 1.5, 1.1, 0.1, true, 'text', 'varchar', 'ch', 'c', 'name', '\x00ff10', '2024-02-29', '12:34:56.789', '12:34+05:30', '2024-02-29 12:34:56.789', '2024-02-29 12:34:56.789+00', '1 year 2 mons 3 days 04:05:06.7', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"b": 1,  "a": [1, null]}', '{"b": 1,  "a": [1, null]}', '10.0.0.1/24', '10.0.0.0/8', '08:00:2b:01:02:03', '1010', '10101', '(1,2.5)', '(1,1),(0,0)', '{1,NULL,3}', '{a,"b c","d\"e",NULL,"NULL",""}', '{{1,2},{3,4}}', '[1,5)', '{[2020-01-01,2020-02-01)}', '[2020-01-01 00:00+00,)', '(1,"a b")', ARRAY['(1,"q""q")', NULL, '(,)']::pair[], 'green', '{red,blue}', 5, 'a:1 b:2', 'a & !b', '<a>1</a>', '12.34', 4294967295, '$.a[*]'),
(2, 0, 0, 'NaN', -1.5, 'NaN', 'Infinity', false, '', '', '', '', '', '', 'infinity', '24:00', '00:00-12', 'infinity', '-infinity', '-1 days +02:03', '00000000-0000-0000-0000-000000000000', 'null', 'null', '::1', '::/0', '00:00:00:00:00:00', '0000', '', '(0,0)', '(0,0),(0,0)', '{}', '{}', '{}', 'empty', '{}', 'empty', '(,)', '{}', 'red', '{}', 1, '', '', NULL, '0', 0, '$'),
(3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
(4, 7, -7, 1.50, 2.00, 1e-30, -0.0, true, E'tab\tnew\nline\\back "quote" \x01', E'a\tb', 'a', 'z', 'n', '\x5c6e', '0001-01-01 BC', '00:00', '12:00+00', '0001-01-01 BC', '294276-12-31 23:59:59.999999+00', '178000000 years', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '"\u0041\n"', '"A\n"', '255.255.255.255', '192.168.1.1/32', 'ff:ff:ff:ff:ff:ff', '1111', '1', '(1e300,-1e-300)', '(2,2),(1,1)', '[2:3]={5,6}', E'{"a\\\\b","{}",",","\tx"}', '{{NULL}}', '(,5]', '{(,2020-01-01),[2021-01-01,)}', '(,)', '(-1,"(nested,""x"")")', NULL, 'blue', '{NULL}', 2147483647, '''it''''s'':1A', '''x y'' <-> z', 'plain &amp; text', '-92233720368547758.08', 1, 'strict $.b ? (@ > 1)');

SELECT * FROM v WHERE k = 1;
SELECT * FROM v WHERE k = 4;
SELECT * FROM v;
-- @ordered
SELECT * FROM v ORDER BY k DESC;
SELECT v FROM v;
SELECT v.* FROM v JOIN w USING (k);
SELECT v::text FROM v;
SELECT to_jsonb(v) FROM v;
SELECT row_to_json(v) FROM v;
SELECT (v).n, (v.p).x, (p).y, (pa[1]).y, (v).* FROM v;

-- through intermediate results

WITH a AS MATERIALIZED (SELECT * FROM v) SELECT a.* FROM a LEFT JOIN w ON a.i2 = w.i2;
SELECT a.* FROM v a LEFT JOIN w b ON a.t = b.t;
SELECT x.* FROM (SELECT * FROM v LIMIT 10) x;
SELECT x.* FROM (SELECT * FROM v ORDER BY k LIMIT 2 OFFSET 1) x JOIN v y ON x.i8 = y.i8;
SELECT DISTINCT i2, i8, n, n2, f4, f8, b, t, vc, ch, nm, by, d, tm, tmz, ts, tsz, iv, u, jb, ip, ci, mac, bt, vb, ia, ta, aa, r, mr, tsr, p, pa, e, ea, dm, tv, m, o FROM v;
SELECT count(DISTINCT n), count(DISTINCT f8), count(DISTINCT t), count(DISTINCT by), count(DISTINCT iv), count(DISTINCT jb), count(DISTINCT ta), count(DISTINCT p), count(DISTINCT tsr), count(DISTINCT ch), count(DISTINCT e) FROM v;
SELECT min(i2), max(i8), min(n), max(n), min(f8), max(f8), min(t), max(vc), max(ch), min(d), max(d), min(tm), max(tmz), min(ts), max(tsz), min(iv), max(iv), max(ip), min(ia), max(ta), max(e), min(m), max(o), min(dm) FROM v;
SELECT sum(i2), sum(i8), sum(n2), sum(f4), sum(n), sum(iv) , sum(m) FROM v WHERE k <> 4;
SELECT avg(i2), avg(i8), avg(n2), avg(f4), avg(iv) FROM v WHERE k <> 4;
-- @floats
SELECT avg(f8), sum(f8), stddev(n2), variance(i8), avg(n) FROM v;
SELECT array_agg(n ORDER BY k), array_agg(t ORDER BY k), array_agg(by ORDER BY k), array_agg(tsz ORDER BY k), array_agg(iv ORDER BY k), array_agg(p ORDER BY k), array_agg(e ORDER BY k), array_agg(ch ORDER BY k), array_agg(r ORDER BY k) FROM v;
SELECT string_agg(t, E'\t' ORDER BY k), string_agg(by, '\x00' ORDER BY k), json_agg(j ORDER BY k), jsonb_agg(jb ORDER BY k), json_object_agg(k, t ORDER BY k), xmlagg(x ORDER BY k), range_agg(r ORDER BY k), bit_and(bt), bit_or(bt) FROM v;
SELECT array_agg(aa ORDER BY k) FROM v WHERE k = 1;
SELECT array_agg(v ORDER BY k) FROM v;
SELECT json_agg(v ORDER BY k), jsonb_agg(v.* ORDER BY k) FROM v;
SELECT count(v), count(v.*) FROM v;
SELECT t, count(*) FROM v GROUP BY t;
SELECT n, f8, ch, iv, count(*) FROM v GROUP BY n, f8, ch, iv;
SELECT p, count(*) FROM v GROUP BY p;
SELECT tsz, ts, d FROM v GROUP BY GROUPING SETS ((tsz), (ts), (d));
SELECT n FROM v UNION SELECT n2 FROM v;
SELECT ch FROM v UNION SELECT vc FROM v;
SELECT i2 FROM v UNION ALL SELECT i8 FROM v UNION ALL SELECT n FROM v;
SELECT f4 FROM v EXCEPT SELECT f8 FROM v;
SELECT t FROM v INTERSECT SELECT t FROM v WHERE k < 3;
SELECT k FROM v WHERE t IN (SELECT t FROM v WHERE k = 4);
SELECT k FROM v WHERE (n, f8) IN (SELECT n, f8 FROM v);
SELECT k FROM v WHERE iv = (SELECT max(iv) FROM v);
SELECT k, (SELECT max(by) FROM v b WHERE b.i2 = a.i2) FROM v a;
SELECT k, (SELECT array_agg(ta ORDER BY k) FROM v b WHERE b.k < a.k AND cardinality(ta) = 6) FROM v a;
-- @ordered
SELECT k, rank() OVER (ORDER BY n), lag(ta) OVER (ORDER BY k), first_value(p) OVER (ORDER BY k), max(iv) OVER (ORDER BY k) FROM v ORDER BY k;

-- sorted in streams

-- @ordered
SELECT k FROM v ORDER BY n, k;
-- @ordered
SELECT k FROM v ORDER BY n DESC NULLS LAST, k;
-- @ordered
SELECT k FROM v ORDER BY f4, k;
-- @ordered
SELECT k FROM v ORDER BY f8 DESC, k;
-- @ordered
SELECT k FROM v ORDER BY f8 NULLS FIRST, k;
-- @ordered
SELECT k FROM v ORDER BY t, k;
-- @ordered
SELECT k FROM v ORDER BY t COLLATE "C" DESC, k;
-- @ordered
SELECT k FROM v ORDER BY ch, k;
-- @ordered
SELECT k FROM v ORDER BY by DESC, k;
-- @ordered
SELECT k FROM v ORDER BY d, k;
-- @ordered
SELECT k FROM v ORDER BY d DESC, k DESC;
-- @ordered
SELECT k FROM v ORDER BY ts DESC NULLS LAST, k;
-- @ordered
SELECT k FROM v ORDER BY tsz, k;
-- @ordered
SELECT k FROM v ORDER BY tm, tmz, k;
-- @ordered
SELECT k FROM v ORDER BY iv, k;
-- @ordered
SELECT k FROM v ORDER BY u DESC, k;
-- @ordered
SELECT k FROM v ORDER BY b, k;
-- @ordered
SELECT k FROM v ORDER BY b DESC NULLS LAST, i2 DESC, k;
-- @ordered
SELECT k FROM v ORDER BY e, k;
-- @ordered
SELECT k FROM v ORDER BY jb, k;
-- @ordered
SELECT k FROM v ORDER BY ia DESC, k;
-- @ordered
SELECT k FROM v ORDER BY p, k;
-- @ordered
SELECT k FROM v ORDER BY r, ip, k;
-- @ordered
SELECT k FROM v ORDER BY o DESC, m, k;
-- @ordered
SELECT k FROM v ORDER BY i8 USING >, k;
-- @ordered
SELECT k, n FROM v ORDER BY n, k LIMIT 2 OFFSET 1;
-- @ordered
SELECT t FROM v ORDER BY k * 2 LIMIT 3;
-- @ordered
SELECT -k AS k, t FROM v ORDER BY k;
-- @ordered
SELECT -k AS neg FROM v ORDER BY -k DESC;
-- @ordered
SELECT DISTINCT k % 2 AS odd FROM v ORDER BY odd DESC;
-- @ordered
SELECT k FROM v ORDER BY CASE WHEN k = 3 THEN 0 ELSE k END;
-- @ordered
SELECT k FROM v ORDER BY (SELECT -v.k);
-- @ordered
SELECT k FROM v ORDER BY length(t) DESC NULLS LAST, k;

-- inserted from a query

INSERT INTO w SELECT * FROM v;
SELECT * FROM w;
DELETE FROM w;
INSERT INTO w SELECT (v).* FROM v ORDER BY k LIMIT 3;
SELECT * FROM w;
UPDATE w SET t = v.t, p = v.p, ta = v.ta, by = v.by, iv = v.iv FROM v WHERE v.i2 = w.i2;
SELECT k, t, p, ta, by, iv FROM w;
CREATE TABLE copied AS SELECT * FROM v;
SELECT * FROM copied;
CREATE TEMP TABLE temp_copy AS SELECT k, n, f8, t, ta, p, by, tsz, iv, ch FROM v;
SELECT * FROM temp_copy;
SELECT c.k, v.t FROM copied c JOIN v ON c.t = v.t;
INSERT INTO copied SELECT * FROM v WHERE k = 1;
SELECT count(*) FROM copied;

-- under other settings

SET datestyle = 'SQL, DMY';
SET intervalstyle = 'sql_standard';
SET timezone = 'Asia/Kolkata';
SET bytea_output = 'escape';
SET extra_float_digits = 0;
SET lc_monetary = 'C';
SET xmloption = 'document';
SELECT d, ts, tsz, tmz, iv, by, f4, f8, m FROM v;
SELECT x.d, x.ts, x.tsz, x.iv, x.by, x.f4, x.f8 FROM (SELECT * FROM v ORDER BY k LIMIT 10) x;
WITH a AS MATERIALIZED (SELECT * FROM v) SELECT a.d, a.ts, a.tsz, a.tmz, a.iv, a.by, a.f4, a.f8, a.tsr, a.mr, a.p FROM a LEFT JOIN w ON a.i2 = w.i2;
SELECT max(d), max(ts), max(tsz), max(iv), string_agg(by, '\x01' ORDER BY k), sum(f4), max(f8), max(m) FROM v WHERE k < 3;
SELECT array_agg(tsz ORDER BY k), array_agg(iv ORDER BY k), array_agg(by ORDER BY k), array_agg(f4 ORDER BY k) FROM v;
SELECT tsz::text, iv::text, by::text, f4::text, d::text, to_json(tsz), tsz::date FROM v;
SELECT k FROM v WHERE d = '29/02/2024';
SELECT DISTINCT tsz, iv, by, d FROM v;
INSERT INTO w (k, d, tsz, iv, by, f4, ts) SELECT k + 10, d, tsz, iv, by, f4, ts FROM v;
INSERT INTO w (k, d, tsz, iv) VALUES (20, '03/04/2005', '03/04/2005 10:00', '1-2'), (21, '03/04/2005', '03/04/2005 10:00', '1 2:03:04');
SELECT k, d, tsz, iv, by, f4, ts FROM w WHERE k >= 10;
UPDATE w SET tsz = x.tsz, iv = x.iv FROM (SELECT i2, max(tsz) AS tsz, max(iv) AS iv FROM v GROUP BY i2) x WHERE x.i2 = w.i2;
SELECT k, tsz, iv FROM w;
RESET ALL;
SELECT k, d, tsz, iv, by, f4, ts FROM w WHERE k >= 10;

SET search_path = pg_catalog;
SELECT count(*) FROM public.v a LEFT JOIN public.w b ON a.t = b.t;
SELECT e, p, dm FROM public.v;
SELECT x.e, x.p, x.dm FROM (SELECT * FROM public.v LIMIT 10) x;
RESET search_path;
SET standard_conforming_strings = off;
SELECT k, 'a\tb' FROM v WHERE t = 'text';
SELECT k, t || 'a\\b' FROM v;
RESET standard_conforming_strings;
