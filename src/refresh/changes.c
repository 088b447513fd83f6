/*-------------------------------------------------------------------------
 *
 * changes.c
 *	  What has changed since the cursor that a run goes on from.
 *
 * Marks tell of rows that were changed, and in mode snapshot the rows themselves of
 * transactions that the cursor does not see (refresh.c has the modes).  Times are
 * gathered by hour and entity, and become groups to recompute: few of single entities,
 * else whole buckets.
 *
 * Cursors, marks and rows are read with the run's snapshot, and the cursor that the
 * run leaves has that snapshot.  So no transaction is left out: no order of commits,
 * and no writer that takes long, changes that; nor does a run that deletes cursors or
 * marks meanwhile.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/xid8.h"

#include "model/ext.h"
#include "model/owner.h"
#include "refresh/changes.h"
#include "refresh/sourcerows.h"
#include "time/zone.h"
#include "track/marks.h"

/*
 * At most so many groups are recomputed one by one, else whole buckets.  Each
 * costs a look into the source's index and one into the store's.
 */
#define MAX_ENTITY_EXTENTS 30000

/* More entities than these in an hour: all of them. */
#define MAX_HOUR_ENTITIES "100"

/* A change of one entity that can be in more buckets is one of all entities. */
#define MAX_MARKED_BUCKETS 8

/*
 * Times of changes, gathered by hour and entity: from the columns low, high and
 * id (NULL: any) of %1$s.  -infinity and infinity are NULL.
 */
static const char gather_sql[] =
"WITH changes AS (SELECT date_bin('1 hour', low, '2000-01-01 00:00+00') AS hour, id, "
"min(low) AS low, max(high) AS high FROM (%1$s) AS c (low, high, id) GROUP BY 1, 2), "
"hours AS (SELECT hour, min(low) AS low, max(high) AS high FROM changes GROUP BY hour "
"HAVING bool_or(id IS NULL) OR count(*) > " MAX_HOUR_ENTITIES "), "
"gathered AS (SELECT low, high, NULL AS id FROM hours UNION ALL "
"SELECT low, high, id FROM changes WHERE hour NOT IN (SELECT hour FROM hours)) "
"SELECT CASE WHEN isfinite(low) THEN " EXT_MICROSECONDS("low") " END, "
"CASE WHEN isfinite(high) THEN " EXT_MICROSECONDS("high") " END, id FROM gathered";

/*
 * Adds the buckets of the instants from low to high to what is recomputed, of
 * one entity or (NULL) of all.
 */
static void
add_instants(Refresh *refresh, TimestampTz low, TimestampTz high, const char *entity)
{
	const Definition *definition = refresh->source->definition;
	const Granularity *granularity = &definition->granularity;
	TimestampTz last = refresh->horizon - 1;
	TimestampTz from = DT_NOBEGIN;
	TimestampTz to = DT_NOEND;
	TimestampTz bounds[MAX_MARKED_BUCKETS + 1];
	int			n = 0;

	if (high != DT_NOEND && high > last)
		ahead_add(&refresh->ahead, Max(low, refresh->horizon), high);
	if (low > last)
		return;
	if (low != DT_NOBEGIN)
		from = bucket_start(granularity, definition->tz, low);
	if (high != DT_NOEND)
		to = bucket_end(granularity, definition->tz,
						bucket_start(granularity, definition->tz, Min(high, last)));

	/* One entity's buckets, each by itself, unless they are many. */
	if (entity != NULL && from != DT_NOBEGIN && to != DT_NOEND)
		for (bounds[0] = from; n < MAX_MARKED_BUCKETS && bounds[n] < to; n++)
			bounds[n + 1] = bucket_end(granularity, definition->tz, bounds[n]);
	if (n == 0 || bounds[n] < to)
		extents_add(refresh->extents, from, to, NULL, 0);
	else
		while (n-- > 0)
			extents_add(refresh->extents, bounds[n], bounds[n + 1], entity, strlen(entity));
}

/*
 * Likewise, of times as the source has them: local ones where `local`.
 */
static void
add_times(Refresh *refresh, bool local, TimestampTz low, TimestampTz high, const char *entity)
{
	const pg_tz *tz = refresh->source->definition->tz;

	add_instants(refresh, local ? zone_earliest(tz, low) : low,
				 local ? zone_latest(tz, high) : high, entity);
}

/* Adds what gather_sql has found. */
static void
add_gathered(Refresh *refresh, const List *rows)
{
	bool		local = source_time_is_local(refresh->source);
	ListCell   *lc;

	foreach(lc, rows)
	{
		char	  **row = lfirst(lc);
		TimestampTz low = row[0] ? pg_strtoint64(row[0]) : DT_NOBEGIN;
		TimestampTz high = row[1] ? pg_strtoint64(row[1]) : DT_NOEND;

		add_times(refresh, local, low, high, row[2]);
		if (refresh->changed != NULL)
			extents_add(refresh->changed, low, high == DT_NOEND ? high : high + 1, NULL, 0);
	}
}

/*
 * Do the entities that marks name mean anything to this definition?
 */
static bool
marks_name_entities(const Refresh *refresh)
{
	const Source *source = refresh->source;

	return refresh->tracking->id_column != NULL && source->id_column != InvalidAttrNumber &&
		strcmp(refresh->tracking->id_column,
			   get_attname(source->relid, source->id_column, false)) == 0;
}

/*
 * Adds what transactions have marked that the cursor does not see.  Marks are read with
 * the snapshot that the cursor was read with: a later one may lack some that were
 * deleted together with the cursor.
 */
static void
add_marks(Refresh *refresh)
{
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		values[] = {
		Int32GetDatum(refresh->tracking->id),
		CStringGetTextDatum(refresh->cursor->snapshot)
	};
	char	   *marks = psprintf("SELECT low, high, id FROM %s LEFT JOIN LATERAL "
								 "unnest(%s) id ON true WHERE source_id = $1 "
								 "AND xid >= pg_snapshot_xmin($2::pg_snapshot) "
								 "AND NOT pg_visible_in_snapshot(xid, $2::pg_snapshot)",
								 ext_table("batchagg_marks"),
								 marks_name_entities(refresh) ? "ids" : "NULL::text[]");

	add_gathered(refresh, ext_query_active(true, psprintf(gather_sql, marks), lengthof(types),
										   types, values));
}

/*
 * Adds the times and entities of the rows that were inserted since the cursor.  With
 * doubtful_only, of those whose id is not the transaction's that wrote them, as in a
 * subtransaction, or where rows have brought the ids of another cluster along: they
 * cannot be added to stored states, as they may have been counted.  An id that is yet
 * to be given is another cluster's.
 */
static void
add_new_rows(Refresh *refresh, bool doubtful_only)
{
	const Source *source = refresh->source;
	const Definition *definition = source->definition;
	const char *time = source_time_as_instant(source, source_time_name(source));
	const char *xid = quote_identifier(refresh->tracking->xid_column);
	const char *id = source->id_column == InvalidAttrNumber ? "''" :
	quote_identifier(get_attname(source->relid, source->id_column, false));
	Oid			types[] = {TEXTOID, XID8OID};
	Datum		values[] = {
		CStringGetTextDatum(refresh->cursor->snapshot),
		FullTransactionIdGetDatum(ReadNextFullTransactionId())
	};
	char	   *rows = psprintf("SELECT t, t, id FROM (SELECT %s, %s FROM %s WHERE "
								"%s >= pg_snapshot_xmin($1::pg_snapshot) AND %s < $2 AND "
								"NOT pg_visible_in_snapshot(%s, $1::pg_snapshot) AND "
								"%s IS NOT NULL%s) AS n (t, id) WHERE isfinite(t)",
								time,
								marks_name_entities(refresh) ? psprintf("%s::text", id) : "NULL",
								source->name, xid, xid, xid, id,
								doubtful_only ? psprintf(" AND xmin <> %s::xid", xid) : "");
	OwnerScope	scope;

	owner_enter(&scope, definition->job, definition->timezone);
	add_gathered(refresh, ext_query(false, psprintf(gather_sql, rows), lengthof(types), types,
									values));
	owner_leave(&scope);
}

/*
 * Adds the time between two horizons, where there can be rows in it that were there
 * before.
 */
static void
add_passed_time(Refresh *refresh)
{
	const Cursor *cursor = refresh->cursor;
	const Extents *passed;
	int			i;

	if (refresh->horizon < cursor->horizon)
	{
		/* What was computed from there on goes, and will come again. */
		ahead_add(&refresh->ahead, refresh->horizon, cursor->horizon - 1);
		extents_add(refresh->extents,
					bucket_start(&refresh->source->definition->granularity,
								 refresh->source->definition->tz, refresh->horizon),
					DT_NOEND, NULL, 0);
	}
	else if (!refresh_counts_passed_time(refresh))
	{
		passed = refresh_passed_time(refresh);
		for (i = 0; i < passed->n; i++)
			add_instants(refresh, passed->items[i].from, passed->items[i].to - 1, NULL);
	}
}

/*
 * Where the results begin that a definition's lookback has recomputed.  It is counted
 * from the earlier of the two horizons: rows that were late by less are found, however
 * long ago the last run was.
 */
static TimestampTz
lookback_start(const Refresh *refresh)
{
	const Definition *definition = refresh->source->definition;

	return bucket_before(definition, Min(refresh->horizon, refresh->cursor->horizon),
						 definition->lookback);
}

/*
 * Finds what is to be recomputed where there is a cursor to go on from.
 */
void
changes_find(Refresh *refresh)
{
	const Cursor *cursor = refresh->cursor;
	const bool	looks_back = refresh->source->definition->lookback != NULL;

	refresh->extents = extents_create();
	refresh->changed = extents_create();
	refresh->ahead = cursor->ahead;
	if (looks_back)
		refresh->exact_from = Max(refresh->exact_from, lookback_start(refresh));
	refresh->additions = refresh->keeps_states && refresh->mode == REFRESH_SNAPSHOT &&
		!refresh->source->definition->keep_history;
	if (refresh->mode == REFRESH_LOOKBACK)
	{
		extents_add(refresh->extents, refresh->exact_from, DT_NOEND, NULL, 0);
		extents_add(refresh->changed, source_time_is_local(refresh->source) ?
					zone_lowest_reading(refresh->source->definition->tz, refresh->exact_from) :
					refresh->exact_from, DT_NOEND, NULL, 0);
	}
	else
	{
		add_marks(refresh);
		if (refresh->mode == REFRESH_SNAPSHOT)
			add_new_rows(refresh, refresh->additions);
		add_passed_time(refresh);
	}

	/* What was not retained, or beyond the lookback, and is to be exact from now on. */
	extents_add(refresh->extents, refresh->exact_from, cursor->exact_from, NULL, 0);
	extents_finish(refresh->extents);
	if (refresh->extents->nentities > MAX_ENTITY_EXTENTS)
		extents_forget_entities(refresh->extents);
	if (looks_back)
		extents_clip(refresh->extents, refresh->exact_from, DT_NOEND);

	/* Where everything is recomputed, nothing is left to be added to. */
	refresh->additions &= !extents_are_everything(refresh->extents);

	/* A scan without an end meets all rows ahead. */
	if (refresh->extents->n > 0 &&
		refresh->extents->items[refresh->extents->n - 1].to == DT_NOEND)
		refresh->ahead.n = 0;
}

/* Marks these ranges of a source. */
static void
mark_extents(const Refresh *refresh, const Extents *extents)
{
	bool		local = source_time_is_local(refresh->source);
	const pg_tz *tz = refresh->source->definition->tz;
	int			i;

	for (i = 0; i < extents->n; i++)
	{
		TimestampTz low = extents->items[i].from;
		TimestampTz high = extents->items[i].to;

		if (local && low != DT_NOBEGIN)
			low = Max(zone_lowest_reading(tz, low), MIN_TIMESTAMP);
		if (local && high != DT_NOEND)
			high = Min(zone_highest_reading(tz, high), END_TIMESTAMP);
		marks_write(refresh->tracking->id, low, high == DT_NOEND ? high : high - 1);
	}
}

/*
 * Marks the buckets in which what is recomputed has rows that the cursor does not
 * see: the next run would add them once more.
 */
void
changes_mark_new_rows(Refresh *refresh)
{
	Extents    *recomputed = refresh->extents;
	Extents    *news = extents_create();

	refresh->extents = news;
	add_new_rows(refresh, false);
	refresh->extents = recomputed;
	extents_finish(news);
	extents_forget_entities(news);
	extents_clip(news, recomputed->items[0].from, recomputed->items[0].to);
	mark_extents(refresh, news);
}
