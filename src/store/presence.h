/*-------------------------------------------------------------------------
 *
 * presence.h
 *	  In which buckets a definition's entities have rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_PRESENCE_H
#define BATCHAGG_PRESENCE_H

#include "group/group.h"
#include "model/job.h"

/* What has become of each entity's group in the bucket before the one a merge is at. */
typedef struct Presence Presence;

extern Presence *presence_create(const Definition *definition);
extern void presence_note(Presence *presence, const GroupOut *group, int64 count);
extern void presence_settle(Presence *presence, bool kept);
extern bool presence_keeps_before(const Presence *presence, int64 stored_count);

#endif							/* BATCHAGG_PRESENCE_H */
