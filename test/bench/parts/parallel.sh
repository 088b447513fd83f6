# One process against two.

if [ -z "$HAS_PARALLEL" ]; then
	echo "parallel: skipped, there is no setting batchagg.max_parallel_workers_per_run"
	return
fi

# The plain statement: no parallel plan can be had through a cursor, but EXPLAIN
# ANALYZE throws rows away as well.
explained_select()
{
	echo "EXPLAIN (ANALYZE, TIMING OFF) $(group_query "$(all_metrics)" "$1");"
}

measure_processes()
{
	local workers processes setting

	measure_plain "plain SELECT, 1 or 2 processes"
	for workers in 0 1; do
		processes="$((workers + 1)) process$([ $workers = 0 ] || echo es)"
		setting="SET batchagg.max_parallel_workers_per_run = $workers;"
		measure_read_side parallel "read side, $processes" "$setting"
		measure_end_to_end parallel "end to end, $processes" "$setting"
	done
}

use_main_source
create_job parallel 1-hour "$(all_metrics)" "$AGGREGATES"
PGOPTIONS="-c batchagg.max_parallel_workers_per_run=1" check_results parallel 1-hour \
	"$(long_query "$(all_metrics)" "$(group_query "$(all_metrics)" "${BUCKETS[1]}")")"
serial=("${SETTINGS[@]}")
parallel="SET max_parallel_workers_per_gather = 1;"
SETTINGS+=("$parallel" "$parallel SET parallel_tuple_cost = 0;"
	"$parallel SET parallel_tuple_cost = 0; SET jit = on;")
choose_plain explained_select "${BUCKETS[@]}"
SETTINGS=("${serial[@]}")
take_turns measure_processes
check_count
