/*-------------------------------------------------------------------------
 *
 * run.c
 *	  One run of one job, in one transaction.
 *
 * The life of a run:
 *
 *	 1. Lock the job.  The lock is held to the end of the transaction, so that
 *		no two runs of a job overlap and the next one sees this one's results,
 *		and so that whoever deletes the job or a definition waits for the run.
 *	 2. Take a snapshot.  Everything is read with it, the sources and the
 *		store; it is taken after the lock, or else it might miss the results
 *		of the run before.
 *	 3. Load the job, as the caller: what the caller may not see is not there.
 *	 4. As the job's owner, resolve the sources, and plan the scans.
 *	 5. For each scan: as the owner, read the source into groups; then, with
 *		the extension's own rights, merge the groups with the store.
 *	 6. Drop the layouts that no result is stored by any more.
 *	 7. Record the run in batchagg_runs.
 *
 * An error anywhere undoes it all.  Where several jobs run in one statement,
 * each has a subtransaction of its own, and an error is recorded instead.
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
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "catalog/layout.h"
#include "catalog/source.h"
#include "catalog/store.h"
#include "engine/query.h"
#include "engine/run.h"
#include "engine/scan.h"
#include "engine/write.h"
#include "settings.h"

/* Groups fed to a coarser rollup between two looks at the memory used. */
#define GROUPS_PER_CHECK 64

/* Settings that are fixed while a source is read. */
static const struct
{
	const char *name;
	const char *value;
}			owner_settings[] = {
	{"search_path", "pg_catalog, pg_temp"},
	{"row_security", "on"},
	{"DateStyle", "ISO, YMD"},
	{"IntervalStyle", "postgres"},
	{"extra_float_digits", "1"},
	{"bytea_output", "hex"},

	/* Sums must not depend on where a scan that shares another's begins. */
	{"synchronize_seqscans", "off"}
};

/* The run that this backend is at. */
static struct
{
	bool		active;
	bool		timed_out;
	TimeoutId	timeout;		/* our timeout, registered at its first use */
	bool		registered;
} current;

/* What the error context says. */
typedef struct RunContext
{
	const Job  *job;
	const SourceScan *scan;			/* NULL: not reading */
} RunContext;

static void job_lock(int32 job_id);
static void run_locked(int32 job_id, bool dry_run, RunResult *result);
static void run_scan(Job *job, SourceScan *scan);
static List *scan_store_groups(SourceScan *scan, StoreWriter *store);
static void run_record(int32 job_id, RunResult *result, const ErrorData *error);

/*
 * Becomes the owner of `job`, restricted.  With `timezone`, TimeZone and the
 * settings above are fixed too; without, names still resolve as the caller's
 * do.
 */
void
owner_enter(OwnerScope *scope, const Job *job, const char *timezone)
{
	int			i;

	GetUserIdAndSecContext(&scope->saved_user, &scope->saved_context);
	SetUserIdAndSecContext(job->owner, scope->saved_context | SECURITY_RESTRICTED_OPERATION);
	scope->guc_level = NewGUCNestLevel();
	if (timezone == NULL)
		return;
	for (i = 0; i < lengthof(owner_settings); i++)
		store_set(owner_settings[i].name, owner_settings[i].value);
	store_set("TimeZone", timezone);
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
 * Resolves the sources of a job and plans its scans, for a run at run_time.
 * Returns a list of SourceScan.  Problems are raised, or collected; then what is
 * broken is left out.
 */
List *
job_plan(Job *job, TimestampTz run_time, Problems *problems)
{
	List	   *sources = NIL;
	OwnerScope	scope;
	ListCell   *lc;

	owner_enter(&scope, job, NULL);
	foreach(lc, job->definitions)
		sources = list_concat(sources, source_resolve(job, lfirst(lc), problems));
	owner_leave(&scope);
	return plan_scans(sources, run_time);
}

static void
timeout_handler(void)
{
	current.timed_out = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

static void
timeout_start(const Job *job)
{
	int			seconds = job->timeout >= 0 ? job->timeout : batchagg_job_timeout;

	if (!current.registered)
		current.timeout = RegisterTimeout(USER_TIMEOUT, timeout_handler);
	current.registered = true;
	if (seconds > 0)
		enable_timeout_after(current.timeout, Min(seconds, INT_MAX / 1000) * 1000);
}

/*
 * Locks a job against other runs, to the end of the transaction.  Jobs have no
 * relation to lock: the lock is on an object of class batch_jobs.  The rows of
 * the job and its definitions are locked too, so that nobody deletes them
 * while results for them are written.
 */
static void
job_lock(int32 job_id)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(job_id)};
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, store_relid("batch_jobs"), (uint32) job_id, 0);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("job %d is already running", job_id),
				 errdetail("Another transaction has run it and is not finished."),
				 errhint("Wait for it, or find it in pg_locks: its locktype is \"object\" and its objid is %d.",
						 job_id)));

	store_query(true, psprintf("SELECT FROM %s WHERE id = $1 FOR KEY SHARE",
							   store_table("batch_jobs")), 1, types, values);
	store_query(true, psprintf("SELECT FROM %s WHERE job_id = $1 FOR KEY SHARE",
							   store_table("batchjob_definitions")), 1, types, values);
}

static void
error_context(void *arg)
{
	const RunContext *context = arg;

	if (context->scan != NULL)
		errcontext("batchagg job %d, source %s", context->job->id, context->scan->source->name);
	else if (context->job != NULL)
		errcontext("batchagg job %d", context->job->id);
}

/*
 * Runs a job now and sets *result.  With dry_run, everything is computed and
 * compared with the store, and nothing is written or recorded.
 *
 * ERROR where the caller does not see the job, another run of it is under way,
 * it or its sources have a problem, it takes longer than its timeout, or
 * anything else goes wrong; nothing of the run remains then.
 */
void
run_job(int32 job_id, bool dry_run, RunResult *result)
{
	MemoryContext caller = CurrentMemoryContext;

	if (!dry_run)
		PreventCommandIfReadOnly("batchagg_run_job()");
	if (current.active)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot run a job while another one is running in the same session")));

	current.active = true;
	current.timed_out = false;
	PG_TRY();
	{
		run_locked(job_id, dry_run, result);
	}
	PG_CATCH();
	{
		current.active = false;
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
	current.active = false;
	disable_timeout(current.timeout, false);
}

/* Logs how a scan's groups fared. */
static void
scan_log(const Job *job, const SourceScan *scan)
{
	ListCell   *lc;

	if (DEBUG1 < batchagg_log_level)
		return;
	foreach(lc, scan->rollups)
	{
		const Rollup *rollup = lfirst(lc);
		GroupsUsage usage = groups_usage(rollup->groups);

		ereport(LOG,
				(errmsg("batchagg job %d, definition %d: read %s, groups took %zu kB of memory, %d sorted runs in temporary files",
						job->id, rollup->definition->id, scan->source->name,
						usage.peak / 1024, usage.runs),
				 errhidestmt(true), errhidecontext(true)));
	}
}

/* Logs a run's figures. */
static void
run_log(const Job *job, const RunResult *result)
{
	if (LOG < batchagg_log_level)
		return;
	ereport(LOG,
			(errmsg("batchagg job %d: read " INT64_FORMAT " rows, skipped " INT64_FORMAT
					", " INT64_FORMAT " groups, " INT64_FORMAT " results, "
					INT64_FORMAT " rows changed, %.3f s",
					job->id, result->rows_read, result->rows_skipped, result->groups,
					result->results, result->changed,
					(result->finished - result->started) / 1000000.0),
			 errhidestmt(true), errhidecontext(true)));
}

/*
 * Runs the scans and stores their results.  Returns the layouts that they have
 * in the store.
 */
static List *
run_scans(Job *job, List *scans, bool dry_run, RunContext *context, RunResult *result)
{
	StoreWriter *store = store_writer_open(dry_run);
	const WriteCounts *counts = store_writer_counts(store);
	List	   *layouts = NIL;
	ListCell   *lc;

	foreach(lc, scans)
	{
		SourceScan *scan = lfirst(lc);

		context->scan = scan;
		run_scan(job, scan);
		layouts = list_concat(layouts, scan_store_groups(scan, store));
		context->scan = NULL;
		result->rows_read += scan->rows_read;
		result->rows_skipped += scan->rows_skipped;
	}
	store_writer_close(store);

	result->groups = counts->groups;
	result->results = counts->results;
	result->changed = counts->changed;
	result->from = counts->groups > 0 ? counts->first_bucket : DT_NOBEGIN;
	return layouts;
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
		*horizon = Max(*horizon, slot - definition->job_delay * USECS_PER_HOUR);
	}
	return ids;
}

/* run_job(), within its clean-up. */
static void
run_locked(int32 job_id, bool dry_run, RunResult *result)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext run_memory = AllocSetContextCreate(caller, "batchagg run",
													 ALLOCSET_DEFAULT_SIZES);
	Problems	raise = {.collect = false};
	RunContext	context = {NULL, NULL};
	ErrorContextCallback callback = {
		.previous = error_context_stack,.callback = error_context,.arg = &context
	};
	Job		   *job;
	List	   *definitions;
	List	   *layouts;

	memset(result, 0, sizeof(RunResult));
	result->started = GetCurrentTimestamp();
	result->slot = GetCurrentStatementStartTimestamp();
	MemoryContextSwitchTo(run_memory);
	error_context_stack = &callback;

	if (!dry_run)
		job_lock(job_id);
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());

	job = job_load(job_id, &raise);
	context.job = job;
	timeout_start(job);
	if (!job->enabled)
		ereport(NOTICE,
				(errmsg("job %d is disabled", job_id),
				 errdetail("It runs now because it was started by hand; events do not run it.")));

	layouts = run_scans(job, job_plan(job, result->slot, &raise), dry_run, &context, result);
	definitions = definition_ids(job, result->slot, &result->to);
	result->status = "succeeded";
	result->finished = GetCurrentTimestamp();
	if (!dry_run)
	{
		layouts_drop_others(definitions, layouts);
		run_record(job_id, result, NULL);
		run_log(job, result);
	}

	PopActiveSnapshot();
	CommandCounterIncrement();
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(run_memory);
}

/*
 * Reads a scan's source into the groups of its rollups, as the job's owner.
 */
static void
run_scan(Job *job, SourceScan *scan)
{
	OwnerScope	scope;
	ScanQuery  *query;
	PlannedStmt *plan;

	owner_enter(&scope, job, scan->timezone);
	scan_create_groups(scan, CurrentMemoryContext, settings_run_memory());
	query = query_build(scan);
	plan = query_plan(query);
	query_take_table_rows(query, scan, plan);
	scan_run(scan, query, plan);
	owner_leave(&scope);
	scan_log(job, scan);
}

static void rollup_feed(Rollup *coarse, const GroupOut *group);

/*
 * Takes a finished group of a rollup: first it feeds the coarser ones, then it
 * is stored.  A GroupSink.
 */
static void
rollup_take(void *arg, const GroupOut *group)
{
	Rollup	   *rollup = arg;
	ListCell   *lc;

	foreach(lc, rollup->coarser)
		rollup_feed(lfirst(lc), group);
	rollup_writer_put(rollup->writer, group);
}

/*
 * Merges a finer rollup's group into a coarser one.  Groups arrive in the
 * order of their buckets, so a coarse bucket is finished when the next begins.
 */
static void
rollup_feed(Rollup *coarse, const GroupOut *group)
{
	text	   *id = cstring_to_text_with_len(group->entity, group->entity_length);
	GroupKey	key;

	key.bucket = bucket_cache_start(coarse->buckets, group->bucket);
	if (coarse->has_open && coarse->open != key.bucket)
		groups_emit(coarse->groups, rollup_take, coarse);
	coarse->has_open = true;
	coarse->open = key.bucket;
	key.entity = groups_entity(coarse->groups, PointerGetDatum(id));
	groups_find(coarse->groups, &key, 1);
	group_states_merge(&coarse->scan->layout, key.states, group->states,
					   groups_values_context(coarse->groups));
	if (++coarse->fed % GROUPS_PER_CHECK == 0)
		groups_check_memory(coarse->groups);
	pfree(id);
}

/* Finishes and stores all groups of a rollup, and of those that it feeds. */
static void
rollup_finish(Rollup *rollup)
{
	ListCell   *lc;

	groups_emit(rollup->groups, rollup_take, rollup);
	groups_free(rollup->groups);
	foreach(lc, rollup->coarser)
		rollup_finish(lfirst(lc));
}

/*
 * Merges the groups of all rollups of a scan with the store.  Returns the list
 * of the layouts that their results have there.
 */
static List *
scan_store_groups(SourceScan *scan, StoreWriter *store)
{
	List	   *layouts = NIL;
	ListCell   *lc;

	foreach(lc, scan->rollups)
	{
		Rollup	   *rollup = lfirst(lc);

		rollup->writer = rollup_writer_open(store, rollup);
		layouts = list_concat(layouts, rollup_writer_layouts(rollup->writer));
	}
	foreach(lc, scan->rollups)
		if (((Rollup *) lfirst(lc))->finer == NULL)
			rollup_finish(lfirst(lc));
	foreach(lc, scan->rollups)
		rollup_writer_close(((Rollup *) lfirst(lc))->writer);
	return layouts;
}

/*
 * Adds a run to batchagg_runs, with the error that ended it or NULL, and sets
 * its run_id.
 */
static void
run_record(int32 job_id, RunResult *result, const ErrorData *error)
{
	Oid			types[] = {INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, INT8OID, INT8OID,
	INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INT4OID,
	TIMESTAMPTZOID};
	Datum		values[] = {
		Int32GetDatum(job_id),
		TimestampTzGetDatum(result->started),
		TimestampTzGetDatum(result->finished),
		CStringGetTextDatum(result->status),
		Int64GetDatum(result->rows_read),
		Int64GetDatum(result->rows_skipped),
		Int64GetDatum(result->groups),
		Int64GetDatum(result->results),
		Int64GetDatum(result->changed),
		TimestampTzGetDatum(result->from),
		TimestampTzGetDatum(result->to),
		CStringGetTextDatum(error ? unpack_sql_state(error->sqlerrcode) : ""),
		CStringGetTextDatum(error && error->message ? error->message : ""),
		Int32GetDatum(MyProcPid),
		TimestampTzGetDatum(result->slot)
	};
	List	   *rows;

	rows = store_query(true,
					   psprintf("INSERT INTO %s (job_id, started_at, finished_at, status, rows_read, "
								"rows_skipped, groups, results, changed, range_from, range_to, "
								"error_sqlstate, error_message, worker_pid, slot) "
								"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, "
								"nullif($10, '-infinity'), nullif($11, '-infinity'), "
								"nullif($12, ''), nullif($13, ''), $14, $15) RETURNING run_id",
								store_table("batchagg_runs")),
					   lengthof(types), types, values);
	result->run_id = pg_strtoint64(((char **) linitial(rows))[0]);
}

typedef struct CaughtRun
{
	int32		job_id;
	RunResult  *result;
} CaughtRun;

static void
run_job_work(void *arg)
{
	const CaughtRun *run = arg;

	run_job(run->job_id, false, run->result);
}

/*
 * Runs a job as run_job() does, in a subtransaction: an error is reported as a
 * WARNING and recorded as a failed run, and is no error for the caller.  A
 * cancel of the whole statement is not caught.
 */
void
run_job_caught(int32 job_id, RunResult *result)
{
	CaughtRun	run = {.job_id = job_id, .result = result};
	TimestampTz started = GetCurrentTimestamp();
	ErrorData  *error = error_of(run_job_work, &run);

	if (error == NULL)
		return;
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED && !current.timed_out)
		ReThrowError(error);

	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("job %d failed: %s", job_id, error->message),
			 error->detail ? errdetail_internal("%s", error->detail) : 0,
			 error->hint ? errhint("%s", error->hint) : 0));
	memset(result, 0, sizeof(RunResult));
	result->status = "failed";
	result->slot = GetCurrentStatementStartTimestamp();
	result->started = started;
	result->finished = GetCurrentTimestamp();
	result->from = result->to = DT_NOBEGIN;
	run_record(job_id, result, error);
}
