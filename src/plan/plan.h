/*-------------------------------------------------------------------------
 *
 * plan.h
 *	  Which scans a run makes, and what each of them feeds.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_PLAN_H
#define BATCHAGG_PLAN_H

#include "plan/rollup.h"

extern List *plan_scans(List *refreshes, bool writes);
extern void scan_add_fed(SourceScan *scan, Rollup *rollup);
extern bool scan_reads_rows(const SourceScan *scan);

#endif							/* BATCHAGG_PLAN_H */
