/*-------------------------------------------------------------------------
 *
 * store.c
 *	  The extension's own tables: where they are, and how to read them safely.
 *
 * The extension may stand in any schema, so its tables are found through
 * pg_extension each time they are needed: nothing is cached, and nothing can
 * go stale when the extension is dropped and created again.  The same look
 * compares the version of the SQL objects with the library's, because a
 * library loaded before an upgrade would misread tables of another shape.
 *
 * Our own SQL runs inside a scope (store_enter, store_leave).  In it, names
 * resolve in pg_catalog alone, so that nobody's functions or operators can
 * take the place of PostgreSQL's; our tables are written with their schema
 * (store_table).  RLS is on, whatever the caller's row_security says: what a
 * caller may not see is not an error, it is not there.  A scope entered as
 * owner has the rights of the owner of the extension's tables, which RLS does
 * not bind; user-written code must never run in such a scope.
 *
 * Settings and user of a scope end with store_leave(), or with the abort of
 * the (sub)transaction they were made in, so that errors need no clean-up.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "catalog/names.h"
#include "catalog/store.h"

#ifndef BATCHAGG_VERSION
#error "BATCHAGG_VERSION must be defined, as the control file has it"
#endif

#define EXTENSION_NAME "batchagg"

/*
 * Reads the extension's row of pg_extension: its schema, and its version in
 * the caller's memory context.  NULL where the extension is not installed.
 */
static char *
read_extension(Oid *schema)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Datum		version;
	bool		isnull;
	char	   *result = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(EXTENSION_NAME));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		*schema = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
		version = heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(rel), &isnull);
		result = TextDatumGetCString(version);
	}

	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

static Oid
relid_in_schema(const char *name, Oid schema)
{
	Oid			relid = get_relname_relid(name, schema);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s\" of extension \"%s\" is missing", name, EXTENSION_NAME)));
	return relid;
}

/*
 * Where the extension is installed, in the current memory context.  ERROR
 * where it is not, or where its SQL objects are not of this library's version.
 * An extension script under way is left alone: it may hold triggers that fire
 * while pg_extension still has the version before.
 */
const StoreInfo *
store_info(void)
{
	StoreInfo  *info = palloc(sizeof(StoreInfo));
	const char *version = read_extension(&info->schema);
	const char *schema_name;
	HeapTuple	tuple;

	if (version == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"%s\" is not installed in this database",
						EXTENSION_NAME),
				 errhint("Run CREATE EXTENSION %s.", EXTENSION_NAME)));
	if (strcmp(version, BATCHAGG_VERSION) != 0 && !creating_extension)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"%s\" has version %s, but the loaded library has version %s",
						EXTENSION_NAME, version, BATCHAGG_VERSION),
				 errhint("Run ALTER EXTENSION %s UPDATE if the extension is the older one; "
						 "reconnect, or restart the server where the library is preloaded, "
						 "if the library is.", EXTENSION_NAME)));

	schema_name = get_namespace_name(info->schema);
	if (schema_name == NULL)
		elog(ERROR, "cache lookup failed for schema %u", info->schema);
	info->schema_name = name_quoted(schema_name);

	tuple = SearchSysCache1(RELOID,
							ObjectIdGetDatum(relid_in_schema("batch_jobs", info->schema)));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for table \"batch_jobs\"");
	info->owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);

	return info;
}

/*
 * Is the extension installed in this database, and of this library's version?
 * Another version is logged.
 */
bool
store_is_usable(void)
{
	Oid			schema;
	const char *version = read_extension(&schema);

	if (version == NULL)
		return false;
	if (strcmp(version, BATCHAGG_VERSION) == 0)
		return true;
	ereport(LOG,
			(errmsg("extension \"%s\" in database \"%s\" has version %s, but the loaded library has version %s",
					EXTENSION_NAME, get_database_name(MyDatabaseId), version, BATCHAGG_VERSION),
			 errdetail("Its jobs are not started."),
			 errhidestmt(true)));
	return false;
}

/*
 * The schema that the extension is installed in, of whatever version; InvalidOid where
 * it is not.
 */
Oid
store_schema(void)
{
	Oid			schema = InvalidOid;

	(void) read_extension(&schema);
	return schema;
}

/*
 * Is a relation one of the extension's?  Of any version.
 */
bool
store_owns(Oid relid)
{
	Oid			extension = get_extension_oid(EXTENSION_NAME, true);

	return OidIsValid(extension) &&
		getExtensionOfObject(RelationRelationId, relid) == extension;
}

/*
 * Does the current user have the rights of the owner of our tables?
 */
bool
store_is_administrator(void)
{
	return has_privs_of_role(GetUserId(), store_info()->owner);
}

/*
 * Is a dump being restored?  pg_dump's scripts are told by an empty search_path, and by
 * the rights of our tables' owner: without these anybody could pass for one.
 */
bool
store_is_restoring(void)
{
	return namespace_search_path[0] == '\0' && store_is_administrator();
}

/*
 * The oid of the extension's table or view `name`.  ERROR as store_info(), or
 * where somebody dropped it.
 */
Oid
store_relid(const char *name)
{
	return relid_in_schema(name, store_info()->schema);
}

/*
 * `name` of the extension's schema for use in SQL text, qualified and quoted,
 * in the current memory context.  ERROR as store_info().
 */
char *
store_table(const char *name)
{
	return psprintf("%s.%s", store_info()->schema_name, quote_identifier(name));
}

/*
 * Sets a setting, to a value that is known to be valid, until the scope (or the GUC nest
 * level) around it ends.  So that it cannot be set means that there is not enough
 * memory, of which PostgreSQL says for some settings that the value is invalid: that
 * would not pass for an error which passes by itself.
 */
void
store_set(const char *setting, const char *value)
{
	if (set_config_option(setting, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
						  true, DEBUG5, false) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Failed to set \"%s\" to \"%s\".", setting, value)));
}

/*
 * Enters a scope for our own SQL; the file's head says what that gives.
 * ERROR as store_info().
 */
void
store_enter(StoreScope *scope, bool as_owner)
{
	Oid			owner = as_owner ? store_info()->owner : InvalidOid;

	scope->guc_level = NewGUCNestLevel();
	store_set("search_path", "pg_catalog, pg_temp");
	store_set("row_security", "on");
	store_set("IntervalStyle", "postgres");	/* intervals are read as texts */
	if (quote_all_identifiers)
		store_set("quote_all_identifiers", "off");	/* names are compared as texts */

	GetUserIdAndSecContext(&scope->saved_user, &scope->saved_context);
	if (as_owner)
		SetUserIdAndSecContext(owner, scope->saved_context | SECURITY_LOCAL_USERID_CHANGE);
}

/*
 * Leaves the scope entered last.
 */
void
store_leave(StoreScope *scope)
{
	SetUserIdAndSecContext(scope->saved_user, scope->saved_context);
	AtEOXact_GUC(false, scope->guc_level);
}

/*
 * The rows of the SPI command just run, each a `char **` of the columns' text
 * output, NULL for a NULL, all in memory context `context`.
 */
static List *
copy_rows(MemoryContext context)
{
	MemoryContext spi = MemoryContextSwitchTo(context);
	List	   *rows = NIL;

	for (uint64 i = 0; SPI_tuptable != NULL && i < SPI_tuptable->numvals; i++)
	{
		TupleDesc	desc = SPI_tuptable->tupdesc;
		char	  **row = palloc(sizeof(char *) * desc->natts);

		for (int column = 0; column < desc->natts; column++)
			row[column] = SPI_getvalue(SPI_tuptable->vals[i], desc, column + 1);
		rows = lappend(rows, row);
	}
	MemoryContextSwitchTo(spi);
	return rows;
}

/* A statement's plan, kept for the session. */
typedef struct KeptPlan
{
	struct
	{
		uint64		text_hash;
		uint64		as_owner;	/* else the caller's, with row-level security */
	}			key;
	char	   *text;
	SPIPlanPtr	plan;			/* NULL: being made, or that failed */
} KeptPlan;

/* So many are kept.  We have fewer statements, but schemas can be many. */
#define MAX_KEPT_PLANS 100

static HTAB *kept_plans = NULL;

/* The entry for a statement; NULL where there is none, and no place for one. */
static KeptPlan *
kept_plan(bool as_owner, const char *sql)
{
	HASHCTL		control = {.keysize = sizeof(((KeptPlan *) NULL)->key),.entrysize = sizeof(KeptPlan)};
	KeptPlan	key = {0};
	KeptPlan   *entry;
	bool		found;

	if (kept_plans == NULL)
		kept_plans = hash_create("batchagg plans", MAX_KEPT_PLANS, &control, HASH_ELEM | HASH_BLOBS);
	key.key.text_hash = hash_bytes_extended((const unsigned char *) sql, strlen(sql), 0);
	key.key.as_owner = as_owner;
	entry = hash_search(kept_plans, &key.key,
						hash_get_num_entries(kept_plans) < MAX_KEPT_PLANS ? HASH_ENTER : HASH_FIND,
						&found);
	if (entry != NULL && !found)
	{
		entry->plan = NULL;
		entry->text = NULL;
	}
	if (entry != NULL && entry->text == NULL)
		entry->text = MemoryContextStrdup(TopMemoryContext, sql);
	return entry != NULL && strcmp(entry->text, sql) == 0 ? entry : NULL;
}

/*
 * The plan of a statement: kept from an earlier time, or made and kept.  The
 * processes of the service run the same few statements all the time, and
 * planning one takes longer than running it.
 */
static SPIPlanPtr
plan_statement(bool as_owner, const char *sql, int nargs, const Oid *types)
{
	KeptPlan   *kept = kept_plan(as_owner, sql);
	SPIPlanPtr	plan = kept ? kept->plan : NULL;

	if (plan != NULL)
		return plan;
	plan = SPI_prepare(sql, nargs, (Oid *) types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", sql);
	if (kept != NULL && SPI_keepplan(plan) == 0)
		kept->plan = plan;
	return plan;
}

/* Do statements see what the active snapshot sees, and nothing newer? */
static bool as_active_snapshot = false;

/*
 * Has store_query() read with the active snapshot until it is told otherwise, or
 * with the latest, as it does at first.  For a run that only reads: nobody is
 * locked out by it, so the rows of our tables must be of the time of the store.
 */
void
store_read_as_active(bool as_active)
{
	as_active_snapshot = as_active;
}

/* Runs a statement in a scope of its own, with this snapshot or (invalid) a new one. */
static List *
run_statement(bool as_owner, Snapshot snapshot, const char *sql, int nargs, const Oid *types,
			  const Datum *values)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *rows;
	StoreScope	scope;

	store_enter(&scope, as_owner);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_snapshot(plan_statement(as_owner, sql, nargs, types), (Datum *) values, NULL,
							 snapshot, InvalidSnapshot, false, true, 0) < 0)
		elog(ERROR, "SPI_execute_snapshot failed: %s", sql);
	rows = copy_rows(caller);
	SPI_finish();
	store_leave(&scope);
	return rows;
}

/*
 * Runs one statement on our tables in a scope of its own.  Returns a list of
 * the rows that it selected or RETURNING gave, each a `char **` of the
 * columns' text output, NULL for a NULL, all in the caller's memory context.
 * Arguments are never NULL.  ERROR as the statement.
 */
List *
store_query(bool as_owner, const char *sql, int nargs, const Oid *types, const Datum *values)
{
	return run_statement(as_owner, as_active_snapshot ? GetActiveSnapshot() : InvalidSnapshot, sql,
						 nargs, types, values);
}

/*
 * Likewise, of what the active snapshot sees, and what this transaction has written
 * since it was taken.
 */
List *
store_query_active(bool as_owner, const char *sql, int nargs, const Oid *types,
				   const Datum *values)
{
	return run_statement(as_owner, GetActiveSnapshot(), sql, nargs, types, values);
}

/*
 * Likewise, of all that is committed at this moment, even in a repeatable read
 * transaction, and what this transaction has written.
 */
List *
store_query_latest(bool as_owner, const char *sql, int nargs, const Oid *types,
				   const Datum *values)
{
	return run_statement(as_owner, GetLatestSnapshot(), sql, nargs, types, values);
}

/*
 * A list of integers as an array, for a statement's argument.
 */
Datum
store_int_array(const List *integers)
{
	Datum	   *elements = palloc(Max(list_length(integers), 1) * sizeof(Datum));
	ListCell   *lc;

	foreach(lc, integers)
		elements[foreach_current_index(lc)] = Int32GetDatum(lfirst_int(lc));
	return PointerGetDatum(construct_array(elements, list_length(integers), INT4OID,
										   sizeof(int32), true, TYPALIGN_INT));
}

/*
 * Likewise n ids, of which there may be very many.
 */
Datum
store_id_array(const int32 *ids, int n)
{
	Datum	   *elements = palloc_extended(Max(n, 1) * sizeof(Datum), MCXT_ALLOC_HUGE);

	for (int i = 0; i < n; i++)
		elements[i] = Int32GetDatum(ids[i]);
	return PointerGetDatum(construct_array(elements, n, INT4OID, sizeof(int32), true,
										   TYPALIGN_INT));
}

/*
 * Likewise a list of C strings.
 */
Datum
store_text_array(const List *texts)
{
	Datum	   *elements = palloc(Max(list_length(texts), 1) * sizeof(Datum));
	ListCell   *lc;

	foreach(lc, texts)
		elements[foreach_current_index(lc)] = CStringGetTextDatum(lfirst(lc));
	return PointerGetDatum(construct_array(elements, list_length(texts), TEXTOID, -1, false,
										   TYPALIGN_INT));
}
