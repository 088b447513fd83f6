/*-------------------------------------------------------------------------
 *
 * export.h
 *	  SQL-callable functions leave the library; nothing else does.
 *
 * The library is compiled with hidden symbols, so that none of ours can be
 * taken for one of another library, or the other way round.  What PostgreSQL
 * looks up by name is marked PGDLLEXPORT.  PG_FUNCTION_INFO_V1() marks a
 * function so from PostgreSQL 16 on; before, only what describes it.
 *
 * Every file that says PG_FUNCTION_INFO_V1() includes this one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_EXPORT_H
#define BATCHAGG_EXPORT_H

#include "fmgr.h"

#if PG_VERSION_NUM < 160000
#undef PG_FUNCTION_INFO_V1
#define PG_FUNCTION_INFO_V1(funcname) \
extern PGDLLEXPORT Datum funcname(PG_FUNCTION_ARGS); \
extern PGDLLEXPORT const Pg_finfo_record *CppConcat(pg_finfo_,funcname)(void); \
const Pg_finfo_record * \
CppConcat(pg_finfo_,funcname) (void) \
{ \
	static const Pg_finfo_record my_finfo = { 1 }; \
	return &my_finfo; \
} \
extern int no_such_variable
#endif

#endif							/* BATCHAGG_EXPORT_H */
