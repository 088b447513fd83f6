-- Thousands of metrics with mappings, and thousands of definitions: time and memory grow with their number, not with its square.
CREATE EXTENSION batchagg;
SET TimeZone = 'UTC';
CREATE TABLE readings (user_id text, ts timestamptz, name text, value float8);
INSERT INTO readings SELECT 'u', '2024-01-01', 'm' || g, g FROM generate_series(1, 3000) g;
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR') RETURNING id \gset
INSERT INTO batchjob_metrics SELECT :id, 'm' || g, 'sum,max' FROM generate_series(1, 3000) g;
INSERT INTO metricsandtables (metricname, tablename) SELECT 'm' || g, 'readings' FROM generate_series(1, 3000) g;
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity) VALUES (:id, 'user', 'any', '1-hour'), (:id, 'user', 'any', '1-day');
SELECT status, rows_read, groups, results FROM batchagg_run_job(:id);
SELECT count(*) FROM batchagg_validate_job(:id);
SELECT count(*) FROM (SELECT granularity, metric_name, aggregation_type, metric_value FROM RuleExecutionResults
	EXCEPT SELECT g, name, a, value FROM readings, unnest('{1-hour,1-day}'::text[]) g, unnest('{sum,max}'::text[]) a) d;
-- Definitions with the same buckets share what is remembered of them.
CREATE TABLE one (user_id text, ts timestamptz, n float8);
INSERT INTO one VALUES ('u', '2024-01-01', 1);
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR') RETURNING id \gset
INSERT INTO batchjob_metrics VALUES (:id, 'n', 'sum');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, job_delay) SELECT :id, 'user', 'one', '1-hour', g FROM generate_series(0, 999) g;
SELECT status, groups FROM batchagg_run_job(:id);
SELECT count(*), sum(metric_value) FROM RuleExecutionResults WHERE job_id = :id;

DROP EXTENSION batchagg;
DROP TABLE readings, one;
