-- What is computed does not depend on who runs a job, nor on the settings of the session:
-- filters mean the same, and views and policies have the rows that a new session of the
-- job's owner has.
\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain
SET timezone = 'UTC';
DROP ROLE IF EXISTS regress_batchagg_owner, regress_batchagg_other;
CREATE ROLE regress_batchagg_owner;
CREATE ROLE regress_batchagg_other SUPERUSER;
ALTER ROLE regress_batchagg_owner SET default_text_search_config = 'pg_catalog.english';

CREATE SCHEMA s;
GRANT USAGE, CREATE ON SCHEMA s, public TO regress_batchagg_owner;
SET ROLE regress_batchagg_owner;
CREATE TABLE s.rows (user_id text, ts timestamptz, n float8, status text, words text, arr text, paid money);
INSERT INTO s.rows
SELECT 'u' || g % 3, '2024-10-07 00:00+00'::timestamptz + g * interval '10 min', g, CASE WHEN g % 2 = 0 THEN 'a' END,
	   CASE WHEN g % 5 = 0 THEN 'cats\n' ELSE 'dog' END, '{NULL,b}', g
FROM generate_series(0, 199) g;
CREATE FUNCTION s.same(a anyelement, b anyelement) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN a = b; END $$;

-- Filters, each of which would mean something else with some setting.
CREATE TABLE s.filters (id integer GENERATED ALWAYS AS IDENTITY, filter text);
INSERT INTO s.filters (filter) VALUES
	('s.same(n = NULL, n IS NULL) IS NULL'), ($$words = 'cats\n'$$), ('''{NULL,b}''::text[] = ARRAY[NULL, ''b'']'),
	('to_tsvector(words) @@ to_tsquery(''cat'')'), ('ts < ''2024-10-07 12:00 EST'''), ('paid > ''100.00'''),
	('quote_ident(''x'') = ''x'''), ('ts::text LIKE ''2024-10-07 1%'''), ('ts < ''24-10-08''::date'),
	('(''2 1:00''::interval)::text = ''2 days 01:00:00'''), ('(n / 3)::text LIKE ''%.3333333333333%'''),
	($$(status::bytea)::text = '\x61'$$), ('current_user = ''regress_batchagg_owner''');
SELECT batchagg_create_job('EVERYHOUR', 'user', 's.rows', '{1-day}', '{"n": "sum,count"}');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, resource_filter)
SELECT 1, 'user', 's.rows', '1-day', filter FROM s.filters ORDER BY id;
SELECT batchagg_run_job(1) IS NOT NULL AS run;

-- How many of the 200 rows pass.
CREATE VIEW s.passed AS
	SELECT resource_filter, sum(metric_value) AS passed FROM batchjob_definitions d
	LEFT JOIN RuleExecutionResults r ON r.definition_id = d.id AND aggregation_type = 'count'
	WHERE resource_filter IS NOT NULL GROUP BY d.id ORDER BY d.id;
TABLE s.passed;
RESET ROLE;

-- Another role, all of whose settings are other ones, computes the same.
SET SESSION AUTHORIZATION regress_batchagg_other;
SET transform_null_equals = on;
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SET backslash_quote = on;
SET array_nulls = off;
SET default_text_search_config = 'pg_catalog.simple';
SET timezone_abbreviations = 'Australia';
SET DateStyle = 'German, DMY';
SET IntervalStyle = 'iso_8601';
SET extra_float_digits = -10;
SET bytea_output = 'escape';
SET timezone = 'Asia/Tokyo';
SET search_path = s, public;
SELECT changed FROM batchagg_run_job(1);
SELECT count(*) FROM batchagg_verify_job(1);
SELECT severity, message FROM batchagg_validate_job(1);

-- Filters are also checked so when they are written.
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, resource_filter)
VALUES (1, 'user', 's.rows', '1-hour', $$words = 'it\'s'$$);
RESET SESSION AUTHORIZATION;
RESET ALL;
SET timezone = 'UTC';

-- With tracking, too: such a session does not take what is stored for something else.
SET ROLE regress_batchagg_owner;
SELECT batchagg_track_source('s.rows', 'log');
SELECT batchagg_run_job(1) IS NOT NULL AS run;
RESET ROLE;
SELECT value, count(*) FROM batchagg_explain_job(1) WHERE item = 'recomputed' GROUP BY value ORDER BY value;
SET transform_null_equals = on;
SET standard_conforming_strings = off;
SET array_nulls = off;
SET timezone_abbreviations = 'Australia';
SELECT value, count(*) FROM batchagg_explain_job(1) WHERE item = 'recomputed' GROUP BY value ORDER BY value;
SELECT changed FROM batchagg_run_job(1);
RESET ALL;
SET timezone = 'UTC';

-- What tells who runs is refused in filters.
SET ROLE regress_batchagg_owner;
\set VERBOSITY terse
DO $$
DECLARE
	filter text;
BEGIN
	FOREACH filter IN ARRAY ARRAY['session_user = ''x''', 'current_setting(''app.tenant'') = status', 'current_setting(''app.tenant'', true) = status',
		'pg_client_encoding() = ''UTF8''', 'inet_client_addr() IS NULL', 'pg_backend_pid() > n', 'n > 0 AND NOT (session_user = status)'] LOOP
		BEGIN
			INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, resource_filter) VALUES (1, 'user', 's.rows', '1-hour', filter);
			RAISE NOTICE 'accepted: %', filter;
		EXCEPTION WHEN feature_not_supported THEN
			RAISE NOTICE '%: %', filter, SQLERRM;
		END;
	END LOOP;
END $$;

-- A view that tells who runs is a problem, and runs fail; what is stored stays.
CREATE VIEW s.mine AS SELECT user_id, ts, n FROM s.rows WHERE session_user <> 'nobody';
CREATE VIEW s.outer_mine AS SELECT * FROM s.mine;
CREATE VIEW s.owners AS SELECT user_id, ts, n FROM s.rows WHERE current_user = 'regress_batchagg_owner';
CREATE FUNCTION s.who() RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN session_user; END $$;
CREATE VIEW s.perhaps AS SELECT user_id, ts, n FROM s.rows WHERE s.who() <> 'nobody';
CREATE VIEW s.by_setting AS SELECT user_id, ts, n FROM s.rows WHERE status = current_setting('app.status', true);
SELECT batchagg_create_job('EVERYHOUR', 'user', 's.outer_mine', '{1-day}', '{"n": "sum"}');
SELECT batchagg_create_job('EVERYHOUR', 'user', 's.outer_mine', '{1-day}', '{"n": "sum"}', validate => false) AS job \gset
\set VERBOSITY default
SELECT severity, message, detail, hint FROM batchagg_validate_job(:job);
SELECT batchagg_run_job(:job);
UPDATE batchjob_definitions SET entity = 's.owners' WHERE job_id = :job;
SELECT severity, message, detail, hint FROM batchagg_validate_job(:job);
RESET ROLE;
SELECT groups FROM batchagg_run_job(:job);
UPDATE batchjob_definitions SET entity = 's.perhaps' WHERE job_id = :job;
SELECT severity, message, detail, hint FROM batchagg_validate_job(:job);
-- So it is where a filter calls such a function; what it names itself has been refused.
CREATE FUNCTION s.who_certainly() RETURNS text STABLE RETURN session_user || current_setting('app.status', true);
UPDATE batchjob_definitions SET entity = 's.rows', resource_filter = 's.who() <> status' WHERE job_id = :job;
UPDATE batchjob_definitions SET resource_filter = 's.who_certainly() <> status' WHERE job_id = :job;
SELECT severity, message, detail, hint FROM batchagg_validate_job(:job);
UPDATE batchjob_definitions SET resource_filter = NULL WHERE job_id = :job;
DROP FUNCTION s.who_certainly;
UPDATE batchjob_definitions SET entity = 's.by_setting' WHERE job_id = :job;
SELECT severity, message, detail, hint FROM batchagg_validate_job(:job);

-- Settings of applications are those that a new session of the owner has.
ALTER ROLE regress_batchagg_owner SET app.status = 'a';
SELECT groups FROM batchagg_run_job(:job);
SET app.status = 'b';
SELECT groups, changed FROM batchagg_run_job(:job);
SHOW app.status;
SET SESSION AUTHORIZATION regress_batchagg_owner;
SELECT groups, changed FROM batchagg_run_job(:job);
RESET SESSION AUTHORIZATION;
ALTER ROLE regress_batchagg_owner RESET app.status;
SELECT groups FROM batchagg_run_job(:job);

SET ROLE regress_batchagg_owner;
CREATE VIEW s.by_program AS SELECT user_id, ts, n FROM s.rows WHERE current_setting('application_name') <> 'x';
UPDATE batchjob_definitions SET entity = 's.by_program' WHERE job_id = :job;
SELECT severity, message, detail FROM batchagg_validate_job(:job);
SELECT groups FROM batchagg_run_job(:job);
RESET ROLE;

-- The same of policies.
ALTER ROLE regress_batchagg_owner SET app.status = 'a';
ALTER TABLE s.rows ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON s.rows USING (status = current_setting('app.status'));
UPDATE batchjob_definitions SET entity = 's.rows' WHERE job_id = :job;
SELECT severity, message, detail FROM batchagg_validate_job(:job);
SELECT rows_read, groups FROM batchagg_run_job(:job);
SET SESSION AUTHORIZATION regress_batchagg_owner;
SELECT rows_read, changed FROM batchagg_run_job(:job);
RESET SESSION AUTHORIZATION;
ALTER POLICY tenant ON s.rows USING (session_user = 'regress_batchagg_owner');
SELECT severity, message, detail FROM batchagg_validate_job(:job);
SELECT batchagg_run_job(:job);

SET client_min_messages = warning;
DROP EXTENSION batchagg CASCADE;
DROP SCHEMA s, plain CASCADE;
REVOKE ALL ON SCHEMA public FROM regress_batchagg_owner;
DROP ROLE regress_batchagg_owner, regress_batchagg_other;
