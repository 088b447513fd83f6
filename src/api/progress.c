/*-------------------------------------------------------------------------
 *
 * progress.c
 *	  SQL functions that show and cancel runs under way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "api/export.h"
#include "engine/progress.h"

PG_FUNCTION_INFO_V1(batchagg_progress);
PG_FUNCTION_INFO_V1(batchagg_cancel);

#define PROGRESS_COLUMNS 15

static const char *const phase_names[] = {"planning", "reading", "storing"};

static void
progress_values(const Progress *progress, Datum *values, bool *nulls)
{
	memset(nulls, 0, PROGRESS_COLUMNS * sizeof(bool));
	values[0] = Int64GetDatum(progress->run_id);
	nulls[0] = progress->run_id == 0;
	values[1] = Int32GetDatum(progress->job_id);
	values[2] = Int32GetDatum(progress->jobs);
	values[3] = Int32GetDatum(progress->pid);
	values[4] = TimestampTzGetDatum(progress->slot);
	values[5] = Int32GetDatum(progress->attempt);
	values[6] = TimestampTzGetDatum(progress->started);
	values[7] = CStringGetTextDatum(phase_names[progress->phase]);
	nulls[8] = !OidIsValid(progress->source);
	if (!nulls[8])
		values[8] = CStringGetTextDatum(DatumGetCString(DirectFunctionCall1(regclassout,
																			ObjectIdGetDatum(progress->source))));
	values[9] = Int32GetDatum(progress->scan);
	nulls[9] = progress->scan == 0;
	values[10] = Int32GetDatum(progress->scans);
	nulls[10] = progress->scans == 0;
	values[11] = Int64GetDatum(progress->rows_read);
	values[12] = Int64GetDatum(progress->rows_estimated);
	values[13] = Int64GetDatum(progress->groups);
	values[14] = Int64GetDatum(progress->results_written);
}

/*
 * batchagg_progress() returns setof record: the runs under way of jobs whose
 * owner the caller has the rights of.
 */
Datum
batchagg_progress(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, progress_list())
	{
		const Progress *progress = lfirst(lc);
		Datum		values[PROGRESS_COLUMNS];
		bool		nulls[PROGRESS_COLUMNS];

		if (!has_privs_of_role(GetUserId(), progress->owner))
			continue;
		progress_values(progress, values, nulls);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* The run of this number that is under way; or NULL. */
static const Progress *
find_run(int64 run_id)
{
	ListCell   *lc;

	foreach(lc, progress_list())
		if (((Progress *) lfirst(lc))->run_id == run_id)
			return lfirst(lc);
	return NULL;
}

/*
 * May the current user cancel this run?  Who runs it may: the statement is his.  The
 * owner of the job may not where somebody else runs it, maybe with all other jobs.  And
 * pg_signal_backend allows what it does for pg_cancel_backend().
 */
static bool
may_cancel(const Progress *progress)
{
	return has_privs_of_role(GetUserId(), progress->caller) ||
		(has_privs_of_role(GetUserId(), ROLE_PG_SIGNAL_BACKEND) &&
		 (superuser() || !superuser_arg(progress->user)));
}

/* Sends a backend what pg_cancel_backend() does. */
static bool
signal_cancel(int pid)
{
#ifdef HAVE_SETSID
	return kill(-pid, SIGINT) == 0;
#else
	return kill(pid, SIGINT) == 0;
#endif
}

/* Says why a run is not canceled: as if it were not there to who does not see it. */
static void
warn_not_canceled(int64 run_id, const Progress *progress)
{
	if (progress != NULL && has_privs_of_role(GetUserId(), progress->owner))
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to cancel run " INT64_FORMAT, run_id),
				 errdetail("Role \"%s\" runs the job in a statement of its own.",
						   GetUserNameFromId(progress->caller, false))));
	else
		ereport(WARNING,
				(errmsg("run " INT64_FORMAT " is not under way", run_id),
				 errhint("The view batchagg_progress shows the runs that are, and batchagg_runs "
						 "those that have ended.")));
}

/*
 * batchagg_cancel(run_id bigint) returns boolean: cancels a run that is under
 * way; false and a WARNING where there is none of this number, or the current user has
 * neither the rights of who runs it nor of pg_signal_backend.
 */
Datum
batchagg_cancel(PG_FUNCTION_ARGS)
{
	int64		run_id = PG_GETARG_INT64(0);
	const Progress *progress = run_id > 0 ? find_run(run_id) : NULL;

	if (progress == NULL || !may_cancel(progress) || !signal_cancel(progress->pid))
	{
		warn_not_canceled(run_id, progress);
		PG_RETURN_BOOL(false);
	}
	PG_RETURN_BOOL(true);
}
