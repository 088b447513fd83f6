/*-------------------------------------------------------------------------
 *
 * write.h
 *	  Merging a rollup's finished groups with the store.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_WRITE_H
#define BATCHAGG_WRITE_H

#include "engine/plan.h"

typedef struct StoreWriter StoreWriter;
typedef struct RollupWriter RollupWriter;

/* What the run of a job came to. */
typedef struct WriteCounts
{
	int64		groups;			/* groups with a place in the store */
	int64		results;		/* defined results of these groups */
	int64		changed;		/* packed rows inserted, updated or deleted */
	TimestampTz first_bucket;	/* DT_NOEND: no group */
} WriteCounts;

extern List *rollup_find_layouts(Rollup *rollup, bool may_write);

extern StoreWriter *store_writer_open(bool dry_run);
extern void store_writer_close(StoreWriter *store);

extern RollupWriter *rollup_writer_open(StoreWriter *store, Rollup *rollup, WriteCounts *counts);
extern void rollup_writer_put(RollupWriter *writer, const GroupOut *group);
extern void rollup_writer_close(RollupWriter *writer);

#endif							/* BATCHAGG_WRITE_H */
