/*-------------------------------------------------------------------------
 *
 * needed.h
 *	  Which of a source's rows a scan's query asks for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_NEEDED_H
#define BATCHAGG_NEEDED_H

#include "read/builder.h"
#include "read/scanquery.h"

extern Node *needed_rows(Builder *builder, ScanQuery *query,
						 const SourceScan *scan, int max_entities);

#endif							/* BATCHAGG_NEEDED_H */
