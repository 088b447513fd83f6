/*-------------------------------------------------------------------------
 *
 * request.h
 *	  What is asked of a run, and what it came to.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_REQUEST_H
#define BATCHAGG_REQUEST_H

#include "datatype/timestamp.h"

struct DifferenceSink;

/* Which job is to run, and as what. */
typedef struct RunRequest
{
	int32		job_id;
	bool		dry_run;		/* compute and compare, write nothing */
	bool		scheduled;		/* started by its event, not by hand; then the caller sends the
								 * notification (record_notify) */
	bool		waits;			/* for whoever is deleting the job; else that is an error, as is a
								 * run of the job by somebody else in any case */
	int			attempt;		/* of the slot, from 1 */
	TimestampTz slot;			/* nominal time; 0: the statement's start */

	/* Of one job: the last run once more, for a part of its results. */
	bool		repeats;
	TimestampTz from;			/* for the buckets that begin from here on */
	TimestampTz to;				/* and before this */
	bool		goes_on;		/* another one was before, which has warned */
	const struct DifferenceSink *differences;	/* of a dry run: who is told of them; NULL: nobody */
} RunRequest;

typedef struct RunResult
{
	int64		run_id;			/* 0: a dry run, which leaves no record */
	int			pid;			/* that ran it; 0: not known */
	const char *status;			/* "succeeded", "failed" or "interrupted" */
	int			sqlerrcode;		/* of the error that it failed with */
	const char *message;		/* likewise; NULL: it succeeded */
	const char *detail;			/* likewise; NULL: there is none */
	char	   *notification;	/* JSON, until the transaction ends; NULL: none */
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

#endif							/* BATCHAGG_REQUEST_H */
