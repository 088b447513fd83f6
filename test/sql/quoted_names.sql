-- Names are the same in sessions that have all of them quoted.

\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain

SET timezone = 'UTC';
CREATE TABLE v (user_id text, ts timestamptz, n integer);
CREATE TABLE w (user_id text, ts timestamptz, m integer);
CREATE TABLE "Odd Name" (user_id text, ts timestamptz, o integer);
INSERT INTO v SELECT 'u' || g % 3, '2024-10-07'::timestamptz + g * interval '10 min', g FROM generate_series(0, 99) g;
INSERT INTO w TABLE v;
INSERT INTO "Odd Name" TABLE v;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'v', '{1-hour}', '{"n": "sum,count"}', tablename => 'v');
SELECT batchagg_track_source('v');
SELECT status FROM batchagg_run_job(1);
SELECT status FROM batchagg_run_job(1);

-- Whoever tracks a table then leaves those of others alone.
SET quote_all_identifiers = on;
SELECT batchagg_track_source('w');
SELECT batchagg_track_source('"Odd Name"');
SELECT source FROM batchagg_sources ORDER BY 1;

-- Jobs, mappings and definitions that are made.
INSERT INTO metricsandtables (metricname, tablename) VALUES ('m', 'w');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'w', '{1-hour}', '{"m": "sum,count"}');
SELECT batchagg_create_job('EVERYHOUR', 'user', '"Odd Name"', '{1-hour}', '{"o": "sum,count"}');
SELECT metricname, tablename FROM metricsandtables ORDER BY 1, 2;
SELECT id, source_table FROM batchjob_definitions ORDER BY 1;

-- Runs with the setting and without go on from each other.
INSERT INTO v VALUES ('u1', '2024-10-07 03:30+00', 1000);
INSERT INTO w VALUES ('u1', '2024-10-07 03:30+00', 1000);
INSERT INTO "Odd Name" VALUES ('u1', '2024-10-07 03:30+00', 1000);
SELECT job_id, status, rows_read < 100 AS incremental FROM batchagg_run_all() ORDER BY 1;
RESET quote_all_identifiers;
INSERT INTO v VALUES ('u1', '2024-10-07 04:30+00', 1000);
INSERT INTO w VALUES ('u1', '2024-10-07 04:30+00', 1000);
INSERT INTO "Odd Name" VALUES ('u1', '2024-10-07 04:30+00', 1000);
SELECT job_id, status, rows_read < 100 AS incremental FROM batchagg_run_all() ORDER BY 1;
SET quote_all_identifiers = on;
SELECT job_id, status, rows_read, changed FROM batchagg_run_all() ORDER BY 1;
SELECT c.* FROM batchjob_definitions d JOIN (VALUES (1, 'n'), (2, 'm'), (3, 'o')) m (id, x) USING (id), plain.compare(d.id, format($$SELECT * FROM plain.rollup(%L, 'user_id', 'date_trunc(''hour'', ts)', 'ts', '{"%s": "%s"}')$$, d.source_table, x, x)) c ORDER BY d.id;
SELECT DISTINCT source FROM batchagg_cursors ORDER BY 1;

-- Tables that are not there yet.
SET quote_all_identifiers = on;
INSERT INTO metricsandtables (metricname, tablename) VALUES ('p', 'soon'), ('p', 'My Soon');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'soon', '{1-hour}', '{"p": "sum"}', validate => false);
RESET quote_all_identifiers;
INSERT INTO metricsandtables (metricname, tablename) VALUES ('p', 'soon') ON CONFLICT DO NOTHING;
SELECT tablename FROM metricsandtables WHERE metricname = 'p' ORDER BY 1;
SELECT source_table FROM batchjob_definitions WHERE job_id = 4;
DELETE FROM batch_jobs WHERE id = 4;

-- Their end.
SELECT batchagg_untrack_source('v'), batchagg_untrack_source('w'), batchagg_untrack_source('"Odd Name"');
SELECT count(*) FROM batchagg_sources;
SELECT tgname FROM pg_trigger WHERE tgrelid IN ('v'::regclass, 'w'::regclass, '"Odd Name"'::regclass);
RESET quote_all_identifiers;

DROP EXTENSION batchagg;
DROP TABLE v, w, "Odd Name";
\set ECHO none
DROP SCHEMA plain CASCADE;
