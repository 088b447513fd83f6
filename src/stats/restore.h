/*-------------------------------------------------------------------------
 *
 * restore.h
 *	  Partial states made of the results that they once came to.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_RESTORE_H
#define BATCHAGG_RESTORE_H

#include "stats/state.h"

extern void state_restore(State state, uint32 fields, const Aggregate *aggregates, int n,
						  const double *results, const bool *undefined, int64 count,
						  TimestampTz bucket);

#endif							/* BATCHAGG_RESTORE_H */
