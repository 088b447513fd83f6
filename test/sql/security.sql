-- Roles: each sees and changes what is its own, and cannot get at more.

-- What an interrupted run may have left.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_alice, regress_batchagg_bob, regress_batchagg_carol, regress_batchagg_team;
RESET client_min_messages;
CREATE EXTENSION batchagg;
CREATE ROLE regress_batchagg_alice;
CREATE ROLE regress_batchagg_bob;
CREATE ROLE regress_batchagg_team;
GRANT regress_batchagg_team TO regress_batchagg_alice;
CREATE SCHEMA alice AUTHORIZATION regress_batchagg_alice;
CREATE SCHEMA bob AUTHORIZATION regress_batchagg_bob;

-- Alice makes a job, runs it, and sees its results.
SET ROLE regress_batchagg_alice;
CREATE TABLE alice.activity (user_id integer, ts timestamptz, hits integer);
INSERT INTO alice.activity VALUES (1, '2024-01-01', 5);
SELECT batchagg_create_job('EVERYHOUR', 'user', 'alice.activity', '{day}', '{"hits": "sum"}', 'alice.activity', job_name => 'hers');
SELECT id, owner FROM batch_jobs;
SELECT status, results FROM batchagg_run_job('hers');
SELECT job_name, entity_id, metric_value FROM RuleExecutionResults;
SELECT * FROM batchagg_run_job('her');
SELECT * FROM batchagg_run_job('1');
INSERT INTO RuleExecutionResults (entity_id, "timestamp", metric_name, metric_value) VALUES ('e', now(), 'm', 1);
UPDATE batch_jobs SET enable_flag = false;
UPDATE batchjob_definitions SET granularity = 'hour';
UPDATE batchjob_metrics SET aggregation_types = 'avg';
UPDATE metricsandtables SET time_column = 'ts';

-- Bob sees nothing of it, and can do nothing to it.
SET ROLE regress_batchagg_bob;
SELECT (SELECT count(*) FROM batch_jobs) AS jobs, (SELECT count(*) FROM batchjob_definitions) AS definitions,
	(SELECT count(*) FROM batchjob_metrics) AS metrics, (SELECT count(*) FROM metricsandtables) AS mappings,
	(SELECT count(*) FROM batchagg_layouts) AS layouts, (SELECT count(*) FROM batchagg_positions) AS positions,
	(SELECT count(*) FROM batchagg_store) AS store, (SELECT count(*) FROM batchagg_runs) AS runs,
	(SELECT count(*) FROM batchagg_measurements) AS measurements, (SELECT count(*) FROM RuleExecutionResults) AS results;
UPDATE batch_jobs SET enable_flag = true;
DELETE FROM batch_jobs;
DELETE FROM batchjob_definitions;
DELETE FROM batchjob_metrics;
DELETE FROM metricsandtables;
DELETE FROM batchagg_measurements;
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (1, 'user', 'x', 'day');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (1, 'x', 'sum');
SELECT * FROM batchagg_run_job(1);
SELECT * FROM batchagg_run_job('hers');
SELECT * FROM batchagg_validate_job(1);
-- By its name no more than by its id: as if there were no such job, and no hint leads to it.
SELECT * FROM batchagg_validate_job('hers');
SELECT * FROM batchagg_explain_job('hers');
SELECT * FROM batchagg_verify_job('hers');
CALL batchagg_backfill('hers');
SELECT * FROM batchagg_run_job('her');
SELECT * FROM batchagg_run_job('1');
SELECT count(*) FROM RuleExecutionResults WHERE job_name = 'hers';
-- A setting does not turn this into an error, or off.
SET row_security = off;
SELECT * FROM batchagg_validate_job(1);
RESET row_security;

-- What only runs write.
INSERT INTO batchagg_layouts (job_id, definition_id, source, part, focal_entity, granularity) VALUES (1, 1, 'x', 1, 'x', '1-day');
INSERT INTO batchagg_store VALUES (1, now(), 'x', 1, NULL, '{1}', now());
DELETE FROM batchagg_positions;
UPDATE batchagg_runs SET status = 'succeeded';
TRUNCATE batch_jobs CASCADE;
TRUNCATE batchagg_measurements;
-- Events are everybody's to read.
SELECT count(*) FROM batchagg_events;
INSERT INTO batchagg_events (event_name, schedule) VALUES ('X', '@daily');
DELETE FROM batchagg_events;
-- Nor do the triggers' functions serve for anything else.
CREATE TABLE bob.mine (event_name text);
CREATE TRIGGER t BEFORE INSERT ON bob.mine FOR EACH ROW EXECUTE FUNCTION batchagg_check_job();

-- Nothing can be given to others, except to a role one is a member of.
INSERT INTO batch_jobs (event_name, owner) VALUES ('EVERYHOUR', 'regress_batchagg_alice');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO metricsandtables (metricname, tablename, owner) VALUES ('hits', 'bob.mine', 'regress_batchagg_alice');
INSERT INTO batchagg_measurements (entity_id, "timestamp", metric_name, metric_value, owner)
VALUES ('e', now(), 'm', 1, 'regress_batchagg_alice');
INSERT INTO batch_jobs (event_name, job_name) VALUES ('EVERYHOUR', 'his');
UPDATE batch_jobs SET owner = 'regress_batchagg_team';
SET ROLE regress_batchagg_alice;
INSERT INTO batch_jobs (event_name, job_name, owner) VALUES ('EVERYHOUR', 'theirs', 'regress_batchagg_team');
SELECT job_name, owner FROM batch_jobs ORDER BY job_name;
-- A definition cannot be moved to a job that one does not see, nor can one's job be given away.
RESET ROLE;
SELECT id AS his FROM batch_jobs WHERE job_name = 'his' \gset
SET ROLE regress_batchagg_alice;
UPDATE batchjob_definitions SET job_id = :his;
UPDATE batch_jobs SET owner = 'regress_batchagg_bob' WHERE job_name = 'hers';

-- A job reads with the rights of its owner, whoever calls.
RESET ROLE;
CREATE TABLE secret (user_id integer, ts timestamptz, hits integer, wage integer);
SET ROLE regress_batchagg_bob;
INSERT INTO metricsandtables (metricname, tablename) VALUES ('wage', 'public.secret');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO metricsandtables (metricname, tablename) VALUES ('hits', 'alice.activity');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (:his, 'wage', 'max');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (:his, 'user', 'public.secret', 'day');
SELECT severity, sqlstate, message, detail FROM batchagg_validate_job(:his);
RESET ROLE;
SELECT severity, sqlstate, message, detail FROM batchagg_validate_job(:his);
SELECT * FROM batchagg_run_job(:his);
-- Columns will do; the filter's count too.
GRANT SELECT (user_id, ts, wage) ON secret TO regress_batchagg_bob;
SELECT * FROM batchagg_validate_job(:his);
UPDATE batchjob_definitions SET resource_filter = 'hits > 0' WHERE job_id = :his;
SELECT severity, sqlstate, message, detail FROM batchagg_validate_job(:his);
UPDATE batchjob_definitions SET resource_filter = NULL WHERE job_id = :his;

-- Nobody leads another's job to a source of his own: neither a stranger ...
SET ROLE regress_batchagg_bob;
CREATE TABLE bob.trap (user_id integer, ts timestamptz, hits integer);
INSERT INTO metricsandtables (metricname, tablename) VALUES ('hits', 'bob.trap');
GRANT USAGE ON SCHEMA bob TO PUBLIC;
GRANT SELECT ON bob.trap TO PUBLIC;
SET ROLE regress_batchagg_alice;
DELETE FROM metricsandtables;
SELECT source FROM batchagg_layouts;
SELECT status, rows_read FROM batchagg_run_job('hers');
SELECT source FROM batchagg_layouts;
-- ... nor a fellow member of a role.
SET ROLE regress_batchagg_team;
INSERT INTO metricsandtables (metricname, tablename) VALUES ('hits', 'bob.trap');
SET ROLE regress_batchagg_alice;
SELECT status, rows_read FROM batchagg_run_job('hers');
SELECT source FROM batchagg_layouts;
-- For superusers' jobs, too, only superusers' mappings count ...
RESET ROLE;
CREATE TABLE activity (user_id integer, ts timestamptz, hits integer);
SELECT batchagg_create_job('EVERYHOUR', 'user', 'activity', '{day}', '{"hits": "sum"}') AS job \gset
SELECT status FROM batchagg_run_job(:job);
SELECT l.source FROM batchagg_layouts l WHERE job_id = :job;
-- ... which count for everybody whose entity has not the metric itself, but give way to one's own.
UPDATE batchjob_definitions SET entity = 'a label' WHERE job_id = (SELECT id FROM batch_jobs WHERE job_name = 'hers');
INSERT INTO metricsandtables (metricname, tablename) VALUES ('hits', 'public.activity');
GRANT SELECT ON activity TO regress_batchagg_alice;
SET ROLE regress_batchagg_alice;
SELECT metricname, tablename FROM metricsandtables ORDER BY tablename;
SELECT status, rows_read FROM batchagg_run_job('hers');
SELECT source FROM batchagg_layouts;
DELETE FROM metricsandtables WHERE tablename = 'public.activity';
INSERT INTO metricsandtables (metricname, tablename) VALUES ('hits', 'alice.activity');
SELECT status, rows_read FROM batchagg_run_job('hers');
SELECT source FROM batchagg_layouts;

-- An owner cannot be dropped.  One who is gone all the same, as an old dump may have it.
RESET ROLE;
CREATE ROLE regress_batchagg_carol;
INSERT INTO batch_jobs (event_name, owner) VALUES ('EVERYHOUR', 'regress_batchagg_carol') RETURNING id AS job \gset
DROP ROLE regress_batchagg_carol;
SET allow_system_table_mods = on;
DELETE FROM pg_authid WHERE rolname = 'regress_batchagg_carol';
RESET allow_system_table_mods;
SELECT severity, sqlstate, regexp_replace(message, '\d+', 'N') AS message, hint FROM batchagg_validate_job(:job);
SET ROLE regress_batchagg_alice;
SELECT count(*) FROM batch_jobs WHERE id = :job;
RESET ROLE;

DROP EXTENSION batchagg;
DROP TABLE secret, activity;
DROP SCHEMA alice, bob CASCADE;
DROP ROLE regress_batchagg_alice, regress_batchagg_bob, regress_batchagg_team;
