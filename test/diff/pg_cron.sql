-- pg_cron's expressions against the times that events are due.
--
-- Every kind of event, in every kind of time zone: each time of three years at
-- which it is due must be a time at which pg_cron, whose clock is GMT, fires.
-- What it fires too often is counted and shown.
--
-- Ends with an error if a time is missed.

SET timezone = 'UTC';
SET client_min_messages = warning;

CREATE EXTENSION IF NOT EXISTS batchagg;

CREATE TEMPORARY TABLE zones (zone text PRIMARY KEY);
INSERT INTO zones VALUES
	('UTC'), ('America/New_York'), ('America/Los_Angeles'), ('America/Phoenix'), ('America/St_Johns'),
	('America/Havana'), ('America/Santiago'), ('America/Asuncion'), ('America/Nuuk'),
	('America/Scoresbysund'), ('Pacific/Marquesas'), ('Atlantic/Azores'), ('Europe/London'), ('Europe/Paris'),
	('Europe/Athens'), ('Europe/Moscow'), ('Africa/Cairo'), ('Africa/Casablanca'), ('Asia/Beirut'),
	('Asia/Gaza'), ('Asia/Tehran'), ('Asia/Kolkata'), ('Asia/Kathmandu'), ('Asia/Tokyo'), ('Antarctica/Troll'),
	('Australia/Sydney'), ('Australia/Lord_Howe'), ('Australia/Eucla'), ('Pacific/Auckland'),
	('Pacific/Chatham'), ('Pacific/Apia'), ('Pacific/Kiritimati'), ('Pacific/Norfolk'), ('Pacific/Pago_Pago');

-- What events of the grammar mean, and expressions that are harder.
CREATE TEMPORARY TABLE schedules (schedule text PRIMARY KEY);
INSERT INTO schedules VALUES
	('10 * * * *'), ('0 */6 * * *'), ('0 */2 * * *'), ('0 0 * * *'), ('0 8 * * *'),
	('30 12 * * *'), ('0 0 * * 0'), ('0 9 * * 1'), ('30 23 * * 6'), ('0 0 1 * *'), ('30 2 * * *'), ('0 3 * * *'),
	('30 0 * * *'), ('0 6,14,22 * * *'), ('*/20 9-17 * * mon-fri'), ('15 1-2 * * sat,sun'), ('0 12 13 * fri'),
	('30 2 29 2 *'), ('0 4 28-31 */2 *'), ('30 2 */3 * *'), ('30 2 1-7 * 0');

-- The values of a field of an expression.
CREATE FUNCTION pg_temp.field_values(field text, min integer, max integer) RETURNS integer[]
LANGUAGE sql IMMUTABLE AS $$
SELECT array_agg(v ORDER BY v)
FROM regexp_split_to_table(field, ',') element,
	regexp_match(element, '^(?:\*|(\d+)(?:-(\d+))?)(?:/(\d+))?$') part,
	generate_series(coalesce(part[1]::integer, min), coalesce(part[2]::integer, part[1]::integer, max),
		coalesce(part[3]::integer, 1)) v
$$;

SELECT date_trunc('minute', now()) AS begin, date_trunc('minute', now()) + '3 years'::interval AS "end"
\gset

INSERT INTO batchagg_events (event_name, schedule, timezone)
SELECT schedule || ' ' || zone, schedule, zone FROM schedules, zones;

CREATE TEMPORARY TABLE covers AS
SELECT event_name, schedule, timezone AS zone, text,
	pg_temp.field_values(f[1], 0, 59) AS minutes, pg_temp.field_values(f[2], 0, 23) AS hours,
	pg_temp.field_values(f[3], 1, 31) AS days, pg_temp.field_values(f[4], 1, 12) AS months,
	pg_temp.field_values(f[5], 0, 6) AS weekdays
FROM batchagg_events, batchagg_pg_cron_schedule(event_name) text, string_to_array(text, ' ') f
WHERE NOT built_in;

-- No expression needs to say "this day of the month or that of the week".
DO $$
BEGIN
	IF EXISTS (SELECT FROM covers WHERE text !~ '^(\S+ \S+ \*\S* \S+ \S+|\S+ \S+ \S+ \S+ \*)$') THEN
		RAISE 'an expression restricts both kinds of days';
	END IF;
END $$;

CREATE TEMPORARY TABLE due AS
SELECT event_name, t
FROM covers, batchagg_next_runs(event_name, 4 * 24 * 366 * 3, :'begin') t
WHERE t < :'end';

CREATE TEMPORARY TABLE missed AS
SELECT d.event_name, c.text, d.t
FROM due d JOIN covers c USING (event_name)
WHERE NOT (extract(minute FROM d.t)::integer = ANY (c.minutes) AND extract(hour FROM d.t)::integer = ANY (c.hours)
	AND extract(day FROM d.t)::integer = ANY (c.days) AND extract(month FROM d.t)::integer = ANY (c.months)
	AND extract(dow FROM d.t)::integer = ANY (c.weekdays));

CREATE TEMPORARY TABLE firings AS
SELECT event_name, count(day) * cardinality(minutes) * cardinality(hours) AS n
FROM covers c LEFT JOIN generate_series(date_trunc('day', :'begin'::timestamptz), :'end', '1 day'::interval) day
	ON extract(day FROM day)::integer = ANY (c.days) AND extract(month FROM day)::integer = ANY (c.months)
	AND extract(dow FROM day)::integer = ANY (c.weekdays)
GROUP BY event_name, minutes, hours;

\echo due in three years, fired by pg_cron, by schedule over all zones
SELECT schedule, sum(coalesce(d.n, 0)) AS due, sum(f.n) AS fired, round(sum(f.n) / nullif(sum(d.n), 0), 2) AS ratio
FROM covers c JOIN firings f USING (event_name)
	LEFT JOIN (SELECT event_name, count(*) AS n FROM due GROUP BY event_name) d USING (event_name)
GROUP BY schedule
ORDER BY ratio, schedule;

\echo missed
SELECT count(*), (SELECT count(*) FROM due) AS of FROM missed;
SELECT * FROM missed ORDER BY event_name, t LIMIT 20;

DO $$
BEGIN
	IF EXISTS (SELECT FROM missed) THEN
		RAISE 'pg_cron misses times at which an event is due';
	END IF;
	IF EXISTS (SELECT FROM covers WHERE zone = 'UTC' AND schedule IN ('0 8 * * *', '0 0 1 * *') AND text <> schedule) THEN
		RAISE 'an expression changes though the zone does not';
	END IF;
END $$;
