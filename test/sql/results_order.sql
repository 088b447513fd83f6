-- Jobs that read results run after those that write them, whatever their numbers: by
-- batchagg_run_all(), batchagg_run_event() and batchagg_run_due(); and in the service,
-- where batchagg_slots says for whom they wait (test/t/28-results-order.t).
CREATE EXTENSION batchagg;
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_alice, regress_batchagg_bob;
RESET client_min_messages;
CREATE TABLE visit (user_id text, ts timestamptz, pages integer, clicks integer);
INSERT INTO visit SELECT 'u' || i % 3, '2024-01-01 00:00+00'::timestamptz + i * interval '10 minutes', i, 1 FROM generate_series(0, 99) i;
-- Views over results: of rows, of columns, and a view of a view.
CREATE VIEW hourly WITH (security_invoker = true) AS
SELECT entity_id AS user_id, "timestamp" AS ts, metric_name, metric_value FROM RuleExecutionResults WHERE result_name = 'tsum_hour_pages';
CREATE VIEW hourly_pages AS SELECT user_id, ts, metric_value AS hour_pages FROM hourly;

CREATE FUNCTION make_job(source text, metric text, granularity text) RETURNS integer LANGUAGE sql AS $$
	WITH job AS (INSERT INTO batch_jobs (job_name, event_name) VALUES (source || ' ' || metric || ' ' || granularity, 'EVERYHOUR') RETURNING id),
	definition AS (INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity)
		SELECT id, CASE WHEN source = 'RuleExecutionResults' THEN 'entity' ELSE 'user' END, source, granularity FROM job),
	metric AS (INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) SELECT id, metric, 'sum' FROM job)
	SELECT id FROM job
$$;
CREATE VIEW days AS
SELECT j.job_name, coalesce(sum(r.metric_value), 0) AS sum FROM batch_jobs j LEFT JOIN RuleExecutionResults r ON r.job_id = j.id
GROUP BY j.job_name, j.id ORDER BY j.id;

-- The job that writes comes last, and one of another metric between them.
SELECT make_job('hourly', 'pages', '1-day'), make_job('hourly_pages', 'hour_pages', '1-day'), make_job('RuleExecutionResults', 'pages', '1-month'),
	make_job('visit', 'clicks', '1-day'), make_job('visit', 'pages', '1-hour');
SELECT sum(pages) FROM visit;

-- Each by each way of running them, with new rows before.  (The monthly job adds what
-- the other jobs have of these pages, its own results included.)
SELECT job_id, status FROM batchagg_run_all();
SELECT * FROM days WHERE job_name NOT LIKE '%month';
INSERT INTO visit SELECT 'u1', '2024-01-01 12:00+00', 1000, 1;
SELECT job_id, status FROM batchagg_run_event('EVERYHOUR');
SELECT * FROM days WHERE job_name NOT LIKE '%month';
INSERT INTO visit SELECT 'u1', '2024-01-01 13:00+00', 1000, 1;
UPDATE batch_jobs SET scheduled_from = now() - interval '1 hour 1 second';
SELECT job_id, status FROM batchagg_run_due();
SELECT * FROM days WHERE job_name NOT LIKE '%month';
SELECT sum(pages) FROM visit;

-- A chain: days of hours, weeks of days.  Both may read each other's results, as far as is
-- known of views, so the one that was made first comes first.
DELETE FROM batch_jobs;
CREATE VIEW daily AS SELECT entity_id AS user_id, "timestamp" AS ts, metric_value AS day_pages FROM RuleExecutionResults WHERE result_name = 'tsum_day_hour_pages';
SELECT make_job('hourly_pages', 'hour_pages', '1-day') AS days, make_job('daily', 'day_pages', '1-week') AS weeks, make_job('visit', 'pages', '1-hour') AS hours \gset
SELECT job_id = :hours AS hours, job_id = :days AS days, status FROM batchagg_run_all();
INSERT INTO visit SELECT 'u2', '2024-01-02 13:00+00', 1000, 1;
SELECT count(*) FROM batchagg_run_all() WHERE status = 'succeeded';
SELECT * FROM days;

-- Those of other owners too, as far as they may be read: by being a member, and by the
-- rights that a view lends.
DELETE FROM batch_jobs;
CREATE ROLE regress_batchagg_alice;
CREATE ROLE regress_batchagg_bob;
GRANT regress_batchagg_alice TO regress_batchagg_bob;
GRANT SELECT ON visit, hourly, hourly_pages TO regress_batchagg_alice, regress_batchagg_bob;
SELECT make_job('hourly', 'pages', '1-day') AS reader, make_job('visit', 'pages', '1-hour') AS writer \gset
UPDATE batch_jobs SET owner = 'regress_batchagg_bob' WHERE id = :reader;
UPDATE batch_jobs SET owner = 'regress_batchagg_alice' WHERE id = :writer;
SET client_min_messages = error;
SELECT job_id = :reader AS reader, status FROM batchagg_run_all();
RESET client_min_messages;

-- A table whose policy reads results, in a view of the owner's.
DELETE FROM batch_jobs;
CREATE VIEW busy WITH (security_invoker = true) AS SELECT "timestamp" FROM RuleExecutionResults WHERE result_name = 'tsum_hour_pages' AND metric_value > 5000;
CREATE TABLE break (user_id text, ts timestamptz, minutes integer);
INSERT INTO break SELECT 'u1', '2024-01-01 00:30+00'::timestamptz + i * interval '1 hour', 1 FROM generate_series(0, 99) i;
ALTER TABLE break ENABLE ROW LEVEL SECURITY;
CREATE POLICY busy ON break USING (EXISTS (SELECT FROM busy WHERE "timestamp" = date_trunc('hour', ts)));
GRANT SELECT ON break, busy TO regress_batchagg_alice;
SELECT make_job('break', 'minutes', '1-day') AS reader, make_job('visit', 'pages', '1-hour') AS writer \gset
UPDATE batch_jobs SET owner = 'regress_batchagg_alice';
UPDATE visit SET pages = 6000 WHERE ts = '2024-01-01 05:00+00';
SELECT job_id = :reader AS reader, status FROM batchagg_run_all();
SELECT "timestamp", metric_value FROM RuleExecutionResults WHERE job_id = :reader;

DROP EXTENSION batchagg CASCADE;
DROP TABLE visit, break;
DROP FUNCTION make_job;
DROP OWNED BY regress_batchagg_alice, regress_batchagg_bob;
DROP ROLE regress_batchagg_alice, regress_batchagg_bob;
