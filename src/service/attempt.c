/*-------------------------------------------------------------------------
 *
 * attempt.c
 *	  Attempts at slots: running a job for one, and what follows from that.
 *
 * Workers make attempts in transactions of their own, with memory of the current
 * context; an SQL function makes them in the transaction of its caller.  See ledger.c for the states of a
 * slot, and retry.c for which errors are worth another attempt.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "model/ext.h"
#include "run/caught.h"
#include "run/lock.h"
#include "run/record.h"
#include "run/run.h"
#include "service/attempt.h"
#include "service/shared.h"
#include "settings.h"
#include "slots/clock.h"
#include "slots/retry.h"

/*
 * A slot is missed where no other scheduler has started it within this time.
 */
#define GRACE USECS_PER_MINUTE

/* A job that somebody else is at is looked at again after this. */
#define BUSY_PAUSE USECS_PER_SEC

static RunRequest
request_of(const SlotAttempt *attempt)
{
	RunRequest	request = {
		.job_id = attempt->job_id,
		.scheduled = true,
		.attempt = attempt->attempt,
		.slot = attempt->slot
	};

	return request;
}

static void
begin_attempt(const SlotAttempt *attempt, int n)
{
	char	   *activity;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	activity = n == 1 ?
		psprintf("batchagg worker: job %d, slot %s, attempt %d", attempt->job_id,
				 timestamptz_to_str(attempt->slot), attempt->attempt) :
		psprintf("batchagg worker: job %d and %d more, slot %s", attempt->job_id, n - 1,
				 timestamptz_to_str(attempt->slot));
	pgstat_report_activity(STATE_RUNNING, activity);
}

static void
end_attempt(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/*
 * Sends the notifications of runs that are recorded.  A transaction that notifies
 * keeps all others that do so waiting until it is on disk.  So those of the
 * runs do not, but this one does, which does not wait for the disk.  And it may fail
 * without taking the runs with it.
 */
static void
notify(const RunResult *results, int n)
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		StartTransactionCommand();
		(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
		for (int i = 0; i < n; i++)
			record_notify(&results[i]);
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
}

/* Has a result's notification outlive the transaction. */
static void
keep_notification(RunResult *result, MemoryContext context)
{
	if (result->notification)
		result->notification = MemoryContextStrdup(context, result->notification);
}

/*
 * Runs jobs in one transaction, and notes that their slots are done.  Sets
 * results[], as far as it comes; their notifications are copied to `keep`.
 */
static void
attempt_all(const SlotAttempt *attempts, int n, RunResult *results, MemoryContext keep)
{
	RunRequest *requests;

	begin_attempt(attempts, n);
	requests = palloc(n * sizeof(RunRequest));
	for (int i = 0; i < n; i++)
		requests[i] = request_of(&attempts[i]);
	run_jobs(requests, n, results);
	for (int i = 0; i < n; i++)
	{
		ledger_finish(&attempts[i], SLOT_DONE, results[i].run_id, 0, NULL);
		keep_notification(&results[i], keep);
	}
	end_attempt();
}

/* The job's limit and first pause of retries, or else those of the settings. */
static void
retry_limits(int32 job_id, int *max_retries, int *retry_delay)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(job_id)};
	List	   *rows;
	char	  **row;

	rows = ext_query(true, psprintf("SELECT max_retries, retry_delay FROM %s WHERE id = $1",
									ext_table("batch_jobs")),
					 lengthof(types), types, values);
	row = rows ? linitial(rows) : NULL;
	*max_retries = row && row[0] ? pg_strtoint32(row[0]) : batchagg_max_retries;
	*retry_delay = row && row[1] ? retry_delay_of_job(pg_strtoint32(row[1])) : batchagg_retry_delay;
}

/* Why an attempt has failed, for those who may see the job. */
static const char *
failure_reason(const RunResult *result)
{
	return result->detail ? psprintf("%s. %s", result->message, result->detail) : result->message;
}

/*
 * Notes in the ledger that an attempt has failed, and whether there is another.
 * A job that has been deleted meanwhile shall have no slots; this one may have
 * been started too late for its deletion to see.
 */
static void
finish_failed(const SlotAttempt *attempt, const RunResult *result)
{
	int			max_retries;
	int			retry_delay;
	bool		again;

	if (result->run_id == 0)
	{
		ledger_forget_deleted(attempt->job_id);
		return;
	}
	retry_limits(attempt->job_id, &max_retries, &retry_delay);
	again = error_is_transient(result->sqlerrcode) && attempt->attempt <= max_retries;
	ledger_finish(attempt, again ? SLOT_WAITING : SLOT_FAILED, result->run_id,
				  again ? clock_now() + retry_wait(retry_delay, attempt->attempt) : 0,
				  failure_reason(result));
}

/*
 * Records an attempt that has failed, as run result->run_id if it is not 0.
 * Where that fails too, the scheduler finds the slot without a worker.
 */
static void
record_failure(const SlotAttempt *attempt, TimestampTz started, const ErrorData *error,
			   RunResult *result)
{
	MemoryContext caller = CurrentMemoryContext;
	RunRequest	request = request_of(attempt);

	PG_TRY();
	{
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		run_record_failure(&request, started, error, result);
		finish_failed(attempt, result);
		keep_notification(result, caller);
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
		result->notification = NULL;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	notify(result, 1);
}

/* Gives an attempt back that could not begin, as somebody else is at the job. */
static void
give_back(const SlotAttempt *attempt, const ErrorData *error)
{
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	ledger_give_back(attempt, clock_now() + BUSY_PAUSE, error->message);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/*
 * Makes attempts in one transaction.  Returns NULL, or the error with which they
 * failed; then nothing remains of them.  The error is logged, unless each of
 * several is to be made once more, alone.
 */
static ErrorData *
attempt_caught(const SlotAttempt *attempts, int n, RunResult *results)
{
	MemoryContext caller = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		attempt_all(attempts, n, results, caller);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		if ((n == 1 && !run_was_kept_out()) || error_is_cancel(error))
			EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	return error;
}

/*
 * Makes attempts at slots of the same time of jobs of the same owner, in one
 * transaction.  ATTEMPT_AGAIN where that fails; then nothing remains of it, and
 * each is to be made alone.  But where somebody cancels it, that is meant for
 * them all, and is recorded.
 */
AttemptEnd
attempt_together(const SlotAttempt *attempts, int n)
{
	TimestampTz started = GetCurrentTimestamp();
	RunResult  *results = palloc0(n * sizeof(RunResult));
	ErrorData  *error = attempt_caught(attempts, n, results);
	AttemptEnd	end = ATTEMPT_DONE;

	if (error != NULL)
		end = error_is_cancel(error) ? ATTEMPT_FAILED : ATTEMPT_AGAIN;
	for (int i = 0; i < n && end == ATTEMPT_FAILED; i++)
		record_failure(&attempts[i], started, error, &results[i]);
	if (error == NULL)
		notify(results, n);
	return end;
}

/*
 * Makes an attempt at a slot.  Returns whether it is done; an error is logged
 * and recorded.  That somebody else runs the job, or is deleting it, is none: then it
 * was no attempt.
 */
bool
attempt_alone(const SlotAttempt *attempt)
{
	TimestampTz started = GetCurrentTimestamp();
	RunResult	result = {0};
	ErrorData  *error = attempt_caught(attempt, 1, &result);

	if (error == NULL)
		notify(&result, 1);
	else if (run_was_kept_out())
		give_back(attempt, error);
	else
		record_failure(attempt, started, error, &result);
	return error == NULL;
}

/*
 * The last attempt at a job's slot has ended without a word: counts it as failed
 * with a transient error, in the caller's transaction.  `pid` is that of the
 * process, or 0.
 */
void
attempt_was_interrupted(AgendaJob *job, int pid)
{
	SlotAttempt attempt = {.job_id = job->id,.slot = job->slot,.attempt = job->attempt};
	RunRequest	request = request_of(&attempt);
	RunResult	result = {.pid = pid};

	job->state = job->attempt <= job->max_retries ? SLOT_WAITING : SLOT_FAILED;
	job->not_before = job->state == SLOT_WAITING ?
		clock_now() + retry_wait(job->retry_delay, job->attempt) : 0;
	run_record_failure(&request, job->started, NULL, &result);
	if (result.run_id == 0)
	{
		/* See finish_failed(). */
		ledger_forget_deleted(job->id);
		return;
	}
	record_notify(&result);
	ledger_finish(&attempt, job->state, result.run_id, job->not_before, result.message);
	ereport(LOG,
			(errmsg("batchagg job %d in database \"%s\": the worker ended before attempt %d at slot %s did",
					job->id, get_database_name(MyDatabaseId), job->attempt,
					timestamptz_to_str(job->slot)),
			 errhidestmt(true)));
}

/* Is a worker at the job's slot? */
static bool
has_worker(const AgendaJob *job)
{
	uint64		token;

	return shared_attach(true) && shared_find_worker(job->id, job->slot, &token) >= 0;
}

/*
 * Locks a job against other runs and against being deleted, to the end of the caller's
 * transaction.  False where somebody else is at it, who is not waited for: the caller
 * may hold locks of other jobs.
 */
static bool
lock_job(int32 job_id)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(job_id)};

	return job_try_lock(job_id) &&
		ext_query(true, psprintf("SELECT 1 FROM %s WHERE id = $1 FOR KEY SHARE SKIP LOCKED",
								 ext_table("batch_jobs")),
				  lengthof(types), types, values) != NIL;
}

/* Has the last attempt at a job's slot ended without a word? */
static bool
is_left_running(const AgendaJob *job)
{
	return job->state == SLOT_RUNNING && !has_worker(job);
}

/* Notes that an attempt at a job's next slot begins, and what it catches up for. */
static void
start_next(void *arg)
{
	const AgendaJob *job = arg;
	SlotAttempt attempt = agenda_attempt(job);

	agenda_catch_up(job);
	ledger_start(&attempt, 1);
}

/*
 * Makes an attempt at a job's next slot, if one is due, in the caller's
 * transaction.  Returns whether there was one; there is none while somebody else runs
 * the job or is deleting it.  A run that fails is a WARNING,
 * recorded.
 */
bool
attempt_if_due(AgendaJob *job, RunResult *result)
{
	TimestampTz now = clock_now();
	SlotAttempt attempt;
	RunRequest	request;
	ErrorData  *error;

	CHECK_FOR_INTERRUPTS();
	job->watched_since = now - GRACE;
	agenda_plan(job, now);
	if ((job->ready > now && !is_left_running(job)) || !lock_job(job->id))
		return false;
	agenda_read_ledger(&job, 1, true);
	if (is_left_running(job))
		attempt_was_interrupted(job, 0);
	agenda_plan(job, now);
	if (job->ready <= now && agenda_has_skipped(job, now))
		agenda_skip(job, now);
	if (job->ready > now)
		return false;

	agenda_decide(job, now);
	attempt = agenda_attempt(job);
	error = error_of(start_next, job);
	if (error != NULL && error->sqlerrcode == ERRCODE_OBJECT_IN_USE)
		return false;
	if (error != NULL)
		ReThrowError(error);

	request = request_of(&attempt);
	memset(result, 0, sizeof(RunResult));
	run_job_caught(&request, result);
	record_notify(result);
	if (result->message == NULL)
		ledger_finish(&attempt, SLOT_DONE, result->run_id, 0, NULL);
	else
		finish_failed(&attempt, result);
	agenda_read_ledger(&job, 1, true);
	return true;
}
