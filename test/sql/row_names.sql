-- Row layout: which name the rows have a metric by.  The metric's own wins, else the only one that
-- differs by case, or by "." and "_"; two others are an error.  It depends on the rows that there
-- are at a run, in all modes.
CREATE EXTENSION batchagg;
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- Three names that are one but for case and dots.
CREATE TABLE kpi (cell_id text, ts timestamptz, name text, value float8);
INSERT INTO kpi VALUES ('a', '2024-10-07 09:00', 'cpu.load', 1), ('a', '2024-10-07 09:10', 'cpu_load', 2), ('a', '2024-10-07 09:20', 'CPU.Load', 4);
CREATE FUNCTION results() RETURNS SETOF text LANGUAGE sql AS
$$ SELECT concat_ws(' ', job_id, metric_name, aggregation_type, metric_value) FROM RuleExecutionResults ORDER BY 1 $$;
SELECT batchagg_create_job('EVERYHOUR', 'cell', 'kpi', '{1-hour,1-day}', jsonb_build_object(m, 'sum')) AS job
FROM unnest('{cpu.load,cpu_load,CPU.Load}'::text[]) m;
-- Together they share a scan, and not a metric.
SELECT status FROM batchagg_run_all();
SELECT results();
-- None is the metric's own.
SELECT batchagg_create_job('EVERYHOUR', 'cell', 'kpi', '{1-hour}', '{"CPU_LOAD": "sum"}') AS other \gset
SELECT status FROM batchagg_run_job(:other);
SELECT status FROM batchagg_run_job(:other, dry_run => true);
SELECT job_id, status FROM batchagg_run_event('EVERYHOUR') ORDER BY 1;
DELETE FROM kpi WHERE name = 'cpu_load';
SELECT status FROM batchagg_run_job(:other);
-- The filter decides which rows count.
UPDATE batchjob_definitions SET resource_filter = 'name <> "cpu.load"' WHERE job_id = :other;
SELECT status FROM batchagg_run_job(:other);
SELECT item, value FROM batchagg_explain_job(:other) WHERE item = 'metrics';
SELECT count(*) FROM batchagg_verify_job(:other);
SELECT results();
-- Rows without an id or a time do not count, as ever.
INSERT INTO kpi VALUES (NULL, '2024-10-07 09:00', 'Cpu.Load', 8), ('a', NULL, 'Cpu.Load', 8), ('a', 'infinity', 'Cpu.Load', 8);
SELECT status FROM batchagg_run_job(:other);
-- A metric that no row has is told of, once a run, whatever else it says.
SELECT batchagg_create_job('EVERYHOUR', 'cell', 'kpi', '{1-hour,1-day}', '{"cpu.lod": "sum", "cpu.load": "sum"}') AS misspelt \gset
SELECT status FROM batchagg_run_job(:misspelt);
UPDATE batchjob_definitions SET resource_filter = 'value > 0' WHERE job_id = :misspelt;
SELECT status FROM batchagg_run_job(:misspelt);
SELECT count(*) FROM batchagg_verify_job(:misspelt);
DELETE FROM batch_jobs;
DELETE FROM metricsandtables;

-- Types whose equal values can be different texts; names are told by their bytes.
DO $$ BEGIN
	CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
EXCEPTION WHEN feature_not_supported THEN	-- a server without ICU
	CREATE COLLATION caseless FROM "C";
END $$;
CREATE TABLE caseless_kpi (cell_id text, ts timestamptz, name text COLLATE caseless, value float8);
CREATE TABLE padded_kpi (cell_id text, ts timestamptz, name char(12), value float8);
INSERT INTO caseless_kpi VALUES ('a', '2024-10-07 09:00', 'CPU.load', 2), ('a', '2024-10-07 09:00', 'cpu.load', 1);
INSERT INTO padded_kpi SELECT * FROM caseless_kpi;
SELECT batchagg_create_job('EVERYHOUR', 'cell', t, '{1-hour}', '{"cpu.load": "sum"}') AS job FROM unnest('{caseless_kpi,padded_kpi}'::text[]) t;
SELECT status FROM batchagg_run_all();
SELECT results();
DELETE FROM batch_jobs;
DELETE FROM metricsandtables;

-- Labels of an enum are names too, and are renamed without a row being written.
CREATE TYPE label AS ENUM ('CPU', 'Cpu.', 'mem');
CREATE TABLE labelled (cell_id text, ts timestamptz, name label, value float8);
INSERT INTO labelled VALUES ('a', '2024-10-07 09:00', 'CPU', 1), ('a', '2024-10-07 09:00', 'mem', 2);
SELECT batchagg_create_job('EVERYHOUR', 'cell', 'labelled', '{1-hour}', '{"cpu": "sum"}') AS job;
SELECT batchagg_track_source('labelled', 'log');
SELECT status FROM batchagg_run_all();
ALTER TYPE label RENAME VALUE 'CPU' TO 'was';
ALTER TYPE label RENAME VALUE 'mem' TO 'cpu';
SELECT status FROM batchagg_run_all();
SELECT results();
DELETE FROM batch_jobs;
DELETE FROM metricsandtables;

-- The same rows in each mode, by jobs that can be added to and that cannot.
CREATE TABLE in_full (cell_id text, ts timestamptz, name text, value float8, area text);
CREATE TABLE by_log (LIKE in_full);
CREATE TABLE by_snapshot (LIKE in_full);
CREATE TABLE local_log (cell_id text, ts timestamp, name text, value float8, area text);
CREATE TABLE jobs (source text, job integer, metric text, filter text);
CREATE FUNCTION fold(n text) RETURNS text LANGUAGE sql IMMUTABLE RETURN replace(lower(n), '.', '_');
CREATE PROCEDURE everywhere(statement text) LANGUAGE plpgsql AS $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY '{in_full,by_log,by_snapshot,local_log}'::text[] LOOP
		EXECUTE format(statement, t);
	END LOOP;
END $$;
-- What a job's results should be; NULL where it cannot be told which name is meant.
CREATE FUNCTION expected(j jobs, unit text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	result jsonb;
BEGIN
	EXECUTE format('WITH r AS (SELECT cell_id, date_trunc(%L, ts::timestamptz) AS bucket, name, value FROM %I WHERE (%s) AND ts <= now()),
		n AS (SELECT DISTINCT name FROM %I WHERE (%s) AND fold(name) = fold(%L)),
		c AS (SELECT CASE WHEN bool_or(name = %L) THEN %L WHEN count(*) = 1 THEN min(name) END AS name, count(*) AS n FROM n),
		g AS (SELECT cell_id, bucket, sum(value) AS s, count(value) AS c FROM r WHERE name = (SELECT name FROM c) GROUP BY 1, 2)
		SELECT CASE WHEN c.n > 1 AND c.name IS NULL THEN NULL
		ELSE coalesce((SELECT jsonb_agg(jsonb_build_array(cell_id, bucket, s) ORDER BY cell_id, bucket) FROM g), ''[]'') END FROM c',
		unit, j.source, j.filter, j.source, j.filter, j.metric, j.metric, j.metric) INTO result;
	RETURN result;
END $$;
CREATE FUNCTION stored(definition integer) RETURNS jsonb LANGUAGE sql AS $$
	SELECT coalesce(jsonb_agg(jsonb_build_array(entity_id, "timestamp", metric_value) ORDER BY entity_id, "timestamp"), '[]')
	FROM RuleExecutionResults WHERE definition_id = definition AND aggregation_type = 'sum' $$;
-- Runs all jobs, and says of each source how many definitions are right, wrong, and could not be told.
CREATE FUNCTION run(OUT source text, OUT exact bigint, OUT wrong bigint, OUT failed bigint, OUT in_full bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL client_min_messages = error;
	CREATE TEMP TABLE wholly ON COMMIT DROP AS
		SELECT job, count(*) AS n FROM jobs, batchagg_explain_job(job) e WHERE item = 'mode' AND value LIKE '%now everything is%'
		AND EXISTS (SELECT FROM jobs o WHERE o.job = jobs.job AND expected(o, 'day') IS NOT NULL) GROUP BY job;
	CREATE TEMP TABLE runs ON COMMIT DROP AS SELECT * FROM batchagg_run_all();
	RETURN QUERY SELECT j.source,
		count(*) FILTER (WHERE r.status = 'succeeded' AND stored(d.id) = expected(j, split_part(d.granularity, '-', 2))),
		count(*) FILTER (WHERE CASE r.status WHEN 'succeeded' THEN stored(d.id) IS DISTINCT FROM expected(j, split_part(d.granularity, '-', 2))
						 ELSE expected(j, 'day') IS NOT NULL END),
		count(*) FILTER (WHERE r.status <> 'succeeded'),
		sum(w.n) FILTER (WHERE d.granularity = '1-day')::bigint
	FROM jobs j JOIN batchjob_definitions d ON d.job_id = j.job JOIN runs r ON r.job_id = j.job LEFT JOIN wholly w ON w.job = j.job
	GROUP BY 1 ORDER BY 1;
	DROP TABLE wholly, runs;
END $$;
CALL everywhere($$INSERT INTO %I SELECT 'c' || g %% 3, '2024-10-07'::timestamp + g * interval '17 min', (ARRAY['CPU_Load', 'mem', 'other'])[g %% 3 + 1], g, CASE WHEN g %% 2 = 0 THEN 'x' ELSE 'y' END
	FROM generate_series(1, 600) g$$);
SET client_min_messages = error;
INSERT INTO jobs
SELECT s, batchagg_create_job('EVERYHOUR', 'cell', s, '{1-hour,1-day,1-month}', jsonb_build_object(m, a), resource_filter => f), m, coalesce(f, 'true')
FROM unnest('{in_full,by_log,by_snapshot,local_log}'::text[]) s,
	 (VALUES ('cpu.load', 'sum,count', NULL), ('cpu.load', 'sum,median', NULL), ('CPU.LOAD', 'sum', $$area = 'x'$$), ('Mem', 'sum', NULL)) m (m, a, f);
RESET client_min_messages;
SELECT batchagg_track_source('by_log', 'log'), batchagg_track_source('by_snapshot', 'snapshot'), batchagg_track_source('local_log', 'log');
SELECT * FROM run();
SELECT * FROM run();
-- A definition comes to others for which there is nothing new.
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, resource_filter)
SELECT job_id, focal_entity, entity, '1-week', resource_filter FROM batchjob_definitions WHERE granularity = '1-day' ORDER BY id;
SELECT * FROM run();
DELETE FROM batchjob_definitions WHERE granularity = '1-week';
-- New rows of known names, and of names that nobody asked for.
CALL everywhere($$INSERT INTO %I SELECT 'c1', '2024-10-09 05:00', n, 7, 'x' FROM unnest('{CPU_Load,mem,else}'::text[]) n$$);
SELECT * FROM run();
-- A late second name that is not the metric's own; it goes again.
CALL everywhere($$INSERT INTO %I VALUES ('c1', '2024-10-08 05:00', 'Cpu.Load', 1000, 'x')$$);
SELECT * FROM run();
CALL everywhere($$DELETE FROM %I WHERE name = 'Cpu.Load'$$);
SELECT * FROM run();
-- The metric's own comes, and what was counted before goes.
CALL everywhere($$INSERT INTO %I VALUES ('c2', '2024-10-08 06:00', 'cpu.load', 2000, 'x')$$);
SELECT * FROM run();
SELECT * FROM run();
CALL everywhere($$INSERT INTO %I VALUES ('c2', '2024-10-10 06:00', 'cpu.load', 10, 'x'), ('c2', '2024-10-10 07:00', 'CPU_Load', 20, 'x')$$);
SELECT * FROM run();
-- It goes, by and by; it is called another name.
CALL everywhere($$DELETE FROM %I WHERE name = 'cpu.load' AND value = 10$$);
SELECT * FROM run();
CALL everywhere($$UPDATE %I SET name = 'cpu_load' WHERE name = 'cpu.load'$$);
SELECT * FROM run();
CALL everywhere($$UPDATE %I SET name = 'CPU_Load' WHERE name = 'cpu_load'$$);
SELECT * FROM run();
-- All rows of a name go in one run, those of another come in one that adds.
CALL everywhere($$DELETE FROM %I WHERE fold(name) = 'cpu_load'$$);
SELECT * FROM run();
CALL everywhere($$INSERT INTO %I SELECT 'c' || g %% 3, '2024-10-07'::timestamp + g * interval '17 min', 'cpu.Load', g, 'x' FROM generate_series(1, 100) g$$);
SELECT * FROM run();
CALL everywhere($$INSERT INTO %I VALUES ('c1', now() + interval '1 year', 'CPU.LOAD', 5, 'x')$$);
SELECT * FROM run();
CALL everywhere($$UPDATE %I SET area = 'y' WHERE name = 'CPU.LOAD'$$);
SELECT * FROM run();
CALL everywhere($$TRUNCATE %I$$);
SELECT * FROM run();
CALL everywhere($$INSERT INTO %I VALUES ('c1', '2024-10-08', 'CPU.load', 5, 'x'), ('c1', '2024-10-08', 'MEM', 6, 'y')$$);
SELECT * FROM run();
-- A backfill chooses as a run does.
CALL everywhere($$INSERT INTO %I VALUES ('c1', '2024-10-08', 'cpu.load', 6, 'x'), ('c1', '2024-10-08', 'Mem', 7, 'y')$$);
SET client_min_messages = error;
SELECT format('CALL batchagg_backfill(%s)', job) FROM jobs \gexec
RESET client_min_messages;
SELECT count(*) FROM (SELECT * FROM jobs WHERE expected(jobs, 'day') IS NOT NULL OFFSET 0) j, batchagg_verify_job(job);
SELECT * FROM run();
DELETE FROM batch_jobs;
DELETE FROM metricsandtables;

-- With a lookback, the names that were known and those of younger rows count.
TRUNCATE in_full;
INSERT INTO in_full SELECT 'c1', now() - g * interval '1 hour', 'CPU_Load', 1 FROM generate_series(1, 100) g;
SELECT batchagg_create_job('EVERYHOUR', 'cell', 'in_full', '{1-day}', '{"cpu.load": "sum"}') AS job \gset
UPDATE batchjob_definitions SET lookback = '1 day';
SELECT status FROM batchagg_run_job(:job);
INSERT INTO in_full VALUES ('c1', now() - interval '1 minute', 'cpu.load', 2);
SELECT rows_read > 100 AS all_rows FROM batchagg_run_job(:job);
SELECT sum(metric_value) FROM RuleExecutionResults WHERE job_id = :job;
INSERT INTO in_full VALUES ('c1', now() - interval '1 minute', 'cpu.load', 2);
SELECT rows_read > 100 AS all_rows FROM batchagg_run_job(:job);
SELECT sum(metric_value) FROM RuleExecutionResults WHERE job_id = :job;
DELETE FROM batch_jobs;
DELETE FROM metricsandtables;

-- Filters that are probably not what was meant: told of where they are written, by create_job() and in
-- validation; one that no row passes, by the run.
CREATE TABLE visit (user_id text, ts timestamptz, pages float8, country text, status text);
INSERT INTO visit VALUES ('a', '2024-10-07', 1, 'de', 'x');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visit', '{1-hour,1-day}', '{"pages": "sum"}', resource_filter => '"contry" = "de"') AS job \gset
SELECT * FROM batchagg_validate_job(:job);
SELECT status FROM batchagg_run_job(:job);
UPDATE batchjob_definitions SET resource_filter = '"contry" = ''de'' AND pages > 0' WHERE granularity = '1-hour';
UPDATE batchjob_definitions SET resource_filter = 'status = "x" AND ("foo" IN ("de", ''fr'') OR ''de'' = "Country")' WHERE granularity = '1-hour';
UPDATE batchjob_definitions SET resource_filter = 'NOT true' WHERE granularity = '1-hour';
UPDATE batchjob_definitions SET resource_filter = 'pages > 0 AND lower("contry") = "de" OR "contry"::text = ''de'' AND coalesce("foo", ''x'') <> ''y''' WHERE granularity = '1-hour';
UPDATE batchjob_definitions SET resource_filter = 'pages > 0 AND "contry" IS NOT NULL' WHERE granularity = '1-hour';
-- What compares with a column, or has only strings in an expression that does, is not warned of.
UPDATE batchjob_definitions SET resource_filter = 'lower(country) = lower("DE") AND coalesce(status, "y") IS NOT NULL AND now() > ''2024-01-01'' AND ''a'' < ''b''';
UPDATE batchjob_definitions SET resource_filter = 'country = "de" AND status IN ("x", "y") AND "de" < country AND country = "d" || "e"';
SELECT status FROM batchagg_run_job(:job);
-- Nor is a run that has nothing to read, or nothing new.
SELECT batchagg_track_source('visit', 'log');
SELECT status FROM batchagg_run_job(:job);
SELECT status FROM batchagg_run_job(:job);
UPDATE batchjob_definitions SET resource_filter = 'country = "fr"';
SELECT status FROM batchagg_run_job(:job);
SELECT status FROM batchagg_run_job(:job);

DROP EXTENSION batchagg CASCADE;
DROP TABLE visit;
DROP TABLE kpi, caseless_kpi, padded_kpi, labelled, in_full, by_log, by_snapshot, local_log, jobs CASCADE;
DROP TYPE label;
DROP COLLATION caseless;
DROP PROCEDURE everywhere;
DROP FUNCTION results, fold, stored, run;
