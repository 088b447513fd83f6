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

-- Every aggregate of every metric, for each entity and bucket.  source is what
-- stands behind FROM; id, start (of the bucket) and instant are expressions over
-- its columns; metrics maps the names of metrics to expressions.
CREATE FUNCTION plain.rollup(source text, id text, start text, instant text, metrics jsonb,
	filter text DEFAULT 'true')
RETURNS TABLE (entity text, bucket timestamptz, metric text, aggregate text, value float8, n bigint)
LANGUAGE plpgsql AS $$
DECLARE
	vals text := (SELECT string_agg(format('(%L, (%s)::float8)', m.key, m.value), ', ')
				  FROM jsonb_each_text(metrics) m);
BEGIN
	RETURN QUERY EXECUTE format($query$
		SELECT g.entity, g.bucket, g.metric, a.aggregate, a.value, g.n
		FROM (SELECT (%1$s)::text AS entity, (%2$s)::timestamptz AS bucket, m.metric,
					 count(m.v) AS n, sum(m.v) AS sum, avg(m.v) AS avg, min(m.v) AS min, max(m.v) AS max,
					 stddev_samp(m.v) AS std, var_samp(m.v) AS var,
					 stddev_pop(m.v) AS stddev_pop, var_pop(m.v) AS var_pop,
					 (array_agg(m.v ORDER BY %3$s, m.v) FILTER (WHERE m.v IS NOT NULL))[1] AS first,
					 (array_agg(m.v ORDER BY %3$s DESC, m.v DESC) FILTER (WHERE m.v IS NOT NULL))[1] AS last,
					 count(DISTINCT m.v) AS distinct,
					 percentile_cont(ARRAY[0.05, 0.5, 0.95, 0.999]) WITHIN GROUP (ORDER BY m.v) AS p
			  FROM %4$s, LATERAL (VALUES %5$s) m(metric, v)
			  WHERE (%6$s) AND (%1$s) IS NOT NULL AND (%3$s) IS NOT NULL
			  GROUP BY 1, 2, 3) g,
			 LATERAL (VALUES ('sum', sum), ('avg', avg), ('count', n), ('min', min), ('max', max),
					  ('std', std), ('var', var), ('stddev_pop', stddev_pop), ('var_pop', var_pop),
					  ('range', max - min), ('first', first), ('last', last), ('delta', last - first),
					  ('distinct', g.distinct), ('median', p[2]),
					  ('p5', p[1]), ('p95', p[3]), ('p99_9', p[4])) a(aggregate, value)
		WHERE a.value IS NOT NULL$query$,
		id, start, instant, source, vals, filter);
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
LANGUAGE plpgsql AS $$
BEGIN
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
