/*-------------------------------------------------------------------------
 *
 * pgcron.c
 *	  Jobs started by pg_cron instead of the background worker.
 *
 * batchagg_service says who starts the jobs of this database.  While that is
 * pg_cron, each event that an enabled job has is an entry in cron.job:
 *
 *	 jobname	batchagg EVERYHOUR
 *	 schedule	0 * * * *
 *	 command	SELECT schema.batchagg_run_due('EVERYHOUR')
 *	 username	the owner of batchagg's tables
 *
 * The command is batchagg_run_due() and not batchagg_run_event(), because an
 * entry may fire when nothing is due.  pg_cron knows one time zone, which is
 * GMT before 1.5; where the event's clock reads differently, the entry fires
 * at all the hours that could be meant (see time/cover.c).  batchagg_run_due()
 * looks into the ledger of slots: a firing too many finds nothing to do, one
 * that comes late does what was left, and where the worker runs too, no slot
 * runs twice.
 *
 * Staying in step: where a transaction has changed jobs or events, it compares the
 * entries that should be with those that are as it commits (pgcron_sync).  The
 * role that changed a job has no business in cron.job, so this is done as the
 * owner of our tables, and what a role may not see counts too.
 *
 * Two transactions that change jobs side by side must not each decide by what
 * it alone sees: the one that deletes an event's last job would remove the
 * entry that the other, which inserts one, takes to be there.  So the one that
 * comes second waits for the first to end, on a lock on batchagg_service, and
 * then reads what is committed, whatever its isolation level.  For the same
 * reason, a change of the driver waits for those that write jobs or events, and
 * they for it; runs do not wait.
 *
 * An entry is ours if its name, its command, its database and its user say so.
 * Others are never touched, except that an entry by the same name and of the
 * same user is replaced.  One that somebody has set inactive stays so.
 *
 * Entries do not know that they are ours: after DROP EXTENSION batchagg they
 * would fail each time.  pgcron_forget() is for whoever sees that coming.  It is
 * not always seen (DROP SCHEMA ... CASCADE), and then cron.unschedule() is up to
 * the administrator.  A dump takes pg_cron's table along, but not the driver:
 * restored entries do no harm beside the worker, and either of
 * batchagg_use_service() and batchagg_use_pg_cron() puts them right.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "model/events.h"
#include "model/ext.h"
#include "service/pgcron.h"
#include "service/service.h"
#include "settings.h"
#include "time/zone.h"

/* What the names of our entries begin with. */
#define NAME_PREFIX "batchagg "

/* The zone of a pg_cron that has no setting for it. */
#define DEFAULT_ZONE "GMT"

/* How far the zones are looked at: beyond, their rules repeat. */
#define COVER_TIME (5 * 366 * USECS_PER_DAY)

static const char *const every_minute = "* * * * *";

/* An entry, as it is or should be. */
typedef struct Entry
{
	const char *id;				/* of one that is */
	const char *name;
	const char *schedule;
	const char *command;
} Entry;

/* ------------------------------------------------------------------------
 * pg_cron
 * ------------------------------------------------------------------------
 */

/*
 * A setting that pg_cron has defined, NULL if it has not.  The configuration
 * may set one that this version does not know; it means nothing then.
 */
static const char *
cron_setting(const char *name)
{
	const char *value = GetConfigOption(name, true, false);

	if (value != NULL && (GetConfigOptionFlags(name, true) & GUC_CUSTOM_PLACEHOLDER) != 0)
		return NULL;
	return value;
}

/* Does pg_cron run what is entered in this database? */
static bool
pg_cron_is_here(void)
{
	const char *database = cron_setting("cron.database_name");

	return database != NULL && strcmp(database, get_database_name(MyDatabaseId)) == 0 &&
		OidIsValid(get_extension_oid("pg_cron", true));
}

/* ERROR where pg_cron does not run what is entered in this database. */
static void
require_pg_cron(void)
{
	const char *database = cron_setting("cron.database_name");
	const char *here = get_database_name(MyDatabaseId);

	if (pg_cron_is_here())
		return;
	if (database == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_cron is not loaded"),
				 errhint("Add pg_cron to shared_preload_libraries, set cron.database_name to "
						 "\"%s\", restart the server, and run CREATE EXTENSION pg_cron.", here)));
	if (strcmp(database, here) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_cron does not serve database \"%s\"", here),
				 errdetail("It keeps its entries in database \"%s\" (setting cron.database_name).",
						   database),
				 errhint("Let batchagg's own worker start the jobs here, or enter "
						 "batchagg_run_due() there with cron.schedule_in_database().")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("extension \"pg_cron\" is not installed in this database"),
			 errhint("Run CREATE EXTENSION pg_cron.")));
}

/*
 * The entries that are ours: those of the owner of our tables, looked at as
 * such, or those of every user, as far as the current one may see them.
 */
static List *
present_entries(bool as_owner)
{
	List	   *entries = NIL;
	ListCell   *lc;

	foreach(lc, ext_query_latest(as_owner,
								 psprintf("SELECT jobid, jobname, schedule, command "
										  "FROM cron.job "
										  "WHERE database = current_database() %s "
										  "AND starts_with(jobname::text, '" NAME_PREFIX "') "
										  "AND position('batchagg_run_due(' IN command) > 0 "
										  "ORDER BY jobid",
										  as_owner ? "AND username = current_user" : ""),
								 0, NULL, NULL))
	{
		char	  **row = lfirst(lc);
		Entry	   *entry = palloc(sizeof(Entry));

		entry->id = row[0];
		entry->name = row[1];
		entry->schedule = row[2];
		entry->command = row[3];
		entries = lappend(entries, entry);
	}
	return entries;
}

/* Makes an entry, or changes the one by its name. */
static void
put_entry(const Entry *entry)
{
	const Oid	types[] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		CStringGetTextDatum(entry->name),
		CStringGetTextDatum(entry->schedule),
		CStringGetTextDatum(entry->command)
	};

	(void) ext_query(true, "SELECT cron.schedule($1, $2, $3)", lengthof(types), types, values);
}

static void
remove_entry(const Entry *entry, bool as_owner)
{
	const Oid	types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(entry->id)};

	(void) ext_query(as_owner, "SELECT cron.unschedule($1::bigint)", lengthof(types), types,
					 values);
}

/* ------------------------------------------------------------------------
 * The entries that should be
 * ------------------------------------------------------------------------
 */

/* The entry's name.  Some versions cut names, which then could be the same. */
static const char *
entry_name(const char *event_name)
{
	char	   *name = psprintf(NAME_PREFIX "%s", event_name);
	int			length = strlen(name);

	if (length >= NAMEDATALEN)
	{
		uint32		hash = hash_bytes((const unsigned char *) name, length);
		int			kept = pg_mbcliplen(name, length, NAMEDATALEN - 1 - strlen(" #12345678"));

		name = psprintf("%.*s #%08x", kept, name, hash);
	}
	return name;
}

/* The zone of a name; reports where there is none, and returns NULL. */
static pg_tz *
zone_by_name(const char *name, int elevel)
{
	pg_tz	   *tz;
	const char *problem = zone_parse(name, &tz);

	if (problem == NULL)
		return tz;
	ereport(elevel,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid time zone \"%s\"", name),
			 errdetail_internal("%s", problem)));
	return NULL;
}

/*
 * The expression by which pg_cron looks for due jobs of an event.  Reports an
 * invalid schedule or zone, and returns NULL.
 */
static const char *
schedule_of(const EventMeaning *meaning, int elevel)
{
	const char *others = cron_setting("cron.timezone");
	TimestampTz now = GetCurrentTimestamp();
	char	   *result = palloc(CRON_COVER_LEN);
	CronSchedule schedule;
	const char *problem = cron_parse(meaning->cron, &schedule);
	pg_tz	   *tz;
	pg_tz	   *other;

	if (problem != NULL)
	{
		ereport(elevel,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid cron expression \"%s\"", meaning->cron),
				 errdetail_internal("%s", problem)));
		return NULL;
	}
	tz = zone_by_name(meaning->timezone[0] != '\0' ? meaning->timezone : batchagg_timezone, elevel);
	other = zone_by_name(others != NULL ? others : DEFAULT_ZONE, elevel);
	if (tz == NULL || other == NULL)
		return NULL;
	cron_cover(&schedule, tz, other, now, now + COVER_TIME, result);
	return result;
}

/*
 * The expression, in pg_cron's zone, by which pg_cron looks for due jobs of an
 * event.  ERROR where the event is unknown, or has no valid schedule and zone.
 */
const char *
pgcron_schedule(const char *event_name)
{
	EventMeaning meaning;

	event_require(event_name, &meaning);
	return schedule_of(&meaning, ERROR);
}

/*
 * The entries that should be: one for each event that an enabled job has.  The
 * names of an event that differ by case start the same jobs; they may mean
 * different times all the same, by rows of batchagg_events.  An event that is
 * not known starts nothing, and one whose row of batchagg_events has become
 * invalid must not keep other jobs from being changed.
 */
static List *
wanted_entries(void)
{
	const ExtInfo *store = ext_info();
	List	   *entries = NIL;
	ListCell   *lc;

	foreach(lc, ext_query_latest(true,
								 psprintf("SELECT DISTINCT upper(event_name), event_name "
										  "FROM %s WHERE enable_flag ORDER BY 1, 2",
										  ext_table("batch_jobs")), 0, NULL, NULL))
	{
		char	  **row = lfirst(lc);
		Entry	   *entry = entries != NIL ? llast(entries) : NULL;
		const char *name = entry_name(row[0]);
		EventMeaning meaning;
		const char *schedule;

		if (!event_lookup(row[1], &meaning))
			continue;
		schedule = schedule_of(&meaning, WARNING);
		if (schedule == NULL)
			continue;
		if (entry != NULL && strcmp(entry->name, name) == 0)
		{
			if (strcmp(entry->schedule, schedule) != 0)
				entry->schedule = every_minute;
			continue;
		}
		entry = palloc0(sizeof(Entry));
		entry->name = name;
		entry->schedule = schedule;
		entry->command = psprintf("SELECT %s.batchagg_run_due(%s)", store->schema_name,
								  quote_literal_cstr(row[0]));
		entries = lappend(entries, entry);
	}
	return entries;
}

/* ------------------------------------------------------------------------
 * The driver, and staying in step
 * ------------------------------------------------------------------------
 */

/* Is it `driver` that starts the jobs of this database? */
static bool
driver_is(const char *driver)
{
	return ext_query_latest(true, psprintf("SELECT 1 FROM %s WHERE driver = %s",
										   ext_table("batchagg_service"),
										   quote_literal_cstr(driver)), 0, NULL, NULL) != NIL;
}

/*
 * Does pg_cron start the jobs of this database?
 */
bool
pgcron_drives(void)
{
	return driver_is("pg_cron");
}

/*
 * Does the background worker?
 */
bool
worker_drives(void)
{
	return driver_is("worker");
}

/* The service comes, or goes, when the transaction commits. */
static void
set_driver(const char *driver)
{
	const Oid	types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(driver)};

	(void) ext_query(true,
					 psprintf("INSERT INTO %s (driver) VALUES ($1) "
							  "ON CONFLICT (only_row) DO UPDATE SET driver = excluded.driver",
							  ext_table("batchagg_service")),
					 lengthof(types), types, values);
	wake_at_commit();
}

/*
 * Has nobody start the jobs of this database, if it has any, for now: they are
 * being restored.
 */
void
nobody_drives(void)
{
	if (ext_query(true, psprintf("SELECT 1 FROM %s LIMIT 1", ext_table("batch_jobs")),
				  0, NULL, NULL) != NIL)
		set_driver("nobody");
}

/* Waits for others that compare the entries, and keeps them waiting. */
static void
lock_entries(void)
{
	LockRelationOid(ext_relid("batchagg_service"), ShareUpdateExclusiveLock);
}

/* Makes the entries what they should be.  Returns how many these are. */
static int
update_entries(void)
{
	List	   *wanted = wanted_entries();
	ListCell   *lc;

	foreach(lc, present_entries(true))
	{
		const Entry *present = lfirst(lc);
		Entry	   *entry = NULL;
		ListCell   *wanted_cell;

		foreach(wanted_cell, wanted)
		{
			if (strcmp(((Entry *) lfirst(wanted_cell))->name, present->name) == 0)
				entry = lfirst(wanted_cell);
		}
		if (entry == NULL)
			remove_entry(present, true);
		else if (strcmp(entry->schedule, present->schedule) == 0 &&
				 strcmp(entry->command, present->command) == 0)
			entry->id = present->id;
	}
	foreach(lc, wanted)
	{
		if (((Entry *) lfirst(lc))->id == NULL)
			put_entry(lfirst(lc));
	}
	return list_length(wanted);
}

/* Removes the entries that are ours, and returns how many they were. */
static int
remove_entries(bool as_owner)
{
	List	   *entries = pg_cron_is_here() ? present_entries(as_owner) : NIL;
	ListCell   *lc;

	foreach(lc, entries)
		remove_entry(lfirst(lc), as_owner);
	return list_length(entries);
}

/*
 * Prepares a change of the driver by SQL function `function`: checks that the
 * user may, waits for whoever writes jobs or events, and keeps others from it.
 */
static void
begin_change(const char *function)
{
	if (!has_privs_of_role(GetUserId(), ext_info()->owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for %s", function),
				 errdetail("Only superusers and the owner of extension batchagg decide who starts "
						   "its jobs.")));
	PreventCommandIfReadOnly(function);
	LockRelationOid(ext_relid("batch_jobs"), ShareRowExclusiveLock);
	LockRelationOid(ext_relid("batchagg_events"), ShareRowExclusiveLock);
	lock_entries();
}

/*
 * Has pg_cron start the jobs of this database, or brings its entries up to
 * date where it does so already.  Returns their number.  ERROR where pg_cron
 * does not serve this database, the user is not the extension's owner, or
 * pg_cron refuses an entry.
 */
int
pgcron_use(void)
{
	begin_change("batchagg_use_pg_cron()");
	require_pg_cron();
	set_driver("pg_cron");
	return update_entries();
}

/*
 * Has the background worker start the jobs of this database.  Returns the
 * number of pg_cron's entries that were removed.  ERROR where the user is not
 * the extension's owner.
 */
int
pgcron_leave(void)
{
	begin_change("batchagg_use_service()");
	set_driver("worker");
	return remove_entries(true);
}

/*
 * Removes all entries of ours before the extension is dropped, as the current
 * user, who may drop it.  Asks nothing of the extension, whose tables may be
 * those of another version.
 */
void
pgcron_forget(void)
{
	(void) remove_entries(false);
}

/* Is this transaction to bring the entries up to date before it commits? */
static struct
{
	bool		pending;
	bool		registered;
}			at_commit;

static void
at_transaction_end(XactEvent event, void *arg)
{
	bool		pending = at_commit.pending;

	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE &&
		event != XACT_EVENT_ABORT)
		return;
	at_commit.pending = false;
	if (!pending || event == XACT_EVENT_ABORT || !pgcron_drives())
		return;
	if (event == XACT_EVENT_PRE_PREPARE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot PREPARE a transaction that has changed jobs started by pg_cron"),
				 errdetail("Others who change jobs would have to wait until it ends.")));
	PushActiveSnapshot(GetTransactionSnapshot());
	pgcron_sync();
	PopActiveSnapshot();
}

/*
 * Has pgcron_sync() called when the transaction commits.  Not before, as others who
 * change jobs wait from then on.
 */
void
pgcron_sync_at_commit(void)
{
	if (!at_commit.registered)
		RegisterXactCallback(at_transaction_end, NULL);
	at_commit.registered = true;
	at_commit.pending = true;
}

/*
 * Brings pg_cron's entries up to date after jobs, events, settings or time
 * zones have changed, as the owner of our tables.  Nothing to do where the
 * worker starts the jobs; a WARNING where pg_cron should and has gone.
 */
void
pgcron_sync(void)
{
	if (!pgcron_drives())
		return;
	lock_entries();
	if (!pgcron_drives())
		return;
	if (!pg_cron_is_here())
	{
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("nothing starts the jobs of this database"),
				 errdetail("They are to be started by pg_cron, which does not serve it any more."),
				 errhint("Call batchagg_use_service().")));
		return;
	}
	(void) update_entries();
}
