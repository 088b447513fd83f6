-- Up to where results go, and from where on: late slots, lookbacks, retention, rows
-- ahead of time; the same in all modes.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION batchagg;
SET timezone = 'UTC';
CREATE TABLE in_full (user_id text, ts timestamptz, n float8);
CREATE TABLE in_log (LIKE in_full);
CREATE TABLE in_snapshot (LIKE in_full);
SELECT batchagg_track_source('in_log', id_column => 'user_id'), batchagg_track_source('in_snapshot', 'snapshot', id_column => 'user_id');
CREATE INDEX ON in_snapshot (batchagg_xid);
CREATE INDEX ON in_snapshot (ts);
CREATE INDEX ON in_log (ts);
CREATE FUNCTION everywhere(statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['in_full', 'in_log', 'in_snapshot'] LOOP
		EXECUTE replace(statement, '%s', t);
	END LOOP;
END $$;
SELECT batchagg_create_job('EVERYHOUR', 'user', t, '{1-hour,1-day}', '{"n": "sum,count"}', job_name => t) FROM unnest(ARRAY['in_full', 'in_log', 'in_snapshot']) t;
CREATE FUNCTION run_all() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM batch_jobs j, batchagg_run_job(j.id) WHERE status = 'succeeded' $$;
-- The sum at each granularity, job by job.
CREATE VIEW sums AS
SELECT granularity, string_agg(coalesce(s, 0)::text, ' ' ORDER BY id) AS sums
FROM (SELECT d.granularity, d.id, (SELECT sum(metric_value) FROM RuleExecutionResults r WHERE r.definition_id = d.id AND aggregation_type = 'sum') AS s FROM batchjob_definitions d) r
GROUP BY 1 ORDER BY 1;

-- A slot that is run late takes nothing away that a newer run by hand has found.
UPDATE batch_jobs SET scheduled_from = now() - interval '1 day';
SELECT everywhere('INSERT INTO %s SELECT ''u1'', now() - g * interval ''1 hour'' - interval ''1 second'', 1 FROM generate_series(1, 48) g');
SELECT everywhere('INSERT INTO %s VALUES (''u1'', now() - interval ''1 millisecond'', 1)');
SELECT run_all();
TABLE sums;
SELECT count(*) FROM batchagg_run_due() WHERE status = 'succeeded';
TABLE sums;
SELECT count(*) FROM batch_jobs j, batchagg_verify_job(j.id);
-- It takes effect where the definition says so.
UPDATE batchjob_definitions SET job_delay = 24;
SELECT run_all();
TABLE sums;
UPDATE batchjob_definitions SET job_delay = 0;
SELECT run_all();
TABLE sums;

-- Results that are retained longer, as the horizon has gone back or for other reasons,
-- are computed again.
UPDATE batchjob_definitions SET results_retention = '2 days';
SELECT run_all();
SELECT everywhere('INSERT INTO %s SELECT ''u1'', now() - g * interval ''1 day'', 100 FROM generate_series(1, 9) g');
SELECT run_all();
UPDATE batchjob_definitions SET job_delay = 72;
SELECT run_all();
SELECT d.granularity, r.job_name, count(*), min("timestamp") = batchagg_bucket(d.granularity, now() - interval '5 days') AS "from"
FROM RuleExecutionResults r JOIN batchjob_definitions d ON d.id = definition_id WHERE aggregation_type = 'sum' GROUP BY d.granularity, d.id, r.job_name ORDER BY 1, d.id;
UPDATE batchjob_definitions SET results_retention = '4 days', job_delay = 24;
SELECT run_all();
SELECT d.granularity, r.job_name, sum(metric_value), min("timestamp") = batchagg_bucket(d.granularity, now() - interval '5 days') AS "from"
FROM RuleExecutionResults r JOIN batchjob_definitions d ON d.id = definition_id WHERE aggregation_type = 'sum' GROUP BY d.granularity, d.id, r.job_name ORDER BY 1, d.id;
SELECT count(*) FROM batch_jobs j, batchagg_verify_job(j.id);
UPDATE batchjob_definitions SET results_retention = NULL, job_delay = 0;
SELECT run_all();
TABLE sums;

-- A lookback is counted from the earlier of two horizons: nothing is lost that was late
-- by less, however many slots were missed.
UPDATE batchjob_definitions SET lookback = '1 day';
SELECT run_all();
UPDATE batchagg_counters SET last_slot = last_slot - interval '3 days';
UPDATE batchagg_cursors SET horizon = horizon - interval '3 days';
UPDATE batchagg_runs SET slot = slot - interval '3 days';
SELECT everywhere('INSERT INTO %s VALUES (''u1'', now() - interval ''3 days 20 hours'', 1000)');
SELECT everywhere('INSERT INTO %s VALUES (''u1'', now() - interval ''6 days'', 5000)');
SELECT everywhere('UPDATE %s SET n = 7000 WHERE ts < now() - interval ''8 days''');
SELECT run_all();
TABLE sums;
-- A longer one recomputes what it adds, and no more; rows that are gone since then do not matter.
SELECT everywhere('DELETE FROM %s WHERE ts < now() - interval ''7 days 12 hours''');
UPDATE batchjob_definitions SET lookback = '7 days';
SELECT run_all();
TABLE sums;
UPDATE batchjob_definitions SET lookback = '1 day';
SELECT run_all();
TABLE sums;
UPDATE batchjob_definitions SET lookback = NULL;
SELECT run_all();
TABLE sums;

-- Rows ahead of time cost nothing until their time comes.
SELECT everywhere('INSERT INTO %s VALUES (''u1'', now() + interval ''1 day'', 1), (''u1'', ''50000-01-01'', 1)');
SELECT run_all();
SELECT job_name, rows_read, changed FROM batch_jobs j, batchagg_run_job(j.id) WHERE job_name <> 'in_full' ORDER BY 1;
SELECT everywhere('DELETE FROM %s WHERE ts > now()');
SELECT run_all();
SELECT job_name, rows_read, changed FROM batch_jobs j, batchagg_run_job(j.id) WHERE job_name <> 'in_full' ORDER BY 1;
SELECT j.job_name, e.value FROM batch_jobs j, batchagg_explain_job(j.id) e WHERE item = 'query' AND job_name = 'in_snapshot' AND e.value LIKE '% OR %';
SELECT everywhere('INSERT INTO %s SELECT ''u2'', now() + g * interval ''1 day'', 1 FROM generate_series(1, 40) g');
SELECT everywhere('INSERT INTO %s VALUES (''u2'', now() + interval ''200 milliseconds'', 10)');
SELECT run_all();
SELECT pg_sleep(0.3);
SELECT run_all();
SELECT job_name, rows_read, changed FROM batch_jobs j, batchagg_run_job(j.id) WHERE job_name <> 'in_full' ORDER BY 1;
SELECT entity_id, string_agg(metric_value::text, ' ' ORDER BY definition_id) FROM RuleExecutionResults WHERE entity_id = 'u2' AND aggregation_type = 'sum' AND granularity = '1-day' GROUP BY 1;

-- Ids of transactions of another cluster, in the past, now, to come, and for ever.
INSERT INTO in_snapshot SELECT 'u9', now() - interval '30 days', 1, (txid_current() + g)::text::xid8 FROM unnest(ARRAY[-50, -1, 1, 3, 20, 999999999999]) g;
SELECT run_all() FROM generate_series(1, 3);
CREATE PROCEDURE pass_ids() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..30 LOOP
		PERFORM txid_current();
		COMMIT;
		IF i % 5 = 0 THEN
			PERFORM batchagg_run_job('in_snapshot');
			COMMIT;
		END IF;
	END LOOP;
END $$;
CALL pass_ids();
SELECT granularity, metric_value FROM RuleExecutionResults WHERE entity_id = 'u9' AND aggregation_type = 'sum' ORDER BY 1;
-- Rows of subtransactions.
BEGIN;
INSERT INTO in_snapshot VALUES ('u9', now() - interval '30 days', 10);
SAVEPOINT s;
INSERT INTO in_snapshot VALUES ('u9', now() - interval '30 days', 100);
RELEASE s;
COMMIT;
SELECT run_all() FROM generate_series(1, 2);
SELECT granularity, metric_value FROM RuleExecutionResults WHERE entity_id = 'u9' AND aggregation_type = 'sum' ORDER BY 1;
SELECT count(*) FROM batch_jobs j, batchagg_verify_job(j.id);

DROP EXTENSION batchagg CASCADE;
DROP TABLE in_full, in_log, in_snapshot CASCADE;
DROP FUNCTION everywhere, run_all;
DROP PROCEDURE pass_ids;
