-- Reading with several processes: the same results as with one.

-- What an interrupted run may have left.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_reader;
RESET client_min_messages;
\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain
SET DateStyle = ISO;
SET TimeZone = 'UTC';

-- Values are multiples of 1/8, whose sums do not depend on the order.
CREATE TABLE calls (caller_id text, line_id integer, ts timestamptz, cost float8, length integer, good boolean, note text);
INSERT INTO calls
SELECT CASE WHEN i % 501 > 0 THEN 'caller ' || i % 61 END, i % 7,
	   CASE WHEN i % 503 = 0 THEN NULL WHEN i % 509 = 0 THEN 'infinity'
			ELSE '2024-03-25 00:00+00'::timestamptz + i * interval '20 seconds' END,
	   CASE WHEN i % 1999 = 0 THEN 'NaN' WHEN i % 17 > 0 THEN i::bigint * 104729 % 7993 / 8.0 END, i % 100, i % 3 > 0,
	   repeat('x', i % 100)
FROM generate_series(1, 6000) i;
INSERT INTO calls VALUES ('caller 1', 1, '2100-01-01 00:00+00', 1, 1, true, '');
ANALYZE calls;

-- In row layout, over partitions: one is empty, one has its columns in another order.
CREATE TABLE measurements (caller_id integer, ts timestamp, metric_name text, metric_value real) PARTITION BY RANGE (ts);
CREATE TABLE measurements_1 PARTITION OF measurements FOR VALUES FROM (MINVALUE) TO ('2024-03-27');
CREATE TABLE measurements_2 PARTITION OF measurements FOR VALUES FROM ('2024-03-27') TO ('2024-03-28');
CREATE TABLE measurements_3 (metric_value real, dropped text, metric_name text, caller_id integer, ts timestamp);
ALTER TABLE measurements_3 DROP COLUMN dropped;
ALTER TABLE measurements ATTACH PARTITION measurements_3 FOR VALUES FROM ('2024-03-28') TO ('2024-04-02');
CREATE TABLE measurements_4 PARTITION OF measurements FOR VALUES FROM ('2024-04-02') TO (MAXVALUE);
INSERT INTO measurements
SELECT i % 61, '2024-03-25'::timestamp + i * interval '90 seconds', (ARRAY['cost', 'length', 'Cost', 'other'])[i % 4 + 1], i % 1000
FROM generate_series(1, 6000) i;
ANALYZE measurements;

CREATE VIEW good_calls AS SELECT caller_id, ts, cost, length * 2 AS length FROM calls WHERE good;
CREATE VIEW all_calls AS
SELECT caller_id, ts, cost FROM calls
UNION ALL SELECT 'number ' || caller_id, ts AT TIME ZONE 'UTC', metric_value FROM measurements;

-- Of its rows, the owner of the job sees some.
CREATE ROLE regress_batchagg_reader;
CREATE TABLE guarded AS SELECT * FROM calls;
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY lines ON guarded TO regress_batchagg_reader USING (line_id < 5);
GRANT SELECT ON guarded TO regress_batchagg_reader;

INSERT INTO batch_jobs (id, event_name) SELECT i, 'EVERYHOUR' FROM generate_series(1, 5) i;
UPDATE batch_jobs SET owner = 'regress_batchagg_reader' WHERE id = 5;
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity, timezone, resource_filter)
VALUES (11, 1, 'caller', 'calls', '1-hour', 'UTC', NULL), (12, 1, 'caller', 'calls', '1-day', 'UTC', NULL),
	   (13, 1, 'line', 'calls', '1-day', 'UTC', 'good'), (14, 1, '*', 'calls', '1-hour', 'UTC', 'length > 50'), (15, 1, '*', 'calls', '1-week', 'UTC', NULL),
	   (21, 2, 'caller', 'measurements', '1-day', 'Europe/Berlin', NULL), (22, 2, '*', 'measurements', '1-month', 'Europe/Berlin', NULL),
	   (31, 3, 'caller', 'good_calls', '1-hour', 'UTC', 'cost > 10'),
	   (41, 4, 'caller', 'all_calls', '1-day', 'UTC', NULL),
	   (51, 5, 'caller', 'guarded', '1-day', 'UTC', NULL);
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
SELECT j, m, 'sum,avg,count,min,max,first,last,median,p95,distinct,var'
FROM generate_series(1, 5) j, unnest(ARRAY['cost', 'length']) m WHERE j <> 4 OR m = 'cost';

-- Alone.
SET batchagg.max_parallel_workers_per_run = 0;
CREATE TABLE alone AS SELECT job_id, status, rows_read, rows_skipped, groups, results FROM batchagg_run_all();
TABLE alone;
CREATE TABLE results AS
SELECT definition_id, entity_id, "timestamp", metric_name, aggregation_type, metric_value, sample_count FROM RuleExecutionResults;
SELECT d.id, c.*
FROM batchjob_definitions d,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L, %L)', d.entity,
		CASE d.focal_entity WHEN '*' THEN '''*''' ELSE d.focal_entity || '_id' END,
		format('date_trunc(%L, ts, %L)', split_part(d.granularity, '-', 2), d.timezone), 'ts',
		CASE d.job_id WHEN 4 THEN '{"cost": "cost"}' ELSE '{"cost": "cost", "length": "length"}' END,
		'isfinite(ts) AND ts < now() AND (' || coalesce(d.resource_filter, 'true') || ')'
		|| CASE d.job_id WHEN 5 THEN ' AND line_id < 5' ELSE '' END)) c
WHERE d.job_id <> 2
ORDER BY d.id;

-- those of the row layout
SELECT count(*), count(*) FILTER (WHERE s.metric_value = e.sum AND s.sample_count = e.count) AS equal
FROM (SELECT caller_id::text AS entity_id, date_trunc('day', ts AT TIME ZONE 'Europe/Berlin', 'Europe/Berlin') AS "timestamp",
			 metric_name, sum(metric_value), count(*)
	  FROM measurements WHERE metric_name IN ('cost', 'length') GROUP BY 1, 2, 3) e
	 LEFT JOIN RuleExecutionResults s ON (s.entity_id, s."timestamp", s.metric_name, s.definition_id, s.aggregation_type) =
		(e.entity_id, e."timestamp", e.metric_name, 21, 'sum');

-- Together: into an empty store, so that all is written again.
CREATE FUNCTION differences() RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM (
		(SELECT definition_id, entity_id, "timestamp", metric_name, aggregation_type, metric_value, sample_count FROM RuleExecutionResults
		 EXCEPT ALL TABLE results)
		UNION ALL
		(TABLE results EXCEPT ALL
		 SELECT definition_id, entity_id, "timestamp", metric_name, aggregation_type, metric_value, sample_count FROM RuleExecutionResults)) d
$$;
SET min_parallel_table_scan_size = 0;
SET batchagg.max_parallel_workers_per_run = 3;
SELECT j.id, e.scan, e.value FROM batch_jobs j, batchagg_explain_job(j.id) e WHERE e.item = 'parallel' ORDER BY 1, 2;
DELETE FROM batchagg_layouts;
SELECT job_id, status, rows_read, rows_skipped, groups, results FROM batchagg_run_all() EXCEPT ALL TABLE alone;
SELECT differences();
-- by workers alone; that they read shows in what they write
SET parallel_leader_participation = off;
DELETE FROM batchagg_layouts;
SELECT job_id, status, rows_read, rows_skipped, groups, results FROM batchagg_run_all() EXCEPT ALL TABLE alone;
SELECT differences();
SELECT j.id, v.* FROM batch_jobs j, batchagg_verify_job(j.id) v;
-- with temporary files
SET batchagg.work_mem = '64kB';
DELETE FROM batchagg_layouts;
SELECT job_id, status, rows_read, rows_skipped, groups, results FROM batchagg_run_all() EXCEPT ALL TABLE alone;
SELECT differences();
RESET parallel_leader_participation;
DELETE FROM batchagg_layouts;
SELECT job_id, status, rows_read, rows_skipped, groups, results FROM batchagg_run_all() EXCEPT ALL TABLE alone;
SELECT differences();
RESET batchagg.work_mem;
-- in subtransactions, serializable, with rows of this transaction
BEGIN ISOLATION LEVEL SERIALIZABLE;
SAVEPOINT s;
INSERT INTO calls SELECT caller_id, line_id, ts + interval '1 year', cost, length, good FROM calls WHERE isfinite(ts) AND ts < '2024-03-26';
SELECT rows_read FROM batchagg_run_job(1, dry_run => true);
SELECT count(*) FROM calls;
SELECT job_id, status, changed > 0 AS changed FROM batchagg_run_event('EVERYHOUR');
SELECT count(DISTINCT "timestamp") FROM RuleExecutionResults WHERE definition_id = 11 AND extract(year FROM "timestamp") = 2025;
SELECT count(*) FROM batchagg_verify_job(1);
ROLLBACK TO s;
SELECT differences();
COMMIT;
-- an error in a worker is one of the run, and can be caught
CREATE FUNCTION check_number(number real) RETURNS real PARALLEL SAFE LANGUAGE plpgsql AS $$
BEGIN
	IF number = 500 THEN
		RAISE EXCEPTION 'number % is wrong', number;
	END IF;
	RETURN number;
END $$;
CREATE VIEW checked AS SELECT caller_id, ts, check_number(metric_value) AS cost FROM measurements;
UPDATE batchjob_definitions SET entity = 'checked' WHERE id = 41;
SET parallel_leader_participation = off;
\set VERBOSITY terse
SELECT batchagg_run_job(4);
SELECT job_id, status FROM batchagg_run_event('EVERYHOUR') WHERE job_id = 4;
SELECT job_id, error_message FROM batchagg_runs WHERE status = 'failed';
\set VERBOSITY default
RESET parallel_leader_participation;
SELECT status FROM batchagg_run_job(1);
-- a value out of range that a worker meets: whose it is
SELECT caller_id AS caller, ts AS at FROM measurements WHERE metric_value = 500 AND isfinite(ts) ORDER BY ts, caller_id LIMIT 1 \gset
CREATE VIEW huge AS SELECT caller_id, ts, CASE WHEN metric_value = 500 AND caller_id = :'caller' AND ts = :'at' THEN 1e400 ELSE 1 END AS cost FROM measurements;
UPDATE batchjob_definitions SET entity = 'huge' WHERE id = 41;
SET parallel_leader_participation = off;
\set SHOW_CONTEXT never
SELECT batchagg_run_job(4);
\set SHOW_CONTEXT errors
RESET parallel_leader_participation;
UPDATE batchjob_definitions SET entity = 'all_calls' WHERE id = 41;

-- What rows lie ahead is known from all processes.
SELECT batchagg_track_source('calls');
SELECT status FROM batchagg_run_job(1);
SELECT definition_id, ahead FROM batchagg_cursors ORDER BY 1;
-- then only what has changed is read, and by one process
INSERT INTO calls VALUES ('caller 1', 1, '2024-03-26 00:00+00', 1, 1, true);
SELECT value FROM batchagg_explain_job(1) WHERE item = 'parallel';
SELECT status FROM batchagg_run_job(1);
SELECT count(*) FROM batchagg_verify_job(1);

-- Where one process reads alone.
CREATE FUNCTION unsafe(number float8) RETURNS float8 PARALLEL RESTRICTED LANGUAGE sql AS 'SELECT number';
CREATE VIEW unsafe_calls AS SELECT caller_id, ts, unsafe(cost) AS cost FROM calls;
CREATE VIEW some_calls AS SELECT * FROM calls LIMIT 100;
CREATE VIEW joined_calls AS SELECT c.* FROM calls c JOIN (VALUES (1), (2)) AS v(n) ON v.n = c.line_id;
CREATE VIEW one_more_call AS SELECT caller_id, ts, cost FROM calls UNION ALL SELECT 'one more', '2024-03-25', 1;
CREATE VIEW known_calls AS SELECT * FROM calls c WHERE line_id IN (SELECT relnatts FROM pg_class);
CREATE TABLE numbers AS SELECT (line_id || CASE WHEN good THEN '.0' ELSE '' END)::numeric AS caller_id, ts, cost FROM calls;
CREATE TEMP TABLE temporary AS SELECT * FROM calls;
INSERT INTO batch_jobs (id, event_name) VALUES (6, 'EVERYDAY');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (6, 'cost', 'sum,count');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity)
SELECT i, 6, 'caller', name, '1-day'
FROM unnest(ARRAY['unsafe_calls', 'some_calls', 'joined_calls', 'one_more_call', 'known_calls', 'numbers', 'temporary']) WITH ORDINALITY t(name, i);
SELECT s.value AS source, p.value AS parallel
FROM batchagg_explain_job(6) s LEFT JOIN batchagg_explain_job(6) p ON p.scan = s.scan AND p.item = 'parallel'
WHERE s.item = 'source';
SELECT status, rows_read FROM batchagg_run_job(6);
SELECT count(*) FROM batchagg_verify_job(6);
SET max_parallel_workers = 0;
SELECT value FROM batchagg_explain_job(3) WHERE item = 'parallel';
RESET max_parallel_workers;
SET batchagg.max_parallel_workers_per_run = 0;
SELECT value FROM batchagg_explain_job(3) WHERE item = 'parallel';
-- as many workers as the size is worth
RESET batchagg.max_parallel_workers_per_run;
SHOW batchagg.max_parallel_workers_per_run;
SELECT value FROM batchagg_explain_job(3) WHERE item = 'parallel';
SET min_parallel_table_scan_size = '64kB';
SELECT value FROM batchagg_explain_job(3) WHERE item = 'parallel';
RESET min_parallel_table_scan_size;
SELECT value FROM batchagg_explain_job(3) WHERE item = 'parallel';
SET batchagg.max_parallel_workers_per_run = 1025;

DROP SCHEMA plain CASCADE;
DROP EXTENSION batchagg;
DROP VIEW good_calls, all_calls, checked, huge, unsafe_calls, some_calls, joined_calls, one_more_call, known_calls;
DROP TABLE calls, measurements, guarded, numbers, temporary, alone, results;
DROP FUNCTION differences, check_number, unsafe;
DROP ROLE regress_batchagg_reader;
