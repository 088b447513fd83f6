-- How an incremental run finds what it has to read: the ways that there are, what
-- PostgreSQL makes of them, and which index would help.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION batchagg;
SET timezone = 'UTC';
SET random_page_cost = 1.1;

CREATE TABLE kpi (user_id integer NOT NULL, ts timestamptz NOT NULL, pages float8);
INSERT INTO kpi SELECT i % 100, '2026-01-01 00:00+00'::timestamptz + i * interval '30 seconds', i FROM generate_series(0, 49999) i;
VACUUM ANALYZE kpi;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'kpi', '{1-hour}', '{"pages":"sum,count"}');
SELECT batchagg_track_source('kpi');
SELECT status FROM batchagg_run_job(1);

-- What is planned for the next run: which relations are scanned, and how; the
-- number of ranges, and hints.
CREATE FUNCTION planned(job integer) RETURNS TABLE (line text) LANGUAGE plpgsql AS $$
DECLARE
	query text := (SELECT string_agg(value, '') FROM batchagg_explain_job(job) WHERE item = 'query');
BEGIN
	RETURN QUERY SELECT value FROM batchagg_explain_job(job) WHERE item IN ('recomputed', 'hint');
	RETURN QUERY SELECT CASE WHEN query ~ 'unnest|UNNEST' THEN 'entities' ELSE count(*) || ' ranges' END FROM regexp_matches(query, 'ts >= ', 'g');
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		IF line ~ 'Scan' THEN
			line := trim(line);
			RETURN NEXT;
		END IF;
	END LOOP;
END $$;

-- Late rows of single entities, without an index: one pass, and a hint.
INSERT INTO kpi VALUES (3, '2026-01-02 10:00+00', 1), (4, '2026-01-05 11:00+00', 1), (5, '2026-01-12 10:00+00', 1);
SELECT * FROM planned(1);
-- With one on the time: a few ranges of it.
CREATE INDEX kpi_ts ON kpi (ts);
SELECT * FROM planned(1);
SELECT rows_read, groups FROM batchagg_run_job(1);
SELECT count(*) FROM batchagg_verify_job(1);
-- With one on entity and time: just these groups.
CREATE INDEX kpi_user_id_ts ON kpi (user_id, ts);
INSERT INTO kpi VALUES (3, '2026-01-02 10:00+00', 1), (4, '2026-01-05 11:00+00', 1), (5, '2026-01-12 10:00+00', 1);
SELECT * FROM planned(1);
SELECT rows_read, groups FROM batchagg_run_job(1);
SELECT count(*) FROM batchagg_verify_job(1);

-- Whole buckets: of one hour; of many hours, whose gaps are filled.
DROP INDEX kpi_user_id_ts;
DELETE FROM kpi WHERE ts BETWEEN '2026-01-03 10:00+00' AND '2026-01-03 10:59+00' AND user_id % 2 = 0;
INSERT INTO kpi SELECT 1000 + i, '2026-01-03 10:30+00', 1 FROM generate_series(1, 150) i;
SELECT * FROM planned(1);
SELECT rows_read, groups FROM batchagg_run_job(1);
SELECT count(*) FROM batchagg_verify_job(1);
INSERT INTO kpi SELECT 2000 + i, '2026-01-01 00:30+00'::timestamptz + h * interval '5 hours', 1 FROM generate_series(1, 101) i, generate_series(0, 70) h;
SELECT line FROM planned(1) WHERE line !~ 'Scan';
SELECT rows_read < 50000 AS not_all, groups FROM batchagg_run_job(1);
SELECT count(*) FROM batchagg_verify_job(1);
-- A BRIN index serves as well.
DROP INDEX kpi_ts;
CREATE INDEX kpi_brin ON kpi USING brin (ts) WITH (pages_per_range = 4);
DELETE FROM kpi WHERE user_id > 1000;
SELECT status FROM batchagg_run_job(1);
VACUUM FULL kpi;
ANALYZE kpi;
SELECT status FROM batchagg_run_job(1);
SELECT status FROM batchagg_run_job(1);
INSERT INTO kpi SELECT 1000 + i, '2026-01-03 10:30+00', 1 FROM generate_series(1, 150) i;
SELECT * FROM planned(1);
SELECT count(*) FROM batchagg_run_job(1), batchagg_verify_job(1);

-- Partitions without anything to read are not looked at.
CREATE TABLE part (user_id integer, ts timestamptz, pages float8) PARTITION BY RANGE (ts);
SELECT format('CREATE TABLE part%1$s PARTITION OF part FOR VALUES FROM (''2026-0%1$s-01+00'') TO (''2026-0%2$s-01+00'')', i, i + 1) FROM generate_series(1, 6) i \gexec
INSERT INTO part SELECT i % 10, '2026-01-01 00:00+00'::timestamptz + i * interval '10 minutes', i FROM generate_series(0, 24999) i;
ANALYZE part;
SELECT batchagg_create_job('EVERYHOUR', 'user', 'part', '{1-hour,1-day}', '{"pages":"sum,count"}');
SELECT batchagg_track_source('part');
SELECT status FROM batchagg_run_job(2);
INSERT INTO part VALUES (1, '2026-02-05 10:01+00', 1);
DELETE FROM part WHERE ts = '2026-05-10 10:00+00';
SELECT * FROM planned(2) WHERE line ~ 'part';
SELECT status FROM batchagg_run_job(2);
SELECT count(*) FROM batchagg_verify_job(2);

-- New rows, by the id of their transaction.
SELECT batchagg_track_source('kpi', 'snapshot');
SELECT status FROM batchagg_run_job(1);
INSERT INTO kpi SELECT i % 100, '2026-01-01 00:30+00'::timestamptz + i * interval '1 hour', 1 FROM generate_series(1, 300) i;
ANALYZE kpi;
SELECT line FROM planned(1) WHERE line !~ 'ranges$';
CREATE INDEX kpi_xid ON kpi (batchagg_xid);
SELECT line FROM planned(1) WHERE line !~ 'ranges$';
SELECT rows_read, groups FROM batchagg_run_job(1);
SELECT count(*) FROM batchagg_verify_job(1);

DROP EXTENSION batchagg CASCADE;
DROP TABLE kpi, part;
DROP FUNCTION planned;
