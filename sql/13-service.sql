--
-- Who starts jobs in this database.
--
-- One row, which batchagg_use_pg_cron() and batchagg_use_service() change.  It is
-- not dumped: a database that is restored elsewhere may have no pg_cron.  The
-- restore of jobs sets it to nobody: a job that was started while the rest is
-- still being restored would see half of its source, and what it stores would be
-- in the way of the results that are to come.
--

CREATE TABLE batchagg_service (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	driver   text NOT NULL DEFAULT 'worker' CHECK (driver IN ('worker', 'pg_cron', 'nobody'))
);

INSERT INTO batchagg_service DEFAULT VALUES;

GRANT SELECT ON batchagg_service TO PUBLIC;

COMMENT ON TABLE batchagg_service IS
'who starts jobs in this database: a single row, changed by batchagg_use_pg_cron() and batchagg_use_service(); not dumped: after a restore it is nobody, until one of these is called';
COMMENT ON COLUMN batchagg_service.only_row IS
'true; keeps the table at one row';
COMMENT ON COLUMN batchagg_service.driver IS
'worker: batchagg''s own background worker; pg_cron: entries of pg_cron, one for each event in use; nobody: jobs were restored from a dump';
