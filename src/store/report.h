/*-------------------------------------------------------------------------
 *
 * report.h
 *	  Telling of stored rows that differ from computed ones, result by result.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_REPORT_H
#define BATCHAGG_REPORT_H

#include "store/part.h"

extern void row_report(const StoreWriter *store, const StoredLayout *layout,
					   const TupleTableSlot *row, const Datum *values, const bool *nulls,
					   bool states_differ);
extern void store_report_layout(StoreWriter *store, StoredLayout *layout, TimestampTz from,
								TimestampTz to);

#endif							/* BATCHAGG_REPORT_H */
