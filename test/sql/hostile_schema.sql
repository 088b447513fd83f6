-- The extension is installed into a schema that another role has prepared: with
-- operators for all pairs of types for which PostgreSQL has none itself, and functions
-- by the names of PostgreSQL's for types that it would cast.  None of them is taken.

-- What an interrupted run may have left.
SET client_min_messages = warning;
DROP DATABASE IF EXISTS regress_batchagg_hostile;
DROP ROLE IF EXISTS regress_batchagg_mallory;
RESET client_min_messages;
CREATE ROLE regress_batchagg_mallory;

-- In a database of its own, which goes with all of that at once.
\set here :DBNAME
CREATE DATABASE regress_batchagg_hostile;
ALTER DATABASE regress_batchagg_hostile SET batchagg.enabled = off;
\c regress_batchagg_hostile
CREATE SCHEMA trap AUTHORIZATION regress_batchagg_mallory;

SET ROLE regress_batchagg_mallory;
SET client_min_messages = error;
CREATE FUNCTION trap.spring() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'the trap of % springs for %', session_user, current_user;
END $$;

CREATE TABLE trap.types AS
SELECT t.oid::regtype AS type
FROM pg_type t
WHERE t.oid IN ('boolean'::regtype, '"char"'::regtype, 'name'::regtype, 'text'::regtype, 'varchar'::regtype, 'smallint'::regtype,
	'integer'::regtype, 'bigint'::regtype, 'numeric'::regtype, 'real'::regtype, 'float8'::regtype, 'oid'::regtype, 'regclass'::regtype,
	'regrole'::regtype, 'date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype, 'interval'::regtype, 'xid'::regtype,
	'xid8'::regtype, 'pg_snapshot'::regtype, 'text[]'::regtype, 'bigint[]'::regtype, 'float8[]'::regtype, 'bytea'::regtype,
	'anyelement'::regtype, 'anyarray'::regtype, 'anycompatible'::regtype);

-- Operators: those that compare are boolean.
DO $$
DECLARE
	o record;
BEGIN
	FOR o IN SELECT r.result, l.type AS left, r.type AS right
		FROM trap.types l, (SELECT t.type, n.result FROM trap.types t, unnest('{boolean,float8,interval,text}'::text[]) n (result)) r
	LOOP
		BEGIN
			EXECUTE format('CREATE FUNCTION trap.of_%s(%s, %s) RETURNS %1$s LANGUAGE sql AS $f$ SELECT trap.spring(); SELECT NULL::%1$s $f$',
				o.result, o.left, o.right);
		EXCEPTION WHEN invalid_function_definition THEN
		END;
	END LOOP;
	FOR o IN SELECT n.name, n.result, l.type AS left, r.type AS right
		FROM (VALUES ('=', 'boolean'), ('<>', 'boolean'), ('<', 'boolean'), ('>', 'boolean'), ('<=', 'boolean'), ('>=', 'boolean'),
			('+', 'float8'), ('-', 'interval'), ('*', 'float8'), ('/', 'float8'), ('||', 'text')) n (name, result), trap.types l, trap.types r
		WHERE NOT EXISTS (SELECT FROM pg_operator WHERE oprname = n.name AND oprleft = l.type AND oprright = r.type)
	LOOP
		BEGIN
			EXECUTE format('CREATE OPERATOR trap.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = trap.of_%s)', o.name, o.left, o.right, o.result);
		EXCEPTION WHEN undefined_function THEN
		END;
	END LOOP;
END $$;

-- Functions by the names of PostgreSQL's that are in the script, with as many arguments.
DO $$
DECLARE
	f record;
BEGIN
	FOR f IN SELECT n.name, CASE n.arguments WHEN 1 THEN format('%s', a.type) WHEN 2 THEN format('%s, %s', a.type, b.type)
			ELSE format('%s, %s, text', a.type, b.type) END AS arguments
		FROM (VALUES ('now', 1), ('lower', 1), ('isfinite', 1), ('quote_ident', 1), ('count', 1), ('coalesce', 1), ('string_agg', 2),
			('pg_extension_config_dump', 2), ('replace', 3), ('pg_has_role', 3)) n (name, arguments), trap.types a, trap.types b
	LOOP
		BEGIN
			EXECUTE format('CREATE FUNCTION trap.%I(%s) RETURNS text LANGUAGE sql AS $f$ SELECT trap.spring(); SELECT NULL::text $f$',
				f.name, f.arguments);
		EXCEPTION WHEN duplicate_function THEN
		END;
	END LOOP;
END $$;
SELECT count(*) > 5000 AS operators FROM pg_operator WHERE oprnamespace = 'trap'::regnamespace;
SELECT count(*) > 2000 AS functions FROM pg_proc WHERE pronamespace = 'trap'::regnamespace;
RESET client_min_messages;
RESET ROLE;

-- Nothing of the extension depends on anything that is in the schema, but not its own.
CREATE EXTENSION batchagg SCHEMA trap;
SELECT pg_describe_object(d.classid, d.objid, d.objsubid) AS object, pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid) AS uses
FROM pg_depend d
WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
	AND d.refobjid IN (SELECT oid FROM pg_proc WHERE pronamespace = 'trap'::regnamespace
		UNION ALL SELECT oid FROM pg_operator WHERE oprnamespace = 'trap'::regnamespace)
	AND NOT EXISTS (SELECT FROM pg_depend m WHERE m.classid = d.refclassid AND m.objid = d.refobjid AND m.deptype = 'e')
	AND NOT EXISTS (SELECT FROM pg_operator o WHERE d.classid = 'pg_operator'::regclass AND o.oid = d.objid)
	AND NOT EXISTS (SELECT FROM pg_proc p WHERE d.classid = 'pg_proc'::regclass AND p.oid = d.objid AND p.proowner = 'regress_batchagg_mallory'::regrole)
ORDER BY 1, 2;

-- All of it works, in the superuser's own search_path too.
SET search_path = trap, public;
SET timezone = 'UTC';
CREATE TABLE public.visit (user_id text, ts timestamptz, n integer);
INSERT INTO public.visit VALUES ('u1', '2024-01-01 00:00+00', 1), ('u2', '2024-01-01 00:00+00', 2), ('u3', '2024-01-01 00:00+00', 3);
SELECT trap.batchagg_create_job('EVERYHOUR', 'user', 'visit', '{1-hour,1-day}', '{"n": "sum,p95"}', job_name => 'visits');
SELECT trap.batchagg_track_source('visit');
SELECT status, results FROM trap.batchagg_run_job('visits');
INSERT INTO public.visit VALUES ('u1', '2024-01-01 00:10+00', 5);
SELECT status, results FROM trap.batchagg_run_job('visits');
SELECT entity_id, granularity, aggregation_type, metric_value FROM RuleExecutionResults WHERE entity_id OPERATOR(pg_catalog.=) 'u1' ORDER BY 2, 3;
SELECT state, last_status, mode FROM batchagg_jobs;
SELECT runs, failures, seconds_mean IS NOT NULL AS has_mean FROM batchagg_stats;
SELECT * FROM batchagg_slots;
SELECT * FROM batchagg_verify_job('visits');
SELECT * FROM batchagg_validate_job('visits');
SELECT status FROM batchagg_run_event('EVERYHOUR');
INSERT INTO RuleExecutionResults (entity_id, "timestamp", metric_name, metric_value) VALUES ('e', '2024-01-01', 'rain', 1);
SELECT trap.batchagg_untrack_source('visit');
DELETE FROM batch_jobs;
RESET search_path;

\c :here
DROP DATABASE regress_batchagg_hostile;
DROP ROLE regress_batchagg_mallory;
