-- Shapes of queries that are easy to get wrong over shards.

CREATE TABLE o (id int, c int NOT NULL, total numeric(8,2), note text, PRIMARY KEY (c, id));
CREATE TABLE i (o int NOT NULL, c int NOT NULL, n int NOT NULL, qty int, PRIMARY KEY (c, o, n), FOREIGN KEY (c, o) REFERENCES o);
CREATE TABLE c (id int PRIMARY KEY, name text, boss int);
CREATE TABLE x (id int, v int, w text);
CREATE TABLE r (id int PRIMARY KEY, v int, name text);
CREATE TABLE l (id int, v int, name text);
CREATE TABLE one (c int, v int);

-- @gateway
SELECT create_distributed_table('c', 'id');
-- @gateway
SELECT create_distributed_table('o', 'c', colocate_with => 'c');
-- @gateway
SELECT create_distributed_table('i', 'c', colocate_with => 'c');
-- @gateway
SELECT create_distributed_table('x', 'id', colocate_with => 'none', shard_count => 3);
-- @gateway
SELECT create_reference_table('r');
-- @gateway
SELECT create_distributed_table('one', 'c', shard_count => 1, colocate_with => 'none');

INSERT INTO c SELECT g, 'c' || g, nullif(g / 2, 0) FROM generate_series(1, 12) AS g;
INSERT INTO o SELECT g, g % 8 + 1, g * 1.5, CASE WHEN g % 3 = 0 THEN NULL ELSE 'n' || g % 4 END FROM generate_series(1, 30) AS g;
INSERT INTO i SELECT g % 30 + 1, (g % 30 + 1) % 8 + 1, g, g % 5 FROM generate_series(1, 70) AS g;
INSERT INTO x SELECT g, g % 6, CASE WHEN g % 5 = 0 THEN NULL ELSE 'n' || g % 4 END FROM generate_series(1, 25) AS g;
INSERT INTO x VALUES (1, NULL, NULL), (1, 1, 'dup'), (1, 1, 'dup');
INSERT INTO r VALUES (1, 1, 'a'), (2, NULL, 'b'), (3, 3, NULL), (99, 9, 'none');
INSERT INTO l VALUES (1, 1, 'a'), (NULL, 2, 'b'), (3, NULL, NULL), (1, 1, 'a');
INSERT INTO one SELECT g, g FROM generate_series(1, 5) AS g;

-- aggregates over nothing, over joins, without groups

SELECT count(*), sum(total), avg(total), min(note), array_agg(id), bool_and(id > 0), string_agg(note, ','), stddev(total), max(total) FROM o WHERE id < 0;
SELECT count(*), sum(total) FROM o WHERE id < 0 GROUP BY c;
SELECT count(*), sum(total) FROM o WHERE id < 0 HAVING count(*) = 0;
SELECT 1 FROM o HAVING false;
SELECT count(*) FROM o WHERE c = 1 AND c = 2;
SELECT sum(total) FROM o WHERE false;
SELECT count(*) FROM o, r;
SELECT count(*) FROM o CROSS JOIN x;
SELECT count(*) FROM r, l, x;
SELECT sum(DISTINCT id % 5), count(DISTINCT id % 5), avg(DISTINCT total), sum(id), count(note), count(DISTINCT note) FROM o;
SELECT c, sum(DISTINCT id % 5), count(DISTINCT note) FROM o GROUP BY c;
SELECT note, sum(DISTINCT id % 5), count(DISTINCT c), array_agg(DISTINCT c ORDER BY c DESC) FROM o GROUP BY note;
SELECT note, count(*) FILTER (WHERE total > 20), sum(total) FILTER (WHERE c = 3), count(DISTINCT c) FILTER (WHERE id > 5) FROM o GROUP BY note;
SELECT count(*) + sum(id) * 2 - max(id), round(avg(total) / count(*), 4) FROM o;
SELECT max(total) - min(total) FROM o GROUP BY note HAVING max(total) - min(total) > 1;
SELECT (SELECT count(*) FROM o), (SELECT count(*) FROM i), (SELECT sum(v) FROM r);
SELECT count(*) FROM (SELECT DISTINCT note FROM o) d;
SELECT count(*) FROM (SELECT note FROM o GROUP BY note HAVING count(*) > 7) d;
SELECT avg(s) FROM (SELECT c, sum(total) AS s FROM o GROUP BY c) d;
SELECT note, avg(s) FROM (SELECT c, note, sum(total) AS s FROM o GROUP BY c, note) d GROUP BY note;
SELECT max(m) FROM (SELECT max(total) AS m FROM o GROUP BY note) d;
SELECT c % 2 AS odd, count(*) FROM o GROUP BY odd HAVING count(*) > 1 ORDER BY odd;
SELECT sum(total) AS total FROM o GROUP BY total ORDER BY total LIMIT 3;
SELECT total AS id, count(*) FROM o GROUP BY id, total ORDER BY 1, 2 LIMIT 3;
SELECT id AS total, total AS id FROM o ORDER BY total DESC LIMIT 4;
SELECT -id AS id FROM o ORDER BY id LIMIT 3;
SELECT id % 3 AS id, count(*) FROM o GROUP BY id ORDER BY 1, 2 LIMIT 5;
SELECT note AS c, count(*) FROM o GROUP BY c;
SELECT note AS zz, count(*) FROM o GROUP BY zz;
SELECT upper(note) AS note, count(*) FROM o GROUP BY note;
SELECT upper(note) AS n, count(*) FROM o GROUP BY n;
SELECT c.id, c.name, count(*) FROM c JOIN o ON o.c = c.id GROUP BY c.id;
SELECT c.*, count(o.id) FROM c LEFT JOIN o ON o.c = c.id GROUP BY c.id;
SELECT r.*, count(o.id) FROM r LEFT JOIN o ON o.c = r.id GROUP BY r.id;
SELECT r.id, r.name, sum(x.v) FROM r JOIN x ON x.v = r.v GROUP BY r.id;
SELECT c, array_agg(id ORDER BY id DESC), array_agg(note ORDER BY note NULLS FIRST, id), string_agg(note, ',' ORDER BY id) FROM o GROUP BY c;
SELECT array_agg(DISTINCT note), string_agg(DISTINCT note, ',') FROM o;
SELECT c, jsonb_object_agg(id, total) , json_agg(json_build_object('i', id) ORDER BY id) FROM o GROUP BY c;
SELECT jsonb_object_agg(id, total) FROM o;
SELECT array_agg((id, c) ORDER BY id) FROM o WHERE id < 5;
SELECT array_agg(array[id, c] ORDER BY id) FROM o WHERE id < 5;
SELECT percentile_disc(array[0.25, 0.5]) WITHIN GROUP (ORDER BY total), percentile_cont(0.5) WITHIN GROUP (ORDER BY total DESC), mode() WITHIN GROUP (ORDER BY note) FROM o;
SELECT rank(10) WITHIN GROUP (ORDER BY id), dense_rank('n2') WITHIN GROUP (ORDER BY note), cume_dist(10) WITHIN GROUP (ORDER BY id), percent_rank(5) WITHIN GROUP (ORDER BY id) FROM o;
-- @floats
SELECT regr_avgx(id, c), regr_avgy(id, c), regr_intercept(id, c), regr_r2(id, c), regr_slope(id, c), regr_sxx(id, c), regr_sxy(id, c), regr_syy(id, c), corr(id, c), covar_samp(id, c) FROM o;
SELECT bit_and(id), bit_or(id), bit_xor(id), bool_or(id > 29), every(id > 0), max(note), min(array[c, id]), max(row(c, id)::text) FROM o;
SELECT sum(id::smallint), sum(id::bigint), sum(id::real), sum(id::numeric), avg(id::smallint), sum(interval '1 day' * id), avg(interval '1 hour' * id), sum(total::money) FROM o;
SELECT pg_typeof(sum(id)), pg_typeof(avg(id)), pg_typeof(count(*)), pg_typeof(sum(total)), pg_typeof(max(note)) FROM o;
SELECT note, c, grouping(note), grouping(c), grouping(note, c), count(*), sum(total) FROM o GROUP BY GROUPING SETS ((note, c), (note), (c), ());
SELECT note, count(*) FROM o GROUP BY ROLLUP (note) ORDER BY note NULLS LAST, count(*);
SELECT note, c % 2, count(DISTINCT c) FROM o GROUP BY CUBE (note, c % 2);
SELECT note, count(*) FROM o GROUP BY GROUPING SETS ((note), (note), ());
SELECT c, count(*) FROM o GROUP BY GROUPING SETS ((c), ()) HAVING grouping(c) = 1 OR count(*) > 3;
SELECT count(*) FROM o GROUP BY GROUPING SETS ((), ());
SELECT count(*) FROM o WHERE id < 0 GROUP BY GROUPING SETS ((), (note));
SELECT (SELECT sum(o.total)) FROM o;
SELECT note, (SELECT count(*) FROM r WHERE r.name = o.note OR r.id = max(o.c)) FROM o GROUP BY note;
SELECT note, (SELECT count(*) FROM x WHERE x.w = o.note) FROM o GROUP BY note;
SELECT count(*) FROM o GROUP BY note HAVING count(*) > (SELECT avg(v) FROM x WHERE x.w = o.note);
SELECT note, sum(total) FROM o GROUP BY note ORDER BY sum(total) DESC, note LIMIT 2;
SELECT note FROM o GROUP BY note ORDER BY max(id) LIMIT 2 OFFSET 1;
SELECT note, count(*) FROM o GROUP BY note ORDER BY count(*), note FETCH FIRST 1 ROW WITH TIES;
SELECT DISTINCT count(*) FROM o GROUP BY c;
SELECT DISTINCT note, count(*) OVER () FROM o;
SELECT DISTINCT ON (note) note, id FROM o ORDER BY note, id DESC;
SELECT DISTINCT ON (c) c, id, total FROM o ORDER BY c, total DESC;
SELECT DISTINCT ON (upper(note)) note, id FROM o ORDER BY upper(note), id LIMIT 2;
SELECT count(DISTINCT o.*) FROM o;

-- outer joins

SELECT c.id, o.id FROM c LEFT JOIN o ON o.c = c.id AND o.total > 30;
SELECT c.id, o.id FROM c LEFT JOIN o ON o.c = c.id WHERE o.total > 30 OR o.id IS NULL;
SELECT c.id, o.id FROM c LEFT JOIN o ON o.c = c.id AND c.id < 3;
SELECT c.id, o.id, i.n FROM c LEFT JOIN o ON o.c = c.id LEFT JOIN i ON i.c = o.c AND i.o = o.id WHERE c.id > 6;
SELECT c.id, o.id, i.n FROM c LEFT JOIN (o JOIN i ON i.c = o.c AND i.o = o.id AND i.qty = 4) ON o.c = c.id;
SELECT c.id, i.n FROM c LEFT JOIN o ON o.c = c.id AND o.id < 5 LEFT JOIN i ON i.c = o.c;
SELECT c.id, i.n FROM c LEFT JOIN o ON o.c = c.id AND o.id < 5 LEFT JOIN i ON i.c = c.id AND i.qty = 1;
SELECT o.id, c.id FROM o FULL JOIN c ON c.id = o.c AND o.id < 10;
SELECT id, o.total, c.name FROM o FULL JOIN c USING (id);
SELECT coalesce(c.id, o.c), count(*) FROM c FULL JOIN o ON c.id = o.c + 5 GROUP BY 1;
SELECT r.id, o.id FROM r LEFT JOIN o ON o.c = r.id;
SELECT r.id, o.id FROM r FULL JOIN o ON o.c = r.id AND o.id < 4;
SELECT r.id, o.id FROM o RIGHT JOIN r ON o.c = r.id AND o.id > 20;
SELECT o.id, r.id FROM o LEFT JOIN r ON r.id = o.c WHERE r.id IS NULL;
SELECT o.id, r.id, x.id FROM o LEFT JOIN r ON r.id = o.c LEFT JOIN x ON x.v = r.v WHERE o.id < 10;
SELECT x.id, o.id FROM x LEFT JOIN o ON o.id = x.v;
SELECT x.id, o.id FROM x FULL JOIN o ON o.id = x.id + 20;
SELECT x.id, c.id FROM x LEFT JOIN c ON c.id = x.id WHERE c.id IS NULL;
SELECT x.id, c.id FROM x RIGHT JOIN c ON c.id = x.v;
SELECT x.*, l.* FROM x FULL JOIN l ON l.id = x.id WHERE x.id IS NULL OR x.id < 4;
SELECT l.*, o.id FROM l LEFT JOIN o ON o.c = l.v;
SELECT r.id, l.id, o.id FROM r LEFT JOIN l ON l.v = r.v LEFT JOIN o ON o.id = l.id;
SELECT a.id, b.id FROM c a LEFT JOIN c b ON b.id = a.boss;
SELECT a.id, b.id, d.id FROM c a LEFT JOIN c b ON b.boss = a.id LEFT JOIN c d ON d.boss = b.id;
SELECT a.id, b.id FROM c a FULL JOIN c b ON b.boss = a.id;
SELECT * FROM c a JOIN c b USING (id) JOIN o ON o.c = id WHERE id = 3;
SELECT id, count(*) FROM c a LEFT JOIN c b USING (id) GROUP BY id;
SELECT id, a.name, b.name FROM c a FULL JOIN c b USING (id) WHERE id > 9;
SELECT * FROM one JOIN c ON c.id = one.v;
SELECT one.c, o.id FROM one LEFT JOIN o ON o.id = one.c;
SELECT o.id FROM o LEFT JOIN one ON one.c = o.c WHERE one.c IS NULL;
SELECT count(*) FROM o a, o b WHERE a.c = b.c AND a.id <> b.id;
SELECT count(*) FROM o a, o b WHERE a.c = b.c + 1;
SELECT count(*) FROM o a, o b, o d WHERE a.c = b.c AND b.c = d.c AND a.total + b.total > d.total;
SELECT count(*) FROM o, i WHERE o.id = i.o;
SELECT count(*) FROM o NATURAL JOIN i;
SELECT count(*) FROM o JOIN i USING (c) JOIN c ON c.id = i.c;
SELECT count(*) FROM c JOIN x ON c.id = x.id JOIN o ON o.c = c.id;
SELECT count(*) FROM c JOIN x ON c.id = x.id JOIN o ON o.c = x.v;
SELECT count(*) FROM c JOIN x ON c.id < x.id;
SELECT count(*) FROM c JOIN x ON c.id = x.id OR c.id = x.v;

-- subqueries

SELECT id FROM o WHERE c IN (SELECT id FROM c WHERE boss = 2);
SELECT id FROM o WHERE c NOT IN (SELECT id FROM c WHERE boss = 2);
SELECT id FROM o WHERE c NOT IN (SELECT boss FROM c);
SELECT id FROM o WHERE c NOT IN (SELECT boss FROM c WHERE boss IS NOT NULL);
SELECT id FROM x WHERE id NOT IN (SELECT id FROM x WHERE v = 3);
SELECT id FROM x WHERE id NOT IN (SELECT id FROM x);
SELECT id FROM x WHERE (id, v) NOT IN (SELECT id, v FROM x WHERE v = 3);
SELECT id FROM x WHERE (id, v) IN (SELECT id, v FROM x WHERE v > 3);
SELECT id FROM x WHERE id = ALL (SELECT id FROM x WHERE false);
SELECT id FROM x WHERE id > ALL (SELECT c FROM o);
SELECT id FROM x WHERE id < ANY (SELECT c FROM o WHERE note = 'n1');
SELECT id, id IN (SELECT c FROM o), id NOT IN (SELECT boss FROM c) FROM x;
SELECT id, EXISTS (SELECT 1 FROM o WHERE o.c = x.id), EXISTS (SELECT 1 FROM x y WHERE y.id = x.id AND y.v = 3) FROM x;
SELECT id FROM c WHERE EXISTS (SELECT 1 FROM o WHERE o.c = c.id AND EXISTS (SELECT 1 FROM i WHERE i.c = o.c AND i.o = o.id AND i.qty > 3));
SELECT id FROM c WHERE NOT EXISTS (SELECT 1 FROM o WHERE o.c = c.id AND NOT EXISTS (SELECT 1 FROM i WHERE i.o = o.id));
SELECT id FROM c WHERE (SELECT count(*) FROM o WHERE o.c = c.id) > 3;
SELECT id FROM c WHERE (SELECT count(*) FROM x WHERE x.v = c.id) > 3;
SELECT id FROM c WHERE (SELECT max(total) FROM o WHERE o.c = c.id) > (SELECT avg(total) FROM o);
SELECT id, (SELECT name FROM r WHERE r.id = c.id), (SELECT name FROM l WHERE l.id = c.id LIMIT 1) FROM c;
SELECT id, (SELECT o.id FROM o WHERE o.c = c.id ORDER BY o.id LIMIT 1) FROM c;
SELECT id, (SELECT o.id FROM o WHERE o.c = c.id) FROM c;
SELECT id, (SELECT array_agg(o.id ORDER BY o.id) FROM o WHERE o.c = c.boss) FROM c;
SELECT id, ARRAY(SELECT o.id FROM o WHERE o.c = c.id ORDER BY 1) FROM c;
SELECT id, ARRAY(SELECT x.id FROM x WHERE x.v = c.id ORDER BY 1) FROM c;
SELECT c.id, d.s FROM c, LATERAL (SELECT sum(total) AS s FROM o WHERE o.c = c.id) d;
SELECT c.id, d.id FROM c, LATERAL (SELECT id FROM o WHERE o.c = c.id ORDER BY total DESC LIMIT 1) d;
SELECT c.id, d.id FROM c LEFT JOIN LATERAL (SELECT id FROM x WHERE x.v = c.id ORDER BY id LIMIT 2) d ON true;
SELECT r.id, d.id FROM r, LATERAL (SELECT id FROM o WHERE o.c = r.id ORDER BY id LIMIT 2) d;
SELECT r.id, d.n FROM r LEFT JOIN LATERAL (SELECT count(*) AS n FROM x WHERE x.v > r.v) d ON true;
SELECT c.id, g FROM c, generate_series(1, c.id % 3) AS g;
SELECT c.id, g.* FROM c LEFT JOIN LATERAL unnest(array[c.id, c.boss]) WITH ORDINALITY AS g(v, n) ON g.v > 3;
SELECT id FROM (SELECT id, row_number() OVER (ORDER BY total DESC, id) AS n FROM o) d WHERE n <= 5;
SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY c ORDER BY total DESC) AS n FROM o) d WHERE n = 1;
SELECT * FROM (SELECT id FROM o ORDER BY id DESC LIMIT 3) d WHERE id > 1 ORDER BY id;
SELECT * FROM (SELECT id FROM o ORDER BY id OFFSET 27) d;
SELECT d.id, e.id FROM (SELECT id FROM o ORDER BY id LIMIT 2) d, (SELECT id FROM c ORDER BY id DESC LIMIT 2) e;
SELECT count(*) FROM (SELECT * FROM o UNION ALL SELECT * FROM o) d JOIN c ON c.id = d.c;
SELECT d.c, count(*) FROM (SELECT c FROM o UNION ALL SELECT c FROM i) d GROUP BY d.c;
SELECT d.v, count(*) FROM (SELECT c AS v FROM o UNION SELECT v FROM x) d GROUP BY d.v;
SELECT count(*) FROM (SELECT c FROM o EXCEPT SELECT boss FROM c) d;
SELECT c FROM o INTERSECT SELECT id FROM c WHERE boss > 2;
SELECT c FROM o INTERSECT ALL SELECT c FROM i;
SELECT id FROM c EXCEPT ALL SELECT id FROM x;
SELECT id FROM c UNION SELECT id FROM r UNION SELECT id FROM l ORDER BY 1;
SELECT 'c', id FROM c WHERE id = 3 UNION ALL SELECT 'o', id FROM o WHERE c = 3;
SELECT id, NULL FROM c WHERE id < 3 UNION ALL SELECT id, note FROM o WHERE id < 3;
SELECT id, 1 FROM c WHERE id < 3 UNION ALL SELECT id, total FROM o WHERE id < 3;
(SELECT id FROM c ORDER BY id LIMIT 2) UNION ALL (SELECT id FROM o ORDER BY id DESC LIMIT 2) ORDER BY id DESC LIMIT 3;
SELECT id FROM c WHERE id IN (SELECT id FROM o UNION SELECT id FROM x WHERE v = 2);
SELECT id FROM c WHERE EXISTS (SELECT 1 FROM o WHERE o.c = c.id UNION ALL SELECT 1 FROM x WHERE x.v = c.id);
SELECT id FROM o ORDER BY (SELECT count(*) FROM i WHERE i.c = o.c AND i.o = o.id) DESC, id LIMIT 5;
SELECT id FROM o LIMIT (SELECT 3 - 3);
SELECT id FROM o ORDER BY id LIMIT (SELECT count(*) FROM r) OFFSET (SELECT 1);
SELECT CASE WHEN EXISTS (SELECT 1 FROM o WHERE id = 999) THEN 'yes' ELSE 'no' END;
SELECT r.id FROM r WHERE r.v = (SELECT max(x.v) - 4 FROM x WHERE x.id > r.id);
SELECT l.id FROM l WHERE l.v IN (SELECT o.c FROM o WHERE o.id = l.id OR l.id IS NULL);
SELECT (SELECT (SELECT max(o.id) FROM o WHERE o.c = c.id) FROM r WHERE r.id = 1) FROM c;
SELECT id FROM c WHERE id = (SELECT min(c) FROM o WHERE total = (SELECT max(total) FROM o WHERE note = 'n1'));
SELECT c.id FROM c WHERE (c.id, c.boss) IN (SELECT o.c, o.c / 2 FROM o);
SELECT count(*) FROM c WHERE c.id = ANY (ARRAY(SELECT o.c FROM o WHERE o.total > 20));
SELECT x.id FROM x WHERE x.w IN ('n1', 'n2') AND x.id IN (SELECT id FROM c) ORDER BY 1 LIMIT 3;

-- common table expressions

WITH a AS (SELECT c, sum(total) AS s FROM o GROUP BY c) SELECT c.name, a.s FROM a JOIN c ON c.id = a.c;
WITH a AS (SELECT note, count(*) AS n FROM o GROUP BY note) SELECT x.id, a.n FROM x LEFT JOIN a ON a.note = x.w WHERE x.id < 9;
WITH a AS (SELECT * FROM o), b AS (SELECT * FROM a WHERE id < 10), d AS (SELECT c FROM b GROUP BY c) SELECT * FROM d JOIN a USING (c) WHERE a.id > 25;
WITH a AS (SELECT random() AS z FROM o) SELECT count(*) FROM a p JOIN a q USING (z);
WITH a AS MATERIALIZED (SELECT id FROM o ORDER BY id LIMIT 5) SELECT * FROM a UNION ALL SELECT * FROM a;
WITH a AS (SELECT 1 AS id) SELECT * FROM c JOIN a USING (id);
WITH c AS (SELECT 5 AS id) SELECT * FROM c;
WITH c AS (SELECT * FROM c WHERE id = 4) SELECT * FROM c;
WITH a AS (SELECT id FROM c WHERE id = 3) SELECT (SELECT count(*) FROM a), (SELECT max(id) FROM a), o.id FROM o WHERE o.c IN (SELECT id FROM a);
WITH a AS (SELECT * FROM c) SELECT * FROM (WITH a AS (SELECT * FROM r) SELECT * FROM a) z JOIN a USING (id);
WITH a(x, y) AS (SELECT id, name FROM c) SELECT y FROM a WHERE x = 2;
WITH RECURSIVE up(id, boss, depth) AS (SELECT id, boss, 0 FROM c WHERE id = 11 UNION ALL SELECT c.id, c.boss, depth + 1 FROM c JOIN up ON c.id = up.boss) SELECT * FROM up;
WITH RECURSIVE down AS (SELECT id FROM c WHERE boss IS NULL UNION SELECT c.id FROM c, down WHERE c.boss = down.id) SELECT o.id FROM o JOIN down ON down.id = o.c WHERE o.total > 30;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < (SELECT count(*) FROM c)) SELECT sum(i) FROM n;
WITH RECURSIVE t(id, path) AS (SELECT id, array[id] FROM c WHERE boss IS NULL UNION ALL SELECT c.id, path || c.id FROM c JOIN t ON c.boss = t.id) SEARCH DEPTH FIRST BY id SET ord SELECT id, path FROM t ORDER BY ord;
WITH RECURSIVE t AS (SELECT 1 AS n, count(*) AS k FROM o UNION ALL SELECT n + 1, k FROM t WHERE n < 3) SELECT * FROM t;

-- windows

-- @ordered
SELECT id, c, sum(total) OVER (PARTITION BY c ORDER BY id), avg(total) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW), count(*) OVER (), first_value(note) OVER (PARTITION BY c ORDER BY id) FROM o ORDER BY id;
-- @ordered
SELECT id, rank() OVER (ORDER BY note NULLS FIRST), dense_rank() OVER (PARTITION BY c % 2 ORDER BY note), percent_rank() OVER (ORDER BY id), cume_dist() OVER (ORDER BY c) FROM o ORDER BY id;
-- @ordered
SELECT c, count(*), sum(count(*)) OVER (ORDER BY c), rank() OVER (ORDER BY sum(total) DESC) FROM o GROUP BY c ORDER BY c;
-- @ordered
SELECT note, sum(total), sum(sum(total)) OVER (ORDER BY note NULLS LAST), max(count(*)) OVER () FROM o GROUP BY note ORDER BY note;
SELECT c, id, sum(total) FILTER (WHERE id > 10) OVER (PARTITION BY c) FROM o;
SELECT id, lag(id, 2, -1) OVER w, lead(total) OVER w, nth_value(id, 3) OVER w FROM o WINDOW w AS (ORDER BY id);
SELECT id, sum(total) OVER (ORDER BY total RANGE BETWEEN 3 PRECEDING AND 3 FOLLOWING), count(*) OVER (ORDER BY c GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM o;
SELECT DISTINCT c, max(total) OVER (PARTITION BY c) FROM o;
SELECT o.c, r.name, row_number() OVER (PARTITION BY r.name ORDER BY o.id) FROM o LEFT JOIN r ON r.id = o.c;
SELECT id FROM o ORDER BY row_number() OVER (ORDER BY total DESC, id) LIMIT 3;
SELECT id, ntile(4) OVER (ORDER BY id) FROM o WHERE c = 3;
SELECT c, row_number() OVER () > 0 FROM o;

-- functions in the select list, whole rows, system columns

SELECT generate_series(1, 2), c FROM o WHERE id < 3;
SELECT c, unnest(array[id, c]) FROM o WHERE id < 4;
SELECT count(*) FROM (SELECT unnest(array[id, c]) FROM o) d;
SELECT o FROM o WHERE id = 3;
SELECT o.*, o FROM o WHERE id < 3;
SELECT (o).id, (o).note FROM o WHERE (o).c = 2;
SELECT row_to_json(o), to_jsonb(o.*) FROM o WHERE id < 3;
SELECT d FROM (SELECT id, c FROM o WHERE id < 3) d;
SELECT c.id, o FROM c LEFT JOIN o ON o.c = c.id WHERE c.id > 7;
SELECT o IS NULL, o IS NOT NULL, o.* IS NOT DISTINCT FROM o.* FROM o WHERE id < 4;
SELECT count(*) FROM o a JOIN o b ON a = b;
SELECT count(*) FROM o a JOIN o b ON a.* = b.* AND a.c = b.c;
SELECT tableoid::regclass, count(*) FROM o GROUP BY 1;
SELECT tableoid::regclass::text, id FROM o WHERE c = 3 AND tableoid = 'o'::regclass;
SELECT ctid IS NOT NULL, xmin IS NOT NULL FROM o WHERE id = 1;
SELECT 'o'::regclass, 'o'::regclass::text, id FROM o WHERE id = 2;
SELECT pg_typeof(total), pg_typeof(note), pg_typeof(o) FROM o WHERE id = 2;
SELECT * FROM o JOIN LATERAL jsonb_each_text(to_jsonb(o)) AS e ON true WHERE o.id = 2;
SELECT r.*, o.id FROM r, o WHERE r.id = o.c AND (r.name, o.note) IS DISTINCT FROM ('a', 'n2');
SELECT * FROM o, r WHERE o.c = r.id AND o.c = 1;
SELECT a.*, b.* FROM o a JOIN i b ON a.c = b.c AND a.id = b.o WHERE a.c = 4;
SELECT public.o.id FROM public.o WHERE public.o.c = 3;
SELECT public.o.* FROM public.o JOIN public.i ON public.o.c = public.i.c AND public.i.o = public.o.id AND i.qty > 3;
SELECT "o"."id" AS "The Id", id "select" FROM o AS "o" WHERE "o".c = 3;
SELECT c.c FROM o AS c WHERE c.c = 3 AND c.id > 5;
SELECT c FROM c WHERE c.id = 3;
SELECT c FROM o AS x(c) WHERE c = 3;
SELECT z.b, z.a FROM o AS z(a, b) WHERE z.b = 3;
SELECT z.b, count(*) FROM o AS z(a, b) GROUP BY z.b;
SELECT y.p FROM (SELECT id, c FROM o) AS y(p, q) WHERE q = 3;
SELECT j.id, j.total FROM (o JOIN c USING (id)) AS j WHERE j.id < 4;
SELECT id FROM ONLY o WHERE c = 3;
SELECT count(*) FROM ONLY o;
SELECT * FROM o WHERE c = 3 AND id = 2 FOR UPDATE;
SELECT count(*) FROM o WHERE now() > '2000-01-01' AND c > 0;
SELECT now() = now(), count(DISTINCT now()) FROM o GROUP BY 1;
SELECT count(DISTINCT random()) > 1 FROM o;
SELECT count(*) FROM (SELECT random() AS z FROM o) d WHERE z = z;
SELECT count(*) FROM o WHERE random() < 0;
SELECT bool_and(clock_timestamp() >= now()) FROM o;
SELECT length(gen_random_uuid()::text) FROM o WHERE id = 1;
SELECT version() LIKE 'PostgreSQL%', count(*) FROM o GROUP BY 1;
SELECT id FROM o WHERE note = current_setting('no.such', true);
SELECT id FROM o WHERE id = 5 AND pg_backend_pid() > 0;
