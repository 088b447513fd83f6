/*-------------------------------------------------------------------------
 *
 * validate.c
 *	  The SQL function that tells what keeps a job from running.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "api/export.h"
#include "model/job.h"
#include "model/problem.h"
#include "source/validate.h"

PG_FUNCTION_INFO_V1(batchagg_validate_job);

/* Collects the problems of a job; ERROR where it is not visible. */
static List *
validate_job(int32 job_id)
{
	Problems	problems = {.collect = true};
	Job		   *job = job_load(job_id, &problems);

	job_validate_event(job, &problems);
	job_validate_sources(job, &problems);
	return problems.list;
}

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = text == NULL;
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

/*
 * batchagg_validate_job(job_id integer or job_name text) returns setof record:
 * every problem of a job, none if it can be run.  Sources are looked at as the job's
 * owner, in the caller's search_path.  ERROR where the caller sees no such job.
 */
Datum
batchagg_validate_job(PG_FUNCTION_ARGS)
{
	List	   *list = validate_job(job_argument(fcinfo));
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, list)
	{
		const Problem *problem = lfirst(lc);
		Datum		values[6];
		bool		nulls[6];

		values[0] = Int32GetDatum(problem->definition_id);
		nulls[0] = problem->definition_id == 0;
		values[1] = text_or_null(problem->is_warning ? "warning" : "error", &nulls[1]);
		values[2] = text_or_null(unpack_sql_state(problem->sqlerrcode), &nulls[2]);
		values[3] = text_or_null(problem->message, &nulls[3]);
		values[4] = text_or_null(problem->detail, &nulls[4]);
		values[5] = text_or_null(problem->hint, &nulls[5]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
