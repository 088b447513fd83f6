/*-------------------------------------------------------------------------
 *
 * stored.c
 *	  Stored groups that feed coarser rollups.
 *
 * A StoredReader makes groups of the stored rows outside the extents that a run brings up
 * to date, by their partial states, in the order of the store's key.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "store/part.h"
#include "store/stored.h"

struct StoredReader
{
	StoreWriter *store;
	const Rollup *rollup;
	PartWriter *parts;
	int			at;				/* the extent of rollup->stored that it is in */
	int			recomputed;		/* the one of what is recomputed that it has come to */
	PartWriter *first;			/* that has a row of the next group; NULL: at the end */
	GroupOut	group;			/* this group, as that row names it */
	bool		taken;			/* it has been: there is another one to be found */
	MemoryContext context;		/* reset with each group */
};

/* Begins with the stored rows of the extent that the reader has come to. */
static void
stored_reader_seek(StoredReader *reader)
{
	const Rollup *rollup = reader->rollup;
	int			i;

	for (i = 0; i < rollup->nparts && reader->at < rollup->stored->n; i++)
		part_seek(reader->store, &reader->parts[i], &rollup->stored->items[reader->at]);
}

/*
 * Finds the first of the groups that the parts are at.  Returns false where they
 * are at the end of the extent.
 */
static bool
stored_reader_look(StoredReader *reader)
{
	int			i;

	reader->first = NULL;
	for (i = 0; i < reader->rollup->nparts; i++)
	{
		PartWriter *part = &reader->parts[i];

		if (part_has_stored(part) &&
			(reader->first == NULL || part_compare_key(part, &reader->group) < 0))
		{
			reader->first = part;
			part_name_group(part, &reader->group);
		}
	}
	return reader->first != NULL;
}

/*
 * Finds the next group, in this extent or another one.
 */
static void
stored_reader_find(StoredReader *reader)
{
	MemoryContextReset(reader->context);
	while (!stored_reader_look(reader) && reader->at < reader->rollup->stored->n)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(reader->context);
		reader->at++;
		stored_reader_seek(reader);
	}
}

/* Leaves the group that was taken behind; the row that names it last. */
static void
stored_reader_advance(StoredReader *reader)
{
	int			i;

	for (i = 0; i < reader->rollup->nparts; i++)
	{
		PartWriter *part = &reader->parts[i];

		if (part != reader->first && part_has_stored(part) &&
			part_compare_key(part, &reader->group) == 0)
			part_advance(reader->store, part);
	}
	part_advance(reader->store, reader->first);
	reader->taken = false;
}

/*
 * Begins to read those of a rollup's groups that coarser ones need as they are
 * stored.
 */
StoredReader *
stored_reader_open(StoreWriter *store, const Rollup *rollup)
{
	StoredReader *reader = palloc0(sizeof(StoredReader));
	MemoryContext old_context;

	reader->store = store;
	reader->rollup = rollup;
	reader->parts = parts_open(store, rollup);
	reader->group.states = palloc(rollup->layout->words * sizeof(StateWord));
	reader->context = AllocSetContextCreate(CurrentMemoryContext, "batchagg stored group",
											ALLOCSET_DEFAULT_SIZES);
	reader->at = -1;
	old_context = MemoryContextSwitchTo(reader->context);
	stored_reader_find(reader);
	MemoryContextSwitchTo(old_context);
	return reader;
}

/*
 * Is the group that the reader is at computed by this run, if it has rows?  Where
 * results outlive their rows, the one that the reader is at has none.
 */
static bool
stored_reader_passes(StoredReader *reader)
{
	const GroupOut *group = &reader->group;

	if (bucket_is_kept(reader->rollup, group->bucket))
		return false;
	return group->bucket < reader->rollup->stored_from ||
		extents_reach(reader->rollup->refresh->extents, &reader->recomputed, group->bucket,
					  group->entity, group->entity_length);
}

/* Puts the states of a group together from the rows of its parts. */
static void
stored_reader_take(StoredReader *reader)
{
	const GroupLayout *layout = reader->rollup->layout;
	int			i;

	group_states_init(layout, reader->group.states);
	for (i = 0; i < reader->rollup->nparts; i++)
	{
		const PartWriter *part = &reader->parts[i];

		if (part_has_stored(part) && part_compare_key(part, &reader->group) == 0)
			part_take_states(layout, part, reader->group.states);
	}
}

/*
 * Sets *group to the next group that is not recomputed, valid until the next call.
 * Returns false where there is none, or none before the group `before`, if that is
 * not NULL.
 */
bool
stored_reader_next(StoredReader *reader, const GroupOut *before, GroupOut *group)
{
	MemoryContext old_context = MemoryContextSwitchTo(reader->context);
	bool		found;

	do
	{
		CHECK_FOR_INTERRUPTS();
		if (reader->taken)
		{
			stored_reader_advance(reader);
			stored_reader_find(reader);
		}
		found = reader->first != NULL &&
			(before == NULL || part_compare_key(reader->first, before) < 0);
		reader->taken = found;
	} while (found && stored_reader_passes(reader));
	if (found)
	{
		stored_reader_take(reader);
		*group = reader->group;
	}
	MemoryContextSwitchTo(old_context);
	return found;
}

/*
 * What a group that was computed is to coarser rollups: with history, parts of it may
 * be kept as they are stored.  It is passed over by the reader then.  Valid until the
 * next call.
 */
const GroupOut *
stored_reader_settle(StoredReader *reader, RollupWriter *writer, const GroupOut *group)
{
	const GroupLayout *layout = reader->rollup->layout;
	MemoryContext old_context;
	int			i;

	if (reader->first == NULL || part_compare_key(reader->first, group) != 0 ||
		!bucket_is_kept(reader->rollup, group->bucket))
		return group;
	reader->taken = true;
	memcpy(reader->group.states, group->states, layout->words * sizeof(StateWord));
	old_context = MemoryContextSwitchTo(reader->context);
	for (i = 0; i < reader->rollup->nparts; i++)
	{
		const PartWriter *part = &reader->parts[i];

		if (part_has_stored(part) && part_compare_key(part, group) == 0 &&
			part_is_kept(writer, part, group))
			part_take_states(layout, part, reader->group.states);
	}
	MemoryContextSwitchTo(old_context);
	return &reader->group;
}

void
stored_reader_close(StoredReader *reader)
{
	int			i;

	for (i = 0; i < reader->rollup->nparts; i++)
		part_close(&reader->parts[i]);
	MemoryContextDelete(reader->context);
}
