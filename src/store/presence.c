/*-------------------------------------------------------------------------
 *
 * presence.c
 *	  In which buckets a definition's entities have rows.
 *
 * Groups come in the order of their buckets.  By what became of an entity's group in
 * the bucket before, rule 3 of history.c tells whether a group was cut.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"

#include "store/presence.h"

/* A group with rows, of an entity. */
typedef struct EntityGroup
{
	TimestampTz bucket;			/* DT_NOBEGIN: there is none */
	int64		count;			/* of values */
	bool		stored;			/* this run has stored it, or */
	bool		kept;			/* has kept what was */
} EntityGroup;

/* The last two groups of an entity, which is known by a hash of its text. */
typedef struct EntityPresence
{
	uint64		hash;
	char		status;			/* of the hash table */
	EntityGroup last;
	EntityGroup before;
} EntityPresence;

#define SH_PREFIX entities
#define SH_ELEMENT_TYPE EntityPresence
#define SH_KEY_TYPE uint64
#define SH_KEY hash
#define SH_HASH_KEY(table, key) ((uint32) ((key) ^ ((key) >> 32)))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct Presence
{
	const Definition *definition;
	entities_hash *entities;
	EntityPresence *noted;		/* the entity of the last group, until the next one */
};

/*
 * No groups, in the current memory context.
 */
Presence *
presence_create(const Definition *definition)
{
	Presence   *presence = palloc0(sizeof(Presence));

	presence->definition = definition;
	presence->entities = entities_create(CurrentMemoryContext, 256, NULL);
	return presence;
}

/*
 * Notes that a group has rows, with so many values.  They come in the order of their
 * buckets.
 */
void
presence_note(Presence *presence, const GroupOut *group, int64 count)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) group->entity,
										   group->entity_length, 0);
	bool		found;
	EntityPresence *entity = entities_insert(presence->entities, hash, &found);

	if (!found)
		entity->last.bucket = DT_NOBEGIN;
	entity->before = entity->last;
	entity->last = (EntityGroup) {.bucket = group->bucket,.count = count};
	presence->noted = entity;
}

/*
 * Notes that the group which was noted last has been stored, or was kept.
 */
void
presence_settle(Presence *presence, bool kept)
{
	presence->noted->last.stored = true;
	presence->noted->last.kept = kept;
}

/*
 * Are the results of the bucket before kept, of the entity of the group that was noted
 * last?  They were computed from so many values.
 */
bool
presence_keeps_before(const Presence *presence, int64 stored_count)
{
	const Definition *definition = presence->definition;
	const EntityGroup *before = &presence->noted->before;

	if (before->bucket == DT_NOBEGIN ||
		before->bucket != bucket_start(&definition->granularity, definition->tz,
									   presence->noted->last.bucket - 1))
		return true;
	return before->stored ? before->kept : before->count < stored_count;
}
