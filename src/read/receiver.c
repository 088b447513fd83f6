/*-------------------------------------------------------------------------
 *
 * receiver.c
 *	  Takes the rows of a scan into the rollups' groups.
 *
 * The executor hands each row of the scan's query to our DestReceiver.  That is
 * the cheapest place to take rows: there is no function call per row or per
 * metric, and no limit on the number of columns.
 *
 * The receiver finds the row's bucket in a cache and its entity in a hash
 * table, and keeps a few rows' values until it adds them to their groups all at
 * once: the groups are all over the memory, and so the processor fetches many
 * at a time.  It holds back the rows beyond a rollup's horizon itself: as a
 * condition of the query that would cost more than all the rest of finding the
 * bucket.
 *
 * Where groups do not fit the memory, and rows come in no order, the receiver sets
 * rows aside and takes them again with others of the same groups (slices.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "group/baddata.h"
#include "group/mix.h"
#include "progress.h"
#include "read/deform.h"
#include "read/early.h"
#include "read/receiver.h"
#include "read/tablerows.h"
#include "read/wanted.h"

/* What a row that is set aside takes besides its columns, for the most part its id. */
#define SLICED_ROW_MORE 32

/* Slices may be sliced, and so on. */
#define MAX_SLICING_DEPTH 4

/* A row's time as the source has it. */
typedef enum RowTime
{
	ROW_TIME_MISSING,			/* NULL or infinite */
	ROW_TIME_INSTANT,
	ROW_TIME_LOCAL
} RowTime;

/*
 * Reads a row's time: an instant, or a local time that each rollup converts in
 * its own zone.
 */
static inline RowTime
row_time(Oid type, Datum value, bool isnull, TimestampTz *t)
{
	if (unlikely(isnull))
		return ROW_TIME_MISSING;
	if (likely(type == TIMESTAMPTZOID))
	{
		*t = DatumGetTimestampTz(value);
		return unlikely(TIMESTAMP_NOT_FINITE(*t)) ? ROW_TIME_MISSING : ROW_TIME_INSTANT;
	}
	if (type == TIMESTAMPOID)
	{
		*t = DatumGetTimestamp(value);
		return TIMESTAMP_NOT_FINITE(*t) ? ROW_TIME_MISSING : ROW_TIME_LOCAL;
	}
	else
	{
		DateADT		date = DatumGetDateADT(value);

		if (DATE_NOT_FINITE(date))
			return ROW_TIME_MISSING;

		/* Dates go further than timestamps; that far, all is future. */
		if (date >= TIMESTAMP_END_JULIAN - POSTGRES_EPOCH_JDATE)
			*t = END_TIMESTAMP - 1;
		else
			*t = (Timestamp) date * USECS_PER_DAY;
		return ROW_TIME_LOCAL;
	}
}

/* What becomes of a row for one rollup. */
typedef enum RowFate
{
	ROW_TAKEN,
	ROW_NOT_MEANT,				/* by its metric, the filter, the horizon, or as its group is not
								 * brought up to date, or has left */
	ROW_SKIPPED					/* its id is NULL */
} RowFate;

/* What a row is to a rollup that takes it. */
typedef struct RowKey
{
	TimestampTz time;
	TimestampTz bucket;
	Datum		id;
} RowKey;

/*
 * Looks at the row at hand for one rollup; t is its time.  Sets *key where it is to be
 * taken.
 */
static inline RowFate
rollup_look_at_row(const ScanReceiver *receiver, Rollup *rollup, RowTime kind, TimestampTz t,
				   RowKey *key)
{
	key->id = receiver->everything;
	if (rollup->metric_spans != NULL && rollup->metric_spans[receiver->metric] == NULL)
		return ROW_NOT_MEANT;
	if (rollup->filter_input >= 0 &&
		(receiver->row_nulls[rollup->filter_place] ||
		 !DatumGetBool(receiver->row[rollup->filter_place])))
		return ROW_NOT_MEANT;
	if (kind == ROW_TIME_MISSING)
		return ROW_SKIPPED;
	if (rollup->id_input >= 0)
	{
		if (unlikely(receiver->row_nulls[rollup->id_place]))
			return ROW_SKIPPED;
		key->id = receiver->row[rollup->id_place];
	}
	key->time = kind == ROW_TIME_LOCAL ? local_cache_instant(rollup->locals, t) : t;
	if (key->time >= rollup->horizon)
	{
		ahead_add(&rollup->refresh->ahead, key->time, key->time);
		return ROW_NOT_MEANT;
	}
	key->bucket = bucket_cache_start(rollup->buckets, key->time);
	if (rollup->early != NULL && !early_takes(rollup, key->bucket))
		return ROW_NOT_MEANT;
	if (rollup->wanted != NULL && !wanted_row(rollup->wanted, key->bucket, key->id))
		return ROW_NOT_MEANT;
	return ROW_TAKEN;
}

/* The text of a row's id for a rollup, and its length. */
static const char *
row_id_text(const ScanReceiver *receiver, const Rollup *rollup, const RowKey *key, int *length)
{
	if (rollup->id_input >= 0)
		return groups_id_text(rollup->groups, key->id, length);
	*length = strlen(ENTITY_OF_EVERYTHING);
	return ENTITY_OF_EVERYTHING;
}

/* Reports that the id of the row at hand is too long. */
static void
report_id(const ScanReceiver *receiver, const Rollup *rollup, const RowKey *key)
{
	int			length;
	const char *text = row_id_text(receiver, rollup, key, &length);

	report_long_id(rollup->definition, text, length, key->bucket);
}

/*
 * Takes the batch's next row for one rollup.  t is its time.
 */
static inline RowFate
rollup_take_row(const ScanReceiver *receiver, Rollup *rollup, RowTime kind, TimestampTz t)
{
	RowBatch   *rows = rollup->rows;
	RowKey		key;
	RowFate		fate = rollup_look_at_row(receiver, rollup, kind, t, &key);

	if (fate != ROW_TAKEN)
		return fate;
	rows->keys[rows->n].bucket = key.bucket;
	rows->keys[rows->n].entity = groups_entity(rollup->groups, key.id);
	if (unlikely(rows->keys[rows->n].entity == NO_ENTITY))
		report_id(receiver, rollup, &key);
	rows->keys[rows->n].span = rollup->metric_spans != NULL ? rollup->metric_spans[receiver->metric] : NULL;
	rows->times[rows->n] = key.time;
	rows->rows[rows->n] = receiver->batch.n;
	rows->n++;
	return ROW_TAKEN;
}

/* The time of the row at hand. */
static inline RowTime
receiver_row_time(const ScanReceiver *receiver, TimestampTz *t)
{
	return row_time(receiver->query->time_type, receiver->row[receiver->columns.time_place],
					receiver->row_nulls[receiver->columns.time_place], t);
}

/*
 * Takes the batch's next row for all rollups.  Returns whether one wants it.
 */
static inline bool
scan_take_row(ScanReceiver *receiver)
{
	TimestampTz time = 0;
	RowTime		kind = receiver_row_time(receiver, &time);
	bool		taken = false;
	bool		skipped = false;
	int			i;

	for (i = 0; i < receiver->nfed; i++)
	{
		RowFate		fate = rollup_take_row(receiver, receiver->fed[i], kind, time);

		taken |= fate == ROW_TAKEN;
		skipped |= fate == ROW_SKIPPED;
	}
	receiver->scan->rows_skipped += skipped;
	return taken;
}

/*
 * Reports that a value of the row at hand is out of range; `place` is its number in the
 * row.  Of the groups that it is for, one is named.
 */
static void
report_value(const ScanReceiver *receiver, int place)
{
	int			number = receiver->names != NULL ? receiver->metric : place;
	const char *metric = "";
	TimestampTz time = 0;
	RowTime		kind = receiver_row_time(receiver, &time);
	ListCell   *lc;

	foreach(lc, receiver->scan->metrics)
		if (((ScanMetric *) lfirst(lc))->number == number)
			metric = ((ScanMetric *) lfirst(lc))->name;
	for (int i = 0; i < receiver->nfed; i++)
	{
		Rollup	   *rollup = receiver->fed[i];
		RowKey		key;
		int			length;
		const char *id;

		if (rollup_look_at_row(receiver, rollup, kind, time, &key) != ROW_TAKEN)
			continue;
		id = row_id_text(receiver, rollup, &key, &length);
		report_bad_value(rollup->definition, metric, id, length, key.bucket);
	}
	elog(ERROR, "value of metric \"%s\" is out of range", metric);
}

/* Makes the values of the row at hand float8. */
static inline void
row_convert(ScanReceiver *receiver)
{
	int			i;

	for (i = 0; i < receiver->nruns; i++)
	{
		int			bad = value_run_convert(&receiver->runs[i], receiver->row,
											receiver->row_nulls);

		if (unlikely(bad >= 0))
			report_value(receiver, bad);
	}
}

/*
 * Adds the rows that a rollup took of the batch to its groups.
 */
static void
rollup_add_rows(const ScanReceiver *receiver, Rollup *rollup)
{
	const GroupLayout *layout = rollup->layout;
	MemoryContext values_context = groups_values_context(rollup->groups);
	RowBatch   *rows = rollup->rows;
	int			i;
	int			j;

	Assert(rollup->early == NULL || rows->n == 0 ||
		   rows->keys[0].bucket >= rollup->early->watermark);
	groups_find(rollup->groups, rows->keys, rows->n);
	for (i = 0; i < rows->n; i++)
	{
		int			row = rows->rows[i];
		const double *values = (const double *) receiver->batch.rows + row * receiver->columns.width;
		const bool *nulls = receiver->batch.has_nulls[row] ?
		receiver->batch.nulls + row * receiver->columns.width : NULL;
		const MetricSpan *only = rows->keys[i].span;
		const MetricSpan *span = only != NULL ? only : layout->spans;
		int			nspans = only != NULL ? 1 : layout->nspans;

		for (j = 0; j < nspans; j++, span++)
			span->add_row(span, rows->keys[i].states, values + span->first,
						  nulls ? nulls + span->first : NULL, rows->times[i], values_context);
	}
	rows->n = 0;
}

/*
 * Is it better to set rows aside than to write the full table of a rollup, again and
 * again?  That is so where it has met few rows for its size: more are to come for
 * each of its groups.
 */
static bool
slicing_pays(const ScanReceiver *receiver, const Rollup *rollup)
{
	Size		row = receiver->columns.width * sizeof(Datum) + SLICED_ROW_MORE;

	return receiver->slicing.allowed && receiver->slicing.is_alone && receiver->slicing.slices == NULL &&
		receiver->slicing.depth < MAX_SLICING_DEPTH &&
		slices_affordable(groups_budget(rollup->groups)) > 0 &&
		groups_rows(rollup->groups) * row < groups_memory(rollup->groups) / 3 * 2;
}

/*
 * From now on sets rows aside by their groups in this rollup.  As they will be late,
 * no group leaves any more before they have been taken.
 */
static void
receiver_start_slices(ScanReceiver *receiver, Rollup *rollup)
{
	int			i;

	for (i = 0; i < receiver->nfed; i++)
		if (receiver->fed[i]->early != NULL)
			early_stop(receiver->fed[i]->early);
	receiver->slicing.by = rollup;
	receiver->slicing.slices = slices_create(receiver->context,
											 slices_affordable(groups_budget(rollup->groups)),
											 receiver->columns.width, &receiver->columns.references);
}

/*
 * Adds the rows that the receiver has kept to their groups.
 */
void
receiver_flush(ScanReceiver *receiver)
{
	int			i;

	for (i = 0; i < receiver->nfed; i++)
	{
		Rollup	   *rollup = receiver->fed[i];
		bool		slice;

		rollup_add_rows(receiver, rollup);
		if (rollup->early != NULL)
			early_look(rollup);
		if (!groups_are_full(rollup->groups))
			continue;
		slice = slicing_pays(receiver, rollup);
		groups_spill(rollup->groups);
		if (slice)
			receiver_start_slices(receiver, rollup);
		receiver->slicing.is_alone = true;
	}
	receiver->batch.n = 0;
}

/*
 * Puts the row at hand into the slice of its group, or counts it here if no rollup
 * wants it.  Its values are float8 already where it was set aside before.
 */
static void
set_aside(ScanReceiver *receiver, bool was_sliced)
{
	const RowReferences *references = &receiver->columns.references;
	TimestampTz time = 0;
	RowTime		kind = receiver_row_time(receiver, &time);
	uint64		hash = receiver->slicing.depth;
	bool		taken = false;
	bool		skipped = false;
	int			i;

	for (i = 0; i < receiver->nfed; i++)
	{
		Rollup	   *rollup = receiver->fed[i];
		RowKey		key;
		RowFate		fate = rollup_look_at_row(receiver, rollup, kind, time, &key);

		taken |= fate == ROW_TAKEN;
		skipped |= fate == ROW_SKIPPED;
		if (fate == ROW_TAKEN && rollup == receiver->slicing.by)
			hash ^= (uint64) key.bucket ^
				(uint64) groups_id_hash(rollup->groups, key.id) << BITS_PER_BYTE;
	}
	if (!taken)
	{
		receiver->scan->rows_skipped += skipped;
		return;
	}
	if (!was_sliced)
		row_convert(receiver);
	for (i = 0; i < references->n; i++)
	{
		int			column = references->columns[i];

		if (references->lengths[i] == -1 && !receiver->row_nulls[column])
			receiver->row[column] = PointerGetDatum(PG_DETOAST_DATUM_PACKED(receiver->row[column]));
	}
	slices_put(receiver->slicing.slices, (uint32) mix64(hash), receiver->row,
			   receiver->batch.has_nulls[receiver->batch.n] ? receiver->row_nulls : NULL);
}

/*
 * What every row goes through, whose metric is known; its values are float8 already
 * where it was set aside before.
 */
static inline void
receiver_take_row(ScanReceiver *receiver, bool was_sliced)
{
	if (unlikely(receiver->slicing.slices != NULL))
	{
		set_aside(receiver, was_sliced);
		return;
	}
	if (!scan_take_row(receiver))
		return;
	if (!was_sliced)
		row_convert(receiver);
	if (++receiver->batch.n == receiver->batch.size)
		receiver_flush(receiver);
}

/*
 * Makes the batch's next row the one at hand.  Returns where its NULLs are to be noted.
 */
static inline bool *
receiver_next_row(ScanReceiver *receiver)
{
	Size		at = receiver->batch.n * receiver->columns.width;

	Assert(receiver->batch.n < receiver->batch.size);
	receiver->row = receiver->batch.rows + at;
	return receiver->batch.nulls + at;
}

/* Says whether any have been. */
static inline void
row_set_nulls(ScanReceiver *receiver, const bool *nulls, bool has_nulls)
{
	receiver->row_nulls = has_nulls ? nulls : receiver->no_nulls;
	receiver->batch.has_nulls[receiver->batch.n] = has_nulls;
}

/*
 * Takes the columns that are needed out of a table's row.  Returns false where
 * PostgreSQL has to.
 */
static inline bool
deform_slot(ScanReceiver *receiver, const TupleTableSlot *slot)
{
	bool	   *nulls = receiver_next_row(receiver);
	RowNulls	found = deform_row(receiver->deformer, slot, receiver->row, nulls);

	row_set_nulls(receiver, nulls, found == ROW_HAS_NULLS);
	return found != ROW_NOT_DEFORMED;
}

/* Takes the columns that are needed out of a row, PostgreSQL having taken it apart. */
static void
receive_slot(ScanReceiver *receiver, TupleTableSlot *slot)
{
	bool	   *nulls = receiver_next_row(receiver);
	bool		has_nulls = false;
	int			i;

	slot_getsomeattrs(slot, receiver->columns.natts);
	for (i = 0; i < receiver->columns.width; i++)
	{
		int			column = receiver->columns.numbers[i];

		nulls[i] = slot->tts_isnull[column];
		receiver->row[i] = nulls[i] ? (Datum) 0 : slot->tts_values[column];
		has_nulls |= nulls[i];
	}
	row_set_nulls(receiver, nulls, has_nulls);
}

/* Tells that `n` more rows have been read. */
static inline void
tell_rows_read(SourceScan *scan, int n)
{
	int64		rows = scan->rows_read;

	if (scan->all_rows_read != NULL)
		rows = pg_atomic_add_fetch_u64(scan->all_rows_read, n);
	if (!IsParallelWorker())
		progress_rows_read(rows);
}

/* What every row begins with. */
static inline void
receive_row(ScanReceiver *receiver, TupleTableSlot *slot)
{
	if (receiver->state != NULL)
		slot = table_row(receiver->state);
	if (receiver->deformer == NULL || !deform_slot(receiver, slot))
		receive_slot(receiver, slot);
	if (++receiver->scan->rows_read % MAX_GROUP_KEYS == 0)
	{
		MemoryContextReset(receiver->row_context);
		tell_rows_read(receiver->scan, MAX_GROUP_KEYS);
	}
}

/*
 * Takes one row of a source in column layout.
 */
bool
receive_columns(TupleTableSlot *slot, DestReceiver *self)
{
	ScanReceiver *receiver = (ScanReceiver *) self;
	MemoryContext old_context = MemoryContextSwitchTo(receiver->row_context);

	receive_row(receiver, slot);
	receiver_take_row(receiver, false);
	MemoryContextSwitchTo(old_context);
	return true;
}

/*
 * Takes one row of a source in row layout.
 */
bool
receive_rows(TupleTableSlot *slot, DestReceiver *self)
{
	ScanReceiver *receiver = (ScanReceiver *) self;
	MemoryContext old_context = MemoryContextSwitchTo(receiver->row_context);
	int			name = receiver->columns.name_place;
	int			metric = -1;

	receive_row(receiver, slot);
	if (!receiver->row_nulls[name])
		metric = metric_of_name(receiver->names, receiver->row[name]);
	if (metric >= 0)
	{
		receiver->metric = metric;
		receiver_take_row(receiver, false);
	}
	MemoryContextSwitchTo(old_context);
	return true;
}

/* Takes the rows of a slice. */
static void
take_slice(ScanReceiver *receiver, Slices *slices)
{
	receiver->slicing.is_alone = false;
	for (;;)
	{
		bool	   *nulls = receiver_next_row(receiver);
		bool		has_nulls;

		CHECK_FOR_INTERRUPTS();
		if (!slices_get(slices, receiver->row, nulls, &has_nulls))
			break;
		row_set_nulls(receiver, nulls, has_nulls);
		if (receiver->names != NULL)
			receiver->metric =
				metric_of_name(receiver->names, receiver->row[receiver->columns.name_place]);
		receiver_take_row(receiver, true);
	}
	receiver_flush(receiver);
}

/*
 * Takes the rows that were set aside, slice by slice; and if one has too many groups
 * again, first what has become of it.
 */
static void
take_slices(ScanReceiver *receiver)
{
	Slices	   *slices = receiver->slicing.slices;

	if (slices == NULL)
		return;
	receiver->slicing.slices = NULL;
	receiver->slicing.depth++;
	while (slices_next(slices))
	{
		MemoryContext old_context = MemoryContextSwitchTo(receiver->row_context);

		take_slice(receiver, slices);
		MemoryContextSwitchTo(old_context);
		MemoryContextReset(receiver->row_context);
		take_slices(receiver);
	}
	receiver->slicing.depth--;
	slices_free(slices);
}

/*
 * To be called when the query has returned its last row: takes what was set aside.
 */
void
receiver_end(ScanReceiver *receiver)
{
	take_slices(receiver);
	tell_rows_read(receiver->scan, receiver->scan->rows_read % MAX_GROUP_KEYS);
}
