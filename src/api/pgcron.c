/*-------------------------------------------------------------------------
 *
 * pgcron.c
 *	  SQL functions about pg_cron.
 *
 * All that is to be known of it is in service/pgcron.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "api/export.h"
#include "service/pgcron.h"

PG_FUNCTION_INFO_V1(batchagg_use_pg_cron);
PG_FUNCTION_INFO_V1(batchagg_use_service);
PG_FUNCTION_INFO_V1(batchagg_pg_cron_schedule);

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
 * batchagg_use_service() returns integer: has the background worker start the
 * jobs.  See pgcron_leave() for the errors.
 */
Datum
batchagg_use_service(PG_FUNCTION_ARGS)
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
