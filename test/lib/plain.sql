\set ECHO none
-- The extension, and what results should be by plain SQL, for the regression tests
-- of the engine.  Each begins with
--
--	 \getenv test_dir PG_ABS_SRCDIR
--	 \set plain :test_dir '/lib/plain.sql'
--	 \i :plain
--
-- Everything but the extension is made in schema plain, which the test drops.
--
-- Differs from how batchagg computes in every way: one row for each value of
-- each metric, PostgreSQL's own aggregates over them, buckets by an expression
-- that the test gives.

SET client_min_messages = warning;
CREATE EXTENSION batchagg;
CREATE SCHEMA plain;

-- How each aggregate of the values v is made, tied instants in the order of values.
CREATE TABLE plain.aggregates (name, expression) AS VALUES
	('sum', 'sum(v)'), ('avg', 'avg(v)'), ('count', 'count(v)'), ('min', 'min(v)'), ('max', 'max(v)'),
	('std', 'stddev_samp(v)'), ('var', 'var_samp(v)'), ('stddev_pop', 'stddev_pop(v)'), ('var_pop', 'var_pop(v)'),
	('range', 'max(v) - min(v)'),
	('first', '(array_agg(v ORDER BY instant, v) FILTER (WHERE v IS NOT NULL))[1]'),
	('last', '(array_agg(v ORDER BY instant DESC, v DESC) FILTER (WHERE v IS NOT NULL))[1]'),
	('delta', '(array_agg(v ORDER BY instant DESC, v DESC) FILTER (WHERE v IS NOT NULL))[1]'
		' - (array_agg(v ORDER BY instant, v) FILTER (WHERE v IS NOT NULL))[1]'),
	('distinct', 'count(DISTINCT v)'),
	('median', 'percentile_cont(0.5) WITHIN GROUP (ORDER BY v)'),
	('p5', 'percentile_cont(0.05) WITHIN GROUP (ORDER BY v)'),
	('p95', 'percentile_cont(0.95) WITHIN GROUP (ORDER BY v)'),
	('p99_9', 'percentile_cont(0.999) WITHIN GROUP (ORDER BY v)');

-- Every aggregate of every metric, for each entity and bucket; of the aggregates
-- those in plain.asked, with commas, while compare() below has it set.  source is
-- what stands behind FROM; id, start (of the bucket) and instant are expressions
-- over its columns; metrics maps the names of metrics to expressions.
CREATE FUNCTION plain.rollup(source text, id text, start text, instant text, metrics jsonb,
	filter text DEFAULT 'true')
RETURNS TABLE (entity text, bucket timestamptz, metric text, aggregate text, value float8, n bigint)
LANGUAGE plpgsql AS $$
DECLARE
	asked text[] := string_to_array(nullif(current_setting('plain.asked', true), ''), ',');
	names text[];
	expressions text;
	vals text := (SELECT string_agg(format('(%L, (%s)::float8)', m.key, m.value), ', ')
				  FROM jsonb_each_text(metrics) m);
BEGIN
	SELECT array_agg(a.name ORDER BY a.name), string_agg(a.expression, ', ' ORDER BY a.name)
	INTO names, expressions
	FROM plain.aggregates a WHERE asked IS NULL OR a.name = ANY (asked);
	RETURN QUERY EXECUTE format($query$
		SELECT g.entity, g.bucket, g.metric, a.aggregate, a.value, g.n
		FROM (SELECT r.entity, r.bucket, r.metric, count(v) AS n, ARRAY[%7$s]::float8[] AS vals
			  FROM (SELECT (%1$s)::text AS entity, (%2$s)::timestamptz AS bucket, %3$s AS instant, m.metric, m.v
					FROM %4$s, LATERAL (VALUES %5$s) m(metric, v)
					WHERE (%6$s) AND (%1$s) IS NOT NULL AND (%3$s) IS NOT NULL) r
			  GROUP BY 1, 2, 3) g,
			 unnest(%8$L::text[], g.vals) a(aggregate, value)
		WHERE a.value IS NOT NULL$query$,
		id, start, instant, source, vals, filter, expressions, names);
END $$;

-- Are two results the same, but for the last digits?
CREATE FUNCTION plain.same(a float8, b float8) RETURNS boolean LANGUAGE sql AS $$
	SELECT a = b OR abs(a - b) <= 1e-9 * greatest(abs(a), abs(b), 1)
$$;

-- Compares the stored results of a definition with a query for rows of
-- plain.rollup(): how many there are, how many there should be, and the keys
-- that are on one side only or have another value or count.  Of the query's
-- rows, those count that are an aggregate asked for.
CREATE FUNCTION plain.compare(definition integer, query text,
	OUT stored bigint, OUT expected bigint, OUT different bigint)
LANGUAGE plpgsql SET plain.asked = '' AS $$
BEGIN
	PERFORM set_config('plain.asked', string_agg(m.aggregation_types, ','), true)
	FROM batchjob_metrics m JOIN batchjob_definitions d USING (job_id) WHERE d.id = definition;
	EXECUTE format($query$
		WITH stored AS (
			SELECT entity_id AS entity, "timestamp" AS bucket, metric_name AS metric,
				   aggregation_type AS aggregate, metric_value AS value, sample_count AS n
			FROM RuleExecutionResults WHERE definition_id = %1$s),
		expected AS (
			SELECT e.* FROM (%2$s) e
			WHERE (e.metric, e.aggregate) IN (
				SELECT m.metric_name, unnest(string_to_array(m.aggregation_types, ','))
				FROM batchjob_metrics m JOIN batchjob_definitions d USING (job_id) WHERE d.id = %1$s))
		SELECT (SELECT count(*) FROM stored), (SELECT count(*) FROM expected), count(*)
		FROM stored s FULL JOIN expected e USING (entity, bucket, metric, aggregate)
		WHERE (plain.same(s.value, e.value) AND s.n = e.n) IS NOT TRUE$query$,
		definition, query)
	INTO stored, expected, different;
END $$;
\set ECHO all
