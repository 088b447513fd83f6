--
-- Triggers.
--
-- They check each row where it is written, and put what they understood in its
-- canonical form.  They are functions of the library (src/api/jobrows.c).  Nobody
-- but the extension's owner may put them on other tables.
--

CREATE FUNCTION batchagg_refuse_in_run() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION batchagg_check_event() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION batchagg_check_job() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION batchagg_check_definition() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION batchagg_check_metric() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION batchagg_check_mapping() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION batchagg_check_measurement() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION batchagg_mappings_changed() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION batchagg_definitions_changed() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME';
CREATE FUNCTION batchagg_metrics_changed() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME';

REVOKE EXECUTE ON FUNCTION
	batchagg_refuse_in_run(),
	batchagg_check_event(),
	batchagg_check_job(),
	batchagg_check_definition(),
	batchagg_check_metric(),
	batchagg_check_mapping(),
	batchagg_check_measurement(),
	batchagg_mappings_changed(),
	batchagg_definitions_changed(),
	batchagg_metrics_changed()
FROM PUBLIC;

CREATE TRIGGER batchagg_refuse_in_run BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON batch_jobs
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_refuse_in_run();
CREATE TRIGGER batchagg_refuse_in_run BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON batchjob_definitions
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_refuse_in_run();
CREATE TRIGGER batchagg_refuse_in_run BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON batchjob_metrics
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_refuse_in_run();
CREATE TRIGGER batchagg_refuse_in_run BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON metricsandtables
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_refuse_in_run();
CREATE TRIGGER batchagg_refuse_in_run BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON batchagg_events
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_refuse_in_run();
CREATE TRIGGER batchagg_check_event BEFORE INSERT OR UPDATE OR DELETE ON batchagg_events
	FOR EACH ROW EXECUTE FUNCTION batchagg_check_event();
CREATE TRIGGER batchagg_check_job BEFORE INSERT OR UPDATE ON batch_jobs
	FOR EACH ROW EXECUTE FUNCTION batchagg_check_job();
CREATE TRIGGER batchagg_check_definition BEFORE INSERT OR UPDATE ON batchjob_definitions
	FOR EACH ROW EXECUTE FUNCTION batchagg_check_definition();
CREATE TRIGGER batchagg_check_metric BEFORE INSERT OR UPDATE ON batchjob_metrics
	FOR EACH ROW EXECUTE FUNCTION batchagg_check_metric();
CREATE TRIGGER batchagg_check_mapping BEFORE INSERT OR UPDATE ON metricsandtables
	FOR EACH ROW EXECUTE FUNCTION batchagg_check_mapping();
CREATE TRIGGER batchagg_check_measurement BEFORE INSERT OR UPDATE ON batchagg_measurements
	FOR EACH ROW EXECUTE FUNCTION batchagg_check_measurement();

-- A trigger with transition tables is for one kind of statement.
CREATE TRIGGER batchagg_mappings_inserted AFTER INSERT ON metricsandtables REFERENCING NEW TABLE AS made
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_mappings_changed();
CREATE TRIGGER batchagg_mappings_updated AFTER UPDATE ON metricsandtables REFERENCING OLD TABLE AS gone NEW TABLE AS made
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_mappings_changed();
CREATE TRIGGER batchagg_definitions_inserted AFTER INSERT ON batchjob_definitions REFERENCING NEW TABLE AS made
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_definitions_changed();
CREATE TRIGGER batchagg_definitions_updated AFTER UPDATE ON batchjob_definitions REFERENCING NEW TABLE AS made
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_definitions_changed();
CREATE TRIGGER batchagg_metrics_inserted AFTER INSERT ON batchjob_metrics REFERENCING NEW TABLE AS made
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_metrics_changed();
CREATE TRIGGER batchagg_metrics_updated AFTER UPDATE ON batchjob_metrics REFERENCING NEW TABLE AS made
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_metrics_changed();
CREATE TRIGGER batchagg_mappings_deleted AFTER DELETE ON metricsandtables REFERENCING OLD TABLE AS gone
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_mappings_changed();

COMMENT ON FUNCTION batchagg_refuse_in_run() IS
'trigger: refuses changes of jobs by code that a run of a job calls';
COMMENT ON FUNCTION batchagg_check_event() IS
'trigger: checks schedule and time zone, and that an event in use stays';
COMMENT ON FUNCTION batchagg_check_job() IS
'trigger: checks that the event is known, and whom the job is given to';
COMMENT ON FUNCTION batchagg_check_definition() IS
'trigger: checks granularity, time zone and filter, and resolves the source';
COMMENT ON FUNCTION batchagg_check_metric() IS
'trigger: checks the aggregates of a metric';
COMMENT ON FUNCTION batchagg_check_mapping() IS
'trigger: resolves the table of a mapping and checks its columns';
COMMENT ON FUNCTION batchagg_check_measurement() IS
'trigger: checks whom a measurement is given to';
COMMENT ON FUNCTION batchagg_definitions_changed() IS
'trigger: refuses equal definitions of a job, and tells of other jobs that compute the same';
COMMENT ON FUNCTION batchagg_metrics_changed() IS
'trigger: tells of other jobs that compute the same';
COMMENT ON FUNCTION batchagg_mappings_changed() IS
'trigger: warns of jobs that read other tables or columns by changed mappings';

COMMENT ON TRIGGER batchagg_definitions_inserted ON batchjob_definitions IS
'refuses equal definitions, and tells of other jobs that compute the same';
COMMENT ON TRIGGER batchagg_definitions_updated ON batchjob_definitions IS
'refuses equal definitions, and tells of other jobs that compute the same';
COMMENT ON TRIGGER batchagg_metrics_inserted ON batchjob_metrics IS
'tells of other jobs that compute the same';
COMMENT ON TRIGGER batchagg_metrics_updated ON batchjob_metrics IS
'tells of other jobs that compute the same';
COMMENT ON TRIGGER batchagg_mappings_inserted ON metricsandtables IS
'warns of jobs that read something else now';
COMMENT ON TRIGGER batchagg_mappings_updated ON metricsandtables IS
'warns of jobs that read something else now';
COMMENT ON TRIGGER batchagg_mappings_deleted ON metricsandtables IS
'warns of jobs that read something else now';
COMMENT ON TRIGGER batchagg_check_event ON batchagg_events IS
'checks schedule and time zone, and that an event in use stays';
COMMENT ON TRIGGER batchagg_check_job ON batch_jobs IS
'checks that the event is known, and whom the job is given to';
COMMENT ON TRIGGER batchagg_check_definition ON batchjob_definitions IS
'checks granularity, time zone and filter, and resolves the source';
COMMENT ON TRIGGER batchagg_check_metric ON batchjob_metrics IS
'checks the aggregates';
COMMENT ON TRIGGER batchagg_check_mapping ON metricsandtables IS
'resolves the table and checks the columns';
COMMENT ON TRIGGER batchagg_check_measurement ON batchagg_measurements IS
'checks whom a measurement is given to';
COMMENT ON TRIGGER batchagg_refuse_in_run ON batch_jobs IS
'refuses changes by code that a run calls';
COMMENT ON TRIGGER batchagg_refuse_in_run ON batchjob_definitions IS
'refuses changes by code that a run calls';
COMMENT ON TRIGGER batchagg_refuse_in_run ON batchjob_metrics IS
'refuses changes by code that a run calls';
COMMENT ON TRIGGER batchagg_refuse_in_run ON metricsandtables IS
'refuses changes by code that a run calls';
COMMENT ON TRIGGER batchagg_refuse_in_run ON batchagg_events IS
'refuses changes by code that a run calls';
