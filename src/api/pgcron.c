/*-------------------------------------------------------------------------
 *
 * pgcron.c
 *	  SQL functions about pg_cron, and the trigger that keeps it in step.
 *
 * All that is to be known of it is in service/pgcron.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "service/pgcron.h"

PG_FUNCTION_INFO_V1(batchagg_use_pg_cron);
PG_FUNCTION_INFO_V1(batchagg_use_worker);
PG_FUNCTION_INFO_V1(batchagg_pg_cron_schedule);
PG_FUNCTION_INFO_V1(batchagg_pg_cron_sync);

/*
 * batchagg_use_pg_cron() returns integer: has pg_cron start the jobs.  See
 * pgcron_use() for the errors.
 */
Datum
batchagg_use_pg_cron(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(pgcron_use());
}

/*
 * batchagg_use_worker() returns integer: has the background worker start the
 * jobs.  See pgcron_leave() for the errors.
 */
Datum
batchagg_use_worker(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(pgcron_leave());
}

/*
 * batchagg_pg_cron_schedule(event_name text) returns text: the expression that
 * pg_cron gets for an event.  ERROR where the event is unknown.
 */
Datum
batchagg_pg_cron_schedule(PG_FUNCTION_ARGS)
{
	const char *event_name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	PG_RETURN_TEXT_P(cstring_to_text(pgcron_schedule(event_name)));
}

/*
 * Trigger on batch_jobs and batchagg_events, AFTER a statement.  ERROR where
 * pg_cron refuses what it is told.
 */
Datum
batchagg_pg_cron_sync(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function %u must be called as a trigger", fcinfo->flinfo->fn_oid)));
	pgcron_sync();
	PG_RETURN_POINTER(NULL);
}
