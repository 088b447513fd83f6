/*-------------------------------------------------------------------------
 *
 * jobwork.c
 *	  The scheduler's transactions, and what it does in them for one job.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "model/problem.h"
#include "service/jobwork.h"

/* Begins a transaction of the scheduler. */
void
jobwork_begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

/* Ends it, and what it did remains. */
void
jobwork_end(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);
}

/* A job that something is done for, see for_job(). */
typedef struct JobWork
{
	void		(*work) (AgendaJob *job, TimestampTz now);
	AgendaJob  *job;
	TimestampTz now;
} JobWork;

static void
job_work(void *arg)
{
	const JobWork *work = arg;

	work->work(work->job, work->now);
}

/*
 * Does something for one job, in the transaction that others share.  Where it fails,
 * nothing of it remains but a line in the log, and the job is put off.
 */
void
for_job(AgendaJob *job, TimestampTz now, void (*work) (AgendaJob *job, TimestampTz now))
{
	JobWork		arg = {.work = work,.job = job,.now = now};
	AgendaJob	before = *job;
	ErrorData  *error = error_of(job_work, &arg);

	if (error == NULL)
		return;
	*job = before;
	job->hold_off = now + LONGEST_PAUSE * INT64CONST(1000);
	agenda_plan(job, now);
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("batchagg job %d in database \"%s\" is put off: %s", job->id,
					get_database_name(MyDatabaseId), error->message),
			 error->detail ? errdetail_internal("%s", error->detail) : 0,
			 errhidestmt(true)));
}
