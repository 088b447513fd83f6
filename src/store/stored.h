/*-------------------------------------------------------------------------
 *
 * stored.h
 *	  Stored groups that feed coarser rollups.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_STORED_H
#define BATCHAGG_STORED_H

#include "store/write.h"

typedef struct StoredReader StoredReader;

extern StoredReader *stored_reader_open(StoreWriter *store, const Rollup *rollup);
extern bool stored_reader_next(StoredReader *reader, const GroupOut *before, GroupOut *group);
extern const GroupOut *stored_reader_settle(StoredReader *reader, RollupWriter *writer,
											const GroupOut *group);
extern void stored_reader_close(StoredReader *reader);

#endif							/* BATCHAGG_STORED_H */
