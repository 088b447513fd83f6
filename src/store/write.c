/*-------------------------------------------------------------------------
 *
 * write.c
 *	  Merging a rollup's finished groups with the store.
 *
 * The groups of a rollup arrive in the order of the store's key, (bucket,
 * entity text).  The rows that the store already has for the rollup are read
 * alongside through the key's index, in the same order, and the two are
 * merged:
 *
 *	  only in the groups	the row is new: inserted, many at a time
 *	  in both, different	updated in place; no indexed column changes, so
 *							that the update can be heap-only
 *	  in both, equal		left alone
 *	  only in the store		the group has vanished: deleted
 *
 * So a run that finds nothing changed writes nothing, whatever it computes.
 * Rows are equal when all but updated_at are, to the bit.
 *
 * A rollup that brings only a part of its results up to date says so by its
 * extents: the merge then walks from one to the next, and neither groups nor
 * stored rows outside them count.  One whose groups are additions to stored
 * ones instead merges their partial states with those that are kept with the
 * stored results, and deletes nothing.
 *
 * Where the results are only to be verified, the merge goes the same way, and
 * each result that differs is reported instead of being written.
 *
 * Where results are to outlive the rows that they were computed from, a group
 * without rows stays, and one that was cut is replaced only by one of at least as
 * many values (history.c).  What is left of it then feeds the coarser rollups, too.
 *
 * The results of a group are one row, or several where they are many: one for
 * each part of the rollup's results, with a layout and a merge of its own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "model/ext.h"
#include "model/layout.h"
#include "progress.h"
#include "refresh/grouping.h"
#include "refresh/history.h"
#include "settings.h"
#include "store/packed.h"
#include "store/presence.h"
#include "store/replaced.h"
#include "store/report.h"
#include "store/write.h"

/* Conditions on the store's second index, by which rows of one entity are looked for. */
#define SERIES_KEYS 4

/* Columns of that index, which begins with the layout as well. */
#define KEY_SERIES_ENTITY_ID 2
#define KEY_SERIES_BUCKET 3

struct RollupWriter
{
	StoreWriter *store;
	const Rollup *rollup;
	WriteCounts counts;
	PartWriter *parts;			/* one for each part of the rollup's results */
	int			at;				/* the extent that the merge is in */
	Presence   *presence;		/* of entities in buckets; NULL: it does not matter */
	bool		keeps;			/* the group that was put last, or a part of it */
};

static void rollup_enter_extent(RollupWriter *writer);
static bool part_put(RollupWriter *writer, PartWriter *part, const GroupOut *group);
static void rollup_add_stored(RollupWriter *writer, const GroupOut *group);

/*
 * The layout that a part of the rollup's results has, or is to have.
 */
static StoredLayout *
part_layout(const Rollup *rollup, int part, const char *meaning)
{
	const ResultPart *results = &rollup->parts[part];
	int			n = results->npositions;
	StoredLayout *layout = palloc0(sizeof(StoredLayout));
	char		infix[GRANULARITY_TEXT_LEN];
	int			i;
	int			j;

	layout->definition_id = rollup->definition->id;
	layout->source = rollup->source->name;
	layout->part = part + 1;
	layout->focal_entity = rollup->definition->focal_entity;
	layout->granularity = rollup->definition->granularity_text;
	layout->npositions = n;
	layout->metrics = palloc(n * sizeof(int));
	layout->metric_names = palloc(n * sizeof(char *));
	layout->aggregate_names = palloc(n * sizeof(char *));
	layout->result_names = palloc(n * sizeof(char *));
	layout->meaning = meaning;
	layout->keeps = rollup->definition->keep_history;
	granularity_result_infix(&rollup->definition->granularity, infix);
	for (i = 0; i < results->nmetrics; i++)
	{
		const JobMetric *metric = results->metrics[i].job_metric;

		for (j = 0; j < metric->naggregates; j++)
		{
			int			at = results->metrics[i].first + j;

			layout->metrics[at] = i + 1;
			layout->metric_names[at] = metric->name;
			layout->aggregate_names[at] = metric->aggregates[j].name;
			layout->result_names[at] = psprintf("t%s_%s_%s", layout->aggregate_names[at], infix,
												metric->name);
		}
	}
	return layout;
}

/*
 * Finds the layouts by which a rollup's results are stored, or, with may_write,
 * makes them and sets *made.  Returns a list of their ids.  To be called before the
 * store is opened, since kept results may be stored anew or deleted by it, and for
 * finer rollups before the coarser ones.
 */
List *
rollup_find_layouts(Rollup *rollup, bool may_write, bool *made)
{
	List	   *result = NIL;
	const char *meaning = grouping_text(rollup->source);
	const char *before = NULL;	/* the meaning that results had, if it was another */
	int			i;

	for (i = 0; i < rollup->nparts; i++)
	{
		rollup->parts[i].layout = part_layout(rollup, i, meaning);
		if (layout_ensure(rollup->parts[i].layout, may_write))
			*made = true;
		if (rollup->parts[i].layout->before != NULL)
			before = rollup->parts[i].layout->before;
		result = lappend_int(result, rollup->parts[i].layout->id);
	}
	if (before != NULL && may_write && rollup->definition->keep_history)
		replaced_forget(rollup, before);
	return result;
}

/*
 * Opens the store for a run, whose snapshot is the active one.  With dry_run,
 * nothing is written; then a sink, if there is one, is told of all differences.
 * Everything is allocated in the current context.
 */
StoreWriter *
store_writer_open(bool dry_run, const DifferenceSink *sink)
{
	StoreWriter *store = palloc0(sizeof(StoreWriter));

	store->sink = sink;
	store->context = CurrentMemoryContext;
	store->rel = table_open(ext_relid("batchagg_store"),
							dry_run ? AccessShareLock : RowExclusiveLock);
	store->key = index_open(ext_relid("batchagg_store_pkey"), AccessShareLock);
	store->snapshot = RegisterSnapshot(GetActiveSnapshot());
	store->now = GetCurrentTimestamp();
	store->row_context = AllocSetContextCreate(CurrentMemoryContext, "batchagg stored row",
											   ALLOCSET_DEFAULT_SIZES);
	store->report_context = AllocSetContextCreate(CurrentMemoryContext, "batchagg reported row",
												  ALLOCSET_SMALL_SIZES);
	store->rows = dry_run ? NULL : row_writer_open(store->rel, store->snapshot);
	return store;
}

/*
 * Has those who open the store from now on see what has been written.
 */
void
store_writer_see_written(StoreWriter *store)
{
	if (store->rows == NULL)
		return;
	row_writer_flush(store->rows);
	CommandCounterIncrement();
	UnregisterSnapshot(store->snapshot);
	PushCopiedSnapshot(GetActiveSnapshot());
	UpdateActiveSnapshotCommandId();
	store->snapshot = RegisterSnapshot(GetActiveSnapshot());
	PopActiveSnapshot();
	row_writer_go_on(store->rows, store->snapshot);
}

/*
 * Does a change have to wait, because the source is still being read, or as a group
 * is of finer ones, of which some may have lacked rows?
 */
static bool
changes_wait(const Rollup *rollup)
{
	return IsInParallelMode() ||
		(rollup->late != NULL && (!rollup->scan->is_read || rollup->finer != NULL));
}

/*
 * A ChangeIsMeant: not where rows have been late, and the bucket will be recomputed.
 */
static bool
change_is_meant(void *owner, TimestampTz bucket)
{
	PartWriter *part = owner;
	RollupWriter *writer = part->writer;

	if (writer->rollup->late == NULL || !late_has(writer->rollup->late, bucket))
		return true;
	part->changed--;
	writer->counts.changed--;
	writer->store->changed--;
	return false;
}

/*
 * Makes the changes that have had to wait.  To be called when the source has been read,
 * and there are no parallel workers any more.
 */
void
store_writer_catch_up(StoreWriter *store)
{
	if (store->rows != NULL)
		row_writer_catch_up(store->rows, change_is_meant);
}

/*
 * Writes what is pending, and closes the store.  Locks are kept to the end of
 * the transaction.
 */
void
store_writer_close(StoreWriter *store)
{
	if (store->rows != NULL)
		row_writer_close(store->rows);
	UnregisterSnapshot(store->snapshot);
	index_close(store->key, NoLock);
	table_close(store->rel, NoLock);
}

/*
 * Begins the merge of a rollup's groups.
 */
RollupWriter *
rollup_writer_open(StoreWriter *store, Rollup *rollup)
{
	RollupWriter *writer = palloc0(sizeof(RollupWriter));
	int			i;

	writer->store = store;
	writer->rollup = rollup;
	writer->counts.first_bucket = DT_NOEND;
	writer->parts = parts_open(store, rollup);
	for (i = 0; i < rollup->nparts; i++)
		writer->parts[i].writer = writer;
	if (history_looks_back(rollup->refresh))
		writer->presence = presence_create(rollup->definition);
	if (!rollup->adds)
		rollup_enter_extent(writer);
	return writer;
}

/*
 * Begins with the stored rows of the extent that the merge has come to.
 */
static void
rollup_enter_extent(RollupWriter *writer)
{
	const Extents *extents = writer->rollup->refresh->extents;
	int			i;

	if (writer->at == extents->n)
		return;
	for (i = 0; i < writer->rollup->nparts; i++)
		part_seek(writer->store, &writer->parts[i], &extents->items[writer->at]);
}

/*
 * A row of the part is to be inserted (then `row` is NULL), updated or (`values`
 * is NULL) deleted: counts it, or has it reported.  Returns whether to do it.
 */
static bool
part_change(RollupWriter *writer, PartWriter *part, const TupleTableSlot *row,
			const Datum *values, const bool *nulls)
{
	StoreWriter *store = writer->store;

	part->changed++;
	writer->counts.changed++;
	store->changed++;
	if (store->sink != NULL)
		row_report(store, part->part->layout, row, values, nulls,
				   row != NULL && values != NULL &&
				   part_states_differ(writer->rollup, part, values, nulls));
	return store->rows != NULL;
}

/* The number of values in a row of the store, of all metrics. */
static int64
row_values(const TupleTableSlot *row, int nmetrics)
{
	int64		n = 0;
	int			i;

	for (i = 0; i < nmetrics; i++)
		n += row_count(row->tts_values, row->tts_isnull, i);
	return n;
}

/*
 * The number of values that the stored results of a group's entity in the bucket before
 * come of; -1 where there are none.
 */
static int64
stored_values_before(const RollupWriter *writer, const GroupOut *group)
{
	StoreWriter *store = writer->store;
	const Rollup *rollup = writer->rollup;
	TimestampTz before = bucket_start(&rollup->definition->granularity, rollup->definition->tz,
									  group->bucket - 1);
	Relation	index = index_open(ext_relid("batchagg_store_series_idx"), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(store->rel, NULL);
	text	   *entity = cstring_to_text_with_len(group->entity, group->entity_length);
	ScanKeyData keys[SERIES_KEYS];
	int64		found = -1;
	int			i;

	ScanKeyEntryInitialize(&keys[1], 0, KEY_SERIES_ENTITY_ID, BTEqualStrategyNumber, InvalidOid,
						   C_COLLATION_OID, F_TEXTEQ, PointerGetDatum(entity));
	ScanKeyInit(&keys[2], KEY_SERIES_BUCKET, BTGreaterEqualStrategyNumber, F_TIMESTAMP_GE,
				TimestampTzGetDatum(before));
	ScanKeyInit(&keys[3], KEY_SERIES_BUCKET, BTLessStrategyNumber, F_TIMESTAMP_LT,
				TimestampTzGetDatum(group->bucket));
	for (i = 0; i < rollup->nparts; i++)
	{
		IndexScanDesc scan = store_begin_scan(store, index, SERIES_KEYS);

		ScanKeyInit(&keys[0], KEY_LAYOUT_ID, BTEqualStrategyNumber, F_INT4EQ,
					Int32GetDatum(rollup->parts[i].layout->id));
		index_rescan(scan, keys, SERIES_KEYS, NULL, 0);
		while (index_getnext_slot(scan, ForwardScanDirection, slot))
		{
			slot_getallattrs(slot);
			found = Max(found, 0) + row_values(slot, rollup->parts[i].nmetrics);
		}
		ExecClearTuple(slot);
		index_endscan(scan);
	}
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, NoLock);
	return found;
}

/*
 * May a group that has fewer values than its results were computed from have been cut,
 * so that it keeps them?  See history.c.
 */
static bool
group_is_cut(const RollupWriter *writer, const GroupOut *group)
{
	const Refresh *refresh = writer->rollup->refresh;
	int64		stored;

	if (refresh->history_before != DT_NOEND || group->bucket == refresh->cut_bucket)
		return true;
	stored = stored_values_before(writer, group);
	return stored >= 0 && presence_keeps_before(writer->presence, stored);
}

/* Has a group fewer values of any of the part's metrics than its stored row? */
static bool
part_lacks_values(const RollupWriter *writer, const PartWriter *part, const GroupOut *group)
{
	const GroupLayout *layout = writer->rollup->layout;
	int			i;

	for (i = 0; i < part->part->nmetrics; i++)
		if ((int64) state_count(group_state(layout, group->states, part->part->metrics[i].state)) <
			row_count(part->stored->tts_values, part->stored->tts_isnull, i))
			return true;
	return false;
}

/*
 * Does the part's stored row, which is of this group, stay what it is?
 */
bool
part_is_kept(const RollupWriter *writer, const PartWriter *part, const GroupOut *group)
{
	return bucket_is_kept(writer->rollup, group->bucket) &&
		part_lacks_values(writer, part, group) && group_is_cut(writer, group);
}

/*
 * Replaces the part's current stored row, or deletes it where values is NULL, now or
 * later.
 */
static void
part_write_change(RollupWriter *writer, PartWriter *part, TimestampTz bucket,
				  const Datum *values, const bool *nulls)
{
	RowWriter  *rows = writer->store->rows;
	ItemPointer tid = &part->stored->tts_tid;

	if (changes_wait(writer->rollup))
		row_writer_defer(rows, part, bucket, tid, values, nulls);
	else if (values == NULL)
		row_writer_delete(rows, tid);
	else
		row_writer_update(rows, tid, values, nulls);
}

/* Deletes the part's current stored row. */
static void
part_delete_stored(RollupWriter *writer, PartWriter *part)
{
	TimestampTz bucket = DatumGetTimestampTz(part->stored->tts_values[STORE_BUCKET]);

	if (part_change(writer, part, part->stored, NULL, NULL))
		part_write_change(writer, part, bucket, NULL, NULL);
	part_advance(writer->store, part);
}

/* Passes over the part's current stored row, whose group has vanished. */
static void
part_pass_stored(RollupWriter *writer, PartWriter *part)
{
	TimestampTz bucket = DatumGetTimestampTz(part->stored->tts_values[STORE_BUCKET]);

	if (bucket_is_kept(writer->rollup, bucket))
		part_advance(writer->store, part);
	else
		part_delete_stored(writer, part);
}

/*
 * Ends the merge within the current extent: what the store has left of it has
 * vanished.
 */
static void
rollup_leave_extent(RollupWriter *writer)
{
	int			i;

	for (i = 0; i < writer->rollup->nparts; i++)
		while (part_has_stored(&writer->parts[i]))
		{
			CHECK_FOR_INTERRUPTS();
			part_pass_stored(writer, &writer->parts[i]);
		}
	writer->at++;
}

/*
 * Moves on to the extent that holds a group.  Returns false where none does.
 */
static bool
rollup_reach(RollupWriter *writer, const GroupOut *group)
{
	const Rollup *rollup = writer->rollup;
	const Extents *extents = rollup->refresh->extents;
	int			place = -1;

	if (rollup->adds)
		return extents_reach(extents, &writer->at, group->bucket, group->entity,
							 group->entity_length);
	while (writer->at < extents->n &&
		   (place = extent_compare(&extents->items[writer->at], group->bucket,
								   group->entity, group->entity_length)) > 0)
	{
		rollup_leave_extent(writer);
		rollup_enter_extent(writer);
	}
	return writer->at < extents->n && place == 0;
}

/*
 * To be called with each group that is computed, whether it is stored or not, in the
 * order of the store's key.
 */
void
rollup_writer_meet(RollupWriter *writer, const GroupOut *group)
{
	const GroupLayout *layout = writer->rollup->layout;
	int64		count = 0;
	int			i;

	if (writer->presence == NULL)
		return;
	for (i = 0; i < layout->nmetrics; i++)
		count += state_count(group_state(layout, group->states, i));
	presence_note(writer->presence, group, count);
}

/*
 * Is a group recomputed?  They are asked for in the order of the store's key, each
 * before it is put.
 */
bool
rollup_writer_recomputes(RollupWriter *writer, const GroupOut *group)
{
	return rollup_reach(writer, group);
}

/*
 * Takes the rollup's next group, in the order of the store's key.  ERROR where
 * a result is out of range.
 */
void
rollup_writer_put(RollupWriter *writer, const GroupOut *group)
{
	StoreWriter *store = writer->store;
	WriteCounts *counts = &writer->counts;
	bool		adds = writer->rollup->adds;
	MemoryContext old_context;
	bool		stored = false;
	int			i;

	if (++store->groups % batchagg_batch_size == 0)
		progress_stored(store->groups, store->changed);

	/* Additions are meant for what the extents do not bring up to date. */
	if (rollup_reach(writer, group) == adds ||
		group->bucket < writer->rollup->refresh->exact_from)
		return;
	old_context = MemoryContextSwitchTo(store->row_context);
	if (adds)
		rollup_add_stored(writer, group);
	writer->keeps = false;
	for (i = 0; i < writer->rollup->nparts; i++)
		stored |= part_put(writer, &writer->parts[i], group);
	if (writer->presence != NULL)
		presence_settle(writer->presence, writer->keeps);
	MemoryContextSwitchTo(old_context);
	MemoryContextReset(store->row_context);
	if (!stored)
		return;
	counts->groups++;
	counts->first_bucket = Min(counts->first_bucket, group->bucket);
}

/*
 * What the merge has come to so far.
 */
const WriteCounts *
rollup_writer_counts(const RollupWriter *writer)
{
	return &writer->counts;
}

/*
 * To be called when the rollup has no more groups.
 */
void
rollup_writer_finish(RollupWriter *writer)
{
	const Rollup *rollup = writer->rollup;

	while (!rollup->adds && writer->at < rollup->refresh->extents->n)
	{
		rollup_leave_extent(writer);
		rollup_enter_extent(writer);
	}
}

/*
 * Ends the merge of a rollup's groups, whose changes have been made.
 */
void
rollup_writer_close(RollupWriter *writer)
{
	const Rollup *rollup = writer->rollup;
	int			i;

	for (i = 0; i < rollup->nparts; i++)
	{
		PartWriter *part = &writer->parts[i];

		part_close(part);
		if (part->changed > 0 && writer->store->rows != NULL)
			layout_changed(part->part->layout->id);
	}
}

/*
 * Finds the stored rows that a group adds to, and adds their states to the
 * group's.
 */
static void
rollup_add_stored(RollupWriter *writer, const GroupOut *group)
{
	const GroupLayout *layout = writer->rollup->layout;
	StateWord  *stored = palloc(layout->words * sizeof(StateWord));
	Extent		extent = {
		.from = group->bucket,
		.entity = group->entity,
		.entity_length = group->entity_length
	};
	int			i;

	group_states_init(layout, stored);
	for (i = 0; i < writer->rollup->nparts; i++)
	{
		PartWriter *part = &writer->parts[i];

		part_seek(writer->store, part, &extent);
		if (part_has_stored(part))
			part_take_states(layout, part, stored);
	}
	group_states_merge(layout, group->states, stored, NULL);
}

/*
 * Merges one row of a group into the store.  Returns false where there is no row.
 */
static bool
part_put(RollupWriter *writer, PartWriter *part, const GroupOut *group)
{
	StoreWriter *store = writer->store;
	Datum		values[STORE_COLUMNS];
	bool		nulls[STORE_COLUMNS];
	int			defined = part_row(writer->rollup, part, group, values, nulls);
	bool		has_row = defined >= 0;
	int			order = 1;

	values[STORE_UPDATED_AT] = TimestampTzGetDatum(store->now);
	if (has_row)
		writer->counts.results += defined;

	/* Without history the stored row, if there is one, is passed over later. */
	if (!has_row && !bucket_is_kept(writer->rollup, group->bucket))
		return false;

	while (part_has_stored(part) && (order = part_compare_key(part, group)) < 0)
	{
		CHECK_FOR_INTERRUPTS();
		part_pass_stored(writer, part);
	}
	if (!part_has_stored(part) || order > 0)
	{
		if (has_row && part_change(writer, part, NULL, values, nulls))
			row_writer_insert(store->rows, values, nulls);
		return has_row;
	}
	if (!(has_row && part_row_equal(part, values, nulls)))
	{
		if (part_is_kept(writer, part, group))
			writer->keeps = true;
		else if (!has_row)
		{
			part_delete_stored(writer, part);
			return false;
		}
		else if (part_change(writer, part, part->stored, values, nulls))
			part_write_change(writer, part, group->bucket, values, nulls);
	}
	part_advance(store, part);
	return true;
}
