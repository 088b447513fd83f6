--
-- The service: starting and stopping it, and running what is due by hand.
--

CREATE FUNCTION batchagg_start() RETURNS boolean
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_start() IS
'starts the service, until the server restarts; false if it was running already. Not needed where the library is in shared_preload_libraries';

CREATE FUNCTION batchagg_stop() RETURNS boolean
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_stop() IS
'stops the service in all databases, until the server restarts or batchagg_start() is called; runs under way end by themselves. False if it was not running';

CREATE FUNCTION batchagg_set_clock(start timestamptz, until timestamptz) RETURNS void
AS 'MODULE_PATHNAME'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_set_clock(timestamptz, timestamptz) IS
'for tests: gives the service of this database a clock that begins at start and goes on from slot to slot without waiting, up to until; NULLs give it back the true one';

REVOKE EXECUTE ON FUNCTION
	batchagg_start(),
	batchagg_stop(),
	batchagg_set_clock(timestamptz, timestamptz)
FROM PUBLIC;

CREATE FUNCTION batchagg_run_due(
	event_name text DEFAULT NULL)
RETURNS SETOF batchagg_job_run_result
AS 'MODULE_PATHNAME', 'batchagg_run_due'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_run_due(text) IS
'runs the slots that are due now and were not run yet, of an event or of all; for schedulers other than batchagg''s own, as pg_cron';

CREATE FUNCTION batchagg_expected_slots(
	OUT job_id integer,
	OUT first_slot timestamptz,
	OUT slot timestamptz,
	OUT slots integer,
	OUT reason text,
	OUT next_slot timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
ROWS 100;

COMMENT ON FUNCTION batchagg_expected_slots() IS
'for each enabled job: the slots that are due and wait to be started, why they do or nothing is started at all, and the next one after them';
