/*-------------------------------------------------------------------------
 *
 * owner.h
 *	  Being the owner of a job for a while.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_OWNER_H
#define BATCHAGG_OWNER_H

#include "model/job.h"

/*
 * Becomes a job's owner, to resolve and read its sources: restricted, with
 * fixed settings, so that code in views and filters can do no more than read.
 */
typedef struct OwnerScope
{
	Oid			saved_user;
	int			saved_context;
	int			guc_level;
} OwnerScope;

extern void owner_enter(OwnerScope *scope, const Job *job, const char *timezone);
extern void owner_leave(const OwnerScope *scope);
extern void owner_rethrow(MemoryContext context);

#endif							/* BATCHAGG_OWNER_H */
