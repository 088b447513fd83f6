/*-------------------------------------------------------------------------
 *
 * transition.c
 *	  The rows that a statement has changed, for a trigger that is called after it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "api/transition.h"

/*
 * What a trigger of statements is called with.  ERROR where the function is called in
 * any other way.
 */
const TriggerData *
statement_trigger(FunctionCallInfo fcinfo)
{
	const TriggerData *data = (const TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(data->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function %u must be called by a statement trigger, after the change",
						fcinfo->flinfo->fn_oid)));
	return data;
}

/*
 * The changed rows as they are now or (old) were before: a list of HeapTuple.  NIL where
 * the trigger has no such transition table.
 */
List *
transition_rows(const TriggerData *data, bool old)
{
	Tuplestorestate *store = old ? data->tg_oldtable : data->tg_newtable;
	TupleTableSlot *slot;
	List	   *rows = NIL;

	if (store == NULL)
		return NIL;
	slot = MakeSingleTupleTableSlot(RelationGetDescr(data->tg_relation), &TTSOpsMinimalTuple);
	tuplestore_rescan(store);
	while (tuplestore_gettupleslot(store, true, false, slot))
		rows = lappend(rows, ExecCopySlotHeapTuple(slot));
	ExecDropSingleTupleTableSlot(slot);
	return rows;
}

/*
 * A column of a row as text; NULL for a NULL.
 */
char *
transition_text(const TriggerData *data, HeapTuple row, const char *column)
{
	TupleDesc	desc = RelationGetDescr(data->tg_relation);

	return SPI_getvalue(row, desc, SPI_fnumber(desc, column));
}
