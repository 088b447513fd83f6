-- Chapter 3: jobs run by themselves.

\echo
\echo '== 3. On time, by itself ======================================================'
\echo
\echo 'The service is started here without a restart; for good, it is loaded by'
\echo 'shared_preload_libraries.'
\echo
\set ECHO queries

SELECT batchagg_start();

\set ECHO none
\echo 'Let both jobs have been due for three hours.  The service catches up:'
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

SELECT job_id, state, slots, to_char(slot, 'HH24:MI') AS slot,
	round(1000 * extract(epoch FROM finished_at - started_at)) AS ms,
	reason
FROM batchagg_slots s ORDER BY job_id, s.slot;
SELECT job_id, job_name, event_name, state,
	to_char(next_run, 'HH24:MI') AS next_run, last_status
FROM batchagg_jobs ORDER BY 1;

\set ECHO none
