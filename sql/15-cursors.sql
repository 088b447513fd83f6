--
-- Cursors: up to where the results of a definition from one source are known
-- to be exact (src/refresh/refresh.c).
--
-- A cursor speaks of this cluster's transactions and is of no use in another:
-- so it is not dumped, and names the cluster, in case it was copied.
--

CREATE TABLE batchagg_cursors (
	definition_id integer NOT NULL REFERENCES batchjob_definitions ON DELETE CASCADE,
	source        text NOT NULL,
	mode          text NOT NULL CHECK (mode IN ('log', 'snapshot', 'lookback')),
	fingerprint   text NOT NULL,
	horizon       timestamptz NOT NULL,
	ahead         bigint[],
	exact_from    timestamptz,
	system_id     bigint NOT NULL,
	snapshot      pg_snapshot NOT NULL,
	run_xid       xid8 NOT NULL,
	names         text[] NOT NULL DEFAULT '{}',
	PRIMARY KEY (definition_id, source)
) WITH (fillfactor = 50);

COMMENT ON TABLE batchagg_cursors IS
'where the last run of a definition left off, for each source that it need not read as a whole';
COMMENT ON COLUMN batchagg_cursors.definition_id IS
'the definition';
COMMENT ON COLUMN batchagg_cursors.source IS
'the source, qualified and quoted';
COMMENT ON COLUMN batchagg_cursors.mode IS
'how the run knew what to read: log, snapshot or lookback';
COMMENT ON COLUMN batchagg_cursors.fingerprint IS
'hash of all that the results depend on besides rows: the definition, its metrics, the types of the source''s columns';
COMMENT ON COLUMN batchagg_cursors.horizon IS
'the run''s horizon: rows before it have been read';
COMMENT ON COLUMN batchagg_cursors.ahead IS
'where there may be rows from the horizon on: ranges, the low and the high end of each in turn, in microseconds since 2000-01-01 UTC';
COMMENT ON COLUMN batchagg_cursors.exact_from IS
'results of buckets from here on are exact: older ones are not retained, or beyond the lookback; NULL: all are';
COMMENT ON COLUMN batchagg_cursors.system_id IS
'the cluster''s system identifier';
COMMENT ON COLUMN batchagg_cursors.snapshot IS
'the transactions whose rows the run saw, its own excepted';
COMMENT ON COLUMN batchagg_cursors.run_xid IS
'the run''s own transaction';
COMMENT ON COLUMN batchagg_cursors.names IS
'row layout: names in the rows that match a metric, as far as they matter to which one is meant';

ALTER TABLE batchagg_cursors ENABLE ROW LEVEL SECURITY;
CREATE POLICY batchagg_definition ON batchagg_cursors
	USING (definition_id IN (SELECT d.id FROM batchjob_definitions d));
COMMENT ON POLICY batchagg_definition ON batchagg_cursors IS
'cursors of visible definitions';
GRANT SELECT ON batchagg_cursors TO PUBLIC;
