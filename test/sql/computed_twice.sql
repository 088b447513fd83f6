-- Definitions of a job that are equal are refused; of jobs that compute the same, one is told.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_twin;
RESET client_min_messages;
CREATE EXTENSION batchagg;
CREATE TABLE v (user_id text, ts timestamptz, n float8, m float8);
CREATE TABLE w (LIKE v);
SELECT batchagg_create_job('EVERYHOUR', 'user', 'v', '{1-hour,1 hour}', '{"n": "sum"}');
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (1, 'user', 'v', '1-hour'), (1, 'user', 'v', '1 hour');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (1, 'user', 'v', '1-hour');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (1, 'user', 'v', '60-minute');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (1, 'user', 'public.v', 'hour');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, resource_filter) VALUES (1, 'user', 'v', '1-hour', 'n > 1');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, resource_filter) VALUES (1, 'user', 'v', '1-hour', 'n > 1');
UPDATE batchjob_definitions SET resource_filter = NULL;
UPDATE batchjob_definitions SET resource_filter = 'n > 2' WHERE resource_filter IS NOT NULL;
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, timezone) VALUES (1, 'user', 'v', '1-hour', 'utc');
-- What differs in anything is not equal.
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, job_delay, complete_only, lookback, keep_history, results_retention, id_column, time_column, timezone) VALUES
	(1, 'user', 'v', '1-hour', 1, DEFAULT, NULL, DEFAULT, NULL, NULL, NULL, DEFAULT),
	(1, 'user', 'v', '1-hour', 0, true, NULL, DEFAULT, NULL, NULL, NULL, DEFAULT),
	(1, 'user', 'v', '1-hour', 0, false, '1 day', DEFAULT, NULL, NULL, NULL, DEFAULT),
	(1, 'user', 'v', '1-hour', 0, false, '2 days', DEFAULT, NULL, NULL, NULL, DEFAULT),
	(1, 'user', 'v', '1-hour', 0, false, NULL, true, NULL, NULL, NULL, DEFAULT),
	(1, 'user', 'v', '1-hour', 0, false, NULL, false, '1 year', NULL, NULL, DEFAULT),
	(1, 'user', 'v', '1-hour', 0, false, NULL, false, NULL, 'user_id', NULL, DEFAULT),
	(1, 'user', 'v', '1-hour', 0, false, NULL, false, NULL, NULL, 'ts', DEFAULT),
	(1, 'user', 'v', '1-hour', 0, false, NULL, false, NULL, NULL, NULL, 'Europe/Berlin'),
	(1, '*', 'v', '1-hour', 0, false, NULL, false, NULL, NULL, NULL, DEFAULT),
	(1, 'user', 'w', '1-hour', 0, false, NULL, false, NULL, NULL, NULL, DEFAULT);
SELECT count(*) FROM batchjob_definitions;
DELETE FROM batchjob_definitions WHERE job_delay = 1 OR id > 10;

-- Two jobs: told when the last of what makes them the same is written.
INSERT INTO batchjob_metrics VALUES (1, 'n', 'sum,avg');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'v', '{1-hour,1-day}', '{"n": "avg,max"}') > 0 AS made;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'v', '{1-hour,1-day}', '{"n": "p95", "m": "avg"}') > 0 AS made;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'v', '{1-week}', '{"n": "avg"}') > 0 AS made;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'public.v', '{1-week}', '{"N": "avg"}') AS twin \gset
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR') RETURNING id AS later \gset
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (:later, 'user', 'v', '1-hour');
INSERT INTO batchjob_metrics VALUES (:later, 'm', 'sum'), (:later, 'N', 'avg');
UPDATE batchjob_metrics SET aggregation_types = 'min' WHERE job_id = :later;
UPDATE batchjob_metrics SET aggregation_types = 'max' WHERE job_id = :later;
-- Another role's job is another matter, as it may see other rows.
CREATE ROLE regress_batchagg_twin;
GRANT SELECT ON v TO regress_batchagg_twin;
SET ROLE regress_batchagg_twin;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'v', '{1-week}', '{"n": "avg"}') > 0 AS made;
RESET ROLE;
UPDATE batch_jobs SET event_name = 'EVERYDAY';

-- Thousands of definitions are written, and compared, in a moment.
SELECT batchagg_create_job('EVERYDAY', 'user', 'w', '{1-year}', '{"m": "sum"}') AS many \gset
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, job_delay, resource_filter)
SELECT :many, 'user', 'w', '1-hour', n % 2, 'n > ' || n / 2 FROM generate_series(0, 2999) n;
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, job_delay)
SELECT :many, 'user', 'w', '1-hour', n FROM generate_series(0, 2999) n;

-- An empty search_path passes for that of a restore only with the rights of the tables' owner.
SET ROLE regress_batchagg_twin;
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR') RETURNING id AS own \gset
SELECT pg_catalog.set_config('search_path', '', false);
INSERT INTO public.batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (:own, 'user', 'v', '1-hour'), (:own, 'user', 'v', '1-hour');
RESET search_path;
RESET ROLE;

DROP EXTENSION batchagg;
DROP TABLE v, w;
DROP ROLE regress_batchagg_twin;
