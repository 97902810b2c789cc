-- Statements over the packages of Debian 12. Each runs through the gateway and on one plain PostgreSQL; the answers must be equal.
--
-- packages, depends, tags    distributed by package, co-located
-- sections                   a reference table
-- notes                      a local table
--
-- A line "-- @…" says how to compare the statement below it:
--   @ordered         rows in the same order (the ORDER BY is total)
--   @floats          floats to nine digits
--   @params a | b    sent by the extended protocol with these parameters, in text
--   @code            an error's SQLSTATE only: which row is met first is not defined
--   @binary          sent by the extended protocol with results in binary

-- ===== one package =====

SELECT * FROM packages WHERE package = 'bash';

SELECT package, version, installed_size_kb FROM packages WHERE package = 'no-such-package';

-- @params postgresql-15
SELECT package, section, size_bytes FROM packages WHERE package = $1;

-- @binary
SELECT package, essential, installed_size_kb, size_bytes, summary FROM packages WHERE package = 'dpkg';

SELECT count(*), count(DISTINCT depends_on), min(depends_on), max(depends_on) FROM depends WHERE package = 'gnome';

-- @ordered
SELECT p.package, d.kind, d.alternative_group, d.depends_on, d.relation, d.version
FROM packages p JOIN depends d ON d.package = p.package
WHERE p.package = 'apt' ORDER BY d.kind, d.alternative_group, d.depends_on, d.relation, d.version;

-- @ordered
SELECT p.package, t.tag FROM packages p LEFT JOIN tags t USING (package) WHERE p.package = 'vim' ORDER BY 2;

SELECT p.package, s.area FROM packages p JOIN sections s USING (section) WHERE p.package = 'coreutils';

-- @ordered
SELECT tag, row_number() OVER (ORDER BY tag) FROM tags WHERE package = 'emacs' ORDER BY 1;

WITH d AS (SELECT * FROM depends WHERE package = 'git') SELECT kind, count(*) FROM d GROUP BY kind HAVING count(*) > 1;

SELECT (SELECT count(*) FROM depends d WHERE d.package = p.package) AS depends, (SELECT count(*) FROM tags t WHERE t.package = p.package) AS tags
FROM packages p WHERE package = 'firefox-esr';

SELECT package FROM packages WHERE 'bash' = package AND essential;

SELECT 1 FROM packages WHERE package = 'bash' AND package = 'dash';

SELECT package FROM packages WHERE package = NULL;

SELECT package, length(package), upper(package) || '!' AS loud, substring(summary FROM 1 FOR 10) FROM packages WHERE package = 'g++';

-- ===== some packages =====

-- @ordered
SELECT package, version FROM packages WHERE package IN ('bash', 'dash', 'zsh', 'fish', 'no-such-package') ORDER BY package;

SELECT package, priority FROM packages WHERE package = 'bash' OR package = 'dash' OR package = 'tar' AND essential;

-- @params {bash,dash,zsh,bash}
SELECT package, version FROM packages WHERE package = ANY ($1::text[]);

-- @params bash | zsh
SELECT p.package, count(d.*) FROM packages p LEFT JOIN depends d ON d.package = p.package AND d.kind = 'depends' WHERE p.package IN ($1, $2) GROUP BY p.package;

-- @ordered
SELECT d.package, d.depends_on FROM depends d WHERE d.package IN ('bash', 'tar', 'sed') AND d.kind <> 'suggests' ORDER BY 1, 2, d.version, d.kind;

SELECT package FROM packages WHERE package IN (SELECT 'ba' || 'sh') OR package = lower('TAR');

SELECT package FROM packages WHERE package BETWEEN 'bash' AND 'bashtop';

SELECT package, essential FROM packages WHERE (package, essential) IN (('bash', true), ('dash', false), ('zsh', false));

-- ===== aggregates =====

SELECT count(*) FROM packages;

SELECT count(*), count(source), count(essential), count(installed_size_kb), count(summary), count(DISTINCT section) FROM packages;

SELECT sum(installed_size_kb), avg(installed_size_kb), min(installed_size_kb), max(installed_size_kb), sum(size_bytes), avg(size_bytes) FROM packages;

-- @floats
SELECT stddev(installed_size_kb), stddev_pop(installed_size_kb), variance(size_bytes), var_pop(size_bytes), stddev_samp(size_bytes::float8), var_samp(ln(1 + size_bytes)) FROM packages;

-- @floats
SELECT corr(installed_size_kb, size_bytes), covar_pop(installed_size_kb, size_bytes), regr_slope(size_bytes, installed_size_kb), regr_count(size_bytes, installed_size_kb), avg(size_bytes::float8), sum(size_bytes::float4) > 0 FROM packages WHERE section = 'games';

SELECT bool_and(essential), bool_or(essential), every(size_bytes > 0), bit_and(size_bytes), bit_or(size_bytes), bit_xor(size_bytes) FROM packages;

SELECT section, count(*), sum(size_bytes), max(package), min(version COLLATE "C") FROM packages GROUP BY section;

SELECT section, priority, count(*) AS n FROM packages GROUP BY section, priority HAVING count(*) > 50 AND sum(size_bytes) > 1000000;

-- @ordered
SELECT section, count(*) AS n FROM packages GROUP BY 1 ORDER BY n DESC, section LIMIT 10;

-- @ordered
SELECT left(package, 1) AS letter, count(*), round(avg(size_bytes)) FROM packages GROUP BY letter ORDER BY letter COLLATE "C";

SELECT count(*) FILTER (WHERE essential), count(*) FILTER (WHERE priority = 'optional'), sum(size_bytes) FILTER (WHERE section = 'games'), max(package) FILTER (WHERE false) FROM packages;

SELECT priority, count(DISTINCT section), count(DISTINCT architecture) FILTER (WHERE size_bytes > 100000), sum(DISTINCT installed_size_kb) FROM packages GROUP BY priority;

SELECT count(DISTINCT (section, priority)), count(DISTINCT section || priority) FROM packages;

SELECT priority, array_agg(package ORDER BY package), string_agg(package, ',' ORDER BY size_bytes DESC, package) FROM packages WHERE priority IN ('required', 'important') GROUP BY priority;

SELECT kind, array_agg(DISTINCT relation ORDER BY relation), string_agg(DISTINCT relation, ' ' ORDER BY relation DESC) FROM depends GROUP BY kind;

SELECT section, json_agg(package ORDER BY package), jsonb_object_agg(package, size_bytes ORDER BY package) FROM packages WHERE priority = 'standard' GROUP BY section;

SELECT section, percentile_cont(0.5) WITHIN GROUP (ORDER BY size_bytes), percentile_disc(0.9) WITHIN GROUP (ORDER BY size_bytes), mode() WITHIN GROUP (ORDER BY architecture) FROM packages WHERE section IN ('games', 'admin', 'net') GROUP BY section;

SELECT rank(1000000) WITHIN GROUP (ORDER BY size_bytes) FROM packages;

SELECT section, priority, count(*), grouping(section, priority) FROM packages GROUP BY ROLLUP (section, priority);

SELECT section, architecture, sum(size_bytes), grouping(section) FROM packages WHERE section LIKE 'g%' GROUP BY CUBE (section, architecture);

SELECT priority, architecture, count(DISTINCT section) FROM packages GROUP BY GROUPING SETS ((priority), (architecture), ()) HAVING count(*) > 10;

SELECT count(*) FROM packages GROUP BY ();

SELECT max(size_bytes) - min(size_bytes) AS spread, count(*) * 2 + 1, sum(size_bytes) / count(*) FROM packages WHERE section = 'net';

SELECT sum(size_bytes), count(*), max(package), array_agg(package), bool_and(essential) FROM packages WHERE section = 'no-such-section';

SELECT 'x' FROM packages HAVING count(*) > 1000;

SELECT source, count(*) FROM packages GROUP BY source HAVING count(*) > (SELECT count(*) FROM packages WHERE priority = 'required') ORDER BY count(*) DESC, source;

SELECT case when size_bytes < 10000 then 'small' when size_bytes < 1000000 then 'middle' else 'large' end AS class, count(*), sum(size_bytes) FROM packages GROUP BY 1;

SELECT avg(n), max(n), sum(n) FROM (SELECT package, count(*) AS n FROM depends GROUP BY package) AS per_package;

SELECT n, count(*) FROM (SELECT count(*) AS n FROM depends GROUP BY depends_on) AS x GROUP BY n HAVING n > 1000;

SELECT package, count(*) FROM tags GROUP BY package HAVING count(*) > 25;

-- @ordered
SELECT width_bucket(ln(1 + size_bytes), 0, 25, 10) AS bucket, count(*), min(size_bytes), max(size_bytes) FROM packages GROUP BY bucket ORDER BY bucket;

-- ===== DISTINCT, ORDER BY, LIMIT =====

SELECT DISTINCT kind FROM depends;

SELECT DISTINCT section, priority FROM packages WHERE architecture = 'all' AND priority <> 'optional';

-- @ordered
SELECT DISTINCT section FROM packages ORDER BY section DESC LIMIT 5 OFFSET 3;

-- @ordered
SELECT DISTINCT ON (section) section, package, size_bytes FROM packages ORDER BY section, size_bytes DESC, package;

-- @ordered
SELECT DISTINCT ON (package) package, tag FROM tags WHERE package LIKE 'a%' ORDER BY package, tag DESC;

-- @ordered
SELECT package, size_bytes FROM packages ORDER BY size_bytes DESC, package LIMIT 20;

-- @ordered
SELECT package FROM packages ORDER BY package COLLATE "C" DESC LIMIT 10 OFFSET 1000;

-- @ordered
SELECT package, source FROM packages WHERE package LIKE 'lib%' ORDER BY source DESC NULLS LAST, package ASC LIMIT 15;

-- @ordered
SELECT package, installed_size_kb FROM packages ORDER BY installed_size_kb NULLS FIRST, package LIMIT 12;

-- @ordered
SELECT section, count(*) FROM packages GROUP BY section ORDER BY 2 DESC FETCH FIRST 3 ROWS WITH TIES;

SELECT installed_size_kb FROM packages ORDER BY installed_size_kb DESC FETCH FIRST 5 ROWS WITH TIES;

-- @ordered
SELECT priority, length(priority) FROM packages GROUP BY priority ORDER BY length(priority), priority;

SELECT count(*) FROM (SELECT package FROM packages ORDER BY size_bytes LIMIT 100 OFFSET 10) AS x;

-- @ordered
-- @params 3 | 2
SELECT package FROM packages ORDER BY size_bytes DESC, package LIMIT $1 OFFSET $2;

SELECT package FROM packages LIMIT 0;

SELECT count(*) FROM (SELECT 1 FROM depends LIMIT 1000) AS x;

-- @ordered
SELECT package FROM packages WHERE essential ORDER BY md5(package);

-- @ordered
SELECT essential, architecture, package FROM packages WHERE priority = 'required' ORDER BY essential DESC, architecture, package;

-- ===== joins on the distribution column =====

SELECT p.section, d.kind, count(*) FROM packages p JOIN depends d USING (package) WHERE p.priority = 'important' GROUP BY 1, 2;

SELECT count(*), count(d.depends_on), count(DISTINCT p.package) FROM packages p LEFT JOIN depends d ON p.package = d.package AND d.kind = 'conflicts';

SELECT count(*), count(p.package), count(t.package) FROM packages p FULL JOIN tags t ON p.package = t.package AND t.tag LIKE 'role::%';

SELECT count(*) FROM packages p RIGHT JOIN depends d ON d.package = p.package AND p.essential WHERE p.package IS NULL;

SELECT count(*) FROM packages p, depends d, tags t WHERE p.package = d.package AND t.package = d.package AND t.tag = 'role::program' AND d.kind = 'recommends';

SELECT count(*) FROM packages a NATURAL JOIN tags b;

SELECT p.package, x.n FROM packages p JOIN LATERAL (SELECT count(*) AS n FROM depends d WHERE d.package = p.package AND d.kind = 'suggests') AS x ON x.n > 15;

SELECT p.package FROM packages p WHERE EXISTS (SELECT FROM depends d WHERE d.package = p.package AND d.kind = 'breaks') AND NOT EXISTS (SELECT FROM tags t WHERE t.package = p.package) AND p.section = 'admin';

SELECT count(*) FROM packages WHERE package IN (SELECT package FROM tags WHERE tag = 'interface::commandline');

SELECT count(*) FROM packages WHERE package NOT IN (SELECT package FROM tags);

SELECT p.package, (SELECT max(depends_on) FROM depends d WHERE d.package = p.package) AS last FROM packages p WHERE p.essential;

-- @ordered
SELECT p.package, t.tags FROM packages p JOIN (SELECT package, array_agg(tag ORDER BY tag) AS tags FROM tags GROUP BY package) AS t USING (package) WHERE p.section = 'shells' ORDER BY 1;

-- ===== reference and local tables =====

SELECT s.area, count(*), sum(p.size_bytes) FROM packages p JOIN sections s USING (section) GROUP BY s.area;

SELECT s.section, count(p.package) FROM sections s LEFT JOIN packages p ON p.section = s.section AND p.essential GROUP BY s.section;

SELECT count(*), count(s.section) FROM packages p LEFT JOIN sections s ON s.section = p.section AND s.area = 'code';

SELECT s.section FROM sections s WHERE NOT EXISTS (SELECT 1 FROM packages p WHERE p.section = s.section AND p.priority = 'required');

SELECT s.section FROM sections s WHERE s.section IN (SELECT section FROM packages WHERE essential);

SELECT count(*), count(p.package), count(s.section) FROM packages p FULL JOIN sections s ON p.section = s.section AND p.essential;

SELECT n.package, n.note, p.version FROM notes n JOIN packages p ON p.package = n.package;

SELECT n.package, n.note, p.version FROM notes n LEFT JOIN packages p ON p.package = n.package;

SELECT n.package, n.note FROM notes n WHERE n.package NOT IN (SELECT package FROM packages);

SELECT p.package, p.section FROM packages p WHERE p.package IN (SELECT package FROM notes);

SELECT s.section, n.note FROM sections s, notes n WHERE n.note = s.section;

SELECT n.note, count(*) FROM notes n CROSS JOIN sections s GROUP BY n.note;

SELECT p.section, n.note, s.area, count(*) FROM packages p JOIN notes n ON n.note = p.section JOIN sections s ON s.section = p.section GROUP BY 1, 2, 3;

-- ===== joins on other columns =====

SELECT p.section, count(*) FROM depends d JOIN packages p ON p.package = d.depends_on WHERE d.kind = 'pre-depends' GROUP BY p.section;

SELECT p.package, count(d.package) AS users FROM packages p JOIN depends d ON d.depends_on = p.package GROUP BY p.package HAVING count(*) > 3000;

SELECT count(*) FROM depends d LEFT JOIN packages p ON d.depends_on = p.package WHERE p.package IS NULL AND d.kind = 'depends';

SELECT count(*) FROM depends d WHERE NOT EXISTS (SELECT 1 FROM packages p WHERE p.package = d.depends_on);

SELECT count(DISTINCT d.depends_on) FROM depends d WHERE d.depends_on IN (SELECT package FROM packages WHERE section = 'libs');

SELECT count(*) FROM packages p WHERE NOT EXISTS (SELECT 1 FROM depends d WHERE d.depends_on = p.package);

SELECT a.section, b.section, count(*) FROM packages a JOIN depends d ON d.package = a.package JOIN packages b ON b.package = d.depends_on WHERE a.section = 'games' AND d.kind = 'recommends' GROUP BY 1, 2;

SELECT a.package, b.package FROM packages a JOIN packages b ON a.source = b.source AND a.package < b.package WHERE a.section = 'shells';

SELECT a.kind, count(*) FROM depends a JOIN depends b ON a.package = b.depends_on AND a.depends_on = b.package GROUP BY a.kind;

SELECT count(*) FROM packages a FULL JOIN packages b ON a.source = b.package WHERE a.package IS NULL OR b.package IS NULL;

SELECT p.package, (SELECT count(*) FROM depends d WHERE d.depends_on = p.package) AS users FROM packages p WHERE p.section = 'shells';

SELECT package FROM packages WHERE size_bytes > (SELECT 500 * avg(size_bytes) FROM packages);

SELECT package FROM packages WHERE size_bytes = (SELECT max(size_bytes) FROM packages) OR size_bytes = (SELECT min(size_bytes) FROM packages);

SELECT section, count(*) FROM packages p WHERE priority = 'important' AND size_bytes > (SELECT 2 * avg(q.size_bytes) FROM packages q WHERE q.section = p.section) GROUP BY section;

-- @ordered
SELECT p.package, t.tag FROM tags t JOIN packages p ON p.source = t.package WHERE t.tag = 'devel::lang:perl' ORDER BY 1, 2 LIMIT 30;

-- ===== CTEs =====

WITH big AS (SELECT package, section, size_bytes FROM packages WHERE size_bytes > 100000000) SELECT section, count(*), sum(size_bytes) FROM big GROUP BY section;

WITH n AS (SELECT depends_on, count(*) AS users FROM depends GROUP BY depends_on) SELECT a.depends_on, a.users FROM n a WHERE a.users > (SELECT 500 * avg(users) FROM n);

WITH a AS MATERIALIZED (SELECT package FROM tags WHERE tag = 'implemented-in::c'), b AS NOT MATERIALIZED (SELECT package FROM tags WHERE tag = 'implemented-in::python')
SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b), (SELECT count(*) FROM a JOIN b USING (package));

WITH x(letter, n) AS (SELECT left(package, 1), count(*) FROM packages GROUP BY 1), y AS (SELECT max(n) AS n FROM x) SELECT letter, n FROM x NATURAL JOIN y;

-- The dependency closure of one package.
WITH RECURSIVE closure(package) AS (
  SELECT 'bash'::text
  UNION
  SELECT d.depends_on FROM closure c JOIN depends d ON d.package = c.package WHERE d.kind IN ('depends', 'pre-depends')
) SELECT c.package, p.version FROM closure c LEFT JOIN packages p ON p.package = c.package;

-- @ordered
WITH RECURSIVE closure(package, depth) AS (
  SELECT package, 0 FROM packages WHERE package = 'apt'
  UNION
  SELECT d.depends_on, c.depth + 1 FROM closure c, depends d WHERE d.package = c.package AND d.kind = 'depends' AND c.depth < 3
) SELECT depth, count(DISTINCT package), min(package) FROM closure GROUP BY depth ORDER BY depth;

WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT t.n, count(p.package) FROM t LEFT JOIN packages p ON length(p.package) = t.n GROUP BY t.n;

-- ===== windows =====

-- @ordered
SELECT package, tag, row_number() OVER (PARTITION BY package ORDER BY tag), count(*) OVER (PARTITION BY package) FROM tags WHERE package LIKE 'ba%' ORDER BY 1, 2;

-- @ordered
SELECT section, package, size_bytes, rank() OVER (PARTITION BY section ORDER BY size_bytes DESC) AS r, sum(size_bytes) OVER (PARTITION BY section ORDER BY size_bytes DESC, package ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
FROM packages WHERE priority = 'important' ORDER BY section, r, package;

-- @ordered
SELECT * FROM (SELECT section, package, size_bytes, row_number() OVER w AS n, lag(package) OVER w, first_value(package) OVER w FROM packages WINDOW w AS (PARTITION BY section ORDER BY size_bytes DESC, package)) AS x WHERE n <= 2 ORDER BY section, n;

-- @ordered
SELECT section, count(*), sum(count(*)) OVER (ORDER BY section), rank() OVER (ORDER BY count(*) DESC, section) FROM packages GROUP BY section ORDER BY section;

-- @ordered
SELECT package, size_bytes, ntile(4) OVER (ORDER BY size_bytes, package), dense_rank() OVER (ORDER BY priority) FROM packages WHERE section = 'shells' ORDER BY package;

SELECT section, max(n) FROM (SELECT section, count(*) OVER (PARTITION BY source) AS n FROM packages WHERE section IN ('kernel', 'libs')) AS x GROUP BY section;

-- ===== set operations =====

SELECT package FROM packages WHERE essential UNION SELECT depends_on FROM depends WHERE package = 'bash';

SELECT section FROM packages UNION ALL SELECT section FROM sections WHERE section LIKE 'g%' ORDER BY 1 LIMIT 5;

SELECT package FROM tags WHERE tag = 'role::program' INTERSECT SELECT package FROM packages WHERE section = 'games' AND size_bytes > 50000000;

SELECT count(*) FROM (SELECT depends_on FROM depends EXCEPT SELECT package FROM packages) AS missing;

SELECT count(*) FROM (SELECT package FROM packages EXCEPT ALL SELECT package FROM tags) AS x;

SELECT 'packages' AS what, count(*) FROM packages UNION ALL SELECT 'depends', count(*) FROM depends UNION ALL SELECT 'tags', count(*) FROM tags;

(SELECT package FROM packages ORDER BY size_bytes DESC, package LIMIT 2) UNION ALL (SELECT package FROM packages ORDER BY size_bytes, package LIMIT 2);

SELECT section FROM sections EXCEPT SELECT section FROM packages WHERE essential;

-- ===== NULLs, casts, expressions =====

SELECT count(*) FROM depends WHERE relation IS NULL;

SELECT relation, count(*), count(relation), count(version) FROM depends GROUP BY relation;

SELECT count(*) FROM depends WHERE NOT (relation = '>=') OR (version > '9') IS UNKNOWN;

SELECT count(*), coalesce(version, 'none') FROM depends WHERE kind = 'breaks' GROUP BY 2 HAVING count(*) > 100;

SELECT count(*) FROM depends a JOIN depends b ON a.package = b.package AND a.version = b.version AND a.relation IS NOT DISTINCT FROM b.relation WHERE a.kind = 'conflicts';

SELECT package, size_bytes::text || ' bytes', size_bytes::numeric(20, 2), (size_bytes % 100)::int2, essential::int, version::varchar(5), package::char(3) FROM packages WHERE essential;

SELECT package FROM packages WHERE summary ILIKE '%database server%' AND summary ~* '^object';

SELECT section, nullif(count(*) FILTER (WHERE essential), 0), greatest(max(size_bytes), 5), round(avg(size_bytes) / 3, 3) FROM packages GROUP BY section;

SELECT package, regexp_split_to_array(version, '[.-]') FROM packages WHERE priority = 'required' AND (regexp_match(version, '^\d+'))[1]::int > 5;

SELECT unnest(string_to_array(package, '-')) AS part, count(*) FROM packages WHERE section = 'games' GROUP BY part HAVING count(*) > 20;

SELECT p.package, x FROM packages p, unnest(string_to_array(p.package, '-')) WITH ORDINALITY AS u(x, n) WHERE n = 4 AND p.section = 'utils';

SELECT to_jsonb(p) - 'summary' FROM packages p WHERE p.essential;

SELECT p FROM packages p WHERE package = 'tar';

SELECT row(package, section)::text, array[package, section] FROM packages WHERE essential;

SELECT json_build_object('name', package, 'size', size_bytes) ->> 'name' AS name FROM packages WHERE priority = 'required';

SELECT date_trunc('day', now()) <= now(), count(*) FROM packages WHERE now() > '2000-01-01'::timestamptz GROUP BY 1;

SELECT count(*) FROM (SELECT package, random() AS r FROM packages) AS x WHERE r >= 0 AND r < 1;

SELECT count(DISTINCT now()), count(DISTINCT statement_timestamp()) FROM depends;

-- ===== views =====

CREATE VIEW essential_packages AS SELECT package, section, size_bytes FROM packages WHERE essential;

SELECT * FROM essential_packages;

SELECT e.section, count(*), max(d.depends_on) FROM essential_packages e JOIN depends d USING (package) GROUP BY e.section;

CREATE VIEW popularity AS SELECT depends_on AS package, count(*) AS users FROM depends GROUP BY depends_on;

-- @ordered
SELECT * FROM popularity ORDER BY users DESC, package LIMIT 10;

SELECT p.package, v.users FROM packages p JOIN popularity v USING (package) WHERE p.essential;

DROP VIEW popularity, essential_packages;

-- ===== writes =====

INSERT INTO packages (package, section, priority, essential, size_bytes) VALUES ('aaa-one', 'games', 'extra', false, 1), ('aaa-two', 'games', 'extra', NULL, 2), ('aaa-three', 'net', 'extra', true, 3) RETURNING package, section, essential, source;

INSERT INTO packages (package, section) VALUES ('aaa-one', 'net');

INSERT INTO packages (package, section) VALUES ('aaa-one', 'net'), ('aaa-four', 'net') ON CONFLICT (package) DO UPDATE SET section = excluded.section, summary = packages.section RETURNING package, section, summary;

INSERT INTO packages (package) VALUES ('aaa-one'), ('aaa-five') ON CONFLICT DO NOTHING RETURNING *;

-- @params aaa-six | 6
INSERT INTO packages (package, size_bytes) VALUES ($1, $2) RETURNING package, size_bytes;

UPDATE packages SET size_bytes = size_bytes * 2 + 1, summary = upper(package) WHERE package = 'aaa-two' RETURNING *;

UPDATE packages SET priority = 'none' WHERE priority = 'extra' AND package LIKE 'aaa-%' RETURNING package, priority;

UPDATE packages p SET summary = s.area FROM sections s WHERE s.section = p.section AND p.package LIKE 'aaa-%' RETURNING p.package, p.summary, s.section;

UPDATE packages SET installed_size_kb = (SELECT max(installed_size_kb) FROM packages) WHERE package LIKE 'aaa-t%';

UPDATE packages p SET summary = 'depended on' WHERE p.section = 'shells' AND EXISTS (SELECT 1 FROM depends d WHERE d.depends_on = p.package AND d.kind = 'pre-depends') RETURNING package;

DELETE FROM tags t USING packages p WHERE p.package = t.package AND p.section = 'shells' AND t.tag LIKE 'suite::%' RETURNING t.package, t.tag;

INSERT INTO tags SELECT package, 'new::' || section FROM packages WHERE priority IN ('required', 'none');

SELECT tag, count(*) FROM tags WHERE tag LIKE 'new::%' GROUP BY tag;

INSERT INTO tags SELECT depends_on, 'used-by::' || kind FROM depends WHERE package = 'bash' ON CONFLICT DO NOTHING;

INSERT INTO notes SELECT package, 'copied' FROM packages WHERE package LIKE 'aaa-%';

INSERT INTO sections (section, area) SELECT 'new-' || section, 'new' FROM sections WHERE section LIKE 'g%';

SELECT * FROM sections WHERE area = 'new';

UPDATE sections SET area = upper(area) WHERE area = 'new' RETURNING *;

DELETE FROM sections WHERE area = 'NEW';

DELETE FROM packages WHERE package LIKE 'aaa-%' RETURNING package, section, priority, essential, installed_size_kb, size_bytes, summary;

DELETE FROM packages WHERE package IN ('bash', 'no-such-package') RETURNING package;

BEGIN;

WITH gone AS (DELETE FROM tags WHERE tag LIKE 'new::%' RETURNING package, tag) SELECT tag, count(*) FROM gone GROUP BY tag;

ROLLBACK;

SELECT count(*), count(DISTINCT package) FROM tags;

-- @code
INSERT INTO packages (section) VALUES ('nowhere');

UPDATE packages SET size_bytes = 1 / (size_bytes - size_bytes) WHERE section = 'shells';

SELECT package, 1 / (size_bytes - size_bytes) FROM packages;

SELECT no_such_column FROM packages;

SELECT section, count(*) FROM packages;

-- @code
SELECT package::int FROM packages;

-- ===== transactions =====

BEGIN;

DELETE FROM depends WHERE kind = 'enhances';

SELECT kind, count(*) FROM depends GROUP BY kind;

INSERT INTO tags VALUES ('bash', 'in-transaction::yes'), ('zsh', 'in-transaction::yes');

SAVEPOINT a;

UPDATE packages SET section = 'everything';

SELECT section, count(*) FROM packages GROUP BY section;

INSERT INTO sections VALUES ('everything', 'all');

ROLLBACK TO SAVEPOINT a;

SELECT count(DISTINCT section) FROM packages;

SELECT * FROM tags WHERE tag LIKE 'in-transaction::%';

SELECT 1 / 0;

SELECT count(*) FROM packages;

ROLLBACK;

SELECT kind, count(*) FROM depends GROUP BY kind;

BEGIN; UPDATE packages SET summary = 'changed' WHERE section = 'shells'; DELETE FROM notes; COMMIT;

SELECT count(*) FROM packages WHERE summary = 'changed';

BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

SELECT count(*) FROM packages;

DELETE FROM packages WHERE package = 'zsh';

COMMIT;

SELECT count(*) FROM packages; SELECT count(*) FROM depends; SELECT count(*) FROM tags WHERE package = 'zsh';

UPDATE packages SET summary = 'twice' WHERE section = 'shells'; INSERT INTO packages (package) VALUES ('zsh'); DELETE FROM packages;

SELECT count(*), count(*) FILTER (WHERE summary = 'twice') FROM packages;

-- ===== temporary tables =====

CREATE TEMPORARY TABLE wanted (package text PRIMARY KEY, weight int);

INSERT INTO wanted VALUES ('zsh', 1), ('dash', 2), ('no-such-package', 3);

SELECT w.weight, p.package, p.section FROM wanted w JOIN packages p USING (package);

SELECT w.weight, w.package, p.section FROM wanted w LEFT JOIN packages p USING (package);

INSERT INTO wanted SELECT package, 10 FROM packages WHERE section = 'shells' ON CONFLICT (package) DO UPDATE SET weight = wanted.weight + excluded.weight;

SELECT * FROM wanted;

UPDATE packages SET summary = 'wanted' WHERE package IN (SELECT package FROM wanted);

SELECT count(*) FROM packages WHERE summary = 'wanted';

CREATE TEMPORARY TABLE counted AS SELECT section, count(*) AS n FROM packages GROUP BY section;

SELECT count(*), sum(n) FROM counted;

DROP TABLE wanted, counted;

-- ===== prepared statements in SQL =====

PREPARE lookup(text) AS SELECT package, section FROM packages WHERE package = $1;

EXECUTE lookup('zsh');

EXECUTE lookup('dash');

PREPARE counts(text, bigint) AS SELECT section, count(*) FROM packages WHERE priority = $1 AND size_bytes > $2 GROUP BY section;

EXECUTE counts('required', 100000);

DEALLOCATE ALL;

-- ===== cursors =====

BEGIN;

DECLARE c CURSOR FOR SELECT package FROM packages WHERE priority = 'required' ORDER BY package;

-- @ordered
FETCH 5 FROM c;

-- @ordered
FETCH ALL FROM c;

CLOSE c;

COMMIT;
