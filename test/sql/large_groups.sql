-- Groups whose values are more than the memory has room for: percentiles and
-- distinct values are exact, by way of temporary files.
\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain
SET TimeZone = 'UTC';

-- One sensor has nearly all rows; they are in no order.  Values are multiples of
-- 1/8, whose sums do not depend on the order, and some that are special: b has
-- them where percentiles come by.  c has few different values.
CREATE TABLE readings (sensor_id text, ts timestamptz, a float8, b float8, c integer);
INSERT INTO readings
SELECT CASE WHEN i % 50 = 0 THEN 'small ' || i % 350 ELSE 'hub' END,
	   '2024-02-27 00:00+00'::timestamptz + i::bigint * 7919 % 345600 * interval '1 second',
	   CASE WHEN i % 101 > 0 THEN i::bigint * 104729 % 60013 / 8.0 END,
	   CASE WHEN i % 19 = 0 THEN 'NaN' WHEN i % 23 = 0 THEN 'infinity' WHEN i % 17 = 0 THEN '-infinity' ELSE i::bigint * 7919 % 59999 / -8.0 END,
	   i % 12
FROM generate_series(1, 100000) i;
CREATE TABLE measurements AS
SELECT sensor_id, ts, m.metric_name, m.metric_value
FROM readings, LATERAL (VALUES ('x', a), ('y', c)) m(metric_name, metric_value);

INSERT INTO batch_jobs (id, event_name) SELECT i, 'EVERYHOUR' FROM generate_series(1, 3) i;
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity, timezone, resource_filter)
VALUES (11, 1, 'sensor', 'readings', '1-hour', 'UTC', NULL), (12, 1, 'sensor', 'readings', '1-day', 'UTC', NULL),
	   (13, 1, 'sensor', 'readings', '1-week', 'UTC', NULL), (14, 1, 'sensor', 'readings', '1-month', 'UTC', NULL),
	   (21, 2, 'sensor', 'measurements', '1-day', 'UTC', NULL), (22, 2, 'sensor', 'measurements', '1-month', 'UTC', NULL),
	   (31, 3, '*', 'readings', '1-week', 'UTC', 'c < 11');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
VALUES (1, 'a', 'p99_9,sum,median,count,distinct,p5'), (1, 'b', 'p5,median,p95,p99_9,distinct,count,min,max'), (1, 'c', 'sum,avg,std'),
	   (2, 'x', 'p95,distinct,first,last'), (2, 'y', 'median,distinct'),
	   (3, 'a', 'median,p5,range'), (3, 'b', 'distinct'), (3, 'c', 'distinct,p95');
INSERT INTO metricsandtables (metricname, tablename, layout, name_column) SELECT m, 'measurements', 'row', 'metric_name' FROM unnest(ARRAY['x', 'y']) m;

-- What results should be, to the bit but for deviations.
CREATE TABLE expected AS
SELECT d.id AS definition_id, e.*
FROM batchjob_definitions d,
	 plain.rollup('readings', CASE d.focal_entity WHEN '*' THEN '''*''' ELSE 'sensor_id' END,
		format('date_trunc(%L, ts)', split_part(d.granularity, '-', 2)), 'ts',
		CASE d.job_id WHEN 2 THEN '{"x": "a", "y": "c"}' ELSE '{"a": "a", "b": "b", "c": "c"}' END::jsonb,
		coalesce(d.resource_filter, 'true')) e
	 JOIN batchjob_metrics m ON m.metric_name = e.metric AND e.aggregate = ANY (string_to_array(m.aggregation_types, ','))
WHERE m.job_id = d.job_id;
CREATE VIEW judgement AS
SELECT definition_id, count(s.metric_value) AS stored, count(e.value) AS expected,
	   count(*) FILTER (WHERE (s.sample_count = e.n AND (s.metric_value = e.value OR e.aggregate = 'std' AND plain.same(s.metric_value, e.value))) IS NOT TRUE) AS different
FROM expected e
	 FULL JOIN (SELECT definition_id, entity_id AS entity, "timestamp" AS bucket, metric_name AS metric, aggregation_type AS aggregate, metric_value, sample_count
				FROM RuleExecutionResults) s USING (definition_id, entity, bucket, metric, aggregate)
GROUP BY 1;

-- In memory.
SET batchagg.work_mem = '256MB';
SELECT job_id, status, rows_read, groups FROM batchagg_run_all();
SELECT * FROM judgement ORDER BY 1;

-- In files: new results in an empty store.
SET batchagg.work_mem = '64kB';
DELETE FROM batchagg_layouts;
SELECT job_id, status, rows_read, groups, changed = groups AS all_new FROM batchagg_run_all();
SELECT * FROM judgement ORDER BY 1;
-- to the bit
SET batchagg.work_mem = '300kB';
SELECT job_id, status, changed FROM batchagg_run_all();
SET batchagg.work_mem = '1MB';
SELECT job_id, status, changed FROM batchagg_run_all();

-- Read by several processes, which send each other large groups.
SET min_parallel_table_scan_size = 0;
SET batchagg.max_parallel_workers_per_run = 3;
SET parallel_leader_participation = off;
SELECT j.id, e.value FROM batch_jobs j, batchagg_explain_job(j.id) e WHERE e.item = 'parallel' ORDER BY 1;
SET batchagg.work_mem = '64kB';
SELECT job_id, status, rows_read, changed FROM batchagg_run_all();
DELETE FROM batchagg_layouts;
SET batchagg.work_mem = '1MB';
SELECT job_id, status, rows_read, groups, changed = groups AS all_new FROM batchagg_run_all();
SELECT * FROM judgement ORDER BY 1;

-- A change of one value is found.
UPDATE readings SET a = a + 1 WHERE ctid = (SELECT ctid FROM readings WHERE sensor_id = 'hub' AND a IS NOT NULL LIMIT 1);
SET batchagg.work_mem = '64kB';
SELECT job_id, status, changed BETWEEN 1 AND 10 AS few FROM batchagg_run_all() WHERE job_id = 1;

DROP SCHEMA plain CASCADE;
DROP EXTENSION batchagg;
DROP TABLE readings, measurements, expected;
