/*-------------------------------------------------------------------------
 *
 * run.c
 *	  SQL functions that run and explain jobs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "api/export.h"
#include "model/events.h"
#include "model/ext.h"
#include "model/job.h"
#include "model/together.h"
#include "run/caught.h"
#include "run/explain.h"
#include "run/run.h"
#include "service/attempt.h"
#include "service/pgcron.h"
#include "service/service.h"
#include "slots/order.h"

PG_FUNCTION_INFO_V1(batchagg_run_job);
PG_FUNCTION_INFO_V1(batchagg_run_all);
PG_FUNCTION_INFO_V1(batchagg_run_event);
PG_FUNCTION_INFO_V1(batchagg_run_due);
PG_FUNCTION_INFO_V1(batchagg_explain_job);

/* Columns of a run's result row, behind the job's id where there is one. */
#define RUN_COLUMNS 10

static void
run_result_values(const RunResult *result, Datum *values, bool *nulls)
{
	Interval   *duration = palloc0(sizeof(Interval));

	duration->time = result->finished - result->started;
	memset(nulls, 0, RUN_COLUMNS * sizeof(bool));
	values[0] = Int64GetDatum(result->run_id);
	nulls[0] = result->run_id == 0;
	values[1] = CStringGetTextDatum(result->status);
	values[2] = Int64GetDatum(result->rows_read);
	values[3] = Int64GetDatum(result->rows_skipped);
	values[4] = Int64GetDatum(result->groups);
	values[5] = Int64GetDatum(result->results);
	values[6] = Int64GetDatum(result->changed);
	values[7] = TimestampTzGetDatum(result->from);
	nulls[7] = result->from == DT_NOBEGIN;
	values[8] = TimestampTzGetDatum(result->to);
	nulls[8] = result->to == DT_NOBEGIN;
	values[9] = IntervalPGetDatum(duration);
}

/*
 * batchagg_run_job(job_id integer or job_name text, dry_run boolean) returns
 * record: runs a job now.  See job_argument() and run_job() for the errors.
 */
Datum
batchagg_run_job(PG_FUNCTION_ARGS)
{
	RunRequest	request = {
		.job_id = job_argument(fcinfo),.dry_run = PG_GETARG_BOOL(1),.waits = true,.attempt = 1
	};
	RunResult	result;
	TupleDesc	desc;
	Datum		values[RUN_COLUMNS];
	bool		nulls[RUN_COLUMNS];

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	run_job(&request, &result);
	run_result_values(&result, values, nulls);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/*
 * Runs jobs in their order, those next to each other that read the same
 * together.
 */
static void
run_in_groups(const RunRequest *requests, int n, RunResult *results)
{
	int32	   *ids = palloc(Max(n, 1) * sizeof(int32));
	char	  **keys;
	int			i;
	int			length;

	for (i = 0; i < n; i++)
		ids[i] = requests[i].job_id;
	keys = job_source_keys(ids, n);
	for (i = 0; i < n; i += length)
	{
		CHECK_FOR_INTERRUPTS();
		length = job_group_length(keys + i, n - i);
		run_jobs_caught(requests + i, length, results + i);
	}
}

/* Adds a row to a set of runs. */
static void
put_run(ReturnSetInfo *rsinfo, int32 job_id, const RunResult *result)
{
	Datum		values[RUN_COLUMNS + 1];
	bool		nulls[RUN_COLUMNS + 1];

	values[0] = Int32GetDatum(job_id);
	nulls[0] = false;
	run_result_values(result, values + 1, nulls + 1);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* The ids in rows of jobs (id, owner), in the order in which these are to run. */
static int32 *
ids_in_order(List *rows)
{
	int			n = list_length(rows);
	int32	   *ids = palloc(Max(n, 1) * sizeof(int32));
	Oid		   *owners = palloc(Max(n, 1) * sizeof(Oid));
	JobOrder   *order;
	ListCell   *lc;

	foreach(lc, rows)
	{
		char	  **row = lfirst(lc);

		ids[foreach_current_index(lc)] = pg_strtoint32(row[0]);
		owners[foreach_current_index(lc)] = atooid(row[1]);
	}
	order = order_load(ids, owners, n);
	if (order)
		order_sort(order, ids, n);
	return ids;
}

/*
 * Runs the jobs of a list of rows (id, owner) for an SQL command, and returns a row
 * for each: the job's id, and its run's result.
 */
static void
run_list(FunctionCallInfo fcinfo, const char *command, List *rows)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int			n = list_length(rows);
	RunRequest *requests = palloc0(Max(n, 1) * sizeof(RunRequest));
	RunResult  *results = palloc0(Max(n, 1) * sizeof(RunResult));
	int32	   *ids;
	int			i;

	PreventCommandIfReadOnly(command);
	InitMaterializedSRF(fcinfo, 0);
	ids = ids_in_order(rows);
	for (i = 0; i < n; i++)
	{
		requests[i].job_id = ids[i];
		requests[i].attempt = 1;
	}
	run_in_groups(requests, n, results);
	for (i = 0; i < n; i++)
		put_run(rsinfo, requests[i].job_id, &results[i]);
}

/*
 * batchagg_run_all() returns setof record: runs every enabled job that the
 * caller sees, by id, and those that read results after those that write them.  A job
 * that fails does not keep the others from running.
 */
Datum
batchagg_run_all(PG_FUNCTION_ARGS)
{
	run_list(fcinfo, "batchagg_run_all()",
			 ext_query(false,
					   psprintf("SELECT id, owner::oid FROM %s WHERE enable_flag ORDER BY id",
								ext_table("batch_jobs")),
					   0, NULL, NULL));
	return (Datum) 0;
}

/*
 * batchagg_run_event(event_name text) returns setof record: runs every enabled
 * job of an event that the caller sees.  ERROR where the event is not known.
 */
Datum
batchagg_run_event(PG_FUNCTION_ARGS)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {PG_GETARG_DATUM(0)};
	EventMeaning meaning;

	event_require(text_to_cstring(PG_GETARG_TEXT_PP(0)), &meaning);
	run_list(fcinfo, "batchagg_run_event()",
			 ext_query(false,
					   psprintf("SELECT id, owner::oid FROM %s WHERE enable_flag "
								"AND upper(event_name) = upper($1) ORDER BY id",
								ext_table("batch_jobs")),
					   lengthof(types), types, values));
	return (Datum) 0;
}

/* Refuses to start slots that a scheduler of this database starts. */
static void
require_no_scheduler(void)
{
	if (scheduler_is_here())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the service of batchagg starts what is due in this database"),
				 errhint("To run jobs now, use batchagg_run_event() or batchagg_run_all().")));
}

/* The ids of an agenda's jobs, in the order in which these are to run. */
static int32 *
agenda_ids(Agenda *agenda)
{
	int32	   *ids = palloc((agenda->njobs + 1) * sizeof(int32));

	for (int i = 0; i < agenda->njobs; i++)
		ids[i] = agenda->jobs[i].id;
	order_agenda(agenda);
	if (agenda->order)
		order_sort(agenda->order, ids, agenda->njobs);
	return ids;
}

/*
 * batchagg_run_due(event_name text) returns setof record: runs the slots that
 * are due, of the enabled jobs of an event (NULL: of all) that the caller sees,
 * by id, and those that read results after those that write them; of a job, up to the
 * first that fails, which does not keep other jobs from running.  ERROR where the event is not known, or the service does it.
 */
Datum
batchagg_run_due(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *event_name = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	EventMeaning meaning;
	Agenda	   *agenda;
	int32	   *ids;

	PreventCommandIfReadOnly("batchagg_run_due()");
	if (event_name)
		event_require(event_name, &meaning);
	require_no_scheduler();
	InitMaterializedSRF(fcinfo, 0);
	agenda = agenda_load(CurrentMemoryContext, false, event_name);
	ids = agenda_ids(agenda);
	for (int i = 0; i < agenda->njobs; i++)
	{
		AgendaJob  *job = agenda_find(agenda, ids[i]);
		RunResult	result;

		do
		{
			if (!attempt_if_due(job, &result))
				break;
			put_run(rsinfo, job->id, &result);
		} while (result.message == NULL);
	}
	pgcron_sync_at_commit();
	return (Datum) 0;
}

/*
 * batchagg_explain_job(job_id integer or job_name text) returns setof record:
 * what a run would do, a property a row.  Writes nothing.  See job_argument() and
 * explain_job() for the errors.
 */
Datum
batchagg_explain_job(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, explain_job(job_argument(fcinfo)))
	{
		const ExplainLine *line = lfirst(lc);
		Datum		values[] = {
			Int32GetDatum(line->scan),
			Int32GetDatum(line->definition_id),
			CStringGetTextDatum(line->item),
			CStringGetTextDatum(line->value)
		};
		bool		nulls[] = {line->scan == 0, line->definition_id == 0, false, false};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
