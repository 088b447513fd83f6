/*-------------------------------------------------------------------------
 *
 * record.c
 *	  What a run leaves behind besides results: its row in the history, its
 *	  share of the job's counters, and a notification.
 *
 * All three are one statement in the transaction that they tell of, so none is
 * there without the others, nor without the results.  A run has its number
 * from its start, so that it can be named while it is under way; numbers of
 * runs that leave no record are missing from the history.
 *
 * A job's counters are one row, which only the holder of the job's lock
 * changes, so that nobody waits for it.  Therefore a run that could not start
 * because another one was under way is not counted; and no run in a repeatable
 * read or serializable transaction is, as it would fail where another was
 * counted since its snapshot.  All are in the history.
 *
 * A notification is the least of the three: where PostgreSQL has no more room for
 * any, as somebody listens and does not read, the run is told of nobody, rather
 * than undone.
 *
 * Every role can listen for notifications.  So they carry ids, the status and the
 * SQLSTATE alone: no names and no messages, which may show rows.  Nor is there a
 * character in them that some client's encoding lacks: PostgreSQL ends the session of
 * a listener to whom it cannot convert one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/sequence.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "model/ext.h"
#include "run/record.h"

/* The queue of notifications is full for us when so much of it is in use. */
#define FULL_QUEUE 0.9

/* Upper bounds of a histogram's classes but the last, which has none. */
static const int64 histogram_bounds[] = {
	1000, 10 * 1000, 100 * 1000, USECS_PER_SEC, 10 * USECS_PER_SEC, USECS_PER_MINUTE,
	10 * USECS_PER_MINUTE, USECS_PER_HOUR
};

/*
 * The statement, with the names of our tables batch_jobs, batchagg_runs and
 * batchagg_counters.
 */
static const char record_sql[] =
"WITH job AS (SELECT id FROM %s WHERE id = $1 FOR KEY SHARE SKIP LOCKED), "
"run AS (INSERT INTO %s (run_id, job_id, slot, started_at, finished_at, status, attempt, "
"rows_read, rows_skipped, groups, results, changed, range_from, range_to, "
"error_sqlstate, error_message, error_detail, worker_pid) OVERRIDING SYSTEM VALUE "
"SELECT $2, id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
"nullif($13, '-infinity'), nullif($14, '-infinity'), nullif($15, ''), nullif($16, ''), nullif($21, ''), "
"nullif($17, 0) "
"FROM job RETURNING run_id, job_id, status, error_sqlstate), "
"counted AS (INSERT INTO %s AS c (job_id, runs, failures, rows_read, results, changed, "
"seconds, last_run, last_slot, histogram) "
"SELECT id, 1, ($6 <> 'succeeded')::integer, $8, $11, $12, extract(epoch FROM $5 - $4), $4, CASE $6 WHEN 'succeeded' THEN $3 END, "
"ARRAY(SELECT (n = $18)::integer::bigint FROM generate_series(1, $19) n) "
"FROM job WHERE $20 "
"ON CONFLICT (job_id) DO UPDATE SET runs = c.runs + 1, "
"failures = c.failures + excluded.failures, rows_read = c.rows_read + excluded.rows_read, "
"results = c.results + excluded.results, changed = c.changed + excluded.changed, "
"seconds = c.seconds + excluded.seconds, last_run = greatest(c.last_run, excluded.last_run), "
"last_slot = greatest(c.last_slot, excluded.last_slot), "
"histogram[$18] = c.histogram[$18] + 1) "
"SELECT json_build_object("
"'run_id', run_id, 'job_id', job_id, 'status', status, 'sqlstate', error_sqlstate) "
"FROM run";

/*
 * Takes the next number of a run.
 */
int64
record_next_id(void)
{
	return nextval_internal(ext_relid("batchagg_runs_run_id_seq"), false);
}

/* The class of a histogram that a duration belongs to, from 1. */
static int
histogram_class(int64 duration)
{
	int			i = 0;

	while (i < lengthof(histogram_bounds) && duration > histogram_bounds[i])
		i++;
	return i + 1;
}

/*
 * Records a run, with the error that ended it, if one did.  With `counted`, adds
 * it to the job's counters, whose lock must be held.  Sends the run's
 * notification, or leaves that of a scheduled run to the caller.  Where the job is
 * not there any more, or somebody is deleting it, who is not waited for, nothing is
 * recorded, and result->run_id becomes 0.
 */
void
record_run(const RunRequest *request, RunResult *result, bool counted)
{
	Oid			types[] = {INT4OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
		TEXTOID, INT4OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID,
	TIMESTAMPTZOID, TEXTOID, TEXTOID, INT4OID, INT4OID, INT4OID, BOOLOID, TEXTOID};
	Datum		values[] = {
		Int32GetDatum(request->job_id),
		Int64GetDatum(result->run_id),
		TimestampTzGetDatum(result->slot),
		TimestampTzGetDatum(result->started),
		TimestampTzGetDatum(result->finished),
		CStringGetTextDatum(result->status),
		Int32GetDatum(request->attempt),
		Int64GetDatum(result->rows_read),
		Int64GetDatum(result->rows_skipped),
		Int64GetDatum(result->groups),
		Int64GetDatum(result->results),
		Int64GetDatum(result->changed),
		TimestampTzGetDatum(result->from),
		TimestampTzGetDatum(result->to),
		CStringGetTextDatum(result->sqlerrcode != 0 ? unpack_sql_state(result->sqlerrcode) : ""),
		CStringGetTextDatum(result->message ? result->message : ""),
		Int32GetDatum(result->pid),
		Int32GetDatum(histogram_class(result->finished - result->started)),
		Int32GetDatum(lengthof(histogram_bounds) + 1),
		BoolGetDatum(counted),
		CStringGetTextDatum(result->detail ? result->detail : "")
	};
	List	   *rows;

	rows = ext_query(true,
					 psprintf(record_sql, ext_table("batch_jobs"), ext_table("batchagg_runs"),
							  ext_table("batchagg_counters")),
					 lengthof(types), types, values);
	result->notification = NULL;
	if (rows == NIL)
		result->run_id = 0;
	else
		result->notification = MemoryContextStrdup(TopTransactionContext,
												   ((char **) linitial(rows))[0]);
	if (!request->scheduled)
		record_notify(result);
}

/*
 * Is there hardly any room left for notifications?  A transaction that finds none when
 * it commits fails.
 */
static bool
is_queue_full(void)
{
	return DatumGetFloat8(OidFunctionCall0(F_PG_NOTIFICATION_QUEUE_USAGE)) > FULL_QUEUE;
}

/*
 * Sends the notification of a run, when the transaction commits.  A WARNING where
 * there is no room for it.
 */
void
record_notify(const RunResult *result)
{
	if (result->notification == NULL)
		return;
	if (!is_queue_full())
		Async_Notify("batchagg", result->notification);
	else
		ereport(WARNING,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("no notification of run " INT64_FORMAT " is sent: the queue of notifications is full",
						result->run_id),
				 errhint("PostgreSQL's log says which session listens and keeps the queue from being emptied.")));
}
