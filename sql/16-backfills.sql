--
-- Backfills: where the recomputation of results in pieces stands
-- (src/run/backfill.c).  The row is brought up to date in the transaction of
-- each piece, and is gone at the end.
--

CREATE TABLE batchagg_backfills (
	job_id       integer PRIMARY KEY REFERENCES batch_jobs ON DELETE CASCADE,
	range_from   timestamptz NOT NULL,
	range_to     timestamptz NOT NULL,
	piece        interval NOT NULL,
	newest_first boolean NOT NULL,
	next         timestamptz NOT NULL,
	until        timestamptz NOT NULL,
	pieces_done  integer NOT NULL,
	rows_read    bigint NOT NULL,
	changed      bigint NOT NULL,
	started_at   timestamptz NOT NULL,
	updated_at   timestamptz NOT NULL
) WITH (fillfactor = 50);

COMMENT ON TABLE batchagg_backfills IS
'backfills that are under way, or were ended before they were done: another call of batchagg_backfill() goes on with them';
COMMENT ON COLUMN batchagg_backfills.job_id IS
'the job';
COMMENT ON COLUMN batchagg_backfills.range_from IS
'start of the range that was asked for; -infinity: all that there is';
COMMENT ON COLUMN batchagg_backfills.range_to IS
'its end; infinity: all that there is';
COMMENT ON COLUMN batchagg_backfills.piece IS
'about how long a piece is';
COMMENT ON COLUMN batchagg_backfills.newest_first IS
'whether it goes back in time';
COMMENT ON COLUMN batchagg_backfills.next IS
'what begins from here on, or with newest_first before this, is yet to be done';
COMMENT ON COLUMN batchagg_backfills.until IS
'where it ends: the range that was asked for, as far as there are rows or results';
COMMENT ON COLUMN batchagg_backfills.pieces_done IS
'number of pieces that are done';
COMMENT ON COLUMN batchagg_backfills.rows_read IS
'rows that they have read';
COMMENT ON COLUMN batchagg_backfills.changed IS
'rows of the store that they have changed';
COMMENT ON COLUMN batchagg_backfills.started_at IS
'when it began';
COMMENT ON COLUMN batchagg_backfills.updated_at IS
'when the last piece was done, or a call went on with it';

ALTER TABLE batchagg_backfills ENABLE ROW LEVEL SECURITY;
CREATE POLICY batchagg_job ON batchagg_backfills
	USING (job_id IN (SELECT j.id FROM batch_jobs j));
COMMENT ON POLICY batchagg_job ON batchagg_backfills IS
'backfills of visible jobs';
GRANT SELECT ON batchagg_backfills TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('batchagg_backfills', '');
