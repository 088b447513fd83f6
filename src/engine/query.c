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
 * Where the plan is one scan of a table, it is then made to return the table's
 * rows as they are instead of projecting the columns that are asked for: the
 * receiver picks those itself, which saves the executor a tenth of its time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_attribute.h"
#include "nodes/makefuncs.h"
#include "parser/parse_collate.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

#include "catalog/filter.h"
#include "engine/query.h"

/* A query being built. */
typedef struct Builder
{
	ParseState *pstate;
	ParseNamespaceItem *source;
	List	   *columns;		/* of TargetEntry */
} Builder;

/* Adds a column to the query and returns its number. */
static int
add_expression(Builder *builder, Node *expr, const char *name)
{
	int			number = list_length(builder->columns);

	builder->columns = lappend(builder->columns,
							   makeTargetEntry((Expr *) expr, number + 1, pstrdup(name), false));
	return number;
}

/* Adds a column of the source; this also asks for the privilege to read it. */
static int
add_column(Builder *builder, AttrNumber column, const char *name)
{
	char	   *own_name = get_attname(builder->source->p_rte->relid, column, false);

	return add_expression(builder,
						  scanNSItemForColumn(builder->pstate, builder->source, 0, own_name, -1),
						  name);
}

/* Adds a column of values, and notes the type in which they arrive. */
static void
add_value(Builder *builder, ScanQuery *query, AttrNumber column, const char *name)
{
	query->value_types[query->nvalues] =
		getBaseType(get_atttype(builder->source->p_rte->relid, column));
	query->value_columns[query->nvalues++] = add_column(builder, column, name);
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
		const char *filter = rollup->definition->filter;

		if (rollup->finer != NULL)
			continue;
		if (rollup->source->id_column != InvalidAttrNumber)
		{
			rollup->id_input = shared_id(scan, rollup);
			if (rollup->id_input < 0)
				rollup->id_input = add_column(builder, rollup->source->id_column, "id");
		}
		if (!flags || filter == NULL)
			continue;
		rollup->filter_input = shared_filter(scan, filter);
		if (rollup->filter_input < 0)
			rollup->filter_input =
				add_expression(builder, filter_transform(builder->pstate, filter), "filter");
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
	query->time_column = add_column(builder, source->time_column, "time");
	query->name_column = source->layout == LAYOUT_ROW ?
		add_column(builder, source->name_column, "name") : -1;
	add_rollups(builder, scan);
	query->last_column = list_length(builder->columns) - 1;
}

/*
 * Builds the query of a scan, as the current user, under the current TimeZone
 * and search_path; sets the rollups' inputs.  ERROR where a filter is not
 * allowed.
 */
ScanQuery *
query_build(SourceScan *scan)
{
	const Source *source = scan->source;
	ScanQuery  *result = palloc0(sizeof(ScanQuery));
	Query	   *query = makeNode(Query);
	Relation	rel = table_open(source->relid, AccessShareLock);
	Builder		builder = {.pstate = make_parsestate(NULL)};
	Node	   *where = NULL;

	builder.source = addRangeTableEntryForRelation(builder.pstate, rel, AccessShareLock, NULL,
												   true, true);
	addNSItemToQuery(builder.pstate, builder.source, true, true, true);
	add_columns(&builder, result, scan);
	if (source->definition->filter != NULL && !filters_differ(scan))
		where = filter_transform(builder.pstate, source->definition->filter);

	query->commandType = CMD_SELECT;
	query->querySource = QSRC_ORIGINAL;
	query->canSetTag = true;
	query->targetList = builder.columns;
	query->rtable = builder.pstate->p_rtable;
#if PG_VERSION_NUM >= 160000
	query->rteperminfos = builder.pstate->p_rteperminfos;
#endif
	query->jointree = makeFromExpr(builder.pstate->p_joinlist, where);
	assign_query_collations(builder.pstate, query);
	free_parsestate(builder.pstate);
	table_close(rel, NoLock);

	result->query = query;
	result->text = pg_get_querydef(copyObject(query), true);
	return result;
}

/*
 * Plans a scan's query, serially, as the current user.  ERROR where the user
 * may not read a column is left to the executor.
 */
PlannedStmt *
query_plan(const ScanQuery *query)
{
	List	   *rewritten = QueryRewrite(copyObject(query->query));

	/* A SELECT becomes one SELECT, as no rule can say otherwise for it. */
	return pg_plan_query(linitial_node(Query, rewritten), query->text, 0, NULL);
}

/*
 * The columns of a table as a target list; NIL where its rows cannot be
 * returned as they are, because a column was dropped, or added without a
 * rewrite, or is computed on reading.
 */
static List *
table_columns(Relation rel, Index relid)
{
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *columns = NIL;
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);
		Var		   *var = makeVar(relid, i + 1, column->atttypid, column->atttypmod,
								  column->attcollation, 0);

		if (column->attisdropped || column->atthasmissing)
			return NIL;
		if (column->attgenerated != '\0' && column->attgenerated != ATTRIBUTE_GENERATED_STORED)
			return NIL;
		columns = lappend(columns, makeTargetEntry((Expr *) var, i + 1,
												   pstrdup(NameStr(column->attname)), false));
	}
	return columns;
}

/* Number of the table's column that the plan's column is, from 0; -1: none. */
static int
table_column(const Plan *plan, int column)
{
	const TargetEntry *entry = list_nth(plan->targetlist, column);

	if (!IsA(entry->expr, Var) || ((Var *) entry->expr)->varattno <= 0)
		return -1;
	return ((Var *) entry->expr)->varattno - 1;
}

static void
move_column(ScanQuery *query, const Plan *plan, int *column)
{
	*column = table_column(plan, *column);
	query->last_column = Max(query->last_column, *column);
}

/*
 * Makes a plan that only scans a table return the table's rows as they are, and
 * moves the numbers of the query's columns accordingly.  Leaves other plans
 * alone.
 */
void
query_take_table_rows(ScanQuery *query, SourceScan *scan, PlannedStmt *stmt)
{
	Plan	   *plan = stmt->planTree;
	List	   *columns;
	Index		relid;
	Relation	rel;
	int			i;
	ListCell   *lc;

	if (!IsA(plan, SeqScan) && !IsA(plan, IndexScan) && !IsA(plan, BitmapHeapScan))
		return;
	for (i = 0; i < list_length(plan->targetlist); i++)
		if (table_column(plan, i) < 0)
			return;
	relid = ((Scan *) plan)->scanrelid;
	rel = table_open(rt_fetch(relid, stmt->rtable)->relid, NoLock);
	columns = table_columns(rel, relid);
	table_close(rel, NoLock);
	if (columns == NIL)
		return;

	query->table = rt_fetch(relid, stmt->rtable)->relid;
	query->last_column = 0;
	for (i = 0; i < query->nvalues; i++)
		move_column(query, plan, &query->value_columns[i]);
	move_column(query, plan, &query->time_column);
	if (query->name_column >= 0)
		move_column(query, plan, &query->name_column);
	foreach(lc, scan->rollups)
	{
		Rollup	   *rollup = lfirst(lc);

		if (rollup->id_input >= 0)
			move_column(query, plan, &rollup->id_input);
		if (rollup->filter_input >= 0)	/* the filter is a boolean column */
			move_column(query, plan, &rollup->filter_input);
	}
	plan->targetlist = columns;
}
