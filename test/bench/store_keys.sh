#!/bin/bash
#
# Which keys should the packed store have?
#
# Fills a table of the store's shape (720,000 rows: 1,000 entities x 720 hours,
# float8[70]) once for every candidate set of indexes and measures what the
# store is used for: the first write, the reads of one series and of one bucket
# through a view like RuleExecutionResults, the ordered read of a re-run, the
# next hour, the correction of the last bucket, and retention.  A plain long
# table with a fitting index for each read is measured beside them.
#
# All candidates are measured in turn, and the turn is repeated, so that a
# drift of the machine hits all alike; the table printed holds medians.
#
# Usually called by "test/bench/run keys".  By itself: store_keys.sh [turns],
# default 5, a minute each, on the server that PGHOST, PGPORT, ... lead to: one
# on this machine and with autovacuum off, where the user is a superuser, as
# COPY reads server files.  HOURS=720 is the number of hours stored.

set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
turns=${1:-5}
hours=${HOURS:-720}
files=$(mktemp -d "${TMPDIR:-/tmp}/store_keys.XXXXXX")
trap 'rm -rf "$files"' EXIT
chmod 777 "$files"

sql() { psql -X -q -v ON_ERROR_STOP=1 "$@"; }

# A database of its own, left behind so that the figures can be looked at.
sql -d postgres -c "SET client_min_messages = warning" \
	-c "DROP DATABASE IF EXISTS store_keys" -c "CREATE DATABASE store_keys"
export PGDATABASE=store_keys

# name | order of the heap | key of the ordered read | indexes
candidates() {
	cat <<'LIST'
heap only|be|bucket|;
A|be|bucket, entity_id|CREATE UNIQUE INDEX ON store (layout_id, bucket, entity_id); CREATE INDEX ON store (layout_id, entity_id, bucket);
B|be|entity_id, bucket|CREATE UNIQUE INDEX ON store (layout_id, entity_id, bucket); CREATE INDEX ON store USING brin (bucket) WITH (pages_per_range = 16);
C|be|bucket, entity_id|CREATE UNIQUE INDEX ON store (layout_id, bucket, entity_id);
D|eb|entity_id, bucket|CREATE UNIQUE INDEX ON store (layout_id, entity_id, bucket);
E|be|entity_id, bucket|CREATE UNIQUE INDEX ON store (layout_id, entity_id, bucket); CREATE INDEX ON store (layout_id, bucket);
F|be|bucket, entity_id|CREATE UNIQUE INDEX ON store (layout_id, bucket, entity_id); CREATE INDEX ON store (layout_id, entity_id);
G|be|bucket, entity_id|CREATE UNIQUE INDEX ON store (layout_id, bucket, entity_id); CREATE INDEX ON store USING hash (entity_id);
H|eb|entity_id, bucket|CREATE UNIQUE INDEX ON store (layout_id, entity_id, bucket); CREATE INDEX ON store (layout_id, bucket);
I|eb|bucket, entity_id|CREATE UNIQUE INDEX ON store (layout_id, bucket, entity_id); CREATE INDEX ON store (layout_id, entity_id, bucket);
LIST
}

sql -v hours="$hours" -v be="$files/be" -v eb="$files/eb" -v append="$files/append" <<'EOS'
SET client_min_messages = warning;
SET TimeZone = 'UTC';

CREATE TABLE definitions (id integer PRIMARY KEY, job_id integer, focal_entity text,
	granularity text);
INSERT INTO definitions VALUES (1, 1, 'entity', '1-hour');
CREATE TABLE layouts (id integer PRIMARY KEY, definition_id integer, source text, part smallint,
	UNIQUE (definition_id, source, part));
INSERT INTO layouts VALUES (1, 1, 's', 1);
CREATE TABLE positions (layout_id integer, position smallint, metric smallint,
	metric_name text, aggregation_type text, result_name text,
	PRIMARY KEY (layout_id, position));
INSERT INTO positions
SELECT 1, row_number() OVER (ORDER BY m, a.n), m, 'm' || m, a.name,
	't' || a.name || '_hour_m' || m
FROM generate_series(1, 10) m,
	unnest('{sum,avg,count,min,max,stddev,variance}'::text[]) WITH ORDINALITY a(name, n);

-- One hour more than is stored at first: it is what is appended later.
CREATE UNLOGGED TABLE rows_of_store AS
SELECT 1 AS layout_id,
	'2026-01-01+00'::timestamptz + h * interval '1 hour' AS bucket,
	'entity-' || to_char(e, 'FM0000') AS entity_id,
	14::bigint AS sample_count,
	NULL::bigint[] AS metric_counts,
	ARRAY(SELECT random() * 1000 + i + e + h FROM generate_series(1, 70) i) AS results,
	now() AS updated_at
FROM generate_series(0, :hours) h, generate_series(1, 1000) e;
SELECT max(bucket) AS last FROM rows_of_store \gset

COPY (SELECT * FROM rows_of_store WHERE bucket < :'last' ORDER BY bucket, entity_id COLLATE "C")
	TO :'be' WITH (FORMAT binary);
COPY (SELECT * FROM rows_of_store WHERE bucket < :'last' ORDER BY entity_id COLLATE "C", bucket)
	TO :'eb' WITH (FORMAT binary);
COPY (SELECT * FROM rows_of_store WHERE bucket = :'last' ORDER BY entity_id COLLATE "C")
	TO :'append' WITH (FORMAT binary);
CREATE TABLE fresh AS
SELECT layout_id, bucket, entity_id,
	(SELECT array_agg(r + 1 ORDER BY n) FROM unnest(results) WITH ORDINALITY u(r, n)) AS results
FROM rows_of_store WHERE bucket = :'last';
ANALYZE fresh;

-- The long table: the seven results of one metric, written hour by hour.
CREATE TABLE long_results (
	definition_id		integer NOT NULL,
	entity_id			text COLLATE "C" NOT NULL,
	bucket				timestamptz NOT NULL,
	metric_name			text COLLATE "C" NOT NULL,
	aggregation_type	text COLLATE "C" NOT NULL,
	metric_value		float8 NOT NULL,
	sample_count		bigint NOT NULL
);
INSERT INTO long_results
SELECT 1, s.entity_id, s.bucket, p.metric_name, p.aggregation_type, s.results[p.position],
	s.sample_count
FROM (SELECT * FROM rows_of_store WHERE bucket < :'last'
		ORDER BY bucket, entity_id COLLATE "C" OFFSET 0) s,
	positions p
WHERE p.metric_name = 'm5';
CREATE UNIQUE INDEX ON long_results
	(definition_id, entity_id, metric_name, aggregation_type, bucket);
CREATE INDEX ON long_results
	(definition_id, metric_name, aggregation_type, bucket, entity_id);
VACUUM (ANALYZE) long_results, definitions, layouts, positions;
DROP TABLE rows_of_store;

CREATE TABLE figures (candidate text, what text, figure float8);

-- Runs a query some times after a first one that warms, and notes the medians
-- of the planner's and the executor's time in ms, and the buffers touched.
CREATE FUNCTION measure_read(candidate text, what text, query text, times integer DEFAULT 21)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	CREATE TEMP TABLE IF NOT EXISTS seen (planning float8, execution float8, buffers float8);
	TRUNCATE seen;
	FOR i IN 0 .. times LOOP
		EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, BUFFERS, FORMAT JSON) ' || query INTO plan;
		IF i > 0 THEN
			INSERT INTO seen VALUES ((plan->0->>'Planning Time')::float8,
				(plan->0->>'Execution Time')::float8,
				(plan->0->'Plan'->>'Shared Hit Blocks')::float8 +
				(plan->0->'Plan'->>'Shared Read Blocks')::float8);
		END IF;
	END LOOP;
	INSERT INTO figures
	SELECT candidate, what || m.suffix, percentile_cont(0.5) WITHIN GROUP (ORDER BY m.figure)
	FROM seen, LATERAL (VALUES (' plan ms', planning), (' ms', execution),
		(' pages', buffers)) m(suffix, figure)
	GROUP BY m.suffix;
END$$;
EOS

measure_long() {
	sql -At <<'EOS'
SET client_min_messages = warning;
INSERT INTO figures
SELECT 'long table', 'bytes a result', pg_total_relation_size('long_results') / count(*)::float8
FROM long_results;
SELECT measure_read('long table', 'series 720', $$
	SELECT bucket, metric_value FROM long_results
	WHERE definition_id = 1 AND entity_id = 'entity-0500'
		AND metric_name = 'm5' AND aggregation_type = 'avg' ORDER BY bucket$$);
SELECT measure_read('long table', 'series 24', $$
	SELECT bucket, metric_value FROM long_results
	WHERE definition_id = 1 AND entity_id = 'entity-0500'
		AND metric_name = 'm5' AND aggregation_type = 'avg'
		AND bucket >= '2026-01-20+00' AND bucket < '2026-01-21+00' ORDER BY bucket$$);
SELECT measure_read('long table', 'bucket 1000', $$
	SELECT entity_id, metric_value FROM long_results
	WHERE definition_id = 1 AND bucket = '2026-01-15 12:00+00'
		AND metric_name = 'm5' AND aggregation_type = 'avg'$$);
EOS
}

for ((i = 1; i <= turns; i++)); do
	while IFS='|' read -r name heap key indexes; do
		sql -v candidate="$name" -v indexes="$indexes" -v key="$key" \
			-v file="$files/$heap" -v append_file="$files/append" \
			-f "$here/store_keys.sql" >/dev/null </dev/null
	done < <(candidates)
	measure_long >/dev/null
	echo "turn $i of $turns done" >&2
done

echo "settings:"
sql -At -c "SELECT '  ' || name || ' = ' || current_setting(name) FROM pg_settings
	WHERE name IN ('server_version', 'shared_buffers', 'max_wal_size', 'fsync', 'synchronous_commit',
		'full_page_writes', 'wal_level', 'checkpoint_timeout') ORDER BY 1"
echo "candidates:"
candidates | awk -F'|' '{printf "  %-10s heap in order %s; %s\n", $1,
	$2 == "be" ? "(bucket, entity)" : "(entity, bucket)", $4}'
sql -P border=2 -P null='-' <<'EOS'
SELECT candidate,
	m->>'write s' AS "write s", m->>'write WAL MB' AS "WAL MB", m->>'bytes a result' AS "B/result",
	m->>'index MB' AS "index MB", m->>'merge read ms' AS "merge read ms",
	m->>'append ms' AS "append ms", m->>'update ms' AS "update ms",
	m->>'delete 10% ms' AS "delete ms", m->>'vacuum ms' AS "vacuum ms"
FROM (SELECT candidate, json_object_agg(what, figure) AS m
	FROM (SELECT candidate, what, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY figure)::numeric, 2) AS figure
		FROM figures GROUP BY candidate, what) f GROUP BY candidate) c
ORDER BY candidate = 'long table', candidate <> 'heap only', candidate;
SELECT candidate,
	m->>'series 720 ms' AS "series 720 ms", m->>'series 720 plan ms' AS "plan ms", m->>'series 720 pages' AS "pages",
	m->>'series 24 ms' AS "series 24 ms", m->>'series 24 pages' AS "pages",
	m->>'bucket 1000 ms' AS "bucket 1000 ms", m->>'bucket 1000 plan ms' AS "plan ms", m->>'bucket 1000 pages' AS "pages"
FROM (SELECT candidate, json_object_agg(what, figure) AS m
	FROM (SELECT candidate, what, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY figure)::numeric, 3) AS figure
		FROM figures GROUP BY candidate, what) f GROUP BY candidate) c
ORDER BY candidate = 'long table', candidate <> 'heap only', candidate;
EOS
