-- Where a metric is read: the entity that has it comes before mappings to other tables, and who writes a mapping is told what changes.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_reader, regress_batchagg_other;
RESET client_min_messages;
CREATE EXTENSION batchagg;
SET TimeZone = 'UTC';
CREATE TABLE temps (cell_id text, ts timestamptz, value float8, x float8);
CREATE TABLE humid (cell_id text, ts timestamptz, value float8);
CREATE TABLE dimension (cell_id text, name text, value text);
INSERT INTO temps VALUES ('a', '2024-01-01', 1, 10);
INSERT INTO humid VALUES ('a', '2024-01-01', 2);
CREATE FUNCTION results(job integer) RETURNS SETOF text LANGUAGE sql AS
$$ SELECT concat_ws(' ', entity_id, result_name, metric_value) FROM RuleExecutionResults WHERE job_id = job ORDER BY 1 $$;

-- A job that is right without a mapping stays so when another job brings one.
SELECT batchagg_create_job('EVERYHOUR', 'cell', 'humid', '{1-day}', '{"value": "sum"}') AS humid \gset
SELECT status FROM batchagg_run_job(:humid);
SELECT batchagg_create_job('EVERYHOUR', 'cell', 'any', '{1-day}', '{"value": "sum"}', tablename => 'temps') AS temps \gset
SELECT status, changed FROM batchagg_run_job(:humid);
SELECT status, changed FROM batchagg_run_job(:temps);
SELECT results(:humid), results(:temps);
SELECT value FROM batchagg_explain_job(:humid) WHERE item = 'mapping';
SELECT value FROM batchagg_explain_job(:temps) WHERE item IN ('mapping', 'source') ORDER BY 1;
-- So does one whose entity is written in another way, or is a view.
CREATE VIEW doubled AS SELECT cell_id, ts, value * 2 AS value FROM humid;
CREATE TABLE "Upper" AS SELECT cell_id, ts, value + 5 AS "VALUE" FROM humid;
SELECT entity, j.job, r.status, results(j.job)
FROM unnest('{public.humid,HUMID,doubled,Upper}'::text[]) WITH ORDINALITY e (entity, n),
	LATERAL (SELECT batchagg_create_job('EVERYDAY', 'cell', entity, '{1-month}', '{"value": "sum"}', timezone => 'Etc/GMT-' || n) AS job) j,
	LATERAL batchagg_run_job(j.job) r;
-- An entity that cannot be the source of the metric does not come before the mapping; nor one of row layout,
-- as a job can have some of its metrics there and others elsewhere.
CREATE TABLE readings (cell_id text, ts timestamptz, metric_name text, metric_value float8);
INSERT INTO readings VALUES ('a', '2024-01-01', 'load', 3);
SELECT batchagg_create_job('EVERYDAY', 'cell', 'readings', '{1-day}', '{"value": "sum", "load": "sum"}') AS two \gset
SELECT status FROM batchagg_run_job(:two);
SELECT results(:two);
SELECT entity, r.status, results(j.job)
FROM unnest('{dimension,nothing,temps_idx}'::text[]) entity,
	LATERAL (SELECT batchagg_create_job('EVERYDAY', 'cell', entity, '{1-year}', '{"value": "sum"}') AS job) j,
	LATERAL batchagg_run_job(j.job) r;
-- One that has become unclear is an error, and no mapping of another job's takes its place.
CREATE TABLE pressure (cell_id text, measured timestamptz, value float8);
INSERT INTO pressure VALUES ('a', '2024-01-01', 8);
SELECT batchagg_create_job('EVERYDAY', 'cell', 'pressure', '{1-day}', '{"value": "sum"}') AS pressure \gset
SELECT status FROM batchagg_run_job(:pressure);
ALTER TABLE pressure ADD noted timestamptz;
SELECT status FROM batchagg_run_job(:pressure);
ALTER TABLE pressure DROP noted;
ALTER TABLE pressure RENAME cell_id TO cell_number;
SELECT status FROM batchagg_run_job(:pressure);
SELECT results(:pressure);
UPDATE batchjob_definitions SET id_column = 'cell_number' WHERE job_id = :pressure;
SELECT status FROM batchagg_run_job(:pressure);
SELECT results(:pressure);
-- Who makes a relation with the name of a label leads no job there, nor does a mapping lead one whose table is gone.
SELECT batchagg_create_job('EVERYDAY', 'cell', 'label', '{1-day}', '{"value": "max"}', tablename => 'temps') AS label \gset
CREATE VIEW label AS SELECT cell_id, ts, value * 100 AS value FROM humid;
SELECT status FROM batchagg_run_job(:label);
SELECT results(:label);
UPDATE batchjob_definitions SET entity_is_table = true WHERE job_id = :label;
SELECT status FROM batchagg_run_job(:label);
SELECT results(:label);
DROP VIEW label;
SELECT status FROM batchagg_run_job(:label);
SELECT results(:label);
UPDATE batchjob_definitions SET entity_is_table = false WHERE job_id = :label;
SELECT status FROM batchagg_run_job(:label);
SELECT results(:label);
-- A mapping to the entity itself says what its columns are.
INSERT INTO metricsandtables (metricname, tablename, metric_column) VALUES ('value', 'humid', 'value'), ('y', 'temps', 'x'), ('y', 'humid', 'value');
SELECT batchagg_create_job('EVERYDAY', 'cell', 'temps', '{1-day}', '{"y": "sum"}') AS y \gset
SELECT status FROM batchagg_run_job(:y);
SELECT results(:y);
DELETE FROM metricsandtables WHERE metricname = 'y' OR tablename = 'public.humid';
DELETE FROM batch_jobs WHERE id NOT IN (:humid, :temps);
-- A table that is asked for, and an entity that has the metric: a WARNING.
SELECT batchagg_create_job('EVERYDAY', 'cell', 'humid', '{1-week}', '{"value": "max"}', tablename => 'temps') IS NOT NULL AS made;

-- A table that does not exist leads nobody who has another one.
INSERT INTO metricsandtables (metricname, tablename) VALUES ('value', 'temsp');
SELECT status, changed FROM batchagg_run_job(:humid);
SELECT status, changed FROM batchagg_run_job(:temps);
SELECT severity, message, detail FROM batchagg_validate_job(:temps);
-- Where nothing else leads anywhere, it is an error.
INSERT INTO metricsandtables (metricname, tablename) VALUES ('solo', 'sloo');
SELECT batchagg_create_job('EVERYDAY', 'cell', 'any', '{1-day}', '{"solo": "sum"}');
DELETE FROM metricsandtables WHERE tablename IN ('public.temsp', 'public.sloo');

-- Who changes a mapping is told which jobs read something else, or nothing any more.
INSERT INTO metricsandtables (metricname, tablename) VALUES ('value', 'humid');
UPDATE metricsandtables SET metric_column = 'x' WHERE tablename = 'public.temps';
DELETE FROM metricsandtables WHERE tablename = 'public.humid';
UPDATE metricsandtables SET metric_column = 'x' WHERE tablename = 'public.temps';
UPDATE metricsandtables SET metric_column = 'x' WHERE tablename = 'public.temps';
SELECT status, changed FROM batchagg_run_job(:temps);
SELECT results(:temps);
UPDATE metricsandtables SET tablename = 'humid', metric_column = NULL WHERE tablename = 'public.temps';
INSERT INTO metricsandtables (metricname, tablename) VALUES ('unused', 'temps');
DELETE FROM metricsandtables;

-- A superuser's mapping concerns the jobs of others; another role's does not.
CREATE ROLE regress_batchagg_reader;
CREATE ROLE regress_batchagg_other;
GRANT SELECT ON temps, humid TO regress_batchagg_reader, regress_batchagg_other;
INSERT INTO metricsandtables (metricname, tablename) VALUES ('value', 'temps');
SET ROLE regress_batchagg_reader;
SELECT batchagg_create_job('EVERYHOUR', 'cell', 'some', '{1-day}', '{"value": "sum"}') AS reader \gset
SELECT status FROM batchagg_run_job(:reader);
-- One's own that leads nowhere does not take the place of a superuser's.
INSERT INTO metricsandtables (metricname, tablename) VALUES ('value', 'temsp');
SELECT status FROM batchagg_run_job(:reader);
DELETE FROM metricsandtables WHERE tablename = 'public.temsp';
SET ROLE regress_batchagg_other;
INSERT INTO metricsandtables (metricname, tablename) VALUES ('value', 'humid');
SET ROLE regress_batchagg_reader;
SELECT results(:reader);
SELECT status, changed FROM batchagg_run_job(:reader);
RESET ROLE;
SELECT :reader AS reader;
UPDATE metricsandtables SET tablename = 'humid' WHERE tablename = 'public.temps';
SELECT status, changed FROM batchagg_run_job(:reader);
-- An entity that the owner may not read is not passed over in silence.
REVOKE SELECT ON humid FROM regress_batchagg_reader;
UPDATE metricsandtables SET tablename = 'temps' WHERE owner = current_user::regrole;
UPDATE batchjob_definitions SET entity = 'humid' WHERE job_id = :reader;
SELECT status FROM batchagg_run_job(:reader);

-- Jobs of one event that have the same mapping, but read different relations, are not run together: one of them reads
-- what the other has stored.
CREATE TABLE told (cell_id text, ts timestamptz, metric_value float8);
INSERT INTO told VALUES ('a', '2024-01-01', 3);
INSERT INTO metricsandtables (metricname, tablename) VALUES ('metric_value', 'told');
SELECT batchagg_create_job('EVERYDAY', 'cell', 'told', '{1-hour}', '{"metric_value": "sum"}') AS stores \gset
SELECT batchagg_create_job('EVERYDAY', 'cell', 'RuleExecutionResults', '{1-day}', '{"metric_value": "sum"}', id_column => 'entity_id',
	resource_filter => 'job_id = ' || :stores) AS reads \gset
SELECT job_id = :reads AS reads, groups FROM batchagg_run_event('EVERYDAY') WHERE job_id IN (:stores, :reads) ORDER BY job_id;

DROP EXTENSION batchagg;
DROP VIEW doubled;
DROP TABLE told;
DROP TABLE temps, humid, dimension, readings, pressure, "Upper";
DROP FUNCTION results;
DROP ROLE regress_batchagg_reader, regress_batchagg_other;
