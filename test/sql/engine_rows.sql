-- Sources in row layout: a metric is a row.
\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain
SET DateStyle = ISO;

-- Names differ from metrics in case and in dots, or from one another in case; some are NULL,
-- some not asked for, one is like another but longer.
CREATE TABLE readings (device_id integer, ts timestamptz, metric_name text, metric_value numeric, quality text);
INSERT INTO readings
SELECT i % 5, '2024-06-01 00:00+00'::timestamptz + i * interval '3 minutes',
	   (ARRAY['CPU.load', 'CPU.load', 'memory', 'Memory', 'disk', 'unasked', 'memory2', 'memor', NULL, ''])[i % 10 + 1],
	   CASE WHEN i % 13 > 0 THEN i * 7 % 1001 / 4.0 END,
	   CASE WHEN i % 3 > 0 THEN 'good' END
FROM generate_series(1, 4000) i;
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
VALUES (1, 'cpu_load', 'sum,avg,count,p95'), (1, 'Memory', 'min,max,std,first,last,count'), (1, 'disk', 'median,distinct,count'),
	   (1, 'absent', 'sum,count');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity)
VALUES (1, 'device', 'readings', '1-hour'), (1, 'device', 'readings', '1-day'), (1, 'device', 'readings', '1-week'),
	   (1, '*', 'readings', '1-day');
\set metrics '''{"cpu_load": "CASE WHEN metric_name = ''''CPU.load'''' THEN metric_value END", "Memory": "CASE WHEN metric_name = ''''Memory'''' THEN metric_value END", "disk": "CASE WHEN metric_name = ''''disk'''' THEN metric_value END"}'''
SELECT status, rows_read, rows_skipped FROM batchagg_run_job(1);
SELECT item, value FROM batchagg_explain_job(1) WHERE item IN ('layout', 'query', 'metrics');
-- A metric without rows in a group has no results there, not even a count of
-- 0; a row with a NULL value is a row.
CREATE FUNCTION row_counts(definition integer, id text, unit text) RETURNS TABLE (groups bigint, different bigint)
LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format($query$
		WITH expected AS (
			SELECT (%2$s)::text AS entity, date_trunc(%3$L, ts, 'UTC') AS bucket, m.metric, count(metric_value)::float8 AS value
			FROM readings, LATERAL (SELECT CASE metric_name
				WHEN 'CPU.load' THEN 'cpu_load' WHEN 'Memory' THEN 'Memory' WHEN 'disk' THEN 'disk' END) m(metric)
			WHERE m.metric IS NOT NULL GROUP BY 1, 2, 3),
		stored AS (
			SELECT entity_id, "timestamp", metric_name, metric_value FROM RuleExecutionResults
			WHERE definition_id = %1$s AND aggregation_type = 'count')
		SELECT (SELECT count(*) FROM stored), count(*) FROM
			((TABLE expected EXCEPT ALL TABLE stored) UNION ALL (TABLE stored EXCEPT ALL TABLE expected)) d$query$,
		definition, id, unit);
END $$;
SELECT 1 AS id, c.* FROM row_counts(1, 'device_id', 'hour') c
UNION ALL SELECT 2, c.* FROM row_counts(2, 'device_id', 'day') c
UNION ALL SELECT 3, c.* FROM row_counts(3, 'device_id', 'week') c
UNION ALL SELECT 4, c.* FROM row_counts(4, '''*''', 'day') c;
-- the other aggregates
UPDATE batchjob_metrics SET aggregation_types = replace(aggregation_types, ',count', '');
UPDATE batchjob_metrics SET aggregation_types = replace(aggregation_types, ',distinct', '');
SELECT status FROM batchagg_run_job(1);
SELECT d.id, c.*
FROM batchjob_definitions d,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L)', 'readings',
		CASE d.focal_entity WHEN '*' THEN '''*''' ELSE 'device_id' END,
		format('date_trunc(%L, ts, ''UTC'')', split_part(d.granularity, '-', 2)), 'ts', :metrics)) c
ORDER BY d.id;
-- with a filter for all, which may look at the name, and one more for some
UPDATE batchjob_definitions SET resource_filter = 'quality = "good" AND metric_name <> "memory"';
SELECT status, rows_read FROM batchagg_run_job(1);
SELECT d.id, c.*
FROM batchjob_definitions d,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L, %L)', 'readings',
		CASE d.focal_entity WHEN '*' THEN '''*''' ELSE 'device_id' END,
		format('date_trunc(%L, ts, ''UTC'')', split_part(d.granularity, '-', 2)), 'ts', :metrics,
		replace(d.resource_filter, '"', ''''))) c
ORDER BY d.id;
UPDATE batchjob_definitions SET resource_filter = 'metric_value > 100' WHERE id IN (2, 4);
SELECT status, rows_read FROM batchagg_run_job(1);
SELECT d.id, c.*
FROM batchjob_definitions d,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L, %L)', 'readings',
		CASE d.focal_entity WHEN '*' THEN '''*''' ELSE 'device_id' END,
		format('date_trunc(%L, ts, ''UTC'')', split_part(d.granularity, '-', 2)), 'ts', :metrics,
		replace(d.resource_filter, '"', ''''))) c
ORDER BY d.id;
DROP FUNCTION row_counts;

-- Rows of other metrics do not count as skipped, whatever they lack.
INSERT INTO readings VALUES (NULL, NULL, 'unasked', 1, 'good'), (NULL, '2024-06-01 00:00+00', NULL, 1, 'good'),
	(NULL, '2024-06-01 00:00+00', 'disk', 1, 'good'), (1, NULL, 'disk', 1, 'good'), (1, '-infinity', 'disk', 1, 'good');
SELECT status, rows_skipped, changed FROM batchagg_run_job(1);

-- The other names of the two columns, and columns that a mapping names; types
-- of names.
CREATE TYPE udc_name AS ENUM ('height', 'weight', 'age');
CREATE TABLE udc (user_id bigint, "time" timestamp, udc_config_name udc_name, udc_config_value real);
INSERT INTO udc
SELECT i % 4, '2024-06-01 00:00'::timestamp + i * interval '11 minutes', (ARRAY['height', 'weight', 'age'])[i % 3 + 1]::udc_name, i / 8.0
FROM generate_series(1, 500) i;
CREATE VIEW pairs AS
SELECT user_id, "time", udc_config_name::varchar(20) AS name, udc_config_value AS value FROM udc;
CREATE VIEW padded AS
SELECT user_id AS "who is it", "time" AS "when", udc_config_name::text::char(20) AS "Key", udc_config_value * interval '1 second' AS "Data"
FROM udc;
CREATE VIEW named AS
SELECT user_id, "time", udc_config_name::text::name AS name, udc_config_value > 30 AS value FROM udc;
INSERT INTO batch_jobs (event_name) SELECT 'EVERYHOUR' FROM generate_series(1, 4);
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity)
VALUES (2, 'user', 'udc', '1-day'), (3, 'user', 'pairs', '1-day'), (4, 'user', 'padded', '1-day'), (5, 'user', 'named', '1-day');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
SELECT j, m, 'sum,min,max' FROM generate_series(2, 5) j, unnest(ARRAY['height', 'WEIGHT']) m;
INSERT INTO metricsandtables (metricname, tablename, layout, id_column, time_column, name_column, value_column)
SELECT m, 'padded', 'row', 'who is it', 'when', 'key', 'DATA' FROM unnest(ARRAY['height', 'WEIGHT']) m;
SELECT job_id, status, rows_read, groups, results FROM batchagg_run_all() WHERE job_id > 3;
-- the mapping is for every job, unless the definition's entity is another table
INSERT INTO metricsandtables (metricname, tablename) SELECT m, t FROM unnest(ARRAY['height', 'WEIGHT']) m, unnest(ARRAY['udc', 'pairs', 'named']) t;
SELECT job_id, status, rows_read, groups, results FROM batchagg_run_all() WHERE job_id > 1;
SELECT d.id, c.*
FROM batchjob_definitions d,
	 LATERAL (SELECT CASE WHEN d.entity = 'named' THEN '(udc_config_value > 30)::int' ELSE 'udc_config_value' END) e(v),
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L)', 'udc', 'user_id',
		'date_trunc(''day'', "time" AT TIME ZONE ''UTC'', ''UTC'')', '"time"',
		jsonb_build_object(
			'height', format('CASE WHEN udc_config_name = ''height'' THEN %s END', v),
			'WEIGHT', format('CASE WHEN udc_config_name = ''weight'' THEN %s END', v)))) c
WHERE d.job_id > 1
ORDER BY d.id;

DROP SCHEMA plain CASCADE;
DROP EXTENSION batchagg;
DROP TABLE readings;
DROP TABLE udc CASCADE;
DROP TYPE udc_name;
