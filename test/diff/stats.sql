--
-- Every aggregate against PostgreSQL's own, on float8 and on numeric.
--
-- The source has cells of several shapes, some rows of which have a NULL, some
-- cells NaN and infinities.  Finite values are an integer k, below 2^50, by
-- 2^20: exact as float8, and k gives numeric the exact sum and variance.  A
-- job computes all aggregates by day and, merged from the days, by month.
--
-- What may differ:
--   sum			1 ulp of the exact sum; from PostgreSQL's plain float8 sum,
--				1e-14 of the sum of absolute values
--   avg			relative 4e-16 of numeric's; from float8's as sum
--   variances, deviations
--				relative 1e-14 of numeric's; from float8's, which cancels
--				where values are far from zero, 1e-15 of the mean square
--				for variances and its root for deviations
--   all others		nothing
--
-- Any difference is an error; at the end one line says what was compared.
--
\set ON_ERROR_STOP 1
\set QUIET 1
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET timezone = 'UTC';
SET extra_float_digits = 1;

CREATE EXTENSION batchagg;

SELECT setseed(0.271828) \g /dev/null

CREATE TABLE loads (cell_id integer, "time" timestamptz, k bigint, load float8);

INSERT INTO loads
SELECT cell,
	   timestamptz '2023-01-01' + day * interval '1 day' + row / 2 * interval '37 minutes',
	   CASE WHEN cell % 11 = 5 AND random() < 0.3 THEN NULL
			ELSE CASE cell % 11
				-- uniform, signed of any size, far from zero
				WHEN 0 THEN (random() * 1e9)::bigint
				WHEN 1 THEN ((random() - 0.5) * 2 ^ (random() * 50))::bigint
				WHEN 2 THEN 1e9::bigint * 1048576 + (random() * 1048576)::bigint
				-- an outlier first, few values often, always the same
				WHEN 3 THEN CASE row WHEN 0 THEN 1e9::bigint * 1048576
									 ELSE (random() * 1048576)::bigint END
				WHEN 4 THEN (random() * 5)::bigint * 1048576
				WHEN 6 THEN 1048576001
				-- a counter, zero and less, 50 bits, single values
				WHEN 7 THEN (day * 100 + row) * 1048576::bigint
				WHEN 8 THEN - (random() * 3)::bigint
				WHEN 9 THEN (random() * 2 ^ 50)::bigint
				ELSE (random() * 1e12)::bigint END
	   END
FROM generate_series(1, 66) AS cell,
	 generate_series(0, 89) AS day,
	 generate_series(0, 38) AS row
WHERE row < CASE WHEN cell % 11 = 10 THEN day % 3 ELSE 1 + (cell * 7 + day * 5) % 39 END;

-- A negative zero now and then; then special values, in copies of cell 4.
UPDATE loads
SET load = CASE WHEN k = 0 AND cell_id % 2 = 0 THEN '-0' ELSE k / 1048576.0::float8 END;

INSERT INTO loads
SELECT 100 + kind, "time", NULL,
	   CASE WHEN random() < 0.9 THEN load
			ELSE (CASE kind
				  WHEN 0 THEN '{NaN}'
				  WHEN 1 THEN '{Infinity}'
				  WHEN 2 THEN '{-Infinity}'
				  WHEN 3 THEN '{Infinity,-Infinity}'
				  ELSE '{NaN,Infinity,-Infinity,NULL}'
				  END::float8[])[1 + (random() * 4)::integer %
								 CASE kind WHEN 3 THEN 2 WHEN 4 THEN 4 ELSE 1 END]
	   END
FROM loads, generate_series(0, 4) AS kind
WHERE cell_id = 4;

-- Days of nothing but NULL, NaN or infinity.
INSERT INTO loads
SELECT 110, timestamptz '2023-01-01' + day * interval '1 day' + row * interval '1 hour', NULL,
	   ('{NULL,NaN,Infinity,-Infinity}'::float8[])[1 + day % 4]
FROM generate_series(0, 11) AS day, generate_series(0, 2) AS row
WHERE row <= day / 4;

INSERT INTO batch_jobs (event_name) VALUES ('EVERYDAY') RETURNING id AS job \gset
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity)
VALUES (:job, 'cell', 'loads', '1-day'), (:job, 'cell', 'loads', '1-month');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types)
VALUES (:job, 'load', 'sum, avg, count, min, max, std, var, stddev_pop, var_pop, range, first, '
		'last, delta, distinct, median, p1, p5, p30, p95, p99, p99_9');
INSERT INTO metricsandtables (metricname, tablename) VALUES ('load', 'loads');

SELECT count(*) FROM batchagg_run_job(:job) \g /dev/null

-- What PostgreSQL makes of each group.
CREATE TABLE groups AS
SELECT cell_id::text AS entity_id, unit AS granularity,
	   date_trunc(substr(unit, 3), "time", 'UTC') AS bucket,
	   count(load) AS n,
	   count(load) = count(k) AS finite,
	   sum(load) AS sum, avg(load) AS avg, min(load) AS min, max(load) AS max,
	   stddev_samp(load) AS std, var_samp(load) AS var,
	   stddev_pop(load) AS stddev_pop, var_pop(load) AS var_pop,
	   max(load) - min(load) AS range,
	   (array_agg(load ORDER BY "time", load) FILTER (WHERE load IS NOT NULL))[1] AS first,
	   (array_agg(load ORDER BY "time" DESC, load DESC)
			FILTER (WHERE load IS NOT NULL))[1] AS last,
	   count(DISTINCT load) AS "distinct",
	   percentile_cont(ARRAY[0.5, 0.01, 0.05, 0.3, 0.95, 0.99, 0.999])
			WITHIN GROUP (ORDER BY load) AS percentiles,
	   sum(abs(load)) AS magnitude,
	   avg(load ^ 2) FILTER (WHERE abs(load) < 'Infinity') AS mean_square,
	   sum(k) AS sum_k,
	   avg(k::numeric) AS avg_k,
	   var_samp(k::numeric) AS var_k,
	   var_pop(k::numeric) AS var_pop_k
FROM loads, unnest(ARRAY['1-day', '1-month']) AS unit
GROUP BY 1, 2, 3;

-- One row for each judge's opinion of a result, with the tolerance.
CREATE TABLE expected AS
SELECT entity_id, granularity, bucket, n, judge, aggregation_type, value,
	   coalesce(tolerance, 0) AS tolerance
FROM groups CROSS JOIN LATERAL (
	SELECT 'float8', a.* FROM (VALUES
		('sum', sum, 1e-14 * magnitude),
		('avg', avg, 1e-14 * magnitude / n),
		('count', n, 0),
		('min', min, 0),
		('max', max, 0),
		('range', range, 0),
		('first', first, 0),
		('last', last, 0),
		('delta', last - first, 0),
		('distinct', "distinct", 0),
		('var', var, 1e-15 * n * mean_square),
		('var_pop', var_pop, 1e-15 * n * mean_square),
		('std', std, sqrt(1e-15 * n * mean_square)),
		('stddev_pop', stddev_pop, sqrt(1e-15 * n * mean_square)),
		('median', percentiles[1], 0),
		('p1', percentiles[2], 0),
		('p5', percentiles[3], 0),
		('p30', percentiles[4], 0),
		('p95', percentiles[5], 0),
		('p99', percentiles[6], 0),
		('p99_9', percentiles[7], 0)) AS a
	UNION ALL
	SELECT 'numeric', b.* FROM (VALUES
		('avg', avg_k::float8 / 1048576, 4e-16 * abs(avg_k)::float8 / 1048576),
		('var', var_k::float8 / 2 ^ 40, 1e-14 * var_k::float8 / 2 ^ 40),
		('var_pop', var_pop_k::float8 / 2 ^ 40, 1e-14 * var_pop_k::float8 / 2 ^ 40),
		('std', sqrt(var_k::float8 / 2 ^ 40), 1e-14 * sqrt(var_k::float8 / 2 ^ 40)),
		('stddev_pop', sqrt(var_pop_k::float8 / 2 ^ 40),
				1e-14 * sqrt(var_pop_k::float8 / 2 ^ 40))) AS b
	WHERE finite) AS opinion (judge, aggregation_type, value, tolerance)
WHERE value IS NOT NULL;

CREATE TABLE results AS
SELECT entity_id, granularity, "timestamp" AS bucket, aggregation_type, metric_value, sample_count
FROM RuleExecutionResults
WHERE metric_name = 'load';

ANALYZE expected;
ANALYZE results;

-- Results that are missing, one too many, or off.
CREATE TABLE differences AS
SELECT judge, entity_id, granularity, bucket, aggregation_type, value, metric_value
FROM expected FULL JOIN results USING (entity_id, granularity, bucket, aggregation_type)
WHERE value IS NULL OR metric_value IS NULL OR n <> sample_count OR
	  (value <> metric_value AND
	   NOT (abs(value) < 'Infinity' AND abs(metric_value) < 'Infinity' AND
			abs(value - metric_value) <= tolerance));

-- Sums by 2^20 are integers: exact ones, and less than an ulp of 2 to 512.
INSERT INTO differences
SELECT 'exact', entity_id, granularity, bucket, aggregation_type, sum_k / 1048576, metric_value
FROM results
	 JOIN groups USING (entity_id, granularity, bucket),
	 LATERAL (SELECT (metric_value * 1048576)::bigint AS got) AS scaled,
	 LATERAL (SELECT coalesce(max(1::bigint << (bits - 52)), 0) AS ulp
			  FROM generate_series(53, 62) AS bits
			  WHERE abs(got) >= 1::bigint << bits) AS precision
WHERE aggregation_type = 'sum' AND finite AND n > 0 AND
	  (abs(got - sum_k) > ulp OR metric_value * 1048576 <> got);

DO $$
DECLARE
	difference differences%ROWTYPE;
BEGIN
	IF (SELECT count(*) FROM results) = 0 THEN
		RAISE EXCEPTION 'the job has no results';
	END IF;
	FOR difference IN SELECT * FROM differences ORDER BY 1, 2, 3, 4, 5 LIMIT 20 LOOP
		RAISE WARNING '% of cell %, % from %: % by %, got %',
			difference.aggregation_type, difference.entity_id, difference.granularity,
			difference.bucket, difference.value, difference.judge, difference.metric_value;
	END LOOP;
	IF FOUND THEN
		RAISE EXCEPTION '% results differ from PostgreSQL''s', (SELECT count(*) FROM differences);
	END IF;
END
$$;

SELECT format('stats: %s rows, %s groups, %s results as of float8, %s of numeric, 0 differ',
			  (SELECT count(*) FROM loads), (SELECT count(*) FROM groups),
			  (SELECT count(*) FROM expected WHERE judge = 'float8'),
			  (SELECT count(*) FROM expected WHERE judge = 'numeric') +
			  (SELECT count(*) FROM groups WHERE finite AND n > 0));
