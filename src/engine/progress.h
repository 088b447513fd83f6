/*-------------------------------------------------------------------------
 *
 * progress.h
 *	  How far runs are: told by the backend that runs, read by any other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_PROGRESS_H
#define BATCHAGG_PROGRESS_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

typedef enum ProgressPhase
{
	PROGRESS_PLANNING,
	PROGRESS_READING,
	PROGRESS_STORING
} ProgressPhase;

/* What a backend tells of the run that it is at. */
typedef struct Progress
{
	int			pid;
	Oid			user;			/* of its session */
	int64		run_id;			/* of the first job; 0: a dry run */
	int32		job_id;			/* the first job */
	int			jobs;
	Oid			owner;			/* of the jobs; InvalidOid: not known yet */
	Oid			caller;			/* who runs them; the owner, where the service does */
	TimestampTz slot;
	int			attempt;
	TimestampTz started;
	ProgressPhase phase;
	Oid			source;			/* being read or stored; InvalidOid: none yet */
	int			scan;			/* its number, from 1; 0: none yet */
	int			scans;
	int64		rows_read;		/* by this scan */
	int64		rows_estimated;
	int64		groups;			/* of all scans, finished */
	int64		results_written;	/* packed rows written */
} Progress;

extern void progress_start(const Progress *run);
extern void progress_plan(Oid owner);
extern void progress_scan(Oid source, int scan, int scans);
extern void progress_estimate(double rows);
extern void progress_rows_read(int64 rows);
extern void progress_store(void);
extern void progress_stored(int64 groups, int64 written);
extern void progress_end(void);

extern List *progress_list(void);

#endif							/* BATCHAGG_PROGRESS_H */
