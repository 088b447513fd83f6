/*-------------------------------------------------------------------------
 *
 * changes.h
 *	  What has changed since the cursor that a run goes on from.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_CHANGES_H
#define BATCHAGG_CHANGES_H

#include "refresh/refresh.h"

extern void changes_find(Refresh *refresh);
extern void changes_mark_new_rows(Refresh *refresh);

#endif							/* BATCHAGG_CHANGES_H */
