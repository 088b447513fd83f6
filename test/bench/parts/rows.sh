# Row layout: a row is the value of one metric.  Twice as many rows as usual,
# with the names m1 ... in random turn; all of them asked for, or half.

make_rows()
{
	SOURCE=rows
	new_source
	sql -v rows=$((2 * ROWS)) -v metrics="$METRICS" <<-'END'
		CREATE TABLE source (entity_id text NOT NULL, ts timestamptz NOT NULL,
			metric_name text NOT NULL, value float8);
		SELECT setseed(0.5) \g /dev/null
		INSERT INTO source
		SELECT to_char(1 + floor(random() * 1000), '"entity-"FM0000'),
			'2024-01-01+00'::timestamptz + (n - 1) * interval '0.1296 s',
			'm' || 1 + floor(random() * :metrics)::integer, random() * 1000
		FROM generate_series(1, :rows) n;
		CREATE STATISTICS source_groups
			ON entity_id, date_bin('6 hours', ts, '2000-01-01+00'), metric_name FROM source;
		VACUUM (FREEZE, ANALYZE) source;
		SELECT pg_prewarm('source') \g /dev/null
		INSERT INTO metricsandtables (metricname, tablename, layout, name_column, value_column)
		SELECT 'm' || m, 'source', 'row', 'metric_name', 'value'
		FROM generate_series(1, :metrics) m;
	END
}

# "'m1', 'm2', ...": the names that are asked for, $1 of them.
names()
{
	seq -s ', ' -f "'m%g'" 1 "$1"
}

# "sum(value) AS sum, ...", with $1, which may be a FILTER clause, and $2, which
# goes behind the names.
value_list()
{
	local name list=()

	for name in $AGGREGATES; do
		list+=("$name(value) $1 AS $name$2")
	done
	(IFS=,; echo "${list[*]}")
}

# The plain query for $ASKED metrics: a group for each of them, or a group for
# all with 7 aggregates for each.
rows_query()
{
	local bucket="date_bin('6 hours', ts, '2000-01-01+00') AS bucket" metric list=()
	local where="WHERE metric_name IN ($(names "$ASKED"))"

	[ "$ASKED" -lt "$METRICS" ] || where=
	if [ "$1" = "GROUP BY name" ]; then
		echo "SELECT entity_id, $bucket, metric_name, $(value_list "" "")
			FROM source $where GROUP BY 1, 2, 3"
		return
	fi
	for ((metric = 1; metric <= ASKED; metric++)); do
		list+=("$(value_list "FILTER (WHERE metric_name = 'm$metric')" $metric)")
	done
	echo "SELECT entity_id, $bucket, $(IFS=,; echo "${list[*]}") FROM source $where GROUP BY 1, 2"
}

rows_select()
{
	discard "$(rows_query "$1")"
}

rows_long_query()
{
	local name list=()

	for name in $AGGREGATES; do
		list+=("('${STORED_AS[$name]:-$name}', $name)")
	done
	echo "SELECT g.entity_id, g.bucket, g.metric_name, r.* FROM ($(rows_query "GROUP BY name")) g,
		LATERAL (VALUES $(IFS=,; echo "${list[*]}")) r(aggregation_type, metric_value)
		WHERE r.metric_value IS NOT NULL"
}

measure_rows()
{
	measure_plain "plain SELECT, $WHAT"
	measure_read_side "$WHAT" "read side, $WHAT"
}

make_rows
for ASKED in $METRICS $((METRICS / 2)); do
	WHAT="$ASKED of $METRICS names"
	create_job "$WHAT" 6-hour "$(seq -s ' ' 1 $ASKED)" "$AGGREGATES"
	check_results "$WHAT" 6-hour "$(rows_long_query)"
	choose_plain rows_select "GROUP BY name" "FILTER"
	take_turns measure_rows
done
drop_source
