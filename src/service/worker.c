/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  A worker: runs the jobs of one owner, as that owner.
 *
 * A worker is started for the first jobs that it gets, connects as their
 * owner, and goes on as long as the scheduler has more for that owner; when it
 * has been idle for a while, or its place is needed, it ends.
 *
 * Each job is run in a transaction of its own, which also notes in the ledger
 * that its slot is done.  An error ends that transaction; another one then
 * records it, and decides whether the slot is tried again.  Several jobs that
 * come together read the same source, and are first tried in one transaction
 * with shared scans; if that fails, each is run by itself.
 *
 * A worker that dies leaves its slots running in the ledger, where the
 * scheduler finds them.
 *
 * Before version 17 a background worker cannot connect as a role that must not
 * log in.  For such an owner it connects as the bootstrap superuser, and takes
 * the owner's identity before anything else; user-written code runs in a
 * security-restricted operation in any case.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "run/run.h"
#include "service/attempt.h"
#include "service/service.h"

/* How long a worker waits for more jobs, milliseconds. */
#define IDLE_TIME 5000

/* How long a worker waits for jobs that it has been promised. */
#define PROMISE_TIME 30000

static struct
{
	int			number;			/* of our entry */
	uint64		token;
	SharedWorker jobs;			/* a copy of the entry: what we run */
}			own;

static SharedWorker *
own_entry(void)
{
	return &shared->workers[own.number];
}

static void
worker_detach(int code, Datum arg)
{
	SharedWorker *worker = own_entry();
	SharedDatabase *database;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	if (worker->token == own.token)
	{
		database = shared_database(worker->database, false);
		worker->state = WORKER_FREE;
		worker->latch = NULL;
		shared->departures++;
		if (database != NULL)
			shared_wake_scheduler(database);
		shared_wake_waiting();
	}
	LWLockRelease(&shared->lock);
}

/* Takes the entry that was reserved for us; false where it has been given up. */
static bool
worker_attach(const WorkerStart *start)
{
	SharedWorker *worker = own_entry();
	bool		found;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	found = worker->token == start->token && worker->state != WORKER_FREE;
	if (found)
	{
		own.token = worker->token;
		worker->pid = MyProcPid;
		worker->latch = MyLatch;
	}
	LWLockRelease(&shared->lock);
	if (found)
		before_shmem_exit(worker_detach, (Datum) 0);
	return found;
}

#if PG_VERSION_NUM < 170000
/*
 * May a role log in?  One that was dropped in this moment may, as far as is known here:
 * the worker will find out.  In a transaction.
 */
static bool
role_can_login(Oid role)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return true;
	result = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	return result;
}
#endif

/* Connects as the owner of the jobs. */
static void
worker_connect(const WorkerStart *start)
{
#if PG_VERSION_NUM >= 170000
	BackgroundWorkerInitializeConnectionByOid(start->database, start->owner,
											  BGWORKER_BYPASS_ROLELOGINCHECK);
#else
	if (start->can_login)
		BackgroundWorkerInitializeConnectionByOid(start->database, start->owner, 0);
	else
	{
		BackgroundWorkerInitializeConnectionByOid(start->database, InvalidOid, 0);
		StartTransactionCommand();
		SetSessionAuthorization(start->owner, superuser_arg(start->owner));
		CommitTransactionCommand();
	}
#endif
	pgstat_report_appname("batchagg worker");
	/* The owner's own settings must not make somebody else of us. */
	SetConfigOption("role", "none", PGC_USERSET, PGC_S_SESSION);
	settings_pin();
}

/*
 * Waits for jobs, and copies them.  False where there are none to come.
 */
static bool
wait_for_jobs(void)
{
	SharedWorker *worker = own_entry();
	TimestampTz began = GetCurrentTimestamp();
	bool		given_up = false;

	for (;;)
	{
		bool		found;
		bool		leaving;
		bool		promised;
		long		waited;

		LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
		found = worker->state == WORKER_BUSY && worker->njobs > 0;
		promised = worker->state == WORKER_BUSY;
		if (given_up && !found)
			worker->state = WORKER_LEAVING;
		leaving = worker->state == WORKER_LEAVING;
		if (found)
			own.jobs = *worker;
		LWLockRelease(&shared->lock);
		if (found || leaving)
			return found;

		waited = (GetCurrentTimestamp() - began) / 1000;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Max((promised ? PROMISE_TIME : IDLE_TIME) - waited, 1),
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		/* Who cancels a run that has just ended cancels nothing. */
		QueryCancelPending = false;
		CHECK_FOR_INTERRUPTS();
		given_up = GetCurrentTimestamp() - began >=
			(promised ? PROMISE_TIME : IDLE_TIME) * INT64CONST(1000);
	}
}

/* Says that the jobs have ended, and whether the slots of all are done. */
static void
report_ended(bool all_done)
{
	SharedWorker *worker = own_entry();
	SharedDatabase *database;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	worker->state = WORKER_IDLE;
	worker->njobs = 0;
	worker->all_done = all_done;
	database = shared_database(worker->database, false);
	if (database != NULL)
		shared_wake_scheduler(database);

	/* Another database may want our place, if our own does not need it. */
	shared_wake_waiting();

	/* Without a scheduler there is no more to come. */
	if (database == NULL || database->scheduler == 0 || database->held > 0 || shared->stopping)
		worker->state = WORKER_LEAVING;
	LWLockRelease(&shared->lock);
}

/* Runs what the scheduler has given us.  Returns whether all slots are done. */
static bool
run_jobs_given(void)
{
	SlotAttempt attempts[MAX_GROUP_JOBS];
	int			n = own.jobs.njobs;
	bool		all_done = true;
	AttemptEnd	end = ATTEMPT_AGAIN;

	for (int i = 0; i < n; i++)
	{
		attempts[i].job_id = own.jobs.jobs[i];
		attempts[i].slot = own.jobs.slot;
		attempts[i].attempt = own.jobs.attempt;
	}
	if (n > 1)
		end = attempt_together(attempts, n);
	if (end != ATTEMPT_AGAIN)
		return end == ATTEMPT_DONE;
	for (int i = 0; i < n; i++)
		all_done &= attempt_alone(&attempts[i]);
	return all_done;
}

/*
 * A worker's process; its argument is the number of its entry.
 */
void
batchagg_worker_main(Datum main_arg)
{
	WorkerStart start;
	MemoryContext run_context;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	memcpy(&start, MyBgworkerEntry->bgw_extra, sizeof(WorkerStart));
	own.number = DatumGetInt32(main_arg);
	(void) shared_attach(false);
	if (!worker_attach(&start))
		proc_exit(0);
	worker_connect(&start);
	run_context = AllocSetContextCreate(TopMemoryContext, "batchagg worker",
										ALLOCSET_DEFAULT_SIZES);

	while (wait_for_jobs())
	{
		MemoryContextSwitchTo(run_context);
		MemoryContextReset(run_context);
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		report_ended(run_jobs_given());
		pgstat_report_activity(STATE_IDLE, NULL);
		pgstat_report_stat(true);
	}
	proc_exit(0);
}

/*
 * Asks the postmaster for the worker of an entry that is reserved.  False where
 * it has no room for one.  In a transaction.
 */
bool
worker_launch(int number)
{
	const SharedWorker *entry = &shared->workers[number];
	WorkerStart start = {.token = entry->token,.database = entry->database,.owner = entry->owner};
	BackgroundWorker worker;

#if PG_VERSION_NUM < 170000
	start.can_login = role_can_login(start.owner);
#endif
	launcher_describe(&worker);
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_function_name, "batchagg_worker_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "batchagg worker", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "batchagg worker", BGW_MAXLEN);
	worker.bgw_main_arg = Int32GetDatum(number);
	memcpy(worker.bgw_extra, &start, sizeof(WorkerStart));
	return RegisterDynamicBackgroundWorker(&worker, NULL);
}
