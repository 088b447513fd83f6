-- Jobs that run together share the scans of their sources, and store to the bit
-- what each of them stores when it runs alone.

-- What an interrupted run may have left.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_other;
RESET client_min_messages;
\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain
SET DateStyle = ISO;

-- Fractions of every length: sums would show another order of rows, were they
-- not exact.
CREATE TABLE visits (user_id text, site_id integer, ts timestamptz, a float8, b integer, c numeric, status text);
INSERT INTO visits
SELECT 'u' || i % 7, i % 3, '2024-03-20 00:00+00'::timestamptz + i * interval '13 minutes',
	   sin(i) * 10 ^ (i % 12), CASE WHEN i % 5 > 0 THEN i % 101 END, (i % 977) / 7.0, CASE WHEN i % 3 > 0 THEN 'active' END
FROM generate_series(1, 4000) i;
CREATE TABLE readings (user_id text, ts timestamptz, metric_name text, metric_value float8);
INSERT INTO readings
SELECT 'u' || i % 4, '2024-03-20 00:00+00'::timestamptz + i * interval '17 minutes',
	   (ARRAY['CPU_Load', 'CPU_Load', 'memory', 'Memory', 'disk', 'unasked', NULL])[i % 7 + 1],
	   CASE WHEN i % 11 > 0 THEN cos(i) * 10 ^ (i % 9) END
FROM generate_series(1, 3000) i;

-- Jobs 1 to 6 read visits: other metrics, aggregates, granularities, ids,
-- filters, zones and delays, one metric under another name.  Jobs 7 to 9 read
-- readings.
INSERT INTO metricsandtables (metricname, tablename, metric_column) VALUES ('alias', 'visits', 'a');
INSERT INTO batch_jobs (event_name) SELECT 'EVERYHOUR' FROM generate_series(1, 9);
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, timezone, resource_filter, job_delay, complete_only) VALUES
	(1, 'user', 'visits', '1-hour', 'UTC', NULL, 0, false),
	(2, 'user', 'visits', '1-day', 'UTC', NULL, 0, false),
	(2, 'user', 'visits', '1-day', 'UTC', 'status = "active"', 0, false),
	(3, 'user', 'visits', '1-day', 'Europe/Berlin', NULL, 0, true),
	(4, '*', 'visits', '1-month', 'UTC', NULL, 24 * 30, false),
	(5, 'site', 'visits', '1-week', 'UTC', 'status = "active"', 0, false),
	(6, 'user', 'visits', '1-day', 'UTC', NULL, 0, false),
	(6, 'user', 'visits', '1-month', 'UTC', NULL, 0, false),
	(7, 'user', 'readings', '1-hour', 'UTC', NULL, 0, false),
	(8, 'user', 'readings', '1-day', 'UTC', NULL, 0, false),
	(9, '*', 'readings', '1-day', 'UTC', NULL, 0, false);
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES
	(1, 'a', 'sum,avg'), (1, 'b', 'count'),
	(2, 'b', 'p95,distinct,std'), (2, 'c', 'min,max'),
	(3, 'a', 'std,var'), (3, 'c', 'sum,median'),
	(4, 'a', 'first,last,delta'), (4, 'b', 'sum,range'), (4, 'c', 'avg,count'),
	(5, 'c', 'stddev_pop,var_pop'),
	(6, 'alias', 'sum,std,p5'), (6, 'B', 'count,sum'),
	(7, 'cpu.load', 'sum,count'), (7, 'memory', 'avg,count'),
	(8, 'CPU_LOAD', 'std,p95,count'), (8, 'disk', 'min,max,count'),
	(9, 'Memory', 'first,last,count'), (9, 'absent', 'sum,count');

CREATE VIEW stored AS
SELECT l.definition_id, l.source, l.part, s.bucket, s.entity_id, s.sample_count, s.metric_counts::text AS counts,
	   array_send(s.results) AS results
FROM batchagg_layouts l JOIN batchagg_store s ON s.layout_id = l.id;
CREATE VIEW positions AS
SELECT l.definition_id, l.source, l.part, p.position, p.metric, p.metric_name, p.aggregation_type, p.result_name
FROM batchagg_layouts l JOIN batchagg_positions p ON p.layout_id = l.id;

-- Together: each table is read once for all its jobs.
SELECT pg_stat_force_next_flush();
BEGIN;
SELECT job_id, status, rows_read, rows_skipped, groups, results, changed FROM batchagg_run_all();
-- Of readings, the names in the rows are looked for first, with an id and without.
SELECT pg_stat_get_xact_numscans('visits'::regclass) AS visits, pg_stat_get_xact_numscans('readings'::regclass) AS readings;
COMMIT;
CREATE TABLE together AS TABLE stored;
CREATE TABLE positions_together AS TABLE positions;
-- and exactly
\set metrics '''{"a": "a", "b": "b", "B": "b", "c": "c", "alias": "a"}'''
SELECT d.id, c.*
FROM batchjob_definitions d,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L, %L)', 'visits',
		CASE d.focal_entity WHEN '*' THEN '''*''' ELSE d.focal_entity || '_id' END,
		format('date_trunc(%L, ts, %L)', split_part(d.granularity, '-', 2), d.timezone), 'ts',
		:metrics, replace(coalesce(d.resource_filter, 'true'), '"', ''''))) c
WHERE d.entity = 'visits'
ORDER BY d.id;

-- Alone: nothing to change,
SELECT j.id, r.status, r.changed FROM batch_jobs j, batchagg_run_job(j.id) r ORDER BY j.id;
-- nor would there be anything else, had they begun alone.
DELETE FROM batchagg_layouts;
SELECT j.id, r.status, r.rows_read, r.rows_skipped, r.groups, r.results, r.changed
FROM batch_jobs j, batchagg_run_job(j.id) r ORDER BY j.id;
(TABLE stored EXCEPT ALL TABLE together) UNION ALL (TABLE together EXCEPT ALL TABLE stored);
(TABLE positions EXCEPT ALL TABLE positions_together) UNION ALL (TABLE positions_together EXCEPT ALL TABLE positions);
SELECT job_id, status, changed FROM batchagg_run_all();
-- Nor with temporary files.
DELETE FROM batchagg_layouts;
SET batchagg.work_mem = '64kB';
SELECT job_id, status, changed = groups AS all_new FROM batchagg_run_all();
(TABLE stored EXCEPT ALL TABLE together) UNION ALL (TABLE together EXCEPT ALL TABLE stored);
RESET batchagg.work_mem;

-- What changes for one job is no change for others; old results of each go.
UPDATE batchjob_metrics SET aggregation_types = 'sum' WHERE job_id = 1 AND metric_name = 'a';
DELETE FROM batchjob_definitions WHERE id = 3;
UPDATE batchjob_metrics SET metric_name = 'a' WHERE job_id = 2 AND metric_name = 'c';
SELECT job_id, status, changed > 0 AS changed FROM batchagg_run_all();
SELECT j.id, r.status, r.changed FROM batch_jobs j, batchagg_run_job(j.id) r ORDER BY j.id;
SELECT DISTINCT job_id, definition_id, metric_name, aggregation_type FROM RuleExecutionResults WHERE job_id < 3 ORDER BY 1, 2, 3, 4;

-- More results than one stored row holds, of other metrics for each job: parts
-- are a job's own.
DO $$
BEGIN
	EXECUTE format('CREATE TABLE wide (user_id text, ts timestamptz, %s)', string_agg('c' || i || ' float8', ', ' ORDER BY i)) FROM generate_series(1, 150) i;
	EXECUTE format('INSERT INTO wide SELECT ''u'' || i %% 3, ''2024-03-20 00:00+00''::timestamptz + i * interval ''1 hour'', %s FROM generate_series(1, 200) i',
		string_agg(format('sin(i * %s)', i), ', ' ORDER BY i)) FROM generate_series(1, 150) i;
END $$;
INSERT INTO batch_jobs (event_name) SELECT '@daily' FROM generate_series(1, 3);
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity)
VALUES (10, 'user', 'wide', '1-day'), (11, 'user', 'wide', '1-day'), (12, 'user', 'wide', '1-week');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
SELECT 10, 'c' || i, 'sum,max' FROM generate_series(1, 120) i UNION ALL
SELECT 11, 'c' || i, 'min,std,count' FROM generate_series(61, 150) i UNION ALL
SELECT 12, 'c' || i, 'p95' FROM generate_series(140, 142) i;
SELECT job_id, status, groups, results, changed FROM batchagg_run_event('@daily');
SELECT l.job_id, l.part, count(DISTINCT p.position) AS positions FROM batchagg_layouts l JOIN batchagg_positions p ON p.layout_id = l.id
WHERE l.job_id >= 10 GROUP BY 1, 2 ORDER BY 1, 2;
SELECT j.id, r.status, r.changed FROM batch_jobs j, batchagg_run_job(j.id) r WHERE j.id >= 10 ORDER BY j.id;
SELECT d.id, c.*
FROM batchjob_definitions d,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L)', 'wide', 'user_id',
		format('date_trunc(%L, ts, ''UTC'')', split_part(d.granularity, '-', 2)), 'ts',
		(SELECT jsonb_object_agg('c' || i, 'c' || i) FROM generate_series(1, 150) i))) c
WHERE d.job_id >= 10 ORDER BY d.id;

-- One that fails does not fail the others, which are read for alone then.
DELETE FROM batch_jobs WHERE id > 6;
UPDATE batchjob_definitions SET resource_filter = '1 / (b - 50) > 0' WHERE job_id = 3;
UPDATE visits SET a = a + 1;
SET client_min_messages = notice;
SELECT pg_stat_force_next_flush();
BEGIN;
SELECT job_id, status, changed > 0 AS changed FROM batchagg_run_all();
-- the attempt together, and five that succeed
SELECT pg_stat_get_xact_numscans('visits'::regclass) > 5 AS alone;
COMMIT;
SELECT job_id, status, error_sqlstate, error_message FROM batchagg_runs ORDER BY run_id DESC LIMIT 6;
UPDATE batchjob_definitions SET resource_filter = NULL WHERE job_id = 3;

-- Jobs of other owners, of other sources, and jobs that read results run alone.
CREATE ROLE regress_batchagg_other;
GRANT SELECT ON visits TO regress_batchagg_other;
UPDATE batch_jobs SET owner = 'regress_batchagg_other' WHERE id = 2;
UPDATE batchjob_metrics SET metric_name = 'metric_value', aggregation_types = 'max' WHERE job_id = 4 AND metric_name = 'a';
DELETE FROM batchjob_metrics WHERE job_id = 4 AND metric_name <> 'metric_value';
CREATE VIEW results_of_1 AS SELECT * FROM RuleExecutionResults WHERE job_id IN (1, 4);
UPDATE batchjob_definitions SET entity = 'results_of_1', job_delay = 0, granularity = '1-day' WHERE job_id = 4;
UPDATE batch_jobs SET enable_flag = false WHERE id = 3;
INSERT INTO batch_jobs (id, event_name) VALUES (13, 'EVERYHOUR');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (13, '*', 'results_of_1', '1-month');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (13, 'metric_value', 'count');
SELECT pg_stat_force_next_flush();
BEGIN;
SELECT job_id, status, changed > 0 AS changed FROM batchagg_run_all();
-- 1, 2, and 5 with 6
SELECT pg_stat_get_xact_numscans('visits'::regclass) AS visits;
COMMIT;
-- 13 has read what 4 wrote
SELECT (SELECT sum(metric_value) FROM RuleExecutionResults WHERE job_id = 13) = (SELECT count(*) FROM results_of_1) AS in_turn;

-- An explanation is of one job.
SELECT scan, definition_id, item, value FROM batchagg_explain_job(6) WHERE item IN ('source', 'metrics', 'computed from', 'results');
-- Where a metric leads its definitions to different tables, each says which are its own.
CREATE TABLE visits2 (LIKE visits);
ALTER TABLE visits2 DROP COLUMN c;
INSERT INTO metricsandtables (metricname, tablename) VALUES ('b', 'visits'), ('b', 'visits2'), ('c', 'visits');
INSERT INTO batch_jobs (id, event_name) VALUES (14, 'EVERYHOUR');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (14, 'user', 'visits', '1-hour'), (14, 'user', 'visits2', '1-day');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (14, 'b', 'sum'), (14, 'c', 'min,max');
SELECT scan, definition_id - (SELECT min(id) FROM batchjob_definitions WHERE job_id = 14) AS definition, item, value
FROM batchagg_explain_job(14) WHERE item IN ('source', 'metrics', 'computed from', 'results');

-- A job's coarser buckets from the groups of another's finer ones, where these
-- have what it needs; and some that they do not feed.
INSERT INTO batch_jobs (id, event_name) SELECT i, '@weekly' FROM generate_series(21, 27) i;
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity, resource_filter) VALUES
	(21, 21, 'user', 'wide', '1-day', NULL), (22, 22, 'user', 'wide', '1-hour', NULL), (23, 23, 'user', 'wide', '1-day', NULL),
	(24, 24, 'user', 'wide', '1-week', NULL), (25, 25, 'user', 'wide', '1-day', 'c1 > 0'), (26, 26, '*', 'wide', '1-day', NULL),
	(27, 27, 'user', 'wide', '1-day', NULL);
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES
	(21, 'c2', 'sum,max'), (22, 'c1', 'sum,std,min'), (22, 'c2', 'avg,range'), (22, 'c4', 'p95,first'), (23, 'c1', 'var'), (23, 'c4', 'distinct,last'),
	(24, 'c1', 'avg'), (24, 'c2', 'min'), (25, 'c1', 'sum'), (26, 'c1', 'sum'), (27, 'c2', 'sum'), (27, 'c3', 'sum');
SELECT job_id, status, rows_read FROM batchagg_run_event('@weekly');
SELECT j.id, r.status, r.changed FROM batch_jobs j, batchagg_run_job(j.id) r WHERE j.id > 20 ORDER BY j.id;
SELECT d.id, c.*
FROM batchjob_definitions d,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L, %L)', 'wide', CASE d.focal_entity WHEN '*' THEN '''*''' ELSE 'user_id' END,
		format('date_trunc(%L, ts, ''UTC'')', split_part(d.granularity, '-', 2)), 'ts',
		'{"c1": "c1", "c2": "c2", "c3": "c3", "c4": "c4"}', coalesce(d.resource_filter, 'true'))) c
WHERE d.job_id > 20 ORDER BY d.id;

-- Jobs of other tables that have a metric of the same name run alone, though it is mapped
-- to all of them: one that fails does not have another's table read twice.
CREATE TABLE other_a (user_id text, ts timestamptz, shared_name float8);
CREATE TABLE other_b (LIKE other_a);
INSERT INTO other_a VALUES ('u', '2024-03-20 00:00+00', 1);
INSERT INTO other_b TABLE other_a;
SELECT setval('batch_jobs_id_seq', 100), setval('batchjob_definitions_id_seq', 100);
SELECT batchagg_create_job('EVERYWEEK', 'user', t, '{1-day,1-week}', '{"shared_name": "sum"}', tablename => t, job_name => t)
FROM unnest(ARRAY['other_a', 'other_b']) t;
UPDATE batchjob_definitions SET resource_filter = '1 / (shared_name - 1) > 0' WHERE entity = 'other_b';
SELECT pg_stat_force_next_flush();
BEGIN;
SELECT status FROM batchagg_run_event('EVERYWEEK');
SELECT pg_stat_get_xact_numscans('other_a'::regclass) AS other_a;
COMMIT;
DROP TABLE other_a, other_b;

DROP VIEW results_of_1, stored, positions;
DROP EXTENSION batchagg;
DROP TABLE visits, visits2, readings, wide, together, positions_together;
DROP ROLE regress_batchagg_other;
DROP SCHEMA plain CASCADE;
