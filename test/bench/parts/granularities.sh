# One definition against ten of one job.

measure_definitions()
{
	measure_read_side "1 definition" "read side, 1 definition"
	measure_read_side "10 definitions" "read side, 10 definitions"
}

use_main_source
create_job "1 definition" 1-hour "$(all_metrics)" "$AGGREGATES"
create_job "10 definitions" "$GRANULARITIES" "$(all_metrics)" "$AGGREGATES"
for granularity in 1-hour:hour 1-day:day 1-month:month; do
	check_results "10 definitions" ${granularity%:*} "$(long_query "$(all_metrics)" \
		"$(group_query "$(all_metrics)" "date_trunc('${granularity#*:}', ts)")")"
done
take_turns measure_definitions
