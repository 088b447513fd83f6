/*-------------------------------------------------------------------------
 *
 * emit.c
 *	  How groups leave their table, in the order of the store's key.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "group/groups.h"

/* How many groups ahead of the one being sent out memory is asked for. */
#define EMIT_AHEAD 4

/*
 * Entities are forgotten whose groups have all left, when there are so many for each
 * group that is left, and they take a quarter of the budget, or more than the
 * processor's cache holds.
 */
#define ENTITIES_A_GROUP 2
#define FORGET_ENTITIES ((Size) 4 * 1024 * 1024)

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
	TimestampTz last PG_USED_FOR_ASSERTS_ONLY = DT_NOBEGIN;

	while (table_read_group(reader, &out))
	{
		CHECK_FOR_INTERRUPTS();
		Assert(out.bucket >= last);
		last = out.bucket;
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
	if (sorted_have_streams(groups->sorted))
		sorted_merge(groups->sorted, table_read_group, &reader, to, sink, arg);
	else
		table_send(&reader, sink, arg);
	for (i = 0; i < reader.n; i++)
		table_free_place(groups, reader.order[i].group);
	if (reader.n > 0)
		table_rehash(groups, groups->slot_mask, to);
	pfree(reader.order);
	table_forget_entities(groups);
}

/*
 * Writes the table as a run and empties it.
 */
void
table_write(Groups *groups)
{
	TableReader reader = table_read(groups, DT_NOEND);
	SortedWriter *writer = sorted_start(groups->sorted);

	table_send(&reader, sorted_write_group, writer);
	sorted_end(groups->sorted, writer);
	table_reset(groups);
}

/*
 * Sends all groups to `sink`, in the order of bucket and entity text, each
 * once.  The table is empty afterwards and can be filled again.
 */
void
groups_emit(Groups *groups, GroupSink sink, void *arg)
{
	bool		merging = sorted_any(groups->sorted) || sorted_have_streams(groups->sorted);
	TableReader reader;

	if (merging && groups_memory(groups) + sorted_merge_memory(groups->sorted) >
		groups->budget + groups->budget / 5)
		table_write(groups);
	reader = table_read(groups, DT_NOEND);
	if (merging)
		sorted_merge(groups->sorted, table_read_group, &reader, DT_NOEND, sink, arg);
	else
		table_send(&reader, sink, arg);
	sorted_free(groups->sorted);
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
		size += sorted_group_bytes(groups->layout, group_states(groups, slot->group - 1), length);
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
	SortedWriter *writer = sorted_start_stream(groups->layout, stream);

	if (to == DT_NOEND)
		groups_emit(groups, sorted_write_group, writer);
	else
		groups_emit_before(groups, to, sorted_write_group, writer);
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
	sorted_add_stream(groups->sorted, stream);
}
