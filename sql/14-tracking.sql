--
-- Which times of a source have changed.
--
-- A tracked source has triggers (26-tracking.sql) by which each transaction that
-- changes its rows leaves marks: the times and, where they are few, the entities
-- of these rows, under the transaction's id.  A run then reads what was marked
-- since the last one.
--
-- Marks and leaves are this cluster's bookkeeping of its own transactions, files
-- and triggers.  They mean nothing in another one, and are not dumped: there, all
-- leaves are new, which marks everything.
--
-- No foreign keys: whoever writes a mark must not wait for whoever changes how the
-- source is tracked.
--

CREATE TABLE batchagg_sources (
	source_id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	source      text NOT NULL UNIQUE,
	mode        text NOT NULL CHECK (mode IN ('log', 'snapshot')),
	time_column text NOT NULL,
	id_column   text,
	xid_column  text,
	created_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
	CHECK ((mode = 'snapshot') = (xid_column IS NOT NULL))
);

CREATE TABLE batchagg_marks (
	source_id integer NOT NULL,
	xid       xid8 NOT NULL,
	low       timestamptz NOT NULL,
	high      timestamptz NOT NULL,
	ids       text[]
);

CREATE INDEX batchagg_marks_source_id_xid_idx ON batchagg_marks (source_id, xid);

CREATE TABLE batchagg_leaves (
	source_id integer NOT NULL,
	token     text COLLATE "C" NOT NULL,
	low       timestamptz NOT NULL,
	high      timestamptz NOT NULL,
	PRIMARY KEY (source_id, token)
);

COMMENT ON TABLE batchagg_sources IS
'tables whose changes are tracked; written by batchagg_track_source() and batchagg_untrack_source()';
COMMENT ON COLUMN batchagg_sources.source_id IS
'number of the source, which its triggers name';
COMMENT ON COLUMN batchagg_sources.source IS
'the table, qualified and quoted';
COMMENT ON COLUMN batchagg_sources.mode IS
'log: each change is marked; snapshot: inserted rows have the id of their transaction in a column, and other changes are marked';
COMMENT ON COLUMN batchagg_sources.time_column IS
'column whose times are marked';
COMMENT ON COLUMN batchagg_sources.id_column IS
'column whose values say which entities a mark is of; NULL: marks are of all entities';
COMMENT ON COLUMN batchagg_sources.xid_column IS
'mode snapshot: column of the id of the transaction that inserted the row; NULL in a row: it was there before the column';
COMMENT ON COLUMN batchagg_sources.created_at IS
'when the source was first tracked';

COMMENT ON TABLE batchagg_marks IS
'what transactions have changed in tracked sources: written as they commit, removed when no run needs them';
COMMENT ON COLUMN batchagg_marks.source_id IS
'the source';
COMMENT ON COLUMN batchagg_marks.xid IS
'the transaction';
COMMENT ON COLUMN batchagg_marks.low IS
'least time of the rows that were inserted, changed (before and after) or deleted; times without a zone as though they were UTC';
COMMENT ON COLUMN batchagg_marks.high IS
'greatest time of these rows, inclusive; all times are from -infinity to infinity';
COMMENT ON COLUMN batchagg_marks.ids IS
'the entities of these rows, as text; rows without an entity have none here; NULL: of any entity';

COMMENT ON TABLE batchagg_leaves IS
'the tables and partitions that rows of tracked sources are in, as the last run found them';
COMMENT ON COLUMN batchagg_leaves.source_id IS
'the source';
COMMENT ON COLUMN batchagg_leaves.token IS
'the table, its file, its columns and its triggers: whatever could change rows unmarked changes this';
COMMENT ON COLUMN batchagg_leaves.low IS
'least time that the partition may hold';
COMMENT ON COLUMN batchagg_leaves.high IS
'end of the times that it may hold';

GRANT SELECT ON batchagg_sources TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('batchagg_sources', '');
SELECT pg_catalog.pg_extension_config_dump('batchagg_sources_source_id_seq', '');
