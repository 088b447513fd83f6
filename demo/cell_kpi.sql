-- Chapter 2: one job, three granularities, one scan.

\echo
\set ECHO queries

SELECT count(*), count(DISTINCT cell_id) AS cells, min(time), max(time)
FROM cell_kpi;

\set ECHO none
\echo 'One job with three definitions: hours, days and weeks by the clocks of Berlin.'
\echo
\set ECHO queries

INSERT INTO batch_jobs (job_name, event_name)
VALUES ('cell kpi', 'EVERYHOURBYMIN10');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity,
		timezone)
SELECT id, 'cell', 'cell_kpi', granularity, 'Europe/Berlin'
FROM batch_jobs, unnest(ARRAY['1-hour', '1-day', '1-week']) granularity
WHERE job_name = 'cell kpi';
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
SELECT id, metric_name, aggregation_types
FROM batch_jobs,
	(VALUES ('rrc_attempts', 'sum'), ('rrc_success', 'sum'),
		('erab_attempts', 'sum'), ('erab_success', 'sum'),
		('drops', 'sum'),
		('handover_attempts', 'sum'), ('handover_success', 'sum'),
		('traffic_dl_mb', 'sum,max'), ('traffic_ul_mb', 'sum'),
		('prb_dl_percent', 'avg,max,p95'), ('users_active', 'avg,max'),
		('throughput_dl_mbps', 'avg,median,p5'))
	metric (metric_name, aggregation_types)
WHERE job_name = 'cell kpi';
\echo
SELECT run_id, status, rows_read, groups, results, changed
FROM batchagg_run_job('cell kpi');

\set ECHO none
\echo 'Access, drops and load of the five busiest cells in the week of October 21:'
\echo
\set ECHO queries

CREATE VIEW cell_week AS
SELECT entity_id AS cell,
	(timestamp AT TIME ZONE 'Europe/Berlin')::date AS week,
	max(metric_value) FILTER (WHERE result_name = 'tsum_week_rrc_attempts')
		AS rrc_attempts,
	max(metric_value) FILTER (WHERE result_name = 'tsum_week_rrc_success')
		AS rrc_success,
	max(metric_value) FILTER (WHERE result_name = 'tsum_week_erab_success')
		AS erab_success,
	max(metric_value) FILTER (WHERE result_name = 'tsum_week_drops')
		AS drops,
	max(metric_value)
		FILTER (WHERE result_name = 'tsum_week_traffic_dl_mb')
		AS traffic_dl_mb,
	max(metric_value)
		FILTER (WHERE result_name = 'tp95_week_prb_dl_percent')
		AS prb_p95
FROM RuleExecutionResults
WHERE granularity = '1-week' AND focal_entity = 'cell'
GROUP BY 1, 2;
\echo
SELECT cell, round((traffic_dl_mb / 1024)::numeric, 1) AS traffic_gb,
	round((100 * rrc_success / rrc_attempts)::numeric, 2) AS access_pct,
	round((100 * drops / erab_success)::numeric, 2) AS drop_percent,
	round(prb_p95::numeric, 1) AS prb_p95
FROM cell_week
WHERE week = '2024-10-21'
ORDER BY traffic_dl_mb DESC LIMIT 5;

\set ECHO none
\echo 'The busy hour of a home, an office and a station cell, from Friday to Monday:'
\echo
\set ECHO queries

SELECT DISTINCT ON (timestamp::date, entity_id)
	to_char(timestamp, 'Dy DD Mon') AS day, entity_id AS cell,
	to_char(timestamp, 'HH24:MI') AS busy_hour,
	round(metric_value::numeric) AS traffic_mb
FROM RuleExecutionResults
WHERE granularity = '1-hour' AND metric_name = 'traffic_dl_mb'
	AND aggregation_type = 'sum'
	AND entity_id IN ('B01-1', 'B02-1', 'B03-1')
	AND timestamp >= '2024-10-25' AND timestamp < '2024-10-29'
ORDER BY timestamp::date, entity_id, metric_value DESC;

\set ECHO none
\echo 'The clocks went back on Sunday the 27th: 100 quarters of an hour instead of 96,'
\echo 'and the hour from 2 to 3 o\'clock is there twice.'
\echo
\set ECHO queries

SELECT timestamp AS day, sample_count AS reports, metric_value AS rrc_attempts
FROM RuleExecutionResults
WHERE result_name = 'tsum_day_rrc_attempts' AND entity_id = 'B01-1'
	AND timestamp >= '2024-10-26' AND timestamp < '2024-10-29'
ORDER BY timestamp;

SELECT timestamp AS hour, sample_count AS reports, metric_value AS rrc_attempts
FROM RuleExecutionResults
WHERE result_name = 'tsum_hour_rrc_attempts' AND entity_id = 'B01-1'
	AND timestamp >= '2024-10-27 01:00' AND timestamp < '2024-10-27 04:00'
ORDER BY timestamp;

\set ECHO none
\echo 'A second run finds nothing changed, and writes nothing:'
\echo
\set ECHO queries

SELECT run_id, status, rows_read, groups, results, changed
FROM batchagg_run_job('cell kpi');

\set ECHO none
\echo 'What a run of the job would do, and why:'
\echo
\set ECHO queries

SELECT scan, definition_id AS def, item, value
FROM batchagg_explain_job('cell kpi');

\set ECHO none
\echo 'So far each run reads the whole table.  Once its changes are tracked, runs read'
\echo 'only what they have to; the first one still reads everything:'
\echo
\set ECHO queries

CREATE INDEX ON cell_kpi (cell_id, time);
SELECT batchagg_track_source('cell_kpi');
SELECT run_id, status, rows_read, groups, results, changed
FROM batchagg_run_job('cell kpi');

\set ECHO none
\echo 'Site B05 had no power on October 16, from 2:00 to 5:30.  Now one of its reports'
\echo 'turns up, and the next run corrects its hour, its day and its week:'
\echo
\set ECHO queries

SELECT granularity, timestamp, sample_count AS reports, metric_value AS drops
FROM RuleExecutionResults
WHERE entity_id = 'B05-1' AND metric_name = 'drops'
	AND (granularity, timestamp) IN (('1-hour', '2024-10-16 05:00'),
		('1-day', '2024-10-16'), ('1-week', '2024-10-14'))
ORDER BY timestamp DESC;

INSERT INTO cell_kpi (cell_id, time, rrc_attempts, rrc_success,
	erab_attempts, erab_success, drops)
VALUES ('B05-1', '2024-10-16 05:15', 12, 9, 9, 9, 7);
\echo
SELECT run_id, status, rows_read, groups, results, changed
FROM batchagg_run_job('cell kpi');

SELECT granularity, timestamp, sample_count AS reports, metric_value AS drops
FROM RuleExecutionResults
WHERE entity_id = 'B05-1' AND metric_name = 'drops'
	AND (granularity, timestamp) IN (('1-hour', '2024-10-16 05:00'),
		('1-day', '2024-10-16'), ('1-week', '2024-10-14'))
ORDER BY timestamp DESC;

\set ECHO none
\echo 'What has been run so far:'
\echo
\set ECHO queries

SELECT run_id, job_id, status, rows_read, groups, results, changed,
	round(1000 * extract(epoch FROM finished_at - started_at)) AS ms
FROM batchagg_runs ORDER BY run_id;

\set ECHO none
