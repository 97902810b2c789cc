-- Transactions over several nodes: prepared by clients, isolation, chains, savepoints, locks.

CREATE TABLE t (k int PRIMARY KEY, v text, n int);
CREATE TABLE r (id int PRIMARY KEY, v text);
CREATE TABLE l (id int PRIMARY KEY, v text);

-- @gateway
SELECT create_distributed_table('t', 'k');
-- @gateway
SELECT create_reference_table('r');

INSERT INTO t SELECT i, 'v' || i, i % 4 FROM generate_series(1, 30) AS i;
INSERT INTO r SELECT i, 'r' || i FROM generate_series(1, 4) AS i;
INSERT INTO l SELECT i, 'l' || i FROM generate_series(1, 4) AS i;

-- prepared by the client

SET lock_timeout = '3s';

BEGIN;
UPDATE t SET n = n + 10 WHERE k IN (1, 2, 3, 4, 5);
UPDATE r SET v = 'prepared' WHERE id = 1;
INSERT INTO l VALUES (5, 'prepared');
PREPARE TRANSACTION 'one';
SELECT gid, owner, database = current_database(), prepared <= clock_timestamp() FROM pg_prepared_xacts;
SELECT count(*) FROM t WHERE n >= 10;
SELECT v FROM r WHERE id = 1;
SET lock_timeout = '100ms';
UPDATE t SET n = 0 WHERE k = 1;
SET lock_timeout = '3s';
COMMIT PREPARED 'one';
SELECT count(*) FROM pg_prepared_xacts;
SELECT count(*) FROM t WHERE n >= 10;
SELECT v FROM r WHERE id = 1;
SELECT v FROM l WHERE id = 5;
COMMIT PREPARED 'one';
ROLLBACK PREPARED 'one';

BEGIN;
UPDATE t SET n = 100;
DELETE FROM r WHERE id = 4;
PREPARE TRANSACTION 'it''s two';
BEGIN;
UPDATE l SET v = 'x' WHERE id = 1;
PREPARE TRANSACTION 'it''s two';
SELECT gid FROM pg_prepared_xacts;
SELECT v FROM l WHERE id = 1;
ROLLBACK PREPARED 'it''s two';
SELECT count(*) FROM t WHERE n = 100;
SELECT count(*) FROM r;

BEGIN;
PREPARE TRANSACTION 'empty';
SELECT gid FROM pg_prepared_xacts;
COMMIT PREPARED 'empty';
BEGIN;
SELECT count(*) FROM t;
PREPARE TRANSACTION 'reads';
ROLLBACK PREPARED 'reads';
BEGIN READ ONLY;
SELECT count(*) FROM t;
PREPARE TRANSACTION 'reads only';
COMMIT PREPARED 'reads only';

PREPARE TRANSACTION 'outside';
SELECT 1; PREPARE TRANSACTION 'implicit';
SELECT gid FROM pg_prepared_xacts;
ROLLBACK PREPARED 'implicit';

BEGIN;
UPDATE t SET n = 5 WHERE k = 1;
SELECT 1/0;
PREPARE TRANSACTION 'failed';
SELECT count(*) FROM pg_prepared_xacts;
BEGIN;
COMMIT PREPARED 'one';
ROLLBACK;
SELECT 1; COMMIT PREPARED 'one';
BEGIN;
UPDATE t SET n = 5 WHERE k = 1;
PREPARE TRANSACTION 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa';
SELECT 1;

BEGIN;
CREATE TEMP TABLE tmp (x int);
UPDATE t SET n = 5 WHERE k = 1;
PREPARE TRANSACTION 'temporary';
SELECT n FROM t WHERE k = 1;
BEGIN;
NOTIFY nobody;
UPDATE t SET n = 5 WHERE k = 1;
PREPARE TRANSACTION 'notify';
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT k FROM t;
PREPARE TRANSACTION 'cursor';
BEGIN;
SAVEPOINT a;
UPDATE t SET n = 6 WHERE k = 1;
SAVEPOINT b;
UPDATE t SET n = 7 WHERE k = 2;
ROLLBACK TO b;
PREPARE TRANSACTION 'savepoints';
COMMIT PREPARED 'savepoints';
SELECT k, n FROM t WHERE k <= 2 ORDER BY k;
SET default_transaction_read_only = on;
BEGIN READ WRITE;
UPDATE t SET n = 8 WHERE k IN (1, 2);
PREPARE TRANSACTION 'read only by default';
COMMIT PREPARED 'read only by default';
RESET default_transaction_read_only;
SELECT k, n FROM t WHERE k <= 2 ORDER BY k;
BEGIN;
SET search_path = pg_catalog;
PREPARE TRANSACTION 'setting';
SHOW search_path;
RESET search_path;
COMMIT PREPARED 'setting';

-- isolation

BEGIN ISOLATION LEVEL REPEATABLE READ;
SHOW transaction_isolation;
SELECT count(*) FROM t;
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;
ROLLBACK;
BEGIN;
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE;
SHOW transaction_isolation;
SHOW transaction_read_only;
SHOW transaction_deferrable;
SELECT count(*) FROM t WHERE k = 1;
UPDATE t SET n = 1 WHERE k = 2;
SELECT 1;
ROLLBACK;
BEGIN READ ONLY;
INSERT INTO t VALUES (100, 'x', 1);
ROLLBACK;
BEGIN READ ONLY;
SELECT count(*) FROM t;
UPDATE t SET n = 1;
COMMIT;
BEGIN READ ONLY;
SET TRANSACTION READ WRITE;
UPDATE t SET n = 1 WHERE k = 3;
COMMIT;
SELECT n FROM t WHERE k = 3;
BEGIN READ ONLY;
SELECT 1 FROM t WHERE k = 3;
SET TRANSACTION READ WRITE;
ROLLBACK;
START TRANSACTION ISOLATION LEVEL READ UNCOMMITTED;
SHOW transaction_isolation;
COMMIT;
SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ;
BEGIN;
SHOW transaction_isolation;
SELECT n FROM t WHERE k = 4;
COMMIT;
SHOW transaction_isolation;
SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY;
UPDATE t SET n = 3 WHERE k = 4;
BEGIN READ WRITE;
UPDATE t SET n = 3 WHERE k = 4;
COMMIT;
SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE, ISOLATION LEVEL READ COMMITTED;
SELECT n FROM t WHERE k = 4;
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;
SHOW transaction_isolation;
SET transaction_isolation = 'serializable';
SET TRANSACTION SNAPSHOT '00000003-0000001B-1';
BEGIN;
SET TRANSACTION SNAPSHOT 'nonsense';
ROLLBACK;
BEGIN;
SET transaction_isolation = 'serializable';
SELECT v FROM t WHERE k = 1;
SHOW transaction_isolation;
COMMIT;
BEGIN;
SET transaction_read_only = on;
UPDATE t SET n = 1 WHERE k = 1;
ROLLBACK;
BEGIN;
SELECT set_config('transaction_read_only', 'on', true);
UPDATE t SET n = 1 WHERE k = 1;
ROLLBACK;

-- a read of many shards, then a write to a reference table that depends on it

BEGIN;
SELECT count(*), sum(n) FROM t;
UPDATE r SET v = (SELECT 'sum ' || sum(n) FROM t) WHERE id = 2;
INSERT INTO r SELECT 1000 + k, v FROM t WHERE k <= 3;
SELECT r.v, t.v FROM r JOIN t ON t.k = r.id - 1000;
COMMIT;
SELECT * FROM r ORDER BY id;
DELETE FROM r WHERE id > 1000;

-- chains

BEGIN ISOLATION LEVEL SERIALIZABLE;
UPDATE t SET n = 20 WHERE k = 5;
COMMIT AND CHAIN;
SHOW transaction_isolation;
UPDATE t SET n = 21 WHERE k = 6;
ROLLBACK AND CHAIN;
SHOW transaction_isolation;
SELECT k, n FROM t WHERE k IN (5, 6) ORDER BY k;
COMMIT AND NO CHAIN;
COMMIT AND CHAIN;
ROLLBACK AND CHAIN;
BEGIN;
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SELECT n FROM t WHERE k = 5;
COMMIT AND CHAIN;
SHOW transaction_isolation;
SHOW transaction_read_only;
UPDATE t SET n = 21 WHERE k = 6;
COMMIT AND CHAIN;
SHOW transaction_isolation;
COMMIT;
SHOW transaction_isolation;
SELECT 1; COMMIT AND CHAIN;

-- failed blocks

BEGIN;
INSERT INTO t VALUES (1, 'twice', 0);
SELECT 1;
COMMIT;
BEGIN;
UPDATE t SET n = 30 WHERE k = 7;
SELECT nonsense;
COMMIT;
SELECT n FROM t WHERE k = 7;
COMMIT;
ROLLBACK;
ABORT;
BEGIN;
BEGIN;
END;
BEGIN WORK;
COMMIT WORK;
ROLLBACK TO nowhere;
SAVEPOINT s;
RELEASE s;
BEGIN;
ROLLBACK TO nowhere;
ROLLBACK;
BEGIN;
RELEASE nowhere;
ROLLBACK;

-- savepoints before nodes join

BEGIN;
SAVEPOINT a;
SAVEPOINT b;
UPDATE t SET n = 40 WHERE k = 8;
ROLLBACK TO b;
UPDATE t SET n = 41 WHERE k = 9;
SAVEPOINT b;
UPDATE t SET n = 42 WHERE k = 10;
RELEASE b;
ROLLBACK TO b;
SELECT k, n FROM t WHERE k IN (8, 9, 10) ORDER BY k;
UPDATE t SET n = 43 WHERE k IN (8, 9, 10);
SAVEPOINT c;
INSERT INTO t VALUES (8, 'twice', 0);
ROLLBACK TO c;
INSERT INTO r VALUES (50, 'reference');
ROLLBACK TO a;
SELECT k, n FROM t WHERE k IN (8, 9, 10) ORDER BY k;
SELECT count(*) FROM r;
UPDATE t SET n = 44 WHERE k = 8;
COMMIT;
SELECT k, n FROM t WHERE k IN (8, 9, 10) ORDER BY k;
BEGIN;
UPDATE t SET n = 50 WHERE k = 11;
SAVEPOINT a;
SELECT 1/0;
SELECT 1;
SAVEPOINT b;
RELEASE a;
ROLLBACK TO a;
SELECT n FROM t WHERE k = 11;
RELEASE a;
ROLLBACK TO a;
ROLLBACK;
BEGIN;
SAVEPOINT "Mixed Case";
UPDATE t SET n = 60 WHERE k IN (12, 13);
ROLLBACK TO "Mixed Case";
COMMIT;
SELECT n FROM t WHERE k IN (12, 13);

-- settings of a block

BEGIN;
SET LOCAL lock_timeout = '5s';
SAVEPOINT a;
SET LOCAL lock_timeout = '6s';
SELECT current_setting('lock_timeout'), k FROM t WHERE k = 1;
ROLLBACK TO a;
SELECT current_setting('lock_timeout'), k FROM t WHERE k = 1;
COMMIT;
SELECT current_setting('lock_timeout'), k FROM t WHERE k = 1;
BEGIN;
SET lock_timeout = '7s';
ROLLBACK;
SHOW lock_timeout;
SET LOCAL lock_timeout = '7s';
SHOW lock_timeout;

BEGIN;
SELECT set_config('search_path', 'pg_catalog, public', true), set_config('my.setting', 'here', true);
SELECT current_setting('search_path'), current_setting('my.setting'), k FROM t WHERE k = 1;
SELECT current_setting('search_path'), current_setting('my.setting'), k FROM t WHERE k = 3;
COMMIT;
SHOW search_path;
SELECT current_setting('search_path'), k FROM t WHERE k = 1;
BEGIN;
SELECT n FROM t WHERE k = 1;
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;
ROLLBACK;
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT k FROM t ORDER BY k;
ROLLBACK;
FETCH 1 FROM held;
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT k FROM t ORDER BY k;
COMMIT;
FETCH 1 FROM held;
BEGIN;
SELECT 1/0;
ROLLBACK;
FETCH 1 FROM held;
CLOSE held;

-- rows without columns

SELECT FROM t WHERE k = 1;
SELECT FROM t ORDER BY k LIMIT 2;

-- time limits

BEGIN;
SET LOCAL statement_timeout = '150ms';
SELECT pg_sleep(60);
COMMIT;
BEGIN;
SET LOCAL statement_timeout = '150ms';
SELECT count(*) FROM t WHERE pg_sleep(60) IS NOT NULL;
ROLLBACK;
SHOW statement_timeout;
SET idle_in_transaction_session_timeout = '1h';
SHOW idle_in_transaction_session_timeout;
BEGIN;
SET LOCAL idle_in_transaction_session_timeout = '30min';
SELECT count(*) FROM t;
SHOW idle_in_transaction_session_timeout;
ROLLBACK;
SHOW idle_in_transaction_session_timeout;
RESET idle_in_transaction_session_timeout;
SET idle_session_timeout = 'never';
SET idle_session_timeout = '2h';
SHOW idle_session_timeout;
RESET ALL;
SHOW idle_session_timeout;

-- locks that applications take

SELECT pg_advisory_lock(1), pg_advisory_lock_shared(2);
SELECT pg_try_advisory_lock(1);
SELECT pg_advisory_unlock(1), pg_advisory_unlock(1), pg_advisory_unlock(1);
SELECT pg_advisory_unlock_shared(2);
BEGIN;
SELECT pg_advisory_xact_lock(3);
SELECT pg_try_advisory_xact_lock(3, 4);
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
COMMIT;
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT pg_advisory_lock(5);
SELECT pg_advisory_unlock_all();
SELECT pg_advisory_unlock(5);
SELECT pg_try_advisory_lock(k) FROM t WHERE k = 2;
SELECT pg_advisory_unlock_all();

SELECT * FROM t ORDER BY k;
SELECT * FROM r ORDER BY id;
SELECT * FROM l ORDER BY id;
