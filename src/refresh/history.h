/*-------------------------------------------------------------------------
 *
 * history.h
 *	  Results that outlive the rows they were computed from.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_HISTORY_H
#define BATCHAGG_HISTORY_H

#include "refresh/refresh.h"

extern void history_plan(Refresh *refresh);
extern bool history_looks_back(const Refresh *refresh);

#endif							/* BATCHAGG_HISTORY_H */
