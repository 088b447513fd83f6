-- Chapter 3: jobs run by themselves.

\echo
\echo '== 3. On time, by itself =========================================================='
\echo
\echo 'The service is started here without a restart; shared_preload_libraries does it for good.'
\echo
\set ECHO queries

SELECT batchagg_start();

\set ECHO none
\echo 'Both jobs are made to have been due for three hours.  What the service makes of that:'
\echo
\set ECHO queries

UPDATE batch_jobs SET scheduled_from = now() - interval '3 hours';

\set ECHO none
-- Up to half a minute, on a busy machine.
DO $$
BEGIN
	FOR i IN 1 .. 300 LOOP
		COMMIT;
		EXIT WHEN (SELECT count(DISTINCT job_id) = 2 FROM batchagg_slots WHERE state IN ('done', 'late'));
		PERFORM pg_sleep(0.1);
	END LOOP;
END $$;
\set ECHO queries

SELECT job_id, state, slots, to_char(slot, 'DD HH24:MI') AS slot, finished_at - started_at AS took, reason
FROM batchagg_slots s ORDER BY job_id, s.slot;
SELECT job_id, job_name, event_name, state, next_run - now() > '0' AS next_is_to_come, last_status FROM batchagg_jobs ORDER BY 1;

\set ECHO none
