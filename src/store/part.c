/*-------------------------------------------------------------------------
 *
 * part.c
 *	  Stored rows of a part of a rollup's results, in the order of the store's key.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

#include "group/entity.h"
#include "stats/restore.h"
#include "store/part.h"

/* Conditions on the store's key by which stored rows are looked for. */
#define STORE_KEYS 3

/* Columns of the store's key, as its index numbers them. */
#define KEY_BUCKET 2
#define KEY_ENTITY_ID 3

/*
 * A scan of the store by one of its indexes, with so many conditions.
 */
IndexScanDesc
store_begin_scan(StoreWriter *store, Relation index, int nkeys)
{
#if PG_VERSION_NUM >= 180000
	return index_beginscan(store->rel, index, store->snapshot, NULL, nkeys, 0);
#else
	return index_beginscan(store->rel, index, store->snapshot, nkeys, 0);
#endif
}

/*
 * Opens a part of a rollup's results, with no row yet.
 */
void
part_open(StoreWriter *store, PartWriter *part)
{
	part->stored = table_slot_create(store->rel, NULL);
	if (part->part->layout->id != 0)
		part->scan = store_begin_scan(store, store->key, STORE_KEYS);
}

/*
 * Opens all parts of a rollup's results.
 */
PartWriter *
parts_open(StoreWriter *store, const Rollup *rollup)
{
	PartWriter *parts = palloc0(rollup->nparts * sizeof(PartWriter));

	for (int i = 0; i < rollup->nparts; i++)
	{
		parts[i].part = &rollup->parts[i];
		part_open(store, &parts[i]);
	}
	return parts;
}

void
part_close(PartWriter *part)
{
	ExecDropSingleTupleTableSlot(part->stored);
	if (part->scan != NULL)
		index_endscan(part->scan);
}

/*
 * Moves on to the part's next stored row.
 */
void
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

/*
 * Moves on to the first of the part's stored rows in an extent.
 */
void
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

/*
 * Names the group of the part's stored row.
 */
void
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
int
part_compare_key(const PartWriter *part, const GroupOut *group)
{
	TimestampTz bucket = DatumGetTimestampTz(part->stored->tts_values[STORE_BUCKET]);
	text	   *entity = DatumGetTextPP(part->stored->tts_values[STORE_ENTITY_ID]);

	if (bucket != group->bucket)
		return bucket < group->bucket ? -1 : 1;
	return entity_text_compare(VARDATA_ANY(entity), VARSIZE_ANY_EXHDR(entity),
							   group->entity, group->entity_length);
}

void
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
 * The number of values of a metric in a row of the store.
 */
int64
row_count(const Datum *values, const bool *nulls, int metric)
{
	if (nulls[STORE_METRIC_COUNTS])
		return DatumGetInt64(values[STORE_SAMPLE_COUNT]);
	return ((int64 *) ARR_DATA_PTR(DatumGetArrayTypeP(values[STORE_METRIC_COUNTS])))[metric];
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
void
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
