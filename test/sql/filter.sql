-- resource_filter: what it may say, what it may not, and when that is checked.
CREATE EXTENSION batchagg;
CREATE TABLE activity (
	user_id integer,
	"timestamp" timestamptz,
	hits integer,
	status text,
	"Odd Name" text,
	enabled boolean,
	tags text[],
	doc jsonb
);
INSERT INTO activity VALUES
	(1, '2024-01-01 00:00+00', 1, 'active', 'a', true, '{x,y}', '{"k": 1}'),
	(1, '2024-01-01 00:10+00', 2, 'idle', 'b', false, '{y}', '{"k": 2}'),
	(1, '2024-01-01 00:20+00', 4, 'say "hi"', 'c', NULL, NULL, NULL),
	(1, '2024-01-02 00:00+00', 8, NULL, repeat('long', 20), true, '{}', '{}');
SELECT batchagg_create_job('EVERYHOUR', 'user', 'activity', '{month}', '{"hits": "sum"}', 'activity') AS job \gset

-- The sum of hits tells which rows passed a filter.
\set VERBOSITY terse
CREATE FUNCTION passed(filter text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result float8;
BEGIN
	UPDATE batchjob_definitions SET resource_filter = filter;
	PERFORM batchagg_run_job(job_id) FROM batchjob_definitions;
	SELECT metric_value INTO result FROM RuleExecutionResults;
	RETURN coalesce(result::text, 'none');
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
CREATE TABLE filters (id integer GENERATED ALWAYS AS IDENTITY, filter text);

-- Good ones.  A word in double quotes is a column if there is one, else a string; a long one is not cut.
SET client_min_messages = warning;
INSERT INTO filters (filter) VALUES
	(NULL),
	('true'),
	('enabled'),
	('NOT enabled'),
	('status = ''active'''),
	('status = "active"'),
	('"status" = "active"'),
	('status IN ("active", "idle")'),
	('status = "say ""hi"""'),
	('"Odd Name" = "a"'),
	('"enabled"'),
	('"Odd Name" = "' || repeat('long', 20) || '"'),
	('activity.status = "activity" OR activity.hits = 8'),
	('status = "activity"'),
	('status IS NULL'),
	('status LIKE ''a%'' -- and a comment'),
	('hits BETWEEN 2 AND 4'),
	('"timestamp" >= ''2024-01-02''::date'),
	('"timestamp" >= "2024-01-02"'),
	('"timestamp" < now()'),
	('extract(hour FROM "timestamp") = 0 AND hits % 2 = 0'),
	('"x" = ANY (tags)'),
	('tags @> ''{y}'''),
	('(doc->>''k'')::integer > 1'),
	('CASE WHEN hits > 2 THEN enabled END'),
	('coalesce(enabled, hits = 4)'),
	('hits::text ~ ''^[14]'''),
	('pg_catalog.length(status) = 4'),
	('current_user IS NOT NULL');
SELECT filter, passed(filter) FROM filters ORDER BY id;

-- Bad ones.
TRUNCATE filters;
INSERT INTO filters (filter) VALUES
	(''),
	(' -- nothing'),
	('status ='),
	('status = ''active'),
	('status = ""'),
	('hits > 0; DROP TABLE activity'),
	('hits > 0; true'),
	('true, true'),
	('true AS answer'),
	('true FROM activity'),
	('true WHERE true'),
	('true GROUP BY 1'),
	('true ORDER BY 1'),
	('true LIMIT 1'),
	('true FOR UPDATE'),
	('DISTINCT true'),
	('true UNION SELECT false'),
	('SELECT true'),
	('hits IN (SELECT 1)'),
	('EXISTS (SELECT FROM activity)'),
	('ARRAY(SELECT 1) IS NOT NULL'),
	('hits = $1'),
	('hit > 0'),
	('"hit" > 0'),
	('user_activity.hits > 0'),
	('hits > "many"'),
	('hits'),
	('"active "'),
	('count(*) > 1'),
	('sum(hits) > 1'),
	('row_number() OVER () > 1'),
	('generate_series(1, 2) > 1'),
	('unnest(tags) = ''x'''),
	('random() < 0.5'),
	('clock_timestamp() > "timestamp"'),
	('hits > (CASE WHEN enabled THEN random() END)'),
	('nextval(''batch_jobs_id_seq'') > 0'),
	('set_config(''a.b'', ''c'', false) = ''c'''),
	('activity IS NOT NULL'),
	('activity.* IS NOT NULL'),
	('*'),
	('ROW(activity.*) IS NOT NULL'),
	('ctid = ''(0,1)'''),
	('tableoid > 0'),
	('"xmin" IS NOT NULL'),
	('passed(status) = ''1'''),
	('nowhere(hits)'),
	('hits === 1'),
	('hits::nothing > 1'),
	('DEFAULT'),
	('CURRENT OF c'),
	('GROUPING(hits) = 0');
SELECT filter, passed(filter) FROM filters ORDER BY id;
\set VERBOSITY default

-- Errors show the filter and the place in it.
UPDATE batchjob_definitions SET resource_filter = 'hits > 0 AND stat = ''x''';
\echo :LAST_ERROR_SQLSTATE
UPDATE batchjob_definitions SET resource_filter = 'hits > 0 AND (hits IN (SELECT 1))';
UPDATE batchjob_definitions SET resource_filter = 'hits > 0 AND random() < 0.5';
UPDATE batchjob_definitions SET resource_filter = 'hits > 0) OR (true';
UPDATE batchjob_definitions SET resource_filter = 'hits + 1';

-- Functions of one's own are called by their full name, and must not be volatile.
CREATE FUNCTION public.is_odd(integer) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT $1 % 2 = 1';
SELECT passed('is_odd(hits)'), passed('public.is_odd(hits)');
-- Nobody's operators or functions stand in for PostgreSQL's.
CREATE FUNCTION public.length(text) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT 1 / 0';
CREATE FUNCTION public.never(integer, integer) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT (1 / 0)::boolean';
CREATE OPERATOR public.> (LEFTARG = integer, RIGHTARG = integer, FUNCTION = public.never);
SET search_path = public, pg_catalog;
SELECT passed('hits > 1 AND length(status) = 4');
RESET search_path;
SELECT passed('hits > 3');
SELECT passed('hits OPERATOR(public.>) 3');

-- Times without a zone are those of the definition.
UPDATE batchjob_definitions SET timezone = 'Asia/Tokyo', resource_filter = '"timestamp" >= "2024-01-01 09:10"';
SELECT passed(resource_filter) FROM batchjob_definitions;

-- Without metrics, a filter is checked against the entity's table; with them, against theirs.
CREATE TABLE visits (user_id integer, ts timestamptz, visited integer, place text);
INSERT INTO batch_jobs (event_name, job_name) VALUES ('EVERYHOUR', 'visits') RETURNING id AS job \gset
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, resource_filter)
VALUES (:job, 'user', 'activity', 'day', 'place = "here"');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, resource_filter)
VALUES (:job, 'user', 'not_there', 'day', 'place = "here"');
INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (:job, 'visited', 'sum');
INSERT INTO metricsandtables (metricname, tablename) VALUES ('visited', 'visits');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, resource_filter)
VALUES (:job, 'user', 'activity', 'day', 'place = "here"');
INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, resource_filter)
VALUES (:job, 'user', 'activity', 'day', 'status = "active"');

-- Validation finds what has become of a filter since.
ALTER TABLE visits RENAME place TO location;
SELECT severity, sqlstate, message, detail, hint FROM batchagg_validate_job(:job);

DROP EXTENSION batchagg;
DROP TABLE activity, visits, filters;
DROP OPERATOR public.> (integer, integer);
DROP FUNCTION passed, is_odd, public.length(text), never;
