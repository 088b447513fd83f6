-- Owners are roles by name, as owners of other objects are: DROP ROLE, REASSIGN OWNED
-- and DROP OWNED do with jobs, mappings and measurements what they do with tables.

-- What an interrupted run may have left.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_alice, regress_batchagg_bob, "regress_batchagg 7", regress_batchagg_dan, regress_batchagg_eve;
RESET client_min_messages;
CREATE EXTENSION batchagg;
CREATE ROLE regress_batchagg_alice;
CREATE ROLE regress_batchagg_bob;
CREATE ROLE "regress_batchagg 7";
CREATE SCHEMA owned;
GRANT ALL ON SCHEMA owned TO PUBLIC;
CREATE VIEW owned.summary AS
SELECT 'job' AS kind, owner, job_name AS what FROM batch_jobs
UNION ALL SELECT 'mapping', owner, metricname || ' in ' || tablename FROM metricsandtables
UNION ALL SELECT 'measurement', owner, metric_name FROM batchagg_measurements;

-- Names, with whatever is in them; no numbers, which are other roles elsewhere.
INSERT INTO batch_jobs (event_name, job_name, owner) VALUES ('EVERYHOUR', 'spaced', '"regress_batchagg 7"') RETURNING owner;
SELECT owner::text, owner::regrole, owner::oid = '"regress_batchagg 7"'::regrole AS same FROM batch_jobs;
INSERT INTO batch_jobs (event_name, owner) VALUES ('EVERYHOUR', '10');
INSERT INTO metricsandtables (metricname, tablename, owner) VALUES ('n', 'pg_class', '10');
INSERT INTO batchagg_measurements (entity_id, "timestamp", metric_name, metric_value, owner) VALUES ('e', now(), 'm', 1, '10');
INSERT INTO batch_jobs (event_name, owner) VALUES ('EVERYHOUR', '-');
INSERT INTO batch_jobs (event_name, owner) VALUES ('EVERYHOUR', 'regress_batchagg_nobody');
INSERT INTO batch_jobs (event_name, owner) VALUES ('EVERYHOUR', 4294967295::oid);
SET search_path = '';
COPY public.batch_jobs (event_name, owner) FROM STDIN;
EVERYHOUR	10
\.
RESET search_path;
ALTER ROLE "regress_batchagg 7" RENAME TO "regress_batchagg_Carol";
SELECT owner FROM batch_jobs WHERE owner = '"regress_batchagg_Carol"'::regrole;
SELECT owner, count(*) FROM batch_jobs GROUP BY owner ORDER BY owner;

-- Whoever owns something cannot be dropped.
DROP ROLE "regress_batchagg_Carol";
INSERT INTO metricsandtables (metricname, tablename, owner) VALUES ('relpages', 'pg_class', 'regress_batchagg_bob');
DROP ROLE regress_batchagg_bob;
SET ROLE regress_batchagg_alice;
CREATE TABLE owned.hers (user_id text, ts timestamptz, n integer, m integer);
INSERT INTO owned.hers VALUES ('a', '2024-01-01+00', 1, 2);
SELECT batchagg_create_job('EVERYHOUR', 'user', 'owned.hers', '{day}', '{"n": "sum", "m": "max"}', tablename => 'owned.hers', job_name => 'hers') AS job \gset
SELECT status, results FROM batchagg_run_job('hers');
INSERT INTO RuleExecutionResults (entity_id, "timestamp", metric_name, metric_value) VALUES ('e', '2024-01-01+00', 'rain', 1);
RESET ROLE;
DROP TABLE owned.hers;
DROP ROLE regress_batchagg_alice;
-- Nor if it is not committed yet, or only one of several savepoints is.
BEGIN;
CREATE ROLE regress_batchagg_dan;
SAVEPOINT s;
INSERT INTO batch_jobs (event_name, owner) VALUES ('EVERYHOUR', 'regress_batchagg_dan');
ROLLBACK TO s;
INSERT INTO batch_jobs (event_name, owner) VALUES ('EVERYHOUR', 'regress_batchagg_dan');
COMMIT;
DROP ROLE regress_batchagg_dan;
-- Nor when privileges on the tables come and go, or no trigger has seen the rows.
GRANT ALL ON batch_jobs, metricsandtables, batchagg_measurements TO regress_batchagg_dan;
REVOKE ALL ON batch_jobs, metricsandtables, batchagg_measurements FROM regress_batchagg_dan;
DROP ROLE regress_batchagg_dan;
CREATE ROLE regress_batchagg_eve;
SET session_replication_role = replica;
INSERT INTO batch_jobs (event_name, owner) VALUES ('EVERYHOUR', 'regress_batchagg_eve');
INSERT INTO batchagg_measurements (entity_id, "timestamp", metric_name, metric_value, owner) VALUES ('e', now(), 'm', 1, 'regress_batchagg_eve');
RESET session_replication_role;
DROP ROLE IF EXISTS regress_batchagg_nobody, regress_batchagg_eve;
DROP OWNED BY regress_batchagg_eve;
DROP ROLE regress_batchagg_eve;

-- REASSIGN OWNED takes them along; a mapping that the new owner has already goes.
INSERT INTO metricsandtables (metricname, tablename, owner) VALUES ('N', 'owned.hers', 'regress_batchagg_bob');
SELECT * FROM owned.summary ORDER BY kind, owner::text, what;
REASSIGN OWNED BY regress_batchagg_alice, regress_batchagg_dan TO regress_batchagg_bob;
SELECT * FROM owned.summary ORDER BY kind, owner::text, what;
SET ROLE regress_batchagg_bob;
SELECT job_name, entity_id, metric_name, metric_value FROM RuleExecutionResults ORDER BY metric_name;
RESET ROLE;
-- Two jobs of one name and owner there cannot be.
INSERT INTO batch_jobs (event_name, job_name, owner) VALUES ('EVERYHOUR', 'hers', 'regress_batchagg_alice');
\set VERBOSITY terse
REASSIGN OWNED BY regress_batchagg_alice TO regress_batchagg_bob;
\set VERBOSITY default
UPDATE batch_jobs SET job_name = 'hers too' WHERE owner = 'regress_batchagg_alice'::regrole;

-- In a session that has not loaded the library, REASSIGN OWNED passes them by; then DROP
-- OWNED fails, and does not delete what was to be kept (on a server that preloads it,
-- neither is so).
\c -
REASSIGN OWNED BY regress_batchagg_alice TO regress_batchagg_bob;
DO $$ BEGIN DROP OWNED BY regress_batchagg_alice; EXCEPTION WHEN dependent_objects_still_exist THEN END $$;
REASSIGN OWNED BY regress_batchagg_alice TO regress_batchagg_bob;
DROP OWNED BY regress_batchagg_alice;
DROP ROLE regress_batchagg_alice;
SELECT * FROM owned.summary ORDER BY kind, owner::text, what;

-- DROP OWNED deletes them, and their results.
GRANT regress_batchagg_bob TO "regress_batchagg_Carol";
SET ROLE "regress_batchagg_Carol";
DROP OWNED BY regress_batchagg_bob;
RESET ROLE;
SELECT * FROM owned.summary ORDER BY kind, owner::text, what;
SELECT count(*) FROM batchagg_store;
DROP ROLE regress_batchagg_bob;
DROP OWNED BY regress_batchagg_dan, "regress_batchagg_Carol";
DROP ROLE regress_batchagg_dan, "regress_batchagg_Carol";
SELECT * FROM owned.summary;

DROP SCHEMA owned CASCADE;
DROP EXTENSION batchagg;
