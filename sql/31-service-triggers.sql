--
-- Triggers that tell the service of changes.  One for each statement: the
-- scheduler reads all jobs again anyway.
--

CREATE FUNCTION batchagg_jobs_changed() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION batchagg_job_deleted() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME';
REVOKE EXECUTE ON FUNCTION batchagg_jobs_changed(), batchagg_job_deleted() FROM PUBLIC;

CREATE TRIGGER batchagg_jobs_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON batch_jobs
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_jobs_changed();
CREATE TRIGGER batchagg_jobs_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON batchjob_definitions
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_jobs_changed();
CREATE TRIGGER batchagg_jobs_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON batchjob_metrics
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_jobs_changed();
CREATE TRIGGER batchagg_jobs_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON metricsandtables
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_jobs_changed();
CREATE TRIGGER batchagg_jobs_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON batchagg_events
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_jobs_changed();

CREATE TRIGGER batchagg_job_deleted AFTER DELETE ON batch_jobs
	FOR EACH ROW EXECUTE FUNCTION batchagg_job_deleted();
CREATE TRIGGER batchagg_jobs_truncated AFTER TRUNCATE ON batch_jobs
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_job_deleted();

COMMENT ON FUNCTION batchagg_jobs_changed() IS
'trigger: has the scheduler read the jobs again, and pg_cron''s entries follow, where pg_cron starts the jobs';
COMMENT ON FUNCTION batchagg_job_deleted() IS
'trigger: removes the slots of deleted jobs';
COMMENT ON TRIGGER batchagg_jobs_changed ON batch_jobs IS
'has the scheduler read the jobs again';
COMMENT ON TRIGGER batchagg_jobs_changed ON batchjob_definitions IS
'has the scheduler read the jobs again';
COMMENT ON TRIGGER batchagg_jobs_changed ON batchjob_metrics IS
'has the scheduler read the jobs again';
COMMENT ON TRIGGER batchagg_jobs_changed ON metricsandtables IS
'has the scheduler read the jobs again';
COMMENT ON TRIGGER batchagg_jobs_changed ON batchagg_events IS
'has the scheduler read the jobs again';
COMMENT ON TRIGGER batchagg_job_deleted ON batch_jobs IS
'removes the slots of the job';
COMMENT ON TRIGGER batchagg_jobs_truncated ON batch_jobs IS
'removes all slots';
