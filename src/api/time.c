/*-------------------------------------------------------------------------
 *
 * time.c
 *	  SQL-callable functions about time: buckets, and when events are due.
 *
 * They check their arguments and leave the work to src/time.  What a query
 * calls for every row keeps its granularity, zone and bucket cache from call
 * to call, as the engine does for the rows of a source, so both take the same
 * path.
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
#include "model/events.h"
#include "model/job.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(batchagg_bucket);
PG_FUNCTION_INFO_V1(batchagg_next_runs);

/* What batchagg_bucket() keeps between calls. */
typedef struct BucketCall
{
	text	   *granularity_text;	/* as passed */
	text	   *timezone;		/* as passed */
	Granularity granularity;
	BucketCache cache;
} BucketCall;

/* What batchagg_next_runs() keeps between rows. */
typedef struct NextRuns
{
	CronSchedule schedule;
	pg_tz	   *tz;
	TimestampTz after;			/* the last instant returned */
} NextRuns;

static bool
same_text(const text * a, const text * b)
{
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

static text *
copy_text(const text * from, MemoryContext context)
{
	return memcpy(MemoryContextAlloc(context, VARSIZE_ANY(from)), from, VARSIZE_ANY(from));
}

/*
 * The granularity, zone and cache for a call of batchagg_bucket(): those of
 * the call before, if the texts are the same.  ERROR if one is invalid.
 */
static BucketCall *
bucket_call(FmgrInfo *flinfo, const text * granularity, const text * timezone)
{
	BucketCall *call = flinfo->fn_extra;
	Problems	raise = {.collect = false};
	Granularity parsed;
	pg_tz	   *tz;

	if (call != NULL && same_text(granularity, call->granularity_text) &&
		same_text(timezone, call->timezone))
		return call;

	(void) job_read_granularity(text_to_cstring(granularity), &parsed, 0, &raise);
	(void) job_read_timezone(text_to_cstring(timezone), &tz, 0, &raise);

	if (call != NULL)
	{
		flinfo->fn_extra = NULL;
		pfree(call->granularity_text);
		pfree(call->timezone);
		pfree(call);
	}
	call = MemoryContextAlloc(flinfo->fn_mcxt, sizeof(BucketCall));
	call->granularity_text = copy_text(granularity, flinfo->fn_mcxt);
	call->timezone = copy_text(timezone, flinfo->fn_mcxt);
	call->granularity = parsed;
	bucket_cache_init(&call->cache, &call->granularity, tz);
	flinfo->fn_extra = call;
	return call;
}

/*
 * batchagg_bucket(granularity text, instant timestamptz, timezone text)
 * returns timestamptz
 *
 * The start of the bucket that holds an instant.  Infinite instants are their
 * own buckets.  ERROR for a granularity or a zone that is none.
 */
Datum
batchagg_bucket(PG_FUNCTION_ARGS)
{
	BucketCall *call = bucket_call(fcinfo->flinfo, PG_GETARG_TEXT_PP(0), PG_GETARG_TEXT_PP(2));
	TimestampTz instant = PG_GETARG_TIMESTAMPTZ(1);

	if (TIMESTAMP_NOT_FINITE(instant))
		PG_RETURN_TIMESTAMPTZ(instant);
	PG_RETURN_TIMESTAMPTZ(bucket_cache_start(&call->cache, instant));
}

/*
 * Finds out when an event is due: sets runs->schedule and runs->tz.  ERROR if
 * the event is unknown, or is a row of batchagg_events that does not hold a
 * schedule and a zone.
 */
static void
find_event(const char *event, NextRuns *runs)
{
	Problems	raise = {.collect = false};
	EventMeaning meaning;
	const char *problem;

	event_require(event, &meaning);
	problem = cron_parse(meaning.cron, &runs->schedule);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid schedule \"%s\" of event \"%s\"", meaning.cron, event),
				 errdetail_internal("%s", problem)));
	(void) job_read_timezone(meaning.timezone[0] != '\0' ? meaning.timezone : batchagg_timezone,
							 &runs->tz, 0, &raise);
}

/*
 * batchagg_next_runs(event text, n integer, after timestamptz)
 * returns setof timestamptz
 *
 * The first n instants strictly after `after` at which an event is due, in
 * order; fewer where the range of timestamps ends.  ERROR for an unknown
 * event, a negative n or an infinite `after`.
 */
Datum
batchagg_next_runs(PG_FUNCTION_ARGS)
{
	FuncCallContext *context;
	NextRuns   *runs;

	if (SRF_IS_FIRSTCALL())
	{
		int32		n = PG_GETARG_INT32(1);
		TimestampTz after = PG_GETARG_TIMESTAMPTZ(2);

		context = SRF_FIRSTCALL_INIT();
		if (n < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("number of runs must not be negative: %d", n)));
		if (TIMESTAMP_NOT_FINITE(after))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("cannot look for runs after an infinite time")));

		runs = MemoryContextAlloc(context->multi_call_memory_ctx, sizeof(NextRuns));
		find_event(text_to_cstring(PG_GETARG_TEXT_PP(0)), runs);
		runs->after = after;
		context->user_fctx = runs;
		context->max_calls = n;
	}

	context = SRF_PERCALL_SETUP();
	runs = context->user_fctx;
	CHECK_FOR_INTERRUPTS();

	if (context->call_cntr >= context->max_calls ||
		!cron_next(&runs->schedule, runs->tz, runs->after, &runs->after))
		SRF_RETURN_DONE(context);
	SRF_RETURN_NEXT(context, TimestampTzGetDatum(runs->after));
}
