/*-------------------------------------------------------------------------
 *
 * lock.c
 *	  The locks by which no two runs of a job overlap.
 *
 * They are held to the end of the transaction.  Nobody who may not see a job can lock it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "access/xlog.h"
#include "access/xlogutils.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/sinvaladt.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "model/ext.h"
#include "model/job.h"
#include "progress.h"
#include "run/lock.h"

/* Could the last run not begin, as others were at its job? */
static bool kept_out;

/*
 * A run begins: nobody has kept it out yet.
 */
void
lock_begin(void)
{
	kept_out = false;
}

/*
 * Could the last run not begin because others were at its job?
 */
bool
run_was_kept_out(void)
{
	return kept_out;
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

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ext_relid("batch_jobs"), (uint32) job_id, 0);
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
	VirtualTransactionId *holder = job_lock_holders(ext_relid("batch_jobs"), job_id);
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

	kept_out = true;
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

	return list_length(ext_query(true,
								 psprintf("SELECT FROM %s WHERE %s = ANY ($1) ORDER BY id "
										  "FOR KEY SHARE%s", ext_table(table), column,
										  waits ? "" : " SKIP LOCKED"), 1, types, values));
}

/*
 * Locks the jobs of a run.  The rows of the jobs and their definitions are locked too,
 * so that nobody deletes them while results for them are written.  Returns how many rows
 * were locked.
 *
 * Where many jobs are run in one transaction, it must not wait for who is deleting
 * one of them, and may want to delete another of them next.  Rows that are left out
 * for that reason are noticed when all are loaded (report_deleted()).
 */
uint64
jobs_lock(const int32 *ids, int n, bool waits)
{
	Datum		array;

	for (int i = 0; i < n; i++)
	{
		job_require(ids[i]);
		if (!job_try_lock(ids[i]))
			report_running(ids[i]);
	}
	array = ext_id_array(ids, n);
	return rows_lock("batch_jobs", "id", array, waits) +
		rows_lock("batchjob_definitions", "job_id", array, waits);
}

/*
 * ERROR: a row of the job could not be locked, as it is being deleted.
 */
void
report_deleted(int32 job_id)
{
	kept_out = true;
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("job %d is being deleted", job_id),
			 errdetail("Another transaction is deleting it or one of its definitions, and has not ended yet."),
			 errhint("Run the job again when that transaction has ended.")));
}
