--
-- Functions that run jobs
--
-- What is done with one job takes its id or its name: two functions of SQL, and one
-- of C (job_argument()).
--

CREATE TYPE batchagg_run_result AS (
	run_id bigint,
	status text,
	rows_read bigint,
	rows_skipped bigint,
	groups bigint,
	results bigint,
	changed bigint,
	"from" timestamptz,
	"to" timestamptz,
	duration interval
);

CREATE TYPE batchagg_job_run_result AS (
	job_id integer,
	run_id bigint,
	status text,
	rows_read bigint,
	rows_skipped bigint,
	groups bigint,
	results bigint,
	changed bigint,
	"from" timestamptz,
	"to" timestamptz,
	duration interval
);

COMMENT ON TYPE batchagg_run_result IS
'what a run came to';
COMMENT ON TYPE batchagg_job_run_result IS
'what a run of a job came to, where several are run';

CREATE FUNCTION batchagg_run_job(
	job_id integer,
	dry_run boolean DEFAULT false)
RETURNS batchagg_run_result
AS 'MODULE_PATHNAME', 'batchagg_run_job'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_run_job(integer, boolean) IS
'runs a job now, with the rights of its owner; with dry_run, computes and compares everything and writes nothing';

CREATE FUNCTION batchagg_run_job(
	job_name text,
	dry_run boolean DEFAULT false)
RETURNS batchagg_run_result
AS 'MODULE_PATHNAME', 'batchagg_run_job'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_run_job(text, boolean) IS
'runs the job of this name now, with the rights of its owner; with dry_run, computes and compares everything and writes nothing';

CREATE FUNCTION batchagg_run_all()
RETURNS SETOF batchagg_job_run_result
AS 'MODULE_PATHNAME', 'batchagg_run_all'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_run_all() IS
'runs every enabled job that the caller sees, in the order of their ids; one that fails is recorded and does not keep the others from running';

CREATE FUNCTION batchagg_run_event(
	event_name text)
RETURNS SETOF batchagg_job_run_result
AS 'MODULE_PATHNAME', 'batchagg_run_event'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_run_event(text) IS
'runs every enabled job of an event that the caller sees, as batchagg_run_all() does';

CREATE FUNCTION batchagg_explain_job(
	job_id integer,
	OUT scan integer,
	OUT definition_id integer,
	OUT item text,
	OUT value text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'batchagg_explain_job'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_explain_job(integer) IS
'says what a run of a job would do: its scans with their sources, columns, query, estimated cost and parallel workers, and the rollups that each scan feeds; writes nothing';

CREATE FUNCTION batchagg_explain_job(
	job_name text,
	OUT scan integer,
	OUT definition_id integer,
	OUT item text,
	OUT value text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'batchagg_explain_job'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_explain_job(text) IS
'says what a run of the job of this name would do: its scans with their sources, columns, query, estimated cost and parallel workers, and the rollups that each scan feeds; writes nothing';

CREATE FUNCTION batchagg_verify_job(
	job_id integer,
	"from" timestamptz DEFAULT NULL,
	"to" timestamptz DEFAULT NULL,
	OUT definition_id integer,
	OUT source text,
	OUT "timestamp" timestamptz,
	OUT entity_id text,
	OUT metric_name text,
	OUT aggregation_type text,
	OUT stored float8,
	OUT computed float8,
	OUT stored_count bigint,
	OUT computed_count bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'batchagg_verify_job'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_verify_job(integer, timestamptz, timestamptz) IS
'recomputes the results of a job in the buckets that begin in a range, and returns those that are stored otherwise, missing or too many; writes nothing';

CREATE FUNCTION batchagg_verify_job(
	job_name text,
	"from" timestamptz DEFAULT NULL,
	"to" timestamptz DEFAULT NULL,
	OUT definition_id integer,
	OUT source text,
	OUT "timestamp" timestamptz,
	OUT entity_id text,
	OUT metric_name text,
	OUT aggregation_type text,
	OUT stored float8,
	OUT computed float8,
	OUT stored_count bigint,
	OUT computed_count bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'batchagg_verify_job'
LANGUAGE C VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_verify_job(text, timestamptz, timestamptz) IS
'recomputes the results of the job of this name in the buckets that begin in a range, and returns those that are stored otherwise, missing or too many; writes nothing';

CREATE PROCEDURE batchagg_backfill(
	job_id integer,
	"from" timestamptz DEFAULT NULL,
	"to" timestamptz DEFAULT NULL,
	piece interval DEFAULT NULL,
	newest_first boolean DEFAULT true)
AS 'MODULE_PATHNAME', 'batchagg_backfill'
LANGUAGE C;

COMMENT ON PROCEDURE batchagg_backfill(integer, timestamptz, timestamptz, interval, boolean) IS
'recomputes the results of a job in the buckets that begin in a range, in pieces of about this length, and commits each; goes on with what an earlier call has left';

CREATE PROCEDURE batchagg_backfill(
	job_name text,
	"from" timestamptz DEFAULT NULL,
	"to" timestamptz DEFAULT NULL,
	piece interval DEFAULT NULL,
	newest_first boolean DEFAULT true)
AS 'MODULE_PATHNAME', 'batchagg_backfill'
LANGUAGE C;

COMMENT ON PROCEDURE batchagg_backfill(text, timestamptz, timestamptz, interval, boolean) IS
'recomputes the results of the job of this name in the buckets that begin in a range, in pieces of about this length, and commits each; goes on with what an earlier call has left';

CREATE FUNCTION batchagg_progress(
	OUT run_id bigint,
	OUT job_id integer,
	OUT jobs integer,
	OUT pid integer,
	OUT slot timestamptz,
	OUT attempt integer,
	OUT started_at timestamptz,
	OUT phase text,
	OUT source text,
	OUT scan integer,
	OUT scans integer,
	OUT rows_read bigint,
	OUT rows_estimated bigint,
	OUT groups bigint,
	OUT results_written bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'batchagg_progress'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION batchagg_progress() IS
'runs that are under way in this database, of jobs whose owner the caller has the rights of; see the view batchagg_progress';

CREATE FUNCTION batchagg_cancel(run_id bigint)
RETURNS boolean
AS 'MODULE_PATHNAME', 'batchagg_cancel'
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;

COMMENT ON FUNCTION batchagg_cancel(bigint) IS
'cancels a run that is under way, as pg_cancel_backend() does; false where there is no such run';
