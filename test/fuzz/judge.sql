-- The judge: what the buckets are, and how results are compared.
--
-- Run once, with the variable ext set to the extension's schema (quoted).
-- Nothing here calls batchagg's code: buckets are found from the definition of
-- a bucket's bound, by looking at the whole list of a zone's offset changes,
-- which itself is found by asking PostgreSQL for local times and bisecting.
--
--   span     stretches of time in which a zone's offset is constant
--   bounds() start and end of the bucket that holds an instant
--   judge()  compares the table "expected" with RuleExecutionResults

SET client_min_messages = warning;
DROP SCHEMA IF EXISTS batchagg_fuzz CASCADE;
CREATE SCHEMA batchagg_fuzz;
SET search_path = batchagg_fuzz, :ext, pg_catalog, pg_temp;

CREATE TABLE span (
	zone text,
	starts timestamptz,
	ends timestamptz,
	shift interval,				-- local time minus UTC
	PRIMARY KEY (zone, starts)
);
CREATE INDEX ON span (zone, ends);

-- Fills span for one zone, from 1985 to 2045: ends are open, so whatever is
-- asked outside must not care for offset changes there.
CREATE PROCEDURE load_spans(zone text) LANGUAGE plpgsql AS $$
DECLARE
	step constant interval := '168 hours';
	begun timestamptz := '-infinity';
	early timestamptz := '1985-01-01 00:00+00';
	late timestamptz;
	middle timestamptz;
	shift interval := early AT TIME ZONE zone - early AT TIME ZONE 'UTC';
	new_shift interval;
BEGIN
	WHILE early < '2045-01-01 00:00+00' LOOP
		late := early + step;
		new_shift := late AT TIME ZONE zone - late AT TIME ZONE 'UTC';
		IF new_shift <> shift THEN
			WHILE late - early > '1 second' LOOP
				middle := date_trunc('second', early + (late - early) / 2);
				IF middle AT TIME ZONE zone - middle AT TIME ZONE 'UTC' = shift THEN
					early := middle;
				ELSE
					late := middle;
				END IF;
			END LOOP;
			INSERT INTO span VALUES (zone, begun, late, shift);
			begun := late;
			shift := late AT TIME ZONE zone - late AT TIME ZONE 'UTC';
		END IF;
		early := late;
	END LOOP;
	INSERT INTO span VALUES (zone, begun, 'infinity', shift);
END $$;

-- The instant that a local time stands for as a bucket's bound: the last one
-- up to which the zone's clock ever reads less.
CREATE FUNCTION bound(zone text, local timestamp) RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN least((bound.local - s.shift) AT TIME ZONE 'UTC', s.ends)
	FROM batchagg_fuzz.span s
	WHERE s.zone = bound.zone
		AND s.starts < (bound.local - s.shift) AT TIME ZONE 'UTC'
		-- implied, as no clock is a day from UTC; for the index
		AND s.starts < bound.local AT TIME ZONE 'UTC' + '24 hours'::interval
	ORDER BY s.starts DESC
	LIMIT 1;
END $$;

-- The earliest local time that the zone's clock reads at t or later.  A bound
-- is not after t exactly if its local time is not after this one.  No clock
-- goes back to before t later than in the next two spans.
CREATE FUNCTION earliest_reading(zone text, t timestamptz) RETURNS timestamp
LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN min(greatest(earliest_reading.t, s.starts) AT TIME ZONE 'UTC' + s.shift)
	FROM (SELECT * FROM batchagg_fuzz.span
		  WHERE span.zone = earliest_reading.zone AND span.ends > earliest_reading.t
		  ORDER BY span.ends
		  LIMIT 3) s;
END $$;

-- Start and end of the bucket of n units that holds t, in the zone.
CREATE FUNCTION bounds(n int, unit text, zone text, t timestamptz,
					   OUT starts timestamptz, OUT ends timestamptz)
LANGUAGE plpgsql STABLE AS $$
DECLARE
	epoch constant timestamp := '2000-01-03 00:00';	-- a Monday
	minutes int := CASE unit WHEN 'minute' THEN n WHEN 'hour' THEN n * 60 END;
	days int := CASE unit WHEN 'day' THEN n WHEN 'week' THEN n * 7 END;
	months int := CASE unit WHEN 'month' THEN n WHEN 'quarter' THEN n * 3
		WHEN 'year' THEN n * 12 END;
	local timestamp;
	length interval;
	s record;
	k bigint;
BEGIN
	IF 60 % minutes = 0 THEN
		-- real time on the local clock's grid, cut where the offset changes
		SELECT * INTO STRICT s FROM batchagg_fuzz.span
		WHERE span.zone = bounds.zone AND span.starts <= t AND span.ends > t;
		local := t AT TIME ZONE 'UTC' + s.shift;
		local := date_trunc('hour', local) +
			make_interval(mins => extract(minute FROM local)::int / minutes * minutes);
		starts := greatest((local - s.shift) AT TIME ZONE 'UTC', s.starts);
		local := local + make_interval(mins => minutes);
		ends := least((local - s.shift) AT TIME ZONE 'UTC', s.ends);
		RETURN;
	ELSIF minutes < 60 OR 1440 % minutes <> 0 THEN
		-- real time counted from the epoch
		starts := batchagg_fuzz.bound(zone, epoch);
		length := make_interval(mins => minutes);
		k := floor(extract(epoch FROM t - starts) / (minutes * 60));
		starts := starts + k * length;
		ends := starts + length;
		RETURN;
	END IF;

	local := batchagg_fuzz.earliest_reading(zone, t);
	IF minutes IS NOT NULL THEN
		length := make_interval(mins => minutes);
		k := (extract(hour FROM local) * 60 + extract(minute FROM local))::int / minutes;
		local := date_trunc('day', local) + k * length;
	ELSIF days IS NOT NULL THEN
		length := make_interval(days => days);
		k := floor((local::date - epoch::date)::numeric / days);
		local := epoch + k * length;
	ELSE
		length := make_interval(months => months);
		k := (extract(year FROM local) - 2000) * 12 + extract(month FROM local) - 1;
		k := floor(k::numeric / months);
		local := timestamp '2000-01-01 00:00' + k * length;
	END IF;
	starts := batchagg_fuzz.bound(zone, local);
	ends := batchagg_fuzz.bound(zone, local + length);
END $$;

-- The judge is judged: where PostgreSQL has such a bucket itself, and no offset
-- changes within hours of its start, bounds() must agree.
CREATE FUNCTION check_bounds(instants int) RETURNS SETOF text LANGUAGE sql AS $$
	WITH instant AS (
		SELECT zone, '1996-01-01 00:00+00'::timestamptz + random() * '10000 days'::interval AS t
		FROM (SELECT DISTINCT zone FROM batchagg_fuzz.span) z, generate_series(1, instants)
	), answer AS (
		SELECT 1 AS n, unit, zone, t, b.*, date_trunc(unit, t, zone) AS other
		FROM instant,
			unnest('{hour,day,week,month,quarter,year}'::text[]) unit,
			batchagg_fuzz.bounds(1, unit, zone, t) b
		UNION ALL
		SELECT n, unit, zone, t, b.*,
			date_bin((n || unit)::interval, t, '2000-01-03 00:00+00'::timestamptz)
		FROM instant,
			(VALUES (15, 'minute'), (7, 'minute'), (90, 'minute'), (4, 'hour'), (5, 'hour'),
					(36, 'hour'), (10, 'day'), (2, 'week')) g(n, unit),
			batchagg_fuzz.bounds(n, unit, zone, t) b
		WHERE zone = 'UTC' AND t >= '2000-01-03 00:00+00'
	)
	SELECT format('%s-%s in %s of %s: bounds() says %s to %s, PostgreSQL %s',
				  n, unit, zone, t, starts, ends, other)
	FROM answer a
	WHERE starts > t OR ends <= t
		OR (starts <> other AND NOT EXISTS (
			SELECT FROM batchagg_fuzz.span s
			WHERE s.zone = a.zone
				AND s.starts BETWEEN other - '3 hours'::interval AND other + '3 hours'::interval))
$$;

-- Whether a result may pass for the expected one.
CREATE FUNCTION same_value(aggregate text, expected float8, got float8, tolerance float8)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE
		WHEN expected = got THEN true
		WHEN 'NaN' IN (expected, got) OR 'infinity' IN (abs(expected), abs(got)) THEN false
		WHEN aggregate IN ('std', 'stddev_pop') THEN abs(expected ^ 2 - got ^ 2) <= tolerance
		ELSE abs(expected - got) <= tolerance
	END
$$;

-- What each session fills before it calls judge().  entity_ids: the texts that
-- the entity's ids have; more than one where equal values print differently,
-- and then any of them will do.
CREATE FUNCTION make_tables() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	CREATE TEMP TABLE IF NOT EXISTS expected (
		definition_id int,
		focal_entity text,
		entity_ids text[],
		"timestamp" timestamptz,
		granularity text,
		metric_name text,
		aggregation_type text,
		metric_value float8,
		tolerance float8,
		sample_count bigint,
		result_name text
	);
	CREATE TEMP TABLE IF NOT EXISTS skipped (
		n bigint				-- of one scan
	);
	GRANT ALL ON expected, skipped TO PUBLIC;
END $$;
SELECT make_tables() \g /dev/null

-- Compares "expected" with the results of a job: one line about each of the
-- first differences, after them the sums.
CREATE FUNCTION judge(place text, job int) RETURNS SETOF text
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
	compared bigint;
	differences bigint;
	examples text[];
BEGIN
	WITH got AS (
		SELECT definition_id, entity_id, "timestamp", metric_name, aggregation_type, metric_value,
			sample_count, focal_entity, granularity, result_name, true AS here
		FROM ruleexecutionresults WHERE job_id = job
	), choice AS (
		SELECT definition_id, metric_name, entity_ids, coalesce(
			(SELECT min(g.entity_id)
			 FROM (SELECT DISTINCT definition_id, metric_name, entity_id FROM got) g
			 WHERE g.definition_id = e.definition_id AND g.metric_name = e.metric_name
				AND g.entity_id = ANY (e.entity_ids)), entity_ids[1]) AS entity_id
		FROM (SELECT DISTINCT definition_id, metric_name, entity_ids FROM expected
			  WHERE cardinality(entity_ids) > 1) e
	), wanted AS (
		SELECT e.*, true AS here, coalesce(choice.entity_id, entity_ids[1]) AS entity_id
		FROM expected e LEFT JOIN choice USING (definition_id, metric_name, entity_ids)
	), difference AS (
		SELECT CASE WHEN w.here IS NULL THEN 'extra ' WHEN g.here IS NULL THEN 'missing '
				ELSE 'different ' END
			|| jsonb_build_object(
				'definition', definition_id, 'entity', entity_id, 'timestamp', "timestamp",
				'metric', metric_name, 'aggregate', aggregation_type,
				'expected', jsonb_build_array(w.metric_value, w.sample_count, w.focal_entity,
											  w.granularity, w.result_name),
				'got', jsonb_build_array(g.metric_value, g.sample_count, g.focal_entity,
										 g.granularity, g.result_name))::text AS line
		FROM wanted w
		FULL JOIN got g
			USING (definition_id, entity_id, "timestamp", metric_name, aggregation_type)
		WHERE w.here IS NULL OR g.here IS NULL
			OR NOT same_value(aggregation_type, w.metric_value, g.metric_value, w.tolerance)
			OR (w.sample_count, w.focal_entity, w.granularity, w.result_name)
				IS DISTINCT FROM (g.sample_count, g.focal_entity, g.granularity, g.result_name)
		UNION ALL
		SELECT 'twice ' || jsonb_build_array(key)::text
		FROM (SELECT definition_id, entity_id, "timestamp", metric_name, aggregation_type
			  FROM got) key
		GROUP BY key
		HAVING count(*) > 1
	)
	SELECT (SELECT count(*) FROM wanted), count(*), (array_agg(line))[1:5]
	INTO compared, differences, examples
	FROM difference;

	RETURN QUERY SELECT format('difference %s: %s', place, line) FROM unnest(examples) line;
	RETURN NEXT format('compared %s %s', compared, differences);
END $$;

-- A digest of what the extension stores: changes with any write to it.
CREATE FUNCTION store_image() RETURNS text LANGUAGE sql SET search_path FROM CURRENT AS $$
	SELECT md5(string_agg(concat_ws(' ', tableoid, ctid, xmin), ',' ORDER BY tableoid, ctid))
	FROM (SELECT tableoid, ctid, xmin FROM batchagg_store
		  UNION ALL SELECT tableoid, ctid, xmin FROM batchagg_layouts
		  UNION ALL SELECT tableoid, ctid, xmin FROM batchagg_positions) stored
$$;

-- One difference unless a fact is as expected.
CREATE FUNCTION check_fact(place text, fact text, expected text, got text) RETURNS SETOF text
LANGUAGE sql AS $$
	SELECT format('difference %s: %s: expected %s, got %s', place, fact, expected, got)
	WHERE expected IS DISTINCT FROM got
	UNION ALL
	SELECT format('compared 0 %s', (expected IS DISTINCT FROM got)::int)
$$;
