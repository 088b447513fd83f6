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
#include "store/part.h"

typedef struct RollupWriter RollupWriter;

extern List *rollup_find_layouts(Rollup *rollup, bool may_write, bool *made);

extern StoreWriter *store_writer_open(bool dry_run, const DifferenceSink *sink);
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
extern bool part_is_kept(const RollupWriter *writer, const PartWriter *part,
						 const GroupOut *group);


#endif							/* BATCHAGG_WRITE_H */
