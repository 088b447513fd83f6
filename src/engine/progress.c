/*-------------------------------------------------------------------------
 *
 * progress.c
 *	  How far runs are: told by the backend that runs, read by any other.
 *
 * PostgreSQL has a place for this in every backend's entry of the shared
 * status: a command number and twenty integers, written without a lock and
 * read consistently.  The pg_stat_progress views each look for the number of
 * their command, so one that PostgreSQL does not use is ours.  What is told
 * vanishes by itself when the run's transaction or subtransaction is aborted,
 * or its process dies.
 *
 * It also vanishes when code in a view catches an error of its own, whose
 * subtransaction ends there, or runs a command with progress.  So each backend
 * keeps a copy of what it has told, and tells it all again where its entry is
 * not ours any more.
 *
 * As with PostgreSQL's own progress, nothing is told while track_activities is
 * off.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/backend_progress.h"
#include "utils/backend_status.h"

#include "engine/progress.h"

/* The number of our command: "ba", far from PostgreSQL's own. */
#define PROGRESS_COMMAND_BATCHAGG ((ProgressCommandType) 0x6261)

/* The integers of the entry. */
enum
{
	PARAM_RUN_ID,
	PARAM_JOB_ID,
	PARAM_JOBS,
	PARAM_OWNER,
	PARAM_CALLER,
	PARAM_SLOT,
	PARAM_ATTEMPT,
	PARAM_STARTED,				/* 0: the entry is not filled in yet */
	PARAM_PHASE,
	PARAM_SOURCE,
	PARAM_SCAN,
	PARAM_SCANS,
	PARAM_ROWS_READ,
	PARAM_ROWS_ESTIMATED,
	PARAM_GROUPS,
	PARAM_RESULTS_WRITTEN,
	PARAMS
};

/* What this backend has told. */
static int64 told[PARAMS];

/* Tells all of it. */
static void
tell_all(void)
{
	static const int indexes[PARAMS] = {
		PARAM_RUN_ID, PARAM_JOB_ID, PARAM_JOBS, PARAM_OWNER, PARAM_CALLER, PARAM_SLOT,
		PARAM_ATTEMPT, PARAM_STARTED, PARAM_PHASE, PARAM_SOURCE, PARAM_SCAN, PARAM_SCANS,
		PARAM_ROWS_READ, PARAM_ROWS_ESTIMATED, PARAM_GROUPS, PARAM_RESULTS_WRITTEN
	};

	if (MyBEEntry == NULL)
		return;
	if (MyBEEntry->st_progress_command != PROGRESS_COMMAND_BATCHAGG)
		pgstat_progress_start_command(PROGRESS_COMMAND_BATCHAGG, InvalidOid);
	pgstat_progress_update_multi_param(PARAMS, indexes, told);
}

/* Tells one of them. */
static inline void
tell(int param, int64 value)
{
	told[param] = value;
	if (MyBEEntry != NULL && MyBEEntry->st_progress_command == PROGRESS_COMMAND_BATCHAGG)
		pgstat_progress_update_param(param, value);
	else
		tell_all();
}

/*
 * A run begins.  Of *run, what is known by then counts: its numbers, caller, slot,
 * attempt and start.
 */
void
progress_start(const Progress *run)
{
	memset(told, 0, sizeof(told));
	told[PARAM_RUN_ID] = run->run_id;
	told[PARAM_JOB_ID] = run->job_id;
	told[PARAM_JOBS] = run->jobs;
	told[PARAM_CALLER] = run->caller;
	told[PARAM_SLOT] = run->slot;
	told[PARAM_ATTEMPT] = run->attempt;
	told[PARAM_STARTED] = run->started;
	told[PARAM_PHASE] = PROGRESS_PLANNING;
	tell_all();
}

/*
 * The run's jobs are loaded.
 */
void
progress_plan(Oid owner)
{
	tell(PARAM_OWNER, owner);
}

/*
 * The run begins to read a source, its scan number `scan` of `scans`.
 */
void
progress_scan(Oid source, int scan, int scans)
{
	told[PARAM_PHASE] = PROGRESS_READING;
	told[PARAM_SOURCE] = source;
	told[PARAM_SCAN] = scan;
	told[PARAM_SCANS] = scans;
	told[PARAM_ROWS_READ] = 0;
	told[PARAM_ROWS_ESTIMATED] = 0;
	tell_all();
}

/*
 * The scan is planned, and will read so many rows.
 */
void
progress_estimate(double rows)
{
	tell(PARAM_ROWS_ESTIMATED, (int64) Min(rows, 1e18));
}

/*
 * The scan has read so many rows.  To be called every few rows.
 */
void
progress_rows_read(int64 rows)
{
	tell(PARAM_ROWS_READ, rows);
}

/*
 * The scan's groups are merged with the store from now on.
 */
void
progress_store(void)
{
	tell(PARAM_PHASE, PROGRESS_STORING);
}

/*
 * So many groups of the run are finished, and packed rows written.
 */
void
progress_stored(int64 groups, int64 written)
{
	told[PARAM_GROUPS] = groups;
	tell(PARAM_RESULTS_WRITTEN, written);
	tell(PARAM_GROUPS, groups);
}

/*
 * The run has ended.
 */
void
progress_end(void)
{
	if (MyBEEntry != NULL && MyBEEntry->st_progress_command == PROGRESS_COMMAND_BATCHAGG)
		pgstat_progress_end_command();
}

/* What a backend tells; NULL where it is not at a run in this database. */
static Progress *
progress_of(const PgBackendStatus *entry)
{
	const int64 *params = entry->st_progress_param;
	Progress   *progress;

	if (entry->st_procpid == 0 || entry->st_databaseid != MyDatabaseId ||
		entry->st_progress_command != PROGRESS_COMMAND_BATCHAGG || params[PARAM_STARTED] == 0)
		return NULL;
	progress = palloc(sizeof(Progress));
	progress->pid = entry->st_procpid;
	progress->user = entry->st_userid;
	progress->run_id = params[PARAM_RUN_ID];
	progress->job_id = params[PARAM_JOB_ID];
	progress->jobs = params[PARAM_JOBS];
	progress->owner = params[PARAM_OWNER];
	progress->caller = params[PARAM_CALLER];
	progress->slot = params[PARAM_SLOT];
	progress->attempt = params[PARAM_ATTEMPT];
	progress->started = params[PARAM_STARTED];
	progress->phase = params[PARAM_PHASE];
	progress->source = params[PARAM_SOURCE];
	progress->scan = params[PARAM_SCAN];
	progress->scans = params[PARAM_SCANS];
	progress->rows_read = params[PARAM_ROWS_READ];
	progress->rows_estimated = params[PARAM_ROWS_ESTIMATED];
	progress->groups = params[PARAM_GROUPS];
	progress->results_written = params[PARAM_RESULTS_WRITTEN];
	return progress;
}

/*
 * The runs of this database that are under way at this moment: a list of
 * Progress.
 */
List *
progress_list(void)
{
	List	   *result = NIL;
	int			n;
	int			i;

	/* Within a transaction, PostgreSQL would show what it has shown before. */
	pgstat_clear_backend_activity_snapshot();
	n = pgstat_fetch_stat_numbackends();
	for (i = 1; i <= n; i++)
	{
#if PG_VERSION_NUM >= 160000
		LocalPgBackendStatus *local = pgstat_get_local_beentry_by_index(i);
#else
		LocalPgBackendStatus *local = pgstat_fetch_stat_local_beentry(i);
#endif
		Progress   *progress = local ? progress_of(&local->backendStatus) : NULL;

		if (progress != NULL)
			result = lappend(result, progress);
	}
	return result;
}
