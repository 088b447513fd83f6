-- Rows in the order of time: groups are stored while others are still read, and
-- what rows come late for is recomputed.  The same results in any order.

-- What an interrupted run may have left.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_reader;
RESET client_min_messages;
\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain
SET DateStyle = ISO;
SET TimeZone = 'UTC';
SET batchagg.max_parallel_workers_per_run = 0;

-- Values are multiples of 1/8, whose sums do not depend on the order.  When rows are
-- looked at by ANALYZE is said below.
CREATE TABLE calls (caller_id text, line_id numeric, ts timestamptz, name text, cost float8, length integer) WITH (autovacuum_enabled = off);
INSERT INTO calls
SELECT CASE WHEN i % 501 > 0 THEN 'caller ' || i % 61 END, i % 701, '2024-03-25 00:00+00'::timestamptz + i * interval '80 seconds',
	   CASE WHEN i % 3 = 0 THEN 'cost' ELSE 'length' END,
	   CASE WHEN i % 1999 = 0 THEN 'NaN' WHEN i % 17 > 0 THEN i::bigint * 104729 % 7993 / 8.0 END, i % 100
FROM generate_series(1, 15000) i;
INSERT INTO calls VALUES ('caller 1', 1, '2100-01-01 00:00+00', 'cost', 1, 1);
ANALYZE calls;

-- The same rows, in random order.
CREATE TABLE shuffled WITH (autovacuum_enabled = off) AS SELECT * FROM calls ORDER BY md5(ts::text);
ANALYZE shuffled;

-- Local times, over partitions, the last of which is empty.
CREATE TABLE measurements (caller_id integer, ts timestamp, value real) PARTITION BY RANGE (ts);
CREATE TABLE measurements_1 PARTITION OF measurements FOR VALUES FROM (MINVALUE) TO ('2024-03-31') WITH (autovacuum_enabled = off);
CREATE TABLE measurements_2 PARTITION OF measurements FOR VALUES FROM ('2024-03-31') TO ('2024-04-15') WITH (autovacuum_enabled = off);
CREATE TABLE measurements_3 PARTITION OF measurements FOR VALUES FROM ('2024-04-15') TO ('2024-05-15') WITH (autovacuum_enabled = off);
CREATE TABLE measurements_4 PARTITION OF measurements FOR VALUES FROM ('2024-05-15') TO (MAXVALUE) WITH (autovacuum_enabled = off);
INSERT INTO measurements
SELECT i % 61, '2024-03-25'::timestamp + i * interval '180 seconds', i % 1000 FROM generate_series(1, 15000) i;
ANALYZE measurements;

INSERT INTO batch_jobs (id, event_name) SELECT i, 'EVERYHOUR' FROM generate_series(1, 5) i;
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity, timezone, resource_filter)
VALUES (11, 1, 'caller', 'calls', '1-hour', 'UTC', NULL), (12, 1, 'caller', 'calls', '1-day', 'UTC', NULL), (13, 1, 'caller', 'calls', '1-week', 'UTC', NULL),
	   (14, 1, '*', 'calls', '1-minute', 'UTC', 'length > 50'),
	   (21, 2, 'caller', 'calls', '1-hour', 'Europe/Berlin', NULL), (22, 2, 'caller', 'calls', '1-day', 'Europe/Berlin', NULL),
	   (31, 3, 'caller', 'measurements', '1-hour', 'Europe/Berlin', NULL), (32, 3, 'caller', 'measurements', '1-month', 'Europe/Berlin', NULL),
	   (41, 4, 'caller', 'shuffled', '1-hour', 'UTC', NULL),
	   (51, 5, 'line', 'calls', '1-hour', 'UTC', NULL);
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
VALUES (1, 'cost', 'sum,avg,count,min,max,first,last,std'), (1, 'length', 'sum,count,max'),
	   (2, 'cost', 'sum,median,p95,distinct'),
	   (3, 'value', 'sum,count,last'),
	   (4, 'cost', 'sum,avg,count,min,max,first,last,std'), (4, 'length', 'sum,count,max'),
	   (5, 'cost', 'sum');
SELECT j.id, e.scan, e.value FROM batch_jobs j, batchagg_explain_job(j.id) e WHERE e.item = 'order' ORDER BY 1, 2;

-- Bytes of temporary files that the database has written so far.
CREATE FUNCTION temp_bytes() RETURNS bigint LANGUAGE sql AS $$
	SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()
$$;
-- Stable, so that only the definitions asked for are compared.
CREATE FUNCTION compare(OUT definition integer, OUT stored bigint, OUT expected bigint, OUT different bigint) RETURNS SETOF record STABLE LANGUAGE sql AS $$
	SELECT d.id, c.*
	FROM batchjob_definitions d,
		 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L, %L)', d.entity,
			CASE d.focal_entity WHEN '*' THEN '''*''' ELSE d.focal_entity || '_id' END,
			CASE WHEN d.granularity = '1-minute' THEN 'date_trunc(''minute'', ts)'
				WHEN d.entity = 'measurements' THEN format('date_trunc(%L, ts AT TIME ZONE %L, %2$L)', split_part(d.granularity, '-', 2), d.timezone)
				ELSE format('date_trunc(%L, ts, %L)', split_part(d.granularity, '-', 2), d.timezone) END,
			'ts',
			CASE d.job_id WHEN 3 THEN '{"value": "value"}' ELSE '{"cost": "cost", "length": "length"}' END,
			'ts < now() AND (' || coalesce(d.resource_filter, 'true') || ')')) c
	ORDER BY d.id
$$;

-- With memory for a small part of the groups, only the table in random order and
-- ids that may be printed in several ways need temporary files.
SET batchagg.work_mem = '1MB';
SELECT pg_stat_force_next_flush();
SELECT temp_bytes() AS before \gset
SELECT count(*) FROM batch_jobs j, batchagg_run_job(j.id) WHERE j.id <= 3;
SELECT pg_stat_force_next_flush();
SELECT temp_bytes() - :before AS temporary, temp_bytes() AS before \gset
SELECT :temporary AS temporary;
SELECT count(*) FROM batchagg_run_job(4);
SELECT pg_stat_force_next_flush();
SELECT temp_bytes() - :before > 0 AS temporary, temp_bytes() AS before \gset
SELECT :'temporary' AS temporary;
SELECT count(*) FROM batchagg_run_job(5);
SELECT pg_stat_force_next_flush();
SELECT temp_bytes() - :before > 0 AS temporary;
SELECT * FROM compare();
SELECT job_id, rows_read, rows_skipped, groups, results, changed >= groups AS all_new FROM batchagg_runs ORDER BY 1;
-- nothing has changed
SELECT job_id, changed FROM batchagg_run_all();
SELECT * FROM batchagg_verify_job(1);

-- The figures do not depend on the order either.
SELECT d.definition_id, count(*) - count(s.*) AS missing
FROM RuleExecutionResults d
	 LEFT JOIN RuleExecutionResults s ON (s.definition_id, s.entity_id, s."timestamp", s.metric_name, s.aggregation_type, s.metric_value, s.sample_count) =
		(41, d.entity_id, d."timestamp", d.metric_name, d.aggregation_type, d.metric_value, d.sample_count)
WHERE d.definition_id = 11 AND d.aggregation_type <> 'std'
GROUP BY 1;

-- Late rows: of a bucket that has left, of one without groups, before the first.
-- Their pieces are read again.
CREATE TABLE late AS
SELECT 'caller 1' AS caller_id, 1 AS line_id, ts::timestamptz, 'cost' AS name, 1000.0 AS cost, 60 AS length
FROM unnest(ARRAY['2024-03-26 05:10+00', '2024-04-04 01:00+00', '2024-03-20 00:00+00', '2024-03-26 05:11+00']) ts;
INSERT INTO calls TABLE late;
INSERT INTO calls SELECT caller_id, line_id, ts + interval '20 days', name, cost, length FROM calls WHERE ts BETWEEN '2024-03-26' AND '2024-03-28' ORDER BY ts;
INSERT INTO calls SELECT caller_id, line_id, ts + interval '1 minute', name, cost, length FROM late;
ANALYZE calls;
SELECT count(*) FROM batchagg_explain_job(1) WHERE item = 'order';
SELECT count(*) AS rows FROM calls \gset
SELECT rows_read > :rows AS read_again, rows_skipped, groups, results, changed FROM batchagg_run_job(1, dry_run => true);
SELECT rows_read > :rows AS read_again, rows_skipped, groups, results FROM batchagg_run_job(1);
SELECT * FROM compare() WHERE definition < 20;
SELECT changed FROM batchagg_run_job(1, dry_run => true);
SELECT rows_read > :rows AS read_again, changed FROM batchagg_run_job(1);
SELECT * FROM batchagg_verify_job(1);
-- rows that change, and come late as they are new versions: each group is written once
UPDATE calls SET cost = cost + 1 WHERE (caller_id, ts) IN (('caller 1', '2024-03-26 05:10+00'), ('caller 8', '2024-04-07 02:40:00+00'));
SELECT rows_read > :rows AS read_again, changed FROM batchagg_run_job(1);
SELECT changed FROM batchagg_run_job(1);
SELECT * FROM compare() WHERE definition < 20;
-- the figures of a run whose groups are all kept, as nothing is known of a computed time
CREATE VIEW same_calls AS SELECT caller_id, line_id, ts + interval '0' AS ts, name, cost, length FROM calls;
UPDATE batchjob_definitions SET entity = 'same_calls' WHERE job_id = 1;
SELECT rows_read = :rows AS read_once, rows_skipped, groups, results FROM batchagg_run_job(1, dry_run => true);
UPDATE batchjob_definitions SET entity = 'calls' WHERE job_id = 1;
-- into an empty store
DELETE FROM batchagg_layouts;
SELECT changed >= groups AS all_new FROM batchagg_run_job(1);
SELECT * FROM compare() WHERE definition < 20;
SELECT rows_read > :rows AS read_again FROM batchagg_run_job(2);
SELECT * FROM compare() WHERE definition BETWEEN 20 AND 29;

-- Changes, new rows and vanished ones, some in the middle.
UPDATE calls SET cost = cost + 1 WHERE extract(day FROM ts) = 3;
DELETE FROM calls WHERE extract(day FROM ts) = 4 OR (caller_id = 'caller 5' AND extract(hour FROM ts) = 5);
VACUUM FULL calls;
SELECT count(*) FROM batchagg_run_job(1);
SELECT * FROM compare() WHERE definition < 20;

-- Statistics that are no longer true: all is late.
CREATE TABLE twice WITH (autovacuum_enabled = off) AS SELECT * FROM calls WHERE ts < '2024-04-10' ORDER BY ts;
ANALYZE twice;
INSERT INTO twice SELECT * FROM twice ORDER BY ts;
UPDATE batchjob_definitions SET entity = 'twice' WHERE job_id = 2;
SELECT count(*) FROM batchagg_explain_job(2) WHERE item = 'order';
SELECT rows_read FROM batchagg_run_job(2);
SELECT * FROM compare() WHERE definition BETWEEN 20 AND 29;
ANALYZE twice;
SELECT count(*) FROM batchagg_explain_job(2) WHERE item = 'order';
-- more than one job, of which one keeps history and one has late rows that it need not keep
UPDATE batchjob_definitions SET entity = 'calls' WHERE job_id = 2;
INSERT INTO batch_jobs (id, event_name) VALUES (6, 'EVERYHOUR');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity, timezone, results_retention)
VALUES (61, 6, 'caller', 'calls', '1-day', 'UTC', now() - '2024-04-01');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (6, 'cost', 'sum,count');
SELECT job_id, status FROM batchagg_run_event('EVERYHOUR') WHERE job_id IN (1, 2, 6);
SELECT * FROM compare() WHERE definition < 30;
SELECT min("timestamp"), count(*) FROM RuleExecutionResults WHERE definition_id = 61;

-- A result out of range is one of the first pass, and all is undone.
INSERT INTO calls VALUES ('caller 1', 1, '2024-03-26 05:10+00', 'cost', 1.7e308, 1), ('caller 1', 1, '2024-03-26 05:10+00', 'cost', 1.7e308, 1);
\set VERBOSITY terse
SELECT batchagg_run_job(1);
\set VERBOSITY default
DELETE FROM calls WHERE cost > 1e300;
SELECT * FROM compare() WHERE definition < 20;

-- As the owner, who has no right to the store.
CREATE ROLE regress_batchagg_reader;
GRANT SELECT ON calls TO regress_batchagg_reader;
UPDATE batch_jobs SET owner = 'regress_batchagg_reader' WHERE id = 1;
DELETE FROM batchagg_layouts;
SELECT changed >= groups AS all_new FROM batchagg_run_job(1);
SELECT * FROM compare() WHERE definition < 20;

-- With several processes: from an empty store, and nothing changes then.
UPDATE batch_jobs SET owner = current_user::regrole WHERE id = 1;
SET min_parallel_table_scan_size = 0;
SET batchagg.max_parallel_workers_per_run = 2;
SELECT j.id, e.value FROM batch_jobs j, batchagg_explain_job(j.id) e WHERE e.item IN ('order', 'parallel') AND j.id <= 3 ORDER BY 1, 2;
DELETE FROM batchagg_layouts;
SELECT job_id, status, changed >= groups AS all_new FROM batchagg_run_all();
SELECT * FROM compare() WHERE definition < 40;
SELECT job_id, status, changed FROM batchagg_run_all();
SELECT count(*) FROM batchagg_verify_job(1);
-- by workers alone
SET parallel_leader_participation = off;
DELETE FROM batchagg_layouts;
SELECT job_id, status, changed >= groups AS all_new FROM batchagg_run_all();
SELECT * FROM compare() WHERE definition < 40;
RESET parallel_leader_participation;
-- with as little memory as there may be
SET batchagg.work_mem = '64kB';
DELETE FROM batchagg_layouts;
SELECT job_id, status, changed >= groups AS all_new FROM batchagg_run_all();
SELECT * FROM compare() WHERE definition < 40;
SET batchagg.work_mem = '1MB';
-- late rows; whether they are depends on who meets them
INSERT INTO measurements SELECT 8, ts::timestamp, 1 FROM unnest(ARRAY['2024-03-25 05:00', '2024-04-02 01:00', '2024-04-20 04:00']) ts;
SELECT status FROM batchagg_run_job(3);
SELECT * FROM compare() WHERE definition BETWEEN 30 AND 39;
SELECT changed FROM batchagg_run_job(3, dry_run => true);
-- stored rows change and vanish while there are workers
UPDATE calls SET cost = cost + 1 WHERE extract(day FROM ts) = 5;
UPDATE measurements SET value = value + 1 WHERE extract(day FROM ts) = 5;
DELETE FROM calls WHERE extract(day FROM ts) = 6 OR (caller_id = 'caller 6' AND extract(hour FROM ts) = 5);
DELETE FROM measurements WHERE caller_id = 7;
SELECT job_id, status, changed > 0 AND changed < groups AS changed FROM batchagg_run_all();
SELECT * FROM compare() WHERE definition < 40;
SELECT job_id, status, changed FROM batchagg_run_all();

-- Between two parts that the leader takes, groups may leave: those that it has read
-- the last rows of are whole by then.  Whether they leave depends on who is faster;
-- the filter makes reading slow enough for a worker to have its part.
SET batchagg.max_parallel_workers_per_run = 1;
SET batchagg.work_mem = '64MB';
CREATE TABLE parts WITH (autovacuum_enabled = off) AS
SELECT 'caller ' || i % 7 AS caller_id, '2024-03-25 00:00+00'::timestamptz + i * interval '10 seconds' AS ts, 1 AS cost
FROM generate_series(1, 100000) i;
ANALYZE parts;
INSERT INTO batch_jobs (id, event_name) VALUES (8, 'EVERYHOUR');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity, timezone, resource_filter)
VALUES (81, 8, 'caller', 'parts', '1-hour', 'UTC', 'md5(md5(md5(md5(md5(caller_id))))) <> ''''');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (8, 'cost', 'count');
SELECT count(*) FROM (SELECT DISTINCT caller_id, date_trunc('hour', ts) FROM parts) g;
SELECT r.groups, count(*) AS runs FROM generate_series(1, 25) i, batchagg_run_job(8, dry_run => i > 0) r GROUP BY 1;

-- Entities whose groups have left are forgotten, so that ever new ones need no more
-- memory; some come again.
SET batchagg.max_parallel_workers_per_run = 0;
SET batchagg.work_mem = '1MB';
CREATE TABLE visits WITH (autovacuum_enabled = off) AS
SELECT CASE WHEN i % 50 = 0 THEN 'regular' WHEN i / 2 % 3 = 0 THEN 'a visit of several pages, ' || i / 2 ELSE 'v' || i / 2 END AS visit_id,
	   i / 2 AS number_id, '2024-03-25 00:00+00'::timestamptz + i * interval '10 seconds' AS ts, i % 100 AS pages
FROM generate_series(1, 60000) i;
ANALYZE visits;
INSERT INTO batch_jobs (id, event_name) VALUES (9, 'EVERYHOUR');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity, timezone)
VALUES (91, 9, 'visit', 'visits', '1-hour', 'UTC'), (92, 9, 'number', 'visits', '5-minute', 'UTC');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (9, 'pages', 'sum,max,count');
SELECT pg_stat_force_next_flush();
SELECT temp_bytes() AS before \gset
SELECT status, groups FROM batchagg_run_job(9);
SELECT pg_stat_force_next_flush();
SELECT temp_bytes() - :before AS temporary;
SELECT c.* FROM plain.compare(91, $$SELECT * FROM plain.rollup('visits', 'visit_id', 'date_trunc(''hour'', ts)', 'ts', '{"pages": "pages"}')$$) c;
SELECT c.* FROM plain.compare(92, $$SELECT * FROM plain.rollup('visits', 'number_id', 'date_bin(''5 minutes'', ts, ''2000-01-01+00'')', 'ts', '{"pages": "pages"}')$$) c;
SELECT changed FROM batchagg_run_job(9);

-- The order of a view's rows is known where they are a table's, whatever the columns
-- are called; that of a table that was never analyzed is not.
CREATE VIEW some_calls AS SELECT caller_id, ts AS measured_at, name AS ts, cost, length FROM calls WHERE length > 0;
CREATE TABLE unknown (LIKE calls);
INSERT INTO batch_jobs (id, event_name) VALUES (7, 'EVERYHOUR');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity, timezone) VALUES (71, 7, 'caller', 'some_calls', '1-day', 'UTC');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (7, 'cost', 'sum,count');
INSERT INTO metricsandtables (metricname, tablename, time_column) VALUES ('cost', 'some_calls', 'measured_at');
SELECT count(*) FROM batchagg_explain_job(7) WHERE item = 'order';
SELECT groups, changed FROM batchagg_run_job(7);
SELECT * FROM plain.compare(71, $$SELECT * FROM plain.rollup('some_calls', 'caller_id', 'date_trunc(''day'', measured_at)', 'measured_at', '{"cost": "cost"}', 'measured_at < now()')$$);
DELETE FROM metricsandtables;
UPDATE batchjob_definitions SET entity = 'unknown' WHERE id = 71;
SELECT count(*) FROM batchagg_explain_job(7) WHERE item = 'order';

DROP SCHEMA plain CASCADE;
DROP EXTENSION batchagg;
DROP VIEW some_calls, same_calls;
DROP TABLE calls, shuffled, measurements, late, twice, parts, visits, unknown;
DROP FUNCTION temp_bytes, compare;
DROP ROLE regress_batchagg_reader;
