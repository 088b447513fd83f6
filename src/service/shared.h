/*-------------------------------------------------------------------------
 *
 * shared.h
 *	  What the processes of the service share: who looks after which database,
 *	  and which worker runs which jobs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_SHARED_H
#define BATCHAGG_SHARED_H

#include "datatype/timestamp.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

#include "model/together.h"
#include "settings.h"

/* Databases that the service can look after. */
#define SHARED_DATABASES 64

/* Why due jobs of a database do not start. */
typedef enum Obstacle
{
	OBSTACLE_NONE,
	OBSTACLE_POOL,				/* max_concurrent_jobs workers are there */
	OBSTACLE_PROCESSES,			/* max_worker_processes processes are there */
	OBSTACLE_LAST_PLACE			/* one is left, for other owners than this */
} Obstacle;

/* A database that has, or may have, the extension. */
typedef struct SharedDatabase
{
	Oid			id;				/* InvalidOid: this entry is free */
	int			scheduler;		/* its pid; 0: none */
	Latch	   *latch;			/* the scheduler's */
	TimestampTz starting;		/* when a scheduler was asked for; 0: none is to come */
	TimestampTz not_before;		/* when the next one may be asked for */
	int			failures;		/* schedulers that failed, one after the other */
	int			held;			/* commands that need the database for themselves */
	bool		changed;		/* jobs have changed since they were read */
	bool		off;			/* wants no scheduler until the settings are read again */
	int			waiting;		/* due jobs that no worker has been found for */
	TimestampTz waiting_since;	/* while some do: since then, or the last new worker */
	Obstacle	obstacle;
	int			owners;			/* of its enabled jobs: how many */
	Oid			owner;			/* one of them */

	/* For tests: a clock of its own, where clock_end is not 0. */
	TimestampTz clock;
	TimestampTz clock_end;
} SharedDatabase;

typedef enum WorkerState
{
	WORKER_FREE,				/* the entry is */
	WORKER_IDLE,				/* waits for jobs */
	WORKER_BUSY,				/* has jobs, or is being started for them */
	WORKER_LEAVING				/* has been told to go */
} WorkerState;

typedef struct SharedWorker
{
	WorkerState state;
	uint64		token;			/* tells this worker from those before it */
	Oid			database;
	Oid			owner;			/* role that it is connected as */
	TimestampTz reserved;		/* when it was asked for */
	int			pid;			/* 0: not started yet */
	Latch	   *latch;

	/* What it runs: jobs of one owner, for slots of the same time. */
	TimestampTz slot;
	int			attempt;		/* at that slot, from 1; of several jobs, the same */
	bool		all_done;		/* what it ran last is done: no need to ask the ledger */
	int			njobs;
	int32		jobs[MAX_GROUP_JOBS];
} SharedWorker;

typedef struct Shared
{
	LWLock		lock;			/* guards all but tranche */
	int			tranche;
	int			launcher;		/* its pid; 0: none */
	Latch	   *launcher_latch;
	bool		stopping;		/* batchagg_stop() was called */
	bool		disabled;		/* batchagg.enabled is off for all databases */
	bool		scheduler_wanted;	/* but there was no process for it */
	bool		databases_changed;	/* the launcher shall look at pg_database */
	uint64		last_token;
	uint64		departures;		/* workers that have ended */
	SharedDatabase databases[SHARED_DATABASES];
	SharedWorker workers[MAX_CONCURRENT_JOBS];
} Shared;

/* NULL before shared_attach(), or where there was no memory for it. */
extern Shared *shared;

extern void shared_request(void);
extern bool shared_attach(bool missing_ok);
extern SharedDatabase *shared_database(Oid id, bool create);
extern SharedDatabase *shared_own_database(void);
extern void shared_wake_launcher(void);
extern void shared_wake_scheduler(SharedDatabase *database);
extern void shared_wake_waiting(void);
extern void shared_dismiss(SharedWorker *worker);
extern bool shared_worker_has(const SharedWorker *worker, int32 job_id);
extern void shared_tell_owners(int n, Oid owner);
extern int	shared_find_worker(int32 job_id, TimestampTz slot, uint64 *token);

extern void shared_set_clock(void);

#endif							/* BATCHAGG_SHARED_H */
