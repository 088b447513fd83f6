/*-------------------------------------------------------------------------
 *
 * hook.c
 *	  Making way for commands that need a database for themselves.
 *
 * DROP DATABASE, ALTER DATABASE ... RENAME and SET TABLESPACE, and CREATE
 * DATABASE ... TEMPLATE fail while anybody is connected to the database, and a
 * scheduler always is.  So before such a command the database is held: its
 * scheduler and its idle workers go, and no new ones come.  A run that is under
 * way is left to finish, for which PostgreSQL gives it some seconds, except
 * before the database is dropped: then it is ended.
 *
 * A database is held until the transaction ends: before that, whoever comes back
 * waits for its locks, and then finds it dropped, or under another name.  After
 * it the launcher is told to look again.  That is also how the service learns of
 * new databases, and of those that it may not enter any more; so the other forms
 * of ALTER DATABASE are no exception.
 *
 * The same hook keeps strangers from locking our tables (guard.c), and has REASSIGN
 * OWNED and DROP OWNED followed (owners.c).
 *
 * The hook works in sessions that have loaded the library: all of them where it
 * is preloaded, else those that have used the extension.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "service/guard.h"
#include "service/owners.h"
#include "service/pgcron.h"
#include "service/service.h"

/* How long the service may take to leave a database: steps of milliseconds. */
#define LEAVE_STEP 10
#define LEAVE_STEPS 500

/* What CREATE DATABASE copies where it does not say. */
#define DEFAULT_TEMPLATE "template1"

static ProcessUtility_hook_type previous_hook = NULL;

/* What this transaction has to do with databases. */
static struct
{
	List	   *held;			/* oids, in TopMemoryContext; as often as held */
	bool		changed;		/* it may have changed pg_database */
} transaction;

/* The option of this name; NULL where it is not given. */
static char *
option_text(List *options, const char *name)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *option = lfirst(lc);

		if (strcmp(option->defname, name) == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return NULL;
}

/* The database that a command is about, and may need for itself; NULL: none. */
static const char *
database_needed(Node *statement)
{
	const char *template;

	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			return ((DropdbStmt *) statement)->dbname;
		case T_CreatedbStmt:
			template = option_text(((CreatedbStmt *) statement)->options, "template");
			return template ? template : DEFAULT_TEMPLATE;
		case T_AlterDatabaseStmt:
			return ((AlterDatabaseStmt *) statement)->dbname;
		case T_RenameStmt:
			if (((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
				return ((RenameStmt *) statement)->subname;
			return NULL;
		default:
			return NULL;
	}
}

static bool
owns_database(Oid id)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, id, GetUserId());
#else
	return pg_database_ownercheck(id, GetUserId());
#endif
}

/* Lets the service come back, and has it look at what there is now. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	ListCell   *lc;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (transaction.held == NIL && !transaction.changed)
		return;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	foreach(lc, transaction.held)
	{
		SharedDatabase *database = shared_database(lfirst_oid(lc), false);

		if (database != NULL && database->held > 0)
			database->held--;
	}
	shared->databases_changed = true;
	shared_wake_launcher();
	LWLockRelease(&shared->lock);
	list_free(transaction.held);
	transaction.held = NIL;
	transaction.changed = false;
}

/* Sends the service's processes out of a database; how many are left. */
static int
send_away(SharedDatabase *database, bool end_runs)
{
	int			left = database->scheduler != 0;

	shared_wake_scheduler(database);
	for (int i = 0; i < MAX_CONCURRENT_JOBS; i++)
	{
		SharedWorker *worker = &shared->workers[i];

		if (worker->state == WORKER_FREE || worker->database != database->id)
			continue;
		if (worker->state == WORKER_IDLE)
			shared_dismiss(worker);
		if (worker->state == WORKER_BUSY && !end_runs)
			continue;
		if (worker->state == WORKER_BUSY && worker->pid != 0)
			kill(worker->pid, SIGTERM);
		left++;
	}
	return left;
}

/* Keeps the service from coming (back) to a database.  NULL: there is no room. */
static SharedDatabase *
bar(Oid id)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
	SharedDatabase *database;

	transaction.held = lappend_oid(transaction.held, id);
	MemoryContextSwitchTo(caller);

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	database = shared_database(id, true);
	if (database != NULL)
		database->held++;
	else
		transaction.held = list_delete_last(transaction.held);
	LWLockRelease(&shared->lock);
	return database;
}

/*
 * Holds a database, and waits until its scheduler and idle workers are gone; with
 * end_runs, the others too.
 */
static void
hold(Oid id, bool end_runs)
{
	SharedDatabase *database = bar(id);
	int			left;

	if (database == NULL)
		return;
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	left = send_away(database, end_runs);
	LWLockRelease(&shared->lock);

	for (int i = 0; i < LEAVE_STEPS && left > 0; i++)
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(LEAVE_STEP * 1000);
		LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
		left = send_away(database, end_runs);
		LWLockRelease(&shared->lock);
	}
}

/* Is this DROP EXTENSION batchagg? */
static bool
drops_extension(Node *statement)
{
	ListCell   *lc;

	if (!IsA(statement, DropStmt) || ((DropStmt *) statement)->removeType != OBJECT_EXTENSION)
		return false;
	foreach(lc, ((DropStmt *) statement)->objects)
	{
		if (strcmp(strVal(lfirst(lc)), "batchagg") == 0)
			return true;
	}
	return false;
}

/* Is this ALTER EXTENSION batchagg UPDATE, after which the service may work again? */
static bool
updates_extension(Node *statement)
{
	return IsA(statement, AlterExtensionStmt) &&
		strcmp(((AlterExtensionStmt *) statement)->extname, "batchagg") == 0;
}

/* Does what comes next: another extension's hook, or PostgreSQL. */
static void
call_next(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
		  ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *queryEnv,
		  DestReceiver *dest, QueryCompletion *qc)
{
	(previous_hook ? previous_hook : standard_ProcessUtility)
		(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
}

static void
process_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *queryEnv,
				DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *statement = pstmt->utilityStmt;
	const char *name = database_needed(statement);
	Oid			id = name ? get_database_oid(name, true) : InvalidOid;

	if (OidIsValid(id) && shared_attach(true))
	{
		transaction.changed = true;
		if (owns_database(id))
			hold(id, IsA(statement, DropdbStmt) && id != MyDatabaseId);
	}
	if (drops_extension(statement) && OidIsValid(get_extension_oid("batchagg", true)))
	{
		pgcron_forget();
		wake_whatever_version();
	}
	if (updates_extension(statement))
		wake_whatever_version();
	guard_command(statement);
	owners_follow(statement, false);
	call_next(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
	owners_follow(statement, true);
}

/*
 * Puts the hook in place.  For _PG_init().
 */
void
hook_install(void)
{
	/* What can fail comes first: a hook that is put in place twice calls itself. */
	RegisterXactCallback(at_transaction_end, NULL);
	if (ProcessUtility_hook == process_utility)
		return;
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
