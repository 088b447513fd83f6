#!/bin/bash
#
# What does tracking a table cost those who write it?
#
# COPY of 1,000,000 rows of 12 columns, and single-row INSERTs of one client and of
# two, into tables that are not tracked, tracked in either mode, and that have the
# column of mode snapshot only.  All are measured in turn, and the turn is repeated.
# For COPY the table printed has the processor time of the backend, as the machine may
# have others at work; for INSERTs transactions a second.  Medians, and their ratio to
# the table that is not tracked.
#
# Usually called by "test/bench/run tracking".  By itself: tracking.sh [turns],
# default 5, on the server that PGHOST, PGPORT, ... lead to: one on this machine, where
# the user is a superuser.  Whether INSERTs wait for the disk is the server's fsync.

set -euo pipefail

turns=${1:-5}
rows=${ROWS:-1000000}
transactions=${TRANSACTIONS:-5000}
files=$(mktemp -d "${TMPDIR:-/tmp}/tracking.XXXXXX")
trap 'rm -rf "$files"' EXIT
chmod 777 "$files"

tables="bench_none bench_log bench_log_id bench_column bench_snapshot"
columns="user_id, ts, a, b, c, d, e, f, g, h, i, j"

sql() { psql -X -q -v ON_ERROR_STOP=1 "$@"; }

make_tables()
{
	local table

	sql -c 'CREATE EXTENSION IF NOT EXISTS batchagg'
	for table in $tables; do
		sql <<-END
			SET client_min_messages = warning;
			DROP TABLE IF EXISTS $table;
			CREATE TABLE $table (user_id integer, ts timestamptz, a integer, b integer, c float8,
				d float8, e text, f text, g bigint, h numeric, i boolean, j integer);
			CREATE INDEX ON $table (ts);
		END
	done
	sql -o /dev/null <<-END
		SET client_min_messages = warning;
		SELECT batchagg_track_source('bench_log');
		SELECT batchagg_track_source('bench_log_id', id_column => 'user_id');
		SELECT batchagg_track_source('bench_snapshot', 'snapshot', id_column => 'user_id');
		ALTER TABLE bench_column ADD batchagg_xid xid8;
		ALTER TABLE bench_column ALTER batchagg_xid SET DEFAULT pg_current_xact_id();
		COPY (SELECT n % 1000, '2024-01-01'::timestamptz + n * interval '1 second', n, n % 7, n / 3.0,
			n / 7.0, 'text' || n, 'status' || n % 5, n::bigint * 1000, n / 11.0::numeric, n % 2 = 0, n
			FROM generate_series(1, $rows) n) TO '$files/rows';
	END
}

# Milliseconds of processor time that a COPY into table $1 takes.
copy_time()
{
	local used="SELECT sum(t::integer) FROM unnest((string_to_array(pg_read_file('/proc/' ||
		pg_backend_pid() || '/stat'), ' '))[14:15]) t"

	sql -c "TRUNCATE $1" -c CHECKPOINT
	sql -At -c "$used" -c "COPY $1 ($columns) FROM '$files/rows'" -c "$used" |
		awk -v hz="$(getconf CLK_TCK)" 'NR == 1 { a = $1 } END { print ($1 - a) * 1000 / hz }'
}

# Transactions a second of $2 clients that insert into table $1.
insert_rate()
{
	cat >"$files/insert" <<-END
		\\set n random(1, 1000)
		INSERT INTO $1 ($columns) VALUES (:n, now(), :n, 7, 1.5, 2.5, 'text', 'status', 123456789, 12.5, true, 8);
	END
	pgbench -n -M prepared -c "$2" -j "$2" -t "$transactions" -f "$files/insert" 2>/dev/null |
		sed -n 's/^tps = \([0-9.]*\) .*/\1/p'
}

median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }

make_tables
for turn in $(seq "$turns"); do
	for table in $tables; do
		copy_time $table >>"$files/copy.$table"
		insert_rate $table 1 >>"$files/one.$table"
		insert_rate $table 2 >>"$files/two.$table"
	done
done

printf '| | COPY, ms | | 1 client, tps | | 2 clients, tps | |\n|---|---|---|---|---|---|---|\n'
for table in $tables; do
	printf '| %s' "$table"
	for what in copy one two; do
		awk -v x="$(median "$files/$what.$table")" -v base="$(median "$files/$what.bench_none")" \
			'BEGIN { printf " | %d | %.2f", x, x / base }'
	done
	printf ' |\n'
done
sql -c "SET client_min_messages = warning; DROP TABLE ${tables// /, }"
