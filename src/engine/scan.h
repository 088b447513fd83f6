/*-------------------------------------------------------------------------
 *
 * scan.h
 *	  Reading a source: the executor's rows go into the rollups' groups.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_SCAN_H
#define BATCHAGG_SCAN_H

#include "engine/query.h"

extern void scan_create_groups(SourceScan *scan, MemoryContext context, Size memory);
extern void scan_run(SourceScan *scan, const ScanQuery *query);

#endif							/* BATCHAGG_SCAN_H */
