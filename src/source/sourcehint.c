/*-------------------------------------------------------------------------
 *
 * sourcehint.c
 *	  What to do where a source does not have what a job needs, for hints.
 *
 * Whoever made a table knows which of its columns is which; the hints here name
 * those that look right by name and type, so that the reader sees at once what
 * to write.  They are guesses, and nothing is done by them.
 *
 * Hints are sentences with a blank before them, to be appended; "" where there is
 * nothing to say.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "model/names.h"
#include "source/coltype.h"
#include "source/sourcehint.h"
#include "words/nearest.h"

/* Parts of names by which people call such columns; the end of the list is NULL. */
static const char *const name_parts[] = {
	"metric", "name", "key", "kind", "type", "param", "measure", "variable", "field", "attribute",
	"counter", "property", "channel", "signal", "sensor", "label", NULL
};
static const char *const value_parts[] = {
	"value", "val", "reading", "amount", "measure", "number", "quantity", "result", "data", "level",
	NULL
};
static const char *const time_parts[] = {
	"time", "date", "stamp", "day", "hour", "epoch", "created", "updated", "when", "clock", NULL
};

/* The name of a column, folded; NULL for one that was dropped. */
static char *
folded_name(Relation rel, AttrNumber column)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), column - 1);

	return attribute->attisdropped ? NULL : name_fold(NameStr(attribute->attname));
}

static const char *
quoted_name(Relation rel, AttrNumber column)
{
	return quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(rel), column - 1)->attname));
}

static Oid
base_type(Relation rel, AttrNumber column)
{
	return getBaseType(TupleDescAttr(RelationGetDescr(rel), column - 1)->atttypid);
}

static bool
has_part(const char *folded, const char *const *parts)
{
	for (; *parts; parts++)
		if (strstr(folded, *parts) != NULL)
			return true;
	return false;
}

static bool
ends_with(const char *text, const char *end)
{
	size_t		length = strlen(text);

	return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

/* Values of a type that numbers can be, but times are not. */
static bool
is_number(Oid type)
{
	return type_is_value(type) && type != BOOLOID && type != INTERVALOID;
}

static bool
looks_like_time(const char *folded)
{
	return has_part(folded, time_parts) || strcmp(folded, "ts") == 0 || ends_with(folded, "_at") ||
		ends_with(folded, "_ts");
}

/*
 * " Perhaps you meant column ...", where a column is called nearly like this.
 */
char *
hint_column_near(Relation rel, const char *name)
{
	int			ncolumns = RelationGetNumberOfAttributes(rel);
	const char **known = palloc(sizeof(char *) * Max(ncolumns, 1));
	const char *meant;
	int			n = 0;

	for (AttrNumber column = 1; column <= ncolumns; column++)
		if (folded_name(rel, column))
			known[n++] = NameStr(TupleDescAttr(RelationGetDescr(rel), column - 1)->attname);
	meant = word_nearest(name, known, n);
	return meant ? psprintf(" Perhaps you meant column \"%s\".", meant) : "";
}

/*
 * What to do if metrics are rows: where a column looks like their names and
 * another like their values.
 */
char *
hint_row_layout(Relation rel)
{
	AttrNumber	name = InvalidAttrNumber;
	AttrNumber	value = InvalidAttrNumber;

	for (AttrNumber column = 1; column <= RelationGetNumberOfAttributes(rel); column++)
	{
		char	   *folded = folded_name(rel, column);

		if (folded == NULL || ends_with(folded, "id"))
			continue;
		if (name == InvalidAttrNumber && type_is_name(base_type(rel, column)) &&
			has_part(folded, name_parts))
			name = column;
		else if (value == InvalidAttrNumber && is_number(base_type(rel, column)) &&
				 has_part(folded, value_parts))
			value = column;
	}
	if (name == InvalidAttrNumber || value == InvalidAttrNumber)
		return "";
	return psprintf(" If each row has the name and the value of a metric, specify name_column and "
					"value_column in metricsandtables, such as %s and %s.",
					quoted_name(rel, name), quoted_name(rel, value));
}

/*
 * How a column of another type becomes a time, or a metric, in a view.
 */
char *
hint_conversion(Relation rel, AttrNumber column, bool to_time)
{
	Oid			type = base_type(rel, column);
	const char *name = quoted_name(rel, column);
	char	   *expression;

	if (to_time && type_is_name(type))
		expression = psprintf("%s::timestamptz", name);
	else if (to_time && is_number(type))
		expression = psprintf("to_timestamp(%s), or to_timestamp(%s / 1000.0) if it counts milliseconds",
							  name, name);
	else if (to_time)
		return "";
	else if (type_is_name(type) || type == MONEYOID)
		expression = psprintf("%s::numeric", name);
	else if (type == JSONBOID || type == JSONOID)
		expression = psprintf("(%s->>'key')::numeric", name);
	else if (type == TIMESTAMPTZOID || type == TIMESTAMPOID || type == DATEOID || type == TIMEOID)
		expression = psprintf("extract(epoch FROM %s)", name);
	else
		return "";
	return psprintf(" Make a view that converts column %s, by %s, and use the view as the source.",
					name, expression);
}

/*
 * What to do where no column has the type of a time.
 */
char *
hint_no_time(Relation rel)
{
	for (AttrNumber column = 1; column <= RelationGetNumberOfAttributes(rel); column++)
	{
		char	   *folded = folded_name(rel, column);
		char	   *hint;

		if (folded == NULL || !looks_like_time(folded))
			continue;
		hint = hint_conversion(rel, column, true);
		if (hint[0] != '\0')
			return hint;
	}
	return "";
}

/*
 * " Perhaps you meant column ...", where one looks like the id of a focal entity.
 */
char *
hint_id_candidate(Relation rel, const char *focal_entity)
{
	char	   *entity = name_fold(focal_entity);
	AttrNumber	found = InvalidAttrNumber;

	for (AttrNumber column = 1; column <= RelationGetNumberOfAttributes(rel); column++)
	{
		char	   *folded = folded_name(rel, column);

		if (folded == NULL)
			continue;
		if (strstr(folded, entity) != NULL || strstr(entity, folded) != NULL)
		{
			found = column;
			break;
		}
		if (found == InvalidAttrNumber && ends_with(folded, "id"))
			found = column;
	}
	return found == InvalidAttrNumber ? "" :
		psprintf(" Perhaps you meant column %s.", quoted_name(rel, found));
}
