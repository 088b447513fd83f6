/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  SQL functions that compare the stored results with what they should be.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "api/export.h"
#include "model/job.h"
#include "run/run.h"
#include "store/difference.h"

PG_FUNCTION_INFO_V1(batchagg_verify_job);

/* Adds a difference to the function's result.  A DifferenceSink's take(). */
static void
take_difference(void *arg, const Difference *difference)
{
	ReturnSetInfo *rsinfo = arg;
	Datum		values[] = {
		Int32GetDatum(difference->definition_id),
		CStringGetTextDatum(difference->source),
		TimestampTzGetDatum(difference->bucket),
		PointerGetDatum(difference->entity),
		difference->metric_name ? CStringGetTextDatum(difference->metric_name) : (Datum) 0,
		CStringGetTextDatum(difference->aggregate_name),
		Float8GetDatum(difference->stored),
		Float8GetDatum(difference->computed),
		Int64GetDatum(difference->stored_count),
		Int64GetDatum(difference->computed_count)
	};
	bool		nulls[] = {
		false, false, false, false, difference->metric_name == NULL, false,
		!difference->is_stored, !difference->is_computed,
		!difference->is_stored, !difference->is_computed
	};

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * batchagg_verify_job(job_id integer or job_name text, "from" timestamptz, "to"
 * timestamptz) returns setof record: computes the results of the buckets that begin
 * in [from, to) anew, NULL for no bound, and returns what is stored otherwise.
 * Writes nothing.  ERROR as job_argument()'s and a run's, or where no run is known
 * whose results they could be.
 */
Datum
batchagg_verify_job(PG_FUNCTION_ARGS)
{
	DifferenceSink sink = {.take = take_difference,.arg = fcinfo->resultinfo};
	RunRequest	request = {
		.job_id = job_argument(fcinfo),
		.dry_run = true,
		.attempt = 1,
		.repeats = true,
		.from = PG_ARGISNULL(1) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(1),
		.to = PG_ARGISNULL(2) ? DT_NOEND : PG_GETARG_TIMESTAMPTZ(2),
		.differences = &sink
	};
	RunResult	result;

	InitMaterializedSRF(fcinfo, 0);
	run_job(&request, &result);
	return (Datum) 0;
}
