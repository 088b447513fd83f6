-- How sources are found: relations, layouts, columns, and what several mappings mean together.
CREATE EXTENSION batchagg;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';

-- Makes a job on a source, runs it, and shows each result; or else the first error.
CREATE FUNCTION rolled_up(focal_entity text, source text, metrics jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	job integer;
	message text;
	detail text;
BEGIN
	job := batchagg_create_job('EVERYHOUR', focal_entity, source, '{day}', metrics);
	PERFORM batchagg_run_job(job);
	RETURN QUERY SELECT concat_ws(' ', entity_id, "timestamp"::date, metric_name, aggregation_type, metric_value)
	FROM RuleExecutionResults WHERE job_id = job ORDER BY 1;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	RETURN NEXT concat_ws(' / ', SQLSTATE, message, nullif(detail, ''));
END $$;

-- Column layout: names without regard to case, and '.' for '_'; the exact name first.
CREATE TABLE counters (id integer, "timestamp" timestamptz, "Page_Views" integer, dl_bytes bigint, "dl.bytes" numeric);
INSERT INTO counters VALUES (7, '2024-01-01 10:00', 3, 10, 100);
SELECT rolled_up('user', 'counters', '{"page.views": "sum", "dl_bytes": "sum"}');
SELECT rolled_up('user', 'counters', '{"dl.bytes": "sum"}');
SELECT rolled_up('user', 'counters', '{"DL_BYTES": "sum"}');

-- Row layout, in its three usual spellings.
CREATE TABLE rows1 (cell_id text, ts timestamp, metric_name text, metric_value float8);
CREATE TABLE rows2 (cell_id text, ts timestamp, udc_config_name varchar(20), udc_config_value integer);
CREATE TYPE kind AS ENUM ('load', 'noise');
CREATE TABLE rows3 (cell_id text, ts timestamp, name kind, value numeric);
INSERT INTO rows1 VALUES ('a', '2024-01-01', 'load', 1), ('a', '2024-01-01', 'noise', 50), ('a', '2024-01-01', 'other', 0);
INSERT INTO rows2 VALUES ('a', '2024-01-01', 'load', 2), ('a', '2024-01-01', 'noise', 60), ('a', '2024-01-01', 'other', 0);
INSERT INTO rows3 VALUES ('a', '2024-01-01', 'load', 3), ('a', '2024-01-01', 'noise', 70);
SELECT rolled_up('cell', 'rows' || n, '{"load": "sum", "noise": "max"}') FROM generate_series(1, 3) n;
-- A metric that is a column makes it column layout, even where it could be rows.
CREATE TABLE both_ways (cell_id text, ts timestamp, metric_name text, metric_value float8, load integer);
SELECT rolled_up('cell', 'both_ways', '{"load": "sum", "noise": "max"}');
INSERT INTO metricsandtables (metricname, tablename, layout) VALUES ('load', 'both_ways', 'row'), ('noise', 'both_ways', NULL);
INSERT INTO both_ways VALUES ('a', '2024-01-01', 'Load', 4, 5);
SELECT rolled_up('cell', 'both_ways', '{"load": "sum", "noise": "max"}');
DELETE FROM metricsandtables;

-- The id: <focal_entity>_id, else id, else it has to be named; of any type.  '*' needs none.
CREATE TABLE ids (cell_id uuid, id inet, "when" date, x integer);
INSERT INTO ids VALUES ('00000000-0000-0000-0000-000000000001', '10.0.0.1', '2024-01-01', 1);
SELECT rolled_up('cell', 'ids', '{"x": "sum"}');
SELECT rolled_up('CELL', 'ids', '{"x": "sum"}');
SELECT rolled_up('host', 'ids', '{"x": "sum"}');
SELECT rolled_up('*', 'ids', '{"x": "sum"}');
ALTER TABLE ids DROP id;
SELECT rolled_up('host', 'ids', '{"x": "sum"}');
INSERT INTO metricsandtables (metricname, tablename, id_column) VALUES ('x', 'ids', 'X');
SELECT rolled_up('host', 'ids', '{"x": "sum"}');
DELETE FROM metricsandtables;

-- The time: a usual name of a fitting type, else the only one that fits, else it has to be named.
CREATE DOMAIN moment AS timestamptz;
CREATE TABLE times (id integer, "timestamp" text, "time" time, ts moment, other timestamp, x integer);
INSERT INTO times VALUES (1, 'late', '10:00', '2024-01-01', '2024-02-01', 1);
SELECT rolled_up('cell', 'times', '{"x": "sum"}');
ALTER TABLE times DROP ts;
SELECT rolled_up('cell', 'times', '{"x": "sum"}');
ALTER TABLE times ADD another date DEFAULT '2024-03-01';
SELECT rolled_up('cell', 'times', '{"x": "sum"}');
INSERT INTO metricsandtables (metricname, tablename, time_column) VALUES ('x', 'times', 'another');
SELECT rolled_up('cell', 'times', '{"x": "sum"}');
DELETE FROM metricsandtables;
ALTER TABLE times DROP other, DROP another;
SELECT rolled_up('cell', 'times', '{"x": "sum"}');

-- What can be a metric.
CREATE DOMAIN share AS numeric(5, 2) CHECK (VALUE >= 0);
CREATE TABLE types (id integer, ts timestamptz, i2 smallint, f4 real, n share, b boolean, iv interval, t text, m money, a integer[]);
INSERT INTO types VALUES (1, '2024-01-01', 2, 1.5, 0.25, true, '1 minute', '1', 1, '{1}');
SELECT rolled_up('cell', 'types', '{"i2": "sum", "f4": "sum", "n": "sum", "b": "sum", "iv": "sum"}');
SELECT rolled_up('cell', 'types', jsonb_build_object(c, 'sum')) FROM unnest('{t,m,a,ts}'::text[]) c;

-- Any relation that can be read.
CREATE VIEW a_view AS SELECT id, ts, i2 * 2 AS i2 FROM types;
CREATE MATERIALIZED VIEW a_matview AS SELECT id, ts, i2 * 3 AS i2 FROM types;
CREATE TABLE parts (id integer, ts timestamptz, i2 smallint) PARTITION BY RANGE (ts);
CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE part2 PARTITION OF parts FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
INSERT INTO parts VALUES (1, '2024-01-01', 8), (1, '2024-02-01', 9);
CREATE TEMPORARY TABLE passing AS SELECT id, ts, i2 * 5 AS i2 FROM types;
CREATE SEQUENCE a_sequence;
CREATE TYPE a_type AS (id integer);
SELECT source, rolled_up('cell', source, '{"i2": "sum"}')
FROM unnest('{a_view,a_matview,parts,passing,a_sequence,a_type,types_not}'::text[]) source;
CREATE INDEX an_index ON types (id);
SELECT rolled_up('cell', 'an_index', '{"i2": "sum"}');
CREATE FOREIGN DATA WRAPPER batchagg_dummy;
CREATE SERVER batchagg_dummy FOREIGN DATA WRAPPER batchagg_dummy;
CREATE FOREIGN TABLE far (id integer, ts timestamptz, i2 smallint) SERVER batchagg_dummy;
SELECT batchagg_create_job('EVERYHOUR', 'cell', 'far', '{day}', '{"i2": "sum"}') AS job \gset
SELECT * FROM batchagg_validate_job(:job);

-- One metric in several tables: the entity says which.
CREATE SCHEMA north;
CREATE SCHEMA south;
CREATE TABLE north.sites (id integer, ts timestamptz, y integer);
CREATE TABLE south.sites (LIKE north.sites);
CREATE TABLE south."Masts" (LIKE north.sites);
INSERT INTO north.sites VALUES (1, '2024-01-01', 1);
INSERT INTO south.sites VALUES (1, '2024-01-01', 2);
INSERT INTO south."Masts" VALUES (1, '2024-01-01', 3);
INSERT INTO metricsandtables (metricname, tablename) VALUES ('y', 'north.sites'), ('Y', 'south.sites'), ('y', 'south."Masts"');
SELECT entity, rolled_up('cell', entity, '{"y": "sum"}')
FROM unnest('{north.sites,South.Sites,masts,"south.\"Masts\"",sites,elsewhere}'::text[]) entity;
SET search_path = south, public;
SELECT rolled_up('cell', 'sites', '{"y": "sum"}');
RESET search_path;

-- Metrics of two tables in one job make two sources; mappings of one must agree.
CREATE TABLE more_sites (id integer, ts timestamptz, z integer, begun timestamptz, w integer);
INSERT INTO more_sites VALUES (1, '2024-01-01', 4, '2024-02-01', 5);
INSERT INTO metricsandtables (metricname, tablename) VALUES ('z', 'more_sites');
SELECT rolled_up('cell', 'masts', '{"y": "sum", "z": "sum"}');
INSERT INTO metricsandtables (metricname, tablename, time_column) VALUES ('w', 'more_sites', 'begun');
SELECT rolled_up('cell', 'more_sites', '{"z": "sum", "w": "sum"}');
UPDATE metricsandtables SET time_column = 'ts' WHERE metricname = 'z';
SELECT rolled_up('cell', 'more_sites', '{"z": "sum", "w": "sum"}');
INSERT INTO metricsandtables (metricname, tablename, metric_column) VALUES ('v', 'more_sites', 'w');
SELECT rolled_up('cell', 'more_sites', '{"v": "sum"}');

-- An id that makes every row a group of its own.
CREATE TABLE keyed (id integer PRIMARY KEY, ts timestamptz, x integer);
SELECT batchagg_create_job('EVERYHOUR', 'cell', 'keyed', '{day}', '{"x": "sum"}') AS job \gset
SELECT severity, message, detail FROM batchagg_validate_job(:job);
SELECT status FROM batchagg_run_job(:job);
ALTER TABLE keyed DROP CONSTRAINT keyed_pkey, ADD PRIMARY KEY (id, ts);
SELECT * FROM batchagg_validate_job(:job);

-- Where the entity is no table when the job is made, it is looked for at each run.
SELECT batchagg_create_job('EVERYHOUR', 'cell', 'tomorrow', '{day}', '{"x": "sum"}', validate => false) AS job \gset
SELECT status FROM batchagg_run_job(:job);
CREATE TABLE tomorrow (id integer, ts timestamptz, x integer);
SELECT status FROM batchagg_run_job(:job);

DROP EXTENSION batchagg;
SET client_min_messages = warning;
DROP SCHEMA north, south CASCADE;
DROP SERVER batchagg_dummy CASCADE;
DROP FOREIGN DATA WRAPPER batchagg_dummy;
DROP MATERIALIZED VIEW a_matview;
DROP VIEW a_view;
DROP TABLE counters, rows1, rows2, rows3, both_ways, ids, times, types, parts, passing, more_sites, keyed, tomorrow;
DROP SEQUENCE a_sequence;
DROP TYPE a_type, kind, moment, share;
DROP FUNCTION rolled_up;
