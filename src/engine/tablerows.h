/*-------------------------------------------------------------------------
 *
 * tablerows.h
 *	  Having a plan return the rows of its tables as they are.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_TABLEROWS_H
#define BATCHAGG_TABLEROWS_H

#include "engine/query.h"

extern void take_table_rows(ScanQuery *query, SourceScan *scan);

#endif							/* BATCHAGG_TABLEROWS_H */
