/*-------------------------------------------------------------------------
 *
 * caught.h
 *	  Runs whose errors are caught and recorded.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_CAUGHT_H
#define BATCHAGG_CAUGHT_H

#include "run/request.h"

extern void run_job_caught(const RunRequest *request, RunResult *result);
extern void run_jobs_caught(const RunRequest *requests, int n, RunResult *results);
extern void run_record_failure(const RunRequest *request, TimestampTz started,
							   const ErrorData *error, RunResult *result);

#endif							/* BATCHAGG_CAUGHT_H */
