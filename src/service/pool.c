/*-------------------------------------------------------------------------
 *
 * pool.c
 *	  The pool of workers, from the view of one database's scheduler: who gets
 *	  one, and who has to wait.
 *
 * Workers are shared by all databases, batchagg.max_concurrent_jobs of them, or what
 * max_worker_processes leaves.  As long as there are enough, each database has as
 * many as it can use.  When they are scarce, one that waits takes precedence over
 * those that have more, until their numbers are even; where there are more databases
 * than workers, they take turns.
 *
 * No role has all of them, unless nobody else has jobs: one that has a worker does not
 * take the last place, so that those who have none need not wait until a run has ended.
 * Superusers may.
 *
 * There can be fewer than that, as other extensions and parallel queries use
 * processes too.  Nobody can ask how many are left, only try; so one who was
 * refused waits, longer each time, but not where a worker has ended since.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "replication/logicallauncher.h"
#include "utils/timestamp.h"

#include "service/pool.h"
#include "service/service.h"

/* Pauses where no process was to be had, milliseconds: to try costs little. */
#define FIRST_PROCESS_PAUSE 100
#define LONGEST_PROCESS_PAUSE 4000

/* What goes on is logged again after this. */
#define SAY_AGAIN USECS_PER_HOUR

/* A worker that has not come after this will not come. */
#define START_TIMEOUT (20 * USECS_PER_SEC)

/* Processes that the service needs, beside those that run jobs: launcher, scheduler. */
#define PROCESSES_OF_SERVICE 2

/* When no process was to be had, last. */
static struct
{
	TimestampTz until;			/* do not try before */
	int			pause;			/* milliseconds; 0: the last try found one */
	uint64		departures;		/* workers that had ended by then */
	TimestampTz said;			/* in the log; 0: never */
}			pool;

/*
 * Lets workers go that were promised jobs which they will not get now.  The caller
 * holds the lock.
 */
void
pool_break_promises(Oid id)
{
	Assert(LWLockHeldByMe(&shared->lock));
	for (int i = 0; i < MAX_CONCURRENT_JOBS; i++)
	{
		SharedWorker *worker = &shared->workers[i];

		if (worker->state == WORKER_BUSY && worker->database == id && worker->njobs == 0)
		{
			worker->state = WORKER_IDLE;
			shared_dismiss(worker);
		}
	}
}

/*
 * Frees the entries of workers that were asked for and have not come: in any
 * database, as its scheduler may be gone.  The caller holds the lock.
 */
void
pool_free_unborn(void)
{
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < MAX_CONCURRENT_JOBS; i++)
	{
		SharedWorker *worker = &shared->workers[i];

		if (worker->state != WORKER_FREE && worker->pid == 0 &&
			now - worker->reserved > START_TIMEOUT)
			worker->state = WORKER_FREE;
	}
}

/*
 * Lets the next try not wait: a worker may have made room, or the clock was set.
 */
void
pool_try_again(void)
{
	pool.until = 0;
}

/*
 * Milliseconds until it makes sense to try again to start a process; INT_MAX
 * where nothing speaks against it now.
 */
long
pool_pause(void)
{
	TimestampTz now = GetCurrentTimestamp();

	return pool.until > now ? (pool.until - now) / 1000 + 1 : INT_MAX;
}

/* How many workers a database has; InvalidOid: all databases. */
static int
count_workers(Oid database)
{
	int			n = 0;

	Assert(LWLockHeldByMe(&shared->lock));
	for (int i = 0; i < MAX_CONCURRENT_JOBS; i++)
	{
		const SharedWorker *worker = &shared->workers[i];

		n += worker->state != WORKER_FREE &&
			(!OidIsValid(database) || worker->database == database);
	}
	return n;
}

/*
 * How many databases have a better claim to a new worker than this one: they wait,
 * and have fewer, or as few and have waited longer.
 */
static int
count_claims(void)
{
	const SharedDatabase *own = shared_own_database();
	int			have = count_workers(MyDatabaseId);
	int			n = 0;

	for (int i = 0; i < SHARED_DATABASES; i++)
	{
		const SharedDatabase *other = &shared->databases[i];
		int			others;

		if (!OidIsValid(other->id) || other->id == MyDatabaseId || other->waiting == 0)
			continue;
		others = count_workers(other->id);
		n += others < have || (others == have && (own == NULL || own->waiting == 0 ||
												  other->waiting_since < own->waiting_since));
	}
	return n;
}

/* PostgreSQL's launcher of logical replication is a background worker too. */
static int
count_other_processes(void)
{
	return PROCESSES_OF_SERVICE + (max_logical_replication_workers > 0);
}

/*
 * Returns how many workers there may be at the same time, of all databases: no more
 * than max_worker_processes leaves, and at least one.
 */
int
pool_limit(void)
{
	return Max(1, Min(batchagg_max_concurrent_jobs,
					  max_worker_processes - count_other_processes()));
}

/*
 * Returns the least max_worker_processes that leaves batchagg.max_concurrent_jobs.
 */
int
pool_processes_needed(void)
{
	return batchagg_max_concurrent_jobs + count_other_processes();
}

/* How many workers may be started, of all databases; negative: there are too many. */
static int
count_places(void)
{
	return pool_limit() - count_workers(InvalidOid);
}

/* Does any database wait for a process? */
static bool
are_processes_wanting(void)
{
	for (int i = 0; i < SHARED_DATABASES; i++)
	{
		const SharedDatabase *database = &shared->databases[i];

		if (OidIsValid(database->id) && database->waiting > 0 &&
			database->obstacle == OBSTACLE_PROCESSES)
			return true;
	}
	return false;
}

/*
 * Is it too early to try again?  Not where a worker has ended since: the postmaster
 * has its process free now, or in a moment.
 */
static bool
has_been_refused(void)
{
	return shared->departures == pool.departures &&
		GetCurrentTimestamp() < pool.until;
}

/*
 * What keeps this database from a new worker?  Where processes are wanting, nobody
 * knows how many are to be had, and who has the best claim comes first; before
 * all of them, a database without a scheduler, if one worker remains.
 */
static Obstacle
obstacle_to_worker(void)
{
	int			places = count_places();
	bool		wanting = are_processes_wanting();

	if (places <= 0)
		return OBSTACLE_POOL;
	if (has_been_refused() || (shared->scheduler_wanted && count_workers(InvalidOid) > 0))
		return OBSTACLE_PROCESSES;
	if (count_claims() < (wanting ? 1 : places))
		return OBSTACLE_NONE;
	return wanting ? OBSTACLE_PROCESSES : OBSTACLE_POOL;
}

/*
 * Must an idle worker of ours go, instead of being given a job?  There may be more
 * than the setting, lowered since, allows.  Or another database waits in vain, for
 * a scheduler, or for a worker and would have no more of them than we after that, or
 * has none at all; one such worker of ours at a time.
 */
static bool
must_make_way(void)
{
	int			have = count_workers(MyDatabaseId);
	int			places = count_places();
	bool		result = false;

	if (places < 0)
		return true;
	for (int i = 0; i < MAX_CONCURRENT_JOBS; i++)
	{
		if (shared->workers[i].state == WORKER_LEAVING)
			return false;
	}
	if (shared->scheduler_wanted && count_workers(InvalidOid) > 1)
		return true;
	for (int i = 0; i < SHARED_DATABASES && !result; i++)
	{
		const SharedDatabase *other = &shared->databases[i];
		int			others;

		if (!OidIsValid(other->id) || other->id == MyDatabaseId || other->waiting == 0 ||
			(places > 0 && other->obstacle != OBSTACLE_PROCESSES))
			continue;
		others = count_workers(other->id);
		result = others + 1 < have || (others == 0 && have > 0);
	}
	return result;
}

/* Has anybody but this role jobs that the service looks after? */
static bool
others_have_jobs(Oid owner)
{
	for (int i = 0; i < SHARED_DATABASES; i++)
	{
		const SharedDatabase *database = &shared->databases[i];

		if (OidIsValid(database->id) && database->scheduler != 0 &&
			(database->owners > 1 || (database->owners == 1 && database->owner != owner)))
			return true;
	}
	return false;
}

/*
 * Must a role that is no superuser leave what is left to those that have no worker?
 * Idle workers are no obstacle to these, as they go.
 */
static bool
must_leave_last_place(Oid owner)
{
	int			left = count_places();
	int			workers = 0;

	for (int i = 0; i < MAX_CONCURRENT_JOBS; i++)
	{
		const SharedWorker *worker = &shared->workers[i];

		left += worker->state == WORKER_IDLE || worker->state == WORKER_LEAVING;
		workers += worker->state == WORKER_BUSY && worker->owner == owner;
	}
	return left <= 1 && workers > 0 && pool_limit() > 1 && others_have_jobs(owner);
}

/*
 * Does a role get no worker now, as the last place is for others?
 */
bool
pool_keeps_last_place(Oid owner)
{
	bool		result;

	if (superuser_arg(owner))
		return false;
	LWLockAcquire(&shared->lock, LW_SHARED);
	result = must_leave_last_place(owner);
	LWLockRelease(&shared->lock);
	return result;
}

/* Will the database of a worker need it itself, as far as is known? */
static bool
is_needed_at_home(const SharedWorker *worker)
{
	const SharedDatabase *database = shared_database(worker->database, false);

	return worker->database != MyDatabaseId && database != NULL && database->waiting > 0;
}

/* Sends an idle worker of anybody's away, so that another can come. */
static void
make_room(void)
{
	SharedWorker *idle = NULL;

	for (int i = 0; i < MAX_CONCURRENT_JOBS; i++)
	{
		SharedWorker *worker = &shared->workers[i];

		if (worker->state == WORKER_LEAVING)
			return;
		if (worker->state == WORKER_IDLE && !is_needed_at_home(worker))
			idle = worker;
	}
	if (idle != NULL)
		shared_dismiss(idle);
}

/* Takes an idle worker that is connected as `owner`; its number, or -1. */
static int
take_idle_worker(Oid owner)
{
	for (int i = 0; i < MAX_CONCURRENT_JOBS; i++)
	{
		SharedWorker *worker = &shared->workers[i];

		if (worker->state != WORKER_IDLE || worker->database != MyDatabaseId ||
			worker->owner != owner)
			continue;
		worker->state = WORKER_BUSY;
		return i;
	}
	return -1;
}

/* Reserves an entry for a new worker; its number, or -1. */
static int
reserve_worker(Oid owner)
{
	for (int i = 0; i < MAX_CONCURRENT_JOBS; i++)
	{
		SharedWorker *worker = &shared->workers[i];

		if (worker->state != WORKER_FREE)
			continue;
		memset(worker, 0, sizeof(SharedWorker));
		worker->state = WORKER_BUSY;
		worker->token = ++shared->last_token;
		worker->database = MyDatabaseId;
		worker->owner = owner;
		worker->reserved = GetCurrentTimestamp();
		return i;
	}
	return -1;
}

/*
 * Says that there are no processes, but not again and again, and waits longer each
 * time.
 */
static void
note_refused(uint64 departures)
{
	TimestampTz now = GetCurrentTimestamp();

	if (pool.said == 0 || now - pool.said > SAY_AGAIN)
	{
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("batchagg could not start a worker in database \"%s\": no background worker slot is free",
						get_database_name(MyDatabaseId)),
				 errdetail("Due jobs wait until one is."),
				 errhint("You might need to increase max_worker_processes."),
				 errhidestmt(true)));
		pool.said = now;
	}
	pool.pause = pool.pause == 0 ||
		pool.departures != departures ? FIRST_PROCESS_PAUSE :
		Min(2 * pool.pause, LONGEST_PROCESS_PAUSE);
	pool.until = now + pool.pause * INT64CONST(1000);
	pool.departures = departures;
}

/*
 * A worker for a role: an idle one, or a new one.  Returns its number, or -1 and
 * sets *obstacle.  In a transaction.
 */
int
pool_find_worker(Oid owner, Obstacle *obstacle)
{
	int			number;
	bool		fresh = false;
	uint64		departures;

	if (pool_keeps_last_place(owner))
	{
		*obstacle = OBSTACLE_LAST_PLACE;
		return -1;
	}
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	departures = shared->departures;
	number = must_make_way() ? -1 : take_idle_worker(owner);
	if (number < 0)
	{
		*obstacle = obstacle_to_worker();
		if (*obstacle != OBSTACLE_NONE)
			make_room();
		else
		{
			number = reserve_worker(owner);
			fresh = true;
		}
	}
	LWLockRelease(&shared->lock);

	if (number < 0 || !fresh)
		return number;
	if (worker_launch(number))
	{
		pool.pause = 0;
		return number;
	}
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	shared->workers[number].state = WORKER_FREE;
	make_room();
	LWLockRelease(&shared->lock);
	note_refused(departures);
	*obstacle = OBSTACLE_PROCESSES;
	return -1;
}
