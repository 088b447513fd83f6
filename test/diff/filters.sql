-- Random filters: none of them ends anything but its own statement, what is refused
-- is refused as bad input, and what is taken selects the rows that plain SQL does.
--
-- A filter is a valid one with some mutations, tokens in any order, or characters
-- by chance.  Which rows passed is seen from the sum of powers of two.
--
-- BATCHAGG_FILTERS in the environment is the number of filters; 2,000 of them, at
-- most, are run.  BATCHAGG_SEED, an integer, repeats a run.

-- As filters are understood, see README.md.
SET timezone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET client_min_messages = error;

CREATE EXTENSION IF NOT EXISTS batchagg;

\ir ../lib/seed.sql
\set filters ''
\getenv filters BATCHAGG_FILTERS
SELECT coalesce(nullif(:'filters', '')::bigint, 2000) AS filters
\gset

CREATE TABLE activity (user_id integer, ts timestamptz, hits float8, n integer, status text, "Odd Name" text,
	enabled boolean, tags text[], doc jsonb, price numeric, day date);
INSERT INTO activity
SELECT i, '2024-03-01 00:00+00'::timestamptz + i * interval '1 day', 2 ^ i, CASE WHEN i % 7 > 0 THEN i - 10 END,
	(ARRAY['active', 'idle', '', 'a%', NULL, 'say "hi"', 'true'])[1 + i % 7], (ARRAY['a', 'b', 'C'])[1 + i % 3],
	(ARRAY[true, false, NULL])[1 + i % 3], (ARRAY['{x,y}', '{y}', '{}', NULL, '{NULL}'])[1 + i % 5]::text[],
	(ARRAY['{"k": 1}', '{"k": "x"}', '[1, 2]', 'null', NULL])[1 + i % 5]::jsonb, i / 3.0, '2024-03-01'::date + i
FROM generate_series(1, 30) i;
SELECT batchagg_create_job('EVERYHOUR', '*', 'activity', '{1-year}', '{"hits": "sum"}', 'activity') AS job \gset

CREATE TABLE texts (id integer GENERATED ALWAYS AS IDENTITY, text text);
INSERT INTO texts (text) VALUES
	('enabled'), ('NOT enabled'), ('status = ''active'''), ('status = "active"'), ('status IN ("active", ''idle'')'),
	('"Odd Name" = ''a'''), ('status LIKE ''a%'' -- and a comment'), ('n BETWEEN 2 AND 4 OR n IS NULL'),
	('"day" >= ''2024-03-07''::date'), ('ts < "2024-03-09 10:00"'), ('extract(day FROM ts) = 3 AND n % 2 = 0'),
	('''x'' = ANY (tags)'), ('tags @> ''{y}'''), ('(doc->>''k'')::text > ''1'''), ('CASE WHEN n > 2 THEN enabled END'),
	('coalesce(enabled, n = 4)'), ('n::text ~ ''^[14]'''), ('pg_catalog.length(status) = 4'), ('current_user IS NOT NULL'),
	('price / nullif(n, 0) < 1.5'), ('(n, hits) < (3, 100)'), ('activity.n IS DISTINCT FROM 4'), ('tags[1] = "x"'),
	('$tag$active$tag$ = status'), ('status = E''act\x69ve'''), ('upper(status) COLLATE "C" < ''B'''), ('n = ALL (ARRAY[1, 2])'),
	('ts AT TIME ZONE ''Asia/Tokyo'' > ''2024-03-05 09:00'''), ('n::bit(4) & B''0101'' = B''0001'''), ('xmlelement(name a) IS NULL'),
	('day - interval ''1 day'' > "2024-03-05"'), ('greatest(n, 3) = least(n, 8)'), ('enabled IS NOT TRUE AND true'),
	('jsonb_typeof(doc) = ''object'''), ('status SIMILAR TO ''(a|i)%'''), ('position(''a'' in status) > 0'), ('1 = 1 /* " */');
CREATE TABLE tokens (id integer GENERATED ALWAYS AS IDENTITY, text text);
INSERT INTO tokens (text)
SELECT unnest(ARRAY['(', ')', ',', ';', '''', '"', '""', '''''', '$$', '$a$', '$1', '--', '/*', '*/', '*', '.', '..', '::', ':=', '=>', '[', ']', ':',
	'AND', 'OR', 'NOT', 'IS', 'NULL', 'TRUE', 'FALSE', 'IN', 'LIKE', 'BETWEEN', 'SYMMETRIC', 'ANY', 'ALL', 'SOME', 'EXISTS', 'ARRAY', 'ROW',
	'CASE', 'WHEN', 'THEN', 'ELSE', 'END', 'CAST', 'AS', 'SELECT', 'FROM', 'WHERE', 'GROUP BY', 'ORDER BY', 'LIMIT', 'UNION', 'OVER', 'FILTER',
	'WITHIN GROUP', 'DISTINCT', 'COLLATE', 'AT TIME ZONE', 'OPERATOR(pg_catalog.=)', 'ESCAPE', 'ISNULL', 'OVERLAPS', 'INTO', 'VALUES', 'WITH',
	'n', 'hits', 'status', 'enabled', 'tags', 'doc', 'price', 'day', 'ts', '"Odd Name"', 'activity', 'activity.n', 'public.activity.n', 'ctid',
	'1', '0', '-1', '2.5', '1e308', '1e999', '99999999999999999999', '0x1F', '''x''', '''2024-03-07''', '"active"', '"2024-03-07"', 'U&"\0061"',
	'U&''\0061''', 'E''\x61''', 'B''01''', 'X''1F''', 'N''a''', 'interval ''1 day''', 'date ''today''', '''{x,y}''',
	'=', '<>', '<', '>', '<=', '>=', '+', '-', '/', '%', '^', '|', '||', '|/', '@', '@>', '<@', '&&', '->', '->>', '#>', '?', '~', '!~', '~~*', '!', '#', '&',
	'::integer', '::text', '::boolean', '::date', '::text[]', '::record', '::void', '::activity', '::regclass', '::jsonb', '::nothing',
	'abs(', 'length(', 'lower(', 'coalesce(', 'nullif(', 'now()', 'random()', 'count(*)', 'sum(n)', 'max(', 'row_number()', 'generate_series(1, 2)',
	'unnest(tags)', 'extract(day FROM ts)', 'substring(status from 1 for 2)', 'trim(status)', 'overlay(', 'current_date', 'current_user', 'localtime',
	'nextval(', 'pg_typeof(', 'format(', 'to_char(ts, ''YYYY'')', 'jsonb_each(doc)', 'cardinality(tags)', 'array_length(tags, 1)', 'xmlparse(',
	'GROUPING(n)', 'CURRENT OF c', 'DEFAULT', 'LATERAL', 'VARIADIC', E'\n', E'\t', E'\\', chr(228), chr(8364), chr(128512), chr(1), chr(127)]);

CREATE FUNCTION one_of(from_tokens boolean) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE n integer;
BEGIN
	IF from_tokens THEN
		n := 1 + floor(random() * (SELECT max(id) FROM tokens));
		RETURN (SELECT text FROM tokens WHERE id = n);
	END IF;
	n := 1 + floor(random() * (SELECT max(id) FROM texts));
	RETURN (SELECT text FROM texts WHERE id = n);
END $$;

CREATE FUNCTION mutated(filter text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	at integer := 1 + floor(random() * (length(filter) + 1));
	part integer := 1 + floor(random() * 6);
BEGIN
	RETURN CASE floor(random() * 6)
		WHEN 0 THEN overlay(filter PLACING '' FROM at FOR part)
		WHEN 1 THEN overlay(filter PLACING chr(32 + floor(random() * 95)::integer) FROM at FOR 1)
		WHEN 2 THEN overlay(filter PLACING repeat(substr(filter, at, part), CASE WHEN random() < 0.9 THEN 2 ELSE 300 END) FROM at FOR part)
		WHEN 3 THEN filter || ' ' || (ARRAY['AND', 'OR', '=', '', '||'])[1 + floor(random() * 5)] || ' ' || one_of(false)
		WHEN 4 THEN left(filter, at) || substr(one_of(false), 1 + floor(random() * 20)::integer)
		ELSE overlay(filter PLACING ' ' || one_of(true) || ' ' FROM at FOR 0) END;
END $$;

CREATE FUNCTION some_filter() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	kind float8 := random();
	filter text := '';
BEGIN
	IF kind < 0.05 THEN
		FOR i IN 0 .. floor(random() * 30) LOOP
			filter := filter || chr(1 + floor(random() ^ 4 * 9000)::integer);
		END LOOP;
	ELSIF kind < 0.35 THEN
		FOR i IN 0 .. floor(random() * 8) LOOP
			filter := filter || CASE WHEN random() < 0.8 THEN ' ' ELSE '' END || one_of(true);
		END LOOP;
	ELSE
		filter := one_of(false);
		FOR i IN 1 .. floor(random() * 4) LOOP
			filter := mutated(filter);
		END LOOP;
	END IF;
	RETURN filter;
END $$;

CREATE TABLE wrong (filter text, what text);
CREATE TABLE tally (taken bigint, refused bigint, run bigint);
INSERT INTO tally VALUES (0, 0, 0);

-- Errors about the statement, its data and names: no other class says that
-- a filter is bad.
CREATE FUNCTION is_refusal(state text) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$
	SELECT left(state, 2) IN ('0A', '21', '22', '3F', '42', '54')
$$;

-- What plain SQL says to a filter; or its SQLSTATE.
CREATE FUNCTION plain(filter text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
	EXECUTE 'SELECT sum(hits)::text FROM activity WHERE (' || filter || E'\n)' INTO answer;
	RETURN coalesce(answer, 'none');
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;

CREATE FUNCTION stored(job integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
	PERFORM batchagg_run_job(job);
	SELECT metric_value::text INTO answer FROM RuleExecutionResults;
	RETURN coalesce(answer, 'none');
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;

-- Tries one filter; nothing of it stays but in wrong and tally.  A word in double quotes
-- means something else to plain SQL.
CREATE PROCEDURE try_filter(job integer, filter text, may_run boolean) LANGUAGE plpgsql AS $$
DECLARE
	by_plain text;
	by_job text;
BEGIN
	BEGIN
		UPDATE batchjob_definitions SET resource_filter = filter;
	EXCEPTION WHEN OTHERS THEN
		UPDATE tally SET refused = refused + 1;
		IF NOT is_refusal(SQLSTATE) THEN
			INSERT INTO wrong VALUES (filter, SQLSTATE || ' ' || SQLERRM);
		END IF;
		RETURN;
	END;
	UPDATE tally SET taken = taken + 1;
	IF NOT may_run THEN
		RETURN;
	END IF;
	UPDATE tally SET run = run + 1;
	by_job := stored(job);
	by_plain := CASE WHEN strpos(filter, '"') = 0 THEN plain(filter) ELSE by_job END;
	IF by_plain <> by_job OR by_job ~ '^[0-9A-Z]{5}$' AND by_job ~ '[A-Z]' AND NOT is_refusal(by_job) THEN
		INSERT INTO wrong VALUES (filter, format('plain SQL: %s, the job: %s', by_plain, by_job));
	END IF;
END $$;

CREATE PROCEDURE try_filters(job integer, filters bigint) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. filters LOOP
		CALL try_filter(job, some_filter(), random() * filters < 2000);
		IF i % 200 = 0 THEN
			COMMIT;
		END IF;
	END LOOP;
END $$;

SET statement_timeout = 0;
CALL try_filters(:job, :filters);

SELECT format('%s filters: %s taken, %s run, %s refused', taken + refused, taken, run, refused) AS sum FROM tally \gset
\echo :sum
SELECT what, filter FROM wrong LIMIT 10;
DO $$
DECLARE n bigint;
BEGIN
	SELECT count(*) INTO n FROM wrong;
	IF n > 0 THEN
		RAISE '% filters went wrong', n;
	END IF;
	IF NOT EXISTS (SELECT FROM tally WHERE taken > run / 2 AND refused > taken AND run > 20) THEN
		RAISE 'the filters are of one kind only';
	END IF;
END $$;
