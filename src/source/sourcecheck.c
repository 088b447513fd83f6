/*-------------------------------------------------------------------------
 *
 * sourcecheck.c
 *	  Checks of mappings and filters as they are written, and columns for who tracks changes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "optimizer/optimizer.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "model/names.h"
#include "model/reading.h"
#include "source/doubt.h"
#include "source/draft.h"
#include "source/sourcecheck.h"

/*
 * Checks a row of metricsandtables against its table, which must be there: the
 * columns it names, the metric, and that role `reader` may read these.  What
 * depends on a definition (the id where none is named, the time) is left to
 * source_resolve().  ERROR at the first problem.
 */
void
source_check_mapping(const SourceMapping *mapping, Oid reader)
{
	Problems	raise = {.collect = false};
	Request		request = {.metric_name = mapping->metric_name,.mapping = mapping};
	Draft		draft = {
		.written = mapping->table_name,
		.requests = list_make1(&request),
		.reader = reader,
		.problems = &raise
	};
	Source		source = {0};

	if (!draft_find(&draft))
		return;
	merge_mappings(&draft);
	resolve_layout(&draft, &source);
	if (mapping->id_column)
		source.id_column = find_named_column(&draft, mapping->id_column, "id_column", false);
	if (mapping->time_column)
		source.time_column = resolve_time(&draft);
	require_source_privileges(&draft, &source);
	draft_close(&draft);
}

/*
 * Checks a filter against relation `relid`, which is locked, as it will be read
 * in a run: by role `reader`, in the time zone of the definition.  ERROR where
 * the filter is not allowed there; `warnings` where it is probably not what was meant.
 */
void
source_check_filter(Oid relid, const char *filter, const char *timezone, Oid reader,
					const FilterWarnings *warnings)
{
	Problems	raise = {.collect = false};
	Draft		draft = {.reader = reader,.problems = &raise,.relid = relid};
	Node	   *analysed;
	Bitmapset  *used = NULL;
	AttrNumber *columns;
	int			n = 0;
	int			member = -1;
	int			guc_level;

	draft.name = name_qualified(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
	if (!draft_open(&draft))
		return;

	guc_level = NewGUCNestLevel();
	reading_fix_settings(reader, timezone);
	analysed = filter_of_relation(draft.rel, filter, warnings);
	pull_varattnos(analysed, 1, &used);
	AtEOXact_GUC(false, guc_level);
	warn_of_session_calls(analysed, warnings, draft.name);
	if (bms_is_empty(used))
		problem_report(warnings->problems, ERRCODE_WARNING, warnings->definition_id, true,
					   psprintf("filter refers to no column of source \"%s\"", draft.name),
					   "Its result is the same for all rows.", NULL);

	columns = palloc(sizeof(AttrNumber) * (bms_num_members(used) + 1));
	while ((member = bms_next_member(used, member)) >= 0)
		columns[n++] = member + FirstLowInvalidHeapAttributeNumber;
	require_privileges(&draft, columns, n);
	draft_close(&draft);
}

/* A draft of a table, with what is wrong with it left aside. */
static bool
open_silently(Draft *draft, Problems *ignored, Oid relid)
{
	ignored->collect = true;
	draft->problems = ignored;
	draft->name = get_rel_name(relid);
	draft->relid = relid;
	return draft_open(draft);
}

/*
 * The column of relation `relid` that is the time, where mappings have `mapped` (or
 * NULL) as time_column; InvalidAttrNumber where there is none, or several could be.
 */
AttrNumber
source_find_time(Oid relid, char *mapped)
{
	Problems	ignored = {0};
	Draft		draft = {.merged = {.time_column = mapped}};
	AttrNumber	column;

	if (!open_silently(&draft, &ignored, relid))
		return InvalidAttrNumber;
	column = resolve_time(&draft);
	draft_close(&draft);
	return draft.failed ? InvalidAttrNumber : column;
}

/*
 * Likewise the column that is the id of a focal entity.
 */
AttrNumber
source_find_id(Oid relid, char *mapped, const char *focal_entity)
{
	Problems	ignored = {0};
	Draft		draft = {.merged = {.id_column = mapped}};
	AttrNumber	column;

	if (!open_silently(&draft, &ignored, relid))
		return InvalidAttrNumber;
	column = resolve_id(&draft, focal_entity);
	draft_close(&draft);
	return draft.failed ? InvalidAttrNumber : column;
}
