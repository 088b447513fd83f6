/*-------------------------------------------------------------------------
 *
 * guard.h
 *	  Who may lock our tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_GUARD_H
#define BATCHAGG_GUARD_H

#include "nodes/parsenodes.h"

extern void guard_lock(const LockStmt *statement);

#endif							/* BATCHAGG_GUARD_H */
