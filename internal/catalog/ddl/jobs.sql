-- Background jobs: what gateways call to schedule tasks, to share them among themselves, and to record how they went. A gateway holds
-- each task that it runs by an advisory lock of one connection, which ends with the gateway; pg_dist_background_task.pid is that
-- connection's. All that changes a job's state is done one after another, under the lock that settle takes.

-- With how many tasks at a time a job's own are run, as citus.max_background_task_executors and …_per_node were when it began.
CREATE TABLE IF NOT EXISTS trunkline_internal.job_limit (
  job_id bigint PRIMARY KEY REFERENCES trunkline.pg_dist_background_job ON DELETE CASCADE,
  executors int NOT NULL,
  executors_per_node int NOT NULL
);

-- Gives the client a notice or a warning; detail and hint may be empty.
CREATE OR REPLACE FUNCTION trunkline_internal.say(level text, message text, detail text, hint text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('DO %L', format('BEGIN RAISE %s USING MESSAGE = %L', level, message)
    || CASE WHEN detail <> '' THEN format(', DETAIL = %L', detail) ELSE '' END
    || CASE WHEN hint <> '' THEN format(', HINT = %L', hint) ELSE '' END || '; END');
END $$;

CREATE OR REPLACE FUNCTION trunkline_internal.lock_jobs() RETURNS void LANGUAGE sql AS
$$ SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('trunkline jobs', 0)) $$;

-- Makes a job of commands; depends_on[i] is the position of a task that must be done before the i-th may begin, 0 for none.
CREATE OR REPLACE FUNCTION trunkline_internal.create_job(type name, description text, commands text[], depends_on int[], nodes jsonb) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  job bigint;
  ids bigint[] := '{}';
  id bigint;
BEGIN
  INSERT INTO trunkline.pg_dist_background_job (job_type, description) VALUES (type, $2) RETURNING job_id INTO job;
  INSERT INTO trunkline_internal.job_limit VALUES (job,
    greatest(1, trunkline_internal.own_setting('max_background_task_executors', '4')::int),
    greatest(1, trunkline_internal.own_setting('max_background_task_executors_per_node', '1')::int));
  FOR i IN 1 .. cardinality(commands) LOOP
    INSERT INTO trunkline.pg_dist_background_task (job_id, status, command, nodes_involved)
      VALUES (job, CASE WHEN depends_on[i] > 0 THEN 'blocked' ELSE 'runnable' END::trunkline.citus_task_status, commands[i],
              ARRAY(SELECT n::int FROM jsonb_array_elements_text(nodes->(i - 1)) n)) RETURNING task_id INTO id;
    ids := ids || id;
    IF depends_on[i] > 0 THEN
      INSERT INTO trunkline.pg_dist_background_task_depend VALUES (job, id, ids[depends_on[i]]);
    END IF;
  END LOOP;
  PERFORM pg_notify('trunkline_jobs', '');
  RETURN job;
END $$;

-- Task locks are advisory locks of two numbers, of which this is the first.
CREATE OR REPLACE FUNCTION trunkline_internal.task_lock_class() RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT 1414284874 $$;

-- Whether the connection that took a task still holds it.
CREATE OR REPLACE FUNCTION trunkline_internal.task_is_held(task bigint, holder int) RETURNS bool LANGUAGE sql VOLATILE AS
$$ SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.pid = $2 AND l.objsubid = 2
     AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
     AND l.classid = trunkline_internal.task_lock_class()::bigint::oid AND l.objid = ($1 % 2147483647)::oid) $$;

-- How long a task that failed, or whose gateway died, waits before its next try; NULL when it has been tried often enough.
CREATE OR REPLACE FUNCTION trunkline_internal.retry_after(tries int) RETURNS interval LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN $1 <= 6 THEN least(pg_catalog.make_interval(secs => 2 ^ $1), interval '30 seconds') END $$;

-- Brings what follows from the tasks' states up to date: which tasks may begin, which never will, and the job's own state.
CREATE OR REPLACE FUNCTION trunkline_internal.settle_job(job bigint) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  was trunkline.citus_job_status;
  counts record;
BEGIN
  SELECT state INTO was FROM trunkline.pg_dist_background_job WHERE job_id = job;
  UPDATE trunkline.pg_dist_background_task t SET status = 'runnable' WHERE job_id = job AND status = 'blocked' AND NOT EXISTS (
    SELECT FROM trunkline.pg_dist_background_task_depend d JOIN trunkline.pg_dist_background_task u ON u.task_id = d.depends_on
    WHERE d.task_id = t.task_id AND u.status <> 'done');
  LOOP
    UPDATE trunkline.pg_dist_background_task t SET status = 'unscheduled' WHERE job_id = job AND status = 'blocked' AND EXISTS (
      SELECT FROM trunkline.pg_dist_background_task_depend d JOIN trunkline.pg_dist_background_task u ON u.task_id = d.depends_on
      WHERE d.task_id = t.task_id AND u.status IN ('error', 'cancelled', 'unscheduled'));
    EXIT WHEN NOT FOUND;
  END LOOP;
  SELECT count(*) FILTER (WHERE status IN ('blocked', 'runnable', 'running', 'cancelling')) AS open,
         count(*) FILTER (WHERE status = 'error') AS failed,
         count(*) FILTER (WHERE status = 'cancelled') AS cancelled INTO counts
    FROM trunkline.pg_dist_background_task WHERE job_id = job;
  IF counts.open > 0 THEN
    UPDATE trunkline.pg_dist_background_job SET state = 'failing' WHERE job_id = job AND counts.failed > 0 AND state = 'running';
  ELSE
    UPDATE trunkline.pg_dist_background_job SET finished_at = clock_timestamp(), started_at = coalesce(started_at, clock_timestamp()),
        state = CASE WHEN counts.failed > 0 THEN 'failed' WHEN counts.cancelled > 0 THEN 'cancelled' ELSE 'finished' END::trunkline.citus_job_status
      WHERE job_id = job AND state NOT IN ('finished', 'failed', 'cancelled');
  END IF;
  PERFORM pg_notify('trunkline_jobs', '');
END $$;

-- Gives the connection one task to run, which it then holds, or none. Tasks whose gateway is gone become runnable again first.
CREATE OR REPLACE FUNCTION trunkline_internal.claim_task(OUT task bigint, OUT task_owner text, OUT task_command text) RETURNS SETOF record LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  lost record;
  candidate record;
BEGIN
  IF NOT EXISTS (SELECT FROM trunkline.pg_dist_background_task WHERE status IN ('runnable', 'running', 'cancelling')) THEN
    RETURN;
  END IF;
  PERFORM trunkline_internal.lock_jobs();
  FOR lost IN SELECT * FROM trunkline.pg_dist_background_task t WHERE status IN ('running', 'cancelling')
      AND NOT trunkline_internal.task_is_held(t.task_id, t.pid) ORDER BY task_id LOOP
    UPDATE trunkline.pg_dist_background_task t SET pid = NULL, retry_count = coalesce(retry_count, 0) + 1,
        status = CASE WHEN status = 'cancelling' THEN 'cancelled' ELSE 'runnable' END::trunkline.citus_task_status,
        not_before = clock_timestamp() + interval '1 second', message = 'the gateway that ran the task is gone'
      WHERE task_id = lost.task_id;
    PERFORM trunkline_internal.settle_job(lost.job_id);
  END LOOP;
  FOR candidate IN
      SELECT t.*, coalesce(l.executors, 4) AS executors, coalesce(l.executors_per_node, 1) AS per_node
      FROM trunkline.pg_dist_background_task t LEFT JOIN trunkline_internal.job_limit l USING (job_id)
      WHERE t.status = 'runnable' AND (t.not_before IS NULL OR t.not_before <= clock_timestamp()) ORDER BY t.task_id LOOP
    CONTINUE WHEN (SELECT count(*) FROM trunkline.pg_dist_background_task WHERE status IN ('running', 'cancelling')) >= candidate.executors;
    CONTINUE WHEN EXISTS (SELECT FROM unnest(candidate.nodes_involved) node WHERE candidate.per_node <=
      (SELECT count(*) FROM trunkline.pg_dist_background_task WHERE status IN ('running', 'cancelling') AND node = ANY (nodes_involved)));
    -- Only a gateway that takes itself for dead but is not holds it still; it lets go when it is told.
    CONTINUE WHEN NOT pg_try_advisory_lock(trunkline_internal.task_lock_class(), (candidate.task_id % 2147483647)::int);
    UPDATE trunkline.pg_dist_background_task SET status = 'running', pid = pg_backend_pid() WHERE task_id = candidate.task_id;
    UPDATE trunkline.pg_dist_background_job SET state = 'running', started_at = coalesce(started_at, clock_timestamp())
      WHERE job_id = candidate.job_id AND state = 'scheduled';
    task := candidate.task_id;
    task_owner := candidate.owner;
    task_command := candidate.command;
    RETURN NEXT;
    PERFORM pg_notify('trunkline_jobs', '');
    RETURN;
  END LOOP;
END $$;

-- Records how a task went that this connection holds, and lets go of it. outcome is done, error, which may be tried again if that may
-- help, or cancelled, for whatever reason. Nothing is recorded for a task that has been taken away from the connection.
CREATE OR REPLACE FUNCTION trunkline_internal.finish_task(task bigint, outcome text, text text, may_retry bool) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  t trunkline.pg_dist_background_task;
  delay interval;
BEGIN
  PERFORM trunkline_internal.lock_jobs();
  SELECT * INTO t FROM trunkline.pg_dist_background_task WHERE task_id = task AND pid = pg_backend_pid() AND status IN ('running', 'cancelling');
  IF FOUND THEN
    delay := trunkline_internal.retry_after(coalesce(t.retry_count, 0) + 1);
    IF outcome = 'error' AND may_retry AND t.status = 'running' AND delay IS NOT NULL THEN
      UPDATE trunkline.pg_dist_background_task SET status = 'runnable', pid = NULL, message = text,
        retry_count = coalesce(retry_count, 0) + 1, not_before = clock_timestamp() + delay WHERE task_id = task;
    ELSE
      UPDATE trunkline.pg_dist_background_task SET pid = NULL, message = text, not_before = NULL,
        status = CASE WHEN outcome = 'done' THEN 'done' WHEN t.status = 'cancelling' OR outcome = 'cancelled' THEN 'cancelled' ELSE 'error' END::trunkline.citus_task_status
        WHERE task_id = task;
    END IF;
    PERFORM trunkline_internal.settle_job(t.job_id);
  END IF;
  PERFORM pg_advisory_unlock(trunkline_internal.task_lock_class(), (task % 2147483647)::int);
END $$;

-- Cancels what a job has not done yet. False if there is no such job, or it is over.
CREATE OR REPLACE FUNCTION trunkline_internal.cancel_job(job bigint) RETURNS bool LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM trunkline_internal.lock_jobs();
  UPDATE trunkline.pg_dist_background_job SET state = 'cancelling' WHERE job_id = job AND state IN ('scheduled', 'running', 'failing');
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE trunkline.pg_dist_background_task SET status = CASE WHEN status = 'running' THEN 'cancelling' ELSE 'cancelled' END::trunkline.citus_task_status
    WHERE job_id = job AND status IN ('blocked', 'runnable', 'running');
  PERFORM trunkline_internal.settle_job(job);
  RETURN true;
END $$;
