/*-------------------------------------------------------------------------
 *
 * record.h
 *	  What a run leaves behind besides results: its row in the history, its
 *	  share of the job's counters, and a notification.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_RECORD_H
#define BATCHAGG_RECORD_H

#include "run/request.h"

extern int64 record_next_id(void);
extern void record_run(const RunRequest *request, RunResult *result, bool counted);
extern void record_notify(const RunResult *result);

#endif							/* BATCHAGG_RECORD_H */
