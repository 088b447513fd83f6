/*-------------------------------------------------------------------------
 *
 * history.h
 *	  Results that outlive the rows they were computed from.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_HISTORY_H
#define BATCHAGG_HISTORY_H

#include "engine/plan.h"

extern void history_plan(Refresh *refresh);
extern char *history_meaning(const Source *source);
extern bool history_looks_back(const Rollup *rollup);
extern void history_forget_replaced(const Rollup *rollup);

/* Which entities have rows in the bucket before the one that a merge is at. */
typedef struct Presence Presence;

extern Presence *presence_create(const Definition *definition);
extern void presence_note(Presence *presence, const GroupOut *group);
extern bool presence_before(const Presence *presence, const GroupOut *group);

#endif							/* BATCHAGG_HISTORY_H */
