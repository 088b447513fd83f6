#!/bin/bash
#
# How much room should the pages of the store leave for updates?
#
# A job with 1-hour, 1-day and 1-week follows a tracked source through two weeks: each
# hour new rows come, and a run adds a bucket of hours and updates the day's and the
# week's.  An update whose new version finds room on its page needs no new entries in
# the two indexes (HOT); but room that is kept free for it is never used by the hours,
# which are nearly all of the store.  Once for every fillfactor: the bytes that a result
# takes in the end, how many of the updates were HOT, the WAL and the time of a run.
# After each day there is a VACUUM, as autovacuum would do at times.
#
# All candidates are measured in turn, and the turn is repeated; the table printed
# holds medians.
#
# Usually called by "test/bench/run room".  By itself: store_room.sh [turns], default 3,
# on the server that PGHOST, PGPORT, ... lead to, with autovacuum off, where the user is
# a superuser.  HOURS=336 and ENTITIES=300 are the sizes.

set -euo pipefail

turns=${1:-3}
hours=${HOURS:-336}
entities=${ENTITIES:-300}
fillfactors="100 90 80 70"

sql() { psql -X -q -v ON_ERROR_STOP=1 "$@"; }

# A database of its own, left behind so that the figures can be looked at.
sql -d postgres -c "SET client_min_messages = warning" \
	-c "DROP DATABASE IF EXISTS store_room" -c "CREATE DATABASE store_room"
export PGDATABASE=store_room
sql <<'END'
CREATE EXTENSION batchagg;
CREATE TABLE room_figures (fillfactor integer, bytes float8, hot float8, wal float8, ms float8);
CREATE TABLE room_source (entity_id text NOT NULL, ts timestamptz NOT NULL, m1 float8, m2 float8,
	m3 float8, m4 float8, m5 float8, m6 float8, m7 float8, m8 float8, m9 float8, m10 float8);
CREATE INDEX ON room_source (ts);
INSERT INTO metricsandtables (metricname, tablename)
SELECT 'm' || m, 'room_source' FROM generate_series(1, 10) m;
SELECT batchagg_track_source('room_source') \g /dev/null
INSERT INTO batch_jobs (job_name, event_name) VALUES ('room', 'EVERYHOUR') RETURNING id AS job \gset
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity)
SELECT :job, 'entity', 'room_source', g FROM unnest('{1-hour,1-day,1-week}'::text[]) g;
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
SELECT :job, 'm' || m, 'sum,avg,count,min,max,std,var' FROM generate_series(1, 10) m;
END

# The hours, each with its run.
weeks()
{
	local hour

	for ((hour = 0; hour < hours; hour++)); do
		cat <<-END
			INSERT INTO room_source
			SELECT 'entity-' || to_char(e, 'FM0000'),
				'2024-01-01+00'::timestamptz + $hour * interval '1 hour' + m * interval '20 min',
				random(), random(), random(), random(), random(), random(), random(), random(), random(), random()
			FROM generate_series(1, $entities) e, generate_series(0, 2) m;
			SELECT pg_current_wal_insert_lsn() AS before, clock_timestamp() AS began \gset
			SELECT batchagg_run_job('room') \g /dev/null
			INSERT INTO room_runs
			SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), :'before'),
				1000 * extract(epoch FROM clock_timestamp() - :'began');
		END
		[ $(((hour + 1) % 24)) != 0 ] || echo "VACUUM batchagg_store;"
	done
}

measure()
{
	local fillfactor=$1

	sql <<-END
		TRUNCATE room_source, batchagg_store;
		ALTER TABLE batchagg_store SET (fillfactor = $fillfactor);
		SELECT pg_stat_reset() \g /dev/null
		CREATE TABLE room_runs (wal float8, ms float8);
		SELECT batchagg_run_job('room') \g /dev/null
	END
	weeks | sql -f -
	# The statistics have been sent when the session has ended.
	sleep 1
	sql <<-END
		INSERT INTO room_figures
		SELECT $fillfactor,
			pg_total_relation_size('batchagg_store')::float8 / (SELECT sum(cardinality(results)) FROM batchagg_store),
			n_tup_hot_upd::float8 / n_tup_upd,
			(SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY wal) FROM room_runs),
			(SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FROM room_runs)
		FROM pg_stat_user_tables WHERE relname = 'batchagg_store';
		DROP TABLE room_runs;
	END
}

for ((turn = 1; turn <= turns; turn++)); do
	for fillfactor in $fillfactors; do
		measure "$fillfactor"
	done
	echo "room: turn $turn of $turns done"
done

sql -P border=2 -P footer=off <<'END'
SELECT fillfactor,
	round((percentile_cont(0.5) WITHIN GROUP (ORDER BY bytes))::numeric, 2) AS "bytes a result",
	round(100 * (percentile_cont(0.5) WITHIN GROUP (ORDER BY hot))::numeric) AS "HOT updates, %",
	round((percentile_cont(0.5) WITHIN GROUP (ORDER BY wal))::numeric / 1024) AS "WAL of a run, kB",
	round((percentile_cont(0.5) WITHIN GROUP (ORDER BY ms))::numeric, 1) AS "a run, ms"
FROM room_figures GROUP BY fillfactor ORDER BY fillfactor DESC;
END
