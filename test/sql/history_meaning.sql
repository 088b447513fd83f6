-- Results that outlive their rows (keep_history), where what made groups of rows changes though it is called
-- the same: each row counts once, in all modes, and what has no rows any more stays.
\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain
SET timezone = 'UTC';

-- The same rows in a table for each mode, with a column that nobody needs any more.
CREATE SCHEMA replaced;
CREATE TYPE replaced.who AS ENUM ('u0', 'u1', 'u2');
CREATE TYPE replaced.mood AS ENUM ('good', 'bad');
CREATE FUNCTION replaced.is_low(n float8) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT n < 300';
CREATE PROCEDURE replaced.everywhere(command text) LANGUAGE plpgsql AS $$
DECLARE
	source text;
BEGIN
	FOREACH source IN ARRAY ARRAY['replaced.in_full', 'replaced.in_log', 'replaced.in_snapshot'] LOOP
		EXECUTE replace(command, '%s', source);
	END LOOP;
END $$;
CREATE PROCEDURE replaced.start_with(filter text, definition text DEFAULT '') LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM batch_jobs;
	CALL replaced.everywhere('DROP TABLE IF EXISTS %s');
	CALL replaced.everywhere('CREATE TABLE %s (gone integer, user_id text, digits text, padded char(8), since timestamptz, who replaced.who, ts timestamptz, other_ts timestamptz, here timestamp, '
		'n float8, status text, other_status text, mood replaced.mood)');
	CALL replaced.everywhere('INSERT INTO %s SELECT NULL, ''u'' || g % 3, ''0'' || g % 3, g % 3, ''2024-01-01''::timestamptz + g % 3 * interval ''1 month'', (''u'' || g % 3)::replaced.who, t, t + interval ''40 days'', t::timestamp, g, '
		'CASE WHEN g % 2 = 0 THEN ''a'' ELSE ''b'' END, CASE WHEN g < 200 THEN ''a'' ELSE ''b'' END, CASE WHEN g < 350 THEN ''good'' ELSE ''bad'' END::replaced.mood '
		'FROM generate_series(0, 499) g, LATERAL (SELECT ''2024-10-07 00:00+00''::timestamptz + g * interval ''10 min'') x (t)');
	CALL replaced.everywhere('ALTER TABLE %s DROP gone');
	PERFORM batchagg_create_job('EVERYHOUR', 'user', t, '{1-hour,1-day}', '{"n": "sum,count"}', job_name => t, time_column => 'ts')
	FROM unnest(ARRAY['replaced.in_full', 'replaced.in_log', 'replaced.in_snapshot']) t;
	UPDATE batchjob_definitions SET keep_history = true, resource_filter = filter;
	IF definition <> '' THEN
		EXECUTE 'UPDATE batchjob_definitions SET ' || definition;
	END IF;
	PERFORM batchagg_track_source('replaced.in_log', time_column => time_column), batchagg_track_source('replaced.in_snapshot', 'snapshot', time_column => time_column)
	FROM (SELECT DISTINCT time_column FROM batchjob_definitions) d;
	PERFORM batchagg_run_job(id) FROM batch_jobs;
END $$;
-- Runs all jobs; how many results of each differ from plain SQL, and what a verification doubts.
CREATE FUNCTION replaced.run(OUT full_ bigint, OUT log bigint, OUT snapshot bigint, OUT doubted bigint) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM batchagg_run_job(id) FROM batch_jobs;
	SELECT sum(c.different) FILTER (WHERE d.entity LIKE '%full'), sum(c.different) FILTER (WHERE d.entity LIKE '%log'),
		   sum(c.different) FILTER (WHERE d.entity LIKE '%snapshot')
	INTO full_, log, snapshot
	FROM batchjob_definitions d, plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, ''{"n": "n"}'', %L)', d.entity,
		coalesce(d.id_column, 'user_id') || '::text',
		format('batchagg_bucket(%L, (%s)::timestamptz, %L)', d.granularity, CASE WHEN d.time_column = 'here' THEN 'here AT TIME ZONE ' || quote_literal(d.timezone) ELSE d.time_column END, d.timezone),
		d.time_column, coalesce(d.resource_filter, 'true'))) c;
	SELECT count(*) INTO doubted FROM batch_jobs j, batchagg_verify_job(j.id);
END $$;

-- Columns of a filter trade their names; labels do; a function is redefined.
CALL replaced.start_with('status = ''a''');
SELECT * FROM replaced.run();
BEGIN;
CALL replaced.everywhere('ALTER TABLE %s RENAME status TO was');
CALL replaced.everywhere('ALTER TABLE %s RENAME other_status TO status');
COMMIT;
SELECT * FROM replaced.run();
CALL replaced.start_with('mood = ''good''');
BEGIN;
ALTER TYPE replaced.mood RENAME VALUE 'good' TO 'fine';
ALTER TYPE replaced.mood RENAME VALUE 'bad' TO 'good';
COMMIT;
SELECT * FROM replaced.run();
ALTER TYPE replaced.mood RENAME VALUE 'good' TO 'bad';
ALTER TYPE replaced.mood RENAME VALUE 'fine' TO 'good';
CALL replaced.start_with('replaced.is_low(n)');
CREATE OR REPLACE FUNCTION replaced.is_low(n float8) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT n < 100';
SELECT * FROM replaced.run();

-- Labels of ids.
CALL replaced.start_with(NULL, 'id_column = ''who''');
ALTER TYPE replaced.who RENAME VALUE 'u1' TO 'z1';
SELECT * FROM replaced.run();

ALTER TYPE replaced.who RENAME VALUE 'z1' TO 'u1';

-- The type of ids, which print otherwise then.
CALL replaced.start_with(NULL, 'id_column = ''digits''');
ALTER TABLE replaced.in_full ALTER digits TYPE integer USING digits::integer;
SELECT * FROM replaced.run();

-- Another time column, and one that is called like the former.
CALL replaced.start_with(NULL);
UPDATE batchjob_definitions SET time_column = 'other_ts';
SELECT * FROM replaced.run();
CALL replaced.start_with(NULL);
BEGIN;
CALL replaced.everywhere('ALTER TABLE %s RENAME ts TO was');
CALL replaced.everywhere('ALTER TABLE %s RENAME other_ts TO ts');
COMMIT;
SELECT * FROM replaced.run();

-- Local times, in another zone.
CALL replaced.start_with(NULL, 'time_column = ''here'', timezone = ''Asia/Tokyo''');
SELECT * FROM replaced.run();
UPDATE batchjob_definitions SET timezone = 'America/New_York';
SELECT * FROM replaced.run();

-- Ids whose text has no blanks that the value has, or depends on the zone.
CALL replaced.start_with(NULL, 'id_column = ''padded''');
UPDATE batchjob_definitions SET timezone = 'Asia/Kolkata';
SELECT * FROM replaced.run();
UPDATE batchjob_definitions SET resource_filter = 'n < 100';
SELECT * FROM replaced.run();
CALL replaced.start_with(NULL, 'id_column = ''since''');
UPDATE batchjob_definitions SET timezone = 'Asia/Kolkata';
SET timezone = 'Asia/Kolkata';
SET DateStyle = 'ISO, YMD';
SELECT * FROM replaced.run();
SET timezone = 'UTC';

-- What is no change of meaning takes nothing away: more labels, a column that is renamed.
CALL replaced.start_with(NULL, 'id_column = ''who''');
CALL replaced.everywhere('DELETE FROM %s WHERE who = ''u2'' AND ts < ''2024-10-08 00:30+00''');
SELECT batchagg_run_job(id) IS NOT NULL FROM batch_jobs;
CREATE TABLE replaced.kept AS
	SELECT definition_id, entity_id, "timestamp", aggregation_type, metric_value FROM RuleExecutionResults;
CREATE VIEW replaced.lost AS
	TABLE replaced.kept EXCEPT SELECT definition_id, entity_id, "timestamp", aggregation_type, metric_value FROM RuleExecutionResults;
ALTER TYPE replaced.who ADD VALUE 'u4' BEFORE 'u2';
SELECT batchagg_run_job(id) IS NOT NULL FROM batch_jobs;
TABLE replaced.lost;
CALL replaced.everywhere('ALTER TABLE %s RENAME who TO whose');
UPDATE batchjob_definitions SET id_column = 'whose';
SELECT batchagg_run_job(id) IS NOT NULL FROM batch_jobs;
TABLE replaced.lost;

SET client_min_messages = warning;
CALL replaced.everywhere('DROP TABLE %s');
DROP SCHEMA replaced, plain CASCADE;
DROP EXTENSION batchagg CASCADE;
