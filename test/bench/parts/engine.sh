# All contestants over each source, see run.  Only the first source has all of
# them.

measure_floor()
{
	measure "floor" "" "SELECT sum(m$METRICS) FROM source;"
}

measure_plain_insert()
{
	measure "plain INSERT into long rows" "
		$BEST_SETTING
		CREATE TABLE long_results (
			entity_id text COLLATE \"C\",
			bucket timestamptz,
			metric_name text COLLATE \"C\",
			aggregation_type text COLLATE \"C\",
			metric_value float8 NOT NULL,
			PRIMARY KEY (entity_id, bucket, metric_name, aggregation_type));
		CHECKPOINT;" "
		INSERT INTO long_results $(long_query "$(all_metrics)" \
			"$(group_query "$(all_metrics)" "$BEST_WAY") ORDER BY entity_id::text COLLATE \"C\", bucket");"
	sql -c "DROP TABLE long_results"
}

measure_rerun()
{
	measure "re-run" "CHECKPOINT;" "SELECT * FROM batchagg_run_job('one');"
}

measure_others()
{
	measure_floor
	measure_plain
	measure_read_side one
	measure_end_to_end one
}

measure_all()
{
	measure_others
	measure_rerun
	measure_original
	measure_end_to_end three "three granularities"
	[ $TURN -gt $LONG_RUNS ] || measure_plain_insert
}

# What job "one" writes, with all pages in the WAL that it changes.
measure_size()
{
	local results wal

	wal=$(sql <<-END
		TRUNCATE batchagg_store;
		CHECKPOINT;
		SELECT pg_current_wal_insert_lsn() AS lsn \gset
		SELECT batchagg_run_job('one') \g /dev/null
		SELECT pg_current_wal_insert_lsn() - :'lsn'::pg_lsn;
	END
	)
	check_count
	results=$(sql -c "SELECT count(*) FROM RuleExecutionResults")
	note "WAL bytes a result" "$(awk "BEGIN { print $wal / $results }")" bytes
	note "bytes a result" "$(sql -c "
		SELECT pg_total_relation_size('batchagg_store') / $results.0")" bytes
}

# The results of one metric as a plain table, and what is read from it and from
# the view: a file for pgbench each.
prepare_reading()
{
	local table entity bucket

	sql <<-'END'
		CREATE TABLE long_results AS
		SELECT definition_id, entity_id COLLATE "C" AS entity_id, timestamp,
			metric_name COLLATE "C" AS metric_name,
			aggregation_type COLLATE "C" AS aggregation_type, metric_value, sample_count
		FROM RuleExecutionResults
		WHERE metric_name = 'm5' ORDER BY timestamp, entity_id COLLATE "C";
		CREATE UNIQUE INDEX ON long_results
			(definition_id, entity_id, metric_name, aggregation_type, timestamp);
		CREATE INDEX ON long_results
			(definition_id, metric_name, aggregation_type, timestamp, entity_id);
		VACUUM (ANALYZE);
	END
	entity=$(sql -c "SELECT max(entity_id) FROM source")
	bucket=$(sql -c "SELECT date_trunc('hour', min(ts) + (max(ts) - min(ts)) / 2) FROM source")
	for table in RuleExecutionResults long_results; do
		cat >"$WORK/series.$table" <<-END
			SELECT timestamp, metric_value FROM $table
			WHERE definition_id = 1 AND entity_id = '$entity'
				AND metric_name = 'm5' AND aggregation_type = 'avg' ORDER BY timestamp;
		END
		cat >"$WORK/bucket.$table" <<-END
			SELECT entity_id, metric_value FROM $table
			WHERE definition_id = 1 AND timestamp = '$bucket'
				AND metric_name = 'm5' AND aggregation_type = 'avg';
		END
	done
}

measure_reading()
{
	local name protocol table

	for name in series bucket; do
		for protocol in prepared simple; do
			for table in RuleExecutionResults long_results; do
				note "$name from $table, $protocol" "$(
					as_user pgbench -n -t 1000 -M $protocol -f "$WORK/$name.$table" \
						2>>"$WORK/pgbench.log" |
						awk '/^latency average/ { print $4 }')" ms
			done
		done
	done
}

for source in $SOURCES; do
	use_source "$source" id_type="${source%%-*}" \
		heap_order="$([[ $source = *-random* ]] && echo 'random()' || echo n)" \
		nulls="$([[ $source = *-nulls ]] && echo 0.1 || echo 0)"
	create_job one 1-hour "$(all_metrics)" "$AGGREGATES"
	create_job three "1-hour 1-day 1-week" "$(all_metrics)" "$AGGREGATES"
	check_results three 1-hour \
		"$(long_query "$(all_metrics)" "$(group_query "$(all_metrics)" "${BUCKETS[1]}")")"
	choose_plain plain_select "${BUCKETS[@]}"
	if [ "$source" = "${SOURCES%% *}" ]; then
		take_turns measure_all
		measure_size
		prepare_reading
		take_turns measure_reading
		sql -c "DROP TABLE long_results"
	else
		take_turns measure_others
	fi
	[ "$source" = text-time ] || drop_source
done
