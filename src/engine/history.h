/*-------------------------------------------------------------------------
 *
 * history.h
 *	  Results that outlive the rows they were computed from.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_HISTORY_H
#define BATCHAGG_HISTORY_H

#include "engine/rollup.h"

extern void history_plan(Refresh *refresh);
extern char *history_meaning(const Source *source);
extern bool history_looks_back(const Rollup *rollup);
extern void history_forget_replaced(const Rollup *rollup, const char *before);

/* What has become of each entity's group in the bucket before the one a merge is at. */
typedef struct Presence Presence;

extern Presence *presence_create(const Definition *definition);
extern void presence_note(Presence *presence, const GroupOut *group, int64 count);
extern void presence_settle(Presence *presence, bool kept);
extern bool presence_keeps_before(const Presence *presence, int64 stored_count);

#endif							/* BATCHAGG_HISTORY_H */
