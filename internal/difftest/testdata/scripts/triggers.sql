-- Row triggers of distributed tables, made before and after the table is distributed.

CREATE TABLE t (k int PRIMARY KEY, name text, n int, s serial);
CREATE TABLE child (k int REFERENCES t ON DELETE CASCADE, v int);
CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := upper(NEW.name); NEW.n := coalesce(NEW.n, 0) + 1; RETURN NEW; END $$;
CREATE FUNCTION limit_n() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.n > 100 THEN RAISE EXCEPTION '% is too much for %', NEW.n, TG_TABLE_NAME USING HINT = 'Less.'; END IF; RETURN NULL; END $$;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '% %', TG_OP, OLD; RETURN OLD; END $$;
CREATE TRIGGER tidy BEFORE INSERT OR UPDATE OF name ON t FOR EACH ROW EXECUTE FUNCTION tidy();
-- @gateway
SELECT create_distributed_table('t', 'k');
-- @gateway
SELECT create_distributed_table('child', 'k');

CREATE TRIGGER limits AFTER INSERT OR UPDATE ON t FOR EACH ROW WHEN (NEW.n > 50) EXECUTE FUNCTION limit_n();
CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION limit_n();
CREATE TRIGGER tell BEFORE DELETE ON child FOR EACH ROW EXECUTE FUNCTION tell();

INSERT INTO t (k, name) SELECT i, 'n' || i FROM generate_series(1, 20) i;
INSERT INTO t (k, name, n) VALUES (21, 'a', 3), (22, 'b', NULL) RETURNING *;
INSERT INTO t (k, name, n) VALUES (23, 'c', 200);
INSERT INTO t (k, name, n) VALUES (1, 'c', 20) ON CONFLICT (k) DO UPDATE SET name = excluded.name, n = t.n + excluded.n RETURNING *;
INSERT INTO child SELECT k, k * 2 FROM t;
UPDATE t SET n = n + 1 WHERE k < 5;
UPDATE t SET name = 'new ' || name WHERE k = 3 RETURNING *;
UPDATE t SET n = 500 WHERE k = 7;
UPDATE t SET n = 500;
DELETE FROM t WHERE k = 9;
DELETE FROM child WHERE k = 10;
BEGIN; ALTER TABLE t DISABLE TRIGGER limits; UPDATE t SET n = 300 WHERE k = 2; COMMIT;
BEGIN; DROP TRIGGER tidy ON t; INSERT INTO t VALUES (50, 'low', 1); ROLLBACK;
SELECT * FROM t;
SELECT * FROM child;
SELECT tgname, tgenabled, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 't'::regclass AND NOT tgisinternal;
-- @gateway
SELECT undistribute_table('t', cascade_via_foreign_keys => true);
INSERT INTO t (k, name, n) VALUES (60, 'c', 2);
SELECT * FROM t;
