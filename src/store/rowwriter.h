/*-------------------------------------------------------------------------
 *
 * rowwriter.h
 *	  Writing rows of the store.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_ROWWRITER_H
#define BATCHAGG_ROWWRITER_H

#include "utils/relcache.h"
#include "utils/snapshot.h"

/* Columns of the store, in their order. */
enum
{
	STORE_LAYOUT_ID,
	STORE_BUCKET,
	STORE_ENTITY_ID,
	STORE_SAMPLE_COUNT,
	STORE_METRIC_COUNTS,
	STORE_RESULTS,
	STORE_UPDATED_AT,
	STORE_STATES,
	STORE_COLUMNS
};

typedef struct RowWriter RowWriter;

/* Is a change of this bucket that has waited still meant? */
typedef bool (*ChangeIsMeant) (void *owner, TimestampTz bucket);

extern RowWriter *row_writer_open(Relation rel, Snapshot snapshot);
extern void row_writer_insert(RowWriter *writer, const Datum *values, const bool *nulls);
extern void row_writer_update(RowWriter *writer, ItemPointer tid,
							  const Datum *values, const bool *nulls);
extern void row_writer_delete(RowWriter *writer, ItemPointer tid);
extern void row_writer_defer(RowWriter *writer, void *owner, TimestampTz bucket, ItemPointer tid,
							 const Datum *values, const bool *nulls);
extern void row_writer_flush(RowWriter *writer);
extern void row_writer_go_on(RowWriter *writer, Snapshot snapshot);
extern void row_writer_catch_up(RowWriter *writer, ChangeIsMeant is_meant);
extern void row_writer_close(RowWriter *writer);

#endif							/* BATCHAGG_ROWWRITER_H */
