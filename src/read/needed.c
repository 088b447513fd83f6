/*-------------------------------------------------------------------------
 *
 * needed.c
 *	  Which of a source's rows a scan's query asks for: by time, by entity, or as they are new.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "access/sysattr.h"
#include "access/transam.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "optimizer/clauses.h"
#include "parser/parse_oper.h"
#include "parser/parse_relation.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "group/entity.h"
#include "read/needed.h"
#include "time/zone.h"

/* More ranges of time than these would cost a scan more than they save it. */
#define MAX_RANGES 32

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
			bounds = lappend(bounds, builder_compare(builder, ">=",
													 builder_column(builder, scan->source->time_column),
													 time_const(query, range->from)));
		if (range->to != DT_NOEND)
			bounds = lappend(bounds, builder_compare(builder, "<",
													 builder_column(builder, scan->source->time_column),
													 time_const(query, range->to)));
		if (bounds == NIL)
			return NULL;
		alternatives = lappend(alternatives, builder_all_of(bounds));
	}
	return builder_any_of(alternatives);
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
	return (Node *) makeFuncExpr(F_XID, XIDOID, list_make1(builder_column(builder, xid_column)),
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
									list_make2(builder_column(builder, xid_column),
											   makeConst(PG_SNAPSHOTOID, -1, InvalidOid, -1,
														 snapshot, false, false)),
									InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	inserted = builder_all_of(list_make5(builder_compare(builder, ">=", builder_column(builder, xid_column),
														 xid_const(xmin)),
										 builder_compare(builder, "<", builder_column(builder, xid_column),
														 xid_const(FullTransactionIdGetDatum(ReadNextFullTransactionId()))),
										 makeBoolExpr(NOT_EXPR, list_make1(visible), -1),
										 builder_compare(builder, "<>", builder_column(builder, xid_column),
														 xid_const(FullTransactionIdGetDatum(cursor->run_xid))),
										 builder_compare(builder, "=",
														 builder_column(builder, MinTransactionIdAttributeNumber),
														 xid_as_written(builder, xid_column))));
	if (refresh_counts_passed_time(refresh))
		return builder_any_of(list_make2(inserted, time_in_ranges(builder, query, scan,
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
	return builder_all_of(list_make3(builder_compare(builder, "=", builder_column(builder, source->id_column),
													 entity),
									 builder_compare(builder, ">=", builder_column(builder, source->time_column),
													 low),
									 builder_compare(builder, "<", builder_column(builder, source->time_column),
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
						   builder_named_column(builder, item, "entity"), builder_named_column(builder, item, "low"),
						   builder_named_column(builder, item, "high"));

	/* Of the join alone the planner does not see which partitions it can leave out. */
	return builder_all_of(list_make2(joined, time_in_ranges(builder, query, scan,
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
Node *
needed_rows(Builder *builder, ScanQuery *query, const SourceScan *scan, int max_entities)
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
