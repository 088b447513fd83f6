-- One table by two ids or two times: id_column and time_column of definitions; and what is found where nothing is named.
\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain
SET TimeZone = 'UTC';
CREATE TABLE flights (id integer PRIMARY KEY, origin text, destination text, departed timestamptz, landed timestamptz, seats integer);
INSERT INTO flights SELECT g, 'o' || g % 3, 'd' || g % 4, '2024-10-07'::timestamptz + g * interval '7 min', '2024-10-07'::timestamptz + g * interval '11 min', g % 50
FROM generate_series(1, 500) g;

-- Two definitions of one job, and two jobs by create_job: each by its own columns.
SELECT batchagg_create_job('EVERYHOUR', 'airport', 'flights', '{1-hour}', '{"seats": "sum,count"}', id_column => 'origin', time_column => 'departed') AS job \gset
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, id_column, time_column)
VALUES (:job, 'airport', 'flights', '1-day', 'destination', 'landed');
SELECT batchagg_create_job('EVERYHOUR', 'airport', 'flights', '{1-day}', '{"seats": "sum,count"}', id_column => 'origin', time_column => 'landed') AS landed \gset
SELECT count(*) AS mappings FROM metricsandtables;
SELECT status FROM batchagg_run_job(:job);
SELECT status FROM batchagg_run_job(:landed);
CREATE VIEW plain.expected AS
SELECT :job AS job_id, '1-hour' AS granularity, origin AS id, date_trunc('hour', departed) AS bucket, sum(seats)::float8 AS sum, count(seats)::float8 AS count FROM flights GROUP BY 3, 4
UNION ALL
SELECT :job, '1-day', destination, date_trunc('day', landed), sum(seats), count(seats) FROM flights GROUP BY 3, 4
UNION ALL
SELECT :landed, '1-day', origin, date_trunc('day', landed), sum(seats), count(seats) FROM flights GROUP BY 3, 4;
CREATE VIEW plain.differences AS
SELECT * FROM (SELECT job_id, granularity, id, bucket, a.name, a.value FROM plain.expected, LATERAL (VALUES ('sum', sum), ('count', count)) a (name, value)) e
FULL JOIN (SELECT job_id, granularity, entity_id AS id, "timestamp" AS bucket, aggregation_type AS name, metric_value AS value FROM RuleExecutionResults) r
USING (job_id, granularity, id, bucket, name, value) WHERE e IS NULL OR r IS NULL;
SELECT count(*) FROM plain.differences;

-- They come before a mapping's, which may even contradict each other; without one the mapping's are used.
INSERT INTO metricsandtables (metricname, tablename, id_column, time_column) VALUES ('seats', 'flights', 'destination', 'landed'), ('id', 'flights', 'origin', 'departed');
SELECT status, changed FROM batchagg_run_job(:job);
SELECT status, changed FROM batchagg_run_job(:landed);
SELECT count(*) FROM plain.differences;
INSERT INTO batchjob_metrics VALUES (:landed, 'id', 'sum');
SELECT status FROM batchagg_run_job(:landed);
UPDATE batchjob_definitions SET time_column = NULL WHERE job_id = :landed;
SELECT message, detail FROM batchagg_validate_job(:landed);
DELETE FROM batchjob_metrics WHERE job_id = :landed AND metric_name = 'id';
UPDATE batchjob_definitions SET id_column = NULL WHERE job_id = :landed;
SELECT status FROM batchagg_run_job(:landed);
SELECT DISTINCT left(entity_id, 1) FROM RuleExecutionResults WHERE job_id = :landed;
UPDATE batchjob_definitions SET id_column = 'origin', time_column = 'landed' WHERE job_id = :landed;
SELECT status FROM batchagg_run_job(:landed);
SELECT count(*) FROM plain.differences;
DELETE FROM metricsandtables;

-- With tracking: marks are of the columns that definitions name; of several ids, of all entities.
SELECT batchagg_track_source('flights');
\echo :LAST_ERROR_MESSAGE
SELECT batchagg_track_source('flights', time_column => 'landed');
SELECT source, time_column, id_column FROM batchagg_sources;
SELECT status FROM batchagg_run_job(:landed);
INSERT INTO flights VALUES (501, 'o1', 'd1', '2024-10-07 02:00', '2024-10-07 03:00', 5);
UPDATE flights SET origin = 'o9' WHERE id = 7;
SELECT status FROM batchagg_run_job(:landed);
SELECT status FROM batchagg_run_job(:job);
SELECT count(*) FROM plain.differences;
-- Another column of the definition: all is computed anew.
UPDATE batchjob_definitions SET id_column = 'destination' WHERE job_id = :landed;
SELECT status FROM batchagg_run_job(:landed);
SELECT DISTINCT left(entity_id, 1) FROM RuleExecutionResults WHERE job_id = :landed;
UPDATE batchjob_definitions SET id_column = 'origin' WHERE job_id = :landed;
SELECT status FROM batchagg_run_job(:landed);
SELECT count(*) FROM plain.differences;
SELECT batchagg_untrack_source('flights');

-- A column that is called like the focal entity is the id, before "id"; <focal_entity>_id comes before both.
SELECT batchagg_create_job('EVERYDAY', 'destination', 'flights', '{1-month}', '{"seats": "sum"}', time_column => 'landed') AS named \gset
SELECT status FROM batchagg_run_job(:named);
SELECT entity_id, metric_value FROM RuleExecutionResults WHERE job_id = :named ORDER BY 1;
SELECT destination, sum(seats) FROM flights GROUP BY 1 ORDER BY 1;
ALTER TABLE flights ADD destination_id integer DEFAULT 1;
SELECT status FROM batchagg_run_job(:named);
SELECT entity_id FROM RuleExecutionResults WHERE job_id = :named ORDER BY 1;
-- A WARNING where the primary key is taken although there is such a column.
UPDATE batchjob_definitions SET id_column = 'ID' WHERE job_id = :named;
SELECT severity, message, detail, hint FROM batchagg_validate_job(:named);
UPDATE batchjob_definitions SET focal_entity = 'flight' WHERE job_id = :named;
SELECT severity, message, detail FROM batchagg_validate_job(:named);

-- What is wrong.
SELECT batchagg_create_job('EVERYDAY', 'airport', 'flights', '{1-day}', '{"seats": "sum"}', id_column => 'orign', time_column => 'seats');
SELECT batchagg_create_job('EVERYDAY', 'airport', 'flights', '{1-day}', '{"seats": "sum"}', id_column => '', time_column => '');
UPDATE batchjob_definitions SET id_column = '' WHERE job_id = :named;
UPDATE batchjob_definitions SET time_column = repeat('x', 64) WHERE job_id = :named;

DROP SCHEMA plain CASCADE;
DROP EXTENSION batchagg;
DROP TABLE flights;
