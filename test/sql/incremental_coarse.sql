-- Incremental runs of several granularities: a coarse bucket in which little has
-- changed is computed from the stored states of the finer groups that have not,
-- and rows are read of those that have.  After each change, what a run read and
-- how many results differ from plain SQL, which must be none.
\set VERBOSITY terse
\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain
SET DateStyle = ISO;
SET timezone = 'UTC';
SET random_page_cost = 1.1;

-- Three entities, a row of one of them every 20 minutes of 45 days: one of each in
-- an hour.
CREATE TABLE visits (user_id text, ts timestamptz, pages integer, load float8) WITH (autovacuum_enabled = off);
INSERT INTO visits
SELECT 'u' || i % 3, '2024-02-01 00:00+00'::timestamptz + i * interval '20 minutes', i % 101, sin(i) * 10 ^ (i % 9)
FROM generate_series(0, 45 * 72 - 1) i;
CREATE INDEX ON visits (ts);
CREATE INDEX ON visits (user_id, ts);
ANALYZE visits;

-- How many results of a job, or numbers of samples, differ from plain SQL.
CREATE FUNCTION differences(job integer, metrics jsonb) RETURNS bigint LANGUAGE sql AS $$
	SELECT sum((plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L, %L)', source_table,
		CASE focal_entity WHEN '*' THEN '''*''' ELSE 'user_id' END,
		format('batchagg_bucket(%L, %s, %L)', granularity, CASE source_table WHEN 'public.local' THEN format('ts AT TIME ZONE %L', timezone) ELSE 'ts' END, timezone),
		'ts', metrics, format('ts < %L AND (%s)', coalesce(c.horizon, now() - job_delay * interval '1 hour'), coalesce(resource_filter, 'true'))))).different)
	FROM batchjob_definitions d LEFT JOIN batchagg_cursors c ON c.definition_id = d.id WHERE job_id = job $$;

-- Runs a job, compares, and verifies.
CREATE FUNCTION step(job integer, metrics jsonb DEFAULT '{"pages": "pages", "load": "load"}')
RETURNS TABLE (read bigint, groups bigint, wrong bigint, unverified bigint) LANGUAGE plpgsql AS $$
BEGIN
	SELECT r.rows_read, r.groups INTO read, groups FROM batchagg_run_job(job) r;
	wrong := differences(job, metrics);
	unverified := (SELECT count(*) FROM batchagg_verify_job(job));
	RETURN NEXT;
END $$;

-- Which definitions have states stored, and how many rows.
CREATE VIEW states AS
SELECT d.id, d.granularity, count(s.states) AS states, count(*) - count(s.states) AS none
FROM batchjob_definitions d JOIN batchagg_layouts l ON l.definition_id = d.id JOIN batchagg_store s ON s.layout_id = l.id
GROUP BY 1, 2 ORDER BY 1;

-- log.  Of the granularities, weeks do not nest in months: both are fed from days.
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{1-hour,1-day,1-week,1-month}',
	'{"pages":"sum,avg,count,first,last","load":"sum,std,min,max,count"}', tablename => 'visits');
SELECT batchagg_track_source('visits');
SELECT * FROM step(1);
SELECT * FROM states;
SELECT * FROM step(1);

-- A late row; what the run is about to do.
INSERT INTO visits VALUES ('u1', '2024-02-14 10:05+00', 1000, 1);
SELECT definition_id, item, regexp_replace(value, ' WHERE .*', '') FROM batchagg_explain_job(1) WHERE item IN ('recomputed', 'computed from');
SELECT * FROM step(1);

-- Rows that move in time and to other entities, that are updated, deleted by the
-- hour and by the day, and come by the hour and where there were none.
UPDATE visits SET ts = ts + interval '20 days', user_id = 'u9' WHERE ts >= '2024-02-10 10:00+00' AND ts < '2024-02-10 10:30+00';
SELECT * FROM step(1);
UPDATE visits SET load = load / 3 WHERE user_id = 'u0' AND ts >= '2024-02-12 00:00+00' AND ts < '2024-02-12 03:00+00';
SELECT * FROM step(1);
DELETE FROM visits WHERE ts >= '2024-03-05 04:00+00' AND ts < '2024-03-05 05:00+00';
SELECT * FROM step(1);
DELETE FROM visits WHERE ts >= '2024-03-06 00:00+00' AND ts < '2024-03-07 00:00+00' AND user_id <> 'u2';
SELECT * FROM step(1);
DELETE FROM visits WHERE user_id = 'u9';
SELECT * FROM step(1);
INSERT INTO visits SELECT 'v' || i, '2024-02-20 07:30+00', i, i FROM generate_series(1, 150) i;
SELECT * FROM step(1);
INSERT INTO visits VALUES ('u1', '2023-07-20 07:30+00', 1, 2), ('u1', '2024-05-20 07:30+00', 1, 2);
SELECT * FROM step(1);

-- A dry run says the same.
INSERT INTO visits VALUES ('u2', '2024-02-14 10:05+00', 1000, 1);
SELECT rows_read, groups FROM batchagg_run_job(1, dry_run => true);
SELECT * FROM step(1);

-- With whole buckets instead of entities.
DROP INDEX visits_user_id_ts_idx;
SELECT batchagg_track_source('visits', 'log', 'ts', 'pages');
SELECT * FROM step(1);
INSERT INTO visits VALUES ('u5', '2024-02-14 11:05+00', 1, 1), ('u0', '2024-02-29 11:05+00', 1, 1);
SELECT * FROM step(1);

-- A coarse definition that is computed anew, and one that comes later, are from
-- what is stored of days and months.  Months have no states yet, and get them.
UPDATE batchjob_definitions SET keep_history = true WHERE granularity = '1-week';
SELECT * FROM step(1);
UPDATE batchjob_definitions SET keep_history = false WHERE granularity = '1-week';
SELECT * FROM step(1);
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (1, 'user', 'visits', '1-year');
SELECT definition_id, item, value FROM batchagg_explain_job(1) WHERE item IN ('query', 'computed from');
SELECT * FROM step(1);
SELECT * FROM states;
INSERT INTO visits VALUES ('u4', '2024-02-14 11:05+00', 1, 1);
SELECT * FROM step(1);
DELETE FROM batchjob_definitions WHERE granularity IN ('1-year', '1-month');
SELECT * FROM step(1);
SELECT * FROM states;

-- Another delay, zone or filter: those are not fed.
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, timezone, resource_filter) VALUES
	(1, 'user', 'visits', '1-month', 'Europe/Berlin', NULL), (1, 'user', 'visits', '1-month', 'UTC', 'pages < 50'), (1, '*', 'visits', '1-month', 'UTC', NULL);
SELECT * FROM step(1);
INSERT INTO visits VALUES ('u4', '2024-02-14 11:06+00', 1, 1);
SELECT * FROM step(1);
DELETE FROM batchjob_definitions WHERE granularity = '1-month';
SELECT * FROM step(1);

-- Verifying reads rows.  It finds what is stored otherwise, states too; what comes
-- of wrong ones is found in coarser buckets.
CREATE FUNCTION spoil(definition integer, start timestamptz, entity text) RETURNS void LANGUAGE sql AS $$
	UPDATE batchagg_store SET states = set_byte(states, 13, (7 + get_byte(states, 13)) % 256) FROM batchagg_layouts
	WHERE id = layout_id AND definition_id = definition AND bucket = start AND entity_id = entity $$;
SELECT spoil(1, '2024-02-14 10:00+00', 'u2');
SELECT definition_id, timestamp, entity_id, metric_name, aggregation_type, stored, computed, stored_count, computed_count FROM batchagg_verify_job(1);
INSERT INTO visits VALUES ('u2', '2024-02-14 12:01+00', 1, 1);
SELECT rows_read, groups FROM batchagg_run_job(1);
SELECT definition_id, timestamp, entity_id, metric_name, count(*) FROM batchagg_verify_job(1) GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4;
-- A backfill reads rows as well, and puts it right.
CALL batchagg_backfill(1, '2024-02-12', '2024-02-15');
SELECT rows_read FROM batchagg_runs ORDER BY run_id DESC LIMIT 1;
SELECT * FROM step(1);
-- What has changed beside a backfill is found by the next run.
INSERT INTO visits VALUES ('u2', '2024-02-14 12:02+00', 1, 1), ('u2', '2024-02-18 12:02+00', 1, 1);
CALL batchagg_backfill(1, '2024-02-14', '2024-02-15');
SELECT * FROM step(1);

-- Finer results that are retained no longer: rows are read for the coarser ones,
-- where they may be missing.
UPDATE batchjob_definitions SET results_retention = now() - '2024-02-21 12:00+00' WHERE granularity IN ('1-hour', '1-day');
SELECT rows_read FROM batchagg_run_job(1);
SELECT granularity, min(timestamp) FROM RuleExecutionResults WHERE granularity <> '1-week' GROUP BY 1 ORDER BY 1;
CREATE FUNCTION weeks() RETURNS bigint LANGUAGE sql AS $$
	SELECT different FROM plain.compare(3, 'SELECT * FROM plain.rollup(''visits'', ''user_id'', ''batchagg_bucket(''''1-week'''', ts, ''''UTC'''')'', ''ts'', ''{"pages": "pages", "load": "load"}'')') $$;
INSERT INTO visits VALUES ('u1', '2024-02-14 10:06+00', 10, 1);
SELECT rows_read, groups, weeks() FROM batchagg_run_job(1);
INSERT INTO visits VALUES ('u1', '2024-02-20 10:07+00', 10, 1), ('u1', '2024-02-22 10:07+00', 10, 1);
SELECT rows_read, groups, weeks() FROM batchagg_run_job(1);
INSERT INTO visits VALUES ('u1', '2024-02-27 10:07+00', 10, 1);
SELECT rows_read, groups, weeks() FROM batchagg_run_job(1);
SELECT count(*) FROM batchagg_verify_job(1);
UPDATE batchjob_definitions SET results_retention = NULL;
SELECT * FROM step(1);

-- Finer results that outlive their rows are none of the coarser ones' business.
UPDATE batchjob_definitions SET keep_history = true WHERE granularity = '1-hour';
SELECT * FROM step(1);
DELETE FROM visits WHERE ts < '2024-02-14 10:00+00';
SELECT rows_read, changed, weeks() FROM batchagg_run_job(1);
INSERT INTO visits VALUES ('u1', '2024-02-16 10:07+00', 10, 1);
SELECT rows_read, changed, weeks() FROM batchagg_run_job(1);
INSERT INTO visits VALUES ('u1', '2024-02-15 10:07+00', 10, 1), ('u1', '2024-02-12 10:07+00', 10, 1);
SELECT rows_read, changed, weeks() FROM batchagg_run_job(1);
DELETE FROM visits WHERE ts < '2024-02-15 10:00+00';
SELECT rows_read, changed, weeks() FROM batchagg_run_job(1);
UPDATE batchjob_definitions SET keep_history = false;
SELECT * FROM step(1);

-- Percentiles have no stored states: their coarse buckets are read as a whole.
INSERT INTO batchjob_metrics VALUES (1, 'more', 'median');
INSERT INTO metricsandtables (metricname, tablename, metric_column) VALUES ('more', 'visits', 'pages');
SELECT * FROM step(1, '{"pages": "pages", "load": "load", "more": "pages"}');
INSERT INTO visits VALUES ('u1', '2024-02-20 10:08+00', 10, 1);
SELECT * FROM step(1, '{"pages": "pages", "load": "load", "more": "pages"}');
SELECT * FROM states;

-- A lookback knows nothing of older rows.
DELETE FROM batchjob_metrics WHERE metric_name = 'more';
UPDATE batchjob_definitions SET lookback = now() - '2024-02-21 12:00+00' WHERE granularity = '1-hour';
SELECT * FROM step(1);
INSERT INTO visits VALUES ('u1', '2024-02-19 10:09+00', 10, 1), ('u1', '2024-02-21 10:09+00', 10, 1), ('u1', '2024-02-28 10:09+00', 10, 1);
SELECT rows_read, changed, weeks() FROM batchagg_run_job(1);
SELECT * FROM states;
UPDATE batchjob_definitions SET lookback = NULL;
SELECT * FROM step(1);
ANALYZE visits;

-- Results that nobody waits for yet: weeks and days are stored when they are over,
-- and then from stored hours.
UPDATE batchjob_definitions SET complete_only = true WHERE granularity <> '1-hour';
INSERT INTO visits SELECT 'u' || i % 6, now() - i * interval '10 minutes', i % 101, i FROM generate_series(0, 20 * 144 - 1) i;
SELECT wrong, unverified FROM step(1);
UPDATE batchagg_cursors c SET horizon = c.horizon - interval '1 week', ahead = '{0,900000000000000000}' FROM batchjob_definitions d WHERE d.id = definition_id AND granularity = '1-week';
SELECT read, wrong, unverified FROM step(1);
UPDATE batchjob_definitions SET job_delay = 24 * 9 WHERE granularity = '1-week';
SELECT read, wrong, unverified FROM step(1);
INSERT INTO visits VALUES ('u1', now() - interval '17 days', 10, 1);
SELECT read < 10 AS few, wrong, unverified FROM step(1);
UPDATE batchjob_definitions SET job_delay = 0;
SELECT read, wrong, unverified FROM step(1);
INSERT INTO visits VALUES ('u1', now() - interval '17 days', 10, 1);
SELECT read < 10 AS few, wrong, unverified FROM step(1);

-- snapshot: what is recomputed is from what is stored and what is added.
SELECT batchagg_untrack_source('visits');
UPDATE batchjob_definitions SET complete_only = false;
DELETE FROM visits WHERE ts > '2025-01-01 00:00+00';
SELECT batchagg_track_source('visits', 'snapshot');
CREATE INDEX ON visits (batchagg_xid);
SELECT * FROM step(1);
SELECT * FROM step(1);
UPDATE visits SET load = load / 3 WHERE user_id = 'u0' AND ts >= '2024-03-12 00:00+00' AND ts < '2024-03-12 03:00+00';
SELECT * FROM step(1);
UPDATE visits SET load = load / 3 WHERE user_id = 'u0' AND ts >= '2024-03-12 00:00+00' AND ts < '2024-03-12 03:00+00';
INSERT INTO visits SELECT u, t, 7, 1 FROM unnest('{u2,u0,u77}'::text[]) u, unnest('{2024-03-12 01:55+00,2024-03-12 14:55+00,2024-03-13 01:55+00}'::timestamptz[]) t;
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (1, 'user', 'visits', '1-quarter');
SELECT rows_read, groups FROM batchagg_run_job(1, dry_run => true);
SELECT * FROM step(1);
DELETE FROM visits WHERE user_id IN ('u77', 'u0') AND ts >= '2024-03-13 00:00+00' AND ts < '2024-03-13 03:00+00';
INSERT INTO visits VALUES ('u77', '2024-03-13 01:00+00', 7, 1), ('u77', '2024-03-14 01:00+00', 7, 1);
SELECT * FROM step(1);
-- Hours with a lookback are added to, but not recomputed.
DELETE FROM batchjob_definitions WHERE granularity = '1-quarter';
UPDATE batchjob_definitions SET lookback = now() - '2024-03-10 12:00+00' WHERE granularity = '1-hour';
SELECT * FROM step(1);
UPDATE visits SET load = 7 WHERE ts >= '2024-03-06 07:00+00' AND ts < '2024-03-06 08:00+00';
SELECT read, (SELECT count(*) FROM batchagg_verify_job(1) WHERE definition_id > 1) AS coarser FROM step(1);
UPDATE visits SET load = 8 WHERE ts >= '2024-03-06 09:00+00' AND ts < '2024-03-06 10:00+00';
SELECT read, (SELECT count(*) FROM batchagg_verify_job(1) WHERE definition_id > 1) AS coarser FROM step(1);
SELECT batchagg_untrack_source('visits', true);
DELETE FROM batch_jobs;

-- Results that are undefined, whose states are not: the deviation of one value;
-- and two metrics of one column.  By both modes.
CREATE TABLE single (user_id text, ts timestamptz, x float8);
INSERT INTO metricsandtables (metricname, tablename, metric_column) VALUES ('x', 'single', 'x'), ('y', 'single', 'x');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'single', '{1-hour,1-day}', '{"x":"std","y":"var"}') AS job \gset
SELECT batchagg_track_source('single');
SELECT * FROM step(:job, '{"x": "x", "y": "x"}');
INSERT INTO single VALUES ('a', '2024-02-01 00:00+00', 1), ('a', '2024-02-01 02:00+00', 5), ('a', '2024-02-01 03:00+00', NULL);
SELECT * FROM step(:job, '{"x": "x", "y": "x"}');
INSERT INTO single VALUES ('a', '2024-02-01 04:00+00', 11);
SELECT * FROM step(:job, '{"x": "x", "y": "x"}');
SELECT batchagg_untrack_source('single');
SELECT batchagg_track_source('single', 'snapshot');
SELECT * FROM step(:job, '{"x": "x", "y": "x"}');
INSERT INTO single VALUES ('a', '2024-02-01 00:01+00', 17), ('a', '2024-02-01 05:01+00', 18);
SELECT * FROM step(:job, '{"x": "x", "y": "x"}');
INSERT INTO single VALUES ('a', '2024-02-01 05:02+00', 19), ('a', '2024-02-01 00:02+00', 27);
SELECT * FROM step(:job, '{"x": "x", "y": "x"}');
DELETE FROM batch_jobs;

-- Many results: several rows a group, not all of which every group has.
\set ECHO none
SELECT format('CREATE TABLE wide (user_id text, ts timestamptz, %s)', string_agg(format('c%s float8', i), ', ')) FROM generate_series(1, 40) i \gexec
SELECT format('INSERT INTO wide SELECT CASE WHEN i %% 5 = 0 THEN ''rare'' ELSE ''u'' || i %% 3 END, ''2024-02-01 00:00+00''::timestamptz + i * interval ''31 minutes'', %s FROM generate_series(0, 1499) i',
	string_agg(format('CASE WHEN i %% 5 > 0 AND i %% 7 > 0 OR %s > 25 THEN i * %s / 7.0 END', i, i), ', ')) FROM generate_series(1, 40) i \gexec
\set ECHO all
SELECT batchagg_track_source('wide');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'wide', '{1-hour,1-day,1-month}',
	(SELECT jsonb_object_agg('c' || i, CASE WHEN i > 8 THEN 'sum,std,first,range' ELSE 'std,first,range,var' END) FROM generate_series(1, 40) i)) AS job \gset
SELECT jsonb_object_agg('c' || i, 'c' || i) AS columns FROM generate_series(1, 40) i \gset
SELECT * FROM step(:job, :'columns');
SELECT d.granularity, l.part, count(*), count(states) AS states FROM batchagg_layouts l JOIN batchagg_store s ON s.layout_id = l.id
JOIN batchjob_definitions d ON d.id = definition_id GROUP BY d.id, 1, 2 ORDER BY d.id, 2;
INSERT INTO wide SELECT 'rare', '2024-02-10 00:00+00', c1, c2 FROM wide LIMIT 1;
SELECT * FROM step(:job, :'columns');
DELETE FROM wide WHERE ts >= '2024-02-11 00:00+00' AND ts < '2024-02-11 06:00+00' AND user_id = 'rare';
SELECT * FROM step(:job, :'columns');
INSERT INTO wide (user_id, ts, c39) VALUES ('u1', '2024-02-12 03:00+00', 4), ('new', '2024-02-12 03:00+00', 4), ('u2', '2024-02-12 03:00+00', NULL);
SELECT * FROM step(:job, :'columns');
DELETE FROM batch_jobs;

-- Jobs that share a scan, with other metrics and other finer granularities, and
-- one of them behind the others.
CREATE INDEX ON visits (user_id, ts);
SELECT batchagg_track_source('visits');
SELECT batchagg_create_job('EVERYDAY', 'user', 'visits', '{1-hour,1-day,1-week}', '{"pages":"sum,count","load":"sum,std"}') AS one \gset
SELECT batchagg_create_job('EVERYDAY', 'user', 'visits', '{1-hour,1-month}', '{"load":"sum,std,first"}') AS two \gset
SELECT batchagg_create_job('EVERYDAY', 'user', 'visits', '{1-day,1-quarter}', '{"load":"sum,std","pages":"median"}') AS three \gset
CREATE FUNCTION event_step() RETURNS TABLE (read bigint[], wrong numeric, unverified bigint) LANGUAGE plpgsql AS $$
BEGIN
	read := (SELECT array_agg(rows_read ORDER BY job_id) FROM batchagg_run_event('EVERYDAY'));
	SELECT sum(differences(id, '{"pages": "pages", "load": "load"}')), sum((SELECT count(*) FROM batchagg_verify_job(id))) INTO wrong, unverified FROM batch_jobs;
	RETURN NEXT;
END $$;
SELECT * FROM event_step();
INSERT INTO visits VALUES ('u1', '2024-02-20 10:10+00', 1000, 1);
SELECT * FROM event_step();
INSERT INTO visits VALUES ('u1', '2024-02-21 10:10+00', 1000, 1), ('u2', '2024-02-20 10:11+00', 1000, 1);
SELECT * FROM step(:one);
SELECT * FROM event_step();
UPDATE batchjob_metrics SET aggregation_types = 'max' WHERE job_id = :three AND metric_name = 'pages';
SELECT * FROM event_step();
INSERT INTO visits VALUES ('u2', '2024-02-21 10:10+00', 1000, 1), ('u2', '2024-03-20 10:11+00', 1000, 1);
SELECT * FROM step(:two);
SELECT * FROM event_step();
DELETE FROM batch_jobs;

-- Rows that are metrics; local times, across changes of the clock.
CREATE TABLE local (user_id integer, ts timestamp, name text, value numeric) WITH (autovacuum_enabled = off);
CREATE INDEX ON local (user_id, ts);
INSERT INTO local SELECT i % 4, '2024-03-01 00:00'::timestamp + i * interval '10 minutes', (ARRAY['a', 'b', 'c'])[1 + i % 3], i FROM generate_series(0, 8999) i;
SELECT batchagg_track_source('local', time_column => 'ts', id_column => 'user_id');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'local', '{1-hour,6-hour,1-day,1-month}', '{"a":"sum,count","b":"std,last,count"}', tablename => 'local', timezone => 'Europe/Berlin') AS job \gset
CREATE FUNCTION local_step(job integer) RETURNS TABLE (read bigint, groups bigint, wrong bigint, unverified bigint) LANGUAGE sql AS $$
	SELECT s.read, s.groups, s.wrong, s.unverified FROM step(job, '{"a": "CASE name WHEN ''a'' THEN value END", "b": "CASE name WHEN ''b'' THEN value END"}') s $$;
UPDATE batchjob_definitions SET source_table = 'public.local';
SELECT unverified FROM local_step(:job);
INSERT INTO local VALUES (1, '2024-03-31 02:30', 'a', 1), (2, '2024-03-31 03:30', 'b', NULL), (3, '2024-03-31 01:59:59', 'b', 7), (3, '2024-04-21 11:59:59', 'b', 7);
SELECT read, unverified FROM local_step(:job);
DELETE FROM local WHERE ts BETWEEN '2024-03-31 01:00' AND '2024-03-31 04:00' AND name = 'b';
SELECT read, unverified FROM local_step(:job);

DROP EXTENSION batchagg CASCADE;
DROP SCHEMA plain CASCADE;
DROP TABLE visits, single, wide, local;
DROP FUNCTION differences, step, spoil, weeks, event_step, local_step;
