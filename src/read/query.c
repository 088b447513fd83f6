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
 * planned, and the cheapest taken.  Of the join, the planner could only guess
 * how many rows each entity has in its range; so what one of them costs by
 * itself is asked instead, and the join is made as a loop over them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <limits.h>

#include "access/sysattr.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "optimizer/clauses.h"
#include "parser/parse_collate.h"
#include "parser/parse_oper.h"
#include "parser/parse_relation.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "group/entity.h"
#include "model/store.h"
#include "read/query.h"
#include "read/tablerows.h"
#include "source/filter.h"
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

/*
 * A column of a table of the query, by its name, in an expression; this also asks for
 * the privilege to read it.
 */
static Node *
named_column(const Builder *builder, ParseNamespaceItem *item, const char *name)
{
	Node	   *column = scanNSItemForColumn(builder->pstate, item, 0, name, -1);

	if (column == NULL)
		elog(ERROR, "column \"%s\" is missing", name);
	return column;
}

/* A column of the source in an expression. */
static Node *
source_column(const Builder *builder, AttrNumber column)
{
	return named_column(builder, builder->source,
						get_attname(builder->source->p_rte->relid, column, false));
}

/* Adds a column to the query and returns its number. */
static int
add_expression(Builder *builder, Node *expr, const char *name)
{
	int			number = list_length(builder->columns);

	builder->columns = lappend(builder->columns,
							   makeTargetEntry((Expr *) expr, number + 1, pstrdup(name), false));
	return number;
}

/* Adds a column of the source. */
static int
add_column(Builder *builder, AttrNumber column, const char *name)
{
	return add_expression(builder, source_column(builder, column), name);
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
}

/*
 * An instant as a value of the source's time column, for a condition on it:
 * of local time and in zone tz, the least value that may stand for the instant
 * or a later one; with `after`, the least that stands for later ones only.  Local
 * times before the first instant there is stand for that.
 */
static int64
raw_time(const ScanQuery *query, const pg_tz *tz, TimestampTz t, bool after)
{
	if (t < MIN_TIMESTAMP || t == DT_NOBEGIN)
		return DT_NOBEGIN;
	if (!IS_VALID_TIMESTAMP(t))
		return DT_NOEND;
	if (query->time_type == TIMESTAMPTZOID)
		return t;
	if (t == MIN_TIMESTAMP)
		return DT_NOBEGIN;
	t = after ? zone_highest_reading(tz, t) : zone_lowest_reading(tz, t);
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
		const Extents *extents = rollup->reads;

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

/* A row's transaction id as PostgreSQL has it in xmin. */
static Node *
xid_as_written(const Builder *builder, AttrNumber xid_column)
{
	return (Node *) makeFuncExpr(F_XID, XIDOID, list_make1(source_column(builder, xid_column)),
								 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

/*
 * The condition that a row is new since the cursor of a scan's rollups: it was
 * inserted since, or its time had not come.  Rows whose id is not that of the transaction
 * that wrote them are no additions: see refresh.c.
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
	inserted = all_of(list_make5(compare(builder, ">=", source_column(builder, xid_column),
										 xid_const(xmin)),
								 compare(builder, "<", source_column(builder, xid_column),
										 xid_const(FullTransactionIdGetDatum(ReadNextFullTransactionId()))),
								 makeBoolExpr(NOT_EXPR, list_make1(visible), -1),
								 compare(builder, "<>", source_column(builder, xid_column),
										 xid_const(FullTransactionIdGetDatum(cursor->run_xid))),
								 compare(builder, "=",
										 source_column(builder, MinTransactionIdAttributeNumber),
										 xid_as_written(builder, xid_column))));
	if (refresh_counts_passed_time(refresh))
		return any_of(list_make2(inserted, time_in_ranges(builder, query, scan,
														  refresh_passed_time(refresh))));
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

/* The order of time, in which tables usually are. */
static int
entity_range_compare_time(const void *a, const void *b)
{
	const EntityRange *range_a = a;
	const EntityRange *range_b = b;

	if (range_a->from != range_b->from)
		return range_a->from < range_b->from ? -1 : 1;
	return entity_range_compare(a, b);
}

/*
 * What a scan's rollups need of each entity, disjoint, in an order in which
 * rows that are read one after the other are near to each other.  Sets *n.
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
		size += ((Rollup *) lfirst(lc))->reads->n;
	ranges = palloc_extended(size * sizeof(EntityRange), MCXT_ALLOC_HUGE);
	size = 0;
	foreach(lc, scan->rollups)
	{
		const Rollup *rollup = lfirst(lc);
		const Extents *extents = rollup->reads;

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
	qsort(ranges, used, sizeof(EntityRange), entity_range_compare_time);
	*n = used;
	return ranges;
}

/* The type of a source's ids, and how its values are handled. */
typedef struct IdType
{
	Oid			type;
	Oid			collation;
	int16		length;
	bool		by_value;
	char		align;
} IdType;

static IdType
id_type(const Source *source)
{
	IdType		result;
	int32		typmod;

	get_atttypetypmodcoll(source->relid, source->id_column, &result.type, &typmod,
						  &result.collation);
	result.type = getBaseType(result.type);
	get_typlenbyvalalign(result.type, &result.length, &result.by_value, &result.align);
	return result;
}

/* unnest() of an array of elements that are not NULL. */
static Node *
unnest(Datum *elements, int n, const IdType *type)
{
	Datum		array = PointerGetDatum(construct_array(elements, n, type->type, type->length,
														type->by_value, type->align));
	Const	   *list = makeConst(get_array_type(type->type), -1, type->collation, -1, array,
								 false, false);
	FuncExpr   *call = makeFuncExpr(F_UNNEST_ANYARRAY, type->type, list_make1(list),
									type->collation, type->collation, COERCE_EXPLICIT_CALL);

	call->funcretset = true;
	return (Node *) call;
}

/*
 * The entities that are to be read and their ranges of time, as a table in the
 * query with the columns entity, low and high.
 */
static ParseNamespaceItem *
add_entities(Builder *builder, const ScanQuery *query, const Source *source,
			 const EntityRange *ranges, int n)
{
	IdType		ids = id_type(source);
	IdType		times = {query->time_type, InvalidOid, sizeof(int64), FLOAT8PASSBYVAL,
	TYPALIGN_DOUBLE};
	Datum	   *elements[3];
	List	   *functions;
	RangeFunction *clause = makeNode(RangeFunction);
	ParseNamespaceItem *item;
	int			i;

	if (times.type == DATEOID)
		times = (IdType) {DATEOID, InvalidOid, sizeof(DateADT), true, TYPALIGN_INT};
	for (i = 0; i < lengthof(elements); i++)
		elements[i] = palloc(n * sizeof(Datum));
	for (i = 0; i < n; i++)
	{
		elements[0][i] = source_id_from_text(source, ranges[i].entity, ranges[i].entity_length);
		elements[1][i] = ((Const *) time_const(query, ranges[i].from))->constvalue;
		elements[2][i] = ((Const *) time_const(query, ranges[i].to))->constvalue;
	}
	functions = list_make3(unnest(elements[0], n, &ids), unnest(elements[1], n, &times),
						   unnest(elements[2], n, &times));
	clause->is_rowsfrom = true;
	clause->alias = makeAlias("changed", list_make3(makeString("entity"), makeString("low"),
													makeString("high")));
	item = addRangeTableEntryForFunction(builder->pstate,
										 list_make3("unnest", "unnest", "unnest"), functions,
										 list_make3(NIL, NIL, NIL), clause, false, true);
	addNSItemToQuery(builder->pstate, item, true, true, true);
	return item;
}

/* The condition that a row is of an entity and in a range of time. */
static Node *
row_of_entity(const Builder *builder, const Source *source, Node *entity, Node *low, Node *high)
{
	return all_of(list_make3(compare(builder, "=", source_column(builder, source->id_column),
									 entity),
							 compare(builder, ">=", source_column(builder, source->time_column),
									 low),
							 compare(builder, "<", source_column(builder, source->time_column),
									 high)));
}

/*
 * Joins the source with the entities that are to be read and their ranges of
 * time, at most `max` of them.  Returns the condition of the join.
 */
static Node *
join_entities(Builder *builder, ScanQuery *query, const SourceScan *scan, int max)
{
	const Source *source = ((Rollup *) linitial(scan->rollups))->source;
	EntityRange *ranges = scan_entity_ranges(query, scan, &query->nentities);
	ParseNamespaceItem *item = add_entities(builder, query, source, ranges,
											Min(query->nentities, max));
	Node	   *joined;

	joined = row_of_entity(builder, source,
						   named_column(builder, item, "entity"), named_column(builder, item, "low"),
						   named_column(builder, item, "high"));

	/* Of the join alone the planner does not see which partitions it can leave out. */
	return all_of(list_make2(joined, time_in_ranges(builder, query, scan,
													scan_ranges(query, scan, 1))));
}

/*
 * The condition that a row is of one of the entities that are to be read, and in
 * its range of time.
 */
static Node *
one_entity(const Builder *builder, ScanQuery *query, const SourceScan *scan)
{
	const Source *source = ((Rollup *) linitial(scan->rollups))->source;
	EntityRange *ranges = scan_entity_ranges(query, scan, &query->nentities);
	const EntityRange *range = &ranges[query->nentities / 2];
	IdType		ids = id_type(source);
	Datum		id = source_id_from_text(source, range->entity, range->entity_length);

	return row_of_entity(builder, source,
						 (Node *) makeConst(ids.type, -1, ids.collation, ids.length, id, false,
											ids.by_value),
						 time_const(query, range->from), time_const(query, range->to));
}

/*
 * The condition on the rows that a scan has to read; NULL: all of them.  At most
 * max_entities are named.
 */
static Node *
rows_to_read(Builder *builder, ScanQuery *query, const SourceScan *scan, int max_entities)
{
	switch (query->reading)
	{
		case READ_ALL:
			return NULL;
		case READ_RANGE:
			return time_in_ranges(builder, query, scan, scan_ranges(query, scan, 1));
		case READ_RANGES:
			return time_in_ranges(builder, query, scan, scan_ranges(query, scan, MAX_RANGES));
		case READ_ENTITIES:
			return join_entities(builder, query, scan, max_entities);
		case READ_ONE_ENTITY:
			return one_entity(builder, query, scan);
		case READ_NEW:
			return row_is_new(builder, query, scan);
	}
	pg_unreachable();
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
	needed = rows_to_read(&builder, result, scan, max_entities);
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
			store_set(loop_settings[i], "off");

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
plan_reads_whole_table(const Plan *plan)
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
collect_leaves(const Plan *plan, List **leaves)
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
