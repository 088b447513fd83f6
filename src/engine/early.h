/*-------------------------------------------------------------------------
 *
 * early.h
 *	  Groups that are stored while their source is still being read.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_EARLY_H
#define BATCHAGG_EARLY_H

#include "engine/plan.h"
#include "engine/query.h"
#include "engine/write.h"

/* A stretch of buckets of a rollup, and what it had come to before. */
typedef struct Piece
{
	TimestampTz from;			/* to the next one's; the first's is -infinity */
	WriteCounts before;
	bool		late;			/* rows came when groups had left */
} Piece;

/* What a rollup whose groups leave early has to know. */
typedef struct Early
{
	/* Fed from rows: */
	TimestampTz watermark;		/* groups of buckets before this have left */
	TimestampTz watched;		/* those before this are to leave next; no earlier than
								 * the watermark */
	TimestampTz newest;			/* latest bucket at the last look */
	uint64		added;			/* groups that had been added then */
	uint32		interval;		/* groups from one look to the next; 0: not known */
	bool		over;			/* none leaves early any more */
	pg_atomic_uint32 *over_for_all; /* the same, of all processes that read together;
								 * NULL: there is one */
	TimestampTz first_late;		/* bucket of a late row; DT_NOEND: there was none */
	TimestampTz last_late;

	Piece	   *pieces;			/* in the order of time, all time together */
	int			npieces;
	int			size;			/* room in pieces */
	TimestampTz last;			/* the bucket stored last */
} Early;

extern bool scan_may_store_early(const SourceScan *scan, const ScanQuery *query);
extern void early_create(Rollup *rollup);
extern void early_share(Early *early, pg_atomic_uint32 *over_for_all);
extern void early_stop(Early *early);
extern bool early_finish(Rollup *rollup);
extern void early_end(Rollup *rollup);
extern void early_add_late(Early *early, TimestampTz first, TimestampTz last);
extern bool early_meet(Early *early, TimestampTz bucket);
extern void early_look(Rollup *rollup);
extern void early_store(Rollup *rollup, TimestampTz bucket, const WriteCounts *counts);
extern bool early_is_late(const Early *early, TimestampTz bucket);
extern List *scan_late_refreshes(const SourceScan *scan);
extern WriteCounts early_late_counts(const Early *early, const WriteCounts *counts);

/*
 * May a row of this bucket be added to its group?  Else it is late.
 */
static inline bool
early_takes(Early *early, TimestampTz bucket)
{
	return likely(bucket >= early->watched) || early_meet(early, bucket);
}

#endif							/* BATCHAGG_EARLY_H */
