/*-------------------------------------------------------------------------
 *
 * write.h
 *	  Merging a rollup's finished groups with the store.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_WRITE_H
#define BATCHAGG_WRITE_H

#include "model/layout.h"
#include "plan/rollup.h"
#include "store/late.h"

typedef struct StoreWriter StoreWriter;
typedef struct RollupWriter RollupWriter;
typedef struct StoredReader StoredReader;

extern List *rollup_find_layouts(Rollup *rollup, bool may_write, bool *made);

/*
 * A result that is stored otherwise than it is computed.  Of one that is only
 * stored, or only computed, the other side is false.  Where no result is, but what
 * the stored partial states come to, there is no metric, and neither side.
 */
typedef struct Difference
{
	int32		definition_id;
	const char *source;			/* qualified and quoted */
	TimestampTz bucket;
	text	   *entity;
	const char *metric_name;	/* NULL: partial states */
	const char *aggregate_name;
	bool		is_stored;
	bool		is_computed;
	double		stored;
	double		computed;
	int64		stored_count;	/* number of samples */
	int64		computed_count;
} Difference;

/* Who is told of differences, in place of the store. */
typedef struct DifferenceSink
{
	void		(*take) (void *arg, const Difference *difference);
	void	   *arg;
} DifferenceSink;

extern StoreWriter *store_writer_open(bool dry_run, const DifferenceSink *sink);
extern void store_report_layout(StoreWriter *store, StoredLayout *layout, TimestampTz from,
								TimestampTz to);
extern void store_writer_catch_up(StoreWriter *store);
extern void store_writer_see_written(StoreWriter *store);
extern void store_writer_close(StoreWriter *store);

extern RollupWriter *rollup_writer_open(StoreWriter *store, Rollup *rollup);
extern void rollup_writer_meet(RollupWriter *writer, const GroupOut *group);
extern bool rollup_writer_recomputes(RollupWriter *writer, const GroupOut *group);
extern void rollup_writer_put(RollupWriter *writer, const GroupOut *group);
extern const WriteCounts *rollup_writer_counts(const RollupWriter *writer);
extern void rollup_writer_finish(RollupWriter *writer);
extern void rollup_writer_close(RollupWriter *writer);

extern StoredReader *stored_reader_open(StoreWriter *store, const Rollup *rollup);
extern bool stored_reader_next(StoredReader *reader, const GroupOut *before, GroupOut *group);
extern const GroupOut *stored_reader_settle(StoredReader *reader, RollupWriter *writer,
											const GroupOut *group);
extern void stored_reader_close(StoredReader *reader);

#endif							/* BATCHAGG_WRITE_H */
