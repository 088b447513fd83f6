--
-- The ledger of slots.
--
-- A slot is one of the instants at which a job's event fires.  The ledger says
-- what became of each, from the moment its run is started or it is passed over.
-- Slots that are due and not in the ledger yet wait; they follow from the
-- job's schedule and its last slot here, and take no row (src/slots/due.c).  A
-- row can stand for a number of slots that were passed over together.
--
-- No foreign key to batch_jobs: the scheduler must not wait for whoever is
-- changing a job.  A trigger removes the rows of a job that is deleted.
--

CREATE TABLE batchagg_ledger (
	job_id      integer NOT NULL,
	slot        timestamptz NOT NULL,
	first_slot  timestamptz,
	slots       integer,
	state       text NOT NULL CHECK (state IN ('running', 'waiting', 'done', 'failed', 'missed', 'skipped')),
	attempt     integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
	not_before  timestamptz,
	started_at  timestamptz,
	finished_at timestamptz,
	run_id      bigint,
	reason      text,
	PRIMARY KEY (job_id, slot)
) WITH (fillfactor = 70);

-- For the removal of old rows; they come in about this order.
CREATE INDEX batchagg_ledger_slot_idx ON batchagg_ledger USING brin (slot);
CREATE INDEX batchagg_runs_started_at_idx ON batchagg_runs USING brin (started_at);

COMMENT ON TABLE batchagg_ledger IS
'slots that were run or passed over; read it through batchagg_slots';
COMMENT ON COLUMN batchagg_ledger.job_id IS
'the job';
COMMENT ON COLUMN batchagg_ledger.slot IS
'the slot; of several, the last';
COMMENT ON COLUMN batchagg_ledger.first_slot IS
'of several slots, the first; NULL: it is one';
COMMENT ON COLUMN batchagg_ledger.slots IS
'of several slots, how many; NULL: it is one, or (with first_slot) they were too many to count';
COMMENT ON COLUMN batchagg_ledger.state IS
'running; waiting (for a retry); done; failed; missed (another run has caught up for it); skipped';
COMMENT ON COLUMN batchagg_ledger.attempt IS
'number of the attempt, counted from 1; 0: none was made';
COMMENT ON COLUMN batchagg_ledger.not_before IS
'when the next attempt is due';
COMMENT ON COLUMN batchagg_ledger.started_at IS
'when the last attempt was started';
COMMENT ON COLUMN batchagg_ledger.finished_at IS
'when it ended';
COMMENT ON COLUMN batchagg_ledger.run_id IS
'the run in batchagg_runs; NULL: not recorded yet, or none';
COMMENT ON COLUMN batchagg_ledger.reason IS
'why it failed, waits, or was passed over';

ALTER TABLE batchagg_ledger ENABLE ROW LEVEL SECURITY;
CREATE POLICY batchagg_job ON batchagg_ledger
	USING (job_id IN (SELECT j.id FROM batch_jobs j));
COMMENT ON POLICY batchagg_job ON batchagg_ledger IS
'slots of visible jobs';
GRANT SELECT ON batchagg_ledger TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('batchagg_ledger', '');
