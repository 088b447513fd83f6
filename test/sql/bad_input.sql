-- Bad input, with the errors that it gets, and nothing left behind.
CREATE EXTENSION batchagg;
CREATE TABLE clicks (user_id integer, "timestamp" timestamptz, clicks integer, page text, spent interval, at time);
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR');
\set definition 'INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES '
\set metric 'INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES '
\set mapping 'INSERT INTO metricsandtables (metricname, tablename) VALUES '

-- Events.
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHUOR');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO batch_jobs (event_name) VALUES ('');
INSERT INTO batch_jobs (event_name) VALUES ('EVERY7MINUTES');
INSERT INTO batch_jobs (event_name) VALUES ('EVERYDAY13PM');
INSERT INTO batch_jobs (event_name) VALUES ('EVERYDAY8AMAtlantis/Capital');
INSERT INTO batch_jobs (event_name) VALUES ('60 * * * *');
INSERT INTO batch_jobs (event_name) VALUES ('0 0 31 2 *');
UPDATE batch_jobs SET event_name = 'EVERYDAI';
INSERT INTO batchagg_events (event_name, schedule) VALUES ('X', 'now and then');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO batchagg_events (event_name, schedule, timezone) VALUES ('X', '@daily', 'Atlantis/Capital');
INSERT INTO batchagg_events (event_name, schedule, built_in) VALUES ('X', '@daily', true);
INSERT INTO batchagg_events (event_name, schedule) VALUES ('', '@daily');

-- Other columns of a job.
\set VERBOSITY terse
INSERT INTO batch_jobs (event_name) VALUES (NULL);
INSERT INTO batch_jobs (event_name, job_timeout) VALUES ('EVERYHOUR', 0);
INSERT INTO batch_jobs (event_name, max_retries) VALUES ('EVERYHOUR', -1);
INSERT INTO batch_jobs (event_name, retry_delay) VALUES ('EVERYHOUR', -1);
INSERT INTO batch_jobs (event_name, missed_runs) VALUES ('EVERYHOUR', 'perhaps');
INSERT INTO batch_jobs (event_name, job_name) VALUES ('EVERYHOUR', '');
INSERT INTO batch_jobs (event_name, owner) VALUES ('EVERYHOUR', 'regress_batchagg_nobody');
INSERT INTO batch_jobs (event_name, owner) VALUES ('EVERYHOUR', 4294967295);

\set VERBOSITY default

-- Definitions.
:definition (1, 'user', 'clicks', '1-fortnight');
\echo :LAST_ERROR_SQLSTATE
:definition (1, 'user', 'clicks', '0-hour');
:definition (1, 'user', 'clicks', '');
:definition (1, '', 'clicks', '1-hour');
:definition (1, 'user', '', '1-hour');
:definition (99, 'user', 'clicks', '1-hour');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, timezone) VALUES (1, 'user', 'clicks', 'hour', 'Atlantis/Capital');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, timezone) VALUES (1, 'user', 'clicks', 'hour', '');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, job_delay) VALUES (1, 'user', 'clicks', 'hour', -1);
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, lookback) VALUES (1, 'user', 'clicks', 'hour', '-1 day');

-- Metrics.
:metric (1, 'clicks', 'sum,average');
\echo :LAST_ERROR_SQLSTATE
:metric (1, 'clicks', '');
:metric (1, 'clicks', 'sum,,avg');
:metric (1, 'clicks', '{sum');
:metric (1, 'clicks', 'p100');
:metric (1, '', 'sum');
:metric (1, 'clicks', 'sum'), (1, 'CLICKS', 'avg');
:metric (1, 'page.views', 'sum'), (1, 'page_views', 'avg');

-- Mappings.
:mapping ('clicks', 'not_there');
:mapping ('visits', 'clicks');
\echo :LAST_ERROR_SQLSTATE
:mapping ('page', 'clicks');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO metricsandtables (metricname, tablename, id_column) VALUES ('clicks', 'clicks', 'who');
INSERT INTO metricsandtables (metricname, tablename, time_column) VALUES ('clicks', 'clicks', 'at');
INSERT INTO metricsandtables (metricname, tablename, time_column) VALUES ('clicks', 'clicks', 'when');
INSERT INTO metricsandtables (metricname, tablename, metric_column) VALUES ('visits', 'clicks', 'visited');
INSERT INTO metricsandtables (metricname, tablename, layout) VALUES ('visits', 'clicks', 'row');
INSERT INTO metricsandtables (metricname, tablename, name_column) VALUES ('visits', 'clicks', 'page');
INSERT INTO metricsandtables (metricname, tablename, name_column, value_column) VALUES ('visits', 'clicks', 'clicks', 'page');
\set VERBOSITY terse
INSERT INTO metricsandtables (metricname, tablename, layout) VALUES ('clicks', 'clicks', 'diagonal');
INSERT INTO metricsandtables (metricname, tablename, metric_column, name_column) VALUES ('clicks', 'clicks', 'clicks', 'page');
INSERT INTO metricsandtables (metricname, tablename, layout, metric_column) VALUES ('clicks', 'clicks', 'row', 'clicks');
:mapping ('clicks', 'clicks'), ('Clicks', 'clicks');
\set VERBOSITY default
:mapping ('clicks', 'batch_jobs_id_seq');
CREATE TABLE twins ("Clicks" integer, "CLICKS" integer, "timestamp" timestamptz);
:mapping ('clicks', 'twins');
:mapping ('Clicks', 'twins') RETURNING tablename;

DELETE FROM metricsandtables;

-- Jobs made in one call are made as a whole or not at all.
SELECT batchagg_create_job('EVERYHUOR', 'user', 'clicks', '{hour}', '{"clicks": "sum"}');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'clicks', '{hour,eon}', '{"clicks": "sum"}');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'clicks', '{}', '{"clicks": "sum"}');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'clicks', '{hour}', '{}');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'clicks', '{hour}', NULL);
SELECT batchagg_create_job('EVERYHOUR', 'user', 'clicks', '{hour}', '["clicks"]');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'clicks', '{hour}', '{"clicks": "sums"}');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'clicks', '{hour}', '{"page": "sum"}', 'clicks');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'clicks', '{hour}', '{"clicks": "sum"}', resource_filter => 'klicks > 0');
SELECT batchagg_create_job('EVERYHOUR', NULL, 'clicks', '{hour}', '{"clicks": "sum"}');

-- Nothing is left but one job.
SELECT id FROM batch_jobs;
SELECT count(*) FROM batchjob_definitions;
SELECT count(*) FROM batchjob_metrics;
SELECT metricname, tablename FROM metricsandtables ORDER BY 1, 2;
SELECT event_name FROM batchagg_events WHERE NOT built_in;

-- A job that is not complete.
SELECT * FROM batchagg_validate_job(99);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM batchagg_validate_job(1);
SELECT * FROM batchagg_run_job(1);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM batchagg_run_job('no such job');

-- What validation finds all at once.  One of the definitions cannot be told which of two tables is meant.
DELETE FROM metricsandtables;
CREATE SCHEMA elsewhere;
CREATE TABLE elsewhere.clicks (user_id integer, started timestamptz, ended timestamptz, clicks integer);
CREATE TABLE facts (fact_id integer PRIMARY KEY, d date, name text, value numeric);
CREATE TABLE dimensions (clicks money, hour text);
:mapping ('clicks', 'public.clicks'), ('clicks', 'elsewhere.clicks');
:metric (1, 'clicks', 'sum'), (1, 'temperature', 'avg'), (1, 'spent', 'max');
\pset format unaligned
\pset fieldsep '\n  '
\pset tuples_only on
:definition (1, 'user', 'nothing', 'day'), (1, 'user', 'elsewhere.clicks', 'day'), (1, 'cell', 'public.clicks', 'day'),
	(1, 'fact', 'facts', 'day'), (1, '*', 'dimensions', 'day');
UPDATE batchjob_definitions SET resource_filter = 'clicks >' WHERE entity = 'nothing';
UPDATE batchjob_definitions SET resource_filter = 'clicks > 0' WHERE entity = 'nothing';
SELECT d.entity, v.severity, v.sqlstate, v.message, v.detail, v.hint
FROM batchagg_validate_job(1) v LEFT JOIN batchjob_definitions d ON d.id = v.definition_id;
\pset tuples_only off
\pset format aligned

-- A run stops at the first of them.
SELECT * FROM batchagg_run_job(1);

-- Sources that change or go between runs.
DELETE FROM batch_jobs;
DELETE FROM metricsandtables;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'clicks', '{hour}', '{"clicks": "sum"}', 'clicks', 'page = "x"') AS id \gset
SELECT status FROM batchagg_run_job(:id);
ALTER TABLE clicks RENAME clicks TO klicks;
SELECT status FROM batchagg_run_job(:id);
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE clicks RENAME klicks TO clicks;
ALTER TABLE clicks ALTER clicks TYPE text;
SELECT status FROM batchagg_run_job(:id);
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE clicks ALTER clicks TYPE integer USING 0, DROP page;
SELECT status FROM batchagg_run_job(:id);
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE clicks ADD page text, DROP user_id;
SELECT status FROM batchagg_run_job(:id);
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE clicks ADD user_id bigint;
SELECT status FROM batchagg_run_job(:id);
DROP TABLE clicks;
SELECT status FROM batchagg_run_job(:id);
\echo :LAST_ERROR_SQLSTATE
CREATE VIEW clicks AS SELECT 1 AS user_id, now() AS "timestamp", 1::float8 AS clicks, 'x' AS page;
SELECT status FROM batchagg_run_job(:id);

DROP EXTENSION batchagg;
DROP VIEW clicks;
DROP TABLE twins, facts, dimensions;
DROP SCHEMA elsewhere CASCADE;
