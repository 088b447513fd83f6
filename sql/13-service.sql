--
-- Who starts jobs in this database.
--
-- One row, which batchagg_use_pg_cron() and batchagg_use_worker() change.  It is
-- not dumped: a database that is restored elsewhere may have no pg_cron, and one
-- that claims to be driven by it would never run a job.
--

CREATE TABLE batchagg_service (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	driver   text NOT NULL DEFAULT 'worker' CHECK (driver IN ('worker', 'pg_cron'))
);

INSERT INTO batchagg_service DEFAULT VALUES;

GRANT SELECT ON batchagg_service TO PUBLIC;

COMMENT ON TABLE batchagg_service IS
'who starts jobs in this database: a single row, changed by batchagg_use_pg_cron() and batchagg_use_worker(); not dumped, so a restored database begins with the worker';
COMMENT ON COLUMN batchagg_service.only_row IS
'true; keeps the table at one row';
COMMENT ON COLUMN batchagg_service.driver IS
'worker: batchagg''s own background worker; pg_cron: entries of pg_cron, one for each event in use';
