/*-------------------------------------------------------------------------
 *
 * backfill.c
 *	  The SQL procedure that recomputes results in pieces.
 *
 * It commits after each piece, as a procedure may that is called by itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/pquery.h"
#include "tcop/utility.h"
#include "utils/timestamp.h"

#include "api/export.h"
#include "model/job.h"
#include "run/backfill.h"

PG_FUNCTION_INFO_V1(batchagg_backfill);

/* Refuses to begin where pieces cannot be committed, or cannot be exact. */
static void
require_transactions(FunctionCallInfo fcinfo)
{
	PreventCommandIfReadOnly("CALL batchagg_backfill()");
	if (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("batchagg_backfill() cannot be called inside a transaction block or a function"),
				 errdetail("It commits each piece by itself."),
				 errhint("Call it alone, outside of BEGIN and COMMIT.")));
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("batchagg_backfill() needs transactions of isolation level read committed"),
				 errhint("Run SET default_transaction_isolation = 'read committed' first.")));
}

/*
 * batchagg_backfill(job_id integer or job_name text, "from" timestamptz, "to"
 * timestamptz, piece interval, newest_first boolean): see run/backfill.c.
 */
Datum
batchagg_backfill(PG_FUNCTION_ARGS)
{
	BackfillRequest request;
	Interval	piece;
	TimestampTz started;

	require_transactions(fcinfo);
	request.job_id = job_argument(fcinfo);
	if (PG_ARGISNULL(4))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("newest_first must not be null")));
	request.from = PG_ARGISNULL(1) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(1);
	request.to = PG_ARGISNULL(2) ? DT_NOEND : PG_GETARG_TIMESTAMPTZ(2);
	if (!PG_ARGISNULL(3))
		piece = *PG_GETARG_INTERVAL_P(3);
	request.piece = PG_ARGISNULL(3) ? NULL : &piece;
	request.newest_first = PG_GETARG_BOOL(4);

	SPI_connect_ext(SPI_OPT_NONATOMIC);
	if (backfill_begin(&request, &started))
		do
		{
			SPI_commit();
			EnsurePortalSnapshotExists();
		} while (backfill_piece(request.job_id, started));
	SPI_finish();
	return (Datum) 0;
}
