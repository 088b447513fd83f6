-- Tracking: which tables can be tracked, and what each change of one marks.
-- (Replication, prepared transactions: t/19-logical.t; dumps: t/02-dump.t.)

-- What an interrupted run may have left.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_owner, regress_batchagg_stranger, regress_batchagg_writer;
RESET client_min_messages;
CREATE EXTENSION batchagg;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET client_min_messages = notice;
-- Shows marks by time, and forgets them.
\set marks 'WITH m AS (DELETE FROM batchagg_marks RETURNING *) SELECT s.source, low, high, (SELECT array_agg(i ORDER BY i COLLATE "C") FROM unnest(ids) i) AS ids, ids IS NULL AS any FROM m LEFT JOIN batchagg_sources s USING (source_id) ORDER BY s.source, low, high, ids::text COLLATE "C";'

--
-- What cannot be tracked
--
CREATE TABLE plain (user_id integer, ts timestamptz, v integer);
CREATE VIEW a_view AS SELECT * FROM plain;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM plain;
CREATE FOREIGN DATA WRAPPER regress_batchagg_fdw;
CREATE SERVER regress_batchagg_server FOREIGN DATA WRAPPER regress_batchagg_fdw;
CREATE FOREIGN TABLE a_foreign (user_id integer, ts timestamptz) SERVER regress_batchagg_server;
CREATE SEQUENCE a_sequence;
CREATE TEMPORARY TABLE a_temp (user_id integer, ts timestamptz);
CREATE UNLOGGED TABLE an_unlogged (user_id integer, ts timestamptz);
CREATE TABLE a_parent (user_id integer, ts timestamptz);
CREATE TABLE a_child () INHERITS (a_parent);
CREATE TABLE parted (user_id integer, ts timestamptz) PARTITION BY LIST (user_id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1) PARTITION BY LIST (user_id);
CREATE TABLE parted_1a PARTITION OF parted_1 FOR VALUES IN (1);
SELECT batchagg_track_source('a_view');
SELECT batchagg_track_source('a_matview');
SELECT batchagg_track_source('a_foreign');
SELECT batchagg_track_source('a_sequence');
DO $$
BEGIN
	PERFORM batchagg_track_source('a_temp');
EXCEPTION WHEN feature_not_supported THEN
	RAISE NOTICE '%', regexp_replace(SQLERRM, 'pg_temp_\d+', 'pg_temp');
END $$;
SELECT batchagg_track_source('an_unlogged');
SELECT batchagg_track_source('a_parent');
SELECT batchagg_track_source('a_child');
SELECT batchagg_track_source('parted_1');
SELECT batchagg_track_source('parted_1a');
SELECT batchagg_track_source('pg_catalog.pg_class');
SELECT batchagg_track_source('batchagg_measurements');
SELECT batchagg_track_source('plain', 'sideways');
SELECT batchagg_track_source(NULL);
SELECT batchagg_track_source('plain', NULL);
SELECT batchagg_track_source(1::oid::regclass);
CREATE FOREIGN TABLE parted_2 PARTITION OF parted FOR VALUES IN (2) SERVER regress_batchagg_server;
SELECT batchagg_track_source('parted');
DROP FOREIGN TABLE parted_2;
CREATE UNLOGGED TABLE parted_2 PARTITION OF parted FOR VALUES IN (2);
SELECT batchagg_track_source('parted');
-- Columns
CREATE TABLE timeless (user_id integer, a timestamptz, b timestamptz, c time, v integer, w integer);
CREATE COLLATION regress_batchagg_ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE odd_ids (ts timestamptz, n numeric, f text COLLATE regress_batchagg_ci);
SELECT batchagg_track_source('timeless');
SELECT batchagg_track_source('timeless', time_column => 'c');
SELECT batchagg_track_source('timeless', time_column => 'd');
SELECT batchagg_track_source('timeless', time_column => 'ctid');
SELECT batchagg_track_source('plain', id_column => 'nobody');
SELECT batchagg_track_source('odd_ids', id_column => 'n');
SELECT batchagg_track_source('odd_ids', id_column => 'f');
CREATE TABLE taken (user_id integer, ts timestamptz, batchagg_xid bigint);
SELECT batchagg_track_source('taken', 'snapshot');
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER batchagg_mark_delete AFTER DELETE ON taken FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT batchagg_track_source('taken');
-- Whose it is
CREATE ROLE regress_batchagg_owner;
CREATE ROLE regress_batchagg_writer;
SET ROLE regress_batchagg_writer;
SELECT batchagg_track_source('plain');
SELECT batchagg_untrack_source('plain');
SELECT batchagg_settle_source('plain');
SELECT count(*) FROM batchagg_sources;
SELECT count(*) FROM batchagg_marks;
SELECT count(*) FROM batchagg_leaves;
INSERT INTO batchagg_sources (source, mode, time_column) VALUES ('x', 'log', 'x');
RESET ROLE;
SELECT batchagg_untrack_source('plain');
SELECT batchagg_settle_source('plain');
-- Nothing of all that is left.
SELECT count(*) FROM batchagg_sources;
SELECT count(*) FROM batchagg_marks;
SELECT tgname FROM pg_trigger WHERE tgname ~ '^batchagg_mark' ORDER BY 1;
SELECT attrelid::regclass FROM pg_attribute WHERE attname = 'batchagg_xid' AND atttypid = 'xid8'::regtype;

--
-- Columns that are found
--
SELECT batchagg_track_source('plain');
SELECT mode, time_column, id_column, xid_column FROM batchagg_sources WHERE source = 'public.plain';
-- The id of all definitions ...
SELECT batchagg_create_job('EVERYHOUR', 'user', 'plain', '{day,hour}', '{"v": "sum"}') AS job \gset
SELECT batchagg_track_source('plain');
SELECT id_column FROM batchagg_sources WHERE source = 'public.plain';
-- ... if it is one and the same; those for everything need none.
SELECT batchagg_create_job('EVERYHOUR', '*', 'plain', '{day}', '{"v": "sum"}') AS job \gset
SELECT batchagg_track_source('plain');
SELECT id_column FROM batchagg_sources WHERE source = 'public.plain';
SELECT batchagg_create_job('EVERYHOUR', 'v', 'plain', '{day}', '{"v": "sum"}', validate => false) AS job \gset
SELECT batchagg_track_source('plain');
SELECT id_column FROM batchagg_sources WHERE source = 'public.plain';
-- What mappings say
INSERT INTO metricsandtables (metricname, tablename, id_column, time_column) VALUES ('v', 'timeless', 'user_id', 'b');
SELECT batchagg_track_source('timeless');
SELECT time_column, id_column FROM batchagg_sources WHERE source = 'public.timeless';
SELECT batchagg_create_job('EVERYHOUR', 'thing', 'timeless', '{day}', '{"v": "sum"}') AS job \gset
SELECT batchagg_track_source('timeless');
SELECT time_column, id_column FROM batchagg_sources WHERE source = 'public.timeless';
INSERT INTO metricsandtables (metricname, tablename, id_column, time_column) VALUES ('w', 'timeless', 'user_id', 'a');
SELECT batchagg_track_source('timeless');
-- An id of a type that marks cannot have
ALTER TABLE odd_ids ADD v integer;
SELECT batchagg_create_job('EVERYHOUR', 'n', 'odd_ids', '{day}', '{"v": "sum"}', 'odd_ids', validate => false) AS job \gset
UPDATE metricsandtables SET id_column = 'n' WHERE tablename = 'public.odd_ids';
SELECT batchagg_track_source('odd_ids');
SELECT time_column, id_column FROM batchagg_sources WHERE source = 'public.odd_ids';
DELETE FROM batch_jobs;
DELETE FROM metricsandtables;
SELECT batchagg_untrack_source('odd_ids'), batchagg_untrack_source('timeless'), batchagg_untrack_source('plain');
SELECT count(*) FROM batchagg_sources;

--
-- What is marked
--
CREATE TABLE visit (user_id integer, ts timestamptz, pages integer, PRIMARY KEY (user_id, ts));
INSERT INTO visit VALUES (9, '2024-01-01', 1);
SELECT batchagg_track_source('visit', id_column => 'user_id');
SELECT source, mode, time_column, id_column, xid_column FROM batchagg_sources;
SELECT low, high FROM batchagg_leaves;
SELECT tgname, tgenabled, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'visit'::regclass ORDER BY tgname;
-- All that is there already
:marks
-- By hours, inclusive, with the entities
INSERT INTO visit VALUES (1, '2024-01-01 10:10', 1);
:marks
INSERT INTO visit VALUES (1, '2024-01-01 10:11', 1), (2, '2024-01-01 10:40', 1), (1, '2024-01-01 10:05', 1),
	(3, '2024-01-01 12:00', 1), (3, '2024-01-01 11:59:59.999999', 1), (4, '1999-12-31 23:30', 1), (4, '0044-03-15 BC', 1);
:marks
-- Before and after
UPDATE visit SET ts = ts + interval '1 day', user_id = 30 WHERE user_id = 3 AND ts = '2024-01-01 12:00';
:marks
UPDATE visit SET pages = 2 WHERE user_id = 2;
:marks
DELETE FROM visit WHERE user_id = 30;
:marks
COPY visit FROM stdin;
5	2024-02-01 00:10	1
6	2024-02-01 00:20	1
\.
:marks
INSERT INTO visit VALUES (5, '2024-02-01 00:10', 1) ON CONFLICT DO NOTHING;
:marks
INSERT INTO visit VALUES (5, '2024-02-01 00:10', 1) ON CONFLICT (user_id, ts) DO UPDATE SET ts = '2024-02-01 05:00';
:marks
MERGE INTO visit v USING (VALUES (5, 'delete'), (6, 'update'), (7, 'insert')) AS s (id, what) ON v.user_id = s.id
WHEN MATCHED AND what = 'delete' THEN DELETE
WHEN MATCHED THEN UPDATE SET ts = '2024-02-02'
WHEN NOT MATCHED THEN INSERT VALUES (s.id, '2024-02-03', 1);
:marks
-- Statements that do nothing, and those that are undone
UPDATE visit SET pages = 1 WHERE user_id = -1;
BEGIN;
INSERT INTO visit VALUES (1, '2024-03-01', 1);
ROLLBACK;
INSERT INTO visit VALUES (1, '2024-03-01', 1), (1, '2024-03-01', 1);
SELECT count(*) FROM batchagg_marks;
-- All by the transaction's own id, also in savepoints; what is rolled back there may be marked.
BEGIN;
INSERT INTO visit VALUES (1, '2024-03-01 01:00', 1);
SAVEPOINT a;
INSERT INTO visit VALUES (2, '2024-03-01 02:00', 1);
SAVEPOINT b;
INSERT INTO visit VALUES (3, '2024-03-01 03:00', 1);
RELEASE b;
ROLLBACK TO a;
INSERT INTO visit VALUES (4, '2024-03-01 04:00', 1);
SELECT pg_current_xact_id() AS xid \gset
SELECT count(*) AS before_commit FROM batchagg_marks;
COMMIT;
SELECT count(*) AS at_commit, bool_and(xid = :'xid') AS by_xid,
	count(*) FILTER (WHERE ids IN ('{1}', '{4}')) AS of_committed
FROM batchagg_marks;
DELETE FROM batchagg_marks;
-- Triggers see rows as they are stored; writes of triggers, functions and foreign keys count.
CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.ts := NEW.ts + interval '1 day'; RETURN NEW; END $$;
CREATE TRIGGER later BEFORE INSERT ON visit FOR EACH ROW EXECUTE FUNCTION later();
INSERT INTO visit VALUES (1, '2024-04-01', 1);
:marks
DROP TRIGGER later ON visit;
CREATE TABLE person (user_id integer PRIMARY KEY);
INSERT INTO person SELECT DISTINCT user_id FROM visit;
ALTER TABLE visit ADD FOREIGN KEY (user_id) REFERENCES person ON DELETE CASCADE ON UPDATE CASCADE;
DELETE FROM person WHERE user_id = 9;
:marks
UPDATE person SET user_id = 70 WHERE user_id = 7;
:marks
DROP TABLE person CASCADE;
-- Triggers of replicas only are off, and ours are not.
SET session_replication_role = replica;
INSERT INTO visit VALUES (8, '2024-05-01', 1);
RESET session_replication_role;
:marks

--
-- Who writes
--
GRANT INSERT ON visit TO regress_batchagg_writer;
ALTER TABLE visit ENABLE ROW LEVEL SECURITY;
CREATE POLICY inserts ON visit FOR INSERT WITH CHECK (user_id < 1000);
CREATE VIEW door WITH (security_invoker = false) AS SELECT * FROM visit WHERE pages > 0;
CREATE FUNCTION back_door() RETURNS void LANGUAGE sql SECURITY DEFINER AS
$$ DELETE FROM visit WHERE user_id = 100 $$;
GRANT INSERT, UPDATE, DELETE, SELECT ON door TO regress_batchagg_writer;
CREATE ROLE regress_batchagg_stranger;
GRANT INSERT, UPDATE, DELETE, SELECT ON door TO regress_batchagg_stranger;
SET ROLE regress_batchagg_writer;
INSERT INTO visit VALUES (100, '2024-06-01', 1);
INSERT INTO visit VALUES (1000, '2024-06-02', 1);
RESET ROLE;
:marks
SET ROLE regress_batchagg_stranger;
UPDATE door SET pages = 5 WHERE user_id = 100;
RESET ROLE;
:marks
SET ROLE regress_batchagg_stranger;
SELECT back_door();
RESET ROLE;
:marks
-- Nobody leaves marks without writing.
SELECT source_id AS id FROM batchagg_sources \gset
SET ROLE regress_batchagg_stranger;
SELECT batchagg_note(:id, now()), batchagg_note(:id, '2024-01-01'::date, 7), batchagg_note(:id, now()::timestamp, 'x'::text),
	batchagg_note_unstamped(:id, NULL, now()), batchagg_note_unstamped(:id, '1', now(), 7);
SELECT batchagg_note(id, ts) FROM (VALUES (:id, now()), (NULL, now()), (-1, now()), (:id, NULL)) v (id, ts);
BEGIN;
LOCK TABLE visit IN ROW EXCLUSIVE MODE;
ROLLBACK;
SELECT batchagg_note(:id, 7);
SELECT batchagg_note(:id, now(), 7.5);
SELECT batchagg_note(:id, '2024-01-01');
CREATE TEMPORARY TABLE mine (ts timestamptz);
CREATE TRIGGER mine AFTER INSERT ON mine FOR EACH ROW WHEN (batchagg_note(1, NEW.ts)) EXECUTE FUNCTION batchagg_mark();
INSERT INTO mine VALUES (now());
CREATE TRIGGER mine_too AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION batchagg_mark();
INSERT INTO mine VALUES (now());
DROP TABLE mine;
RESET ROLE;
:marks
-- Who may write may do so before or after.
SET ROLE regress_batchagg_writer;
BEGIN;
SELECT batchagg_note(:id, '2024-07-01'::timestamptz);
INSERT INTO visit VALUES (101, '2024-08-01', 1);
COMMIT;
RESET ROLE;
:marks
ALTER TABLE visit DISABLE ROW LEVEL SECURITY;
DROP FUNCTION back_door;
DROP VIEW door;

--
-- Tracking again, tracking no more
--
SELECT batchagg_track_source('visit');
SELECT source_id = :id AS same, mode, time_column, id_column FROM batchagg_sources;
:marks
INSERT INTO visit VALUES (1, '2024-09-01', 1);
:marks
-- Columns change between two rows of a transaction.
BEGIN;
INSERT INTO visit VALUES (1, '2024-09-02', 1);
SELECT batchagg_track_source('visit', id_column => 'pages');
INSERT INTO visit VALUES (2, '2024-09-02', 77);
COMMIT;
:marks
-- In one transaction
BEGIN;
INSERT INTO visit VALUES (1, '2024-09-03', 1);
SELECT batchagg_untrack_source('visit');
COMMIT;
SELECT count(*) FROM batchagg_marks;
SELECT count(*) FROM batchagg_leaves;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'visit'::regclass AND tgname ~ 'batchagg';
INSERT INTO visit VALUES (1, '2024-09-04', 1);
SELECT count(*) FROM batchagg_marks;
BEGIN;
SELECT batchagg_track_source('visit');
INSERT INTO visit VALUES (1, '2024-09-05', 1);
SAVEPOINT a;
SELECT batchagg_untrack_source('visit');
ROLLBACK TO a;
COMMIT;
:marks
-- A table that has another name for a while
ALTER TABLE visit RENAME TO visit_2;
INSERT INTO visit_2 VALUES (1, '2024-09-06', 1);
:marks
ALTER TABLE visit_2 RENAME TO visit;
SELECT batchagg_settle_source('visit');
-- ... or for good: that is another source, and the old one is forgotten in time.
ALTER TABLE visit RENAME TO visit_2;
CREATE TABLE visit (user_id integer, ts timestamptz, pages integer);
INSERT INTO visit VALUES (1, '2024-09-07', 1);
INSERT INTO visit_2 VALUES (1, '2024-09-07', 1);
:marks
SELECT batchagg_settle_source('visit');
SELECT batchagg_settle_source('visit_2');
DROP TABLE visit;
:marks
SELECT batchagg_track_source('visit_2', id_column => 'user_id');
SELECT source, id_column FROM batchagg_sources;
:marks
INSERT INTO visit_2 VALUES (1, '2024-09-08', 1);
:marks
-- Two that swap their names
CREATE TABLE other (user_id integer, ts timestamptz, pages integer);
SELECT batchagg_track_source('other');
DELETE FROM batchagg_marks;
ALTER TABLE other RENAME TO third;
ALTER TABLE visit_2 RENAME TO other;
ALTER TABLE third RENAME TO visit_2;
INSERT INTO other VALUES (1, '2024-09-10', 1);
INSERT INTO visit_2 VALUES (1, '2024-09-11', 1);
:marks
SELECT batchagg_settle_source('other');
SELECT batchagg_track_source('other'), batchagg_track_source('visit_2');
DELETE FROM batchagg_marks;
INSERT INTO other VALUES (1, '2024-09-12', 1);
INSERT INTO visit_2 VALUES (1, '2024-09-13', 1);
:marks
SELECT batchagg_untrack_source('visit_2'), batchagg_untrack_source('other');
DROP TABLE visit_2, other;

--
-- Names, times and ids of all kinds
--
CREATE SCHEMA "Odd ""schema";
CREATE TABLE "Odd ""schema"."The 'table" ("the "" id" text, "When?" timestamp, "select" integer);
SELECT batchagg_track_source('"Odd ""schema"."The ''table"', id_column => 'the " id');
INSERT INTO "Odd ""schema"."The 'table" VALUES ('a ''quoted" {,}', '2024-01-01 12:30', 1), (NULL, '2024-01-01 12:31', 1),
	('', '2024-01-01 12:32', 1), ('x', NULL, 1), ('x', 'infinity', 1), ('x', '-infinity', 1), (NULL, '2024-01-01 15:00', 1);
SELECT batchagg_settle_source('"Odd ""schema"."The ''table"') IS NULL AS fine;
:marks
UPDATE "Odd ""schema"."The 'table" SET "When?" = NULL WHERE "When?" = '2024-01-01 12:30';
UPDATE "Odd ""schema"."The 'table" SET "When?" = '2024-01-02 12:30' WHERE "When?" = 'infinity';
:marks
ALTER SCHEMA "Odd ""schema" RENAME TO odd;
INSERT INTO odd."The 'table" VALUES ('z', '2024-01-01', 1);
:marks
DROP SCHEMA odd CASCADE;
-- Local times are kept as they are written, whatever the session's time zone.
SET timezone = 'America/New_York';
CREATE DOMAIN day_of_life AS date;
CREATE DOMAIN key_of_life AS uuid;
CREATE TABLE days (k key_of_life, d day_of_life);
SELECT batchagg_track_source('days', id_column => 'k');
INSERT INTO days VALUES ('12345678-1234-1234-1234-1234567890ab', '2024-07-04'), (NULL, 'infinity'), (NULL, NULL),
	(NULL, '294276-12-31'), (NULL, '5874897-12-31');
SET timezone = 'UTC';
:marks
DROP TABLE days;
CREATE TABLE shorts (id smallint, ts timestamptz); CREATE TABLE longs (id bigint, ts timestamptz);
CREATE TABLE varchars (id varchar(5), ts timestamptz); CREATE TABLE texts (id text COLLATE "C", ts timestamptz);
SELECT batchagg_track_source(t, id_column => 'id') FROM unnest('{shorts,longs,varchars,texts}'::regclass[]) t;
DELETE FROM batchagg_marks;
INSERT INTO shorts VALUES (-32768, '2024-01-01'), (32767, '2024-01-01');
INSERT INTO longs VALUES (-9223372036854775808, '2024-01-01'), (9223372036854775807, '2024-01-01'), (0, '2024-01-01');
INSERT INTO varchars VALUES ('abc', '2024-01-01'), ('abc ', '2024-01-01'), ('ABC', '2024-01-01');
-- Long ids are of no use, but those that are compressed only may be short.
INSERT INTO texts VALUES (repeat('x', 255), '2024-01-01 01:00'), (repeat('x', 256), '2024-01-01 02:00'), (repeat('y', 5000000), '2024-01-01 03:00');
SELECT source, to_char(low, 'HH24') AS hour, CASE WHEN length(ids[1]) > 20 THEN ARRAY[length(ids[1])::text] ELSE (SELECT array_agg(i ORDER BY i COLLATE "C") FROM unnest(ids) i) END AS ids
FROM batchagg_marks JOIN batchagg_sources USING (source_id) ORDER BY 1, 2;
DELETE FROM batchagg_marks;
-- Up to 100 entities an hour
INSERT INTO longs SELECT i, '2024-01-01'::timestamptz + i % 5 * interval '10 minutes' FROM generate_series(1, 100) i;
INSERT INTO longs SELECT i % 100, '2024-01-02'::timestamptz + i % 5 * interval '10 minutes' FROM generate_series(1, 1000) i;
INSERT INTO longs SELECT i, '2024-01-03'::timestamptz + i % 5 * interval '10 minutes' FROM generate_series(1, 101) i;
INSERT INTO longs SELECT i % 101, '2024-01-04'::timestamptz + i % 101 / 90 * interval '1 hour' FROM generate_series(1, 1010) i;
SELECT low, high, cardinality(ids), (SELECT count(DISTINCT i) FROM unnest(ids) i) FROM batchagg_marks ORDER BY low;
DELETE FROM batchagg_marks;
-- Up to 4096 hours, then two by two; no row is outside of the marks, nor any entity.
INSERT INTO longs SELECT i % 7, '2024-01-01'::timestamptz + i * interval '1 hour' FROM generate_series(0, 4095) i;
SELECT count(*), min(low), max(high), max(high - low) = '0' AS moments, min(cardinality(ids)), max(cardinality(ids)) FROM batchagg_marks;
DELETE FROM batchagg_marks;
TRUNCATE longs;
INSERT INTO longs SELECT i % 90, '1969-12-20'::timestamptz + i * interval '1 hour 5 minutes' FROM generate_series(0, 6400) i ORDER BY (i * 997) % 6401;
SELECT count(*) BETWEEN 2049 AND 4096 AS bounded, min(low), max(high), max(high - low) < interval '2 hours' AS two_by_two, count(*) FILTER (WHERE ids IS NULL) AS any FROM batchagg_marks;
SELECT count(*) AS not_marked FROM longs l WHERE NOT EXISTS (SELECT FROM batchagg_marks WHERE ts BETWEEN low AND high AND l.id::text = ANY (ids));
SELECT count(*) AS marked_twice FROM batchagg_marks a JOIN batchagg_marks b ON a.ctid < b.ctid AND a.low <= b.high AND b.low <= a.high;
SELECT count(*) AS for_nothing FROM batchagg_marks CROSS JOIN unnest(ids) i WHERE NOT EXISTS (SELECT FROM longs l WHERE l.id::text = i AND ts BETWEEN low AND high);
DELETE FROM batchagg_marks;
-- From one end of time to the other
TRUNCATE longs;
INSERT INTO longs SELECT 1, '4713-01-01 BC'::timestamptz + i * interval '62 years' FROM generate_series(0, 4800) i;
INSERT INTO longs VALUES (1, '294276-12-31 23:59:59.999999'), (1, '4714-11-24 00:00:00+00 BC');
SELECT count(*) <= 4097 AS bounded, min(low), max(high) FROM batchagg_marks;
SELECT count(*) AS not_marked FROM longs WHERE NOT EXISTS (SELECT FROM batchagg_marks WHERE ts BETWEEN low AND high);
DELETE FROM batchagg_marks;
DROP TABLE shorts, longs, varchars, texts;

--
-- Partitions
--
CREATE TABLE p (region integer, ts timestamptz, user_id integer) PARTITION BY RANGE (ts);
CREATE TABLE p_jan PARTITION OF p FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE p_feb PARTITION OF p FOR VALUES FROM ('2024-02-01') TO ('2024-03-01') PARTITION BY LIST (region);
CREATE TABLE p_feb_1 (user_id integer, gone text, region integer, ts timestamptz);
ALTER TABLE p_feb_1 DROP gone;
ALTER TABLE p_feb ATTACH PARTITION p_feb_1 FOR VALUES IN (1);
SELECT batchagg_track_source('p', id_column => 'user_id');
SELECT low, high FROM batchagg_leaves ORDER BY low;
DELETE FROM batchagg_marks;
INSERT INTO p VALUES (1, '2024-01-15', 1), (1, '2024-02-15', 2);
INSERT INTO p_jan VALUES (1, '2024-01-16', 3);
INSERT INTO p_feb_1 (user_id, region, ts) VALUES (4, 1, '2024-02-16');
:marks
UPDATE p SET ts = ts + interval '1 month', user_id = 30 WHERE user_id = 3;
:marks
GRANT INSERT ON p_jan TO regress_batchagg_writer;
SET ROLE regress_batchagg_writer;
INSERT INTO p_jan VALUES (1, '2024-01-17', 5);
RESET ROLE;
:marks
SELECT batchagg_settle_source('p');
:marks
-- Under another name, too, in old partitions
ALTER TABLE p RENAME TO q;
INSERT INTO q VALUES (1, '2024-01-19', 1);
SET ROLE regress_batchagg_writer;
INSERT INTO p_jan VALUES (1, '2024-01-20', 1);
RESET ROLE;
ALTER TABLE q RENAME TO p;
:marks
-- Partitions that come and go mark the times that they hold.
CREATE TABLE p_mar PARTITION OF p FOR VALUES FROM ('2024-03-01') TO ('2024-04-01');
INSERT INTO p VALUES (1, '2024-03-15', 1);
:marks
SELECT batchagg_settle_source('p');
:marks
SELECT batchagg_settle_source('p');
:marks
CREATE TABLE p_feb_2 PARTITION OF p_feb FOR VALUES IN (2);
SELECT batchagg_settle_source('p');
:marks
CREATE TABLE p_old PARTITION OF p FOR VALUES FROM (MINVALUE) TO ('2023-01-01');
CREATE TABLE p_new PARTITION OF p FOR VALUES FROM ('2025-01-01') TO (MAXVALUE);
SELECT batchagg_settle_source('p');
:marks
ALTER TABLE p DETACH PARTITION p_jan;
INSERT INTO p_jan VALUES (1, '2024-01-18', 5);
:marks
SELECT batchagg_settle_source('p');
:marks
ALTER TABLE p ATTACH PARTITION p_jan FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
SELECT batchagg_settle_source('p');
:marks
-- Detached and attached in between
ALTER TABLE p DETACH PARTITION p_jan;
ALTER TABLE p ATTACH PARTITION p_jan FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
SELECT batchagg_settle_source('p');
:marks
DROP TABLE p_mar;
SELECT batchagg_settle_source('p');
:marks
TRUNCATE p_feb;
SELECT batchagg_settle_source('p');
:marks
CREATE TABLE p_rest PARTITION OF p DEFAULT;
SELECT batchagg_settle_source('p');
:marks
CREATE FOREIGN TABLE p_mar PARTITION OF p FOR VALUES FROM ('2024-03-01') TO ('2024-04-01') SERVER regress_batchagg_server;
SELECT batchagg_settle_source('p');
DROP FOREIGN TABLE p_mar;
SELECT batchagg_settle_source('p');
ALTER TABLE p_jan SET UNLOGGED;
SELECT batchagg_settle_source('p');
ALTER TABLE p_jan SET LOGGED;
SELECT batchagg_settle_source('p');
:marks
-- One partition's trigger is off.
ALTER TABLE p_feb_1 DISABLE TRIGGER batchagg_mark_update;
SELECT batchagg_settle_source('p');
:marks
ALTER TABLE p_feb_1 ENABLE TRIGGER batchagg_mark_update;
SELECT batchagg_settle_source('p');
ALTER TABLE p_feb_1 ENABLE ALWAYS TRIGGER batchagg_mark_update;
SELECT batchagg_settle_source('p');
:marks
-- As new tables, all is as before.
SELECT batchagg_untrack_source('p');
SELECT count(*) FROM pg_trigger WHERE tgname ~ '^batchagg_mark_(insert|update)';
INSERT INTO p VALUES (1, '2024-01-20', 1);
:marks
DROP TABLE p;
-- Ranges of something else, or of more than the time
CREATE TABLE by_id (user_id integer, ts timestamptz) PARTITION BY RANGE (user_id, ts);
CREATE TABLE by_id_1 PARTITION OF by_id FOR VALUES FROM (1, '2024-01-01') TO (2, '2024-01-01');
CREATE TABLE by_both (user_id integer, ts date) PARTITION BY RANGE (ts, user_id);
CREATE TABLE by_both_1 PARTITION OF by_both FOR VALUES FROM ('2024-01-01', MINVALUE) TO ('2024-01-31', 5);
CREATE TABLE by_month (user_id integer, ts timestamp) PARTITION BY RANGE (date_trunc('month', ts));
CREATE TABLE by_month_1 PARTITION OF by_month FOR VALUES FROM ('2024-01-01') TO ('2024-01-01 00:01');
SELECT batchagg_track_source('by_id'), batchagg_track_source('by_both'), batchagg_track_source('by_month');
SELECT s.source, l.low, l.high FROM batchagg_leaves l JOIN batchagg_sources s USING (source_id) ORDER BY 1;
INSERT INTO by_both VALUES (4, '2024-01-31');
INSERT INTO by_month VALUES (4, '2024-01-31 13:14');
DELETE FROM batchagg_marks WHERE low = '-infinity';
:marks
TRUNCATE by_both;
SELECT batchagg_settle_source('by_both');
:marks
DROP TABLE by_id, by_both, by_month;

--
-- Whether tracking is whole
--
CREATE TABLE whole (user_id integer, ts timestamptz, pages integer);
SELECT batchagg_track_source('whole', id_column => 'user_id');
DELETE FROM batchagg_marks;
SELECT batchagg_settle_source('whole');
:marks
TRUNCATE whole;
SELECT batchagg_settle_source('whole');
:marks
VACUUM FULL whole;
SELECT batchagg_settle_source('whole');
:marks
ALTER TABLE whole ALTER pages TYPE bigint;
SELECT batchagg_settle_source('whole');
:marks
-- What does no harm
ALTER TABLE whole ADD note text DEFAULT 'x';
CREATE INDEX ON whole (ts);
ANALYZE whole;
VACUUM whole;
CREATE TRIGGER zzz BEFORE INSERT ON whole FOR EACH ROW EXECUTE FUNCTION nothing();
ALTER TABLE whole DISABLE TRIGGER zzz;
SELECT batchagg_settle_source('whole');
:marks
-- The type of a column that is noted stays.
ALTER TABLE whole ALTER ts TYPE timestamp;
ALTER TABLE whole DROP ts;
-- Triggers
ALTER TABLE whole DISABLE TRIGGER batchagg_mark_delete;
SELECT batchagg_settle_source('whole');
:marks
DELETE FROM whole;
ALTER TABLE whole ENABLE ALWAYS TRIGGER batchagg_mark_delete;
SELECT batchagg_settle_source('whole');
:marks
-- ... off and on again, as fast as can be
BEGIN;
ALTER TABLE whole DISABLE TRIGGER batchagg_mark_insert;
INSERT INTO whole VALUES (1, '2024-01-01', 1);
ALTER TABLE whole ENABLE ALWAYS TRIGGER batchagg_mark_insert;
COMMIT;
SELECT batchagg_settle_source('whole');
:marks
ALTER TABLE whole ENABLE REPLICA TRIGGER batchagg_mark_insert;
SELECT batchagg_settle_source('whole');
ALTER TABLE whole DISABLE TRIGGER ALL;
SELECT batchagg_settle_source('whole');
DROP TRIGGER batchagg_mark_insert ON whole;
SELECT batchagg_settle_source('whole');
SELECT batchagg_track_source('whole', id_column => 'user_id');
SELECT batchagg_settle_source('whole');
:marks
-- ... that are not what they seem
SELECT source_id AS id FROM batchagg_sources WHERE source = 'public.whole' \gset
CREATE FUNCTION batchagg_note_not(integer, timestamptz, integer) RETURNS boolean LANGUAGE sql RETURN false;
CREATE SCHEMA fake;
CREATE FUNCTION fake.batchagg_note(integer, timestamptz, integer) RETURNS boolean LANGUAGE sql RETURN false;
CREATE FUNCTION pg_temp.try_trigger(definition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE 'DROP TRIGGER IF EXISTS batchagg_mark_insert ON whole';
	EXECUTE 'CREATE TRIGGER batchagg_mark_insert ' || definition || ' EXECUTE FUNCTION batchagg_mark()';
	EXECUTE 'ALTER TABLE whole ENABLE ALWAYS TRIGGER batchagg_mark_insert';
	SELECT batchagg_settle_source('whole') INTO answer;
	RETURN coalesce(answer, 'fine');
END $$;
SELECT pg_temp.try_trigger(d) FROM unnest(ARRAY[
	'AFTER INSERT ON whole FOR EACH ROW',
	'AFTER INSERT ON whole FOR EACH ROW WHEN (false)',
	'AFTER INSERT ON whole FOR EACH STATEMENT',
	'BEFORE INSERT ON whole FOR EACH ROW WHEN (batchagg_note(' || :id || ', NEW.ts, NEW.user_id))',
	'AFTER INSERT OR DELETE ON whole FOR EACH ROW',
	'AFTER INSERT ON whole FOR EACH ROW WHEN (batchagg_note(' || :id + 1 || ', NEW.ts, NEW.user_id))',
	'AFTER INSERT ON whole FOR EACH ROW WHEN (batchagg_note(' || :id || ', NEW.ts, NEW.pages))',
	'AFTER INSERT ON whole FOR EACH ROW WHEN (batchagg_note(' || :id || ', NEW.ts))',
	'AFTER INSERT ON whole FOR EACH ROW WHEN (batchagg_note(' || :id || ', NEW.ts + ''1 day'', NEW.user_id))',
	'AFTER INSERT ON whole FOR EACH ROW WHEN (batchagg_note(' || :id || ', now(), NEW.user_id))',
	'AFTER INSERT ON whole FOR EACH ROW WHEN (batchagg_note(NEW.user_id, NEW.ts, NEW.user_id))',
	'AFTER INSERT ON whole FOR EACH ROW WHEN (NEW.pages > 1 AND batchagg_note(' || :id || ', NEW.ts, NEW.user_id))',
	'AFTER INSERT ON whole FOR EACH ROW WHEN (batchagg_note_not(' || :id || ', NEW.ts, NEW.user_id))',
	'AFTER INSERT ON whole FOR EACH ROW WHEN (fake.batchagg_note(' || :id || ', NEW.ts, NEW.user_id))',
	'AFTER INSERT ON whole FOR EACH ROW WHEN (batchagg_note(' || :id || ', NEW.ts, NEW.user_id))']) WITH ORDINALITY t (d, n) ORDER BY n;
:marks
CREATE OR REPLACE TRIGGER batchagg_mark_update AFTER UPDATE OF ts ON whole FOR EACH ROW
	WHEN (batchagg_note(1, OLD.ts, OLD.user_id)) EXECUTE FUNCTION batchagg_mark();
SELECT batchagg_settle_source('whole');
SELECT batchagg_track_source('whole', id_column => 'user_id');
SELECT batchagg_settle_source('whole');
DROP FUNCTION batchagg_note_not;
DROP SCHEMA fake CASCADE;
-- Columns
DELETE FROM batchagg_marks;
ALTER TABLE whole RENAME ts TO at;
SELECT batchagg_settle_source('whole');
ALTER TABLE whole ADD ts timestamptz;
SELECT batchagg_settle_source('whole');
ALTER TABLE whole DROP ts;
ALTER TABLE whole RENAME at TO ts;
SELECT batchagg_settle_source('whole');
:marks
ALTER TABLE whole RENAME user_id TO uid;
SELECT batchagg_settle_source('whole');
ALTER TABLE whole RENAME uid TO user_id;
-- Inheritance
CREATE TABLE whole_child () INHERITS (whole);
SELECT batchagg_settle_source('whole');
DROP TABLE whole_child;
SELECT batchagg_settle_source('whole');
:marks
-- Another table by that name
DROP TABLE whole;
CREATE TABLE whole (user_id integer, ts timestamptz, pages integer);
SELECT batchagg_settle_source('whole');
SELECT batchagg_track_source('whole', id_column => 'user_id');
SELECT source_id = :id AS same FROM batchagg_sources;
SELECT batchagg_settle_source('whole');
:marks
DROP TABLE whole;

--
-- Snapshot mode
--
CREATE TABLE log (user_id integer, ts timestamptz) WITH (fillfactor = 50);
INSERT INTO log VALUES (0, '2024-01-01');
SELECT pg_relation_filenode('log') AS file \gset
SELECT batchagg_track_source('log', 'snapshot', id_column => 'user_id');
SELECT pg_relation_filenode('log') = :file AS not_rewritten;
SELECT mode, time_column, id_column, xid_column FROM batchagg_sources WHERE source = 'public.log';
SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'log'::regclass ORDER BY tgname;
CREATE INDEX ON log (batchagg_xid);
SELECT batchagg_track_source('log', 'snapshot', id_column => 'user_id');
DELETE FROM batchagg_marks;
-- Rows that are inserted have their transaction's id, and need no mark.
BEGIN;
INSERT INTO log VALUES (1, '2024-01-01');
SAVEPOINT a;
INSERT INTO log (ts, user_id) VALUES ('2024-01-01', 2);
RELEASE a;
SELECT user_id, batchagg_xid IS NULL AS old, batchagg_xid = pg_current_xact_id() AS new FROM log ORDER BY 1;
COMMIT;
COPY log (user_id, ts) FROM stdin;
3	2024-01-01
\.
SELECT count(*) FROM log WHERE batchagg_xid IS NULL;
:marks
-- Those that have another, or none, do.
INSERT INTO log VALUES (4, '2024-01-04', '7');
:marks
INSERT INTO log VALUES (5, '2024-01-05', NULL);
:marks
INSERT INTO log VALUES (6, '2024-01-06', pg_current_xact_id());
:marks
COPY log FROM stdin;
7	2024-01-07	999999999999
\.
:marks
-- Other changes do as well.
UPDATE log SET ts = ts + interval '1 year' WHERE user_id = 3;
:marks
DELETE FROM log WHERE user_id IN (2, 5);
:marks
UPDATE log SET batchagg_xid = NULL WHERE user_id = 1;
:marks
-- Without its default the column has no ids, and all is marked.
ALTER TABLE log ALTER batchagg_xid DROP DEFAULT;
SELECT batchagg_settle_source('log');
INSERT INTO log VALUES (8, '2024-01-08');
:marks
ALTER TABLE log RENAME batchagg_xid TO elsewhere;
SELECT batchagg_settle_source('log');
ALTER TABLE log RENAME elsewhere TO batchagg_xid;
SELECT batchagg_settle_source('log');
-- To the other mode and back
SELECT batchagg_track_source('log');
DELETE FROM batchagg_marks;
INSERT INTO log VALUES (1, '2024-01-09');
:marks
SELECT mode, id_column, xid_column FROM batchagg_sources WHERE source = 'public.log';
SELECT batchagg_track_source('log', 'snapshot');
DELETE FROM batchagg_marks;
INSERT INTO log VALUES (1, '2024-01-10');
INSERT INTO log VALUES (1, '2024-01-11', NULL);
:marks
-- The column stays, unless it is to go.
SELECT batchagg_untrack_source('log');
SELECT attname FROM pg_attribute WHERE attrelid = 'log'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum;
SELECT batchagg_track_source('log', 'snapshot');
SELECT batchagg_untrack_source('log', drop_column => true);
SELECT attname FROM pg_attribute WHERE attrelid = 'log'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum;
SELECT batchagg_track_source('log');
SELECT batchagg_untrack_source('log', drop_column => true);
DROP TABLE log;
-- Partitions
CREATE TABLE p (user_id integer, ts timestamptz) PARTITION BY RANGE (ts);
CREATE TABLE p_jan PARTITION OF p FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
SELECT batchagg_track_source('p', 'snapshot', id_column => 'user_id');
CREATE TABLE p_feb PARTITION OF p FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
CREATE TABLE p_mar (user_id integer, ts timestamptz, batchagg_xid xid8);
ALTER TABLE p ATTACH PARTITION p_mar FOR VALUES FROM ('2024-03-01') TO ('2024-04-01');
SELECT batchagg_settle_source('p');
DELETE FROM batchagg_marks;
INSERT INTO p VALUES (1, '2024-01-01'), (2, '2024-02-01'), (3, '2024-03-01');
INSERT INTO p_jan VALUES (4, '2024-01-02');
INSERT INTO p_feb VALUES (5, '2024-02-02');
:marks
INSERT INTO p_mar VALUES (6, '2024-03-02');
:marks
UPDATE p SET ts = '2024-02-05' WHERE user_id = 1;
:marks
DROP TABLE p;

--
-- By its owner, with nobody else's rights
--
CREATE SCHEMA own AUTHORIZATION regress_batchagg_owner;
SET ROLE regress_batchagg_owner;
CREATE TABLE own.t (user_id integer, ts timestamptz);
SELECT batchagg_track_source('own.t', id_column => 'user_id');
INSERT INTO own.t VALUES (1, '2024-01-01');
SELECT batchagg_settle_source('own.t');
SELECT source, mode FROM batchagg_sources WHERE source = 'own.t';
RESET ROLE;
:marks
CREATE FUNCTION who() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '% as %', tg_tag, current_user; END $$;
CREATE EVENT TRIGGER regress_batchagg_who ON ddl_command_end EXECUTE FUNCTION who();
SET ROLE regress_batchagg_owner;
SELECT batchagg_track_source('own.t', 'snapshot', id_column => 'user_id');
SELECT batchagg_untrack_source('own.t', true);
RESET ROLE;
DROP EVENT TRIGGER regress_batchagg_who;
SET ROLE regress_batchagg_owner;
SELECT batchagg_track_source('own.t');
RESET ROLE;

-- Dropping the extension drops its triggers.
DROP EXTENSION batchagg;
SELECT tgname FROM pg_trigger WHERE tgrelid = 'own.t'::regclass;
INSERT INTO own.t VALUES (2, '2024-01-02');
DROP SCHEMA own CASCADE;
DROP TABLE taken, parted, plain, timeless, odd_ids, a_parent, an_unlogged CASCADE;
DROP FUNCTION who, later, nothing;
DROP DOMAIN day_of_life, key_of_life;
DROP COLLATION regress_batchagg_ci;
DROP SEQUENCE a_sequence;
DROP FOREIGN DATA WRAPPER regress_batchagg_fdw CASCADE;
DROP ROLE regress_batchagg_owner, regress_batchagg_writer, regress_batchagg_stranger;
