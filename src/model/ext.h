/*-------------------------------------------------------------------------
 *
 * ext.h
 *	  The extension's own tables: where they are, and how to read them safely.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_EXT_H
#define BATCHAGG_EXT_H

#include "nodes/pg_list.h"
#include "utils/relcache.h"

/*
 * The extension's schema, its owner, and a check that the installed SQL
 * objects are of this library's version (ERROR otherwise).  Looked up afresh
 * in each call of an SQL function that needs it.
 */
typedef struct ExtInfo
{
	Oid			schema;
	const char *schema_name;	/* quoted */
	Oid			owner;			/* owner of the extension's tables */
} ExtInfo;

extern const ExtInfo *ext_info(void);
extern bool ext_is_usable(void);
extern bool ext_is_administrator(void);
extern bool ext_is_restoring(void);
extern Oid	ext_schema(void);
extern bool ext_owns(Oid relid);
extern Oid	ext_relid(const char *name);
extern char *ext_table(const char *name);

/*
 * Safe ground for our own SQL: search_path is pg_catalog, and the user is the
 * extension's owner (as_owner) or stays the caller, whose RLS applies then.
 */
typedef struct ExtScope
{
	Oid			saved_user;
	int			saved_context;
	int			guc_level;
} ExtScope;

extern void ext_enter(ExtScope *scope, bool as_owner);
extern void ext_leave(ExtScope *scope);
extern void ext_set(const char *setting, const char *value);

/* Returns the rows as texts, in the caller's memory context. */
extern List *ext_query(bool as_owner, const char *sql, int nargs, const Oid *types,
					   const Datum *values);
extern List *ext_query_active(bool as_owner, const char *sql, int nargs, const Oid *types,
							  const Datum *values);
extern List *ext_query_latest(bool as_owner, const char *sql, int nargs, const Oid *types,
							  const Datum *values);
extern void ext_read_as_active(bool as_active);
extern Datum ext_int_array(const List *integers);
extern Datum ext_id_array(const int32 *ids, int n);
extern Datum ext_text_array(const List *texts);

/*
 * SQL for a time as PostgreSQL counts it, which pg_strtoint64() reads: texts of
 * times are for people.  The time is finite, or NULL.
 */
#define EXT_MICROSECONDS(column) \
	"((extract(epoch FROM " column ") - 946684800) * 1000000)::bigint"

#endif							/* BATCHAGG_EXT_H */
