# DuckDB, in a process of its own, over the same rows: see duckdb.js.  It is
# downloaded, or the part is skipped.  Instants are timestamps without a zone
# there, which is no slower.

DUCKDB=1.5.6-r.1
DIRECTORY=$WORK/duckdb

install_duckdb()
{
	if ! command -v npm >/dev/null; then
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
			--no-install-recommends nodejs npm || return
	fi
	as_user mkdir "$DIRECTORY" && as_user npm install --prefix "$DIRECTORY" \
		--no-audit --no-fund "@duckdb/node-api@$DUCKDB"
}

# Runs the queries on standard input: lines "threads<tab>name<tab>query".
# Prints the name, the seconds, and the number of rows.
duckdb()
{
	as_user NODE_PATH="$DIRECTORY/node_modules" node "$TREE/test/bench/duckdb.js" "$DIRECTORY/source.csv"
}

duckdb_queries()
{
	printf '1\tDuckDB, 1 thread\t%s\n' "$ALL"
	printf '2\tDuckDB, 2 threads\t%s\n' "$ALL"
	printf '1\tDuckDB, 2 medians\t%s\n' "$MEDIANS"
}

measure_duckdb()
{
	local name seconds rows

	duckdb_queries | duckdb >"$DIRECTORY/figures"
	while IFS=$'\t' read -r name seconds rows; do
		[ "$rows" = "$GROUPS_STORED" ] || die "$name: $rows groups, not $GROUPS_STORED"
		note "$name" "$seconds"
	done <"$DIRECTORY/figures"
	measure_read_side duckdb "read side, 1 process"
	[ -z "$HAS_PARALLEL" ] || measure_read_side duckdb "read side, 2 processes" \
		"SET batchagg.max_parallel_workers_per_run = 1;"
	measure_read_side duckdb-medians "read side, 2 medians"
}

install_duckdb >"$WORK/npm.log" 2>&1 || {
	tail -n 3 "$WORK/npm.log"
	echo "duckdb: skipped, it cannot be downloaded"
	return
}
use_main_source
create_job duckdb 1-hour "$(all_metrics)" "$AGGREGATES"
check_results duckdb 1-hour \
	"$(long_query "$(all_metrics)" "$(group_query "$(all_metrics)" "${BUCKETS[1]}")")"
create_job duckdb-medians 1-hour "1 2" median
check_results duckdb-medians 1-hour \
	"$(AGGREGATES=median; long_query "1 2" "$(group_query "1 2" "${BUCKETS[1]}")")"
GROUPS_STORED=$(sql -c "SELECT groups FROM batchagg_run_job('duckdb', dry_run => true)")
ALL=$(group_query "$(all_metrics)" "date_trunc('hour', ts)" | tr '\n\t' '  ')
MEDIANS="SELECT entity_id, date_trunc('hour', ts), median(m1), median(m2) FROM source GROUP BY 1, 2"
sql -c "COPY (SELECT entity_id, ts AT TIME ZONE 'UTC' AS ts, $(seq -s ', ' -f 'm%g' 1 $METRICS)
	FROM source) TO '$DIRECTORY/source.csv' (FORMAT csv, HEADER)"
take_turns measure_duckdb
rm "$DIRECTORY/source.csv"
