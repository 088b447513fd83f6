/*-------------------------------------------------------------------------
 *
 * scanquery.h
 *	  A scan's query, and what the columns of its rows are.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_SCANQUERY_H
#define BATCHAGG_SCANQUERY_H

#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"

#include "plan/rollup.h"

/* How a scan finds the rows that its rollups need. */
typedef enum Reading
{
	READ_ALL,					/* all rows */
	READ_RANGE,					/* one range of time that has all that is needed */
	READ_RANGES,				/* a few ranges of time */
	READ_ENTITIES,				/* a join with the entities, and a range for each */
	READ_ONE_ENTITY,			/* one of these alone, to see what it costs */
	READ_NEW					/* rows that are new since the cursor */
} Reading;

/* A scan's query, and what the columns of its rows are; they count from 0. */
typedef struct ScanQuery
{
	Reading		reading;
	Query	   *query;
	PlannedStmt *plan;
	int			nentities;		/* READ_ENTITIES: how many there are */
	int			nvalues;
	int		   *value_columns;	/* the metrics, or the value of a row layout */
	Oid		   *value_types;
	int			time_column;
	Oid			time_type;		/* timestamptz, timestamp or date */
	int			name_column;	/* row layout; else -1 */
	Oid			table;			/* columns are those of this table, or of several like it, whose
								 * rows table_row() has; else InvalidOid */
	bool		parallel_safe;	/* READ_ALL: several processes may execute it */
} ScanQuery;

#endif							/* BATCHAGG_SCANQUERY_H */
