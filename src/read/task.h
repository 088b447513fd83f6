/*-------------------------------------------------------------------------
 *
 * task.h
 *	  What parallel workers have to know of a scan.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_TASK_H
#define BATCHAGG_TASK_H

#include "lib/stringinfo.h"

#include "read/query.h"

extern StringInfo task_pack(SourceScan *scan, ScanQuery *query);
extern void task_unpack(char *data, int length, SourceScan *scan, ScanQuery *query);

#endif							/* BATCHAGG_TASK_H */
