/*-------------------------------------------------------------------------
 *
 * scheduler.c
 *	  The scheduler of one database: gives due slots to workers.
 *
 * It keeps the database's jobs in memory (agenda.c), sleeps until the next of
 * their slots, and then, each time it wakes:
 *
 *	 1. reads the jobs again, if they have changed;
 *	 2. looks which workers have ended their jobs, and in the ledger what became
 *		of those.  A slot that is still running in the ledger has lost its
 *		worker: it is to be tried again, or has failed for good;
 *	 3. passes over slots that are not to be run;
 *	 4. finds workers for the jobs that are due, in turn (turns.c); notes their
 *		slots as running in the ledger, commits, and only then tells the workers;
 *	 5. removes some of what is too old.
 *
 * No job can end it, nor keep it from the others.  What is done for one job is
 * undone where it fails, and that job is left for a while (for_job); what fails
 * for all is tried again, with what is known from before (survive).
 *
 * Nothing that it knows is lost when it dies all the same: another one reads it
 * from the tables, and finds the workers in shared memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_database.h"
#include "catalog/pg_db_role_setting.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "model/store.h"
#include "run/caught.h"
#include "run/lock.h"
#include "run/record.h"
#include "run/run.h"
#include "service/attempt.h"
#include "service/pgcron.h"
#include "service/pool.h"
#include "service/service.h"
#include "service/turns.h"
#include "slots/clock.h"
#include "slots/order.h"

/* The longest sleep, milliseconds: steps of the clock are seen then. */
#define MAX_SLEEP 10000

/* A clock that is off by more than this after a sleep has been set. */
#define CLOCK_LEAP USECS_PER_MINUTE

/* Pauses after failures, milliseconds: the first, doubled up to the longest. */
#define FIRST_PAUSE 1000
#define LONGEST_PAUSE 30000

/* Jobs that change all the time are read again for a part of the time only. */
#define PAUSE_PER_LOAD 4

/* So many jobs get a row of the ledger without a worker, until the others had a turn. */
#define MAX_SETTLED 100

/* A scheduler that has lived as long has not failed at its start. */
#define PROVED (60 * USECS_PER_SEC)

/* Old rows are removed so many at a time, with pauses in between. */
#define TRIM_ROWS 2000
#define TRIM_PAUSE (2 * USECS_PER_SEC)
#define TRIM_INTERVAL (USECS_PER_HOUR / 4)

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

static struct
{
	TimestampTz started;
	volatile sig_atomic_t terminated;	/* somebody ends us, which is no failure */
	char	   *database;		/* its name */
	uint32		database_hash;	/* of its row, as messages about that have it */
	Oid			jobs_relid;		/* batch_jobs */
	bool		reload;			/* read the jobs again */
	TimestampTz reload_not_before;
	int			failures;		/* errors that were survived, one after the other */
	TimestampTz not_before;		/* after one: nothing is done */
	bool		more;			/* was left over, and goes on at once */
	Agenda	   *agenda;			/* NULL: not read yet */
	TimestampTz looked;			/* at the clock, what it said; 0: not yet */
	TimestampTz next_trim;
} scheduler;

/*----------
 * Beginning and end
 *----------
 */

/*
 * Leaves the entry in shared memory.  With an exit code, the next scheduler
 * has to wait.
 */
static void
scheduler_detach(int code, Datum id)
{
	SharedDatabase *database;
	TimestampTz now = GetCurrentTimestamp();

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	database = shared_database(DatumGetObjectId(id), false);
	if (database != NULL && database->scheduler == MyProcPid)
	{
		database->scheduler = 0;
		database->starting = 0;
		database->waiting = 0;
		if (code == 0 || now - scheduler.started > PROVED)
			database->failures = 0;
		if (code != 0)
		{
			int			pause = FIRST_PAUSE << Min(database->failures, 10);

			if (!scheduler.terminated)
				database->failures++;
			database->not_before = now + Min(pause, LONGEST_PAUSE) * INT64CONST(1000);
		}
		pool_break_promises(database->id);
	}
	shared_wake_launcher();
	LWLockRelease(&shared->lock);
}

/* Becomes the scheduler of database `id`; false where it has one, or wants none. */
static bool
scheduler_attach(Oid id)
{
	SharedDatabase *database;
	bool		first;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	database = shared_database(id, false);
	first = database != NULL && database->scheduler == 0 && database->held == 0;
	if (first)
	{
		database->scheduler = MyProcPid;
		database->latch = MyLatch;
		database->starting = 0;
		database->changed = false;	/* everything is read after this */
	}
	LWLockRelease(&shared->lock);
	if (first)
		before_shmem_exit(scheduler_detach, ObjectIdGetDatum(id));
	return first;
}

/*
 * Ends the scheduler, as there is nothing to do here until somebody asks again;
 * which may be since it looked, and then another one looks.
 */
static void
leave_database(void)
{
	SharedDatabase *database;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	database = shared_own_database();
	if (database != NULL && database->clock_end != 0 && !batchagg_enabled)
		database->off = true;	/* a test goes by its clock */
	else if (database != NULL && database->held == 0 && !database->changed)
		database->id = InvalidOid;
	LWLockRelease(&shared->lock);
	proc_exit(0);
}

static void
begin_transaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
end_transaction(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);
}

/*
 * May the service be here?  The launcher has asked, but not for a database where
 * the extension was created just now; and templates do not remain so.
 */
static bool
may_stay(void)
{
	HeapTuple	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
	bool		result = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

		result = batchagg_enabled && database->datallowconn && !database->datistemplate &&
			settings_serve_database(NameStr(database->datname));
		ReleaseSysCache(tuple);
	}
	return result;
}

/* Ends the scheduler where another service, or none, is wanted here. */
static void
check_service(void)
{
	AcceptInvalidationMessages();
	if (!may_stay() || !store_is_usable() || !worker_drives())
	{
		end_transaction();
		leave_database();
	}
}

/* Has somebody asked the scheduler to go?  Somebody will start another. */
static bool
is_asked_to_leave(void)
{
	SharedDatabase *database;
	bool		result;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	database = shared_own_database();
	result = !batchagg_enabled || shared->disabled || shared->stopping ||
		database == NULL || database->held > 0;
	if (database != NULL && database->changed)
	{
		scheduler.reload = true;
		database->changed = false;
	}
	LWLockRelease(&shared->lock);
	return result;
}

static void
relation_invalidated(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == scheduler.jobs_relid)
		scheduler.reload = true;
}

/* Some row of pg_database has changed: ours? */
static void
database_invalidated(Datum arg, int cacheid, uint32 hash)
{
	if (hash == 0 || hash == scheduler.database_hash)
		scheduler.reload = true;
}

/*----------
 * Jobs
 *----------
 */

/*
 * A slot that failed for good is tried again once the job has changed, which it
 * may have done while the attempt was under way.
 */
static void
reconsider(AgendaJob *job)
{
	if (job->state != SLOT_FAILED || !job->changed)
		return;
	job->state = SLOT_WAITING;
	job->not_before = 0;
}

/* Is a job due at the same times as it was? */
static bool
has_schedule_of(const AgendaJob *job, const AgendaJob *before)
{
	return job->tz == before->tz &&
		memcmp(&job->schedule, &before->schedule, sizeof(CronSchedule)) == 0;
}

/* What the scheduler knew of a job before it was read again. */
static void
take_over(AgendaJob *job, const AgendaJob *before)
{
	if (has_schedule_of(job, before))
	{
		job->next = before->next;
		job->next_after = before->next_after;
	}
	job->watched_since = before->watched_since;
	job->hold_off = before->hold_off;
	job->waits_since = before->waits_since;
	job->waits_at = before->waits_at;
	job->changed = before->changed || job->meaning != before->meaning;
	if (before->worker >= 0)
	{
		job->worker = before->worker;
		job->token = before->token;
	}
	if (job->slot == before->slot)
		reconsider(job);
}

/*
 * Reads all jobs.  Where that takes long, or fails, the next time is put off: somebody
 * may be changing jobs again and again.
 */
static void
load_jobs(TimestampTz now)
{
	TimestampTz began = GetCurrentTimestamp();
	Agenda	   *before = scheduler.agenda;
	Agenda	   *agenda;

	scheduler.reload_not_before = began + FIRST_PAUSE * INT64CONST(1000);
	begin_transaction();
	check_service();
	scheduler.jobs_relid = store_relid("batch_jobs");
	scheduler.reload = false;
	agenda = agenda_load(TopMemoryContext, true, NULL);
	order_agenda(agenda);
	end_transaction();

	for (int i = 0; i < agenda->njobs; i++)
	{
		AgendaJob  *job = &agenda->jobs[i];
		AgendaJob  *known = before ? agenda_find(before, job->id) : NULL;

		job->watched_since = now;
		if (known)
			take_over(job, known);
		if (job->worker < 0 && job->state == SLOT_RUNNING)
			job->worker = shared_find_worker(job->id, job->slot, &job->token);
		agenda_plan(job, now);
	}
	turns_load(agenda);
	scheduler.agenda = agenda;
	if (before)
		MemoryContextDelete(before->context);
	scheduler.reload_not_before = GetCurrentTimestamp() +
		PAUSE_PER_LOAD * (GetCurrentTimestamp() - began);
}

/*
 * Has the clock been set since the scheduler last looked at it, or was the
 * machine asleep?  Then slots up to now could not be started in time, and what
 * was put off by the old time is put off no more.  The jobs are read again, as
 * the time matters to how.
 */
static void
notice_clock(TimestampTz now)
{
	TimestampTz before = scheduler.looked;

	scheduler.looked = now;
	if (before == 0 || scheduler.agenda == NULL ||
		(now > before - CLOCK_LEAP && now < before + MAX_SLEEP * INT64CONST(1000) + CLOCK_LEAP))
		return;
	for (int i = 0; i < scheduler.agenda->njobs; i++)
	{
		scheduler.agenda->jobs[i].watched_since = now;
		scheduler.agenda->jobs[i].hold_off = 0;
	}
	pool_try_again();
	scheduler.next_trim = now + TRIM_PAUSE;
	scheduler.reload = true;
	scheduler.reload_not_before = 0;
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
static void
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
					scheduler.database, error->message),
			 error->detail ? errdetail_internal("%s", error->detail) : 0,
			 errhidestmt(true)));
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
	begin_transaction();
	agenda_read_ledger(jobs, n, true);
	for (int i = 0; i < n; i++)
	{
		/* The worker has given it back, as somebody else was at the job. */
		if (jobs[i]->slot < slots[i])
			jobs[i]->hold_off = now + FIRST_PAUSE * INT64CONST(1000);
		else if (jobs[i]->state == SLOT_RUNNING)
			for_job(jobs[i], now, interrupted);
	}
	end_transaction();
	pfree(slots);
}

/* Looks what became of jobs that are not in a worker's hands any more. */
static void
collect_ended(TimestampTz now)
{
	Agenda	   *agenda = scheduler.agenda;
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
		reconsider(ended[i]);
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
						job->id, scheduler.database, timestamptz_to_str(job->slot)),
				 errhidestmt(true)));
		ledger_take_back(job->id, now);
		job->state = SLOT_NONE;
		job->slot = now;
		agenda_plan(job, now);
	}
	else
		agenda_skip(job, now);
}

/* Deals with slots that get no run: those of some jobs at a time. */
static void
settle_slots(TimestampTz now)
{
	Agenda	   *agenda = scheduler.agenda;
	int			n = 0;

	for (int i = 0; i < agenda->njobs && n < MAX_SETTLED; i++)
	{
		AgendaJob  *job = &agenda->jobs[i];

		if (!needs_settling(job, now))
			continue;
		if (n++ == 0)
			begin_transaction();
		for_job(job, now, settle);
	}
	if (n > 0)
		end_transaction();
	scheduler.more |= n == MAX_SETTLED;
}

/*----------
 * Dispatching
 *----------
 */

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
may_start(AgendaJob *job, TimestampTz now)
{
	if (!job_is_locked(scheduler.jobs_relid, job->id) &&
		(job->state != SLOT_WAITING || ledger_try_lock(job->id, job->slot)))
		return true;
	job->hold_off = now + FIRST_PAUSE * INT64CONST(1000);
	agenda_plan(job, now);
	return false;
}

/*
 * Has a job that reads results to wait for another?  But not for ever: the time is
 * counted for its oldest slot.
 */
static bool
must_wait_for_results(AgendaJob *job)
{
	TimestampTz clock = GetCurrentTimestamp();
	const AgendaJob *other;
	bool		trusted;

	if (!order_has_rank(scheduler.agenda->order, job))
		return false;
	if (!turns_may_look(job))
	{
		job->waits_for = -1;
		return true;
	}
	other = order_blocker(scheduler.agenda->order, scheduler.agenda, job, &trusted);
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
forget_waits(void)
{
	for (int i = 0; i < scheduler.agenda->njobs; i++)
		scheduler.agenda->jobs[i].waits_for = 0;
}

/* Adds those jobs to an assignment that can share the first one's scan. */
static void
add_companions(Assignment *assignment, TimestampTz now)
{
	Agenda	   *agenda = scheduler.agenda;
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
			!may_start(job, now))
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
			(errmsg("batchagg job %d in database \"%s\" failed: %s", job->id, scheduler.database,
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
prepare_to_start(AgendaJob *job, TimestampTz now, int *settled)
{
	agenda_plan(job, now);
	if (agenda_has_skipped(job, now))
	{
		for_job(job, now, agenda_skip);
		(*settled)++;
	}
	if (job->ready > now || !may_start(job, now))
		return false;
	agenda_decide(job, now);
	if (SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(job->owner)))
		return true;
	for_job(job, now, fail_without_owner);
	(*settled)++;
	return false;
}

/* Makes an assignment of a job, and those that can share its scan, to a worker. */
static Assignment *
make_assignment(AgendaJob *job, int worker, TimestampTz now)
{
	Assignment *assignment = MemoryContextAllocZero(scheduler.agenda->context,
													sizeof(Assignment));

	assignment->worker = worker;
	assignment->jobs[assignment->njobs++] = job;
	assignment->attempt = agenda_attempt(job);
	job->worker = worker;
	add_companions(assignment, now);
	turns_take(job);
	return assignment;
}

/*
 * Makes assignments for jobs that are ready, as long as there are workers.
 * They outlive the transaction.
 */
static List *
make_assignments(TimestampTz now, Obstacle *obstacle)
{
	List	   *assignments = NIL;
	int			settled = 0;
	AgendaJob  *job;

	while (settled < MAX_SETTLED && (job = turns_next(scheduler.agenda, now)) != NULL)
	{
		Assignment *assignment;
		MemoryContext caller;
		int			number;

		if (!prepare_to_start(job, now, &settled) || must_wait_for_results(job))
			continue;
		number = pool_find_worker(job->owner, obstacle);
		if (number < 0 && *obstacle == OBSTACLE_LAST_PLACE)
		{
			turns_hold_back(job);
			*obstacle = OBSTACLE_NONE;
			continue;
		}
		if (number < 0)
			break;
		assignment = make_assignment(job, number, now);
		caller = MemoryContextSwitchTo(scheduler.agenda->context);
		assignments = lappend(assignments, assignment);
		MemoryContextSwitchTo(caller);
	}
	scheduler.more |= settled >= MAX_SETTLED;
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
count_ready(TimestampTz now)
{
	int			n = 0;

	for (int i = 0; i < scheduler.agenda->njobs; i++)
	{
		const AgendaJob *job = &scheduler.agenda->jobs[i];

		n += job->ready <= now && job->worker < 0 && job->waits_for == 0 &&
			!turns_is_held_back(job);
	}
	return n;
}

/*
 * Gives jobs that are due to workers.
 *
 * What the ledger is told reaches the disk while the workers begin, not before:
 * a run that is done is so only after it, and one that takes the server down
 * within the time of a write to disk is a risk worth its price.
 */
static void
dispatch(TimestampTz now)
{
	Obstacle	obstacle = OBSTACLE_NONE;
	ErrorData  *error = NULL;
	List	   *assignments;
	ListCell   *lc;

	turns_count();
	forget_waits();
	if (turns_next(scheduler.agenda, now) == NULL)
	{
		set_obstacle(OBSTACLE_NONE, 0);
		return;
	}
	begin_transaction();
	assignments = make_assignments(now, &obstacle);
	if (assignments != NIL)
		error = error_of(claim_slots, assignments);
	if (error != NULL)
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("batchagg could not start %d jobs in database \"%s\": %s",
						list_length(assignments), scheduler.database, error->message),
				 errhidestmt(true)));
	end_transaction();

	/* The ledger may say something else than we know. */
	scheduler.reload |= error != NULL;

	foreach(lc, assignments)
		publish(lfirst(lc), error == NULL, now);
	list_free_deep(assignments);
	XLogFlush(XactLastCommitEnd);
	set_obstacle(obstacle, count_ready(now));
}

/* Removes a part of what is older than batchagg.history_retention. */
static void
trim_history(TimestampTz now)
{
	int			removed;

	if (batchagg_history_retention == 0 || now < scheduler.next_trim)
		return;
	scheduler.next_trim = now + TRIM_INTERVAL;
	begin_transaction();
	removed = ledger_trim(batchagg_history_retention, TRIM_ROWS);
	end_transaction();
	scheduler.next_trim = now + (removed >= TRIM_ROWS ? TRIM_PAUSE : TRIM_INTERVAL);
}

/*----------
 * The loop
 *----------
 */

/* When the next thing is to be done, as far as is known now. */
static TimestampTz
next_wake(void)
{
	TimestampTz wake = DT_NOEND;

	for (int i = 0; scheduler.agenda != NULL && i < scheduler.agenda->njobs; i++)
	{
		const AgendaJob *job = &scheduler.agenda->jobs[i];

		if (job->worker < 0)
			wake = Min(wake, job->ready);
	}
	return wake;
}

/* Is any job in a worker's hands? */
static bool
is_running(void)
{
	for (int i = 0; scheduler.agenda != NULL && i < scheduler.agenda->njobs; i++)
	{
		if (scheduler.agenda->jobs[i].worker >= 0)
			return true;
	}
	return false;
}

/*
 * A test's clock does not run: when nothing is left to do, it is moved on to
 * what comes next.  Where jobs, or the clock, have changed meanwhile, what
 * comes next is not known yet.  Returns whether it was.
 */
static bool
move_clock(TimestampTz wake)
{
	SharedDatabase *database;
	bool		moved = false;

	if (is_running())
		return false;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	database = shared_own_database();
	if (database != NULL && !database->changed && database->clock_end != 0 &&
		database->clock < database->clock_end)
	{
		database->clock = Max(database->clock, Min(wake, database->clock_end));
		scheduler.looked = database->clock;
		moved = true;
	}
	LWLockRelease(&shared->lock);
	return moved;
}

/* Milliseconds until something that is put off may be done; MAX_SLEEP at most. */
static long
time_to_wait(TimestampTz wake, TimestampTz now)
{
	TimestampTz clock = GetCurrentTimestamp();
	TimestampTz until = clock + MAX_SLEEP * INT64CONST(1000);

	if (scheduler.not_before > clock)
		return Min(scheduler.not_before - clock, MAX_SLEEP * INT64CONST(1000)) / 1000 + 1;
	if (scheduler.more)
		return 0;
	if (scheduler.reload)
		until = Min(until, scheduler.reload_not_before);

	/*
	 * A job that is ready and was not started waits for a worker to end, which
	 * wakes us; or for another database, that may not take its turn.
	 */
	if (wake <= now)
		until = Min(until, clock + Min(FIRST_PAUSE, pool_pause()) * INT64CONST(1000));
	else if (wake != DT_NOEND)
		until = Min(until, clock + (wake - now));
	return Max(until - clock + 999, 0) / 1000;
}

/* Sleeps until there is something to do. */
static void
sleep_until(TimestampTz wake)
{
	TimestampTz now = clock_now();
	long		milliseconds = time_to_wait(wake, now);

	if (wake > now && milliseconds > 0 && !scheduler.reload && move_clock(wake))
		return;
	pgstat_report_activity(STATE_IDLE, NULL);
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

/* Forgets what was begun and not done when an error came. */
static void
start_over(void)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	pool_break_promises(MyDatabaseId);
	LWLockRelease(&shared->lock);
	for (int i = 0; scheduler.agenda != NULL && i < scheduler.agenda->njobs; i++)
	{
		AgendaJob  *job = &scheduler.agenda->jobs[i];

		if (job->state != SLOT_RUNNING)
			job->worker = -1;
	}
	scheduler.reload = true;
}

/*
 * Does a part of the work.  An error is logged, and what the part did is undone; then
 * everything stops for a while, if that is asked for.
 */
static void
survive(void (*part) (TimestampTz now), TimestampTz now, bool pause)
{
	PG_TRY();
	{
		part(now);
		scheduler.failures = pause ? 0 : scheduler.failures;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(TopMemoryContext);
		HOLD_INTERRUPTS();
		EmitErrorReport();
		AbortCurrentTransaction();
		LWLockReleaseAll();
		FlushErrorState();
		RESUME_INTERRUPTS();
		start_over();
		if (pause)
			scheduler.not_before = GetCurrentTimestamp() +
				Min(FIRST_PAUSE << Min(scheduler.failures++, 10), LONGEST_PAUSE) * INT64CONST(1000);
	}
	PG_END_TRY();
}

/* Collects, settles and starts jobs. */
static void
serve(TimestampTz now)
{
	collect_ended(now);
	settle_slots(now);
	dispatch(now);
}

/* What is done each time the scheduler wakes. */
static void
work(void)
{
	TimestampTz now = clock_now();

	if (GetCurrentTimestamp() < scheduler.not_before)
		return;
	scheduler.more = false;
	AcceptInvalidationMessages();
	notice_clock(now);
	if (scheduler.reload && GetCurrentTimestamp() >= scheduler.reload_not_before)
		survive(load_jobs, now, scheduler.agenda == NULL);
	if (scheduler.agenda == NULL)
		return;
	survive(serve, now, true);
	survive(trim_history, now, false);
}

/* SIGTERM: pg_terminate_backend(), or a shutdown. */
static void
terminate(SIGNAL_ARGS)
{
	scheduler.terminated = true;
	die(postgres_signal_arg);
}

/* Connects, and finds out whether there is something to do here. */
static void
scheduler_start(Oid database)
{
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	pgstat_report_appname("batchagg scheduler");
	settings_pin();
	SetConfigOption("lock_timeout", "5s", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION);
	CacheRegisterRelcacheCallback(relation_invalidated, (Datum) 0);
	CacheRegisterSyscacheCallback(DATABASEOID, database_invalidated, (Datum) 0);

	begin_transaction();
	scheduler.database_hash = GetSysCacheHashValue1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
	scheduler.database = MemoryContextStrdup(TopMemoryContext, get_database_name(MyDatabaseId));
	check_service();
	end_transaction();
	scheduler.reload = true;
	scheduler.next_trim = clock_now() + TRIM_PAUSE;
	pgstat_report_activity(STATE_IDLE, psprintf("batchagg scheduler of database %s",
												scheduler.database));
	ereport(LOG, (errmsg("batchagg scheduler started in database \"%s\"", scheduler.database)));
}

/*
 * SIGHUP: reads the configuration, and what ALTER DATABASE says, which may have
 * switched the service off here.
 */
static void
reload_settings(void)
{
	Relation	settings;
	Snapshot	snapshot;

	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);

	begin_transaction();
	settings = table_open(DbRoleSettingRelationId, AccessShareLock);
	snapshot = RegisterSnapshot(GetCatalogSnapshot(DbRoleSettingRelationId));
	ApplySetting(snapshot, MyDatabaseId, InvalidOid, settings, PGC_S_DATABASE);
	UnregisterSnapshot(snapshot);
	table_close(settings, AccessShareLock);
	end_transaction();

	scheduler.reload = true;
	scheduler.next_trim = 0;
}

/*
 * A scheduler's process; its argument is the database's oid.
 */
void
batchagg_scheduler_main(Datum main_arg)
{
	Oid			database = DatumGetObjectId(main_arg);

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, terminate);
	pqsignal(SIGINT, StatementCancelHandler);	/* lock_timeout sends it, too */
	BackgroundWorkerUnblockSignals();

	(void) shared_attach(false);
	scheduler.started = GetCurrentTimestamp();
	if (!scheduler_attach(database))
		proc_exit(0);
	scheduler_start(database);

	while (!is_asked_to_leave())
	{
		work();
		sleep_until(next_wake());
		/* Who cancels what has just ended cancels nothing. */
		QueryCancelPending = false;
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
			reload_settings();
	}
	proc_exit(0);
}

/*
 * Asks the postmaster for a scheduler of a database.  False where it has no
 * room for one.
 */
bool
scheduler_launch(Oid database)
{
	BackgroundWorker worker;

	launcher_describe(&worker);
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_function_name, "batchagg_scheduler_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "batchagg scheduler", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "batchagg scheduler", BGW_MAXLEN);
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	return RegisterDynamicBackgroundWorker(&worker, NULL);
}

/*
 * Has the database of this session a scheduler?  One that has come where the service
 * is switched off goes again.
 */
bool
scheduler_is_here(void)
{
	const SharedDatabase *database;
	bool		result;

	if (!batchagg_enabled || !shared_attach(true))
		return false;
	LWLockAcquire(&shared->lock, LW_SHARED);
	database = shared_own_database();
	result = database != NULL && database->scheduler != 0;
	LWLockRelease(&shared->lock);
	return result;
}
