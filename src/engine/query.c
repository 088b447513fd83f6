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
 * Where not all of the source is to be read, there are several ways to say what
 * is: as a few ranges of time; as one range, in which the receiver passes over
 * what nobody asked for; or as a join with the entities whose groups are to be
 * read, each with its range of time.  Which is best depends on how much there
 * is and which indexes there are, and that is the planner's to say: each way is
 * planned, and the cheapest taken.
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
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "parser/parse_collate.h"
#include "parser/parse_oper.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "catalog/filter.h"
#include "engine/entity.h"
#include "engine/query.h"
#include "time/zone.h"

/* More ranges of time than these would cost a scan more than they save it. */
#define MAX_RANGES 32

/* Entities that a query's text shows. */
#define MAX_SHOWN_ENTITIES 3

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
 * An instant as a value of the source's time column, for a condition on it:
 * of local time and in zone tz, the least value that may stand for the instant
 * or a later one; with `after`, the least that stands for later ones only.
 */
static int64
raw_time(const ScanQuery *query, const pg_tz *tz, TimestampTz t, bool after)
{
	int64		least;
	int64		greatest;

	if (t < MIN_TIMESTAMP || t == DT_NOBEGIN)
		return DT_NOBEGIN;
	if (!IS_VALID_TIMESTAMP(t))
		return DT_NOEND;
	if (query->time_type == TIMESTAMPTZOID)
		return t;
	zone_offsets_near(tz, t, &least, &greatest);
	t += after ? greatest : least;
	if (query->time_type == DATEOID)
		t = floor_div(t + (after ? USECS_PER_DAY - 1 : 0), USECS_PER_DAY) * USECS_PER_DAY;
	return IS_VALID_TIMESTAMP(t) ? t : (after ? DT_NOEND : DT_NOBEGIN);
}

/* A value of the source's time column in an expression. */
static Node *
time_const(const ScanQuery *query, int64 raw)
{
	if (query->time_type == DATEOID)
		return (Node *) makeConst(DATEOID, -1, InvalidOid, sizeof(DateADT),
								  DateADTGetDatum(floor_div(raw, USECS_PER_DAY)), false, true);
	return (Node *) makeConst(query->time_type, -1, InvalidOid, sizeof(int64),
							  TimestampTzGetDatum(raw), false, FLOAT8PASSBYVAL);
}

/* left operator right, with PostgreSQL's own operator. */
static Node *
compare(const Builder *builder, const char *operator, Node *left, Node *right)
{
	return (Node *) make_op(builder->pstate,
							list_make2(makeString("pg_catalog"), makeString(pstrdup(operator))),
							left, right, NULL, -1);
}

static Node *
all_of(List *conditions)
{
	return list_length(conditions) == 1 ? linitial(conditions) :
		(Node *) makeBoolExpr(AND_EXPR, conditions, -1);
}

static Node *
any_of(List *conditions)
{
	return list_length(conditions) == 1 ? linitial(conditions) :
		(Node *) makeBoolExpr(OR_EXPR, conditions, -1);
}

/* A column of the source in an expression. */
static Node *
source_column(const Builder *builder, AttrNumber column)
{
	return scanNSItemForColumn(builder->pstate, builder->source, 0,
							   get_attname(builder->source->p_rte->relid, column, false), -1);
}

/*
 * The ranges of time that a scan's rollups need, as values of the time column:
 * at most `max`.
 */
static Extents *
scan_ranges(const ScanQuery *query, const SourceScan *scan, int max)
{
	Extents    *ranges = extents_create();
	ListCell   *lc;
	int			i;

	foreach(lc, scan->rollups)
	{
		const Rollup *rollup = lfirst(lc);
		const Extents *extents = rollup->refresh->extents;

		for (i = 0; i < extents->n; i++)
			extents_add(ranges,
						raw_time(query, rollup->definition->tz, extents->items[i].from, false),
						raw_time(query, rollup->definition->tz, extents->items[i].to, true),
						NULL, 0);
	}
	extents_finish(ranges);
	extents_bridge(ranges, max);
	return ranges;
}

/*
 * The condition that a row's time is in one of these ranges; NULL: any is.
 */
static Node *
time_in_ranges(const Builder *builder, const ScanQuery *query, const SourceScan *scan,
			   const Extents *ranges)
{
	List	   *alternatives = NIL;
	int			i;

	for (i = 0; i < ranges->n; i++)
	{
		const Extent *range = &ranges->items[i];
		List	   *bounds = NIL;

		if (range->from != DT_NOBEGIN)
			bounds = lappend(bounds, compare(builder, ">=",
											 source_column(builder, scan->source->time_column),
											 time_const(query, range->from)));
		if (range->to != DT_NOEND)
			bounds = lappend(bounds, compare(builder, "<",
											 source_column(builder, scan->source->time_column),
											 time_const(query, range->to)));
		if (bounds == NIL)
			return NULL;
		alternatives = lappend(alternatives, all_of(bounds));
	}
	return any_of(alternatives);
}

/* A transaction's id in an expression. */
static Node *
xid_const(Datum xid)
{
	return (Node *) makeConst(XID8OID, -1, InvalidOid, sizeof(uint64), xid, false,
							  FLOAT8PASSBYVAL);
}

/*
 * The condition that a row is new since the cursor of a scan's rollups: it was
 * inserted since, or its time had not come.
 */
static Node *
row_is_new(const Builder *builder, const ScanQuery *query, const SourceScan *scan)
{
	const Refresh *refresh = ((Rollup *) linitial(scan->rollups))->refresh;
	const Cursor *cursor = refresh->cursor;
	AttrNumber	xid_column = get_attnum(scan->source->relid, refresh->tracking->xid_column);
	Datum		snapshot = DirectFunctionCall1(pg_snapshot_in, CStringGetDatum(cursor->snapshot));
	Datum		xmin = DirectFunctionCall1(pg_snapshot_xmin, snapshot);
	Node	   *visible;
	Node	   *inserted;

	visible = (Node *) makeFuncExpr(F_PG_VISIBLE_IN_SNAPSHOT, BOOLOID,
									list_make2(source_column(builder, xid_column),
											   makeConst(PG_SNAPSHOTOID, -1, InvalidOid, -1,
														 snapshot, false, false)),
									InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	inserted = all_of(list_make3(compare(builder, ">=", source_column(builder, xid_column),
										 xid_const(xmin)),
								 makeBoolExpr(NOT_EXPR, list_make1(visible), -1),
								 compare(builder, "<>", source_column(builder, xid_column),
										 xid_const(FullTransactionIdGetDatum(cursor->run_xid)))));
	if (refresh_counts_passed_time(refresh))
	{
		Extents    *passed = extents_create();

		extents_add(passed, cursor->horizon, refresh->horizon, NULL, 0);
		return any_of(list_make2(inserted, time_in_ranges(builder, query, scan, passed)));
	}
	return inserted;
}

/* An entity and a range of time that is read of it. */
typedef struct EntityRange
{
	const char *entity;
	int			entity_length;
	int64		from;
	int64		to;
} EntityRange;

static int
entity_range_compare(const void *a, const void *b)
{
	const EntityRange *range_a = a;
	const EntityRange *range_b = b;
	int			c = entity_text_compare(range_a->entity, range_a->entity_length,
										range_b->entity, range_b->entity_length);

	if (c != 0)
		return c;
	return range_a->from < range_b->from ? -1 : (range_a->from > range_b->from ? 1 : 0);
}

/*
 * What a scan's rollups need of each entity, disjoint.  Sets *n.
 */
static EntityRange *
scan_entity_ranges(const ScanQuery *query, const SourceScan *scan, int *n)
{
	EntityRange *ranges;
	int			size = 0;
	int			used = 0;
	ListCell   *lc;
	int			i;

	foreach(lc, scan->rollups)
		size += ((Rollup *) lfirst(lc))->refresh->extents->n;
	ranges = palloc_extended(size * sizeof(EntityRange), MCXT_ALLOC_HUGE);
	size = 0;
	foreach(lc, scan->rollups)
	{
		const Rollup *rollup = lfirst(lc);
		const Extents *extents = rollup->refresh->extents;

		for (i = 0; i < extents->n; i++)
		{
			const Extent *extent = &extents->items[i];
			EntityRange *range = &ranges[size++];

			range->entity = extent->entity;
			range->entity_length = extent->entity_length;
			range->from = raw_time(query, rollup->definition->tz, extent->from, false);
			range->to = raw_time(query, rollup->definition->tz, extent->to, true);
		}
	}
	qsort(ranges, size, sizeof(EntityRange), entity_range_compare);
	for (i = 0; i < size; i++)
	{
		EntityRange *last = used > 0 ? &ranges[used - 1] : NULL;

		if (last != NULL && ranges[i].from <= last->to &&
			entity_text_compare(last->entity, last->entity_length,
								ranges[i].entity, ranges[i].entity_length) == 0)
			last->to = Max(last->to, ranges[i].to);
		else
			ranges[used++] = ranges[i];
	}
	*n = used;
	return ranges;
}

/*
 * Joins the source with the entities that are to be read and their ranges of
 * time.  Returns the condition of the join.
 */
static Node *
join_entities(Builder *builder, const ScanQuery *query, const SourceScan *scan)
{
	const Source *source = ((Rollup *) linitial(scan->rollups))->source;
	List	   *rows = NIL;
	Oid			type;
	int32		typmod;
	Oid			collation;
	int16		length;
	bool		by_value;
	EntityRange *ranges;
	int			n;
	ParseNamespaceItem *item;
	Node	   *columns[3];
	char	   *names[] = {"entity", "low", "high"};
	Alias	   *alias = makeAlias("changed", list_make3(makeString(names[0]), makeString(names[1]),
														makeString(names[2])));
	int			i;

	get_atttypetypmodcoll(source->relid, source->id_column, &type, &typmod, &collation);
	type = getBaseType(type);
	get_typlenbyval(type, &length, &by_value);
	ranges = scan_entity_ranges(query, scan, &n);
	for (i = 0; i < n; i++)
	{
		Datum		id = source_id_from_text(source, ranges[i].entity, ranges[i].entity_length);

		rows = lappend(rows, list_make3(makeConst(type, -1, collation, length, id, false, by_value),
										time_const(query, ranges[i].from),
										time_const(query, ranges[i].to)));
	}
	item = addRangeTableEntryForValues(builder->pstate, rows,
									   list_make3_oid(type, query->time_type, query->time_type),
									   list_make3_int(-1, -1, -1),
									   list_make3_oid(collation, InvalidOid, InvalidOid),
									   alias, false, true);
	addNSItemToQuery(builder->pstate, item, true, true, true);
	for (i = 0; i < lengthof(columns); i++)
		columns[i] = scanNSItemForColumn(builder->pstate, item, 0, names[i], -1);
	return all_of(list_make3(compare(builder, "=", source_column(builder, source->id_column),
									 columns[0]),
							 compare(builder, ">=", source_column(builder, source->time_column),
									 columns[1]),
							 compare(builder, "<", source_column(builder, source->time_column),
									 columns[2])));
}

/*
 * The condition on the rows that a scan has to read; NULL: all of them.
 */
static Node *
rows_to_read(Builder *builder, const ScanQuery *query, const SourceScan *scan, Reading reading)
{
	switch (reading)
	{
		case READ_ALL:
			return NULL;
		case READ_RANGE:
			return time_in_ranges(builder, query, scan, scan_ranges(query, scan, 1));
		case READ_RANGES:
			return time_in_ranges(builder, query, scan, scan_ranges(query, scan, MAX_RANGES));
		case READ_ENTITIES:
			return join_entities(builder, query, scan);
		case READ_NEW:
			return row_is_new(builder, query, scan);
	}
	pg_unreachable();
}

/*
 * A query as SQL, for people.  Of the many entities that it may name, only the
 * first are in it.
 */
static char *
query_text(const Query *query)
{
	Query	   *shown = copyObject(unconstify(Query *, query));
	int			hidden = 0;
	char	   *text;
	ListCell   *lc;

	foreach(lc, shown->rtable)
	{
		RangeTblEntry *rte = lfirst(lc);

		if (rte->rtekind != RTE_VALUES)
			continue;
		hidden = Max(list_length(rte->values_lists) - MAX_SHOWN_ENTITIES, 0);
		rte->values_lists = list_truncate(rte->values_lists, MAX_SHOWN_ENTITIES);
	}
	text = pg_get_querydef(shown, true);
	return hidden > 0 ? psprintf("%s -- and %d more values", text, hidden) : text;
}

/*
 * Builds a query of a scan that reads what is needed in the given way, as the
 * current user, under the current TimeZone and search_path; sets the rollups'
 * inputs.  ERROR where a filter is not allowed.
 */
static ScanQuery *
query_build(SourceScan *scan, Reading reading)
{
	const Source *source = scan->source;
	ScanQuery  *result = palloc0(sizeof(ScanQuery));
	Query	   *query = makeNode(Query);
	Relation	rel = table_open(source->relid, AccessShareLock);
	Builder		builder = {.pstate = make_parsestate(NULL)};
	List	   *where = NIL;
	Node	   *needed;

	builder.source = addRangeTableEntryForRelation(builder.pstate, rel, AccessShareLock, NULL,
												   true, true);
	addNSItemToQuery(builder.pstate, builder.source, true, true, true);
	add_columns(&builder, result, scan);
	if (source->definition->filter != NULL && !filters_differ(scan))
		where = lappend(where, filter_transform(builder.pstate, source->definition->filter));
	needed = rows_to_read(&builder, result, scan, reading);
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
	query->jointree = makeFromExpr(builder.pstate->p_joinlist, where ? all_of(where) : NULL);
	assign_query_collations(builder.pstate, query);
	free_parsestate(builder.pstate);
	table_close(rel, NoLock);

	result->reading = reading;
	result->query = query;
	result->text = query_text(query);
	return result;
}

/*
 * Plans a scan's query, serially, as the current user.  ERROR where the user
 * may not read a column is left to the executor.
 */
static void
query_plan(ScanQuery *query)
{
	List	   *rewritten = QueryRewrite(copyObject(query->query));

	/* A SELECT becomes one SELECT, as no rule can say otherwise for it. */
	query->plan = pg_plan_query(linitial_node(Query, rewritten), query->text, 0, NULL);
}

/*
 * Do all rollups of a scan need single groups, of entities by the same id?
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

		if (rollup->refresh->extents->nentities < rollup->refresh->extents->n ||
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
		if (extents_are_everything(((Rollup *) lfirst(lc))->refresh->extents))
			return true;
	return false;
}

/*
 * The query of a scan, built and planned in the cheapest of the ways that there
 * are; sets the rollups' inputs.  As the current user, under the current
 * TimeZone and search_path.  ERROR where a filter is not allowed.
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
			readings[n++] = READ_ENTITIES;
	}
	for (i = 0; i < n; i++)
	{
		ScanQuery  *query = query_build(scan, readings[i]);

		query_plan(query);
		if (best == NULL ||
			query->plan->planTree->total_cost < best->plan->planTree->total_cost)
			best = query;
	}
	return best;
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
query_take_table_rows(ScanQuery *query, SourceScan *scan)
{
	PlannedStmt *stmt = query->plan;
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
