--
-- Security.
--
-- Everybody may use the tables; row-level security decides which rows are there.
-- A job is visible to the roles that have the rights of its owner, and all else
-- is visible if the job that it belongs to is: each policy asks the table above
-- it, whose own policy then answers.  What roles are given here is all they get:
-- the store, its layouts and the history can be read, but are written by the
-- extension's own code alone.
--
-- Mappings are led by their own owner column (src/model/mapping.c says whose
-- count).  A superuser's mappings are for every job, so everybody sees them.
--
-- Events are no secret, and are the same for all: only the owner of the
-- extension, and whom they grant it to, may change them.
--

ALTER TABLE batch_jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE batchjob_definitions ENABLE ROW LEVEL SECURITY;
ALTER TABLE batchjob_metrics ENABLE ROW LEVEL SECURITY;
ALTER TABLE metricsandtables ENABLE ROW LEVEL SECURITY;
ALTER TABLE batchagg_layouts ENABLE ROW LEVEL SECURITY;
ALTER TABLE batchagg_positions ENABLE ROW LEVEL SECURITY;
ALTER TABLE batchagg_store ENABLE ROW LEVEL SECURITY;
ALTER TABLE batchagg_measurements ENABLE ROW LEVEL SECURITY;
ALTER TABLE batchagg_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE batchagg_counters ENABLE ROW LEVEL SECURITY;
ALTER TABLE batchagg_events ENABLE ROW LEVEL SECURITY;

CREATE POLICY batchagg_owner ON batch_jobs
	USING (pg_catalog.pg_has_role(current_user, owner, 'USAGE'));
CREATE POLICY batchagg_job ON batchjob_definitions
	USING (job_id IN (SELECT j.id FROM batch_jobs j));
CREATE POLICY batchagg_job ON batchjob_metrics
	USING (job_id IN (SELECT j.id FROM batch_jobs j));
CREATE POLICY batchagg_job ON batchagg_runs
	USING (job_id IN (SELECT j.id FROM batch_jobs j));
CREATE POLICY batchagg_job ON batchagg_counters
	USING (job_id IN (SELECT j.id FROM batch_jobs j));
CREATE POLICY batchagg_job ON batchagg_layouts
	USING (job_id IN (SELECT j.id FROM batch_jobs j));
CREATE POLICY batchagg_layout ON batchagg_positions
	USING (layout_id IN (SELECT l.id FROM batchagg_layouts l));
CREATE POLICY batchagg_layout ON batchagg_store
	USING (layout_id IN (SELECT l.id FROM batchagg_layouts l));
CREATE POLICY batchagg_owner ON batchagg_measurements
	USING (pg_catalog.pg_has_role(current_user, owner, 'USAGE'));
CREATE POLICY batchagg_owner ON metricsandtables
	USING (pg_catalog.pg_has_role(current_user, owner, 'USAGE'));
CREATE POLICY batchagg_superuser ON metricsandtables FOR SELECT
	USING (owner::oid IN (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolsuper));
CREATE POLICY batchagg_all ON batchagg_events
	USING (true);

COMMENT ON POLICY batchagg_owner ON batch_jobs IS
'jobs of one''s own roles';
COMMENT ON POLICY batchagg_job ON batchjob_definitions IS
'definitions of visible jobs';
COMMENT ON POLICY batchagg_job ON batchjob_metrics IS
'metrics of visible jobs';
COMMENT ON POLICY batchagg_job ON batchagg_runs IS
'runs of visible jobs';
COMMENT ON POLICY batchagg_job ON batchagg_counters IS
'counters of visible jobs';
COMMENT ON POLICY batchagg_job ON batchagg_layouts IS
'layouts of visible jobs';
COMMENT ON POLICY batchagg_layout ON batchagg_positions IS
'positions of visible layouts';
COMMENT ON POLICY batchagg_layout ON batchagg_store IS
'results of visible layouts';
COMMENT ON POLICY batchagg_owner ON batchagg_measurements IS
'measurements of one''s own roles';
COMMENT ON POLICY batchagg_owner ON metricsandtables IS
'mappings of one''s own roles';
COMMENT ON POLICY batchagg_superuser ON metricsandtables IS
'mappings of superusers, which are for every job';
COMMENT ON POLICY batchagg_all ON batchagg_events IS
'events are the same for all';

GRANT SELECT, INSERT, UPDATE, DELETE
	ON batch_jobs, batchjob_definitions, batchjob_metrics, metricsandtables, batchagg_measurements
	TO PUBLIC;
GRANT SELECT ON batchagg_events, batchagg_layouts, batchagg_positions, batchagg_store, batchagg_runs, batchagg_counters TO PUBLIC;
GRANT SELECT ON batchagg_progress, batchagg_stats TO PUBLIC;

-- Nobody can change results through the view; who tries is told what to do instead.
GRANT SELECT, INSERT, UPDATE, DELETE ON RuleExecutionResults TO PUBLIC;
