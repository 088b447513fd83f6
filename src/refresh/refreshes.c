/*-------------------------------------------------------------------------
 *
 * refreshes.c
 *	  Finding out what a run has to recompute of a definition's results from one source.
 *
 * The stored results of a definition are exact for the snapshot and the horizon
 * of its last run, which left them in a cursor.  What can make them wrong since
 * then is
 *
 *	 1. rows that were inserted, changed or deleted by a transaction which this
 *		run's snapshot sees and the cursor's does not;
 *	 2. rows that were there already, between the old horizon and the new one;
 *	 3. anything else that results depend on: the definition, its metrics and
 *		mappings, the columns' types.
 *
 * The third is compared by a fingerprint; where it differs, everything is
 * recomputed.  The second is a range of time, and empty where no row was seen
 * ahead of the horizon.  The first depends on the mode of the source:
 *
 *	 log		Writers leave marks, in the transaction in which they write: of
 *				which times, and of which entities.  The marks of those
 *				transactions say what to recompute.
 *	 snapshot	Each row has the id of the transaction that inserted it, so the
 *				rows of those transactions are found in the source itself.  They
 *				are added to the partial states that are stored with the
 *				results, if PostgreSQL's own id of the row (xmin) is the same.
 *				Groups with other such rows are recomputed; and where percentiles
 *				are asked for, for which there are no such states, all groups with
 *				new rows are.  Changes and deletions leave marks as above.
 *	 lookback	Nothing is known of rows.  What is younger than the definition's
 *				lookback is recomputed, the rest left as it is.
 *	 full		Nothing is known, and everything is recomputed.
 *
 * Partial states are stored for coarser definitions too, in mode log as well as
 * in mode snapshot: what is not recomputed of a finer one is exact already, and so
 * coarse buckets can be computed from its stored states.  That goes for buckets
 * whose groups are all stored: not for those whose results are retained no longer.
 * What a lookback leaves alone is not exact.  Where results outlive their rows,
 * states are stored in every mode (history.c).  The fingerprint tells whether states
 * are stored, so that a definition which begins to store them does so everywhere.
 *
 * A part of the results can be recomputed on its own, to repair or to verify it.
 * That repeats the last run for these buckets, with its horizon, and from rows
 * alone, since it is the store that is in doubt.  Its cursor, if it can still be
 * used, stays as it is: the part is newer than the cursor says,
 * and is brought up to date with the rest.  Only rows that are to be added, and
 * were there when the part was recomputed, would be counted twice; so their
 * times are marked, and the next run recomputes instead.
 *
 * A mode is trusted only where it covers all that can happen.  Where the
 * owner's rows depend on row-level security, or the filter on anything but the
 * row, or triggers are missing, the source is read as a whole.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"

#include "group/entity.h"
#include "model/ext.h"
#include "model/owner.h"
#include "model/problem.h"
#include "refresh/changes.h"
#include "refresh/history.h"
#include "refresh/refreshes.h"
#include "refresh/rownames.h"
#include "refresh/sourcerows.h"
#include "source/meaning.h"
#include "stats/state.h"
#include "time/zone.h"

/* To be changed when the stored partial states are. */
#define STATES_VERSION 1

/*
 * Why a source cannot be read by what its tracking says; NULL: it can.
 */
static const char *
tracking_obstacle(const Source *source, const Tracking *tracking, Node *filter)
{
	const char *time_column = get_attname(source->relid, source->time_column, false);
	Oid			type;
	int32		typmod;
	Oid			collation;

	if (strcmp(time_column, tracking->time_column) != 0)
		return psprintf("the definition's time column is \"%s\", and the source is tracked by \"%s\"",
						time_column, tracking->time_column);
	if (source->id_column != InvalidAttrNumber)
	{
		get_atttypetypmodcoll(source->relid, source->id_column, &type, &typmod, &collation);
		if (!entities_print_alike(type, collation))
			return "ids that are equal can look different, and which look they get depends on all rows";
	}
	if (check_enable_rls(source->relid, source->definition->job->owner, true) == RLS_ENABLED)
		return "row-level security decides which rows the owner sees";
	if (filter != NULL && !meaning_is_settled(filter))
		return "the filter depends on more than the row: it is not immutable";
	return NULL;
}

/* Can all that a source's metrics ask for be merged from partial states? */
static bool
states_merge(const Source *source)
{
	ListCell   *lc;
	int			i;

	foreach(lc, source->metrics)
	{
		const JobMetric *metric = ((SourceMetric *) lfirst(lc))->metric;

		for (i = 0; i < metric->naggregates; i++)
			if (aggregate_fields(&metric->aggregates[i]) & FIELD_VALUES)
				return false;
	}
	return true;
}

/* How the relation that several definitions may read is tracked. */
typedef struct TrackedRelation
{
	Oid			relid;
	Tracking   *tracking;		/* NULL: not at all */
	const char *broken;			/* why marks do not tell all; NULL: they do */
} TrackedRelation;

/* What is common to the refreshes of a run. */
typedef struct RefreshPlanner
{
	const List *sources;		/* of Source */
	TimestampTz run_time;
	bool		may_write;
	bool		warns;			/* of broken tracking */
	bool		repeats;		/* what the last run had, in buckets that begin in */
	TimestampTz from;			/* [from, to) */
	TimestampTz to;
	List	   *cursors;		/* of Cursor */
	List	   *relations;		/* of TrackedRelation */
	RowNames   *row_names;
} RefreshPlanner;

/*
 * How a source's relation is tracked, found out once for all that read it.
 * Where that is broken, a WARNING may say so.
 */
static const TrackedRelation *
tracked_relation(RefreshPlanner *planner, const Source *source)
{
	TrackedRelation *relation;
	ListCell   *lc;

	foreach(lc, planner->relations)
	{
		relation = lfirst(lc);
		if (relation->relid == source->relid)
			return relation;
	}
	relation = palloc0(sizeof(TrackedRelation));
	relation->relid = source->relid;
	relation->tracking = tracking_load(source->name);
	if (relation->tracking != NULL)
		relation->broken = tracking_settle(relation->tracking, source->relid, planner->may_write);
	planner->relations = lappend(planner->relations, relation);
	if (relation->broken != NULL && planner->warns)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("source %s is read as a whole, because its tracking is broken",
						text_for_client(source->name)),
				 errdetail_internal("%s", text_for_client(relation->broken)),
				 errhint("Call batchagg_track_source() again.")));
	return relation;
}

/*
 * Are partial states stored with the results from a source, so that coarser ones
 * of the same job can be computed from them?  That depends on nothing but the
 * job: what is stored must not change with what it is run together with.
 */
static bool
feeds_coarser(const RefreshPlanner *planner, const Source *source)
{
	const Definition *definition = source->definition;
	ListCell   *lc;

	if (definition->lookback != NULL && !definition->keep_history)
		return false;
	foreach(lc, planner->sources)
	{
		const Source *other = lfirst(lc);

		if (other->definition->job == definition->job &&
			source_nests(source, other) && !source_nests(other, source) &&
			definition->job_delay <= other->definition->job_delay &&
			definition->keep_history <= other->definition->keep_history)
			return true;
	}
	return false;
}

/*
 * Are partial states stored with the results, to be added to or for coarser ones?
 */
static bool
keeps_states(const RefreshPlanner *planner, const Refresh *refresh)
{
	const Source *source = refresh->source;

	if (!states_merge(source))
		return false;
	if (refresh->mode == REFRESH_SNAPSHOT && !source->definition->keep_history)
		return true;
	return (refresh->tracking != NULL || source->definition->keep_history) &&
		feeds_coarser(planner, source);
}

/*
 * Chooses how the source is read.
 */
static void
choose_mode(RefreshPlanner *planner, Refresh *refresh, Node *filter)
{
	const Source *source = refresh->source;
	const TrackedRelation *relation = tracked_relation(planner, source);

	refresh->mode = source->definition->lookback ? REFRESH_LOOKBACK : REFRESH_FULL;
	if (relation->tracking == NULL)
		return;
	refresh->marked = relation->tracking;
	refresh->reason = relation->broken ? relation->broken :
		tracking_obstacle(source, relation->tracking, filter);
	if (refresh->reason != NULL)
		return;
	refresh->tracking = relation->tracking;
	refresh->mode = relation->tracking->mode == TRACK_LOG ? REFRESH_LOG : REFRESH_SNAPSHOT;
}

/* Appends what a source means, as its reader. */
static void
append_meaning(StringInfo text, const Source *source, Node *filter)
{
	List	   *columns = list_make4_int(source->id_column, source->time_column, source->name_column,
										 source->value_column);
	OwnerScope	scope;
	ListCell   *lc;

	foreach(lc, source->metrics)
		columns = lappend_int(columns, ((const SourceMetric *) lfirst(lc))->column);
	owner_enter(&scope, source->definition->job, filter ? source->definition->timezone : NULL);
	meaning_append(text, source->rel, columns, filter);
	owner_leave(&scope);
}

/*
 * A hash of all that results depend on besides rows and horizon.
 */
static char *
fingerprint(const Refresh *refresh, Node *filter)
{
	const Source *source = refresh->source;
	const Definition *definition = source->definition;
	StringInfoData text;
	ListCell   *lc;
	int			i;

	initStringInfo(&text);
	appendStringInfo(&text, "%d %u %d %s %s %s " UINT64_FORMAT " %d %d\n%s\n%s",
					 refresh->keeps_states ? STATES_VERSION : 0, source->relid, source->layout,
					 definition->focal_entity, definition->granularity_text,
					 definition->timezone, zone_digest(definition->tz),
					 definition->complete_only, definition->keep_history,
					 definition->source_retention ? definition->source_retention : "",
					 definition->filter ? definition->filter : "");
	append_meaning(&text, source, filter);
	foreach(lc, source->metrics)
	{
		const SourceMetric *metric = lfirst(lc);

		appendStringInfo(&text, "\n%s:", metric->metric->name);
		for (i = 0; i < metric->metric->naggregates; i++)
			appendStringInfo(&text, " %s", metric->metric->aggregates[i].name);
	}
	return psprintf(UINT64_FORMAT,
					hash_bytes_extended((const unsigned char *) text.data, text.len, 0));
}

/*
 * The cursor that the run can go on from; NULL where there is none, with the
 * reason.
 */
static const Cursor *
usable_cursor(Refresh *refresh, const List *cursors)
{
	const Source *source = refresh->source;
	const Cursor *cursor = cursor_find(cursors, source->definition->id, source->name);

	if (cursor == NULL)
		refresh->reason = "there has been no such run yet";
	else if (strcmp(cursor->mode, refresh_mode_name(refresh->mode)) != 0)
		refresh->reason = psprintf("the last run was in mode %s", cursor->mode);
	else if (strcmp(cursor->fingerprint, refresh->fingerprint) != 0)
		refresh->reason = "the definition, or something that it refers to, has changed";
	else
		return cursor;
	return NULL;
}

/*
 * Chooses how the source is read, and looks for a cursor that the run can go on from.
 */
static void
refresh_find_cursor(RefreshPlanner *planner, Refresh *refresh)
{
	const Source *source = refresh->source;
	Node	   *filter = NULL;

	if (source->definition->lookback != NULL || tracked_relation(planner, source)->tracking != NULL)
		filter = source_filter(source);
	choose_mode(planner, refresh, filter);
	refresh->keeps_states = keeps_states(planner, refresh);
	if (refresh->mode == REFRESH_FULL)
		return;
	refresh->fingerprint = fingerprint(refresh, filter);
	refresh->cursor = usable_cursor(refresh, planner->cursors);
}

/*
 * Where a definition's results begin that are retained.
 */
static TimestampTz
find_retained_from(const Refresh *refresh)
{
	const Definition *definition = refresh->source->definition;

	return definition->retention == NULL ? DT_NOBEGIN :
		bucket_before(definition, refresh->horizon, definition->retention);
}

/* The start of the first of a definition's buckets that begins at t or later. */
static TimestampTz
bucket_from(const Definition *definition, TimestampTz t)
{
	TimestampTz start;

	if (TIMESTAMP_NOT_FINITE(t))
		return t;
	start = bucket_start(&definition->granularity, definition->tz, t);
	return start == t ? t : bucket_end(&definition->granularity, definition->tz, start);
}

/*
 * Are partial states stored with the results from a source?  The latest tell:
 * older ones may be history, which has none.
 */
static bool
states_are_stored(const Source *source)
{
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		values[] = {
		Int32GetDatum(source->definition->id),
		CStringGetTextDatum(source->name)
	};
	List	   *rows = ext_query(true,
								 psprintf("SELECT 1 FROM %s l CROSS JOIN LATERAL "
										  "(SELECT states FROM %s WHERE layout_id = l.id "
										  "ORDER BY bucket DESC LIMIT 1) s "
										  "WHERE definition_id = $1 AND source = $2 "
										  "AND states IS NOT NULL",
										  ext_table("batchagg_layouts"),
										  ext_table("batchagg_store")),
								 lengthof(types), types, values);

	return rows != NIL;
}

/* The horizon of a definition's results where rows are read up to t. */
static TimestampTz
horizon_at(const Definition *definition, TimestampTz t)
{
	return definition->complete_only ?
		bucket_start(&definition->granularity, definition->tz, t) : t;
}

/*
 * Plans to recompute a range of the results, as of the last run.
 */
static void
refresh_repeat(RefreshPlanner *planner, Refresh *refresh)
{
	const Definition *definition = refresh->source->definition;
	const Cursor *last = cursor_find(planner->cursors, definition->id, refresh->source->name);

	if (last != NULL)
		refresh->horizon = horizon_at(definition, last->horizon);
	refresh->retained_from = refresh->exact_from = find_retained_from(refresh);
	refresh->extents = extents_create();
	extents_add(refresh->extents, bucket_from(definition, planner->from),
				bucket_from(definition, planner->to), NULL, 0);
	if (planner->may_write)
		refresh_find_cursor(planner, refresh);
	else if (definition->keep_history)
		refresh->keeps_states = keeps_states(planner, refresh);
	else
		refresh->keeps_states = states_merge(refresh->source) && states_are_stored(refresh->source);
	(void) row_names_choose(planner->row_names, refresh);
	if (refresh->cursor != NULL && refresh->mode == REFRESH_SNAPSHOT &&
		refresh->keeps_states && !definition->keep_history && refresh->extents->n > 0)
		changes_mark_new_rows(refresh);
}

/* Plans to recompute everything, whatever was found out about the cursor. */
static void
refresh_anew(Refresh *refresh)
{
	refresh->cursor = NULL;
	refresh->exact_from = refresh->retained_from;
	refresh->extents = extents_everything();
	refresh->additions = false;
	refresh->ahead.n = 0;
}

/*
 * Plans to bring the results up to date.
 */
static void
refresh_go_on(RefreshPlanner *planner, Refresh *refresh)
{
	refresh_find_cursor(planner, refresh);
	refresh->retained_from = refresh->exact_from = find_retained_from(refresh);
	if (refresh->cursor != NULL)
		changes_find(refresh);
	else
		refresh_anew(refresh);
	if (row_names_choose(planner->row_names, refresh))
	{
		refresh->reason = "the rows have a metric by another name now";
		refresh_anew(refresh);
	}
}

/*
 * Where the results begin whose stored states are those of all rows that there
 * are, if this run does not bring them up to date; see states_from.
 */
static TimestampTz
find_states_from(const RefreshPlanner *planner, const Refresh *refresh)
{
	const Definition *definition = refresh->source->definition;

	if (refresh->cursor == NULL || !refresh->keeps_states || planner->repeats ||
		definition->lookback != NULL || extents_are_everything(refresh->extents))
		return DT_NOEND;
	return bucket_from(definition, refresh->retained_from);
}

/*
 * Plans what has to be recomputed of the results from one source.
 */
static Refresh *
refresh_plan(RefreshPlanner *planner, Source *source)
{
	const Definition *definition = source->definition;
	Refresh    *refresh = palloc0(sizeof(Refresh));

	refresh->source = source;
	refresh->horizon = horizon_at(definition, job_run_time(definition->job, planner->run_time) -
								  definition->job_delay * USECS_PER_HOUR);
	if (planner->repeats)
		refresh_repeat(planner, refresh);
	else
		refresh_go_on(planner, refresh);
	history_plan(refresh);
	if (refresh->retained_from != DT_NOBEGIN)
		extents_clip(refresh->extents, refresh->retained_from, DT_NOEND);
	refresh->states_from = find_states_from(planner, refresh);
	return refresh;
}

static List *
plan_all(RefreshPlanner *planner)
{
	List	   *definition_ids = NIL;
	List	   *refreshes = NIL;
	ListCell   *lc;

	foreach(lc, planner->sources)
		definition_ids = lappend_int(definition_ids, ((Source *) lfirst(lc))->definition->id);
	planner->cursors = cursors_load(definition_ids);
	planner->row_names = row_names_create(planner->sources, planner->repeats, planner->warns);
	foreach(lc, planner->sources)
		refreshes = lappend(refreshes, refresh_plan(planner, lfirst(lc)));
	return refreshes;
}

/*
 * Plans what a run at run_time has to recompute of the results from these
 * sources, a list of Source: returns a list of Refresh.  Reads with the active
 * snapshot or a later one.  Without may_write, nothing is written about the
 * tracking of sources.
 */
List *
refreshes_plan(List *sources, TimestampTz run_time, bool may_write)
{
	RefreshPlanner planner = {
		.sources = sources,.run_time = run_time,.may_write = may_write,.warns = may_write
	};

	return plan_all(&planner);
}

/*
 * Plans to recompute the results from these sources in the buckets that begin in
 * [from, to), as of the last run, whose time was run_time: likewise.  Without
 * may_write, partial states are recomputed where they are stored.  With warns, broken
 * tracking is warned of.
 */
List *
refreshes_repeat(List *sources, TimestampTz run_time, TimestampTz from, TimestampTz to,
				 bool may_write, bool warns)
{
	RefreshPlanner planner = {
		.sources = sources,.run_time = run_time,.may_write = may_write,.warns = warns,
		.repeats = true,.from = from,.to = to
	};

	return plan_all(&planner);
}
