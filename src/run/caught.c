/*-------------------------------------------------------------------------
 *
 * caught.c
 *	  Runs whose errors are caught and recorded.
 *
 * Where many jobs run in one statement, those that run together have a subtransaction of
 * their own.  If it fails, each of them runs again alone in its own, so that the others do
 * not suffer from the one, and the error of that one is recorded.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "run/caught.h"
#include "run/lock.h"
#include "run/record.h"
#include "run/run.h"
#include "settings.h"

/* Longest texts of an error that are recorded, bytes. */
#define MAX_ERROR_TEXT 4000

/* A text of an error as it is recorded; NULL for NULL. */
static const char *
recorded_text(const char *text)
{
	int			length = text ? strlen(text) : 0;

	if (length <= MAX_ERROR_TEXT)
		return text;
	return psprintf("%.*s ...", text_clip(text, length, MAX_ERROR_TEXT), text);
}

/*
 * Records the run of a job that failed with `error`, or that ended without one
 * because its process did (NULL).  result->run_id and pid are those that the run
 * had, or 0; the rest of *result is set.  To be called after the run's
 * transaction, or subtransaction, was aborted.  A job that is not there any more
 * has no record: run_id is 0 then.
 */
void
run_record_failure(const RunRequest *request, TimestampTz started, const ErrorData *error,
				   RunResult *result)
{
	int64		run_id = result->run_id;
	int			pid = result->pid;
	bool		counted = !IsolationUsesXactSnapshot() && job_try_lock(request->job_id);

	memset(result, 0, sizeof(RunResult));
	result->run_id = run_id != 0 ? run_id : record_next_id();
	result->pid = pid;
	result->status = error != NULL ? "failed" : "interrupted";
	result->slot = request->slot != 0 ? request->slot : GetCurrentStatementStartTimestamp();
	result->started = started;
	result->finished = GetCurrentTimestamp();
	result->from = result->to = DT_NOBEGIN;
	result->sqlerrcode = error != NULL ? error->sqlerrcode : 0;
	result->message = error != NULL ? recorded_text(error->message) :
		"the worker ended before the run did";
	result->detail = error != NULL ? recorded_text(error->detail) : NULL;
	record_run(request, result, counted);
}

typedef struct CaughtRun
{
	const RunRequest *requests;
	int			n;
	RunResult  *results;
} CaughtRun;

static void
run_caught_work(void *arg)
{
	const CaughtRun *run = arg;

	run_jobs(run->requests, run->n, run->results);
}

/*
 * Runs jobs as run_jobs() does, in a subtransaction.  Returns NULL, or the error
 * that they failed with.  A cancel of the whole statement is not caught.
 */
static ErrorData *
run_caught(const RunRequest *requests, int n, RunResult *results)
{
	CaughtRun	run = {.requests = requests,.n = n,.results = results};
	ErrorData  *error;
	int			i;

	memset(results, 0, n * sizeof(RunResult));
	for (i = 0; i < n; i++)
		results[i].pid = MyProcPid;
	error = error_of(run_caught_work, &run);
	if (error != NULL && error_is_cancel(error))
		ReThrowError(error);
	return error;
}

/*
 * Runs a job as run_job() does, in a subtransaction: an error is reported as a
 * WARNING and recorded as a failed run, and is no error for the caller.
 */
void
run_job_caught(const RunRequest *request, RunResult *result)
{
	TimestampTz started = GetCurrentTimestamp();
	ErrorData  *error = run_caught(request, 1, result);

	if (error == NULL)
		return;
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("job %d failed: %s", request->job_id, text_for_client(error->message)),
			 error->detail ? errdetail_internal("%s", text_for_client(error->detail)) : 0,
			 error->hint ? errhint("%s", text_for_client(error->hint)) : 0));
	run_record_failure(request, started, error, result);
}

/*
 * Runs jobs together as run_jobs() does, in a subtransaction; where that fails,
 * each alone, as run_job_caught() does.
 */
void
run_jobs_caught(const RunRequest *requests, int n, RunResult *results)
{
	ErrorData  *error;
	int			i;

	if (n > 1)
	{
		error = run_caught(requests, n, results);
		if (error == NULL)
			return;
		if (DEBUG1 >= batchagg_log_level)
			ereport(LOG_SERVER_ONLY,
					(errmsg("batchagg jobs %d to %d in database \"%s\" cannot run together, each runs alone: %s",
							requests[0].job_id, requests[n - 1].job_id,
							get_database_name(MyDatabaseId), error->message),
					 errhidestmt(true), errhidecontext(true)));
	}
	for (i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		run_job_caught(&requests[i], &results[i]);
	}
}
