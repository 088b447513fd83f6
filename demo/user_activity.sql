-- Chapter 1: the smallest job.

\echo
\echo '== 1. Page views per user and hour ============================================'
\echo
\echo 'The source, an ordinary table:'
\echo

CREATE TABLE user_activity
(
	user_id text,
	timestamp timestamptz,
	page_views integer,
	status text
);

INSERT INTO user_activity VALUES
	('alice', '2024-10-07 09:05+02', 3, 'active'),
	('alice', '2024-10-07 09:40+02', 5, 'active'),
	('bob',   '2024-10-07 09:50+02', 2, 'active'),
	('alice', '2024-10-07 09:55+02', 9, 'blocked'),
	('bob',   '2024-10-07 10:10+02', NULL, 'active'),
	('alice', '2024-10-07 10:20+02', 4, 'active'),
	('carol', '2024-10-07 10:30+02', 7, 'active'),
	('bob',   '2024-10-07 09:15+02', 6, 'active');

TABLE user_activity;

\echo 'A job is a few rows: its schedule, its grouping, its metrics and their table.'
\echo 'Here it is run by hand.'
\echo
\set ECHO queries
\pset expanded on

INSERT INTO batch_jobs (event_name, enable_flag) VALUES ('EVERYHOUR', TRUE);
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity,
		job_delay, resource_filter)
VALUES (1, 'user', 'user_activity', '1-hour', 0, 'status = "active"');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
VALUES (1, 'page_views', 'sum,avg,count');
INSERT INTO metricsandtables (metricname, tablename)
VALUES ('page_views', 'user_activity');
SELECT * FROM batchagg_run_job(1);

\set ECHO none
\pset expanded off
\echo 'The results: one row each, a NULL page_views counts for nothing.'
\echo
\set ECHO queries

SELECT entity_id, timestamp, result_name, metric_value AS value,
	sample_count AS n
FROM RuleExecutionResults WHERE job_id = 1 ORDER BY 1, 2, 3;

\set ECHO none
