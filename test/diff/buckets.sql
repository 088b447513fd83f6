-- Buckets against PostgreSQL's own functions, and against their definition.
--
-- batchagg_bucket() of over a million random instants from 1970 to 2040, in
-- many zones and at many granularities, is compared with date_trunc() and
-- date_bin().  Those two know one instant for each reading of a clock, and so
-- part from the definition of a bucket (src/time/bucket.c) where a clock leaps
-- across a bound.  Therefore every result that differs from theirs, and those
-- for a second set of instants, which all lie close to a leap, are compared
-- with the definition, written down in SQL as literally as possible: over the
-- stretches of constant offset, which are found by looking at the zone's clock.
-- Where no leap is near, differing from PostgreSQL's functions is an error.
--
-- Nothing is left out.  Ends with an error if there is any difference.
-- BATCHAGG_SEED in the environment, an integer, repeats a run.

SET timezone = 'UTC';
SET client_min_messages = warning;

CREATE EXTENSION IF NOT EXISTS batchagg;

\ir ../lib/seed.sql

-- ---------------------------------------------------------------------------
-- Zones, and their stretches of constant offset
-- ---------------------------------------------------------------------------

-- Leaps at 1:00, 2:00 and 3:00; at and across midnight, forward and back; of
-- half an hour and of two hours; twice a year, four times (Ramadan), once in
-- decades, never; offsets of quarters of an hour; a whole day skipped.
CREATE TEMPORARY TABLE zones (zone text PRIMARY KEY);
INSERT INTO zones VALUES
	('UTC'), ('America/New_York'), ('America/Los_Angeles'), ('America/Chicago'),
	('America/Phoenix'), ('America/St_Johns'), ('America/Havana'), ('America/Sao_Paulo'),
	('America/Santiago'), ('America/Caracas'), ('America/Asuncion'), ('America/Nuuk'),
	('America/Scoresbysund'), ('America/Goose_Bay'), ('Atlantic/Azores'), ('Europe/London'),
	('Europe/Paris'), ('Europe/Athens'), ('Europe/Moscow'), ('Europe/Istanbul'),
	('Africa/Cairo'), ('Africa/Casablanca'), ('Africa/Monrovia'), ('Asia/Beirut'), ('Asia/Gaza'),
	('Asia/Amman'), ('Asia/Tehran'), ('Asia/Kolkata'), ('Asia/Kathmandu'), ('Asia/Dhaka'),
	('Asia/Pyongyang'), ('Asia/Tokyo'), ('Asia/Hong_Kong'), ('Antarctica/Troll'),
	('Antarctica/Casey'), ('Australia/Sydney'), ('Australia/Lord_Howe'), ('Australia/Eucla'),
	('Pacific/Auckland'), ('Pacific/Chatham'), ('Pacific/Apia'), ('Pacific/Fakaofo'),
	('Pacific/Kwajalein'), ('Pacific/Norfolk');

-- What a zone's clock is ahead of UTC.
CREATE FUNCTION pg_temp.zone_offset(zone text, t timestamptz) RETURNS interval
LANGUAGE sql STABLE AS $$ SELECT (t AT TIME ZONE zone) - (t AT TIME ZONE 'UTC') $$;

-- Leaps: days within which the offset changes, then halved down to the second.
CREATE TEMPORARY TABLE leaps AS
SELECT zone, day AS low, day + '1 day'::interval AS high, pg_temp.zone_offset(zone, day) AS before
FROM zones, generate_series('1969-11-01', '2041-03-01', '1 day'::interval) day
WHERE pg_temp.zone_offset(zone, day) <> pg_temp.zone_offset(zone, day + '1 day'::interval);

DO $$
BEGIN
	FOR i IN 1..17 LOOP
		UPDATE leaps
		SET low = CASE WHEN same THEN middle ELSE leaps.low END,
			high = CASE WHEN same THEN leaps.high ELSE middle END
		FROM (SELECT zone, low, middle, pg_temp.zone_offset(zone, middle) = before AS same
			  FROM leaps, date_trunc('second', low + (high - low) / 2) AS middle) AS half
		WHERE leaps.zone = half.zone AND leaps.low = half.low AND leaps.low < middle;
	END LOOP;
END
$$;

-- From `since` on, for as long as there is no other, the offset is `ahead`.
CREATE TEMPORARY TABLE stretches AS
SELECT zone, since, lead(since, 1, 'infinity') OVER (PARTITION BY zone ORDER BY since) AS until,
	pg_temp.zone_offset(zone, since) AS ahead
FROM (SELECT zone, high AS since FROM leaps
	  UNION ALL
	  SELECT zone, '1969-11-01' FROM zones) AS starts(zone, since);
CREATE UNIQUE INDEX ON stretches (zone, since);
CREATE INDEX ON leaps (zone, high);
ANALYZE stretches, leaps;

-- ---------------------------------------------------------------------------
-- Granularities, and both references
-- ---------------------------------------------------------------------------

CREATE TEMPORARY TABLE granularities (granularity text, kind text, width interval, months integer);
INSERT INTO granularities
SELECT n || '-minute',
	CASE WHEN 60 % n = 0 THEN 'clock' WHEN n > 60 AND 1440 % n = 0 THEN 'local' ELSE 'elapsed' END,
	make_interval(mins => n), 0
FROM unnest('{1,2,5,6,7,10,12,15,20,30,45,60,72,90,144,240}'::integer[]) AS n
UNION ALL
SELECT n || '-hour', CASE WHEN n = 1 THEN 'clock' WHEN 24 % n = 0 THEN 'local' ELSE 'elapsed' END,
	make_interval(hours => n), 0
FROM unnest('{1,2,3,4,5,6,8,12,24,36}'::integer[]) AS n
UNION ALL
SELECT n || '-day', 'local', make_interval(days => n), 0 FROM unnest('{1,2,3,10}'::integer[]) AS n
UNION ALL
SELECT n || '-week', 'local', make_interval(weeks => n), 0 FROM unnest('{1,2}'::integer[]) AS n
UNION ALL
SELECT n || '-month', 'local', '0', n FROM unnest('{1,2,6}'::integer[]) AS n
UNION ALL
SELECT n || '-quarter', 'local', '0', 3 * n FROM unnest('{1,2}'::integer[]) AS n
UNION ALL
SELECT n || '-year', 'local', '0', 12 * n FROM unnest('{1,10}'::integer[]) AS n;

-- The bound of a local reading: the last multiple of the width up to it.
CREATE FUNCTION pg_temp.local_bound(reading timestamp, width interval, months integer)
RETURNS timestamp LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE
		WHEN months = 0 THEN date_bin(width, reading, '2000-01-03')
		ELSE date_trunc('month', reading) - make_interval(months =>
			((extract(year FROM reading)::integer - 1900) * 12 +
			 extract(month FROM reading)::integer - 1) % months)
	END
$$;

-- The instant from which on a zone's clock never reads less than a bound.
CREATE FUNCTION pg_temp.settles(zone_name text, bound timestamp) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
	SELECT max(least(until, (bound - ahead) AT TIME ZONE 'UTC'))
	FROM stretches
	WHERE zone = zone_name AND since < (bound - ahead) AT TIME ZONE 'UTC'
		AND until > (bound AT TIME ZONE 'UTC') - interval '10 years'
$$;

-- The start of a bucket by definition.
CREATE FUNCTION pg_temp.defined(kind text, width interval, months integer, zone_name text,
								t timestamptz)
RETURNS timestamptz LANGUAGE sql STABLE AS $$
	SELECT CASE kind
		-- A bound of the clock's own, or the start of the stretch.
		WHEN 'clock' THEN
			(SELECT greatest(since, (date_bin(width, (t AT TIME ZONE 'UTC') + ahead, '2000-01-01') -
									 ahead) AT TIME ZONE 'UTC')
			 FROM stretches WHERE zone = zone_name AND since <= t AND t < until)
		-- The last bound that the clock has settled at by then.
		WHEN 'local' THEN
			(SELECT max(start)
			 FROM generate_series(-3, 3) AS k,
				pg_temp.settles(zone_name,
					pg_temp.local_bound(t AT TIME ZONE zone_name + k *
						CASE WHEN months = 0 THEN width ELSE make_interval(months => months) END,
						width, months)) AS start
			 WHERE start <= t)
		ELSE
			date_bin(width, t, timestamp '2000-01-03' AT TIME ZONE zone_name)
	END
$$;

-- ---------------------------------------------------------------------------
-- The comparison
-- ---------------------------------------------------------------------------

CREATE TEMPORARY TABLE instants AS
SELECT zone, granularity, kind, width, months, t,
	batchagg_bucket(granularity, t, zone) AS bucket,
	CASE
		-- PostgreSQL's own word for the unit, where there is one.
		WHEN granularity IN ('1-minute', '1-hour', '1-day', '1-week', '1-month', '1-quarter', '1-year')
		THEN date_trunc(substr(granularity, 3), t, zone)
		WHEN kind = 'elapsed' THEN date_bin(width, t, timestamp '2000-01-03' AT TIME ZONE zone)
		ELSE pg_temp.local_bound(t AT TIME ZONE zone, width, months) AT TIME ZONE zone
	END AS theirs
FROM (SELECT zone, granularity, kind, width, months,
		  CASE WHEN i % 4 = 0 THEN date_trunc('hour', t) ELSE t END AS t
	  FROM (SELECT *, to_timestamp(random() * extract(epoch FROM timestamptz '2041-01-01')) AS t
			FROM zones, granularities, generate_series(1, 650) AS i) AS anywhere) AS instants;

-- Results that only the definition can judge, with its judgement.
CREATE TEMPORARY TABLE judged AS
SELECT *, pg_temp.defined(kind, width, months, zone, t) AS defined, 'unlike theirs' AS reason
FROM instants WHERE bucket IS DISTINCT FROM theirs;

INSERT INTO judged
SELECT zone, granularity, kind, width, months, t, batchagg_bucket(granularity, t, zone), NULL,
	pg_temp.defined(kind, width, months, zone, t), 'close to a leap'
FROM (SELECT zone, granularity, kind, width, months,
		  CASE
			  WHEN random() < 0.5 THEN high + (random() - 0.5) * interval '60 hours'
			  ELSE high + floor(random() * 48 - 24) * interval '15 minutes'
		  END AS t
	  FROM leaps, granularities
	  WHERE random() < 0.3 AND high BETWEEN '1970-01-03' AND '2040-12-29') AS close;

CREATE TEMPORARY TABLE differences AS
SELECT * FROM judged WHERE bucket IS DISTINCT FROM defined
UNION ALL
SELECT * FROM judged
WHERE reason = 'unlike theirs' AND NOT EXISTS (
	SELECT FROM leaps
	WHERE leaps.zone = judged.zone AND
		(high BETWEEN t - '25 hours'::interval AND t + '25 hours'::interval OR
		 high BETWEEN bucket - '25 hours'::interval AND bucket + '25 hours'::interval));

SELECT format('%s random instants in %s zones at %s granularities, %s of them judged by the '
			  'definition; %s close to one of %s leaps; %s differences',
			  instants, zones, granularities, unlike_theirs, close, leaps, differences) AS counts,
	differences > 0 AS failed,
	instants < 1000000 OR unlike_theirs < 10 OR close < 10000 AS idle
FROM (SELECT count(DISTINCT t) FROM instants) AS a(instants),
	(SELECT count(*) FROM zones) AS b(zones),
	(SELECT count(*) FROM granularities) AS c(granularities),
	(SELECT count(*) FILTER (WHERE reason = 'unlike theirs'),
		count(*) FILTER (WHERE reason = 'close to a leap') FROM judged) AS d(unlike_theirs, close),
	(SELECT count(*) FROM leaps) AS e(leaps),
	(SELECT count(*) FROM differences) AS f(differences)
\gset
\echo :counts

\if :failed
SELECT zone, granularity, t, bucket, theirs, defined, reason FROM differences LIMIT 20;
DO 'BEGIN RAISE EXCEPTION ''buckets differ''; END';
\endif
\if :idle
DO 'BEGIN RAISE EXCEPTION ''too little was compared''; END';
\endif
