--
-- Triggers that keep pg_cron's entries in step with jobs and events.
--

CREATE FUNCTION batchagg_pg_cron_sync() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME';
REVOKE EXECUTE ON FUNCTION batchagg_pg_cron_sync() FROM PUBLIC;

CREATE TRIGGER batchagg_pg_cron_sync AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON batch_jobs
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_pg_cron_sync();
CREATE TRIGGER batchagg_pg_cron_sync AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON batchagg_events
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_pg_cron_sync();

COMMENT ON FUNCTION batchagg_pg_cron_sync() IS
'trigger: brings the entries of pg_cron up to date, where pg_cron starts the jobs';
COMMENT ON TRIGGER batchagg_pg_cron_sync ON batch_jobs IS
'brings the entries of pg_cron up to date, where pg_cron starts the jobs';
COMMENT ON TRIGGER batchagg_pg_cron_sync ON batchagg_events IS
'brings the entries of pg_cron up to date, where pg_cron starts the jobs';
