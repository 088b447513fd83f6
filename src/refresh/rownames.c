/*-------------------------------------------------------------------------
 *
 * rownames.c
 *	  Row layout: by which name the rows of a source have each metric.
 *
 * Names of metrics match regardless of case, and with '.' for '_'.  Rows can have
 * several names that match one metric, and these are different things, whose values
 * must not be added up.  So one name is chosen: the metric's own where there is a row
 * that has it, else the only one that matches.  Two others are an error.
 *
 * The choice is a function of the rows that there are at the run's snapshot: of those
 * that count, with an id and a time, and that pass the definition's filter; whatever
 * their time is.  It does not depend on what earlier runs chose, so it is the same in
 * all modes.
 *
 * A filter is in these queries as PostgreSQL prints it after its analysis, never as its
 * user wrote it.
 *
 * What names there are costs a pass over the source.  It is saved where the first rows
 * show that all metrics have their own names, as is usual: these win, whatever else
 * there is.  Runs that go on from a cursor find in it the names that the last run knew
 * of, and add those of the rows that were changed since, which they are about to read
 * anyway.  A name that is known may be gone by now; it matters, and is looked for, only
 * where another matches the same metric.  If another name than the last time is chosen,
 * and not for want of any then, everything is recomputed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "model/ext.h"
#include "model/names.h"
#include "model/owner.h"
#include "model/problem.h"
#include "model/textmap.h"
#include "refresh/rownames.h"
#include "refresh/sourcerows.h"

/* Where all metrics have their own names, so many rows mostly show it. */
#define FIRST_ROWS "100000"

/* So many ranges of changed times are looked at; gaps between others are filled. */
#define MAX_RANGES 8

struct RowNames
{
	const List *sources;		/* of Source, all of the run */
	bool		repeats;		/* leaves no cursor */
	bool		tells;			/* of metrics that no row has */
	List	   *queries;		/* of NamesQuery */
	List	   *told;			/* of text */
};

/* Names that were asked for, and are the same for all definitions of this key. */
typedef struct NamesQuery
{
	const char *key;
	List	   *names;
} NamesQuery;

/* The first columns of rows. */
static List *
first_texts(const List *rows)
{
	List	   *texts = NIL;
	ListCell   *lc;

	foreach(lc, rows)
		texts = lappend(texts, ((char **) lfirst(lc))[0]);
	return texts;
}

/* The metrics, folded, that any definition of the run looks for in a source. */
static Datum
folded_metrics(const RowNames *run, const Source *source)
{
	textmap_hash *met = textmap_create(CurrentMemoryContext, 64, NULL);
	List	   *folded = NIL;
	ListCell   *lc;

	foreach(lc, run->sources)
	{
		const Source *other = lfirst(lc);
		ListCell   *lc2;

		if (other->relid != source->relid || other->name_column != source->name_column)
			continue;
		foreach(lc2, other->metrics)
		{
			char	   *name = name_fold(((const SourceMetric *) lfirst(lc2))->metric->name);

			if (textmap_get(met, name) == NULL)
				folded = lappend(folded, name);
			textmap_put(met, name, name);
		}
	}
	textmap_destroy(met);
	return ext_text_array(folded);
}

static const char *
column_sql(const Source *source, AttrNumber column)
{
	return psprintf("s.%s", quote_identifier(get_attname(source->relid, column, false)));
}

/* The name in a row, as an expression. */
static const char *
name_sql(const Source *source)
{
	return psprintf("%s::text COLLATE \"C\"", column_sql(source, source->name_column));
}

/*
 * What is true of the rows that count for a definition.  To be called as its owner,
 * as the filter's names are qualified for the search_path that it is read with.
 */
static const char *
counting_sql(const Source *source, Node *filter)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "isfinite(%s)", column_sql(source, source->time_column));
	if (source->id_column != InvalidAttrNumber)
		appendStringInfo(&sql, " AND %s IS NOT NULL", column_sql(source, source->id_column));
	if (filter != NULL)
		appendStringInfo(&sql, " AND (%s)",
						 deparse_expression(filter, deparse_context_for("s", source->relid), true,
											false));
	return sql.data;
}

/*
 * The names in a source that match any metric of the run, in order: those of rows that
 * count and for which `condition` holds, whose parameters begin with $2.  OFFSET 0 keeps
 * the planner from folding the names of all rows.
 */
static List *
names_where(const RowNames *run, const Source *source, const char *condition, const char *limit,
			int nargs, const Oid *types, const Datum *values)
{
	const Definition *definition = source->definition;
	Node	   *filter = source_filter(source);
	Oid			all_types[4] = {TEXTARRAYOID};
	Datum		all_values[4] = {folded_metrics(run, source)};
	List	   *rows;
	OwnerScope	scope;
	int			i;

	Assert(nargs < lengthof(all_types));
	for (i = 0; i < nargs; i++)
	{
		all_types[i + 1] = types[i];
		all_values[i + 1] = values[i];
	}
	owner_enter(&scope, definition->job, definition->timezone);
	rows = ext_query_active(false,
							psprintf("SELECT n FROM (SELECT DISTINCT n FROM (SELECT %s FROM %s AS s "
									 "WHERE %s AND %s%s) AS r (n) OFFSET 0) AS d "
									 "WHERE " NAME_FOLDED_SQL("n COLLATE \"default\"") " = ANY ($1) "
									 "ORDER BY n",
									 name_sql(source), source->name, counting_sql(source, filter),
									 condition, limit),
							nargs + 1, all_types, all_values);
	owner_leave(&scope);
	return first_texts(rows);
}

/*
 * What the names in a source depend on besides the rows that are looked at, and these.
 */
static const char *
query_key(const Source *source, const char *rows)
{
	const Definition *definition = source->definition;

	return psprintf("%u %d %d %d %s %s %s", source->relid, source->name_column, source->time_column,
					source->id_column, rows, definition->timezone,
					definition->filter ? definition->filter : "");
}

/* The names that were asked for before; NULL: they were not. */
static const NamesQuery *
asked_before(const RowNames *run, const char *key)
{
	ListCell   *lc;

	foreach(lc, run->queries)
		if (strcmp(((NamesQuery *) lfirst(lc))->key, key) == 0)
			return lfirst(lc);
	return NULL;
}

static List *
remember(RowNames *run, const char *key, List *names)
{
	NamesQuery *query = palloc(sizeof(NamesQuery));

	query->key = key;
	query->names = names;
	run->queries = lappend(run->queries, query);
	return names;
}

/* The names in all rows of a source, or in the first ones. */
static List *
names_in_rows(RowNames *run, const Source *source, const char *limit)
{
	const char *key = query_key(source, limit);
	const NamesQuery *before = asked_before(run, key);

	return before ? before->names :
		remember(run, key, names_where(run, source, "true", limit, 0, NULL, NULL));
}

/* Names by what they are compared by: each leads to a list. */
static textmap_hash *
names_by_fold(const List *names)
{
	textmap_hash *map = textmap_create(CurrentMemoryContext, list_length(names) + 1, NULL);
	ListCell   *lc;

	foreach(lc, names)
	{
		char	   *folded = name_fold(lfirst(lc));

		textmap_put(map, folded, lappend(textmap_get(map, folded), lfirst(lc)));
	}
	return map;
}

/*
 * The name chosen of those that match a metric, its own where none does; NULL where two
 * do and none is its own.
 */
static const char *
chosen_name(const JobMetric *metric, const List *matching)
{
	if (matching == NIL || name_among(metric->name, matching))
		return metric->name;
	return list_length(matching) == 1 ? linitial(matching) : NULL;
}

static const List *
matching_names(textmap_hash *by_fold, const JobMetric *metric)
{
	return textmap_get(by_fold, name_fold(metric->name));
}

/* Have all metrics of a source their own names among these? */
static bool
all_have_their_own(const Source *source, const List *names)
{
	textmap_hash *by_fold = names_by_fold(names);
	bool		all = true;
	ListCell   *lc;

	foreach(lc, source->metrics)
	{
		const JobMetric *metric = ((const SourceMetric *) lfirst(lc))->metric;

		if (!name_among(metric->name, matching_names(by_fold, metric)))
			all = false;
	}
	textmap_destroy(by_fold);
	return all;
}

/* The names that matter where nothing is known of earlier runs. */
static List *
names_anew(RowNames *run, const Refresh *refresh)
{
	const Source *source = refresh->source;
	List	   *names;

	if (run->repeats || refresh->mode == REFRESH_FULL)
	{
		names = names_in_rows(run, source, " LIMIT " FIRST_ROWS);
		if (all_have_their_own(source, names))
			return names;
	}
	return names_in_rows(run, source, "");
}

/* Names in rows at the times that have changed since the cursor. */
static List *
names_in_changed(const RowNames *run, const Refresh *refresh)
{
	const Source *source = refresh->source;
	bool		local = getBaseType(get_atttype(source->relid, source->time_column)) != TIMESTAMPTZOID;
	Oid			type = local ? TIMESTAMPARRAYOID : TIMESTAMPTZARRAYOID;
	Datum		low[MAX_RANGES];
	Datum		high[MAX_RANGES];
	Oid			types[] = {type, type};
	Datum		values[2];
	const char *time = column_sql(source, source->time_column);
	StringInfoData condition;

	initStringInfo(&condition);
	for (int i = 0; i < MAX_RANGES; i++)	/* beyond the array's end is NULL */
		appendStringInfo(&condition, "%s(%s >= ($2)[%d] AND %s < ($3)[%d])", i > 0 ? " OR " : "(",
						 time, i + 1, time, i + 1);
	appendStringInfoChar(&condition, ')');
	for (int i = 0; i < refresh->changed->n; i++)
	{
		low[i] = TimestampTzGetDatum(refresh->changed->items[i].from);
		high[i] = TimestampTzGetDatum(refresh->changed->items[i].to);
	}
	type = get_element_type(type);
	values[0] = PointerGetDatum(construct_array(low, refresh->changed->n, type, sizeof(int64),
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[1] = PointerGetDatum(construct_array(high, refresh->changed->n, type, sizeof(int64),
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	return names_where(run, source, condition.data, "", lengthof(types), types, values);
}

/* Names in rows that transactions have inserted which the cursor does not see. */
static List *
names_in_added(const RowNames *run, const Refresh *refresh)
{
	const char *xid = psprintf("s.%s", quote_identifier(refresh->tracking->xid_column));
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(refresh->cursor->snapshot)};

	return names_where(run, refresh->source,
					   psprintf("%s >= pg_snapshot_xmin($2::pg_snapshot) AND "
								"NOT pg_visible_in_snapshot(%s, $2::pg_snapshot)", xid, xid),
					   "", lengthof(types), types, values);
}

/* The names in rows that are new, or were changed, since the cursor. */
static List *
names_since(RowNames *run, Refresh *refresh)
{
	StringInfoData rows;
	const char *key;
	const NamesQuery *before;
	List	   *names = NIL;

	extents_finish(refresh->changed);
	extents_bridge(refresh->changed, MAX_RANGES);
	if (refresh->changed->n == 0 && !refresh->additions)
		return NIL;
	initStringInfo(&rows);
	for (int i = 0; i < refresh->changed->n; i++)
		appendStringInfo(&rows, INT64_FORMAT " " INT64_FORMAT " ", refresh->changed->items[i].from,
						 refresh->changed->items[i].to);
	if (refresh->additions)
		appendStringInfoString(&rows, refresh->cursor->snapshot);
	key = query_key(refresh->source, rows.data);
	before = asked_before(run, key);
	if (before != NULL)
		return before->names;
	if (refresh->changed->n > 0)
		names = names_in_changed(run, refresh);
	if (refresh->additions)
		names = list_concat(names, names_in_added(run, refresh));
	return remember(run, key, names);
}

/* Those of these names that there are rows of. */
static List *
names_left(const Source *source, const List *names)
{
	const Definition *definition = source->definition;
	Node	   *filter = source_filter(source);
	Oid			types[] = {TEXTARRAYOID};
	Datum		values[] = {ext_text_array(names)};
	List	   *rows;
	OwnerScope	scope;

	owner_enter(&scope, definition->job, definition->timezone);
	rows = ext_query_active(false,
							psprintf("SELECT n FROM unnest($1) AS n WHERE "
									 "(SELECT true FROM %s AS s WHERE %s = n AND %s LIMIT 1)",
									 source->name, name_sql(source), counting_sql(source, filter)),
							lengthof(types), types, values);
	owner_leave(&scope);
	return first_texts(rows);
}

/*
 * Names without those that are gone, as far as that matters: where several match one of
 * a source's metrics.
 */
static List *
without_gone(const Source *source, List *names)
{
	textmap_hash *by_fold = names_by_fold(names);
	List	   *doubtful = NIL;
	List	   *left;
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, source->metrics)
	{
		const List *matching = matching_names(by_fold, ((const SourceMetric *) lfirst(lc))->metric);

		if (list_length(matching) > 1)
			doubtful = list_concat(doubtful, matching);
	}
	textmap_destroy(by_fold);
	if (doubtful == NIL)
		return names;
	left = names_left(source, doubtful);
	foreach(lc, names)
		if (!name_among(lfirst(lc), doubtful) || name_among(lfirst(lc), left))
			result = lappend(result, lfirst(lc));
	return result;
}

static int
compare_texts(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

/* The names that matter where the run goes on from a cursor. */
static List *
names_by_cursor(RowNames *run, Refresh *refresh)
{
	List	   *names = list_copy(refresh->cursor->names);
	textmap_hash *known = textmap_create(CurrentMemoryContext, list_length(names) + 1, NULL);
	ListCell   *lc;

	foreach(lc, names)
		textmap_put(known, lfirst(lc), lfirst(lc));
	foreach(lc, names_since(run, refresh))
	{
		if (textmap_get(known, lfirst(lc)) == NULL)
			names = lappend(names, lfirst(lc));
		textmap_put(known, lfirst(lc), lfirst(lc));
	}
	textmap_destroy(known);
	list_sort(names, compare_texts);
	if (refresh->changed->n > 0 || list_length(names) > list_length(refresh->cursor->names))
		names = without_gone(refresh->source, names);
	return names;
}

/* Tells of a metric that no row has, once a run. */
static void
tell_missing(RowNames *run, const Source *source, const JobMetric *metric)
{
	char	   *about = psprintf("%u %s", source->relid, metric->name);
	const char *column = text_for_client(get_attname(source->relid, source->name_column, false));

	if (!run->tells || name_among(about, run->told))
		return;
	run->told = lappend(run->told, about);
	ereport(NOTICE,
			(errmsg("no row of source \"%s\" has metric \"%s\"", text_for_client(source->name),
					text_for_client(metric->name)),
			 source->definition->filter ?
			 errdetail("No row with an id and a time that passes the filter of definition %d has it, or a name that matches it, in column \"%s\".",
					   source->definition->id, column) :
			 errdetail("No row with an id and a time has it, or a name that matches it, in column \"%s\".",
					   column)));
}

static void
report_two(const Source *source, const JobMetric *metric, const List *matching)
{
	Problems	raise = {.collect = false};

	problem_report(&raise, ERRCODE_AMBIGUOUS_COLUMN, source->definition->id, false,
				   psprintf("metric \"%s\" could be \"%s\" or \"%s\" in source \"%s\"", metric->name,
							(char *) linitial(matching), (char *) lsecond(matching), source->name),
				   "There are rows of both names, and none of the metric's own.",
				   "Call the metric exactly as the rows that are meant, or leave out the others by resource_filter.");
}

/*
 * Chooses the name by which the rows of a source in row layout have each metric of a
 * refresh, whose cursor and changes are known: sets row_name of the source's metrics, and
 * the names for the next cursor.  Returns whether everything has to be recomputed,
 * because a name other than the cursor's is chosen.  ERROR where it cannot be told which
 * of two names is meant; a NOTICE may tell of a metric that no row has.
 */
bool
row_names_choose(RowNames *run, Refresh *refresh)
{
	const Source *source = refresh->source;
	textmap_hash *by_fold;
	textmap_hash *before;
	bool		others = false;
	ListCell   *lc;

	if (source->layout != LAYOUT_ROW)
		return false;
	refresh->names = refresh->changed ? names_by_cursor(run, refresh) : names_anew(run, refresh);
	by_fold = names_by_fold(refresh->names);
	before = names_by_fold(refresh->changed ? refresh->cursor->names : NIL);
	foreach(lc, source->metrics)
	{
		SourceMetric *metric = lfirst(lc);
		const List *matching = matching_names(by_fold, metric->metric);
		const List *matched = matching_names(before, metric->metric);
		const char *was;

		if (matching == NIL)
			tell_missing(run, source, metric->metric);
		metric->row_name = chosen_name(metric->metric, matching);
		if (metric->row_name == NULL)
			report_two(source, metric->metric, matching);
		was = chosen_name(metric->metric, matched);
		if (matched != NIL && (was == NULL || strcmp(was, metric->row_name) != 0))
			others = true;
	}
	textmap_destroy(by_fold);
	textmap_destroy(before);
	return others;
}

/*
 * Creates what a run knows of the names in its sources, a list of Source: nothing yet.
 * One that repeats another leaves no cursor.  `tells`: of metrics that no row has.
 */
RowNames *
row_names_create(const List *sources, bool repeats, bool tells)
{
	RowNames   *run = palloc0(sizeof(RowNames));

	run->sources = sources;
	run->repeats = repeats;
	run->tells = tells;
	return run;
}
