/*-------------------------------------------------------------------------
 *
 * scan.h
 *	  Reading a source: the executor's rows go into the rollups' groups.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_SCAN_H
#define BATCHAGG_SCAN_H

#include "executor/execdesc.h"

#include "read/query.h"

/*
 * Lets the next execution of a query that was started meet another part of its
 * rows.  Returns false where there is none.
 */
typedef bool (*NextPart) (void *arg, QueryDesc *desc);

extern void scan_create_groups(SourceScan *scan, MemoryContext context, Size memory,
							   int processes);
extern void scan_run(SourceScan *scan, const ScanQuery *query, NextPart next_part, void *arg);
extern void scan_end(const SourceScan *scan);

#endif							/* BATCHAGG_SCAN_H */
