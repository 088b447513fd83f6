/*-------------------------------------------------------------------------
 *
 * shared.c
 *	  What the processes of the service share.
 *
 * One structure of fixed size, made at the server's start where the library is
 * preloaded.  Where it is not, the first process that needs it makes it from
 * the reserve that PostgreSQL keeps for such cases; it is small for that
 * reason.  Nothing in it outlives the server, and nothing in it needs to:
 * what must not be lost is in tables.
 *
 * A process that dies in an orderly way frees its entries in an exit callback.
 * One that does not takes the server through a restart, which empties it all.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "service/shared.h"
#include "slots/clock.h"

Shared	   *shared = NULL;

static shmem_request_hook_type previous_request = NULL;
static shmem_startup_hook_type previous_startup = NULL;

static void
request(void)
{
	if (previous_request)
		previous_request();
	RequestAddinShmemSpace(MAXALIGN(sizeof(Shared)));
}

static void
startup(void)
{
	if (previous_startup)
		previous_startup();
	shared = NULL;
	(void) shared_attach(false);
}

/*
 * Asks for the memory.  For _PG_init() while libraries are preloaded.
 */
void
shared_request(void)
{
	previous_request = shmem_request_hook;
	shmem_request_hook = request;
	previous_startup = shmem_startup_hook;
	shmem_startup_hook = startup;
}

static void
initialize(Shared *fresh)
{
	memset(fresh, 0, sizeof(Shared));
	fresh->tranche = LWLockNewTrancheId();
	LWLockInitialize(&fresh->lock, fresh->tranche);
}

/*
 * Finds the structure, or makes it.  Returns whether it is there; with
 * missing_ok, want of memory is no ERROR.
 */
bool
shared_attach(bool missing_ok)
{
	MemoryContext caller = CurrentMemoryContext;
	Shared	   *volatile result = NULL;

	if (shared != NULL)
		return true;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	PG_TRY();
	{
		bool		found;

		result = ShmemInitStruct("batchagg", sizeof(Shared), &found);
		if (!found)
			initialize(result);
	}
	PG_CATCH();
	{
		if (!missing_ok || geterrcode() != ERRCODE_OUT_OF_MEMORY)
			PG_RE_THROW();
		/* The error has forgotten the count that LWLockRelease() takes from. */
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(caller);
		FlushErrorState();
	}
	PG_END_TRY();
	LWLockRelease(AddinShmemInitLock);

	if (result != NULL)
		LWLockRegisterTranche(result->tranche, "batchagg");
	shared = result;
	return shared != NULL;
}

/*
 * The entry of database `id`; with `create`, a new one where there is none.
 * NULL where there is none, or no place for it.  The caller holds the lock.
 */
SharedDatabase *
shared_database(Oid id, bool create)
{
	SharedDatabase *place = NULL;

	Assert(LWLockHeldByMe(&shared->lock));
	for (int i = 0; i < SHARED_DATABASES; i++)
	{
		SharedDatabase *database = &shared->databases[i];

		if (database->id == id)
			return database;
		if (place == NULL && !OidIsValid(database->id))
			place = database;
	}
	if (!create || place == NULL)
		return NULL;
	memset(place, 0, sizeof(SharedDatabase));
	place->id = id;
	return place;
}

/*
 * The entry of this process's database; NULL where there is none.  The caller
 * holds the lock.
 */
SharedDatabase *
shared_own_database(void)
{
	return shared_database(MyDatabaseId, false);
}

/* The caller holds the lock. */
void
shared_wake_launcher(void)
{
	Assert(LWLockHeldByMe(&shared->lock));
	if (shared->launcher != 0)
		SetLatch(shared->launcher_latch);
}

/* The caller holds the lock. */
void
shared_wake_scheduler(SharedDatabase *database)
{
	Assert(LWLockHeldByMe(&shared->lock));
	if (database->scheduler != 0)
		SetLatch(database->latch);
}

/*
 * Wakes the schedulers that have not found enough workers: one may be had now.
 * The caller holds the lock.
 */
void
shared_wake_waiting(void)
{
	Assert(LWLockHeldByMe(&shared->lock));
	for (int i = 0; i < SHARED_DATABASES; i++)
	{
		if (OidIsValid(shared->databases[i].id) && shared->databases[i].waiting > 0)
			shared_wake_scheduler(&shared->databases[i]);
	}
}

/*
 * Tells an idle worker to go; it may be one that has not come yet, and sees it
 * when it does.  The caller holds the lock.
 */
void
shared_dismiss(SharedWorker *worker)
{
	Assert(LWLockHeldByMe(&shared->lock));
	Assert(worker->state == WORKER_IDLE);
	worker->state = WORKER_LEAVING;
	if (worker->latch != NULL)
		SetLatch(worker->latch);
}

/*
 * Has a worker this job in its hands?  The caller holds the lock.
 */
bool
shared_worker_has(const SharedWorker *worker, int32 job_id)
{
	Assert(LWLockHeldByMe(&shared->lock));
	for (int i = 0; worker->state == WORKER_BUSY && i < worker->njobs; i++)
	{
		if (worker->jobs[i] == job_id)
			return true;
	}
	return false;
}

/*
 * Tells how many owners the enabled jobs of this database have, and one of them.  The
 * caller does not hold the lock.
 */
void
shared_tell_owners(int n, Oid owner)
{
	SharedDatabase *database;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	database = shared_own_database();
	if (database != NULL)
	{
		database->owners = n;
		database->owner = owner;
	}
	LWLockRelease(&shared->lock);
}

/*
 * The number of the worker that has a slot of a job of this database in its
 * hands, and its token; -1: none.  The caller does not hold the lock.
 */
int
shared_find_worker(int32 job_id, TimestampTz slot, uint64 *token)
{
	int			result = -1;

	LWLockAcquire(&shared->lock, LW_SHARED);
	for (int i = 0; i < MAX_CONCURRENT_JOBS; i++)
	{
		const SharedWorker *worker = &shared->workers[i];

		if (worker->database != MyDatabaseId || worker->slot != slot ||
			!shared_worker_has(worker, job_id))
			continue;
		result = i;
		*token = worker->token;
	}
	LWLockRelease(&shared->lock);
	return result;
}

/*
 * What time it is, which may be a test's.
 */
static TimestampTz
shared_clock(void)
{
	TimestampTz result = 0;
	SharedDatabase *database;

	if (shared != NULL)
	{
		LWLockAcquire(&shared->lock, LW_SHARED);
		database = shared_own_database();
		if (database != NULL && database->clock_end != 0)
			result = database->clock;
		LWLockRelease(&shared->lock);
	}
	return result != 0 ? result : GetCurrentTimestamp();
}

/*
 * Has slots go by the clock that tests can set.  For _PG_init().
 */
void
shared_set_clock(void)
{
	clock_now = shared_clock;
}
