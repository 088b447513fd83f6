/*-------------------------------------------------------------------------
 *
 * service.c
 *	  SQL functions around the service: starting and stopping it, seeing what
 *	  it waits for, and the triggers by which it learns of changes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/proc.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/timestamp.h"

#include "api/export.h"
#include "model/ext.h"
#include "run/lock.h"
#include "run/run.h"
#include "service/pgcron.h"
#include "service/pool.h"
#include "service/service.h"
#include "settings.h"
#include "slots/agenda.h"
#include "slots/clock.h"
#include "slots/order.h"

PG_FUNCTION_INFO_V1(batchagg_start);
PG_FUNCTION_INFO_V1(batchagg_stop);
PG_FUNCTION_INFO_V1(batchagg_set_clock);
PG_FUNCTION_INFO_V1(batchagg_wake);
PG_FUNCTION_INFO_V1(batchagg_expected_slots);
PG_FUNCTION_INFO_V1(batchagg_jobs_changed);
PG_FUNCTION_INFO_V1(batchagg_job_deleted);

/* How long the launcher may take to come or go: steps of milliseconds. */
#define WAIT_STEP 10
#define WAIT_STEPS 1000

static void
require_superuser(const char *what, const char *hint)
{
	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to %s", what),
				 errdetail("Only superusers may do that."),
				 hint ? errhint("%s", hint) : 0));
}

/* Refuses to start a service where there must be, or can be, none. */
static void
require_normal_server(void)
{
	PreventCommandDuringRecovery("batchagg_start()");
	if (!IsUnderPostmaster || IsBinaryUpgrade)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the service of batchagg cannot run in %s",
						IsBinaryUpgrade ? "binary upgrade mode" : "single-user mode")));
}

/* Is the launcher, and (where it is not to be) every scheduler, there or gone? */
static bool
service_is(bool running)
{
	bool		result;

	LWLockAcquire(&shared->lock, LW_SHARED);
	result = (shared->launcher != 0) == running;
	for (int i = 0; !running && i < SHARED_DATABASES; i++)
		result &= !OidIsValid(shared->databases[i].id) || shared->databases[i].scheduler == 0;
	LWLockRelease(&shared->lock);
	return result;
}

/* Waits until the service is running, or is not; false: in vain. */
static bool
wait_for_service(bool running)
{
	for (int i = 0; i < WAIT_STEPS; i++)
	{
		if (service_is(running))
			return true;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(WAIT_STEP * 1000);
	}
	return false;
}

/*
 * batchagg_start() returns boolean: starts the service.  False if it was
 * running.  ERROR: not a superuser, on a standby, in a server that is being upgraded
 * or that is one process, no process to be had.
 */
Datum
batchagg_start(PG_FUNCTION_ARGS)
{
	BackgroundWorker launcher;
	bool		running;

	require_superuser("start the service of batchagg",
					  "Where batchagg is in shared_preload_libraries, the service starts with the server.");
	require_normal_server();
	(void) shared_attach(false);

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	running = shared->launcher != 0 && !shared->stopping;
	shared->stopping = false;
	LWLockRelease(&shared->lock);
	if (running)
		PG_RETURN_BOOL(false);

	launcher_describe(&launcher);
	if (!RegisterDynamicBackgroundWorker(&launcher, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("could not start the service of batchagg: no background worker slot is free"),
				 errhint("You might need to increase max_worker_processes.")));
	if (!wait_for_service(true))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the service of batchagg did not start"),
				 errhint("See the server's log.")));
	PG_RETURN_BOOL(true);
}

/*
 * batchagg_stop() returns boolean: stops the service.  False if it was not
 * running.  ERROR: not a superuser.
 */
Datum
batchagg_stop(PG_FUNCTION_ARGS)
{
	bool		running;

	require_superuser("stop the service of batchagg",
					  "To keep it from starting your job, set the job's enable_flag to false.");
	(void) shared_attach(false);

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	running = shared->launcher != 0;
	shared->stopping = running;
	shared_wake_launcher();
	for (int i = 0; i < SHARED_DATABASES; i++)
	{
		if (OidIsValid(shared->databases[i].id))
			shared_wake_scheduler(&shared->databases[i]);
	}
	for (int i = 0; running && i < MAX_CONCURRENT_JOBS; i++)
	{
		if (shared->workers[i].state == WORKER_IDLE)
			shared_dismiss(&shared->workers[i]);
	}
	LWLockRelease(&shared->lock);

	if (running && !wait_for_service(false))
		ereport(WARNING,
				(errmsg("the service of batchagg is still ending")));
	PG_RETURN_BOOL(running);
}

/*
 * batchagg_set_clock(start timestamptz, until timestamptz): gives this
 * database's service a clock for tests; NULLs take it away.  ERROR: not a
 * superuser, no scheduler here.
 */
Datum
batchagg_set_clock(PG_FUNCTION_ARGS)
{
	bool		given = !PG_ARGISNULL(0) && !PG_ARGISNULL(1);
	SharedDatabase *database;

	require_superuser("set the clock of batchagg's service", NULL);
	(void) shared_attach(false);
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	database = shared_database(MyDatabaseId, true);
	if (database != NULL)
	{
		database->clock = given ? PG_GETARG_TIMESTAMPTZ(0) : 0;
		database->clock_end = given ? PG_GETARG_TIMESTAMPTZ(1) : 0;
		database->changed = true;
		database->off = !batchagg_enabled;
		shared_wake_scheduler(database);
		shared_wake_launcher();
	}
	LWLockRelease(&shared->lock);
	if (database == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("batchagg looks after too many databases")));
	PG_RETURN_VOID();
}

/*
 * batchagg_wake(): has the service look at this database when the transaction
 * commits.
 */
Datum
batchagg_wake(PG_FUNCTION_ARGS)
{
	wake_at_commit();
	PG_RETURN_VOID();
}

/* What keeps slots of this database from being started. */
typedef struct SlotObstacle
{
	bool		known;			/* it was looked for */
	bool		ordered;		/* the order of the jobs is known */
	bool		starting;		/* nothing keeps the database's jobs from being started */
	const char *standing;		/* nothing starts jobs until somebody acts; or NULL */
	const char *passing;		/* else: why one that is due has not been started yet */
} SlotObstacle;

/* Nothing starts jobs, as there is no service, and what to do about it. */
static const char *
no_service(void)
{
	return RecoveryInProgress() ? "the service is not running" :
		"the service is not running: call batchagg_start(), or add batchagg to shared_preload_libraries";
}

/* What keeps jobs from being started until somebody acts; NULL: nothing.  Sets *database. */
static const char *
standing_obstacle(SharedDatabase *database)
{
	bool		launcher;

	if (!worker_drives())
		return "the jobs were restored from a dump: call batchagg_use_service()";
	if (!batchagg_enabled)
		return "the setting batchagg.enabled is off";
	if (!shared_attach(true))
		return no_service();

	LWLockAcquire(&shared->lock, LW_SHARED);
	launcher = shared->launcher != 0;
	if (shared_own_database() != NULL)
		*database = *shared_own_database();
	LWLockRelease(&shared->lock);

	if (!launcher)
		return no_service();
	return database->scheduler == 0 ? "there is no scheduler in this database" : NULL;
}

/* Why one that is due has not been started, where nothing keeps them all. */
static const char *
passing_obstacle(const SharedDatabase *database)
{
	if (database->obstacle == OBSTACLE_POOL)
		return pool_limit() == batchagg_max_concurrent_jobs ?
			psprintf("waiting for a worker slot: batchagg.max_concurrent_jobs (%d) are in use",
					 batchagg_max_concurrent_jobs) :
			psprintf("waiting for a worker slot: the limit of %d, set by max_worker_processes (%d), is reached",
					 pool_limit(), max_worker_processes);
	if (database->obstacle == OBSTACLE_PROCESSES)
		return psprintf("waiting for a worker slot: max_worker_processes (%d) are in use",
						max_worker_processes);
	return "being started";
}

/* Looks for what keeps slots of this database from being started. */
static void
find_obstacle(SlotObstacle *obstacle)
{
	SharedDatabase database = {0};

	if (obstacle->known)
		return;
	obstacle->known = true;
	obstacle->passing = "waiting for pg_cron";
	if (pgcron_drives())
		return;
	obstacle->standing = standing_obstacle(&database);
	obstacle->passing = passing_obstacle(&database);
	obstacle->starting = database.obstacle == OBSTACLE_NONE;
}

/* The job that another waits for, as it reads its results, as far as the caller sees it. */
static const AgendaJob *
job_waited_for(Agenda *agenda, const AgendaJob *job, SlotObstacle *obstacle)
{
	bool		trusted;

	if (!obstacle->ordered)
	{
		order_agenda(agenda);
		for (int i = 0; i < agenda->njobs; i++)
			agenda_plan(&agenda->jobs[i], clock_now());
	}
	obstacle->ordered = true;
	return order_blocker(agenda->order, agenda, job, &trusted);
}

/*
 * Why a slot of a job has not been started, or will not be; NULL: none is due, and
 * nothing is in the way.
 */
static const char *
waiting_reason(Agenda *agenda, const AgendaJob *job, bool due, SlotObstacle *obstacle)
{
	const AgendaJob *other;

	if (due && job->state == SLOT_RUNNING)
		return psprintf("the run of slot %s is under way", timestamptz_to_str(job->slot));
	if (due && job_is_locked(ext_relid("batch_jobs"), job->id))
		return "another run of the job is under way";
	find_obstacle(obstacle);
	if (obstacle->standing != NULL)
		return obstacle->standing;
	if (due && obstacle->starting &&
		(other = job_waited_for(agenda, job, obstacle)) != NULL)
		return psprintf("waiting for job %d, whose results it reads", other->id);
	if (due && obstacle->starting && pool_keeps_last_place(job->owner))
		return "waiting for a worker slot: the last one is kept for jobs of other roles";
	return due ? obstacle->passing : NULL;
}

/*
 * The agenda of the jobs that the caller sees, as the calling statement sees the tables:
 * beside a ledger read by it each slot is shown, and once.  In a view that lends its
 * owner's rights, the jobs are those that the owner sees, who is an argument then
 * (model/lend.c).
 */
static Agenda *
agenda_of_reader(FunctionCallInfo fcinfo)
{
	Agenda	   *volatile agenda = NULL;
	Oid			caller;
	int			context;

	GetUserIdAndSecContext(&caller, &context);
	if (PG_NARGS() > 0)
		SetUserIdAndSecContext(PG_GETARG_OID(0), context | SECURITY_LOCAL_USERID_CHANGE);
	ext_read_as_active(true);
	PG_TRY();
	{
		agenda = agenda_load(CurrentMemoryContext, false, NULL);
	}
	PG_FINALLY();
	{
		ext_read_as_active(false);
	}
	PG_END_TRY();
	SetUserIdAndSecContext(caller, context);
	return agenda;
}

/*
 * batchagg_expected_slots() returns setof record: for each enabled job that the
 * caller sees, the slots that are due and not in the ledger yet, the next, and what
 * keeps them from being started.
 */
Datum
batchagg_expected_slots(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Agenda	   *agenda = agenda_of_reader(fcinfo);
	TimestampTz now = clock_now();
	SlotObstacle obstacle = {0};

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < agenda->njobs; i++)
	{
		AgendaJob  *job = &agenda->jobs[i];
		SlotRange	waiting;
		TimestampTz next;
		const char *reason;
		Datum		values[6];
		bool		nulls[6] = {0};

		CHECK_FOR_INTERRUPTS();
		waiting = agenda_waiting(job, now);
		if (!cron_next(&job->schedule, job->tz, Max(now, job->slot), &next))
			next = DT_NOEND;
		values[0] = Int32GetDatum(job->id);
		values[1] = TimestampTzGetDatum(waiting.first);
		values[2] = TimestampTzGetDatum(waiting.last);
		values[3] = Int32GetDatum(waiting.count);
		reason = waiting_reason(agenda, job, waiting.count != 0, &obstacle);
		values[4] = reason ? CStringGetTextDatum(reason) : (Datum) 0;
		values[5] = TimestampTzGetDatum(next);
		nulls[1] = nulls[2] = waiting.count == 0;
		nulls[4] = reason == NULL;
		nulls[3] = waiting.count < 0;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * Is this a script of pg_dump's that restores the whole database?  Such scripts
 * make these three settings, and hardly anything else makes all of them.
 */
static bool
restoring_all(void)
{
	return namespace_search_path[0] == '\0' && !row_security && !check_function_bodies &&
		has_privs_of_role(GetUserId(), ext_info()->owner);
}

/*
 * Trigger on the tables of jobs, AFTER any STATEMENT: has the scheduler read
 * them again, and pg_cron's entries follow, when the transaction commits.
 */
Datum
batchagg_jobs_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function must be called as a trigger")));
	if (restoring_all())
		nobody_drives();
	wake_at_commit();
	pgcron_sync_at_commit();
	PG_RETURN_POINTER(NULL);
}

/*
 * Trigger on batch_jobs, AFTER DELETE of a row, or AFTER TRUNCATE: removes the
 * slots.
 */
Datum
batchagg_job_deleted(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	Oid			types[] = {INT4OID};
	Datum		values[1];
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function must be called by a trigger, after the change")));
	if (TRIGGER_FIRED_FOR_STATEMENT(data->tg_event))
	{
		ext_query(true, psprintf("DELETE FROM %s", ext_table("batchagg_ledger")),
				  0, NULL, NULL);
		PG_RETURN_POINTER(NULL);
	}
	values[0] = SPI_getbinval(data->tg_trigtuple, RelationGetDescr(data->tg_relation),
							  SPI_fnumber(RelationGetDescr(data->tg_relation), "id"), &isnull);
	ext_query(true, psprintf("DELETE FROM %s WHERE job_id = $1", ext_table("batchagg_ledger")),
			  lengthof(types), types, values);
	PG_RETURN_POINTER(NULL);
}
