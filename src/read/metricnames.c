/*-------------------------------------------------------------------------
 *
 * metricnames.c
 *	  The names in rows of a source in row layout: which metrics they stand for.
 *
 * Each name met is looked up once, and remembered whether it was asked for or not.
 * Where names are without end, as ids in the wrong column would be, they are
 * forgotten when they take too much memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "utils/lsyscache.h"

#include "read/metricnames.h"

/* Names of metrics are remembered up to this size. */
#define MAX_NAMES_MEMORY ((Size) 4 * 1024 * 1024)

#define FIRST_NAMES 64

/*
 * Creates an empty set of names for a scan in row layout, in the current context.
 */
MetricNames *
metric_names_create(const SourceScan *scan)
{
	const Source *source = scan->source;
	MetricNames *names = palloc0(sizeof(MetricNames));
	Oid			type;
	int32		typmod;
	Oid			collation;

	get_atttypetypmodcoll(source->relid, source->name_column, &type, &typmod, &collation);
	names->scan = scan;

	/* Metrics are told by the bytes of their names, even where others count as equal. */
	if (IsBinaryCoercible(type, TEXTOID))
		type = TEXTOID;
	if (OidIsValid(collation))
		collation = C_COLLATION_OID;
	names->names = entities_create(CurrentMemoryContext, type, collation);
	names->size = FIRST_NAMES;
	names->metrics = palloc(names->size * sizeof(int));
	return names;
}

static int
metric_by_name(const SourceScan *scan, const char *name)
{
	const ScanMetric *metric = textmap_get(scan->metrics_by_name, name);

	return metric ? metric->number : -1;
}

/*
 * For metric_of_name(): looks up a name that has just got this number.
 */
int
metric_of_new_name(MetricNames *names, uint32 number, Datum name)
{
	int			length;
	const char *text;

	/* A name so long is none that was asked for. */
	if (number == NO_ENTITY)
		return -1;
	if (entities_memory(names->names) > MAX_NAMES_MEMORY && entities_forgettable(names->names))
	{
		entities_forget(names->names);
		number = entities_intern(names->names, name);
	}
	text = entities_text(names->names, number, &length);
	if (number >= names->size)
	{
		names->size *= 2;
		names->metrics = repalloc_huge(names->metrics, names->size * sizeof(int));
	}
	names->metrics[number] = metric_by_name(names->scan, pnstrdup(text, length));
	names->n = number + 1;
	return names->metrics[number];
}
