# Medians: percentile_cont sorts the values of each group, so the plain query
# reads sorted rows.  Sorting text is faster by the C collation.

sorted_select()
{
	discard "$(group_query "$NUMBERS" "$1" "$BY")"
}

# The contestants for the metrics numbered $1 and the aggregates $2.
run_medians()
{
	local AGGREGATES=$2 SETTINGS=("")	# it sorts nearly all of the time
	NUMBERS=$1
	WHAT="${1##* } metrics, ${2// /, }"

	create_job "$WHAT" 1-hour "$NUMBERS" "$AGGREGATES"
	check_results "$WHAT" 1-hour \
		"$(long_query "$NUMBERS" "$(group_query "$NUMBERS" "${BUCKETS[1]}" "$BY")")"
	choose_plain sorted_select "${BUCKETS[@]:0:2}"
	take_turns measure_medians
}

measure_medians()
{
	measure_plain "plain SELECT, $WHAT"
	measure_read_side "$WHAT" "read side, $WHAT"
}

BY='entity_id COLLATE "C"'
use_main_source
run_medians "$(all_metrics)" "$AGGREGATES median"
run_medians "1 2" "median"
