# What the parts of the benchmark have in common: sources, jobs, plain queries,
# measuring.  For test/bench/run, after lib/machine.sh and lib/cluster.sh.
#
# Sets for the parts: PART, their name; SOURCE, the source in use, and METRICS,
# how many metric columns it has; TURN.

METRICS=10
AGGREGATES="sum avg count min max stddev variance"

# What every session of a contestant begins with.  Memory is ample.
SESSION="SET max_parallel_workers_per_gather = 0; SET jit = off; SET work_mem = '4GB';"

# The ways to write an hour.
BUCKETS=(
	"date_trunc('hour', ts)"
	"date_bin('1 hour', ts, '2000-01-01+00')"
	"date_trunc('hour', ts, 'UTC')"
)

# Of the job with ten definitions.
GRANULARITIES="1-hour 2-hour 3-hour 6-hour 12-hour 1-day 2-day 1-week 2-week 1-month"

# What plain queries are tried with.
SETTINGS=("" "SET jit = on;")

# The rows by which results are checked: about a hundredth of the entities.
SAMPLE="entity_id::text LIKE '%77'"

TURN=0
declare -A MADE		# the sources that there are

sql()
{
	as_user psql -X -q -At -v ON_ERROR_STOP=1 "$@"
}

# ----------------------------------------------------------------------------
# Figures
# ----------------------------------------------------------------------------

# Notes a figure: what was measured, the figure, its unit (seconds).
note()
{
	printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$PART" "$SOURCE" "$1" "${3:-s}" "$TURN" "$2" \
		>>"$WORK/figures.tsv"
}

# Calls the function $1 in each turn.
take_turns()
{
	for ((TURN = 1; TURN <= RUNS; TURN++)); do
		"$1"
		echo "$PART, $SOURCE: turn $TURN of $RUNS done"
	done
	TURN=0
}

# Prints the seconds that statement $2 takes, in a session of its own which has
# seen every page of the source, and after preparation $1.
seconds_of()
{
	sql <<-END
		\o /dev/null
		$SESSION
		SELECT count(*) FROM source;
		$1
		SELECT clock_timestamp() AS began \gset
		$2
		SELECT clock_timestamp() AS ended \gset
		\o
		SELECT extract(epoch FROM :'ended'::timestamptz - :'began'::timestamptz);
	END
}

# The same, noted as $1.
measure()
{
	local seconds

	seconds=$(seconds_of "$2" "$3")
	note "$1" "$seconds"
}

# Measures a dry run of job $1 as $2 ("read side"), after preparation $3: the
# store is empty, and stays so.
measure_read_side()
{
	measure "${2:-read side}" "TRUNCATE batchagg_store; ${3:-}" \
		"SELECT * FROM batchagg_run_job('$1', dry_run => true);"
}

# Measures a run of job $1 into an empty store as $2, after preparation $3.
measure_end_to_end()
{
	measure "${2:-end to end}" "TRUNCATE batchagg_store; CHECKPOINT; ${3:-}" \
		"SELECT * FROM batchagg_run_job('$1');"
}

# ----------------------------------------------------------------------------
# Sources and jobs
# ----------------------------------------------------------------------------

# Makes the source $1 if there is none yet, and makes it the current one; it is
# a database that holds the table "source".  Other arguments are variables of
# source.sql that differ from what is usual.
use_source()
{
	SOURCE=$1
	shift
	if [ -z "${MADE[$SOURCE]:-}" ]; then
		new_source
		sql -v rows="$ROWS" -v id_type=text -v entities=1000 -v metrics="$METRICS" \
			-v heap_order=n -v nulls=0 "${@/#/-v}" -f "$BENCH/source.sql"
	fi
	export PGDATABASE=$SOURCE
	sql -o /dev/null -c "SELECT pg_prewarm('source')"
}

# A database for the source $SOURCE.
new_source()
{
	as_user createdb "$SOURCE"
	export PGDATABASE=$SOURCE
	sql -c "CREATE EXTENSION batchagg" -c "CREATE EXTENSION pg_prewarm"
	MADE[$SOURCE]=yes
}

drop_source()
{
	export PGDATABASE=postgres
	as_user dropdb "$SOURCE"
	unset "MADE[$SOURCE]"
}

# The source of most parts, made once for all of them.
use_main_source()
{
	METRICS=10
	use_source text-time
	sql -c "TRUNCATE batchagg_store"
}

# Creates the job $1: granularities $2, the metrics numbered $3, aggregates $4;
# lists with blanks.
create_job()
{
	sql <<-END
		INSERT INTO batch_jobs (job_name, event_name) VALUES ('$1', 'EVERYDAY')
		RETURNING id AS job \gset
		INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity)
		SELECT :job, 'entity', 'source', g FROM unnest(string_to_array('$2', ' ')) g;
		INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
		SELECT :job, 'm' || m, '${4// /,}' FROM unnest(string_to_array('$3', ' ')) m;
	END
}

# Figures of wrong results would be worth nothing.  So a job like $1, but of
# the sample alone, is run, and its results of granularity $2 and the metrics
# like $4 must be those of the plain query $3, which makes long rows.
check_results()
{
	local verdict

	verdict=$(sql <<-END
		INSERT INTO batch_jobs (job_name, event_name) VALUES ('$1 $2, sample', 'EVERYDAY')
		RETURNING id AS job \gset
		SELECT id AS original FROM batch_jobs WHERE job_name = '$1' \gset
		INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, resource_filter)
		SELECT :job, focal_entity, entity, granularity, \$\$$SAMPLE\$\$
		FROM batchjob_definitions WHERE job_id = :original;
		INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
		SELECT :job, metric_name, aggregation_types FROM batchjob_metrics WHERE job_id = :original;
		\o /dev/null
		SELECT batchagg_run_job(:job);
		\o
		CREATE TEMP TABLE computed AS
		WITH source AS (SELECT * FROM public.source WHERE $SAMPLE) $3;
		CREATE TEMP TABLE stored AS
		SELECT entity_id, timestamp, metric_name, aggregation_type, metric_value
		FROM RuleExecutionResults
		WHERE job_id = :job AND granularity = '$2' AND metric_name LIKE '${4:-%}';
		ANALYZE computed; ANALYZE stored;
		SELECT CASE WHEN count(*) = 0 THEN 'there are none'
			WHEN count(*) FILTER (WHERE ok) < count(*)
			THEN count(*) - count(*) FILTER (WHERE ok) || ' of ' || count(*) || ' differ'
			ELSE 'correct' END
		FROM computed c FULL JOIN stored s ON c.entity_id::text = s.entity_id
				AND c.bucket = s.timestamp AND c.metric_name = s.metric_name
				AND c.aggregation_type = s.aggregation_type,
			LATERAL (SELECT abs(c.metric_value - s.metric_value)
				<= 1e-9 * greatest(abs(c.metric_value), 1)) v(ok);
		TRUNCATE batchagg_store;
		DELETE FROM batch_jobs WHERE id = :job;
	END
	)
	[ "$verdict" = correct ] || die "$PART, $SOURCE: results of job $1 are wrong: $verdict"
}

# The store holds the results of one job: they must count the source's values.
check_count()
{
	[ "$(sql -c "
		SELECT sum(sample_count) = (SELECT count(m1) FROM source) FROM RuleExecutionResults
		WHERE metric_name = 'm1' AND aggregation_type = 'count'")" = t ] ||
		die "$PART, $SOURCE: the results do not count the rows of the source"
}

# ----------------------------------------------------------------------------
# Plain SQL
# ----------------------------------------------------------------------------

# The numbers of all metrics.
all_metrics()
{
	seq -s ' ' 1 "$METRICS"
}

# "sum(m1) AS sum1, avg(m1) AS avg1, ..." for the metrics numbered $1.
aggregate_list()
{
	local metric name call list=()

	for metric in $1; do
		for name in $AGGREGATES; do
			call="$name(m$metric)"
			[ $name != median ] || call="percentile_cont(0.5) WITHIN GROUP (ORDER BY m$metric)"
			list+=("$call AS $name$metric")
		done
	done
	(IFS=,; echo "${list[*]}")
}

# The query that aggregates the metrics numbered $1 by the bucket expression $2
# and by entity_id, or the expression $3.
group_query()
{
	echo "SELECT ${3:+$3 AS }entity_id, $2 AS bucket, $(aggregate_list "$1")
		FROM source GROUP BY 1, 2"
}

# The aggregates whose results are stored by another name.
declare -A STORED_AS=([stddev]=std [variance]=var)

# Its results as rows, for the metrics numbered $1, of the query $2.
long_query()
{
	local metric name list=()

	for metric in $1; do
		for name in $AGGREGATES; do
			list+=("('m$metric', '${STORED_AS[$name]:-$name}', $name$metric)")
		done
	done
	echo "SELECT g.entity_id, g.bucket, r.* FROM ($2) g, LATERAL (VALUES $(IFS=,; echo "${list[*]}"))
		r(metric_name, aggregation_type, metric_value) WHERE r.metric_value IS NOT NULL"
}

# The statement that computes query $1 and throws its rows away.
discard()
{
	echo "BEGIN; DECLARE c NO SCROLL CURSOR FOR $1; MOVE ALL IN c; COMMIT;"
}

# The plain statement for all metrics, by the bucket expression $1.
plain_select()
{
	discard "$(group_query "$(all_metrics)" "$1")"
}

# Tries each of the ways $2 ... to write the plain query once, with each of the
# settings; function $1 makes the statement of a way.  Sets BEST_WAY,
# BEST_SETTING, and BEST, the statement, to the fastest.
choose_plain()
{
	local make=$1 way setting statement seconds least=

	shift
	for way in "$@"; do
		statement=$("$make" "$way")
		for setting in "${SETTINGS[@]}"; do
			seconds=$(seconds_of "SET cursor_tuple_fraction = 1; $setting" "$statement")
			printf '%s, %s: plain SQL, %s: %.3f s\n' "$PART" "$SOURCE" "$way${setting:+, $setting}" "$seconds"
			if [ -z "$least" ] || awk "BEGIN { exit !($seconds < $least) }"; then
				least=$seconds BEST_WAY=$way BEST_SETTING=$setting BEST=$statement
			fi
		done
	done
}

# Measures what was chosen, as $1.
measure_plain()
{
	measure "${1:-plain SELECT}" "SET cursor_tuple_fraction = 1; $BEST_SETTING" "$BEST"
}

# One query for one metric, the one in the middle, with the server's own
# work_mem.
measure_original()
{
	measure "one query per metric, for one" "SET cursor_tuple_fraction = 1; RESET work_mem;" \
		"$(discard "$(group_query $(((METRICS + 1) / 2)) "${BUCKETS[0]}")")"
}
