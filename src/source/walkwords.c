/*-------------------------------------------------------------------------
 *
 * walkwords.c
 *	  What the words of a function's text may stand for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_ts_config.h"
#include "catalog/pg_ts_dict.h"
#include "catalog/pg_type.h"
#include "pgtime.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "source/walk.h"

/* What kinds of objects a name is looked for among. */
static const struct
{
	int			cache;
	Oid			catalog;
}			named_kinds[] = {
	{PROCNAMEARGSNSP, ProcedureRelationId},
	{TYPENAMENSP, TypeRelationId},
	{OPERNAMENSP, OperatorRelationId},
	{COLLNAMEENCNSP, CollationRelationId},
	{TSCONFIGNAMENSP, TSConfigRelationId},
	{TSDICTNAMENSP, TSDictionaryRelationId}
};

/* An object that has a name, and its schema. */
typedef struct Named
{
	Oid			object;
	Oid			schema;
} Named;

static int
compare_named(const ListCell *a, const ListCell *b)
{
	Oid			left = ((const Named *) lfirst(a))->object;
	Oid			right = ((const Named *) lfirst(b))->object;

	return (left > right) - (left < right);
}

/*
 * The objects of a catalogue that are called so, in whichever schema: a list of Named.
 * No function means another session's temporary ones.
 */
static List *
objects_named(int cache, Oid catalog, const char *name)
{
	CatCList   *list = SearchSysCacheList1(cache, CStringGetDatum(name));
	List	   *result = NIL;

	for (int i = 0; i < list->n_members; i++)
	{
		HeapTuple	tuple = &list->members[i]->tuple;
		Named	   *named = palloc(sizeof(Named));
		bool		isnull;

		named->object = DatumGetObjectId(SysCacheGetAttr(cache, tuple,
														 get_object_attnum_oid(catalog), &isnull));
		named->schema = DatumGetObjectId(SysCacheGetAttr(cache, tuple,
														 get_object_attnum_namespace(catalog),
														 &isnull));
		if (!isAnyTempNamespace(named->schema))
			result = lappend(result, named);
	}
	ReleaseSysCacheList(list);
	list_sort(result, compare_named);
	return result;
}

/* Walks through an object of a catalogue that a name may stand for. */
static void
walk_object(Walk *walk, Oid catalog, Oid object)
{
	switch (catalog)
	{
		case ProcedureRelationId:
			walk_function(walk, object);
			break;
		case TypeRelationId:
			walk_type(walk, object);
			break;
		case OperatorRelationId:
			if (object >= FirstNormalObjectId)
				walk_function(walk, get_opcode(object));
			break;
		case CollationRelationId:
			if (object >= FirstNormalObjectId)
				walk_collation(walk, object);
			break;
		case TSConfigRelationId:
			walk_configuration(walk, object);
			break;
		default:
			walk_dictionary(walk, object);
			break;
	}
}

/*
 * Walks through what a name in a function's text may stand for.  Which of several it is
 * depends on how their schemas are called.
 */
static void
walk_name(Walk *walk, const char *name)
{
	for (int i = 0; i < lengthof(named_kinds); i++)
	{
		Oid			catalog = named_kinds[i].catalog;
		ListCell   *lc;

		foreach(lc, objects_named(named_kinds[i].cache, catalog, name))
		{
			const Named *named = lfirst(lc);

			if (named->object >= FirstNormalObjectId)
				appendStringInfo(walk->text, " %u %s", named->object,
								 get_namespace_name(named->schema));
			walk_object(walk, catalog, named->object);
		}
	}
}

/* Walks through the functions behind all casts that are not PostgreSQL's own. */
static void
walk_casts(Walk *walk)
{
	Relation	casts = table_open(CastRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(casts, CastOidIndexId, true, NULL, 0, NULL);
	HeapTuple	tuple;

	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Form_pg_cast form = (Form_pg_cast) GETSTRUCT(tuple);

		if (form->oid < FirstNormalObjectId)
			continue;
		walk_append_tuple(walk, tuple);
		walk_function(walk, form->castfunc);
	}
	systable_endscan(scan);
	table_close(casts, AccessShareLock);
}

/* Walks through what any function's text can call without naming it. */
static void
walk_unnamed(Walk *walk)
{
	/* IN, CASE, NULLIF, IS DISTINCT FROM, BETWEEN, LIKE, ILIKE. */
	static const char *const operators[] = {"=", "<>", "<=", ">=", "<", ">", "~~", "!~~", "~~*", "!~~*"};

	if (!walk->thorough || !walk_meet(walk, CastRelationId, InvalidOid))
		return;
	for (int i = 0; i < lengthof(operators); i++)
		walk_name(walk, operators[i]);
	walk_casts(walk);
}

static bool
is_word_start(unsigned char c)
{
	return isalpha(c) || c == '_' || IS_HIGHBIT_SET(c);
}

/*
 * The length of the operator that a text begins with, as PostgreSQL's lexer has it: it
 * ends where a comment begins, and in + or - only where it has other than SQL's own
 * characters.
 */
static Size
operator_length(const char *text)
{
	Size		length = strspn(text, "+-*/<>=~!@#%^&|`?");

	for (Size i = 0; i + 1 < length; i++)
		if (strncmp(text + i, "--", 2) == 0 || strncmp(text + i, "/*", 2) == 0)
			length = i;
	if (strcspn(text, "~!@#%^&|`?") >= length)
		while (length > 1 && (text[length - 1] == '+' || text[length - 1] == '-'))
			length--;
	return length;
}

/*
 * The name that begins at `at`, in double quotes or not, or the operator; sets *end to
 * what comes behind it.  NULL: there is none.
 */
static char *
next_name(const char *at, const char **end)
{
	char	   *name;
	Size		length = 0;

	if (*at == '"')
	{
		length = strcspn(at + 1, "\"");
		*end = at + 1 + length + (at[1 + length] == '"');
		return length < NAMEDATALEN ? pnstrdup(at + 1, length) : NULL;
	}
	if (is_word_start(*at))
		while (is_word_start(at[length]) || isdigit((unsigned char) at[length]) || at[length] == '$')
			length++;
	else
		length = operator_length(at);
	*end = at + Max(length, 1);
	if (length == 0 || length >= NAMEDATALEN)
		return NULL;
	name = pnstrdup(at, length);
	for (Size i = 0; i < length; i++)
		name[i] = pg_ascii_tolower((unsigned char) name[i]);
	return name;
}

/* Walks through what the zones are that strings in a function's text may name. */
static void
walk_strings(Walk *walk, const char *text)
{
	const char *string;

	for (string = strchr(text, '\''); string != NULL; string = strchr(string, '\''))
	{
		Size		length = strcspn(++string, "'");

		if (isalpha((unsigned char) *string) && length <= TZ_STRLEN_MAX)
			walk_zone(walk, pnstrdup(string, length));
	}
}

/* Walks through what the names in a function's text may stand for. */
void
walk_words(Walk *walk, const char *text)
{
	bool		was_guessing = walk->guessing;

	walk->guessing = true;
	walk_unnamed(walk);
	walk_strings(walk, text);
	while (*text != '\0')
	{
		char	   *name = next_name(text, &text);

		if (name == NULL)
			continue;
		walk_name(walk, name);
		if (strcmp(name, "user") == 0 || strcmp(name, "current_role") == 0)
			walk_owner(walk);
	}
	walk->guessing = was_guessing;
}
