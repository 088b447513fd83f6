-- Random jobs over two sources, in column and in row layout: what they store
-- when they run together must be, to the bit, what each stores alone.
--
-- Each round makes jobs, runs all of them in one statement, which lets those
-- that read one source share its scan, and then each by itself.  A run that
-- finds anything to change is an error, and so is one that fails.  In some rounds
-- there is memory for a few groups only.
--
-- BATCHAGG_SEED in the environment, an integer, repeats a run.

SET timezone = 'UTC';
SET client_min_messages = warning;

CREATE EXTENSION IF NOT EXISTS batchagg;

\ir ../lib/seed.sql

CREATE TABLE wide (user_id text, site_id integer, ts timestamptz, c1 float8, c2 float8, c3 integer, c4 numeric, c5 boolean);
INSERT INTO wide
SELECT CASE WHEN random() < 0.98 THEN 'u' || floor(random() * 9) END, floor(random() * 4),
	CASE WHEN random() < 0.98 THEN '2024-03-20 00:00+00'::timestamptz + random() * interval '40 days' END,
	(random() - 0.5) * 10 ^ (random() * 30 - 15), CASE WHEN random() < 0.5 THEN random() END, random() * 100, random() * 1000, random() < 0.5
FROM generate_series(1, 3000);
CREATE TABLE long (user_id text, site_id integer, ts timestamptz, metric_name text, metric_value float8);
INSERT INTO long
SELECT 'u' || floor(random() * 9), floor(random() * 4), '2024-03-20 00:00+00'::timestamptz + random() * interval '40 days',
	(ARRAY['c1', 'C1', 'c2', 'c.3', 'c.3', 'c4', 'other', NULL])[floor(random() * 8 + 1)],
	CASE WHEN random() < 0.9 THEN (random() - 0.5) * 10 ^ (random() * 30 - 15) END
FROM generate_series(1, 3000);

-- One of a list.
CREATE FUNCTION pick(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT choices[floor(random() * cardinality(choices)) + 1]
$$;

-- The jobs of a round: those of a source next to each other.
CREATE PROCEDURE make_jobs() LANGUAGE plpgsql AS $$
DECLARE
	source text;
	job integer;
BEGIN
	DELETE FROM batch_jobs;
	FOREACH source IN ARRAY ARRAY['wide', 'long'] LOOP
		FOR i IN 1 .. 6 LOOP
			INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR') RETURNING id INTO job;
			INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, timezone, resource_filter, job_delay, complete_only)
			SELECT DISTINCT job, pick('user', 'user', 'site', '*'), source, pick('30-minute', '1-hour', '4-hour', '1-day', '1-day', '1-week', '1-month'),
				pick('UTC', 'UTC', 'UTC', 'Europe/Berlin'), pick(NULL, NULL, NULL, 'site_id > 1', 'site_id <> 2'), pick('0', '0', '20000')::integer,
				pick('true', 'false')::boolean
			FROM generate_series(1, 1 + floor(random() * 2)::integer);
			INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
			SELECT job, m, (SELECT string_agg(a, ',') FROM (SELECT DISTINCT pick('sum', 'sum', 'avg', 'count', 'min', 'max', 'std', 'var_pop', 'range', 'first',
					'last', 'delta', 'distinct', 'median', 'p95') || left(m, 0) AS a FROM generate_series(1, 3)) a)
			FROM unnest(CASE source WHEN 'wide' THEN ARRAY['c1', 'C2', 'c3', 'c4', 'c5'] ELSE ARRAY['c1', 'c2', 'C.3', 'c4', 'absent'] END) m
			WHERE random() < 0.6 OR m = 'c1';
		END LOOP;
	END LOOP;
END $$;

DO $$
DECLARE
	r record;
	shared bigint := 0;
BEGIN
	FOR round IN 1 .. 40 LOOP
		CALL make_jobs();
		PERFORM set_config('batchagg.work_mem', pick('64kB', '4MB'), false);
		FOR r IN SELECT * FROM batchagg_run_all() LOOP
			IF r.status <> 'succeeded' THEN
				RAISE EXCEPTION 'round %: job % %', round, r.job_id, r.status;
			END IF;
			shared := shared + r.results;
		END LOOP;
		PERFORM set_config('batchagg.work_mem', pick('64kB', '4MB'), false);
		FOR r IN SELECT j.id, a.* FROM batch_jobs j, LATERAL batchagg_run_job(j.id) a LOOP
			IF r.status <> 'succeeded' OR r.changed <> 0 THEN
				RAISE EXCEPTION 'round %: job % alone has % and changes %', round, r.id, r.status, r.changed;
			END IF;
		END LOOP;
	END LOOP;
	IF shared = 0 THEN
		RAISE EXCEPTION 'no results';
	END IF;
	-- Jobs that had failed together would have been given other numbers.
	IF (SELECT last_value FROM batchagg_runs_run_id_seq) <> 40 * 24 THEN
		RAISE EXCEPTION 'jobs did not run together';
	END IF;
END $$;
