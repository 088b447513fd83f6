/*-------------------------------------------------------------------------
 *
 * explain.h
 *	  What a run of a job would do.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_EXPLAIN_H
#define BATCHAGG_EXPLAIN_H

#include "nodes/pg_list.h"

/* One line of an explanation. */
typedef struct ExplainLine
{
	int			scan;			/* number of the scan, from 1; 0: the job */
	int32		definition_id;	/* 0: of the whole scan */
	const char *item;
	char	   *value;
} ExplainLine;

extern List *explain_job(int32 job_id);

#endif							/* BATCHAGG_EXPLAIN_H */
