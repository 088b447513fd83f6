/*-------------------------------------------------------------------------
 *
 * receiving.h
 *	  What the receiver of rows is: for the files that it is made of.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_RECEIVING_H
#define BATCHAGG_RECEIVING_H

#include "nodes/execnodes.h"
#include "tcop/dest.h"

#include "group/groups.h"
#include "read/deform.h"
#include "read/metricnames.h"
#include "read/number.h"
#include "read/scanquery.h"
#include "read/slices.h"

/* The id of all rows, where they have none. */
#define ENTITY_OF_EVERYTHING "*"

/* The rows of a batch that one rollup takes. */
typedef struct RowBatch
{
	int			n;
	GroupKey	keys[MAX_GROUP_KEYS];
	TimestampTz times[MAX_GROUP_KEYS];
	int			rows[MAX_GROUP_KEYS];	/* numbers in the batch */
} RowBatch;

/* Which columns are taken out of a row. */
typedef struct RowColumns
{
	int			width;			/* how many */
	int		   *numbers;		/* in the query's rows: the values' first */
	int			natts;			/* columns of a row up to the last of these */
	int			time_place;		/* the time's number among them */
	int			name_place;		/* the name's, in row layout */
	RowReferences references;	/* those that are not by value */
} RowColumns;

/* Rows that are taken together. */
typedef struct Batch
{
	int			n;
	int			size;			/* the most */
	Datum	   *rows;			/* `width` columns each; values become float8 */
	bool	   *nulls;			/* likewise */
	bool	   *has_nulls;		/* each row: is a column NULL? */
} Batch;

/* How rows are set aside, where there are too many groups for the memory. */
typedef struct Slicing
{
	bool		allowed;
	bool		is_alone;		/* no groups of another slice are in the way of this one's */
	Slices	   *slices;			/* rows are put in there; else NULL */
	Rollup	   *by;				/* the one whose groups decide where */
	int			depth;			/* slices whose rows are taken */
} Slicing;

typedef struct ScanReceiver
{
	DestReceiver pub;
	SourceScan *scan;
	const ScanQuery *query;
	int			nfed;			/* rollups fed from the rows */
	Rollup	  **fed;
	int			nruns;			/* of values that do not arrive as float8 */
	ValueRun   *runs;
	MetricNames *names;			/* row layout: which metrics they stand for */
	const PlanState *state;		/* of the plan, if rows are a table's own; else NULL */
	Deformer   *deformer;		/* NULL: PostgreSQL takes all rows apart */

	RowColumns	columns;
	Batch		batch;
	Slicing		slicing;

	Datum	   *row;			/* the row at hand, the batch's next */
	const bool *row_nulls;
	const bool *no_nulls;		/* all false */
	int			metric;			/* row layout: of the row at hand */

	Datum		everything;		/* the id of all rows, where there is none */
	MemoryContext context;		/* of this struct */
	MemoryContext row_context;	/* reset every few rows */
} ScanReceiver;

extern bool receive_columns(TupleTableSlot *slot, DestReceiver *self);
extern bool receive_rows(TupleTableSlot *slot, DestReceiver *self);

#endif							/* BATCHAGG_RECEIVING_H */
