/*-------------------------------------------------------------------------
 *
 * order.c
 *	  Whether a query returns its rows in the order of time.
 *
 * Nothing in a query says so, as it has no ORDER BY: what is meant is the order
 * in which rows happen to lie in their table.  ANALYZE has looked at that, for
 * the sake of index scans: the correlation of a column's values and their places
 * in the table is 1 where they are in order.  Of several tables, as partitions
 * are, which are read one after the other, the histograms say whether the times
 * of one are behind those of the other.
 *
 * It is a guess from a sample, and old.  Who asks must be prepared for rows that
 * are not in order.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "parser/parsetree.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "read/order.h"

/* Rows with a correlation of less are not in order. */
#define LEAST_CORRELATION 0.99

/* A time of a source, as a number. */
static int64
time_number(Oid type, Datum value)
{
	return type == DATEOID ? DatumGetDateADT(value) : DatumGetTimestampTz(value);
}

/* Reads a column's correlation out of its statistics; 0: there is none. */
static float4
stats_correlation(HeapTuple stats)
{
	AttStatsSlot slot;
	float4		result;

	if (!get_attstatsslot(&slot, stats, STATISTIC_KIND_CORRELATION, InvalidOid,
						  ATTSTATSSLOT_NUMBERS))
		return 0;
	result = slot.numbers[0];
	free_attstatsslot(&slot);
	return result;
}

/* The first and the last time of a column's histogram, if it has one. */
static bool
stats_range(HeapTuple stats, int64 *first, int64 *last)
{
	AttStatsSlot slot;

	if (!get_attstatsslot(&slot, stats, STATISTIC_KIND_HISTOGRAM, InvalidOid,
						  ATTSTATSSLOT_VALUES))
		return false;
	*first = time_number(slot.valuetype, slot.values[0]);
	*last = time_number(slot.valuetype, slot.values[slot.nvalues - 1]);
	free_attstatsslot(&slot);
	return true;
}

/*
 * Are the rows of a table in the order of the column, and behind *last, which is
 * then moved on?  Where nothing is known of them, as of a partition that is empty or
 * new, they are taken to be what others are; else *known is set.
 */
static bool
table_is_in_order(Oid relid, AttrNumber column, int64 *last, bool *known)
{
	HeapTuple	stats = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(relid),
										Int16GetDatum(column), BoolGetDatum(false));
	int64		first;
	int64		end;
	bool		result;

	if (!HeapTupleIsValid(stats))
		return true;
	*known = true;
	result = stats_correlation(stats) >= LEAST_CORRELATION &&
		stats_range(stats, &first, &end) && first >= *last;
	if (result)
		*last = end;
	ReleaseSysCache(stats);
	return result;
}

/*
 * The column of a table that a scan's query reads which has the source's time;
 * InvalidAttrNumber: it cannot be told, as the columns of what is behind a view are
 * others.
 */
static AttrNumber
time_column(const ScanQuery *query, const Source *source, Oid relid)
{
	if (OidIsValid(query->table))
		return query->time_column + 1;
	if (get_rel_relkind(source->relid) == RELKIND_VIEW)
		return InvalidAttrNumber;
	return get_attnum(relid, get_attname(source->relid, source->time_column, false));
}

/*
 * Do the rows of a scan's query probably come in the order of the source's time?
 */
bool
query_is_in_time_order(const ScanQuery *query, const SourceScan *scan)
{
	int64		last = PG_INT64_MIN;
	bool		known = false;
	List	   *leaves = NIL;
	ListCell   *lc;

	if (!query_leaves(query, &leaves))
		return false;
	foreach(lc, leaves)
	{
		Oid			relid = rt_fetch(lfirst_int(lc), query->plan->rtable)->relid;
		AttrNumber	column = time_column(query, scan->source, relid);

		if (column == InvalidAttrNumber || !table_is_in_order(relid, column, &last, &known))
			return false;
	}
	return known;
}
