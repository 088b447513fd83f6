-- Limits of what the rows of jobs may say: the service reads all of them, of all
-- roles, and what one role writes must not be too much for it.  They hold while a dump
-- is restored too (search_path is empty then), and where no trigger looks.
CREATE EXTENSION batchagg;
SET timezone = 'UTC';
SET datestyle = 'ISO';
INSERT INTO batch_jobs (job_name, event_name) VALUES ('job', 'EVERYHOUR');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (1, 'user', 'visit', '1-hour');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (1, 'pages', 'sum');
SET client_min_messages = error;
INSERT INTO metricsandtables (metricname, tablename) VALUES ('pages', 'visit');
RESET client_min_messages;
INSERT INTO RuleExecutionResults (entity_id, timestamp, metric_name, metric_value) VALUES ('a', '2024-01-01', 'pages', 1);

-- Every text of these tables has a limit; the longest that is allowed is stored.
CREATE PROCEDURE try(tab text, col text, bytes integer, restoring boolean) LANGUAGE plpgsql AS $$
BEGIN
	IF restoring THEN
		SET LOCAL search_path = '';
	END IF;
	EXECUTE format('UPDATE %s SET %I = repeat(%L, %s)%s', tab, col, 'x', bytes,
		CASE WHEN tab LIKE '%events' THEN ' WHERE NOT built_in' END);
	RAISE NOTICE '%.%: % bytes are stored', regexp_replace(tab, '.*\.', ''), col, bytes;
EXCEPTION WHEN others THEN
	RAISE NOTICE '%.%: % (%)', regexp_replace(tab, '.*\.', ''), col, left(SQLERRM, 80), SQLSTATE;
END $$;
CREATE PROCEDURE try_all(bytes integer, restoring boolean) LANGUAGE plpgsql AS $$
DECLARE
	c record;
BEGIN
	FOR c IN SELECT a.attrelid::regclass AS tab, attname, format('%I.%I', r.relnamespace::regnamespace, relname) AS qualified
		FROM pg_attribute a JOIN pg_class r ON r.oid = a.attrelid
		WHERE atttypid = 'text'::regtype AND attnum > 0 AND NOT attisdropped
		AND a.attrelid = ANY ('{batch_jobs, batchjob_definitions, batchjob_metrics, metricsandtables, batchagg_measurements, batchagg_events}'::regclass[])
		AND attname NOT IN ('missed_runs', 'layout')
		ORDER BY a.attrelid::regclass::text, attname
	LOOP
		IF c.tab = 'batchagg_events'::regclass THEN
			INSERT INTO batchagg_events VALUES ('MINE', '0 0 * * *', NULL, '', false) ON CONFLICT DO NOTHING;
		END IF;
		CALL try(c.qualified, c.attname, bytes, restoring);
	END LOOP;
END $$;
CALL try_all(1000000, false);
CALL try_all(1000000, true);
-- No trigger: the tables' own limits.
SET session_replication_role = replica;
CALL try_all(1000000, false);
RESET session_replication_role;

-- One byte makes the difference.
UPDATE batch_jobs SET job_name = repeat('x', 1000);
UPDATE batch_jobs SET job_name = repeat('x', 1001);
UPDATE batch_jobs SET job_name = repeat('ä', 501);

-- Numbers and times.
UPDATE batch_jobs SET max_retries = 1000, retry_delay = 86400;
UPDATE batch_jobs SET max_retries = 1001;
UPDATE batch_jobs SET retry_delay = 86401;
UPDATE batch_jobs SET scheduled_from = '9999-12-31 23:59:59';
UPDATE batch_jobs SET scheduled_from = '10000-01-01';
UPDATE batch_jobs SET scheduled_from = '1899-12-31 23:59:59';
UPDATE batch_jobs SET scheduled_from = 'infinity';
UPDATE batch_jobs SET created_at = '-infinity';
INSERT INTO batch_jobs (event_name, updated_at) VALUES ('EVERYHOUR', '294276-12-31');
SET session_replication_role = replica;
\set VERBOSITY terse
UPDATE batch_jobs SET updated_at = '294276-12-31';
UPDATE batch_jobs SET created_at = '294276-12-31';
UPDATE batch_jobs SET scheduled_from = '294276-12-31';
UPDATE batch_jobs SET max_retries = 1001;
UPDATE batch_jobs SET retry_delay = -1;
\set VERBOSITY default
RESET session_replication_role;

-- A job may have less time than the setting says, and not more.
SET batchagg.job_timeout = '10min';
UPDATE batch_jobs SET job_timeout = 600;
UPDATE batch_jobs SET job_timeout = 601;
UPDATE batch_jobs SET job_name = 'job';
SET batchagg.job_timeout = 0;
UPDATE batch_jobs SET job_timeout = 2147483647;
RESET batchagg.job_timeout;
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_alice;
RESET client_min_messages;
CREATE ROLE regress_batchagg_alice;
SET ROLE regress_batchagg_alice;
SET batchagg.job_timeout = 0;
RESET ROLE;
DROP ROLE regress_batchagg_alice;

-- A job's last success is found by an index, however many runs have failed.
INSERT INTO batchagg_runs (run_id, job_id, slot, started_at, status) OVERRIDING SYSTEM VALUE
SELECT i, 1, now(), now(), CASE WHEN i < 3 THEN 'succeeded' ELSE 'failed' END FROM generate_series(1, 20000) i;
ANALYZE batchagg_runs;
CREATE FUNCTION rows_read(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	line text;
	n bigint := 0;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, TIMING off, SUMMARY off, COSTS off) ' || query LOOP
		n := greatest(n, substring(line FROM 'Rows Removed by Filter: (\d+)')::bigint);
	END LOOP;
	RETURN n;
END $$;
SELECT rows_read('SELECT * FROM batchagg_jobs') < 100 AS by_index;

DROP FUNCTION rows_read;
DROP PROCEDURE try_all;
DROP PROCEDURE try;
DROP EXTENSION batchagg CASCADE;
