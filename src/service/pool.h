/*-------------------------------------------------------------------------
 *
 * pool.h
 *	  The pool of workers, from the view of one database's scheduler.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_POOL_H
#define BATCHAGG_POOL_H

#include "service/shared.h"

extern int	pool_limit(void);
extern int	pool_processes_needed(void);
extern int	pool_find_worker(Oid owner, Obstacle *obstacle);
extern bool pool_keeps_last_place(Oid owner);
extern void pool_try_again(void);
extern long pool_pause(void);
extern void pool_break_promises(Oid database);
extern void pool_free_unborn(void);

#endif							/* BATCHAGG_POOL_H */
