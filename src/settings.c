/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  The extension's settings: every one of them, with its check.
 *
 * They can be set in postgresql.conf and re-read by SIGHUP, and all but the
 * time zone, which must be the same for everybody, for a session, a role or a
 * database too.  The prefix is reserved, so that a misspelt setting is an error
 * and not silence.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "executor/nodeHash.h"
#include "pgtime.h"
#include "utils/guc.h"

#include "settings.h"

/* The least memory a run can work with: one small chunk of each kind. */
#define MIN_WORK_MEM_KB 64

int			batchagg_batch_size = 1000;
int			batchagg_work_mem = -1;
int			batchagg_job_timeout = 3600;
int			batchagg_log_level = INFO;
char	   *batchagg_timezone = NULL;

static const struct config_enum_entry log_level_options[] = {
	{"debug", DEBUG1, false},
	{"info", LOG, false},
	{"warning", WARNING, false},
	{NULL, 0, false}
};

static bool check_work_mem(int *newval, void **extra, GucSource source);
static bool check_timezone(char **newval, void **extra, GucSource source);

/*
 * Defines all settings and reserves their prefix.  Called once, by _PG_init.
 */
void
settings_define(void)
{
	DefineCustomIntVariable("batchagg.batch_size",
							"Number of groups that a run writes in one batch.",
							NULL,
							&batchagg_batch_size,
							1000, 1, 10000,
							PGC_USERSET, 0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("batchagg.work_mem",
							"Memory for the groups of one run, before it uses temporary files.",
							"-1 means work_mem times hash_mem_multiplier.",
							&batchagg_work_mem,
							-1, -1, MAX_KILOBYTES,
							PGC_USERSET, GUC_UNIT_KB,
							check_work_mem, NULL, NULL);

	DefineCustomIntVariable("batchagg.job_timeout",
							"Longest time that a run of a job may take.",
							"Jobs can override it in batch_jobs.job_timeout. 0 means no limit.",
							&batchagg_job_timeout,
							3600, 0, INT_MAX / 1000,
							PGC_USERSET, GUC_UNIT_S,
							NULL, NULL, NULL);

	DefineCustomEnumVariable("batchagg.log_level",
							 "Least important messages of batchagg's own that are logged.",
							 "Each run is logged at level info, and each of its scans at level debug.",
							 &batchagg_log_level,
							 LOG, log_level_options,
							 PGC_USERSET, 0,
							 NULL, NULL, NULL);

	DefineCustomStringVariable("batchagg.timezone",
							   "Time zone of events that do not name one.",
							   NULL,
							   &batchagg_timezone,
							   "UTC",
							   PGC_SIGHUP, 0,
							   check_timezone, NULL, NULL);

	MarkGUCPrefixReserved("batchagg");
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
	pg_tz	   *tz = pg_tzset(*newval);

	if (tz != NULL && pg_tz_acceptable(tz))
		return true;
	GUC_check_errdetail("Time zone \"%s\" is not known.", *newval);
	return false;
}
