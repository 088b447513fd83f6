-- How long results stay: beyond their rows (keep_history), or for a time
-- (results_retention); and which buckets are complete, and reopened.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION batchagg;
SET timezone = 'UTC';

CREATE TABLE kpi (user_id text, ts timestamptz, a float8, b float8);
INSERT INTO kpi SELECT 'u' || i % 3, '2026-01-01 00:00+00'::timestamptz + i * interval '10 minutes', i, i * 2 FROM generate_series(0, 999) i;
CREATE INDEX ON kpi (ts);
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, keep_history) VALUES (1, 'user', 'kpi', '1-hour', true), (1, 'user', 'kpi', '1-day', true);
INSERT INTO batchjob_metrics VALUES (1, 'a', 'sum,count,avg'), (1, 'b', 'min,max');

-- What plain SQL makes of all the rows that there ever were.
CREATE TABLE ever AS SELECT * FROM kpi;
CREATE VIEW expected AS
SELECT d.id AS definition_id, g.user_id AS entity_id, g.bucket AS "timestamp", v.column1 AS metric_name, v.column2 AS aggregation_type,
	v.column3 AS metric_value, v.column4 AS sample_count
FROM batchjob_definitions d, LATERAL (
	SELECT user_id, batchagg_bucket(d.granularity, ts, d.timezone) AS bucket, sum(a) AS s, count(a) AS c, avg(a) AS v, min(b) AS mi, max(b) AS ma, count(b) AS cb
	FROM ever GROUP BY 1, 2) g,
	LATERAL (VALUES ('a', 'sum', g.s, g.c), ('a', 'count', g.c, g.c), ('a', 'avg', g.v, g.c), ('b', 'min', g.mi, g.cb), ('b', 'max', g.ma, g.cb)) v
WHERE EXISTS (SELECT FROM batchjob_metrics m WHERE m.job_id = d.job_id AND m.metric_name = v.column1
	AND v.column2 = ANY (string_to_array(m.aggregation_types, ',')));
CREATE VIEW results AS SELECT definition_id, entity_id, "timestamp", metric_name, aggregation_type, metric_value, sample_count FROM RuleExecutionResults WHERE job_id = 1;
CREATE VIEW verdict AS
SELECT (SELECT count(*) FROM (TABLE expected EXCEPT TABLE results) m) AS missing, (SELECT count(*) FROM (TABLE results EXCEPT TABLE expected) t) AS too_many;

SELECT status, changed FROM batchagg_run_job(1);
TABLE verdict;

-- Rows are pruned, in the middle of a day and of an hour: results stay.
DELETE FROM kpi WHERE ts < '2026-01-03 12:35+00';
SELECT status, changed FROM batchagg_run_job(1);
TABLE verdict;

-- Younger rows that are deleted or changed count as ever.
DELETE FROM kpi WHERE ts = '2026-01-05 00:00+00';
DELETE FROM ever WHERE ts = '2026-01-05 00:00+00';
UPDATE kpi SET a = a + 1 WHERE ts = '2026-01-05 00:10+00';
UPDATE ever SET a = a + 1 WHERE ts = '2026-01-05 00:10+00';
SELECT status, changed FROM batchagg_run_job(1);
TABLE verdict;

-- Late rows of the time whose rows are gone do not replace what is kept; groups
-- that were not there come.
INSERT INTO kpi VALUES ('u1', '2026-01-02 00:00+00', 1, 1), ('u9', '2026-01-02 00:00+00', 1, 1);
INSERT INTO ever VALUES ('u9', '2026-01-02 00:00+00', 1, 1);
SELECT status, changed FROM batchagg_run_job(1);
TABLE verdict;

-- Metrics come and go: what is kept is brought over, as far as it has a place.
UPDATE batchjob_metrics SET aggregation_types = 'count,sum' WHERE metric_name = 'a';
ALTER TABLE kpi ADD "A0" float8;
INSERT INTO batchjob_metrics VALUES (1, 'A0', 'max,count');
SELECT status, changed FROM batchagg_run_job(1);
SELECT missing, too_many, (SELECT count(*) FROM results WHERE metric_name = 'A0') AS new FROM verdict;
DELETE FROM batchjob_metrics WHERE metric_name = 'A0';
SELECT status FROM batchagg_run_job(1);
TABLE verdict;
-- More results than one row holds: parts.
INSERT INTO batchjob_metrics SELECT 1, 'm' || i, 'sum,avg,min,max,count,stddev,variance,first,last' FROM generate_series(1, 40) i;
SELECT format('ALTER TABLE kpi %s', string_agg('ADD m' || i || ' float8', ', ')) FROM generate_series(1, 40) i \gexec
SELECT status FROM batchagg_run_job(1);
SELECT missing, (SELECT count(*) FROM batchagg_layouts WHERE part > 0) AS layouts FROM verdict;
DELETE FROM batchjob_metrics WHERE metric_name LIKE 'm%';
SELECT status FROM batchagg_run_job(1);
SELECT missing, too_many, (SELECT count(*) FROM batchagg_layouts) AS layouts FROM verdict;

-- The same where changes are tracked, and where the table is emptied.
SELECT batchagg_track_source('kpi');
SELECT status, changed FROM batchagg_run_job(1);
DELETE FROM kpi WHERE ts < '2026-01-04 12:35+00';
SELECT status, changed FROM batchagg_run_job(1);
TABLE verdict;
TRUNCATE kpi;
SELECT status, changed FROM batchagg_run_job(1);
TABLE verdict;
INSERT INTO kpi (user_id, ts, a, b) VALUES ('u1', '2026-01-20 00:00+00', 1, 1);
INSERT INTO ever VALUES ('u1', '2026-01-20 00:00+00', 1, 1);
SELECT status, changed FROM batchagg_run_job(1);
TABLE verdict;

-- Not kept any longer.
INSERT INTO kpi (user_id, ts, a, b) TABLE ever;
DELETE FROM kpi WHERE user_id = 'u2' OR ts > '2026-01-19';
DELETE FROM ever WHERE user_id = 'u2' OR ts > '2026-01-19';
UPDATE batchjob_definitions SET keep_history = false;
SELECT status FROM batchagg_run_job(1);
TABLE verdict;
SELECT count(*) FROM batchagg_verify_job(1);

-- Results are deleted after a time, and late rows of that time do not count.
UPDATE batchjob_definitions SET results_retention = now() - '2026-01-03 05:30+00' WHERE id = 1;
SELECT status, changed > 0 AS changed FROM batchagg_run_job(1);
SELECT definition_id, min("timestamp"), max("timestamp") FROM results GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM (SELECT * FROM expected WHERE "timestamp" >= CASE WHEN definition_id = 1 THEN '2026-01-03 05:00+00' ELSE '-infinity'::timestamptz END EXCEPT TABLE results) m;
INSERT INTO kpi (user_id, ts, a, b) VALUES ('u1', '2026-01-02 00:00+00', 1, 1), ('u1', '2026-01-03 05:45+00', 1, 1);
INSERT INTO ever VALUES ('u1', '2026-01-02 00:00+00', 1, 1), ('u1', '2026-01-03 05:45+00', 1, 1);
SELECT status, changed FROM batchagg_run_job(1);
SELECT count(*) FROM (SELECT * FROM expected WHERE "timestamp" >= CASE WHEN definition_id = 1 THEN '2026-01-03 05:00+00' ELSE '-infinity'::timestamptz END EXCEPT TABLE results) m;
SELECT count(*) FROM results WHERE definition_id = 1 AND "timestamp" < '2026-01-03 05:00+00';
SELECT status, changed FROM batchagg_run_job(1);
-- Where new rows are added to partial states, too.
SELECT batchagg_track_source('kpi', 'snapshot');
SELECT status FROM batchagg_run_job(1);
INSERT INTO kpi (user_id, ts, a, b) VALUES ('u1', '2026-01-02 00:00+00', 1, 1), ('u1', '2026-01-03 05:46+00', 1, 1);
INSERT INTO ever VALUES ('u1', '2026-01-02 00:00+00', 1, 1), ('u1', '2026-01-03 05:46+00', 1, 1);
SELECT status, changed FROM batchagg_run_job(1);
SELECT count(*) FROM (SELECT * FROM expected WHERE "timestamp" >= CASE WHEN definition_id = 1 THEN '2026-01-03 05:00+00' ELSE '-infinity'::timestamptz END EXCEPT TABLE results) m;
SELECT count(*) FROM results WHERE definition_id = 1 AND "timestamp" < '2026-01-03 05:00+00';
-- Longer again: what was deleted comes back.
UPDATE batchjob_definitions SET results_retention = '10 years';
SELECT status FROM batchagg_run_job(1);
TABLE verdict;
UPDATE batchjob_definitions SET results_retention = '-1 day';

-- complete_only: the open bucket is not stored; one that was stored is corrected
-- by late rows; and one that is open again, as the horizon has gone back, goes.
UPDATE batchjob_definitions SET results_retention = NULL, complete_only = true;
SELECT batchagg_track_source('kpi');
INSERT INTO kpi (user_id, ts, a, b) VALUES ('u1', date_trunc('hour', now()) - interval '1 minute', 1, 1), ('u1', now() - interval '1 microsecond', 1, 1);
SELECT status FROM batchagg_run_job(1);
SELECT max("timestamp") < date_trunc('day', now()) AS complete_days FROM results WHERE definition_id = 2;
SELECT max("timestamp") = date_trunc('hour', now()) - interval '1 hour' AS last_hour FROM results WHERE definition_id = 1;
INSERT INTO kpi (user_id, ts, a, b) VALUES ('u1', date_trunc('hour', now()) - interval '2 minutes', 1, 1);
SELECT status, changed > 0 AS changed FROM batchagg_run_job(1);
SELECT metric_value FROM results WHERE definition_id = 1 AND aggregation_type = 'count' AND "timestamp" = date_trunc('hour', now()) - interval '1 hour';
UPDATE batchjob_definitions SET job_delay = 1;
SELECT status, changed > 0 AS changed FROM batchagg_run_job(1);
SELECT max("timestamp") < date_trunc('hour', now()) - interval '1 hour' AS open_again FROM results WHERE definition_id = 1;
UPDATE batchjob_definitions SET job_delay = 0;
SELECT status, changed > 0 AS changed FROM batchagg_run_job(1);
SELECT metric_value FROM results WHERE definition_id = 1 AND aggregation_type = 'count' AND "timestamp" = date_trunc('hour', now()) - interval '1 hour';
SELECT count(*) FROM batchagg_verify_job(1);

DROP EXTENSION batchagg CASCADE;
DROP TABLE kpi, ever CASCADE;
