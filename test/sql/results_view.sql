-- RuleExecutionResults: what it shows of the store, what can be put into it, and
-- that filters on it reach the indexes of the tables below.

-- What an interrupted run may have left.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_reader;
RESET client_min_messages;
CREATE EXTENSION batchagg;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';

-- Measurements of other systems.
INSERT INTO RuleExecutionResults (entity_id, "timestamp", metric_name, metric_value)
VALUES ('cell1', '2024-01-01 00:00', 'load', 0.5), ('cell2', '2024-01-01 00:00', 'load', 'NaN');
INSERT INTO RuleExecutionResults (focal_entity, entity_id, "timestamp", granularity, metric_name, aggregation_type,
	metric_value, sample_count, result_name, updated_at)
VALUES ('cell', 'cell1', '2024-01-01', '1-day', 'load', 'avg', 0.25, 96, 'tavg_day_load', '2024-01-02');
COPY RuleExecutionResults (entity_id, "timestamp", metric_name, metric_value) FROM stdin;
cell1	2024-01-01 00:15	load	0.75
cell2	2024-01-01 00:15	load	1e300
\.
SELECT job_id, definition_id, focal_entity, entity_id, "timestamp", granularity, metric_name, aggregation_type,
	metric_value, sample_count, result_name, updated_at > '2024-01-03' AS new
FROM RuleExecutionResults ORDER BY entity_id, "timestamp", metric_value;
INSERT INTO RuleExecutionResults (job_id, entity_id, "timestamp", metric_name, metric_value) VALUES (1, 'x', now(), 'm', 1);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO RuleExecutionResults (definition_id, entity_id, "timestamp", metric_name, metric_value) VALUES (1, 'x', now(), 'm', 1);
INSERT INTO RuleExecutionResults (job_name, entity_id, "timestamp", metric_name, metric_value) VALUES ('j', 'x', now(), 'm', 1);
INSERT INTO RuleExecutionResults (job_name, entity_id, "timestamp", metric_name, metric_value) VALUES (NULL, 'cell2', '2024-01-01 00:30', 'load', 1);
INSERT INTO RuleExecutionResults ("timestamp", metric_name, metric_value) VALUES (now(), 'm', 1);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO RuleExecutionResults (entity_id, metric_name, metric_value) VALUES ('x', 'm', 1);
INSERT INTO RuleExecutionResults (entity_id, "timestamp", metric_value) VALUES ('x', now(), 1);
INSERT INTO RuleExecutionResults (entity_id, "timestamp", metric_name) VALUES ('x', now(), 'm');
\set VERBOSITY terse
INSERT INTO RuleExecutionResults (entity_id, "timestamp", metric_name, metric_value) VALUES ('x', now(), '', 1);
INSERT INTO RuleExecutionResults (entity_id, "timestamp", metric_name, metric_value, sample_count) VALUES ('x', now(), 'm', 1, -1);
UPDATE RuleExecutionResults SET metric_value = 1;
DELETE FROM RuleExecutionResults;
\set VERBOSITY default
DELETE FROM batchagg_measurements WHERE entity_id = 'cell2';
SELECT count(*) FROM RuleExecutionResults;

-- A job reads the measurements as a source of metric rows: roll-ups of roll-ups.
SELECT batchagg_create_job('EVERYHOUR', 'entity', 'ruleexecutionresults', '{1-hour}', '{"load": "max,count"}',
	resource_filter => 'job_id IS NULL AND granularity IS NULL') AS job \gset
SELECT status, rows_read, groups, results FROM batchagg_run_job(:job);
SELECT definition_id, entity_id, "timestamp", aggregation_type, metric_value, sample_count, result_name
FROM RuleExecutionResults WHERE job_id = :job ORDER BY aggregation_type;
SELECT status, changed FROM batchagg_run_job(:job);

-- Undefined results have no row; a count of no values has one.
CREATE TABLE samples (cell_id text, ts timestamptz, a integer, b integer);
INSERT INTO samples VALUES ('c', '2024-01-01', 1, NULL), ('c', '2024-01-01', NULL, NULL), ('d', '2024-01-01', 2, 2);
SELECT batchagg_create_job('EVERYHOUR', 'cell', 'samples', '{day}', '{"a": "count,std,sum", "b": "count,sum"}') AS job \gset
SELECT status, results FROM batchagg_run_job(:job);
SELECT entity_id, metric_name, aggregation_type, metric_value, sample_count
FROM RuleExecutionResults WHERE job_id = :job ORDER BY entity_id, metric_name, aggregation_type;

-- A filled store: 40 cells, 240 hours, two metrics with five aggregates, three granularities.
CREATE TABLE kpi (cell_id text, ts timestamptz, drops integer, calls integer);
INSERT INTO kpi
SELECT 'cell' || c, '2024-01-01'::timestamptz + h * interval '1 hour', h, c
FROM generate_series(0, 239) h, generate_series(1, 40) c;
SELECT batchagg_create_job('EVERYHOUR', 'cell', 'kpi', '{1-hour,1-day,1-week}',
	'{"drops": "sum,avg,min,max,count", "calls": "sum,avg,min,max,count"}', job_name => 'cell kpi') AS job \gset
SELECT status, groups, results FROM batchagg_run_job(:job);
INSERT INTO RuleExecutionResults (entity_id, "timestamp", metric_name, metric_value)
SELECT 'cell' || c, '2023-01-01'::timestamptz + h * interval '1 hour', 'drops', h
FROM generate_series(0, 239) h, generate_series(1, 40) c;

-- The job's name is that of this moment.
SELECT DISTINCT job_id = :job AS same, job_name FROM RuleExecutionResults WHERE entity_id = 'cell7' ORDER BY 1, 2;
UPDATE batch_jobs SET job_name = 'kpi of cells' WHERE id = :job;
SELECT count(*) FROM RuleExecutionResults WHERE job_name = 'cell kpi';
SELECT count(*) FROM RuleExecutionResults WHERE job_name = 'kpi of cells' AND entity_id = 'cell7';
UPDATE batch_jobs SET job_name = 'cell kpi' WHERE id = :job;
VACUUM ANALYZE batchagg_store, batchagg_layouts, batchagg_positions, batchagg_measurements, batch_jobs, batchjob_definitions;
SELECT min(id) AS definition FROM batchjob_definitions WHERE job_id = :job \gset

-- Which columns a query on the view looks up in indexes of the tables below.
CREATE FUNCTION looked_up(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	found text;
	columns text;
	result text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		found := coalesce(substring(line FROM ' on (batchagg_store|batchagg_measurements)'), found);
		IF line ~ 'Seq Scan on batchagg_(store|measurements)' THEN
			result := result || E'\n' || found || ' read as a whole';
		ELSIF line ~ 'Index Cond:' THEN
			SELECT string_agg(DISTINCT match[1], ', ' ORDER BY match[1]) INTO columns
			FROM regexp_matches(line, '(entity_id|bucket|metric_name|"timestamp") [=<>]', 'g') AS match
			WHERE found IS NOT NULL;
			result := result || coalesce(E'\n' || found || ' by ' || columns, '');
		END IF;
	END LOOP;
	RETURN ltrim(result, E'\n');
END $$;
-- Where the name is not asked for, batch_jobs is not read.
CREATE FUNCTION reads_jobs(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		IF line ~ ' on batch_jobs' THEN
			RETURN true;
		END IF;
	END LOOP;
	RETURN false;
END $$;
SELECT reads_jobs('SELECT job_id, entity_id, metric_value FROM RuleExecutionResults WHERE job_id = 3') AS unused,
	reads_jobs('SELECT count(*) FROM RuleExecutionResults WHERE job_name = ''cell kpi''') AS filtered;

CREATE FUNCTION show_looked_up(role regrole) RETURNS TABLE (filter text, lookups text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SET LOCAL ROLE %s', role);
	FOR filter IN SELECT f.filter FROM filters f ORDER BY id LOOP
		lookups := looked_up('SELECT * FROM RuleExecutionResults WHERE ' || show_looked_up.filter);
		RETURN NEXT;
	END LOOP;
	RESET ROLE;
END $$;
CREATE TABLE filters (id integer GENERATED ALWAYS AS IDENTITY, filter text);
\set one 'definition_id = ' :definition
INSERT INTO filters (filter) VALUES
	(:'one' || ' AND entity_id = ''cell7'''),
	(:'one' || ' AND entity_id = ''cell7'' AND metric_name = ''drops'' AND aggregation_type = ''avg'''),
	(:'one' || ' AND "timestamp" = ''2024-01-03 05:00'''),
	(:'one' || ' AND "timestamp" >= ''2024-01-03'' AND "timestamp" < ''2024-01-03 02:00'' AND metric_name = ''drops'''),
	(:'one' || ' AND "timestamp" = ''2024-01-03'' AND entity_id = ''cell7'''),
	('entity_id = ''cell7'' AND metric_name = ''drops'' AND "timestamp" >= ''2024-01-03'' AND "timestamp" < ''2024-01-03 02:00'''),
	('"timestamp" = ''2024-01-03 05:00'' AND metric_name = ''drops'''),
	('entity_id = ''cell7'' AND "timestamp" = ''2024-01-03 05:00'''),
	('job_name = ''cell kpi'' AND entity_id = ''cell7'''),
	('job_name = ''cell kpi'' AND "timestamp" = ''2024-01-03 05:00'''),
	('job_name = ''cell kpi'' AND result_name = ''tsum_hour_drops'' AND "timestamp" >= ''2024-01-03'' AND "timestamp" < ''2024-01-03 02:00'''),
	('job_name = ''cell kpi'' AND result_name = ''tsum_hour_drops'' AND entity_id = ''cell7'' AND "timestamp" >= ''2024-01-03'' AND "timestamp" < ''2024-01-04''');
SELECT * FROM show_looked_up(quote_ident(current_user)::regrole);

-- The same for an ordinary role, whose rows are chosen by row-level security.
CREATE ROLE regress_batchagg_reader;
UPDATE batch_jobs SET owner = 'regress_batchagg_reader' WHERE id = :job;
UPDATE batchagg_measurements SET owner = 'regress_batchagg_reader';
GRANT SELECT ON filters TO regress_batchagg_reader;
SELECT * FROM show_looked_up('regress_batchagg_reader');
SET ROLE regress_batchagg_reader;
SELECT job_id = :job AS own, job_name, count(*) FROM RuleExecutionResults GROUP BY 1, 2 ORDER BY 1;
RESET ROLE;

DROP EXTENSION batchagg;
DROP TABLE samples, kpi, filters;
DROP FUNCTION looked_up, show_looked_up, reads_jobs;
DROP ROLE regress_batchagg_reader;
