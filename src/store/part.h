/*-------------------------------------------------------------------------
 *
 * part.h
 *	  Stored rows of a part of a rollup's results, in the order of the store's key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_PART_H
#define BATCHAGG_PART_H

#include "access/genam.h"
#include "executor/tuptable.h"
#include "utils/snapshot.h"

#include "model/layout.h"
#include "plan/rollup.h"
#include "store/difference.h"
#include "store/rowwriter.h"

/* Column of the store's two indexes that both begin with. */
#define KEY_LAYOUT_ID 1

/* The store, open for a run. */
typedef struct StoreWriter
{
	const DifferenceSink *sink; /* of a dry run that reports differences; else NULL */
	Relation	rel;
	Relation	key;			/* the index by which rows are merged */
	Snapshot	snapshot;		/* the run's */
	RowWriter  *rows;			/* NULL: a dry run, which compares, counts and writes nothing */
	TimestampTz now;			/* updated_at of what is written */
	MemoryContext context;		/* of this struct, and of the scans */
	MemoryContext row_context;	/* reset with each group */
	MemoryContext report_context;	/* reset with each row that is reported */
	int64		groups;			/* put so far */
	int64		changed;		/* rows inserted, updated or deleted so far */
} StoreWriter;

/* The merge of one part of a rollup's results, or where the reader of them is. */
typedef struct PartWriter
{
	struct RollupWriter *writer;	/* NULL: a reader */
	const ResultPart *part;
	int64		changed;
	IndexScanDesc scan;			/* of the stored rows; NULL: there are none */
	TupleTableSlot *stored;		/* the row it is at; empty: at the end */
} PartWriter;

/*
 * What a packed row has, taken apart; of one that is not there, nothing.
 */
typedef struct UnpackedRow
{
	Datum	   *results;
	bool	   *undefined;
	int			nresults;
	Datum	   *counts;			/* of each metric; none: all have sample_count */
	int			ncounts;
	int64		sample_count;
} UnpackedRow;

/* Is the part at a stored row? */
static inline bool
part_has_stored(const PartWriter *part)
{
	return !TTS_EMPTY(part->stored);
}

/* Do results of this bucket outlive their rows? */
static inline bool
bucket_is_kept(const Rollup *rollup, TimestampTz bucket)
{
	return bucket < rollup->refresh->history_before;
}

extern IndexScanDesc store_begin_scan(StoreWriter *store, Relation index, int nkeys);
extern void part_open(StoreWriter *store, PartWriter *part);
extern PartWriter *parts_open(StoreWriter *store, const Rollup *rollup);
extern void part_close(PartWriter *part);
extern void part_seek(StoreWriter *store, PartWriter *part, const Extent *extent);
extern void part_advance(StoreWriter *store, PartWriter *part);
extern void part_name_group(const PartWriter *part, GroupOut *group);
extern int	part_compare_key(const PartWriter *part, const GroupOut *group);
extern void part_take_states(const GroupLayout *layout, const PartWriter *part, StateWord *group);
extern void row_unpack(const Datum *values, const bool *nulls, UnpackedRow *row);
extern int64 row_count(const Datum *values, const bool *nulls, int metric);

#endif							/* BATCHAGG_PART_H */
