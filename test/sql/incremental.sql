-- Runs that recompute only what has changed: after each change, what a run is
-- about to recompute, what it read and changed, and how many results differ from
-- plain SQL.  That must be none.
\set VERBOSITY terse
CREATE EXTENSION batchagg;
SET timezone = 'UTC';

CREATE TABLE kpi (user_id integer, ts timestamptz, pages float8, price numeric);
INSERT INTO kpi SELECT i % 10, '2026-01-01 00:00+00'::timestamptz + i * interval '10 minutes', i, i / 4.0
FROM generate_series(0, 4999) i;
CREATE INDEX ON kpi (user_id, ts);
ANALYZE kpi;

SELECT batchagg_create_job('EVERYHOUR', 'user', 'kpi', '{1-hour,1-day,1-week}', '{"pages":"sum,avg,count,first","price":"min,max,stddev"}');

-- What plain SQL makes of a table of these columns for a job of these metrics.
CREATE FUNCTION plain(job integer, source text, horizon timestamptz)
RETURNS TABLE (definition_id integer, entity_id text, bucket timestamptz, metric text, aggregate text, value float8)
LANGUAGE plpgsql AS $$
DECLARE
	d batchjob_definitions;
BEGIN
	FOR d IN SELECT * FROM batchjob_definitions WHERE job_id = job LOOP
		RETURN QUERY EXECUTE format(
			'SELECT $1, g.user_id::text, g.bucket, v.column1, v.column2, v.column3 FROM (
				SELECT user_id, batchagg_bucket($2, ts, $3) AS bucket, sum(pages) AS s, avg(pages) AS a, count(pages) AS c,
					(array_agg(pages ORDER BY ts, pages))[1] AS f, (array_agg(pages ORDER BY ts DESC, pages DESC))[1] AS l,
					min(price) AS mi, max(price) AS ma, stddev(price) AS sd
				FROM %s WHERE ts < $4 AND user_id IS NOT NULL AND (%s) GROUP BY 1, 2) g, LATERAL (VALUES
				(''pages'', ''sum'', g.s), (''pages'', ''avg'', g.a), (''pages'', ''count'', g.c::float8), (''pages'', ''first'', g.f),
				(''pages'', ''last'', g.l), (''price'', ''min'', g.mi::float8), (''price'', ''max'', g.ma::float8), (''price'', ''std'', g.sd::float8)) v
			WHERE v.column3 IS NOT NULL AND EXISTS (SELECT FROM batchjob_metrics m WHERE m.job_id = $5 AND m.metric_name = v.column1
				AND v.column2 = ANY (string_to_array(m.aggregation_types, '','')))', source, coalesce(d.resource_filter, 'true'))
		USING d.id, d.granularity, d.timezone, horizon - d.job_delay * interval '1 hour', job;
	END LOOP;
END $$;

CREATE FUNCTION differences(job integer, source text) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM plain(job, source, now()) p
	FULL JOIN (SELECT * FROM RuleExecutionResults WHERE job_id = job) r
		ON r.definition_id = p.definition_id AND r.entity_id = p.entity_id AND r."timestamp" = p.bucket
		AND r.metric_name = p.metric AND r.aggregation_type = p.aggregate
	WHERE (r.metric_value IS NULL OR p.value IS NULL) AND r.aggregation_type IS DISTINCT FROM 'median'
		OR abs(r.metric_value - p.value) > 1e-9 * (abs(p.value) + 1) $$;

-- Explains, runs and compares a job.
CREATE PROCEDURE step(job integer, source text) LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT string_agg(definition_id::text, ',') AS d, item, value FROM batchagg_explain_job(job)
		WHERE item IN ('mode', 'recomputed') GROUP BY item, value ORDER BY d, item LOOP
		RAISE NOTICE '% %: %', r.d, r.item, r.value;
	END LOOP;
	SELECT * INTO r FROM batchagg_run_job(job);
	RAISE NOTICE 'read % rows, % groups, changed %; differences: %', r.rows_read, r.groups, r.changed, differences(job, source);
END $$;

-- Runs until no marks are left but `n`: others' snapshots may hold them back.
CREATE PROCEDURE run_until_marks(n integer) LANGUAGE plpgsql AS $$ BEGIN
	FOR i IN 1 .. 300 LOOP
		PERFORM batchagg_run_job(1);
		COMMIT;
		IF (SELECT count(*) FROM batchagg_marks) <= n THEN
			RETURN;
		END IF;
		PERFORM pg_sleep(0.1);
	END LOOP;
END $$;

-- log
CALL step(1, 'kpi');
SELECT batchagg_track_source('kpi');
CALL step(1, 'kpi');
CALL step(1, 'kpi');

-- A late row, and rows that move in time and to another entity.
INSERT INTO kpi VALUES (3, '2026-01-03 04:05+00', 1000, 1);
CALL step(1, 'kpi');
UPDATE kpi SET ts = ts + interval '3 days', user_id = 77 WHERE user_id = 5 AND ts BETWEEN '2026-01-20 10:00+00' AND '2026-01-20 13:00+00';
CALL step(1, 'kpi');

-- Deleted rows, whole groups among them; rows of NULL id and time do not count.
DELETE FROM kpi WHERE user_id = 77 OR ts BETWEEN '2026-01-07 01:00+00' AND '2026-01-07 01:30+00';
INSERT INTO kpi VALUES (NULL, '2026-01-03 04:05+00', 1, 1), (1, NULL, 1, 1), (1, 'infinity', 1, 1);
CALL step(1, 'kpi');

-- Many entities of an hour become the hour.
INSERT INTO kpi SELECT 1000 + i, '2026-01-10 10:00+00', i, i FROM generate_series(1, 150) i;
CALL step(1, 'kpi');

-- COPY, MERGE and ON CONFLICT.
COPY kpi FROM stdin;
2	2026-01-11 00:00:00+00	5	6
\.
CREATE UNIQUE INDEX ON kpi (user_id, ts, pages);
INSERT INTO kpi VALUES (2, '2026-01-11 00:00+00', 5, 7) ON CONFLICT (user_id, ts, pages) DO UPDATE SET price = 70;
MERGE INTO kpi k USING (VALUES (2, '2026-01-12 00:00+00'::timestamptz), (3, '2026-01-13 00:00+00')) v (u, t) ON k.user_id = u AND k.ts = t
	WHEN MATCHED THEN UPDATE SET price = 99 WHEN NOT MATCHED THEN INSERT VALUES (u, t, 7, 8);
CALL step(1, 'kpi');

-- Undone changes leave nothing; those of a savepoint a mark too many.
BEGIN;
INSERT INTO kpi VALUES (3, '2026-01-04 04:05+00', 1, 1);
ROLLBACK;
CALL step(1, 'kpi');

-- In the transaction of the run: before it and after it.
BEGIN;
INSERT INTO kpi VALUES (1, '2026-01-05 00:01+00', 1, 1);
CALL step(1, 'kpi');
INSERT INTO kpi VALUES (1, '2026-01-05 00:02+00', 1, 1);
COMMIT;
CALL step(1, 'kpi');
CALL step(1, 'kpi');

-- TRUNCATE, a rewrite, a disabled trigger.
TRUNCATE kpi;
CALL step(1, 'kpi');
INSERT INTO kpi SELECT i % 10, '2026-01-01 00:00+00'::timestamptz + i * interval '10 minutes', i, i / 4.0 FROM generate_series(0, 4999) i;
CALL step(1, 'kpi');
ALTER TABLE kpi ALTER price TYPE numeric USING price * 2;
CALL step(1, 'kpi');
CALL step(1, 'kpi');
ALTER TABLE kpi DISABLE TRIGGER USER;
INSERT INTO kpi VALUES (3, '2026-01-03 04:06+00', 1000, 1);
CALL step(1, 'kpi');
SELECT batchagg_track_source('kpi');
CALL step(1, 'kpi');
CALL step(1, 'kpi');

-- What the definition says: only what it touches is recomputed.
UPDATE batchjob_definitions SET timezone = 'Asia/Kolkata' WHERE id = 2;
CALL step(1, 'kpi');
UPDATE batchjob_metrics SET aggregation_types = 'sum,avg,count,first,last' WHERE metric_name = 'pages';
CALL step(1, 'kpi');
UPDATE batchjob_metrics SET aggregation_types = 'sum,avg,count,first' WHERE metric_name = 'pages';
UPDATE batchjob_definitions SET resource_filter = 'user_id <> 3' WHERE id = 1;
CALL step(1, 'kpi');
UPDATE batchjob_definitions SET resource_filter = 'ts < now()' WHERE id = 1;
CALL step(1, 'kpi');
UPDATE batchjob_definitions SET resource_filter = NULL, timezone = 'UTC';
CALL step(1, 'kpi');
CALL step(1, 'kpi');

-- The horizon goes back, and on again.
UPDATE batchjob_definitions SET job_delay = ((extract(epoch FROM now() - '2026-01-20 12:00+00')) / 3600)::integer;
SELECT changed > 0 AS changed, differences(1, 'kpi') FROM batchagg_run_job(1);
UPDATE batchjob_definitions SET job_delay = 0;
SELECT changed > 0 AS changed, differences(1, 'kpi') FROM batchagg_run_job(1);
CALL step(1, 'kpi');

-- The cursor is not of this cluster, or of another time.
UPDATE batchagg_cursors SET system_id = 1 WHERE definition_id = 1;
CALL step(1, 'kpi');
UPDATE batchagg_cursors SET snapshot = '1:99999999999:' WHERE definition_id = 1;
CALL step(1, 'kpi');

-- Marks that all cursors have seen are gone; those that one lags behind for are
-- kept, but not without end.
CALL run_until_marks(0);
SELECT count(*) FROM batchagg_marks;
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) SELECT 1, 'user', 'kpi', '1-month';
CALL step(1, 'kpi');
INSERT INTO batch_jobs (id, event_name) VALUES (2, 'EVERYHOUR');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (2, 'user', 'kpi', '1-day');
INSERT INTO batchjob_metrics VALUES (2, 'pages', 'sum,median');
SELECT status FROM batchagg_run_job(2);
INSERT INTO kpi VALUES (3, '2026-01-03 04:07+00', 1000, 1);
CALL step(1, 'kpi');
SELECT count(*) FROM batchagg_marks;
INSERT INTO batchagg_marks SELECT s.source_id, pg_current_xact_id(), '2026-01-01', '2026-01-01' FROM batchagg_sources s, generate_series(1, 1100000);
SELECT status FROM batchagg_run_job(1);
INSERT INTO kpi VALUES (3, '2026-01-03 04:08+00', 1000, 1);
CALL run_until_marks(0);
SELECT value FROM batchagg_explain_job(2) WHERE item = 'mode';
SELECT count(*) FROM batchagg_marks;
DELETE FROM batch_jobs WHERE id = 2;

-- Modes of jobs; no longer tracked.
SELECT job_id, mode FROM batchagg_jobs;
SELECT batchagg_untrack_source('kpi');
CALL step(1, 'kpi');
SELECT job_id, mode FROM batchagg_jobs;
SELECT count(*) FROM batchagg_cursors;

-- snapshot
SET client_min_messages = warning;
SELECT batchagg_track_source('kpi', 'snapshot');
RESET client_min_messages;
CREATE INDEX ON kpi (batchagg_xid);
CALL step(1, 'kpi');
CALL step(1, 'kpi');
INSERT INTO kpi VALUES (3, '2026-01-03 04:09+00', 1000, 1), (4711, '2026-01-03 04:09+00', 1000, 1);
CALL step(1, 'kpi');

-- Changed rows are marked; new rows beside them are not added twice.
UPDATE kpi SET pages = pages + 1 WHERE user_id = 4 AND ts < '2026-01-01 08:00+00';
INSERT INTO kpi VALUES (4, '2026-01-01 00:05+00', 5, 5), (4, '2026-01-21 00:05+00', 5, 5);
DELETE FROM kpi WHERE user_id = 4711;
CALL step(1, 'kpi');

-- Rows with another transaction's id, or none.
INSERT INTO kpi VALUES (5, '2026-01-02 04:09+00', 1000, 1, '3'), (5, '2026-01-03 04:09+00', 1000, 1, NULL);
CALL step(1, 'kpi');
BEGIN;
INSERT INTO kpi VALUES (1, '2026-01-06 00:01+00', 1, 1);
SAVEPOINT s;
INSERT INTO kpi VALUES (2, '2026-01-06 00:01+00', 1, 1);
ROLLBACK TO s;
CALL step(1, 'kpi');
INSERT INTO kpi VALUES (1, '2026-01-06 00:02+00', 1, 1);
COMMIT;
CALL step(1, 'kpi');
CALL step(1, 'kpi');
TRUNCATE kpi;
CALL step(1, 'kpi');

-- Percentiles cannot be added to: their groups are recomputed.
INSERT INTO kpi SELECT i % 10, '2026-01-01 00:00+00'::timestamptz + i * interval '10 minutes', i, i / 4.0 FROM generate_series(0, 4999) i;
UPDATE batchjob_metrics SET aggregation_types = 'sum,avg,count,first,median' WHERE metric_name = 'pages';
CALL step(1, 'kpi');
INSERT INTO kpi VALUES (3, '2026-01-03 04:09+00', 1000, 1), (4711, '2026-01-03 04:09+00', 1000, 1);
SELECT item, definition_id, value FROM batchagg_explain_job(1) WHERE item IN ('mode', 'recomputed');
SELECT rows_read, groups, changed FROM batchagg_run_job(1);
SELECT count(*) FROM (
	SELECT entity_id, "timestamp", metric_value FROM RuleExecutionResults WHERE definition_id = 1 AND aggregation_type = 'median'
	EXCEPT SELECT user_id::text, batchagg_bucket('1-hour', ts, 'UTC'), percentile_cont(0.5) WITHIN GROUP (ORDER BY pages) FROM kpi GROUP BY 1, 2) d;
UPDATE batchjob_metrics SET aggregation_types = 'sum,avg,count,first' WHERE metric_name = 'pages';

-- lookback: what is older stays what it is.
SELECT batchagg_untrack_source('kpi', true);
UPDATE batchjob_definitions SET lookback = now() - '2026-02-01 00:00+00';
CALL step(1, 'kpi');
INSERT INTO kpi VALUES (3, '2026-01-03 04:19+00', 1000, 1), (3, '2026-02-03 04:19+00', 1000, 1);
SELECT rows_read < 2000 AS few, changed, differences(1, 'kpi') FROM batchagg_run_job(1);
SELECT count(*) FROM plain(1, 'kpi', now()) p JOIN RuleExecutionResults r
	ON r.definition_id = p.definition_id AND r.entity_id = p.entity_id AND r."timestamp" = p.bucket
	AND r.metric_name = p.metric AND r.aggregation_type = p.aggregate WHERE p.bucket >= '2026-02-01' AND abs(p.value - r.metric_value) > 1e-6;

-- Local times, across a change of the clock: marks and extents in each zone.
CREATE TABLE local (user_id text, ts timestamp, pages float8, price numeric);
INSERT INTO local SELECT 'u' || i % 4, '2026-03-25 00:00'::timestamp + i * interval '10 minutes', i, i FROM generate_series(0, 999) i;
SELECT batchagg_track_source('local');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'local', '{1-hour,1-day}', '{"pages":"sum"}', timezone => 'Europe/Berlin');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'local', '{1-hour}', '{"pages":"sum"}', timezone => 'America/New_York');
SELECT status FROM batchagg_run_job(2);
SELECT status FROM batchagg_run_job(3);
INSERT INTO local VALUES ('u1', '2026-03-29 02:30', 1, 1), ('u2', '2026-03-29 03:30', 1, 1), ('u3', '2026-03-29 01:59:59', 1, 1);
UPDATE local SET ts = ts + interval '1 hour' WHERE ts = '2026-03-27 12:00';
SELECT rows_read < 500 AS few FROM batchagg_run_job(2);
SELECT rows_read < 500 AS few FROM batchagg_run_job(3);
SELECT count(*) AS differences FROM (
	(SELECT definition_id, entity_id, "timestamp", metric_value FROM RuleExecutionResults WHERE job_id IN (2, 3)
	EXCEPT SELECT d.id, user_id, batchagg_bucket(d.granularity, ts AT TIME ZONE d.timezone, d.timezone), sum(pages)
		FROM local, batchjob_definitions d WHERE d.job_id IN (2, 3) GROUP BY 1, 2, 3)
	UNION ALL
	(SELECT d.id, user_id, batchagg_bucket(d.granularity, ts AT TIME ZONE d.timezone, d.timezone), sum(pages)
		FROM local, batchjob_definitions d WHERE d.job_id IN (2, 3) GROUP BY 1, 2, 3
	EXCEPT SELECT definition_id, entity_id, "timestamp", metric_value FROM RuleExecutionResults WHERE job_id IN (2, 3))) d;

-- Partitions come and go: their range is recomputed.
CREATE TABLE part (user_id integer, ts timestamptz, pages float8, price numeric) PARTITION BY RANGE (ts);
CREATE TABLE part1 PARTITION OF part FOR VALUES FROM ('2026-01-01+00') TO ('2026-02-01+00');
CREATE TABLE part2 PARTITION OF part FOR VALUES FROM ('2026-02-01+00') TO ('2026-03-01+00');
INSERT INTO part SELECT i % 10, '2026-01-01 00:00+00'::timestamptz + i * interval '10 minutes', i, i / 4.0 FROM generate_series(0, 7999) i;
SELECT batchagg_track_source('part');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'part', '{1-hour,1-day}', '{"pages":"sum,avg,count,first","price":"min,max,stddev"}');
CALL step(4, 'part');
CALL step(4, 'part');
INSERT INTO part1 VALUES (1, '2026-01-05 00:01+00', 1, 1);
UPDATE part SET ts = ts + interval '1 month' WHERE ts = '2026-01-10 00:00+00';
CALL step(4, 'part');
CREATE TABLE part3 (user_id integer, ts timestamptz, pages float8, price numeric);
INSERT INTO part3 VALUES (1, '2026-03-05 00:01+00', 1, 1);
ALTER TABLE part ATTACH PARTITION part3 FOR VALUES FROM ('2026-03-01+00') TO ('2026-04-01+00');
CALL step(4, 'part');
INSERT INTO part3 VALUES (1, '2026-03-06 00:01+00', 1, 1);
CALL step(4, 'part');
ALTER TABLE part DETACH PARTITION part1;
CALL step(4, 'part');
DROP TABLE part2;
CALL step(4, 'part');
CALL step(4, 'part');

DROP EXTENSION batchagg CASCADE;
DROP TABLE kpi, local, part, part1;
DROP FUNCTION plain, differences;
DROP PROCEDURE step, run_until_marks;
