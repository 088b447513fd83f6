/*-------------------------------------------------------------------------
 *
 * row.h
 *	  The row that a trigger is fired for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BATCHAGG_ROW_H
#define BATCHAGG_ROW_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "fmgr.h"

typedef struct Row
{
	Oid			relid;
	TupleDesc	desc;
	HeapTuple	before;			/* NULL: an INSERT */
	HeapTuple	now;			/* as it will be written; NULL: a DELETE */
} Row;

extern Row	row_of_trigger(FunctionCallInfo fcinfo);
extern Datum row_value(const Row *row, const char *name, bool *isnull);
extern char *row_text(const Row *row, const char *name);
extern char *row_text_before(const Row *row, const char *name);
extern bool row_changed(const Row *row, const char *name);
extern void row_set(Row *row, const char *name, Datum value, bool isnull);
extern void row_set_text(Row *row, const char *name, const char *text);
extern int32 row_int(const Row *row, const char *name);

#endif							/* BATCHAGG_ROW_H */
