--
-- Views.
--
-- RuleExecutionResults unpacks the store: one row for each result.  A filter on
-- the job, definition, metric or aggregate selects rows of the two small tables;
-- one on entity or time reaches the store together with the layouts found there,
-- so that one of the store's two indexes serves it.  The view runs with the rights
-- of who reads it, and with the row-level security of the tables below.
--
-- The job's name is joined, not stored, so that a new name shows at once.  It is a
-- left join, although every layout has its job: PostgreSQL leaves a left join to a
-- unique key out of the plan where no column of it is used, and makes it an inner
-- one where job_name is filtered.
--
-- Measurements of other systems have no job.  They are kept in a table of their
-- own; the INSTEAD OF trigger puts there what is inserted here.
--
-- Results cannot be changed here.  PostgreSQL would say so with a hint to make
-- triggers; ours raise an error that says what to do instead.  The row trigger is
-- there for PostgreSQL to plan the statement at all, the one for the statement to
-- refuse it even if it finds no row.
--

CREATE VIEW RuleExecutionResults WITH (security_invoker = true) AS
SELECT
	l.job_id,
	j.job_name,
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
LEFT JOIN batch_jobs j ON j.id = l.job_id
WHERE s.results[p.position] IS NOT NULL
UNION ALL
SELECT
	NULL::integer,
	NULL::text,
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
COMMENT ON COLUMN RuleExecutionResults.job_name IS
'its name, as it is now; NULL for a measurement, and where the job has none';
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

CREATE FUNCTION batchagg_refuse_change() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME';
REVOKE EXECUTE ON FUNCTION batchagg_refuse_change() FROM PUBLIC;
CREATE TRIGGER batchagg_refuse_change BEFORE UPDATE OR DELETE ON RuleExecutionResults
	FOR EACH STATEMENT EXECUTE FUNCTION batchagg_refuse_change();
CREATE TRIGGER batchagg_refuse_row_change INSTEAD OF UPDATE OR DELETE ON RuleExecutionResults
	FOR EACH ROW EXECUTE FUNCTION batchagg_refuse_change();

COMMENT ON FUNCTION batchagg_refuse_change() IS
'trigger: says how results are changed and removed, as an error';
COMMENT ON TRIGGER batchagg_refuse_change ON RuleExecutionResults IS
'refuses changes of results';
COMMENT ON TRIGGER batchagg_refuse_row_change ON RuleExecutionResults IS
'refuses changes of results';

-- Runs under way.  The function sees to it that everybody sees their own.

CREATE VIEW batchagg_progress AS
SELECT * FROM batchagg_progress();

COMMENT ON VIEW batchagg_progress IS
'runs that are under way';
COMMENT ON COLUMN batchagg_progress.run_id IS
'number of the run; NULL: a dry run. Jobs that run together are shown as one run, the first job''s';
COMMENT ON COLUMN batchagg_progress.job_id IS
'the job; of jobs that run together, the first';
COMMENT ON COLUMN batchagg_progress.jobs IS
'number of jobs that run together';
COMMENT ON COLUMN batchagg_progress.pid IS
'process that runs it';
COMMENT ON COLUMN batchagg_progress.slot IS
'nominal time of the run';
COMMENT ON COLUMN batchagg_progress.attempt IS
'number of the attempt at this slot, counted from 1';
COMMENT ON COLUMN batchagg_progress.started_at IS
'when the run began';
COMMENT ON COLUMN batchagg_progress.phase IS
'planning, reading (a source, into groups) or storing (the groups'' results)';
COMMENT ON COLUMN batchagg_progress.source IS
'what is being read or stored';
COMMENT ON COLUMN batchagg_progress.scan IS
'number of the scan, from 1';
COMMENT ON COLUMN batchagg_progress.scans IS
'number of scans that the run makes';
COMMENT ON COLUMN batchagg_progress.rows_read IS
'rows that this scan has read';
COMMENT ON COLUMN batchagg_progress.rows_estimated IS
'rows that this scan will read, as the planner estimates them';
COMMENT ON COLUMN batchagg_progress.groups IS
'groups that are finished, of all scans; counted in steps of batchagg.batch_size';
COMMENT ON COLUMN batchagg_progress.results_written IS
'groups written or removed because they differ from what was stored; counted in steps of batchagg.batch_size';

-- What runs have come to.

CREATE VIEW batchagg_stats WITH (security_invoker = true) AS
SELECT
	j.id AS job_id,
	j.job_name,
	coalesce(c.runs, 0) AS runs,
	coalesce(c.failures, 0) AS failures,
	coalesce(c.rows_read, 0) AS rows_read,
	coalesce(c.results, 0) AS results,
	coalesce(c.changed, 0) AS changed,
	coalesce(c.seconds, 0) AS seconds_total,
	c.seconds / c.runs::float8 AS seconds_mean,
	c.last_run,
	coalesce(c.histogram, '{0,0,0,0,0,0,0,0,0}') AS histogram,
	'{0.001,0.01,0.1,1,10,60,600,3600,Infinity}'::float8[] AS histogram_bounds
FROM batch_jobs j
LEFT JOIN batchagg_counters c ON c.job_id = j.id;

COMMENT ON VIEW batchagg_stats IS
'what the runs of each job came to, since the job was made';
COMMENT ON COLUMN batchagg_stats.job_id IS
'the job';
COMMENT ON COLUMN batchagg_stats.job_name IS
'its name';
COMMENT ON COLUMN batchagg_stats.runs IS
'number of runs, failed ones included; those in repeatable read or serializable transactions, and attempts to run a job that was running, are not counted';
COMMENT ON COLUMN batchagg_stats.failures IS
'number of runs that failed or were interrupted';
COMMENT ON COLUMN batchagg_stats.rows_read IS
'rows read from the sources; jobs that run together each count all rows that were read for them';
COMMENT ON COLUMN batchagg_stats.results IS
'results computed';
COMMENT ON COLUMN batchagg_stats.changed IS
'groups written or removed because they differed from what was stored';
COMMENT ON COLUMN batchagg_stats.seconds_total IS
'time that the runs took, in seconds; jobs that run together each count all of it';
COMMENT ON COLUMN batchagg_stats.seconds_mean IS
'time that a run took on average; NULL: there was none';
COMMENT ON COLUMN batchagg_stats.last_run IS
'when the last run began';
COMMENT ON COLUMN batchagg_stats.histogram IS
'number of runs by the time they took, by the bounds in histogram_bounds';
COMMENT ON COLUMN batchagg_stats.histogram_bounds IS
'the longest time of each class of histogram, in seconds';
