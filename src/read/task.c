/*-------------------------------------------------------------------------
 *
 * task.c
 *	  What parallel workers have to know of a scan.
 *
 * A scan is a net of pointers, and workers have other memory.  So it is packed into
 * a sequence of bytes: the query's plan as PostgreSQL's own text, and of the
 * scan and its rollups what reading rows and adding them to groups depends on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/nodes.h"

#include "plan/plan.h"
#include "read/task.h"
#include "time/zone.h"

/*
 * A parcel holds what workers have to know.  The same functions pack it and
 * unpack it again, so what goes in comes out.
 */
typedef struct Parcel
{
	bool		packing;
	StringInfo	data;
} Parcel;

static void
parcel_bytes(Parcel *parcel, void *bytes, Size size)
{
	if (parcel->packing)
		appendBinaryStringInfo(parcel->data, bytes, size);
	else
	{
		Assert(parcel->data->cursor + size <= parcel->data->len);
		memcpy(bytes, parcel->data->data + parcel->data->cursor, size);
		parcel->data->cursor += size;
	}
}

#define PARCEL(parcel, field) parcel_bytes(parcel, &(field), sizeof(field))

/* An array of `size` bytes; it is allocated when it is unpacked. */
static void *
parcel_array(Parcel *parcel, void *array, Size size)
{
	if (!parcel->packing)
		array = palloc(size);
	parcel_bytes(parcel, array, size);
	return array;
}

static char *
parcel_text(Parcel *parcel, const char *text)
{
	Size		size = parcel->packing ? strlen(text) + 1 : 0;

	PARCEL(parcel, size);
	return parcel_array(parcel, unconstify(char *, text), size);
}

static void
parcel_query(Parcel *parcel, ScanQuery *query)
{
	char	   *plan = parcel_text(parcel, parcel->packing ? nodeToString(query->plan) : NULL);

	if (!parcel->packing)
		query->plan = stringToNode(plan);
	PARCEL(parcel, query->nvalues);
	query->value_columns = parcel_array(parcel, query->value_columns,
										query->nvalues * sizeof(int));
	query->value_types = parcel_array(parcel, query->value_types,
									  query->nvalues * sizeof(Oid));
	PARCEL(parcel, query->time_column);
	PARCEL(parcel, query->time_type);
	PARCEL(parcel, query->name_column);
	PARCEL(parcel, query->table);
}

static void
parcel_metrics(Parcel *parcel, SourceScan *scan)
{
	int			n = list_length(scan->metrics);
	int			i;

	PARCEL(parcel, n);
	if (!parcel->packing)
		scan->metrics_by_name = textmap_create(CurrentMemoryContext, n + 1, NULL);
	for (i = 0; i < n; i++)
	{
		ScanMetric *metric = parcel->packing ? list_nth(scan->metrics, i) :
		palloc0(sizeof(ScanMetric));

		PARCEL(parcel, metric->number);
		metric->name = parcel_text(parcel, metric->name);
		metric->row_name = parcel_text(parcel, metric->row_name);
		if (parcel->packing)
			continue;
		scan->metrics = lappend(scan->metrics, metric);
		textmap_put(scan->metrics_by_name, metric->row_name, metric);
	}
}

/* The layout of a rollup's groups, which is made again of what makes it. */
static void
parcel_layout(Parcel *parcel, Rollup *rollup)
{
	GroupLayout *layout = rollup->layout;
	int			n = layout->nmetrics;
	int		   *numbers;
	uint32	   *fields;

	PARCEL(parcel, n);
	numbers = parcel_array(parcel, layout->numbers, n * sizeof(int));
	fields = parcel_array(parcel, layout->fields, n * sizeof(uint32));
	if (!parcel->packing)
		group_layout_init(layout, n, numbers, fields,
						  rollup->scan->source->layout == LAYOUT_ROW);
}

/* A rollup that is fed from rows, as far as rows have to do with it. */
static void
parcel_rollup(Parcel *parcel, Rollup *rollup)
{
	Definition *definition = rollup->definition;

	PARCEL(parcel, definition->granularity.kind);
	PARCEL(parcel, definition->granularity.width);
	PARCEL(parcel, definition->granularity.count);
	PARCEL(parcel, definition->granularity_text);
	definition->focal_entity = parcel_text(parcel, definition->focal_entity);
	definition->timezone = parcel_text(parcel, definition->timezone);
	if (!parcel->packing && zone_parse(definition->timezone, &definition->tz) != NULL)
		elog(ERROR, "time zone \"%s\" is not there any more", definition->timezone);
	PARCEL(parcel, rollup->source->relid);
	PARCEL(parcel, rollup->source->id_column);
	PARCEL(parcel, rollup->horizon);
	PARCEL(parcel, rollup->id_input);
	PARCEL(parcel, rollup->filter_input);
	parcel_layout(parcel, rollup);
}

/* Adds a rollup to a worker's scan. */
static void
add_rollup(SourceScan *scan)
{
	Rollup	   *rollup = palloc0(sizeof(Rollup));

	rollup->scan = scan;
	rollup->definition = palloc0(sizeof(Definition));
	rollup->source = palloc0(sizeof(Source));
	rollup->refresh = palloc0(sizeof(Refresh));
	rollup->reads = extents_everything();
	rollup->layout = palloc0(sizeof(GroupLayout));
	scan->rollups = lappend(scan->rollups, rollup);
	scan_add_fed(scan, rollup);
}

static void
parcel_scan(Parcel *parcel, SourceScan *scan)
{
	int			n = list_length(scan->fed);
	int			i;

	PARCEL(parcel, scan->source->relid);
	PARCEL(parcel, scan->source->layout);
	PARCEL(parcel, scan->source->name_column);
	parcel_metrics(parcel, scan);
	PARCEL(parcel, n);
	for (i = 0; i < n; i++)
	{
		if (!parcel->packing)
			add_rollup(scan);
		parcel_rollup(parcel, list_nth(scan->fed, i));
	}
}

/* All that workers have to know. */
static void
parcel_task(Parcel *parcel, SourceScan *scan, ScanQuery *query)
{
	parcel_query(parcel, query);
	parcel_scan(parcel, scan);
}

/*
 * Packs what workers have to know of a scan and its query.
 */
StringInfo
task_pack(SourceScan *scan, ScanQuery *query)
{
	Parcel		parcel = {.packing = true,.data = makeStringInfo()};

	parcel_task(&parcel, scan, query);
	return parcel.data;
}

/*
 * Makes a scan and a query, in the current memory context, of what the leader has
 * packed.
 */
void
task_unpack(char *data, int length, SourceScan *scan, ScanQuery *query)
{
	StringInfoData task = {.data = data,.len = length};
	Parcel		parcel = {.packing = false,.data = &task};

	memset(scan, 0, sizeof(SourceScan));
	memset(query, 0, sizeof(ScanQuery));
	scan->source = palloc0(sizeof(Source));
	parcel_task(&parcel, scan, query);
}
