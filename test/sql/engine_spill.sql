-- More groups than fit the memory: the same results, by way of temporary files.
\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain

-- Many entities in random order; values are multiples of 1/8, whose sums do
-- not depend on the order.
CREATE TABLE calls (caller_id text, line_id numeric, ts timestamptz, name text, value float8);
INSERT INTO calls
SELECT 'caller ' || md5((i % 8009)::text), (i % 1201 || CASE WHEN i % 2 = 0 THEN '.0' ELSE '' END)::numeric,
	   '2024-03-25 00:00+00'::timestamptz + i::bigint * 7919 % 1209600 * interval '1 second',
	   CASE WHEN i % 3 = 0 THEN 'cost' ELSE 'length' END, CASE WHEN i % 17 > 0 THEN i::bigint * 104729 % 7993 / 8.0 END
FROM generate_series(1, 40000) i;

-- Bytes of temporary files that the database has written so far.
CREATE FUNCTION temp_bytes() RETURNS bigint LANGUAGE sql AS $$
	SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()
$$;

\set ample '''256MB'''
\set scant '''64kB'''
INSERT INTO batch_jobs (id, event_name) SELECT i, 'EVERYHOUR' FROM generate_series(1, 5) i;
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity, timezone, resource_filter)
VALUES (11, 1, 'caller', 'calls', '1-hour', 'UTC', NULL), (12, 1, 'caller', 'calls', '1-day', 'UTC', NULL), (13, 1, 'caller', 'calls', '1-week', 'UTC', NULL),
	   (14, 1, 'line', 'calls', '1-day', 'Europe/Berlin', NULL), (15, 1, '*', 'calls', '5-minute', 'UTC', NULL),
	   (21, 2, 'line', 'calls', '1-hour', 'UTC', 'line_id < 800'), (22, 2, 'line', 'calls', '1-day', 'UTC', 'line_id < 800'),
	   (31, 3, '*', 'calls', '1-week', 'UTC', NULL), (32, 3, '*', 'calls', '1-month', 'UTC', NULL),
	   (41, 4, 'caller', 'calls', '1-hour', 'UTC', NULL), (42, 4, 'caller', 'calls', '1-month', 'UTC', NULL),
	   (51, 5, 'caller', 'calls', '1-day', 'UTC', NULL);
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
VALUES (1, 'value', 'sum,avg,count,min,max,first,last,delta'),
	   (2, 'value', 'sum,median,p95,distinct,last'),
	   (3, 'value', 'sum,median,p5,p95,distinct'),
	   (4, 'cost', 'sum,count,p95'), (4, 'length', 'first,max'),
	   (5, 'value', 'std,var,stddev_pop,var_pop');
INSERT INTO metricsandtables (metricname, tablename, layout, name_column) SELECT m, 'calls', 'row', 'name' FROM unnest(ARRAY['cost', 'length']) m;

-- With ample memory no file is written, and the results are right.
SET batchagg.work_mem = :ample;
SELECT pg_stat_force_next_flush();
SELECT temp_bytes() AS before \gset
SELECT job_id, status, rows_read, groups FROM batchagg_run_all();
SELECT pg_stat_force_next_flush();
SELECT temp_bytes() - :before AS temp_bytes;
SELECT d.id, c.*
FROM batchjob_definitions d,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L, %L)', 'calls',
		CASE d.focal_entity WHEN '*' THEN '''*''' WHEN 'caller' THEN 'caller_id' ELSE 'trim_scale(line_id)' END,
		CASE d.granularity WHEN '5-minute' THEN 'date_bin(''5 minutes'', ts, ''2000-01-03 00:00+00'')'
			ELSE format('date_trunc(%L, ts, %L)', split_part(d.granularity, '-', 2), d.timezone) END, 'ts',
		CASE d.job_id WHEN 4 THEN '{"cost": "CASE WHEN name = ''cost'' THEN value END", "length": "CASE WHEN name = ''length'' THEN value END"}'
			ELSE '{"value": "value"}' END, coalesce(d.resource_filter, 'true'))) c
-- which of the texts of a number is stored is not said
WHERE d.focal_entity <> 'line' AND d.job_id <> 4
ORDER BY d.id;
CREATE TABLE ample AS
SELECT definition_id, entity_id, "timestamp", metric_name, aggregation_type, metric_value, sample_count FROM RuleExecutionResults;
SELECT definition_id, count(*) FROM ample GROUP BY 1 ORDER BY 1;
SELECT count(*) AS unequal_sums
FROM (SELECT trim_scale(line_id) AS line, sum(value) AS sum FROM calls GROUP BY 1) e
	 FULL JOIN (SELECT trim_scale(entity_id::numeric) AS line, sum(metric_value) AS sum FROM ample
				WHERE definition_id = 14 AND aggregation_type = 'sum' GROUP BY 1) s USING (line)
WHERE e.sum IS DISTINCT FROM s.sum;

-- The least memory: new results in an empty store, which are the same.
DELETE FROM batchagg_layouts;
SET batchagg.work_mem = :scant;
SELECT pg_stat_force_next_flush();
SELECT temp_bytes() AS before \gset
SELECT job_id, status, rows_read, groups, changed = groups AS all_new FROM batchagg_run_all();
SELECT pg_stat_force_next_flush();
SELECT temp_bytes() - :before > 1000000 AS spilled;
SELECT count(*) AS different
FROM ample a FULL JOIN RuleExecutionResults s USING (definition_id, entity_id, "timestamp", metric_name, aggregation_type, sample_count)
WHERE CASE WHEN definition_id = 51 THEN plain.same(a.metric_value, s.metric_value) ELSE a.metric_value = s.metric_value END IS NOT TRUE;
-- a run with more memory finds nothing to change, to the bit
SET batchagg.work_mem = '1MB';
SELECT job_id, status, changed FROM batchagg_run_all() WHERE job_id < 5;
SET batchagg.work_mem = :scant;
SELECT job_id, status, changed FROM batchagg_run_all() WHERE job_id < 5;
-- and one with less finds what has changed
UPDATE calls SET value = value + 1 WHERE caller_id IN (SELECT min(caller_id) FROM calls);
SELECT job_id, status, changed BETWEEN 1 AND 500 AS few FROM batchagg_run_all() WHERE job_id IN (1, 4);
SELECT c.* FROM plain.compare(13, $$SELECT * FROM plain.rollup('calls', 'caller_id', 'date_trunc(''week'', ts, ''UTC'')', 'ts', '{"value": "value"}')$$) c;

-- Not less than the least.
SET batchagg.work_mem = '63kB';
RESET batchagg.work_mem;
SHOW batchagg.work_mem;

DROP SCHEMA plain CASCADE;
DROP EXTENSION batchagg;
DROP FUNCTION temp_bytes;
DROP TABLE calls, ample;
