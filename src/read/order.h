/*-------------------------------------------------------------------------
 *
 * order.h
 *	  Whether a query returns its rows in the order of time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_ORDER_H
#define BATCHAGG_ORDER_H

#include "read/query.h"

extern bool query_is_in_time_order(const ScanQuery *query, const SourceScan *scan);

#endif							/* BATCHAGG_ORDER_H */
