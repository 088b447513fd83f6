-- The functions that run and explain jobs, what they record, and what an error
-- leaves behind.
CREATE EXTENSION batchagg;
SET DateStyle = ISO;
CREATE TABLE visits (user_id text, ts timestamptz, pages integer, seconds float8, status text);
INSERT INTO visits
SELECT 'u' || i % 3, '2024-01-01 00:00+00'::timestamptz + i * interval '10 minutes', i % 101, i % 50 / 4.0, CASE WHEN i % 2 = 0 THEN 'active' END
FROM generate_series(1, 100) i;

-- By id, by name, disabled, unknown.
INSERT INTO batch_jobs (job_name, event_name, enable_flag)
VALUES ('Hourly "visits"', 'EVERYHOUR', true), ('off', 'EVERYDAY8AMET', false), (NULL, 'EVERYHOUR', true);
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, job_delay)
VALUES (1, 'user', 'visits', '1-hour', 0), (1, 'user', 'visits', '1-day', 24), (2, 'user', 'visits', '1-day', 1), (3, '*', 'visits', '2-week', 0);
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (1, 'pages', 'sum'), (2, 'pages', 'max'), (3, 'pages', 'avg');
SELECT run_id, status, rows_read, rows_skipped, groups, results, changed, "from" AT TIME ZONE 'UTC' AS "from",
	   "to" BETWEEN now() AND now() + interval '1 minute' AS "to", duration BETWEEN '0' AND '1 minute' AS duration
FROM batchagg_run_job(1);
SELECT run_id, status, changed FROM batchagg_run_job('Hourly "visits"');
SELECT run_id, status, changed FROM batchagg_run_job('off');
SELECT run_id, status, changed FROM batchagg_run_job(2);
SELECT * FROM batchagg_run_job(99);
SELECT * FROM batchagg_run_job('hourly "visits"');
SELECT * FROM batchagg_run_job(NULL::integer);
SELECT * FROM batchagg_run_job(NULL::text);

-- The history.
SELECT run_id, job_id, slot <= started_at AND started_at <= finished_at AND finished_at <= now() AS in_order, status, attempt, rows_read,
	   rows_skipped, groups, results, changed, range_from AT TIME ZONE 'UTC' AS range_from, slot - range_to AS delay,
	   error_sqlstate, error_message, worker_pid = pg_backend_pid() AS own
FROM batchagg_runs ORDER BY run_id;

-- All enabled jobs, and those of an event, whichever way it is written.
SELECT job_id, run_id, status, rows_read, groups, changed FROM batchagg_run_all();
SELECT job_id, status, changed FROM batchagg_run_event('EVERYHOUR');
SELECT job_id, status, changed FROM batchagg_run_event('EveryHour');
SELECT job_id, status, changed FROM batchagg_run_event('EVERYDAY8AMET');
SELECT job_id, status, changed FROM batchagg_run_event('EVERYWEEK');
SELECT job_id, status, changed FROM batchagg_run_event('EVERYFORTNIGHT');

-- A source without rows; a filter that leaves none.
CREATE TABLE nothing (user_id text, ts timestamptz, pages integer);
UPDATE batchjob_definitions SET entity = 'nothing' WHERE job_id = 3;
SELECT status, rows_read, groups, results, changed, "from", "to" IS NOT NULL AS "to" FROM batchagg_run_job(3);
SELECT status, rows_read, groups, results, changed, "from" FROM batchagg_run_job(3);
UPDATE batchjob_definitions SET entity = 'visits', resource_filter = 'pages > 1000' WHERE job_id = 3;
SELECT status, rows_read, groups, results, changed, "from" FROM batchagg_run_job(3);
UPDATE batchjob_definitions SET resource_filter = NULL WHERE job_id = 3;

-- An error in mid-run leaves the store as it was: in the last row of a view,
-- after rows were written for the first of two sources, in the filter.
CREATE TABLE sales (user_id text, ts timestamptz, price float8, divisor integer);
INSERT INTO sales SELECT 'u' || i % 3, '2024-01-01 00:00+00'::timestamptz + i * interval '10 minutes', i, 1 FROM generate_series(1, 100) i;
CREATE VIEW revenue AS SELECT user_id, ts, price / divisor AS price FROM sales;
INSERT INTO metricsandtables (metricname, tablename) VALUES ('price', 'revenue');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (1, 'price', 'sum,median');
SELECT status, rows_read, groups FROM batchagg_run_job(1);
CREATE TABLE stored_before AS SELECT ctid AS place, xmin::text AS writer, s::text AS row FROM batchagg_store s;
CREATE TABLE others_before AS
SELECT (SELECT array_agg(l ORDER BY id) FROM batchagg_layouts l) AS layouts, (SELECT array_agg(p ORDER BY p) FROM batchagg_positions p) AS positions,
	   (SELECT count(*) FROM batchagg_runs) AS runs;
CREATE VIEW left_behind AS
SELECT (SELECT count(*) FROM (SELECT ctid, xmin::text, s::text FROM batchagg_store s EXCEPT ALL TABLE stored_before) d) AS written,
	   (SELECT count(*) FROM (TABLE stored_before EXCEPT ALL SELECT ctid, xmin::text, s::text FROM batchagg_store s) d) AS lost,
	   (SELECT layouts = (SELECT array_agg(l ORDER BY id) FROM batchagg_layouts l)
			   AND positions = (SELECT array_agg(p ORDER BY p) FROM batchagg_positions p) FROM others_before) AS layouts_same,
	   (SELECT count(*) - max(runs) FROM batchagg_runs, others_before) AS runs;
UPDATE visits SET pages = pages + 1;
UPDATE sales SET divisor = 0 WHERE ctid = (SELECT max(ctid) FROM sales);
SELECT status FROM batchagg_run_job(1);
SELECT * FROM left_behind;
SELECT status FROM batchagg_run_job(1, true);
-- the same with small batches, which are written as soon as they are full
SET batchagg.batch_size = 1;
SELECT status FROM batchagg_run_job(1);
SELECT * FROM left_behind;
RESET batchagg.batch_size;
UPDATE sales SET divisor = 1;
INSERT INTO visits VALUES ('u10', '2024-01-01 00:00+00', 1, 1, NULL);
UPDATE batchjob_definitions SET resource_filter = '6 / (length(user_id) - 3) < 0' WHERE job_id = 1;
SELECT status FROM batchagg_run_job(1);
SELECT * FROM left_behind;
DELETE FROM visits WHERE user_id = 'u10';
UPDATE batchjob_definitions SET resource_filter = NULL WHERE job_id = 1;

-- A result beyond double precision: the error says which.
INSERT INTO sales VALUES ('big "one"', '2024-01-05 10:20+00', 1e308, 1), ('big "one"', '2024-01-05 10:50+00', 1e308, 1);
SELECT status FROM batchagg_run_job(1);
SELECT * FROM left_behind;
-- in a coarser bucket only
UPDATE sales SET ts = ts + interval '1 hour' WHERE ts = '2024-01-05 10:50+00';
SELECT status FROM batchagg_run_job(1);
SELECT * FROM left_behind;
-- aggregates that do not leave the range are fine
UPDATE batchjob_metrics SET aggregation_types = 'median,max,range' WHERE metric_name = 'price';
SELECT status FROM batchagg_run_job(1);
SELECT entity_id, granularity, aggregation_type, metric_value FROM RuleExecutionResults
WHERE entity_id = 'big "one"' ORDER BY granularity, "timestamp", aggregation_type;
-- infinities that are there are no overflow
UPDATE sales SET price = 'Infinity' WHERE user_id = 'big "one"';
UPDATE batchjob_metrics SET aggregation_types = 'sum,max,min' WHERE metric_name = 'price';
SELECT status FROM batchagg_run_job(1);
SELECT entity_id, granularity, aggregation_type, metric_value FROM RuleExecutionResults
WHERE entity_id = 'big "one"' ORDER BY granularity, "timestamp", aggregation_type;
DELETE FROM sales WHERE user_id = 'big "one"';
-- a numeric that is no double precision
CREATE TABLE huge (user_id text, ts timestamptz, pages numeric);
INSERT INTO huge VALUES ('u', '2024-01-01 00:00+00', 1e400);
UPDATE batchjob_definitions SET entity = 'huge' WHERE job_id = 3;
\set VERBOSITY sqlstate
SELECT status FROM batchagg_run_job(3);
\set VERBOSITY default
-- an id that is too long for an index
UPDATE huge SET pages = 1, user_id = repeat('long ', 500);
UPDATE batchjob_definitions SET focal_entity = 'user' WHERE job_id = 3;
SELECT status FROM batchagg_run_job(3);
UPDATE huge SET user_id = left(user_id, 2000);
SELECT status, groups FROM batchagg_run_job(3);
UPDATE batchjob_definitions SET entity = 'visits', focal_entity = '*' WHERE job_id = 3;

-- One failing job of several does not stop the others, and is recorded.
UPDATE sales SET divisor = 0 WHERE ctid = (SELECT max(ctid) FROM sales);
DROP TABLE others_before, stored_before CASCADE;
DELETE FROM batchagg_layouts WHERE definition_id = 4;
UPDATE batch_jobs SET enable_flag = true WHERE id = 2;
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR'), ('EVERYHOUR');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (5, 'user', 'visits', '1-day');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (5, 'pages', 'p95');
SELECT job_id, status, rows_read, rows_skipped, groups, results, changed, "from", "to" FROM batchagg_run_event('EVERYHOUR') WHERE job_id IN (1, 4);
SELECT job_id, status, attempt, rows_read, groups, changed, slot <= started_at AND started_at <= finished_at AS in_order, range_from IS NOT NULL AS range_from, range_to IS NOT NULL AS range_to,
	   error_sqlstate, error_message, worker_pid = pg_backend_pid() AS own
FROM batchagg_runs WHERE run_id > (SELECT max(run_id) - 4 FROM batchagg_runs) ORDER BY run_id;
SELECT DISTINCT job_id FROM RuleExecutionResults WHERE job_id IN (3, 5) ORDER BY 1;
SELECT job_id, status FROM batchagg_run_all();
-- after which all is well again
UPDATE sales SET divisor = 1;
DELETE FROM batch_jobs WHERE id = 4;
SELECT job_id, status FROM batchagg_run_all();

-- A run inside of a run.
CREATE FUNCTION run_another() RETURNS integer LANGUAGE sql AS $$ SELECT changed::integer FROM public.batchagg_run_job(2) $$;
CREATE VIEW recursive AS SELECT user_id, ts, run_another() AS pages FROM visits;
UPDATE batchjob_definitions SET entity = 'recursive' WHERE job_id = 3;
SELECT status FROM batchagg_run_job(3);
SELECT status FROM batchagg_run_job(2);
UPDATE batchjob_definitions SET entity = 'visits' WHERE job_id = 3;
DROP VIEW recursive;
DROP FUNCTION run_another;

-- Errors that are caught go on as any other.
DO $$
BEGIN
	PERFORM batchagg_run_job(99);
EXCEPTION WHEN undefined_object THEN
	RAISE NOTICE 'caught: %', SQLERRM;
	PERFORM batchagg_run_job(3);
END $$;

-- What explain says, but for estimates.
ANALYZE visits;
UPDATE batchjob_definitions SET resource_filter = 'user_id <> "u9"', timezone = 'Asia/Tokyo', complete_only = true WHERE id = 2;
CREATE VIEW explanation AS
SELECT j.id, e.scan, e.definition_id, e.item,
	   CASE e.item WHEN 'estimate' THEN regexp_replace(e.value, '[0-9]+', 'N', 'g')
				   WHEN 'rows' THEN regexp_replace(e.value, 'before [^(]*', 'before T ')
				   WHEN 'job' THEN replace(e.value, current_user, 'me') ELSE e.value END AS value
FROM batch_jobs j, LATERAL (SELECT * FROM batchagg_explain_job(j.id) WITH ORDINALITY) e;
SELECT scan, definition_id, item, value FROM explanation WHERE id = 1;
SELECT scan, definition_id, item, value FROM explanation WHERE id = 3;
-- a hint where an index would help
CREATE TABLE many AS SELECT i % 5 AS user_id, '2024-01-01 00:00+00'::timestamptz + i * interval '1 minute' AS ts, i AS pages, i % 1000 AS kind FROM generate_series(1, 20000) i;
ANALYZE many;
UPDATE batchjob_definitions SET entity = 'many', resource_filter = 'kind = 7' WHERE job_id = 3;
SELECT regexp_replace(value, 'about [0-9]+', 'about N') FROM batchagg_explain_job(3) WHERE item = 'hint';
CREATE INDEX ON many (kind);
SELECT value FROM batchagg_explain_job(3) WHERE item = 'hint';
SELECT * FROM batchagg_explain_job(99);
SELECT count(*) FROM batchagg_explain_job(NULL);

DROP VIEW explanation;
DROP EXTENSION batchagg CASCADE;
DROP TABLE visits, nothing, huge, many;
DROP TABLE sales CASCADE;
