-- The expressions that pg_cron would get for events.  Its zone is GMT where it
-- is not loaded.  What needs the real pg_cron is in test/t/20-pg_cron.t.

-- What an interrupted run may have left.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_batchagg_cron;
RESET client_min_messages;

CREATE EXTENSION batchagg;

-- The grammar, in the zone of pg_cron.
SELECT event_name, batchagg_pg_cron_schedule(event_name) AS schedule
FROM unnest(ARRAY['EVERYMINUTE', 'EVERY15MINUTES', 'EVERYHOUR', 'EVERY6HOURS', 'EVERYHOURBYMIN10', 'EVERYDAY',
	'EVERYDAY8AM', 'EVERYWEEK', 'EVERYWEEKMON', 'EVERYWEEKSUNDAY6AM', 'EVERYMONTH', 'everyday1230pmutc', '@daily',
	'*/5 9-17 * * mon-fri', '0 12 */2 jan-mar *', '0 0 13 * fri']) event_name;

-- In other zones: all the hours that the clock's changes make of one, and the
-- days that they touch; minutes where offsets have some.
SELECT event_name, batchagg_pg_cron_schedule(event_name) AS schedule
FROM unnest(ARRAY['EVERYDAY8AMET', 'EVERYDAY8AMPT', 'EVERYDAY8AMIST', 'EVERYDAY8AMJST', 'EVERYWEEK8PMET',
	'EVERYWEEKMON9AMBST', 'EVERYWEEK12AMCET', 'EVERYDAY1AMCET', 'EVERYDAY230AMCET', 'EVERYDAY12AMAustralia/Lord_Howe',
	'EVERYDAY6AMAsia/Kathmandu', 'EVERYDAY6AMEtc/GMT-5']) event_name;

-- A row's schedule and zone.
INSERT INTO batchagg_events (event_name, schedule, timezone) VALUES
	('SHIFT', '0 6,14,22 * * *', 'Europe/Berlin'), ('BILLING', '30 18 1 * *', 'America/New_York'),
	('NIGHTLY', '30 20 1 * mon-fri', 'America/New_York'), ('WORKDAY', '0 17-20 * * 1-5', 'America/New_York');
SELECT event_name, batchagg_pg_cron_schedule(event_name) AS schedule
FROM batchagg_events WHERE NOT built_in ORDER BY event_name;

SELECT batchagg_pg_cron_schedule('EVERYHUOR');
SELECT batchagg_pg_cron_schedule(NULL);

-- Who may choose, and what everybody can see.
SELECT * FROM batchagg_service;
INSERT INTO batchagg_service (driver) VALUES ('worker');
INSERT INTO batchagg_service VALUES (false, 'worker');
UPDATE batchagg_service SET driver = 'cron';
CREATE ROLE regress_batchagg_cron;
SET ROLE regress_batchagg_cron;
SELECT driver FROM batchagg_service;
UPDATE batchagg_service SET driver = 'pg_cron';
SELECT batchagg_pg_cron_schedule('EVERYHOUR');
SELECT batchagg_use_pg_cron();
SELECT batchagg_use_service();
RESET ROLE;
GRANT EXECUTE ON FUNCTION batchagg_use_pg_cron(), batchagg_use_service() TO regress_batchagg_cron;
SET ROLE regress_batchagg_cron;
SELECT batchagg_use_pg_cron();
SELECT batchagg_use_service();
RESET ROLE;

-- Going back is always possible.
SELECT batchagg_use_service();
DELETE FROM batchagg_service;
SELECT batchagg_use_service();
SELECT * FROM batchagg_service;
BEGIN READ ONLY;
SELECT batchagg_use_service();
ROLLBACK;

-- A jobs' change that finds no pg_cron says so, and goes on.
UPDATE batchagg_service SET driver = 'pg_cron';
INSERT INTO batch_jobs (event_name) VALUES ('EVERYHOUR');
-- By its former name.
SELECT batchagg_use_worker();
DELETE FROM batch_jobs;

DROP EXTENSION batchagg;
DROP ROLE regress_batchagg_cron;
