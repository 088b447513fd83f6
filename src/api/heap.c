/*-------------------------------------------------------------------------
 *
 * heap.c
 *	  The table access method of some of our tables.
 *
 * It is heap, and there for its handler alone, which has PostgreSQL load the library
 * when such a table is opened: see model/lend.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"

#include "api/export.h"

PG_FUNCTION_INFO_V1(batchagg_heap_handler);

/*
 * batchagg_heap_handler(internal) returns table_am_handler
 */
Datum
batchagg_heap_handler(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(GetHeapamTableAmRoutine());
}
