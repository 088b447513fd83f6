-- Time zones are those that have a name; and times at the ends of all time.
\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain
SET timezone = 'UTC';
RESET client_min_messages;
CREATE TABLE rows (user_id text, ts timestamptz, n float8);

-- What POSIX has for a time zone is none: its sign is not what people mean, and a slip
-- in a name would be one.
DO $$
DECLARE
	zone text;
	hint text;
BEGIN
	FOREACH zone IN ARRAY ARRAY['+02', '-5', '3', 'UTC+3', 'gmt-03:00', 'UTC0', '+15', '-13', '+05:30', 'Foo5', 'Foo24', 'FOO+167', '<+03>-3', 'EST5EDT4,M3.2.0,M11.1.0',
		'Etc/GMT+15', 'Europe/Berlin2', 'Europe/Berlin', 'europe/berlin', 'Etc/GMT+5', 'etc/gmt-14', 'UTC', 'GMT', 'MEZ', ''] LOOP
		BEGIN
			PERFORM batchagg_bucket('1-day', '2024-10-07 12:00+00', zone);
			RAISE NOTICE '%: accepted', zone;
		EXCEPTION WHEN invalid_parameter_value THEN
			GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
			RAISE NOTICE '%: %', zone, concat_ws('. ', SQLERRM, nullif(hint, ''));
		END;
	END LOOP;
END $$;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'rows', '{1-day}', '{"n": "sum"}', timezone => 'UTC+3');
SELECT batchagg_create_job('EVERYDAY8AMUTC+3', 'user', 'rows', '{1-day}', '{"n": "sum"}');
INSERT INTO batchagg_events (event_name, schedule, timezone) VALUES ('SHIFT', '0 6 * * *', 'Foo5');

-- All zones that PostgreSQL lists are taken, and mean what they do there.
SELECT count(*) FROM pg_timezone_names
WHERE name NOT IN (SELECT abbrev FROM pg_timezone_abbrevs)
	AND batchagg_bucket('1-day', '2024-10-07 12:00+00', name) <> date_trunc('day', '2024-10-07 12:00+00'::timestamptz, name);

SET client_min_messages = warning;
DROP TABLE rows;
DROP EXTENSION batchagg CASCADE;
DROP SCHEMA plain CASCADE;
