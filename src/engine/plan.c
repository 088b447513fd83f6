/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  Which scans a run makes, and what each of them feeds.
 *
 * Every definition of a job computes every metric of the job, so definitions
 * that read the same columns of the same relation share one scan and one
 * layout of groups.  They differ in granularity, id, filter, time zone and
 * delay: each is a rollup of its own.  A filter that all rollups of a scan
 * have in common is the scan's WHERE clause; filters that differ become flags
 * of each row.  Definitions of different time zones share a scan only where
 * nothing in it depends on TimeZone, under which PostgreSQL evaluates all of
 * the scan: filters do, and the text of some ids.
 *
 * A rollup is fed from the rows, or, where a finer one with the same id,
 * filter, zone and horizon nests in it, from the finer one's finished groups:
 * 1-day costs next to nothing beside 1-hour, and 1-week beside 1-day.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "engine/plan.h"

static SourceScan *scan_create(Source *source);
static bool scan_serves(const SourceScan *scan, const Source *source);
static void scan_add_rollup(SourceScan *scan, Source *source, TimestampTz run_time);
static void scan_order_metrics(SourceScan *scan);
static void scan_make_parts(SourceScan *scan);
static void scan_link_rollups(SourceScan *scan);

/*
 * Plans the scans for `sources` (a list of Source, of all definitions of the
 * job) of a run at run_time.  Returns a list of SourceScan.  Memory is taken from
 * the current context.
 */
List *
plan_scans(List *sources, TimestampTz run_time)
{
	List	   *scans = NIL;
	ListCell   *lc;

	foreach(lc, sources)
	{
		Source	   *source = lfirst(lc);
		SourceScan	   *scan = NULL;
		ListCell   *lc2;

		foreach(lc2, scans)
		{
			scan = lfirst(lc2);
			if (scan_serves(scan, source))
				break;
			scan = NULL;
		}
		if (scan == NULL)
		{
			scan = scan_create(source);
			scans = lappend(scans, scan);
		}
		scan_add_rollup(scan, source, run_time);
	}

	foreach(lc, scans)
	{
		SourceScan	   *scan = lfirst(lc);

		scan_order_metrics(scan);
		scan_make_parts(scan);
		scan_link_rollups(scan);
	}
	return scans;
}

static SourceScan *
scan_create(Source *source)
{
	SourceScan	   *scan = palloc0(sizeof(SourceScan));

	scan->source = source;
	scan->timezone = source->definition->timezone;
	return scan;
}

/*
 * May what this source reads, but for times, depend on TimeZone?
 */
static bool
depends_on_zone(const Source *source)
{
	char		category;
	bool		preferred;

	if (source->definition->filter != NULL)
		return true;
	if (source->id_column == InvalidAttrNumber)
		return false;
	get_type_category_preferred(getBaseType(get_atttype(source->relid, source->id_column)),
								&category, &preferred);
	return strchr("BENSU", category) == NULL;	/* no dates, ranges, arrays, rows */
}

/*
 * Can this scan serve another source too?
 */
static bool
scan_serves(const SourceScan *scan, const Source *source)
{
	const Source *own = scan->source;
	ListCell   *lc1;
	ListCell   *lc2;

	if (own->relid != source->relid || own->layout != source->layout ||
		own->time_column != source->time_column ||
		own->name_column != source->name_column ||
		own->value_column != source->value_column ||
		list_length(own->metrics) != list_length(source->metrics))
		return false;
	if (strcmp(scan->timezone, source->definition->timezone) != 0 &&
		(depends_on_zone(own) || depends_on_zone(source)))
		return false;
	forboth(lc1, own->metrics, lc2, source->metrics)
	{
		const SourceMetric *m1 = lfirst(lc1);
		const SourceMetric *m2 = lfirst(lc2);

		if (m1->metric != m2->metric || m1->column != m2->column)
			return false;
	}
	return true;
}

static void
scan_add_rollup(SourceScan *scan, Source *source, TimestampTz run_time)
{
	Rollup	   *rollup = palloc0(sizeof(Rollup));

	rollup->scan = scan;
	rollup->definition = source->definition;
	rollup->source = source;
	rollup->horizon = run_time - source->definition->job_delay * USECS_PER_HOUR;
	rollup->id_input = -1;
	rollup->filter_input = -1;
	scan->rollups = lappend(scan->rollups, rollup);
}

/* The fields that a metric's state needs. */
static uint32
metric_fields(const SourceMetric *metric, SourceLayout layout)
{
	uint32		fields = layout == LAYOUT_ROW ? FIELD_ROWS : 0;
	int			i;

	for (i = 0; i < metric->metric->naggregates; i++)
		fields |= aggregate_fields(&metric->metric->aggregates[i]);
	return fields;
}

static int
metric_compare(const ListCell *a, const ListCell *b)
{
	uint32		fields_a = metric_fields(lfirst(a), LAYOUT_COLUMN);
	uint32		fields_b = metric_fields(lfirst(b), LAYOUT_COLUMN);

	return fields_a < fields_b ? -1 : (fields_a > fields_b ? 1 : 0);
}

/*
 * Orders the scan's metrics so that those with equal fields are neighbours,
 * and lays out its groups.
 */
static void
scan_order_metrics(SourceScan *scan)
{
	List	   *ordered = list_copy(scan->source->metrics);
	uint32	   *fields;
	ListCell   *lc;

	list_sort(ordered, metric_compare);
	scan->nmetrics = list_length(ordered);
	scan->metrics = palloc(scan->nmetrics * sizeof(SourceMetric *));
	fields = palloc(scan->nmetrics * sizeof(uint32));
	foreach(lc, ordered)
	{
		int			i = foreach_current_index(lc);

		scan->metrics[i] = lfirst(lc);
		fields[i] = metric_fields(lfirst(lc), scan->source->layout);
	}
	group_layout_init(&scan->layout, scan->nmetrics, fields);
}

static int
scan_metric_number(const SourceScan *scan, const SourceMetric *metric)
{
	int			i;

	for (i = 0; i < scan->nmetrics; i++)
		if (scan->metrics[i] == metric)
			return i;
	elog(ERROR, "metric \"%s\" is not in the scan", metric->metric->name);
}

/*
 * Distributes the results over packed rows.  They stand in the job's order of
 * metrics; all of a metric's are in one part.
 */
static void
scan_make_parts(SourceScan *scan)
{
	ResultPart *part = NULL;
	ListCell   *lc;

	scan->parts = palloc0(scan->nmetrics * sizeof(ResultPart));
	foreach(lc, scan->source->metrics)
	{
		SourceMetric *metric = lfirst(lc);
		ResultMetric *result;

		if (part == NULL || part->npositions + metric->metric->naggregates > MAX_PART_RESULTS)
		{
			part = &scan->parts[scan->nparts++];
			part->metrics = palloc(scan->nmetrics * sizeof(ResultMetric));
		}
		result = &part->metrics[part->nmetrics++];
		result->metric = scan_metric_number(scan, metric);
		result->job_metric = metric->metric;
		result->first = part->npositions;
		part->npositions += metric->metric->naggregates;
	}
}

/* About how long a granularity's buckets are, in minutes: to order them. */
static int64
granularity_length(const Granularity *g)
{
	switch (g->kind)
	{
		case BUCKET_DAYS:
			return (int64) g->width * MINS_PER_HOUR * HOURS_PER_DAY;
		case BUCKET_MONTHS:
			return (int64) g->width * MINS_PER_HOUR * HOURS_PER_DAY * DAYS_PER_MONTH;
		default:
			return g->width;
	}
}

static int
rollup_compare(const ListCell *a, const ListCell *b)
{
	const Rollup *rollup_a = lfirst(a);
	const Rollup *rollup_b = lfirst(b);
	int64		length_a = granularity_length(&rollup_a->definition->granularity);
	int64		length_b = granularity_length(&rollup_b->definition->granularity);

	if (length_a != length_b)
		return length_a < length_b ? -1 : 1;
	return rollup_a->definition->id < rollup_b->definition->id ? -1 : 1;
}

/*
 * Can `coarse` be merged from the groups of `fine`?
 */
static bool
rollup_feeds(const Rollup *fine, const Rollup *coarse)
{
	const Definition *f = fine->definition;
	const Definition *c = coarse->definition;

	return granularity_nests(&f->granularity, &c->granularity) &&
		fine->source->id_column == coarse->source->id_column &&
		fine->horizon == coarse->horizon &&
		strcmp(f->timezone, c->timezone) == 0 &&
		strcmp(f->filter ? f->filter : "", c->filter ? c->filter : "") == 0;
}

/*
 * Finds for each rollup the coarsest one that can feed it.
 */
static void
scan_link_rollups(SourceScan *scan)
{
	int			n = list_length(scan->rollups);
	int			i;
	int			j;

	list_sort(scan->rollups, rollup_compare);
	for (i = 1; i < n; i++)
	{
		Rollup	   *coarse = list_nth(scan->rollups, i);

		for (j = i - 1; j >= 0 && coarse->finer == NULL; j--)
		{
			Rollup	   *fine = list_nth(scan->rollups, j);

			if (!rollup_feeds(fine, coarse))
				continue;
			coarse->finer = fine;
			fine->coarser = lappend(fine->coarser, coarse);
		}
	}
}
