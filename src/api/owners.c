/*-------------------------------------------------------------------------
 *
 * owners.c
 *	  SQL functions about the owners of jobs: their type, and an event trigger.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/event_trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "api/export.h"
#include "service/owners.h"

PG_FUNCTION_INFO_V1(batchagg_role_in);
PG_FUNCTION_INFO_V1(batchagg_owner_dropped);

/*
 * batchagg_role_in(cstring): the role of a name.  ERROR as regrolein(), and where it is
 * a number: as that, a dump has the role of another cluster.
 */
Datum
batchagg_role_in(PG_FUNCTION_ARGS)
{
	const char *name = PG_GETARG_CSTRING(0);

	if (name[0] != '\0' && strspn(name, "0123456789-") == strlen(name))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("an owner must be a role's name, not \"%s\"", name),
				 errdetail("In another cluster the number may be that of another role."),
				 errhint("In a dump, replace it by the name of the role that the row is to belong to.")));
	return DirectFunctionCall1(regrolein, CStringGetDatum(name));
}

/*
 * Event trigger on DROP OWNED, ddl_command_end: see service/owners.c.
 */
Datum
batchagg_owner_dropped(PG_FUNCTION_ARGS)
{
	const EventTriggerData *data = (EventTriggerData *) fcinfo->context;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo) || !IsA(data->parsetree, DropOwnedStmt))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function must be called by an event trigger on DROP OWNED")));
	owners_require_followed((DropOwnedStmt *) data->parsetree);
	PG_RETURN_NULL();
}
