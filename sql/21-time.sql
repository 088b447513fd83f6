--
-- Functions about time.  They depend on the server's time zone data, which
-- changes, and so are stable rather than immutable.
--

CREATE FUNCTION batchagg_bucket(granularity text, instant timestamptz, timezone text DEFAULT 'UTC')
RETURNS timestamptz
AS 'MODULE_PATHNAME', 'batchagg_bucket'
LANGUAGE C STABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION batchagg_bucket(text, timestamptz, text) IS
'start of the bucket that holds an instant, for a granularity such as 15-minute, 4-hour or 1-week in a time zone';

CREATE FUNCTION batchagg_next_runs(event text, n integer DEFAULT 10, after timestamptz DEFAULT now())
RETURNS SETOF timestamptz
AS 'MODULE_PATHNAME', 'batchagg_next_runs'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED
ROWS 10;

COMMENT ON FUNCTION batchagg_next_runs(text, integer, timestamptz) IS
'next n times at which an event (or a cron expression) is due';
