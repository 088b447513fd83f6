/*-------------------------------------------------------------------------
 *
 * parallel.h
 *	  Reading a source with several processes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_PARALLEL_H
#define BATCHAGG_PARALLEL_H

#include "storage/dsm.h"
#include "storage/shm_toc.h"

#include "read/query.h"

extern int	parallel_workers(const SourceScan *scan, const ScanQuery *query,
							 const char **obstacle);
extern Size parallel_groups_memory(bool early);
extern void parallel_run(SourceScan *scan, ScanQuery *query, int workers);
extern TimestampTz parallel_watermark(const Rollup *rollup);
extern void parallel_end(SourceScan *scan);

extern PGDLLEXPORT void batchagg_parallel_main(dsm_segment *segment, shm_toc * toc);

#endif							/* BATCHAGG_PARALLEL_H */
