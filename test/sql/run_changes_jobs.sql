-- Code in a source that changes or deletes what is being run is refused; results never
-- stay behind without the job that they are of.
CREATE EXTENSION batchagg;
CREATE TABLE base (user_id text, ts timestamptz, n integer);
INSERT INTO base VALUES ('a', '2024-01-01+00', 1);
CREATE TABLE what (command text);
CREATE FUNCTION meddle(integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE c text;
BEGIN
	SELECT command INTO c FROM public.what;
	EXECUTE c;
	RETURN $1;
END $$;
CREATE VIEW meddling AS SELECT user_id, ts, public.meddle(n) AS n FROM base;
INSERT INTO what VALUES ('SELECT 1');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'meddling', '{day}', '{"n": "sum"}', tablename => 'meddling', job_name => 'mine') AS job \gset

CREATE PROCEDURE try(text) LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	UPDATE what SET command = $1;
	SELECT status INTO r FROM batchagg_run_job('mine');
	RAISE NOTICE '%: %', $1, r.status;
EXCEPTION WHEN OTHERS THEN
	RAISE NOTICE '%: %', $1, SQLERRM;
END $$;

CALL try('DELETE FROM public.batch_jobs');
CALL try('UPDATE public.batch_jobs SET enable_flag = false');
CALL try('INSERT INTO public.batch_jobs (event_name) VALUES (''EVERYDAY'')');
CALL try('TRUNCATE public.batch_jobs CASCADE');
CALL try('DELETE FROM public.batchjob_definitions');
CALL try('UPDATE public.batchjob_definitions SET granularity = ''1-hour''');
CALL try('DELETE FROM public.batchjob_metrics');
CALL try('INSERT INTO public.batchjob_metrics SELECT job_id, ''m'', ''sum'' FROM public.batchjob_definitions');
CALL try('DELETE FROM public.metricsandtables');
CALL try('DELETE FROM public.batchagg_events');
CALL try('SELECT public.batchagg_create_job(''EVERYDAY'', ''user'', ''base'', ''{day}'', ''{"n": "sum"}'')');
-- Settings by which an error would end the session, and the runs of all other jobs in it.
CALL try('SET exit_on_error = on');
CALL try('SELECT set_config(''exit_on_error'', ''on'', true), 1 / 0');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'base', '{day}', '{"n": "max"}', job_name => 'other') IS NOT NULL AS made;
UPDATE what SET command = 'SET LOCAL exit_on_error = on; SELECT 1 / 0';
SELECT status FROM batchagg_run_all();
CALL try('SET exit_on_error = off');
SET exit_on_error = on;
RESET exit_on_error;
DELETE FROM batch_jobs WHERE job_name = 'other';
-- What is no matter of the run's is allowed, and so is all that after it.
CALL try('INSERT INTO public.RuleExecutionResults (entity_id, "timestamp", metric_name, metric_value) VALUES (''e'', ''2024-01-01'', ''rain'', 1)');
SELECT count(*) FROM batchagg_store WHERE layout_id NOT IN (SELECT id FROM batchagg_layouts);
SELECT job_name, entity_id, metric_name, metric_value FROM RuleExecutionResults ORDER BY metric_name;
DELETE FROM batch_jobs;
SELECT count(*) FROM batchagg_store;

DROP VIEW meddling;
DROP TABLE base, what;
DROP FUNCTION meddle(integer);
DROP PROCEDURE try(text);
DROP EXTENSION batchagg;
