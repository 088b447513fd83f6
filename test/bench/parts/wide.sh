# Tables of many columns.

# The plain statement for the metrics numbered $NUMBERS.  A query has at most
# 1664 columns, so there must be as many as that takes; or it has one column for
# each metric, an array of its aggregates.
wide_select()
{
	local metrics=($NUMBERS) metric aggregate list=() call
	local most=$((1662 / $(wc -w <<<"$AGGREGATES"))) parts each part

	if [ "$1" = "arrays" ]; then
		for metric in $NUMBERS; do
			call=
			for aggregate in $AGGREGATES; do
				call+="${call:+, }$aggregate(m$metric)"
			done
			list+=("ARRAY[$call]")
		done
		discard "SELECT entity_id, $HOUR AS bucket, $(IFS=,; echo "${list[*]}")
			FROM source GROUP BY 1, 2"
		return
	fi
	parts=$(((${#metrics[@]} + most - 1) / most)) each=$(((${#metrics[@]} + parts - 1) / parts))
	for ((part = 0; part < parts; part++)); do
		discard "$(group_query "${metrics[*]:part * each:each}" "$HOUR")"
	done
}

# Job $WHAT for the metrics numbered $1, against plain SQL.  Some of the
# results are checked: those of the metrics whose number ends in 0.
prepare_wide()
{
	local checked
	NUMBERS=$1

	create_job "$WHAT" 1-hour "$NUMBERS" "$AGGREGATES"
	checked=$(tr ' ' '\n' <<<"$NUMBERS" | grep '0$' | tr '\n' ' ')
	check_results "$WHAT" 1-hour "$(long_query "$checked" "$(group_query "$checked" "$HOUR")")" %0
	choose_plain wide_select columns arrays
}

measure_wide()
{
	measure_plain
	measure_original
	measure_read_side "$WHAT"
}

measure_sparse()
{
	measure_plain "plain SELECT, 10 columns"
	measure_read_side "$WHAT" "read side, 10 columns"
}

HOUR=${BUCKETS[1]}
METRICS=50 WHAT=wide
use_source wide-50 rows=$((ROWS / 5))
prepare_wide "$(all_metrics)"
take_turns measure_wide
[[ " $PARTS " = *" curves "* ]] || drop_source

METRICS=300
use_source wide-300 rows=$((ROWS / 20))
prepare_wide "$(all_metrics)"
take_turns measure_wide
WHAT=sparse
prepare_wide "$(seq -s ' ' 30 30 300)"
take_turns measure_sparse
drop_source
