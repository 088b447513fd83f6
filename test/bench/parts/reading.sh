# Reading RuleExecutionResults in the ways that README.md shows, and in slower ones.  A
# fifth of the usual number of rows, each an hour of one of 1,000 users; 10 results of
# each, and those of days and weeks: about 20,970,000 results.  With the server's own
# settings; each query is planned anew.

READING_HOURS=$((ROWS / 5000))

make_reading()
{
	SOURCE=reading
	new_source
	sql -o /dev/null -v hours="$READING_HOURS" <<-'END'
		SELECT setseed(0.5);
		CREATE TABLE user_activity AS
		SELECT to_char(u, '"user-"FM0000') AS user_id,
			date_trunc('hour', now()) - h * interval '1 hour' + interval '10 minutes' AS timestamp,
			(random() * 100)::integer AS page_views, random() * 1000 AS seconds
		FROM generate_series(:hours, 1, -1) h, generate_series(1, 1000) u;
		VACUUM (FREEZE, ANALYZE) user_activity;
		SELECT batchagg_create_job('EVERYHOUR', 'user', 'user_activity', '{1-hour,1-day,1-week}',
			'{"page_views": "sum,avg,count,min,max", "seconds": "sum,avg,count,min,max"}', job_name => 'activity');
		SELECT batchagg_run_job('activity');
		VACUUM (ANALYZE) batchagg_store;
	END
}

# Measures query $2 as $1, in a session that has asked it before.
ask()
{
	local ms

	ms=$(sql <<-END
		\o /dev/null
		$2;
		SELECT clock_timestamp() AS began \gset
		$2;
		SELECT clock_timestamp() AS ended \gset
		\o
		SELECT 1000 * extract(epoch FROM :'ended'::timestamptz - :'began'::timestamptz);
	END
	)
	note "$1" "$ms" ms
}

OF_JOB="FROM RuleExecutionResults WHERE job_name = 'activity'"
SUMS="$OF_JOB AND result_name = 'tsum_hour_page_views'"
WEEK="timestamp >= batchagg_bucket('1-week', now() - interval '7 days') AND timestamp < batchagg_bucket('1-week', now())"
BUCKET="timestamp = batchagg_bucket('1-hour', now() - interval '3 days')"

# "max(metric_value) FILTER ..." of four results, and the condition on them.
FOUR="max(metric_value) FILTER (WHERE result_name = 'tsum_hour_page_views'),
	max(metric_value) FILTER (WHERE result_name = 'tcount_hour_page_views'),
	max(metric_value) FILTER (WHERE result_name = 'tavg_hour_page_views'),
	max(metric_value) FILTER (WHERE result_name = 'tmax_hour_page_views')"
OF_FOUR="result_name IN ('tsum_hour_page_views', 'tcount_hour_page_views', 'tavg_hour_page_views', 'tmax_hour_page_views')"

measure_side_by_side()
{
	ask "four results side by side, a week of a user" "SELECT timestamp, $FOUR
		$OF_JOB AND entity_id = 'user-0077' AND $WEEK AND $OF_FOUR GROUP BY timestamp ORDER BY timestamp"
	ask "the same, an hour of all users" "SELECT entity_id, $FOUR
		$OF_JOB AND $BUCKET AND $OF_FOUR GROUP BY entity_id ORDER BY entity_id"
	ask "two results by a self-join, a week of a user" "
		SELECT a.timestamp, a.metric_value, b.metric_value
		FROM RuleExecutionResults a JOIN RuleExecutionResults b USING (job_name, entity_id, timestamp)
		WHERE job_name = 'activity' AND entity_id = 'user-0077' AND $WEEK
			AND a.result_name = 'tsum_hour_page_views' AND b.result_name = 'tcount_hour_page_views'"
}

measure_latest()
{
	ask "latest of each user, of two days" "SELECT DISTINCT ON (entity_id) entity_id, timestamp, metric_value
		$SUMS AND timestamp >= now() - interval '2 days' ORDER BY entity_id, timestamp DESC"
	ask "latest of each user, without a bound" "SELECT DISTINCT ON (entity_id) entity_id, timestamp, metric_value
		$SUMS ORDER BY entity_id, timestamp DESC"
	ask "last complete hour of all users" "SELECT entity_id, metric_value
		$SUMS AND timestamp = batchagg_bucket('1-hour', now() - interval '1 hour')"
	ask "max(timestamp) of a result" "SELECT max(timestamp) $SUMS"
	ask "max(timestamp) of a job" "SELECT max(timestamp) $OF_JOB"
	ask "the 10 newest of a result" "SELECT * $SUMS ORDER BY timestamp DESC LIMIT 10"
}

measure_top()
{
	ask "top 10 of an hour" "SELECT entity_id, metric_value $SUMS AND $BUCKET ORDER BY metric_value DESC LIMIT 10"
	ask "top 10 of a week" "SELECT entity_id, metric_value $OF_JOB AND result_name = 'tsum_week_page_views'
		AND timestamp = batchagg_bucket('1-week', now() - interval '7 days') ORDER BY metric_value DESC LIMIT 10"
	ask "top 10 of a week, summed from hours" "SELECT entity_id, sum(metric_value) $SUMS AND $WEEK
		GROUP BY entity_id ORDER BY 2 DESC LIMIT 10"
}

measure_reading()
{
	measure_side_by_side
	measure_latest
	measure_top
}

make_reading
take_turns measure_reading
drop_source
