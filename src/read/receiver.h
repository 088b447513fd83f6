/*-------------------------------------------------------------------------
 *
 * receiver.h
 *	  Takes the rows of a scan into the rollups' groups.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_RECEIVER_H
#define BATCHAGG_RECEIVER_H

#include "read/receiving.h"

extern ScanReceiver *receiver_create(SourceScan *scan, const ScanQuery *query);
extern DestReceiver *receiver_dest(ScanReceiver *receiver);
extern void receiver_take_table_rows(ScanReceiver *receiver, const PlanState *state);
extern void receiver_flush(ScanReceiver *receiver);
extern void receiver_end(ScanReceiver *receiver);

#endif							/* BATCHAGG_RECEIVER_H */
