/*-------------------------------------------------------------------------
 *
 * dispatch.c
 *	  Gives jobs that are due to workers.
 *
 * Jobs come in turn (turns.c), and for each a worker is found (pool.c); jobs that can share
 * its scan go with it.  Their slots are noted as running in the ledger, in one transaction;
 * only when that is committed are the workers told.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "model/ext.h"
#include "model/problem.h"
#include "run/caught.h"
#include "run/lock.h"
#include "run/record.h"
#include "service/dispatch.h"
#include "service/jobwork.h"
#include "service/pool.h"
#include "service/turns.h"
#include "slots/order.h"

/*
 * How long a job waits for those whose results it reads; and for those that it sees as
 * a superuser only: nobody's job is to wait for one that anybody can have made.
 */
#define LONGEST_WAIT USECS_PER_HOUR
#define SHORT_WAIT (10 * USECS_PER_SEC)

/* What is given to a worker. */
typedef struct Assignment
{
	int			worker;			/* its number */
	int			njobs;
	AgendaJob  *jobs[MAX_GROUP_JOBS];
	SlotAttempt attempt;		/* of the first job; the others' are alike */
} Assignment;

/* The search for workers, at one time. */
typedef struct Dispatcher
{
	Agenda	   *agenda;
	TimestampTz now;
	Oid			jobs_relid;		/* batch_jobs */
	Obstacle	obstacle;		/* met */
	int			settled;		/* jobs that got a row of the ledger without a worker */
} Dispatcher;

/* Says for all to see how many jobs wait, and why. */
static void
set_obstacle(Obstacle obstacle, int waiting)
{
	SharedDatabase *database;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	database = shared_own_database();
	if (database != NULL)
	{
		if (database->waiting == 0)
			database->waiting_since = GetCurrentTimestamp();
		database->obstacle = obstacle;
		database->waiting = waiting;
	}
	LWLockRelease(&shared->lock);
}

/*
 * May a job that is ready be started?  Not while somebody runs it by hand, nor while
 * its slot in the ledger is locked, which must not hold up the others.
 */
static bool
may_start(const Dispatcher *dispatcher, AgendaJob *job)
{
	if (!job_is_locked(dispatcher->jobs_relid, job->id) &&
		(job->state != SLOT_WAITING || ledger_try_lock(job->id, job->slot)))
		return true;
	job->hold_off = dispatcher->now + FIRST_PAUSE * INT64CONST(1000);
	agenda_plan(job, dispatcher->now);
	return false;
}

/*
 * Has a job that reads results to wait for another?  But not for ever: the time is
 * counted for its oldest slot.
 */
static bool
must_wait_for_results(const Agenda *agenda, AgendaJob *job)
{
	TimestampTz clock = GetCurrentTimestamp();
	const AgendaJob *other;
	bool		trusted;

	if (!order_has_rank(agenda->order, job))
		return false;
	if (!turns_may_look(job))
	{
		job->waits_for = -1;
		return true;
	}
	other = order_blocker(agenda->order, agenda, job, &trusted);
	if (other == NULL)
		return false;
	if (job->waits_at != job->next)
	{
		job->waits_at = job->next;
		job->waits_since = clock;
	}
	if (clock - job->waits_since >= (trusted ? LONGEST_WAIT : SHORT_WAIT))
		return false;
	job->waits_for = other->id;
	return true;
}

/* Has all jobs looked at again. */
static void
forget_waits(Agenda *agenda)
{
	for (int i = 0; i < agenda->njobs; i++)
		agenda->jobs[i].waits_for = 0;
}

/* Adds those jobs to an assignment that can share the first one's scan. */
static void
add_companions(const Dispatcher *dispatcher, Assignment *assignment)
{
	Agenda	   *agenda = dispatcher->agenda;
	TimestampTz now = dispatcher->now;
	const AgendaJob *first = assignment->jobs[0];

	if (assignment->attempt.attempt > 1 || first->sources == 0)
		return;
	for (int i = 0; i < agenda->njobs && assignment->njobs < MAX_GROUP_JOBS; i++)
	{
		AgendaJob  *job = &agenda->jobs[i];
		SlotAttempt attempt;

		if (job->ready > now || job->worker >= 0 || job->owner != first->owner ||
			job->sources != first->sources || agenda_has_skipped(job, now))
			continue;
		agenda_decide(job, now);
		attempt = agenda_attempt(job);
		if (attempt.slot != assignment->attempt.slot || attempt.attempt != 1 ||
			!may_start(dispatcher, job))
			continue;
		job->worker = assignment->worker;
		assignment->jobs[assignment->njobs++] = job;
	}
}

/* Ends a slot whose job cannot be run, as its owner has been dropped. */
static void
fail_without_owner(AgendaJob *job, TimestampTz now)
{
	SlotAttempt attempt = agenda_attempt(job);
	RunRequest	request = {.job_id = job->id,.scheduled = true,.attempt = attempt.attempt,
	.slot = attempt.slot};
	ErrorData	error = {.sqlerrcode = ERRCODE_UNDEFINED_OBJECT};
	RunResult	result = {0};

	error.message = psprintf("owner of job %d does not exist", job->id);
	ledger_start(&attempt, 1);
	run_record_failure(&request, GetCurrentTimestamp(), &error, &result);
	record_notify(&result);
	ledger_finish(&attempt, SLOT_FAILED, result.run_id, 0, error.message);
	ereport(LOG,
			(errmsg("batchagg job %d in database \"%s\" failed: %s", job->id, get_database_name(MyDatabaseId),
					error.message),
			 errhint("Set the job's owner to another role."),
			 errhidestmt(true)));
	agenda_read_ledger(&job, 1, true);
	agenda_plan(job, now);
}

/*
 * Finds out what a job that is ready is to be started for.  False where it is not to
 * be started now.
 */
static bool
prepare_to_start(Dispatcher *dispatcher, AgendaJob *job)
{
	TimestampTz now = dispatcher->now;

	agenda_plan(job, now);
	if (agenda_has_skipped(job, now))
	{
		for_job(job, now, agenda_skip);
		dispatcher->settled++;
	}
	if (job->ready > now || !may_start(dispatcher, job))
		return false;
	agenda_decide(job, now);
	if (SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(job->owner)))
		return true;
	for_job(job, now, fail_without_owner);
	dispatcher->settled++;
	return false;
}

/* Makes an assignment of a job, and those that can share its scan, to a worker. */
static Assignment *
make_assignment(const Dispatcher *dispatcher, AgendaJob *job, int worker)
{
	Assignment *assignment = MemoryContextAllocZero(dispatcher->agenda->context,
													sizeof(Assignment));

	assignment->worker = worker;
	assignment->jobs[assignment->njobs++] = job;
	assignment->attempt = agenda_attempt(job);
	job->worker = worker;
	add_companions(dispatcher, assignment);
	turns_take(job);
	return assignment;
}

/*
 * Makes assignments for jobs that are ready, as long as there are workers.
 * They outlive the transaction.
 */
static List *
make_assignments(Dispatcher *dispatcher)
{
	Agenda	   *agenda = dispatcher->agenda;
	List	   *assignments = NIL;
	AgendaJob  *job;

	while (dispatcher->settled < MAX_SETTLED &&
		   (job = turns_next(agenda, dispatcher->now)) != NULL)
	{
		Assignment *assignment;
		MemoryContext caller;
		int			number;

		if (!prepare_to_start(dispatcher, job) || must_wait_for_results(agenda, job))
			continue;
		number = pool_find_worker(job->owner, &dispatcher->obstacle);
		if (number < 0 && dispatcher->obstacle == OBSTACLE_LAST_PLACE)
		{
			turns_hold_back(job);
			dispatcher->obstacle = OBSTACLE_NONE;
			continue;
		}
		if (number < 0)
			break;
		assignment = make_assignment(dispatcher, job, number);
		caller = MemoryContextSwitchTo(agenda->context);
		assignments = lappend(assignments, assignment);
		MemoryContextSwitchTo(caller);
	}
	return assignments;
}

/* Notes in the ledger what the assignments begin, and what they catch up for. */
static void
claim_slots(void *arg)
{
	List	   *assignments = arg;
	SlotAttempt *attempts = palloc(list_length(assignments) * MAX_GROUP_JOBS * sizeof(SlotAttempt));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, assignments)
	{
		Assignment *assignment = lfirst(lc);

		for (int i = 0; i < assignment->njobs; i++)
		{
			attempts[n++] = agenda_attempt(assignment->jobs[i]);
			agenda_catch_up(assignment->jobs[i]);
		}
	}
	ledger_start(attempts, n);
}

/* Tells a worker what to do, or (if it was not claimed) that there is nothing. */
static void
publish(const Assignment *assignment, bool claimed, TimestampTz now)
{
	SharedWorker *worker = &shared->workers[assignment->worker];
	uint64		token;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	token = worker->token;
	if (claimed)
	{
		worker->slot = assignment->attempt.slot;
		worker->attempt = assignment->attempt.attempt;
		for (int i = 0; i < assignment->njobs; i++)
			worker->jobs[i] = assignment->jobs[i]->id;
		worker->njobs = assignment->njobs;
		worker->all_done = false;
		if (shared_own_database() != NULL)
			shared_own_database()->waiting_since = GetCurrentTimestamp();
	}
	else if (worker->state == WORKER_BUSY)
		worker->state = WORKER_IDLE;
	if (worker->latch != NULL)
		SetLatch(worker->latch);
	LWLockRelease(&shared->lock);

	for (int i = 0; i < assignment->njobs; i++)
	{
		AgendaJob  *job = assignment->jobs[i];
		SlotAttempt attempt = agenda_attempt(job);

		job->worker = claimed ? assignment->worker : -1;
		job->token = token;
		if (claimed)
		{
			job->state = SLOT_RUNNING;
			job->slot = attempt.slot;
			job->attempt = attempt.attempt;
			job->started = now;
			job->hold_off = 0;
			job->changed = false;
		}
		else
			job->hold_off = now + FIRST_PAUSE * INT64CONST(1000);
		agenda_plan(job, now);
	}
}

/* The number of jobs that are ready, and wait for a worker. */
static int
count_ready(const Agenda *agenda, TimestampTz now)
{
	int			n = 0;

	for (int i = 0; i < agenda->njobs; i++)
	{
		const AgendaJob *job = &agenda->jobs[i];

		n += job->ready <= now && job->worker < 0 && job->waits_for == 0 &&
			!turns_is_held_back(job);
	}
	return n;
}

/*
 * Gives jobs that are due to workers.  Sets *more where some are left for which no worker
 * is missing, and *reload where the jobs have to be read again.
 *
 * What the ledger is told reaches the disk while the workers begin, not before:
 * a run that is done is so only after it, and one that takes the server down
 * within the time of a write to disk is a risk worth its price.
 */
void
dispatch(Agenda *agenda, TimestampTz now, bool *more, bool *reload)
{
	Dispatcher	dispatcher = {.agenda = agenda,.now = now};
	ErrorData  *error = NULL;
	List	   *assignments;
	ListCell   *lc;

	turns_count();
	forget_waits(agenda);
	if (turns_next(agenda, now) == NULL)
	{
		set_obstacle(OBSTACLE_NONE, 0);
		return;
	}
	jobwork_begin();
	dispatcher.jobs_relid = ext_relid("batch_jobs");
	assignments = make_assignments(&dispatcher);
	if (assignments != NIL)
		error = error_of(claim_slots, assignments);
	if (error != NULL)
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("batchagg could not start %d jobs in database \"%s\": %s",
						list_length(assignments), get_database_name(MyDatabaseId), error->message),
				 errhidestmt(true)));
	jobwork_end();

	*more |= dispatcher.settled >= MAX_SETTLED;
	/* The ledger may say something else than we know. */
	*reload |= error != NULL;

	foreach(lc, assignments)
		publish(lfirst(lc), error == NULL, now);
	list_free_deep(assignments);
	XLogFlush(XactLastCommitEnd);
	set_obstacle(dispatcher.obstacle, count_ready(agenda, now));
}
