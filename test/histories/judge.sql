-- The judge of histories, beside that of random jobs (../fuzz/judge.sql), of
-- which it uses the notion of a bucket and of equal values.
--
-- Run once, in the database that all histories start from.
--
--   bucket    buckets that were asked for before, as finding one takes long
--   expected  what should be stored for each definition, by plain SQL
--   judge()   compares that with the results of the three jobs

SET client_min_messages = warning;
DROP SCHEMA IF EXISTS batchagg_histories CASCADE;
CREATE SCHEMA batchagg_histories;
GRANT USAGE ON SCHEMA batchagg_histories, batchagg_fuzz TO PUBLIC;
SET search_path = batchagg_histories, public, pg_catalog, pg_temp;

CREATE TABLE bucket (
	n int,
	unit text,
	zone text,
	starts timestamptz,
	ends timestamptz,
	PRIMARY KEY (n, unit, zone, starts)
);

CREATE TABLE expected (
	d int,						-- a definition's number
	entity text,
	starts timestamptz,
	metric text,
	aggregate text,
	value float8,
	tolerance float8,
	n bigint
);

-- When the jobs ran last.
CREATE TABLE clock (slot timestamptz);
INSERT INTO clock VALUES (NULL);

-- What may be otherwise: buckets that end before this may be as they were, where
-- a definition has a lookback; and those with rows at an odd time anything.
CREATE TABLE loose (d int, n int, unit text, zone text, before timestamptz, horizon timestamptz);
CREATE TABLE odd (t timestamptz);
CREATE TABLE last_horizon (d int PRIMARY KEY, horizon timestamptz);
CREATE TABLE was (
	job int,
	d int,
	entity text,
	starts timestamptz,
	metric text,
	aggregate text,
	value float8,
	n bigint
);

GRANT ALL ON ALL TABLES IN SCHEMA batchagg_histories TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA batchagg_fuzz TO PUBLIC;

-- Waits where rows' times, which are on whole hours of some zone, are about to
-- pass the horizon, as runs side by side could have them on either side.
CREATE FUNCTION wait_for_quiet() RETURNS void LANGUAGE sql VOLATILE AS $$
	SELECT pg_sleep(1.1) WHERE extract(epoch FROM clock_timestamp())::numeric % 900 > 899
$$;

-- Waits until the service has run the jobs.
CREATE PROCEDURE wait_for_service() LANGUAGE plpgsql AS $$
DECLARE
	began timestamptz := clock_timestamp();
BEGIN
	WHILE (SELECT count(DISTINCT job_id) FROM batchagg_ledger
		   WHERE state IN ('done', 'late') AND slot = date_trunc('hour', began)) < 3
	LOOP
		IF clock_timestamp() > began + interval '60 s' THEN
			RAISE EXCEPTION 'the service does not run the jobs: %', (SELECT string_agg(l::text, ' ') FROM batchagg_ledger l);
		END IF;
		PERFORM pg_sleep(0.02);
		COMMIT;
	END LOOP;
END $$;

-- Waits until none of its processes is left; workers would wait for more to do.
CREATE PROCEDURE wait_for_its_end() LANGUAGE plpgsql AS $$
BEGIN
	WHILE EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND backend_type ~ '^batchagg')
	LOOP
		PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND backend_type = 'batchagg worker'
			AND NOT EXISTS (SELECT FROM batchagg_ledger WHERE state = 'running');
		PERFORM pg_sleep(0.02);
		COMMIT;
	END LOOP;
END $$;

-- Finds the buckets that hold some instants.
CREATE FUNCTION know_buckets(n int, unit text, zone text, instants timestamptz[]) RETURNS void
LANGUAGE sql AS $$
	INSERT INTO batchagg_histories.bucket
	SELECT DISTINCT know_buckets.n, know_buckets.unit, know_buckets.zone, b.starts, b.ends
	FROM unnest(instants) t, LATERAL (SELECT * FROM batchagg_fuzz.bounds(n, unit, zone, t) OFFSET 0) b
	WHERE isfinite(t) AND NOT EXISTS (
		SELECT FROM batchagg_histories.bucket k
		WHERE k.n = know_buckets.n AND k.unit = know_buckets.unit AND k.zone = know_buckets.zone
			AND k.starts <= t AND k.ends > t)
	ON CONFLICT DO NOTHING
$$;

-- Takes over the time of the jobs' last run.
CREATE FUNCTION take_time() RETURNS void LANGUAGE sql SET search_path FROM CURRENT AS $$
	UPDATE clock SET slot = (SELECT r.slot FROM batchagg_runs r WHERE job_id = 1 AND status = 'succeeded'
							 ORDER BY run_id DESC LIMIT 1)
$$;

-- Whether a result may differ from the expected one.
CREATE FUNCTION excused(r was) RETURNS boolean LANGUAGE sql AS $$
	SELECT EXISTS (
		SELECT FROM batchagg_histories.loose l
			JOIN batchagg_histories.bucket b USING (n, unit, zone)
		WHERE l.d = r.d AND b.starts = r.starts
			AND (EXISTS (SELECT FROM batchagg_histories.odd o WHERE o.t >= b.starts AND o.t < b.ends)
				OR b.ends <= l.before AND r.value IS NOT DISTINCT FROM (
					SELECT w.value FROM batchagg_histories.was w
					WHERE (w.job, w.d, w.entity, w.starts, w.metric, w.aggregate)
						= (r.job, r.d, r.entity, r.starts, r.metric, r.aggregate))))
$$;

-- Compares "expected" with the results of all jobs: an error with the first
-- differences, or the number of results that are right.
CREATE FUNCTION judge() RETURNS text
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
	compared bigint;
	differences bigint;
	examples text;
BEGIN
	WITH got AS MATERIALIZED (
		SELECT job_id AS job, definition_id % 100 AS d, entity_id AS entity, "timestamp" AS starts,
			metric_name AS metric, aggregation_type AS aggregate, metric_value AS value,
			sample_count AS n
		FROM ruleexecutionresults WHERE job_id IS NOT NULL
	), wanted AS MATERIALIZED (
		SELECT id AS job, e.* FROM batch_jobs, expected e
	), difference AS (
		SELECT CASE WHEN w.d IS NULL THEN 'extra ' WHEN g.d IS NULL THEN 'missing '
				ELSE 'different ' END
			|| jsonb_build_object(
				'job', job, 'definition', d, 'entity', entity, 'timestamp', starts, 'metric', metric,
				'aggregate', aggregate, 'expected', jsonb_build_array(w.value, w.n),
				'got', jsonb_build_array(g.value, g.n))::text AS line
		FROM wanted w
		FULL JOIN got g USING (job, d, entity, starts, metric, aggregate)
		WHERE (w.d IS NULL OR g.d IS NULL OR w.n <> g.n
			OR NOT batchagg_fuzz.same_value(aggregate, w.value, g.value, w.tolerance))
			AND NOT excused((job, d, entity, starts, metric, aggregate, g.value, g.n))
	)
	SELECT (SELECT count(*) FROM wanted), count(*), array_to_string((array_agg(line ORDER BY line))[1:4], E'\n')
	INTO compared, differences, examples
	FROM difference;

	IF differences > 0 THEN
		RAISE EXCEPTION '% of % results differ', differences, compared USING DETAIL = examples;
	END IF;
	IF EXISTS (SELECT FROM loose) THEN
		DELETE FROM was;
		INSERT INTO was
		SELECT job_id, definition_id % 100, entity_id, "timestamp", metric_name, aggregation_type,
			metric_value, sample_count
		FROM ruleexecutionresults WHERE job_id IS NOT NULL;
		DELETE FROM last_horizon;
		INSERT INTO last_horizon SELECT d, horizon FROM loose;
	END IF;
	RETURN format('compared %s', compared);
END $$;

-- Raises an error unless the last run of each job ended as expected.
CREATE FUNCTION check_runs(expected text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
	problem text;
BEGIN
	SELECT format('the run of job %s has %s: %s', job_id, status, error_message) INTO problem
	FROM (SELECT DISTINCT ON (job_id) * FROM batchagg_runs ORDER BY job_id, run_id DESC) r
	WHERE status <> expected
	ORDER BY job_id;
	IF FOUND THEN
		RAISE EXCEPTION '%', problem;
	END IF;
END $$;

-- Raises an error unless a fact is as expected.
CREATE FUNCTION check_fact(fact text, expected text, got text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	IF expected IS DISTINCT FROM got THEN
		RAISE EXCEPTION '%: expected %, got %', fact, expected, got;
	END IF;
END $$;
