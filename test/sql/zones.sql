-- Time zones are those that have a name; and times at the ends of all time.
\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain
SET timezone = 'UTC';
RESET client_min_messages;
CREATE TABLE rows (user_id text, ts timestamptz, n float8);

-- What POSIX has for a time zone is none: its sign is not what people mean, and a slip
-- in a name would be one.
DO $$
DECLARE
	zone text;
	hint text;
BEGIN
	FOREACH zone IN ARRAY ARRAY['+02', '-5', '3', 'UTC+3', 'gmt-03:00', 'UTC0', '+15', '-13', '+05:30', 'Foo5', 'Foo24', 'FOO+167', '<+03>-3', 'EST5EDT4,M3.2.0,M11.1.0',
		'Etc/GMT+15', 'Europe/Berlin2', 'Europe/Berlin', 'europe/berlin', 'Etc/GMT+5', 'etc/gmt-14', 'UTC', 'GMT', 'MEZ', ''] LOOP
		BEGIN
			PERFORM batchagg_bucket('1-day', '2024-10-07 12:00+00', zone);
			RAISE NOTICE '%: accepted', zone;
		EXCEPTION WHEN invalid_parameter_value THEN
			GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
			RAISE NOTICE '%: %', zone, concat_ws('. ', SQLERRM, nullif(hint, ''));
		END;
	END LOOP;
END $$;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'rows', '{1-day}', '{"n": "sum"}', timezone => 'UTC+3');
SELECT batchagg_create_job('EVERYDAY8AMUTC+3', 'user', 'rows', '{1-day}', '{"n": "sum"}');
INSERT INTO batchagg_events (event_name, schedule, timezone) VALUES ('SHIFT', '0 6 * * *', 'Foo5');

-- All zones that PostgreSQL lists are taken, and mean what they do there.
SELECT count(*) FROM pg_timezone_names
WHERE name NOT IN (SELECT abbrev FROM pg_timezone_abbrevs)
	AND batchagg_bucket('1-day', '2024-10-07 12:00+00', name) <> date_trunc('day', '2024-10-07 12:00+00'::timestamptz, name);

-- Local times before the first instant there is stand for that, in every mode.
DELETE FROM batch_jobs;
DELETE FROM metricsandtables;
SET client_min_messages = warning;
CREATE TABLE whole (user_id text, ts timestamp, day date, n float8);
INSERT INTO whole VALUES
	('a', '4714-11-24 00:00:00 BC', '4714-11-24 BC', 1), ('a', '4714-11-24 00:30:00 BC', '4714-11-24 BC', 2),
	('a', '4714-11-24 12:30:00 BC', '4714-11-24 BC', 4), ('a', '4714-11-25 12:30:00 BC', '4714-11-25 BC', 8),
	('a', '2024-01-01 00:30', '2024-01-01', 16), ('c', '294276-12-31 23:59', '5874897-12-31', 32);
CREATE TABLE log AS TABLE whole;
CREATE TABLE snapshot AS TABLE whole;
CREATE TABLE by_day AS TABLE whole;
SELECT batchagg_create_job('EVERYHOUR', 'user', source, '{1-hour,1-day,1-week,1-year,5-hour}', '{"n": "sum,count"}', timezone => zone,
	time_column => CASE source WHEN 'by_day' THEN 'day' ELSE 'ts' END, job_name => source || ' ' || zone) > 0 AS made
FROM unnest('{whole,log,snapshot,by_day}'::text[]) source, unnest('{UTC,Asia/Tokyo,America/New_York}'::text[]) zone;
SELECT batchagg_track_source('log', 'log', time_column => 'ts'), batchagg_track_source('snapshot', 'snapshot', time_column => 'ts'),
	batchagg_track_source('by_day', 'log', time_column => 'day');
-- What the modes come to that is not the same, and what verifying finds.
CREATE VIEW differ AS
	SELECT granularity, zone, entity_id, "timestamp", aggregation_type, array_agg(DISTINCT metric_value) AS vals, count(*)
	FROM (SELECT split_part(job_name, ' ', 2) AS zone, * FROM RuleExecutionResults WHERE job_name NOT LIKE 'by_day %') r
	GROUP BY 1, 2, 3, 4, 5 HAVING count(*) <> 3 OR count(DISTINCT metric_value) <> 1
	UNION ALL SELECT NULL, job_name, v.entity_id, v."timestamp", v.aggregation_type, ARRAY[v.stored, v.computed], 1
	FROM batch_jobs j, batchagg_verify_job(j.id) v;
SELECT count(*), bool_and(r.status = 'succeeded') FROM batch_jobs j, batchagg_run_job(j.id) r;
TABLE differ;
SELECT job_name, "timestamp", metric_value FROM RuleExecutionResults
WHERE granularity = '1-day' AND aggregation_type = 'sum' AND (job_name LIKE 'log %' OR job_name LIKE 'by_day %') ORDER BY 1, 2;
INSERT INTO whole VALUES ('b', '4714-11-24 00:00:00 BC', '4714-11-24 BC', 1), ('a', '4714-11-24 00:10:00 BC', '4714-11-24 BC', 7);
INSERT INTO log SELECT * FROM whole WHERE user_id = 'b' OR n = 7;
INSERT INTO snapshot SELECT * FROM whole WHERE user_id = 'b' OR n = 7;
INSERT INTO by_day SELECT * FROM whole WHERE user_id = 'b' OR n = 7;
SELECT count(*), bool_and(r.status = 'succeeded') FROM batch_jobs j, batchagg_run_job(j.id) r;
TABLE differ;
UPDATE whole SET n = n + 1;
UPDATE log SET n = n + 1;
UPDATE snapshot SET n = n + 1;
UPDATE by_day SET n = n + 1;
SELECT count(*), bool_and(r.status = 'succeeded') FROM batch_jobs j, batchagg_run_job(j.id) r;
TABLE differ;
DELETE FROM whole WHERE user_id = 'b';
DELETE FROM log WHERE user_id = 'b';
DELETE FROM snapshot WHERE user_id = 'b';
DELETE FROM by_day WHERE user_id = 'b';
SELECT count(*), bool_and(r.status = 'succeeded') FROM batch_jobs j, batchagg_run_job(j.id) r;
TABLE differ;

-- Recomputing a part marks times of rows that are to be added; all of them can be dumped.
INSERT INTO snapshot VALUES ('a', '4714-11-24 00:10:00 BC', NULL, 7);
CALL batchagg_backfill('snapshot America/New_York', '4714-11-24 00:00+00 BC', '4714-12-01 00:00+00 BC', piece => '7 days');
CALL batchagg_backfill('snapshot Asia/Tokyo', '4714-11-24 00:00+00 BC', '4714-12-01 00:00+00 BC', piece => '7 days');
SELECT bool_and(low::text::timestamptz = low AND high::text::timestamptz = high) FROM batchagg_marks;

DROP TABLE rows, whole, log, snapshot, by_day CASCADE;
DROP EXTENSION batchagg CASCADE;
DROP SCHEMA plain CASCADE;
