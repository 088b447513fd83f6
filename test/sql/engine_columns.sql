-- Sources in column layout: types, NULLs, aggregates, buckets, filters, ids,
-- times and horizons, each compared with plain SQL.
\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain
SET TimeZone = 'Asia/Kolkata';
SET DateStyle = ISO;

CREATE DOMAIN percentage AS integer CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE counters (
	cell_id text,
	site_id numeric,
	"timestamp" timestamptz,
	local timestamp,
	day date,
	status text,
	small smallint,
	whole integer,
	big bigint,
	single real,
	double double precision,
	exact numeric,
	flag boolean,
	span interval,
	load percentage,
	empty integer
);

-- Four weeks, in bursts of 49 minutes, with the changes to summer time of New York and Berlin in them.
-- Fractions are multiples of 1/8: their sums do not depend on the order.
INSERT INTO counters
SELECT 'cell' || i % 3,
	   i % 5,
	   '2024-03-08 00:00+00'::timestamptz + i / 8 * interval '500 minutes' + i % 8 * interval '7 minutes',
	   '2024-03-08 00:00'::timestamp + i / 8 * interval '500 minutes' + i % 8 * interval '7 minutes',
	   '2024-03-08'::date + i / 24,
	   CASE i % 4 WHEN 0 THEN 'active' WHEN 1 THEN 'idle' WHEN 2 THEN 'down' END,
	   i % 100 - 50,
	   CASE WHEN i % 11 > 0 THEN i * 37 % 1009 END,
	   i * 1000000007::bigint % 4294967296,
	   (i % 77) / 8.0,
	   CASE WHEN i % 5 > 0 THEN i * 31 % 997 / 8.0 END,
	   CASE WHEN i % 3 > 0 THEN i * 17 % 101 / 8.0 END,
	   CASE WHEN i % 6 > 0 THEN i % 2 = 0 END,
	   i % 90 * interval '1 second' + i % 3 * interval '1 month 2 days',
	   i % 101,
	   NULL
FROM generate_series(1, 640) i;

\set metrics '''{"small": "small", "whole": "whole", "big": "big", "single": "single", "double": "double", "exact": "exact", "flag": "flag::int", "span": "extract(epoch FROM span)", "load": "load", "empty": "empty"}'''
\set all_aggregates '''sum,avg,count,min,max,median,std,var,stddev_pop,var_pop,range,first,last,delta,distinct,p5,p95,p99_9'''

-- Every type with every aggregate, at several granularities that are merged
-- from each other.
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity)
VALUES (1, 'cell', 'counters', '1-hour'), (1, 'cell', 'counters', '4-hour'), (1, 'cell', 'counters', '1-day'),
	   (1, 'cell', 'counters', '1-week'), (1, 'cell', 'counters', '1-month'), (1, 'cell', 'counters', '15-minute'),
	   (1, 'cell', 'counters', '3-day'), (1, 'cell', 'counters', '5-hour');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
SELECT 1, m.key, :all_aggregates FROM jsonb_each_text(:metrics) m;
SELECT status, rows_read, rows_skipped, groups, results, changed, "from" AT TIME ZONE 'UTC' AS "from"
FROM batchagg_run_job(1);
SELECT definition_id, value FROM batchagg_explain_job(1) WHERE item = 'computed from';
SELECT d.id, d.granularity, c.*
FROM batchjob_definitions d
	 JOIN (VALUES (1, 'date_trunc(''hour'', "timestamp", ''UTC'')'),
				  (2, 'date_bin(''4 hours'', "timestamp", ''2000-01-03 00:00+00'')'),
				  (3, 'date_trunc(''day'', "timestamp", ''UTC'')'),
				  (4, 'date_trunc(''week'', "timestamp", ''UTC'')'),
				  (5, 'date_trunc(''month'', "timestamp", ''UTC'')'),
				  (6, 'date_bin(''15 minutes'', "timestamp", ''2000-01-03 00:00+00'')'),
				  (7, 'date_bin(''3 days'', "timestamp", ''2000-01-03 00:00+00'')'),
				  (8, 'date_bin(''5 hours'', "timestamp", ''2000-01-03 00:00+00'')')) b(id, bucket) USING (id),
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L)',
								'counters', 'cell_id', b.bucket, '"timestamp"', :metrics)) c
ORDER BY d.id;
-- a count of nothing is there, and the only result
SELECT aggregation_type, min(metric_value), max(metric_value), sum(sample_count)
FROM RuleExecutionResults WHERE metric_name = 'empty' GROUP BY 1;

-- Each granularity alone gives the same, to the bit where nothing is rounded.
CREATE TABLE merged AS
SELECT granularity, entity_id, "timestamp", metric_name, aggregation_type, metric_value, sample_count, result_name
FROM RuleExecutionResults;
DELETE FROM batch_jobs;
INSERT INTO batch_jobs (event_name) SELECT 'EVERYHOUR' FROM generate_series(1, 8);
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity)
SELECT 1 + i, 'cell', 'counters', g
FROM unnest(ARRAY['1-hour', '4-hour', '1-day', '1-week', '1-month', '15-minute', '3-day', '5-hour'])
	 WITH ORDINALITY u(g, i);
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
SELECT j.id, m.key, :all_aggregates FROM jsonb_each_text(:metrics) m, batch_jobs j;
SELECT count(*), sum(changed) FROM batchagg_run_all();
CREATE TABLE alone AS
SELECT granularity, entity_id, "timestamp", metric_name, aggregation_type, metric_value, sample_count, result_name
FROM RuleExecutionResults;
SELECT count(*) FROM merged;
SELECT count(*)
FROM merged m FULL JOIN alone a
	 USING (granularity, entity_id, "timestamp", metric_name, aggregation_type, sample_count, result_name)
WHERE CASE WHEN aggregation_type ~ 'std|var|avg' THEN plain.same(m.metric_value, a.metric_value)
		   ELSE m.metric_value = a.metric_value END IS NOT TRUE;
DROP TABLE merged, alone;
DELETE FROM batch_jobs;

-- Zones with summer time: hours are real time, longer buckets follow the clock.
INSERT INTO batch_jobs (id, event_name) VALUES (20, 'EVERYHOUR');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity, timezone)
SELECT 20 + row_number() OVER (), 20, 'cell', 'counters', g, z
FROM unnest(ARRAY['Europe/Berlin', 'America/New_York', 'Asia/Kathmandu']) z,
	 unnest(ARRAY['1-hour', '4-hour', '1-day', '1-week', '1-month']) g;
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
VALUES (20, 'whole', 'sum,count,first,last,median'), (20, 'double', 'avg,max');
SELECT status, rows_read FROM batchagg_run_job(20);
SELECT d.id, d.timezone, d.granularity, c.*
FROM batchjob_definitions d,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L)',
		'counters', 'cell_id',
		CASE d.granularity
			WHEN '1-hour' THEN
				format('date_bin(''1 hour'', "timestamp", timestamp ''2000-01-03 00:00'' AT TIME ZONE %L)', d.timezone)
			WHEN '4-hour' THEN
				format('date_bin(''4 hours'', "timestamp" AT TIME ZONE %L, ''2000-01-03'') AT TIME ZONE %1$L', d.timezone)
			ELSE format('date_trunc(%L, "timestamp", %L)', split_part(d.granularity, '-', 2), d.timezone)
		END, '"timestamp"', '{"whole": "whole", "double": "double"}')) c
ORDER BY d.id;
-- the days on which the clock was put forward
SELECT d.timezone, r."timestamp" AT TIME ZONE 'UTC' AS starts,
	   lead(r."timestamp") OVER (PARTITION BY d.timezone ORDER BY r."timestamp") - r."timestamp" AS length
FROM RuleExecutionResults r JOIN batchjob_definitions d ON d.id = r.definition_id
WHERE r.granularity = '1-day' AND r.entity_id = 'cell1' AND r.result_name = 'tsum_day_whole'
	AND (d.timezone, ("timestamp" AT TIME ZONE d.timezone)::date) IN
		(('Europe/Berlin', '2024-03-31'), ('America/New_York', '2024-03-10'), ('Asia/Kathmandu', '2024-03-31'),
		 ('Europe/Berlin', '2024-04-01'), ('America/New_York', '2024-03-11'), ('Asia/Kathmandu', '2024-04-01'))
ORDER BY 1, 2;
DELETE FROM batch_jobs;

-- Times without zone, and dates, are read in the definition's time zone.
INSERT INTO batch_jobs (id, event_name) VALUES (40, 'EVERYHOUR');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity, timezone)
VALUES (41, 40, 'cell', 'counters', '1-hour', 'Europe/Berlin'), (42, 40, 'cell', 'counters', '1-day', 'Europe/Berlin'),
	   (43, 40, 'cell', 'counters', '1-day', 'UTC');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (40, 'whole', 'sum,count,last');
INSERT INTO metricsandtables (metricname, tablename, time_column) VALUES ('whole', 'counters', 'local');
SELECT status, rows_read FROM batchagg_run_job(40);
SELECT d.id, c.*
FROM batchjob_definitions d,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L)', 'counters', 'cell_id',
		format('date_trunc(%L, local AT TIME ZONE %L, %2$L)', split_part(d.granularity, '-', 2), d.timezone),
		format('local AT TIME ZONE %L', d.timezone), '{"whole": "whole"}')) c
ORDER BY d.id;
UPDATE metricsandtables SET time_column = 'day';
SELECT status, rows_read FROM batchagg_run_job(40);
SELECT d.id, c.*
FROM batchjob_definitions d,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L)', 'counters', 'cell_id',
		format('day::timestamp AT TIME ZONE %L', d.timezone), 'day', '{"whole": "whole"}')) c
ORDER BY d.id;
DELETE FROM batch_jobs;
DELETE FROM metricsandtables;

-- One filter for all definitions is the query's; different ones are flags.
-- Ids of different columns share the scan too, and '*' needs none.
INSERT INTO batch_jobs (id, event_name) VALUES (50, 'EVERYHOUR');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
VALUES (50, 'whole', 'sum,count,p95'), (50, 'exact', 'avg,std,distinct');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity, resource_filter)
VALUES (51, 50, 'cell', 'counters', '1-hour', 'status = "active"'),
	   (52, 50, 'cell', 'counters', '1-day', 'status = "active"');
SELECT status, rows_read, rows_skipped FROM batchagg_run_job(50);
SELECT value FROM batchagg_explain_job(50) WHERE item = 'query';
SELECT d.id, c.*
FROM batchjob_definitions d,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L, %L)', 'counters', 'cell_id',
		format('date_trunc(%L, "timestamp", ''UTC'')', split_part(d.granularity, '-', 2)), '"timestamp"',
		'{"whole": "whole", "exact": "exact"}', 'status = ''active''')) c
ORDER BY d.id;
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity, resource_filter)
VALUES (53, 50, 'cell', 'counters', '1-hour', NULL),
	   (54, 50, 'cell', 'counters', '1-week', 'status IS NULL OR status <> "active"'),
	   (55, 50, '*', 'counters', '1-hour', 'whole > 100 AND flag'),
	   (56, 50, 'site', 'counters', '1-day', 'whole > 100 AND flag'),
	   (57, 50, 'site', 'counters', '1-week', 'whole > 100 AND flag'),
	   (58, 50, 'cell', 'counters', '1-day', 'false');
SELECT status, rows_read, rows_skipped FROM batchagg_run_job(50);
SELECT scan, value FROM batchagg_explain_job(50) WHERE item = 'query';
SELECT definition_id, value FROM batchagg_explain_job(50) WHERE item = 'computed from' ORDER BY 1;
SELECT d.id, d.focal_entity, c.*
FROM batchjob_definitions d,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L, %L)', 'counters',
		CASE d.focal_entity WHEN '*' THEN '''*''' ELSE d.focal_entity || '_id' END,
		format('date_trunc(%L, "timestamp", ''UTC'')', split_part(d.granularity, '-', 2)), '"timestamp"',
		'{"whole": "whole", "exact": "exact"}', replace(coalesce(resource_filter, 'true'), '"', ''''))) c
ORDER BY d.id;
DELETE FROM batch_jobs;

-- A filter that is no more than a boolean column, beside none.
INSERT INTO batch_jobs (id, event_name) VALUES (60, 'EVERYHOUR');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (60, 'whole', 'sum,count');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity, resource_filter)
VALUES (61, 60, 'cell', 'counters', '1-hour', NULL), (62, 60, 'cell', 'counters', '1-hour', 'flag = true');
SELECT status, rows_read, rows_skipped FROM batchagg_run_job(60);
SELECT d.id, c.*
FROM batchjob_definitions d,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L, %L)', 'counters', 'cell_id',
		'date_trunc(''hour'', "timestamp", ''UTC'')', '"timestamp"', '{"whole": "whole"}',
		coalesce(resource_filter, 'true'))) c
ORDER BY d.id;
DELETE FROM batch_jobs;

-- Ids of every kind are grouped by value and stored as their text.
CREATE TYPE colour AS ENUM ('red', 'green', 'blue');
CREATE TABLE owned (
	n integer, "timestamp" timestamptz,
	int_id integer, big_id bigint, numeric_id numeric, text_id text, char_id char(6), uuid_id uuid,
	bool_id boolean, date_id date, enum_id colour, float_id float8, inet_id inet, array_id integer[],
	json_id jsonb, name_id name, time_id timestamptz, nocase_id text COLLATE "C", odd_id text
);
INSERT INTO owned
SELECT i, '2024-05-01 00:00+00'::timestamptz + i * interval '1 hour',
	   i % 4 - 2, i % 4 * 10000000000, (ARRAY[1, 1.0, 1.00, 2.5, 2.50, 'NaN'])[i % 6 + 1], 'text ' || i % 4,
	   (ARRAY['a', 'b', 'abc', 'ABC'])[i % 4 + 1], md5((i % 4)::text)::uuid, i % 2 = 0, '2024-01-01'::date + i % 3,
	   (ARRAY['red', 'green', 'blue'])[i % 3 + 1]::colour, (ARRAY[0, '-0', 'NaN', 1.5, 'Infinity'])[i % 5 + 1],
	   ('10.0.0.' || i % 4)::inet, ARRAY[i % 2, NULL], jsonb_build_object('k', i % 3), 'name' || i % 3,
	   '2024-01-01 00:00+00'::timestamptz + i % 2 * interval '1 microsecond', (ARRAY['x', 'X', 'ä', ''])[i % 4 + 1],
	   (ARRAY['', ' ', E'line\nbreak', '"quoted", \', repeat('long', 400), '*', 'NULL'])[i % 7 + 1]
FROM generate_series(1, 100) i;
INSERT INTO batch_jobs (id, event_name) VALUES (60, 'EVERYHOUR');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (60, 'n', 'sum,count,min,max');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity)
SELECT 60 + row_number() OVER (), 60, replace(attname, '_id', ''), 'owned', '1-day'
FROM pg_attribute WHERE attrelid = 'owned'::regclass AND attname ~ '_id$' ORDER BY attnum;
SELECT status, rows_read, rows_skipped, groups FROM batchagg_run_job(60);
-- Counts the groups of an id that are not stored as one of the texts that
-- its equal ids have, and the stored ones that should not be there.
CREATE FUNCTION owned_differences(id text, OUT groups bigint, OUT different bigint)
LANGUAGE plpgsql SET TimeZone = 'UTC' AS $$
BEGIN
	EXECUTE format($query$
		WITH expected AS (
			SELECT date_trunc('day', "timestamp", 'UTC') AS bucket, array_agg(DISTINCT %3$s) AS ids,
				   sum(n) AS sum, count(n) AS count
			FROM owned GROUP BY 1, %1$I),
		stored AS (
			SELECT "timestamp" AS bucket, entity_id, sum(metric_value) FILTER (WHERE aggregation_type = 'sum') AS sum,
				   sum(metric_value) FILTER (WHERE aggregation_type = 'count') AS count
			FROM RuleExecutionResults WHERE focal_entity = %2$L GROUP BY 1, 2)
		SELECT (SELECT count(*) FROM stored),
			   (SELECT count(*) FROM expected e
				WHERE (SELECT count(*) FROM stored s
					   WHERE s.bucket = e.bucket AND s.entity_id = ANY (e.ids)
						 AND s.sum = e.sum AND s.count = e.count) <> 1) +
			   (SELECT count(*) FROM stored s
				WHERE (SELECT count(*) FROM expected e
					   WHERE s.bucket = e.bucket AND s.entity_id = ANY (e.ids)) <> 1)$query$,
		id, replace(id, '_id', ''),
		-- blanks that pad a char(n) do not count
		CASE id WHEN 'char_id' THEN 'char_id::text' ELSE format('format(''%%s'', %I)', id) END)
	INTO groups, different;
END $$;
SELECT attname, d.*
FROM pg_attribute, owned_differences(attname::text) d WHERE attrelid = 'owned'::regclass AND attname ~ '_id$' ORDER BY attnum;
DROP FUNCTION owned_differences;
DROP TABLE owned;
DROP TYPE colour;
DELETE FROM batch_jobs;

-- Rows without id or time, or with an infinite time, are skipped and counted;
-- others' NULLs are not.  A row counts once, however many definitions skip it.
CREATE TABLE visit (user_id text, "timestamp" timestamptz, pages integer, seconds float8);
INSERT INTO visit VALUES
	('ann', '2024-10-07 09:00+00', 1, 10), ('ann', '2024-10-07 09:59:59.999999+00', 2, NULL),
	('ann', '2024-10-07 10:00+00', 4, 30), ('bob', '2024-10-07 09:30+00', NULL, NULL),
	(NULL, '2024-10-07 09:30+00', 8, 1), ('ann', NULL, 16, 1), (NULL, NULL, 32, 1),
	('ann', 'infinity', 64, 1), ('ann', '-infinity', 128, 1), ('cat', '2999-01-01 00:00+00', 256, 1);
INSERT INTO batch_jobs (id, event_name) VALUES (70, 'EVERYHOUR');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
VALUES (70, 'pages', ' SUM, mean ,Count'), (70, 'seconds', '["stddev", "variance", "min"]');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity)
VALUES (71, 70, 'user', 'visit', '1-hour'), (72, 70, 'user', 'visit', '1-day'), (73, 70, '*', 'visit', '1-day');
SELECT status, rows_read, rows_skipped, groups, results, changed FROM batchagg_run_job(70);
SELECT definition_id, entity_id, "timestamp" AT TIME ZONE 'UTC' AS "timestamp", aggregation_type, metric_value,
	   sample_count, result_name
FROM RuleExecutionResults ORDER BY definition_id, "timestamp", entity_id, result_name;

-- First and last: by time, ties by value.
CREATE TABLE tied (user_id text, "timestamp" timestamptz, level float8);
INSERT INTO tied VALUES
	('ann', '2024-10-07 09:00+00', 7), ('ann', '2024-10-07 09:00+00', 3), ('ann', '2024-10-07 09:00+00', NULL),
	('ann', '2024-10-07 08:59+00', NULL), ('ann', '2024-10-07 09:30+00', 100), ('ann', '2024-10-07 09:40+00', 5),
	('ann', '2024-10-07 09:40+00', 6), ('ann', '2024-10-07 09:50+00', NULL), ('bob', '2024-10-07 09:00+00', 'NaN'),
	('bob', '2024-10-07 09:00+00', 1), ('bob', '2024-10-07 09:00+00', '-Infinity'), ('cat', '2024-10-07 09:00+00', NULL);
INSERT INTO batch_jobs (id, event_name) VALUES (80, 'EVERYHOUR');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
VALUES (80, 'level', 'first,last,delta,min,max,sum,avg,count,median,distinct');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity)
VALUES (81, 80, 'user', 'tied', '1-hour'), (82, 80, 'user', 'tied', '1-day');
SELECT status, groups, results FROM batchagg_run_job(80);
SELECT entity_id, "timestamp" AT TIME ZONE 'UTC' AS "timestamp", aggregation_type, metric_value, sample_count
FROM RuleExecutionResults WHERE definition_id = 81 ORDER BY 2, 1, 3;
SELECT c.* FROM plain.compare(81, $$SELECT * FROM plain.rollup('tied', 'user_id',
	'date_trunc(''hour'', "timestamp", ''UTC'')', '"timestamp"', '{"level": "level"}')$$) c;
SELECT c.* FROM plain.compare(82, $$SELECT * FROM plain.rollup('tied', 'user_id',
	'date_trunc(''day'', "timestamp", ''UTC'')', '"timestamp"', '{"level": "level"}')$$) c;

-- A numeric is taken as a cast to double precision gives it, to the bit.
CREATE TABLE precise (n integer, ts timestamptz, exact numeric);
INSERT INTO precise
SELECT row_number() OVER (), '2024-10-07 09:00+00', x
FROM (SELECT unnest('{0,-0.0,1,-1,0.1,0.2,0.3,1e15,1e16,123456789012345678,9007199254740993,9007199254740992.5,-9007199254740993,1e22,1e23,1e-7,1e-300,4.9e-324,1.7976931348623157e308,0.30000000000000004,2.2250738585072011e-308,NaN,Infinity,-Infinity,12345.6789,0.000012345,1e100}'::numeric[])
	  UNION ALL
	  SELECT (i * 7919.000000000 / (i % 97 + 1))::numeric(30, 10) * 10::numeric ^ (i % 41 - 20) FROM generate_series(1, 2000) i
	  UNION ALL
	  SELECT (sign || whole || 'e' || e)::numeric
	  FROM unnest('{"",-}'::text[]) sign, generate_series(-30, 30) e,
		   unnest('{1,10000,1234567,99999999,9007199254740991,9007199254740992,9007199254740993,9999999999999999,12345678901234567}'::text[]) whole
	  UNION ALL
	  SELECT (('x' || substr(md5(i::text), 1, 1 + i % 15))::bit(60)::bigint * 10::numeric ^ (-(i % 13)))::numeric(40, 12) FROM generate_series(1, 5000) i
	  UNION ALL
	  SELECT x::numeric(200, 90) FROM unnest('{1.5,-2.25,0,123456.789}'::numeric[]) x) u(x);
DELETE FROM batch_jobs;
INSERT INTO batch_jobs (id, event_name) VALUES (85, 'EVERYHOUR');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (85, 'exact', 'max');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity) VALUES (85, 85, 'n', 'precise', '1-hour');
INSERT INTO metricsandtables (metricname, tablename, id_column) VALUES ('exact', 'precise', 'n');
SELECT status, groups FROM batchagg_run_job(85);
SELECT count(*), count(*) FILTER (WHERE float8send(p.exact::float8) <> float8send(r.metric_value)) AS different
FROM precise p JOIN RuleExecutionResults r ON r.entity_id = p.n::text;
DELETE FROM metricsandtables;

-- Up to the horizon: rows from then on are not read yet.  With complete_only,
-- nor are buckets that end after it.
CREATE TABLE recent (user_id text, ts timestamptz, n integer);
INSERT INTO recent
SELECT 'u' || i % 2, now() + i * interval '1 minute', i FROM generate_series(-2000, 300) i;
DELETE FROM batch_jobs;
INSERT INTO batch_jobs (id, event_name) VALUES (90, 'EVERYHOUR');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (90, 'n', 'sum,count,max,last');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity, job_delay, complete_only)
SELECT 90 + row_number() OVER (), 90, 'user', 'recent', g, delay, complete
FROM unnest(ARRAY['1-hour', '1-day']) g, unnest(ARRAY[0, 3]) delay, unnest(ARRAY[false, true]) complete;
SELECT "to" AS horizon, "to" BETWEEN now() - interval '1 minute' AND now() AS now FROM batchagg_run_job(90) \gset
SELECT :'now' AS now;
SELECT d.id, d.granularity, d.job_delay, d.complete_only, c.stored = c.expected AS as_many, c.stored > 0 AS some, c.different
FROM batchjob_definitions d,
	 LATERAL (SELECT :'horizon'::timestamptz - make_interval(hours => d.job_delay) AS horizon,
					 split_part(d.granularity, '-', 2) AS unit) h,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L, %L)', 'recent', 'user_id',
		format('date_trunc(%L, ts, ''UTC'')', unit), 'ts', '{"n": "n"}',
		format('ts < %L', CASE WHEN complete_only THEN date_trunc(unit, horizon, 'UTC') ELSE horizon END))) c
ORDER BY d.id;
-- the next run reads further
UPDATE batchjob_definitions SET job_delay = 1 WHERE job_delay = 3;
SELECT "to" AS horizon FROM batchagg_run_job(90) \gset
SELECT d.id, d.granularity, d.job_delay, d.complete_only, c.stored = c.expected AS as_many, c.stored > 0 AS some, c.different
FROM batchjob_definitions d,
	 LATERAL (SELECT :'horizon'::timestamptz - make_interval(hours => d.job_delay) AS horizon,
					 split_part(d.granularity, '-', 2) AS unit) h,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L, %L)', 'recent', 'user_id',
		format('date_trunc(%L, ts, ''UTC'')', unit), 'ts', '{"n": "n"}',
		format('ts < %L', CASE WHEN complete_only THEN date_trunc(unit, horizon, 'UTC') ELSE horizon END))) c
ORDER BY d.id;
-- all of it in the future
SELECT status, rows_read FROM batchagg_run_job(90);
UPDATE recent SET ts = ts + interval '7 days';
SELECT status, rows_read, groups, results, "from" FROM batchagg_run_job(90);
SELECT count(*) FROM RuleExecutionResults;

DROP SCHEMA plain CASCADE;
DROP EXTENSION batchagg;
DROP TABLE counters, visit, tied, precise, recent;
DROP DOMAIN percentage;
