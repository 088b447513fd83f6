-- All that is done with one job takes its id or its name.
CREATE EXTENSION batchagg;
SET TimeZone = 'UTC';
CREATE TABLE kpi (cell_id text, ts timestamptz, load float8);
INSERT INTO kpi SELECT 'c' || i % 2, '2024-10-07'::timestamptz + i * interval '1 hour', i FROM generate_series(0, 47) i;
SELECT batchagg_create_job('EVERYHOUR', 'cell', 'kpi', '{1-hour,1-day}', '{"load": "sum"}', job_name => 'cell kpi') AS job \gset
INSERT INTO batch_jobs (event_name, job_name) VALUES ('EVERYHOUR', '7'), ('EVERYHOUR', 'Cell KPI, weekly'), ('EVERYHOUR', NULL);

-- A literal without a type is a name; names and ids by the names of the arguments.
SELECT * FROM batchagg_validate_job('cell kpi');
SELECT status, changed FROM batchagg_run_job('cell kpi');
SELECT status, changed FROM batchagg_run_job(job_name => 'cell kpi', dry_run => true);
SELECT status, changed FROM batchagg_run_job(job_id => :job);
SELECT count(*) > 0 AS explained FROM batchagg_explain_job('cell kpi');
SELECT count(*) > 0 AS explained FROM batchagg_explain_job(job_name => 'cell kpi');
SELECT count(*) > 0 AS explained FROM batchagg_explain_job(job_id => :job);
SELECT * FROM batchagg_validate_job(job_name => 'cell kpi');
SELECT * FROM batchagg_validate_job(job_id => :job);
UPDATE kpi SET load = 100 WHERE load = 5;
SELECT definition_id, "timestamp", stored, computed FROM batchagg_verify_job('cell kpi') ORDER BY 1;
SELECT count(*) FROM batchagg_verify_job('cell kpi', '2024-10-08');
SELECT count(*) FROM batchagg_verify_job(job_name => 'cell kpi', "to" => '2024-10-07 05:00');
SELECT count(*) FROM batchagg_verify_job(job_id => :job, "from" => '2024-10-07', "to" => NULL);
CALL batchagg_backfill('cell kpi', '2024-10-08');
CALL batchagg_backfill(job_name => 'cell kpi', piece => '1 day', newest_first => false);
CALL batchagg_backfill(job_id => :job, "from" => '2024-10-07', "to" => '2024-10-08');
SELECT count(*) FROM batchagg_verify_job('cell kpi');
-- Also of other string types, and as parameters.
SELECT count(*) FROM batchagg_validate_job('cell kpi'::varchar);
SELECT count(*) FROM batchagg_validate_job('cell kpi'::name);
SELECT count(*) FROM batchagg_validate_job(1::smallint);
PREPARE validate AS SELECT count(*) FROM batchagg_validate_job($1);
EXECUTE validate('cell kpi');
SELECT j.job_name, v.message FROM batch_jobs j, LATERAL batchagg_validate_job(j.job_name) v ORDER BY 1, 2;
SELECT j.id, v.message FROM batch_jobs j, LATERAL batchagg_validate_job(j.id) v ORDER BY 1, 2;
-- Digits in quotes are a name.
SELECT message FROM batchagg_validate_job('7');

-- Unknown jobs, with the same words for all.
SELECT * FROM batchagg_run_job('cel kpi');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM batchagg_explain_job('CELL KPI');
SELECT * FROM batchagg_validate_job('cell_kpi');
SELECT * FROM batchagg_verify_job('kpi');
CALL batchagg_backfill('cell kpis');
SELECT * FROM batchagg_explain_job('');
SELECT * FROM batchagg_explain_job('1');
SELECT * FROM batchagg_explain_job('99');
SELECT * FROM batchagg_explain_job(99);
\echo :LAST_ERROR_SQLSTATE
-- NULLs.
SELECT * FROM batchagg_run_job(NULL);
SELECT * FROM batchagg_explain_job(NULL);
SELECT * FROM batchagg_validate_job(NULL);
SELECT * FROM batchagg_verify_job(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM batchagg_verify_job(NULL::integer);
CALL batchagg_backfill(NULL);
CALL batchagg_backfill(job_id => NULL);

-- A new name counts at once.
UPDATE batch_jobs SET job_name = 'kpi of cells' WHERE id = :job;
SELECT count(*) FROM batchagg_validate_job('kpi of cells');
SELECT count(*) FROM batchagg_validate_job('cell kpi');

-- Each has a comment.
SELECT p.oid::regprocedure AS function, obj_description(p.oid, 'pg_proc') IS NOT NULL AS comment, p.proacl AS privileges
FROM pg_proc p WHERE p.proname ~ '^batchagg_(run_job|explain_job|validate_job|verify_job|backfill)$'
ORDER BY p.oid::regprocedure::text COLLATE "C";

DROP EXTENSION batchagg;
DROP TABLE kpi;
