/*-------------------------------------------------------------------------
 *
 * refreshes.h
 *	  Finding out what a run has to recompute of a definition's results from one source.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_REFRESHES_H
#define BATCHAGG_REFRESHES_H

#include "refresh/refresh.h"

extern List *refreshes_plan(List *sources, TimestampTz run_time, bool may_write);
extern List *refreshes_repeat(List *sources, TimestampTz run_time, TimestampTz from,
							  TimestampTz to, bool may_write, bool warns);

#endif							/* BATCHAGG_REFRESHES_H */
