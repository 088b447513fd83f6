/*
 * Views.
 *
 * RuleExecutionResults unpacks the store: one row for each result.  A filter on
 * the job, definition, metric or aggregate selects rows of the two small tables,
 * and a filter on entity or time goes on to the store, each with the layouts
 * found, so that one of the store's two keys serves it.  The view runs with the
 * rights of who reads it, whose row-level security applies.
 *
 * Measurements of other systems have no job.  They are kept in a table of their
 * own; the INSTEAD OF trigger puts there what is inserted here.
 */

CREATE VIEW RuleExecutionResults WITH (security_invoker = true) AS
SELECT d.job_id,
       l.definition_id,
       l.focal_entity,
       s.entity_id,
       s.bucket AS "timestamp",
       l.granularity,
       p.metric_name,
       p.aggregation_type,
       s.results[p.position] AS metric_value,
       coalesce(s.metric_counts[p.metric], s.sample_count) AS sample_count,
       p.result_name,
       s.updated_at
  FROM batchagg_layouts l
  JOIN batchagg_positions p ON p.layout_id = l.id
  JOIN batchjob_definitions d ON d.id = l.definition_id
  JOIN batchagg_store s ON s.layout_id = l.id
 WHERE s.results[p.position] IS NOT NULL
UNION ALL
SELECT NULL::integer,
       NULL::integer,
       m.focal_entity,
       m.entity_id,
       m."timestamp",
       m.granularity,
       m.metric_name,
       m.aggregation_type,
       m.metric_value,
       m.sample_count,
       m.result_name,
       m.updated_at
  FROM batchagg_measurements m;

COMMENT ON VIEW RuleExecutionResults IS 'Results of all runs, one row each, and measurements of other systems; measurements can be inserted here';
COMMENT ON COLUMN RuleExecutionResults.job_id IS 'The job; NULL for a measurement';
COMMENT ON COLUMN RuleExecutionResults.definition_id IS 'The definition; NULL for a measurement';
COMMENT ON COLUMN RuleExecutionResults.focal_entity IS 'What the result is per';
COMMENT ON COLUMN RuleExecutionResults.entity_id IS 'Id of the entity, as text';
COMMENT ON COLUMN RuleExecutionResults."timestamp" IS 'Start of the bucket; time of a measurement';
COMMENT ON COLUMN RuleExecutionResults.granularity IS 'Width of the bucket';
COMMENT ON COLUMN RuleExecutionResults.metric_name IS 'Name of the metric';
COMMENT ON COLUMN RuleExecutionResults.aggregation_type IS 'Name of the aggregate';
COMMENT ON COLUMN RuleExecutionResults.metric_value IS 'The result; one that is undefined has no row';
COMMENT ON COLUMN RuleExecutionResults.sample_count IS 'Number of values it was computed from';
COMMENT ON COLUMN RuleExecutionResults.result_name IS 'Name of the result, such as tsum_hour_page_views';
COMMENT ON COLUMN RuleExecutionResults.updated_at IS 'When the result was last written';

CREATE FUNCTION batchagg_insert_measurement() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME';
REVOKE EXECUTE ON FUNCTION batchagg_insert_measurement() FROM PUBLIC;
CREATE TRIGGER batchagg_insert_measurement INSTEAD OF INSERT ON RuleExecutionResults
    FOR EACH ROW EXECUTE FUNCTION batchagg_insert_measurement();

COMMENT ON FUNCTION batchagg_insert_measurement() IS 'Trigger: puts a row inserted into RuleExecutionResults into batchagg_measurements';
COMMENT ON TRIGGER batchagg_insert_measurement ON RuleExecutionResults IS 'Keeps inserted rows as measurements of other systems';
