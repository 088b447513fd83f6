/*-------------------------------------------------------------------------
 *
 * query.c
 *	  The query by which a scan reads its source.
 *
 * PostgreSQL reads, and we aggregate.  A scan is a query without aggregates,
 *
 *	  SELECT m1, ..., mN, time, id [, filter flags] FROM source [WHERE filter]
 *
 * which is built as a tree, never as text, and goes through the rewriter, the
 * planner and the executor as any other.  So views, partitions, foreign
 * tables, privileges, row-level security and every access method work as
 * everywhere, and the filter, analysed as part of the same tree, can use an
 * index.
 *
 * Where not all of the source is to be read (needed.c), there are several ways to say what
 * is: as a few ranges of time; as one range, in which the receiver passes over
 * what nobody asked for; or as a join with the entities whose groups are to be
 * read, each with its range of time.  Which is best depends on how much there
 * is and which indexes there are, and that is the planner's to say: each way is
 * planned, and the cheapest taken.  Of the join, the planner could only guess
 * how many rows each entity has in its range; so what one of them costs by
 * itself is asked instead, and the join is made as a loop over them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>

#include "access/table.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "optimizer/clauses.h"
#include "parser/parse_collate.h"
#include "parser/parse_relation.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

#include "group/entity.h"
#include "model/ext.h"
#include "read/builder.h"
#include "read/needed.h"
#include "read/query.h"
#include "read/tablerows.h"
#include "source/filter.h"

/* Entities that a query's text shows. */
#define MAX_SHOWN_ENTITIES 3

/* Adds a column of values, and notes the type in which they arrive. */
static void
add_value(Builder *builder, ScanQuery *query, AttrNumber column, const char *name)
{
	query->value_types[query->nvalues] =
		getBaseType(get_atttype(builder->source->p_rte->relid, column));
	query->value_columns[query->nvalues++] = builder_add_column(builder, column, name);
}

/*
 * Does any rollup have another filter than the scan's first?
 */
static bool
filters_differ(const SourceScan *scan)
{
	const char *filter = scan->source->definition->filter;
	ListCell   *lc;

	foreach(lc, scan->rollups)
	{
		const char *other = ((Rollup *) lfirst(lc))->definition->filter;

		if ((filter == NULL) != (other == NULL) ||
			(filter != NULL && strcmp(filter, other) != 0))
			return true;
	}
	return false;
}

/* The id column, if another rollup has asked for the same already; else -1. */
static int
shared_id(const SourceScan *scan, const Rollup *rollup)
{
	ListCell   *lc;

	foreach(lc, scan->rollups)
	{
		const Rollup *other = lfirst(lc);

		if (other->source->id_column == rollup->source->id_column && other->id_input >= 0)
			return other->id_input;
	}
	return -1;
}

/* The flag of a filter, if another rollup has asked for the same already; else -1. */
static int
shared_filter(const SourceScan *scan, const char *filter)
{
	ListCell   *lc;

	foreach(lc, scan->rollups)
	{
		const Rollup *other = lfirst(lc);

		if (other->filter_input >= 0 && strcmp(other->definition->filter, filter) == 0)
			return other->filter_input;
	}
	return -1;
}

/*
 * Adds the columns that each rollup fed from rows has for itself: its id, and
 * its filter as a flag where the scan's rollups have different ones.
 */
static void
add_rollups(Builder *builder, SourceScan *scan)
{
	bool		flags = filters_differ(scan);
	ListCell   *lc;

	foreach(lc, scan->rollups)
	{
		Rollup	   *rollup = lfirst(lc);

		rollup->id_input = rollup->filter_input = -1;
	}
	foreach(lc, scan->rollups)
	{
		Rollup	   *rollup = lfirst(lc);
		const char *filter = rollup->definition->filter;

		if (rollup->finer != NULL)
			continue;
		if (rollup->source->id_column != InvalidAttrNumber)
		{
			rollup->id_input = shared_id(scan, rollup);
			if (rollup->id_input < 0)
				rollup->id_input = builder_add_column(builder, rollup->source->id_column, "id");
		}
		if (!flags || filter == NULL)
			continue;
		rollup->filter_input = shared_filter(scan, filter);
		if (rollup->filter_input < 0)
			rollup->filter_input =
				builder_add(builder, filter_transform(builder->pstate, filter), "filter");
	}
}

static void
add_columns(Builder *builder, ScanQuery *query, SourceScan *scan)
{
	const Source *source = scan->source;
	ListCell   *lc;

	query->value_types = palloc(list_length(scan->metrics) * sizeof(Oid));
	query->value_columns = palloc(list_length(scan->metrics) * sizeof(int));
	if (source->layout == LAYOUT_COLUMN)
		foreach(lc, scan->metrics)
		{
			const ScanMetric *metric = lfirst(lc);

			add_value(builder, query, metric->column, metric->name);
		}
	else
		add_value(builder, query, source->value_column, "value");

	query->time_type = getBaseType(get_atttype(source->relid, source->time_column));
	query->time_column = builder_add_column(builder, source->time_column, "time");
	query->name_column = source->layout == LAYOUT_ROW ?
		builder_add_column(builder, source->name_column, "name") : -1;
	add_rollups(builder, scan);
}

/*
 * Builds a query of a scan that reads what is needed in the given way, as the
 * current user, under the current TimeZone and search_path; sets the rollups'
 * inputs.  ERROR where a filter is not allowed.
 */
static ScanQuery *
query_build(SourceScan *scan, Reading reading, int max_entities)
{
	const Source *source = scan->source;
	ScanQuery  *result = palloc0(sizeof(ScanQuery));
	Query	   *query = makeNode(Query);
	Relation	rel = table_open(source->relid, AccessShareLock);
	Builder		builder = {.pstate = make_parsestate(NULL)};
	List	   *where = NIL;
	Node	   *needed;
	ListCell   *lc;

	result->reading = reading;
	result->query = query;
	foreach(lc, scan->rollups)
		source_check_columns(((Rollup *) lfirst(lc))->source);
	builder.source = addRangeTableEntryForRelation(builder.pstate, rel, AccessShareLock, NULL,
												   true, true);
	addNSItemToQuery(builder.pstate, builder.source, true, true, true);
	add_columns(&builder, result, scan);
	if (source->definition->filter != NULL && !filters_differ(scan))
		where = lappend(where, filter_transform(builder.pstate, source->definition->filter));
	needed = needed_rows(&builder, result, scan, max_entities);
	if (needed != NULL)
		where = lappend(where, needed);

	query->commandType = CMD_SELECT;
	query->querySource = QSRC_ORIGINAL;
	query->canSetTag = true;
	query->targetList = builder.columns;
	query->rtable = builder.pstate->p_rtable;
#if PG_VERSION_NUM >= 160000
	query->rteperminfos = builder.pstate->p_rteperminfos;
#endif
	query->jointree = makeFromExpr(builder.pstate->p_joinlist, where ? builder_all_of(where) : NULL);
	assign_query_collations(builder.pstate, query);
	free_parsestate(builder.pstate);
	table_close(rel, NoLock);
	return result;
}

/*
 * A scan's query as SQL, for people: of the many entities that it may name, only
 * the first are in it.
 */
char *
query_text(SourceScan *scan, const ScanQuery *query)
{
	const ScanQuery *shown = query_build(scan, query->reading, MAX_SHOWN_ENTITIES);
	char	   *text = pg_get_querydef(shown->query, true);

	return query->nentities <= MAX_SHOWN_ENTITIES ? text :
		psprintf("%s -- and %d more", text, query->nentities - MAX_SHOWN_ENTITIES);
}

/* Settings under which a join with entities is a loop over them. */
static const char *const loop_settings[] = {"enable_hashjoin", "enable_mergejoin"};

/*
 * Plans a scan's query, for one process to execute, as the current user.  ERROR
 * where the user may not read a column is left to the executor.
 */
static void
query_plan(ScanQuery *query)
{
	List	   *rewritten = QueryRewrite(copyObject(query->query));
	int			level = NewGUCNestLevel();
	int			i;

	if (query->reading == READ_ENTITIES)
		for (i = 0; i < lengthof(loop_settings); i++)
			ext_set(loop_settings[i], "off");

	/* The planner changes the query. */
	if (query->reading == READ_ALL)
		query->parallel_safe =
			max_parallel_hazard(linitial_node(Query, rewritten)) == PROPARALLEL_SAFE;

	/* A SELECT becomes one SELECT, as no rule can say otherwise for it. */
	query->plan = pg_plan_query(linitial_node(Query, rewritten), QUERY_NAME, 0, NULL);
	AtEOXact_GUC(false, level);
}

/*
 * Are rows read for single groups alone, of entities by the same id?
 */
bool
query_is_of_entities(const SourceScan *scan)
{
	const Rollup *first = linitial(scan->rollups);
	ListCell   *lc;

	if (scan->adds)
		return false;
	foreach(lc, scan->rollups)
	{
		const Rollup *rollup = lfirst(lc);

		if (rollup->reads->nentities < rollup->reads->n ||
			rollup->source->id_column != first->source->id_column)
			return false;
	}
	return true;
}

/* Does any rollup of a scan need everything? */
static bool
scan_needs_everything(const SourceScan *scan)
{
	ListCell   *lc;

	foreach(lc, scan->rollups)
		if (extents_are_everything(((Rollup *) lfirst(lc))->reads))
			return true;
	return false;
}

/* Does a plan read a whole table, or a whole partition? */
static bool
plan_reads_whole_table(const Plan * plan)
{
	ListCell   *lc;

	if (plan == NULL)
		return false;
	if (IsA(plan, SeqScan))
		return true;
	if (IsA(plan, Append))
		foreach(lc, ((const Append *) plan)->appendplans)
			if (plan_reads_whole_table(lfirst(lc)))
				return true;
	return plan_reads_whole_table(plan->lefttree) || plan_reads_whole_table(plan->righttree);
}

/*
 * What a query costs.  A loop over entities costs what one of them does, as often
 * as there are; without an index it is out of the question.
 */
static double
query_cost(const ScanQuery *query)
{
	double		cost = query->plan->planTree->total_cost;

	if (query->reading != READ_ONE_ENTITY)
		return cost;
	if (plan_reads_whole_table(query->plan->planTree))
		return DBL_MAX;
	return cost * query->nentities;
}

/*
 * The numbers of columns that a query and its rollups have, to be changed: pointers to
 * int.  (The filter is a boolean column.)
 */
static List *
query_columns(ScanQuery *query, const SourceScan *scan)
{
	List	   *columns = list_make1(&query->time_column);
	ListCell   *lc;
	int			i;

	for (i = 0; i < query->nvalues; i++)
		columns = lappend(columns, &query->value_columns[i]);
	if (query->name_column >= 0)
		columns = lappend(columns, &query->name_column);
	foreach(lc, scan->rollups)
	{
		Rollup	   *rollup = lfirst(lc);

		if (rollup->id_input >= 0)
			columns = lappend(columns, &rollup->id_input);
		if (rollup->filter_input >= 0)
			columns = lappend(columns, &rollup->filter_input);
	}
	return columns;
}

/*
 * The query of a scan, built and planned in the cheapest of the ways that there
 * are, and returning its tables' rows as they are where it can; sets the rollups'
 * inputs.  As the current user, under the current TimeZone and search_path.  ERROR
 * where a filter is not allowed.
 */
ScanQuery *
query_choose(SourceScan *scan)
{
	Reading		readings[3];
	int			n = 0;
	ScanQuery  *best = NULL;
	int			i;

	if (scan->adds)
		readings[n++] = READ_NEW;
	else if (scan_needs_everything(scan))
		readings[n++] = READ_ALL;
	else
	{
		readings[n++] = READ_RANGE;
		readings[n++] = READ_RANGES;
		if (query_is_of_entities(scan))
			readings[n++] = READ_ONE_ENTITY;
	}
	for (i = 0; i < n; i++)
	{
		ScanQuery  *query = query_build(scan, readings[i], INT_MAX);

		query_plan(query);
		if (best == NULL || query_cost(query) < query_cost(best))
			best = query;
	}
	if (best->reading == READ_ONE_ENTITY)
	{
		best = query_build(scan, READ_ENTITIES, INT_MAX);
		query_plan(best);
	}
	best->table = take_table_rows(best->plan, query_columns(best, scan));
	return best;
}

/* query_leaves(), for a part of the plan. */
static bool
collect_leaves(const Plan * plan, List **leaves)
{
	ListCell   *lc;

	if (plan == NULL)
		return false;
	switch (nodeTag(plan))
	{
		case T_SeqScan:
			*leaves = lappend_int(*leaves, ((const Scan *) plan)->scanrelid);
			return true;
		case T_Append:
			foreach(lc, ((const Append *) plan)->appendplans)
				if (!collect_leaves(lfirst(lc), leaves))
					return false;
			return true;
		case T_SubqueryScan:
			return collect_leaves(((const SubqueryScan *) plan)->subplan, leaves);
		case T_Result:
			return collect_leaves(plan->lefttree, leaves);
		default:
			return false;
	}
}

/*
 * Sets *leaves to the tables that a query's plan scans, by their indexes in the
 * range table, in the order in which they are met.  Returns false where the plan
 * does anything else than to scan whole tables, one after the other.
 */
bool
query_leaves(const ScanQuery *query, List **leaves)
{
	*leaves = NIL;
	return query->plan->subplans == NIL && collect_leaves(query->plan->planTree, leaves);
}

/*
 * Is everything asked for, by all rollups, and read?
 */
bool
scan_is_of_everything(const SourceScan *scan, const ScanQuery *query)
{
	ListCell   *lc;

	if (query->reading != READ_ALL)
		return false;
	foreach(lc, scan->rollups)
		if (!extents_are_everything(((Rollup *) lfirst(lc))->reads))
			return false;
	return true;
}

/* Are values of a column that are equal the same text? */
static bool
column_prints_alike(Oid relid, AttrNumber column)
{
	Oid			type;
	int32		typmod;
	Oid			collation;

	if (column == InvalidAttrNumber)
		return true;
	get_atttypetypmodcoll(relid, column, &type, &typmod, &collation);
	return entities_print_alike(type, collation);
}

/*
 * Why results depend on the order in which a scan meets its rows; NULL: they do
 * not.
 */
const char *
scan_order_matters(const SourceScan *scan)
{
	ListCell   *lc;

	foreach(lc, scan->rollups)
	{
		const Source *source = ((Rollup *) lfirst(lc))->source;

		if (!column_prints_alike(source->relid, source->id_column))
			return "ids that are equal may be printed differently";
	}
	if (scan->source->layout == LAYOUT_ROW &&
		!column_prints_alike(scan->source->relid, scan->source->name_column))
		return "names of metrics that are equal may be printed differently";
	return NULL;
}
