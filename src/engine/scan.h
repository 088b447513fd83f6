/*-------------------------------------------------------------------------
 *
 * scan.h
 *	  Reading a source: the executor's rows go into the rollups' groups.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_SCAN_H
#define BATCHAGG_SCAN_H

#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"

#include "engine/plan.h"

/* The query by which a scan reads its source, and what its columns are. */
typedef struct ScanQuery
{
	Query	   *query;
	char	   *text;			/* as SQL */
	int			ncolumns;
	int			time_column;	/* numbers count from 0 */
	int			name_column;	/* row layout; else -1 */
	Oid			time_type;		/* timestamptz, timestamp or date */
	Oid		   *value_types;	/* of the first columns, which are the values */
	int			nvalues;
} ScanQuery;

extern ScanQuery *scan_build_query(SourceScan *scan);
extern PlannedStmt *scan_plan_query(const ScanQuery *query);
extern void scan_create_groups(SourceScan *scan, MemoryContext context, Size memory);
extern void scan_run(SourceScan *scan, const ScanQuery *query);

#endif							/* BATCHAGG_SCAN_H */
