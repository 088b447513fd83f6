/*-------------------------------------------------------------------------
 *
 * grouping.c
 *	  What makes groups of a source's rows, to store and to compare.
 *
 * With the layout of stored results is written what made groups of rows when they were
 * computed, in two ways.  As it is said, by the names of columns, it can be compared
 * wherever it has been restored.  As it is meant, by the numbers of columns and all that
 * the filter refers to, it can be only in the place where it was stored; then that decides.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "model/owner.h"
#include "refresh/grouping.h"
#include "refresh/sourcerows.h"
#include "source/meaning.h"
#include "time/zone.h"

/* A grouping's fields in the order of the struct, but for its zone. */
#define GROUPING_NUMBERS \
	UINT64_FORMAT " " UINT64_FORMAT " " UINT64_FORMAT " " UINT64_FORMAT " " UINT64_FORMAT " " \
	UINT64_FORMAT " " UINT64_FORMAT " %d %d %d %d %d"

static uint64
hash_text(const char *text)
{
	return hash_bytes_extended((const unsigned char *) text, strlen(text), 0);
}

/* The name of a source's column; of none it is empty. */
static const char *
column_name(const Source *source, AttrNumber column)
{
	return column == InvalidAttrNumber ? "" : get_attname(source->relid, column, false);
}

/* Numbers print like numbers, and texts like texts; other types each in a way of its own. */
static const char *
print_kind(Oid type)
{
	char		category;
	bool		preferred;

	if (!OidIsValid(type))
		return "";
	get_type_category_preferred(type, &category, &preferred);
	return category == TYPCATEGORY_NUMERIC || category == TYPCATEGORY_STRING ?
		psprintf("%c", category) : format_type_be_qualified(type);
}

/*
 * A hash of all that decides which rows of a source are in which group, but for the
 * labels of ids and names.
 */
static uint64
exact_meaning(const Source *source, const Grouping *grouping)
{
	const Definition *definition = source->definition;
	StringInfoData text;
	OwnerScope	scope;
	Node	   *filter = source_filter(source);

	initStringInfo(&text);
	appendStringInfo(&text, "%d %d %d %d %d %d " UINT64_FORMAT " %s " UINT64_FORMAT "\n%s\n",
					 source->layout, source->id_column, source->time_column, source->name_column,
					 source->value_column, grouping->time_is_local, grouping->id_kind,
					 definition->timezone, zone_digest(definition->tz),
					 definition->filter ? definition->filter : "");
	if (filter != NULL)
	{
		owner_enter(&scope, definition->job, definition->timezone);
		meaning_append_filter(&text, filter);
		owner_leave(&scope);
	}
	return hash_text(text.data);
}

/* What makes groups of a source's rows now. */
void
grouping_find(const Source *source, Grouping *grouping)
{
	const Definition *definition = source->definition;
	Oid			id_type = source_column_type(source, source->id_column);

	memset(grouping, 0, sizeof(Grouping));
	grouping->time_is_local = source_time_is_local(source);
	grouping->id_name = hash_text(column_name(source, source->id_column));
	grouping->id_kind = hash_text(print_kind(id_type));
	grouping->id_labels = grouping->name_labels = -1;
	grouping->id_digest = meaning_labels(id_type, &grouping->id_labels);
	grouping->name_digest = meaning_labels(source_column_type(source, source->name_column),
										   &grouping->name_labels);
	grouping->id_column = source->id_column;
	grouping->time_column = source->time_column;
	strlcpy(grouping->zone, definition->timezone, sizeof(grouping->zone));
	grouping->said =
		hash_text(psprintf("%d %s\n%s\n%s\n%s\n%d " UINT64_FORMAT " %s\n%s", source->layout,
						   column_name(source, source->id_column),
						   column_name(source, source->time_column),
						   column_name(source, source->name_column),
						   column_name(source, source->value_column),
						   grouping->time_is_local, grouping->id_kind, definition->timezone,
						   definition->filter ? definition->filter : ""));
	grouping->place = hash_text(psprintf(UINT64_FORMAT " %u %u", GetSystemIdentifier(), MyDatabaseId,
										 source->relid));
	if (definition->keep_history)
		grouping->exact = exact_meaning(source, grouping);
}

/*
 * What makes groups of a source's rows, as a text to compare: results of another
 * meaning cannot stand beside those of a definition.
 */
char *
grouping_text(const Source *source)
{
	Grouping	now;

	grouping_find(source, &now);
	return psprintf(GROUPING_NUMBERS " %s", now.said, now.place, now.exact, now.id_name, now.id_kind,
					now.id_digest, now.name_digest, now.id_labels, now.name_labels,
					now.id_column, now.time_column, now.time_is_local, now.zone);
}

/* Reads such a text.  Returns false where it is of another form. */
bool
grouping_read(const char *text, Grouping *grouping)
{
	StaticAssertStmt(TZ_STRLEN_MAX == 255, "a time zone's name is longer than what is read of it");
	return sscanf(text, GROUPING_NUMBERS " %255[^\n]",
				  &grouping->said, &grouping->place, &grouping->exact,
				  &grouping->id_name, &grouping->id_kind, &grouping->id_digest,
				  &grouping->name_digest, &grouping->id_labels, &grouping->name_labels,
				  &grouping->id_column, &grouping->time_column, &grouping->time_is_local,
				  grouping->zone) == 13;
}

/* Are labels of an enum called as they were?  There may be more. */
static bool
labels_are_same(const Source *source, AttrNumber column, int n, uint64 digest)
{
	return n == 0 || meaning_labels(source_column_type(source, column), &n) == digest;
}

/* Is what is meant now the same as before, but for ids? */
bool
grouping_is_same(const Source *source, const Grouping *before, const Grouping *now)
{
	if (before->place != now->place || before->exact == 0 || now->exact == 0)
		return before->said == now->said;
	return before->exact == now->exact &&
		labels_are_same(source, source->name_column, before->name_labels, before->name_digest);
}

/* Were results of another meaning of the same entities? */
bool
grouping_has_same_entities(const Source *source, const Grouping *before, const Grouping *now)
{
	if (before->id_kind != now->id_kind)
		return false;
	if (before->place != now->place)
		return before->id_name == now->id_name;
	return before->id_column == now->id_column &&
		labels_are_same(source, source->id_column, before->id_labels, before->id_digest);
}
