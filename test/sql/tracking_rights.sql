-- Who writes a tracked table needs no rights on anything of batchagg's.

\getenv test_dir PG_ABS_SRCDIR
\set plain :test_dir '/lib/plain.sql'

-- Rights that are taken from everybody before the extension is there ...
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
\i :plain
SET timezone = 'UTC';
CREATE ROLE batchagg_writer;
CREATE TABLE v (user_id integer, ts timestamptz, n integer);
CREATE TABLE whole (user_id integer, ts timestamptz, n integer) PARTITION BY RANGE (ts);
CREATE TABLE part PARTITION OF whole DEFAULT;
GRANT SELECT, INSERT, UPDATE, DELETE ON v, whole TO batchagg_writer;
SELECT batchagg_create_job('EVERYHOUR', 'user', name, '{1-hour}', '{"n": "sum,count"}', tablename => name) FROM unnest(ARRAY['v', 'whole']) name;
SELECT batchagg_track_source('v'), batchagg_track_source('whole', 'snapshot');
SELECT job_id, status FROM batchagg_run_all() ORDER BY 1;

CREATE PROCEDURE write(hour integer) LANGUAGE SQL AS $$
INSERT INTO v (user_id, ts, n) SELECT g, '2024-10-07 00:00+00'::timestamptz + hour * interval '1 hour', g FROM generate_series(1, 5) g;
UPDATE v SET n = n + 1, ts = ts + '1 day' WHERE user_id = 2;
DELETE FROM v WHERE user_id = 3;
INSERT INTO whole (user_id, ts, n) SELECT g, '2024-10-07 00:00+00'::timestamptz + hour * interval '1 hour', g FROM generate_series(1, 5) g;
UPDATE whole SET n = n + 1, ts = ts + '1 day' WHERE user_id = 2;
DELETE FROM whole WHERE user_id = 3;
$$;
GRANT EXECUTE ON PROCEDURE write TO batchagg_writer;
SET ROLE batchagg_writer;
CALL write(1);
RESET ROLE;
SELECT job_id, status, changed > 0 AS changed FROM batchagg_run_all() ORDER BY 1;

-- ... and afterwards.
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO batchagg_writer;
SET ROLE batchagg_writer;
CALL write(2);
COPY whole (user_id, ts, n) FROM stdin;
7	2024-10-07 05:00+00	7
\.
RESET ROLE;
SELECT job_id, status, changed > 0 AS changed FROM batchagg_run_all() ORDER BY 1;
SELECT c.* FROM batchjob_definitions d, plain.compare(d.id, format($$SELECT * FROM plain.rollup(%L, 'user_id', 'date_trunc(''hour'', ts)', 'ts', '{"n": "n"}')$$, d.entity)) c ORDER BY d.id;

DROP EXTENSION batchagg;
DROP TABLE v, whole;
DROP PROCEDURE write;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC;
GRANT USAGE ON SCHEMA public TO PUBLIC;
DROP OWNED BY batchagg_writer;
DROP ROLE batchagg_writer;
\set ECHO none
DROP SCHEMA plain CASCADE;
