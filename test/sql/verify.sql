-- batchagg_verify_job(): exactly what is stored otherwise than it should be, and
-- nothing where all is right, whatever the job.

-- What an interrupted run may have left.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_member, regress_batchagg_other, regress_batchagg_owner;
RESET client_min_messages;
SET client_min_messages = warning;
CREATE EXTENSION batchagg;
SET DateStyle = ISO;
SET timezone = 'UTC';

CREATE TABLE visits (user_id text, ts timestamptz, pages integer, seconds float8);
INSERT INTO visits
SELECT 'u' || i % 3, '2024-10-25 00:00+00'::timestamptz + i * interval '20 minutes', i % 11, CASE WHEN i % 4 > 0 THEN i % 7 / 4.0 END
FROM generate_series(0, 500) i;
CREATE TABLE costs (user_id text, day date, name text, value numeric);
INSERT INTO costs SELECT 'u' || i % 3, '2024-10-25'::date + i / 6, (ARRAY['cost', 'tax'])[1 + i % 2], i FROM generate_series(0, 59) i;
INSERT INTO metricsandtables (metricname, tablename) VALUES ('pages', 'visits'), ('seconds', 'visits'), ('cost', 'costs');
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, timezone, complete_only) VALUES
	(1, 'user', 'visits', '1-hour', 'UTC', false),
	(1, 'user', 'visits', '1-day', 'Europe/Berlin', false),
	(1, 'user', 'visits', '1-week', 'UTC', true),
	(1, '*', 'visits', '1-month', 'Europe/Berlin', false);
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES
	(1, 'pages', 'sum,count'), (1, 'seconds', 'std,p95,count'), (1, 'cost', 'sum');
CREATE FUNCTION verify("from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL)
RETURNS TABLE (d integer, source text, bucket timestamptz, entity text, metric text, aggregate text, stored float8, computed float8, n bigint, of bigint)
LANGUAGE sql AS $$ SELECT * FROM batchagg_verify_job(1, $1, $2) ORDER BY 1, 2, 3, 4, 5, 6, 7 $$;

-- what was never run cannot be verified
SELECT verify();
SELECT batchagg_verify_job(NULL);
SELECT batchagg_verify_job(99);
SELECT status FROM batchagg_run_job(1);
SELECT * FROM verify();
SELECT definition_id, count(*) FROM RuleExecutionResults GROUP BY 1 ORDER BY 1;

-- Rows that are changed, missing, too many.  Each result that differs is a row.
CREATE VIEW stored AS SELECT l.definition_id, l.source, s.* FROM batchagg_store s JOIN batchagg_layouts l ON l.id = s.layout_id;
BEGIN;
UPDATE batchagg_store SET results[1] = results[1] + 1
WHERE (layout_id, bucket, entity_id) IN (SELECT layout_id, bucket, entity_id FROM stored WHERE definition_id = 1 AND bucket = '2024-10-26 05:00+00' AND entity_id = 'u1');
SELECT * FROM verify();
-- another number of samples, of one metric and of all
UPDATE batchagg_store SET metric_counts[1] = 99
WHERE (layout_id, bucket, entity_id) IN (SELECT layout_id, bucket, entity_id FROM stored WHERE definition_id = 2 AND source = 'public.visits' AND bucket = '2024-10-25 22:00+00' AND entity_id = 'u0');
UPDATE batchagg_store SET metric_counts = NULL, sample_count = 77
WHERE (layout_id, bucket, entity_id) IN (SELECT layout_id, bucket, entity_id FROM stored WHERE definition_id = 2 AND source = 'public.visits' AND bucket = '2024-10-25 22:00+00' AND entity_id = 'u2');
SELECT * FROM verify() WHERE d = 2;
DELETE FROM batchagg_store
WHERE (layout_id, bucket, entity_id) IN (SELECT layout_id, bucket, entity_id FROM stored WHERE definition_id = 4 AND bucket = '2024-09-30 22:00+00');
SELECT * FROM verify() WHERE d = 4;
UPDATE batchagg_store SET entity_id = 'u9'
WHERE (layout_id, bucket, entity_id) IN (SELECT layout_id, bucket, entity_id FROM stored WHERE definition_id = 3 AND source = 'public.costs' AND entity_id = 'u1' AND bucket = '2024-10-28');
SELECT * FROM verify() WHERE d = 3;
-- undefined where it is not, and the other way round
UPDATE batchagg_store SET results[3] = NULL
WHERE (layout_id, bucket, entity_id) IN (SELECT layout_id, bucket, entity_id FROM stored WHERE definition_id = 3 AND source = 'public.visits' AND entity_id = 'u1' AND bucket = '2024-10-28');
UPDATE batchagg_store SET results[3] = -1
WHERE (layout_id, bucket, entity_id) IN (SELECT layout_id, bucket, entity_id FROM stored WHERE definition_id = 1 AND bucket = '2024-10-26 05:00+00' AND entity_id = 'u1');
SELECT * FROM verify() WHERE metric = 'seconds' AND aggregate <> 'count' AND of IS DISTINCT FROM n;
-- a run repairs it all
SELECT changed FROM batchagg_run_job(1);
SELECT * FROM verify();
ROLLBACK;
SELECT * FROM verify();

-- Zero has two representations, one of which results do not have.
BEGIN;
UPDATE batchagg_store SET results[1] = '-0'
WHERE (layout_id, bucket, entity_id) IN (SELECT layout_id, bucket, entity_id FROM stored WHERE definition_id = 1 AND bucket = '2024-10-26 05:00+00' AND entity_id = 'u1');
SELECT d, bucket, entity, metric, aggregate, stored, computed FROM verify();
ROLLBACK;

-- Bounds: buckets that begin from the one on and before the other, of each
-- definition.  All is wrong, so that all that is in the range is seen.
BEGIN;
UPDATE batchagg_store SET results[1] = results[1] + 1;
CREATE TEMP VIEW buckets AS SELECT definition_id AS d, source, bucket, count(*) FROM stored GROUP BY 1, 2, 3;
CREATE FUNCTION bounds("from" timestamptz, "to" timestamptz, OUT right boolean, OUT n bigint, OUT d integer[]) LANGUAGE sql AS $$
	WITH verified AS (SELECT d, source, bucket, count(*) FROM verify($1, $2) GROUP BY 1, 2, 3),
		wanted AS (SELECT * FROM buckets WHERE (bucket >= $1 OR $1 IS NULL) AND (bucket < $2 OR $2 IS NULL))
	SELECT NOT EXISTS ((TABLE verified EXCEPT ALL TABLE wanted) UNION ALL (TABLE wanted EXCEPT ALL TABLE verified)),
		(SELECT count(*) FROM verified), (SELECT array_agg(DISTINCT d) FROM verified)
$$;
SELECT * FROM bounds(NULL, NULL);
SELECT * FROM bounds('-infinity', 'infinity');
SELECT * FROM bounds('2024-10-26 05:00+00', '2024-10-26 06:00+00');
SELECT * FROM bounds('2024-10-26 05:00:00.000001+00', '2024-10-26 06:00:00.000001+00');
SELECT * FROM bounds('2024-10-26 04:59:59.999999+00', '2024-10-26 05:00+00');
SELECT * FROM bounds('2024-10-26 00:00+02', '2024-10-27 00:00+02');
-- a day of 25 hours
SELECT * FROM bounds('2024-10-27 00:00+02', '2024-10-28 00:00+01');
SELECT * FROM bounds('2024-10-27 00:30+02', '2024-10-27 23:30+01');
SELECT * FROM bounds('2024-10-28', NULL);
SELECT * FROM bounds('2024-10-21', '2024-10-22');
SELECT * FROM bounds(NULL, '2024-10-25');
SELECT * FROM bounds('2024-11-30', '2024-10-01');
ROLLBACK;

-- The horizon is that of the last run: what has come since does not count, but
-- what has changed below it does.
UPDATE batchjob_definitions SET job_delay = 1 WHERE id = 1;
BEGIN;
SELECT status FROM batchagg_run_job(1);
INSERT INTO visits SELECT 'u0', now() - interval '59 minutes', 1, 1;
SELECT d FROM verify() WHERE d = 1;
INSERT INTO visits SELECT 'u0', now() - interval '61 minutes', 1, 1;
SELECT d, metric, aggregate, stored, computed, n, of FROM verify() WHERE d = 1;
DELETE FROM visits WHERE ts > '2024-12-31';
DELETE FROM visits WHERE ts >= '2024-10-31 22:00+00';
SELECT d, bucket, entity, metric, aggregate, stored, computed FROM verify('2024-10-31 22:00+00') ;
ROLLBACK;
UPDATE batchjob_definitions SET job_delay = 0 WHERE id = 1;

-- A week that is not over is not stored, and not asked for.
BEGIN;
INSERT INTO visits SELECT 'now', now() - interval '1 second', 1, 1;
SELECT status FROM batchagg_run_job(1);
SELECT * FROM verify();
SELECT array_agg(DISTINCT definition_id) FROM RuleExecutionResults WHERE entity_id = 'now';
ROLLBACK;

-- What does not fit the definition any more differs altogether, both as it is
-- stored and as it is computed.
BEGIN;
UPDATE batchjob_metrics SET aggregation_types = 'sum,avg' WHERE metric_name = 'cost';
SELECT d, source, bucket, entity, aggregate, stored, computed, n, of FROM verify() WHERE d = 3;
SELECT count(*) FILTER (WHERE stored IS NOT NULL) = (SELECT count(*) FROM RuleExecutionResults WHERE metric_name = 'cost') AS stored,
	count(*) FILTER (WHERE computed IS NOT NULL) = 2 * (SELECT count(*) FROM RuleExecutionResults WHERE metric_name = 'cost') AS computed,
	array_agg(DISTINCT source) FROM verify();
DELETE FROM batchjob_metrics WHERE metric_name = 'cost';
SELECT d, source, count(*), count(computed) AS computed FROM verify() GROUP BY 1, 2 ORDER BY 1;
SELECT status FROM batchagg_run_job(1);
SELECT * FROM verify();
UPDATE batchjob_definitions SET granularity = '1-day' WHERE id = 4;
SELECT bucket, metric, aggregate, stored, computed FROM verify('2024-10-01', '2024-10-26') WHERE d = 4;
SELECT bucket, metric, aggregate, stored, computed FROM verify('2024-09-30', '2024-10-01') WHERE d = 4;
ROLLBACK;
BEGIN;
UPDATE batchjob_definitions SET resource_filter = 'user_id <> "u2"' WHERE id = 1;
SELECT entity, bool_and(computed IS NULL), count(*) = (SELECT count(*) FROM RuleExecutionResults WHERE definition_id = 1 AND entity_id = 'u2' AND metric_name <> 'cost') AS all
FROM verify() WHERE d = 1 AND source = 'public.visits' GROUP BY 1;
ROLLBACK;

-- Results of a lookback's time and before, results kept, results not retained.
BEGIN;
UPDATE batchjob_definitions SET lookback = '1 day' WHERE id = 1;
SELECT status FROM batchagg_run_job(1);
DELETE FROM visits WHERE ts = '2024-10-25 00:00+00';
SELECT status, changed FROM batchagg_run_job(1);
SELECT * FROM verify();
ROLLBACK;
BEGIN;
UPDATE batchjob_definitions SET keep_history = true WHERE id = 1;
SELECT status FROM batchagg_run_job(1);
DELETE FROM visits WHERE ts < '2024-10-26 00:00+00';
SELECT status FROM batchagg_run_job(1);
SELECT * FROM verify();
ROLLBACK;
BEGIN;
UPDATE batchjob_definitions SET results_retention = '1 week' WHERE id IN (1, 2);
SELECT d, count(*) = (SELECT count(*) FROM RuleExecutionResults WHERE definition_id = d) AS all, count(computed) AS computed FROM verify() GROUP BY 1 ORDER BY 1;
SELECT status FROM batchagg_run_job(1);
SELECT * FROM verify();
ROLLBACK;

-- Tracked sources, with partial states beside the results; many results, so that
-- there are several parts.
BEGIN;
UPDATE batchjob_metrics SET aggregation_types = 'sum,avg,count,min,max,std,first,last,distinct,' ||
	(SELECT string_agg('p' || i, ',') FROM generate_series(1, 50) i) WHERE metric_name = 'pages';
INSERT INTO metricsandtables (metricname, tablename, metric_column) VALUES ('pages2', 'visits', 'pages'), ('pages3', 'visits', 'pages'), ('pages4', 'visits', 'pages');
INSERT INTO batchjob_metrics SELECT 1, 'pages' || i, aggregation_types FROM batchjob_metrics, generate_series(2, 4) i WHERE metric_name = 'pages';
SELECT status FROM batchagg_run_job(1);
SELECT * FROM verify();
DELETE FROM visits WHERE ts = '2024-10-25 00:00+00';
SELECT metric, count(*), count(stored) AS stored, count(computed) AS computed FROM verify() WHERE d = 1 GROUP BY 1 ORDER BY 1;
DELETE FROM batchagg_layouts WHERE part = 2;
SELECT metric, count(*) = count(computed) AS missing FROM verify('2024-10-26', NULL) GROUP BY 1 ORDER BY 1;
ROLLBACK;
BEGIN;
SELECT batchagg_track_source('costs', 'snapshot');
UPDATE batchjob_metrics SET aggregation_types = 'sum,avg,std,min,max,first,last' WHERE metric_name = 'cost';
SELECT status FROM batchagg_run_job(1);
SELECT DISTINCT source, states IS NULL AS no_states FROM stored ORDER BY 1;
SELECT * FROM verify();
INSERT INTO costs (user_id, day, name, value) VALUES ('u1', '2024-10-28', 'cost', 5);
SELECT DISTINCT d, bucket, entity FROM verify();
SELECT status FROM batchagg_run_job(1);
SELECT * FROM verify();
UPDATE batchagg_store SET states = overlay(states PLACING '\xff' FROM 1) WHERE states IS NOT NULL;
SELECT d, source, metric, aggregate, stored, computed, n, of, count(*) FROM verify() GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 ORDER BY 1;
ROLLBACK;

-- Who sees the job may verify it; it reads as its owner.
CREATE ROLE regress_batchagg_owner;
CREATE ROLE regress_batchagg_member IN ROLE regress_batchagg_owner;
CREATE ROLE regress_batchagg_other;
GRANT SELECT ON visits, costs TO regress_batchagg_owner;
UPDATE batch_jobs SET owner = 'regress_batchagg_owner';
UPDATE batchagg_store SET results[1] = results[1] + 1
WHERE (layout_id, bucket, entity_id) IN (SELECT layout_id, bucket, entity_id FROM stored WHERE definition_id = 1 AND bucket = '2024-10-26 05:00+00' AND entity_id = 'u1');
SET ROLE regress_batchagg_member;
SELECT definition_id, "timestamp", entity_id, stored, computed FROM batchagg_verify_job(1);
RESET ROLE;
SET ROLE regress_batchagg_other;
SELECT * FROM batchagg_verify_job(1);
RESET ROLE;
REVOKE SELECT ON costs FROM regress_batchagg_owner;
SELECT * FROM batchagg_verify_job(1);
GRANT SELECT ON costs TO regress_batchagg_owner;

-- Nothing is written, and nothing needs to be.
BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ;
SELECT definition_id, "timestamp", entity_id, stored, computed FROM batchagg_verify_job(1);
SELECT pg_current_xact_id_if_assigned();
COMMIT;
SELECT count(*) FROM batchagg_runs WHERE job_id = 1;

DROP VIEW stored;
DROP FUNCTION verify;
DROP EXTENSION batchagg;
DROP TABLE visits, costs;
DROP ROLE regress_batchagg_owner, regress_batchagg_member, regress_batchagg_other;
