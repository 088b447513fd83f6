/*-------------------------------------------------------------------------
 *
 * attempt.c
 *	  Attempts at slots: running a job for one, and what follows from that.
 *
 * For processes that are in no transaction.  See ledger.c for the states of a
 * slot, and retry.c for which errors are worth another attempt.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "catalog/store.h"
#include "engine/run.h"
#include "service/attempt.h"
#include "service/retry.h"
#include "service/shared.h"
#include "settings.h"

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

/* Runs jobs in one transaction, and notes that their slots are done. */
static void
attempt_all(const SlotAttempt *attempts, int n)
{
	RunRequest *requests;
	RunResult  *results;

	begin_attempt(attempts, n);
	requests = palloc(n * sizeof(RunRequest));
	results = palloc(n * sizeof(RunResult));
	for (int i = 0; i < n; i++)
		requests[i] = request_of(&attempts[i]);
	run_jobs(requests, n, results);
	for (int i = 0; i < n; i++)
		ledger_finish(&attempts[i], SLOT_DONE, results[i].run_id, 0, NULL);
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

	rows = store_query(true, psprintf("SELECT max_retries, retry_delay FROM %s WHERE id = $1",
									  store_table("batch_jobs")),
					   lengthof(types), types, values);
	row = rows ? linitial(rows) : NULL;
	*max_retries = row && row[0] ? pg_strtoint32(row[0]) : batchagg_max_retries;
	*retry_delay = row && row[1] ? pg_strtoint32(row[1]) : batchagg_retry_delay;
}

/*
 * Records an attempt that has failed, and decides whether there is another.
 */
static void
record_failure(const SlotAttempt *attempt, TimestampTz started, const ErrorData *error)
{
	RunRequest	request = request_of(attempt);
	RunResult	result;
	int			max_retries;
	int			retry_delay;
	bool		again;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	run_record_failure(&request, started, error, &result);
	retry_limits(attempt->job_id, &max_retries, &retry_delay);
	again = error_is_transient(error->sqlerrcode) && attempt->attempt <= max_retries;
	ledger_finish(attempt, again ? SLOT_WAITING : SLOT_FAILED, result.run_id,
				  again ? service_now() + retry_wait(retry_delay, attempt->attempt) : 0,
				  error->message);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/*
 * Makes attempts at slots of the same time of jobs of the same owner, in one
 * transaction.  False where that fails; then nothing remains of it.
 */
bool
attempt_together(const SlotAttempt *attempts, int n)
{
	MemoryContext caller = CurrentMemoryContext;
	bool		done = true;

	PG_TRY();
	{
		attempt_all(attempts, n);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		AbortCurrentTransaction();
		FlushErrorState();
		done = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	return done;
}

/*
 * Makes an attempt at a slot.  An error is logged and recorded.
 */
void
attempt_alone(const SlotAttempt *attempt)
{
	MemoryContext caller = CurrentMemoryContext;
	TimestampTz started = GetCurrentTimestamp();
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		attempt_all(attempt, 1);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
	}
	PG_END_TRY();

	MemoryContextSwitchTo(caller);
	if (error != NULL)
	{
		record_failure(attempt, started, error);
		FreeErrorData(error);
	}
}
