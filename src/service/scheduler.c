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
 *		of those (settle.c).  A slot that is still running in the ledger has lost its
 *		worker: it is to be tried again, or has failed for good;
 *	 3. passes over slots that are not to be run;
 *	 4. gives the jobs that are due to workers (dispatch.c);
 *	 5. removes some of what is too old.
 *
 * No job can end it, nor keep it from the others.  What is done for one job is
 * undone where it fails, and that job is left for a while (jobwork.c); what fails
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

#include "model/ext.h"
#include "service/dispatch.h"
#include "service/jobwork.h"
#include "service/pgcron.h"
#include "service/pool.h"
#include "service/service.h"
#include "service/settle.h"
#include "service/turns.h"
#include "slots/clock.h"
#include "slots/order.h"

/* The longest sleep, milliseconds: steps of the clock are seen then. */
#define MAX_SLEEP 10000

/* A clock that is off by more than this after a sleep has been set. */
#define CLOCK_LEAP USECS_PER_MINUTE

/* Jobs that change all the time are read again for a part of the time only. */
#define PAUSE_PER_LOAD 4

/* A scheduler that has lived as long has not failed at its start. */
#define PROVED (60 * USECS_PER_SEC)

/* Old rows are removed so many at a time, with pauses in between. */
#define TRIM_ROWS 2000
#define TRIM_PAUSE (2 * USECS_PER_SEC)
#define TRIM_INTERVAL (USECS_PER_HOUR / 4)

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
}			scheduler;

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
	if (!may_stay() || !ext_is_usable() || !worker_drives())
	{
		jobwork_end();
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
		settle_reconsider(job);
}

/* Makes an agenda the scheduler's, with what is known of its jobs. */
static void
use_agenda(Agenda *agenda, TimestampTz now)
{
	Agenda	   *before = scheduler.agenda;

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

	/* Nothing fails from here on. */
	MemoryContextSetParent(agenda->context, TopMemoryContext);
	scheduler.agenda = agenda;
	if (before)
		MemoryContextDelete(before->context);
}

/*
 * Reads all jobs.  Where that takes long, or fails, the next time is put off: somebody
 * may be changing jobs again and again.
 */
static void
load_jobs(TimestampTz now)
{
	TimestampTz began = GetCurrentTimestamp();
	Agenda	   *agenda;

	scheduler.reload_not_before = began + FIRST_PAUSE * INT64CONST(1000);
	jobwork_begin();
	check_service();
	scheduler.jobs_relid = ext_relid("batch_jobs");
	scheduler.reload = false;
	/* Until it is in use, an agenda goes with the transaction. */
	agenda = agenda_load(CurTransactionContext, true, NULL);
	order_agenda(agenda);
	use_agenda(agenda, now);
	jobwork_end();
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

/* Removes a part of what is older than batchagg.history_retention. */
static void
trim_history(TimestampTz now)
{
	int			removed;

	if (batchagg_history_retention == 0 || now < scheduler.next_trim)
		return;
	scheduler.next_trim = now + TRIM_INTERVAL;
	jobwork_begin();
	removed = ledger_trim(batchagg_history_retention, TRIM_ROWS);
	jobwork_end();
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
	 * A job that is ready and was not started waits for a worker to end, which wakes us; or for
	 * another database, that may not take its turn.
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
	settle_ended(scheduler.agenda, now);
	scheduler.more |= settle_skipped(scheduler.agenda, now);
	dispatch(scheduler.agenda, now, &scheduler.more, &scheduler.reload);
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

	jobwork_begin();
	scheduler.database_hash = GetSysCacheHashValue1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
	scheduler.database = MemoryContextStrdup(TopMemoryContext, get_database_name(MyDatabaseId));
	check_service();
	jobwork_end();
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

	jobwork_begin();
	settings = table_open(DbRoleSettingRelationId, AccessShareLock);
	snapshot = RegisterSnapshot(GetCatalogSnapshot(DbRoleSettingRelationId));
	ApplySetting(snapshot, MyDatabaseId, InvalidOid, settings, PGC_S_DATABASE);
	UnregisterSnapshot(snapshot);
	table_close(settings, AccessShareLock);
	jobwork_end();

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
