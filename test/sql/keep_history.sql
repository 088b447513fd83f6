-- Results that outlive their rows (keep_history): the same rule in all modes, whatever
-- odd rows there are, whenever runs come.
\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain
SET timezone = 'UTC';

-- The same rows in a table for each mode; ever has those that results should be of.
CREATE TABLE ever (user_id text, ts timestamptz, n float8);
CREATE TABLE in_full (LIKE ever);
CREATE TABLE in_snapshot (LIKE ever);
CREATE TABLE in_log (LIKE ever) PARTITION BY RANGE (ts);
CREATE TABLE in_log_all PARTITION OF in_log DEFAULT;
CREATE TABLE in_log_1029 PARTITION OF in_log FOR VALUES FROM ('2024-10-29 00:00+00') TO ('2024-10-30 00:00+00');
CREATE INDEX ON in_log (user_id, ts);
SELECT batchagg_track_source('in_log', id_column => 'user_id'), batchagg_track_source('in_snapshot', 'snapshot', id_column => 'user_id');
CREATE INDEX ON in_snapshot (batchagg_xid);
CREATE FUNCTION everywhere(statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['in_full', 'in_log', 'in_snapshot'] LOOP
		EXECUTE replace(statement, '%s', t);
	END LOOP;
END $$;
-- Also to the rows that results should be of.
CREATE FUNCTION wholly(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM everywhere(statement);
	EXECUTE replace(statement, '%s', 'ever');
END $$;

-- A job for each table; what a job had before is gone, and so are all rows.
CREATE FUNCTION start_with(granularities text[], metrics jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM batch_jobs;
	PERFORM wholly('TRUNCATE %s');
	PERFORM batchagg_create_job('EVERYHOUR', 'user', t, granularities, metrics, job_name => t)
	FROM unnest(ARRAY['in_full', 'in_log', 'in_snapshot']) t;
	UPDATE batchjob_definitions SET keep_history = true;
END $$;
-- Runs all jobs and compares what each has with plain SQL over ever: definitions
-- that differ, and in how many results; and what a verification doubts.
CREATE FUNCTION differences() RETURNS TABLE (job text, granularity text, stored bigint, expected bigint, different bigint, doubted bigint) LANGUAGE plpgsql AS $$
DECLARE d record;
BEGIN
	PERFORM batchagg_run_job(id) FROM batch_jobs ORDER BY id;
	FOR d IN SELECT * FROM batchjob_definitions ORDER BY id LOOP
		SELECT c.* INTO stored, expected, different FROM plain.compare(d.id,
			format($q$SELECT * FROM plain.rollup('ever', 'user_id', %L, 'ts', '{"n": "n"}', %L)$q$,
				   format('batchagg_bucket(%L, ts, %L)', d.granularity, d.timezone), replace(coalesce(d.resource_filter, 'true'), '"', ''''))) c;
		SELECT count(*) INTO doubted FROM batchagg_verify_job(d.job_id) v WHERE v.definition_id = d.id;
		granularity := d.granularity;
		job := d.entity;
		IF different > 0 OR doubted > 0 OR stored <> expected THEN
			RETURN NEXT;
		END IF;
	END LOOP;
END $$;
-- The sum of all values at each granularity, job by job.
CREATE VIEW sums AS
SELECT granularity, string_agg(s::text, ' ' ORDER BY definition_id) AS sums
FROM (SELECT granularity, definition_id, sum(metric_value) AS s FROM RuleExecutionResults WHERE aggregation_type = 'sum' GROUP BY 1, 2) r
GROUP BY 1 ORDER BY 1;

-- Raw rows are there for three days or so: one day comes and one goes daily, in
-- the middle of a bucket.  Months are made of the days that are kept.
CREATE PROCEDURE some_weeks() LANGUAGE plpgsql AS $$
DECLARE day timestamptz;
BEGIN
	FOR day IN SELECT generate_series('2024-10-28'::timestamptz, '2024-11-04', '1 day') LOOP
		INSERT INTO ever SELECT 'u' || g % 2, day + g * interval '1 hour', g FROM generate_series(0, 23) g;
		PERFORM everywhere(format('INSERT INTO %%s SELECT * FROM ever WHERE ts >= %L', day));
		PERFORM everywhere(format('DELETE FROM %%s WHERE ts < %L', day - interval '2 days 10 hours 30 minutes'));
		IF day = '2024-11-01' THEN
			DROP TABLE in_log_1029;
		END IF;
		PERFORM batchagg_run_job(id) FROM batch_jobs ORDER BY id;
		COMMIT;
	END LOOP;
END $$;
SELECT start_with('{6-hour,1-day,1-month}', '{"n": "sum,count,max,avg,std,first,last"}');
CALL some_weeks();
SELECT min(ts) FROM in_log;
SELECT * FROM differences();
SELECT "timestamp", entity_id, metric_value FROM RuleExecutionResults WHERE job_name = 'in_full' AND result_name = 'tcount_month_n' ORDER BY 1, 2;
-- Where nothing has changed, nothing is written.
SELECT sum(r.changed) FROM batch_jobs j, batchagg_run_job(j.id) r;
-- Wrong rows are corrected, in all of these.
SELECT wholly('UPDATE %s SET n = n + 100 WHERE ts = ''2024-11-03 00:00+00''');
SELECT wholly('DELETE FROM %s WHERE ts = ''2024-11-03 07:00+00''');
SELECT wholly('UPDATE %s SET ts = ts + interval ''6 hours'' WHERE ts = ''2024-11-03 10:00+00''');
SELECT * FROM differences();
-- Metrics come and go, while rows do.  What is kept has no states then.
INSERT INTO batchjob_metrics SELECT id, 'm', 'sum' FROM batch_jobs;
SELECT everywhere('ALTER TABLE %s ADD m float8');
SELECT everywhere('DELETE FROM %s WHERE ts < ''2024-11-02 15:10+00''');
SELECT job_name, status FROM batch_jobs j, batchagg_run_job(j.id);
DELETE FROM batchjob_metrics WHERE metric_name = 'm';
SELECT wholly('UPDATE %s SET n = n + 1 WHERE ts = ''2024-11-04 00:00+00''');
SELECT * FROM differences();
UPDATE batchjob_metrics SET aggregation_types = 'sum,max,avg';
SELECT * FROM differences();
-- All rows go, and runs come; rows are brought back, and are as good as ever.
SELECT everywhere('TRUNCATE %s');
SELECT * FROM differences();
SELECT sum(r.changed) FROM batch_jobs j, batchagg_run_job(j.id) r;
SELECT everywhere('INSERT INTO %s SELECT * FROM ever');
SELECT * FROM differences();
SELECT wholly('DELETE FROM %s WHERE ts = ''2024-10-29 07:00+00''');
SELECT * FROM differences();
-- Backfills keep what there is.
SELECT everywhere('DELETE FROM %s WHERE ts < ''2024-10-31 08:10+00''');
CALL batchagg_backfill('in_full');
CALL batchagg_backfill('in_log', '2024-10-29', '2024-11-03', '3 days');
CALL batchagg_backfill('in_snapshot', NULL, NULL, '2 days', false);
SELECT * FROM differences();

-- Runs that find nothing, or rows of the future only, say nothing of rows that come.
SELECT start_with('{1-hour,1-day}', '{"n": "sum,count"}');
SELECT * FROM differences();
SELECT everywhere('INSERT INTO %s VALUES (''u1'', now() + interval ''1 day'', 1)');
SELECT * FROM differences();
SELECT everywhere('DELETE FROM %s');
SELECT wholly('INSERT INTO %s SELECT ''u'' || g % 3, ''2024-10-25 00:00+00''::timestamptz + g * interval ''10 minutes'', 1 FROM generate_series(0, 719) g');
SELECT * FROM differences();
SELECT wholly('DELETE FROM %s WHERE ts IN (''2024-10-25 00:10+00'', ''2024-10-28 13:20+00'')');
SELECT wholly('UPDATE %s SET ts = ts + interval ''5 hours'' WHERE ts = ''2024-10-27 13:20+00''');
SELECT * FROM differences();
TABLE sums;
-- Another zone: each row counts once, also where some have gone before.
UPDATE batchjob_definitions SET timezone = 'Asia/Tokyo';
SELECT * FROM differences();
UPDATE batchjob_definitions SET timezone = 'America/New_York';
SELECT everywhere('DELETE FROM %s WHERE ts < ''2024-10-27 00:00+00''');
SELECT granularity, bool_and(doubted = 0) FROM differences() GROUP BY 1 ORDER BY 1;
TABLE sums;
UPDATE batchjob_definitions SET timezone = 'UTC';
SELECT * FROM differences();
-- Another filter: what it leaves out goes, as far as rows are there.
UPDATE batchjob_definitions SET resource_filter = 'user_id <> "u2"';
SELECT job, granularity, different FROM differences();
TABLE sums;
SELECT granularity, job_name, max("timestamp") FROM RuleExecutionResults WHERE entity_id = 'u2' GROUP BY 1, 2 ORDER BY 1, 2;
UPDATE batchjob_definitions SET resource_filter = NULL;
SELECT * FROM differences();
TABLE sums;

-- Late rows of a time whose rows are gone do not replace what is kept, one or several
-- of them, with a run in between or without; new groups come.
SELECT everywhere('INSERT INTO %s VALUES (''u1'', ''2024-10-26 10:05+00'', 50)');
SELECT * FROM differences();
SELECT everywhere('INSERT INTO %s VALUES (''u1'', ''2024-10-26 05:05+00'', 50), (''u0'', ''2024-10-26 10:05+00'', 50)');
SELECT * FROM differences();
SELECT wholly('INSERT INTO %s VALUES (''u9'', ''2024-10-26 10:05+00'', 50)');
SELECT * FROM differences();
-- One row that is older than all, and one entity whose old rows are there.
SELECT wholly('INSERT INTO %s VALUES (''u1'', ''1970-01-01 10:05+00'', 1)');
SELECT * FROM differences();
SELECT everywhere('DELETE FROM %s WHERE ts BETWEEN ''1971-01-01'' AND ''2024-10-28 10:15+00'' AND user_id <> ''u2''');
SELECT * FROM differences();
SELECT wholly('UPDATE %s SET n = 7 WHERE ts IN (''2024-10-27 13:00+00'', ''2024-10-28 15:00+00'') AND user_id = ''u2''');
SELECT * FROM differences();

-- Hours that do not fit into the definition's days any more.
UPDATE batchjob_definitions SET timezone = 'Asia/Kolkata';
SELECT granularity, bool_and(doubted = 0) FROM differences() GROUP BY 1 ORDER BY 1;
SELECT everywhere('DELETE FROM %s WHERE ts BETWEEN ''1971-01-01'' AND ''2024-10-29 10:30+00'' AND user_id <> ''u2''');
UPDATE batchjob_definitions SET timezone = 'UTC';
SELECT granularity, bool_and(doubted = 0) FROM differences() GROUP BY 1 ORDER BY 1;
SELECT everywhere('INSERT INTO %s VALUES (''u1'', ''2024-10-28 20:05+00'', 1000)');
SELECT granularity, bool_and(doubted = 0) FROM differences() GROUP BY 1 ORDER BY 1;
TABLE sums;

-- Definitions that keep nothing, and those that do, beside each other.
UPDATE batchjob_definitions SET keep_history = false WHERE granularity = '1-hour';
SELECT job_name, status FROM batch_jobs j, batchagg_run_job(j.id);
SELECT granularity, entity_id, string_agg(c::text, ' ' ORDER BY definition_id) FROM (SELECT granularity, entity_id, definition_id, sum(metric_value) AS c FROM RuleExecutionResults WHERE aggregation_type = 'count' GROUP BY 1, 2, 3) c GROUP BY 1, 2 ORDER BY 1, 2;
UPDATE batchjob_definitions SET keep_history = granularity = '1-hour';
SELECT job_name, status FROM batch_jobs j, batchagg_run_job(j.id);
SELECT granularity, entity_id, string_agg(c::text, ' ' ORDER BY definition_id) FROM (SELECT granularity, entity_id, definition_id, sum(metric_value) AS c FROM RuleExecutionResults WHERE aggregation_type = 'count' GROUP BY 1, 2, 3) c GROUP BY 1, 2 ORDER BY 1, 2;

-- A result that single values do not have is all that is asked for any more: days are
-- stored anew, and the week before is still there.
SELECT start_with('{1-day,1-week}', '{"n": "min,std"}');
SELECT wholly('INSERT INTO %s VALUES (''u1'', ''2024-03-26'', -9), (''u1'', ''2024-03-29'', 24), (''u1'', ''2024-04-04'', 28.5), (''u1'', ''2024-04-04'', -11), (''u1'', ''2024-04-05'', 25.5)');
SELECT * FROM differences();
UPDATE batchjob_metrics SET aggregation_types = 'std';
SELECT wholly('DELETE FROM %s WHERE n = -11');
SELECT * FROM differences();

-- Where it is said how long rows are there, those that are younger decide alone.
SELECT start_with('{1-hour,1-day}', '{"n": "sum,count"}');
UPDATE batchjob_definitions SET source_retention = now() - '2024-10-26 12:00+00';
SELECT wholly('INSERT INTO %s SELECT ''u'' || g % 2, ''2024-10-25 00:00+00''::timestamptz + g * interval ''20 minutes'', 1 FROM generate_series(0, 215) g');
SELECT * FROM differences();
SELECT everywhere('DELETE FROM %s WHERE ts < ''2024-10-26 10:00+00''');
SELECT everywhere('DELETE FROM %s WHERE ts = ''2024-10-26 10:20+00''');
SELECT wholly('DELETE FROM %s WHERE ts BETWEEN ''2024-10-27 05:00+00'' AND ''2024-10-27 08:00+00''');
SELECT wholly('UPDATE %s SET ts = ts + interval ''5 hours'' WHERE ts BETWEEN ''2024-10-27 02:00+00'' AND ''2024-10-27 03:00+00''');
SELECT * FROM differences();
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, keep_history, source_retention) SELECT id, 'user', job_name, '1-week', true, '-1 day' FROM batch_jobs;

DROP EXTENSION batchagg CASCADE;
DROP SCHEMA plain CASCADE;
DROP TABLE ever, in_full, in_log, in_snapshot CASCADE;
DROP FUNCTION everywhere, wholly, start_with, differences;
DROP PROCEDURE some_weeks;
