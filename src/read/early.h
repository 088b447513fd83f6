/*-------------------------------------------------------------------------
 *
 * early.h
 *	  Groups that are stored while their source is still being read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_EARLY_H
#define BATCHAGG_EARLY_H

#include "plan/rollup.h"
#include "read/query.h"

/* What a rollup whose groups leave early has to know; used where it is fed from rows. */
typedef struct Early
{
	TimestampTz watermark;		/* groups of buckets before this have left */
	TimestampTz watched;		/* those before this are to leave next; no earlier than the
								 * watermark */
	TimestampTz newest;			/* latest bucket at the last look */
	uint64		added;			/* groups that had been added then */
	uint32		interval;		/* groups from one look to the next; 0: not known */
	bool		over;			/* none leaves early any more */
	pg_atomic_uint32 *over_for_all; /* the same, of all processes that read together; NULL: there
									 * is one */
	TimestampTz first_late;		/* bucket of a late row; DT_NOEND: there was none */
	TimestampTz last_late;
} Early;

extern bool scan_may_store_early(const SourceScan *scan, const ScanQuery *query);
extern void early_create(Rollup *rollup);
extern void early_share(Early *early, pg_atomic_uint32 *over_for_all);
extern void early_stop(Early *early);
extern bool early_finish(Rollup *rollup);
extern void early_end(Rollup *rollup);
extern bool early_meet(const Rollup *rollup, TimestampTz bucket);
extern void early_look(Rollup *rollup);

/*
 * May a row of this bucket be added to its group?  Else it is late.
 */
static inline bool
early_takes(const Rollup *rollup, TimestampTz bucket)
{
	return likely(bucket >= rollup->early->watched) || early_meet(rollup, bucket);
}

#endif							/* BATCHAGG_EARLY_H */
