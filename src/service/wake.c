/*-------------------------------------------------------------------------
 *
 * wake.c
 *	  Telling the service that jobs have changed.
 *
 * Triggers on the tables of jobs call wake_at_commit(); when the transaction
 * commits, the database's scheduler is told to read them again.  There may be
 * none yet, since the extension is being created: then the launcher is told
 * that one is wanted.
 *
 * A transaction that is prepared is committed by another session, which knows
 * nothing of this.  So it invalidates the relation cache's entry of batch_jobs, a
 * message that goes with it; the scheduler looks for those each time it wakes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/inval.h"

#include "model/ext.h"
#include "service/service.h"

static struct
{
	bool		pending;		/* this transaction has changed jobs */
	Oid			jobs_relid;		/* batch_jobs; may be InvalidOid */
	bool		registered;
}			wake;

static void
wake_now(void)
{
	SharedDatabase *database;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	database = shared_database(MyDatabaseId, shared->launcher != 0 && batchagg_enabled);
	if (database != NULL)
	{
		database->changed = true;
		if (database->scheduler != 0)
			shared_wake_scheduler(database);
		else
			shared_wake_launcher();
	}
	LWLockRelease(&shared->lock);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			if (wake.pending && OidIsValid(wake.jobs_relid))
				CacheInvalidateRelcacheByRelid(wake.jobs_relid);
			break;
		case XACT_EVENT_COMMIT:
			if (wake.pending)
				wake_now();
			/* FALLTHROUGH */
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			wake.pending = false;
			wake.jobs_relid = InvalidOid;
			break;
		default:
			break;
	}
}

static void
wake_later(void)
{
	if (!shared_attach(true))
		return;
	if (!wake.registered)
		RegisterXactCallback(at_transaction_end, NULL);
	wake.registered = true;
	wake.pending = true;
}

/*
 * Has the scheduler of this database read the jobs again when this transaction
 * commits.
 */
void
wake_at_commit(void)
{
	wake.jobs_relid = ext_relid("batch_jobs");
	wake_later();
}

/*
 * The same where the extension's tables may be missing, or of another version,
 * since it is about to be dropped or updated.  (If that is prepared, messages about
 * its tables go with it anyway.)
 */
void
wake_whatever_version(void)
{
	wake.jobs_relid = InvalidOid;
	wake_later();
}
