-- Slots: which are due, what running them by hand (batchagg_run_due) does, and
-- what the ledger and the views say of it.  No service runs here; its clock is
-- set, so that answers do not depend on the time of day.

-- What an interrupted run may have left.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_alice, regress_batchagg_bob, regress_batchagg_dora;
RESET client_min_messages;
CREATE EXTENSION batchagg;
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE TABLE visit (user_id integer, ts timestamptz, pages integer);
INSERT INTO visit SELECT i % 3, '2024-01-01 00:00+00'::timestamptz + i * interval '1 hour', i FROM generate_series(0, 99) i;

-- A source that fails when the table weather says so, with this error code.
CREATE TABLE weather (code text);
CREATE FUNCTION may_read() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	bad text := (SELECT code FROM public.weather);
BEGIN
	IF bad IS NOT NULL THEN
		RAISE EXCEPTION 'the weather is bad' USING ERRCODE = bad;
	END IF;
	RETURN true;
END $$;
CREATE VIEW outdoors AS SELECT * FROM visit WHERE may_read();

-- A job, expected from an instant on.
CREATE FUNCTION make_job(event text, policy text, expected timestamptz, source text DEFAULT 'visit', delay integer DEFAULT 0) RETURNS integer LANGUAGE sql SET client_min_messages = warning AS $$
	WITH job AS (INSERT INTO batch_jobs (job_name, event_name, missed_runs, scheduled_from) VALUES (concat_ws(' ', event, policy, nullif(source, 'visit')), event, policy, expected) RETURNING id),
	definition AS (INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, job_delay) SELECT id, 'user', source, '1-day', delay FROM job),
	metric AS (INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) SELECT id, 'pages', 'sum' FROM job)
	SELECT id FROM job
$$;
CREATE VIEW slots AS
SELECT job_id, slot, state, first_slot, slots, attempt, started_at, finished_at, run_id IS NOT NULL AS run, reason FROM batchagg_slots;
CREATE VIEW jobs AS
SELECT job_id, event_name, state, reason, next_run, last_status, last_slot, last_error FROM batchagg_jobs;
\set due 'SELECT job_id, status, rows_read, results, "to" FROM batchagg_run_due'

--
-- Nothing to do yet.
--
SELECT batchagg_set_clock('2024-01-02 12:00', '2024-01-02 12:00');
SELECT make_job('EVERYDAY', 'coalesce', '2024-01-02 12:00', delay => 24), make_job('EVERYDAY', 'each', '2024-01-02 12:00'),
	make_job('EVERYDAY', 'skip', '2024-01-02 12:00'), make_job('EVERYHOUR', 'coalesce', '2024-01-02 12:00');
SELECT * FROM batchagg_expected_slots() ORDER BY 1;
SELECT * FROM jobs ORDER BY 1;
SELECT * FROM slots;
:due();

-- One slot is due, by a second; those of one event are run alone.
SELECT batchagg_set_clock('2024-01-03 00:00:01', '2024-01-03 00:00:01');
SELECT * FROM batchagg_expected_slots() ORDER BY 1;
SELECT * FROM jobs ORDER BY 1;
:due('everyday');
SELECT * FROM slots ORDER BY job_id, slot;
:due('everyday');
:due('EVERYHOUR');
SELECT * FROM slots WHERE job_id = 4 ORDER BY slot;
:due();
SELECT * FROM jobs ORDER BY 1;
SELECT job_id, slot, status, attempt, range_to FROM batchagg_runs ORDER BY 1;

--
-- Several are due.
--
SELECT batchagg_set_clock('2024-01-06 00:00:30', '2024-01-06 00:00:30');
UPDATE batch_jobs SET enable_flag = false WHERE id = 4;
SELECT * FROM batchagg_expected_slots() ORDER BY 1;
-- With each all are run, in their order; skip runs what is due since less than a minute.
:due();
:due();
:due();
:due();
SELECT * FROM slots WHERE job_id <= 3 AND slot > '2024-01-03' ORDER BY job_id, slot;
SELECT batchagg_set_clock('2024-01-08 12:00', '2024-01-08 12:00');
:due();
SELECT * FROM slots WHERE job_id <= 3 AND slot > '2024-01-06' ORDER BY job_id, slot;
:due();
:due();

-- A disabled job is not run, not even by hand; enabled again, it catches up.
SELECT state, reason, next_run FROM jobs WHERE job_id = 4;
SELECT count(*) FROM batchagg_expected_slots() WHERE job_id = 4;
:due('EVERYHOUR');
UPDATE batch_jobs SET enable_flag = true WHERE id = 4;
:due('EVERYHOUR');
SELECT * FROM slots WHERE job_id = 4 AND slot > '2024-01-03' ORDER BY slot;

-- Slots beyond counting.
SELECT make_job('EVERYMINUTE', 'coalesce', '2020-01-01'), make_job('EVERYMINUTE', 'skip', '2020-01-01');
SELECT * FROM batchagg_expected_slots() WHERE job_id IN (5, 6) ORDER BY 1;
:due('everyminute');
:due('everyminute');
SELECT job_id, slot, state, first_slot, slots FROM batchagg_slots WHERE job_id IN (5, 6) ORDER BY job_id, slot;
DELETE FROM batch_jobs WHERE id IN (5, 6);

--
-- Failures.
--
SELECT make_job('EVERYDAY', 'coalesce', '2024-01-07 12:00', 'outdoors') AS job \gset
UPDATE batch_jobs SET retry_delay = 600, max_retries = 2 WHERE id = :job;

-- One that stays: the slot has failed, and is not tried again.
INSERT INTO weather VALUES ('22012');
:due('EVERYDAY');
SELECT * FROM slots WHERE job_id = :job;
SELECT * FROM jobs WHERE job_id = :job;
:due('EVERYDAY');

-- One that passes: another attempt, after some 600 seconds and not before.
SELECT batchagg_set_clock('2024-01-09 00:00', '2024-01-09 00:00');
UPDATE batch_jobs SET enable_flag = false WHERE id < 5;
UPDATE weather SET code = '40001';
:due();
SELECT * FROM slots WHERE job_id = :job AND slot > '2024-01-08';
SELECT state, reason, last_status, last_slot, last_error, next_run BETWEEN '2024-01-09 00:07:30' AND '2024-01-09 00:12:30' AS soon FROM batchagg_jobs WHERE job_id = :job;
SELECT not_before BETWEEN '2024-01-09 00:07:30' AND '2024-01-09 00:12:30' AS soon FROM batchagg_slots WHERE job_id = :job AND slot > '2024-01-08';
SELECT batchagg_set_clock('2024-01-09 00:07', '2024-01-09 00:07');
:due();
SELECT batchagg_set_clock('2024-01-09 00:13', '2024-01-09 00:13');
:due();
SELECT attempt, state, not_before BETWEEN '2024-01-09 00:28:00' AND '2024-01-09 00:38:00' AS twice_as_long FROM batchagg_slots WHERE job_id = :job AND slot > '2024-01-08';
-- The third attempt is the last.
SELECT batchagg_set_clock('2024-01-09 01:00', '2024-01-09 01:00');
:due();
SELECT attempt, state, not_before FROM batchagg_slots WHERE job_id = :job AND slot > '2024-01-08';
:due();
SELECT slot, status, attempt, error_sqlstate FROM batchagg_runs WHERE job_id = :job ORDER BY slot, attempt;

-- The weather changes before the retry.
SELECT batchagg_set_clock('2024-01-10 00:00', '2024-01-10 00:00');
:due();
DELETE FROM weather;
SELECT batchagg_set_clock('2024-01-10 00:13', '2024-01-10 00:13');
:due();
SELECT * FROM slots WHERE job_id = :job AND slot > '2024-01-09';

-- The next slot catches up for one that waits for a retry.
INSERT INTO weather VALUES ('53100');
SELECT batchagg_set_clock('2024-01-11 00:00', '2024-01-11 00:00');
UPDATE batch_jobs SET retry_delay = 86400 WHERE id = :job;
:due();
SELECT state, attempt FROM slots WHERE job_id = :job AND slot > '2024-01-10';
DELETE FROM weather;
SELECT batchagg_set_clock('2024-01-12 00:00', '2024-01-12 00:00');
:due();
SELECT * FROM slots WHERE job_id = :job AND slot > '2024-01-10' ORDER BY slot;
-- With each it waits for its own retry, and is followed by the next.
INSERT INTO weather VALUES ('57P03');
UPDATE batch_jobs SET missed_runs = 'each', retry_delay = 0 WHERE id = :job;
SELECT batchagg_set_clock('2024-01-13 00:00', '2024-01-13 00:00');
:due();
SELECT batchagg_set_clock('2024-01-14 00:00', '2024-01-14 00:00');
DELETE FROM weather;
:due();
:due();
SELECT * FROM slots WHERE job_id = :job AND slot > '2024-01-12' ORDER BY slot;

-- A slot whose worker has gone counts as an attempt, and is run again; then
-- those that have waited for it.
INSERT INTO batchagg_ledger (job_id, slot, state, attempt, started_at) VALUES (:job, '2024-01-15', 'running', 1, '2024-01-15');
SELECT batchagg_set_clock('2024-01-17 12:00', '2024-01-17 12:00');
SELECT * FROM batchagg_expected_slots();
SELECT * FROM jobs WHERE job_id = :job;
-- (No job has a pause of less than a second, unless the setting does.)
:due();
SELECT batchagg_set_clock('2024-01-17 12:00:02', '2024-01-17 12:00:02');
:due();
SELECT slot, attempt, status, error_message FROM batchagg_runs WHERE job_id = :job AND slot > '2024-01-14' ORDER BY run_id;
SELECT batchagg_set_clock('2024-01-18 12:00', '2024-01-18 12:00');

-- A job that somebody runs by hand meanwhile has a passing error: see the
-- isolation tests.  One that is broken has a lasting one.
UPDATE batchjob_definitions SET entity = 'nowhere' WHERE job_id = :job;
DELETE FROM metricsandtables;
:due();
SELECT slot, state, reason FROM slots WHERE job_id = :job AND slot > '2024-01-17' ORDER BY slot;

-- Jobs of a dropped role.
CREATE ROLE regress_batchagg_dora;
SELECT make_job('EVERYDAY', 'skip', '2024-01-17 12:00', 'outdoors') AS orphan \gset
UPDATE batch_jobs SET owner = 'regress_batchagg_dora' WHERE id = :orphan;
SET allow_system_table_mods = on;
DELETE FROM pg_authid WHERE rolname = 'regress_batchagg_dora';
RESET allow_system_table_mods;
SELECT batchagg_set_clock('2024-01-19 00:00:01', '2024-01-19 00:00:01');
DELETE FROM batch_jobs WHERE id = :job;
\set VERBOSITY terse
SELECT status FROM batchagg_run_due();
\set VERBOSITY default
SELECT state FROM batchagg_slots WHERE job_id = :orphan ORDER BY slot;

--
-- Changes of jobs and events.
--
TRUNCATE batch_jobs CASCADE;
SELECT count(*) FROM batchagg_ledger;
ALTER TABLE batch_jobs ALTER id RESTART;
INSERT INTO batchagg_events (event_name, schedule) VALUES ('SHIFT', '0 6,14,22 * * *');
SELECT batchagg_set_clock('2024-02-01 12:00', '2024-02-01 12:00');
SELECT make_job('EVERYDAY', 'each', '2024-01-29 12:00'), make_job('shift', 'each', '2024-01-31 12:00'), make_job('EVERYDAY', 'skip', '2024-01-29 12:00');
SELECT job_id, slots, next_slot FROM batchagg_expected_slots() ORDER BY 1;
SELECT id, scheduled_from FROM batch_jobs ORDER BY 1;
-- Another event, and another meaning of the same: past slots are not expected.
UPDATE batch_jobs SET event_name = 'EVERY6HOURS' WHERE id = 1;
SELECT id, scheduled_from FROM batch_jobs ORDER BY 1;
UPDATE batchagg_events SET schedule = '0 7,15,23 * * *' WHERE event_name = 'SHIFT';
SELECT id, scheduled_from FROM batch_jobs ORDER BY 1;
SELECT job_id, slots, next_slot FROM batchagg_expected_slots() ORDER BY 1;
SELECT batchagg_set_clock('2024-02-01 12:30', '2024-02-01 12:30');
UPDATE batchagg_events SET timezone = 'Asia/Tokyo' WHERE event_name = 'SHIFT';
SELECT id, scheduled_from FROM batch_jobs ORDER BY 1;
-- A description means nothing, nor does a change of what else is in a job's row.
SELECT batchagg_set_clock('2024-02-01 13:00', '2024-02-01 13:00');
UPDATE batchagg_events SET description = 'Shifts' WHERE event_name = 'SHIFT';
UPDATE batch_jobs SET enable_flag = true, missed_runs = 'coalesce', event_name = event_name;
SELECT id, scheduled_from FROM batch_jobs ORDER BY 1;
-- A row that takes the place of a name of the grammar.
INSERT INTO batchagg_events (event_name, schedule) VALUES ('EveryDay', '0 9 * * *');
SELECT id, scheduled_from FROM batch_jobs ORDER BY 1;
SELECT job_id, next_slot FROM batchagg_expected_slots() ORDER BY 1;

-- Events in use stay.
DELETE FROM batchagg_events WHERE event_name = 'SHIFT';
UPDATE batchagg_events SET event_name = 'SHIFTS' WHERE event_name = 'SHIFT';
UPDATE batchagg_events SET schedule = '0 25 * * *' WHERE event_name = 'SHIFT';
UPDATE batchagg_events SET schedule = '' WHERE event_name = 'SHIFT';
UPDATE batchagg_events SET timezone = 'Atlantis/Capital' WHERE event_name = 'SHIFT';
DELETE FROM batchagg_events WHERE event_name = 'EVERYHOUR';
UPDATE batchagg_events SET schedule = '5 * * * *' WHERE event_name = 'EVERYHOUR';
-- An event that has gone all the same leaves a job that is never due.
SET session_replication_role = replica;
DELETE FROM batchagg_events WHERE event_name = 'SHIFT';
RESET session_replication_role;
SELECT job_id FROM batchagg_expected_slots() ORDER BY 1;
SELECT job_id, state, reason, next_run FROM jobs WHERE job_id = 2;
SELECT batchagg_set_clock('2024-02-03 10:00', '2024-02-03 10:00');
:due();
INSERT INTO batchagg_events (event_name, schedule) VALUES ('SHIFT', '0 6,14,22 * * *');
SELECT job_id, slot, state, slots FROM batchagg_slots ORDER BY 1, 2;

-- With a job goes its ledger.
DELETE FROM batch_jobs WHERE id = 1;
SELECT DISTINCT job_id FROM batchagg_ledger ORDER BY 1;
BEGIN;
DELETE FROM batch_jobs;
SELECT count(*) FROM batchagg_ledger;
ROLLBACK;
SELECT count(*) > 0 AS back FROM batchagg_ledger;

--
-- Bad input.
--
:due('EVERYDAI');
\echo :LAST_ERROR_SQLSTATE
:due('');
BEGIN READ ONLY;
:due();
ROLLBACK;
\set VERBOSITY terse
UPDATE batch_jobs SET job_timeout = 0;
UPDATE batch_jobs SET job_timeout = -1;
UPDATE batch_jobs SET max_retries = -1;
UPDATE batch_jobs SET retry_delay = -1;
UPDATE batch_jobs SET missed_runs = 'never';
UPDATE batch_jobs SET scheduled_from = NULL;
UPDATE batch_jobs SET scheduled_from = '-infinity';
UPDATE batch_jobs SET scheduled_from = 'infinity';
\set VERBOSITY default
-- The ends of what it can be are no harm.  With another event it is
-- kept where it is set too.
UPDATE batch_jobs SET scheduled_from = '1900-01-01 00:00+00' WHERE id = 2;
UPDATE batch_jobs SET scheduled_from = '9999-12-31 23:59+00', event_name = '@yearly' WHERE id = 3;
SELECT id, scheduled_from FROM batch_jobs ORDER BY 1;
DELETE FROM batchagg_ledger;
SELECT job_id, first_slot, slot, slots, next_slot FROM batchagg_expected_slots() ORDER BY 1;
:due();

--
-- Roles: each sees the slots of its own jobs.
--
TRUNCATE batch_jobs CASCADE;
ALTER TABLE batch_jobs ALTER id RESTART;
CREATE ROLE regress_batchagg_alice;
CREATE ROLE regress_batchagg_bob;
GRANT SELECT ON visit TO regress_batchagg_alice, regress_batchagg_bob;
SELECT make_job('EVERYHOUR', 'each', '2024-02-03 08:30'), make_job('EVERYHOUR', 'skip', '2024-02-03 08:30');
UPDATE batch_jobs SET owner = 'regress_batchagg_alice' WHERE id = 1;
SET ROLE regress_batchagg_bob;
SELECT count(*) FROM batchagg_expected_slots();
:due();
SET ROLE regress_batchagg_alice;
SELECT job_id, slot, slots FROM batchagg_expected_slots();
:due();
SELECT job_id, slot, state FROM batchagg_slots ORDER BY slot;
SELECT job_id, state FROM batchagg_jobs;
SELECT job_id, slot, state FROM batchagg_ledger ORDER BY slot;
UPDATE batchagg_ledger SET state = 'done';
DELETE FROM batchagg_ledger;
INSERT INTO batchagg_ledger (job_id, slot, state) VALUES (1, '2024-02-03 10:00', 'done');
TRUNCATE batchagg_ledger;
SET ROLE regress_batchagg_bob;
SELECT count(*) FROM batchagg_slots;
SELECT count(*) FROM batchagg_jobs;
SELECT count(*) FROM batchagg_ledger;
-- Deleting one's job takes its slots along.
SET ROLE regress_batchagg_alice;
DELETE FROM batch_jobs;
RESET ROLE;
SELECT job_id, count(*) FROM batchagg_ledger GROUP BY 1;

-- The service is the superuser's, even where somebody has been let.
SET ROLE regress_batchagg_alice;
SELECT batchagg_start();
SELECT batchagg_stop();
SELECT batchagg_set_clock(NULL, NULL);
SELECT batchagg_wake();
RESET ROLE;
GRANT EXECUTE ON FUNCTION batchagg_start, batchagg_stop, batchagg_set_clock TO regress_batchagg_alice;
SET ROLE regress_batchagg_alice;
SELECT batchagg_start();
SELECT batchagg_stop();
SELECT batchagg_set_clock(NULL, NULL);
CREATE TEMPORARY TABLE mine (id integer);
CREATE TRIGGER t AFTER DELETE ON mine FOR EACH ROW EXECUTE FUNCTION batchagg_job_deleted();
CREATE TRIGGER t AFTER DELETE ON mine FOR EACH STATEMENT EXECUTE FUNCTION batchagg_jobs_changed();
DROP TABLE mine;
RESET ROLE;

-- By the true clock.
SELECT batchagg_set_clock(NULL, NULL);
TRUNCATE batch_jobs CASCADE;
INSERT INTO batch_jobs (id, event_name, missed_runs, scheduled_from)
SELECT n, to_char(now() - interval '6 hours', '"0 "HH24" * * *"'), (ARRAY['coalesce', 'each', 'skip'])[n], now() - interval '3 days' FROM generate_series(1, 3) n;
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) SELECT id, 'user', 'visit', '1-day' FROM batch_jobs;
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) SELECT id, 'pages', 'sum' FROM batch_jobs;
SELECT job_id, slots, reason, next_slot > now() AS later FROM batchagg_expected_slots() ORDER BY 1;
SELECT job_id, state, reason, next_run < now() AS due FROM batchagg_jobs ORDER BY 1;
SELECT job_id, status, results FROM batchagg_run_due();
SELECT job_id, status, results FROM batchagg_run_due();
SELECT job_id, status, results FROM batchagg_run_due();
SELECT job_id, status, results FROM batchagg_run_due();
SELECT job_id, state, slots, reason LIKE 'nobody%' AS nobody FROM batchagg_slots ORDER BY job_id, slot;

DROP VIEW slots, jobs;
DROP EXTENSION batchagg;
DROP FUNCTION make_job;
DROP TABLE visit, weather CASCADE;
DROP FUNCTION may_read;
DROP ROLE regress_batchagg_alice, regress_batchagg_bob;
