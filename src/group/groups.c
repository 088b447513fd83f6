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
 * When all input is in, groups leave sorted by (bucket, entity text).  That is
 * the order of the store's key, so the writer can merge them with what is
 * there, and it brings a coarser granularity its states bucket by bucket.
 *
 * When the budget is used up, the table is sorted and written to a tape as a
 * run of partial states (runs.c), and begins anew, empty.  In the end the runs
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

#include "group/entity.h"
#include "group/groups.h"
#include "group/mix.h"
#include "group/runs.h"

#define MIN_SLOTS 1024

/* What is asked for of a group's states before they are added to, at most. */
#define MAX_PREFETCH 1024
#define CACHE_LINE 64

/* How many groups ahead of the one being sent out memory is asked for. */
#define EMIT_AHEAD 4

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

/*
 * Entities are forgotten whose groups have all left, when there are so many for each
 * group that is left, and they take a quarter of the budget, or more than the
 * processor's cache holds.
 */
#define ENTITIES_A_GROUP 2
#define FORGET_ENTITIES ((Size) 4 * 1024 * 1024)

/* A run of fewer groups is written only where their values need the memory. */
#define MIN_RUN_GROUPS 256

/* A slot of the hash table. */
typedef struct GroupSlot
{
	TimestampTz bucket;
	uint32		entity;
	uint32		group;			/* number + 1; 0: the slot is free */
} GroupSlot;

/* A group's place in the order of the store's key. */
typedef struct GroupOrder
{
	TimestampTz bucket;
	uint32		rank;			/* of the entity */
	uint32		group;
} GroupOrder;

/* The table's groups, one after the other in order. */
typedef struct TableReader
{
	Groups	   *groups;
	GroupOrder *order;
	uint32		n;				/* of them */
	uint32		next;
} TableReader;

struct Groups
{
	const GroupLayout *layout;
	Size		budget;			/* bytes */
	Size		peak;			/* most bytes so far */

	MemoryContext context;		/* of this struct and all below */
	MemoryContext table;		/* hash table and states; emptied with each run */
	MemoryContext values;		/* value arrays; likewise */

	Entities   *entities;

	GroupSlot  *slots;
	uint32		slot_mask;
	uint32		ngroups;
	uint32		fed;			/* groups of another table */
	uint64		rows;			/* rows, or groups of another table, since it was empty */
	uint64		added;			/* groups so far, also those that have left */
	TimestampTz newest;			/* latest bucket of these */

	uint32		nplaces;		/* for the states of a group, in the chunks */
	uint32		free_place;		/* number + 1 of one whose group has left, and which
								 * leads to the next; 0: none */
	char	  **chunks;
	int			nchunks;
	int			chunk_shift;	/* log2 of the groups in a chunk */

	Runs	   *runs;			/* written by us, or sent by other processes */
};

static void table_start(Groups *groups);
static StateWord *table_find(Groups *groups, const GroupKey *key, uint32 hash);
static StateWord *table_add(Groups *groups, GroupSlot *slot, const GroupKey *key);
static void table_rehash(Groups *groups, uint32 mask, TimestampTz from);
static uint32 table_sort(Groups *groups, TimestampTz to, GroupOrder **order);
static void table_write(Groups *groups);

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
	groups->runs = runs_create(context, layout, groups->budget);
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
	runs_free(groups->runs);
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
	GroupsUsage usage = {.runs = runs_written(groups->runs), .peak = groups->peak};

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

static inline StateWord *
group_states(const Groups *groups, uint32 group)
{
	char	   *chunk = groups->chunks[group >> groups->chunk_shift];
	Size		at = group & (((uint32) 1 << groups->chunk_shift) - 1);

	return (StateWord *) (chunk + at * groups->layout->words * sizeof(StateWord));
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

/* Asks for the memory of a group's states, or of a span of them. */
static inline void
prefetch_states(const Groups *groups, const StateWord *states, const MetricSpan *span)
{
	int			words = span != NULL ? span->n * span->words : groups->layout->words;
	const char *start = (const char *) (span != NULL ? states + span->offset : states);
	const char *end = start + Min(words * sizeof(StateWord), MAX_PREFETCH);

	for (start = (const char *) TYPEALIGN_DOWN(CACHE_LINE, start); start < end; start += CACHE_LINE)
		__builtin_prefetch(start, 1);
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

	groups->rows += n;
	for (i = 0; i < n; i++)
	{
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
static void
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
static void
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
	return runs_any(groups->runs);
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
		RunWriter  *writer = run_start(groups->runs);

		moved.bucket = bucket;
		run_write_group(writer, &moved);
		run_end(groups->runs, writer);
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

#define ST_SORT sort_groups
#define ST_ELEMENT_TYPE GroupOrder
#define ST_COMPARE(a, b) \
	((a)->bucket != (b)->bucket ? ((a)->bucket < (b)->bucket ? -1 : 1) : \
	 (a)->rank != (b)->rank ? ((a)->rank < (b)->rank ? -1 : 1) : \
	 (a)->group < (b)->group ? -1 : 1)
#define ST_CHECK_FOR_INTERRUPTS
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/*
 * Sets *order to the table's groups of buckets before `to`, in the order of the
 * store's key.  Returns how many they are.
 */
static uint32
table_sort(Groups *groups, TimestampTz to, GroupOrder **order)
{
	uint32		n = 0;
	uint32	   *entities;
	uint32		i;

	*order = MemoryContextAllocHuge(groups->table,
									Max(groups->ngroups, 1) * sizeof(GroupOrder));
	entities = MemoryContextAllocHuge(groups->table,
									  Max(groups->ngroups, 1) * sizeof(uint32));
	for (i = 0; i <= groups->slot_mask; i++)
	{
		const GroupSlot *slot = &groups->slots[i];

		if (slot->group == 0 || slot->bucket >= to)
			continue;
		(*order)[n].bucket = slot->bucket;
		(*order)[n].group = slot->group - 1;
		entities[n++] = slot->entity;
	}
	entities_rank(groups->entities, entities, n);
	for (i = 0; i < n; i++)
		(*order)[i].rank = entities_rank_of(groups->entities, entities[i]);
	pfree(entities);
	sort_groups(*order, n);
	return n;
}

/*
 * Sets *out to the table's next group, with those of entities that print alike
 * merged into it.  Returns false at the end.  A GroupSource.
 */
static bool
table_read_group(void *arg, GroupOut *out)
{
	TableReader *reader = arg;
	Groups	   *groups = reader->groups;
	const GroupOrder *order = reader->order + reader->next;
	const GroupOrder *end = reader->order + reader->n;
	const GroupOrder *other;

	if (order == end)
		return false;
	if (order + EMIT_AHEAD < end)
		prefetch_states(groups, group_states(groups, order[EMIT_AHEAD].group), NULL);
	out->bucket = order->bucket;
	out->entity = entities_text_of_rank(groups->entities, order->rank, &out->entity_length);
	out->states = group_states(groups, order->group);
	for (other = order + 1; other < end &&
		 other->bucket == order->bucket && other->rank == order->rank; other++)
		group_states_merge(groups->layout, out->states, group_states(groups, other->group),
						   groups->values);
	reader->next = other - reader->order;
	return true;
}

/* A reader of the table's groups of buckets before `to`. */
static TableReader
table_read(Groups *groups, TimestampTz to)
{
	TableReader reader = {.groups = groups};

	reader.n = table_sort(groups, to, &reader.order);
	return reader;
}

/*
 * Sends what a reader of the table reads to `sink`.
 */
static void
table_send(TableReader *reader, GroupSink sink, void *arg)
{
	GroupOut	out;

	while (table_read_group(reader, &out))
	{
		CHECK_FOR_INTERRUPTS();
		sink(arg, &out);
	}
}

/*
 * Forgets entities without a group, where that is worth it.
 */
static void
table_forget_entities(Groups *groups)
{
	uint32	   *entities;
	uint32		n = 0;
	uint32		i;

	if (!entities_forgettable(groups->entities) ||
		entities_memory(groups->entities) < Min(FORGET_ENTITIES, groups->budget / 4) ||
		entities_count(groups->entities) / ENTITIES_A_GROUP <= groups->ngroups)
		return;
	entities = MemoryContextAllocHuge(groups->table,
									  Max(groups->ngroups, 1) * sizeof(uint32));
	for (i = 0; i <= groups->slot_mask; i++)
		if (groups->slots[i].group != 0)
			entities[n++] = groups->slots[i].entity;
	entities_keep(groups->entities, entities, n);
	for (i = n = 0; i <= groups->slot_mask; i++)
		if (groups->slots[i].group != 0)
			groups->slots[i].entity = entities[n++];
	pfree(entities);
	table_rehash(groups, groups->slot_mask, DT_NOBEGIN);
}

/*
 * Sends the groups of buckets before `to` to `sink` in order, as groups_emit()
 * does, and lets others take their places.  Not for a table that has been
 * spilled, where not all of these groups are in memory; and of streams, they must
 * all have been sent.
 */
void
groups_emit_before(Groups *groups, TimestampTz to, GroupSink sink, void *arg)
{
	TableReader reader = table_read(groups, to);
	uint32		i;

	Assert(!groups_spilled(groups));
	if (runs_have_streams(groups->runs))
		runs_merge(groups->runs, table_read_group, &reader, to, sink, arg);
	else
		table_send(&reader, sink, arg);
	for (i = 0; i < reader.n; i++)
		table_free_place(groups, reader.order[i].group);
	if (reader.n > 0)
		table_rehash(groups, groups->slot_mask, to);
	pfree(reader.order);
	table_forget_entities(groups);
}

/* Empties the table. */
static void
table_reset(Groups *groups)
{
	MemoryContextReset(groups->values);
	MemoryContextReset(groups->table);
	table_start(groups);
}

/*
 * Writes the table as a run and empties it.
 */
static void
table_write(Groups *groups)
{
	TableReader reader = table_read(groups, DT_NOEND);
	RunWriter  *writer = run_start(groups->runs);

	table_send(&reader, run_write_group, writer);
	run_end(groups->runs, writer);
	table_reset(groups);
}

/*
 * Sends all groups to `sink`, in the order of bucket and entity text, each
 * once.  The table is empty afterwards and can be filled again.
 */
void
groups_emit(Groups *groups, GroupSink sink, void *arg)
{
	bool		merging = runs_any(groups->runs) || runs_have_streams(groups->runs);
	TableReader reader;

	if (merging && groups_memory(groups) + runs_merge_memory(groups->runs) >
		groups->budget + groups->budget / 5)
		table_write(groups);
	reader = table_read(groups, DT_NOEND);
	if (merging)
		runs_merge(groups->runs, table_read_group, &reader, DT_NOEND, sink, arg);
	else
		table_send(&reader, sink, arg);
	runs_free(groups->runs);
	table_reset(groups);
}

/*
 * The most bytes that groups_send() takes for the groups of buckets before `to`.
 */
Size
groups_bytes(const Groups *groups, TimestampTz to)
{
	Size		size = 0;
	uint32		i;

	for (i = 0; i <= groups->slot_mask; i++)
	{
		const GroupSlot *slot = &groups->slots[i];
		int			length;

		if (slot->group == 0 || slot->bucket >= to)
			continue;
		(void) entities_text(groups->entities, slot->entity, &length);
		size += run_group_bytes(groups->layout, group_states(groups, slot->group - 1), length);
	}
	return size;
}

/*
 * Sends groups to another process, those of buckets before `to`, as
 * groups_emit_before() does, or (DT_NOEND) all that are left.
 */
void
groups_send(Groups *groups, TimestampTz to, StreamWriter *stream)
{
	RunWriter  *writer = run_start_stream(groups->layout, stream);

	if (to == DT_NOEND)
		groups_emit(groups, run_write_group, writer);
	else
		groups_emit_before(groups, to, run_write_group, writer);
	stream_flush(stream);
	pfree(writer);
}

/*
 * Has groups of another process merged with the table's.  They are sent by
 * groups_send(), at least up to the bucket that groups_emit_before() is called for,
 * each time.
 */
void
groups_add_stream(Groups *groups, StreamReader *stream)
{
	runs_add_stream(groups->runs, stream);
}
