-- Late rows of single entities, where only some of the definitions that a scan is for
-- want single entities: of ids by value and by reference, and several granularities.

\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'
\i :plain

SET timezone = 'UTC';
SET client_min_messages = warning;

-- Types of ids.  The bytes of the uuids are odd at first, as pointers are not.
CREATE DOMAIN small_id AS smallint;
CREATE DOMAIN line_id AS bigint CHECK (VALUE > 0);
CREATE TABLE cases (type text, id text, mode text, name text);
INSERT INTO cases SELECT t.type, t.id, m.mode, 'v_' || row_number() OVER (ORDER BY t.type, m.mode)
FROM (VALUES ('integer', 'g %% 20 + 1'), ('small_id', 'g %% 20 - 10'), ('line_id', '(g %% 20 + 1) * 4294967295'),
			 ('uuid', '(''05'' || substr(md5((g %% 20)::text), 3))::uuid'), ('text', '''user '' || g %% 20'),
			 ('varchar(90)', 'repeat(''x'', g %% 20 + 40)')) t (type, id),
	 (VALUES ('log'), ('snapshot')) m (mode);

-- A source and a job of each; raw rows of 100 days, of which hours keep 30.
CREATE FUNCTION make(source text, type text, id text, mode text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TABLE %I (user_id %s, ts timestamptz, n integer)', source, type);
	EXECUTE format('INSERT INTO %I SELECT ' || id || ', date_trunc(''hour'', now()) - g * interval ''3 hours'', g FROM generate_series(1, 800) g', source);
	EXECUTE format('CREATE INDEX ON %I (user_id, ts)', source);
	PERFORM batchagg_create_job('EVERYHOUR', 'user', source, '{5-minute,1-hour,1-day}', '{"n": "sum,median"}', tablename => source, job_name => source || ' median');
	PERFORM batchagg_create_job('EVERYHOUR', 'user', source, '{1-hour,1-day,1-month}', '{"n": "sum,count"}', tablename => source, job_name => source || ' hours');
	UPDATE batchjob_definitions d SET results_retention = '30 days' FROM batch_jobs j
	WHERE j.id = d.job_id AND j.job_name = source || ' hours' AND granularity = '1-hour';
	PERFORM batchagg_track_source(source::regclass, mode);
END $$;
SELECT count(make(name, type, id, mode)) FROM cases;

-- Runs all, and compares each definition with plain SQL.
CREATE FUNCTION wrong() RETURNS TABLE (source text, granularity text, stored bigint, expected bigint, different bigint) LANGUAGE plpgsql AS $$
DECLARE
	d record;
BEGIN
	FOR d IN SELECT x.id, x.entity, x.granularity, x.results_retention FROM batchjob_definitions x ORDER BY 1 LOOP
		source := d.entity;
		granularity := d.granularity;
		SELECT c.* INTO stored, expected, different FROM plain.compare(d.id, format(
			'SELECT * FROM plain.rollup(%L, ''user_id'', %L, ''ts'', ''{"n": "n"}''::jsonb) WHERE bucket >= %L',
			d.entity, CASE d.granularity WHEN '5-minute' THEN 'date_bin(''5 minutes'', ts, ''2000-01-01'')'
				ELSE format('date_trunc(%L, ts)', substr(d.granularity, 3)) END,
			CASE WHEN d.results_retention IS NULL THEN '-infinity'
				ELSE (SELECT date_trunc('hour', c.horizon - d.results_retention)::text FROM batchagg_cursors c WHERE definition_id = d.id) END)) c;
		IF different > 0 OR stored = 0 THEN
			RETURN NEXT;
		END IF;
	END LOOP;
END $$;
SELECT status, count(*) FROM batchagg_run_all() GROUP BY 1;
SELECT * FROM wrong();

-- Rows of one entity in an hour, in two pieces of it; and of each entity, older than what hours keep.
CREATE FUNCTION late(source text, id text, rows text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO %I SELECT ' || id || ', t, 7 FROM (%s) r (g, t)', source, rows);
END $$;
SELECT count(late(name, id, 'VALUES (5, date_trunc(''hour'', now()) - interval ''9 days 59 minutes''), (5, date_trunc(''hour'', now()) - interval ''9 days 2 minutes'')')) FROM cases;
SELECT status, count(*) FROM batchagg_run_all() GROUP BY 1;
SELECT * FROM wrong();
SELECT count(late(name, id, 'SELECT g, now() - interval ''60 days'' FROM generate_series(1, 20) g')) FROM cases;
SELECT status, count(*) FROM batchagg_run_all() GROUP BY 1;
SELECT * FROM wrong();
SELECT count(late(name, id, 'SELECT g, now() - interval ''50 days 1 hour'' * g FROM generate_series(1, 2) g')) FROM cases;
SELECT status, count(*) FROM batchagg_run_all() GROUP BY 1;
SELECT * FROM wrong();

-- A run that finds nothing changed changes nothing.
SELECT status, sum(changed) FROM batchagg_run_all() GROUP BY 1;

DROP EXTENSION batchagg;
SELECT format('DROP TABLE %I', name) FROM cases \gexec
DROP TABLE cases;
DROP FUNCTION make, wrong, late;
DROP DOMAIN small_id, line_id;
\set ECHO none
DROP SCHEMA plain CASCADE;
