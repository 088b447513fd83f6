-- Making a job in one call: what is taken, what is refused, and what is left behind.

-- What an interrupted run may have left.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_maker;
RESET client_min_messages;
CREATE EXTENSION batchagg;
SET TimeZone = 'UTC';
CREATE TABLE visits (user_id text, ts timestamptz, pages integer, seconds integer, page text);
INSERT INTO visits VALUES ('u1', '2024-10-07 09:05', 3, 10, 'a'), ('u2', '2024-10-07 09:40', 5, 20, 'b');
CREATE TABLE flights (flight_id integer PRIMARY KEY, origin text, destination text, departed timestamptz, landed timestamptz, seats integer);
CREATE TABLE readings (sensor_id text, taken timestamptz, quantity text, amount float8);
INSERT INTO readings VALUES ('s1', '2024-10-07 09:05', 'temp', 20), ('s1', '2024-10-07 09:10', 'load', 0.5);

-- Aggregates are a string or an array of strings.
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{1-hour}', '{"pages": ["sum", "max"], "seconds": "avg,p95"}') AS job \gset
SELECT metric_name, aggregation_types FROM batchjob_metrics WHERE job_id = :job ORDER BY 1;
SELECT count(*) FROM metricsandtables;
SELECT status, results FROM batchagg_run_job(:job);
-- NULL is the default of what has one.
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{1-day}', '{"pages": "sum"}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL) AS job \gset
SELECT j.enable_flag, d.job_delay, d.timezone, d.source_table FROM batch_jobs j JOIN batchjob_definitions d ON d.job_id = j.id WHERE j.id = :job;

-- Columns: of the table that is named, or of the entity's.
SELECT batchagg_create_job('EVERYDAY', 'airport', 'flights', '{1-day}', '{"seats": "sum"}', id_column => 'origin', time_column => 'departed') AS job \gset
SELECT batchagg_create_job('EVERYDAY', 'sensor', 'any', '{1-day}', '{"temp": "avg", "load": "max"}', 'readings',
	name_column => 'quantity', value_column => 'amount', time_column => 'taken') AS sensors \gset
SELECT metricname, tablename, layout, id_column, time_column, metric_column, name_column, value_column FROM metricsandtables ORDER BY 2, 1;
SELECT status FROM batchagg_run_job(:job);
SELECT status, rows_read, results FROM batchagg_run_job(:sensors);
SELECT job_id = :job AS flights, id_column, time_column FROM batchjob_definitions WHERE job_id IN (:job, :sensors) ORDER BY job_id;
-- Another id of the same table is another job's own matter.
SELECT batchagg_create_job('EVERYDAY', 'airport', 'flights', '{1-day}', '{"seats": "sum"}', id_column => 'destination', time_column => 'landed') IS NOT NULL AS made;
-- An existing mapping that says the same is used ...
SELECT batchagg_create_job('EVERYDAY', 'sensor', 'any', '{1-month}', '{"temp": "max"}', 'readings', name_column => 'quantity') AS job \gset
SELECT batchagg_create_job('EVERYDAY', 'sensor', 'any', '{1-month}', '{"load": "min"}', 'readings') AS job \gset
-- ... and one that says otherwise is an error: for other jobs follow it.
SELECT batchagg_create_job('EVERYDAY', 'sensor', 'any', '{1-day}', '{"temp": "sum"}', 'readings', name_column => 'sensor_id');
\echo :LAST_ERROR_SQLSTATE
-- As the hint says.
CREATE VIEW arrivals AS SELECT destination AS airport_id, landed, seats FROM flights;
SELECT batchagg_create_job('EVERYDAY', 'airport', 'arrivals', '{1-day}', '{"seats": "sum"}', 'arrivals') IS NOT NULL AS made;

-- A mapping does not lead other jobs elsewhere whose entity has the metric.
CREATE TABLE temps (cell_id text, ts timestamptz, value float8);
CREATE TABLE humid (cell_id text, ts timestamptz, value float8);
SELECT batchagg_create_job('EVERYHOUR', 'cell', 'humid', '{1-day}', '{"value": "avg"}') AS humid \gset
SELECT batchagg_create_job('EVERYHOUR', 'cell', 'temps', '{1-day}', '{"value": "avg"}', 'temps') > :humid AS made;
DELETE FROM metricsandtables WHERE metricname = 'value';

-- What cannot run is refused, with all that is wrong with it.
SELECT count(*) AS jobs FROM batch_jobs \gset
SELECT batchagg_create_job('HOURLYY', 'user', 'visits', '{1-hour,eon,aeon}', '{"pages": "sums", "page": "sum", "clicks": "avg"}',
	resource_filter => 'country = "de"', timezone => 'Mars/Olympus', job_delay => -1, job_name => '');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{eon}', '{"clicks": "sums"}');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{}', '{"clicks": "sum"}');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{1-hour,1-day}', '{"clicks": "sum", "pages": "sum"}', resource_filter => 'pages >');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visit', '{1-hour,1-day}', '{"pages": "sum"}');
\echo :LAST_ERROR_SQLSTATE
SELECT batchagg_create_job('EVERYHOUR', 'user', 'public.Visit', '{1-hour}', '{"pages": "sum"}');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{1-hour}', '{"pages": "sum"}', 'visists');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'warehouse', '{1-hour}', '{"pages": "sum"}');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'nowhere.visits', '{1-hour}', '{"pages": "sum"}');
SELECT batchagg_create_job('EVERYHOUR', 'person', 'visits', '{1-hour}', '{"pages": "sum"}');
SELECT batchagg_create_job('EVERYDAY', 'flight', 'flights', '{1-hour}', '{"seats": "sum"}', time_column => 'flown');
SELECT batchagg_create_job('EVERYDAY', 'user', 'visits', '{1-hour}', '{"pages": "sum"}', id_column => 'who');
SELECT batchagg_create_job('EVERYDAY', 'sensor', 'readings', '{1-hour}', '{"temp": "sum"}', name_column => 'amount', value_column => 'quantity', time_column => 'taken');
SELECT batchagg_create_job('EVERYDAY', 'sensor', 'batch_jobs_id_seq', '{1-hour}', '{"pages": "sum"}');
-- A name that is taken.
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{1-hour}', '{"pages": "sum"}', job_name => 'visits per hour') IS NOT NULL AS made;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{1-hour}', '{"pages": "sum"}', job_name => 'visits per hour');
\echo :LAST_ERROR_SQLSTATE
DELETE FROM batch_jobs WHERE job_name IS NOT NULL;

-- Mappings that contradict each other, as a job has two metrics of one table.
SELECT batchagg_create_job('EVERYDAY', 'sensor', 'readings', '{1-day}', '{"temp": "sum", "hum": "count"}', name_column => 'sensor_id');

-- Arguments by themselves.
SELECT batchagg_create_job(NULL, NULL, NULL, NULL, NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT batchagg_create_job('', '', '', '{}', '{}', '', '', id_column => '', time_column => '', name_column => '', value_column => '');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{1-hour,NULL}', '{"pages": "sum"}');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{1-hour}', '["pages"]');
\echo :LAST_ERROR_SQLSTATE
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{1-hour}', '"pages"');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{1-hour}', '7');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{1-hour}', 'null');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{1-hour}', '{"pages": 1, "seconds": null, "clicks": {"a": "sum"}, "x": [1], "y": [["sum"]], "": "sum", "z": true}');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{1-hour}', '{"pages": [], "seconds": "", "clicks": ["sum", "su\"m"]}');

SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{1-hour,1-day,1-hour,Day}', '{"pages": "sum", "Pages": "avg", "p.x": "sum", "p_x": "sum"}');
-- The alias of a filter is not a table that is to be made.
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{1-hour}', '{"pages": "sum"}', resource_filter => 'v.pages > 1');
-- Of very many problems only some are shown.
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', (SELECT array_agg('eon' || i) FROM generate_series(1, 20000) i), '{"pages": "sum"}');

-- Nothing is left of what was refused.
SELECT count(*) = :jobs AS unchanged FROM batch_jobs;
SELECT count(*) AS orphans FROM batchjob_metrics WHERE job_id NOT IN (SELECT id FROM batch_jobs);
SELECT DISTINCT tablename FROM metricsandtables ORDER BY 1;

-- What is merely odd is a WARNING, once.
DELETE FROM metricsandtables WHERE tablename = 'public.flights';
SELECT batchagg_create_job('EVERYDAY', 'flight', 'flights', '{1-hour,1-day}', '{"seats": "sum"}', time_column => 'departed') IS NOT NULL AS made;

-- Before its source is there.
SELECT batchagg_create_job('EVERYHOUR', 'user', 'tomorrow', '{1-hour}', '{"pages": "sum"}', validate => false) AS job \gset
SELECT message FROM batchagg_validate_job(:job);
SELECT batchagg_create_job('EVERYHOUR', 'user', 'tomorrow', '{1-hour}', '{"pages": "sum"}', 'tomorrow', time_column => 'ts', validate => false) IS NOT NULL AS made;
CREATE TABLE tomorrow (user_id text, ts timestamptz, pages integer);
SELECT * FROM batchagg_validate_job(:job);
DELETE FROM metricsandtables WHERE tablename = 'public.tomorrow';
-- Rows are checked nevertheless.
SELECT batchagg_create_job('EVERYHOUR', 'user', 'never', '{eon}', '{"pages": "sums"}', validate => false);
SELECT batchagg_create_job('EVERYHOUR', 'user', 'tomorrow', '{day}', '{"page": "sum"}', 'tomorrow', validate => false);

-- Sources are looked at with the rights of the job's owner: who makes it.
CREATE ROLE regress_batchagg_maker;
CREATE SCHEMA hidden;
CREATE TABLE hidden.visits AS SELECT * FROM visits;
SET ROLE regress_batchagg_maker;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{1-hour}', '{"pages": "sum"}');
\echo :LAST_ERROR_SQLSTATE
SELECT batchagg_create_job('EVERYHOUR', 'user', 'hidden.visits', '{1-hour}', '{"pages": "sum"}');
SELECT count(*) FROM batch_jobs;
RESET ROLE;
GRANT SELECT ON visits TO regress_batchagg_maker;
SET ROLE regress_batchagg_maker;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'visits', '{1-hour}', '{"pages": "sum"}', job_name => 'mine') IS NOT NULL AS made;
RESET ROLE;

DROP EXTENSION batchagg;
DROP VIEW arrivals;
DROP TABLE visits, flights, readings, temps, humid, tomorrow;
DROP SCHEMA hidden CASCADE;
DROP ROLE regress_batchagg_maker;
