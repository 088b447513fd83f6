# Few groups and many: a thousand, and as many as there are rows, in order of time,
# where little memory is needed anyway, and in random order.

# Commands of psql that print how much memory of its own the session has used at
# most, in MB.  The shared memory that it has seen does not count; as it has seen
# all of the source before, the peak of both together is that of its own.
print_peak()
{
	cat <<-'END'
		SELECT sum(CASE WHEN line LIKE 'VmHWM%' THEN 1 ELSE -1 END
			* substring(line FROM '\d+')::float8) / 1024
		FROM regexp_split_to_table(pg_read_file('/proc/self/status'), E'\n') line
		WHERE line ~ '^(VmHWM|RssShmem|RssFile):';
	END
}

# The number of the job's groups, and the memory that a run with the setting $1
# takes.
look_at_groups()
{
	sql <<-END
		\o /dev/null
		$SESSION
		SELECT count(*) FROM source;
		$1
		TRUNCATE batchagg_store;
		SELECT groups FROM batchagg_run_job('groups', dry_run => true) \gset
		\o
		SELECT :groups;
		$(print_peak)
	END
}

# Notes that memory as $1, with the setting $2.
note_memory()
{
	local looked

	looked=($(look_at_groups "$2"))
	COUNT=${looked[0]}
	note "memory, $1" "${looked[1]}" MB
}

# Measures with the setting $2, as $1.
measure_budget()
{
	local seconds

	seconds=$(seconds_of "TRUNCATE batchagg_store; $2" \
		"SELECT * FROM batchagg_run_job('groups', dry_run => true);")
	note "read side, $1" "$seconds"
	note "time a group, $1" "$(awk "BEGIN { print 1e6 * $seconds / $COUNT }")" µs
}

measure_groups()
{
	measure_budget "ample memory" "$AMPLE"
	measure_budget "64 MB" "$SCARCE"
}

# Job "groups" of granularity $1, which is the bucket $2.  The sample is so small
# that it takes less memory to have it in temporary files too.
run_groups()
{
	create_job groups "$1" "$(all_metrics)" "$AGGREGATES"
	PGOPTIONS="$PGOPTIONS -c batchagg.work_mem=256kB" check_results groups "$1" "$(long_query "$(all_metrics)" "$(group_query "$(all_metrics)" "$2")")"
	note_memory "ample memory" "$AMPLE"
	note_memory "64 MB" "$SCARCE"
	echo "$PART, $SOURCE: $COUNT groups"
	take_turns measure_groups
}

AMPLE="SET batchagg.work_mem = '16GB';"
SCARCE="SET batchagg.work_mem = '64MB';"
METRICS=10
use_main_source
run_groups 1-month "date_trunc('month', ts)"
SAMPLE="entity_id::text LIKE '%7777'"	# there are so many entities that this is enough
for order in n 'random()'; do
	use_source many-groups-$([ "$order" = n ] && echo time || echo random) \
		entities=$((ROWS * 100)) heap_order="$order"
	run_groups 1-hour "${BUCKETS[0]}"
	drop_source
done
