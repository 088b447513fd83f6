--
-- Views.
--
-- RuleExecutionResults unpacks the store: one row for each result.  A filter on
-- the job, definition, metric or aggregate selects rows of the two small tables;
-- one on entity or time reaches the store together with the layouts found there,
-- so that one of the store's two indexes serves it.  The view runs with the rights
-- of who reads it, and with the row-level security of the tables below.
--
-- Measurements of other systems have no job.  They are kept in a table of their
-- own; the INSTEAD OF trigger puts there what is inserted here.
--

CREATE VIEW RuleExecutionResults WITH (security_invoker = true) AS
SELECT
	l.job_id,
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
JOIN batchagg_store s ON s.layout_id = l.id
WHERE s.results[p.position] IS NOT NULL
UNION ALL
SELECT
	NULL::integer,
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

COMMENT ON VIEW RuleExecutionResults IS
'results of all runs, one row each, and measurements of other systems; measurements can be inserted here';
COMMENT ON COLUMN RuleExecutionResults.job_id IS
'the job; NULL for a measurement';
COMMENT ON COLUMN RuleExecutionResults.definition_id IS
'the definition; NULL for a measurement';
COMMENT ON COLUMN RuleExecutionResults.focal_entity IS
'what the result is per';
COMMENT ON COLUMN RuleExecutionResults.entity_id IS
'id of the entity, as text';
COMMENT ON COLUMN RuleExecutionResults."timestamp" IS
'start of the bucket; time of a measurement';
COMMENT ON COLUMN RuleExecutionResults.granularity IS
'width of the bucket';
COMMENT ON COLUMN RuleExecutionResults.metric_name IS
'name of the metric';
COMMENT ON COLUMN RuleExecutionResults.aggregation_type IS
'name of the aggregate';
COMMENT ON COLUMN RuleExecutionResults.metric_value IS
'the result; one that is undefined has no row';
COMMENT ON COLUMN RuleExecutionResults.sample_count IS
'number of values it was computed from';
COMMENT ON COLUMN RuleExecutionResults.result_name IS
'name of the result, such as tsum_hour_page_views';
COMMENT ON COLUMN RuleExecutionResults.updated_at IS
'when the result was last written';

CREATE FUNCTION batchagg_insert_measurement() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME';
REVOKE EXECUTE ON FUNCTION batchagg_insert_measurement() FROM PUBLIC;
CREATE TRIGGER batchagg_insert_measurement INSTEAD OF INSERT ON RuleExecutionResults
	FOR EACH ROW EXECUTE FUNCTION batchagg_insert_measurement();

COMMENT ON FUNCTION batchagg_insert_measurement() IS
'trigger: puts a row inserted into RuleExecutionResults into batchagg_measurements';
COMMENT ON TRIGGER batchagg_insert_measurement ON RuleExecutionResults IS
'keeps inserted rows as measurements of other systems';
