/*-------------------------------------------------------------------------
 *
 * run.h
 *	  Runs of jobs, in one transaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_RUN_H
#define BATCHAGG_RUN_H

#include "run/request.h"
#include "source/source.h"

extern TimestampTz run_last_slot(int32 job_id);
extern void run_job(const RunRequest *request, RunResult *result);
extern void run_jobs(const RunRequest *requests, int n, RunResult *results);
extern bool run_is_under_way(void);
extern List *job_sources(Job *job, Problems *problems);

#endif							/* BATCHAGG_RUN_H */
