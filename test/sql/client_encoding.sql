-- Names and values that the client's encoding lacks, in WARNINGs, NOTICEs and their
-- context: these are shown as far as can be, and do not turn into errors.
CREATE EXTENSION batchagg;
SET client_encoding = 'LATIN1';

CREATE TABLE U&"\65E5" (id integer PRIMARY KEY, ts timestamptz, n integer, U&"\6708" text);
INSERT INTO U&"\65E5" VALUES (1, '2024-01-01+00', 1, 'a');
-- A mapping to a table that is not there.
INSERT INTO metricsandtables (metricname, tablename) VALUES ('n', U&'\65E5\65E5');
DELETE FROM metricsandtables;
-- A doubt about a job: its id is the primary key.
SELECT batchagg_create_job('EVERYHOUR', 'user', U&'\65E5', '{day}', '{"n": "sum"}', job_name => 'day') IS NOT NULL AS made;
SELECT status FROM batchagg_run_job('day');
-- Filters that refer to no column.
UPDATE batchjob_definitions SET resource_filter = '1 = 1';
SELECT status FROM batchagg_run_job('day');
UPDATE batchjob_definitions SET resource_filter = NULL;
-- Tracking, and tracking that is broken.
SELECT batchagg_untrack_source(U&'"\65E5"');
SELECT batchagg_track_source(U&'"\65E5"', 'snapshot');
SELECT status FROM batchagg_run_job('day');
ALTER TABLE U&"\65E5" DISABLE TRIGGER ALL;
SELECT status FROM batchagg_run_job('day');
-- What a function of a view says while it is read, in the context of the view's name.
CREATE FUNCTION speak(integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'speaks'; RETURN $1; END $$;
CREATE VIEW U&"\5E74" AS SELECT id AS user_id, ts, public.speak(n) AS n FROM U&"\65E5";
SELECT batchagg_create_job('EVERYWEEK', 'user', U&'\5E74', '{day}', '{"n": "sum"}', job_name => 'year') IS NOT NULL AS made;
SELECT status FROM batchagg_run_job('year');
-- Metrics that no row has, filters that no row passes, and what is computed twice.
CREATE TABLE U&"\6642" ("user" text, ts timestamptz, U&"name\6708" text, value integer, name text);
INSERT INTO U&"\6642" VALUES ('a', '2024-01-01+00', 'x', 1, 'x');
INSERT INTO metricsandtables (metricname, tablename, layout, name_column, value_column)
VALUES (U&'\6708', U&'\6642', 'row', U&'name\6708', 'value');
SELECT batchagg_create_job('EVERYMONTH', 'user', U&'\6642', '{day}', U&'{"\6708": "sum"}'::jsonb, job_name => 'rows') IS NOT NULL AS made;
SELECT status FROM batchagg_run_job('rows');
UPDATE batchjob_definitions SET resource_filter = 'name = "x"' WHERE entity = U&'\6642';
SELECT status FROM batchagg_run_job('rows');
SELECT status FROM batchagg_run_event('EVERYMONTH');
DELETE FROM batch_jobs WHERE job_name = 'rows';
SELECT batchagg_create_job('EVERYMONTH', 'user', U&'\6642', '{day}', '{"value": "sum"}', resource_filter => U&'name = "\6708"', job_name => 'filter') IS NOT NULL AS made;
SELECT status FROM batchagg_run_job('filter');
SELECT batchagg_create_job('EVERYMONTH', 'user', U&'\6642', '{day}', '{"value": "sum"}', resource_filter => U&'name = "\6708"', job_name => 'again') IS NOT NULL AS made;
DELETE FROM batch_jobs WHERE job_name IN ('filter', 'again');
-- A filter that is doubted.
SELECT batchagg_create_job('EVERYMONTH', 'user', U&'\6642', '{day}', '{"value": "sum"}', resource_filter => U&'"\6708" = "x"', job_name => 'doubt') IS NOT NULL AS made;
SELECT status FROM batchagg_run_job('doubt');
-- What goes to the server's log is for that alone.
SET batchagg.log_level = debug;
SET client_min_messages = log;
SELECT status FROM batchagg_run_job('doubt');
RESET client_min_messages;
RESET batchagg.log_level;
DELETE FROM batch_jobs WHERE job_name = 'doubt';
DELETE FROM metricsandtables WHERE layout = 'row';

-- An error of one job of many, which is recorded as it is.
ALTER VIEW U&"\5E74" RENAME TO U&"\5E74\5E74";
SELECT status FROM batchagg_run_event('EVERYWEEK');
SELECT error_message LIKE U&'%\5E74%' AS whole FROM batchagg_runs ORDER BY run_id DESC LIMIT 1;

RESET client_encoding;
DROP EXTENSION batchagg CASCADE;
DROP VIEW U&"\5E74\5E74";
DROP TABLE U&"\65E5", U&"\6642";
DROP FUNCTION speak(integer);
