/*-------------------------------------------------------------------------
 *
 * late.h
 *	  What came late to results that were stored while their source was read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_LATE_H
#define BATCHAGG_LATE_H

#include "plan/rollup.h"

/* What the merge of a rollup's groups came to, or of all those of a job. */
typedef struct WriteCounts
{
	int64		groups;			/* groups with a place in the store */
	int64		results;		/* defined results of these groups */
	int64		changed;		/* packed rows inserted, updated or deleted */
	TimestampTz first_bucket;	/* DT_NOEND: no group */
} WriteCounts;

typedef struct Late Late;

extern Late *late_create(void);
extern void late_store(Rollup *rollup, TimestampTz bucket, const WriteCounts *counts);
extern void late_add(Late *late, TimestampTz first, TimestampTz last);
extern bool late_has(const Late *late, TimestampTz bucket);
extern List *late_refreshes(const SourceScan *scan);
extern WriteCounts late_counts(const Late *late, const WriteCounts *counts);

#endif							/* BATCHAGG_LATE_H */
