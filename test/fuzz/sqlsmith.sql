-- What sqlsmith finds to make queries of: sources, jobs, results, and functions that
-- call batchagg's with whatever arguments come.
SET statement_timeout = 0;
CREATE EXTENSION batchagg;
CREATE ROLE smith_owner LOGIN;
GRANT CREATE ON SCHEMA public TO smith_owner;
GRANT ALL ON batch_jobs, batchjob_definitions, batchjob_metrics, metricsandtables TO smith_owner;

SET ROLE smith_owner;
CREATE TABLE activity (user_id integer, ts timestamptz, hits float8, status text);
INSERT INTO activity
SELECT i % 7, '2024-03-25'::timestamptz + i * interval '17 minutes', i, (ARRAY['active', 'idle'])[1 + i % 2] FROM generate_series(1, 2000) i;
CREATE TABLE visits (id uuid, ts timestamp, pages integer, price numeric);
INSERT INTO visits
SELECT md5((i % 9)::text)::uuid, '2024-03-25'::timestamp + i * interval '41 minutes', i % 11, i / 7.0 FROM generate_series(1, 1000) i;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'activity', '{1-hour,1-day}', '{"hits": "sum,count,median"}', 'activity',
	resource_filter => 'status = "active"', job_name => 'activity');
SELECT batchagg_create_job('EVERYDAY8AMET', 'visits', 'visits', '{1-day,1-month}', '{"pages": "sum,p95", "price": "avg,last"}', 'visits',
	job_name => 'visits');
RESET ROLE;
SELECT batchagg_track_source('activity', 'log');
SELECT batchagg_track_source('visits', 'snapshot');
SELECT batchagg_run_all();
INSERT INTO activity SELECT user_id, ts, hits, 'idle' FROM activity WHERE hits < 100;
SELECT batchagg_run_all();

-- sqlsmith takes each function of the catalogue as often as another, and none that
-- returns a set; so batchagg's are wrapped, and there are many of each.
DO $$
DECLARE
	call text[];
BEGIN
	FOREACH call SLICE 1 IN ARRAY ARRAY[
		ARRAY['bucket', 'text, timestamptz, text', 'timestamptz', 'batchagg_bucket($1, $2, $3)'],
		ARRAY['bucket_of', 'timestamptz', 'timestamptz', 'batchagg_bucket(''7-hour'', $1, ''Europe/Berlin'')'],
		ARRAY['next_runs', 'text, integer, timestamptz', 'timestamptz', '(SELECT max(t) FROM batchagg_next_runs($1, $2, $3) t)'],
		ARRAY['next_hours', 'integer, timestamptz', 'timestamptz', '(SELECT max(t) FROM batchagg_next_runs(''EVERYDAY8AMET'', $1, $2) t)'],
		ARRAY['validate', 'integer', 'bigint', '(SELECT count(*) FROM batchagg_validate_job($1))'],
		ARRAY['validate_named', 'text', 'bigint', '(SELECT count(*) FROM batchagg_validate_job($1))'],
		ARRAY['run', 'integer, boolean', 'text', '(SELECT status FROM batchagg_run_job(1 + abs($1 % 3), $2))'],
		ARRAY['run_event', 'text', 'bigint', '(SELECT count(*) FROM batchagg_run_event($1))'],
		ARRAY['run_all', '', 'bigint', '(SELECT count(*) FROM batchagg_run_all())'],
		ARRAY['explain', 'integer', 'text', '(SELECT max(e::text) FROM batchagg_explain_job(1 + abs($1 % 3)) e)'],
		ARRAY['verify', 'integer', 'bigint', '(SELECT count(*) FROM batchagg_verify_job(1 + abs($1 % 3)))'],
		ARRAY['progress', '', 'bigint', '(SELECT count(*) FROM batchagg_progress())'],
		ARRAY['expected', '', 'bigint', '(SELECT count(*) FROM batchagg_expected_slots())'],
		ARRAY['cancel', 'bigint', 'boolean', 'batchagg_cancel($1)'],
		ARRAY['note', 'integer, timestamptz, integer', 'boolean', 'batchagg_note($1, $2, $3)'],
		ARRAY['note_text', 'integer, text, text', 'boolean', 'batchagg_note(1 + abs($1 % 3), $2, $3)'],
		ARRAY['settle', 'text', 'text', 'batchagg_settle_source($1::regclass)'],
		ARRAY['track', 'text, text', 'text', 'batchagg_track_source($1::regclass, $2)::text'],
		ARRAY['pg_cron', 'text', 'text', 'batchagg_pg_cron_schedule($1)'],
		ARRAY['create_job', 'text, text, text', 'integer',
			'batchagg_create_job(''EVERYHOUR'', $1, ''activity'', ''{1-day}'', ''{"hits": "sum"}'', ''activity'', resource_filter => $2, job_name => $3)']]
	LOOP
		FOR i IN 1 .. 40 LOOP
			EXECUTE format('CREATE FUNCTION smith_%s_%s(%s) RETURNS %s VOLATILE LANGUAGE sql AS %L',
				call[1], i, call[2], call[3], 'SELECT ' || call[4]);
		END LOOP;
	END LOOP;
END $$;
