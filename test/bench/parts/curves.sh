# The read side against rows, metrics, groups and definitions: figures, and a
# plot.  Figures are named "CURVE: X".

# Notes the read side of job $2 in source $1 as the figure $3.
measure_point()
{
	SOURCE=$1
	export PGDATABASE=$SOURCE
	measure_read_side "$2" "$3"
}

measure_rows_curve()
{
	measure_point text-time-tenth curve-rows "rows: $((ROWS / 10))"
	measure_point text-time curve-rows "rows: $ROWS"
	measure_point text-time-4x curve-rows "rows: $((4 * ROWS))"
}

measure_metrics_curve()
{
	local metrics

	for metrics in 1 5 10 50; do
		measure_point wide-50 "curve-$metrics" "metrics: $metrics"
	done
}

measure_groups_curve()
{
	local granularity

	for granularity in $WIDTHS; do
		measure_point text-time "curve-$granularity" "groups: ${GROUPS_OF[$granularity]}"
	done
}

measure_definitions_curve()
{
	local definitions

	for definitions in 1 2 3 5 7 10; do
		measure_point text-time "curve-$definitions" "definitions: $definitions"
	done
}

hour_job()
{
	create_job "$1" 1-hour "$2" "$AGGREGATES"
}

check_hours()
{
	check_results "$1" 1-hour "$(long_query "$2" "$(group_query "$2" "${BUCKETS[1]}")")"
}

use_source text-time-tenth rows=$((ROWS / 10))
hour_job curve-rows "$(all_metrics)"
use_source text-time-4x rows=$((4 * ROWS))
hour_job curve-rows "$(all_metrics)"
check_hours curve-rows "$(all_metrics)"
use_main_source
hour_job curve-rows "$(all_metrics)"
check_hours curve-rows "$(all_metrics)"
take_turns measure_rows_curve
SOURCE=text-time-tenth drop_source
SOURCE=text-time-4x drop_source

METRICS=50
use_source wide-50 rows=$((ROWS / 5))
for metrics in 1 5 10 50; do
	hour_job "curve-$metrics" "$(seq -s ' ' 1 $metrics)"
done
check_hours curve-10 "$(seq -s ' ' 1 10)"
take_turns measure_metrics_curve
drop_source

use_main_source
WIDTHS="1-month 1-week 1-day 6-hour 1-hour 15-minute 5-minute"
declare -A GROUPS_OF
for granularity in $WIDTHS; do
	create_job "curve-$granularity" $granularity "$(all_metrics)" "$AGGREGATES"
	GROUPS_OF[$granularity]=$(sql -c "SELECT groups FROM batchagg_run_job('curve-$granularity', dry_run => true)")
done
check_hours curve-1-hour "$(all_metrics)"
take_turns measure_groups_curve

granularities=($GRANULARITIES)
for definitions in 1 2 3 5 7 10; do
	create_job "curve-$definitions" "${granularities[*]:0:definitions}" "$(all_metrics)" "$AGGREGATES"
done
check_hours curve-10 "$(all_metrics)"
take_turns measure_definitions_curve

awk -F '\t' '$1 == "curves" { print $3 "\t" $6 }' "$WORK/figures.tsv" |
	awk -f "$BENCH/plot.awk" >"$WORK/curves.svg"
[ -z "$PLOT" ] || cp "$WORK/curves.svg" "$PLOT"
