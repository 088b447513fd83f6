-- One candidate for the key of the packed store, measured once.
--
-- Called by store_keys.sh with the psql variables
--   candidate  its name in the table of figures
--   indexes    the statements that make its indexes on the table "store"
--   file       the file of rows to COPY, sorted in the order of its heap
--   key        the columns, in order, by which its unique index can be read
--
-- Every step is committed, as in a real run.  Times are taken on the server's
-- clock from psql, so that VACUUM and CHECKPOINT can stand between the steps.

\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on

SET client_min_messages = warning;
DROP TABLE IF EXISTS store;
CREATE TABLE store (
	layout_id		integer NOT NULL,
	bucket			timestamptz NOT NULL,
	entity_id		text COLLATE "C" NOT NULL,
	sample_count	bigint NOT NULL,
	metric_counts	bigint[],
	results			float8[] NOT NULL,
	updated_at		timestamptz NOT NULL
);
:indexes
CHECKPOINT;

-- Writing the whole: COPY's multi-insert is the nearest to the engine's own.
SELECT clock_timestamp() AS t0, pg_current_wal_lsn() AS w0 \gset
COPY store FROM :'file' BINARY;
SELECT clock_timestamp() AS t1, pg_current_wal_lsn() AS w1 \gset
INSERT INTO figures VALUES
	(:'candidate', 'write s', extract(epoch FROM :'t1'::timestamptz - :'t0'::timestamptz)),
	(:'candidate', 'write WAL MB', (:'w1'::pg_lsn - :'w0'::pg_lsn) / 1e6);
VACUUM (ANALYZE) store;
INSERT INTO figures
SELECT :'candidate', 'bytes a result', pg_total_relation_size('store') / (count(*) * 70.0)
FROM store
UNION ALL
SELECT :'candidate', 'index MB', pg_indexes_size('store') / 1e6;

-- Reading, warm.  The view is the shape of RuleExecutionResults.
CREATE VIEW results_view AS
SELECT d.job_id, d.id AS definition_id, d.focal_entity, s.entity_id, s.bucket,
	d.granularity, p.metric_name, p.aggregation_type,
	s.results[p.position] AS metric_value,
	coalesce(s.metric_counts[p.metric], s.sample_count) AS sample_count
FROM positions p
	JOIN layouts l ON l.id = p.layout_id
	JOIN definitions d ON d.id = l.definition_id
	JOIN store s ON s.layout_id = l.id
WHERE s.results[p.position] IS NOT NULL;

SELECT measure_read(:'candidate', 'series 720', $$
	SELECT bucket, metric_value FROM results_view
	WHERE definition_id = 1 AND entity_id = 'entity-0500'
		AND metric_name = 'm5' AND aggregation_type = 'avg' ORDER BY bucket$$);
SELECT measure_read(:'candidate', 'series 24', $$
	SELECT bucket, metric_value FROM results_view
	WHERE definition_id = 1 AND entity_id = 'entity-0500'
		AND metric_name = 'm5' AND aggregation_type = 'avg'
		AND bucket >= '2026-01-20+00' AND bucket < '2026-01-21+00' ORDER BY bucket$$);
SELECT measure_read(:'candidate', 'bucket 1000', $$
	SELECT entity_id, metric_value FROM results_view
	WHERE definition_id = 1 AND bucket = '2026-01-15 12:00+00'
		AND metric_name = 'm5' AND aggregation_type = 'avg'$$);

-- What a re-run reads: every stored row in the order of the key.
SET enable_sort = off;
SET enable_incremental_sort = off;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT measure_read(:'candidate', 'merge read', format(
	'SELECT * FROM store WHERE layout_id = 1 ORDER BY %s', :'key'), 3);
RESET enable_sort;
RESET enable_incremental_sort;
RESET enable_seqscan;
RESET enable_bitmapscan;
DROP VIEW results_view;

-- The next hour: 1,000 new rows, then the same rows with other results.
SELECT clock_timestamp() AS t0 \gset
COPY store FROM :'append_file' BINARY;
SELECT clock_timestamp() AS t1 \gset
UPDATE store s SET results = f.results, updated_at = clock_timestamp()
FROM fresh f
WHERE s.layout_id = f.layout_id AND s.bucket = f.bucket AND s.entity_id = f.entity_id;
SELECT clock_timestamp() AS t2 \gset
INSERT INTO figures VALUES
	(:'candidate', 'append ms', 1e3 * extract(epoch FROM :'t1'::timestamptz - :'t0'::timestamptz)),
	(:'candidate', 'update ms', 1e3 * extract(epoch FROM :'t2'::timestamptz - :'t1'::timestamptz));

-- Retention: the oldest tenth goes, then its room is taken back.
CHECKPOINT;
SELECT clock_timestamp() AS t0 \gset
DELETE FROM store WHERE layout_id = 1 AND bucket < '2026-01-04+00';
SELECT clock_timestamp() AS t1 \gset
VACUUM store;
SELECT clock_timestamp() AS t2 \gset
INSERT INTO figures VALUES
	(:'candidate', 'delete 10% ms', 1e3 * extract(epoch FROM :'t1'::timestamptz - :'t0'::timestamptz)),
	(:'candidate', 'vacuum ms', 1e3 * extract(epoch FROM :'t2'::timestamptz - :'t1'::timestamptz));
