/*-------------------------------------------------------------------------
 *
 * explain.c
 *	  What a run of a job would do: its scans, and what each of them feeds.
 *
 * The job is resolved and planned as for a run, and nothing is read but the
 * catalogues.  The query shown is the one that a run gives to the planner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "nodes/plannodes.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "model/job.h"
#include "model/owner.h"
#include "plan/plan.h"
#include "read/early.h"
#include "read/parallel.h"
#include "read/query.h"
#include "refresh/refreshes.h"
#include "run/explain.h"
#include "run/run.h"

/* A condition that keeps a smaller part of the rows is worth an index. */
#define SELECTIVE 0.05

typedef struct Explanation
{
	List	   *lines;
	int			scan;
	bool		same_metrics;	/* all rollups of the scan have the same */
} Explanation;

static void
add_line(Explanation *explanation, int32 definition_id, const char *item, char *value)
{
	ExplainLine *line = palloc(sizeof(ExplainLine));

	line->scan = explanation->scan;
	line->definition_id = definition_id;
	line->item = item;
	line->value = value;
	explanation->lines = lappend(explanation->lines, line);
}

/* A column's name and type, for people. */
static char *
column_text(const Source *source, AttrNumber column)
{
	Oid			type;
	int32		typmod;
	Oid			collation;

	get_atttypetypmodcoll(source->relid, column, &type, &typmod, &collation);
	return psprintf("%s (%s)", quote_identifier(get_attname(source->relid, column, false)),
					format_type_with_typemod(type, typmod));
}

/* The metrics of a rollup, for people. */
static char *
metrics_text(const Source *source)
{
	StringInfoData text;
	ListCell   *lc;

	initStringInfo(&text);
	foreach(lc, source->metrics)
	{
		const SourceMetric *metric = lfirst(lc);

		appendStringInfo(&text, "%s%s", text.len > 0 ? ", " : "", metric->metric->name);
		if (source->layout == LAYOUT_COLUMN)
			appendStringInfo(&text, " = %s", column_text(source, metric->column));
		else if (strcmp(metric->row_name, metric->metric->name) != 0)
			appendStringInfo(&text, " = rows named %s", quote_literal_cstr(metric->row_name));
	}
	return text.data;
}

/*
 * Do all rollups of a scan have the same metrics?  A metric that is mapped to
 * several tables leads the definitions of a job to different ones.
 */
static bool
metrics_same(const SourceScan *scan)
{
	ListCell   *lc;

	foreach(lc, scan->rollups)
	{
		const Source *source = ((Rollup *) lfirst(lc))->source;
		ListCell   *lc1;
		ListCell   *lc2;

		if (list_length(source->metrics) != list_length(scan->source->metrics))
			return false;
		forboth(lc1, source->metrics, lc2, scan->source->metrics)
			if (((SourceMetric *) lfirst(lc1))->metric != ((SourceMetric *) lfirst(lc2))->metric)
			return false;
	}
	return true;
}

static void
explain_source(Explanation *explanation, const SourceScan *scan)
{
	const Source *source = scan->source;

	add_line(explanation, 0, "source", source->name);
	if (source->layout == LAYOUT_COLUMN)
		add_line(explanation, 0, "layout", "column: a metric is a column");
	else
		add_line(explanation, 0, "layout",
				 psprintf("row: a metric is a row, named by %s, with its value in %s",
						  column_text(source, source->name_column),
						  column_text(source, source->value_column)));
	add_line(explanation, 0, "time column", column_text(source, source->time_column));
	if (explanation->same_metrics)
		add_line(explanation, 0, "metrics", metrics_text(source));
}

/* Names of the columns that a query's filter needs. */
static char *
filter_columns(const ScanQuery *query, Oid relid)
{
	Bitmapset  *columns = NULL;
	StringInfoData text;
	int			member = -1;

	pull_varattnos(query->query->jointree->quals, 1, &columns);
	initStringInfo(&text);
	while ((member = bms_next_member(columns, member)) >= 0)
		appendStringInfo(&text, "%s%s", text.len > 0 ? ", " : "",
						 quote_identifier(get_attname(relid, member + FirstLowInvalidHeapAttributeNumber,
													  false)));
	return text.data;
}

/* Rows of a relation by its statistics, -1: unknown. */
static double
relation_rows(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	double		rows;

	if (!HeapTupleIsValid(tuple))
		return -1;
	rows = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
	ReleaseSysCache(tuple);
	return rows;
}

/* Is the whole table read for a small part of its rows? */
static bool
reads_too_much(const SourceScan *scan, const ScanQuery *query)
{
	const		Plan *plan = query->plan->planTree;
	double		rows = relation_rows(scan->source->relid);

	return IsA(plan, SeqScan) && rows > 0 && plan->plan_rows <= rows * SELECTIVE;
}

/*
 * Which index would save most of the reading?
 */
static void
explain_missing_index(Explanation *explanation, const SourceScan *scan, const ScanQuery *query)
{
	const Source *source = scan->source;
	const Rollup *first = linitial(scan->rollups);
	const char *time = quote_identifier(get_attname(source->relid, source->time_column, false));

	if (query_is_of_entities(scan) && query->reading != READ_ENTITIES)
		add_line(explanation, 0, "hint",
				 psprintf("Rows of all entities are read for %d groups: an index on (%s, %s) would help.",
						  first->reads->n,
						  quote_identifier(get_attname(source->relid, source->id_column, false)),
						  time));
	else if (!reads_too_much(scan, query))
		return;
	else if (query->reading == READ_NEW)
		add_line(explanation, 0, "hint",
				 psprintf("All rows are read for the new ones: an index on (%s) would help.",
						  quote_identifier(first->refresh->tracking->xid_column)));
	else if (query->reading != READ_ALL)
		add_line(explanation, 0, "hint",
				 psprintf("All rows are read for a part of the time: an index on (%s) would help.",
						  time));
	else if (query->query->jointree->quals != NULL)
		add_line(explanation, 0, "hint",
				 psprintf("The filter keeps about %.0f of %.0f rows: an index on (%s) would help.",
						  query->plan->planTree->plan_rows, relation_rows(source->relid),
						  filter_columns(query, source->relid)));
}

/*
 * How many workers help to read a large source, or why there are none.
 */
static void
explain_parallel(Explanation *explanation, const SourceScan *scan, const ScanQuery *query)
{
	const char *obstacle;
	int			workers = parallel_workers(scan, query, &obstacle);

	if (workers > 0)
		add_line(explanation, 0, "parallel",
				 psprintf("%d %s, if there are so many to be had", workers,
						  workers == 1 ? "worker" : "workers"));
	else if (obstacle != NULL)
		add_line(explanation, 0, "parallel", psprintf("no workers, because %s", obstacle));
}

/*
 * Whether groups leave while the source is read.
 */
static void
explain_order(Explanation *explanation, const SourceScan *scan, const ScanQuery *query)
{
	if (scan_may_store_early(scan, query))
		add_line(explanation, 0, "order",
				 "rows are in the order of time: groups are stored while others are read");
}

static void
explain_query(Explanation *explanation, SourceScan *scan)
{
	ScanQuery  *query;
	const		Plan *plan;

	if (!scan_reads_rows(scan))
	{
		add_line(explanation, 0, "query", "none: all that is needed is stored");
		return;
	}
	query = query_choose(scan);
	plan = query->plan->planTree;
	add_line(explanation, 0, "query", query_text(scan, query));
	add_line(explanation, 0, "estimate",
			 psprintf("%.0f rows, cost %.0f", plan->plan_rows, plan->total_cost));
	explain_order(explanation, scan, query);
	explain_parallel(explanation, scan, query);
	explain_missing_index(explanation, scan, query);
}

/* What a mode goes by, for a source. */
static char *
mode_text(const Refresh *refresh)
{
	const char *source = refresh->source->name;

	switch (refresh->mode)
	{
		case REFRESH_FULL:
			return psprintf("full: every row of %s up to the horizon is read", source);
		case REFRESH_LOG:
			return psprintf("log: what writers of %s have marked is recomputed", source);
		case REFRESH_SNAPSHOT:
			return psprintf("snapshot: %s, what its writers have marked is recomputed",
							refresh->keeps_states ?
							psprintf("new rows of %s are added", source) :
							psprintf("groups with new rows of %s are recomputed", source));
		case REFRESH_LOOKBACK:
			return psprintf("lookback: what is younger is recomputed from %s", source);
	}
	pg_unreachable();
}

/* How much is recomputed. */
static char *
extents_text(const Extents *extents)
{
	const Extent *first = extents->items;
	const Extent *last = &extents->items[extents->n - 1];

	if (extents->n == 0)
		return "nothing";
	if (extents_are_everything(extents))
		return "everything";
	return psprintf("%d ranges of buckets and %d single groups, between %s and %s",
					extents->n - extents->nentities, extents->nentities,
					pstrdup(timestamptz_to_str(first->from)),
					pstrdup(timestamptz_to_str(last->to)));
}

/*
 * How a source is read for a definition, and what is brought up to date.
 */
static void
explain_refresh(Explanation *explanation, const Refresh *refresh)
{
	int32		definition_id = refresh->source->definition->id;

	add_line(explanation, definition_id, "mode",
			 refresh->reason == NULL ? mode_text(refresh) :
			 psprintf("%s; but now everything is, because %s", mode_text(refresh),
					  refresh->reason));
	add_line(explanation, definition_id, "recomputed", extents_text(refresh->extents));
}

static void
explain_rollup(Explanation *explanation, const Rollup *rollup)
{
	const Definition *definition = rollup->definition;
	const Source *source = rollup->source;
	int			results = 0;
	ListCell   *lc;
	int			i;

	for (i = 0; i < rollup->nparts; i++)
		results += rollup->parts[i].npositions;

	if (!explanation->same_metrics)
		add_line(explanation, definition->id, "metrics", metrics_text(source));
	foreach(lc, source->passed_over)
	{
		const SourceMapping *mapping = lfirst(lc);

		add_line(explanation, definition->id, "mapping",
				 psprintf("that of metric \"%s\" to %s is not followed, because the entity, %s, has the metric",
						  mapping->metric_name, mapping->table_name, source->name));
	}
	add_line(explanation, definition->id, "groups",
			 psprintf("one a %s bucket (%s)%s%s", definition->granularity_text,
					  definition->timezone,
					  source->id_column != InvalidAttrNumber ? " and " : ", over all rows",
					  source->id_column != InvalidAttrNumber ?
					  column_text(source, source->id_column) : ""));
	add_line(explanation, definition->id, "rows",
			 psprintf("before %s (run time less %d hours)%s%s",
					  timestamptz_to_str(rollup->horizon), definition->job_delay,
					  definition->filter ? " where " : "",
					  definition->filter ? definition->filter : ""));
	add_line(explanation, definition->id, "computed from",
			 rollup->finer ?
			 psprintf("the groups of definition %d%s", rollup->finer->definition->id,
					  rollup->finer->stored->n > 0 ? ", stored ones where they have not changed" : "") :
			 "the rows");
	add_line(explanation, definition->id, "results",
			 psprintf("%d a group, in %d stored %s%s", results, rollup->nparts,
					  rollup->nparts == 1 ? "row" : "rows",
					  definition->complete_only ? "; complete buckets only" : ""));
}

/*
 * Explains what a run of the job would do now: a list of ExplainLine.  ERROR
 * as a run, where the job or its sources have a problem.
 */
List *
explain_job(int32 job_id)
{
	Problems	raise = {.collect = false};
	Explanation explanation = {NIL};
	MemoryContext caller = CurrentMemoryContext;
	Job		   *job;
	List	   *sources;
	List	   *refreshes;
	ListCell   *lc;

	job = job_load(job_id, &raise);
	add_line(&explanation, 0, "job",
			 psprintf("%d%s%s, event %s%s, owner %s", job->id, job->name ? " " : "",
					  job->name ? job->name : "", job->event_name,
					  job->enabled ? "" : " (disabled)", quote_identifier(job->owner_name)));
	sources = job_sources(job, &raise);
	refreshes = refreshes_plan(sources, GetCurrentStatementStartTimestamp(), false);
	foreach(lc, refreshes)
		explain_refresh(&explanation, lfirst(lc));
	foreach(lc, plan_scans(refreshes, true))
	{
		SourceScan *scan = lfirst(lc);
		OwnerScope	scope;
		ListCell   *lc2;

		explanation.scan++;
		foreach(lc2, scan->rollups)
			source_check_columns(((Rollup *) lfirst(lc2))->source);
		explanation.same_metrics = metrics_same(scan);
		explain_source(&explanation, scan);
		owner_enter(&scope, job, scan->timezone);
		PG_TRY();
		{
			explain_query(&explanation, scan);
		}
		PG_CATCH();
		{
			owner_rethrow(caller);
		}
		PG_END_TRY();
		owner_leave(&scope);
		foreach(lc2, scan->rollups)
			explain_rollup(&explanation, lfirst(lc2));
	}
	sources_close(sources);
	return explanation.lines;
}
