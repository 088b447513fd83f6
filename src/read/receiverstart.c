/*-------------------------------------------------------------------------
 *
 * receiverstart.c
 *	  Creating the receiver of a scan's rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/table.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "read/query.h"
#include "read/receiver.h"
#include "read/wanted.h"

/* Room for a batch's values: they should stay in the first-level cache. */
#define BATCH_BYTES (16 * 1024)
#define MIN_BATCH_ROWS 8

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc typeinfo)
{
}

static void
receiver_shutdown(DestReceiver *self)
{
}

/* In row layout: the span of each metric of the scan. */
static void
rollup_find_spans(Rollup *rollup)
{
	const GroupLayout *layout = rollup->layout;
	int			i;

	rollup->metric_spans = palloc0(list_length(rollup->scan->metrics) * sizeof(MetricSpan *));
	for (i = 0; i < layout->nmetrics; i++)
		rollup->metric_spans[layout->numbers[i]] = &layout->spans[layout->span_of[i]];
}

/* Has the receiver take a column out of each row.  Returns its place among them. */
static int
receiver_add_column(ScanReceiver *receiver, int column)
{
	int			i;

	for (i = receiver->query->nvalues; i < receiver->columns.width; i++)
		if (receiver->columns.numbers[i] == column)
			return i;
	receiver->columns.numbers[receiver->columns.width++] = column;
	return i;
}

/*
 * Decides which columns are taken out of rows: the values, in the order of the
 * metrics' numbers, then all others.
 */
static void
receiver_init_columns(ScanReceiver *receiver)
{
	const ScanQuery *query = receiver->query;
	int			i;

	receiver->columns.numbers = palloc((query->nvalues + 2 + 2 * receiver->nfed) * sizeof(int));
	memcpy(receiver->columns.numbers, query->value_columns, query->nvalues * sizeof(int));
	receiver->columns.width = query->nvalues;
	receiver->columns.time_place = receiver_add_column(receiver, query->time_column);
	if (query->name_column >= 0)
		receiver->columns.name_place = receiver_add_column(receiver, query->name_column);
	for (i = 0; i < receiver->nfed; i++)
	{
		Rollup	   *rollup = receiver->fed[i];

		if (rollup->id_input >= 0)
			rollup->id_place = receiver_add_column(receiver, rollup->id_input);
		if (rollup->filter_input >= 0)
			rollup->filter_place = receiver_add_column(receiver, rollup->filter_input);
	}
	for (i = 0; i < receiver->columns.width; i++)
		receiver->columns.natts = Max(receiver->columns.natts, receiver->columns.numbers[i] + 1);
	receiver->no_nulls = palloc0(receiver->columns.width * sizeof(bool));
}

/*
 * Adds a column to those that are not by value, if it is one of these.
 */
static void
receiver_add_reference(ScanReceiver *receiver, int column, Oid relid, AttrNumber attnum)
{
	RowReferences *references = &receiver->columns.references;
	int16		length;
	bool		by_value;
	int			i;

	get_typlenbyval(get_atttype(relid, attnum), &length, &by_value);
	if (by_value)
		return;
	for (i = 0; i < references->n; i++)
		if (references->columns[i] == column)
			return;
	references->columns[references->n] = column;
	references->lengths[references->n++] = length;
}

/* What is to be known for setting rows aside. */
static void
receiver_init_slicing(ScanReceiver *receiver)
{
	const SourceScan *scan = receiver->scan;
	int			i;

	receiver->slicing.is_alone = true;

	/* Workers read together only where it does not. */
	receiver->slicing.allowed = IsParallelWorker() || scan_order_matters(scan) == NULL;
	receiver->columns.references.columns = palloc((1 + receiver->nfed) * sizeof(int));
	receiver->columns.references.lengths = palloc((1 + receiver->nfed) * sizeof(int16));
	if (receiver->query->name_column >= 0)
		receiver_add_reference(receiver, receiver->columns.name_place, scan->source->relid,
							   scan->source->name_column);
	for (i = 0; i < receiver->nfed; i++)
	{
		const Rollup *rollup = receiver->fed[i];

		if (rollup->id_input >= 0)
			receiver_add_reference(receiver, rollup->id_place, rollup->source->relid,
								   rollup->source->id_column);
	}
}

/*
 * Creates the receiver of a query's rows, in the current context; the groups of the
 * scan's rollups are there already.
 */
ScanReceiver *
receiver_create(SourceScan *scan, const ScanQuery *query)
{
	ScanReceiver *receiver = palloc0(sizeof(ScanReceiver));
	bool		row_layout = scan->source->layout == LAYOUT_ROW;
	Size		row_size;
	ListCell   *lc;

	receiver->context = CurrentMemoryContext;
	receiver->pub.receiveSlot = row_layout ? receive_rows : receive_columns;
	receiver->pub.rStartup = receiver_startup;
	receiver->pub.rShutdown = receiver_shutdown;
	receiver->pub.rDestroy = receiver_shutdown;
	receiver->pub.mydest = DestNone;
	receiver->scan = scan;
	receiver->query = query;
	receiver->fed = palloc(list_length(scan->fed) * sizeof(Rollup *));
	foreach(lc, scan->fed)
	{
		Rollup	   *rollup = lfirst(lc);

		rollup->rows = palloc0(sizeof(RowBatch));
		rollup->wanted = wanted_create(rollup);
		if (row_layout)
			rollup_find_spans(rollup);
		receiver->fed[receiver->nfed++] = rollup;
	}
	receiver->runs = palloc(query->nvalues * sizeof(ValueRun));
	receiver->nruns = value_runs(query->value_types, query->nvalues, receiver->runs);
	receiver_init_columns(receiver);
	receiver_init_slicing(receiver);
	row_size = receiver->columns.width * (sizeof(Datum) + sizeof(bool));
	receiver->batch.size = Max(MIN_BATCH_ROWS, Min(MAX_GROUP_KEYS, BATCH_BYTES / row_size));
	receiver->batch.rows = palloc(receiver->batch.size * receiver->columns.width * sizeof(Datum));
	receiver->batch.nulls = palloc(receiver->batch.size * receiver->columns.width * sizeof(bool));
	receiver->batch.has_nulls = palloc(receiver->batch.size * sizeof(bool));
	receiver->everything = CStringGetTextDatum(ENTITY_OF_EVERYTHING);
	receiver->row_context = AllocSetContextCreate(CurrentMemoryContext, "batchagg row",
												  ALLOCSET_DEFAULT_SIZES);
	if (row_layout)
		receiver->names = metric_names_create(scan);
	if (OidIsValid(query->table))
	{
		Relation	rel = table_open(query->table, AccessShareLock);

		receiver->deformer = deformer_create(RelationGetDescr(rel), receiver->columns.natts,
											 receiver->columns.numbers, receiver->columns.width);
		table_close(rel, NoLock);
	}
	return receiver;
}

/*
 * What the query is to be run into.
 */
DestReceiver *
receiver_dest(ScanReceiver *receiver)
{
	return &receiver->pub;
}

/*
 * Has the receiver take rows from the scans of this plan, which are a table's own.
 */
void
receiver_take_table_rows(ScanReceiver *receiver, const PlanState *state)
{
	receiver->state = state;
}
