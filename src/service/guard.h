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

extern void guard_command(Node *statement);

#endif							/* BATCHAGG_GUARD_H */
