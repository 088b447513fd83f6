-- The job tables: defaults, what triggers fill in, what rows refer to.
CREATE EXTENSION batchagg;
CREATE TABLE user_activity (user_id integer, "timestamp" timestamptz, page_views integer, status text);

-- The example of the documentation, row by row.
INSERT INTO batch_jobs (event_name, enable_flag) VALUES ('EVERYHOUR', TRUE);
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, job_delay, resource_filter)
VALUES (1, 'user', 'user_activity', '1-hour', 0, 'status = "active"');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (1, 'page_views', 'sum,avg,count');
INSERT INTO metricsandtables (metricname, tablename) VALUES ('page_views', 'user_activity');

\pset expanded on
SELECT id, job_name, event_name, enable_flag, owner = quote_ident(current_user)::regrole AS mine, job_timeout,
	max_retries, retry_delay, missed_runs, created_at = updated_at AS new
FROM batch_jobs;
SELECT * FROM batchjob_definitions;
SELECT * FROM batchjob_metrics;
SELECT metricname, tablename, layout, id_column, time_column, metric_column, name_column, value_column,
	owner = quote_ident(current_user)::regrole AS mine
FROM metricsandtables;
\pset expanded off
SELECT * FROM batchagg_validate_job(1);

-- What is written in many ways is stored in one.
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, job_delay)
SELECT 1, 'user', 'user_activity', g, n
FROM unnest('{hour,1 hours,1-HOUR,15 minutes,2-days,week,3-months,quarter,1-years}'::text[]) WITH ORDINALITY u (g, n)
RETURNING granularity;
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES
	(1, 'a', ' SUM , Mean,stddev '),
	(1, 'b', '{min,max,variance}'),
	(1, 'c', '["p95", "P99_9", "median", "p95"]')
RETURNING metric_name, aggregation_types;
UPDATE batchjob_metrics SET aggregation_types = 'LAST,first' WHERE metric_name = 'a' RETURNING aggregation_types;
UPDATE batchjob_definitions SET granularity = '4 hours' WHERE id = 2 RETURNING granularity;

-- Sources are looked up when they are written, and keep their schema.
CREATE SCHEMA "Other Place";
CREATE TABLE "Other Place"."Mixed Case" (user_id integer, ts timestamptz, clicks integer);
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, job_delay) VALUES
	(1, 'user', 'no_such_table', 'day', 1),
	(1, 'user', '"Other Place"."Mixed Case"', 'day', 2),
	(1, 'user', 'Mixed Case', 'day', 3)
RETURNING entity, source_table;
SET search_path = public, "Other Place";
UPDATE batchjob_definitions SET entity = 'Mixed Case' WHERE entity = 'no_such_table' RETURNING entity, source_table;
INSERT INTO metricsandtables (metricname, tablename) VALUES ('clicks', 'Mixed Case') RETURNING tablename;
INSERT INTO metricsandtables (metricname, tablename) VALUES ('clicks', 'public.user_clicks') RETURNING tablename;
CREATE TEMPORARY TABLE passing (user_id integer, ts timestamptz, seen integer);
INSERT INTO metricsandtables (metricname, tablename) VALUES ('seen', 'passing') RETURNING tablename;
RESET search_path;

-- A job can always be changed where the change is valid, whatever has become of the rest.
DROP TABLE user_activity;
UPDATE batch_jobs SET enable_flag = false WHERE id = 1;
UPDATE batchjob_definitions SET job_delay = 1 WHERE id = 1;
SELECT updated_at > created_at AS touched FROM batch_jobs WHERE id = 1;

-- Events: the built-in ones stay, those in use stay, and a row wins over the grammar.
SELECT event_name, schedule, timezone FROM batchagg_events WHERE built_in ORDER BY event_name;
INSERT INTO batchagg_events (event_name, schedule, timezone, description) VALUES
	('SHIFT', '0 6,14,22 * * *', 'Europe/Berlin', 'start of a shift'),
	('EVERYDAY', '30 5 * * *', NULL, 'not at midnight'),
	('UNUSED', '@daily', NULL, NULL);
INSERT INTO batch_jobs (event_name) VALUES ('SHIFT'), ('shift'), ('EVERYDAY'), ('EVERY15MINUTES'),
	('EVERYDAY8AMET'), ('EVERYDAY930PMAsia/Tokyo'), ('EVERYWEEKMONDAY'), ('*/5 8-18 * * mon-fri'), ('@hourly');
SELECT batchagg_next_runs('EVERYDAY', 1, '2024-01-01 00:00+00') AT TIME ZONE 'America/Los_Angeles';
UPDATE batchagg_events SET schedule = '0 7,15,23 * * *' WHERE event_name = 'SHIFT';
DELETE FROM batchagg_events WHERE event_name = 'UNUSED';
DELETE FROM batchagg_events WHERE event_name = 'SHIFT';
UPDATE batchagg_events SET event_name = 'TURN' WHERE event_name = 'SHIFT';
DELETE FROM batchagg_events WHERE event_name = 'EVERYHOUR';
UPDATE batchagg_events SET schedule = '1 * * * *' WHERE event_name = 'EVERYHOUR';

-- A job in one call.
CREATE TABLE kpi (cell_id text, ts timestamptz, drops integer, calls integer);
SELECT batchagg_create_job('EVERYHOUR', 'cell', 'kpi', '{15-minute,1-hour,1-day}',
	'{"drops": "sum", "calls": ["sum", "p95"]}', tablename => 'kpi', resource_filter => 'calls > 0',
	job_delay => 2, timezone => 'Europe/Berlin', job_name => 'cells') AS id \gset
SELECT id = :id AS right_one, event_name, job_name, enable_flag FROM batch_jobs WHERE job_name = 'cells';
SELECT focal_entity, entity, source_table, granularity, job_delay, resource_filter, timezone
FROM batchjob_definitions WHERE job_id = :id ORDER BY id;
SELECT metric_name, aggregation_types FROM batchjob_metrics WHERE job_id = :id ORDER BY metric_name;
SELECT metricname, tablename FROM metricsandtables WHERE tablename ~ 'kpi' ORDER BY metricname;
SELECT * FROM batchagg_validate_job(:id);
-- The mappings are there already, or are not asked for.
SELECT batchagg_create_job('@daily', 'cell', 'kpi', '{day}', '{"drops": "max"}', 'kpi', enable_flag => false) = :id + 1 AS next;
SELECT batchagg_create_job('@daily', 'cell', 'kpi', '{day}', '{"calls": "max"}') = :id + 2 AS next;
SELECT * FROM batchagg_validate_job(:id + 2);

-- What belongs to a job goes with it.
DELETE FROM batch_jobs;
SELECT (SELECT count(*) FROM batchjob_definitions) AS definitions, (SELECT count(*) FROM batchjob_metrics) AS metrics;

-- Everything has a comment, and every table and sequence is dumped, but for who
-- starts the jobs, and what is of this cluster only.
SELECT pg_describe_object(d.classid, d.objid, 0) AS without_comment
FROM pg_depend d
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'batchagg')
	AND d.classid <> 'pg_type'::regclass -- listed from version 17 on
	AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = d.objid AND c.relkind = 'S')
	AND obj_description(d.objid, d.classid::regclass::text) IS NULL;
WITH tables AS (
	SELECT c.oid, c.relkind
	FROM pg_depend d JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
		AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'batchagg')
)
SELECT t.oid::regclass AS table_, a.attname AS column_without_comment
FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE t.relkind IN ('r', 'v') AND col_description(t.oid, a.attnum) IS NULL
UNION ALL
SELECT t.oid::regclass, '(trigger) ' || g.tgname
FROM tables t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal
WHERE obj_description(g.oid, 'pg_trigger') IS NULL
UNION ALL
SELECT t.oid::regclass, '(not dumped)'
FROM tables t
WHERE t.relkind IN ('r', 'S') AND t.oid <> ALL ((SELECT extconfig FROM pg_extension WHERE extname = 'batchagg')::oid[])
	AND t.oid NOT IN ('batchagg_service'::regclass, 'batchagg_marks'::regclass, 'batchagg_leaves'::regclass, 'batchagg_cursors'::regclass);

DROP EXTENSION batchagg;
DROP TABLE kpi, passing;
DROP SCHEMA "Other Place" CASCADE;
