-- What a definition means can change without a row being written: columns trade their
-- names, labels of enums, functions, types, views and dictionaries are redefined.  After
-- each such change, the next run must come to what plain SQL makes of it, in every mode.
\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain
SET timezone = 'UTC';

CREATE SCHEMA meant;
CREATE TYPE meant.mood AS ENUM ('good', 'bad');
CREATE DOMAIN meant.state AS meant.mood;
CREATE TYPE meant.place AS (x integer, y integer);
CREATE TYPE meant.span AS RANGE (subtype = float8);

-- Immutable functions, and what they call, in each of the ways that there are.
CREATE FUNCTION meant.least() RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT 100.0::float8';
CREATE FUNCTION meant.in_plpgsql(n float8) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN RETURN n > meant.least(); END $$;
CREATE FUNCTION meant.in_sql(n float8) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT n > meant."least"()';
CREATE FUNCTION meant.analysed(n float8) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN n > meant.least();
CREATE FUNCTION meant.by_default(n float8, m float8 DEFAULT meant.least()) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN n > m;
CREATE FUNCTION meant.far(n float8, m float8) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN n > m + meant.least();
CREATE OPERATOR meant.>>> (LEFTARG = float8, RIGHTARG = float8, FUNCTION = meant.far);
CREATE FUNCTION meant.by_operator(n float8) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN RETURN n OPERATOR(meant.>>>) 5; END $$;
CREATE FUNCTION meant.word(m meant.mood) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT CASE m WHEN ''good'' THEN ''yes'' ELSE ''no'' END';
CREATE FUNCTION meant.strict_word(t text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN RETURN t::meant.mood < 'bad'; EXCEPTION WHEN OTHERS THEN RETURN false; END $$;
CREATE FUNCTION meant.to_place(t text) RETURNS meant.place LANGUAGE sql IMMUTABLE RETURN row(length(t), 1)::meant.place;
CREATE CAST (text AS meant.place) WITH FUNCTION meant.to_place(text);
CREATE TEXT SEARCH DICTIONARY meant.words (TEMPLATE = snowball, language = english);
CREATE TEXT SEARCH CONFIGURATION meant.english (COPY = pg_catalog.english);
ALTER TEXT SEARCH CONFIGURATION meant.english ALTER MAPPING FOR asciiword WITH meant.words;

-- The same rows three times: read as a whole, and tracked in both modes.
CREATE TABLE meant."in full" (
	user_id text, ts timestamptz, n float8, m float8,
	status text, status_new text, mood meant.mood, moods meant.mood[], state meant.state, place meant.place,
	note text, old text, price numeric);
INSERT INTO meant."in full"
SELECT 'u' || g % 3, '2024-10-07 00:00+00'::timestamptz + g * interval '10 min', g, -g,
	   CASE WHEN g % 2 = 0 THEN 'a' ELSE 'b' END, CASE WHEN g < 100 THEN 'a' ELSE 'b' END,
	   CASE WHEN g % 3 = 0 THEN 'good' ELSE 'bad' END::meant.mood, ARRAY[CASE WHEN g % 5 = 0 THEN 'good' ELSE 'bad' END::meant.mood],
	   CASE WHEN g % 7 = 0 THEN 'good' ELSE 'bad' END::meant.mood, row(g, g % 4)::meant.place,
	   CASE WHEN g % 11 = 0 THEN 'the walking cats' ELSE 'a dog' END, CASE WHEN g % 2 = 0 THEN 'good' ELSE 'fair' END, g
FROM generate_series(0, 399) g;
CREATE TABLE meant."by log" (LIKE meant."in full");
CREATE TABLE meant."by snapshot" (LIKE meant."in full");
INSERT INTO meant."by log" SELECT * FROM meant."in full";
INSERT INTO meant."by snapshot" SELECT * FROM meant."in full";
CREATE TABLE meant.sources (name text, job integer);

-- What is asked, and how plain SQL says it.
CREATE TABLE meant.filters (filter text, as_sql text);
INSERT INTO meant.filters (filter) VALUES
	('status = ''a'''), ('mood = ''good'''), ('mood::text = ''good'''), ('''good'' = ANY (moods::text[])'), ('state::text = ''good'''),
	('meant.in_plpgsql(n)'), ('meant.in_sql(n)'), ('meant.analysed(n)'), ('meant.by_default(n)'), ('n OPERATOR(meant.>>>) 5'),
	('meant.by_operator(n)'), ('meant.word(mood) = ''yes'''), ('meant.strict_word(old)'), ('(place).x < 200'), ('(old::meant.place).x = 4'),
	('to_tsvector(''meant.english'', note) @@ ''walking''::tsquery'), ('meant.span(n, n + 10) @> 55::float8'), ('price::text < ''2''');
INSERT INTO meant.filters VALUES ('status = "wanted"', $$status = 'wanted'$$);

INSERT INTO meant.sources
SELECT name, batchagg_create_job('EVERYHOUR', 'user', 'meant.' || quote_ident(name), '{1-day}', '{"n": "sum,count"}')
FROM unnest('{in full,by log,by snapshot}'::text[]) name;
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, resource_filter)
SELECT s.job, 'user', 'meant.' || quote_ident(s.name), '1-day', f.filter FROM meant.sources s, meant.filters f;
SELECT batchagg_track_source('meant."by log"', 'log'), batchagg_track_source('meant."by snapshot"', 'snapshot');

-- Runs the jobs after a change, and says how many results differ from plain SQL, in which
-- mode; and of how many definitions results have changed.
CREATE FUNCTION meant.run(OUT full_ bigint, OUT log bigint, OUT snapshot bigint, OUT definitions_changed bigint)
LANGUAGE plpgsql AS $$
BEGIN
	CREATE TEMP TABLE before ON COMMIT DROP AS
		SELECT definition_id, entity_id, "timestamp", metric_name, aggregation_type, metric_value FROM RuleExecutionResults;
	PERFORM batchagg_run_job(job) FROM meant.sources;
	SELECT sum(c.different) FILTER (WHERE s.name = 'in full'), sum(c.different) FILTER (WHERE s.name = 'by log'),
		   sum(c.different) FILTER (WHERE s.name = 'by snapshot')
	INTO full_, log, snapshot
	FROM meant.sources s JOIN batchjob_definitions d ON d.job_id = s.job LEFT JOIN meant.filters f ON f.filter = d.resource_filter,
		 plain.compare(d.id, format('SELECT * FROM plain.rollup(%L, ''user_id'', ''date_trunc(''''day'''', ts)'', ''ts'', ''{"n": "n"}'', %L)',
									'meant.' || quote_ident(s.name), coalesce(f.as_sql, f.filter, 'true'))) c;
	SELECT count(DISTINCT definition_id) INTO definitions_changed FROM (
		(TABLE before EXCEPT SELECT definition_id, entity_id, "timestamp", metric_name, aggregation_type, metric_value FROM RuleExecutionResults)
		UNION ALL
		(SELECT definition_id, entity_id, "timestamp", metric_name, aggregation_type, metric_value FROM RuleExecutionResults EXCEPT TABLE before)) x;
END $$;

-- Changes all three tables.
CREATE PROCEDURE meant.alter_all(command text) LANGUAGE plpgsql AS $$
DECLARE
	source text;
BEGIN
	FOR source IN SELECT name FROM meant.sources LOOP
		EXECUTE format(command, 'meant.' || quote_ident(source));
	END LOOP;
END $$;

SELECT * FROM meant.run();

-- Nothing new.
SELECT * FROM meant.run();

-- Columns trade their names, as in a migration.
BEGIN;
CALL meant.alter_all('ALTER TABLE %s RENAME status TO status_old');
CALL meant.alter_all('ALTER TABLE %s RENAME status_new TO status');
COMMIT;
SELECT * FROM meant.run();

-- The metric too.
BEGIN;
CALL meant.alter_all('ALTER TABLE %s RENAME n TO k');
CALL meant.alter_all('ALTER TABLE %s RENAME m TO n');
CALL meant.alter_all('ALTER TABLE %s RENAME k TO m');
COMMIT;
SELECT * FROM meant.run();
BEGIN;
CALL meant.alter_all('ALTER TABLE %s RENAME n TO k');
CALL meant.alter_all('ALTER TABLE %s RENAME m TO n');
CALL meant.alter_all('ALTER TABLE %s RENAME k TO m');
COMMIT;
SELECT * FROM meant.run();

-- A column is dropped, and one of the same name and type added.
CALL meant.alter_all('ALTER TABLE %s DROP status, ADD status text DEFAULT ''a''');
SELECT * FROM meant.run();

-- A word in double quotes becomes a column.
CALL meant.alter_all('ALTER TABLE %s ADD wanted text DEFAULT ''a''');
UPDATE meant.filters SET as_sql = filter WHERE as_sql IS NOT NULL;
SELECT * FROM meant.run();

-- Labels of an enum trade their names.
BEGIN;
ALTER TYPE meant.mood RENAME VALUE 'good' TO 'was good';
ALTER TYPE meant.mood RENAME VALUE 'bad' TO 'good';
ALTER TYPE meant.mood RENAME VALUE 'was good' TO 'bad';
COMMIT;
SELECT * FROM meant.run();

-- One is renamed that a function's text has.
ALTER TYPE meant.mood RENAME VALUE 'bad' TO 'fair';
CREATE OR REPLACE FUNCTION meant.strict_word(t text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN RETURN t::meant.mood < 'good'; EXCEPTION WHEN OTHERS THEN RETURN false; END $$;
SELECT * FROM meant.run();
ALTER TYPE meant.mood RENAME VALUE 'fair' TO 'bad';
SELECT * FROM meant.run();

-- A function that others call is redefined: in one transaction with a run, as well.
CREATE OR REPLACE FUNCTION meant.least() RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT 200.0::float8';
SELECT * FROM meant.run();
BEGIN;
CREATE OR REPLACE FUNCTION meant.least() RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT 250.0::float8';
SELECT * FROM meant.run();
CREATE OR REPLACE FUNCTION meant.least() RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT 251.0::float8';
DROP TABLE before;
SELECT * FROM meant.run();
COMMIT;

-- So is the one behind an operator, one behind a cast, and a default.
CREATE OR REPLACE FUNCTION meant.far(n float8, m float8) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN n < m;
SELECT * FROM meant.run();
CREATE OR REPLACE FUNCTION meant.to_place(t text) RETURNS meant.place LANGUAGE sql IMMUTABLE RETURN row(length(t) + 1, 1)::meant.place;
SELECT * FROM meant.run();
CREATE OR REPLACE FUNCTION meant.by_default(n float8, m float8 DEFAULT 7) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN n > m;
SELECT * FROM meant.run();

-- What a function is set to, and what privileges there are on it: the latter changes nothing.
ALTER FUNCTION meant.in_sql(float8) STRICT;
GRANT EXECUTE ON FUNCTION meant.least() TO CURRENT_USER;
SELECT * FROM meant.run();

-- Attributes of a row type trade their names.
BEGIN;
ALTER TYPE meant.place RENAME ATTRIBUTE x TO z;
ALTER TYPE meant.place RENAME ATTRIBUTE y TO x;
ALTER TYPE meant.place RENAME ATTRIBUTE z TO y;
COMMIT;
SELECT * FROM meant.run();

-- A dictionary is given another language, and a configuration another dictionary.
ALTER TEXT SEARCH DICTIONARY meant.words (language = german);
SELECT * FROM meant.run();
ALTER TEXT SEARCH CONFIGURATION meant.english ALTER MAPPING FOR asciiword WITH english_stem;
SELECT * FROM meant.run();

-- Rows that come after all that are taken up as ever, and then nothing is left to do.  What
-- PostgreSQL does not take for immutable is always read as a whole.
CALL meant.alter_all('INSERT INTO %s (user_id, ts, n, status, mood) VALUES (''u1'', ''2024-10-07 05:00+00'', 1000, ''a'', ''good'')');
SELECT * FROM meant.run();
SELECT s.name, e.value AS recomputed, count(*)
FROM meant.sources s, batchagg_explain_job(s.job) e WHERE e.item = 'recomputed' GROUP BY 1, 2 ORDER BY 1, 2;

-- What the texts of functions call without a name, or by one that is not a function's: casts, operators that IN
-- and GREATEST stand for, types of arguments, domains, ranges, rows of tables, dictionaries, and schemas.
CREATE TYPE meant.size AS (x integer);
CREATE FUNCTION meant.to_size(t text) RETURNS meant.size LANGUAGE sql IMMUTABLE RETURN row(length(t))::meant.size;
CREATE CAST (text AS meant.size) WITH FUNCTION meant.to_size(text);
CREATE FUNCTION meant.is_size(t text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT (t::meant.size).x = 2';
CREATE FUNCTION meant.of_size(s meant.size) RETURNS integer LANGUAGE sql IMMUTABLE RETURN s.x;
CREATE CAST (meant.size AS integer) WITH FUNCTION meant.of_size(meant.size);
CREATE FUNCTION meant.is_large(n integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT row(n)::meant.size::integer > 300';
CREATE FUNCTION meant.same(a meant.mood, b meant.mood) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN a::text = b::text;
CREATE OPERATOR meant.= (LEFTARG = meant.mood, RIGHTARG = meant.mood, FUNCTION = meant.same);
CREATE FUNCTION meant.is_one_of(m meant.mood) RETURNS boolean LANGUAGE sql IMMUTABLE SET search_path = meant, pg_catalog AS
	'SELECT m IN (''good''::mood)';
CREATE FUNCTION meant.compare(a meant.size, b meant.size) RETURNS integer LANGUAGE sql IMMUTABLE RETURN btint4cmp(a.x, b.x);
CREATE FUNCTION meant.less(a meant.size, b meant.size) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN a.x < b.x;
CREATE OPERATOR meant.< (LEFTARG = meant.size, RIGHTARG = meant.size, FUNCTION = meant.less);
CREATE OPERATOR CLASS meant.sizes DEFAULT FOR TYPE meant.size USING btree AS
	OPERATOR 1 meant.<, FUNCTION 1 meant.compare(meant.size, meant.size);
CREATE FUNCTION meant.is_greatest(n integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS
	'SELECT (greatest(row(n)::meant.size, row(200)::meant.size)).x > 200';
CREATE OPERATOR meant.=== (LEFTARG = float8, RIGHTARG = float8, FUNCTION = meant.far);
CREATE FUNCTION meant.before_minus(n float8) RETURNS boolean LANGUAGE sql IMMUTABLE SET search_path = meant, pg_catalog AS 'SELECT n ===-5';
CREATE FUNCTION meant.before_comment(n float8) RETURNS boolean LANGUAGE sql IMMUTABLE SET search_path = meant, pg_catalog AS 'SELECT n ===/* */5';
CREATE FUNCTION meant.label(m meant.mood) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN m; END $$;
CREATE FUNCTION meant.has_label(n float8) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RETURN CASE WHEN n < 50 THEN meant.label('bad') ELSE 'none' END = 'bad';
EXCEPTION WHEN invalid_text_representation THEN
	RETURN false;
END $$;
CREATE DOMAIN meant.small AS float8 CONSTRAINT small CHECK (VALUE < 50);
CREATE FUNCTION meant.is_small(n float8) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN RETURN n::meant.small IS NOT NULL; EXCEPTION WHEN check_violation THEN RETURN false; END $$;
CREATE DOMAIN meant.whole AS integer;
CREATE DOMAIN meant.broken AS numeric;
CREATE FUNCTION meant.is_whole(n float8) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT (n / 10)::meant.whole = n / 10';
CREATE TYPE meant.whole_range AS RANGE (subtype = integer);
CREATE TYPE meant.broken_range AS RANGE (subtype = float8);
CREATE FUNCTION meant.is_range(n float8) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RETURN ('[1,' || n + 1 || '.5)')::meant.whole_range IS NOT NULL;
EXCEPTION WHEN invalid_text_representation THEN
	RETURN false;
END $$;
CREATE TABLE meant.shape (a integer);
CREATE FUNCTION meant.fits(n float8) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
	$$ DECLARE r meant.shape; BEGIN r.a := n / 10; RETURN r.a = n / 10; END $$;
CREATE FUNCTION meant.walks(t text) RETURNS boolean LANGUAGE sql IMMUTABLE AS
	'SELECT to_tsvector(''meant.english'', t) @@ to_tsquery(''meant.english'', ''walk'')';
CREATE FUNCTION meant.stems(t text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT ts_lexize(''meant.words'', split_part(t, '' '', 2)) = ''{walk}''';
CREATE SCHEMA meant_too;
CREATE FUNCTION meant_too.far(n float8) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN n > 300;
CREATE SCHEMA meant_next;
CREATE FUNCTION meant_next.far(n float8) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN n > 350;
CREATE FUNCTION meant.in_schema(n float8) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT meant_too.far(n)';
CREATE FUNCTION meant.by_path(n float8) RETURNS boolean LANGUAGE sql IMMUTABLE SET search_path = meant_too AS 'SELECT far(n)';
CREATE FUNCTION meant.at_night(t timestamptz) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT (t AT TIME ZONE ''IST'')::time < ''01:00''';
ALTER TEXT SEARCH DICTIONARY meant.words (language = english);
ALTER TEXT SEARCH CONFIGURATION meant.english ALTER MAPPING FOR asciiword WITH meant.words;
DELETE FROM batchjob_definitions WHERE resource_filter IS NOT NULL;
TRUNCATE meant.filters;
INSERT INTO meant.filters (filter) VALUES
	('meant.is_size(n::bigint::text)'), ('meant.is_large(n::integer)'), ('meant.is_one_of(mood)'), ('meant.is_greatest(n::integer)'),
	('meant.before_minus(n)'), ('meant.before_comment(n)'), ('meant.has_label(n)'), ('meant.is_small(n)'), ('meant.is_whole(n)'),
	('meant.is_range(n)'), ('meant.fits(n)'), ('meant.walks(note)'), ('meant.stems(note)'), ('meant.in_schema(n)'), ('meant.by_path(n)'),
	('meant.at_night(ts)'), ('(ts AT TIME ZONE ''IST'')::time > ''22:00''');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, resource_filter)
SELECT s.job, 'user', 'meant.' || quote_ident(s.name), '1-day', f.filter FROM meant.sources s, meant.filters f;
SELECT full_, log, snapshot FROM meant.run();
SELECT * FROM meant.run();
CREATE OR REPLACE FUNCTION meant.to_size(t text) RETURNS meant.size LANGUAGE sql IMMUTABLE RETURN row(length(t) - 1)::meant.size;
SELECT * FROM meant.run();
CREATE OR REPLACE FUNCTION meant.of_size(s meant.size) RETURNS integer LANGUAGE sql IMMUTABLE RETURN s.x * 2;
SELECT * FROM meant.run();
CREATE OR REPLACE FUNCTION meant.same(a meant.mood, b meant.mood) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN a::text <> b::text;
SELECT * FROM meant.run();
CREATE OR REPLACE FUNCTION meant.compare(a meant.size, b meant.size) RETURNS integer LANGUAGE sql IMMUTABLE RETURN btint4cmp(b.x, a.x);
SELECT * FROM meant.run();
CREATE OR REPLACE FUNCTION meant.far(n float8, m float8) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN n > m + 100;
SELECT * FROM meant.run();
ALTER TYPE meant.mood RENAME VALUE 'bad' TO 'poor';
SELECT * FROM meant.run();
ALTER TYPE meant.mood RENAME VALUE 'poor' TO 'bad';
SELECT * FROM meant.run();
ALTER DOMAIN meant.small ADD CHECK (VALUE < 30);
SELECT * FROM meant.run();
ALTER DOMAIN meant.small DROP CONSTRAINT small_check;
ALTER DOMAIN meant.small DROP CONSTRAINT small;
SELECT * FROM meant.run();
BEGIN;
ALTER DOMAIN meant.whole RENAME TO old_whole;
ALTER DOMAIN meant.broken RENAME TO whole;
COMMIT;
SELECT * FROM meant.run();
BEGIN;
ALTER TYPE meant.whole_range RENAME TO old_whole_range;
ALTER TYPE meant.broken_range RENAME TO whole_range;
COMMIT;
SELECT * FROM meant.run();
ALTER TABLE meant.shape ALTER a TYPE numeric;
SELECT * FROM meant.run();
ALTER TEXT SEARCH DICTIONARY meant.words (language = german);
SELECT * FROM meant.run();
BEGIN;
ALTER SCHEMA meant_too RENAME TO meant_old;
ALTER SCHEMA meant_next RENAME TO meant_too;
COMMIT;
SELECT * FROM meant.run();

-- Abbreviations of time zones are as a new session of the job's owner has them.
ALTER ROLE CURRENT_USER SET timezone_abbreviations = 'India';
SET timezone_abbreviations = 'India';
SELECT * FROM meant.run();
ALTER ROLE CURRENT_USER RESET timezone_abbreviations;
RESET timezone_abbreviations;
SELECT * FROM meant.run();

-- Temporary functions are no one's but the session's, and change nothing.
CREATE FUNCTION pg_temp.far(n integer) RETURNS integer LANGUAGE sql AS 'SELECT 1';
SELECT DISTINCT s.name, e.value AS recomputed
FROM meant.sources s, batchagg_explain_job(s.job) e WHERE e.item = 'recomputed' ORDER BY 1, 2;
DROP SCHEMA meant_too, meant_old CASCADE;
DELETE FROM batch_jobs;

-- Ids, and names of row layout, that are labels of an enum, or made of them.
CREATE TYPE meant.pair AS (mood meant.mood, n integer);
CREATE TABLE meant.rows (mood meant.mood, pair meant.pair, pairs meant.pair[], ts timestamptz, name meant.mood, value float8);
INSERT INTO meant.rows
SELECT m, row(m, 1)::meant.pair, ARRAY[row(m, 1)::meant.pair], '2024-10-07 00:00+00'::timestamptz + g * interval '10 min', m, g
FROM (SELECT g, CASE WHEN g % 3 = 0 THEN 'good' ELSE 'bad' END::meant.mood AS m FROM generate_series(0, 199) g) x;
SELECT batchagg_track_source('meant.rows', 'log');
TRUNCATE meant.filters, meant.sources;
SELECT batchagg_create_job('EVERYHOUR', 'thing', 'meant.rows', '{1-day}', '{"value": "sum,count"}', id_column => c, job_name => c,
	tablename => 'meant.rows')
FROM unnest('{mood}'::text[]) c;
SELECT batchagg_create_job('EVERYHOUR', '*', 'meant.rows', '{1-day}', '{"good": "sum,count"}', job_name => 'names', tablename => 'meant.rows');
CREATE VIEW meant.stored AS SELECT job_name, entity_id, "timestamp", metric_value FROM RuleExecutionResults WHERE aggregation_type = 'sum';
CREATE VIEW meant.expected AS
	SELECT 'mood' AS job_name, mood::text AS entity_id, date_trunc('day', ts) AS "timestamp", sum(value) AS metric_value FROM meant.rows GROUP BY 2, 3
	UNION ALL SELECT 'names', '*', date_trunc('day', ts), sum(value) FROM meant.rows WHERE name::text = 'good' GROUP BY 3;
SELECT sum(changed) > 0 AS changed FROM batchagg_run_all();
(TABLE meant.stored EXCEPT TABLE meant.expected) UNION ALL (TABLE meant.expected EXCEPT TABLE meant.stored);
ALTER TYPE meant.mood RENAME VALUE 'good' TO 'fine';
ALTER TYPE meant.mood RENAME VALUE 'bad' TO 'good';
SELECT sum(changed) > 0 AS changed FROM batchagg_run_all();
(TABLE meant.stored EXCEPT TABLE meant.expected) UNION ALL (TABLE meant.expected EXCEPT TABLE meant.stored);

-- A row that becomes longer.
UPDATE batchjob_definitions SET id_column = 'pairs' WHERE id_column = 'mood';
SELECT sum(changed) > 0 AS changed FROM batchagg_run_all();
ALTER TYPE meant.pair ADD ATTRIBUTE more text;
SELECT sum(changed) > 0 AS changed FROM batchagg_run_all();
SELECT DISTINCT entity_id FROM meant.stored WHERE job_name = 'mood' ORDER BY 1;
DELETE FROM batch_jobs;

-- With a lookback, what views and policies have is recomputed as a whole where they are changed.
CREATE TABLE meant.base (user_id text, ts timestamptz, n float8, place text);
INSERT INTO meant.base SELECT 'u' || g % 2, '2024-10-07 00:00+00'::timestamptz + g * interval '10 min', g, CASE WHEN g % 4 = 0 THEN 'a' ELSE 'b' END
FROM generate_series(0, 199) g;
CREATE FUNCTION meant.weight() RETURNS float8 LANGUAGE sql STABLE AS 'SELECT 2::float8';
CREATE VIEW meant.inner_view AS SELECT user_id, ts, n * meant.weight() AS n, place FROM meant.base;
CREATE VIEW meant.outer_view AS SELECT user_id, ts, n FROM meant.inner_view WHERE place = 'a';
SELECT batchagg_create_job('EVERYHOUR', 'user', 'meant.outer_view', '{1-day}', '{"n": "sum"}');
UPDATE batchjob_definitions SET lookback = '1 day';
CREATE OR REPLACE VIEW meant.stored AS SELECT job_name, entity_id, "timestamp", metric_value FROM RuleExecutionResults;
CREATE VIEW meant.viewed AS SELECT NULL::text, user_id, date_trunc('day', ts), sum(n) FROM meant.outer_view GROUP BY 2, 3;
SELECT sum(changed) > 0 AS changed FROM batchagg_run_all();
SELECT sum(changed) > 0 AS changed FROM batchagg_run_all();
CREATE OR REPLACE VIEW meant.inner_view AS SELECT user_id, ts, n * meant.weight() AS n, CASE place WHEN 'b' THEN 'a' END AS place FROM meant.base;
SELECT sum(changed) > 0 AS changed FROM batchagg_run_all();
(TABLE meant.stored EXCEPT TABLE meant.viewed) UNION ALL (TABLE meant.viewed EXCEPT TABLE meant.stored);
CREATE OR REPLACE FUNCTION meant.weight() RETURNS float8 LANGUAGE sql STABLE AS 'SELECT 3::float8';
SELECT sum(changed) > 0 AS changed FROM batchagg_run_all();
(TABLE meant.stored EXCEPT TABLE meant.viewed) UNION ALL (TABLE meant.viewed EXCEPT TABLE meant.stored);
DROP ROLE IF EXISTS regress_batchagg_reader;
CREATE ROLE regress_batchagg_reader;
GRANT USAGE ON SCHEMA meant TO regress_batchagg_reader;
GRANT SELECT ON meant.base, meant.outer_view TO regress_batchagg_reader;
ALTER VIEW meant.inner_view OWNER TO regress_batchagg_reader;
ALTER TABLE meant.base ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON meant.base USING (n < 100);
SELECT sum(changed) > 0 AS changed FROM batchagg_run_all();
(TABLE meant.stored EXCEPT TABLE meant.viewed) UNION ALL (TABLE meant.viewed EXCEPT TABLE meant.stored);
ALTER POLICY p ON meant.base USING (n < 50);
SELECT sum(changed) > 0 AS changed FROM batchagg_run_all();
(TABLE meant.stored EXCEPT TABLE meant.viewed) UNION ALL (TABLE meant.viewed EXCEPT TABLE meant.stored);
SELECT sum(changed) > 0 AS changed FROM batchagg_run_all();

-- So are rows that depend on who the job's owner is, where that is another role, or called otherwise.
DELETE FROM batch_jobs;
CREATE ROLE regress_batchagg_other;
GRANT regress_batchagg_reader TO regress_batchagg_other;
CREATE TABLE meant.owned (user_id text, ts timestamptz, n float8);
INSERT INTO meant.owned
SELECT r, '2024-10-07 00:00+00'::timestamptz + g * interval '1 hour', g
FROM generate_series(0, 99) g, unnest('{regress_batchagg_reader,regress_batchagg_other,regress_batchagg_third}'::text[]) r;
CREATE FUNCTION meant.mine(id text) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT id = user';
GRANT SELECT ON meant.owned TO regress_batchagg_reader;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'meant.owned', '{1-day}', '{"n": "sum"}', job_name => f)
FROM unnest('{filter,function}'::text[]) f;
UPDATE batchjob_definitions d SET lookback = '1 day', resource_filter = CASE job_name WHEN 'filter' THEN 'user_id = current_user' ELSE 'meant.mine(user_id)' END
FROM batch_jobs j WHERE j.id = d.job_id;
UPDATE batch_jobs SET owner = 'regress_batchagg_reader';
SELECT sum(changed) > 0 AS changed FROM batchagg_run_all();
SELECT DISTINCT job_name, entity_id FROM meant.stored ORDER BY 1, 2;
UPDATE batch_jobs SET owner = 'regress_batchagg_other';
SELECT sum(changed) > 0 AS changed FROM batchagg_run_all();
SELECT DISTINCT job_name, entity_id FROM meant.stored ORDER BY 1, 2;
ALTER ROLE regress_batchagg_other RENAME TO regress_batchagg_third;
SELECT sum(changed) > 0 AS changed FROM batchagg_run_all();
SELECT DISTINCT job_name, entity_id FROM meant.stored ORDER BY 1, 2;

SET client_min_messages = warning;
DROP EXTENSION batchagg CASCADE;
DROP SCHEMA meant, plain CASCADE;
DROP ROLE regress_batchagg_reader;
DROP ROLE regress_batchagg_third;
