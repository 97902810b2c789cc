-- Prepared statements with parameters anywhere, over tables that change under them.

CREATE TABLE d (k int NOT NULL, v int, t text);
CREATE TABLE e (k int NOT NULL, v bigint);
CREATE TABLE x (b text NOT NULL, v int);
CREATE TABLE r (id int PRIMARY KEY, name text);

-- @gateway
SELECT create_distributed_table('d', 'k', shard_count => 6);
-- @gateway
SELECT create_distributed_table('e', 'k', colocate_with => 'd');
-- @gateway
SELECT create_distributed_table('x', 'b', shard_count => 4);
-- @gateway
SELECT create_reference_table('r');

INSERT INTO d SELECT g, g % 7, chr(97 + g % 5) FROM generate_series(1, 40) AS g;
INSERT INTO e SELECT g % 20, g FROM generate_series(1, 50) AS g;
INSERT INTO x SELECT chr(97 + g % 6), g % 8 FROM generate_series(1, 30) AS g;
INSERT INTO r SELECT g, 'r' || g FROM generate_series(1, 8) AS g;

PREPARE by_key (int) AS SELECT k, v FROM d WHERE k = $1;
PREPARE by_wide_key (bigint) AS SELECT k, v FROM d WHERE k = $1;
PREPARE by_numeric (numeric) AS SELECT k, v FROM d WHERE k = $1;
PREPARE by_keys (int[]) AS SELECT k, v FROM d WHERE k = ANY ($1);
PREPARE in_list (int, int) AS SELECT k FROM d WHERE k IN ($1, $2, 7) OR k = $2 + 1;
PREPARE joined (int, text) AS SELECT d.k, e.v, $2 || d.t FROM d JOIN e USING (k) WHERE d.k = $1 OR d.t = $2;
PREPARE moved (int) AS SELECT d.k, x.b FROM d JOIN x ON d.v = x.v + $1;
PREPARE limited (int, int) AS SELECT k FROM d ORDER BY k LIMIT $1 OFFSET $2;
PREPARE grouped (int) AS SELECT v % $1, count(*), $1 FROM d GROUP BY v % $1;
PREPARE having_it (bigint) AS SELECT t, count(*) FROM d GROUP BY t HAVING count(*) > $1;
PREPARE nested (int) AS SELECT r.id, (SELECT count(*) FROM d WHERE d.v = r.id AND d.k > $1) FROM r;
PREPARE cte (int) AS WITH q AS (SELECT v, count(*) AS n FROM d WHERE k < $1 GROUP BY v) SELECT a.n, b.v FROM q AS a JOIN q AS b ON a.v = b.v;
PREPARE setop (int) AS SELECT k FROM d WHERE k = $1 UNION ALL SELECT v FROM x WHERE v = $1;
PREPARE whole AS SELECT * FROM d WHERE k = 5;
PREPARE nothing (int) AS SELECT $1 AS a, k FROM d WHERE false;
EXECUTE by_key (5);
EXECUTE by_key (6);
EXECUTE by_key (7);
EXECUTE by_key (8);
EXECUTE by_key (9);
EXECUTE by_key (10);
EXECUTE by_key (11);
EXECUTE by_key (NULL);
EXECUTE by_key ('12');
EXECUTE by_key (1 + 2);
EXECUTE by_wide_key (5);
EXECUTE by_wide_key (99999999999);
EXECUTE by_numeric (5.0);
EXECUTE by_numeric (5.5);
EXECUTE by_keys ('{1,2,NULL,39}');
EXECUTE by_keys ('{}');
EXECUTE by_keys (NULL);
EXECUTE in_list (3, 4);
EXECUTE in_list (NULL, 4);
EXECUTE joined (3, 'a');
EXECUTE moved (1);
EXECUTE moved (2);
-- @ordered
EXECUTE limited (4, 3);
-- @ordered
EXECUTE limited (NULL, 36);
EXECUTE limited (-1, 0);
EXECUTE grouped (3);
EXECUTE grouped (0);
EXECUTE having_it (7);
EXECUTE nested (20);
EXECUTE cte (30);
EXECUTE setop (5);
EXECUTE whole;
EXECUTE nothing (3);

-- generic and custom plans

SET plan_cache_mode = force_generic_plan;
EXECUTE by_key (5);
EXECUTE by_keys ('{4,5,6}');
EXECUTE moved (1);
SET plan_cache_mode = force_custom_plan;
EXECUTE by_key (6);
EXECUTE nested (10);
RESET plan_cache_mode;

-- a column is added, renamed, dropped; an index comes

ALTER TABLE d ADD COLUMN extra int DEFAULT 3;
EXECUTE by_key (5);
EXECUTE moved (1);
EXECUTE whole;
ALTER TABLE d RENAME COLUMN t TO tt;
EXECUTE by_key (6);
ALTER TABLE d RENAME COLUMN tt TO t;
EXECUTE joined (4, 'b');
ALTER TABLE d DROP COLUMN extra;
EXECUTE whole;
CREATE INDEX ON d (v);
EXECUTE nested (15);
ALTER TABLE d ALTER v TYPE bigint;
EXECUTE having_it (6);
EXECUTE by_key (5);

-- tables are distributed otherwise

-- @gateway
SELECT alter_distributed_table('x', shard_count => 7);
EXECUTE moved (1);
EXECUTE setop (4);
-- @gateway
SELECT alter_distributed_table('d', distribution_column => 'v');
EXECUTE by_wide_key (5);
EXECUTE joined (5, 'c');
EXECUTE nested (3);
EXECUTE by_keys ('{7,8,9}');
-- @gateway
SELECT undistribute_table('x');
EXECUTE moved (2);
EXECUTE setop (5);
-- @gateway
SELECT create_reference_table('x');
EXECUTE moved (2);
EXECUTE cte (25);

-- shards move

-- @gateway
SELECT citus_move_shard_placement(p.shardid, o.nodename, o.nodeport, n.nodename, n.nodeport, 'block_writes') FROM pg_dist_shard AS s JOIN pg_dist_placement AS p USING (shardid) JOIN pg_dist_node AS o USING (groupid), pg_dist_node AS n WHERE s.logicalrelid = 'd'::regclass AND n.groupid > 0 AND n.nodeid <> o.nodeid;
EXECUTE by_wide_key (5);
EXECUTE by_wide_key (6);
EXECUTE nested (3);
EXECUTE moved (2);
EXECUTE by_keys ('{7,8,9}');
