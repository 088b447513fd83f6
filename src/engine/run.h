/*-------------------------------------------------------------------------
 *
 * run.h
 *	  One run of one job, in one transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_RUN_H
#define BATCHAGG_RUN_H

#include "catalog/job.h"
#include "engine/plan.h"

typedef struct RunResult
{
	int64		run_id;			/* 0: a dry run, which leaves no record */
	const char *status;			/* "succeeded" or "failed" */
	int64		rows_read;
	int64		rows_skipped;
	int64		groups;
	int64		results;
	int64		changed;		/* packed rows inserted, updated or deleted */
	TimestampTz slot;			/* the run's nominal time */
	TimestampTz from;			/* first bucket; DT_NOBEGIN: no group */
	TimestampTz to;				/* the latest horizon */
	TimestampTz started;
	TimestampTz finished;
} RunResult;

extern void run_job(int32 job_id, bool dry_run, RunResult *result);
extern void run_job_caught(int32 job_id, RunResult *result);

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
extern List *job_plan(Job *job, TimestampTz run_time, Problems *problems);

#endif							/* BATCHAGG_RUN_H */
