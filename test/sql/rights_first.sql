-- What a role that may only connect can do to others' jobs: nothing, not even keep them
-- waiting, or learn that they are there.  (isolation:rights_first has what needs two
-- sessions.)

-- What an interrupted run may have left.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_alice, regress_batchagg_mallory;
RESET client_min_messages;
CREATE EXTENSION batchagg;
CREATE ROLE regress_batchagg_alice;
CREATE ROLE regress_batchagg_mallory;
CREATE SCHEMA rights;
GRANT ALL ON SCHEMA rights TO PUBLIC;
SET ROLE regress_batchagg_alice;
CREATE TABLE rights.hers (user_id text, ts timestamptz, n integer);
INSERT INTO rights.hers VALUES ('a', '2024-01-01+00', 1);
SELECT batchagg_create_job('EVERYHOUR', 'user', 'rights.hers', '{day}', '{"n": "sum"}', job_name => 'daily') AS job \gset
SELECT status FROM batchagg_run_job('daily');
RESET ROLE;
SELECT last_value AS before FROM batchagg_runs_run_id_seq \gset

-- Jobs that are there, and that are not, are the same to her; nothing is counted.
SET ROLE regress_batchagg_mallory;
SELECT batchagg_run_job(:job);
SELECT batchagg_run_job(4711);
CALL batchagg_backfill(:job);
CALL batchagg_backfill(4711);
SELECT batchagg_cancel(1);
SELECT batchagg_cancel(4711);
SELECT * FROM batchagg_run_event('EVERYHOUR');
RESET ROLE;
SELECT last_value = :before AS nothing_counted FROM batchagg_runs_run_id_seq;

-- Nobody locks the tables, by no name and through no view.
SET ROLE regress_batchagg_mallory;
CREATE VIEW rights.mine AS SELECT * FROM batch_jobs;
CREATE VIEW rights.nested AS SELECT (SELECT count(*) FROM rights.mine) AS n;
BEGIN; LOCK TABLE batch_jobs; ROLLBACK;
BEGIN; LOCK TABLE ONLY public.batch_jobs IN SHARE ROW EXCLUSIVE MODE NOWAIT; ROLLBACK;
BEGIN; LOCK TABLE rights.hers, batchjob_definitions IN SHARE MODE; ROLLBACK;
BEGIN; LOCK TABLE batchjob_metrics; ROLLBACK;
BEGIN; LOCK TABLE metricsandtables; ROLLBACK;
BEGIN; LOCK TABLE batchagg_measurements; ROLLBACK;
BEGIN; LOCK TABLE batchagg_store; ROLLBACK;
BEGIN; LOCK TABLE RuleExecutionResults; ROLLBACK;
BEGIN; LOCK TABLE rights.mine; ROLLBACK;
BEGIN; LOCK TABLE rights.nested; ROLLBACK;
-- What INSERT takes too is another matter, and so are her own tables.
CREATE TABLE rights.own ();
BEGIN; LOCK TABLE batch_jobs IN ROW EXCLUSIVE MODE; LOCK TABLE rights.own; LOCK TABLE rights.mine IN ACCESS SHARE MODE; ROLLBACK;
LOCK TABLE batch_jobs;
LOCK TABLE nowhere;
-- Nor by commands that lock it first, and then look for a right to do what they are for;
-- who has been given that may.
CREATE RULE trap AS ON INSERT TO batch_jobs DO INSTEAD NOTHING;
CREATE RULE trap AS ON INSERT TO RuleExecutionResults DO INSTEAD NOTHING;
CREATE TRIGGER trap BEFORE INSERT ON batch_jobs EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE TABLE rights.refers (job integer REFERENCES batch_jobs);
ALTER TABLE rights.own ADD job integer REFERENCES batch_jobs;
ALTER TABLE rights.own ADD job integer, ADD FOREIGN KEY (job) REFERENCES batch_jobs;
CREATE TABLE rights.refers (own integer PRIMARY KEY, job integer REFERENCES rights.refers);
CREATE TABLE rights.refers_part PARTITION OF batch_jobs DEFAULT;
CREATE TABLE rights.refers_part () INHERITS (batch_jobs);
CREATE TABLE rights.parts (id integer) PARTITION BY LIST (id);
ALTER TABLE rights.parts ATTACH PARTITION batch_jobs DEFAULT;
ALTER TABLE rights.parts DETACH PARTITION batch_jobs;
CREATE INDEX parts_idx ON rights.parts (id);
ALTER INDEX rights.parts_idx ATTACH PARTITION batch_jobs_pkey;
-- Among her own tables all of that works.
CREATE TABLE rights.part PARTITION OF rights.parts FOR VALUES IN (1);
ALTER TABLE rights.parts DETACH PARTITION rights.part;
ALTER TABLE rights.parts ATTACH PARTITION rights.part DEFAULT;
ALTER TABLE rights.part ALTER id SET NOT NULL;
CREATE UNIQUE INDEX part_key ON rights.part (id);
ALTER TABLE rights.part REPLICA IDENTITY USING INDEX part_key;
CREATE RULE part AS ON DELETE TO rights.part DO INSTEAD NOTHING;
RESET ROLE;
GRANT REFERENCES (id) ON batch_jobs TO regress_batchagg_mallory;
SET ROLE regress_batchagg_mallory;
ALTER TABLE rights.refers ADD FOREIGN KEY (own) REFERENCES batch_jobs;
RESET ROLE;
REVOKE REFERENCES (id) ON batch_jobs FROM regress_batchagg_mallory;
BEGIN; LOCK TABLE batch_jobs; ROLLBACK;

-- Names are one's own, so that nobody takes others' in advance, or learns of them.
SET ROLE regress_batchagg_mallory;
CREATE TABLE rights.mallorys (user_id text, ts timestamptz, n integer);
SELECT batchagg_create_job('EVERYHOUR', 'user', 'rights.mallorys', '{day}', '{"n": "sum"}', job_name => 'daily') IS NOT NULL AS made;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'rights.mallorys', '{day}', '{"n": "sum"}', job_name => 'daily');
INSERT INTO batch_jobs (event_name, job_name) VALUES ('EVERYHOUR', 'daily');
SELECT status, rows_read FROM batchagg_run_job('daily');
SET ROLE regress_batchagg_alice;
SELECT status, rows_read FROM batchagg_run_job('daily');
RESET ROLE;
SELECT batchagg_run_job('daily');
INSERT INTO batch_jobs (event_name, job_name) VALUES ('EVERYHOUR', 'daily');
SELECT message FROM batchagg_validate_job('daily');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'rights.hers', '{day}', '{"n": "sum"}', job_name => 'later') IS NOT NULL AS made;

-- Nor are ids.
SELECT max(id) AS top FROM batch_jobs \gset
SET ROLE regress_batchagg_mallory;
INSERT INTO batch_jobs (id, event_name) VALUES (:job, 'EVERYHOUR');
INSERT INTO batch_jobs (id, event_name) VALUES (4711, 'EVERYHOUR');
INSERT INTO batch_jobs (id, event_name) VALUES (:top + 1, 'EVERYHOUR');
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR') RETURNING id = :top + 1 AS next;
INSERT INTO batch_jobs (event_name) SELECT 'EVERYDAY' FROM generate_series(1, 3);
UPDATE batch_jobs SET id = 4711 WHERE job_name = 'daily';
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity) SELECT 4711, id, 'user', 'x', 'day' FROM batch_jobs WHERE job_name = 'daily';
UPDATE batchjob_definitions SET id = 4711;
SELECT count(*), max(id) - :top AS drawn FROM batch_jobs;
\c -
SET ROLE regress_batchagg_mallory;
INSERT INTO batch_jobs (id, event_name) VALUES (4711, 'EVERYHOUR');
RESET ROLE;
INSERT INTO batch_jobs (id, event_name) VALUES (4711, 'EVERYHOUR') RETURNING id;

-- A table that is not there yet is that of who writes its name: in nobody else's schema.
CREATE SCHEMA trap;
SET ROLE regress_batchagg_alice;
SET search_path = rights, public;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'later', '{day}', '{"v": "sum"}', job_name => 'later', validate => false) AS later \gset
INSERT INTO metricsandtables (metricname, tablename) VALUES ('w', 'soon'), ('w', 'My Soon'), ('w', 'rights.soon too');
SELECT entity, source_table FROM batchjob_definitions WHERE job_id = :later;
SELECT tablename FROM metricsandtables ORDER BY 1;
DELETE FROM metricsandtables;
RESET ROLE;
CREATE TABLE trap.later (user_id text, ts timestamptz, v integer);
SET search_path = trap, public;
SELECT batchagg_run_job(:later);
SET ROLE regress_batchagg_alice;
CREATE TABLE rights.later (user_id text, ts timestamptz, v integer);
INSERT INTO rights.later VALUES ('a', '2024-01-01+00', 1);
RESET ROLE;
SELECT status, rows_read FROM batchagg_run_job(:later);
SELECT source FROM batchagg_layouts WHERE job_id = :later;

-- An empty search_path is that of a dump that is restored, but not of anybody.
SET ROLE regress_batchagg_mallory;
SET search_path = '';
INSERT INTO public.batch_jobs (event_name) VALUES ('NEVER');
INSERT INTO public.batchjob_definitions (job_id, focal_entity, entity, granularity, resource_filter) SELECT id, 'user', 'x', 'day', 'no (' FROM public.batch_jobs WHERE job_name = 'daily';
RESET ROLE;
RESET search_path;

-- A run is canceled by who runs it: the statement may run everybody's jobs.
DELETE FROM batch_jobs;
SET ROLE regress_batchagg_mallory;
CREATE FUNCTION rights.cancel(integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
	PERFORM public.batchagg_cancel(run_id) FROM public.batchagg_progress;
	PERFORM pg_sleep(0.01);
	RETURN $1;
END $$;
INSERT INTO rights.mallorys VALUES ('a', '2024-01-01+00', 1);
CREATE VIEW rights.canceling AS SELECT user_id, ts, rights.cancel(n) AS n FROM rights.mallorys;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'rights.canceling', '{day}', '{"n": "sum"}', job_name => 'canceling') IS NOT NULL AS made;
SET ROLE regress_batchagg_alice;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'rights.later', '{day}', '{"v": "sum"}', job_name => 'hers') IS NOT NULL AS made;
RESET ROLE;
\set VERBOSITY terse
SELECT job_name, status FROM batchagg_run_all() r JOIN batch_jobs j ON j.id = r.job_id ORDER BY j.id;
SET ROLE regress_batchagg_mallory;
SELECT batchagg_run_job('canceling');
RESET ROLE;
\set VERBOSITY default

SET client_min_messages = warning;
DROP SCHEMA rights, trap CASCADE;
DROP EXTENSION batchagg;
DROP ROLE regress_batchagg_alice, regress_batchagg_mallory;
