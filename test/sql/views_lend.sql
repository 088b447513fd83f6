-- A view over results lends its owner's rights to who may read it, as PostgreSQL's views do.

-- What an interrupted run may have left.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_alice, regress_batchagg_bob, regress_batchagg_carol;
RESET client_min_messages;
CREATE EXTENSION batchagg;
CREATE ROLE regress_batchagg_alice;
CREATE ROLE regress_batchagg_bob;
CREATE ROLE regress_batchagg_carol;
CREATE SCHEMA lent;
GRANT ALL ON SCHEMA lent TO regress_batchagg_alice, regress_batchagg_bob, regress_batchagg_carol;
SET search_path = public, lent;

-- Each has a job with results, and a measurement.
SET ROLE regress_batchagg_alice;
CREATE TABLE lent.hers (user_id text, ts timestamptz, n integer);
INSERT INTO lent.hers VALUES ('a', '2024-01-01 10:00+00', 1), ('b', '2024-01-02 10:00+00', 2);
SELECT batchagg_create_job('EVERYHOUR', 'user', 'lent.hers', '{day}', '{"n": "sum"}', job_name => 'hers') AS hers \gset
SELECT status, results FROM batchagg_run_job('hers');
INSERT INTO RuleExecutionResults (entity_id, "timestamp", metric_name, metric_value) VALUES ('m', '2024-01-01+00', 'rain', 7);
SET ROLE regress_batchagg_bob;
CREATE TABLE lent.his (user_id text, ts timestamptz, n integer);
INSERT INTO lent.his VALUES ('x', '2024-01-01 10:00+00', 9);
SELECT batchagg_create_job('EVERYHOUR', 'user', 'lent.his', '{day}', '{"n": "sum"}', job_name => 'his') AS his \gset
SELECT status, results FROM batchagg_run_job('his');
RESET ROLE;
SELECT batchagg_run_job(id) IS NOT NULL AS ran FROM batch_jobs WHERE job_name = 'his';

UPDATE batch_jobs SET scheduled_from = now() - interval '1 day', enable_flag = job_name = 'hers';

-- Views of hers, of other kinds too, and one of a superuser's.
SET ROLE regress_batchagg_alice;
CREATE VIEW lent.results AS SELECT job_name, entity_id, metric_name, metric_value FROM RuleExecutionResults;
CREATE VIEW lent.through AS SELECT * FROM lent.results WHERE metric_value > 1;
CREATE VIEW lent.barrier WITH (security_barrier) AS SELECT * FROM RuleExecutionResults;
CREATE VIEW lent.invoker WITH (security_invoker) AS SELECT job_name, entity_id, metric_value FROM RuleExecutionResults;
CREATE VIEW lent.jobs AS SELECT job_name, state, last_status FROM batchagg_jobs;
CREATE VIEW lent.stats AS SELECT job_name, runs FROM batchagg_stats;
CREATE VIEW lent.slots AS SELECT job_name, state, slots BETWEEN 22 AND 25 AS a_day FROM batchagg_slots;
CREATE VIEW lent.runs AS SELECT status, results FROM batchagg_runs;
CREATE VIEW lent.definitions AS SELECT entity FROM batchjob_definitions;
CREATE VIEW lent.stored AS SELECT entity_id, results FROM batchagg_store;
CREATE VIEW lent.measured AS SELECT entity_id, metric_value FROM batchagg_measurements;
CREATE VIEW lent.owned AS SELECT job_name, enable_flag FROM batch_jobs;
CREATE VIEW lent.by_cte AS WITH r AS MATERIALIZED (SELECT * FROM RuleExecutionResults) SELECT entity_id, metric_value FROM r;
CREATE VIEW lent.by_sublink AS SELECT (SELECT count(*) FROM RuleExecutionResults) AS n, EXISTS (SELECT FROM batchagg_runs) AS ran;
CREATE VIEW lent.by_join AS SELECT h.n, r.metric_value FROM lent.hers h JOIN RuleExecutionResults r ON r.entity_id = h.user_id;
CREATE FUNCTION lent.by_function() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM public.RuleExecutionResults';
RESET ROLE;
CREATE VIEW lent.everything AS SELECT job_name, entity_id, metric_value FROM RuleExecutionResults;
CREATE VIEW lent.everybody AS SELECT job_name FROM batch_jobs;
GRANT SELECT ON ALL TABLES IN SCHEMA lent TO regress_batchagg_bob, regress_batchagg_carol;
REVOKE ALL ON lent.hers FROM regress_batchagg_bob, regress_batchagg_carol;

-- Carol has nothing of her own and sees what is lent to her: in a new session, whose
-- first query it is.
\c -
SET search_path = public, lent;
SET ROLE regress_batchagg_carol;
SELECT count(*) FROM lent.results;
SELECT * FROM RuleExecutionResults;
SELECT * FROM lent.results ORDER BY entity_id;
SELECT * FROM lent.through ORDER BY entity_id;
SELECT job_name, entity_id, metric_value FROM lent.barrier ORDER BY entity_id;
SELECT * FROM lent.invoker;
SELECT * FROM lent.jobs;
SELECT * FROM lent.stats;
SELECT * FROM lent.slots;
SELECT * FROM lent.runs;
SELECT * FROM lent.definitions;
SELECT * FROM lent.stored ORDER BY entity_id;
SELECT * FROM lent.measured;
SELECT * FROM lent.owned;
SELECT * FROM lent.by_cte ORDER BY entity_id;
SELECT * FROM lent.by_sublink;
SELECT * FROM lent.by_join ORDER BY n;
SELECT lent.by_function();
SELECT * FROM lent.everything ORDER BY entity_id;
SELECT * FROM lent.everybody ORDER BY job_name;

-- Bob sees each of the three as what it is, in one query too.
SET ROLE regress_batchagg_bob;
SELECT 'own' AS which, entity_id, metric_value FROM RuleExecutionResults
UNION ALL SELECT 'hers', entity_id, metric_value FROM lent.results
UNION ALL SELECT 'hers by his rights', entity_id, metric_value FROM lent.invoker
UNION ALL SELECT 'all', entity_id, metric_value FROM lent.everything
ORDER BY which, entity_id;
SELECT own.entity_id AS own, hers.entity_id AS hers FROM RuleExecutionResults own CROSS JOIN lent.results hers ORDER BY 1, 2;
-- A view of his over hers lends what hers lends; one of his own what is his.
CREATE VIEW lent.of_hers AS SELECT entity_id FROM lent.results;
CREATE VIEW lent.of_his AS SELECT entity_id FROM RuleExecutionResults;
GRANT SELECT ON lent.of_hers, lent.of_his TO regress_batchagg_carol, regress_batchagg_alice;
SET ROLE regress_batchagg_carol;
SELECT * FROM lent.of_hers ORDER BY 1;
SELECT * FROM lent.of_his;
SET ROLE regress_batchagg_alice;
SELECT * FROM lent.of_hers ORDER BY 1;
SELECT * FROM lent.of_his;

-- Also for a superuser a view is what its owner sees, from the first query of a session on.
\c -
SELECT * FROM lent.results ORDER BY entity_id;
SELECT * FROM lent.runs;
SELECT count(*) FROM RuleExecutionResults;

SET search_path = public, lent;

-- The view itself has to be granted, and only what it shows is lent.
SET ROLE regress_batchagg_alice;
REVOKE SELECT ON lent.results FROM regress_batchagg_carol;
SET ROLE regress_batchagg_carol;
SELECT * FROM lent.results;
SELECT * FROM RuleExecutionResults;
SET row_security = off;
SELECT count(*) FROM lent.through;
RESET row_security;

-- Plans that are kept are those of the view, whoever uses them.
RESET ROLE;
SET plan_cache_mode = force_generic_plan;
PREPARE lent AS SELECT count(*) FROM lent.everything;
PREPARE hers AS SELECT count(*) FROM lent.through;
PREPARE own AS SELECT count(*) FROM RuleExecutionResults;
EXECUTE lent;
EXECUTE hers;
EXECUTE own;
SET ROLE regress_batchagg_carol;
EXECUTE lent;
EXECUTE hers;
EXECUTE own;
SET ROLE regress_batchagg_bob;
EXECUTE lent;
EXECUTE hers;
EXECUTE own;
RESET plan_cache_mode;
DEALLOCATE ALL;

-- A condition that leaks sees what is lent, and nothing behind it.
SET ROLE regress_batchagg_carol;
CREATE FUNCTION lent.peep(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE NOTICE 'saw %', $1; RETURN true; END $$;
SELECT count(*) FROM lent.through WHERE lent.peep(entity_id);

-- A job over such a view reads what is lent to its owner.
RESET ROLE;
GRANT SELECT ON lent.results TO regress_batchagg_carol;
SET ROLE regress_batchagg_alice;
CREATE VIEW lent.daily AS SELECT entity_id, "timestamp", metric_value FROM RuleExecutionResults WHERE job_name = 'hers';
GRANT SELECT ON lent.daily TO regress_batchagg_carol;
SET ROLE regress_batchagg_carol;
SELECT batchagg_create_job('EVERYDAY', 'entity', 'lent.daily', '{month}', '{"metric_value": "sum,count"}', job_name => 'of hers') AS job \gset
SELECT status, rows_read, results FROM batchagg_run_job('of hers');
SELECT entity_id, result_name, metric_value FROM RuleExecutionResults ORDER BY 1, 2;
RESET ROLE;
SELECT status, rows_read, changed FROM batchagg_run_job('of hers');

-- Writing through a view lends its owner's rights too, and gives nobody a job of somebody else's.
SET ROLE regress_batchagg_alice;
GRANT UPDATE, INSERT ON lent.owned TO regress_batchagg_bob;
SET ROLE regress_batchagg_bob;
UPDATE lent.owned SET enable_flag = false;
SELECT job_name, enable_flag FROM lent.owned;
INSERT INTO lent.owned VALUES ('new', true);
RESET ROLE;
SELECT job_name, enable_flag FROM batch_jobs ORDER BY job_name;

-- A view's own condition asks for who reads or writes it, also where it looks like a policy.
SET ROLE regress_batchagg_alice;
CREATE VIEW lent.guarded WITH (security_barrier) AS
	SELECT job_name, owner, enable_flag FROM batch_jobs WHERE pg_has_role(current_user, owner, 'USAGE') WITH CHECK OPTION;
CREATE VIEW lent.checked AS
	SELECT job_name, owner, enable_flag FROM batch_jobs WHERE pg_has_role(current_user, owner, 'USAGE') WITH CHECK OPTION;
GRANT SELECT, UPDATE, DELETE ON lent.guarded, lent.checked TO regress_batchagg_bob;
UPDATE lent.guarded SET enable_flag = true RETURNING job_name;
UPDATE lent.checked SET enable_flag = true RETURNING job_name;
SET ROLE regress_batchagg_bob;
SELECT job_name FROM lent.guarded;
UPDATE lent.guarded SET enable_flag = false RETURNING job_name;
UPDATE lent.checked SET enable_flag = false RETURNING job_name;
DELETE FROM lent.guarded RETURNING job_name;

-- Changes of several tables, and by queries in a WITH.
UPDATE lent.owned o SET enable_flag = true FROM lent.results r WHERE r.job_name = o.job_name AND r.entity_id = 'a'
RETURNING o.job_name, r.entity_id;
WITH u AS (UPDATE lent.owned SET enable_flag = true RETURNING job_name) SELECT * FROM u;
MERGE INTO batch_jobs j USING lent.owned o ON o.job_name = j.job_name WHEN MATCHED THEN DELETE;
SELECT job_name FROM lent.owned;

-- Rows are locked as the view's owner may; views that no one can lock are refused.
SELECT job_name FROM lent.owned FOR UPDATE;
SELECT entity_id FROM lent.results ORDER BY entity_id FOR UPDATE;
RESET ROLE;
GRANT UPDATE ON lent.results, lent.stats TO regress_batchagg_bob;
CREATE VIEW lent.all_stats AS SELECT job_name, runs FROM batchagg_stats;
GRANT SELECT, UPDATE ON lent.all_stats TO regress_batchagg_bob;
SET ROLE regress_batchagg_bob;
SELECT entity_id FROM lent.results ORDER BY entity_id FOR UPDATE;
SELECT job_name FROM lent.stats FOR UPDATE;
SELECT job_name FROM lent.all_stats FOR UPDATE;

-- Rules are their table's owner's; a materialized view is filled with its owner's rights.
SET ROLE regress_batchagg_alice;
CREATE TABLE lent.asked (x integer);
CREATE RULE answer AS ON UPDATE TO lent.asked DO INSTEAD SELECT current_user AS who, entity_id FROM RuleExecutionResults;
GRANT SELECT, UPDATE ON lent.asked TO regress_batchagg_bob;
SET ROLE regress_batchagg_bob;
UPDATE lent.asked SET x = 1;
CREATE MATERIALIZED VIEW lent.kept AS SELECT r.entity_id, o.entity_id AS own FROM lent.results r CROSS JOIN RuleExecutionResults o;
RESET ROLE;
REFRESH MATERIALIZED VIEW lent.kept;
SELECT * FROM lent.kept ORDER BY 1;

-- A function in SQL may be planned as part of the query that calls it.  Views in it
-- lend, and what it reads itself is what its caller sees; in a view too.
CREATE FUNCTION lent.of_view() RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT entity_id FROM lent.results';
CREATE FUNCTION lent.nested(lo text, hi text DEFAULT 'z') RETURNS SETOF text STABLE
	BEGIN ATOMIC SELECT e FROM lent.of_view() e WHERE e BETWEEN lo AND hi; END;
CREATE FUNCTION lent.of_caller() RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT entity_id FROM public.RuleExecutionResults';
SET ROLE regress_batchagg_alice;
CREATE VIEW lent.called AS SELECT (SELECT count(*) FROM lent.of_view()) AS of_view, (SELECT count(*) FROM lent.nested('b')) AS from_b,
	(SELECT count(*) FROM lent.nested(hi => 'b', lo => 'b')) AS b, (SELECT count(*) FROM lent.of_caller()) AS of_caller;
GRANT SELECT ON lent.called TO PUBLIC;
RESET ROLE;
SET plan_cache_mode = force_generic_plan;
PREPARE called AS SELECT current_user, * FROM lent.called;
PREPARE calls AS SELECT count(*) AS of_view, (SELECT count(*) FROM lent.of_caller()) AS of_caller FROM lent.of_view();
EXECUTE called;
EXECUTE calls;
SET ROLE regress_batchagg_carol;
EXECUTE called;
EXECUTE calls;
SET ROLE regress_batchagg_bob;
EXECUTE called;
EXECUTE calls;
RESET ROLE;
CREATE OR REPLACE FUNCTION lent.of_view() RETURNS SETOF text LANGUAGE sql STABLE AS $$SELECT 'b'$$;
EXECUTE called;

-- So it is in sessions that load the library no sooner than they plan such a function.
CREATE OR REPLACE FUNCTION lent.of_view() RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT entity_id FROM lent.results';
\c -
SET search_path = public, lent;
SET ROLE regress_batchagg_carol;
PREPARE called AS SELECT count(*) FROM lent.of_view();
EXECUTE called \g /dev/null
EXECUTE called;
RESET ROLE;
SET plan_cache_mode = force_generic_plan;

-- Kept plans follow the view to another owner, and the rights that its owner gets and loses.
PREPARE lent AS SELECT entity_id FROM lent.results ORDER BY 1;
PREPARE owned AS SELECT job_name FROM lent.owned ORDER BY 1;
SET ROLE regress_batchagg_carol;
EXECUTE lent;
EXECUTE owned;
RESET ROLE;
ALTER VIEW lent.results OWNER TO regress_batchagg_bob;
ALTER VIEW lent.owned OWNER TO regress_batchagg_bob;
SET ROLE regress_batchagg_carol;
EXECUTE lent;
EXECUTE owned;
RESET ROLE;
GRANT regress_batchagg_alice TO regress_batchagg_bob;
SET ROLE regress_batchagg_carol;
EXECUTE owned;
RESET ROLE;
REVOKE regress_batchagg_alice FROM regress_batchagg_bob;
SET ROLE regress_batchagg_carol;
EXECUTE owned;
RESET ROLE;
REVOKE SELECT ON batchagg_store FROM PUBLIC;
SET ROLE regress_batchagg_carol;
EXECUTE lent;
RESET plan_cache_mode;

-- A table of somebody else's that looks like one of ours keeps its policy.
SET ROLE regress_batchagg_bob;
CREATE TABLE lent.batch_jobs (id integer, owner regrole);
ALTER TABLE lent.batch_jobs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY batchagg_owner ON lent.batch_jobs USING (pg_has_role(current_user, owner, 'USAGE'));
INSERT INTO lent.batch_jobs VALUES (1, 'regress_batchagg_bob');
CREATE VIEW lent.RuleExecutionResults WITH (security_invoker) AS SELECT * FROM lent.batch_jobs;
CREATE VIEW lent.of_other AS SELECT * FROM lent.batch_jobs;
CREATE VIEW lent.of_invoker AS SELECT * FROM lent.RuleExecutionResults;
GRANT SELECT ON lent.batch_jobs, lent.RuleExecutionResults, lent.of_other, lent.of_invoker TO regress_batchagg_carol;
SET ROLE regress_batchagg_carol;
SELECT (SELECT count(*) FROM lent.of_other) AS of_other, (SELECT count(*) FROM lent.of_invoker) AS of_invoker;
RESET ROLE;

SET client_min_messages = warning;
DROP SCHEMA lent CASCADE;
DROP EXTENSION batchagg;
DROP ROLE regress_batchagg_alice, regress_batchagg_bob, regress_batchagg_carol;
