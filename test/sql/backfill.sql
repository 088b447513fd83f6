-- batchagg_backfill(): each bucket of a range once, in pieces that stay when a
-- later one fails; and what the next run makes of it.

-- What an interrupted run may have left.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_other, regress_batchagg_owner;
RESET client_min_messages;
CREATE EXTENSION batchagg;
SET DateStyle = ISO;
SET timezone = 'UTC';
\set SHOW_CONTEXT never

CREATE TABLE visits (user_id text, ts timestamptz, pages integer, seconds float8);
INSERT INTO visits
SELECT 'u' || i % 3, '2024-10-01 00:00+00'::timestamptz + i * interval '50 minutes', i % 11, CASE WHEN i % 4 > 0 THEN i % 7 / 4.0 END
FROM generate_series(0, 1200) i;
CREATE TABLE costs (user_id text, day date, name text, value numeric);
INSERT INTO costs SELECT 'u' || i % 3, '2024-10-05'::date + i / 6, (ARRAY['cost', 'tax'])[1 + i % 2], i FROM generate_series(0, 119) i;
INSERT INTO metricsandtables (metricname, tablename) VALUES ('pages', 'visits'), ('seconds', 'visits'), ('cost', 'costs');
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, timezone, complete_only) VALUES
	(1, 'user', 'visits', '1-hour', 'UTC', false),
	(1, 'user', 'visits', '1-day', 'Europe/Berlin', false),
	(1, 'user', 'visits', '1-week', 'UTC', true),
	(1, '*', 'visits', '1-month', 'Europe/Berlin', false);
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES
	(1, 'pages', 'sum,count'), (1, 'seconds', 'std,p95,count'), (1, 'cost', 'sum');
CREATE VIEW stored AS SELECT l.definition_id, l.source, s.* FROM batchagg_store s JOIN batchagg_layouts l ON l.id = s.layout_id;
CREATE VIEW state AS SELECT job_id, range_from, range_to, piece, newest_first, next, until, pieces_done, rows_read > 0 AS read, changed FROM batchagg_backfills;

-- Where it cannot be called.
CALL batchagg_backfill(NULL);
CALL batchagg_backfill(1, newest_first => NULL);
CALL batchagg_backfill(99);
CALL batchagg_backfill(1, piece => '0');
CALL batchagg_backfill(1, piece => '-1 day');
CALL batchagg_backfill(1, newest_first => false, piece => '-1 day');
TABLE state;
BEGIN;
CALL batchagg_backfill(1);
ROLLBACK;
CREATE FUNCTION backfill() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CALL batchagg_backfill(1); END $$;
SELECT backfill();
DROP FUNCTION backfill;
SET default_transaction_read_only = on;
CALL batchagg_backfill(1);
RESET default_transaction_read_only;
SET default_transaction_isolation = 'repeatable read';
CALL batchagg_backfill(1);
RESET default_transaction_isolation;
SELECT count(*) FROM batchagg_store;

-- A job that has never run: its first piece sets the horizon.  The longest
-- buckets are months, so that pieces are.
CALL batchagg_backfill(1);
SELECT definition_id, count(*) FROM RuleExecutionResults GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM batchagg_verify_job(1);
TABLE state;
SELECT status, attempt, range_from, range_to = max(range_to) OVER () AS horizon FROM batchagg_runs ORDER BY run_id;
SELECT runs, failures FROM batchagg_stats;
SELECT status, changed FROM batchagg_run_job(1);

-- Each bucket once, whatever the pieces: as many rows are changed as there are.
SELECT count(*) FROM batchagg_store;
UPDATE batchagg_store SET results[1] = results[1] + 1;
CALL batchagg_backfill(1, piece => '3 days');
SELECT count(*) FROM batchagg_verify_job(1);
UPDATE batchagg_store SET results[1] = results[1] + 1;
CALL batchagg_backfill(1, piece => '5 days 07:00', newest_first => false);
SELECT count(*) FROM batchagg_verify_job(1);
UPDATE batchagg_store SET results[1] = results[1] + 1;
CALL batchagg_backfill(1, piece => '5 years');
SELECT count(*) FROM batchagg_verify_job(1);
DELETE FROM batchagg_runs WHERE run_id > 4;

-- Rows that are changed, missing and too many; too old and too young ones too.
CREATE PROCEDURE spoil() LANGUAGE sql AS $$
	UPDATE batchagg_store SET results[1] = results[1] + 1 WHERE bucket = '2024-10-08 00:00+00';
	DELETE FROM batchagg_store WHERE bucket = '2024-10-20 22:00+00';
	UPDATE batchagg_store SET entity_id = 'x' WHERE bucket = '2024-10-28 00:00+00' AND entity_id = 'u1';
	UPDATE batchagg_store SET bucket = '2020-01-01' WHERE bucket = '2024-10-29 23:00+00' AND entity_id = 'u2';
	UPDATE batchagg_store SET bucket = '2030-01-01' WHERE bucket = '2024-10-30 01:00+00';
$$;
CALL spoil();
SELECT "timestamp", count(*), count(stored) AS stored, count(computed) AS computed FROM batchagg_verify_job(1) GROUP BY 1 ORDER BY 1;
-- in the range alone
CALL batchagg_backfill(1, '2024-10-20 22:00', '2024-10-28 00:00');
SELECT "timestamp", count(*), count(stored) AS stored, count(computed) AS computed FROM batchagg_verify_job(1) GROUP BY 1 ORDER BY 1;
CALL batchagg_backfill(1, '2024-10-28 00:00', '2024-10-28 00:00:00.000001');
SELECT "timestamp", count(*), count(stored) AS stored, count(computed) AS computed FROM batchagg_verify_job(1) GROUP BY 1 ORDER BY 1;
CALL batchagg_backfill(1, '2024-10-28 00:00', '2024-10-28 00:00');
CALL batchagg_backfill(1, '1990-01-01', '1999-12-31');
CALL batchagg_backfill(1, NULL, '2024-10-01');
CALL batchagg_backfill(1, '2025-01-01', NULL);
SELECT "timestamp", count(*), count(stored) AS stored, count(computed) AS computed FROM batchagg_verify_job(1) GROUP BY 1 ORDER BY 1;
CALL batchagg_backfill(1, piece => '1 week');
SELECT count(*) FROM batchagg_verify_job(1);
SELECT status, changed FROM batchagg_run_job(1);

-- Ended in the middle: what was done stays, and the next call goes on.
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'enough'; END $$;
UPDATE batchagg_store SET results[1] = results[1] + 1;
CREATE TRIGGER fail AFTER UPDATE ON batchagg_backfills FOR EACH ROW WHEN (NEW.pieces_done = 3) EXECUTE FUNCTION fail();
CALL batchagg_backfill(1, '2024-10-03', '2024-10-31', '1 week');
TABLE state;
SELECT bool_and("timestamp" < '2024-10-18' OR "timestamp" >= '2024-10-31') FROM batchagg_verify_job(1) WHERE definition_id <= 2;
CALL batchagg_backfill(1);
DROP TRIGGER fail ON batchagg_backfills;
-- the same range, in other pieces; rows that were changed below come along, and a
-- run may have taken place
UPDATE visits SET pages = pages + 1 WHERE ts BETWEEN '2024-10-04' AND '2024-10-06';
UPDATE visits SET pages = pages + 1 WHERE ts BETWEEN '2024-10-22' AND '2024-10-23';
CALL batchagg_backfill(1, '2024-10-03', '2024-10-31', '1 month');
TABLE state;
SELECT DISTINCT definition_id, "timestamp" FROM batchagg_verify_job(1, '2024-10-03', '2024-10-31') WHERE definition_id > 1 ORDER BY 1, 2;
SELECT status FROM batchagg_run_job(1);
SELECT count(*) FROM batchagg_verify_job(1);
-- another range, or direction, begins anew
CREATE TRIGGER fail AFTER UPDATE ON batchagg_backfills FOR EACH ROW WHEN (NEW.pieces_done = 2) EXECUTE FUNCTION fail();
CALL batchagg_backfill(1, '2024-10-03', '2024-10-31', '1 week');
CALL batchagg_backfill(1, '2024-10-04', '2024-10-31', '1 week');
TABLE state;
CALL batchagg_backfill(1, '2024-10-04', '2024-10-31', '1 week', false);
TABLE state;
CALL batchagg_backfill(1, '1990-01-01', '1999-12-31');
TABLE state;
-- a run between the pieces of one that has no bounds
CALL batchagg_backfill(1, piece => '2 weeks');
INSERT INTO visits VALUES ('late', '2024-10-02 05:00+00', 1, 1), ('old', '2024-09-02 05:00+00', 1, 1);
SELECT status FROM batchagg_run_job(1);
DROP TRIGGER fail ON batchagg_backfills;
CALL batchagg_backfill(1);
SELECT count(*) FROM batchagg_verify_job(1);
TABLE state;

-- Tracked sources: the cursor stays, and the next run brings up to date what has
-- changed since, but for what the backfill has recomputed.
SET client_min_messages = warning;
SELECT batchagg_track_source('visits', 'log');
SELECT status, rows_read > 1200 AS all FROM batchagg_run_job(1);
CREATE VIEW cursors AS SELECT definition_id, source, mode, horizon, snapshot::text, run_xid FROM batchagg_cursors;
CREATE TABLE cursors_before AS TABLE cursors;
INSERT INTO visits VALUES ('u1', '2024-10-10 12:10+00', 100, 1), ('u1', '2024-10-25 12:10+00', 100, 1);
CALL spoil();
CALL batchagg_backfill(1, '2024-10-20', NULL, '1 week');
TABLE cursors EXCEPT TABLE cursors_before;
SELECT count(*) FROM batchagg_verify_job(1, '2024-10-20');
SELECT DISTINCT definition_id, "timestamp" FROM batchagg_verify_job(1) WHERE source = 'public.visits' ORDER BY 1, 2;
SELECT status, rows_read FROM batchagg_run_job(1);
SELECT DISTINCT definition_id, "timestamp" FROM batchagg_verify_job(1) WHERE source = 'public.visits' ORDER BY 1, 2;
CALL batchagg_backfill(1, NULL, '2024-10-20', '1 week');
SELECT count(*) FROM batchagg_verify_job(1);
-- A cursor that cannot be used is dropped, lest it is used when the definition
-- becomes again what it was.
UPDATE batchjob_definitions SET resource_filter = 'user_id <> "u2"' WHERE id = 1;
CALL batchagg_backfill(1, '2024-10-20', '2024-10-21');
SELECT definition_id, source FROM batchagg_cursors ORDER BY 1, 2;
UPDATE batchjob_definitions SET resource_filter = NULL WHERE id = 1;
SELECT status FROM batchagg_run_job(1);
SELECT count(*) FROM batchagg_verify_job(1);

-- New rows that are added to stored states: not to those that have them already.
SELECT batchagg_untrack_source('visits');
SELECT batchagg_track_source('visits', 'snapshot');
SELECT batchagg_track_source('costs', 'snapshot');
UPDATE batchjob_metrics SET aggregation_types = 'std,count' WHERE metric_name = 'seconds';
SELECT status FROM batchagg_run_job(1);
SELECT source, bool_and(states IS NOT NULL) AS states FROM stored GROUP BY 1 ORDER BY 1;
INSERT INTO visits SELECT 'u1', '2024-10-10 12:10+00'::timestamptz + i * interval '1 day', 100, 1 FROM generate_series(0, 15) i;
INSERT INTO costs (user_id, day, name, value) SELECT 'u1', '2024-10-10'::date + i, 'cost', 1000 FROM generate_series(0, 15) i;
DELETE FROM cursors_before;
INSERT INTO cursors_before TABLE cursors;
CALL batchagg_backfill(1, '2024-10-15', '2024-10-22', '1 day');
TABLE cursors EXCEPT TABLE cursors_before;
SELECT count(*) FROM batchagg_verify_job(1, '2024-10-15', '2024-10-22');
-- (not those of the beginning, which stay while any transaction is open that began before)
SELECT s.source, min(m.low), max(m.high), count(*) > 0 AS some FROM batchagg_marks m JOIN batchagg_sources s USING (source_id) WHERE isfinite(m.low) GROUP BY 1 ORDER BY 1;
INSERT INTO visits SELECT 'u1', '2024-10-10 12:10+00'::timestamptz + i * interval '1 day', 100, 1 FROM generate_series(0, 15) i;
SELECT status FROM batchagg_run_job(1);
SELECT count(*) FROM batchagg_verify_job(1);
-- nothing new, nothing to be marked
CALL batchagg_backfill(1, '2024-10-15', '2024-10-22', '1 day');
SELECT status, changed FROM batchagg_run_job(1);
SELECT count(*) FROM batchagg_verify_job(1);
-- local times, in zones on both sides; nobody recomputes what is far away
UPDATE batchjob_definitions SET timezone = 'Pacific/Auckland' WHERE id = 2;
UPDATE batchjob_definitions SET timezone = 'America/Los_Angeles' WHERE id = 1;
SELECT status FROM batchagg_run_job(1);
INSERT INTO costs (user_id, day, name, value) SELECT 'u2', '2024-10-10'::date + i, 'cost', 1000 FROM generate_series(0, 15) i;
CALL batchagg_backfill(1, '2024-10-15', '2024-10-20');
INSERT INTO costs (user_id, day, name, value) SELECT 'u2', '2024-10-10'::date + i, 'cost', 1000 FROM generate_series(0, 15) i;
SELECT status FROM batchagg_run_job(1);
SELECT count(*) FROM batchagg_verify_job(1);

-- Whose job it is.
CREATE ROLE regress_batchagg_owner;
CREATE ROLE regress_batchagg_other;
GRANT SELECT ON visits, costs TO regress_batchagg_owner;
UPDATE batch_jobs SET owner = 'regress_batchagg_owner';
CREATE TRIGGER fail AFTER UPDATE ON batchagg_backfills FOR EACH ROW WHEN (NEW.pieces_done = 2) EXECUTE FUNCTION fail();
SET ROLE regress_batchagg_owner;
CALL batchagg_backfill(1, '2024-10-15', '2024-10-22', '3 days');
SELECT pieces_done FROM batchagg_backfills;
DELETE FROM batchagg_backfills;
SET ROLE regress_batchagg_other;
SELECT count(*) FROM batchagg_backfills;
CALL batchagg_backfill(1);
RESET ROLE;
DELETE FROM batch_jobs;
SELECT count(*) FROM batchagg_backfills;

DROP VIEW stored, state, cursors;
DROP PROCEDURE spoil;
DROP TABLE visits, costs, cursors_before;
DROP EXTENSION batchagg;
DROP FUNCTION fail;
DROP ROLE regress_batchagg_owner, regress_batchagg_other;
