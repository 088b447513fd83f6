-- Beginners' mistakes, each with what was meant, and the whole message that it gets.
-- What bad_input.sql has is not repeated here.

-- What an interrupted run may have left.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_novice, regress_batchagg_expert;
RESET client_min_messages;
CREATE EXTENSION batchagg;
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
CREATE TABLE shop_orders (customer_id integer, placed timestamptz, price float8, status text, "Region" text, paid boolean, size integer);
INSERT INTO shop_orders VALUES (1, '2024-10-07 09:00+00', 10, 'active', 'north', true, 3);

-- A job with one definition and one metric, for all that needs one.
CREATE FUNCTION make_job(source text, metric text, focal text DEFAULT 'customer', filter text DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
	job integer;
BEGIN
	INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR') RETURNING id INTO job;
	INSERT INTO batchjob_metrics (job_id, metric_name, aggregation_types) VALUES (job, metric, 'sum');
	INSERT INTO batchjob_definitions (job_id, focal_entity, entity, granularity, resource_filter)
	VALUES (job, focal, source, '1-hour', filter);
	RETURN job;
END $$;
SELECT make_job('shop_orders', 'price');
\set event 'INSERT INTO batch_jobs (event_name) VALUES '
\set granularity 'UPDATE batchjob_definitions SET granularity = '
\set aggregates 'UPDATE batchjob_metrics SET aggregation_types = '
\set zone 'UPDATE batchjob_definitions SET timezone = '
\set filter 'UPDATE batchjob_definitions SET resource_filter = '

--
-- When a job runs
--

-- 1. The word of other schedulers, not EVERYHOUR.
:event ('HOURLY');
\echo :LAST_ERROR_SQLSTATE
-- 2. Likewise, in lower case.
:event ('daily');
-- Likewise, misspelt.
:event ('hourely');
-- 3. An alias of cron that is not one.
:event ('@hour');
-- 4. In plain English.
:event ('every 5 minutes');
-- 5. Every 90 minutes: no event can do that, so none is proposed.
:event ('EVERY90MINUTES');
-- 6. A time of day alone.
:event ('8:30 pm');
-- 7. A day of the week.
:event ('EVERYMONDAY');
-- 8. The abbreviation that clocks show in summer.
:event ('EVERYDAY8AMCEST');
-- The one that they show in winter is a time zone, all the year round.
-- The zone data of some systems lack it.
\set ECHO none
SELECT count(*) > 0 AS has_est FROM pg_timezone_names WHERE name = 'EST' \gset
\if :has_est
:event ('EVERYDAY8AMEST');
\else
\echo 'NOTICE:  time zone "EST" has no daylight saving time'
\echo 'HINT:  Use "America/New_York" for the civil time.'
SELECT nextval(pg_get_serial_sequence('batch_jobs', 'id')) AS id_of_the_job \gset
\endif
\set ECHO all
-- 9. A city.
:event ('EVERYDAY8AMBerlin');
-- 10. Working days.
:event ('weekdays');
-- 11. Something that nothing is like.
:event ('sometimes');
-- 12. Six fields, as some schedulers have them.
:event ('0 30 8 * * *');
-- 13. A schedule in words for an event of one's own.
INSERT INTO batchagg_events (event_name, schedule) VALUES ('LUNCH', 'daily at noon');
-- 14. A policy for missed runs that there is not.
INSERT INTO batch_jobs (event_name, missed_runs) VALUES ('EVERYHOUR', 'all');
-- 15. No limit of time.
INSERT INTO batch_jobs (event_name, job_timeout) VALUES ('EVERYHOUR', 0);

--
-- What it computes
--

-- 16. Short for an hour.
:granularity '1h';
\echo :LAST_ERROR_SQLSTATE
-- 17. An adverb.
:granularity 'daily';
-- 18. Finer than there is.
:granularity '30s';
-- 19. A slip of the fingers.
:granularity '15-mintues';
-- 20. Other names of aggregates.
:aggregates 'average';
\echo :LAST_ERROR_SQLSTATE
:aggregates 'count distinct';
:aggregates 'sum,stdev';
:aggregates 'avg()';
-- 21. Other names of percentiles.
:aggregates '95';
:aggregates 'p99.9';
:aggregates 'percentile_cont(0.5)';
-- 22. The percentile at the end.
:aggregates 'p100';
-- 23. Blanks, or semicolons, for commas.
:aggregates 'sum avg';
:aggregates 'sum;avg';
-- 24. Half of a JSON array.
:aggregates '["sum"';
-- 25. What nothing is like.
:aggregates 'mode';
-- 26. A city is a time zone's, mostly.
:zone 'Berlin';
:zone 'New York';
-- 27. An abbreviation.
:zone 'CEST';
-- 28. Rows of tomorrow, and results of none.
UPDATE batchjob_definitions SET job_delay = -24;
UPDATE batchjob_definitions SET results_retention = '-1 day';
UPDATE batchjob_definitions SET focal_entity = '';

--
-- Filters
--

-- 29. With the word WHERE.
:filter 'where status = ''active''';
\echo :LAST_ERROR_SQLSTATE
-- 30. With a semicolon.
:filter 'status = ''active'';';
-- 31. A whole query.
:filter 'SELECT * FROM shop_orders WHERE price > 10';
-- 32. Operators of other languages.
:filter 'status == ''active''';
:filter 'price > 10 && size = 1';
:filter 'price > 10 || size = 1';
:filter '!paid';
:filter 'price => 10';
:filter 'status = ''a || b'' && size = 1 AND "Region" = ''north''';
:filter 'size==-1';
-- Such operators as SQL has, too, are not what is wrong, nor are those in strings and comments.
:filter 'status != price';
:filter 'price !~ size';
:filter 'status !~ ''a'' AND AND paid';
:filter 'ARRAY[size] && ''{1}'' AND price =';
:filter 'status || ''x'' = ''ax'' OR OR paid';
:filter 'status = $$a == b$$ AND AND paid';
:filter 'status = E''it\''s || b'' OR OR paid';
:filter 'paid /* && */ AND AND paid';
:filter 'make_interval(days => size) > ''1 day'' AND AND paid';
:filter 'status || ''x'' = ''ax'' AND price = 1 = 2';
-- 33. Comparing with NULL.
:filter 'status = NULL';
:filter 'status != null';
:filter 'paid AND NOT (size = 1 OR NULL = size)';
-- Where the filter makes something of the NULL it is allowed.
:filter 'coalesce(size = NULL, true) OR CASE WHEN size <> NULL THEN false ELSE paid END OR (size = NULL) IS NULL';
-- 34. A string without quotes.
:filter 'status = active';
-- 35. A string in the quotes of a word processor.
:filter 'status = ‘active’';
-- 36. A column with capitals, without double quotes.
:filter 'Region = ''north''';
-- 37. The same in double quotes, but not as the column is written: it is a string.
:filter '"region" = ''north''';
-- 38. A misspelt column.
:filter 'stauts = ''active''';
-- 39. A number in place of a string.
:filter 'status = 1';
-- 40. A column that is no condition.
:filter 'status';
-- 41. A subquery, and an aggregate.
:filter 'size > (SELECT avg(size) FROM shop_orders)';
:filter 'count(*) > 10';
-- 42. The alias of a query.
:filter 'o.status = ''active''';
-- 43. A function of one's own without its schema.
CREATE FUNCTION is_large(integer) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT $1 > 10';
:filter 'is_large(size)';
-- 44. Two strings that were to be a column and a string.
:filter '"contry" = "de"';
:filter NULL;

--
-- Where it reads
--

-- 45. A misspelt table.
SELECT batchagg_run_job(make_job('shop_order', 'price'));
\echo :LAST_ERROR_SQLSTATE
-- 46. A table of another schema.
CREATE SCHEMA warehouse;
CREATE TABLE warehouse.deliveries (customer_id integer, ts timestamptz, weight float8);
SELECT batchagg_run_job(make_job('deliveries', 'weight'));
INSERT INTO metricsandtables (metricname, tablename) VALUES ('weight', 'deliveries');
DELETE FROM metricsandtables;
-- 47. A misspelt metric.
SELECT batchagg_run_job(make_job('shop_orders', 'prices'));
\echo :LAST_ERROR_SQLSTATE
-- 48. A metric that is stored as text.
SELECT batchagg_run_job(make_job('shop_orders', 'status'));
-- 49. The id is called otherwise.
SELECT batchagg_run_job(make_job('shop_orders', 'price', 'user'));
-- The id itself in place of what it is the id of: it is found by that too.
SELECT (batchagg_run_job(make_job('shop_orders', 'price', 'customer_id'))).status;
-- 50. Two columns could be the time.
CREATE TABLE trips (user_id integer, began timestamptz, ended timestamptz, km float8);
SELECT batchagg_run_job(make_job('trips', 'km', 'user'));
-- 51. The time is text.
CREATE TABLE imported (user_id integer, created_at text, km float8);
SELECT batchagg_run_job(make_job('imported', 'km', 'user'));
-- 52. The time is a number.
CREATE TABLE epochs (user_id integer, ts bigint, km float8);
SELECT batchagg_run_job(make_job('epochs', 'km', 'user'));
INSERT INTO metricsandtables (metricname, tablename, time_column) VALUES ('km', 'epochs', 'ts');
-- 53. There is no time at all.
CREATE TABLE timeless (user_id integer, km float8);
SELECT batchagg_run_job(make_job('timeless', 'km', 'user'));
-- 54. A metric is a row, in columns of unusual names.
CREATE TABLE readings (sensor_id integer, ts timestamptz, parameter text, reading float8);
SELECT batchagg_run_job(make_job('readings', 'temperature', 'sensor'));
INSERT INTO metricsandtables (metricname, tablename, layout) VALUES ('temperature', 'readings', 'row');
-- 55. A layout that there is not.
INSERT INTO metricsandtables (metricname, tablename, layout) VALUES ('temperature', 'readings', 'rows');
-- 56. A column that the table does not have.
INSERT INTO metricsandtables (metricname, tablename, id_column) VALUES ('price', 'shop_orders', 'custmer_id');

--
-- Runs
--

-- 57. A job that is not there.
SELECT batchagg_run_job(9999);
\echo :LAST_ERROR_SQLSTATE
SELECT batchagg_run_job('my job');
-- 58. A job that is disabled.
UPDATE batch_jobs SET enable_flag = false WHERE id = 1;
SELECT status FROM batchagg_run_job(1);
UPDATE batch_jobs SET enable_flag = true WHERE id = 1;
-- 59. In a transaction that only reads.
BEGIN READ ONLY;
SELECT status FROM batchagg_run_job(1);
ROLLBACK;
-- 60. A view whose functions find their tables by the search_path.
CREATE TABLE rates (currency text, rate float8);
CREATE FUNCTION rate_of(name text) RETURNS float8 STABLE LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT rate FROM rates WHERE currency = name); END';
CREATE VIEW converted AS SELECT customer_id, placed, price * rate_of('EUR') AS euros FROM shop_orders;
SELECT make_job('converted', 'euros') AS job \gset
SELECT status FROM batchagg_run_job(:job);
\echo :LAST_ERROR_SQLSTATE
ALTER FUNCTION rate_of SET search_path = public;
SELECT status FROM batchagg_run_job(:job);
-- 61. A value that no double can hold.  The error, and what is recorded, say whose it is; who listens for runs is told less.
CREATE TABLE measured (user_id text, ts timestamptz, n numeric);
INSERT INTO measured VALUES ('u1', '2024-10-07 09:05+00', 1), ('u2', '2024-10-07 10:05+00', '1e400');
SELECT make_job('measured', 'n', 'user') AS job \gset
SELECT status FROM batchagg_run_job(:job);
\echo :LAST_ERROR_SQLSTATE
DELETE FROM batch_jobs WHERE id <> :job;
SELECT status FROM batchagg_run_all();
SELECT error_sqlstate, error_message, error_detail FROM batchagg_runs WHERE job_id = :job;
SELECT last_error FROM batchagg_jobs WHERE job_id = :job;
-- 62. A value that is too near to zero for one is zero.
UPDATE measured SET n = '-1e-400' WHERE user_id = 'u2';
SELECT status FROM batchagg_run_job(:job);
SELECT entity_id, metric_value FROM RuleExecutionResults WHERE job_id = :job ORDER BY 1;
-- 63. An id that is a document.  The message is cut between characters.
INSERT INTO measured VALUES (repeat('€', 1000), '2024-10-07 09:05+00', 1);
SELECT status FROM batchagg_run_job(:job);
-- 64. Likewise in rows of several metrics: such a name is of no metric.
CREATE TABLE named (user_id integer, ts timestamptz, name text, value float8);
INSERT INTO named VALUES (1, '2024-10-07 09:05+00', 'load', 1), (1, '2024-10-07 09:05+00', repeat('€', 1000), 1);
SELECT status FROM batchagg_run_job(make_job('named', 'load', 'user'));
-- 65. Canceling a run that has ended.
SELECT batchagg_cancel(1);
-- 66. Backfilling in a transaction, and from the end to the beginning.
BEGIN;
CALL batchagg_backfill(:job);
ROLLBACK;
CALL batchagg_backfill(:job, '2024-10-08', '2024-10-07');
\echo :LAST_ERROR_SQLSTATE

--
-- Results
--

-- 67. Removing and changing results; there need not be any.
DELETE FROM RuleExecutionResults WHERE entity_id = 'u1';
\echo :LAST_ERROR_SQLSTATE
DELETE FROM RuleExecutionResults WHERE false;
UPDATE RuleExecutionResults SET metric_value = 0;
-- 68. Inserting results, and measurements without a time.
INSERT INTO RuleExecutionResults (job_id, entity_id, "timestamp", metric_name, metric_value) VALUES (1, 'u1', '2024-10-07', 'n', 1);
INSERT INTO RuleExecutionResults (entity_id, metric_name, metric_value) VALUES ('u1', 'n', 1);
\echo :LAST_ERROR_SQLSTATE

--
-- Tracking
--

-- 69. A mode that there is not, or that needs no tracking.
SELECT batchagg_track_source('measured', 'logs');
SELECT batchagg_track_source('measured', 'lookback');
SELECT batchagg_track_source('measured', 'full');
-- 70. What cannot be tracked.
SELECT batchagg_track_source('converted');
SELECT batchagg_track_source('timeless');
-- 71. Not knowing that mode snapshot adds a column.
SELECT batchagg_track_source('measured', 'snapshot');
-- 72. Ending what has not begun.
SELECT batchagg_untrack_source('measured', true);
SELECT batchagg_untrack_source('measured');

--
-- Functions
--

-- 73. Fewer than no runs.
SELECT batchagg_next_runs('EVERYHOUR', -1);
-- 74. A granularity, and an event, that are none.
SELECT batchagg_bucket('hourly', '2024-10-07 09:05+00');
SELECT batchagg_next_runs('monthly');

--
-- Rights
--

CREATE ROLE regress_batchagg_novice;
CREATE ROLE regress_batchagg_expert;
GRANT USAGE ON SCHEMA warehouse TO regress_batchagg_novice;
SET ROLE regress_batchagg_novice;
-- 75. A table of somebody else.
SELECT batchagg_run_job(make_job('warehouse.deliveries', 'weight'));
\echo :LAST_ERROR_SQLSTATE
-- 76. A job of somebody else: the message does not tell that there is one.
SELECT batchagg_run_job(:job);
-- 77. Tracking somebody else's table.
SELECT batchagg_track_source('warehouse.deliveries');
-- 78. A job for somebody else.
INSERT INTO batch_jobs (event_name, owner) VALUES ('EVERYHOUR', 'regress_batchagg_expert');
RESET ROLE;

DROP EXTENSION batchagg;
DROP TABLE shop_orders, trips, imported, epochs, timeless, readings, measured, named, rates CASCADE;
DROP SCHEMA warehouse CASCADE;
DROP FUNCTION make_job, rate_of, is_large;
DROP ROLE regress_batchagg_novice, regress_batchagg_expert;
