--
-- Functions about pg_cron
--

CREATE FUNCTION batchagg_use_pg_cron()
RETURNS integer
AS 'MODULE_PATHNAME', 'batchagg_use_pg_cron'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_use_pg_cron() IS
'has pg_cron start the jobs of this database from now on, by an entry for each event in use, and returns the number of entries; called again, it brings them up to date';

CREATE FUNCTION batchagg_use_service()
RETURNS integer
AS 'MODULE_PATHNAME', 'batchagg_use_service'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_use_service() IS
'has the service start the jobs of this database from now on; removes batchagg''s entries of pg_cron and returns their number';

CREATE FUNCTION batchagg_use_worker()
RETURNS integer
AS 'MODULE_PATHNAME', 'batchagg_use_service'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;

COMMENT ON FUNCTION batchagg_use_worker() IS
'the same as batchagg_use_service(), by its former name';

REVOKE EXECUTE ON FUNCTION batchagg_use_pg_cron(), batchagg_use_service(), batchagg_use_worker() FROM PUBLIC;

CREATE FUNCTION batchagg_pg_cron_schedule(event_name text)
RETURNS text
AS 'MODULE_PATHNAME', 'batchagg_pg_cron_schedule'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;

COMMENT ON FUNCTION batchagg_pg_cron_schedule(text) IS
'the cron expression, in pg_cron''s time zone, by which pg_cron looks for due jobs of an event; where zones differ it fires more often than the event';
