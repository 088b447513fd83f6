-- Numbers that lead out of time, and rows at its edges.
SET client_min_messages = warning;
CREATE EXTENSION batchagg;
SET timezone = 'UTC';
CREATE TABLE v (user_id text, ts timestamptz, n float8);
CREATE INDEX ON v (ts);
INSERT INTO v SELECT 'u' || g % 3, '2024-10-07+00'::timestamptz + g * interval '1 hour', g FROM generate_series(0, 99) g;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'v', '{1-hour,1-day}', '{"n": "sum,count"}');

-- Bounds are where they are written.
UPDATE batchjob_definitions SET job_delay = 86400000;
UPDATE batchjob_definitions SET job_delay = 2147483647;
UPDATE batchjob_definitions SET lookback = '10000 years';
UPDATE batchjob_definitions SET results_retention = '10000 years';
UPDATE batchjob_definitions SET source_retention = '400000 days';
UPDATE batchjob_definitions SET lookback = '10000 years -3285000 days';
UPDATE batchjob_definitions SET results_retention = '-1 day';
SELECT batchagg_create_job('EVERYHOUR', 'user', 'v', '{1-week}', '{"n": "sum"}', job_delay => 86400000);
-- What is within them works.
UPDATE batchjob_definitions SET job_delay = 1, lookback = '1000 years', results_retention = '1000 years';
SELECT status, changed FROM batchagg_run_job(1);
SELECT status, changed FROM batchagg_run_job(1);
UPDATE batchjob_definitions SET job_delay = 8766000, lookback = '1000 years', results_retention = '1000 years', keep_history = true, source_retention = '1000 years';
SELECT status FROM batchagg_run_job(1);
UPDATE batchjob_definitions SET job_delay = 0, lookback = NULL, results_retention = NULL, keep_history = false, source_retention = NULL;
SELECT status, changed FROM batchagg_run_job(1);

-- A backfill passes over the time in which there is nothing, in both directions.
INSERT INTO v VALUES ('u1', '1970-01-01 10:00+00', 1), ('u1', '1999-12-31 23:00+00', 1);
CREATE VIEW difference AS
SELECT count(*) FROM (SELECT user_id, date_trunc('hour', ts), sum(n) FROM v WHERE ts < now() GROUP BY 1, 2) e(entity, bucket, value)
FULL JOIN (SELECT entity_id, "timestamp", metric_value FROM RuleExecutionResults WHERE result_name = 'tsum_hour_n') r(entity, bucket, value) USING (entity, bucket, value)
WHERE e.entity IS NULL OR r.entity IS NULL;
RESET client_min_messages;
CALL batchagg_backfill(1, piece => '1 day');
TABLE difference;
DELETE FROM v WHERE ts < '2000-01-01';
CALL batchagg_backfill(1, piece => '1 day', newest_first => false);
TABLE difference;
-- A month that begins in one piece and has its rows in another.
SET client_min_messages = warning;
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (1, 'user', 'v', '1-month');
INSERT INTO v VALUES ('u1', '2024-03-20 10:00+00', 7);
RESET client_min_messages;
CALL batchagg_backfill(1, piece => '1 day');
SELECT "timestamp", sum(metric_value) FROM RuleExecutionResults WHERE result_name = 'tsum_month_n' GROUP BY 1 ORDER BY 1;
DELETE FROM v WHERE ts = '2024-03-20 10:00+00';
CALL batchagg_backfill(1, piece => '1 day', newest_first => false);
SELECT "timestamp", sum(metric_value) FROM RuleExecutionResults WHERE result_name = 'tsum_month_n' GROUP BY 1 ORDER BY 1;
-- Rows before Christ, rows of times to come, and pieces beyond all time.
INSERT INTO v VALUES ('u1', '4000-01-01 10:00+00 BC', 1), ('u1', '200000-01-01', 1), ('u1', 'infinity', 1);
CALL batchagg_backfill(1, piece => '10000 years');
TABLE difference;
CALL batchagg_backfill(1, '4500-01-01 BC', '250000-01-01', piece => '178000000 years', newest_first => false);
CALL batchagg_backfill(1, piece => '1 year', newest_first => false);
TABLE difference;
SELECT status, changed FROM batchagg_run_job(1);
CALL batchagg_backfill(1, piece => '-1 day');
CALL batchagg_backfill(1, piece => '0');
-- Pieces that are shorter than a bucket do not walk through it.
CALL batchagg_backfill(1, '2024-10-07', '2024-10-07 05:00', piece => '1 second');
CALL batchagg_backfill(1, '2024-10-07', '2024-10-07 05:00', piece => '1 second', newest_first => false);
CALL batchagg_backfill(1, '2024-10-07 00:30', '2024-10-08 05:20', piece => '7 minutes');
TABLE difference;
-- Of broken tracking it is warned once.
SELECT batchagg_track_source('v', id_column => 'user_id');
SELECT status FROM batchagg_run_job(1);
ALTER TABLE v DISABLE TRIGGER batchagg_mark_insert;
CALL batchagg_backfill(1, '2024-10-07', '2024-10-11', piece => '1 day');

DROP EXTENSION batchagg CASCADE;
DROP TABLE v CASCADE;
