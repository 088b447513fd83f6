/*-------------------------------------------------------------------------
 *
 * backfill.h
 *	  Recomputing the results of a range of time in pieces.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_BACKFILL_H
#define BATCHAGG_BACKFILL_H

#include "datatype/timestamp.h"

/* What is to be recomputed, and how. */
typedef struct BackfillRequest
{
	int32		job_id;
	TimestampTz from;			/* buckets that begin from here on; DT_NOBEGIN: all */
	TimestampTz to;				/* and before this; DT_NOEND: all */
	const Interval *piece;		/* about how long each is; NULL: to be chosen */
	bool		newest_first;
} BackfillRequest;

extern bool backfill_begin(const BackfillRequest *request, TimestampTz *started);
extern bool backfill_piece(int32 job_id, TimestampTz started);

#endif							/* BATCHAGG_BACKFILL_H */
