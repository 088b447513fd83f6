-- What runs leave behind besides results: history and counters.

-- What an interrupted run may have left.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_other;
RESET client_min_messages;
CREATE EXTENSION batchagg;
SET DateStyle = ISO;
CREATE TABLE visits (user_id text, ts timestamptz, pages integer);
INSERT INTO visits SELECT 'u' || i % 5, '2024-01-01 00:00+00'::timestamptz + i * interval '7 minutes', i FROM generate_series(1, 100) i;
CREATE ROLE regress_batchagg_other;
INSERT INTO batch_jobs (job_name, event_name) VALUES ('first', 'EVERYHOUR'), ('second', 'EVERYHOUR'), (NULL, 'EVERYDAY');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) SELECT j, 'user', 'visits', '1-day' FROM generate_series(1, 3) j;
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) SELECT j, 'pages', 'sum,max' FROM generate_series(1, 3) j;

CREATE VIEW stats AS
SELECT job_id, job_name, runs, failures, rows_read, results, changed, seconds_total > 0 AS seconds,
	   abs(seconds_mean * runs - seconds_total) < 1e-9 AS mean, last_run <= now() AS last_run,
	   (SELECT sum(h) FROM unnest(histogram) h) AS in_histogram, cardinality(histogram) = cardinality(histogram_bounds) AS bounds
FROM batchagg_stats;
SELECT * FROM stats ORDER BY job_id;
SELECT histogram, histogram_bounds FROM batchagg_stats WHERE job_id = 1;

SELECT status FROM batchagg_run_job(1);
SELECT job_id, status FROM batchagg_run_event('EVERYHOUR');
SELECT * FROM stats ORDER BY job_id;
-- a dry run does not count, nor what was rolled back
SELECT run_id, status FROM batchagg_run_job(1, true);
BEGIN;
SELECT status FROM batchagg_run_job(1);
ROLLBACK;
SELECT * FROM stats WHERE job_id = 1;
-- what failed does, where it was recorded
UPDATE batchjob_definitions SET resource_filter = '1 / (pages - 50) > 0' WHERE job_id = 2;
SELECT status FROM batchagg_run_job(2);
SELECT job_id, run_id > 0 AS numbered, status FROM batchagg_run_event('EVERYHOUR');
SELECT * FROM stats ORDER BY job_id;
SELECT job_id, status, attempt, error_sqlstate, error_message FROM batchagg_runs ORDER BY run_id;
-- numbers are unique, also of runs that left no record
SELECT count(DISTINCT run_id) = count(*) AS "unique", max(run_id) > count(*) AS gaps FROM batchagg_runs;
-- durations fall into their classes
SELECT bool_and(s.histogram = ARRAY(SELECT (
	SELECT count(*) FROM batchagg_runs r, LATERAL (SELECT extract(epoch FROM finished_at - started_at)::float8 AS duration) d
	WHERE r.job_id = s.job_id AND duration <= s.histogram_bounds[n] AND (n = 1 OR duration > s.histogram_bounds[n - 1]))
	FROM generate_series(1, 9) n)) AS classes
FROM batchagg_stats s;
-- a repeatable read transaction has a history, but does not count
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT status FROM batchagg_run_job(1);
COMMIT;
SELECT runs, (SELECT count(*) FROM batchagg_runs r WHERE r.job_id = s.job_id) AS history FROM stats s WHERE job_id = 1;
-- the history may go, the counters stay; they go with the job
DELETE FROM batchagg_runs;
SELECT job_id, runs FROM stats ORDER BY job_id;
DELETE FROM batch_jobs WHERE id = 2;
SELECT job_id FROM batchagg_counters ORDER BY 1;
-- the statuses that there are
INSERT INTO batchagg_runs (job_id, slot, started_at, status) VALUES (1, now(), now(), 'interrupted');
\set VERBOSITY terse
INSERT INTO batchagg_runs (job_id, slot, started_at, status) VALUES (1, now(), now(), 'lost');
\set VERBOSITY default

-- Everybody sees their own.
SET ROLE regress_batchagg_other;
SELECT count(*) FROM batchagg_stats;
SELECT count(*) FROM batchagg_counters;
SELECT count(*) FROM batchagg_progress;
UPDATE batchagg_counters SET runs = 0;
RESET ROLE;
UPDATE batch_jobs SET owner = 'regress_batchagg_other' WHERE id = 1;
SET ROLE regress_batchagg_other;
SELECT job_id, runs FROM batchagg_stats;
RESET ROLE;

SELECT batchagg_cancel(1);
SELECT batchagg_cancel(0);
SELECT batchagg_cancel(NULL);

DROP VIEW stats;
DROP EXTENSION batchagg;
DROP TABLE visits;
DROP ROLE regress_batchagg_other;
