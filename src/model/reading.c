/*-------------------------------------------------------------------------
 *
 * reading.c
 *	  The settings under which filters are understood and sources are read.
 *
 * The same filter means one thing or another, and the same view has these rows or
 * others, as the session's settings are.  Results must not depend on who runs a
 * job, so all settings that bear on the meaning of an expression, or on how values
 * are written and read, are fixed:
 *
 *	- to values of ours, where PostgreSQL's default is what everybody expects of
 *	  a filter, and where texts of ids must always look the same;
 *	- to what a new session of the job's owner has, where it is for the server, the
 *	  database or the role to say: the languages of texts, numbers and money, and
 *	  all settings that belong to extensions and applications (app.tenant).
 *
 * What a new session of the owner has is looked up where it is said: ALTER ROLE and
 * ALTER DATABASE leave it in pg_db_role_setting; else it is what the server's files
 * and command line say, which this session has as its value to RESET to, unless
 * its own role or its client have said something else.
 *
 * Settings that only decide how fast something is are left alone, and so are ours.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/rel.h"

#include "model/ext.h"
#include "model/reading.h"

/* A setting, and what it is to be; NULL: nothing. */
typedef struct Setting
{
	const char *name;
	const char *value;
} Setting;

/* Settings that decide what an expression means. */
static const Setting grammar_settings[] = {
	{"standard_conforming_strings", "on"},
	{"backslash_quote", "safe_encoding"},
	{"escape_string_warning", "on"},
	{"transform_null_equals", "off"},
	{"array_nulls", "on"},
	{"xmloption", "content"},
	{"quote_all_identifiers", "off"}
};

/* Settings that decide how values are read and written, and what is read. */
static const Setting value_settings[] = {
	{"search_path", "pg_catalog, pg_temp"},
	{"row_security", "on"},
	{"DateStyle", "ISO, YMD"},
	{"IntervalStyle", "postgres"},
	{"extra_float_digits", "1"},
	{"bytea_output", "hex"},
	{"xmlbinary", "base64"},
	{"gin_fuzzy_search_limit", "0"},

	/* Sums must not depend on where a scan that shares another's begins. */
	{"synchronize_seqscans", "off"},

	/* There is next to nothing to compile in a scan of columns. */
	{"jit", "off"}
};

/* PostgreSQL's own settings that are as a new session of the owner has them. */
static const char *const owners_settings[] = {
	"default_text_search_config", "lc_monetary", "lc_numeric", "lc_time", "timezone_abbreviations"
};

/* Settings that begin so are ours. */
#define OWN_PREFIX "batchagg."

/*
 * Sets a setting, unless that is its value: some take long to be set.  One that this
 * version of PostgreSQL lacks is passed over.
 */
static void
fix(const char *name, const char *value)
{
	const char *now = GetConfigOption(name, true, false);

	if (now != NULL && strcmp(now, value) != 0)
		ext_set(name, value);
}

static void
fix_all(const Setting *settings, int n)
{
	for (int i = 0; i < n; i++)
		fix(settings[i].name, settings[i].value);
}

/*
 * Fixes the settings that decide what an expression means, until the GUC nest level
 * around it ends.
 */
void
reading_fix_grammar(void)
{
	fix_all(grammar_settings, lengthof(grammar_settings));
}

/* Is a setting one that is as the owner has it? */
static bool
is_owners(const char *name)
{
	if (strchr(name, GUC_QUALIFIER_SEPARATOR) != NULL)
		return pg_strncasecmp(name, OWN_PREFIX, strlen(OWN_PREFIX)) != 0;
	for (int i = 0; i < lengthof(owners_settings); i++)
		if (pg_strcasecmp(name, owners_settings[i]) == 0)
			return true;
	return false;
}

/* The entry for a setting; NULL where there is none. */
static Setting *
find_setting(const List *settings, const char *name)
{
	ListCell   *lc;

	foreach(lc, settings)
	{
		Setting    *setting = lfirst(lc);

		if (pg_strcasecmp(setting->name, name) == 0)
			return setting;
	}
	return NULL;
}

/* Adds those of an array of name=value that are as the owner has them and not there yet. */
static List *
add_settings(List *settings, ArrayType *array)
{
	Datum	   *elements;
	int			n;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *name = TextDatumGetCString(elements[i]);
		char	   *equals = strchr(name, '=');
		Setting    *setting;

		if (equals == NULL)
			continue;
		*equals = '\0';
		if (!is_owners(name) || find_setting(settings, name) != NULL)
			continue;
		setting = palloc(sizeof(Setting));
		setting->name = name;
		setting->value = equals + 1;
		settings = lappend(settings, setting);
	}
	return settings;
}

/* Adds what is said in pg_db_role_setting for a database and role, 0 for all. */
static List *
add_role_settings(List *settings, Relation rel, Oid database, Oid role)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_db_role_setting_setdatabase, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(database));
	ScanKeyInit(&keys[1], Anum_pg_db_role_setting_setrole, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(role));
	scan = systable_beginscan(rel, DbRoleSettingDatidRolidIndexId, true, NULL, lengthof(keys), keys);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		bool		isnull;
		Datum		array = heap_getattr(tuple, Anum_pg_db_role_setting_setconfig,
										 RelationGetDescr(rel), &isnull);

		if (!isnull)
			settings = add_settings(settings, DatumGetArrayTypePCopy(array));
	}
	systable_endscan(scan);
	return settings;
}

/* What ALTER ROLE and ALTER DATABASE say of a new session of the owner: a list of Setting. */
static List *
owner_settings(Oid owner)
{
	Relation	rel = table_open(DbRoleSettingRelationId, AccessShareLock);
	List	   *settings = NIL;

	settings = add_role_settings(settings, rel, MyDatabaseId, owner);
	settings = add_role_settings(settings, rel, InvalidOid, owner);
	settings = add_role_settings(settings, rel, MyDatabaseId, InvalidOid);
	settings = add_role_settings(settings, rel, InvalidOid, InvalidOid);
	table_close(rel, AccessShareLock);
	return settings;
}

/* What the server's files say of a setting, else its default; NULL: nothing. */
static const char *
server_value(const char *name)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};
	List	   *rows = ext_query(true,
								 "SELECT coalesce((SELECT setting FROM pg_file_settings "
								 "WHERE lower(name) = lower($1) AND error IS NULL "
								 "ORDER BY seqno DESC LIMIT 1), "
								 "(SELECT boot_val FROM pg_settings WHERE lower(name) = lower($1)), "
								 "CASE $1 WHEN 'timezone_abbreviations' THEN 'Default' END)",
								 lengthof(types), types, values);

	return ((char **) linitial(rows))[0];
}

/* Has the session a value that a new session of the owner may not have? */
static bool
may_differ(const struct config_generic *variable)
{
	return (variable->source > PGC_S_ARGV || variable->reset_source > PGC_S_ARGV) &&
		variable->context >= PGC_SUSET && (variable->flags & GUC_SUPERUSER_ONLY) == 0 &&
		is_owners(variable->name);
}

/*
 * All settings of this session, PostgreSQL's own and others, and in *n how many.
 */
struct config_generic **
reading_variables(int *n)
{
#if PG_VERSION_NUM >= 160000
	return get_guc_variables(n);
#else
	*n = GetNumConfigOptions();
	return get_guc_variables();
#endif
}

/*
 * The settings of this session that a new session of the owner may have otherwise,
 * of which `settings` says nothing: a list of Setting, with the server's values.
 */
static List *
session_settings(const List *settings)
{
	List	   *result = NIL;
	int			n;
	struct config_generic **variables = reading_variables(&n);

	for (int i = 0; i < n; i++)
	{
		const struct config_generic *variable = variables[i];
		Setting    *setting;

		if (!may_differ(variable) || find_setting(settings, variable->name) != NULL)
			continue;
		setting = palloc(sizeof(Setting));
		setting->name = variable->name;
		setting->value = variable->reset_source <= PGC_S_ARGV ?
			GetConfigOptionResetString(variable->name) : server_value(variable->name);
		result = lappend(result, setting);
	}
	return result;
}

/*
 * Can a source be read with a setting as a new session of the owner has it?  Not where
 * this session has made one up, which the owner has not got: it cannot be unmade.
 */
bool
reading_can_fix(Oid owner, const char *setting)
{
	return !is_owners(setting) || GetConfigOption(setting, true, false) == NULL ||
		(GetConfigOptionFlags(setting, true) & GUC_CUSTOM_PLACEHOLDER) == 0 ||
		find_setting(owner_settings(owner), setting) != NULL || server_value(setting) != NULL;
}

/*
 * Gives the settings of a list their values.  A setting that the owner has not got
 * at all can only be emptied.
 */
static void
fix_list(const List *settings)
{
	ListCell   *lc;

	foreach(lc, settings)
	{
		const Setting *setting = lfirst(lc);
		const char *now = GetConfigOption(setting->name, true, false);
		const char *value = setting->value ? setting->value : "";

		if (now == NULL || strcmp(now, value) != 0)
			(void) set_config_option(setting->name, value, PGC_SUSET, PGC_S_SESSION,
									 GUC_ACTION_SAVE, true, WARNING, false);
	}
}

/*
 * Fixes all settings that the meaning of filters and the rows of a source depend on,
 * until the GUC nest level around it ends: as jobs of `owner` need them, with `timezone`.
 */
void
reading_fix_settings(Oid owner, const char *timezone)
{
	List	   *of_owner = owner_settings(owner);

	fix_all(grammar_settings, lengthof(grammar_settings));
	fix_all(value_settings, lengthof(value_settings));
	fix_list(of_owner);
	fix_list(session_settings(of_owner));
	fix("TimeZone", timezone);
}
