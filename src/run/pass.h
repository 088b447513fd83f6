/*-------------------------------------------------------------------------
 *
 * pass.h
 *	  A run, and one pass of it over the sources.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_PASS_H
#define BATCHAGG_PASS_H

#include "plan/plan.h"
#include "run/request.h"
#include "store/late.h"

/* One of the jobs of a run. */
typedef struct JobRun
{
	const RunRequest *request;
	RunResult  *result;
	Job		   *job;			/* NULL: not loaded yet */
	WriteCounts counts;
	List	   *layouts;		/* that its results have in the store */
} JobRun;

/* A run of jobs, and where it is, for the error context. */
typedef struct Run
{
	int			n;
	JobRun	   *jobs;
	bool		dry_run;
	MemoryContext memory;		/* for all that the run needs to its end */
	const RunRequest *repeats;	/* the last run is repeated for a part; else NULL */
	TimestampTz slot;
	List	   *sources;		/* of Source: all of all definitions, kept open */
	List	   *refreshes;		/* of Refresh: one for each of them */
	const JobRun *at;			/* the job being loaded, resolved or finished */
	const SourceScan *scan;		/* NULL: not reading or storing */
	bool		again;			/* what was late is read again: nothing may be late */
	uint64		locked;			/* rows of jobs and definitions */
	const char *database;		/* its name, for the log */
	bool		layouts_changed;	/* some were made or dropped */
} Run;

extern List *pass_store(Run *run, List *scans);
extern List *pass_definition_ids(const Job *job, TimestampTz slot, TimestampTz *horizon);

#endif							/* BATCHAGG_PASS_H */
