-- What a second run writes: nothing where nothing has changed, else exactly
-- what has, whatever it was that changed.
\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain
SET DateStyle = ISO;
ALTER TABLE batchagg_store SET (autovacuum_enabled = false);
ALTER TABLE batchagg_layouts SET (autovacuum_enabled = false);
ALTER TABLE batchagg_positions SET (autovacuum_enabled = false);

CREATE TABLE visits (user_id text, ts timestamptz, pages integer, seconds float8, status text);
INSERT INTO visits
SELECT 'u' || i % 5, '2024-01-01 00:00+00'::timestamptz + i * interval '7 minutes', i % 101, CASE WHEN i % 4 > 0 THEN i % 50 / 4.0 END,
	   CASE WHEN i % 3 > 0 THEN 'active' ELSE 'idle' END
FROM generate_series(1, 2000) i;
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (1, 'user', 'visits', '1-hour'), (1, 'user', 'visits', '1-day');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (1, 'pages', 'sum,count,max'), (1, 'seconds', 'avg,count,p95');

-- Compares with plain SQL, by the definitions as they are now.
CREATE VIEW verdict AS
SELECT d.id, d.granularity, c.*
FROM batchjob_definitions d,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L, %L)', 'visits',
		CASE d.focal_entity WHEN '*' THEN '''*''' ELSE 'user_id' END,
		format('date_trunc(%L, ts, %L)', split_part(d.granularity, '-', 2), d.timezone), 'ts',
		'{"pages": "pages", "seconds": "seconds"}', replace(coalesce(d.resource_filter, 'true'), '"', ''''))) c;

-- The rows as they lie there, to see which of them a run has touched.
CREATE TABLE before AS SELECT ctid AS place, xmin::text AS writer, s.* FROM batchagg_store s LIMIT 0;
CREATE PROCEDURE remember() LANGUAGE sql AS $$
	DELETE FROM before;
	INSERT INTO before SELECT ctid, xmin::text, s.* FROM batchagg_store s;
$$;
CREATE VIEW touched AS
SELECT count(*) FILTER (WHERE b.layout_id IS NULL) AS inserted, count(*) FILTER (WHERE s.layout_id IS NULL) AS deleted,
	   count(*) FILTER (WHERE s.writer <> b.writer OR s.place <> b.place) AS updated,
	   count(*) FILTER (WHERE s.writer = b.writer AND s.place = b.place AND s.updated_at = b.updated_at) > 0 AS others
FROM before b FULL JOIN (SELECT ctid AS place, xmin::text AS writer, s.* FROM batchagg_store s) s USING (layout_id, bucket, entity_id);
CREATE VIEW activity AS
SELECT relname, n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del, n_dead_tup, pg_relation_size(relid) AS size,
	   pg_indexes_size(relid) AS index_size
FROM pg_stat_user_tables WHERE relname IN ('batchagg_store', 'batchagg_layouts', 'batchagg_positions');

SELECT status, groups, changed FROM batchagg_run_job(1);
SELECT * FROM verdict ORDER BY id;

-- Nothing has changed: no row is written, no page is added, nothing is dead.
CALL remember();
CREATE TABLE layouts_before AS SELECT ctid AS place, xmin::text AS writer, l.* FROM batchagg_layouts l;
SELECT pg_stat_force_next_flush();
CREATE TABLE activity_before AS TABLE activity;
SELECT status, rows_read, groups, changed FROM batchagg_run_job(1);
SELECT status, changed FROM batchagg_run_job(1, true);
SELECT status, changed FROM batchagg_run_job(1);
SELECT * FROM touched;
SELECT pg_stat_force_next_flush();
TABLE activity EXCEPT TABLE activity_before;
SELECT ctid AS place, xmin::text AS writer, l.* FROM batchagg_layouts l EXCEPT TABLE layouts_before;
SELECT count(*) FROM batchagg_runs;
-- nor when the source was rewritten, with the same rows in another order
CREATE TABLE copy AS TABLE visits ORDER BY random();
TRUNCATE visits;
INSERT INTO visits TABLE copy;
DROP TABLE copy;
VACUUM FULL visits;
SELECT status, changed FROM batchagg_run_job(1);
SELECT * FROM touched;
DROP TABLE layouts_before, activity_before;

-- Rows: late, backdated, in new groups, updated, moved, deleted; each changes
-- only the rows of its own groups.
INSERT INTO visits VALUES ('u1', '2024-01-03 10:30+00', 1, NULL, 'active');
SELECT status, changed FROM batchagg_run_job(1, true);
SELECT status, changed FROM batchagg_run_job(1);
SELECT * FROM touched;
SELECT * FROM verdict ORDER BY id;
CALL remember();
INSERT INTO visits VALUES ('new', '2024-01-03 10:30+00', 1, 1, 'active'), ('u1', '1999-12-31 23:59+00', 1, 1, 'active');
SELECT status, changed, "from" AT TIME ZONE 'UTC' AS "from" FROM batchagg_run_job(1);
SELECT * FROM touched;
SELECT * FROM verdict ORDER BY id;
CALL remember();
UPDATE visits SET pages = pages + 1 WHERE user_id = 'u2' AND ts >= '2024-01-04 00:00+00' AND ts < '2024-01-04 02:00+00';
SELECT status, changed FROM batchagg_run_job(1);
SELECT * FROM touched;
SELECT * FROM verdict ORDER BY id;
CALL remember();
-- from one hour to another of the same day, with the same sum of the day
UPDATE visits SET ts = ts + interval '1 hour' WHERE user_id = 'u3' AND ts = (SELECT min(ts) FROM visits WHERE user_id = 'u3');
SELECT status, changed FROM batchagg_run_job(1);
SELECT * FROM touched;
SELECT * FROM verdict ORDER BY id;
CALL remember();
-- whole groups go, first and last ones among them
DELETE FROM visits WHERE user_id = 'u4' OR ts < '2024-01-01 00:00+00' OR ts >= '2024-01-10 00:00+00';
SELECT status, changed FROM batchagg_run_job(1, true);
SELECT status, changed FROM batchagg_run_job(1);
SELECT * FROM touched;
SELECT * FROM verdict ORDER BY id;
CALL remember();
-- to NULL: of two metrics one is left, with counts of their own
UPDATE visits SET seconds = NULL WHERE user_id = 'u0';
UPDATE visits SET user_id = NULL WHERE user_id = 'u1';
SELECT status, rows_skipped > 0 AS skipped, changed FROM batchagg_run_job(1);
SELECT * FROM verdict ORDER BY id;
-- and a change of the text of an id is one of the group
UPDATE visits SET user_id = upper(user_id) WHERE user_id = 'u2';
SELECT status FROM batchagg_run_job(1);
SELECT * FROM verdict ORDER BY id;

-- An update that finds room on its page is heap-only: no index is touched.
VACUUM (FREEZE) batchagg_store;
SELECT pg_stat_force_next_flush();
SELECT n_tup_upd AS updated, n_tup_hot_upd AS hot, n_tup_ins AS inserted FROM activity WHERE relname = 'batchagg_store' \gset
DELETE FROM visits WHERE user_id = 'u3' AND ts >= '2024-01-02 00:00+00';
SELECT status FROM batchagg_run_job(1);
VACUUM batchagg_store;
UPDATE visits SET pages = pages + 1 WHERE user_id = 'u3';
SELECT status, changed > 0 AS changed FROM batchagg_run_job(1);
SELECT pg_stat_force_next_flush();
SELECT n_tup_hot_upd > :hot AS hot, n_tup_ins - :inserted AS inserted FROM activity WHERE relname = 'batchagg_store';

-- A metric more, one less, other aggregates.  Old results are gone.
INSERT INTO visits SELECT 'u' || i % 5, '2024-02-01 00:00+00'::timestamptz + i * interval '7 minutes', i % 101, i % 50 / 4.0, 'active'
FROM generate_series(1, 500) i;
SELECT status FROM batchagg_run_job(1);
DELETE FROM batchjob_metrics WHERE metric_name = 'seconds';
SELECT status, groups, changed = groups AS all FROM batchagg_run_job(1);
SELECT DISTINCT definition_id, metric_name, aggregation_type, result_name FROM RuleExecutionResults ORDER BY 1, 2, 3;
SELECT * FROM verdict ORDER BY id;
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (1, 'seconds', 'first');
UPDATE batchjob_metrics SET aggregation_types = 'max,sum,p5,delta' WHERE metric_name = 'pages';
SELECT status, changed FROM batchagg_run_job(1, true);
SELECT status, groups, changed = groups AS all FROM batchagg_run_job(1);
SELECT DISTINCT definition_id, metric_name, aggregation_type, result_name FROM RuleExecutionResults ORDER BY 1, 2, 3;
SELECT * FROM verdict ORDER BY id;
-- the same in another order means other places
UPDATE batchjob_metrics SET aggregation_types = 'sum,max,p5,delta' WHERE metric_name = 'pages';
SELECT status FROM batchagg_run_job(1);
SELECT * FROM verdict ORDER BY id;
-- a metric under another name is another metric
UPDATE batchjob_metrics SET metric_name = 'Pages' WHERE metric_name = 'pages';
SELECT status FROM batchagg_run_job(1);
SELECT DISTINCT metric_name, result_name FROM RuleExecutionResults ORDER BY 1, 2;
UPDATE batchjob_metrics SET metric_name = 'pages' WHERE metric_name = 'Pages';

-- The definition: granularity, zone, filter, focal entity, delay, another one
-- beside it, one less.
UPDATE batchjob_definitions SET granularity = '1-week' WHERE id = 2;
SELECT status FROM batchagg_run_job(1);
SELECT DISTINCT definition_id, granularity, result_name FROM RuleExecutionResults ORDER BY 1, 3;
SELECT * FROM verdict ORDER BY id;
UPDATE batchjob_definitions SET timezone = 'Asia/Kolkata' WHERE id = 2;
SELECT status FROM batchagg_run_job(1);
SELECT * FROM verdict ORDER BY id;
UPDATE batchjob_definitions SET resource_filter = 'status = "active"';
SELECT status FROM batchagg_run_job(1);
SELECT * FROM verdict ORDER BY id;
UPDATE batchjob_definitions SET resource_filter = NULL WHERE id = 1;
SELECT status FROM batchagg_run_job(1);
SELECT * FROM verdict ORDER BY id;
UPDATE batchjob_definitions SET focal_entity = '*' WHERE id = 1;
SELECT status FROM batchagg_run_job(1);
SELECT DISTINCT definition_id, focal_entity, entity_id FROM RuleExecutionResults WHERE definition_id = 1;
SELECT * FROM verdict ORDER BY id;
UPDATE batchjob_definitions SET job_delay = 1000000 WHERE id = 1;
SELECT status FROM batchagg_run_job(1);
SELECT id, stored FROM verdict ORDER BY id;
UPDATE batchjob_definitions SET job_delay = 0 WHERE id = 1;
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, resource_filter) VALUES (1, 'user', 'visits', '1-week', 'pages > 50');
SELECT status FROM batchagg_run_job(1);
SELECT * FROM verdict ORDER BY id;
DELETE FROM batchjob_definitions WHERE id = 2;
SELECT DISTINCT definition_id FROM RuleExecutionResults ORDER BY 1;
SELECT status, changed FROM batchagg_run_job(1);

-- The mapping: to another table, to another column of it.
CREATE TABLE other AS SELECT user_id AS who, ts, pages * 2 AS pages, pages * 3 AS leaves FROM visits;
UPDATE batchjob_definitions SET entity = 'a label' WHERE job_id = 1;
INSERT INTO metricsandtables (metricname, tablename, id_column) VALUES ('pages', 'other', 'who'), ('seconds', 'visits', NULL);
SELECT status FROM batchagg_run_job(1);
SELECT DISTINCT source FROM batchagg_layouts ORDER BY 1;
SELECT c.* FROM plain.compare(3, $$
	SELECT * FROM plain.rollup('other', 'who', 'date_trunc(''week'', ts, ''UTC'')', 'ts', '{"pages": "pages"}', 'pages > 50')
	UNION ALL
	SELECT * FROM plain.rollup('visits', 'user_id', 'date_trunc(''week'', ts, ''UTC'')', 'ts', '{"seconds": "seconds"}', 'pages > 50')$$) c;
UPDATE metricsandtables SET metric_column = 'leaves' WHERE metricname = 'pages';
SELECT status, changed > 0 AS changed FROM batchagg_run_job(1);
SELECT c.* FROM plain.compare(3, $$
	SELECT * FROM plain.rollup('other', 'who', 'date_trunc(''week'', ts, ''UTC'')', 'ts', '{"pages": "leaves"}', 'pages > 50')
	UNION ALL
	SELECT * FROM plain.rollup('visits', 'user_id', 'date_trunc(''week'', ts, ''UTC'')', 'ts', '{"seconds": "seconds"}', 'pages > 50')$$) c;
DELETE FROM metricsandtables;
UPDATE batchjob_definitions SET entity = 'visits' WHERE job_id = 1;
SELECT status FROM batchagg_run_job(1);
SELECT DISTINCT source FROM batchagg_layouts ORDER BY 1;
SELECT * FROM verdict ORDER BY id;

-- A dry run writes nothing at all, of a job without results as of one whose
-- results are all wrong, and says what would change.
UPDATE visits SET pages = pages + 1;
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (2, 'user', 'visits', '1-day');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (2, 'pages', 'sum');
CALL remember();
CREATE TABLE all_before AS
SELECT (SELECT count(*) FROM batchagg_layouts) AS layouts, (SELECT count(*) FROM batchagg_positions) AS positions,
	   (SELECT count(*) FROM batchagg_runs) AS runs, pg_relation_size('batchagg_store') AS size;
BEGIN READ ONLY;
SELECT changed AS changed1 FROM batchagg_run_job(1, true) \gset
SELECT changed AS changed2 FROM batchagg_run_job(2, dry_run => true) \gset
SELECT run_id, status, groups > 0 AS groups, results > 0 AS results, changed = groups AS all_new FROM batchagg_run_job(2, true);
COMMIT;
SELECT inserted, deleted, updated FROM touched;
TABLE all_before EXCEPT
SELECT (SELECT count(*) FROM batchagg_layouts), (SELECT count(*) FROM batchagg_positions), (SELECT count(*) FROM batchagg_runs), pg_relation_size('batchagg_store');
SELECT changed = :changed1 AS as_predicted FROM batchagg_run_job(1);
SELECT changed = :changed2 AS as_predicted FROM batchagg_run_job(2);

-- Runs in one transaction see each other's results; one that is rolled back
-- leaves nothing.
BEGIN;
UPDATE visits SET pages = pages + 1;
SELECT changed > 0 AS changed FROM batchagg_run_job(2);
SELECT changed FROM batchagg_run_job(2);
DELETE FROM visits WHERE user_id = 'u0';
SAVEPOINT s;
SELECT changed > 0 AS changed FROM batchagg_run_job(2);
ROLLBACK TO s;
SELECT changed > 0 AS changed FROM batchagg_run_job(2);
SELECT stored = expected AS as_many, different FROM verdict WHERE id = 4;
ROLLBACK;
SELECT changed FROM batchagg_run_job(2);
SELECT stored = expected AS as_many, different FROM verdict WHERE id = 4;

-- A definition that goes over to another job takes its results along.
UPDATE batchjob_definitions SET job_id = 2 WHERE id = 3;
SELECT DISTINCT job_id, definition_id FROM RuleExecutionResults ORDER BY 1, 2;
UPDATE batchjob_definitions SET job_id = 1 WHERE id = 3;

-- A job that is deleted takes its results and its history along.
DELETE FROM batch_jobs WHERE id = 1;
SELECT DISTINCT job_id FROM RuleExecutionResults;
SELECT DISTINCT job_id FROM batchagg_runs;
DELETE FROM batch_jobs;
SELECT count(*) FROM batchagg_store;
SELECT count(*) FROM batchagg_layouts;

DROP VIEW verdict, touched, activity;
DROP SCHEMA plain CASCADE;
DROP EXTENSION batchagg;
DROP TABLE visits, other, all_before, before;
DROP PROCEDURE remember;
