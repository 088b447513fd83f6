-- Code that a source runs and that changes other sources of the run: PostgreSQL refuses, as for a query.
CREATE EXTENSION batchagg;
SET TimeZone = 'UTC';
CREATE TABLE base (user_id integer, ts timestamptz, m1 integer);
INSERT INTO base SELECT i % 3, '2024-01-01'::timestamptz + i * interval '1 minute', i FROM generate_series(1, 10) i;
CREATE DOMAIN reading AS integer;
CREATE TABLE second (user_id integer, ts timestamptz, m2 integer, extra reading);
INSERT INTO second SELECT i % 3, '2024-01-01'::timestamptz + i * interval '1 minute', i FROM generate_series(1, 10) i;

-- What the first source does while it is read, or planned (as an immutable function is called then).
CREATE TABLE deeds (deed text);
CREATE FUNCTION act() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	deed text := (SELECT d.deed FROM public.deeds d);
BEGIN
	IF deed IS NOT NULL THEN
		EXECUTE deed;
	END IF;
END $$;
CREATE FUNCTION acting(x integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN PERFORM public.act(); RETURN x; END $$;
CREATE FUNCTION planned() RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM public.act(); RETURN 0; END $$;
CREATE VIEW first AS SELECT user_id, ts, public.acting(m1) AS m1 FROM base;
CREATE VIEW planner AS SELECT user_id, ts, m1 + public.planned() AS m1 FROM base;
CREATE VIEW third AS SELECT user_id, ts, m2 FROM second;

-- A job of the two, and what comes of it when the first does something.
CREATE FUNCTION tried(source text, other text, what text, deed text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	job integer;
BEGIN
	DELETE FROM public.deeds;
	DELETE FROM metricsandtables;
	INSERT INTO metricsandtables (metricname, tablename) VALUES ('m1', source), ('m2', other);
	job := batchagg_create_job('EVERYHOUR', 'user', 'x', '{1-hour}', '{"m1": "sum", "m2": "sum"}');
	IF what = 'verify' THEN
		PERFORM batchagg_run_job(job);
	END IF;
	INSERT INTO public.deeds VALUES (deed);
	EXECUTE format(CASE what
		WHEN 'run' THEN 'SELECT * FROM batchagg_run_job(%s)'
		WHEN 'dry run' THEN 'SELECT * FROM batchagg_run_job(%s, true)'
		WHEN 'explain' THEN 'SELECT * FROM batchagg_explain_job(%s)'
		WHEN 'verify' THEN 'SELECT * FROM batchagg_verify_job(%s)'
	END, job);
	RAISE EXCEPTION USING MESSAGE = 'nothing happened';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
	RETURN SQLSTATE || ' ' || message;
END $$;

SELECT what, tried('first', 'second', what, 'ALTER TABLE public.second DROP COLUMN user_id')
FROM unnest('{run,dry run,verify}'::text[]) what;
SELECT what, tried('planner', 'second', what, 'ALTER TABLE public.second DROP COLUMN user_id')
FROM unnest('{run,dry run,explain,verify}'::text[]) what;
SET client_min_messages = warning;
SELECT deed, tried('first', other, 'run', deed) FROM (VALUES
	('second', 'ALTER TABLE public.second DROP COLUMN ts'),
	('second', 'ALTER TABLE public.second DROP COLUMN m2'),
	('second', 'ALTER TABLE public.second ALTER COLUMN m2 TYPE text'),
	('second', 'ALTER TABLE public.second ALTER COLUMN ts TYPE timestamp'),
	('second', 'DROP TABLE public.second CASCADE'),
	('second', 'TRUNCATE public.second'),
	('third', 'DROP VIEW public.third'),
	('third', 'CREATE OR REPLACE VIEW public.third AS SELECT user_id, ts, m2, 1 AS more FROM public.second'),
	('third', 'ALTER TABLE public.second DROP COLUMN m2 CASCADE')) d (other, deed);

RESET client_min_messages;

-- By way of its type a column can be dropped all the same: of the id, the time, a metric.
CREATE DOMAIN whose AS integer;
CREATE DOMAIN moment AS timestamptz;
CREATE TABLE typed (user_id whose, ts moment, m2 reading);
INSERT INTO typed SELECT user_id, ts, m2 FROM second;
SET client_min_messages = warning;
SELECT type, tried('first', 'typed', 'run', format('DROP DOMAIN IF EXISTS public.%I CASCADE', type)) FROM unnest('{whose,moment,reading}'::text[]) type;
SELECT type, tried('planner', 'typed', 'explain', format('DROP DOMAIN IF EXISTS public.%I CASCADE', type)) FROM unnest('{whose,moment,reading}'::text[]) type;

RESET client_min_messages;

-- Afterwards nothing is in use any more, also after an error.
DELETE FROM deeds;
INSERT INTO metricsandtables (metricname, tablename) VALUES ('m1', 'first'), ('m2', 'second');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'x', '{1-hour,1-day}', '{"m1": "sum", "m2": "sum"}') AS job \gset
BEGIN;
SELECT status, rows_read, results FROM batchagg_run_job(:job);
SELECT count(*) FROM batchagg_verify_job(:job);
SELECT count(*) > 0 AS explained FROM batchagg_explain_job(:job);
SELECT count(*) FROM batchagg_validate_job(:job);
ALTER TABLE second ALTER COLUMN m2 TYPE bigint;
ROLLBACK;
CALL batchagg_backfill(:job);
DROP VIEW third;
ALTER TABLE second DROP COLUMN extra, ALTER COLUMN m2 TYPE bigint;
SELECT status, rows_read, results FROM batchagg_run_job(:job);
SELECT entity_id, metric_name, metric_value FROM RuleExecutionResults WHERE job_id = :job AND granularity = '1-day' ORDER BY 1, 2;
SELECT user_id, sum(m1) AS m1, sum(m2) AS m2 FROM base JOIN second USING (user_id, ts) GROUP BY 1 ORDER BY 1;

-- What is NULL is refused as such.
INSERT INTO batchagg_events (event_name, schedule, built_in) VALUES ('NONE', '0 0 * * *', NULL);
INSERT INTO batchagg_events (event_name, schedule, built_in) VALUES ('NONE', NULL, false);
INSERT INTO batchagg_events (event_name, schedule, built_in) VALUES (NULL, '0 0 * * *', false);
INSERT INTO batchagg_events (event_name, schedule) VALUES ('SOME', '0 0 * * *');
\set VERBOSITY terse
UPDATE batchagg_events SET built_in = NULL WHERE event_name = 'SOME';
INSERT INTO batch_jobs (id, event_name) VALUES (NULL, 'EVERYHOUR');
INSERT INTO batch_jobs (event_name, enable_flag, missed_runs, scheduled_from) VALUES (NULL, NULL, NULL, NULL);
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity) VALUES (NULL, NULL, NULL, NULL, NULL);
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, timezone, resource_filter) VALUES (:job, NULL, NULL, 'day', NULL, 'a = 1');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, job_delay, resource_filter) VALUES (NULL, 'user', 'base', 'day', NULL, 'm1 = 1');
INSERT INTO batchjob_metrics VALUES (NULL, NULL, NULL);
INSERT INTO metricsandtables (metricname, tablename, owner) VALUES (NULL, NULL, NULL);

DROP EXTENSION batchagg;
DROP FUNCTION tried;
DROP VIEW first, planner;
DROP TABLE base, second, typed, deeds;
DROP FUNCTION acting, planned, act;
DROP DOMAIN reading, whose, moment;
