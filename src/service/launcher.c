/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  The launcher: sees to it that each database with the extension has a
 *	  scheduler.
 *
 * There is one launcher in a server, connected to no database, so that it
 * stands in nobody's way.  Whether a database has the extension can be seen
 * only from inside; so each database is given a scheduler once, which goes
 * again at once where there is nothing for it to do.  After that, a database
 * gets one when its entry in shared memory asks for it: CREATE EXTENSION makes
 * such an entry (wake.c), and an entry stays while the extension does.
 *
 * A scheduler that fails is started again, after a pause that grows with each
 * failure.
 *
 * The launcher itself is started by the postmaster, and again whenever it ends
 * with another exit code than 0; 0 means for good, and is kept for
 * batchagg_stop().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "service/pool.h"
#include "service/service.h"

/* Seconds until the postmaster starts a launcher again that has failed. */
#define LAUNCHER_RESTART_SECONDS 2

/* A scheduler that has not appeared after this was not started at all. */
#define START_TIMEOUT (10 * USECS_PER_SEC)

/* The longest sleep, milliseconds: what else wakes nobody is seen then. */
#define MAX_SLEEP 10000

static struct
{
	MemoryContext context;
	List	   *known;			/* oids of databases that were looked at */
	bool		look;			/* look at pg_database */
	bool		full;			/* the log says that there are too many */
	bool		no_process;		/* the log says that max_worker_processes are used up */
	int			too_many;		/* the max_concurrent_jobs that the log calls too many */
}			launcher;

static void
launcher_detach(int code, Datum arg)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	if (shared->launcher == MyProcPid)
	{
		shared->launcher = 0;
		shared->scheduler_wanted = false;
	}
	LWLockRelease(&shared->lock);
}

/* Becomes the launcher; false where there is one. */
static bool
launcher_attach(void)
{
	bool		first;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	first = shared->launcher == 0;
	if (first)
	{
		shared->launcher = MyProcPid;
		shared->launcher_latch = MyLatch;
		shared->disabled = !batchagg_enabled;
	}
	LWLockRelease(&shared->lock);
	if (first)
		before_shmem_exit(launcher_detach, (Datum) 0);
	return first;
}

static void
database_invalidated(Datum arg, int cacheid, uint32 hashvalue)
{
	launcher.look = true;
}

/* Is there something to do in this database, as far as can be seen from here? */
static bool
may_serve(Form_pg_database database)
{
	return database->datallowconn && !database->datistemplate &&
		settings_serve_database(NameStr(database->datname));
}

/*
 * Makes an entry for a database that was not looked at yet.  False where there
 * is no room.
 */
static bool
meet_database(Oid id)
{
	bool		found;

	if (list_member_oid(launcher.known, id))
		return true;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	found = shared_database(id, true) != NULL;
	LWLockRelease(&shared->lock);
	if (found)
	{
		MemoryContext caller = MemoryContextSwitchTo(launcher.context);

		launcher.known = lappend_oid(launcher.known, id);
		MemoryContextSwitchTo(caller);
	}
	return found;
}

/* Forgets databases that are not among `served` any more. */
static void
forget_databases(List *served)
{
	ListCell   *lc;

	foreach(lc, launcher.known)
	{
		if (!list_member_oid(served, lfirst_oid(lc)))
			launcher.known = foreach_delete_current(launcher.known, lc);
	}

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SHARED_DATABASES; i++)
	{
		SharedDatabase *database = &shared->databases[i];

		if (OidIsValid(database->id) && database->scheduler == 0 && database->held == 0 &&
			!list_member_oid(served, database->id))
			database->id = InvalidOid;
	}
	LWLockRelease(&shared->lock);
}

/* Looks at pg_database: meets new databases, and forgets those that have gone. */
static void
look_at_databases(void)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;
	List	   *served = NIL;
	bool		all = true;

	launcher.look = false;
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

		if (may_serve(database))
			served = lappend_oid(served, database->oid);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);

	forget_databases(served);
	while (served != NIL)
	{
		all &= meet_database(linitial_oid(served));
		served = list_delete_first(served);
	}
	CommitTransactionCommand();

	/* Those for which there was no room are met when others have gone. */
	launcher.look |= !all;
	if (!all && !launcher.full)
		ereport(LOG,
				(errmsg("batchagg looks after %d databases at most, and there are more",
						SHARED_DATABASES),
				 errhint("Name those that have jobs in the setting \"batchagg.databases\".")));
	launcher.full = !all;
}

/*
 * Finds a database that wants a scheduler now, and notes that one is asked
 * for.  InvalidOid where there is none; then *wait is lowered to the
 * milliseconds until there may be one.
 */
static Oid
next_database(long *wait)
{
	TimestampTz now = GetCurrentTimestamp();
	Oid			result = InvalidOid;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SHARED_DATABASES && !OidIsValid(result); i++)
	{
		SharedDatabase *database = &shared->databases[i];

		if (!OidIsValid(database->id) || database->scheduler != 0 || database->held > 0 ||
			database->off)
			continue;
		if (database->starting != 0 && now - database->starting < START_TIMEOUT &&
			now >= database->starting)
			continue;
		if (database->not_before > now && database->not_before < now + USECS_PER_HOUR)
			*wait = Min(*wait, (database->not_before - now) / 1000 + 1);
		else
		{
			database->starting = now;
			result = database->id;
		}
	}
	LWLockRelease(&shared->lock);
	return result;
}

/* A scheduler could not be started: tries again after a while. */
static void
no_process(Oid id)
{
	SharedDatabase *database;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	database = shared_database(id, false);
	if (database != NULL)
	{
		database->starting = 0;
		database->not_before = GetCurrentTimestamp() + 2 * USECS_PER_SEC;
	}
	shared->scheduler_wanted = true;
	LWLockRelease(&shared->lock);
	if (!launcher.no_process)
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("batchagg could not start a scheduler: no background worker slot is free"),
				 errhint("You might need to increase max_worker_processes.")));
	launcher.no_process = true;
}

/* All schedulers that were wanted have been started. */
static void
enough_processes(void)
{
	if (!launcher.no_process)
		return;
	launcher.no_process = false;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	shared->scheduler_wanted = false;
	LWLockRelease(&shared->lock);
}

/* Starts the schedulers that are wanted.  Returns how long to sleep. */
static long
start_schedulers(void)
{
	long		wait = MAX_SLEEP;
	Oid			id;

	while (OidIsValid(id = next_database(&wait)))
	{
		if (!scheduler_launch(id))
			no_process(id);
	}
	if (wait == MAX_SLEEP)
		enough_processes();
	return wait;
}

/* Is the launcher to go for good? */
static bool
is_stopped(void)
{
	bool		result;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	result = shared->stopping;
	launcher.look |= shared->databases_changed;
	shared->databases_changed = false;
	LWLockRelease(&shared->lock);
	return result;
}

/*
 * Logs that max_worker_processes leaves less than max_concurrent_jobs, once for each
 * value of that.
 */
static void
say_limit(void)
{
	int			needed = pool_processes_needed();

	if (needed <= max_worker_processes)
		launcher.too_many = 0;
	else if (launcher.too_many != batchagg_max_concurrent_jobs)
	{
		launcher.too_many = batchagg_max_concurrent_jobs;
		ereport(LOG,
				(errmsg_plural("batchagg can run %d job at a time, fewer than batchagg.max_concurrent_jobs (%d), because max_worker_processes is %d",
							   "batchagg can run %d jobs at a time, fewer than batchagg.max_concurrent_jobs (%d), because max_worker_processes is %d",
							   pool_limit(), pool_limit(), batchagg_max_concurrent_jobs, max_worker_processes),
				 errhint("Increase max_worker_processes to %d to run as many as batchagg.max_concurrent_jobs.",
						 needed)));
	}
}

/*
 * Tells the schedulers whether the service is switched off, which a database's own
 * value may hide from them; and that databases may be switched on again.
 */
static void
tell_whether_enabled(void)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	shared->disabled = !batchagg_enabled;
	for (int i = 0; i < SHARED_DATABASES; i++)
	{
		shared->databases[i].off = false;
		if (shared->disabled)
			shared_wake_scheduler(&shared->databases[i]);
	}
	LWLockRelease(&shared->lock);
}

static void
reload_settings(void)
{
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	list_free(launcher.known);
	launcher.known = NIL;
	launcher.look = true;
	tell_whether_enabled();
	say_limit();
}

/*
 * Fills in what the postmaster is told about the launcher.
 */
void
launcher_describe(BackgroundWorker *worker)
{
	memset(worker, 0, sizeof(BackgroundWorker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = LAUNCHER_RESTART_SECONDS;
	strlcpy(worker->bgw_library_name, "batchagg", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, "batchagg_launcher_main", BGW_MAXLEN);
	strlcpy(worker->bgw_name, "batchagg launcher", BGW_MAXLEN);
	strlcpy(worker->bgw_type, "batchagg launcher", BGW_MAXLEN);
}

/*
 * The launcher's process.
 */
void
batchagg_launcher_main(Datum main_arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, SIG_IGN);
	BackgroundWorkerUnblockSignals();

	(void) shared_attach(false);
	if (!launcher_attach())
		proc_exit(0);
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	settings_pin();
	pgstat_report_appname("batchagg launcher");
	launcher.context = AllocSetContextCreate(TopMemoryContext, "batchagg launcher",
											 ALLOCSET_DEFAULT_SIZES);
	CacheRegisterSyscacheCallback(DATABASEOID, database_invalidated, (Datum) 0);
	launcher.look = true;
	say_limit();
	ereport(LOG, (errmsg("batchagg launcher started")));

	while (!is_stopped())
	{
		long		wait = MAX_SLEEP;

		AcceptInvalidationMessages();
		if (batchagg_enabled)
		{
			if (launcher.look)
				look_at_databases();
			wait = start_schedulers();
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
			reload_settings();
	}
	ereport(LOG, (errmsg("batchagg launcher stopped")));
	proc_exit(0);
}
