-- Distribution columns of many types: where rows go, and which conditions find them.

CREATE TABLE k_int (k int PRIMARY KEY, v text);
CREATE TABLE k_small (k smallint PRIMARY KEY, v text);
CREATE TABLE k_big (k bigint PRIMARY KEY, v text);
CREATE TABLE k_text (k text PRIMARY KEY, v text);
CREATE TABLE k_varchar (k varchar(5) PRIMARY KEY, v text);
CREATE TABLE k_char (k char(5) PRIMARY KEY, v text);
CREATE TABLE k_c (k text COLLATE "C" PRIMARY KEY, v text);
CREATE TABLE k_uuid (k uuid PRIMARY KEY, v text);
CREATE TABLE k_date (k date PRIMARY KEY, v text);
CREATE TABLE k_ts (k timestamp PRIMARY KEY, v text);
CREATE TABLE k_ts0 (k timestamp(0) PRIMARY KEY, v text);
CREATE TABLE k_tz (k timestamptz PRIMARY KEY, v text);
CREATE TABLE k_num (k numeric PRIMARY KEY, v text);
CREATE TABLE k_num1 (k numeric(6,1) PRIMARY KEY, v text);
CREATE TABLE k_bool (k boolean PRIMARY KEY, v text);
CREATE TYPE colour AS ENUM ('red', 'green', 'blue');
CREATE TABLE k_enum (k colour PRIMARY KEY, v text);
CREATE DOMAIN short AS varchar(4);
CREATE TABLE k_domain (k short PRIMARY KEY, v text);
CREATE TABLE k_float (k float8 PRIMARY KEY, v text);
CREATE TABLE k_bytea (k bytea PRIMARY KEY, v text);
CREATE TABLE k_inet (k inet PRIMARY KEY, v text);
CREATE TABLE k_interval (k interval PRIMARY KEY, v text);
CREATE TABLE k_array (k int[] PRIMARY KEY, v text);
CREATE TABLE k_jsonb (k jsonb PRIMARY KEY, v text);
CREATE TABLE k_name (k name PRIMARY KEY, v text);
CREATE TABLE k_qchar (k "char" PRIMARY KEY, v text);
CREATE TABLE k_oid (k oid PRIMARY KEY, v text);
CREATE TABLE k_time (k time PRIMARY KEY, v text);
CREATE TABLE k_range (k int4range PRIMARY KEY, v text);
CREATE TABLE k_mac (k macaddr PRIMARY KEY, v text);

-- @gateway
SELECT create_distributed_table('k_int', 'k');
-- @gateway
SELECT create_distributed_table('k_small', 'k');
-- @gateway
SELECT create_distributed_table('k_big', 'k');
-- @gateway
SELECT create_distributed_table('k_text', 'k');
-- @gateway
SELECT create_distributed_table('k_varchar', 'k');
-- @gateway
SELECT create_distributed_table('k_char', 'k');
-- @gateway
SELECT create_distributed_table('k_c', 'k');
-- @gateway
SELECT create_distributed_table('k_uuid', 'k');
-- @gateway
SELECT create_distributed_table('k_date', 'k');
-- @gateway
SELECT create_distributed_table('k_ts', 'k');
-- @gateway
SELECT create_distributed_table('k_ts0', 'k');
-- @gateway
SELECT create_distributed_table('k_tz', 'k');
-- @gateway
SELECT create_distributed_table('k_num', 'k');
-- @gateway
SELECT create_distributed_table('k_num1', 'k');
-- @gateway
SELECT create_distributed_table('k_bool', 'k');
-- @gateway
SELECT create_distributed_table('k_enum', 'k');
-- @gateway
SELECT create_distributed_table('k_domain', 'k');
-- @gateway
SELECT create_distributed_table('k_float', 'k');
-- @gateway
SELECT create_distributed_table('k_bytea', 'k');
-- @gateway
SELECT create_distributed_table('k_inet', 'k');
-- @gateway
SELECT create_distributed_table('k_interval', 'k');
-- @gateway
SELECT create_distributed_table('k_array', 'k');
-- @gateway
SELECT create_distributed_table('k_jsonb', 'k');
-- @gateway
SELECT create_distributed_table('k_name', 'k');
-- @gateway
SELECT create_distributed_table('k_qchar', 'k');
-- @gateway
SELECT create_distributed_table('k_oid', 'k');
-- @gateway
SELECT create_distributed_table('k_time', 'k');
-- @gateway
SELECT create_distributed_table('k_range', 'k');
-- @gateway
SELECT create_distributed_table('k_mac', 'k');

-- integers

INSERT INTO k_int VALUES (1, 'one'), (2, 'two'), (-3, 'minus three'), (0, 'zero'), (2147483647, 'most'), (-2147483648, 'least'), (7, 'seven');
INSERT INTO k_int VALUES ('8', 'eight'), (9.4, 'nine'), (2.5 + 7.6, 'ten'), (5 + 6, 'eleven'), ('12'::text::int, 'twelve'), (13::bigint, 'thirteen'), (length('fourteen......'), 'fourteen'), (1.5e1, 'fifteen');
-- @params 16
INSERT INTO k_int VALUES ($1, 'sixteen');
-- @params 17
INSERT INTO k_int VALUES ($1::bigint + 1, 'eighteen');
INSERT INTO k_int VALUES ((SELECT 19), 'nineteen'), (abs(-20), 'twenty');
INSERT INTO k_int VALUES (1, 'again');
-- @code
INSERT INTO k_int VALUES (2147483648, 'too big');
INSERT INTO k_int VALUES ('x', 'not a number');
-- @code
INSERT INTO k_int VALUES (NULL, 'nothing');
-- @code
INSERT INTO k_int (v) VALUES ('nothing');
-- @code
INSERT INTO k_int VALUES (1.5);
SELECT * FROM k_int;
SELECT v FROM k_int WHERE k = 1;
SELECT v FROM k_int WHERE k = '1';
SELECT v FROM k_int WHERE k = 1.0;
SELECT v FROM k_int WHERE k = 1.5;
SELECT v FROM k_int WHERE k = 1::bigint;
SELECT v FROM k_int WHERE k = 1::numeric;
SELECT v FROM k_int WHERE k = 1::float8;
SELECT v FROM k_int WHERE k = 1::smallint;
SELECT v FROM k_int WHERE k = 99999999999;
SELECT v FROM k_int WHERE k = -3;
SELECT v FROM k_int WHERE k = - 3;
SELECT v FROM k_int WHERE k = -(3);
SELECT v FROM k_int WHERE k = -(-7);
SELECT v FROM k_int WHERE -3 = k;
SELECT v FROM k_int WHERE k = +7;
SELECT v FROM k_int WHERE k = 5 + 2;
SELECT v FROM k_int WHERE k + 0 = 7;
SELECT v FROM k_int WHERE k = abs(-7);
SELECT v FROM k_int WHERE k = (SELECT 7);
SELECT v FROM k_int WHERE k = (SELECT max(k) FROM k_int WHERE k < 8);
SELECT v FROM k_int WHERE k = 7 AND k = 8;
SELECT v FROM k_int WHERE k = 7 OR k = 8;
SELECT v FROM k_int WHERE (k = 7 OR k = 8) AND (k = 8 OR k = 9);
SELECT v FROM k_int WHERE k = 7 OR v = 'two';
SELECT v FROM k_int WHERE NOT (k <> 7);
SELECT v FROM k_int WHERE NOT (k = 7);
SELECT v FROM k_int WHERE k IN (1, 2, NULL);
SELECT v FROM k_int WHERE k NOT IN (1, 2);
SELECT v FROM k_int WHERE k NOT IN (1, 2, NULL);
SELECT v FROM k_int WHERE k IN ('1', '2');
SELECT v FROM k_int WHERE k IN (1, 2.0, 7);
SELECT v FROM k_int WHERE k IN (1, 99999999999);
SELECT v FROM k_int WHERE k = ANY ('{1,2,2,NULL}');
SELECT v FROM k_int WHERE k = ANY (ARRAY[1, 7]);
SELECT v FROM k_int WHERE k = ANY (ARRAY[1, 7]::bigint[]);
SELECT v FROM k_int WHERE k = ALL (ARRAY[7, 7]);
SELECT v FROM k_int WHERE k = ANY (VALUES (1), (7));
SELECT v FROM k_int WHERE k <> ALL ('{1,2}');
SELECT v FROM k_int WHERE (k, v) = (7, 'seven');
SELECT v FROM k_int WHERE (k, v) IN ((7, 'seven'), (8, 'nine'), (1, 'one'));
SELECT v FROM k_int WHERE ROW(k) = ROW(7);
SELECT v FROM k_int WHERE k IS NOT DISTINCT FROM 7;
SELECT v FROM k_int WHERE k IS NOT DISTINCT FROM NULL;
SELECT v FROM k_int WHERE k = NULL;
SELECT v FROM k_int WHERE k IS NULL;
SELECT v FROM k_int WHERE k BETWEEN 7 AND 7;
SELECT v FROM k_int WHERE k BETWEEN SYMMETRIC 9 AND 7;
SELECT v FROM k_int WHERE k >= 7 AND k <= 7;
SELECT v FROM k_int WHERE k = CASE WHEN true THEN 7 ELSE 8 END;
SELECT v FROM k_int WHERE CASE WHEN k = 7 THEN true ELSE false END;
SELECT v FROM k_int WHERE k = 7 IS TRUE;
SELECT v FROM k_int WHERE (k = 7) = true;
SELECT v FROM k_int WHERE k = 7 AND random() < 2;
SELECT v FROM k_int WHERE k = (random() * 0)::int + 7;
SELECT v FROM k_int WHERE k = extract(year FROM now())::int - extract(year FROM now())::int;
SELECT v FROM k_int WHERE k OPERATOR(pg_catalog.=) 7;
SELECT v FROM k_int WHERE k = 'seven'::text::int;
-- @code
SELECT v FROM k_int WHERE k = 'x';
SELECT v FROM k_int WHERE false;
SELECT v FROM k_int WHERE k = 7 AND false;
SELECT v FROM k_int WHERE k = coalesce(NULL, 7);
SELECT count(*) FROM k_int a JOIN k_int b ON a.k = b.k WHERE a.k = 7;
SELECT count(*) FROM k_int a JOIN k_int b ON a.k = b.k WHERE a.k = 7 AND b.k = 8;
SELECT a.v, b.v FROM k_int a LEFT JOIN k_int b ON a.k = b.k AND b.k = 8 WHERE a.k = 7;
SELECT a.v, b.v FROM k_int a LEFT JOIN k_int b ON b.k = 8 WHERE a.k = 7;
SELECT a.v, b.v FROM k_int a FULL JOIN k_int b ON a.k = b.k AND a.k = 7 WHERE b.k = 8;
SELECT a.v, b.v FROM k_int a LEFT JOIN k_int b ON a.k = b.k AND a.k = 7;
-- @params 7
SELECT v FROM k_int WHERE k = $1;
-- @params 7
SELECT v FROM k_int WHERE k = $1::bigint;
-- @params 7
SELECT v FROM k_int WHERE k = $1::numeric;
-- @params 7.5
SELECT v FROM k_int WHERE k = $1::numeric;
-- @params 7
SELECT v FROM k_int WHERE k = $1::text::int;
-- @params 6
SELECT v FROM k_int WHERE k = $1 + 1;
-- @params {7,8}
SELECT v FROM k_int WHERE k = ANY ($1);
-- @params 7 | 8
SELECT v FROM k_int WHERE k IN ($1, $2);
-- @params 3
SELECT v FROM k_int WHERE k = - $1;
-- @params 3
SELECT v FROM k_int WHERE k = -$1::int;
-- @params x
SELECT v FROM k_int WHERE k = $1;

INSERT INTO k_small VALUES (1, 'one'), ('2', 'two'), (-3, 'minus three'), (4.4, 'four'), (32767, 'most');
-- @code
INSERT INTO k_small VALUES (32768, 'too big');
SELECT v FROM k_small WHERE k = 1;
SELECT v FROM k_small WHERE k = 1::bigint;
SELECT v FROM k_small WHERE k = 99999;
SELECT v FROM k_small WHERE k = 4.0;
SELECT a.v, b.v FROM k_small a JOIN k_int b ON a.k = b.k;
SELECT a.v, b.v FROM k_small a JOIN k_big b USING (k);

INSERT INTO k_big VALUES (1, 'one'), (2147483648, 'more'), (-9223372036854775808, 'least'), (9223372036854775807, 'most'), (-1, 'minus one'), (-2147483649, 'less');
SELECT v FROM k_big WHERE k = 1;
SELECT v FROM k_big WHERE k = -1;
SELECT v FROM k_big WHERE k = 2147483648;
SELECT v FROM k_big WHERE k = -2147483649;
SELECT v FROM k_big WHERE k = -9223372036854775808;
SELECT v FROM k_big WHERE k = 9223372036854775808;
SELECT a.v, b.v FROM k_int a JOIN k_big b ON a.k = b.k;

-- text

INSERT INTO k_text VALUES ('', 'empty'), ('a', 'a'), ('A', 'A'), ('a ', 'a space'), ('ä', 'umlaut'), (E'tab\there', 'tab'), ('it''s', 'quote'), (E'back\\slash', 'slash'), (5, 'five'), ('日本', 'japan'), (E'\U0001F600', 'smile'), (repeat('long', 1000), 'long');
SELECT v, length(k) FROM k_text;
SELECT v FROM k_text WHERE k = '';
SELECT v FROM k_text WHERE k = 'a';
SELECT v FROM k_text WHERE k = 'a'::varchar;
SELECT v FROM k_text WHERE k = 'a '::char(3);
SELECT v FROM k_text WHERE k = 'a'::name;
SELECT v FROM k_text WHERE k = 'a '::text;
SELECT v FROM k_text WHERE k = 'ä';
SELECT v FROM k_text WHERE k = U&'\00e4';
SELECT v FROM k_text WHERE k = E'tab\there';
SELECT v FROM k_text WHERE k = 'it''s';
SELECT v FROM k_text WHERE k = $$it's$$;
SELECT v FROM k_text WHERE k = 'back\slash';
SELECT v FROM k_text WHERE k = E'\U0001F600';
SELECT v FROM k_text WHERE k = 5::text;
SELECT v FROM k_text WHERE k = 'a' COLLATE "C";
SELECT v FROM k_text WHERE k = lower('A');
SELECT v FROM k_text WHERE k = 'a' || '';
SELECT v FROM k_text WHERE k LIKE 'a';
SELECT v FROM k_text WHERE lower(k) = 'a';
SELECT v FROM k_text WHERE k IN ('a', 'A', 'b');
SELECT v FROM k_text WHERE k = ANY ('{a,"it''s",NULL}');
-- @params a
SELECT v FROM k_text WHERE k = $1;
-- @params a
SELECT v FROM k_text WHERE k = $1::varchar;
-- @params a
SELECT v FROM k_text WHERE k = $1::char(3);
-- @params {a,A}
SELECT v FROM k_text WHERE k = ANY ($1);
SELECT v FROM k_text WHERE k = current_user;
SELECT a.v, b.v FROM k_text a JOIN k_c b ON a.k = b.k;

INSERT INTO k_c VALUES ('a', 'a'), ('B', 'B'), ('ä', 'umlaut');
-- @ordered
SELECT k FROM k_c ORDER BY k;
SELECT v FROM k_c WHERE k = 'ä';

INSERT INTO k_varchar VALUES ('a', 'a'), ('a ', 'a space'), ('abcde', 'five'), ('abcdef '::varchar(5), 'cut'), (7, 'seven');
INSERT INTO k_varchar VALUES ('abcdefg', 'too long');
INSERT INTO k_varchar VALUES ('fghij   ', 'spaces');
SELECT v, '[' || k || ']' FROM k_varchar;
SELECT v FROM k_varchar WHERE k = 'a';
SELECT v FROM k_varchar WHERE k = 'a ';
SELECT v FROM k_varchar WHERE k = 'abcdefg';
SELECT v FROM k_varchar WHERE k = 'abcdefg'::varchar(5);
SELECT v FROM k_varchar WHERE k = 'fghij';
SELECT a.v, b.v FROM k_varchar a JOIN k_text b ON a.k = b.k;

INSERT INTO k_char VALUES ('a', 'a'), ('b  ', 'b'), ('abcde', 'five');
INSERT INTO k_char VALUES ('a ', 'again');
SELECT v, '[' || k || ']', octet_length(k) FROM k_char;
SELECT v FROM k_char WHERE k = 'a';
SELECT v FROM k_char WHERE k = 'a      ';
SELECT v FROM k_char WHERE k = 'a '::text;
SELECT v FROM k_char WHERE k = 'a'::text;
SELECT v FROM k_char WHERE k = 'a '::varchar;
SELECT v FROM k_char WHERE k IN ('a', 'b ');
-- @params a
SELECT v FROM k_char WHERE k = $1;
-- @params a
SELECT v FROM k_char WHERE k = $1::text;
SELECT a.v, b.v FROM k_char a JOIN k_text b ON a.k = b.k;
SELECT a.v, b.v FROM k_char a JOIN k_varchar b ON a.k = b.k;

INSERT INTO k_domain VALUES ('ab', 'ab'), ('abcd', 'abcd');
INSERT INTO k_domain VALUES ('abcde', 'too long');
SELECT v FROM k_domain WHERE k = 'ab';
SELECT v FROM k_domain WHERE k = 'ab'::short;

INSERT INTO k_name VALUES ('a', 'a'), ('Bc', 'b');
SELECT v FROM k_name WHERE k = 'a';
INSERT INTO k_qchar VALUES ('a', 'a'), ('bc', 'b'), ('', 'empty');
SELECT v FROM k_qchar WHERE k = 'a';
SELECT v FROM k_qchar WHERE k = 'bx';

-- dates and times

INSERT INTO k_date VALUES ('2024-02-29', 'leap'), ('infinity', 'end'), ('2000-01-01 23:59:59'::timestamp, 'new'), ('January 8, 1999', 'words'), ('0044-03-15 BC', 'ides');
SELECT * FROM k_date;
SELECT v FROM k_date WHERE k = '2024-02-29';
SELECT v FROM k_date WHERE k = '20240229';
SELECT v FROM k_date WHERE k = '2024-02-29 12:00'::timestamp;
SELECT v FROM k_date WHERE k = '2024-02-29 00:00'::timestamp;
SELECT v FROM k_date WHERE k = '2024-02-29 00:00+00'::timestamptz;
SELECT v FROM k_date WHERE k = date '2024-02-28' + 1;
SELECT v FROM k_date WHERE k = 'infinity';
-- @code
SELECT v FROM k_date WHERE k = '2024-02-30';
SET datestyle = 'German, DMY';
SELECT * FROM k_date;
SELECT v FROM k_date WHERE k = '29.02.2024';
INSERT INTO k_date VALUES ('03.04.2001', 'third of april');
SELECT v FROM k_date WHERE k = '03.04.2001';
SET datestyle = 'ISO, MDY';
SELECT v FROM k_date WHERE k = '03.04.2001';
INSERT INTO k_date VALUES ('03/04/2001', 'fourth of march');
SELECT * FROM k_date;
RESET datestyle;
SELECT v FROM k_date WHERE k = '2001-03-04';

INSERT INTO k_ts VALUES ('2024-02-29 12:00:00.5', 'leap'), ('-infinity', 'start'), ('2024-02-29', 'date'), ('2024-02-29 12:00:00.5000004', 'rounded');
INSERT INTO k_ts VALUES ('2024-02-29 12:00:00+05', 'zone');
SELECT * FROM k_ts;
SELECT v FROM k_ts WHERE k = '2024-02-29 12:00:00.5';
SELECT v FROM k_ts WHERE k = '2024-02-29'::date;
INSERT INTO k_ts0 VALUES ('2024-02-29 12:00:00.5', 'rounded'), ('2024-02-29 12:00:01.4', 'rounded too'), ('2024-02-29 12:00:03', 'exact');
SELECT * FROM k_ts0;
SELECT v FROM k_ts0 WHERE k = '2024-02-29 12:00:01';
SELECT v FROM k_ts0 WHERE k = '2024-02-29 12:00:00.5';

SET timezone = 'America/New_York';
INSERT INTO k_tz VALUES ('2024-02-29 12:00:00', 'noon in new york'), ('2024-02-29 12:00:00+00', 'noon utc'), ('2024-07-01', 'july'), ('2024-03-10 02:30', 'gap');
SELECT * FROM k_tz;
SELECT v FROM k_tz WHERE k = '2024-02-29 12:00';
SELECT v FROM k_tz WHERE k = '2024-02-29 17:00+00';
SELECT v FROM k_tz WHERE k = '2024-07-01'::date;
SELECT v FROM k_tz WHERE k = '2024-07-01 00:00'::timestamp;
-- @params 2024-02-29 12:00
SELECT v FROM k_tz WHERE k = $1;
SET timezone = 'UTC';
SELECT * FROM k_tz;
SELECT v FROM k_tz WHERE k = '2024-02-29 12:00';
SELECT v FROM k_tz WHERE k = '2024-07-01'::date;
-- @params 2024-02-29 12:00
SELECT v FROM k_tz WHERE k = $1;
RESET timezone;

INSERT INTO k_time VALUES ('12:00', 'noon'), ('24:00', 'midnight'), ('04:05 PM', 'tea');
SELECT v FROM k_time WHERE k = '12:00:00.000';
SELECT v FROM k_time WHERE k = '16:05';
INSERT INTO k_interval VALUES ('1 day', 'day'), ('1 mon', 'month'), ('1:30', 'hour and a half');
SELECT v FROM k_interval WHERE k = '24 hours';
SELECT v FROM k_interval WHERE k = '30 days';
SELECT v FROM k_interval WHERE k = '90 min';
INSERT INTO k_interval VALUES ('24:00:00', 'again');

-- numbers with a point

INSERT INTO k_num VALUES (1, 'one'), (1.50, 'one and a half'), ('NaN', 'none'), (-0.0, 'zero'), (1e20, 'large'), (123456789012345678901234567890.123456789, 'long'), ('Infinity', 'inf');
INSERT INTO k_num VALUES (1.0, 'again');
SELECT * FROM k_num;
SELECT v FROM k_num WHERE k = 1;
SELECT v FROM k_num WHERE k = 1.0000;
SELECT v FROM k_num WHERE k = 1.5;
SELECT v FROM k_num WHERE k = '1.5';
SELECT v FROM k_num WHERE k = 1.5::float8;
SELECT v FROM k_num WHERE k = 'NaN';
SELECT v FROM k_num WHERE k = 0;
SELECT v FROM k_num WHERE k = 100000000000000000000;
SELECT v FROM k_num WHERE k = -'Infinity'::numeric;
-- @params 1.50
SELECT v FROM k_num WHERE k = $1;
-- @params 1
SELECT v FROM k_num WHERE k = $1::int;
INSERT INTO k_num1 VALUES (1.25, 'up'), (1.24, 'down'), (7, 'seven');
SELECT * FROM k_num1;
SELECT v FROM k_num1 WHERE k = 1.3;
SELECT v FROM k_num1 WHERE k = 1.25;
SELECT v FROM k_num1 WHERE k = 1.20;
SELECT a.v, b.v FROM k_num a JOIN k_num1 b ON a.k = b.k;
SELECT a.v, b.v FROM k_num a JOIN k_int b ON a.k = b.k;
INSERT INTO k_float VALUES (1, 'one'), (0.1, 'tenth'), ('-0', 'minus zero'), ('NaN', 'nan'), ('inf', 'inf'), (1e300, 'large');
INSERT INTO k_float VALUES (0, 'again');
SELECT * FROM k_float;
SELECT v FROM k_float WHERE k = 0;
SELECT v FROM k_float WHERE k = 0.1;
SELECT v FROM k_float WHERE k = 0.1::float4;
SELECT v FROM k_float WHERE k = 1;
SELECT v FROM k_float WHERE k = 'NaN';

-- the rest

INSERT INTO k_bool VALUES (true, 'yes'), ('no', 'no');
SELECT v FROM k_bool WHERE k;
SELECT v FROM k_bool WHERE NOT k;
SELECT v FROM k_bool WHERE k = 't';
SELECT v FROM k_bool WHERE k IS TRUE;
INSERT INTO k_enum VALUES ('red', 'r'), ('blue', 'b');
INSERT INTO k_enum VALUES ('black', 'x');
SELECT v FROM k_enum WHERE k = 'red';
SELECT v FROM k_enum WHERE k > 'red';
-- @ordered
SELECT v FROM k_enum ORDER BY k DESC;
-- @params blue
SELECT v FROM k_enum WHERE k = $1;
INSERT INTO k_uuid VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'a'), ('{A0EEBC999C0B4EF8BB6D6BB9BD380A12}', 'b');
SELECT * FROM k_uuid;
SELECT v FROM k_uuid WHERE k = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11';
SELECT v FROM k_uuid WHERE k = 'a0eebc999c0b4ef8bb6d6bb9bd380a12';
INSERT INTO k_bytea VALUES ('\x00ff', 'hex'), ('a\000b', 'escape'), ('', 'empty');
SELECT * FROM k_bytea;
SELECT v FROM k_bytea WHERE k = '\x00FF';
SELECT v FROM k_bytea WHERE k = E'\\000\\377';
INSERT INTO k_inet VALUES ('10.0.0.1', 'host'), ('10.0.0.0/8', 'net'), ('::1', 'six');
SELECT v FROM k_inet WHERE k = '10.0.0.1/32';
SELECT v FROM k_inet WHERE k << '10.0.0.0/8';
INSERT INTO k_array VALUES ('{1,2}', 'a'), ('{}', 'empty'), ('{NULL}', 'null'), ('[2:3]={1,2}', 'bounds');
SELECT v FROM k_array WHERE k = '{1,2}';
SELECT v FROM k_array WHERE k = ARRAY[1, 2];
INSERT INTO k_jsonb VALUES ('{"a":1, "b":2}', 'ab'), ('1.0', 'one');
INSERT INTO k_jsonb VALUES ('1', 'again');
SELECT v FROM k_jsonb WHERE k = '{"b":2,"a":1}';
SELECT v FROM k_jsonb WHERE k = '1.00';
INSERT INTO k_oid VALUES (1, 'one'), (4294967295, 'most');
SELECT v FROM k_oid WHERE k = 4294967295;
SELECT v FROM k_oid WHERE k = 1;
INSERT INTO k_range VALUES ('[1,5)', 'a'), ('empty', 'e');
SELECT v FROM k_range WHERE k = '[1,4]';
INSERT INTO k_mac VALUES ('08:00:2b:01:02:03', 'm');
SELECT v FROM k_mac WHERE k = '0800.2b01.0203';

-- upserts and updates by key

INSERT INTO k_char VALUES ('a', 'new') ON CONFLICT (k) DO UPDATE SET v = excluded.v || k_char.v;
INSERT INTO k_num VALUES (1.500, 'new') ON CONFLICT (k) DO UPDATE SET v = excluded.v RETURNING *;
UPDATE k_char SET v = 'x' WHERE k = 'a'::text;
UPDATE k_int SET v = upper(v) WHERE k IN (1, 2, 99);
DELETE FROM k_tz WHERE k = '2024-02-29 12:00+00' RETURNING v;
DELETE FROM k_int WHERE k = 7.0;
SELECT * FROM k_char;
SELECT count(*) FROM k_int;

-- short ranges of integers, of any width, up to the ends of their types and beyond

SELECT k FROM k_int WHERE k BETWEEN 1 AND 9 ORDER BY k;
SELECT k FROM k_int WHERE k >= 7 AND k < 12 ORDER BY k;
SELECT k FROM k_int WHERE 7 < k AND 12 > k AND k <> 9 ORDER BY k;
SELECT k FROM k_int WHERE k BETWEEN 9 AND 1 ORDER BY k;
SELECT k FROM k_int WHERE k > 7 AND k < 8;
SELECT k FROM k_int WHERE k BETWEEN NULL AND 9;
SELECT k FROM k_int WHERE k >= 1 AND k < NULL;
SELECT k FROM k_int WHERE k BETWEEN -5 AND 2 ORDER BY k;
SELECT k FROM k_int WHERE k BETWEEN '1' AND ' 9 ' ORDER BY k;
SELECT k FROM k_int WHERE k BETWEEN 0.5 AND 8.5 ORDER BY k;
SELECT k FROM k_int WHERE k > 7.6 AND k < 9 ORDER BY k;
SELECT k FROM k_int WHERE k BETWEEN 7 AND 3 + 9 AND v < 'q' ORDER BY k;
SELECT k FROM k_int WHERE k BETWEEN 2147483640 AND 2147483650 ORDER BY k;
SELECT k FROM k_int WHERE k BETWEEN 2147483648 AND 2147483650 ORDER BY k;
SELECT k FROM k_int WHERE k >= 2147483646 AND k <= 9223372036854775807 ORDER BY k;
SELECT k FROM k_int WHERE k > 9223372036854775807 AND k < 5;
SELECT k FROM k_int WHERE k > 5 AND k < -9223372036854775808;
SELECT k FROM k_int WHERE k >= 9223372036854775807 AND k <= 9223372036854775807;
SELECT k FROM k_int WHERE k >= 9223372036854775808 AND k <= 9223372036854775809;
SELECT k FROM k_int WHERE k BETWEEN -2147483649 AND -2147483640 ORDER BY k;
SELECT k FROM k_int WHERE k BETWEEN 3::smallint AND 9::bigint ORDER BY k;
SELECT k FROM k_int WHERE k BETWEEN 3 AND 'x';
SELECT k FROM k_int WHERE k BETWEEN 1 AND 2 OR k BETWEEN 7 AND 8 ORDER BY k;
SELECT k FROM k_int WHERE NOT k BETWEEN 1 AND 9 ORDER BY k;
SELECT k FROM k_int WHERE k NOT BETWEEN 1 AND 9 ORDER BY k;
SELECT k FROM k_int WHERE k BETWEEN SYMMETRIC 9 AND 1 ORDER BY k;
SELECT k FROM k_int WHERE k > 0 AND k < 1000000 AND v < 'g' ORDER BY k;
SELECT k FROM k_small WHERE k BETWEEN 1 AND 9 ORDER BY k;
SELECT k FROM k_small WHERE k BETWEEN 32760 AND 32770 ORDER BY k;
SELECT k FROM k_big WHERE k BETWEEN 1 AND 9 ORDER BY k;
SELECT k FROM k_big WHERE k >= 9223372036854775800 AND k <= 9223372036854775807 ORDER BY k;
SELECT k FROM k_big WHERE k >= -9223372036854775808 AND k < -9223372036854775800 ORDER BY k;
SELECT k FROM k_num WHERE k BETWEEN 1 AND 9 ORDER BY k;
SELECT k FROM k_date WHERE k BETWEEN '2026-01-01' AND '2026-01-03' ORDER BY k;
SELECT a.k, b.k FROM k_int AS a LEFT JOIN k_int AS b ON a.k = b.k AND b.k BETWEEN 2 AND 8 WHERE a.k BETWEEN 1 AND 10 ORDER BY 1, 2;
SELECT a.k, b.k FROM k_int AS a FULL JOIN k_int AS b ON a.k = b.k AND a.k > 5 WHERE b.k BETWEEN 1 AND 10 ORDER BY 1, 2;
SELECT k, b.v FROM k_int AS a FULL JOIN k_int AS b USING (k) WHERE a.k > 1 AND b.k < 9 ORDER BY 1;
SELECT a.k, b.k FROM k_int AS a JOIN k_big AS b ON a.k = b.k WHERE a.k > 1 AND b.k < 9 ORDER BY 1;
SELECT k, (SELECT count(*) FROM k_int AS i WHERE i.k = o.k) FROM k_int AS o WHERE k BETWEEN 1 AND 9 ORDER BY k;
BEGIN;
UPDATE k_int SET v = v || '!' WHERE k BETWEEN 1 AND 9;
DELETE FROM k_int WHERE k > 9 AND k <= 12;
SELECT k, v FROM k_int ORDER BY k;
ROLLBACK;
PREPARE range_of (int, int) AS SELECT k FROM k_int WHERE k BETWEEN $1 AND $2 ORDER BY k;
EXECUTE range_of (1, 9);
EXECUTE range_of (9, 1);
EXECUTE range_of (NULL, 9);
EXECUTE range_of (1, 100000);
PREPARE wide_range (bigint, smallint) AS SELECT k FROM k_int WHERE k > $1 AND k < $2 ORDER BY k;
EXECUTE wide_range (1, 9::smallint);
EXECUTE wide_range (9223372036854775807, 9::smallint);
PREPARE numeric_range (numeric, float8) AS SELECT k FROM k_int WHERE k > $1 AND k < $2 ORDER BY k;
EXECUTE numeric_range (1.6, 8.4);
EXECUTE numeric_range (1.6, 7.6);
PREPARE from_on (int) AS SELECT k FROM k_int WHERE k >= $1 AND k < $1 + 10 ORDER BY k;
EXECUTE from_on (3);
EXECUTE from_on (2147483640);
