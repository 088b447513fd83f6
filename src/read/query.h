/*-------------------------------------------------------------------------
 *
 * query.h
 *	  The query by which a scan reads its source.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_QUERY_H
#define BATCHAGG_QUERY_H

#include "read/scanquery.h"

/* What PostgreSQL is told that it executes. */
#define QUERY_NAME "batchagg scan"

extern char *query_text(SourceScan *scan, const ScanQuery *query);
extern ScanQuery *query_choose(SourceScan *scan);
extern bool query_is_of_entities(const SourceScan *scan);
extern bool query_leaves(const ScanQuery *query, List **leaves);
extern bool scan_is_of_everything(const SourceScan *scan, const ScanQuery *query);
extern const char *scan_order_matters(const SourceScan *scan);

#endif							/* BATCHAGG_QUERY_H */
