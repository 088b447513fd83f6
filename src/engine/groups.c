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
 * run of partial states, and begins anew, empty.  In the end the runs are
 * merged, and states of equal keys with them.  Against a hash partition of
 * input rows, the usual way of HashAggregate, this
 *	 - brings groups out in order without another sort;
 *	 - writes the state of a group, not its rows: where the source is roughly
 *	   in time order, as measurements are, each group is written about once;
 *	 - cannot be upset by skew, since a group of any number of rows is one
 *	   state, and needs no recursion: too many runs to merge at once are merged
 *	   into fewer first.
 * Its cost is a source in random order with about one row a group, where a
 * state is larger than the row.
 *
 * A state's values (for percentiles) follow it on the tape.
 *
 * Where a source's rows come in the order of time, groups of old buckets can
 * leave while it is still being read (early.c): then others take their places,
 * and all of the table stays in the processor's cache.
 *
 * Where several processes read a source, each has a table of its own.  The
 * workers send their groups to the leader in streams, in order as always, and the
 * leader merges these with its own groups as it does with runs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/mman.h>

#include "lib/binaryheap.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/logtape.h"
#include "utils/memutils.h"

#include "engine/entity.h"
#include "engine/groups.h"
#include "engine/mix.h"

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

/* No budget is less: an empty table takes nearly as much. */
#define MIN_BUDGET ((Size) 64 * 1024)

/* A run of fewer groups is written only where their values need the memory. */
#define MIN_RUN_GROUPS 256

/* Runs merged at once: each has a buffer of one block and a group. */
#define MIN_FAN_IN 8
#define MAX_FAN_IN 512

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
	GroupOrder *order;
	uint32		n;				/* of them */
	uint32		next;
} TableReader;

struct Groups
{
	const GroupLayout *layout;
	Size		budget;			/* bytes */
	GroupsUsage usage;

	MemoryContext context;		/* of this struct and all below */
	MemoryContext table;		/* hash table and states; emptied with each run */
	MemoryContext values;		/* value arrays; likewise */
	MemoryContext spill;		/* tapes */

	Entities   *entities;

	GroupSlot  *slots;
	uint32		slot_mask;
	uint32		ngroups;
	uint64		added;			/* groups so far, also those that have left */
	TimestampTz newest;			/* latest bucket of these */

	uint32		nplaces;		/* for the states of a group, in the chunks */
	uint32		free_place;		/* number + 1 of one whose group has left, and which
								 * leads to the next; 0: none */
	char	  **chunks;
	int			nchunks;
	int			chunk_shift;	/* log2 of the groups in a chunk */

	LogicalTapeSet *tapes;		/* NULL: no run written */
	List	   *runs;			/* of LogicalTape */
	List	   *streams;		/* of RunReader: groups of other processes */
};

static void table_start(Groups *groups);
static StateWord *table_find(Groups *groups, const GroupKey *key, uint32 hash);
static StateWord *table_add(Groups *groups, GroupSlot *slot, const GroupKey *key);
static void table_rehash(Groups *groups, uint32 mask, TimestampTz from);
static uint32 table_sort(Groups *groups, TimestampTz to, GroupOrder **order);
static void run_write_table(Groups *groups);
static void runs_free(Groups *groups);
static void runs_merge(Groups *groups, GroupSink sink, void *arg);
static void merge_early(Groups *groups, TableReader *table, TimestampTz to, GroupSink sink,
						void *arg);

/*
 * Lays out groups of `nmetrics` metrics, with their numbers among a row's
 * values in ascending order, and the fields that their states need.
 * Memory is taken from the current context.
 */
void
group_layout_init(GroupLayout *layout, int nmetrics, const int *numbers,
				  const uint32 *fields)
{
	int			next;
	int			i;
	int			j;

	layout->nmetrics = nmetrics;
	layout->numbers = palloc(nmetrics * sizeof(int));
	layout->fields = palloc(nmetrics * sizeof(uint32));
	layout->span_of = palloc(nmetrics * sizeof(int));
	layout->places = palloc(nmetrics * sizeof(int));
	layout->spans = palloc(nmetrics * sizeof(MetricSpan));
	layout->nspans = 0;
	layout->words = 0;
	memcpy(layout->numbers, numbers, nmetrics * sizeof(int));
	memcpy(layout->fields, fields, nmetrics * sizeof(uint32));

	for (i = 0; i < nmetrics; i = next)
	{
		MetricSpan *span = &layout->spans[layout->nspans++];

		for (next = i + 1; next < nmetrics && fields[next] == fields[i] &&
			 numbers[next] == numbers[next - 1] + 1; next++)
			;
		span_init(span, numbers[i], next - i, fields[i], layout->words);
		for (j = i; j < next; j++)
		{
			layout->span_of[j] = layout->nspans - 1;
			layout->places[j] = j - i;
		}
		layout->words += span->n * span->words;
	}

	layout->empty = palloc(layout->words * sizeof(StateWord));
	for (i = 0; i < nmetrics; i++)
		state_init(group_state(layout, layout->empty, i), fields[i]);
}

/*
 * Makes the states of a group empty.
 */
void
group_states_init(const GroupLayout *layout, StateWord *states)
{
	memcpy(states, layout->empty, layout->words * sizeof(StateWord));
}

/*
 * Merges the states of group `from` into those of `into`.
 */
void
group_states_merge(const GroupLayout *layout, StateWord *into, StateWord *from,
				   MemoryContext values_context)
{
	int			i;

	for (i = 0; i < layout->nspans; i++)
		span_merge(&layout->spans[i], into, from, values_context);
}

/* The word of a group's state of a metric that leads to its values. */
static StateWord *
group_values_word(const GroupLayout *layout, StateWord *states, int metric)
{
	return state_at(group_state(layout, states, metric),
					state_word(layout->fields[metric], FIELD_VALUES));
}

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
	groups->spill = AllocSetContextCreate(context, "batchagg group tapes",
										  ALLOCSET_DEFAULT_SIZES);
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
	runs_free(groups);
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
	return groups->usage;
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
 * groups.  It is good until groups_check_memory().
 */
uint32
groups_entity(Groups *groups, Datum id)
{
	return entities_intern(groups->entities, id);
}

/* Asks for the memory of a group's states. */
static inline void
prefetch_states(const Groups *groups, const StateWord *states)
{
	Size		size = Min(groups->layout->words * sizeof(StateWord), MAX_PREFETCH);
	Size		at;

	for (at = 0; at < size; at += CACHE_LINE)
		__builtin_prefetch((const char *) states + at, 1);
}

/*
 * Sets the states of `n` groups, at most MAX_GROUP_KEYS; those of new groups
 * are empty.  They stay where they are until groups_check_memory().
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

	for (i = 0; i < n; i++)
	{
		hashes[i] = group_hash(keys[i].bucket, keys[i].entity);
		__builtin_prefetch(&groups->slots[hashes[i] & groups->slot_mask]);
	}
	for (i = 0; i < n; i++)
	{
		keys[i].states = table_find(groups, &keys[i], hashes[i]);
		prefetch_states(groups, keys[i].states);
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

	for (i = 0; i < layout->nmetrics; i++)
	{
		ValueArray *values;

		if (!(layout->fields[i] & FIELD_VALUES))
			continue;
		values = group_values_word(layout, states, i)->values;
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
	return groups->runs != NIL;
}

/*
 * To be called every few rows: writes the table to a run, and empties it, when
 * the budget is used up.
 */
void
groups_check_memory(Groups *groups)
{
	Size		entities = entities_memory(groups->entities);
	Size		values = MemoryContextMemAllocated(groups->values, true);
	Size		used = groups_memory(groups);
	bool		forgettable = entities_forgettable(groups->entities);

	groups->usage.peak = Max(groups->usage.peak, used);

	/* Entities that cannot be forgotten must leave the groups some room. */
	if (used <= (forgettable ? groups->budget : Max(groups->budget, 2 * entities)))
		return;

	/* A run must be worth writing. */
	if (groups->ngroups < MIN_RUN_GROUPS && values <= groups->budget)
		return;
	run_write_table(groups);
	if (forgettable && entities > groups->budget / 2)
		entities_forget(groups->entities);
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
	uint32		i;

	*order = MemoryContextAllocHuge(groups->table,
									Max(groups->ngroups, 1) * sizeof(GroupOrder));
	entities_rank(groups->entities);
	for (i = 0; i <= groups->slot_mask; i++)
	{
		const GroupSlot *slot = &groups->slots[i];

		if (slot->group == 0 || slot->bucket >= to)
			continue;
		(*order)[n].bucket = slot->bucket;
		(*order)[n].rank = entities_rank_of(groups->entities, slot->entity);
		(*order)[n].group = slot->group - 1;
		n++;
	}
	sort_groups(*order, n);
	return n;
}

/*
 * Sets *out to the table's next group, with those of entities that print alike
 * merged into it.  Returns false at the end.
 */
static bool
table_read_group(Groups *groups, TableReader *reader, GroupOut *out)
{
	const GroupOrder *order = reader->order + reader->next;
	const GroupOrder *end = reader->order + reader->n;
	const GroupOrder *other;

	if (order == end)
		return false;
	if (order + EMIT_AHEAD < end)
		prefetch_states(groups, group_states(groups, order[EMIT_AHEAD].group));
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
	TableReader reader = {.next = 0};

	reader.n = table_sort(groups, to, &reader.order);
	return reader;
}

/*
 * Sends what a reader of the table reads to `sink`.
 */
static void
table_send(Groups *groups, TableReader *reader, GroupSink sink, void *arg)
{
	GroupOut	out;

	while (table_read_group(groups, reader, &out))
	{
		CHECK_FOR_INTERRUPTS();
		sink(arg, &out);
	}
}

/*
 * Sends the table's groups to `sink` in order.
 */
static void
table_emit(Groups *groups, GroupSink sink, void *arg)
{
	TableReader reader = table_read(groups, DT_NOEND);

	table_send(groups, &reader, sink, arg);
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
	if (groups->streams == NIL)
		table_send(groups, &reader, sink, arg);
	else
		merge_early(groups, &reader, to, sink, arg);
	for (i = 0; i < reader.n; i++)
		table_free_place(groups, reader.order[i].group);
	if (reader.n > 0)
		table_rehash(groups, groups->slot_mask, to);
	pfree(reader.order);
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
 * Sends all groups to `sink`, in the order of bucket and entity text, each
 * once.  The table is empty afterwards and can be filled again.
 */
void
groups_emit(Groups *groups, GroupSink sink, void *arg)
{
	if (groups->runs == NIL && groups->streams == NIL)
		table_emit(groups, sink, arg);
	else
		runs_merge(groups, sink, arg);
	runs_free(groups);
	table_reset(groups);
}

/*
 * Runs: groups on a tape, or in a stream, in order.  A group is its key, the
 * words of its states, and then the values of each state that has some.
 */
typedef struct RunGroup
{
	TimestampTz bucket;
	int			entity_length;
} RunGroup;

typedef struct RunWriter
{
	const GroupLayout *layout;
	LogicalTape *tape;
	StreamWriter *stream;		/* instead of a tape */
	MemoryContext context;		/* the tape allocates buffers as it goes */
} RunWriter;

static RunWriter
run_start(Groups *groups)
{
	MemoryContext old_context = MemoryContextSwitchTo(groups->spill);
	RunWriter	writer = {0};

	if (groups->tapes == NULL)
		groups->tapes = LogicalTapeSetCreate(false, NULL, -1);
	writer.layout = groups->layout;
	writer.tape = LogicalTapeCreate(groups->tapes);
	writer.context = groups->spill;
	groups->usage.runs++;
	MemoryContextSwitchTo(old_context);
	return writer;
}

/* Makes a run ready for being read, and frees its write buffer. */
static void
run_end(Groups *groups, const RunWriter *writer)
{
	MemoryContext old_context = MemoryContextSwitchTo(groups->spill);

	LogicalTapeRewindForRead(writer->tape, BLCKSZ);
	groups->runs = lappend(groups->runs, writer->tape);
	MemoryContextSwitchTo(old_context);
}

static void run_write_group(void *arg, const GroupOut *group);

/*
 * Writes the table as a run and empties it.
 */
static void
run_write_table(Groups *groups)
{
	RunWriter	writer = run_start(groups);

	table_emit(groups, run_write_group, &writer);
	run_end(groups, &writer);
	table_reset(groups);
}

/* Forgets all runs, and frees their files. */
static void
runs_free(Groups *groups)
{
	if (groups->tapes != NULL)
		LogicalTapeSetClose(groups->tapes);
	groups->tapes = NULL;
	list_free(groups->runs);
	groups->runs = NIL;
}

static void
run_write(const RunWriter *writer, const void *ptr, Size size)
{
	if (writer->stream != NULL)
		stream_write(writer->stream, ptr, size);
	else
		LogicalTapeWrite(writer->tape, unconstify(void *, ptr), size);
}

/* A GroupSink. */
static void
run_write_group(void *arg, const GroupOut *group)
{
	const RunWriter *writer = arg;
	const GroupLayout *layout = writer->layout;
	RunGroup	key = {.bucket = group->bucket, .entity_length = group->entity_length};
	MemoryContext old_context = MemoryContextSwitchTo(writer->context);
	int			i;

	run_write(writer, &key, sizeof(key));
	run_write(writer, group->entity, group->entity_length);
	run_write(writer, group->states, layout->words * sizeof(StateWord));
	for (i = 0; i < layout->nmetrics; i++)
	{
		ValueArray *values;

		if (!(layout->fields[i] & FIELD_VALUES))
			continue;
		values = group_values_word(layout, group->states, i)->values;
		if (values == NULL)
			continue;
		run_write(writer, &values->used, sizeof(values->used));
		run_write(writer, values->values, values->used * sizeof(double));
	}
	MemoryContextSwitchTo(old_context);
}

/*
 * The most bytes that groups_send() takes for the groups of buckets before `to`.
 */
Size
groups_bytes(const Groups *groups, TimestampTz to)
{
	const GroupLayout *layout = groups->layout;
	Size		size = 0;
	uint32		i;
	int			j;

	for (i = 0; i <= groups->slot_mask; i++)
	{
		const GroupSlot *slot = &groups->slots[i];
		StateWord  *states;
		int			length;

		if (slot->group == 0 || slot->bucket >= to)
			continue;
		(void) entities_text(groups->entities, slot->entity, &length);
		states = group_states(groups, slot->group - 1);
		size += sizeof(RunGroup) + length + layout->words * sizeof(StateWord);
		for (j = 0; j < layout->nmetrics; j++)
		{
			const ValueArray *values;

			if (!(layout->fields[j] & FIELD_VALUES))
				continue;
			values = group_values_word(layout, states, j)->values;
			if (values != NULL)
				size += sizeof(values->used) + values->used * sizeof(double);
		}
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
	RunWriter	writer = {
		.layout = groups->layout,.stream = stream,.context = CurrentMemoryContext
	};

	if (to == DT_NOEND)
		groups_emit(groups, run_write_group, &writer);
	else
		groups_emit_before(groups, to, run_write_group, &writer);
	stream_flush(stream);
}

/*
 * A run being read, or a stream, or the table, and its current group.  Of a
 * stream, which goes on while it is read, only buckets before some time are
 * asked for; the first group that is not of one is kept for the next time.
 */
typedef struct RunReader
{
	LogicalTape *tape;
	StreamReader *stream;		/* instead of a tape; neither: the table is read */
	TableReader *table;
	TimestampTz to;				/* of a stream */
	bool		pending;		/* its group has not been asked for yet */
	GroupOut	group;
	MemoryContext values;		/* where its states' values are */
	char	   *entity;			/* of a group from a tape */
	int			entity_size;	/* room in entity */
	StateWord  *states;			/* likewise */
} RunReader;

/* Reads bytes; returns false at the end. */
static bool
run_read_first(const RunReader *reader, void *ptr, Size size)
{
	Size		n;

	if (reader->stream != NULL)
		return stream_read(reader->stream, ptr, size);
	n = LogicalTapeRead(reader->tape, ptr, size);
	if (n != 0 && n != size)
		elog(ERROR, "unexpected end of temporary file");
	return n != 0;
}

static void
run_read(const RunReader *reader, void *ptr, Size size)
{
	if (size > 0 && !run_read_first(reader, ptr, size))
		elog(ERROR, "unexpected end of a sorted run");
}

/*
 * Reads the next group from a tape or stream.  Returns false at the end.
 */
static bool
run_read_next(const GroupLayout *layout, RunReader *reader)
{
	RunGroup	key;
	int			i;

	if (!run_read_first(reader, &key, sizeof(key)))
		return false;
	if (key.entity_length > reader->entity_size)
	{
		reader->entity_size = key.entity_length;
		reader->entity = repalloc(reader->entity, reader->entity_size);
	}
	run_read(reader, reader->entity, key.entity_length);
	reader->group = (GroupOut) {key.bucket, reader->entity, key.entity_length, reader->states};
	run_read(reader, reader->states, layout->words * sizeof(StateWord));
	MemoryContextReset(reader->values);
	for (i = 0; i < layout->nmetrics; i++)
	{
		StateWord  *word;
		uint32		n;

		if (!(layout->fields[i] & FIELD_VALUES))
			continue;
		word = group_values_word(layout, reader->states, i);
		if (word->values == NULL)
			continue;
		run_read(reader, &n, sizeof(n));
		word->values = value_array_grow(NULL, n, reader->values);
		run_read(reader, word->values->values, n * sizeof(double));
		word->values->used = n;
	}
	return true;
}

/*
 * Reads the next group.  Returns false at the end, or where a stream comes to what
 * is not asked for.
 */
static bool
run_read_group(Groups *groups, RunReader *reader)
{
	if (reader->table != NULL)
		return table_read_group(groups, reader->table, &reader->group);
	if (reader->stream == NULL)
		return run_read_next(groups->layout, reader);
	if (!reader->pending)
	{
		/* What is asked for has been sent, so that there is nothing to wait for. */
		if (reader->to != DT_NOEND && !stream_ready(reader->stream))
			return false;
		if (!run_read_next(groups->layout, reader))
			return false;
	}
	reader->pending = reader->group.bucket >= reader->to;
	return !reader->pending;
}

static int
run_compare(const RunReader *a, const RunReader *b)
{
	if (a->group.bucket != b->group.bucket)
		return a->group.bucket < b->group.bucket ? -1 : 1;
	return entity_text_compare(a->group.entity, a->group.entity_length,
							   b->group.entity, b->group.entity_length);
}

/* The binary heap is a max-heap: the run with the lowest key counts highest. */
static int
run_heap_compare(Datum a, Datum b, void *arg)
{
	return run_compare((RunReader *) DatumGetPointer(b), (RunReader *) DatumGetPointer(a));
}

/* A reader of a tape or a stream, in memory of the current context. */
static RunReader *
run_reader_create(const Groups *groups, LogicalTape *tape, StreamReader *stream)
{
	RunReader  *reader = palloc0(sizeof(RunReader));

	reader->tape = tape;
	reader->stream = stream;
	reader->values = AllocSetContextCreate(CurrentMemoryContext, "batchagg run values",
										   ALLOCSET_SMALL_SIZES);
	reader->entity_size = 64;
	reader->entity = palloc(reader->entity_size);
	reader->states = palloc(groups->layout->words * sizeof(StateWord));
	return reader;
}

/*
 * Has groups of another process merged with the table's.  They are sent by
 * groups_send(), at least up to the bucket that groups_emit_before() is called for,
 * each time.
 */
void
groups_add_stream(Groups *groups, StreamReader *stream)
{
	MemoryContext old_context = MemoryContextSwitchTo(groups->spill);

	groups->streams = lappend(groups->streams, run_reader_create(groups, NULL, stream));
	MemoryContextSwitchTo(old_context);
}

/*
 * Takes the readers that are at the lowest key from the heap, and merges the
 * groups of all of them into the first one's.  Returns how many they are.
 */
static int
merge_lowest(const Groups *groups, binaryheap *heap, RunReader **lowest)
{
	int			n = 0;
	int			i;

	do
	{
		lowest[n++] = (RunReader *) DatumGetPointer(binaryheap_remove_first(heap));
	} while (!binaryheap_empty(heap) &&
			 run_compare(lowest[0], (RunReader *) DatumGetPointer(binaryheap_first(heap))) == 0);

	/* What the table's values grow by would be freed with the table only. */
	if (n > 1 && lowest[0]->table != NULL)
	{
		RunReader  *table = lowest[0];

		lowest[0] = lowest[1];
		lowest[1] = table;
	}
	for (i = 1; i < n; i++)
		group_states_merge(groups->layout, lowest[0]->group.states, lowest[i]->group.states,
						   lowest[0]->values);
	return n;
}

/* What is merged. */
typedef struct Merge
{
	binaryheap *heap;
	RunReader **readers;		/* room for as many as there may be */
	int			nreaders;
	RunReader	table;			/* one of them */
} Merge;

/* Begins a merge of `n` tapes from number `first` on. */
static void
merge_begin(Merge *merge, const Groups *groups, int first, int n)
{
	int			most = n + 1 + list_length(groups->streams);
	int			i;

	merge->heap = binaryheap_allocate(most, run_heap_compare, NULL);
	merge->readers = palloc(most * sizeof(RunReader *));
	merge->nreaders = 0;
	for (i = first; i < first + n; i++)
		merge->readers[merge->nreaders++] =
			run_reader_create(groups, list_nth(groups->runs, i), NULL);
}

/* Adds the table, and the streams as far as buckets before `to`. */
static void
merge_add(Merge *merge, const Groups *groups, TableReader *table, TimestampTz to)
{
	ListCell   *lc;

	merge->table = (RunReader) {.table = table,.values = groups->values};
	merge->readers[merge->nreaders++] = &merge->table;
	foreach(lc, groups->streams)
	{
		RunReader  *reader = lfirst(lc);

		reader->to = to;
		merge->readers[merge->nreaders++] = reader;
	}
}

/*
 * Sends the groups that are merged to `sink`, each key once.
 */
static void
merge_send(Groups *groups, Merge *merge, GroupSink sink, void *arg)
{
	for (;;)
	{
		int			i;

		/* Those that were at the last group go on to their next. */
		for (i = 0; i < merge->nreaders; i++)
			if (run_read_group(groups, merge->readers[i]))
				binaryheap_add(merge->heap, PointerGetDatum(merge->readers[i]));
		if (binaryheap_empty(merge->heap))
			break;
		CHECK_FOR_INTERRUPTS();
		merge->nreaders = merge_lowest(groups, merge->heap, merge->readers);
		sink(arg, &merge->readers[0]->group);
	}
}

/*
 * groups_emit_before(), where there are streams.
 */
static void
merge_early(Groups *groups, TableReader *table, TimestampTz to, GroupSink sink, void *arg)
{
	Merge		merge;

	merge_begin(&merge, groups, 0, 0);
	merge_add(&merge, groups, table, to);
	merge_send(groups, &merge, sink, arg);
	binaryheap_free(merge.heap);
	pfree(merge.readers);
}

/*
 * Merges all runs, streams and the table and sends their groups to `sink`.  While runs
 * are too many for the budget, the first of them are merged into a new one at
 * the end.
 */
static void
runs_merge(Groups *groups, GroupSink sink, void *arg)
{
	int			fan_in = Max(MIN_FAN_IN, Min(MAX_FAN_IN, groups->budget / (2 * BLCKSZ)));
	MemoryContext context = AllocSetContextCreate(groups->context, "batchagg merge",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	TableReader table;
	Merge		merge;
	int			first = 0;

	while (list_length(groups->runs) - first > fan_in)
	{
		RunWriter	writer = run_start(groups);
		int			end = first + fan_in;

		merge_begin(&merge, groups, first, fan_in);
		merge_send(groups, &merge, run_write_group, &writer);
		run_end(groups, &writer);

		/* Tapes have their read buffers in the merge's memory. */
		for (; first < end; first++)
			LogicalTapeClose(list_nth(groups->runs, first));
		MemoryContextReset(context);
	}
	table = table_read(groups, DT_NOEND);
	merge_begin(&merge, groups, first, list_length(groups->runs) - first);
	merge_add(&merge, groups, &table, DT_NOEND);
	merge_send(groups, &merge, sink, arg);
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
}
