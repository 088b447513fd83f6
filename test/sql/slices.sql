-- Rows in no order, and more groups than fit the memory: rows are set aside until
-- those of a group come together.  The same results as with ample memory.
\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain
SET DateStyle = ISO;
SET TimeZone = 'UTC';
SET batchagg.max_parallel_workers_per_run = 0;

-- Ids of all kinds: short, long enough to be compressed, of fixed length, by value;
-- values and ids that are NULL, times that are missing.  Values are multiples of 1/8,
-- whose sums do not depend on the order.
CREATE TABLE calls (caller_id text, long_id text, device_id uuid, line_id integer, ts timestamptz, local_ts timestamp, name_id text,
	cost float8, length integer, price numeric, huge numeric, is_small boolean);
INSERT INTO calls
SELECT CASE WHEN i % 997 > 0 THEN 'caller ' || h % 701 END, repeat('long ' || h % 709, 150), md5((h % 719)::text)::uuid, h % 727,
	   CASE WHEN i % 1999 > 0 THEN '2024-03-25 00:00+00'::timestamptz + h % 1209600 * interval '1 second' END,
	   '2024-03-25 00:00'::timestamp + h % 1209600 * interval '1 second',
	   CASE i % 4 WHEN 0 THEN 'cost' WHEN 1 THEN 'Called' WHEN 2 THEN 'other' END,
	   CASE WHEN i % 17 > 0 THEN h % 7993 / 8.0 WHEN i % 34 = 0 THEN 'NaN' END, CASE WHEN i % 13 > 0 THEN h % 101 END,
	   CASE WHEN i % 5 > 0 THEN (h % 9973 / 8.0)::numeric(12, 3) END, CASE WHEN i % 2 > 0 THEN 1e400 ELSE h % 11 END, i % 2 = 0
FROM generate_series(1, 24000) i, LATERAL (SELECT abs(hashint4(i)::bigint) AS h) v;
INSERT INTO calls VALUES ('caller 1', 'x', NULL, 1, '2100-01-01', '2100-01-01', 'cost', 1, 1, 1, 1, false);
CREATE VIEW local_calls AS SELECT line_id, local_ts AS ts, cost, length, price FROM calls;
CREATE VIEW named AS SELECT caller_id, name_id, name_id AS name, ts, cost AS value FROM calls;

-- Filters that differ are flags; huge is no float8 where it is not small.
INSERT INTO batch_jobs (id, event_name) SELECT i, 'EVERYHOUR' FROM generate_series(1, 7) i;
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity, timezone, resource_filter)
VALUES (11, 1, 'caller', 'calls', '1-day', 'UTC', NULL), (12, 1, 'caller', 'calls', '1-week', 'UTC', NULL), (13, 1, 'caller', 'calls', '1-month', 'UTC', NULL),
	   (21, 2, 'caller', 'calls', '1-day', 'Europe/Berlin', 'length > 20'), (22, 2, 'device', 'calls', '1-day', 'UTC', 'length < 50'),
	   (23, 2, '*', 'calls', '1-hour', 'UTC', NULL), (24, 2, 'line', 'calls', '1-day', 'UTC', NULL),
	   (31, 3, 'long', 'calls', '1-day', 'UTC', NULL),
	   (41, 4, 'device', 'calls', '1-day', 'UTC', NULL),
	   (51, 5, 'line', 'local_calls', '1-day', 'Asia/Kolkata', NULL),
	   (61, 6, 'caller', 'named', '1-day', 'UTC', NULL), (62, 6, 'name', 'named', '1-hour', 'UTC', NULL),
	   (71, 7, 'line', 'calls', '1-day', 'UTC', 'is_small'), (72, 7, 'caller', 'calls', '1-day', 'UTC', 'is_small AND length > 10');
INSERT INTO metricsandtables (metricname, tablename, layout) SELECT m, 'named', 'row' FROM unnest(ARRAY['called', 'other']) m;
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
SELECT j, m, 'sum,count,max,std,first' FROM generate_series(1, 5) j, unnest(ARRAY['cost', 'length', 'price']) m WHERE j <> 3
UNION ALL VALUES (3, 'cost', 'sum,median,p95,distinct'), (3, 'price', 'sum,count'),
	   (6, 'other', 'sum,count,max,std,first'), (6, 'called', 'sum,count,max,std,first'),
	   (7, 'huge', 'sum,count,max,std,first'), (7, 'cost', 'sum,count,max,std,first');

-- With ample memory, and compared with plain SQL.
CREATE FUNCTION temp_bytes() RETURNS bigint LANGUAGE sql AS $$
	SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()
$$;
SET batchagg.work_mem = '1GB';
SELECT pg_stat_force_next_flush();
SELECT temp_bytes() AS before \gset
SELECT job_id, status, rows_read, rows_skipped, groups, results FROM batchagg_run_all();
SELECT pg_stat_force_next_flush();
SELECT temp_bytes() - :before AS temp_bytes;
SELECT d.id, c.*
FROM batchjob_definitions d,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L, %L)', d.entity,
		CASE d.focal_entity WHEN '*' THEN '''*''' ELSE d.focal_entity || '_id' END,
		format('date_trunc(%L, ts%s, %L)', split_part(d.granularity, '-', 2), CASE d.job_id WHEN 5 THEN ' AT TIME ZONE ''Asia/Kolkata''' ELSE '' END, d.timezone), 'ts',
		CASE d.job_id WHEN 6 THEN '{"other": "CASE WHEN name = ''other'' THEN value END", "called": "CASE WHEN name = ''Called'' THEN value END"}'
			WHEN 7 THEN '{"huge": "CASE WHEN is_small THEN huge END", "cost": "cost"}'
			ELSE '{"cost": "cost", "length": "length", "price": "price"}' END,
		'ts < now() AND (' || coalesce(d.resource_filter, 'true') || ')')) c
-- in row layout, a group without a metric's rows has no count of it
WHERE d.job_id <> 6
ORDER BY d.id;
CREATE TABLE ample AS
SELECT definition_id, entity_id, "timestamp", metric_name, aggregation_type, metric_value, sample_count FROM RuleExecutionResults;

-- With little: into an empty store, the same to the bit but for squares, whose
-- rounding is another in another order.
DELETE FROM batchagg_layouts;
SET batchagg.work_mem = '2MB';
SELECT job_id, status, rows_read, rows_skipped, groups, results, changed = groups AS all_new FROM batchagg_run_all();
CREATE VIEW different AS
SELECT definition_id, count(*)
FROM ample a FULL JOIN RuleExecutionResults s USING (definition_id, entity_id, "timestamp", metric_name, aggregation_type, sample_count)
WHERE CASE WHEN aggregation_type IN ('std', 'var') THEN plain.same(a.metric_value, s.metric_value) ELSE a.metric_value = s.metric_value END IS NOT TRUE
GROUP BY 1;
SELECT * FROM different;
-- With less still.
DELETE FROM batchagg_layouts;
SET batchagg.work_mem = '512kB';
SELECT job_id, status, changed = groups AS all_new FROM batchagg_run_all();
SELECT * FROM different;
-- Each process sets aside what it reads.
DELETE FROM batchagg_layouts;
SET min_parallel_table_scan_size = 0;
SET batchagg.work_mem = '2MB';
SET batchagg.max_parallel_workers_per_run = 1;
SELECT j.id, e.scan, e.value FROM batch_jobs j, batchagg_explain_job(j.id) e WHERE e.item IN ('order', 'parallel') ORDER BY 1, 2;
SELECT job_id, status, rows_read, rows_skipped, groups, results, changed = groups AS all_new FROM batchagg_run_all();
SELECT * FROM different;
-- Rows that were thought to be in order, and groups that have left when it turns out
-- that they are not.
CREATE TABLE turned WITH (autovacuum_enabled = off) AS
SELECT i % 2003 AS line_id, '2024-03-25 00:00+00'::timestamptz + i * interval '1 minute' AS ts, i % 100 AS cost FROM generate_series(1, 20000) i;
ANALYZE turned;
INSERT INTO turned SELECT line_id, ts, length FROM calls WHERE ts < '2025-01-01';
INSERT INTO batch_jobs (id, event_name) VALUES (8, 'EVERYHOUR');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity, timezone) VALUES (81, 8, 'line', 'turned', '1-hour', 'UTC');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (8, 'cost', 'sum,avg,count,min,max,std,var,first,last');
SELECT value FROM batchagg_explain_job(8) WHERE item = 'order';
SET batchagg.max_parallel_workers_per_run = 0;
SET batchagg.work_mem = '1MB';
SELECT rows_read > (SELECT count(*) FROM turned) AS read_again, changed >= groups AS all_new FROM batchagg_run_job(8);
SELECT c.* FROM plain.compare(81, $$SELECT * FROM plain.rollup('turned', 'line_id', 'date_trunc(''hour'', ts, ''UTC'')', 'ts', '{"cost": "cost"}')$$) c;
SELECT * FROM batchagg_verify_job(8);

-- Twenty rows a group: a row is written once, and a group, where groups that miss each
-- other in memory would be written ten times.
CREATE TABLE often AS
SELECT h % 500 AS line_id, '2024-03-25 00:00+00'::timestamptz + h % 864000 * interval '1 second' AS ts, h % 101 AS cost, h % 103 AS length, h % 107 AS price
FROM generate_series(1, 100000) i, LATERAL (SELECT abs(hashint4(i)::bigint) AS h) v;
INSERT INTO batch_jobs (id, event_name) VALUES (9, 'EVERYHOUR');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity, timezone) VALUES (91, 9, 'line', 'often', '1-day', 'UTC');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
SELECT 9, m, 'sum,avg,count,min,max,std,var,first,last' FROM unnest(ARRAY['cost', 'length', 'price']) m;
SET batchagg.work_mem = '512kB';
SELECT pg_stat_force_next_flush();
SELECT temp_bytes() AS before \gset
SELECT rows_read, groups FROM batchagg_run_job(9);
SELECT pg_stat_force_next_flush();
SELECT temp_bytes() - :before < 13000000 AS few;
SELECT c.* FROM plain.compare(91, $$SELECT * FROM plain.rollup('often', 'line_id', 'date_trunc(''day'', ts, ''UTC'')', 'ts', '{"cost": "cost", "length": "length", "price": "price"}')$$) c;
-- Groups so many that slices have to be sliced again.
INSERT INTO batch_jobs (id, event_name) VALUES (10, 'EVERYHOUR');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity, timezone) VALUES (101, 10, 'line', 'often', '1-hour', 'UTC');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) SELECT 10, m, 'std,max' FROM unnest(ARRAY['cost', 'length', 'price']) m;
SELECT rows_read, groups FROM batchagg_run_job(10);
SELECT c.* FROM plain.compare(101, $$SELECT * FROM plain.rollup('often', 'line_id', 'date_trunc(''hour'', ts, ''UTC'')', 'ts', '{"cost": "cost", "length": "length", "price": "price"}')$$) c;

DROP VIEW different, local_calls, named;
DROP SCHEMA plain CASCADE;
DROP EXTENSION batchagg;
DROP FUNCTION temp_bytes;
DROP TABLE calls, ample, turned, often;
