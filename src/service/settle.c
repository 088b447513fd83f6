/*-------------------------------------------------------------------------
 *
 * settle.c
 *	  What became of slots that workers had, and of those that get no run.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "service/attempt.h"
#include "service/jobwork.h"
#include "service/pool.h"
#include "service/settle.h"

/*
 * A slot that failed for good is tried again once the job has changed, which it
 * may have done while the attempt was under way.
 */
void
settle_reconsider(AgendaJob *job)
{
	if (job->state != SLOT_FAILED || !job->changed)
		return;
	job->state = SLOT_WAITING;
	job->not_before = 0;
}

/*
 * Has the worker of a job ended it?  It may have other jobs by now: those that it
 * was given in the very moment when it had become idle.  Sets *done where it says
 * that the slot is.
 */
static bool
worker_has_ended(const AgendaJob *job, bool *done)
{
	const SharedWorker *worker = &shared->workers[job->worker];
	bool		same = worker->token == job->token;

	*done = same && worker->all_done;
	return !same || !shared_worker_has(worker, job->id);
}

/* The pid that a job's worker had; 0: not known any more. */
static int
pid_of_worker(const AgendaJob *job)
{
	const SharedWorker *worker = job->worker >= 0 ? &shared->workers[job->worker] : NULL;

	return worker != NULL && worker->token == job->token ? worker->pid : 0;
}

/* A slot that is still running in the ledger, although no worker is at it. */
static void
interrupted(AgendaJob *job, TimestampTz now)
{
	/* Else we look again at our next wake. */
	if (job->hold_off <= now && ledger_try_lock(job->id, job->slot))
		attempt_was_interrupted(job, pid_of_worker(job));
}

/* Reads in the ledger what became of jobs whose workers have not told. */
static void
ask_ledger(AgendaJob **jobs, int n, TimestampTz now)
{
	TimestampTz *slots = palloc_extended(n * sizeof(TimestampTz), MCXT_ALLOC_HUGE);

	for (int i = 0; i < n; i++)
		slots[i] = jobs[i]->slot;
	jobwork_begin();
	agenda_read_ledger(jobs, n, true);
	for (int i = 0; i < n; i++)
	{
		/* The worker has given it back, as somebody else was at the job. */
		if (jobs[i]->slot < slots[i])
			jobs[i]->hold_off = now + FIRST_PAUSE * INT64CONST(1000);
		else if (jobs[i]->state == SLOT_RUNNING)
			for_job(jobs[i], now, interrupted);
	}
	jobwork_end();
	pfree(slots);
}

/* Looks what became of jobs that are not in a worker's hands any more. */
void
settle_ended(Agenda *agenda, TimestampTz now)
{
	AgendaJob **ended = palloc_extended((agenda->njobs + 1) * sizeof(AgendaJob *), MCXT_ALLOC_HUGE);
	AgendaJob **unknown = palloc_extended((agenda->njobs + 1) * sizeof(AgendaJob *), MCXT_ALLOC_HUGE);
	int			nended = 0;
	int			nunknown = 0;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	pool_free_unborn();
	for (int i = 0; i < agenda->njobs; i++)
	{
		AgendaJob  *job = &agenda->jobs[i];
		bool		done = false;

		if (job->worker >= 0 ? !worker_has_ended(job, &done) : job->state != SLOT_RUNNING)
			continue;
		ended[nended++] = job;
		if (done)
			job->state = SLOT_DONE;
		else
			unknown[nunknown++] = job;
	}
	LWLockRelease(&shared->lock);

	if (nunknown > 0)
		ask_ledger(unknown, nunknown, now);
	for (int i = 0; i < nended; i++)
	{
		ended[i]->worker = -1;
		ended[i]->watched_since = now;
		settle_reconsider(ended[i]);
		agenda_plan(ended[i], now);
	}
	if (nended > 0)
		pool_try_again();
	pfree(ended);
	pfree(unknown);
}

/* Does a job have slots that get no run, or that the clock has gone behind? */
static bool
needs_settling(const AgendaJob *job, TimestampTz now)
{
	return job->hold_off <= now &&
		(agenda_is_ahead(job, now) || (job->ready <= now && agenda_has_skipped(job, now)));
}

static void
settle(AgendaJob *job, TimestampTz now)
{
	if (agenda_is_ahead(job, now))
	{
		ereport(LOG,
				(errmsg("batchagg job %d in database \"%s\": the clock went back behind slot %s, which may come again",
						job->id, get_database_name(MyDatabaseId), timestamptz_to_str(job->slot)),
				 errhidestmt(true)));
		ledger_take_back(job->id, now);
		job->state = SLOT_NONE;
		job->slot = now;
		agenda_plan(job, now);
	}
	else
		agenda_skip(job, now);
}

/*
 * Deals with slots that get no run: those of some jobs at a time.  Returns whether
 * there may be more.
 */
bool
settle_skipped(Agenda *agenda, TimestampTz now)
{
	int			n = 0;

	for (int i = 0; i < agenda->njobs && n < MAX_SETTLED; i++)
	{
		AgendaJob  *job = &agenda->jobs[i];

		if (!needs_settling(job, now))
			continue;
		if (n++ == 0)
			jobwork_begin();
		for_job(job, now, settle);
	}
	if (n > 0)
		jobwork_end();
	return n == MAX_SETTLED;
}
