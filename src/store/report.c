/*-------------------------------------------------------------------------
 *
 * report.c
 *	  Telling of stored rows that differ from computed ones, result by result.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "store/report.h"

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
void
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
 * Reports the results that are stored in a layout, in buckets that begin from
 * `from` on and before `to`, as ones that are not computed.
 */
void
store_report_layout(StoreWriter *store, StoredLayout *layout, TimestampTz from, TimestampTz to)
{
	ResultPart	results = {.layout = layout};
	PartWriter	part = {.part = &results};
	Extent		range = {.from = from,.to = to};

	part_open(store, &part);
	for (part_seek(store, &part, &range); part_has_stored(&part); part_advance(store, &part))
	{
		CHECK_FOR_INTERRUPTS();
		row_report(store, layout, part.stored, NULL, NULL, false);
	}
	part_close(&part);
}
