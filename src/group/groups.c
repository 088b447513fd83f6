/*-------------------------------------------------------------------------
 *
 * groups.c
 *	  The groups of one rollup: a hash table of partial states within a memory
 *	  budget, which leaves in the order of the store's key.
 *
 * A group is a bucket and an entity, and the partial states of all metrics, span
 * by span (stats/span.h) in chunks of memory.  The hash table holds the keys
 * themselves and the groups' numbers, sixteen bytes a slot, so that a lookup
 * touches the group's own memory only where it finds it.
 *
 * When all input is in, groups leave (emit.c) sorted by (bucket, entity text).  That is
 * the order of the store's key, so the writer can merge them with what is
 * there, and it brings a coarser granularity its states bucket by bucket.
 *
 * When the budget is used up, the table is sorted and written to a tape as a
 * run of partial states (sorted.c), and begins anew, empty.  In the end the runs
 * are merged, and states of equal keys with them.  Against a hash partition of
 * input rows, the usual way of HashAggregate, this
 *	 - brings groups out in order without another sort;
 *	 - writes the state of a group, not its rows: where the source is roughly
 *	   in time order, as measurements are, each group is written about once;
 *	 - cannot be upset by skew, since a group of any number of rows is one
 *	   state, and needs no recursion: too many runs to merge at once are merged
 *	   into fewer first.  Only values that are kept for percentiles are as many
 *	   as the rows; where they are more than the budget, the merge sorts them in
 *	   a file.
 * It loses where rows come in no order: then a table has met few rows of each of its
 * groups, and their states are larger than these.  So from then on the receiver sets
 * rows aside, as HashAggregate does, until those of a group come together (slices.c).
 *
 * Where a source's rows come in the order of time, groups of old buckets can
 * leave while it is still being read (early.c): then others take their places,
 * and all of the table stays in the processor's cache.  Entities that have no group any
 * more are forgotten then, when they have become many.
 *
 * Where several processes read a source, each has a table of its own.  The
 * workers send their groups to the leader in streams, in order as always, and the
 * leader merges these with its own groups as it does with runs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/mman.h>

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "group/groups.h"
#include "group/mix.h"

#define MIN_SLOTS 1024

/* States are allocated in chunks of about this much, less in a small budget. */
#define MAX_CHUNK_SIZE ((Size) 8 * 1024 * 1024)
#define MIN_CHUNK_SIZE ((Size) 8 * 1024)

/* The usual size of a huge page, where the machine has them. */
#define HUGE_PAGE_SIZE ((Size) 2 * 1024 * 1024)

/* Groups of another table between two looks at the memory used. */
#define GROUPS_PER_CHECK 64

/* A group of another table is too large with values of so much of the budget. */
#define BULKY_SHARE 4

/* No budget is less: an empty table takes nearly as much. */
#define MIN_BUDGET ((Size) 64 * 1024)

/* A run of fewer groups is written only where their values need the memory. */
#define MIN_RUN_GROUPS 256

static void table_start(Groups *groups);
static StateWord *table_find(Groups *groups, const GroupKey *key, uint32 hash);
static StateWord *table_add(Groups *groups, GroupSlot *slot, const GroupKey *key);

/*
 * Creates an empty table in a child context of `parent`, for groups of
 * `layout` and ids of type `id_type`, that uses about `budget` bytes of
 * memory.
 */
Groups *
groups_create(MemoryContext parent, const GroupLayout *layout,
			  Oid id_type, Oid id_collation, Size budget)
{
	MemoryContext context = AllocSetContextCreate(parent, "batchagg groups",
												  ALLOCSET_DEFAULT_SIZES);
	Groups	   *groups = MemoryContextAllocZero(context, sizeof(Groups));
	Size		stride = layout->words * sizeof(StateWord);
	Size		chunk_size = Max(MIN_CHUNK_SIZE, Min(MAX_CHUNK_SIZE, budget / 16));

	groups->layout = layout;
	groups->budget = Max(budget, MIN_BUDGET);
	groups->context = context;
	groups->entities = entities_create(context, id_type, id_collation);
	while (((Size) 2 << groups->chunk_shift) * stride <= chunk_size)
		groups->chunk_shift++;
	groups->table = AllocSetContextCreate(context, "batchagg group table",
										  ALLOCSET_DEFAULT_SIZES);
	groups->values = AllocSetContextCreate(context, "batchagg group values",
										   ALLOCSET_DEFAULT_SIZES);
	groups->sorted = sorted_create(context, layout, groups->budget);
	groups->newest = DT_NOBEGIN;
	table_start(groups);
	return groups;
}

/*
 * Frees a table and its temporary files.
 */
void
groups_free(Groups *groups)
{
	sorted_free(groups->sorted);
	MemoryContextDelete(groups->context);
}

/*
 * The context in which the value arrays of the states are allocated.
 */
MemoryContext
groups_values_context(Groups *groups)
{
	return groups->values;
}

GroupsUsage
groups_usage(const Groups *groups)
{
	GroupsUsage usage = {.runs = sorted_written(groups->sorted),.peak = groups->peak};

	return usage;
}

/*
 * Asks for huge pages where they fit into a piece of memory that will be used as
 * a whole: it is then got in fewer steps, and found by shorter ways.
 */
static void
advise_huge_pages(void *memory, Size size)
{
#ifdef MADV_HUGEPAGE
	uintptr_t	start = TYPEALIGN(HUGE_PAGE_SIZE, (uintptr_t) memory);
	uintptr_t	end = TYPEALIGN_DOWN(HUGE_PAGE_SIZE, (uintptr_t) memory + size);

	/* Where there are none, nothing is lost. */
	if (start < end)
		(void) madvise((void *) start, end - start, MADV_HUGEPAGE);
#endif
}

static void
table_start(Groups *groups)
{
	groups->slot_mask = MIN_SLOTS - 1;
	groups->slots = MemoryContextAllocZero(groups->table, MIN_SLOTS * sizeof(GroupSlot));
	groups->ngroups = 0;
	groups->rows = 0;
	groups->nplaces = 0;
	groups->free_place = 0;
	groups->chunks = NULL;
	groups->nchunks = 0;
}

static inline uint32
group_hash(TimestampTz bucket, uint32 entity)
{
	return (uint32) mix64((uint64) bucket ^ ((uint64) entity << 40) ^ entity);
}

/*
 * Returns the number of the entity with this non-null id, to look for its
 * groups; NO_ENTITY where the id is too long.  It is good until groups_spill() or
 * groups_emit_before().
 */
uint32
groups_entity(Groups *groups, Datum id)
{
	return entities_intern(groups->entities, id);
}

/*
 * The text of an id that is not NULL, palloc'd, and its length.
 */
char *
groups_id_text(const Groups *groups, Datum id, int *length)
{
	return entities_id_text(groups->entities, id, length);
}

/* A hash of an id that is not NULL. */
uint32
groups_id_hash(const Groups *groups, Datum id)
{
	return entities_hash(groups->entities, id);
}

/*
 * Sets the states of `n` groups, at most MAX_GROUP_KEYS; those of new groups
 * are empty.  They stay where they are until groups_spill().
 *
 * Neither a group's slot nor its states are likely to be in the processor's
 * cache, so all slots are asked for before the first is looked at, and the
 * states as soon as they are known.
 */
void
groups_find(Groups *groups, GroupKey *keys, int n)
{
	uint32		hashes[MAX_GROUP_KEYS];
	int			i;

	Assert(n <= MAX_GROUP_KEYS);
	groups->rows += n;
	for (i = 0; i < n; i++)
	{
		Assert(keys[i].entity != NO_ENTITY);
		hashes[i] = group_hash(keys[i].bucket, keys[i].entity);
		__builtin_prefetch(&groups->slots[hashes[i] & groups->slot_mask]);
	}
	for (i = 0; i < n; i++)
	{
		keys[i].states = table_find(groups, &keys[i], hashes[i]);
		prefetch_states(groups, keys[i].states, keys[i].span);
	}
}

/*
 * Finds a group in the table, or adds it.
 */
static inline StateWord *
table_find(Groups *groups, const GroupKey *key, uint32 hash)
{
	uint32		at;

	for (at = hash & groups->slot_mask;; at = (at + 1) & groups->slot_mask)
	{
		GroupSlot  *slot = &groups->slots[at];

		if (slot->group == 0)
			return table_add(groups, slot, key);
		if (slot->bucket == key->bucket && slot->entity == key->entity)
			return group_states(groups, slot->group - 1);
	}
}

static void
table_add_chunk(Groups *groups)
{
	Size		size = ((Size) groups->layout->words * sizeof(StateWord)) << groups->chunk_shift;
	char	   *chunk = MemoryContextAllocHuge(groups->table, size);

	if (groups->chunks == NULL)
		groups->chunks = MemoryContextAlloc(groups->table, sizeof(char *));
	else if ((groups->nchunks & (groups->nchunks - 1)) == 0)
		groups->chunks = repalloc_huge(groups->chunks,
									   2 * groups->nchunks * sizeof(char *));

	/* Of the first chunk perhaps little is used. */
	if (groups->nchunks > 0)
		advise_huge_pages(chunk, size);
	groups->chunks[groups->nchunks++] = chunk;
}

/* Returns the number of a place for the states of a new group. */
static uint32
table_take_place(Groups *groups)
{
	uint32		place = groups->free_place;

	if (place != 0)
	{
		place--;
		groups->free_place = group_states(groups, place)->n;
		return place;
	}
	place = groups->nplaces++;
	if (place >> groups->chunk_shift == groups->nchunks)
		table_add_chunk(groups);
	return place;
}

/* Frees the place of a group that has left, and the values of its states. */
void
table_free_place(Groups *groups, uint32 place)
{
	const GroupLayout *layout = groups->layout;
	StateWord  *states = group_states(groups, place);
	int			i;

	for (i = 0; i < layout->nkept; i++)
	{
		ValueArray *values = group_values_word(layout, states, layout->kept[i])->values;

		if (values != NULL)
			pfree(values);
	}
	states->n = groups->free_place;
	groups->free_place = place + 1;
}

/*
 * Adds a group to the table, at the free slot where its key was looked for.
 */
static StateWord *
table_add(Groups *groups, GroupSlot *slot, const GroupKey *key)
{
	uint32		place = table_take_place(groups);
	StateWord  *states = group_states(groups, place);

	slot->bucket = key->bucket;
	slot->entity = key->entity;
	slot->group = place + 1;
	groups->ngroups++;
	groups->added++;
	groups->newest = Max(groups->newest, key->bucket);
	group_states_init(groups->layout, states);
	if (groups->ngroups > groups->slot_mask / 2)
		table_rehash(groups, groups->slot_mask * 2 + 1, DT_NOBEGIN);
	return states;
}

/*
 * Makes the hash table anew, with another number of slots, from the groups of
 * buckets from `from` on.
 */
void
table_rehash(Groups *groups, uint32 mask, TimestampTz from)
{
	GroupSlot  *old = groups->slots;
	uint32		old_mask = groups->slot_mask;
	Size		size = ((Size) mask + 1) * sizeof(GroupSlot);
	uint32		i;

	if (mask == PG_UINT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many groups in memory"),
				 errhint("Set \"batchagg.work_mem\" lower.")));
	groups->slots = MemoryContextAllocHuge(groups->table, size);
	advise_huge_pages(groups->slots, size);
	memset(groups->slots, 0, size);
	groups->slot_mask = mask;
	groups->ngroups = 0;
	for (i = 0; i <= old_mask; i++)
	{
		uint32		at;

		if (old[i].group == 0 || old[i].bucket < from)
			continue;
		at = group_hash(old[i].bucket, old[i].entity) & mask;
		while (groups->slots[at].group != 0)
			at = (at + 1) & mask;
		groups->slots[at] = old[i];
		groups->ngroups++;
	}
	pfree(old);
}

/*
 * Bytes of memory that the table has now.
 */
Size
groups_memory(const Groups *groups)
{
	return MemoryContextMemAllocated(groups->table, true) +
		MemoryContextMemAllocated(groups->values, true) + entities_memory(groups->entities);
}

/*
 * And the bytes that it may have.
 */
Size
groups_budget(const Groups *groups)
{
	return groups->budget;
}

/*
 * How many groups have been added so far, those that have left included; sets
 * *newest to the latest of their buckets.
 */
uint64
groups_added(const Groups *groups, TimestampTz *newest)
{
	*newest = groups->newest;
	return groups->added;
}

/*
 * Has the table been written to a run?
 */
bool
groups_spilled(const Groups *groups)
{
	return sorted_any(groups->sorted);
}

/*
 * To be asked every few rows: is the budget used up?  Then groups_spill() has to be
 * called.
 */
bool
groups_are_full(Groups *groups)
{
	Size		values = MemoryContextMemAllocated(groups->values, true);
	Size		used = groups_memory(groups);

	groups->peak = Max(groups->peak, used);

	/* Entities that cannot be forgotten must leave the groups some room. */
	if (used <= (entities_forgettable(groups->entities) ? groups->budget :
				 Max(groups->budget, 2 * entities_memory(groups->entities))))
		return false;

	/* A run must be worth writing. */
	return groups->ngroups >= MIN_RUN_GROUPS || values > groups->budget;
}

/*
 * Writes the table to a run, and empties it.
 */
void
groups_spill(Groups *groups)
{
	table_write(groups);
	if (entities_forgettable(groups->entities) &&
		entities_memory(groups->entities) > groups->budget / 2)
		entities_forget(groups->entities);
}

/* Rows that the table has met since it was empty. */
uint64
groups_rows(const Groups *groups)
{
	return groups->rows;
}

/*
 * Merges a group of another table of the same layout into that of this bucket and
 * the same entity.  The ids of the table are texts.
 *
 * A group that would take much of the memory, or whose values are in a file as they
 * have not found any before, becomes a run of its own.
 */
void
groups_feed(Groups *groups, TimestampTz bucket, const GroupOut *group)
{
	const GroupLayout *layout = groups->layout;

	if (group_values_bytes(layout, group->states) > groups->budget / BULKY_SHARE ||
		group_is_elsewhere(layout, group->states))
	{
		GroupOut	moved = *group;
		SortedWriter *writer = sorted_start(groups->sorted);

		moved.bucket = bucket;
		sorted_write_group(writer, &moved);
		sorted_end(groups->sorted, writer);
	}
	else
	{
		text	   *id = cstring_to_text_with_len(group->entity, group->entity_length);
		GroupKey	key = {.bucket = bucket};

		key.entity = groups_entity(groups, PointerGetDatum(id));
		groups_find(groups, &key, 1);
		group_states_merge(layout, key.states, group->states, groups->values);
		pfree(id);
		if ((layout->nkept > 0 || ++groups->fed % GROUPS_PER_CHECK == 0) &&
			groups_are_full(groups))
			groups_spill(groups);
	}
}

/* Empties the table. */
void
table_reset(Groups *groups)
{
	MemoryContextReset(groups->values);
	MemoryContextReset(groups->table);
	table_start(groups);
}
