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
 *	 5. For each scan: as the owner, read the source into groups; then, with
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
 * An error anywhere undoes it all.  Where many jobs run in one statement, those
 * that run together have a subtransaction of their own.  If it fails, each of
 * them runs again alone in its own, so that the others do not suffer from the
 * one, and the error of that one is recorded.
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
#include "access/xlog.h"
#include "access/xlogutils.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/sinvaladt.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "catalog/layout.h"
#include "catalog/reading.h"
#include "catalog/source.h"
#include "catalog/store.h"
#include "engine/early.h"
#include "engine/parallel.h"
#include "engine/progress.h"
#include "engine/query.h"
#include "engine/record.h"
#include "engine/run.h"
#include "engine/scan.h"
#include "engine/write.h"
#include "settings.h"
#include "track/collect.h"
#include "track/marks.h"

/* A run that does not end when its time is over is cancelled again, milliseconds. */
#define CANCEL_AGAIN 10000

/* Longest texts of an error that are recorded, bytes. */
#define MAX_ERROR_TEXT 4000

/* One of the jobs of a run. */
typedef struct JobRun
{
	const RunRequest *request;
	RunResult  *result;
	Job		   *job;			/* NULL: not loaded yet */
	WriteCounts counts;
	List	   *layouts;		/* that its results have in the store */
} JobRun;

/* A run of jobs, and where it is, for the error context. */
typedef struct Run
{
	int			n;
	JobRun	   *jobs;
	bool		dry_run;
	MemoryContext memory;		/* for all that the run needs to its end */
	const RunRequest *repeats;	/* the last run is repeated for a part; else NULL */
	TimestampTz slot;
	List	   *sources;		/* of Source: all of all definitions, kept open */
	List	   *refreshes;		/* of Refresh: one for each of them */
	const JobRun *at;			/* the job being loaded, resolved or finished */
	const SourceScan *scan;		/* NULL: not reading or storing */
	const Rollup *rollup;		/* the rollup being stored */
	const OwnerScope *reading;	/* who we were before we read as the owner */
	bool		again;			/* what was late is read again: nothing may be late */
	uint64		locked;			/* rows of jobs and definitions */
	const char *database;		/* its name, for the log */
	bool		layouts_changed;	/* some were made or dropped */
} Run;

/* The run that this backend is at. */
static struct
{
	Run		   *run;			/* NULL: none */
	bool		timed_out;
	bool		kept_out;		/* the last run could not begin, as others were at its job */
	TimeoutId	timeout;		/* our timeout, registered at its first use */
	bool		registered;
} current;

static void run_locked(Run *run);
static List *store_scans(Run *run, List *scans);
static void run_scan(Run *run, SourceScan *scan);
static void scan_open_writers(SourceScan *scan, StoreWriter *store);
static List *scan_store_groups(Run *run, SourceScan *scan, StoreWriter *store);
static void scan_count(const Run *run, const SourceScan *scan);

/*
 * Becomes the owner of `job`, restricted.  Names resolve in pg_catalog alone, as those of
 * sources are stored with their schemas: nothing depends on who runs the job.  With
 * `timezone`, TimeZone and all settings that results could depend on are fixed too.
 */
void
owner_enter(OwnerScope *scope, const Job *job, const char *timezone)
{
	GetUserIdAndSecContext(&scope->saved_user, &scope->saved_context);
	SetUserIdAndSecContext(job->owner, scope->saved_context | SECURITY_RESTRICTED_OPERATION);
	scope->guc_level = NewGUCNestLevel();
	store_set("search_path", "pg_catalog, pg_temp");
	if (timezone != NULL)
		reading_fix_settings(job->owner, timezone);
}

/*
 * Becomes who one was.
 */
void
owner_leave(const OwnerScope *scope)
{
	AtEOXact_GUC(false, scope->guc_level);
	SetUserIdAndSecContext(scope->saved_user, scope->saved_context);
}

/*
 * To be called where an error is caught that came while a source was planned or read
 * as its owner: raises it again.  What a function in a view or a policy does not find
 * is mostly there, but not in the search_path that is fixed here; the hint says so.
 */
void
owner_rethrow(MemoryContext context)
{
	ErrorData  *error;

	if (geterrcode() != ERRCODE_UNDEFINED_FUNCTION && geterrcode() != ERRCODE_UNDEFINED_TABLE &&
		geterrcode() != ERRCODE_UNDEFINED_OBJECT)
		PG_RE_THROW();
	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();

	/* Names in a filter are another matter, and have a hint of their own; so do settings. */
	if (error->message_id != NULL &&
		strcmp(error->message_id, "unrecognized configuration parameter \"%s\"") == 0)
		error->hint = "A job reads its sources with the settings that a new session of its owner has: "
			"ALTER ROLE ... SET.";
	else if (error->context == NULL || strstr(error->context, "resource_filter") == NULL)
		error->hint = "A run reads its sources with search_path set to pg_catalog. In functions that "
			"a view calls, write names with their schema, or give the functions a search_path: "
			"ALTER FUNCTION ... SET search_path.";
	ReThrowError(error);
}

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

/*
 * Cancels the run.  A function of a source may catch that and go on, so it comes again;
 * and a process of the service, which has no more to do than the run, ends then.
 */
static void
timeout_handler(void)
{
	if (current.timed_out && MyBackendType == B_BG_WORKER)
		ProcDiePending = true;
	current.timed_out = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

/* Lets the run take so many seconds from now on; 0: without limit. */
static void
timeout_set(int seconds)
{
	if (!current.registered)
		current.timeout = RegisterTimeout(USER_TIMEOUT, timeout_handler);
	current.registered = true;
	disable_timeout(current.timeout, false);
	if (seconds > 0)
		enable_timeout_every(current.timeout,
							 TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
														 seconds * INT64CONST(1000)),
							 CANCEL_AGAIN);
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

/*
 * Locks a job against other runs, to the end of the transaction.  Jobs have no
 * relation to lock: the lock is on an object of class batch_jobs.  Returns false
 * where another transaction holds it and is not waited for.
 */
static bool
job_acquire_lock(int32 job_id, bool wait)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, store_relid("batch_jobs"), (uint32) job_id, 0);
	return LockAcquire(&tag, ExclusiveLock, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * Locks a job against runs before one of the caller's.  False where another
 * transaction has run it, or is running it.
 */
bool
job_try_lock(int32 job_id)
{
	return job_acquire_lock(job_id, false);
}

/*
 * Locks a job against runs before one of the caller's, when others have ended.
 * The caller holds no other lock that runs wait for.  ERROR where the caller does not
 * see the job.
 */
void
job_lock(int32 job_id)
{
	job_require(job_id);
	(void) job_acquire_lock(job_id, true);
}

/* Who keeps a job locked: a list that ends with one that is not valid. */
static VirtualTransactionId *
job_lock_holders(Oid jobs_relid, int32 job_id)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, jobs_relid, (uint32) job_id, 0);
	return GetLockConflicts(&tag, ExclusiveLock, NULL);
}

/*
 * Does another transaction keep a job locked?  Takes no lock itself, which might be in
 * somebody's way.  The first argument is the oid of batch_jobs.
 */
bool
job_is_locked(Oid jobs_relid, int32 job_id)
{
	VirtualTransactionId *holders = job_lock_holders(jobs_relid, job_id);
	bool		result = VirtualTransactionIdIsValid(*holders);

	if (!InHotStandby)
		pfree(holders);
	return result;
}

/* The run under way that keeps a job locked, if the caller may see it; or NULL. */
static const Progress *
run_in_the_way(int32 job_id)
{
	VirtualTransactionId *holder = job_lock_holders(store_relid("batch_jobs"), job_id);
	PGPROC	   *process;
	ListCell   *lc;

	if (!VirtualTransactionIdIsValid(*holder))
		return NULL;
#if PG_VERSION_NUM >= 170000
	process = ProcNumberGetProc(holder->procNumber);
#else
	process = BackendIdGetProc(holder->backendId);
#endif
	foreach(lc, progress_list())
	{
		const Progress *progress = lfirst(lc);

		if (process && progress->pid == process->pid && progress->run_id != 0 &&
			OidIsValid(progress->owner) && has_privs_of_role(GetUserId(), progress->owner))
			return progress;
	}
	return NULL;
}

static void
report_running(int32 job_id)
{
	const Progress *progress = run_in_the_way(job_id);

	current.kept_out = true;
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("job %d is already running", job_id),
			 progress ? errdetail("Run " INT64_FORMAT " is under way.", progress->run_id) :
			 errdetail("Another transaction is running it, or has run it and has not ended yet."),
			 progress ? errhint("The view batchagg_progress shows how far it is; "
								"batchagg_cancel(" INT64_FORMAT ") cancels it.", progress->run_id) :
			 errhint("Wait for it, or find it in pg_locks: its locktype is \"object\" and its objid is %d.",
					 job_id)));
}

/* Locks rows of jobs against being deleted.  Returns how many. */
static int
rows_lock(const char *table, const char *column, Datum ids, bool waits)
{
	Oid			types[] = {INT4ARRAYOID};
	Datum		values[] = {ids};

	return list_length(store_query(true,
								   psprintf("SELECT FROM %s WHERE %s = ANY ($1) ORDER BY id "
											"FOR KEY SHARE%s", store_table(table), column,
											waits ? "" : " SKIP LOCKED"), 1, types, values));
}

/*
 * Locks the jobs of a run.  The rows of the jobs and their definitions are
 * locked too, so that nobody deletes them while results for them are written.
 *
 * Where many jobs are run in one transaction, it must not wait for who is deleting
 * one of them, and may want to delete another of them next.  Rows that are left out
 * for that reason are noticed when all are loaded.
 */
static void
jobs_lock(Run *run)
{
	int32	   *ids = palloc(run->n * sizeof(int32));
	bool		waits = run->jobs[0].request->waits;
	Datum		array;
	int			i;

	for (i = 0; i < run->n; i++)
	{
		ids[i] = run->jobs[i].request->job_id;
		job_require(ids[i]);
		if (!job_try_lock(ids[i]))
			report_running(ids[i]);
	}
	array = store_id_array(ids, run->n);
	run->locked = rows_lock("batch_jobs", "id", array, waits);
	run->locked += rows_lock("batchjob_definitions", "job_id", array, waits);
}

/* Sees to it that no row of the jobs was left out when they were locked. */
static void
jobs_check_locked(const Run *run)
{
	uint64		n = run->n;
	int			i;

	for (i = 0; i < run->n; i++)
		n += list_length(run->jobs[i].job->definitions);
	if (run->dry_run || run->locked >= n)
		return;
	current.kept_out = true;
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("job %d is being deleted", run->jobs[0].request->job_id),
			 errdetail("Another transaction is deleting it or one of its definitions, and has not ended yet."),
			 errhint("Run the job again when that transaction has ended.")));
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
	const char *slot = run->jobs[0].request->scheduled ?
		psprintf(", slot %s, database \"%s\"", timestamptz_to_str(run->slot),
				 context_for_client(run->database)) : "";

	if (run->rollup != NULL)
		errcontext("batchagg job %d, source %s%s", run->rollup->definition->job->id,
				   context_for_client(run->rollup->source->name), slot);
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

	if (!requests[0].dry_run)
		PreventCommandIfReadOnly("batchagg_run_job()");
	if (current.run != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot run a job while another one is running in the same session")));

	run_init(&run, requests, n, results);
	current.run = &run;
	current.timed_out = false;
	current.kept_out = false;
	PG_TRY();
	{
		run_locked(&run);
	}
	PG_CATCH();
	{
		current.run = NULL;
		store_read_as_active(false);
		if (current.registered)
			disable_timeout(current.timeout, false);
		MemoryContextSwitchTo(caller);
		if (current.timed_out && geterrcode() == ERRCODE_QUERY_CANCELED)
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
	current.run = NULL;
	disable_timeout(current.timeout, false);
}

/*
 * Is this backend at a run?
 */
bool
run_is_under_way(void)
{
	return current.run != NULL;
}

/*
 * Could this backend's last run not begin, because others run or delete the job?
 */
bool
run_was_kept_out(void)
{
	return current.kept_out;
}

/*
 * Runs one job now, see run_jobs().
 */
void
run_job(const RunRequest *request, RunResult *result)
{
	run_jobs(request, 1, result);
}

/*
 * Logs how a scan's groups fared; not to the client, whose encoding may lack what is in
 * names; here and below.
 */
static void
scan_log(const SourceScan *scan, const char *database)
{
	ListCell   *lc;

	if (DEBUG1 < batchagg_log_level)
		return;
	foreach(lc, scan->rollups)
	{
		const Rollup *rollup = lfirst(lc);

		ereport(LOG_SERVER_ONLY,
				(errmsg("batchagg job %d in database \"%s\", definition %d: read %s with %d workers, groups took %zu kB of memory, %d sorted runs in temporary files",
						rollup->definition->job->id, database, rollup->definition->id, scan->source->name,
						scan->workers, rollup->usage.peak / 1024, rollup->usage.runs),
				 errhidestmt(true), errhidecontext(true)));
	}
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
	jobs_check_locked(run);
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

/* The job of a run that a rollup is of. */
static JobRun *
rollup_job(const Run *run, const Rollup *rollup)
{
	int			i = 0;

	while (run->jobs[i].job != rollup->definition->job)
		i++;
	return &run->jobs[i];
}

/*
 * Adds a scan's rows to the figures of each job that it has read for.
 */
static void
scan_count_rows(const Run *run, const SourceScan *scan)
{
	List	   *counted = NIL;
	ListCell   *lc;

	foreach(lc, scan->rollups)
	{
		JobRun	   *job = rollup_job(run, lfirst(lc));

		if (list_member_ptr(counted, job))
			continue;
		counted = lappend(counted, job);
		job->result->rows_read += scan->rows_read;
		if (!run->again)
			job->result->rows_skipped += scan->rows_skipped;
	}
}

/*
 * Finds or makes the layouts by which the results of all rollups are stored.
 */
static void
run_layouts(Run *run, List *scans)
{
	ListCell   *lc;

	foreach(lc, scans)
	{
		ListCell   *lc2;

		foreach(lc2, ((SourceScan *) lfirst(lc))->rollups)
		{
			Rollup	   *rollup = lfirst(lc2);
			JobRun	   *job = rollup_job(run, rollup);

			job->layouts = list_concat(job->layouts,
									   rollup_find_layouts(rollup, !run->dry_run,
														   &run->layouts_changed));
		}
	}
}

/* The ids of a job's definitions, and in *horizon the latest of their horizons. */
static List *
definition_ids(const Job *job, TimestampTz slot, TimestampTz *horizon)
{
	List	   *ids = NIL;
	ListCell   *lc;

	*horizon = DT_NOBEGIN;
	foreach(lc, job->definitions)
	{
		const Definition *definition = lfirst(lc);

		ids = lappend_int(ids, definition->id);
		*horizon = Max(*horizon, job_run_time(job, slot) - definition->job_delay * USECS_PER_HOUR);
	}
	return ids;
}

/*
 * Reports what is stored where nothing is computed: in other layouts than the
 * scans', and of buckets whose results are retained no longer.
 */
static void
run_report_others(const Run *run, List *scans, StoreWriter *store)
{
	const RunRequest *range = run->repeats;
	TimestampTz horizon;
	ListCell   *lc;

	foreach(lc, layouts_others(definition_ids(run->jobs[0].job, run->slot, &horizon),
							   run->jobs[0].layouts))
		store_report_layout(store, lfirst(lc), range->from, range->to);
	foreach(lc, scans)
	{
		ListCell   *lc2;

		foreach(lc2, ((SourceScan *) lfirst(lc))->rollups)
		{
			Rollup	   *rollup = lfirst(lc2);
			TimestampTz to = Min(rollup->refresh->retained_from, range->to);
			int			i;

			for (i = 0; i < rollup->nparts && to > range->from; i++)
				store_report_layout(store, rollup->parts[i].layout, range->from, to);
		}
	}
}

/*
 * Runs scans and stores their results.  Returns what was late, and has to be
 * recomputed: a list of Refresh.
 */
static List *
store_scans(Run *run, List *scans)
{
	List	   *late = NIL;
	StoreWriter *store;
	bool		added = false;
	ListCell   *lc;

	/* The same snapshot, but what we have stored so far is seen. */
	run_layouts(run, scans);
	CommandCounterIncrement();
	PushCopiedSnapshot(GetActiveSnapshot());
	UpdateActiveSnapshotCommandId();
	store = store_writer_open(run->dry_run, run->repeats ? run->repeats->differences : NULL);
	foreach(lc, scans)
	{
		SourceScan *scan = lfirst(lc);

		/* What is recomputed builds on what is stored. */
		if (added && !scan->adds)
			store_writer_see_written(store);
		added = scan->adds;
		run->scan = scan;
		progress_scan(scan->source->relid, foreach_current_index(lc) + 1, list_length(scans));
		scan_open_writers(scan, store);
		run_scan(run, scan);
		progress_store();
		late = list_concat(late, scan_store_groups(run, scan, store));
		run->scan = NULL;
		scan_count(run, scan);
	}
	if (run->repeats && run->repeats->differences)
		run_report_others(run, scans, store);
	store_writer_close(store);
	PopActiveSnapshot();
	return late;
}

/*
 * Runs the scans and stores their results, and those of a second pass of what rows
 * were late for in the first.
 */
static void
run_scans(Run *run)
{
	List	   *late = store_scans(run, plan_scans(run->refreshes, !run->dry_run));

	if (late == NIL)
		return;
	run->again = true;
	(void) store_scans(run, plan_scans(late, !run->dry_run));
}

/*
 * Drops what the job does not store any more: layouts, and cursors of sources
 * that are read as a whole or not at all.
 */
static void
run_tidy(Run *run, JobRun *job, const List *definition_ids)
{
	List	   *untouched = NIL;
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
	if (layouts_drop_others(definition_ids, job->layouts, untouched))
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
		marks_collect(store_relid("batchagg_marks"), refresh->marked->id,
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
	List	   *definitions = definition_ids(job->job, run->slot, &result->to);

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
	List	   *rows = store_query(true,
								   psprintf("SELECT " STORE_MICROSECONDS("slot") " FROM %s "
											"WHERE job_id = $1 AND status = 'succeeded' "
											"ORDER BY run_id DESC LIMIT 1",
											store_table("batchagg_runs")),
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
	timeout_set(batchagg_job_timeout);
	if (!run->dry_run)
	{
		marks_flush();
		marks_note_run();
		jobs_lock(run);
		for (i = 0; i < run->n; i++)
			run->jobs[i].result->run_id = record_next_id();
	}
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	store_read_as_active(run->dry_run);

	run_load(run, &raise);
	timeout_set(timeout_of(run));
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
	store_read_as_active(false);
	PopActiveSnapshot();
	CommandCounterIncrement();
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(run_memory);
}

static void rollup_feed(Rollup *coarse, const GroupOut *group);

/* Feeds a group of a rollup to the coarser ones. */
static void
rollup_feed_coarser(const Rollup *rollup, const GroupOut *group)
{
	ListCell   *lc;

	foreach(lc, rollup->coarser)
		rollup_feed(lfirst(lc), group);
}

/*
 * Feeds those of a rollup's stored groups to the coarser ones that are not
 * recomputed and come before `next`, or to the end (NULL).
 */
static void
rollup_feed_stored(const Rollup *rollup, const GroupOut *next)
{
	GroupOut	group;

	if (rollup->reader == NULL)
		return;
	while (stored_reader_next(rollup->reader, next, &group))
		rollup_feed_coarser(rollup, &group);
}

/*
 * Takes a finished group of a rollup: first it feeds the coarser ones, in its
 * place among those that are stored, then it is stored.  A GroupSink.
 *
 * Where stored groups are fed, others than those that are recomputed may have
 * come with them, and lack rows.
 */
static void
rollup_take(void *arg, const GroupOut *group)
{
	Rollup	   *rollup = arg;

	rollup_writer_meet(rollup->writer, group);
	rollup_feed_stored(rollup, group);
	if (group->bucket < rollup->stored_from ||
		rollup_writer_recomputes(rollup->writer, group))
		rollup_feed_coarser(rollup, rollup->reader == NULL ? group :
							stored_reader_settle(rollup->reader, rollup->writer, group));
	current.run->rollup = rollup;
	if (rollup->early != NULL)
		early_store(rollup, group->bucket, rollup_writer_counts(rollup->writer));
	rollup_writer_put(rollup->writer, group);
}

/*
 * Merges a finer rollup's group into a coarser one.  Groups arrive in the
 * order of their buckets, so a coarse bucket is finished when the next begins.
 */
static void
rollup_feed(Rollup *coarse, const GroupOut *group)
{
	TimestampTz bucket;

	check_stack_depth();
	if (group->bucket >= coarse->horizon)
		return;
	bucket = bucket_cache_start(coarse->buckets, group->bucket);
	if (coarse->has_open && coarse->open != bucket)
		groups_emit(coarse->groups, rollup_take, coarse);
	coarse->has_open = true;
	coarse->open = bucket;
	groups_feed(coarse->groups, bucket, group);
}

/*
 * Takes the groups of a rollup that are of buckets before this, as far as all
 * processes have them, while the source is being read: as ourselves.  A StoreEarly.
 */
static TimestampTz
rollup_take_early(Rollup *rollup, TimestampTz before)
{
	Run		   *run = current.run;
	MemoryContext old_context;
	Oid			owner;
	int			context;

	before = Min(before, parallel_watermark(rollup));
	if (before <= rollup->early->watermark)
		return rollup->early->watermark;
	old_context = MemoryContextSwitchTo(run->memory);
	GetUserIdAndSecContext(&owner, &context);
	SetUserIdAndSecContext(run->reading->saved_user, run->reading->saved_context);
	groups_emit_before(rollup->groups, before, rollup_take, rollup);
	SetUserIdAndSecContext(owner, context);
	run->rollup = NULL;
	MemoryContextSwitchTo(old_context);
	return before;
}

/* Lets groups of a scan be stored while others are read, if they may. */
static void
scan_prepare_early(const Run *run, SourceScan *scan, const ScanQuery *query)
{
	ListCell   *lc;

	if (run->repeats || run->again || !scan_may_store_early(scan, query))
		return;
	scan->store_early = rollup_take_early;
	foreach(lc, scan->rollups)
		early_create(lfirst(lc));
}

/* Reads a scan's source into the groups of its rollups; `scope` is who we were. */
static void
read_source(Run *run, SourceScan *scan, const OwnerScope *scope)
{
	ScanQuery  *query = query_choose(scan);
	const char *obstacle;
	int			workers;

	progress_estimate(query->plan->planTree->plan_rows);
	workers = parallel_workers(scan, query, &obstacle);
	scan_prepare_early(run, scan, query);
	scan_create_groups(scan, CurrentMemoryContext, workers == 0 ? settings_run_memory() :
					   parallel_groups_memory(scan->store_early != NULL), workers + 1);
	run->reading = scope;
	if (workers > 0)
		parallel_run(scan, query, workers);
	else
		scan_run(scan, query, NULL, NULL);
	scan->is_read = true;
}

/*
 * Reads a scan's source into the groups of its rollups, as the jobs' owner.
 */
static void
run_scan(Run *run, SourceScan *scan)
{
	MemoryContext caller = CurrentMemoryContext;
	OwnerScope	scope;

	if (!scan_reads_rows(scan))
	{
		scan_create_groups(scan, CurrentMemoryContext, settings_run_memory(), 1);
		return;
	}
	owner_enter(&scope, run->jobs[0].job, scan->timezone);
	PG_TRY();
	{
		read_source(run, scan, &scope);
	}
	PG_CATCH();
	{
		owner_rethrow(caller);
	}
	PG_END_TRY();
	owner_leave(&scope);
}

/* Finishes and stores all groups of a rollup, and of those that it feeds. */
static void
rollup_finish(Rollup *rollup)
{
	ListCell   *lc;

	check_stack_depth();
	groups_emit(rollup->groups, rollup_take, rollup);
	rollup->usage = groups_usage(rollup->groups);
	groups_free(rollup->groups);
	rollup_feed_stored(rollup, NULL);
	foreach(lc, rollup->coarser)
		rollup_finish(lfirst(lc));
}

/* Begins to merge the groups of all rollups of a scan with the store. */
static void
scan_open_writers(SourceScan *scan, StoreWriter *store)
{
	ListCell   *lc;

	foreach(lc, scan->rollups)
	{
		Rollup	   *rollup = lfirst(lc);

		rollup->writer = rollup_writer_open(store, rollup);
		if (rollup->stored->n > 0)
			rollup->reader = stored_reader_open(store, rollup);
	}
}

/*
 * Merges the groups of all rollups of a scan, but those that have left early, with
 * the store.  Returns what was late: a list of Refresh.
 */
static List *
scan_store_groups(Run *run, SourceScan *scan, StoreWriter *store)
{
	List	   *late;
	ListCell   *lc;

	foreach(lc, scan->fed)
		rollup_finish(lfirst(lc));
	parallel_end(scan);
	scan_end(scan);
	scan_log(scan, run->database);
	foreach(lc, scan->rollups)
	{
		run->rollup = lfirst(lc);
		rollup_writer_finish(run->rollup->writer);
	}
	late = scan_late_refreshes(scan);
	store_writer_catch_up(store);
	foreach(lc, scan->rollups)
	{
		run->rollup = lfirst(lc);
		rollup_writer_close(run->rollup->writer);
		if (run->rollup->reader != NULL)
			stored_reader_close(run->rollup->reader);
	}
	run->rollup = NULL;
	return late;
}

/* Adds what the merge of a rollup's groups came to to its job's figures. */
static void
rollup_count(const Run *run, const Rollup *rollup)
{
	WriteCounts *counts = &rollup_job(run, rollup)->counts;
	const WriteCounts *own = rollup_writer_counts(rollup->writer);

	counts->groups += own->groups;
	counts->results += own->results;
	counts->changed += own->changed;
	counts->first_bucket = Min(counts->first_bucket, own->first_bucket);
	if (rollup->early != NULL)
	{
		WriteCounts late = early_late_counts(rollup->early, own);

		counts->groups -= late.groups;
		counts->results -= late.results;

		/* What was inserted was changed, even if it is changed again. */
		if (run->dry_run)
			counts->changed -= late.changed;
	}
}

/* Has an earlier rollup of a scan the same filter, and is of the same job? */
static bool
filter_came_before(const SourceScan *scan, const Rollup *rollup)
{
	ListCell   *lc;

	foreach(lc, scan->rollups)
	{
		const Definition *other = ((const Rollup *) lfirst(lc))->definition;

		if (lfirst(lc) == rollup)
			return false;
		if (other->job == rollup->definition->job && other->filter != NULL &&
			strcmp(other->filter, rollup->definition->filter) == 0)
			return true;
	}
	return false;
}

/*
 * Tells of a filter that no row passes, where all were looked at.  In row layout, that no
 * row has the metrics was told.
 */
static void
tell_empty_filter(const SourceScan *scan, const Rollup *rollup)
{
	const Definition *definition = rollup->definition;

	if (definition->filter == NULL || scan->source->layout == LAYOUT_ROW ||
		rollup_writer_counts(rollup->writer)->groups > 0 || scan->rows_skipped > 0 ||
		!extents_are_everything(rollup->refresh->extents) || filter_came_before(scan, rollup))
		return;
	ereport(NOTICE,
			(errmsg("no row of source \"%s\" up to the horizon passes the filter of definition %d",
					text_for_client(scan->source->name), definition->id),
			 errdetail("The filter is: %s", text_for_client(definition->filter))));
}

/* Adds a scan, whose groups are stored, to the figures. */
static void
scan_count(const Run *run, const SourceScan *scan)
{
	ListCell   *lc;

	scan_count_rows(run, scan);
	foreach(lc, scan->rollups)
	{
		rollup_count(run, lfirst(lc));
		if (!run->repeats)
			tell_empty_filter(scan, lfirst(lc));
	}
}

/* A text of an error as it is recorded; NULL for NULL. */
static const char *
recorded_text(const char *text)
{
	int			length = text ? strlen(text) : 0;

	if (length <= MAX_ERROR_TEXT)
		return text;
	return psprintf("%.*s ...", text_clip(text, length, MAX_ERROR_TEXT), text);
}

/*
 * Records the run of a job that failed with `error`, or that ended without one
 * because its process did (NULL).  result->run_id and pid are those that the run
 * had, or 0; the rest of *result is set.  To be called after the run's
 * transaction, or subtransaction, was aborted.  A job that is not there any more
 * has no record: run_id is 0 then.
 */
void
run_record_failure(const RunRequest *request, TimestampTz started, const ErrorData *error,
				   RunResult *result)
{
	int64		run_id = result->run_id;
	int			pid = result->pid;
	bool		counted = !IsolationUsesXactSnapshot() && job_try_lock(request->job_id);

	memset(result, 0, sizeof(RunResult));
	result->run_id = run_id != 0 ? run_id : record_next_id();
	result->pid = pid;
	result->status = error != NULL ? "failed" : "interrupted";
	result->slot = request->slot != 0 ? request->slot : GetCurrentStatementStartTimestamp();
	result->started = started;
	result->finished = GetCurrentTimestamp();
	result->from = result->to = DT_NOBEGIN;
	result->sqlerrcode = error != NULL ? error->sqlerrcode : 0;
	result->message = error != NULL ? recorded_text(error->message) :
		"the worker ended before the run did";
	result->detail = error != NULL ? recorded_text(error->detail) : NULL;
	record_run(request, result, counted);
}

typedef struct CaughtRun
{
	const RunRequest *requests;
	int			n;
	RunResult  *results;
} CaughtRun;

static void
run_caught_work(void *arg)
{
	const CaughtRun *run = arg;

	run_jobs(run->requests, run->n, run->results);
}

/*
 * Runs jobs as run_jobs() does, in a subtransaction.  Returns NULL, or the error
 * that they failed with.  A cancel of the whole statement is not caught.
 */
static ErrorData *
run_caught(const RunRequest *requests, int n, RunResult *results)
{
	CaughtRun	run = {.requests = requests,.n = n,.results = results};
	ErrorData  *error;
	int			i;

	memset(results, 0, n * sizeof(RunResult));
	for (i = 0; i < n; i++)
		results[i].pid = MyProcPid;
	error = error_of(run_caught_work, &run);
	if (error != NULL && error_is_cancel(error))
		ReThrowError(error);
	return error;
}

/*
 * Runs a job as run_job() does, in a subtransaction: an error is reported as a
 * WARNING and recorded as a failed run, and is no error for the caller.
 */
void
run_job_caught(const RunRequest *request, RunResult *result)
{
	TimestampTz started = GetCurrentTimestamp();
	ErrorData  *error = run_caught(request, 1, result);

	if (error == NULL)
		return;
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("job %d failed: %s", request->job_id, text_for_client(error->message)),
			 error->detail ? errdetail_internal("%s", text_for_client(error->detail)) : 0,
			 error->hint ? errhint("%s", text_for_client(error->hint)) : 0));
	run_record_failure(request, started, error, result);
}

/*
 * Runs jobs together as run_jobs() does, in a subtransaction; where that fails,
 * each alone, as run_job_caught() does.
 */
void
run_jobs_caught(const RunRequest *requests, int n, RunResult *results)
{
	ErrorData  *error;
	int			i;

	if (n > 1)
	{
		error = run_caught(requests, n, results);
		if (error == NULL)
			return;
		if (DEBUG1 >= batchagg_log_level)
			ereport(LOG_SERVER_ONLY,
					(errmsg("batchagg jobs %d to %d in database \"%s\" cannot run together, each runs alone: %s",
							requests[0].job_id, requests[n - 1].job_id,
							get_database_name(MyDatabaseId), error->message),
					 errhidestmt(true), errhidecontext(true)));
	}
	for (i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		run_job_caught(&requests[i], &results[i]);
	}
}
