/*-------------------------------------------------------------------------
 *
 * query.h
 *	  The query by which a scan reads its source.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_QUERY_H
#define BATCHAGG_QUERY_H

#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"

#include "engine/plan.h"

/* A scan's query, and what the columns of its rows are; they count from 0. */
typedef struct ScanQuery
{
	Query	   *query;
	char	   *text;			/* as SQL */
	int			nvalues;
	int		   *value_columns;	/* the metrics, or the value of a row layout */
	Oid		   *value_types;
	int			time_column;
	Oid			time_type;		/* timestamptz, timestamp or date */
	int			name_column;	/* row layout; else -1 */
	int			last_column;	/* the last one that is needed */
	Oid			table;			/* rows are this table's own; else InvalidOid */
} ScanQuery;

extern ScanQuery *query_build(SourceScan *scan);
extern PlannedStmt *query_plan(const ScanQuery *query);
extern void query_take_table_rows(ScanQuery *query, SourceScan *scan, PlannedStmt *plan);

#endif							/* BATCHAGG_QUERY_H */
