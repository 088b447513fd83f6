-- What a job can read: every kind of relation, several at once, wide ones, and
-- ones that were changed between two runs.

-- What an interrupted run may have left.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_reader;
RESET client_min_messages;
\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain
SET DateStyle = ISO;
CREATE SCHEMA src;
SET search_path = src, public;

-- A dropped column in front, and one in the middle; one added with a default
-- that old rows do not have stored.
CREATE TABLE base (gone text, user_id integer, ts timestamptz, gone_too numeric, pages integer, seconds float8);
INSERT INTO base
SELECT 'x', i % 4, '2024-01-01 00:00+00'::timestamptz + i * interval '17 minutes', i, i * 7 % 101, CASE WHEN i % 6 > 0 THEN i % 50 / 4.0 END
FROM generate_series(1, 1000) i;
ALTER TABLE base DROP gone, DROP gone_too, ADD bonus integer NOT NULL DEFAULT 5;
INSERT INTO base VALUES (0, '2024-01-01 00:01+00', 1000, 2, 6);

CREATE VIEW viewed AS
SELECT b.user_id, date_trunc('minute', ts) AS ts, pages * f.factor AS pages, seconds, bonus
FROM base b JOIN (VALUES (0, 2), (1, 3), (2, 4)) f(user_id, factor) USING (user_id) WHERE pages > 10;
CREATE MATERIALIZED VIEW stored AS SELECT * FROM base;

CREATE TABLE parted (LIKE base) PARTITION BY RANGE (ts);
CREATE TABLE parted_old PARTITION OF parted FOR VALUES FROM (MINVALUE) TO ('2024-01-05 00:00+00');
-- this one's columns stand in another order
CREATE TABLE parted_new (seconds float8, bonus integer NOT NULL, pages integer, ts timestamptz, user_id integer);
ALTER TABLE parted ATTACH PARTITION parted_new FOR VALUES FROM ('2024-01-05 00:00+00') TO ('2024-01-09 00:00+00');
CREATE TABLE parted_rest PARTITION OF parted DEFAULT PARTITION BY LIST (user_id);
CREATE TABLE parted_rest_even PARTITION OF parted_rest FOR VALUES IN (0, 2);
CREATE TABLE parted_rest_odd PARTITION OF parted_rest DEFAULT;
INSERT INTO parted SELECT * FROM base;

-- partitions of one shape, whose first rows lack the last column
CREATE TABLE alike (user_id integer, ts timestamptz, pages integer, seconds float8) PARTITION BY RANGE (ts);
CREATE TABLE alike_old PARTITION OF alike FOR VALUES FROM (MINVALUE) TO ('2024-01-05 00:00+00');
CREATE TABLE alike_new PARTITION OF alike DEFAULT;
INSERT INTO alike SELECT user_id, ts, pages, seconds FROM base WHERE pages < 50;
ALTER TABLE alike ADD bonus integer;
INSERT INTO alike SELECT user_id, ts, pages, seconds, bonus FROM base WHERE pages >= 50;
CREATE VIEW united AS
SELECT 'yes' AS note, user_id, ts, pages, seconds, bonus FROM alike_old UNION ALL SELECT 'no', user_id, ts, pages, seconds, bonus FROM alike_new;

CREATE TABLE parent (LIKE base);
CREATE TABLE child (extra text) INHERITS (parent);
INSERT INTO parent SELECT * FROM base WHERE pages < 50;
INSERT INTO child SELECT *, 'x' FROM base WHERE pages >= 50;

CREATE EXTENSION postgres_fdw;
DO $$
BEGIN
	EXECUTE format('CREATE SERVER loopback FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host %L, port %L, dbname %L)',
				   split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database());
	EXECUTE format('CREATE USER MAPPING FOR CURRENT_USER SERVER loopback OPTIONS (user %L)', current_user);
END $$;
CREATE FOREIGN TABLE remote (user_id integer, ts timestamptz, pages integer, seconds float8, bonus integer)
	SERVER loopback OPTIONS (schema_name 'src', table_name 'base');

CREATE TEMPORARY TABLE passing AS SELECT * FROM base;
CREATE UNLOGGED TABLE fleeting AS SELECT * FROM base;

INSERT INTO batch_jobs (event_name) SELECT 'EVERYHOUR' FROM generate_series(1, 10);
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, resource_filter)
SELECT j, 'user', (ARRAY['base', 'viewed', 'stored', 'parted', 'parent', 'remote', 'passing', 'fleeting', 'alike', 'united'])[j], g, f
FROM generate_series(1, 10) j, (VALUES ('1-hour', NULL), ('1-day', NULL), ('1-hour', 'pages < 90 AND user_id <> 1')) d(g, f);
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
SELECT j, m, 'sum,count,std,p95,last' FROM generate_series(1, 10) j, unnest(ARRAY['pages', 'seconds', 'bonus']) m;
CREATE VIEW verdict AS
SELECT d.job_id, d.id, d.entity, c.*
FROM batchjob_definitions d,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L, %L)', d.entity, 'user_id',
		format('date_trunc(%L, ts, ''UTC'')', split_part(d.granularity, '-', 2)), 'ts',
		'{"pages": "pages", "seconds": "seconds", "bonus": "bonus"}', coalesce(d.resource_filter, 'true'))) c;
SELECT job_id, status, rows_read, changed FROM batchagg_run_all();
SELECT * FROM verdict ORDER BY id;
SELECT id, source_table FROM batchjob_definitions WHERE granularity = '1-day' ORDER BY id;

-- Through an index, of pages that are all visible, which a scan that returned no
-- columns would not even read.
CREATE INDEX ON base (ts);
VACUUM base;
INSERT INTO batch_jobs (id, event_name) VALUES (11, 'EVERYHOUR');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, resource_filter)
VALUES (11, 'user', 'base', '1-day', 'ts >= ''2024-01-02 12:00+00'' AND ts < ''2024-01-04 08:00+00''');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) SELECT 11, m, 'sum,count,std,p95,last' FROM unnest(ARRAY['pages', 'seconds', 'bonus']) m;
SET enable_seqscan = off;
SET enable_indexscan = off;
SELECT status, rows_read, groups, changed FROM batchagg_run_job(11);
SELECT * FROM verdict WHERE job_id = 11;
SET enable_bitmapscan = off;
RESET enable_indexscan;
SELECT status, rows_read, groups, changed FROM batchagg_run_job(11);
RESET enable_seqscan;
RESET enable_bitmapscan;
DELETE FROM batch_jobs WHERE id = 11;

-- A materialized view has what it had when it was last refreshed.  TRUNCATE
-- leaves nothing, of a partition as well.
DELETE FROM base WHERE user_id = 3;
TRUNCATE parted_new, child, passing;
SELECT job_id, status, rows_read, changed > 0 AS changed FROM batchagg_run_all();
SELECT * FROM verdict ORDER BY id;
REFRESH MATERIALIZED VIEW stored;
TRUNCATE base;
SELECT job_id, status, rows_read, groups, changed > 0 AS changed FROM batchagg_run_all() WHERE job_id IN (1, 2, 3, 6);
SELECT * FROM verdict WHERE job_id IN (1, 2, 3, 6) ORDER BY id;
DELETE FROM batch_jobs;
DROP FOREIGN TABLE remote;
DROP EXTENSION postgres_fdw CASCADE;
DROP MATERIALIZED VIEW stored;
DROP VIEW verdict, viewed;
DROP TABLE passing, fleeting, parent, child;

-- Changed between two runs.  Each time: what the run says, and what is stored.
CREATE TABLE moving (user_id integer, ts timestamptz, pages integer, seconds float8);
INSERT INTO moving SELECT i % 4, '2024-01-01 00:00+00'::timestamptz + i * interval '17 minutes', i % 101, i % 50 / 4.0 FROM generate_series(1, 300) i;
INSERT INTO batch_jobs (id, event_name) VALUES (20, 'EVERYHOUR');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity) VALUES (20, 20, 'user', 'moving', '1-day');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (20, 'pages', 'sum,count'), (20, 'seconds', 'max');
CREATE VIEW verdict AS
SELECT c.* FROM plain.compare(20, $$SELECT * FROM plain.rollup('moving', 'user_id', 'date_trunc(''day'', ts, ''UTC'')', 'ts', '{"pages": "pages", "seconds": "seconds"}')$$) c;
SELECT status, rows_read, changed FROM batchagg_run_job(20);
-- another type, the same values: nothing changes; another column's place
ALTER TABLE moving ALTER pages TYPE numeric(20, 3), ALTER user_id TYPE text;
SELECT status, rows_read, changed FROM batchagg_run_job(20);
ALTER TABLE moving RENAME pages TO was_pages;
ALTER TABLE moving ADD pages smallint;
UPDATE moving SET pages = was_pages;
ALTER TABLE moving DROP was_pages;
SELECT status, rows_read, changed FROM batchagg_run_job(20);
SELECT * FROM verdict;
-- a type that is none, a column that is gone
ALTER TABLE moving ALTER pages TYPE text;
SELECT status FROM batchagg_run_job(20);
ALTER TABLE moving RENAME pages TO views;
SELECT status FROM batchagg_run_job(20);
SELECT count(*) FROM RuleExecutionResults;
ALTER TABLE moving ALTER views TYPE integer USING views::integer;
ALTER TABLE moving RENAME views TO pages;
ALTER TABLE moving RENAME ts TO at;
SELECT status, changed FROM batchagg_run_job(20);
ALTER TABLE moving RENAME at TO ts;
ALTER TABLE moving ALTER ts TYPE text;
SELECT status FROM batchagg_run_job(20);
ALTER TABLE moving ALTER ts TYPE timestamptz USING ts::timestamptz;
ALTER TABLE moving DROP user_id;
SELECT status FROM batchagg_run_job(20);
ALTER TABLE moving ADD user_id integer;
SELECT status, rows_read, rows_skipped, groups, changed FROM batchagg_run_job(20);
UPDATE moving SET user_id = 1;
SELECT status, rows_skipped, groups, changed FROM batchagg_run_job(20);
SELECT * FROM verdict;
-- the relation itself: renamed, dropped, another one of its name, of another kind
ALTER TABLE moving RENAME TO moved;
SELECT status FROM batchagg_run_job(20);
CREATE VIEW moving AS SELECT *, 0 AS more FROM moved WHERE pages > 50;
SELECT status, changed > 0 AS changed FROM batchagg_run_job(20);
SELECT * FROM verdict;
DROP VIEW moving CASCADE;
SELECT status FROM batchagg_run_job(20);
SELECT count(*) > 0 AS kept FROM RuleExecutionResults WHERE definition_id = 20;
-- a table of this name that comes first in the search_path does not count
CREATE TEMPORARY TABLE moving AS SELECT * FROM moved;
SELECT status FROM batchagg_run_job(20);
DROP TABLE moving;
ALTER TABLE moved RENAME TO moving;
SELECT status, changed > 0 AS changed FROM batchagg_run_job(20);
-- rows that a policy hides, now that the owner is another role
CREATE ROLE regress_batchagg_reader;
GRANT USAGE ON SCHEMA src TO regress_batchagg_reader;
GRANT SELECT ON moving TO regress_batchagg_reader;
CREATE POLICY odd ON moving USING (pages % 2 = 1);
ALTER TABLE moving ENABLE ROW LEVEL SECURITY;
SELECT status, changed FROM batchagg_run_job(20);
UPDATE batch_jobs SET owner = 'regress_batchagg_reader' WHERE id = 20;
SELECT status, rows_read, changed > 0 AS changed FROM batchagg_run_job(20);
SELECT c.* FROM plain.compare(20, $$SELECT * FROM plain.rollup('moving', 'user_id', 'date_trunc(''day'', ts, ''UTC'')', 'ts', '{"pages": "pages", "seconds": "seconds"}', 'pages % 2 = 1')$$) c;
REVOKE SELECT ON moving FROM regress_batchagg_reader;
SELECT status FROM batchagg_run_job(20);
GRANT SELECT (user_id, ts, pages) ON moving TO regress_batchagg_reader;
SELECT status FROM batchagg_run_job(20);
DELETE FROM batch_jobs;
DROP TABLE moving;
REVOKE USAGE ON SCHEMA src FROM regress_batchagg_reader;
DROP OWNED BY regress_batchagg_reader;
DROP ROLE regress_batchagg_reader;

-- Metrics of two tables in one job, one of them in rows.
CREATE TABLE visits (user_id text, ts timestamptz, pages integer, clicks integer);
CREATE TABLE sales (id text, ts timestamp, metric_name text, metric_value numeric);
INSERT INTO visits SELECT 'u' || i % 4, '2024-01-01 00:00+00'::timestamptz + i * interval '17 minutes', i % 101, i % 11 FROM generate_series(1, 300) i;
INSERT INTO sales SELECT 'u' || i % 6, '2024-01-02 00:00'::timestamp + i * interval '19 minutes', CASE WHEN i % 3 = 0 THEN 'tax' ELSE 'price' END, i % 77 / 4.0 FROM generate_series(1, 300) i;
INSERT INTO metricsandtables (metricname, tablename) VALUES ('price', 'sales'), ('tax', 'sales'), ('clicks', 'visits');
INSERT INTO batch_jobs (id, event_name) VALUES (30, 'EVERYHOUR');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity) VALUES (31, 30, 'user', 'visits', '1-hour'), (32, 30, 'user', 'visits', '1-week');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
VALUES (30, 'pages', 'sum,count'), (30, 'clicks', 'avg'), (30, 'price', 'sum,max'), (30, 'tax', 'median');
SELECT status, rows_read, groups FROM batchagg_run_job(30);
SELECT definition_id, source, part FROM batchagg_layouts ORDER BY 1, 2, 3;
SELECT d.id, c.*
FROM batchjob_definitions d, LATERAL (SELECT split_part(d.granularity, '-', 2)) u(unit),
	 plain.compare(d.id, format($$
		SELECT * FROM plain.rollup('visits', 'user_id', 'date_trunc(''%1$s'', ts, ''UTC'')', 'ts', '{"pages": "pages", "clicks": "clicks"}')
		UNION ALL
		SELECT * FROM plain.rollup('sales', 'id', 'date_trunc(''%1$s'', ts AT TIME ZONE ''UTC'', ''UTC'')', 'ts',
			'{"price": "CASE WHEN metric_name = ''price'' THEN metric_value END", "tax": "CASE WHEN metric_name = ''tax'' THEN metric_value END"}')$$, unit)) c
ORDER BY d.id;
-- one of them moves into the other table
ALTER TABLE visits ADD tax float8 DEFAULT 1;
UPDATE metricsandtables SET tablename = 'visits' WHERE metricname = 'tax';
SELECT status FROM batchagg_run_job(30);
SELECT d.id, c.*
FROM batchjob_definitions d, LATERAL (SELECT split_part(d.granularity, '-', 2)) u(unit),
	 plain.compare(d.id, format($$
		SELECT * FROM plain.rollup('visits', 'user_id', 'date_trunc(''%1$s'', ts, ''UTC'')', 'ts', '{"pages": "pages", "clicks": "clicks", "tax": "tax"}')
		UNION ALL
		SELECT * FROM plain.rollup('sales', 'id', 'date_trunc(''%1$s'', ts AT TIME ZONE ''UTC'', ''UTC'')', 'ts',
			'{"price": "CASE WHEN metric_name = ''price'' THEN metric_value END"}')$$, unit)) c
ORDER BY d.id;
DELETE FROM batch_jobs;
DELETE FROM metricsandtables;

-- 300 columns of 2 results each: several packed rows a group.
SELECT format('CREATE TABLE wide (cell_id integer, ts timestamptz, %s)', string_agg(format('c%s integer', i), ', ')) FROM generate_series(1, 300) i \gexec
SELECT format('INSERT INTO wide SELECT g %% 3, ''2024-01-01 00:00+00''::timestamptz + g * interval ''23 minutes'', %s FROM generate_series(1, 60) g',
	string_agg(format('CASE WHEN (g + %s) %% 7 > 0 THEN g * %1$s %% 1009 END', i), ', ')) FROM generate_series(1, 300) i \gexec
INSERT INTO batch_jobs (id, event_name) VALUES (40, 'EVERYHOUR');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity) VALUES (41, 40, 'cell', 'wide', '1-hour'), (42, 40, 'cell', 'wide', '1-day');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) SELECT 40, 'c' || i, CASE i % 3 WHEN 0 THEN 'sum,count' WHEN 1 THEN 'max,median' ELSE 'avg,last' END FROM generate_series(1, 300) i;
SELECT status, rows_read, groups, results, changed FROM batchagg_run_job(40);
SELECT definition_id, part, count(*) FROM batchagg_layouts l JOIN batchagg_positions p ON p.layout_id = l.id GROUP BY 1, 2 ORDER BY 1, 2;
SELECT d.id, c.*
FROM batchjob_definitions d,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L)', 'wide', 'cell_id',
		format('date_trunc(%L, ts, ''UTC'')', split_part(d.granularity, '-', 2)), 'ts',
		(SELECT jsonb_object_agg('c' || i, 'c' || i) FROM generate_series(1, 300) i))) c
ORDER BY d.id;
SELECT status, changed FROM batchagg_run_job(40);
-- a change in one column changes one of the packed rows of each group
UPDATE wide SET c249 = c249 + 1 WHERE ts = (SELECT min(ts) FROM wide);
SELECT status, changed FROM batchagg_run_job(40);
-- fewer results: the parts that are left over go
DELETE FROM batchjob_metrics WHERE metric_name > 'c2';
SELECT status, results FROM batchagg_run_job(40);
SELECT d.id, c.*
FROM batchjob_definitions d,
	 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, %L, %L, %L, %L)', 'wide', 'cell_id',
		format('date_trunc(%L, ts, ''UTC'')', split_part(d.granularity, '-', 2)), 'ts',
		(SELECT jsonb_object_agg('c' || i, 'c' || i) FROM generate_series(1, 300) i))) c
ORDER BY d.id;
SELECT definition_id, part, count(*) FROM batchagg_layouts l JOIN batchagg_positions p ON p.layout_id = l.id GROUP BY 1, 2 ORDER BY 1, 2;
DELETE FROM batch_jobs;

-- Results as a source: days of hours, of what was computed and of what others
-- have measured.
INSERT INTO batch_jobs (id, event_name) VALUES (50, 'EVERYHOUR'), (51, 'EVERYHOUR');
INSERT INTO batchjob_definitions (id, job_id, focal_entity, entity, granularity, resource_filter)
VALUES (50, 50, 'user', 'visits', '1-hour', NULL),
	   (51, 51, 'user', 'RuleExecutionResults', '1-day', 'aggregation_type = "sum" AND definition_id = 50 OR definition_id IS NULL');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (50, 'pages', 'sum,count'), (51, 'pages', 'sum,max,count'), (51, 'rain', 'max');
INSERT INTO metricsandtables (metricname, tablename, id_column) VALUES ('rain', 'RuleExecutionResults', 'entity_id');
INSERT INTO metricsandtables (metricname, tablename, id_column) VALUES ('pages', 'visits', NULL), ('pages', 'RuleExecutionResults', 'entity_id');
INSERT INTO RuleExecutionResults (entity_id, "timestamp", metric_name, metric_value)
SELECT 'u1', '2024-01-01 12:00+00'::timestamptz + i * interval '1 hour', 'rain', i FROM generate_series(1, 20) i;
SELECT status, changed FROM batchagg_run_job(50);
SELECT status, rows_read FROM batchagg_run_job(51);
SELECT c.* FROM plain.compare(51, $$
	SELECT * FROM plain.rollup('(SELECT user_id, date_trunc(''hour'', ts, ''UTC'') AS ts, sum(pages) AS pages FROM visits GROUP BY 1, 2) h', 'user_id',
		'date_trunc(''day'', ts, ''UTC'')', 'ts', '{"pages": "pages"}')
	UNION ALL
	SELECT * FROM plain.rollup('generate_series(1, 20) i', '''u1''', 'date_trunc(''day'', ''2024-01-01 12:00+00''::timestamptz + i * interval ''1 hour'', ''UTC'')', 'i', '{"rain": "i"}')$$) c;
-- its own results are not among what it reads, so that a second run finds the same
SELECT status, changed FROM batchagg_run_job(51);
INSERT INTO visits VALUES ('u0', '2024-01-01 00:00+00', 1000);
SELECT job_id, status, changed FROM batchagg_run_all();

DROP SCHEMA plain CASCADE;
DROP EXTENSION batchagg;
DROP SCHEMA src CASCADE;
