/*-------------------------------------------------------------------------
 *
 * sourcerows.c
 *	  What a source is asked, as the owner of its job.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "model/ext.h"
#include "model/owner.h"
#include "refresh/sourcerows.h"
#include "source/filter.h"
#include "time/zone.h"

/*
 * The filter of a source as it is understood now, in the current memory context; NULL:
 * there is none.
 */
Node *
source_filter(const Source *source)
{
	const Definition *definition = source->definition;
	Relation	rel;
	OwnerScope	scope;
	Node	   *result;

	if (definition->filter == NULL)
		return NULL;
	owner_enter(&scope, definition->job, definition->timezone);
	rel = table_open(source->relid, AccessShareLock);
	result = filter_of_relation(rel, definition->filter, NULL);
	table_close(rel, NoLock);
	owner_leave(&scope);
	return result;
}

/*
 * The type of a source's column, which a domain is over; of no column, InvalidOid.
 */
Oid
source_column_type(const Source *source, AttrNumber column)
{
	return column == InvalidAttrNumber ? InvalidOid : getBaseType(get_atttype(source->relid, column));
}

/*
 * Is a source's time without a zone?
 */
bool
source_time_is_local(const Source *source)
{
	return source_column_type(source, source->time_column) != TIMESTAMPTZOID;
}

/*
 * A source's time column, quoted.
 */
const char *
source_time_name(const Source *source)
{
	return quote_identifier(get_attname(source->relid, source->time_column, false));
}

/*
 * A time of the source as an instant in SQL, local times as though they were UTC.
 */
const char *
source_time_as_instant(const Source *source, const char *time)
{
	return source_time_is_local(source) ? psprintf("(%s::timestamp AT TIME ZONE 'UTC')", time) : time;
}

/*
 * The time of a source's rows as an instant, in an expression for its owner, under
 * the definition's TimeZone.
 */
const char *
source_time(const Source *source)
{
	return psprintf("%s::timestamptz", source_time_name(source));
}

/*
 * The time of the newest row that the owner sees of a source before an instant, or of
 * the oldest one from it on; an infinite one is no bound.  Where there is none, the
 * oldest is at DT_NOEND and the newest at DT_NOBEGIN.
 */
TimestampTz
source_row_time(const Source *source, bool newest, TimestampTz bound)
{
	const Definition *definition = source->definition;
	Oid			types[] = {source_time_is_local(source) ? TIMESTAMPOID : TIMESTAMPTZOID};
	Datum		values[1];
	const char *time = source_time_name(source);
	const char *condition = psprintf("isfinite(%s)", time);
	OwnerScope	scope;
	List	   *rows;
	char	  **row;

	if (!TIMESTAMP_NOT_FINITE(bound))
		condition = psprintf("%s AND %s %s $1", condition, time, newest ? "<" : ">=");
	if (source_time_is_local(source) && !TIMESTAMP_NOT_FINITE(bound))
		bound = newest ? zone_highest_reading(definition->tz, bound) :
			zone_lowest_reading(definition->tz, bound);
	values[0] = TimestampTzGetDatum(bound);
	owner_enter(&scope, definition->job, definition->timezone);
	rows = ext_query(false,
					 psprintf("SELECT " EXT_MICROSECONDS("%s") " FROM (SELECT %s(%s) FROM %s "
							  "WHERE %s) AS s (t)",
							  source_time_as_instant(source, "t"), newest ? "max" : "min",
							  time, source->name, condition),
					 lengthof(types), types, values);
	owner_leave(&scope);
	row = linitial(rows);
	if (row[0] == NULL)
		return newest ? DT_NOBEGIN : DT_NOEND;
	return source_time_is_local(source) ?
		bucket_from_local(definition->tz, pg_strtoint64(row[0])) : pg_strtoint64(row[0]);
}
