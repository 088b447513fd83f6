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

extern bool job_try_lock(int32 job_id);
extern void job_lock(int32 job_id);
extern bool job_is_locked(Oid jobs_relid, int32 job_id);
extern TimestampTz run_last_slot(int32 job_id);
extern void run_job(const RunRequest *request, RunResult *result);
extern void run_jobs(const RunRequest *requests, int n, RunResult *results);
extern bool run_was_kept_out(void);
extern bool run_is_under_way(void);
extern void run_job_caught(const RunRequest *request, RunResult *result);
extern void run_jobs_caught(const RunRequest *requests, int n, RunResult *results);
extern void run_record_failure(const RunRequest *request, TimestampTz started,
							   const ErrorData *error, RunResult *result);
extern List *job_sources(Job *job, Problems *problems);

#endif							/* BATCHAGG_RUN_H */
