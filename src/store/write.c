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
 * The store is read, too, for the sake of coarser rollups: a StoredReader makes
 * groups of the stored rows outside the extents, by their partial states, in the
 * same order.
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
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "group/baddata.h"
#include "group/entity.h"
#include "model/layout.h"
#include "model/store.h"
#include "progress.h"
#include "refresh/grouping.h"
#include "refresh/history.h"
#include "settings.h"
#include "stats/restore.h"
#include "store/presence.h"
#include "store/replaced.h"
#include "store/rowwriter.h"
#include "store/write.h"

/* Conditions on the store's key by which stored rows are looked for. */
#define STORE_KEYS 3

/* And on its second index, by which those of one entity are. */
#define SERIES_KEYS 4

/* Columns of the store's key, as its index numbers them. */
#define KEY_LAYOUT_ID 1
#define KEY_BUCKET 2
#define KEY_ENTITY_ID 3

/* As the second index numbers them, which begins with the layout as well. */
#define KEY_SERIES_ENTITY_ID 2
#define KEY_SERIES_BUCKET 3

struct StoreWriter
{
	const DifferenceSink *sink; /* of a dry run that reports differences; else NULL */
	Relation	rel;
	Relation	key;			/* the index by which rows are merged */
	Snapshot	snapshot;		/* the run's */
	RowWriter  *rows;			/* NULL: a dry run, which compares, counts and writes nothing */
	TimestampTz now;			/* updated_at of what is written */
	MemoryContext context;		/* of this struct, and of the scans */
	MemoryContext row_context;	/* reset with each group */
	MemoryContext report_context;	/* reset with each row that is reported */
	int64		groups;			/* put so far */
	int64		changed;		/* rows inserted, updated or deleted so far */
};

/* The merge of one part of a rollup's results, or where the reader of them is. */
typedef struct PartWriter
{
	RollupWriter *writer;		/* NULL: a reader */
	const ResultPart *part;
	int64		changed;
	IndexScanDesc scan;			/* of the stored rows; NULL: there are none */
	TupleTableSlot *stored;		/* the row it is at; empty: at the end */
} PartWriter;

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

static void rollup_enter_extent(RollupWriter *writer);
static void part_seek(StoreWriter *store, PartWriter *part, const Extent *extent);
static void part_advance(StoreWriter *store, PartWriter *part);
static int	part_compare_key(const PartWriter *part, const GroupOut *group);
static void rollup_add_stored(RollupWriter *writer, const GroupOut *group);
static bool part_put(RollupWriter *writer, PartWriter *part, const GroupOut *group);
static bool part_row(RollupWriter *writer, const PartWriter *part, const GroupOut *group,
					 Datum *values, bool *nulls);
static bool part_row_equal(const PartWriter *part, const Datum *values, const bool *nulls);
static bool part_states_differ(const RollupWriter *writer, const PartWriter *part,
							   const Datum *values, const bool *nulls);

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
	store->rel = table_open(store_relid("batchagg_store"),
							dry_run ? AccessShareLock : RowExclusiveLock);
	store->key = index_open(store_relid("batchagg_store_pkey"), AccessShareLock);
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

/* A scan of the store by one of its indexes, with so many conditions. */
static IndexScanDesc
store_begin_scan(StoreWriter *store, Relation index, int nkeys)
{
#if PG_VERSION_NUM >= 180000
	return index_beginscan(store->rel, index, store->snapshot, NULL, nkeys, 0);
#else
	return index_beginscan(store->rel, index, store->snapshot, nkeys, 0);
#endif
}

/* Opens the parts of a rollup's results, with no row yet. */
static PartWriter *
parts_open(StoreWriter *store, const Rollup *rollup)
{
	PartWriter *parts = palloc0(rollup->nparts * sizeof(PartWriter));
	int			i;

	for (i = 0; i < rollup->nparts; i++)
	{
		parts[i].part = &rollup->parts[i];
		parts[i].stored = table_slot_create(store->rel, NULL);
		if (parts[i].part->layout->id != 0)
			parts[i].scan = store_begin_scan(store, store->key, STORE_KEYS);
	}
	return parts;
}

static void
part_close(PartWriter *part)
{
	ExecDropSingleTupleTableSlot(part->stored);
	if (part->scan != NULL)
		index_endscan(part->scan);
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
 * Moves on to the first of the part's stored rows in an extent.
 */
static void
part_seek(StoreWriter *store, PartWriter *part, const Extent *extent)
{
	ScanKeyData keys[STORE_KEYS];

	if (part->scan == NULL)
		return;
	ScanKeyInit(&keys[0], KEY_LAYOUT_ID, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(part->part->layout->id));
	if (extent->entity == NULL)
	{
		ScanKeyInit(&keys[1], KEY_BUCKET, BTGreaterEqualStrategyNumber, F_TIMESTAMP_GE,
					TimestampTzGetDatum(extent->from));
		ScanKeyInit(&keys[2], KEY_BUCKET, BTLessStrategyNumber, F_TIMESTAMP_LT,
					TimestampTzGetDatum(extent->to));
	}
	else
	{
		text	   *entity = cstring_to_text_with_len(extent->entity, extent->entity_length);

		ScanKeyInit(&keys[1], KEY_BUCKET, BTEqualStrategyNumber, F_TIMESTAMP_EQ,
					TimestampTzGetDatum(extent->from));
		ScanKeyEntryInitialize(&keys[2], 0, KEY_ENTITY_ID, BTEqualStrategyNumber, InvalidOid,
							   C_COLLATION_OID, F_TEXTEQ, PointerGetDatum(entity));
	}
	index_rescan(part->scan, keys, STORE_KEYS, NULL, 0);
	part_advance(store, part);
}

/* Moves on to the part's next stored row. */
static void
part_advance(StoreWriter *store, PartWriter *part)
{
	/* The index keeps some of what it allocates here to the end of the scan. */
	MemoryContext old_context = MemoryContextSwitchTo(store->context);

	if (index_getnext_slot(part->scan, ForwardScanDirection, part->stored))
		slot_getallattrs(part->stored);
	else
		ExecClearTuple(part->stored);
	MemoryContextSwitchTo(old_context);
}

/* Is the part at a stored row? */
static inline bool
part_has_stored(const PartWriter *part)
{
	return !TTS_EMPTY(part->stored);
}

/*
 * What a packed row has, taken apart; of one that is not there, nothing.
 */
typedef struct UnpackedRow
{
	Datum	   *results;
	bool	   *undefined;
	int			nresults;
	Datum	   *counts;			/* of each metric; none: all have sample_count */
	int			ncounts;
	int64		sample_count;
} UnpackedRow;

static void
row_unpack(const Datum *values, const bool *nulls, UnpackedRow *row)
{
	memset(row, 0, sizeof(UnpackedRow));
	if (values == NULL)
		return;
	row->sample_count = DatumGetInt64(values[STORE_SAMPLE_COUNT]);
	deconstruct_array(DatumGetArrayTypeP(values[STORE_RESULTS]), FLOAT8OID, sizeof(float8),
					  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &row->results, &row->undefined,
					  &row->nresults);
	if (!nulls[STORE_METRIC_COUNTS])
		deconstruct_array(DatumGetArrayTypeP(values[STORE_METRIC_COUNTS]), INT8OID, sizeof(int64),
						  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &row->counts, NULL, &row->ncounts);
}

/*
 * Takes a result out of a row, and its number of samples; the metric counts from
 * 1, the position from 0.  Returns false where it is undefined.
 */
static bool
row_result(const UnpackedRow *row, int position, int metric, double *result, int64 *count)
{
	if (position >= row->nresults || row->undefined[position])
		return false;
	*result = DatumGetFloat8(row->results[position]);
	*count = metric <= row->ncounts ? DatumGetInt64(row->counts[metric - 1]) : row->sample_count;
	return true;
}

/* Is it one? */
static bool
is_difference(const Difference *difference)
{
	if (difference->is_stored != difference->is_computed)
		return true;
	return difference->is_stored &&
		(memcmp(&difference->stored, &difference->computed, sizeof(double)) != 0 ||
		 difference->stored_count != difference->computed_count);
}

/*
 * Tells the sink what the results of a stored row (NULL: there is none) are that
 * differ from those of a computed one (likewise), or their numbers of samples.  If
 * there are none, it may be the partial states.
 */
static void
row_report(const StoreWriter *store, const StoredLayout *layout, const TupleTableSlot *row,
		   const Datum *values, const bool *nulls, bool states_differ)
{
	MemoryContext old_context = MemoryContextSwitchTo(store->report_context);
	const Datum *key = row ? row->tts_values : values;
	Difference	difference = {
		.definition_id = layout->definition_id,
		.source = layout->source,
		.bucket = DatumGetTimestampTz(key[STORE_BUCKET]),
		.entity = DatumGetTextPP(key[STORE_ENTITY_ID])
	};
	UnpackedRow stored;
	UnpackedRow computed;
	bool		differ = false;
	int			i;

	row_unpack(row ? row->tts_values : NULL, row ? row->tts_isnull : NULL, &stored);
	row_unpack(values, nulls, &computed);
	for (i = 0; i < layout->npositions; i++)
	{
		difference.metric_name = layout->metric_names[i];
		difference.aggregate_name = layout->aggregate_names[i];
		difference.is_stored = row_result(&stored, i, layout->metrics[i], &difference.stored,
										  &difference.stored_count);
		difference.is_computed = row_result(&computed, i, layout->metrics[i],
											&difference.computed, &difference.computed_count);
		if (!is_difference(&difference))
			continue;
		differ = true;
		store->sink->take(store->sink->arg, &difference);
	}
	if (!differ && states_differ)
	{
		difference.metric_name = NULL;
		difference.aggregate_name = "states";
		difference.is_stored = difference.is_computed = false;
		store->sink->take(store->sink->arg, &difference);
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextReset(store->report_context);
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
				   part_states_differ(writer, part, values, nulls));
	return store->rows != NULL;
}

/* Do results of this bucket outlive their rows? */
static inline bool
bucket_is_kept(const Rollup *rollup, TimestampTz bucket)
{
	return bucket < rollup->refresh->history_before;
}

/* The number of values of a metric in a row of the store. */
static int64
row_count(const Datum *values, const bool *nulls, int metric)
{
	if (nulls[STORE_METRIC_COUNTS])
		return DatumGetInt64(values[STORE_SAMPLE_COUNT]);
	return ((int64 *) ARR_DATA_PTR(DatumGetArrayTypeP(values[STORE_METRIC_COUNTS])))[metric];
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
	Relation	index = index_open(store_relid("batchagg_store_series_idx"), AccessShareLock);
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
static bool
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

/* Names the group of the part's stored row. */
static void
part_name_group(const PartWriter *part, GroupOut *group)
{
	text	   *entity = DatumGetTextPP(part->stored->tts_values[STORE_ENTITY_ID]);

	group->bucket = DatumGetTimestampTz(part->stored->tts_values[STORE_BUCKET]);
	group->entity = VARDATA_ANY(entity);
	group->entity_length = VARSIZE_ANY_EXHDR(entity);
}

/*
 * Compares the key of the part's stored row with a group's.
 */
static int
part_compare_key(const PartWriter *part, const GroupOut *group)
{
	TimestampTz bucket = DatumGetTimestampTz(part->stored->tts_values[STORE_BUCKET]);
	text	   *entity = DatumGetTextPP(part->stored->tts_values[STORE_ENTITY_ID]);

	if (bucket != group->bucket)
		return bucket < group->bucket ? -1 : 1;
	return entity_text_compare(VARDATA_ANY(entity), VARSIZE_ANY_EXHDR(entity),
							   group->entity, group->entity_length);
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
 * Reports the results that are stored in a layout, in buckets that begin from
 * `from` on and before `to`, as ones that are not computed.
 */
void
store_report_layout(StoreWriter *store, StoredLayout *layout, TimestampTz from, TimestampTz to)
{
	ResultPart	results = {.layout = layout};
	PartWriter	part = {.part = &results};
	Extent		range = {.from = from,.to = to};

	part.stored = table_slot_create(store->rel, NULL);
	part.scan = store_begin_scan(store, store->key, STORE_KEYS);
	for (part_seek(store, &part, &range); part_has_stored(&part); part_advance(store, &part))
	{
		CHECK_FOR_INTERRUPTS();
		row_report(store, layout, part.stored, NULL, NULL, false);
	}
	part_close(&part);
}

/*
 * Gives a group states that come to the results of the part's stored row, which has
 * none.
 */
static void
part_restore_states(const GroupLayout *layout, const PartWriter *part, StateWord *group)
{
	const Datum *values = part->stored->tts_values;
	const bool *nulls = part->stored->tts_isnull;
	UnpackedRow row;
	int			i;
	int			j;

	row_unpack(values, nulls, &row);
	for (i = 0; i < part->part->nmetrics; i++)
	{
		const ResultMetric *metric = &part->part->metrics[i];
		double		results[MAX_AGGREGATES];
		bool		undefined[MAX_AGGREGATES];

		for (j = 0; j < metric->job_metric->naggregates; j++)
		{
			undefined[j] = row.undefined[metric->first + j];
			results[j] = undefined[j] ? 0 : DatumGetFloat8(row.results[metric->first + j]);
		}
		state_restore(group_state(layout, group, metric->state), layout->fields[metric->state],
					  metric->job_metric->aggregates, metric->job_metric->naggregates, results,
					  undefined, row_count(values, nulls, i),
					  DatumGetTimestampTz(values[STORE_BUCKET]));
	}
}

/*
 * Copies the states of the part's stored row to where a group has them, or such as
 * come to its results.
 */
static void
part_take_states(const GroupLayout *layout, const PartWriter *part, StateWord *group)
{
	const ResultPart *results = part->part;
	bytea	   *states;
	const char *at;
	int			i;
	int			j;

	if (part->stored->tts_isnull[STORE_STATES])
	{
		part_restore_states(layout, part, group);
		return;
	}
	states = DatumGetByteaPP(part->stored->tts_values[STORE_STATES]);
	if (VARSIZE_ANY_EXHDR(states) != results->words * sizeof(StateWord))
		elog(ERROR, "partial states of layout %d have an unexpected length", results->layout->id);
	at = VARDATA_ANY(states);
	for (i = 0; i < results->nmetrics; i++)
	{
		int			number = results->metrics[i].state;
		State		state = group_state(layout, group, number);

		for (j = 0; j < state_words(layout->fields[number]); j++)
		{
			memcpy(state_at(state, j), at, sizeof(StateWord));
			at += sizeof(StateWord);
		}
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

/*
 * Merges one row of a group into the store.  Returns false where there is no row.
 */
static bool
part_put(RollupWriter *writer, PartWriter *part, const GroupOut *group)
{
	StoreWriter *store = writer->store;
	Datum		values[STORE_COLUMNS];
	bool		nulls[STORE_COLUMNS];
	bool		has_row = part_row(writer, part, group, values, nulls);
	int			order = 1;

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

static void
report_overflow(const RollupWriter *writer, const JobMetric *metric, const Aggregate *aggregate,
				const GroupOut *group)
{
	report_bad_result(writer->rollup->definition, metric->name, aggregate->name, group->entity,
					  group->entity_length, group->bucket);
}

/*
 * Builds an array without a lower bound other than 1, from elements of eight
 * bytes and their null flags, of which `nnulls` are set.
 */
static Datum
make_array(Oid element_type, const void *elements, const bool *nulls, int n, int nnulls)
{
	const uint64 *element = elements;
	Size		header = nnulls > 0 ? ARR_OVERHEAD_WITHNULLS(1, n) : ARR_OVERHEAD_NONULLS(1);
	Size		size = header + (n - nnulls) * sizeof(uint64);
	ArrayType  *array = palloc0(size);
	uint64	   *data;
	int			i;

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = nnulls > 0 ? header : 0;
	array->elemtype = element_type;
	ARR_DIMS(array)[0] = n;
	ARR_LBOUND(array)[0] = 1;
	data = (uint64 *) ARR_DATA_PTR(array);
	if (nnulls == 0)
		memcpy(data, elements, n * sizeof(uint64));
	else
		for (i = 0; i < n; i++)
		{
			if (nulls[i])
				continue;
			ARR_NULLBITMAP(array)[i / 8] |= 1 << (i % 8);
			*data++ = element[i];
		}
	return PointerGetDatum(array);
}

/* A group's results for one part, before they become a row. */
typedef struct PartResults
{
	double		results[MAX_PART_RESULTS];
	bool		undefined[MAX_PART_RESULTS];
	uint64		counts[MAX_PART_RESULTS];	/* of each metric */
	int			defined;		/* results that are not undefined */
} PartResults;

/*
 * Finishes a metric of a group, by its number in the part.  ERROR where a result
 * is out of range.
 */
static void
finish_metric(const RollupWriter *writer, const ResultPart *part, int number,
			  const GroupOut *group, PartResults *out)
{
	const GroupLayout *layout = writer->rollup->layout;
	const ResultMetric *metric = &part->metrics[number];
	const JobMetric *job_metric = metric->job_metric;
	FinishResult finishes[MAX_AGGREGATES];
	int			i;

	state_finish_all(group_state(layout, group->states, metric->state),
					 layout->fields[metric->state], job_metric->aggregates,
					 job_metric->naggregates, out->results + metric->first, finishes);
	for (i = 0; i < job_metric->naggregates; i++)
	{
		if (finishes[i] == FINISH_OVERFLOW)
			report_overflow(writer, job_metric, &job_metric->aggregates[i], group);
		out->undefined[metric->first + i] = finishes[i] == FINISH_UNDEFINED;
		out->defined += finishes[i] == FINISH_VALUE;
	}
}

/*
 * Finishes those metrics of a group together that can be, from one of them on.
 * Returns false where that must be done one by one.
 */
static bool
finish_together(const GroupLayout *layout, const ResultMetric *metric, const GroupOut *group,
				PartResults *out)
{
	int			n = metric->together;
	int			naggregates = metric->job_metric->naggregates;

	if (n < SPAN_FINISH_LEAST ||
		!span_finish(&layout->spans[layout->span_of[metric->state]], group->states,
					 layout->places[metric->state], n, metric->job_metric->aggregates,
					 naggregates, out->results + metric->first))
		return false;
	memset(out->undefined + metric->first, false, n * naggregates * sizeof(bool));
	out->defined += n * naggregates;
	return true;
}

/*
 * Finishes the states of a group for one part.
 */
static void
finish_results(const RollupWriter *writer, const ResultPart *part, const GroupOut *group,
			   PartResults *out)
{
	const GroupLayout *layout = writer->rollup->layout;
	int			next;
	int			i;

	out->defined = 0;
	for (i = 0; i < part->nmetrics; i = next)
	{
		next = i + part->metrics[i].together;
		if (finish_together(layout, &part->metrics[i], group, out))
			continue;
		for (; i < next; i++)
			finish_metric(writer, part, i, group, out);
	}
	for (i = 0; i < part->nmetrics; i++)
		out->counts[i] = state_count(group_state(layout, group->states, part->metrics[i].state));
}

/*
 * The partial states of a part's metrics, one behind the other.
 */
static Datum
part_states(const Rollup *rollup, const ResultPart *part, const GroupOut *group)
{
	const GroupLayout *layout = rollup->layout;
	Size		size = VARHDRSZ + part->words * sizeof(StateWord);
	bytea	   *result = palloc(size);
	char	   *at = VARDATA(result);
	int			i;
	int			j;

	for (i = 0; i < part->nmetrics; i++)
	{
		int			number = part->metrics[i].state;
		State		state = group_state(layout, group->states, number);

		for (j = 0; j < state_words(layout->fields[number]); j++)
		{
			memcpy(at, state_at(state, j), sizeof(StateWord));
			at += sizeof(StateWord);
		}
	}
	SET_VARSIZE(result, size);
	return PointerGetDatum(result);
}

/* Does a part of a group have states that are to be kept? */
static bool
part_keeps_states(const RollupWriter *writer, const PartWriter *part, const PartResults *out)
{
	int			i;

	if (writer->rollup->refresh->keeps_states)
		for (i = 0; i < part->part->nmetrics; i++)
			if (out->counts[i] > 0)
				return true;
	return false;
}

/*
 * Makes a group's row for one part.  Returns false where none of its results
 * is defined, as the deviation of one value, and no states are to be kept: there
 * is no row then.
 */
static bool
part_row(RollupWriter *writer, const PartWriter *part, const GroupOut *group,
		 Datum *values, bool *nulls)
{
	PartResults out;
	int			n = part->part->npositions;
	int			nmetrics = part->part->nmetrics;
	bool		same = true;
	int			i;

	finish_results(writer, part->part, group, &out);
	if (out.defined == 0 && !part_keeps_states(writer, part, &out))
		return false;
	writer->counts.results += out.defined;

	for (i = 1; i < nmetrics; i++)
		same &= out.counts[i] == out.counts[0];
	memset(nulls, 0, STORE_COLUMNS * sizeof(bool));
	values[STORE_LAYOUT_ID] = Int32GetDatum(part->part->layout->id);
	values[STORE_BUCKET] = TimestampTzGetDatum(group->bucket);
	values[STORE_ENTITY_ID] =
		PointerGetDatum(cstring_to_text_with_len(group->entity, group->entity_length));
	values[STORE_SAMPLE_COUNT] = Int64GetDatum(out.counts[0]);
	nulls[STORE_METRIC_COUNTS] = same;
	values[STORE_METRIC_COUNTS] = same ? (Datum) 0 :
		make_array(INT8OID, out.counts, NULL, nmetrics, 0);
	values[STORE_RESULTS] = make_array(FLOAT8OID, out.results, out.undefined, n, n - out.defined);
	values[STORE_UPDATED_AT] = TimestampTzGetDatum(writer->store->now);
	nulls[STORE_STATES] = !writer->rollup->refresh->keeps_states;
	values[STORE_STATES] = nulls[STORE_STATES] ? (Datum) 0 :
		part_states(writer->rollup, part->part, group);
	return true;
}

/* Are two arrays, or other values of variable length, the same bytes? */
static bool
bytes_equal(Datum a, Datum b)
{
	struct varlena *bytes_a = PG_DETOAST_DATUM(a);
	struct varlena *bytes_b = PG_DETOAST_DATUM(b);

	return VARSIZE(bytes_a) == VARSIZE(bytes_b) &&
		memcmp(bytes_a, bytes_b, VARSIZE(bytes_a)) == 0;
}

/*
 * Is the part's stored row the same as this one, but for updated_at?
 */
static bool
part_row_equal(const PartWriter *part, const Datum *values, const bool *nulls)
{
	static const int bytes_columns[] = {STORE_METRIC_COUNTS, STORE_RESULTS, STORE_STATES};
	const Datum *stored = part->stored->tts_values;
	const bool *stored_nulls = part->stored->tts_isnull;
	int			i;

	if (stored[STORE_SAMPLE_COUNT] != values[STORE_SAMPLE_COUNT])
		return false;
	for (i = 0; i < lengthof(bytes_columns); i++)
	{
		int			column = bytes_columns[i];

		if (stored_nulls[column] != nulls[column] ||
			(!nulls[column] && !bytes_equal(stored[column], values[column])))
			return false;
	}
	return true;
}

/*
 * Do the part's stored states come to other results than those of this row?  The
 * states themselves depend on the order of rows.
 */
static bool
part_states_differ(const RollupWriter *writer, const PartWriter *part, const Datum *values,
				   const bool *nulls)
{
	const GroupLayout *layout = writer->rollup->layout;
	GroupOut	group;
	PartResults stored;
	UnpackedRow computed;
	int			i;

	if (part->stored->tts_isnull[STORE_STATES] || nulls[STORE_STATES])
		return false;
	part_name_group(part, &group);
	group.states = palloc(layout->words * sizeof(StateWord));
	group_states_init(layout, group.states);
	part_take_states(layout, part, group.states);
	finish_results(writer, part->part, &group, &stored);
	row_unpack(values, nulls, &computed);
	for (i = 0; i < part->part->nmetrics; i++)
		if ((int64) stored.counts[i] != row_count(values, nulls, i))
			return true;
	for (i = 0; i < part->part->npositions; i++)
		if (stored.undefined[i] != computed.undefined[i] ||
			(!stored.undefined[i] &&
			 memcmp(&stored.results[i], &computed.results[i], sizeof(double)) != 0))
			return true;
	return false;
}
