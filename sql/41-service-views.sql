--
-- Views of what the service does.  They show the jobs that the caller sees.
--

CREATE VIEW batchagg_slots WITH (security_invoker = true) AS
SELECT
	l.job_id,
	j.job_name,
	l.slot,
	CASE WHEN l.state = 'done' AND l.started_at - l.slot > interval '1 minute' THEN 'late' ELSE l.state END AS state,
	l.reason,
	coalesce(l.first_slot, l.slot) AS first_slot,
	CASE WHEN l.first_slot IS NULL THEN 1 ELSE l.slots END AS slots,
	l.attempt,
	l.not_before,
	l.started_at,
	l.finished_at,
	l.run_id
FROM batchagg_ledger l
JOIN batch_jobs j ON j.id = l.job_id
UNION ALL
SELECT
	e.job_id,
	j.job_name,
	e.slot,
	'waiting',
	e.reason,
	e.first_slot,
	e.slots,
	0,
	NULL::timestamptz,
	NULL::timestamptz,
	NULL::timestamptz,
	NULL::bigint
FROM batchagg_expected_slots() e
JOIN batch_jobs j ON j.id = e.job_id
WHERE e.slot IS NOT NULL;

COMMENT ON VIEW batchagg_slots IS
'what became of every slot, the instants at which jobs were due';
COMMENT ON COLUMN batchagg_slots.job_id IS
'the job';
COMMENT ON COLUMN batchagg_slots.job_name IS
'its name';
COMMENT ON COLUMN batchagg_slots.slot IS
'the slot; of several that were dealt with together, the last';
COMMENT ON COLUMN batchagg_slots.state IS
'waiting, running, done, late (done, but started more than a minute after the slot), failed, missed (another run has caught up for it) or skipped';
COMMENT ON COLUMN batchagg_slots.reason IS
'why it waits, failed (the error''s message and detail), or was passed over';
COMMENT ON COLUMN batchagg_slots.first_slot IS
'the first of the slots that the row is for';
COMMENT ON COLUMN batchagg_slots.slots IS
'how many slots the row is for; NULL: more than are counted';
COMMENT ON COLUMN batchagg_slots.attempt IS
'number of the last attempt, counted from 1; 0: none yet';
COMMENT ON COLUMN batchagg_slots.not_before IS
'when the next attempt is due';
COMMENT ON COLUMN batchagg_slots.started_at IS
'when the last attempt was started';
COMMENT ON COLUMN batchagg_slots.finished_at IS
'when it ended, or when the slot was passed over';
COMMENT ON COLUMN batchagg_slots.run_id IS
'the run, in batchagg_runs';

CREATE VIEW batchagg_jobs WITH (security_invoker = true) AS
SELECT
	j.id AS job_id,
	j.job_name,
	j.event_name,
	j.owner,
	CASE
		WHEN l.state = 'running' THEN 'running'
		WHEN NOT j.enable_flag THEN 'disabled'
		WHEN l.state = 'waiting' THEN 'retrying'
		WHEN e.slot IS NOT NULL THEN 'waiting'
		WHEN e.job_id IS NULL THEN 'unknown event'
		WHEN l.state = 'failed' THEN 'failed'
		WHEN e.reason IS NOT NULL THEN 'unattended'
		ELSE 'scheduled'
	END AS state,
	CASE WHEN e.slot IS NULL AND l.state IN ('running', 'waiting', 'failed') THEN l.reason
		ELSE coalesce(e.reason, l.reason) END AS reason,
	CASE WHEN j.enable_flag AND l.state = 'waiting' THEN l.not_before
		ELSE coalesce(CASE WHEN j.missed_runs = 'coalesce' THEN e.slot ELSE e.first_slot END, e.next_slot) END AS next_run,
	r.run_id AS last_run_id,
	r.status AS last_status,
	r.slot AS last_slot,
	r.started_at AS last_started_at,
	r.finished_at AS last_finished_at,
	r.error_message || coalesce('. ' || r.error_detail, '') AS last_error,
	pg_catalog.now() - s.range_to AS lag,
	m.mode
FROM batch_jobs j
LEFT JOIN batchagg_expected_slots() e ON e.job_id = j.id
LEFT JOIN LATERAL (
	SELECT * FROM batchagg_ledger l WHERE l.job_id = j.id ORDER BY l.slot DESC LIMIT 1) l ON true
LEFT JOIN LATERAL (
	SELECT * FROM batchagg_runs r WHERE r.job_id = j.id ORDER BY r.started_at DESC LIMIT 1) r ON true
LEFT JOIN LATERAL (
	SELECT * FROM batchagg_runs s WHERE s.job_id = j.id AND s.status = 'succeeded'
	ORDER BY s.run_id DESC LIMIT 1) s ON true
LEFT JOIN LATERAL (
	SELECT string_agg(DISTINCT coalesce(c.mode, 'full'), ', ') AS mode
	FROM batchagg_layouts l
	LEFT JOIN batchagg_cursors c ON c.definition_id = l.definition_id AND c.source = l.source
	WHERE l.job_id = j.id) m ON true;

COMMENT ON VIEW batchagg_jobs IS
'each job: what it is at, when it runs next, how its last run went';
COMMENT ON COLUMN batchagg_jobs.job_id IS
'the job';
COMMENT ON COLUMN batchagg_jobs.job_name IS
'its name';
COMMENT ON COLUMN batchagg_jobs.event_name IS
'when it is due';
COMMENT ON COLUMN batchagg_jobs.owner IS
'whose rights it runs with';
COMMENT ON COLUMN batchagg_jobs.state IS
'scheduled, unattended (nothing starts jobs here), waiting (due, not started yet), running, retrying (waits for another attempt), failed (its last slot did), disabled, or unknown event';
COMMENT ON COLUMN batchagg_jobs.reason IS
'why it is unattended, waits, or failed';
COMMENT ON COLUMN batchagg_jobs.next_run IS
'the slot, or the retry, that comes next';
COMMENT ON COLUMN batchagg_jobs.last_run_id IS
'its last run that has ended, started by its event or by hand';
COMMENT ON COLUMN batchagg_jobs.last_status IS
'how that ended';
COMMENT ON COLUMN batchagg_jobs.last_slot IS
'its nominal time';
COMMENT ON COLUMN batchagg_jobs.last_started_at IS
'when it began';
COMMENT ON COLUMN batchagg_jobs.last_finished_at IS
'when it ended';
COMMENT ON COLUMN batchagg_jobs.last_error IS
'the error that ended it: its message and detail';
COMMENT ON COLUMN batchagg_jobs.lag IS
'age of the latest horizon up to which results are there; NULL: no run has succeeded yet';
COMMENT ON COLUMN batchagg_jobs.mode IS
'how its runs know what to read of their sources: full, log, snapshot or lookback, or several; NULL: nothing is stored yet';

GRANT SELECT ON batchagg_slots, batchagg_jobs TO PUBLIC;
