-- A superuser's job over what another role owns runs what that role puts in its place:
-- validation tells of it, and a setting refuses it.

-- What an interrupted run may have left.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_alice, regress_batchagg_root;
RESET client_min_messages;
CREATE EXTENSION batchagg;
CREATE ROLE regress_batchagg_alice;
CREATE ROLE regress_batchagg_root SUPERUSER;
CREATE SCHEMA hers AUTHORIZATION regress_batchagg_alice;
CREATE TABLE own (user_id text, ts timestamptz, n integer);
ALTER TABLE own OWNER TO regress_batchagg_root;
INSERT INTO own VALUES ('a', '2024-01-01+00', 1);
GRANT SELECT ON own TO regress_batchagg_alice;
SET ROLE regress_batchagg_alice;
CREATE TABLE hers."Table" (user_id text, ts timestamptz, n integer);
INSERT INTO hers."Table" VALUES ('a', '2024-01-01+00', 1);
CREATE VIEW hers.view AS SELECT * FROM public.own;
RESET ROLE;
CREATE VIEW own_view AS SELECT * FROM own;
CREATE VIEW view_of_table AS SELECT * FROM own WHERE user_id IN (SELECT user_id FROM hers."Table");
CREATE VIEW view_of_view AS SELECT * FROM hers.view;
CREATE TABLE parts (user_id text, ts timestamptz, n integer) PARTITION BY LIST (user_id);
CREATE TABLE part PARTITION OF parts FOR VALUES IN ('b') PARTITION BY LIST (user_id);
CREATE TABLE hers.part (user_id text, ts timestamptz, n integer);
ALTER TABLE hers.part OWNER TO regress_batchagg_alice;
ALTER TABLE part ATTACH PARTITION hers.part DEFAULT;
INSERT INTO parts VALUES ('b', '2024-01-01+00', 1);
CREATE VIEW view_of_parts AS SELECT * FROM parts;
SET ROLE regress_batchagg_alice;
CREATE FUNCTION hers.same(integer) RETURNS integer LANGUAGE sql AS 'SELECT $1';
CREATE OPERATOR hers.~~~ (RIGHTARG = integer, FUNCTION = hers.same);
RESET ROLE;
CREATE VIEW view_of_call AS SELECT user_id, ts, OPERATOR(hers.~~~) n AS n FROM own;

-- What superusers own, other ones too, is nothing to tell of.
SELECT batchagg_create_job('EVERYHOUR', 'user', s, '{day}', '{"n": "sum"}', job_name => s) IS NOT NULL AS made FROM unnest('{own,own_view}'::text[]) s;
-- What others own is, also behind a view.
SELECT batchagg_create_job('EVERYHOUR', 'user', s, '{day}', '{"n": "sum"}', job_name => s) IS NOT NULL AS made
FROM unnest('{hers.\"Table\",hers.view,view_of_table,view_of_view}'::text[]) s;
-- So are partitions: an expression of an index is computed when a query is planned.
SELECT batchagg_create_job('EVERYHOUR', 'user', s, '{day}', '{"n": "sum"}', job_name => s) IS NOT NULL AS made
FROM unnest('{parts,view_of_parts}'::text[]) s;
-- And so is what a view calls.
SELECT batchagg_create_job('EVERYHOUR', 'user', 'view_of_call', '{day}', '{"n": "sum"}', job_name => 'view_of_call') IS NOT NULL AS made;
SELECT * FROM batchagg_validate_job('view_of_view');
SELECT j.job_name, r.status FROM batch_jobs j, batchagg_run_job(j.id) r ORDER BY j.id;
-- Her own jobs are hers.
SET ROLE regress_batchagg_alice;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'hers.view', '{day}', '{"n": "sum"}', job_name => 'hers') IS NOT NULL AS made;
RESET ROLE;

-- The setting refuses them, whoever starts them.
ALTER SYSTEM SET batchagg.restrict_superuser_jobs = on;
SELECT pg_reload_conf();
SELECT pg_sleep(1);
SHOW batchagg.restrict_superuser_jobs;
SELECT j.job_name, r.status FROM batch_jobs j, batchagg_run_job(j.id) r WHERE j.job_name LIKE 'own%' OR j.job_name = 'hers' ORDER BY j.id;
SELECT batchagg_run_job('hers."Table"');
SELECT batchagg_run_job('hers.view');
SELECT batchagg_run_job('view_of_table');
SELECT batchagg_run_job('view_of_view');
SELECT batchagg_run_job('parts');
SELECT batchagg_run_job('view_of_parts');
SELECT batchagg_run_job('view_of_call');
SELECT severity, sqlstate, message FROM batchagg_validate_job('view_of_view');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'hers.view', '{day}', '{"n": "sum"}');
SET batchagg.restrict_superuser_jobs = off;
ALTER SYSTEM RESET batchagg.restrict_superuser_jobs;
SELECT pg_reload_conf();

SET client_min_messages = warning;
DROP VIEW own_view, view_of_table, view_of_view, view_of_parts, view_of_call;
DROP SCHEMA hers CASCADE;
DROP TABLE own, parts;
DROP EXTENSION batchagg;
DROP ROLE regress_batchagg_alice, regress_batchagg_root;
