-- The small tables that RuleExecutionResults joins to the store have statistics from
-- a job's first run on; later runs do not gather them again.

-- What an interrupted run may have left.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_runner;
RESET client_min_messages;
CREATE EXTENSION batchagg;
ALTER TABLE batch_jobs SET (autovacuum_enabled = off);
ALTER TABLE batchagg_layouts SET (autovacuum_enabled = off);
ALTER TABLE batchagg_positions SET (autovacuum_enabled = off);
CREATE TABLE visits (user_id text, ts timestamptz, pages integer, seconds integer);
INSERT INTO visits SELECT 'u' || i % 3, '2024-10-07'::timestamptz + i * interval '1 hour', i, i FROM generate_series(0, 99) i;
CREATE VIEW statistics AS
SELECT c.relname, c.reltuples, (SELECT count(*) > 0 FROM pg_stats s WHERE s.schemaname = 'public' AND s.tablename = c.relname) AS has_statistics
FROM pg_class c WHERE c.oid IN ('batch_jobs'::regclass, 'batchagg_layouts'::regclass, 'batchagg_positions'::regclass) ORDER BY 1;
-- The transaction that wrote the statistics: another one each time that they are written.
CREATE VIEW written AS
SELECT max(s.xmin::text::bigint) AS xid FROM pg_statistic s WHERE s.starelid IN ('batchagg_layouts'::regclass, 'batchagg_positions'::regclass);
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{1-hour,1-day}', '{"pages": "sum,max"}') AS job \gset

SELECT status FROM batchagg_run_job(:job, dry_run => true);
SELECT * FROM statistics;
SELECT status FROM batchagg_run_job(:job);
SELECT * FROM statistics;
SELECT xid AS first FROM written \gset
-- Runs that make and drop no layouts, whether they write results or not.
SELECT status, changed > 0 AS changed FROM batchagg_run_job(:job);
UPDATE visits SET pages = pages + 1;
SELECT status, changed > 0 AS changed FROM batchagg_run_job(:job);
SELECT xid = :first AS unchanged FROM written;
-- A layout that is made in place of another, and one that is dropped.
INSERT INTO batchjob_metrics VALUES (:job, 'seconds', 'sum');
SELECT status FROM batchagg_run_job(:job);
SELECT * FROM statistics;
SELECT xid > :first AS changed, xid AS second FROM written \gset
\echo :changed
DELETE FROM batchjob_definitions WHERE granularity = '1-day';
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (:job, 'user', 'visits', '1-week');
SELECT status FROM batchagg_run_job(:job);
SELECT * FROM statistics;

-- Whoever runs it, in which transaction and place of the search_path ever.
CREATE ROLE regress_batchagg_runner;
GRANT SELECT ON visits TO regress_batchagg_runner;
SET ROLE regress_batchagg_runner;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{1-month}', '{"pages": "sum"}', job_name => 'theirs') AS job \gset
CREATE TEMP TABLE batchagg_layouts (mine integer);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SET LOCAL search_path = pg_temp, public;
SELECT status FROM batchagg_run_job('theirs');
COMMIT;
RESET ROLE;
DROP TABLE pg_temp.batchagg_layouts;
SELECT * FROM statistics;
-- Together with others, and in a subtransaction that fails.
INSERT INTO batch_jobs (event_name) VALUES ('EVERYDAY'), ('EVERYDAY'), ('EVERYDAY');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity)
SELECT id, CASE WHEN row_number() OVER (ORDER BY id) = 2 THEN 'nobody' ELSE 'user' END, 'visits', '2-hour' FROM batch_jobs WHERE event_name = 'EVERYDAY';
INSERT INTO batchjob_metrics SELECT id, 'pages', 'sum' FROM batch_jobs WHERE event_name = 'EVERYDAY';
\set VERBOSITY terse
SELECT status FROM batchagg_run_event('EVERYDAY');
\set VERBOSITY default
SELECT * FROM statistics;

DROP VIEW statistics, written;
DROP EXTENSION batchagg;
DROP TABLE visits;
DROP ROLE regress_batchagg_runner;
