/*-------------------------------------------------------------------------
 *
 * cascade.h
 *	  Storing a rollup's groups, which feed coarser rollups on their way.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_CASCADE_H
#define BATCHAGG_CASCADE_H

#include "store/stored.h"

extern void cascade_open(SourceScan *scan, StoreWriter *store);
extern void cascade_store_before(Rollup *rollup, TimestampTz before);
extern void cascade_finish(Rollup *rollup);
extern List *cascade_close(SourceScan *scan, StoreWriter *store);
extern const Rollup *cascade_storing(void);
extern void cascade_rest(void);

#endif							/* BATCHAGG_CASCADE_H */
