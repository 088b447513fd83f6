/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  The extension's settings: every one of them, with its check.
 *
 * They can be set in postgresql.conf and re-read by SIGHUP, and all but the
 * time zone and the service's, which must be the same for everybody, for a session,
 * a role or a database too.  The prefix is reserved, so that a misspelt setting is an error
 * and not silence.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "executor/nodeHash.h"
#include "postmaster/bgworker_internals.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "settings.h"
#include "time/zone.h"

/* The least memory a run can work with: one small chunk of each kind. */
#define MIN_WORK_MEM_KB 64

int			batchagg_batch_size = 1000;
int			batchagg_work_mem = -1;
int			batchagg_max_parallel_workers_per_run = 2;
int			batchagg_job_timeout = 3600;
int			batchagg_log_level = INFO;
char	   *batchagg_timezone = NULL;
bool		batchagg_enabled = true;
bool		batchagg_restrict_superuser_jobs = false;
char	   *batchagg_databases = NULL;
int			batchagg_max_concurrent_jobs = 10;
int			batchagg_max_retries = 3;
int			batchagg_retry_delay = 60;
int			batchagg_history_retention = 30;

static const struct config_enum_entry log_level_options[] = {
	{"debug", DEBUG1, false},
	{"info", LOG, false},
	{"warning", WARNING, false},
	{NULL, 0, false}
};

/* Defines a setting, unless it is there: to define one anew is an error. */
#define ONCE(...) \
	do { \
		static bool done = false; \
\
		if (!done) \
			__VA_ARGS__; \
		done = true; \
	} while (0)

static bool check_work_mem(int *newval, void **extra, GucSource source);
static bool check_timezone(char **newval, void **extra, GucSource source);
static bool check_databases(char **newval, void **extra, GucSource source);
static void define_service_settings(void);

/*
 * Defines all settings and reserves their prefix.  Called by _PG_init, and again if an
 * error has ended that half-way.
 */
void
settings_define(void)
{
	ONCE(DefineCustomIntVariable("batchagg.batch_size",
								 "Number of groups that a run writes in one batch.",
								 NULL,
								 &batchagg_batch_size,
								 1000, 1, 10000,
								 PGC_USERSET, 0,
								 NULL, NULL, NULL));

	ONCE(DefineCustomIntVariable("batchagg.work_mem",
								 "Memory for the groups of one run, before it uses temporary files.",
								 "-1 means work_mem times hash_mem_multiplier.",
								 &batchagg_work_mem,
								 -1, -1, MAX_KILOBYTES,
								 PGC_USERSET, GUC_UNIT_KB,
								 check_work_mem, NULL, NULL));

	ONCE(DefineCustomIntVariable("batchagg.max_parallel_workers_per_run",
								 "Largest number of parallel workers that help a run to read a large source.",
								 "They are taken from max_parallel_workers. 0 means that a run reads alone.",
								 &batchagg_max_parallel_workers_per_run,
								 2, 0, MAX_PARALLEL_WORKER_LIMIT,
								 PGC_USERSET, 0,
								 NULL, NULL, NULL));

	ONCE(DefineCustomIntVariable("batchagg.job_timeout",
								 "Longest time that a run of a job may take.",
								 "Jobs can have less in batch_jobs.job_timeout. 0 means no limit.",
								 &batchagg_job_timeout,
								 3600, 0, INT_MAX / 1000,
								 PGC_SUSET, GUC_UNIT_S,
								 NULL, NULL, NULL));

	ONCE(DefineCustomEnumVariable("batchagg.log_level",
								  "Least important messages of batchagg's own that are logged.",
								  "Each run is logged at level info, and each of its scans at level debug.",
								  &batchagg_log_level,
								  LOG, log_level_options,
								  PGC_USERSET, 0,
								  NULL, NULL, NULL));

	ONCE(DefineCustomStringVariable("batchagg.timezone",
									"Time zone of events that do not name one.",
									NULL,
									&batchagg_timezone,
									"UTC",
									PGC_SIGHUP, 0,
									check_timezone, NULL, NULL));

	define_service_settings();

	MarkGUCPrefixReserved("batchagg");
}

/*
 * Those of the service.  They are the same for all of its processes, and so can
 * be set in the server's configuration only; a change takes effect at once.  Only
 * batchagg.enabled is a matter of each database too.
 */
static void
define_service_settings(void)
{
	ONCE(DefineCustomBoolVariable("batchagg.enabled",
								  "Lets the service start jobs.",
								  "Slots that come due while it is off are missed. ALTER DATABASE can switch it off for one database.",
								  &batchagg_enabled,
								  true,
								  PGC_SUSET, 0,
								  NULL, NULL, NULL));

	ONCE(DefineCustomBoolVariable("batchagg.restrict_superuser_jobs",
								  "Lets jobs of superusers read only what superusers own.",
								  "Whoever else owns a source can have such a job run code as superuser.",
								  &batchagg_restrict_superuser_jobs,
								  false,
								  PGC_SIGHUP, 0,
								  NULL, NULL, NULL));

	ONCE(DefineCustomStringVariable("batchagg.databases",
									"Databases that the service looks after.",
									"A list of names, or * for every database that has the extension.",
									&batchagg_databases,
									"*",
									PGC_SIGHUP, GUC_LIST_INPUT,
									check_databases, NULL, NULL));

	ONCE(DefineCustomIntVariable("batchagg.max_concurrent_jobs",
								 "Largest number of processes that run jobs at the same time.",
								 "Databases share them. They count towards max_worker_processes.",
								 &batchagg_max_concurrent_jobs,
								 10, 1, MAX_CONCURRENT_JOBS,
								 PGC_SIGHUP, 0,
								 NULL, NULL, NULL));

	ONCE(DefineCustomIntVariable("batchagg.max_retries",
								 "How often a run is tried again after a passing error.",
								 "Jobs can override it in batch_jobs.max_retries.",
								 &batchagg_max_retries,
								 3, 0, 1000,
								 PGC_SIGHUP, 0,
								 NULL, NULL, NULL));

	ONCE(DefineCustomIntVariable("batchagg.retry_delay",
								 "Wait before the first retry of a run, doubled with each further one.",
								 "Jobs can override it in batch_jobs.retry_delay.",
								 &batchagg_retry_delay,
								 60, 0, SECS_PER_DAY,
								 PGC_SIGHUP, GUC_UNIT_S,
								 NULL, NULL, NULL));

	ONCE(DefineCustomIntVariable("batchagg.history_retention",
								 "How long finished runs and slots are kept, in days.",
								 "0 means for ever.",
								 &batchagg_history_retention,
								 30, 0, 36500,
								 PGC_SIGHUP, 0,
								 NULL, NULL, NULL));
}

/*
 * Returns the memory that the groups of one run may use, in bytes.
 */
Size
settings_run_memory(void)
{
	if (batchagg_work_mem == -1)
		return get_hash_memory_limit();
	return (Size) batchagg_work_mem * 1024;
}

static bool
check_work_mem(int *newval, void **extra, GucSource source)
{
	if (*newval == -1 || *newval >= MIN_WORK_MEM_KB)
		return true;
	GUC_check_errdetail("The least value is %d kB; -1 means work_mem times hash_mem_multiplier.",
						MIN_WORK_MEM_KB);
	return false;
}

static bool
check_timezone(char **newval, void **extra, GucSource source)
{
	pg_tz	   *tz;
	const char *problem = zone_parse(*newval, &tz);

	if (problem == NULL)
		return true;
	GUC_check_errdetail("%s", problem);
	GUC_check_errhint("The view pg_timezone_names has their names, such as Europe/Berlin.");
	return false;
}

/*
 * Fixes those of PostgreSQL's settings that a process of the service relies on,
 * whatever databases and roles say.  No timeout but the job's own ends a run, and an
 * error of a job does not end the process, which could not record it then.
 */
void
settings_pin(void)
{
	static const struct
	{
		const char *name;
		const char *value;
	}			pinned[] =
	{
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"idle_session_timeout", "0"},
		{"exit_on_error", "off"},
#if PG_VERSION_NUM >= 170000
		{"transaction_timeout", "0"},
#endif
	};

	for (int i = 0; i < lengthof(pinned); i++)
		SetConfigOption(pinned[i].name, pinned[i].value, PGC_USERSET, PGC_S_SESSION);
}

/*
 * Is the database of this name one that the service looks after?
 */
bool
settings_serve_database(const char *name)
{
	char	   *names = pstrdup(batchagg_databases);
	List	   *list;
	ListCell   *lc;

	if (!SplitIdentifierString(names, ',', &list))
		return false;
	foreach(lc, list)
	{
		if (strcmp(lfirst(lc), "*") == 0 || strcmp(lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

static bool
check_databases(char **newval, void **extra, GucSource source)
{
	char	   *names = pstrdup(*newval);
	List	   *list;

	if (SplitIdentifierString(names, ',', &list))
		return true;
	GUC_check_errdetail("It is not a list of names, separated by commas.");
	return false;
}
