/*-------------------------------------------------------------------------
 *
 * names.c
 *	  Names that users write for relations and columns.
 *
 * The name of a relation is read as SQL has it first.  Users of other systems
 * write names as they see them, though, without the quotes that SQL wants for
 * capitals and blanks; so what is not found that way is taken literally.
 *
 * Names of columns and metrics are compared without regard to case, and with
 * '.' for '_', because names of metrics come from systems that have dots in
 * them.  The form in which they are compared is the one that the unique indexes
 * on our tables are on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#include "catalog/names.h"

/*
 * `name` as it is compared: in lower case, with '.' as '_'.  The same as
 * NAME_FOLDED_SQL() in SQL.
 */
char *
name_fold(const char *name)
{
	char	   *folded = str_tolower(name, strlen(name), DEFAULT_COLLATION_OID);

	for (char *c = folded; *c; c++)
		if (*c == '.')
			*c = '_';
	return folded;
}

/*
 * Is a name one of these C strings, to the byte?
 */
bool
name_among(const char *name, const List *names)
{
	ListCell   *lc;

	foreach(lc, names)
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	return false;
}

/*
 * `written` as an SQL name of a relation, with or without its schema; NULL if
 * it is not one.
 */
RangeVar *
name_parse(const char *written)
{
	List	   *parts;

	if (!SplitIdentifierString(pstrdup(written), '.', &parts))
		return NULL;
	if (list_length(parts) == 1)
		return makeRangeVar(NULL, linitial(parts), -1);
	if (list_length(parts) == 2)
		return makeRangeVar(linitial(parts), lsecond(parts), -1);
	return NULL;
}

/*
 * A name, quoted where it has to be: the same in all sessions, whatever their
 * quote_all_identifiers says.  For all names that are kept.
 */
const char *
name_quoted(const char *name)
{
	bool		quote_all = quote_all_identifiers;
	const char *quoted;

	quote_all_identifiers = false;
	PG_TRY();
	{
		quoted = quote_identifier(name);
	}
	PG_FINALLY();
	{
		quote_all_identifiers = quote_all;
	}
	PG_END_TRY();
	return quoted;
}

/*
 * A relation's name, qualified and quoted, as our tables have it.
 */
char *
name_qualified(const char *schema, const char *name)
{
	return psprintf("%s.%s", name_quoted(schema), name_quoted(name));
}

/*
 * Finds the relation called `written`: an SQL name, qualified or not, else a
 * name taken literally ('My Table', 'UserActivity', 'public.UserActivity').  Resolved in the current
 * search_path.  Returns its oid, with AccessShareLock held to the end of the
 * transaction, and its qualified and quoted name in *qualified; InvalidOid
 * where there is none.  ERROR without USAGE on a schema that was named.
 */
Oid
name_lookup(const char *written, char **qualified)
{
	RangeVar   *name = name_parse(written);
	const char *dot = strchr(written, '.');
	Oid			relid = InvalidOid;
	Oid			schema;

	if (name)
		relid = RangeVarGetRelid(name, AccessShareLock, true);
	if (!OidIsValid(relid) && name && name->schemaname && strchr(written, '"') == NULL)
		relid = RangeVarGetRelid(makeRangeVar(name->schemaname, pstrdup(dot + 1), -1),
								 AccessShareLock, true);
	if (!OidIsValid(relid))
		relid = RangeVarGetRelid(makeRangeVar(NULL, pstrdup(written), -1), AccessShareLock, true);
	if (!OidIsValid(relid))
		return InvalidOid;

	schema = get_rel_namespace(relid);
	*qualified = name_qualified(isTempNamespace(schema) ? "pg_temp" : get_namespace_name(schema),
								get_rel_name(relid));
	return relid;
}

/*
 * `written` with the schema in which the current user would create a relation of this
 * name, if it has none: so that it does not mean another one in the search_path of
 * somebody else, as soon as there is one.
 */
char *
name_to_be(const char *written)
{
	RangeVar   *name = name_parse(written);
	List	   *schemas = fetch_search_path(false);
	const char *schema;

	if (schemas == NIL || (name && name->schemaname))
		return pstrdup(written);
	schema = name_quoted(get_namespace_name(linitial_oid(schemas)));

	/* What is no name in SQL is one literally. */
	return psprintf("%s.%s", schema, name ? written : name_quoted(written));
}

/*
 * Is there a relation called `written`?  Found as name_lookup() finds it, without a
 * lock, and whether or not the current user has any right to it.
 */
bool
name_exists(const char *written)
{
	RangeVar   *name = name_parse(written);
	Oid			schema;

	if (OidIsValid(RelnameGetRelid(written)))
		return true;
	if (name == NULL)
		return false;
	if (name->schemaname == NULL)
		return OidIsValid(RelnameGetRelid(name->relname));
	schema = LookupNamespaceNoError(name->schemaname);
	return OidIsValid(schema) && OidIsValid(get_relname_relid(name->relname, schema));
}
