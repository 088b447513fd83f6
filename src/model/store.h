/*-------------------------------------------------------------------------
 *
 * store.h
 *	  The extension's own tables: where they are, and how to read them safely.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_STORE_H
#define BATCHAGG_STORE_H

#include "nodes/pg_list.h"
#include "utils/relcache.h"

/*
 * The extension's schema, its owner, and a check that the installed SQL
 * objects are of this library's version (ERROR otherwise).  Looked up afresh
 * in each call of an SQL function that needs it.
 */
typedef struct StoreInfo
{
	Oid			schema;
	const char *schema_name;	/* quoted */
	Oid			owner;			/* owner of the extension's tables */
} StoreInfo;

extern const StoreInfo *store_info(void);
extern bool store_is_usable(void);
extern bool store_is_administrator(void);
extern bool store_is_restoring(void);
extern Oid	store_schema(void);
extern bool store_owns(Oid relid);
extern Oid	store_relid(const char *name);
extern char *store_table(const char *name);

/*
 * Safe ground for our own SQL: search_path is pg_catalog, and the user is the
 * extension's owner (as_owner) or stays the caller, whose RLS applies then.
 */
typedef struct StoreScope
{
	Oid			saved_user;
	int			saved_context;
	int			guc_level;
} StoreScope;

extern void store_enter(StoreScope *scope, bool as_owner);
extern void store_leave(StoreScope *scope);
extern void store_set(const char *setting, const char *value);

/* Returns the rows as texts, in the caller's memory context. */
extern List *store_query(bool as_owner, const char *sql, int nargs, const Oid *types,
						 const Datum *values);
extern List *store_query_active(bool as_owner, const char *sql, int nargs, const Oid *types,
								const Datum *values);
extern List *store_query_latest(bool as_owner, const char *sql, int nargs, const Oid *types,
								const Datum *values);
extern void store_read_as_active(bool as_active);
extern Datum store_int_array(const List *integers);
extern Datum store_id_array(const int32 *ids, int n);
extern Datum store_text_array(const List *texts);

/*
 * SQL for a time as PostgreSQL counts it, which pg_strtoint64() reads: texts of
 * times are for people.  The time is finite, or NULL.
 */
#define STORE_MICROSECONDS(column) \
	"((extract(epoch FROM " column ") - 946684800) * 1000000)::bigint"

#endif							/* BATCHAGG_STORE_H */
