-- The ways to read results that README.md shows, word for word (t/25-readme.t compares
-- them).  All in one transaction, so that it is the same time throughout.
CREATE EXTENSION batchagg;
SET TimeZone = 'UTC';
SET DateStyle = ISO;
BEGIN;
CREATE TABLE user_activity (user_id text, timestamp timestamptz, page_views integer);
-- A week of three users, of whom each has other figures every day.
INSERT INTO user_activity
SELECT u, '2024-10-07 09:10+00'::timestamptz + d * interval '1 day' + h * interval '20 minutes', length(u) * (d + 1) + h
FROM unnest('{alice,bob,caroline}'::text[]) u, generate_series(0, 6) d, generate_series(0, 3) h;
-- The last days: alice in the last hour that is complete, bob a day ago, caroline long ago.
INSERT INTO user_activity
SELECT u, date_trunc('hour', now()) - h * interval '1 hour' + interval '10 minutes', h
FROM (VALUES ('alice', 1), ('alice', 2), ('alice', 30), ('bob', 24), ('bob', 26), ('caroline', 100)) v (u, h);
SELECT batchagg_create_job('EVERYHOUR', 'user', 'user_activity', '{1-hour,1-day,1-week}', '{"page_views": "sum,count"}', job_name => 'activity') AS job \gset
SELECT status FROM batchagg_run_job('activity');

-- Several results side by side.
SELECT timestamp,
	max(metric_value) FILTER (WHERE result_name = 'tsum_hour_page_views') AS page_views,
	max(metric_value) FILTER (WHERE result_name = 'tcount_hour_page_views') AS visits
FROM RuleExecutionResults
WHERE job_name = 'activity' AND entity_id = 'alice' AND timestamp >= '2024-10-07' AND timestamp < '2024-10-14'
	AND result_name IN ('tsum_hour_page_views', 'tcount_hour_page_views')
GROUP BY timestamp ORDER BY timestamp;

-- The latest of each entity.
CREATE VIEW latest AS
SELECT DISTINCT ON (entity_id) entity_id, timestamp, metric_value
FROM RuleExecutionResults
WHERE job_name = 'activity' AND result_name = 'tsum_hour_page_views' AND timestamp >= now() - interval '2 days'
ORDER BY entity_id, timestamp DESC;
SELECT entity_id, date_trunc('hour', now()) - timestamp AS ago, metric_value FROM latest;
CREATE VIEW last_hour AS
SELECT entity_id, metric_value
FROM RuleExecutionResults
WHERE job_name = 'activity' AND result_name = 'tsum_hour_page_views'
	AND timestamp = batchagg_bucket('1-hour', now() - interval '1 hour');
SELECT * FROM last_hour;

-- The top n.
SELECT entity_id, metric_value
FROM RuleExecutionResults
WHERE job_name = 'activity' AND result_name = 'tsum_week_page_views' AND timestamp = batchagg_bucket('1-week', '2024-10-09')
ORDER BY metric_value DESC LIMIT 10;
SELECT entity_id, sum(metric_value) AS page_views
FROM RuleExecutionResults
WHERE job_name = 'activity' AND result_name = 'tsum_hour_page_views' AND timestamp >= '2024-10-07' AND timestamp < '2024-10-14'
GROUP BY entity_id ORDER BY page_views DESC LIMIT 10;
COMMIT;

DROP EXTENSION batchagg CASCADE;
DROP TABLE user_activity;
