-- Marks that no run needs are deleted, whoever comes by: by runs that read the source as
-- a whole, and where there are no runs, by writers.

\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain

SET timezone = 'UTC';
CREATE TABLE v (user_id text, ts timestamptz, stamp timestamptz, n integer);
INSERT INTO v SELECT 'u' || g % 3, '2024-10-07'::timestamptz + g * interval '10 min', '2024-10-07'::timestamptz + g * interval '10 min', g FROM generate_series(0, 99) g;
SELECT batchagg_track_source('v');
-- ANALYZE has a snapshot, for which marks are kept.
ALTER TABLE v SET (autovacuum_enabled = off);
ALTER TABLE batchagg_marks SET (autovacuum_enabled = off);

-- A transaction for each: many hours are many marks.
CREATE PROCEDURE write(times integer) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..times LOOP
		INSERT INTO v SELECT 'w', t, t, 1 FROM generate_series('2020-01-01'::timestamptz, '2020-06-14 15:00', '1 hour') t;
		COMMIT;
		DELETE FROM v WHERE user_id = 'w';
		COMMIT;
	END LOOP;
END $$;

-- A run has deleted the marks; while somebody has a snapshot, another one will.
CREATE PROCEDURE deleted() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..240 LOOP
		EXIT WHEN (SELECT count(*) FROM batchagg_marks) < 10;
		ASSERT i < 240, 'marks are left';
		PERFORM pg_sleep(0.5);
		PERFORM batchagg_run_job(1);
		COMMIT;
	END LOOP;
END $$;

-- Nobody reads the source: 127,000 marks are written, and most are deleted.
CALL write(16);
SELECT count(*) < 100000 FROM batchagg_marks;

-- The job is disabled, and not behind: as before, but what it needs stays.
SELECT batchagg_create_job('EVERYHOUR', 'user', 'v', '{1-hour}', '{"n": "sum,count"}', tablename => 'v');
SELECT status FROM batchagg_run_job(1);
CALL deleted();
UPDATE batch_jobs SET enable_flag = false;
CALL write(3);
SELECT count(*) FROM batchagg_marks WHERE low < '2024-01-01';
UPDATE batch_jobs SET enable_flag = true;
INSERT INTO v VALUES ('u1', '2020-03-01', '2020-03-01', 5);
SELECT status, rows_read, changed FROM batchagg_run_job(1);
CALL deleted();

-- It reads by another time than that which is marked: as a whole, each time.
UPDATE metricsandtables SET time_column = 'stamp';
SELECT status, rows_read FROM batchagg_run_job(1);
CALL write(1);
SELECT status, rows_read FROM batchagg_run_job(1);
CALL deleted();
UPDATE metricsandtables SET time_column = 'ts';
SELECT status, rows_read FROM batchagg_run_job(1);

-- Its tracking is broken.
ALTER TABLE v DISABLE TRIGGER batchagg_mark_delete;
CALL write(1);
SELECT count(*) > 3000 FROM batchagg_marks;
SET client_min_messages = error;
SELECT status, rows_read FROM batchagg_run_job(1);
RESET client_min_messages;
CALL deleted();
SELECT batchagg_track_source('v');

-- More marks than are kept for a job that does not run: writers drop its cursor.
SELECT status, rows_read FROM batchagg_run_job(1);
INSERT INTO batchagg_marks SELECT source_id, pg_current_xact_id(), '2020-01-01', '2020-01-01' FROM batchagg_sources, generate_series(1, 1010000);
SELECT count(*) FROM batchagg_cursors;
CALL write(14);
SELECT count(*) FROM batchagg_cursors;
SELECT count(*) < 1050000 FROM batchagg_marks;
INSERT INTO v VALUES ('u2', '2020-03-01', '2020-03-01', 5);
SELECT status, rows_read FROM batchagg_run_job(1);
CALL deleted();
SELECT * FROM plain.compare(1, $$SELECT * FROM plain.rollup('v', 'user_id', 'date_trunc(''hour'', ts)', 'ts', '{"n": "n"}')$$);

DROP EXTENSION batchagg;
DROP TABLE v;
DROP PROCEDURE write, deleted;
\set ECHO none
DROP SCHEMA plain CASCADE;
