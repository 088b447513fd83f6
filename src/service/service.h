/*-------------------------------------------------------------------------
 *
 * service.h
 *	  The background processes: how they are started, and what they say to each
 *	  other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_SERVICE_H
#define BATCHAGG_SERVICE_H

#include "postmaster/bgworker.h"

#include "service/shared.h"

/* What a worker is told at its start, in bgw_extra. */
typedef struct WorkerStart
{
	uint64		token;
	Oid			database;
	Oid			owner;
	bool		can_login;		/* the owner may log in; before version 17 */
} WorkerStart;

/* launcher.c */
extern void launcher_describe(BackgroundWorker *worker);

/* scheduler.c */
extern bool scheduler_launch(Oid database);
extern bool scheduler_is_here(void);

/* worker.c */
extern bool worker_launch(int number);

/* hook.c */
extern void hook_install(void);

/* wake.c */
extern void wake_at_commit(void);
extern void wake_whatever_version(void);

extern PGDLLEXPORT void batchagg_launcher_main(Datum main_arg);
extern PGDLLEXPORT void batchagg_scheduler_main(Datum main_arg);
extern PGDLLEXPORT void batchagg_worker_main(Datum main_arg);

#endif							/* BATCHAGG_SERVICE_H */
