/*-------------------------------------------------------------------------
 *
 * turns.c
 *	  Whose turn it is, among jobs that are ready.
 *
 * Turns are taken by owner.  First comes a job of the owner that has the fewest
 * workers; of those that have as few, the one who has had a turn longest ago.
 * So nobody's jobs wait for those of somebody who has thousands of them, or one
 * with years of slots to catch up with: their next worker goes to others.
 *
 * A turn is one worker's work, and more of it for a moment (TURN): where there is
 * one worker for all, it would else be another process for each run.
 *
 * An owner's jobs come in the order in which they have begun to wait
 * (agenda_since): no job that is ready stays so for ever, whatever else becomes
 * ready, as what has just run comes last.
 *
 * What is kept here of owners lasts as long as the scheduler, not as the agenda.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "service/shared.h"
#include "service/turns.h"

/* A turn goes on for so long, if the owner has more to do. */
#define TURN (100 * INT64CONST(1000))

/* For so many jobs of an owner is looked at a time whether they have to wait for others. */
#define MAX_LOOKS 50

/* An owner of jobs. */
typedef struct OwnerTurn
{
	Oid			owner;
	int			workers;		/* that are at its jobs, in all databases */
	uint64		served;			/* number of its last turn; 0: none yet */
	bool		held_back;		/* it gets no worker now */
	int			looks;			/* at what its jobs wait for, this time */
} OwnerTurn;

static struct
{
	OwnerTurn  *owners;			/* by oid */
	int			n;
	uint64		last;			/* number of the last turn */
	Oid			owner;			/* whose it was */
	TimestampTz began;			/* when that began */
}			turns;

static int
compare_owner(const void *a, const void *b)
{
	Oid			first = ((const OwnerTurn *) a)->owner;
	Oid			second = ((const OwnerTurn *) b)->owner;

	return first < second ? -1 : first > second;
}

static OwnerTurn *
find_owner(Oid owner)
{
	OwnerTurn	key = {.owner = owner};

	return turns.n == 0 ? NULL :
		bsearch(&key, turns.owners, turns.n, sizeof(OwnerTurn), compare_owner);
}

/*
 * Takes the owners of an agenda's jobs, and what is known of them.
 */
void
turns_load(Agenda *agenda)
{
	OwnerTurn  *owners = MemoryContextAllocHuge(TopMemoryContext,
												(agenda->njobs + 1) * sizeof(OwnerTurn));
	int			n = 0;

	for (int i = 0; i < agenda->njobs; i++)
	{
		OwnerTurn	owner = {.owner = agenda->jobs[i].owner};

		owners[i] = owner;
	}
	qsort(owners, agenda->njobs, sizeof(OwnerTurn), compare_owner);
	for (int i = 0; i < agenda->njobs; i++)
	{
		OwnerTurn  *known = find_owner(owners[i].owner);

		if (n > 0 && owners[n - 1].owner == owners[i].owner)
			continue;
		owners[n] = owners[i];
		owners[n++].served = known ? known->served : 0;
	}
	if (turns.owners != NULL)
		pfree(turns.owners);
	turns.owners = owners;
	turns.n = n;
	for (int i = 0; i < agenda->njobs; i++)
		agenda->jobs[i].owner_turn = find_owner(agenda->jobs[i].owner) - turns.owners;
	shared_tell_owners(n, n > 0 ? turns.owners[0].owner : InvalidOid);
}

/*
 * Counts the workers of each owner, and lets all of them have more: to be called
 * before workers are looked for.
 */
void
turns_count(void)
{
	for (int i = 0; i < turns.n; i++)
	{
		turns.owners[i].workers = 0;
		turns.owners[i].held_back = false;
		turns.owners[i].looks = 0;
	}
	LWLockAcquire(&shared->lock, LW_SHARED);
	for (int i = 0; i < MAX_CONCURRENT_JOBS; i++)
	{
		const SharedWorker *worker = &shared->workers[i];
		OwnerTurn  *owner = worker->state == WORKER_BUSY ? find_owner(worker->owner) : NULL;

		if (owner != NULL)
			owner->workers++;
	}
	LWLockRelease(&shared->lock);
}

/* Does owner `a` come before `b`?  `going_on` is the one whose turn is not over yet. */
static bool
owner_comes_first(const OwnerTurn *a, const OwnerTurn *b, Oid going_on)
{
	if (a->workers != b->workers)
		return a->workers < b->workers;
	if (a->owner == going_on || b->owner == going_on)
		return a->owner == going_on;
	return a->served < b->served;
}

/*
 * The job whose turn it is; NULL where none is ready, or none may have a worker.
 */
AgendaJob *
turns_next(const Agenda *agenda, TimestampTz now)
{
	Oid			going_on = GetCurrentTimestamp() - turns.began < TURN ? turns.owner : InvalidOid;
	AgendaJob  *result = NULL;
	const OwnerTurn *first = NULL;

	for (int i = 0; i < agenda->njobs; i++)
	{
		AgendaJob  *job = &agenda->jobs[i];
		const OwnerTurn *owner = &turns.owners[job->owner_turn];

		if (job->ready > now || job->worker >= 0 || job->waits_for != 0 || owner->held_back)
			continue;
		if (result == NULL ||
			(owner == first ? agenda_since(job) < agenda_since(result) :
			 owner_comes_first(owner, first, going_on)))
		{
			result = job;
			first = owner;
		}
	}
	return result;
}

/*
 * A job has got a worker: it was its owner's turn.
 */
void
turns_take(const AgendaJob *job)
{
	OwnerTurn  *owner = &turns.owners[job->owner_turn];
	TimestampTz now = GetCurrentTimestamp();

	if (turns.owner != owner->owner || now - turns.began >= TURN || now < turns.began)
		turns.began = now;
	turns.owner = owner->owner;
	owner->served = ++turns.last;
	owner->workers++;
}

/*
 * May the scheduler look whether a job has to wait for another?  For some jobs of each
 * owner at a time, as it takes a while.
 */
bool
turns_may_look(const AgendaJob *job)
{
	return turns.owners[job->owner_turn].looks++ < MAX_LOOKS;
}

/*
 * The owner of a job gets no worker now, and others come next.
 */
void
turns_hold_back(const AgendaJob *job)
{
	turns.owners[job->owner_turn].held_back = true;
}

/*
 * Did the owner of a job get no worker, the last time?
 */
bool
turns_is_held_back(const AgendaJob *job)
{
	return turns.owners[job->owner_turn].held_back;
}
