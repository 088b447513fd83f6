/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  Which scans a run makes, and what each of them feeds.
 *
 * Definitions that read the same relation in the same way, by its layout and
 * its time, share one scan, whether they are of one job or of several.  The
 * scan reads every metric that any of them asks for; what it computes of them
 * for each definition, a rollup, is what that one's job asks for.  Rollups
 * differ in metrics, granularity, id, filter, time zone and delay.  A filter
 * that all rollups of a scan have in common is the scan's WHERE clause;
 * filters that differ become flags of each row.  Definitions of different time
 * zones share a scan only where nothing in it depends on TimeZone, under which
 * PostgreSQL evaluates all of the scan: filters do, and the text of some ids.
 *
 * Two metrics are the same to a scan where they are the same column, or in row
 * layout where the same names of rows mean them.
 *
 * A rollup is fed from the rows, or, where a finer one with the same id,
 * filter, zone and horizon nests in it, from the finer one's finished groups:
 * 1-day costs next to nothing beside 1-hour, and 1-week beside 1-day.  The
 * finer one may be another job's, if its groups have all that is needed; then
 * they have one layout.
 *
 * Rollups that bring up to date different parts of their results share a scan
 * too: it reads all that any of them needs, so that the groups which a rollup
 * asks for are complete, and each stores those alone.  Rows that are new since a
 * cursor, to be added to stored groups, are another scan than all rows of what
 * is recomputed.
 *
 * A coarse bucket in which little has changed is mostly made of groups that are
 * as they are stored.  Where the finer rollup's partial states are stored too,
 * the coarse one is fed from the store with all that the finer one does not
 * recompute, and no rows are read for it but those of what has changed.  For
 * that, the finer rollup is there even if nothing of it is to be recomputed.
 * Rows are read all the same for buckets whose stored groups may be gone: those
 * before stored_from.  See src/README.md.
 *
 * Where results outlive their rows, a coarse group is made of the finer ones as the
 * store has them in the end, whether rows are read or not: see history.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "plan/plan.h"
#include "refresh/history.h"

/*
 * Groups of single entities that a rollup looks up in the store at most, for
 * coarser ones; else it reads all of their buckets.
 */
#define MAX_STORED_ENTITIES 100000

static void plan_rollup(List **scans, Refresh *refresh, bool adds);
static void plan_feeder(const List *scans, Refresh *refresh);
static SourceScan *scan_create(Source *source, bool adds);
static bool scan_serves(const SourceScan *scan, const Refresh *refresh, bool adds);
static void scan_add_rollup(SourceScan *scan, Refresh *refresh);
static void scan_add_metrics(SourceScan *scan, Rollup *rollup);
static void scan_order_metrics(SourceScan *scan);
static void rollup_set_needs(Rollup *rollup);
static void scan_link_rollups(SourceScan *scan);
static void scan_drop_idle(SourceScan *scan);
static void scan_plan_reading(SourceScan *scan, bool writes);
static void rollup_make_layout(Rollup *rollup);
static void rollup_make_parts(Rollup *rollup);

/*
 * Plans the scans for `refreshes` (a list of Refresh, of all definitions of all
 * jobs).  Returns a list of SourceScan, without any for what is up to date: those
 * that add come first, as what is recomputed builds on what is stored by then.
 * It is not where the run does not write.  Memory is taken from the current
 * context.
 */
List *
plan_scans(List *refreshes, bool writes)
{
	List	   *scans = NIL;
	ListCell   *lc;

	foreach(lc, refreshes)
		if (((Refresh *) lfirst(lc))->additions)
			plan_rollup(&scans, lfirst(lc), true);
	foreach(lc, refreshes)
		if (((Refresh *) lfirst(lc))->extents->n > 0)
			plan_rollup(&scans, lfirst(lc), false);
	foreach(lc, refreshes)
		plan_feeder(scans, lfirst(lc));

	foreach(lc, scans)
	{
		SourceScan *scan = lfirst(lc);
		ListCell   *lc2;

		scan_order_metrics(scan);
		foreach(lc2, scan->rollups)
			rollup_set_needs(lfirst(lc2));
		scan_link_rollups(scan);
		scan_plan_reading(scan, writes);
		foreach(lc2, scan->rollups)
		{
			rollup_make_layout(lfirst(lc2));
			rollup_make_parts(lfirst(lc2));
		}
	}
	return scans;
}

/*
 * Plans what a refresh recomputes, or what it adds, as a rollup of a scan that
 * serves it, found or made.
 */
static void
plan_rollup(List **scans, Refresh *refresh, bool adds)
{
	SourceScan *scan = NULL;
	ListCell   *lc;

	foreach(lc, *scans)
	{
		scan = lfirst(lc);
		if (scan_serves(scan, refresh, adds))
			break;
		scan = NULL;
	}
	if (scan == NULL)
	{
		scan = scan_create(refresh->source, adds);
		*scans = lappend(*scans, scan);
	}
	scan_add_rollup(scan, refresh);
}

/*
 * Adds a rollup of which nothing is to be recomputed to the scans in which its
 * stored groups could feed others.
 */
static void
plan_feeder(const List *scans, Refresh *refresh)
{
	ListCell   *lc;
	ListCell   *lc2;

	if (refresh->extents->n > 0 || refresh->states_from == DT_NOEND)
		return;
	foreach(lc, scans)
	{
		SourceScan *scan = lfirst(lc);

		if (scan->adds || !scan_serves(scan, refresh, false))
			continue;
		foreach(lc2, scan->rollups)
			if (source_nests(refresh->source, ((Rollup *) lfirst(lc2))->source))
			{
				scan_add_rollup(scan, refresh);
				break;
			}
	}
}

static SourceScan *
scan_create(Source *source, bool adds)
{
	SourceScan *scan = palloc0(sizeof(SourceScan));

	scan->source = source;
	scan->timezone = source->definition->timezone;
	scan->adds = adds;
	if (source->layout == LAYOUT_ROW)
		scan->metrics_by_name = textmap_create(CurrentMemoryContext,
											   list_length(source->metrics) + 1, NULL);
	else
		scan->metrics_by_column = palloc0((RelationGetNumberOfAttributes(source->rel) + 1) *
										  sizeof(ScanMetric *));
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
 * Are the same rows new to two refreshes?
 */
static bool
additions_same(const Refresh *a, const Refresh *b)
{
	return a->horizon == b->horizon && a->cursor->horizon == b->cursor->horizon &&
		ahead_same(&a->cursor->ahead, &b->cursor->ahead) &&
		strcmp(a->cursor->snapshot, b->cursor->snapshot) == 0;
}

/*
 * Can this scan serve another refresh too?
 */
static bool
scan_serves(const SourceScan *scan, const Refresh *refresh, bool adds)
{
	const Source *own = scan->source;
	const Source *source = refresh->source;
	const Rollup *first = linitial(scan->rollups);

	if (own->relid != source->relid || own->layout != source->layout ||
		own->time_column != source->time_column ||
		own->name_column != source->name_column ||
		own->value_column != source->value_column ||
		scan->adds != adds || (adds && !additions_same(first->refresh, refresh)))
		return false;
	return strcmp(scan->timezone, source->definition->timezone) == 0 ||
		(!depends_on_zone(own) && !depends_on_zone(source));
}

static void
scan_add_rollup(SourceScan *scan, Refresh *refresh)
{
	Rollup	   *rollup = palloc0(sizeof(Rollup));

	rollup->scan = scan;
	rollup->definition = refresh->source->definition;
	rollup->source = refresh->source;
	rollup->refresh = refresh;
	rollup->adds = scan->adds;
	rollup->horizon = refresh->horizon;
	scan->rollups = lappend(scan->rollups, rollup);
	scan_add_metrics(scan, rollup);
}

/* The fields that a metric's state needs for one job. */
static uint32
metric_fields(const JobMetric *metric, SourceLayout layout)
{
	uint32		fields = layout == LAYOUT_ROW ? FIELD_ROWS : 0;
	int			i;

	for (i = 0; i < metric->naggregates; i++)
		fields |= aggregate_fields(&metric->aggregates[i]);
	return fields;
}

/*
 * The scan's metric that a source's metric is, found or added.
 */
static ScanMetric *
scan_metric(SourceScan *scan, const SourceMetric *metric)
{
	bool		row_layout = scan->source->layout == LAYOUT_ROW;
	ScanMetric *result;

	result = row_layout ? textmap_get(scan->metrics_by_name, metric->row_name) :
		scan->metrics_by_column[metric->column];
	if (result)
		return result;
	result = palloc0(sizeof(ScanMetric));
	result->name = metric->metric->name;
	result->row_name = metric->row_name;
	result->column = metric->column;
	scan->metrics = lappend(scan->metrics, result);
	if (row_layout)
		textmap_put(scan->metrics_by_name, result->row_name, result);
	else
		scan->metrics_by_column[metric->column] = result;
	return result;
}

static void
scan_add_metrics(SourceScan *scan, Rollup *rollup)
{
	List	   *metrics = rollup->source->metrics;
	ListCell   *lc;

	rollup->metrics = palloc(list_length(metrics) * sizeof(ScanMetric *));
	foreach(lc, metrics)
	{
		const SourceMetric *metric = lfirst(lc);
		ScanMetric *own = scan_metric(scan, metric);

		own->fields |= metric_fields(metric->metric, rollup->source->layout);
		rollup->metrics[foreach_current_index(lc)] = own;
	}
}

static int
metric_compare(const ListCell *a, const ListCell *b)
{
	uint32		fields_a = ((const ScanMetric *) lfirst(a))->fields;
	uint32		fields_b = ((const ScanMetric *) lfirst(b))->fields;

	if (fields_a != fields_b)
		return fields_a < fields_b ? -1 : 1;
	return ((const ScanMetric *) lfirst(a))->number - ((const ScanMetric *) lfirst(b))->number;
}

/*
 * Orders and numbers the scan's metrics so that those with equal fields are
 * neighbours, else in the order in which they were added.
 */
static void
scan_order_metrics(SourceScan *scan)
{
	ListCell   *lc;

	foreach(lc, scan->metrics)
		((ScanMetric *) lfirst(lc))->number = foreach_current_index(lc);
	list_sort(scan->metrics, metric_compare);
	foreach(lc, scan->metrics)
		((ScanMetric *) lfirst(lc))->number = foreach_current_index(lc);
}

/*
 * Notes what the rollup needs of each of the scan's metrics.
 */
static void
rollup_set_needs(Rollup *rollup)
{
	int			n = list_length(rollup->scan->metrics);
	ListCell   *lc;
	int			i;

	rollup->needs = palloc(n * sizeof(uint32));
	for (i = 0; i < n; i++)
		rollup->needs[i] = NOT_NEEDED;
	foreach(lc, rollup->source->metrics)
	{
		const SourceMetric *metric = lfirst(lc);
		uint32	   *need = &rollup->needs[rollup->metrics[foreach_current_index(lc)]->number];

		if (*need == NOT_NEEDED)
			*need = 0;
		*need |= metric_fields(metric->metric, rollup->source->layout);
	}
	for (i = 0; i < n; i++)
		if (rollup->needs[i] != NOT_NEEDED)
			rollup->words += state_words(rollup->needs[i]);
}

/*
 * Lays out the rollup's groups: as those that it is fed from, if it is.
 */
static void
rollup_make_layout(Rollup *rollup)
{
	int			size = list_length(rollup->scan->metrics);
	int		   *numbers = palloc(size * sizeof(int));
	uint32	   *fields = palloc(size * sizeof(uint32));
	int			n = 0;
	int			i;

	if (rollup->finer != NULL)
	{
		rollup->layout = rollup->finer->layout;
		return;
	}
	for (i = 0; i < size; i++)
	{
		if (rollup->needs[i] == NOT_NEEDED)
			continue;
		numbers[n] = i;
		fields[n++] = rollup->needs[i];
	}
	rollup->layout = palloc(sizeof(GroupLayout));
	group_layout_init(rollup->layout, n, numbers, fields,
					  rollup->scan->source->layout == LAYOUT_ROW);
}

/* The number of each metric's state in the rollup's groups, by the metric's number. */
static int *
rollup_states(const Rollup *rollup)
{
	int		   *states = palloc0(list_length(rollup->scan->metrics) * sizeof(int));

	for (int i = 0; i < rollup->layout->nmetrics; i++)
		states[rollup->layout->numbers[i]] = i;
	return states;
}

/* Can two metrics be finished together, the second being the next one? */
static bool
metrics_are_alike(const GroupLayout *layout, const ResultMetric *a, const ResultMetric *b)
{
	int			n = a->job_metric->naggregates;
	int			i;

	if (layout->span_of[a->state] != layout->span_of[b->state] || a->state + 1 != b->state ||
		n != b->job_metric->naggregates)
		return false;
	for (i = 0; i < n; i++)
		if (a->job_metric->aggregates[i].kind != b->job_metric->aggregates[i].kind)
			return false;
	return span_can_finish(a->job_metric->aggregates, n);
}

/*
 * Notes which metrics of a part can be finished together.
 */
static void
part_join_metrics(const GroupLayout *layout, ResultPart *part)
{
	int			i;

	for (i = part->nmetrics - 1; i >= 0; i--)
	{
		ResultMetric *metric = &part->metrics[i];

		metric->together = 1;
		if (i + 1 < part->nmetrics && metrics_are_alike(layout, metric, metric + 1))
			metric->together += (metric + 1)->together;
	}
}

/*
 * Distributes a rollup's results over packed rows, and the partial states that
 * are kept with them.  They stand in the job's order of metrics; all of a
 * metric's are in one part.
 */
static void
rollup_make_parts(Rollup *rollup)
{
	List	   *metrics = rollup->source->metrics;
	int			n = list_length(metrics);
	int		   *states = rollup_states(rollup);
	ResultMetric *results = palloc(n * sizeof(ResultMetric));	/* of all parts */
	ResultPart *part = NULL;
	ListCell   *lc;
	int			i;

	rollup->parts = palloc0(n * sizeof(ResultPart));
	foreach(lc, metrics)
	{
		JobMetric  *metric = ((SourceMetric *) lfirst(lc))->metric;
		int			state = states[rollup->metrics[foreach_current_index(lc)]->number];
		int			words = state_words(rollup->layout->fields[state]);
		ResultMetric *result;

		if (!rollup->refresh->keeps_states)
			words = 0;
		if (part == NULL || part->npositions + part->words + metric->naggregates + words >
			MAX_PART_RESULTS)
		{
			part = &rollup->parts[rollup->nparts++];
			part->metrics = results + foreach_current_index(lc);
		}
		result = &part->metrics[part->nmetrics++];
		result->state = state;
		result->job_metric = metric;
		result->first = part->npositions;
		part->npositions += metric->naggregates;
		part->words += words;
	}
	for (i = 0; i < rollup->nparts; i++)
		part_join_metrics(rollup->layout, &rollup->parts[i]);
}

/*
 * Finer before coarser; of equal ones, those first that have more to feed
 * others with.
 */
static int
rollup_compare(const ListCell *a, const ListCell *b)
{
	const Rollup *rollup_a = lfirst(a);
	const Rollup *rollup_b = lfirst(b);
	int64		length_a = granularity_length(&rollup_a->definition->granularity);
	int64		length_b = granularity_length(&rollup_b->definition->granularity);

	if (length_a != length_b)
		return length_a < length_b ? -1 : 1;
	if (rollup_a->words != rollup_b->words)
		return rollup_a->words > rollup_b->words ? -1 : 1;
	return rollup_a->definition->id < rollup_b->definition->id ? -1 : 1;
}

/*
 * Do the groups of `fine` have all that `coarse` needs?  States that are stored
 * have no more than that.
 */
static bool
rollup_covers(const Rollup *fine, const Rollup *coarse)
{
	int			n = list_length(fine->scan->metrics);
	int			i;

	for (i = 0; i < n; i++)
	{
		if (coarse->needs[i] == NOT_NEEDED)
			continue;
		if (fine->needs[i] == NOT_NEEDED || (coarse->needs[i] & ~fine->needs[i]) != 0)
			return false;
		if (coarse->refresh->keeps_states && coarse->needs[i] != fine->needs[i])
			return false;
	}
	return true;
}

/*
 * Are all rows of the coarse rollup up to its horizon in groups of the fine one
 * that have no others?
 */
static bool
horizons_fit(const Rollup *fine, const Rollup *coarse)
{
	TimestampTz horizon = coarse->horizon;

	if (fine->horizon == horizon)
		return true;
	return fine->horizon > horizon && !coarse->adds &&
		bucket_start(&fine->definition->granularity, fine->definition->tz, horizon) == horizon;
}

/*
 * Can `coarse` be merged from the groups of `fine` as far as history goes?  Groups that
 * outlive their rows are for who asks for that, and results must not depend on another
 * job's.
 */
static bool
histories_fit(const Rollup *fine, const Rollup *coarse)
{
	return !fine->definition->keep_history ||
		(coarse->definition->keep_history && fine->definition->job == coarse->definition->job);
}

/*
 * Can `coarse` be merged from the groups of `fine`?
 */
static bool
rollup_feeds(const Rollup *fine, const Rollup *coarse)
{
	return source_nests(fine->source, coarse->source) && horizons_fit(fine, coarse) &&
		histories_fit(fine, coarse) && rollup_covers(fine, coarse);
}

/*
 * Has a rollup of a scan fed from its rows.
 */
void
scan_add_fed(SourceScan *scan, Rollup *rollup)
{
	rollup->number = list_length(scan->fed);
	scan->fed = lappend(scan->fed, rollup);
}

/*
 * Finds for each rollup the coarsest one that can feed it; the others are fed from
 * rows.
 */
static void
scan_link_rollups(SourceScan *scan)
{
	int			n = list_length(scan->rollups);
	ListCell   *lc;
	int			i;
	int			j;

	list_sort(scan->rollups, rollup_compare);
	for (i = 1; i < n; i++)
	{
		Rollup	   *coarse = list_nth(scan->rollups, i);

		CHECK_FOR_INTERRUPTS();
		for (j = i - 1; j >= 0 && coarse->finer == NULL; j--)
		{
			Rollup	   *fine = list_nth(scan->rollups, j);

			if (!rollup_feeds(fine, coarse))
				continue;

			/* Of thousands with one granularity, the first feeds all: chains are short. */
			while (fine->finer && granularity_length(&fine->definition->granularity) ==
				   granularity_length(&fine->finer->definition->granularity) &&
				   rollup_feeds(fine->finer, coarse))
				fine = fine->finer;
			coarse->finer = fine;

			/* What it has for others again; its stored groups have no more. */
			if (!coarse->refresh->keeps_states)
				coarse->needs = fine->needs;
			fine->coarser = lappend(fine->coarser, coarse);
		}
	}
	scan_drop_idle(scan);
	foreach(lc, scan->rollups)
		if (((Rollup *) lfirst(lc))->finer == NULL)
			scan_add_fed(scan, lfirst(lc));
	Assert(scan->fed != NIL || scan->rollups == NIL);
}

/*
 * Drops the rollups of which nothing is to be recomputed and that do not feed any.
 */
static void
scan_drop_idle(SourceScan *scan)
{
	int			i;

	for (i = list_length(scan->rollups) - 1; i >= 0; i--)
	{
		Rollup	   *rollup = list_nth(scan->rollups, i);

		if (rollup->adds || rollup->refresh->extents->n > 0 || rollup->coarser != NIL)
			continue;
		if (rollup->finer != NULL)
			rollup->finer->coarser = list_delete_ptr(rollup->finer->coarser, rollup);
		scan->rollups = list_delete_nth_cell(scan->rollups, i);
	}
}

/* The part of some extents that begins in [from, to). */
static Extents *
extents_part(const Extents *extents, TimestampTz from, TimestampTz to)
{
	Extents    *part = extents_create();

	extents_add_all(part, extents);
	extents_clip(part, from, to);
	return part;
}

/*
 * About how many buckets of a rollup are those of single entities in a set?
 */
static double
count_entity_buckets(const Rollup *rollup, const Extents *extents)
{
	double		length = (double) granularity_length(&rollup->definition->granularity) *
	USECS_PER_MINUTE;
	double		n = 0;
	int			i;

	for (i = 0; i < extents->n; i++)
		if (extents->items[i].entity != NULL)
			n += (extents->items[i].to - extents->items[i].from) / length;
	return n;
}

/*
 * Adds a rollup's groups that these groups of a coarser one are made of to those
 * that are needed as they are stored.
 */
static void
rollup_add_stored(Rollup *rollup, Extents *coarse)
{
	const Definition *definition = rollup->definition;
	int			i;

	if (rollup->refresh->mixed || count_entity_buckets(rollup, coarse) > MAX_STORED_ENTITIES)
		extents_forget_entities(coarse);
	for (i = 0; i < coarse->n; i++)
	{
		const Extent *extent = &coarse->items[i];
		TimestampTz from = extent->from;
		TimestampTz to;

		if (extent->entity == NULL)
		{
			extents_add(rollup->stored, from, extent->to, NULL, 0);
			continue;
		}
		for (; from < extent->to; from = to)	/* each bucket by itself */
		{
			to = bucket_end(&definition->granularity, definition->tz, from);
			extents_add(rollup->stored, from, to, extent->entity, extent->entity_length);
		}
	}
}

/*
 * The groups of a rollup that are recomputed, and those of the buckets before that
 * this takes to be computed as well.
 */
static Extents *
rollup_computes(const Rollup *rollup)
{
	const Definition *definition = rollup->definition;
	const Extents *extents = rollup->refresh->extents;
	Extents    *result = extents_part(extents, DT_NOBEGIN, DT_NOEND);
	int			i;

	if (!history_looks_back(rollup->refresh))
		return result;
	for (i = 0; i < extents->n; i++)
	{
		const Extent *extent = &extents->items[i];

		if (extent->from != DT_NOBEGIN)
			extents_add(result, bucket_start(&definition->granularity, definition->tz,
											 extent->from - 1),
						extent->from, extent->entity, extent->entity_length);
	}
	extents_finish(result);
	return result;
}

/*
 * Divides the groups that coarser rollups need of one into those that are stored
 * and those that are not.  Returns the latter, and those that it computes itself.
 * Of those with history, what is stored is always needed.
 */
static Extents *
rollup_plan_needed(Rollup *rollup)
{
	Extents    *needed = rollup_computes(rollup);
	bool		all_stored = rollup_stores_history(rollup);
	ListCell   *lc;

	check_stack_depth();
	rollup->stored = extents_create();
	foreach(lc, rollup->coarser)
	{
		const Rollup *coarser = lfirst(lc);
		Extents    *all = rollup_plan_needed(lfirst(lc));

		extents_add_all(needed, extents_part(all, DT_NOBEGIN, rollup->stored_from));
		rollup_add_stored(rollup, extents_part(all, all_stored ? DT_NOBEGIN :
											   rollup->stored_from, coarser->horizon));
	}
	extents_finish(rollup->stored);
	return needed;
}

/*
 * Finds out what is read of the source for each rollup, and what of the store.
 * Rollups come after those that they are fed from.
 */
static void
scan_plan_reading(SourceScan *scan, bool writes)
{
	ListCell   *lc;

	foreach(lc, scan->rollups)
	{
		Rollup	   *rollup = lfirst(lc);
		const Rollup *finer;
		TimestampTz rows_before = DT_NOEND;

		rollup->stored_from = DT_NOEND;
		if (!rollup->adds && (writes || !rollup->refresh->additions))
			rollup->stored_from = rollup->refresh->states_from;
		for (finer = rollup->finer; finer != NULL; finer = finer->finer)
			rows_before = Min(rows_before, finer->stored_from);
		rollup->reads = extents_part(rollup_computes(rollup), DT_NOBEGIN, rows_before);
	}
	foreach(lc, scan->fed)
		(void) rollup_plan_needed(lfirst(lc));
}

/*
 * Does a scan read any rows of its source?
 */
bool
scan_reads_rows(const SourceScan *scan)
{
	ListCell   *lc;

	foreach(lc, scan->rollups)
		if (scan->adds || ((Rollup *) lfirst(lc))->reads->n > 0)
			return true;
	return false;
}
