/*-------------------------------------------------------------------------
 *
 * run.c
 *	  Runs of jobs, in one transaction.
 *
 * Jobs of one owner that are due at one time run together, so that they can
 * share the reading of their sources; one job alone is the simplest case.  The
 * life of a run:
 *
 *	 1. Lock the jobs.  The locks are held to the end of the transaction, so
 *		that no two runs of a job overlap and the next one sees this one's
 *		results, and so that whoever deletes a job or a definition waits for
 *		the run.
 *	 2. Take a snapshot.  Everything is read with it, the sources and the
 *		store; it is taken after the locks, or else it might miss the results
 *		of the run before.
 *	 3. Load the jobs, as the caller: what the caller may not see is not there.
 *	 4. As the jobs' owner, resolve the sources.  Find out what has to be
 *		recomputed of the results from each, and plan the scans.
 *	 5. For each scan (pass.c): as the owner, read the source into groups; then, with
 *		the extension's own rights, merge the groups with the store.  On their
 *		way they feed coarser rollups, as do stored groups that have not
 *		changed, each in its place.
 *	 6. Drop the layouts that no result is stored by any more, and leave cursors
 *		for the next runs to go on from.
 *	 7. Record each job's run in batchagg_runs.
 *
 * The last run of a job can be repeated for a part of its results: up to the same
 * horizon, from the source as it is now.  Then no cursor is left, as it would
 * say of all results what is true of these; of what was there before, the ones
 * that cannot be used are dropped.  Without writing, that verifies the results.
 *
 * An error anywhere undoes it all; caught.c has runs whose errors are caught.
 *
 * While the owner's rights are in force, so is SECURITY_RESTRICTED_OPERATION,
 * and settings that could change what a view, a policy or a filter means are
 * fixed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "model/ext.h"
#include "model/layout.h"
#include "model/owner.h"
#include "progress.h"
#include "refresh/refreshes.h"
#include "run/lock.h"
#include "run/pass.h"
#include "run/record.h"
#include "run/run.h"
#include "run/timeout.h"
#include "settings.h"
#include "source/resolve.h"
#include "source/source.h"
#include "store/cascade.h"
#include "track/collect.h"
#include "track/marks.h"

/* The run that this backend is at; NULL: none. */
static Run *current;

static void run_locked(Run *run);

/*
 * Resolves the sources of a job, as its owner: a list of Source, of all its
 * definitions, to be closed by sources_close().  Problems are raised, or
 * collected; then what is broken is left out.
 */
List *
job_sources(Job *job, Problems *problems)
{
	List	   *sources = NIL;
	OwnerScope	scope;
	ListCell   *lc;

	owner_enter(&scope, job, NULL);
	foreach(lc, job->definitions)
		sources = list_concat(sources, source_resolve(job, lfirst(lc), problems));
	owner_leave(&scope);
	return sources;
}

/* The limit of a run: the least of its jobs' and the setting; 0: none. */
static int
timeout_of(const Run *run)
{
	int			least = batchagg_job_timeout;
	int			i;

	for (i = 0; i < run->n; i++)
	{
		int			seconds = run->jobs[i].job->timeout;

		if (seconds > 0 && (least == 0 || seconds < least))
			least = seconds;
	}
	return least;
}

/* Locks the jobs of a run, and the rows of what they are. */
static void
run_lock(Run *run)
{
	int32	   *ids = palloc(run->n * sizeof(int32));

	for (int i = 0; i < run->n; i++)
		ids[i] = run->jobs[i].request->job_id;
	run->locked = jobs_lock(ids, run->n, run->jobs[0].request->waits);
}

/* Sees to it that no row of the jobs was left out when they were locked. */
static void
run_check_locked(const Run *run)
{
	uint64		n = run->n;

	for (int i = 0; i < run->n; i++)
		n += list_length(run->jobs[i].job->definitions);
	if (!run->dry_run && run->locked < n)
		report_deleted(run->jobs[0].request->job_id);
}

/* The ids of the jobs that a scan reads for, as a list for people. */
static char *
scan_jobs_text(const SourceScan *scan)
{
	List	   *ids = NIL;
	StringInfoData text;
	ListCell   *lc;

	foreach(lc, scan->rollups)
		ids = list_append_unique_int(ids, ((Rollup *) lfirst(lc))->definition->job->id);
	list_sort(ids, list_int_cmp);
	initStringInfo(&text);
	appendStringInfo(&text, "batchagg %s ", list_length(ids) == 1 ? "job" : "jobs");
	foreach(lc, ids)
		appendStringInfo(&text, "%s%d", foreach_current_index(lc) > 0 ? ", " : "", lfirst_int(lc));
	return text.data;
}

static void
error_context(void *arg)
{
	const Run  *run = arg;
	const Rollup *rollup = cascade_storing();
	const char *slot = run->jobs[0].request->scheduled ?
	psprintf(", slot %s, database \"%s\"", timestamptz_to_str(run->slot),
			 context_for_client(run->database)) : "";

	if (rollup != NULL)
		errcontext("batchagg job %d, source %s%s", rollup->definition->job->id,
				   context_for_client(rollup->source->name), slot);
	else if (run->scan != NULL)
		errcontext("%s, source %s%s", scan_jobs_text(run->scan),
				   context_for_client(run->scan->source->name), slot);
	else if (run->at != NULL)
		errcontext("batchagg job %d%s", run->at->request->job_id, slot);
}

/*
 * Sets up a run of `n` jobs.
 */
static void
run_init(Run *run, const RunRequest *requests, int n, RunResult *results)
{
	TimestampTz started = GetCurrentTimestamp();
	int			i;

	memset(run, 0, sizeof(Run));
	run->n = n;
	run->jobs = palloc0(n * sizeof(JobRun));
	run->dry_run = requests[0].dry_run;
	run->repeats = requests[0].repeats ? &requests[0] : NULL;
	run->slot = requests[0].slot != 0 ? requests[0].slot : GetCurrentStatementStartTimestamp();
	run->database = get_database_name(MyDatabaseId);
	memset(results, 0, n * sizeof(RunResult));
	for (i = 0; i < n; i++)
	{
		if (requests[i].slot != requests[0].slot || requests[i].dry_run != run->dry_run)
			elog(ERROR, "jobs of different slots cannot run together");
		if (requests[i].repeats && n > 1)
			elog(ERROR, "runs are repeated one by one");
		run->jobs[i].request = &requests[i];
		run->jobs[i].result = &results[i];
		run->jobs[i].counts.first_bucket = DT_NOEND;
		results[i].pid = MyProcPid;
		results[i].started = started;
		results[i].slot = run->slot;
	}
}

/*
 * Runs jobs now, all or none, and sets results[]: one for each request.  The
 * requests are for different jobs, of one owner and one slot.  Where jobs read
 * the same relation they share the scan.  With dry_run, everything is computed
 * and compared with the store, and nothing is written or recorded.
 *
 * ERROR where the caller does not see a job, another run of it is under way, it
 * or its sources have a problem, the run takes longer than any of its jobs may,
 * or anything else goes wrong; nothing of the run remains then, but that
 * results[].run_id is what run_record_failure() may use.
 */
void
run_jobs(const RunRequest *requests, int n, RunResult *results)
{
	MemoryContext caller = CurrentMemoryContext;
	Run			run;

	Assert(n > 0);
	if (!requests[0].dry_run)
		PreventCommandIfReadOnly("batchagg_run_job()");
	if (current != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot run a job while another one is running in the same session")));

	run_init(&run, requests, n, results);
	current = &run;
	cascade_rest();
	timeout_begin();
	lock_begin();
	PG_TRY();
	{
		run_locked(&run);
	}
	PG_CATCH();
	{
		bool		timed_out = timeout_end();

		current = NULL;
		ext_read_as_active(false);
		MemoryContextSwitchTo(caller);
		if (timed_out && geterrcode() == ERRCODE_QUERY_CANCELED)
		{
			FlushErrorState();
			ereport(ERROR,
					(errcode(ERRCODE_QUERY_CANCELED),
					 errmsg("canceling job due to job timeout"),
					 errhint("The limit is batch_jobs.job_timeout, else the setting \"batchagg.job_timeout\".")));
		}
		PG_RE_THROW();
	}
	PG_END_TRY();
	current = NULL;
	(void) timeout_end();
}

/*
 * Is this backend at a run?
 */
bool
run_is_under_way(void)
{
	return current != NULL;
}

/*
 * Runs one job now, see run_jobs().
 */
void
run_job(const RunRequest *request, RunResult *result)
{
	run_jobs(request, 1, result);
}

/* Logs a run's figures. */
static void
run_log(const JobRun *job, const char *database)
{
	const RunResult *result = job->result;

	if (LOG < batchagg_log_level)
		return;
	ereport(LOG_SERVER_ONLY,
			(errmsg("batchagg job %d in database \"%s\": run " INT64_FORMAT ", slot %s, attempt %d: read "
					INT64_FORMAT " rows, skipped " INT64_FORMAT ", " INT64_FORMAT " groups, "
					INT64_FORMAT " results, " INT64_FORMAT " rows changed, %.3f s",
					job->job->id, database, result->run_id, timestamptz_to_str(result->slot),
					job->request->attempt, result->rows_read, result->rows_skipped,
					result->groups, result->results, result->changed,
					(result->finished - result->started) / 1000000.0),
			 errhidestmt(true), errhidecontext(true)));
}

/*
 * Loads the jobs of a run, as the caller.
 */
static void
run_load(Run *run, Problems *problems)
{
	int			i;

	for (i = 0; i < run->n; i++)
	{
		JobRun	   *job = &run->jobs[i];

		job->job = job_load(job->request->job_id, problems);
		run->at = job;
		if (job->job->owner != run->jobs[0].job->owner)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("jobs %d and %d have different owners and cannot run together",
							run->jobs[0].job->id, job->job->id)));
		if (!job->job->enabled && !job->request->scheduled && !run->repeats)
			ereport(NOTICE,
					(errmsg("job %d is disabled", job->job->id),
					 errdetail("It runs now because it was started by hand; events do not run it.")));
	}
	run_check_locked(run);
}

/*
 * Resolves the sources of all jobs of a run, and finds out what is to be done
 * about them: sets run->refreshes.
 */
static void
run_plan(Run *run, Problems *problems)
{
	int			i;

	for (i = 0; i < run->n; i++)
	{
		run->at = &run->jobs[i];
		run->sources = list_concat(run->sources, job_sources(run->jobs[i].job, problems));
	}
	if (run->repeats)
		run->refreshes = refreshes_repeat(run->sources, run->slot, run->repeats->from,
										  run->repeats->to, !run->dry_run,
										  !run->dry_run && !run->repeats->goes_on);
	else
		run->refreshes = refreshes_plan(run->sources, run->slot, !run->dry_run);
}

/*
 * Runs the scans and stores their results, and those of a second pass of what rows
 * were late for in the first.
 */
static void
run_scans(Run *run)
{
	List	   *late = pass_store(run, plan_scans(run->refreshes, !run->dry_run));

	if (late == NIL)
		return;
	run->again = true;
	(void) pass_store(run, plan_scans(late, !run->dry_run));
}

/*
 * Drops what the job does not store any more: layouts, and cursors of sources
 * that are read as a whole or not at all.
 */
static void
run_tidy(Run *run, JobRun *job, const List *definition_ids)
{
	List	   *untouched = NIL;
	Datum		untouched_definitions;
	Datum		untouched_names;
	List	   *tracked = NIL;
	ListCell   *lc;

	foreach(lc, run->refreshes)
	{
		const Refresh *refresh = lfirst(lc);

		if (refresh->source->definition->job != job->job)
			continue;
		if (refresh->extents->n == 0 && !refresh->additions)
			untouched = lappend(untouched, refresh->source);
		if (run->repeats ? refresh->cursor != NULL : refresh->mode != REFRESH_FULL)
			tracked = lappend(tracked, refresh->source);
	}
	sources_as_arrays(untouched, &untouched_definitions, &untouched_names);
	if (layouts_drop_others(definition_ids, job->layouts, untouched_definitions, untouched_names))
		run->layouts_changed = true;
	cursors_drop_others(definition_ids, tracked);
	foreach(lc, run->refreshes)
	{
		const Refresh *refresh = lfirst(lc);

		if (refresh->source->definition->job == job->job)
			job->counts.changed += refresh_tidy(refresh);
	}
}

/*
 * Leaves cursors for the next runs, which may then forget what has led to them.
 */
static void
run_leave_cursors(const Run *run)
{
	char	   *snapshot = snapshot_text(GetActiveSnapshot());
	FullTransactionId run_xid = GetTopFullTransactionId();
	List	   *collected = NIL;
	ListCell   *lc;

	foreach(lc, run->refreshes)
	{
		const Refresh *refresh = lfirst(lc);
		Cursor		cursor = {
			.definition_id = refresh->source->definition->id,
			.source = refresh->source->name,
			.mode = refresh_mode_name(refresh->mode),
			.fingerprint = refresh->fingerprint,
			.horizon = refresh->horizon,
			.ahead = refresh->ahead,
			.exact_from = refresh->exact_from,
			.snapshot = snapshot,
			.run_xid = run_xid,
			.names = refresh->names
		};

		ahead_pass(&cursor.ahead, cursor.horizon);
		if (refresh->mode != REFRESH_FULL)
			cursor_save(&cursor);
	}
	foreach(lc, run->refreshes)
	{
		const Refresh *refresh = lfirst(lc);

		if (refresh->marked == NULL || list_member_int(collected, refresh->marked->id))
			continue;
		marks_collect(ext_relid("batchagg_marks"), refresh->marked->id,
					  refresh->source->name, PG_INT64_MAX);
		collected = lappend_int(collected, refresh->marked->id);
	}
}

/*
 * Finishes the run of one of the jobs, whose results are stored.
 */
static void
run_finish(Run *run, JobRun *job)
{
	RunResult  *result = job->result;
	List	   *definitions = pass_definition_ids(job->job, run->slot, &result->to);

	run->at = job;
	if (!run->dry_run)
		run_tidy(run, job, definitions);
	result->groups = job->counts.groups;
	result->results = job->counts.results;
	result->changed = job->counts.changed;
	result->from = result->groups > 0 ? job->counts.first_bucket : DT_NOBEGIN;
	if (!IS_VALID_TIMESTAMP(result->to))
		result->to = DT_NOBEGIN;	/* a delay of so many hours goes back before time */
	result->status = "succeeded";
	result->finished = GetCurrentTimestamp();
	if (run->dry_run)
		return;
	record_run(job->request, result, !IsolationUsesXactSnapshot());
	run_log(job, run->database);
}

/* Tells others of a run that begins. */
static void
run_tell(const Run *run)
{
	const JobRun *first = &run->jobs[0];
	Progress	progress = {
		.run_id = first->result->run_id,
		.job_id = first->request->job_id,
		.jobs = run->n,
		.caller = GetUserId(),
		.slot = run->slot,
		.attempt = first->request->attempt,
		.started = first->result->started
	};

	progress_start(&progress);
}

/*
 * The slot of a job's last run that succeeded, as far as the history goes; 0:
 * there was none.
 */
TimestampTz
run_last_slot(int32 job_id)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(job_id)};
	List	   *rows = ext_query(true,
								 psprintf("SELECT " EXT_MICROSECONDS("slot") " FROM %s "
										  "WHERE job_id = $1 AND status = 'succeeded' "
										  "ORDER BY run_id DESC LIMIT 1",
										  ext_table("batchagg_runs")),
								 lengthof(types), types, values);

	return rows == NIL ? 0 : pg_strtoint64(((char **) linitial(rows))[0]);
}

/*
 * The slot of a run that repeats another is that one's.  Where there was none, it
 * stays what it is.  ERROR where nothing is to be written: then there is nothing
 * to compare with.
 */
static void
run_take_last_slot(Run *run)
{
	int32		job_id = run->jobs[0].job->id;
	TimestampTz slot = run_last_slot(job_id);

	if (slot != 0)
		run->slot = run->jobs[0].result->slot = slot;
	else if (run->dry_run)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no successful run of job %d is recorded", job_id),
				 errdetail("The horizon to compare with is unknown."),
				 errhint("Call batchagg_run_job(%d) first.", job_id)));
}

/* run_jobs(), within its clean-up. */
static void
run_locked(Run *run)
{
	MemoryContext caller = CurrentMemoryContext;

	/* An error that is caught must not leave the memory of groups behind. */
	MemoryContext run_memory = AllocSetContextCreate(CurTransactionContext, "batchagg run",
													 ALLOCSET_DEFAULT_SIZES);
	Problems	raise = {.collect = false};
	ErrorContextCallback callback = {
		.previous = error_context_stack,.callback = error_context,.arg = run
	};
	int			i;

	run->memory = run_memory;
	MemoryContextSwitchTo(run_memory);
	error_context_stack = &callback;

	/* Until the jobs' own limits are known; their rows may be locked. */
	timeout_start(batchagg_job_timeout);
	if (!run->dry_run)
	{
		marks_flush();
		marks_note_run();
		run_lock(run);
		for (i = 0; i < run->n; i++)
			run->jobs[i].result->run_id = record_next_id();
	}
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	ext_read_as_active(run->dry_run);

	run_load(run, &raise);
	timeout_start(timeout_of(run));
	if (run->repeats)
		run_take_last_slot(run);
	run_tell(run);
	progress_plan(run->jobs[0].job->owner);
	run_plan(run, &raise);
	run_scans(run);
	for (i = 0; i < run->n; i++)
		run_finish(run, &run->jobs[i]);
	if (!run->dry_run && !run->repeats)
		run_leave_cursors(run);
	if (run->layouts_changed)
		layouts_analyze();

	sources_close(run->sources);
	progress_end();
	ext_read_as_active(false);
	PopActiveSnapshot();
	CommandCounterIncrement();
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(run_memory);
}
